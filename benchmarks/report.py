"""Writing what was measured: raw.csv (everything), summary.md (tables), README.md (how to read)."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from goals import GOALS, Medians
from workloads import Workload

#: More than this taken by others makes a run on two CPUs hard to repeat.
QUIET_CPUS = 0.15

#: Unit and number of decimals by the end of a measure's name, longest first.
_UNITS = (
    ("_us_per_object", "µs/object", 0),
    ("_us_per_request", "µs/request", 0),
    ("finds_per_s", "finds/s", 0),
    ("objects_per_s", "objects/s", 1),
    ("files_per_s", "files/s", 1),
    ("mb_per_s", "MB/s", 1),
    ("_us", "µs", 0),
    ("_ms", "ms", 1),
    ("_mb", "MB", 1),
    ("_kb", "kB", 0),
)
#: Measures of which less is better; the comparison column then divides the other way round.
_LESS_IS_BETTER = ("_us", "_ms", "_mb", "_kb", "_per_object")


@dataclass
class Results:
    """Everything a run measured."""

    workloads: list[Workload] = field(default_factory=list)
    #: (workload, peer, round, measure, value)
    rows: list[tuple[str, str, int, str, float]] = field(default_factory=list)
    #: (workload, peer, why): measurements that failed, and peers that were not there.
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def values(self, workload: str, peer: str, measure: str) -> list[float]:
        """One measure of every round."""
        wanted = (workload, peer, measure)
        return [row[4] for row in self.rows if (row[0], row[1], row[3]) == wanted]

    def medians(self) -> Medians:
        """Median over the rounds, of everything."""
        grouped: dict[tuple[str, str, str], list[float]] = {}
        for workload, peer, _, measure, value in self.rows:
            grouped.setdefault((workload, peer, measure), []).append(value)
        # A peer that failed in any round has no median: a rate of its good rounds would flatter.
        failed = {(workload, peer) for workload, peer, _ in self.failures}
        return Medians(
            {
                key: statistics.median(values)
                for key, values in grouped.items()
                if key[:2] not in failed
            }
        )


def goals_table(results: Results) -> tuple[str, int]:
    """The goals that this run could judge, as a table, and how many were missed."""
    ran = {workload.name for workload in results.workloads}
    medians = results.medians()
    lines = ["| goal | wanted | measured | |", "| --- | ---: | ---: | --- |"]
    missed = 0
    for goal in GOALS:
        if not ran.issuperset(goal.workloads):
            continue
        wanted = f"{'≥' if goal.at_least else '≤'} {goal.bound:g} {goal.unit}"
        try:
            value = goal.value(medians)
        except KeyError:
            lines.append(f"| {goal.text} | {wanted} | – | not measured |")
            continue
        missed += not goal.met(value)
        lines.append(
            f"| {goal.text} | {wanted} | {value:.2f} {goal.unit} | {goal.verdict(value)} |"
        )
    return "\n".join(lines), missed


def where_the_time_goes(results: Results) -> str:
    """Say, for each missed goal of storing, what an object's time is spent on; empty if none was.

    What is not CPU time of the receiver is waiting: for the sender, the other associations, and the
    disk.  Two receivers that wait alike differ by their own work; one whose CPU time is a small
    part of an object's time, as with syncs of large objects, waits for the disk, and so does the
    limit.
    """
    medians = results.medians()
    titles = {workload.name: workload for workload in results.workloads}
    lines = []
    seen = set()
    for goal in GOALS:
        try:
            is_missed = not goal.met(goal.value(medians))
        except KeyError:
            continue
        is_missed = is_missed and set(titles).issuperset(goal.workloads)
        for name in goal.workloads:
            if not is_missed or name in seen or "mb_per_s" not in titles[name].details:
                continue
            seen.add(name)
            lines += [f"{titles[name].title}:", "", _time_table(medians, titles[name]), ""]
    return "\n".join(lines).strip()


def _time_table(medians: Medians, workload: Workload) -> str:
    lines = [
        "| receiver | µs an object | CPU of the receiver, µs | waiting, µs | MB/s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for peer in workload.peers:
        try:
            rate, cpu_us, mb_per_s = (
                medians.get(workload.name, peer.name, measure)
                for measure in ("objects_per_s", "server_cpu_us_per_object", "mb_per_s")
            )
        except KeyError:
            continue
        if peer.family in {"dcmfast", "limit"}:
            us = 1e6 / rate
            cpu = f"{cpu_us:,.0f} ({cpu_us / us:.0%} of one core)"
            waiting = f"{max(0.0, us - cpu_us):,.0f}"
            lines.append(f"| {peer.name} | {us:,.0f} | {cpu} | {waiting} | {mb_per_s:,.0f} |")
    return "\n".join(lines)


def workload_table(results: Results, workload: Workload) -> str:
    """One workload: a row per peer, best median first."""
    unit, decimals = _unit(workload.headline)
    less = _less_is_better(workload.headline)
    names = [peer.name for peer in workload.peers]
    medians = {
        name: statistics.median(values)
        for name in names
        if (values := results.values(workload.name, name, workload.headline))
    }
    if not medians:
        return "Nothing measured."
    # The first peer of a workload is what the others are compared with: the limit, pydicom, or
    # the bare interpreter.
    reference = next(name for name in names if name in medians)
    columns = [(_label(measure), measure, *_unit(measure)) for measure in workload.details]
    head = ["receiver", f"median, {unit}", "lowest–highest", f"÷ {reference}"]
    head += [f"{label}, {unit}" if unit else label for label, _, unit, _ in columns]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for name in sorted(medians, key=lambda name: medians[name], reverse=not less):
        values = results.values(workload.name, name, workload.headline)
        ratio = medians[name] / medians[reference]
        cells = [
            name,
            f"{medians[name]:,.{decimals}f}",
            f"{min(values):,.{decimals}f}–{max(values):,.{decimals}f}",
            f"{ratio:.2f}",
        ]
        for _, measure, _, places in columns:
            details = results.values(workload.name, name, measure)
            cells.append(f"{statistics.median(details):,.{places}f}" if details else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def others(results: Results) -> str:
    """How much of the machine other programs took while stores were measured."""
    values = [value for *_, measure, value in results.rows if measure == "others_cpus"]
    if not values:
        return "not measured"
    median, most = statistics.median(values), max(values)
    verdict = "" if median < QUIET_CPUS else " (too much: these numbers say little)"
    return f"{median:.2f} CPUs in the median run, {most:.2f} in the worst{verdict}"


def write(
    directory: Path, results: Results, environment: dict[str, str], command: str, rounds: int
) -> None:
    """Write the three files of one result directory, replacing those of an earlier run."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "raw.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("workload", "peer", "round", "measure", "value"))
        writer.writerows(results.rows)
    (directory / "summary.md").write_text(_summary(results, rounds), encoding="utf-8")
    (directory / "README.md").write_text(_readme(environment, command, rounds), encoding="utf-8")


