"""Which process makes room when there are too many connections without an association.

With real processes this is ``tests/apps/test_processes.py``; hundreds of them are not needed to see
who is chosen.
"""

from __future__ import annotations

import os
import signal

import pytest

from dcmfast.net import processes
from dcmfast.net.processes import Children
from dcmfast.observe.logs import Log


class Places:
    """As much of a receiver as the parent asks for."""

    def __init__(self, associated: set[int]) -> None:
        self.associated = associated
        self.cleared: list[int] = []

    def is_associated(self, place: int) -> bool:
        return place in self.associated

    def evict(self, place: int) -> bool:
        return place not in self.associated

    def clear_place(self, place: int) -> None:
        self.cleared.append(place)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Processes that were killed; none is real."""
    found: list[int] = []

    def kill(process: int, number: int) -> None:
        assert number == signal.SIGKILL
        found.append(process)

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(os, "waitpid", lambda process, _flags: (process, signal.SIGKILL))
    monkeypatch.setattr(processes, "PENDING_MAX", 3)
    return found


def children(associated: set[int], running: dict[int, int], *, processes: int) -> Children:
    made = Children(Places(associated), Log("off"), processes=processes)  # type: ignore[arg-type]
    made._places = running
    made._free = [place for place in made._free if place not in running.values()]
    return made


def test_there_is_room(killed: list[int]) -> None:
    """Two wait, three may; associations do not count, nor does what clears up."""
    made = children({1, 3}, {10: 0, 11: 1, 12: 2, 13: 3, 14: 4}, processes=6)
    made._make_room()
    assert killed == []


def test_the_oldest_without_an_association_goes(killed: list[int]) -> None:
    made = children({1}, {10: 0, 11: 1, 12: 2, 13: 3, 14: 4}, processes=6)
    made._make_room()
    assert killed == [12]
    assert 12 not in made._places
    assert 2 in made._free


def test_without_a_free_place_one_goes(killed: list[int]) -> None:
    made = children({1, 2}, {11: 1, 12: 2, 13: 3}, processes=3)
    made._make_room()
    assert killed == [13]


def test_nobody_with_an_association_goes(killed: list[int]) -> None:
    made = children({1, 2, 3}, {11: 1, 12: 2, 13: 3}, processes=3)
    made._make_room()
    assert killed == []
    assert made._free == []
