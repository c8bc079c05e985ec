"""findscu: C-FIND requests, and what is done with the responses: told, extracted, or as JSON."""

from __future__ import annotations

import contextlib
import os
import sys

from dcmfast import _rust
from dcmfast.errors import (
    AssociationAborted,
    NetworkError,
    OutputFileError,
    QueryFileError,
)
from dcmfast.net import association, causes, query, scu, tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from dcmfast.observe.logs import Log
    from dcmfast.options.query_settings import FindSettings

#: Exit codes: DCMTK's findscu where no association came about; 1 where it says 0 (D9).
_NOT_ASSOCIATED, _NOT_CLOSED, _FAILED = 2, 2, 1
_OURS = "dcmfast.findscu"
#: What DCMTK gives extracted responses as SOP class: its private one for files of any kind.
_GENERIC_FILE_SOP_CLASS = "1.2.276.0.7230010.3.1.0.1"


def find(settings: FindSettings) -> int:
    """Send the C-FIND requests; return the exit code."""
    log = scu.prepare(settings)
    sop_class = query.sop_class(settings.model, "find")
    security = tls.context(settings.tls, role="requestor", log=log)
    contexts = [(sop_class, query.transfer_syntaxes(settings.proposal))]
    try:
        link = scu.associate(settings, contexts, log, security=security)
    except NetworkError:
        if settings.is_json:
            sys.stdout.write("[]\n")
        return _NOT_ASSOCIATED
    finally:
        tls.write_seed(settings.tls, log)
    output = _Output(settings, log)
    code = 0
    try:
        with output:
            for file in query.requests(settings):
                code = max(code, _request(settings, log, link, file, output))
    except (NetworkError, QueryFileError, OutputFileError) as error:
        _tell_failure(settings, log, link, error)
        return _FAILED
    if output.is_broken:
        code = _FAILED
    return code if scu.close(settings, link, log) else _NOT_CLOSED


def _tell_failure(
    settings: FindSettings,
    log: Log,
    link: _rust.Association,
    error: NetworkError | QueryFileError | OutputFileError,
) -> None:
    """Say why the requests ended early; the association is gone, or aborted now."""
    cause = causes.of_answer(error, settings, "C-FIND")
    if isinstance(error, AssociationAborted):
        if error.is_release:
            log.line("E", "Protocol Error: Peer requested release (Aborting)")
        else:
            log.line("I", "Peer Aborted Association")
        scu.tell_cause(log, settings, cause)
        return
    if isinstance(error, QueryFileError):
        log.line("E", str(error).replace("bad DICOM file", "Bad DICOM file", 1))
    else:
        log.line("E", f"Find SCU Failed: {error}")
        scu.tell_cause(log, settings, cause)
    log.line("I", "Aborting Association")
    link.abort()


def _request(
    settings: FindSettings,
    log: Log,
    link: _rust.Association,
    file: str | None,
    output: _Output,
) -> int:
    """Send one request and take its responses; return the exit code."""
    context = query.accepted(link, query.sop_class(settings.model, "find"))
    data = query.identifier(settings, file, context)
    message_id = link.next_message_id
    query.tell_request(log, "Find", context, message_id, data)
    cancel_after = settings.cancel_after or None
    try:
        link.query("find", context.context_id, data)
        patience = query.Patience(settings, is_find=True)
        while True:
            patience.check()
            for response in link.responses():
                # DCMTK counts over all requests, and the final responses as well.
                output.count += 1
                if response.status not in query.PENDING:
                    return _final(log, context, message_id, response)
                patience.came(response.identifier)
                output.response(context, message_id, response)
                if output.count == cancel_after:
                    log.line(
                        "I",
                        f"Sending Cancel Request (MsgID {message_id}, PresID {context.context_id})",
                    )
                    link.cancel()
                    patience.begin()
    except _rust.AssociationError as error:
        raise association.translated(error) from None


def _final(log: Log, context: query.Context, message_id: int, response: _rust.QueryResponse) -> int:
    status = response.status
    text = _rust.status_text("find", status)
    if log.shows("D"):
        log.line("I", "Received Final Find Response")
        query.tell_block(log, "Find", context, message_id, response)
    else:
        log.line("I", f"Received Final Find Response ({text})")
    if status in (query.SUCCESS, query.CANCELLED):
        return 0
    # DCMTK says it at -v alone, and ends with 0 (D9).
    if response.error_comment:
        text += f"; the peer's comment: {response.error_comment}"
    log.line("E", f"the query failed: {text}", logger=_OURS)
    return _FAILED


