"""Reading and writing DICOM files as pydicom data sets, several times faster than pydicom.

`read` and `write` take what `pydicom.dcmread` and `pydicom.dcmwrite` take and give what they give.
Rust's element table says where the elements are, Cython makes pydicom's objects of it, and decodes
values when they are looked at. Whatever is out of the ordinary (settings and hooks of pydicom away
from their defaults, files that pydicom warns about or refuses) is handed to pydicom itself, whole.

What differs from pydicom on purpose:

- The classes are subclasses of pydicom's, under the same names; they convert elements faster. They
  pickle as pydicom's own classes, so that a pickle is read without dcmfast.
- A PN of several values can be pickled: pydicom's holds a local function there.
- `read` takes the bytes of a file, too, as if they were in an `io.BytesIO`.
- A deflated data set that inflates to more than `INFLATED_BYTES_MAX` is a ValueError; pydicom goes
  on until memory ends.
- pydicom's log records of the levels DEBUG and INFO are not written; warnings are.
- A data set that cannot be written may give its warnings twice: here, and again by pydicom, which
  then says what is wrong.
- `write` encodes first, then hands its target large blocks, and never seeks in it.

Source: PS3.10 §7.1 (file meta information), PS3.5 §10 and Annex A (transfer syntaxes).
"""

from __future__ import annotations

import io
import os
import stat
import zlib
from typing import TYPE_CHECKING, Any, Final

import pydicom
import pydicom.uid
from pydicom.dataset import FileMetaDataset, validate_file_meta
from pydicom.filebase import DicomBytesIO, DicomIO
from pydicom.filewriter import _determine_encoding
from pydicom.misc import size_in_bytes
from pydicom.tag import Tag
from pydicom.values import converters

from dcmfast import _rust
from dcmfast._cython import element_view
from dcmfast._cython.element_view import ForeignDataSetError, Source
from dcmfast._cython.element_writer import encode_data_set
from dcmfast.limits import ELEMENT_TABLE_ROWS_MAX, INFLATED_DATA_SET_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydicom import FileDataset
    from pydicom.tag import BaseTag

element_view.use_scanner(_rust)

PREAMBLE_BYTES: Final = 128
PREFIX: Final = b"DICM"
CHARACTER_SET: Final = 0x00080005
GROUP_LENGTH: Final = 0x00020000
PIXEL_DATA: Final = 0x7FE00010

# Parts from this size on are written by themselves; smaller ones are joined first.
LARGE_PART_BYTES: Final = 262_144

# Most that a deflated data set may become in memory; limits.rs says why.
INFLATED_BYTES_MAX: int = INFLATED_DATA_SET_BYTES_MAX
#: What the engine says of more than `ELEMENT_TABLE_ROWS_MAX` elements (``Reason::TooMany``).
_TOO_MANY_ELEMENTS = "reason 6"


