"""record and show: what passes is not changed, all of it is written down, and it is shown."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from testkit import pdu, process
from testkit.authority import Pki
from testkit.captures import ACCEPTOR, REQUESTOR, capture
from testkit.kinds import StartReceiver
from testkit.process import Finished, Output, command, free_port, run_tool
from testkit.scripted_scp import Conversation, ScriptedServer

CT = Path(str(pydicom.data.get_testdata_file("CT_small.dcm")))


@dataclass
class Recorder:
    """A running recorder."""

    port: int
    path: Path
    child: subprocess.Popen[bytes]
    stderr: Output

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask for the end; the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        code = self.child.wait(15)
        self.stderr.wait_closed()
        return code


@contextmanager
def recorder(
    path: Path, peer: int, *options: str, stop: signal.Signals = signal.SIGTERM
) -> Iterator[Recorder]:
    port = free_port()
    line = [*command("dcmfast", "record"), "-v", *options, str(path), str(port)]
    child = subprocess.Popen(
        [*line, "127.0.0.1", str(peer)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=process.child_environment(),
    )
    assert child.stderr is not None
    running = Recorder(port, path, child, Output(child.stderr))
    running.stderr.wait_for("leads to", within_s=20)
    try:
        yield running
        running.stop(stop)
    finally:
        child.kill()
        child.wait(5)


def show(path: Path, *options: str) -> Finished:
    return run_tool("dcmfast", "show", [*options, path])


def events(path: Path, *options: str) -> list[dict[str, Any]]:
    done = show(path, "--json", *options)
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory, shared_scp: StartReceiver) -> Path:
    """DCMTK's clients against our storescp, recorded."""
    receiver = shared_scp("storescp", "+B")
    path = tmp_path_factory.mktemp("recording") / "talk.rec"
    with recorder(path, receiver.port) as running:
        assert run_tool("dcmtk", "echoscu", ["127.0.0.1", str(running.port)]).code == 0
        send = ["-xf", *_profile(path.parent), "127.0.0.1", str(running.port), CT]
        done = run_tool("dcmtk", "storescu", send)
        assert done.code == 0, done.stderr
        running.stderr.wait_for("ended by the peers", count=2)
        assert running.stop(signal.SIGINT) == 0
    # The same client without a recorder: the same file.
    direct = shared_scp("storescp", "+B", "--durability", "none")
    send[-3:] = ["127.0.0.1", str(direct.port), CT]
    assert run_tool("dcmtk", "storescu", send).code == 0
    files = [receiver.files(), direct.files()]
    assert [len(one) for one in files] == [1, 1]
    assert files[0][0].read_bytes() == files[1][0].read_bytes()
    return path


def _profile(folder: Path) -> tuple[str, str]:
    path = folder / "one.cfg"
    path.write_text(
        "[[TransferSyntaxes]]\n[One]\nTransferSyntax1 = LittleEndianExplicit\n"
        "[[PresentationContexts]]\n[Ct]\n"
        "PresentationContext1 = CTImageStorage\\One\n"
        "[[Profiles]]\n[Ct]\nPresentationContexts = Ct\n"
    )
    return str(path), "Ct"


def test_a_recording_is_its_owners(conversation: Path, tmp_path: Path) -> None:
    """Also one that replaces a file: who could read that, by its mode or its other name, cannot."""
    assert conversation.stat().st_mode & 0o777 == 0o600
    there, other, link = (tmp_path / name for name in ("there.rec", "other", "link"))
    for out in (there, link):
        there.write_bytes(b"before")
        there.chmod(0o644)
        other.unlink(missing_ok=True)
        other.hardlink_to(there)
        link.unlink(missing_ok=True)
        link.symlink_to(there)
        done = show(conversation, "--write", str(out), "--overwrite")
        assert done.code == 0, done.stderr
        assert out.stat().st_mode & 0o777 == 0o600
        assert show(out).stdout == show(conversation).stdout
        if out == there:
            assert other.read_bytes() == b"before"


