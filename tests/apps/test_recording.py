"""record and show: what passes is not changed, all of it is written down, and it is shown."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from testkit import process
from testkit.kinds import StartReceiver
from testkit.process import Finished, Output, command, free_port, run_tool

CT = Path(str(pydicom.data.get_testdata_file("CT_small.dcm")))


@dataclass
class Recorder:
    """A running recorder."""

    port: int
    path: Path
    child: subprocess.Popen[bytes]
    stderr: Output

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask for the end; the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        code = self.child.wait(15)
        self.stderr.wait_closed()
        return code


@contextmanager
def recorder(
    path: Path, peer: int, *options: str, stop: signal.Signals = signal.SIGTERM
) -> Iterator[Recorder]:
    port = free_port()
    line = [*command("dcmfast", "record"), "-v", *options, str(path), str(port)]
    child = subprocess.Popen(
        [*line, "127.0.0.1", str(peer)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=process.child_environment(),
    )
    assert child.stderr is not None
    running = Recorder(port, path, child, Output(child.stderr))
    running.stderr.wait_for("leads to", within_s=20)
    try:
        yield running
        running.stop(stop)
    finally:
        child.kill()
        child.wait(5)


def show(path: Path, *options: str) -> Finished:
    return run_tool("dcmfast", "show", [*options, path])


def events(path: Path, *options: str) -> list[dict[str, Any]]:
    done = show(path, "--json", *options)
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory, shared_scp: StartReceiver) -> Path:
    """DCMTK's clients against our storescp, recorded."""
    receiver = shared_scp("storescp", "+B")
    path = tmp_path_factory.mktemp("recording") / "talk.rec"
    with recorder(path, receiver.port) as running:
        assert run_tool("dcmtk", "echoscu", ["127.0.0.1", str(running.port)]).code == 0
        send = ["-xf", *_profile(path.parent), "127.0.0.1", str(running.port), CT]
        done = run_tool("dcmtk", "storescu", send)
        assert done.code == 0, done.stderr
        running.stderr.wait_for("ended by the peers", count=2)
        assert running.stop(signal.SIGINT) == 0
    # The same client without a recorder: the same file.
    direct = shared_scp("storescp", "+B", "--durability", "none")
    send[-3:] = ["127.0.0.1", str(direct.port), CT]
    assert run_tool("dcmtk", "storescu", send).code == 0
    files = [receiver.files(), direct.files()]
    assert [len(one) for one in files] == [1, 1]
    assert files[0][0].read_bytes() == files[1][0].read_bytes()
    return path


def _profile(folder: Path) -> tuple[str, str]:
    path = folder / "one.cfg"
    path.write_text(
        "[[TransferSyntaxes]]\n[One]\nTransferSyntax1 = LittleEndianExplicit\n"
        "[[PresentationContexts]]\n[Ct]\n"
        "PresentationContext1 = CTImageStorage\\One\n"
        "[[Profiles]]\n[Ct]\nPresentationContexts = Ct\n"
    )
    return str(path), "Ct"


def test_a_recording_is_its_owners(conversation: Path) -> None:
    assert conversation.stat().st_mode & 0o777 == 0o600


def test_what_is_shown_is_what_was_said(conversation: Path) -> None:
    """PDUs, PDVs, commands and data sets by the standard's names."""
    done = show(conversation)
    assert done.code == 0
    assert not done.stderr
    for words in (
        "-> A-ASSOCIATE-RQ",
        "Called-AE-title: ANY-SCP",
        "Abstract-syntax-name: 1.2.840.10008.1.1 =VerificationSOPClass",
        "Result/Reason: 0 (acceptance)",
        "-> C-ECHO-RQ",
        "<- C-ECHO-RSP",
        "Status: 0000H (Success)",
        "Message Control Header: 2 (Data Set, last fragment)",
        "(0010,0010) PN [CompressedSamples^CT1]",
        "-> A-RELEASE-RQ",
        "<- A-RELEASE-RP",
    ):
        assert words in done.stdout, words
    without = show(conversation, "--no-data-sets").stdout
    assert "CompressedSamples" not in without
    assert "-> Data Set" in without
    second = show(conversation, "--association", "2").stdout
    assert "C-STORE-RQ" in second
    assert "C-ECHO" not in second


def test_elements_are_those_that_pydicom_reads(conversation: Path) -> None:
    found = {
        one["tag"]: one
        for one in events(conversation)
        if one["event"] == "element" and one["depth"] == 0
    }
    expected = pydicom.dcmread(CT)
    del expected[0xFFFCFFFC]  # storescu does not send padding
    assert set(found) == {f"({e.tag.group:04x},{e.tag.element:04x})" for e in expected}
    for element in expected:
        one = found[f"({element.tag.group:04x},{element.tag.element:04x})"]
        if element.VR != "SQ":
            assert one["vr"] == element.VR
        if element.VR in {"LO", "SH", "CS", "DA", "TM", "PN", "IS", "DS"} and element.VM == 1:
            text = str(element.value)
            if element.VR in {"IS", "DS"} and text:
                assert float(one["value"].strip("[]")) == float(text)
                continue
            assert one["value"] in (f"[{text.rstrip()}]", "(no value available)"), one
        if element.VR == "US" and element.VM == 1:
            assert one["value"] == str(element.value)


def test_commands_are_those_that_pydicom_reads(conversation: Path) -> None:
    commands = [one for one in events(conversation) if one["event"] == "command"]
    names = [one["command"] for one in commands]
    assert names == ["C-ECHO-RQ", "C-ECHO-RSP", "C-STORE-RQ", "C-STORE-RSP"]
    store = {one["keyword"]: one["value"] for one in commands[2]["elements"]}
    assert store["AffectedSOPInstanceUID"] == f"[{pydicom.dcmread(CT).SOPInstanceUID}]"
    assert store["AffectedSOPClassUID"] == "=CTImageStorage"
    assert commands[3]["Status"] == "0000H (Success)"
    times = [one["ns"] for one in commands[2:]]
    assert times == sorted(times)


def test_a_recording_cut_anywhere_is_shown_as_far_as_it_goes(
    conversation: Path, tmp_path: Path
) -> None:
    whole = conversation.read_bytes()
    cut = tmp_path / "cut.rec"
    cut.write_bytes(whole[:-20])
    done = show(cut)
    assert done.code == 0
    assert "C-STORE-RSP" in done.stdout
    assert "W: " in done.stderr
    assert "cut" in done.stderr
    damaged = bytearray(whole)
    damaged[32 + 48 + 3] ^= 1  # content of the first record
    cut.write_bytes(damaged)
    done = show(cut)
    assert done.code == 2
    assert "damaged" in done.stderr
    assert "C-STORE-RSP" in done.stdout


def test_files_that_are_no_recordings(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.write_bytes(b"")
    for path, words in (
        (CT, "neither a recording nor a packet capture"),
        (nothing, "neither a recording nor"),
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path, "directory"),
    ):
        done = show(path)
        assert done.code == 1
        assert words.lower() in done.stderr.lower()
        assert "Traceback" not in done.stderr


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "there.rec"
    path.write_text("mine")
    done = run_tool("dcmfast", "record", [path, "0", "127.0.0.1", "9"])
    assert done.code == 1
    assert "--overwrite" in done.stderr
    assert path.read_text() == "mine"
    with recorder(path, 9, "--overwrite"):
        pass
    assert show(path).code == 0
