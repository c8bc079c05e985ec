"""``dcmfast echoscu``: what it says and which code it ends with, beside DCMTK's echoscu."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from testkit import pdu
from testkit.cases import BOTH
from testkit.kinds import StartReceiver
from testkit.process import run_tool
from testkit.scripted_scp import Conversation, ScriptedServer


@pytest.fixture(params=["dcmfast", "dcmtk"])
def port(request: pytest.FixtureRequest, running_scp: StartReceiver) -> str:
    """A receiver of each implementation to talk to."""
    return str(running_scp("storescp", implementation=request.param).port)


@BOTH
def test_a_plain_echo(implementation: str, port: str) -> None:
    done = run_tool(implementation, "echoscu", ["localhost", port])
    assert (done.code, done.stdout, done.stderr) == (0, "", "")


@BOTH
@pytest.mark.parametrize("spelling", ["-v", "--verbose"])
def test_verbose(spelling: str, implementation: str, port: str) -> None:
    """What DCMTK 3.6.7 says, line by line."""
    done = run_tool(implementation, "echoscu", [spelling, "127.0.0.1", port])
    assert done.code == 0
    assert [line for line in done.lines if "dcmfast." not in line] == [
        "I: Requesting Association",
        "I: Association Accepted (Max Send PDV: 16372)",
        "I: Sending Echo Request (MsgID 1)",
        "I: Received Echo Response (Success)",
        "I: Releasing Association",
    ]


@BOTH
def test_repeat(implementation: str, port: str) -> None:
    done = run_tool(implementation, "echoscu", ["-v", "--repeat", "3", "127.0.0.1", port])
    assert done.code == 0
    assert [line for line in done.lines if "Sending" in line] == [
        f"I: Sending Echo Request (MsgID {number})" for number in (1, 2, 3)
    ]


@BOTH
def test_abort(implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", "-v")
    done = run_tool(implementation, "echoscu", ["--abort", "127.0.0.1", str(receiver.port)])
    assert done.code == 0
    receiver.stderr.wait_for(r"^I: Association Aborted$")


@BOTH
@pytest.mark.parametrize(("options", "called"), [([], "ANY-SCP"), (["-aec", "ME"], "ME")])
@pytest.mark.parametrize(("more", "calling"), [([], "ECHOSCU"), (["-aet", "YOU"], "YOU")])
def test_titles(
    options: list[str],
    called: str,
    more: list[str],
    calling: str,
    implementation: str,
    running_scp: StartReceiver,
) -> None:
    receiver = running_scp("dcmrecv", "-v", "-dhl")
    done = run_tool(implementation, "echoscu", [*options, *more, "127.0.0.1", str(receiver.port)])
    assert done.code == 0
    receiver.stderr.wait_for(f"^I: Association Received 127.0.0.1: {calling} -> {called}$")


@BOTH
def test_connection_refused(implementation: str, free_port: int) -> None:
    done = run_tool(implementation, "echoscu", ["127.0.0.1", str(free_port)])
    assert done.code == 1
    assert done.lines[0].startswith("F: Association Request Failed: 0006:031")


@BOTH
def test_rejected(implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", "--refuse")
    done = run_tool(implementation, "echoscu", ["127.0.0.1", str(receiver.port)])
    assert done.code == 1
    assert done.lines == [
        "F: Association Rejected:",
        "F: Result: Rejected Permanent, Source: Service User",
        "F: Reason: No Reason",
    ]


@BOTH
@pytest.mark.parametrize("answer", ["silence", "garbage", "close", "half an answer"])
def test_a_peer_that_does_not_answer(answer: str, implementation: str) -> None:
    """The other side may lie as well: a deadline and a code, never a hang."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections = []

        def serve() -> None:
            connection, _ = server.accept()
            connections.append(connection)
            connection.recv(4096)
            if answer == "garbage":
                connection.sendall(b"\xde\xad\xbe\xef" * 10)
            elif answer == "half an answer":
                connection.sendall(pdu.pdu(2, bytes(68), length=500))
            elif answer == "close":
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = str(server.getsockname()[1])
        done = run_tool(
            implementation, "echoscu", ["-ta", "1", "-ts", "2", "127.0.0.1", port], within_s=20
        )
        thread.join()
        for connection in connections:
            connection.close()
    assert done.code == 1
    assert done.lines[0].startswith("F: Association Request Failed:")


def associate_ac() -> bytes:
    """An A-ASSOCIATE-AC that accepts context 1 (PS3.8 §9.3.3)."""
    context = bytes([1, 0, 0, 0]) + pdu.item(0x40, pdu.IMPLICIT.encode())
    items = pdu.item(0x10, pdu.APPLICATION_CONTEXT) + pdu.item(0x21, context)
    return pdu.pdu(pdu.ASSOCIATE_AC, pdu.associate_body(items + pdu.user_information()))


def test_a_status_that_is_no_success() -> None:
    """Told, and no 0; what else was asked for is done (D9)."""

    def play(peer: Conversation) -> None:
        peer.accept()
        peer.respond(peer.expect_request(), 0x0110)
        peer.respond(peer.expect_request(), 0)
        peer.expect_release()

    with ScriptedServer(play) as server:
        line = ["--repeat", "2", "--json", "127.0.0.1", str(server.port)]
        done = run_tool("dcmfast", "echoscu", line)
    assert done.code == 70
    assert done.stderr == "E: dcmfast.echoscu: the echo failed: Unknown Status: 0x110\n"
    found = json.loads(done.stdout)
    assert [one["status"] for one in found["echoes"]] == ["0110", "0000"]
    assert found["error"] == "the echo failed: Unknown Status: 0x110"


