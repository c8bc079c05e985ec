"""C-FIND over the wire: cancelled, hostile, slow, and beside stores (PROMISES.md §2.6)."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path

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
from testkit.process import run_tool
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


def test_half_close_after_a_complete_request(peer: ScriptedPeer) -> None:
    """PROMISES.md §2.1: matches are not thrown away because the end of stream is seen first."""
    peer.send(find_rq(studies(), 5))
    peer.half_close()
    assert answers(peer) == (0, STUDIES)
    peer.drain()


def test_a_cancel_for_another_message_takes_nothing_back(peer: ScriptedPeer) -> None:
    """Two that are seen at once: the request in hand was cancelled all the same."""
    peer.send(find_rq(studies(), 5) + cancel_rq(ROOT_CONTEXT, 5) + cancel_rq(ROOT_CONTEXT, 6))
    assert answers(peer) == (0xFE00, 0)


def test_an_answer_that_nobody_asked_for(peer: ScriptedPeer) -> None:
    """A C-STORE-RSP in the middle of a C-FIND: A-ABORT (PROMISES.md §2.3)."""
    response = pdu.command_set(
        [
            (pdu.COMMAND_FIELD, pdu.us(0x8001)),
            (pdu.RESPONDED_ID, pdu.us(6)),
            (pdu.DATA_SET_TYPE, pdu.us(0x0101)),
            (pdu.STATUS, pdu.us(0)),
        ]
    )
    peer.send(find_rq(studies(), 5) + pdu.p_data(pdu.pdv(ROOT_CONTEXT, response, command=True)))
    peer.expect_pdu(pdu.ABORT)


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


def private_kib(archive: RunningArchive) -> int:
    """Memory that is the server's alone."""
    text = Path(f"/proc/{archive.process.pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB$", text, re.MULTILINE))


def test_bombs_in_identifiers_are_refused_in_bounded_memory(archive: RunningArchive) -> None:
    """256 MiB in some 300 KiB, of C-FIND and of C-MOVE, again and again; others are served."""
    move_class = "1.2.840.10008.5.1.4.1.2.2.2"
    bomb = deflate(bytes(256 << 20))
    assert len(bomb) < 2 << 20, "not refused for its own length"
    command = pdu.command_set(
        [
            (pdu.SOP_CLASS, pdu.ui(move_class)),
            (pdu.COMMAND_FIELD, pdu.us(0x0021)),
            (pdu.MESSAGE_ID, pdu.us(2)),
            (pdu.PRIORITY, pdu.us(0)),
            (pdu.DATA_SET_TYPE, pdu.us(1)),
            (0x0600, b"DEST"),
        ]
    )
    move = pdu.p_data(pdu.pdv(3, command, command=True)) + b"".join(pdu.fragments(3, bomb))
    ask = find_rq(Question(1, STUDY_ROOT, EXPLICIT, {}), 1, bomb)
    with ScriptedPeer(archive.port) as peer, ScriptedPeer(archive.port) as other:
        contexts = [(1, STUDY_ROOT, [DEFLATED]), (3, move_class, [DEFLATED])]
        peer.associate(contexts, called="QR")
        other.associate([(1, pdu.VERIFICATION, [IMPLICIT])], called="QR")
        before = private_kib(archive)
        for _ in range(3):
            for request in (ask, move):
                started = time.monotonic()
                peer.send(request)
                other.echo()
                assert answers(peer) == (0xA700, 0)
                assert time.monotonic() - started < 5
        assert private_kib(archive) - before < 16 << 10


def test_a_flood_of_cancels(archive: RunningArchive) -> None:
    """For nothing, and while a query runs: what is asked is answered, and others are served."""
    flood = cancel_rq(ROOT_CONTEXT, 9) * 10_000
    contexts = (*CONTEXTS, (101, pdu.VERIFICATION, [IMPLICIT]))
    with ScriptedPeer(archive.port) as peer, ScriptedPeer(archive.port) as other:
        peer.associate(contexts, called="QR")
        other.associate([(1, pdu.VERIFICATION, [IMPLICIT])], called="QR")
        before = private_kib(archive)
        peer.send(flood)
        other.echo()
        peer.echo(101)
        # In the way of a query: those of another message mean nothing, and its own ends it.
        peer.send(find_rq(studies(name=b""), 8) + flood)
        other.echo()
        status, pending = answers(peer)
        assert (status, pending >= STUDIES) == (0, True)
        peer.send(find_rq(studies(name=b""), 9) + flood)
        other.echo()
        status, pending = answers(peer)
        assert status in (0xFE00, 0)
        peer.echo(101)
        assert private_kib(archive) - before < 16 << 10


