"""Names from the wire (PROMISES.md §5.1, DIFFERENCES.md F1): never a path, never a collision."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testkit import pdu
from testkit.cases import BOTH
from testkit.checks import assert_still_serves
from testkit.kinds import Connect, StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver
from vectors import make

HOSTILE_UIDS: list[bytes] = [
    b"../../escaped",
    b"..",
    b".",
    b"/etc/passwd",
    b"a/b",
    b"a\\b",
    b"1.2.3/../../4",
    b"1.2\0.3",
    b"1.2\n.3",
    b"\x1b[2J",
    b"1.2.3;rm -rf x",
    b"$(id)",
    b"%2e%2e%2f",
    b"-rf",
    b"~root",
    b"con",
    b"\xff\xfe\xfd",
    b"1" * 64,
    b"1." * 31 + b"12",
    b"01.02.003",
    b".1.2.",
    b"1..2",
    b" 1.2.3",
    b"1.2.3.part",
]


@pytest.fixture(scope="module", params=[[], ["-B"], ["+B"], ["-fe", ".dcm"]], ids=str)
def receiver(request: pytest.FixtureRequest, shared_scp: StartReceiver) -> Receiver:
    """Receivers whose names come from the command's UID."""
    return shared_scp("storescp", *request.param)


def send(receiver: Receiver, uid: bytes) -> int | None:
    """Store an object under `uid`; the status, or None after an abort."""
    write = make.Syntax()
    good = make.ct(1).data_set
    own = write.element((0x0008, 0x0018), "UI", make.uid(7, 1, 1))
    padded = uid + b"\0" * (len(uid) % 2)
    data = good.replace(own, write.element((0x0008, 0x0018), "UI", padded))
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        peer.send_store(3, pdu.CT, uid, data)
        return peer.expect_refusal({(0, 0), (2, 6)}, [range(0x10000)])


@pytest.mark.parametrize("uid", HOSTILE_UIDS, ids=repr)
def test_a_hostile_uid_stays_below_the_directory(uid: bytes, receiver: Receiver) -> None:
    """One plain file below the output directory, or a refusal and nothing."""
    above = set(receiver.directory.parent.iterdir())
    status = send(receiver, uid)
    assert set(receiver.directory.parent.iterdir()) == above
    files = receiver.files()
    assert len(files) == (1 if status == 0 else 0), (status, files)
    for path in files:
        assert path.parent == receiver.directory
        assert not path.is_symlink()
        assert all(0x20 < byte < 0x7F for byte in path.name.encode())
        assert len(path.name) < 200
        path.unlink()
    assert_still_serves(receiver)


def test_uids_that_differ_only_in_replaced_characters_do_not_collide(receiver: Receiver) -> None:
    """DIFFERENCES.md F1: `1/2`, `1;2` and `1_2` are three objects, or refused."""
    stored = sum(send(receiver, uid) == 0 for uid in (b"1/2", b"1;2", b"1_2", b"1 2", b"1\\2"))
    assert len(receiver.files()) == stored
    for path in receiver.files():
        path.unlink()


@given(uid=st.binary(min_size=1, max_size=80))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_uid_is_one_plain_name_or_refused(uid: bytes, receiver: Receiver) -> None:
    """PROMISES.md §8.11, over every byte string that fits a UI field."""
    status = send(receiver, uid)
    files = receiver.files()
    assert len(files) == (1 if status == 0 else 0)
    for path in files:
        assert path.parent == receiver.directory
        path.unlink()


@BOTH
@pytest.mark.parametrize(
    "uid", ["1.2.3", "1" * 64, "2.25.302851498762214875532194073184556.1"], ids=len
)
def test_good_uids_have_dcmtks_names(
    uid: str, implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """`CT.<UID>`: the names that scripts know."""
    receiver = running_scp("storescp", implementation=implementation)
    made = make.ct(1, sop_instance_uid=uid)
    peer = scripted_peer(receiver)
    peer.associate()
    assert peer.store(3, made.sop_class_uid, uid, made.data_set) == 0
    peer.release()
    assert receiver.names() == [f"CT.{uid}"]


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
@BOTH
def test_blanks_around_a_uid_are_not_in_the_name(
    tool: str, implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """PS3.5 §9.1 pads with a NUL; the field pads with blanks, and on both sides."""
    profile = ("-xf", "/etc/dcmtk/storescp.cfg", "Default") if tool == "dcmrecv" else ()
    receiver = running_scp(tool, *profile, implementation=implementation)
    peer = scripted_peer(receiver)
    peer.associate()
    for number, uid in enumerate([b" 1.2.3.0", b"  1.2.3.1 ", b"1.2.3.2  "]):
        made = make.ct(number, sop_instance_uid=f"1.2.3.{number}")
        plain = f"1.2.3.{number}".encode() + b"\0"
        padded = uid + b"\0" * (len(uid) % 2)
        head = b"\x08\x00\x18\x00UI"
        length, new_length = (len(one).to_bytes(2, "little") for one in (plain, padded))
        data_set = made.data_set.replace(head + length + plain, head + new_length + padded)
        assert data_set != made.data_set
        assert peer.store(3, made.sop_class_uid, uid, data_set) == 0
    peer.release()
    assert receiver.names() == ["CT.1.2.3.0", "CT.1.2.3.1", "CT.1.2.3.2"]


def test_a_symbolic_link_in_the_way_is_not_followed(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """P10: nothing is written outside: publishing replaces the link, not what it points to."""
    receiver = running_scp("storescp")
    made = make.ct(1)
    target = receiver.directory.parent / "outside"
    target.write_bytes(b"untouched")
    (receiver.directory / f"CT.{made.sop_instance_uid}").symlink_to(target)
    peer = scripted_peer(receiver)
    peer.associate()
    peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set)
    assert target.read_bytes() == b"untouched"
