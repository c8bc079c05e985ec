"""dcmfast completion: print a shell's completion script, for its start-up file to read."""

from __future__ import annotations

import sys

from dcmfast.options import completion
from dcmfast.options.specs import all_front_ends


def main(arguments: list[str]) -> int:
    """Print the script of the one shell named; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in completion.SHELLS:
        shells = ", ".join(completion.SHELLS)
        sys.stderr.write(f"usage: dcmfast completion <shell>, one of: {shells}\n")
        return 1
    sys.stdout.write(completion.script(arguments[0], all_front_ends(), ("man", "completion")))
    return 0
