"""Data sets as messages carry them: bytes of a transfer syntax, without file meta information.

Decoded and encoded as `files` does it, by the element table and Cython; what is out of the ordinary
is pydicom's.  Also made here: identifiers of queries from keywords.

Source: PS3.5 Annex A (transfer syntaxes), PS3.4 §C.4 (identifiers).
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any

import pydicom.uid
from pydicom.charset import default_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dcmfast import _rust
from dcmfast._cython import element_view
from dcmfast._cython.element_view import ForeignDataSetError, Source
from dcmfast._cython.element_writer import encode_data_set
from dcmfast.dataset import files

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Query/retrieve levels, PS3.4 §C.6.1.1.
LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
_UTF8 = "ISO_IR 192"


def _kind(transfer_syntax: str) -> tuple[bool, bool, bool]:
    """Return whether a transfer syntax is implicit, little endian and deflated (PS3.5 Annex A)."""
    return (
        transfer_syntax == pydicom.uid.ImplicitVRLittleEndian,
        transfer_syntax != pydicom.uid.ExplicitVRBigEndian,
        transfer_syntax == pydicom.uid.DeflatedExplicitVRLittleEndian,
    )


def decode(data: bytes, transfer_syntax: str) -> Dataset:
    """Return the data set that `data` encodes.

    Raises
    ------
    ValueError
        It encodes none.
    """
    is_implicit, is_little_endian, is_deflated = _kind(transfer_syntax)
    # pydicom takes what is cut, too, as far as it goes.
    _rust.identifier_json(data, transfer_syntax)
    try:
        if is_deflated:
            data = files._inflate(data)
        if not element_view.reading_is_default():
            raise ForeignDataSetError("settings of pydicom")
        source = Source(lambda offset, count: data[offset : offset + count], len(data))
        elements, encoding, _ = element_view.read_elements(
            source, data, 0, 0, is_implicit, is_little_endian, False, None, None
        )
    except ForeignDataSetError:
        pass
    else:
        data_set = element_view.Dataset(elements)
        data_set.set_original_encoding(is_implicit, is_little_endian, encoding or default_encoding)
        return data_set
    return read_dataset(io.BytesIO(data), is_implicit, is_little_endian)


def encode(data_set: Dataset, transfer_syntax: str) -> bytes:
    """Return `data_set` in a transfer syntax whose pixel data it has already, if it has any.

    Elements of group 0002 are left out: a message has none.

    Raises
    ------
    ValueError
        A value that cannot be encoded; other exceptions are pydicom's own.
    """
    is_implicit, is_little_endian, is_deflated = _kind(transfer_syntax)
    if any(tag >> 16 <= 0x0002 for tag in data_set._dict):
        data_set = data_set[0x00040000:]
    body = _encoded(data_set, is_implicit, is_little_endian)
    if not is_deflated:
        return body
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(body) + deflater.flush()
    # PS3.5 §A.5: of even length.
    return deflated + b"\0" * (len(deflated) % 2)


def _encoded(data_set: Dataset, is_implicit: bool, is_little_endian: bool) -> bytes:
    if element_view.reading_is_default():
        try:
            parts, _ = encode_data_set(data_set, is_implicit, is_little_endian)
        except ForeignDataSetError:
            pass
        else:
            return b"".join(parts)
    target = DicomBytesIO()
    target.is_implicit_VR, target.is_little_endian = is_implicit, is_little_endian
    write_dataset(target, data_set)
    return target.getvalue()


def identifier(
    level: str | None, keys: Dataset | Mapping[str, Any] | None, more: Mapping[str, Any]
) -> Dataset:
    """Return the identifier of a query.

    Parameters
    ----------
    level
        ``PATIENT``, ``STUDY``, ``SERIES`` or ``IMAGE``; None leaves it to `keys`.
    keys, more
        Attributes by keyword; None is an empty value.  Text beyond ASCII makes it UTF-8, unless
        `keys` name a Specific Character Set.

    Raises
    ------
    ValueError
        A keyword or level that does not exist, or a value that an attribute cannot have.
    """
    made = Dataset()
    if isinstance(keys, Dataset):
        made.update(keys)
    else:
        more = {**(keys or {}), **more}
    for keyword, value in more.items():
        if tag_for_keyword(keyword) is None:
            raise ValueError(f"no attribute has the keyword {keyword!r}")
        setattr(made, keyword, "" if value is None else value)
    if level is not None:
        if level.upper() not in LEVELS:
            raise ValueError(f"no level named {level!r}; there are {', '.join(LEVELS)}")
        made.QueryRetrieveLevel = level.upper()
    if "SpecificCharacterSet" not in made and not str(made).isascii():
        made.SpecificCharacterSet = _UTF8
    return made
