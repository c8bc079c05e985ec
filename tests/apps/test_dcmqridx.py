"""dcmqridx beside DCMTK's: lines, exit codes, what it prints, and what it never does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

import dcmfast
from testkit.objects import write_object
from testkit.process import Finished, run_tool

CT = Path(str(get_testdata_file("CT_small.dcm")))
MR = Path(str(get_testdata_file("MR_small.dcm")))
MR_RLE = Path(str(get_testdata_file("MR_small_RLE.dcm")))


def run(*arguments: str | Path, implementation: str = "dcmfast") -> Finished:
    return run_tool(implementation, "dcmqridx", arguments)


def without_times(text: str) -> list[str]:
    """Lines that both programs can agree in: not the second in which they ran."""
    dates = re.compile(r"(LastRecDate|RecordedDate): .*")
    lines = [dates.sub(r"\1:", line) for line in text.splitlines()]
    # DCMTK describes an object in words of its own, which nothing queries.
    return [line for line in lines if not line.startswith("  InstanceDescription:")]


@pytest.mark.dcmtk
def test_the_listing_is_dcmtks(tmp_path: Path) -> None:
    listings = {}
    for implementation in ("dcmtk", "dcmfast"):
        area = tmp_path / implementation
        area.mkdir()
        assert run(area, CT, MR, implementation=implementation).code == 0
        listings[implementation] = run("-p", area, implementation=implementation).stdout
    ours, theirs = (without_times(listings[one]) for one in ("dcmfast", "dcmtk"))
    assert ours == theirs


@pytest.mark.dcmtk
def test_lines_and_codes_are_dcmtks(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no object at all, but long enough to be looked at")
    outcomes = {}
    for implementation in ("dcmtk", "dcmfast"):
        area = tmp_path / implementation
        area.mkdir()
        done = run("-v", area, CT, MR, tmp_path / "none", text, implementation=implementation)
        again = run(area, MR_RLE, implementation=implementation)
        # Why a file cannot be read is told in words of one's own.
        own = re.compile(r"E: (Dcm|dcmfast\.)")
        lines = [line for line in done.lines + again.lines if not own.match(line)]
        outcomes[implementation] = (done.code, again.code, lines)
    assert outcomes["dcmfast"] == outcomes["dcmtk"]
    assert run(tmp_path / "no-area", CT).code == 1


def test_files_inside_are_relative_and_others_absolute(tmp_path: Path) -> None:
    area = tmp_path / "area"
    area.mkdir()
    shutil.copy(CT, area / "x.dcm")
    (tmp_path / "link").symlink_to(area)
    assert run(tmp_path / "link", area / "x.dcm", MR).code == 0
    names = re.findall(r"Filename: (.*)", run("-p", area).stdout)
    assert names == ["x.dcm", str(MR)]
    # A rebuild keeps what only the old index knows.
    assert run_tool("dcmfast", "index", ["rebuild", area]).code == 0
    assert run_tool("dcmfast", "index", ["show", "--outside", area]).stdout == f"{MR}\n"


def test_nothing_is_ever_deleted(tmp_path: Path) -> None:
    area = tmp_path / "area"
    first = write_object(area / "first.dcm", 1)
    second = write_object(area / "second.dcm", 1, comment="another")
    outside = write_object(tmp_path / "outside.dcm", 1, comment="a third")
    done = run(area, first, second, outside)
    assert done.code == 0
    assert [line.split(" despite")[0] for line in done.lines] == [
        "W: file delete operations are disabled, keeping file: first.dcm",
        "W: file delete operations are disabled, keeping file: second.dcm",
    ]
    assert first.exists()
    assert second.exists()
    assert re.findall(r"Filename: (.*)", run("-p", area).stdout) == [str(outside)]


def test_a_file_that_another_object_has_taken_over_stays(tmp_path: Path) -> None:
    """Both are listed there; when one is replaced over the network, the other keeps its file."""
    area = tmp_path / "area"
    path = write_object(area / "x.dcm", 1)
    assert run(area, path).code == 0
    write_object(path, 2)
    assert run(area, path).code == 0
    again = write_object(tmp_path / "again.dcm", 1, comment="received anew")
    with dcmfast.ArchiveServer(area, 0) as server:
        sent = run_tool("dcmfast", "storescu", ["127.0.0.1", str(server.port), again])
        assert sent.code == 0, sent.stderr
    names = re.findall(r"Filename: (.*)", run("-p", area).stdout)
    assert "x.dcm" in names
    assert len(names) == 2
    assert path.exists()


def test_what_the_archive_keeps_for_itself_is_no_object(tmp_path: Path) -> None:
    area = tmp_path / "area"
    hidden = write_object(area / ".dcmfast" / "x.dcm", 1)
    done = run(area, hidden)
    assert done.lines[0] == f"E: cannot load dicom file: {hidden}"
    assert "RECORDS IN THIS INDEXFILE: 0" in run("-p", area).stdout


def test_an_index_that_cannot_be_used_is_made_anew(tmp_path: Path) -> None:
    assert run(tmp_path, CT).code == 0
    (tmp_path / ".dcmfast" / "index" / "data.mdb").write_bytes(b"garbage " * 4096)
    done = run(tmp_path, MR)
    assert (done.code, len(done.lines)) == (0, 3)
    # What lay outside the area was known to the old one alone.
    assert "gets a new one from its files" in done.lines[0]
    assert "the old index is kept" in done.lines[1]
    assert "files outside of the area" in done.lines[1]
    assert "0 instances are listed" in done.lines[2]
    assert "RECORDS IN THIS INDEXFILE: 1" in run("-p", tmp_path).stdout


@pytest.mark.dcmtk
@pytest.mark.parametrize("implementation", ["dcmtk", "dcmfast"])
def test_not_new(implementation: str, tmp_path: Path) -> None:
    """``-n``: a status of each instance, which goes when it is registered again without."""

    def statuses() -> list[str]:
        listing = run("-p", tmp_path, implementation=implementation).stdout
        return sorted(re.findall(r"Status: (.*)", listing))

    assert run("-n", tmp_path, CT, MR, implementation=implementation).code == 0
    assert statuses() == ["is NOT new", "is NOT new"]
    assert run(tmp_path, CT, implementation=implementation).code == 0
    assert statuses() == ["is NOT new", "is new"]
