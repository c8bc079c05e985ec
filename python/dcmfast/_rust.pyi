"""Types of the compiled Rust module, checked against it by stubtest.

Errors: what a receiver is told wrongly raises ValueError, what the system refuses OSError with its
errno; associations that we request raise `AssociationError` and its classes.
"""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Final, final

__all__ = [
    "BUILD_PROFILE",
    "VERSION",
    "ArchiveIndex",
    "ArchiveSearch",
    "Association",
    "AssociationError",
    "AssociationRejected",
    "ConnectError",
    "ElementDictionary",
    "EventLog",
    "FileInstance",
    "GivingUp",
    "HostRuleError",
    "IndexReader",
    "IndexToolError",
    "InstanceCursor",
    "LoadRun",
    "LocalProtocolError",
    "LogFileError",
    "ObjectStore",
    "PeerAborted",
    "PeerReleased",
    "ProtocolError",
    "QueryResponse",
    "Receiver",
    "Recorder",
    "RecordingText",
    "Registrar",
    "Replayer",
    "SendJob",
    "Sending",
    "TimedOut",
    "TlsContext",
    "TlsFailed",
    "TlsPasswordNeeded",
    "TlsStartError",
    "association_block",
    "check_query_key",
    "copy_recording",
    "cut_of_file",
    "dump_identifier",
    "export_index",
    "failed_uids",
    "file_head",
    "host_verdict",
    "identifier_json",
    "identifier_xml",
    "import_index",
    "index_totals",
    "inspect_file",
    "is_answer_character_set",
    "limits_table",
    "message_block",
    "modality",
    "negotiate",
    "query_identifier",
    "rebuild_index",
    "rewrite",
    "rewrite_data_set",
    "scan_data_set",
    "scan_sequence",
    "state_table",
    "status_text",
    "tls_cipher_suites",
    "tls_is_root_certificate",
    "tls_library",
    "tls_random_bytes",
    "transfer_syntax_name",
    "use_dictionary",
    "verify_index",
    "walk_fragments",
]

BUILD_PROFILE: Final[str]
VERSION: Final[str]

class AssociationError(RuntimeError): ...
class ConnectError(AssociationError): ...
class AssociationRejected(AssociationError): ...
class TlsFailed(AssociationError): ...
class TlsPasswordNeeded(ValueError): ...
class TlsStartError(ValueError): ...
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
    def open_areas(self) -> list[tuple[str, str]]: ...
    def run(self) -> None: ...
    def accept(self) -> bool: ...
    def forget_accepted(self) -> None: ...
    def serve_accepted(self, place: int) -> None: ...
    def clear_stale_parts(self) -> None: ...
    def clear_place(self, place: int) -> None: ...
    def evict(self, place: int) -> bool: ...
    def is_associated(self, place: int) -> bool: ...
    def stop_listening(self) -> None: ...
    @property
    def is_stopping(self) -> bool: ...
    def start(self) -> None: ...
    def finish(self, patience_s: int) -> None: ...
    def stop(self) -> None: ...
    def counters(self) -> dict[str, int]: ...

class HostRuleError(ValueError): ...

def host_verdict(
    daemon: str,
    files: tuple[str, str],
    server: tuple[str, int, str],
    client: tuple[str, str],
) -> tuple[bool, str | None]: ...

@final
class ObjectStore:
    def __new__(cls, **plan: object) -> ObjectStore: ...
    def counters(self) -> dict[str, int]: ...

class LogFileError(ValueError): ...

@final
class EventLog:
    def __new__(cls, plan: object) -> EventLog: ...
    def line(self, level_name: str, logger: str, text: str) -> None: ...
    def line_at_any_level(self, logger: str, text: str) -> None: ...
    def shows(self, level_name: str, logger: str) -> bool: ...
    def shows_progress(self, logger: str) -> bool: ...

#: SOP Class UID, SOP Instance UID, Transfer Syntax UID, path, bytes, received at (us), sender.
_ArchiveRow = tuple[str, str, str, str, int, int, str]

@final
class ArchiveIndex:
    def __new__(cls, directory: str) -> ArchiveIndex: ...
    def counts(self) -> tuple[int, int, int, int, int]: ...
    def find(self, identifier: bytes) -> ArchiveSearch: ...
    def instance(self, sop_instance_uid: str) -> _ArchiveRow | None: ...

