"""Start-up is short because little is imported: from the first line to settings that are ready.

The time itself is a benchmark's business; this reads the import list, which does not depend on the
machine.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testkit.scripted_scp import Conversation, ScriptedServer

#: What costs milliseconds, and what the receivers must never need.
HEAVY = {
    *("argparse", "asyncio", "dataclasses", "enum", "importlib.metadata"),
    *("inspect", "json", "logging", "numpy", "pathlib", "platform", "pydicom", "pynetdicom", "re"),
    *("rich", "socket", "ssl", "subprocess", "threading", "typing"),
}

PROGRAM = """
import sys
before = set(sys.modules)
from dcmfast.options import settings
from dcmfast.options.specs.{tool} import {constant}
from dcmfast.policy import negotiation
made = settings.{tool}({constant}, {arguments!r})
negotiation.receiver_table(
    preference=made.preference, is_promiscuous=made.is_promiscuous, profile=made.profile
)
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_a_receiver_is_ready_with_few_imports(tool: str) -> None:
    program = PROGRAM.format(
        tool=tool, constant=tool.upper(), arguments=["11112", "-v", "-pdu", "131072"]
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert not imported & HEAVY
    assert all(name.startswith("dcmfast") or name in ALLOWED for name in imported), (
        imported - ALLOWED
    )


CONVERSATION = """
import sys
before = set(sys.modules)
from dcmfast.__main__ import main
code = main(sys.argv[1:])
print()
print(code, *sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize(
    "arguments",
    [["findscu", "-P"], ["findscu", "-P", "--json"], ["movescu"], ["getscu", "-P"]],
    ids=" ".join,
)
def test_a_query_client_needs_few_imports(arguments: list[str], tmp_path: Path) -> None:
    """A whole conversation, with an answer: neither pydicom nor what else takes long."""
    answer = b"\x10\x00\x20\x00LO\x04\x00ABCD"

    def play(peer: Conversation) -> None:
        peer.accept()
        request = peer.expect_request()
        peer.respond(request, 0xFF00, data=answer if arguments[0] == "findscu" else None)
        peer.respond(request, 0)
        peer.expect_release()

    with ScriptedServer(play) as server:
        tool, *options = arguments
        line = [tool, *options, "127.0.0.1", str(server.port)]
        done = subprocess.run(
            [sys.executable, "-c", CONVERSATION, *line, "-k", "PatientID"],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
    code, *imported = done.stdout.splitlines()[-1].split()
    assert code == "0", done.stderr
    assert not set(imported) & HEAVY


#: Modules of the standard library that may be added to what the interpreter has imported itself.
ALLOWED = {"__future__", "dcmfast"}
