"""The same action against DCMTK's receiver and ours: names, statuses, log lines, bytes.

Log lines are compared as text after masking what must vary (ports, directories, who we are). Every
line of DCMTK's must come from ours, in the same order. Lines that only we have are listed below,
each with its reason (DIFFERENCES.md D18), so that a new one is a decision and not an accident.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import pytest

from testkit import pdu
from testkit.corpus import split_part10
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, run_tool
from vectors import make

pytestmark = pytest.mark.dcmtk

PROFILE = ("-xf", "/etc/dcmtk/storescp.cfg", "Default")

#: Lines that DCMTK does not have name their logger, `dcmfast.*` (DIFFERENCES.md D18).
ONLY_OURS = re.compile(r"[FEWIDT]: dcmfast\..*")
#: What DCMTK's libraries say about their own insides at `-d` (DIFFERENCES.md D40): its
#: dictionaries, the classes that read a data set, and their bookkeeping.
ONLY_DCMTK = re.compile(
    r"D: (?:DcmDataDictionary: .*|Dcm[A-Z]\w+::.*|generated filename for object to be received: .*"
    r"|Loading association configuration file: .*|DUL(?:FSM)?: disabling Nagle algorithm .*)"
)
#: The bytes of our own PDU, which differ where they name us.
BYTES = re.compile(r"D: (?:  [0-9a-f]{2})+|D: PDU Type: Associate Accept, .*")

Action = Callable[[ScriptedPeer], list[int]]


def echo(peer: ScriptedPeer) -> list[int]:
    peer.associate()
    peer.echo()
    peer.release()
    return []


def echo_and_abort(peer: ScriptedPeer) -> list[int]:
    peer.associate()
    peer.echo()
    peer.send(pdu.abort())
    peer.drain()
    return []


def vanish(peer: ScriptedPeer) -> list[int]:
    peer.associate()
    peer.half_close()
    peer.drain()
    return []


def store_three(peer: ScriptedPeer) -> list[int]:
    peer.associate()
    statuses = []
    for number in range(3):
        made = make.ct(number)
        statuses.append(peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set,
                                   message_id=number + 1))  # fmt: skip
    peer.release()
    return statuses


def store_large(peer: ScriptedPeer) -> list[int]:
    """More than one data set PDV: one progress dot each."""
    made = make.ct(1, rows=300, columns=300)
    peer.associate()
    status = peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set)
    peer.release()
    return [status]


def store_twice(peer: ScriptedPeer) -> list[int]:
    peer.associate()
    statuses = [
        peer.store(3, one.sop_class_uid, one.sop_instance_uid, one.data_set)
        for one in (make.ct(1), make.ct(1, seed=8, sop_instance_uid=make.ct(1).sop_instance_uid))
    ]
    peer.release()
    return statuses


def nothing_acceptable(peer: ScriptedPeer) -> list[int]:
    peer.send(pdu.associate_rq([(1, pdu.STUDY_ROOT_FIND, [pdu.IMPLICIT]),
                                (3, pdu.CT, ["1.2.3.4"])]))  # fmt: skip
    found, _ = peer.expect_pdu()
    if found == pdu.ASSOCIATE_AC:
        peer.send(pdu.release_rq())
        peer.expect_pdu(pdu.RELEASE_RP)
    peer.half_close()
    return [found]


def wrong_application_context(peer: ScriptedPeer) -> list[int]:
    peer.send(pdu.associate_rq(application_context=b"1.2.3.4"))
    found, body = peer.expect_pdu()
    peer.half_close()
    return [found, *body]


ACTIONS: list[Action] = [
    echo, echo_and_abort, vanish, store_three, store_large, store_twice, nothing_acceptable,
    wrong_application_context,
]  # fmt: skip


def masked(receiver: Receiver, text: str) -> list[str]:
    """Lines with everything that varies or names the implementation replaced."""
    text = text.replace(str(receiver.directory), "<directory>")
    text = re.sub(r"(Implementation (?:Class UID|Version Name): +).*", r"\1<ours>", text)
    text = re.sub(r"\$(?:dcmtk|dcmfast): (\w+) v[^$]*\$", r"$<program>: \1 $", text)
    aside = ONLY_OURS if receiver.is_ours else ONLY_DCMTK
    return [line for line in text.splitlines() if not aside.fullmatch(line)]


END = {
    "storescp": r"^[IE]: (Association (Release|Aborted|Rejected.*)|DIMSE [Ff]ailure.*)$",
    "dcmrecv": r"^[IE]: (Received Association (Release|Abort) Request|Refusing Association.*"
    r"|DIMSE.*)$",
}


def run(receiver: Receiver, action: Action, level: str) -> tuple[list[int], list[str], list[str]]:
    """Do the action; statuses, masked log, file names."""
    with ScriptedPeer(receiver.port) as peer:
        statuses = action(peer)
    if level != "default":
        receiver.stderr.wait_for(END[receiver.tool])
    if level == "-d" and receiver.tool == "dcmrecv":
        receiver.stderr.wait_for(r"^D: DcmSCP: Association Terminated\nD: \++\n")
    receiver.stop()
    return statuses, masked(receiver, receiver.stderr.text), receiver.names()


@pytest.mark.parametrize("level", ["default", "-v", "-d"])
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_the_same_action_is_told_alike(
    tool: str, action: Action, level: str, running_scp: StartReceiver
) -> None:
    """Statuses, names and lines."""
    if tool == "dcmrecv" and action is vanish:
        pytest.skip("DCMTK's dcmrecv says nothing when a peer vanishes")
    options = [*(PROFILE if tool == "dcmrecv" else ()), "-dhl"]
    options += [] if level == "default" else [level]
    results = {}
    outputs = {}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp(tool, *options, implementation=implementation)
        results[implementation] = run(receiver, action, level)
        outputs[implementation] = receiver.stdout.text
    assert results["dcmfast"][0] == results["dcmtk"][0]
    assert results["dcmfast"][2] == results["dcmtk"][2]
    assert results["dcmfast"][1] == results["dcmtk"][1]
    assert outputs["dcmfast"] == outputs["dcmtk"]


#: Requests that are none, each with what stands behind the condition's number in both logs.
NO_REQUESTS = {
    "0006:0308 DUL ": [
        b"\x01\x00\x00\x00\x00\x06\x00\x01\x00\x00\x00\x00",
        pdu.associate_rq([], extra=b"\x20\x00\x01\xf4"),
        pdu.associate_rq(user=b"\x50\x00\x00\x06\x51\x00\x00\x02\x40\x00"),
    ],
    "0006:0310 DUL network closed": [pdu.associate_rq()[:40]],
    "0006:0321 Unrecognized PDU type: 47": [b"GET / HTTP/1.0\r\n\r\n"],
    "0006:0322 DUL Unsupported peer protocol 0002; expected 0001 in parseAssociate": [
        pdu.associate_rq(protocol_version=2)
    ],
}


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_requests_that_are_none_are_errors_at_the_default_level(
    tool: str, running_scp: StartReceiver
) -> None:
    """One fault, one event, with DCMTK's condition; nothing was received then."""
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp(tool, *(PROFILE if tool == "dcmrecv" else ()),
                               implementation=implementation)  # fmt: skip
        count = 0
        for condition, requests in NO_REQUESTS.items():
            begin = f"Receiving Association failed: {condition}"
            if tool == "dcmrecv":
                begin = f"Could not receive association request: {condition.partition(' ')[2]}"
            for at, request in enumerate(requests):
                with ScriptedPeer(receiver.port) as peer:
                    peer.send_tolerant(request)
                    with contextlib.suppress(OSError):
                        peer.half_close()
                        peer.drain()
                receiver.stderr.wait_for(f"^E: {re.escape(begin)}.*$", count=at + 1)
                count += 1
        receiver.stop()
        lines = receiver.stderr.lines
        if implementation == "dcmfast":
            # One of ours stands behind each, and says who it was and what was wrong.
            ours = lines[1::2]
            begin = "E: dcmfast.association: no association with 127.0.0.1:"
            assert [line for line in ours if not line.startswith(begin)] == []
            for why in ("47H is no type of a PDU", "went in the middle", "lacks bit 0"):
                assert len([line for line in ours if why in line]) == 1, ours
            lines = lines[::2]
        assert len(lines) == count, receiver.stderr.text


