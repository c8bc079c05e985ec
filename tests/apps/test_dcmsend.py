"""``dcmfast dcmsend``: files, directories, contexts, failures and reports, beside DCMTK's."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from testkit import pdu
from testkit.cases import BOTH
from testkit.kinds import StartReceiver
from testkit.process import Finished, run_tool
from testkit.scripted_scp import Conversation, Script, ScriptedServer
from vectors import make

BIG = pdu.BIG_ENDIAN
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
J2K = "1.2.840.10008.1.2.4.90"


@pytest.fixture
def objects(tmp_path: Path) -> list[Path]:
    """Four CT files, one of them in a directory below."""
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    paths = [folder / ("below" if number == 3 else "") / f"{number}.dcm" for number in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(make.part10(make.ct(number)))
    return paths


def own_lines(done: Finished) -> list[str]:
    """What DCMTK's tool says, too; each has its own implementation's name."""
    others = ("dcmfast.", "Our Implementation", "Their Implementation")
    return [line for line in done.lines if not line[3:].startswith(others)]


def both(arguments: list[str | Path]) -> tuple[Finished, Finished]:
    """The same command line, DCMTK's first."""
    return run_tool("dcmtk", "dcmsend", arguments), run_tool("dcmfast", "dcmsend", arguments)


@pytest.mark.dcmtk
def test_lines_and_codes_are_dcmtks(
    objects: list[Path], tmp_path: Path, free_port: int, running_scp: StartReceiver
) -> None:
    """Everything but the reasons for bad files, which are ours."""
    receiver = running_scp("storescp", "-pm")
    peer = ["127.0.0.1", str(receiver.port)]
    text = tmp_path / "text"
    text.write_bytes(b"no DICOM at all" * 100)
    uids = {
        "class": make.ct(10, sop_class_uid="1.2.840.10008.1.1"),
        "unknown": make.ct(11, sop_class_uid="1.2.840.10008.99.1"),
        "private": make.ct(12, sop_class_uid="1.2.3.4"),
        "instance": make.ct(13, sop_instance_uid="1.02.3"),
    }
    for name, one in uids.items():
        (tmp_path / name).write_bytes(make.part10(one))
    first = objects[0]
    for arguments in (
        [*peer, *objects],
        [*peer, "--single-association", "-aet", "A", "-aec", "B", *objects],
        ["-v", "+v", *peer, first],
        [*peer, tmp_path / "in"],
        [*peer, tmp_path / "missing"],
        ["-nh", *peer, tmp_path / "missing"],
        ["-nh", *peer, tmp_path / "missing", first],
        [*peer, ""],
        ["127.0.0.1", str(free_port), first],
        ["host.invalid", "104", first],
        *([*peer, tmp_path / name] for name in uids),
        ["-nuc", *peer, tmp_path / "instance", tmp_path / "private"],
        ["+f", *peer, first],
    ):
        theirs, ours = both(["-v", *arguments])
        assert (ours.code, own_lines(ours)) == (theirs.code, own_lines(theirs)), arguments
        assert ours.stdout == theirs.stdout == ""
    theirs, ours = both([*peer, text])
    assert ours.code == theirs.code == 22
    assert [line.partition(str(text))[0] for line in ours.lines] == [
        line.partition(str(text))[0] for line in theirs.lines
    ]


@BOTH
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["+sd"], "012"),
        (["+sd", "-r"], "012"),
        (["+sd", "+r"], "0123"),
        (["+sd", "+r", "+sp", "[03].d*"], "03"),
    ],
    ids=str,
)
def test_directories(
    options: list[str], names: str, implementation: str, objects: list[Path], tmp_path: Path,
    running_scp: StartReceiver,
) -> None:  # fmt: skip
    receiver = running_scp("storescp")
    arguments = [*options, "127.0.0.1", str(receiver.port), tmp_path / "in"]
    assert run_tool(implementation, "dcmsend", arguments).code == 0
    uids = {make.ct(int(name)).sop_instance_uid for name in names}
    assert {path.name.split(".", 1)[1] for path in receiver.files()} == uids


