"""What is measured: one module per workload, each ending in a tuple `WORKLOADS`.

A `Workload` names its peers and measures one of them once; ``run.py`` calls that for each peer in
turn, round after round, so that what the machine does meanwhile hits all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filesystem import Ground
from peers import Peer

#: Measured values by name; a name ends in its unit.
Measures = dict[str, float]


@dataclass(frozen=True)
class Context:
    """What every measurement gets from the runner."""

    ground: Ground
    #: Directory for generated corpora.
    corpora: Path
    #: Multiplies object counts; 1 for a full run.
    scale: float = 1.0

    def count(self, objects: int, share: float = 1.0, *, least: int = 1) -> int:
        """Scale an object count, never below `least`."""
        return max(least, round(objects * self.scale * share))


@dataclass(frozen=True)
class Workload:
    """One table of the report."""

    name: str
    title: str
    #: The measure that the table is sorted and compared by.
    headline: str
    #: Columns beside it.
    details: tuple[str, ...]
    peers: tuple[Peer, ...]
    measure: Callable[[Peer, Context], Measures]
    #: Said under the title: what is fair, what is not, what is left out.
    remark: str = ""
    #: Rounds, as a multiple of the usual five: short measurements can afford more.
    rounds_factor: int = 1
    #: Runs only when ``--only`` begins with this: it takes many minutes.
    asked_as: str | None = None

    def is_chosen(self, only: list[str] | None) -> bool:
        """Whether a run with these ``--only`` arguments includes it."""
        if self.asked_as is not None:
            return any(name.startswith(self.asked_as) for name in only or ())
        return not only or self.name.startswith(tuple(only))