def _faults() -> dict[str, bytes]:
    """What ends an association, by name: bytes behind its request."""
    command = pdu.c_store_rq(make.CT, "1.2.3", 1)
    store = pdu.p_data(pdu.pdv(3, command, command=True))
    body = (100).to_bytes(4, "big") + b"\x03\x03abcd"
    return {
        "a context that was not proposed": pdu.p_data(pdu.pdv(9, command, command=True)),
        "an even context": pdu.p_data(pdu.pdv(4, command, command=True)),
        "an unknown PDU": b"\x0b\0\0\0\0\x04abcd",
        "a PDU that is too long": b"\x04\0" + (200000).to_bytes(4, "big"),
        "a second request": pdu.associate_rq(),
        "a rejection": b"\x03\0\0\0\0\x04\0\x01\x01\x01",
        "an answer to no release": b"\x06\0\0\0\0\x04\0\0\0\0",
        "an empty PDU": b"\x04\0\0\0\0\0",
        "a PDV that is too long": b"\x04\0\0\0\0\x0a" + body,
        "no command": pdu.p_data(pdu.pdv(3, b"", command=True)),
        "a command in a data set": store + store,
        "an unknown PDU in a data set": store + b"\x0b\0\0\0\0\x04abcd",
        "a release in a data set": store + pdu.release_rq(),
        "an abort in a data set": store + pdu.abort(),
    }


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_faults_of_peers_are_told_with_dcmtks_conditions(
    tool: str, running_scp: StartReceiver
) -> None:
    """Each with all its lines, in their order; what ours tells besides names its logger."""
    told = {}
    for implementation in ("dcmtk", "dcmfast"):
        options = PROFILE if tool == "dcmrecv" else ()
        receiver = running_scp(tool, *options, implementation=implementation)
        for fault in _faults().values():
            with ScriptedPeer(receiver.port) as peer:
                peer.associate()
                peer.send_tolerant(fault)
                with contextlib.suppress(OSError):
                    peer.half_close()
                    peer.drain()
        # All was told before the next was accepted, but what the last one led to.
        last = r"0317 Peer aborted .*\n"
        receiver.stderr.wait_for(last + r"E: Unable.*\n" if tool == "dcmrecv" else last)
        receiver.stop()
        told[implementation] = masked(receiver, receiver.stderr.text)
    assert told["dcmfast"] == told["dcmtk"]


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_files_of_bit_preserving_mode_are_equal(tool: str, running_scp: StartReceiver) -> None:
    """`+B`: the whole file, our implementation class UID and version name aside."""
    options = [*(PROFILE if tool == "dcmrecv" else ()), "+B"]
    found = {}
    for implementation in ("dcmtk", "dcmfast"):
        receiver = running_scp(tool, *options, implementation=implementation)
        with ScriptedPeer(receiver.port) as peer:
            peer.associate()
            for number, (context_id, syntax) in enumerate(
                [(3, pdu.EXPLICIT), (5, pdu.IMPLICIT), (3, pdu.EXPLICIT)]
            ):
                padding = make.Syntax.of(syntax).element((0xFFFC, 0xFFFC), "OB", bytes(8))
                made = make.ct(number, transfer_syntax_uid=syntax, tail=padding)
                peer.store(context_id, made.sop_class_uid, made.sop_instance_uid, made.data_set)
            peer.release()
        found[implementation] = {}
        for path in receiver.files():
            meta, data_set = split_part10(path.read_bytes())
            for number in (0x00, 0x12, 0x13):
                del meta[number]
            found[implementation][path.name] = (meta, data_set)
    assert len(found["dcmtk"]) == 3
    assert found["dcmfast"] == found["dcmtk"]


