"""DCMTK's storescp and dcmrecv, as Debian installs them.

``TCP_NODELAY=1`` in the environment switches Nagle's algorithm off; without it DCMTK's two small
writes per response meet the sender's delayed ACK and cost 44 ms per object.  Both are listed: the
default is what sites run, the other is the fair opponent.  storescp serves one association at a
time unless ``--fork`` is given; dcmrecv has no such option.
"""

from __future__ import annotations

from peers import Peer

_NO_DELAY = {"TCP_NODELAY": "1"}
#: Debian's example profile; dcmfast's dcmrecv gets the same.
PROFILE = "/etc/dcmtk/storescp.cfg"

_STORESCP = ("storescp", "{port}", "-od", "{directory}")
_DCMRECV = (
    *("dcmrecv", "{port}", "-od", "{directory}"),
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

#: With TCP_NODELAY=1: those that dcmfast is measured against.
FAIR = (STORESCP, STORESCP_B, STORESCP_FORK, STORESCP_FORK_B, DCMRECV)
#: As they come.
DEFAULT = (STORESCP_DEFAULT, DCMRECV_DEFAULT)
