"""CT slices of 525 KB: the usual case."""

from __future__ import annotations

from peers import pynetdicom
from workloads.store import ALL, CONCURRENT, ONE_BY_ONE, WITHOUT_NODELAY, store_workload

WORKLOADS = (
    store_workload(
        "store_ct_1",
        "CT slices (525 KB), one association",
        kind="ct",
        associations=1,
        objects=400,
        peers=ALL,
        remark=WITHOUT_NODELAY,
    ),
    store_workload(
        "store_ct_4",
        "CT slices (525 KB), four associations",
        kind="ct",
        associations=4,
        objects=150,
        peers=(*CONCURRENT, pynetdicom.STORESCP),
        remark=ONE_BY_ONE,
    ),
)
