"""PS3.5 §7 and Annex A: data sets that break their own grammar, and those that only look odd.

PROMISES.md §2.5 with the statuses of PS3.4 §B.2.3. A failure leaves nothing visible (DIFFERENCES.md
A4, A9), and the association lives on: the sender's other ten thousand objects are good. Under `+B`
the check is off, as in DCMTK, and what came is kept.
"""

from __future__ import annotations

import struct
import time
import zlib
from dataclasses import dataclass

import pytest

from testkit import pdu
from testkit.checks import assert_nothing_stored, assert_still_serves
from testkit.corpus import split_part10
from testkit.kinds import Connect, StartReceiver
from testkit.process import Receiver
from vectors import make

EXPLICIT, IMPLICIT = make.Syntax(), make.Syntax(explicit=False)
CANNOT_UNDERSTAND = range(0xC000, 0xD000)
DOES_NOT_MATCH = range(0xA900, 0xAA00)
OUT_OF_RESOURCES = range(0xA700, 0xA800)

CONTEXTS: tuple[pdu.Context, ...] = (
    (1, pdu.VERIFICATION, [pdu.IMPLICIT]),
    (3, pdu.CT, [pdu.EXPLICIT]),
    (5, pdu.CT, [pdu.IMPLICIT]),
    (7, pdu.CT, [pdu.BIG_ENDIAN]),
    (9, pdu.CT, [pdu.DEFLATED]),
    (11, pdu.CT, [pdu.JPEG_BASELINE]),
)
UID = make.uid(7, 1, 1)
SEQUENCE = (0x0040, 0x0275)
SEQUENCE_HEADER = EXPLICIT.header(SEQUENCE, "SQ", make.UNDEFINED)
PRIVATE = (0x0009, 0x1010)


def ct(middle: bytes = b"", tail: bytes = b"", syntax: str = pdu.EXPLICIT) -> bytes:
    """A good CT with something before or behind its Pixel Data."""
    return make.ct(1, middle=middle, tail=tail, transfer_syntax_uid=syntax).data_set


def encapsulated(pixels: bytes) -> bytes:
    """A data set whose Pixel Data is given whole."""
    return ct().rsplit(EXPLICIT.header(make.PIXEL_DATA, "OW", 512), 1)[0] + pixels


GOOD = ct()
FRAMES = EXPLICIT.encapsulated([b"\xff\xd8" + bytes(100), b"\xff\xd8" + bytes(60)])

