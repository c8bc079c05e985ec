"""PS3.8 §9.3.5 and PS3.7 §6.3: PDVs that lie, come in the wrong order, or in any legal packing."""

from __future__ import annotations

import pytest

from testkit import answers, pdu
from testkit.answers import (
    BY_USER,
    INVALID_PARAMETER,
    UNEXPECTED_PARAMETER,
    UNEXPECTED_PDU,
    Closed,
    Released,
)
from testkit.cases import BOTH, Case, both
from testkit.checks import assert_nothing_stored, assert_still_serves
from testkit.kinds import Connect, StorescpOf
from testkit.process import Receiver
from vectors import make

OBJECT = make.ct(1)
STORE = pdu.c_store_rq(OBJECT.sop_class_uid, OBJECT.sop_instance_uid)
DATA = OBJECT.data_set
ECHO = pdu.c_echo_rq(4)


def echo(**changes: object) -> bytes:
    """A C-ECHO-RQ whose one PDV is changed."""
    return pdu.p_data(pdu.pdv(1, ECHO, command=True, **changes))  # type: ignore[arg-type]


def store_command(context_id: int = 3) -> bytes:
    """The command of a C-STORE-RQ in one P-DATA-TF."""
    return pdu.p_data(pdu.pdv(context_id, STORE, command=True))


FRAMING = {INVALID_PARAMETER, UNEXPECTED_PARAMETER, BY_USER}
DCMTK = {BY_USER}

CASES = [
    Case("PDV length past the PDU", echo(length=len(ECHO) + 3), {INVALID_PARAMETER}, DCMTK),
    Case("PDV length of 4 GiB", echo(length=0xFFFF_FFFF), {INVALID_PARAMETER}),
    Case("PDV length 0", pdu.p_data(b"\0\0\0\0"), {INVALID_PARAMETER}),
    Case("PDV length 1", pdu.p_data(b"\0\0\0\1\1"), {INVALID_PARAMETER}),
    Case("one byte after the last PDV", pdu.p_data(pdu.pdv(1, ECHO[:20], command=True,
         last=False), b"\0"), {INVALID_PARAMETER}),
    Case("three bytes after the last PDV", pdu.p_data(pdu.pdv(1, ECHO[:20], command=True,
         last=False), b"\0\0\0"), {INVALID_PARAMETER}),
    Case("context that was never proposed", pdu.p_data(pdu.pdv(99, ECHO, command=True)),
         {INVALID_PARAMETER, BY_USER}, DCMTK),
    Case("context ID 0", pdu.p_data(pdu.pdv(0, ECHO, command=True)),
         {INVALID_PARAMETER, BY_USER}),
    Case("even context ID", pdu.p_data(pdu.pdv(2, ECHO, command=True)),
         {INVALID_PARAMETER, BY_USER}),
    Case("context that was refused", pdu.p_data(pdu.pdv(9, ECHO, command=True)),
         {INVALID_PARAMETER, BY_USER}, DCMTK),
    Case("another context inside a message", store_command() + pdu.p_data(pdu.pdv(5, DATA)),
         FRAMING, DCMTK),
    Case("another context inside a command",
         pdu.p_data(pdu.pdv(3, STORE[:40], command=True, last=False))
         + pdu.p_data(pdu.pdv(5, STORE[40:], command=True)), FRAMING),
    Case("data set first", pdu.p_data(pdu.pdv(3, DATA)), FRAMING, DCMTK),
    Case("data set inside a command",
         pdu.p_data(pdu.pdv(3, STORE[:40], command=True, last=False), pdu.pdv(3, DATA)), FRAMING),
    Case("command inside a data set",
         store_command() + pdu.p_data(pdu.pdv(3, DATA[:90], last=False))
         + pdu.p_data(pdu.pdv(3, ECHO, command=True)), FRAMING, DCMTK),
    Case("second command before the data set", store_command() + store_command(), FRAMING, DCMTK),
    Case("release inside a data set",
         store_command() + pdu.p_data(pdu.pdv(3, DATA[:90], last=False)) + pdu.release_rq(),
         {Released(), UNEXPECTED_PDU}, {Released()}),
    Case("release inside a command",
         pdu.p_data(pdu.pdv(3, STORE[:40], command=True, last=False)) + pdu.release_rq(),
         {Released(), UNEXPECTED_PDU}),
    Case("abort inside a data set",
         store_command() + pdu.p_data(pdu.pdv(3, DATA[:90], last=False)) + pdu.abort(),
         {Closed()}, {Closed()}),
    Case("a second request inside a data set",
         store_command() + pdu.p_data(pdu.pdv(3, DATA[:90], last=False)) + pdu.associate_rq(),
         {UNEXPECTED_PDU}),
]  # fmt: skip

CONTEXTS = (*pdu.CONTEXTS, (9, "1.2.3.4", [pdu.IMPLICIT]))


