"""Start, stop and observe the Rust server from settings.

Everything is handed over once, as plain values; associations then run without the interpreter.
The first SIGINT or SIGTERM finishes what is in hand and ends with exit code 0, the second one ends
at once.
"""

from __future__ import annotations

import os

from dcmfast.errors import HostAccessError, StandardStreamsError
from dcmfast.net import dictionaries, tls
from dcmfast.observe.logs import Log
from dcmfast.options.settings import cannot_listen
from dcmfast.policy.negotiation import receiver_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol, Self

    from dcmfast._rust import Receiver
    from dcmfast.options.archive_settings import ArchiveSettings
    from dcmfast.options.settings import ReceiverSettings

    class Stoppable(Protocol):
        """What a signal stops."""

        def stop(self) -> None:
            """End what runs."""


#: Our words for naming → the engine's.
_NAMINGS = {
    "uid": "sop_instance_uid",
    "bare-uid": "bare_sop_instance_uid",
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
        "port": None if settings.process_model == "inetd" else settings.port,
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
        "host_access": settings.host_access,
        "refuse": settings.is_refusing,
        "faults": settings.faults,
        "fault_seed": settings.fault_seed,
        "reject_without_implementation_class_uid": settings.is_rejecting_anonymous,
        "one_at_a_time": settings.process_model == "single",
        "processes": _processes(settings),
        "associations_max": settings.associations_max,
        "tcp_no_delay": settings.is_tcp_nodelay,
        "tcp_buffer_bytes": settings.tcp_buffer_bytes,
        "output_directory": settings.output_directory,
        "mode": mode,
        "write_file_meta": settings.is_meta_written,
        "file_naming": _NAMINGS[settings.naming],
        "subdirectory": settings.subdirectory.replace("-", "_"),
        "study_prefix": settings.study_prefix,
        "exec_on_reception": settings.exec_on_reception,
        "exec_on_eostudy": settings.exec_on_eostudy,
        "rename_on_eostudy": settings.is_renaming_on_eostudy,
        "eostudy_timeout_s": settings.eostudy_timeout_s,
        "exec_sync": settings.is_exec_synchronous,
        "filename_extension": settings.extension,
        "output_encoding": settings.output_encoding.as_dict()
        if mode != "bit_preserving" and settings.output_encoding is not None
        else None,
        "durability": settings.durability,
        "duplicate": settings.duplicate,
    }


def _processes(settings: ReceiverSettings) -> int:
    """Return how many processes may be forked."""
    if settings.process_model != "fork":
        return 0
    from dcmfast.net.processes import places

    return places(settings.associations_max)


def run(settings: ReceiverSettings) -> int:
    """Serve as `settings` say until told to stop; return the exit code.

    Raises
    ------
    ListenError
        The port cannot be opened.
    StandardStreamsError
        The standard streams cannot be given up (``--inetd``).
    TlsLayerError
        TLS cannot be had as it was asked for.
    """
    if settings.process_model == "inetd":
        discard_standard_output()
    log = Log(settings.log_level, tool=settings.tool, table=settings.log_table)
    _tell_start(settings, log)
    can_ask = settings.process_model != "inetd"
    made = tls.context(settings.tls, role="acceptor", log=log, can_ask=can_ask)
    # Early, so that a seed that cannot be written is known before anybody relies on it.
    tls.write_seed(settings.tls, log)
    receiver = listening(settings, {**plan(settings, log), "tls": made})
    if settings.process_model in ("fork", "inetd"):
        # Other receivers need none of it.
        from dcmfast.net import processes

        if settings.process_model == "inetd":
            processes.serve_given(receiver)
        else:
            count = processes.places(settings.associations_max)
            with processes.Children(receiver, log, processes=count) as children:
                children.run()
        tls.write_seed(settings.tls, log)
        return 0
    with StoppedBySignals(receiver):
        receiver.run()
    tls.write_seed(settings.tls, log)
    return 0


def discard_standard_output() -> None:
    """Let nothing that is printed reach an association that inetd started this process for.

    Raises
    ------
    StandardStreamsError
        There is no null device.
    """
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(null, stream)
        if null > 2:
            os.close(null)
    except OSError as error:
        failure = StandardStreamsError(("F", f"cannot give up the standard streams: {error}"))
        failure.is_discarded = True
        raise failure from None


def listening(settings: ReceiverSettings | ArchiveSettings, plan: dict[str, Any]) -> Receiver:
    """Return the server of `plan`, whose port is open.

    Raises
    ------
    ListenError
        The port cannot be opened.
    HostAccessError
        The rules of access control cannot be followed.
    """
    from dcmfast._rust import HostRuleError, Receiver

    try:
        return Receiver(**plan)
    except HostRuleError as error:
        raise HostAccessError(("F", f"cannot read access control file: {error}")) from None
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

    def __init__(self, receiver: Stoppable) -> None:
        self._receiver = receiver
        self._calls = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Not at the top: movescu and getscu take their plan from here, and would pay for it.
        import signal

        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        import signal

        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: object) -> None:
        self._calls += 1
        self._receiver.stop()
        if self._calls > 1:
            self._end_now()
            os._exit(128 + number)

    def _end_now(self) -> None:
        """Do what must be done even if the process ends at once."""


def _tell_start(settings: ReceiverSettings, log: Log) -> None:
    """Say what DCMTK's tool says before it listens, and below -v what mode is in force."""
    if settings.arguments_line is not None:
        log.line_at_any_level(settings.arguments_line)
    log.banner()
    dictionaries.use(settings, log)
    if settings.tool == "dcmrecv":
        log.line("I", "configuring service class provider ...")
    for warning in settings.warnings:
        log.line("W", warning)
    tell_faults(settings, log)
    promise = f"{settings.durability}: {PROMISES[settings.durability]}"
    log.line("I", promise, logger="dcmfast.durability")
    if settings.tool == "dcmrecv":
        log.line("I", "starting service class provider and listening ...")
        if settings.dictionary is not None and not settings.dictionary.is_loaded:
            # DCMTK's library says it once more.
            text = "No data dictionary loaded, check environment variable: DCMDICTPATH"
            log.line("W", text, logger="dcmtk.dcmnet")


def tell_faults(settings: ReceiverSettings | ArchiveSettings, log: Log) -> None:
    """Warn that things will go wrong on purpose, with what it takes to have them again."""
    count = sum(not rule.is_dial for rule in settings.faults)
    if count:
        rules = "1 rule" if count == 1 else f"{count} rules"
        text = f"{rules} of --fault at work: failures are on purpose (seed {settings.fault_seed})"
        log.line("W", text, logger="dcmfast.faults")


#: What a success response means, by durability.
PROMISES = {
    "none": "a success response means that the object was handed to the operating system",
    "group": "a success response means that the object is synced to disk, shared by waiting peers",
    "each": "a success response means that the object is synced to disk, object by object",
}
