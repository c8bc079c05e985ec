"""``dcmfast storescu``: files, directories, many classes, failures, beside DCMTK's storescu."""

from __future__ import annotations

from pathlib import Path

import pytest

from testkit import pdu
from testkit.cases import BOTH
from testkit.checks import assert_only
from testkit.corpus import batches, sendable_files, split_part10
from testkit.kinds import StartReceiver
from testkit.process import Receiver, run_tool
from vectors import make


@pytest.fixture
def objects(tmp_path: Path) -> list[make.SyntheticObject]:
    """Six CT files, two of them in a subdirectory, and one that is no DICOM file."""
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    made = [make.ct(number) for number in range(6)]
    for number, one in enumerate(made):
        place = folder / "below" if number >= 4 else folder
        (place / f"{number}.dcm").write_bytes(make.part10(one))
    return made


def assert_stored(receiver: Receiver, objects: list[make.SyntheticObject]) -> None:
    assert_only(receiver, {f"CT.{one.sop_instance_uid}" for one in objects})
    for one in objects:
        raw = (receiver.directory / f"CT.{one.sop_instance_uid}").read_bytes()
        if receiver.is_ours:
            assert split_part10(raw)[1] == one.data_set


@BOTH
@pytest.mark.parametrize("peer", ["dcmfast", "dcmtk"])
def test_files(
    peer: str,
    implementation: str,
    objects: list[make.SyntheticObject],
    tmp_path: Path,
    running_scp: StartReceiver,
) -> None:
    receiver = running_scp("storescp", implementation=peer)
    files = [tmp_path / "in" / f"{number}.dcm" for number in range(4)]
    done = run_tool(implementation, "storescu", ["127.0.0.1", str(receiver.port), *files])
    assert (done.code, done.stderr) == (0, "")
    assert_stored(receiver, objects[:4])


@BOTH
def test_verbose(
    implementation: str,
    objects: list[make.SyntheticObject],
    tmp_path: Path,
    running_scp: StartReceiver,
) -> None:
    """DCMTK 3.6.7: one block of lines for each file, dots on standard output."""
    receiver = running_scp("storescp")
    path = tmp_path / "in" / "0.dcm"
    done = run_tool(implementation, "storescu", ["-v", "127.0.0.1", str(receiver.port), path])
    assert done.code == 0
    lines = [line for line in done.lines if "dcmfast." not in line]
    assert lines == [
        "I: checking input files ...",
        "I: Requesting Association",
        "I: Association Accepted (Max Send PDV: 16372)",
        f"I: Sending file: {path}",
        "I: Converting transfer syntax: Little Endian Explicit -> Little Endian Explicit",
        "I: Sending Store Request (MsgID 1, CT)",
        "I: Received Store Response (Success)",
        "I: Releasing Association",
    ]
    assert done.stdout == "XMIT: .\n"


@BOTH
@pytest.mark.parametrize(
    ("options", "count"),
    [(["+sd"], 4), (["+sd", "+r"], 6), (["--scan-directories", "--recurse"], 6), ([], None)],
    ids=str,
)
def test_directories(
    options: list[str],
    count: int | None,
    implementation: str,
    objects: list[make.SyntheticObject],
    tmp_path: Path,
    running_scp: StartReceiver,
) -> None:
    receiver = running_scp("storescp")
    arguments = [*options, "127.0.0.1", str(receiver.port), tmp_path / "in"]
    done = run_tool(implementation, "storescu", arguments)
    if count is None:
        assert done.code == 1
        assert "ignoring directory because option --scan-directories is not set" in done.stderr
        assert "F: no input files to be sent" in done.lines
    else:
        assert done.code == 0
        assert_stored(receiver, objects[:count])


