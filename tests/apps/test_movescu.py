"""``dcmfast movescu``: options and ends, beside DCMTK's, against its servers and scripted ones."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from testkit import pdu
from testkit.archive import Archive, keys, start_archive
from testkit.cases import BOTH
from testkit.kinds import StartReceiver
from testkit.process import Finished, free_port, run_tool
from testkit.scripted_scp import DESTINATION, Conversation, ScriptedServer, uid_list
from vectors import make

MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY = "1.2.826.0.1.3680043.9.3811.7.1"


@pytest.fixture(scope="module")
def port() -> int:
    """Where movescu receives; the archive knows it as MOVESCU."""
    return free_port()


@pytest.fixture(scope="module", params=["dcmfast", "dcmtk"])
def archive(
    request: pytest.FixtureRequest,
    shared_scp: StartReceiver,
    tmp_path_factory: pytest.TempPathFactory,
    port: int,
) -> Archive:
    """An archive of either implementation with three CT objects of one patient."""
    made = start_archive(
        shared_scp,
        tmp_path_factory.mktemp("archive"),
        hosts=(f"self = (MOVESCU, localhost, {port})", f"other = (OTHER, localhost, {port})"),
        implementation=request.param,
    )
    objects = [make.ct(number) for number in range(3)]
    assert made.store(*objects).code == 0
    return made


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("", 0)) as listener:
        yield listener.getsockname()[1]


def moved(
    implementation: str,
    archive: Archive,
    folder: Path,
    *options: str | Path,
    asked: list[str] | None = None,
    listens: int | None = None,
) -> Finished:
    """Run movescu, receiving in `folder` when it `listens`."""
    receiving = ["+P", str(listens), "-od", str(folder)] if listens else []
    return run_tool(
        implementation,
        "movescu",
        [
            *("-S", "-aec", "QR", *receiving, *options),
            *("localhost", str(archive.server.port)),
            *(keys("STUDY", StudyInstanceUID="") if asked is None else asked),
        ],
        cwd=folder,
    )


def plain(text: str) -> list[str]:
    """The lines of DCMTK's loggers, without what differs by nature."""
    lines = [line for line in text.splitlines() if "dcmfast." not in line]
    return [re.sub(r"dcmfast|dcmtk", "", line) for line in lines]


# ---- Whole moves


def test_objects_come_here(archive: Archive, port: int, tmp_path: Path) -> None:
    """The same files, names and lines as DCMTK's, and the bytes that the archive sent."""
    seen = {}
    for implementation in ("dcmtk", "dcmfast"):
        folder = tmp_path / implementation
        folder.mkdir()
        done = moved(implementation, archive, folder, "-v", listens=port)
        assert done.code == 0, done.stderr
        files = sorted(folder.iterdir())
        heads = [pydicom.dcmread(file) for file in files]
        seen[implementation] = (
            [file.name for file in files],
            [sorted(set(plain(done.stderr)))],
            [(one.SOPInstanceUID, one.file_meta.TransferSyntaxUID) for one in heads],
            [(0x0002, 0x0016) in one.file_meta for one in heads],
            sorted(done.stdout.splitlines()),
        )
    assert seen["dcmfast"] == seen["dcmtk"]
    assert len(seen["dcmfast"][0]) == 3


@BOTH
def test_a_success_is_silent(
    implementation: str, archive: Archive, port: int, tmp_path: Path
) -> None:
    done = moved(implementation, archive, tmp_path, listens=port)
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    again = moved(implementation, archive, tmp_path, listens=port)
    assert again.code == 0
    assert again.stderr.count("W: DICOM file already exists, overwriting: ") == 3
    here = moved(implementation, archive, tmp_path, "+P", str(port))
    assert here.stderr.count("W: DICOM file already exists, overwriting: CT.") == 3


@BOTH
def test_a_third_party(
    implementation: str, archive: Archive, running_scp: StartReceiver, tmp_path: Path
) -> None:
    receiver = running_scp("storescp", port=archive.destination_port)
    done = moved(implementation, archive, tmp_path, "-aem", "DEST")
    assert (done.code, done.stderr) == (0, "")
    assert len(receiver.files()) == 3


