"""dcmfast dcmsend: send files to a peer (C-STORE), as DCMTK's dcmsend does."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import sending_settings
from dcmfast.options.specs.dcmsend import DCMSEND


def main(arguments: list[str]) -> int:
    """Run dcmsend with the arguments behind its name; return the exit code."""
    return frame.main(DCMSEND, sending_settings.dcmsend, _run, arguments)


def _run(what: sending_settings.SendSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import sending

    return sending.dcmsend(what)