@pytest.mark.parametrize("level", ["-v", "-d"])
def test_what_is_replaced_in_bit_preserving_mode(level: str, running_scp: StartReceiver) -> None:
    """Dcmrecv looks for a file of that name before it says what was asked for."""

    def twice(peer: ScriptedPeer) -> list[int]:
        peer.associate()
        made = make.ct(1)
        statuses = [peer.store(3, make.CT, made.sop_instance_uid, made.data_set) for _ in range(2)]
        peer.release()
        return statuses

    results = {}
    for implementation in ("dcmtk", "dcmfast"):
        options = [*PROFILE, "-dhl", "+B", level]
        receiver = running_scp("dcmrecv", *options, implementation=implementation)
        results[implementation] = run(receiver, twice, level)
    assert results["dcmfast"] == results["dcmtk"]
    told = "\n".join(results["dcmfast"][1])
    assert told.count("file already exists, overwriting: ") == 1


@pytest.mark.parametrize("sender", ["storescu", "dcmsend", "echoscu"])
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_dcmtks_senders_see_the_same(
    tool: str, sender: str, running_scp: StartReceiver, tmp_path: object
) -> None:
    """What the sender prints at `-d` about our answers equals what it prints about DCMTK's."""
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(make.ct(1)))
    files = [] if sender == "echoscu" else [str(path)]
    told = {}
    for implementation in ("dcmtk", "dcmfast"):
        options = PROFILE if tool == "dcmrecv" else ()
        receiver = running_scp(tool, *options, implementation=implementation)
        done = run_tool("dcmtk", sender, ["-d", "localhost", str(receiver.port), *files])
        text = re.sub(r"(Their Implementation.*: +).*", r"\1<ours>", done.stderr)
        # An empty line follows the bytes of a PDU whose length is a multiple of sixteen.
        lines = [
            line
            for line in text.splitlines()
            if line != "D: " and not ONLY_DCMTK.fullmatch(line) and not BYTES.fullmatch(line)
        ]
        told[implementation] = (done.code, done.stdout, lines)
    assert told["dcmfast"] == told["dcmtk"]


