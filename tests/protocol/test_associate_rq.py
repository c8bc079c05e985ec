"""PS3.8 §9.3.2: association requests that lie, lack something, or ask for too much.

PROMISES.md §2.2, row by row. Where DCMTK answers, its answer stands beside ours; where it holds the
peer without a word (DIFFERENCES.md B5) there is nothing to compare.
"""

from __future__ import annotations

import struct

import pytest

from testkit import answers, pdu
from testkit.answers import (
    BY_USER,
    INVALID_PARAMETER,
    UNRECOGNIZED_PARAMETER,
    Aborted,
    Accepted,
    Answer,
    Rejected,
    accepted,
)
from testkit.cases import BOTH, Case, both
from testkit.checks import assert_still_serves
from testkit.kinds import Connect, StartReceiver, StorescpOf
from testkit.peer import ScriptedPeer
from testkit.process import Receiver

ALL = accepted(c1=0, c3=0, c5=0, c7=0)
NO_REASON = Rejected(1, 1, 1)
BAD_CONTEXT_NAME = Rejected(1, 1, 2)
BAD_VERSION = Rejected(1, 2, 2)
MALFORMED: set[Answer] = {INVALID_PARAMETER, UNRECOGNIZED_PARAMETER, BY_USER, NO_REASON}

VERIFICATION_ONLY = ((1, pdu.VERIFICATION, [pdu.IMPLICIT]),)


def request(*items: bytes) -> bytes:
    """An A-ASSOCIATE-RQ of exactly these items."""
    return pdu.pdu(pdu.ASSOCIATE_RQ, pdu.associate_body(b"".join(items)))


def context_item(context_id: int, *items: bytes) -> bytes:
    """A presentation context of exactly these sub-items."""
    return pdu.item(0x20, bytes([context_id, 0, 0, 0]) + b"".join(items))


NAME = pdu.item(0x10, pdu.APPLICATION_CONTEXT)
CONTEXT = pdu.context_rq(VERIFICATION_ONLY[0])
ABSTRACT = pdu.item(0x30, pdu.VERIFICATION.encode())
TRANSFER = pdu.item(0x40, pdu.IMPLICIT.encode())
USER = pdu.user_information()
ONE: set[Answer] = {accepted(c1=0)}

VERSIONS = [
    Case("version 0", pdu.associate_rq(protocol_version=0), {BAD_VERSION}, {BAD_VERSION}),
    Case("version 2", pdu.associate_rq(protocol_version=2), {BAD_VERSION}, {BAD_VERSION}),
    Case("version 3: bit 0 counts", pdu.associate_rq(protocol_version=3), {ALL}, {ALL}),
    Case("version FFFFH", pdu.associate_rq(protocol_version=0xFFFF), {ALL}, {ALL}),
]

NAMES = [
    Case(
        "another application context",
        pdu.associate_rq(application_context=b"1.2.3.4"),
        {BAD_CONTEXT_NAME},
        {BAD_CONTEXT_NAME},
    ),
    Case(
        "no application context",
        pdu.associate_rq(application_context=None),
        {BAD_CONTEXT_NAME, UNRECOGNIZED_PARAMETER, INVALID_PARAMETER},
        {BAD_CONTEXT_NAME},
    ),
    Case(
        "an empty application context",
        pdu.associate_rq(application_context=b""),
        {BAD_CONTEXT_NAME, UNRECOGNIZED_PARAMETER, INVALID_PARAMETER},
    ),
    Case(
        "an application context of 65 bytes",
        pdu.associate_rq(application_context=b"1." * 32 + b"1"),
        {BAD_CONTEXT_NAME, INVALID_PARAMETER},
    ),
]