@BOTH
def test_what_is_no_dicom_file(
    implementation: str, objects: list[make.SyntheticObject], tmp_path: Path,
    running_scp: StartReceiver,
) -> None:  # fmt: skip
    """A missing file ends the run with code 1 before anything is sent."""
    receiver = running_scp("storescp")
    done = run_tool(
        implementation,
        "storescu",
        ["127.0.0.1", str(receiver.port), tmp_path / "in" / "0.dcm", tmp_path / "missing.dcm"],
    )
    assert done.code == 1
    assert "missing.dcm" in done.stderr
    assert receiver.files() == []


@BOTH
def test_connection_refused(
    implementation: str, objects: list[make.SyntheticObject], tmp_path: Path, free_port: int
) -> None:
    done = run_tool(
        implementation, "storescu", ["127.0.0.1", str(free_port), tmp_path / "in" / "0.dcm"]
    )
    assert done.code == 1
    assert done.lines[0].startswith("F: Association Request Failed: 0006:031")


@BOTH
def test_a_failure_status_is_the_exit_code(
    implementation: str,
    objects: list[make.SyntheticObject],
    tmp_path: Path,
    running_scp: StartReceiver,
) -> None:
    """DCMTK 3.6.7: the high byte of the status, A700H → 167; the remaining files are not sent."""
    receiver = running_scp("storescp", implementation="dcmtk")
    receiver.directory.rmdir()
    files = [tmp_path / "in" / f"{number}.dcm" for number in range(3)]
    done = run_tool(implementation, "storescu", ["-v", "127.0.0.1", str(receiver.port), *files])
    assert done.code == 0xA7
    assert sum("Sending file" in line for line in done.lines) == 1
    done = run_tool(implementation, "storescu", ["-v", "-nh", "127.0.0.1", str(receiver.port),
                                                 *files])  # fmt: skip
    assert done.code == 0
    assert sum("Sending file" in line for line in done.lines) == 3


@BOTH
def test_no_context_accepted(
    implementation: str, objects: list[make.SyntheticObject], tmp_path: Path,
    running_scp: StartReceiver,
) -> None:  # fmt: skip
    receiver = running_scp("dcmrecv", implementation="dcmtk")
    done = run_tool(
        implementation, "storescu", ["127.0.0.1", str(receiver.port), tmp_path / "in" / "0.dcm"]
    )
    assert done.code == 1


@pytest.mark.parametrize("peer", ["dcmfast", "dcmtk"])
def test_real_files_of_all_kinds_in_one_run(
    peer: str, tmp_path: Path, running_scp: StartReceiver
) -> None:
    """As many presentation contexts as the files need: each class with its own syntaxes."""
    receiver = running_scp("storescp", "+xa", "+B", implementation=peer)
    known = [file for file in sendable_files() if ".5.1.4.39." not in file.sop_class_uid]
    unique = {file.sop_instance_uid: file for file in batches(known)[0]}
    done = run_tool(
        "dcmfast",
        "storescu",
        ["-R", "127.0.0.1", str(receiver.port), *[file.path for file in unique.values()]],
    )
    assert done.code == 0, done.stderr
    stored = {path.name.split(".", 1)[1]: path for path in receiver.files()}
    assert set(stored) == set(unique)
    for uid, file in unique.items():
        # PS3.5 §A.5: a deflated data set of odd length is padded on its way.
        padded = file.data_set + b"\0" * (len(file.data_set) % 2)
        assert split_part10(stored[uid].read_bytes())[1] == padded, file.path


def test_more_than_128_contexts_are_needed(tmp_path: Path, running_scp: StartReceiver) -> None:
    """150 classes in one run: more associations, or one that names what it could not send."""
    import re

    reference = run_tool("dcmtk", "dcmdump", ["--version"])
    assert reference.code == 0
    config = Path("/etc/dcmtk/storescp.cfg").read_text()
    names = set(re.findall(r"= (\w+Storage\w*)\\", config))
    assert len(names) > 100
    receiver = running_scp("storescp", "-pm")
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(150):
        made = make.ct(number, sop_class_uid=f"1.2.3.4.{number}")
        (folder / f"{number}.dcm").write_bytes(make.part10(made))
    done = run_tool("dcmfast", "storescu", ["+sd", "127.0.0.1", str(receiver.port), folder])
    assert done.code == 0, done.stderr
    assert len(receiver.files()) == 150


