"""getscu: C-GET requests, whose objects come over the association that asked for them."""

from __future__ import annotations

import contextlib
import sys

from dcmfast import _rust
from dcmfast.errors import (
    ContextNotAccepted,
    NetworkError,
    QueryFileError,
)
from dcmfast.net import association, causes, query, scp, scu
from dcmfast.observe.progress import WorkBar
from dcmfast.policy.negotiation import accepted_transfer_syntaxes, get_sop_classes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dcmfast.observe.logs import Log
    from dcmfast.options.query_settings import GetSettings

_FAILED = 1
_OURS = "dcmfast.getscu"
#: DCMTK's lines at the end, in the order of the counters.
_REPORT = (
    "Remaining Suboperations",
    "Completed Suboperations",
    "Failed Suboperations",
    "Warning Suboperations",
)


def get(settings: GetSettings) -> int:
    """Send the C-GET requests and keep what comes; return the exit code."""
    log = scu.prepare(settings)
    objects = _rust.ObjectStore(**scp.plan(settings.receiver, log))
    wanted = query.sop_class(settings.model, "get")
    syntaxes = accepted_transfer_syntaxes(settings.preference)
    classes = get_sop_classes()
    contexts = [(wanted, query.transfer_syntaxes(settings.proposal))]
    contexts += [(uid, syntaxes) for uid in classes]
    try:
        link = scu.associate(settings, contexts, log, scp_roles=classes)
    except NetworkError:
        return _FAILED
    code = 0
    is_bar_wanted = log.level == "warn" and sys.stderr.isatty()
    try:
        with WorkBar(is_wanted=is_bar_wanted) as advance:
            for file in query.requests(settings):
                code = max(code, _request(settings, log, link, file, objects, advance))
    except (NetworkError, QueryFileError) as error:
        _tell_failure(settings, log, link, error)
        return _FAILED
    return code if scu.close(settings, link, log) else _FAILED


def _tell_failure(
    settings: GetSettings,
    log: Log,
    link: _rust.Association,
    error: NetworkError | QueryFileError,
) -> None:
    if isinstance(error, ContextNotAccepted):
        text = "No adequate Presentation Contexts for sending C-GET"
        log.line("F", text, logger=scu.GETSCU)
    elif isinstance(error, QueryFileError):
        log.line("F", str(error), logger=scu.GETSCU)
    else:
        log.line("E", f"Failed receiving C-GET response: {error}")
        scu.tell_cause(log, settings, causes.of_answer(error, settings, "C-GET"))
        # While objects come the engine has ended it itself.
    with contextlib.suppress(RuntimeError):
        link.abort()


def _request(
    settings: GetSettings,
    log: Log,
    link: _rust.Association,
    file: str | None,
    objects: _rust.ObjectStore,
    advance: Callable[[str, int, int | None], None],
) -> int:
    """Send one request and receive its objects; return the exit code."""
    context = query.accepted(link, query.sop_class(settings.model, "get"))
    data = query.identifier(settings, file, context)
    message_id = link.next_message_id
    if log.shows("D"):
        query.tell_request(log, "C-GET", context, message_id, data)
    else:
        log.line("I", f"Sending C-GET Request (MsgID {message_id})")
    try:
        titles = (str(settings.ae_title), str(settings.called_ae_title))
        link.get(context.context_id, data, objects, titles)
        patience = query.Patience(settings)
        while True:
            responses = link.get_responses()
            counters = objects.counters()
            stored = counters["stored"]
            if not responses:
                patience.waited(counters["bytes"])
            for response in responses:
                if response.status not in query.PENDING:
                    return _final(log, context, response, objects)
                patience.came((response.sub_operations, stored))
                query.check_identifier(response, context)
                if response.sub_operations is not None:
                    remaining, *done = response.sub_operations
                    total = None if remaining is None else remaining + sum(done)
                    advance("getting", sum(done), total)
    except _rust.AssociationError as error:
        raise association.translated(error) from None


def _final(
    log: Log,
    context: query.Context,
    response: _rust.QueryResponse,
    objects: _rust.ObjectStore,
) -> int:
    """Say how one request ended, in DCMTK's words and then in plain ones; return the code."""
    text = _rust.status_text("get", response.status)
    log.line("I", f"Received C-GET Response ({text})")
    counts = response.sub_operations or (0, 0, 0, 0)
    pairs = zip(_REPORT, counts, strict=True)
    report = "\n".join(f"  Number of {name:<23} : {count or 0}" for name, count in pairs)
    log.line("I", f"Final status report from last C-GET message:\n{report}")
    failed = counts[2] or 0
    how = query.ending(response.status, failed)
    if how == "success":
        return 0
    # DCMTK ends with 0 (D9); a warning is no failure of the request as a whole.
    letter = "W" if how in ("contradiction", "warning") else "E"
    if how == "contradiction":
        log.line(letter, f"{failed} objects failed, which the peer calls a success", logger=_OURS)
    else:
        log.line(letter, f"DIMSE status is: {text}")
    if response.error_comment:
        log.line(letter, f"the peer's comment: {response.error_comment}", logger=_OURS)
    if response.identifier is not None:
        for uid in _rust.failed_uids(response.identifier, context.transfer_syntax):
            log.line(letter, f"failed: {uid}", logger=_OURS)
    refused = objects.counters()["refused"]
    if refused:
        log.line("E", f"{refused} objects were refused here", logger=_OURS)
    return _FAILED
