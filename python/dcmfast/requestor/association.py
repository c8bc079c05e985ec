"""`Association`: a conversation with a peer, for Python programs.

The engine sends and receives, without the interpreter; Python is asked once for each answer that a
program looks at, and never for a PDU.  Objects of a C-GET go to files without passing Python at
all.  pynetdicom's names (`send_c_find` and the like) are here, too, with its pairs of status and
data set.

Source: PS3.7 §9.1, PS3.4 Annexes A, B and C, PS3.8 §7.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydicom.dataset import Dataset

from dcmfast import _rust
from dcmfast.dataset import files, messages
from dcmfast.errors import (
    AssociationAborted,
    ContextNotAccepted,
    LocalProtocolError,
)
from dcmfast.limits import PENDING_PROGRESS_S, PENDING_RESPONSES_MAX
from dcmfast.net import association as link_of
from dcmfast.net import scp
from dcmfast.policy.negotiation import VERIFICATION_SOP_CLASS
from dcmfast.requestor import contexts as context_of
from dcmfast.requestor.objects import Objects
from dcmfast.requestor.receiver import storing
from dcmfast.requestor.responses import Responses, Status
from dcmfast.types import CONVERTIBLE_TRANSFER_SYNTAXES, AETitle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from dcmfast.requestor.contexts import AnsweredContext, Context, Roles
    from dcmfast.requestor.security import Tls

    Result = TypeVar("Result")
    Keys = Dataset | Mapping[str, Any]
    Source = str | os.PathLike[str] | Dataset
    #: Message ID, priority, and what a C-STORE belongs to.
    Manner = tuple[int | None, int, tuple[str, int] | None]

#: By their numbers, PS3.7 Annex E.
_PRIORITIES = ("medium", "high", "low")
#: Implicit and Explicit VR Little Endian: a data set in memory may turn into either.
#: Longest wait for the end of a request that is cancelled, where there is no other bound.
_DRAIN_S = 30
_LITTLE_ENDIAN = CONVERTIBLE_TRANSFER_SYNTAXES[:2]


def _seconds(value: float | None, name: str) -> int | None:
    """Return a time in whole seconds, at least one; None is without end."""
    if value is None:
        return None
    if not 0 < value <= 0xFFFF_FFFF:
        raise ValueError(f"{name} must be more than 0 and a number of seconds: {value!r}")
    return math.ceil(value)


class Association:
    """An association that this program requests; it is established when this object exists.

    One request is under way at a time.  The methods may be called from any thread, one after the
    other; what is left of a C-FIND's responses is fetched into memory when another request is made,
    and while those of a C-MOVE or C-GET are not read to their end it raises `LocalProtocolError`.
    `abort` may be called at any time from any thread: who waits for the peer then gets
    `AssociationAborted` within half a second.  A wait lets other threads run, and Ctrl-C ends it
    with KeyboardInterrupt; within a C-ECHO or C-STORE that costs the association.

    Parameters
    ----------
    host, port
        Where the peer listens.
    ae_title, called_ae_title
        Our title and the peer's.
    contexts
        SOP classes by UID or keyword, alone (Explicit and Implicit VR Little Endian are proposed)
        or with transfer syntaxes, or pynetdicom's presentation contexts; `contexts_of` gives those
        that files need.  None proposes Verification, C-FIND, C-MOVE and C-GET of Study Root and
        Patient Root, Modality Worklist, and 120 storage SOP classes, which are most of them.
    roles
        What is proposed for SOP classes of `contexts` (PS3.7 §D.3.3.4): ``{"CTImageStorage":
        "scp"}`` with ``scu``, ``scp`` or ``both``, or what pynetdicom's `build_role` gives.  None
        proposes nothing, unless one of the contexts is for a C-GET, whose objects come only where
        this side is SCP: then both roles for the storage SOP classes, so that `store` works, too.
        ``{}`` proposes nothing whatever the contexts.
    connection_timeout_s
        Longest wait for the transport connection; None is the system's.
    acse_timeout_s
        Longest wait for the answer to the request, and to a release.
    dimse_timeout_s
        Longest wait for the next response; None waits as long as `socket_timeout_s`.
    socket_timeout_s
        Longest silence of the peer; None waits without end.
    responses_max
        Responses before the last one of a request; a peer that sends more is given up
        (`RemoteProtocolError`), and None takes any number.
    progress_timeout_s
        Longest time in which responses may bring nothing new; None is without end.
    max_pdu_bytes, max_send_pdu_bytes
        Longest PDU that is received, and sent where the peer allows more.
    tls
        What the connection is secured with; None for plain TCP.

    Raises
    ------
    ConnectionFailed
        Unknown host, refused, or no answer in time.
    AssociationRejected
        `result`, `source` and `reason` are the peer's (PS3.8 §9.3.4).
    SecurityFailed, TlsLayerError
        TLS failed; a key or certificate cannot be used.
    ContextNotAccepted
        The peer accepted the association and none of its contexts.
    NetworkError
        Anything else went wrong: an abort, no answer in time, no DICOM.
    ValueError
        An argument that cannot be one.

    Examples
    --------
    >>> with dcmfast.Association("pacs", 104, called_ae_title="PACS") as association:
    ...     asked = association.find("STUDY", PatientName="doe*", StudyInstanceUID="")
    ...     for study in asked.data_sets():
    ...         print(study.PatientName, study.StudyInstanceUID)
    """

    def __init__(
        self,
        host: str,
        port: int = 104,
        *,
        ae_title: str = "DCMFAST",
        called_ae_title: str = "ANY-SCP",
        contexts: Iterable[Context] | None = None,
        roles: Roles | None = None,
        connection_timeout_s: float | None = None,
        acse_timeout_s: float = 30,
        dimse_timeout_s: float | None = None,
        socket_timeout_s: float | None = 60,
        responses_max: int | None = PENDING_RESPONSES_MAX,
        progress_timeout_s: float | None = PENDING_PROGRESS_S,
        max_pdu_bytes: int = 131_072,
        max_send_pdu_bytes: int | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.ae_title = AETitle(ae_title)
        self.called_ae_title = AETitle(called_ae_title)
        if not self.ae_title or not self.called_ae_title:
            raise ValueError("an association needs a calling and a called AE title")
        if not 4096 <= max_pdu_bytes <= 131_072:
            raise ValueError(f"max_pdu_bytes is not within 4096 to 131072: {max_pdu_bytes}")
        asked = context_of.default() if contexts is None else context_of.proposed(contexts)
        asked_roles = context_of.proposed_roles(roles, asked)

        def classes(word: str) -> list[str]:
            return [uid for uid, role in asked_roles.items() if role == context_of.ROLES[word]]

        self.acse_timeout_s = _seconds(acse_timeout_s, "acse_timeout_s")
        self.dimse_timeout_s = _seconds(dimse_timeout_s, "dimse_timeout_s")
        self.socket_timeout_s = _seconds(socket_timeout_s, "socket_timeout_s")
        self.progress_timeout_s = _seconds(progress_timeout_s, "progress_timeout_s")
        if responses_max is not None and responses_max < 1:
            raise ValueError(f"responses_max must be at least 1: {responses_max}")
        self.responses_max = responses_max
        self._lock = threading.RLock()
        self._begun: weakref.ref[Responses] | None = None
        #: Where the objects of the last C-GET go; None while the last request was no C-GET.
        self._objects: _rust.ObjectStore | None = None
        self._is_aborted = False
        self._is_released = False
        self._link: _rust.Association | None = None
        try:
            link = _rust.Association(
                host,
                port,
                calling=self.ae_title,
                called=self.called_ae_title,
                contexts=asked,
                max_pdu_bytes=max_pdu_bytes,
                max_send_pdu_bytes=max_send_pdu_bytes,
                connect_timeout_s=_seconds(connection_timeout_s, "connection_timeout_s"),
                acse_timeout_s=self.acse_timeout_s,
                dimse_timeout_s=self.dimse_timeout_s,
                socket_timeout_s=self.socket_timeout_s,
                tls=None if tls is None else tls.context("requestor"),
                scp_roles=classes("scp"),
                both_roles=classes("both"),
                scu_roles=classes("scu"),
            )
        except _rust.AssociationError as error:
            raise link_of.translated(error) from None
        except OverflowError as error:
            raise ValueError(f"port: {error}") from None
        #: Every context that was proposed, as the peer answered it.
        self.contexts: tuple[AnsweredContext, ...] = tuple(context_of.answered(link, asked_roles))
        #: Implementation class UID and version name of the peer.
        self.peer_implementation: tuple[str, str] = link.peer_implementation
        #: Longest PDU that the peer takes; 0 for any.
        self.peer_max_pdu_bytes: int = link.peer_max_pdu_bytes
        #: TLS version, cipher suite and peer; None for plain TCP.
        self.secured: str | None = link.secured
        if not self.accepted_contexts:
            link.abort()
            raise ContextNotAccepted("the peer accepted none of the presentation contexts")
        self._link = link

    @staticmethod
    def contexts_of(
        sources: Iterable[str | os.PathLike[str]],
    ) -> list[tuple[str, tuple[str, ...]]]:
        """Return the presentation contexts that sending these files needs, at most 128.

        Raises
        ------
        OSError
            A file cannot be read.
        ValueError
            A file is no DICOM object, or they need too many contexts.
        """
        needed: dict[tuple[str, tuple[str, ...]], None] = {}
        for source in sources:
            instance = _rust.inspect_file(os.fspath(source), "either")
            syntax = instance.transfer_syntax
            needed[instance.sop_class_uid, (syntax,)] = None
        return context_of.proposed(needed)

    # ---- What it is

    @property
    def is_established(self) -> bool:
        """True until it was released, aborted or lost."""
        return self._link is not None

    @property
    def is_released(self) -> bool:
        """True once it was released by this side."""
        return self._is_released

    @property
    def is_aborted(self) -> bool:
        """True once either side aborted it, or it was lost."""
        return self._is_aborted

    @property
    def accepted_contexts(self) -> list[AnsweredContext]:
        """The contexts that the peer accepted."""
        return [context for context in self.contexts if context.transfer_syntax]

    @property
    def rejected_contexts(self) -> list[AnsweredContext]:
        """Those that it refused; `result` says why."""
        return [context for context in self.contexts if not context.transfer_syntax]

    # ---- Its ends

    def release(self) -> None:
        """Release it and close; responses that are under way are cancelled first.

        Raises
        ------
        NetworkError
            The peer did not answer the release; the association has ended all the same.
        """
        with self._lock:
            responses = self._responses()
            if responses is not None:
                responses.close()
            link = self._established()
            self._link = None
            try:
                link.release()
            except _rust.AssociationError as error:
                self._is_aborted = True
                raise link_of.translated(error) from None
            self._is_released = True

    def abort(self) -> None:
        """Abort it and close, whatever is under way; nothing if it has ended."""
        # Not under the lock: who holds it may be who is waiting.
        link, self._link = self._link, None
        if link is None:
            return
        self._is_aborted = True
        # It may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            link.abort()

    def __enter__(self) -> Association:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release it; after an exception abort it."""
        if error is not None:
            self.abort()
        elif self.is_established:
            self.release()

    # ---- C-ECHO and C-STORE

    def echo(self, *, message_id: int | None = None) -> Status:
        """Ask the peer whether it answers (C-ECHO).

        Parameters
        ----------
        message_id
            Of the request, 0 to 65535; None takes the next one in turn, from 1.

        Raises
        ------
        DimseError
            The status is a failure.
        NetworkError
            No accepted context for Verification, or the association was lost.
        """
        status = self.send_c_echo(message_id)
        status.raise_for_failure()
        return status

    def send_c_echo(self, msg_id: int | None = None) -> Status:
        """Ask the peer whether it answers (C-ECHO); a failure is a status like another."""
        context = context_of.accepted(self.contexts, VERIFICATION_SOP_CLASS)
        code = self._done(lambda link: link.echo(context.context_id), _manner(msg_id))
        return Status(code=code, service="echo")

    def store(
        self,
        source: Source,
        *,
        message_id: int | None = None,
        priority: str = "medium",
        move_originator: tuple[str, int] | None = None,
    ) -> Status:
        """Send an object (C-STORE), and return the status: success or a warning.

        Parameters
        ----------
        source
            A file, which is sent as it is, from disk, if the peer takes its transfer syntax; or a
            data set.  What is uncompressed little endian is sent in whichever of its transfer
            syntaxes the peer takes, a file then by way of memory.
        message_id
            Of the request, 0 to 65535; None takes the next one in turn, from 1.
        priority
            ``low``, ``medium`` or ``high``.
        move_originator
            AE title and message ID of the C-MOVE that this C-STORE belongs to.

        Raises
        ------
        DimseError
            The peer refused the object.
        ContextNotAccepted
            No context for its SOP class and transfer syntax; nothing was sent.
        OSError, ValueError
            The file cannot be read, or is no object; a data set without SOP Class UID or SOP
            Instance UID.
        NetworkError
            The association was lost.
        """
        title, number = move_originator or (None, None)
        status = self.send_c_store(source, message_id, _priority(priority), title, number)
        status.raise_for_failure()
        return status

    def send_c_store(
        self,
        dataset: Source,
        msg_id: int | None = None,
        priority: int = 0,
        originator_aet: str | None = None,
        originator_id: int | None = None,
    ) -> Status:
        """Send an object (C-STORE); as `store`, but a failure is a status like another.

        `priority` is a number, as in pynetdicom: 0 medium, 1 high, 2 low.
        """
        manner = _manner(msg_id, priority, originator_aet, originator_id)
        if isinstance(dataset, Dataset):
            code = self._store_data_set(dataset, manner)
        else:
            code = self._store_file(os.fspath(dataset), manner)
        return Status(code=code, service="store")

    def store_each(self, sources: Iterable[Source]) -> Iterator[tuple[Source, Status]]:
        """Send objects one after the other; each comes out with its status, a failure too.

        Raises
        ------
        ContextNotAccepted, OSError, ValueError, NetworkError
            As for `store`.
        """
        for source in sources:
            yield source, self.send_c_store(source)

    def _store_file(self, path: str, manner: Manner) -> int:
        instance = _rust.inspect_file(path, "either")
        sop_class = instance.sop_class_uid
        context = self._for_object(sop_class, _alike(instance.transfer_syntax))
        if context.transfer_syntax == (instance.transfer_syntax,):
            return self._done(lambda link: link.store(context.context_id, path, instance), manner)
        return self._store_data_set(files.read(path, force=True), manner)

    def _store_data_set(self, data_set: Dataset, manner: Manner) -> int:
        uids = []
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            uid = data_set.get(keyword)
            if not uid:
                raise ValueError(f"the data set has no {keyword}")
            uids.append(str(uid))
        syntaxes = _transfer_syntaxes(data_set)
        context = self._for_object(uids[0], syntaxes)
        data = messages.encode(data_set, context.transfer_syntax[0])
        number = context.context_id
        return self._done(lambda link: link.store_bytes(number, uids[0], uids[1], data), manner)

    def _for_object(self, sop_class: str, syntaxes: tuple[str, ...]) -> AnsweredContext:
        """Return the context for an object that may go in any of these transfer syntaxes."""
        usable = [one for one in self.contexts if one.abstract_syntax == sop_class and one.as_scu]
        for syntax in syntaxes:
            for context in usable:
                if context.transfer_syntax == (syntax,):
                    return context
        # Says it for the SOP class as a whole, if that is what is missing.
        accepted = context_of.accepted(self.contexts, sop_class)
        raise ContextNotAccepted(
            f"the peer takes this SOP class in {accepted.transfer_syntax[0]}, and the object is in "
            f"{syntaxes[0]}; contexts=Association.contexts_of(files) proposes what files need"
        )

    # ---- C-FIND, C-MOVE and C-GET

    def find(
        self,
        level: str | Dataset | None = "STUDY",
        keys: Keys | None = None,
        /,
        *,
        model: str = "study-root",
        message_id: int | None = None,
        priority: str = "medium",
        **more: Any,
    ) -> Responses:
        """Ask what the peer has (C-FIND), and return its answers as they come.

        Parameters
        ----------
        level
            ``PATIENT``, ``STUDY``, ``SERIES`` or ``IMAGE``; a whole identifier; or None for none,
            which is the worklist's.
        keys, more
            What must match, and what is to be returned: an identifier, a mapping, or arguments by
            keyword.  None and an empty value match everything (PS3.4 §C.2.2.2).
        model
            ``study-root``, ``patient-root``, ``patient-study``, ``worklist``, or the UID of a SOP
            class that has a C-FIND.
        message_id, priority
            As for `store`.

        Returns
        -------
        Responses
            An iterator over pairs of status and data set; its `data_sets` gives matches alone.

        Raises
        ------
        ValueError
            A level, keyword, value or model that does not exist.
        ContextNotAccepted
            No accepted context for `model`; nothing was sent.
        NetworkError
            The association was lost.
        """
        if level == "STUDY" and context_of.query_sop_class(model, "find") == context_of.WORKLIST:
            # A worklist has no levels (PS3.4 §K.6.1).
            level = None
        return self._query(_Asked("find", model, level, keys, more, message_id, priority))

    def move(
        self,
        level: str | Dataset | None = "STUDY",
        keys: Keys | None = None,
        /,
        *,
        destination: str,
        model: str = "study-root",
        message_id: int | None = None,
        priority: str = "medium",
        **more: Any,
    ) -> Responses:
        """Have the peer send objects to `destination` (C-MOVE), and return its answers.

        The request is sent at once; ``.result()`` waits for the end.  Where `destination` is this
        program a `StorageReceiver` has to listen, at the port that the peer knows for the title.

        Parameters
        ----------
        level, keys, model, message_id, priority, more
            As for `find`; unique keys (UIDs, PatientID) say what is moved.
        destination
            AE title, as the peer knows it: ours, or a third party's.

        Returns
        -------
        Responses
            Pairs of status and data set; statuses count sub-operations.

        Raises
        ------
        ValueError, ContextNotAccepted, NetworkError
            As for `find`.
        """
        title = AETitle(destination)
        if not title:
            raise ValueError("a C-MOVE needs a destination")
        asked = _Asked("move", model, level, keys, more, message_id, priority)
        return self._query(asked, destination=title)

    def get(
        self,
        level: str | Dataset | None = "STUDY",
        keys: Keys | None = None,
        /,
        *,
        directory: str | os.PathLike[str],
        model: str = "study-root",
        message_id: int | None = None,
        priority: str = "medium",
        **more: Any,
    ) -> Responses:
        """Fetch objects over this association (C-GET) into files, and return the peer's answers.

        Only objects of SOP classes that the peer may send (`AnsweredContext.as_scp`) come.  They
        are received while the answers are looked at; ``.result()`` waits for the end.

        Parameters
        ----------
        level, keys, model, message_id, priority, more
            As for `move`.
        directory
            Where the files go; it has to exist.  They are named by their SOP Instance UID with
            DCMTK's prefix, hold every byte as it was sent, and appear whole or not at all.

        Returns
        -------
        Responses
            Pairs of status and data set; statuses count sub-operations.  One response for each
            object need not come out: those of a quarter of a second come together.

        Raises
        ------
        OSError
            `directory` cannot be used; nothing was sent.
        ValueError, ContextNotAccepted, NetworkError
            As for `find`.
        """
        return self._get(_Asked("get", model, level, keys, more, message_id, priority), directory)

    def _get(self, asked: _Asked, directory: str | os.PathLike[str], **how: str) -> Responses:
        """Send a C-GET whose objects go to a directory; `how` is what `storing` takes."""
        settings = storing(
            directory,
            ae_title=self.ae_title,
            dimse_timeout_s=self.dimse_timeout_s,
            socket_timeout_s=self.socket_timeout_s,
            **how,
        )
        objects = _rust.ObjectStore(**scp.plan(settings))
        return self._query(asked, objects=objects)

    def fetch(
        self,
        level: str | Dataset | None = "STUDY",
        keys: Keys | None = None,
        /,
        *,
        model: str = "study-root",
        message_id: int | None = None,
        priority: str = "medium",
        temporary_directory: str | os.PathLike[str] | None = None,
        **more: Any,
    ) -> Objects:
        """Fetch objects over this association (C-GET), and return them as they come.

        The program has one data set in its hands at a time, and the peer is not read while nobody
        asks for the next one.  What a quarter of a second brought waits in files, not in memory.

        Parameters
        ----------
        level, keys, model, message_id, priority, more
            As for `get`.
        temporary_directory
            Where a directory for these files is made, which is gone in the end; None is the
            system's.

        Returns
        -------
        Objects
            An iterator over data sets, in the order in which they came; its `as_bytes` gives them
            as the bytes of DICOM files.

        Raises
        ------
        OSError
            The temporary directory cannot be made; nothing was sent.
        ValueError, ContextNotAccepted, NetworkError
            As for `find`.
        """
        asked = _Asked("get", model, level, keys, more, message_id, priority)
        directory = tempfile.mkdtemp(prefix="dcmfast-", dir=temporary_directory)
        try:
            # By the time, to the microsecond and then counted: that is the order of the objects.
            responses = self._get(asked, directory, naming="system-time")
        except BaseException:
            Path(directory).rmdir()
            raise
        return Objects(responses, directory)

    def send_c_find(
        self, dataset: Dataset, query_model: str, msg_id: int | None = None, priority: int = 0
    ) -> Responses:
        """Ask what the peer has: `find` with pynetdicom's arguments."""
        return self.find(dataset, model=query_model, message_id=msg_id, priority=_name_of(priority))

    def send_c_move(
        self,
        dataset: Dataset,
        move_aet: str,
        query_model: str,
        msg_id: int | None = None,
        priority: int = 0,
    ) -> Responses:
        """Have the peer send objects: `move` with pynetdicom's arguments."""
        return self.move(
            dataset,
            destination=move_aet,
            model=query_model,
            message_id=msg_id,
            priority=_name_of(priority),
        )

    def send_c_get(
        self,
        dataset: Dataset,
        query_model: str,
        msg_id: int | None = None,
        priority: int = 0,
        *,
        directory: str | os.PathLike[str],
    ) -> Responses:
        """Fetch objects: `get` with pynetdicom's arguments, and the folder where they go."""
        return self.get(
            dataset,
            directory=directory,
            model=query_model,
            message_id=msg_id,
            priority=_name_of(priority),
        )

    def send_c_cancel(self) -> None:
        """Cancel the request whose responses are under way; they go on up to a final one.

        Raises
        ------
        LocalProtocolError
            There is none.
        """
        responses = self._responses()
        if responses is None:
            raise LocalProtocolError("no request is under way that could be cancelled")
        responses.cancel()

    def _query(
        self,
        asked: _Asked,
        *,
        destination: str | None = None,
        objects: _rust.ObjectStore | None = None,
    ) -> Responses:
        """Send a request, and return what its responses come out of."""
        context = context_of.accepted(self.contexts, asked.sop_class)
        syntax = context.transfer_syntax[0]
        data = messages.encode(asked.identifier, syntax)

        def send(link: _rust.Association) -> None:
            number = context.context_id
            if objects is not None:
                link.get(number, data, objects, (self.ae_title, self.called_ae_title))
            else:
                link.query(asked.service, number, data, destination=destination)

        with self._lock:
            self._done(send, asked.manner)
            responses = Responses(self, asked.service, syntax)
            self._begun = weakref.ref(responses)
            self._objects = objects
            return responses

    # ---- For Responses

    def _objects_so_far(self, what: str) -> int:
        """Return what came of the C-GET that is under way: objects ``stored``, or ``bytes``."""
        return 0 if self._objects is None else self._objects.counters()[what]

    def _responses(self) -> Responses | None:
        """Return the responses that are under way."""
        return None if self._begun is None else self._begun()

    def _next_responses(self) -> list[_rust.QueryResponse]:
        """Wait for the next responses."""
        with self._lock:
            return self._guarded(
                lambda link: link.get_responses() if self._objects is not None else link.responses()
            )

    def _ended(self, responses: Responses) -> None:
        """Note that the final response came out."""
        if self._responses() is responses:
            self._begun = None

    def _cancel(self, responses: Responses) -> None:
        with self._lock:
            if self._responses() is responses and self._link is not None:
                self._guarded(lambda link: link.cancel())

    def _close(self, responses: Responses) -> None:
        """Cancel and read up to the final response, or abort if that takes too long."""
        with self._lock:
            # Called by __del__, too, when no weak reference leads to it any more.
            if self._begun is None or self._begun() not in (responses, None):
                return
            if self._link is None:
                self._begun = None
                return
            try:
                self._guarded(lambda link: link.cancel())
                self._drain()
            finally:
                self._begun = None

    def _drain(self) -> None:
        given = (self.acse_timeout_s, self.dimse_timeout_s)
        # Without either nobody waits for ever for what was ended here.
        seconds = min((one for one in given if one is not None), default=_DRAIN_S)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            last = self._guarded(
                lambda link: link.get_responses() if self._objects is not None else link.responses()
            )[-1:]
            if last and last[0].status not in (0xFF00, 0xFF01):
                return
        self.abort()

    # ---- Calls of the engine

    def _established(self) -> _rust.Association:
        link = self._link
        if link is None and self._is_aborted:
            raise AssociationAborted("the association was aborted, or is lost")
        if link is None:
            raise LocalProtocolError("the association has ended")
        return link

    def _done(self, work: Callable[[_rust.Association], Result], manner: Manner) -> Result:
        """Do a request's work, unless another one is under way."""
        with self._lock:
            under_way = self._responses()
            if under_way is not None:
                under_way._fetch_rest()
            link = self._established()
            number, priority, originator = manner

            def done(link: _rust.Association) -> Result:
                link.set_manner(message_id=number, priority=priority, move_originator=originator)
                return work(link)

            try:
                return self._guarded(done)
            except KeyboardInterrupt:
                # The answer would be taken for that to the next request.
                self._lost(link)
                raise

    def _guarded(self, work: Callable[[_rust.Association], Result]) -> Result:
        """Do work on the open association, with errors in dcmfast's classes."""
        link = self._established()
        try:
            return work(link)
        except _rust.AssociationError as error:
            if self._link is None:
                raise AssociationAborted("aborted by this side") from None
            failure = link_of.translated(error)
            if not isinstance(failure, LocalProtocolError):
                self._lost(link)
            raise failure from None
        except KeyboardInterrupt:
            if self._link is None:
                raise AssociationAborted("aborted by this side") from None
            raise
        except RuntimeError as error:
            if self._link is None:
                raise AssociationAborted("aborted by this side") from None
            self._lost(link)
            raise LocalProtocolError(str(error)) from None
        except OSError:
            # The file failed in the middle of its message, which cannot be taken back.
            self._lost(link)
            raise

    def _lost(self, link: _rust.Association) -> None:
        self._link = None
        self._is_aborted = True
        with contextlib.suppress(RuntimeError):
            link.abort()


