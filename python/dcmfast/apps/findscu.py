"""dcmfast findscu: ask a peer what it has (C-FIND)."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import query_settings
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.specs.findscu import FINDSCU


def main(arguments: list[str]) -> int:
    """Run findscu with the arguments behind its name; return the exit code."""
    return frame.main(FINDSCU, _read, _run, arguments)


def _read(front_end: FrontEnd, arguments: list[str]) -> query_settings.FindSettings | ParsedOptions:
    return query_settings.findscu(front_end, arguments, check_key=frame.check_key)


def _run(what: query_settings.FindSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import finder

    return finder.find(what)
