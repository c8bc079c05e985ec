"""What the query and retrieve clients share: keys, query files, and the request that they make."""

from __future__ import annotations

import os
from time import monotonic

from dcmfast import _rust
from dcmfast.errors import (
    AssociationTimeout,
    CommandLineError,
    ContextNotAccepted,
    QueryFileError,
    RemoteProtocolError,
)
from dcmfast.limits import PENDING_WITHOUT_NEWS_MAX
from dcmfast.net import dictionaries
from dcmfast.policy.negotiation import (
    QUERY_RETRIEVE_SOP_CLASSES,
    proposed_transfer_syntaxes,
)
from dcmfast.types import Record
from dcmfast.uids import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from dcmfast.observe.logs import Log
    from dcmfast.options.query_settings import QuerySettings

    class Bounds(Protocol):
        """What bounds the responses to a request; None is without end."""

        @property
        def dimse_timeout_s(self) -> int | None:
            """How long it may go on after a C-CANCEL."""

        @property
        def progress_timeout_s(self) -> int | None:
            """How long responses may bring nothing new."""

        @property
        def responses_max(self) -> int | None:
            """How many there may be before the last."""


SUCCESS, CANCELLED = 0x0000, 0xFE00
#: Statuses before the last one of a request (PS3.4 Tables C.4-1 to C.4-3).
PENDING = (0xFF00, 0xFF01)

#: Modality Worklist has a FIND and nothing else (PS3.4 Annex K).
_WORKLIST = {"find": "1.2.840.10008.5.1.4.31"}
#: DCMTK's condition when the peer did not accept the context that a request needs.
_NO_CONTEXT = "0006:0208 DIMSE No valid Presentation Context ID"


def check_key(text: str) -> None:
    """Raise `CommandLineError` for a key that is unknown, or a value that it cannot have."""
    # Names are looked up in what the environment puts in the dictionary's place.
    dictionaries.install(os.environ)
    try:
        _rust.check_query_key(os.fsencode(text))
    except ValueError as error:
        raise CommandLineError(str(error)) from None


def sop_class(model: str, operation: str) -> str:
    """Return the SOP class of an information model and an operation: find, move or get."""
    return (_WORKLIST if model == "worklist" else QUERY_RETRIEVE_SOP_CLASSES[model])[operation]


def transfer_syntaxes(proposal: str) -> tuple[str, ...]:
    """Return what a client proposes for identifiers, in one context."""
    return proposed_transfer_syntaxes(proposal, combine=True)[0]


def requests(settings: QuerySettings) -> Iterator[str | None]:
    """Yield the query file of each request, None for keys alone, in the order of the requests."""
    for file in settings.files or (None,):
        for _ in range(settings.repeat):
            yield file


class Context(Record):
    """An accepted presentation context for requests."""

    context_id: int
    sop_class: str
    transfer_syntax: str


def accepted(link: _rust.Association, wanted: str) -> Context:
    """Return the context that was accepted for a SOP class.

    Raises
    ------
    ContextNotAccepted
        The peer accepted others only.
    """
    for context_id, uid, _, syntax in link.contexts():
        if uid == wanted and syntax:
            return Context(context_id=context_id, sop_class=uid, transfer_syntax=syntax)
    raise ContextNotAccepted(_NO_CONTEXT)


def identifier(settings: QuerySettings, file: str | None, context: Context) -> bytes:
    """Return the identifier of a request: the query file's, with the typed keys put over it.

    Raises
    ------
    QueryFileError
        The file cannot be read, or is no data set.
    """
    try:
        return _rust.query_identifier(
            file,
            settings.keys,
            context.transfer_syntax,
            new_vrs=settings.has_new_vrs,
            deflate_level=settings.deflate_level,
        )
    except OSError as error:
        raise QueryFileError(f"bad DICOM file: {file}: {error.strerror or error}") from None
    except ValueError as error:
        raise QueryFileError(f"bad DICOM file: {file}: {error}") from None


def ending(status: int, failed: int) -> str:
    """Return how a C-MOVE or C-GET ended, by its final status and how many objects failed.

    ``success``, ``cancel``, ``warning`` or ``failure`` (PS3.4 Tables C.4-2 and C.4-3); or
    ``contradiction``: the peer calls a success that objects failed.
    """
    if status == SUCCESS:
        return "contradiction" if failed else "success"
    if status == CANCELLED:
        return "cancel"
    return "warning" if status >> 12 == 0xB else "failure"


def check_identifier(response: _rust.QueryResponse, context: Context) -> None:
    """Look at what a pending response carries, which need not carry anything.

    Raises
    ------
    RemoteProtocolError
        It is no data set.
    """
    if response.identifier is None:
        return
    try:
        _rust.identifier_json(response.identifier, context.transfer_syntax)
    except ValueError as error:
        raise RemoteProtocolError(f"a response that is no data set: {error}") from None


