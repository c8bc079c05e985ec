"""Synthetic instances for the load generator, and the check of what a receiver stored.

An instance is a *head* (a data set in Explicit VR Little Endian up to and with the header of Pixel
Data) followed by pixel bytes that repeat a *pattern* made from a seed.  ``tools/load`` sends it
with a SOP Instance UID of its own for every object; ``verify_stored`` makes the same bytes again
and compares.  The data sets are valid: receivers parse them.

Receivers get one study.  Archives get as many as the number of instances asks for (`Archived`):
25 instances to a series, one series to a study, two studies to a patient, so that 10,000 instances
are 400 studies: DCMTK's dcmqrscp holds 500.

Source: PS3.5 §7.1.2 (explicit VR), PS3.10 §7.1 (file meta information), PS3.3 (attributes of the
SOP classes named below).
"""

from __future__ import annotations

import array
import io
import math
import random
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pydicom

SEED = 7

#: Longest common period of the pixel pattern; larger than any cache line trick, smaller than L2.
PATTERN_BYTES = 1 << 20

#: ``2.25.`` and a number made once; the load generator appends ``.1<3 digits><8 digits>``.
UID_PREFIX = "2.25.287103519470318622371946803"
_UID_SUFFIX_CHARACTERS = len(".1") + 3 + 8

_CHUNK_BYTES = 1 << 20
_LONG_LENGTH_VRS = frozenset({"OB", "OW", "SQ", "UN", "UT"})


@dataclass(frozen=True)
class Digits:
    """Part of a value that depends on the instance's number n: ``n // divisor % modulus``."""

    width: int
    divisor: int
    modulus: int = 0

    def text(self, number: int) -> str:
        """Digits with leading zeros, as the tools write them."""
        value = number // self.divisor
        return f"{value % self.modulus if self.modulus else value:0{self.width}d}"


#: What a value is made of: the same for all instances, or not.
Part = str | Digits

INSTANCES_PER_STUDY = 25
INSTANCES_PER_PATIENT = 50
PATIENT = Digits(7, INSTANCES_PER_PATIENT)
STUDY = Digits(7, INSTANCES_PER_STUDY)


class Archived:
    """The values of an archived instance that differ; queries are made from the same parts."""

    patient_name: tuple[Part, ...] = ("Bänk", PATIENT, "^Benchmark")
    #: Matches ten patients with twenty studies, whatever the size of the archive.
    patient_name_prefix: tuple[Part, ...] = ("Bänk", Digits(6, 10 * INSTANCES_PER_PATIENT), "*")
    patient_id: tuple[Part, ...] = ("BENCH-", PATIENT)
    accession_number: tuple[Part, ...] = ("ACC", STUDY)
    study_uid: tuple[Part, ...] = (UID_PREFIX + ".21", STUDY)
    series_uid: tuple[Part, ...] = (UID_PREFIX + ".31", STUDY)
    study_id: tuple[Part, ...] = (STUDY,)
    study_date: tuple[Part, ...] = ("20", Digits(2, INSTANCES_PER_STUDY, 24), "0228")
    #: No archive indexes it by value.
    diagnoses: tuple[Part, ...] = ("Diagnosis ", STUDY)
    instance_number: tuple[Part, ...] = (Digits(2, 1, INSTANCES_PER_STUDY),)


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
    #: Offset in the head, and what stands there.
    fields: tuple[tuple[int, Digits], ...] = ()

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
            *(word for field in self.fields for word in ("--vary", field_argument(*field))),
        ]

    def head_of(self, uid: str) -> bytes:
        """Everything before the pixels, of the instance with this SOP Instance UID."""
        head = bytearray(self.head)
        head[self.uid_offset : self.uid_offset + len(uid)] = uid.encode("ascii")
        number = int(uid.removeprefix(UID_PREFIX + ".1"))
        for offset, digits in self.fields:
            head[offset : offset + digits.width] = digits.text(number).encode("ascii")
        return bytes(head)

    def sop_instance_uids(self, associations: int, objects: int) -> set[str]:
        """The UIDs that a load of this shape sends."""
        return {
            f"{UID_PREFIX}.1{association:03d}{number:08d}"
            for association in range(associations)
            for number in range(objects)
        }


class WrongAnswerError(RuntimeError):
    """A receiver said 0000H and did not keep what it was sent."""


