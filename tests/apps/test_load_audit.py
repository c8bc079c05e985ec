"""load --audit and load audit: what an archive keeps, compared with a ledger, also days later."""

from __future__ import annotations

import json
import re
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dcmfast.net import load as engine
from dcmfast.options import load_settings
from dcmfast.options.load_settings import LoadSettings
from dcmfast.options.specs.load import LOAD
from testkit import pdu, process
from testkit.archive import start_archive
from testkit.corpus import sendable_files
from testkit.kinds import StartReceiver
from testkit.process import Finished, run_tool
from testkit.scripted_scp import Conversation, Message, ScriptedServer

#: Trailing padding; big endian; implicit; deep sequences; odd lengths; fragments; deflated.
FILES = (
    *("CT_small.dcm", "MR_small_expb.dcm", "rtdose.dcm", "rtplan.dcm", "test-SR.dcm"),
    *("liver_1frame.dcm", "SC_rgb_small_odd.dcm", "waveform_ecg.dcm", "examples_overlay.dcm"),
    *("chrH31.dcm", "reportsi.dcm", "JPEG2000.dcm", "SC_rgb_rle.dcm", "image_dfl.dcm"),
)
COUNTS = ("acknowledged", "whole", "lost", "not_sent", "altered", "duplicated", "unacknowledged")


def load(*arguments: str | Path) -> Finished:
    return run_tool("dcmfast", "load", arguments, within_s=60)


def reported(path: Path, *arguments: str | Path) -> dict[str, Any]:
    path.unlink(missing_ok=True)
    done = load(*arguments, "--json", path)
    report: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return {**report, "code": done.code, "text": done.stdout, "stderr": done.stderr}


def counts(report: dict[str, Any]) -> dict[str, int]:
    """The counts of an audit that are not zero."""
    audit = report["audit"]
    return {name: audit[name] for name in COUNTS if audit[name]}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    uids = set()
    for one in sendable_files():
        if one.name in FILES and one.sop_instance_uid not in uids:
            uids.add(one.sop_instance_uid)
            (folder / one.name).write_bytes(one.path.read_bytes())
    assert len(uids) > 10
    return folder


@pytest.mark.parametrize("implementation", ["dcmfast", "dcmtk"])
def test_an_archive_that_encodes_anew_alters_nothing_and_one_that_alters_is_found(
    running_scp: StartReceiver, files: Path, implementation: str, tmp_path: Path
) -> None:
    """Trailing padding, group lengths, lengths of sequences: gone in dcmqrscp, and no alteration.

    Asked of a later audit as well, after what the archive keeps was really changed.
    """
    archive = start_archive(running_scp, tmp_path / "a", implementation=implementation)
    here = ("127.0.0.1", str(archive.server.port), "-aec", "QR")
    ledger = tmp_path / "ledger.txt"
    stored = reported(
        tmp_path / "r.json", "store", *here, files, "-n", str(len(list(files.iterdir()))),
        "--audit", "--ledger", ledger,
    )  # fmt: skip
    known = counts(stored)
    assert known["acknowledged"] == known["whole"] == stored["ledger"]["stored"], stored["text"]
    assert known["whole"] >= 8, stored["text"]
    assert known.keys() == {"acknowledged", "whole"}
    again = reported(tmp_path / "r.json", "audit", ledger, *here)
    assert (again["code"], counts(again)) == (0, known), again["text"]
    if implementation == "dcmfast":
        return
    # DCMTK's archive has files that can be changed below it.
    for path in archive.area.rglob("*"):
        if path.is_file() and path.name.startswith("CT"):
            data = pydicom.dcmread(path)
            data.SeriesNumber = 4711
            data.save_as(path)
    changed = reported(tmp_path / "r.json", "audit", ledger, *here)
    assert (changed["code"], changed["audit"]["altered"]) == (2, 1), changed["text"]
    ((what, uid, where),) = changed["audit"]["findings"]
    assert (what, where) == ("altered", "(0020,0011) SeriesNumber has another value")
    assert f"altered: {uid}: (0020,0011) SeriesNumber" in changed["text"]


