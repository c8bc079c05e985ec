"""dcmfast's storescp and dcmrecv, from the environment that runs the benchmark."""

from __future__ import annotations

import sys

from peers import Peer, certificates, dcmtk

_STORESCP = (sys.executable, "-m", "dcmfast", "storescp", "{port}", "-od", "{directory}")
_DCMRECV = (
    *(sys.executable, "-m", "dcmfast", "dcmrecv", "{port}", "-od", "{directory}"),
    *("-xf", dcmtk.PROFILE, "Default"),
)

STORESCP = Peer("dcmfast storescp", "dcmfast", _STORESCP)
STORESCP_B = Peer("dcmfast storescp +B", "dcmfast", (*_STORESCP, "+B"))
DCMRECV = Peer("dcmfast dcmrecv", "dcmfast", _DCMRECV)
STORESCP_GROUP = Peer(
    "dcmfast storescp --durability group", "dcmfast", (*_STORESCP, "--durability", "group")
)
STORESCP_EACH = Peer(
    "dcmfast storescp --durability each", "dcmfast", (*_STORESCP, "--durability", "each")
)
STORESCP_BIG = Peer("dcmfast storescp +tb", "dcmfast", (*_STORESCP, "+tb"))
STORESCP_DEFLATED = Peer("dcmfast storescp +td", "dcmfast", (*_STORESCP, "+td"))
STORESCP_FORK = Peer("dcmfast storescp --fork", "dcmfast", (*_STORESCP, "--fork"))
STORESCP_TLS = Peer(
    "dcmfast storescp +tls",
    "dcmfast",
    (*_STORESCP, *dcmtk.TLS),
    configure=certificates.make,
)
