"""Reading, looking at values, and writing: dcmfast beside pydicom, on pydicom's own files.

Run on a release build, alone on the machine:

    pytest benchmarks/micro/bench_element_view.py --benchmark-only

Each case of dcmfast stands beside the same case of pydicom; pytest-benchmark's table shows how many
times as fast. Run as a script, it takes turns between the two instead and prints medians and
ratios, which is what goals are held against: headers at least 5 times, all values touched at least
2 times, writing at least 3 times as fast as pydicom.

Fair: same files, same objects to write, page cache warm, pydicom's warnings and logging off for
both. Not measured: imports. The results are compared once before anything is timed.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmfast

RUNS = 7


def readable_files() -> list[str]:
    """The files in pydicom's package that it reads without force."""
    found = []
    for folder, _, names in os.walk(Path(pydicom.__file__).parent / "data"):
        for name in sorted(names):
            path = str(Path(folder) / name)
            try:
                pydicom.dcmread(path)
            except Exception:
                continue
            found.append(path)
    return found


def touch(data_set: pydicom.Dataset) -> int:
    """Look at every value once; return how many there were."""
    count = 0
    for element in data_set:
        value = element.value
        count += 1
        if element.VR == "SQ":
            count += sum(touch(item) for item in value)
    return count


def silence() -> None:
    """No warnings and no log: they would be measured."""
    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def headers(library: Any, files: list[str]) -> None:
    """Read all files up to their pixel data."""
    read = dcmfast.read if library is dcmfast else pydicom.dcmread
    for path in files:
        read(path, stop_before_pixels=True)


def whole(library: Any, files: list[str]) -> None:
    """Read all files."""
    read = dcmfast.read if library is dcmfast else pydicom.dcmread
    for path in files:
        read(path)


def touched(library: Any, files: list[str]) -> None:
    """Read all files and look at every value."""
    read = dcmfast.read if library is dcmfast else pydicom.dcmread
    for path in files:
        try:
            touch(read(path))
        except NotImplementedError:  # badVR.dcm and its like: the same for both
            continue


def write_all(library: Any, data_sets: list[Any]) -> None:
    """Write all data sets into memory."""
    write = dcmfast.write if library is dcmfast else pydicom.dcmwrite
    for data_set in data_sets:
        try:
            write(io.BytesIO(), data_set)
        except (TypeError, ValueError):  # two files that no writer takes: the same for both
            continue


def untouched_data_sets(library: Any, files: list[str]) -> list[Any]:
    """Data sets as read, by the library that will write them."""
    read = dcmfast.read if library is dcmfast else pydicom.dcmread
    return [read(path) for path in files]


def touched_data_sets(library: Any, files: list[str]) -> list[Any]:
    """Data sets whose values were all looked at, so that each is encoded anew."""
    data_sets = untouched_data_sets(library, files)
    for data_set in data_sets:
        try:
            touch(data_set)
        except NotImplementedError:
            continue
    return data_sets


READS: list[Callable[[Any, list[str]], None]] = [headers, whole, touched]
WRITES: list[Callable[[Any, list[str]], list[Any]]] = [untouched_data_sets, touched_data_sets]


@pytest.fixture(scope="module")
def files() -> list[str]:
    """The corpus, once both libraries were seen to agree on it."""
    silence()
    found = readable_files()
    for path in found:
        assert dcmfast.read(path)._dict == pydicom.dcmread(path)._dict
    return found


@pytest.mark.parametrize("library", [dcmfast, pydicom], ids=lambda library: library.__name__)
@pytest.mark.parametrize("work", READS, ids=lambda work: work.__name__)
def test_read(benchmark: Any, files: list[str], library: Any, work: Any) -> None:
    """Read the whole corpus."""
    benchmark.group = f"read: {work.__name__}"
    benchmark.pedantic(work, args=(library, files), rounds=RUNS, warmup_rounds=1)


@pytest.mark.parametrize("library", [dcmfast, pydicom], ids=lambda library: library.__name__)
@pytest.mark.parametrize("prepare", WRITES, ids=lambda prepare: prepare.__name__)
def test_write(benchmark: Any, files: list[str], library: Any, prepare: Any) -> None:
    """Write the whole corpus."""
    benchmark.group = f"write: {prepare.__name__}"
    benchmark.pedantic(
        write_all,
        setup=lambda: ((library, prepare(library, files)), {}),
        rounds=RUNS,
        warmup_rounds=1,
    )


def timed(work: Callable[[], None]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Run the cases interleaved and print medians and ratios."""
    silence()
    corpus = readable_files()
    print(f"{len(corpus)} files, medians of {RUNS} interleaved runs")
    for name, prepare, work in [
        *((read.__name__, lambda _, files: files, read) for read in READS),
        *((f"write {prepare.__name__}", prepare, write_all) for prepare in WRITES),
    ]:
        times: dict[str, list[float]] = {"dcmfast": [], "pydicom": []}
        for _ in range(RUNS):
            for library in (dcmfast, pydicom):
                subject = prepare(library, corpus)
                seconds = timed(functools.partial(work, library, subject))
                times[library.__name__].append(seconds)
        ours, theirs = (statistics.median(times[key]) for key in ("dcmfast", "pydicom"))
        print(
            f"{name:32} dcmfast {ours * 1e3:7.1f} ms  pydicom {theirs * 1e3:7.1f} ms  "
            f"{theirs / ours:5.1f} times as fast"
        )


if __name__ == "__main__":
    main()
