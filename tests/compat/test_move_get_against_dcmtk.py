"""C-MOVE and C-GET: DCMTK's clients against DCMTK's archive and ours, holding the same objects.

What a client sees is compared as it prints it at ``-d``: each response's status and counts, and the
list of failed instances; and what arrives is compared as data sets.  Where ours is better on
purpose, a test of its own says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from testkit.kinds import StartReceiver
from testkit.process import Receiver, free_port, run_tool
from testkit.same_as_pydicom import bundled_file

pytestmark = pytest.mark.dcmtk

#: Four studies of four patients; two of them are stored implicit and big endian.
OBJECTS = {
    "CT_small.dcm": "-x=",
    "MR_small.dcm": "-xi",
    "rtplan.dcm": "-xb",
    "test-SR.dcm": "-x=",
}
CT_STUDY = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
CT_SERIES = "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322"
CT_IMAGE = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
MR_STUDY = "1.3.6.1.4.1.5962.1.2.4.20040826185059.5457"

#: Lines of ``-d`` that say what a response says.
TELLING = re.compile(
    r"\w: ((?:Remaining|Completed|Failed|Warning) Suboperations *: .*|DIMSE Status *: .*"
    r"|Message Type *: C-(?:MOVE|GET) RSP|\(0008,0058\).*)"
)

#: Destinations by title, and the options of DCMTK's storescp that make them what they are.
DESTINATIONS = {"DEST": (), "IMPLICIT": ("+xi",), "REFUSING": ("--refuse",)}


@dataclass(frozen=True)
class Archive:
    """One archive that holds `OBJECTS`, and where it can send to."""

    implementation: str
    server: Receiver
    destinations: dict[str, Receiver]

    def ask(self, tool: str, *arguments: str) -> list[str]:
        """Ask with one of DCMTK's clients; what the responses said, in their order."""
        line = ["-d", *arguments, "-aec", "QR", "localhost", str(self.server.port)]
        done = run_tool("dcmtk", tool, line)
        told = [TELLING.fullmatch(text) for text in (done.stdout + done.stderr).splitlines()]
        lines = [re.sub(r" +", " ", found.group(1)) for found in told if found is not None]
        # Without this, two clients that print nothing would be equal.
        assert any(line.startswith("DIMSE Status") for line in lines), done.stderr
        return [f"exit {done.code}", *lines]


class Archives:
    """Both archives, started when a test first wants them."""

    def __init__(self, start: StartReceiver, folder: Path, *options: str) -> None:
        self.both = [
            self._start(start, folder / name, name, *options) for name in ("dcmtk", "dcmfast")
        ]

    @staticmethod
    def _start(start: StartReceiver, folder: Path, implementation: str, *options: str) -> Archive:
        area = folder / "area"
        area.mkdir(parents=True)
        destinations = {}
        for title, its_options in DESTINATIONS.items():
            received = folder / title
            received.mkdir()
            destinations[title] = start(
                "storescp", *its_options, implementation="dcmtk", directory=received
            )
        hosts = [
            f"{title} = ({title}, localhost, {its.port})" for title, its in destinations.items()
        ]
        hosts.append(f"CLOSED = (CLOSED, localhost, {free_port()})")
        configuration = folder / "qr.cfg"
        configuration.write_text(
            "HostTable BEGIN\n" + "\n".join(hosts) + "\nHostTable END\n"
            "VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nQR {area} RW (100, 1024mb) ANY\nAETable END\n"
        )
        server = start(
            "dcmqrscp",
            "-c",
            str(configuration),
            *options,
            implementation=implementation,
            directory=area,
            clean_exit=False,
        )
        for name, syntax in OBJECTS.items():
            to = ["-aec", "QR", "localhost", str(server.port)]
            stored = run_tool("dcmtk", "storescu", [syntax, *to, str(bundled_file(name))])
            assert stored.code == 0, stored.stderr
        return Archive(implementation, server, destinations)


