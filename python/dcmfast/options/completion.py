"""Shell completion for bash, zsh and fish, made from the front ends' descriptions.

Options are completed by their spellings, and values that are one of a few words by these words;
everything else is completed as a file name.
"""

from __future__ import annotations

from dcmfast.options.option import FrontEnd, Option, Word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHELLS = ("bash", "zsh", "fish")
NOTHING: Mapping[str, Sequence[str]] = {}

#: What ``dcmfast`` itself takes in a tool's place.
_OWN = ("--help", "--version")


def script(
    shell: str,
    front_ends: Sequence[FrontEnd],
    other_tools: Mapping[str, Sequence[str]] = NOTHING,
    linked: Sequence[str] = (),
) -> str:
    """Return the completion script of `shell`, one of `SHELLS`.

    Parameters
    ----------
    shell
        Whose script it is.
    front_ends
        The tools with option tables.
    other_tools
        Words that may follow a tool, as a command or the like; tools without an option table are
        known by standing here.
    linked
        Tools that are called by their own names, too (``dcmfast link``).
    """
    make = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    return make(front_ends, other_tools, linked)


def _tools(front_ends: Sequence[FrontEnd], other_tools: Mapping[str, Sequence[str]]) -> list[str]:
    """Return every tool's name once."""
    return list(dict.fromkeys([*(one.tool for one in front_ends), *other_tools]))


def _names(front_end: FrontEnd) -> list[str]:
    return [name for one in front_end.options() for name in one.names + one.aliases]


def _words(front_end: FrontEnd) -> list[tuple[Option, tuple[str, ...]]]:
    """Return the options whose only value is one of a few words."""
    return [
        (option, option.values[0].words)
        for option in front_end.options()
        if len(option.values) == 1 and isinstance(option.values[0], Word)
    ]


def _quoted(text: str) -> str:
    """Return `text` in single quotes, as sh and zsh read them."""
    return "'" + text.replace("'", "'\\''") + "'"


def _bash(
    front_ends: Sequence[FrontEnd],
    other_tools: Mapping[str, Sequence[str]],
    linked: Sequence[str],
) -> str:
    tools = " ".join((*_tools(front_ends, other_tools), *_OWN))
    lines = [
        "# bash completion of dcmfast; made by `dcmfast completion bash`",
        "_dcmfast() {",
        '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"',
        '    local tool="${COMP_WORDS[1]}" at=1 called="${COMP_WORDS[0]##*/}"',
        # A link to dcmfast is the tool itself.
        '    if [ "$called" != dcmfast ]; then tool="$called" at=0; fi',
        "    COMPREPLY=()",
        '    if [ "$COMP_CWORD" -eq "$at" ]; then',
        f'        COMPREPLY=($(compgen -W "{tools}" -- "$current"))',
        "        return",
        "    fi",
        '    case "$tool $previous" in',
    ]
    for front_end in front_ends:
        for option, words in _words(front_end):
            patterns = "|".join(f'"{front_end.tool} {name}"' for name in option.names)
            lines += [
                f"        {patterns})",
                f'            COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current"))',
                "            return ;;",
            ]
    lines += ["    esac", '    [ "$COMP_CWORD" -eq $((at + 1)) ] && case "$tool" in']
    for tool, following in other_tools.items():
        answer = f'COMPREPLY=($(compgen -W "{" ".join(following)}" -- "$current"))'
        lines.append(f'        {tool}) {answer}; [ -n "$COMPREPLY" ] && return ;;')
    lines += ["    esac", '    case "$current" in', "        -*|+*)", '            case "$tool" in']
    for front_end in front_ends:
        names = " ".join(_names(front_end))
        answer = f'COMPREPLY=($(compgen -W "{names}" -- "$current"))'
        lines.append(f"                {front_end.tool}) {answer} ;;")
    lines += [
        "            esac ;;",
        "    esac",
        "}",
        # Where nothing is offered readline completes files itself, names with blanks and ~ too.
        f"complete -o default -F _dcmfast {' '.join(['dcmfast', *linked])}",
    ]
    return "\n".join(lines) + "\n"