def make(name: str, directory: Path, *, archived: bool = False, natural: bool = False) -> Corpus:
    """Write head and pattern of one kind under `directory` and describe them.

    With `archived` the instances belong to many patients and studies; with `natural` the pixels
    look like a slice's and can be compressed as one, where others are noise.
    """
    kind = KINDS[name]
    head, uid_offset, fields = _head(kind, archived=archived)
    if natural:
        pattern = _slice(kind)
    else:
        pattern = random.Random(SEED).randbytes(min(PATTERN_BYTES, kind.pixel_bytes))
    stem = name + "-archived" * archived + "-natural" * natural
    head_path, pattern_path = directory / f"{stem}.head", directory / f"{stem}.pattern"
    head_path.write_bytes(head)
    pattern_path.write_bytes(pattern)
    return Corpus(kind, head, pattern, uid_offset, head_path, pattern_path, tuple(fields))


def _slice(kind: Kind) -> bytes:
    """Pixels of 16 bits as a CT has them: nothing in the corners, air, soft tissue, bone, noise."""
    chance = random.Random(SEED)
    values = array.array("H")
    for row in range(kind.rows):
        y = 2 * row / kind.rows - 1
        for column in range(kind.columns):
            x = 2 * column / kind.columns - 1
            value = 0
            if x * x + y * y < 1:
                value = 24 + chance.getrandbits(3)
            if (x / 0.85) ** 2 + (y / 0.65) ** 2 < 1:
                tissue = 1064 + 40 * math.sin(5 * x + 2 * y) + 30 * y
                bone = 400 if x * x + (y - 0.35) ** 2 < 0.012 else 0
                value = int(tissue) + bone + chance.getrandbits(5)
            values.append(value)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def identifier(
    keys: Mapping[int, tuple[str, tuple[Part, ...]]],
) -> tuple[bytes, list[tuple[int, Digits]]]:
    """Encode an identifier (PS3.4 Annex C.4) from tag to VR and value.

    Returns its bytes and where ``tools/query`` has to write digits of the number it asks for.
    """
    encoded, fields = b"", []
    for tag in sorted(keys):
        vr, parts = keys[tag]
        fields += [(len(encoded) + 8 + at, digits) for at, digits in _varying(parts)]
        encoded += _text(tag >> 16, tag & 0xFFFF, vr, *parts)
    return encoded, fields


def field_argument(offset: int, digits: Digits) -> str:
    """One varying place, as the tools take it."""
    return f"{offset}:{digits.width}:{digits.divisor}:{digits.modulus}"


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


