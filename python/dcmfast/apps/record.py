"""dcmfast record: a proxy that writes down what passes between two peers."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import recording_settings
from dcmfast.options.specs.record import RECORD


def main(arguments: list[str]) -> int:
    """Run record with the arguments behind its name; return the exit code."""
    return frame.main(RECORD, recording_settings.record, _record, arguments)


def _record(what: recording_settings.RecorderSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import recording

    return recording.record(what)
