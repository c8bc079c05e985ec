"""load: what it counts is what the peer has, and what the peer does wrong is found."""

from __future__ import annotations

import json
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pynetdicom import AE, StoragePresentationContexts, evt

from dcmfast.errors import InputFileError
from dcmfast.net import load as engine
from dcmfast.options import load_settings
from dcmfast.options.load_settings import LoadSettings
from dcmfast.options.specs.load import LOAD
from testkit import pdu, process
from testkit.authority import Pki
from testkit.kinds import StartReceiver
from testkit.process import Finished, run_tool
from testkit.scripted_scp import Conversation, Message, ScriptedServer

SMALL = ("--size", "128")


def load(*arguments: str | Path, within_s: float = 60) -> Finished:
    return run_tool("dcmfast", "load", arguments, within_s=within_s)


def loaded(port: int, command: str, *options: str | Path, folder: Path) -> dict[str, Any]:
    """Run load and return its report, with its exit code and text beside it."""
    path = folder / "report.json"
    path.unlink(missing_ok=True)
    done = load(command, "127.0.0.1", str(port), *options, "--json", path)
    report: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    report["code"], report["text"], report["stderr"] = done.code, done.stdout, done.stderr
    return report


@pytest.fixture(scope="module")
def archive(shared_scp: StartReceiver) -> process.Receiver:
    return shared_scp("serve", "--durability", "none", "--peer", "DEST=127.0.0.1:9")


@pytest.mark.parametrize("implementation", ["dcmfast", "dcmtk"])
def test_the_receiver_has_what_is_counted(
    running_scp: StartReceiver, implementation: str, tmp_path: Path
) -> None:
    arguments = ("--fork",) if implementation == "dcmtk" else ()
    receiver = running_scp("storescp", *arguments, implementation=implementation)
    options = ("-n", "60", "--associations", "3", "--per-association", "7", "--studies", "4")
    ledger = tmp_path / "ledger.txt"
    report = loaded(receiver.port, "store", *SMALL, *options, "--ledger", ledger, folder=tmp_path)
    assert report["code"] == 0, report["text"]
    store = report["operations"]["store"]
    assert (store["succeeded"], store["failed"], store["statuses"]) == (60, 0, {"0000": 60})
    assert report["ledger"]["stored"] == store["latency_us"]["count"] == 60
    assert 60 / 7 <= report["associations"]["latency_us"]["count"] <= 60 / 7 + 3
    process.wait_until(lambda: len(receiver.names()) == 60)
    head, *lines = ledger.read_text().splitlines()
    assert head.startswith("# dcmfast load, ledger 1 {")
    entries = dict(line.split("\t") for line in lines)
    found = [pydicom.dcmread(path) for path in receiver.files()]
    assert {one.SOPInstanceUID for one in found} == entries.keys()
    assert set(entries.values()) == {"0000"}
    assert len({one.StudyInstanceUID for one in found}) == 4
    assert all(one.pixel_array.shape == (8, 8) for one in found[:5])
    assert sum(one["bytes"] for one in report["operations"].values()) > 60 * 128


def test_kinds_and_sizes(running_scp: StartReceiver, tmp_path: Path) -> None:
    """Every kind is stored; a size beyond what is held in memory is made while it is sent."""
    receiver = running_scp("storescp")
    for kind in ("ct", "mr", "sc"):
        options = ("-n", "3", "--kind", kind, "--size", "1,300K,3M", "--seed", f"{ord(kind[0])}")
        assert loaded(receiver.port, "store", *options, folder=tmp_path)["code"] == 0
    found = [pydicom.dcmread(path) for path in receiver.files()]
    assert sorted({one.Modality for one in found}) == ["CT", "MR", "OT"]
    assert max(len(one.PixelData) for one in found) > 2_900_000
    assert all(one.pixel_array.size > 0 for one in found)


