"""Clients that cannot write what they have, or are told to end: what can be kept is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from testkit import pdu
from testkit.process import child_environment, command
from testkit.scripted_scp import Conversation, ScriptedServer
from vectors import make

SOON_S = 20
CT_ROLE = pdu.item(0x54, len(make.CT).to_bytes(2, "big") + make.CT.encode() + b"\0\1")
MATCH = b"\x10\x00\x20\x00LO\x02\x001 "


def matches(count: int) -> Callable[[Conversation], None]:
    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        for _ in range(count):
            peer.respond(request, 0xFF00, data=MATCH)
        peer.respond(request, 0)
        peer.expect_release()

    return play


# ---- A full disk


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["man", "findscu"], ["findscu", "--help"], ["completion", "bash"]],
    ids=" ".join,
)
def test_a_full_standard_output_is_one_line(words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dcmfast", *words], stdout=full, stderr=subprocess.PIPE,
            env=child_environment(), check=False,
        )  # fmt: skip
    said = "E: dcmfast: cannot write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr.decode()) == (1, said)


def test_a_reader_that_went_away_is_no_fault() -> None:
    """As any program ends at ``| head``: by SIGPIPE."""
    pipe = f"{sys.executable} -m dcmfast man dcmqrscp | head -c 1 > /dev/null"
    done = subprocess.run(
        ["/bin/bash", "-c", pipe + "; echo ${PIPESTATUS[0]}"],
        capture_output=True, env=child_environment(), check=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert int(done.stdout) in (0, 128 + signal.SIGPIPE)


def test_what_a_query_does_goes_on_without_standard_output(tmp_path: Path) -> None:
    """``--json`` cannot be written; files are, the association is released, the code says it."""
    with ScriptedServer(matches(3)) as server, Path("/dev/full").open("wb") as full:
        line = ["-P", "--json", "-X", "-od", tmp_path, "127.0.0.1", server.port, "-k", "PatientID"]
        done = subprocess.run(
            [*command("dcmfast", "findscu"), *map(str, line)], stdout=full,
            stderr=subprocess.PIPE, env=child_environment(), check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert b"cannot write to standard output" in done.stderr
    assert b"Traceback" not in done.stderr
    assert len(list(tmp_path.glob("rsp*.dcm"))) == 3


@pytest.mark.parametrize("options", [["-X"], ["-Xx"], ["-Xs", "all.xml"]], ids=str)
def test_extracted_files_that_cannot_be_written(options: list[str], tmp_path: Path) -> None:
    """A limit on their size: a line, exit code 1, and no part of a file is left."""

    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        try:
            for _ in range(100):
                peer.respond(request, 0xFF00, data=MATCH)
            peer.respond(request, 0)
            while peer.socket.recv(65536):
                pass
        except OSError:
            pass

    with ScriptedServer(play) as server:
        line = [
            *options,
            "-P",
            "-od",
            str(tmp_path),
            "127.0.0.1",
            str(server.port),
            "-k",
            "0010,0020",
        ]
        done = subprocess.run(
            ["prlimit", "--fsize=100", *command("dcmfast", "findscu"), *line],
            capture_output=True, env=child_environment(), check=False, text=True,
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


# ---- Signals


def started(tool: str, line: list[str | Path], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*command("dcmfast", tool), *map(str, line)], stdin=subprocess.DEVNULL, cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=child_environment(),
        # Whatever started the tests may ignore it, and a child would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def interrupted(process: subprocess.Popen[bytes]) -> bytes:
    """Ctrl-C: it ends at once and in order; what it said."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=SOON_S)
    took = time.monotonic() - began
    assert took < 5, took
    assert b"Traceback" not in said
    return said


