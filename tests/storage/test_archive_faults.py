"""P2, P4, P6 for dcmqrscp: killed anywhere, at named points, out of disk and out of descriptors.

Every acknowledged object is found and identical, nothing is listed that is not there, and the next
start needs no operator. ``DCMFAST_SOAK=<rounds>`` (``make soak``) runs more rounds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import resource
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit import pdu
from testkit.corpus import split_part10
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, run_tool
from testkit.queries import (
    CONTEXTS,
    CT_ROLE,
    NUMBER_OF_MATCHES_UNKNOWN,
    OUT_OF_RESOURCES,
    SUB_OPERATIONS_FAILED,
    find_rq,
    get,
    messages,
    studies,
)
from vectors import make

ROUNDS = int(os.environ.get("DCMFAST_SOAK", "50"))
#: Of a process that stopped at a crash point.
CRASH_EXIT_CODE = 86
#: Each of these comes by while objects are stored; the number says at which time.
CRASH_POINTS = [
    "before_journal_write:9",
    "after_journal_write:9",
    "after_journal_sync:9",
    "before_object:20",
    "after_object:20",
    "before_index_commit:2",
    "after_index_commit:2",
    "after_file_removal:2",
    "before_spool_sync:2",
    "after_spool_sync:2",
]


class Ledger:
    """What one sender sent and what was acknowledged: the truth that a crash is held against."""

    def __init__(self) -> None:
        self.sent: dict[str, str] = {}
        self.acknowledged: dict[str, str] = {}

    def store(self, peer: ScriptedPeer, made: make.SyntheticObject) -> int:
        digest = hashlib.sha256(made.data_set).hexdigest()
        self.sent[made.sop_instance_uid] = digest
        status = peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set)
        if status == 0:
            self.acknowledged[made.sop_instance_uid] = digest
        return status


def configuration(directory: Path, area: Path) -> str:
    """Write a configuration with one area, open to all; its path."""
    area.mkdir(exist_ok=True)
    path = directory / "dcmqrscp.cfg"
    path.write_text(f"AETable BEGIN\nAREA {area} RW (unlimited, unlimited) ANY\nAETable END\n")
    return str(path)


def connect(server: Receiver) -> ScriptedPeer:
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(ScriptedPeer(server.port))
        peer.associate(CONTEXTS, called="AREA", user=pdu.user_information(extra=CT_ROLE))
        stack.pop_all()  # whoever called closes it
    return peer


def found(server: Receiver, study: int) -> set[str]:
    """SOP Instance UIDs that a C-FIND finds in a study."""
    keys = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={study_of(study)}", "SeriesInstanceUID"]
    series = answers(server, keys, "(0020,000e)")
    uids: set[str] = set()
    for uid in series:
        image = [
            "QueryRetrieveLevel=IMAGE",
            f"StudyInstanceUID={study_of(study)}",
            f"SeriesInstanceUID={uid}",
            "SOPInstanceUID",
        ]
        listed = answers(server, image, "(0008,0018)")
        assert len(set(listed)) == len(listed), "listed twice"
        uids.update(listed)
    return uids


def answers(server: Receiver, keys: list[str], wanted: str) -> list[str]:
    """Values of one attribute in all answers to a C-FIND."""
    arguments = [part for key in keys for part in ("-k", key)]
    line = ["-S", "-aec", "AREA", *arguments, "localhost", str(server.port)]
    done = run_tool("dcmtk", "findscu", ["-v", *line])
    assert done.code == 0, done.stderr
    text = "\n".join(done.lines)
    responses = text.split("Find Response:")[1:]
    lines = [line for response in responses for line in response.splitlines() if wanted in line]
    return [line.split("[", 1)[1].split("]", 1)[0].strip(" \0") for line in lines]


def study_of(study: int) -> str:
    """The Study Instance UID that ``make.ct`` gives a study."""
    return make.ct(1, study=study).study_instance_uid


def retrieved(server: Receiver, study: int, directory: Path) -> dict[str, str]:
    """Retrieve a study by C-GET: SOP Instance UID → digest of the data set."""
    directory.mkdir()
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study_of(study)}"]
    line = ["-S", "+B", "-aec", "AREA", "-od", str(directory), *keys]
    done = run_tool("dcmtk", "getscu", [*line, "localhost", str(server.port)])
    assert done.code == 0, done.stderr
    return {
        path.name.removeprefix("CT."): hashlib.sha256(
            split_part10(path.read_bytes())[1]
        ).hexdigest()
        for path in directory.iterdir()
    }


def assert_the_promise(server: Receiver, study: int, directory: Path, *ledgers: Ledger) -> int:
    """Acknowledged ⊆ listed = retrieved, identical; nothing that was not sent whole; how many."""
    listed = found(server, study)
    present = retrieved(server, study, directory)
    assert set(present) == listed
    for ledger in ledgers:
        for uid, digest in ledger.acknowledged.items():
            assert present.get(uid) == digest, uid
    sent = {uid: digest for ledger in ledgers for uid, digest in ledger.sent.items()}
    for uid, digest in present.items():
        assert sent[uid] == digest, uid
    return len(present)


def keep_sending(server: Receiver, study: int, sender: int, ledger: Ledger) -> None:
    """Store until nobody answers: small objects, and some that go through the spool."""
    with contextlib.suppress(AssertionError, ConnectionError), connect(server) as peer:
        for number in range(10_000):
            side = 256 if (number + sender) % 8 == 7 else 8 * (1 + (number + sender) % 12)
            made = make.ct(10 * number + sender + 1, study=study, rows=side, columns=side)
            ledger.store(peer, made)


def send_by_four(server: Receiver, study: int) -> tuple[list[Ledger], list[threading.Thread]]:
    ledgers = [Ledger() for _ in range(4)]
    senders = [
        threading.Thread(target=keep_sending, args=(server, study, number, ledger))
        for number, ledger in enumerate(ledgers)
    ]
    for sender in senders:
        sender.start()
    return ledgers, senders


@pytest.mark.dcmtk
@pytest.mark.timeout(120 + 6 * ROUNDS)
def test_killed_anywhere_under_parallel_senders(running_scp: StartReceiver, tmp_path: Path) -> None:
    """SIGKILL after a random time, or a stop at a point, under four senders; many rounds."""
    noise = random.Random(20)
    area = tmp_path / "area"
    config = configuration(tmp_path, area)

    def start(round_number: int, crash_at: str | None) -> Receiver:
        # Where syncs are none, most points never come, and the round would wait in vain.
        durability = ("group", "each" if crash_at else "none", "each")[round_number % 3]
        began = time.monotonic()
        try:
            server = running_scp(
                "dcmqrscp",
                "-c",
                config,
                "--durability",
                durability,
                clean_exit=False,
                environment={"DCMFAST_CRASH_AT": crash_at} if crash_at else None,
            )
        except AssertionError as error:
            if crash_at is None or f"ended with {CRASH_EXIT_CODE}" not in str(error):
                raise
            # The point came by in what the start had to repeat: a crash in a recovery.
            return start(round_number, None)
        assert time.monotonic() - began < 2, "ready in two seconds, whatever was left"
        return server

    acknowledged = present = 0
    ledgers: list[Ledger] = []
    for round_number in range(ROUNDS):
        is_at_point = round_number % 5 == 4
        point = CRASH_POINTS[round_number // 5 % len(CRASH_POINTS)] if is_at_point else None
        server = start(round_number, None)
        if round_number:
            checked = tmp_path / f"checked-{round_number}"
            present += assert_the_promise(server, round_number - 1, checked, *ledgers)
        if point is not None:
            server.kill()
            server = start(round_number, point)
        ledgers, senders = send_by_four(server, round_number)
        if point is None:
            select.select([], [], [], noise.uniform(0.001, 0.3))  # the random moment itself
            server.kill()
        else:
            # A point that only larger objects reach, or none: the senders would go on for ever.
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(timeout=1)
            server.kill()
        for sender in senders:
            sender.join()
        acknowledged += sum(len(ledger.acknowledged) for ledger in ledgers)
    last = start(0, None)
    present += assert_the_promise(last, ROUNDS - 1, tmp_path / "checked-last", *ledgers)
    assert acknowledged > 10 * ROUNDS
    assert last.stop() == 0
    # Nothing is left that nobody lists, over all rounds.
    assert sum(1 for _ in (area / "objects").rglob("*.dcm")) == present
    assert not list((area / ".dcmfast" / "spool").iterdir())


@pytest.mark.dcmtk
def test_four_parallel_senders_lose_nothing(running_scp: StartReceiver, tmp_path: Path) -> None:
    server = running_scp("dcmqrscp", "-c", configuration(tmp_path, tmp_path / "area"))
    ledgers = [Ledger() for _ in range(4)]

    def send(sender: int) -> None:
        with connect(server) as peer:
            for number in range(100):
                made = make.ct(10 * number + sender + 1, study=1)
                assert ledgers[sender].store(peer, made) == 0
            peer.release()

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert [len(ledger.acknowledged) for ledger in ledgers] == [100] * 4
    assert assert_the_promise(server, 1, tmp_path / "checked", *ledgers) == 400


# ---- What runs out


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB, where mounting is allowed."""
    directory = tmp_path / "small"
    directory.mkdir()
    options = ["-t", "tmpfs", "-o", "size=24m", "tmpfs", str(directory)]
    mounted = os.geteuid() == 0 and (
        subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0
    )
    if not mounted:
        pytest.skip("mounting a small file system needs root")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.mark.dcmtk
