"""PS3.7 §6.3.1, §9.3 and §E.1: command sets that cannot be read, lack fields or ask for too much.

PROMISES.md §2.4. What cannot be answered is aborted (source 0); what can be gets a status.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass

import pytest

from testkit import pdu
from testkit.cases import BOTH
from testkit.checks import assert_nothing_stored, assert_still_serves
from testkit.kinds import Connect, StorescpOf
from testkit.process import Receiver
from vectors import make

OBJECT = make.ct(1)
STORE = pdu.store_elements(OBJECT.sop_class_uid, OBJECT.sop_instance_uid, 21)
ECHO = pdu.echo_elements(21)
ABORTS = {(0, 0), (2, 6)}

UNRECOGNIZED_OPERATION, SOP_CLASS_NOT_SUPPORTED, MISTYPED = 0x0211, 0x0122, 0x0212
PROCESSING_FAILURE, INVALID_INSTANCE = 0x0110, 0x0117
CANNOT_UNDERSTAND, DOES_NOT_MATCH = range(0xC000, 0xD000), range(0xA900, 0xAA00)
MISSING_FIELD: Collection[int | range] = (
    MISTYPED, PROCESSING_FAILURE, INVALID_INSTANCE, 0x0120, 0x0121, DOES_NOT_MATCH,
    CANNOT_UNDERSTAND,
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command, what follows it, and which refusals are right; no status means abort only."""

    name: str
    context_id: int
    data: bytes
    follows: bytes | None = None
    aborts: Collection[tuple[int, int]] = ()
    statuses: Collection[int | range] = ()


def changed(
    elements: list[tuple[int, bytes]], number: int, value: bytes | None
) -> list[tuple[int, bytes]]:
    """Elements with one removed, or its value exchanged."""
    if value is None:
        return pdu.without(elements, number)
    return pdu.replaced(elements, number, value)


def command(elements: list[tuple[int, bytes]]) -> bytes:
    return pdu.command_set(elements)


DATA = OBJECT.data_set
UNREADABLE = [
    Command("garbage", 1, b"\xde\xad\xbe\xef" * 20, aborts=ABORTS),
    Command("one byte", 1, b"\0", aborts=ABORTS),
    Command("empty", 1, b"", aborts=ABORTS),
    Command("element past the end", 1, command(ECHO)[:-1], aborts=ABORTS),
    Command("half a header at the end", 1, command(ECHO) + b"\0\0\1", aborts=ABORTS),
    Command(
        "element of 4 GiB",
        1,
        command(ECHO[:1]) + pdu.command_element(0x0100, b"\x30\0", length=0xFFFF_FFFF),
        aborts=ABORTS,
    ),
    Command(
        "group 0008 inside",
        1,
        command(ECHO) + struct.pack("<HHL", 8, 0x16, 2) + b"1\0",
        aborts=ABORTS,
    ),
    Command("above the bound", 1, command([*ECHO, (0x0902, b"x" * 70_000)]), aborts=ABORTS),
    Command("4 MiB", 1, command([*ECHO, (0x0902, b"x" * (4 << 20))]), aborts=ABORTS),
    Command(
        "thousands of elements",
        1,
        command([*ECHO, *[(0x5000 + n, b"") for n in range(5000)]]),
        aborts=ABORTS,
    ),
    Command("only a group length", 1, pdu.command_element(0, struct.pack("<L", 0)), aborts=ABORTS),
]

WRONG_OPERATION = [
    Command(
        "unknown command field",
        1,
        command(changed(ECHO, pdu.COMMAND_FIELD, pdu.us(0x0077))),
        aborts={(0, 0)},
        statuses={UNRECOGNIZED_OPERATION},
    ),
    Command(
        "C-FIND on a storage class",
        3,
        command(
            [
                (pdu.SOP_CLASS, pdu.ui(pdu.CT)),
                (pdu.COMMAND_FIELD, pdu.us(pdu.C_FIND_RQ)),
                (pdu.MESSAGE_ID, pdu.us(9)),
                (pdu.PRIORITY, pdu.us(0)),
                (pdu.DATA_SET_TYPE, pdu.us(1)),
            ]
        ),
        DATA,
        aborts={(0, 0)},
        statuses={UNRECOGNIZED_OPERATION, SOP_CLASS_NOT_SUPPORTED},
    ),
    Command(
        "N-CREATE",
        3,
        command(
            [
                (pdu.SOP_CLASS, pdu.ui(pdu.CT)),
                (pdu.COMMAND_FIELD, pdu.us(pdu.N_CREATE_RQ)),
                (pdu.MESSAGE_ID, pdu.us(9)),
                (pdu.DATA_SET_TYPE, pdu.us(1)),
            ]
        ),
        DATA,
        aborts={(0, 0)},
        statuses={UNRECOGNIZED_OPERATION},
    ),
    Command(
        "C-STORE on Verification",
        1,
        command(STORE),
        # In the context's transfer syntax, so that nothing but the context is wrong.
        make.ct(1, transfer_syntax_uid=pdu.IMPLICIT).data_set,
        statuses={SOP_CLASS_NOT_SUPPORTED},
    ),
]


