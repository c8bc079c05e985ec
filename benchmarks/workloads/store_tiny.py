"""Instances of about 1 KB: what an object costs, whatever its size."""

from __future__ import annotations

from peers import dcmfast, dcmtk, limit, pynetdicom
from workloads.store import store_workload

WORKLOADS = (
    store_workload(
        "store_tiny_1",
        "Tiny instances (1 KB), one association",
        kind="tiny",
        associations=1,
        objects=3000,
        one_core=True,
        peers=(
            limit.LIMIT,
            dcmfast.STORESCP,
            dcmfast.STORESCP_B,
            dcmfast.DCMRECV,
            *dcmtk.FAIR,
            *dcmtk.DEFAULT,
            pynetdicom.STORESCP,
        ),
        remark="DCMTK's rows marked “default” run without TCP_NODELAY=1 and send 1 % of this.",
    ),
    store_workload(
        "store_tiny_4",
        "Tiny instances (1 KB), four associations",
        kind="tiny",
        associations=4,
        objects=1500,
        peers=(
            limit.LIMIT,
            dcmfast.STORESCP,
            dcmfast.DCMRECV,
            dcmtk.STORESCP_FORK,
            dcmtk.STORESCP_FORK_B,
            dcmtk.DCMRECV,
            pynetdicom.STORESCP,
        ),
        remark="DCMTK's dcmrecv serves the four associations one after the other.",
    ),
)
