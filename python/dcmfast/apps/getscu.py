"""dcmfast getscu: have objects sent over the association that asks for them (C-GET)."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import query_settings
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.specs.getscu import GETSCU


def main(arguments: list[str]) -> int:
    """Run getscu with the arguments behind its name; return the exit code."""
    return frame.main(GETSCU, _read, _run, arguments)


def _read(front_end: FrontEnd, arguments: list[str]) -> query_settings.GetSettings | ParsedOptions:
    return query_settings.getscu(front_end, arguments, check_key=frame.check_key)


def _run(what: query_settings.GetSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import getter

    return getter.get(what)
