"""P6: a full disk is A700H, no half file, no exit; room made is room used."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit import answers
from testkit.checks import assert_only, is_part
from testkit.corpus import split_part10
from testkit.kinds import Connect, StartReceiver
from vectors import make

#: 2 MiB each: an 8 MiB file system takes three of them and some change.
SIDE = 1024
OUT_OF_RESOURCES = 0xA700


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB, where mounting is allowed."""
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = os.geteuid() == 0 and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=64", "tmpfs", str(directory)],
            check=False,
            capture_output=True,
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("mounting a small file system needs root; the limit on file size stands in")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def arguments_of(tool: str, mode: str) -> list[str]:
    """Dcmrecv needs a profile to take objects."""
    profile = ["-xf", "/etc/dcmtk/storescp.cfg", "Default"] if tool == "dcmrecv" else []
    return profile + ([mode] if mode else [])


@pytest.mark.parametrize("implementation", ["dcmfast", "dcmtk"])
@pytest.mark.parametrize(("tool", "mode"), [("storescp", ""), ("storescp", "+B"), ("dcmrecv", "")])
def test_a_full_file_system(
    tool: str,
    mode: str,
    implementation: str,
    small_disk: Path,
    running_scp: StartReceiver,
    scripted_peer: Connect,
) -> None:
    """Store until refused, count, free, store again (PROMISES.md §8.4)."""
    receiver = running_scp(
        tool, *arguments_of(tool, mode), implementation=implementation, directory=small_disk
    )
    peer = scripted_peer(receiver)
    peer.associate()
    stored: dict[str, bytes] = {}
    refused = 0
    for number in range(6):
        made = make.ct(number, rows=SIDE, columns=SIDE)
        status = peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set)
        if status == 0:
            stored[f"CT.{made.sop_instance_uid}"] = made.data_set
        else:
            assert status == OUT_OF_RESOURCES, f"{status:04X}H"
            refused += 1
    assert len(stored) == 3
    assert refused == 3
    assert_only(receiver, set(stored))
    if receiver.is_ours:
        for name, data_set in stored.items():
            assert split_part10((small_disk / name).read_bytes())[1] == data_set
    next(iter(receiver.files())).unlink()
    made = make.ct(50, rows=SIDE, columns=SIDE)
    assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    peer.echo()
    peer.release()


@pytest.mark.parametrize("durability", ["none", "group", "each"])
def test_inodes_used_up(
    durability: str, small_disk: Path, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """ENOSPC at create: the same answer; with syncs asked for as well."""
    receiver = running_scp("storescp", "--durability", durability, directory=small_disk)
    peer = scripted_peer(receiver)
    peer.associate()
    statuses = []
    for number in range(80):
        made = make.ct(number)
        statuses.append(peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set))
    assert set(statuses) == {0, OUT_OF_RESOURCES}
    assert statuses.count(0) == len(receiver.files())
    for path in receiver.files():
        path.unlink()
    made = make.ct(99)
    assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    assert_only(receiver, {f"CT.{made.sop_instance_uid}"})


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_a_limit_on_file_size(
    tool: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """RLIMIT_FSIZE: the write fails in the middle; SIGXFSZ must not end the process."""
    receiver = running_scp(tool, *arguments_of(tool, ""), prefix=["prlimit", "--fsize=1000000"])
    peer = scripted_peer(receiver)
    peer.associate()
    for number in range(3):
        big = make.ct(number, rows=SIDE, columns=SIDE)
        status = peer.store(3, big.sop_class_uid, big.sop_instance_uid, big.data_set)
        assert status == OUT_OF_RESOURCES, f"{status:04X}H"
        assert_only(receiver, set())
    small = make.ct(9)
    assert peer.store(3, small.sop_class_uid, small.sop_instance_uid, small.data_set) == 0
    assert_only(receiver, {f"CT.{small.sop_instance_uid}"})


def test_a_replacement_that_fails_leaves_the_first(
    small_disk: Path, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md A3: the old object is not lost while the new one fails."""
    receiver = running_scp("storescp", directory=small_disk)
    peer = scripted_peer(receiver)
    peer.associate()
    first = make.ct(1)
    name = f"CT.{first.sop_instance_uid}"
    assert peer.store(3, first.sop_class_uid, first.sop_instance_uid, first.data_set) == 0
    large = make.ct(1, rows=2048, columns=2500)
    status = peer.store(3, large.sop_class_uid, large.sop_instance_uid, large.data_set)
    assert status == OUT_OF_RESOURCES
    assert not any(map(is_part, receiver.names()))
    assert split_part10((small_disk / name).read_bytes())[1] == first.data_set


@pytest.mark.parametrize("implementation", ["dcmfast", "dcmtk"])
def test_dcmrecv_gives_up_the_association_under_bit_preserving(
    implementation: str, small_disk: Path, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md C6: A700H, then A-ABORT; the next association is served again."""
    receiver = running_scp(
        "dcmrecv", *arguments_of("dcmrecv", "+B"), implementation=implementation,
        directory=small_disk,
    )  # fmt: skip
    large = make.ct(1, rows=2048, columns=2500)
    peer = scripted_peer(receiver)
    peer.associate()
    status = peer.store(3, large.sop_class_uid, large.sop_instance_uid, large.data_set)
    assert status == OUT_OF_RESOURCES
    assert answers.next_answer(peer, clean=receiver.is_ours) == answers.BY_USER
    peer.socket.close()
    assert_only(receiver, set())
    again = scripted_peer(receiver)
    again.associate()
    small = make.ct(2)
    assert again.store(3, small.sop_class_uid, small.sop_instance_uid, small.data_set) == 0
