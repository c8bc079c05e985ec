"""P7, P8, P9: a bad peer costs its own association only, and memory stays bounded."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from pathlib import Path

import pytest

from dcmfast.limits import LIMITS
from testkit import answers, pdu
from testkit.answers import NOT_SPECIFIED, Accepted, Rejected
from testkit.checks import assert_still_serves
from testkit.kinds import Connect, StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, wait_until
from vectors import make

BIG = make.ct(1, rows=512, columns=512)


def stall(peer: ScriptedPeer, number: int) -> None:
    """Six ways to stop in the middle of something."""
    made = make.ct(500 + number)
    command = pdu.p_data(
        pdu.pdv(3, pdu.c_store_rq(made.sop_class_uid, made.sop_instance_uid), command=True)
    )
    if number == 0:
        peer.send(pdu.associate_rq()[:40])
        return
    peer.associate()
    steps = [
        command[:9],
        command[:-3],
        command,
        command + pdu.p_data(pdu.pdv(3, made.data_set[:99], last=False)),
        command + pdu.p_data(pdu.pdv(3, made.data_set))[:-1],
    ]
    peer.send(steps[number - 1])


@pytest.mark.timeout(180)
def test_echo_within_a_second_beside_200_idle_and_6_stalled_peers(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """P8, and PROMISES.md §8.9: while stores run; descriptors and threads go back afterwards."""
    receiver = running_scp("storescp")
    assert_still_serves(receiver)
    before = receiver.descriptors(), receiver.threads(), receiver.private_kib()
    idle = [scripted_peer(receiver) for _ in range(200)]
    for peer in idle[:150]:
        peer.associate()
    stalled = [scripted_peer(receiver) for _ in range(6)]
    for number, peer in enumerate(stalled):
        stall(peer, number)
    stored, done = threading.Event(), threading.Event()
    statuses: list[int] = []

    def keep_storing(number: int) -> None:
        with ScriptedPeer(receiver.port) as peer:
            peer.associate()
            while not done.is_set():
                uid = make.uid(77, number, len(statuses))
                made = make.ct(1, rows=512, columns=512, sop_instance_uid=uid)
                statuses.append(peer.store(3, made.sop_class_uid, uid, made.data_set))
                stored.set()
            peer.release()

    storing = [threading.Thread(target=keep_storing, args=(number,)) for number in range(2)]
    for thread in storing:
        thread.start()
    try:
        assert stored.wait(60), "nobody could store beside idle and stalled peers"
        for _ in range(10):
            started = time.monotonic()
            with ScriptedPeer(receiver.port) as peer:
                peer.associate()
                peer.echo()
                peer.release()
            assert time.monotonic() - started < 1
    finally:
        done.set()
        for thread in storing:
            thread.join()
    assert set(statuses) == {0}
    # 200 idle associations hold at most 64 MiB in all; the two that store may hold 1 MiB each.
    assert receiver.private_kib() - before[2] < 66 * 1024
    for peer in (*idle, *stalled):
        peer.socket.close()
    wait_until(
        lambda: receiver.descriptors() <= before[0] and receiver.threads() <= before[1],
        within_s=20,
        what="descriptors and threads back to the start value",
    )
    assert_still_serves(receiver)


def test_connections_in_a_burst(running_scp: StartReceiver) -> None:
    """PROMISES.md §8.9: 500 connections at once that say nothing, and an echo among them."""
    receiver = running_scp("storescp", "-ta", "2")
    silent = [ScriptedPeer(receiver.port) for _ in range(500)]
    started = time.monotonic()
    assert_still_serves(receiver)
    assert time.monotonic() - started < 2
    for peer in silent:
        peer.socket.close()
    assert_still_serves(receiver)


def test_peers_that_stay_after_a_rejection_are_bounded(running_scp: StartReceiver) -> None:
    """P9, P11: each of 800 is answered, but no more than the bound may keep a thread waiting."""
    receiver = running_scp("storescp")
    others = receiver.threads()
    request = pdu.associate_rq(application_context=b"1.2.3")
    staying: list[ScriptedPeer] = []
    for _ in range(800):
        peer = ScriptedPeer(receiver.port)
        peer.send(request)
        assert peer.expect_pdu(pdu.ASSOCIATE_RJ)[1][1:] == bytes([1, 1, 2])
        staying.append(peer)
    wait_until(
        lambda: receiver.threads() <= LIMITS["PENDING_CONNECTIONS_MAX"] + others + 1,
        within_s=2,  # less than the time after which the receiver closes by itself
        what="bounded threads",
    )
    assert_still_serves(receiver)
    for peer in staying:
        peer.socket.close()


def test_a_flood_of_messages_leaves_others_alone(running_scp: StartReceiver) -> None:
    """P16: thousands of echoes without waiting cost their bytes and nothing more."""
    receiver = running_scp("storescp")
    before = receiver.private_kib()
    with ScriptedPeer(receiver.port) as flooder:
        flooder.associate()
        echo = pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(1), command=True))
        count = 3000
        sender = threading.Thread(target=flooder.send, args=(echo * count,))
        sender.start()
        for number in range(count):
            assert pdu.value_us(flooder.expect_message(), pdu.STATUS) == 0
            if number % 1000 == 0:
                assert_still_serves(receiver, echo_within_s=1)
        sender.join()
        flooder.release()
    assert receiver.private_kib() - before < 64 * 1024


@pytest.mark.parametrize("limit", [1, 3])
def test_the_limit_of_associations(
    limit: int, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.2, §3.2: RJ 2/3/2 at the limit; a place that is given back is used again."""
    receiver = running_scp("storescp", "--max-associations", str(limit))
    holding = [scripted_peer(receiver) for _ in range(limit)]
    for peer in holding:
        peer.associate()
    refused = scripted_peer(receiver)
    refused.send(pdu.associate_rq())
    assert answers.next_answer(refused) == Rejected(2, 3, 2)
    for peer in holding:
        peer.echo()
    holding[0].release()

    def serves_again() -> bool:
        with ScriptedPeer(receiver.port) as peer:
            peer.send(pdu.associate_rq())
            return isinstance(answers.next_answer(peer), Accepted)

    wait_until(serves_again, what="the place given back")