def test_a_full_disk(running_scp: StartReceiver, tmp_path: Path, small_disk: Path) -> None:
    """A700H, finds go on, and room made is room used."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(8 << 20))
    server = running_scp("dcmqrscp", "-c", configuration(tmp_path, small_disk))
    ledger = Ledger()
    statuses = []
    with connect(server) as peer:
        for number in range(40):
            made = make.ct(number, study=1, rows=512, columns=512)
            statuses.append(ledger.store(peer, made))
            if statuses[-1] != 0:
                break
        assert statuses[-1] == OUT_OF_RESOURCES
        assert len(ledger.acknowledged) > 3
        assert_the_promise(server, 1, tmp_path / "full", ledger)
        ballast.unlink()
        deadline = time.monotonic() + 10
        while (status := ledger.store(peer, made)) != 0:
            assert status == OUT_OF_RESOURCES
            assert time.monotonic() < deadline, "room made is room used"
        peer.release()
    assert_the_promise(server, 1, tmp_path / "room", ledger)


@pytest.mark.dcmtk
def test_out_of_descriptors(running_scp: StartReceiver, tmp_path: Path) -> None:
    """EMFILE while objects are on their way: A700H or fewer associations, and nothing is lost."""
    server = running_scp("dcmqrscp", "-c", configuration(tmp_path, tmp_path / "area"))
    ledger = Ledger()
    with connect(server) as peer:
        assert ledger.store(peer, make.ct(1, study=1)) == 0
        pid = server.process.pid
        used = server.descriptors()
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, hard))
        # Large ones need a file at once, small ones when they are applied.
        for number, side in enumerate((256, 16, 256, 16), start=2):
            made = make.ct(number, study=1, rows=side, columns=side)
            assert ledger.store(peer, made) in (0, OUT_OF_RESOURCES)
        assert len(ledger.acknowledged) < 5, "nothing was refused"
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        deadline = time.monotonic() + 10
        while ledger.store(peer, make.ct(9, study=1, rows=256, columns=256)) != 0:
            assert time.monotonic() < deadline, "service goes on"
        peer.release()
    assert_the_promise(server, 1, tmp_path / "checked", ledger)


# ---- What the index's own writes meet

_INDEX_WRITES = "pwrite64,pwritev,writev,write"


@contextlib.contextmanager
def injected(server: Receiver, calls: str, fault: str) -> Iterator[None]:
    """These system calls of the server fail on the files of its index, and on no others."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace: `apt-get install strace` lets this test make system calls fail")
    index = next(server.directory.rglob("data.mdb"))
    command = [
        strace, "-f", "-p", str(server.process.pid), "-o", os.devnull, "-P", str(index),
        "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}",
    ]  # fmt: skip
    tracing = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracing.stderr is not None
    try:
        first = tracing.stderr.readline()
        if "attached" not in first:
            pytest.skip(f"strace may not trace here: {first}")
        yield
    finally:
        tracing.terminate()
        tracing.communicate(timeout=20)


