"""Objects sent to a receiver, association by association; and what became of them on disk."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from testkit import pdu
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, wait_until
from vectors import make

#: What differs from run to run in the names of files and folders.
_MASKS = (
    (r"\d{8}_\d{9}", "<time>"),
    (r"(?<!\d)\d{17}(_\d{4})?\.", "<milliseconds>."),
    (r"\d{14}\.\d{6}\.", "<microseconds>."),
    (r"\.X\.[\d.]*\d", ".X.<uid>"),
    (r"_[0-9a-f]{16}", "_<16 digits>"),
)


def masked(name: str) -> str:
    """A path with its times and random parts replaced."""
    for pattern, word in _MASKS:
        name = re.sub(pattern, word, name)
    return name


def tree(directory: Path) -> list[str]:
    """Every file and empty folder below, masked."""
    return sorted(
        masked(str(path.relative_to(directory)))
        for path in directory.rglob("*")
        if not path.is_dir() or not any(path.iterdir())
    )


def folders(directory: Path) -> list[str]:
    """The folders at the top, as they are, oldest name first."""
    return sorted(path.name for path in directory.iterdir() if path.is_dir())


def next_millisecond() -> None:
    """Let the clock go on, so that no two names of a time are the same."""
    begun = time.time()
    wait_until(lambda: time.time() > begun + 0.002)


def send(
    receiver: Receiver,
    objects: Sequence[make.SyntheticObject],
    *,
    calling: str = "TESTSCU",
    called: str = "ANY-SCP",
) -> list[int]:
    """Store objects over one association, a folder's time apart; their statuses."""
    with ScriptedPeer(receiver.port) as peer:
        peer.associate(calling=calling.encode(), called=called.encode())
        statuses = []
        for one in objects:
            next_millisecond()
            context = 5 if one.transfer_syntax_uid == pdu.IMPLICIT else 3
            statuses.append(
                peer.store(context, one.sop_class_uid, one.sop_instance_uid, one.data_set)
            )
        peer.release()
    return statuses
