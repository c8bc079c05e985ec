"""movescu: C-MOVE requests, with a storage service of our own while they run.

The engine receives the objects beside the request, in its own threads; here stands what is asked,
what is said of the answers, and how the end is told: in DCMTK's words, and then in plain ones.
"""

from __future__ import annotations

import sys

from dcmfast import _rust
from dcmfast.errors import (
    AssociationAborted,
    ContextNotAccepted,
    DimseError,
    NetworkError,
    QueryFileError,
)
from dcmfast.net import association, causes, query, scp, scu
from dcmfast.observe.progress import WorkBar
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dcmfast.observe.logs import Log
    from dcmfast.options.query_settings import MoveSettings

#: Exit codes of DCMTK's movescu.
_NOT_ASSOCIATED, _NO_CONTEXT, _NOT_CLOSED, _WARNED, _FAILED = 61, 66, 67, 68, 69

#: Failed UIDs that the default level shows; all of them are shown from -v on.
_UIDS_SHOWN = 20
_OURS = "dcmfast.movescu"


def move(settings: MoveSettings) -> int:
    """Send the C-MOVE requests and receive what comes of them; return the exit code."""
    log = scu.prepare(settings)
    receiver = None
    if settings.receiver is not None:
        receiver = scp.listening(settings.receiver, scp.plan(settings.receiver, log))
        receiver.start()
    try:
        return _Move(settings, log, receiver).run()
    except KeyboardInterrupt:
        # Nobody is waited for: what was received is whole, what is on its way is nothing.
        receiver = None
        raise
    finally:
        if receiver is not None:
            receiver.finish(settings.acse_timeout_s)


class _Final(Record):
    """How one request ended."""

    status: int
    #: Remaining, completed, failed, warnings; None for what the peer did not say.
    counts: tuple[int | None, ...]
    failed_uids: tuple[str, ...]
    comment: str


