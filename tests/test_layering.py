"""Who may import what, in all three languages: rules 1 to 6 of ARCHITECTURE.md, read from imports.

The sources are read, not run. A rule that nothing could break would be no test, so each reader also
shows on a small text that it notices a breach.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "python" / "dcmfast"
RUST = ROOT / "rust"
CORE = RUST / "core" / "src"
CYTHON = ROOT / "cython"


# ---- Python -----------------------------------------------------------------------------------

#: What each part of the package may import of the others (ARCHITECTURE.md, "Who may import what").
#: The compiled modules are parts of their own (rule 2).
PYTHON_MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "types": {"errors"},
    "limits": {"_rust"},
    "_cython": set(),
    "uids": set(),
    "tools": set(),
    "options": {"errors", "types", "limits", "uids", "config"},
    "config": {"errors", "types", "uids", "limits"},
    "policy": {"errors", "types", "config", "uids", "limits"},
    "observe": {"errors", "types", "_rust"},
    "dataset": {"errors", "types", "_rust", "_cython", "uids", "limits"},
    "transcode": {"errors", "types", "_rust", "_cython", "dataset", "limits"},
    "net": {"errors", "types", "limits", "policy", "observe", "uids", "options", "_rust"},
    "archive": {"errors", "types", "limits", "policy", "dataset", "observe", "_rust"},
    "apps": {
        "errors", "types", "limits", "options", "config", "policy", "net", "archive", "observe",
        "dataset", "transcode", "uids", "tools",
    },
    "requestor": {
        "errors", "types", "limits", "uids", "options", "policy", "observe", "net", "dataset",
        "_rust",
    },
    "__init__": {"archive", "dataset", "requestor", "errors", "types", "_rust"},
    "__main__": {"apps", "errors", "observe", "options", "tools"},
}  # fmt: skip


def python_files() -> list[Path]:
    return sorted(PYTHON.rglob("*.py"))


def imported_modules(source: str, package: str) -> Iterator[str]:
    """Full names of everything that `source`, a module of `package`, imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def part_of(path: Path) -> str:
    """The part of the package that a file belongs to: a folder, or a module at the top."""
    return path.relative_to(PYTHON).parts[0].removesuffix(".py")


def package_of(path: Path) -> str:
    return ".".join(["dcmfast", *path.relative_to(PYTHON).parts[:-1]])


def parts_imported(source: str, package: str) -> set[str]:
    """Parts of dcmfast that a source names in its imports."""
    found = set()
    known = {path.stem for path in PYTHON.glob("*.py")} | {
        path.name for path in PYTHON.iterdir() if path.is_dir()
    }
    for name in imported_modules(source, package):
        first, _, rest = name.partition(".")
        if first == "dcmfast" and rest:
            part = rest.split(".")[0]
            if part in known or part in {"_rust", "_cython"}:
                found.add(part)
    return found


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(PYTHON)))
def test_python_arrows_go_down_only(path: Path) -> None:
    """Rules 1 and 2: nothing imports apps; the compiled modules are reached from six places."""
    part = part_of(path)
    assert part in PYTHON_MAY_IMPORT, f"{part} has no place in the layers; see ARCHITECTURE.md"
    foreign = parts_imported(path.read_text(), package_of(path)) - {part}
    assert foreign <= PYTHON_MAY_IMPORT[part], foreign - PYTHON_MAY_IMPORT[part]


def test_the_python_layers_have_no_circle() -> None:
    """The table itself points downwards: following it never comes back."""
    done: set[str] = set()

    def visit(part: str, above: tuple[str, ...]) -> None:
        assert part not in above, " → ".join([*above, part])
        if part not in done:
            for below in PYTHON_MAY_IMPORT.get(part, set()):
                visit(below, (*above, part))
            done.add(part)

    for part in PYTHON_MAY_IMPORT:
        visit(part, ())


def test_a_forbidden_python_import_is_noticed() -> None:
    """The reader sees plain, relative, nested and renamed imports."""
    for source in (
        "import dcmfast.apps.storescp",
        "from dcmfast import apps",
        "from ..apps import storescp",
        "def f():\n    from dcmfast.apps.storescp import main as m",
    ):
        assert "apps" in parts_imported(source, "dcmfast.net"), source
    assert "_rust" in parts_imported("from dcmfast import _rust", "dcmfast.policy")


#: Rule 3: modules that mean a socket or a thread.
ACTIVE_MODULES = {"socket", "socketserver", "ssl", "threading", "asyncio", "subprocess", "select"}
ACTIVE_MODULES |= {"multiprocessing", "concurrent", "_thread", "selectors", "http", "urllib"}


@pytest.mark.parametrize("layer", ["options", "config", "policy"])
def test_options_config_and_policy_are_passive(layer: str) -> None:
    """Rule 3: they open no socket and start no thread."""
    for path in sorted((PYTHON / layer).rglob("*.py")):
        names = {
            name.split(".")[0] for name in imported_modules(path.read_text(), package_of(path))
        }
        assert not names & ACTIVE_MODULES, f"{path.name}: {names & ACTIVE_MODULES}"


