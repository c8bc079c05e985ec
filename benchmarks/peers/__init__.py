"""The receivers under comparison, each behind the same interface.

A `Peer` says how a receiver is started and what it can do; `Peer.running` starts it, waits until it
listens, and yields a `Running` that reads CPU time and memory of the whole process tree (DCMTK's
``--fork`` serves each association in a child).  Nothing here sends: the load comes from
``tools/load``, the same for all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

LISTENING_DEADLINE_S = 15.0
STOP_DEADLINE_S = 5.0

_POLL_S = 0.0005
_TCP_LISTEN = "0A"


@dataclass(frozen=True)
class Places:
    """What is filled into a command line or a configuration file."""

    port: int
    #: Where the peer of a C-MOVE will listen.
    move_port: int
    #: The run's own directory, empty at first.
    directory: Path


class PeerError(RuntimeError):
    """A receiver did not start, or ended before it was told to."""


@dataclass(frozen=True)
class Peer:
    """How to start one receiver in one configuration."""

    #: As it stands in the tables, such as ``storescp --fork +B``.
    name: str
    #: ``dcmfast``, ``dcmtk``, ``orthanc``, ``pynetdicom`` or ``limit``.
    family: str
    #: Command line; ``{port}`` and ``{directory}`` are filled in.
    command: tuple[str, ...]
    #: Added to the environment.
    variables: dict[str, str] = field(default_factory=dict)
    #: Writes into the directory what the command line names, before the start.
    configure: Callable[[Places], None] | None = None
    #: Its application entity title.
    title: str = "ANY-SCP"
    #: False: one association at a time, the next one waits in the listen queue.
    serves_many: bool = True
    #: Part of a workload's object count that is enough: a receiver at 22 objects/s would take
    #: minutes for what others do in a second, and its rate does not depend on the count.
    share: float = 1.0
    #: True where parallel loads are known to lose objects: those refused are counted apart, and
    #: nobody is surprised by what cannot be found afterwards.
    loses_some: bool = False
    #: False for programs that are only timed, and for libraries that are called.
    listens: bool = True

    @contextlib.contextmanager
    def running(self, directory: Path, *, cpus: set[int] | None = None) -> Iterator[Running]:
        """Start the receiver, yield it when it listens, and stop it whatever happens.

        Parameters
        ----------
        directory
            Where it stores; must exist.
        cpus
            CPUs it may use, inherited by its threads and children; None for all.
        """
        places = Places(free_port(), free_port(), directory)
        port = places.port
        command = [part.format(port=port, directory=directory) for part in self.command]
        if self.configure is not None:
            self.configure(places)
        with tempfile.TemporaryFile() as output:
            started = time.perf_counter()
            with on_cpus(cpus):
                process = subprocess.Popen(
                    command,
                    env={**os.environ, **self.variables},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            try:
                _wait_until_listening(process, port, self.name)
                started_s = time.perf_counter() - started
                yield Running(process, port, places.move_port, self.title, started_s)
            except Exception as error:
                error.add_note(f"{self.name}: {' '.join(command)}\n{_tail(output.fileno())}")
                raise
            finally:
                _stop(process)

    def why_unavailable(self, directory: Path) -> str | None:
        """Start it once; return None when it listens, else what it said, on one line."""
        if not self.listens:
            return None
        try:
            with self.running(directory):
                return None
        except (PeerError, OSError) as error:
            notes = " ".join(getattr(error, "__notes__", []))
            return " ".join(f"{error} {notes}".split())[-300:]


@dataclass(frozen=True)
class Memory:
    """Memory of a process tree, in MB of 10^6 bytes."""

    #: Sum of resident sets; pages shared between parent and child count in each.
    resident: float
    #: Sum of the highest resident sets so far.
    resident_peak: float
    #: Proportional set sizes: a shared page counts once.
    proportional: float
    #: The anonymous part of `proportional`: what would not be given back by dropping caches.
    anonymous: float


@dataclass(frozen=True)
class Running:
    """A receiver that listens."""

    process: subprocess.Popen[bytes]
    port: int
    move_port: int
    title: str
    #: From just before exec to the listening socket.
    startup_s: float

    def cpu_seconds(self) -> float:
        """CPU time of the tree so far, including children that have ended and were waited for."""
        total = 0.0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                # The kernel's encoding of "CPU time of another process", in nanoseconds; the
                # figures of /proc/<pid>/stat come in steps of 10 ms.
                total += time.clock_gettime((~pid << 3) | 2)
                total += _waited_children_seconds(pid)
        return total

    def memory(self) -> Memory:
        """Read the memory of every living process of the tree."""
        resident = peak = proportional = anonymous = 0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                status = _kilobytes(Path(f"/proc/{pid}/status"))
                resident += status.get("VmRSS", 0)
                peak += status.get("VmHWM", 0)
                rollup = _kilobytes(Path(f"/proc/{pid}/smaps_rollup"))
                proportional += rollup.get("Pss", 0)
                anonymous += rollup.get("Pss_Anon", 0)
        return Memory(*(value * 1024 / 1e6 for value in (resident, peak, proportional, anonymous)))

    def reset_peak(self) -> None:
        """Make `Memory.resident_peak` start again from what is resident now."""
        for pid in self._tree():
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def process_count(self) -> int:
        """Processes of the tree that live."""
        return len(self._tree())

    def _tree(self) -> list[int]:
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    todo += map(int, (task / "children").read_text().split())
        return found


@contextlib.contextmanager
def on_cpus(cpus: set[int] | None) -> Iterator[None]:
    """Let what is started inside inherit an affinity, without a wrapper program."""
    before = os.sched_getaffinity(0)
    if cpus is not None:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """Return a port that nothing listens on; the kernel does not give it out again soon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    """Watch the kernel's socket table: a connection would be an association of its own to some."""
    suffix = f":{port:04X}"
    deadline = time.monotonic() + LISTENING_DEADLINE_S
    while time.monotonic() < deadline:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with contextlib.suppress(OSError):
                for line in Path(table).read_text(encoding="ascii").splitlines():
                    columns = line.split(None, 4)
                    if columns[3] == _TCP_LISTEN and columns[1].endswith(suffix):
                        return
        if process.poll() is not None:
            raise PeerError(f"{name} ended with exit code {process.returncode}")
        time.sleep(_POLL_S)
    raise PeerError(f"{name} does not listen after {LISTENING_DEADLINE_S:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL to what is left of its session (the children of ``--fork``)."""
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_DEADLINE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _waited_children_seconds(pid: int) -> float:
    """Fields 16 and 17 of proc(5) stat: cutime and cstime, counted after the program's name."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def _kilobytes(path: Path) -> dict[str, int]:
    """Read the ``Name: 123 kB`` lines of a file of /proc."""
    found = {}
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            found[words[0].rstrip(":")] = int(words[1])
    return found


def _tail(descriptor: int, count: int = 500) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, count, max(0, size - count)).decode("utf-8", "replace")