def missing(number: int, name: str, *values: bytes | None) -> list[Command]:
    """A C-STORE-RQ whose field `number` is absent or has a value of the wrong form."""
    return [
        Command(
            f"{name}: {'absent' if value is None else value[:12]!r}",
            3,
            command(changed(STORE, number, value)),
            DATA,
            aborts={(0, 0), (2, 6)},
            statuses=MISSING_FIELD,
        )
        for value in values
    ]


MALFORMED_STORE = [
    *missing(pdu.MESSAGE_ID, "message ID", None, b"", b"\1", b"\1\2\3"),
    *missing(pdu.COMMAND_FIELD, "command field", None, b"", b"\1"),
    *missing(pdu.DATA_SET_TYPE, "data set type", None, b"", b"\1"),
    *missing(pdu.SOP_CLASS, "SOP class", None, b"", b"1" * 300),
    *missing(pdu.SOP_INSTANCE, "SOP instance", None, b"", b"\0\0", b"1" * 300, b"1." * 32 + b"1\0"),
    Command(
        "no data set announced",
        3,
        command(changed(STORE, pdu.DATA_SET_TYPE, pdu.us(0x0101))),
        aborts={(0, 0)},
        statuses={CANNOT_UNDERSTAND, PROCESSING_FAILURE, DOES_NOT_MATCH},
    ),
    Command(
        "no data set announced, but one follows",
        3,
        command(changed(STORE, pdu.DATA_SET_TYPE, pdu.us(0x0101))),
        DATA,
        aborts={(0, 0), (2, 5), (2, 6)},
        statuses={CANNOT_UNDERSTAND, PROCESSING_FAILURE, DOES_NOT_MATCH},
    ),
]


@pytest.mark.parametrize(
    "case", [*UNREADABLE, *WRONG_OPERATION, *MALFORMED_STORE], ids=lambda case: case.name
)
def test_a_command_that_is_refused(case: Command, ours: Receiver, scripted_peer: Connect) -> None:
    """Refused with a status that the peer can address, or aborted; never stored, never a hang."""
    peer = scripted_peer(ours)
    peer.associate()
    cut = [case.data[at : at + 16000] for at in range(0, len(case.data), 16000)] or [b""]
    peer.send_tolerant(
        *(
            pdu.p_data(pdu.pdv(case.context_id, one, command=True, last=number == len(cut) - 1))
            for number, one in enumerate(cut)
        )
    )
    if case.follows is not None:
        peer.send_tolerant(*pdu.fragments(case.context_id, case.follows))
    status = peer.expect_refusal(case.aborts, case.statuses)
    # A data set that was not announced ends the association when it comes.
    if status is not None and "but one follows" not in case.name and "type:" not in case.name:
        peer.echo()
    assert_nothing_stored(ours)
    assert_still_serves(ours)


HARMLESS = {
    "priority out of range": changed(STORE, pdu.PRIORITY, pdu.us(99)),
    "move originator fields": [
        *STORE,
        (0x1030, b"MOVER   "),
        (0x1031, pdu.us(3)),
    ],
    "message ID 0": changed(STORE, pdu.MESSAGE_ID, pdu.us(0)),
    "message ID 65535": changed(STORE, pdu.MESSAGE_ID, pdu.us(65535)),
    "data set type FEH": changed(STORE, pdu.DATA_SET_TYPE, pdu.us(0x00FE)),
}


