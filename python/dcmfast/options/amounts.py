"""Ports, bytes and factors as the command lines of our own tools take them.

Of DCMTK's tools the options say themselves what they take (``options.option``); these are texts
that a settings module reads further.
"""

from __future__ import annotations

from dcmfast.errors import CommandLineError
from dcmfast.options.option import BadValueError, parse_port

#: What a letter behind a number of bytes means.
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
#: Digits of the largest number that is still compared with a bound.
_DIGITS_MAX = 19
#: Characters of a factor, its point among them.
_FACTOR_CHARACTERS_MAX = 20


def port(text: str) -> int:
    """Return a port from 1 to 65535.

    Raises
    ------
    CommandLineError
        It is none.
    """
    try:
        return parse_port(text)
    except BadValueError as bad:
        suffix = f" ({bad})" if str(bad) else ""
        raise CommandLineError(f"Invalid parameter value {text}{suffix}") from None


def size(text: str) -> int | None:
    """Return a number of bytes with K, M or G behind it; None for what is none."""
    digits = text.rstrip("kKmMgGbB")
    unit = text[len(digits) :].lower().removesuffix("b")
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS_MAX
    return int(digits) * _UNITS[unit] if is_number and unit in _UNITS else None


def factor(text: str, *, option: str, least: float, most: float) -> float:
    """Return a decimal number between `least` and `most`.

    Raises
    ------
    CommandLineError
        It is none, or beyond them.
    """
    digits = text.replace(".", "", 1)
    is_number = digits.isascii() and digits.isdecimal() and len(text) <= _FACTOR_CHARACTERS_MAX
    if not is_number:
        raise CommandLineError(f"Invalid value for option {option} ({text})")
    found = float(text)
    if not least <= found <= most:
        flow = "underflow" if found < least else "overflow"
        raise CommandLineError(f"Invalid value for option {option} ({flow}: {text})")
    return found
