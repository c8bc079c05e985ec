"""Rows of element tables as pydicom elements; unit/dataset/test_files.py compares whole files."""

from __future__ import annotations

import struct

import pydicom
import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from dcmfast import _rust
from dcmfast._cython import element_view
from dcmfast._cython.element_view import ForeignDataSetError, Source

element_view.use_scanner(_rust)

#: (0010,0010) PN, a sequence of undefined length with one item, (0020,000D) UI.
DATA_SET = (
    b"\x10\0\x10\0PN\x04\0A^B "
    b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    b"\x08\0\x55\x11UI\x04\x001.2\0\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    b"\x20\0\x0d\0UI\x06\x001.2.34"
)


def read(
    data: bytes, *, wanted: set[int] | None = None, defer_size: float | None = None
) -> dict[BaseTag, DataElement | RawDataElement]:
    source = Source(lambda offset, count: data[offset : offset + count], len(data))
    elements, _, end = element_view.read_elements(
        source, data, 0, 0, False, True, False, defer_size, wanted
    )
    assert end == len(data)
    return elements


def test_values_stay_raw_and_sequences_of_undefined_length_are_elements() -> None:
    name, sequence, uid = read(DATA_SET).values()
    assert name == (0x00100010, "PN", 4, b"A^B ", 8, False, True, True, False)
    assert isinstance(sequence, DataElement)
    assert sequence.is_undefined_length
    item = sequence.value[0]
    assert (item.seq_item_tell, item.file_tell) == (24, 24)
    assert item[0x00081155].value == "1.2"
    assert isinstance(uid, RawDataElement)


def test_wanted_and_deferred_elements() -> None:
    assert list(read(DATA_SET, wanted={0x00100010})) == [0x00100010]
    deferred = read(DATA_SET, defer_size=5)
    raw = [element for element in deferred.values() if isinstance(element, RawDataElement)]
    assert [element.value for element in raw] == [b"A^B ", None]


def test_what_is_not_there_is_foreign() -> None:
    with pytest.raises(ForeignDataSetError):
        read(DATA_SET[:50])


def test_flags_and_layout_are_those_of_the_scanner() -> None:
    """The constants repeated in element_view.pyx, held against a scan (element_table.rs)."""
    dictionary = _rust.ElementDictionary([], [])
    table = _rust.scan_data_set(DATA_SET, 0, 0, len(DATA_SET), 4, dictionary)
    rows = list(struct.iter_unpack("=I2sHIIQQ", table))
    assert len(table) == 32 * len(rows)
    assert rows[0] == (0, b"\0\0", 0, 0, 5, len(DATA_SET), 0)
    assert [row[:3] for row in rows[1:]] == [
        (0x00100010, b"PN", 0), (0x00081140, b"SQ", 1), (0xFFFEE000, b"\0\0", 2),
        (0x00081155, b"UI", 0), (0x0020000D, b"UI", 0),
    ]  # fmt: skip
    assert [row[4] for row in rows[1:]] == [2, 5, 5, 5, 6]
    stop_at_pixels = _rust.scan_data_set(
        b"\xe0\x7f\x10\0OW\0\0\0\0\0\0", 0, 0, 12, 4 | 16, dictionary
    )
    assert struct.unpack_from("=I", stop_at_pixels) == (1,)
    assert _rust.walk_fragments(b"\xfe\xff\xdd\xe0\0\0\0\0", 5, 13, False) == (True, 5)
    assert _rust.walk_fragments(b"\xfe\xff\x00\xe0\x09\0\0\0", 0, 100, False) == (False, 17)
    assert _rust.walk_fragments(b"\0\0\0\0\0\0\0\0", 0, 100, False) is None


def test_keys_of_every_kind_are_pydicoms() -> None:
    data_set = pydicom.Dataset()
    data_set.PatientName = "A"
    ours = element_view.Dataset(dict(data_set._dict))
    assert ours[0x00100010] is ours[0x0010, 0x0010] is ours["PatientName"] is data_set[0x00100010]
    assert len(ours[0x00100000:0x00110000]) == 1
    for key in (0x00100020, "Nonsense", (0x0010, 0x0020), -1, 1 << 40):
        with pytest.raises(KeyError):
            ours[key]


def test_file_meta_information_is_copied_one_deep() -> None:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    copied = element_view.copied_file_meta(meta)
    copied.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    assert meta.TransferSyntaxUID == pydicom.uid.ImplicitVRLittleEndian
    assert len(element_view.copied_file_meta(None)) == 0


def test_counts_of_bytes_read_first() -> None:
    assert element_view.head_bytes(True, 10) == 10
    assert element_view.head_bytes(True, 10**9) < 100_000
    assert element_view.head_bytes(False, 500_000) == 500_000
    assert element_view.head_bytes(False, 10**9) < 100_000
