"""Record, show and replay: start the engine, and hand on what it says."""

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
    from dcmfast.options.recording_settings import (
        RecorderSettings,
        ReplaySettings,
        ShowSettings,
    )

#: The recording is not whole, or a part of it is damaged.
NOT_WHOLE = 2
#: The user ended it; 128 + SIGINT, as shells say.
STOPPED = 130


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
            data_sets=settings.data_sets,
            masks_names=settings.masks_names,
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
        raise _cannot_make(settings.recording_file, error) from None


def _cannot_make(path: str, error: OSError) -> OutputDirectoryError:
    cure = "; --overwrite replaces it" if isinstance(error, FileExistsError) else ""
    return OutputDirectoryError(("F", f"cannot make {path}: {error.strerror}{cure}"))


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
    if settings.out_file:
        return _write(settings, log)
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
    return _tell(path, text.notices(), log)


def _tell(path: str, notices: list[tuple[bool, str]], log: Log) -> int:
    """Say what there is to say of a file; return the exit code."""
    for is_damage, notice in notices:
        log.line("E" if is_damage else "W", f"{path}: {notice}")
    return NOT_WHOLE if any(is_damage for is_damage, _ in notices) else 0


def _write(settings: ShowSettings, log: Log) -> int:
    path, out = settings.recording_file, settings.out_file
    if os.path.exists(out) and os.path.samefile(path, out):
        raise OutputDirectoryError(("F", f"cannot make {out}: it is what is read"))
    try:
        notices = _rust.copy_recording(
            path,
            out,
            may_replace=settings.is_replacing,
            data_sets=settings.data_sets,
            masks_names=settings.masks_names,
            connection=settings.association,
        )
    except OSError as error:
        if os.fsdecode(error.filename or "") == out:
            raise _cannot_make(out, error) from None
        raise InputFileError(("F", f"{path}: {error.strerror}")) from None
    except ValueError as error:
        raise InputFileError(("F", f"{path}: {error}")) from None
    return _tell(path, notices, log)


def replay(settings: ReplaySettings) -> int:
    """Play one side of a recording; return the exit code.

    Raises
    ------
    ConnectionFailed
        The peer cannot be reached.
    ListenError
        The port cannot be opened.
    InputFileError
        The recording cannot be read, or holds nothing that can be played.
    """
    log = Log(settings.log_level, tool="replay")
    path = settings.recording_file
    try:
        player = _rust.Replayer(
            path,
            side=settings.side,
            host=settings.host,
            address=settings.bind,
            port=settings.port,
            connection=settings.association,
            ignored=list(settings.ignored),
            called=settings.called_ae_title,
            calling=settings.ae_title,
            patience_s=settings.event_timeout_s,
            connect_timeout_s=settings.connection_timeout_s,
            tcp_no_delay=settings.is_tcp_nodelay,
            tcp_buffer_bytes=settings.tcp_buffer_bytes,
            speed=settings.speed,
        )
    except _rust.ConnectError as error:
        raise ConnectionFailed(str(error)) from None
    except OSError as error:
        place = f"port {settings.port} of {settings.bind}"
        raise ListenError(("F", f"cannot listen on {place}: {error.strerror}")) from None
    if settings.side == "acceptor":
        log.line("I", f"listening on port {player.port} of {settings.bind}")
    try:
        with StoppedBySignals(player):
            outcome = player.run()
    except KeyboardInterrupt:
        log.line("W", "stopped before the end")
        return STOPPED
    except _rust.ConnectError as error:
        raise ConnectionFailed(f"cannot connect to {settings.host}: {error}") from None
    except OSError as error:
        raise InputFileError(("F", f"{path}: {error.strerror}")) from None
    except ValueError as error:
        raise InputFileError(("F", f"{path}: {error}")) from None
    _tell(path, outcome["notices"], log)
    difference = outcome["difference"]
    if settings.is_json:
        from json import dumps

        notices = [text for _, text in outcome.pop("notices")]
        print(dumps({"format": "dcmfast-replay", **outcome, "notices": notices}))
        return 0 if difference is None else NOT_WHOLE
    if difference is None:
        log.line("I", f"{outcome['sent']} PDUs sent")
        print(
            f"associations played: {outcome['connections']}; "
            f"events of the peer: {outcome['matched']}, all as recorded"
        )
        return 0
    print(
        f"first difference: association {difference['association']}, event "
        f"{difference['event']} of the peer, recorded at {difference['ns'] / 1e9:.6f} s\n"
        f"  expected: {difference['expected']}\n"
        f"  came:     {difference['came']}\n"
        f"  differs:  {difference['differs']}"
    )
    return NOT_WHOLE
