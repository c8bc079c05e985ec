"""The limit: ``tools/limit``, which checks nothing, with and without the syncs of the promise."""

from __future__ import annotations

from pathlib import Path

from peers import Peer

TOOLS = Path(__file__).resolve().parent.parent / "tools"
_PROGRAM = str(TOOLS / "target" / "release" / "limit")

LIMIT = Peer("limit", "limit", (_PROGRAM, "{port}", "{directory}"))
LIMIT_SYNC = Peer("limit --sync", "limit", (_PROGRAM, "--sync", "{port}", "{directory}"))
