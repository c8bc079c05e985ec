"""What the tools of an index will do: settings of index and dcmqridx, made from what was typed.

Beside ``settings``, whose rules hold here too.
"""

from __future__ import annotations

import os

from dcmfast.errors import CommandLineError, ConfigurationError
from dcmfast.options import amounts
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.settings import built, dictionary, parse, refuse_unavailable
from dcmfast.options.specs.index import COMMANDS, FILE_COMMANDS
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.config.dictionary import Dictionary
    from dcmfast.config.log_cfg import LogTable

#: No study is larger than a file system.
_STUDY_BYTES_MAX = 2**62


class IndexSettings(Record):
    """What index will do."""

    log_level: str
    #: One of ``COMMANDS``.
    command: str
    directory: str
    #: Of export and import; empty otherwise.
    file: str
    is_json: bool
    shows_studies: bool
    shows_outside: bool
    #: ``metadata``, ``digest`` or ``full``.
    depth: str
    is_repairing: bool
    #: None for one per processor.
    threads: int | None
    studies_max: int | None
    study_bytes_max: int | None


class RegisterSettings(Record):
    """What dcmqridx will do."""

    log_level: str
    #: How log events are formatted and where they go; None for DCMTK's form on stderr.
    log_table: LogTable | None
    arguments_line: str | None
    #: What ``DCMDICTPATH`` puts in the place of the built-in data dictionary.
    dictionary: Dictionary | None
    directory: str
    #: As typed.
    files: tuple[str, ...]
    is_printing: bool
    #: Files are registered as "not new".
    is_reviewed: bool


def index(front_end: FrontEnd, arguments: list[str]) -> IndexSettings | ParsedOptions:
    """Read index's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed
    return built(parsed, lambda: _index(parsed))


def _index(parsed: ParsedOptions) -> IndexSettings:
    command, directory = parsed.parameters[:2]
    if command not in COMMANDS:
        expected = ", ".join(COMMANDS)
        raise CommandLineError(f"Invalid parameter value {command}: expected one of {expected}")
    known = {field for fields in COMMANDS.values() for field in fields}
    for field in sorted(known - set(COMMANDS[command])):
        if parsed.flag(field):
            name = parsed.chosen[field].option.long
            raise CommandLineError(f"{name} not allowed with {command}")
    file = parsed.parameters[2] if len(parsed.parameters) > 2 else ""
    if bool(file) != (command in FILE_COMMANDS):
        raise CommandLineError("Too many parameters" if file else "Missing parameter file")
    limits = parsed.number("studies_max"), _bytes(parsed)
    if command == "quota":
        if not parsed.flag("dry_run"):
            raise CommandLineError("quota only says what would go: type --dry-run")
        if parsed.flag("config"):
            configured = _configured_limits(parsed.text("config"), directory)
            limits = limits[0] or configured[0], limits[1] or configured[1]
        elif limits == (None, None):
            raise CommandLineError("quota needs --config, or --max-studies or --max-study-bytes")
    return IndexSettings(
        log_level=parsed.log_level,
        command=command,
        directory=directory,
        file=file,
        is_json=parsed.flag("json"),
        shows_studies=parsed.flag("studies"),
        shows_outside=parsed.flag("outside"),
        depth=parsed.choice("depth") if parsed.flag("depth") else "metadata",
        is_repairing=parsed.flag("repair"),
        threads=parsed.number("threads"),
        studies_max=limits[0],
        study_bytes_max=limits[1],
    )


def _configured_limits(path: str, directory: str) -> tuple[int | None, int | None]:
    """Return studies and bytes per study that a configuration of dcmqrscp allows an area.

    Of several lines for one area the first counts, as it does for the server.
    """
    from dcmfast.config import qrscp_cfg

    try:
        config = qrscp_cfg.read(path)
    except OSError as error:
        raise ConfigurationError(("F", f"cannot access {path}: {error.strerror}")) from None
    wanted = os.path.realpath(directory)
    for one in config.applications:
        if os.path.realpath(one.storage_area) == wanted:
            return one.studies_max, one.study_bytes_max
    raise ConfigurationError(("F", f"{path} has no storage area {directory}"))


def _bytes(parsed: ParsedOptions) -> int | None:
    values = parsed.values("study_bytes_max")
    if not values:
        return None
    text = str(values[0])
    size = amounts.size(text)
    if size is None or size > _STUDY_BYTES_MAX:
        raise CommandLineError(f"Invalid value for option --max-study-bytes ({text})")
    return size


def dcmqridx(front_end: FrontEnd, arguments: list[str]) -> RegisterSettings | ParsedOptions:
    """Read dcmqridx's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed

    def build() -> RegisterSettings:
        refuse_unavailable(parsed)
        return RegisterSettings(
            log_level=parsed.log_level,
            log_table=parsed.log_table,
            arguments_line=parsed.arguments_line,
            dictionary=dictionary(os.environ),
            directory=os.path.abspath(parsed.parameters[0]),
            files=parsed.parameters[1:],
            is_printing=parsed.flag("print"),
            is_reviewed=parsed.flag("not_new"),
        )

    return built(parsed, build)
