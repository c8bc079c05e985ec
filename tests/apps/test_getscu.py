"""``dcmfast getscu``: options and ends, beside DCMTK's, against its server and scripted ones."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from testkit import pdu
from testkit.archive import Archive, keys, start_archive
from testkit.cases import BOTH
from testkit.kinds import StartReceiver
from testkit.process import Finished, free_port, run_tool
from testkit.scripted_scp import Conversation, Message, ScriptedServer, uid_list
from vectors import make


@pytest.fixture(scope="module", params=["dcmfast", "dcmtk"])
def archive(
    request: pytest.FixtureRequest,
    shared_scp: StartReceiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Archive:
    """An archive of either implementation with three CT objects."""
    made = start_archive(
        shared_scp, tmp_path_factory.mktemp("archive"), implementation=request.param
    )
    assert made.store(*(make.ct(number) for number in range(3))).code == 0
    return made


def got(
    implementation: str,
    archive: Archive,
    folder: Path,
    *options: str,
    query: list[str] | None = None,
) -> Finished:
    asked = keys("STUDY", StudyInstanceUID="") if query is None else query
    line = ["-S", "-aec", "QR", *options, "localhost", str(archive.server.port), *asked]
    return run_tool(implementation, "getscu", line, cwd=folder)


def plain(text: str) -> list[str]:
    return [line for line in text.splitlines() if "dcmfast." not in line]


def test_objects_come(archive: Archive, tmp_path: Path) -> None:
    """The same files and lines as DCMTK's."""
    seen = {}
    for implementation in ("dcmtk", "dcmfast"):
        folder = tmp_path / implementation
        folder.mkdir()
        done = got(implementation, archive, folder, "-v")
        assert done.code == 0, done.stderr
        heads = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
        seen[implementation] = (
            [file.name for file in sorted(folder.iterdir())],
            plain(done.stderr),
            [str(list(one)) for one in heads],
            [(0x0002, 0x0016) in one.file_meta for one in heads],
        )
    assert seen["dcmfast"] == seen["dcmtk"]
    assert len(seen["dcmfast"][0]) == 3


@BOTH
def test_a_success_is_silent(implementation: str, archive: Archive, tmp_path: Path) -> None:
    done = got(implementation, archive, tmp_path)
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    again = got(implementation, archive, tmp_path, "--repeat", "2")
    assert again.stderr.count("W: DICOM file already exists, overwriting: ") == 6


@BOTH
@pytest.mark.parametrize(("options", "count"), [(["--ignore"], 0), (["+B"], 3), (["+xi"], 3)])
def test_what_is_stored(
    implementation: str, options: list[str], count: int, archive: Archive, tmp_path: Path
) -> None:
    done = got(implementation, archive, tmp_path, *options)
    assert (done.code, done.stderr) == (0, "")
    files = sorted(tmp_path.iterdir())
    assert len(files) == count
    # DCMTK's archive and getscu agree on another one all the same.
    if options == ["+xi"] and implementation == "dcmfast":
        assert pydicom.dcmread(files[0]).file_meta.TransferSyntaxUID == pdu.IMPLICIT


def test_a_failure_is_not_0(archive: Archive, tmp_path: Path) -> None:
    """As DCMTK says it, but with exit code 1 (D9)."""
    asked = keys("FOO", StudyInstanceUID="")
    dcmtk = got("dcmtk", archive, tmp_path, query=asked)
    ours = got("dcmfast", archive, tmp_path, query=asked)
    assert (dcmtk.code, ours.code) == (0, 1)
    assert plain(ours.stderr) == dcmtk.stderr.splitlines()


@BOTH
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-k", "PatientID", "--ignore", "-B"], "--normal not allowed with --ignore"),
        (["-k", "PatientID", "+B", "--ignore"], "--bit-preserving not allowed with --ignore"),
        (["-k", "PatientID", "+B", "-B"], "--normal not allowed with --bit-preserving"),
        (
            ["-k", "PatientID", "-od", ".", "--ignore"],
            "--output-directory not allowed with --ignore",
        ),
        (["-k", "PatientID", "-od", "/nowhere"], "F: specified output directory does not exist"),
        (["-k", "PatientID"], "F: Could not negotiate association: TCP Initialization Error: Con"),
        ([], "either query file or override keys (or both) must be specified"),
    ],
)
def test_starts_that_fail(implementation: str, arguments: list[str], text: str) -> None:
    line = ["127.0.0.1", str(free_port()), *arguments]
    done = run_tool(implementation, "getscu", line)
    assert done.code == 1
    assert text in done.stderr


def sent(peer: Conversation, one: make.SyntheticObject) -> None:
    """One C-STORE of the peer's over the association of the C-GET."""
    context_id = next(
        number for number, (uid, _) in peer.proposed.contexts.items() if uid == one.sop_class_uid
    )
    assert peer.proposed.roles[one.sop_class_uid] == (0, 1)
    assert peer.store(context_id, one.sop_class_uid, one.sop_instance_uid, one.data_set) == 0