def test_what_is_shown_is_what_was_said(conversation: Path) -> None:
    """PDUs, PDVs, commands and data sets by the standard's names."""
    done = show(conversation)
    assert done.code == 0
    assert not done.stderr
    for words in (
        "-> A-ASSOCIATE-RQ",
        "Called-AE-title: ANY-SCP",
        "Abstract-syntax-name: 1.2.840.10008.1.1 =VerificationSOPClass",
        "Result/Reason: 0 (acceptance)",
        "-> C-ECHO-RQ",
        "<- C-ECHO-RSP",
        "Status: 0000H (Success)",
        "Message Control Header: 2 (Data Set, last fragment)",
        "(0010,0010) PN [CompressedSamples^CT1]",
        "-> A-RELEASE-RQ",
        "<- A-RELEASE-RP",
    ):
        assert words in done.stdout, words
    without = show(conversation, "--no-data-sets").stdout
    assert "CompressedSamples" not in without
    assert "-> Data Set" in without
    second = show(conversation, "--association", "2").stdout
    assert "C-STORE-RQ" in second
    assert "C-ECHO" not in second


def test_elements_are_those_that_pydicom_reads(conversation: Path) -> None:
    found = {
        one["tag"]: one
        for one in events(conversation)
        if one["event"] == "element" and one["depth"] == 0
    }
    expected = pydicom.dcmread(CT)
    del expected[0xFFFCFFFC]  # storescu does not send padding
    assert set(found) == {f"({e.tag.group:04x},{e.tag.element:04x})" for e in expected}
    for element in expected:
        one = found[f"({element.tag.group:04x},{element.tag.element:04x})"]
        if element.VR != "SQ":
            assert one["vr"] == element.VR
        if element.VR in {"LO", "SH", "CS", "DA", "TM", "PN", "IS", "DS"} and element.VM == 1:
            text = str(element.value)
            if element.VR in {"IS", "DS"} and text:
                assert float(one["value"].strip("[]")) == float(text)
                continue
            assert one["value"] in (f"[{text.rstrip()}]", "(no value available)"), one
        if element.VR == "US" and element.VM == 1:
            assert one["value"] == str(element.value)


def test_commands_are_those_that_pydicom_reads(conversation: Path) -> None:
    commands = [one for one in events(conversation) if one["event"] == "command"]
    names = [one["command"] for one in commands]
    assert names == ["C-ECHO-RQ", "C-ECHO-RSP", "C-STORE-RQ", "C-STORE-RSP"]
    store = {one["keyword"]: one["value"] for one in commands[2]["elements"]}
    assert store["AffectedSOPInstanceUID"] == f"[{pydicom.dcmread(CT).SOPInstanceUID}]"
    assert store["AffectedSOPClassUID"] == "=CTImageStorage"
    assert commands[3]["Status"] == "0000H (Success)"
    times = [one["ns"] for one in commands[2:]]
    assert times == sorted(times)


def test_a_recording_cut_anywhere_is_shown_as_far_as_it_goes(
    conversation: Path, tmp_path: Path
) -> None:
    whole = conversation.read_bytes()
    cut = tmp_path / "cut.rec"
    cut.write_bytes(whole[:-20])
    done = show(cut)
    assert done.code == 0
    assert "C-STORE-RSP" in done.stdout
    assert "W: " in done.stderr
    assert "cut" in done.stderr
    damaged = bytearray(whole)
    damaged[32 + 48 + 3] ^= 1  # content of the first record
    cut.write_bytes(damaged)
    done = show(cut)
    assert done.code == 2
    assert "damaged" in done.stderr
    assert "C-STORE-RSP" in done.stdout


def test_files_that_are_no_recordings(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_bytes(b"")
    for path, words in (
        (CT, "neither a recording nor a packet capture"),
        (nothing, "neither a recording nor"),
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path, "directory"),
    ):
        done = show(path)
        assert done.code == 1
        assert words.lower() in done.stderr.lower()
        assert "Traceback" not in done.stderr


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "there.rec"
    path.write_text("mine")
    done = run_tool("dcmfast", "record", [path, "0", "127.0.0.1", "9"])
    assert done.code == 1
    assert "--overwrite" in done.stderr
    assert path.read_text() == "mine"
    with recorder(path, 9, "--overwrite"):
        pass
    assert show(path).code == 0


# ---- The recorder and bad peers