def read(
    source: Any,
    *,
    stop_before_pixels: bool = False,
    specific_tags: Iterable[int | str | tuple[int, int] | BaseTag] | None = None,
    defer_size: int | float | str | None = None,
    force: bool = False,
) -> FileDataset:
    """Read a DICOM file and return its data set, equal to what `pydicom.dcmread` returns.

    Parameters
    ----------
    source
        A path, the bytes of a file, or an object with `read`, `seek` and `tell`, which stays open
        and is left where reading ended. Bytes are as if in an `io.BytesIO`.
    stop_before_pixels
        Stop at the first of Float Pixel Data, Double Float Pixel Data and Pixel Data.
    specific_tags
        Tags or keywords to keep at the top level; Specific Character Set always is.
    defer_size
        Longer values, in bytes or as in ``"1 KB"``, are read from the file when they are looked at.
    force
        Read also what has no DICM prefix, from its first byte.

    Returns
    -------
    pydicom.FileDataset
        Whose values are decoded when they are looked at.

    Raises
    ------
    pydicom.errors.InvalidDicomError
        No DICM prefix, and `force` is false.
    TypeError
        `source` is none of the kinds above.
    ValueError
        A deflated data set is larger than `INFLATED_BYTES_MAX`.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        source = io.BytesIO(source)
    tags = [Tag(tag) for tag in specific_tags] if specific_tags else None
    if element_view.reading_is_default():
        try:
            wanted = {int(tag) for tag in tags} | {CHARACTER_SET} if tags else None
            bound = size_in_bytes(defer_size)
            if isinstance(source, str):
                return _read_path(source, stop_before_pixels, wanted, bound, force)
            if isinstance(source, os.PathLike):
                fs_path: Any = os.fspath(source)
                if isinstance(fs_path, str):
                    return _read_path(fs_path, stop_before_pixels, wanted, bound, force)
            elif hasattr(source, "read") and hasattr(source, "seek") and hasattr(source, "tell"):
                return _read_object(source, stop_before_pixels, wanted, bound, force)
        except ForeignDataSetError:
            pass
    return pydicom.dcmread(
        source,
        defer_size=defer_size,
        stop_before_pixels=stop_before_pixels,
        force=force,
        specific_tags=tags,
    )


def _read_path(
    path: str,
    stop_before_pixels: bool,
    wanted: set[int] | None,
    defer_size: int | float | None,
    force: bool,
) -> FileDataset:
    """Read the file at `path`, which is open only meanwhile."""
    with io.FileIO(path) as file:
        descriptor = file.fileno()
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ForeignDataSetError("no regular file")

        def read_at(offset: int, count: int) -> bytes:
            parts = []
            while count > 0:
                part = os.pread(descriptor, count, offset)
                if not part:
                    break
                parts.append(part)
                offset += len(part)
                count -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)

        source = Source(read_at, status.st_size)
        window = read_at(0, element_view.head_bytes(stop_before_pixels, status.st_size))
        head = _read_head(window, 0, source.end, force)
        if head.is_deflated:
            inflated = DicomBytesIO(_inflate(read_at(head.offset, source.end - head.offset)))
            inflated.name = path
            return _read_inflated(inflated, head, stop_before_pixels, wanted, defer_size)
        elements, encoding, _ = element_view.read_elements(
            source,
            window,
            head.offset,
            0,
            head.is_implicit,
            head.is_little_endian,
            stop_before_pixels,
            defer_size,
            wanted,
        )
        return element_view.new_file_data_set(
            path,
            status.st_mtime,
            elements,
            encoding,
            head.preamble,
            head.file_meta,
            head.is_implicit,
            head.is_little_endian,
        )


def _read_object(
    file: Any,
    stop_before_pixels: bool,
    wanted: set[int] | None,
    defer_size: int | float | None,
    force: bool,
) -> FileDataset:
    """Read from an object with `read`, `seek` and `tell`, from where it stands."""
    start = file.tell()
    is_read = False
    try:
        file.seek(0, os.SEEK_END)
        end = file.tell()
        if end < start:
            raise ForeignDataSetError("behind the end")

        def read_at(offset: int, count: int) -> bytes:
            file.seek(offset)
            part = file.read(count)
            if type(part) is not bytes:
                raise ForeignDataSetError("what is read is not bytes")
            return part

        source = Source(read_at, end)
        window = read_at(start, element_view.head_bytes(stop_before_pixels, end - start))
        head = _read_head(window, start, end, force)
        if head.is_deflated:
            inflated = DicomBytesIO(_inflate(read_at(head.offset, end - head.offset)))
            name: Any = getattr(file, "name", None)
            inflated.name = name
            data_set = _read_inflated(inflated, head, stop_before_pixels, wanted, defer_size)
            file.seek(end)
            is_read = True
            return data_set
        elements, encoding, offset = element_view.read_elements(
            source,
            window,
            head.offset - start,
            start,
            head.is_implicit,
            head.is_little_endian,
            stop_before_pixels,
            defer_size,
            wanted,
        )
        file.seek(offset)
        is_read = True
    finally:
        if not is_read:
            file.seek(start)
    return _new_data_set(file, elements, encoding, head)


class _Head:
    """What stands before the data set, and how it says the data set is encoded."""

    __slots__ = (
        "file_meta",
        "is_deflated",
        "is_implicit",
        "is_little_endian",
        "offset",
        "preamble",
    )

    def __init__(self, file_meta: Any, preamble: bytes | None, offset: int) -> None:
        self.file_meta = file_meta
        self.preamble = preamble
        self.offset = offset
        self.is_implicit = True
        self.is_little_endian = True
        self.is_deflated = False


def _read_head(window: bytes, base: int, end: int, force: bool) -> _Head:
    """Read preamble, prefix and file meta information (PS3.10 §7.1) from a source's first bytes."""
    preamble: bytes | None = window[:PREAMBLE_BYTES]
    start = PREAMBLE_BYTES + len(PREFIX)
    if window[PREAMBLE_BYTES:start] != PREFIX:
        if not force or base:
            raise ForeignDataSetError("no DICM prefix")
        preamble = None
        start = 0
    file_meta, offset = element_view.read_file_meta(window, start, base, end)
    head = _Head(file_meta, preamble, offset)
    first = window[offset - base : offset - base + 8]
    if offset >= end:
        return head
    if len(first) < 8 or first[:2] == b"\0\0":
        # A stub, or command elements (PS3.7 §6.3), or file meta information beyond the window.
        raise ForeignDataSetError("command elements")
    element = file_meta._dict.get(Tag(0x00020010))
    if element is None:
        head.is_implicit = first[4:6].decode("iso8859") not in converters
        if not head.is_implicit and int.from_bytes(first[:2], "little") >= 1024:
            head.is_little_endian = False
        return head
    transfer_syntax = element.value
    if not isinstance(transfer_syntax, pydicom.uid.UID):
        raise ForeignDataSetError("Transfer Syntax UID is no UID")
    if transfer_syntax == pydicom.uid.ImplicitVRLittleEndian:
        return head
    if transfer_syntax in pydicom.uid.PrivateTransferSyntaxes:
        raise ForeignDataSetError("a registered private transfer syntax")
    head.is_implicit = False
    head.is_little_endian = transfer_syntax != pydicom.uid.ExplicitVRBigEndian
    head.is_deflated = transfer_syntax == pydicom.uid.DeflatedExplicitVRLittleEndian
    return head


