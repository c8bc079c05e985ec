"""Logger configuration files (``-lc``): log4cplus properties, compiled into one plain table.

Source: log4cplus as DCMTK 3.6.7 has it, by way of its running programs.  DCMTK's first four
complaints are the same here (`complaint`); what its library then only mutters about, or aborts on,
is an error here that names file and line.  A key without meaning is no error, because DCMTK's own
example files have one (``logToStderr``); it is told as a note.

The table is served by ``rust/core/src/log/appenders.rs``; nothing is opened here.
"""

from __future__ import annotations

import os
import time

from dcmfast.errors import LogConfigurationError
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

_FILE_BYTES_MAX = 1024 * 1024
_PREFIX = "log4cplus."
#: log4cplus lets no rolling file be smaller.
_ROLLING_BYTES_MIN = 200 * 1024
#: More backups than anybody looks at; each rotation renames them all.
_BACKUPS_MAX = 10_000
_WIDTH_MAX = 1000
#: The syslog daemon's socket; tests name another one in this variable.
_SYSLOG_SOCKET = "/dev/log"
SYSLOG_SOCKET_VARIABLE = "DCMFAST_SYSLOG_SOCKET"
#: RFC 5426 §3.3.
_SYSLOG_PORT = 514

_LEVELS = ("off", "fatal", "error", "warn", "info", "debug", "trace")
_LEVEL_WORDS = {name.upper(): name for name in _LEVELS} | {"ALL": "trace"}
#: RFC 3164 §4.1.1, by the names of syslog(3).
_FACILITIES = {
    "kern": 0,
    "user": 1,
    "mail": 2,
    "daemon": 3,
    "auth": 4,
    "syslog": 5,
    "lpr": 6,
    "news": 7,
    "uucp": 8,
    "cron": 9,
    "authpriv": 10,
    "ftp": 11,
} | {f"local{number}": 16 + number for number in range(8)}
_SCHEDULES = ("monthly", "weekly", "daily", "twice_daily", "hourly", "minutely")

#: Appender classes, and the keys that each has beside `Threshold`, layout and filters.
_FILE_KEYS = ("File", "Append", "ImmediateFlush")
_APPENDERS = {
    "log4cplus::NullAppender": ("null", ()),
    "log4cplus::ConsoleAppender": ("console", ("logToStdErr", "ImmediateFlush")),
    "log4cplus::FileAppender": ("file", _FILE_KEYS),
    "log4cplus::RollingFileAppender": ("rolling", (*_FILE_KEYS, "MaxFileSize", "MaxBackupIndex")),
    "log4cplus::DailyRollingFileAppender": ("daily", (*_FILE_KEYS, "Schedule", "MaxBackupIndex")),
    "log4cplus::SysLogAppender": ("syslog", ("ident", "facility", "host", "port")),
}
_REFUSED_APPENDERS = (
    "log4cplus::SocketAppender",
    "log4cplus::AsyncAppender",
    "log4cplus::Log4jUdpAppender",
)
_LAYOUTS = {
    "log4cplus::SimpleLayout": ("simple", ()),
    "log4cplus::PatternLayout": ("pattern", ("ConversionPattern", "Pattern")),
    "log4cplus::TTCCLayout": ("ttcc", ("DateFormat", "Use_gmtime")),
    "dcmfast::JsonLayout": ("json", ()),
}
_FILTERS = {
    "log4cplus::spi::LogLevelRangeFilter": (
        "range",
        ("LogLevelMin", "LogLevelMax", "AcceptOnMatch"),
    ),
    "log4cplus::spi::LogLevelMatchFilter": ("match", ("LogLevelToMatch", "AcceptOnMatch")),
    "log4cplus::spi::StringMatchFilter": ("text", ("StringToMatch", "AcceptOnMatch")),
    "log4cplus::spi::DenyAllFilter": ("deny", ()),
}
#: Conversion characters that stand for one thing each.
_CONVERSIONS = {
    "m": "message",
    "p": "level",
    "P": "letter",
    "i": "process",
    "t": "thread",
    "T": "thread",
    "r": "elapsed",
}
#: Source places and contexts: DCMTK's would say nothing here, and ours nothing to DCMTK's users.
_EMPTY_CONVERSIONS = "FbLlMxX"
_DATE_DEFAULT = "%Y-%m-%d %H:%M:%S"

