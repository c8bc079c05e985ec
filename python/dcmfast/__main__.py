"""``dcmfast <tool> …``: find the tool and hand over.

Only the named tool's module is imported, because a receiver must listen within milliseconds:
nothing here may import more than ``sys`` and the table of the tools.
"""

from __future__ import annotations

import sys

from dcmfast.tools import DCMTK_NAMES, GROUPS, TOOLS


def _overview() -> str:
    from dcmfast import __version__

    width = max(len(name) for name in TOOLS)
    grouped = {name for _, names in GROUPS for name in names}
    lines = [
        f"dcmfast {__version__}: receive, keep and find DICOM objects",
        "",
        "usage: dcmfast <tool> [options] ...",
    ]
    for title, names in GROUPS:
        here = [name for name in names or TOOLS if name in TOOLS and (names or name not in grouped)]
        if here:
            lines += ["", f"{title}:"]
            lines += [f"  {name:<{width}}  {TOOLS[name][1]}" for name in here]
    lines += ["", "dcmfast <tool> --help lists a tool's options, dcmfast man <tool> is its manual."]
    return "\n".join(lines)


def _called_as() -> str:
    """Return the tool whose name this program was called by; empty for none."""
    name = sys.argv[0].rpartition("/")[2]
    return name if name in DCMTK_NAMES and name in TOOLS else ""


def main(arguments: list[str] | None = None) -> int:
    """Run the tool named by the first argument, or by the name of a link to this program.

    Returns its exit code.  Without arguments, or with ``--help``, the tools are listed; an unknown
    tool is exit code 1, and so is a standard output that could not be written to.
    """
    from dcmfast.observe.standard_output import guarded

    before = sys.stdout
    output = guarded()
    try:
        code = _run(arguments)
        if output is None:
            return code
        output.flush()
        if output.fault is not None:
            words = output.fault.strerror or output.fault
            print(f"E: dcmfast: cannot write to standard output: {words}", file=sys.stderr)
            code = code or 1
        return code
    finally:
        sys.stdout = before


def _run(arguments: list[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    called_as = _called_as() if arguments is None else ""
    if called_as:
        words = [called_as, *words]
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        from dcmfast import __version__

        print(f"dcmfast {__version__}")
        return 0
    if words[0] not in TOOLS:
        names = ", ".join(TOOLS)
        print(f"dcmfast: no tool named {words[0]!r}; there are {names}", file=sys.stderr)
        return 1
    from importlib import import_module

    module = import_module(TOOLS[words[0]][0])
    code: int = module.main(words[1:])
    return code


if __name__ == "__main__":
    sys.exit(main())
