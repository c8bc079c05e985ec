"""findscu, getscu, movescu and storescu beside DCMTK's, against an archive made of pynetdicom.

Results are compared, not words: the same data sets are found, the same objects arrive.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from testkit import pdu
from testkit.archive import keys
from testkit.cases import BOTH
from testkit.peer import ScriptedPeer
from testkit.process import child_environment, command, free_port, run_tool
from testkit.pynetdicom_scp import PynetdicomArchive, pynetdicom_archive
from testkit.scripted_scp import Conversation, ScriptedServer
from vectors import make

pytestmark = pytest.mark.dcmtk

OBJECTS = [make.ct(number, study=1 + number // 2) for number in range(4)]
STUDY = make.uid(7, 1)
WANTED = keys("STUDY", StudyInstanceUID=STUDY)
#: Seconds until something is given up.
SOON_S = 10


@pytest.fixture(scope="module")
def port() -> int:
    """Where movescu listens."""
    return free_port()


@pytest.fixture(scope="module")
def archive(port: int) -> Iterator[PynetdicomArchive]:
    with pynetdicom_archive(MOVESCU=port) as made:
        made.add(*OBJECTS)
        yield made


def asked(implementation: str, tool: str, archive: PynetdicomArchive, *line: str | Path) -> str:
    """Run a client to its good end; what it said."""
    address = ["127.0.0.1", str(archive.port)]
    done = run_tool(implementation, tool, [*address, *line])
    assert done.code == 0, done.stderr
    return done.stderr


# ---- Against pynetdicom's server


@pytest.mark.parametrize("model", ["-S", "-P", "-O"])
def test_finds(model: str, archive: PynetdicomArchive, tmp_path: Path) -> None:
    """The same responses, extracted."""
    found = {}
    for implementation in ("dcmtk", "dcmfast"):
        folder = tmp_path / implementation
        folder.mkdir()
        asked(implementation, "findscu", archive, model, "-X", "-od", folder, *WANTED,
              *keys(PatientName="", SOPInstanceUID=""))  # fmt: skip
        files = sorted(folder.iterdir())
        found[implementation] = [list(pydicom.dcmread(file)) for file in files]
    assert found["dcmfast"] == found["dcmtk"]
    assert len(found["dcmfast"]) == 2


@pytest.mark.parametrize("tool", ["getscu", "movescu"])
def test_retrieves(tool: str, archive: PynetdicomArchive, port: int, tmp_path: Path) -> None:
    """The same files with the same data sets."""
    found = {}
    for implementation in ("dcmtk", "dcmfast"):
        folder = tmp_path / implementation
        folder.mkdir()
        receiving = ["+P", str(port)] if tool == "movescu" else []
        asked(implementation, tool, archive, "-S", *receiving, "-od", folder, *WANTED)
        found[implementation] = {
            file.name: pydicom.dcmread(file) for file in sorted(folder.iterdir())
        }
    assert found["dcmfast"] == found["dcmtk"]
    assert len(found["dcmfast"]) == 2


@BOTH
def test_stores(implementation: str, tmp_path: Path) -> None:
    """What pynetdicom gets is what was in the file."""
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(OBJECTS[0]))
    with pynetdicom_archive() as archive:
        asked(implementation, "storescu", archive, path)
        asked(implementation, "echoscu", archive)
        assert archive.objects == [pydicom.dcmread(path)]


def test_a_failure_is_told(archive: PynetdicomArchive) -> None:
    """A destination that pynetdicom does not know; a query without a level."""
    address = ["127.0.0.1", str(archive.port), "-S"]
    moved = run_tool("dcmfast", "movescu", [*address, "-aem", "NOBODY", *WANTED])
    assert moved.code == 69
    assert "does not know destination NOBODY" in moved.stderr
    found = run_tool("dcmfast", "findscu", [*address, "-k", "PatientID"])
    assert found.code == 1
    assert "the query failed: Error: DataSetDoesNotMatchSOPClass" in found.stderr


# ---- How an identifier is written


def identifiers(tool: str, *line: str, transfer_syntax: str, **environment: str) -> list[bytes]:
    """What DCMTK's tool and ours send for one command line."""
    found = []

    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax=transfer_syntax)
        request = peer.expect_request()
        assert request.data is not None
        found.append(request.data)
        peer.respond(request, 0, counts=(None, 1, 0, 0) if tool == "movescu" else ())
        peer.expect_release()

    with ScriptedServer(play, play) as server:
        for implementation in ("dcmtk", "dcmfast"):
            typed = ["127.0.0.1", str(server.port), *line]
            done = run_tool(implementation, tool, typed, environment=environment)
            assert done.code == 0, done.stderr
    return found