def verify_values(
    directory: Path, corpus: Corpus, *, associations: int, objects: int, sample: int
) -> None:
    """Check files that were encoded anew, or raise `WrongAnswerError`.

    Their number is checked, and every value of `sample` files, as pydicom reads it.
    """
    expected = corpus.sop_instance_uids(associations, objects)
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    if len(paths) != len(expected):
        raise WrongAnswerError(f"{len(paths)} files for {len(expected)} objects in {directory}")
    for path in paths[:: max(1, len(paths) // max(1, sample))]:
        stored = pydicom.dcmread(path)
        uid = str(stored.SOPInstanceUID)
        if uid not in expected:
            raise WrongAnswerError(f"{path}: unknown SOP Instance UID {uid}")
        sent = pydicom.dcmread(io.BytesIO(corpus.head_of(uid) + _pixels(corpus)), force=True)
        pixels = stored.PixelData
        if not stored.original_encoding[1] and corpus.kind.bits == 16:
            pixels = array.array("H", pixels)
            pixels.byteswap()
            pixels = pixels.tobytes()
        if pixels != sent.PixelData:
            raise WrongAnswerError(f"{path}: Pixel Data differs")
        for element in sent:
            if element.keyword != "PixelData" and stored[element.tag].value != element.value:
                raise WrongAnswerError(f"{path}: {element.keyword} differs")


def _pixels(corpus: Corpus) -> bytes:
    times = -(-corpus.kind.pixel_bytes // len(corpus.pattern))
    return (corpus.pattern * times)[: corpus.kind.pixel_bytes]


def _verify_file(path: Path, corpus: Corpus) -> str:
    """Compare the data set of one file with what was sent; return its SOP Instance UID."""
    with path.open("rb") as stored:
        start = stored.read(128 + 4 + 12)
        if start[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
            raise WrongAnswerError(f"{path}: no file meta information")
        stored.seek(int.from_bytes(start[140:144], "little"), 1)
        head = stored.read(len(corpus.head))
        uid_end = corpus.uid_offset + len(UID_PREFIX) + _UID_SUFFIX_CHARACTERS
        uid = head[corpus.uid_offset : uid_end].decode("ascii", "replace")
        if not uid.removeprefix(UID_PREFIX + ".1").isdigit() or head != corpus.head_of(uid):
            raise WrongAnswerError(f"{path}: the elements before Pixel Data differ")
        left = corpus.kind.pixel_bytes
        while left:
            wanted = corpus.pattern[: min(left, _CHUNK_BYTES)]
            if stored.read(len(wanted)) != wanted:
                raise WrongAnswerError(f"{path}: Pixel Data differs, {left} bytes before its end")
            left -= len(wanted)
        if stored.read(1):
            raise WrongAnswerError(f"{path}: bytes after the data set")
    return uid


def _head(kind: Kind, *, archived: bool) -> tuple[bytes, int, list[tuple[int, Digits]]]:
    """Encode everything before the pixels.

    Also return where SOP Instance UID's value starts, and what else varies.
    """
    uid = UID_PREFIX + ".1" + "0" * (_UID_SUFFIX_CHARACTERS - 2)
    small = struct.Struct("<H").pack
    many = Archived
    # Tag, VR and the value's parts: of one study for all, or of an archive.
    texts: list[tuple[int, str, tuple[Part, ...], tuple[Part, ...] | None]] = [
        (0x00080005, "CS", ("ISO_IR 100",), None),
        (0x00080008, "CS", (r"ORIGINAL\PRIMARY",), None),
        (0x00080016, "UI", (kind.sop_class_uid,), None),
        (0x00080018, "UI", (uid,), None),
        (0x00080020, "DA", ("20240229",), many.study_date),
        (0x00080030, "TM", ("101112.123456",), None),
        (0x00080050, "SH", ("ACC0007",), many.accession_number),
        (0x00080060, "CS", (kind.modality,), None),
        (0x00080064, "CS", ("SYN",), None),
        (0x00080070, "LO", ("Synthetic Systems",), None),
        (0x00080080, "LO", ("Hôpital du Banc d'Essai",), None),
        (0x00080090, "PN", ("Référent^Anne",), None),
        (0x00081030, "LO", ("Throughput study",), None),
        (0x0008103E, "LO", (f"{kind.name} series",), None),
        *([(0x00081080, "LO", many.diagnoses, None)] if archived else []),
        (0x00100010, "PN", ("Bänk^Benchmark",), many.patient_name),
        (0x00100020, "LO", ("BENCH-0007",), many.patient_id),
        (0x00100030, "DA", ("19700101",), None),
        (0x00100040, "CS", ("O",), None),
        (0x0020000D, "UI", (UID_PREFIX + ".2",), many.study_uid),
        (0x0020000E, "UI", (UID_PREFIX + ".3",), many.series_uid),
        (0x00200010, "SH", ("7",), many.study_id),
        (0x00200011, "IS", ("1",), None),
        (0x00200013, "IS", ("1",), many.instance_number),
    ]
    head, fields, uid_offset = b"", [], 0
    for tag, vr, one, varied in texts:
        parts = varied if archived and varied is not None else one
        if tag == 0x00080018:
            uid_offset = len(head) + 8
        fields += [(len(head) + 8 + at, digits) for at, digits in _varying(parts)]
        head += _text(tag >> 16, tag & 0xFFFF, vr, *parts)
    head += b"".join(
        [
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
    )
    return head, uid_offset, fields


def _varying(parts: tuple[Part, ...]) -> list[tuple[int, Digits]]:
    """Where in the value of these parts digits stand."""
    found, at = [], 0
    for part in parts:
        if isinstance(part, Digits):
            found.append((at, part))
        at += part.width if isinstance(part, Digits) else len(part)
    return found


def _text(group: int, element: int, vr: str, *parts: Part) -> bytes:
    texts = [part.text(0) if isinstance(part, Digits) else part for part in parts]
    encoded = "".join(texts).encode("latin-1")
    if len(encoded) % 2:
        encoded += b"\0" if vr == "UI" else b" "
    return _element(group, element, vr, encoded)


def _element(group: int, element: int, vr: str, value: bytes) -> bytes:
    assert vr not in _LONG_LENGTH_VRS
    return struct.pack("<HH2sH", group, element, vr.encode(), len(value)) + value