def test_connections_without_association_use_up_no_place(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §3.2: those that have not associated are counted apart."""
    receiver = running_scp("storescp", "--max-associations", "1")
    silent = [scripted_peer(receiver) for _ in range(20)]
    assert len(silent) == 20
    assert_still_serves(receiver)


def test_one_large_object_in_bounded_memory(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """P9 and DIFFERENCES.md E2: 64 MiB of Pixel Data do not pass through memory."""
    receiver = running_scp("storescp")
    assert_still_serves(receiver)
    before = receiver.private_kib()
    made = make.ct(9, rows=4096, columns=8192)
    peer = scripted_peer(receiver)
    peer.associate()
    assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    assert receiver.private_kib() - before < 16 * 1024
    (stored,) = receiver.files()
    assert stored.read_bytes().endswith(made.data_set)


@pytest.mark.parametrize("unread_bytes", [0, 400_000])
def test_a_panic_ends_one_association_only(
    unread_bytes: int, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §8.12: an abort for that peer, the neighbour goes on, no lock is poisoned.

    The A-ABORT, source 2 and reason 0, arrives also where the panic came over unread bytes, and an
    orderly end follows it: over an RST it could be lost.
    """
    receiver = running_scp("storescp", environment={"DCMFAST_PANIC_AT": "store"})
    neighbour = scripted_peer(receiver)
    neighbour.associate()
    neighbour.echo()
    made = make.ct(1)
    victim = scripted_peer(receiver)
    victim.associate()
    command = pdu.c_store_rq(made.sop_class_uid, made.sop_instance_uid)
    request = (
        pdu.p_data(pdu.pdv(3, command, command=True)),
        *pdu.fragments(3, made.data_set),
        bytes(unread_bytes),
    )
    sender = threading.Thread(target=victim.send_tolerant, args=request)
    sender.start()
    assert answers.next_answer(victim) == NOT_SPECIFIED == answers.Aborted(2, 0)
    sender.join()
    wait_until(lambda: not receiver.files(), what="no part file")
    neighbour.echo()
    # The point strikes once: the neighbour's store and a fresh one find nothing poisoned.
    assert neighbour.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    neighbour.release()
    assert_still_serves(receiver)
    assert "Synthetic" not in receiver.stderr.text


def listening_descriptors(receiver: Receiver) -> int:
    """Descriptors of the receiver's port: the one that accepts, and the spare one."""
    tables = (Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
    lines = (line.split() for table in tables for line in table)
    wanted = f":{receiver.port:04X}"
    inodes = {f"socket:[{of[9]}]" for of in lines if of[1].endswith(wanted) and of[3] == "0A"}
    found = 0
    for descriptor in Path(f"/proc/{receiver.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += str(descriptor.readlink()) in inodes
    return found


def test_out_of_descriptors_is_told_once_and_does_not_spin(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """P9: not even the spare descriptor is to be had; who is there is served, and later all are."""
    receiver = running_scp("storescp")
    peer = scripted_peer(receiver)
    peer.associate()
    pid = receiver.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    for outage in (1, 2):
        # Not one number is left, so that the spare one cannot be taken again once it is given up.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
        receiver.stderr.wait_for("out of descriptors", count=outage)
        wait_until(lambda: listening_descriptors(receiver) == 1, what="the spare is given up")
        cpu_s = receiver.cpu_s()
        for number in range(100):
            peer.echo(message_id=number)
        assert receiver.stderr.text.count("out of descriptors") == outage
        assert receiver.cpu_s() - cpu_s < 0.5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert_still_serves(receiver)
        wait_until(lambda: listening_descriptors(receiver) == 2, what="a spare is held again")
    peer.release()
