"""Usage, version, manual page and completion, made from the descriptions."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dcmfast
from dcmfast.apps import completion as completion_tool
from dcmfast.apps import man as man_tool
from dcmfast.options import completion, man
from dcmfast.options import help as texts
from dcmfast.options.option import FrontEnd, Word
from dcmfast.options.specs import all_front_ends

FRONT_ENDS = {one.tool: one for one in all_front_ends()}


def test_the_banner_names_us() -> None:
    banner = texts.banner(FRONT_ENDS["storescp"])
    assert banner == f"$dcmfast: storescp v{dcmfast.__version__} {dcmfast.__date__} $"


@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=lambda one: one.tool)
def test_the_usage_shows_every_spelling_once(front_end: FrontEnd) -> None:
    lines = texts.usage(front_end).splitlines()
    begins = front_end.long_begins
    for option in front_end.options():
        shown = [
            line
            for line in lines
            if option.long in line[:begins].split() + line[begins:].split()[:1]
        ]
        assert len(shown) == 1 + len(option.aliases[:1]), option.long
        for alias in option.aliases:
            assert sum(alias in line.split() for line in lines) == 1, alias


@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=lambda one: one.tool)
def test_the_usage_says_what_is_still_to_come(front_end: FrontEnd) -> None:
    count = texts.usage(front_end).count("(not available yet)")
    assert count == sum(not option.available for option in front_end.options())


def test_the_usage_is_no_wider_than_before() -> None:
    """DCMTK's longest line has 85 characters; ours add none."""
    assert max(len(line) for line in texts.usage(FRONT_ENDS["storescp"]).splitlines()) <= 85


def test_the_version_has_dcmtks_lines() -> None:
    lines = texts.version(FRONT_ENDS["storescp"]).splitlines()
    assert lines[0] == texts.banner(FRONT_ENDS["storescp"])
    assert lines[2] == "storescp: DICOM storage (C-STORE) SCP"
    for start in ("Host type: ", "Character encoding: ", "Build options: "):
        assert any(line.startswith(start) for line in lines), start
    assert lines[-1] == "External libraries used: none"


@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=lambda one: one.tool)
def test_the_manual_page_has_every_option(front_end: FrontEnd) -> None:
    page = man.page(front_end)
    for option in front_end.options():
        for name in option.names + option.aliases:
            assert name.replace("-", "\\-") in page, name


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=lambda one: one.tool)
def test_the_manual_page_formats_without_a_warning(front_end: FrontEnd) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww"],
        input=man.page(front_end),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert front_end.description in done.stdout