@BOTH
@pytest.mark.parametrize("name", HARMLESS)
def test_fields_that_do_not_matter(
    name: str, implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.4, last row: priority and optional fields are ignored."""
    receiver = storescp_of(implementation)
    peer = scripted_peer(receiver)
    peer.associate()
    message_id = struct.unpack("<H", dict(HARMLESS[name])[pdu.MESSAGE_ID])[0]
    peer.send(
        pdu.p_data(pdu.pdv(3, command(HARMLESS[name]), command=True)), *pdu.fragments(3, DATA)
    )
    response = peer.expect_message()
    assert pdu.value_us(response, pdu.STATUS) == 0
    assert pdu.value_us(response, pdu.RESPONDED_ID) == message_id
    for path in receiver.files():
        path.unlink()


@pytest.mark.parametrize("group_length", [-1, 0, 4, 70_000, 0xFFFF_FFFF])
def test_the_group_length_is_not_trusted(
    group_length: int, ours: Receiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.4: wrong or absent, what is there counts; failing is allowed."""
    peer = scripted_peer(ours)
    peer.associate()
    data = pdu.command_set(pdu.echo_elements(8), group_length=group_length)
    peer.send(pdu.p_data(pdu.pdv(1, data, command=True)))
    assert peer.expect_refusal(ABORTS, {0}) in (0, None)
    assert_still_serves(ours)


@pytest.mark.parametrize("twice", ["first wins", "order"])
def test_an_element_that_comes_twice(twice: str, ours: Receiver, scripted_peer: Connect) -> None:
    """PROMISES.md §2.4: failure, or the first wins; the same every time."""
    other = make.ct(2)
    elements = (
        [*STORE, (pdu.SOP_INSTANCE, pdu.ui(other.sop_instance_uid))]
        if twice == "first wins"
        else STORE[::-1]
    )
    results = set()
    for _ in range(3):
        peer = scripted_peer(ours)
        peer.associate()
        peer.send_tolerant(
            pdu.p_data(pdu.pdv(3, command(elements), command=True)), *pdu.fragments(3, DATA)
        )
        results.add(peer.expect_refusal(ABORTS, {0, *MISSING_FIELD}))
    assert len(results) == 1
    for path in ours.files():
        assert other.sop_instance_uid not in path.name
        path.unlink()


@BOTH
def test_echo_works_on_any_accepted_context(
    implementation: str, storescp_of: StorescpOf, scripted_peer: Connect
) -> None:
    """DCMTK 3.6.7: C-ECHO is answered on a storage context, too."""
    peer = scripted_peer(storescp_of(implementation))
    peer.associate()
    peer.echo(context_id=3)
    peer.release()


def test_an_echo_with_a_data_set(ours: Receiver, scripted_peer: Connect) -> None:
    """PROMISES.md §2.4: consume and answer; its bytes are not the next command."""
    peer = scripted_peer(ours)
    peer.associate()
    announced = changed(ECHO, pdu.DATA_SET_TYPE, pdu.us(1))
    peer.send(
        pdu.p_data(pdu.pdv(1, command(announced), command=True)), *pdu.fragments(1, b"\0" * 5000)
    )
    status = peer.expect_refusal({(0, 0)}, {0, UNRECOGNIZED_OPERATION, MISTYPED})
    if status is not None:
        peer.echo()
    assert_still_serves(ours)


def test_a_cancel_that_means_nothing_is_ignored(ours: Receiver, scripted_peer: Connect) -> None:
    """Issue "DIMSE": C-CANCEL is free, before, between and after (DCMTK aborts)."""
    peer = scripted_peer(ours)
    peer.associate()
    cancel = command(
        [
            (pdu.COMMAND_FIELD, pdu.us(pdu.C_CANCEL_RQ)),
            (pdu.RESPONDED_ID, pdu.us(1)),
            (pdu.DATA_SET_TYPE, pdu.us(0x0101)),
        ]
    )
    for _ in range(500):
        peer.send(pdu.p_data(pdu.pdv(3, cancel, command=True)))
    peer.echo()
    peer.release()


@pytest.mark.parametrize("field", [0x8001, 0x8030, 0x8020, 0xFFFF])
def test_a_response_that_nobody_asked_for(
    field: int, ours: Receiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.3, last row: abort or ignore, but do not wait for its data set."""
    peer = scripted_peer(ours)
    peer.associate()
    elements = [
        (pdu.SOP_CLASS, pdu.ui(pdu.CT)),
        (pdu.COMMAND_FIELD, pdu.us(field)),
        (pdu.RESPONDED_ID, pdu.us(1)),
        (pdu.DATA_SET_TYPE, pdu.us(0x0101)),
        (pdu.STATUS, pdu.us(0)),
    ]
    peer.send(pdu.p_data(pdu.pdv(3, command(elements), command=True)))
    peer.send_tolerant(pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(2), command=True)))
    assert peer.expect_refusal({(0, 0)}, {0}) in (0, None)
    assert_still_serves(ours)


def test_the_class_of_the_command_is_not_tied_to_the_context(
    ours: Receiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md C11: a CT object over a Secondary Capture context is stored, as by DCMTK."""
    made = make.ct(3)
    peer = scripted_peer(ours)
    peer.associate([(1, pdu.VERIFICATION, [pdu.IMPLICIT]), (3, pdu.SECONDARY_CAPTURE,
                    [pdu.EXPLICIT])])  # fmt: skip
    assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    (stored,) = ours.files()
    stored.unlink()
