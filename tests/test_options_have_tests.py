"""Every option of the receivers and of the clients is typed by a test of what it does.

The tables of command lines (``tests/compat/test_command_lines.py`` and its kind) go over all
options by themselves and ask only what is said about them; they do not count here.  What counts is
one of an option's spellings as a word of a text in a test file that runs the tool.  That is not
yet a good test, but an option that nobody has typed has none.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from dcmfast.options.defs import tls
from dcmfast.options.specs import all_front_ends

TESTS = Path(__file__).parent
#: Go over every option without naming it, or name every one without trying it.
TABLES = {
    "command_lines.py",
    "test_command_lines.py",
    "test_output_conflicts.py",
    "test_options_registry.py",
}
#: Try what they name with every tool.
OF_EVERY_TOOL = {"test_general_options.py", "test_environment.py"}
#: Tools all of whose options work.
CLIENTS = ("echoscu", "findscu", "getscu", "movescu", "storescu", "dcmsend")
WHOLE = ("storescp", "dcmrecv", "dcmqrscp", *CLIENTS)
#: Our own, whose names are words of English, by the files that try them.
OURS = {
    "load": ("test_load.py", "test_load_audit.py", "test_load_settings.py"),
    "record": ("test_recording.py",),
    "show": ("test_recording.py",),
    "replay": ("test_recording.py", "test_replay.py"),
}


@cache
def words() -> dict[str, set[str]]:
    """What looks like an option in any text of any test, and the tools that its file names."""
    found: dict[str, set[str]] = {}
    for file in TESTS.rglob("*.py"):
        if file.name in TABLES:
            continue
        text = file.read_text()
        tools = {one for one in WHOLE if one in text or file.name in OF_EVERY_TOOL}
        tools |= {one for one, files in OURS.items() if file.name in (*files, *OF_EVERY_TOOL)}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for word in re.split(r"[\s|'\"`,()]+", node.value):
                    if word[:1] in ("-", "+"):
                        found.setdefault(word, set()).update(tools)
    return found


@pytest.mark.parametrize("tool", [*WHOLE, *OURS])
def test_no_option_is_without_a_test(tool: str) -> None:
    front_end = next(one for one in all_front_ends() if one.tool == tool)
    options = [option for option in front_end.options() if option.available]
    assert len(options) > (30 if tool in WHOLE else 10)
    # One code for all requestors, tried with echoscu.
    sections = tls.requestor().sections
    of_tls = {option.long for section in sections for option in section.options}
    if tool in CLIENTS:
        of_tls |= {"--request-sni", "--no-sni"}
    assert [
        option.long
        for option in options
        if not any(
            tool in tools or (option.long in of_tls and tools)
            for tools in (words().get(name, set()) for name in (*option.names, *option.aliases))
        )
    ] == []
