"""``dcmfast <tool> …``: find the tool and hand over.

Only the named tool's module is imported, because a receiver must listen within milliseconds:
nothing here may import more than ``sys``.
"""

from __future__ import annotations

import sys

#: Tool → (module, what it is for). The order is that of the list a user sees.
TOOLS: dict[str, tuple[str, str]] = {
    "storescp": ("dcmfast.apps.storescp", "receive objects; DCMTK's storescp, and that of 1998"),
    "dcmrecv": ("dcmfast.apps.dcmrecv", "receive objects by an association profile"),
    "dcmqrscp": ("dcmfast.apps.dcmqrscp", "archive by a configuration file; DCMTK's dcmqrscp"),
    "serve": ("dcmfast.apps.serve", "archive in a directory: store, find and retrieve"),
    "index": ("dcmfast.apps.index", "an archive's index: show, verify, rebuild, export, import"),
    "dcmqridx": ("dcmfast.apps.dcmqridx", "list files in an archive's index; DCMTK's dcmqridx"),
    "echoscu": ("dcmfast.apps.echoscu", "ask a peer whether it answers (C-ECHO)"),
    "storescu": ("dcmfast.apps.storescu", "send files to a peer (C-STORE)"),
    "findscu": ("dcmfast.apps.findscu", "ask a peer what it has (C-FIND)"),
    "getscu": ("dcmfast.apps.getscu", "fetch objects over one association (C-GET)"),
    "movescu": ("dcmfast.apps.movescu", "have objects sent, to us or to others (C-MOVE)"),
    "load": ("dcmfast.apps.load", "load an archive, measure it, and check what it keeps"),
    "dcmconv": ("dcmfast.apps.dcmconv", "write a file in another encoding; DCMTK's dcmconv"),
    "link": ("dcmfast.apps.link", "make DCMTK's names for these tools in a folder"),
    "man": ("dcmfast.apps.man", "print a tool's manual page, or write all of them"),
    "completion": ("dcmfast.apps.completion", "print shell completion for bash, zsh or fish"),
}


#: Groups of the list that a user sees; a tool that no group names stands in the last one.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("receive and keep", ("storescp", "dcmrecv", "dcmqrscp", "serve", "index", "dcmqridx")),
    ("ask, fetch and send", ("echoscu", "findscu", "getscu", "movescu", "storescu", "dcmsend")),
    ("measure, record and look", ("load", "record", "replay", "show")),
    ("files", ("dcmconv",)),
    ("set up", ("link", "man", "completion")),
    ("others", ()),
)

#: DCMTK's names, under which a tool may be called directly (``dcmfast link``).
DCMTK_NAMES = frozenset(
    name for _, names in GROUPS for name in names if name.startswith(("dcm", "store", "find"))
) | {"echoscu", "getscu", "movescu"}


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
    tool is exit code 1.
    """
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