class _Move:
    """One run of movescu: an association and its requests."""

    def __init__(self, settings: MoveSettings, log: Log, receiver: _rust.Receiver | None) -> None:
        self.settings = settings
        self.log = log
        self.receiver = receiver
        #: The gravest code so far: an error (69) stays, and outranks a warning (68).
        self.code = 0

    def run(self) -> int:
        settings, log = self.settings, self.log
        syntaxes = query.transfer_syntaxes(settings.proposal)
        contexts = [
            (query.sop_class(settings.model, operation), syntaxes) for operation in ("find", "move")
        ]
        try:
            link = scu.associate(settings, contexts, log)
        except ContextNotAccepted:
            return _NO_CONTEXT
        except NetworkError:
            return _NOT_ASSOCIATED
        # Lines and a bar would overwrite each other, and quiet means quiet.
        is_shown = log.level == "warn" and sys.stderr.isatty()
        try:
            with WorkBar(is_wanted=is_shown) as advance:
                for file in query.requests(settings):
                    self._request(link, file, advance)
        except (NetworkError, QueryFileError) as error:
            self._tell_failure(link, error)
            return _FAILED
        return self.code if scu.close(settings, link, log) else _NOT_CLOSED

    def _tell_failure(self, link: _rust.Association, error: NetworkError | QueryFileError) -> None:
        """Say why the requests ended early; the association is gone, or aborted now."""
        log = self.log
        cause = causes.of_answer(error, self.settings, "C-MOVE")
        if isinstance(error, QueryFileError):
            log.line("E", str(error))
        elif isinstance(error, AssociationAborted):
            if error.is_release:
                log.line("E", "Protocol Error: Peer requested release (Aborting)")
            else:
                log.line("I", "Peer Aborted Association")
            scu.tell_cause(log, self.settings, cause)
            return
        else:
            log.line("E", f"Move SCU Failed: {error}")
            scu.tell_cause(log, self.settings, cause)
        log.line("I", "Aborting Association")
        link.abort()

    def _request(
        self,
        link: _rust.Association,
        file: str | None,
        advance: Callable[[str, int, int | None], None],
    ) -> None:
        settings, log = self.settings, self.log
        try:
            context = query.accepted(link, query.sop_class(settings.model, "move"))
        except ContextNotAccepted:
            log.line("E", "the peer accepted C-FIND of this model, and not C-MOVE", logger=_OURS)
            raise
        data = query.identifier(settings, file, context)
        message_id = link.next_message_id
        destination = str(settings.destination)
        query.tell_request(log, "Move", context, message_id, data, destination=destination)
        before = self._counters()
        try:
            link.query(
                "move",
                context.context_id,
                data,
                destination=destination,
                pending_data="read" if settings.is_pending_data_read else "ignored",
            )
            final = self._responses(link, context, message_id, advance)
        except _rust.AssociationError as error:
            raise association.translated(error) from None
        self._judge(final, before)

    def _counters(self) -> dict[str, int]:
        return self.receiver.counters() if self.receiver is not None else {}

    def _responses(
        self,
        link: _rust.Association,
        context: query.Context,
        message_id: int,
        advance: Callable[[str, int, int | None], None],
    ) -> _Final:
        """Take the responses up to the final one."""
        log, count = self.log, 0
        # DCMTK: a cancel after 0 responses is never due.
        cancel_after = self.settings.cancel_after or None
        patience = query.Patience(self.settings)
        while True:
            patience.check()
            responses = link.responses()
            stored = self._counters().get("stored")
            for response in responses:
                if response.status not in query.PENDING:
                    return self._final(context, message_id, response)
                patience.came((response.sub_operations, stored))
                query.check_identifier(response, context)
                count += 1
                if log.shows("D"):
                    log.line("I", f"Received Move Response {count}")
                    query.tell_block(log, "Move", context, message_id, response)
                else:
                    text = _rust.status_text("move", response.status)
                    log.line("I", f"Received Move Response {count} ({text})")
                if response.sub_operations is not None:
                    remaining, *done = response.sub_operations
                    total = None if remaining is None else remaining + sum(one or 0 for one in done)
                    advance("moving", sum(one or 0 for one in done), total)
                if count == cancel_after:
                    log.line(
                        "I",
                        f"Sending Cancel Request (MsgID {message_id}, PresID {context.context_id})",
                    )
                    link.cancel()
                    patience.begin()

    def _final(
        self, context: query.Context, message_id: int, response: _rust.QueryResponse
    ) -> _Final:
        log, status = self.log, response.status
        text = _rust.status_text("move", status)
        if status not in (query.SUCCESS, query.CANCELLED):
            kind = "warning" if query.ending(status, 0) == "warning" else "error"
            log.line("W", f"Move response with {kind} status ({text})")
        if log.shows("D"):
            log.line("I", "Received Final Move Response")
            query.tell_block(log, "Move", context, message_id, response)
            if response.identifier is not None:
                dump = _rust.dump_identifier(response.identifier, context.transfer_syntax)
                log.line("D", f"Response Identifiers:\n{dump}")
        else:
            log.line("I", f"Received Final Move Response ({text})")
        uids: tuple[str, ...] = ()
        if response.identifier is not None:
            uids = tuple(_rust.failed_uids(response.identifier, context.transfer_syntax))
        return _Final(
            status=status,
            counts=response.sub_operations or (None, None, None, None),
            failed_uids=uids,
            comment=response.error_comment,
        )

    # ---- The end in plain words

    def _judge(self, final: _Final, before: dict[str, int]) -> None:
        """Note the exit code of one request, and say how it ended."""
        status = final.status
        _, completed, failed, warned = (count or 0 for count in final.counts)
        now = self._counters()
        stored = now.get("stored", 0) - before.get("stored", 0)
        refused = now.get("refused", 0) - before.get("refused", 0)
        how = query.ending(status, failed)
        # An object is counted here before it is answered, so none is on its way any more.
        is_missing = (
            self.receiver is not None
            and self.settings.destination == self.settings.ae_title
            and how == "success"
            and stored < completed + warned
        )
        if how == "failure":
            letter = "E"
            self.code = DimseError("", status=status).exit_code_of("movescu")
        elif is_missing or how in ("contradiction", "warning"):
            letter, self.code = "W", max(self.code, _WARNED)
        else:
            letter = "I"
        parts = [f"{completed + warned} of {completed + failed + warned} objects were sent"]
        if failed:
            parts.append(f"{failed} failed")
        if warned:
            parts.append(f"{warned} with a warning")
        if self.receiver is not None:
            parts.append(f"{stored} came here" + (f", {refused} refused" if refused else ""))
        if is_missing or how == "contradiction":
            parts.append("which the peer calls a success")
        if how == "cancel":
            parts.append("cancelled by --cancel")
        self._say(letter, ", ".join(parts))
        if final.comment:
            self._say(letter, f"the peer's comment: {final.comment}")
        self._tell_failed_uids(letter, final.failed_uids)
        cause = self._cause(final, before, now)
        if is_missing:
            port = self.settings.receiver.port if self.settings.receiver else ""
            cause = (
                f"likely cause: the peer has another host or port for {self.settings.destination} "
                f"than this one and {port}, or counts what it did not send"
            )
        if cause:
            self._say(letter, cause)

    def _say(self, letter: str, text: str) -> None:
        self.log.line(letter, text, logger=_OURS)

    def _tell_failed_uids(self, letter: str, uids: tuple[str, ...]) -> None:
        for at, uid in enumerate(uids):
            if at == _UIDS_SHOWN and not self.log.shows("I"):
                self._say(letter, f"failed: {len(uids) - at} more (-v shows all)")
                return
            self._say(letter, f"failed: {uid}")

    def _cause(self, final: _Final, before: dict[str, int], now: dict[str, int]) -> str:
        """Return what most likely led to a final status, and what would change it."""
        settings, status = self.settings, final.status
        title = settings.destination
        is_to_us = title == settings.ae_title
        _, completed, failed, warned = (count or 0 for count in final.counts)
        if status == query.SUCCESS and not completed + failed + warned:
            return "nothing matched: the peer has no object with these keys"
        if status == 0xA801:
            return (
                f"likely cause: the peer does not know destination {title}, or may not send there "
                "for us; title, host and port have to be configured at the peer"
            )
        if status == 0xA900:
            return (
                "likely cause: the keys do not fit the information model; a C-MOVE needs "
                "QueryRetrieveLevel and unique keys (UIDs, PatientID)"
            )
        if status == 0xA701:
            return "likely cause: too many objects match; ask for fewer at once"
        if status == 0x0122:
            return "likely cause: the peer has no C-MOVE of this model (-P, -S, -O choose another)"
        if status != 0xA702 and status >> 12 != 0xB:
            return ""
        if not failed and not final.failed_uids and warned:
            return ""
        if is_to_us and self.receiver is None:
            return "likely cause: nobody listens here; without --port (+P) movescu cannot receive"
        if self.receiver is not None and is_to_us:
            return self._cause_here(before, now)
        return (
            f"likely cause: the peer could not associate with {title}, or {title} refused the "
            "objects (SOP class, transfer syntax, space)"
        )

    def _cause_here(self, before: dict[str, int], now: dict[str, int]) -> str:
        """Return the likely cause of failures on the way to ourselves."""

        def since(name: str) -> int:
            return now[name] - before[name]

        assert self.settings.receiver is not None
        port = self.settings.receiver.port
        if since("refused"):
            return "likely cause: objects were refused here; the lines above say why"
        if not since("connections"):
            return (
                f"likely cause: the peer could not reach us, no connection came to port {port}; "
                f"compare host and port that it has for {self.settings.destination}, and firewalls"
            )
        if not since("associations"):
            return f"likely cause: connections came to port {port}, but no association"
        return (
            "likely cause: a SOP class or transfer syntax that is not accepted here; "
            "--accept-all (+xa) accepts every one"
        )