TITLES = [
    Case("called title empty", pdu.associate_rq(called=""), {ALL}),
    Case("calling title empty", pdu.associate_rq(calling=""), {ALL}),
    Case("called title of NULs", pdu.associate_rq(called=bytes(16)), {ALL}),
    Case("title with control characters", pdu.associate_rq(calling=b"A\nF: forged\x1b"), {ALL}),
    Case("title with a backslash", pdu.associate_rq(called=b"..\\..\\etc"), {ALL}),
    Case("title of bytes above 7FH", pdu.associate_rq(calling=b"\xff" * 16), {ALL}),
    Case("16 characters", pdu.associate_rq(called="A" * 16, calling="B" * 16), {ALL}, {ALL}),
]

CONTEXTS = [
    Case("no presentation context", request(NAME, USER), {NO_REASON, INVALID_PARAMETER}),
    Case(
        "context without transfer syntax",
        request(NAME, context_item(1, ABSTRACT), USER),
        MALFORMED | {accepted(c1=4)},
    ),
    Case(
        "context without abstract syntax",
        request(NAME, context_item(1, TRANSFER), USER),
        MALFORMED | {accepted(c1=3), accepted(c1=4)},
    ),
    Case(
        "context with two abstract syntaxes",
        request(NAME, context_item(1, ABSTRACT, ABSTRACT, TRANSFER), USER),
        MALFORMED | {accepted(c1=3), accepted(c1=4)},
    ),
    Case("even context ID", pdu.associate_rq([(2, pdu.CT, [pdu.EXPLICIT])]), MALFORMED),
    Case("context ID 0", pdu.associate_rq([(0, pdu.CT, [pdu.EXPLICIT])]), MALFORMED),
    Case(
        "context ID used twice",
        pdu.associate_rq([(1, pdu.CT, [pdu.EXPLICIT]), (1, pdu.MR, [pdu.EXPLICIT])]),
        MALFORMED,
    ),
    Case(
        "129 contexts",
        pdu.associate_rq([((2 * n + 1) % 256, pdu.CT, [pdu.EXPLICIT]) for n in range(129)]),
        MALFORMED,
    ),
    Case(
        "nothing acceptable",
        pdu.associate_rq([(1, pdu.STUDY_ROOT_FIND, [pdu.IMPLICIT]), (3, pdu.CT, ["1.2.3"])]),
        {accepted(c1=3, c3=4)},
        {accepted(c1=3, c3=4)},
    ),
    Case(
        "unknown class beside a known one",
        pdu.associate_rq([(1, "1.2.3.4.5", [pdu.IMPLICIT]), (3, pdu.CT, [pdu.IMPLICIT])]),
        {accepted(c1=3, c3=0)},
        {accepted(c1=3, c3=0)},
    ),
    Case(
        "abstract syntax of 65 bytes",
        pdu.associate_rq([(1, "1." * 32 + "1", [pdu.IMPLICIT]), (3, pdu.CT, [pdu.IMPLICIT])]),
        {accepted(c1=3, c3=0), INVALID_PARAMETER},
    ),
    Case(
        "abstract syntax with foreign bytes",
        pdu.associate_rq([(1, "../../x", [pdu.IMPLICIT]), (3, pdu.CT, [pdu.IMPLICIT])]),
        {accepted(c1=3, c3=0), INVALID_PARAMETER},
    ),
    Case(
        "UIDs padded with NUL",
        request(
            NAME,
            context_item(
                1, pdu.item(0x30, pdu.VERIFICATION.encode() + b"\0"), pdu.item(0x40, b"1.2\0"),
                pdu.item(0x40, pdu.IMPLICIT.encode() + b"\0"),
            ),
            USER,
        ),
        {accepted(c1=0)},
    ),
    Case(
        "empty transfer syntax beside a good one",
        request(NAME, context_item(1, ABSTRACT, pdu.item(0x40, b""), TRANSFER), USER),
        ONE | {INVALID_PARAMETER},
    ),
]  # fmt: skip

