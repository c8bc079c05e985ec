"""Start, stop and observe the Rust server from settings.

Everything is handed over once, as plain values; associations then run without the interpreter.
The first SIGINT or SIGTERM finishes what is in hand and ends with exit code 0, the second one ends
at once.
"""

from __future__ import annotations

import os
import signal

from dcmfast import __version__
from dcmfast.net import dictionaries
from dcmfast.observe.logs import Log
from dcmfast.options.settings import cannot_listen
from dcmfast.policy.negotiation import receiver_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dcmfast._rust import Receiver
    from dcmfast.options.archive_settings import ArchiveSettings
    from dcmfast.options.settings import ReceiverSettings

#: Our words for naming → the engine's.
_NAMINGS = {
    "uid": "sop_instance_uid",
    "unique": "unique_uid",
    "time": "system_time",
    "short-unique": "short_unique",
    "system-time": "system_time_microseconds",
}


def plan(settings: ReceiverSettings, log: Log | None = None) -> dict[str, Any]:
    """Return the keyword arguments of ``_rust.Receiver`` for `settings`."""
    mode = "normal"
    if settings.is_bit_preserving:
        mode = "bit_preserving"
    if settings.is_ignoring:
        mode = "ignore"
    return {
        "tool": settings.tool,
        "port": settings.port,
        "log_level": settings.log_level,
        "log": log.events if log is not None else None,
        "verbose_contexts": settings.is_verbose_pc,
        "verbose_responses": False,
        "table": receiver_table(
            preference=settings.preference,
            is_promiscuous=settings.is_promiscuous,
            profile=settings.profile,
        ),
        "max_pdu_bytes": settings.max_pdu_bytes,
        "acse_timeout_s": settings.acse_timeout_s,
        "dimse_timeout_s": settings.dimse_timeout_s,
        "socket_timeout_s": settings.socket_timeout_s,
        "host_lookup": settings.is_host_looked_up,
        "refuse": settings.is_refusing,
        "reject_without_implementation_class_uid": settings.is_rejecting_anonymous,
        "one_at_a_time": settings.is_single_process,
        "associations_max": settings.associations_max,
        "tcp_no_delay": settings.is_tcp_nodelay,
        "tcp_buffer_bytes": settings.tcp_buffer_bytes,
        "output_directory": settings.output_directory,
        "mode": mode,
        "write_file_meta": settings.is_meta_written,
        "file_naming": _NAMINGS[settings.naming],
        "subdirectory": settings.subdirectory.replace("-", "_"),
        "filename_extension": settings.extension,
        "durability": settings.durability,
        "duplicate": settings.duplicate,
    }


def run(settings: ReceiverSettings) -> int:
    """Serve as `settings` say until told to stop; return the exit code.

    Raises
    ------
    ListenError
        The port cannot be opened.
    """
    log = Log(settings.log_level, tool=settings.tool, table=settings.log_table)
    _tell_start(settings, log)
    receiver = listening(settings, plan(settings, log))
    with StoppedBySignals(receiver):
        receiver.run()
    return 0


def listening(settings: ReceiverSettings | ArchiveSettings, plan: dict[str, Any]) -> Receiver:
    """Return the server of `plan`, whose port is open.

    Raises
    ------
    ListenError
        The port cannot be opened.
    """
    from dcmfast._rust import Receiver

    try:
        return Receiver(**plan)
    except OSError as error:
        if error.errno is None:
            raise
        raise cannot_listen(
            settings.tool,
            settings.port,
            os.strerror(error.errno),
            is_privilege=isinstance(error, PermissionError),
        ) from None


class StoppedBySignals:
    """While it is entered, SIGINT and SIGTERM stop a server: in order, the second one at once."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._calls = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._stop)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: object) -> None:
        self._calls += 1
        self._receiver.stop()
        if self._calls > 1:
            os._exit(128 + number)


def _tell_start(settings: ReceiverSettings, log: Log) -> None:
    """Say what DCMTK's tool says before it listens, and below -v what mode is in force."""
    if settings.arguments_line is not None:
        log.line_at_any_level(settings.arguments_line)
    log.line("D", f"$dcmfast: {settings.tool} v{__version__} $\n")
    dictionaries.use(settings, log)
    if settings.tool == "dcmrecv":
        log.line("I", "configuring service class provider ...")
    for warning in settings.warnings:
        log.line("W", warning)
    promise = f"{settings.durability}: {PROMISES[settings.durability]}"
    log.line("I", promise, logger="dcmfast.durability")
    if settings.tool == "dcmrecv":
        log.line("I", "starting service class provider and listening ...")
        if settings.dictionary is not None and not settings.dictionary.is_loaded:
            # DCMTK's library says it once more.
            text = "No data dictionary loaded, check environment variable: DCMDICTPATH"
            log.line("W", text, logger="dcmtk.dcmnet")


#: What a success response means, by durability.
PROMISES = {
    "none": "a success response means that the object was handed to the operating system",
    "group": "a success response means that the object is synced to disk, shared by waiting peers",
    "each": "a success response means that the object is synced to disk, object by object",
}
