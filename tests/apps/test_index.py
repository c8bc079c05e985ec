"""dcmfast index: show, verify, rebuild, export, import and quota, of whole and of hurt archives."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file

from testkit.kinds import StartReceiver
from testkit.objects import own_path, uid, write_object
from testkit.process import Finished, run_tool

FILES = 20


@pytest.fixture
def area(tmp_path: Path) -> Path:
    """An area with twenty own files, and an index of them."""
    directory = tmp_path / "area"
    for number in range(1, FILES + 1):
        write_object(own_path(directory, number), number, study=(number - 1) // 5 + 1)
    assert run("rebuild", directory).code == 0
    return directory


def run(command: str, *arguments: str | Path) -> Finished:
    return run_tool("dcmfast", "index", [command, *arguments])


def findings(done: Finished) -> list[tuple[str, str]]:
    """Problem and path of each line of ``--json`` but the last, which sums up."""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted((row["problem"], row["path"]) for row in rows[:-1])


def left_out(done: Finished) -> list[tuple[str, str]]:
    """The same of a rebuild: what it did not list."""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted((row["reason"], row["path"]) for row in rows[:-1])


def summary(done: Finished) -> dict[str, Any]:
    last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return last


def verified(area: Path, *options: str) -> list[tuple[str, str]]:
    done = run("verify", area, "--json", *options)
    found = findings(done)
    assert done.code == (1 if summary(done)["findings"] > summary(done)["repaired"] else 0)
    return found


def name(area: Path, number: int) -> str:
    return str(own_path(area, number).relative_to(area))


# ---- What is whole ----------------------------------------------------------------------------


def test_a_whole_archive_has_no_findings(area: Path) -> None:
    for depth in ((), ("--digest",), ("--full",), ("--repair",)):
        assert verified(area, *depth) == []
    shown = summary(run("show", area, "--json"))
    counts = [shown[level] for level in ("patients", "studies", "series", "instances")]
    assert counts == [4, 4, 4, FILES]
    assert shown["file_bytes"] == sum(
        own_path(area, number).stat().st_size for number in range(1, FILES + 1)
    )


def test_what_is_printed(area: Path) -> None:
    done = run("verify", area)
    assert done.stdout == "20 instances listed, 20 files there: 0 findings\n"
    assert "instances     20\n" in run("show", area).stdout
    listed = run("show", area, "--studies").stdout.splitlines()
    assert len(listed) == 4
    assert re.search(r"5 objects .* P1  Doe\^Jane$", "\n".join(listed), re.MULTILINE)


def test_an_exported_index_is_imported(area: Path, tmp_path: Path) -> None:
    """What is exported, imported and exported again is the same, byte for byte."""
    assert run("export", area, tmp_path / "one").code == 0
    done = run("import", area, tmp_path / "one", "--json")
    assert (done.code, summary(done)["instances"]) == (0, FILES)
    assert run("export", area, tmp_path / "two").code == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes()[:20] == b"dcmfast index\0\0\0\0\0\0\2"
    assert verified(area, "--full") == []


def test_variants_survive_a_move(tmp_path: Path) -> None:
    """Two objects of one study that disagree about its patient."""
    directory = tmp_path / "area"
    for number, patient in ((1, "A"), (2, "B"), (3, "A")):
        path = write_object(own_path(directory, number), number)
        path.write_bytes(path.read_bytes().replace(b"Doe^Jane", f"Doe^{patient * 4}".encode()))
    assert run("rebuild", directory).code == 0
    assert run("export", directory, tmp_path / "one").code == 0
    assert run("import", directory, tmp_path / "one").code == 0
    assert verified(directory, "--full") == []


def test_an_area_that_dcmtk_filled(dcmtk_peer: StartReceiver, tmp_path: Path) -> None:
    """Files of any name, and DCMTK's own index beside them, which is no finding."""
    (tmp_path / "area").mkdir()
    server = dcmtk_peer("storescp", directory=tmp_path / "area")
    files = [str(get_testdata_file(one)) for one in ("CT_small.dcm", "MR_small.dcm")]
    assert run_tool("dcmtk", "storescu", ["127.0.0.1", str(server.port), *files]).code == 0
    assert run_tool("dcmtk", "dcmqridx", [server.directory]).code == 0
    # With -F its dcmqrscp writes data sets alone.
    path = server.directory / "CT_6b0162d014109b09.dcm"
    write_object(path, 901, study=9)
    whole = pydicom.dcmread(path)
    pydicom.dcmwrite(path, Dataset(whole), implicit_vr=False, little_endian=True)
    (server.directory / "DICOMDIR").write_bytes(Path(get_testdata_file("DICOMDIR")).read_bytes())
    (server.directory / "text.dcm").write_text("no data set\n")
    done = run("rebuild", server.directory, "--json")
    assert (done.code, summary(done)["instances"], summary(done)["others"]) == (0, 3, 3)
    assert verified(server.directory, "--full") == []
    path.write_bytes(path.read_bytes()[:-7])
    assert verified(server.directory) == [("size", path.name)]
    assert left_out(run("rebuild", server.directory, "--json")) == [("damaged", path.name)]


