"""Data dictionary files: every mistake in DCMTK's words, every form of a tag."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dcmfast.config import dictionary
from testkit.process import child_environment

#: Lines with one mistake each, and what is said behind the file's name.
MISTAKES = {
    "(0010,0020)\tLO": "too few fields (line 1)",
    "hello": "too few fields (line 1)",
    "(0010,1010)   AS   PatientAge  1  DICOM": "too few fields (line 1)",
    "(0010,0040)\tCS\tSex\t1\tDICOM\textra": "too many fields (line 1): ",
    "(0010,0030)\tXX\tFoo\t1\tDICOM": "bad VR field (line 1): XX",
    "(0010,0030)\tUS\tFoo\t1-x\tDICOM": "bad VM field (line 1): 1-x",
    "(0010,0030)\tUS\tFoo\t1x": "bad VM field (line 1): 1x",
    '"(0010,2154)"\tSH\tFoo\t1': 'bad Tag field (line 1): "(0010,2154)"',
    "(0010)\tPN\tX\t1": "bad Tag field (line 1): (0010)",
    "(-,)\tLO\tID\t1": "bad Tag field (line 1): (-,)",
    "(zz,1)\tLO\tID\t1": "bad Tag field (line 1): (zz,1)",
    "(0010,0020\tLO\tID\t1": "bad Tag field (line 1): (0010,0020",
    '(0043,"ACME,10)\tUS\tNoquote\t1': 'bad Tag field (line 1): (0043,"ACME,10)',
}

#: Lines that are read, and what of them: groups, elements, creator, VR, name.
READ = {
    "(0010,0010)\tPN\tPatientName\t1\tDICOM": (16, 16, 0, 16, 16, 0, "", "PN", "PatientName"),
    " (0010,0010) \t PN \t Patient Name \t 1 ": (16, 16, 0, 16, 16, 0, "", "PN", "Patient Name"),
    "(0010,0040)\tCS\tThree": (16, 16, 0, 64, 64, 0, "", "CS", "Three"),
    "(6000-60FF,0010)\tUS\tRows\t1": (0x6000, 0x60FF, 2, 16, 16, 0, "", "US", "Rows"),
    "(0009-o-FFFF,0010-u-00FF)\tLO\tC\t1": (9, 0xFFFF, 1, 16, 255, 0, "", "LO", "C"),
    '(0029,"ACME 1.1",10)\tDS\tP\t1-n\tX': (41, 41, 0, 16, 16, 0, "ACME 1.1", "DS", "P"),
    "(001g,0040)\tCS\tHalf\t1": (1, 1, 0, 64, 64, 0, "", "CS", "Half"),
    "(0010,1010)\t??\tAge\tn": (16, 16, 0, 0x1010, 0x1010, 0, "", "UN", "Age"),
    "(0010,1010)\txs\tAge\t2-2n": (16, 16, 0, 0x1010, 0x1010, 0, "", "xs", "Age"),
    "(0010,1010)\tASX\tAge\t1": (16, 16, 0, 0x1010, 0x1010, 0, "", "AS", "Age"),
    "(0010,0020,0030)\tLO\tID\t1": (16, 16, 0, 32, 32, 0, "", "LO", "ID"),
}


def told(found: dictionary.Dictionary) -> tuple[tuple[str, str], ...]:
    """What is wrong; that a file was read is said at -d."""
    return tuple(line for line in found.lines if line[0] != "D")


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes(line: str, tmp_path: Path) -> None:
    path = tmp_path / "own.dic"
    path.write_text(line)
    found = dictionary.read(str(path))
    assert found.entries == ()
    assert told(found) == (
        ("E", f"DcmDataDictionary: {path}: {MISTAKES[line]}"),
        ("W", "no data dictionary loaded, check environment variable: DCMDICTPATH"),
    )


@pytest.mark.parametrize("line", READ)
def test_lines(line: str, tmp_path: Path) -> None:
    path = tmp_path / "own.dic"
    path.write_text(f"# comment\n\n  # indented\r\n{line}\r\n")
    found = dictionary.read(str(path))
    assert told(found) == ()
    assert found.entries == (READ[line],)


def test_an_unknown_restriction_is_told_twice(tmp_path: Path) -> None:
    path = tmp_path / "own.dic"
    path.write_text("(0010-x-0020,0051)\tCS\tBad\t1\tDICOM")
    assert [text for _, text in told(dictionary.read(str(path)))][:2] == [
        "DcmDataDictionary: Unknown range restrictor: x",
        f"DcmDataDictionary: {path}: bad Tag field (line 1): (0010-x-0020,0051)",
    ]


def test_a_mistake_costs_its_line_only(tmp_path: Path) -> None:
    path = tmp_path / "own.dic"
    path.write_text("bad\n(0010,0010)\tPN\tName\t1\n")
    assert len(dictionary.read(str(path)).entries) == 1


def test_files_without_end_or_number_are_bounded(tmp_path: Path) -> None:
    (_, text), *_ = dictionary.read("/dev/zero").lines
    assert text == "DcmDataDictionary: Cannot open file: /dev/zero (too large)"
    path = tmp_path / "own.dic"
    path.write_text("(0010,0010)\tPN\tName\t1\n")
    found = dictionary.read(":".join([str(path)] * (dictionary.FILES_MAX + 5)))
    assert len(found.entries) == dictionary.FILES_MAX
    assert len(told(found)) == 1


@pytest.mark.dcmtk
def test_dcmtks_own_files() -> None:
    """All of them are read without a word."""
    folder = max(Path("/usr/share").glob("libdcmtk*"))
    found = dictionary.read(f"{folder}/dicom.dic:{folder}/private.dic")
    assert told(found) == ()
    assert len(found.entries) > 7500


def dcmtks(paths: str) -> list[str]:
    """Lines of DCMTK's dcmdump about its dictionary; the file that it reads is not there."""
    done = subprocess.run(
        ["/usr/bin/dcmdump", "-d", "/nonexistent/file"],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(DCMDICTPATH=paths),
    )
    return [line for line in done.stderr.splitlines() if "dictionary" in line.lower()]


@pytest.mark.dcmtk
def test_dcmtk_says_the_same(tmp_path: Path) -> None:
    good, empty = tmp_path / "good.dic", tmp_path / "empty.dic"
    good.write_text("\n".join(READ))
    empty.write_text("# nothing\n")
    bad = [tmp_path / f"bad{number}.dic" for number in range(len(MISTAKES))]
    for path, line in zip(bad, MISTAKES, strict=True):
        path.write_text(line)
    wrong = tmp_path / "wrong.dic"
    wrong.write_text("(0010-x-0020,0051)\tCS\tBad2\t1\n" + "\n".join(MISTAKES))
    for paths in (
        ":",
        "/nonexistent/a",
        "/nonexistent/a:/nonexistent/b",
        f"/nonexistent/a:{empty}",
        f"{empty}:/nonexistent/a",
        f"{wrong}:",
        f":{wrong}:{empty}",
        f"{good}",
        str(tmp_path),
        ":".join(map(os.fspath, bad)),
    ):
        ours = [f"{letter}: {text}" for letter, text in dictionary.read(paths).lines]
        assert [line.rstrip() for line in ours] == [line.rstrip() for line in dcmtks(paths)], paths
