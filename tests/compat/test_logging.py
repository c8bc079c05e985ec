"""`-lc` beside DCMTK: the same configuration gives the same lines in the same places."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from testkit import pdu
from testkit.kinds import Connect, StartReceiver
from testkit.process import free_port, run_tool

#: Appenders of one kind each, with what stands in its lines.
CONSOLE = """
log4cplus.appender.a = log4cplus::ConsoleAppender
log4cplus.appender.a.ImmediateFlush = true
"""
PATTERN = CONSOLE + (
    "log4cplus.appender.a.layout = log4cplus::PatternLayout\n"
    "log4cplus.appender.a.layout.ConversionPattern = "
)
FILE = """
log4cplus.appender.a = log4cplus::{}FileAppender
log4cplus.appender.a.File = ${{appname}}.log
"""
#: Lines about a program's own insides, and ours that DCMTK does not have.
INSIDES = re.compile(r"DcmDataDictionary|dcmfast\.|\$dcm(?:tk|fast)")

CONFIGURATIONS = {
    "pattern": "log4cplus.rootLogger = INFO, a" + PATTERN + "%5p|%-5p|%P|%.3m|%-40c|%c{1}|%m%%%n",
    "times": "log4cplus.rootLogger = INFO, a"
    + PATTERN
    + "%D{%Y-%m-%d %H:%M:%S.%q}|%d{%H:%M}|%D{%Q}|%i|%r %m%n",
    "empty-parts": "log4cplus.rootLogger = INFO, a" + PATTERN + "%x%X{y}|%h|%m%n",
    "simple": "log4cplus.rootLogger = INFO, a" + CONSOLE,
    "ttcc": "log4cplus.rootLogger = INFO, a"
    + CONSOLE
    + "log4cplus.appender.a.layout = log4cplus::TTCCLayout",
    "stderr": "log4cplus.rootLogger = INFO, a" + CONSOLE + "log4cplus.appender.a.logToStdErr = 1",
    "misspelt": "log4cplus.rootLogger = INFO, a"
    + CONSOLE
    + "log4cplus.appender.a.logToStderr = true",
    "threshold": "log4cplus.rootLogger = INFO, a" + CONSOLE + "log4cplus.appender.a.Threshold=WARN",
    "branch": "log4cplus.rootLogger = OFF, a" + CONSOLE + "log4cplus.logger.dcmtk.apps = info",
    "twice": "log4cplus.rootLogger = INFO, a" + CONSOLE + "log4cplus.logger.dcmtk = INHERIT, a",
    "not-additive": "log4cplus.rootLogger = INFO, a"
    + CONSOLE
    + "log4cplus.logger.dcmtk.apps = INFO, a\nlog4cplus.additivity.dcmtk.apps = false",
    "range": "log4cplus.rootLogger = INFO, a"
    + CONSOLE
    + "log4cplus.appender.a.filters.1 = log4cplus::spi::LogLevelRangeFilter\n"
    "log4cplus.appender.a.filters.1.LogLevelMax = INFO",
    "text": "log4cplus.rootLogger = INFO, a"
    + CONSOLE
    + "log4cplus.appender.a.filters.1 = log4cplus::spi::StringMatchFilter\n"
    "log4cplus.appender.a.filters.1.StringToMatch = Failed\n"
    "log4cplus.appender.a.filters.1.AcceptOnMatch = true\n"
    "log4cplus.appender.a.filters.2 = log4cplus::spi::DenyAllFilter",
    "file": "log4cplus.rootLogger = INFO, a" + FILE.format(""),
    "rolling": "log4cplus.rootLogger = INFO, a" + FILE.format("Rolling"),
    "null": "log4cplus.rootLogger = INFO, a\nlog4cplus.appender.a = log4cplus::NullAppender",
}


def masked(text: str) -> list[str]:
    """Lines without times, and without numbers of processes and threads."""
    lines = [line for line in text.splitlines() if line and not INSIDES.search(line)]
    # dcmrecv's warning names the cure here (DIFFERENCES.md D6).
    return [re.sub(r"\d+", "0", line.partition(" (--config-file")[0]) for line in lines]


@pytest.mark.dcmtk
@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("tool", ["echoscu", "storescu"])
def test_log_config(tmp_path: Path, name: str, tool: str) -> None:
    """A peer that refuses the connection: what is said on both streams and in files."""
    said = []
    port = str(free_port())
    for implementation in ("dcmtk", "dcmfast"):
        where = tmp_path / implementation
        where.mkdir()
        (where / "l.cfg").write_text(CONFIGURATIONS[name] + "\n")
        arguments = ["-lc", "l.cfg", "localhost", port]
        if tool == "storescu":
            arguments.append(str(get_testdata_file("CT_small.dcm")))
        done = run_tool(implementation, tool, arguments, cwd=where)
        files = {path.name: masked(path.read_text()) for path in sorted(where.glob("*.log*"))}
        said.append((done.code, masked(done.stdout), masked(done.stderr), files))
    assert said[0] == said[1]


@pytest.mark.dcmtk
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_log_config_of_a_receiver(
    tool: str, tmp_path: Path, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """An association, told in a file by the engine: the same lines with the same loggers."""
    said = []
    for implementation in ("dcmtk", "dcmfast"):
        log = tmp_path / f"{implementation}.log"
        config = tmp_path / f"{implementation}.cfg"
        config.write_text(
            "log4cplus.rootLogger = INFO, a\n"
            "log4cplus.appender.a = log4cplus::FileAppender\n"
            "log4cplus.appender.a.ImmediateFlush = true\n"
            f"log4cplus.appender.a.File = {log}\n"
            "log4cplus.appender.a.layout = log4cplus::PatternLayout\n"
            "log4cplus.appender.a.layout.ConversionPattern = %D{%H:%M:%S} %-5p %c - %m%n\n"
        )
        receiver = running_scp(tool, "-lc", str(config), implementation=implementation)
        peer = scripted_peer(receiver)
        peer.associate()
        peer.echo()
        peer.release()
        receiver.stop()
        assert not receiver.stderr.data
        said.append([line for line in masked(log.read_text()) if "Receiving" not in line])
    assert said[0] == said[1]
    assert any("Echo" in line or "C-ECHO" in line for line in said[0])


HOSTILE = b"A\nF: forged\x1b%m%n"


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
@pytest.mark.parametrize(
    "layout",
    [
        "log4cplus::PatternLayout\nlog4cplus.appender.a.layout.ConversionPattern = %p %c %m%n",
        "log4cplus::SimpleLayout",
        "log4cplus::TTCCLayout",
        "dcmfast::JsonLayout",
    ],
)
def test_no_peer_can_forge_a_line_in_any_layout(
    tool: str, layout: str, tmp_path: Path, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """Peers' text is escaped, and is never read as a pattern."""
    log, config = tmp_path / "x.log", tmp_path / "l.cfg"
    config.write_text(
        "log4cplus.rootLogger = TRACE, a\nlog4cplus.appender.a = log4cplus::FileAppender\n"
        f"log4cplus.appender.a.File = {log}\nlog4cplus.appender.a.layout = {layout}\n"
    )
    receiver = running_scp(tool, "-lc", str(config))
    peer = scripted_peer(receiver)
    peer.send(pdu.associate_rq(calling=HOSTILE[:16], called=HOSTILE[:16]))
    peer.expect_pdu()
    peer.send_tolerant(pdu.p_data(pdu.pdv(1, pdu.c_store_rq(HOSTILE, HOSTILE), command=True)))
    peer.half_close()
    peer.drain()
    assert receiver.stop() == 0
    text = log.read_bytes()
    assert b"A\\x0aF: forged" in text.replace(b"\\\\", b"\\")
    assert b"\x1b" not in text
    assert not re.search(rb"(?m)^F: forged", text)


