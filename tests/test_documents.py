"""What the documents refer to exists: tests that show a promise, files, sections, rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("rust/core/src/**/*.md")])
DOCUMENTS = [path for path in DOCUMENTS if not {".venv", "build"} & set(path.parts)]
#: Where the code and the tests refer to documents.
SOURCES = sorted(
    path
    for folder in ("python", "rust", "cython", "tests", "benchmarks", "ci", "demo")
    for path in (ROOT / folder).rglob("*")
    if path.is_file()
    and path.suffix in {".py", ".pyx", ".pxd", ".pyi", ".rs", ".toml", ""}
    and not {"target", "__pycache__", "seeds", "corpus", "artifacts", "data"} & set(path.parts)
)


def definitions(path: Path) -> set[str]:
    """Names of functions in a test file of either language."""
    return set(re.findall(r"^\s*(?:def|fn) (\w+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_and_file_that_is_named_exists(document: Path) -> None:
    text = document.read_text()
    for name, function in re.findall(r"`((?:tests|rust|ci)/[\w./]+)(?:::(\w+))?`", text):
        path = ROOT / name
        assert path.exists(), name
        if function:
            assert function in definitions(path), f"{name}::{function}"
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (document.parent / target).exists(), target


def test_every_promise_is_shown_by_a_test() -> None:
    """P1 to P25."""
    rows = re.findall(r"^\| (P\d+) \| .* \| (.*) \|$", (ROOT / "PROMISES.md").read_text(), re.M)
    assert [number for number, _ in rows] == [f"P{n}" for n in range(1, 26)]
    for number, shown in rows:
        assert "::" in shown or number == "P18", number


def test_sections_and_rows_that_the_code_names_exist() -> None:
    """`PROMISES.md §3.3` and `DIFFERENCES.md B5` lead somewhere."""
    promises, differences = (
        (ROOT / name).read_text() for name in ("PROMISES.md", "DIFFERENCES.md")
    )
    sections = set(re.findall(r"^## (\d)", promises, re.MULTILINE))
    sections |= set(re.findall(r"(?:\*\*|^\| )(\d\.\d+)", promises, re.MULTILINE))
    rows = set(re.findall(r"\b([A-F]\d+)\b", differences))
    seen = 0
    for path in SOURCES:
        text = path.read_text(errors="replace")
        for named in re.findall(r"PROMISES\.md((?:,? (?:and )?§[\d.]*\d)+)", text):
            seen += 1
            assert set(re.findall(r"§([\d.]*\d)", named)) <= sections, (path, named)
        for named in re.findall(r"DIFFERENCES\.md((?:,? (?:and )?[A-F]\d+)+)", text):
            seen += 1
            assert set(re.findall(r"[A-F]\d+", named)) <= rows, (path, named)
    assert seen > 50


def test_no_document_is_named_that_is_not_here() -> None:
    known = {path.name for path in DOCUMENTS}
    # Written by a benchmark run beside its numbers, and where the standard's layout will stand.
    known |= {"summary.md", "README.md", "SAFETY.md"}
    for path in SOURCES:
        for name in re.findall(r"\b[\w-]+\.md\b", path.read_text(errors="replace")):
            assert name in known, (path, name)