def test_files_are_stored(running_scp: StartReceiver, tmp_path: Path) -> None:
    receiver = running_scp("storescp")
    assert loaded(receiver.port, "store", *SMALL, "-n", "3", folder=tmp_path)["code"] == 0
    source = receiver.directory
    other = running_scp("storescp")
    report = loaded(other.port, "store", source, "-n", "5", folder=tmp_path)
    assert (report["code"], report["plan"]["objects"]) == (0, "files")
    assert report["ledger"]["stored"] == 5
    assert sorted(path.read_bytes()[132:] for path in other.files()) == sorted(
        path.read_bytes()[132:] for path in receiver.files()
    )
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no DICOM")
    done = load("store", "localhost", str(other.port), source, broken)
    assert (done.code, done.lines) == (
        1,
        [f"F: {broken}: SOP Class UID or SOP Instance UID is missing in the file"],
    )


def test_a_mix_against_an_archive(archive: process.Receiver, tmp_path: Path) -> None:
    mix = ("--mix", "store=4,find=3,get=2,echo=1", "--find-level", "image")
    shape = ("--studies", "3", "--series", "2", "--seed", "5")
    report = loaded(
        archive.port, "mix", *mix, *shape, *SMALL, "-n", "120", "--associations", "2", "--audit",
        folder=tmp_path,
    )  # fmt: skip
    assert report["code"] == 0, report["text"]
    counts = {name: one["succeeded"] for name, one in report["operations"].items()}
    assert sum(counts.values()) == 120
    assert min(counts[name] for name in ("store", "find", "get", "echo")) > 0
    audit = report["audit"]
    assert audit["acknowledged"] == audit["whole"] == audit["retrieved"] == counts["store"]
    # What an earlier run stored is asked for by a later one, at every level.
    known = ("--known", str(counts["store"]), *shape)
    for command, level in (
        ("find", "study"), ("find", "series"), ("get", "study"), ("get", "series"),
    ):  # fmt: skip
        name = "--find-level" if command == "find" else "--retrieve-level"
        again = loaded(archive.port, command, *known, name, level, "-n", "4", folder=tmp_path)
        assert (again["code"], again["operations"][command]["succeeded"]) == (0, 4), again["text"]
    # Of another seed nothing is there.
    wrong = loaded(archive.port, "find", "--known", "3", "--seed", "6", "-n", "2", folder=tmp_path)
    assert (wrong["code"], wrong["operations"]["find"]["failed"]) == (2, 2)
    assert "0 answers with the UID asked for" in wrong["text"]


def test_a_move_sends_to_its_destination(running_scp: StartReceiver, tmp_path: Path) -> None:
    receiver = running_scp("storescp")
    server = running_scp(
        "serve", "--durability", "none", "--peer", f"DEST=127.0.0.1:{receiver.port}"
    )
    assert loaded(server.port, "store", *SMALL, "-n", "5", folder=tmp_path)["code"] == 0
    options = ("--known", "5", "-n", "6", "--retrieve-level", "study")
    report = loaded(server.port, "move", *options, "--destination", "DEST", folder=tmp_path)
    assert (report["code"], report["operations"]["move"]["objects"]) == (0, 30), report["text"]
    assert len(receiver.names()) == 5
    wrong = loaded(server.port, "move", *options, "--destination", "NOBODY", folder=tmp_path)
    assert wrong["code"] == 2
    assert "status A801H" in wrong["text"]


def test_echo(archive: process.Receiver, tmp_path: Path) -> None:
    report = loaded(archive.port, "echo", "-n", "10", folder=tmp_path)
    assert (report["code"], report["operations"]["echo"]["succeeded"]) == (0, 10)


