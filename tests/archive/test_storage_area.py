"""`dcmfast.Archive` and `dcmfast.ArchiveServer`: what a Python program sees of a storage area."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

import dcmfast
from dcmfast.archive import index
from dcmfast.errors import IndexToolFailure, StorageAreaError
from testkit.process import run_tool
from vectors import make

FILES = ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "liver_1frame.dcm")


@pytest.fixture(scope="module")
def area(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A served area with a few of pydicom's own files."""
    directory = tmp_path_factory.mktemp("archive") / "area"
    with dcmfast.ArchiveServer(directory, 0, "--durability", "none") as server:
        paths = [str(get_testdata_file(name)) for name in FILES]
        sent = run_tool("dcmfast", "storescu", ["127.0.0.1", str(server.port), *paths])
        assert sent.code == 0, sent.stderr
        yield directory
    assert server.stop() == 0


@pytest.fixture
def archive(area: Path) -> Iterator[dcmfast.Archive]:
    with dcmfast.Archive(area) as archive:
        yield archive


def test_counts(archive: dcmfast.Archive) -> None:
    counts = archive.counts()
    assert counts.instances == len(archive) == len(FILES)
    assert counts.patients == len(list(archive.find("PATIENT")))
    assert counts.studies == len(list(archive.find("STUDY")))
    assert counts.series == len(list(archive.find("SERIES")))


def test_find_gives_pydicom_data_sets(archive: dcmfast.Archive) -> None:
    (study,) = archive.find(
        "STUDY", PatientName="compressedsamples^ct1", StudyDate="20040101-20040201",
        NumberOfStudyRelatedInstances=None, ModalitiesInStudy=None,
    )  # fmt: skip
    assert study.PatientName == "CompressedSamples^CT1"
    assert study.NumberOfStudyRelatedInstances == 1
    assert study.ModalitiesInStudy == "CT"


def test_keys_of_every_level_may_be_mixed(archive: dcmfast.Archive) -> None:
    (series,) = archive.find("SERIES", {"PatientID": "4MR1", "SOPInstanceUID": None})
    assert series.QueryRetrieveLevel == "SERIES"
    assert [one.sop_class_uid for one in archive.instances(PatientID="4MR1")] == [
        "1.2.840.10008.5.1.4.1.1.4"
    ]


def test_an_identifier_may_be_a_data_set(archive: dcmfast.Archive) -> None:
    keys = pydicom.Dataset()
    keys.PatientID = "4MR*"
    assert len(list(archive.find("PATIENT", keys))) == 1


def test_instances_are_read_as_they_were_sent(archive: dcmfast.Archive) -> None:
    by_uid = {}
    for name in FILES:
        data_set = pydicom.dcmread(get_testdata_file(name))
        by_uid[str(data_set.SOPInstanceUID)] = data_set
    for instance in archive:
        assert instance.sop_instance_uid in archive
        assert Path(instance.path).stat().st_size == instance.file_bytes
        assert instance.read() == by_uid.pop(instance.sop_instance_uid)
    assert not by_uid


def test_what_is_not_there(archive: dcmfast.Archive) -> None:
    assert "1.2.3" not in archive
    assert archive.instance("1.2.3") is None
    with pytest.raises(KeyError):
        archive.read("1.2.3")
    assert list(archive.find("STUDY", PatientID="nobody")) == []