def test_a_peer_with_tiny_fragments(
    objects: list[make.SyntheticObject], tmp_path: Path, running_scp: StartReceiver
) -> None:
    """PS3.8 Annex D.1: what we send fits the peer's maximum."""
    receiver = running_scp("storescp", "-pdu", "4096", implementation="dcmtk")
    big = make.ct(9, rows=500, columns=500)
    path = tmp_path / "big.dcm"
    path.write_bytes(make.part10(big))
    done = run_tool("dcmfast", "storescu", ["127.0.0.1", str(receiver.port), path])
    assert done.code == 0, done.stderr
    assert_only(receiver, {f"CT.{big.sop_instance_uid}"})


def cut_files(folder: Path) -> dict[str, str]:
    """Write files that end too early, by name; the condition that DCMTK 3.6.7 gives for each."""
    whole = make.part10(make.ct(20))
    pixels = whole.index(b"\xe0\x7f\x10\x00")
    sequence = b"\x08\x40\x50\x00SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence += b"\x08\x40\x14\x01PN\x04\x00A^B "
    cases = {
        "value": (whole[:-10], "0001:0004 Invalid stream"),
        "header": (whole[: pixels + 3], "0001:000a I/O suspension or premature end of stream"),
        "length": (whole[: pixels + 6], "0001:000a I/O suspension or premature end of stream"),
        "sequence": (whole[:pixels] + sequence, "0001:0022 Sequence Delimitation Item missing"),
    }
    for name, (data, _) in cases.items():
        (folder / f"{name}.dcm").write_bytes(data)
    return {name: condition for name, (_, condition) in cases.items()}


@BOTH
@pytest.mark.parametrize("name", ["value", "header", "length", "sequence"])
def test_a_cut_file_is_refused_before_it_is_sent(
    name: str,
    implementation: str,
    objects: list[make.SyntheticObject],
    tmp_path: Path,
    running_scp: StartReceiver,
) -> None:
    """The run ends with code 1 and an abort; nothing of the file reached the peer."""
    receiver = running_scp("storescp", "-v")
    condition = cut_files(tmp_path)[name]
    arguments = ["-v", "127.0.0.1", str(receiver.port), tmp_path / f"{name}.dcm"]
    done = run_tool(implementation, "storescu", [*arguments, tmp_path / "in" / "0.dcm"])
    assert done.code == 1
    words = condition.partition(" ")[2]
    assert done.lines[-3:] == [
        f"E: Bad DICOM file: {tmp_path / f'{name}.dcm'}: {words}",
        f"E: Store SCU Failed: {condition}",
        "I: Aborting Association",
    ]
    receiver.stderr.wait_for("Association Aborted")
    assert "Received Store Request" not in receiver.stderr.text
    assert_only(receiver, set())


@BOTH
def test_other_files_go_on_after_a_cut_one(
    implementation: str,
    objects: list[make.SyntheticObject],
    tmp_path: Path,
    running_scp: StartReceiver,
) -> None:
    receiver = running_scp("storescp")
    cut = [tmp_path / f"{name}.dcm" for name in cut_files(tmp_path)]
    files = [tmp_path / "in" / "0.dcm", *cut, tmp_path / "in" / "1.dcm"]
    arguments = ["--no-halt", "127.0.0.1", str(receiver.port), *files]
    done = run_tool(implementation, "storescu", arguments)
    assert done.code == 0
    assert sum("Bad DICOM file" in line for line in done.lines) == len(cut)
    assert_stored(receiver, objects[:2])


@pytest.mark.parametrize("spelling", ["-h", "--help"])
def test_help(spelling: str) -> None:
    done = run_tool("dcmfast", "storescu", [spelling])
    assert done.code == 0
    assert "usage: storescu [options] peer port dcmfile-in..." in done.stdout
    assert pdu.text("--scan-directories").decode() in done.stdout
