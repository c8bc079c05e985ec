"""P2, P4, P5: the process dies at a named point, or anywhere; acknowledged ⊆ found, identical.

``DCMFAST_CRASH_AT`` ends the process by ``_exit`` at one point of the order in PROMISES.md §4.
Nothing that was acknowledged is lost, nothing is half there, and a restart needs no operator.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import select
import threading
from pathlib import Path

import pytest

from testkit.checks import assert_still_serves, is_part
from testkit.corpus import split_part10
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, wait_until
from vectors import make

#: The order of PROMISES.md §4, with a point on both sides of each step.
CRASH_POINTS = [
    "before_sync",
    "after_sync",
    "before_rename",
    "after_rename",
    "after_directory_sync",
    "before_response",
    "after_response",
]
SYNCED_ONLY = {"before_sync", "after_sync", "after_directory_sync"}


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


def found(directory: Path) -> dict[str, str]:
    """SOP Instance UID → digest of the data set, for every published file."""
    return {
        path.name.removeprefix("CT."): hashlib.sha256(
            split_part10(path.read_bytes())[1]
        ).hexdigest()
        for path in directory.iterdir()
        if not is_part(path.name)
    }


def assert_the_promise(directory: Path, *ledgers: Ledger) -> None:
    """Acknowledged ⊆ found, identical; and nothing is there that was not sent whole."""
    present = found(directory)
    for ledger in ledgers:
        for uid, digest in ledger.acknowledged.items():
            assert present.get(uid) == digest, uid
    sent = {uid: digest for ledger in ledgers for uid, digest in ledger.sent.items()}
    for uid, digest in present.items():
        assert sent[uid] == digest, uid


@pytest.mark.parametrize("durability", ["none", "group", "each"])
@pytest.mark.parametrize("crash_at", CRASH_POINTS)
def test_an_acknowledged_instance_is_always_found_after_a_crash(
    crash_at: str, durability: str, running_scp: StartReceiver, archive_dir: Path
) -> None:
    """Order A, B, C of ARCHITECTURE.md. The peer resends what was not acknowledged."""
    ledger = Ledger()
    arguments = ("--durability", durability)
    steady = running_scp("storescp", *arguments, directory=archive_dir)
    with ScriptedPeer(steady.port) as peer:
        peer.associate()
        for number in range(3):
            assert ledger.store(peer, make.ct(number)) == 0
        peer.release()
    assert steady.stop() == 0
    crashing = running_scp(
        "storescp",
        *arguments,
        directory=archive_dir,
        environment={"DCMFAST_CRASH_AT": crash_at},
        clean_exit=False,
    )
    with ScriptedPeer(crashing.port) as peer:
        peer.associate()
        made = make.ct(9)
        crashed = True
        try:
            ledger.store(peer, made)
            # Past the response the point strikes when it was sent: the next message finds nobody.
            peer.echo()
            crashed = False
        except (AssertionError, ConnectionError):
            pass
    if durability == "none" and crash_at in SYNCED_ONLY:
        assert not crashed, "without syncs there is no such point"
        assert crashing.stop() == 0
    else:
        assert crashed, f"{crash_at} was never reached"
        crashing.wait()
    assert (made.sop_instance_uid in ledger.acknowledged) <= (
        crash_at == "after_response" or not crashed
    )
    assert_the_promise(archive_dir, ledger)
    again = running_scp("storescp", *arguments, directory=archive_dir)
    wait_until(lambda: not part_files(again), within_s=2, what="part files cleared at start")
    with ScriptedPeer(again.port) as peer:
        peer.associate()
        for number in (9, 10):
            assert ledger.store(peer, make.ct(number)) == 0
    assert_the_promise(archive_dir, ledger)
    assert set(found(archive_dir)) == set(ledger.acknowledged)


def part_files(receiver: Receiver) -> list[str]:
    return [name for name in receiver.names() if is_part(name)]


@pytest.mark.parametrize("durability", ["none", "group"])
def test_killed_anywhere_under_parallel_senders(
    durability: str, running_scp: StartReceiver, archive_dir: Path
) -> None:
    """PROMISES.md §8.2: SIGKILL after a random time under four senders, ten rounds."""
    noise = random.Random(20)
    ledgers: list[Ledger] = []

    def keep_sending(receiver: Receiver, round_number: int, sender: int, ledger: Ledger) -> None:
        with (
            contextlib.suppress(AssertionError, ConnectionError),
            ScriptedPeer(receiver.port) as peer,
        ):
            peer.associate()
            for number in range(10_000):
                side = 8 * (1 + (number + sender) % 40)
                made = make.ct(
                    number, seed=sender, study=1000 + round_number, rows=side, columns=side
                )
                ledger.store(peer, made)

    for round_number in range(10):
        receiver = running_scp(
            "storescp",
            "--durability",
            durability,
            directory=archive_dir,
            clean_exit=False,
        )
        fresh = [Ledger() for _ in range(4)]
        ledgers += fresh
        senders = [
            threading.Thread(target=keep_sending, args=(receiver, round_number, n, ledger))
            for n, ledger in enumerate(fresh)
        ]
        for sender in senders:
            sender.start()
        select.select([], [], [], noise.uniform(0.001, 0.5))  # the random moment itself
        receiver.kill()
        for sender in senders:
            sender.join()
        assert_the_promise(archive_dir, *ledgers)
    assert sum(len(ledger.acknowledged) for ledger in ledgers) > 100
    last = running_scp("storescp", "--durability", durability, directory=archive_dir)
    wait_until(lambda: not part_files(last), within_s=2, what="part files cleared at start")
    with ScriptedPeer(last.port) as peer:
        peer.associate()
        peer.echo()
    assert_the_promise(archive_dir, *ledgers)


@pytest.mark.parametrize("durability", ["none", "group"])
def test_part_files_of_a_living_receiver_are_left_alone(
    durability: str, running_scp: StartReceiver, archive_dir: Path
) -> None:
    """PROMISES.md §4: two receivers may share a directory; a part file belongs to its owner."""
    from testkit import pdu

    first = running_scp("storescp", "--durability", durability, directory=archive_dir)
    # More than a write block, so that a part file is there while it arrives.
    made = make.ct(1, rows=2048, columns=1024)
    pieces = pdu.fragments(3, made.data_set)
    with ScriptedPeer(first.port) as peer:
        peer.associate()
        command = pdu.c_store_rq(made.sop_class_uid, made.sop_instance_uid)
        peer.send(pdu.p_data(pdu.pdv(3, command, command=True)), *pieces[:-1])
        wait_until(lambda: bool(first.in_transit()), what="a part file")
        # Without a name where nothing is synced and the file system can do that.
        assert part_files(first) or durability == "none"
        second = running_scp("storescp", directory=archive_dir)
        with ScriptedPeer(second.port) as other:
            other.associate()
            other.echo()
            other.release()
        assert second.stop() == 0
        assert first.in_transit()
        assert part_files(first) or durability == "none"
        peer.send(pieces[-1])
        peer.expect_status(0)
    (stored,) = first.files()
    assert stored.read_bytes().endswith(made.data_set)
    assert_still_serves(first)
