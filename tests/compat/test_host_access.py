"""Access rules beside libwrap, which DCMTK's servers ask, and beside DCMTK's storescp itself.

libwrap is asked through its own functions, with files, addresses and names of ours, so that no
resolver and no file of this machine takes part. DCMTK's program has the system's files in a mount
namespace of its own.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import random
import socket
import subprocess
from pathlib import Path

import pytest

from dcmfast import _rust
from testkit import pdu
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer

DAEMON = "storescp"
PORT = 11112
SERVER = "192.0.2.1"

#: Keys of request_init(), from tcpd.h.
RQ_DAEMON, RQ_CLIENT_NAME, RQ_CLIENT_ADDR, RQ_SERVER_NAME, RQ_SERVER_ADDR = 2, 4, 5, 7, 8


class LibWrap:
    """libwrap's hosts_access() over two files."""

    def __init__(self, name: str) -> None:
        self.library = ctypes.CDLL(name)
        self.names: dict[str, bytes] = {}
        self.request = ctypes.create_string_buffer(65536)

    def allows(
        self, files: tuple[Path, Path], server: tuple[str, str], client: tuple[str, str]
    ) -> bool:
        for variable, path in zip(("hosts_allow_table", "hosts_deny_table"), files, strict=True):
            # libwrap keeps the pointer.
            self.names[variable] = os.fsencode(path)
            ctypes.c_char_p.in_dll(self.library, variable).value = self.names[variable]
        text = [one.encode() for one in (DAEMON, client[1], client[0], server[1], server[0])]
        keys = (RQ_DAEMON, RQ_CLIENT_NAME, RQ_CLIENT_ADDR, RQ_SERVER_NAME, RQ_SERVER_ADDR)
        arguments: list[object] = []
        for key, value in zip(keys, text, strict=True):
            arguments += [ctypes.c_int(key), ctypes.c_char_p(value)]
        self.library.request_init(self.request, *arguments, ctypes.c_int(0))
        return bool(self.library.hosts_access(self.request))


@pytest.fixture(scope="module")
def libwrap() -> LibWrap:
    name = ctypes.util.find_library("wrap")
    if name is None:
        if os.environ.get("CI") == "true":
            pytest.fail("libwrap is missing in CI; it comes with dcmtk")
        pytest.skip("libwrap is missing; it comes with dcmtk")
    return LibWrap(name)


def both(
    libwrap: LibWrap, directory: Path, allow: str, deny: str, client: tuple[str, str]
) -> list[bool]:
    """What libwrap and we say of a client."""
    files = (directory / "allow", directory / "deny")
    for path, text in zip(files, (allow, deny), strict=True):
        path.write_text(text)
    server = (SERVER, "archive.hospital.example")
    theirs = libwrap.allows(files, server, client)
    names = (str(files[0]), str(files[1]))
    ours, _ = _rust.host_verdict(DAEMON, names, (SERVER, PORT, server[1]), client)
    return [theirs, ours]


CLIENTS = [
    ("10.1.2.3", "ws3.ct.example"),
    ("10.1.3.255", "WS4"),
    ("10.1.4.0", "unknown"),
    ("192.168.0.1", "paranoid"),
    ("127.0.0.1", "localhost"),
    ("2001:db8:7fff::1", "v6.ct.example"),
    ("2001:db8:8000::1", "unknown"),
    ("fe80::1", "x.other.example"),
]

