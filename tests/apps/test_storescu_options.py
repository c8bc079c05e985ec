"""Each option of ``dcmfast storescu`` that proposes, converts, renames, invents or identifies.

Where DCMTK's storescu does the same, it runs beside ours, and what the receiver has is compared.
"""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

import dcmfast
from testkit import pdu
from testkit.cases import BOTH
from testkit.corpus import split_part10
from testkit.kinds import StartReceiver
from testkit.process import Receiver, run_tool
from testkit.scripted_scp import Conversation, Proposed, ScriptedServer
from vectors import make

LITTLE, BIG, IMPLICIT, DEFLATED = pdu.EXPLICIT, pdu.BIG_ENDIAN, pdu.IMPLICIT, pdu.DEFLATED
IDENTITY = 0x58


def written(folder: Path, *objects: make.SyntheticObject) -> list[Path]:
    paths = []
    for number, one in enumerate(objects):
        paths.append(folder / f"{number}.dcm")
        paths[-1].write_bytes(make.part10(one))
    return paths


def proposal(*arguments: str | Path, implementation: str = "dcmfast") -> Proposed:
    """What a command line asks for."""
    seen: list[Proposed] = []

    def script(peer: Conversation) -> None:
        seen.append(peer.expect_associate_rq())

    with ScriptedServer(script) as server:
        run_tool(implementation, "storescu", ["127.0.0.1", str(server.port), *arguments])
    return seen[0]


PROPOSALS = [
    *("-x=", "-xe", "-xb", "-xi", "-xs", "-xy", "-xx", "-xv", "-xw", "-xt", "-xu", "-xm", "-xh"),
    *("-xn", "-xl", "-x2", "-x3", "-xo", "-x4", "-x5", "-xr", "-xd"),
]


@pytest.mark.dcmtk
@pytest.mark.parametrize("options", [["-R"], ["-R", "+C"]], ids=str)
@pytest.mark.parametrize("typed", PROPOSALS)
def test_what_is_proposed_is_dcmtks(typed: str, options: list[str], tmp_path: Path) -> None:
    paths = written(tmp_path, make.ct(1), make.ct(2, sop_class_uid=pdu.MR))
    theirs = proposal(typed, *options, *paths, implementation="dcmtk")
    ours = proposal(typed, *options, *paths)
    assert ours.contexts == theirs.contexts


@pytest.mark.dcmtk
def test_without_required_all_is_proposed(tmp_path: Path) -> None:
    """DCMTK's 64 classes; ours begins with those of the files."""
    (path,) = written(tmp_path, make.ct(1))
    theirs, ours = proposal(path, implementation="dcmtk"), proposal(path)
    assert sorted(ours.contexts.values()) == sorted(theirs.contexts.values())
    assert len(proposal("-R", path).contexts) == 2


def test_each_file_is_proposed_as_it_is(tmp_path: Path) -> None:
    """Its own transfer syntax alone, and what it can be converted to."""
    paths = written(
        tmp_path,
        make.ct(1, transfer_syntax_uid=IMPLICIT),
        make.ct(2, transfer_syntax_uid=DEFLATED),
        make.ct(3, transfer_syntax_uid=pdu.JPEG_BASELINE),
    )
    found = [syntaxes for _, syntaxes in proposal("-R", *paths).contexts.values()]
    assert found == [[IMPLICIT], [LITTLE, BIG], [DEFLATED], [pdu.JPEG_BASELINE]]


