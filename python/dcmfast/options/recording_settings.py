"""What record and show will do: their settings, made from what was typed.

Beside ``settings``, whose rules hold here too.
"""

from __future__ import annotations

from dcmfast.errors import CommandLineError
from dcmfast.options.option import BadValueError, FrontEnd, parse_port
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.settings import (
    GeneralSettings,
    built,
    general,
    number,
    parse,
    refuse_unavailable,
    seconds,
)
from dcmfast.types import PeerAddress

#: What a letter behind a number of bytes means.
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
#: No recording is smaller than its own frame needs, or larger than a file can be.
_SIZE_MIN, _SIZE_MAX = 4096, 2**62


class RecorderSettings(GeneralSettings):
    """What record will do."""

    recording_file: str
    is_replacing: bool
    bind: str
    #: 0 for one that is free.
    port: int
    peer: PeerAddress
    connection_timeout_s: int | None
    connections_max: int
    #: Connections in all; None for no end.
    count: int | None
    bytes_max: int


class ShowSettings(GeneralSettings):
    """What show will do."""

    recording_file: str
    is_json: bool
    has_data_sets: bool
    #: None for all.
    association: int | None


def record(front_end: FrontEnd, arguments: list[str]) -> RecorderSettings | ParsedOptions:
    """Read record's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed

    def build() -> RecorderSettings:
        refuse_unavailable(parsed)
        path, listen, host, port = parsed.parameters
        return RecorderSettings(
            **general(parsed),
            recording_file=path,
            is_replacing=parsed.flag("overwrite"),
            bind=_address(parsed.text("bind")),
            port=0 if listen == "0" else _port(listen),
            peer=PeerAddress(host=host, port=_port(port)),
            connection_timeout_s=seconds(parsed, "connection_timeout_s"),
            connections_max=number(parsed, "connections_max"),
            count=number(parsed, "count") if parsed.flag("count") else None,
            bytes_max=_size(parsed.text("max_size")),
        )

    return built(parsed, build)


def show(front_end: FrontEnd, arguments: list[str]) -> ShowSettings | ParsedOptions:
    """Read show's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed

    def build() -> ShowSettings:
        refuse_unavailable(parsed)
        return ShowSettings(
            **general(parsed),
            recording_file=parsed.parameters[0],
            is_json=parsed.flag("json"),
            has_data_sets=not parsed.flag("no_data_sets"),
            association=number(parsed, "association") if parsed.flag("association") else None,
        )

    return built(parsed, build)


def _port(text: str) -> int:
    try:
        return parse_port(text)
    except BadValueError as bad:
        suffix = f" ({bad})" if str(bad) else ""
        raise CommandLineError(f"Invalid parameter value {text}{suffix}") from None


def _address(text: str) -> str:
    """Return the address to listen on; a name would not say which of several it means."""
    from ipaddress import ip_address

    try:
        return str(ip_address("127.0.0.1" if text == "localhost" else text))
    except ValueError:
        raise CommandLineError(
            f"Invalid value for option --bind ({text}): expected an IP address"
        ) from None


def _size(text: str) -> int:
    digits = text.rstrip("kKmMgGbB")
    unit = text[len(digits) :].lower().removesuffix("b")
    is_number = digits.isascii() and digits.isdecimal() and len(digits) < 20
    if not is_number or unit not in _UNITS:
        raise CommandLineError(f"Invalid value for option --max-size ({text})")
    size = int(digits) * _UNITS[unit]
    if size < _SIZE_MIN:
        raise CommandLineError(f"Invalid value for option --max-size (underflow: {text})")
    if size > _SIZE_MAX:
        raise CommandLineError(f"Invalid value for option --max-size (overflow: {text})")
    return size
