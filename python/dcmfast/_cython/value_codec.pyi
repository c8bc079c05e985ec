"""Types of value_codec.pyx: values of elements, both ways."""

__all__ = ["decode", "encode"]

__pyx_capi__: dict[str, object]

def decode(
    value: bytes, vr: str, is_big_endian: bool = False, encodings: str | list[str] = "iso8859"
) -> object: ...
def encode(
    value: object, vr: str, is_big_endian: bool = False, encodings: str | list[str] = "iso8859"
) -> bytes | None: ...