# ---- What is hurt -----------------------------------------------------------------------------


def test_each_kind_of_damage_is_found(area: Path) -> None:
    own_path(area, 1).unlink()
    own_path(area, 2).unlink()
    own_path(area, 2).symlink_to(own_path(area, 3))
    with own_path(area, 4).open("ab") as file:
        file.write(b"x")
    changed = bytearray(own_path(area, 5).read_bytes())
    changed[-20] ^= 1
    own_path(area, 5).write_bytes(changed)
    write_object(own_path(area, 30), 30)
    write_object(area / "sub" / "copy.dcm", 6)
    (area / "cut.dcm").write_bytes(own_path(area, 7).read_bytes()[:-9])
    (area / "notes.txt").write_text("none of ours")
    expected = [
        ("damaged", "cut.dcm"),
        ("duplicate", "sub/copy.dcm"),
        ("missing", name(area, 1)),
        ("not-a-file", name(area, 2)),
        ("size", name(area, 4)),
        ("unlisted", name(area, 30)),
    ]
    assert verified(area) == expected
    assert ("digest", name(area, 5)) in verified(area, "--digest")


def test_repair_puts_the_index_right_and_touches_no_file(area: Path) -> None:
    own_path(area, 1).unlink()
    moved = area / "moved.dcm"
    own_path(area, 2).rename(moved)
    write_object(own_path(area, 30), 30)
    before = {path: path.read_bytes() for path in area.rglob("*.dcm")}
    found = verified(area, "--repair")
    assert ("missing", name(area, 1)) in found
    assert ("unlisted", "moved.dcm") in found
    assert verified(area, "--full") == []
    assert {path: path.read_bytes() for path in area.rglob("*.dcm")} == before
    assert summary(run("show", area, "--json"))["instances"] == FILES


def test_repair_spares_what_may_be_unmounted(area: Path, tmp_path: Path) -> None:
    """A disk that is not mounted is an empty directory, and no reason to forget what is on it."""
    outside = tmp_path / "outside"
    for folder in ("empty", "used"):
        (outside / folder).mkdir(parents=True)
    (outside / "used" / "other.txt").touch()
    elsewhere = [outside / folder / "x.dcm" for folder in ("empty", "used")]
    for number, path in enumerate(elsewhere, 50):
        write_object(path, number)
        assert run_tool("dcmfast", "dcmqridx", [area, path]).code == 0
        path.unlink()
    link = own_path(area, 1)
    link.rename(outside / "moved")
    link.symlink_to(outside / "moved")
    write_object(area / "one.dcm", 60)
    write_object(area / "two.dcm", 60)
    found = verified(area, "--repair")
    assert [one for one in found if one[0] != "unlisted"] == [
        ("duplicate", "two.dcm"),
        ("missing", str(elsewhere[0])),
        ("missing", str(elsewhere[1])),
        ("not-a-file", name(area, 1)),
    ]
    # The one whose directory holds something else is surely gone.
    assert ("missing", str(elsewhere[0])) in verified(area)
    assert ("missing", str(elsewhere[1])) not in verified(area)
    listed = summary(run("show", area, "--json"))["instances"]
    (area / "objects").rename(outside / "objects")
    for path in area.glob("*.dcm"):
        path.rename(outside / path.name)
    done = run("verify", area, "--repair")
    assert done.code == 1
    assert "mounted" in done.stderr
    assert summary(run("show", area, "--json"))["instances"] == listed


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can act for others")
def test_root_works_as_the_owner_of_the_area() -> None:
    """What a tool makes, the server can use, which gave up root's rights."""
    nobody = 65534
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        area, exported = Path(folder, "area"), Path(folder, "exported")
        for number in range(1, 4):
            write_object(own_path(area, number), number)
        write_object(area / "other.dcm", 9)
        for path in (area, *area.rglob("*")):
            os.chown(path, nobody, nobody)

        def strangers() -> list[Path]:
            return [path for path in area.rglob("*") if path.stat().st_uid != nobody]

        for line in (["rebuild"], ["verify", "--repair"]):
            assert run(line[0], *line[1:], area).code == 0
            assert strangers() == [], line
        assert run("export", area, exported).code == 0
        assert run("import", area, exported).code == 0
        assert run_tool("dcmfast", "dcmqridx", [area, area / "other.dcm"]).code == 0
        assert summary(run("show", area, "--json"))["instances"] == 4
        assert strangers() == []


