"""Logger configuration files: the four complaints that come before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmfast.config import log_cfg


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", "does not contain any settings"),
        ("nothing here\n# a = b\n  # a = b\n", "does not contain any settings"),
        ("log4cplus.rootLogger: WARN\n", "does not contain any settings"),
        ("a = b\n", "does not contain any valid settings"),
        ("log4cplus.logger.x = WARN\n", "does not set up log4cplus.rootLogger"),
    ],
)
def test_complaints(tmp_path: Path, text: str, end: str) -> None:
    path = tmp_path / "f"
    path.write_text(text)
    assert log_cfg.complaint(str(path)) == f"Specified --log-config file {end}"


def test_no_complaint(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(" log4cplus.rootLogger = WARN\n")
    assert log_cfg.complaint(str(path)) is None


@pytest.mark.parametrize("name", ["missing", ".", "nul\0"])
def test_no_file(tmp_path: Path, name: str) -> None:
    text = "Specified --log-config file does not exist"
    assert log_cfg.complaint(f"{tmp_path}/{name}") == text
