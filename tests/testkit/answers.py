"""What a receiver may answer, as values that a table of cases can hold and compare."""

from __future__ import annotations

from dataclasses import dataclass

from testkit import pdu
from testkit.peer import ScriptedPeer


@dataclass(frozen=True)
class Rejected:
    """A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True)
class Aborted:
    """A-ABORT (PS3.8 Table 9-26)."""

    source: int
    reason: int


@dataclass(frozen=True)
class Accepted:
    """A-ASSOCIATE-AC: the result of each context, in the order of the IDs."""

    results: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Status:
    """A response with this status."""

    value: int


@dataclass(frozen=True)
class Released:
    """A-RELEASE-RP."""


@dataclass(frozen=True)
class Closed:
    """The end of the connection without a PDU."""


Answer = Rejected | Aborted | Accepted | Status | Released | Closed

#: A-ABORT by the service provider, one for each reason (PS3.8 Table 9-26).
NOT_SPECIFIED, UNRECOGNIZED_PDU, UNEXPECTED_PDU = Aborted(2, 0), Aborted(2, 1), Aborted(2, 2)
UNRECOGNIZED_PARAMETER, UNEXPECTED_PARAMETER = Aborted(2, 4), Aborted(2, 5)
INVALID_PARAMETER = Aborted(2, 6)
#: A-ABORT by the service user: what AA-1 and DIMSE faults send.
BY_USER = Aborted(0, 0)


def accepted(**results: int) -> Accepted:
    """``accepted(c1=0, c3=3)``: context 1 accepted, context 3 with result 3."""
    return Accepted(tuple(sorted((int(name[1:]), value) for name, value in results.items())))


def next_answer(peer: ScriptedPeer, *, clean: bool = True) -> Answer:
    """The next thing that the receiver says; after RJ and A-ABORT the end must follow.

    With `clean` anything but an orderly end after that fails: over an RST an answer gets lost.
    (DCMTK's tools keep the connection, or send a second A-ABORT.)
    """
    try:
        first = peer.socket.recv(1)
    except ConnectionResetError:
        assert not clean, "connection reset before any answer"
        return Closed()
    if not first:
        return Closed()
    header = first + peer.receive_exactly(5)
    body = peer.receive_exactly(int.from_bytes(header[2:], "big"))
    match header[0]:
        case pdu.ASSOCIATE_RJ:
            answer: Answer = Rejected(*body[1:4])
        case pdu.ABORT:
            answer = Aborted(*body[2:4])
        case pdu.ASSOCIATE_AC:
            peer.ac = pdu.read_associate_ac(body)
            results = ((one.context_id, one.result) for one in peer.ac.contexts.values())
            return Accepted(tuple(sorted(results)))
        case pdu.RELEASE_RP:
            return Released()
        case pdu.P_DATA_TF:
            return Status(pdu.value_us(pdu.read_command(body[6:]), pdu.STATUS))
        case other:
            raise AssertionError(f"PDU type {other:02X}H: {body[:64]!r}")
    if clean:
        peer.expect_closed()
    return answer
