"""The tools of dcmfast: where each is, what it is for, and how they are listed.

Imports nothing: it is read before every start.
"""

from __future__ import annotations

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
    "dcmsend": ("dcmfast.apps.dcmsend", "send files to a peer, and report; DCMTK's dcmsend"),
    "findscu": ("dcmfast.apps.findscu", "ask a peer what it has (C-FIND)"),
    "getscu": ("dcmfast.apps.getscu", "fetch objects over one association (C-GET)"),
    "movescu": ("dcmfast.apps.movescu", "have objects sent, to us or to others (C-MOVE)"),
    "load": ("dcmfast.apps.load", "load an archive, measure it, and check what it keeps"),
    "record": ("dcmfast.apps.record", "record what passes between two peers"),
    "replay": ("dcmfast.apps.replay", "play one side of a recording, find the first difference"),
    "show": ("dcmfast.apps.show", "show a recording or a capture: PDUs, commands, data sets"),
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