@BOTH
@pytest.mark.parametrize("accepted", [[], ["+xb"], ["+xi"], ["+xd"]], ids=str)
def test_conversion_to_what_the_peer_accepts(
    accepted: list[str], implementation: str, tmp_path: Path, running_scp: StartReceiver
) -> None:
    """Every uncompressed and deflated file into each of them: values stay equal."""
    receiver = running_scp("storescp", "+B", *accepted)
    syntaxes = (IMPLICIT, LITTLE, BIG, DEFLATED)
    objects = [make.ct(at, transfer_syntax_uid=one) for at, one in enumerate(syntaxes)]
    paths = written(tmp_path, *objects)
    arguments = ["-xd", "-R", "+C", "127.0.0.1", str(receiver.port), *paths]
    done = run_tool(implementation, "storescu", arguments)
    assert done.code == 0, done.stderr
    for path, one in zip(paths, objects, strict=True):
        stored = pydicom.dcmread(receiver.directory / f"CT.{one.sop_instance_uid}")
        sent = pydicom.dcmread(path)
        little = stored.file_meta.TransferSyntaxUID.is_little_endian
        pixels = stored.PixelData if little else swapped(stored.PixelData)
        expected = sent.PixelData if sent.is_little_endian else swapped(sent.PixelData)
        assert pixels == expected
        assert (stored.PatientName, stored.Rows) == (sent.PatientName, sent.Rows)


def swapped(pixels: bytes) -> bytes:
    out = bytearray(pixels)
    out[::2], out[1::2] = pixels[1::2], pixels[::2]
    return bytes(out)


def test_a_large_object_is_converted_while_it_is_sent(
    tmp_path: Path, running_scp: StartReceiver
) -> None:
    receiver = running_scp("storescp", "+B")
    one = make.ct(1, rows=1500, columns=1500, transfer_syntax_uid=BIG)
    (path,) = written(tmp_path, one)
    done = run_tool("dcmfast", "storescu", ["-xi", "127.0.0.1", str(receiver.port), path])
    assert done.code == 0, done.stderr
    (file,) = receiver.files()
    stored = pydicom.dcmread(file)
    assert stored.file_meta.TransferSyntaxUID == IMPLICIT
    assert stored.PixelData == swapped(pydicom.dcmread(path).PixelData)


@BOTH
@pytest.mark.parametrize("level", ["0", "9"])
def test_compression_level(
    level: str, implementation: str, tmp_path: Path, running_scp: StartReceiver
) -> None:
    """A file that is deflated on its way: 0 makes it longer, 9 shorter."""
    receiver = running_scp("storescp", "+B", "+xd")
    write = make.Syntax()
    one = make.ct(1, middle=write.element((0x0028, 0x4000), "LT", "x" * 20_000))
    (path,) = written(tmp_path, one)
    arguments = ["-xd", "+cl", level, "-R", "127.0.0.1", str(receiver.port), path]
    assert run_tool(implementation, "storescu", arguments).code == 0
    (file,) = receiver.files()
    size = len(split_part10(file.read_bytes())[1])
    assert size > len(one.data_set) if level == "0" else size < len(one.data_set) // 4


@BOTH
@pytest.mark.parametrize(("option", "vr"), [("-u", "OB"), ("+u", "UT")])
def test_new_vrs(
    option: str, vr: str, implementation: str, tmp_path: Path, running_scp: StartReceiver
) -> None:
    """A text of unlimited length becomes bytes for peers from before 1993's successors."""
    receiver = running_scp("storescp", "+B")
    write = make.Syntax()
    one = make.ct(1, middle=write.element((0x0040, 0xA160), "UT", "text"))
    (path,) = written(tmp_path, one)
    arguments = [option, "-xe", "127.0.0.1", str(receiver.port), path]
    assert run_tool(implementation, "storescu", arguments).code == 0
    (file,) = receiver.files()
    assert write.tag((0x0040, 0xA160)) + vr.encode() in file.read_bytes()


