"""What it costs to promise that an acknowledged object survives a power cut.

The limit makes the four calls of the promise for each object by itself: write, fdatasync, rename,
fsync of the directory.  ``--durability group`` shares them between waiting associations, so at four
associations it should beat a limit that does not.  DCMTK and pynetdicom make no such promise and
are left out.
"""

from __future__ import annotations

from peers import dcmfast, limit
from workloads.store import store_workload

_PEERS = (limit.LIMIT_SYNC, dcmfast.STORESCP_GROUP, dcmfast.STORESCP_EACH)
_REMARK = "The disk's flush decides, and it varies; compare within this table only."

WORKLOADS = (
    store_workload(
        "durable_tiny_1",
        "Synced, tiny instances (1 KB), one association",
        kind="tiny",
        associations=1,
        objects=200,
        synced=True,
        peers=_PEERS,
        remark=_REMARK,
    ),
    store_workload(
        "durable_tiny_4",
        "Synced, tiny instances (1 KB), four associations",
        kind="tiny",
        associations=4,
        objects=100,
        synced=True,
        peers=_PEERS,
        remark=_REMARK,
    ),
    store_workload(
        "durable_ct_1",
        "Synced, CT slices (525 KB), one association",
        kind="ct",
        associations=1,
        objects=100,
        synced=True,
        peers=_PEERS,
        remark=_REMARK,
    ),
    store_workload(
        "durable_ct_4",
        "Synced, CT slices (525 KB), four associations",
        kind="ct",
        associations=4,
        objects=50,
        synced=True,
        peers=_PEERS,
        remark=_REMARK,
    ),
)
