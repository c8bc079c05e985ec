"""Receivers told to do more: encode anew, speak TLS, serve each association in a process.

Sent are the instances of the other store workloads.  What is encoded anew cannot be compared byte
by byte with what was sent: a sample of the files is read by pydicom, and every value compared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import corpora
from peers import Peer, dcmfast, dcmtk, limit
from workloads import Context, Measures, Workload
from workloads.sending import load

_DETAILS = ("mb_per_s", "server_cpu_us_per_object", "latency_p50_us", "latency_p99_us")

Verify = Callable[[Path, corpora.Corpus, int, int], None]


def _same_bytes(directory: Path, corpus: corpora.Corpus, associations: int, objects: int) -> None:
    sample = max(2, min(64, (64 << 20) // corpus.object_bytes))
    corpora.verify_stored(
        directory, corpus, associations=associations, objects=objects, sample=sample
    )


def _same_values(directory: Path, corpus: corpora.Corpus, associations: int, objects: int) -> None:
    corpora.verify_values(directory, corpus, associations=associations, objects=objects, sample=16)


def _measure(
    peer: Peer,
    context: Context,
    *,
    kind: str,
    objects: int,
    verify: Verify,
    associations: int = 1,
    tls: bool = False,
    short: bool = False,
    natural: bool = False,
) -> Measures:
    corpus = _corpus(kind, context.corpora, natural=natural)
    count = context.count(objects, least=3)
    with context.ground.fresh() as directory:
        with peer.running(directory) as running:
            measures = load(
                running, corpus, associations=associations, objects=count, tls=tls, short=short
            )
        verify(directory, corpus, associations, count)
        sizes = [path.stat().st_size for path in directory.rglob("*") if path.is_file()]
        measures["file_kb"] = sum(sizes) / len(sizes) / 1e3
    return measures


@functools.cache
def _corpus(kind: str, directory: Path, *, natural: bool) -> corpora.Corpus:
    return corpora.make(kind, directory, natural=natural)


def _workload(
    name: str,
    title: str,
    peers: tuple[Peer, ...],
    measure: Callable[[Peer, Context], Measures],
    remark: str,
    headline: str = "objects_per_s",
) -> Workload:
    return Workload(name, title, headline, (*_DETAILS, "file_kb"), peers, measure, remark)


WORKLOADS = (
    _workload(
        "encode_big_ct",
        "CT slices (525 KB) written in Explicit VR Big Endian",
        (dcmfast.STORESCP_BIG, dcmtk.STORESCP_BIG),
        functools.partial(_measure, kind="ct", objects=300, verify=_same_values),
        "300 objects on one association; every value of a sample is compared.",
    ),
    _workload(
        "encode_deflated_ct",
        "CT slices (525 KB) written deflated, level 6",
        (dcmfast.STORESCP_DEFLATED, dcmtk.STORESCP_DEFLATED),
        functools.partial(_measure, kind="ct", objects=60, verify=_same_values, natural=True),
        "60 objects on one association. The pixels are those of a slice: tissue, air and noise of a"
        " few bits.",
    ),
    _workload(
        "tls_ct",
        "CT slices (525 KB) over TLS",
        (limit.LIMIT_TLS, dcmfast.STORESCP_TLS, dcmtk.STORESCP_TLS),
        functools.partial(_measure, kind="ct", objects=300, verify=_same_bytes, tls=True),
        "300 objects on one association; the newest version that both sides have.",
    ),
    _workload(
        "fork_tiny_1",
        "Tiny instances (1 KB), a process for the association",
        (dcmfast.STORESCP_FORK, dcmtk.STORESCP_FORK),
        functools.partial(_measure, kind="tiny", objects=2000, verify=_same_bytes),
        "2,000 objects on one association.",
    ),
    _workload(
        "fork_associations",
        "Associations with one tiny instance each, a process for each",
        (dcmfast.STORESCP_FORK, dcmtk.STORESCP_FORK),
        functools.partial(_measure, kind="tiny", objects=300, verify=_same_bytes, short=True),
        "300 associations, one after the other; an object is an association here.",
    ),
)