def test_a_directory_that_cannot_be_searched_to_its_end(
    objects: list[Path], tmp_path: Path, running_scp: StartReceiver
) -> None:
    """Links in a circle, a broken one and a pipe neither end nor double the work."""
    import os

    folder = tmp_path / "in"
    (folder / "below" / "above").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "broken").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "pipe")
    receiver = running_scp("storescp")
    done = run_tool("dcmfast", "dcmsend", ["+sd", "+r", "127.0.0.1", str(receiver.port), folder])
    assert done.code == 0
    assert len(receiver.files()) == 4
    assert sum("no file: " in line for line in done.lines) == 3


def masked(report: Path) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<time>", report.read_text())
    return text.replace(str(report.parent), "")


@pytest.mark.dcmtk
def test_the_report_file_is_dcmtks(
    objects: list[Path], tmp_path: Path, running_scp: StartReceiver
) -> None:
    """Stored, refused, converted and unsent objects; a file that is there already."""
    (tmp_path / "big.dcm").write_bytes(
        make.part10(make.ct(7, transfer_syntax_uid=BIG, sop_class_uid="1.2.840.10008.5.1.4.1.1.4"))
    )
    for options in (["-pm"], ["-pm", "+xi"]):
        receiver = running_scp("storescp", *options)
        reports = []
        for implementation in ("dcmtk", "dcmfast"):
            report = tmp_path / f"{implementation}.txt"
            done = run_tool(
                implementation,
                "dcmsend",
                ["-v", "+crf", report, "127.0.0.1", str(receiver.port), *objects,
                 tmp_path / "big.dcm"],
            )  # fmt: skip
            assert done.code == 0
            reports.append(masked(report))
        assert reports[0] == reports[1]
    # What the peer does not take in its transfer syntax, beside what it takes and alone.
    jpeg, receiver = str(get_testdata_file("SC_rgb_jpeg_dcmtk.dcm")), running_scp("storescp")
    for files in ([objects[0], jpeg], [jpeg]):
        reports = []
        for implementation in ("dcmtk", "dcmfast"):
            report = tmp_path / f"{implementation}.txt"
            line = ["-nh", "+crf", report, "127.0.0.1", str(receiver.port), *files]
            assert run_tool(implementation, "dcmsend", line).code == 0
            reports.append(masked(report))
        assert reports[0] == reports[1]
    # Of a deflated data set both tell the length that it has inflated.
    receiver = running_scp("storescp", "+xa")
    deflated, report = tmp_path / "deflated.dcm", tmp_path / "report.txt"
    deflated.write_bytes(make.part10(make.ct(8, transfer_syntax_uid=pdu.DEFLATED)))
    sizes = []
    for implementation in ("dcmtk", "dcmfast"):
        line = ["+crf", report, "127.0.0.1", str(receiver.port), deflated]
        assert run_tool(implementation, "dcmsend", line).code == 0
        sizes.append(re.findall(r"Dataset Size  : (\d+) bytes", report.read_text()))
    assert sizes[0] == sizes[1] == [str(len(make.ct(8).data_set))]
    done = run_tool(
        "dcmfast",
        "dcmsend",
        ["+crf", tmp_path / "no" / "r", "127.0.0.1", str(receiver.port), objects[0]],
    )
    assert done.code == 43
    assert done.lines[0].startswith("E: cannot write detailed report to file")


def compressed(number: int, syntax: str) -> make.SyntheticObject:
    """An object whose pixels are one fragment of nothing that anybody decodes."""
    made = make.ct(number, transfer_syntax_uid=syntax)
    head = made.data_set[: made.data_set.index(b"\xe0\x7f\x10\x00")]
    return replace(made, data_set=head + make.Syntax().encapsulated([bytes(64)]))