def stored_in_time(server: Receiver, ledger: Ledger, number: int) -> bool:
    """True when an object is stored within some seconds; each refusal is A700H."""
    deadline = time.monotonic() + 2
    while True:
        with connect(server) as peer:
            status = ledger.store(peer, make.ct(number, study=1))
            peer.release()
        assert status in (0, OUT_OF_RESOURCES)
        if status == 0 or time.monotonic() > deadline:
            return status == 0
        select.select([], [], [], 0.05)


@pytest.mark.dcmtk
@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        (_INDEX_WRITES, "error=EIO"),
        (_INDEX_WRITES, "error=ENOSPC"),
        ("fdatasync", "error=EIO"),
        # One call alone: a page, or the meta page that makes the commit; or all from there on.
        *((_INDEX_WRITES, f"error=EIO:when={at}") for at in ("1", "3", "3+")),
        # Where blocks are never overwritten, the meta page may be the one without room.
        (_INDEX_WRITES, "error=ENOSPC:when=3"),
    ],
)
def test_the_index_cannot_be_written(
    calls: str, fault: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """A700H with the reason, no false success, and it goes on by itself when the disk does.

    LMDB itself stands still after a failed write of a meta page: it is opened anew.
    """
    config = configuration(tmp_path, tmp_path / "area")
    start = {"directory": tmp_path / "area", "clean_exit": False}
    server = running_scp("dcmqrscp", "-c", config, **start)
    ledger = Ledger()
    assert stored_in_time(server, ledger, 1)
    found(server, 1)
    with injected(server, calls, fault):
        with connect(server) as peer:
            for number in (2, 3, 4):
                status = ledger.store(peer, make.ct(number, study=1))
                assert status in (0, OUT_OF_RESOURCES)
                # A query wants the commit now: each is answered, and no success is false.
                listed = set(ledger.acknowledged)
                peer.send(find_rq(number, studies(study_of(1))))
                assert messages(peer)[-1][2] in (0, OUT_OF_RESOURCES)
                outcome, sent, _ = get(peer, studies(study_of(1)))
                assert outcome in (0, NUMBER_OF_MATCHES_UNKNOWN, SUB_OPERATIONS_FAILED)
                assert outcome != 0 or sent >= len(listed)
            peer.release()
        told = server.stderr.wait_for("E: dcmfast.archive: index: .*")
        assert "index" in told
    assert stored_in_time(server, ledger, 5)
    assert_the_promise(server, 1, tmp_path / "checked", ledger)
    assert server.stop() == 0
    again = running_scp("dcmqrscp", "-c", config, directory=tmp_path / "area")
    assert stored_in_time(again, ledger, 6)
    assert_the_promise(again, 1, tmp_path / "again", ledger)
