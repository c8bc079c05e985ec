"""Receivers and other programs as child processes: started, watched, stopped.

A receiver is ready when the kernel lists its port as listening; asking the kernel instead of
connecting leaves no trace in the receiver's log. Nothing here sleeps: output is read by a thread
that wakes whoever waits for a line.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

DCMTK_BIN = Path("/usr/bin")
PYTHON = sys.executable


def command(implementation: str, tool: str) -> list[str]:
    """Command line that begins `tool` of ``dcmfast`` or ``dcmtk``."""
    if implementation == "dcmtk":
        return [str(DCMTK_BIN / tool)]
    return [PYTHON, "-m", "dcmfast", tool]


def wait_until(
    condition: Callable[[], bool], *, within_s: float = 10.0, what: str = "condition"
) -> None:
    """Wait for something that nobody announces (a directory's content, the kernel's tables)."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        # select on nothing is a bounded wait between two looks, not a guess at how long it takes.
        select.select([], [], [], 0.005)


_LISTEN = "0A"


def is_listening(port: int) -> bool:
    """True when a socket of this network namespace listens on `port`."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[3] == _LISTEN:
                return True
    return False


#: Workers of one run take ports of their own, so that none takes what another has just found free.
_PORTS = 2400
_FIRST_PORT = 20000 + _PORTS * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 5)
_next_port = _FIRST_PORT + (os.getpid() * 97) % _PORTS


def free_port() -> int:
    """A port that nobody listens on, below the range from which the kernel takes its own."""
    global _next_port
    while True:
        _next_port = _FIRST_PORT + (_next_port - _FIRST_PORT + 1) % _PORTS
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", _next_port))
            except OSError:
                continue
            return _next_port


class Output:
    """What a child writes to one stream, read by a thread as it comes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._data = bytearray()
        self._closed = False
        self._changed = threading.Condition()
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._pipe.fileno(), 65536):
            with self._changed:
                self._data += data
                self._changed.notify_all()
        self._pipe.close()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def data(self) -> bytes:
        """Everything so far."""
        with self._changed:
            return bytes(self._data)

    @property
    def text(self) -> str:
        """Everything so far as text."""
        return self.data.decode("utf-8", "backslashreplace")

    @property
    def lines(self) -> list[str]:
        """Everything so far, line by line."""
        return self.text.splitlines()

    def wait_for(self, pattern: str, *, count: int = 1, within_s: float = 10.0) -> str:
        """Wait until `pattern` has matched `count` times; the last match."""
        wanted = re.compile(pattern.encode(), re.MULTILINE)
        deadline = time.monotonic() + within_s
        with self._changed:
            while True:
                matches = list(wanted.finditer(self._data))
                if len(matches) >= count:
                    return matches[count - 1].group().decode("utf-8", "backslashreplace")
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    text = self._data.decode("utf-8", "replace")
                    raise AssertionError(f"no {pattern!r} (x{count}) in:\n{text}")
                self._changed.wait(left)

    def wait_closed(self, within_s: float = 10.0) -> bytes:
        """Wait until the stream has ended; everything that came."""
        self._thread.join(within_s)
        assert not self._thread.is_alive()
        return self.data


