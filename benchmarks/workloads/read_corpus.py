"""dcmfast.read and dcmfast.write beside pydicom's, over pydicom's own test files.

Four loads, each one pass over all files that pydicom reads and whose values it can decode:

- headers: ``stop_before_pixels=True``, no value looked at;
- values: the whole file, then every value of every element touched once, nested ones too;
- write, as read: data sets just read, so that most elements are still raw;
- write, touched: data sets whose every value has been decoded, so that each is encoded again.

Answers are checked before anything is timed: equal data sets, equal bytes.  The writers get equal
data sets made by pydicom and write into memory; preparing them is not timed.
"""

from __future__ import annotations

import functools
import gc
import importlib
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import Peer
from workloads import Context, Measures, Workload

Read = Callable[..., Any]
Write = Callable[..., Any]


@dataclass(frozen=True)
class LibraryPeer(Peer):
    """A library, called in this process: nothing is started."""

    module: str = ""
    reader: str = ""
    writer: str = ""
    listens: bool = False

    def why_unavailable(self, directory: Path) -> str | None:
        """Say which function is missing, if one is."""
        del directory
        try:
            module = importlib.import_module(self.module)
        except ImportError as error:
            return str(error)
        missing = [name for name in (self.reader, self.writer) if not hasattr(module, name)]
        return f"{self.module} has no {' and no '.join(missing)}" if missing else None

    def read(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the library's reader."""
        return getattr(importlib.import_module(self.module), self.reader)(*arguments, **keywords)

    def write(self, *arguments: Any) -> Any:
        """Call the library's writer."""
        return getattr(importlib.import_module(self.module), self.writer)(*arguments)


PYDICOM = LibraryPeer(
    "pydicom", "pydicom", (), module="pydicom", reader="dcmread", writer="dcmwrite"
)
DCMFAST = LibraryPeer("dcmfast", "dcmfast", (), module="dcmfast", reader="read", writer="write")


class UnequalAnswerError(RuntimeError):
    """dcmfast's result differs from pydicom's: nothing to compare in speed."""


def touch(dataset: Any) -> int:
    """Look at every value once, in nested data sets too; return how many there were."""
    count = 0
    for element in dataset:
        value = element.value
        count += 1
        if element.VR == "SQ":
            for item in value:
                count += touch(item)
    return count


@functools.cache
def _files() -> tuple[Path, ...]:
    """Files of pydicom's bundled test data that pydicom reads, decodes and writes again."""
    import pydicom
    import pydicom.data

    found = []
    root = Path(pydicom.data.__file__).parent
    for path in sorted(root.rglob("*")):
        if not path.is_file():
            continue
        try:
            dataset = pydicom.dcmread(path)
            pydicom.dcmwrite(io.BytesIO(), dataset)
            touch(dataset)
            pydicom.dcmwrite(io.BytesIO(), dataset)
        except Exception:
            continue
        found.append(path)
    return tuple(found)


def _check_reads(peer: LibraryPeer) -> None:
    """Whole data sets equal pydicom's; where values are unequal to themselves, by their text."""
    for path in _files():
        ours, theirs = peer.read(path), PYDICOM.read(path)
        touch(ours)
        touch(theirs)
        if ours != theirs and str(ours) != str(theirs):
            raise UnequalAnswerError(f"{path.name}: {peer.name} and pydicom read it differently")


def _check_writes(peer: LibraryPeer) -> None:
    for path in _files():
        ours, theirs = io.BytesIO(), io.BytesIO()
        peer.write(ours, PYDICOM.read(path))
        PYDICOM.write(theirs, PYDICOM.read(path))
        if ours.getvalue() != theirs.getvalue():
            raise UnequalAnswerError(f"{path.name}: {peer.name} and pydicom write it differently")


_CHECKED: set[tuple[str, str]] = set()


def _check_once(peer: LibraryPeer, what: str, check: Callable[[LibraryPeer], None]) -> None:
    if peer is not PYDICOM and (peer.name, what) not in _CHECKED:
        check(peer)
        _CHECKED.add((peer.name, what))


def _timed(pieces: list[Callable[[], Any]]) -> Measures:
    """Time each call by itself, so that the report can tell a typical file from the largest."""
    gc.collect()
    spans = []
    for piece in pieces:
        started = time.perf_counter()
        piece()
        spans.append(time.perf_counter() - started)
    total = sum(spans)
    return {
        "files_per_s": len(spans) / total,
        "total_ms": total * 1e3,
        "median_file_us": sorted(spans)[len(spans) // 2] * 1e6,
        "files": len(spans),
    }


def _measure(peer: Peer, context: Context, *, load: str) -> Measures:
    del context
    assert isinstance(peer, LibraryPeer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Bad files warn in both; the texts are tested elsewhere.
        files = _files()
        if load == "headers":
            _check_once(peer, "read", _check_reads)
            return _timed([functools.partial(peer.read, p, stop_before_pixels=True) for p in files])
        if load == "values":
            _check_once(peer, "read", _check_reads)
            return _timed([functools.partial(_read_and_touch, peer, path) for path in files])
        _check_once(peer, "write", _check_writes)
        datasets = [PYDICOM.read(path) for path in files]
        if load == "write_touched":
            for dataset in datasets:
                touch(dataset)
        return _timed([functools.partial(peer.write, io.BytesIO(), each) for each in datasets])


def _read_and_touch(peer: LibraryPeer, path: Path) -> None:
    touch(peer.read(path))


def _workload(load: str, title: str, remark: str) -> Workload:
    return Workload(
        f"read_{load}" if not load.startswith("write") else load,
        title,
        "files_per_s",
        ("total_ms", "median_file_us", "files"),
        (PYDICOM, DCMFAST),
        functools.partial(_measure, load=load),
        remark,
    )


WORKLOADS = (
    _workload("headers", "Read: headers", "`stop_before_pixels=True`; no value looked at."),
    _workload("values", "Read: everything", "Every value of every element touched once."),
    _workload("write_raw", "Write: data sets as read", "Most elements are still raw bytes."),
    _workload("write_touched", "Write: data sets with decoded values", "Every value is encoded."),
)