@BOTH
def test_rename(implementation: str, tmp_path: Path, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp")
    good, bad = written(tmp_path, make.ct(1), make.ct(2))
    bad.write_bytes(bad.read_bytes()[:-10])
    arguments = ["+rn", "-nh", "127.0.0.1", str(receiver.port), good, bad]
    assert run_tool(implementation, "storescu", arguments).code == 0
    assert sorted(path.name for path in tmp_path.glob("*.dcm*")) == ["0.dcm.done", "1.dcm.bad"]


def test_rename_takes_no_name_from_another_file(tmp_path: Path, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp")
    (path,) = written(tmp_path, make.ct(1))
    taken = tmp_path / "0.dcm.done"
    taken.write_bytes(b"another")
    done = run_tool("dcmfast", "storescu", ["+rn", "127.0.0.1", str(receiver.port), path])
    assert (done.code, taken.read_bytes(), path.exists()) == (0, b"another", True)
    assert done.lines[0] == f"W: cannot rename file '{path}' to '{taken}'"


@BOTH
def test_repeat(implementation: str, tmp_path: Path, running_scp: StartReceiver) -> None:
    """Each file so many times in a row."""
    receiver = running_scp("storescp")
    paths = written(tmp_path, make.ct(1), make.ct(2))
    arguments = ["-v", "--repeat", "3", "127.0.0.1", str(receiver.port), *paths]
    done = run_tool(implementation, "storescu", arguments)
    sent = [line.partition(": ")[2] for line in done.lines if "Sending file: " in line]
    assert sent == [f"Sending file: {path}" for path in paths for _ in range(3)]


@BOTH
def test_abort(implementation: str, tmp_path: Path, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", "-v")
    paths = written(tmp_path, make.ct(1))
    arguments = ["-v", "--abort", "127.0.0.1", str(receiver.port), *paths]
    done = run_tool(implementation, "storescu", arguments)
    assert (done.code, done.lines[-1]) == (0, "I: Aborting Association")
    receiver.stderr.wait_for("Association Aborted")


@BOTH
def test_the_shipped_profile(
    implementation: str, tmp_path: Path, running_scp: StartReceiver
) -> None:
    config = Path("/etc/dcmtk/storescu.cfg")
    if implementation == "dcmfast":
        config = Path(dcmfast.__file__).parent / "config" / "storescu.cfg"
    receiver = running_scp("storescp")
    (path,) = written(tmp_path, make.ct(1))
    arguments = ["-xf", config, "def ault", "127.0.0.1", str(receiver.port), path]
    done = run_tool(implementation, "storescu", arguments)
    assert done.code == 0, done.stderr
    assert len(receiver.files()) == 1


PROFILE = """\
[[TransferSyntaxes]]
[U]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[C]
PresentationContext1 = CTImageStorage\\U
PresentationContext2 = MRImageStorage\\U
[[SCPSCURoleSelection]]
[R]
Role1 = CTImageStorage\\BOTH
Role2 = MRImageStorage\\SCU
[[ExtendedNegotiation]]
[E]
ExtendedNegotiation1 = CTImageStorage\\0102
[[Profiles]]
[P]
PresentationContexts = C
SCPSCURoleSelection = R
ExtendedNegotiation = E
"""


@BOTH
def test_a_profile_is_proposed_as_it_is_written(implementation: str, tmp_path: Path) -> None:
    config = tmp_path / "profile.cfg"
    config.write_text(PROFILE)
    (path,) = written(tmp_path, make.ct(1))
    found = proposal("-xf", config, "P", path, implementation=implementation)
    assert found.contexts == {1: (pdu.CT, [IMPLICIT]), 3: (pdu.MR, [IMPLICIT])}
    assert found.roles == {pdu.CT: (1, 1), pdu.MR: (1, 0)}


@BOTH
def test_a_profile_that_is_not_there(implementation: str, tmp_path: Path, free_port: int) -> None:
    config = tmp_path / "profile.cfg"
    config.write_text(PROFILE)
    (path,) = written(tmp_path, make.ct(1))
    arguments = ["-xf", config, "q", "127.0.0.1", str(free_port), path]
    done = run_tool(implementation, "storescu", arguments)
    assert (done.code, done.lines[-1]) == (1, "F: 0006:0426 profile key undefined: Q")


def identities(receiver: Receiver) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in receiver.files()]


@BOTH
@pytest.mark.parametrize("syntax", [LITTLE, IMPLICIT, BIG, DEFLATED])
def test_invented_identities(
    syntax: str, implementation: str, tmp_path: Path, running_scp: StartReceiver
) -> None:
    """Two instances a series, two series a study, a study a patient; what is missing is told."""
    receiver = running_scp("storescp", "+xd")
    paths = written(tmp_path, *(make.ct(at, transfer_syntax_uid=syntax) for at in range(3)))
    arguments = ["--repeat", "3", "+IR", "2", "+IS", "2", "+IP", "1"]
    arguments += ["-R", "127.0.0.1", str(receiver.port), *map(str, paths)]
    done = run_tool(implementation, "storescu", arguments)
    assert done.code == 0, done.stderr
    assert "updateStringAttributeValue: cannot find: StudyID (0020,0010): Tag not found" in (
        done.stderr
    )
    found = identities(receiver)
    assert len({one.SOPInstanceUID for one in found}) == 9
    assert len({one.SeriesInstanceUID for one in found}) == 5
    assert len({one.StudyInstanceUID for one in found}) == 3
    assert len({one.PatientID for one in found}) == 3
    assert all(str(one.PatientName).startswith("OFFIS^TEST_PN_") for one in found)
    assert {one.file_meta.MediaStorageSOPInstanceUID for one in found} == {
        one.SOPInstanceUID for one in found
    }
    assert {little(one) for one in found} <= {little(pydicom.dcmread(path)) for path in paths}


def little(data_set: pydicom.Dataset) -> bytes:
    pixels = bytes(data_set.PixelData)
    return pixels if data_set.is_little_endian else swapped(pixels)


def test_invent_instance_alone(tmp_path: Path, running_scp: StartReceiver) -> None:
    """A large object, and the UIDs that go with it."""
    receiver = running_scp("storescp")
    one = make.ct(1, rows=1200, columns=1200)
    (path,) = written(tmp_path, one)
    done = run_tool("dcmfast", "storescu", ["-v", "+II", "127.0.0.1", str(receiver.port), path])
    assert done.code == 0, done.stderr
    (stored,) = identities(receiver)
    assert stored.SOPInstanceUID != one.sop_instance_uid
    assert f"I:   SOPInstanceUID={stored.SOPInstanceUID}" in done.lines
    assert stored.PixelData == pydicom.dcmread(path).PixelData


def identity_of(*arguments: str | Path, implementation: str) -> bytes:
    """The user identity that a command line sends."""
    seen: list[bytes] = []

    def script(peer: Conversation) -> None:
        _, body = peer.expect_pdu(pdu.ASSOCIATE_RQ)
        items = dict(pdu.read_items(dict(pdu.read_items(body[68:]))[0x50]))
        seen.append(items[IDENTITY])

    with ScriptedServer(script) as server:
        line = ["-R", "127.0.0.1", str(server.port), *arguments]
        run_tool(implementation, "storescu", line)
    return seen[0]


def field(kind: int, primary: bytes, secondary: bytes = b"", *, response: int = 0) -> bytes:
    lengths = [len(part).to_bytes(2, "big") + part for part in (primary, secondary)]
    return bytes([kind, response]) + b"".join(lengths)


@BOTH
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-usr", "me"], field(1, b"me")),
        (["-usr", "me", "-pwd", "secret"], field(2, b"me", b"secret")),
        (["-usr", "me", "-epw"], field(2, b"me", b"")),
        (["-kt", "ticket"], field(3, b"a ticket")),
        (["--saml", "ticket"], field(4, b"a ticket")),
        (["--jwt", "ticket"], field(5, b"a ticket")),
        (["--jwt", "ticket", "-rsp"], field(5, b"a ticket", response=1)),
    ],
    ids=str,
)
def test_user_identity(
    options: list[str], expected: bytes, implementation: str, tmp_path: Path
) -> None:
    """PS3.7 Table D.3-14."""
    (path,) = written(tmp_path, make.ct(1))
    ticket = tmp_path / "ticket"
    ticket.write_bytes(b"a ticket")
    typed = [str(ticket) if word == "ticket" else word for word in options]
    assert identity_of(*typed, path, implementation=implementation) == expected