@final
class ArchiveSearch:
    def identifiers(self) -> list[bytes] | None: ...
    def instances(self) -> list[_ArchiveRow] | None: ...

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
class GivingUp:
    def __new__(cls) -> GivingUp: ...
    def set(self) -> None: ...

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
        tls: TlsContext | None = None,
        scp_roles: Sequence[str] = ...,
        both_roles: Sequence[str] = ...,
        scu_roles: Sequence[str] = ...,
        extended_negotiation: Sequence[tuple[str, bytes]] = ...,
        user_identity: tuple[int, bool, bytes, bytes] | None = None,
        is_shown_in_detail: bool = False,
        giving_up: GivingUp | None = None,
    ) -> Association: ...
    def contexts(self) -> list[tuple[int, str, int, str | None]]: ...
    def roles(self) -> list[tuple[bool, bool] | None]: ...
    @property
    def peer_max_pdu_bytes(self) -> int: ...
    @property
    def peer_implementation(self) -> tuple[str, str]: ...
    @property
    def secured(self) -> str | None: ...
    @property
    def details(self) -> tuple[str, str | None] | None: ...
    @property
    def is_identity_answered(self) -> bool: ...
    @property
    def next_message_id(self) -> int: ...
    def echo(self, context_id: int) -> int: ...
    def store(
        self, context_id: int, path: str, instance: FileInstance, *, dots: bool = False
    ) -> int: ...
    def store_bytes(
        self, context_id: int, sop_class_uid: str, sop_instance_uid: str, data_set: bytes
    ) -> int: ...
    def query(
        self,
        service: str,
        context_id: int,
        identifier: bytes,
        *,
        destination: str | None = None,
        pending_data: str = "read",
    ) -> None: ...
    def responses(self) -> list[QueryResponse]: ...
    def get(
        self,
        context_id: int,
        identifier: bytes,
        objects: ObjectStore,
        titles: tuple[str, str],
    ) -> None: ...
    def get_responses(self) -> list[QueryResponse]: ...
    def cancel(self) -> None: ...
    def set_manner(
        self,
        *,
        message_id: int | None = None,
        priority: int | None = None,
        move_originator: tuple[str, int] | None = None,
    ) -> None: ...
    def release(self) -> None: ...
    def abort(self) -> None: ...

@final
class QueryResponse:
    @property
    def status(self) -> int: ...
    @property
    def sub_operations(
        self,
    ) -> tuple[int | None, int, int, int] | None: ...
    @property
    def error_comment(self) -> str: ...
    @property
    def identifier(self) -> bytes | None: ...

def check_query_key(text: bytes) -> None: ...
def query_identifier(
    path: str | None,
    keys: Sequence[bytes],
    transfer_syntax: str,
    *,
    new_vrs: bool = True,
    deflate_level: int | None = None,
) -> bytes: ...
def dump_identifier(data: bytes, transfer_syntax: str, *, with_padding: bool = False) -> str: ...
def identifier_json(data: bytes, transfer_syntax: str) -> str: ...
def identifier_xml(data: bytes, transfer_syntax: str) -> str: ...
def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str) -> bytes: ...
def failed_uids(data: bytes, transfer_syntax: str) -> list[str]: ...
def association_block(
    kind: str,
    *,
    calling: str,
    called: str,
    max_pdu_bytes: int,
    peer_max_pdu_bytes: int,
    peer_implementation: tuple[str, str],
    contexts: Sequence[tuple[int, str, int | None, Sequence[str]]],
    user_identity: tuple[int, bytes, bool] | None = None,
    extended_negotiation: Sequence[tuple[str, bytes]] = ...,
    roles: Sequence[tuple[tuple[bool, bool] | None, tuple[bool, bool] | None]] = ...,
) -> str: ...
def message_block(direction: str, fields: Sequence[tuple[str, str]]) -> str: ...
def cut_of_file(path: str, instance: FileInstance) -> tuple[str, str] | None: ...
def inspect_file(path: str, input_format: str) -> FileInstance: ...
def transfer_syntax_name(uid: str) -> str | None: ...

#: Abstract syntax and transfer syntaxes.
_Context = tuple[str, list[str]]

