"""A run of the load generator: start the engine, watch it, and make the report of what it says.

Python is asked for nothing while the run goes on; it looks some times a second.
"""

from __future__ import annotations

import os

from dcmfast import __version__, _rust
from dcmfast.errors import CommandLineError, ConnectionFailed, InputFileError
from dcmfast.limits import LOAD_FILES_MAX
from dcmfast.net import interrupts, load_ledger, tls
from dcmfast.observe.logs import Log, is_shown
from dcmfast.observe.progress import WorkBar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO

    from dcmfast.options.load_settings import LoadSettings

    Watch = Callable[[str, int, int | None], None]

#: What a report's JSON calls itself.
FORMAT = "dcmfast-load"
FORMAT_VERSION = 1
#: Seconds between two looks at a run.
_LOOK_S = 0.2
#: Stores of one portion of the ledger.
_LEDGER_PORTION = 10_000


def run(settings: LoadSettings) -> dict[str, Any]:
    """Do what the settings say; return the report.

    Raises
    ------
    ConnectionFailed
        The host is not known.
    CommandLineError
        The peer is not on this host, and ``--yes-remote`` was not typed.
    InputFileError
        A file cannot be stored.
    TlsLayerError
        Keys, certificates or cipher suites cannot be used.
    OSError
        The ledger cannot be written.
    """
    from datetime import UTC, datetime

    if settings.audited_ledger:
        settings = load_ledger.as_written(settings)
    # Opened before anything is sent: a run whose ledger cannot be kept is not begun.
    path = settings.ledger_file or os.devnull
    with open(path, "wb", buffering=0) as ledger:
        try:
            ledger.write(load_ledger.head(settings))
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        log = Log(settings.log_level, tool="load")
        security = tls.context(settings.tls, role="requestor", log=log)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        is_wanted = is_shown("W", settings.log_level)
        tls.write_seed(settings.tls, log)
        interrupts.take_sigterm_as_interrupt()
        # As little as can be between the begin and who waits: an interrupt there has no report.
        work = _start(settings, security)
        entries = _Entries(work, ledger if settings.ledger_file else None)
        is_stopped = False
        if settings.audited_ledger:
            strange = _tell_of_ledger(settings, work, log)
        else:
            strange = ""
            with WorkBar(is_wanted=is_wanted) as watch:

                def look() -> None:
                    _tell(settings, work, watch)
                    entries.write(is_over=False)

                is_stopped = _watched(work, look)
        figures = work.finish()
        entries.write(is_over=True)
        audit = None
        if settings.is_auditing and not is_stopped and figures["ended_by"] != "gave-up":
            work.start_audit()
            with WorkBar(is_wanted=is_wanted) as watch:
                is_stopped = _watched(
                    work, lambda: watch("comparing series", *work.audit_progress())
                )
            audit = work.finish_audit()
            audit["incomplete"] += [strange] if strange else []
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "dcmfast": __version__,
        "engine": _rust.BUILD_PROFILE,
        "started": started,
        "is_interrupted": is_stopped,
        "plan": _plan(settings),
        **figures,
        "audit": audit,
        "ledger_trouble": entries.trouble,
    }


class _Entries:
    """Writes the ledger while the run goes on, so that it is there when somebody ends it."""

    def __init__(self, work: _rust.LoadRun, file: BinaryIO | None) -> None:
        self._work = work
        self._file = file
        self._next = 0

        #: Why it could not be written to its end; the run goes on, and its report says so.
        self.trouble = ""

    def write(self, *, is_over: bool) -> None:
        """Write what has become of further stores; of all, when the run is over."""
        try:
            while self._file is not None:
                text, after = self._work.ledger(self._next, _LEDGER_PORTION, is_over)
                self._file.write(text)
                if after == self._next:
                    self._file.flush()
                    return
                self._next = after
        except OSError as error:
            self._file, self.trouble = None, error.strerror or str(error)


