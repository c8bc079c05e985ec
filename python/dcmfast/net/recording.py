"""Record and show: start the engine, and hand on what it says."""

from __future__ import annotations

import os
import sys

from dcmfast import _rust
from dcmfast.errors import (
    ConnectionFailed,
    InputFileError,
    ListenError,
    OutputDirectoryError,
)
from dcmfast.net import dictionaries
from dcmfast.net.scp import StoppedBySignals
from dcmfast.observe.logs import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.options.recording_settings import RecorderSettings, ShowSettings

#: The recording is not whole, or a part of it is damaged.
NOT_WHOLE = 2


def record(settings: RecorderSettings) -> int:
    """Record as `settings` say until told to stop; return the exit code.

    Raises
    ------
    ListenError
        The port cannot be opened.
    OutputDirectoryError
        The recording cannot be made.
    ConnectionFailed
        The peer's host is not known.
    """
    log = Log(settings.log_level, tool=settings.tool, table=settings.log_table)
    log.banner()
    for warning in settings.warnings:
        log.line("W", warning)
    recorder = _recorder(settings, log)
    log.line(
        "I",
        f"port {recorder.port} of {settings.bind} leads to {settings.peer.host}, "
        f"port {settings.peer.port}; recorded in {settings.recording_file}",
    )
    _allow_descriptors()
    with StoppedBySignals(recorder):
        recorder.run()
    figures = recorder.figures()
    log.line(
        "I",
        f"{figures['connections']} connections, {figures['from_requestors']} bytes from "
        f"requestors, {figures['from_acceptors']} from acceptors; the recording has "
        f"{figures['recorded']} bytes",
    )
    # Said when it happened; here it decides.
    return NOT_WHOLE if figures["trouble"] else 0


def _allow_descriptors() -> None:
    """Raise the limit of open files: a connection takes two, and the usual limit is 1024."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _recorder(settings: RecorderSettings, log: Log) -> _rust.Recorder:
    try:
        return _rust.Recorder(
            settings.recording_file,
            address=settings.bind,
            port=settings.port,
            host=settings.peer.host,
            peer_port=settings.peer.port,
            may_replace=settings.is_replacing,
            bytes_max=settings.bytes_max,
            connect_timeout_s=settings.connection_timeout_s,
            connections_max=settings.connections_max,
            count=settings.count,
            tcp_no_delay=settings.is_tcp_nodelay,
            tcp_buffer_bytes=settings.tcp_buffer_bytes,
            log_level=settings.log_level,
            log=log.events,
        )
    except _rust.ConnectError as error:
        raise ConnectionFailed(str(error)) from None
    except OSError as error:
        if error.errno is None:
            raise
        why = os.strerror(error.errno)
        if error.filename is None:
            place = f"port {settings.port} of {settings.bind}"
            raise ListenError(("F", f"cannot listen on {place}: {why}")) from None
        cure = "; --overwrite replaces it" if isinstance(error, FileExistsError) else ""
        text = f"cannot make {settings.recording_file}: {why}{cure}"
        raise OutputDirectoryError(("F", text)) from None


def show(settings: ShowSettings) -> int:
    """Print a recording; return the exit code.

    Raises
    ------
    InputFileError
        The file cannot be read, or is no recording.
    """
    log = Log(settings.log_level, tool="show")
    dictionaries.use(settings, log)
    path = settings.recording_file
    out = sys.stdout.buffer
    try:
        text = _rust.RecordingText(
            path,
            is_json=settings.is_json,
            has_data_sets=settings.has_data_sets,
            connection=settings.association,
        )
        while (portion := text.portion()) is not None:
            out.write(portion.encode("utf-8", "backslashreplace"))
        out.flush()
    except BrokenPipeError:
        # Who reads has seen enough, as behind `head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        raise InputFileError(("F", f"{path}: {error.strerror}")) from None
    except ValueError as error:
        raise InputFileError(("F", f"{path}: {error}")) from None
    notices = text.notices()
    for is_damage, notice in notices:
        log.line("E" if is_damage else "W", f"{path}: {notice}")
    return NOT_WHOLE if any(is_damage for is_damage, _ in notices) else 0
