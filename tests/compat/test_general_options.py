"""The options that every tool has, for every tool that DCMTK has, beside DCMTK's.

Each command line fails at the first thing behind its checks (a missing directory, configuration or
file, a port that nobody listens on), so that nothing runs for long; what is compared is what is
said on the way, and where.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from testkit.command_lines import FRONT_ENDS, base
from testkit.process import run_tool

pytestmark = pytest.mark.dcmtk

TOOLS = [tool for tool, front_end in FRONT_ENDS.items() if front_end.is_dcmtks]
#: What is said at DEBUG behind the banner describes associations and insides, and has tests of its
#: own; so has the search for files of storescu.  Lines of ours that DCMTK does not have.
INSIDES = re.compile(r"D: (?!\$dcm)|T: |[FEWI]: dcmfast\.|I: checking input files ")
BANNER = re.compile(r"\$dcm(?:tk|fast): (\w+) v\S+ \S+ \$")
Said = tuple[int, list[str], list[str]]
Run = Callable[[str, list[str]], tuple[Said, Said]]


def plain(text: str) -> list[str]:
    lines = [line.partition(" (--")[0] for line in text.splitlines() if not INSIDES.match(line)]
    return [BANNER.sub(r"$\1$", line).rstrip() for line in lines]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Exit code and lines of both streams, of DCMTK's program and of ours, which runs here."""

    def both(tool: str, arguments: list[str]) -> tuple[Said, Said]:
        done = run_tool("dcmtk", tool, arguments)
        capfd.readouterr()
        code = importlib.import_module(f"dcmfast.apps.{tool}").main(arguments)
        out, err = capfd.readouterr()
        return (done.code, plain(done.stdout), plain(done.stderr)), (code, plain(out), plain(err))

    return both


LEVELS = [
    [], ["-q"], ["-v"], ["-d"], ["-ll", "off"], ["--log-level", "error"], ["-ll", "trace"],
    ["--quiet", "--verbose"], ["--debug", "-q"],
]  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("options", LEVELS, ids=" ".join)
def test_levels(tool: str, options: list[str], run: Run) -> None:
    theirs, ours = run(tool, [*options, *base(tool)])
    assert ours == theirs


@pytest.mark.parametrize("tool", TOOLS)
def test_arguments(tool: str, run: Run) -> None:
    theirs, ours = run(tool, ["-q", "--arguments", *base(tool)])
    # The program's name is as typed, which is a path there.
    called = [[re.sub(r"'\S*'", "''", line, count=1) for line in one[2]] for one in (theirs, ours)]
    assert called[1] == called[0]


@pytest.mark.parametrize("tool", TOOLS)
def test_help(tool: str, run: Run) -> None:
    """The usage: the same opening, parameters and groups; options have a test of their own."""
    theirs, ours = run(tool, ["--help"])
    assert (ours[0], ours[2]) == (theirs[0], theirs[2]) == (0, [])
    end = theirs[1].index("general options:")
    assert ours[1][: end + 1] == theirs[1][: end + 1]


@pytest.mark.parametrize("tool", TOOLS)
def test_version(tool: str, run: Run) -> None:
    theirs, ours = run(tool, ["--version"])
    assert (ours[0], ours[2]) == (theirs[0], theirs[2]) == (0, [])
    assert ours[1][:3] == theirs[1][:3]
    assert [line for line in ours[1] if line.startswith("Host type: ")]
    assert [line for line in ours[1] if line.startswith("External libraries used:")]


@pytest.mark.parametrize("tool", TOOLS)
def test_log_config(tool: str, run: Run, tmp_path: Path) -> None:
    """The reason for the end is in the file, with the tool's logger, and nowhere else."""
    log = tmp_path / "log"
    config = tmp_path / "log.cfg"
    config.write_text(
        "log4cplus.rootLogger = WARN, a\nlog4cplus.appender.a = log4cplus::FileAppender\n"
        f"log4cplus.appender.a.File = {log}\nlog4cplus.appender.a.Append = true\n"
        "log4cplus.appender.a.layout = log4cplus::PatternLayout\n"
        "log4cplus.appender.a.layout.ConversionPattern = %p|%c|%m%n\n"
    )
    theirs, ours = run(tool, ["-lc", str(config), *base(tool)])
    assert ours == theirs
    # DCMTK's program has made the file, and ours has written behind its lines, and its own cause.
    told = [line for line in plain(log.read_text()) if "|dcmfast." not in line]
    assert told == told[: len(told) // 2] * 2
    assert told


@pytest.mark.parametrize("tool", TOOLS)
def test_log_json(tool: str, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """What DCMTK says in lines is one object for each event."""
    theirs, ours = run(tool, [*base(tool)])
    capfd.readouterr()
    code = importlib.import_module(f"dcmfast.apps.{tool}").main(["--log-json", *base(tool)])
    assert code == ours[0] == theirs[0]
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {event["level"] for event in events} <= {"WARN", "ERROR", "FATAL"}
    events = [event for event in events if not event["logger"].startswith("dcmfast.")]
    said = "\n".join(line[3:] for line in ours[2])
    assert "\n".join(event["message"].partition(" (--")[0] for event in events) == said