#: (name, context, data set): structure is broken, the answer is CxxxH and nothing is kept.
BROKEN: list[tuple[str, int, bytes]] = [
    ("ends inside an element header", 3, GOOD + b"\xe1\x7f\x10"),
    ("ends after a tag", 3, GOOD + b"\xe1\x7f\x10\x00"),
    ("ends inside a value", 3, GOOD[:-1]),
    ("ends inside the first element", 3, GOOD[:5]),
    ("length past the end", 3, GOOD + EXPLICIT.element((0x7FE1, 0x1010), "OB", b"12", length=999)),
    ("length of 4 GiB", 3, GOOD + EXPLICIT.element((0x7FE1, 0x1010), "OB", b"", length=0xFFFFFFF0)),
    ("sequence never closed", 3, ct(SEQUENCE_HEADER + EXPLICIT.item(b""))),
    ("sequence never closed, at the end", 3, GOOD + EXPLICIT.header((0x7FE1, 0x1010), "SQ",
     make.UNDEFINED)),
    ("item never closed", 3, GOOD + EXPLICIT.header((0x7FE1, 0x1010), "SQ", make.UNDEFINED)
     + EXPLICIT.header(make.ITEM, "", make.UNDEFINED)),
    ("sequence delimiter without sequence", 3, ct(EXPLICIT.header(make.SEQUENCE_END, "", 0))),
    ("item delimiter without item", 3, ct(EXPLICIT.header(make.ITEM_END, "", 0))),
    ("item at top level", 3, ct(EXPLICIT.item(b""))),
    ("group 0000 inside", 3, EXPLICIT.element((0x0000, 0x0002), "UI", "1.2") + GOOD),
    ("group 0002 inside", 3, EXPLICIT.element((0x0002, 0x0010), "UI", "1.2.3") + GOOD),
    ("item past its sequence", 3, ct(EXPLICIT.header(SEQUENCE, "SQ", 8)
     + EXPLICIT.header(make.ITEM, "", 40))),
    ("element past its item", 3, ct(EXPLICIT.sequence(SEQUENCE, [EXPLICIT.header(make.ITEM, "", 8)
     + EXPLICIT.header((0x0008, 0x0060), "CS", 2)]))),
    ("an element where an item is due", 3, ct(EXPLICIT.sequence(SEQUENCE,
     [EXPLICIT.element((0x0008, 0x0060), "CS", "CT")]))),
    ("undefined length of US", 3, ct(EXPLICIT.header((0x0028, 0x0106), b"UL", 0)[:4]
     + b"OF\0\0" + b"\xff" * 4)),
    ("undefined length of OB outside Pixel Data's form", 3, GOOD
     + EXPLICIT.header((0x7FE1, 0x1010), "OD", make.UNDEFINED)),
    ("129 nested sequences", 3, ct(EXPLICIT.nested(SEQUENCE, 129))),
    ("100,000 nested sequences", 3, ct(EXPLICIT.nested(SEQUENCE, 100_000))),
    ("100,000 nested sequences, implicit", 5, ct(IMPLICIT.nested(SEQUENCE, 100_000),
     syntax=pdu.IMPLICIT)),
    ("100,000 openings and no end", 3, ct((SEQUENCE_HEADER
     + EXPLICIT.header(make.ITEM, "", make.UNDEFINED)) * 100_000)),
    ("explicit data under an implicit context", 5, GOOD),
    ("implicit data under an explicit context", 3, ct(syntax=pdu.IMPLICIT)),
    ("little endian under big", 7, GOOD),
    ("big endian under little", 3, ct(syntax=pdu.BIG_ENDIAN)),
    ("a file with its preamble", 3, make.part10(make.ct(1))),
    ("garbage", 3, bytes(range(256)) * 16),
    ("no deflate at all", 9, b"this is no deflated data" * 9),
    ("deflate stream cut", 9, make.deflate(GOOD)[:-40]),
    ("deflate stream of a cut data set", 9, make.deflate(GOOD[:-9])),
    ("deflate stream corrupt", 9, make.deflate(GOOD)[:60] + b"\xff" * 40
     + make.deflate(GOOD)[100:]),
    ("frames without delimiter", 11, encapsulated(FRAMES[:-8])),
    ("fragment past the end", 11, encapsulated(FRAMES[:-30])),
    ("an element among the fragments", 11, encapsulated(
     EXPLICIT.header(make.PIXEL_DATA, "OB", make.UNDEFINED)
     + EXPLICIT.element((0x0008, 0x0060), "CS", "CT"))),
    ("fragment of undefined length", 11, encapsulated(
     EXPLICIT.header(make.PIXEL_DATA, "OB", make.UNDEFINED) + EXPLICIT.item(b"")
     + EXPLICIT.header(make.ITEM, "", make.UNDEFINED) + bytes(8))),
]  # fmt: skip

#: Odd, but whole: stored as it is. Those marked may be refused with CxxxH as well.
ODD: list[tuple[str, int, bytes, bool]] = [
    ("odd length", 3, ct(EXPLICIT.element(PRIVATE, "LO", b"abc")), False),
    ("tags that do not ascend", 3, ct(EXPLICIT.element((0x0008, 0x0070), "LO", "X ")), True),
    ("a tag that comes twice", 3, ct(EXPLICIT.element((0x0028, 0x0010), "US", 16)), True),
    ("unknown VR", 3, ct(EXPLICIT.element((0x0029, 0x1010), "ZZ", b"ab")), True),
    ("VR of no letters", 3, ct(EXPLICIT.element((0x0029, 0x1010), b"\x01\x02", b"ab")), True),
    ("128 nested sequences", 3, ct(EXPLICIT.nested(SEQUENCE, 128)), False),
    ("items of defined length", 3, ct(EXPLICIT.sequence(SEQUENCE, [EXPLICIT.item(
     EXPLICIT.element((0x0008, 0x0060), "CS", "CT"))] * 3)), False),
    ("empty sequence", 3, ct(EXPLICIT.sequence(SEQUENCE, [])), False),
    ("empty sequence of undefined length", 3, ct(EXPLICIT.sequence(SEQUENCE, [], undefined=True)),
     False),
    ("private UN of undefined length", 3, ct(EXPLICIT.header((0x0029, 0x1010), "UN",
     make.UNDEFINED) + IMPLICIT.item(IMPLICIT.element((0x0008, 0x0060), "CS", "CT"),
     undefined=True) + IMPLICIT.header(make.SEQUENCE_END, "", 0)), False),
    ("group lengths", 3, ct(EXPLICIT.element((0x0028, 0x0000), "UL", 4)), True),
    ("trailing padding", 3, ct(tail=EXPLICIT.element((0xFFFC, 0xFFFC), "OB", bytes(64))), False),
    ("elements after Pixel Data", 3, ct(tail=EXPLICIT.element((0x7FE1, 0x1010), "LO", "AB")),
     False),
    ("frames", 11, encapsulated(FRAMES), False),
    ("an offset table that lies", 11, encapsulated(
     EXPLICIT.header(make.PIXEL_DATA, "OB", make.UNDEFINED)
     + EXPLICIT.item(struct.pack("<LL", 0, 0xFFFF_FFF0)) + EXPLICIT.item(bytes(10))
     + EXPLICIT.header(make.SEQUENCE_END, "", 0)), False),
    ("implicit", 5, ct(syntax=pdu.IMPLICIT), False),
    ("big endian", 7, ct(syntax=pdu.BIG_ENDIAN), False),
    ("deflated", 9, make.deflate(GOOD), False),
]  # fmt: skip


