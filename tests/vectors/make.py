"""Synthetic data sets as bytes, built by hand from PS3.5 §7; the same seed gives the same bytes.

Like ``testkit.pdu`` it shares no code with dcmfast or pydicom, so that it can also say what no good
program says: lengths that lie, sequences that never end, tags that do not belong. As a script it
writes the objects as files: ``python tests/vectors/make.py DIRECTORY [SEED]``.
"""

from __future__ import annotations

import random
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

CT = "1.2.840.10008.5.1.4.1.1.2"
#: Root of all UIDs made here: 2.25 of a UUID that was drawn once for this file.
ROOT = "2.25.302851498762214875532194073184556"

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
PIXEL_DATA = (0x7FE0, 0x0010)

#: VRs whose explicit header has two reserved bytes and a 4-byte length (PS3.5 §7.1.2).
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})

Tag = tuple[int, int]


@dataclass(frozen=True)
class Syntax:
    """How elements are written: with VR or without, and in which byte order."""

    explicit: bool = True
    big: bool = False

    @classmethod
    def of(cls, uid: str) -> Syntax:
        """The encoding of a transfer syntax's data set."""
        return cls(explicit=uid != IMPLICIT, big=uid == BIG_ENDIAN)

    def tag(self, tag: Tag) -> bytes:
        """A tag."""
        return struct.pack(">HH" if self.big else "<HH", *tag)

    def header(self, tag: Tag, vr: str | bytes, length: int) -> bytes:
        """Tag, VR where explicit, and length."""
        order = ">" if self.big else "<"
        if not self.explicit or tag[0] == 0xFFFE:
            return self.tag(tag) + struct.pack(order + "L", length)
        code = vr if isinstance(vr, bytes) else vr.encode("ascii")
        if code.decode("latin-1") in LONG_VRS:
            return self.tag(tag) + code + b"\0\0" + struct.pack(order + "L", length)
        return self.tag(tag) + code + struct.pack(order + "H", length)

    def element(
        self, tag: Tag, vr: str | bytes, value: bytes | str | int, *, length: int | None = None
    ) -> bytes:
        """One element; text is padded to even length, `length` lies when it is given."""
        if isinstance(value, int):
            value = struct.pack((">" if self.big else "<") + {"US": "H", "UL": "L"}[str(vr)], value)
        elif isinstance(value, str):
            value = value.encode("latin-1")
            value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
        return self.header(tag, vr, len(value) if length is None else length) + value

    def item(self, content: bytes, *, undefined: bool = False) -> bytes:
        """One item of a sequence."""
        if undefined:
            return self.header(ITEM, "", UNDEFINED) + content + self.header(ITEM_END, "", 0)
        return self.header(ITEM, "", len(content)) + content

    def sequence(self, tag: Tag, items: Sequence[bytes], *, undefined: bool = False) -> bytes:
        """A sequence of items that `item` has made."""
        content = b"".join(items)
        if undefined:
            return self.header(tag, "SQ", UNDEFINED) + content + self.header(SEQUENCE_END, "", 0)
        return self.header(tag, "SQ", len(content)) + content

    def nested(self, tag: Tag, depth: int) -> bytes:
        """`depth` sequences of undefined length inside each other, built without recursion."""
        opening = self.header(tag, "SQ", UNDEFINED) + self.header(ITEM, "", UNDEFINED)
        closing = self.header(ITEM_END, "", 0) + self.header(SEQUENCE_END, "", 0)
        return opening * depth + closing * depth

    def encapsulated(self, frames: Sequence[bytes]) -> bytes:
        """Encapsulated Pixel Data with an empty offset table (PS3.5 §A.4)."""
        fragments = b"".join(self.item(frame) for frame in frames)
        return (
            self.header(PIXEL_DATA, "OB", UNDEFINED)
            + self.item(b"")
            + fragments
            + self.header(SEQUENCE_END, "", 0)
        )


@dataclass(frozen=True)
class SyntheticObject:
    """A data set and the UIDs that its C-STORE-RQ names."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


def uid(*numbers: int) -> str:
    """A UID under this file's root."""
    return ".".join([ROOT, *map(str, numbers)])


