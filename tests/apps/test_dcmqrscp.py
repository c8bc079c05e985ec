"""dcmqrscp from its start to its end: what both programs do, and where ours is better."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest

from testkit.archive import keys, start_archive
from testkit.kinds import StartReceiver
from testkit.process import Finished, Receiver, free_port, run_tool
from vectors import make

both = pytest.mark.parametrize("implementation", ["dcmtk", "dcmfast"])
IS_ROOT = os.geteuid() == 0


def configuration(directory: Path, *lines: str, tables: str = "") -> str:
    """Write a configuration with one area, open to all, and one for a peer alone; its path."""
    for name in ("open", "closed"):
        (directory / name).mkdir(exist_ok=True)
    text = f"""\
{chr(10).join(lines)}
{tables}
AETable BEGIN
OPEN    {directory}/open     RW (unlimited, unlimited) ANY
CLOSED  {directory}/closed   R  (unlimited, unlimited) (FRIEND, localhost, 11112)
MISSING {directory}/missing  RW (unlimited, unlimited) ANY
AETable END
"""
    path = directory / "dcmqrscp.cfg"
    path.write_text(text)
    return str(path)


def echo(server: Receiver, called: str, calling: str = "ECHOSCU") -> Finished:
    arguments = ["-aet", calling, "-aec", called, "localhost", str(server.port)]
    return run_tool("dcmtk", "echoscu", arguments)


# ---- Starting


@both
def test_a_port_in_use(implementation: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_tool(implementation, "dcmqrscp", ["-c", configuration(tmp_path), port])
    assert done.code == 10
    assert done.lines == [
        "F: cannot initialize network: 0006:031c TCP Initialization Error: Address already in use"
    ]


@both
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["UserName = nobody-here"], "F: bad user name nobody-here"),
        (["GroupName = none-here"], "F: bad group name none-here"),
        (["UserName = nobody-here", "GroupName = none-here"], "F: bad group name none-here"),
    ],
)
def test_a_user_or_group_that_is_not_there(
    implementation: str, lines: list[str], expected: str, tmp_path: Path
) -> None:
    arguments = ["-c", configuration(tmp_path, *lines), str(free_port())]
    done = run_tool(implementation, "dcmqrscp", arguments)
    if implementation == "dcmtk" and done.lines[0].startswith("CONFIG Error"):
        pytest.skip("DCMTK read its configuration from stale memory (DIFFERENCES.md D2)")
    assert (done.code, done.lines[-1]) == (10, expected)
    # Ours name the lines of all of them before.
    told = [] if implementation == "dcmtk" else [line.split(" ")[0] for line in lines]
    assert [line.split(" ")[2] for line in done.lines[:-1]] == told


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
@both
def test_user_and_group_change_once_the_port_is_open(
    implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    config = configuration(tmp_path, "UserName = nobody", "GroupName = nogroup")
    for name in ("open", "closed"):
        os.chown(tmp_path / name, 65534, 65534)
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == 0 and str(above).startswith("/tmp/"):
            above.chmod(0o755)
    server = running_scp("dcmqrscp", "-c", config, implementation=implementation)
    # Both programs answer only once they are who they are told to be.
    assert echo(server, "OPEN").code == 0
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    assert "\nUid:\t65534\t65534" in status
    assert "\nGid:\t65534\t65534" in status
    if implementation == "dcmfast":
        assert (tmp_path / "open" / ".dcmfast").stat().st_uid == 65534
        groups = next(line for line in status.splitlines() if line.startswith("Groups:"))
        assert "0" not in groups.split()[1:]


# ---- Who may connect


@both
def test_who_may_call(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    config = configuration(tmp_path)
    server = running_scp("dcmqrscp", "-v", "-c", config, implementation=implementation)
    assert echo(server, "OPEN").code == 0
    assert echo(server, "CLOSED", "FRIEND").code == 0
    for called, calling in [("NOBODY", "X"), ("open", "X"), ("CLOSED", "X"), ("CLOSED", "friend")]:
        done = echo(server, called, calling)
        assert done.code == 1
        assert "F: Reason: Called AE Title Not Recognized" in done.lines
    server.stop()
    refused = [line for line in server.stderr.lines if line.startswith("I: Refusing")]
    assert refused == ["I: Refusing Association (BadAEService)"] * 4
    assert "I: Association Received (localhost:FRIEND -> CLOSED)" in server.stderr.lines


@both
def test_an_area_that_is_missing_is_noticed_by_its_associations_alone(
    implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    config = configuration(tmp_path)
    server = running_scp("dcmqrscp", "-c", config, implementation=implementation)
    done = echo(server, "MISSING")
    assert "Peer aborted Association" in done.stderr
    assert echo(server, "OPEN").code == 0
    server.stop()
    assert str(tmp_path / "missing") in server.stderr.text


# ---- Storing


def test_parallel_senders_lose_nothing(running_scp: StartReceiver, tmp_path: Path) -> None:
    """DIFFERENCES.md A1: of DCMTK's files of one second, one association's overwrite another's."""
    archive = start_archive(running_scp, tmp_path / "archive")
    folders = [tmp_path / f"sender-{number}" for number in range(4)]
    for study, folder in enumerate(folders, 1):
        folder.mkdir()
        for number in range(10):
            (folder / f"{number}.dcm").write_bytes(make.part10(make.ct(number + 1, study=study)))
    with ThreadPoolExecutor(len(folders)) as senders:
        done = list(senders.map(lambda folder: archive.run("storescu", "+sd", folder), folders))
    assert [one.code for one in done] == [0] * len(folders)
    for study in range(1, len(folders) + 1):
        archive.get(*keys("STUDY", StudyInstanceUID=make.ct(1, study=study).study_instance_uid))
    assert len(list(archive.received.iterdir())) == 40
    for path in archive.received.iterdir():
        data_set = pydicom.dcmread(path)
        number, study = int(data_set.InstanceNumber), int(data_set.PatientID.removeprefix("ID"))
        assert path.read_bytes().endswith(make.ct(number, study=study).data_set[-512:])


# ---- Ending


def test_single_process_stays_alive(running_scp: StartReceiver, tmp_path: Path) -> None:
    """DIFFERENCES.md B1: DCMTK's program ends with a segmentation fault."""
    server = running_scp("dcmqrscp", "-s", "-c", configuration(tmp_path))
    for _ in range(3):
        assert echo(server, "OPEN").code == 0


def test_fork_is_taken_and_served_all_the_same(running_scp: StartReceiver, tmp_path: Path) -> None:
    server = running_scp("dcmqrscp", "--fork", "-c", configuration(tmp_path))
    assert echo(server, "OPEN").code == 0
