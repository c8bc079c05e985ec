"""Events of storescp: ``-xcr``, ``-xcs``, ``-rns``, ``-tos``, ``-xs``, beside DCMTK's own."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from dcmfast import limits
from testkit import pdu
from testkit.cases import BOTH
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, wait_until
from testkit.sending import folders, masked, next_millisecond, send, tree
from vectors import make

ONE, TWO, THREE = (make.ct(number, study=number) for number in (1, 2, 3))
MORE = make.ct(9, study=1)


class Log:
    """A file that commands append a line to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def command(self, words: str) -> str:
        """A command line that appends `words` as the shell gives them."""
        return f"echo {words} >> '{self.path}'"

    @property
    def lines(self) -> list[str]:
        """The lines that are complete."""
        return self.path.read_text("latin-1").split("\n")[:-1] if self.path.exists() else []

    def wait_for(self, count: int) -> list[str]:
        """Wait for so many lines, and give them."""
        wait_until(lambda: len(self.lines) >= count, what=f"{count} lines in {self.lines}")
        return self.lines

    def shown(self, receiver: Receiver, count: int) -> list[str]:
        """So many lines, without what differs from run to run."""
        text = [line.replace(str(receiver.directory), "<od>") for line in self.wait_for(count)]
        return [masked(line) for line in text]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def has_children(receiver: Receiver) -> bool:
    """True while a process that the receiver started lives or waits to be collected."""
    tasks = Path(f"/proc/{receiver.process.pid}/task")
    return any((task / "children").read_text().strip() for task in tasks.iterdir())


def store(peer: ScriptedPeer, made: make.SyntheticObject) -> int:
    return peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set)


