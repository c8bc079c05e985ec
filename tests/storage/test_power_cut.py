"""P1, P3: the power is cut under load, for real; and the order of the system calls before that.

The cut is ext4's shutdown without a flush of its log (``EXT4_IOC_SHUTDOWN``): from that moment no
byte reaches the device, and what was not synced is gone at the next mount.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import wait_until
from vectors import make

from .test_crash_points import Ledger, assert_the_promise, found

#: ``_IOR('X', 125, __u32)`` of the kernel's ``include/uapi/linux/ext4.h``, and "no log flush".
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)
SENDERS = 4


class Disk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, place: Path) -> None:
        self.image, self.directory = place / "disk.img", place / "disk"
        self.directory.mkdir()
        with self.image.open("wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True, capture_output=True)

    def mount(self) -> None:
        command = ["mount", "-o", "loop", str(self.image), str(self.directory)]
        subprocess.run(command, check=True, capture_output=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.directory)], check=True, capture_output=True)

    def cut(self) -> None:
        """Let nothing more reach the device."""
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(descriptor)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("cutting the power of a file system of one's own needs root and mkfs.ext4")
    disk = Disk(tmp_path)
    try:
        disk.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device to mount: {error.stderr.decode(errors='replace')}")
    try:
        yield disk
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            disk.unmount()


def send(port: int, sender: int, ledger: Ledger) -> None:
    """Store objects of many sizes, each other one again with other bytes, until nobody answers."""
    with contextlib.suppress(AssertionError, ConnectionError), ScriptedPeer(port) as peer:
        peer.associate()
        for number in range(100_000):
            side = 8 * (1 + (number * 7 + sender) % 60)
            ledger.store(peer, make.ct(number, seed=sender, rows=side, columns=side))


def store_until_the_cut(
    disk: Disk, durability: str, running_scp: StartReceiver, objects: int
) -> list[Ledger]:
    stored = disk.directory / "stored"
    stored.mkdir()
    os.sync()  # the directory itself is not what is tested
    arguments = ("--durability", durability)
    receiver = running_scp("storescp", *arguments, directory=stored, clean_exit=False)
    ledgers = [Ledger() for _ in range(SENDERS)]
    senders = [
        threading.Thread(target=send, args=(receiver.port, number, ledger))
        for number, ledger in enumerate(ledgers)
    ]
    for sender in senders:
        sender.start()
    wait_until(
        lambda: all(len(ledger.acknowledged) >= objects for ledger in ledgers),
        within_s=60,
        what=f"{objects} objects of each sender acknowledged",
    )
    disk.cut()
    receiver.kill()
    for sender in senders:
        sender.join()
    disk.unmount()
    disk.mount()
    return ledgers


@pytest.mark.parametrize("durability", ["group", "each"])
def test_a_power_cut_under_load_loses_nothing_acknowledged(
    durability: str, disk: Disk, running_scp: StartReceiver
) -> None:
    """P3: byte for byte, and nothing that was not acknowledged is there half."""
    ledgers = store_until_the_cut(disk, durability, running_scp, objects=20)
    assert_the_promise(disk.directory / "stored", *ledgers)


def test_the_cut_is_one(disk: Disk, running_scp: StartReceiver) -> None:
    """Without syncs the same cut loses objects: the test above could fail."""
    ledgers = store_until_the_cut(disk, "none", running_scp, objects=20)
    acknowledged = {uid for ledger in ledgers for uid in ledger.acknowledged}
    with contextlib.suppress(FileNotFoundError, ValueError):
        assert not acknowledged <= set(found(disk.directory / "stored"))


# ---- The order of the system calls

_CALLS = "openat,write,writev,pwritev,sendto,fdatasync,fsync,syncfs,renameat2,rename,linkat"
_LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))$")


class Trace:
    """What a receiver did, call by call: each with the moments at which it began and ended."""

    def __init__(self, text: str) -> None:
        #: Name of the call, its arguments, first and last moment.
        self.calls: list[tuple[str, str, int, int]] = []
        begun: dict[str, tuple[str, str, int]] = {}
        for moment, line in enumerate(text.splitlines()):
            match = _LINE.match(line)
            if match is None:
                continue
            thread, resumed, rest, name, arguments = match.groups()
            if resumed:
                if thread in begun:
                    name, arguments, first = begun.pop(thread)
                    self._end(name, arguments + rest, first, moment)
            elif arguments.endswith("<unfinished ...>"):
                begun[thread] = (name, arguments.removesuffix("<unfinished ...>"), moment)
            else:
                self._end(name, arguments, moment, moment)

    def _end(self, name: str, arguments: str, first: int, last: int) -> None:
        if re.search(r"\) += -1 ", arguments) is None:
            self.calls.append((name, arguments, first, last))

    def find(self, names: str, pattern: str) -> list[tuple[int, int]]:
        """First and last moments of the calls with these names whose arguments match."""
        return [
            (first, last)
            for name, arguments, first, last in self.calls
            if name in names.split() and re.search(pattern, arguments)
        ]


def assert_synced_before(trace: Trace, directory: Path, uid: str) -> None:
    """Before the response for `uid` began, its file and its directory were synced, in order."""
    quoted = re.escape(uid)
    ((response, _),) = trace.find("write writev sendto", rf"^\d+<(?:TCP|socket).*{quoted}\D")
    name = re.escape(f"CT.{uid}")
    ((renaming, renamed),) = trace.find("renameat2 rename linkat", rf'"{name}"')
    (arguments,) = [arguments for _, arguments, first, _ in trace.calls if first == renaming]
    part_match = re.search(r'"(\.dcmfast-[^"]*\.part)"', arguments)
    assert part_match is not None, arguments
    file = rf"<{re.escape(str(directory))}/(?:{re.escape(part_match[1])}|{name})>"
    written = max(last for _, last in trace.find("write writev pwritev", file))
    assert any(
        written < first and last < response for first, last in trace.find("fdatasync fsync", file)
    ), f"{uid}: its content was not synced before the response"
    assert any(
        renamed < first and last < response
        for first, last in trace.find("fsync", rf"<{re.escape(str(directory))}>")
    ), f"{uid}: its name was not synced before the response"


@pytest.mark.parametrize("senders", [1, SENDERS])
@pytest.mark.parametrize("durability", ["group", "each"])
def test_every_response_follows_its_syncs(
    durability: str, senders: int, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """P1, as the kernel saw it: content, name, directory, and then the response."""
    log = tmp_path / "strace"
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace: `apt-get install strace` lets this test see the system calls")
    probe = subprocess.run([strace, "-o", os.devnull, "true"], check=False, capture_output=True)
    if probe.returncode != 0:
        pytest.skip(f"strace may not trace here: {probe.stderr.decode(errors='replace')}")
    # -D: the receiver is our child and gets its signals, strace only watches.
    prefix = [strace, "-D", "-f", "-yy", "-s", "600", "-e", f"trace={_CALLS}", "-o", str(log)]
    receiver = running_scp("storescp", "--durability", durability, prefix=prefix)
    ledgers = [Ledger() for _ in range(senders)]

    def store(sender: int, ledger: Ledger) -> None:
        with ScriptedPeer(receiver.port) as peer:
            peer.associate()
            for number in range(8):
                assert ledger.store(peer, make.ct(number, seed=sender)) == 0
            peer.release()

    threads = [
        threading.Thread(target=store, args=(number, ledger))
        for number, ledger in enumerate(ledgers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receiver.stop() == 0
    # strace pads process ids below 10000 with blanks.
    ended = re.compile(rf"^{receiver.process.pid} +\+\+\+ exited with 0 \+\+\+", re.MULTILINE)
    wait_until(
        lambda: ended.search(log.read_text(errors="replace")) is not None,
        what="the end of the trace",
    )
    trace = Trace(log.read_text(errors="replace"))
    acknowledged = [uid for ledger in ledgers for uid in ledger.acknowledged]
    assert len(acknowledged) == 8 * senders
    for uid in acknowledged:
        assert_synced_before(trace, receiver.directory.resolve(), uid)
