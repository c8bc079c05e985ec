"""DCMTK's storescp and dcmrecv, as Debian installs them.

``TCP_NODELAY=1`` in the environment switches Nagle's algorithm off; without it DCMTK's two small
writes per response meet the sender's delayed ACK and cost 44 ms per object.  Both are listed: the
default is what sites run, the other is the fair opponent.  storescp serves one association at a
time unless ``--fork`` is given; dcmrecv has no such option.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess

from peers import Peer, certificates


@functools.cache
def version(program: str) -> str | None:
    """Version of the DCMTK program that `path_of` finds, such as ``3.6.7``; None without one."""
    return _version_at(path) if (path := path_of(program)) is not None else None


@functools.cache
def path_of(program: str) -> str | None:
    """Find a DCMTK program by what it says about itself.

    The name is not enough: pynetdicom's package installs a ``storescp`` too, and an activated
    environment puts it first.
    """
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = shutil.which(program, path=folder)
        if path is not None and _version_at(path) is not None:
            return path
    return None


def _version_at(path: str) -> str | None:
    """Read DCMTK's first line of ``--version``: ``$dcmtk: storescp v3.6.7 2022-04-22 $``."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"\$dcmtk: \S+ v(\S+)", done.stdout)
    return found.group(1) if found else None


#: Debian's example profile; dcmfast's dcmrecv gets the same.
PROFILE = "/etc/dcmtk/storescp.cfg"

_NO_DELAY = {"TCP_NODELAY": "1"}
_STORESCP = (path_of("storescp") or "no-dcmtk-storescp", "{port}", "-od", "{directory}")
_DCMRECV = (
    *(path_of("dcmrecv") or "no-dcmtk-dcmrecv", "{port}", "-od", "{directory}"),
    # Without a profile dcmrecv accepts nothing but Verification.
    *("-xf", PROFILE, "Default"),
)
#: 44 ms per object: 1 % of the objects takes as long as all of them without the delay.
_NAGLE_SHARE = 0.01

STORESCP_DEFAULT = Peer(
    "DCMTK storescp, default", "dcmtk", _STORESCP, serves_many=False, share=_NAGLE_SHARE
)
STORESCP = Peer("DCMTK storescp", "dcmtk", _STORESCP, _NO_DELAY, serves_many=False)
STORESCP_B = Peer("DCMTK storescp +B", "dcmtk", (*_STORESCP, "+B"), _NO_DELAY, serves_many=False)
STORESCP_FORK = Peer("DCMTK storescp --fork", "dcmtk", (*_STORESCP, "--fork"), _NO_DELAY)
STORESCP_FORK_B = Peer("DCMTK storescp --fork +B", "dcmtk", (*_STORESCP, "--fork", "+B"), _NO_DELAY)
DCMRECV_DEFAULT = Peer(
    "DCMTK dcmrecv, default", "dcmtk", _DCMRECV, serves_many=False, share=_NAGLE_SHARE
)
DCMRECV = Peer("DCMTK dcmrecv", "dcmtk", _DCMRECV, _NO_DELAY, serves_many=False)

STORESCP_BIG = Peer(
    "DCMTK storescp +tb", "dcmtk", (*_STORESCP, "+tb"), _NO_DELAY, serves_many=False
)
STORESCP_DEFLATED = Peer(
    "DCMTK storescp +td", "dcmtk", (*_STORESCP, "+td"), _NO_DELAY, serves_many=False
)
#: Anybody may call: the load generator has no certificate of its own.
TLS = ("+tls", str(certificates.KEY), str(certificates.CERTIFICATE), "-ic")
STORESCP_TLS = Peer(
    "DCMTK storescp +tls",
    "dcmtk",
    (*_STORESCP, *TLS),
    _NO_DELAY,
    configure=certificates.make,
    serves_many=False,
)

#: With TCP_NODELAY=1: those that dcmfast is measured against.
FAIR = (STORESCP, STORESCP_B, STORESCP_FORK, STORESCP_FORK_B, DCMRECV)
#: As they come.
DEFAULT = (STORESCP_DEFAULT, DCMRECV_DEFAULT)
