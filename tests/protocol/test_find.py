"""C-FIND over the wire: cancelled, hostile, slow, and beside stores (PROMISES.md §2.6)."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import pytest

from testkit import pdu
from testkit.finds import (
    CONTEXTS,
    PATIENT_ROOT,
    STUDY_ROOT,
    Keys,
    Made,
    Question,
    RunningArchive,
    elements,
    find,
    identifier,
    padded,
)
from testkit.peer import ScriptedPeer
from vectors.make import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Syntax, deflate, uid

LEVEL, STUDY_UID, NAME, PATIENT_ID = (8, 0x52), (0x20, 0xD), (0x10, 0x10), (0x10, 0x20)
STUDIES = 1200
#: The Study Root model in explicit encoding.
ROOT_CONTEXT = CONTEXTS[3][0]


def instance(number: int) -> Made:
    """The one instance of a study."""
    write = Syntax.of(EXPLICIT)
    parts = [
        ((0x0008, 0x0016), "UI", pdu.CT.encode()),
        ((0x0008, 0x0018), "UI", uid(6, number).encode()),
        ((0x0008, 0x1030), "LO", b"a" * 60),
        (NAME, "PN", b"Name%04d^Given" % number),
        (PATIENT_ID, "LO", b"P%d" % number),
        (STUDY_UID, "UI", uid(6, number, 0).encode()),
        ((0x0020, 0x000E), "UI", uid(6, number, 1).encode()),
    ]
    data_set = b"".join(write.element(tag, vr, padded(vr, value)) for tag, vr, value in parts)
    return Made(uid(6, number), data_set)


def studies(**keys: bytes) -> Question:
    """A STUDY query of the Study Root model."""
    asked: Keys = {LEVEL: ("CS", b"STUDY"), STUDY_UID: ("UI", b"")}
    named = {"name": (NAME, "PN"), "uid": (STUDY_UID, "UI"), "description": ((8, 0x1030), "LO"),
             "sex": ((0x10, 0x40), "CS"), "date": ((8, 0x20), "DA")}  # fmt: skip
    for key, value in keys.items():
        tag, vr = named[key]
        asked[tag] = (vr, value)
    return Question(ROOT_CONTEXT, STUDY_ROOT, EXPLICIT, asked)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    """An archive of many small studies."""
    running = RunningArchive(
        "dcmfast", tmp_path_factory.mktemp("archive"), ["+xd"], quota=f"{2 * STUDIES}, 1gb"
    )
    try:
        running.store([instance(number) for number in range(STUDIES)])
        yield running
    finally:
        running.stop()


@pytest.fixture
def peer(archive: RunningArchive) -> Iterator[ScriptedPeer]:
    """An association for finds and stores."""
    with ScriptedPeer(archive.port) as opened:
        contexts = (*CONTEXTS, (99, pdu.CT, [EXPLICIT]), (101, pdu.VERIFICATION, [IMPLICIT]))
        opened.associate(contexts, called="QR")
        yield opened


def find_rq(asked: Question, message_id: int, data: bytes | None = None) -> bytes:
    """A C-FIND-RQ with its identifier, or with other bytes in its place."""
    command = pdu.command_set(
        [
            (pdu.SOP_CLASS, pdu.ui(asked.model)),
            (pdu.COMMAND_FIELD, pdu.us(0x0020)),
            (pdu.MESSAGE_ID, pdu.us(message_id)),
            (pdu.PRIORITY, pdu.us(0)),
            (pdu.DATA_SET_TYPE, pdu.us(1)),
        ]
    )
    body = identifier(asked.syntax, asked.keys) if data is None else data
    head = pdu.p_data(pdu.pdv(asked.context_id, command, command=True))
    return head + b"".join(pdu.fragments(asked.context_id, body))


def cancel_rq(context_id: int, message_id: int) -> bytes:
    """A C-CANCEL-RQ (PS3.7 §9.3.2.3)."""
    command = pdu.command_set(
        [
            (pdu.COMMAND_FIELD, pdu.us(0x0FFF)),
            (pdu.RESPONDED_ID, pdu.us(message_id)),
            (pdu.DATA_SET_TYPE, pdu.us(0x0101)),
        ]
    )
    return pdu.p_data(pdu.pdv(context_id, command, command=True))


def answers(peer: ScriptedPeer) -> tuple[int, int]:
    """Receive to the final response: its status, and how many pending ones came."""
    pending = 0
    while True:
        _, body = peer.expect_pdu(pdu.P_DATA_TF)
        while body:
            length = int.from_bytes(body[:4], "big")
            if body[5] & 1:
                status = pdu.value_us(pdu.read_command(body[6 : 4 + length]), pdu.STATUS)
                if status & 0xFF00 != 0xFF00:
                    return status, pending
                pending += 1
            body = body[4 + length :]


def test_every_match_comes_once(peer: ScriptedPeer) -> None:
    status, found = find(peer, studies(), 1)
    assert (status, len(found), len(set(found))) == (0, STUDIES, STUDIES)


def test_cancelled_before_the_first_match(peer: ScriptedPeer) -> None:
    """PS3.4 §C.4.1.3.1: request and C-CANCEL in one segment, so that it is there in time."""
    peer.send(find_rq(studies(), 5) + cancel_rq(ROOT_CONTEXT, 5))
    status, pending = answers(peer)
    assert (status, pending) == (0xFE00, 0)
    peer.echo(101)


def test_cancelled_in_the_middle(peer: ScriptedPeer) -> None:
    """FE00H within a page or two of what was on its way (PROMISES.md §2.6)."""
    peer.send(find_rq(studies(description=b"*a*a*a*a*"), 5))
    peer.expect_pdu(pdu.P_DATA_TF)
    peer.send(cancel_rq(ROOT_CONTEXT, 5))
    status, pending = answers(peer)
    assert status in (0xFE00, 0x0000)
    assert status == 0 or pending < STUDIES
    peer.echo(101)


@pytest.mark.parametrize("message_id", [4, 6, 0])
def test_a_cancel_for_another_message_means_nothing(peer: ScriptedPeer, message_id: int) -> None:
    peer.send(cancel_rq(ROOT_CONTEXT, 5) * 20)
    peer.send(find_rq(studies(), 5) + cancel_rq(ROOT_CONTEXT, message_id))
    assert answers(peer) == (0, STUDIES)
    peer.send(cancel_rq(ROOT_CONTEXT, 5))
    peer.echo(101)


def test_a_new_request_while_one_runs_ends_the_association(peer: ScriptedPeer) -> None:
    """PS3.7 §D.3.3.3: no asynchronous operations; or it is answered after the first."""
    peer.send(find_rq(studies(), 5) + find_rq(studies(), 6))
    while True:
        found, body = peer.expect_pdu()
        if found == pdu.ABORT:
            assert body[2:] == bytes([0, 0])
            return
        assert found == pdu.P_DATA_TF


LEVEL_ONLY = identifier(EXPLICIT, {LEVEL: ("CS", b"STUDY")})


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"", 0xA900, id="empty"),
        pytest.param(LEVEL_ONLY[:-1], 0xC000, id="cut in a value"),
        pytest.param(LEVEL_ONLY[:6], 0xC000, id="cut in a header"),
        pytest.param(b"\xfe\xff\x0d\xe0\0\0\0\0", 0xC000, id="a delimiter"),
        pytest.param(b"\x10\0\x10\0\1\2\0\0", 0xC000, id="no VR"),
        pytest.param(
            b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff" * 3, 0xC000, id="a sequence never closed"
        ),
        pytest.param(
            Syntax().nested((0x0008, 0x1115), 5000) + LEVEL_ONLY, 0xC000, id="nested too deeply"
        ),
        pytest.param(b"\x10\0\x10\0PN\0\0" * 300_000, 0xA700, id="more than the bound"),
    ],
)
def test_a_broken_identifier_is_refused_and_the_association_lives(
    peer: ScriptedPeer, data: bytes, status: int
) -> None:
    peer.send(find_rq(studies(), 5, data))
    assert answers(peer) == (status, 0)
    assert find(peer, studies(uid=uid(6, 7, 0).encode()), 6)[0] == 0


def test_deflated_identifiers(archive: RunningArchive) -> None:
    """PS3.5 §A.5, there and back; a stream that is none, and one that grows beyond the bound."""
    with ScriptedPeer(archive.port) as peer:
        peer.associate([(1, STUDY_ROOT, [DEFLATED])], called="QR")
        asked = Question(1, STUDY_ROOT, EXPLICIT, studies(uid=uid(6, 7, 0).encode()).keys)
        peer.send(find_rq(asked, 1, deflate(identifier(EXPLICIT, asked.keys))))
        assert answers(peer) == (0, 1)
        peer.send(find_rq(asked, 2, b"\xff" * 10))
        assert answers(peer) == (0xC000, 0)
        peer.send(find_rq(asked, 3, deflate(bytes(16 << 20))))
        assert answers(peer) == (0xA700, 0)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_answers_come_in_the_context_s_transfer_syntax(peer: ScriptedPeer, syntax: str) -> None:
    context_id = next(
        one for one, model, syntaxes in CONTEXTS if (model, syntaxes) == (STUDY_ROOT, [syntax])
    )
    keys = studies(uid=uid(6, 7, 0).encode(), name=b"").keys
    status, found = find(peer, Question(context_id, STUDY_ROOT, syntax, keys), 1)
    assert status == 0
    (answer,) = found
    assert elements(syntax, answer[2:])[NAME] == b"Name0007^Given"


@pytest.mark.parametrize(
    ("key", "value", "count"),
    [
        pytest.param("description", b"*a" * 500 + b"b", 0, id="stars"),
        pytest.param("description", b"*?" * 5000, 0, id="more signs than the value"),
        pytest.param("description", b"*" * 60_000, STUDIES, id="nothing but stars"),
        pytest.param("name", b"[N-O]ame.*|'; --", 0, id="signs of other languages"),
        pytest.param("name", b"Name0007^Given\\Name0008^Given", 0, id="no list of names"),
        pytest.param("date", b"-", 0, id="no date"),
        pytest.param("date", b"99999999-00000000", 0, id="dates that are none"),
        pytest.param("uid", b"\\" * 1000, 0, id="a list of nothing"),
        pytest.param("sex", b"\xff\xfe\0\1", 0, id="bytes"),
    ],
)
def test_hostile_keys_take_no_time(peer: ScriptedPeer, key: str, value: bytes, count: int) -> None:
    """PROMISES.md §2.6, P16: bounded by what was sent and what is there."""
    started = time.monotonic()
    status, found = find(peer, studies(**{key: value}), 1)
    assert (status, len(found)) == (0, count)
    assert time.monotonic() - started < 5


def test_ten_thousand_uids(peer: ScriptedPeer) -> None:
    """A list longer than a 2-byte length goes in implicit encoding."""
    context_id = next(
        one for one, model, syntaxes in CONTEXTS if (model, syntaxes) == (STUDY_ROOT, [IMPLICIT])
    )
    wanted = [uid(6, number, 0) for number in range(0, 20_000, 2)]
    keys: Keys = {LEVEL: ("CS", b"STUDY"), STUDY_UID: ("UI", "\\".join(wanted).encode())}
    started = time.monotonic()
    status, found = find(peer, Question(context_id, STUDY_ROOT, IMPLICIT, keys), 1)
    assert (status, len(found)) == (0, STUDIES // 2)
    assert time.monotonic() - started < 5


def test_what_was_acknowledged_is_found(peer: ScriptedPeer) -> None:
    """A query waits for everything that was acknowledged before it came."""
    for number in range(STUDIES + 100, STUDIES + 150):
        made = instance(number)
        assert peer.store(99, pdu.CT, made.sop_instance_uid, made.data_set) == 0
        status, found = find(peer, studies(name=b"Name%04d*" % number), 1)
        assert (status, len(found)) == (0, 1)


def test_a_peer_that_does_not_read_delays_no_store(archive: RunningArchive) -> None:
    """DIFFERENCES.md B4: its answers wait in its own sockets, and hold nothing."""
    with ScriptedPeer(archive.port) as slow, ScriptedPeer(archive.port) as good:
        contexts = (*CONTEXTS, (99, pdu.CT, [EXPLICIT]))
        slow.associate(contexts, called="QR")
        good.associate(contexts, called="QR")
        everything = studies(name=b"", description=b"")
        slow.send(find_rq(everything, 1))
        for number in range(STUDIES + 200, STUDIES + 220):
            made = instance(number)
            started = time.monotonic()
            assert good.store(99, pdu.CT, made.sop_instance_uid, made.data_set) == 0
            assert find(good, studies(name=b"Name%04d*" % number), 2)[0] == 0
            assert time.monotonic() - started < 2
        status, pending = answers(slow)
        assert status == 0
        assert pending >= STUDIES


def test_patients_of_the_patient_root_model(peer: ScriptedPeer) -> None:
    """One response for each patient, on the model's own context."""
    asked = Question(
        CONTEXTS[0][0],
        PATIENT_ROOT,
        EXPLICIT,
        {LEVEL: ("CS", b"PATIENT"), PATIENT_ID: ("LO", b"P7"), NAME: ("PN", b"")},
    )
    status, found = find(peer, asked, 1)
    assert status == 0
    (answer,) = found
    assert struct.unpack("<H", answer[:2]) == (0xFF00,)
    assert elements(EXPLICIT, answer[2:])[NAME] == b"Name0007^Given"
