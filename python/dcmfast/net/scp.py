"""Start, stop and observe the Rust server from settings.

Everything is handed over once, as plain values; associations then run without the interpreter.
The first SIGINT or SIGTERM finishes what is in hand and ends with exit code 0, the second one ends
at once.
"""

from __future__ import annotations

import os
import signal

from dcmfast import __version__
from dcmfast.observe.logs import Log
from dcmfast.options.settings import cannot_listen
from dcmfast.policy.negotiation import receiver_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    from dcmfast._rust import Receiver

    log = Log(settings.log_level, tool=settings.tool, table=settings.log_table)
    _tell_start(settings, log)
    try:
        receiver = Receiver(**plan(settings, log))
    except OSError as error:
        if error.errno is None:
            raise
        raise cannot_listen(
            settings.tool,
            settings.port,
            os.strerror(error.errno),
            is_privilege=isinstance(error, PermissionError),
        ) from None
    previous = {
        number: signal.signal(number, stopper(receiver))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        receiver.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def stopper(receiver: Any) -> Any:
    """Return a signal handler: the first call stops in order, the second ends the process."""
    calls = 0

    def stop(number: int, _frame: object) -> None:
        nonlocal calls
        calls += 1
        receiver.stop()
        if calls > 1:
            os._exit(128 + number)

    return stop


def _tell_start(settings: ReceiverSettings, log: Log) -> None:
    """Say what DCMTK's tool says before it listens, and below -v what mode is in force."""
    if settings.arguments_line is not None:
        log.line_at_any_level(settings.arguments_line)
    log.line("D", f"$dcmfast: {settings.tool} v{__version__} $\n")
    if settings.tool == "dcmrecv":
        log.line("I", "configuring service class provider ...")
    for warning in settings.warnings:
        log.line("W", warning)
    promise = f"{settings.durability}: {PROMISES[settings.durability]}"
    log.line("I", promise, logger="dcmfast.durability")
    if settings.tool == "dcmrecv":
        log.line("I", "starting service class provider and listening ...")


#: What a success response means, by durability.
PROMISES = {
    "none": "a success response means that the object was handed to the operating system",
    "group": "a success response means that the object is synced to disk, shared by waiting peers",
    "each": "a success response means that the object is synced to disk, object by object",
}
