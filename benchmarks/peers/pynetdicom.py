"""pynetdicom's storescp application, from the environment that runs the benchmark."""

from __future__ import annotations

import sys

from peers import Peer

STORESCP = Peer(
    "pynetdicom storescp",
    "pynetdicom",
    (sys.executable, "-m", "pynetdicom", "storescp", "{port}", "-od", "{directory}"),
    # Python reads and decodes each data set: a twentieth of the objects takes about as long.
    share=0.05,
)
