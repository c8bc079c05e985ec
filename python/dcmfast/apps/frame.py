"""The frame of every front end: options → settings → run, and what is said when that fails.

Prints what belongs to no log: usage, version, and DCMTK's four lines of a command line error.  The
log lines of a failed start go to stderr here too, because no logger exists yet.
"""

from __future__ import annotations

import sys

from dcmfast.errors import (
    ArchiveConfigurationError,
    CommandLineError,
    DcmfastError,
    LogConfigurationError,
    NotAvailableYet,
    ProfileError,
    StartupFailure,
)
from dcmfast.observe.logs import Log
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Settings = TypeVar("Settings")


def main(
    front_end: FrontEnd,
    read: Callable[[FrontEnd, list[str]], Settings | ParsedOptions],
    run: Callable[[Settings], int],
    arguments: list[str],
) -> int:
    """Run one tool and return its exit code.

    Parameters
    ----------
    front_end
        The tool's command line.
    read
        Its function of ``options.settings``.
    run
        Does what the settings say; returns the exit code.
    arguments
        Everything behind the tool's name.
    """
    outcome: Any = None
    try:
        outcome = read(front_end, arguments)
        if isinstance(outcome, ParsedOptions):
            return _answer(outcome)
        return run(outcome)
    except DcmfastError as error:
        if outcome is not None:
            error.log_level = error.log_level or getattr(outcome, "log_level", None)
            error.log_table = error.log_table or getattr(outcome, "log_table", None)
        report(front_end, error, has_begun=outcome is not None)
        return error.exit_code_of(front_end.tool)
    except KeyboardInterrupt:
        # Ended below, where nothing holds an open association any more: it is aborted then.
        pass
    _end_by_interrupt()
    return 130


def _end_by_interrupt() -> None:
    """End as a program that does nothing about Ctrl-C: by the signal, which a shell looks for."""
    import os
    import signal

    sys.stdout.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def check_key(text: str) -> None:
    """Raise `CommandLineError` for a query key that cannot be one."""
    # Imported here: without a key the engine is not needed to read a command line.
    from dcmfast.net import query

    query.check_key(text)


def _answer(parsed: ParsedOptions) -> int:
    """Print what an exclusive option asks for."""
    from dcmfast.options import help as texts

    if parsed.unavailable:
        raise NotAvailableYet(parsed.unavailable[0])
    if parsed.exclusive == "--list-ciphers":
        from dcmfast.net.tls import cipher_suites

        sys.stdout.write(texts.cipher_suites(parsed.front_end, cipher_suites()))
        return 0
    if parsed.exclusive == "--list-decoders":
        sys.stdout.write(texts.decoders(parsed.front_end))
        return 0
    if parsed.exclusive != "--version":
        sys.stdout.write(texts.usage(parsed.front_end))
        return 0
    libraries: tuple[str, ...] = ()
    if any(option.field == "tls" for option in parsed.front_end.options()):
        from dcmfast.net.tls import library

        libraries = (library(),)
    sys.stdout.write(texts.version(parsed.front_end, libraries))
    return 0


def report(front_end: FrontEnd, error: DcmfastError, *, has_begun: bool) -> None:
    """Say on stderr, or where a logger configuration says, why the tool ends.

    A tool that has begun has said at DEBUG who it is, and else it is said here; but DCMTK's
    storescp and dcmqrscp read a profile before that.
    """
    if error.is_discarded and error.log_table is None:
        return
    try:
        log = Log(error.log_level or "warn", tool=front_end.tool, table=error.log_table)
    except LogConfigurationError as cannot_log:
        # The reason for everything that cannot be said.
        log = Log("fatal", tool=front_end.tool)
        error = cannot_log
    if error.arguments_line is not None:
        log.line_at_any_level(error.arguments_line)
    if isinstance(error, CommandLineError):
        if not error.is_silent and not error.is_discarded:
            from dcmfast.options import help as texts

            sys.stderr.write(f"{texts.header(front_end)}error: {error}\n")
    elif isinstance(error, NotAvailableYet):
        # Whatever the level: an option that is refused must not be taken for one that works.
        if not error.is_discarded:
            sys.stderr.write(f"error: {error}\n")
    elif isinstance(error, StartupFailure):
        if isinstance(error, ArchiveConfigurationError):
            # DCMTK's own words for a bad file belong to no log, and no level hides them.
            sys.stderr.write("".join(f"CONFIG Error: {text}!\n" for text in error.complaints))
        is_early = isinstance(error, ProfileError) and front_end.tool != "dcmrecv"
        if front_end.is_dcmtks and not has_begun and not is_early:
            log.banner()
        for letter, text in error.lines:
            log.line(letter, text)
    else:
        log.line("F", str(error))