def _zsh(
    front_ends: Sequence[FrontEnd],
    other_tools: Mapping[str, Sequence[str]],
    linked: Sequence[str],
) -> str:
    tools = " ".join((*_tools(front_ends, other_tools), *_OWN))
    lines = [
        f"#compdef {' '.join(['dcmfast', *linked])}",
        "# zsh completion of dcmfast; made by `dcmfast completion zsh`",
        "_dcmfast() {",
        "    local -a options",
        "    local tool=$words[2] at=2",
        "    if [[ ${words[1]:t} != dcmfast ]]; then",
        "        tool=${words[1]:t} at=1",
        "    elif (( CURRENT == 2 )); then",
        f"        compadd -- {tools}",
        "        return",
        "    fi",
        '    case "$tool $words[CURRENT-1]" in',
    ]
    for front_end in front_ends:
        for option, words in _words(front_end):
            patterns = "|".join(_quoted(f"{front_end.tool} {name}") for name in option.names)
            lines.append(f"        {patterns}) compadd -- {' '.join(words)}; return ;;")
    lines += ["    esac", '    (( CURRENT == at + 1 )) && case "$tool" in']
    lines += [
        f"        {tool}) compadd -- {' '.join(words)} ;;" for tool, words in other_tools.items()
    ]
    lines += ["    esac", '    if [[ "$PREFIX" == [-+]* ]]; then', '        case "$tool" in']
    for front_end in front_ends:
        names = " ".join(_quoted(name) for name in _names(front_end))
        lines.append(f"            {front_end.tool}) options=({names}) ;;")
    lines += [
        "        esac",
        "        compadd -a -- options",
        "        return",
        "    fi",
        "    _files",
        "}",
        '_dcmfast "$@"',
    ]
    return "\n".join(lines) + "\n"


def _fish(
    front_ends: Sequence[FrontEnd],
    other_tools: Mapping[str, Sequence[str]],
    linked: Sequence[str],
) -> str:
    tools = _tools(front_ends, other_tools)
    lines = [
        "# fish completion of dcmfast; made by `dcmfast completion fish`",
        # fish's own __fish_seen_subcommand_from looks at every word: a file may have a tool's name.
        "function __dcmfast_tool",
        "    set -l words (commandline -opc)",
        '    test (count $words) -gt 1; and test "$words[2]" = $argv[1]',
        "end",
    ]
    first = "test (count (commandline -opc)) -eq 1"
    lines += [
        f"complete -c dcmfast -f -n {_quoted(first)} -a {_quoted(word)}" for word in (*tools, *_OWN)
    ]
    for tool, following in other_tools.items():
        # In the next place alone: behind it the words of options come, and files.
        seen = f"__dcmfast_tool {tool}; and test (count (commandline -opc)) -eq 2"
        lines.append(f"complete -c dcmfast -n {_quoted(seen)} -a {_quoted(' '.join(following))}")
    for front_end in front_ends:
        lines += _fish_tool(front_end, "dcmfast", f"__dcmfast_tool {front_end.tool}; and ")
        if front_end.tool in linked:
            lines += _fish_tool(front_end, front_end.tool, "")
    return "\n".join(lines) + "\n"


def _fish_tool(front_end: FrontEnd, command: str, seen: str) -> list[str]:
    """Return the lines for one tool, called as `command`; `seen` is a condition before others."""
    lines = []
    for option in front_end.options():
        # What the value is stands in the first line, where there is one.
        summary = " ".join(option.summary.split("\n")[1 if option.values else 0 :])
        # Not -l and -o: fish knows no options that begin with +.
        names = " ".join((*option.names, *option.aliases))
        typing = "string match -qr -- '^[-+]' (commandline -ct)"
        lines.append(
            f"complete -c {command} -n {_fish_quoted(seen + typing)} "
            f"-a {_fish_quoted(names)} -d {_fish_quoted(summary)}"
        )
    for option, words in _words(front_end):
        names = " ".join(option.names)
        after = f"contains -- (commandline -opc)[-1] {names}"
        lines.append(
            f"complete -c {command} -f -n {_fish_quoted(seen + after)} "
            f"-a {_fish_quoted(' '.join(words))}"
        )
    return lines


def _fish_quoted(text: str) -> str:
    """Return `text` in single quotes, in which fish knows two escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
