"""dcmqrscp's lines beside those of DCMTK's: the same action, the same words, in the same order.

Masked is what must vary: ports, directories, names of files, who we are.  Lines that only we have
name their logger (DIFFERENCES.md D18); lines that only DCMTK has are listed here, each with its
reason, so that a new one is a decision and not an accident.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from testkit import pdu
from testkit.archive import Archive, keys, start_archive
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from vectors import make

pytestmark = pytest.mark.dcmtk

ONE, TWO = make.ct(1, study=1), make.ct(1, study=2)

Action = Callable[[Archive], int]


def startup(_: Archive) -> int:
    """Nothing happens."""
    return 0


def echo(archive: Archive) -> int:
    archive.run("echoscu")
    return 1


def store(archive: Archive) -> int:
    archive.store(make.ct(1), make.ct(2, rows=128, columns=128))
    return 1


def another_object_of_the_same_uid(archive: Archive) -> int:
    archive.store(make.ct(1), make.ct(1, seed=8, sop_instance_uid=make.ct(1).sop_instance_uid))
    return 1


def find(archive: Archive) -> int:
    archive.store(ONE, TWO)
    wanted = keys("STUDY", StudyInstanceUID="", PatientName="*", StudyDate="20200101-", Rows="16")
    assert archive.find(*wanted).code == 0
    archive.find(*keys("SERIES", StudyInstanceUID=ONE.study_instance_uid, Modality=""))
    return 3


def find_refused(archive: Archive) -> int:
    archive.store(ONE)
    archive.find(*keys("NOWHERE", StudyInstanceUID=""))
    archive.find(*keys(None, StudyInstanceUID=""))
    return 3


def move(archive: Archive) -> int:
    archive.store(make.ct(1), make.ct(2))
    archive.destination()
    archive.move("DEST", *keys("STUDY", StudyInstanceUID=make.ct(1).study_instance_uid))
    return 2


def move_nowhere(archive: Archive) -> int:
    archive.store(ONE)
    study = keys("STUDY", StudyInstanceUID=ONE.study_instance_uid)
    archive.move("UNKNOWN", *study)
    archive.move("CLOSED", *study)
    archive.move("DEST", *keys("STUDY", StudyInstanceUID="1.2.3"))
    archive.move("DEST", *keys("NOWHERE", StudyInstanceUID="1.2.3"))
    return 5


def get(archive: Archive) -> int:
    archive.store(make.ct(1), make.ct(2))
    archive.get(*keys("STUDY", StudyInstanceUID=make.ct(1).study_instance_uid))
    archive.get(*keys("NOWHERE", StudyInstanceUID="1.2.3"))
    return 3


def abort(archive: Archive) -> int:
    with ScriptedPeer(archive.server.port) as peer:
        peer.associate(called="QR")
        peer.echo()
        peer.send(pdu.abort())
        peer.drain()
    return 1


def unknown_title(archive: Archive) -> int:
    archive.run("echoscu", called="NOBODY")
    return 1


def wrong_application_context(archive: Archive) -> int:
    with ScriptedPeer(archive.server.port) as peer:
        peer.send(pdu.associate_rq(called="QR", application_context=b"1.2.3.4"))
        peer.expect_pdu()
        peer.half_close()
    return 1


def nothing_acceptable(archive: Archive) -> int:
    with ScriptedPeer(archive.server.port) as peer:
        peer.send(pdu.associate_rq([(1, "1.2.3.4", [pdu.IMPLICIT])], called="QR"))
        peer.expect_pdu(pdu.ASSOCIATE_AC)
        peer.send(pdu.release_rq())
        peer.expect_pdu(pdu.RELEASE_RP)
    return 1


ACTIONS: list[Action] = [
    startup, echo, store, another_object_of_the_same_uid, find, find_refused, move, move_nowhere,
    get, abort, unknown_title, wrong_application_context, nothing_acceptable,
]  # fmt: skip

#: Lines of ours that DCMTK does not have.
ONLY_OURS = re.compile(r"[FEWIDT]: dcmfast\..*")
#: Lines of DCMTK's that ours does not have: its children, which are threads here; who may not call,
#: where ours is a line of its own; the release of an association that was never made; its
#: index's own word beside the E line, where ours is an I line; its conversion of each response,
#: where we say what could not be converted; and at `-d` the insides of its libraries
#: (DIFFERENCES.md D40).
ONLY_DCMTK = re.compile(
    r"I: Cleaned up after child \(\d+\)|D: Peer .* is not not permitted to access .*"
    r"|I: Releasing Sub-Association \(never made\)"
    r"|W: DB_startFindRequest\(\): missing Query/Retrieve Level"
    r"|E: moveSCP: Sub-Association Release Failed: 0006:0106 ASC Caller passed in a NULL key"
    r"|I: Successfully converted response from character set .*"
    r"|D: (?:|DcmDataDictionary: .*|Dcm[A-Z]\w+::.*|.*\bDUL\b.*)"
)
END = re.compile(
    r"I: (?:Association (?:Release|Aborted)|Refusing Association.*)"
    r"|E: DIMSE Failure \(aborting association\): .*"
)
CLEANED_UP = re.compile(r"I: (?:Cleaned up after child.*|Refusing Association.*)")
#: Fields of DCMTK's blocks of responses, which it prints before it fills them in.
UNFILLED = re.compile(
    r"(D: (?:Message ID Being Responded To|Affected SOP Class UID|\w+ Suboperations"
    r"|Data Set) *: ).*"
)


def masked(archive: Archive) -> list[str]:
    """The lines with everything that varies, or names the implementation, replaced."""
    text = archive.server.stderr.text.replace(str(archive.folder), "<folder>")
    text = text.replace(
        "E: moveSCP: Sub-Association Request Failed: 0006:031c TCP Initialization Error: "
        "Connection refused\nI: Releasing Sub-Association\n",
        "E: moveSCP: Sub-Association Request Failed: 0006:031c TCP Initialization Error: "
        "Connection refused\nI: Releasing Sub-Association (never made)\n",
    )
    text = re.sub(r"(Implementation (?:Class UID|Version Name): +).*", r"\1<ours>", text)
    # What each side's own requestors propose.
    text = re.sub(r"(?m)^(D: PDU Type: .*?Length: )\d+", r"\1<n>", text)
    text = re.sub(r"(?m)^D: (?:  [0-9a-f]{2})+\n", "", text)
    text = re.sub(r"^D: Only dumping 512 bytes\.\n", "", text, flags=re.M)
    text = re.sub(r"\$(?:dcmtk|dcmfast): (\w+) v[^$]*\$", r"$<program>: \1 $", text)
    # DCMTK's deletes nothing where two files got one name (DIFFERENCES.md A1).
    text = re.sub(r"^W: Deleting file: .*\n", "", text, flags=re.M)
    # Any number will do; DCMTK counts from 1, ours goes on from the request's.
    text = re.sub(r"Store SCU RQ: MsgID \d+", "Store SCU RQ: MsgID <n>", text)
    # Ours answers before it releases: the requestor waits less.
    text = re.sub(
        r"(I: Move SCP Response \d+ \[status: (?!Pending).*\n)(I: Releasing Sub-Association\n)",
        r"\2\1", text,
    )  # fmt: skip
    aside = ONLY_OURS if archive.server.is_ours else ONLY_DCMTK
    return [
        UNFILLED.sub(r"\1<value>", line)
        for line in text.splitlines()
        if line != "D: " and not aside.fullmatch(line)
    ]


def told(
    start: StartReceiver, folder: Path, implementation: str, action: Action, level: str
) -> list[str]:
    """Every line on stderr, then those on stdout."""
    options = () if level == "default" else (level,)
    archive = start_archive(start, folder, *options, implementation=implementation)
    seen = 0

    def told_to_the_end() -> None:
        nonlocal seen
        seen += 1
        archive.server.stderr.wait_for(rf"^(?:{ends.pattern})$", count=seen)

    # DCMTK's children and their parent write when they will: one association after the other.
    ends = END if archive.server.is_ours else CLEANED_UP
    if options:
        archive.after_each = told_to_the_end
    associations = action(archive)
    if options and associations:
        archive.server.stderr.wait_for(rf"^(?:{END.pattern})$", count=associations)
    archive.server.stop()
    return [*masked(archive), *archive.server.stdout.lines]


@pytest.mark.parametrize("level", ["default", "-v", "-d"])
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_the_same_action_is_told_alike(
    action: Action, level: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    if level == "-d" and action in {move, get, move_nowhere}:
        pytest.skip("at -d DCMTK's requestor tells its own insides; -v compares the rest")
    theirs, ours = (
        told(running_scp, tmp_path / name, name, action, level) for name in ("dcmtk", "dcmfast")
    )
    difference = "\n".join(difflib.unified_diff(theirs, ours, "dcmtk", "dcmfast", n=1, lineterm=""))
    assert ours == theirs, difference


def test_no_patient_is_in_the_log_at_the_default_level(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    """PROMISES.md §5.4: stores, queries, refusals and retrieves."""
    archive = start_archive(running_scp, tmp_path / "archive")
    secret = make.ct(1, patient_name="Secret^Name")
    archive.store(secret)
    archive.find(*keys("STUDY", StudyInstanceUID="", PatientName="Secret^Name"))
    archive.find(*keys("NOWHERE", PatientName="Secret^Name"))
    archive.move("UNKNOWN", *keys("PATIENT", PatientID="ID1"), model="-P")
    archive.move("CLOSED", *keys("PATIENT", PatientID="ID1"), model="-P")
    archive.server.stop()
    assert "Secret" not in archive.server.stderr.text
    assert "ID1" not in archive.server.stderr.text


def test_no_identifier_can_forge_a_line(running_scp: StartReceiver, tmp_path: Path) -> None:
    archive = start_archive(running_scp, tmp_path / "archive", "-v")
    archive.find(*keys("STUDY", StudyInstanceUID="", PatientName="x\nE: forged\x1b[31m"))
    archive.server.stop()
    lines = archive.server.stderr.lines
    assert "E: forged" not in "".join(line[:9] for line in lines if line.startswith("E"))
    assert any(r"[x\x0aE: forged\x1b[31m]" in line for line in lines), lines


def test_very_verbose_shows_the_data_sets_of_responses(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    """`-vv`, an option of DCMTK 3.5.4."""
    for option, is_shown in (("-v", False), ("-vv", True)):
        archive = start_archive(running_scp, tmp_path / option, option)
        archive.store(ONE)
        archive.find(*keys("STUDY", StudyInstanceUID="", PatientName=""))
        archive.server.stop()
        lines = archive.server.stderr.lines
        assert ("I: Find SCP Response Identifiers:" in lines) is is_shown
        assert any("[Synthetic^Patient]" in line for line in lines) is is_shown
