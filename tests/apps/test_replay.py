"""replay: what the protocol leaves open is no difference, and what it does not is the first one."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from testkit import pdu, process
from testkit.archive import start_archive
from testkit.captures import ACCEPTOR, REQUESTOR, capture
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Finished, free_port, run_tool
from testkit.scripted_scp import Conversation, ScriptedServer

CT = Path(str(pydicom.data.get_testdata_file("CT_small.dcm")))
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"

Talk = list[tuple[int, bytes]]


def replay(*arguments: str | Path) -> Finished:
    return run_tool("dcmfast", "replay", arguments, within_s=60)


def replayed(path: Path, port: int, *options: str) -> dict[str, Any]:
    """The outcome of playing the requestor, with its exit code."""
    done = replay("--json", "-te", "2", *options, "requestor", path, "127.0.0.1", str(port))
    outcome: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return {**outcome, "code": done.code, "stderr": done.stderr}


# ---- Messages


def ac(*contexts: tuple[int, str]) -> bytes:
    """An A-ASSOCIATE-AC."""
    items = pdu.item(0x10, pdu.APPLICATION_CONTEXT)
    for number, syntax in contexts:
        items += pdu.item(0x21, bytes([number, 0, 0, 0]) + pdu.item(0x40, pdu.text(syntax)))
    body = pdu.associate_body(items + pdu.user_information(), called="ANY-SCP", calling="SCRIPTED")
    return pdu.pdu(pdu.ASSOCIATE_AC, body)


def request(field: int, model: str, data: bytes, *, message_id: int = 1) -> bytes:
    """A C-FIND-RQ or its kind, with its identifier."""
    elements = [
        (pdu.SOP_CLASS, pdu.ui(model)),
        (pdu.COMMAND_FIELD, pdu.us(field)),
        (pdu.MESSAGE_ID, pdu.us(message_id)),
        (pdu.PRIORITY, pdu.us(0)),
        (pdu.DATA_SET_TYPE, pdu.us(1)),
    ]
    command = pdu.pdv(1, pdu.command_set(elements), command=True)
    return pdu.p_data(command) + pdu.p_data(pdu.pdv(1, data))


def cancel(message_id: int = 1) -> bytes:
    elements = [
        (pdu.COMMAND_FIELD, pdu.us(pdu.C_CANCEL_RQ)),
        (pdu.RESPONDED_ID, pdu.us(message_id)),
        (pdu.DATA_SET_TYPE, pdu.us(0x0101)),
    ]
    return pdu.p_data(pdu.pdv(1, pdu.command_set(elements), command=True))


def response(field: int, status: int, data: bytes | None = None, *, message_id: int = 1) -> bytes:
    elements = [
        (pdu.COMMAND_FIELD, pdu.us(field | 0x8000)),
        (pdu.RESPONDED_ID, pdu.us(message_id)),
        (pdu.DATA_SET_TYPE, pdu.us(0x0101 if data is None else 1)),
        (pdu.STATUS, pdu.us(status)),
    ]
    out = pdu.p_data(pdu.pdv(1, pdu.command_set(elements), command=True))
    return out if data is None else out + pdu.p_data(pdu.pdv(1, data))


def key(value: str) -> bytes:
    """(0020,000D) in Implicit VR Little Endian."""
    raw = pdu.ui(value)
    return b"\x20\0\x0d\0" + len(raw).to_bytes(4, "little") + raw


FIND, GET = 0x0020, 0x0010
FIND_RQ = pdu.associate_rq([(1, pdu.STUDY_ROOT_FIND, [pdu.IMPLICIT])])
GET_RQ = pdu.associate_rq([(1, STUDY_ROOT_GET, [pdu.IMPLICIT]), (3, pdu.CT, [pdu.IMPLICIT])])
ASK = request(FIND, pdu.STUDY_ROOT_FIND, key(""))
RELEASE, RELEASED = pdu.release_rq(), pdu.pdu(pdu.RELEASE_RP, bytes(4))


def answer(number: int) -> bytes:
    return response(FIND, 0xFF00, key(f"1.2.{number}"))


@pytest.fixture(scope="module")
def cancelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A C-FIND that is cancelled after its second response; a third one crosses the C-CANCEL."""
    talk: Talk = [
        (REQUESTOR, FIND_RQ),
        (ACCEPTOR, ac((1, pdu.IMPLICIT))),
        (REQUESTOR, ASK),
        (ACCEPTOR, answer(1)),
        (ACCEPTOR, answer(2)),
        (REQUESTOR, cancel()),
        (ACCEPTOR, answer(3)),
        (ACCEPTOR, response(FIND, 0xFE00)),
        (REQUESTOR, RELEASE),
        (ACCEPTOR, RELEASED),
    ]
    return capture(tmp_path_factory.mktemp("cancelled") / "talk.pcap", talk)


