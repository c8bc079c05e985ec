"""``dcmfast.read`` and ``dcmfast.write`` beside pydicom's own, on pydicom's own files."""

from __future__ import annotations

import copy
import io
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pydicom.encaps
import pytest
from pydicom.hooks import hooks, raw_element_value
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

import dcmfast
from dcmfast import limits
from dcmfast._cython import element_view
from dcmfast.dataset import files
from testkit.same_as_pydicom import (
    Outcome,
    assert_same,
    bundled_file,
    bundled_files,
    outcome_of,
    touch,
)

#: Files of pydicom's that are left to its own reader, with the reason.
DELEGATED = {
    "SC_rgb_jpeg.dcm": "headers are not of the form that the transfer syntax says",
    "crayons.icc": "no DICOM at all; read with force only",
}

READ_ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"force": True},
    {"stop_before_pixels": True},
    {"specific_tags": ["PatientName", "0x00081140", (0x0040, 0xA730)]},
    {"specific_tags": [0x00080016, "PixelData", "DirectoryRecordSequence"]},
    {"specific_tags": []},
    {"defer_size": 0},
    {"defer_size": 64, "stop_before_pixels": True},
    {"defer_size": "1 KB", "force": True},
]


def assert_same_outcome(ours: Outcome, theirs: Outcome) -> None:
    assert ours.error == theirs.error
    assert ours.warnings == theirs.warnings
    if theirs.error is None:
        assert_same(ours.value, theirs.value)


def assert_same_when_touched(ours: Outcome, theirs: Outcome) -> None:
    """The same again after every value was looked at, with the same warnings meanwhile."""
    assert_same_outcome(ours, theirs)
    if theirs.value is None:
        return
    our_touch = outcome_of(lambda: touch(ours.value))
    their_touch = outcome_of(lambda: touch(theirs.value))
    assert (our_touch.error, our_touch.warnings) == (their_touch.error, their_touch.warnings)
    assert_same(ours.value, theirs.value)


# ---- Reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", READ_ARGUMENTS, ids=str)
def test_paths_are_read_as_pydicom_reads_them(arguments: dict[str, Any]) -> None:
    for path in bundled_files():
        ours = outcome_of(lambda path=path: dcmfast.read(path, **arguments))
        theirs = outcome_of(lambda path=path: pydicom.dcmread(path, **arguments))
        assert_same_when_touched(ours, theirs)
        if theirs.value is not None:
            is_delegated = type(ours.value) is pydicom.FileDataset
            assert is_delegated == (path.name in DELEGATED), path.name


@pytest.mark.parametrize("open_source", [io.BytesIO, None], ids=["BytesIO", "open file"])
@pytest.mark.parametrize("arguments", [{}, {"stop_before_pixels": True}], ids=str)
def test_objects_are_read_as_pydicom_reads_them(
    open_source: Callable[[bytes], Any] | None, arguments: dict[str, Any]
) -> None:
    for path in bundled_files():
        with path.open("rb") as our_file, path.open("rb") as their_file:
            our_source = open_source(our_file.read()) if open_source else our_file
            their_source = open_source(their_file.read()) if open_source else their_file
            ours = outcome_of(lambda source=our_source: dcmfast.read(source, **arguments))
            theirs = outcome_of(lambda source=their_source: pydicom.dcmread(source, **arguments))
            assert_same_when_touched(ours, theirs)
            if theirs.value is not None:
                assert our_source.tell() == their_source.tell()
                assert type(ours.value.buffer) is type(theirs.value.buffer)


def test_text_and_equality_are_pydicoms() -> None:
    for path in bundled_files():
        ours = outcome_of(lambda path=path: dcmfast.read(path)).value
        theirs = outcome_of(lambda path=path: pydicom.dcmread(path)).value
        if theirs is None:
            continue
        our_text, their_text = (
            outcome_of(lambda o=ours: str(o)),
            outcome_of(lambda t=theirs: str(t)),
        )
        assert our_text == their_text
        if their_text.error is None and "nan" not in their_text.value:
            assert ours == theirs
            assert theirs == ours


def test_bytes_are_read_as_from_a_buffer() -> None:
    data = bundled_file("CT_small.dcm").read_bytes()
    theirs = outcome_of(lambda: pydicom.dcmread(io.BytesIO(data)))
    for source in (data, bytearray(data), memoryview(data)):
        assert_same_outcome(outcome_of(lambda source=source: dcmfast.read(source)), theirs)


