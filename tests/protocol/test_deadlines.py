"""Every wait has a deadline (PROMISES.md §3.3): total where a dripping peer could restart it."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from testkit import answers, pdu
from testkit.answers import BY_USER, NOT_SPECIFIED, Aborted, Closed
from testkit.cases import BOTH
from testkit.checks import assert_nothing_stored, assert_still_serves
from testkit.kinds import Connect, StartReceiver
from testkit.process import wait_until
from vectors import make

ENDED = {NOT_SPECIFIED, BY_USER, Closed()}


def seconds_until_end(peer_socket: socket.socket, *, within_s: float) -> float:
    """How long until the receiver ends the connection; what it says before is read."""
    started = time.monotonic()
    peer_socket.settimeout(within_s)
    try:
        while peer_socket.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - started


@BOTH
def test_acse_timeout_of_a_silent_connection(
    implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """`-ta 1`: ARTIM, from the connection to the request (PS3.8 §9.1.5)."""
    receiver = running_scp("storescp", "-ta", "1", implementation=implementation)
    peer = scripted_peer(receiver)
    assert 0.8 < seconds_until_end(peer.socket, within_s=4) < 3
    if receiver.is_ours:
        assert_still_serves(receiver)


@pytest.mark.parametrize("spelling", ["-ta", "--acse-timeout"])
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_acse_timeout_is_not_restarted_by_bytes(
    tool: str, spelling: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §8.10: a byte each 300 ms, closed in under 3 s (DCMTK: held for ever)."""
    receiver = running_scp(tool, spelling, "1")
    peer = scripted_peer(receiver)
    started = time.monotonic()
    ended = False
    peer.socket.settimeout(0.3)  # the pause between two bytes, and the look for the end
    for byte in pdu.associate_rq():
        try:
            peer.send(bytes([byte]))
            ended = peer.socket.recv(100)[:1] in (b"", b"\7")
        except TimeoutError:
            continue
        except ConnectionError:
            ended = True
        if ended:
            break
    assert ended
    assert time.monotonic() - started < 3
    assert_still_serves(receiver)


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_dimse_timeout_while_a_data_set_is_awaited(
    tool: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md D1: dcmrecv's meaning everywhere; a stalled message is ended."""
    arguments = ["-td", "1"]
    if tool == "dcmrecv":
        arguments += ["-xf", "/etc/dcmtk/storescp.cfg", "Default"]
    receiver = running_scp(tool, *arguments)
    made = make.ct(1)
    peer = scripted_peer(receiver)
    peer.associate()
    command = pdu.c_store_rq(made.sop_class_uid, made.sop_instance_uid)
    peer.send(
        pdu.p_data(pdu.pdv(3, command, command=True)),
        pdu.p_data(pdu.pdv(3, made.data_set[:100], last=False)),
    )
    started = time.monotonic()
    assert answers.next_answer(peer) in ENDED
    assert 0.8 < time.monotonic() - started < 4
    assert_nothing_stored(receiver)
    assert_still_serves(receiver)


@BOTH
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_dimse_timeout_between_commands(
    tool: str, implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md D1: dcmrecv ends an idle association after `-td`; so do both of ours."""
    receiver = running_scp(tool, "-td", "1", implementation=implementation)
    peer = scripted_peer(receiver)
    peer.associate()
    peer.echo()
    started = time.monotonic()
    if implementation == "dcmtk" and tool == "storescp":
        peer.socket.settimeout(2.5)
        with pytest.raises(TimeoutError):
            peer.socket.recv(1)
        return
    assert answers.next_answer(peer, clean=receiver.is_ours) in {NOT_SPECIFIED, BY_USER}
    assert 0.8 < time.monotonic() - started < 4


@BOTH
@pytest.mark.parametrize("where", ["between commands", "inside a PDU", "inside a data set"])
def test_socket_timeout(
    where: str, implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """`-ts 1` ends idle and stalled peers (DCMTK 3.6.7)."""
    receiver = running_scp("storescp", "-ts", "1", implementation=implementation)
    made = make.ct(1)
    peer = scripted_peer(receiver)
    peer.associate()
    peer.echo()
    command = pdu.c_store_rq(made.sop_class_uid, made.sop_instance_uid)
    if where == "inside a PDU":
        peer.send(pdu.p_data(pdu.pdv(3, command, command=True))[:30])
    elif where == "inside a data set":
        peer.send(pdu.p_data(pdu.pdv(3, command, command=True)))
        peer.send(pdu.p_data(pdu.pdv(3, made.data_set[:100], last=False)))
    started = time.monotonic()
    answer = answers.next_answer(peer, clean=receiver.is_ours)
    assert answer in ENDED | {Aborted(2, 2)}
    assert 0.8 < time.monotonic() - started < 4
    if receiver.is_ours:
        assert_nothing_stored(receiver)


def test_a_timeout_of_zero_is_none(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """`-ts 0`: an idle peer is kept; it costs no worker."""
    receiver = running_scp("storescp", "-ts", "0")
    peer = scripted_peer(receiver)
    peer.associate()
    peer.socket.settimeout(2)
    with pytest.raises(TimeoutError):
        peer.socket.recv(1)
    peer.socket.settimeout(10)
    peer.echo()


def test_a_peer_that_keeps_sending_is_never_cut(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """The deadlines are per PDU and per message: a slow but steady peer of 3 s is no idle one."""
    receiver = running_scp("storescp", "-ts", "1", "-td", "1", "-ta", "1")
    made = make.ct(1, rows=64, columns=64)
    peer = scripted_peer(receiver)
    peer.associate()
    command = pdu.c_store_rq(made.sop_class_uid, made.sop_instance_uid)
    peer.send(pdu.p_data(pdu.pdv(3, command, command=True)))
    parts = pdu.fragments(3, made.data_set, size=len(made.data_set) // 9)
    peer.socket.settimeout(0.3)
    for part in parts:
        peer.send(part)
        if part is not parts[-1]:
            with pytest.raises(TimeoutError):
                peer.socket.recv(1)
    peer.socket.settimeout(10)
    peer.expect_status(0)


def test_a_slow_reader_is_ended(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """PROMISES.md §3.3: no byte taken for 30 s (`-ts` shortens it) ends the association."""
    receiver = running_scp("storescp", "-ts", "1")
    peer = scripted_peer(receiver)
    peer.associate()
    before = receiver.private_kib()
    peer.socket.settimeout(0.5)
    echo = pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(1), command=True))
    try:
        for _ in range(2000):
            peer.send(echo * 100)
    except (TimeoutError, ConnectionError):
        pass
    assert_still_serves(receiver)
    assert receiver.private_kib() - before < 64 * 1024
    wait_until(
        lambda: "Aborted" in receiver.stderr.text or not established(receiver.port), within_s=10
    )
    assert_still_serves(receiver)


def established(port: int) -> int:
    """Connections of this machine that `port` has accepted and not closed."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)