@pytest.mark.parametrize(("implementation", "case"), both(CASES))
def test_p_data_that_is_none(
    implementation: str, case: Case, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.3: framing faults abort, and nothing of the message is kept."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    peer.associate(CONTEXTS)
    peer.send_tolerant(case.data)
    answer = answers.next_answer(peer, clean=receiver.is_ours)
    case.check(receiver, answer)
    if receiver.is_ours:
        assert_nothing_stored(receiver)
    assert_still_serves(receiver)


@pytest.mark.parametrize("end", ["eof", "reset", "abort"])
@pytest.mark.parametrize("sent_bytes", [0, 2, 300])
def test_an_unfinished_object_leaves_nothing(
    end: str, sent_bytes: int, ours: Receiver, scripted_peer: Connect
) -> None:
    """P4: absent or whole; missing last fragment, however the peer goes away."""
    peer = scripted_peer(ours)
    peer.associate()
    peer.send(store_command(), pdu.p_data(pdu.pdv(3, DATA[:sent_bytes], last=False)))
    match end:
        case "eof":
            peer.half_close()
            peer.drain()
        case "reset":
            peer.reset()
        case "abort":
            peer.send(pdu.abort())
            peer.drain()
    assert_nothing_stored(ours)
    assert_still_serves(ours)


def pieces(data: bytes, *sizes: int) -> list[bytes]:
    """`data` cut into pieces of these sizes in turn; the last takes the rest."""
    cut, at = [], 0
    for size in sizes:
        cut.append(data[at : at + size])
        at += size
    return [*cut, data[at:]]


def as_pdvs(context_id: int, cut: list[bytes], *, command: bool = False) -> list[bytes]:
    return [
        pdu.pdv(context_id, piece, command=command, last=number == len(cut) - 1)
        for number, piece in enumerate(cut)
    ]


PACKINGS: dict[str, bytes] = {
    "one PDV per PDU": store_command() + b"".join(pdu.fragments(3, DATA, size=100)),
    "two PDVs in one PDU": store_command() + pdu.p_data(*as_pdvs(3, pieces(DATA, 200))),
    "command and data set in one PDU": pdu.p_data(
        pdu.pdv(3, STORE, command=True), *as_pdvs(3, pieces(DATA, 200))
    ),
    "three PDVs of equal length": pdu.p_data(
        pdu.pdv(3, STORE, command=True), *as_pdvs(3, pieces(DATA, 100, 100))
    ),
    "three PDVs of unequal length": pdu.p_data(
        pdu.pdv(3, STORE, command=True), *as_pdvs(3, pieces(DATA, 100, 60, 4, 30))
    ),
    "command in single bytes": b"".join(
        pdu.p_data(one)
        for one in as_pdvs(3, [STORE[n : n + 1] for n in range(len(STORE))], command=True)
    )
    + pdu.p_data(pdu.pdv(3, DATA)),
    "command and data set share a PDU after a split command": pdu.p_data(
        *as_pdvs(3, pieces(STORE, 33, 1), command=True), *as_pdvs(3, pieces(DATA, 7))
    ),
    "odd fragments": store_command()
    + b"".join(pdu.p_data(one) for one in as_pdvs(3, pieces(DATA, 101, 33))),
    "an empty last fragment": store_command()
    + pdu.p_data(pdu.pdv(3, DATA, last=False))
    + pdu.p_data(pdu.pdv(3, b"", last=True)),
    "empty fragments between": store_command()
    + pdu.p_data(*[pdu.pdv(3, b"", last=False)] * 20, *as_pdvs(3, pieces(DATA, 50))),
    "one byte per PDV": store_command()
    + pdu.p_data(*as_pdvs(3, [DATA[n : n + 1] for n in range(len(DATA))])),
    "reserved bits of the control header set": pdu.p_data(
        pdu.pdv(3, STORE, control=0xFF), pdu.pdv(3, DATA, control=0xFE)
    ),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_any_packing_stores_the_same_bytes(
    packing: str, ours: Receiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md C1: DCMTK loses the third PDV of a PDU. Odd ones are harmless (§2.3)."""
    peer = scripted_peer(ours)
    peer.associate()
    peer.send(PACKINGS[packing])
    peer.expect_status(0)
    peer.echo()
    peer.release()
    (stored,) = ours.files()
    assert stored.read_bytes().endswith(DATA)
    stored.unlink()


@BOTH
def test_two_pdvs_in_one_pdu_suit_every_receiver(
    implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """The shared subset of packings."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    peer.associate()
    peer.send(PACKINGS["two PDVs in one PDU"], pdu.release_rq())
    peer.expect_status(0)
    for path in receiver.files():
        path.unlink()


@pytest.mark.parametrize(("count", "wanted"), [(1023, 0), (1024, 0), (1026, None), (200_000, None)])
def test_empty_fragments_in_a_row_are_bounded(
    count: int, wanted: int | None, ours: Receiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §3.1: 1024 empty PDVs in a row; progress must be made."""
    peer = scripted_peer(ours)
    peer.associate()
    empty = pdu.pdv(3, b"", last=False)
    per_pdu = 16384 // len(empty)
    flood = b"".join(
        pdu.p_data(empty * min(per_pdu, count - at)) for at in range(0, count, per_pdu)
    )
    peer.send_tolerant(store_command(), flood, pdu.p_data(pdu.pdv(3, DATA)))
    if wanted is None:
        peer.expect_abort((2, 6), (0, 0))
        assert_nothing_stored(ours)
    else:
        peer.expect_status(wanted)
        ours.files()[0].unlink()
    assert_still_serves(ours)


@pytest.mark.parametrize("excess", [0, 1])
def test_the_announced_maximum_and_one_byte_more(
    excess: int, ours: Receiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §3.1: what this side announced is accepted in full, and nothing above it."""
    made = make.ct(2, rows=100, columns=100)
    peer = scripted_peer(ours)
    ac = peer.associate()
    assert ac.max_pdu == 16384
    peer.send(store_command())
    first = 16384 - 6 + excess
    peer.send_tolerant(
        pdu.p_data(pdu.pdv(3, made.data_set[:first], last=False)),
        pdu.p_data(pdu.pdv(3, made.data_set[first:])),
    )
    if excess:
        peer.expect_abort((2, 6))
        assert_nothing_stored(ours)
    else:
        status = peer.expect_status(0, 0xA900)
        assert status == 0xA900, "the data set's UID is not the command's"
