"""The crossing budget of ARCHITECTURE.md: how often the engine enters Python while it serves.

Per PDU, per object and per association: never. Two ways of looking, because each has a blind spot.
A profile function sees every Python call, but only of threads that Python knows. A main thread that
does not let go of the interpreter stops every thread that wants it, whoever started that thread;
what then still gets done was done without Python.
"""

from __future__ import annotations

import ctypes
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcmfast import _rust
from dcmfast.net import scp
from dcmfast.options import settings
from dcmfast.options.specs.storescp import STORESCP
from testkit.corpus import split_part10
from testkit.peer import ScriptedPeer
from vectors import make

TESTS = Path(__file__).resolve().parents[2]
SENDERS = 3
ASSOCIATIONS = 4
OBJECTS = 5
#: Longest wait for the senders, in milliseconds. They take about one second.
SENT_MS = 60_000

#: A process of its own: it needs nothing of the interpreter that is held. Waits for one byte.
SENDER = f"""
import sys
from testkit.peer import ScriptedPeer
from vectors import make
port, first = int(sys.argv[1]), int(sys.argv[2])
objects = [make.ct(first + n) for n in range({ASSOCIATIONS * OBJECTS})]
sys.stdout.write("r")
sys.stdout.flush()
sys.stdin.read(1)
for _ in range({ASSOCIATIONS}):
    with ScriptedPeer(port) as peer:
        peer.associate()
        peer.echo()
        for _ in range({OBJECTS}):
            one = objects.pop()
            assert peer.store(3, one.sop_class_uid, one.sop_instance_uid, one.data_set) == 0
        peer.release()
sys.stdout.write("done")
"""


def plan(port: int, directory: Path, *arguments: str) -> dict[str, object]:
    """What storescp hands to the engine for these arguments."""
    what = settings.storescp(STORESCP, ["-od", str(directory), "-q", *arguments, str(port)])
    assert isinstance(what, settings.ReceiverSettings)
    return scp.plan(what)


@contextmanager
def running(receiver: _rust.Receiver) -> Iterator[None]:
    """Serve in a thread; stop and wait for it at the end."""
    thread = threading.Thread(target=receiver.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        receiver.stop()
        thread.join(15)
        assert not thread.is_alive()


def test_no_python_call_for_associations_and_objects(free_port: int, archive_dir: Path) -> None:
    """The thread that serves makes no Python call between its start and its stop."""
    served_in: list[int] = []
    calls: list[str] = []

    def note(frame: object, event: str, argument: object) -> None:
        if threading.get_ident() in served_in:
            calls.append(f"{event} {getattr(frame, 'f_code', None)} {argument}")

    receiver = _rust.Receiver(**plan(free_port, archive_dir))
    begun = threading.Event()

    def serve() -> None:
        sys.setprofile(note)
        served_in.append(threading.get_ident())
        begun.set()
        receiver.run()
        served_in.clear()

    threading.setprofile(note)
    thread = threading.Thread(target=serve, daemon=True)
    try:
        thread.start()
        assert begun.wait(10)
        for association in range(ASSOCIATIONS):
            with ScriptedPeer(free_port) as peer:
                peer.associate()
                if association == 0:
                    # From here on the thread is inside `run`.
                    before = list(calls)
                    assert any("Receiver" in call for call in before), before
                for number in range(OBJECTS):
                    one = make.ct(association * OBJECTS + number)
                    assert peer.store(3, one.sop_class_uid, one.sop_instance_uid, one.data_set) == 0
                peer.release()
        assert calls == before
        assert receiver.counters()["stored"] == ASSOCIATIONS * OBJECTS
    finally:
        threading.setprofile(None)
        receiver.stop()
        thread.join(15)
    assert not thread.is_alive()


@contextmanager
def interpreter_held() -> Iterator[ctypes.PyDLL]:
    """Let no other thread have the interpreter: no forced switch, and calls that keep the lock."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    try:
        yield ctypes.PyDLL(None, use_errno=True)
    finally:
        sys.setswitchinterval(interval)


class PollFd(ctypes.Structure):
    """One entry of poll(2)."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


@pytest.mark.parametrize("durability", ["none", "group"])
def test_associations_are_served_while_python_is_held(
    durability: str, free_port: int, archive_dir: Path
) -> None:
    """Several peers associate, echo, store and release while no thread can enter Python."""
    receiver = _rust.Receiver(**plan(free_port, archive_dir, "--durability", durability))
    step = 1000
    senders = [
        subprocess.Popen(
            [sys.executable, "-c", SENDER, str(free_port), str(number * step)],
            cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for number in range(SENDERS)
    ]  # fmt: skip
    with running(receiver):
        pipes = [(sender.stdin, sender.stdout) for sender in senders]
        for _, output in pipes:
            assert output is not None
            assert output.read(1) == b"r"
        with interpreter_held() as libc:
            assert receiver.counters()["connections"] == 0
            for source, output in pipes:
                assert source is not None
                assert output is not None
                assert libc.write(source.fileno(), b"!", 1) == 1
            for _, output in pipes:
                assert output is not None
                waited = PollFd(output.fileno(), select.POLLIN, 0)
                assert libc.poll(ctypes.byref(waited), 1, SENT_MS) == 1
            counters = receiver.counters()
        said = [sender.communicate(timeout=10)[0] for sender in senders]
    assert said == [b"done"] * SENDERS
    assert counters["associations"] == SENDERS * ASSOCIATIONS
    assert counters["stored"] == SENDERS * ASSOCIATIONS * OBJECTS
    wanted = {
        make.ct(sender * step + number).data_set
        for sender in range(SENDERS)
        for number in range(ASSOCIATIONS * OBJECTS)
    }
    stored = {split_part10(path.read_bytes())[1] for path in archive_dir.iterdir()}
    assert stored == wanted


def test_a_held_interpreter_stops_whoever_needs_it() -> None:
    """The check can fail: a thread that wants Python gets nowhere meanwhile."""
    first, second = os.pipe(), os.pipe()
    entered: list[bool] = []

    def wants_python() -> None:
        os.read(first[0], 1)
        entered.append(True)
        os.write(second[1], b"!")

    thread = threading.Thread(target=wants_python, daemon=True)
    thread.start()
    with interpreter_held() as libc:
        libc.write(first[1], b"!", 1)
        waited = PollFd(second[0], select.POLLIN, 0)
        assert libc.poll(ctypes.byref(waited), 1, 300) == 0
        assert not entered
    thread.join(10)
    assert entered == [True]
    for descriptor in (*first, *second):
        os.close(descriptor)
