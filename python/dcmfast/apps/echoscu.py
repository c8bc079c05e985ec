"""dcmfast echoscu: ask a peer whether it answers (C-ECHO)."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import settings
from dcmfast.options.specs.echoscu import ECHOSCU


def main(arguments: list[str]) -> int:
    """Run echoscu with the arguments behind its name; return the exit code."""
    return frame.main(ECHOSCU, settings.echoscu, _run, arguments)


def _run(what: settings.EchoSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import scu

    return scu.echo(what)
