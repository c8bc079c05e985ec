"""Faults on demand: `--fault`, `--fault-seed`, and storescp's own four options of that kind.

What a rule may say is ``tests/unit/config/test_faults.py``; which events a rule fires at,
``rust/core/src/server/faults.rs``.  One receiver serves many rules, told apart by calling titles.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from testkit import pdu
from testkit.kinds import Connect, StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, run_tool
from vectors import make

BOTH = pytest.mark.parametrize("implementation", ["dcmtk", "dcmfast"])

RULES = (
    "store calling=REFUSED status=A700",
    "store calling=WARNED status=B007",
    "store calling=DELAYED delay=0.6",
    "store calling=ABORTED abort",
    "store calling=CUT at=data abort",
    "store calling=CLOSED close",
    "store calling=HALF truncate",
    "store calling=SLOW slow-read=8000",
    "store calling=BEHIND at=next abort",
    "store calling=THIRD every=3 status=A701",
    "store calling=CLASS class=SecondaryCaptureImageStorage status=A702",
    "store calling=HALVES rate=50% status=C001",
    "store calling=BOTH delay=0.3",
    "store calling=BOTH status=0110",
    "store calling=BOTH abort",
    "echo calling=ECHO every=2 status=0122",
    "echo calling=EABORT abort",
    "echo calling=ECLOSE close",
    "echo calling=EHALF truncate",
    "echo calling=ENEXT at=next close",
    "association calling=NOBODY reject",
    "association calling=LATER reject=2/3/2",
    "association calling=AABORT abort",
    "association calling=ACLOSE close",
    "association calling=AHALF truncate",
    "association calling=ANEXT at=next abort",
    "association calling=ASLOW slow-read=8000",
    "association calling=MRONLY class=MRImageStorage reject=1/1/2",
)


@pytest.fixture(scope="module")
def receiver(shared_scp: StartReceiver) -> Receiver:
    """A storescp with all the rules."""
    options = [word for rule in RULES for word in ("--fault", rule)]
    return shared_scp("storescp", "-v", *options)


def calling(connect: Connect, receiver: Receiver, title: str) -> ScriptedPeer:
    peer = connect(receiver)
    peer.associate(calling=title)
    return peer


def store(peer: ScriptedPeer, number: int = 1) -> int:
    one = make.ct(number)
    return peer.store(3, pdu.CT, one.sop_instance_uid, one.data_set)


def begin(peer: ScriptedPeer, number: int = 1) -> None:
    one = make.ct(number)
    peer.send_store(3, pdu.CT, one.sop_instance_uid, one.data_set)


def names(receiver: Receiver, number: int) -> list[str]:
    uid = make.ct(number).sop_instance_uid
    return [name for name in receiver.names() if name.endswith(uid)]


def test_who_is_not_meant_is_served(receiver: Receiver, scripted_peer: Connect) -> None:
    peer = calling(scripted_peer, receiver, "ANYBODY")
    peer.echo()
    assert store(peer, 1) == 0
    peer.release()
    assert names(receiver, 1)


@pytest.mark.parametrize(
    ("title", "status", "is_kept"), [("REFUSED", 0xA700, False), ("WARNED", 0xB007, True)]
)
def test_a_status(
    title: str, status: int, is_kept: bool, receiver: Receiver, scripted_peer: Connect
) -> None:
    """A failure keeps nothing, a warning keeps the object; the association lives on."""
    number = 20 + is_kept
    peer = calling(scripted_peer, receiver, title)
    assert store(peer, number) == status
    assert bool(names(receiver, number)) == is_kept
    peer.echo()
    peer.release()
    receiver.stderr.wait_for(r"^I: dcmfast.association: fault rule \d+ fires: store$")


@pytest.mark.parametrize(("title", "least_s"), [("DELAYED", 0.6), ("BOTH", 0.3)])
def test_a_delay(title: str, least_s: float, receiver: Receiver, scripted_peer: Connect) -> None:
    """Of several rules delays add up and the first status counts; neighbours are not delayed."""
    peer, neighbour = (calling(scripted_peer, receiver, one) for one in (title, "ANYBODY"))
    begun = time.monotonic()
    begin(peer, 22)
    neighbour.echo()
    assert time.monotonic() - begun < least_s
    status = pdu.value_us(peer.expect_message(), pdu.STATUS)
    assert time.monotonic() - begun >= least_s
    assert status == (0x0110 if title == "BOTH" else 0)


@pytest.mark.parametrize("title", ["ABORTED", "CUT"])
def test_an_abort(title: str, receiver: Receiver, scripted_peer: Connect) -> None:
    peer = calling(scripted_peer, receiver, title)
    begin(peer, 23)
    peer.expect_abort((0, 0))
    assert not names(receiver, 23)


@pytest.mark.parametrize("title", ["CLOSED", "HALF"])
def test_a_close_and_half_an_answer(title: str, receiver: Receiver, scripted_peer: Connect) -> None:
    peer = calling(scripted_peer, receiver, title)
    begin(peer, 24 + (title == "HALF"))
    rest = peer.drain()
    if title == "CLOSED":
        assert rest == b""
        assert not names(receiver, 24)
    else:
        assert rest[:1] == b"\x04"
        assert 6 < len(rest) < 6 + int.from_bytes(rest[2:6], "big")
        assert names(receiver, 25)


@pytest.mark.parametrize("title", ["SLOW", "ASLOW"])
def test_slow_reading(title: str, receiver: Receiver, scripted_peer: Connect) -> None:
    """A data set of 4 KB at 8000 bytes a second."""
    peer = calling(scripted_peer, receiver, title)
    data = make.ct(26, rows=64, columns=32).data_set
    begun = time.monotonic()
    assert peer.store(3, pdu.CT, make.ct(26).sop_instance_uid, data) == 0
    assert time.monotonic() - begun > 0.3
    peer.echo()


def test_behind_the_answer(receiver: Receiver, scripted_peer: Connect) -> None:
    peer = calling(scripted_peer, receiver, "BEHIND")
    assert store(peer, 27) == 0
    peer.expect_abort((0, 0))
    assert names(receiver, 27)


def test_every_nth(receiver: Receiver, scripted_peer: Connect) -> None:
    """Counted over associations."""
    statuses = []
    for _ in range(3):
        peer = calling(scripted_peer, receiver, "THIRD")
        statuses += [store(peer, 28), store(peer, 28)]
        peer.release()
    assert statuses == [0, 0, 0xA701, 0, 0, 0xA701]


def test_a_sop_class(receiver: Receiver, scripted_peer: Connect) -> None:
    peer = calling(scripted_peer, receiver, "CLASS")
    assert store(peer, 29) == 0
    other = make.ct(29, sop_class_uid=pdu.SECONDARY_CAPTURE)
    status = peer.store(7, pdu.SECONDARY_CAPTURE, other.sop_instance_uid, other.data_set)
    assert status == 0xA702


def test_a_rate_is_the_same_with_the_same_seed(
    receiver: Receiver, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    def run(one: Receiver) -> list[int]:
        peer = calling(scripted_peer, one, "HALVES")
        return [store(peer, 30) for _ in range(40)]

    first = run(receiver)
    assert set(first) == {0, 0xC001}
    options = [word for rule in RULES for word in ("--fault", rule)]
    assert run(running_scp("storescp", *options)) == first
    assert run(running_scp("storescp", *options, "--fault-seed", "2")) != first


def test_faults_of_an_echo(receiver: Receiver, scripted_peer: Connect) -> None:
    request = pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(5), command=True))
    peer = calling(scripted_peer, receiver, "ECHO")
    statuses = []
    for _ in range(4):
        peer.send(request)
        statuses.append(pdu.value_us(peer.expect_message(), pdu.STATUS))
    assert statuses == [0, 0x0122, 0, 0x0122]
    peer = calling(scripted_peer, receiver, "EABORT")
    peer.send(request)
    peer.expect_abort((0, 0))
    for title in ("ECLOSE", "EHALF"):
        peer = calling(scripted_peer, receiver, title)
        peer.send(request)
        assert (peer.drain() == b"") == (title == "ECLOSE")
    peer = calling(scripted_peer, receiver, "ENEXT")
    peer.echo()
    peer.expect_closed()


def test_faults_of_an_association(receiver: Receiver, scripted_peer: Connect) -> None:
    for title, rejection in (("NOBODY", (1, 1, 1)), ("LATER", (2, 3, 2))):
        peer = scripted_peer(receiver)
        peer.send(pdu.associate_rq(calling=title))
        peer.expect_reject(*rejection)
    peer = scripted_peer(receiver)
    peer.send(pdu.associate_rq(calling="AABORT"))
    peer.expect_abort((0, 0))
    for title in ("ACLOSE", "AHALF"):
        peer = scripted_peer(receiver)
        peer.send(pdu.associate_rq(calling=title))
        rest = peer.drain()
        if title == "ACLOSE":
            assert rest == b""
        else:
            assert 6 < len(rest) < 6 + int.from_bytes(rest[2:6], "big")
    peer = calling(scripted_peer, receiver, "ANEXT")
    peer.expect_abort((0, 0))
    # Only a proposed class is meant.
    calling(scripted_peer, receiver, "MRONLY").echo()


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv", "dcmqrscp", "serve"])
def test_a_rule_that_is_wrong_ends_the_start(tool: str, tmp_path: Path, free_port: int) -> None:
    place = {"serve": [tmp_path], "dcmqrscp": [str(free_port)]}.get(tool, [str(free_port)])
    done = run_tool("dcmfast", tool, [*place, "--fault", "store rate=2 abort"])
    assert done.code == 1
    assert done.lines[-1] == (
        "error: Invalid value for option --fault (store rate=2 abort): "
        "character 7, rate=2: a rate is from 0 to 1, or from 0% to 100%"
    )


@pytest.mark.parametrize("tool", ["dcmrecv", "dcmqrscp", "serve"])
def test_other_receivers_have_faults_too(
    tool: str, running_scp: StartReceiver, scripted_peer: Connect, tmp_path: Path
) -> None:
    options: tuple[str, ...] = ()
    area = tmp_path / "area"
    area.mkdir()
    if tool == "dcmqrscp":
        config = tmp_path / "dcmqrscp.cfg"
        config.write_text(f"AETable BEGIN\nANY-SCP {area} RW (9, 9mb) ANY\nAETable END\n")
        options = ("-c", str(config))
    receiver = running_scp(
        tool, *options, "--fault", "echo every=2 status=0110",
        "--fault", "store every=2 status=A700", "--fault-seed", "9", directory=area,
    )  # fmt: skip
    receiver.stderr.wait_for(
        r"^W: dcmfast\.faults: 2 rules of --fault at work: failures are on purpose \(seed 9\)$"
    )
    with ScriptedPeer(receiver.port) as peer:
        peer.associate(pdu.CONTEXTS[:1] if tool == "dcmrecv" else pdu.CONTEXTS)
        peer.echo()
        peer.send(pdu.p_data(pdu.pdv(1, pdu.c_echo_rq(5), command=True)))
        assert pdu.value_us(peer.expect_message(), pdu.STATUS) == 0x0110
        if tool != "dcmrecv":
            assert [store(peer, 1), store(peer, 2)] == [0, 0xA700]
            peer.release()
            # Once it has ended, what was acknowledged stands in files.
            assert receiver.stop() == 0
            assert sum(path.is_file() for path in (area / "objects").rglob("*")) == 1


# ---- storescp's own options


@BOTH
def test_abort_after(
    implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """A-ABORT in place of the response; nothing is kept."""
    receiver = running_scp("storescp", "--abort-after", "-v", implementation=implementation)
    peer = calling(scripted_peer, receiver, "X")
    peer.echo()
    begin(peer)
    # DCMTK's program waits for the peer to close.
    peer.expect_pdu(pdu.ABORT)
    assert receiver.names() == []
    receiver.stderr.wait_for(ABORTED)


@BOTH
def test_abort_during(
    implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """A-ABORT at the first fragment: the rest need not come."""
    receiver = running_scp("storescp", "--abort-during", "-v", implementation=implementation)
    peer = calling(scripted_peer, receiver, "X")
    one = make.ct(1)
    peer.send(
        pdu.p_data(pdu.pdv(3, pdu.c_store_rq(pdu.CT, one.sop_instance_uid), command=True)),
        pdu.p_data(pdu.pdv(3, one.data_set[:64], last=False)),
    )
    # DCMTK's program waits for the peer to close.
    peer.expect_pdu(pdu.ABORT)
    assert receiver.names() == []
    receiver.stderr.wait_for(ABORTED)


ABORTED = r"ABORT initiated \(due to command line options\)"


@BOTH
@pytest.mark.parametrize(
    ("option", "least_s", "is_before"),
    [
        ("--sleep-after", 1, False),
        # Once at the begin, at the one fragment, and at the end.
        ("--sleep-during", 3, True),
    ],
)
def test_sleeps(
    option: str, least_s: float, is_before: bool, implementation: str,
    running_scp: StartReceiver, scripted_peer: Connect,
) -> None:  # fmt: skip
    """Before the response, or between it and the next command."""
    receiver = running_scp("storescp", option, "1", implementation=implementation)
    peer = calling(scripted_peer, receiver, "X")
    begun = time.monotonic()
    assert store(peer) == 0
    answered = time.monotonic() - begun
    peer.echo()
    both = time.monotonic() - begun
    assert (answered >= least_s) == is_before
    assert least_s <= both < least_s + 1.5