LENGTHS = [
    Case("item past the PDU", request(NAME, CONTEXT, USER[:2] + b"\xff\xff" + USER[4:]), MALFORMED),
    Case(
        "sub-item past its item",
        request(NAME, pdu.item(0x20, bytes([1, 0, 0, 0]) + b"\x30\0\xff\xff1.2"), USER),
        MALFORMED,
    ),
    Case(
        "context shorter than its ID", request(NAME, pdu.item(0x20, b""), USER), MALFORMED
    ),
    Case("half an item header at the end", request(NAME, CONTEXT, USER, b"\x20"), MALFORMED),
    Case(
        "user information past the PDU",
        request(NAME, CONTEXT, pdu.item(0x50, b"\x51\0\0\4\0\0\x40\0", length=600)),
        MALFORMED,
    ),
    Case(
        "user sub-item past its item",
        request(NAME, CONTEXT, pdu.item(0x50, b"\x51\0\0\x40\0\0\x40\0")),
        MALFORMED,
    ),
    Case(
        "maximum length of 2 bytes",
        request(NAME, CONTEXT, pdu.item(0x50, pdu.item(0x51, b"\x40\0"))),
        MALFORMED,
    ),
    Case("fixed part only", pdu.pdu(1, pdu.associate_body(b"")), MALFORMED | {BAD_CONTEXT_NAME}),
]  # fmt: skip

EXTRA_ITEMS = [
    Case("unknown item type", request(NAME, pdu.item(0x99, b"x" * 9), CONTEXT, USER), ONE, ONE),
    Case(
        "unknown user sub-item",
        request(NAME, CONTEXT, pdu.user_information(extra=pdu.item(0x77, b"?" * 30))),
        ONE,
        ONE,
    ),
    Case("no user information", request(NAME, CONTEXT), ONE | MALFORMED, ONE),
    Case(
        "no implementation class UID",
        request(NAME, CONTEXT, pdu.user_information(class_uid=None, version=None)),
        ONE,
        ONE,
    ),
    Case(
        "no maximum length",
        request(NAME, CONTEXT, pdu.user_information(max_pdu=None)),
        ONE | MALFORMED,
    ),
    Case(
        "asynchronous window 0/0",
        request(NAME, CONTEXT, pdu.user_information(extra=pdu.item(0x53, bytes(4)))),
        ONE,
        ONE,
    ),
    Case(
        "a role for a class that is not proposed",
        request(
            NAME,
            CONTEXT,
            pdu.user_information(extra=pdu.item(0x54, struct.pack(">H", 5) + b"1.2.3\1\1")),
        ),
        ONE,
        ONE,
    ),
    Case(
        "a role whose UID length lies",
        request(
            NAME,
            CONTEXT,
            pdu.user_information(extra=pdu.item(0x54, struct.pack(">H", 500) + b"1.2.3\1\1")),
        ),
        ONE | MALFORMED,
    ),
    Case(
        "user identity with a password",
        request(
            NAME,
            CONTEXT,
            pdu.user_information(
                extra=pdu.item(0x58, b"\2\0" + struct.pack(">H", 4) + b"root\0\6secret")
            ),
        ),
        ONE,
        ONE,
    ),
    Case(
        "user identity whose lengths lie",
        request(
            NAME,
            CONTEXT,
            pdu.user_information(extra=pdu.item(0x58, b"\2\0" + b"\xff\xff" + b"root")),
        ),
        ONE | MALFORMED,
    ),
    Case(
        "extended negotiation whose UID length lies",
        request(
            NAME,
            CONTEXT,
            pdu.user_information(extra=pdu.item(0x56, struct.pack(">H", 99) + b"1.2")),
        ),
        ONE | MALFORMED,
    ),
]


