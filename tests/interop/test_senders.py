"""storescu and dcmsend beside DCMTK's, to servers of DCMTK and pynetdicom: the same arrives."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from testkit.archive import start_archive
from testkit.kinds import StartReceiver
from testkit.process import run_tool
from testkit.pynetdicom_scp import pynetdicom_archive
from vectors import make

pytestmark = pytest.mark.dcmtk

#: Each tool, how it proposes what every file needs (DCMTK's storescu must be told, DIFFERENCES.md
#: D30), and goes on after one that has no context.
TOOLS = {"storescu": ["-R", "+C", "-xw", "+sd", "-nh"], "dcmsend": ["+sd", "-nh"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three uncompressed encodings, one that is deflated, one that is compressed."""
    folder = tmp_path / "in"
    folder.mkdir()
    syntaxes = (make.IMPLICIT, make.EXPLICIT, make.BIG_ENDIAN, make.DEFLATED)
    for number, syntax in enumerate(syntaxes):
        made = make.ct(number, study=number, transfer_syntax_uid=syntax)
        (folder / f"{number}.dcm").write_bytes(make.part10(made))
    compressed = Path(str(get_testdata_file("JPEG2000.dcm")))
    (folder / "jpeg2000.dcm").write_bytes(compressed.read_bytes())
    return folder


def contents(data_sets: list[Dataset]) -> list[list[object]]:
    """Elements without group lengths, which a receiver may write anew, in the order of UIDs."""
    in_order = sorted(data_sets, key=lambda data_set: str(data_set.SOPInstanceUID))
    return [[e for e in data_set if e.tag.element != 0] for data_set in in_order]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("server", ["dcmrecv", "dcmqrscp", "pynetdicom"])
def test_the_same_arrives(
    tool: str, server: str, folder: Path, tmp_path: Path, running_scp: StartReceiver
) -> None:
    """What the server takes, with the values that DCMTK's client brings there, and its code."""

    def send(implementation: str, port: int, *options: str) -> int:
        line = [*TOOLS[tool], *options, "127.0.0.1", str(port), folder]
        return run_tool(implementation, tool, line).code

    def arrived(implementation: str) -> tuple[int, list[list[object]]]:
        if server == "pynetdicom":
            with pynetdicom_archive() as archive:
                return send(implementation, archive.port), contents(archive.objects)
        called: tuple[str, ...] = ()
        if server == "dcmqrscp":
            made = start_archive(running_scp, tmp_path / implementation, implementation="dcmtk")
            receiver, called = made.server, ("-aec", "QR")
        else:
            profile = ("-xf", "/etc/dcmtk/storescp.cfg", "Default")
            receiver = running_scp("dcmrecv", *profile, implementation="dcmtk")
        code = send(implementation, receiver.port, *called)
        stored = [path for path in receiver.directory.iterdir() if path.name != "index.dat"]
        return code, contents([pydicom.dcmread(path) for path in stored])

    ours = arrived("dcmfast")
    assert ours == arrived("dcmtk")
    assert ours[1]
