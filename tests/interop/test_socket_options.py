"""`TCP_NODELAY` and `TCP_BUFFER_LENGTH`, read from the sockets of running tools.

The test borrows the tool's own descriptor (pidfd_getfd(2)) and asks the kernel.  DIFFERENCES.md E1.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import child_environment, command
from vectors import make

#: asm-generic's number, which x86-64 and AArch64 share.
_PIDFD_GETFD = 438

#: What is asked for, and what the socket has: TCP_NODELAY, and twice the buffers, as the kernel
#: counts them; None for the system's own.
SETTINGS = [({}, 1, None), ({"TCP_NODELAY": "0", "TCP_BUFFER_LENGTH": "20000"}, 0, 40000)]


def _sockets(pid: int) -> Iterator[socket.socket]:
    """Copies of a process's TCP sockets that have a peer."""
    library = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            copied = library.syscall(_PIDFD_GETFD, process, int(descriptor.name), 0)
            if copied < 0:
                if ctypes.get_errno() == 1:
                    pytest.skip("this system lets nobody borrow a descriptor")
                continue
            try:
                found = socket.socket(fileno=copied)
            except OSError:
                os.close(copied)
                continue
            with closing(found):
                yield found
    finally:
        os.close(process)


def options_of_the_socket_to(pid: int, port: int) -> tuple[int, int, int]:
    """TCP_NODELAY, receive and send buffer of the process's one connection with `port`."""
    for one in _sockets(pid):
        try:
            is_wanted = one.getpeername()[1] == port
        except OSError:
            continue
        if is_wanted:
            return (
                one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
                one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF),
            )
    raise AssertionError(f"process {pid} has no connection with port {port}")


def check(found: tuple[int, int, int], no_delay: int, buffer_bytes: int | None) -> None:
    assert bool(found[0]) == bool(no_delay)
    if buffer_bytes is None:
        assert 40000 not in found[1:]
    else:
        assert found[1:] == (buffer_bytes, buffer_bytes)


@pytest.mark.parametrize(("asked", "no_delay", "buffer_bytes"), SETTINGS, ids=["unset", "set"])
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv", "dcmqrscp"])
def test_acceptors(
    tool: str, asked: dict[str, str], no_delay: int, buffer_bytes: int | None,
    running_scp: StartReceiver, tmp_path: Path,
) -> None:  # fmt: skip
    options: tuple[str, ...] = ()
    if tool == "dcmqrscp":
        (tmp_path / "area").mkdir()
        configuration = tmp_path / "dcmqrscp.cfg"
        entry = f"QR {tmp_path}/area RW (9, 9mb) ANY"
        configuration.write_text(f"AETable BEGIN\n{entry}\nAETable END\n")
        options = ("-c", str(configuration))
    environment: dict[str, str] = {"TCP_NODELAY": None, **asked}  # type: ignore[dict-item]
    receiver = running_scp(tool, *options, environment=environment)
    with ScriptedPeer(receiver.port) as peer:
        peer.associate(called="QR")
        own = peer.socket.getsockname()[1]
        check(options_of_the_socket_to(receiver.process.pid, own), no_delay, buffer_bytes)
        peer.release()


@pytest.mark.parametrize(("asked", "no_delay", "buffer_bytes"), SETTINGS, ids=["unset", "set"])
@pytest.mark.parametrize("tool", ["echoscu", "storescu", "dcmsend", "findscu", "movescu", "getscu"])
def test_requestors(
    tool: str, asked: dict[str, str], no_delay: int, buffer_bytes: int | None, tmp_path: Path
) -> None:  # fmt: skip
    """Looked at while the tool waits for an answer to its request."""
    more: list[str] = []
    if tool in ("storescu", "dcmsend"):
        path = tmp_path / "one.dcm"
        path.write_bytes(make.part10(make.ct(1)))
        more = [str(path)]
    elif tool != "echoscu":
        more = ["-k", "0008,0052=STUDY", "-k", "0020,000d=1.2"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        port = server.getsockname()[1]
        address = ["127.0.0.1", str(port)]
        line = [*address, *more] if tool in ("storescu", "dcmsend") else [*more, *address]
        process = subprocess.Popen(
            [*command("dcmfast", tool), *line], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=child_environment(**{"TCP_NODELAY": None, **asked}),
        )  # fmt: skip
        try:
            opened, _ = server.accept()
            with opened:
                opened.settimeout(20)
                assert opened.recv(1) == b"\x01"
                check(options_of_the_socket_to(process.pid, port), no_delay, buffer_bytes)
        finally:
            process.kill()
            process.wait(10)
