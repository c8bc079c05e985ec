"""``dcmfast.Association``: whole conversations with other archives, and peers that misbehave."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

import dcmfast
from dcmfast import errors
from dcmfast.requestor.responses import Status
from testkit import pdu
from testkit.archive import Archive, start_archive
from testkit.authority import Pki
from testkit.kinds import StartReceiver
from testkit.process import free_port
from testkit.pynetdicom_scp import pynetdicom_archive
from testkit.scripted_scp import Conversation, ScriptedServer
from vectors import make

OBJECTS = [make.ct(number) for number in range(4)]
STUDY = make.uid(7, 1)


class Peer:
    """An archive of whatever kind, with `OBJECTS`, that knows `receiver` as ME."""

    def __init__(self, port: int, receiver: dcmfast.StorageReceiver) -> None:
        self.port = port
        self.receiver = receiver

    def call(self, **options: Any) -> dcmfast.Association:
        return dcmfast.Association(
            "127.0.0.1", self.port, ae_title="ME", called_ae_title="QR", **options
        )


@pytest.fixture(scope="module", params=["pynetdicom", "dcmtk", "dcmfast"])
def peer(
    request: pytest.FixtureRequest,
    shared_scp: StartReceiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Peer]:
    received = tmp_path_factory.mktemp("received")
    with dcmfast.StorageReceiver(received, ae_title="ME") as receiver:
        if request.param == "pynetdicom":
            with pynetdicom_archive(ME=receiver.port) as made:
                made.add(*OBJECTS)
                yield Peer(made.port, receiver)
            return
        archive: Archive = start_archive(
            shared_scp, tmp_path_factory.mktemp("archive"), implementation=request.param,
            hosts=(f"me = (ME, localhost, {receiver.port})",),
        )  # fmt: skip
        assert archive.store(*OBJECTS).code == 0
        yield Peer(archive.server.port, receiver)


def study(**more: str) -> Dataset:
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = STUDY
    for keyword, value in more.items():
        setattr(wanted, keyword, value)
    return wanted


# ---- Whole conversations


def test_everything_over_one_association(peer: Peer, tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(OBJECTS[0]))
    with peer.call() as association:
        assert association.is_established
        assert association.echo() == 0x0000
        assert association.store(path) == 0x0000
        assert association.store(dcmfast.read(path)).category == "success"
        pairs = list(association.find("STUDY", StudyInstanceUID=STUDY, PatientName=""))
        assert [status.Status for status, _ in pairs[:-1]] == [0xFF00] * (len(pairs) - 1)
        assert pairs[-1][0] == 0x0000
        assert pairs[-1][1] is None
        assert all(found is not None and found.StudyInstanceUID == STUDY for _, found in pairs[:-1])
        got = association.get(study(), directory=tmp_path).result()
        assert (got.category, got.failed) == ("success", 0)
        before = peer.receiver.stored
        moved = association.move("STUDY", {"StudyInstanceUID": STUDY}, destination="ME").result()
        assert moved.completed == got.completed
        assert moved.NumberOfCompletedSuboperations == moved.completed
        assert association.echo() == 0
    assert association.is_released
    assert not association.is_established
    assert peer.receiver.stored > before
    for made in OBJECTS:
        name = f"CT.{made.sop_instance_uid}"
        assert pydicom.dcmread(tmp_path / name).SOPInstanceUID == made.sop_instance_uid
        assert (Path(peer.receiver.directory) / name).exists()


def test_pynetdicoms_names(peer: Peer, tmp_path: Path) -> None:
    """The calls that a pynetdicom program makes, with its truths about statuses."""
    model = "1.2.840.10008.5.1.4.1.2.2."
    association = peer.call()
    try:
        status = association.send_c_echo()
        assert status
        assert status.Status == 0x0000
        for status, identifier in association.send_c_find(study(PatientName=""), f"{model}1"):
            assert status
            assert (identifier is None) == (status.Status not in (0xFF00, 0xFF01))
        moves = [status for status, _ in association.send_c_move(study(), "ME", f"{model}2")]
        assert moves[-1].Status == 0x0000
        gets = association.send_c_get(study(), f"{model}3", directory=tmp_path)
        assert [status.NumberOfFailedSuboperations for status, _ in gets][-1] == 0
        stored = association.send_c_store(pydicom.dcmread(next(tmp_path.glob("CT.*"))))
        assert stored.Status == 0x0000
        assert {one.abstract_syntax for one in association.accepted_contexts} > {f"{model}1"}
        assert all(one.as_scu for one in association.accepted_contexts)
    finally:
        association.release()


def test_a_failure_is_a_status_or_an_exception(peer: Peer) -> None:
    """As it is asked for; the association lives on."""
    with peer.call() as association:
        failing = association.move("STUDY", StudyInstanceUID=STUDY, destination="NOBODY")
        with pytest.raises(errors.DimseError, match="0xA801") as caught:
            failing.result()
        assert caught.value.status == 0xA801
        assert [int(status) for status, _ in association.find(None, PatientName="")][-1] == 0xA900
        with pytest.raises(errors.DimseError):
            list(association.find(None, PatientName="").data_sets())
        assert association.echo() == 0


def test_an_iterator_left_early_is_cancelled(peer: Peer) -> None:
    """By ``break``, ``with`` and ``close``; the association is whole afterwards."""
    with peer.call() as association:
        for status, _ in association.find("STUDY", StudyInstanceUID="", PatientName=""):
            assert status.category == "pending"
            break
        with association.find("STUDY", StudyInstanceUID="") as responses:
            next(responses)
        responses.close()
        assert list(responses) == []
        assert association.echo() == 0


def test_one_request_at_a_time(peer: Peer) -> None:
    with peer.call() as association:
        responses = association.move("STUDY", StudyInstanceUID=STUDY, destination="ME")
        with pytest.raises(errors.LocalProtocolError, match="not read to their end"):
            association.echo()
        assert responses.result() == 0
        kept = association.find("STUDY", StudyInstanceUID="")
        assert association.echo() == 0
        assert len(list(kept)) > 1
        assert association.echo() == 0
    with pytest.raises(errors.LocalProtocolError, match="has ended"):
        association.echo()


def test_pynetdicoms_contexts_and_those_of_files(peer: Peer, tmp_path: Path) -> None:
    from pynetdicom.presentation import build_context

    contexts = [build_context(pdu.VERIFICATION), "CTImageStorage", (pdu.MR, [pdu.IMPLICIT])]
    with peer.call(contexts=contexts) as association:
        asked = [(one.abstract_syntax, one.transfer_syntax) for one in association.contexts]
        assert [uid for uid, _ in asked] == [pdu.VERIFICATION, pdu.CT, pdu.MR]
        assert asked[2][1] == (pdu.IMPLICIT,)
        with pytest.raises(errors.ContextNotAccepted, match="none was proposed"):
            association.find("STUDY", StudyInstanceUID="")
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(OBJECTS[1]))
    needed = dcmfast.Association.contexts_of([path, str(path)])
    assert needed == [(pdu.CT, (pdu.EXPLICIT,))]
    with peer.call(contexts=needed) as association:
        assert [status for _, status in association.store_each([path, path])] == [0, 0]


def test_text_beyond_ascii_is_asked_for_in_utf_8() -> None:
    with pynetdicom_archive() as archive:
        archive.add(make.ct(7, patient_name="Müller^Jörg", charset="ISO_IR 100"))
        with dcmfast.Association("127.0.0.1", archive.port) as association:
            found = list(association.find("STUDY", PatientName="Mül*").data_sets())
    assert [str(one.PatientName) for one in found] == ["Müller^Jörg"]


# ---- Roles


def role_item(uid: str, scu: int, scp: int) -> bytes:
    return pdu.item(0x54, len(uid).to_bytes(2, "big") + uid.encode() + bytes([scu, scp]))


GET = "1.2.840.10008.5.1.4.1.2.2.3"
SC = "1.2.840.10008.5.1.4.1.1.7"


def test_roles_are_proposed_where_they_are_asked_for_or_a_get_needs_them() -> None:
    from pynetdicom import build_role

    scp = build_role(SC, scp_role=True)
    cases: list[tuple[dict[str, Any], dict[str, tuple[int, int]]]] = [
        ({"contexts": [pdu.CT, SC]}, {}),
        ({"contexts": [pdu.CT, GET]}, {pdu.CT: (1, 1)}),
        ({"contexts": [pdu.CT, GET], "roles": {}}, {}),
        ({"contexts": [pdu.CT, SC, GET], "roles": [scp]}, {SC: (0, 1)}),
        ({"contexts": [pdu.CT, SC], "roles": {"CTImageStorage": "both"}}, {pdu.CT: (1, 1)}),
        ({"contexts": [SC, GET], "roles": {SC: "scp", GET: "SCU"}}, {SC: (0, 1), GET: (1, 0)}),
    ]
    for options, expected in cases:
        seen = []

        def play(peer: Conversation, seen: list[Any] = seen) -> None:
            seen.append(peer.accept().roles)
            peer.expect_release()

        with ScriptedServer(play) as server:
            call(server, **options).release()
        assert seen == [expected], options


def test_a_role_counts_as_far_as_it_was_proposed() -> None:
    """PS3.7 §D.3.3.4: without an answer the requestor is SCU; what was not asked for is nothing."""

    def play(peer: Conversation) -> None:
        peer.accept(extra=role_item(pdu.CT, 1, 1) + role_item(pdu.MR, 0, 1))
        peer.expect_release()

    with ScriptedServer(play) as server:
        roles = {pdu.CT: "scp", SC: "scp"}
        with call(server, contexts=[pdu.CT, pdu.MR, SC], roles=roles) as association:
            found = [(one.as_scu, one.as_scp) for one in association.contexts]
    assert found == [(False, True), (True, False), (True, False)]


@pytest.mark.parametrize(
    ("roles", "why"),
    [({pdu.MR: "scp"}, "not among"), ({pdu.CT: "none"}, "no role"), ({"CTimage": "scp"}, "named")],
    ids=str,
)
def test_a_role_that_cannot_be(roles: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        dcmfast.Association("127.0.0.1", 1, contexts=[pdu.CT], roles=roles)


# ---- Peers that misbehave


def test_what_a_get_was_aborted_for_is_said(tmp_path: Path) -> None:
    """A response to nothing, and bytes that are no PDU: in words, as for the other requests."""

    def other(peer: Conversation) -> None:
        request = peer.expect_request()
        peer.respond(request, 0xFF00, message_id=request.message_id + 1)

    def garbage(peer: Conversation) -> None:
        peer.expect_request()
        peer.send(b"\x09\0\0\0\0\x02ab")

    for step, why in ((other, "response to message 2, where 1"), (garbage, "PDU")):
        with ScriptedServer(answering(step)) as server:
            association = call(server, contexts=[pdu.CT, GET])
            with pytest.raises(errors.RemoteProtocolError, match=why) as caught:
                association.get("STUDY", StudyInstanceUID="1.2", directory=tmp_path).result()
            assert "aborted here" not in str(caught.value)
            assert association.is_aborted


def answering(*script: Any) -> Any:
    """A script that accepts, and lets each step answer a request."""

    def play(conversation: Conversation) -> None:
        conversation.accept()
        for step in script:
            step(conversation)

    return play


def call(server: ScriptedServer, **options: Any) -> dcmfast.Association:
    return dcmfast.Association("127.0.0.1", server.port, **options)


PATIENT = b"\x10\x00\x20\x00LO\x04\x00ABCD"


def test_leaving_early_sends_a_cancel() -> None:
    """The peer sees it behind two responses, and the next request behind its end."""

    def found(conversation: Conversation) -> None:
        request = conversation.expect_request()
        for _ in range(2):
            conversation.respond(request, 0xFF00, data=PATIENT)
        cancel = conversation.expect_request()
        assert pdu.value_us(cancel.command, pdu.COMMAND_FIELD) == 0x0FFF
        assert pdu.value_us(cancel.command, pdu.RESPONDED_ID) == request.message_id
        conversation.respond(request, 0xFF00, data=PATIENT)
        conversation.respond(request, 0xFE00)
        conversation.respond(conversation.expect_request(), 0x0000)
        conversation.expect_release()

    with ScriptedServer(answering(found)) as server, call(server) as association:
        for _, data_set in association.find("PATIENT", model="patient-root", PatientID=""):
            assert data_set is not None
            assert data_set.PatientID == "ABCD"
            break
        assert association.echo() == 0


def test_a_worklist_has_no_level() -> None:
    def found(conversation: Conversation) -> None:
        request = conversation.expect_request()
        assert request.data == b"\x10\x00\x20\x00LO\x02\x001 "
        conversation.respond(request, 0x0000)
        conversation.expect_release()

    with ScriptedServer(answering(found)) as server, call(server) as association:
        assert association.find(model="worklist", PatientID="1").result() == 0


def test_a_get_is_cancelled_alike(tmp_path: Path) -> None:
    def got(conversation: Conversation) -> None:
        request = conversation.expect_request()
        conversation.respond(request, 0xFF00, counts=(5, 0, 0, 0))
        cancel = conversation.expect_request()
        assert pdu.value_us(cancel.command, pdu.COMMAND_FIELD) == 0x0FFF
        assert pdu.value_us(cancel.command, pdu.RESPONDED_ID) == request.message_id
        conversation.respond(request, 0xFE00, counts=(5, 0, 0, 0))
        conversation.expect_release()

    with ScriptedServer(answering(got)) as server, call(server) as association:
        responses = association.get("STUDY", StudyInstanceUID="1.2", directory=tmp_path)
        status, _ = next(responses)
        assert status.remaining == 5
        association.send_c_cancel()
        assert responses.result().category == "cancel"
        with pytest.raises(errors.LocalProtocolError, match="no request"):
            association.send_c_cancel()


def test_a_peer_that_never_ends_costs_the_association() -> None:
    """Pending responses without end, whatever is cancelled: aborted within the ACSE timeout."""

    def endless(conversation: Conversation) -> None:
        request = conversation.expect_request()
        conversation.respond(request, 0xFF00, data=PATIENT)
        conversation.expect_request()
        try:
            while True:
                conversation.respond(request, 0xFF00, data=PATIENT)
        except OSError:
            pass

    with ScriptedServer(answering(endless)) as server:
        association = call(server, acse_timeout_s=1)
        began = time.monotonic()
        with association.find("PATIENT", model="patient-root", PatientID="") as responses:
            next(responses)
        assert time.monotonic() - began < 10
        assert association.is_aborted


def test_memory_does_not_grow_with_the_answers() -> None:
    """64 MB of responses wait at the peer while one is looked at."""
    big = b"\x10\x00\x00\x40LT\xfe\xff" + b"x" * 0xFFFE

    def flood(conversation: Conversation) -> None:
        request = conversation.expect_request()
        try:
            for _ in range(1000):
                conversation.respond(request, 0xFF00, data=big)
        except OSError:
            pass

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with ScriptedServer(answering(flood)) as server:
        association = call(server)
        responses = association.find("PATIENT", model="patient-root", PatientID="")
        for _ in range(3):
            next(responses)
        before = resident()
        for _ in range(600):
            next(responses)
        assert resident() - before < 8_000_000
        association.abort()


@pytest.mark.parametrize(
    ("name", "answer", "fault"),
    [
        ("wrong message ID", lambda c, rq: c.respond(rq, 0, message_id=99), "message 99"),
        ("another service", lambda c, rq: c.respond(rq, 0, command_field=0x8021), "C-MOVE RSP"),
        ("no data set", lambda c, rq: c.respond(rq, 0xFF00, data=b"\xff" * 9), "no data set"),
        ("cut data set", lambda c, rq: c.respond(rq, 0xFF00, data=PATIENT[:-2]), "no data set"),
        ("closed", lambda c, _: c.socket.close(), "aborted"),
        ("abort", lambda c, _: c.send(pdu.abort()), "aborted"),
        ("release", lambda c, _: c.send(pdu.release_rq()), "aborted"),
    ],
)
def test_nonsense(name: str, answer: Any, fault: str) -> None:
    """An exception with the reason; the association has ended, and says so."""

    def answered(conversation: Conversation) -> None:
        answer(conversation, conversation.expect_request())
        if name != "closed":
            conversation.socket.settimeout(5)
            while conversation.socket.recv(65536):
                pass

    with ScriptedServer(answering(answered)) as server:
        association = call(server)
        with pytest.raises(errors.NetworkError, match=fault):
            association.find("PATIENT", model="patient-root", PatientID="").result()
        assert not association.is_established
        assert association.is_aborted


def test_silence_has_an_end() -> None:
    held = threading.Event()

    def silent(conversation: Conversation) -> None:
        conversation.expect_request()
        assert held.wait(10)

    with ScriptedServer(answering(silent)) as server:
        association = call(server, dimse_timeout_s=1)
        with pytest.raises(errors.AssociationTimeout):
            association.echo()
        held.set()
        assert not association.is_established


def wait(association: dcmfast.Association, directory: Path | None) -> None:
    """Wait for a peer that says nothing."""
    if directory is None:
        association.find("STUDY", StudyInstanceUID="1").result()
    else:
        association.get("STUDY", StudyInstanceUID="1", directory=directory).result()


def waiting(asked: threading.Event, done: threading.Event) -> Any:
    def wait(conversation: Conversation) -> None:
        conversation.expect_request()
        asked.set()
        assert done.wait(10)

    return answering(wait)


@pytest.mark.parametrize("is_get", [False, True], ids=["find", "get"])
def test_another_thread_aborts_a_wait(is_get: bool, tmp_path: Path) -> None:
    """The one that waits lets others run, and is told."""
    asked, done = threading.Event(), threading.Event()
    caught: list[BaseException] = []
    with ScriptedServer(waiting(asked, done)) as server:
        association = call(server)

        def waits() -> None:
            try:
                wait(association, tmp_path if is_get else None)
            except BaseException as error:
                caught.append(error)

        thread = threading.Thread(target=waits)
        thread.start()
        assert asked.wait(10)
        association.abort()
        thread.join(5)
        done.set()
    assert [type(one) for one in caught] == [errors.AssociationAborted]
    assert association.is_aborted


@pytest.mark.parametrize("is_get", [False, True], ids=["find", "get"])
def test_ctrl_c_ends_a_wait(is_get: bool, tmp_path: Path) -> None:
    asked, done = threading.Event(), threading.Event()

    def interrupt() -> None:
        assert asked.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ScriptedServer(waiting(asked, done)) as server:
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt), call(server) as association:
                wait(association, tmp_path if is_get else None)
            done.set()
            thread.join(10)
    finally:
        signal.signal(signal.SIGINT, before)
    assert association.is_aborted


def test_ctrl_c_ends_the_close_of_a_receiver(tmp_path: Path) -> None:
    """A peer stays associated: that is waited for ten seconds, but for an interrupt."""
    closing = threading.Event()

    def interrupt() -> None:
        assert closing.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    def close() -> None:
        closing.set()
        receiver.close()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        receiver = dcmfast.StorageReceiver(tmp_path)
        association = dcmfast.Association("127.0.0.1", receiver.port, contexts=[pdu.CT])
        thread = threading.Thread(target=interrupt)
        thread.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            close()
        assert time.monotonic() - began < 8
        thread.join(10)
    finally:
        signal.signal(signal.SIGINT, before)
    association.abort()
    receiver.close()


def test_ctrl_c_within_an_object_costs_the_association(tmp_path: Path) -> None:
    """Sparse zeros without end for this test; the peer reads on, and sees the abort."""
    huge = tmp_path / "huge.dcm"
    made = make.part10(OBJECTS[0])
    huge.write_bytes(made)
    with huge.open("r+b") as file:
        file.truncate(20_000_000_000)
    begun = threading.Event()

    def read_on(conversation: Conversation) -> None:
        conversation.accept()
        conversation.socket.settimeout(10)
        last = b""
        while part := conversation.socket.recv(1_000_000):
            begun.set()
            last = (last + part)[-10:]
        assert last[:1] == bytes([pdu.ABORT])

    def interrupt() -> None:
        assert begun.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ScriptedServer(read_on) as server:
            association = call(server, contexts=[(pdu.CT, [pdu.EXPLICIT])])
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                association.store(huge)
            thread.join(10)
    finally:
        signal.signal(signal.SIGINT, before)
    assert association.is_aborted


# ---- What cannot be had


def test_who_is_not_there() -> None:
    with pytest.raises(errors.ConnectionFailed, match="refused"):
        dcmfast.Association("127.0.0.1", free_port())
    with pytest.raises(errors.ConnectionFailed, match="unknown host"):
        dcmfast.Association("no.such.host.invalid", 104)


def test_who_refuses() -> None:
    def reject(conversation: Conversation) -> None:
        conversation.expect_associate_rq()
        conversation.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, 1, 1, 7])))

    def accept_nothing(conversation: Conversation) -> None:
        conversation.accept(accepts=lambda _: False)
        conversation.expect_pdu(pdu.ABORT)

    with ScriptedServer(reject, accept_nothing) as server:
        with pytest.raises(errors.AssociationRejected) as caught:
            call(server)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)
        with pytest.raises(errors.ContextNotAccepted):
            call(server)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ae_title": ""}, "title"),
        ({"ae_title": "a" * 17}, "longer than 16"),
        ({"port": 70000}, "port"),
        ({"contexts": []}, "1 to 128"),
        ({"contexts": ["NoSuchClass"]}, "no SOP class named"),
        ({"contexts": [("1.2.3", [])]}, "no transfer syntax"),
        ({"contexts": [f"1.2.{n}" for n in range(129)]}, "1 to 128"),
        ({"max_pdu_bytes": 100}, "max_pdu_bytes"),
        ({"acse_timeout_s": 0}, "acse_timeout_s"),
        ({"dimse_timeout_s": -1}, "dimse_timeout_s"),
    ],
)
def test_arguments_that_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        dcmfast.Association("127.0.0.1", **{"port": free_port(), **options})


def test_requests_that_cannot_be(tmp_path: Path) -> None:
    """Nothing of them is sent."""
    with (
        pynetdicom_archive() as archive,
        dcmfast.Association("127.0.0.1", archive.port) as association,
    ):
        for wrong in (
            lambda: association.find("BODY"),
            lambda: association.find("STUDY", NoSuchKeyword="1"),
            lambda: association.find("STUDY", model="no-root"),
            lambda: association.move("STUDY", StudyInstanceUID="1", destination=""),
            lambda: association.store(Dataset()),
        ):
            with pytest.raises(ValueError, match=r"no |needs|has no"):
                wrong()
        with pytest.raises(FileNotFoundError):
            association.store(tmp_path / "missing.dcm")
        with pytest.raises(FileNotFoundError):
            association.get("STUDY", StudyInstanceUID="1", directory=tmp_path / "missing")
        text = tmp_path / "text"
        text.write_text("no DICOM file")
        with pytest.raises(ValueError, match="UID"):
            association.store(text)
        assert association.echo() == 0
        assert archive.seen == []


def test_a_status_is_its_number_and_more() -> None:
    made = Status(code=0xB000, service="move", comment="why", completed=1, failed=2)
    assert made == 0xB000
    assert int(made) == made.Status == 0xB000
    assert made.category == "warning"
    assert made.ErrorComment == "why"
    assert made.NumberOfFailedSuboperations == 2
    assert made
    assert Status(code=0, service="echo")
    assert made != Status(code=0xB000, service="move")
    with pytest.raises(AttributeError):
        _ = made.NoSuchKeyword


def test_a_receiver_counts_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(OBJECTS[2]))
    folder = tmp_path / "in"
    folder.mkdir()
    with dcmfast.StorageReceiver(folder) as receiver:
        port = receiver.port
        with dcmfast.Association("127.0.0.1", port) as association:
            assert association.store(path) == 0
        with pytest.raises(errors.ListenError):
            dcmfast.StorageReceiver(folder, port)
    assert receiver.stored == 1
    assert [one.name for one in folder.iterdir()] == [f"CT.{OBJECTS[2].sop_instance_uid}"]
    with pytest.raises(errors.ConnectionFailed):
        dcmfast.Association("127.0.0.1", port)
    with pytest.raises(FileNotFoundError):
        dcmfast.StorageReceiver(tmp_path / "missing")


def test_tls(tmp_path: Path, pki: Pki) -> None:
    """Both sides with certificates; a stranger's authority is refused with the reason."""
    trusted = (pki.authority.certificate,)
    server, client = (
        dcmfast.Tls(identity=(one.key, one.certificate), authorities=trusted)
        for one in (pki.server, pki.client)
    )
    with dcmfast.StorageReceiver(tmp_path, tls=server) as receiver:
        with dcmfast.Association("127.0.0.1", receiver.port, tls=client) as association:
            assert association.secured is not None
            assert "TLSv1" in association.secured
            assert association.echo() == 0
        with pytest.raises(errors.SecurityFailed):
            dcmfast.Association("127.0.0.1", receiver.port, tls=client.replace(authorities=()))
    with pytest.raises(errors.TlsLayerError):
        dcmfast.Association("127.0.0.1", 1, tls=client.replace(identity=("missing", "missing")))


def test_a_forgotten_receiver_is_told_and_closed(tmp_path: Path) -> None:
    """No port, thread or folder stays in use until the end of the process."""
    receiver = dcmfast.StorageReceiver(tmp_path)
    port = receiver.port
    with pytest.warns(ResourceWarning, match="unclosed <StorageReceiver"):
        del receiver
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
