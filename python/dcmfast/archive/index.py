"""The index of a storage area: how much there is, compare with the files, make anew, move.

Thin: the work is the engine's (``rust/core/src/archive``), without the interpreter.  Ctrl-C ends
it cleanly.  What cannot be done raises `IndexToolFailure`, whose text says what to do.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, nullcontext

from dcmfast import _rust
from dcmfast.archive.owner import as_owner, readable_by_owner
from dcmfast.errors import IndexToolFailure
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: Called with what is being done, how many things are done, and how many there are if known.
    Watch = Callable[[str, int, int | None], None]

_SPECIFIC_CHARACTER_SET = 0x00080005


class Totals(Record):
    """How much an index lists, and what it takes itself."""

    patients: int
    studies: int
    series: int
    instances: int
    file_bytes: int
    index_bytes: int
    #: Number of the journal's last record that is in the index.
    applied: int
    #: A server runs, or was killed.
    journal_has_records: bool
    #: Everything that was acknowledged is in the index; false where that could not be waited for.
    is_current: bool


class Finding(Record):
    """One thing that `verify` found."""

    #: missing, not-a-file, size, digest, content, unreadable, unlisted, duplicate, damaged,
    #: directory or count.
    problem: str
    #: Below the area, or absolute.
    path: str
    sop_instance_uid: str | None
    text: str
    is_repaired: bool


class Verified(Record):
    """What `verify` looked at."""

    instances: int
    bytes: int
    files: int
    #: Files that are no objects.
    others: int
    #: Files that came meanwhile, or wait in the journal.
    pending: int
    findings: int
    repaired: int


class LeftOut(Record):
    """A file that a rebuilt index does not list."""

    #: damaged, duplicate, undeleted or directory.
    reason: str
    path: str
    text: str


class Rebuilt(Record):
    """What `rebuild` did."""

    files: int
    instances: int
    duplicates: int
    damaged: int
    #: Files off the list that could not be deleted yet.
    undeleted: int
    others: int


class Study(Record):
    """A listed study."""

    #: In order of arrival.
    number: int
    study_instance_uid: str
    patient_id: str
    patient_name: str
    instances: int
    file_bytes: int
    #: Of the last object that came, in seconds since 1970.
    last_reception_s: float


class Instance(Record):
    """A listed instance."""

    #: In order of arrival.
    number: int
    #: own, relative or absolute.
    kind: str
    path: str
    file_bytes: int
    #: In seconds since 1970.
    received_s: float
    #: Registered as "not new" (dcmqridx -n).
    is_reviewed: bool
    #: Values by tag, as received.
    attributes: dict[int, bytes]

    def __hash__(self) -> int:
        return hash((self.number, self.path))

    def text(self, tag: int) -> str:
        """Return the value of an attribute, read in the instance's character set; "" if absent."""
        value = self.attributes.get(tag, b"")
        return _decoded(value, self.attributes.get(_SPECIFIC_CHARACTER_SET, b""))


