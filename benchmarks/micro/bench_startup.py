"""What the receivers do before they listen: the interpreter, the imports, the command line.

The whole of it is measured in ``workloads/startup.py``; here one sees which part grew.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture


@pytest.mark.parametrize(
    "code",
    [
        "pass",
        "import dcmfast",
        "import dcmfast._rust",
        "import dcmfast.apps.storescp",
        "import dcmfast.apps.dcmrecv",
    ],
)
def test_interpreter(benchmark: BenchmarkFixture, code: str) -> None:
    """From exec to exit of an interpreter that runs one line."""
    done = benchmark.pedantic(  # type: ignore[no-untyped-call]
        subprocess.run,
        args=([sys.executable, "-c", code],),
        kwargs={"check": False},
        rounds=15,
        warmup_rounds=1,
    )
    assert done.returncode == 0


def test_command_line(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """From the words of a usual command line to the receiver's settings."""
    from dcmfast.options import settings
    from dcmfast.options.specs.storescp import STORESCP

    words = ["11112", "-od", str(tmp_path), "-aet", "ARCHIVE", "+xa", "-pdu", "65536", "-v"]
    answer = benchmark(settings.storescp, STORESCP, words)
    assert isinstance(answer, settings.ReceiverSettings)
