"""C-FIND over one association: by keys that an archive indexes, and by one that it does not.

Each request waits for the answer to the one before.  The archive is filled once and opened again
for every round; the page cache is warm.
"""

from __future__ import annotations

import functools

from peers import Peer, archives
from workloads import Context, Measures, Workload
from workloads.asking import QUERIES, SMALLEST, answers_right, find, holding, requests_for

#: Requests of dcmfast by a key with one match; what takes longer gets a part of them.
_REQUESTS = 5000

#: Both sides take turns; on two virtual cores each turn would cost a wake-up of the other one
#: (measured: 47,000 round trips of nothing on one core, 2,800 on two).
ONE_CORE = {0}

_DETAILS = tuple(f"{query.name}_finds_per_s" for query in QUERIES[1:])
_REMARK = (
    "By Study UID and accession number one study matches, by patient ID two, by name prefix 20; "
    "*images* are the 25 of a series; *unindexed* is an attribute that only the records hold. "
    "Both sides are pinned to one core. DCMTK's dcmqrscp holds the first 2,000 instances and would "
    "be slower with more. pynetdicom's qrscp holds 500 and answers with a match per instance where "
    "a study was asked for, so it is measured with images only."
)


def _measure(peer: Peer, context: Context, *, objects: int) -> Measures:
    held = context.count(objects, least=SMALLEST) if context.scale < 0.1 else objects
    measures: Measures = {}
    with holding(peer, context, "tiny", held, cpus=ONE_CORE) as archive:
        for query in QUERIES:
            if not answers_right(peer, query):
                continue
            requests = requests_for(peer, context, _REQUESTS, query)
            answer = find(
                archive.running,
                context,
                query,
                span=archive.objects,
                requests=requests,
                cpus=ONE_CORE,
            )
            measures |= {
                f"{query.name}_finds_per_s": answer["requests_per_s"],
                f"{query.name}_latency_p99_us": answer["latency_us_p99"],
                f"{query.name}_server_cpu_us": answer["server_cpu_us_per_request"],
            }
    return measures


def find_workload(
    objects: int, peers: tuple[Peer, ...], *, asked_as: str | None = None
) -> Workload:
    """Finds in an archive of `objects` tiny instances."""
    return Workload(
        f"archive_find_{objects}",
        f"Finds among {objects:,} instances",
        "study_uid_finds_per_s",
        _DETAILS,
        peers,
        functools.partial(_measure, objects=objects),
        _REMARK,
        asked_as=asked_as,
    )


WORKLOADS = (
    find_workload(1_000, (archives.DCMFAST_NONE, archives.DCMFAST_SERVE)),
    find_workload(
        10_000,
        (
            archives.DCMFAST_NONE,
            archives.DCMFAST_SERVE,
            archives.ORTHANC_NONE,
            archives.DCMTK,
            archives.QRSCP,
        ),
    ),
    find_workload(
        100_000,
        (archives.DCMFAST_SERVE, archives.ORTHANC_NONE),
        asked_as="archive_find_100000",
    ),
)
