"""Bounds are written once, in the engine, and Python sees each of them under its own name."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from dcmfast import limits

SOURCE = Path(__file__).resolve().parent.parent / "rust" / "core" / "src" / "limits.rs"


def test_python_sees_every_bound_of_the_engine() -> None:
    written = re.findall(r"^pub const (\w+):", SOURCE.read_text(), re.MULTILINE)
    assert set(limits.LIMITS) == set(written)
    assert all(isinstance(value, int) and value > 0 for value in limits.LIMITS.values())
    assert limits.LIMITS["PDU_TIMEOUT_S"] == limits.PDU_TIMEOUT_S


def test_every_bound_stands_with_its_reason() -> None:
    """A constant without a reason is a guess."""
    lines = SOURCE.read_text().splitlines()
    for above, line in pairwise(lines):
        if line.startswith("pub const "):
            assert above.startswith("///"), line
