"""What holds after every hostile test: the receiver still answers and still stores."""

from __future__ import annotations

from testkit import pdu
from testkit.corpus import split_part10
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, wait_until
from vectors import make

#: Suffix and prefix of names that only exist while an object is being received.
PART_MARK = ".part"

_neighbour = 900_000


def is_part(name: str) -> bool:
    """True for the temporary name of an object in transit."""
    return PART_MARK in name


def assert_still_serves(receiver: Receiver, *, echo_within_s: float = 5.0) -> None:
    """A fresh association echoes and stores, and what it stored is there, whole."""
    global _neighbour
    _neighbour += 1
    made = make.ct(_neighbour)
    with ScriptedPeer(receiver.port, answer_s=echo_within_s) as peer:
        ac = peer.associate()
        if ac.contexts[1].result == 0:
            peer.echo()
        if ac.contexts[3].result == 0:
            status = peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set)
            assert status == 0
        peer.release()
    assert receiver.process.poll() is None
    if ac.contexts[3].result == 0 and receiver.is_ours:
        stored = [path for path in receiver.files() if made.sop_instance_uid in path.name]
        assert len(stored) == 1, receiver.names()
        assert split_part10(stored[0].read_bytes())[1] == made.data_set
        stored[0].unlink()


def assert_nothing_stored(receiver: Receiver, *, within_s: float = 5.0) -> None:
    """No object, and soon no part file either, is left in the output directory."""
    wait_until(
        lambda: not receiver.files(),
        within_s=within_s,
        what=f"empty directory, but there is {receiver.names()}",
    )


def assert_only(receiver: Receiver, names: set[str], *, within_s: float = 5.0) -> None:
    """Exactly these names are in the output directory, and no part file stays."""
    wait_until(
        lambda: (
            {name for name in receiver.names() if not is_part(name)} == names
            and not any(map(is_part, receiver.names()))
        ),
        within_s=within_s,
        what=f"{names} in the directory, but there is {receiver.names()}",
    )


def accepted(peer: ScriptedPeer) -> set[int]:
    """IDs of the accepted contexts."""
    assert peer.ac is not None
    return {number for number, context in peer.ac.contexts.items() if context.result == 0}


def store_fields(made: make.SyntheticObject) -> tuple[str, str, bytes]:
    """Arguments of a store: class, instance, data set."""
    return made.sop_class_uid, made.sop_instance_uid, made.data_set


__all__ = [
    "accepted",
    "assert_nothing_stored",
    "assert_only",
    "assert_still_serves",
    "is_part",
    "pdu",
    "store_fields",
]
