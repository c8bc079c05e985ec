"""dcmfast dcmqrscp: an image archive that stores, finds and sends."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import archive_settings
from dcmfast.options.specs.dcmqrscp import DCMQRSCP


def main(arguments: list[str]) -> int:
    """Run dcmqrscp with the arguments behind its name; return the exit code."""
    return frame.main(DCMQRSCP, archive_settings.dcmqrscp, _serve, arguments)


def _serve(what: archive_settings.ArchiveSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import archive

    return archive.run(what)
