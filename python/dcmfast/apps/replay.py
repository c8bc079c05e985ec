"""dcmfast replay: one side of a recording, played against a peer."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import recording_settings
from dcmfast.options.specs.replay import REPLAY


def main(arguments: list[str]) -> int:
    """Run replay with the arguments behind its name; return the exit code."""
    return frame.main(REPLAY, recording_settings.replay, _replay, arguments)


def _replay(what: recording_settings.ReplaySettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import recording

    return recording.replay(what)