@pytest.mark.dcmtk
@pytest.mark.parametrize(
    ("options", "syntax", "code", "says"),
    [
        ([], J2K, 0, "W: transfer syntax uses a lossless compression but we cannot decompress it"),
        (["-nip"], J2K, 65, "E: cannot add presentation contexts: Unsupported compression"),
        (["-nip", "-nh"], J2K, 0, "I: Number of pres. contexts : 1"),
        (["-dn"], J2K, 0, "W: transfer syntax uses a lossless compression but we are not allowed"),
        (["+dly"], "1.2.840.10008.1.2.4.100", 0, "W: transfer syntax uses a lossy compression but"),
    ],
    ids=str,
)
def test_compressed_objects_travel_as_they_are(
    options: list[str], syntax: str, code: int, says: str, objects: list[Path], tmp_path: Path,
    running_scp: StartReceiver,
) -> None:  # fmt: skip
    """DCMTK has no decoder for these either: lines, codes and what arrives are the same."""
    receiver = running_scp("storescp", "+xa")
    path = tmp_path / "compressed.dcm"
    path.write_bytes(make.part10(compressed(9, syntax)))
    arguments: list[str | Path] = ["-v", *options, "127.0.0.1", str(receiver.port)]
    arguments += [objects[0], path]
    theirs, ours = both(arguments)
    # DCMTK prepares the first association before it begins; ours all of them.
    assert (ours.code, sorted(own_lines(ours))) == (theirs.code, sorted(own_lines(theirs)))
    assert ours.code == code
    assert any(line.startswith(says) for line in ours.lines), ours.lines


def test_a_compressed_object_that_the_peer_does_not_take_is_refused_plainly(
    objects: list[Path], tmp_path: Path, running_scp: StartReceiver
) -> None:
    """Nothing is decompressed here; ``--no-halt`` sends the others."""
    receiver = running_scp("storescp")
    path = tmp_path / "compressed.dcm"
    path.write_bytes(make.part10(compressed(9, JPEG_LOSSLESS)))
    arguments: list[str | Path] = ["127.0.0.1", str(receiver.port), path, objects[0]]
    done = run_tool("dcmfast", "dcmsend", arguments)
    assert done.code == 62
    syntax = "JPEG Lossless, Non-hierarchical, 1st Order Prediction"
    kind = f"SOP Class / Transfer Syntax: CTImageStorage / {syntax}"
    assert done.lines[-3:] == [
        f"E: No presentation context found for sending C-STORE with {kind}",
        f"E: dcmfast.sending: {path}: no context was accepted for {pdu.CT} in {syntax}",
        "F: cannot send SOP instance: DIMSE No valid Presentation Context ID",
    ]
    assert run_tool("dcmfast", "dcmsend", ["-nh", *arguments]).code == 0
    assert len(receiver.files()) == 1


@BOTH
@pytest.mark.parametrize("options", [[], ["-ma"], ["+ma"]], ids=str)
def test_more_than_128_contexts(
    options: list[str], implementation: str, tmp_path: Path, running_scp: StartReceiver
) -> None:
    """More associations, one after the other, or what one can carry."""
    receiver = running_scp("storescp", "-pm")
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(130):
        made = make.ct(number, sop_class_uid=f"1.2.3.4.{number + 1}")
        (folder / f"{number:03}.dcm").write_bytes(make.part10(made))
    arguments = ["-v", *options, "+sd", "127.0.0.1", str(receiver.port), folder]
    done = run_tool(implementation, "dcmsend", arguments)
    assert done.code == 0, done.stderr
    sent = 128 if options == ["-ma"] else 130
    assert len(receiver.files()) == sent
    assert done.lines[-1].endswith(f": {130 - sent or 130}")


def test_json(objects: list[Path], tmp_path: Path, running_scp: StartReceiver) -> None:
    """The documented fields, and nothing else on standard output."""
    receiver = running_scp("storescp")
    done = run_tool(
        "dcmfast", "dcmsend", ["-v", "--json", "127.0.0.1", str(receiver.port), *objects]
    )
    report = json.loads(done.stdout)
    assert (report["format"], report["format_version"], report["tool"]) == (
        "dcmfast-send", 1, "dcmsend",
    )  # fmt: skip
    assert report["exit_code"] == done.code == 0
    assert report["totals"]["files"] == report["totals"]["stored"] == 4
    assert [one["file"] for one in report["files"]] == [str(path) for path in objects]
    assert {one["result"] for one in report["files"]} == {"stored"}


