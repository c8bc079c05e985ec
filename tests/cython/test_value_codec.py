"""Values decoded and encoded in Cython, beside pydicom's own converters and writers."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from dcmfast._cython import value_codec
from testkit.same_as_pydicom import outcome_of

VRS = [
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OW", "PN", "SH",
    "SL", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV",
]  # fmt: skip

#: What values of files are made of, well-formed or not.
BYTES = st.one_of(
    st.binary(min_size=1, max_size=24),
    st.text("0123456789.-+eE \\\0", min_size=1, max_size=24).map(str.encode),
    st.text("AZaz09_ ^=\\\0\x1b", min_size=1, max_size=40).map(str.encode),
    st.lists(st.integers(0, 99).map(str), min_size=1, max_size=9).map(
        lambda p: ".".join(p).encode()
    ),
    st.floats(allow_nan=False).map(lambda number: repr(number).encode()),
)

#: An element of no dictionary, so that the VR given is the VR used.
TAG = BaseTag(0x00091001)


def converted_by_pydicom(value: bytes, vr: str, is_big_endian: bool, encodings: list[str]) -> Any:
    raw = RawDataElement(TAG, vr, len(value), value, 0, False, not is_big_endian)
    return outcome_of(lambda: convert_raw_data_element(raw, encoding=encodings).value)


def memory_of(value: Any) -> Any:
    """A value with its class and everything that it remembers."""
    if isinstance(value, MultiValue):
        return [memory_of(part) for part in value]
    if isinstance(value, list):
        return [memory_of(part) for part in value]
    return type(value), repr(value), dict(getattr(value, "__dict__", {}))


@given(st.sampled_from(VRS), BYTES, st.booleans(), st.sampled_from(["iso8859", "UTF8", "euc_kr"]))
def test_what_is_decoded_is_what_pydicom_decodes(
    vr: str, value: bytes, is_big_endian: bool, encoding: str
) -> None:
    ours = value_codec.decode(value, vr, is_big_endian, [encoding])
    if ours is None:
        return  # left to pydicom
    theirs = converted_by_pydicom(value, vr, is_big_endian, [encoding])
    assert (theirs.error, theirs.warnings) == (None, [])
    assert memory_of(ours) == memory_of(theirs.value)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("AE", b" STORE SCP "), ("AS", b"018M"), ("AT", b"\x10\0\x20\0"), ("CS", b"A\\B"),
        ("DA", b"20200101"), ("DS", b"1.25\\-3e2\\ 7 "), ("DT", b"20200101120000.000000+0100"),
        ("FD", struct.pack("<d", 0.1)), ("FL", struct.pack("<2f", 0.1, -2)), ("IS", b"-12\\+7 "),
        ("LO", b"a\\b "), ("LT", b"a\\b "), ("OB", b"\0\1"), ("PN", b"A^B=C=D "), ("SH", b"x"),
        ("SL", b"\xff\xff\xff\xff"), ("SS", b"\xff\xff"), ("ST", b"a\r\nb"), ("SV", b"\xff" * 8),
        ("TM", b"120000.5"), ("UC", b"a\\b"), ("UI", b"1.2.840.10008.1.2\0"), ("UL", b"\0\0\0\x80"),
        ("UN", b"\0"), ("UR", b"http://a "), ("US", b"\1\0\2\0"), ("UT", b"text "),
        ("UV", b"\xff" * 8),
    ],
)  # fmt: skip
def test_ordinary_values_are_not_left_to_pydicom(vr: str, value: bytes) -> None:
    ours = value_codec.decode(value, vr)
    assert ours is not None
    theirs = converted_by_pydicom(value, vr, False, ["iso8859"])
    assert memory_of(ours) == memory_of(theirs.value)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("UI", b"1.02"), ("UI", b"1.a"), ("UI", b"1" * 65), ("US", b"\0"), ("FD", b"1234"),
        ("DS", b"1,5"), ("DS", b"nan"), ("IS", b"1.5"), ("IS", b"1234567890123"), ("SH", b"x" * 17),
        ("AT", b"123"), ("PN", b"=" * 3), ("PN", b"x" * 65), ("LO", b"\x1b$B"), ("XX", b"a"),
    ],
)  # fmt: skip
def test_what_pydicom_warns_about_is_left_to_it(vr: str, value: bytes) -> None:
    assert value_codec.decode(value, vr) is None


@given(st.sampled_from(VRS), BYTES, st.booleans())
def test_what_is_encoded_is_what_pydicom_encodes(
    vr: str, value: bytes, is_big_endian: bool
) -> None:
    decoded = value_codec.decode(value, vr, is_big_endian)
    if decoded is None or (isinstance(decoded, str | bytes) and not decoded):
        return
    ours = value_codec.encode(decoded, vr, is_big_endian)
    if ours is None:
        return
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = True, not is_big_endian
    element = DataElement(TAG, vr, decoded, already_converted=True)
    outcome = outcome_of(lambda: write_data_element(file, element, ["iso8859"]))
    assert outcome.error is None
    if not element.is_empty:
        assert ours == file.getvalue()[8:]


@pytest.mark.parametrize(
    ("vr", "value"),
    [("US", -1), ("US", 65536), ("SS", 32768), ("UL", 2**32), ("US", 1.5), ("FL", 1e300),
     ("CS", "日"), ("DS", "1"), ("LO", [1]), ("OB", bytearray(b"a")), ("AT", 5)],
)  # fmt: skip
def test_what_does_not_fit_is_left_to_pydicom(vr: str, value: Any) -> None:
    assert value_codec.encode(value, vr) is None