def plays(*steps: bytes | int) -> Callable[[Conversation], None]:
    """A script: bytes are sent, a number of PDUs is taken."""

    def script(peer: Conversation) -> None:
        plays_only(peer, *steps)
        with suppress(OSError):
            peer.socket.recv(100)

    return script


def plays_only(peer: Conversation, *steps: bytes | int) -> None:
    for step in steps:
        if isinstance(step, bytes):
            peer.send(step)
            continue
        for _ in range(step):
            peer.expect_pdu()


@contextmanager
def accepting(path: Path, port: int, *, wait_s: int) -> Iterator[subprocess.Popen[bytes]]:
    """`replay` as the acceptor of a recording, listening; an event may take `wait_s`."""
    words = ["-te", str(wait_s), "acceptor", str(path), str(port)]
    child = subprocess.Popen(
        [*process.command("dcmfast", "replay"), *words], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=process.child_environment(),
    )  # fmt: skip
    try:
        process.wait_until(lambda: process.is_listening(port), within_s=20)
        yield child
    finally:
        child.kill()
        child.wait()


AC = ac((1, pdu.IMPLICIT))
END = (1, RELEASED)


def test_a_cancelled_operation_may_end_anywhere(cancelled: Path) -> None:
    """More responses or fewer behind our C-CANCEL, and success where it came too late."""
    cases = {
        "as recorded": (1, AC, 2, answer(1) + answer(2), 1, answer(3), response(FIND, 0xFE00)),
        "none after it": (1, AC, 2, answer(1) + answer(2), 1, response(FIND, 0xFE00)),
        "two after it": (
            1, AC, 2, answer(1) + answer(2), 1, answer(3) + answer(4), response(FIND, 0xFE00),
        ),
        "done before it came": (
            1, AC, 2, answer(1) + answer(2) + answer(3) + answer(4) + response(FIND, 0), 1,
        ),
    }  # fmt: skip
    with ScriptedServer(*(plays(*steps, *END) for steps in cases.values())) as server:
        for name in cases:
            outcome = replayed(cancelled, server.port)
            assert (outcome["code"], outcome["difference"]) == (0, None), (name, outcome)


def test_what_a_cancel_does_not_leave_open_is_a_difference(cancelled: Path) -> None:
    cases: dict[str, tuple[tuple[bytes | int, ...], str, str]] = {
        "fewer before it": (
            (1, AC, 2, answer(1) + response(FIND, 0)), "Status", "expected FF00H, came 0000H",
        ),
        "another before it": (
            (1, AC, 2, answer(1) + answer(7)), "StudyInstanceUID [1.2.2]", "[1.2.7]",
        ),
        "another after it": (
            (1, AC, 2, answer(1) + answer(2), 1, answer(8)), "StudyInstanceUID [1.2.3]", "[1.2.8]",
        ),
        "a failure": (
            (1, AC, 2, answer(1) + answer(2), 1, response(FIND, 0xA700)),
            "Status", "expected FE00H, came A700H",
        ),
        "another operation's": (
            (1, AC, 2, answer(1) + answer(2), 1, response(FIND, 0xFE00, message_id=9)),
            "MessageIDBeingRespondedTo", "expected 1, came 9",
        ),
    }  # fmt: skip
    scripts = [plays(*steps) for steps, _, _ in cases.values()]
    with ScriptedServer(*scripts) as server:
        for name, (_, *words) in cases.items():
            outcome = replayed(cancelled, server.port)
            assert outcome["code"] == 2, (name, outcome)
            for word in words:
                assert word in outcome["difference"]["differs"], (name, outcome)


