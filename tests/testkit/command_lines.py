"""Command lines that are given to DCMTK's program and to our front end, and what both say.

Ours runs in this process, up to the point where it would start.  The output directory does not
exist, so that no receiver of DCMTK's ever listens; the requestors call a port that nobody listens
on.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from dcmfast.apps import frame
from dcmfast.options import (
    archive_settings,
    conversion_settings,
    query_settings,
    sending_settings,
    settings,
)
from dcmfast.options.option import Option, Text, Word
from dcmfast.options.specs import all_front_ends

#: dcmqridx fails where it opens its storage area: tests/apps/test_dcmqridx.py compares that.
ELSEWHERE = {"dcmqridx"}
FRONT_ENDS = {one.tool: one for one in all_front_ends() if one.tool not in ELSEWHERE}
MISSING = "/nonexistent"

#: What makes a command line fail after every check has passed.
RECEIVER = ["11112", "-od", MISSING]
ARCHIVE = ["11112", "-c", MISSING]
REQUESTOR = {
    "echoscu": ["127.0.0.1", "1"],
    "storescu": ["127.0.0.1", "1", f"{MISSING}/file"],
    "dcmsend": ["127.0.0.1", "1", f"{MISSING}/file"],
    "movescu": ["127.0.0.1", "1", "-k", "PatientID=1"],
    "findscu": ["127.0.0.1", "1", "-k", "PatientID=1"],
    "getscu": ["127.0.0.1", "1", "-k", "PatientID=1"],
    "dcmconv": [f"{MISSING}/in", f"{MISSING}/out"],
}
#: Spares DCMTK's programs half of the time of a start.
SMALL_DICTIONARY = Path(__file__).with_name("small.dic")
#: What makes the settings of each tool, if not a function of `settings`.
READERS = {
    "dcmqrscp": archive_settings.dcmqrscp,
    "dcmconv": conversion_settings.dcmconv,
    "storescu": sending_settings.storescu,
    "dcmsend": sending_settings.dcmsend,
    **{
        tool: functools.partial(getattr(query_settings, tool), check_key=frame.check_key)
        for tool in ("movescu", "findscu", "getscu")
    },
}


def theirs(tool: str, arguments: list[str]) -> tuple[int, str]:
    """Exit code and error text of DCMTK's program."""
    done = subprocess.run(
        [f"/usr/bin/{tool}", *arguments],
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "DCMDICTPATH": str(SMALL_DICTIONARY)},
    )
    return done.returncode, error_text(done.stderr.decode(errors="surrogateescape"))


def error_text(output: str) -> str:
    """The text behind ``error: ``, or the fatal log lines without their banner."""
    found = re.search(r"^error: (.*)", output, re.MULTILINE | re.DOTALL)
    if found:
        return found[1].rstrip("\n")
    return "\n".join(
        line
        for line in output.splitlines()
        # Lines of ours name their logger: where in a file a fault stands.
        if line.startswith(("F: ", "E: ")) and not line[3:].startswith("dcmfast.")
    )


def ours(tool: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and error text of our front end, which never starts."""
    capsys.readouterr()

    def run(_: object) -> int:
        return 0

    read = READERS.get(tool) or getattr(settings, tool)
    code = frame.main(FRONT_ENDS[tool], read, run, arguments)
    return code, error_text(capsys.readouterr().err)


def base(tool: str) -> list[str]:
    if tool == "dcmqrscp":
        return ARCHIVE
    return REQUESTOR.get(tool, RECEIVER)


def instances(option: Option, *, is_bad_asked: bool = True) -> list[list[str]]:
    """The option with good values, and if it has a number with a bad one.

    Nothing for what DCMTK 3.6.7 does not have, or does not do aloud.
    """
    if option.exclusive or not option.source.startswith(("DCMTK", "PS3")):
        return []
    if option.source in ("DCMTK 3.6.8", "DCMTK 3.5.4") or option.long == "--inetd":
        return []  # unknown to 3.6.7; closes stderr before it complains
    if option.long == "--stop-after-elem":
        return []  # not available, so that its value is nobody's business
    values = []
    bad = []
    for value in option.values:
        if option.long == "--key":
            values.append("PatientName")
        elif isinstance(value, Text):
            values.append("x")
        elif isinstance(value, Word):
            values.append("info")
        else:
            values.append(str(max(value.minimum, 2)))
            bad.append("-7")
    found = [[option.names[-1], *values]]
    if bad and is_bad_asked:
        found.append([option.names[-1], *bad])
    return found


def compare(tool: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Compare what both say; where ours is still to come, DCMTK must have had no complaint."""
    their_code, their_text = theirs(tool, arguments)
    code, text = ours(tool, arguments, capsys)
    if (code, text) == (their_code, their_text):
        return
    started = not their_text or their_text.startswith(("F: ", "E: "))
    if text.endswith(" is not available yet"):
        assert started, their_text
        assert code == 1
    else:
        # The requestors' checks passed, and then nobody answered or no file was found.
        assert (tool in REQUESTOR, started, code, text) == (True, True, 0, ""), their_text
