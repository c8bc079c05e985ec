"""findscu, movescu and getscu before peers that answer without end, or not at all.

DCMTK's lines stay, and a plain one says what was waited for, how long, and which option decides.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from testkit import pdu
from testkit.process import Finished, free_port, run_tool
from testkit.scripted_scp import Conversation, Message, ScriptedServer
from vectors import make

#: What each ends with when a request fails, and when no association comes about.
FAILED = {"findscu": 1, "movescu": 69, "getscu": 1}
UNASSOCIATED = {
    "findscu": 2,
    "movescu": 61,
    "getscu": 1,
    "echoscu": 1,
    "storescu": 1,
    "dcmsend": 61,
}
SOON_S = 20


def match(number: int) -> bytes:
    """A PatientID."""
    return b"\x10\x00\x20\x00LO\x08\x00" + b"%08d" % number


def endless(news: Callable[[int], int], pause_s: float = 0) -> Callable[[Conversation], None]:
    """Pending responses until the other side has had enough; `news` numbers what they bring."""

    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        is_find = pdu.value_us(request.command, pdu.COMMAND_FIELD) == 0x0020
        rest = threading.Event()
        try:
            for number in count():
                brought = news(number)
                if is_find:
                    peer.respond(request, 0xFF00, data=match(brought))
                else:
                    peer.respond(request, 0xFF00, counts=(1, brought, 0, 0))
                rest.wait(pause_s)
        except OSError:
            pass

    return play


def asked(tool: str, server: ScriptedServer, *options: str | Path, **more: object) -> Finished:
    line = ["-P", *options, "127.0.0.1", str(server.port), "-k", "PatientID"]
    done = run_tool("dcmfast", tool, line, within_s=SOON_S, **more)  # type: ignore[arg-type]
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("tool", FAILED)
def test_max_responses(tool: str, tmp_path: Path) -> None:
    """``--max-responses``: so many, and the next one ends the request."""
    with ScriptedServer(endless(lambda number: number)) as server:
        done = asked(tool, server, "-v", "--max-responses", "50", cwd=tmp_path)
    assert done.code == FAILED[tool], done.stderr
    assert "the peer sent more than 50 responses before its last (--max-responses)" in done.stderr
    if tool != "getscu":
        assert "Response: 50 (Pending)" in done.stderr or "Response 50 (Pending)" in done.stderr
        assert "Response: 51" not in done.stderr
        assert "Response 51" not in done.stderr


@pytest.mark.parametrize("tool", FAILED)
def test_progress_timeout(tool: str, tmp_path: Path) -> None:
    """``--progress-timeout``: responses that bring nothing new do not count as progress."""
    with ScriptedServer(endless(lambda _: 1, pause_s=0.05)) as server:
        done = asked(tool, server, "-q", "--progress-timeout", "1", cwd=tmp_path)
        assert (done.code, done.stderr) == (FAILED[tool], "")
    with ScriptedServer(endless(lambda _: 1, pause_s=0.05)) as server:
        done = asked(tool, server, "--progress-timeout", "1", cwd=tmp_path)
    assert done.code == FAILED[tool]
    assert "for 1 s that bring nothing new (--progress-timeout)" in done.stderr


def test_the_same_match_again_and_again_is_silence() -> None:
    """``-td`` ends a C-FIND that brings nothing new; what came is a whole JSON array."""
    with ScriptedServer(endless(lambda _: 1, pause_s=0.05)) as server:
        done = asked("findscu", server, "-td", "1", "--json")
    assert done.code == 1
    assert "for 1 s that bring nothing new (--dimse-timeout)" in done.stderr
    assert {one["00100020"]["Value"][0] for one in json.loads(done.stdout)} == {"00000001"}


@pytest.mark.parametrize("tool", FAILED)
def test_a_flood_of_the_same_ends_without_an_option(tool: str, tmp_path: Path) -> None:
    """65,536 responses that bring nothing, as fast as they can be sent."""

    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        command = pdu.command_set(
            [
                (
                    pdu.COMMAND_FIELD,
                    pdu.us(pdu.value_us(request.command, pdu.COMMAND_FIELD) | 0x8000),
                ),
                (pdu.RESPONDED_ID, pdu.us(request.message_id)),
                (pdu.DATA_SET_TYPE, pdu.us(0x0101)),
                (pdu.STATUS, pdu.us(0xFF00)),
            ]
        )
        hundred = pdu.p_data(pdu.pdv(request.context_id, command, command=True)) * 100
        try:
            while True:
                peer.send(hundred)
        except OSError:
            pass

    with ScriptedServer(play) as server:
        done = asked(tool, server, "-ll", "error", cwd=tmp_path)
    assert done.code == FAILED[tool]
    assert "the peer sent 65536 responses in a row that bring nothing new" in done.stderr


# ---- Silence, and other ends: what, after how long, and which option


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(make.ct(1)))
    return path


def line_of(tool: str, server_port: int, file: Path, *options: str) -> list[str | Path]:
    """A command line of any of the tools."""
    line: list[str | Path] = [*options, "127.0.0.1", str(server_port)]
    if tool in FAILED:
        line += ["-P", "-k", "PatientID=1"]
    elif tool != "echoscu":
        line.append(file)
    return line


@pytest.mark.parametrize("tool", UNASSOCIATED)
def test_silence_after_the_request_for_an_association(tool: str, file: Path) -> None:
    """``-ta``: DCMTK's condition (``0006:031a``), and what it means."""
    ended = threading.Event()

    def silent(peer: Conversation) -> None:
        peer.expect_associate_rq()
        assert ended.wait(SOON_S)

    with ScriptedServer(silent) as server:
        done = run_tool("dcmfast", tool, line_of(tool, server.port, file, "-ta", "1"))
        ended.set()
    assert done.code == UNASSOCIATED[tool]
    assert "DUL network read timeout" in done.stderr
    said = f"E: dcmfast.{tool}: 127.0.0.1:{server.port} took the connection and did not answer "
    assert f"{said}the request for the association within 1 s (--acse-timeout)" in done.stderr