def test_sub_operations_of_a_cancelled_get(tmp_path: Path) -> None:
    """One was recorded behind the C-CANCEL: this time none comes, or two."""

    def store(number: int) -> bytes:
        command = pdu.c_store_rq(pdu.CT, f"1.2.{number}", number)
        return pdu.p_data(pdu.pdv(3, command, command=True)) + pdu.p_data(
            pdu.pdv(3, key(f"1.2.{number}"))
        )

    def stored(number: int) -> bytes:
        return response(0x0001, 0, message_id=number).replace(
            b"\1\3", b"\3\3", 1
        )  # its own context

    both = ac((1, pdu.IMPLICIT), (3, pdu.IMPLICIT))
    end = response(GET, 0xFE00)
    talk: Talk = [
        (REQUESTOR, GET_RQ),
        (ACCEPTOR, both),
        (REQUESTOR, request(GET, STUDY_ROOT_GET, key("1.2"))),
        (ACCEPTOR, store(1)),
        (REQUESTOR, stored(1)),
        (REQUESTOR, cancel()),
        (ACCEPTOR, store(2)),
        (REQUESTOR, stored(2)),
        (ACCEPTOR, end),
        (REQUESTOR, RELEASE),
        (ACCEPTOR, RELEASED),
    ]
    path = capture(tmp_path / "get.pcap", talk)
    begin = (1, both, 2, store(1), 2)
    cases = {
        "one": (*begin, store(2), 1, end),
        "none": (*begin, end),
        "two": (*begin, store(2), 1, store(3), 1, end),
    }
    with ScriptedServer(*(plays(*steps, *END) for steps in cases.values())) as server:
        for name in cases:
            outcome = replayed(path, server.port)
            assert (outcome["code"], outcome["difference"]) == (0, None), (name, outcome)


def test_a_cancel_of_the_peer_comes_whenever_it_likes(cancelled: Path) -> None:
    """As acceptor: before its turn, in its turn, after it; and not at all is a difference."""
    answers = 6

    def talked(port: int, takes: int, *, cancels: bool = True) -> None:
        with ScriptedPeer(port) as peer:
            peer.send(FIND_RQ)
            peer.expect_associate_ac()
            peer.send(ASK)
            for _ in range(takes):
                peer.expect_pdu()
            if cancels:
                peer.send(cancel())
            for _ in range(answers - takes):
                peer.expect_pdu()
            with suppress(AssertionError, OSError):
                # The final response.
                peer.expect_pdu()
                peer.send(RELEASE)
                peer.expect_pdu(pdu.RELEASE_RP)

    for takes, cancels, code in ((0, True, 0), (4, True, 0), (6, True, 0), (6, False, 2)):
        port = free_port()
        with accepting(cancelled, port, wait_s=2) as child:
            talked(port, takes, cancels=cancels)
            out, _ = child.communicate(timeout=20)
            assert child.returncode == code, (takes, out)
            if code:
                assert b"expected: C-CANCEL-RQ" in out


