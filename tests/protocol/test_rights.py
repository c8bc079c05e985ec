"""What may be done over which context: a right that was not negotiated is not to be had by another.

A context carries the operations of its own SOP class, where the association has the right. DCMTK's
tools store and query over any context they accepted, and so past the rights of an AE title that may
only be read (DIFFERENCES.md C11).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from testkit import pdu
from testkit.archive import Archive, start_archive
from testkit.checks import assert_nothing_stored
from testkit.kinds import Connect, StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver
from testkit.queries import CT_ROLE, SUCCESS, messages, query_rq
from vectors import make

SOP_CLASS_NOT_SUPPORTED = 0x0122
MADE = make.ct(1, transfer_syntax_uid=pdu.IMPLICIT)

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
FIELDS = {FIND: 0x0020, MOVE: 0x0021, GET: 0x0010}

#: How a peer gets to the context over which it stores: contexts, roles, and the ID it uses.
WAYS: dict[str, tuple[list[pdu.Context], bytes, int]] = {
    "Verification": ([(1, pdu.VERIFICATION, [pdu.IMPLICIT])], b"", 1),
    "FIND": ([(1, FIND, [pdu.IMPLICIT])], b"", 1),
    "GET": ([(1, GET, [pdu.IMPLICIT])], b"", 1),
    "SCP role only": ([(1, pdu.CT, [pdu.IMPLICIT])], CT_ROLE, 1),
    "both roles": ([(1, pdu.CT, [pdu.IMPLICIT])], CT_ROLE[:-2] + b"\1\1", 1),
    "no role": ([(1, pdu.CT, [pdu.IMPLICIT])], CT_ROLE[:-2] + b"\0\0", 1),
    "another class of SCP role": (
        [(1, pdu.CT, [pdu.IMPLICIT]), (3, pdu.MR, [pdu.IMPLICIT])],
        CT_ROLE + pdu.item(0x54, len(pdu.MR).to_bytes(2, "big") + pdu.MR.encode() + b"\0\1"),
        3,
    ),
}


@pytest.fixture(scope="module")
def archive(shared_scp: StartReceiver, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Title QR, stored to by one at a time, and READ, which may only be read."""
    folder = tmp_path_factory.mktemp("rights")
    (folder / "read").mkdir()
    entry = f"READ {folder}/read R (100, 1024mb) ANY"
    return start_archive(shared_scp, folder, "--no-parallel-store", entries=(entry,))


def objects(archive: Archive) -> list[Path]:
    """Files of objects in both areas."""
    return [path for path in archive.folder.rglob("objects/**/*") if path.is_file()]


def stored_over(peer: ScriptedPeer, way: str, called: str) -> int | None:
    """The status of a C-STORE over this way's context; None where that was refused."""
    contexts, roles, number = WAYS[way]
    user = pdu.user_information(extra=roles)
    ac = peer.associate(contexts, called=called, user=user)
    if ac.contexts[number].result != 0:
        return None
    return peer.store(number, MADE.sop_class_uid, MADE.sop_instance_uid, MADE.data_set)


@pytest.mark.parametrize("way", WAYS)
def test_a_read_only_title_is_not_stored_to(
    way: str, archive: Archive, scripted_peer: Connect
) -> None:
    """Access R: whatever context was accepted, it does not carry an object in."""
    peer = scripted_peer(archive.server)
    assert stored_over(peer, way, "READ") == SOP_CLASS_NOT_SUPPORTED
    peer.release()
    assert not objects(archive)


@pytest.mark.parametrize("way", ["both roles", "no role"])
def test_who_may_only_read_still_receives(
    way: str, archive: Archive, scripted_peer: Connect
) -> None:
    """PS3.7 §D.3.3.4: of the roles proposed SCU is turned off, and C-GET has its context.

    Who proposes neither role proposes both, as with DCMTK.
    """
    contexts, roles, _ = WAYS[way]
    peer = scripted_peer(archive.server)
    user = pdu.user_information(extra=roles)
    ac = peer.associate(contexts, called="READ", user=user)
    assert ac.contexts[1].result == 0
    assert ac.other_items[0x54] == CT_ROLE[4:-2] + b"\0\1"
    peer.release()


