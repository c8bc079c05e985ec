"""What `import dcmfast` gives, and what the compiled modules export: as documented, no more."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import dcmfast

PACKAGE = Path(dcmfast.__file__).parent
STUBS = sorted([*PACKAGE.glob("*.pyi"), *(PACKAGE / "_cython").glob("*.pyi")])


def test_the_public_names_are_those_of_the_readme() -> None:
    assert dcmfast.__all__ == [
        "Archive",
        "ArchiveServer",
        "Association",
        "StorageReceiver",
        "Tls",
        "__version__",
        "read",
        "rewrite",
        "write",
    ]
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text()
    assert "dcmfast.read(" in readme
    assert "dcmfast.write(" in readme
    assert "dcmfast.rewrite(" in readme
    assert "dcmfast.Archive(" in readme
    assert "dcmfast.ArchiveServer(" in readme
    assert "dcmfast.Association(" in readme
    assert "dcmfast.StorageReceiver(" in readme


def test_every_public_name_is_there_and_described() -> None:
    for name in dcmfast.__all__:
        assert getattr(dcmfast, name).__doc__


def test_a_type_checker_finds_every_public_name() -> None:
    """What is imported late is imported at once for it; the package says that it has types."""
    assert (PACKAGE / "py.typed").exists()
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name for node in block.body if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }  # fmt: skip
    late = {name for name in dcmfast.__all__ if not name.startswith("__")}
    assert seen - {"Any"} == late == set(dcmfast._HOMES)


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.stem)
def test_a_stub_lists_what_its_compiled_module_exports(stub: Path) -> None:
    """Signatures are compared by stubtest, which `ci/lint` runs; here names alone."""
    name = ".".join(["dcmfast", *stub.relative_to(PACKAGE).with_suffix("").parts])
    module = importlib.import_module(name)
    tree = ast.parse(stub.read_text())
    assert ast.get_docstring(tree)
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    exported = getattr(module, "__all__", [one for one in vars(module) if one[0] != "_"])
    assert sorted(listed) == sorted(exported)
