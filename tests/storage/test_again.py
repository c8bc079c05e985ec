"""The same SOP Instance UID again (DIFFERENCES.md A3, A5), and many senders at once (P4)."""

from __future__ import annotations

import threading

import pytest

from testkit import pdu
from testkit.cases import BOTH
from testkit.checks import assert_nothing_stored, assert_only
from testkit.corpus import split_part10
from testkit.kinds import Connect, StartReceiver
from testkit.peer import ScriptedPeer
from vectors import make


@BOTH
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_other_bytes_under_the_same_uid_replace_the_first(
    tool: str, implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md A5: compatible names, statuses and warning."""
    profile = ["-xf", "/etc/dcmtk/storescp.cfg", "Default"] if tool == "dcmrecv" else []
    receiver = running_scp(tool, *profile, implementation=implementation)
    first, second = make.ct(1, seed=1), make.ct(1, seed=2, sop_instance_uid=make.uid(1, 1, 1))
    assert first.sop_instance_uid == second.sop_instance_uid
    peer = scripted_peer(receiver)
    peer.associate()
    for made in (first, second):
        assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    peer.release()
    name = f"CT.{first.sop_instance_uid}"
    assert_only(receiver, {name})
    if receiver.is_ours:
        assert split_part10((receiver.directory / name).read_bytes())[1] == second.data_set
    text = "DICOM file already exists" if tool == "storescp" else "file already exists"
    path = receiver.directory / name
    receiver.stderr.wait_for(f"^W: {text}, overwriting: {path}$")


def test_the_same_bytes_again_change_nothing(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.5: success, and the file that is there stays, inode and all."""
    receiver = running_scp("storescp")
    made = make.ct(1)
    peer = scripted_peer(receiver)
    peer.associate()
    assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    before = receiver.files()[0].stat()
    assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    after = receiver.files()[0].stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("end", ["cut", "abort", "broken"])
def test_a_failed_replacement_leaves_the_first(
    end: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md A3: in DCMTK a re-send that only starts removes the stored file."""
    receiver = running_scp("storescp")
    first = make.ct(1)
    peer = scripted_peer(receiver)
    peer.associate()
    assert peer.store(3, first.sop_class_uid, first.sop_instance_uid, first.data_set) == 0
    again = scripted_peer(receiver)
    again.associate()
    command = pdu.c_store_rq(first.sop_class_uid, first.sop_instance_uid)
    again.send(pdu.p_data(pdu.pdv(3, command, command=True)))
    if end == "broken":
        again.send(pdu.p_data(pdu.pdv(3, first.data_set[:-5])))
        again.expect_status(range(0xC000, 0xD000))
    else:
        again.send(pdu.p_data(pdu.pdv(3, first.data_set[:-5], last=False)))
        if end == "abort":
            again.send(pdu.abort())
        else:
            again.half_close()
        again.drain()
    assert_only(receiver, {f"CT.{first.sop_instance_uid}"})
    assert split_part10(receiver.files()[0].read_bytes())[1] == first.data_set


def test_parallel_senders_never_get_each_others_bytes(running_scp: StartReceiver) -> None:
    """P4, DIFFERENCES.md A1: eight senders, their own objects, and one UID that all send."""
    receiver = running_scp("storescp")
    failures: list[object] = []
    contested = make.uid(4711)

    def send(sender: int) -> None:
        try:
            with ScriptedPeer(receiver.port) as peer:
                peer.associate()
                for number in range(40):
                    made = make.ct(number, seed=100 + sender)
                    assert (
                        peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
                    )
                    same = make.ct(number, seed=100 + sender, sop_instance_uid=contested)
                    assert peer.store(3, same.sop_class_uid, contested, same.data_set) == 0
                peer.release()
        except (AssertionError, OSError) as error:
            failures.append(error)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    assert not failures
    expected = {
        f"CT.{made.sop_instance_uid}": made.data_set
        for sender in range(8)
        for made in (make.ct(number, seed=100 + sender) for number in range(40))
    }
    assert_only(receiver, {*expected, f"CT.{contested}"})
    for name, data_set in expected.items():
        assert split_part10((receiver.directory / name).read_bytes())[1] == data_set
    last = split_part10((receiver.directory / f"CT.{contested}").read_bytes())[1]
    assert last in {
        make.ct(39, seed=100 + sender, sop_instance_uid=contested).data_set for sender in range(8)
    } | {
        make.ct(number, seed=100 + sender, sop_instance_uid=contested).data_set
        for sender in range(8)
        for number in range(40)
    }


def test_a_directory_in_the_way_is_out_of_resources(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DCMTK 3.6.7: cannot create the file: A700H, and the association goes on."""
    receiver = running_scp("storescp")
    made = make.ct(1)
    (receiver.directory / f"CT.{made.sop_instance_uid}").mkdir()
    peer = scripted_peer(receiver)
    peer.associate()
    status = peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set)
    assert status == 0xA700, f"{status:04X}H"
    peer.echo()
    assert_nothing_stored(receiver)


@BOTH
def test_an_output_directory_that_vanishes(
    implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DCMTK 3.6.7: storescp answers A700H, and stores again when it is back."""
    receiver = running_scp("storescp", implementation=implementation)
    made = make.ct(1)
    receiver.directory.rmdir()
    peer = scripted_peer(receiver)
    peer.associate()
    status = peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set)
    assert status == 0xA700, f"{status:04X}H"
    receiver.directory.mkdir()
    assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
