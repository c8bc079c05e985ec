"""Types of the compiled Rust module, checked against it by stubtest.

Errors: what a receiver is told wrongly raises ValueError, what the system refuses OSError with its
errno; associations that we request raise `AssociationError` and its classes.
"""

from collections.abc import Sequence
from typing import Final, final

__all__ = [
    "BUILD_PROFILE",
    "VERSION",
    "Association",
    "AssociationError",
    "AssociationRejected",
    "ConnectError",
    "ElementDictionary",
    "FileInstance",
    "LocalProtocolError",
    "PeerAborted",
    "PeerReleased",
    "ProtocolError",
    "Receiver",
    "TimedOut",
    "inspect_file",
    "limits_table",
    "modality",
    "negotiate",
    "rewrite_data_set",
    "scan_data_set",
    "scan_sequence",
    "state_table",
    "status_text",
    "walk_fragments",
]

BUILD_PROFILE: Final[str]
VERSION: Final[str]

class AssociationError(RuntimeError): ...
class ConnectError(AssociationError): ...
class AssociationRejected(AssociationError): ...
class PeerAborted(AssociationError): ...
class PeerReleased(AssociationError): ...
class TimedOut(AssociationError): ...
class ProtocolError(AssociationError): ...
class LocalProtocolError(AssociationError): ...

@final
class Receiver:
    def __new__(cls, **plan: object) -> Receiver: ...
    @property
    def port(self) -> int: ...
    def run(self) -> None: ...
    def stop(self) -> None: ...
    def counters(self) -> dict[str, int]: ...

@final
class FileInstance:
    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def transfer_syntax(self) -> str: ...
    @property
    def data_set_offset(self) -> int: ...
    @property
    def data_set_bytes(self) -> int: ...

@final
class Association:
    def __new__(
        cls,
        host: str,
        port: int,
        *,
        calling: str,
        called: str,
        contexts: Sequence[tuple[str, Sequence[str]]],
        max_pdu_bytes: int,
        max_send_pdu_bytes: int | None = None,
        connect_timeout_s: int | None = None,
        acse_timeout_s: int | None = None,
        dimse_timeout_s: int | None = None,
        socket_timeout_s: int | None = None,
        tcp_no_delay: bool = True,
        tcp_buffer_bytes: int | None = None,
    ) -> Association: ...
    def contexts(self) -> list[tuple[int, str, int, str | None]]: ...
    @property
    def peer_max_pdu_bytes(self) -> int: ...
    @property
    def next_message_id(self) -> int: ...
    def echo(self, context_id: int) -> int: ...
    def store(
        self, context_id: int, path: str, instance: FileInstance, *, dots: bool = False
    ) -> int: ...
    def release(self) -> None: ...
    def abort(self) -> None: ...

def inspect_file(path: str, input_format: str) -> FileInstance: ...
def limits_table() -> dict[str, int]: ...
def modality(sop_class_uid: str) -> str: ...
def negotiate(
    table: object, proposed: Sequence[tuple[int, str, Sequence[str]]]
) -> list[tuple[int, int, str | None]]: ...
def state_table() -> list[tuple[str, str, str, str]]: ...
def status_text(operation: str, status: int) -> str: ...

# Element tables, for dcmfast._cython.element_view.

@final
class ElementDictionary:
    def __new__(cls, sequences: Sequence[int], others: Sequence[int]) -> ElementDictionary: ...

def rewrite_data_set(data: bytes, source: str, target: str) -> bytes: ...
def scan_data_set(
    data: bytes, start: int, base: int, end: int, flags: int, dictionary: ElementDictionary
) -> bytes: ...
def scan_sequence(data: bytes, flags: int, dictionary: ElementDictionary) -> bytes: ...
def walk_fragments(
    data: bytes, base: int, end: int, is_big_endian: bool
) -> tuple[bool, int] | None: ...