class Patience:
    """How long a peer may keep one request open by responses before its last.

    Silence ends by the engine's clock; this is for a peer that never ends.  After a C-CANCEL it has
    ``--dimse-timeout``, if there is one: else each response would begin it anew.  Responses that
    bring nothing new have ``--progress-timeout``.  Those of a C-FIND (`is_find`) are but silence
    then, so that ``--dimse-timeout`` ends them, too; a C-MOVE's tell that a long one goes on.
    """

    def __init__(self, bounds: Bounds, *, is_find: bool = False) -> None:
        self._timeout_s = bounds.dimse_timeout_s
        self._deadline: float | None = None
        given = [(bounds.progress_timeout_s, "--progress-timeout")]
        if is_find:
            given.append((bounds.dimse_timeout_s, "--dimse-timeout"))
        #: The shortest that there is.
        self._progress_s, self._option = min(given, key=lambda one: one[0] or float("inf"))
        self._responses_max = bounds.responses_max
        self._count = 0
        #: What the last response brought, and since when and how often nothing else came.
        self._news: object = None
        self._since = monotonic()
        self._stale = 0
        self._received_bytes = 0

    def came(self, news: object) -> None:
        """Note a response before the last, and what it brings: a match, or counts of objects.

        Raises
        ------
        RemoteProtocolError
            There are too many of them, or too many in a row that bring the same or nothing.
        """
        self._count += 1
        most = self._responses_max
        if most is not None and self._count > most:
            raise RemoteProtocolError(
                f"0006:0317 the peer sent more than {most} responses before its last "
                "(--max-responses)"
            )
        if news is not None and news != self._news:
            self._news, self._since, self._stale = news, monotonic(), 0
            return
        self._stale += 1
        if most is not None and self._stale >= PENDING_WITHOUT_NEWS_MAX:
            raise RemoteProtocolError(
                f"0006:0317 the peer sent {self._stale} responses in a row that bring nothing new "
                "(--max-responses 0 waits on)"
            )
        self._check_progress("responses")

    def waited(self, received_bytes: int) -> None:
        """Note a while of a C-GET without a response, and how much of objects came until its end.

        Silence would have ended by the engine's clock: the peer sends something that is nothing.

        Raises
        ------
        RemoteProtocolError
            It has done so for too long.
        """
        if received_bytes != self._received_bytes:
            self._received_bytes, self._since = received_bytes, monotonic()
            return
        self._check_progress("requests")

    def _check_progress(self, what: str) -> None:
        progress_s = self._progress_s
        if progress_s is not None and monotonic() >= self._since + progress_s:
            raise RemoteProtocolError(
                f"0006:0317 the peer sent {what} for {progress_s} s that bring nothing new "
                f"({self._option})"
            )

    def begin(self) -> None:
        """Note that the C-CANCEL was sent."""
        if self._timeout_s is not None:
            self._deadline = monotonic() + self._timeout_s

    def check(self) -> None:
        """Raise `AssociationTimeout` once it is over."""
        if self._deadline is not None and monotonic() >= self._deadline:
            error = AssociationTimeout(
                "0006:0207 DIMSE No data available (the peer goes on in spite of the C-CANCEL)"
            )
            error.why = f"the C-CANCEL was not obeyed within {self._timeout_s} s (--dimse-timeout)"
            raise error


def tell_request(
    log: Log, what: str, context: Context, message_id: int, data: bytes, *, destination: str = ""
) -> None:
    """Say what is about to be sent; `what` is ``Find``, ``Move`` or ``C-GET``."""
    if log.shows("D"):
        log.line("I", f"Sending {what} Request")
        fields = [
            ("Message Type", f"{_command(what)} RQ"),
            ("Presentation Context ID", str(context.context_id)),
            ("Message ID", str(message_id)),
            ("Affected SOP Class UID", NAMES.get(context.sop_class, context.sop_class)),
            ("Data Set", "present"),
            ("Priority", "medium"),
        ]
        if destination:
            fields.insert(4, ("Move Destination", destination))
        log.line("D", _rust.message_block("OUTGOING", fields))
    else:
        log.line("I", f"Sending {what} Request (MsgID {message_id})")
    if log.shows("I"):
        dump = _rust.dump_identifier(data, context.transfer_syntax)
        log.line("I", f"Request Identifiers:\n{dump}")


def _command(what: str) -> str:
    return what if what.startswith("C-") else f"C-{what.upper()}"


def tell_block(
    log: Log, what: str, context: Context, message_id: int, response: _rust.QueryResponse
) -> None:
    """Show a response as DCMTK does at ``-d``."""
    if not log.shows("D"):
        return
    operation = _command(what)[2:].lower()
    fields = [
        ("Message Type", f"{_command(what)} RSP"),
        ("Message ID Being Responded To", str(message_id)),
        ("Affected SOP Class UID", NAMES.get(context.sop_class, context.sop_class)),
    ]
    for name, count in zip(_COUNTERS, response.sub_operations or (), strict=False):
        fields.append((name, "none" if count is None else str(count)))
    fields += [
        ("Data Set", "none" if response.identifier is None else "present"),
        (
            "DIMSE Status",
            f"0x{response.status:04x}: {_rust.status_text(operation, response.status)}",
        ),
    ]
    log.line("D", _rust.message_block("INCOMING", fields))


_COUNTERS = (
    "Remaining Suboperations",
    "Completed Suboperations",
    "Failed Suboperations",
    "Warning Suboperations",
)