@BOTH
def test_another_service_s_response_is_no_success(implementation: str) -> None:
    """C-STORE-RSP 0000H in answer to C-ECHO-RQ: the peer is confused, and the exit code says so."""
    response = pdu.command_set(
        [
            (pdu.COMMAND_FIELD, pdu.us(0x8001)),
            (pdu.RESPONDED_ID, pdu.us(1)),
            (pdu.DATA_SET_TYPE, pdu.us(0x0101)),
            (pdu.STATUS, pdu.us(0)),
        ]
    )

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(associate_ac())
            connection.recv(4096)
            connection.sendall(pdu.p_data(pdu.pdv(1, response, command=True)))
            while connection.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        port = str(server.getsockname()[1])
        # DCMTK waits `-ta` for the end of the connection that it has aborted.
        done = run_tool(implementation, "echoscu", ["-v", "-ta", "2", "127.0.0.1", port])
        thread.join()
    assert done.code == 70
    assert any("Echo SCU Failed: 0006:" in line for line in done.lines)


def test_a_transfer_syntax_that_was_not_proposed_is_none() -> None:
    """An answer chooses among what was proposed (PS3.8 §9.3.3.2.1): nothing is sent in another."""

    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax="1.2.840.10008.1.2.4.50")
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(play) as server:
        result = run_tool("dcmfast", "echoscu", ["127.0.0.1", str(server.port)])
    assert result.code != 0
    assert any("No Acceptable Presentation Contexts" in line for line in result.lines)


def test_a_peer_that_drips_does_not_move_the_deadline() -> None:
    """P16: one byte of the A-ASSOCIATE-AC each tenth of a second is late after `-ta 1`."""
    ended = threading.Event()

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            for byte in associate_ac():
                try:
                    connection.sendall(bytes([byte]))
                except ConnectionError:
                    return
                if ended.wait(0.1):
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        port = str(server.getsockname()[1])
        started = time.monotonic()
        done = run_tool("dcmfast", "echoscu", ["-ta", "1", "127.0.0.1", port])
        assert time.monotonic() - started < 5
        ended.set()
        thread.join()
    assert done.code == 1


@pytest.mark.parametrize("spelling", ["-h", "--help"])
def test_help(spelling: str) -> None:
    done = run_tool("dcmfast", "echoscu", [spelling])
    assert done.code == 0
    assert "usage: echoscu [options] peer port" in done.stdout


@BOTH
@pytest.mark.parametrize("option", ["-aet", "-aec"])
def test_a_blank_title_is_refused_before_it_travels(
    option: str, implementation: str, port: str
) -> None:
    """Many peers never answer one."""
    done = run_tool(implementation, "echoscu", [option, "", "127.0.0.1", port])
    assert done.code == 1
    assert "Illegal service parameter" in done.stderr


def test_the_result_as_json(port: str) -> None:
    """``--json``: one object on standard output, here of two answers."""
    line = ["--json", "--repeat", "2", "-ppc", "2", "127.0.0.1", port]
    done = run_tool("dcmfast", "echoscu", line)
    found = json.loads(done.stdout)
    assert (done.code, done.stderr, found["exit_code"]) == (0, "", 0)
    assert (found["format"], found["format_version"]) == ("dcmfast-echo", 1)
    assert found["peer"] == {"host": "127.0.0.1", "port": int(port)}
    assert [one["message_id"] for one in found["echoes"]] == [1, 2]
    assert {(one["status"], one["status_text"]) for one in found["echoes"]} == {("0000", "Success")}
    contexts = found["association"]["contexts"]
    assert [(one["id"], one["result"], one["transfer_syntax"]) for one in contexts] == [
        (number, 0, pdu.IMPLICIT) for number in (1, 3)
    ]
    assert (found["error"], found["association"]["tls"]) == (None, None)


def test_a_failure_as_json() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    done = run_tool("dcmfast", "echoscu", ["--json", "127.0.0.1", str(free)])
    found = json.loads(done.stdout)
    assert (done.code, found["exit_code"], found["association"], found["echoes"]) == (
        1,
        1,
        None,
        [],
    )
    assert "TCP Initialization Error" in found["error"]
    assert "Traceback" not in done.stderr


def test_both_ask_for_the_release_at_once() -> None:
    """PS3.8 §7.2.2.7: ours is answered, theirs is awaited, and nothing has failed."""

    def play(peer: Conversation) -> None:
        peer.accept()
        peer.respond(peer.expect_request(), 0)
        peer.expect_pdu(pdu.RELEASE_RQ)
        peer.send(pdu.pdu(pdu.RELEASE_RQ, bytes(4)))
        peer.expect_pdu(pdu.RELEASE_RP)
        peer.send(pdu.pdu(pdu.RELEASE_RP, bytes(4)))
        peer.expect_closed(reset_allowed=True)

    with ScriptedServer(play) as server:
        done = run_tool("dcmfast", "echoscu", ["127.0.0.1", str(server.port)])
    assert (done.code, done.stderr) == (0, "")


def test_an_answer_on_another_context() -> None:
    """Its transfer syntax would be another one, too: A-ABORT, and a line that says it."""

    def play(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        request.context_id = 3
        peer.respond(request, 0)
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(play) as server:
        done = run_tool("dcmfast", "echoscu", ["-ppc", "2", "127.0.0.1", str(server.port)])
    assert done.code != 0
    assert "response on context 3, where 1 was asked" in done.stderr
