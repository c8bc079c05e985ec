"""`-ac` and `+ac`: which hosts may connect, and what happens to the others.

What a rule means is held against libwrap in ``tests/compat/test_host_access.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from testkit import pdu
from testkit.kinds import Connect, StartReceiver
from testkit.process import Receiver, run_tool


class Rules:
    """hosts.allow and hosts.deny of a test."""

    def __init__(self, directory: Path) -> None:
        self.allow = directory / "hosts.allow"
        self.deny = directory / "hosts.deny"

    @property
    def environment(self) -> dict[str, str]:
        return {"DCMFAST_HOSTS_ALLOW": str(self.allow), "DCMFAST_HOSTS_DENY": str(self.deny)}


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    return Rules(tmp_path)


def is_served(connect: Connect, receiver: Receiver) -> bool:
    """True if a peer of this host is answered; one that is denied must see the end, and no byte."""
    peer = connect(receiver)
    try:
        peer.send(pdu.associate_rq())
        first = peer.socket.recv(1)
    except ConnectionError:
        return False
    assert first in (b"", b"\x02")
    return first == b"\x02"


@pytest.mark.parametrize("spelling", ["+ac", "--access-control"])
def test_access_control(
    spelling: str, rules: Rules, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """The files are followed while the receiver runs; each refusal is told with its rule."""
    rules.deny.write_text("ftpd: ALL\n")
    receiver = running_scp("storescp", spelling, "-v", environment=rules.environment)
    assert is_served(scripted_peer, receiver)
    rules.deny.write_text("# nobody\nALL: ALL EXCEPT 10.\n")
    assert not is_served(scripted_peer, receiver)
    receiver.stderr.wait_for(r"^E: Receiving Association failed: 0006:0324 TCP wrapper: denied")
    receiver.stderr.wait_for(
        rf"^I: dcmfast.association: host 127.0.0.1 denied by {rules.deny}, line 2$"
    )
    rules.allow.write_text("storescp: 127.0.0.0/8\n")
    assert is_served(scripted_peer, receiver)
    # A change that cannot be followed leaves the rules before it in force, and says so.
    rules.allow.write_text("storescp: @somebody\n")
    assert is_served(scripted_peer, receiver)
    receiver.stderr.wait_for(r"hosts.allow, line 1: netgroups are not looked up: @somebody; the")


@pytest.mark.parametrize("spelling", ["-ac", "--access-full"])
def test_access_full(
    spelling: str, rules: Rules, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """The default, and what overrides `+ac` further left: no rule is looked at."""
    rules.deny.write_text("ALL: ALL\nbroken\n")
    receiver = running_scp("storescp", "+ac", spelling, environment=rules.environment)
    assert is_served(scripted_peer, receiver)


def test_access_control_of_an_archive(
    rules: Rules, running_scp: StartReceiver, scripted_peer: Connect, tmp_path: Path
) -> None:
    """Dcmqrscp asks for rules under its own name, and says at INFO what DCMTK's says."""
    rules.deny.write_text("storescp: ALL\n")
    area = tmp_path / "area"
    area.mkdir()
    config = tmp_path / "dcmqrscp.cfg"
    config.write_text(f"AETable BEGIN\nANY-SCP {area} RW (9, 9mb) ANY\nAETable END\n")
    receiver = running_scp(
        "dcmqrscp", "-c", str(config), "+ac", "-v", directory=area, environment=rules.environment
    )
    peer = scripted_peer(receiver)
    peer.associate()
    peer.echo()
    peer.release()
    rules.deny.write_text("storescp dcmqrscp: ALL\n")
    assert not is_served(scripted_peer, receiver)
    receiver.stderr.wait_for(
        "^I: Failed to receive association: 0006:0324 TCP wrapper: denied connection from "
    )


def test_names_are_verified(
    rules: Rules, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """The name of this host leads back to it; without lookups every name is unknown."""
    rules.allow.write_text("storescp: localhost LOCAL\n")
    rules.deny.write_text("ALL: ALL\n")
    receiver = running_scp("storescp", "+ac", environment=rules.environment)
    without = running_scp("storescp", "+ac", "-dhl", environment=rules.environment)
    assert is_served(scripted_peer, receiver)
    assert not is_served(scripted_peer, without)
    rules.allow.write_text("storescp: UNKNOWN PARANOID .example\n")
    assert not is_served(scripted_peer, receiver)
    assert is_served(scripted_peer, without)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("ALL: ALL:", 'no option behind a ":"'),
        ("ALL: ALL: spawn /bin/true", "not available: spawn /bin/true"),
        ("ALL: ALL: twist /bin/true", "not available: twist /bin/true"),
        ("ALL: ALL: /bin/true %h", "not available: /bin/true %h"),
        ("ALL: ALL: severity auth.info", "not available: severity auth.info"),
        ("ALL: @net", "netgroups are not looked up: @net"),
        ("ALL: root@ALL", "user names are not looked up: root@ALL"),
        ("storescp ftpd", 'no ":" between programs and hosts'),
        ("ALL: 10.0.0.0/33", "no network: 10.0.0.0/33"),
    ],
)
def test_what_cannot_be_followed_ends_the_start(
    rule: str, why: str, rules: Rules, tmp_path: Path, free_port: int
) -> None:
    """With file and line; nothing listens, and at `-q` it is said all the same."""
    rules.allow.write_text(f"ftpd: @net: spawn x\n\n{rule}\n")
    done = run_tool(
        "dcmfast", "storescp", ["+ac", "-q", "-od", tmp_path, str(free_port)],
        environment=rules.environment,
    )  # fmt: skip
    assert done.code == 1
    assert done.lines == [f"F: cannot read access control file: {rules.allow}, line 3: {why}"]


def test_a_file_that_cannot_be_read_ends_the_start(
    rules: Rules, tmp_path: Path, free_port: int
) -> None:
    rules.deny.mkdir()
    done = run_tool(
        "dcmfast", "storescp", ["+ac", "-od", tmp_path, str(free_port)],
        environment=rules.environment,
    )  # fmt: skip
    assert done.code == 1
    assert done.lines == [f"F: cannot read access control file: {rules.deny}, Is a directory"]
