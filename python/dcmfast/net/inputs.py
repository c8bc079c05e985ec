"""The names of the files that a sender is told to send: typed ones, and those found in directories.

Nothing is opened here.  Directories are searched in the order of their names; each once, whatever
links lead to it, so that a link to a directory above ends nowhere.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcmfast.observe.logs import Log
    from dcmfast.options.sending_settings import SendingSettings

#: Our own lines about what is searched.
_LOGGER = "dcmfast.sending"


def paths(settings: SendingSettings, log: Log) -> list[str]:
    """Return the names of the files to send, in the order typed."""
    if settings.is_scanning_directories:
        log.line("I", "determining input files ...")
    found: list[str] = []
    for typed in settings.inputs:
        if not os.path.isdir(typed):
            found.append(typed)
        elif settings.is_scanning_directories:
            found.extend(_below(typed, settings, log))
        else:
            text = "ignoring directory because option --scan-directories is not set: " + typed
            log.line("W", text)
    return found


def _below(top: str, settings: SendingSettings, log: Log) -> Iterator[str]:
    """Yield the files of one directory, and below it with ``--recurse``."""
    # Imported here: it brings `re`, which nothing else needs.
    from fnmatch import fnmatchcase

    waiting, seen = [top], set()
    while waiting:
        directory = waiting.pop()
        try:
            status = os.stat(directory)
            if (status.st_dev, status.st_ino) in seen:
                log.line("D", f"searched already: {directory}", logger=_LOGGER)
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(directory) as entries:
                names = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            text = f"cannot search directory: {directory}: {error.strerror}"
            log.line("W", text, logger=_LOGGER)
            continue
        below = []
        for entry in names:
            if _is(entry.is_dir):
                below.append(entry.path)
            elif settings.scan_pattern and not fnmatchcase(entry.name, settings.scan_pattern):
                continue
            elif _is(entry.is_file):
                yield entry.path
            else:
                # A broken link, a pipe: it would be waited for, or end the run.
                log.line("W", f"no file: {entry.path}, ignored", logger=_LOGGER)
        if settings.is_recursive:
            waiting.extend(reversed(below))


def _is(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except OSError:
        # A link that leads to itself.
        return False