@final
class SendJob:
    def __new__(cls, events: EventLog | None = None, **plan: object) -> SendJob: ...
    def add(self, paths: Sequence[str]) -> tuple[int, str, bool] | None: ...
    def __len__(self) -> int: ...
    def kinds(self) -> list[tuple[str, str]]: ...
    def group(
        self,
        needed: Sequence[Sequence[_Context] | None],
        *,
        fixed: Sequence[_Context],
        spare: Sequence[_Context],
        in_order: bool,
    ) -> list[tuple[list[_Context], int]]: ...
    def refuse(self, group: int) -> None: ...
    def begin_association(self, group: int) -> int: ...
    def end(self) -> None: ...
    def done(self) -> int: ...
    def summary(self) -> str: ...
    def totals(self) -> dict[str, int]: ...
    def report(self, first: int, count: int) -> str: ...
    def json(self, first: int, count: int) -> str: ...

@final
class Sending:
    def __new__(
        cls, job: SendJob, group: int, association: Association, number: int
    ) -> Sending: ...
    def turn(self, seconds: float | None = None) -> tuple[str, int, str, str, str]: ...

def is_answer_character_set(term: bytes) -> bool: ...
def limits_table() -> dict[str, int]: ...
def modality(sop_class_uid: str) -> str: ...
def negotiate(
    table: object, proposed: Sequence[tuple[int, str, Sequence[str]]]
) -> list[tuple[int, int, str | None]]: ...
def state_table() -> list[tuple[str, str, str, str]]: ...
def status_text(operation: str, status: int) -> str: ...

# The tools of an index, for dcmfast.archive.index; `watch` is called with (phase, done, total).

class IndexToolError(RuntimeError): ...

_Watch = Callable[[str, int, int | None], object]

@final
class IndexReader:
    def __new__(cls, directory: str) -> IndexReader: ...
    def instances(self) -> InstanceCursor: ...
    def studies(self) -> list[tuple[int, bytes, bytes, bytes, bytes, int, int, int]]: ...

@final
class InstanceCursor:
    def page(self) -> list[tuple[int, str, str, int, int, bool, dict[int, bytes]]]: ...

@final
class Registrar:
    def __new__(cls, directory: str, log_level: str) -> Registrar: ...
    def register(self, path: str, is_reviewed: bool) -> tuple[str, str]: ...
    def close(self) -> None: ...

def export_index(directory: str, target: str, watch: _Watch) -> int: ...
def import_index(directory: str, source: str, log_level: str, watch: _Watch) -> int: ...
def index_totals(directory: str) -> dict[str, int]: ...
def rebuild_index(
    directory: str,
    *,
    outside: Sequence[str],
    threads: int | None,
    log_level: str,
    report: Callable[[str, str, str], object],
    watch: _Watch,
) -> dict[str, int]: ...
def verify_index(
    directory: str,
    *,
    depth: str,
    repair: bool,
    threads: int | None,
    log_level: str,
    report: Callable[[str, str, str | None, str, bool], object],
    watch: _Watch,
) -> dict[str, int]: ...

# Element tables, for dcmfast._cython.element_view.

@final
class ElementDictionary:
    def __new__(cls, sequences: Sequence[int], others: Sequence[int]) -> ElementDictionary: ...

def rewrite(
    source: bytes | str | PathLike[str],
    target: str | PathLike[str] | None,
    *,
    output_encoding: Mapping[str, object],
    file_meta: str,
    source_format: str,
    source_transfer_syntax: str,
    overwrite: bool,
) -> tuple[str, int, bool, bytes | None, list[str]]: ...
def rewrite_data_set(data: bytes, source: str, target: str) -> bytes: ...
def use_dictionary(
    entries: Sequence[tuple[int, int, int, int, int, int, str, str, str]],
) -> bool: ...
def scan_data_set(
    data: bytes, start: int, base: int, end: int, flags: int, dictionary: ElementDictionary
) -> bytes: ...
def scan_sequence(data: bytes, flags: int, dictionary: ElementDictionary) -> bytes: ...
def walk_fragments(
    data: bytes, base: int, end: int, is_big_endian: bool
) -> tuple[bool, int] | None: ...

