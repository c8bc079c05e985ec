"""dcmfast movescu: have objects sent, to us or to others (C-MOVE)."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import query_settings
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.specs.movescu import MOVESCU


def main(arguments: list[str]) -> int:
    """Run movescu with the arguments behind its name; return the exit code."""
    return frame.main(MOVESCU, _read, _run, arguments)


def _read(front_end: FrontEnd, arguments: list[str]) -> query_settings.MoveSettings | ParsedOptions:
    return query_settings.movescu(front_end, arguments, check_key=frame.check_key)


def _run(what: query_settings.MoveSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import mover

    return mover.move(what)
