"""CT slices of 525 KB: the usual case."""

from __future__ import annotations

from peers import dcmfast, dcmtk, limit, pynetdicom
from workloads.store import store_workload

WORKLOADS = (
    store_workload(
        "store_ct_1",
        "CT slices (525 KB), one association",
        kind="ct",
        associations=1,
        objects=400,
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
        "store_ct_4",
        "CT slices (525 KB), four associations",
        kind="ct",
        associations=4,
        objects=150,
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
