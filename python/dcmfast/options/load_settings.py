"""What load will do: its settings, made from what was typed.

Beside ``settings``, whose rules hold here too.
"""

from __future__ import annotations

import os

from dcmfast.errors import CommandLineError
from dcmfast.limits import LOAD_PIXEL_BYTES_MAX, LOAD_RATE_MAX
from dcmfast.options import amounts
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.settings import SECONDS_MAX, number, read, tcp_environment
from dcmfast.options.specs.load import ACTIONS, ONLY_WITH
from dcmfast.options.tls_settings import TlsSettings, tls
from dcmfast.types import AETitle, PeerAddress, Record

#: Parts of a mix; more would say nothing that fewer do not.
_PARTS_MAX = 1_000_000
#: Commands beside ``specs.load.ACTIONS``.
_OTHERS = ("audit", "compare", "show")
#: Of operations a second: one in a quarter of an hour.
_RATE_MIN = 0.001
#: Sizes that are taken in turn.
_SIZES_MAX = 1000


class LoadTask(Record):
    """What every command of load has."""

    log_level: str
    #: One of ``specs.load.ACTIONS``, ``audit``, ``compare`` or ``show``.
    command: str


class LoadSettings(LoadTask):
    """What load will do to a peer."""

    peer: PeerAddress
    is_remote_allowed: bool
    ae_title: AETitle
    called_ae_title: AETitle
    connection_timeout_s: int
    acse_timeout_s: int
    dimse_timeout_s: int
    #: What connections are secured with; None for plain TCP.
    tls: TlsSettings | None
    max_pdu_bytes: int
    is_tcp_nodelay: bool
    tcp_buffer_bytes: int | None
    #: Action and its parts of the whole.
    mix: tuple[tuple[str, int], ...]
    count: int
    duration_s: int
    associations: int
    #: 0 for no end.
    per_association: int
    #: Operations a second; None for a closed loop.
    rate: float | None
    seed: int
    kind: str
    pixel_bytes: tuple[int, ...]
    patients: int
    studies: int
    series: int
    known: int
    find_level: str
    retrieve_level: str
    destination: str | None
    is_auditing: bool
    #: Files and directories as typed; nothing for objects that are made.
    inputs: tuple[str, ...]
    #: A ledger that an earlier run wrote, which is audited; empty for a run.
    audited_ledger: str
    #: Empty where none is to be written.
    ledger_file: str
    json_file: str
    html_file: str


class ReportSettings(LoadTask):
    """What load will do with reports."""

    files: tuple[str, ...]
    tolerance_percent: int
    html_file: str


