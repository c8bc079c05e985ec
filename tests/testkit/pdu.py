"""PDUs and DIMSE messages as bytes, built and read by hand from PS3.8 §9.3 and PS3.7 §6.3.

Deliberately knows nothing of dcmfast, so that a mistake there is not repeated here, and lets every
length and value be wrong on request.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ = 0x01, 0x02, 0x03
P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = 0x04, 0x05, 0x06, 0x07

#: A proposed context: ID, abstract syntax, transfer syntaxes.
Context = tuple[int, str, Sequence[str]]

#: What most tests propose: Verification on 1, CT in explicit, implicit and both on 3, 5, 7.
CONTEXTS: tuple[Context, ...] = (
    (1, VERIFICATION, [IMPLICIT]),
    (3, CT, [EXPLICIT]),
    (5, CT, [IMPLICIT]),
    (7, SECONDARY_CAPTURE, [IMPLICIT, EXPLICIT]),
)


def text(value: str | bytes) -> bytes:
    """Bytes of a UID or title; bytes pass unchanged, so that tests can send what is no text."""
    return value if isinstance(value, bytes) else value.encode("ascii")


def pdu(pdu_type: int, body: bytes, *, length: int | None = None, reserved: int = 0) -> bytes:
    """One PDU (PS3.8 §9.3.1); `length` lies when it is given."""
    return struct.pack(">BBL", pdu_type, reserved, len(body) if length is None else length) + body


def item(item_type: int, body: bytes, *, length: int | None = None) -> bytes:
    """One variable item or sub-item: type, reserved, 2-byte length."""
    return struct.pack(">BBH", item_type, 0, len(body) if length is None else length) + body


def context_rq(context: Context) -> bytes:
    """Presentation context item of a request (PS3.8 §9.3.2.2)."""
    context_id, abstract_syntax, transfer_syntaxes = context
    body = bytes([context_id, 0, 0, 0]) + item(0x30, text(abstract_syntax))
    return item(0x20, body + b"".join(item(0x40, text(uid)) for uid in transfer_syntaxes))


def user_information(
    *,
    max_pdu: int | None = 16384,
    class_uid: str | bytes | None = "1.2.826.0.1.3680043.9.3811.1",
    version: str | bytes | None = "SCRIPTED",
    extra: bytes = b"",
) -> bytes:
    """User information item (PS3.8 §9.3.2.3, PS3.7 Annex D.3)."""
    body = b""
    if max_pdu is not None:
        body += item(0x51, struct.pack(">L", max_pdu))
    if class_uid is not None:
        body += item(0x52, text(class_uid))
    body += extra
    if version is not None:
        body += item(0x55, text(version))
    return item(0x50, body)


def associate_body(
    items: bytes,
    *,
    called: str | bytes = "ANY-SCP",
    calling: str | bytes = "SCRIPTED",
    protocol_version: int = 1,
) -> bytes:
    """Variable field of A-ASSOCIATE-RQ: fixed part and the given items (PS3.8 Table 9-11)."""
    return (
        struct.pack(">H2x", protocol_version)
        + text(called).ljust(16)[:16]
        + text(calling).ljust(16)[:16]
        + bytes(32)
        + items
    )


def associate_rq(
    contexts: Sequence[Context] = CONTEXTS,
    *,
    called: str | bytes = "ANY-SCP",
    calling: str | bytes = "SCRIPTED",
    protocol_version: int = 1,
    application_context: bytes | None = APPLICATION_CONTEXT,
    user: bytes | None = None,
    max_pdu: int = 16384,
    extra: bytes = b"",
    length: int | None = None,
) -> bytes:
    """One A-ASSOCIATE-RQ; `extra` items follow the others, `user` replaces the user information."""
    items = b"" if application_context is None else item(0x10, application_context)
    items += b"".join(map(context_rq, contexts))
    items += user_information(max_pdu=max_pdu) if user is None else user
    body = associate_body(
        items + extra, called=called, calling=calling, protocol_version=protocol_version
    )
    return pdu(ASSOCIATE_RQ, body, length=length)


def release_rq() -> bytes:
    """A-RELEASE-RQ (PS3.8 §9.3.6)."""
    return pdu(RELEASE_RQ, bytes(4))


def abort(source: int = 0, reason: int = 0) -> bytes:
    """A-ABORT (PS3.8 §9.3.8)."""
    return pdu(ABORT, bytes([0, 0, source, reason]))


def pdv(
    context_id: int,
    fragment: bytes,
    *,
    command: bool = False,
    last: bool = True,
    length: int | None = None,
    control: int | None = None,
) -> bytes:
    """One PDV item (PS3.8 §9.3.5.1); `length` and `control` replace the right values."""
    if control is None:
        control = (1 if command else 0) | (2 if last else 0)
    body = bytes([context_id, control]) + fragment
    return struct.pack(">L", len(body) if length is None else length) + body


def p_data(*pdvs: bytes, length: int | None = None) -> bytes:
    """One P-DATA-TF of the given PDVs."""
    return pdu(P_DATA_TF, b"".join(pdvs), length=length)


def fragments(context_id: int, data: bytes, *, size: int = 16384 - 6) -> list[bytes]:
    """P-DATA-TFs that carry `data` as one data set in pieces of at most `size` bytes."""
    pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    return [
        p_data(pdv(context_id, piece, last=number == len(pieces) - 1))
        for number, piece in enumerate(pieces)
    ]


# ---- DIMSE command sets: Implicit VR Little Endian, group 0000 (PS3.7 §6.3) --------------------

GROUP_LENGTH, SOP_CLASS, COMMAND_FIELD = 0x0000, 0x0002, 0x0100
MESSAGE_ID, RESPONDED_ID, PRIORITY = 0x0110, 0x0120, 0x0700
DATA_SET_TYPE, STATUS, SOP_INSTANCE = 0x0800, 0x0900, 0x1000

C_STORE_RQ, C_FIND_RQ, C_ECHO_RQ, C_CANCEL_RQ, N_CREATE_RQ = 0x0001, 0x0020, 0x0030, 0x0FFF, 0x0140


def us(value: int) -> bytes:
    """A US value."""
    return struct.pack("<H", value)


def ui(value: str | bytes) -> bytes:
    """A UI value, padded to even length with NUL."""
    raw = text(value)
    return raw + b"\0" * (len(raw) % 2)


def command_element(number: int, value: bytes, *, length: int | None = None) -> bytes:
    """One element of group 0000."""
    return struct.pack("<HHL", 0, number, len(value) if length is None else length) + value


def command_set(elements: Sequence[tuple[int, bytes]], *, group_length: int | None = None) -> bytes:
    """A command set with its group length; -1 leaves the group length out."""
    body = b"".join(command_element(number, value) for number, value in elements)
    if group_length == -1:
        return body
    value = struct.pack("<L", len(body) if group_length is None else group_length)
    return command_element(GROUP_LENGTH, value) + body


def echo_elements(message_id: int = 1) -> list[tuple[int, bytes]]:
    """Elements of C-ECHO-RQ (PS3.7 Table 9.3-12)."""
    return [
        (SOP_CLASS, ui(VERIFICATION)),
        (COMMAND_FIELD, us(C_ECHO_RQ)),
        (MESSAGE_ID, us(message_id)),
        (DATA_SET_TYPE, us(0x0101)),
    ]


def c_echo_rq(message_id: int = 1) -> bytes:
    """Command set of C-ECHO-RQ."""
    return command_set(echo_elements(message_id))


def store_elements(
    sop_class: str | bytes, sop_instance: str | bytes, message_id: int = 1
) -> list[tuple[int, bytes]]:
    """Elements of C-STORE-RQ (PS3.7 Table 9.3-1)."""
    return [
        (SOP_CLASS, ui(sop_class)),
        (COMMAND_FIELD, us(C_STORE_RQ)),
        (MESSAGE_ID, us(message_id)),
        (PRIORITY, us(0)),
        (DATA_SET_TYPE, us(0x0001)),
        (SOP_INSTANCE, ui(sop_instance)),
    ]


def c_store_rq(sop_class: str | bytes, sop_instance: str | bytes, message_id: int = 1) -> bytes:
    """Command set of C-STORE-RQ."""
    return command_set(store_elements(sop_class, sop_instance, message_id))


def without(elements: list[tuple[int, bytes]], number: int) -> list[tuple[int, bytes]]:
    """The elements less one."""
    return [element for element in elements if element[0] != number]


def replaced(
    elements: list[tuple[int, bytes]], number: int, value: bytes
) -> list[tuple[int, bytes]]:
    """The elements with one value exchanged."""
    return [(n, value if n == number else v) for n, v in elements]


# ---- Reading what comes back -------------------------------------------------------------------


@dataclass(frozen=True)
class AcceptedContext:
    """One context of an A-ASSOCIATE-AC: its result (PS3.8 Table 9-18) and transfer syntax."""

    context_id: int
    result: int
    transfer_syntax: str


@dataclass(frozen=True)
class AssociateAc:
    """What an A-ASSOCIATE-AC says."""

    called: bytes
    calling: bytes
    contexts: dict[int, AcceptedContext]
    max_pdu: int | None = None
    class_uid: str = ""
    version: str = ""
    other_items: dict[int, bytes] = field(default_factory=dict)


def read_items(body: bytes) -> list[tuple[int, bytes]]:
    """Items of a variable field; fails when the lengths do not add up."""
    found = []
    while body:
        item_type, _, length = struct.unpack_from(">BBH", body)
        assert 4 + length <= len(body), "an item runs past its parent"
        found.append((item_type, body[4 : 4 + length]))
        body = body[4 + length :]
    return found


def read_associate_ac(body: bytes) -> AssociateAc:
    """Read the body of an A-ASSOCIATE-AC (PS3.8 §9.3.3)."""
    contexts: dict[int, AcceptedContext] = {}
    information: dict[int, bytes] = {}
    for item_type, value in read_items(body[68:]):
        if item_type == 0x21:
            syntax = dict(read_items(value[4:])).get(0x40, b"")
            uid = syntax.rstrip(b"\0").decode("ascii")
            contexts[value[0]] = AcceptedContext(value[0], value[2], uid)
        elif item_type == 0x50:
            information = dict(read_items(value))
        else:
            assert (item_type, value) == (0x10, APPLICATION_CONTEXT)
    return AssociateAc(
        called=body[4:20],
        calling=body[20:36],
        contexts=contexts,
        max_pdu=int.from_bytes(information.pop(0x51), "big") if 0x51 in information else None,
        class_uid=information.pop(0x52, b"").decode("ascii"),
        version=information.pop(0x55, b"").decode("ascii"),
        other_items=information,
    )


def read_command(data: bytes) -> dict[int, bytes]:
    """Elements of a command set; fails when it is not what PS3.7 §6.3.1 asks for."""
    found: dict[int, bytes] = {}
    at, previous = 0, -1
    while at < len(data):
        group, number, length = struct.unpack_from("<HHL", data, at)
        assert group == 0
        assert number > previous, "elements of a command set ascend"
        assert at + 8 + length <= len(data)
        found[number] = data[at + 8 : at + 8 + length]
        previous, at = number, at + 8 + length
    assert int.from_bytes(found[GROUP_LENGTH], "little") == len(data) - 12
    return found


def value_us(command: dict[int, bytes], number: int) -> int:
    """A US value of a command set."""
    assert len(command[number]) == 2
    return int.from_bytes(command[number], "little")
