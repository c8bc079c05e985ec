"""What record, show and replay will do: their settings, made from what was typed.

Beside ``settings``, whose rules hold here too.
"""

from __future__ import annotations

from dcmfast.errors import CommandLineError
from dcmfast.options import amounts
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.settings import GeneralSettings, general, number, read, seconds
from dcmfast.options.specs.replay import ASPECTS
from dcmfast.types import AETitle, PeerAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: No recording is smaller than its own frame needs, or larger than a file can be.
_SIZE_MIN, _SIZE_MAX = 4096, 2**62
#: A thousand times slower or faster.
_SPEED_MIN, _SPEED_MAX = 0.001, 1000


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
    #: ``keep``, ``replace`` or ``leave-out``.
    data_sets: str
    masks_names: bool


class ShowSettings(GeneralSettings):
    """What show will do."""

    recording_file: str
    is_json: bool
    has_data_sets: bool
    #: None for all.
    association: int | None
    #: A recording to be written instead; empty for none.
    out_file: str
    is_replacing: bool
    #: ``keep``, ``replace`` or ``leave-out``.
    data_sets: str
    masks_names: bool


class ReplaySettings(GeneralSettings):
    """What replay will do."""

    #: ``requestor`` or ``acceptor``.
    side: str
    recording_file: str
    #: Of the requestor's peer; empty for the acceptor.
    host: str
    bind: str
    port: int
    ae_title: str | None
    called_ae_title: str | None
    connection_timeout_s: int | None
    event_timeout_s: int
    association: int | None
    #: Differences that are none.
    ignored: tuple[str, ...]
    #: How fast time passes, where the recorded times are kept.
    speed: float | None
    is_json: bool


def record(front_end: FrontEnd, arguments: list[str]) -> RecorderSettings | ParsedOptions:
    """Read record's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    return read(front_end, arguments, _record)


def _record(parsed: ParsedOptions) -> RecorderSettings:
    path, listen, host, port = parsed.parameters
    return RecorderSettings(
        **general(parsed),
        recording_file=path,
        is_replacing=parsed.flag("overwrite"),
        bind=_address(parsed.text("bind")),
        port=0 if listen == "0" else amounts.port(listen),
        peer=PeerAddress(host=host, port=amounts.port(port)),
        connection_timeout_s=seconds(parsed, "connection_timeout_s"),
        connections_max=number(parsed, "connections_max"),
        count=number(parsed, "count") if parsed.flag("count") else None,
        bytes_max=_size(parsed.text("max_size")),
        **_treatment(parsed),
    )


def show(front_end: FrontEnd, arguments: list[str]) -> ShowSettings | ParsedOptions:
    """Read show's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    return read(front_end, arguments, _show)


def _show(parsed: ParsedOptions) -> ShowSettings:
    return ShowSettings(
        **general(parsed),
        recording_file=parsed.parameters[0],
        is_json=parsed.flag("json"),
        has_data_sets=not parsed.flag("no_data_sets"),
        association=_association(parsed),
        out_file=parsed.text("write") if parsed.flag("write") else "",
        is_replacing=parsed.flag("overwrite"),
        **_treatment(parsed),
    )


def replay(front_end: FrontEnd, arguments: list[str]) -> ReplaySettings | ParsedOptions:
    """Read replay's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    return read(front_end, arguments, _replay)


def _replay(parsed: ParsedOptions) -> ReplaySettings:
    side, path, *place = parsed.parameters
    if side not in ("requestor", "acceptor"):
        raise CommandLineError(f"Unknown side {side}; there are requestor and acceptor")
    is_requestor = side == "requestor"
    if len(place) < (2 if is_requestor else 1):
        raise CommandLineError("Missing parameter port")
    if len(place) > (2 if is_requestor else 1):
        raise CommandLineError("Too many parameters: an acceptor takes the port to listen on")
    only = ("bind",) if is_requestor else ("ae_title", "called_ae_title", "connection_timeout_s")
    for field in only:
        if field in parsed.chosen:
            long = parsed.chosen[field].option.long
            raise CommandLineError(f"{long} not allowed with {side}")
    return ReplaySettings(
        **general(parsed),
        side=side,
        recording_file=path,
        host=place[0] if is_requestor else "",
        bind=_address(parsed.text("bind")),
        port=0 if place[-1] == "0" and not is_requestor else amounts.port(place[-1]),
        ae_title=_title(parsed, "ae_title"),
        called_ae_title=_title(parsed, "called_ae_title"),
        connection_timeout_s=seconds(parsed, "connection_timeout_s"),
        event_timeout_s=number(parsed, "event_timeout_s"),
        association=_association(parsed),
        ignored=_ignored(parsed),
        speed=_speed(parsed),
        is_json=parsed.flag("json"),
    )


def _association(parsed: ParsedOptions) -> int | None:
    return number(parsed, "association") if parsed.flag("association") else None


def _treatment(parsed: ParsedOptions) -> dict[str, Any]:
    chosen = parsed.chosen.get("data_sets")
    return {
        "data_sets": chosen.option.choice if chosen is not None else "keep",
        "masks_names": parsed.flag("mask_names"),
    }


def _title(parsed: ParsedOptions, field: str) -> str | None:
    return str(AETitle.cut(parsed.text(field))) if parsed.flag(field) else None


def _ignored(parsed: ParsedOptions) -> tuple[str, ...]:
    is_compared = dict(ASPECTS)
    for field, compares in (("ignore_aspects", False), ("compare_aspects", True)):
        if not parsed.flag(field):
            continue
        text = parsed.text(field)
        for word in text.split(","):
            if word not in is_compared:
                option = parsed.chosen[field].option.long
                names = ", ".join(ASPECTS)
                raise CommandLineError(f"Invalid value for option {option} ({text}): {names}")
            is_compared[word] = compares
    return tuple(word for word, compares in is_compared.items() if not compares)


def _speed(parsed: ParsedOptions) -> float | None:
    if not parsed.flag("speed"):
        return None
    text = parsed.text("speed")
    return amounts.factor(text, option="--real-time", least=_SPEED_MIN, most=_SPEED_MAX)


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
    size = amounts.size(text)
    if size is None:
        raise CommandLineError(f"Invalid value for option --max-size ({text})")
    if size < _SIZE_MIN:
        raise CommandLineError(f"Invalid value for option --max-size (underflow: {text})")
    if size > _SIZE_MAX:
        raise CommandLineError(f"Invalid value for option --max-size (overflow: {text})")
    return size
