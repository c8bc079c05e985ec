"""dcmfast storescu: send files to a peer (C-STORE)."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import sending_settings
from dcmfast.options.specs.storescu import STORESCU


def main(arguments: list[str]) -> int:
    """Run storescu with the arguments behind its name; return the exit code."""
    return frame.main(STORESCU, sending_settings.storescu, _run, arguments)


def _run(what: sending_settings.StoreSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import sending

    return sending.storescu(what)
