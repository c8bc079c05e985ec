"""A server that says exactly what a test wants, for clients under test.

`ScriptedServer` accepts one connection after the other and plays a script on each, in a thread;
what a script asserts fails the test when the server is closed.  Every wait has a deadline.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from testkit import pdu
from testkit.peer import ANSWER_S, ScriptedPeer

Script = Callable[["Conversation"], None]

#: Elements of a response, PS3.7 Annex E.
REMAINING, COMPLETED, FAILED, WARNED = 0x1020, 0x1021, 0x1022, 0x1023
ERROR_COMMENT, DESTINATION = 0x0902, 0x0600


@dataclass
class Message:
    """A request as it came."""

    context_id: int
    command: dict[int, bytes]
    data: bytes | None

    @property
    def message_id(self) -> int:
        """Its message ID."""
        return pdu.value_us(self.command, pdu.MESSAGE_ID)


@dataclass
class Proposed:
    """What an A-ASSOCIATE-RQ asks for."""

    called: bytes
    calling: bytes
    #: Context ID → abstract syntax, transfer syntaxes.
    contexts: dict[int, tuple[str, list[str]]] = field(default_factory=dict)
    #: SOP class → SCU and SCP role.
    roles: dict[str, tuple[int, int]] = field(default_factory=dict)


class ClientLeftError(ConnectionError):
    """The client has closed before a script was at its end: why, its own words and code tell."""


class Conversation(ScriptedPeer):
    """One connection, seen from the server."""

    def __init__(self, opened: socket.socket) -> None:
        opened.settimeout(ANSWER_S)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = opened
        self.ac = None
        self.proposed = Proposed(b"", b"")

    def send(self, *data: bytes) -> None:
        """Send bytes; `ClientLeftError` where nobody takes them any more."""
        try:
            super().send(*data)
        except ConnectionError as error:
            raise ClientLeftError(*error.args) from error

    def expect_associate_rq(self) -> Proposed:
        """Receive an A-ASSOCIATE-RQ."""
        _, body = self.expect_pdu(pdu.ASSOCIATE_RQ)
        found = Proposed(body[4:20].strip(), body[20:36].strip())
        for item_type, value in pdu.read_items(body[68:]):
            if item_type == 0x20:
                items = pdu.read_items(value[4:])
                abstract = next(uid for kind, uid in items if kind == 0x30)
                syntaxes = [_uid(uid) for kind, uid in items if kind == 0x40]
                found.contexts[value[0]] = (_uid(abstract), syntaxes)
            elif item_type == 0x50:
                for kind, sub in pdu.read_items(value):
                    if kind == 0x54:
                        length = int.from_bytes(sub[:2], "big")
                        found.roles[_uid(sub[2 : 2 + length])] = (sub[-2], sub[-1])
        self.proposed = found
        return found

    def accept(
        self,
        *,
        accepts: Callable[[str], bool] = lambda _uid: True,
        transfer_syntax: str | None = None,
        max_pdu: int = 16384,
        extra: bytes = b"",
    ) -> Proposed:
        """Answer a request: contexts by abstract syntax, each with its first transfer syntax."""
        found = self.expect_associate_rq()
        items = pdu.item(0x10, pdu.APPLICATION_CONTEXT)
        for context_id, (abstract, syntaxes) in found.contexts.items():
            result = 0 if accepts(abstract) else 3
            syntax = pdu.item(0x40, pdu.text(transfer_syntax or syntaxes[0]))
            items += pdu.item(0x21, bytes([context_id, 0, result, 0]) + syntax)
        items += pdu.user_information(max_pdu=max_pdu, extra=extra)
        body = pdu.associate_body(items, called=found.called, calling=found.calling)
        self.send(pdu.pdu(pdu.ASSOCIATE_AC, body))
        return found

    def expect_request(self) -> Message:
        """Receive a command, with its data set if it announces one."""
        command, data = bytearray(), bytearray()
        has_command = False
        while True:
            _, body = self.expect_pdu(pdu.P_DATA_TF)
            while body:
                length = int.from_bytes(body[:4], "big")
                context_id, control, fragment = body[4], body[5], body[6 : 4 + length]
                body = body[4 + length :]
                (command if control & 1 else data).extend(fragment)
                if not control & 2:
                    continue
                if control & 1:
                    has_command = True
                read = pdu.read_command(bytes(command))
                if not control & 1 or pdu.value_us(read, pdu.DATA_SET_TYPE) == 0x0101:
                    assert has_command
                    return Message(context_id, read, None if control & 1 else bytes(data))

    def respond(
        self,
        request: Message,
        status: int,
        *,
        data: bytes | None = None,
        announces: bool | None = None,
        message_id: int | None = None,
        command_field: int | None = None,
        counts: Sequence[int | None] = (),
        comment: bytes = b"",
    ) -> None:
        """Send one response; every field can lie."""
        field_value = pdu.value_us(request.command, pdu.COMMAND_FIELD) | 0x8000
        has_data = data is not None if announces is None else announces
        elements = [
            (pdu.COMMAND_FIELD, pdu.us(command_field or field_value)),
            (pdu.RESPONDED_ID, pdu.us(request.message_id if message_id is None else message_id)),
            (pdu.DATA_SET_TYPE, pdu.us(0x0001 if has_data else 0x0101)),
            (pdu.STATUS, pdu.us(status)),
        ]
        if comment:
            elements.append((ERROR_COMMENT, comment + b" " * (len(comment) % 2)))
        for number, count in zip((REMAINING, COMPLETED, FAILED, WARNED), counts, strict=False):
            if count is not None:
                elements.append((number, pdu.us(count)))
        pdvs = [pdu.pdv(request.context_id, pdu.command_set(elements), command=True)]
        if data is not None:
            pdvs.append(pdu.pdv(request.context_id, data, command=False))
        self.send(*(pdu.p_data(pdv) for pdv in pdvs))

    def expect_release(self) -> None:
        """Receive A-RELEASE-RQ, answer it, and see the connection end."""
        self.expect_pdu(pdu.RELEASE_RQ)
        self.send(pdu.pdu(pdu.RELEASE_RP, bytes(4)))
        self.expect_closed(reset_allowed=True)


def _uid(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("ascii")


class ScriptedServer:
    """Listens on a port of the kernel's choice and plays one script a connection.

    In order, each connection after the one before it; or as they come, with `at_once`.
    """

    def __init__(self, *scripts: Script, at_once: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(ANSWER_S)
        self.port: int = self._listener.getsockname()[1]
        self._fault: BaseException | None = None
        serve = self._serve_at_once if at_once else self._serve
        self._thread = threading.Thread(target=serve, args=(scripts,), daemon=True)
        self._thread.start()

    def _serve(self, scripts: Sequence[Script]) -> None:
        try:
            for script in scripts:
                opened, _ = self._listener.accept()
                with Conversation(opened) as conversation, suppress(ClientLeftError):
                    script(conversation)
        except BaseException as fault:  # whatever it is, the test has to hear of it
            self._fault = fault

    def _serve_at_once(self, scripts: Sequence[Script]) -> None:
        threads = []
        for script in scripts:
            # Each takes the next connection that comes.
            threads.append(threading.Thread(target=self._serve, args=([script],), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join(ANSWER_S)
        self._listener.close()
        if error is None:
            assert not self._thread.is_alive(), "the script did not come to its end"
            if self._fault is not None:
                raise self._fault


def uid_list(tag: tuple[int, int], *uids: str) -> bytes:
    """An element of UIDs in Explicit VR Little Endian."""
    value = "\\".join(uids).encode()
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", *tag, b"UI", len(value)) + value
