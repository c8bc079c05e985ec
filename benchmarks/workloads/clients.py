"""The query and retrieve clients beside DCMTK's, asking the same archive of dcmfast's.

findscu: from exec to the first answer on its output, and its CPU time up to its end.  movescu and
getscu: CT slices received per second, from exec to the end of the program, all of them counted as
files afterwards.  DCMTK's run with ``TCP_NODELAY=1`` and, findscu, as installed, too.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

from corpora import INSTANCES_PER_STUDY
from peers import Peer, archives, dcmtk
from workloads import Context, Measures, Workload
from workloads.asking import SMALLEST, AskError, holding

#: A client may take so long.
_DEADLINE_S = 120
_FIRST = b"Find Response"
#: Studies of 25 CT slices: so many that the start of a program (50 to 90 ms) matters little.
_STUDIES = 40


def _ours(tool: str) -> Peer:
    return Peer(
        f"dcmfast {tool}", "dcmfast", (sys.executable, "-m", "dcmfast", tool), listens=False
    )


def theirs(tool: str, name: str, variables: dict[str, str]) -> Peer:
    """DCMTK's program; one that is not installed is left out."""
    command = (dcmtk.path_of(tool) or f"no-dcmtk-{tool}",)
    return Peer(name, "dcmtk", command, variables, listens=False)


_NO_DELAY = {"TCP_NODELAY": "1"}
FINDSCU = _ours("findscu")
DCMTK_FINDSCU = theirs("findscu", "DCMTK findscu", _NO_DELAY)
DCMTK_FINDSCU_AS_INSTALLED = theirs("findscu", "DCMTK findscu, as installed", {})
MOVESCU, DCMTK_MOVESCU = _ours("movescu"), theirs("movescu", "DCMTK movescu", _NO_DELAY)
GETSCU, DCMTK_GETSCU = _ours("getscu"), theirs("getscu", "DCMTK getscu", _NO_DELAY)


def start(peer: Peer, arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start a client; its output is to be read."""
    environment = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
    return subprocess.Popen(
        [*peer.command, *arguments],
        env={**environment, **peer.variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end_of(process: subprocess.Popen[bytes], output: bytes) -> float:
    """Wait for the end; return the CPU time in milliseconds."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        text = output.decode("utf-8", "replace")
        raise AskError(f"exit {process.returncode}: {text[-300:]}")
    return (usage.ru_utime + usage.ru_stime) * 1e3


def _keys(*keys: str) -> list[str]:
    return [word for key in keys for word in ("-k", key)]


def _find(peer: Peer, context: Context) -> Measures:
    with holding(archives.DCMFAST_NONE, context, "tiny", SMALLEST) as archive:
        running = archive.running
        asked = _keys("QueryRetrieveLevel=STUDY", "StudyInstanceUID", "PatientName")
        line = ["-S", "-aec", running.title, "127.0.0.1", str(running.port), *asked]
        started = time.perf_counter()
        process = start(peer, line)
        assert process.stdout is not None
        output = b""
        while _FIRST not in output:
            part = os.read(process.stdout.fileno(), 65536)
            if not part:
                raise AskError(f"no answer: {output.decode('utf-8', 'replace')[-300:]}")
            output += part
        first_s = time.perf_counter() - started
        output += process.stdout.read()
        cpu_ms = end_of(process, output)
        return {"first_answer_ms": first_s * 1e3, "client_cpu_ms": cpu_ms}


def _retrieve(peer: Peer, context: Context, *, tool: str) -> Measures:
    objects = context.count(_STUDIES, least=3) * INSTANCES_PER_STUDY
    held = archives.DCMFAST_NONE
    with holding(held, context, "ct", objects) as archive, context.ground.fresh() as directory:
        running = archive.running
        line = ["-S", "-aec", running.title, "127.0.0.1", str(running.port), "-od", str(directory)]
        line += _keys("QueryRetrieveLevel=STUDY", "StudyInstanceUID")
        if tool == "movescu":
            line += ["-aem", archives.DESTINATION, "+P", str(running.move_port)]
        started = time.perf_counter()
        process = start(peer, line)
        assert process.stdout is not None
        output = process.stdout.read()
        cpu_ms = end_of(process, output)
        elapsed_s = time.perf_counter() - started
        count = len(list(Path(directory).iterdir()))
        if count != archive.objects:
            raise AskError(f"{count} files of {archive.objects} objects")
        return {
            "objects_per_s": count / elapsed_s,
            "client_cpu_us_per_object": cpu_ms * 1e3 / count,
        }


WORKLOADS = (
    Workload(
        "client_find",
        "findscu, from start to first answer",
        "first_answer_ms",
        ("client_cpu_ms",),
        (FINDSCU, DCMTK_FINDSCU, DCMTK_FINDSCU_AS_INSTALLED),
        _find,
        f"20 studies of an archive of {SMALLEST} instances.",
        rounds_factor=3,
    ),
    *(
        Workload(
            f"client_{tool}_ct",
            f"{tool}, CT slices (525 KB) into files",
            "objects_per_s",
            ("client_cpu_us_per_object",),
            peers,
            functools.partial(_retrieve, tool=tool),
            f"{_STUDIES} studies of 25 instances in one request; the program's start counts.",
        )
        for tool, peers in (
            ("movescu", (MOVESCU, DCMTK_MOVESCU)),
            ("getscu", (GETSCU, DCMTK_GETSCU)),
        )
    ),
)
