"""Environment variables: what DCMTK's tools say about them, and what they do to sockets."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from testkit import pdu
from testkit.corpus import split_part10
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import run_tool
from vectors import make

pytestmark = pytest.mark.dcmtk

#: Tool and a command line that ends by itself, behind everything that is said of dictionaries.
ENDING = {
    "storescp": ["11112", "-od", "/nonexistent"],
    "dcmrecv": ["11112", "-od", "/nonexistent"],
    "echoscu": ["127.0.0.1", "1"],
    "storescu": ["127.0.0.1", "1", "/nonexistent/file"],
    "movescu": ["127.0.0.1", "1", "-k", "0010,0010=x"],
    "findscu": ["127.0.0.1", "1", "-k", "0010,0010=x"],
    "getscu": ["127.0.0.1", "1", "-k", "0010,0010=x"],
    "dcmqrscp": ["11112", "-c", "/nonexistent"],
    "dcmqridx": ["/nonexistent/area"],
    "dcmconv": ["/nonexistent/in", "/nonexistent/out"],
}
#: Told in words of its own: there is no index file.
OWN_WORDS = "E: /nonexistent/area"
OURS = "dcmfast."


def told(lines: list[str]) -> list[str]:
    """Lines without those that are ours alone, and without the cure that one of ours names (D6)."""
    return [
        line.split(" (--")[0]
        for line in lines
        if not line[3:].startswith(OURS) and not line.startswith(OWN_WORDS)
    ]


@pytest.mark.parametrize("tool", ENDING)
def test_dcmdictpath_without_a_dictionary(tool: str, tmp_path: Path) -> None:
    """What cannot be read is told before anything else, and the tool goes on."""
    broken = tmp_path / "broken.dic"
    broken.write_text("(0010,0010)\tPN\n")
    good = tmp_path / "good.dic"
    good.write_text("(0010,0010)\tPN\tPatientName\t1\tDICOM\n")
    several = [f"{good}:/nonexistent/a:{broken}"]
    if tool == "storescp":
        several += ["/nonexistent/a", f"{broken}:/dev/null", ":", ""]
        several += [f"{broken}:{good}", f"{good}:{broken}:/nonexistent/a", f"{good}:/nonexistent/a"]
    elif tool not in ("movescu", "findscu", "getscu"):
        # Which know no tag then: ours, and DCMTK's movescu, end before they say so.
        several += [f"/nonexistent/a:{broken}"]
    for paths in several:
        results = []
        for implementation in ("dcmtk", "dcmfast"):
            done = run_tool(implementation, tool, ENDING[tool], environment={"DCMDICTPATH": paths})
            results.append((done.code, told(done.lines)))
        assert results[0] == results[1], paths


def test_dcmdictpath_has_the_names_of_keys(tmp_path: Path) -> None:
    """A name that only the user's dictionary has, and one that only the built-in one has."""
    own = tmp_path / "own.dic"
    own.write_text("(0010,0010)\tPN\tNameOfMine\t1\tmine\n")
    for key, code in (("NameOfMine=x", 61), ("PatientName=x", 1)):
        line = ["127.0.0.1", "1", "-k", key]
        for implementation in ("dcmtk", "dcmfast"):
            done = run_tool(implementation, "movescu", line, environment={"DCMDICTPATH": str(own)})
            assert done.code == code, done.stderr


def test_dcmdictpath_of_a_receiver_that_starts(running_scp: StartReceiver) -> None:
    """DCMTK's dcmrecv says it twice."""
    environment = {"DCMDICTPATH": "/nonexistent/a"}
    lines = {}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp(
            "dcmrecv", "-v", implementation=implementation, environment=environment
        )
        receiver.stderr.wait_for(r"^W: No data dictionary loaded")
        receiver.stop()
        lines[implementation] = told(receiver.stderr.lines)
    assert lines["dcmfast"] == lines["dcmtk"]


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_objects_are_stored_without_a_dictionary(
    tool: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """DCMTK understands no message then; a command needs none (DIFFERENCES.md D43)."""
    profile = ("-xf", "/etc/dcmtk/storescp.cfg", "Default") if tool == "dcmrecv" else ()
    small = tmp_path / "small.dic"
    small.write_text("(0010,0010)\tPN\tPatientName\t1\tDICOM\n")
    made = make.ct(1, transfer_syntax_uid=pdu.IMPLICIT)
    for paths in ("/nonexistent/a", str(small)):
        for implementation in ("dcmtk", "dcmfast"):
            receiver = running_scp(
                tool, *profile, implementation=implementation, environment={"DCMDICTPATH": paths}
            )
            with ScriptedPeer(receiver.port) as peer:
                peer.associate([(1, make.CT, [pdu.IMPLICIT])])
                if implementation == "dcmtk":
                    with contextlib.suppress(OSError):
                        peer.send_store(1, make.CT, made.sop_instance_uid, made.data_set)
                        peer.drain()
                else:
                    assert peer.store(1, make.CT, made.sop_instance_uid, made.data_set) == 0
                    peer.release()
            if implementation == "dcmtk":
                assert receiver.files() == []
                continue
            (stored,) = receiver.files()
            assert split_part10(stored.read_bytes())[1] == made.data_set


@pytest.mark.parametrize("value", ["0", "1", "", "x", "0x10", " 7", "-1"])
def test_values_that_are_no_numbers_are_told(value: str, running_scp: StartReceiver) -> None:
    """The same values are refused; DCMTK says so for every association, we do at start."""
    told_of = {}
    environment = {"TCP_NODELAY": value, "TCP_BUFFER_LENGTH": value}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp("storescp", implementation=implementation, environment=environment)
        with ScriptedPeer(receiver.port) as peer:
            peer.associate()
            peer.echo()
            peer.release()
        receiver.stop()
        lines = [line for line in receiver.stderr.lines if "environment variable" in line]
        told_of[implementation] = set(lines)
    assert told_of["dcmfast"] == told_of["dcmtk"]


@pytest.mark.skipif(shutil.which("ss") is None, reason="ss (iproute2) shows a socket's buffers")
def test_tcp_buffer_length(running_scp: StartReceiver) -> None:
    """Both buffers of an association's socket; what the kernel makes of it is twice the number."""
    sizes = {}
    for setting in (None, "0", "20000"):
        receiver = running_scp("storescp", environment={"TCP_BUFFER_LENGTH": setting})  # type: ignore[dict-item]
        with ScriptedPeer(receiver.port) as peer:
            peer.associate()
            sizes[setting] = buffers(receiver.port)
            peer.send(pdu.abort())
    assert sizes["20000"] == (40000, 40000)
    assert sizes["0"] == (131072, 131072)
    assert sizes[None] != sizes["20000"]


def buffers(port: int) -> tuple[int, int]:
    """Receive and send buffer of the receiver's end of the one connection, as the kernel says."""
    done = subprocess.run(
        ["ss", "-tnmH", "sport", "=", f":{port}"], capture_output=True, text=True, check=True
    )
    found = re.search(r"skmem:\(r\d+,rb(\d+),t\d+,tb(\d+)", done.stdout)
    assert found is not None, done.stdout
    return int(found[1]), int(found[2])