def _inflate(deflated: bytes) -> bytes:
    """Inflate a data set (PS3.5 §A.5), up to `INFLATED_BYTES_MAX`."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(deflated, INFLATED_BYTES_MAX + 1)
    except zlib.error as error:
        raise ForeignDataSetError("deflate") from error
    if len(inflated) > INFLATED_BYTES_MAX:
        raise ValueError(
            f"the deflated data set is larger than {INFLATED_BYTES_MAX} bytes when inflated"
        )
    if not inflater.eof:
        raise ForeignDataSetError("deflated data is cut")
    return inflated


def _read_inflated(
    file: DicomBytesIO,
    head: _Head,
    stop_before_pixels: bool,
    wanted: set[int] | None,
    defer_size: int | float | None,
) -> FileDataset:
    """Read an inflated data set, whose offsets count from its own first byte."""
    window = file.getvalue()
    source = Source(lambda offset, count: window[offset : offset + count], len(window))
    try:
        elements, encoding, offset = element_view.read_elements(
            source, window, 0, 0, False, True, stop_before_pixels, defer_size, wanted
        )
    except ForeignDataSetError as error:
        if str(error) != _TOO_MANY_ELEMENTS:
            raise
        # pydicom would make an object of each.
        raise ValueError(
            f"the deflated data set has more than {ELEMENT_TABLE_ROWS_MAX} elements"
        ) from None
    file.seek(offset)
    return _new_data_set(file, elements, encoding, head)


def _new_data_set(file: Any, elements: dict[Any, Any], encoding: Any, head: _Head) -> FileDataset:
    """Make the data set of an object through pydicom's constructor, which knows all its kinds."""
    data_set = element_view.FileDataset(
        file,
        elements,
        head.preamble,
        head.file_meta,
        head.is_implicit,
        head.is_little_endian,
    )
    data_set._read_charset = encoding
    return data_set