@BOTH
def test_query_files_and_repeat(
    implementation: str, archive: Archive, port: int, tmp_path: Path
) -> None:
    """Two files twice are four requests over one association; the -k key counts for each."""
    data_set = pydicom.Dataset()
    data_set.QueryRetrieveLevel = "IMAGE"
    data_set.SOPInstanceUID = "1.2.3"
    data_set.StudyInstanceUID = data_set.SeriesInstanceUID = ""
    bare = tmp_path / "bare.dcm"
    pydicom.dcmwrite(bare, data_set, implicit_vr=True, little_endian=True)
    data_set.file_meta = pydicom.dataset.FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    data_set.file_meta.MediaStorageSOPClassUID = data_set.file_meta.MediaStorageSOPInstanceUID = (
        "1.2"
    )
    whole = tmp_path / "file.dcm"
    pydicom.dcmwrite(whole, data_set, enforce_file_format=True)
    uid = make.ct(1).sop_instance_uid
    folder = tmp_path / "out"
    folder.mkdir()
    done = moved(
        implementation, archive, folder, "-v", "--repeat", "2", "-k", f"SOPInstanceUID={uid}",
        listens=port, asked=[str(bare), str(whole)],
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert re.findall(r"Sending Move Request \(MsgID (\d)\)", done.stderr) == list("1234")
    assert done.stderr.count("Requesting Association") == 1
    assert [file.name for file in folder.iterdir()] == [f"CT.{uid}"]


@BOTH
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--ignore"], []),
        (["+B"], None),
        (["-F"], None),
    ],
)
def test_what_is_stored(
    implementation: str,
    options: list[str],
    names: list[str] | None,
    archive: Archive,
    port: int,
    tmp_path: Path,
) -> None:
    if implementation == "dcmtk" and options == ["+B"]:
        pytest.skip("DCMTK ignores --output-directory here (D8)")
    done = moved(implementation, archive, tmp_path, *options, listens=port)
    assert done.code == 0, done.stderr
    files = sorted(tmp_path.iterdir())
    if names is not None:
        assert [file.name for file in files] == names
        return
    assert len(files) == 3
    has_preamble = [file.read_bytes()[128:132] == b"DICM" for file in files]
    assert all(has_preamble) == (options != ["-F"])


# ---- Ends


@pytest.mark.parametrize(
    ("destination", "listens", "code", "said"),
    [
        ("NOBODY", False, 69, "does not know destination NOBODY"),
        ("MOVESCU", False, 69, "without --port (+P) movescu cannot receive"),
        ("CLOSED", False, 69, "could not associate with CLOSED"),
        ("OTHER", True, 0, ""),
    ],
)
def test_the_end_in_plain_words(
    destination: str,
    listens: bool,
    code: int,
    said: str,
    archive: Archive,
    port: int,
    tmp_path: Path,
) -> None:
    codes = []
    for implementation in ("dcmtk", "dcmfast"):
        done = moved(
            implementation, archive, tmp_path, "-aem", destination,
            listens=port if listens else None,
        )  # fmt: skip
        codes.append(done.code)
    assert codes == [code, code]
    assert said in done.stderr
    if code:
        assert "E: dcmfast.movescu: 0 of " in done.stderr


def test_nothing_matched_is_said_to_be_nothing(archive: Archive, tmp_path: Path) -> None:
    asked = keys("STUDY", StudyInstanceUID="9.9")
    done = moved("dcmfast", archive, tmp_path, "-v", asked=asked)
    assert done.code == 0
    assert "I: dcmfast.movescu: nothing matched" in done.stderr


def test_objects_that_are_refused_here(archive: Archive, port: int, tmp_path: Path) -> None:
    """The peer reached us and every object was refused: files from before stay."""
    assert moved("dcmfast", archive, tmp_path, listens=port).code == 0
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    other = tmp_path / "other.dcm"
    changed = make.ct(0, rows=8)
    other.write_bytes(make.part10(changed))
    for file in tmp_path.glob("CT.*"):
        file.write_bytes(file.read_bytes() + b"")
        file.write_bytes(other.read_bytes())
    done = moved("dcmfast", archive, tmp_path, "--duplicate", "reject", listens=port)
    assert done.code == 69
    assert "objects were refused here" in done.stderr
    assert sorted(before) == sorted(file.name for file in tmp_path.glob("CT.*"))


