"""Why a conversation failed, in plain words: what happened, after how long, which option decides.

DCMTK's line stays as it is, because scripts look for it; what is said here stands beside it, with
our logger's name.  Called by the requestors.
"""

from __future__ import annotations

from dcmfast.errors import (
    AssociationAborted,
    AssociationRejected,
    AssociationTimeout,
    ConnectionFailed,
    SecurityFailed,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dcmfast.errors import DcmfastError
    from dcmfast.options.settings import RequestorSettings

#: Source and reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21) → what they mean to who asked.
_REJECTED = {
    (1, 2): "the peer does not know DICOM's application context",
    (1, 3): "the peer does not know our title {calling} (--aetitle), or not from this host",
    (1, 7): "the peer is not called {called} (--call)",
    (2, 2): "the peer does not know this version of the protocol",
    (3, 1): "the peer is busy at the moment; later it may accept",
    (3, 2): "the peer has as many associations as it takes; later it may accept",
}
#: Result of a presentation context (PS3.8 Table 9-18) → what it means.
_REFUSED = {
    1: "it does not want them",
    2: "it gives no reason",
    3: "it does not have the service or SOP class",
    4: "it does not take the transfer syntaxes",
}


def of_association(
    error: DcmfastError, settings: RequestorSettings, *, is_secure: bool = False
) -> str:
    """Return why no association came about; empty where DCMTK's line says it all."""
    where = str(settings.peer)
    if isinstance(error, AssociationTimeout):
        wanted = "TLS and the association" if is_secure else "the association"
        return (
            f"{where} took the connection and did not answer the request for {wanted} within "
            f"{settings.acse_timeout_s} s (--acse-timeout); perhaps it is no DICOM service, "
            f"{'has no TLS' if is_secure else 'wants TLS'}, or is busy"
        )
    if isinstance(error, ConnectionFailed):
        return _not_connected(str(error), where, settings)
    if isinstance(error, AssociationRejected):
        cause = _REJECTED.get((error.source, error.reason), "")
        return cause.format(calling=settings.ae_title, called=settings.called_ae_title)
    if isinstance(error, AssociationAborted) and not is_secure:
        return (
            f"{where} took the connection, and instead of an answer {error.ending}; perhaps it is "
            "no DICOM service, wants TLS, or lets only known hosts in"
        )
    return ""


def _not_connected(text: str, where: str, settings: RequestorSettings) -> str:
    lower = text.lower()
    if "unknown host" in lower:
        return f"the name {settings.peer.host} has no address here"
    if "refused" in lower:
        return f"nobody listens at {where}, or a firewall refuses"
    if "timed out" in lower:
        waited = settings.connection_timeout_s
        after = "" if waited is None else f" within {waited} s"
        return f"{where} did not answer{after} (--timeout); it is off, or a firewall drops"
    return ""


def of_contexts(results: Iterable[int]) -> str:
    """Return why an association without an accepted presentation context has none."""
    counts: dict[int, int] = {}
    for result in results:
        counts[result] = counts.get(result, 0) + 1
    reasons = [f"{_REFUSED.get(result, 'unknown')} ({count})" for result, count in counts.items()]
    number = sum(counts.values())
    return (
        f"the peer accepted the association and none of its {number} presentation contexts: "
        f"{', '.join(reasons)}"
    )


def of_answer(error: DcmfastError, settings: RequestorSettings, request: str) -> str:
    """Return why there is no answer to a `request`, such as ``C-FIND``; empty as above."""
    if isinstance(error, AssociationTimeout):
        if error.why:
            return error.why
        waited, option = settings.dimse_timeout_s, "--dimse-timeout"
        if waited is None:
            waited, option = settings.socket_timeout_s, "--socket-timeout"
        return f"the peer did not answer in time: the {request} request, {waited} s ({option})"
    if isinstance(error, AssociationAborted):
        return f"the peer ended the association before its answer to the {request}: {error.ending}"
    if isinstance(error, SecurityFailed):
        return error.explanation
    return ""


def of_release(error: DcmfastError, settings: RequestorSettings) -> str:
    """Return why a release failed; what was asked before it is done all the same."""
    if isinstance(error, AssociationTimeout):
        return f"no answer to the release within {settings.acse_timeout_s} s (--acse-timeout)"
    if isinstance(error, AssociationAborted):
        return f"the release was not answered: {error.ending}"
    return ""