class _Asked:
    """What the caller of a C-FIND, C-MOVE or C-GET asks for, checked before anything is sent."""

    def __init__(
        self,
        service: str,
        model: str,
        level: str | Dataset | None,
        keys: Keys | None,
        more: Mapping[str, Any],
        message_id: int | None,
        priority: str,
    ) -> None:
        self.service = service
        self.sop_class = context_of.query_sop_class(model, service)
        self.identifier = _identifier(level, keys, more)
        self.manner = _manner(message_id, _priority(priority))


def _priority(name: str) -> int:
    """Return the number of a priority (PS3.7 Annex E)."""
    if name not in _PRIORITIES:
        raise ValueError(f"no priority {name!r}; there are {', '.join(_PRIORITIES)}")
    return _PRIORITIES.index(name)


def _name_of(priority: int) -> str:
    """Return the name of a priority that is given as pynetdicom does."""
    return _PRIORITIES[_manner(None, priority)[1]]


def _manner(
    message_id: int | None,
    priority: int = 0,
    originator: str | None = None,
    originator_id: int | None = None,
) -> Manner:
    """Return how a request differs from the usual, checked before anything is sent."""
    for what, number in (("a message ID", message_id), ("an originator's ID", originator_id)):
        if number is not None and not 0 <= number <= 0xFFFF:
            raise ValueError(f"{what} is a number from 0 to 65535, not {number}")
    if priority not in range(len(_PRIORITIES)):
        raise ValueError(f"a priority is 0 (medium), 1 (high) or 2 (low), not {priority}")
    title = None
    if originator is not None or originator_id is not None:
        if not originator or originator_id is None:
            raise ValueError("a C-MOVE that a C-STORE belongs to has a title and a message ID")
        title = (str(AETitle(originator)), originator_id)
    return message_id, priority, title