def accept_roles(peer: Conversation) -> None:
    uid = make.CT.encode()
    peer.accept(extra=pdu.item(0x54, struct.pack(">H", len(uid)) + uid + b"\0\1"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (lambda peer, rq: peer.respond(rq, 0, message_id=9), "response to message 9, where 1 was"),
        (lambda peer, rq: peer.respond(rq, 0, command_field=0x8021), "C-MOVE RSP, where C-GET RQ"),
        (lambda peer, _: peer.socket.close(), "the peer ended the association before its answer"),
        (lambda peer, _: peer.send(pdu.release_rq()), "the peer ended the association before"),
        (
            lambda peer, rq: (
                peer.respond(
                    rq,
                    0xA702,
                    counts=(None, 1, 1, 0),
                    comment=b"no",
                    data=uid_list((8, 0x58), "1.2.3"),
                ),
                peer.expect_release(),
            ),
            "E: dcmfast.getscu: failed: 1.2.3",
        ),
    ],
)
def test_nonsense(
    script: Callable[[Conversation, Message], object], said: str, tmp_path: Path
) -> None:
    """What came before stays a whole file."""

    def play(peer: Conversation) -> None:
        accept_roles(peer)
        request = peer.expect_request()
        sent(peer, make.ct(1))
        peer.respond(request, 0xFF00, counts=(1, 1, 0, 0))
        script(peer, request)

    with ScriptedServer(play) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID=1"]
        done = run_tool("dcmfast", "getscu", line, cwd=tmp_path)
    assert (done.code, "Traceback" in done.stderr) == (1, False), done.stderr
    assert said in done.stderr
    (file,) = tmp_path.iterdir()
    assert pydicom.dcmread(file).SOPInstanceUID == make.ct(1).sop_instance_uid


def test_no_answer_within_the_timeout(tmp_path: Path) -> None:
    def script(peer: Conversation) -> None:
        accept_roles(peer)
        peer.expect_request()
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(script) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID=1", "-td", "1"]
        done = run_tool("dcmfast", "getscu", line, cwd=tmp_path)
    assert done.code == 1
    assert "the peer did not answer in time" in done.stderr


def test_requests_where_responses_are_due(tmp_path: Path) -> None:
    """A peer that asks instead of answering would hold us for ever: A-ABORT, with a line."""

    def play(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        command = pdu.c_echo_rq(7)
        peer.send(pdu.p_data(pdu.pdv(request.context_id, command, command=True)))
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(play) as server:
        line = ["-P", "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        done = run_tool("dcmfast", "getscu", line, cwd=tmp_path)
    assert done.code == 1
    assert "C-ECHO RQ where a response was due" in done.stderr


def test_an_identifier_without_end(tmp_path: Path) -> None:
    """A response's data set beyond the bound is ended there, not read as long as it comes."""

    def play(peer: Conversation) -> None:
        accept_roles(peer)
        request = peer.expect_request()
        sent(peer, make.ct(1))
        peer.respond(request, 0xFF00, counts=(1, 1, 0, 0), announces=True)
        portion = pdu.p_data(pdu.pdv(request.context_id, bytes(16000), last=False))
        while True:
            peer.send(portion)

    with ScriptedServer(play) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID=1"]
        done = run_tool("dcmfast", "getscu", line, cwd=tmp_path)
    assert done.code == 1
    assert "a response with more than 2097152 bytes" in done.stderr
    (file,) = tmp_path.iterdir()
    assert pydicom.dcmread(file).SOPInstanceUID == make.ct(1).sop_instance_uid


@pytest.mark.parametrize("behind", ["pending", "final", "release", "abort"])
def test_what_shares_a_segment_with_the_final_response(behind: str, tmp_path: Path) -> None:
    """The request is done, whatever stands behind its end.

    A response answers nothing there, and comes too late to say anything (PS3.8 Table 9-7, AR-6);
    a release meets ours (AR-8); after an abort ours fails, which is told.
    """

    def play(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        parts: list[bytes] = []
        send, peer.send = peer.send, lambda *data: parts.extend(data)  # type: ignore[method-assign]
        peer.respond(request, 0, counts=(None, 0, 0, 0))
        if behind == "release":
            peer.send(pdu.release_rq())
        elif behind == "abort":
            peer.send(pdu.pdu(pdu.ABORT, bytes(4)))
        else:
            status = 0xFF00 if behind == "pending" else 0
            peer.respond(request, status, counts=(1, 0, 0, 0))
        peer.send = send  # type: ignore[method-assign]
        peer.send(b"".join(parts))
        if behind == "release":
            peer.expect_pdu(pdu.RELEASE_RQ)
            peer.expect_pdu(pdu.RELEASE_RP)
            peer.send(pdu.pdu(pdu.RELEASE_RP, bytes(4)))
        elif behind != "abort":
            peer.expect_release()

    with ScriptedServer(play) as server:
        line = ["-v", "-P", "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        done = run_tool("dcmfast", "getscu", line, cwd=tmp_path)
    assert "I: Received C-GET Response (Success)" in done.lines
    assert ("Association Release Failed" in done.stderr) == (behind == "abort")
    assert done.code == (1 if behind == "abort" else 0)


def test_roles_are_shown_as_dcmtk_shows_them(archive: Archive, tmp_path: Path) -> None:
    """``-d``: what was proposed for each context, and what was accepted."""
    seen = {}
    for implementation in ("dcmtk", "dcmfast"):
        done = got(implementation, archive, tmp_path, "-d")
        lines = [line.strip() for line in done.stderr.splitlines()]
        seen[implementation] = [line for line in lines if "SCP/SCU Role" in line]
    # Ours proposes three SOP classes more; both begin with the model, which has no role.
    assert seen["dcmfast"][:100] == seen["dcmtk"][:100]
    assert set(seen["dcmfast"]) == set(seen["dcmtk"])
    assert any("Accepted SCP/SCU Role: SCP" in line for line in seen["dcmfast"])
