"""The goals, as a list: what must be reached, and how the measured value is formed.

A value is formed from medians over the rounds of one run of the benchmark.  A goal whose
measurements are missing is reported as not measured, never as met.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peers import dcmfast, dcmtk, limit
from workloads import read_corpus, startup


class Medians:
    """Medians by workload, peer and measure; a missing one raises `KeyError`."""

    def __init__(self, values: dict[tuple[str, str, str], float]) -> None:
        self._values = values

    def get(self, workload: str, peer: str, measure: str) -> float:
        """Median of one measure."""
        return self._values[workload, peer, measure]

    def of_dcmtk(self, workload: str, measure: str) -> list[float]:
        """The measure of every DCMTK receiver that took part, default or not."""
        names = [peer.name for peer in (*dcmtk.FAIR, *dcmtk.DEFAULT)]
        found = [
            self._values[workload, name, measure]
            for name in names
            if (workload, name, measure) in self._values
        ]
        if not found:
            raise KeyError(workload)
        return found


@dataclass(frozen=True)
class Goal:
    """One line of the goals table."""

    text: str
    #: Which workloads it needs: those left out of a run leave the goal out too.
    workloads: tuple[str, ...]
    value: Callable[[Medians], float]
    bound: float
    at_least: bool
    unit: str = "×"

    def met(self, value: float) -> bool:
        """Compare with the bound, in the direction of the goal."""
        return value >= self.bound if self.at_least else value <= self.bound

    def verdict(self, value: float) -> str:
        """``met``, or ``missed`` and by how much."""
        if self.met(value):
            return "met"
        return f"**missed** by {abs(value - self.bound) / self.bound:.0%}"


_OURS = dcmfast.STORESCP.name
_RATE = "objects_per_s"


def _of_limit(workload: str) -> Callable[[Medians], float]:
    return lambda m: m.get(workload, _OURS, _RATE) / m.get(workload, limit.LIMIT.name, _RATE)


def _of_dcmtk(workload: str) -> Callable[[Medians], float]:
    return lambda m: m.get(workload, _OURS, _RATE) / max(m.of_dcmtk(workload, _RATE))


def _of_synced(workload: str) -> Callable[[Medians], float]:
    group = dcmfast.STORESCP_GROUP.name
    return lambda m: m.get(workload, group, _RATE) / m.get(workload, limit.LIMIT_SYNC.name, _RATE)


def _of_pydicom(workload: str) -> Callable[[Medians], float]:
    ours, theirs = read_corpus.DCMFAST.name, read_corpus.PYDICOM.name
    return lambda m: m.get(workload, ours, "files_per_s") / m.get(workload, theirs, "files_per_s")


def _at_least(
    text: str, workload: str, form: Callable[[str], Callable[[Medians], float]], bound: float
) -> Goal:
    return Goal(text, (workload,), form(workload), bound, at_least=True)


def _at_most(
    text: str, workload: str, value: Callable[[Medians], float], bound: float, unit: str
) -> Goal:
    return Goal(text, (workload,), value, bound, at_least=False, unit=unit)


def _cpu(m: Medians) -> float:
    measure = "server_cpu_us_per_object"
    return m.get("store_tiny_1", _OURS, measure) / min(m.of_dcmtk("store_tiny_1", measure))


def _above_bare(m: Medians) -> float:
    bare = m.get("startup", startup.BARE.name, "startup_ms")
    return m.get("startup", _OURS, "startup_ms") - bare


GOALS = (
    _at_least("tiny, 1 association: dcmfast / best of DCMTK", "store_tiny_1", _of_dcmtk, 1.4),
    _at_least("tiny, 1 association: dcmfast / limit", "store_tiny_1", _of_limit, 0.7),
    _at_least("tiny, 4 associations: dcmfast / limit", "store_tiny_4", _of_limit, 0.7),
    _at_most("tiny: server CPU per object, dcmfast / DCMTK", "store_tiny_1", _cpu, 0.8, "×"),
    _at_least("CT, 1 association: dcmfast / limit", "store_ct_1", _of_limit, 0.9),
    _at_least("CT, 4 associations: dcmfast / limit", "store_ct_4", _of_limit, 0.9),
    _at_least("CT, 1 association: dcmfast / best of DCMTK", "store_ct_1", _of_dcmtk, 1.0),
    _at_least("CT, 4 associations: dcmfast / best of DCMTK", "store_ct_4", _of_dcmtk, 1.0),
    _at_least("DX, 1 association: dcmfast / limit", "store_dx_1", _of_limit, 0.9),
    _at_least("DX, 4 associations: dcmfast / limit", "store_dx_4", _of_limit, 0.9),
    _at_least("DX, 1 association: dcmfast / best of DCMTK", "store_dx_1", _of_dcmtk, 1.0),
    _at_least("DX, 4 associations: dcmfast / best of DCMTK", "store_dx_4", _of_dcmtk, 1.0),
    _at_least("210 MB, 1 association: dcmfast / limit", "store_multiframe_1", _of_limit, 0.8),
    _at_most(
        "210 MB: growth of resident memory",
        "store_multiframe_1",
        lambda m: m.get("store_multiframe_1", _OURS, "memory_growth_mb"),
        16.0,
        "MB",
    ),
    _at_most(
        "200 idle associations: resident memory in all",
        "idle_associations",
        lambda m: m.get("idle_associations", _OURS, "total_resident_mb"),
        64.0,
        "MB",
    ),
    _at_most(
        "idle, no association: resident memory",
        "idle_associations",
        lambda m: m.get("idle_associations", _OURS, "idle_resident_mb"),
        40.0,
        "MB",
    ),
    _at_most("start-up to listening, above `python -c pass`", "startup", _above_bare, 60.0, "ms"),
    _at_least("group, tiny, 1 association: / synced limit", "durable_tiny_1", _of_synced, 0.8),
    _at_least("group, tiny, 4 associations: / synced limit", "durable_tiny_4", _of_synced, 1.5),
    _at_least("group, CT, 1 association: / synced limit", "durable_ct_1", _of_synced, 0.8),
    _at_least("group, CT, 4 associations: / synced limit", "durable_ct_4", _of_synced, 1.5),
    _at_least("read, headers: dcmfast / pydicom", "read_headers", _of_pydicom, 5.0),
    _at_least("read, every value: dcmfast / pydicom", "read_values", _of_pydicom, 2.0),
    _at_least("write, as read: dcmfast / pydicom", "write_raw", _of_pydicom, 3.0),
    _at_least("write, decoded: dcmfast / pydicom", "write_touched", _of_pydicom, 3.0),
)  # fmt: skip