@BOTH
@pytest.mark.parametrize("answer", [b"", pdu.item(0x59, b"\0\0")], ids=["none", "some"])
def test_a_positive_response_is_waited_for(
    answer: bytes, implementation: str, tmp_path: Path
) -> None:
    (path,) = written(tmp_path, make.ct(1))

    def script(peer: Conversation) -> None:
        peer.accept(extra=answer)
        if answer:
            peer.respond(peer.expect_request(), 0)
            peer.expect_release()

    with ScriptedServer(script) as server:
        arguments = ["-R", "-usr", "me", "-rsp", "127.0.0.1", str(server.port), path]
        done = run_tool(implementation, "storescu", arguments)
    assert done.code == (0 if answer else 1)
    assert done.lines == ([] if answer else NO_IDENTITY)


NO_IDENTITY = [
    "E: User Identity Negotiation failed: Positive response requested but none received",
    "F: 0006:0108 ASC User Identification Negotiation failed",
]


@BOTH
def test_a_ticket_that_cannot_be_read(implementation: str, tmp_path: Path, free_port: int) -> None:
    (path,) = written(tmp_path, make.ct(1))
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    for name in (tmp_path / "missing", empty):
        arguments = ["--saml", name, "127.0.0.1", str(free_port), path]
        done = run_tool(implementation, "storescu", arguments)
        assert done.code == 1
        assert done.lines[0].startswith("E: Unable to ")


