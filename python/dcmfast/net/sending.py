"""The sending tools' work: files to a peer, as DCMTK's storescu and dcmsend do it and tell it.

Python decides what is proposed and how a run ends; the engine (``rust/core/src/sending``) looks at
the files, sends them and says so, without being asked for each.
"""

from __future__ import annotations

import sys

from dcmfast import __version__, _rust
from dcmfast.errors import (
    AssociationAborted,
    AssociationRejected,
    AssociationTimeout,
    ConnectionFailed,
    ContextNotAccepted,
    DcmfastError,
    DimseError,
    InputFileError,
    NetworkError,
    NoInputFilesError,
    NothingProposedError,
    NoValidInputFilesError,
    RemoteProtocolError,
    ReportFileError,
    UnsentFileError,
)
from dcmfast.net import association, causes, inputs, interrupts, scu, tls
from dcmfast.observe.progress import FileBar
from dcmfast.policy import sending as policy
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dcmfast.observe.logs import Log
    from dcmfast.options.sending_settings import SendingSettings, SendSettings, StoreSettings

    Contexts = list[tuple[str, list[str]]]

#: What a report's JSON calls itself.
FORMAT = "dcmfast-send"
FORMAT_VERSION = 1
#: Our words for an input format → the engine's.
_FORMATS = {"any": "either", "file": "file", "dataset": "data_set"}
#: Files of one portion of a report.
_PORTION = 10_000
#: Files that are looked at in one call of the engine.
_LOOKED_AT = 256
#: Seconds between two looks at a run, for the bar.
_LOOK_S = 0.2
#: DCMTK's library, whose lines dcmsend's are in part.
_DCMNET = "dcmtk.dcmnet"
#: Our own lines.
_OURS = "dcmfast.sending"
#: Exit code of storescu when no association came about, whatever the reason, as DCMTK's.
_NOT_ASSOCIATED = 1


class Ending(Record):
    """How the files of one association ended."""

    #: ``done``, ``refused``, ``halted``, ``aborted``, ``released``, ``timeout``, ``protocol``;
    #: ``unassociated`` and ``no-contexts`` where there was no association.
    how: str
    #: Of ``refused``.
    status: int = 0
    #: DCMTK's condition: module and number, and words.
    code: str = ""
    words: str = ""
    #: What the peer did to end it.
    did: str = ""

    def error(self) -> DcmfastError:
        """Return the error that knows the exit code, and the likely cause."""
        kind = _ERRORS.get(self.how, AssociationAborted)
        error = kind(f"{self.code} {self.words}")
        if isinstance(error, AssociationAborted) and self.did:
            error.ending = self.did
        return error


#: How the files of an association ended → what that is.
_ERRORS: dict[str, type[DcmfastError]] = {
    "halted": UnsentFileError,
    "timeout": AssociationTimeout,
    "protocol": RemoteProtocolError,
}


class _Group(Record):
    number: int
    contexts: Contexts
    files: int


# ---- storescu


