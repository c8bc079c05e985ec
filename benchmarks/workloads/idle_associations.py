"""Two hundred peers that associate and say nothing more: what do they cost in memory?

Each is a real association (A-ASSOCIATE-RQ with one storage context, A-ASSOCIATE-AC read), held
until the memory of the receiver's process tree has been read.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from peers import Peer, dcmfast, dcmtk, limit, pynetdicom
from workloads import Context, Measures, Workload

ASSOCIATIONS = 200

_ANSWER_DEADLINE_S = 3.0
_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_A_ASSOCIATE_AC = 2


def associate_rq() -> bytes:
    """A-ASSOCIATE-RQ (PS3.8 Table 9-11) with one presentation context."""
    context = struct.pack(">4B", 1, 0, 0, 0)
    context += _item(0x30, _CT_IMAGE_STORAGE.encode())
    context += _item(0x40, _EXPLICIT_VR_LITTLE_ENDIAN.encode())
    user = _item(0x51, struct.pack(">I", 16384))
    user += _item(0x52, b"2.25.161803398874989484820458683436563811772")
    body = struct.pack(">HH16s16s32x", 1, 0, b"ANY-SCP".ljust(16), b"IDLE".ljust(16))
    body += _item(0x10, b"1.2.840.10008.3.1.1.1") + _item(0x20, context) + _item(0x50, user)
    return struct.pack(">BBI", 1, 0, len(body)) + body


def _item(item_type: int, value: bytes) -> bytes:
    return struct.pack(">BBH", item_type, 0, len(value)) + value


def _measure(peer: Peer, context: Context) -> Measures:
    wanted = context.count(ASSOCIATIONS, least=10)
    request = associate_rq()
    with (
        context.ground.fresh() as directory,
        peer.running(directory) as running,
        contextlib.ExitStack() as connections,
    ):
        before = running.memory()
        accepted = 0
        for _ in range(wanted):
            connection = connections.enter_context(
                socket.create_connection(("127.0.0.1", running.port), _ANSWER_DEADLINE_S)
            )
            try:
                connection.sendall(request)
                header = connection.recv(6, socket.MSG_WAITALL)
            except OSError:
                break  # It keeps us waiting: the limit of what it serves at once.
            if header[:1] != bytes([_A_ASSOCIATE_AC]):
                break
            length = int.from_bytes(header[2:6], "big")
            connection.recv(length, socket.MSG_WAITALL)
            accepted += 1
        memory = running.memory()
        if accepted == 0:
            raise ValueError(f"{peer.name} accepted no association")
        return {
            "total_proportional_mb": memory.proportional,
            "total_resident_mb": memory.resident,
            "total_anonymous_mb": memory.anonymous,
            "idle_resident_mb": before.resident,
            "idle_proportional_mb": before.proportional,
            "per_association_kb": (memory.proportional - before.proportional) * 1e3 / accepted,
            "accepted_associations": accepted,
            "processes": running.process_count(),
        }


WORKLOADS = (
    Workload(
        "idle_associations",
        f"{ASSOCIATIONS} idle associations",
        "total_proportional_mb",
        (
            "accepted_associations",
            "processes",
            "total_resident_mb",
            "total_anonymous_mb",
            "per_association_kb",
            "idle_resident_mb",
            "idle_proportional_mb",
        ),
        (
            dcmfast.STORESCP,
            dcmfast.DCMRECV,
            dcmtk.STORESCP_FORK,
            pynetdicom.STORESCP,
            limit.LIMIT,
        ),
        _measure,
        "Memory of the whole process tree. Proportional counts a page shared between processes "
        "once; resident counts it in each. A peer that accepts fewer associations is listed with "
        "what it accepted.",
    ),
)