def test_an_answer_in_the_middle_of_a_message(tmp_path: Path) -> None:
    """Recorded while our data set still went out; this peer answers when it has all of it."""
    association = pdu.associate_rq([(1, pdu.CT, [pdu.IMPLICIT])])
    command = pdu.p_data(pdu.pdv(1, pdu.c_store_rq(pdu.CT, "1.2.3"), command=True))
    pieces = pdu.fragments(1, key("1.2.3") + bytes(40_000), size=16_000)
    refused = response(0x0001, 0xA700)
    talk: Talk = [
        (REQUESTOR, association),
        (ACCEPTOR, AC),
        (REQUESTOR, command + pieces[0]),
        (ACCEPTOR, refused),
        *((REQUESTOR, piece) for piece in pieces[1:]),
        (REQUESTOR, RELEASE),
        (ACCEPTOR, RELEASED),
    ]
    path = capture(tmp_path / "early.pcap", talk)
    late = plays(1, AC, 1 + len(pieces), refused, *END)
    early = plays(1, AC, 2, refused, len(pieces) - 1, *END)
    never = plays(1, AC, 1 + len(pieces))
    with ScriptedServer(late, early, never) as server:
        for _ in range(2):
            outcome = replayed(path, server.port)
            assert (outcome["code"], outcome["difference"]) == (0, None), outcome
        outcome = replayed(path, server.port)
        assert outcome["code"] == 2
        assert outcome["difference"]["came"] == "nothing within 2 s"


def test_the_recorded_times_are_kept_where_that_is_wished(tmp_path: Path) -> None:
    talk: Talk = [
        (REQUESTOR, pdu.associate_rq([(1, pdu.VERIFICATION, [pdu.IMPLICIT])])),
        (ACCEPTOR, AC),
        (REQUESTOR, RELEASE),
        (ACCEPTOR, RELEASED),
    ]
    # The A-RELEASE-RQ is due four intervals after the SYN.
    path = capture(tmp_path / "slow.pcap", talk, interval_s=0.25)
    took: list[float] = []

    def timed(peer: Conversation) -> None:
        begun = time.monotonic()
        peer.expect_pdu(pdu.ASSOCIATE_RQ)
        peer.send(AC)
        peer.expect_pdu(pdu.RELEASE_RQ)
        took.append(time.monotonic() - begun)
        peer.send(RELEASED)
        with suppress(OSError):
            peer.socket.recv(10)

    with ScriptedServer(timed, timed, timed) as server:
        for options in ((), ("--real-time", "1"), ("--real-time", "4")):
            outcome = replayed(path, server.port, *options)
            assert outcome["code"] == 0, outcome
    plain, kept, faster = took
    assert plain < 0.9 <= kept
    assert 0.22 <= faster < 0.9


def test_peers_without_an_end(cancelled: Path) -> None:
    """Dripping, flooding with one data set, pending for ever: a difference, in bounded time."""

    def endless(*steps: bytes | int, more: bytes, pause_s: float = 0) -> Callable[..., None]:
        def script(peer: Conversation) -> None:
            plays_only(peer, *steps)
            with suppress(OSError):
                while not select.select([peer.socket], [], [], pause_s)[0]:
                    peer.send(more)

        return script

    piece = pdu.p_data(pdu.pdv(1, bytes(16_000), last=False))
    begun = response(FIND, 0xFF00, b"")[: -len(pdu.p_data(pdu.pdv(1, b"")))]
    cases = {
        "nothing within 1 s": endless(1, AC, 2, more=b"\x04", pause_s=0.1),
        "nothing within 1 s ": endless(1, AC, 2, begun, more=piece * 4),
        "more and more responses": endless(
            1, AC, 2, answer(1) + answer(2), 1, answer(3), more=answer(9), pause_s=0.05
        ),
    }
    with ScriptedServer(*cases.values()) as server:
        for name in cases:
            begin = time.monotonic()
            outcome = replayed(cancelled, server.port, "-te", "1")
            assert (outcome["code"], outcome["difference"]["came"]) == (2, name.strip()), outcome
            assert time.monotonic() - begin < 20


