"""Log lines of the front ends, in DCMTK's shape.

The engine writes its own lines (``rust/core/src/console.rs``); these are the few that Python says,
at start and around an SCU's work.  One event, one write: the letter stands on each of its lines.
With a logger configuration (``-lc``, ``--log-json``) they go the way of the engine's, through the
same appenders.
"""

from __future__ import annotations

import sys

import dcmfast
from dcmfast.errors import LogConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dcmfast._rust import EventLog


#: Severity letters from the gravest on; a level shows its own and those before it.
_LETTERS = "FEWIDT"
_SHOWN = {"off": 0, "fatal": 1, "error": 2, "warn": 3, "info": 4, "debug": 5, "trace": 6, "all": 6}
_LEVELS = {"F": "fatal", "E": "error", "W": "warn", "I": "info", "D": "debug", "T": "trace"}

#: Loggers of lines that DCMTK does not have; their name stands in the line.
_OURS = "dcmfast."

#: The configuration at work, by its source: a process has one, and its files are opened once.
_opened: dict[str, EventLog] = {}


def is_shown(letter: str, log_level: str) -> bool:
    """Return True if events of this severity appear at this level."""
    return _LETTERS.index(letter) < _SHOWN[log_level]


def show(letter: str, text: str) -> None:
    """Write one event to stderr in DCMTK's form: the letter stands on each of its lines."""
    sys.stderr.write("".join(f"{letter}: {line}\n" for line in text.split("\n")))
    sys.stderr.flush()


def _open(table: Any) -> EventLog:
    """Open the files of a ``config.log_cfg.LogTable``, or return what is open already.

    Raises
    ------
    LogConfigurationError
        A log file cannot be opened.
    """
    if table.source not in _opened:
        from dcmfast import _rust

        try:
            _opened[table.source] = _rust.EventLog(table)
        except _rust.LogFileError as error:
            at, reason = error.args
            appender = table.appenders[at]
            place = f"{table.source}, line {appender.line}"
            why = f"cannot open {appender.path}: {reason}"
            raise LogConfigurationError(
                ("F", f"cannot read log config file: {place}: {why}")
            ) from None
    return _opened[table.source]


class Log:
    """Lines of one tool: at one level on stderr, or as a logger configuration says.

    Parameters
    ----------
    level
        In force for the tool's own logger.
    tool
        Whose lines they are.
    table
        The configuration; its files are opened here.
    """

    __slots__ = ("_logger", "events", "level")

    def __init__(self, level: str, *, tool: str = "", table: Any = None) -> None:
        self.level = level
        self._logger = f"dcmtk.apps.{tool}"
        #: What the engine is to log with; None for stderr.
        self.events = None if table is None else _open(table)
        if table is not None:
            for note in table.notes:
                self.line("I", note, logger="dcmfast.log")

    def speak_for_the_library(self) -> None:
        """Use the logger of DCMTK's network library from now on.

        For tools that DCMTK has built upon its classes for requestors: what these say bears the
        library's name, which a logger configuration may go by.
        """
        self._logger = "dcmtk.dcmnet"

    def line(self, letter: str, text: str, *, logger: str = "") -> None:
        """Write one event if its severity is shown; `logger` is the tool's own unless named."""
        if self.events is not None:
            self.events.line(_LEVELS[letter], logger or self._logger, text)
        elif is_shown(letter, self.level):
            prefix = f"{logger}: " if logger.startswith(_OURS) else ""
            show(letter, "\n".join(prefix + line for line in text.split("\n")))

    def banner(self) -> None:
        """Say at DEBUG which tool this is, of which version, as it does before anything else."""
        tool = self._logger.rpartition(".")[2]
        self.line("D", f"$dcmfast: {tool} v{dcmfast.__version__} {dcmfast.__date__} $\n")

    def line_at_any_level(self, text: str, *, logger: str = "root") -> None:
        """Write one INFO event that no level filters (``--arguments``, of DCMTK's root logger)."""
        if self.events is not None:
            self.events.line_at_any_level(logger, text)
        else:
            show("I", text)

    def shows(self, letter: str) -> bool:
        """Return True if events of this severity are shown, so that they are worth building."""
        if self.events is not None:
            return self.events.shows(_LEVELS[letter], self._logger)
        return is_shown(letter, self.level)

    @property
    def shows_progress(self) -> bool:
        """True when DCMTK prints progress dots: at INFO exactly."""
        if self.events is not None:
            return self.events.shows_progress(f"{self._logger}.progress")
        return self.level == "info"
