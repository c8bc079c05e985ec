"""A storage area for Python programs: query it, open what is in it, and have it served.

`Archive` reads the index that a server keeps, beside that server or without one.  What it gives are
pydicom data sets.  Queries are matched by PS3.4's rules (§C.2.2.2) with everything that extended
negotiation could add: any key at any level, combined dates and times, person names without regard
to case.  Whatever a server acknowledged before a call is found by it, also when that server was
killed since; an index that was made anew is noticed.
"""

from __future__ import annotations

import io
import os
import queue
import re
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID

from dcmfast import _rust
from dcmfast.dataset.files import read
from dcmfast.errors import StorageAreaError
from dcmfast.types import Closing, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydicom import FileDataset

#: Query/retrieve levels, PS3.4 §C.6.1.1.
LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
#: Identifiers travel in UTF-8: every text of an index can be written in it.
_UTF8 = "ISO_IR 192"
#: What `serve` says when it listens.
_LISTENING = re.compile(r" port (\d+);")
#: How long a server may take to listen, in seconds: it may have to make an index anew.
_START_S = 600
#: How long it may take to stop: it finishes what is in hand for ten.
_STOP_S = 15
#: How much of what a server writes to standard error is kept, in characters: its last words.
_LAST_WORDS = 65_536


class StoredInstance(Record):
    """One instance of an archive, as its index knows it."""

    #: SOP Class UID.
    sop_class_uid: str
    #: SOP Instance UID.
    sop_instance_uid: str
    #: Transfer Syntax UID of the file.
    transfer_syntax_uid: str
    #: Where the file is.
    path: str
    #: Size of the file in bytes.
    file_bytes: int
    #: When it was received, in microseconds since 1970-01-01 00:00 UTC.
    received_at_us: int
    #: AE title of the sender; empty if it came in no association.
    source_ae_title: str

    def read(self, **options: Any) -> FileDataset:
        """Return the data set; `options` are those of `dcmfast.read`.

        Raises
        ------
        FileNotFoundError
            The instance was deleted or replaced since it was found.
        """
        try:
            return read(self.path, **options)
        except InvalidDicomError:
            pass
        # Stored with --write-dataset: the index alone knows the transfer syntax.
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(self.sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(self.sop_instance_uid)
        meta.TransferSyntaxUID = UID(self.transfer_syntax_uid)
        head = DicomBytesIO()
        write_file_meta_info(head, meta)
        with open(self.path, "rb") as file:
            whole = b"".join((bytes(128), b"DICM", head.getvalue(), file.read()))
        data_set = read(whole, **options)
        data_set.filename = self.path
        return data_set


class Counts(Record):
    """How much an archive holds."""

    patients: int
    studies: int
    series: int
    instances: int
    #: Bytes of all files.
    file_bytes: int


class Archive(Closing):
    """A storage area of `dcmqrscp` or `serve`, open for reading.

    Parameters
    ----------
    directory
        The storage area.

    Raises
    ------
    OSError
        There is no index in `directory`, or it is damaged or of another version; the message says
        what to do.

    Examples
    --------
    >>> with dcmfast.Archive("dcmfast-archive") as archive:
    ...     for study in archive.find("STUDY", PatientName="doe*", StudyDate="20240101-"):
    ...         print(study.PatientName, study.StudyInstanceUID)
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.path.realpath(directory)
        self._index: _rust.ArchiveIndex | None = _rust.ArchiveIndex(self.directory)

    @property
    def _open(self) -> _rust.ArchiveIndex:
        if self._index is None:
            raise ValueError("the archive is closed")
        return self._index

    def close(self) -> None:
        """Let go of the index; iterators that were begun keep it until they end."""
        self._index = None

    def counts(self) -> Counts:
        """Return how many patients, studies, series and instances there are."""
        patients, studies, series, instances, file_bytes = self._open.counts()
        return Counts(
            patients=patients,
            studies=studies,
            series=series,
            instances=instances,
            file_bytes=file_bytes,
        )

    def __len__(self) -> int:
        """Return the number of instances."""
        return self.counts().instances

    def __iter__(self) -> Iterator[StoredInstance]:
        """Iterate over all instances."""
        return self.instances()

    def __contains__(self, sop_instance_uid: object) -> bool:
        """Return True if an instance has this SOP Instance UID."""
        return isinstance(sop_instance_uid, str) and self.instance(sop_instance_uid) is not None

    def find(
        self,
        level: str = "STUDY",
        keys: Dataset | Mapping[str, Any] | None = None,
        /,
        **more: Any,
    ) -> Iterator[Dataset]:
        """Search, as C-FIND does: one data set for each entity that matches, as they are found.

        Parameters
        ----------
        level
            ``PATIENT``, ``STUDY``, ``SERIES`` or ``IMAGE``.
        keys, more
            What must match, and what is to be returned: attributes by keyword (an identifier, a
            mapping, or arguments).  None and an empty value match everything.  Values may hold
            wildcards, ranges and lists as PS3.4 §C.2.2.2 has them.

        Raises
        ------
        ValueError
            A keyword or level that does not exist, or a value that cannot be encoded.
        """
        search = self._open.find(_identifier(level, keys, more))
        return _data_sets(search)

    def instances(
        self, keys: Dataset | Mapping[str, Any] | None = None, /, **more: Any
    ) -> Iterator[StoredInstance]:
        """Return every instance that matches; without keys, all instances of the archive.

        Parameters
        ----------
        keys, more
            As for `find`; keys of every level may be mixed.

        Raises
        ------
        ValueError
            As for `find`.
        """
        search = self._open.find(_identifier("IMAGE", keys, more))
        return _instances(search)

    def instance(self, sop_instance_uid: str) -> StoredInstance | None:
        """Return the instance of this UID, or None."""
        row = self._open.instance(sop_instance_uid)
        return None if row is None else _stored(row)

    def read(self, sop_instance_uid: str, **options: Any) -> FileDataset:
        """Return the data set of an instance; `options` are those of `dcmfast.read`.

        Raises
        ------
        KeyError
            There is no such instance.
        """
        found = self.instance(sop_instance_uid)
        if found is None:
            raise KeyError(sop_instance_uid)
        return found.read(**options)


class _Reader(threading.Thread):
    """Reads what a process writes, so that it never waits for room, and keeps the end of it."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._first: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._kept = ""
        self.start()

    def run(self) -> None:
        with self._stream:
            self._first.put(self._stream.readline(_LAST_WORDS))
            while part := self._stream.readline(_LAST_WORDS):
                self._kept = (self._kept + part)[-_LAST_WORDS:]

    def first_line(self, timeout_s: float) -> str | None:
        """Return the first line, "" at the end without one; None when it does not come in time."""
        try:
            return self._first.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def last_words(self) -> str:
        """Return the end of what there was, of a process that has ended."""
        self.join(_STOP_S)
        return (self.first_line(0) or "") + self._kept


class ArchiveServer(Closing):
    """``dcmfast serve`` as a process of its own: started here, stopped by `stop` or ``with``.

    Parameters
    ----------
    directory
        The storage area; made if it is not there.
    port
        0 takes one that is free; `port` says which.
    options
        Further options of ``dcmfast serve``, such as ``"--durability", "none"``.

    Raises
    ------
    StorageAreaError
        The server did not start; the message is its own.
    """

    def __init__(self, directory: str | os.PathLike[str], port: int = 11112, *options: str) -> None:
        self.directory = os.path.realpath(directory)
        command = [sys.executable, "-m", "dcmfast", "serve", "--port", str(port), *options]
        self._process = subprocess.Popen(
            [*command, self.directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._answers = _Reader(self._process.stdout)
        self._complaints = _Reader(self._process.stderr)
        self.port = self._listening()

    def _listening(self) -> int:
        # Its first line is written when it listens; without one it has ended.
        first = self._answers.first_line(_START_S)
        match = None if first is None else _LISTENING.search(first)
        if match is not None:
            return int(match[1])
        self.stop()
        complaint = self._complaints.last_words()
        if first is None:
            complaint += f"\nthe server did not listen within {_START_S} seconds"
        raise StorageAreaError(*_log_lines(complaint.strip() or "the server ended without a word"))

    def close(self) -> None:
        """Stop the server in order."""
        self.stop()

    def stop(self) -> int:
        """Stop the server in order, and return its exit code; what is in hand is finished."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        return self._process.returncode


def _identifier(
    level: str, keys: Dataset | Mapping[str, Any] | None, more: Mapping[str, Any]
) -> bytes:
    """Return the identifier of a query, in Explicit VR Little Endian and UTF-8."""
    if level.upper() not in LEVELS:
        raise ValueError(f"no level named {level!r}; there are {', '.join(LEVELS)}")
    identifier = Dataset()
    if isinstance(keys, Dataset):
        identifier.update(keys)
    else:
        more = {**(keys or {}), **more}
    for keyword, value in more.items():
        if not _is_keyword(keyword):
            raise ValueError(f"no attribute has the keyword {keyword!r}")
        setattr(identifier, keyword, "" if value is None else value)
    identifier.SpecificCharacterSet = _UTF8
    identifier.QueryRetrieveLevel = level.upper()
    target = DicomBytesIO()
    target.is_little_endian = True
    target.is_implicit_VR = False
    try:
        write_dataset(target, identifier)
    except (AttributeError, TypeError, OSError) as error:
        # pydicom finds out late, and appends where it was.
        told = "; ".join(str(error).splitlines()[:3])
        raise ValueError(f"no value of a key: {told}") from error
    return target.getvalue()


def _log_lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield severity and text of what a tool wrote to standard error."""
    for line in text.splitlines():
        severity, separator, rest = line.partition(": ")
        yield (severity, rest) if separator and len(severity) == 1 else ("F", line)


def _is_keyword(keyword: str) -> bool:
    from pydicom.datadict import tag_for_keyword

    return tag_for_keyword(keyword) is not None


def _data_sets(search: _rust.ArchiveSearch) -> Iterator[Dataset]:
    while (page := search.identifiers()) is not None:
        for identifier in page:
            yield read_dataset(io.BytesIO(identifier), False, True)


def _instances(search: _rust.ArchiveSearch) -> Iterator[StoredInstance]:
    while (page := search.instances()) is not None:
        yield from map(_stored, page)


def _stored(row: tuple[str, str, str, str, int, int, str]) -> StoredInstance:
    return StoredInstance(
        sop_class_uid=row[0],
        sop_instance_uid=row[1],
        transfer_syntax_uid=row[2],
        path=row[3],
        file_bytes=row[4],
        received_at_us=row[5],
        source_ae_title=row[6],
    )