def test_data_sets_that_break_off(tmp_path: Path) -> None:
    """What cannot be read as elements is compared, too."""
    broken = key("1.2.3") + b"\x20\0\x10\0\xff\xff\0\0"

    def talk(rest: bytes) -> Talk:
        return [
            (REQUESTOR, FIND_RQ),
            (ACCEPTOR, AC),
            (REQUESTOR, ASK),
            (ACCEPTOR, response(FIND, 0xFF00, broken + rest)),
            (ACCEPTOR, response(FIND, 0)),
            (REQUESTOR, RELEASE),
            (ACCEPTOR, RELEASED),
        ]

    path = capture(tmp_path / "broken.pcap", talk(b"one"))
    same, other = (
        (1, AC, 2, response(FIND, 0xFF00, broken + rest) + response(FIND, 0))
        for rest in (b"one", b"two")
    )
    with ScriptedServer(plays(*same, *END), plays(*other)) as server:
        assert replayed(path, server.port)["code"] == 0
        outcome = replayed(path, server.port)
        assert outcome["code"] == 2
        assert outcome["difference"]["differs"].startswith("Data Set: ")


# ---- Several connections, and several operations, at once


def test_connections_that_overlap_are_played_overlapping(tmp_path: Path) -> None:
    """Each peer answers when the other one has asked, as it was; a third comes behind both."""
    plain: Talk = [
        (REQUESTOR, FIND_RQ), (ACCEPTOR, AC), (REQUESTOR, ASK), (ACCEPTOR, response(FIND, 0)),
        (REQUESTOR, RELEASE), (ACCEPTOR, RELEASED),
    ]  # fmt: skip
    path = capture(tmp_path / "two.pcap", plain, plain, at_once=True)
    both = threading.Barrier(2, timeout=10)

    def meets(*end: bytes | int) -> Callable[[Conversation], None]:
        def script(peer: Conversation) -> None:
            for steps in ((1, AC), (2, *end)):
                plays_only(peer, *[one for one in steps if isinstance(one, int)])
                both.wait()
                plays_only(peer, *[one for one in steps if isinstance(one, bytes)])
            plays_only(peer, *END)
            with suppress(OSError):
                peer.socket.recv(100)

        return script

    def fails(peer: Conversation) -> None:
        with suppress(AssertionError, OSError):
            meets(response(FIND, 0xA700))(peer)

    with ScriptedServer(*[meets(response(FIND, 0))] * 2, at_once=True) as server:
        outcome = replayed(path, server.port, "-te", "10")
        assert (outcome["code"], outcome["connections"]) == (0, 2), outcome
        assert outcome["matched"] == 6
    with ScriptedServer(fails, fails, at_once=True) as server:
        outcome = replayed(path, server.port, "-te", "10")
        assert (outcome["code"], outcome["difference"]["association"]) == (2, 1), outcome


def asked(value: str) -> bytes:
    return request(FIND, pdu.STUDY_ROOT_FIND, key(value))