@BOTH
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["-k", "Foo=1"], 1, "bad key format or dictionary name not found in dictionary: Foo"),
        (["-k", "0009,1001=1"], 1, "unknown tag: (0009,1001)"),
        (["-k", "0028,0010=x"], 1, 'cannot put tag value: (0028,0010)="x"'),
        ([], 1, "either query file or override keys (or both) must be specified"),
        (["missing.dcm"], 1, "cannot access file: missing.dcm"),
        (["-k", "PatientID", "-od", "."], 1, "--output-directory only allowed with --port"),
        (["-k", "PatientID", "+P", "0"], 1, "Invalid value for option --port (underflow: 0)"),
        (["-k", "PatientID", "--cancel", "-1"], 1, "Invalid value for option --cancel"),
        (["-k", "PatientID", "+P", "{free}", "-od", "/nowhere"], 45, "does not exist"),
        (["-k", "PatientID", "+P", "{taken}"], 60, "cannot create network: 0006:031c"),
        (["-k", "PatientID"], 61, "F: Association Request Failed:\nF: 0006:031c TCP Init"),
        (["-P", "-k", "PatientID", "--no-port"], 61, "Association Request Failed"),
    ],
)
def test_starts_that_fail(
    implementation: str,
    arguments: list[str],
    code: int,
    text: str,
    taken_port: int,
    tmp_path: Path,
) -> None:
    ports = {"free": str(free_port()), "taken": str(taken_port)}
    typed = [one.format(**ports) for one in arguments]
    closed = ["127.0.0.1", str(free_port())]
    done = run_tool(implementation, "movescu", [*closed, *typed], cwd=tmp_path)
    assert done.code == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@BOTH
def test_unknown_host(implementation: str) -> None:
    line = ["no.such.host.invalid", "104", "-k", "PatientID=1"]
    done = run_tool(implementation, "movescu", line)
    assert done.code == 61
    assert "0006:0320 Attempt to connect to unknown host: no.such.host.invalid" in done.stderr


# ---- Peers that answer nonsense


def asked(server: ScriptedServer, *options: str, listens: int | None = None) -> Finished:
    receiving = ["+P", str(listens)] if listens else []
    line = ["127.0.0.1", str(server.port), "-k", "PatientID=1", *receiving, *options]
    done = run_tool("dcmfast", "movescu", line)
    assert "Traceback" not in done.stderr
    return done