@pytest.mark.parametrize(
    ("level", "keys", "complaint"),
    [
        ("FRAME", {}, "no level named 'FRAME'"),
        ("STUDY", {"PatientNam": "x"}, "no attribute has the keyword 'PatientNam'"),
        ("STUDY", {"StudyDate": 5}, r"no value of a key: With tag \(0008,0020\)"),
        ("IMAGE", {"Rows": "many"}, r"no value of a key: .*\(0028,0010\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:A value of type")
def test_mistakes_are_told(
    archive: dcmfast.Archive, level: str, keys: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        list(archive.find(level, keys))


def test_a_directory_without_an_index(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no index"):
        dcmfast.Archive(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_closed_archive_says_so(area: Path) -> None:
    archive = dcmfast.Archive(area)
    archive.close()
    with pytest.raises(ValueError, match="closed"):
        archive.counts()


_FORKED = """
import os, sys
import dcmfast
from dcmfast.archive import index
from dcmfast.errors import IndexToolFailure

archive = dcmfast.Archive(sys.argv[1])
begun = archive.instances()
first = next(begun).sop_instance_uid
child = os.fork()
if not child:
    other = dcmfast.Archive(sys.argv[1])
    uids = {one.sop_instance_uid for one in (*begun, *other)}
    os._exit(not (len(archive) == len(other) == len(uids) == int(sys.argv[2])))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert len([first, *begun]) == len(archive) == int(sys.argv[2])
"""


def test_a_forked_process_reads_on(area: Path) -> None:
    """LMDB knows readers by their process: a child has an index of its own."""
    command = [sys.executable, "-c", _FORKED, str(area), str(len(FILES))]
    subprocess.run(command, check=True, timeout=60)


def test_a_server_that_cannot_start_says_why(area: Path) -> None:
    with pytest.raises(StorageAreaError, match=r"^cannot serve .* in use"):
        dcmfast.ArchiveServer(area, 0)


def _made(folder: Path, number: int) -> Path:
    path = folder / f"{number}.dcm"
    path.write_bytes(make.part10(make.ct(number)))
    return path


def test_what_was_acknowledged_is_found_at_once(tmp_path: Path) -> None:
    area = tmp_path / "area"
    uids = [make.ct(number).sop_instance_uid for number in range(1, 42)]
    #: Each way to ask has its turn.
    ways: list[Callable[[dcmfast.Archive], int]] = [
        len,
        lambda archive: len(list(archive.instances())),
        lambda archive: len(list(archive.find("IMAGE"))),
        lambda archive: sum(uid in archive for uid in uids),
    ]
    with dcmfast.ArchiveServer(area, 0, "--durability", "none") as server:
        archive = dcmfast.Archive(area)
        with dcmfast.Association("127.0.0.1", server.port) as association:
            for number in range(1, 41):
                association.store(_made(tmp_path, number))
                if number % 4 == 0:
                    assert ways[number // 4 % 4](archive) == number
        shown = run_tool("dcmfast", "index", ["show", area])
        assert "instances     40\n" in shown.stdout
        # Whoever was killed has acknowledged all the same.
        with dcmfast.Association("127.0.0.1", server.port) as association:
            association.store(_made(tmp_path, 41))
        os.kill(server._process.pid, signal.SIGKILL)
        assert server.stop() == -signal.SIGKILL
        assert uids[-1] in archive
        assert len(archive) == len(uids)
        archive.close()


def test_a_server_that_has_much_to_say_goes_on(tmp_path: Path) -> None:
    area = tmp_path / "area"
    with (
        dcmfast.ArchiveServer(area, 0, "--durability", "none", "-d") as server,
        dcmfast.Association("127.0.0.1", server.port) as association,
    ):
        # Each echo is several lines at this level: some hundred kilobytes, and pipes hold 64.
        for _ in range(600):
            association.echo()
    assert server.stop() == 0


def _told(directory: Path) -> None:
    """Nothing is wrong."""
    found: list[index.Finding] = []
    index.verify(str(directory), report=found.append)
    assert found == []


def test_tools_beside_an_open_archive(area: Path, archive: dcmfast.Archive, tmp_path: Path) -> None:
    """All that one process opens of an index is shared, also while a server writes it."""
    searching = archive.instances()
    next(searching)
    walking = index.instances(str(area))
    next(walking)
    assert index.totals(str(area)).instances == len(archive)
    assert len(index.studies(str(area))) == archive.counts().studies
    assert index.export(str(area), str(tmp_path / "exported")) == len(FILES)
    _told(area)
    assert len(list(searching)) == len(list(walking)) == len(FILES) - 1


def test_tools_that_write_beside_an_open_archive(tmp_path: Path) -> None:
    area = tmp_path / "area"
    with dcmfast.ArchiveServer(area, 0, "--durability", "none") as server:
        with dcmfast.Association("127.0.0.1", server.port) as association:
            for number in range(1, 4):
                association.store(_made(tmp_path, number))
        archive = dcmfast.Archive(area)
        with pytest.raises(IndexToolFailure, match="in use"):
            index.verify(str(area), is_repairing=True, report=print)
    assert len(archive) == 3
    found: list[str] = []
    (area / "objects/0000/000/0000000000000002.dcm").unlink()
    index.verify(str(area), is_repairing=True, report=lambda one: found.append(one.problem))
    assert found == ["missing"]
    assert len(archive) == 2
    with index.Registrar(str(area)) as registrar:
        registrar.register(str(_made(tmp_path, 9)), is_reviewed=True)
    exported = str(tmp_path / "exported")
    assert index.export(str(area), exported) == len(archive) == 3
    walking = index.instances(str(area))
    next(walking)
    left_out: list[index.LeftOut] = []
    assert index.rebuild(str(area), report=left_out.append).instances == 2
    assert len(archive) == len(list(archive)) == 2
    # It went through what is not there any more.
    with pytest.raises(IndexToolFailure, match="made anew"):
        list(walking)
    assert index.import_(str(area), exported) == 3
    assert len(archive) == 3
    assert [one.is_reviewed for one in index.instances(str(area))] == [False, False, True]
    # None of this keeps anybody from the area.
    with dcmfast.ArchiveServer(area, 0, "--durability", "none") as server:
        assert len(archive) >= 2
    assert server.stop() == 0
    archive.close()