@contextmanager
def scripted(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A peer that does with each connection what it is told; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                with suppress(OSError):
                    answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def echoing(connection: socket.socket) -> None:
    """Give everything back until the other side closes its half, then say so and close."""
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.sendall(b"end")


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def read_count(connection: socket.socket, count: int) -> bytes:
    """Receive so many bytes, in as many pieces as they come."""
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        assert piece, f"closed after {len(data)} of {count} bytes"
        data += piece
    return data


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


GARBAGE = {
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "zeros": bytes(4000),
    "pdu-of-4-gib": b"\x04\x00\xff\xff\xff\xff" + b"\x00\x00\xff\xff\x01\x00" * 100,
    "associate-of-4-gib": b"\x01\x00\xff\xff\xff\xff" + bytes(100),
    "half-a-pdu": b"\x01\x00\x00\x00\x10\x00abc",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


def test_whatever_passes_is_not_changed(tmp_path: Path) -> None:
    """Garbage both ways, and a side that closes its half first: FIN by FIN, byte by byte."""
    path = tmp_path / "garbage.rec"
    with scripted(echoing) as peer, recorder(path, peer) as running:
        for data in GARBAGE.values():
            with connected(running.port) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                assert read_all(connection) == data + b"end"
        running.stderr.wait_for("ended by the peers", count=len(GARBAGE))
        assert "TLS" in running.stderr.text
        assert running.stop() == 0
    for options in ([], ["--json"], ["--no-data-sets"]):
        done = show(path, *options)
        assert done.code == 0
        assert "Traceback" not in done.stderr
    text = show(path).stdout
    for words in ("unknown PDU type 47H", "PDU that is not complete", "bytes of TLS"):
        assert words in text, words
    played = replay("requestor", path, "127.0.0.1", "9", "--association", "6")
    assert played.code == 1
    assert "TLS" in played.stderr


def test_a_reset_is_passed_on(tmp_path: Path) -> None:
    def resetting(connection: socket.socket) -> None:
        connection.recv(3)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    path = tmp_path / "reset.rec"
    with scripted(resetting) as peer, recorder(path, peer) as running:
        with connected(running.port) as connection:
            connection.sendall(b"abc")
            with pytest.raises(ConnectionResetError):
                connection.recv(10)
        running.stderr.wait_for("ended by the peers")
    assert "<- reset the connection (RST)" in show(path).stdout


def test_a_peer_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "nobody.rec"
    with recorder(path, free_port()) as running:
        with connected(running.port) as connection, suppress(ConnectionResetError):
            assert connection.recv(10) == b""
        running.stderr.wait_for("cannot connect to .* Connection refused")
    assert "the acceptor could not be reached" in show(path).stdout


@contextmanager
def full_port() -> Iterator[int]:
    """A port where connecting hangs: nobody takes what waits there."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_the_timeout_of_connecting(conversation: Path, tmp_path: Path) -> None:
    """--timeout, of record and of replay."""
    path = tmp_path / "hangs.rec"
    with full_port() as port:
        with recorder(path, port, "--timeout", "1") as running, connected(running.port) as client:
            with suppress(ConnectionResetError):
                assert client.recv(10) == b""
            running.stderr.wait_for("cannot connect to .* timed out")
        done = replay("--timeout", "1", "requestor", conversation, "127.0.0.1", str(port))
        assert done.code == 1
        assert "timed out" in done.stderr


def test_a_full_disk_leaves_no_empty_recording(conversation: Path, tmp_path: Path) -> None:
    """Nothing can be written there: no file is left, and a device stays what it is."""
    out = tmp_path / "out.rec"
    limit = ["bash", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "bash"]
    for tool, line in (
        ("show", ["--write", str(out), str(conversation)]),
        ("record", [str(out), "0", "127.0.0.1", "1"]),
    ):
        done = subprocess.run(
            [*limit, *command("dcmfast", tool), *line],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
            env=process.child_environment(PYTHONDONTWRITEBYTECODE="1"),
        )  # fmt: skip
        assert done.returncode == 1, (tool, done)
        assert "File too large" in done.stderr, (tool, done)
        assert not out.exists(), tool
    done = show(conversation, "--overwrite", "--write", "/dev/full")
    assert done.code == 1
    assert "No space left on device" in done.stderr
    assert Path("/dev/full").exists()


def test_tls_passes_and_is_recorded_unread(
    running_scp: StartReceiver, pki: Pki, tmp_path: Path
) -> None:
    """Both ends hold their own keys: it works through the recorder, which says what it has."""
    trusted = pki.authority.trusted
    receiver = running_scp("storescp", *pki.server.tls, *trusted)
    path = tmp_path / "tls.rec"
    with recorder(path, receiver.port) as running:
        line = [*pki.client.tls, *trusted, "127.0.0.1", str(running.port)]
        assert run_tool("dcmfast", "echoscu", line).code == 0
        running.stderr.wait_for("ended by the peers")
    done = show(path)
    assert done.code == 0
    assert "TLS" in done.stdout
    assert "C-ECHO" not in done.stdout
    played = replay("requestor", path, "127.0.0.1", str(receiver.port))
    assert played.code == 1
    assert "connection 1 is TLS, which is recorded and cannot be played" in played.stderr


def test_titles_of_a_replay(conversation: Path) -> None:
    """--aetitle and --call stand in the A-ASSOCIATE-RQ in place of the recorded ones."""
    titles = []

    def refusing(peer: Conversation) -> None:
        proposed = peer.expect_associate_rq()
        titles.append((proposed.calling, proposed.called))
        peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, b"\0\1\1\7"))

    options = ("--aetitle", "SOMEBODY", "--call", "ELSE", "--association", "1")
    with ScriptedServer(refusing, refusing) as server:
        for chosen in ((), options):
            assert (
                replay(*chosen, "requestor", conversation, "127.0.0.1", str(server.port)).code == 2
            )
    assert titles == [(b"ECHOSCU", b"ANY-SCP"), (b"SOMEBODY", b"ELSE")]


def test_a_capture_that_lacks_bytes_is_damaged(tmp_path: Path) -> None:
    """Shown as far as it goes, in the order of the conversation, with exit code 2 and a line."""
    accept = b"\x05\0\0\0\0\x04\0\0\0\0"
    talk = [
        (REQUESTOR, pdu.associate_rq()),
        (ACCEPTOR, accept),
        (REQUESTOR, pdu.release_rq()),
    ]
    whole = capture(tmp_path / "whole.pcap", talk)
    assert show(whole).code == 0
    raw = whole.read_bytes()
    # The frame of the acceptor's PDU: 16 bytes of pcap, 40 of IP and TCP, and 10.
    at = raw.index(accept) - 56
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(raw[:at] + raw[at + 66 :])
    done = show(cut)
    assert done.code == 2
    assert done.stderr == f"E: {cut}: lost: 10 bytes of associations were not captured\n"
    assert "A-RELEASE-RQ" in done.stdout
    # Only swapped: the same as it was, but for the times.
    swapped = tmp_path / "swapped.pcap"
    frame = raw[at : at + 66]
    after = at + 66 + 66
    swapped.write_bytes(raw[:at] + raw[at + 66 : after] + frame + raw[after:])
    assert show(swapped).code == 0
    assert show(swapped).stdout == show(whole).stdout


def test_a_peer_that_does_not_read_costs_bounded_memory(tmp_path: Path) -> None:
    """The sender is slowed down, and nothing is read ahead; the stop does not wait for it."""
    release = threading.Event()

    def silent(connection: socket.socket) -> None:
        release.wait(30)

    path = tmp_path / "silent.rec"
    with scripted(silent) as peer, recorder(path, peer) as running:
        before = _anonymous_kib(running.child.pid)
        with connected(running.port) as connection:
            connection.settimeout(1.0)
            sent = 0
            with suppress(TimeoutError):
                while sent < 200 * 2**20:
                    sent += connection.send(bytes(2**20))
            assert sent < 100 * 2**20
            assert _anonymous_kib(running.child.pid) - before < 8 * 1024
            assert running.stop() == 0
        release.set()
    assert show(path, "--no-data-sets").code == 0


def _anonymous_kib(pid: int) -> int:
    found = re.search(
        r"^Pss_Anon:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE
    )
    assert found is not None
    return int(found.group(1))


def test_what_a_killed_recorder_passed_on_is_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "killed.rec"
    with (
        scripted(echoing) as peer,
        recorder(path, peer) as running,
        connected(running.port) as connection,
    ):
        connection.sendall(b"\x05\0\0\0\0\x04\0\0\0\0")
        assert len(read_count(connection, 10)) == 10
        running.child.kill()
        running.child.wait(10)
    done = show(path)
    assert done.code == 0
    assert "not ended" in done.stderr
    assert done.stdout.count("A-RELEASE-RQ") == 2


def test_the_bounds_of_a_recording(tmp_path: Path) -> None:
    """--max-size ends the recording, not what passes; --count ends the recorder."""
    path = tmp_path / "full.rec"
    options = ("--max-size", "8K", "-n", "2", "--max-associations", "1")
    with scripted(echoing) as peer, recorder(path, peer, *options) as running:
        with connected(running.port) as connection:
            connection.sendall(bytes(50_000))
            assert len(read_count(connection, 50_000)) == 50_000
            with pytest.raises(ConnectionResetError), connected(running.port) as other:
                other.recv(1)
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == b"end"

        def is_served() -> bool:
            try:
                with connected(running.port) as connection:
                    connection.shutdown(socket.SHUT_WR)
                    return read_all(connection) == b"end"
            except OSError:  # closed at once, whichever call meets it
                return False

        process.wait_until(is_served)
        assert running.child.wait(15) == 2
        running.stderr.wait_for("the recording is full")
    assert path.stat().st_size <= 8192
    assert "full" in show(path).stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["x.rec", "0", "h"], "Missing parameter"),
        (["x.rec", "70000", "h", "1"], "Invalid parameter value"),
        (["x.rec", "0", "h", "0"], "Invalid parameter value"),
        (["--max-size", "3", "x.rec", "0", "h", "1"], "underflow"),
        (["--max-size", "3x", "x.rec", "0", "h", "1"], "Invalid value for option --max-size"),
        (["--bind", "host", "x.rec", "0", "h", "1"], "expected an IP address"),
        (["x.rec", "0", "no-such-host.invalid", "1"], "unknown host"),
        (["-q", "-v", "x.rec", "0", "h", "1"], ""),
    ],
)
def test_command_lines_of_record(line: list[str], words: str, tmp_path: Path) -> None:
    done = run_tool("dcmfast", "record", line, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert words in done.stderr
    assert done.code == 1
    assert not list(tmp_path.iterdir())


# ---- Playing


def replay(*arguments: str | Path, within_s: float = 60) -> Finished:
    return run_tool("dcmfast", "replay", arguments, within_s=within_s)


@contextmanager
def acceptor(path: Path, *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    line = [*command("dcmfast", "replay"), "-v", *options, "acceptor", str(path), str(port)]
    child = subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=process.child_environment(),
    )
    try:
        process.wait_until(lambda: process.is_listening(port), within_s=20)
        yield port, child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("implementation", ["dcmfast", "dcmtk"])
def test_played_as_requestor_the_same_receiver_does_the_same(
    conversation: Path, running_scp: StartReceiver, implementation: str
) -> None:
    """Our recorded receiver, and DCMTK's, whose answers are the same but for what is ignored."""
    receiver = running_scp("storescp", "+B", implementation=implementation)
    done = replay("requestor", conversation, "127.0.0.1", str(receiver.port))
    assert done.code == 0, done.stdout + done.stderr
    assert "all as recorded" in done.stdout
    (stored,) = receiver.files()
    assert pydicom.dcmread(stored).PatientID == pydicom.dcmread(CT).PatientID


def test_another_status_is_the_first_difference(
    conversation: Path, running_scp: StartReceiver
) -> None:
    receiver = running_scp("storescp", "+B", "--fault", "store status=A700")
    done = replay("requestor", conversation, "127.0.0.1", str(receiver.port))
    assert done.code == 2, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "association 2, event 2 of the peer" in lines[0]
    assert "expected: C-STORE-RSP" in lines[1]
    assert "0000H" in lines[1]
    assert "A700H" in lines[2]
    assert "Status (0000,0900): expected 0000H, came A700H" in lines[3]


def test_other_differences_and_none(conversation: Path) -> None:
    def rejecting(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"\x03\0\0\0\0\x04\0\x01\x01\x07")

    with scripted(rejecting) as port:
        done = replay("requestor", conversation, "127.0.0.1", str(port))
        assert done.code == 2
        assert "expected: A-ASSOCIATE-AC" in done.stdout
        assert "called-AE-title-not-recognized" in done.stdout
    with scripted(lambda connection: connection.recv(65536) and None) as port:
        done = replay("requestor", conversation, "127.0.0.1", str(port))
        assert done.code == 2
        assert "transport connection closed" in done.stdout
    with scripted(lambda connection: connection.sendall(b"HTTP/1.1 400 no\r\n")) as port:
        done = replay("requestor", conversation, "127.0.0.1", str(port))
        assert done.code == 2
        assert "bytes that are no PDU" in done.stdout
    done = replay("requestor", conversation, "127.0.0.1", str(free_port()))
    assert done.code == 1
    assert "refused" in done.stderr.lower()


def test_played_as_acceptor_for_dcmtks_clients(conversation: Path, tmp_path: Path) -> None:
    with acceptor(conversation) as (port, child):
        assert run_tool("dcmtk", "echoscu", ["127.0.0.1", str(port)]).code == 0
        send = ["-xf", *_profile(tmp_path), "127.0.0.1", str(port), CT]
        assert run_tool("dcmtk", "storescu", send).code == 0
        assert child.wait(20) == 0
    # Another object: the first thing that differs is its UID, and then its elements.
    other = pydicom.dcmread(CT)
    other.PatientID = "other"
    other.save_as(tmp_path / "other.dcm")
    send[-1] = tmp_path / "other.dcm"
    with acceptor(conversation, "--association", "2") as (port, child):
        send[-2] = str(port)
        run_tool("dcmtk", "storescu", send)
        out, _ = child.communicate(timeout=20)
        assert child.returncode == 2
        assert b"(0010,0020) LO PatientID [1CT1]" in out, out
        assert b"[other]" in out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["nobody", "x", "1"], "Unknown side"),
        (["requestor", "x", "h"], "Missing parameter port"),
        (["acceptor", "x", "1", "2"], "Too many parameters"),
        (["--bind", "::1", "requestor", "x", "h", "1"], "--bind not allowed with requestor"),
        (["-aec", "A", "acceptor", "x", "1"], "--call not allowed with acceptor"),
        (["--ignore", "x", "requestor", "x", "h", "1"], "Invalid value for option --ignore"),
        (["--compare", "", "requestor", "x", "h", "1"], "Invalid value for option --compare"),
        (["requestor", "missing.rec", "127.0.0.1", "1"], "No such file"),
    ],
)
def test_command_lines_of_replay(line: list[str], words: str, tmp_path: Path) -> None:
    done = run_tool("dcmfast", "replay", line, cwd=tmp_path)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.code == 1