@pytest.mark.parametrize("tool", ["findscu", "movescu"])
@pytest.mark.parametrize("option", ["+u", "-u"])
def test_new_vrs(tool: str, option: str) -> None:
    """``--disable-new-vr``: UT and the like are sent as OB, as DCMTK sends them."""
    line = ["-P", option, *keys("PATIENT", PatientID="1", TextValue="abc")]
    theirs, ours = identifiers(tool, *line, transfer_syntax=pdu.EXPLICIT)
    assert ours == theirs
    assert (b"OB" if option == "-u" else b"UT") in ours


@pytest.mark.parametrize("tool", ["findscu", "movescu"])
@pytest.mark.parametrize("level", ["0", "1", "9"])
def test_compression_level(tool: str, level: str) -> None:
    """``+cl`` with ``-xd``: another size, the same content."""
    line = ["-P", "-xd", "+cl", level, *keys("PATIENT", PatientID="1" * 60)]
    sent = identifiers(tool, *line, transfer_syntax=pdu.DEFLATED)
    theirs, ours = (zlib.decompress(one, -15) for one in sent)
    assert ours == theirs
    assert all((b"1" * 60 in one) == (level == "0") for one in sent)


@pytest.mark.parametrize("tool", ["findscu", "movescu", "getscu"])
def test_names_of_a_dictionary_of_ones_own(tool: str, tmp_path: Path) -> None:
    """``DCMDICTPATH`` takes the place of the built-in dictionary, for keys as well."""
    dictionary = tmp_path / "own.dic"
    dictionary.write_text(
        "(0008,0052)\tCS\tLevel\t1\town\n(0010,0020)\tLO\tWho\t1\town\n"
        "(0099,1001)\tLO\tOursAlone\t1\town\n"
    )
    # DCMTK cannot build a command without names for its elements.
    whole = next(Path("/usr/share").glob("libdcmtk*/dicom.dic"))
    variables = {"DCMDICTPATH": f"{whole}:{dictionary}"}
    line = ["-P", "-k", "Level=PATIENT", "-k", "Who=1", "-k", "OursAlone=2", "-k", "0010,0020=3"]
    theirs, ours = identifiers(tool, *line, transfer_syntax=pdu.EXPLICIT, **variables)
    assert ours == theirs
    assert struct.pack("<HH2sH", 0x0099, 0x1001, b"LO", 2) + b"2 " in ours
    unknown = ["127.0.0.1", str(free_port()), "-P", "-k", "PatientID=1"]
    done = run_tool("dcmfast", tool, unknown, environment={"DCMDICTPATH": str(dictionary)})
    assert done.code == 1
    assert "not found in dictionary: PatientID" in done.stderr


# ---- At a terminal


def at_terminal(line: list[str], folder: Path) -> tuple[int, str]:
    """Run one of our tools with a terminal as its standard error: exit code, what was shown."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*command("dcmfast", line[0]), *line[1:]], stdin=subprocess.DEVNULL, stderr=theirs,
            stdout=subprocess.DEVNULL, cwd=folder, env=child_environment(TERM="xterm"),
        )  # fmt: skip
    finally:
        os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # what a terminal says when its last user is gone
        pass
    os.close(ours)
    return process.wait(SOON_S), shown.decode("utf-8", "replace")


@pytest.mark.parametrize("tool", ["movescu", "getscu"])
def test_progress_of_sub_operations(tool: str, tmp_path: Path) -> None:
    """A bar with done and all; with ``-q`` and ``-v`` there is none; the cursor comes back."""

    def play(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        for done in range(1, 8):
            peer.respond(request, 0xFF00, counts=(8 - done, done, 0, 0))
        peer.respond(request, 0, counts=(None, 8, 0, 0))
        peer.expect_release()

    with ScriptedServer(play, play, play) as server:
        line = [tool, "-P", "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        code, shown = at_terminal(line, tmp_path)
        assert code == 0
        assert ("moving" if tool == "movescu" else "getting") in shown
        assert re.search(r"\d/8", shown), shown
        assert shown.rstrip().endswith("\x1b[?25h") or "\x1b[?25l" not in shown
        assert at_terminal([*line, "-q"], tmp_path) == (0, "")
        code, shown = at_terminal([*line, "-v"], tmp_path)
        assert (code, "/8" in shown) == (0, False)


# ---- Peers that take their time


@pytest.mark.parametrize("tool", ["findscu", "movescu", "getscu"])
def test_ctrl_c_ends_a_wait_without_a_traceback(tool: str, tmp_path: Path) -> None:
    """At once, as DCMTK's: by the signal."""
    asked_for, ended = threading.Event(), threading.Event()

    def play(peer: Conversation) -> None:
        peer.accept()
        peer.expect_request()
        asked_for.set()
        assert ended.wait(SOON_S)

    with ScriptedServer(play) as server:
        line = ["-P", "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        process = subprocess.Popen(
            [*command("dcmfast", tool), *line], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, cwd=tmp_path, env=child_environment(),
        )  # fmt: skip
        assert asked_for.wait(SOON_S)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SOON_S)
        ended.set()
    assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert b"Traceback" not in said


