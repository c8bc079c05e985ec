"""``dcmfast findscu``: options and ends, beside DCMTK's, against its server and scripted ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from testkit import pdu
from testkit.archive import Archive, keys, start_archive
from testkit.cases import BOTH
from testkit.kinds import StartReceiver
from testkit.process import Finished, free_port, run_tool
from testkit.scripted_scp import Conversation, Message, ScriptedServer
from vectors import make

ASKED = keys("STUDY", StudyInstanceUID="", PatientName="", StudyDate="", PatientID="")


@pytest.fixture(scope="module", params=["dcmfast", "dcmtk"])
def archive(
    request: pytest.FixtureRequest,
    shared_scp: StartReceiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Archive:
    """An archive of either implementation with two studies."""
    made = start_archive(
        shared_scp, tmp_path_factory.mktemp("archive"), implementation=request.param
    )
    assert made.store(make.ct(1), make.ct(2, study=2, patient_name="Jones^A")).code == 0
    return made


def found(implementation: str, archive: Archive, *options: str | Path) -> Finished:
    line = ["-S", "-aec", "QR", "localhost", str(archive.server.port), *ASKED, *options]
    return run_tool(implementation, "findscu", line)


def plain(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "dcmfast." not in line)


@pytest.mark.parametrize(
    "options",
    [
        [], ["-v"], ["-q"], ["-ll", "error"], ["-ll", "warn"], ["-sr"], ["-v", "-sr"],
        ["-q", "+sr"], ["+dc"], ["-xi"], ["-xb"], ["--repeat", "2"],
        ["-P", "-k", "PatientID=*"], ["-O"], ["-v", "-k", "QueryRetrieveLevel=FOO"], ["--abort"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_said(options: list[str], archive: Archive) -> None:
    """Line for line as DCMTK's, at every level; a failure is not 0 (D9)."""
    dcmtk = found("dcmtk", archive, *options)
    ours = found("dcmfast", archive, *options)
    assert plain(ours.stderr) == dcmtk.stderr.rstrip("\n")
    assert ours.stdout == dcmtk.stdout == ""
    assert ours.code == (1 if "FOO" in str(options) else dcmtk.code)


@pytest.mark.parametrize("option", ["-X", "-Xx"])
@pytest.mark.parametrize("limit", [[], ["-Xlo", "1"]])
def test_extracted(option: str, limit: list[str], archive: Archive, tmp_path: Path) -> None:
    contents = {}
    for implementation in ("dcmtk", "dcmfast"):
        folder = tmp_path / implementation
        folder.mkdir()
        done = found(implementation, archive, option, *limit, "-od", folder)
        assert (done.code, done.stdout, done.stderr) == (0, "", "")
        files = sorted(folder.iterdir())
        contents[implementation] = [
            (file.name, read(file) if option == "-X" else file.read_text()) for file in files
        ]
    assert contents["dcmfast"] == contents["dcmtk"]
    assert len(contents["dcmfast"]) == (1 if limit else 2)


def read(file: Path) -> tuple[str, str]:
    data_set = pydicom.dcmread(file)
    return str(list(data_set)), str(data_set.file_meta.MediaStorageSOPClassUID)


def test_extracted_to_one_file(archive: Archive, tmp_path: Path) -> None:
    texts = {}
    for implementation in ("dcmtk", "dcmfast"):
        folder = tmp_path / implementation
        folder.mkdir()
        done = found(implementation, archive, "-Xs", "all.xml", "-od", folder)
        assert (done.code, done.stderr) == (0, "")
        texts[implementation] = (folder / "all.xml").read_text().rstrip()
    assert texts["dcmfast"] == texts["dcmtk"]


def test_json(archive: Archive) -> None:
    """The DICOM JSON model (PS3.18 Annex F), which pydicom reads; nothing else on either stream."""
    done = found("dcmfast", archive, "--json")
    assert (done.code, done.stderr) == (0, "")
    data_sets = [pydicom.Dataset.from_json(one) for one in json.loads(done.stdout)]
    assert {str(one.PatientName) for one in data_sets} == {"Synthetic^Patient", "Jones^A"}
    none = run_tool(
        "dcmfast", "findscu",
        ["--json", "-S", "-aec", "QR", "localhost", str(archive.server.port),
         *keys("STUDY", StudyInstanceUID="9.9")],
    )  # fmt: skip
    assert (none.code, json.loads(none.stdout)) == (0, [])
    line = ["--json", "-S", "-aec", "NOBODY", "localhost", str(archive.server.port)]
    refused = run_tool("dcmfast", "findscu", [*line, *keys("STUDY")])
    assert (refused.code, refused.stdout) == (2, "[]\n")


def test_keys_with_paths(archive: Archive) -> None:
    """Of two keys with one tag the last counts; items are made as far as a path needs."""
    typed = [
        "PatientID=1", "PatientID=2", "(0040,0100)[1].Modality=CT", "0008,1110[0].(0008,1150)=1.2",
    ]  # fmt: skip
    line = [option for text in typed for option in ("-k", text)]
    seen = {}
    for implementation in ("dcmtk", "dcmfast"):

        def script(peer: Conversation, into: str = implementation) -> None:
            peer.accept(transfer_syntax=pdu.EXPLICIT)
            request = peer.expect_request()
            seen[into] = request.data
            peer.respond(request, 0)
            peer.expect_release()

        with ScriptedServer(script) as server:
            done = run_tool(implementation, "findscu", ["127.0.0.1", str(server.port), *line])
        assert done.code == 0, done.stderr
    assert seen["dcmfast"] == seen["dcmtk"]


