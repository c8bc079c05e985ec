"""C-FIND and C-GET of a scripted peer, as PDUs, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence

from testkit import pdu
from testkit.peer import ScriptedPeer
from vectors import make

STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
CONTEXTS: tuple[pdu.Context, ...] = (
    (1, pdu.VERIFICATION, [pdu.IMPLICIT]),
    (3, pdu.CT, [pdu.EXPLICIT]),
    (5, pdu.STUDY_ROOT_FIND, [pdu.EXPLICIT]),
    (7, STUDY_ROOT_GET, [pdu.EXPLICIT]),
)
C_GET_RQ = 0x0010
#: SCP role for CT, which C-GET needs (PS3.7 §D.3.3.4).
CT_ROLE = pdu.item(0x54, len(pdu.CT).to_bytes(2, "big") + pdu.CT.encode() + b"\0\1")
PENDING, SUCCESS, CANCELLED, OUT_OF_RESOURCES = 0xFF00, 0x0000, 0xFE00, 0xA700
#: Refused, out of resources, of C-MOVE and C-GET (PS3.4 Tables C.4-2 and C.4-3).
NUMBER_OF_MATCHES_UNKNOWN, SUB_OPERATIONS_FAILED = 0xA701, 0xA702
WRITE = make.Syntax()


def query_rq(sop_class: str, command_field: int, message_id: int) -> bytes:
    """Command set of C-FIND-RQ or C-GET-RQ (PS3.7 Tables 9.3-5, 9.3-8)."""
    return pdu.command_set(
        [
            (pdu.SOP_CLASS, pdu.ui(sop_class)),
            (pdu.COMMAND_FIELD, pdu.us(command_field)),
            (pdu.MESSAGE_ID, pdu.us(message_id)),
            (pdu.PRIORITY, pdu.us(0)),
            (pdu.DATA_SET_TYPE, pdu.us(1)),
        ]
    )


def studies(study_instance_uid: str = "") -> bytes:
    """An identifier that asks for studies."""
    return WRITE.element((0x0008, 0x0052), "CS", "STUDY") + WRITE.element(
        (0x0020, 0x000D), "UI", study_instance_uid
    )


def images(study_instance_uid: str, series_instance_uid: str) -> bytes:
    """An identifier that asks for the instances of a series."""
    return b"".join(
        [
            WRITE.element((0x0008, 0x0018), "UI", ""),
            WRITE.element((0x0008, 0x0052), "CS", "IMAGE"),
            WRITE.element((0x0020, 0x000D), "UI", study_instance_uid),
            WRITE.element((0x0020, 0x000E), "UI", series_instance_uid),
        ]
    )


def find_rq(message_id: int, identifier: bytes) -> bytes:
    """A C-FIND-RQ with its identifier, as PDUs."""
    rq = query_rq(pdu.STUDY_ROOT_FIND, pdu.C_FIND_RQ, message_id)
    command = pdu.p_data(pdu.pdv(5, rq, command=True))
    return command + b"".join(pdu.fragments(5, identifier))


def messages(peer: ScriptedPeer) -> Sequence[tuple[int, int, int]]:
    """Every response up to the first that is not pending: command field, message ID, status."""
    found = []
    command = b""
    while True:
        _, body = peer.expect_pdu(pdu.P_DATA_TF)
        while body:
            length = int.from_bytes(body[:4], "big")
            if body[5] & 1:
                command += body[6 : 4 + length]
            if body[5] & 3 == 3:
                response = pdu.read_command(command)
                command = b""
                fields = (pdu.COMMAND_FIELD, pdu.RESPONDED_ID, pdu.STATUS)
                found.append(tuple(pdu.value_us(response, field) for field in fields))
            body = body[4 + length :]
        if found and found[-1][2] != PENDING and not command:
            return found  # type: ignore[return-value]


def get(peer: ScriptedPeer, identifier: bytes) -> tuple[int, int, int]:
    """C-GET, every object taken: status, completed and failed sub-operations."""
    command = pdu.p_data(pdu.pdv(7, query_rq(STUDY_ROOT_GET, C_GET_RQ, 1), command=True))
    peer.send(command, *pdu.fragments(7, identifier))
    while True:
        _, body = peer.expect_pdu(pdu.P_DATA_TF)
        if not body[5] & 1:
            continue
        length = int.from_bytes(body[:4], "big")
        message = pdu.read_command(body[6 : 4 + length])
        if pdu.value_us(message, pdu.COMMAND_FIELD) == 1:
            response = [
                (pdu.SOP_CLASS, message[pdu.SOP_CLASS]),
                (pdu.COMMAND_FIELD, pdu.us(0x8001)),
                (pdu.RESPONDED_ID, message[pdu.MESSAGE_ID]),
                (pdu.DATA_SET_TYPE, pdu.us(0x0101)),
                (pdu.STATUS, pdu.us(0)),
                (pdu.SOP_INSTANCE, message[pdu.SOP_INSTANCE]),
            ]
            answer = pdu.pdv(3, pdu.command_set(response), command=True)
            peer.send(pdu.p_data(answer))
        elif (status := pdu.value_us(message, pdu.STATUS)) != PENDING:
            return status, pdu.value_us(message, 0x1021), pdu.value_us(message, 0x1022)
