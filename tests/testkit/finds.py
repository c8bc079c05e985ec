"""C-FIND as tests speak it: identifiers, questions, answers, and an archive to ask.

Bytes are built and read by hand, as in ``testkit.pdu``, so that keys can say what no good program
says.
"""

from __future__ import annotations

import select
import struct
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testkit import pdu, process
from testkit.peer import ScriptedPeer
from vectors.make import BIG_ENDIAN, EXPLICIT, IMPLICIT, Syntax

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_STUDY_ONLY = "1.2.840.10008.5.1.4.1.2.3.1"
MODELS = (PATIENT_ROOT, STUDY_ROOT, PATIENT_STUDY_ONLY)

Tag = tuple[int, int]
#: VR and value by tag.
Keys = dict[Tag, tuple[str, bytes]]

#: Each model in each uncompressed transfer syntax.
CONTEXTS = tuple(
    (2 * number + 1, model, [syntax])
    for number, (model, syntax) in enumerate(
        (model, syntax) for model in MODELS for syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN)
    )
)


@dataclass(frozen=True)
class Question:
    """One C-FIND."""

    context_id: int
    model: str
    syntax: str
    keys: Keys


@dataclass(frozen=True)
class Made:
    """An object: its UIDs and its data set in Explicit VR Little Endian."""

    sop_instance_uid: str
    data_set: bytes


def padded(vr: str, value: bytes) -> bytes:
    """`value` in even length."""
    return value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)


def identifier(syntax: str, keys: Keys) -> bytes:
    """An identifier in a transfer syntax."""
    write = Syntax.of(syntax)
    return b"".join(
        write.element(tag, vr, padded(vr, value)) for tag, (vr, value) in sorted(keys.items())
    )


def find(peer: ScriptedPeer, asked: Question, message_id: int) -> tuple[int, list[bytes]]:
    """Ask; the final status and the pending identifiers, sorted, each behind its status."""
    command = pdu.command_set(
        [
            (pdu.SOP_CLASS, pdu.ui(asked.model)),
            (pdu.COMMAND_FIELD, pdu.us(0x0020)),
            (pdu.MESSAGE_ID, pdu.us(message_id)),
            (pdu.PRIORITY, pdu.us(0)),
            (pdu.DATA_SET_TYPE, pdu.us(1)),
        ]
    )
    peer.send(
        pdu.p_data(pdu.pdv(asked.context_id, command, command=True)),
        *pdu.fragments(asked.context_id, identifier(asked.syntax, asked.keys)),
    )
    answers: list[bytes] = []
    status = 0xFF00
    parts = {True: bytearray(), False: bytearray()}
    while True:
        _, body = peer.expect_pdu(pdu.P_DATA_TF)
        while body:
            length = int.from_bytes(body[:4], "big")
            control, fragment = body[5], body[6 : 4 + length]
            body = body[4 + length :]
            is_command = bool(control & 1)
            parts[is_command] += fragment
            if not control & 2:
                continue
            whole = bytes(parts[is_command])
            parts[is_command].clear()
            if is_command:
                response = pdu.read_command(whole)
                assert pdu.value_us(response, pdu.COMMAND_FIELD) == 0x8020
                assert pdu.value_us(response, pdu.RESPONDED_ID) == message_id
                status = pdu.value_us(response, pdu.STATUS)
                if status & 0xFF00 != 0xFF00:
                    assert pdu.value_us(response, pdu.DATA_SET_TYPE) == 0x0101
                    return status, sorted(answers)
            else:
                answers.append(pdu.us(status) + whole)


def elements(syntax: str, data: bytes) -> dict[Tag, bytes]:
    """The elements of an identifier without sequences."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    found = {}
    while data:
        group, element = struct.unpack(order + "HH", data[:4])
        if syntax == IMPLICIT:
            (length,) = struct.unpack(order + "L", data[4:8])
        else:
            (length,) = struct.unpack(order + "H", data[6:8])
        found[(group, element)] = data[8 : 8 + length]
        data = data[8 + length :]
    return found


class RunningArchive:
    """A dcmqrscp of either implementation with one storage area, called QR."""

    def __init__(
        self,
        implementation: str,
        directory: Path,
        options: Sequence[str] = (),
        entry: str = "",
        quota: str = "200, 1024mb",
    ) -> None:
        self.is_dcmtk = implementation == "dcmtk"
        area = directory / "area"
        area.mkdir(parents=True, exist_ok=True)
        self.port = process.free_port()
        configuration = directory / "dcmqrscp.cfg"
        configuration.write_text(
            f"NetworkTCPPort = {self.port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n{entry}\n"
            "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nQR {area} RW ({quota}) ANY\nAETable END\n"
        )
        line = [*process.command(implementation, "dcmqrscp"), "-c", str(configuration), *options]
        self.process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=process.child_environment(),
        )
        assert self.process.stderr is not None
        self.stderr = process.Output(self.process.stderr)
        deadline = time.monotonic() + 30
        while not process.is_listening(self.port):
            assert self.process.poll() is None, self.stderr.text
            assert time.monotonic() < deadline, f"{line} does not listen"
            select.select([], [], [], 0.01)

    def stop(self) -> None:
        """End it, and wait until it has."""
        self.process.terminate()
        self.process.wait(20)

    def store(self, made: Sequence[Made]) -> None:
        """Store objects over one association."""
        with ScriptedPeer(self.port) as peer:
            peer.associate([(1, pdu.CT, [EXPLICIT])], called="QR")
            for number, one in enumerate(made):
                status = peer.store(1, pdu.CT, one.sop_instance_uid, one.data_set,
                                    message_id=number + 1)  # fmt: skip
                assert status == 0
            peer.release()

    def ask(self, questions: Sequence[Question]) -> list[tuple[int, list[bytes]]]:
        """The answers to `questions`.

        DCMTK 3.6.7 loses the association now and then when several finds in different character
        sets follow each other, so it is asked anew each time; ours over one association.
        """
        groups = [[asked] for asked in questions] if self.is_dcmtk else [list(questions)]
        answers = []
        for group in groups:
            with ScriptedPeer(self.port, answer_s=30) as peer:
                peer.associate(CONTEXTS, called="QR")
                answers += [find(peer, asked, number + 1) for number, asked in enumerate(group)]
                peer.release()
        return answers