def test_several_associations_at_once(tmp_path: Path, running_scp: StartReceiver) -> None:
    """Each file is sent once, whoever sends it."""
    receiver = running_scp("storescp")
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.dcm").write_bytes(make.part10(make.ct(number)))
    done = run_tool(
        "dcmfast",
        "dcmsend",
        ["--json", "--associations", "4", "+sd", "127.0.0.1", str(receiver.port), folder],
    )
    report = json.loads(done.stdout)
    assert (done.code, report["totals"]["associations"]) == (0, 4)
    assert report["totals"]["stored"] == len(receiver.files()) == 60


def wrong_id(peer: Conversation) -> None:
    peer.accept()
    request = peer.expect_request()
    peer.respond(request, 0, message_id=request.message_id + 1)
    peer.expect_abort((2, 5))


def wrong_command(peer: Conversation) -> None:
    peer.accept()
    peer.respond(peer.expect_request(), 0, command_field=0x8030)
    peer.expect_abort((2, 5))


def closing(peer: Conversation) -> None:
    peer.accept()
    peer.expect_request()


def silent(peer: Conversation) -> None:
    peer.accept()
    peer.expect_request()
    peer.expect_abort((0, 0))


def pending(peer: Conversation) -> None:
    """A status that no C-STORE may have: it is an answer all the same."""
    peer.accept()
    peer.respond(peer.expect_request(), 0xFF00)
    peer.expect_release()