def write(
    target: Any,
    data_set: FileDataset,
    /,
    *,
    implicit_vr: bool | None = None,
    little_endian: bool | None = None,
    enforce_file_format: bool = False,
    force_encoding: bool = False,
    overwrite: bool = True,
) -> None:
    """Write a data set as a DICOM file: the bytes that `pydicom.dcmwrite` writes.

    Parameters
    ----------
    target
        A path, or an object with `write`, `seek` and `tell`.
    data_set
        The data set; its `file_meta` and `preamble` are written if it has them.
    implicit_vr, little_endian
        The encoding, where the Transfer Syntax UID does not say it.
    enforce_file_format
        Add what PS3.10 §7.1 requires, or raise.
    force_encoding
        Encode as `implicit_vr` and `little_endian` say, whatever the transfer syntax is.
    overwrite
        If false, an existing file raises FileExistsError.

    Raises
    ------
    ValueError
        The encoding is unknown or contradictory, or elements are where they may not be.
    FileExistsError
        The file exists, and `overwrite` is false.
    TypeError
        `target` is none of the kinds above.
    """
    if element_view.reading_is_default():
        try:
            parts = _encode(
                data_set, implicit_vr, little_endian, enforce_file_format, force_encoding
            )
            path: Any = os.fspath(target) if isinstance(target, str | os.PathLike) else None
            if isinstance(path, str):
                # "x" is what keeps two writers apart, not a look beforehand.
                with io.FileIO(path, "w" if overwrite else "x") as file:
                    _write_parts(file, parts)
                return
            if not isinstance(target, DicomIO) and all(
                hasattr(target, name) for name in ("write", "seek", "tell")
            ):
                _write_parts(target, parts)
                return
        except ForeignDataSetError:
            pass
    pydicom.dcmwrite(
        target,
        data_set,
        implicit_vr=implicit_vr,
        little_endian=little_endian,
        enforce_file_format=enforce_file_format,
        force_encoding=force_encoding,
        overwrite=overwrite,
    )


def _encode(
    data_set: FileDataset,
    implicit_vr: bool | None,
    little_endian: bool | None,
    enforce_file_format: bool,
    force_encoding: bool,
) -> list[bytes]:
    """Return the parts of the file, in pydicom's order of checks and side effects.

    Raises ForeignDataSetError where pydicom would refuse, so that it does so in its own words.
    """
    if not isinstance(data_set, pydicom.Dataset) or (force_encoding and enforce_file_format):
        raise ForeignDataSetError("arguments")
    if any(tag >> 16 in (0, 2) for tag in data_set._dict):
        raise ForeignDataSetError("elements of group 0000 or 0002")
    file_meta = element_view.copied_file_meta(getattr(data_set, "file_meta", None))
    transfer_syntax = file_meta.get("TransferSyntaxUID", None)
    try:
        encoding = _determine_encoding(
            data_set, transfer_syntax, implicit_vr, little_endian, force_encoding
        )
        if not force_encoding and encoding == (True, False):
            raise ForeignDataSetError("implicit and big endian")
        preamble = getattr(data_set, "preamble", None)
        if preamble and len(preamble) != PREAMBLE_BYTES:
            raise ForeignDataSetError("preamble")
        if enforce_file_format:
            transfer_syntax = _complete_file_meta(data_set, file_meta, transfer_syntax, encoding)
            preamble = preamble or bytes(PREAMBLE_BYTES)
        if (
            transfer_syntax
            and not transfer_syntax.is_private
            and transfer_syntax.is_transfer_syntax
            and PIXEL_DATA in data_set._dict
        ):
            # PS3.5 §A.4: fragments have undefined length, native pixel data has its own.
            data_set[PIXEL_DATA].is_undefined_length = transfer_syntax.is_compressed
        parts: list[bytes] = [preamble, PREFIX] if preamble else []
        if file_meta:
            parts.append(_encode_file_meta(file_meta, enforce_file_format))
        is_implicit, is_little_endian = bool(encoding[0]), bool(encoding[1])
        body, _ = encode_data_set(data_set, is_implicit, is_little_endian)
    except ForeignDataSetError:
        raise
    except Exception as error:
        # pydicom will meet it again, and names the element.
        raise ForeignDataSetError("an error") from error
    if transfer_syntax == pydicom.uid.DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = [deflater.compress(part) for part in (b"".join(body),)]
        body.append(deflater.flush())
        if sum(map(len, body)) % 2:
            body.append(b"\0")
    parts.extend(body)
    return parts


