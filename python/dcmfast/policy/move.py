"""Where C-MOVE can send to, and who is of one vendor: a configuration as plain tables.

Pure functions; the restrictions themselves (``-ZA``, ``-ZH``, ``-ZV``) are checked by the engine.
"""

from __future__ import annotations

from dcmfast.policy.access import is_title
from dcmfast.policy.archive import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dcmfast.config.qrscp_cfg import ConfiguredPeer, QRConfig


def destinations(config: QRConfig) -> tuple[Peer, ...]:
    """Return every destination, each title once: the first entry that has it counts.

    The peers of the AETable come first, in file order, then those of the HostTable (DCMTK 3.6.7).
    ``ANY`` adds none.
    """
    found: dict[str, Peer] = {}
    for configured in _configured(config):
        if is_title(configured.ae_title):
            found.setdefault(
                configured.ae_title,
                Peer(ae_title=configured.ae_title, host=configured.host, port=configured.port),
            )
    return tuple(found.values())


def _configured(config: QRConfig) -> Iterable[ConfiguredPeer]:
    for application in config.applications:
        yield from application.peers or ()
    for entry in config.hosts:
        yield from entry.peers


def vendors(config: QRConfig) -> tuple[tuple[str, ...], ...]:
    """Return the AE titles of each vendor, by entry of the VendorTable.

    A title in no entry has no vendor, not even its own, so that ``-ZV`` lets it send nowhere.
    """
    return tuple(
        tuple(dict.fromkeys(peer.ae_title for peer in entry.peers)) for entry in config.vendors
    )
