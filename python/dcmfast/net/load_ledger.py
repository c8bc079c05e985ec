"""The first line of a ledger: what made the objects whose stores stand below it.

A ledger is text.  Its first line names the seed and everything else that objects follow from, or
the files that were sent, as JSON; each further line is a SOP Instance UID, a tabulator, and the
status in four hexadecimal digits, ``no-answer`` or ``not-sent``.  The engine writes and reads those
lines (``rust/core/src/load/ledger.rs``); of an object with several the acknowledgement counts.
"""

from __future__ import annotations

import os

from dcmfast.errors import InputFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dcmfast.options.load_settings import LoadSettings

_BEGIN = b"# dcmfast load, ledger "
_VERSION = 1
#: Longest first line: as many file names as a command line holds, escaped.
HEAD_BYTES_MAX = 16 * 1024 * 1024

#: What objects follow from: a whole number, a text, or lists of these.
_FIELDS: dict[str, type] = {
    **dict.fromkeys(("seed", "patients", "studies", "series", "known", "count"), int),
    "kind": str,
}
#: Of these, 32 bits each in the engine.
_SHORT = ("patients", "studies", "series", "known", "count")
_LISTS: dict[str, type] = {"pixel_bytes": int, "inputs": str}


def head(settings: LoadSettings) -> bytes:
    """Return the first line of the ledger of a run."""
    from json import dumps

    what: dict[str, Any] = {name: getattr(settings, name) for name in (*_FIELDS, "pixel_bytes")}
    # The audit may be asked for from elsewhere.
    what["inputs"] = [os.path.abspath(name) for name in settings.inputs]
    return _BEGIN + b"%d " % _VERSION + dumps(what).encode("ascii") + b"\n"


def as_written(settings: LoadSettings) -> LoadSettings:
    """Return the settings with what stands in the first line of their ledger.

    Raises
    ------
    InputFileError
        It is no ledger, or it cannot be read.
    """
    path = settings.audited_ledger
    try:
        with open(path, "rb") as file:
            line = file.readline(HEAD_BYTES_MAX + 1)
    except OSError as error:
        raise InputFileError(("F", f"{path}: {error.strerror}")) from None
    version, _, text = line.removeprefix(_BEGIN).partition(b" ")
    if not line.startswith(_BEGIN) or not line.endswith(b"\n"):
        raise InputFileError(("F", f"{path}: not a ledger of dcmfast load"))
    if version != b"%d" % _VERSION:
        raise InputFileError(("F", f"{path}: a ledger of another version of dcmfast"))
    what = _read(text)
    if what is None:
        raise InputFileError(("F", f"{path}: not a ledger of dcmfast load (its first line)"))
    what["pixel_bytes"] = tuple(what["pixel_bytes"])
    what["inputs"] = tuple(what["inputs"])
    return settings.replace(**what)


def _read(text: bytes) -> dict[str, Any] | None:
    """Return what the first line says, or None where it says something else."""
    from json import loads

    try:
        what = loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(what, dict) or what.keys() != {*_FIELDS, *_LISTS}:
        return None
    if not all(_is(what[name], int) and what[name] < 2**32 for name in _SHORT):
        return None
    is_right = all(_is(what[name], kind) for name, kind in _FIELDS.items()) and all(
        isinstance(what[name], list) and all(_is(one, kind) for one in what[name])
        for name, kind in _LISTS.items()
    )
    return what if is_right else None


def _is(value: object, kind: type) -> bool:
    """Return True for a text, or a number that the engine's own fields can take."""
    if kind is str:
        return isinstance(value, str)
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