#: What a filter is, a level or text, the highest level of a range, whether it accepts.
FilterRow = tuple[str, str, str, bool]
#: What a piece of a pattern is, its text, parts of a logger's name, width, cut, left-aligned.
PieceRow = tuple[str, str, int, int, "int | None", bool]


class LogBranch(Record):
    """One logger; the root's name is empty."""

    name: str
    #: A word of `_LEVELS`; None inherits the parent's.
    level: str | None
    #: Indices into the table's appenders.
    appenders: tuple[int, ...]
    #: Events go to the parent's appenders as well.
    is_additive: bool


class LogAppender(Record):
    """One appender; the fields that its kind does not have keep their defaults."""

    name: str
    #: Where it is declared, for errors found later.
    line: int
    #: null, console, file, rolling, daily or syslog.
    kind: str
    is_error: bool = False
    #: The log file, or the syslog daemon's socket.
    path: str = ""
    is_appended: bool = False
    bytes_max: int = 0
    backups: int = 0
    schedule: str = ""
    ident: str = ""
    facility: int = 0
    #: Another host's daemon, and its port; none for this host's.
    host: str = ""
    port: int = 0
    #: What this host calls itself.
    own_name: str = ""
    threshold: str = "trace"
    filters: tuple[FilterRow, ...] = ()
    #: simple, pattern, ttcc or json.
    layout: str = "simple"
    date_format: str | None = None
    is_utc: bool = False
    pieces: tuple[PieceRow, ...] = ()


class LogTable(Record):
    """A whole configuration."""

    #: The file it came from; empty for ``--log-json``.
    source: str
    branches: tuple[LogBranch, ...]
    appenders: tuple[LogAppender, ...]
    #: Keys without meaning, one sentence each.
    notes: tuple[str, ...] = ()

    def level_of(self, logger: str) -> str:
        """Return the level in force for `logger`: its own, or the nearest parent's."""
        best, level = -1, "off"
        for branch in self.branches:
            name = branch.name
            is_above = not name or logger == name or logger.startswith(name + ".")
            if is_above and branch.level is not None and len(name) > best:
                best, level = len(name), branch.level
        return level


def complaint(path: str) -> str | None:
    """Return why `path` is no logger configuration, in DCMTK's words; None if it may be one."""
    try:
        keys = [key for _, key, _ in _settings(path)]
    except PermissionError:
        return "Specified --log-config file cannot be read"
    except (OSError, ValueError):
        return "Specified --log-config file does not exist"
    if not keys:
        return "Specified --log-config file does not contain any settings"
    if not any(key.startswith(_PREFIX) for key in keys):
        return "Specified --log-config file does not contain any valid settings"
    if "log4cplus.rootLogger" not in keys:
        return "Specified --log-config file does not set up log4cplus.rootLogger"
    return None


def read(path: str, tool: str, environment: Mapping[str, str]) -> LogTable:
    """Compile a configuration that `complaint` has nothing against.

    Parameters
    ----------
    path
        The file.
    tool
        The program's name, for ``${appname}``.
    environment
        Where ``${NAME}`` is looked up when the file has no such key.

    Raises
    ------
    LogConfigurationError
        With file and line.
    """
    return _Reader(path, tool, environment).table()


def json_table(level: str) -> LogTable:
    """Return the table of ``--log-json``: every event of `level` as JSON on standard error."""
    appender = LogAppender(name="console", line=0, kind="console", is_error=True, layout="json")
    root = LogBranch(name="", level=level, appenders=(0,), is_additive=True)
    return LogTable(source="", branches=(root,), appenders=(appender,))


def refused(path: str, line: int, text: str) -> LogConfigurationError:
    """Return the error of one line of a configuration file."""
    return LogConfigurationError(("F", f"cannot read log config file: {path}, line {line}: {text}"))