def _tell_of_ledger(settings: LoadSettings, work: _rust.LoadRun, log: Log) -> str:
    """Say what is odd about a ledger; return what keeps its audit from being complete."""
    _, strange, is_cut = work.ledger_found()
    if is_cut:
        log.line("W", f"{settings.audited_ledger}: its last line is cut, and left out")
    if not strange:
        return ""
    return f"{strange} entries of the ledger are of objects that it does not describe"


def _start(settings: LoadSettings, security: _rust.TlsContext | None) -> _rust.LoadRun:
    try:
        return _rust.LoadRun(
            settings.peer.host,
            settings.peer.port,
            allows_remote=settings.is_remote_allowed,
            calling=str(settings.ae_title),
            called=str(settings.called_ae_title),
            max_pdu_bytes=settings.max_pdu_bytes,
            connect_timeout_s=settings.connection_timeout_s,
            acse_timeout_s=settings.acse_timeout_s,
            dimse_timeout_s=settings.dimse_timeout_s,
            tcp_no_delay=settings.is_tcp_nodelay,
            tcp_buffer_bytes=settings.tcp_buffer_bytes,
            mix=list(settings.mix),
            seed=settings.seed,
            files=list(_files(settings.inputs)),
            kind=settings.kind,
            pixel_bytes=list(settings.pixel_bytes),
            patients=settings.patients,
            studies=settings.studies,
            series=settings.series,
            count=settings.count,
            duration_s=settings.duration_s,
            associations=settings.associations,
            per_association=settings.per_association,
            rate=settings.rate,
            known=settings.known,
            find_level=settings.find_level,
            retrieve_level=settings.retrieve_level,
            destination=settings.destination,
            tls=security,
            ledger=settings.audited_ledger or None,
        )
    except PermissionError as error:
        raise CommandLineError(
            f"{settings.peer.host} ({error}) is not this host: only with --yes-remote"
        ) from None
    except _rust.ConnectError as error:
        raise ConnectionFailed(str(error)) from None
    except (ValueError, OverflowError) as error:
        raise InputFileError(("F", str(error))) from None


def _files(inputs: tuple[str, ...]) -> Iterator[str]:
    """Yield each file that was named, and those in directories that were, in order of names."""
    count = 0
    for count, name in enumerate(_each_file(inputs), 1):
        if count > LOAD_FILES_MAX:
            raise InputFileError(("F", f"more than {LOAD_FILES_MAX} files"))
        yield name
    if inputs and not count:
        raise InputFileError(("F", "no file to store"))


def _each_file(inputs: tuple[str, ...]) -> Iterator[str]:
    for name in inputs:
        if not os.path.isdir(name):
            yield name
            continue
        for folder, folders, files in os.walk(name):
            folders.sort()
            for file in sorted(files):
                yield os.path.join(folder, file)


def _watched(work: _rust.LoadRun, look: Callable[[], None]) -> bool:
    """Wait for the end; return True if the user asked for it, once for in order, twice for now."""
    is_stopped = False
    while True:
        try:
            is_over = work.wait(_LOOK_S)
            look()
            if is_over:
                return is_stopped
        except KeyboardInterrupt:
            is_stopped = True
            work.stop()


def _tell(settings: LoadSettings, work: _rust.LoadRun, watch: Watch) -> None:
    done, failed, _ = work.progress()
    watch(f"{settings.command}, {failed} failed" if failed else settings.command, done, None)


def _plan(settings: LoadSettings) -> dict[str, Any]:
    """Return what was asked for, as the report tells it."""
    left_out = {
        "log_level",
        "inputs",
        "audited_ledger",
        "ledger_file",
        "json_file",
        "html_file",
        "peer",
        "mix",
        "tls",
    }
    plan = {name: value for name, value in settings.as_dict().items() if name not in left_out}
    return {
        **plan,
        "host": settings.peer.host,
        "port": settings.peer.port,
        "is_secured": settings.tls is not None,
        "mix": dict(settings.mix),
        "pixel_bytes": list(settings.pixel_bytes),
        "objects": "files" if settings.inputs else "made",
    }
