"""PS3.8 §9.3.1: bytes that are no PDU, or one that does not belong here.

Each fault is answered once, before the end of the connection, and costs nobody else anything. What
DCMTK's storescp does with the same bytes stands beside it; where it only closes, we answer.
"""

from __future__ import annotations

import threading

import pytest

from testkit import answers, pdu
from testkit.answers import (
    BY_USER,
    INVALID_PARAMETER,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
    Answer,
    Closed,
    Released,
)
from testkit.cases import BOTH, Case, both
from testkit.checks import assert_still_serves
from testkit.kinds import Connect, StorescpOf
from testkit.process import Receiver

HTTP = b"GET / HTTP/1.1\r\nHost: archive\r\n\r\n"
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(192)
ASSOCIATE_BOUND = 262_144


# AA-1 of Table 9-10 names source 0; peers in the field send source 2 with a reason: both are right.
UNKNOWN_FIRST: set[Answer] = {BY_USER, UNRECOGNIZED_PDU}
WRONG_FIRST: set[Answer] = {BY_USER, UNEXPECTED_PDU}
MALFORMED_FIRST: set[Answer] = {BY_USER, INVALID_PARAMETER}

BEFORE = [
    Case("type 00H", pdu.pdu(0x00, bytes(4)), UNKNOWN_FIRST),
    Case("type 08H", pdu.pdu(0x08, bytes(4)), UNKNOWN_FIRST),
    Case("type FFH", pdu.pdu(0xFF, bytes(4)), UNKNOWN_FIRST),
    Case("an HTTP request", HTTP, UNKNOWN_FIRST, {Closed()}),
    Case("a TLS hello", TLS_HELLO, UNKNOWN_FIRST, {Closed()}),
    Case("P-DATA-TF first", pdu.p_data(pdu.pdv(1, b"")), WRONG_FIRST, {BY_USER}),
    Case("A-RELEASE-RQ first", pdu.release_rq(), WRONG_FIRST, {BY_USER}),
    Case("A-RELEASE-RP first", pdu.pdu(pdu.RELEASE_RP, bytes(4)), WRONG_FIRST, {BY_USER}),
    Case("A-ASSOCIATE-RJ first", pdu.pdu(pdu.ASSOCIATE_RJ, bytes(4)), WRONG_FIRST),
    Case("A-ASSOCIATE-AC first", pdu.pdu(pdu.ASSOCIATE_AC, bytes(68)), WRONG_FIRST),
    Case("A-ABORT first is never answered", pdu.abort(), {Closed()}, {Closed()}),
    Case("request of length 0", pdu.pdu(pdu.ASSOCIATE_RQ, b""), MALFORMED_FIRST),
    Case("request shorter than its fixed part", pdu.pdu(1, bytes(67)), MALFORMED_FIRST),
    Case(
        "request above the bound, header only",
        pdu.pdu(pdu.ASSOCIATE_RQ, b"", length=ASSOCIATE_BOUND + 1),
        MALFORMED_FIRST,
    ),
    Case("request of 4 GiB, header only", pdu.pdu(1, b"", length=0xFFFF_FFFF), MALFORMED_FIRST),
    Case(
        "P-DATA-TF of 4 GiB, header only",
        pdu.pdu(4, b"", length=0xFFFF_FFFF),
        WRONG_FIRST | MALFORMED_FIRST,
    ),
    Case("unknown type of 4 GiB", pdu.pdu(0x42, b"", length=0xFFFF_FFFF), UNKNOWN_FIRST),
]