PATTERNS = [
    "ALL", "all", "LOCAL", "KNOWN", "UNKNOWN", "PARANOID", "10.", "10.1.", "10.1.2.3", "1.",
    ".example", ".ct.example", ".CT.Example", "ws3.ct.example", "WS3.CT.EXAMPLE", "ws4",
    "10.1.2.0/255.255.254.0", "10.1.2.0/23", "10.1.2.3/255.255.255.0", "10.1.2.3/32",
    "192.168.0.0/16", "[2001:db8::]/33", "[2001:db8::]/32", "[fe80::]/10", "[fe80::1]/128",
    "[fe80::1]", "10.1.*", "*.example", "ws?", "*", "?", "u*", "localhost", "127.",
]  # fmt: skip
DAEMONS = [
    "ALL", "storescp", "STORESCP", "store*", "ftpd", "known", "storescp@192.0.2.1", ".scp",
    "stores.", "ALL@198.51.100.1", "ftpd@ALL", "storescp@.hospital.example", "dcmqrscp, storescp",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern(pattern: str, libwrap: LibWrap, tmp_path: Path) -> None:
    for client in CLIENTS:
        theirs, ours = both(libwrap, tmp_path, "", f"ALL: {pattern}\n", client)
        assert ours == theirs, client


@pytest.mark.parametrize("daemons", DAEMONS)
def test_each_form_of_a_program(daemons: str, libwrap: LibWrap, tmp_path: Path) -> None:
    theirs, ours = both(libwrap, tmp_path, "", f"{daemons}: ALL\n", CLIENTS[0])
    assert ours == theirs


@pytest.mark.parametrize(
    ("allow", "deny"),
    [
        ("", ""),
        ("storescp: 10.\n", "ALL: ALL\n"),
        ("# comment \\\nALL: ALL\n", "ALL: ALL\n"),
        ("   # no comment: ALL\n", "ALL: ALL\n"),
        ("ALL: \\\n10. \\\n EXCEPT 10.1.2.\n", "ALL: ALL\n"),
        ("ALL: ALL: DENY\n", ""),
        ("ALL: 10.: Allow\nALL: ALL: deny\n", "ALL: ALL\n"),
        ("", "ALL EXCEPT storescp: ALL\n"),
        ("", "ALL EXCEPT ftpd: ALL\n"),
        ("", "ALL: 10. EXCEPT 10.1. EXCEPT 10.1.2.\n"),
        ("", "ALL: ALL EXCEPT\n"),
        ("", "ALL:,,10.,\t192.\r\n"),
        ("", "\n \t\n\r\nALL: 10.\n"),
        ("", "ALL: 10.\n# no rule\n"),
        ("", "ALL: ALL # no comment\n"),
        ("", "ALL: 10. # ALL\n"),
        ("", "ALL: ALL@10.\n"),
    ],
    ids=str,
)
def test_files(allow: str, deny: str, libwrap: LibWrap, tmp_path: Path) -> None:
    for client in CLIENTS:
        theirs, ours = both(libwrap, tmp_path, allow, deny, client)
        assert ours == theirs, client


def test_a_file_of_patterns(libwrap: LibWrap, tmp_path: Path) -> None:
    listed = tmp_path / "listed"
    listed.write_text("10.1.2.3\n .other.example [2001:db8::]/33\n")
    for client in CLIENTS:
        theirs, ours = both(libwrap, tmp_path, f"ALL: {listed}\n", "ALL: ALL\n", client)
        assert ours == theirs, client


def test_random_files(libwrap: LibWrap, tmp_path: Path) -> None:
    """Many files of a few rules, with EXCEPT at random; the seed is fixed."""
    chance = random.Random(20)
    said: set[bool] = set()

    def listed(pool: list[str]) -> str:
        words = chance.choices(pool, k=chance.randint(1, 3))
        for _ in range(chance.choice([0, 0, 1, 2])):
            words += ["EXCEPT", *chance.choices(pool, k=chance.randint(1, 2))]
        return " ".join(words)

    def rules() -> str:
        lines = []
        for _ in range(chance.randint(0, 3)):
            option = chance.choice(["", "", "", ": allow", ": deny"])
            lines.append(f"{listed(DAEMONS)}: {listed(PATTERNS)}{option}\n")
        return "".join(lines)

    for _ in range(300):
        allow, deny, client = rules(), rules(), chance.choice(CLIENTS)
        theirs, ours = both(libwrap, tmp_path, allow, deny, client)
        assert ours == theirs, (allow, deny, client)
        said.add(ours)
    assert said == {True, False}


# ---- DCMTK's program


def can_mount() -> bool:
    """True where this process may have a mount namespace of its own."""
    done = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return done.returncode == 0


DENIED = (
    "E: Receiving Association failed: 0006:0324 TCP wrapper: denied connection from {} (127.0.0.1)"
)


@pytest.mark.dcmtk
@pytest.mark.skipif(not can_mount(), reason="no mount namespace of its own here")
@pytest.mark.parametrize("options", [(), ("-v",), ("-d",), ("-dhl",)], ids=str)
def test_a_denied_peer_beside_dcmtk(
    options: tuple[str, ...], running_scp: StartReceiver, tmp_path: Path
) -> None:
    """Both close without a PDU and say the same line; who is allowed is served."""
    name = socket.getfqdn("127.0.0.1")
    (tmp_path / "allow").write_text("storescp: [::1]\n")
    (tmp_path / "deny").write_text("storescp: ALL\n")
    told = []
    for implementation in ("dcmtk", "dcmfast"):
        mounts = " && ".join(
            f"mount --bind {tmp_path / one} /etc/hosts.{one}" for one in ("allow", "deny")
        )
        receiver = running_scp(
            "storescp", "+ac", *options, implementation=implementation, clean_exit=False,
            prefix=("unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh"),
        )  # fmt: skip
        with ScriptedPeer(receiver.port) as peer:
            try:
                peer.send(pdu.associate_rq())
                assert peer.drain() == b""
            except ConnectionError:
                # Bytes that nobody read make the kernel say it so.
                pass
        receiver.stderr.wait_for("denied connection")
        told.append(
            [line.replace(name, "localhost") for line in receiver.stderr.lines
             if line.startswith(("E:", "I:")) and "dcmfast." not in line]
        )  # fmt: skip
    assert told[0] == told[1]
    host = "unknown" if options == ("-dhl",) else "localhost"
    assert told[1][-1] == DENIED.format(host)