def storescu(settings: StoreSettings) -> int:
    """Send the files; return the exit code.

    0 when each was stored, else storescu's: 1 before anything was sent, or when a file could not
    be; the high byte of the first failure status; 10 when the association was lost.  With
    ``--no-halt`` 0, unless the association could not be had or was lost.
    """
    log = scu.prepare(settings)
    interrupts.take_sigterm_as_interrupt()
    job = _job(
        settings,
        log,
        checks_uids=False,
        prefers_deflated=settings.proposal == "deflated",
        has_new_vrs=settings.has_new_vrs,
        renames=settings.is_renaming,
        invention=settings.invention,
        reads_dicomdir=False,
    )
    try:
        _take_in_for_storescu(settings, log, job)
        extras = _extras(settings, log)
    except InputFileError as error:
        for letter, text in error.lines:
            log.line(letter, text)
        code = error.exit_code_of(settings.tool)
        _report(settings, job, code)
        return code
    security = tls.context(settings.tls, role="requestor", log=log)
    tls.write_seed(settings.tls, log)
    kinds = job.kinds()
    proposal = settings.proposal if settings.is_proposal_typed else None
    spare: tuple[policy.Context, ...] = ()
    fixed: tuple[policy.Context, ...] = ()
    needed: list[tuple[policy.Context, ...]]
    if settings.profile is not None:
        # As it is written: nothing is added, whatever the files need.
        fixed = tuple(
            (one.abstract_syntax, one.transfer_syntaxes) for one in settings.profile.contexts
        )
        needed = [()] * len(kinds)
    else:
        needed = policy.storescu_contexts(kinds, proposal, combine=settings.is_combining)
        if not settings.is_required_only:
            spare = policy.often_sent_contexts(settings.proposal, combine=settings.is_combining)
    groups = _groups(job, needed, fixed=fixed, spare=spare, in_order=False)
    code = 0
    try:
        # Lines and a bar would overwrite each other, and quiet means quiet.
        with FileBar(len(job) * settings.repeat, is_wanted=log.level == "warn") as advance:
            for group in groups:
                code = _storescu_group(settings, log, job, group, security, extras, advance)
                if code:
                    break
    except KeyboardInterrupt:
        code = _interrupted(log)
    _report(settings, job, code)
    return code


#: User-Identity-Type, PS3.7 Table D.3-14.
_IDENTITY_TYPES = {"user": 1, "password": 2, "kerberos": 3, "saml": 4, "jwt": 5}
#: Longest field of a user identity: its length has two bytes (PS3.7 §D.3.3.7.1).
_FIELD_BYTES_MAX = 0xFFFF


def _extras(settings: StoreSettings, log: Log) -> association.Extras:
    """Return what the association request carries beside its contexts.

    Raises
    ------
    InputFileError
        Ticket, assertion or token cannot be read.
    """
    profile = settings.profile
    return association.Extras(
        roles=() if profile is None else profile.roles,
        extended_negotiation=() if profile is None else profile.extended_negotiation,
        identity=_user_identity(settings, log),
    )


def _user_identity(settings: StoreSettings, log: Log) -> tuple[int, bool, bytes, bytes] | None:
    import os

    who = settings.identity
    if who is None:
        return None
    kind, primary, secondary = _IDENTITY_TYPES[who.kind], os.fsencode(who.value), b""
    if who.kind == "password":
        secondary = os.fsencode(who.password)
    elif who.kind != "user":
        try:
            with open(who.value, "rb") as file:
                primary = file.read(_FIELD_BYTES_MAX + 1)
        except OSError as error:
            text = f"Unable to open Kerberos, SAML or JWT file: {error.strerror}"
            raise InputFileError(("E", text)) from None
        if not primary:
            text = "Unable to read Kerberos, SAML or JWT info from file: File empty?"
            raise InputFileError(("E", text))
    if max(len(primary), len(secondary)) > _FIELD_BYTES_MAX:
        log.line(
            "I",
            "Kerberos, SAML or JWT file is larger than 65535 bytes, bytes after that position are "
            "ignored",
        )
    return kind, who.is_response_expected, primary[:_FIELD_BYTES_MAX], secondary[:_FIELD_BYTES_MAX]


def _take_in_for_storescu(settings: StoreSettings, log: Log, job: _rust.SendJob) -> None:
    names = inputs.paths(settings, log)
    if names:
        log.line("I", "checking input files ...")
    for name, reason, is_missing in _bad_files(job, names):
        text = f"cannot access file: {name}" if is_missing else f"bad DICOM file: {name}: {reason}"
        if settings.is_halting:
            raise InputFileError(("F", text))
        log.line("W", f"{text}, ignoring file")
    if not len(job):
        raise InputFileError(("F", "no input files to be sent"))


