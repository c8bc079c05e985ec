"""The requestors' work: echo, and store of files, as DCMTK's tools do it and tell it."""

from __future__ import annotations

from dcmfast import __version__, _rust
from dcmfast.errors import (
    AssociationAborted,
    AssociationRejected,
    AssociationTimeout,
    ConnectionFailed,
    ContextNotAccepted,
    CutFileError,
    DimseError,
    InputFileError,
    NetworkError,
    SecurityFailed,
)
from dcmfast.limits import MAX_PDU_BYTES_MAX, PRESENTATION_CONTEXTS_MAX
from dcmfast.net import association, dictionaries, inputs, tls
from dcmfast.observe.logs import Log
from dcmfast.observe.progress import FileBar
from dcmfast.policy.negotiation import (
    ECHO_TRANSFER_SYNTAXES,
    VERIFICATION_SOP_CLASS,
    proposed_transfer_syntaxes,
)
from dcmfast.uids import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dcmfast.options.settings import EchoSettings, RequestorSettings, StoreSettings

    Contexts = list[tuple[str, tuple[str, ...]]]

#: First digit of the statuses that are warnings: the object *is* stored (PS3.4 §B.2.3).
_WARNING = 0xB

#: Exit code of both tools when no association came about, whatever the reason, as DCMTK's.
_NOT_ASSOCIATED = 1


def prepare(settings: RequestorSettings) -> Log:
    """Open the log, and say what is said before anything happens."""
    log = Log(settings.log_level, tool=settings.tool, table=settings.log_table)
    if settings.arguments_line is not None:
        log.line_at_any_level(settings.arguments_line)
    log.line("D", f"$dcmfast: {settings.tool} v{__version__} $\n")
    dictionaries.use(settings, log)
    for warning in settings.warnings:
        log.line("W", warning)
    return log


#: How grave it is that no association came about, and what stands before the reason.
_REFUSED = {"movescu": ("F", "\n"), "findscu": ("E", " ")}
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
) -> _rust.Association:
    """Associate, and tell it; at least one context is accepted.

    Raises
    ------
    NetworkError
        Told already, in DCMTK's words.
    """
    _tell_block(settings, log, contexts, None)
    log.line("I", "Requesting Association")
    letter, gap = _REFUSED.get(settings.tool, ("F", " "))
    try:
        link = association.request(
            settings,
            contexts,
            max_send_pdu_bytes=max_send_pdu_bytes,
            tls=security,
            scp_roles=scp_roles,
        )
    except AssociationRejected as error:
        if settings.tool == "getscu":
            log.line("F", f"{_NOT_NEGOTIATED}DUL Association Rejected")
            log.line("E", str(error), logger="dcmfast.getscu")
        else:
            log.line(letter, f"Association Rejected:\n{error}")
        raise
    except (ConnectionFailed, NetworkError) as error:
        text = str(error)
        if isinstance(error, AssociationTimeout):
            text = "0006:0317 Peer aborted Association (or never connected)"
        if settings.tool == "getscu":
            log.line("F", f"{_NOT_NEGOTIATED}{text.partition(' ')[2]}")
        else:
            log.line(letter, f"Association Request Failed:{gap}{text}")
        _tell_security(settings, log, error, is_secure=security is not None)
        raise
    if link.secured is not None:
        log.line("I", f"peer {_peer(settings)}: {link.secured}", logger="dcmfast.tls")
    _tell_block(settings, log, contexts, link)
    if not any(syntax for _, _, _, syntax in link.contexts()):
        head = _NOT_NEGOTIATED if settings.tool == "getscu" else ""
        log.line(letter, f"{head}No Acceptable Presentation Contexts")
        link.abort()
        raise ContextNotAccepted("No Acceptable Presentation Contexts")
    # A peer without limit gets PDUs of our own largest size.
    limit = link.peer_max_pdu_bytes or MAX_PDU_BYTES_MAX
    log.line("I", f"Association Accepted (Max Send PDV: {limit - 12})")
    return link


def _peer(settings: RequestorSettings) -> str:
    return f"{settings.peer.host}:{settings.peer.port}"


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
    log.line("E", f"peer {_peer(settings)}: {text}", logger="dcmfast.tls")


