"""storescp's processes: `--fork`, `--inetd`, and what ends them.

`--single-process` is in ``test_storescp.py``.  The super server of the tests is a few lines here,
and systemd's where it is installed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from testkit import pdu, process
from testkit.kinds import Connect, StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, run_tool, wait_until
from vectors import make

BOTH = pytest.mark.parametrize("implementation", ["dcmtk", "dcmfast"])


def children(receiver: Receiver) -> list[int]:
    """Processes of a receiver, zombies among them."""
    path = Path(f"/proc/{receiver.process.pid}/task/{receiver.process.pid}/children")
    return [int(one) for one in path.read_text().split()]


def store(peer: ScriptedPeer, number: int) -> int:
    one = make.ct(number)
    return peer.store(3, pdu.CT, one.sop_instance_uid, one.data_set)


def all_gone(receiver: Receiver) -> None:
    wait_until(lambda: not children(receiver), what="every child is reaped")


# ---- --fork


@BOTH
def test_fork(implementation: str, running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """A child per association, beside each other; each is reaped when its peer is gone."""
    receiver = running_scp("storescp", "--fork", "-v", implementation=implementation)
    all_gone(receiver)
    first, second = scripted_peer(receiver), scripted_peer(receiver)
    first.associate()
    second.associate()
    assert len(children(receiver)) == 2
    assert store(first, 1) == store(second, 2) == 0
    first.release()
    second.release()
    assert len(receiver.names()) == 2
    last = scripted_peer(receiver)
    last.associate()
    if receiver.is_ours:
        # DCMTK's program leaves zombies.
        wait_until(lambda: len(children(receiver)) == 1, what="two children are reaped")
    child = children(receiver)[-1]
    receiver.stderr.wait_for(rf"^I: Association Received in child process \(pid: {child}\)$")
    last.release()


@BOTH
def test_the_rightmost_process_model_counts(
    implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    receiver = running_scp("storescp", "--fork", "--single-process", implementation=implementation)
    peer = scripted_peer(receiver)
    peer.associate()
    assert children(receiver) == []


def test_a_crash_costs_one_association(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """Whoever is killed in the middle of an object takes nobody along, and leaves nothing."""
    receiver = running_scp("storescp", "--fork", "--durability", "group")
    all_gone(receiver)
    victim = scripted_peer(receiver)
    victim.associate()
    (child,) = children(receiver)
    neighbour = scripted_peer(receiver)
    neighbour.associate()
    one = make.ct(3)
    message = pdu.p_data(
        pdu.pdv(3, pdu.c_store_rq(pdu.CT, one.sop_instance_uid), command=True),
        pdu.pdv(3, one.data_set[: len(one.data_set) // 2], last=False),
    )
    victim.send(message)
    wait_until(lambda: any(".part" in name for name in receiver.names()), what="a part file")
    os.kill(child, signal.SIGKILL)
    victim.expect_closed(reset_allowed=True)
    assert store(neighbour, 4) == 0
    receiver.stderr.wait_for(
        rf"^E: dcmfast.server: the process of an association ended by signal 9 "
        rf"\(pid: {child}\); others go on$"
    )
    later = scripted_peer(receiver)
    later.associate()
    assert store(later, 5) == 0
    wait_until(lambda: len(receiver.names()) == 2, what="the part file is removed")


def test_the_number_of_associations_is_limited(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """Over all children; who connects without associating counts for nothing, nor does the dead."""
    receiver = running_scp("storescp", "--fork", "--max-associations", "2")
    scripted_peer(receiver)
    scripted_peer(receiver)
    first, second, third = (scripted_peer(receiver) for _ in range(3))
    first.associate()
    second.associate()
    third.send(pdu.associate_rq())
    third.expect_reject(2, 3, 2)
    first.release()
    fourth = scripted_peer(receiver)
    fourth.associate()
    fourth.echo()
    # The place of a child that died is free again.
    wait_until(lambda: len(children(receiver)) == 4, what="two idle and two associated children")
    os.kill(children(receiver)[-1], signal.SIGKILL)
    fourth.expect_closed(reset_allowed=True)
    receiver.stderr.wait_for("ended by signal 9")
    fifth = scripted_peer(receiver)
    fifth.associate()
    fifth.echo()


def test_rules_count_over_all_children(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    receiver = running_scp("storescp", "--fork", "--fault", "store every=2 status=A700")
    statuses = []
    for number in range(4):
        peer = scripted_peer(receiver)
        peer.associate()
        statuses.append(store(peer, number + 1))
        peer.release()
    assert statuses == [0, 0xA700, 0, 0xA700]


@pytest.mark.parametrize("to_all", [False, True], ids=["to the parent", "to all processes"])
def test_a_stop_finishes_what_is_in_hand(
    to_all: bool, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """As without --fork, also where a supervisor signals every process itself."""
    receiver = running_scp("storescp", "--fork", "--durability", "group")
    storing, idle = scripted_peer(receiver), scripted_peer(receiver)
    storing.associate()
    idle.associate()
    one = make.ct(6)
    half = len(one.data_set) // 2
    storing.send(
        pdu.p_data(
            pdu.pdv(3, pdu.c_store_rq(pdu.CT, one.sop_instance_uid), command=True),
            pdu.pdv(3, one.data_set[:half], last=False),
        )
    )
    wait_until(lambda: any(".part" in name for name in receiver.names()), what="a part file")
    processes = [*children(receiver), receiver.process.pid] if to_all else [receiver.process.pid]
    for number in processes:
        os.kill(number, signal.SIGTERM)
    idle.expect_abort((0, 0))
    wait_until(lambda: not process.is_listening(receiver.port), what="the port is closed")
    storing.send(pdu.p_data(pdu.pdv(3, one.data_set[half:])))
    assert pdu.value_us(storing.expect_message(), pdu.STATUS) == 0
    storing.expect_abort((0, 0))
    assert receiver.wait() == 0
    (name,) = receiver.names()
    assert name == f"CT.{one.sop_instance_uid}"


def test_the_second_signal_ends_all_at_once(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    receiver = running_scp("storescp", "--fork", clean_exit=False)
    all_gone(receiver)
    peer = scripted_peer(receiver)
    peer.associate()
    one = make.ct(7)
    peer.send(pdu.p_data(
        pdu.pdv(3, pdu.c_store_rq(pdu.CT, one.sop_instance_uid), command=True),
        pdu.pdv(3, one.data_set[:64], last=False),
    ))  # fmt: skip
    (child,) = children(receiver)
    receiver.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not process.is_listening(receiver.port), what="the port is closed")
    receiver.process.send_signal(signal.SIGTERM)
    assert receiver.wait(within_s=5) == 128 + signal.SIGTERM
    wait_until(lambda: not Path(f"/proc/{child}").exists(), what="the child is gone")


def test_children_survive_a_killed_parent(
    running_scp: StartReceiver, scripted_peer: Connect, tmp_path: Path
) -> None:
    """And hold no port, so that the next parent starts at once beside them."""
    directory = tmp_path / "shared"
    directory.mkdir()
    receiver = running_scp("storescp", "--fork", directory=directory, clean_exit=False)
    peer = scripted_peer(receiver)
    peer.associate()
    receiver.kill()
    next_one = running_scp("storescp", "--fork", directory=directory, port=receiver.port)
    assert store(peer, 8) == 0
    peer.release()
    assert len(next_one.names()) == 1


def test_part_files_of_the_dead_are_removed_and_of_children_are_not(
    running_scp: StartReceiver, scripted_peer: Connect, tmp_path: Path
) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    stale = directory / ".dcmfast-999999999-1.part"
    stale.write_bytes(b"x")
    receiver = running_scp("storescp", "--fork", "--durability", "each", directory=directory)
    wait_until(lambda: not stale.exists(), what="what a dead receiver left is removed")
    all_gone(receiver)
    peer = scripted_peer(receiver)
    peer.associate()
    one = make.ct(9)
    half = len(one.data_set) // 2
    peer.send(pdu.p_data(
        pdu.pdv(3, pdu.c_store_rq(pdu.CT, one.sop_instance_uid), command=True),
        pdu.pdv(3, one.data_set[:half], last=False),
    ))  # fmt: skip
    wait_until(lambda: any(".part" in name for name in receiver.names()), what="a part file")
    other = running_scp("storescp", "--fork", directory=directory)
    all_gone(other)
    assert any(".part" in name for name in receiver.names())
    peer.send(pdu.p_data(pdu.pdv(3, one.data_set[half:])))
    assert pdu.value_us(peer.expect_message(), pdu.STATUS) == 0


def test_the_parent_has_no_threads(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """Whatever a thread holds when it is forked stays held in the child for ever."""
    receiver = running_scp("storescp", "--fork", "--log-json", "-d")
    for _ in range(3):
        peer = scripted_peer(receiver)
        peer.associate()
        peer.echo()
        assert receiver.threads() == 1
        peer.release()


def test_access_rules_hold_in_children(
    running_scp: StartReceiver, scripted_peer: Connect, tmp_path: Path
) -> None:
    deny = tmp_path / "deny"
    environment = {"DCMFAST_HOSTS_ALLOW": str(tmp_path / "none"), "DCMFAST_HOSTS_DENY": str(deny)}
    receiver = running_scp("storescp", "--fork", "+ac", environment=environment)
    scripted_peer(receiver).associate()
    deny.write_text("ALL: ALL\n")
    assert scripted_peer(receiver).drain() == b""


# ---- --inetd


class Inetd:
    """A super server: runs a command for each connection, on its descriptors 0, 1 and 2."""

    def __init__(self, *command: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.command = command

    def __del__(self) -> None:
        self.listener.close()

    def connect(self) -> tuple[ScriptedPeer, subprocess.Popen[bytes]]:
        """A peer, and the process that serves it."""
        peer = ScriptedPeer(self.port)
        accepted, _ = self.listener.accept()
        with accepted:
            server = self.serve(accepted)
        return peer, server

    def serve(self, accepted: socket.socket) -> subprocess.Popen[bytes]:
        """The process that serves what is connected."""
        return subprocess.Popen(
            self.command, stdin=accepted, stdout=accepted, stderr=accepted,
            env=process.child_environment(),
        )  # fmt: skip


def inetd(implementation: str, *options: str | Path) -> Inetd:
    return Inetd(*process.command(implementation, "storescp"), *map(str, options))


@BOTH
@pytest.mark.parametrize("spelling", ["-id", "--inetd"])
def test_inetd(spelling: str, implementation: str, archive_dir: Path) -> None:
    """One association, then exit code 0; not a byte of a log line reaches the peer."""
    server = inetd(implementation, spelling, "-d", "-od", archive_dir)
    peer, started = server.connect()
    peer.associate()
    peer.echo()
    assert store(peer, 1) == 0
    peer.release()
    assert started.wait(10) == 0
    assert len(list(archive_dir.iterdir())) == 1


def test_inetd_on_a_descriptor_that_does_not_wait(archive_dir: Path) -> None:
    """O_NONBLOCK belongs to the open file: a super server that has it hands it on."""
    server = inetd("dcmfast", "-id", "-od", archive_dir)
    peer = ScriptedPeer(server.port)
    accepted, _ = server.listener.accept()
    with accepted:
        accepted.setblocking(False)
        started = server.serve(accepted)
        peer.associate()
        assert os.get_blocking(accepted.fileno())
    peer.release()
    assert started.wait(10) == 0


def test_inetd_on_a_socket_that_is_not_tcps(archive_dir: Path, tmp_path: Path) -> None:
    """Nothing is served, and the log says why."""
    log, config = tmp_path / "log", tmp_path / "logger.cfg"
    config.write_text(
        "log4cplus.rootLogger = INFO, out\nlog4cplus.appender.out = log4cplus::FileAppender\n"
        f"log4cplus.appender.out.File = {log}\n"
    )
    ours, its = socket.socketpair()
    with ours, its:
        started = inetd("dcmfast", "-id", "-lc", config, "-od", archive_dir).serve(its)
        its.close()
        started.wait(10)
        assert ours.recv(100) == b""
    assert "TCP Initialization Error" in log.read_text()


@BOTH
def test_inetd_with_a_logger_configuration(
    implementation: str, archive_dir: Path, tmp_path: Path
) -> None:
    """Which is the only way to see what happens; a port is not looked at."""
    log = tmp_path / "log"
    config = tmp_path / "logger.cfg"
    config.write_text(
        "log4cplus.rootLogger = INFO, out\nlog4cplus.appender.out = log4cplus::FileAppender\n"
        f"log4cplus.appender.out.File = {log}\nlog4cplus.appender.out.ImmediateFlush = true\n"
        "log4cplus.appender.out.layout = log4cplus::PatternLayout\n"
        "log4cplus.appender.out.layout.ConversionPattern = %P: %m%n\n"
    )
    server = inetd(implementation, "-id", "-lc", config, "-od", archive_dir, "99999")
    peer, started = server.connect()
    peer.associate()
    peer.release()
    assert started.wait(10) == 0
    assert "I: Association Received" in log.read_text().splitlines()
    assert "I: Association Release" in log.read_text().splitlines()


@BOTH
def test_inetd_with_a_command(implementation: str, archive_dir: Path, tmp_path: Path) -> None:
    """``-xcr``: run for each object, of which not a word reaches the peer; ``-xs`` waits for it."""
    log = tmp_path / "log"
    command = f"echo to the peer; echo to the peer >&2; echo '#f' '#a' >> '{log}'"
    server = inetd(implementation, "-id", "-od", archive_dir, "-xcr", command, "-xs")
    peer, started = server.connect()
    peer.associate(calling="SCU")
    for number in (1, 2):
        assert store(peer, number) == 0
    peer.release()
    assert started.wait(10) == 0
    wanted = sorted(f"{one.name} SCU" for one in archive_dir.iterdir())
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2, what="commands")
    assert sorted(line.replace('"', "") for line in log.read_text().splitlines()) == wanted


@BOTH
def test_inetd_with_a_study_that_ends(implementation: str, archive_dir: Path) -> None:
    """``-tos``: the next object of the study after the silence has a folder of its own."""
    server = inetd(implementation, "-id", "-od", archive_dir, "-ss", "ST", "-tos", "0", "-dhl")
    peer, started = server.connect()
    peer.associate()
    assert store(peer, 1) == 0
    wait_until(
        lambda: store(peer, 2) == 0 and len(list(archive_dir.iterdir())) == 2, what="two folders"
    )
    peer.release()
    assert started.wait(10) == 0


@BOTH
@pytest.mark.parametrize("option", [["-xcs", "true"], ["-rns"]], ids=str)
def test_inetd_has_no_end_of_study(
    option: list[str], implementation: str, archive_dir: Path
) -> None:
    """One association is no study: DCMTK's program refuses both, and so nothing is served."""
    server = inetd(implementation, "-id", "-od", archive_dir, "-ss", "ST", *option)
    peer, started = server.connect()
    assert started.wait(10) == 1
    assert peer.drain() == b""


