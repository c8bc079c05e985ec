"""The one entry point of the benchmarks: build, run interleaved, check, write ``results/``.

    python benchmarks/run.py                  five rounds: about twenty-five minutes
    python benchmarks/run.py --quick          three rounds of a fifth: about two minutes
    python benchmarks/run.py --smoke          does it work at all; nothing is written
    python benchmarks/run.py --only store_ct  workloads whose name starts so (repeatable)
    python benchmarks/run.py --list           names of workloads and their receivers

Exit code: 0 when every measurement of a receiver that is there succeeded, 1 otherwise.  A missed
goal is reported and is no failure of the benchmark.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import environment
import report
from filesystem import Ground
from peers import Peer, archives, dcmtk
from peers.limit import TOOLS
from workloads import (
    Context,
    Workload,
    archive_find,
    archive_index,
    archive_million,
    archive_retrieve,
    archive_scan,
    archive_store,
    clients,
    durability,
    idle_associations,
    load_generator,
    read_corpus,
    recorder,
    senders,
    startup,
    store_ct,
    store_dx,
    store_multiframe,
    store_options,
    store_tiny,
)

RESULTS = Path(__file__).resolve().parent / "results"
ROUNDS = 5

#: A smoke run looks whether our code works; one receiver of another family is enough for that.
SMOKE_FAMILIES = ("limit", "dcmfast", "pydicom", "python")
SMOKE_PEERS = (dcmtk.STORESCP_FORK_B, archives.DCMTK)

WORKLOADS: tuple[Workload, ...] = (
    *store_tiny.WORKLOADS,
    *store_ct.WORKLOADS,
    *store_dx.WORKLOADS,
    *store_multiframe.WORKLOADS,
    *store_options.WORKLOADS,
    *durability.WORKLOADS,
    *idle_associations.WORKLOADS,
    *startup.WORKLOADS,
    *read_corpus.WORKLOADS,
    *archive_store.WORKLOADS,
    *archive_find.WORKLOADS,
    *archive_retrieve.WORKLOADS,
    *archive_scan.WORKLOADS,
    *archive_index.WORKLOADS,
    *archive_million.WORKLOADS,
    *clients.WORKLOADS,
    *load_generator.WORKLOADS,
    *recorder.WORKLOADS,
    *senders.WORKLOADS,
)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    asked = _parser().parse_args(arguments)
    chosen = [workload for workload in WORKLOADS if workload.is_chosen(asked.only)]
    if asked.list or not chosen:
        for workload in WORKLOADS:
            when = f" (only by --only {workload.asked_as})" if workload.asked_as else ""
            print(f"{workload.name}{when}: {', '.join(peer.name for peer in workload.peers)}")
        return 0 if asked.list else 1
    rounds, scale = ROUNDS, 1.0
    if asked.quick:
        rounds, scale = 3, 0.2
    if asked.smoke:
        rounds, scale = 1, 0.01
    rounds = asked.rounds or rounds

    # A stop must still unmount, and stop the receiver that runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: stopped"))
    signal.signal(signal.SIGINT, lambda *_: sys.exit("run.py: interrupted"))
    _build_tools()
    _compile_python()
    described = environment.describe()
    if described["dcmfast build"] == "debug":
        print("run.py: dcmfast is a debug build; install it with pip to measure", file=sys.stderr)
        return 1
    if (changed := environment.newer_than_the_build()) is not None:
        print(f"run.py: {changed} changed after dcmfast was built; build it first", file=sys.stderr)
        return 1
    began = time.monotonic()
    with Ground(asked.directory) as ground:
        described["stored into"] = ground.description
        corpora = ground.root / "corpora"
        corpora.mkdir()
        results = report.Results(chosen)
        _run(Context(ground, corpora, scale), results, rounds, quiet=asked.smoke)
    described["load average at the end"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    described["CPU used by others"] = report.others(results)
    described["minutes"] = f"{(time.monotonic() - began) / 60:.1f}"

    # A peer that is not installed is left out; a tool of ours that does not start is a failure.
    broken = [
        (name, peer, why)
        for name, peer, why in results.failures
        if not why.startswith("unavailable") or peer.startswith("dcmfast")
    ]
    for name, peer, why in broken:
        print(f"FAILED {name}: {peer}: {why}", file=sys.stderr)
    if not asked.smoke:
        print("\n" + report.goals_table(results)[0])
        name = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}-{environment.machine_name()}"
        suffix = "-quick" if asked.quick else ""
        suffix += "-" + "-".join(asked.only) if asked.only else ""
        place = RESULTS / (name + suffix) if asked.output is None else asked.output
        command = shlex.join(["python", "benchmarks/run.py", *(arguments or sys.argv[1:])])
        report.write(place, results, described, command, rounds)
        print(f"\nWritten to {os.path.relpath(place)}/ in {described['minutes']} minutes.")
    else:
        print(f"bench: {len(results.rows)} values in {described['minutes']} minutes, not kept")
    return 1 if broken else 0


def _run(context: Context, results: report.Results, rounds: int, *, quiet: bool) -> None:
    """Measure every peer of a workload once per round, in turn, before the next workload."""
    reasons: dict[str, str | None] = {}
    for workload in results.workloads:
        present = []
        for peer in workload.peers:
            if quiet and peer.family not in SMOKE_FAMILIES and peer not in SMOKE_PEERS:
                continue
            if peer.name not in reasons:
                with context.ground.fresh() as directory:
                    reasons[peer.name] = peer.why_unavailable(directory)
            if (why := reasons[peer.name]) is None:
                present.append(peer)
            else:
                results.failures.append((workload.name, peer.name, f"unavailable: {why}"))
        began = time.monotonic()
        for number in range(rounds * (1 if quiet else workload.rounds_factor)):
            # Another order in every round: nobody always runs in the wake of the same neighbour.
            shift = number % max(1, len(present))
            for peer in present[shift:] + present[:shift]:
                _measure(workload, peer, number, context, results)
        if not quiet:
            took = time.monotonic() - began
            print(
                f"\n{workload.title} ({took:.0f} s)\n\n{report.workload_table(results, workload)}"
            )


def _measure(
    workload: Workload, peer: Peer, number: int, context: Context, results: report.Results
) -> None:
    try:
        measures = workload.measure(peer, context)
    except Exception as error:
        # Whatever a receiver or library does wrong costs its own row only, and fails the run.
        notes = " ".join(getattr(error, "__notes__", []))
        why = " ".join(f"{type(error).__name__}: {error} {notes}".split())
        results.failures.append((workload.name, peer.name, why[:400]))
        return
    for name, value in measures.items():
        results.rows.append((workload.name, peer.name, number, name, value))


def _build_tools() -> None:
    """Compile the limit and the load generator; quick when nothing changed."""
    cargo = shutil.which("cargo") or str(Path.home() / ".cargo" / "bin" / "cargo")
    subprocess.run(
        [cargo, "build", "--quiet", "--release", "--locked"], cwd=TOOLS, check=True, timeout=300
    )


def _compile_python() -> None:
    """Write dcmfast's byte code, as pip does when it installs a wheel.

    In an editable installation under PYTHONDONTWRITEBYTECODE every start would compile the sources
    again: 45 ms that no user of an installed package waits for.
    """
    package = environment.ROOT / "python" / "dcmfast"
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", str(package)], check=True, timeout=120
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare receivers; see benchmarks/README.md.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="three rounds of a fifth of the load")
    size.add_argument("--smoke", action="store_true", help="one round at toy size, not kept")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="start of a workload's name"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds instead of five")
    parser.add_argument("--directory", type=Path, help="on the file system to measure")
    parser.add_argument(
        "--output", type=Path, help="instead of benchmarks/results/<date>-<machine>"
    )
    parser.add_argument("--list", action="store_true", help="list workloads and receivers")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