def test_of_two_files_with_one_uid_the_newest_own_is_listed(area: Path) -> None:
    write_object(own_path(area, 40), 1, comment="newer")
    write_object(area / "other.dcm", 1, comment="of other origin")
    done = run("rebuild", area, "--json")
    assert done.code == 1
    left_out = {json.loads(line)["path"] for line in done.stdout.splitlines()[:-1]}
    assert left_out == {name(area, 1), "other.dcm"}
    assert summary(done)["instances"] == FILES
    assert verified(area) == [("duplicate", name(area, 1)), ("duplicate", "other.dcm")]


@pytest.mark.parametrize("length", [0, 100, 131, 132, 140, 200, -1, -30])
def test_cut_files_are_left_out(length: int, area: Path) -> None:
    whole = own_path(area, 1).read_bytes()
    own_path(area, 1).write_bytes(whole[:length])
    done = run("rebuild", area, "--json")
    assert (done.code, summary(done)["damaged"], summary(done)["instances"]) == (1, 1, FILES - 1)


def test_links_and_pipes_are_passed_over(area: Path) -> None:
    """Nothing is followed, and nothing waits for the other end of a pipe."""
    (area / "loop").symlink_to(area)
    (area / "out.dcm").symlink_to(get_testdata_file("CT_small.dcm"))
    os.mkfifo(area / "pipe.dcm")
    (area / "gone").symlink_to("nowhere")
    done = run("rebuild", area, "--json")
    assert (done.code, summary(done)["instances"], summary(done)["others"]) == (0, FILES, 4)
    assert verified(area) == []


def test_names_that_are_no_text_are_told(area: Path) -> None:
    """A folder in Latin-1 is not gone into: whoever rebuilds hears of it."""
    folder = area / os.fsdecode(b"M\xfcller")
    write_object(area / "Müller" / "new.dcm", 901, study=9)
    (area / "Müller").rename(folder)
    done = run("rebuild", area, "--json")
    assert (done.code, left_out(done)) == (1, [("name", "M\ufffdller")])
    assert verified(area) == [("name", "M\ufffdller")]
    assert "it needs another name" in run("verify", area).stdout
    folder.rename(area / "Müller")
    assert verified(area, "--repair") == [("unlisted", "Müller/new.dcm")]


def test_names_move_no_cursor(area: Path) -> None:
    """Neither a file's nor a patient's: who listed them is not who wrote them."""
    path = area / "a\x1b[31m\n.dcm"
    write_object(path, 901, study=9)
    path.write_bytes(path.read_bytes()[:-7])
    data_set = pydicom.dcmread(own_path(area, 1))
    data_set.PatientName = "Doe\x1b[31m"
    data_set.save_as(own_path(area, 1))
    assert left_out(run("rebuild", area, "--json")) == [("damaged", path.name)]
    done = run("verify", area)
    assert "a\\x1b[31m\\x0a.dcm: not listed" in done.stdout
    shown = run("show", area, "--studies").stdout
    assert "Doe" in shown
    assert "\x1b" not in done.stdout + shown


# ---- An index that cannot be used ---------------------------------------------------------------