@BOTH
def test_cancel(implementation: str) -> None:
    """C-CANCEL after the first response, and 0 at the end."""

    def script(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        peer.respond(request, 0xFF00, data=MATCH)
        cancel = peer.expect_request()
        assert pdu.value_us(cancel.command, pdu.COMMAND_FIELD) == pdu.C_CANCEL_RQ
        assert pdu.value_us(cancel.command, pdu.RESPONDED_ID) == request.message_id
        peer.respond(request, 0xFE00)
        peer.expect_release()

    with ScriptedServer(script) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID", "--cancel", "1", "-v"]
        done = run_tool(implementation, "findscu", line)
    assert done.code == 0, done.stderr
    assert "I: Sending Cancel Request (MsgID 1, PresID 1)" in done.stderr
    assert "Response (Cancel: MatchingTerminatedDueToCancelRequest)" in done.stderr


@BOTH
def test_worklist_is_the_default(implementation: str) -> None:
    def script(peer: Conversation) -> None:
        syntaxes = [pdu.EXPLICIT, pdu.BIG_ENDIAN, pdu.IMPLICIT]
        assert peer.expect_associate_rq().contexts == {1: ("1.2.840.10008.5.1.4.31", syntaxes)}
        peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, 1, 1, 7])))

    with ScriptedServer(script) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID"]
        done = run_tool(implementation, "findscu", line)
    assert done.code == 2
    assert done.stderr.startswith("E: Association Rejected:\nE: Result: Rejected Permanent")


@BOTH
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 1, "either query file or override keys (or both) must be specified"),
        (["missing.dcm"], 1, "cannot access file: missing.dcm"),
        (["-k", "PatientID", "-Xlo", "1"], 1, "--limit-output only allowed with --extract, "),
        (["-k", "PatientID"], 2, "E: Association Request Failed: 0006:031c TCP Initialization"),
        (["-k", "PatientID", "-X", "-od", "/nowhere"], 1, "specified output directory does not"),
    ],
)
def test_starts_that_fail(
    implementation: str, arguments: list[str], code: int, text: str, tmp_path: Path
) -> None:
    closed = ["127.0.0.1", str(free_port())]
    done = run_tool(implementation, "findscu", [*closed, *arguments], cwd=tmp_path)
    assert done.code == code, done.stderr
    assert text in done.stderr


def test_a_key_that_is_none_is_refused_before_connecting() -> None:
    """DCMTK connects first and ends with 0 (D9)."""
    done = run_tool("dcmfast", "findscu", ["127.0.0.1", "9", "-k", "Foo=1"])
    assert done.code == 1
    assert "bad key format or dictionary name not found in dictionary: Foo" in done.stderr


MATCH = b"\x10\x00\x20\x00LO\x04\x00ID1 "


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (lambda peer, rq: peer.respond(rq, 0, message_id=9), "response to message 9, where 1 was"),
        (lambda peer, rq: peer.respond(rq, 0, command_field=0x8021), "C-MOVE RSP, where C-FIND RQ"),
        (
            lambda peer, rq: (peer.respond(rq, 0xFF00, data=MATCH), peer.socket.close()),
            "the peer ended the association before its answer",
        ),
        (lambda peer, _: peer.send(pdu.release_rq()), "Peer requested release (Aborting)"),
        (lambda peer, _: peer.send(pdu.p_data(pdu.pdv(1, b"x", command=False))), "without a comm"),
        (
            lambda peer, rq: (
                peer.respond(rq, 0xFF00, data=b"\xff" * 30),
                peer.respond(rq, 0xA700),
                peer.expect_release(),
            ),
            "the query failed: Refused: OutOfResources",
        ),
    ],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_nonsense(
    script: Callable[[Conversation, Message], object], said: str, is_json: bool
) -> None:
    """A clear line, exit code 1, and JSON that is whole whatever the peer does."""

    def play(peer: Conversation) -> None:
        peer.accept()
        script(peer, peer.expect_request())

    with ScriptedServer(play) as server:
        options = ["--json"] if is_json else []
        line = ["127.0.0.1", str(server.port), "-k", "PatientID", *options]
        done = run_tool("dcmfast", "findscu", line)
    assert (done.code, "Traceback" in done.stderr) == (1, False), done.stderr
    assert said in done.stderr
    if is_json:
        assert len(json.loads(done.stdout)) <= 1


def test_no_answer_within_the_timeout() -> None:
    def script(peer: Conversation) -> None:
        peer.accept()
        peer.expect_request()
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(script) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID", "-td", "1"]
        done = run_tool("dcmfast", "findscu", line)
    assert done.code == 1
    assert "E: Find SCU Failed: 0006:0207 DIMSE No data available" in done.stderr


def test_text_is_shown_as_its_character_set_says_and_moves_no_cursor() -> None:
    name = b"M\xfcller^\x1b[2J"
    data = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100" + b"\x10\x00\x10\x00PN\x0c\x00" + name + b" "

    def script(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        peer.respond(request, 0xFF00, data=data)
        peer.respond(request, 0)
        peer.expect_release()

    with ScriptedServer(script) as server:
        done = run_tool("dcmfast", "findscu", ["127.0.0.1", str(server.port), "-k", "PatientName"])
    assert done.code == 0
    assert "[Müller^\\x1b[2J" in done.stderr


def test_pydicom_is_not_imported() -> None:
    """From start to the first answer nothing is waited for that a query does not need."""
    import subprocess
    import sys

    code = (
        "import sys; from dcmfast.apps import findscu;"
        "findscu.main(['127.0.0.1', '9', '-k', 'PatientID=1']);"
        "print([name for name in ('pydicom', 'numpy', 're', 'typing', 'logging', 'rich') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", done.stdout
