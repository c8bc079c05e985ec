"""What Python decides is what Rust reads: no field of a plan is passed and ignored.

The engine takes a plan's fields by name and does not see those that it does not know; so the names
are compared here, in the sources of both.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dcmfast.policy import archive

ROOT = Path(__file__).resolve().parents[3]
PLANS = [ROOT / "python" / "dcmfast" / "net" / name for name in ("scp.py", "archive.py")]
#: Record in Python and structure in Rust.
RECORDS = [
    (archive.ArchiveTables, "Tables"),
    (archive.Application, "ApplicationRecord"),
    (archive.Peer, "PeerRecord"),
    (archive.ResponseCharacterSet, "ResponseCharacterSet"),
    (archive.ProposedContexts, "ProposedContexts"),
]


def fields_in_rust(file: str, structure: str) -> set[str]:
    text = (ROOT / "rust" / "py" / "src" / file).read_text()
    found = re.search(rf"struct {structure} \{{\n(.*?)\n\}}", text, re.DOTALL)
    assert found is not None, structure
    return set(re.findall(r"^    (?:pub )?(\w+):", found.group(1), re.MULTILINE))


def keys_of_plan(path: Path) -> set[str]:
    """Keys of the dictionary that the function `plan` returns."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == "plan":
            return {
                key.value
                for returned in ast.walk(node)
                if isinstance(returned, ast.Return) and isinstance(returned.value, ast.Dict)
                for key in returned.value.keys
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
    raise AssertionError(f"{path} has no plan")


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_every_key_of_a_plan_is_read(path: Path) -> None:
    keys = keys_of_plan(path)
    assert len(keys) > 15
    # The rest is read one by one: which of them, depends on what is served.
    sources = ROOT / "rust" / "py" / "src"
    text = "".join((sources / name).read_text() for name in ("server.rs", "encoding.rs"))
    read = fields_in_rust("server.rs", "Plan") | fields_in_rust("server.rs", "DirectoryPlan")
    read |= set(re.findall(r'"(\w+)"', text))
    assert keys <= read, keys - read


@pytest.mark.parametrize(("record", "structure"), RECORDS, ids=lambda one: str(one))
def test_every_field_of_a_record_is_read(record: type, structure: str) -> None:
    fields = set(record.__annotations__)
    assert fields
    assert fields == fields_in_rust("archive.rs", structure)