@pytest.fixture(scope="module")
def receiver(shared_scp: StartReceiver) -> Receiver:
    """Accepts everything, as the contexts above need it."""
    return shared_scp("storescp", "+xa")


@pytest.fixture(scope="module")
def bit_preserving(shared_scp: StartReceiver) -> Receiver:
    """The same with `+B`."""
    return shared_scp("storescp", "+xa", "+B")


@pytest.mark.parametrize(("name", "context_id", "data"), BROKEN, ids=[one[0] for one in BROKEN])
def test_a_broken_data_set_is_refused(
    name: str, context_id: int, data: bytes, receiver: Receiver, scripted_peer: Connect
) -> None:
    """P12: no success without the bytes; the association lives on."""
    peer = scripted_peer(receiver)
    peer.associate(CONTEXTS)
    started = time.monotonic()
    status = peer.store(context_id, pdu.CT, UID, data)
    assert status in CANNOT_UNDERSTAND or status in DOES_NOT_MATCH, f"{status:04X}H"
    assert time.monotonic() - started < 5
    peer.echo()
    assert_nothing_stored(receiver)
    assert_still_serves(receiver)


@pytest.mark.parametrize(
    ("name", "context_id", "data", "refusal_is_right"), ODD, ids=[one[0] for one in ODD]
)
def test_an_odd_data_set_is_stored_as_it_is(
    name: str,
    context_id: int,
    data: bytes,
    refusal_is_right: bool,
    receiver: Receiver,
    bit_preserving: Receiver,
    scripted_peer: Connect,
) -> None:
    """P13: it is taken, and with `+B` what is stored is what was sent, byte for byte."""
    peer = scripted_peer(receiver)
    peer.associate(CONTEXTS)
    status = peer.store(context_id, pdu.CT, UID, data)
    peer.echo()
    if status in CANNOT_UNDERSTAND and refusal_is_right:
        assert_nothing_stored(receiver)
        return
    assert status == 0, f"{status:04X}H"
    (stored,) = receiver.files()
    stored.unlink()
    peer = scripted_peer(bit_preserving)
    peer.associate(CONTEXTS)
    assert peer.store(context_id, pdu.CT, UID, data) == 0
    (stored,) = bit_preserving.files()
    kept = split_part10(stored.read_bytes())[1]
    stored.unlink()
    assert kept == data


@pytest.mark.parametrize(("name", "context_id", "data"), BROKEN, ids=[one[0] for one in BROKEN])
def test_bit_preserving_mode_keeps_what_came(
    name: str, context_id: int, data: bytes, bit_preserving: Receiver, scripted_peer: Connect
) -> None:
    """P12: under `+B` storescp keeps everything, as DCMTK does."""
    peer = scripted_peer(bit_preserving)
    peer.associate(CONTEXTS)
    assert peer.store(context_id, pdu.CT, UID, data) == 0
    (stored,) = bit_preserving.files()
    # The data set may begin with group 0002: the header's own length says where it ends.
    raw = stored.read_bytes()
    length = int.from_bytes(raw[140:144], "little")
    assert raw[144 + length :] == data
    stored.unlink()


@dataclass(frozen=True)
class Mismatch:
    """UIDs of command and data set that disagree, and each tool's status (DIFFERENCES.md C6)."""

    name: str
    made: make.SyntheticObject
    command_class: str
    command_instance: str
    storescp: int
    dcmrecv: int


MISMATCHES = [
    Mismatch("class differs", make.ct(1, sop_class_uid=pdu.MR), pdu.CT, UID, 0xA900, 0),
    Mismatch("instance differs", make.ct(1), pdu.CT, make.uid(1, 2, 3), 0xA900, 0),
    Mismatch("no class", make.ct(1, sop_class_uid=""), pdu.CT, UID, 0xC000, 0),
    Mismatch("no instance", make.ct(1, sop_instance_uid=""), pdu.CT, UID, 0xC000, 0),
]
EMPTY = {"storescp": 0xA700, "dcmrecv": 0xC000}


def arguments_of(tool: str) -> list[str]:
    """Dcmrecv without a profile takes Verification only."""
    return ["-xf", "/etc/dcmtk/storescp.cfg", "Default"] if tool == "dcmrecv" else []