def load(front_end: FrontEnd, arguments: list[str]) -> LoadTask | ParsedOptions:
    """Read load's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    return read(front_end, arguments, _task)


def _task(parsed: ParsedOptions) -> LoadTask:
    command = parsed.parameters[0]
    if command not in (*ACTIONS, *_OTHERS):
        names = ", ".join((*ACTIONS, *_OTHERS))
        raise CommandLineError(f"Unknown command {command}; there are {names}")
    for field, chosen in parsed.chosen.items():
        commands = ONLY_WITH.get(field)
        if commands is not None and command not in commands:
            raise CommandLineError(f"{chosen.option.long} not allowed with {command}")
    is_report = command in ("compare", "show")
    return _report(parsed, command) if is_report else _load(parsed, command)


def _report(parsed: ParsedOptions, command: str) -> ReportSettings:
    files = parsed.parameters[1:]
    wanted = 2 if command == "compare" else 1
    if len(files) != wanted:
        few = "Missing parameter: compare takes two reports"
        raise CommandLineError(few if len(files) < wanted else "Too many parameters")
    return ReportSettings(
        log_level=parsed.log_level,
        command=command,
        files=files,
        tolerance_percent=number(parsed, "tolerance"),
        html_file=parsed.text("html") if parsed.flag("html") else "",
    )


def _load(parsed: ParsedOptions, command: str) -> LoadSettings:
    places = parsed.parameters[1:]
    ledger, places = (places[0], places[1:]) if command == "audit" else ("", places)
    if len(places) < 2:
        raise CommandLineError("Missing parameter port")
    host, port, *inputs = places
    if ledger and inputs:
        raise CommandLineError("Too many parameters: audit takes a ledger, a peer and its port")
    mix = _mix(parsed, "store" if ledger else command)
    actions = {action for action, parts in mix if parts}
    if inputs and "store" not in actions:
        raise CommandLineError(f"files are not allowed with {command}")
    if inputs:
        for field in ("kind", "size", "patients", "studies", "series", "known"):
            if parsed.flag(field):
                option = parsed.chosen[field].option.long
                raise CommandLineError(f"{option} not allowed with files")
    destination = parsed.text("destination") if parsed.flag("destination") else None
    if "move" in actions and not destination:
        raise CommandLineError("move needs --destination")
    known = number(parsed, "known")
    if actions & {"find", "get", "move"} and "store" not in actions and not known:
        raise CommandLineError(
            f"{command} needs --known: how many objects an earlier store of this seed made"
        )
    if parsed.flag("audit") and "store" not in actions:
        raise CommandLineError("--audit only allowed with store")
    if known + number(parsed, "count") > 2**32 - 1:
        raise CommandLineError("Invalid value for option --known")
    is_nodelay, buffer_bytes = tcp_environment(os.environ, [])
    return LoadSettings(
        log_level=parsed.log_level,
        command=command,
        peer=PeerAddress(host=host, port=amounts.port(port)),
        is_remote_allowed=parsed.flag("yes_remote"),
        ae_title=AETitle.cut(parsed.text("ae_title")),
        called_ae_title=AETitle.cut(parsed.text("called_ae_title")),
        connection_timeout_s=number(parsed, "connection_timeout_s"),
        acse_timeout_s=number(parsed, "acse_timeout_s"),
        dimse_timeout_s=min(number(parsed, "dimse_timeout_s"), SECONDS_MAX),
        tls=tls(parsed),
        max_pdu_bytes=number(parsed, "max_pdu_bytes"),
        is_tcp_nodelay=is_nodelay,
        tcp_buffer_bytes=buffer_bytes,
        mix=mix,
        count=number(parsed, "count"),
        duration_s=number(parsed, "duration_s"),
        associations=number(parsed, "associations"),
        per_association=number(parsed, "per_association"),
        rate=_rate(parsed),
        seed=_whole(parsed, "seed"),
        kind=parsed.text("kind"),
        pixel_bytes=_sizes(parsed.text("size")),
        patients=number(parsed, "patients"),
        studies=number(parsed, "studies"),
        series=number(parsed, "series"),
        known=known,
        find_level=parsed.text("find_level"),
        retrieve_level=parsed.text("retrieve_level"),
        destination=None if destination is None else str(_title(destination)),
        is_auditing=parsed.flag("audit") or bool(ledger),
        inputs=tuple(inputs),
        audited_ledger=ledger,
        ledger_file=parsed.text("ledger") if parsed.flag("ledger") else "",
        json_file=parsed.text("json") if parsed.flag("json") else "",
        html_file=parsed.text("html") if parsed.flag("html") else "",
    )


def _title(text: str) -> AETitle:
    try:
        return AETitle(text)
    except ValueError as error:
        raise CommandLineError(f"Invalid value for option --destination ({error})") from None


def _whole(parsed: ParsedOptions, field: str) -> int:
    typed = parsed.number(field)
    assert typed is not None, f"{field} has a default"
    return typed


def _mix(parsed: ParsedOptions, command: str) -> tuple[tuple[str, int], ...]:
    if command != "mix":
        return ((command, 1),)
    if not parsed.flag("mix"):
        raise CommandLineError("mix needs --mix")
    text = parsed.text("mix")
    parts: dict[str, int] = {}
    for one in text.split(","):
        action, _, count = one.partition("=")
        is_number = count.isascii() and count.isdecimal() and len(count) < 8
        if action not in ACTIONS[:-1] or action in parts or not is_number:
            raise CommandLineError(f"Invalid value for option --mix ({text})")
        parts[action] = int(count)
    if not 0 < sum(parts.values()) <= _PARTS_MAX:
        raise CommandLineError(f"Invalid value for option --mix ({text})")
    return tuple(parts.items())


def _sizes(text: str) -> tuple[int, ...]:
    sizes = []
    for one in text.split(","):
        size = amounts.size(one)
        if size is None:
            raise CommandLineError(f"Invalid value for option --size ({text})")
        sizes.append(size)
    if max(sizes) > LOAD_PIXEL_BYTES_MAX or len(sizes) > _SIZES_MAX:
        raise CommandLineError(f"Invalid value for option --size (overflow: {text})")
    return tuple(sizes)


def _rate(parsed: ParsedOptions) -> float | None:
    if not parsed.flag("rate"):
        return None
    text = parsed.text("rate")
    return amounts.factor(text, option="--rate", least=_RATE_MIN, most=LOAD_RATE_MAX)
