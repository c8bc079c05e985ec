"""A multi-frame of 210 MB: does memory grow with the object?"""

from __future__ import annotations

from peers import dcmfast, dcmtk, limit, pynetdicom
from workloads.store import store_workload

WORKLOADS = (
    store_workload(
        "store_multiframe_1",
        "Multi-frame (210 MB), one association",
        kind="mf",
        associations=1,
        objects=2,
        peers=(
            limit.LIMIT,
            dcmfast.STORESCP,
            dcmfast.STORESCP_B,
            dcmfast.DCMRECV,
            dcmtk.STORESCP,
            dcmtk.STORESCP_B,
            dcmtk.DCMRECV,
            pynetdicom.STORESCP,
        ),
        remark="pynetdicom gets one object. Memory growth is the highest resident set minus the "
        "one before the first association.",
    ),
    store_workload(
        "store_multiframe_4",
        "Multi-frame (210 MB), four associations",
        kind="mf",
        associations=4,
        objects=1,
        peers=(limit.LIMIT, dcmfast.STORESCP, dcmtk.STORESCP_FORK, dcmtk.STORESCP_FORK_B),
    ),
)
