"""``dcmfast`` alone, ``dcmfast link``, manual pages and completion: how a user finds the tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dcmfast import __main__ as entry
from dcmfast import tools
from dcmfast.apps import completion, link, man
from dcmfast.options.specs import all_front_ends
from testkit.process import run_tool

#: Every name of DCMTK's that a tool of ours goes by.
LINKED = sorted(name for name in tools.TOOLS if name in tools.DCMTK_NAMES)


def test_every_tool_stands_in_one_group() -> None:
    """And in the list, with a line of its own."""
    grouped = [name for _, names in tools.GROUPS for name in names]
    assert len(grouped) == len(set(grouped))
    assert set(tools.TOOLS) <= set(grouped)
    shown = entry._overview()
    for title, names in tools.GROUPS[:-1]:
        assert f"\n{title}:\n" in shown
        for name in names:
            assert (f"\n  {name} " in shown) == (name in tools.TOOLS)
    assert "others:" not in shown


def test_every_tool_has_a_page_and_completion(capsys: pytest.CaptureFixture[str]) -> None:
    described = {one.tool for one in all_front_ends()} | {"link", "man", "completion"}
    assert set(tools.TOOLS) == described
    assert completion.main(["bash"]) == 0
    script = capsys.readouterr().out
    for tool in tools.TOOLS:
        assert f"{tool} " in script
        assert man.main([tool]) == 0
        assert tool in capsys.readouterr().out


def program(folder: Path) -> Path:
    """The console script that pip makes."""
    path = folder / "dcmfast"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nfrom dcmfast.__main__ import main\nsys.exit(main())\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = program(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    return path


def test_links(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each name calls its tool; a second time nothing is made."""
    folder = tmp_path / "with blank" / "bin"
    assert link.main([str(folder)]) == 0
    told = capsys.readouterr().out
    assert sorted(one.name for one in folder.iterdir()) == LINKED
    assert f"made {len(LINKED)} links to {installed}" in told
    assert f"export PATH='{folder}':\"$PATH\"" in told
    for name in ("storescp", "movescu", "dcmconv"):
        assert (folder / name).readlink() == installed
        done = subprocess.run(
            [folder / name, "--version"], capture_output=True, text=True, check=True
        )
        assert f"dcmfast: {name} v" in done.stdout
    assert link.main([str(folder)]) == 0
    told = capsys.readouterr().out
    assert "made" not in told
    assert "there already: " in told


def test_nothing_is_overwritten_unless_forced(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "movescu").write_text("DCMTK's")
    (folder / "echoscu").symlink_to("nowhere")
    assert link.main([str(folder)]) == 1
    error = capsys.readouterr().err
    assert "echoscu, movescu" in error or "movescu, echoscu" in error
    assert (folder / "movescu").read_text() == "DCMTK's"
    assert len(list(folder.iterdir())) == 2
    assert link.main(["--force", str(folder)]) == 0
    assert (folder / "movescu").readlink() == (folder / "echoscu").readlink() == installed
    (folder / "storescp").unlink()
    (folder / "storescp").mkdir()
    assert link.main(["--force", str(folder)]) == 1
    assert (folder / "storescp").is_dir()
    assert not list(folder.glob("*.part*"))


def test_launchers_without_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(link, "program", lambda: None)
    assert link.main([str(tmp_path)]) == 0
    assert "launchers" in capsys.readouterr().out
    done = subprocess.run(
        [tmp_path / "findscu", "--version"], capture_output=True, text=True, check=True
    )
    assert "dcmfast: findscu v" in done.stdout
    assert link.main([str(tmp_path)]) == 0
    assert "there already: " in capsys.readouterr().out
    (tmp_path / "findscu").write_text("changed")
    assert link.main([str(tmp_path)]) == 1


def test_path_is_looked_at(
    installed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    others.mkdir()
    shutil.copy(installed, others / "storescp")
    monkeypatch.setenv("PATH", f"{others}:{ours}")
    assert link.main([str(ours)]) == 0
    assert f"{others}/storescp comes first on PATH" in capsys.readouterr().out
    monkeypatch.setenv("PATH", f"{ours}:{others}")
    assert link.main([str(ours)]) == 0
    assert "before all others" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--no-such-option"], [""]])
def test_link_command_lines(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert link.main(arguments) == 1
    assert capsys.readouterr().err.startswith("usage: dcmfast link")


def test_link_where_no_folder_can_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert link.main([str(tmp_path / "file")]) == 1
    assert link.main([str(tmp_path / "file" / "bin")]) == 1
    assert capsys.readouterr().err.count("error: ") == 2
    assert link.main(["--help"]) == 0


def test_pages_are_written_where_man_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert man.main(["--write", str(tmp_path)]) == 0
    names = {path.name for path in (tmp_path / "man1").iterdir()}
    assert names == {"dcmfast.1"} | {f"dcmfast-{tool}.1" for tool in tools.TOOLS}
    assert "dcmfast-storescp" in capsys.readouterr().out
    if shutil.which("man") is not None:
        for page, word in (("dcmfast", "findscu"), ("dcmfast-link", "--force")):
            path = str(tmp_path / "man1" / f"{page}.1")
            done = subprocess.run(
                ["man", "--warnings", "-l", path], capture_output=True, text=True, check=True,
                env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
            assert done.stderr == ""
            assert word in done.stdout
    (tmp_path / "file").touch()
    assert man.main(["--write", str(tmp_path / "file")]) == 1


def test_completion_of_linked_names(capsys: pytest.CaptureFixture[str]) -> None:
    for shell, line in (
        ("bash", "complete -o default -F _dcmfast dcmfast storescp"),
        ("zsh", "#compdef dcmfast storescp"),
        ("fish", "complete -c movescu "),
    ):
        assert completion.main([shell, "--linked"]) == 0
        assert line in capsys.readouterr().out
        assert completion.main([shell]) == 0
        assert line not in capsys.readouterr().out


def test_completion_knows_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert completion.main([shell]) == 0
        script = capsys.readouterr().out
        for word in ("rebuild", "export", "compare"):
            assert word in script


def test_dcmfast_alone_lists_the_tools() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dcmfast"], capture_output=True, text=True, check=True
    )
    assert "ask, fetch and send:\n  echoscu" in done.stdout
    assert run_tool("dcmfast", "nosuchtool", []).code == 1
