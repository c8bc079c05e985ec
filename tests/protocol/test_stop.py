"""P17: the first SIGINT or SIGTERM stops in order, the second at once (DIFFERENCES.md B8)."""

from __future__ import annotations

import signal
import time

import pytest

from testkit import answers, pdu
from testkit.answers import BY_USER, NOT_SPECIFIED, Closed
from testkit.kinds import Connect, StartReceiver
from testkit.process import Receiver, wait_until
from vectors import make

#: More than a write block, so that a part file is there while it arrives.
OBJECT = make.ct(1, rows=2048, columns=1024)


def begin_store(peer: object, receiver: Receiver) -> None:
    """Send half an object and see its part file appear."""
    command = pdu.c_store_rq(OBJECT.sop_class_uid, OBJECT.sop_instance_uid)
    half = OBJECT.data_set[: len(OBJECT.data_set) // 2]
    peer.send(  # type: ignore[attr-defined]
        pdu.p_data(pdu.pdv(3, command, command=True)), *pdu.fragments(3, half)[:-1],
        pdu.p_data(pdu.pdv(3, half[-10:], last=False)),
    )  # fmt: skip


def test_an_object_that_never_ends_is_given_up_too(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """P17: bytes that keep coming do not carry the object past the grace; its part file goes."""
    receiver = running_scp("storescp")
    peer = scripted_peer(receiver)
    peer.associate()
    begin_store(peer, receiver)
    wait_until(lambda: bool(receiver.in_transit()), what="a part file")
    receiver.process.send_signal(signal.SIGTERM)
    peer.socket.settimeout(0.05)
    answer = b""
    deadline = time.monotonic() + 15
    while not answer and time.monotonic() < deadline:
        peer.send_tolerant(pdu.p_data(pdu.pdv(3, bytes(10), last=False)))
        try:
            answer = peer.socket.recv(10)
        except TimeoutError:
            continue
    assert answer == pdu.abort(0, 0)
    peer.socket.close()
    assert receiver.wait(within_s=5) == 0
    assert receiver.files() == []


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_the_first_signal_stops_an_idle_server_with_exit_code_0(
    tool: str, signal_number: signal.Signals, running_scp: StartReceiver
) -> None:
    """Nothing in hand: it ends at once."""
    receiver = running_scp(tool)
    started = time.monotonic()
    receiver.process.send_signal(signal_number)
    assert receiver.wait() == 0
    assert time.monotonic() - started < 3


def test_an_idle_association_does_not_hold_up_the_stop(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """Between messages there is nothing to finish: the peer is told and the server ends."""
    receiver = running_scp("storescp")
    peer = scripted_peer(receiver)
    peer.associate()
    peer.echo()
    receiver.process.send_signal(signal.SIGTERM)
    assert answers.next_answer(peer) in {BY_USER, NOT_SPECIFIED, Closed()}
    assert receiver.wait(within_s=12) == 0


def test_the_object_in_hand_is_finished(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """SIGTERM in the middle of an object: its rest is taken, stored and acknowledged."""
    receiver = running_scp("storescp")
    peer = scripted_peer(receiver)
    peer.associate()
    command = pdu.c_store_rq(OBJECT.sop_class_uid, OBJECT.sop_instance_uid)
    pieces = pdu.fragments(3, OBJECT.data_set)
    peer.send(pdu.p_data(pdu.pdv(3, command, command=True)), *pieces[:-1])
    wait_until(lambda: bool(receiver.in_transit()), what="a part file")
    receiver.process.send_signal(signal.SIGTERM)
    peer.send(pieces[-1])
    peer.expect_status(0)
    peer.socket.close()
    assert receiver.wait(within_s=12) == 0
    (stored,) = receiver.files()
    assert stored.read_bytes().endswith(OBJECT.data_set)


def test_a_stalled_object_is_given_up_after_ten_seconds(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """The grace is total; the part file goes, the exit code is 0."""
    receiver = running_scp("storescp")
    peer = scripted_peer(receiver)
    peer.associate()
    begin_store(peer, receiver)
    wait_until(lambda: bool(receiver.in_transit()), what="a part file")
    started = time.monotonic()
    receiver.process.send_signal(signal.SIGTERM)
    assert receiver.wait(within_s=15) == 0
    assert time.monotonic() - started < 12
    assert receiver.files() == []


def test_the_second_signal_ends_at_once(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """Somebody who asks twice means it."""
    receiver = running_scp("storescp", "-v", clean_exit=False)
    peer = scripted_peer(receiver)
    peer.associate()
    begin_store(peer, receiver)
    wait_until(lambda: bool(receiver.in_transit()), what="a part file")
    receiver.process.send_signal(signal.SIGTERM)
    wait_until(lambda: refuses_connections(receiver.port), what="the listener closed")
    started = time.monotonic()
    receiver.process.send_signal(signal.SIGTERM)
    receiver.wait(within_s=5)
    assert time.monotonic() - started < 3


def refuses_connections(port: int) -> bool:
    from testkit.process import is_listening

    return not is_listening(port)


def test_the_port_is_free_again_at_once(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """SO_REUSEADDR: a restart does not wait for TIME_WAIT."""
    first = running_scp("storescp")
    peer = scripted_peer(first)
    peer.associate()
    peer.echo()
    first.process.send_signal(signal.SIGTERM)
    answers.next_answer(peer)
    assert first.wait() == 0
    second = running_scp("storescp", port=first.port)
    again = scripted_peer(second)
    again.associate()
    again.echo()
