"""Who may use which storage area, and how: the AETable of a configuration as plain tables.

Pure functions; ``archive.ArchiveTables`` says what the engine makes of the result.
"""

from __future__ import annotations

from dcmfast.policy.archive import Application, Peer
from dcmfast.types import AETitle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.config.qrscp_cfg import ConfiguredApplication, ConfiguredPeer

#: Accesses that allow storing.  All else, known or not, is read-only, and reading is never
#: forbidden (DCMTK 3.6.7).
_STORING = ("RW", "WR", "W")


def applications(entries: tuple[ConfiguredApplication, ...]) -> tuple[Application, ...]:
    """Return what the lines of an AETable allow, each called title once.

    Of two lines with one title the first decides about area, access and quota, while the peers of
    both may call; so it is with DCMTK.  A title that no peer can send is left out.
    """
    first: dict[str, ConfiguredApplication] = {}
    # None: any peer may call.
    callers: dict[str, dict[Peer, None] | None] = {}
    for entry in entries:
        title = entry.ae_title
        if not is_title(title):
            continue
        first.setdefault(title, entry)
        allowed = callers.setdefault(title, {})
        if entry.peers is None:
            callers[title] = None
        elif allowed is not None:
            allowed.update((_peer(one), None) for one in entry.peers)
    return tuple(
        Application(
            ae_title=title,
            directory=entry.storage_area,
            may_store=entry.access in _STORING,
            is_open=callers[title] is None,
            peers=tuple(callers[title] or ()),
            studies_max=entry.studies_max,
            study_bytes_max=entry.study_bytes_max,
        )
        for title, entry in first.items()
    )


def is_title(text: str) -> bool:
    """Return True if a peer could send `text` as an AE title, PS3.8 §9.3.2."""
    try:
        return bool(AETitle(text))
    except ValueError:
        return False


def _peer(configured: ConfiguredPeer) -> Peer:
    return Peer(ae_title=configured.ae_title, host=configured.host, port=configured.port)