def test_json_tells_what_came_of_each_file(tmp_path: Path, running_scp: StartReceiver) -> None:
    """Stored, refused by the peer, cut, and without a context; with an exit code of its own."""
    fault = f"store class={pdu.MR} status=A700"
    receiver = running_scp("storescp", "--fault", fault)
    stored, refused, cut, compressed = written(
        tmp_path,
        make.ct(1),
        make.ct(2, sop_class_uid=pdu.MR),
        make.ct(3),
        make.ct(4, transfer_syntax_uid=pdu.JPEG_BASELINE),
    )
    cut.write_bytes(cut.read_bytes()[:-10])
    names = [stored, refused, cut, compressed]
    arguments = ["--json", "-nh", "-v", "127.0.0.1", str(receiver.port), *names]
    done = run_tool("dcmfast", "storescu", arguments)
    report = json.loads(done.stdout)
    assert [one["result"] for one in report["files"]] == [
        "stored", "refused", "bad-file", "no-context",
    ]  # fmt: skip
    assert report["files"][1]["status"] == "A700"
    assert "reason" in report["files"][2]
    assert report["exit_code"] == done.code == 0


def test_a_peer_that_closes_in_the_middle(tmp_path: Path) -> None:
    """Exit code 10 as DCMTK's, and no traceback; the report still comes."""

    def script(peer: Conversation) -> None:
        peer.accept()
        peer.expect_request()

    (path,) = written(tmp_path, make.ct(1))
    with ScriptedServer(script) as server:
        done = run_tool("dcmfast", "storescu", ["--json", "127.0.0.1", str(server.port), path])
    assert done.code == 10
    assert json.loads(done.stdout)["files"][0]["result"] == "unanswered"
    assert "Traceback" not in done.stderr


def test_a_file_that_vanishes(tmp_path: Path) -> None:
    """Between the look at the files and its turn: its name is told, the others are sent."""
    paths = written(tmp_path, make.ct(1), make.ct(2))

    def script(peer: Conversation) -> None:
        paths[0].unlink()
        peer.accept()
        peer.respond(peer.expect_request(), 0)
        peer.expect_release()

    with ScriptedServer(script) as server:
        arguments = ["-nh", "127.0.0.1", str(server.port), *paths]
        done = run_tool("dcmfast", "storescu", arguments)
    assert done.code == 0
    assert done.lines == [f"E: Bad DICOM file: {paths[0]}: No such file or directory"]