@final
class TlsContext:
    def __new__(
        cls,
        *,
        role: str,
        identity: tuple[tuple[str, bytes], tuple[str, bytes]] | None,
        password: bytes | None,
        key_format: str,
        authority_files: Sequence[str],
        authority_directories: Sequence[str],
        revocation_files: Sequence[str],
        revocation_check: str,
        profile: str,
        added_suites: Sequence[str],
        dh_parameters: tuple[str, bytes] | None,
        peer_authentication: str,
        server_name: str | None,
        seed: bytes | None,
    ) -> TlsContext: ...
    @property
    def warnings(self) -> list[tuple[str, str]]: ...
    def refusal_of(self, certificate: bytes) -> str | None: ...

def tls_cipher_suites() -> list[str]: ...
def tls_is_root_certificate(certificate: bytes, key_format: str) -> bool: ...
def tls_library() -> str: ...
def tls_random_bytes(count: int) -> bytes: ...

@final
class LoadRun:
    """A run of the load generator; begins at once, in threads of its own."""

    def __new__(
        cls,
        host: str,
        port: int,
        *,
        allows_remote: bool,
        calling: str,
        called: str,
        max_pdu_bytes: int,
        connect_timeout_s: int,
        acse_timeout_s: int,
        dimse_timeout_s: int,
        tcp_no_delay: bool,
        tcp_buffer_bytes: int | None,
        mix: Sequence[tuple[str, int]],
        seed: int,
        files: Sequence[str],
        kind: str,
        pixel_bytes: Sequence[int],
        patients: int,
        studies: int,
        series: int,
        count: int,
        duration_s: int,
        associations: int,
        per_association: int,
        rate: float | None,
        known: int,
        find_level: str,
        retrieve_level: str,
        destination: str | None,
        tls: TlsContext | None = None,
        ledger: str | None = None,
    ) -> LoadRun: ...
    def ledger_found(self) -> tuple[int, int, bool]: ...
    def progress(self) -> tuple[int, int, int]: ...
    def audit_progress(self) -> tuple[int, int]: ...
    def wait(self, seconds: float) -> bool: ...
    def stop(self) -> None: ...
    def finish(self) -> dict[str, Any]: ...
    def start_audit(self) -> None: ...
    def finish_audit(self) -> dict[str, Any]: ...
    def ledger(self, first: int, count: int, is_over: bool) -> tuple[bytes, int]: ...

@final
class Recorder:
    """A proxy that records; its port is open once it is made."""

    def __new__(
        cls,
        path: str,
        *,
        address: str,
        port: int,
        host: str,
        peer_port: int,
        may_replace: bool,
        bytes_max: int,
        connect_timeout_s: int | None,
        connections_max: int,
        count: int | None,
        tcp_no_delay: bool,
        tcp_buffer_bytes: int | None,
        data_sets: str,
        masks_names: bool,
        log_level: str,
        log: EventLog | None,
    ) -> Recorder: ...
    @property
    def port(self) -> int: ...
    def run(self) -> None: ...
    def stop(self) -> None: ...
    def figures(self) -> dict[str, Any]: ...

@final
class RecordingText:
    """A recording or a capture as text, a portion at a time."""

    def __new__(
        cls,
        path: str,
        *,
        is_json: bool,
        has_data_sets: bool,
        connection: int | None,
    ) -> RecordingText: ...
    def portion(self) -> str | None: ...
    def notices(self) -> list[tuple[bool, str]]: ...

@final
class Replayer:
    """One side of a recording, played against a peer."""

    def __new__(
        cls,
        path: str,
        *,
        side: str,
        host: str,
        address: str,
        port: int,
        connection: int | None,
        ignored: Sequence[str],
        called: str | None,
        calling: str | None,
        patience_s: int,
        connect_timeout_s: int | None,
        tcp_no_delay: bool,
        tcp_buffer_bytes: int | None,
        speed: float | None = None,
    ) -> Replayer: ...
    @property
    def port(self) -> int: ...
    def run(self) -> dict[str, Any]: ...
    def stop(self) -> None: ...

def copy_recording(
    path: str,
    out: str,
    *,
    may_replace: bool,
    data_sets: str,
    masks_names: bool,
    connection: int | None,
) -> list[tuple[bool, str]]: ...
