"""serve: an archive in a directory, and what it tells somebody who has read nothing."""

from __future__ import annotations

import re
import shlex
import socket
import stat
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from testkit.kinds import StartReceiver
from testkit.process import free_port, run_tool


def test_the_directory_is_made_for_its_owner_alone(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    directory = tmp_path / "new" / "archive"
    server = running_scp("serve", directory=directory)
    server.stdout.wait_for(r"^In another terminal:$")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / ".dcmfast").stat().st_mode) == 0o700


def test_without_a_directory_it_is_one_in_the_working_directory(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_tool("dcmfast", "serve", ["--port", port], cwd=tmp_path)
    # The port is tried first: nothing is left of a start that failed.
    assert (done.code, done.stdout) == (1, "")
    assert done.lines == [
        f"F: cannot listen on port {port}: Address already in use; choose one: --port N"
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_lines_that_it_prints_work(running_scp: StartReceiver, tmp_path: Path) -> None:
    server = running_scp("serve", directory=tmp_path / "archive")
    line = server.stdout.wait_for(r"^  dcmfast storescu .*$")
    words = shlex.split(line.replace("FILE ...", str(get_testdata_file("CT_small.dcm"))))
    done = run_tool("dcmfast", words[1], words[2:])
    assert (done.code, done.stderr) == (0, "")


def test_any_title_is_answered(running_scp: StartReceiver, tmp_path: Path) -> None:
    server = running_scp("serve", directory=tmp_path / "archive")
    for title in ("ANY-SCP", "x", "DCMFAST"):
        arguments = ["-aec", title, "127.0.0.1", str(server.port)]
        assert run_tool("dcmtk", "echoscu", arguments).code == 0


def test_it_listens_on_this_host_alone(running_scp: StartReceiver, tmp_path: Path) -> None:
    server = running_scp("serve", directory=tmp_path / "archive")
    # The kernel's table: loopback, and nothing else.
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    found = re.findall(rf"(\w+):{server.port:04X} \w+:0000 0A", table)
    assert found == ["0100007F"]
    assert server.stderr.text == ""


def test_every_address_is_served_with_a_warning(running_scp: StartReceiver, tmp_path: Path) -> None:
    server = running_scp("serve", "--bind", "0.0.0.0", directory=tmp_path / "archive")
    server.stderr.wait_for(r"^W: dcmfast\.serve: whoever can reach 0\.0\.0\.0 can store and read")
    # What is printed can be typed all the same.
    server.stdout.wait_for(rf"^  dcmfast storescu 127\.0\.0\.1 {server.port} FILE")


def test_a_directory_in_use_is_told_in_one_line(running_scp: StartReceiver, tmp_path: Path) -> None:
    running_scp("serve", directory=tmp_path / "archive").stdout.wait_for("^In another")
    arguments = [tmp_path / "archive", "--port", str(free_port())]
    done = run_tool("dcmfast", "serve", arguments)
    assert (done.code, done.stdout) == (1, "")
    (line,) = done.lines
    assert line.startswith(f"F: cannot serve {tmp_path / 'archive'}: ")


def test_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_tool("dcmfast", "serve", [tmp_path / "file", "--port", str(free_port())])
    assert done.code == 1
    assert done.lines == [f"F: cannot make the directory {tmp_path / 'file'}: File exists"]


def test_move_destinations_are_named_in_the_hint(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    server = running_scp(
        *("serve", "--peer", "ONE=localhost:11113", "--peer", "TWO=[::1]:11114"),
        directory=tmp_path / "archive",
    )
    server.stdout.wait_for("^  movescu -aem ONE ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--peer", "ONE=localhost"],
            "Invalid value for option --peer (ONE=localhost): expected TITLE=HOST:PORT",
        ),
        (["--peer", "=h:1"], "Invalid value for option --peer (=h:1): expected TITLE=HOST:PORT"),
        (["--peer", "A=h:65536"], "Invalid value for option --peer (A=h:65536): expected"),
        (["--peer", "A=h:²"], "Invalid value for option --peer (A=h:²): expected"),
        (["--peer", "SEVENTEEN_LETTERS=h:1"], "Invalid value for option --peer"),
        (["--peer", "x", "--peer", "A=h:1"], "Invalid value for option --peer (x): expected"),
        (["--bind", "here"], "Invalid value for option --bind (here): expected an IP address"),
        (["--port", "65536"], "Invalid value for option --port (overflow: 65536)"),
        (["a", "b"], "Too many parameters"),
        (["-c", "x"], "Unknown option -c"),
    ],
)
def test_what_cannot_be_obeyed(arguments: list[str], expected: str, tmp_path: Path) -> None:
    done = run_tool("dcmfast", "serve", arguments, cwd=tmp_path)
    assert done.code == 1
    assert f"error: {expected}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_quiet_is_quiet(running_scp: StartReceiver, tmp_path: Path) -> None:
    server = running_scp("serve", "-q", directory=tmp_path / "archive")
    assert run_tool("dcmtk", "echoscu", ["127.0.0.1", str(server.port)]).code == 0
    assert server.stop() == 0
    assert (server.stdout.text, server.stderr.text) == ("", "")


def test_its_log_is_configured_as_any(running_scp: StartReceiver, tmp_path: Path) -> None:
    """``--log-json`` and ``-lc``."""
    server = running_scp("serve", "-v", "--log-json", directory=tmp_path / "archive")
    assert run_tool("dcmtk", "echoscu", ["127.0.0.1", str(server.port)]).code == 0
    server.stderr.wait_for(r'^\{.*"Received Echo SCP RQ: MsgID 1".*\}$')
    assert server.stop() == 0
    log = tmp_path / "log"
    config = tmp_path / "logger.cfg"
    config.write_text(
        "log4cplus.rootLogger = INFO, out\nlog4cplus.appender.out = log4cplus::FileAppender\n"
        f"log4cplus.appender.out.File = {log}\n"
        "log4cplus.appender.out.layout = log4cplus::SimpleLayout\n"
    )
    server = running_scp("serve", "-lc", str(config), directory=tmp_path / "archive")
    assert run_tool("dcmtk", "echoscu", ["127.0.0.1", str(server.port)]).code == 0
    assert server.stop() == 0
    assert "INFO - Received Echo SCP RQ: MsgID 1" in log.read_text().splitlines()
    assert server.stderr.text == ""