@pytest.mark.parametrize(("tool", "code"), [("findscu", 1), ("movescu", 69), ("getscu", 1)])
def test_a_dribbling_peer_meets_the_timeout(tool: str, code: int, tmp_path: Path) -> None:
    """One byte after the other of a response that never gets complete."""

    def play(peer: Conversation) -> None:
        peer.accept()
        peer.expect_request()
        head = struct.pack(">BBL", pdu.P_DATA_TF, 0, 16000)
        rest = threading.Event()
        try:
            for byte in head + bytes(16000):
                peer.send(bytes([byte]))
                if rest.wait(0.1):
                    return
        except OSError:
            pass

    with ScriptedServer(play) as server:
        line = ["-P", "-td", "1", "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        done = run_tool("dcmfast", tool, line, cwd=tmp_path, within_s=SOON_S)
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("tool", "code"), [("findscu", 1), ("movescu", 69)])
def test_pending_without_end_after_a_cancel(tool: str, code: int) -> None:
    """A peer that does not stop: with ``--dimse-timeout`` it has that long to end."""

    def play(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        try:
            while True:
                peer.respond(request, 0xFF00, counts=(1, 1, 0, 0) if tool == "movescu" else ())
        except OSError:
            pass

    with ScriptedServer(play) as server:
        line = ["-P", "-td", "1", "--cancel", "3", "127.0.0.1", str(server.port), "-k", "PatientID"]
        done = run_tool("dcmfast", tool, ["-q", *line], within_s=SOON_S)
    assert done.code == code


# ---- Waits and sizes


@contextlib.contextmanager
def full_queue() -> Iterator[int]:
    """A port whose queue of connections is full, so that the kernel answers no more."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[1]


CODES = [("findscu", 2), ("movescu", 61), ("getscu", 1)]


@pytest.mark.parametrize(("tool", "code"), CODES)
def test_acse_timeout(tool: str, code: int) -> None:
    """``-ta``: a peer that takes the connection and says nothing."""
    ended = threading.Event()

    def silent(peer: Conversation) -> None:
        peer.expect_associate_rq()
        assert ended.wait(SOON_S)

    with ScriptedServer(silent) as server:
        line = ["-P", "-ta", "1", "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        done = run_tool("dcmfast", tool, line, within_s=SOON_S)
        ended.set()
    assert done.code == code, done.stderr
    assert "DUL network read timeout" in done.stderr


@pytest.mark.parametrize(("tool", "code"), CODES)
def test_connection_timeout(tool: str, code: int) -> None:
    """``-to``: a peer that does not answer at all."""
    with full_queue() as port:
        line = ["-P", "-to", "1", "127.0.0.1", str(port), "-k", "PatientID=1"]
        done = run_tool("dcmfast", tool, line, within_s=SOON_S)
    assert done.code == code, done.stderr
    assert "TCP Initialization Error" in done.stderr


@pytest.mark.parametrize("tool", ["findscu", "movescu", "getscu", "echoscu"])
def test_ctrl_c_ends_a_connection_that_does_not_come(tool: str) -> None:
    """The system would wait for two minutes; ``-d`` says when it begins."""
    with full_queue() as port:
        line = ["-d", "127.0.0.1", str(port), *([] if tool == "echoscu" else ["-k", "PatientID"])]
        process = subprocess.Popen(
            [*command("dcmfast", tool), *line], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, env=child_environment(),
        )  # fmt: skip
        assert process.stderr is not None
        told = b""
        while b"Requesting Association" not in told:
            told += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=SOON_S)
    assert process.returncode == -signal.SIGINT
    assert b"Traceback" not in told + rest


def test_socket_timeout() -> None:
    """``-ts`` of findscu: silence after the request."""
    ended = threading.Event()

    def silent(peer: Conversation) -> None:
        peer.accept()
        peer.expect_request()
        assert ended.wait(SOON_S)

    with ScriptedServer(silent) as server:
        line = ["-P", "-ts", "1", "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        done = run_tool("dcmfast", "findscu", line, within_s=SOON_S)
        ended.set()
    assert done.code == 1, done.stderr


@pytest.mark.parametrize("tool", ["findscu", "movescu", "getscu"])
def test_max_pdu(tool: str) -> None:
    """``-pdu`` is what the request announces, as DCMTK's."""
    announced = []

    def refuse(peer: Conversation) -> None:
        _, body = peer.expect_pdu(pdu.ASSOCIATE_RQ)
        for kind, value in pdu.read_items(body[68:]):
            if kind == 0x50:
                announced.append(dict(pdu.read_items(value))[0x51])
        peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, 1, 1, 7])))

    with ScriptedServer(refuse, refuse) as server:
        for implementation in ("dcmtk", "dcmfast"):
            line = ["-P", "-pdu", "4096", "127.0.0.1", str(server.port), "-k", "PatientID=1"]
            run_tool(implementation, tool, line)
    assert announced == [struct.pack(">L", 4096)] * 2


