"""C-STORE into an archive: an object is acknowledged when it can also be found.

At equal promises: without syncs beside DCMTK's dcmqrscp, Orthanc with its file sync off and
pynetdicom's qrscp; with syncs beside Orthanc as installed, and beside two programs without an
index: one that appends each object to a journal (tiny), one that writes and syncs a file (CT).
Whole studies are sent, and asked for afterwards; the limits keep what nobody can ask for.
"""

from __future__ import annotations

import dataclasses

from peers import Peer, archives, limit
from workloads import Workload
from workloads.store import store_workload

_FIRST = (
    "Orthanc and DCMTK's dcmqrscp are measured on the first 2,000 objects (dcmqrscp's rate falls "
    "with each; parallel ones lose some), pynetdicom's qrscp on the first 100."
)
_SYNC_REMARK = (
    "The disk's flush decides, and it varies; compare within this table only. Orthanc syncs files, "
    "but neither directories nor its index."
)


def _part(peer: Peer, share: float) -> Peer:
    return dataclasses.replace(peer, share=share)


def _tiny(associations: int) -> Workload:
    return store_workload(
        f"archive_store_tiny_{associations}",
        f"Archive, tiny instances (1 KB), {associations} association(s), no syncs",
        kind="tiny",
        associations=associations,
        objects=8000 // associations,
        archived=True,
        peers=(
            limit.LIMIT,
            archives.DCMFAST_NONE,
            _part(archives.ORTHANC_NONE, 0.25),
            _part(archives.DCMTK, 0.25),
            _part(archives.QRSCP, 0.0125),
        ),
        remark=_FIRST,
    )


def _ct(associations: int) -> Workload:
    return store_workload(
        f"archive_store_ct_{associations}",
        f"Archive, CT slices (525 KB), {associations} association(s), no syncs",
        kind="ct",
        associations=associations,
        objects=400 // associations,
        archived=True,
        peers=(
            limit.LIMIT,
            archives.DCMFAST_NONE,
            _part(archives.ORTHANC_NONE, 0.5),
            _part(archives.DCMTK, 0.5),
            _part(archives.QRSCP, 0.25),
        ),
        remark="The peers get half of them. Of parallel stores DCMTK's dcmqrscp refuses some "
        "(C000H, database error), which do not count, and loses some.",
    )


def _durable_tiny(associations: int) -> Workload:
    return store_workload(
        f"archive_durable_tiny_{associations}",
        f"Archive, tiny instances (1 KB), {associations} association(s), synced",
        kind="tiny",
        associations=associations,
        objects=max(400, 2000 // associations),
        archived=True,
        synced=True,
        peers=(
            limit.LIMIT_JOURNAL,
            archives.DCMFAST_GROUP,
            archives.DCMFAST_EACH,
            _part(archives.ORTHANC_SYNCED, 0.25),
        ),
        remark=_SYNC_REMARK,
    )


def _durable_ct(associations: int) -> Workload:
    return store_workload(
        f"archive_durable_ct_{associations}",
        f"Archive, CT slices (525 KB), {associations} association(s), synced",
        kind="ct",
        associations=associations,
        objects=max(25, 100 // associations),
        archived=True,
        synced=True,
        peers=(limit.LIMIT_SYNC_FILE, archives.DCMFAST_GROUP, archives.ORTHANC_SYNCED),
        remark=_SYNC_REMARK,
    )


WORKLOADS = (
    _tiny(1),
    _tiny(4),
    _ct(1),
    _ct(4),
    _durable_tiny(1),
    _durable_tiny(4),
    _durable_tiny(16),
    _durable_ct(1),
    _durable_ct(4),
    _durable_ct(16),
)
