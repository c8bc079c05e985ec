"""dcmfast completion: print a shell's completion script, for its start-up file to read."""

from __future__ import annotations

import sys

from dcmfast.options import completion
from dcmfast.options.specs import all_front_ends, index
from dcmfast.options.specs.load import ACTIONS
from dcmfast.tools import DCMTK_NAMES, TOOLS

#: What follows a tool: its commands, or all words of one without an option table.
_OTHERS = {
    "index": tuple(index.COMMANDS),
    "load": (*ACTIONS, "audit", "compare", "show"),
    "link": ("--force",),
    "replay": ("requestor", "acceptor"),
    "man": ("--write",),
    "completion": completion.SHELLS,
}


def main(arguments: list[str]) -> int:
    """Print the script of the one shell named; return the exit code."""
    is_linked = "--linked" in arguments
    shells = [one for one in arguments if one != "--linked"]
    if len(shells) != 1 or shells[0] not in completion.SHELLS:
        out = sys.stdout if shells in (["-h"], ["--help"]) else sys.stderr
        names = ", ".join(completion.SHELLS)
        out.write(f"usage: dcmfast completion <shell> [--linked], one of: {names}\n")
        out.write("       --linked completes DCMTK's names, too (dcmfast link)\n")
        return 0 if out is sys.stdout else 1
    front_ends = all_front_ends()
    words = {**_OTHERS, "man": ("--write", "dcmfast", *(one.tool for one in front_ends))}
    linked = [name for name in TOOLS if name in DCMTK_NAMES] if is_linked else []
    sys.stdout.write(completion.script(shells[0], front_ends, words, linked))
    return 0
