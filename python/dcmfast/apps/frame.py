"""The frame of every front end: options → settings → run, and what is said when that fails.

Prints what belongs to no log: usage, version, and DCMTK's four lines of a command line error.  The
log lines of a failed start go to stderr here too, because no logger exists yet.
"""

from __future__ import annotations

import sys

from dcmfast.errors import CommandLineError, DcmfastError, NotAvailableYet, StartupFailure
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Settings = TypeVar("Settings")

#: Severity letters from the gravest on; a level shows its own and those before it.
_LETTERS = "FEWIDT"
_SHOWN = {"off": 0, "fatal": 1, "error": 2, "warn": 3, "info": 4, "debug": 5, "trace": 6}


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
    try:
        outcome = read(front_end, arguments)
        if isinstance(outcome, ParsedOptions):
            return _answer(outcome)
        return run(outcome)
    except DcmfastError as error:
        report(front_end, error)
        return error.exit_code_of(front_end.tool)


def _answer(parsed: ParsedOptions) -> int:
    """Print what an exclusive option asks for."""
    from dcmfast.options import help as texts

    if parsed.unavailable:
        raise NotAvailableYet(parsed.unavailable[0])
    make = texts.version if parsed.exclusive == "--version" else texts.usage
    sys.stdout.write(make(parsed.front_end))
    return 0


def report(front_end: FrontEnd, error: DcmfastError) -> None:
    """Say on stderr why the tool ends."""
    if error.arguments_line is not None:
        show("I", error.arguments_line)
    if isinstance(error, CommandLineError):
        if not error.is_silent:
            from dcmfast.options import help as texts

            sys.stderr.write(f"{texts.header(front_end)}error: {error}\n")
    elif isinstance(error, NotAvailableYet):
        # Whatever the level: an option that is refused must not be taken for one that works.
        sys.stderr.write(f"error: {error}\n")
    elif isinstance(error, StartupFailure):
        for letter, text in error.lines:
            if is_shown(letter, error.log_level or "warn"):
                show(letter, text)
    elif is_shown("F", error.log_level or "warn"):
        show("F", str(error))


def is_shown(letter: str, log_level: str) -> bool:
    """Return True if events of this severity appear at this level."""
    return _LETTERS.index(letter) < _SHOWN[log_level]


def show(letter: str, text: str) -> None:
    """Write one event to stderr in DCMTK's form: the letter stands on each of its lines."""
    sys.stderr.write("".join(f"{letter}: {line}\n" for line in text.split("\n")))