# ---- -xcr --------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("spelling", ["-xcr", "--exec-on-reception"])
def test_exec_on_reception(
    spelling: str, implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """One command for each object, with the values of all placeholders."""
    receiver = running_scp(
        "storescp", spelling, log.command("#p #f #a #c #r"), "-dhl", implementation=implementation
    )
    send(receiver, [ONE], calling="MY SCU", called="MY SCP")
    log.wait_for(1)
    send(receiver, [TWO], calling="OTHER")
    assert log.shown(receiver, 2) == [
        f"<od> CT.{ONE.sop_instance_uid} MY SCU MY SCP 127.0.0.1",
        f"<od> CT.{TWO.sop_instance_uid} OTHER ANY-SCP 127.0.0.1",
    ]
    wait_until(lambda: not has_children(receiver), what="commands are collected")


#: Text → what is printed. Titles stand between double quotes in DCMTK's text.
TEXTS = {
    "#f#f x#fy ##p": "<file><file> x<file>y",
    "'#p' \"#f\" '#a'": '<od> <file> "SCU"',
    'a=#a.c "#a" "x #c y"': "a=SCU.c SCU x SCP y",
    "`echo #a` $(echo #f) | tr A-Z A-Z": "SCU <file>",
    "#x #a": "",
    "x#fff#b\\#a": "x<file>ff#bSCU",
}


@pytest.mark.parametrize(
    ("text", "implementation"),
    [
        (text, implementation)
        for text in TEXTS
        for implementation in ("dcmfast", "dcmtk")
        # DCMTK's own quote is taken by the backslash, and the other one then missing.
        if implementation == "dcmfast" or "\\" not in text
    ],
)
def test_placeholders_may_stand_anywhere(
    text: str, implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """In words, in quotes of either kind, in substitutions, before pipes; unknown ones stay."""
    receiver = running_scp(
        "storescp", "-xcr", f"{{ echo {text}\n}} >> '{log.path}'", implementation=implementation
    )
    send(receiver, [ONE], calling="SCU", called="SCP")
    (line,) = log.shown(receiver, 1)
    assert line.replace(f"CT.{ONE.sop_instance_uid}", "<file>") == TEXTS[text]


@BOTH
def test_the_peers_name_is_a_placeholder(
    implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    receiver = running_scp("storescp", "-xcr", log.command("#r"), implementation=implementation)
    send(receiver, [ONE])
    assert log.wait_for(1) == ["localhost"]


@BOTH
def test_nothing_is_written_and_the_command_runs(
    implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """`--ignore`: `#p` and `#f` have no value and stay."""
    command = log.command("x#p x#f #a")
    receiver = running_scp("storescp", "--ignore", "-xcr", command, implementation=implementation)
    send(receiver, [ONE], calling="SCU")
    assert log.wait_for(1) == ["x#p x#f SCU"]
    assert receiver.files() == []


@BOTH
def test_a_refused_object_has_its_command(
    implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """Whatever the status: A900H here. `#f` names the file that should be there."""
    receiver = running_scp("storescp", "-xcr", log.command("#f"), implementation=implementation)
    odd = make.ct(1, command_instance_uid="1.2.3")
    assert send(receiver, [odd]) == [0xA900]
    assert log.wait_for(1) == ["CT.1.2.3"]


@BOTH
def test_the_command_sees_the_studys_folder(
    implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    receiver = running_scp(
        "storescp", "-ss", "ST", "-xcr", log.command("#p/#f"), "-xs", implementation=implementation
    )
    send(receiver, [ONE, TWO])
    assert log.shown(receiver, 2) == [
        f"<od>/ST_<time>/CT.{made.sop_instance_uid}" for made in (ONE, TWO)
    ]
    for line in log.lines:
        assert Path(line).is_file()


@BOTH
def test_bit_preserving_mode_has_commands(
    implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    receiver = running_scp(
        "storescp", "+B", "-xcr", log.command("#p/#f"), implementation=implementation
    )
    send(receiver, [ONE])
    assert Path(log.wait_for(1)[0]).is_file()


@BOTH
def test_a_process_of_its_own_has_commands(
    implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """`--fork`: run by the association's process; each has studies of its own."""
    receiver = running_scp(
        "storescp", "--fork", "-su", "ST", "-xcr", log.command("#p/#f #a"),
        implementation=implementation,
    )  # fmt: skip
    send(receiver, [ONE], calling="FIRST")
    send(receiver, [MORE], calling="SECOND")
    folder = f"<od>/ST_{ONE.study_instance_uid}"
    assert sorted(log.shown(receiver, 2)) == [
        f"{folder}/CT.{made.sop_instance_uid} {title}"
        for made, title in ((ONE, "FIRST"), (MORE, "SECOND"))
    ]
    wait_until(lambda: not has_children(receiver) or receiver.is_ours)


# ---- Commands and peers ------------------------------------------------------------------------

HOSTILE_TITLES = [
    "`touch x`", "$(touch x)", ";touch x", "\";touch x;\"", "';touch x;'", "|touch x", "&touch x",
    ">x", "\ntouch x\n", "a\\\"b'c", "${IFS}x", "* ?", "'", "\"", "\\", "#c", "~", "-n", "\x1b[2J",
]  # fmt: skip
QUOTINGS = ["#a", "'#a'", '"#a"', "`printf %s #a`", '"$(printf %s "#a")"', "x'#a'\"#a\"#a"]


@pytest.mark.parametrize("quoting", QUOTINGS)
def test_no_title_becomes_a_command(quoting: str, running_scp: StartReceiver, log: Log) -> None:
    """DIFFERENCES.md D12: titles of both sides are data to the shell, in whatever quotes."""
    cwd = log.path.parent / "cwd"
    cwd.mkdir()
    text = f"cd '{cwd}' && printf '[%s]' {quoting} {quoting.replace('#a', '#c')} >> '{log.path}'"
    receiver = running_scp("storescp", "-xs", "-xcr", text + f"; echo >> '{log.path}'")
    for title in HOSTILE_TITLES:
        assert send(receiver, [ONE], calling=title, called=title) == [0]
    lines = log.wait_for(len(HOSTILE_TITLES))
    assert list(cwd.iterdir()) == []
    assert len(lines) == len(HOSTILE_TITLES)
    if quoting in ("#a", '"#a"'):
        for title, line in zip(HOSTILE_TITLES, lines, strict=True):
            plain = re.sub(r"[\0-\x1f]", "_", title.strip(" "))
            assert line == f"[{plain}][{plain}]"


def test_the_values_are_in_the_environment(running_scp: StartReceiver, log: Log) -> None:
    """For commands that hand their text to a second interpreter."""
    names = ("PATH", "FILE", "CALLING_TITLE", "CALLED_TITLE", "PEER")
    inner = " ".join(f'"$DCMFAST_{name}"' for name in names)
    receiver = running_scp(
        "storescp", "-dhl", "-xcr", f"sh -c 'printf \"[%s]\" {inner}; echo #f' >> '{log.path}'"
    )
    send(receiver, [ONE], calling="`id`", called="$(id)")
    name = f"CT.{ONE.sop_instance_uid}"
    assert log.shown(receiver, 1) == [f"[<od>][{name}][`id`][$(id)][127.0.0.1]{name}"]


def test_a_command_inherits_no_socket(running_scp: StartReceiver, log: Log) -> None:
    """DCMTK's keeps the port and the association in use while it runs."""
    text = f"ls -l /proc/self/fd >> '{log.path}'; {log.command('end')}"
    receiver = running_scp("storescp", "-xcr", text)
    send(receiver, [ONE])
    wait_until(lambda: "end" in log.lines)
    assert "socket:" not in log.path.read_text()


@BOTH
@pytest.mark.parametrize("sync", [(), ("-xs",)], ids=str)
def test_a_failing_command_costs_nothing(
    sync: tuple[str, ...], implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """Not there, exit code 3, or killed: the store and its neighbours are not concerned."""
    text = f"/no/such/program; {log.command('#f')}; exit 3"
    receiver = running_scp("storescp", "-xcr", text, *sync, implementation=implementation)
    assert send(receiver, [ONE, TWO, THREE]) == [0, 0, 0]
    assert sorted(log.wait_for(3)) == [f"CT.{one.sop_instance_uid}" for one in (ONE, TWO, THREE)]
    assert len(receiver.files()) == 3


class Gate:
    """A pipe that a command cannot open to read before the test has opened it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        #: For a command line; what waits there holds no stream of the receiver's.
        self.command = f"exec > /dev/null 2>&1; exec 3< '{path}'"

    def __enter__(self) -> None:
        self._descriptor = os.open(self.path, os.O_RDWR)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "pipe")


@BOTH
def test_a_slow_command_holds_nothing_back(
    implementation: str, running_scp: StartReceiver, log: Log, gate: Gate
) -> None:
    """Without `-xs` the next object does not wait for the command of the one before."""
    text = f"{gate.command}; {log.command('#f')}"
    receiver = running_scp("storescp", "-xcr", text, implementation=implementation)
    # Not released: DCMTK's commands hold the connection open, and its end would not be seen.
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        assert [store(peer, made) for made in (ONE, TWO, THREE)] == [0, 0, 0]
    assert log.lines == []
    assert len(receiver.files()) == 3
    with gate:
        log.wait_for(3)


def test_many_slow_commands_are_bounded_and_lose_no_object(
    running_scp: StartReceiver, log: Log, gate: Gate
) -> None:
    """limits.COMMANDS_RUNNING_MAX run at once; the rest starts in order when there is room."""
    most = limits.LIMITS["COMMANDS_RUNNING_MAX"]
    receiver = running_scp("storescp", "-xcr", f"{gate.command}; {log.command('#f')}")
    objects = [make.ct(number) for number in range(most + 20)]
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        assert [store(peer, made) for made in objects] == [0] * len(objects)
        peer.release()

    def running() -> int:
        tasks = Path(f"/proc/{receiver.process.pid}/task")
        return sum(len((task / "children").read_text().split()) for task in tasks.iterdir())

    wait_until(lambda: running() == most, within_s=30)
    assert log.lines == []
    with gate:
        lines = log.wait_for(len(objects))
    assert sorted(lines) == sorted(f"CT.{made.sop_instance_uid}" for made in objects)
    wait_until(lambda: not has_children(receiver), what="commands are collected")


@BOTH
@pytest.mark.parametrize("spelling", ["-xs", "--exec-sync"])
def test_exec_sync(
    spelling: str, implementation: str, running_scp: StartReceiver, log: Log, gate: Gate
) -> None:
    """The response comes at once; the next request is answered when the command is over."""
    text = f"{gate.command}; {log.command('#f')}"
    receiver = running_scp("storescp", spelling, "-xcr", text, implementation=implementation)
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        assert store(peer, ONE) == 0
        peer.send_store(3, pdu.CT, TWO.sop_instance_uid, TWO.data_set)
        peer.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peer.socket.recv(1)
        peer.socket.settimeout(10)
        assert log.lines == []
        with gate:
            assert pdu.value_us(peer.expect_message(), pdu.STATUS) == 0
            assert log.lines[0] == f"CT.{ONE.sop_instance_uid}"
            peer.release()
            log.wait_for(2)


def test_a_command_that_is_waited_for_holds_no_other_association(
    running_scp: StartReceiver, log: Log, gate: Gate
) -> None:
    """`-xs`: each association waits for its own commands only."""
    text = f"case #a in SLOW) {gate.command};; esac; {log.command('#a')}"
    receiver = running_scp("storescp", "-xs", "-xcr", text)
    with ScriptedPeer(receiver.port) as slow:
        slow.associate(calling="SLOW")
        assert store(slow, ONE) == 0
        assert send(receiver, [TWO, THREE], calling="QUICK") == [0, 0]
        assert log.wait_for(2) == ["QUICK", "QUICK"]
        with gate:
            slow.release()
            assert log.wait_for(3)[2] == "SLOW"


# ---- End of study ------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("spelling", ["-xcs", "--exec-on-eostudy"])
def test_exec_on_eostudy(
    spelling: str, implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """When an object of another study comes, over associations, with the titles of the latest."""
    command = log.command("#p x#f #a #c #r")
    receiver = running_scp(
        "storescp", "-su", "ST", spelling, command, "-dhl", "-xs", implementation=implementation
    )
    send(receiver, [ONE, MORE], calling="FIRST")
    send(receiver, [ONE], calling="SECOND")
    assert log.lines == []
    send(receiver, [TWO], calling="THIRD")
    send(receiver, [TWO, ONE, THREE], calling="FOURTH")
    assert log.shown(receiver, 3) == [
        f"<od>/ST_{made.study_instance_uid} x#f {title} ANY-SCP 127.0.0.1"
        for made, title in ((ONE, "THIRD"), (TWO, "FOURTH"), (ONE, "FOURTH"))
    ]


@BOTH
def test_rename_on_eostudy_comes_before_the_command(
    implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    receiver = running_scp(
        "storescp", "-ss", "ST", "-rns", "-xcs", log.command("#p `ls #p`"), "-xs",
        implementation=implementation,
    )  # fmt: skip
    send(receiver, [ONE, MORE, TWO])
    assert log.shown(receiver, 1) == ["<od>/ST_<time> CT000001 CT000002"]
    assert tree(receiver.directory)[0] == f"ST_<time>/CT.{TWO.sop_instance_uid}"


@BOTH
@pytest.mark.parametrize("spelling", ["-tos", "--eostudy-timeout"])
def test_eostudy_timeout_within_an_association(
    spelling: str, implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """A second without a command ends the study; the next object of it begins it again."""
    command = log.command("#p #a")
    receiver = running_scp(
        "storescp", "-ss", "ST", "-rns", "-xcs", command, spelling, "1",
        implementation=implementation,
    )  # fmt: skip
    with ScriptedPeer(receiver.port) as peer:
        peer.associate(calling="SCU")
        assert store(peer, ONE) == 0
        begun = time.monotonic()
        log.wait_for(1)
        assert time.monotonic() - begun > 0.9
        assert store(peer, MORE) == 0
        log.wait_for(2)
        peer.release()
    assert log.shown(receiver, 2) == ["<od>/ST_<time> SCU"] * 2
    assert tree(receiver.directory) == ["ST_<time>/CT000001"] * 2


@pytest.mark.dcmtk
def test_eostudy_timeout_is_no_socket_timeout(running_scp: StartReceiver, tmp_path: Path) -> None:
    """An association whose silence is counted is not ended by `-ts`; within a message it is."""
    logs, peers = [], []
    for implementation in ("dcmtk", "dcmfast"):
        logs.append(Log(tmp_path / implementation))
        receiver = running_scp(
            "storescp", "-ss", "ST", "-xcs", logs[-1].command("#p"), "-tos", "2", "-ts", "1",
            implementation=implementation,
        )  # fmt: skip
        peers.append(ScriptedPeer(receiver.port))
        peers[-1].associate()
        assert store(peers[-1], ONE) == 0
    for log, peer in zip(logs, peers, strict=True):
        # The study's end is two seconds of silence, twice the socket timeout.
        log.wait_for(1)
        peer.echo()
        command = pdu.c_store_rq(pdu.CT, TWO.sop_instance_uid)
        peer.send(pdu.p_data(pdu.pdv(3, command, command=True)))
    for peer in peers:
        peer.drain()


@BOTH
def test_eostudy_timeout_between_associations(
    implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """And the folder of a study that comes back is another one, without any command."""
    command = log.command("#p #a")
    receiver = running_scp(
        "storescp", "-ss", "ST", "-xcs", command, "-tos", "1", implementation=implementation
    )
    send(receiver, [ONE], calling="FIRST")
    send(receiver, [MORE], calling="SECOND")
    assert log.lines == []
    assert log.shown(receiver, 1) == ["<od>/ST_<time> SECOND"]
    send(receiver, [ONE])
    assert len(folders(receiver.directory)) == 2
    log.wait_for(2)


@BOTH
def test_eostudy_timeout_of_no_time(
    implementation: str, running_scp: StartReceiver, log: Log
) -> None:
    """`-tos 0`: a study ends as soon as nothing waits."""
    receiver = running_scp(
        "storescp", "-ss", "ST", "-xcs", log.command("#p"), "-tos", "0",
        implementation=implementation,
    )  # fmt: skip
    send(receiver, [ONE])
    assert log.shown(receiver, 1) == ["<od>/ST_<time>"]


def test_studies_beside_each_other_end_each_for_itself(
    running_scp: StartReceiver, log: Log
) -> None:
    """DIFFERENCES.md A10: an association ends its own studies; what is left is taken up later."""
    receiver = running_scp("storescp", "-su", "ST", "-xcs", log.command("#p #a"), "-xs")
    with ScriptedPeer(receiver.port) as one, ScriptedPeer(receiver.port) as two:
        one.associate(calling="ONE")
        two.associate(calling="TWO")
        for _ in range(2):
            assert store(one, ONE) == 0
            assert store(two, TWO) == 0
        assert log.lines == []
        assert store(two, THREE) == 0
        ended = [f"<od>/ST_{TWO.study_instance_uid} TWO"]
        assert log.shown(receiver, 1) == ended
        two.release()
        one.release()
    send(receiver, [make.ct(1, study=4)], calling="NEXT")
    rest = {f"<od>/ST_{made.study_instance_uid} NEXT" for made in (ONE, THREE)}
    assert set(log.shown(receiver, 3)[1:]) == rest


def test_the_end_of_a_study_of_two_associations_is_told_once(
    running_scp: StartReceiver, log: Log
) -> None:
    """`-tos`: when no association has it current any more, and nothing comes."""
    receiver = running_scp("storescp", "-ss", "ST", "-xcs", log.command("#p"), "-tos", "1")
    with ScriptedPeer(receiver.port) as one, ScriptedPeer(receiver.port) as two:
        one.associate()
        two.associate()
        assert (store(one, ONE), store(two, MORE)) == (0, 0)
        assert len(folders(receiver.directory)) == 1
        # One of the two goes on; the study does, too.
        begun = time.monotonic()
        while time.monotonic() < begun + 1.5:
            next_millisecond()
            assert store(two, MORE) == 0
        assert log.lines == []
        log.wait_for(1)
        one.release()
        two.release()
    assert receiver.stop() == 0
    assert len(log.lines) == 1


def test_a_large_object_is_no_silence(running_scp: StartReceiver, log: Log) -> None:
    """`-tos` runs between messages, not within one."""
    receiver = running_scp("storescp", "-ss", "ST", "-xcs", log.command("#p"), "-tos", "1")
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        assert store(peer, ONE) == 0
        command = pdu.c_store_rq(pdu.CT, MORE.sop_instance_uid, 2)
        peer.send(pdu.p_data(pdu.pdv(3, command, command=True)))
        pieces = pdu.fragments(3, MORE.data_set, size=200)
        peer.send(*pieces[:-1])
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 1.5)
        assert log.lines == []
        peer.send(*pieces[-1:])
        assert pdu.value_us(peer.expect_message(), pdu.STATUS) == 0
        peer.release()
    assert len(folders(receiver.directory)) == 1


@pytest.mark.parametrize("sync", [(), ("-xs",)], ids=str)
def test_an_orderly_stop_ends_what_is_open(
    sync: tuple[str, ...], running_scp: StartReceiver, log: Log
) -> None:
    """DIFFERENCES.md D11: DCMTK's last study never ends."""
    command = log.command("`ls #p` #a")
    receiver = running_scp("storescp", "-ss", "ST", "-rns", "-xcs", command, *sync)
    send(receiver, [ONE, MORE], calling="SCU")
    assert log.lines == []
    assert receiver.stop() == 0
    assert log.wait_for(1) == ["CT000001 CT000002 SCU"]
