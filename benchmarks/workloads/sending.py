"""One run of ``tools/load`` against one running receiver: rates, latencies, what it cost.

Not measured: process start and association negotiation.  Measured: from the first byte of the first
C-STORE-RQ to the last C-STORE-RSP, the server's CPU time over the same span (plus accepting the
associations), and how far its resident memory rose.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import corpora
from peers import Running, certificates, on_cpus
from peers.limit import TOOLS
from workloads import Measures

LOAD = TOOLS / "target" / "release" / "load"

#: No run takes longer than this; the slowest peer needs about ten seconds for its share.
_LOAD_DEADLINE_S = 180


class LoadError(RuntimeError):
    """The load generator did not get every object acknowledged."""


def load(
    running: Running,
    corpus: corpora.Corpus,
    *,
    associations: int,
    objects: int,
    queue: bool = False,
    cpus: set[int] | None = None,
    first: int | None = None,
    refusals: bool = False,
    short: bool = False,
    tls: bool = False,
) -> Measures:
    """Drive a running receiver; return rates, latencies, and what it cost the receiver.

    With `short` each object has an association of its own; `tls` speaks it. With `first` the
    instances are numbered on from it over all associations; with `refusals` those that are refused
    are counted and no error.
    """
    command = [
        *(str(LOAD), "--port", str(running.port), "--called", running.title),
        *(*corpus.load_arguments(), "--hold"),
        *(["--first", str(first)] if first is not None else []),
        *("--associations", str(associations), "--objects", str(objects)),
        *(["--queue"] if queue else []),
        *(["--refusals"] if refusals else []),
        *(["--short"] if short else []),
        *(["--tls", str(certificates.AUTHORITY)] if tls else []),
    ]
    running.reset_peak()
    machine_before = _busy_seconds()
    memory_before, cpu_before = running.memory(), running.cpu_seconds()
    with on_cpus(cpus):
        sender = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    # `--hold`: the line comes when the last object is acknowledged, and the associations stand
    # until standard input closes, so the processes that did the work are still there to be asked.
    assert sender.stdin is not None
    assert sender.stdout is not None
    try:
        line = sender.stdout.readline()
        cpu_s = running.cpu_seconds() - cpu_before
        # The sender's own clock, as for the receiver's processes; it still lives.
        sender_s = time.clock_gettime((~sender.pid << 3) | 2)
        machine_s = _busy_seconds() - machine_before
        memory = running.memory()
        _, errors = sender.communicate(timeout=_LOAD_DEADLINE_S)
    finally:
        sender.kill()
        sender.wait()
    if not line:
        raise LoadError(f"load: {errors.decode('utf-8', 'replace').strip()}")
    answer = json.loads(line)
    if answer["missing"] or answer["failures"]:
        raise LoadError(f"{answer['missing']} objects not stored: {answer['failures']}")
    return {
        "objects_per_s": answer["objects_per_s"],
        "mb_per_s": answer["mb_per_s"],
        "latency_p50_us": answer["latency_us_p50"],
        "latency_p99_us": answer["latency_us_p99"],
        "seconds": answer["seconds"],
        "seconds_with_associations": answer["seconds_with_associations"],
        "objects": answer["objects"],
        "refused": answer["refused"],
        # What somebody else did meanwhile; kernel threads that worked for us count here too.
        "others_cpus": max(0.0, machine_s - cpu_s - sender_s)
        / max(answer["seconds_with_associations"], 0.01),
        "server_cpu_us_per_object": cpu_s / answer["objects"] * 1e6,
        "memory_growth_mb": memory.resident_peak - memory_before.resident,
    }


def _busy_seconds() -> float:
    """CPU time that the whole machine has spent on anything, from proc(5) stat."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