def _identifier(level: str | Dataset | None, keys: Keys | None, more: Mapping[str, Any]) -> Dataset:
    if isinstance(level, Dataset):
        if keys is not None:
            raise ValueError("an identifier and keys: one of them is enough")
        return messages.identifier(None, level, more)
    return messages.identifier(level, keys, more)


def _transfer_syntaxes(data_set: Dataset) -> tuple[str, ...]:
    """Return the transfer syntaxes in which a data set in memory can go, the likeliest first."""
    meta = getattr(data_set, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "")) if meta is not None else ""
    if not syntax:
        is_implicit, is_little_endian = data_set.original_encoding
        if is_little_endian is False:
            return (CONVERTIBLE_TRANSFER_SYNTAXES[2],)
        syntax = _LITTLE_ENDIAN[0] if is_implicit else _LITTLE_ENDIAN[1]
    return _alike(syntax)


def _alike(syntax: str) -> tuple[str, ...]:
    """Return a transfer syntax and those that differ from it by headers alone (PS3.5 Annex A)."""
    if syntax in (*_LITTLE_ENDIAN, CONVERTIBLE_TRANSFER_SYNTAXES[3]):
        return (syntax, *(one for one in _LITTLE_ENDIAN[::-1] if one != syntax))
    return (syntax,)
