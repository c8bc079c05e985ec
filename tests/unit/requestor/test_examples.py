"""The examples of conversations in README.md and in docstrings run as they stand."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dcmfast
from testkit.process import free_port
from testkit.pynetdicom_scp import PynetdicomArchive, pynetdicom_archive
from vectors import make

README = Path(__file__).resolve().parents[3] / "README.md"
UID = make.uid(7, 1)


@pytest.fixture
def port() -> int:
    """Where a `StorageReceiver` of an example listens."""
    return free_port()


@pytest.fixture
def archive(port: int) -> Iterator[PynetdicomArchive]:
    with pynetdicom_archive(ME=port) as made:
        made.add(*(make.ct(number, patient_name="doe^jane") for number in range(2)))
        yield made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what the examples name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "report.dcm").write_bytes(make.part10(make.ct(9)))
    return tmp_path


def here(code: str, archive: PynetdicomArchive, port: int) -> str:
    """The example with our peer instead of the one that it names."""
    code = code.replace('"pacs", 104', f'"127.0.0.1", {archive.port}')
    return code.replace("11113", str(port)).replace('"1.2.3"', f'"{UID}"')


def test_the_readme(
    place: Path, archive: PynetdicomArchive, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every block that makes an `Association`."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    found = [block for block in blocks if "Association(" in block]
    assert found
    for block in found:
        exec(compile(here(block, archive, port), str(README), "exec"), {"dcmfast": dcmfast})
    # Two that were there, and the report behind them.
    assert len(list((place / "in").iterdir())) == 3
    assert capsys.readouterr().out
    assert set(archive.seen) == {"find", "get", "move"}
    assert len(archive.objects) == 3


@pytest.mark.parametrize("documented", [dcmfast.Association, dcmfast.StorageReceiver])
def test_docstrings(
    documented: type, place: Path, archive: PynetdicomArchive, port: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert documented.__doc__ is not None
    examples = doctest.DocTestParser().get_examples(documented.__doc__)
    assert examples
    names = {"dcmfast": dcmfast, "uid": UID}
    for example in examples:
        exec(compile(here(example.source, archive, port), "example", "exec"), names)
    assert capsys.readouterr().out
