"""From exec to the listening socket, beside the bare interpreter of the same environment.

The listening socket is seen in the kernel's table, looked at every half millisecond; nothing
connects.  The bare interpreter's time is from exec to its end: ``python -c pass``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from peers import Peer, dcmfast, dcmtk, limit, pynetdicom
from workloads import Context, Measures, Workload

BARE = Peer("python -c pass", "python", (sys.executable, "-c", "pass"), listens=False)


def _measure(peer: Peer, context: Context) -> Measures:
    if peer is BARE:
        started = time.perf_counter()
        process = subprocess.Popen(peer.command, start_new_session=True)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return {
            "startup_ms": (time.perf_counter() - started) * 1e3,
            "startup_cpu_ms": (usage.ru_utime + usage.ru_stime) * 1e3,
        }
    with context.ground.fresh() as directory, peer.running(directory) as running:
        return {
            "startup_ms": running.startup_s * 1e3,
            "startup_cpu_ms": running.cpu_seconds() * 1e3,
            "idle_resident_mb": running.memory().resident,
        }


WORKLOADS = (
    Workload(
        "startup",
        "Start-up to listening",
        "startup_ms",
        ("startup_cpu_ms", "idle_resident_mb"),
        (
            BARE,
            dcmfast.STORESCP,
            dcmfast.DCMRECV,
            dcmtk.STORESCP,
            dcmtk.DCMRECV,
            pynetdicom.STORESCP,
            limit.LIMIT,
        ),
        _measure,
        "Resident memory is read as soon as the socket listens.",
        rounds_factor=3,
    ),
)