def on_move(script: Callable[[Conversation, object], None]) -> Callable[[Conversation], None]:
    def play(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        assert request.command[DESTINATION].strip() == b"MOVESCU"
        script(peer, request)

    return play


PENDING, FINAL = (1, 1, 0, 0), (None, 2, 0, 0)


@pytest.mark.parametrize(
    ("name", "script", "code", "said"),
    [
        (
            "wrong message ID",
            lambda peer, rq: peer.respond(rq, 0, message_id=77),
            69,
            "Move SCU Failed: 0006:0317 response to message 77, where 1 was asked",
        ),
        (
            "another service",
            lambda peer, rq: peer.respond(rq, 0, command_field=0x8020),
            69,
            "C-FIND RSP, where C-MOVE RQ was asked",
        ),
        (
            "closed in the middle",
            lambda peer, rq: (peer.respond(rq, 0xFF00, counts=PENDING), peer.socket.close()),
            69,
            "the peer ended the association before its answer",
        ),
        (
            "abort in the middle",
            lambda peer, _: peer.send(pdu.abort()),
            69,
            "the peer ended the association before its answer",
        ),
        (
            "release in the middle",
            lambda peer, _: peer.send(pdu.release_rq()),
            69,
            "E: Protocol Error: Peer requested release (Aborting)",
        ),
        (
            "no PDU",
            lambda peer, _: peer.send(b"\xff" * 64),
            69,
            "E: Move SCU Failed: ",
        ),
        (
            "an unknown status",
            lambda peer, rq: (peer.respond(rq, 0x1234), peer.expect_release()),
            69,
            "W: Move response with error status (Unknown Status: 0x1234)",
        ),
        (
            "failed UIDs and a comment",
            lambda peer, rq: (
                peer.respond(
                    rq,
                    0xB000,
                    counts=(None, 1, 1, 0),
                    comment=b"one is on tape",
                    data=uid_list((8, 0x58), "1.2.3.4"),
                ),
                peer.expect_release(),
            ),
            68,
            "W: dcmfast.movescu: failed: 1.2.3.4",
        ),
        (
            "a list that lies",
            lambda peer, rq: (
                peer.respond(rq, 0xB000, counts=(None, 1, 1, 0), data=b"\xff" * 31 + b"\n"),
                peer.expect_release(),
            ),
            68,
            "W: dcmfast.movescu: 1 of 2 objects were sent, 1 failed",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else None,
)
def test_nonsense(
    name: str, script: Callable[[Conversation, object], None], code: int, said: str
) -> None:
    with ScriptedServer(on_move(script)) as server:
        done = asked(server)
    assert done.code == code, done.stderr
    assert said in done.stderr, name


@pytest.mark.parametrize(
    ("destination", "code", "said"),
    [
        ("MOVESCU", 68, "W: dcmfast.movescu: 2 of 2 objects were sent, 0 came here, which the"),
        ("OTHER", 0, ""),
    ],
)
def test_a_success_of_which_nothing_came_here(
    destination: str, code: int, said: str, port: int, tmp_path: Path
) -> None:
    """Objects for us that did not come are told; those for another title are its affair."""

    def play(peer: Conversation) -> None:
        peer.accept()
        peer.respond(peer.expect_request(), 0, counts=(None, 2, 0, 0))
        peer.expect_release()

    with ScriptedServer(play) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID=1", "+P", str(port)]
        done = run_tool("dcmfast", "movescu", [*line, "-aem", destination], cwd=tmp_path)
    assert done.code == code
    assert done.stderr.startswith(said)
    assert bool(done.stderr) == bool(code)


def test_no_answer_within_the_timeout() -> None:
    with ScriptedServer(on_move(lambda peer, _: peer.expect_abort())) as server:
        done = asked(server, "-td", "1")
    assert done.code == 69
    assert "0006:0207 DIMSE No data available" in done.stderr
    assert "the peer did not answer in time" in done.stderr


@pytest.mark.parametrize("option", ["-pi", "-pr"])
@pytest.mark.parametrize("is_sent", [True, False])
def test_data_sets_behind_pending_responses(option: str, is_sent: bool) -> None:
    """Announced ones that come are dropped by both; --pending-ignore lives without them."""
    if option == "-pr" and not is_sent:
        pytest.skip("then it waits for them, as it was told")

    def script(peer: Conversation, rq: object) -> None:
        for _ in range(2):
            data = b"\x08\x00\x05\x00CS\x00\x00" if is_sent else None
            peer.respond(rq, 0xFF00, counts=PENDING, announces=True, data=data)  # type: ignore[arg-type]
        peer.respond(rq, 0, counts=FINAL)  # type: ignore[arg-type]
        peer.expect_release()

    with ScriptedServer(on_move(script)) as server:
        done = asked(server, option, "-v")
    assert done.code == 0, done.stderr
    assert "Received Move Response 2 (Pending)" in done.stderr


@BOTH
def test_cancel(implementation: str) -> None:
    """C-CANCEL after the second response, with the message ID of the request."""

    def script(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        for _ in range(2):
            peer.respond(request, 0xFF00, counts=PENDING)
        cancel = peer.expect_request()
        assert pdu.value_us(cancel.command, pdu.COMMAND_FIELD) == pdu.C_CANCEL_RQ
        assert pdu.value_us(cancel.command, pdu.RESPONDED_ID) == request.message_id
        peer.respond(request, 0xFE00, counts=(1, 1, 0, 0))
        peer.expect_release()

    with ScriptedServer(script) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID=1", "--cancel", "2", "-v"]
        done = run_tool(implementation, "movescu", line)
    assert done.code == 0, done.stderr
    assert "I: Sending Cancel Request (MsgID 1, PresID 3)" in done.stderr
    assert "Received Final Move Response (Cancel: SubOper" in done.stderr


def test_hosts_that_may_not_send_here(archive: Archive, port: int, tmp_path: Path) -> None:
    """``--access-control``: the rules of the tool's own name hold for sub-associations."""
    allow, deny = tmp_path / "allow", tmp_path / "deny"
    allow.write_text("")
    deny.write_text("movescu: ALL\n")
    rules = {"DCMFAST_HOSTS_ALLOW": str(allow), "DCMFAST_HOSTS_DENY": str(deny)}
    folder = tmp_path / "out"
    folder.mkdir()
    line = ["-S", "-aec", "QR", "+ac", "+P", str(port), "-od", folder, "localhost"]
    asked_for = keys("STUDY", StudyInstanceUID="")
    line += [str(archive.server.port), *asked_for]
    done = run_tool("dcmfast", "movescu", line, environment=rules)
    assert done.code == 69, done.stderr
    assert "but no association" in done.stderr
    assert list(folder.iterdir()) == []


@BOTH
def test_abort(implementation: str) -> None:
    def script(peer: Conversation) -> None:
        peer.accept()
        peer.respond(peer.expect_request(), 0, counts=FINAL)
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(script) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID=1", "--abort", "-v"]
        done = run_tool(implementation, "movescu", line)
    assert done.code == 0
    assert "I: Aborting Association" in done.stderr


@BOTH
@pytest.mark.parametrize(("model", "number"), [("-P", 1), ("-S", 2), ("-O", 3)])
@pytest.mark.parametrize(
    ("proposal", "syntaxes"),
    [
        ([], [pdu.EXPLICIT, pdu.BIG_ENDIAN, pdu.IMPLICIT]),
        (["-xb"], [pdu.BIG_ENDIAN, pdu.EXPLICIT, pdu.IMPLICIT]),
        (["-xi"], [pdu.IMPLICIT]),
        (["-xd"], [pdu.DEFLATED, pdu.EXPLICIT, pdu.BIG_ENDIAN, pdu.IMPLICIT]),
    ],
)
def test_what_is_proposed(
    implementation: str, model: str, number: int, proposal: list[str], syntaxes: list[str]
) -> None:
    classes = [f"1.2.840.10008.5.1.4.1.2.{number}.{last}" for last in (1, 2)]

    def script(peer: Conversation) -> None:
        found = peer.expect_associate_rq()
        assert found.contexts == {1: (classes[0], syntaxes), 3: (classes[1], syntaxes)}
        assert (found.calling, found.called) == (b"ME", b"YOU")
        peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, 1, 1, 7])))

    with ScriptedServer(script) as server:
        line = [model, *proposal, "-aet", "ME", "-aec", "YOU", "127.0.0.1", str(server.port)]
        done = run_tool(implementation, "movescu", [*line, "-k", "PatientID=1"])
    assert done.code == 61
    assert plain(done.stderr) == [
        "F: Association Rejected:",
        "F: Result: Rejected Permanent, Source: Service User",
        "F: Reason: Called AE Title Not Recognized",
    ]


