"""Digital radiographs of 20 MB: bytes rather than messages."""

from __future__ import annotations

from peers import dcmfast, dcmtk, limit, pynetdicom
from workloads.store import CONCURRENT, ONE_BY_ONE, store_workload

WORKLOADS = (
    store_workload(
        "store_dx_1",
        "Digital radiographs (20 MB), one association",
        kind="dx",
        associations=1,
        objects=12,
        peers=(limit.LIMIT, dcmfast.STORESCP, dcmfast.DCMRECV, *dcmtk.FAIR, pynetdicom.STORESCP),
    ),
    store_workload(
        "store_dx_4",
        "Digital radiographs (20 MB), four associations",
        kind="dx",
        associations=4,
        objects=4,
        peers=CONCURRENT,
        remark=ONE_BY_ONE,
    ),
)
