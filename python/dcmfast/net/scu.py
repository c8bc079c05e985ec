"""What the requestors have in common: associate, tell it, and end; and the work of echoscu."""

from __future__ import annotations

from time import monotonic

from dcmfast import __version__, _rust
from dcmfast.errors import (
    AssociationAborted,
    AssociationRejected,
    ConnectionFailed,
    ContextNotAccepted,
    NetworkError,
    SecurityFailed,
    UserIdentityRefused,
)
from dcmfast.limits import MAX_PDU_BYTES_MAX
from dcmfast.net import association, causes, dictionaries, tls
from dcmfast.observe.logs import Log
from dcmfast.policy.negotiation import (
    ECHO_TRANSFER_SYNTAXES,
    VERIFICATION_SOP_CLASS,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcmfast.options.settings import EchoSettings, RequestorSettings

    Contexts = list[tuple[str, tuple[str, ...]]]

#: First digit of the statuses that are warnings: the object *is* stored (PS3.4 §B.2.3).
_WARNING = 0xB

#: Exit code of both tools when no association came about, whatever the reason, as DCMTK's.
_NOT_ASSOCIATED = 1
_ECHO_FAILED = 70


def prepare(settings: RequestorSettings) -> Log:
    """Open the log, and say what is said before anything happens."""
    log = Log(settings.log_level, tool=settings.tool, table=settings.log_table)
    if settings.arguments_line is not None:
        log.line_at_any_level(settings.arguments_line)
    log.banner()
    dictionaries.use(settings, log)
    for warning in settings.warnings:
        log.line("W", warning)
    if settings.tool in _OF_THE_LIBRARY:
        log.speak_for_the_library()
    return log


#: Tools that DCMTK has built upon its library's classes for requestors.
_OF_THE_LIBRARY = ("findscu", "getscu")
#: Where getscu says what it does not leave to them.
GETSCU = "dcmtk.apps.getscu"


#: How grave it is that no association came about, and what stands before the reason.
_REFUSED = {"movescu": ("F", "\n"), "findscu": ("E", " "), "dcmsend": ("E", " ")}
#: DCMTK's library, whose lines dcmsend's are.
_DCMNET = "dcmtk.dcmnet"
#: DCMTK's getscu has other words.
_NOT_NEGOTIATED = "Could not negotiate association: "


def associate(
    settings: RequestorSettings,
    contexts: Sequence[tuple[str, Sequence[str]]],
    log: Log,
    *,
    max_send_pdu_bytes: int | None = None,
    security: _rust.TlsContext | None = None,
    scp_roles: Sequence[str] = (),
    extras: association.Extras | None = None,
    giving_up: _rust.GivingUp | None = None,
) -> _rust.Association:
    """Associate, and tell it; at least one context is accepted.

    Raises
    ------
    NetworkError
        Told already, in DCMTK's words.
    """
    extras = extras or association.Extras()
    if settings.tool == "getscu":
        text = f"Configured a total of {len(contexts)} presentation contexts for SCU"
        log.line("D", text, logger=_DCMNET)
    proposed = _proposed_roles(contexts, scp_roles, extras)
    _tell_block(settings, log, contexts, extras, None, proposed)
    log.line("I", "Requesting Association")
    letter, gap = _REFUSED.get(settings.tool, ("F", " "))
    try:
        link = association.request(
            settings,
            contexts,
            max_send_pdu_bytes=max_send_pdu_bytes,
            tls=security,
            scp_roles=scp_roles,
            extras=extras,
            is_shown_in_detail=log.shows("D"),
            giving_up=giving_up,
        )
    except AssociationRejected as error:
        _tell_request(settings, log)
        if settings.tool in ("getscu", "dcmsend"):
            # Neither gives a reason above -d; dcmsend's own closing line is its caller's.
            log.line("D", f"Association Rejected:\n{error}", logger=_DCMNET)
        if settings.tool == "getscu":
            log.line("F", f"{_NOT_NEGOTIATED}DUL Association Rejected", logger=GETSCU)
            log.line("E", str(error), logger="dcmfast.getscu")
        elif settings.tool == "dcmsend":
            log.line("E", str(error), logger="dcmfast.dcmsend")
        else:
            log.line(letter, f"Association Rejected:\n{error}")
        tell_cause(log, settings, causes.of_association(error, settings))
        raise
    except (ConnectionFailed, NetworkError) as error:
        text = str(error)
        if not isinstance(error, (ConnectionFailed, SecurityFailed)):
            _tell_request(settings, log)
        if settings.tool == "getscu":
            log.line("F", f"{_NOT_NEGOTIATED}{text.partition(' ')[2]}", logger=GETSCU)
        elif settings.tool == "dcmsend":
            log.line("D", f"Association Request Failed: {text}", logger=_DCMNET)
        else:
            log.line(letter, f"Association Request Failed:{gap}{text}")
        _tell_security(settings, log, error, is_secure=security is not None)
        cause = causes.of_association(error, settings, is_secure=security is not None)
        tell_cause(log, settings, cause)
        raise
    if link.secured is not None:
        log.line("I", f"peer {settings.peer}: {link.secured}", logger="dcmfast.tls")
    _tell_answer(settings, log, link)
    _tell_block(settings, log, contexts, extras, link, proposed)
    if not any(syntax for _, _, _, syntax in link.contexts()):
        head = _NOT_NEGOTIATED if settings.tool == "getscu" else ""
        own = GETSCU if settings.tool == "getscu" else ""
        log.line(letter, f"{head}No Acceptable Presentation Contexts", logger=own)
        results = (result for _, _, result, _ in link.contexts())
        tell_cause(log, settings, causes.of_contexts(results))
        link.abort()
        raise ContextNotAccepted("No Acceptable Presentation Contexts")
    # Of tickets, assertions and tokens DCMTK's does not look at the answer.
    who = extras.identity
    if who is not None and who[1] and who[0] <= 2 and not link.is_identity_answered:
        why = "Positive response requested but none received"
        log.line("E", f"User Identity Negotiation failed: {why}")
        text = "0006:0108 ASC User Identification Negotiation failed"
        log.line("F", text)
        link.abort()
        raise UserIdentityRefused(text)
    # A peer without limit gets PDUs of our own largest size.
    limit = link.peer_max_pdu_bytes or MAX_PDU_BYTES_MAX
    log.line("I", f"Association Accepted (Max Send PDV: {limit - 12})")
    return link


def tell_cause(log: Log, settings: RequestorSettings, cause: str) -> None:
    """Say in plain words why something failed, beside DCMTK's line; nothing if `cause` is empty."""
    if cause:
        log.line("E", cause, logger=f"dcmfast.{settings.tool}")


def _tell_security(
    settings: RequestorSettings, log: Log, error: NetworkError, *, is_secure: bool
) -> None:
    """Say in plain words why TLS failed, if that is what happened."""
    if isinstance(error, SecurityFailed):
        text = error.explanation
    elif is_secure and isinstance(error, AssociationAborted):
        # With TLS 1.3 a server's refusal comes behind the handshake, and may be lost on the way.
        text = "it ended the connection; perhaps it refuses this side's certificate, or wants one"
    else:
        return
    log.line("E", f"peer {settings.peer}: {text}", logger="dcmfast.tls")


def _tell_request(settings: RequestorSettings, log: Log, security: str | None = None) -> None:
    """Say at -d what DCMTK's library says before it sends a request."""
    seconds = settings.socket_timeout_s
    limit = "0 (infinite)" if seconds is None else f"{seconds} seconds"
    for direction in ("send", "receive"):
        log.line("D", f"setting network {direction} timeout to {limit}", logger=_DCMNET)
    if security is not None:
        begin = "================== BEGIN TLS CONNECTION DETAILS ================="
        end = "=================== END TLS CONNECTION DETAILS =================="
        log.line("D", f"{begin}\n{security}\n{end}", logger="dcmtk.dcmtls")
    log.line("D", "Constructing Associate RQ PDU", logger=_DCMNET)


def _tell_answer(settings: RequestorSettings, log: Log, link: _rust.Association) -> None:
    """Say at -d how the association came about, as DCMTK's library does."""
    if link.details is None:
        return
    answer, security = link.details
    _tell_request(settings, log, security)
    log.line("D", answer, logger=_DCMNET)
    log.line("D", "Parsing an A-ASSOCIATE PDU", logger=_DCMNET)
    if settings.tool == "storescu":
        log.line("D", security or "Transport connection: TCP/IP, unencrypted.")


#: Roles as they are proposed → SCU, SCP.
_ROLES = {"SCU": (True, False), "SCP": (False, True), "BOTH": (True, True)}


def _proposed_roles(
    contexts: Sequence[tuple[str, Sequence[str]]],
    scp_roles: Sequence[str],
    extras: association.Extras,
) -> list[tuple[bool, bool] | None]:
    """Return the roles that are proposed for each context; None for the default."""
    roles = {uid: _ROLES[word] for uid, word in extras.roles}
    roles.update(dict.fromkeys(scp_roles, _ROLES["SCP"]))
    return [roles.get(uid) for uid, _ in contexts]


def _tell_block(
    settings: RequestorSettings,
    log: Log,
    contexts: Sequence[tuple[str, Sequence[str]]],
    extras: association.Extras,
    link: _rust.Association | None,
    proposed_roles: list[tuple[bool, bool] | None],
) -> None:
    """Show the request, or with a `link` what was negotiated: at -d, or at -v with ``+v``."""
    letter = "I" if settings.is_verbose_pc else "D"
    if not log.shows(letter):
        return
    proposed = [
        (2 * at + 1, uid, None, list(syntaxes)) for at, (uid, syntaxes) in enumerate(contexts)
    ]
    block = _rust.association_block(
        "A-ASSOCIATE-RQ" if link is None else "A-ASSOCIATE-AC",
        calling=str(settings.ae_title),
        called=str(settings.called_ae_title),
        max_pdu_bytes=settings.max_pdu_bytes,
        peer_max_pdu_bytes=0 if link is None else link.peer_max_pdu_bytes,
        peer_implementation=("", "") if link is None else link.peer_implementation,
        contexts=proposed
        if link is None
        else [
            (number, uid, result, [syntax] if syntax else [])
            for number, uid, result, syntax in link.contexts()
        ],
        user_identity=None
        if extras.identity is None
        else (extras.identity[0], extras.identity[2], extras.identity[1]),
        extended_negotiation=list(extras.extended_negotiation),
        # Of an answer nothing counts that was not asked for (PS3.7 §D.3.3.4).
        roles=[
            (asked, None if link is None or asked is None else link.roles()[at])
            for at, asked in enumerate(proposed_roles)
        ],
    )
    title = "Request Parameters:" if link is None else "Association Parameters Negotiated:"
    log.line(letter, f"{title}\n{block}")


def close(settings: RequestorSettings, link: _rust.Association, log: Log) -> bool:
    """Release or abort as asked; return False, told, if the release failed."""
    if settings.is_aborting:
        log.line("I", "Aborting Association")
        link.abort()
        return True
    log.line("I", "Releasing Association")
    try:
        link.release()
    except _rust.AssociationError as error:
        letter, gap = _REFUSED.get(settings.tool, ("F", " "))
        # getscu goes on for DCMTK; here it has failed all the same (D9).
        letter = "E" if settings.tool == "getscu" else letter
        failure = association.translated(error, is_upper_layer=True)
        log.line(letter, f"Association Release Failed:{gap}{failure}")
        tell_cause(log, settings, causes.of_release(failure, settings))
        return False
    return True


# ---- C-ECHO


#: What a result's JSON calls itself.
_ECHO_FORMAT = "dcmfast-echo"
_ECHO_FORMAT_VERSION = 1


class _EchoResult:
    """What came of echoscu, for ``--json``."""

    def __init__(self) -> None:
        self.association: dict[str, object] | None = None
        self.echoes: list[dict[str, object]] = []
        self.error: str | None = None

    def associated(self, link: _rust.Association, seconds: float) -> None:
        """Note an association, and how long it took."""
        contexts = [
            {"id": number, "result": result, **({"transfer_syntax": syntax} if syntax else {})}
            for number, _, result, syntax in link.contexts()
        ]
        milliseconds = round(seconds * 1000, 3)
        self.association = {"milliseconds": milliseconds, "contexts": contexts, "tls": link.secured}

    def answered(self, message_id: int, status: int, seconds: float) -> None:
        """Note an answer."""
        self.echoes.append(
            {
                "message_id": message_id,
                "status": f"{status:04X}",
                "status_text": _rust.status_text("echo", status),
                "milliseconds": round(seconds * 1000, 3),
            }
        )

    def write(self, settings: EchoSettings, code: int) -> None:
        """Print it."""
        import json
        import sys

        result = {
            "format": _ECHO_FORMAT,
            "format_version": _ECHO_FORMAT_VERSION,
            "dcmfast": __version__,
            "tool": settings.tool,
            "peer": {"host": settings.peer.host, "port": settings.peer.port},
            "calling_ae_title": str(settings.ae_title),
            "called_ae_title": str(settings.called_ae_title),
            "exit_code": code,
            "association": self.association,
            "echoes": self.echoes,
            "error": self.error,
        }
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


def echo(settings: EchoSettings) -> int:
    """Send C-ECHO as often as asked; return the exit code."""
    log = prepare(settings)
    syntaxes = ECHO_TRANSFER_SYNTAXES[: settings.transfer_syntax_count]
    contexts = [(VERIFICATION_SOP_CLASS, syntaxes)] * settings.context_count
    security = tls.context(settings.tls, role="requestor", log=log)
    if settings.verified_certificate is not None:
        return tls.tell_verified(settings.verified_certificate, security, log)
    if settings.root_certificate is not None:
        return tls.tell_root(settings.root_certificate, settings.tls, log)
    result = _EchoResult()
    code = _echo(settings, contexts, log, security, result)
    if settings.is_json:
        result.write(settings, code)
    return code


def _echo(
    settings: EchoSettings,
    contexts: Contexts,
    log: Log,
    security: _rust.TlsContext | None,
    result: _EchoResult,
) -> int:
    began = monotonic()
    try:
        link = associate(settings, contexts, log, security=security)
    except NetworkError as error:
        result.error = str(error)
        return _NOT_ASSOCIATED
    finally:
        tls.write_seed(settings.tls, log)
    result.associated(link, monotonic() - began)
    context_id = next(number for number, _, _, syntax in link.contexts() if syntax)
    code = 0
    for _ in range(settings.repeat):
        message_id = link.next_message_id
        log.line("I", f"Sending Echo Request (MsgID {message_id})")
        began = monotonic()
        try:
            status = link.echo(context_id)
        except _rust.AssociationError as error:
            failure = association.translated(error)
            result.error = str(failure)
            log.line("E", f"Echo SCU Failed: {failure}")
            tell_cause(log, settings, causes.of_answer(failure, settings, "C-ECHO"))
            log.line("I", "Aborting Association")
            link.abort()
            return failure.exit_code_of(settings.tool)
        result.answered(message_id, status, monotonic() - began)
        text = _rust.status_text("echo", status)
        log.line("I", f"Received Echo Response ({text})")
        if status:
            # DCMTK ends with 0 (D9): who asks whether a peer is well would never know.
            code = _ECHO_FAILED
            result.error = f"the echo failed: {text}"
            log.line("E", result.error, logger=f"dcmfast.{settings.tool}")
    if close(settings, link, log):
        return code
    result.error = "the release failed"
    return 1
