"""Instances of about 1 KB: what an object costs, whatever its size."""

from __future__ import annotations

from peers import pynetdicom
from workloads.store import ALL, CONCURRENT, ONE_BY_ONE, WITHOUT_NODELAY, store_workload

WORKLOADS = (
    store_workload(
        "store_tiny_1",
        "Tiny instances (1 KB), one association",
        kind="tiny",
        associations=1,
        objects=3000,
        one_core=True,
        peers=ALL,
        remark=WITHOUT_NODELAY,
    ),
    store_workload(
        "store_tiny_4",
        "Tiny instances (1 KB), four associations",
        kind="tiny",
        associations=4,
        objects=1500,
        peers=(*CONCURRENT, pynetdicom.STORESCP),
        remark=ONE_BY_ONE,
    ),
)
