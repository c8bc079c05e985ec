"""Start, stop and observe the Rust server from settings."""

from __future__ import annotations

from dcmfast.errors import StartupFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.options.settings import ReceiverSettings


def run(settings: ReceiverSettings) -> int:
    """Serve as `settings` say until told to stop; return the exit code."""
    raise StartupFailure(("F", f"{settings.tool} has no engine to start yet"))