@pytest.fixture(scope="module")
def archives(shared_scp: StartReceiver, tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Both archives with their default options."""
    return Archives(shared_scp, tmp_path_factory.mktemp("archives"))


def keys(level: str, **values: str) -> list[str]:
    """``-k`` options."""
    named = {"QueryRetrieveLevel": level, **values}
    return [text for key, value in named.items() for text in ("-k", f"{key}={value}")]


def data_sets(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Every object in `folder`: transfer syntax, who sent it, and its values."""
    found = {}
    for path in sorted(folder.iterdir()):
        read = pydicom.dcmread(path)
        values = [str(element) for element in read.iterall() if not element.tag.is_private]
        source = str(read.file_meta.get("SourceApplicationEntityTitle", ""))
        found[path.name] = (str(read.file_meta.TransferSyntaxUID), source, "\n".join(values))
        path.unlink()
    return found


IDENTIFIERS = {
    "a study": ("-S", keys("STUDY", StudyInstanceUID=CT_STUDY)),
    "two studies": ("-S", keys("STUDY", StudyInstanceUID=rf"{MR_STUDY}\{CT_STUDY}")),
    "every study": ("-S", keys("STUDY", StudyInstanceUID="")),
    "a series": ("-S", keys("SERIES", StudyInstanceUID=CT_STUDY, SeriesInstanceUID=CT_SERIES)),
    "an image": (
        "-S",
        keys(
            "IMAGE", StudyInstanceUID=CT_STUDY, SeriesInstanceUID=CT_SERIES, SOPInstanceUID=CT_IMAGE
        ),
    ),
    "a patient": ("-P", keys("PATIENT", PatientID="1CT1")),
    "patients by wildcard": ("-P", keys("PATIENT", PatientID="?MR*")),
    "patients by name": ("-P", keys("PATIENT", PatientName="CompressedSamples*")),
    "patient and study only": ("-O", keys("STUDY", PatientID="1CT1", StudyInstanceUID=CT_STUDY)),
    "nothing": ("-S", keys("STUDY", StudyInstanceUID="1.2.3")),
    "no upper key": ("-S", keys("SERIES", SeriesInstanceUID=CT_SERIES)),
    "no level": ("-S", ["-k", f"StudyInstanceUID={CT_STUDY}"]),
    "an unknown level": ("-S", keys("BODY", StudyInstanceUID=CT_STUDY)),
}


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_moves(archives: Archives, name: str) -> None:
    """Selection, counts and statuses; the same objects arrive, in DCMTK's preferred syntax."""
    model, wanted = IDENTIFIERS[name]
    theirs, ours = (
        (
            archive.ask("movescu", model, "-aem", "DEST", *wanted),
            data_sets(archive.destinations["DEST"].directory),
        )
        for archive in archives.both
    )
    assert ours[0] == theirs[0]
    assert list(ours[1]) == list(theirs[1])
    for instance, (_, source, values) in ours[1].items():
        assert (source, values) == theirs[1][instance][1:]


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_gets(archives: Archives, name: str, tmp_path: Path) -> None:
    """The same over the requestor's own association."""
    model, wanted = IDENTIFIERS[name]
    seen = []
    for archive in archives.both:
        received = tmp_path / archive.implementation
        received.mkdir()
        told = archive.ask("getscu", model, "-od", str(received), *wanted)
        seen.append((told, data_sets(received)))
    assert seen[1][0] == seen[0][0]
    assert list(seen[1][1]) == list(seen[0][1])
    for instance, (_, _, values) in seen[1][1].items():
        assert values == seen[0][1][instance][2]


@pytest.mark.parametrize("title", ["IMPLICIT", "REFUSING", "CLOSED", "UNKNOWN"])
@pytest.mark.parametrize("uid", [CT_STUDY, ""])
def test_destinations(archives: Archives, title: str, uid: str) -> None:
    """One that takes Implicit VR only, one that refuses, none at all, and one that nobody knows."""
    wanted = ["-S", "-aem", title, *keys("STUDY", StudyInstanceUID=uid)]
    theirs, ours = (archive.ask("movescu", *wanted) for archive in archives.both)
    assert ours == theirs
    if title == "IMPLICIT":
        for archive in archives.both:
            arrived = data_sets(archive.destinations[title].directory)
            assert {syntax for syntax, _, _ in arrived.values()} == {"1.2.840.10008.1.2"}


def test_unknown_destination_and_nothing_to_send(archives: Archives) -> None:
    """DIFFERENCES.md C10: what matches nothing succeeds, wherever it should have gone."""
    wanted = ["-S", "-aem", "UNKNOWN", *keys("STUDY", StudyInstanceUID="1.2.3")]
    theirs, ours = (archive.ask("movescu", *wanted) for archive in archives.both)
    assert ours == theirs
    assert any(line.startswith("DIMSE Status : 0x0000") for line in ours)


def test_checked_identifiers(shared_scp: StartReceiver, tmp_path_factory: object) -> None:
    """``-XM``: a key of the query's level that is not the unique one is refused."""
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    checking = Archives(shared_scp, tmp_path_factory.mktemp("checking"), "-XM")
    for name in ("a study", "patients by name", "every study", "no level"):
        model, wanted = IDENTIFIERS[name]
        theirs, ours = (
            archive.ask("movescu", model, "-aem", "DEST", *wanted) for archive in checking.both
        )
        assert ours == theirs, name


def test_stored_bytes_arrive_unchanged(archives: Archives) -> None:
    """P13 over the whole way: what a getter of ours stores bit for bit is what was sent to us."""
    archive = archives.both[1]
    wanted = ["-S", *keys("STUDY", StudyInstanceUID=CT_STUDY)]
    folder = archive.server.directory.parent / "bits"
    folder.mkdir()
    archive.ask("getscu", "-B", "-od", str(folder), *wanted)
    (got,) = folder.iterdir()
    stored = [path for path in archive.server.directory.rglob("*.dcm") if path.is_file()]
    pixels = pydicom.dcmread(got).PixelData
    assert any(pydicom.dcmread(path).get("PixelData") == pixels for path in stored)
    assert pydicom.dcmread(got).SOPInstanceUID == CT_IMAGE