def _settings(path: str) -> list[tuple[int, str, str]]:
    """Return line number, key and value of each setting of the file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read(_FILE_BYTES_MAX)
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            found.append((number, key.strip(), value.strip()))
    return found


class _Reader:
    """One walk over a file: every key is taken once, and what stays over is noted."""

    def __init__(self, path: str, tool: str, environment: Mapping[str, str]) -> None:
        self.path = path
        self.environment = environment
        # Of a repeated key the last one counts.
        self.values: dict[str, str] = {}
        self.lines: dict[str, int] = {}
        for line, key, value in _settings(path):
            self.values[key] = value
            self.lines[key] = line
        self.host = os.uname().nodename
        self.set_by_tool = {
            "appname": tool,
            "hostname": self.host,
            "pid": str(os.getpid()),
            "date": time.strftime("%Y%m%d"),
            "time": time.strftime("%H%M%S"),
        }
        self.taken: set[str] = set()

    def table(self) -> LogTable:
        appenders = [
            self._appender(key)
            for key in self.values
            if key.startswith("log4cplus.appender.") and key.count(".") == 2
        ]
        places = {appender.name: at for at, appender in enumerate(appenders)}
        branches = [self._branch("log4cplus.rootLogger", "", places)]
        branches += [
            self._branch(key, key.removeprefix("log4cplus.logger."), places)
            for key in self.values
            if key.startswith("log4cplus.logger.")
        ]
        if not any(branch.appenders for branch in branches) and branches[0].level != "off":
            self._fail("log4cplus.rootLogger", "no logger has an appender, so no line would appear")
        return LogTable(
            source=self.path,
            branches=tuple(branches),
            appenders=tuple(appenders),
            notes=tuple(
                f"{self.path}, line {self.lines[key]}: {key} has no meaning and no effect"
                for key in self.values
                if key.startswith(_PREFIX) and key not in self.taken
            ),
        )

    def _fail(self, key: str, text: str) -> NoReturn:
        raise refused(self.path, self.lines[key], text)

    # ---- Values

    def _has(self, key: str) -> bool:
        return key in self.values

    def _text(self, key: str) -> str:
        """Return the value with ``${NAME}`` replaced."""
        self.taken.add(key)
        value, done = self.values[key], ""
        while True:
            before, opening, rest = value.partition("${")
            done += before
            if not opening:
                return done
            name, closing, value = rest.partition("}")
            if not closing:
                self._fail(key, "${ without }")
            for source in (self.set_by_tool, self.values, self.environment):
                if name in source:
                    done += source[name]
                    break
            else:
                self._fail(key, f"there is no key and no environment variable {name}")

    def _word(self, key: str, words: Mapping[str, object] | tuple[str, ...], what: str) -> str:
        value = self._text(key)
        if value not in words:
            self._fail(key, f"no {what}: {value}")
        return value

    def _level(self, key: str, text: str) -> str:
        level = _LEVEL_WORDS.get(text.upper())
        if level is None:
            self._fail(key, f"no level: {text}")
        return level

    def _level_at(self, key: str, default: str) -> str:
        return self._level(key, self._text(key)) if self._has(key) else default

    def _bool(self, key: str, *, default: bool) -> bool:
        if not self._has(key):
            return default
        value = self._text(key).lower()
        if value not in ("true", "false", "1", "0"):
            self._fail(key, f"neither true nor false: {value}")
        return value in ("true", "1")

    def _number(self, key: str, digits: str, maximum: int) -> int:
        if not digits.isascii() or not digits.isdecimal() or len(digits) > 18:
            self._fail(key, f"no number: {digits}")
        if int(digits) > maximum:
            self._fail(key, f"more than {maximum}: {digits}")
        return int(digits)

    # ---- Loggers

    def _branch(self, key: str, name: str, places: Mapping[str, int]) -> LogBranch:
        words = [word.strip() for word in self._text(key).split(",")]
        level = None
        if not name or words[0].upper() != "INHERIT":
            level = self._level(key, words[0])
        for word in words[1:]:
            if word not in places:
                self._fail(key, f"no appender: {word}")
        return LogBranch(
            name=name,
            level=level,
            # Named twice is named once, as with log4cplus.
            appenders=tuple(dict.fromkeys(places[word] for word in words[1:])),
            is_additive=self._bool(f"log4cplus.additivity.{name}", default=True),
        )

    # ---- Appenders

    def _appender(self, key: str) -> LogAppender:
        name = key.removeprefix("log4cplus.appender.")
        class_name = self._text(key)
        if class_name in _REFUSED_APPENDERS:
            self._fail(key, f"{class_name} is not available")
        if class_name not in _APPENDERS:
            self._fail(key, f"no appender class: {class_name}")
        kind, keys = _APPENDERS[class_name]
        fields: dict[str, Any] = {}
        if "File" in keys:
            fields |= self._file(key, kind)
        if "logToStdErr" in keys:
            fields["is_error"] = self._bool(f"{key}.logToStdErr", default=False)
        if "ImmediateFlush" in keys:
            # Every event is written at once; the value is only checked.
            self._bool(f"{key}.ImmediateFlush", default=True)
        if kind == "syslog":
            fields |= self._syslog(key)
        return LogAppender(
            name=name,
            line=self.lines[key],
            kind=kind,
            threshold=self._level_at(f"{key}.Threshold", "trace"),
            filters=self._filters(f"{key}.filters."),
            **fields,
            **self._layout(f"{key}.layout"),
        )

    def _file(self, key: str, kind: str) -> dict[str, Any]:
        if not self._has(f"{key}.File") or not self._text(f"{key}.File"):
            self._fail(key, "a file appender needs a File")
        fields: dict[str, Any] = {
            "path": self._text(f"{key}.File"),
            # log4cplus: what is set aside by and by is never begun anew.
            "is_appended": self._bool(f"{key}.Append", default=kind != "file"),
        }
        if kind == "rolling":
            fields["bytes_max"] = self._size(f"{key}.MaxFileSize")
            fields["backups"] = self._backups(f"{key}.MaxBackupIndex", 1)
        if kind == "daily":
            schedule = "daily"
            if self._has(f"{key}.Schedule"):
                schedule = self._text(f"{key}.Schedule").lower()
                if schedule not in _SCHEDULES:
                    self._fail(f"{key}.Schedule", f"no schedule: {schedule}")
            fields["schedule"] = schedule
            fields["backups"] = self._backups(f"{key}.MaxBackupIndex", 10)
        return fields

    def _size(self, key: str) -> int:
        if not self._has(key):
            return 10 * 1024 * 1024
        text, factor = self._text(key).upper(), 1
        for suffix, its_factor in (("KB", 1024), ("MB", 1024 * 1024)):
            if text.endswith(suffix):
                text, factor = text.removesuffix(suffix).rstrip(), its_factor
        return max(self._number(key, text, 2**62 // factor) * factor, _ROLLING_BYTES_MIN)

    def _backups(self, key: str, default: int) -> int:
        if not self._has(key):
            return default
        return max(self._number(key, self._text(key), _BACKUPS_MAX), 1)

    def _syslog(self, key: str) -> dict[str, Any]:
        facility = "user"
        if self._has(f"{key}.facility"):
            facility = self._word(f"{key}.facility", _FACILITIES, "syslog facility")
        port = _SYSLOG_PORT
        if self._has(f"{key}.port"):
            port = self._number(f"{key}.port", self._text(f"{key}.port"), 65535)
        return {
            "host": self._text(f"{key}.host") if self._has(f"{key}.host") else "",
            "port": port,
            "own_name": self.host,
            "path": self.environment.get(SYSLOG_SOCKET_VARIABLE) or _SYSLOG_SOCKET,
            "ident": self._text(f"{key}.ident") if self._has(f"{key}.ident") else "",
            "facility": _FACILITIES[facility],
        }

    def _filters(self, prefix: str) -> tuple[FilterRow, ...]:
        rows = []
        # As log4cplus: from 1 on, up to the first number that is missing.
        number = 1
        while self._has(f"{prefix}{number}"):
            rows.append(self._filter(f"{prefix}{number}"))
            number += 1
        return tuple(rows)

    def _filter(self, key: str) -> FilterRow:
        kind, keys = _FILTERS[self._word(key, _FILTERS, "filter class")]
        accepts = False
        if "AcceptOnMatch" in keys:
            # Without the key a match is denied, or passed on, as with log4cplus.
            accepts = self._bool(f"{key}.AcceptOnMatch", default=False)
        if kind == "range":
            lowest = self._level_at(f"{key}.LogLevelMin", "trace")
            return (kind, lowest, self._level_at(f"{key}.LogLevelMax", "off"), accepts)
        if kind == "match":
            if not self._has(f"{key}.LogLevelToMatch"):
                self._fail(key, "the filter needs LogLevelToMatch")
            return (kind, self._level_at(f"{key}.LogLevelToMatch", ""), "", accepts)
        if kind == "text":
            if not self._has(f"{key}.StringToMatch"):
                self._fail(key, "the filter needs StringToMatch")
            return (kind, self._text(f"{key}.StringToMatch"), "", accepts)
        return (kind, "", "", False)

    # ---- Layouts

    def _layout(self, key: str) -> dict[str, Any]:
        if not self._has(key):
            return {}
        kind = _LAYOUTS[self._word(key, _LAYOUTS, "layout class")][0]
        fields: dict[str, Any] = {"layout": kind}
        if kind == "ttcc":
            if self._has(f"{key}.DateFormat"):
                fields["date_format"] = self._text(f"{key}.DateFormat")
            fields["is_utc"] = self._bool(f"{key}.Use_gmtime", default=False)
        if kind == "pattern":
            pattern = f"{key}.ConversionPattern"
            if not self._has(pattern) and self._has(f"{key}.Pattern"):
                # The older name, which log4cplus takes with a warning.
                pattern = f"{key}.Pattern"
            if not self._has(pattern):
                self._fail(key, "PatternLayout needs a ConversionPattern")
            fields["pieces"] = self._pieces(pattern, self._text(pattern))
        return fields

    def _pieces(self, key: str, pattern: str) -> tuple[PieceRow, ...]:
        rows: list[PieceRow] = []
        while pattern:
            before, percent, rest = pattern.partition("%")
            if before:
                rows.append(("literal", before, 0, 0, None, False))
            if not percent:
                break
            row, pattern = self._piece(key, rest)
            rows.append(row)
        return tuple(rows)

    def _piece(self, key: str, rest: str) -> tuple[PieceRow, str]:
        """Read one conversion, behind its percent sign."""
        whole = rest
        is_left = rest[:1] == "-"
        rest = rest.removeprefix("-")
        minimum, rest = self._width(key, rest)
        maximum = None
        if rest[:1] == ".":
            if rest[1:2] not in set("0123456789"):
                self._fail(key, f"no width behind the dot: %{whole}")
            maximum, rest = self._width(key, rest[1:])
        character, rest = rest[:1], rest[1:]
        option = ""
        if character and character in "cdDX" and rest[:1] == "{":
            option, closing, rest = rest[1:].partition("}")
            if not closing:
                self._fail(key, f"{{ without }}: %{whole}")
        parts = 0
        text = ""
        if character in ("%", "n") and whole[0] == character:
            kind, text = "literal", "%" if character == "%" else "\n"
        elif character in _CONVERSIONS:
            kind = _CONVERSIONS[character]
        elif character == "c":
            kind = "logger"
            parts = self._number(key, option, _WIDTH_MAX) if option else 0
        elif character in ("d", "D") and character:
            kind = "utc" if character == "d" else "local"
            text = option or _DATE_DEFAULT
        elif character in ("h", "H") and character:
            kind, text = "literal", self.host
        elif character and character in _EMPTY_CONVERSIONS:
            kind = "literal"
        else:
            self._fail(key, f"no conversion: %{whole[: len(whole) - len(rest)]}")
        return (kind, text, parts, minimum, maximum, is_left), rest

    def _width(self, key: str, rest: str) -> tuple[int, str]:
        length = 0
        while length < len(rest) and rest[length] in "0123456789":
            length += 1
        return (self._number(key, rest[:length], _WIDTH_MAX) if length else 0), rest[length:]
