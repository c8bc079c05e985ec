"""A process for each association (``--fork``), or one association alone (``--inetd``).

The parent of ``--fork`` accepts, forks, and never starts a thread: a child begins with everything
that was opened and compiled, closes the port, and serves its one connection as a server without
``--fork`` does.  Whatever ends a child, the others and the parent go on.  Crossing into Python once
for an association is what a process costs anyway.

Stopping: the parent passes SIGTERM and SIGINT on as `FINISH`, which a child takes as the first of
them however often it comes; so that a supervisor that signals all processes itself does no harm.
"""

from __future__ import annotations

import os
import signal

from dcmfast.limits import LIMITS
from dcmfast.net.scp import StoppedBySignals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from dcmfast._rust import Receiver
    from dcmfast.observe.logs import Log

#: Tells a child to finish what is in hand.
FINISH = signal.SIGUSR1
#: Connections without an association, a process each; the oldest makes room for a later one.
PENDING_MAX = LIMITS["PENDING_CONNECTIONS_MAX"]


def places(associations_max: int) -> int:
    """Return how many processes there may be: one for each association, and those before it."""
    return associations_max + PENDING_MAX


class Children(StoppedBySignals):
    """The processes of one receiver, from its start to its end."""

    _receiver: Receiver

    def __init__(self, receiver: Receiver, log: Log, *, processes: int) -> None:
        super().__init__(receiver)
        self._log = log
        #: Process → place, the oldest first; 0 is the place of the one that clears up.
        self._places: dict[int, int] = {}
        self._free = list(range(processes, 0, -1))
        self._parent = os.getpid()
        #: Somebody died, at first whoever was here before us.
        self._is_cleared = False

    def run(self) -> None:
        """Accept and fork until a stop was asked for; then wait for the children."""
        signal.signal(FINISH, self._finish)
        while not self._receiver.is_stopping:
            self._clear_up()
            if self._receiver.accept():
                self._reap()
                self._make_room()
                if self._free and not self._receiver.is_stopping:
                    self._fork(self._free.pop())
                self._receiver.forget_accepted()
            else:
                self._reap()
        self._receiver.stop_listening()
        for process, place in self._places.items():
            # What is cleared up is not worth waiting for; the next start does the rest.
            os.kill(process, FINISH if place else signal.SIGKILL)
        # Each child keeps its own deadline, so this ends.
        while self._places:
            self._ended(*os.waitpid(-1, 0))

    def _fork(self, place: int) -> None:
        self._receiver.clear_place(place)
        try:
            process = os.fork()
        except OSError as error:
            if place:
                self._free.append(place)
            text = f"cannot start a process, refusing a connection: {error.strerror}"
            self._log.line("E", text, logger="dcmfast.server")
            return
        if not process:
            self._serve(place)
        self._places[process] = place

    def _serve(self, place: int) -> NoReturn:
        """Be a child: one connection, or clearing up, then the end."""
        code = 1
        try:
            if place:
                self._receiver.serve_accepted(place)
            else:
                self._receiver.clear_stale_parts()
            code = 0
        finally:
            # Nothing of the parent's is undone here.
            os._exit(code)

    def _clear_up(self) -> None:
        """Have removed what the dead left in the output directory, by one process at a time."""
        if not self._is_cleared and 0 not in self._places.values():
            self._is_cleared = True
            self._fork(0)

    def _make_room(self) -> None:
        """End the oldest process without an association if there are too many of them."""
        if len(self._places) < PENDING_MAX:
            return
        pending = [
            process
            for process, place in self._places.items()
            if place and not self._receiver.is_associated(place)
        ]
        if len(pending) < PENDING_MAX and self._free:
            return
        for process in pending:
            if self._receiver.evict(self._places[process]):
                # It has said nothing yet, and stored nothing.
                os.kill(process, signal.SIGKILL)
                self._ended(*os.waitpid(process, 0), is_told=False)
                return

    def _reap(self) -> None:
        while self._places:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            self._ended(process, status)

    def _ended(self, process: int, status: int, *, is_told: bool = True) -> None:
        place = self._places.pop(process, 0)
        if place:
            self._receiver.clear_place(place)
            self._free.append(place)
        code = os.waitstatus_to_exitcode(status)
        if is_told and place and code:
            self._is_cleared = False
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            text = f"the process of an association ended by {how} (pid: {process}); others go on"
            self._log.line("E", text, logger="dcmfast.server")

    def _finish(self, _number: int, _frame: object) -> None:
        if os.getpid() != self._parent and not self._receiver.is_stopping:
            self._receiver.stop()

    def _end_now(self) -> None:
        if os.getpid() == self._parent:
            for process in self._places:
                os.kill(process, signal.SIGKILL)


def serve_given(receiver: Receiver) -> None:
    """Serve the association on standard input."""
    # The engine has a descriptor of its own; nobody else may take the association for input.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    with StoppedBySignals(receiver):
        receiver.serve_accepted(0)
