"""Data sets as bytes. Whole files are compared in unit/dataset/test_files.py."""

from __future__ import annotations

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dcmfast._cython.element_view import ForeignDataSetError
from dcmfast._cython.element_writer import encode_data_set
from testkit.same_as_pydicom import outcome_of


def written_by_pydicom(data_set: pydicom.Dataset, implicit: bool, little: bool) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = implicit, little
    write_dataset(file, data_set)
    return file.getvalue()


ELEMENTS = st.one_of(
    st.tuples(st.just(0x00100010), st.just("PN"), st.text("AZ^", max_size=20)),
    st.tuples(st.just(0x00100020), st.just("LO"), st.text("Aé ", max_size=20)),
    st.tuples(st.just(0x00280010), st.just("US"), st.integers(0, 65535)),
    st.tuples(st.just(0x00281052), st.just("DS"), st.decimals(-9, 9, places=3).map(str)),
    st.tuples(st.just(0x00200013), st.just("IS"), st.integers(-999, 999)),
    st.tuples(st.just(0x00080018), st.just("UI"), st.sampled_from(["1.2", "1.2.3", ""])),
    st.tuples(st.just(0x00091001), st.just("UN"), st.binary(max_size=9)),
    st.tuples(st.just(0x00189087), st.just("FD"), st.floats(allow_nan=False)),
    st.tuples(st.just(0x00280009), st.just("AT"), st.integers(0, 0xFFFFFFFF)),
    st.tuples(st.just(0x00080005), st.just("CS"), st.sampled_from(["ISO_IR 100", "ISO_IR 192"])),
    st.tuples(st.just(0x00080000), st.just("UL"), st.just(5)),
)


@st.composite
def data_sets(draw: st.DrawFn, depth: int = 2) -> pydicom.Dataset:
    data_set = pydicom.Dataset()
    for tag, vr, value in draw(st.lists(ELEMENTS, max_size=5)):
        data_set.add_new(tag, vr, value)
    if depth and draw(st.booleans()):
        items = draw(st.lists(data_sets(depth=depth - 1), max_size=3))
        for item in items:
            item.is_undefined_length_sequence_item = draw(st.booleans())
        data_set.ReferencedStudySequence = items
        data_set["ReferencedStudySequence"].is_undefined_length = draw(st.booleans())
    return data_set


@given(data_sets(), st.sampled_from([(True, True), (False, True), (False, False)]))
def test_new_data_sets_are_encoded_as_by_pydicom(
    data_set: pydicom.Dataset, encoding: tuple[bool, bool]
) -> None:
    theirs = outcome_of(lambda: written_by_pydicom(data_set, *encoding))
    parts, length = encode_data_set(data_set, *encoding)
    assert b"".join(parts) == theirs.value
    assert length == len(theirs.value)


def test_large_values_are_parts_by_reference() -> None:
    pixels = bytes(1_000_000)
    data_set = pydicom.Dataset()
    data_set.add_new(0x7FE00010, "OW", pixels)
    parts, _ = encode_data_set(data_set, False, True)
    assert any(part is pixels for part in parts)


def test_what_pydicom_warns_about_is_left_to_it() -> None:
    """A value too long for its VR, which pydicom writes as UN (PS3.5 §6.2.2)."""
    data_set = pydicom.Dataset()
    data_set.add(pydicom.DataElement(0x00100020, "LO", "x" * 70_000, already_converted=True))
    with pytest.raises(ForeignDataSetError):
        encode_data_set(data_set, False, True)


def test_nesting_is_bounded() -> None:
    data_set = innermost = pydicom.Dataset()
    for _ in range(200):
        item = pydicom.Dataset()
        innermost.ReferencedStudySequence = [item]
        innermost = item
    with pytest.raises(ForeignDataSetError):
        encode_data_set(data_set, True, True)