@pytest.mark.parametrize("way", WAYS)
def test_no_parallel_store_is_not_gone_around(
    way: str, archive: Archive, scripted_peer: Connect
) -> None:
    """While one association stores, another does not, over whatever context."""
    first = scripted_peer(archive.server)
    first.associate([(1, pdu.CT, [pdu.IMPLICIT])], called="QR")
    second = scripted_peer(archive.server)
    assert stored_over(second, way, "QR") in (None, SOP_CLASS_NOT_SUPPORTED)
    second.release()
    assert not objects(archive)
    first.release()


def asked_over(peer: ScriptedPeer, context: str, service: str) -> list[int]:
    """The statuses of a query or retrieval over a context of another service."""
    command = query_rq(service, FIELDS[service], 5)
    if service == MOVE:
        destination = pdu.command_element(0x0600, b"DEST")
        body = command[12:]
        at = body.index(pdu.command_element(pdu.PRIORITY, pdu.us(0)))
        body = body[:at] + destination + body[at:]
        command = pdu.command_element(0, len(body).to_bytes(4, "little")) + body
    identifier = make.Syntax.of(pdu.IMPLICIT)
    keys = identifier.element((0x0008, 0x0052), "CS", "STUDY") + identifier.element(
        (0x0020, 0x000D), "UI", "1.2.3"
    )
    peer.associate([(1, context, [pdu.IMPLICIT])], called="QR")
    peer.send(pdu.p_data(pdu.pdv(1, command, command=True)), *pdu.fragments(1, keys))
    found = messages(peer)
    assert {(field, number) for field, number, _ in found} == {(FIELDS[service] | 0x8000, 5)}
    peer.echo()
    peer.release()
    return [status for _, _, status in found]


@pytest.mark.parametrize(
    ("context", "service"),
    [
        (FIND, FIND),
        (FIND, MOVE),
        (FIND, GET),
        (MOVE, FIND),
        (MOVE, GET),
        (pdu.CT, FIND),
        (pdu.VERIFICATION, MOVE),
        (pdu.VERIFICATION, GET),
    ],
)
def test_queries_and_retrieves_stay_on_their_own_contexts(
    context: str, service: str, archive: Archive, scripted_peer: Connect
) -> None:
    """What `--disable-get` or a refused model took away is not to be had by a command (0122H)."""
    wanted = SUCCESS if context == service else SOP_CLASS_NOT_SUPPORTED
    assert asked_over(scripted_peer(archive.server), context, service) == [wanted]


@pytest.fixture(scope="module", params=["storescp", "dcmrecv"])
def receiver(request: pytest.FixtureRequest, shared_scp: StartReceiver) -> Receiver:
    """The receivers without a profile; dcmrecv accepts Verification only (DIFFERENCES.md D6)."""
    return shared_scp(str(request.param))


def test_verification_carries_no_objects(receiver: Receiver, scripted_peer: Connect) -> None:
    """An implicit data set over an implicit context: readable, and refused all the same."""
    peer = scripted_peer(receiver)
    assert stored_over(peer, "Verification", "ANY-SCP") == SOP_CLASS_NOT_SUPPORTED
    peer.echo()
    peer.release()
    assert_nothing_stored(receiver)


def test_roles_that_are_ignored_take_no_right(receiver: Receiver, scripted_peer: Connect) -> None:
    """DIFFERENCES.md C15: without roles in a profile the SCP role asked for changes nothing."""
    peer = scripted_peer(receiver)
    if receiver.tool == "dcmrecv":
        peer.send(pdu.associate_rq(WAYS["SCP role only"][0]))
        peer.expect_reject(1, 1, 1)
        return
    assert stored_over(peer, "SCP role only", "ANY-SCP") == 0
    peer.release()
    for path in receiver.files():
        path.unlink()
