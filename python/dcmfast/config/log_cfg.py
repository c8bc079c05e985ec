"""Logger configuration files (``-lc``): only what is checked before anything else.

Reading the file into loggers is still to come; DCMTK's first four complaints come before that and
are the same here.  Source: DCMTK's oflog, by way of its running programs.
"""

from __future__ import annotations


def complaint(path: str) -> str | None:
    """Return why `path` is no logger configuration, in DCMTK's words; None if it may be one."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1024 * 1024).splitlines()
    except PermissionError:
        return "Specified --log-config file cannot be read"
    except (OSError, ValueError):
        return "Specified --log-config file does not exist"
    keys = []
    for line in lines:
        if line.lstrip().startswith("#"):
            continue
        key, equals, _ = line.partition("=")
        if equals:
            keys.append(key.strip())
    if not keys:
        return "Specified --log-config file does not contain any settings"
    if not any(key.startswith("log4cplus.") for key in keys):
        return "Specified --log-config file does not contain any valid settings"
    if "log4cplus.rootLogger" not in keys:
        return "Specified --log-config file does not set up log4cplus.rootLogger"
    return None