# ---- What must not leave the house


@pytest.mark.parametrize("option", ["--leave-out-data-sets", "--replace-data-sets"])
def test_a_shared_recording_names_nobody_and_plays(
    conversation: Path, running_scp: StartReceiver, option: str, tmp_path: Path
) -> None:
    shared = tmp_path / "shared.rec"
    done = show(conversation, "--write", str(shared), option, "--mask-names")
    assert done.code == 0, done.stderr
    assert shared.stat().st_mode & 0o777 == 0o600
    original = pydicom.dcmread(CT)
    raw = shared.read_bytes()
    assert b"CompressedSamples" in conversation.read_bytes()
    for gone in (
        "CompressedSamples",
        original.SOPInstanceUID,
        original.StudyInstanceUID,
        "STORESCU",
    ):
        assert gone.encode() not in raw, gone
    text = show(shared)
    assert text.code == 0
    assert "C-STORE-RSP" in text.stdout
    assert "1.2.840.10008.1.1" in text.stdout
    receiver = running_scp("storescp", "+B")
    done = replay("requestor", shared, "127.0.0.1", str(receiver.port), "--ignore", "uids")
    assert done.code == 0, done.stdout + done.stderr
    (stored,) = receiver.files()
    found = pydicom.dcmread(stored)
    assert found.SOPClassUID == original.SOPClassUID
    if option == "--replace-data-sets":
        assert found.PatientName == "XXXXXXXXXXXXXXXXX^XXX"
        assert found.Rows == original.Rows
        assert set(found.PixelData) == {0}
        del original[0xFFFCFFFC]
        assert [e.tag for e in found] == [e.tag for e in original]