def test_log_json(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """One object an event, with time, level, logger and message; at -v DCMTK's events."""
    receiver = running_scp("storescp", "--log-json", "-v", "--arguments")
    peer = scripted_peer(receiver)
    peer.associate()
    peer.echo(message_id=1)
    peer.release()
    assert receiver.stop() == 0
    events = [json.loads(line) for line in receiver.stderr.lines]
    assert all(list(one) == ["time", "level", "logger", "message"] for one in events)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z", one["time"]) for one in events)
    told = [(one["logger"], one["level"], one["message"]) for one in events]
    name = "dcmtk.apps.storescp"
    assert [one for one in told if one[0] == name] == [
        (name, "INFO", "Association Received"),
        (name, "INFO", "Association Acknowledged (Max Send PDV: 16372)"),
        (name, "INFO", "Received Echo Request (MsgID 1)"),
        (name, "INFO", "Association Release"),
    ]
    assert told[0][0] == "root"
    assert "calling 'storescp'" in told[0][2]


def test_log_json_of_a_failed_start(tmp_path: Path) -> None:
    """What ends the program is an event, too."""
    done = run_tool("dcmfast", "storescp", ["--log-json", "1", "-od", str(tmp_path / "no")])
    assert done.code == 1
    assert json.loads(done.stderr)["message"] == "specified output directory does not exist"


def test_a_log_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """Exit code 1 and one line with file and line; DCMTK goes on without a log."""
    config = tmp_path / "l.cfg"
    config.write_text(
        "log4cplus.rootLogger = INFO, a\nlog4cplus.appender.a = log4cplus::FileAppender\n"
        f"log4cplus.appender.a.File = {tmp_path}/no/x.log\n"
    )
    for tool, more in (("storescp", ["1"]), ("echoscu", ["localhost", "1"])):
        done = run_tool("dcmfast", tool, ["-lc", config, *more], cwd=tmp_path)
        assert done.code == 1
        why = f"cannot open {tmp_path}/no/x.log: No such file or directory"
        assert done.lines == [f"F: cannot read log config file: {config}, line 2: {why}"]


def test_syslog(tmp_path: Path) -> None:
    """The daemon gets one datagram an event: priority, time, ident, text."""
    config, path = tmp_path / "l.cfg", tmp_path / "log"
    config.write_text(
        "log4cplus.rootLogger = INFO, a\nlog4cplus.appender.a = log4cplus::SysLogAppender\n"
        "log4cplus.appender.a.ident = me\nlog4cplus.appender.a.facility = local3\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(path))
        daemon.settimeout(10)
        run_tool(
            "dcmfast",
            "echoscu",
            ["-lc", config, "localhost", str(free_port())],
            environment={"DCMFAST_SYSLOG_SOCKET": str(path)},
        )
        first, last = daemon.recv(999).decode(), daemon.recv(999).decode()
    assert re.fullmatch(r"<158>\w{3} [ \d]\d [\d:]{8} me: INFO - Requesting Association\n", first)
    assert last.startswith("<154>")


def test_syslog_of_another_host(tmp_path: Path) -> None:
    """RFC 5424 over UDP, whatever is said of other ways; times and process IDs masked."""
    config = tmp_path / "l.cfg"
    told = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        config.write_text(
            "log4cplus.rootLogger = INFO, a\nlog4cplus.logger.dcmfast = OFF\n"
            "log4cplus.appender.a = log4cplus::SysLogAppender\n"
            "log4cplus.appender.a.ident = me\nlog4cplus.appender.a.facility = local3\n"
            f"log4cplus.appender.a.host = 127.0.0.1\n"
            f"log4cplus.appender.a.port = {daemon.getsockname()[1]}\n"
        )
        for one in ("dcmtk", "dcmfast"):
            done = run_tool(one, "echoscu", ["-lc", config, "localhost", str(free_port())])
            texts = [daemon.recv(999).decode() for _ in range(2)]
            masked = [
                re.sub(r"\d{4}-\S+Z (\S+) me \d+", r"<time> \1 me <id>", text) for text in texts
            ]
            told[one] = (done.code, done.lines, masked)
    assert told["dcmfast"] == told["dcmtk"]
    assert told["dcmtk"][2][0].endswith(
        " me <id> dcmtk.apps.echoscu - INFO - Requesting Association\n"
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "%5p|%-5p|%-8.3p|%.2p|%8.2p|%5.9p",
        "%c|%c{1}|%c{2}|%c{9}|%-30.10c|%30c|%.5c",
        "%p%m%n%n",
        "%%%p|%x%X{a}|",
    ],
)
def test_patterns_beside_dcmtks(pattern: str, tmp_path: Path) -> None:
    """Widths, cuts and parts of names, as printed."""
    config = tmp_path / "l.cfg"
    config.write_text(
        "log4cplus.rootLogger = INFO, a\nlog4cplus.logger.dcmfast = OFF\n"
        "log4cplus.appender.a = log4cplus::ConsoleAppender\n"
        "log4cplus.appender.a.layout = log4cplus::PatternLayout\n"
        f"log4cplus.appender.a.layout.ConversionPattern = {pattern}%n\n"
    )
    line = ["-lc", config, "localhost", str(free_port())]
    ours, theirs = (run_tool(one, "echoscu", line) for one in ("dcmfast", "dcmtk"))
    assert (ours.code, ours.stdout, ours.stderr) == (theirs.code, theirs.stdout, theirs.stderr)


def test_files_are_rotated_while_peers_store(
    tmp_path: Path, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """Many associations at once, several rotations: each line is whole, and none is missing."""
    log, config = tmp_path / "x.log", tmp_path / "l.cfg"
    config.write_text(
        "log4cplus.rootLogger = DEBUG, a\nlog4cplus.appender.a = log4cplus::RollingFileAppender\n"
        f"log4cplus.appender.a.File = {log}\nlog4cplus.appender.a.MaxFileSize = 200KB\n"
        "log4cplus.appender.a.MaxBackupIndex = 50\n"
        "log4cplus.appender.a.layout = log4cplus::PatternLayout\n"
        "log4cplus.appender.a.layout.ConversionPattern = <%p %c %m>%n\n"
    )
    receiver = running_scp("storescp", "-lc", str(config))
    peers = [scripted_peer(receiver) for _ in range(6)]
    rounds = 150
    for peer in peers:
        peer.associate()
    for number in range(rounds):
        for peer in peers:
            peer.echo(message_id=number + 1)
    for peer in peers:
        peer.release()
    assert receiver.stop() == 0
    files = sorted(tmp_path.glob("x.log*"))
    assert len(files) > 1
    text = "".join(path.read_text() for path in files)
    assert all(re.fullmatch(r"<[A-Z]+ [\w.]+ .*>", line) for line in text.splitlines())
    assert text.count("Received Echo Request") == rounds * len(peers)


@pytest.mark.dcmtk
@pytest.mark.parametrize("kind", ["", "Rolling", "DailyRolling"])
def test_what_a_start_does_to_an_older_log(kind: str, tmp_path: Path) -> None:
    """Only a plain file begins anew; the lines of others are still there, in it or set aside."""
    kept = {}
    for implementation in ("dcmtk", "dcmfast"):
        where = tmp_path / implementation
        where.mkdir()
        text = "log4cplus.rootLogger = INFO, a" + FILE.format(kind)
        (where / "l.cfg").write_text(text + "\n")
        (where / "echoscu.log").write_text("before\n")
        run_tool(implementation, "echoscu", ["-lc", "l.cfg", "localhost", "1"], cwd=where)
        texts = [path.read_text() for path in where.glob("echoscu.log*")]
        assert any("Association Request Failed" in text for text in texts)
        kept[implementation] = any("before" in text for text in texts)
    assert kept["dcmfast"] == kept["dcmtk"] == (kind != "")
