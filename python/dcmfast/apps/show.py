"""dcmfast show: a recording in the standard's words."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import recording_settings
from dcmfast.options.specs.show import SHOW


def main(arguments: list[str]) -> int:
    """Run show with the arguments behind its name; return the exit code."""
    return frame.main(SHOW, recording_settings.show, _show, arguments)


def _show(what: recording_settings.ShowSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import recording

    return recording.show(what)
