"""dcmfast man: print a tool's manual page, for ``man -l -``."""

from __future__ import annotations

import sys

from dcmfast.options import man
from dcmfast.options.specs import all_front_ends


def main(arguments: list[str]) -> int:
    """Print the manual page of the one tool named; return the exit code."""
    pages = {front_end.tool: front_end for front_end in all_front_ends()}
    if len(arguments) != 1 or arguments[0] not in pages:
        sys.stderr.write(f"usage: dcmfast man <tool>, one of: {', '.join(pages)}\n")
        return 1
    sys.stdout.write(man.page(pages[arguments[0]]))
    return 0
