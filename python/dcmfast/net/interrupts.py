"""SIGTERM as Ctrl-C, for tools whose report is worth having when they are told to end."""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

#: Which signal it was, for the exit code.
_number = signal.SIGINT


def take_sigterm_as_interrupt() -> None:
    """From now on SIGTERM raises KeyboardInterrupt, too."""

    def handler(number: int, _frame: FrameType | None) -> None:
        global _number
        _number = signal.Signals(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, handler)


def exit_code() -> int:
    """Return what a shell shows for a program that the signal ended."""
    return 128 + _number
