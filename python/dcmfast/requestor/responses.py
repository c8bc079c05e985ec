"""What a peer answers: statuses, and the responses of a C-FIND, C-MOVE or C-GET as they come.

Source: PS3.7 §9.1.2 to §9.1.4 and Annex C, PS3.4 Annex C.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from dcmfast import _rust
from dcmfast.dataset import messages
from dcmfast.errors import DimseError, LocalProtocolError, RemoteProtocolError
from dcmfast.limits import FETCHED_AHEAD_BYTES_MAX
from dcmfast.net.query import Patience
from dcmfast.types import Forgettable, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom.dataset import Dataset

    from dcmfast.requestor.association import Association

_CANCELLED, _PENDING = 0xFE00, (0xFF00, 0xFF01)
#: What a response takes in memory beside its identifier, about.
_RESPONSE_BYTES = 200
#: Keywords of PS3.7 Annex E → fields of `Status`.
_KEYWORDS = {
    "Status": "code",
    "ErrorComment": "comment",
    "NumberOfRemainingSuboperations": "remaining",
    "NumberOfCompletedSuboperations": "completed",
    "NumberOfFailedSuboperations": "failed",
    "NumberOfWarningSuboperations": "warning",
}


class Status(Record):
    """The status of a response, with what comes beside it.

    It is equal to its number.  It has the standard's keywords (`Status`, `ErrorComment`,
    `NumberOfCompletedSuboperations`, …) as well, as the status data sets of pynetdicom do.
    """

    #: The number, PS3.7 Annex C.
    code: int
    #: ``echo``, ``store``, ``find``, ``move`` or ``get``: what the number means depends on it.
    service: str
    #: Error Comment (0000,0902), escaped; empty without one.
    comment: str = ""
    #: Sub-operations of a C-MOVE or C-GET; None for what the peer did not say.
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None

    @property
    def category(self) -> str:
        """``success``, ``warning``, ``failure``, ``cancel`` or ``pending`` (PS3.7 §C.1 to §C.5)."""
        code = self.code
        if code == 0:
            return "success"
        if code in (0xFF00, 0xFF01):
            return "pending"
        if code == _CANCELLED:
            return "cancel"
        is_warning = code >> 12 == 0xB or code in (0x0001, 0x0107, 0x0116)
        return "warning" if is_warning else "failure"

    @property
    def words(self) -> str:
        """The status in words."""
        return _rust.status_text(self.service, self.code)

    def __getattr__(self, name: str) -> Any:
        """Return a field by the standard's keyword, as a status data set of pynetdicom's has it."""
        field = _KEYWORDS.get(name)
        if field is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, field)

    def raise_for_failure(self) -> None:
        """Raise `DimseError` if this is a failure."""
        if self.category == "failure":
            text = f"{self.words} (0x{self.code:04X})"
            if self.comment:
                text += f": {self.comment}"
            raise DimseError(text, status=self.code)

    def __int__(self) -> int:
        return self.code

    def __repr__(self) -> str:
        return f"<Status 0x{self.code:04X} {self.words}>"

    def __bool__(self) -> bool:
        """Return True, success or not: there is an answer."""
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self.code == other
        return super().__eq__(other)

    def __hash__(self) -> int:
        return hash(self.code)


class Responses(Forgettable):
    """The responses to one request, one after the other as they come: ``(status, data set)``.

    The request is on its way when this object exists.  Memory is bounded by what comes at once: the
    peer is not read while nobody asks for the next response.  Those of a C-FIND that are left are
    fetched, up to 64 MiB of them, when the program makes another request meanwhile, so that a loop
    over studies may fetch each.  Ended early, by `close`, by ``with``
    or by being forgotten, it sends a C-CANCEL and reads up to the final response, so that the
    association can be used on; a peer that does not end then within the association's
    `acse_timeout_s`, or `dimse_timeout_s` where that is less, costs the association.

    The final response comes out, too; afterwards `final` is its status.
    """

    def __init__(self, association: Association, service: str, transfer_syntax: str) -> None:
        self._association = association
        self._service = service
        self._transfer_syntax = transfer_syntax
        self._waiting: deque[_rust.QueryResponse] = deque()
        self._patience = Patience(association, is_find=service == "find")
        #: The final status, once it is there.
        self.final: Status | None = None
        #: SOP Instance UIDs of the sub-operations that failed, once the final response is there.
        self.failed_sop_instance_uids: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[Status, Dataset | None]]:
        return self

    def __next__(self) -> tuple[Status, Dataset | None]:
        """Wait for the next response.

        Raises
        ------
        StopIteration
            The final one was returned before.
        NetworkError
            The association was lost.
        """
        while not self._waiting:
            if self.final is not None or self._association._responses() is not self:
                raise StopIteration
            self._fetch()
        return self._taken(self._waiting.popleft())

    def _take_portion(self) -> None:
        """Take what the next portion brings, for who wants objects and not responses."""
        if self.final is None:
            if self._association._responses() is not self:
                raise LocalProtocolError("closed before the final response")
            self._fetch()
            while self._waiting:
                self._taken(self._waiting.popleft())

    def _fetch(self) -> int:
        """Wait for the next responses; return what they take in memory, about.

        Of a C-GET there may be none, when objects came.
        """
        came = self._association._next_responses()
        self._waiting.extend(came)
        if not came:
            self._given_up_if(
                lambda: self._patience.waited(self._association._objects_so_far("bytes"))
            )
        for response in came:
            if response.status in _PENDING:
                self._check(response)
            else:
                # Nothing more comes: another request may be made, whoever looks at these when.
                self._association._ended(self)
        return sum(len(one.identifier or b"") + _RESPONSE_BYTES for one in came)

    def _check(self, response: _rust.QueryResponse) -> None:
        """Give a peer up that answers without end."""
        news: object = response.identifier
        if self._service != "find":
            news = (response.sub_operations, self._association._objects_so_far("stored"))
        self._given_up_if(lambda: self._patience.came(news))

    def _given_up_if(self, check: Callable[[], None]) -> None:
        try:
            check()
        except RemoteProtocolError:
            self._association.abort()
            raise

    def _fetch_rest(self) -> None:
        """Make room for another request: keep in memory what is left of a C-FIND.

        Raises
        ------
        LocalProtocolError
            It is no C-FIND, or its rest is too long to be kept.
        """
        kept = 0
        while self._association._responses() is self:
            if self._service != "find" or kept > FETCHED_AHEAD_BYTES_MAX:
                raise LocalProtocolError(
                    "the responses to another request are not read to their end, and cannot be "
                    "kept meanwhile; close them first"
                )
            kept += self._fetch()

    def _taken(self, response: _rust.QueryResponse) -> tuple[Status, Dataset | None]:
        counts = response.sub_operations or (None, None, None, None)
        status = Status(
            code=response.status,
            service=self._service,
            comment=response.error_comment,
            remaining=counts[0],
            completed=counts[1],
            failed=counts[2],
            warning=counts[3],
        )
        data = response.identifier
        if status.category != "pending":
            self.final = status
            self._association._ended(self)
            if data:
                uids = _rust.failed_uids(data, self._transfer_syntax)
                self.failed_sop_instance_uids = tuple(uids)
        if not data:
            return status, None
        try:
            return status, messages.decode(data, self._transfer_syntax)
        except ValueError as error:
            self._association.abort()
            raise RemoteProtocolError(f"a response that is no data set: {error}") from None

    def data_sets(self) -> Iterator[Dataset]:
        """Return an iterator over the data sets of pending responses alone.

        Raises
        ------
        DimseError
            The final status is a failure.
        """
        for status, data_set in self:
            if status.category == "pending" and data_set is not None:
                yield data_set
        self.result()

    def result(self) -> Status:
        """Wait for the end, and return the final status: success, a warning, or cancelled.

        Raises
        ------
        DimseError
            It is a failure.
        NetworkError
            The association was lost before it came.
        """
        for _ in self:
            pass
        if self.final is None:
            raise LocalProtocolError("closed before the final response")
        self.final.raise_for_failure()
        return self.final

    def cancel(self) -> None:
        """Send a C-CANCEL; responses go on up to a final one, which need not be a cancelled one."""
        if self.final is None:
            self._association._cancel(self)

    def close(self) -> None:
        """End it: a C-CANCEL if the final response is not there yet, and what comes up to it."""
        self._waiting.clear()
        if self.final is None:
            self._association._close(self)
