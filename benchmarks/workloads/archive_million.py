"""What changes with a million instances: nothing should.

Behind a name of its own: the files take 8 GB of disk and, with the rebuild, several minutes.  The
million is written as files and indexed by ``dcmfast index rebuild``; what is then stored comes over
the network.  The comparison is an archive with 1,000 instances that was filled in the same way.
"""

from __future__ import annotations

import itertools
import shutil
import time
from pathlib import Path

import corpora
from peers import Peer, archives
from workloads import Context, Measures, Workload
from workloads.archive_find import ONE_CORE
from workloads.archive_index import INDEX_DETAILS, index_measures
from workloads.asking import QUERIES, SCAN, find, generate, requests_for
from workloads.sending import load

_NAME = "archive_million"
_MANY, _FEW = 1_000_000, 1_000
_STORED = 10_000
_REQUESTS = 5_000

#: Every round stores instances of its own.
_ROUNDS = itertools.count()


def _filled(context: Context, objects: int) -> tuple[Path, Measures]:
    """Make the archive of `objects` instances, once in a run of the benchmark."""
    directory = context.ground.root / "kept" / f"million-{objects}"
    measures: Measures = {}
    if not directory.exists():
        corpus = corpora.make("tiny", context.corpora, archived=True)
        began = time.perf_counter()
        try:
            generate(corpus, directory / "area" / "imported", objects)
            measures["written_files_per_s"] = objects / (time.perf_counter() - began)
            measures |= index_measures(directory / "area", objects)
        except Exception:
            shutil.rmtree(directory, ignore_errors=True)
            raise
    return directory, measures


def _measure(peer: Peer, context: Context) -> Measures:
    corpus = corpora.make("tiny", context.corpora, archived=True)
    first = _MANY + next(_ROUNDS) * _STORED
    measures: Measures = {}
    for objects, name in ((context.count(_FEW, least=500), "few"), (context.count(_MANY), "many")):
        directory, made = _filled(context, objects)
        if name == "many":
            measures |= made
        with peer.running(directory, cpus=ONE_CORE) as running:
            measures[f"{name}_startup_ms"] = running.startup_s * 1e3
            for query in QUERIES[:5]:
                requests = requests_for(peer, context, _REQUESTS, query)
                answer = find(
                    running, context, query, span=objects, requests=requests, cpus=ONE_CORE
                )
                measures[f"{name}_{query.name}_finds_per_s"] = answer["requests_per_s"]
            scans = find(running, context, SCAN, span=1, requests=1)
            measures[f"{name}_scan_first_answer_ms"] = scans["first_us_p100"] / 1e3
            measures[f"{name}_scan_whole_answer_ms"] = scans["latency_us_p100"] / 1e3
            stored = load(
                running,
                corpus,
                associations=1,
                objects=_STORED,
                first=first,
                cpus=ONE_CORE,
            )
            measures[f"{name}_stored_objects_per_s"] = stored["objects_per_s"]
    measures["rate_kept"] = (
        measures["many_stored_objects_per_s"] / measures["few_stored_objects_per_s"]
    )
    with context.ground.fresh() as directory, peer.running(directory) as running:
        measures["empty_startup_ms"] = running.startup_s * 1e3
    return measures


WORKLOADS = (
    Workload(
        _NAME,
        "1,000,000 instances beside 1,000",
        "many_stored_objects_per_s",
        (
            "few_stored_objects_per_s",
            "many_study_uid_finds_per_s",
            "few_study_uid_finds_per_s",
            "many_patient_id_finds_per_s",
            "many_accession_finds_per_s",
            "many_name_prefix_finds_per_s",
            "many_images_finds_per_s",
            "many_scan_first_answer_ms",
            "many_startup_ms",
            "empty_startup_ms",
            "rebuilt_files_per_s",
            *INDEX_DETAILS,
        ),
        (archives.DCMFAST_SERVE,),
        _measure,
        "`--durability none`; 10,000 tiny instances over one association on top of what is there.",
        asked_as=_NAME,
    ),
)
