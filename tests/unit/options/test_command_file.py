"""Command files: separators, quotes, what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmfast.errors import CommandLineError
from dcmfast.options import command_file


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", []),
        (" \t\r\n", []),
        ("-v 11112", ["-v", "11112"]),
        ("-v\r\n\t11112\n", ["-v", "11112"]),
        ("-aet 'MY SCP'", ["-aet", "MY SCP"]),
        ('-aet "IT\'S"', ["-aet", "IT'S"]),
        ('""', [""]),
        ('ab"c d"e', ["abc d", "e"]),
        ('"ab""c"', ["ab", "c"]),
        ('-fe "rest\nof it', ["-fe", "rest\nof it"]),
        ('x "', ["x", ""]),
        ("# no comment", ["#", "no", "comment"]),
        ("a\\ b", ["a\\", "b"]),
    ],
)
def test_splitting(text: str, arguments: list[str]) -> None:
    assert command_file.split(text) == arguments


@given(st.lists(st.text(st.sampled_from(" \t\n\r\v\0aZ0#@\\-+=é日"), max_size=12)))
def test_quoted_arguments_come_back(arguments: list[str]) -> None:
    text = " ".join(f'"{argument}"' for argument in arguments)
    assert command_file.split(text) == arguments


def test_files_are_expanded_once(tmp_path: Path) -> None:
    """``@other`` inside a file stays what it is."""
    inner = tmp_path / "inner"
    inner.write_text("-d")
    outer = tmp_path / "outer"
    outer.write_text(f"-v @{inner}")
    assert command_file.expand([f"@{outer}", "@", "x"]) == ["-v", f"@{inner}", "@", "x"]


@pytest.mark.parametrize("name", ["missing", ".", "nul\0"])
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}"
    with pytest.raises(CommandLineError) as caught:
        command_file.expand([f"@{path}"])
    assert str(caught.value) == f"Cannot open command file '{path}'"


def test_any_bytes_come_through(tmp_path: Path) -> None:
    """File names need not be UTF-8."""
    path = tmp_path / "f"
    path.write_bytes(b"-od dir\xff")
    assert command_file.expand([f"@{path}"]) == ["-od", "dir\udcff"]