def _storescu_group(
    settings: StoreSettings,
    log: Log,
    job: _rust.SendJob,
    group: _Group,
    security: _rust.TlsContext | None,
    extras: association.Extras,
    advance: Callable[[int], None],
) -> int:
    """Send the files of one group; return the exit code, which ends the run unless it is 0."""

    def code_of(ending: Ending) -> int:
        # With --no-halt DCMTK's ends with 1, because it cannot release what was lost.
        return ending.error().exit_code_of(settings.tool) if settings.is_halting else 1

    def finish(link: _rust.Association, ending: Ending) -> int:
        if ending.how == "done":
            return 0 if scu.close(settings, link, log) else _NOT_ASSOCIATED
        if ending.how == "refused":
            scu.close(settings, link, log)
            return DimseError("", status=ending.status).exit_code_of(settings.tool)
        cause = causes.of_answer(ending.error(), settings, "C-STORE")
        if ending.how == "aborted":
            log.line("I", "Peer Aborted Association")
            scu.tell_cause(log, settings, cause)
            return code_of(ending)
        if ending.how == "released":
            log.line("E", "Protocol Error: Peer requested release (Aborting)")
        else:
            log.line("E", f"Store SCU Failed: {ending.code} {ending.words}")
        scu.tell_cause(log, settings, cause)
        log.line("I", "Aborting Association")
        link.abort()
        return code_of(ending)

    run = _Run(settings, log, job, group, security, extras)
    codes = run.over_all(advance, finish, refused=lambda _: _NOT_ASSOCIATED)
    return next((code for code in codes if code), 0)


# ---- dcmsend


def dcmsend(settings: SendSettings) -> int:
    """Send the files; return the exit code.

    0 when each was sent, whatever the peer answered; else dcmsend's: 21 to 23 for want of files, 43
    for a report that cannot be written, 61 without an association, 62 when a file could not be
    sent, 65 when nothing could be proposed for it.
    """
    log = scu.prepare(settings)
    interrupts.take_sigterm_as_interrupt()
    job = _job(
        settings,
        log,
        checks_uids=settings.is_checking_uids,
        prefers_deflated=False,
        has_new_vrs=True,
        renames=False,
        invention=None,
        reads_dicomdir=settings.is_reading_dicomdir,
    )
    try:
        _take_in_for_dcmsend(settings, log, job)
        code = _dcmsend(settings, log, job)
        if not code and settings.report_file:
            _write_report(settings, log, job)
    except (InputFileError, ReportFileError) as error:
        for letter, text in error.lines:
            log.line(letter, text)
        code = error.exit_code_of(settings.tool)
    except KeyboardInterrupt:
        code = _interrupted(log)
        # What was stored until then is worth knowing, and what was not.
        if settings.report_file:
            try:
                _write_report(settings, log, job)
            except ReportFileError as error:
                for letter, text in error.lines:
                    log.line(letter, text)
    if not code:
        log.line("I", f"\n{job.summary()}")
    _report(settings, job, code)
    return code


def _take_in_for_dcmsend(settings: SendSettings, log: Log, job: _rust.SendJob) -> None:
    names = inputs.paths(settings, log)
    if not names:
        raise NoInputFilesError(("F", "no input files to be processed"))
    log.line("I", "checking input files ...")
    invalid = 0
    for name, reason, _ in _bad_files(job, names):
        invalid += 1
        if name:
            text = f"cannot add DICOM file to the transfer list: {name}: {reason}"
            log.line("E", text, logger=_DCMNET)
        else:
            log.line("E", "cannot add DICOM file with empty filename", logger=_DCMNET)
            reason = "Illegal parameter"
        text = f"bad DICOM file: {name or '<empty string>'}: {reason}"
        if settings.is_halting:
            raise InputFileError(("F", text))
        log.line("W", f"{text}, ignoring file")
    if not len(job):
        raise NoValidInputFilesError(("F", "no valid input files to be processed"))
    log.line(
        "D",
        f"in total, there are {len(job)} SOP instances to be sent, {invalid} invalid files are "
        "ignored",
    )


