"""Types of the compiled Rust module, checked against it by stubtest."""

from typing import Any, Final, final

BUILD_PROFILE: Final[str]
VERSION: Final[str]

# What server.rs, client.rs, protocol.rs and error.rs give is not typed yet.
def __getattr__(name: str) -> Any: ...

# ---- limits.rs --------------------------------------------------------------------------------

def limits_table() -> dict[str, int]: ...

# ---- dataset.rs -------------------------------------------------------------------------------

@final
class ElementDictionary:
    def __new__(cls, sequences: list[int], others: list[int]) -> ElementDictionary: ...

def scan_data_set(
    data: bytes, start: int, base: int, end: int, flags: int, dictionary: ElementDictionary
) -> bytes: ...
def scan_sequence(data: bytes, flags: int, dictionary: ElementDictionary) -> bytes: ...
def walk_fragments(
    data: bytes, base: int, end: int, is_big_endian: bool
) -> tuple[bool, int] | None: ...
