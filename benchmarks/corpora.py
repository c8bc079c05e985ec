"""Synthetic instances for the load generator, and the check of what a receiver stored.

An instance is a *head* (a data set in Explicit VR Little Endian up to and with the header of Pixel
Data) followed by pixel bytes that repeat a *pattern* made from a seed.  ``tools/load`` sends it
with a SOP Instance UID of its own for every object; ``verify_stored`` makes the same bytes again
and compares.  The data sets are valid: receivers parse them.

Source: PS3.5 §7.1.2 (explicit VR), PS3.10 §7.1 (file meta information), PS3.3 (attributes of the
SOP classes named below).
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path

SEED = 7

#: Longest common period of the pixel pattern; larger than any cache line trick, smaller than L2.
PATTERN_BYTES = 1 << 20

#: ``2.25.`` and a number made once; the load generator appends ``.1<3 digits><8 digits>``.
UID_PREFIX = "2.25.287103519470318622371946803"
_UID_SUFFIX_CHARACTERS = len(".1") + 3 + 8

_CHUNK_BYTES = 1 << 20
_LONG_LENGTH_VRS = frozenset({"OB", "OW", "SQ", "UN", "UT"})


@dataclass(frozen=True)
class Kind:
    """One kind of instance, as the load generator needs it."""

    name: str
    sop_class_uid: str
    modality: str
    rows: int
    columns: int
    bits: int
    frames: int

    @property
    def pixel_bytes(self) -> int:
        """Length of the value of Pixel Data (7FE0,0010), in bytes."""
        return self.rows * self.columns * self.bits // 8 * self.frames


KINDS = {
    kind.name: kind
    for kind in (
        # About 1 KB: what a scheduler of many small structured objects sends; costs per object.
        Kind("tiny", "1.2.840.10008.5.1.4.1.1.7", "OT", 16, 16, 8, 1),
        # One CT slice, 525 KB.
        Kind("ct", "1.2.840.10008.5.1.4.1.1.2", "CT", 512, 512, 16, 1),
        # One digital radiograph, 20 MB.
        Kind("dx", "1.2.840.10008.5.1.4.1.1.1.1", "DX", 4000, 2500, 16, 1),
        # One multi-frame of 210 MB: memory must not grow with the object.
        Kind("mf", "1.2.840.10008.5.1.4.1.1.3.1", "US", 512, 512, 16, 400),
    )
}


@dataclass(frozen=True)
class Corpus:
    """The files and numbers that ``tools/load`` takes for one kind."""

    kind: Kind
    head: bytes
    pattern: bytes
    uid_offset: int
    head_path: Path
    pattern_path: Path

    @property
    def object_bytes(self) -> int:
        """Size of the data set of one instance."""
        return len(self.head) + self.kind.pixel_bytes

    def load_arguments(self) -> list[str]:
        """Arguments of ``tools/load`` that describe the instances."""
        return [
            *("--head", str(self.head_path), "--pattern", str(self.pattern_path)),
            *("--pixel-bytes", str(self.kind.pixel_bytes), "--uid-offset", str(self.uid_offset)),
            *("--uid-prefix", UID_PREFIX, "--sop-class", self.kind.sop_class_uid),
        ]

    def sop_instance_uids(self, associations: int, objects: int) -> set[str]:
        """The UIDs that a load of this shape sends."""
        return {
            f"{UID_PREFIX}.1{association:03d}{number:08d}"
            for association in range(associations)
            for number in range(objects)
        }


class WrongAnswerError(RuntimeError):
    """A receiver said 0000H and did not keep what it was sent."""


def make(name: str, directory: Path) -> Corpus:
    """Write head and pattern of one kind under `directory` and describe them."""
    kind = KINDS[name]
    head, uid_offset = _head(kind)
    pattern = random.Random(SEED).randbytes(min(PATTERN_BYTES, kind.pixel_bytes))
    head_path, pattern_path = directory / f"{name}.head", directory / f"{name}.pattern"
    head_path.write_bytes(head)
    pattern_path.write_bytes(pattern)
    return Corpus(kind, head, pattern, uid_offset, head_path, pattern_path)


def verify_stored(
    directory: Path, corpus: Corpus, *, associations: int, objects: int, sample: int
) -> None:
    """Check that `directory` holds what was acknowledged, or raise `WrongAnswerError`.

    The number of files and every size are checked, and of `sample` files, spread over the
    directory, every byte of the data set; a fast wrong answer is not a result.
    """
    expected = corpus.sop_instance_uids(associations, objects)
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    if len(paths) != len(expected):
        raise WrongAnswerError(f"{len(paths)} files for {len(expected)} objects in {directory}")
    for path in paths:
        extra = path.stat().st_size - corpus.object_bytes
        # File meta information takes 150 bytes at least, and nobody's takes more than 2 KB.
        if not 150 <= extra <= 2048:
            raise WrongAnswerError(f"{path}: {extra} bytes more than the data set")
    step = max(1, len(paths) // max(1, sample))
    seen = {_verify_file(path, corpus) for path in paths[::step]}
    if not seen <= expected:
        raise WrongAnswerError(f"unknown SOP Instance UIDs: {sorted(seen - expected)[:3]}")
    if len(seen) != len(paths[::step]):
        raise WrongAnswerError("two files hold the same SOP Instance UID")


def _verify_file(path: Path, corpus: Corpus) -> str:
    """Compare the data set of one file with what was sent; return its SOP Instance UID."""
    with path.open("rb") as stored:
        start = stored.read(128 + 4 + 12)
        if start[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
            raise WrongAnswerError(f"{path}: no file meta information")
        stored.seek(int.from_bytes(start[140:144], "little"), 1)
        head = stored.read(len(corpus.head))
        uid_end = corpus.uid_offset + len(UID_PREFIX) + _UID_SUFFIX_CHARACTERS
        uid = head[corpus.uid_offset : uid_end]
        if head != corpus.head[: corpus.uid_offset] + uid + corpus.head[uid_end:]:
            raise WrongAnswerError(f"{path}: the elements before Pixel Data differ")
        left = corpus.kind.pixel_bytes
        while left:
            wanted = corpus.pattern[: min(left, _CHUNK_BYTES)]
            if stored.read(len(wanted)) != wanted:
                raise WrongAnswerError(f"{path}: Pixel Data differs, {left} bytes before its end")
            left -= len(wanted)
        if stored.read(1):
            raise WrongAnswerError(f"{path}: bytes after the data set")
    return uid.decode("ascii")


def _head(kind: Kind) -> tuple[bytes, int]:
    """Encode everything before the pixels; also return where SOP Instance UID's value starts."""
    uid = UID_PREFIX + ".1" + "0" * (_UID_SUFFIX_CHARACTERS - 2)
    before = [
        _text(0x0008, 0x0005, "CS", "ISO_IR 100"),
        _text(0x0008, 0x0008, "CS", r"ORIGINAL\PRIMARY"),
        _text(0x0008, 0x0016, "UI", kind.sop_class_uid),
    ]
    uid_offset = sum(map(len, before)) + 8
    small = struct.Struct("<H").pack
    after = [
        _text(0x0008, 0x0018, "UI", uid),
        _text(0x0008, 0x0020, "DA", "20240229"),
        _text(0x0008, 0x0030, "TM", "101112.123456"),
        _text(0x0008, 0x0050, "SH", "ACC0007"),
        _text(0x0008, 0x0060, "CS", kind.modality),
        _text(0x0008, 0x0064, "CS", "SYN"),
        _text(0x0008, 0x0070, "LO", "Synthetic Systems"),
        _text(0x0008, 0x0080, "LO", "Hôpital du Banc d'Essai"),
        _text(0x0008, 0x0090, "PN", "Référent^Anne"),
        _text(0x0008, 0x1030, "LO", "Throughput study"),
        _text(0x0008, 0x103E, "LO", f"{kind.name} series"),
        _text(0x0010, 0x0010, "PN", "Bänk^Benchmark"),
        _text(0x0010, 0x0020, "LO", "BENCH-0007"),
        _text(0x0010, 0x0030, "DA", "19700101"),
        _text(0x0010, 0x0040, "CS", "O"),
        _text(0x0020, 0x000D, "UI", UID_PREFIX + ".2"),
        _text(0x0020, 0x000E, "UI", UID_PREFIX + ".3"),
        _text(0x0020, 0x0010, "SH", "7"),
        _text(0x0020, 0x0011, "IS", "1"),
        _text(0x0020, 0x0013, "IS", "1"),
        _element(0x0028, 0x0002, "US", small(1)),
        _text(0x0028, 0x0004, "CS", "MONOCHROME2"),
        *([_text(0x0028, 0x0008, "IS", str(kind.frames))] if kind.frames > 1 else []),
        _element(0x0028, 0x0010, "US", small(kind.rows)),
        _element(0x0028, 0x0011, "US", small(kind.columns)),
        _text(0x0028, 0x0030, "DS", r"0.703125\0.703125"),
        _element(0x0028, 0x0100, "US", small(kind.bits)),
        _element(0x0028, 0x0101, "US", small(kind.bits)),
        _element(0x0028, 0x0102, "US", small(kind.bits - 1)),
        _element(0x0028, 0x0103, "US", small(0)),
        struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, kind.pixel_bytes),
    ]
    return b"".join(before + after), uid_offset


def _text(group: int, element: int, vr: str, value: str) -> bytes:
    encoded = value.encode("latin-1")
    if len(encoded) % 2:
        encoded += b"\0" if vr == "UI" else b" "
    return _element(group, element, vr, encoded)


def _element(group: int, element: int, vr: str, value: bytes) -> bytes:
    assert vr not in _LONG_LENGTH_VRS
    return struct.pack("<HH2sH", group, element, vr.encode(), len(value)) + value
