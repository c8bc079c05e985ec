"""The measurement that all store workloads share: one run of ``tools/load`` against one peer.

Not measured: process start and association negotiation.  Measured: from the first byte of the first
C-STORE-RQ to the last C-STORE-RSP, the server's CPU time over the same span (plus accepting the
associations), and how far its resident memory rose.  Every run is checked: all responses 0000H
with the right message ID, all files there, and a sample of them compared byte by byte.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import corpora
from peers import Peer, dcmfast, dcmtk, limit, pynetdicom
from workloads import Context, Measures, Workload, asking
from workloads.sending import load

DETAILS = (
    "mb_per_s",
    "server_cpu_us_per_object",
    "latency_p50_us",
    "latency_p99_us",
    "memory_growth_mb",
)

#: Every receiver, at one association of small objects; and what is to be said of them.
ALL = (
    limit.LIMIT,
    dcmfast.STORESCP,
    dcmfast.STORESCP_B,
    dcmfast.DCMRECV,
    *dcmtk.FAIR,
    *dcmtk.DEFAULT,
    pynetdicom.STORESCP,
)
WITHOUT_NODELAY = "DCMTK's rows marked “default” run without TCP_NODELAY=1 and send 1 % of this."
#: Those that serve several associations in a time that can be compared.
CONCURRENT = (
    limit.LIMIT,
    dcmfast.STORESCP,
    dcmfast.DCMRECV,
    dcmtk.STORESCP_FORK,
    dcmtk.STORESCP_FORK_B,
    dcmtk.DCMRECV,
)
ONE_BY_ONE = "DCMTK's dcmrecv serves the four associations one after the other."


def store_workload(
    name: str,
    title: str,
    *,
    kind: str,
    associations: int,
    objects: int,
    peers: tuple[Peer, ...],
    one_core: bool = False,
    synced: bool = False,
    archived: bool = False,
    remark: str = "",
) -> Workload:
    """Describe a load of `objects` instances of `kind` on each of `associations` associations.

    `one_core` pins both sides to one CPU; `synced` stores where syncs are measured (`Ground`);
    `archived` sends whole studies, and asks archives for them afterwards.
    """
    measure = functools.partial(
        _measure,
        kind=kind,
        associations=associations,
        objects=objects,
        one_core=one_core,
        synced=synced,
        archived=archived,
    )
    remarks = [f"{objects} objects on each of {associations} association(s)."]
    if one_core:
        remarks.append(
            "Both sides pinned to one core: sender and receiver take turns here, and on two "
            "virtual cores each turn would cost a wake-up of the other."
        )
    if remark:
        remarks.append(remark)
    return Workload(name, title, "objects_per_s", DETAILS, peers, measure, " ".join(remarks))


def _measure(
    peer: Peer,
    context: Context,
    *,
    kind: str,
    associations: int,
    objects: int,
    one_core: bool,
    synced: bool,
    archived: bool,
) -> Measures:
    corpus = _corpus(kind, context.corpora, archived)
    count = context.count(objects, peer.share, least=3 if objects > 3 else 1)
    if archived:
        count = math.ceil(count / corpora.INSTANCES_PER_STUDY) * corpora.INSTANCES_PER_STUDY
    cpus = {0} if one_core else None
    with context.ground.fresh(synced=synced) as directory:
        with peer.running(directory, cpus=cpus) as running:
            measures = load(
                running,
                corpus,
                associations=associations,
                objects=count,
                queue=associations > 1 and not peer.serves_many,
                cpus=cpus,
                first=0 if archived else None,
                refusals=peer.loses_some,
            )
            lost = peer.loses_some and associations > 1
            if archived and peer.family != "limit" and not lost:
                asking.verify(peer, running, context, corpus, associations * count)
        if not archived:
            corpora.verify_stored(
                directory,
                corpus,
                associations=associations,
                objects=count,
                sample=max(2, min(64, (64 << 20) // corpus.object_bytes)),
            )
    return measures


@functools.cache
def _corpus(kind: str, directory: Path, archived: bool) -> corpora.Corpus:
    return corpora.make(kind, directory, archived=archived)
