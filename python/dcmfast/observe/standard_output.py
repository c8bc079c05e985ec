"""Standard output that may fail: a full disk costs one line and the exit code, and nothing else.

A report, a page or a JSON array that cannot be written must not take with it what the program does
beside: files that are still to be written, an association that is still to be released.  So what
fails is remembered, the rest is dropped, and who started the program says it at the end.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class StandardOutput:
    """Stands in the place of ``sys.stdout`` for a run.

    A reader that went away (``| head``) ends the program by SIGPIPE, as it ends any other.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        #: Why it cannot be written to any more; None while it can.
        self.fault: OSError | None = None
        self.buffer = _Bytes(self, getattr(stream, "buffer", None))

    def write(self, text: str) -> int:
        """Write, as far as that works."""
        self.tried(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Hand over what is buffered."""
        self.tried(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def tried(self, work: Any, *arguments: object) -> None:
        """Do a call of the stream's, unless one failed before."""
        if self.fault is not None:
            return
        try:
            work(*arguments)
        except OSError as error:
            self.fault = error
            # What is buffered would fail once more when the interpreter ends.
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)
            if isinstance(error, BrokenPipeError):
                import signal

                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGPIPE)


class _Bytes:
    """The same for ``sys.stdout.buffer``."""

    def __init__(self, owner: StandardOutput, stream: Any) -> None:
        self._owner = owner
        self._stream = stream

    def write(self, data: bytes) -> int:
        """Write, as far as that works."""
        self._owner.tried(self._stream.write, data)
        return len(data)

    def flush(self) -> None:
        """Hand over what is buffered."""
        self._owner.tried(self._stream.flush)


def guarded() -> StandardOutput | None:
    """Put a `StandardOutput` in the place of ``sys.stdout``; None where there is no such stream."""
    if sys.stdout is None:
        return None
    made = StandardOutput(sys.stdout)
    sys.stdout = made
    return made
