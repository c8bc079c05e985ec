"""The limit: ``tools/limit``, which checks nothing, with and without the syncs of a promise."""

from __future__ import annotations

from pathlib import Path

from peers import Peer, certificates

TOOLS = Path(__file__).resolve().parent.parent / "tools"
_PROGRAM = str(TOOLS / "target" / "release" / "limit")

LIMIT = Peer("limit", "limit", (_PROGRAM, "{port}", "{directory}"))
LIMIT_SYNC = Peer("limit --sync", "limit", (_PROGRAM, "--sync", "{port}", "{directory}"))
#: One fdatasync per object, and nothing about its name: what an archive with an index could do.
LIMIT_SYNC_FILE = Peer(
    "limit --sync-file", "limit", (_PROGRAM, "--sync-file", "{port}", "{directory}")
)
#: No files at all: one fdatasync of a preallocated journal for all that wait.
LIMIT_JOURNAL = Peer("limit --journal", "limit", (_PROGRAM, "--journal", "{port}", "{directory}"))
#: Files without syncs, received through the system's OpenSSL.
LIMIT_TLS = Peer(
    "limit --tls",
    "limit",
    (
        *(_PROGRAM, "--tls", str(certificates.CERTIFICATE), str(certificates.KEY)),
        *("{port}", "{directory}"),
    ),
    configure=certificates.make,
)