@pytest.mark.parametrize(
    ("implementation", "case"),
    both([*VERSIONS, *NAMES, *TITLES, *CONTEXTS, *LENGTHS, *EXTRA_ITEMS]),
)
def test_association_request(
    implementation: str, case: Case, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """Each complete request is answered at once, with the tool that fits the fault."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    peer.send(case.data)
    answer = answers.next_answer(peer, clean=receiver.is_ours)
    case.check(receiver, answer)
    if isinstance(answer, Accepted) and (1, 0) in answer.results and "CT" not in case.name:
        peer.send(pdu.release_rq())
        peer.expect_pdu(pdu.RELEASE_RP)
    assert_still_serves(receiver)


REFUSALS = [
    # (tool, options, request, answer): DCMTK 3.6.7, rows that differ per tool.
    ("storescp", ["--refuse"], pdu.associate_rq(), NO_REASON),
    ("storescp", ["-r"], pdu.associate_rq(), NO_REASON),
    (
        "storescp",
        ["--reject"],
        request(NAME, CONTEXT, pdu.user_information(class_uid=None)),
        NO_REASON,
    ),
    ("storescp", ["+R"], request(NAME, CONTEXT, pdu.user_information(class_uid=None)), NO_REASON),
    ("storescp", ["--reject"], pdu.associate_rq(VERIFICATION_ONLY), accepted(c1=0)),
    ("dcmrecv", [], pdu.associate_rq(protocol_version=2), BAD_VERSION),
    (
        "dcmrecv",
        [],
        pdu.associate_rq(VERIFICATION_ONLY, application_context=b"1.2.3"),
        Rejected(2, 1, 2),
    ),
    ("dcmrecv", [], pdu.associate_rq([(1, pdu.CT, [pdu.IMPLICIT])]), NO_REASON),
    ("dcmrecv", [], pdu.associate_rq(), accepted(c1=0, c3=3, c5=3, c7=3)),
    ("dcmrecv", [], request(NAME, USER), NO_REASON),
    (
        "dcmrecv",
        [],
        request(NAME, CONTEXT, pdu.user_information(class_uid=None)),
        accepted(c1=0),
    ),
]
#: The 1998 page's spellings do not exist in DCMTK 3.6.7.
ONLY_OURS = {"-r", "+R"}


@BOTH
@pytest.mark.parametrize(("tool", "options", "data", "answer"), REFUSALS)
def test_refusals_of_each_tool(
    implementation: str,
    tool: str,
    options: list[str],
    data: bytes,
    answer: Answer,
    running_scp: StartReceiver,
    scripted_peer: Connect,
) -> None:
    """DIFFERENCES.md C2 and C3: compatible codes per tool."""
    if implementation == "dcmtk" and ONLY_OURS & set(options):
        pytest.skip("a spelling of the 1998 page")
    receiver = running_scp(tool, *options, implementation=implementation)
    peer = scripted_peer(receiver)
    peer.send(data)
    assert answers.next_answer(peer, clean=receiver.is_ours) == answer


@BOTH
def test_a_peer_without_limit_gets_whole_answers(
    implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """PS3.8 Annex D.1: maximum length 0 means that no limit is set."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    peer.associate(max_pdu=0)
    peer.echo()
    peer.release()


@pytest.mark.parametrize("max_pdu", [1, 6, 7, 8, 12, 13, 64])
def test_a_tiny_maximum_length_makes_progress_or_is_refused(
    max_pdu: int, ours: Receiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.2: no division by zero, no endless stream of empty PDVs."""
    peer = scripted_peer(ours)
    peer.send(pdu.associate_rq(VERIFICATION_ONLY, max_pdu=max_pdu))
    answer = answers.next_answer(peer)
    if answer == accepted(c1=0):
        peer.send(pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(9), command=True)))
        response = peer.expect_message()
        assert pdu.value_us(response, pdu.STATUS) == 0
    else:
        assert answer in {NO_REASON, INVALID_PARAMETER}
    assert_still_serves(ours)


@BOTH
def test_the_answer_repeats_the_titles_and_answers_one_operation_at_a_time(
    implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """PS3.8 Table 9-17: the titles come back; PS3.7 §D.3.3.3: an asynchronous window of 1/1."""
    peer = scripted_peer(storescp_of(implementation))
    window = pdu.item(0x53, struct.pack(">HH", 100, 100))
    ac = peer.associate(
        called="ANY-SCP", calling="SCRIPTED", user=pdu.user_information(extra=window)
    )
    assert ac.called == b"ANY-SCP".ljust(16)
    assert ac.calling == b"SCRIPTED".ljust(16)
    assert ac.max_pdu == 16384
    assert ac.other_items.get(0x53, struct.pack(">HH", 1, 1)) == struct.pack(">HH", 1, 1)


def test_who_we_are(ours: Receiver, scripted_peer: Connect) -> None:
    """An implementation class UID under 2.25, and a version name of at most 16 characters."""
    ac = scripted_peer(ours).associate()
    assert ac.class_uid.startswith("2.25.")
    assert 5 < len(ac.class_uid) <= 64
    assert ac.version.startswith("DCMFAST_")
    assert len(ac.version) <= 16


@BOTH
def test_a_rejected_peer_that_stays_delays_nobody(
    implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md B5: DCMTK waits until the rejected peer closes, and all others with it."""
    receiver = running_scp("storescp", implementation=implementation)
    staying = scripted_peer(receiver)
    staying.send(pdu.associate_rq(protocol_version=0))
    assert staying.expect_pdu(pdu.ASSOCIATE_RJ)
    with ScriptedPeer(receiver.port, answer_s=2.0) as other:
        other.send(pdu.associate_rq())
        if receiver.is_ours:
            other.expect_associate_ac()
            staying.expect_closed(within_s=10)
        else:
            with pytest.raises(TimeoutError):
                other.expect_associate_ac()


def test_every_odd_context_id_is_answered(ours: Receiver, scripted_peer: Connect) -> None:
    """PS3.8 §9.3.2.2: 128 contexts, the most that odd IDs allow."""
    contexts = [(number, pdu.CT, [pdu.IMPLICIT, pdu.EXPLICIT]) for number in range(1, 256, 2)]
    ac = scripted_peer(ours).associate(contexts)
    assert set(ac.contexts) == set(range(1, 256, 2))
    assert {one.result for one in ac.contexts.values()} == {0}


def test_the_largest_request_and_one_byte_more(ours: Receiver, scripted_peer: Connect) -> None:
    """PROMISES.md §3.1: 256 KiB, tested at the bound; the length is answered after the header."""
    bound = 262_144
    padding = bound - len(pdu.associate_rq(VERIFICATION_ONLY)) + 6
    extra = pdu.item(0x99, bytes(50_000)) * (padding // 50_004)
    extra += pdu.item(0x99, bytes(padding - len(extra) - 4))
    data = pdu.associate_rq(VERIFICATION_ONLY, extra=extra)
    assert len(data) == bound + 6
    peer = scripted_peer(ours)
    peer.send(data)
    assert answers.next_answer(peer) == accepted(c1=0)
    longer = scripted_peer(ours)
    longer.send(pdu.pdu(pdu.ASSOCIATE_RQ, b"", length=bound + 1))
    assert isinstance(answers.next_answer(longer), Aborted)


def test_a_thousand_transfer_syntaxes_are_no_harm(ours: Receiver, scripted_peer: Connect) -> None:
    """PROMISES.md §3.1: at most 128 are read; a known one among the first is found."""
    syntaxes = [pdu.IMPLICIT, *(f"1.2.3.{n}" for n in range(1000))]
    peer = scripted_peer(ours)
    peer.send(pdu.associate_rq([(1, pdu.VERIFICATION, syntaxes)]))
    assert answers.next_answer(peer) in {accepted(c1=0), INVALID_PARAMETER, NO_REASON}
    assert_still_serves(ours)


@pytest.mark.parametrize("count", [1024, 5000])
def test_many_user_information_items(count: int, ours: Receiver, scripted_peer: Connect) -> None:
    """PROMISES.md §3.1: 1024 sub-items are read; more are refused, never collected."""
    role = pdu.item(0x54, struct.pack(">H", 5) + b"1.2.3\1\1")
    peer = scripted_peer(ours)
    peer.send(
        pdu.associate_rq(VERIFICATION_ONLY, user=pdu.user_information(extra=role * (count - 3)))
    )
    wanted = {accepted(c1=0)} if count <= 1024 else {accepted(c1=0), *MALFORMED}
    assert answers.next_answer(peer) in wanted
    assert_still_serves(ours)
