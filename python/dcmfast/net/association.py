"""An association that we request: the engine's, with errors in dcmfast's classes.

The engine's exceptions say what happened; which class, text and log lines that means to a tool is
decided here, once for all requestors.
"""

from __future__ import annotations

from dcmfast import _rust
from dcmfast.errors import (
    AssociationAborted,
    AssociationRejected,
    AssociationTimeout,
    ConnectionFailed,
    LocalProtocolError,
    NetworkError,
    RemoteProtocolError,
    SecurityFailed,
)
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcmfast.options.settings import RequestorSettings


class Extras(Record):
    """What an association request may carry beside its contexts."""

    #: SOP class and ``SCU``, ``SCP`` or ``BOTH`` (PS3.7 §D.3.3.4).
    roles: tuple[tuple[str, str], ...] = ()
    #: SOP class and service class application information (PS3.7 §D.3.3.5).
    extended_negotiation: tuple[tuple[str, bytes], ...] = ()
    #: Type, whether an answer is asked for, primary and secondary field (PS3.7 §D.3.3.7).
    identity: tuple[int, bool, bytes, bytes] | None = None

    def classes(self, role: str) -> list[str]:
        """Return the SOP classes for which this role is proposed."""
        return [sop_class for sop_class, word in self.roles if word == role]


def request(
    settings: RequestorSettings,
    contexts: Sequence[tuple[str, Sequence[str]]],
    *,
    max_send_pdu_bytes: int | None = None,
    tls: _rust.TlsContext | None = None,
    scp_roles: Sequence[str] = (),
    extras: Extras | None = None,
    is_shown_in_detail: bool = False,
    giving_up: _rust.GivingUp | None = None,
) -> _rust.Association:
    """Connect and associate as `settings` say.

    Parameters
    ----------
    settings
        Peer, titles, timeouts and sizes.
    contexts
        Abstract syntax and transfer syntaxes of each presentation context, at most 128.
    max_send_pdu_bytes
        Longest PDU to send where the peer allows more; None leaves it to the peer.
    tls
        What the connection is secured with; None for plain TCP.
    scp_roles
        SOP classes whose objects the peer is to send over this association (PS3.7 §D.3.3.4).
    extras
        What else the request carries.
    is_shown_in_detail
        The association's `details` are to be kept.
    giving_up
        Ends every wait, for who is not in the main thread.

    Raises
    ------
    ConnectionFailed, AssociationRejected, NetworkError
        Nothing was established; the connection is closed.
    """
    # As DCMTK: a blank title is refused before it travels, because many peers do not answer it.
    for title, what in ((settings.ae_title, "Calling"), (settings.called_ae_title, "Called")):
        if not title:
            raise ConnectionFailed(f"0006:030c Illegal service parameter: {what} AP Title")
    extras = extras or Extras()
    try:
        return _rust.Association(
            settings.peer.host,
            settings.peer.port,
            calling=str(settings.ae_title),
            called=str(settings.called_ae_title),
            contexts=[(uid, list(syntaxes)) for uid, syntaxes in contexts],
            max_pdu_bytes=settings.max_pdu_bytes,
            max_send_pdu_bytes=max_send_pdu_bytes,
            connect_timeout_s=settings.connection_timeout_s,
            acse_timeout_s=settings.acse_timeout_s,
            dimse_timeout_s=settings.dimse_timeout_s,
            socket_timeout_s=settings.socket_timeout_s,
            tcp_no_delay=settings.is_tcp_nodelay,
            tcp_buffer_bytes=settings.tcp_buffer_bytes,
            tls=tls,
            scp_roles=[*scp_roles, *extras.classes("SCP")],
            both_roles=extras.classes("BOTH"),
            scu_roles=extras.classes("SCU"),
            extended_negotiation=list(extras.extended_negotiation),
            user_identity=extras.identity,
            is_shown_in_detail=is_shown_in_detail,
            giving_up=giving_up,
        )
    except _rust.AssociationError as error:
        raise translated(error, is_upper_layer=True) from None


def translated(error: _rust.AssociationError, *, is_upper_layer: bool = False) -> NetworkError:
    """Return `error` as the class that knows its exit code, with DCMTK's condition as text.

    `is_upper_layer`: no message was waited for, but the answer to a request for association or
    release, whose silence has another name.
    """
    if isinstance(error, _rust.AssociationRejected):
        result, source, reason, *words = error.args
        return AssociationRejected(
            f"Result: {words[0]}, Source: {words[1]}\nReason: {words[2]}",
            result=result,
            source=source,
            reason=reason,
        )
    if isinstance(error, _rust.TlsFailed):
        condition, explanation = error.args
        return SecurityFailed(condition, explanation=explanation)
    text = str(error)
    if isinstance(error, _rust.ConnectError):
        code = "0320" if text.startswith("Attempt") else "031c"
        return ConnectionFailed(f"0006:{code} {text}")
    if isinstance(error, _rust.TimedOut):
        if is_upper_layer:
            return AssociationTimeout("0006:031a DUL network read timeout")
        return AssociationTimeout(
            "0006:0207 DIMSE No data available (timeout in non-blocking mode)"
        )
    if isinstance(error, (_rust.PeerAborted, _rust.PeerReleased)):
        ended = AssociationAborted("0006:0317 Peer aborted Association (or never connected)")
        ended.is_release = isinstance(error, _rust.PeerReleased)
        ended.ending = error.args[1]
        return ended
    if isinstance(error, _rust.LocalProtocolError):
        return LocalProtocolError(text)
    return RemoteProtocolError(f"0006:0317 {text}")
