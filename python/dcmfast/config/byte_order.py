"""What "local byte order" means, in one place.

Preferences such as ``+x=`` and the name ``LocalEndianExplicit`` in profiles put the host's own byte
order first.  Every part asks here, so that tests can play a big-endian host by setting
``DCMFAST_LOCAL_BYTE_ORDER``.  Data are never read or written by this: their order is explicit.
"""

from __future__ import annotations

import os
import sys

#: Environment variable that overrides the host's order: ``big`` or ``little``.
VARIABLE = "DCMFAST_LOCAL_BYTE_ORDER"

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"


def local_byte_order() -> str:
    """Return ``big`` or ``little``; any other text in the environment counts as not set."""
    override = os.environ.get(VARIABLE, "")
    return override if override in ("big", "little") else sys.byteorder


def local_explicit() -> str:
    """Return the explicit VR transfer syntax of the local byte order."""
    return EXPLICIT_BIG if local_byte_order() == "big" else EXPLICIT_LITTLE


def opposite_explicit() -> str:
    """Return the explicit VR transfer syntax of the other byte order."""
    return EXPLICIT_LITTLE if local_byte_order() == "big" else EXPLICIT_BIG