@BOTH
@pytest.mark.parametrize(("accepted", "code"), [("", 66), ("find", 0)])
def test_contexts_that_are_not_accepted(implementation: str, accepted: str, code: int) -> None:
    """Nothing accepted is 66; C-FIND alone is 69, where DCMTK says 0 (D9)."""

    def script(peer: Conversation) -> None:
        peer.accept(accepts=lambda uid: bool(accepted) and uid.endswith(".1"))
        # DCMTK closes without a word where nothing was accepted.
        if implementation == "dcmfast" or accepted:
            peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(script) as server:
        line = ["127.0.0.1", str(server.port), "-k", "PatientID=1"]
        done = run_tool(implementation, "movescu", line)
    if accepted and implementation == "dcmfast":
        code = 69
    assert done.code == code, done.stderr
    if accepted:
        assert "E: Move SCU Failed: 0006:0208 DIMSE No valid Presentation Context ID" in done.stderr
    else:
        assert plain(done.stderr) == ["F: No Acceptable Presentation Contexts"]


@pytest.mark.parametrize("content", [b"", b"no DICOM at all, but text", b"\x00" * 200])
def test_query_files_that_are_none(content: bytes, tmp_path: Path) -> None:
    """After associating, as DCMTK; but not with exit code 0 (D9)."""
    file = tmp_path / "query"
    file.write_bytes(content)

    def script(peer: Conversation) -> None:
        peer.accept()
        peer.expect_pdu(pdu.ABORT)

    with ScriptedServer(script) as server:
        done = run_tool("dcmfast", "movescu", ["127.0.0.1", str(server.port), file])
    assert done.code == 69
    assert f"E: bad DICOM file: {file}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_of_two_keys_with_one_tag_the_first_counts() -> None:
    """As DCMTK's movescu; and paths, which it does not know (D9a)."""
    seen = []

    def script(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        seen.append(request.data)
        peer.respond(request, 0, counts=FINAL)
        peer.expect_release()

    line = ["-k", "PatientID=1", "-k", "PatientID=2", "-k", "(0040,0100)[0].Modality=CT"]
    with ScriptedServer(script) as server:
        done = run_tool("dcmfast", "movescu", ["127.0.0.1", str(server.port), *line])
    assert done.code == 0, done.stderr
    assert seen[0] is not None
    assert b"\x10\x00\x20\x00LO\x02\x001 " in seen[0]
    assert b"\x08\x00\x60\x00CS\x02\x00CT" in seen[0]
