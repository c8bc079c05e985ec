"""Every exit code of the clients' manuals is reached, by DCMTK's program and by ours.

movescu's 3 (privileges could not be dropped) and 65 (contexts could not be built), findscu's 3 and
dcmsend's 60 (the network could not be begun or ended) are not: nothing is dropped, and contexts are
made of constants.  echoscu's 22 stands in ``test_tls.py``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from testkit import pdu
from testkit.process import child_environment, command, free_port
from testkit.scripted_scp import Conversation, ScriptedServer
from vectors import make

Script = Callable[[Conversation], None]

#: Capabilities without which root is as anybody.
_POWERS = "-dac_override,-dac_read_search,-net_bind_service"


def answered(status: int, *, releases: bool = True, counts: bool = False) -> Script:
    """A peer that answers one request with this status."""

    def play(peer: Conversation) -> None:
        peer.accept()
        made = (None, 1, 1, 0) if counts else ()
        peer.respond(peer.expect_request(), status, counts=made)
        if releases:
            peer.expect_release()
        else:
            peer.expect_pdu(pdu.RELEASE_RQ)

    return play


def rejecting(peer: Conversation) -> None:
    peer.expect_associate_rq()
    peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, 1, 1, 7])))


def refusing_contexts(peer: Conversation) -> None:
    peer.accept(accepts=lambda _: False)
    with contextlib.suppress(AssertionError, OSError):
        peer.expect_pdu(pdu.ABORT)


def going_away(peer: Conversation) -> None:
    peer.accept()
    peer.expect_request()


def leaving(peer: Conversation) -> None:
    peer.accept()
    peer.expect_request()
    peer.send(pdu.release_rq())
    peer.socket.recv(65536)


#: Tool, code, options and files, and who answers: None for nobody.
CASES: list[tuple[str, int, str, Script | None]] = [
    ("echoscu", 0, "", answered(0)),
    ("echoscu", 1, "", None),
    ("echoscu", 1, "", rejecting),
    ("echoscu", 70, "", leaving),
    ("findscu", 0, "-k PatientID", answered(0)),
    ("findscu", 1, "-k PatientID -X -od nowhere", None),
    ("findscu", 2, "-k PatientID", None),
    ("findscu", 2, "-k PatientID", rejecting),
    ("findscu", 2, "-k PatientID", refusing_contexts),
    ("getscu", 0, "-k PatientID", answered(0)),
    ("getscu", 1, "-k PatientID", rejecting),
    ("getscu", 1, "-k PatientID -od nowhere", None),
    ("movescu", 0, "-k PatientID", answered(0)),
    ("movescu", 0, "-k PatientID --cancel 1", answered(0xFE00)),
    ("movescu", 1, "", None),
    ("movescu", 40, "-k PatientID +P {port} -od readonly", None),
    ("movescu", 45, "-k PatientID +P {port} -od nowhere", None),
    ("movescu", 60, "-k PatientID +P {taken}", None),
    ("movescu", 61, "-k PatientID", rejecting),
    ("movescu", 66, "-k PatientID", refusing_contexts),
    ("movescu", 67, "-k PatientID", answered(0, releases=False)),
    ("movescu", 68, "-k PatientID", answered(0xB000, counts=True)),
    ("movescu", 69, "-k PatientID", answered(0xA801)),
    ("storescu", 0, "one.dcm", answered(0)),
    ("storescu", 1, "text", None),
    ("storescu", 1, "one.dcm", rejecting),
    ("storescu", 1, "one.dcm", refusing_contexts),
    ("storescu", 10, "one.dcm", going_away),
    ("storescu", 167, "one.dcm", answered(0xA700)),
    ("storescu", 192, "one.dcm", answered(0xC000)),
    ("dcmsend", 0, "one.dcm", answered(0xA700)),
    ("dcmsend", 21, "+sd empty", None),
    ("dcmsend", 22, "text", None),
    ("dcmsend", 23, "-nh text", None),
    ("dcmsend", 43, "+crf nowhere/report one.dcm", answered(0)),
    ("dcmsend", 61, "one.dcm", rejecting),
    ("dcmsend", 62, "one.dcm", going_away),
    ("dcmsend", 65, "-nip j2k.dcm", None),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with what the cases name."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "one.dcm").write_bytes(make.part10(make.ct(1)))
    j2k = make.ct(2, transfer_syntax_uid="1.2.840.10008.1.2.4.90")
    (folder / "j2k.dcm").write_bytes(make.part10(j2k))
    (folder / "text").write_bytes(b"no DICOM at all" * 100)
    (folder / "empty").mkdir()
    (folder / "readonly").mkdir(mode=0o555)
    return folder


def code_of(implementation: str, tool: str, line: list[str], place: Path) -> tuple[int, str]:
    weak = ["setpriv", "--bounding-set", _POWERS, "--inh-caps", _POWERS]
    is_root = "readonly" in line and shutil.which("setpriv") and os.geteuid() == 0
    done = subprocess.run(
        [*(weak if is_root else []), *command(implementation, tool), *line], cwd=place, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=child_environment(),
    )  # fmt: skip
    return done.returncode, done.stderr.decode("utf-8", "replace")


@pytest.mark.dcmtk
@pytest.mark.parametrize(
    ("tool", "code", "typed", "script"),
    CASES,
    ids=[f"{tool}-{code}-{at}" for at, (tool, code, _, _) in enumerate(CASES)],
)
def test_exit_code(tool: str, code: int, typed: str, script: Script | None, place: Path) -> None:
    with socket.create_server(("", 0)) as listener:
        ports = {"port": free_port(), "taken": listener.getsockname()[1]}
        words = typed.format(**ports).split()
        for implementation in ("dcmtk", "dcmfast"):
            with contextlib.ExitStack() as stack:
                port = free_port()
                if script is not None:
                    port = stack.enter_context(ScriptedServer(script)).port
                line = ["127.0.0.1", str(port), *words]
                if tool in ("findscu", "getscu", "movescu"):
                    line.insert(0, "-P")
                found, said = code_of(implementation, tool, line, place)
            assert found == code, (implementation, said)
            assert "Traceback" not in said


def test_a_port_that_needs_a_privilege(place: Path) -> None:
    """Code 2 of movescu; DCMTK's program asks who the user is, and root's bind fails."""
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first < 2 or not shutil.which("setpriv"):
        pytest.skip("every port is everybody's here")
    line = ["-P", "-k", "PatientID", "+P", "1", "127.0.0.1", "9"]
    weak = ["setpriv", "--bounding-set", _POWERS, "--inh-caps", _POWERS]
    done = subprocess.run(
        [*weak, *command("dcmfast", "movescu"), *line], cwd=place, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=child_environment(),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert b"F: cannot listen on port 1, insufficient privileges" in done.stderr