def test_a_query_whose_encoding_was_not_captured_is_left_out(tmp_path: Path) -> None:
    """Explicit VR read as implicit, its first element would swallow the patient, in clear."""
    identifier = b"\x08\0\x52\0CS\6\0STUDY \x10\0\x10\0PN\x08\0Doe^Jane"
    elements = [
        (pdu.SOP_CLASS, pdu.ui(pdu.STUDY_ROOT_FIND)),
        (pdu.COMMAND_FIELD, pdu.us(0x0020)),
        (pdu.MESSAGE_ID, pdu.us(1)),
        (pdu.PRIORITY, pdu.us(0)),
        (pdu.DATA_SET_TYPE, pdu.us(1)),
    ]
    talk = [
        (REQUESTOR, pdu.associate_rq([(1, pdu.STUDY_ROOT_FIND, [pdu.EXPLICIT])])),
        (REQUESTOR, pdu.p_data(pdu.pdv(1, pdu.command_set(elements), command=True))),
        (REQUESTOR, pdu.p_data(pdu.pdv(1, identifier))),
    ]
    path, out = capture(tmp_path / "query.pcap", talk), tmp_path / "shared.rec"
    assert show(path, "--write", str(out), "--replace-data-sets").code == 0
    assert b"Jane" not in out.read_bytes()
    assert "C-FIND-RQ" in show(out).stdout


