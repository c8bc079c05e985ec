"""Types of element_writer.pyx: pydicom data sets to bytes."""

import pydicom

__all__ = ["encode_data_set"]

def encode_data_set(
    data_set: pydicom.Dataset,
    is_implicit: bool,
    is_little_endian: bool,
    parent_encodings: str | list[str] = "iso8859",
) -> tuple[list[bytes], int]: ...
