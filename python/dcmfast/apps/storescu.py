"""dcmfast storescu: send files to a peer (C-STORE)."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import settings
from dcmfast.options.specs.storescu import STORESCU


def main(arguments: list[str]) -> int:
    """Run storescu with the arguments behind its name; return the exit code."""
    return frame.main(STORESCU, settings.storescu, _run, arguments)


def _run(what: settings.StoreSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import scu

    return scu.store(what)