class _Failures:
    """Turns the engine's errors into `IndexToolFailure`."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, _rust.IndexToolError):
            raise IndexToolFailure(("F", str(error.args[1]))) from None


def _unwatched(_phase: str, _done: int, _total: int | None) -> None:
    pass


def totals(directory: str) -> Totals:
    """Return how much the index of the area in `directory` lists."""
    with _Failures():
        counts = _rust.index_totals(directory)
    return Totals(
        journal_has_records=bool(counts.pop("journal_has_records")),
        is_current=bool(counts.pop("is_current")),
        **counts,
    )


def studies(directory: str) -> list[Study]:
    """Return the studies of the area, the longest untouched first."""
    with _Failures():
        rows = _rust.IndexReader(directory).studies()
    return [
        Study(
            number=number,
            study_instance_uid=_decoded(uid, b""),
            patient_id=_decoded(patient_id, character_set),
            patient_name=_decoded(name, character_set),
            instances=instances,
            file_bytes=file_bytes,
            last_reception_s=last_us / 1e6,
        )
        for number, uid, patient_id, name, character_set, instances, file_bytes, last_us in rows
    ]


def instances(directory: str) -> Iterator[Instance]:
    """Yield the instances of the area in the order in which they arrived.

    A process that is forked meanwhile begins anew: LMDB knows readers by their process.
    """
    with _Failures():
        cursor = _rust.IndexReader(directory).instances()
    while True:
        with _Failures():
            page = cursor.page()
        if not page:
            return
        for number, kind, path, file_bytes, received_us, is_reviewed, attributes in page:
            yield Instance(
                number=number,
                kind=kind,
                path=path,
                file_bytes=file_bytes,
                received_s=received_us / 1e6,
                is_reviewed=is_reviewed,
                attributes=attributes,
            )


def verify(
    directory: str,
    *,
    depth: str = "metadata",
    is_repairing: bool = False,
    threads: int | None = None,
    log_level: str = "warn",
    report: Callable[[Finding], None],
    watch: Watch = _unwatched,
) -> Verified:
    """Compare the index of an area with its files.

    Parameters
    ----------
    directory
        The area.
    depth
        ``metadata`` (there, and how large), ``digest`` (every byte) or ``full`` (what it says).
    is_repairing
        Put the index right; nobody else may have the area then.
    threads
        That look at files; None takes one per processor.
    log_level
        Of what the journal has to say.
    report
        Called with each finding.
    watch
        Called with the progress, ten times a second at most.
    """

    def show(problem: str, path: str, uid: str | None, text: str, is_repaired: bool) -> None:
        finding = Finding(
            problem=problem, path=path, sop_instance_uid=uid, text=text, is_repaired=is_repaired
        )
        report(finding)

    with _Failures(), as_owner(directory) if is_repairing else nullcontext():
        counts = _rust.verify_index(
            directory,
            depth=depth,
            repair=is_repairing,
            threads=threads,
            log_level=log_level,
            report=show,
            watch=watch,
        )
    return Verified(**counts)


def rebuild(
    directory: str,
    *,
    outside: list[str] | None = None,
    threads: int | None = None,
    log_level: str = "warn",
    report: Callable[[LeftOut], None],
    watch: Watch = _unwatched,
) -> Rebuilt:
    """Make the index of an area anew from its files, and from those in `outside`."""

    def show(reason: str, path: str, text: str) -> None:
        report(LeftOut(reason=reason, path=path, text=text))

    with _Failures(), as_owner(directory):
        counts = _rust.rebuild_index(
            directory,
            outside=outside or [],
            threads=threads,
            log_level=log_level,
            report=show,
            watch=watch,
        )
    return Rebuilt(**counts)


def export(directory: str, target: str, *, watch: Watch = _unwatched) -> int:
    """Write the index of an area to the file `target`; return how many entries it has."""
    with _Failures():
        return _rust.export_index(directory, target, watch)


def import_(
    directory: str, source: str, *, log_level: str = "warn", watch: Watch = _unwatched
) -> int:
    """Make the index of an area from an exported one; return how many instances it has."""
    with _Failures(), readable_by_owner(source, directory) as readable:
        return _rust.import_index(directory, readable, log_level, watch)


class Registrar:
    """Lists files in the index of an area where they are.

    A context manager; the area is nobody else's meanwhile.
    """

    def __init__(self, directory: str, *, log_level: str = "warn") -> None:
        self._rights = ExitStack()
        self._rights.enter_context(as_owner(directory))
        try:
            with _Failures():
                self._inner = _rust.Registrar(os.path.realpath(directory), log_level)
        except BaseException:
            self._rights.close()
            raise

    def __enter__(self) -> Registrar:
        return self

    def __exit__(self, *_: object) -> None:
        with self._rights, _Failures():
            self._inner.close()

    def register(self, path: str, *, is_reviewed: bool = False) -> tuple[str, str]:
        """List one file, as one that was looked at before or not.

        Returns
        -------
        tuple
            ``("listed", "")``, ``("replaced", path)`` with the file that was listed before, or
            ``("refused", why)``.
        """
        # Links on the way to the file are followed once, now.
        absolute = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        with _Failures():
            return self._inner.register(absolute, is_reviewed)


def _decoded(value: bytes, character_set: bytes) -> str:
    """Return `value` as text; what its character set does not explain is shown in some form."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    from pydicom.charset import convert_encodings, decode_bytes

    names = [name.strip() for name in character_set.decode("ascii", "replace").split("\\")]
    try:
        return decode_bytes(value, convert_encodings(names), {0x5C, 0x5E, 0x3D})
    except (LookupError, ValueError):
        return value.decode("utf-8", "backslashreplace")
