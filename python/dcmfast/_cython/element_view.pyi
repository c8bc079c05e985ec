"""Types of element_view.pyx: element tables as pydicom data sets."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, final

import pydicom.dataset

__all__ = [
    "Dataset",
    "FileDataset",
    "FileMetaDataset",
    "ForeignDataSetError",
    "Source",
    "conversions",
    "copied_file_meta",
    "head_bytes",
    "new_file_data_set",
    "read_elements",
    "read_file_meta",
    "reading_is_default",
    "use_scanner",
]

class ForeignDataSetError(Exception): ...

class Dataset(pydicom.dataset.Dataset):
    def __copy__(self) -> Dataset: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Dataset: ...

class FileMetaDataset(pydicom.dataset.FileMetaDataset):
    def __copy__(self) -> FileMetaDataset: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> FileMetaDataset: ...

class FileDataset(pydicom.dataset.FileDataset):
    def __copy__(self) -> FileDataset: ...

@final
class Source:
    read_at: Callable[[int, int], bytes]
    end: int
    def __init__(self, read_at: Callable[[int, int], bytes], end: int) -> None: ...

def use_scanner(module: ModuleType) -> None: ...
def conversions() -> tuple[int, int]: ...
def reading_is_default() -> bool: ...
def head_bytes(stop_before_pixels: bool, size: int) -> int: ...
def read_file_meta(
    window: bytes, start: int, base: int, end: int
) -> tuple[FileMetaDataset, int]: ...
def read_elements(
    source: Source,
    window: bytes,
    start: int,
    base: int,
    is_implicit: bool,
    is_little_endian: bool,
    stop_before_pixels: bool,
    defer_size: float | None,
    wanted: set[int] | None,
) -> tuple[dict[Any, Any], str | list[str], int]: ...
def new_file_data_set(
    filename: str,
    timestamp: float,
    elements: dict[Any, Any],
    encoding: str | list[str],
    preamble: bytes | None,
    file_meta: FileMetaDataset,
    is_implicit: bool,
    is_little_endian: bool,
) -> FileDataset: ...
def copied_file_meta(file_meta: object) -> pydicom.dataset.FileMetaDataset: ...