def _summary(results: Results, rounds: int) -> str:
    table, missed = goals_table(results)
    parts = [
        "# Summary",
        f"Medians of {rounds} rounds (start-up: more), interleaved.",
        "`benchmarks/README.md` says how to read them, `README.md` here where they were taken.",
        f"## Goals ({missed} missed)",
        table,
    ]
    if where := where_the_time_goes(results):
        parts += ["## Where the time goes in what was missed", where]
    for workload in results.workloads:
        parts += [f"## {workload.title}", workload.remark, workload_table(results, workload)]
    if results.failures:
        parts += ["## Not measured", _list(f"{w}: {p}: {why}" for w, p, why in results.failures)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _readme(environment: dict[str, str], command: str, rounds: int) -> str:
    rows = [f"| {name} | {value} |" for name, value in environment.items()]
    return "\n".join(
        [
            "# Where and how these numbers were taken",
            "",
            f"Command: `{command}`, {rounds} rounds. `raw.csv` holds every single measurement,",
            "`summary.md` the medians and the goals.",
            "",
            "| | |",
            "| --- | --- |",
            *rows,
            "",
        ]
    )


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in dict.fromkeys(items))


def _unit(measure: str) -> tuple[str, int]:
    for ending, unit, decimals in _UNITS:
        if measure.endswith(ending):
            return unit, decimals
    return "", 0


def _less_is_better(measure: str) -> bool:
    return not measure.endswith("_per_s") and measure.endswith(_LESS_IS_BETTER)


def _label(measure: str) -> str:
    for ending, _, _ in _UNITS:
        if measure.endswith(ending):
            measure = measure.removesuffix(ending) or measure
            break
    return measure.strip("_").replace("_", " ").replace("mb per s", "throughput")