@BOTH
@pytest.mark.parametrize(
    "options",
    [["-od", "/nowhere"], ["--fork"], ["-pdu", "1"], ["-xf", "/nowhere", "x"]],
    ids=str,
)
def test_inetd_that_cannot_start(
    options: list[str], implementation: str, archive_dir: Path
) -> None:
    """Exit code 1, and the peer sees the end of the connection and no text."""
    peer, started = inetd(implementation, "-id", "-od", archive_dir, *options).connect()
    assert started.wait(10) == 1
    assert peer.drain() == b""


def test_inetd_with_an_unknown_option(archive_dir: Path) -> None:
    """DCMTK's program tells the peer; ours nobody but who types it at a terminal."""
    peer, started = inetd("dcmfast", "-id", "-od", archive_dir, "--bogus").connect()
    assert started.wait(10) == 1
    assert peer.drain() == b""
    typed = run_tool("dcmfast", "storescp", ["-id", "--bogus"])
    assert (typed.code, typed.lines[-1]) == (1, "error: Unknown option --bogus")


@BOTH
def test_inetd_without_a_socket(implementation: str, archive_dir: Path) -> None:
    done = run_tool(implementation, "storescp", ["-id", "-od", archive_dir])
    assert (done.code, done.stdout, done.stderr) == (0, "", "")


