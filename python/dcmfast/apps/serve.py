"""dcmfast serve: an archive in a directory, without a configuration file."""

from __future__ import annotations

from dcmfast.apps import frame
from dcmfast.options import archive_settings
from dcmfast.options.specs.serve import SERVE


def main(arguments: list[str]) -> int:
    """Run serve with the arguments behind its name; return the exit code."""
    return frame.main(SERVE, archive_settings.serve, _serve, arguments)


def _serve(what: archive_settings.ArchiveSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import archive

    return archive.run(what)
