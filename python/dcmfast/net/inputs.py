"""The files that a sender is told to send: typed ones, and those found in directories.

What DCMTK's storescu does before it connects: every file is looked at, and one that cannot be sent
ends the run, or is left out with ``--no-halt``.  Only the head of a file is read.
"""

from __future__ import annotations

import os

from dcmfast import _rust
from dcmfast.errors import InputFileError
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcmfast.observe.logs import Log
    from dcmfast.options.settings import StoreSettings

#: Our words for an input format → the engine's.
_FORMATS = {"any": "either", "file": "file", "dataset": "data_set"}


class InputFile(Record):
    """One file to send."""

    path: str
    instance: _rust.FileInstance


def gather(settings: StoreSettings, log: Log) -> list[InputFile]:
    """Return the files to send, in the order typed; directories in the order of their names.

    Raises
    ------
    InputFileError
        A file cannot be sent, or there is none.
    """
    if settings.is_scanning_directories:
        log.line("I", "determining input files ...")
    paths = list(_paths(settings, log))
    log.line("I", "checking input files ...")
    found = []
    for path in paths:
        try:
            instance = _rust.inspect_file(path, _FORMATS[settings.input_format])
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            text = f"bad DICOM file: {path}: {reason}"
            if settings.is_halting:
                raise InputFileError(("F", text)) from None
            log.line("W", f"{text}, ignoring file")
            continue
        found.append(InputFile(path=path, instance=instance))
    if not found:
        raise InputFileError(("F", "no input files to be sent"))
    return found


def _paths(settings: StoreSettings, log: Log) -> Iterator[str]:
    """Yield file names from what was typed."""
    for typed in settings.inputs:
        if os.path.isdir(typed):
            if settings.is_scanning_directories:
                yield from _directory(typed, settings)
            else:
                log.line(
                    "W",
                    "ignoring directory because option --scan-directories is not set: " + typed,
                )
        elif os.path.exists(typed):
            yield typed
        elif settings.is_halting:
            raise InputFileError(("F", f"cannot access file: {typed}"))
        else:
            log.line("W", f"cannot access file: {typed}, ignoring file")


def _directory(top: str, settings: StoreSettings) -> Iterator[str]:
    """Yield the files of one directory, and below it with ``--recurse``."""
    # Imported here: it brings `re`, which nothing else needs.
    from fnmatch import fnmatch

    for directory, names, files in os.walk(top):
        names.sort()
        for name in sorted(files):
            if not settings.scan_pattern or fnmatch(name, settings.scan_pattern):
                yield os.path.join(directory, name)
        if not settings.is_recursive:
            return