@pytest.mark.parametrize("tool", ["echoscu", "storescu"])
@pytest.mark.parametrize("level", ["default", "-v", "-d"])
def test_our_senders_say_the_same(
    tool: str, level: str, running_scp: StartReceiver, tmp_path: object
) -> None:
    """Dcmfast's requestors beside DCMTK's, against the same receiver."""
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(make.ct(1, rows=200, columns=200)))
    files = [] if tool == "echoscu" else [str(path)]
    receiver = running_scp("storescp", implementation="dcmtk")
    told = {}
    for implementation in ("dcmtk", "dcmfast"):
        options = [] if level == "default" else [level]
        if tool == "storescu":
            options.append("-R")
        done = run_tool(implementation, tool, [*options, "localhost", str(receiver.port), *files])
        text = re.sub(r"(Our Implementation.*: +).*", r"\1<ours>", done.stderr)
        text = re.sub(r"\$(?:dcmtk|dcmfast): (\w+) v[^$]*\$", r"$<program>: \1 $", text)
        # DCMTK proposes a second context for what it could convert to; we propose what is needed.
        text = re.sub(r"D:   Context ID: +[2-9] .*\n(?:D: {4,}.*\n)*", "", text)
        # An empty line follows the bytes of a PDU whose length is a multiple of sixteen.
        lines = [
            line
            for line in text.splitlines()
            if line != "D: " and not ONLY_DCMTK.fullmatch(line) and not BYTES.fullmatch(line)
        ]
        told[implementation] = (done.code, done.stdout, lines)
    assert told["dcmfast"] == told["dcmtk"]
