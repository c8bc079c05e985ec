"""Logger configuration files: the table that they are compiled into, and every refusal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dcmfast.config import log_cfg
from dcmfast.errors import LogConfigurationError

ROOT = "log4cplus.rootLogger = INFO, a\n"
CONSOLE = "log4cplus.appender.a = log4cplus::ConsoleAppender\n"
PATTERN = CONSOLE + (
    "log4cplus.appender.a.layout = log4cplus::PatternLayout\n"
    "log4cplus.appender.a.layout.ConversionPattern = "
)
FILE = "log4cplus.appender.a = log4cplus::{}FileAppender\nlog4cplus.appender.a.File = f.log\n"


def read(tmp_path: Path, text: str, **environment: str) -> log_cfg.LogTable:
    path = tmp_path / "l.cfg"
    path.write_text(text)
    return log_cfg.read(str(path), "storescp", environment)


def only(tmp_path: Path, text: str, **environment: str) -> log_cfg.LogAppender:
    (appender,) = read(tmp_path, ROOT + text, **environment).appenders
    return appender


def test_levels_appenders_and_additivity(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        "# comment\nlog4cplus.rootLogger = warn , a,b\n"
        + CONSOLE
        + "log4cplus.appender.b = log4cplus::NullAppender\r\n"
        "log4cplus.logger.x.y = INHERIT, b\nlog4cplus.logger.x = ALL\n"
        "log4cplus.additivity.x = FALSE\n",
    )
    rows = [(one.name, one.level, one.appenders, one.is_additive) for one in table.branches]
    assert rows == [
        ("", "warn", (0, 1), True),
        ("x.y", None, (1,), True),
        ("x", "trace", (), False),
    ]
    levels = [table.level_of(name) for name in ("x.y.z", "x", "xy", "q", "")]
    assert levels == ["trace", "trace", "warn", "warn", "warn"]
    assert table.notes == ()


def test_the_last_of_repeated_keys_counts(tmp_path: Path) -> None:
    text = "log4cplus.rootLogger = INFO, a\nlog4cplus.rootLogger = ERROR, a\n" + CONSOLE
    assert read(tmp_path, text).level_of("") == "error"


@pytest.mark.parametrize("name", ["logger.cfg", "filelog.cfg"])
@pytest.mark.dcmtk
def test_dcmtks_own_files(tmp_path: Path, name: str) -> None:
    """Both shipped examples are read; their misspelt key is told and has no effect."""
    table = log_cfg.read(f"/etc/dcmtk/{name}", "storescp", {})
    console, file = table.appenders
    assert (console.kind, console.is_error, file.path) == ("console", False, "storescp.log")
    assert [note.partition(": ")[2] for note in table.notes] == [
        "log4cplus.appender.console.logToStderr has no meaning and no effect"
    ]


def test_file_appenders(tmp_path: Path) -> None:
    plain = only(tmp_path, FILE.format(""))
    assert (plain.kind, plain.path, plain.is_appended) == ("file", "f.log", False)
    rolling = only(tmp_path, FILE.format("Rolling"))
    assert (rolling.is_appended, rolling.bytes_max, rolling.backups) == (True, 10 * 2**20, 1)
    size = "log4cplus.appender.a.MaxFileSize = {}\nlog4cplus.appender.a.MaxBackupIndex = {}\n"
    for text, bytes_max in [("1KB", 200 * 1024), ("300 kb", 300 * 1024), ("5MB", 5 * 2**20)]:
        rolling = only(tmp_path, FILE.format("Rolling") + size.format(text, 0))
        assert (rolling.bytes_max, rolling.backups) == (bytes_max, 1)
    daily = only(tmp_path, FILE.format("DailyRolling"))
    assert (daily.schedule, daily.backups, daily.is_appended) == ("daily", 10, True)
    daily = only(
        tmp_path,
        FILE.format("DailyRolling")
        + "log4cplus.appender.a.Schedule = Twice_Daily\nlog4cplus.appender.a.Append = false\n",
    )
    assert (daily.schedule, daily.is_appended) == ("twice_daily", False)


def test_syslog(tmp_path: Path) -> None:
    text = "log4cplus.appender.a = log4cplus::SysLogAppender\n"
    assert (only(tmp_path, text).path, only(tmp_path, text).facility) == ("/dev/log", 1)
    text += "log4cplus.appender.a.ident = me\nlog4cplus.appender.a.facility = local3\n"
    appender = only(tmp_path, text, DCMFAST_SYSLOG_SOCKET="/tmp/s")
    assert (appender.path, appender.ident, appender.facility) == ("/tmp/s", "me", 19)
    text += "log4cplus.appender.a.host = there\n"
    appender = only(tmp_path, text)
    assert (appender.host, appender.port) == ("there", 514)
    assert only(tmp_path, text + "log4cplus.appender.a.port = 99\n").port == 99


def test_an_appender_named_twice_is_one(tmp_path: Path) -> None:
    """As log4cplus has it."""
    table = read(tmp_path, ROOT.replace(", a", ", a, a") + CONSOLE)
    assert table.branches[0].appenders == (0,)


def test_the_older_name_of_a_pattern(tmp_path: Path) -> None:
    """`Pattern`, which log4cplus takes with a warning."""
    pieces = only(tmp_path, PATTERN.replace("ConversionPattern", "Pattern") + "%m\n").pieces
    assert pieces == (("message", "", 0, 0, None, False),)


def test_variables(tmp_path: Path) -> None:
    """What the tool sets comes first, then keys of the file, then the environment."""
    text = FILE.format("").replace("f.log", "${appname}-${pid}-${D}-${E}-${date}")
    appender = only(tmp_path, "D = d\n" + text, D="no", E="e", appname="no")
    assert appender.path.startswith(f"storescp-{os.getpid()}-d-e-2")


def test_patterns(tmp_path: Path) -> None:
    pieces = only(tmp_path, PATTERN + "%-5p|%8.3c{2}%%%n%D{%H:%q}%d%h%F%X{a}x\n").pieces
    host = os.uname().nodename
    assert pieces == (
        ("level", "", 0, 5, None, True),
        ("literal", "|", 0, 0, None, False),
        ("logger", "", 2, 8, 3, False),
        ("literal", "%", 0, 0, None, False),
        ("literal", "\n", 0, 0, None, False),
        ("local", "%H:%q", 0, 0, None, False),
        ("utc", "%Y-%m-%d %H:%M:%S", 0, 0, None, False),
        ("literal", host, 0, 0, None, False),
        ("literal", "", 0, 0, None, False),
        ("literal", "", 0, 0, None, False),
        ("literal", "x", 0, 0, None, False),
    )


def test_filters(tmp_path: Path) -> None:
    key, kind = "log4cplus.appender.a.filters.", "log4cplus::spi::"
    text = (
        f"{key}1 = {kind}LogLevelRangeFilter\n{key}1.LogLevelMin = WARN\n"
        f"{key}2.AcceptOnMatch = true\n"
        f"{key}2 = {kind}StringMatchFilter\n{key}2.StringToMatch = x\n"
        f"{key}3 = {kind}LogLevelMatchFilter\n{key}3.LogLevelToMatch = INFO\n"
        f"{key}4 = {kind}DenyAllFilter\n{key}6 = {kind}DenyAllFilter\n"
    )
    assert only(tmp_path, CONSOLE + text).filters == (
        ("range", "warn", "off", False),
        ("text", "x", "", True),
        ("match", "info", "", False),
        ("deny", "", "", False),
    )


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("log4cplus.rootLogger = LOUD, a\n" + CONSOLE, 1, "no level: LOUD"),
        ("log4cplus.rootLogger =\n", 1, "no level: "),
        ("log4cplus.rootLogger = INHERIT, a\n" + CONSOLE, 1, "no level: INHERIT"),
        (ROOT, 1, "no appender: a"),
        ("log4cplus.rootLogger = INFO\n", 1, "no logger has an appender"),
        (ROOT + CONSOLE + "\nlog4cplus.logger.x = LOUD\n", 4, "no level: LOUD"),
        (
            ROOT + CONSOLE + "log4cplus.additivity.x = maybe\nlog4cplus.logger.x = INFO\n",
            3,
            "maybe",
        ),
        (ROOT + CONSOLE + "log4cplus.appender.a.Threshold = LOUD\n", 3, "no level: LOUD"),
        (ROOT + "log4cplus.appender.a = Foo\n", 2, "no appender class: Foo"),
        (ROOT + "log4cplus.appender.a = log4cplus::SocketAppender\n", 2, "is not available"),
        (ROOT + "log4cplus.appender.a = log4cplus::FileAppender\n", 2, "needs a File"),
        (ROOT + FILE.format("Rolling") + "log4cplus.appender.a.MaxFileSize = 1GB\n", 4, "1G"),
        (ROOT + FILE.format("Rolling") + "log4cplus.appender.a.MaxFileSize = -1\n", 4, "-1"),
        (
            ROOT + FILE.format("Rolling") + "log4cplus.appender.a.MaxBackupIndex = 99999\n",
            4,
            "more",
        ),
        (ROOT + FILE.format("DailyRolling") + "log4cplus.appender.a.Schedule = x\n", 4, "schedule"),
        (ROOT + CONSOLE + "log4cplus.appender.a.layout = Foo\n", 3, "no layout class: Foo"),
        (
            ROOT + CONSOLE + "log4cplus.appender.a.layout = log4cplus::PatternLayout\n",
            3,
            "needs a ConversionPattern",
        ),
        (ROOT + PATTERN + "%z\n", 4, "no conversion: %z"),
        (ROOT + PATTERN + "%5%\n", 4, "no conversion: %5%"),
        (ROOT + PATTERN + "%5.m\n", 4, "no width behind the dot: %5.m"),
        (ROOT + PATTERN + "%-\n", 4, "no conversion: %-"),
        (ROOT + PATTERN + "x%\n", 4, "no conversion: %"),
        (ROOT + PATTERN + "%9999m\n", 4, "more than 1000"),
        (ROOT + PATTERN + "%c{x}\n", 4, "no number: x"),
        (ROOT + PATTERN + "%D{%H\n", 4, "{ without }"),
        (ROOT + FILE.format("") + "log4cplus.appender.a.File = ${NO}\n", 4, "variable NO"),
        (ROOT + FILE.format("") + "log4cplus.appender.a.File = ${NO\n", 4, "${ without }"),
        (ROOT + CONSOLE + "log4cplus.appender.a.filters.1 = x\n", 3, "no filter class: x"),
    ],
)
def test_every_error_names_file_and_line(tmp_path: Path, text: str, line: int, why: str) -> None:
    with pytest.raises(LogConfigurationError) as caught:
        read(tmp_path, text)
    ((letter, told),) = caught.value.lines
    assert letter == "F"
    assert told.startswith(f"cannot read log config file: {tmp_path}/l.cfg, line {line}: ")
    assert why in told


def test_a_key_without_meaning_is_told(tmp_path: Path) -> None:
    table = read(tmp_path, ROOT + CONSOLE + "log4cplus.appender.a.Color = x\nother = y\n")
    assert table.notes == (
        f"{tmp_path}/l.cfg, line 3: log4cplus.appender.a.Color has no meaning and no effect",
    )