def _complete_file_meta(
    data_set: FileDataset,
    file_meta: FileMetaDataset,
    transfer_syntax: pydicom.uid.UID | None,
    encoding: tuple[bool, bool],
) -> pydicom.uid.UID | None:
    """Add what PS3.10 §7.1 requires; return the Transfer Syntax UID."""
    if transfer_syntax is None:
        if encoding == (True, True):
            file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        elif encoding == (False, False):
            file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        transfer_syntax = file_meta.get("TransferSyntaxUID", None)
    for meta_keyword, keyword in (
        ("MediaStorageSOPClassUID", "SOPClassUID"),
        ("MediaStorageSOPInstanceUID", "SOPInstanceUID"),
    ):
        present = file_meta.get(meta_keyword, None)
        wanted = data_set.get(keyword, None)
        if present is None or (wanted and wanted != present):
            setattr(file_meta, meta_keyword, wanted)
    validate_file_meta(file_meta, enforce_standard=True)
    return transfer_syntax


def _encode_file_meta(file_meta: FileMetaDataset, enforce_file_format: bool) -> bytes:
    """Encode the file meta information, with the group length that it really has."""
    if any(tag >> 16 != 2 for tag in file_meta._dict):
        raise ForeignDataSetError("other groups in the file meta information")
    if enforce_file_format and GROUP_LENGTH not in file_meta._dict:
        file_meta.FileMetaInformationGroupLength = 0
    parts, length = encode_data_set(file_meta, False, True)
    encoded = b"".join(parts)
    if GROUP_LENGTH in file_meta._dict:
        if encoded[:8] != b"\x02\0\0\0UL\x04\0":
            raise ForeignDataSetError("File Meta Information Group Length")
        encoded = encoded[:8] + (length - 12).to_bytes(4, "little") + encoded[12:]
    return encoded


def _write_parts(file: Any, parts: list[bytes]) -> None:
    """Write parts in order: runs of small ones as one, large ones as they are."""
    small: list[bytes] = []
    small_bytes = 0
    for part in parts:
        if len(part) >= LARGE_PART_BYTES:
            _write_all(file, b"".join(small))
            small, small_bytes = [], 0
            _write_all(file, part)
            continue
        small.append(part)
        small_bytes += len(part)
        if small_bytes >= LARGE_PART_BYTES:
            _write_all(file, b"".join(small))
            small, small_bytes = [], 0
    _write_all(file, b"".join(small))


def _write_all(file: Any, data: bytes) -> None:
    """Write all of `data`; a raw file may take less at a time (2 GiB are Linux's most)."""
    if not isinstance(file, io.RawIOBase):
        if data:
            file.write(data)
        return
    rest = memoryview(data)
    while rest:
        written = file.write(rest)
        if written is None:
            raise BlockingIOError("the file does not take all of the data set")
        rest = rest[written:]