@pytest.mark.parametrize(
    ("script", "code", "says"),
    [
        (wrong_id, 62, "F: cannot send SOP instance: DIMSE: response to message 2"),
        (wrong_command, 62, "F: cannot send SOP instance: DIMSE: C-ECHO RSP, where C-STORE RQ"),
        (closing, 62, "I: Peer Aborted Association"),
        (silent, 62, "F: cannot send SOP instance: DIMSE No data available"),
        (pending, 0, "I:   * with unknown status  : 1"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_peer_that_answers_nonsense(
    script: Script, code: int, says: str, objects: list[Path]
) -> None:
    with ScriptedServer(script) as server:
        done = run_tool(
            "dcmfast", "dcmsend", ["-v", "-td", "1", "127.0.0.1", str(server.port), objects[0]]
        )
    assert done.code == code, done.stderr
    assert any(line.startswith(says) for line in done.lines), done.lines
    assert "Traceback" not in done.stderr


def test_a_rejection_is_explained(objects: list[Path], running_scp: StartReceiver) -> None:
    """DCMTK's line, which gives no reason, and ours, which does."""
    receiver = running_scp("storescp", "--refuse")
    done = run_tool("dcmfast", "dcmsend", ["127.0.0.1", str(receiver.port), objects[0]])
    assert done.code == 61
    assert done.lines[-1] == "F: cannot negotiate network association: DUL Association Rejected"
    assert "E: dcmfast.dcmsend: Result: Rejected Permanent, Source: Service User" in done.lines


@pytest.mark.parametrize("option", ["--list-decoders", "--help"])
def test_exclusive_options(option: str) -> None:
    done = run_tool("dcmfast", "dcmsend", [option])
    assert done.code == 0
    expected = "- Deflated Explicit VR" if option == "--list-decoders" else "+crf"
    assert expected in done.stdout


@BOTH
def test_a_dicomdir_stands_for_its_files(
    implementation: str, objects: list[Path], running_scp: StartReceiver
) -> None:
    """PS3.3 Annex F: pydicom's example names 31 files, beside it and in folders below."""
    receiver = running_scp("storescp")
    directory = get_testdata_file("DICOMDIR")
    arguments = ["+rd", "127.0.0.1", str(receiver.port), str(directory), objects[0]]
    assert run_tool(implementation, "dcmsend", arguments).code == 0
    assert len(receiver.files()) == 32


def test_a_hostile_dicomdir_names_nothing_outside(
    tmp_path: Path, objects: list[Path], running_scp: StartReceiver
) -> None:
    """A file ID with a way up is refused; without ``+rd`` a DICOMDIR is no object."""
    receiver = running_scp("storescp")
    write = make.Syntax()
    record = write.element((0x0004, 0x1500), "CS", "..\\in\\0.dcm")
    record += write.element((0x0004, 0x1510), "UI", pdu.CT)
    record += write.element((0x0004, 0x1511), "UI", "1.2.3")
    record += write.element((0x0004, 0x1512), "UI", pdu.EXPLICIT)
    data_set = write.sequence((0x0004, 0x1220), [write.item(record)])
    made = make.SyntheticObject("1.2.840.10008.1.3.10", "1.2.3.4", "", pdu.EXPLICIT, data_set)
    (tmp_path / "disc").mkdir()
    hostile = tmp_path / "disc" / "DICOMDIR"
    hostile.write_bytes(make.part10(made))
    arguments = ["+rd", "127.0.0.1", str(receiver.port), hostile]
    done = run_tool("dcmfast", "dcmsend", arguments)
    assert done.code == 22
    assert "leads out of the file set" in done.stderr
    assert receiver.files() == []
    done = run_tool("dcmfast", "dcmsend", arguments[1:])
    assert (done.code, done.lines[-1]) == (
        22,
        f"F: bad DICOM file: {hostile}: Invalid SOP Class UID",
    )


def test_an_association_that_is_refused_costs_no_file(objects: list[Path]) -> None:
    """A peer with fewer places than ``--associations``: the others send all, and a line says so."""
    refused = threading.Event()

    def refuse(peer: Conversation) -> None:
        peer.expect_associate_rq()
        # Rejected-transient, presentation: local limit exceeded (PS3.8 §9.3.4).
        peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, 2, 3, 2])))
        refused.set()

    def take(peer: Conversation) -> None:
        peer.accept()
        assert refused.wait(20)
        for _ in objects:
            peer.respond(peer.expect_request(), 0)
        peer.expect_release()

    with ScriptedServer(refuse, take, at_once=True) as server:
        line = ["--json", "--associations", "2", "127.0.0.1", str(server.port), *map(str, objects)]
        done = run_tool("dcmfast", "dcmsend", line)
    assert (done.code, json.loads(done.stdout)["totals"]["stored"]) == (0, len(objects))
    assert "1 associations sent the files of 2 asked for" in done.stderr


def test_the_gravest_answer_of_a_repeated_file_is_reported(objects: list[Path]) -> None:
    """``--repeat`` of storescu: a refusal is not hidden by the successes behind it."""

    def play(peer: Conversation) -> None:
        peer.accept()
        for status in (0xA700, 0, 0):
            peer.respond(peer.expect_request(), status)
        peer.expect_release()

    with ScriptedServer(play) as server:
        line = ["--json", "--no-halt", "--repeat", "3", "127.0.0.1", str(server.port)]
        done = run_tool("dcmfast", "storescu", [*line, str(objects[0])])
    (file,) = json.loads(done.stdout)["files"]
    assert (file["result"], file["status"]) == ("refused", "A700")


def test_bad_files_are_handed_over_once() -> None:
    """A folder of thousands of them costs no more than a portion for each."""
    from dcmfast.net import sending

    handed = 0

    class Job:
        def add(self, names: list[str]) -> tuple[int, str, bool]:
            nonlocal handed
            handed += len(names)
            return 0, "no file of ours", False

    names = [str(number) for number in range(2000)]
    found = list(sending._bad_files(Job(), names))  # type: ignore[arg-type]
    assert [name for name, _, _ in found] == names
    assert handed < len(names) * 256