def bash_completes(*words: str) -> list[str]:
    """What bash offers for the last of `words`."""
    script = completion.script(
        "bash", tuple(FRONT_ENDS.values()),
        {"man": ("storescp", "--write"), "index": ("show", "verify")}, ("storescp",),
    )  # fmt: skip
    quoted = " ".join(f"'{word}'" for word in words)
    ask = (
        f'COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _dcmfast; printf "%s\\n" '
        '"${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_tools_options_and_words() -> None:
    assert bash_completes("dcmfast", "stores") == ["storescp", "storescu"]
    assert bash_completes("dcmfast", "storescp", "--dur") == ["--durability"]
    assert bash_completes("dcmfast", "dcmrecv", "+fs") == ["+fsu", "+fst"]
    assert bash_completes("dcmfast", "storescp", "--durability", "g") == ["group"]
    assert bash_completes("dcmfast", "storescp", "-ll", "de") == ["debug"]
    assert bash_completes("dcmfast", "man", "--w") == ["--write"]
    assert bash_completes("dcmfast", "index", "") == ["show", "verify"]
    assert bash_completes("dcmfast", "index", "--re") == ["--repair"]
    assert "show" not in bash_completes("dcmfast", "index", "verify", "")
    assert bash_completes("dcmfast", "in") == ["index"]
    assert bash_completes("dcmfast", "--v") == ["--version"]


def test_bash_leaves_files_to_readline() -> None:
    """Which knows quotes, a tilde and names with blanks: a list of words does not."""
    assert bash_completes("dcmfast", "storescu", "localhost", "104", "fi") == []
    assert bash_completes("dcmfast", "link", "/o") == []
    script = completion.script("bash", tuple(FRONT_ENDS.values()))
    assert "complete -o default -F" in script


def test_bash_completes_a_linked_name() -> None:
    assert bash_completes("storescp", "--dur") == ["--durability"]
    assert bash_completes("/opt/bin/storescp", "-ll", "de") == ["debug"]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_offers_every_spelling_and_word(shell: str) -> None:
    script = completion.script(shell, tuple(FRONT_ENDS.values()), {"man": ("--write",)})
    for front_end in FRONT_ENDS.values():
        for option in front_end.options():
            for name in option.names + option.aliases:
                assert name in script
            for value in option.values:
                if isinstance(value, Word):
                    assert " ".join(value.words) in script


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_is_a_script_of_its_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = completion.script(
        shell, tuple(FRONT_ENDS.values()), {"man": ("--write",)}, ("storescp", "movescu")
    )
    subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("dcmfast", "mov"), "movescu"),
        (("dcmfast", "index", ""), "show verify"),
        (("dcmfast", "index", "verify", ""), "FILES"),
        (("dcmfast", "index", "show", "--rep"), "--repair"),
        (("dcmfast", "storescp", "-ll", ""), "fatal error warn info debug trace off all"),
        (("storescp", "-ll", ""), "fatal error warn info debug trace off all"),
        (("storescp", "--dur"), "--durability"),
        (("storescp", "show", ""), "FILES"),
    ],
)
def test_zsh_offers_what_comes_next(words: tuple[str, ...], offered: str, tmp_path: Path) -> None:
    """With zsh's own functions stood in for: they work inside its line editor alone."""
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("zsh is not installed")
    script = tmp_path / "_dcmfast"
    others = {"index": ("show", "verify")}
    script.write_text(completion.script("zsh", tuple(FRONT_ENDS.values()), others, ("storescp",)))
    ask = """
        compadd() {
            local -a all
            if [[ $1 == -a ]]; then all=($options); else shift; all=($@); fi
            print -r -- ${(M)all:#$PREFIX*}
        }
        _files() { print FILES }
        file=$1; shift; words=("$@"); CURRENT=$#; PREFIX=$words[CURRENT]; source $file
    """
    done = subprocess.run(
        [zsh, "-f", "-c", ask, "zsh", script, *words], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    shown = " ".join(done.stdout.split())
    assert shown in {offered, f"{offered} FILES"}


@pytest.mark.parametrize(
    ("line", "words", "others"),
    [
        ("dcmfast replay ", {"requestor", "acceptor"}, set()),
        ("dcmfast load a", {"audit"}, set()),
        ("dcmfast load store --kind ", {"ct", "mr", "sc"}, set()),
        ("dcmfast show movescu --a", set(), {"--abort"}),
        ("dcmfast --", {"--help", "--version"}, set()),
    ],
)
def test_fish_offers_what_comes_next(
    line: str, words: set[str], others: set[str], tmp_path: Path
) -> None:
    """A tool is named in the first place alone, its commands in the second."""
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("fish is not installed")
    source = subprocess.run(
        [sys.executable, "-m", "dcmfast", "completion", "fish"],
        capture_output=True,
        text=True,
        check=True,
    )
    script = f"{source.stdout}\ncomplete -C {shlex.quote(line)}\n"
    # Its own home: nobody's configuration has a say.
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    shown = subprocess.run(
        [fish, "--no-config"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    offered = {word.split("\t")[0] for word in shown.stdout.splitlines()}
    assert words <= offered
    assert not others & offered
    assert not offered & {"compare", "find", "echo"}, "words of another place"


def test_the_tools_that_print_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert man_tool.main(["dcmrecv"]) == 0
    assert capsys.readouterr().out == man.page(FRONT_ENDS["dcmrecv"])
    assert completion_tool.main(["bash"]) == 0
    assert "complete -o default" in capsys.readouterr().out
    for tool in (man_tool, completion_tool):
        for arguments in ([], ["nothing"], ["bash", "zsh"]):
            assert tool.main(arguments) == 1
            assert capsys.readouterr().err.startswith("usage: ")
