"""Objects of a C-GET as data sets, one at a time: what `Association.fetch` returns.

The engine stores what comes as files, a portion of a quarter of a second at a time, and reads the
peer on when the next portion is asked for; here each file is read, removed and handed out.  So
memory holds one object, whatever their sizes and number, and the disk one portion.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from dcmfast.dataset import files
from dcmfast.types import Forgettable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import FileDataset

    from dcmfast.requestor.responses import Responses, Status


class Objects(Forgettable):
    """The objects of one C-GET, in the order in which they came.

    The request is on its way when this object exists.  An object is a data set as `dcmfast.read`
    gives it, with its file meta information.  When all have come out, a final status that is a
    failure raises `DimseError`; `final` is the status, `failed_sop_instance_uids` says which did
    not come.  Ended early, by `close`, by ``with`` or by being forgotten, it sends a C-CANCEL, as
    `Responses` do, and what came and was not asked for is gone.
    """

    def __init__(self, responses: Responses, directory: str) -> None:
        self._responses = responses
        self._directory = Path(directory)
        self._names: deque[str] = deque()
        self._is_open = True

    @property
    def final(self) -> Status | None:
        """The final status, once it is there."""
        return self._responses.final

    @property
    def failed_sop_instance_uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs of the objects that did not come, once the final status is there."""
        return self._responses.failed_sop_instance_uids

    def __iter__(self) -> Iterator[FileDataset]:
        return self

    def __next__(self) -> FileDataset:
        """Wait for the next object.

        Raises
        ------
        StopIteration
            All have come out.
        DimseError
            All have come out that came, and the final status is a failure.
        NetworkError
            The association was lost.
        """
        return files.read(self._next_bytes(), force=True)

    def as_bytes(self) -> Iterator[bytes]:
        """Return an iterator over the objects as the bytes of DICOM files, as they were sent.

        Raises
        ------
        DimseError, NetworkError
            As in the iteration over data sets.
        """
        with contextlib.suppress(StopIteration):
            while True:
                yield self._next_bytes()

    def _next_bytes(self) -> bytes:
        while not self._names:
            if not self._is_open:
                raise StopIteration
            if self._responses.final is not None:
                self.close()
                self._responses.final.raise_for_failure()
                raise StopIteration
            try:
                self._responses._take_portion()
            except BaseException:
                self.close()
                raise
            self._names.extend(self._arrived())
        path = self._directory / self._names.popleft()
        content = path.read_bytes()
        path.unlink()
        return content

    def _arrived(self) -> list[str]:
        """Return the files that are whole, oldest first; the engine's parts begin with a dot.

        Their names begin with the time: that of the file system has the grain of a clock's tick,
        in which several small objects come.
        """
        found = (path.name for path in self._directory.iterdir())
        return sorted(name for name in found if not name.startswith("."))

    def close(self) -> None:
        """End it: a C-CANCEL if the final response is not there yet, and no files are left."""
        if not self._is_open:
            return
        self._is_open = False
        self._names.clear()
        try:
            self._responses.close()
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)