def test_an_object_is_read_from_where_it_stands() -> None:
    data = b"x" * 100 + bundled_file("rtplan.dcm").read_bytes()
    ours, theirs = io.BytesIO(data), io.BytesIO(data)
    ours.seek(100)
    theirs.seek(100)
    assert_same(dcmfast.read(ours), pydicom.dcmread(theirs))


def test_an_object_with_nothing_but_read_seek_and_tell_is_enough() -> None:
    class Minimal:
        def __init__(self, data: bytes) -> None:
            self._file = io.BytesIO(data)
            self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell

    data = bundled_file("MR_small.dcm").read_bytes()
    ours, theirs = dcmfast.read(Minimal(data)), pydicom.dcmread(Minimal(data))
    assert type(ours) is not pydicom.FileDataset
    assert ours == theirs


@pytest.mark.parametrize("source", [None, 7, "/no/such/file", b"", "."], ids=str)
def test_what_is_no_source_fails_as_in_pydicom(source: Any) -> None:
    theirs_source = io.BytesIO(source) if isinstance(source, bytes) else source
    ours = outcome_of(lambda: dcmfast.read(source))
    theirs = outcome_of(lambda: pydicom.dcmread(theirs_source))
    assert ours.error == theirs.error
    assert theirs.error is not None