def _dcmsend(settings: SendSettings, log: Log, job: _rust.SendJob) -> int:
    multi = "only a single associations allowed (option --single-association used)"
    if not settings.is_single_association:
        multi = "multiple associations allowed (option --multi-associations used)"
    log.line("D", multi)
    needed, is_refused = _dcmsend_contexts(settings, log, job)
    if is_refused and settings.is_halting:
        text = "cannot add presentation contexts: Unsupported compression or encryption"
        log.line("E", text)
        return NothingProposedError(text).exit_code_of(settings.tool)
    groups = _groups(job, needed, fixed=(), spare=(), in_order=True)
    with FileBar(len(job), is_wanted=log.level == "warn") as advance:
        for group in groups[:1] if settings.is_single_association else groups:
            code = _dcmsend_group(settings, log, job, group, advance)
            if code:
                return code
    return 0


def _dcmsend_contexts(
    settings: SendSettings, log: Log, job: _rust.SendJob
) -> tuple[list[tuple[policy.Context, ...] | None], bool]:
    """Return the contexts that each kind of file needs; True beside it if one can have none."""
    needed = []
    for kind in job.kinds():
        proposal = policy.dcmsend_proposal(
            kind,
            decompression=settings.decompression,
            is_illegal_allowed=settings.is_illegal_proposal_allowed,
            is_known=_rust.transfer_syntax_name(kind[1]) is not None,
        )
        if proposal.line is not None:
            log.line(*proposal.line, logger=_DCMNET)
        needed.append(proposal.contexts)
    return needed, None in needed


def _dcmsend_group(
    settings: SendSettings,
    log: Log,
    job: _rust.SendJob,
    group: _Group,
    advance: Callable[[int], None],
) -> int:
    """Send the files of one group; return the exit code, which ends the run unless it is 0."""

    def finish(link: _rust.Association, ending: Ending) -> int:
        if ending.how == "done":
            scu.close(settings, link, log)
            return 0
        log.line("F", f"cannot send SOP instance: {ending.words}")
        scu.tell_cause(log, settings, causes.of_answer(ending.error(), settings, "C-STORE"))
        if ending.how == "aborted":
            log.line("I", "Peer Aborted Association", logger=_DCMNET)
            return ending.error().exit_code_of(settings.tool)
        if ending.how == "released":
            text = "Protocol Error: Peer requested release (Aborting)"
            log.line("E", text, logger=_DCMNET)
        log.line("I", "Aborting Association", logger=_DCMNET)
        link.abort()
        return ending.error().exit_code_of(settings.tool)

    def refused(ending: Ending) -> int:
        if ending.how == "no-contexts":
            job.refuse(group.number)
            log.line("E", f"cannot negotiate network association: {ending.words}")
            if settings.is_single_association:
                text = f"cannot add presentation contexts: {ending.words}"
                log.line("E", text)
                return NothingProposedError(text).exit_code_of(settings.tool)
            return 0
        log.line("F", f"cannot negotiate network association: {ending.words}")
        return ConnectionFailed(ending.words).exit_code_of(settings.tool)

    if not settings.is_single_association:
        text = f"starting association #{job.totals()['associations'] + 1}"
        if log.shows("D"):
            log.line("D", f"{'-' * 65}\n{text}")
        else:
            log.line("I", text)
    log.line("I", "initializing network ...")
    log.line(
        "D",
        f"Configured a total of {len(group.contexts)} presentation contexts for SCU",
        logger=_DCMNET,
    )
    log.line("I", "negotiating network association ...")
    run = _Run(settings, log, job, group, None, None)
    codes = run.over_all(advance, finish, refused=refused, begun="sending SOP instances ...")
    return next((code for code in codes if code), 0)


