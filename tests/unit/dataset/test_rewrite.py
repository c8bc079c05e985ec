"""Data sets re-encoded: pydicom finds the same values there, and there and back.

The real files are those of pydicom; what the engine promises of single elements stands in
``rust/core/src/dataset/rewrite.rs``.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

import dcmfast
from dcmfast import _rust
from testkit.corpus import RealFile, real_files

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
SYNTAXES = (IMPLICIT, EXPLICIT, BIG, DEFLATED)

#: Bytes of one number in VRs that pydicom leaves as bytes, in the byte order that they came in.
BULK = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def convertible_files() -> list[RealFile]:
    """The real files without encapsulated pixels that are whole."""
    return [
        file
        for file in real_files()
        if file.transfer_syntax_uid in SYNTAXES and "truncated" not in file.name
    ]


def decoded(data: bytes, syntax: str) -> Dataset:
    """What pydicom makes of a data set."""
    if syntax == DEFLATED:
        data, syntax = _rust.rewrite_data_set(data, DEFLATED, EXPLICIT), EXPLICIT
    data_set = read_dataset(io.BytesIO(data), syntax == IMPLICIT, syntax != BIG)
    return pydicom.FileDataset(
        "", data_set, is_implicit_VR=syntax == IMPLICIT, is_little_endian=syntax != BIG
    )


def values(data_set: Dataset, *, swap: bool) -> Iterator[tuple[object, ...]]:
    """Every element in order, at every depth: tag and value, bulk values as little endian.

    Private values are left out: where their VR is lost on the way they are bytes (PS3.5 §6.2.2),
    and pydicom, which knows some of them, takes those for numbers of the byte order around them.
    """
    for element in data_set:
        if element.tag.element == 0:
            continue
        if element.tag.is_private:
            yield (element.tag,)
            continue
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield (element.tag, number)
                yield from values(item, swap=swap)
            yield (element.tag, "end")
            continue
        value = element.value
        unit = BULK.get(element.VR, 1)
        if isinstance(value, bytes) and swap and unit > 1:
            value = b"".join(value[at : at + unit][::-1] for at in range(0, len(value), unit))
        yield (element.tag, "" if value is None else str(value))


def whole(data: bytes, syntax: str) -> list[tuple[object, ...]]:
    """All values of a data set in `syntax`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(values(decoded(data, syntax), swap=syntax == BIG))


@pytest.mark.parametrize("file", convertible_files(), ids=lambda file: file.name)
def test_values_are_equal_there_and_back(file: RealFile) -> None:
    """P13: whatever an object is re-encoded to, its values are those that were stored."""
    source = file.transfer_syntax_uid
    original = whole(file.data_set, source)
    for target in SYNTAXES:
        there = _rust.rewrite_data_set(file.data_set, source, target)
        if target == source:
            assert there == file.data_set
            continue
        assert whole(there, target) == original, target
        back = _rust.rewrite_data_set(there, target, source)
        assert whole(back, source) == original, target


def test_the_corpus_holds_every_kind() -> None:
    """The test above would say little if it had nothing to read."""
    found = [file.transfer_syntax_uid for file in convertible_files()]
    assert set(found) == set(SYNTAXES)
    assert len(found) > 40


def test_a_cut_data_set_is_refused() -> None:
    """What is not whole never becomes something that looks whole."""
    cut = [file for file in real_files() if "truncated" in file.name]
    assert cut
    for file in cut:
        for target in set(SYNTAXES) - {file.transfer_syntax_uid}:
            with pytest.raises(ValueError, match="ends inside an element"):
                _rust.rewrite_data_set(file.data_set, file.transfer_syntax_uid, target)


def test_compressed_pixels_are_not_touched() -> None:
    """No way leads from or to a compressed transfer syntax, and none through fragments."""
    jpeg = "1.2.840.10008.1.2.4.50"
    for source, target in ((jpeg, EXPLICIT), (EXPLICIT, jpeg)):
        with pytest.raises(ValueError, match="no way"):
            _rust.rewrite_data_set(b"", source, target)
    fragments = bytes.fromhex("e07f1000 4f420000 ffffffff feff00e0 00000000 feffdde0 00000000")
    with pytest.raises(ValueError, match="encapsulated"):
        _rust.rewrite_data_set(fragments, EXPLICIT, BIG)


def test_an_error_of_the_system_names_its_file(tmp_path: Path) -> None:
    source = tmp_path / "missing.dcm"
    with pytest.raises(FileNotFoundError) as caught:
        dcmfast.rewrite(source, tmp_path / "out.dcm")
    assert caught.value.filename == str(source)
    target = tmp_path / "nowhere" / "out.dcm"
    with pytest.raises(FileNotFoundError) as caught:
        dcmfast.rewrite(real_files()[0].path, target)
    assert caught.value.filename == str(target)


def test_a_format_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"no format of a source: 'x'.*dataset"):
        dcmfast.rewrite(real_files()[0].path, None, source_format="x")
