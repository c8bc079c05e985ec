"""What a profile (``-xf``) answers on the wire: roles and extended negotiation beside DCMTK's.

PS3.7 Annex D.3.3.4 and D.3.3.5.  The same requests go to both programs, and the results of the
contexts and the items of the user information must be the same, in the same order.  One thing is
left out of the comparison: DCMTK repeats a role item for each context of a SOP class, where the
standard has one.
"""

from __future__ import annotations

import pytest

from testkit import pdu
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from vectors import make

pytestmark = pytest.mark.dcmtk

#: SOP class by the role that the profile gives it.
CLASSES = {
    "": "1.2.840.10008.5.1.4.1.1.1",
    "SCU": pdu.MR,
    "SCP": pdu.SECONDARY_CAPTURE,
    "BOTH": pdu.CT,
}
ROLES = "".join(
    f"Role{number} = {uid}\\{role}\n"
    for number, (role, uid) in enumerate(list(CLASSES.items())[1:], 1)
)
PROFILES = rf"""[[TransferSyntaxes]]
[U]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[C]
PresentationContext1 = {CLASSES[""]}\U
PresentationContext2 = {CLASSES["SCU"]}\U
PresentationContext3 = {CLASSES["SCP"]}\U
PresentationContext4 = {CLASSES["BOTH"]}\U
[[SCPSCURoleSelection]]
[R]
{ROLES}[[ExtendedNegotiation]]
[E]
ExtendedNegotiation1 = {CLASSES["SCP"]}\00FF10
ExtendedNegotiation2 = {CLASSES[""]}\0102
[[Profiles]]
[RE]
PresentationContexts = C
SCPSCURoleSelection = R
ExtendedNegotiation = E
[E]
PresentationContexts = C
ExtendedNegotiation = E
"""
BIG = pdu.BIG_ENDIAN
ALL = [(2 * n + 1, uid, [pdu.IMPLICIT]) for n, uid in enumerate(CLASSES.values())]


def role(uid: str, scu: int, scp: int) -> bytes:
    return pdu.item(0x54, len(uid).to_bytes(2, "big") + uid.encode() + bytes([scu, scp]))


def roles(scu: int, scp: int) -> bytes:
    return b"".join(role(uid, scu, scp) for uid in CLASSES.values())


def information(uid: str, data: bytes) -> bytes:
    return pdu.item(0x56, len(uid).to_bytes(2, "big") + uid.encode() + data)


#: Contexts and items of the user information that are proposed.
CASES: dict[str, tuple[list[pdu.Context], bytes]] = {
    "nothing": (ALL, b""),
    "neither role": (ALL, roles(0, 0)),
    "SCU": (ALL, roles(1, 0)),
    "SCP": (ALL, roles(0, 1)),
    "both": (ALL, roles(1, 1)),
    "the first of two items counts": (ALL, roles(1, 0) + roles(0, 1)),
    "a class that is not in the profile": (ALL, role("1.2.3", 1, 1) + information("1.2.3", b"\1")),
    "information for a class that has some": (ALL, information(CLASSES[""], b"\1\1")),
    "information for a class that has none": (ALL, information(pdu.CT, b"\1")),
    "all at once, in another order": (
        ALL[::-1],
        information(pdu.SECONDARY_CAPTURE, b"") + roles(1, 1) + information(CLASSES[""], b"x" * 40),
    ),
    "a class with information is refused": (
        [(1, CLASSES[""], [BIG]), (3, pdu.MR, [pdu.IMPLICIT])],
        information(CLASSES[""], b"\1"),
    ),
    "one context of a class is refused": (
        [(1, pdu.CT, [BIG]), (3, pdu.CT, [pdu.IMPLICIT]), (5, pdu.CT, [pdu.IMPLICIT])],
        role(pdu.CT, 1, 1),
    ),
}


@pytest.fixture(scope="module", params=["storescp", "dcmrecv", "dcmqrscp"])
def both(
    request: pytest.FixtureRequest, shared_scp: StartReceiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[int]]:  # fmt: skip
    """Ports of DCMTK's program and of ours, for the profiles RE and E."""
    tool = request.param
    folder = tmp_path_factory.mktemp("profiles")
    (folder / "f.cfg").write_text(PROFILES)
    ports: dict[str, list[int]] = {}
    for implementation in ("dcmtk", "dcmfast"):
        for profile in ("RE", "E"):
            arguments = ["-xf", str(folder / "f.cfg"), profile]
            if tool == "dcmqrscp":
                area = folder / f"{implementation}-{profile}"
                area.mkdir()
                configuration = area.with_suffix(".cfg")
                configuration.write_text(
                    f"AETable BEGIN\nANY-SCP {area} RW (9, 9mb) ANY\nAETable END\n"
                )
                arguments = ["-c", str(configuration), *arguments, profile]
            running = shared_scp(tool, *arguments, implementation=implementation)
            ports.setdefault(implementation, []).append(running.port)
    return ports


def answer(port: int, contexts: list[pdu.Context], items: bytes) -> object:
    """Results of the contexts, and what the user information holds beside who they are."""
    with ScriptedPeer(port) as peer:
        peer.send(pdu.associate_rq(contexts, user=pdu.user_information(extra=items)))
        _, body = peer.expect_pdu(pdu.ASSOCIATE_AC)
        results = {}
        found = []
        for kind, value in pdu.read_items(body[68:]):
            if kind == 0x21:
                results[value[0]] = value[2]
            elif kind == 0x50:
                found = [one for one in pdu.read_items(value) if one[0] not in (0x51, 0x52, 0x55)]
        peer.send(pdu.release_rq())
        peer.expect_pdu(pdu.RELEASE_RP)
    return results, list(dict.fromkeys(found))


@pytest.mark.parametrize("name", CASES)
def test_roles_and_extended_negotiation(both: dict[str, list[int]], name: str) -> None:
    for theirs, ours in zip(both["dcmtk"], both["dcmfast"], strict=True):
        wanted = answer(theirs, *CASES[name])
        assert answer(ours, *CASES[name]) == wanted


def test_the_answers_are_no_accident(both: dict[str, list[int]]) -> None:
    """What comes back is the profile's: this test would notice if the comparison had no items."""
    results, items = answer(both["dcmfast"][0], *CASES["both"])  # type: ignore[misc]
    assert results == {1: 0, 3: 0, 5: 0, 7: 0}
    wanted = role(pdu.MR, 1, 0) + role(pdu.SECONDARY_CAPTURE, 0, 1) + role(pdu.CT, 1, 1)
    wanted += information(pdu.SECONDARY_CAPTURE, b"\0\xff\x10") + information(CLASSES[""], b"\1\2")
    assert b"".join(pdu.item(kind, value) for kind, value in items) == wanted


def test_roles_do_not_keep_anybody_from_storing(both: dict[str, list[int]]) -> None:
    """As in DCMTK's programs: what was agreed on is told, and an object is taken all the same."""
    one = make.ct(transfer_syntax_uid=make.IMPLICIT)
    for ports in both.values():
        with ScriptedPeer(ports[0]) as peer:
            peer.associate(ALL, user=pdu.user_information(extra=roles(0, 1)))
            assert peer.store(7, pdu.CT, one.sop_instance_uid, one.data_set) == 0
            peer.release()