def _write_report(settings: SendSettings, log: Log, job: _rust.SendJob) -> None:
    """Write DCMTK's report file.

    Raises
    ------
    ReportFileError
        It cannot be written.
    """
    import os
    from datetime import datetime

    name = settings.report_file
    log.line("I", "creating detailed report on the transfer ...", logger=_DCMNET)
    log.line("D", f"creating report file '{name}'", logger=_DCMNET)
    if os.path.exists(name):
        log.line("W", f"file '{name}' already exists, overwriting", logger=_DCMNET)
    title = "Detailed Report on the Transfer of Instances"
    head = (
        f"{title}\n{'=' * len(title)}\n\n"
        f"Communication Peer : {settings.peer.host}:{settings.peer.port}\n"
        f"AE Titles used     : {settings.ae_title} -> {settings.called_ae_title}\n"
        f"Current Date/Time  : {datetime.now():%Y-%m-%d %H:%M:%S}\n\n\n"
    )
    try:
        with open(name, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(head)
            for first in range(0, len(job), _PORTION):
                file.write(job.report(first, _PORTION))
            file.write(f"\n{job.summary()}")
    except OSError as error:
        raise ReportFileError(
            ("E", f"cannot write detailed report to file '{name}': {error.strerror}")
        ) from None


# ---- Both


def _job(settings: SendingSettings, log: Log, **rules: object) -> _rust.SendJob:
    return _rust.SendJob(
        log.events,
        tool=settings.tool,
        log_level=settings.log_level,
        input_format=_FORMATS[settings.input_format],
        is_halting=settings.is_halting,
        repeat=settings.repeat,
        deflate_level=settings.deflate_level,
        has_dots=not settings.is_json,
        **rules,
    )


def _interrupted(log: Log) -> int:
    log.line("W", "interrupted: what is not answered may be stored or not", logger=_OURS)
    return interrupts.exit_code()


def _bad_files(job: _rust.SendJob, names: list[str]) -> Iterator[tuple[str, str, bool]]:
    """Have all files looked at; yield name and reason of each that cannot be sent.

    True beside them for one that could not even be opened.
    """
    for first in range(0, len(names), _LOOKED_AT):
        # In portions: between them a signal is heard, and behind a bad file no more is handed over
        # again than the rest of one.
        portion = names[first : first + _LOOKED_AT]
        while portion:
            found = job.add(portion)
            if found is None:
                break
            place, reason, is_missing = found
            yield portion[place], reason, is_missing
            portion = portion[place + 1 :]


def _groups(
    job: _rust.SendJob,
    needed: Sequence[tuple[policy.Context, ...] | None],
    *,
    fixed: Sequence[policy.Context],
    spare: Sequence[policy.Context],
    in_order: bool,
) -> list[_Group]:
    """Return what each association carries."""
    rows = [None if one is None else [_row(context) for context in one] for one in needed]
    made = job.group(
        rows,
        fixed=[_row(one) for one in fixed],
        spare=[_row(one) for one in spare],
        in_order=in_order,
    )
    return [
        _Group(number=number, contexts=contexts, files=files)
        for number, (contexts, files) in enumerate(made)
    ]


def _row(context: policy.Context) -> tuple[str, list[str]]:
    return context[0], list(context[1])


class _Run:
    """The files of one group on their way, over one association or several at once."""

    def __init__(
        self,
        settings: SendingSettings,
        log: Log,
        job: _rust.SendJob,
        group: _Group,
        security: _rust.TlsContext | None,
        extras: association.Extras | None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._job = job
        self._group = group
        self._security = security
        self._extras = extras
        #: Open associations: whoever is told to end aborts them, in whichever thread they are.
        self._links: list[_rust.Association] = []
        #: Ends those that are still asked for, which no signal comes to in their threads.
        self._giving_up = _rust.GivingUp()

    def over_one(
        self,
        finish: Callable[[_rust.Association, Ending], int],
        refused: Callable[[Ending], int],
        *,
        begun: str,
        look: Callable[[], None],
    ) -> int:
        """Associate, send, and end the association; return the exit code."""
        number = self._job.begin_association(self._group.number)
        try:
            link = scu.associate(
                self._settings,
                self._group.contexts,
                self._log,
                max_send_pdu_bytes=self._settings.max_send_pdu_bytes,
                security=self._security,
                extras=self._extras,
                giving_up=self._giving_up,
            )
        except NetworkError as error:
            is_empty = isinstance(error, ContextNotAccepted)
            # DCMTK's condition without its number.
            words = str(error).partition(" ")[2]
            if isinstance(error, AssociationRejected):
                words = "DUL Association Rejected"
            elif isinstance(error, ContextNotAccepted):
                words = "No acceptable Presentation Contexts"
            how = "no-contexts" if is_empty else "unassociated"
            return refused(Ending(how=how, words=words))
        if begun:
            self._log.line("I", begun)
        self._links.append(link)
        sending = _rust.Sending(self._job, self._group.number, link, number)
        try:
            while True:
                how, status, code, words, did = sending.turn(_LOOK_S)
                look()
                if how != "more":
                    break
        except KeyboardInterrupt:
            self._abort()
            raise
        self._links.remove(link)
        return finish(link, Ending(how=how, status=status, code=code, words=words, did=did))

    def _abort(self) -> None:
        """Begin nothing more, and abort what is open: a peer that does not read would go on."""
        import contextlib

        self._job.end()
        self._giving_up.set()
        for link in list(self._links):
            # Its own thread may have ended it.
            with contextlib.suppress(RuntimeError):
                link.abort()

    def over_all(
        self,
        advance: Callable[[int], None],
        finish: Callable[[_rust.Association, Ending], int],
        *,
        refused: Callable[[Ending], int],
        begun: str = "",
    ) -> list[int]:
        """Send the files over as many associations as were asked for; return each exit code."""
        job = self._job

        def look() -> None:
            advance(job.done())

        count = min(self._settings.associations, self._group.files * self._settings.repeat)
        if count <= 1:
            return [self.over_one(finish, refused, begun=begun, look=look)]
        # Imported here: one association needs no thread.
        from threading import Thread

        codes: list[int] = []
        #: Associations that did not come about: the files travel on the others.
        missing: list[Ending] = []

        def miss(ending: Ending) -> int:
            missing.append(ending)
            return 0

        def work() -> None:
            # Nobody looks at an exception of a thread; one is a fault of ours, but for what tells
            # it that the run is to end.
            code = _NOT_ASSOCIATED
            try:
                code = self.over_one(finish, miss, begun=begun, look=lambda: None)
            except KeyboardInterrupt:
                pass
            finally:
                codes.append(code)
                if code:
                    job.end()

        threads = [Thread(target=work) for _ in range(count)]
        try:
            # An interrupt may come here, too, and the interpreter's end waits for them.
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_S)
                    look()
        except KeyboardInterrupt:
            self._abort()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            raise
        if len(missing) == count:
            return [refused(missing[0])]
        if missing:
            text = f"{count - len(missing)} associations sent the files of {count} asked for: "
            self._log.line("W", text + missing[0].words, logger=_OURS)
        return codes


def _report(settings: SendingSettings, job: _rust.SendJob, code: int) -> None:
    """Print the report that ``--json`` asks for."""
    if not settings.is_json:
        return
    import json

    head = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "dcmfast": __version__,
        "tool": settings.tool,
        "peer": {"host": settings.peer.host, "port": settings.peer.port},
        "calling_ae_title": str(settings.ae_title),
        "called_ae_title": str(settings.called_ae_title),
        "exit_code": code,
        "totals": job.totals(),
    }
    out = sys.stdout
    out.write(json.dumps(head)[:-1] + ', "files": [')
    for first in range(0, len(job), _PORTION):
        out.write((",\n" if first else "\n") + job.json(first, _PORTION))
    out.write("]}\n")
    out.flush()