def test_an_earlier_run_is_audited_after_a_crash(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    """Killed under load, started again: everything acknowledged is there, by the ledger."""
    folder = tmp_path / "archive"
    folder.mkdir()
    first = running_scp("serve", "--durability", "none", directory=folder)
    ledger = tmp_path / "ledger.txt"
    shape = ("--size", "1K", "--studies", "3", "--series", "2", "--seed", "77")
    child = process.subprocess.Popen(
        [
            *process.command("dcmfast", "load"), "store", "127.0.0.1", str(first.port), *shape,
            "-n", "1000000", "--duration", "40", "--associations", "3", "--ledger", str(ledger),
            "-td", "5",
        ],
        stdin=process.subprocess.DEVNULL, stdout=process.subprocess.DEVNULL,
        stderr=process.subprocess.DEVNULL, env=process.child_environment(),
    )  # fmt: skip
    try:
        # The ledger is there while the run goes on.
        process.wait_until(
            lambda: ledger.exists() and ledger.read_bytes().count(b"\n") > 200, within_s=30
        )
        first.kill()
        # Nothing but failures: the run gives up by itself.
        assert child.wait(60) in (1, 2)
    finally:
        child.kill()
        child.wait()
    entries = [line.split("\t")[1] for line in ledger.read_text().splitlines()[1:]]
    assert "no-answer" in entries or "not-sent" in entries
    second = running_scp("serve", "--durability", "none", directory=folder)
    report = reported(
        tmp_path / "r.json", "audit", ledger, "127.0.0.1", str(second.port), "--html",
        tmp_path / "page.html",
    )  # fmt: skip
    assert report["code"] == 0, report["text"]
    found = counts(report)
    assert found["acknowledged"] == found["whole"] == entries.count("0000")
    # What was never acknowledged may be there; it is counted apart, and nothing is wrong with it.
    assert found.keys() <= {"acknowledged", "whole", "unacknowledged"}
    assert report["ledger"]["stores"] == len(entries)
    assert report["plan"]["seed"] == 77
    assert "audit of 127.0.0.1" in report["text"]
    assert "all is well" in (tmp_path / "page.html").read_text()
    shown = load("show", tmp_path / "r.json")
    assert (shown.code, shown.stdout) == (0, report["text"])


@pytest.fixture(scope="module")
def written(shared_scp: StartReceiver, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger of a run that stored one object with a receiver that keeps it from everybody."""
    receiver = shared_scp("storescp")
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.txt"
    line = ("store", "127.0.0.1", str(receiver.port), "-n", "1", "--size", "128")
    assert load(*line, "--ledger", ledger).code == 0
    return ledger


def test_what_is_gone_or_odd_is_told(
    running_scp: StartReceiver, written: Path, tmp_path: Path
) -> None:
    """Lost from an empty archive; a cut ledger; objects that are not of its seed."""
    archive = running_scp("serve", "--durability", "none")
    here = ("127.0.0.1", str(archive.port))
    report = reported(tmp_path / "r.json", "audit", written, *here)
    assert (report["code"], counts(report)) == (2, {"acknowledged": 1, "lost": 1})
    assert "1 object acknowledged and lost" in report["text"]
    cut = tmp_path / "cut.txt"
    cut.write_bytes(written.read_bytes() + b"2.25.1\t00")
    report = reported(tmp_path / "r.json", "audit", cut, *here)
    assert counts(report) == {"acknowledged": 1, "lost": 1}
    assert f"W: {cut}: its last line is cut, and left out" in report["stderr"]
    strange = tmp_path / "strange.txt"
    strange.write_bytes(written.read_bytes() + b"1.2.3\t0000\n")
    report = reported(tmp_path / "r.json", "audit", strange, *here)
    assert report["code"] == 2
    assert "1 entries of the ledger are of objects that it does not describe" in report["text"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: b"", "not a ledger of dcmfast load"),
        (lambda raw: raw[2:], "not a ledger of dcmfast load"),
        (lambda raw: raw.replace(b"ledger 1", b"ledger 9", 1), "another version"),
        (lambda raw: raw.replace(b'"seed"', b'"sood"', 1), "(its first line)"),
        (lambda raw: raw.replace(b'"seed": 1', b'"seed": -1', 1), "(its first line)"),
        (lambda raw: raw.replace(b'"seed": 1', b'"seed": [1]', 1), "(its first line)"),
        (lambda raw: raw.replace(b'"count": 1', b'"count": 99999999999', 1), "(its first line)"),
        (lambda raw: raw.replace(b'"count": 1', b'"count": 99999999', 1), "out of its bounds"),
        (lambda raw: raw.replace(b'"ct"', b'"xx"', 1), "no kind"),
        (lambda raw: raw.replace(b"[128]", b"[]", 1), "out of its bounds"),
        (lambda raw: raw.replace(b'"inputs": []', b'"inputs": ["/no/file"]', 1), "/no/file"),
        (lambda raw: raw + b"garbage\n", "line 3 is no entry of a ledger"),
        (lambda raw: raw + b"x" * 300, "line 3 is no entry of a ledger"),
    ],
)
def test_files_that_are_no_ledgers(
    change: Callable[[bytes], bytes], words: str, written: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(change(written.read_bytes()))
    done = load("audit", path, "127.0.0.1", "1")
    assert done.code == 1
    (line,) = done.lines
    assert line.startswith("F: ")
    assert words in line


def test_command_lines_of_audit(written: Path, tmp_path: Path) -> None:
    for line, words in (
        (("audit", "x"), "Missing parameter port"),
        (("audit", "x", "h", "1", "y"), "Too many parameters: audit takes a ledger"),
        (("audit", "x", "h", "1", "--count", "3"), "--count not allowed with audit"),
        (("audit", "x", "h", "1", "--seed", "3"), "--seed not allowed with audit"),
        (("audit", "x", "h", "1", "--ledger", "y"), "--ledger not allowed with audit"),
        (("audit", tmp_path / "no", "127.0.0.1", "1"), "No such file or directory"),
        (("audit", written, "192.0.2.1", "104"), "only with --yes-remote"),
    ):
        done = load(*line)
        assert done.code == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr


# ---- Peers that lie, stall or never end


def _uid(tag: int, value: str) -> bytes:
    raw = value.encode() + b"\0" * (len(value) % 2)
    return (0x0020 if tag != 0x18 else 0x0008).to_bytes(2, "little") + tag.to_bytes(
        2, "little"
    ) + b"UI" + len(raw).to_bytes(2, "little") + raw  # fmt: skip


def _store(peer: Conversation, uid: str, data: bytes) -> None:
    """Send an object as a sub-operation, and take its response."""
    context = next(number for number, (name, _) in peer.proposed.contexts.items() if name == pdu.CT)
    peer.send(
        pdu.p_data(pdu.pdv(context, pdu.c_store_rq(pdu.CT, uid, 9), command=True)),
        pdu.p_data(pdu.pdv(context, data, command=False)),
    )
    peer.expect_pdu(pdu.P_DATA_TF)


def _until_gone(peer: Conversation, send: Callable[[], None], pause_s: float = 0.0) -> None:
    """Send again and again until the other side has had enough."""
    with suppress(OSError, EOFError, AssertionError):
        while not select.select([peer.socket], [], [], pause_s)[0]:
            send()


def _other_message(peer: Conversation, request: Message) -> None:
    peer.respond(request, 0, message_id=request.message_id + 7)


def _other_service(peer: Conversation, request: Message) -> None:
    peer.respond(request, 0, command_field=0x8001)


def _unknown_status(peer: Conversation, request: Message) -> None:
    peer.respond(request, 0x1234)


def _pending_for_ever(peer: Conversation, request: Message) -> None:
    _until_gone(peer, lambda: peer.respond(request, 0xFF00, counts=(5, 0, 0, 0)), 0.01)


def _garbage_with_it(peer: Conversation, request: Message) -> None:
    peer.respond(request, 0xFF00, data=b"\xff" * 41)
    peer.respond(request, 0, data=b"\xff" * 41)


def _announced_and_not_sent(peer: Conversation, request: Message) -> None:
    peer.respond(request, 0xFF00, announces=True)


def _cut(peer: Conversation, request: Message) -> None:
    command = pdu.p_data(pdu.pdv(request.context_id, pdu.c_echo_rq(), command=True))
    peer.send(command[: len(command) // 2])
    peer.socket.close()


def _silent(peer: Conversation, _: Message) -> None:
    select.select([peer.socket], [], [], 20)


def _dripping(peer: Conversation, request: Message) -> None:
    command = pdu.p_data(pdu.pdv(request.context_id, pdu.c_echo_rq(), command=True))
    bytes_left = iter(command)
    _until_gone(peer, lambda: peer.socket.sendall(bytes([next(bytes_left)])), 0.2)


def _foreign_object(peer: Conversation, request: Message) -> None:
    _store(peer, "1.2.3", _uid(0x18, "1.2.3"))
    peer.respond(request, 0, counts=(0, 1, 0, 0))


def _nothing(peer: Conversation, request: Message) -> None:
    peer.respond(request, 0)


Turn = Callable[[Conversation, Message], None]
#: What a peer does with a request: what the report says, of a find, a move and a get.
TURNS: dict[str, tuple[Turn, str]] = {
    "another message": (_other_message, "response to message"),
    "another service": (_other_service, "C-STORE"),
    "an unknown status": (_unknown_status, "status 1234H"),
    "pending for ever": (_pending_for_ever, "did not answer in time"),
    "announced and not sent": (_announced_and_not_sent, "did not answer in time"),
    "cut": (_cut, "closed the connection|connection broke"),
    "silent": (_silent, "did not answer in time"),
    "dripping": (_dripping, "did not answer in time"),
}
OF_ONE: dict[str, dict[str, tuple[Turn, str]]] = {
    "find": {
        "garbage": (_garbage_with_it, "an answer that cannot be read"),
        "nothing": (_nothing, "0 answers with the UID asked for"),
    },
    "move": {
        "nothing": (_nothing, "nothing was sent"),
        "an object": (lambda peer, _: _move_object(peer), "C-STORE RQ where a response was due"),
    },
    "get": {
        "nothing": (_nothing, "nothing was sent"),
        "another object": (_foreign_object, "objects that were not asked for"),
    },
}


def _move_object(peer: Conversation) -> None:
    context = next(iter(peer.proposed.contexts))
    peer.send(pdu.p_data(pdu.pdv(context, pdu.c_store_rq(pdu.CT, "1.2.3", 9), command=True)))


@pytest.mark.parametrize("command", ["find", "move", "get"])
def test_hostile_peers_of_a_run(command: str, tmp_path: Path) -> None:
    """Each costs its own operation and its association, is counted with its reason, and ends."""
    turns = {**TURNS, **OF_ONE[command]}

    def script(turn: Turn) -> Callable[[Conversation], None]:
        def play(peer: Conversation) -> None:
            peer.accept()
            turn(peer, peer.expect_request())
            with suppress(OSError, ValueError):
                # What the other side does at the end is its business: release or abort.
                peer.socket.recv(65536)

        return play

    with ScriptedServer(*(script(turn) for turn, _ in turns.values()), at_once=True) as server:
        options = ("--known", "1", "-td", "1", "-ta", "1", "--per-association", "1")
        count = str(len(turns))
        to = ("--destination", "X") if command == "move" else ()
        report = reported(
            tmp_path / "r.json", command, "127.0.0.1", str(server.port), "-n", count,
            "--associations", count, "--duration", "20", *options, *to,
        )  # fmt: skip
    assert report["code"] == 2, report["text"]
    figures = report["operations"][command]
    assert (figures["succeeded"], figures["failed"]) == (0, len(turns))
    told = [
        text for text, many in report["errors"].items() for _ in range(many) if command in text[:5]
    ]
    for name, (_, words) in turns.items():
        assert any(re.search(words, text) for text in told), (name, told)
    assert len(told) == len(turns)
    assert report["elapsed_s"] < 10
    assert figures["statuses"]["1234"] == 1


def _audited(written: Path, port: int) -> dict[str, Any]:
    settings = load_settings.load(
        LOAD, ["audit", str(written), "127.0.0.1", str(port), "-td", "1", "-ta", "1", "-q"]
    )
    assert isinstance(settings, LoadSettings)
    return engine.run(settings)


def _names(written: Path) -> Iterator[str]:
    yield from (line.split("\t")[0] for line in written.read_text().splitlines()[1:])


@pytest.mark.parametrize("at", ["find", "get"])
def test_hostile_peers_of_an_audit(at: str, written: Path) -> None:
    """Nothing is called lost that was not asked for to its end, and why is said."""
    (uid,) = _names(written)

    def script(turn: Turn) -> Callable[[Conversation], None]:
        def play(peer: Conversation) -> None:
            peer.accept()
            request = peer.expect_request()
            if at == "get":
                peer.respond(request, 0xFF00, data=_uid(0x18, uid))
                peer.respond(request, 0)
                request = peer.expect_request()
            turn(peer, request)
            with suppress(OSError, ValueError):
                peer.socket.recv(65536)

        return play

    turns = {name: turn for name, turn in TURNS.items() if name != "announced and not sent"}
    with ScriptedServer(*(script(turn) for turn, _ in turns.values())) as server:
        for name, (_, words) in turns.items():
            audit = _audited(written, server.port)["audit"]
            (why,) = audit["incomplete"]
            assert re.search(f"^{at}: .*(?:{words})", why), (name, why)
            assert (audit["acknowledged"], audit["lost"], audit["not_sent"]) == (1, 0, 0)


def test_an_archive_that_lies_in_an_audit(written: Path) -> None:
    """Listed and not sent; sent with another content; sent twice; cut inside an element."""
    (uid,) = _names(written)
    whole = _uid(0x18, uid)

    def script(*objects: bytes) -> Callable[[Conversation], None]:
        def play(peer: Conversation) -> None:
            peer.accept(transfer_syntax=pdu.EXPLICIT)
            request = peer.expect_request()
            peer.respond(request, 0xFF00, data=whole)
            peer.respond(request, 0)
            request = peer.expect_request()
            for data in objects:
                _store(peer, uid, data)
            peer.respond(request, 0, counts=(0, len(objects), 0, 0))
            peer.expect_release()

        return play

    cases: list[tuple[tuple[bytes, ...], dict[str, int], str]] = [
        ((), {"not_sent": 1}, ""),
        ((whole,), {"altered": 1}, "(0008,0005) SpecificCharacterSet is missing"),
        ((whole, whole), {"altered": 1, "duplicated": 1}, ""),
        ((whole[:-3],), {"altered": 1}, ""),
        ((b"\xff" * 40,), {"altered": 1}, "cannot be read"),
        ((b"",), {"altered": 1}, "is missing"),
    ]
    with ScriptedServer(*(script(*objects) for objects, _, _ in cases)) as server:
        for _, expected, where in cases:
            report = _audited(written, server.port)
            found = counts(report)
            assert found == {"acknowledged": 1, **expected}, report["audit"]
            assert where in report["audit"]["findings"][0][2]
