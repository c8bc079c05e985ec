"""P15: one event one line, escaped, and no patient in it at the default level."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from testkit import pdu
from testkit.archive import keys, start_archive
from testkit.kinds import Connect, StartReceiver
from vectors import make

#: Whole lines that the log may consist of: a level, printable ASCII, nothing else.
LINE = re.compile(rb"[FEWIDT]: ?[\x20-\x7e]*")
CANARY = "Canary^Name"

HOSTILE_TITLES = [
    b"A\nF: forged",
    b"\x1b[2J\x1b[31mred",
    b"\r\rI: x",
    b"\x00\x01\x02\x7f\x80\xff",
    b"%s%n%d{}{0}",
    b"`id`$(id);'\"",
]


@pytest.mark.parametrize("level", [[], ["-v"], ["-d"], ["-ll", "trace"]], ids=str)
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_no_peer_can_forge_a_line(
    tool: str, level: list[str], running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §5.3: no byte below 20H but the line end, at any level."""
    receiver = running_scp(tool, *level)
    for title in HOSTILE_TITLES:
        peer = scripted_peer(receiver)
        peer.send(pdu.associate_rq(calling=title, called=title[::-1], extra=b""))
        peer.expect_pdu()
        peer.send_tolerant(
            pdu.p_data(pdu.pdv(3, pdu.c_store_rq(title + b"x" * 80, title), command=True)),
            *pdu.fragments(3, title * 10),
        )
        peer.half_close()
        peer.drain()
    bad_version = pdu.user_information(class_uid=b"1.2\n3\x1b", version=b"V\nF: forged")
    for request in (
        pdu.associate_rq(user=bad_version),
        pdu.associate_rq(application_context=b"1.2\nE: forged\x1b"),
        pdu.associate_rq([(1, b"1.2\nW: x", [b"\x1b[1m", b"1.2.840.10008.1.2"])]),  # type: ignore[list-item]
    ):
        peer = scripted_peer(receiver)
        peer.send(request)
        peer.half_close()
        peer.drain()
    assert receiver.stop() == 0
    lines = receiver.stderr.data.split(b"\n")
    assert lines.pop() == b""
    for line in lines:
        assert LINE.fullmatch(line), line
        assert not re.match(rb"[FEW]: (forged|x$)", line), line


@pytest.mark.parametrize("arguments", [[], ["-v"], ["-q"]], ids=str)
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
def test_no_patient_in_the_log(
    tool: str, arguments: list[str], running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """PROMISES.md §5.4: a canary name in good and bad objects reaches no line."""
    if tool == "dcmrecv":
        arguments = [*arguments, "-xf", "/etc/dcmtk/storescp.cfg", "Default"]
    receiver = running_scp(tool, *arguments)
    peer = scripted_peer(receiver)
    peer.associate()
    good = make.ct(1, patient_name=CANARY)
    assert peer.store(3, good.sop_class_uid, good.sop_instance_uid, good.data_set) == 0
    assert peer.store(3, good.sop_class_uid, good.sop_instance_uid, good.data_set) == 0
    cut = good.data_set[:-100]
    assert peer.store(3, good.sop_class_uid, make.uid(5), cut) != 0
    nameless = make.ct(2, patient_name=CANARY, sop_instance_uid="")
    peer.store(3, nameless.sop_class_uid, nameless.sop_instance_uid, nameless.data_set)
    broken = pdu.p_data(pdu.pdv(3, CANARY.encode() * 3, command=True))
    peer.send(broken)
    peer.drain()
    assert receiver.stop() == 0
    output = receiver.stderr.data + receiver.stdout.data
    assert b"Canary" not in output
    assert b"ID1" not in output


def test_one_fault_one_line(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """PROMISES.md §1: one fault, one answer, DCMTK's event, and one line of ours that says all."""
    receiver = running_scp("storescp")
    peer = scripted_peer(receiver)
    peer.associate()
    peer.send(pdu.pdu(0x42, bytes(4)))
    peer.expect_abort((2, 1))
    assert receiver.stop() == 0
    begin, *conditions, ours = receiver.stderr.lines
    assert ours.startswith("E: dcmfast.association: aborting association with 127.0.0.1:"), ours
    assert ours.endswith(" (SCRIPTED to ANY-SCP): unknown PDU type 42H"), ours
    assert begin.startswith("E: DIMSE failure (aborting association): "), begin
    assert [line[:8] for line in conditions] == ["E: 0006:"] * 2, conditions


def test_passwords_are_never_logged(running_scp: StartReceiver, scripted_peer: Connect) -> None:
    """PROMISES.md §5.4: user identity (PS3.7 §D.3.3.7), at the most talkative level."""
    receiver = running_scp("storescp", "-ll", "trace")
    peer = scripted_peer(receiver)
    identity = pdu.item(0x58, b"\2\0\0\4root\0\7s3cr3t!")
    peer.associate(user=pdu.user_information(extra=identity))
    peer.release()
    assert receiver.stop() == 0
    assert b"s3cr3t" not in receiver.stderr.data


def test_no_patient_in_the_log_where_folders_bear_names(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """``-sp``: a warning about a file shows when its study came, and from -v on whose it is."""
    for level, is_shown in (([], False), (["-v"], True)):
        receiver = running_scp("storescp", "-sp", *level)
        peer = scripted_peer(receiver)
        peer.associate()
        for seed in (1, 2):
            made = make.ct(
                1, seed=seed, sop_instance_uid="1.2.3.4", study_instance_uid="1.2.3",
                patient_name=CANARY,
            )  # fmt: skip
            assert peer.store(3, made.sop_class_uid, made.sop_instance_uid, made.data_set) == 0
        peer.release()
        line = receiver.stderr.wait_for("^W: DICOM file already exists, overwriting: .*$")
        assert receiver.stop() == 0
        assert re.search(r"/(\*|CANARY\^?_?\w*|\w+)_\d{8}_\d{9}/CT\.1\.2\.3\.4$", line), line
        assert ("canary" in receiver.stderr.text.lower()) is is_shown


def test_no_patient_in_the_log_of_a_requestor(
    running_scp: StartReceiver, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor in those of the other tools, at the default level; answers are findscu's very output."""
    archive = start_archive(running_scp, tmp_path)
    file = tmp_path / "one.dcm"
    file.write_bytes(make.part10(make.ct(1, patient_name=CANARY)))
    peer = ["localhost", str(archive.server.port)]
    study = ["-S", "-aec", "QR", *peer, *keys("STUDY", StudyInstanceUID="", PatientName=CANARY)]
    (tmp_path / "got").mkdir()
    for tool, arguments in (
        ("echoscu", ["-aec", "QR", *peer]),
        ("storescu", ["-aec", "QR", *peer, str(file)]),
        ("storescu", ["-aec", "QR", *peer, str(file)]),
        ("dcmsend", ["-aec", "QR", *peer, str(file)]),
        ("findscu", ["-sr", *study]),
        ("getscu", ["-od", str(tmp_path / "got"), *study]),
        ("movescu", ["-aem", "NOBODY", *study]),
        ("dcmconv", [str(file), str(tmp_path / "copy.dcm")]),
        ("dcmconv", ["+ti", str(file), str(tmp_path)]),
    ):
        importlib.import_module(f"dcmfast.apps.{tool}").main(arguments)
        said = "".join(capfd.readouterr())
        assert "Canary" not in said, tool
    archive.server.stop()
    assert "Canary" not in archive.server.stderr.text
    # What could have been said was there.
    assert CANARY.encode() in next((tmp_path / "got").iterdir()).read_bytes()