@pytest.mark.parametrize("implementation", ["dcmfast", "dcmtk"])
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
@pytest.mark.parametrize("mode", ["normal", "+B"])
def test_statuses_of_each_tool(
    implementation: str,
    tool: str,
    mode: str,
    running_scp: StartReceiver,
    scripted_peer: Connect,
) -> None:
    """DCMTK 3.6.7; a failure leaves nothing (A9, where DCMTK keeps the file)."""
    arguments = arguments_of(tool) + (["+B"] if mode == "+B" else [])
    receiver = running_scp(tool, *arguments, implementation=implementation)
    peer = scripted_peer(receiver)
    peer.associate(CONTEXTS[:2])
    for case in MISMATCHES:
        status = peer.store(3, case.command_class, case.command_instance, case.made.data_set)
        wanted = 0 if mode == "+B" else getattr(case, tool)
        assert status == wanted, f"{case.name}: {status:04X}H"
        if receiver.is_ours:
            assert len(receiver.files()) == (1 if status == 0 else 0), case.name
        for path in receiver.files():
            assert case.command_instance in path.name
            path.unlink()
    status = peer.store(3, pdu.CT, UID, b"")
    assert status == (0 if mode == "+B" else EMPTY[tool]), f"empty: {status:04X}H"
    peer.echo()


def test_a_hundred_thousand_elements_take_linear_time(
    receiver: Receiver, scripted_peer: Connect
) -> None:
    """P16: twice the elements take twice the time, not four times; memory stays."""
    peer = scripted_peer(receiver)
    peer.associate(CONTEXTS)
    times = []
    for count in (100_000, 200_000):
        many = b"".join(
            EXPLICIT.element((0x0029, 0x1000 + n % 0xEFF), "LO", "AB") for n in range(count)
        )
        items = EXPLICIT.sequence((0x0029, 0x10FF), [EXPLICIT.item(b"")] * count)
        before = receiver.cpu_s()
        status = peer.store(3, pdu.CT, UID, ct(items + many))
        times.append(receiver.cpu_s() - before)
        assert status == 0 or status in CANNOT_UNDERSTAND or status in OUT_OF_RESOURCES
        for path in receiver.files():
            path.unlink()
    # One clock tick is 10 ms: below ten of them a ratio says nothing.
    assert times[1] < max(3.0 * times[0], 0.5)


@pytest.mark.parametrize("form", ["zeros", "elements", "nested deflate blocks"])
def test_a_deflate_bomb_costs_its_bytes_only(
    form: str, receiver: Receiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.5: inflate as a stream; no gigabytes in memory or on disk."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = make.ct(1, rows=1, columns=1).data_set
    bomb = packer.compress(head)
    if form == "zeros":
        bomb += packer.compress(EXPLICIT.header((0x7FE1, 0x1010), "OB", 1 << 30))
        block = bytes(1 << 20)
        for _ in range(1024):
            bomb += packer.compress(block)
    elif form == "elements":
        block = EXPLICIT.element((0x7FE1, 0x1010), "LO", "AB") * 100_000
        for _ in range(200):
            bomb += packer.compress(block)
    else:
        for _ in range(20_000):
            bomb += packer.flush(zlib.Z_FULL_FLUSH)
    bomb += packer.flush()
    bomb += b"\0" * (len(bomb) % 2)
    before_kib, before_s = receiver.private_kib(), receiver.cpu_s()
    peer = scripted_peer(receiver, answer_s=60)
    peer.associate(CONTEXTS)
    status = peer.store(9, pdu.CT, UID, bomb)
    assert status == 0 or status in CANNOT_UNDERSTAND or status in OUT_OF_RESOURCES
    assert receiver.private_kib() - before_kib < 64 * 1024
    assert receiver.cpu_s() - before_s < 20
    for path in receiver.files():
        assert path.stat().st_size < len(bomb) + 4096
        path.unlink()
    assert_still_serves(receiver)


def test_after_a_refusal_the_next_message_is_understood(
    receiver: Receiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §2.5: the refused rest is read and thrown away, not taken for a command."""
    peer = scripted_peer(receiver)
    peer.associate(CONTEXTS)
    for number in range(20):
        bad = make.ct(number, rows=128, columns=128)
        broken = EXPLICIT.header(make.ITEM_END, "", 0) + bad.data_set
        assert peer.store(3, pdu.CT, bad.sop_instance_uid, broken) in CANNOT_UNDERSTAND
        assert peer.store(3, pdu.CT, bad.sop_instance_uid, bad.data_set) == 0
    assert len(receiver.files()) == 20
    for path in receiver.files():
        path.unlink()