def test_treated_while_it_is_recorded(running_scp: StartReceiver, tmp_path: Path) -> None:
    """The peer gets what was sent; the file never has it."""
    receiver = running_scp("storescp", "+B")
    for index, option in enumerate(["--leave-out-data-sets", "--replace-data-sets"]):
        path = tmp_path / f"{index}.rec"
        with recorder(path, receiver.port, option) as running:
            send = ["-xf", *_profile(tmp_path), "127.0.0.1", str(running.port), CT]
            assert run_tool("dcmtk", "storescu", send).code == 0
            running.stderr.wait_for("ended by the peers")
        assert pydicom.dcmread(receiver.files()[0]).PatientID == pydicom.dcmread(CT).PatientID
        assert b"CompressedSamples" not in path.read_bytes()
        assert "C-STORE-RQ" in show(path).stdout


def test_command_lines_of_show(conversation: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.rec"
    for line, words in (
        (["--mask-names", conversation], "--mask-names only allowed with --write"),
        (["--overwrite", conversation], "--overwrite only allowed with --write"),
        (["--json", "--write", out, conversation], "not allowed with"),
        (["--association", "0", conversation], "Invalid value for option --association"),
        (["--write", conversation, "--overwrite", conversation], "it is what is read"),
        (["--write", tmp_path / "no" / "x", conversation], "cannot make"),
    ):
        done = run_tool("dcmfast", "show", line)
        assert done.code == 1
        assert words in done.stderr, done.stderr
    assert not out.exists()
    assert show(conversation, "--write", str(out)).code == 0
    assert show(out).stdout == show(conversation).stdout


def test_query_and_retrieve_are_recorded_and_played(tmp_path: Path) -> None:
    """C-FIND, C-GET and C-MOVE of DCMTK's tools against our archive, through the recorder."""
    folder, move_port = tmp_path / "archive", free_port()
    path = tmp_path / "qr.rec"
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=1CT1", "-k", "StudyInstanceUID"]
    options = ["--durability", "none", "--peer", f"MOVESCU=127.0.0.1:{move_port}"]
    receiver = process.start_receiver("dcmfast", "serve", folder, options)
    try:
        with recorder(path, receiver.port) as running:
            here = ["127.0.0.1", str(running.port)]
            study = pydicom.dcmread(CT).StudyInstanceUID
            keys[-1] = f"StudyInstanceUID={study}"
            assert run_tool("dcmtk", "storescu", [*here, CT]).code == 0
            assert run_tool("dcmtk", "findscu", ["-S", *keys, *here]).code == 0
            retrieved = tmp_path / "got"
            retrieved.mkdir()
            get = ["-S", *keys, "-od", retrieved, *here]
            assert run_tool("dcmtk", "getscu", get).code == 0
            move = ["-S", *keys, "+P", str(move_port), "-aem", "MOVESCU", "-od", retrieved, *here]
            assert run_tool("dcmtk", "movescu", move).code == 0
            running.stderr.wait_for("ended by the peers", count=4)
        assert list(retrieved.iterdir())
        names = [one["command"] for one in events(path) if one["event"] == "command"]
        for name in ("C-FIND-RSP", "C-GET-RSP", "C-STORE-RQ", "C-MOVE-RSP"):
            assert name in names
        for association in ("1", "2", "3"):
            done = replay(
                "requestor", path, "127.0.0.1", str(receiver.port), "--association", association
            )
            assert done.code == 0, done.stdout + done.stderr
    finally:
        receiver.stop()
