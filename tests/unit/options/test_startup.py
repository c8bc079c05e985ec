"""Start-up is short because little is imported: from the first line to settings that are ready.

The time itself is a benchmark's business; this reads the import list, which does not depend on the
machine.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

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


#: Modules of the standard library that may be added to what the interpreter has imported itself.
ALLOWED = {"__future__", "dcmfast"}
