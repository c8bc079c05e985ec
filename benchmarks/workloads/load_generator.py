"""``dcmfast load`` against receivers that discard: what it can ask for on one processor.

The load generator is pinned to one CPU and the receiver to the others.  Rate: by its own report,
without the program's start.  CPU time: of the whole program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from peers import Peer, dcmfast, on_cpus
from workloads import Context, Measures, Workload
from workloads.sending import LoadError

#: A run takes some seconds.
_DEADLINE_S = 120
_ASSOCIATIONS = 4

DISCARDING = Peer("dcmfast storescp --ignore", "dcmfast", (*dcmfast.STORESCP.command, "--ignore"))


def _measure(peer: Peer, context: Context) -> Measures:
    count = context.count(200_000, least=200)
    cpus = os.sched_getaffinity(0)
    ours = {min(cpus)}
    with (
        context.ground.fresh() as directory,
        peer.running(directory, cpus=cpus - ours or cpus) as running,
        on_cpus(ours),
    ):
        report_file = directory / "report.json"
        line = [
            *(sys.executable, "-m", "dcmfast", "load", "store", "127.0.0.1", str(running.port)),
            *("--size", "128", "-n", str(count), "--associations", str(_ASSOCIATIONS)),
            *("--json", str(report_file), "-q"),
        ]
        process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, errors = process.communicate(timeout=_DEADLINE_S)
        finally:
            process.kill()
        if process.returncode:
            raise LoadError(f"exit {process.returncode}: {errors.decode('utf-8', 'replace')}")
        report = json.loads(report_file.read_text())
        succeeded = report["operations"]["store"]["succeeded"]
        if succeeded != count:
            raise LoadError(f"{succeeded} of {count} objects")
        return {
            "objects_per_s": succeeded / report["elapsed_s"],
            "latency_p99_us": report["operations"]["store"]["latency_us"]["p99"],
        }


WORKLOADS = (
    Workload(
        "load_generator_tiny",
        "dcmfast load, stores of tiny objects on one processor",
        "objects_per_s",
        ("latency_p99_us",),
        (DISCARDING,),
        _measure,
        f"{_ASSOCIATIONS} associations, 128 bytes of Pixel Data; the receiver has the other CPUs.",
    ),
)