def opens_files(source: str) -> list[str]:
    """Calls in `source` that open, read or list files."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id == "open":
                found.append("open")
            elif isinstance(function, ast.Attribute) and function.attr in {
                "read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "glob", "rglob",
                "listdir", "scandir", "is_dir", "is_file", "exists", "access", "stat",
            }:  # fmt: skip
                found.append(function.attr)
    return found


def test_only_command_file_settings_and_config_read_files() -> None:
    """Rule 3: options/ and policy/ look at the disk in three named places only."""
    names = ("command_file.py", "settings.py", "query_settings.py")
    allowed = {PYTHON / "options" / name for name in names}
    for layer in ("options", "policy"):
        for path in sorted((PYTHON / layer).rglob("*.py")):
            if path not in allowed:
                assert not opens_files(path.read_text()), path
    assert opens_files("from pathlib import Path\nPath('x').read_text()") == ["read_text"]


# ---- Rust -------------------------------------------------------------------------------------

#: What each module of dcmfast-core may name of the others: everything in the layers below it, and
#: within a layer what stands here. `client` does not know `server`, which uses it.
VALUES = {"uid", "ae_title", "tag", "vr", "limits", "log", "mixing"}
#: `console` is a sink that the front ends hand to the engine; no layer of the engine names it.
RUST_MAY_USE: dict[str, set[str]] = {
    "limits": set(),
    "mixing": set(),
    "tag": set(),
    "vr": set(),
    "uid": {"limits"},
    "ae_title": {"limits"},
    "log": {"limits"},
    "console": {"log"},
    "dictionary": VALUES,
    "ul": VALUES,
    # Beside `ul`, of which it uses the value of a presentation context's result.
    "policy": VALUES | {"dictionary", "ul"},
    "dataset": VALUES | {"dictionary"},
    "acse": VALUES | {"dictionary", "policy", "ul", "dataset"},
    "dimse": VALUES | {"dictionary", "policy", "ul", "dataset"},
    "storage": VALUES | {"dictionary", "dataset"},
    "index": VALUES | {"dictionary", "dataset"},
    "archive": VALUES | {"dictionary", "dataset", "storage", "index"},
    "net": VALUES | {"dictionary"},
    "server": VALUES
    | {
        "dictionary",
        "policy",
        "ul",
        "dataset",
        "acse",
        "dimse",
        "storage",
        "net",
        "index",
        "archive",
        # Sub-operations are a requestor's work; `client` knows nothing of `server`.
        "client",
    },
    "client": VALUES | {"dictionary", "policy", "ul", "dataset", "acse", "dimse", "storage", "net"},
    "sending": VALUES | {"dictionary", "dataset", "dimse", "storage", "client"},
    "load": VALUES | {"dictionary", "ul", "dataset", "dimse", "storage", "net", "client"},
    "recording": VALUES | {"dictionary", "ul", "dataset", "dimse", "net"},
}


def rust_code(source: str) -> str:
    """A Rust source without comments, string literals and the tests at its foot."""
    source = re.split(r"^#\[cfg\(test\)\]\s*\n\s*mod\s", source, maxsplit=1, flags=re.MULTILINE)[0]
    source = re.sub(r"//[^\n]*", "", source)
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', source)


def rust_modules_used(source: str) -> set[str]:
    """Top-level modules of the crate that a source names: `crate::x` and `use crate::{x, y}`."""
    code = rust_code(source)
    found = set(re.findall(r"\bcrate::(\w+)", code))
    for group in re.findall(r"\bcrate::\{((?:[^{}]|\{[^{}]*\})*)\}", code):
        flat = re.sub(r"::\{[^{}]*\}", "", group)
        found |= {re.split(r"::|\s", name.strip())[0] for name in flat.split(",") if name.strip()}
    return found


def rust_module_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".rs")


def rust_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.rs") if "target" not in path.parts)


@pytest.mark.parametrize("path", rust_files(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_rust_arrows_go_down_only(path: Path) -> None:
    """Rule 1 for the engine: values ← ul, dataset, policy ← acse, dimse ← net, storage ← loops."""
    module = rust_module_of(path)
    if module == "lib":
        return
    assert module in RUST_MAY_USE, f"{module} has no place in the layers; see ARCHITECTURE.md"
    foreign = rust_modules_used(path.read_text()) - {module}
    assert foreign <= RUST_MAY_USE[module], foreign - RUST_MAY_USE[module]


def test_a_forbidden_rust_use_is_noticed() -> None:
    """The reader sees single, grouped and nested uses, and skips comments and tests."""
    assert rust_modules_used("use crate::server::Loop;") == {"server"}
    assert rust_modules_used("use crate::{limits, ul::{pdu, pdv}, net::tcp};") == {
        "limits", "ul", "net",
    }  # fmt: skip
    assert (
        rust_modules_used("// crate::server\n#[cfg(test)]\nmod tests { use crate::net; }") == set()
    )


PURE = ("ul", "acse", "dimse", "dataset", "policy", "policy.rs", "dictionary")
PASSIVE_STD = re.compile(r"\bstd::(?:net|fs|time|thread)\b")


def test_the_protocol_layers_do_no_input_or_output() -> None:
    """Rule 4: no socket, file, clock or thread in ul, acse, dimse, dataset and policy."""
    for path in rust_files(CORE):
        if path.relative_to(CORE).parts[0] in PURE:
            found = PASSIVE_STD.findall(rust_code(path.read_text()))
            found += grouped_std(path.read_text())
            assert not found, f"{path}: {found}"


def grouped_std(source: str) -> list[str]:
    """Active parts of std inside `use std::{…}`."""
    groups = re.findall(r"\bstd::\{([^;]*)\}", rust_code(source))
    return [name for group in groups for name in re.findall(r"\b(net|fs|time|thread)\b", group)]


def named_only_in(pattern: str, allowed: set[str], *, folder: Path = RUST) -> None:
    """`pattern` occurs in these files of `folder` only, which may be given as folders."""
    for path in rust_files(folder):
        name = str(path.relative_to(RUST))
        # Fuzz targets, benches and integration tests are no part of the product.
        if re.match(r"fuzz/|core/(?:tests|benches)/", name):
            continue
        if re.search(pattern, rust_code(path.read_text())):
            assert any(name == one or name.startswith(one + "/") for one in allowed), (
                f"{name} names {pattern}"
            )


def test_sockets_files_and_python_have_their_places() -> None:
    """Rule 5: std::net in net/ and the listener, std::fs in the backend, pyo3 in rust/py/.

    And processes are started in one file.
    """
    core = "core/src"
    named_only_in(
        r"\bstd::net\b|\bTcpStream\b|\bTcpListener\b",
        {
            f"{core}/net",
            f"{core}/server/listener.rs",
            f"{core}/client",
            f"{core}/log/syslog.rs",
            f"{core}/recording/proxy.rs",
            f"{core}/recording/replay.rs",
            f"{core}/recording/replay",
            "py/src",
        },
    )
    named_only_in(
        r"\bstd::fs\b|\bFile::(?:open|create|options)\b|\bOpenOptions\b",
        {
            f"{core}/storage/backend.rs",
            f"{core}/storage/backend",
            f"{core}/index/env.rs",
            f"{core}/log/appenders.rs",
            f"{core}/recording/file.rs",
            f"{core}/server/host_access.rs",
        },
    )
    named_only_in(r"\bprocess::(?:\{[^}]*)?Command\b", {f"{core}/server/commands.rs"})
    named_only_in(r"\bpyo3\b", {"py"})
    named_only_in(r"\bopenssl\w*\b", {f"{core}/net/tls"})
    named_only_in(r"\bheed\b|\blmdb\w*\b", {f"{core}/index/env.rs", "lmdb-sys"})


def test_unsafe_has_its_places_and_its_reasons() -> None:
    """Rule 6: allowed in these files, each use with a SAFETY comment (clippy denies it without)."""
    named_only_in(
        r"\bunsafe\b(?!_)",
        {
            "core/src/storage/backend/system.rs",
            "core/src/log/system.rs",
            "core/src/net/resolve.rs",
            "core/src/net/tcp.rs",
            "core/src/net/tls/seed.rs",
            "core/src/net/tls/sessions.rs",
            "core/src/server/listener.rs",
            "core/src/server/shared_numbers.rs",
            "core/src/index/env.rs",
            "py/src/dataset.rs",
        },
    )
    lints = (RUST / "Cargo.toml").read_text()
    assert 'unsafe_code = "deny"' in lints
    assert 'undocumented_unsafe_blocks = "deny"' in lints


# ---- Cython -----------------------------------------------------------------------------------


def test_cython_modules_stand_on_the_cursor_and_nothing_else() -> None:
    """Codecs and views import the byte cursor and each other's declarations; the cursor nothing."""
    for path in sorted(CYTHON.rglob("*.p[xy][xdi]*")):
        imports = re.findall(
            r"^\s*(?:from|cimport|import)\s+(dcmfast[\w.]*)", path.read_text(), re.MULTILINE
        )
        for name in imports:
            assert name.startswith(("dcmfast._cython", "dcmfast.errors")), f"{path}: {name}"
            if path.name.startswith("byte_cursor"):
                pytest.fail(f"{path} imports {name}")


def test_rust_and_cython_do_not_know_each_other() -> None:
    """They meet in Python only: neither names the other's module."""
    for path in sorted(CYTHON.rglob("*.p[xy][xdi]*")):
        assert "dcmfast._rust" not in re.sub(r"#[^\n]*", "", path.read_text()), path
    named_only_in(r"_cython", set())