def race(port: int, asks: list[tuple[bytes, bytes]]) -> list[int]:
    """Connect in this order, then talk all at once; return the status that each was answered."""
    statuses = [-1] * len(asks)

    def talk(at: int, peer: ScriptedPeer, wanted: tuple[bytes, bytes]) -> None:
        with suppress(AssertionError, OSError):
            peer.send(wanted[0])
            peer.expect_associate_ac()
            peer.send(wanted[1])
            _, body = peer.expect_pdu()
            statuses[at] = pdu.value_us(pdu.read_command(body[6:]), pdu.STATUS)
            peer.send(RELEASE)
            peer.expect_pdu(pdu.RELEASE_RP)
        peer.socket.close()

    with ExitStack() as stack:
        threads = []
        for at, wanted in enumerate(asks):
            peer = stack.enter_context(ScriptedPeer(port))
            threads.append(threading.Thread(target=talk, args=(at, peer, wanted)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return statuses


def test_clients_that_race_are_known_by_what_they_ask(tmp_path: Path) -> None:
    """As acceptor: by request, by first message where requests are alike; else in their order."""
    other = pdu.associate_rq([(1, pdu.STUDY_ROOT_FIND, [pdu.IMPLICIT, pdu.EXPLICIT])])
    statuses = {"A": 0x0000, "B": 0xA700, "C": 0xC001}
    asks = {"A": (FIND_RQ, asked("A")), "B": (FIND_RQ, asked("B")), "C": (other, asked("C"))}

    def talk(name: str) -> Talk:
        ask, final = asks[name], response(FIND, statuses[name])
        return [
            (REQUESTOR, ask[0]), (ACCEPTOR, AC), (REQUESTOR, ask[1]), (ACCEPTOR, final),
            (REQUESTOR, RELEASE), (ACCEPTOR, RELEASED),
        ]  # fmt: skip

    path = capture(tmp_path / "race.pcap", talk("A"), talk("B"), talk("C"), at_once=True)
    for names, code in (("CBA", 0), ("BAD", 2)):
        asks["D"] = (FIND_RQ, asked("D"))
        port = free_port()
        with accepting(path, port, wait_s=10) as child:
            answered = race(port, [asks[name] for name in names])
            out, _ = child.communicate(timeout=20)
        assert child.returncode == code, (names, out)
        if code:
            assert b"first difference: association 3, event 1 of the peer" in out
        else:
            assert answered == [statuses[name] for name in names]


def test_clients_that_raced_may_come_one_by_one_in_any_order(tmp_path: Path) -> None:
    """Who is here has its turn where the one that was first is not; one unlike both is told."""
    asks = {name: (FIND_RQ, asked(name)) for name in "ABD"}
    statuses = {"A": 0x0000, "B": 0xA700}

    def talk(name: str) -> Talk:
        return [
            (REQUESTOR, FIND_RQ), (ACCEPTOR, AC), (REQUESTOR, asks[name][1]),
            (ACCEPTOR, response(FIND, statuses[name])), (REQUESTOR, RELEASE), (ACCEPTOR, RELEASED),
        ]  # fmt: skip

    path = capture(tmp_path / "race.pcap", talk("A"), talk("B"), at_once=True)
    for names, code in (("BA", 0), ("BD", 2)):
        port = free_port()
        with accepting(path, port, wait_s=10) as child:
            answered = [race(port, [asks[name]])[0] for name in names]
            out, _ = child.communicate(timeout=20)
        assert child.returncode == code, (names, out)
        assert answered[0] == statuses["B"]
        if code:
            assert b"first difference: association 1, event 3 of the peer" in out
        else:
            assert answered[1] == statuses["A"]


def test_asynchronous_operations_are_answered_in_any_order(tmp_path: Path) -> None:
    """PS3.7 Annex D.3.3.3: with a window; without one the order is that of the requests."""

    def recorded(window: bytes) -> tuple[Path, bytes]:
        user = pdu.user_information(extra=window)
        accept = pdu.pdu(pdu.ASSOCIATE_AC, pdu.associate_body(
            pdu.item(0x10, pdu.APPLICATION_CONTEXT)
            + pdu.item(0x21, bytes([1, 0, 0, 0]) + pdu.item(0x40, pdu.text(pdu.IMPLICIT)))
            + user
        ))  # fmt: skip
        offer = pdu.associate_rq([(1, pdu.STUDY_ROOT_FIND, [pdu.IMPLICIT])], user=user)
        talk: Talk = [
            (REQUESTOR, offer),
            (ACCEPTOR, accept),
            (REQUESTOR, request(FIND, pdu.STUDY_ROOT_FIND, key(""), message_id=1)),
            (REQUESTOR, request(FIND, pdu.STUDY_ROOT_FIND, key(""), message_id=2)),
            *((ACCEPTOR, one) for one in (*answers(1), *answers(2))),
            (REQUESTOR, RELEASE),
            (ACCEPTOR, RELEASED),
        ]
        return capture(tmp_path / f"async{len(window)}.pcap", talk), accept

    def answers(number: int) -> list[bytes]:
        return [
            response(FIND, 0xFF00, key(f"1.2.{number}"), message_id=number),
            response(FIND, 0, message_id=number),
        ]

    one, other = answers(1), answers(2)
    alone = other[0][: -len(pdu.p_data(pdu.pdv(1, key("1.2.2"))))]
    path, accept = recorded(b"\x53\0\0\4\0\2\0\2")
    right = {
        "in order": [*one, *other],
        "the other way": [*other, *one],
        "mixed": [other[0], one[0], other[1], one[1]],
    }
    wrong = {
        "twice": ([*other, *other], "nothing within 2 s"),
        "of nothing": ([response(FIND, 0, message_id=3)], "C-FIND-RSP"),
        "without its data set": ([alone, RELEASED], "A-RELEASE-RP"),
        "another": ([*other, response(FIND, 0xFF00, key("1.2.7"), message_id=1)], "Data Set"),
    }
    scripts = [plays(1, accept, 4, *steps, *END) for steps in right.values()]
    scripts += [plays(1, accept, 4, *steps) for steps, _ in wrong.values()]
    with ScriptedServer(*scripts) as server:
        for name in right:
            outcome = replayed(path, server.port)
            assert (outcome["code"], outcome["matched"]) == (0, 8), (name, outcome)
        for name, (_, came) in wrong.items():
            outcome = replayed(path, server.port)
            assert outcome["code"] == 2, (name, outcome)
            assert came in outcome["difference"]["came"], (name, outcome)
    path, accept = recorded(b"")
    with ScriptedServer(plays(1, accept, 4, *other, *one)) as server:
        outcome = replayed(path, server.port)
        assert "MessageIDBeingRespondedTo" in outcome["difference"]["differs"], outcome


def test_what_an_association_asks_for_is_compared(tmp_path: Path) -> None:
    """User identity by its kind, asynchronous operations by their numbers: as acceptor."""
    identity = b"\x58\0\0\x0b\1\0\0\5alice\0\0"
    window = b"\x53\0\0\4\0\2\0\2"

    def offer(extra: bytes) -> bytes:
        user = pdu.user_information(extra=extra)
        return pdu.associate_rq([(1, pdu.STUDY_ROOT_FIND, [pdu.IMPLICIT])], user=user)

    talk: Talk = [
        (REQUESTOR, offer(window + identity)), (ACCEPTOR, AC),
        (REQUESTOR, RELEASE), (ACCEPTOR, RELEASED),
    ]  # fmt: skip
    path = capture(tmp_path / "asks.pcap", talk)
    for extra, words in (
        (window + identity.replace(b"alice", b"other"), ""),
        (window, "User Identity Negotiation: expected type 1, no response requested"),
        (window + identity.replace(b"\1\0", b"\1\1"), "a response requested"),
        (identity, "Asynchronous Operations Window: expected 2 invoked, 2 performed, came absent"),
    ):
        port = free_port()
        with accepting(path, port, wait_s=2) as child:
            with ScriptedPeer(port) as peer, suppress(AssertionError, OSError):
                peer.send(offer(extra))
                peer.expect_associate_ac()
                peer.send(RELEASE)
                peer.expect_pdu(pdu.RELEASE_RP)
            out, _ = child.communicate(timeout=20)
        assert (child.returncode, words in out.decode()) == (2 if words else 0, True), out


def test_as_json(cancelled: Path) -> None:
    """All of the outcome in one line, and the exit code beside it."""
    wrong = plays(1, AC, 2, answer(1) + answer(7))
    with ScriptedServer(wrong, plays(1, pdu.abort(2, 1))) as server:
        outcome = replayed(cancelled, server.port)
        difference = outcome.pop("difference")
        assert outcome["format"] == "dcmfast-replay"
        assert (outcome["connections"], outcome["code"]) == (1, 2)
        assert difference.keys() == {
            "association", "event", "ns", "expected", "came", "differs",
        }  # fmt: skip
        assert (difference["association"], difference["event"]) == (1, 5)
        assert difference["differs"].startswith("Data Set: expected (0020,000d) UI")
        other = replayed(cancelled, server.port)["difference"]
        assert other["expected"].startswith("A-ASSOCIATE-AC")
        assert other["came"].startswith("A-ABORT")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("--real-time", "0", "requestor", "x", "h", "1"), "--real-time (underflow: 0)"),
        (("--real-time", "1001", "requestor", "x", "h", "1"), "--real-time (overflow: 1001)"),
        (("--real-time", "fast", "requestor", "x", "h", "1"), "--real-time (fast)"),
        (("--real-time", "nan", "requestor", "x", "h", "1"), "--real-time (nan)"),
    ],
)
def test_speeds_that_are_none(line: tuple[str, ...], words: str) -> None:
    done = replay(*line)
    assert (done.code, words in done.stderr) == (1, True), done.stderr