class _Output:
    """Where responses go; as a context manager it ends what it began."""

    def __init__(self, settings: FindSettings, log: Log) -> None:
        self._settings = settings
        self._log = log
        is_elsewhere = settings.extraction != "none" or settings.is_json
        shows = settings.is_showing
        if shows is None:
            # Without any option of the level DCMTK shows them though its level is WARN.
            shows = not is_elsewhere and (not settings.is_level_typed or log.shows("I"))
        self._is_shown = shows
        self._extracted = 0
        self._xml: IO[str] | None = None
        self._printed = 0
        #: Responses so far, which number the files.
        self.count = 0
        #: A response was no data set.
        self.is_broken = False

    def __enter__(self) -> None:
        settings = self._settings
        if settings.is_json:
            sys.stdout.write("[")
        if settings.extraction == "xml-single":
            path = os.path.join(settings.output_directory, settings.extraction_file)
            try:
                self._xml = open(path, "w", encoding="utf-8")
            except OSError as error:
                raise OutputFileError(f"cannot write {path}: {error.strerror}") from None
            head = '<?xml version="1.0" encoding="UTF-8"?>\n<responses type="C-FIND">\n'
            self._written_xml(self._xml, head)

    def __exit__(self, *_: object) -> None:
        # Whatever ended the query, what came is well formed.
        if self._settings.is_json:
            sys.stdout.write("\n]\n" if self._printed else "]\n")
            sys.stdout.flush()
        if self._xml is not None:
            self._written_xml(self._xml, "</responses>\n", is_last=True)

    def response(
        self,
        context: query.Context,
        message_id: int,
        response: _rust.QueryResponse,
    ) -> None:
        """Take one pending response."""
        log, count, text = self._log, self.count, _rust.status_text("find", response.status)
        data = response.identifier or b""
        syntax = context.transfer_syntax
        if self._is_shown:
            dump = _rust.dump_identifier(
                data, syntax, with_padding=not self._settings.is_correcting
            )
            # In one event and one write, where DCMTK has three: nobody can tell them apart.
            block = f"{'-' * 27}\nFind Response: {count} ({text})\n{dump}"
            log.line_at_any_level(block, logger="dcmtk.dcmnet.responses")
        elif log.shows("D"):
            log.line("I", f"Received Find Response {count}")
        else:
            log.line("I", f"Received Find Response {count} ({text})")
        query.tell_block(log, "Find", context, message_id, response)
        try:
            text = _rust.identifier_json(data, syntax)
        except ValueError as error:
            # Shown as far as it goes, and kept nowhere.
            log.line("E", f"response {count} is no data set: {error}", logger=_OURS)
            self.is_broken = True
            return
        if self._settings.is_json:
            sys.stdout.write(f"{',' if self._printed else ''}\n{text}")
            self._printed += 1
        if self._settings.extraction != "none":
            self._extract(count, data, syntax)

    def _written_xml(self, file: IO[str], text: str, *, is_last: bool = False) -> None:
        """Write to the one file of all responses; a file that cannot be whole is none."""
        try:
            file.write(text)
            if is_last:
                file.close()
        except OSError as error:
            self._xml = None
            with contextlib.suppress(OSError):
                file.close()
            os.unlink(file.name)
            raise OutputFileError(f"cannot write {file.name}: {error.strerror}") from None

    def _extract(self, count: int, data: bytes, syntax: str) -> None:
        settings = self._settings
        if settings.extraction_max is not None and self._extracted >= settings.extraction_max:
            return
        self._extracted += 1
        kind = settings.extraction
        suffix = "dcm" if kind == "file" else "xml"
        path = os.path.join(settings.output_directory, f"rsp{count:04d}.{suffix}")
        try:
            if kind == "file":
                self._log.line("I", f"Writing response dataset to file: {path}")
                head = _rust.file_head(_GENERIC_FILE_SOP_CLASS, _new_uid(), syntax)
                _write_whole(path, head + data)
                return
            text = _rust.identifier_xml(data, syntax)
            if self._xml is not None:
                self._written_xml(self._xml, text)
                return
            self._log.line("I", f"Writing response dataset to file: {path}")
            encoding = "" if text.isascii() else ' encoding="UTF-8"'
            _write_whole(path, f'<?xml version="1.0"{encoding}?>\n{text}'.encode())
        except OSError as error:
            raise OutputFileError(f"cannot write {path}: {error.strerror or error}") from None


def _write_whole(path: str, content: bytes) -> None:
    """Write a file under its name when it is whole, and not before."""
    part = f"{path}.part"
    try:
        with open(part, "wb") as file:
            file.write(content)
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def _new_uid() -> str:
    """Return a UID made from a random UUID (PS3.5 §B.2)."""
    bits = int.from_bytes(os.urandom(16), "big")
    bits = bits & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62
    return f"2.25.{bits}"