def hurt(area: Path, how: str) -> None:
    data = area / ".dcmfast" / "index" / "data.mdb"
    size = data.stat().st_size
    if how == "cut":
        os.truncate(data, size // 2)
    elif how == "garbage":
        data.write_bytes(b"garbage " * (size // 8))
    elif how == "empty file":
        data.write_bytes(b"")
    else:
        import lmdb

        data.unlink()
        (data.parent / "lock.mdb").unlink()
        lmdb.open(str(data.parent)).close()


@pytest.mark.parametrize("how", ["cut", "garbage", "foreign"])
def test_a_damaged_index_is_told_in_one_line_and_rebuilt(how: str, area: Path) -> None:
    hurt(area, how)
    for command in ("show", "verify"):
        done = run(command, area)
        assert (done.code, done.stdout, len(done.lines)) == (2, "", 1), done
        assert f"`dcmfast index rebuild {area}`" in done.stderr
    done = run("rebuild", area)
    assert done.code == 0, done
    assert "files outside of the area" in done.stderr
    assert verified(area, "--full") == []


@pytest.mark.parametrize("how", ["cut", "garbage", "empty file", "gone", "older"])
def test_a_server_makes_a_new_index(how: str, area: Path, running_scp: StartReceiver) -> None:
    """Without being asked, before the first query: nothing is found that says success and is empty.

    Of an index of an earlier format what it alone knows stays: here, a file outside the area.
    """
    outside = area.parent / "elsewhere.dcm"
    write_object(outside, 900, study=9)
    assert run_tool("dcmfast", "dcmqridx", ["-n", str(area), str(outside)]).code == 0
    before = summary(run("show", area, "--json"))["instances"]
    if how == "older":
        make_older(area)
    elif how == "gone":
        shutil.rmtree(area / ".dcmfast" / "index")
    else:
        hurt(area, how)
    server = running_scp("serve", directory=area)
    told = "brought up to date" if how == "older" else "gets a new one from its files"
    server.stderr.wait_for(told)
    assert server.stop() == 0
    # It alone knew of files elsewhere.
    is_kept = (area / ".dcmfast" / "index.damaged" / "data.mdb").exists()
    assert is_kept == (how not in {"gone", "older"})
    after = summary(run("show", area, "--json"))["instances"]
    assert (before, after) == (FILES + 1, FILES + (how == "older"))
    assert verified(area, "--full") == []
    listed = run_tool("dcmfast", "dcmqridx", ["-p", str(area)]).stdout
    assert (str(outside) in listed) == (how == "older")
    assert ("Status: is NOT new" in listed) == (how == "older")


def make_older(area: Path) -> None:
    """Call the index one of format 1, which is laid out alike."""
    import lmdb

    with lmdb.open(str(area / ".dcmfast" / "index"), max_dbs=16) as environment:
        meta = environment.open_db(b"meta", create=False)
        with environment.begin(db=meta, write=True) as transaction:
            assert transaction.get(b"format") == b"dcmfast\0\0\0\0\3"
            transaction.put(b"format", b"dcmfast\0\0\0\0\1")


def test_an_index_that_cannot_be_looked_at_is_not_called_missing(area: Path) -> None:
    """As one that may not be read: here a link that leads to itself."""
    data = area / ".dcmfast" / "index" / "data.mdb"
    data.unlink()
    data.symlink_to(data)
    for command in ("show", "verify"):
        done = run(command, area)
        assert (done.code, len(done.lines)) == (2, 1)
        assert "Too many levels of symbolic links" in done.stderr


def test_a_file_whose_data_set_has_no_uid_is_not_listed(area: Path) -> None:
    """As DCMTK's dcmqridx: the UID of the head alone names nothing."""
    path = area.parent / "nameless.dcm"
    write_object(path, 901, study=9)
    data_set = pydicom.dcmread(path)
    del data_set.SOPInstanceUID
    # pydicom would name it in the data set again.
    pydicom.dcmwrite(path, data_set, enforce_file_format=False)
    done = run_tool("dcmfast", "dcmqridx", [str(area), str(path)])
    assert f"E: cannot load dicom file: {path}" in done.stderr
    assert str(path) not in run_tool("dcmfast", "dcmqridx", ["-p", str(area)]).stdout


def test_no_index_at_all(tmp_path: Path) -> None:
    done = run("verify", tmp_path)
    assert done.code == 2
    assert done.lines == [
        f"F: storage area {tmp_path} has no index: make it with `dcmfast index rebuild {tmp_path}`"
    ]
    assert list(tmp_path.iterdir()) == []
    missing = tmp_path / "none"
    for command in ("show", "rebuild"):
        done = run(command, missing)
        assert (done.code, len(done.lines)) == (2, 1)
        assert "No such file or directory" in done.stderr
    assert not missing.exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data[:-1], "it is cut"),
        (lambda data: data[: len(data) // 2], "it is cut"),
        (lambda data: b"x" + data[1:], "it is no exported index"),
        (lambda data: data[:0], "it is no exported index"),
        (
            lambda data: data[:19] + b"\3" + data[20:],
            "it is of version 3; this program reads 1 and 2",
        ),
        (lambda data: data[:20] + b"\x7f\xff\xff\xff" + data[24:], "an entry of 2147483647 bytes"),
        (lambda data: data[:-30] + b"?" + data[-29:], "cannot import"),
        (lambda data: data.replace(b"moved.dcm", b"../ed.dcm"), "no area can have"),
    ],
)
def test_a_bad_export_leaves_the_index(change: Any, why: str, area: Path, tmp_path: Path) -> None:
    own_path(area, 1).rename(area / "moved.dcm")
    assert run("rebuild", area).code == 0
    assert run("export", area, tmp_path / "export").code == 0
    data = (tmp_path / "export").read_bytes()
    (tmp_path / "export").write_bytes(change(data))
    done = run("import", area, tmp_path / "export")
    assert (done.code, len(done.lines)) == (2, 1), done
    assert why in done.stderr
    assert verified(area) == []
    assert not (area / ".dcmfast" / "index.new").exists()


# ---- Interrupted ------------------------------------------------------------------------------

_IN_A_CHILD = """
import os, signal, sys
from dcmfast.archive import index
# A runner that was started in the background ignores it, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
def watch(*_):
    os.kill(os.getpid(), signal.{signal})
index.rebuild(sys.argv[1], report=print, watch=watch)
"""


@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGINT"])
def test_a_rebuild_that_is_ended_leaves_the_old_index(signal_name: str, area: Path) -> None:
    write_object(own_path(area, 30), 30)
    code = _IN_A_CHILD.format(signal=signal_name)
    done = subprocess.run([sys.executable, "-c", code, area], capture_output=True, check=False)
    assert done.returncode in (-signal.SIGKILL, -signal.SIGINT, 1)
    # The old one is there and does not know the new file; the next rebuild does.
    assert verified(area) == [("unlisted", name(area, 30))]
    assert (area / ".dcmfast" / "index.new").exists() == (signal_name == "SIGKILL")
    assert run("rebuild", area).code == 0
    assert verified(area, "--full") == []
    assert not (area / ".dcmfast" / "index.new").exists()


# ---- Beside a server --------------------------------------------------------------------------


def test_beside_a_server(running_scp: StartReceiver, tmp_path: Path) -> None:
    """Looking is safe; what would change the index is refused in one line that says what to do."""
    directory = tmp_path / "area"
    server = running_scp("serve", directory=directory)
    server.stdout.wait_for("^In another")
    file = str(get_testdata_file("CT_small.dcm"))
    assert run_tool("dcmfast", "storescu", ["127.0.0.1", str(server.port), file]).code == 0
    for command in (["show"], ["verify"], ["verify", "--full"], ["export", tmp_path / "x"]):
        done = run_tool("dcmfast", "index", [command[0], directory, *command[1:]])
        assert done.code == 0, done
    for command in (["rebuild"], ["verify", "--repair"], ["import", tmp_path / "x"]):
        done = run_tool("dcmfast", "index", [command[0], directory, *command[1:]])
        assert (done.code, len(done.lines)) == (2, 1), done
        assert f"storage area {directory} is in use: stop its server" in done.stderr
    assert server.stop() == 0
    assert verified(directory, "--repair") == []


def test_what_a_rebuild_made_is_served(running_scp: StartReceiver, area: Path) -> None:
    server = running_scp("serve", directory=area)
    server.stdout.wait_for("^In another")
    file = str(get_testdata_file("CT_small.dcm"))
    assert run_tool("dcmfast", "storescu", ["127.0.0.1", str(server.port), file]).code == 0
    assert server.stop() == 0
    # The new object has a number above those that were there.
    assert own_path(area, FILES + 1).exists()
    assert verified(area, "--full") == []


# ---- Quota ------------------------------------------------------------------------------------


def test_quota_says_what_would_go(area: Path) -> None:
    size = sum(own_path(area, number).stat().st_size for number in range(1, 6))
    done = run("quota", "--dry-run", "--max-studies", "4", "--json", area)
    assert done.code == 0
    assert (summary(done)["studies"], summary(done)["shrunk_studies"]) == (1, 0)
    done = run("quota", "--dry-run", "--max-study-bytes", str(size - 100), "--json", area)
    assert summary(done)["studies"] == 0
    assert summary(done)["shrunk_studies"] >= 1
    assert len(list(area.rglob("*.dcm"))) == FILES


def test_quota_takes_its_limits_from_a_configuration(area: Path, tmp_path: Path) -> None:
    """Those of the first line for the area; what is typed comes before them."""
    config = tmp_path / "dcmqrscp.cfg"
    config.write_text(
        "AETable BEGIN\n"
        f"A {tmp_path} RW (1, 1024mb) ANY\n"
        f"B {area}/../{area.name}/ RW (3, unlimited) ANY\n"
        f"C {area} RW (1, 1024mb) ANY\n"
        "AETable END\n"
    )
    for options, studies in (([], 2), (["--max-studies", "4"], 1)):
        done = run("quota", "--dry-run", "-c", str(config), *options, "--json", area)
        assert (done.code, summary(done)["studies"]) == (0, studies), done
    missing = run("quota", "--dry-run", "-c", str(config), area.parent.parent)
    assert missing.code != 0
    assert "has no storage area" in missing.stderr
    unreadable = run("quota", "--dry-run", "-c", str(tmp_path / "none.cfg"), area)
    assert "No such file or directory" in unreadable.stderr
    config.write_text("AETable BEGIN\nnonsense\n")
    broken = run("quota", "--dry-run", "-c", str(config), area)
    assert "line 2" in broken.stderr


# ---- Command lines ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["look", "x"], "Invalid parameter value look: expected one of show, verify,"),
        (["show"], "Missing parameter directory"),
        (["show", "x", "y"], "Too many parameters"),
        (["export", "x"], "Missing parameter file"),
        (["show", "x", "--repair"], "--repair not allowed with show"),
        (["rebuild", "x", "--digest"], "--digest not allowed with rebuild"),
        (["verify", "x", "--threads", "17"], "Invalid value for option --threads (overflow: 17)"),
        (["quota", "x", "--max-studies", "1"], "quota only says what would go: type --dry-run"),
        (["quota", "x", "--dry-run"], "quota needs --config, or --max-studies or"),
        (
            ["quota", "x", "--dry-run", "--max-study-bytes", "1KK"],
            "Invalid value for option --max-study-bytes (1KK)",
        ),
    ],
)
def test_what_cannot_be_obeyed(arguments: list[str], expected: str, tmp_path: Path) -> None:
    done = run_tool("dcmfast", "index", arguments, cwd=tmp_path)
    assert done.code == 1
    assert f"error: {expected}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_uids_of_findings(area: Path) -> None:
    own_path(area, 3).unlink()
    row = json.loads(run("verify", "--json", area).stdout.splitlines()[0])
    assert row["sop_instance_uid"] == uid(3)


def test_an_area_on_two_file_systems_is_refused(area: Path) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("no other file system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == area.stat().st_dev:
            pytest.skip("one file system")
        shutil.copytree(area / "objects", Path(other, "objects"))
        shutil.rmtree(area / "objects")
        (area / "objects").symlink_to(Path(other, "objects"))
        done = run("verify", "--repair", area)
        assert (done.code, len(done.lines)) == (2, 1), done
        assert f"{area}/objects is on another file system" in done.stderr
        served = run_tool("dcmfast", "serve", ["--port", "0", str(area)])
        assert served.code != 0
        assert f"{area}/objects is on another file system" in served.stderr