# ---- Beside DCMTK's archive


@pytest.mark.parametrize("implementation", ["dcmfast", "dcmtk"])
def test_a_session_with_dcmqrscp_is_played_without_a_difference(
    running_scp: StartReceiver, implementation: str, tmp_path: Path
) -> None:
    """Store, find, get, move of DCMTK's clients; then against one that has an object more."""
    archive = start_archive(running_scp, tmp_path / "a", implementation=implementation)
    archive.destination()
    port, path = free_port(), tmp_path / "session.rec"
    data = pydicom.dcmread(CT)
    study = [
        "-S",
        "-k",
        "QueryRetrieveLevel=STUDY",
        "-k",
        f"StudyInstanceUID={data.StudyInstanceUID}",
    ]
    images = [
        "-S", "-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={data.StudyInstanceUID}",
        "-k", f"SeriesInstanceUID={data.SeriesInstanceUID}", "-k", "SOPInstanceUID",
    ]  # fmt: skip
    got = tmp_path / "got"
    got.mkdir()
    recorder = process.subprocess.Popen(
        [
            *process.command("dcmfast", "record"), str(path), str(port), "127.0.0.1",
            str(archive.server.port), "-n", "4",
        ],
        stdin=process.subprocess.DEVNULL, stdout=process.subprocess.DEVNULL,
        stderr=process.subprocess.DEVNULL, env=process.child_environment(),
    )  # fmt: skip
    try:
        process.wait_until(lambda: process.is_listening(port), within_s=20)
        here = ["-aec", "QR", "127.0.0.1", str(port)]
        for tool, line in (
            ("storescu", [*here, str(CT)]),
            ("findscu", [*images, *here]),
            ("getscu", [*study, "-od", str(got), *here]),
            ("movescu", [*study, "-aem", "DEST", *here]),
        ):
            done = run_tool("dcmtk", tool, line)
            assert done.code == 0, (tool, done.stderr)
        # It ends by itself behind the fourth connection.
        assert recorder.wait(20) == 0
    finally:
        recorder.kill()
        recorder.wait()
    again = replayed(path, archive.server.port)
    assert (again["code"], again["connections"]) == (0, 4), again
    # One object more in the series.
    other = tmp_path / "other.dcm"
    shutil.copy(CT, other)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    data.save_as(other)
    line = ["-aec", "QR", "127.0.0.1", str(archive.server.port), str(other)]
    assert run_tool("dcmtk", "storescu", line).code == 0
    changed = replayed(path, archive.server.port)
    difference = changed["difference"]
    assert (changed["code"], difference["association"]) == (2, 2), changed
    # Which of the two is listed first is the archive's choice.
    assert "came FF00H" in difference["differs"] or "SOPInstanceUID" in difference["differs"]
