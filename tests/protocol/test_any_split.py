"""PS3.8 §9.3.1: a stream of bytes has no boundaries, and may end anywhere.

One good exchange (echo, store, release) is cut into two segments at every byte, sent byte by byte,
and broken off at every byte. The answers, and what is stored, must not depend on it.
"""

from __future__ import annotations

import contextlib

import pytest

from testkit import pdu
from testkit.cases import BOTH
from testkit.checks import assert_nothing_stored, assert_still_serves
from testkit.kinds import Connect, StorescpOf
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, wait_until
from vectors import make

OBJECT = make.ct(1, rows=4, columns=4)
REQUEST = pdu.associate_rq(pdu.CONTEXTS[:2])
ECHO = pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(4), command=True))
STORE = pdu.p_data(
    pdu.pdv(3, pdu.c_store_rq(OBJECT.sop_class_uid, OBJECT.sop_instance_uid, 5), command=True)
) + b"".join(pdu.fragments(3, OBJECT.data_set, size=200))
RELEASE = pdu.release_rq()
#: What a peer may send without waiting, once it is associated.
AFTER = ECHO + STORE + RELEASE


def expect_the_answers(peer: ScriptedPeer) -> None:
    """Echo response, store response, release: the events of the exchange in order."""
    assert pdu.value_us(peer.expect_message(), pdu.RESPONDED_ID) == 4
    response = peer.expect_message()
    assert pdu.value_us(response, pdu.RESPONDED_ID) == 5
    assert pdu.value_us(response, pdu.STATUS) == 0
    peer.expect_pdu(pdu.RELEASE_RP)


def expect_the_object(receiver: Receiver) -> None:
    (stored,) = [path for path in receiver.files() if OBJECT.sop_instance_uid in path.name]
    if receiver.is_ours:
        assert stored.read_bytes().endswith(OBJECT.data_set)
    stored.unlink()


@BOTH
def test_one_byte_at_a_time(
    implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """Each byte in a segment of its own."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    for at in range(len(REQUEST)):
        peer.send(REQUEST[at : at + 1])
    peer.expect_associate_ac()
    for at in range(len(AFTER)):
        peer.send(AFTER[at : at + 1])
    expect_the_answers(peer)
    expect_the_object(receiver)


def test_a_request_cut_at_every_byte(ours: Receiver) -> None:
    """Two segments, every place of the A-ASSOCIATE-RQ."""
    for at in range(1, len(REQUEST)):
        with ScriptedPeer(ours.port) as peer:
            peer.send(REQUEST[:at])
            peer.send(REQUEST[at:])
            peer.expect_associate_ac()
            peer.send(pdu.abort())


def test_messages_cut_at_every_byte(ours: Receiver) -> None:
    """Two segments, every place of echo, store and release."""
    for at in range(1, len(AFTER)):
        with ScriptedPeer(ours.port) as peer:
            peer.associate(pdu.CONTEXTS[:2])
            peer.send(AFTER[:at])
            peer.send(AFTER[at:])
            expect_the_answers(peer)
        expect_the_object(ours)


@pytest.mark.parametrize("end", ["eof", "reset"])
def test_an_end_at_every_byte(end: str, ours: Receiver) -> None:
    """PROMISES.md §2.1: cut at any byte, then EOF or RST: discarded, freed, nothing stored."""
    assert_still_serves(ours)
    before = ours.descriptors(), ours.threads()
    until_stored = ECHO + STORE
    for at in range(len(REQUEST)):
        with ScriptedPeer(ours.port) as peer:
            peer.send(REQUEST[:at])
            finish(peer, end)
    for at in range(len(until_stored)):
        with ScriptedPeer(ours.port) as peer:
            peer.associate(pdu.CONTEXTS[:2])
            peer.send(until_stored[:at])
            finish(peer, end)
    assert_nothing_stored(ours)
    wait_until(
        lambda: (ours.descriptors(), ours.threads()) <= before,
        what=f"descriptors and threads {before}, now {(ours.descriptors(), ours.threads())}",
    )
    assert_still_serves(ours)


def finish(peer: ScriptedPeer, end: str) -> None:
    """End the connection; what the receiver still says is read, as a good peer does."""
    if end == "reset":
        peer.reset()
    else:
        with contextlib.suppress(ConnectionResetError):
            peer.half_close()
            peer.drain()
