"""A peer that says exactly what a test wants, and states what must come back.

Every wait has a deadline, so that a server which hangs fails its test instead of hanging it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Collection, Sequence
from types import TracebackType

from testkit import pdu

#: Longest wait for an answer, in seconds. Answers take milliseconds; two shared cores are slow.
ANSWER_S = 10.0


def _is_one_of(status: int, allowed: Collection[int | range]) -> bool:
    return any(status in one if isinstance(one, range) else status == one for one in allowed)


class ScriptedPeer:
    """One transport connection to a receiver, driven byte by byte."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", answer_s: float = ANSWER_S) -> None:
        self.socket = socket.create_connection((host, port), timeout=answer_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ac: pdu.AssociateAc | None = None

    def __enter__(self) -> ScriptedPeer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    # -- bytes ---------------------------------------------------------------------------------

    def send(self, *data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(b"".join(data))

    def send_tolerant(self, *data: bytes) -> None:
        """Send bytes to a peer that may have given up in the meantime."""
        with contextlib.suppress(ConnectionError):
            self.send(*data)

    def half_close(self) -> None:
        """Say that no more bytes will come, and keep listening."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def receive_exactly(self, count: int) -> bytes:
        """Receive `count` bytes; an end before that is an AssertionError."""
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, f"closed after {len(data)} of {count} bytes: {bytes(data)!r}"
            data += piece
        return bytes(data)

    # -- expectations --------------------------------------------------------------------------

    def expect_pdu(self, pdu_type: int | None = None) -> tuple[int, bytes]:
        """Receive one PDU, of `pdu_type` when given: its type and body."""
        header = self.receive_exactly(6)
        found, length = header[0], int.from_bytes(header[2:], "big")
        assert length <= 1 << 20, f"no PDU: {header!r}"
        body = self.receive_exactly(length)
        if pdu_type is not None:
            assert found == pdu_type, f"wanted PDU type {pdu_type}, got {found}: {body[:64]!r}"
        return found, body

    def expect_associate_ac(self) -> pdu.AssociateAc:
        """Receive an A-ASSOCIATE-AC."""
        _, body = self.expect_pdu(pdu.ASSOCIATE_AC)
        self.ac = pdu.read_associate_ac(body)
        return self.ac

    def expect_reject(self, result: int, source: int, reason: int) -> None:
        """Receive an A-ASSOCIATE-RJ with these values, then the end of the connection."""
        _, body = self.expect_pdu(pdu.ASSOCIATE_RJ)
        assert tuple(body[1:]) == (result, source, reason)
        self.expect_closed()

    def expect_abort(self, *allowed: tuple[int, int]) -> tuple[int, int]:
        """Receive an A-ABORT of one of the (source, reason) pairs, then a clean end."""
        _, body = self.expect_pdu(pdu.ABORT)
        assert len(body) == 4
        found = (body[2], body[3])
        assert not allowed or found in allowed, f"A-ABORT {found}, wanted one of {allowed}"
        self.expect_closed()
        return found

    def expect_closed(self, *, reset_allowed: bool = False, within_s: float | None = None) -> None:
        """Wait for the peer's end of stream, then close as a good peer does.

        RST is an end too where the test says so.
        """
        if within_s is not None:
            self.socket.settimeout(within_s)
        try:
            rest = self.socket.recv(4096)
        except ConnectionResetError:
            assert reset_allowed, "connection reset: the peer may have missed the last answer"
            return
        assert rest == b"", f"more bytes where the end was due: {rest[:64]!r}"
        self.socket.close()

    def drain(self, *, within_s: float = ANSWER_S) -> bytes:
        """Everything that still comes until the end of the connection, which is then closed."""
        data = bytearray()
        deadline = time.monotonic() + within_s
        with contextlib.suppress(ConnectionResetError):
            while True:
                self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                piece = self.socket.recv(65536)
                if not piece:
                    break
                data += piece
        self.socket.close()
        return bytes(data)

    def expect_message(self) -> dict[int, bytes]:
        """Receive one command set without a data set."""
        command = bytearray()
        while True:
            _, body = self.expect_pdu(pdu.P_DATA_TF)
            while body:
                length = int.from_bytes(body[:4], "big")
                control, fragment = body[5], body[6 : 4 + length]
                assert control & 1, "a data set where a command was due"
                command += fragment
                body = body[4 + length :]
                if control & 2:
                    assert not body
                    return pdu.read_command(bytes(command))

    def expect_status(self, *allowed: int | range) -> int:
        """Receive a response with one of these statuses."""
        status = pdu.value_us(self.expect_message(), pdu.STATUS)
        assert _is_one_of(status, allowed), f"status {status:04X}H"
        return status

    def expect_refusal(
        self, aborts: Collection[tuple[int, int]] = (), statuses: Collection[int | range] = ()
    ) -> int | None:
        """Receive either an A-ABORT or a failure status of those allowed; the status or None."""
        found, body = self.expect_pdu()
        if found == pdu.ABORT:
            assert (body[2], body[3]) in aborts, f"A-ABORT {tuple(body[2:])}"
            self.expect_closed()
            return None
        assert found == pdu.P_DATA_TF, f"PDU type {found}"
        status = pdu.value_us(pdu.read_command(body[6:]), pdu.STATUS)
        assert any(
            status in one if isinstance(one, range) else status == one for one in statuses
        ), f"status {status:04X}H"
        return status

    # -- whole steps ---------------------------------------------------------------------------

    def associate(
        self, contexts: Sequence[pdu.Context] = pdu.CONTEXTS, **changes: object
    ) -> pdu.AssociateAc:
        """Open an association."""
        self.send(pdu.associate_rq(contexts, **changes))  # type: ignore[arg-type]
        return self.expect_associate_ac()

    def echo(self, context_id: int = 1, message_id: int = 7) -> None:
        """One C-ECHO, which must succeed."""
        self.send(pdu.p_data(pdu.pdv(context_id, pdu.c_echo_rq(message_id), command=True)))
        response = self.expect_message()
        assert pdu.value_us(response, pdu.COMMAND_FIELD) == 0x8030
        assert pdu.value_us(response, pdu.RESPONDED_ID) == message_id
        assert pdu.value_us(response, pdu.STATUS) == 0

    def send_store(
        self,
        context_id: int,
        sop_class: str | bytes,
        sop_instance: str | bytes,
        data: bytes,
        *,
        message_id: int = 1,
    ) -> None:
        """Send one C-STORE-RQ with its data set."""
        command = pdu.c_store_rq(sop_class, sop_instance, message_id)
        self.send_tolerant(
            pdu.p_data(pdu.pdv(context_id, command, command=True)), *pdu.fragments(context_id, data)
        )

    def store(
        self,
        context_id: int,
        sop_class: str | bytes,
        sop_instance: str | bytes,
        data: bytes,
        *,
        message_id: int = 1,
    ) -> int:
        """Store one object and return the status."""
        self.send_store(context_id, sop_class, sop_instance, data, message_id=message_id)
        response = self.expect_message()
        assert pdu.value_us(response, pdu.COMMAND_FIELD) == 0x8001
        assert pdu.value_us(response, pdu.RESPONDED_ID) == message_id
        assert response[pdu.SOP_CLASS] == pdu.ui(sop_class)
        return pdu.value_us(response, pdu.STATUS)

    def release(self) -> None:
        """Release the association and see the connection end."""
        self.send(pdu.release_rq())
        self.expect_pdu(pdu.RELEASE_RP)
        self.half_close()
        self.expect_closed()