REQUESTS = {
    "findscu": ("C-FIND", 1),
    "movescu": ("C-MOVE", 69),
    "getscu": ("C-GET", 1),
    "echoscu": ("C-ECHO", 70),
    "storescu": ("C-STORE", 1),
    "dcmsend": ("C-STORE", 62),
}


@pytest.mark.parametrize("tool", REQUESTS)
def test_silence_after_a_request(tool: str, file: Path) -> None:
    """``-td``."""

    def silent(peer: Conversation) -> None:
        peer.accept()
        peer.expect_request()
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(silent) as server:
        done = run_tool("dcmfast", tool, line_of(tool, server.port, file, "-td", "1"))
    request, code = REQUESTS[tool]
    assert done.code == code, done.stderr
    said = f"the peer did not answer in time: the {request} request, 1 s (--dimse-timeout)"
    assert f"E: dcmfast.{tool}: {said}" in done.stderr
    assert "DIMSE No data available" in done.stderr


ENDINGS: dict[str, Callable[[Conversation, Message], object]] = {
    "it closed the connection": lambda peer, _: peer.socket.close(),
    "it sent A-ABORT, source 2 (service provider), reason 6 (invalid PDU parameter value)": (
        lambda peer, _: peer.send(pdu.pdu(pdu.ABORT, bytes([0, 0, 2, 6])))
    ),
    "it asked for the release": lambda peer, _: peer.send(pdu.release_rq()),
}


@pytest.mark.parametrize("tool", [one for one in REQUESTS if one != "getscu"])
@pytest.mark.parametrize("said", ENDINGS)
def test_how_the_peer_ended_it(tool: str, said: str, file: Path) -> None:
    def play(peer: Conversation) -> None:
        peer.accept()
        ENDINGS[said](peer, peer.expect_request())

    with ScriptedServer(play) as server:
        done = run_tool("dcmfast", tool, line_of(tool, server.port, file))
    assert done.code != 0
    request = REQUESTS[tool][0]
    assert f"the peer ended the association before its answer to the {request}: {said}" in (
        done.stderr
    )


@pytest.fixture
def full_queue() -> Iterator[int]:
    """A port whose queue of connections is full, so that the kernel answers no more."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


@pytest.mark.parametrize("tool", ["echoscu", "movescu"])
def test_no_connection(tool: str, file: Path, full_queue: int) -> None:
    """Off, refused, or nobody's name: each in its own words."""
    closed = free_port()
    for port, option, said in (
        (full_queue, "-to", f"127.0.0.1:{full_queue} did not answer within 1 s (--timeout)"),
        (closed, "-ta", f"nobody listens at 127.0.0.1:{closed}"),
    ):
        done = run_tool("dcmfast", tool, line_of(tool, port, file, option, "1"))
        assert done.code == UNASSOCIATED[tool]
        assert f"E: dcmfast.{tool}: {said}" in done.stderr
    line = ["no.such.host.invalid", "104", *line_of(tool, 1, file)[2:]]
    done = run_tool("dcmfast", tool, line)
    assert "E: dcmfast." + tool + ": the name no.such.host.invalid has no address" in done.stderr


@pytest.mark.parametrize("tool", UNASSOCIATED)
def test_a_rejection_says_what_to_change(tool: str, file: Path) -> None:
    causes = {
        (1, 1, 7): "the peer is not called ME (--call)",
        (1, 1, 3): "the peer does not know our title YOU (--aetitle)",
        (2, 3, 2): "the peer has as many associations as it takes",
    }

    def refuse(answer: tuple[int, ...]) -> Callable[[Conversation], None]:
        def play(peer: Conversation) -> None:
            peer.expect_associate_rq()
            peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, *answer])))

        return play

    with ScriptedServer(*map(refuse, causes)) as server:
        for said in causes.values():
            options = ["-aec", "ME", "-aet", "YOU"]
            done = run_tool("dcmfast", tool, line_of(tool, server.port, file, *options))
            assert done.code == UNASSOCIATED[tool]
            assert f"E: dcmfast.{tool}: {said}" in done.stderr


def test_contexts_that_nobody_takes() -> None:
    def refuse(peer: Conversation) -> None:
        peer.accept(accepts=lambda _: False)
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(refuse) as server:
        line = ["-ppc", "3", "127.0.0.1", str(server.port)]
        done = run_tool("dcmfast", "echoscu", line)
    assert done.code == 1
    first, second = done.stderr.splitlines()
    assert first == "F: No Acceptable Presentation Contexts"
    said = "none of its 3 presentation contexts: it does not have the service or SOP class (3)"
    assert second == f"E: dcmfast.echoscu: the peer accepted the association and {said}"
