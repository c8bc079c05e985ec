"""dcmfast storescp: receive objects and keep each as a file."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import settings
from dcmfast.options.specs.storescp import STORESCP


def main(arguments: list[str]) -> int:
    """Run storescp with the arguments behind its name; return the exit code."""
    return frame.main(STORESCP, settings.storescp, _serve, arguments)


def _serve(what: settings.ReceiverSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import scp

    return scp.run(what)