def test_one_page_and_the_same_text(archive: process.Receiver, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    report = loaded(archive.port, "echo", "-n", "5", "--html", page, folder=tmp_path)
    assert report["code"] == 0
    assert page.read_text().count("<svg ") == 4
    shown = load("show", tmp_path / "report.json")
    assert (shown.code, shown.stdout) == (0, report["text"])
    same = load("compare", tmp_path / "report.json", tmp_path / "report.json")
    assert (same.code, same.stdout.splitlines()[-1]) == (0, "the same, within 10 %")
    slow = json.loads((tmp_path / "report.json").read_text())
    slow["operations"]["echo"]["latency_us"]["p50"] *= 2
    (tmp_path / "slow.json").write_text(json.dumps(slow))
    worse = load("compare", tmp_path / "report.json", tmp_path / "slow.json")
    assert worse.code == 2
    assert "WORSE: echo: p50 2.00 of the first's" in worse.stdout
    none = load("compare", page, tmp_path / "slow.json")
    assert (none.code, none.lines) == (1, [f"F: {page}: not a report (no JSON)"])
    gone = load("show", tmp_path / "nothing")
    assert (gone.code, gone.lines) == (1, [f"F: {tmp_path}/nothing: No such file or directory"])


# ---- Archives that do wrong


@contextmanager
def faulty_archive(
    *,
    keep: Callable[[int, Any], list[Any]],
    store: Callable[[int], int] = lambda _: 0,
    finds: bool = True,
    gets: bool = True,
    lists: int = 1000,
) -> Iterator[int]:
    """An archive that keeps what `keep` makes of each object, and answers with `store`'s status.

    It lists no more than `lists` objects of a series, and ends as if those were all.
    """
    kept: list[Any] = []
    count = 0

    def on_store(event: evt.Event) -> int:
        nonlocal count
        count += 1
        data = event.dataset
        data.file_meta = event.file_meta
        status = store(count)
        kept.extend(keep(count, data) if status == 0 else [])
        return status

    def on_find(event: evt.Event) -> Iterator[tuple[int, Any]]:
        wanted = event.identifier.SeriesInstanceUID
        for one in [one for one in kept if wanted == one.SeriesInstanceUID][:lists]:
            answer = pydicom.Dataset()
            answer.QueryRetrieveLevel = "IMAGE"
            answer.StudyInstanceUID = one.StudyInstanceUID
            answer.SeriesInstanceUID = one.SeriesInstanceUID
            answer.SOPInstanceUID = one.SOPInstanceUID
            yield 0xFF00, answer

    def on_get(event: evt.Event) -> Iterator[Any]:
        found = [one for one in kept if one.SeriesInstanceUID == event.identifier.SeriesInstanceUID]
        yield len(found)
        for one in found:
            yield 0xFF00, one

    server: Any = AE("FAULTY")
    for context in StoragePresentationContexts:
        server.add_supported_context(
            context.abstract_syntax, "1.2.840.10008.1.2.1", scu_role=True, scp_role=True
        )
        if len(server.supported_contexts) == 100:
            break
    if finds:
        server.add_supported_context("1.2.840.10008.5.1.4.1.2.2.1")
    if gets:
        server.add_supported_context("1.2.840.10008.5.1.4.1.2.2.3")
    handlers = [(evt.EVT_C_STORE, on_store), (evt.EVT_C_FIND, on_find), (evt.EVT_C_GET, on_get)]
    running = server.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield running.socket.getsockname()[1]
    finally:
        running.shutdown()


def altered(data: Any) -> Any:
    pixels = bytearray(data.PixelData)
    pixels[7] ^= 1
    data.PixelData = bytes(pixels)
    return data


def other_uid(data: Any) -> Any:
    data.SOPInstanceUID = "1.2.3"
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    return data


FAULTS: dict[str, tuple[Callable[[int, Any], list[Any]], dict[str, int]]] = {
    "none": (lambda _, data: [data], {"whole": 9}),
    "lost": (lambda n, data: [] if n == 4 else [data], {"whole": 8, "lost": 1}),
    "altered": (lambda n, data: [altered(data) if n == 4 else data], {"whole": 8, "altered": 1}),
    "duplicated": (lambda n, data: [data] * (2 if n == 4 else 1), {"whole": 8, "duplicated": 1}),
    "renamed": (
        lambda n, data: [other_uid(data) if n == 4 else data],
        {"whole": 8, "lost": 1, "unknown": 1},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_audit_finds_what_an_archive_did(fault: str, tmp_path: Path) -> None:
    keep, expected = FAULTS[fault]
    with faulty_archive(keep=keep) as port:
        options = ("-n", "9", "--studies", "2", "--audit")
        report = loaded(port, "store", *SMALL, *options, folder=tmp_path)
    audit = report["audit"]
    nothing = dict.fromkeys(("whole", "lost", "altered", "duplicated", "not_sent", "unknown"), 0)
    assert {name: audit[name] for name in nothing} == nothing | expected, report["text"]
    assert audit["acknowledged"] == 9
    assert report["code"] == (0 if fault == "none" else 2)
    if fault in ("lost", "altered", "duplicated"):
        ((what, uid, where),) = audit["findings"]
        assert what == fault
        assert where == ("(7fe0,0010) PixelData has another value" if fault == "altered" else "")
        assert uid.startswith("2.25.")


def test_what_other_runs_stored_is_none_of_this_ones_business(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    """Objects of the same seed are ours, whoever stored them; one of nobody's is counted once."""
    server = running_scp("serve", "--durability", "none")
    for known in ("0", "4", "8"):
        options = ("-n", "4", "--known", known, "--seed", "7", "--audit")
        report = loaded(server.port, "store", *SMALL, *options, folder=tmp_path)
        audit = report["audit"]
        assert (report["code"], audit["whole"], audit["unknown"]) == (0, 4, 0), report["text"]
        assert audit["retrieved"] == int(known) + 4


def test_what_was_refused_is_not_called_lost(tmp_path: Path) -> None:
    """What is refused is counted as that; without C-GET the audit says what it lacks."""

    def refuse(n: int) -> int:
        return 0xA700 if n in (2, 3) else 0

    with faulty_archive(keep=lambda _, data: [data], store=refuse, gets=False) as port:
        report = loaded(port, "store", *SMALL, "-n", "5", "--audit", folder=tmp_path)
    assert (report["ledger"]["stored"], report["ledger"]["refused"]) == (3, 2)
    assert report["operations"]["store"]["statuses"] == {"0000": 3, "A700": 2}
    assert report["audit"]["lost"] == 0
    assert "contents are not compared" in report["audit"]["incomplete"][0]
    assert report["code"] == 2


def test_an_audit_that_lacks_something_still_says_what_is_lost(tmp_path: Path) -> None:
    """Without C-GET, of what is not listed; and what a list of some answers hides is told."""
    gone = {"whole": 0, "lost": 2, "not_listed": 0, "not_compared": 7}
    hidden = {"whole": 8, "lost": 0, "not_listed": 1, "not_compared": 0}
    for options, expected in (
        ({"keep": lambda n, data: [] if n < 3 else [data], "gets": False}, gone),
        ({"keep": lambda _, data: [data], "lists": 8}, hidden),
    ):
        with faulty_archive(**options) as port:  # type: ignore[arg-type]
            report = loaded(port, "store", *SMALL, "-n", "9", "--audit", folder=tmp_path)
        assert {name: report["audit"][name] for name in expected} == expected, report["text"]
        assert report["code"] == 2
        assert "all is well" not in report["text"]


# ---- Time


def test_an_open_loop_counts_what_waited(tmp_path: Path) -> None:
    """A peer stalls once: what was due meanwhile is late by the timetable, not by its service."""
    stalled = threading.Event()

    def store(n: int) -> int:
        if n == 20:
            # The stall lasts until forty more operations are due, by the run's own timetable.
            end = time.monotonic() + 0.4
            process.wait_until(lambda: time.monotonic() >= end, within_s=20)
            stalled.set()
        return 0

    with faulty_archive(keep=lambda _, __: [], store=store) as port:
        report = loaded(port, "store", *SMALL, "-n", "80", "--rate", "100", folder=tmp_path)
    assert stalled.is_set()
    store_figures = report["operations"]["store"]

    def late(kind: str) -> int:
        buckets: list[tuple[float, int]] = store_figures[kind]["buckets"]
        return sum(count for edge, count in buckets if edge > 200_000)

    assert store_figures["latency_us"]["count"] == store_figures["service_us"]["count"] == 80
    assert store_figures["service_us"]["max"] >= 390_000
    assert late("latency_us") >= late("service_us") + 10
    assert "latencies count from when an operation was due" in report["text"]


def test_a_rate_that_the_peer_cannot_serve_is_told(tmp_path: Path) -> None:
    def store(n: int) -> int:
        if n == 1:
            # The first answer comes when the run's second is over.
            end = time.monotonic() + 1.2
            process.wait_until(lambda: time.monotonic() >= end, within_s=20)
        return 0

    rate = ("-n", "500", "--rate", "100", "--duration", "1")
    with faulty_archive(keep=lambda _, __: [], store=store) as port:
        report = loaded(port, "store", *SMALL, *rate, folder=tmp_path)
    assert report["ended_by"] == "duration"
    assert report["overdue"] >= 90
    assert "were due and not begun" in report["text"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_ends_in_order_when_it_is_asked_to(
    running_scp: StartReceiver, number: signal.Signals, tmp_path: Path
) -> None:
    receiver = running_scp("storescp", "--ignore")
    path = tmp_path / "r.json"
    running = subprocess.Popen(
        [
            *process.command("dcmfast", "load"), "store", "localhost", str(receiver.port), *SMALL,
            "--rate", "20", "-n", "100000", "--json", str(path), "-v",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=process.child_environment(),
        # A runner that was started in the background ignores it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )  # fmt: skip
    with ExitStack() as stack:
        stack.callback(running.kill)
        process.wait_until(lambda: _has_peer(receiver.port), within_s=30)
        running.send_signal(number)
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 128 + number, out
    assert b"it was stopped" in out
    report = json.loads(path.read_text())
    assert (report["ended_by"], report["is_interrupted"]) == ("stop", True)
    assert report["begun"] == report["ledger"]["stores"] < 100_000


def _has_peer(port: int) -> bool:
    """True when a connection to this port is established."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[2].endswith(wanted) and fields[3] == "01":
                return True
    return False


# ---- TLS


def test_over_tls(running_scp: StartReceiver, pki: Pki, tmp_path: Path) -> None:
    """Every association is secured, the audit's, too; who is refused is told why."""
    archive = running_scp("storescp", *pki.server.tls, *pki.authority.trusted, "-v")
    trusted = pki.authority.trusted
    secured = [*pki.client.tls, *trusted]
    options = ("-n", "20", "--associations", "2", "--per-association", "5")
    report = loaded(archive.port, "store", *SMALL, *options, *secured, folder=tmp_path)
    assert (report["code"], report["operations"]["store"]["succeeded"]) == (0, 20), report["text"]
    assert report["plan"]["is_secured"]
    assert len(archive.names()) == 20
    assert sum("dcmfast.tls" in line for line in archive.stderr.lines) >= 4
    # Without a certificate, with a stranger's, in plain, without trust: a line says why.
    for line, why in (
        (["+tla", *trusted], "required"),
        ([*pki.stranger.tls, *trusted], "authority|unknown_ca"),
        ([], "closed|broke|aborted"),
        ([*pki.client.tls], "certificate|authority"),
    ):
        done = load("store", "localhost", str(archive.port), *SMALL, "-n", "1", *line)
        assert done.code in (1, 2), (line, done.stdout)
        assert re.search(why, done.stdout + done.stderr), (line, done.stdout, done.stderr)
    assert len(archive.names()) == 20


def test_tls_that_cannot_be_had(free_port: int, tmp_path: Path) -> None:
    missing = str(tmp_path / "no.pem")
    done = load("echo", "localhost", str(free_port), "+tls", missing, missing)
    assert done.code == 1
    assert "Unable to load private TLS key" in done.lines[-1]
    for line, text in (
        (("compare", "a", "b", "+tla"), "--anonymous-tls not allowed with compare"),
        (("echo", "localhost", "1", "-ic"), "--ignore-peer-cert only allowed with"),
    ):
        done = load(*line)
        assert done.code == 1
        assert text in done.stderr


# ---- Peers that are none, and hosts that are others'


def test_a_remote_host_is_refused() -> None:
    for host in ("192.0.2.1", "0.0.0.0", "::ffff:192.0.2.1"):
        done = load("store", host, "104", "-n", "1")
        assert done.code == 1
        assert f"error: {host} (" in done.lines[-1]
        assert done.lines[-1].endswith(" is not this host: only with --yes-remote")
    unknown = load("store", "no.such.host.invalid", "104")
    assert (unknown.code, unknown.lines) == (1, ["F: unknown host: no.such.host.invalid"])


def test_a_port_where_nobody_listens(free_port: int, tmp_path: Path) -> None:
    """LOAD_FAILURES_IN_A_ROW_MAX failures end the run; one less does not."""
    few = loaded(free_port, "store", *SMALL, "-n", "19", folder=tmp_path)
    assert (few["code"], few["ended_by"], few["begun"]) == (2, "count", 19)
    report = loaded(free_port, "store", *SMALL, folder=tmp_path)
    assert report["code"] == 1
    assert report["ended_by"] == "gave-up"
    assert report["begun"] == 20
    assert report["stderr"].splitlines() == [
        "F: the peer cannot be loaded: store: TCP Initialization Error: Connection refused"
    ]
    assert report["ledger"]["not_sent"] == 20


@contextmanager
def hostile_peer(answer: bytes, *, closes: bool = True) -> Iterator[int]:
    """A peer that answers the first bytes of each connection with `answer`."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        held = []
        while not over.is_set():
            ready, _, _ = select.select([listener], [], [], 0.05)
            if not ready:
                continue
            peer, _ = listener.accept()
            peer.settimeout(10)
            try:
                peer.recv(65536)
                peer.sendall(answer)
            except OSError:
                pass
            if closes:
                peer.close()
            else:
                held.append(peer)
        for peer in held:
            peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        thread.join()
        listener.close()


REJECT = b"\x03\0\0\0\0\4\0\1\1\7"
ABORT = b"\x07\0\0\0\0\4\0\0\2\1"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "the peer closed the connection|the connection broke"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the peer broke the protocol"),
        (REJECT, "Association Rejected"),
        (ABORT, r"the peer aborted the association \(source 2, reason 1\)"),
        (b"\x02\0\xff\xff\xff\xff", "the peer broke the protocol"),
        (b"\x05\0\0\0\0\4\0\0\0\0", "the peer broke the protocol|released"),
    ],
)
def test_nonsense_ends_in_a_line(answer: bytes, text: str, tmp_path: Path) -> None:
    with hostile_peer(answer) as port:
        report = loaded(port, "echo", "-n", "50", folder=tmp_path)
    assert report["code"] == 1
    (line,) = report["stderr"].splitlines()
    assert re.search(f"^F: the peer cannot be loaded: echo: .*(?:{text})", line), line


def test_silence_ends_after_the_timeout(tmp_path: Path) -> None:
    with hostile_peer(b"", closes=False) as port:
        report = loaded(port, "echo", "-n", "2", "-ta", "1", folder=tmp_path)
    assert report["code"] == 2
    assert "the peer did not answer in time" in report["text"]


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LOAD_FILES_MAX, with a smaller one in its place: files in directories count, too."""
    for name in "abc":
        (tmp_path / name).touch()
    monkeypatch.setattr(engine, "LOAD_FILES_MAX", 4)
    inputs = (str(tmp_path), str(tmp_path / "a"))
    assert len(list(engine._files(inputs))) == 4
    with pytest.raises(InputFileError, match="more than 4 files"):
        list(engine._files((*inputs, str(tmp_path / "b"))))
    with pytest.raises(InputFileError, match="more than 4 files"):
        list(engine._files((str(tmp_path), str(tmp_path))))


def test_files_that_cannot_be_written(
    archive: process.Receiver, tmp_path: Path, free_port: int
) -> None:
    """A ledger that cannot be begun is no run; later trouble costs no other report."""
    done = load("store", "localhost", str(free_port), "-n", "1", "--ledger", tmp_path)
    assert (done.code, done.lines) == (1, [f"F: {tmp_path}: Is a directory"])
    full = ("--ledger", "/dev/full")
    done = load("store", "localhost", str(free_port), "-n", "1", *full)
    assert (done.code, done.lines) == (1, ["F: /dev/full: No space left on device"])
    page = tmp_path / "page.html"
    done = load(
        "echo", "localhost", str(archive.port), "-n", "1", "--json", "/dev/full", "--html", page
    )
    assert (done.code, done.stderr) == (1, "F: /dev/full: No space left on device\n")
    assert "all is well" in done.stdout
    assert "</html>" in page.read_text()


def test_a_disk_that_fills_up_costs_the_ledger_alone(
    archive: process.Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on, and its report says what became of the ledger."""
    ledger = tmp_path / "ledger.txt"
    line = ["store", "127.0.0.1", str(archive.port), "-n", "3", *SMALL, "--ledger", str(ledger)]
    settings = load_settings.load(LOAD, line)
    assert isinstance(settings, LoadSettings)
    entries = engine._Entries

    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(engine, "_Entries", lambda work, _: entries(work, full))
        report = engine.run(settings)
    assert report["operations"]["store"]["succeeded"] == 3
    assert report["ledger_trouble"] == "No space left on device"


# ---- Peers that turn in the middle of an operation


def _other_message(peer: Conversation, request: Message) -> None:
    peer.respond(request, 0, message_id=request.message_id + 7)


def _other_service(peer: Conversation, request: Message) -> None:
    peer.respond(request, 0, command_field=0x8FFF)


def _data_set(peer: Conversation, request: Message) -> None:
    peer.respond(request, 0, data=b"\x08\0\x05\0CS\0\0" * 3)


def _abort(peer: Conversation, _: Message) -> None:
    peer.send(ABORT)


def _garbage(peer: Conversation, _: Message) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")


def _release(peer: Conversation, _: Message) -> None:
    peer.send(pdu.release_rq())


def _close(peer: Conversation, _: Message) -> None:
    peer.socket.close()


TURNS: dict[str, tuple[Callable[[Conversation, Message], None], str]] = {
    "another message": (_other_message, "response to message"),
    "another service": (_other_service, "the peer broke the protocol"),
    "a data set in a response": (_data_set, "the peer broke the protocol"),
    "abort": (_abort, "the peer aborted the association"),
    "garbage": (_garbage, "the peer broke the protocol"),
    "release": (_release, "the peer released the association"),
    "close": (_close, "the peer closed the connection|the connection broke"),
}


@pytest.mark.parametrize(
    ("turn", "command"),
    # A response of C-FIND has a data set.
    [(turn, "store") for turn in TURNS] + [(turn, "find") for turn in TURNS if "data" not in turn],
)
def test_peers_that_turn(turn: str, command: str, tmp_path: Path) -> None:
    """Counted with its reason, on its association alone; the next one goes on."""
    turns, why = TURNS[turn]

    def script(peer: Conversation) -> None:
        peer.accept()
        turns(peer, peer.expect_request())
        with suppress(OSError):
            peer.socket.recv(65536)

    def good(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        peer.respond(request, 0 if command == "store" else 0xA700)
        peer.expect_release()

    known = ("--known", "1") if command == "find" else ()
    with ScriptedServer(script, good) as server:
        options = ("-n", "2", "-td", "5", *known, "--size", "128")
        report = loaded(server.port, command, *options, folder=tmp_path)
    figures = report["operations"][command]
    assert report["code"] == 2, report["text"]
    assert (figures["succeeded"], figures["failed"]) == ((1, 1) if command == "store" else (0, 2))
    assert re.search(why, " ".join(report["errors"])), report["errors"]
    if command == "store":
        ledger = report["ledger"]
        assert (ledger["stored"], ledger["no_answer"]) == (1, 1)
