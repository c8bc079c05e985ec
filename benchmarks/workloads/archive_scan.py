"""A query that has to look at every record must not be in anybody's way.

One association asks again and again for an attribute without an index of its values, over the
whole archive; another one stores meanwhile.  The store's latencies stand beside those of the same
stores without the query.
"""

from __future__ import annotations

import functools

import corpora
from peers import Peer, archives
from workloads import Context, Measures, Workload
from workloads.asking import SCAN, SMALLEST, ask_in_background, fill, find
from workloads.sending import load

_STORED = 2000


def _measure(peer: Peer, context: Context, *, objects: int) -> Measures:
    corpus = corpora.make("tiny", context.corpora, archived=True)
    held = context.count(objects, least=SMALLEST)
    stored = context.count(_STORED, peer.share, least=100)
    with context.ground.fresh() as directory:
        fill(peer, context, directory, corpus, held)
        with peer.running(directory) as running:
            alone = load(running, corpus, associations=1, objects=stored, first=held)
            scans = find(running, context, SCAN, span=1, requests=3)
            # As many requests as outlast the stores: counted by what one took.
            seconds = alone["seconds"] * 3
            requests = max(3, round(seconds / max(scans["latency_us_p50"] / 1e6, 1e-6)))
            with ask_in_background(running, context, SCAN, requests=requests) as asking:
                beside = load(running, corpus, associations=1, objects=stored, first=held + stored)
    return {
        "first_answer_ms": scans["first_us_p100"] / 1e3,
        "first_answer_beside_stores_ms": asking.answer["first_us_p100"] / 1e3,
        "whole_answer_ms": scans["latency_us_p50"] / 1e3,
        "matches": scans["matches"] / scans["requests"],
        "store_alone_p50_us": alone["latency_p50_us"],
        "store_beside_p50_us": beside["latency_p50_us"],
        "store_alone_p99_us": alone["latency_p99_us"],
        "store_beside_p99_us": beside["latency_p99_us"],
    }


_DETAILS = (
    "first_answer_beside_stores_ms",
    "whole_answer_ms",
    "matches",
    "store_alone_p50_us",
    "store_beside_p50_us",
    "store_alone_p99_us",
    "store_beside_p99_us",
)
WORKLOADS = (
    Workload(
        "archive_scan",
        "A query over every record of 10,000 instances, beside stores",
        "first_answer_ms",
        _DETAILS,
        (archives.DCMFAST_SERVE,),
        functools.partial(_measure, objects=10_000),
        "First answer: the longest time from the request to the first match. Stores are tiny "
        "instances on another association, without syncs.",
    ),
)