@dataclass
class Receiver:
    """A running storescp, dcmrecv, dcmqrscp or serve, of dcmfast or of DCMTK."""

    implementation: str
    tool: str
    port: int
    directory: Path
    process: subprocess.Popen[bytes]
    stdout: Output
    stderr: Output
    arguments: Sequence[str] = field(default_factory=tuple)
    host: str = "127.0.0.1"

    @property
    def is_ours(self) -> bool:
        """True for dcmfast."""
        return self.implementation == "dcmfast"

    def files(self) -> list[Path]:
        """Every file below the output directory, hidden ones and part files too."""
        return sorted(path for path in self.directory.rglob("*") if path.is_file())

    def names(self) -> list[str]:
        """Names of the files, relative to the output directory."""
        return [str(path.relative_to(self.directory)) for path in self.files()]

    def in_transit(self) -> list[str]:
        """The objects being received: part files, those without a name as ``(deleted)``."""
        found = []
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except FileNotFoundError:  # closed meanwhile
                continue
            name = target.removeprefix(f"{self.directory.resolve()}/")
            if name != target and (".part" in name or name.endswith(" (deleted)")):
                found.append(name)
        return found

    def descriptors(self) -> int:
        """Number of open descriptors."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def threads(self) -> int:
        """Number of threads."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/task").iterdir())

    def private_kib(self) -> int:
        """Memory that is this process's alone, in KiB (mapped files are cache, not memory)."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss_Anon:\s+(\d+) kB", rollup, re.MULTILINE)
        assert found is not None
        return int(found.group(1))

    def cpu_s(self) -> float:
        """Processor time used so far, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, *, within_s: float = 15.0) -> int:
        """Ask for the end with SIGTERM and return the exit code; the program must obey in time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(within_s=within_s)

    def wait(self, *, within_s: float = 15.0) -> int:
        """Wait for the end of the process and of its output; the exit code."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
            raise AssertionError(
                f"{self.tool} did not end within {within_s} s; stderr:\n{self.stderr.text}"
            ) from None
        self.stdout.wait_closed()
        self.stderr.wait_closed()
        return code

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self.process.kill()
        self.process.wait(10)


def child_environment(**changes: str | None) -> dict[str, str]:
    """The environment of a child: no colours, no local language, no Nagle in DCMTK's tools."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DCMFAST_", "DCMTK_", "DCMLOG", "PYTEST", "COV_"))
    }
    environment |= {"TCP_NODELAY": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC", "NO_COLOR": "1"}
    for key, value in changes.items():
        if value is None:
            environment.pop(key, None)
        else:
            environment[key] = value
    return environment


def start_receiver(
    implementation: str,
    tool: str,
    directory: Path,
    arguments: Sequence[str] = (),
    *,
    environment: dict[str, str] | None = None,
    port: int | None = None,
    prefix: Sequence[str] = (),
    host: str = "127.0.0.1",
) -> Receiver:
    """Start a receiver and wait until it listens."""
    port = free_port() if port is None else port
    # Where objects go: an archive's configuration says it, serve's parameter does.
    place = {
        "dcmqrscp": [str(port)],
        "serve": [str(directory), "--port", str(port)],
    }.get(tool, [str(port), "-od", str(directory)])
    line = [*prefix, *command(implementation, tool), *place, *arguments]
    process = subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(**(environment or {})),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    receiver = Receiver(
        implementation,
        tool,
        port,
        directory,
        process,
        Output(process.stdout),
        Output(process.stderr),
        tuple(arguments),
        host,
    )
    deadline = time.monotonic() + 20
    while not is_listening(port):
        if process.poll() is not None:
            receiver.stderr.wait_closed()
            raise AssertionError(f"{line} ended with {process.returncode}:\n{receiver.stderr.text}")
        assert time.monotonic() < deadline, f"{line} does not listen"
        select.select([], [], [], 0.005)
    return receiver


@dataclass(frozen=True)
class Finished:
    """A program that ran to its end."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """Lines of standard error."""
        return self.stderr.splitlines()


def run_tool(
    implementation: str,
    tool: str,
    arguments: Sequence[str | Path] = (),
    *,
    within_s: float = 60.0,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
) -> Finished:
    """Run a program of dcmfast or DCMTK to its end."""
    done = subprocess.run(
        [*command(implementation, tool), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=within_s,
        env=child_environment(**(environment or {})),
        cwd=cwd,
        check=False,
    )
    return Finished(
        done.returncode,
        done.stdout.decode("utf-8", "backslashreplace"),
        done.stderr.decode("utf-8", "backslashreplace"),
    )