def test_large_values_are_read_around_the_windows(tmp_path: Path) -> None:
    """Sizes around 64 KiB and 1 MiB, where reading changes its ways; native and in fragments."""
    for count in (60_000, 1_048_576, 3_000_001):
        data_set = pydicom.dcmread(bundled_file("CT_small.dcm"))
        data_set.PixelData = bytes(random.Random(count).randbytes(count + count % 2))
        data_set.add_new(0x7FE11001, "LO", "after the pixels")
        native = tmp_path / f"{count}.dcm"
        data_set.save_as(native)
        for fragment_count in (1, 3000):
            frames = [data_set.PixelData[: count // fragment_count]] * fragment_count
            encapsulated = pydicom.dcmread(bundled_file("JPEG2000.dcm"))
            encapsulated.PixelData = pydicom.encaps.encapsulate(frames)
            fragments = tmp_path / f"{count}-{fragment_count}.dcm"
            encapsulated.save_as(fragments)
            for path in (native, fragments):
                for arguments in ({}, {"defer_size": 1000}, {"specific_tags": ["Rows"]}):
                    assert_same_when_touched(
                        outcome_of(lambda p=path, a=arguments: dcmfast.read(p, **a)),
                        outcome_of(lambda p=path, a=arguments: pydicom.dcmread(p, **a)),
                    )
                cut = path.read_bytes()[:-1000]
                assert_same_when_touched(
                    outcome_of(lambda cut=cut: dcmfast.read(cut)),
                    outcome_of(lambda cut=cut: pydicom.dcmread(io.BytesIO(cut))),
                )


def test_pixel_data_is_not_read_when_it_is_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "sparse.dcm"
    path.write_bytes(bundled_file("CT_small.dcm").read_bytes())
    os.truncate(path, 40_000_000_000)  # reading it all would not fit into memory
    assert dcmfast.read(path, stop_before_pixels=True).Rows == 128


def test_a_deferred_value_notices_that_the_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(bundled_file("CT_small.dcm").read_bytes())
    ours, theirs = dcmfast.read(path, defer_size=64), pydicom.dcmread(path, defer_size=64)
    path.unlink()
    our_outcome = outcome_of(lambda: ours.PixelData)
    assert our_outcome == outcome_of(lambda: theirs.PixelData)
    assert our_outcome.error is not None


# ---- Settings and hooks -----------------------------------------------------------------------

SETTINGS: list[tuple[str, Any]] = [
    ("use_DS_decimal", True),
    ("datetime_conversion", True),
    ("use_none_as_empty_text_VR_value", True),
    ("replace_un_with_known_vr", False),
    ("convert_wrong_length_to_UN", True),
    ("assume_implicit_vr_switch", False),
    ("use_IS_numpy", True),
    ("enforce_valid_values", True),
    ("data_element_callback", lambda raw, **_: raw._replace(VR="UN")),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS, ids=[name for name, _ in SETTINGS])
@pytest.mark.parametrize("is_set_before_reading", [True, False])
def test_settings_are_honoured_at_the_same_moments(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any, is_set_before_reading: bool
) -> None:
    for file in ("CT_small.dcm", "test-SR.dcm", "UN_sequence.dcm", "MR_small_implicit.dcm"):
        with monkeypatch.context() as patch:
            if is_set_before_reading:
                patch.setattr(pydicom.config, name, value)
            ours = outcome_of(lambda file=file: dcmfast.read(bundled_file(file)))
            theirs = outcome_of(lambda file=file: pydicom.dcmread(bundled_file(file)))
            patch.setattr(pydicom.config, name, value)
            if name == "use_DS_decimal":
                patch.setattr(pydicom.valuerep, "DSclass", pydicom.valuerep.DSdecimal)
            assert_same_when_touched(ours, theirs)


@pytest.mark.parametrize("mode", [pydicom.config.IGNORE, pydicom.config.RAISE])
def test_validation_modes_are_honoured(monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    for path in bundled_files()[::3]:
        with monkeypatch.context() as patch:
            patch.setattr(pydicom.config.settings, "_reading_validation_mode", mode)
            assert_same_when_touched(
                outcome_of(lambda path=path: dcmfast.read(path)),
                outcome_of(lambda path=path: pydicom.dcmread(path)),
            )


def test_a_hook_sees_every_element(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def hook(raw: Any, data: dict[str, Any], **keywords: Any) -> None:
        seen.append(int(raw.tag))
        raw_element_value(raw, data, **keywords)

    ours, theirs = (read(bundled_file("CT_small.dcm")) for read in (dcmfast.read, pydicom.dcmread))
    monkeypatch.setattr(hooks, "raw_element_value", hook)
    touch(ours)
    by_ours, seen[:] = list(seen), []
    touch(theirs)
    assert by_ours == seen
    assert seen


def test_under_default_settings_elements_are_not_converted_by_pydicom() -> None:
    """What is left to pydicom: ambiguous VRs, LUT descriptors, what it warns about, exotic text."""
    before = element_view.conversions()
    for path in bundled_files():
        data_set = outcome_of(lambda path=path: dcmfast.read(path)).value
        if data_set is not None:
            outcome_of(lambda data_set=data_set: touch(data_set))
    here, by_pydicom = (
        after - earlier for after, earlier in zip(element_view.conversions(), before, strict=True)
    )
    assert here > 10_000
    assert by_pydicom < 0.1 * here


def test_an_ordinary_file_needs_no_conversion_by_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **keywords: Any) -> None:
        raise AssertionError("pydicom's converter was called")

    data_set = dcmfast.read(bundled_file("rtplan.dcm"))
    monkeypatch.setattr("pydicom.dataset.convert_raw_data_element", fail)
    monkeypatch.setattr("pydicom.filereader.convert_raw_data_element", fail)
    touch(data_set)


# ---- Copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_touched", [True, False])
def test_copies_and_pickles_are_the_same(is_touched: bool) -> None:
    for name in ("rtplan.dcm", "test-SR.dcm", "UN_sequence.dcm", "CT_small.dcm", "chrH31.dcm"):
        ours, theirs = dcmfast.read(bundled_file(name)), pydicom.dcmread(bundled_file(name))
        if is_touched:
            touch(ours)
            touch(theirs)
        assert_same(copy.deepcopy(ours), copy.deepcopy(theirs))
        assert_same(copy.copy(ours), copy.copy(theirs))
        pickled = pickle.dumps(ours)
        assert b"dcmfast" not in pickled
        assert_same(pickle.loads(pickled), pickle.loads(pickle.dumps(theirs)))
        assert type(copy.deepcopy(ours)) is type(ours)


def test_a_pickle_needs_no_dcmfast() -> None:
    pickled = pickle.dumps(dcmfast.read(bundled_file("test-SR.dcm")))
    code = (
        "import pickle, sys; sys.modules['dcmfast'] = None; "
        "data_set = pickle.load(sys.stdin.buffer); print(data_set.Modality)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=pickled, capture_output=True, check=True, timeout=60
    )
    assert result.stdout == b"SR\n"


def test_threads_may_read_and_touch_at_once() -> None:
    path = bundled_file("test-SR.dcm")
    wanted = str(pydicom.dcmread(path))
    shared = dcmfast.read(path)
    found: list[str] = []

    def work() -> None:
        found.append(str(shared))
        found.extend(str(dcmfast.read(path)) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert found == [wanted] * 24


# ---- Hostile input ----------------------------------------------------------------------------

HOSTILE_SEEDS = [
    "rtplan.dcm", "badVR.dcm", "ExplVR_BigEnd.dcm", "nested_priv_SQ.dcm", "test-SR.dcm",
    "UN_sequence.dcm", "MR_small_implicit.dcm", "image_dfl.dcm", "JPEG2000.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm", "no_meta_group_length.dcm", "chrSQEncoding.dcm",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_SEEDS)
def test_a_cut_file_is_what_pydicom_makes_of_it(name: str) -> None:
    """At every byte of the head, and at every 61st further on."""
    data = bundled_file(name).read_bytes()[:8000]
    for end in [*range(120, min(len(data), 700)), *range(700, len(data), 61)]:
        cut = data[:end]
        assert_same_when_touched(
            outcome_of(lambda cut=cut: dcmfast.read(cut)),
            outcome_of(lambda cut=cut: pydicom.dcmread(io.BytesIO(cut))),
        )


@pytest.mark.parametrize("name", HOSTILE_SEEDS)
def test_a_damaged_file_is_what_pydicom_makes_of_it(name: str) -> None:
    """Lying lengths, delimiters where none belong, wrong VRs; the seed makes it repeatable."""
    source = random.Random(name)
    data = bundled_file(name).read_bytes()[:4000]
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(source.choice((1, 1, 2, 4))):
            at = source.randrange(132, len(damaged) - 8)
            damage = source.choice(
                [
                    b"\0", b"\1", b"\xff", b"A", b"SQ", b"UN", b"OB", source.randbytes(1),
                    b"\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\x0d\xe0\0\0\0\0",
                ]
            )  # fmt: skip
            damaged[at : at + len(damage)] = damage
        broken = bytes(damaged)
        assert_same_when_touched(
            outcome_of(lambda broken=broken: dcmfast.read(broken)),
            outcome_of(lambda broken=broken: pydicom.dcmread(io.BytesIO(broken))),
        )


def nested(depth: int, is_undefined: bool) -> bytes:
    """A file of sequences within sequences, Implicit VR Little Endian."""
    tag = bytes.fromhex("0800 4011")
    item, end_of_item = bytes.fromhex("feff00e0"), bytes.fromhex("feff0de0 00000000")
    end_of_sequence = bytes.fromhex("feffdde0 00000000")
    if is_undefined:
        start = (tag + b"\xff\xff\xff\xff" + item + b"\xff\xff\xff\xff") * depth
        body = start + (end_of_item + end_of_sequence) * depth
    else:
        parts = [
            tag + (16 * below + 8).to_bytes(4, "little") + item + (16 * below).to_bytes(4, "little")
            for below in range(depth - 1, -1, -1)
        ]
        body = b"".join(parts)
    meta = pydicom.Dataset()
    meta.file_meta = pydicom.dataset.FileMetaDataset()
    meta.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    meta.preamble = bytes(128)
    head = io.BytesIO()
    pydicom.dcmwrite(head, meta)
    return head.getvalue() + body


@pytest.mark.parametrize("depth", [3, 127, 128, 129, 200])
@pytest.mark.parametrize("is_undefined", [True, False])
def test_deep_nesting_is_read_as_pydicom_reads_it(depth: int, is_undefined: bool) -> None:
    data = nested(depth, is_undefined)
    assert_same_when_touched(
        outcome_of(lambda: dcmfast.read(data)),
        outcome_of(lambda: pydicom.dcmread(io.BytesIO(data))),
    )


@pytest.mark.parametrize("is_undefined", [True, False])
def test_100000_nested_sequences_are_an_exception_and_no_crash(
    is_undefined: bool, tmp_path: Path
) -> None:
    """In a process of its own, as a crash would take this one along."""
    path = tmp_path / "deep.dcm"
    path.write_bytes(nested(100_000, is_undefined))
    code = (
        "import sys, copy, io, pickle, dcmfast\n"
        "def survive(call):\n"
        "    try: return call()\n"
        "    except RecursionError: return None\n"
        "data_set = survive(lambda: dcmfast.read(sys.argv[1]))\n"
        "if data_set is not None:\n"
        "    for call in (lambda: list(data_set.iterall()),\n"
        "                 lambda: copy.deepcopy(data_set), lambda: pickle.dumps(data_set)):\n"
        "        survive(call)\n"
        "    item = data_set\n"
        "    for _ in range(2000):\n"
        "        item = item.ReferencedImageSequence[0]\n"
        "    del item, data_set\n"
        "print('alive')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=110
    )
    assert (result.stdout, result.returncode) == ("alive\n", 0), result.stderr[-2000:]


def test_a_deflate_bomb_is_refused_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "INFLATED_BYTES_MAX", 1_000_000)
    data = io.BytesIO()
    dcmfast.write(data, pydicom.dcmread(bundled_file("image_dfl.dcm")))
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data.seek(0)
    meta_bytes = pydicom.dcmread(data, stop_before_pixels=True).file_meta[0x00020000].value
    head = data.getvalue()[: 132 + 12 + meta_bytes]
    bomb = head + deflater.compress(bytes(50_000_000)) + deflater.flush()
    with pytest.raises(ValueError, match="larger than 1000000 bytes"):
        dcmfast.read(bomb)
    assert limits.INFLATED_DATA_SET_BYTES_MAX == 2 << 30
    # To the byte: a data set is read at the bound, and one byte more is refused.
    plain = head + deflated_bytes(b"\x10\0\x20\0LO\x04\0P1  ")
    monkeypatch.setattr(files, "INFLATED_BYTES_MAX", 12)
    assert dcmfast.read(plain).PatientID == "P1"
    monkeypatch.setattr(files, "INFLATED_BYTES_MAX", 11)
    with pytest.raises(ValueError, match="larger than 11 bytes"):
        dcmfast.read(plain)


def test_a_bomb_of_elements_is_refused_in_bounded_memory() -> None:
    """ELEMENT_TABLE_ROWS_MAX: 40 KB of deflated bytes that are a million times more objects."""
    data = io.BytesIO()
    dcmfast.write(data, pydicom.dcmread(bundled_file("image_dfl.dcm")))
    data.seek(0)
    meta_bytes = pydicom.dcmread(data, stop_before_pixels=True).file_meta[0x00020000].value
    head = data.getvalue()[: 132 + 12 + meta_bytes]
    elements = b"\x10\0\x20\0LO\0\0" * (limits.ELEMENT_TABLE_ROWS_MAX + 1)
    with pytest.raises(ValueError, match=f"more than {limits.ELEMENT_TABLE_ROWS_MAX} elements"):
        dcmfast.read(head + deflated_bytes(elements))


def deflated_bytes(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


# ---- Writing ----------------------------------------------------------------------------------


def with_transfer_syntax(uid: UID) -> Callable[[Any], None]:
    def change(data_set: Any) -> None:
        data_set.file_meta.TransferSyntaxUID = uid

    return change


def changed_values(data_set: Any) -> None:
    """New values of every kind, as a user would set them."""
    item = pydicom.Dataset()
    item.CodeValue, item.CodeMeaning = "1", "plain"
    item.ReferencedFrameNumber = [1, 2, 3]
    data_set.PatientName, data_set.PatientID = "Müller^Jörg", "é"
    data_set.OtherPatientNames = ["A^B", "C"]
    data_set.Rows, data_set.InstanceNumber = 7, 12
    data_set.ImagePositionPatient = [1, 2.5, "3"]
    data_set.PixelSpacing = ["1.0", "2"]
    data_set.StudyDate, data_set.FrameIncrementPointer = "20200101", 0x00181063
    data_set.ReferencedStudySequence = pydicom.Sequence([item])
    data_set.AnatomicRegionSequence = [item, pydicom.Dataset()]
    for offset, (vr, value) in enumerate(
        [
            ("UN", b"abc"), ("OB", b"abc"), ("FD", [1.5, 2]), ("FL", 0.1), ("UV", 2**64 - 1),
            ("SV", -5), ("SL", [-1, 5]), ("UR", "http://x "), ("AT", [0x00100010, 0x00100020]),
            ("US", 65535), ("SS", -1), ("DS", None), ("LT", ""), ("FL", 1e300 * 0), ("SQ", []),
        ],
    ):  # fmt: skip
        data_set.add_new(0x00091001 + offset, vr, value)


def with_utf8(data_set: Any) -> None:
    data_set.SpecificCharacterSet = "ISO_IR 192"


def without_meta(data_set: Any) -> None:
    del data_set.file_meta


def without_transfer_syntax(data_set: Any) -> None:
    del data_set.file_meta.TransferSyntaxUID


CHANGES: list[Callable[[Any], None]] = [
    lambda _: None,
    touch,
    changed_values,
    with_utf8,
    with_transfer_syntax(ImplicitVRLittleEndian),
    with_transfer_syntax(ExplicitVRLittleEndian),
    with_transfer_syntax(ExplicitVRBigEndian),
    with_transfer_syntax(DeflatedExplicitVRLittleEndian),
    without_meta,
    without_transfer_syntax,
]
CHANGE_NAMES = [
    "as read", "touched", "changed", "UTF-8", "implicit", "explicit", "big endian", "deflated",
    "no file meta", "no transfer syntax",
]  # fmt: skip

WRITE_ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"enforce_file_format": True},
    {"implicit_vr": True},
    {"implicit_vr": False, "little_endian": False},
    {"implicit_vr": True, "little_endian": True, "force_encoding": True},
    {"implicit_vr": True, "little_endian": False, "force_encoding": True},
    {"force_encoding": True},
]


def first_line(error: tuple[type[BaseException], str] | None) -> tuple[str, str] | None:
    """What was raised, less the stack trace that pydicom puts into the message."""
    if error is None:
        return None
    return error[0].__name__, re.sub(r"\nTraceback.*", "", error[1], flags=re.DOTALL)


@pytest.mark.parametrize("change", CHANGES, ids=CHANGE_NAMES)
@pytest.mark.parametrize("arguments", WRITE_ARGUMENTS, ids=str)
def test_written_bytes_are_pydicoms(
    change: Callable[[Any], None], arguments: dict[str, Any]
) -> None:
    paths = bundled_files() if not arguments else bundled_files()[::4]
    for path in paths:
        ours = outcome_of(lambda path=path: dcmfast.read(path)).value
        theirs = outcome_of(lambda path=path: pydicom.dcmread(path)).value
        if theirs is None:
            continue
        for data_set in (ours, theirs):
            outcome_of(lambda data_set=data_set: change(data_set))
        our_file, their_file = io.BytesIO(), io.BytesIO()
        our_outcome = outcome_of(lambda f=our_file, d=ours: dcmfast.write(f, d, **arguments))
        their_outcome = outcome_of(
            lambda f=their_file, d=theirs: pydicom.dcmwrite(f, d, **arguments)
        )
        assert first_line(our_outcome.error) == first_line(their_outcome.error), path.name
        if their_outcome.error is None:
            assert our_outcome.warnings == their_outcome.warnings, path.name
            assert our_file.getvalue() == their_file.getvalue(), path.name
        assert_same(ours, theirs, path.name)


def test_pydicoms_own_data_sets_are_written_too() -> None:
    for path in bundled_files()[::5]:
        data_set = outcome_of(lambda path=path: pydicom.dcmread(path)).value
        if data_set is None:
            continue
        ours, theirs = io.BytesIO(), io.BytesIO()
        our_outcome = outcome_of(lambda f=ours, d=data_set: dcmfast.write(f, d))
        their_outcome = outcome_of(lambda f=theirs, d=data_set: pydicom.dcmwrite(f, d))
        assert first_line(our_outcome.error) == first_line(their_outcome.error)
        if their_outcome.error is None:
            assert ours.getvalue() == theirs.getvalue()


def test_ordinary_data_sets_are_not_handed_to_pydicoms_writer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: Any, **keywords: Any) -> None:
        raise AssertionError("pydicom's writer was called")

    monkeypatch.setattr(pydicom, "dcmwrite", fail)
    written = 0
    for path in bundled_files():
        data_set = outcome_of(lambda path=path: dcmfast.read(path)).value
        if (
            data_set is not None
            and not outcome_of(
                lambda data_set=data_set: dcmfast.write(io.BytesIO(), data_set)
            ).error
        ):
            written += 1
    assert written >= 180


def test_paths_and_overwriting(tmp_path: Path) -> None:
    data_set = dcmfast.read(bundled_file("CT_small.dcm"))
    path = tmp_path / "a.dcm"
    dcmfast.write(path, data_set)
    dcmfast.write(str(path), data_set, overwrite=True)
    assert path.read_bytes() == bundled_file("CT_small.dcm").read_bytes()
    with pytest.raises(FileExistsError):
        dcmfast.write(path, data_set, overwrite=False)
    with pytest.raises(TypeError, match="Expected a file path"):
        dcmfast.write(7, data_set)
    with pytest.raises(FileNotFoundError):
        dcmfast.write(tmp_path / "no" / "a.dcm", data_set)


# ---- The package ------------------------------------------------------------------------------


def test_importing_dcmfast_does_not_import_pydicom() -> None:
    code = (
        "import sys, dcmfast; assert 'pydicom' not in sys.modules; "
        "dcmfast.read; assert 'pydicom' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_other_names_are_still_unknown() -> None:
    with pytest.raises(AttributeError, match="reed"):
        _ = dcmfast.reed
