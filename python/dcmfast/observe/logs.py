"""Log lines of the front ends, in DCMTK's shape.

The engine writes its own lines (``rust/core/src/console.rs``); these are the few that Python says,
at start and around an SCU's work.  One event, one write: the letter stands on each of its lines.
"""

from __future__ import annotations

import sys

#: Severity letters from the gravest on; a level shows its own and those before it.
_LETTERS = "FEWIDT"
_SHOWN = {"off": 0, "fatal": 1, "error": 2, "warn": 3, "info": 4, "debug": 5, "trace": 6, "all": 6}


def is_shown(letter: str, log_level: str) -> bool:
    """Return True if events of this severity appear at this level."""
    return _LETTERS.index(letter) < _SHOWN[log_level]


def show(letter: str, text: str) -> None:
    """Write one event to stderr in DCMTK's form: the letter stands on each of its lines."""
    sys.stderr.write("".join(f"{letter}: {line}\n" for line in text.split("\n")))
    sys.stderr.flush()


class Log:
    """Lines of one tool at one level."""

    __slots__ = ("level",)

    def __init__(self, level: str) -> None:
        self.level = level

    def line(self, letter: str, text: str) -> None:
        """Write one event if its severity is shown."""
        if is_shown(letter, self.level):
            show(letter, text)

    @property
    def shows_progress(self) -> bool:
        """True when DCMTK prints progress dots: at INFO exactly."""
        return self.level == "info"
