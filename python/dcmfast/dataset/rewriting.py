"""Rewriting a DICOM file in another encoding, without building a data set of it.

`rewrite` is what ``dcmfast dcmconv`` calls: transfer syntax, lengths of sequences, group lengths,
padding.  Values stay what they are.  The engine streams the file: bulk values pass in blocks, and
memory does not depend on their size.  Nothing of pydicom is imported.

Source: PS3.5 §7 (data elements, sequences, group lengths, padding) and Annex A (transfer syntaxes);
PS3.10 §7.1 (file meta information).
"""

from __future__ import annotations

import os

from dcmfast import _rust
from dcmfast.types import OutputEncoding, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Path = str | os.PathLike[str]

#: Words for transfer syntaxes, as dcmconv's options call them.
_WORDS = {
    "same": "",
    "implicit": "1.2.840.10008.1.2",
    "little": "1.2.840.10008.1.2.1",
    "big": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
}


#: Our words for a source's format → the engine's.
_FORMATS = {"any": "either", "file": "file", "dataset": "data_set"}


class Rewritten(Record):
    """What `rewrite` did."""

    #: Transfer Syntax UID of the result.
    transfer_syntax: str
    #: Length of the result.
    byte_count: int
    #: False if the data set was copied as it is.
    is_changed: bool
    #: The result itself, if it was written nowhere.
    data: bytes | None = None
    #: What is odd about the source and was let pass, in DCMTK's words: elements out of order or
    #: twice, of odd length, of no VR.
    oddities: tuple[str, ...] = ()


def rewrite(
    source: Path | bytes,
    target: Path | None = None,
    /,
    *,
    transfer_syntax: str = "same",
    lengths: Literal["explicit", "undefined"] = "explicit",
    group_lengths: Literal["recalculate", "create", "remove"] = "recalculate",
    padding: Literal["keep", "remove"] | tuple[int, int] = "keep",
    values: Literal["trim", "keep"] = "trim",
    new_vrs: bool = True,
    unknown: Literal["keep", "convert"] = "keep",
    deflate_level: int | None = None,
    file_meta: Literal["new", "keep", "none"] = "new",
    source_format: Literal["any", "file", "dataset"] = "any",
    source_transfer_syntax: str = "",
    overwrite: bool = True,
) -> Rewritten:
    """Write a DICOM file in another encoding.

    Parameters
    ----------
    source
        The file to read: a path, or its bytes.
    target
        The file to write; may be `source`.  It is there whole or not at all.  None writes nothing:
        the result is in memory, as `Rewritten.data`.
    transfer_syntax
        ``same``, ``little``, ``big``, ``implicit`` or ``deflated``, or the UID of one of these.
        Encapsulated pixel data has no other form: its file can only stay what it is.
    lengths
        Of sequences and items.
    group_lengths
        Recalculate those that are there, create them for every group, or remove them.
    padding
        Data Set Trailing Padding: keep it, remove it, or create it, so that the lengths of the file
        and of each item are multiples of these two numbers (0 for any length).
    values
        Whether padding of values beyond what the standard asks for is trimmed.
    new_vrs
        If false, VRs newer than 1993 are written as OB.
    unknown
        Whether elements of VR UN with a length of their own get the dictionary's VR.
    deflate_level
        0 to 9, for a deflated result.
    file_meta
        New file meta information as a converter writes it, what the file has with the length and
        transfer syntax corrected, or none.
    source_format
        A file with or without file meta information, only with, or only without.
    source_transfer_syntax
        What the source is encoded in; empty for what its file meta information says, ``detect`` for
        what its first bytes look like.
    overwrite
        If false, an existing target raises FileExistsError.

    Returns
    -------
    Rewritten
        What the result is.

    Raises
    ------
    OSError
        A file cannot be read or written.
    FileExistsError
        The target exists, and `overwrite` is false.
    ValueError
        The source is no DICOM file, its data set is broken, or there is no way to the encoding.
    """
    encoding = OutputEncoding(
        transfer_syntax=_WORDS.get(transfer_syntax, transfer_syntax),
        lengths=lengths,
        group_lengths=group_lengths,
        padding=padding,
        values=values,
        new_vrs=new_vrs,
        unknown=unknown,
        deflate_level=deflate_level,
    )
    return rewrite_as(
        source,
        target,
        encoding,
        file_meta=file_meta,
        source_format=source_format,
        source_transfer_syntax=_WORDS.get(source_transfer_syntax, source_transfer_syntax),
        overwrite=overwrite,
    )


def rewrite_as(
    source: Path | bytes,
    target: Path | None,
    encoding: OutputEncoding,
    *,
    file_meta: str = "new",
    source_format: str = "any",
    source_transfer_syntax: str = "",
    overwrite: bool = True,
) -> Rewritten:
    """Do what `rewrite` does, with the encoding as one value."""
    if source_format not in _FORMATS:
        raise ValueError(f"no format of a source: {source_format!r}; known are {sorted(_FORMATS)}")
    transfer_syntax, length, is_changed, data, oddities = _rust.rewrite(
        source if isinstance(source, bytes) else os.fspath(source),
        None if target is None else os.fspath(target),
        output_encoding=encoding.as_dict(),
        file_meta=file_meta,
        source_format=_FORMATS[source_format],
        source_transfer_syntax=source_transfer_syntax,
        overwrite=overwrite,
    )
    return Rewritten(
        transfer_syntax=transfer_syntax,
        byte_count=length,
        is_changed=is_changed,
        data=data,
        oddities=tuple(oddities),
    )