@pytest.mark.parametrize(("implementation", "case"), both(BEFORE))
def test_no_request_as_first_pdu(
    implementation: str, case: Case, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.1 rows 1, 2, 3, 4 and 14: answered after the header, in Sta2 (AA-1)."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    peer.send(case.data)
    case.check(receiver, answers.next_answer(peer, clean=receiver.is_ours))
    assert_still_serves(receiver)


ON_ASSOCIATION = [
    Case("type 00H", pdu.pdu(0x00, bytes(4)), {UNRECOGNIZED_PDU}, {BY_USER}),
    Case("type 08H", pdu.pdu(0x08, bytes(4)), {UNRECOGNIZED_PDU}, {BY_USER}),
    Case("unknown type of 4 GiB", pdu.pdu(0x42, b"", length=0xFFFF_FFFF), {UNRECOGNIZED_PDU}),
    Case("an HTTP request", HTTP, {UNRECOGNIZED_PDU}),
    Case("a second A-ASSOCIATE-RQ", pdu.associate_rq(), {UNEXPECTED_PDU}, {UNEXPECTED_PDU}),
    Case("A-ASSOCIATE-AC", pdu.pdu(pdu.ASSOCIATE_AC, bytes(68)), {UNEXPECTED_PDU}),
    Case("A-ASSOCIATE-RJ", pdu.pdu(pdu.ASSOCIATE_RJ, bytes(4)), {UNEXPECTED_PDU}),
    Case("A-RELEASE-RP", pdu.pdu(pdu.RELEASE_RP, bytes(4)), {UNEXPECTED_PDU}),
    Case("P-DATA-TF of length 0", pdu.p_data(), {INVALID_PARAMETER}),
    Case(
        "P-DATA-TF longer than announced, header only",
        pdu.pdu(pdu.P_DATA_TF, b"", length=16385),
        {INVALID_PARAMETER},
        {BY_USER},
    ),
    Case(
        "P-DATA-TF of 4 GiB, header only",
        pdu.pdu(pdu.P_DATA_TF, b"", length=0xFFFF_FFFF),
        {INVALID_PARAMETER},
        {BY_USER},
    ),
    Case("A-RELEASE-RQ", pdu.release_rq(), {Released()}, {Released()}),
    Case(
        "A-RELEASE-RQ of length 0",
        pdu.pdu(pdu.RELEASE_RQ, b""),
        {Released(), INVALID_PARAMETER},
    ),
    Case(
        "A-RELEASE-RQ of length 8",
        pdu.pdu(pdu.RELEASE_RQ, bytes(8)),
        {Released(), INVALID_PARAMETER},
    ),
    Case(
        "A-RELEASE-RQ of 4 GiB, header only",
        pdu.pdu(pdu.RELEASE_RQ, b"", length=0xFFFF_FFFF),
        {INVALID_PARAMETER},
    ),
    Case("A-ABORT", pdu.abort(), {Closed()}, {Closed()}),
    Case("A-ABORT of length 0", pdu.pdu(pdu.ABORT, b""), {Closed(), INVALID_PARAMETER}),
    Case(
        "A-ABORT of 4 GiB, header only",
        pdu.pdu(pdu.ABORT, b"", length=0xFFFF_FFFF),
        {Closed(), INVALID_PARAMETER},
    ),
]


@pytest.mark.parametrize(("implementation", "case"), both(ON_ASSOCIATION))
def test_pdu_on_an_association(
    implementation: str, case: Case, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.1: Sta6 answers what it cannot use by AA-8, source 2 and a reason."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    peer.associate()
    peer.send(case.data)
    answer = answers.next_answer(peer, clean=receiver.is_ours)
    if isinstance(answer, Released):
        peer.half_close()
        peer.expect_closed()
    case.check(receiver, answer)
    assert_still_serves(receiver)


@pytest.mark.parametrize("unread_bytes", [0, 1, 65_536, 400_000])
def test_the_abort_reaches_a_peer_that_is_still_sending(
    unread_bytes: int, scripted_peer: Connect, ours: Receiver
) -> None:
    """PROMISES.md §1: closing over unread bytes makes TCP send RST, and the A-ABORT is lost."""
    peer = scripted_peer(ours)
    peer.associate()
    sender = threading.Thread(
        target=peer.send_tolerant, args=(pdu.pdu(0x55, bytes(4)), bytes(unread_bytes))
    )
    sender.start()
    peer.expect_abort((2, 1))
    sender.join()
    assert_still_serves(ours)


@BOTH
def test_reserved_fields_are_not_tested(
    implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """PS3.8 §9.3: reserved fields are sent as 00H and not tested when received."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    request = bytearray(pdu.associate_rq())
    request[1] = 0xFF
    request[6 + 2 : 6 + 4] = b"\xff\xff"
    request[6 + 36 : 6 + 68] = b"\xff" * 32
    peer.send(bytes(request))
    peer.expect_associate_ac()
    command = pdu.pdv(1, pdu.c_echo_rq(5), command=True)
    peer.send(pdu.pdu(pdu.P_DATA_TF, command, reserved=0xFF))
    assert pdu.value_us(peer.expect_message(), pdu.STATUS) == 0
    peer.send(pdu.pdu(pdu.RELEASE_RQ, b"\xff\xff\xff\xff", reserved=0xFF))
    peer.expect_pdu(pdu.RELEASE_RP)


@BOTH
def test_half_close_after_a_complete_request(
    implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.1: the answer is not thrown away because the end of stream is seen first."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    peer.send(pdu.associate_rq())
    peer.expect_associate_ac()
    peer.send(pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(3), command=True)))
    peer.half_close()
    assert pdu.value_us(peer.expect_message(), pdu.STATUS) == 0
    peer.drain()
    assert_still_serves(receiver)


def test_half_close_right_after_the_association_request(
    ours: Receiver, scripted_peer: Connect
) -> None:
    """The A-ASSOCIATE-AC still comes."""
    peer = scripted_peer(ours)
    peer.send(pdu.associate_rq())
    peer.half_close()
    peer.expect_associate_ac()
    peer.drain()
    assert_still_serves(ours)


@pytest.mark.parametrize(
    "moment", ["connected", "half a request", "requested", "associated", "half a PDU", "asked"]
)
@BOTH
def test_reset_at_any_moment(
    moment: str, implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """RST ends that association and nothing else: no exit, no descriptor kept."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    request = pdu.associate_rq()
    echo = pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(3), command=True))
    match moment:
        case "half a request":
            peer.send(request[:50])
        case "requested":
            peer.send(request)
        case "associated":
            peer.associate()
        case "half a PDU":
            peer.associate()
            peer.send(echo[:20])
        case "asked":
            peer.associate()
            peer.send(echo * 50)
    peer.reset()
    assert_still_serves(receiver)


@BOTH
def test_three_messages_in_one_segment(
    implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """PS3.8 §9.3.1: several PDUs may arrive with one read."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    peer.associate()
    echo = [pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(n), command=True)) for n in (1, 2, 3)]
    peer.send(*echo, pdu.release_rq())
    for number in (1, 2, 3):
        response = peer.expect_message()
        assert pdu.value_us(response, pdu.RESPONDED_ID) == number
    peer.expect_pdu(pdu.RELEASE_RP)