def ct(
    number: int = 1,
    *,
    seed: int = 7,
    study: int = 1,
    transfer_syntax_uid: str = EXPLICIT,
    rows: int = 16,
    columns: int = 16,
    patient_name: str = "Synthetic^Patient",
    series_date: str | None = "20200103",
    sop_class_uid: str | None = CT,
    sop_instance_uid: str | None = None,
    command_instance_uid: str | None = None,
    study_instance_uid: str | None = None,
    middle: bytes = b"",
    tail: bytes = b"",
    charset: str | None = None,
) -> SyntheticObject:
    """One CT slice of random pixels. `middle` stands before Pixel Data, `tail` after it.

    The data set's own UIDs are left out when they are empty text; the command's may differ.
    """
    noise = random.Random(f"{seed}/{study}/{number}")
    instance = uid(seed, study, number) if sop_instance_uid is None else sop_instance_uid
    study_uid = uid(seed, study) if study_instance_uid is None else study_instance_uid
    write = Syntax.of(transfer_syntax_uid)
    pixels = noise.randbytes(rows * columns * 2)
    parts = []
    if charset:
        parts.append(write.element((0x0008, 0x0005), "CS", charset))
    if sop_class_uid:
        parts.append(write.element((0x0008, 0x0016), "UI", sop_class_uid))
    if instance:
        parts.append(write.element((0x0008, 0x0018), "UI", instance))
    parts.append(write.element((0x0008, 0x0020), "DA", "20200102"))
    if series_date is not None:
        parts.append(write.element((0x0008, 0x0021), "DA", series_date))
    parts += [
        write.element((0x0008, 0x0060), "CS", "CT"),
        write.element((0x0010, 0x0010), "PN", patient_name),
        write.element((0x0010, 0x0020), "LO", f"ID{study}"),
    ]
    if study_uid:
        parts.append(write.element((0x0020, 0x000D), "UI", study_uid))
    parts += [
        write.element((0x0020, 0x000E), "UI", uid(seed, study, 0)),
        write.element((0x0020, 0x0013), "IS", str(number)),
        write.element((0x0028, 0x0002), "US", 1),
        write.element((0x0028, 0x0004), "CS", "MONOCHROME2"),
        write.element((0x0028, 0x0010), "US", rows),
        write.element((0x0028, 0x0011), "US", columns),
        write.element((0x0028, 0x0100), "US", 16),
        write.element((0x0028, 0x0101), "US", 16),
        write.element((0x0028, 0x0102), "US", 15),
        write.element((0x0028, 0x0103), "US", 0),
        middle,
        write.element(PIXEL_DATA, "OW", pixels),
        tail,
    ]
    data_set = b"".join(parts)
    if transfer_syntax_uid == DEFLATED:
        data_set = deflate(data_set)
    return SyntheticObject(
        sop_class_uid or CT,
        command_instance_uid or instance or uid(seed, study, number),
        study_uid,
        transfer_syntax_uid,
        data_set,
    )


def deflate(data: bytes) -> bytes:
    """Raw deflate without header, padded to even length (PS3.5 §A.5)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


def part10(made: SyntheticObject) -> bytes:
    """The object as a file: preamble, file meta information, data set (PS3.10 §7.1)."""
    write = Syntax()
    group = b"".join(
        [
            write.element((0x0002, 0x0001), "OB", b"\0\1"),
            write.element((0x0002, 0x0002), "UI", made.sop_class_uid),
            write.element((0x0002, 0x0003), "UI", made.sop_instance_uid),
            write.element((0x0002, 0x0010), "UI", made.transfer_syntax_uid),
            write.element((0x0002, 0x0012), "UI", uid(0)),
        ]
    )
    length = write.element((0x0002, 0x0000), "UL", len(group))
    return bytes(128) + b"DICM" + length + group + made.data_set


def main() -> None:
    """Write twelve slices in each uncompressed transfer syntax."""
    directory = Path(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    directory.mkdir(parents=True, exist_ok=True)
    for study, syntax in enumerate((IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED), start=1):
        for number in range(1, 13):
            made = ct(number, seed=seed, study=study, transfer_syntax_uid=syntax)
            (directory / f"{made.sop_instance_uid}.dcm").write_bytes(part10(made))


if __name__ == "__main__":
    main()