LONG_KEYS = {
    "AccessionNumber": ((0x0008, 0x0050), "SH"),
    "PatientID": (PATIENT_ID, "LO"),
    "PatientName": (NAME, "PN"),
    "StudyID": ((0x0020, 0x0010), "SH"),
    "StudyDescription": ((0x0008, 0x1030), "LO"),
    "ReferringPhysicianName": ((0x0008, 0x0090), "PN"),
}


def test_values_longer_than_their_vr_allows(tmp_path: Path) -> None:
    """Stored, found by the whole value and by a beginning, told apart at the end; listed anew."""
    write = Syntax.of(EXPLICIT)
    options = ["--matching", "standard"]
    running = RunningArchive("dcmfast", tmp_path, options)

    def long(keyword: str, number: int) -> bytes:
        return f"{keyword}-{'x' * 3000}-{number}".encode()

    def made(number: int) -> Made:
        named = [(tag, vr, long(key, number)) for key, (tag, vr) in LONG_KEYS.items()]
        own = [
            ((0x0008, 0x0016), "UI", pdu.CT.encode()),
            ((0x0008, 0x0018), "UI", uid(8, number).encode()),
            (STUDY_UID, "UI", uid(8, number, 0).encode()),
            ((0x0020, 0x000E), "UI", uid(8, number, 1).encode()),
        ]
        parts = [
            write.element(tag, vr, padded(vr, value)) for tag, vr, value in sorted(own + named)
        ]
        return Made(uid(8, number), b"".join(parts))

    def found(opened: ScriptedPeer, tag: tuple[int, int], vr: str, value: bytes) -> set[bytes]:
        keys: Keys = {LEVEL: ("CS", b"STUDY"), STUDY_UID: ("UI", b""), tag: (vr, value)}
        status, given = find(opened, Question(ROOT_CONTEXT, STUDY_ROOT, EXPLICIT, keys), 1)
        assert status == 0
        read = [elements(EXPLICIT, one[2:]) for one in given]
        # What is told is the whole value, too.
        assert all(value.rstrip(b"*") in one[tag] for one in read)
        return {one[STUDY_UID].rstrip(b"\0") for one in read}

    def check(port: int) -> None:
        with ScriptedPeer(port) as opened:
            opened.associate(CONTEXTS, called="QR")
            for keyword, (tag, vr) in LONG_KEYS.items():
                both = {uid(8, number, 0).encode() for number in (1, 2)}
                for number in (1, 2):
                    one = {uid(8, number, 0).encode()}
                    assert found(opened, tag, vr, long(keyword, number)) == one, keyword
                for end in (len(keyword) + 5, 600, 2500):
                    assert found(opened, tag, vr, long(keyword, 1)[:end] + b"*") == both, keyword
                assert found(opened, tag, vr, long(keyword, 1)[:-9]) == set(), keyword

    # A UID longer than 64 bytes names no study that a query could ask for: it is not taken.
    too_long = make_uid_study(b"1." + b"2" * 3000)
    try:
        running.store([made(1), made(2)])
        check(running.port)
        with ScriptedPeer(running.port) as peer:
            peer.associate([(1, pdu.CT, [EXPLICIT])], called="QR")
            status = peer.store(1, pdu.CT, too_long.sop_instance_uid, too_long.data_set)
        assert status in (0, 0xC000, 0xA900)
        check(running.port)
    finally:
        running.stop()
    for command in (["verify", "--full"], ["rebuild"], ["verify", "--full"]):
        done = run_tool("dcmfast", "index", [*command, tmp_path / "area"])
        assert done.code == 0, done.stdout + done.stderr
    again = RunningArchive("dcmfast", tmp_path, options)
    try:
        check(again.port)
    finally:
        again.stop()


def make_uid_study(study: bytes) -> Made:
    """An object of a study with this UID."""
    write = Syntax.of(EXPLICIT)
    parts = [
        ((0x0008, 0x0016), "UI", pdu.CT.encode()),
        ((0x0008, 0x0018), "UI", uid(8, 99).encode()),
        (PATIENT_ID, "LO", b"P99"),
        (STUDY_UID, "UI", study),
        ((0x0020, 0x000E), "UI", uid(8, 99, 1).encode()),
    ]
    return Made(uid(8, 99), b"".join(write.element(t, vr, padded(vr, v)) for t, vr, v in parts))