def test_inetd_and_signals(archive_dir: Path) -> None:
    """The object in hand is finished."""
    peer, started = inetd("dcmfast", "-id", "-od", archive_dir).connect()
    peer.associate()
    one = make.ct(2)
    peer.send(pdu.p_data(
        pdu.pdv(3, pdu.c_store_rq(pdu.CT, one.sop_instance_uid), command=True),
        pdu.pdv(3, one.data_set[:64], last=False),
    ))  # fmt: skip
    started.send_signal(signal.SIGTERM)
    peer.send(pdu.p_data(pdu.pdv(3, one.data_set[64:])))
    assert pdu.value_us(peer.expect_message(), pdu.STATUS) == 0
    peer.expect_abort((0, 0))
    assert started.wait(10) == 0


def test_inetd_of_parallel_peers(archive_dir: Path) -> None:
    """Processes that know nothing of each other, in one directory."""
    server = inetd("dcmfast", "-id", "+uf", "-od", archive_dir)
    pairs = [server.connect() for _ in range(3)]
    for peer, _ in pairs:
        peer.associate()
    for peer, _ in pairs:
        assert store(peer, 1) == 0
    for peer, started in pairs:
        peer.release()
        assert started.wait(10) == 0
    assert len(list(archive_dir.iterdir())) == 3


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="systemd is not installed"
)
def test_systemd_as_the_super_server(archive_dir: Path, free_port: int) -> None:
    line = process.command("dcmfast", "storescp")
    started = subprocess.Popen(
        ["systemd-socket-activate", "--accept", "--inetd", "-l", f"127.0.0.1:{free_port}",
         "-E", "PYTHONPATH", *line, "-id", "-od", str(archive_dir)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_until(lambda: process.is_listening(free_port), what="systemd listens")
        for number in (1, 2):
            with ScriptedPeer(free_port) as peer:
                peer.associate()
                assert store(peer, number) == 0
                peer.release()
        assert len(list(archive_dir.iterdir())) == 2
    finally:
        started.terminate()
        started.communicate(timeout=10)
