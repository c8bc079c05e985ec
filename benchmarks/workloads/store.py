"""The measurement that all store workloads share: one run of ``tools/load`` against one peer.

Not measured: process start and association negotiation.  Measured: from the first byte of the first
C-STORE-RQ to the last C-STORE-RSP, the server's CPU time over the same span (plus accepting the
associations), and how far its resident memory rose.  Every run is checked: all responses 0000H
with the right message ID, all files there, and a sample of them compared byte by byte.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import time
from pathlib import Path

import corpora
from peers import Peer, Running, dcmfast, dcmtk, limit, on_cpus, pynetdicom
from peers.limit import TOOLS
from workloads import Context, Measures, Workload

LOAD = TOOLS / "target" / "release" / "load"
DETAILS = (
    "mb_per_s",
    "server_cpu_us_per_object",
    "latency_p50_us",
    "latency_p99_us",
    "memory_growth_mb",
)

#: Every receiver, at one association of small objects; and what is to be said of them.
ALL = (
    limit.LIMIT,
    dcmfast.STORESCP,
    dcmfast.STORESCP_B,
    dcmfast.DCMRECV,
    *dcmtk.FAIR,
    *dcmtk.DEFAULT,
    pynetdicom.STORESCP,
)
WITHOUT_NODELAY = "DCMTK's rows marked “default” run without TCP_NODELAY=1 and send 1 % of this."
#: Those that serve several associations in a time that can be compared.
CONCURRENT = (
    limit.LIMIT,
    dcmfast.STORESCP,
    dcmfast.DCMRECV,
    dcmtk.STORESCP_FORK,
    dcmtk.STORESCP_FORK_B,
    dcmtk.DCMRECV,
)
ONE_BY_ONE = "DCMTK's dcmrecv serves the four associations one after the other."

#: No run takes longer than this; the slowest peer needs about ten seconds for its share.
_LOAD_DEADLINE_S = 180


class LoadError(RuntimeError):
    """The load generator did not get every object acknowledged."""


def store_workload(
    name: str,
    title: str,
    *,
    kind: str,
    associations: int,
    objects: int,
    peers: tuple[Peer, ...],
    one_core: bool = False,
    synced: bool = False,
    remark: str = "",
) -> Workload:
    """Describe a load of `objects` instances of `kind` on each of `associations` associations.

    `one_core` pins both sides to one CPU; `synced` stores where syncs are measured (`Ground`).
    """
    measure = functools.partial(
        _measure,
        kind=kind,
        associations=associations,
        objects=objects,
        one_core=one_core,
        synced=synced,
    )
    remarks = [f"{objects} objects on each of {associations} association(s)."]
    if one_core:
        remarks.append(
            "Both sides pinned to one core: sender and receiver take turns here, and on two "
            "virtual cores each turn would cost a wake-up of the other."
        )
    if remark:
        remarks.append(remark)
    return Workload(name, title, "objects_per_s", DETAILS, peers, measure, " ".join(remarks))


def _measure(
    peer: Peer,
    context: Context,
    *,
    kind: str,
    associations: int,
    objects: int,
    one_core: bool,
    synced: bool,
) -> Measures:
    corpus = _corpus(kind, context.corpora)
    count = context.count(objects, peer.share, least=3 if objects > 3 else 1)
    cpus = {0} if one_core else None
    with context.ground.fresh(synced=synced) as directory:
        with peer.running(directory, cpus=cpus) as running:
            measures = load(
                running,
                corpus,
                associations=associations,
                objects=count,
                queue=associations > 1 and not peer.serves_many,
                cpus=cpus,
            )
        corpora.verify_stored(
            directory,
            corpus,
            associations=associations,
            objects=count,
            sample=max(2, min(64, (64 << 20) // corpus.object_bytes)),
        )
    return measures


def load(
    running: Running,
    corpus: corpora.Corpus,
    *,
    associations: int,
    objects: int,
    queue: bool = False,
    cpus: set[int] | None = None,
) -> Measures:
    """Drive a running receiver; return rates, latencies, and what it cost the receiver."""
    command = [
        *(str(LOAD), "--port", str(running.port), *corpus.load_arguments(), "--hold"),
        *("--associations", str(associations), "--objects", str(objects)),
        *(["--queue"] if queue else []),
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


@functools.cache
def _corpus(kind: str, directory: Path) -> corpora.Corpus:
    return corpora.make(kind, directory)
