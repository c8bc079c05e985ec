"""An archive and peers, files and moments that mean no good: what it answers, and that it goes on.

Each test ends with an archive that is stopped by SIGTERM and must leave in order.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testkit import pdu
from testkit.kinds import Connect, StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, wait_until
from testkit.queries import (
    C_GET_RQ,
    CONTEXTS,
    CT_ROLE,
    NUMBER_OF_MATCHES_UNKNOWN,
    OUT_OF_RESOURCES,
    PENDING,
    STUDY_ROOT_GET,
    SUB_OPERATIONS_FAILED,
    SUCCESS,
    find_rq,
    get,
    images,
    messages,
    query_rq,
    studies,
)
from vectors import make


@pytest.fixture
def archive(running_scp: StartReceiver, tmp_path: Path) -> Receiver:
    """An archive that acknowledges before the disk has it: these tests are not about the disk."""
    return running_scp("serve", "--durability", "none", directory=tmp_path / "archive")


def test_p11_a_request_is_answered_once_when_a_query_follows(
    archive: Receiver, scripted_peer: Connect
) -> None:
    """The answer to a C-STORE or C-ECHO does not come again with those of the next request."""
    made = make.ct()
    peer = scripted_peer(archive)
    peer.associate(CONTEXTS)
    assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    peer.send(find_rq(8, studies(made.study_instance_uid)))
    assert messages(peer) == [(0x8020, 8, PENDING), (0x8020, 8, SUCCESS)]
    peer.echo(message_id=9)
    peer.send(find_rq(10, studies("1.2.3")))
    assert messages(peer) == [(0x8020, 10, SUCCESS)]
    peer.release()


def fill(archive: Receiver, connect: Connect, count: int, **changes: object) -> None:
    """Store `count` objects of one study."""
    peer = connect(archive)
    peer.associate(CONTEXTS)
    for number in range(1, count + 1):
        made = make.ct(number, **changes)  # type: ignore[arg-type]
        assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
    peer.release()


def get_study(archive: Receiver, connect: Connect) -> tuple[int, int, int]:
    """C-GET of the study that `fill` makes: status, completed and failed sub-operations."""
    peer = connect(archive)
    peer.associate(CONTEXTS, user=pdu.user_information(extra=CT_ROLE))
    counts = get(peer, studies(make.uid(7, 1)))
    peer.reset()
    return counts


def test_p14_what_is_no_file_any_more_is_a_failed_sub_operation(
    archive: Receiver, scripted_peer: Connect
) -> None:
    """Cut, changed, gone, a named pipe, a directory: none sends bad bytes, none holds a thread."""
    fill(archive, scripted_peer, 6)
    objects = archive.directory / "objects"
    wait_until(
        lambda: len(list(objects.rglob("*.dcm"))) == 6, within_s=60, what="all files in place"
    )
    cut, changed, gone, pipe, folder, _ = sorted(objects.rglob("*.dcm"))
    os.truncate(cut, 100)
    content = bytearray(changed.read_bytes())
    content[-1] ^= 0xFF
    changed.write_bytes(content)
    for path in (gone, pipe, folder):
        path.unlink()
    os.mkfifo(pipe)
    folder.mkdir()
    assert get_study(archive, scripted_peer) == (0xB000, 1, 5)


def test_another_response_does_not_answer_a_sub_operation(
    archive: Receiver, scripted_peer: Connect
) -> None:
    """The right message ID and success, but of a C-ECHO: nothing was stored, and so not counted."""
    fill(archive, scripted_peer, 1)
    peer = scripted_peer(archive)
    peer.associate(CONTEXTS, user=pdu.user_information(extra=CT_ROLE))
    command = pdu.p_data(pdu.pdv(7, query_rq(STUDY_ROOT_GET, C_GET_RQ, 1), command=True))
    peer.send(command, *pdu.fragments(7, studies(make.uid(7, 1))))
    _, body = peer.expect_pdu(pdu.P_DATA_TF)
    asked = pdu.read_command(body[6 : 4 + int.from_bytes(body[:4], "big")])
    assert pdu.value_us(asked, pdu.COMMAND_FIELD) == pdu.C_STORE_RQ
    response = [
        (pdu.SOP_CLASS, pdu.ui(pdu.VERIFICATION)),
        (pdu.COMMAND_FIELD, pdu.us(0x8030)),
        (pdu.RESPONDED_ID, asked[pdu.MESSAGE_ID]),
        (pdu.DATA_SET_TYPE, pdu.us(0x0101)),
        (pdu.STATUS, pdu.us(SUCCESS)),
    ]
    peer.send(pdu.p_data(pdu.pdv(3, pdu.command_set(response), command=True)))
    while (found := peer.expect_pdu())[0] == pdu.P_DATA_TF:
        assert not found[1][5] & 1, "no response: the object is still coming"
    assert found == (pdu.ABORT, bytes(4))


@pytest.mark.parametrize("kept", [0.5, 0.25])
def test_an_index_that_was_cut_off_is_told_and_made_anew(
    kept: float, running_scp: StartReceiver, scripted_peer: Connect, tmp_path: Path
) -> None:
    """A mapped file that is too short is SIGBUS; the archive reads its objects instead."""
    directory = tmp_path / "archive"
    server = running_scp("serve", directory=directory)
    fill(server, scripted_peer, 20)
    assert server.stop() == 0
    index = directory / ".dcmfast" / "index" / "data.mdb"
    os.truncate(index, int(index.stat().st_size * kept))
    server = running_scp("serve", directory=directory)
    server.stderr.wait_for("is damaged .* gets a new one from its files")
    peer = scripted_peer(server)
    peer.associate(CONTEXTS)
    peer.send(find_rq(1, images(make.uid(7, 1), make.uid(7, 1, 0))))
    assert [status for _, _, status in messages(peer)] == [*[PENDING] * 20, SUCCESS]
    peer.release()


def test_objects_without_an_index_are_listed_anew_and_never_written_over(
    running_scp: StartReceiver, scripted_peer: Connect, tmp_path: Path
) -> None:
    directory = tmp_path / "archive"
    server = running_scp("serve", directory=directory)
    fill(server, scripted_peer, 5)
    assert server.stop() == 0
    before = {path: path.read_bytes() for path in directory.rglob("*.dcm")}
    assert len(before) == 5
    shutil.rmtree(directory / ".dcmfast")
    server = running_scp("serve", directory=directory)
    fill(server, scripted_peer, 5, study=2)
    assert server.stop() == 0
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(directory.rglob("*.dcm"))) == 10
    server.stderr.wait_for("5 instances are listed")


def test_p17_a_peer_that_never_reads_does_not_hold_up_the_end(
    archive: Receiver, scripted_peer: Connect
) -> None:
    # More than the kernel's buffers take.
    fill(archive, scripted_peer, 1, rows=4096, columns=4096)
    peer = ScriptedPeer.__new__(ScriptedPeer)
    peer.socket = socket.socket()
    # Before the connection, so that the window stays small.
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.socket.settimeout(10)
    peer.socket.connect(("127.0.0.1", archive.port))
    peer.associate(CONTEXTS, user=pdu.user_information(extra=CT_ROLE))
    command = pdu.p_data(pdu.pdv(7, query_rq(STUDY_ROOT_GET, C_GET_RQ, 1), command=True))
    peer.send(command, *pdu.fragments(7, studies(make.uid(7, 1))))
    # The sub-operation has begun, and this is all of it that anybody reads.
    assert peer.socket.recv(1) == b"\x04"
    begun = time.monotonic()
    archive.process.send_signal(signal.SIGTERM)
    assert archive.wait(within_s=15) == 0
    assert time.monotonic() - begun < 10
    peer.socket.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_p6_queries_and_retrieval_go_on_when_the_disk_is_full(
    small_disk: Path, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    server = running_scp("serve", directory=small_disk / "archive", clean_exit=False)
    fill(server, scripted_peer, 3)
    peer = scripted_peer(server)
    peer.associate(CONTEXTS)
    # What is there, is found: the first objects are in the index before the disk is full.
    peer.send(find_rq(1, studies()))
    assert [status for _, _, status in messages(peer)] == [PENDING, SUCCESS]
    accepted, refused = 0, 0
    for number in range(10, 2000):
        made = make.ct(number, study=2, rows=64, columns=256)
        status = peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set)
        assert status in (0, 0xA700)
        accepted, refused = accepted + (status == 0), refused + (status != 0)
        if refused == 3:
            break
    assert accepted > 0
    assert refused == 3
    # What was acknowledged and is not in the index yet is no success: the final status says so.
    peer.send(find_rq(2, images(make.uid(7, 2), make.uid(7, 2, 0))))
    *found, last = [status for _, _, status in messages(peer)]
    assert set(found) <= {PENDING}
    assert (len(found), last) == (accepted, SUCCESS) or last == OUT_OF_RESOURCES
    peer.send(find_rq(3, studies(make.uid(7, 1))))
    found_first, last = [status for _, _, status in messages(peer)]
    assert found_first == PENDING
    assert last in {SUCCESS, OUT_OF_RESOURCES}
    # What is there is sent, too, and that is no success where more may match.
    is_whole = last == SUCCESS
    assert get_study(server, scripted_peer) == (0 if is_whole else SUB_OPERATIONS_FAILED, 3, 0)
    peer.send(find_rq(4, studies("1.2.3")))
    assert messages(peer)[-1][2] == last
    peer = scripted_peer(server)
    peer.associate(CONTEXTS)
    assert get(peer, studies("1.2.3")) == (0 if is_whole else NUMBER_OF_MATCHES_UNKNOWN, 0, 0)
