"""Objects of a C-GET as data sets (``Association.fetch``), and requests within loops."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmfast
from dcmfast import errors, limits
from testkit import pdu
from testkit.peer import ScriptedPeer
from testkit.pynetdicom_scp import PynetdicomArchive, pynetdicom_archive
from testkit.scripted_scp import Conversation, ScriptedServer, uid_list
from vectors import make

OBJECTS = [make.ct(number, study=1 + number // 2) for number in range(4)]
CT_ROLE = pdu.item(0x54, len(make.CT).to_bytes(2, "big") + make.CT.encode() + b"\0\1")


@pytest.fixture(scope="module")
def archive() -> Iterator[PynetdicomArchive]:
    with pynetdicom_archive() as made:
        made.add(*OBJECTS)
        yield made


def call(port: int, **options: Any) -> dcmfast.Association:
    return dcmfast.Association("127.0.0.1", port, **options)


def uids(objects: Any) -> set[str]:
    return {str(one.SOPInstanceUID) for one in objects}


def test_objects_are_data_sets(archive: PynetdicomArchive, tmp_path: Path) -> None:
    """Each with file meta information and the values that were sent; no file is left."""
    with call(archive.port) as association:
        wanted = association.fetch(
            "STUDY", StudyInstanceUID=make.uid(7, 1), temporary_directory=tmp_path
        )
        found = {one.SOPInstanceUID: one for one in wanted}
        assert wanted.final == 0
        assert association.echo() == 0
    assert set(found) == {one.sop_instance_uid for one in OBJECTS[:2]}
    for made in OBJECTS[:2]:
        assert found[made.sop_instance_uid] == pydicom.dcmread(
            pydicom.filebase.DicomBytesIO(make.part10(made))
        )
        assert found[made.sop_instance_uid].file_meta.MediaStorageSOPClassUID == make.CT
    assert list(tmp_path.iterdir()) == []


def test_objects_are_bytes(archive: PynetdicomArchive, tmp_path: Path) -> None:
    with call(archive.port) as association:
        wanted = association.fetch(
            "STUDY", StudyInstanceUID=make.uid(7, 2), temporary_directory=tmp_path
        )
        contents = list(wanted.as_bytes())
    assert all(content[128:132] == b"DICM" for content in contents)
    assert uids(map(dcmfast.read, contents)) == {one.sop_instance_uid for one in OBJECTS[2:]}


def test_each_study_of_a_loop_is_fetched(archive: PynetdicomArchive, tmp_path: Path) -> None:
    """The natural program: what is left of the C-FIND waits in memory meanwhile."""
    got: list[set[str]] = []
    with call(archive.port) as association:
        for study in association.find("STUDY", StudyInstanceUID="").data_sets():
            uid = study.StudyInstanceUID
            got.append(uids(association.fetch("STUDY", StudyInstanceUID=uid)))
            association.get("STUDY", StudyInstanceUID=uid, directory=tmp_path).result()
    # This archive answers once for each instance.
    assert list(map(len, got)) == [2, 2, 2, 2]
    assert len(list(tmp_path.iterdir())) == 4


def test_left_early_nothing_stays(archive: PynetdicomArchive, tmp_path: Path) -> None:
    """By ``break``, ``with`` and ``close``: no file, and an association that goes on."""
    with call(archive.port) as association:
        for _ in association.fetch("STUDY", StudyInstanceUID="", temporary_directory=tmp_path):
            break
        gc.collect()
        assert list(tmp_path.iterdir()) == []
        with association.fetch(
            "STUDY", StudyInstanceUID="", temporary_directory=tmp_path
        ) as objects:
            next(objects)
        objects.close()
        assert list(objects) == []
        assert association.echo() == 0
    assert list(tmp_path.iterdir()) == []


def sending(peer: Conversation, one: make.SyntheticObject) -> None:
    context = next(
        number for number, (uid, _) in peer.proposed.contexts.items() if uid == one.sop_class_uid
    )
    assert peer.store(context, one.sop_class_uid, one.sop_instance_uid, one.data_set) == 0


def test_what_came_before_a_failure_comes_out(tmp_path: Path) -> None:
    def play(peer: Conversation) -> None:
        peer.accept(extra=CT_ROLE)
        request = peer.expect_request()
        sending(peer, OBJECTS[0])
        failed = uid_list((8, 0x58), "1.2.3")
        peer.respond(request, 0xA702, counts=(None, 1, 1, 0), data=failed)
        peer.respond(peer.expect_request(), 0)
        peer.expect_release()

    with ScriptedServer(play) as server, call(server.port) as association:
        objects = association.fetch("STUDY", StudyInstanceUID="1", temporary_directory=tmp_path)
        assert next(objects).SOPInstanceUID == OBJECTS[0].sop_instance_uid
        with pytest.raises(errors.DimseError):
            next(objects)
        assert objects.failed_sop_instance_uids == ("1.2.3",)
        assert list(tmp_path.iterdir()) == []
        assert association.echo() == 0


@pytest.mark.parametrize("is_half", [False, True])
def test_a_peer_that_goes_away(is_half: bool, tmp_path: Path) -> None:
    """In the middle of an object or between two: what is whole came out, nothing is left."""

    def play(peer: Conversation) -> None:
        peer.accept(extra=CT_ROLE)
        peer.expect_request()
        sending(peer, OBJECTS[0])
        if is_half:
            half(peer, OBJECTS[1])

    with ScriptedServer(play) as server:
        association = call(server.port)
        objects = association.fetch("STUDY", StudyInstanceUID="1", temporary_directory=tmp_path)
        came: list[str] = []
        with pytest.raises(errors.NetworkError):
            came.extend(str(one.SOPInstanceUID) for one in objects)
        assert not association.is_established
    assert set(came) <= {OBJECTS[0].sop_instance_uid}
    assert list(tmp_path.iterdir()) == []


def half(peer: ScriptedPeer, one: make.SyntheticObject) -> None:
    command = pdu.c_store_rq(make.CT, one.sop_instance_uid, 7)
    peer.send(pdu.p_data(pdu.pdv(3, command, command=True)))


def test_objects_without_responses_between_them_do_not_pile_up(tmp_path: Path) -> None:
    """A peer that sends no pending response: the first comes out before the last is sent."""

    def play(peer: Conversation) -> None:
        peer.accept(extra=CT_ROLE)
        request = peer.expect_request()
        sent = 0
        while not seen:
            sending(peer, make.ct(sent))
            sent += 1
        peer.respond(request, 0, counts=(None, sent, 0, 0))
        peer.expect_release()

    seen: list[str] = []
    with ScriptedServer(play) as server, call(server.port) as association:
        for one in association.fetch("STUDY", StudyInstanceUID="1", temporary_directory=tmp_path):
            seen.append(str(one.SOPInstanceUID))
    # Many of them within a tick of the file system's clock.
    assert seen == [make.ct(number).sop_instance_uid for number in range(len(seen))]
    assert seen


def test_a_rest_that_is_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """FETCHED_AHEAD_BYTES_MAX: the other request is refused, and the responses come on."""
    import dcmfast.requestor.responses as module

    assert module.FETCHED_AHEAD_BYTES_MAX == limits.FETCHED_AHEAD_BYTES_MAX
    monkeypatch.setattr(module, "FETCHED_AHEAD_BYTES_MAX", 100_000)
    match = b"\x10\x00\x20\x00LO\x04\x00ABCD"

    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        for _ in range(2000):
            peer.respond(request, 0xFF00, data=match)
        peer.respond(request, 0)
        peer.respond(peer.expect_request(), 0)
        peer.expect_release()

    with ScriptedServer(play) as server, call(server.port) as association:
        responses = association.find("PATIENT", model="patient-root", PatientID="")
        next(responses)
        with pytest.raises(errors.LocalProtocolError, match="cannot be kept"):
            association.echo()
        assert len(list(responses)) == 2000
        assert association.echo() == 0


def test_a_peer_that_answers_without_end_is_given_up() -> None:
    def play(peer: Conversation) -> None:
        peer.accept(transfer_syntax=pdu.EXPLICIT)
        request = peer.expect_request()
        try:
            while True:
                peer.respond(request, 0xFF00)
        except OSError:
            pass

    with ScriptedServer(play) as server:
        association = call(server.port, responses_max=50)
        with pytest.raises(errors.RemoteProtocolError, match="more than 50 responses"):
            association.find("STUDY", StudyInstanceUID="").result()
        assert association.is_aborted


# ---- Message IDs and priorities


def test_message_id_and_priority(tmp_path: Path) -> None:
    """By our names and by pynetdicom's; what is not chosen goes on from there."""
    seen: list[tuple[int, int]] = []
    originator = (0x1030, 0x1031)
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(OBJECTS[0]))

    def play(peer: Conversation) -> None:
        peer.accept(extra=CT_ROLE.replace(b"\0\1", b"\1\1"))
        while len(seen) < 9:
            request = peer.expect_request()
            priority = request.command.get(0x0700)
            seen.append((request.message_id, -1 if priority is None else priority[0]))
            if seen[-1][0] in (30, 31):
                title, number = (request.command[one] for one in originator)
                assert (title.strip(b" \0"), int.from_bytes(number, "little")) == (b"MOVER", 9)
            peer.respond(request, 0)
        peer.expect_release()

    with ScriptedServer(play) as server, call(server.port) as association:
        association.echo(message_id=10)
        association.echo()
        uid = {"StudyInstanceUID": "1"}
        association.find("STUDY", uid, message_id=20, priority="low").result()
        association.move("STUDY", uid, destination="ME", priority="high").result()
        association.get("STUDY", uid, directory=tmp_path, message_id=65535).result()
        association.store(path, message_id=30, priority="high", move_originator=("MOVER", 9))
        association.send_c_store(dcmfast.read(path), 31, 2, "MOVER", 9)
        query = pydicom.Dataset()
        query.QueryRetrieveLevel = "STUDY"
        association.send_c_find(query, "1.2.840.10008.5.1.4.1.2.2.1", msg_id=1, priority=1).result()
        association.send_c_echo(2)
        for wrong in (
            lambda: association.echo(message_id=65536),
            lambda: association.find("STUDY", uid, priority="urgent"),
            lambda: association.send_c_store(path, priority=3),
            lambda: association.store(path, move_originator=("", 1)),
        ):
            with pytest.raises(ValueError, match=r"message ID|priority"):
                wrong()
    medium, high, low = 0, 1, 2
    assert seen == [
        (10, -1), (11, -1), (20, low), (21, high), (65535, medium), (30, high), (31, low),
        (1, high), (2, -1),
    ]  # fmt: skip
