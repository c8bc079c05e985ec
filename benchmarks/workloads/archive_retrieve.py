"""C-GET and C-MOVE of whole studies, one after the other; the receiver discards what it compared.

C-MOVE's destination listens in the same program that asks.  For each study the archive makes an
association to it.
"""

from __future__ import annotations

import functools

from peers import Peer, archives
from workloads import Context, Measures, Workload
from workloads.asking import SMALLEST, holding, per_object, retrieve, studies_for

_PEERS = (archives.DCMFAST_NONE, archives.ORTHANC_NONE, archives.DCMTK)
_DETAILS = ("mb_per_s", "server_cpu_us_per_object", "latency_p50_us")


def _measure(
    peer: Peer, context: Context, *, kind: str, move: bool, objects: int, requests: int
) -> Measures:
    held = context.count(objects, least=min(objects, SMALLEST)) if context.scale < 0.1 else objects
    with holding(peer, context, kind, held) as archive:
        answer = retrieve(
            archive.running,
            context,
            archive.corpus,
            move=move,
            span=archive.objects,
            requests=studies_for(peer, context, requests),
        )
    return per_object(answer)


def _workload(name: str, title: str, *, kind: str, move: bool) -> Workload:
    objects, requests = (10_000, 80) if kind == "tiny" else (100, 16)
    return Workload(
        name,
        title,
        "objects_per_s",
        _DETAILS,
        _PEERS if kind == "ct" else (*_PEERS, archives.QRSCP),
        functools.partial(_measure, kind=kind, move=move, objects=objects, requests=requests),
        f"{requests} studies of 25 instances, out of {objects:,} instances; DCMTK's holds at most "
        "2,000, qrscp 500 and gets two requests. Latency is that of a study.",
    )


WORKLOADS = (
    _workload("archive_get_tiny", "C-GET, tiny instances (1 KB)", kind="tiny", move=False),
    _workload("archive_get_ct", "C-GET, CT slices (525 KB)", kind="ct", move=False),
    _workload("archive_move_tiny", "C-MOVE, tiny instances (1 KB)", kind="tiny", move=True),
    _workload("archive_move_ct", "C-MOVE, CT slices (525 KB)", kind="ct", move=True),
)