@pytest.mark.parametrize(
    ("tool", "codes"), [("findscu", (2, 2)), ("movescu", (67, 67)), ("getscu", (0, 1))]
)
def test_a_release_that_fails(tool: str, codes: tuple[int, int]) -> None:
    """The peer closes instead: DCMTK's line and code, but that of getscu (D9)."""

    def play(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        peer.respond(request, 0, counts=() if tool == "findscu" else (None, 1, 0, 0))
        peer.expect_pdu(pdu.RELEASE_RQ)

    with ScriptedServer(play, play) as server:
        line = ["-P", "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        both = [run_tool(one, tool, line) for one in ("dcmtk", "dcmfast")]
    assert tuple(one.code for one in both) == codes
    theirs, ours = (one.stderr.splitlines() for one in both)
    (said,) = (line for line in ours if "dcmfast." in line)
    ours.remove(said)
    assert ours == theirs[: len(ours)]
    assert said.endswith("the release was not answered: it closed the connection")


# ---- Bad input


@pytest.mark.parametrize(("tool", "code"), CODES)
def test_who_cannot_be_reached(tool: str, code: int) -> None:
    """An unknown host, a port that nobody listens on: a line, and the manual's exit code."""
    for host, port, said in (
        ("no.such.host.invalid", 104, "unknown host: no.such.host.invalid"),
        ("127.0.0.1", free_port(), "TCP Initialization Error: Connection refused"),
    ):
        done = run_tool("dcmfast", tool, ["-P", host, str(port), "-k", "PatientID=1"])
        assert done.code == code
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("tool", ["findscu", "movescu", "getscu"])
@pytest.mark.parametrize(
    "key", ["NoSuchName=1", "0009,1001=1", "Rows=x", "0010", "(0010,0020=1", "a[0].b=1", "=1"]
)
def test_keys_that_are_none(tool: str, key: str) -> None:
    """Refused before anybody is called."""
    done = run_tool("dcmfast", tool, ["-P", "127.0.0.1", "9", "-k", key])
    assert done.code == 1
    assert "\nerror: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"", b"no DICOM at all, but text", b"\xff" * 3000])
@pytest.mark.parametrize(("tool", "code"), [("findscu", 1), ("movescu", 69), ("getscu", 1)])
def test_query_files_that_are_none(tool: str, code: int, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "query"
    file.write_bytes(content)

    def play(peer: Conversation) -> None:
        peer.accept()
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(play) as server:
        done = run_tool("dcmfast", tool, ["-P", "127.0.0.1", str(server.port), file])
    assert done.code == code
    assert f"ad DICOM file: {file}: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["-v", "--json", "-X", "-Xx", "-Xs"])
@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 30,
        b"\x10\x00\x20\x00LO\x40\x00ID",
        b"\x08\x00\x06\x00SQ\0\0\x10\0\0\0abc",
        b"\x10",
    ],
    ids=["noise", "cut", "a sequence that lies", "one byte"],
)
def test_responses_that_are_no_data_sets(option: str, data: bytes, tmp_path: Path) -> None:
    """Told, kept nowhere, and no success; the responses around them count as ever."""
    good = b"\x10\x00\x20\x00LO\x02\x001 "

    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        for one in (good, data, good):
            peer.respond(request, 0xFF00, data=one)
        peer.respond(request, 0)
        peer.expect_release()

    with ScriptedServer(play) as server:
        options = ["-Xs", "all.xml"] if option == "-Xs" else [option]
        line = ["-P", *options, "127.0.0.1", str(server.port), "-k", "PatientID"]
        done = run_tool("dcmfast", "findscu", line, cwd=tmp_path)
    assert done.code == 1
    assert "E: dcmfast.findscu: response 2 is no data set: " in done.stderr
    assert "Traceback" not in done.stderr
    names = sorted(one.name for one in tmp_path.iterdir())
    if option in ("-X", "-Xx"):
        suffix = "dcm" if option == "-X" else "xml"
        assert names == [f"rsp0001.{suffix}", f"rsp0003.{suffix}"]
    if option == "-Xs":
        assert (tmp_path / "all.xml").read_text().count("<data-set") == 2
    if option == "--json":
        assert len(json.loads(done.stdout)) == 2


@pytest.mark.parametrize(("tool", "code"), [("movescu", 68), ("getscu", 1)])
def test_a_success_with_failed_sub_operations(tool: str, code: int) -> None:
    """Told, and no 0: PS3.4 §C.4.2.1.5 has a warning for it."""

    def play(peer: Conversation) -> None:
        peer.accept()
        peer.respond(peer.expect_request(), 0, counts=(None, 4, 2, 0))
        peer.expect_release()

    with ScriptedServer(play) as server:
        done = run_tool("dcmfast", tool, ["-P", "127.0.0.1", str(server.port), "-k", "PatientID"])
    assert done.code == code
    assert f"W: dcmfast.{tool}: " in done.stderr
    assert "2 failed" in done.stderr or "2 objects failed" in done.stderr
    assert "which the peer calls a success" in done.stderr


HALF = [
    ("cut in the middle", OBJECTS[1].data_set[: len(OBJECTS[1].data_set) // 2], False, None),
    ("ends within an element", OBJECTS[1].data_set[:-3], True, 0xC000),
    ("no data set", b"\xff" * 100, True, 0xC000),
]


def send_half(peer: ScriptedPeer, context_id: int, data: bytes, *, is_last: bool) -> None:
    """The second object of a series, as far as it goes."""
    command = pdu.c_store_rq(make.CT, OBJECTS[1].sop_instance_uid, 7)
    peer.send(pdu.p_data(pdu.pdv(context_id, command, command=True)))
    for at in range(0, len(data), 8000):
        part = data[at : at + 8000]
        last = is_last and at + 8000 >= len(data)
        peer.send(pdu.p_data(pdu.pdv(context_id, part, command=False, last=last)))


@pytest.mark.parametrize(("name", "data", "is_last", "status"), HALF, ids=[one[0] for one in HALF])
@pytest.mark.parametrize(("tool", "code"), [("movescu", 69), ("getscu", 1)])
def test_what_was_received_stays_whole(
    tool: str, code: int, name: str, data: bytes, is_last: bool, status: int | None, tmp_path: Path
) -> None:
    """One object comes, the next one does not quite: one file, and no part of another."""
    listens = free_port()

    def deliver(peer: ScriptedPeer, context_id: int) -> None:
        first = OBJECTS[0]
        assert peer.store(context_id, make.CT, first.sop_instance_uid, first.data_set) == 0
        send_half(peer, context_id, data, is_last=is_last)
        if status is not None:
            assert peer.expect_status(status) == status
        peer.socket.close()

    def play(peer: Conversation) -> None:
        roles = pdu.item(0x54, struct.pack(">H", len(make.CT)) + make.CT.encode() + b"\0\1")
        peer.accept(extra=roles if tool == "getscu" else b"")
        request = peer.expect_request()
        if tool == "getscu":
            classes = peer.proposed.contexts.items()
            deliver(peer, next(number for number, (uid, _) in classes if uid == make.CT))
            return
        with ScriptedPeer(listens) as other:
            other.associate()
            deliver(other, 3)
        peer.respond(request, 0xA702, counts=(None, 1, 1, 0))
        peer.expect_release()

    with ScriptedServer(play) as server:
        receiving = ["+P", str(listens)] if tool == "movescu" else []
        line = ["-P", *receiving, "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        done = run_tool("dcmfast", tool, line, cwd=tmp_path)
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr
    (file,) = tmp_path.iterdir()
    assert pydicom.dcmread(file).SOPInstanceUID == OBJECTS[0].sop_instance_uid
