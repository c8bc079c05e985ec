"""storescu and dcmsend beside DCMTK's ``storescu +C`` with ``TCP_NODELAY=1``, to one receiver.

Objects sent per second, from exec to the end of the program, each counted as a file afterwards.
The receiver is dcmfast's storescp, which takes as much as it is sent; the page cache has the files.
A tiny object costs a receiver that stores it more than a sender: beside that row stands one
whose receiver discards.  There the exit code counts, which is 0 when every object was stored.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from pathlib import Path

import corpora
from peers import Peer, dcmfast, on_cpus
from workloads import Context, Measures, Workload
from workloads.asking import AskError, generate
from workloads.clients import end_of, start, theirs
from workloads.load_generator import DISCARDING

_NO_DELAY = {"TCP_NODELAY": "1"}


def _ours(tool: str, *options: str) -> Peer:
    command = (sys.executable, "-m", "dcmfast", tool, *options)
    return Peer(f"dcmfast {tool}", "dcmfast", command, listens=False)


STORESCU, DCMSEND = _ours("storescu", "+C"), _ours("dcmsend")
DCMTK_STORESCU = theirs("storescu", "DCMTK storescu +C", _NO_DELAY)
DCMTK_DCMSEND = theirs("dcmsend", "DCMTK dcmsend", _NO_DELAY)


def _files(kind: str, context: Context, objects: int) -> Path:
    """Write the files once in a run of the benchmark, and read them once."""
    corpus = corpora.make(kind, context.corpora, archived=True)
    directory = context.ground.root / "kept" / f"to-send-{kind}-{objects}"
    if not directory.exists():
        generate(corpus, directory, objects)
    for path in directory.rglob("*"):
        if path.is_file():
            path.read_bytes()
    return directory


def _measure(
    peer: Peer, context: Context, *, kind: str, objects: int, one_core: bool, discards: bool
) -> Measures:
    count = context.count(objects, least=50)
    source = _files(kind, context, count)
    with (
        on_cpus({0} if one_core else None),
        context.ground.fresh() as directory,
        (DISCARDING if discards else dcmfast.STORESCP).running(directory) as running,
    ):
        combine = ["+C"] if peer is DCMTK_STORESCU else []
        line = [*combine, "+sd", "+r", "127.0.0.1", str(running.port), str(source)]
        started = time.perf_counter()
        process: subprocess.Popen[bytes] = start(peer, line)
        assert process.stdout is not None
        output = process.stdout.read()
        cpu_ms = end_of(process, output)
        elapsed_s = time.perf_counter() - started
        stored = sum(path.is_file() for path in Path(directory).iterdir())
        if stored != (0 if discards else count):
            raise AskError(f"{stored} files of {count} objects")
        return {
            "objects_per_s": count / elapsed_s,
            "client_cpu_us_per_object": cpu_ms * 1e3 / count,
        }


_START_COUNTS = "the program's start counts, and DCMTK's run with TCP_NODELAY=1."
_ONE_CORE = (
    " Both sides pinned to one core: they take turns here, and on two virtual cores each turn"
    " would cost a wake-up of the other."
)

WORKLOADS = tuple(
    Workload(
        name,
        f"Sending {what}, one association",
        "objects_per_s",
        ("client_cpu_us_per_object",),
        (STORESCU, DCMSEND, DCMTK_STORESCU, DCMTK_DCMSEND),
        functools.partial(
            _measure, kind=kind, objects=objects, one_core=one_core, discards=discards
        ),
        f"{objects} files; {_START_COUNTS}{_ONE_CORE if one_core else ''}",
    )
    for name, kind, what, objects, one_core, discards in (
        ("send_tiny", "tiny", "tiny instances (1 KB)", 20_000, True, False),
        ("send_tiny_discarded", "tiny", "tiny instances, discarded", 20_000, True, True),
        ("send_ct", "ct", "CT slices (525 KB)", 300, False, False),
    )
)
