"""Objects stored through ``dcmfast record``, beside the same receiver without it.

Sent by ``dcmfast load`` to a receiver that discards, so that the recorder's cost is seen.  Rate:
by the sender's report.  CPU time: of the whole recorder, with its start and the bytes it writes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers import Peer
from workloads import Context, Measures, Workload
from workloads.load_generator import DISCARDING
from workloads.sending import LoadError

#: A run takes some seconds.
_DEADLINE_S = 120

DIRECT = dataclasses.replace(DISCARDING, name="dcmfast storescp --ignore, directly")
RECORDED = dataclasses.replace(DISCARDING, name="through dcmfast record")


class _Recorder:
    """A running recorder: its port, and what it has cost once it has ended."""

    def __init__(self, directory: Path, peer_port: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._file = directory / "talk.rec"
        # The second connection is the sender's; the first one asks whether it listens.
        line = [
            *(sys.executable, "-m", "dcmfast", "record", "-n", "2", "--max-size", "8G"),
            *(str(self._file), str(self.port), "127.0.0.1", str(peer_port)),
        ]
        self._process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except ConnectionRefusedError:
                if time.monotonic() > end or self._process.poll() is not None:
                    self._process.kill()
                    raise LoadError("the recorder does not listen") from None

    def finish(self, least_bytes: int) -> float:
        """Wait for its end and look at its file; return its CPU time in seconds."""
        end = time.monotonic() + 20
        while True:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                raise LoadError("the recorder does not end")
            time.sleep(0.005)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode:
            raise LoadError(f"the recorder ended with {self._process.returncode}")
        if self._file.stat().st_size < least_bytes:
            raise LoadError("the recording is shorter than what was sent")
        return usage.ru_utime + usage.ru_stime

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def _recorder(directory: Path, peer_port: int) -> Iterator[_Recorder]:
    running = _Recorder(directory, peer_port)
    try:
        yield running
    finally:
        running.kill()


def _sent(port: int, directory: Path, size: str, count: int) -> dict[str, float]:
    """Store `count` objects and return the report's figures."""
    report_file = directory / "report.json"
    line = [
        *(sys.executable, "-m", "dcmfast", "load", "store", "127.0.0.1", str(port)),
        *("--size", size, "-n", str(count), "--json", str(report_file), "-q"),
    ]
    done = subprocess.run(
        line, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DEADLINE_S, check=False
    )
    if done.returncode:
        raise LoadError(f"exit {done.returncode}: {done.stderr.decode('utf-8', 'replace')}")
    report = json.loads(report_file.read_text())
    figures = report["operations"]["store"]
    if figures["succeeded"] != count:
        raise LoadError(f"{figures['succeeded']} of {count} objects")
    return {
        "elapsed_s": report["elapsed_s"],
        "bytes": figures["bytes"],
        "p99_us": figures["latency_us"]["p99"],
    }


def _measure(peer: Peer, context: Context, *, size: str, objects: int) -> Measures:
    count = context.count(objects, least=20)
    with context.ground.fresh() as directory, peer.running(directory) as running:
        if peer is DIRECT:
            figures, cpu_s = _sent(running.port, directory, size, count), 0.0
        else:
            with _recorder(directory, running.port) as recorder:
                figures = _sent(recorder.port, directory, size, count)
                cpu_s = recorder.finish(int(figures["bytes"]))
    return {
        "objects_per_s": count / figures["elapsed_s"],
        "mb_per_s": figures["bytes"] / 1e6 / figures["elapsed_s"],
        "latency_p99_us": figures["p99_us"],
        "recorder_cpu_us_per_object": cpu_s * 1e6 / count,
    }


WORKLOADS = tuple(
    Workload(
        f"recorder_{kind}",
        f"Storing {what} through the recorder",
        "objects_per_s",
        ("mb_per_s", "latency_p99_us", "recorder_cpu_us_per_object"),
        (DIRECT, RECORDED),
        functools.partial(_measure, size=size, objects=objects),
        f"{objects} objects, one association; the recorder's CPU time counts its start.",
    )
    for kind, what, size, objects in (
        ("tiny", "tiny objects (128 bytes of Pixel Data)", "128", 20_000),
        ("ct", "CT slices (512 KiB of Pixel Data)", "512K", 500),
    )
)