def _tell_block(
    settings: RequestorSettings,
    log: Log,
    contexts: Sequence[tuple[str, Sequence[str]]],
    link: _rust.Association | None,
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
        log.line("F", f"Association Release Failed: {association.translated(error)}")
        return False
    return True


# ---- C-ECHO


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
    try:
        link = associate(settings, contexts, log, security=security)
    except NetworkError:
        return _NOT_ASSOCIATED
    finally:
        tls.write_seed(settings.tls, log)
    context_id = next(number for number, _, _, syntax in link.contexts() if syntax)
    for _ in range(settings.repeat):
        log.line("I", f"Sending Echo Request (MsgID {link.next_message_id})")
        try:
            status = link.echo(context_id)
        except _rust.AssociationError as error:
            failure = association.translated(error)
            log.line("E", f"Echo SCU Failed: {failure}")
            log.line("I", "Aborting Association")
            return failure.exit_code_of(settings.tool)
        log.line("I", f"Received Echo Response ({_rust.status_text('echo', status)})")
    return 0 if close(settings, link, log) else 1


# ---- C-STORE

#: DCMTK's long names of transfer syntaxes, where they are more than its dictionary's.
_WORDS = {
    "1.2.840.10008.1.2": "Little Endian Implicit",
    "1.2.840.10008.1.2.1": "Little Endian Explicit",
    "1.2.840.10008.1.2.2": "Big Endian Explicit",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended, Process 2+4",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless, Non-hierarchical, Process 14",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless, Non-hierarchical, 1st Order Prediction",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Lossy (Near-lossless)",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 (Lossless only)",
    "1.2.840.10008.1.2.4.91": "JPEG 2000 (Lossless or Lossy)",
    "1.2.840.10008.1.2.5": "RLE Lossless",
}


def transfer_syntax_words(uid: str) -> str:
    """Return a transfer syntax as DCMTK's log lines name it."""
    return _WORDS.get(uid) or NAMES.get(uid, uid)


def store(settings: StoreSettings) -> int:
    """Send the files; return the exit code.

    0 when each was stored, else storescu's: 1 before anything was sent or for want of a context,
    the high byte of the first failure status, 10 when the association was lost.  With ``--no-halt``
    0.
    """
    log = prepare(settings)
    try:
        files = inputs.gather(settings, log)
    except InputFileError as error:
        for letter, text in error.lines:
            log.line(letter, text)
        return error.exit_code_of(settings.tool)
    security = tls.context(settings.tls, role="requestor", log=log)
    tls.write_seed(settings.tls, log)
    # Lines and a bar would overwrite each other, and quiet means quiet.
    with FileBar(len(files) * settings.repeat, is_wanted=log.level == "warn") as advance:
        for contexts, group in _associations(settings, files):
            code = _store_group(settings, log, contexts, group, advance, security)
            if code is not None:
                return code
    return 0


def _associations(
    settings: StoreSettings, files: list[inputs.InputFile]
) -> Iterator[tuple[Contexts, list[inputs.InputFile]]]:
    """Yield the contexts of each association and the files that go over it, in the order typed.

    One association serves, unless the files need more than 128 contexts.
    """
    contexts: Contexts = []
    group: list[inputs.InputFile] = []
    for file in files:
        needed = [one for one in _needed(settings, file) if one not in contexts]
        if len(contexts) + len(needed) > PRESENTATION_CONTEXTS_MAX:
            yield contexts, group
            contexts, group, needed = [], [], _needed(settings, file)
        contexts += needed
        group.append(file)
    if group:
        yield contexts, group


def _needed(settings: StoreSettings, file: inputs.InputFile) -> Contexts:
    """Return the contexts that one file needs: its own syntax, or what was typed."""
    sop_class = file.instance.sop_class_uid
    if not settings.is_proposal_typed:
        return [(sop_class, (file.instance.transfer_syntax,))]
    proposed = proposed_transfer_syntaxes(settings.proposal, combine=settings.is_combining)
    return [(sop_class, syntaxes) for syntaxes in proposed]


def _store_group(
    settings: StoreSettings,
    log: Log,
    contexts: Contexts,
    files: list[inputs.InputFile],
    advance: Callable[[], None],
    security: _rust.TlsContext | None,
) -> int | None:
    """Send files over one association; return an exit code that ends the run, else None."""
    try:
        link = associate(
            settings,
            contexts,
            log,
            max_send_pdu_bytes=settings.max_send_pdu_bytes,
            security=security,
        )
    except NetworkError:
        return _NOT_ASSOCIATED
    accepted = {
        (abstract_syntax, syntax): number
        for number, abstract_syntax, _, syntax in reversed(link.contexts())
        if syntax
    }
    for file in (file for _ in range(settings.repeat) for file in files):
        try:
            code = _store_file(log, link, accepted, file)
        except CutFileError as error:
            for text in error.lines:
                log.line("E", text)
            if settings.is_halting:
                log.line("E", f"Store SCU Failed: {error}")
                log.line("I", "Aborting Association")
                link.abort()
                return error.exit_code_of(settings.tool)
            code = None
        advance()
        if code is not None and (settings.is_halting or code == _LOST):
            _end(settings, link, log, code)
            return code
    return None if close(settings, link, log) else 1


#: Exit code of storescu when the association is lost, as DCMTK's.
_LOST = 10


def _end(settings: StoreSettings, link: _rust.Association, log: Log, code: int) -> None:
    """End an association in which a store failed."""
    if code == _LOST:
        return
    close(settings, link, log)


def _check_whole(file: inputs.InputFile) -> None:
    """Raise `CutFileError` for a file that ends too early."""
    try:
        cut = _rust.cut_of_file(file.path, file.instance)
    except OSError as error:
        words = str(error.strerror)
        raise CutFileError(f"0000:0000 {words}", f"Bad DICOM file: {file.path}: {words}") from None
    if cut is not None:
        condition, place = cut
        words = condition.partition(" ")[2]
        raise CutFileError(
            condition, f"{file.path}: {place}", f"Bad DICOM file: {file.path}: {words}"
        )


def _store_file(
    log: Log,
    link: _rust.Association,
    accepted: dict[tuple[str, str], int],
    file: inputs.InputFile,
) -> int | None:
    """Send one file; return an exit code if it was not stored."""
    log.line("I", f"Sending file: {file.path}")
    what = file.instance
    _check_whole(file)
    name = transfer_syntax_words(what.transfer_syntax)
    log.line("I", f"Converting transfer syntax: {name} -> {name}")
    modality = _rust.modality(what.sop_class_uid)
    context_id = accepted.get((what.sop_class_uid, what.transfer_syntax))
    if context_id is None:
        log.line("E", f"No presentation context for: ({modality}) {what.sop_class_uid}")
        log.line(
            "E",
            f"Store SCU Failed: 0006:0208 DIMSE No valid Presentation Context ID "
            f"(the file is in {name}, which the peer did not accept)",
        )
        return 1
    message_id = link.next_message_id
    log.line("I", f"Sending Store Request (MsgID {message_id}, {modality})")
    affected = [
        ("Affected SOP Class UID", NAMES.get(what.sop_class_uid, what.sop_class_uid)),
        ("Affected SOP Instance UID", what.sop_instance_uid),
    ]
    if log.shows("D"):
        request = [("Message Type", "C-STORE RQ"), ("Message ID", str(message_id)), *affected]
        request += [("Data Set", "present"), ("Priority", "medium")]
        log.line("D", _rust.message_block("OUTGOING", request))
    try:
        status = link.store(context_id, file.path, what, dots=log.shows_progress)
    except _rust.AssociationError as error:
        log.line("E", f"Store Failed, file: {file.path}:\n{association.translated(error)}")
        return _LOST
    except OSError as error:
        log.line("E", f"Store Failed, file: {file.path}:\n{error}")
        return _LOST
    text = _rust.status_text("store", status)
    if log.shows("D"):
        log.line("I", "Received Store Response")
        # A response repeats the request's UIDs or leaves them out (PS3.7 §9.3.1.2).
        response = [
            ("Message Type", "C-STORE RSP"),
            ("Presentation Context ID", str(context_id)),
            ("Message ID Being Responded To", str(message_id)),
            *affected,
            ("Data Set", "none"),
            ("DIMSE Status", f"0x{status:04x}: {text}"),
        ]
        log.line("D", _rust.message_block("INCOMING", response))
    else:
        log.line("I", f"Received Store Response ({text})")
    if status == 0 or status >> 12 == _WARNING:
        return None
    failure = DimseError(_rust.status_text("store", status), status=status)
    if not log.shows_progress:
        log.line("E", f"Store Failed, file: {file.path}: {failure}")
    return failure.exit_code_of("storescu")