@pytest.mark.parametrize("options", [[], ["--ignore"], ["+B"]], ids=str)
def test_getscu_ends_at_once_within_an_object(options: list[str], tmp_path: Path) -> None:
    """Ctrl-C while the peer stalls in a data set: within a second, and nothing half is left."""
    stalled, ended = threading.Event(), threading.Event()

    def play(peer: Conversation) -> None:
        peer.accept(extra=CT_ROLE)
        peer.expect_request()
        context = next(at for at, (uid, _) in peer.proposed.contexts.items() if uid == make.CT)
        one = make.ct(1)
        peer.send(pdu.p_data(pdu.pdv(
            context, pdu.c_store_rq(make.CT, one.sop_instance_uid, 7), command=True
        )))  # fmt: skip
        half = one.data_set[: len(one.data_set) // 2]
        peer.send(pdu.p_data(pdu.pdv(context, half, command=False, last=False)))
        stalled.set()
        assert ended.wait(SOON_S)

    with ScriptedServer(play) as server:
        line = ["-P", *options, "127.0.0.1", str(server.port), "-k", "PatientID=1"]
        process = started("getscu", line, tmp_path)
        assert stalled.wait(SOON_S)
        interrupted(process)
        ended.set()
    assert process.returncode == -signal.SIGINT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tool", "number"),
    [("dcmsend", "SIGINT"), ("dcmsend", "SIGTERM"), ("storescu", "SIGTERM")],
)
def test_a_run_that_is_ended_reports(tool: str, number: str, tmp_path: Path) -> None:
    """One object is stored, the next one is not answered: ``+crf`` and ``--json`` tell both."""
    paths = []
    for at in range(3):
        paths.append(tmp_path / f"{at}.dcm")
        paths[-1].write_bytes(make.part10(make.ct(at)))
    waited_for, ended = threading.Event(), threading.Event()

    def play(peer: Conversation) -> None:
        peer.accept()
        peer.respond(peer.expect_request(), 0)
        peer.expect_request()
        waited_for.set()
        assert ended.wait(SOON_S)

    with ScriptedServer(play) as server:
        report = ["+crf", tmp_path / "report"] if tool == "dcmsend" else []
        line = ["--json", *report, "127.0.0.1", str(server.port), *paths]
        process = started(tool, line, tmp_path)
        assert waited_for.wait(SOON_S)
        process.send_signal(signal.Signals[number])
        out, said = process.communicate(timeout=SOON_S)
        ended.set()
    assert process.returncode == 128 + signal.Signals[number], said
    assert b"Traceback" not in said
    found = json.loads(out)
    assert found["exit_code"] == process.returncode
    assert found["files"][0]["result"] == "stored"
    assert found["totals"]["stored"] == 1
    if tool == "dcmsend":
        text = (tmp_path / "report").read_text()
        assert text.count("DIMSE Status  : 0x0000 (Success)") == 1
        assert text.count("DIMSE Status  : <not sent>") == 2


@pytest.mark.parametrize(
    ("tool", "options"),
    [("storescu", []), ("dcmsend", []), ("storescu", ["--associations", "2"])],
    ids=str,
)
def test_a_sender_ends_within_an_object_that_nobody_reads(
    tool: str, options: list[str], tmp_path: Path
) -> None:
    """Ctrl-C while the peer reads no more: within a second, and not when the peer is given up."""
    made = make.part10(make.ct(0))
    for at in range(2):
        huge = tmp_path / f"{at}.dcm"
        huge.write_bytes(made)
        # The last element is the pixel data, whose length stands behind its tag and VR.
        with huge.open("r+b") as file:
            head = made.rindex(b"\xe0\x7f\x10\x00OW") + 8
            file.seek(head)
            file.write((64_000_000).to_bytes(4, "little"))
            file.truncate(head + 4 + 64_000_000)
    stalled, ended = threading.Semaphore(0), threading.Event()

    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        assert peer.socket.recv(1)
        stalled.release()
        assert ended.wait(SOON_S)

    count = 2 if options else 1
    with ScriptedServer(*[play] * count, at_once=True) as server:
        line = [*options, "127.0.0.1", str(server.port), *tmp_path.glob("*.dcm")]
        process = started(tool, line, tmp_path)
        for _ in range(count):
            assert stalled.acquire(timeout=SOON_S)
        said = interrupted(process)
        ended.set()
    assert process.returncode == 128 + signal.SIGINT, said


@pytest.mark.parametrize("tool", ["storescu", "dcmsend"])
def test_a_sender_of_several_associations_ends_while_it_asks_for_them(
    tool: str, tmp_path: Path
) -> None:
    """Nobody answers its requests: Ctrl-C ends it at once, and not after ``--acse-timeout``."""
    for at in range(2):
        (tmp_path / f"{at}.dcm").write_bytes(make.part10(make.ct(at)))
    asked, ended = threading.Semaphore(0), threading.Event()

    def play(peer: Conversation) -> None:
        peer.expect_associate_rq()
        asked.release()
        assert ended.wait(SOON_S)

    with ScriptedServer(play, play, at_once=True) as server:
        line = ["--associations", "2", "-ta", "600", "127.0.0.1", str(server.port)]
        process = started(tool, [*line, *tmp_path.glob("*.dcm")], tmp_path)
        for _ in range(2):
            assert asked.acquire(timeout=SOON_S)
        said = interrupted(process)
        ended.set()
    assert process.returncode == 128 + signal.SIGINT, said
