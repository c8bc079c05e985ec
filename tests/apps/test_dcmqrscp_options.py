"""Every option of dcmqrscp does what it says: DCMTK's clients, and the same steps against DCMTK's.

No option is accepted and ignored.  Where both programs do the same, the same test runs against
both, which shows that the test itself is right.
"""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

import pytest

import dcmfast
from testkit import pdu
from testkit.archive import Archive, keys, start_archive
from testkit.corpus import split_part10
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Finished, run_tool
from vectors import make

both = pytest.mark.parametrize("implementation", ["dcmtk", "dcmfast"])

#: FIND, MOVE and GET of each model (PS3.4 Table C.6.1-2 and on).
MODELS = {
    "patient": ["1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.1.2",
                "1.2.840.10008.5.1.4.1.2.1.3"],
    "study": ["1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2",
              "1.2.840.10008.5.1.4.1.2.2.3"],
    "patient-study": ["1.2.840.10008.5.1.4.1.2.3.1", "1.2.840.10008.5.1.4.1.2.3.2",
                      "1.2.840.10008.5.1.4.1.2.3.3"],
}  # fmt: skip
JPEG = "1.2.840.10008.1.2.4.70"
SHUTDOWN = "1.2.276.0.7230010.3.4.1915765545.18030.917282194.0"
ONE = make.ct(1, study=1)
STUDY = keys("STUDY", StudyInstanceUID=ONE.study_instance_uid)


def negotiated(archive: Archive, classes: list[str], called: str = "QR") -> list[int]:
    """The result of a presentation context for each of `classes`."""
    with ScriptedPeer(archive.server.port) as peer:
        answer = peer.associate(
            [(2 * at + 1, uid, [pdu.IMPLICIT]) for at, uid in enumerate(classes)], called=called
        )
        peer.release()
    return [answer.contexts[2 * at + 1].result for at in range(len(classes))]


def final_status(done: Finished) -> str:
    """What DCMTK's clients say of the last response, in one word or two."""
    found = re.findall(
        r"(?:Final Find Response|Received C-GET Response|Received Final Move Response"
        r"|Move Response \d+|Response) \(?(?:\d+ )?\(?([\w: ]+)\)", done.stderr,
    )  # fmt: skip
    assert found, done.stderr
    return str(found[-1])


# ---- Association negotiation


@both
@pytest.mark.parametrize(
    ("option", "model"), [("-QP", "patient"), ("-QS", "study"), ("-QO", "patient-study")]
)
def test_models(
    option: str, model: str, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """`--no-patient-root`, `--no-study-root`, `--no-patient-study`: result 3."""
    archive = start_archive(running_scp, tmp_path, option, implementation=implementation)
    for name, classes in MODELS.items():
        assert negotiated(archive, classes) == ([3, 3, 3] if name == model else [0, 0, 0])


@both
def test_disable_get(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    archive = start_archive(running_scp, tmp_path, "--disable-get", implementation=implementation)
    for classes in MODELS.values():
        assert negotiated(archive, classes) == [0, 0, 3]


@both
def test_require_find(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """DIFFERENCES.md C7: MOVE alone, of the same model; GET is not affected."""
    archive = start_archive(running_scp, tmp_path, "--require-find", implementation=implementation)
    find, move, get = MODELS["study"]
    assert negotiated(archive, [find, move, get]) == [0, 0, 0]
    assert negotiated(archive, [move, get]) == [1, 0]
    assert negotiated(archive, [MODELS["patient"][0], move]) == [0, 1]


@both
def test_no_parallel_store(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    archive = start_archive(
        running_scp, tmp_path, "--no-parallel-store", implementation=implementation
    )
    with ScriptedPeer(archive.server.port) as first:
        assert first.associate(called="QR").contexts[3].result == 0
        assert negotiated(archive, [pdu.CT, pdu.STUDY_ROOT_FIND]) == [1, 0]
        first.release()
    if implementation == "dcmfast":  # DCMTK notices later that its child has ended
        assert negotiated(archive, [pdu.CT]) == [0]


@both
def test_allow_shutdown(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """DIFFERENCES.md B2: the server ends, and ours with exit code 0."""
    archive = start_archive(
        running_scp, tmp_path, "--allow-shutdown", "-v", implementation=implementation
    )
    with ScriptedPeer(archive.server.port) as peer:
        peer.send(pdu.associate_rq([(1, SHUTDOWN, [pdu.IMPLICIT])], called="QR"))
        peer.expect_reject(1, 1, 1)
    code = archive.server.wait()
    assert 'I: Shutting down server ... (negotiated private "shut down" SOP class)' in (
        archive.server.stderr.lines
    )
    if implementation == "dcmfast":
        assert code == 0


@both
def test_without_allow_shutdown(
    implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    archive = start_archive(running_scp, tmp_path, implementation=implementation)
    assert negotiated(archive, [SHUTDOWN, pdu.VERIFICATION]) == [3, 0]
    assert archive.run("echoscu").code == 0


@both
def test_refuse(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    archive = start_archive(running_scp, tmp_path, "--refuse", implementation=implementation)
    with ScriptedPeer(archive.server.port) as peer:
        peer.send(pdu.associate_rq(called="QR"))
        peer.expect_reject(1, 1, 1)


@both
def test_reject(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """`--reject`: no implementation class UID, no association."""
    archive = start_archive(running_scp, tmp_path, "--reject", implementation=implementation)
    with ScriptedPeer(archive.server.port) as peer:
        user = pdu.user_information(class_uid=None)
        peer.send(pdu.associate_rq(called="QR", user=user))
        peer.expect_reject(1, 1, 1)
    assert archive.run("echoscu").code == 0


@both
@pytest.mark.parametrize(("access", "result"), [("R", 1), ("W", 0), ("RW", 0)])
def test_access(
    access: str, result: int, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """`R` takes no storage context; reading is never forbidden."""
    archive = start_archive(running_scp, tmp_path, access=access, implementation=implementation)
    assert negotiated(archive, [pdu.CT, *MODELS["study"]]) == [result, 0, 0, 0]


@both
def test_max_pdu(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    archive = start_archive(running_scp, tmp_path, "-pdu", "5000", implementation=implementation)
    with ScriptedPeer(archive.server.port) as peer:
        assert peer.associate(called="QR").max_pdu == 5000
        peer.release()


def test_max_associations(running_scp: StartReceiver, tmp_path: Path) -> None:
    archive = start_archive(running_scp, tmp_path, "--max-associations", "1")
    with ScriptedPeer(archive.server.port) as first:
        first.associate(called="QR")
        with ScriptedPeer(archive.server.port) as second:
            second.send(pdu.associate_rq(called="QR"))
            second.expect_reject(2, 3, 2)
        first.release()


def accepted_for(archive: Archive, *proposed: str) -> str:
    """The transfer syntax that is accepted of those in one context."""
    with ScriptedPeer(archive.server.port) as peer:
        answer = peer.associate([(1, pdu.CT, proposed)], called="QR")
        peer.release()
    return str(answer.contexts[1].transfer_syntax)


#: Option of incoming associations and the transfer syntax that it wants most.
PREFERENCES = {
    "+x=": pdu.EXPLICIT, "+xe": pdu.EXPLICIT, "+xb": pdu.BIG_ENDIAN, "+xi": pdu.IMPLICIT,
    "+xs": "1.2.840.10008.1.2.4.70", "+xy": "1.2.840.10008.1.2.4.50",
    "+xx": "1.2.840.10008.1.2.4.51", "+xv": "1.2.840.10008.1.2.4.90",
    "+xw": "1.2.840.10008.1.2.4.91", "+xt": "1.2.840.10008.1.2.4.80",
    "+xu": "1.2.840.10008.1.2.4.81", "+xm": "1.2.840.10008.1.2.4.100",
    "+xh": "1.2.840.10008.1.2.4.101", "+xn": "1.2.840.10008.1.2.4.102",
    "+xl": "1.2.840.10008.1.2.4.103", "+x2": "1.2.840.10008.1.2.4.104",
    "+x3": "1.2.840.10008.1.2.4.105", "+xo": "1.2.840.10008.1.2.4.106",
    "+x4": "1.2.840.10008.1.2.4.107", "+x5": "1.2.840.10008.1.2.4.108",
    "+xr": pdu.RLE, "+xd": pdu.DEFLATED,
}  # fmt: skip


@both
@pytest.mark.parametrize("option", PREFERENCES)
def test_preferences(
    option: str, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    archive = start_archive(running_scp, tmp_path, option, implementation=implementation)
    wanted = PREFERENCES[option]
    others = [pdu.IMPLICIT, pdu.BIG_ENDIAN, pdu.EXPLICIT]
    assert accepted_for(archive, *[one for one in others if one != wanted], wanted) == wanted


def test_a_storage_class_in_no_accepted_transfer_syntax(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    """DIFFERENCES.md C17: result 4, where DCMTK's dcmqrscp calls the class unknown (3)."""
    results = []
    for implementation in ("dcmtk", "dcmfast"):
        archive = start_archive(
            running_scp, tmp_path / implementation, implementation=implementation
        )
        with ScriptedPeer(archive.server.port) as peer:
            answer = peer.associate(
                [
                    (1, pdu.CT, (pdu.RLE,)),
                    (3, "1.2.3.4", (pdu.EXPLICIT,)),
                    (5, pdu.CT, (pdu.EXPLICIT,)),
                ],
                called="QR",
            )
            peer.release()
        results.append([answer.contexts[number].result for number in (1, 3, 5)])
    assert results == [[3, 3, 0], [4, 3, 0]]


PROFILE = """\
[[TransferSyntaxes]]
[Big]
TransferSyntax1 = BigEndianExplicit
[Implicit]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[In]
PresentationContext1 = CTImageStorage\\Big
[Out]
PresentationContext1 = CTImageStorage\\Implicit
[[Profiles]]
[Incoming]
PresentationContexts = In
[Outgoing]
PresentationContexts = Out
"""


@both
def test_profiles(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """`-xf FILE IN OUT`: one for what comes, one for what is sent."""
    profile = tmp_path / "profile.cfg"
    profile.write_text(PROFILE)
    archive = start_archive(
        running_scp, tmp_path / "archive", "-xf", str(profile), "Incoming", "Outgoing",
        implementation=implementation,
    )  # fmt: skip
    assert accepted_for(archive, pdu.EXPLICIT, pdu.BIG_ENDIAN) == pdu.BIG_ENDIAN
    archive.store(make.ct(1, transfer_syntax_uid=pdu.BIG_ENDIAN), options=("-xb",))
    receiver = archive.destination("-d")
    study = keys("STUDY", StudyInstanceUID=make.ct(1).study_instance_uid)
    assert final_status(archive.move("DEST", *study)) == "Success"
    receiver.stderr.wait_for("I: Association Release")
    assert "Accepted Transfer Syntax: =LittleEndianImplicit" in receiver.stderr.text
    assert receiver.stderr.text.count("(Proposed)") == 1


#: Option of outgoing associations and the transfer syntax that it proposes first.
PROPOSALS = {
    "-x=": "=LittleEndianExplicit", "-xe": "=LittleEndianExplicit", "-xb": "=BigEndianExplicit",
    "-xi": "=LittleEndianImplicit", "-xs": "=JPEGLossless:Non-hierarchical-1stOrderPrediction",
    "-xy": "=JPEGBaseline", "-xx": "=JPEGExtended:Process2+4",
    "-xv": "=JPEG2000LosslessOnly", "-xw": "=JPEG2000", "-xt": "=JPEGLSLossless",
    "-xu": "=JPEGLSLossy", "-xm": "=MPEG2MainProfile@MainLevel",
    "-xh": "=MPEG2MainProfile@HighLevel", "-xn": "=MPEG4HighProfile/Level4.1",
    "-xl": "=MPEG4BDcompatibleHighProfile/Level4.1",
    "-x2": "=MPEG4HighProfile/Level4.2For2DVideo", "-x3": "=MPEG4HighProfile/Level4.2For3DVideo",
    "-xo": "=MPEG4StereoHighProfile/Level4.2", "-x4": "=HEVCMainProfile/Level5.1",
    "-x5": "=HEVCMain10Profile/Level5.1", "-xr": "=RLELossless",
    "-xd": "=DeflatedLittleEndianExplicit",
}  # fmt: skip


@both
@pytest.mark.parametrize("option", PROPOSALS)
def test_proposals(
    option: str, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """What a move destination is offered for CT, in the contexts that offer more than one."""
    archive = start_archive(running_scp, tmp_path, option, implementation=implementation)
    archive.store(ONE)
    receiver = archive.destination("-d")
    archive.move("DEST", *STUDY)
    receiver.stderr.wait_for("A-ASSOCIATE-AC")
    request = receiver.stderr.text.partition("BEGIN A-ASSOCIATE-RQ")[2].partition("END A-")[0]
    lists = [
        re.findall(r"^D:       (=\S+)", part.partition("Syntax(es):")[2], re.M)
        for part in request.split("Context ID:")[1:]
        if "=CTImageStorage\n" in part
    ]
    assert PROPOSALS[option] in [each[0] for each in lists], lists


# ---- Identifiers, destinations


@both
def test_check_find(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """`-XF`: a key of a lower level is an error; without it, it is ignored."""
    wrong = keys("STUDY", StudyInstanceUID="", SeriesInstanceUID="1.2")
    ignored, refused = "Success", "Error: DataSetDoesNotMatchSOPClass"
    for options, expected in ((("-XF", "--no-check-find"), ignored), (("-XF",), refused)):
        archive = start_archive(
            running_scp, tmp_path / str(len(options)), *options, implementation=implementation
        )
        archive.store(ONE)
        assert final_status(archive.find(*wrong)) == expected
        assert final_status(archive.find(*STUDY)) == "Success"


@both
def test_check_move(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """`-XM`, for C-MOVE and C-GET; the rightmost of it and its opposite counts."""
    wrong = [*STUDY, *keys(SeriesInstanceUID="1.2")]
    archive = start_archive(
        running_scp, tmp_path, "--no-check-move", "-XM", "-v", implementation=implementation
    )
    archive.store(ONE)
    archive.destination()
    archive.move("DEST", *wrong)
    archive.get(*wrong)
    archive.move("DEST", *STUDY)
    archive.server.stderr.wait_for(r"^I: Association Release$", count=4)
    answered = re.findall(r"(?:Move|Get) SCP Response \d+ \[status: (.*)\]",
                          archive.server.stderr.text)  # fmt: skip
    refused = "Error: DataSetDoesNotMatchSOPClass"
    assert answered == [refused, refused, "Pending", "Success"]


@both
@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("-ZA", "strictMove Reqs: 'MOVESCU' != 'DEST'"),
        ("-ZH", "different hosts: 'localhost', 'elsewhere.invalid'"),
        ("-ZV", "different vendors: 'MOVESCU', 'DEST'"),
    ],
)
def test_restricted_destinations(
    option: str, expected: str, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """`--move-aetitle`, `--move-host`, `--move-vendor`, each with what it lets pass."""
    archive = start_archive(
        running_scp, tmp_path, option, "-v", implementation=implementation,
        hosts=("far = (FAR, elsewhere.invalid, 104)",), vendors=('"One" = dest',),
    )  # fmt: skip
    archive.store(ONE)
    archive.destination()
    archive.move("FAR" if option == "-ZH" else "DEST", *STUDY)
    caller = {"-ZA": "DEST", "-ZH": "ANYBODY", "-ZV": "DEST"}[option]
    archive.run("movescu", "-S", "-aet", caller, "-aem", "DEST", *STUDY)
    archive.server.stderr.wait_for(r"^I: Association Release$", count=3)
    lines = archive.server.stderr.lines
    assert f"I: mapMoveDestination: {expected}" in lines
    answered = [line for line in lines if "Move SCP Response" in line]
    assert "[status: Refused: MoveDestinationUnknown]" in answered[0]
    assert "[status: Success]" in answered[-1], lines
    assert len(list(archive.received.iterdir())) == 1


# ---- Time, names


@both
def test_acse_timeout(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """`-ta`: a connection without a request ends."""
    archive = start_archive(running_scp, tmp_path, "-ta", "1", implementation=implementation)
    with ScriptedPeer(archive.server.port) as peer:
        begun = time.monotonic()
        peer.drain()
        assert 0.9 < time.monotonic() - begun < 6


def test_dimse_timeout(running_scp: StartReceiver, tmp_path: Path) -> None:
    """`-td`: a data set that does not come ends the association (DIFFERENCES.md D1)."""
    archive = start_archive(running_scp, tmp_path, "-td", "1")
    with ScriptedPeer(archive.server.port) as peer:
        peer.associate(called="QR")
        command = pdu.c_store_rq(ONE.sop_class_uid, ONE.sop_instance_uid)
        peer.send(pdu.p_data(pdu.pdv(3, command, command=True)))
        begun = time.monotonic()
        peer.drain()
        assert 0.9 < time.monotonic() - begun < 6


def test_connection_timeout(running_scp: StartReceiver, tmp_path: Path) -> None:
    """`-to`: a destination that never answers the connection fails in time.

    The address is one of those that are for documentation (RFC 5737): nobody has it.
    """
    archive = start_archive(
        running_scp, tmp_path, "-to", "1", "-v", hosts=("far = (FAR, 192.0.2.1, 104)",)
    )
    archive.store(ONE)
    begun = time.monotonic()
    archive.move("FAR", *STUDY)
    archive.server.stderr.wait_for(r"Sub-Association Request Failed|no association with")
    assert time.monotonic() - begun < 8


def test_a_destination_that_never_answers(running_scp: StartReceiver, tmp_path: Path) -> None:
    """`-ta` and `-td` end the waiting for a destination, too; the move has failed (A702H)."""
    with socket.create_server(("localhost", 0)) as mute:
        port = mute.getsockname()[1]
        archive = start_archive(
            running_scp,
            tmp_path,
            "-ta",
            "1",
            "-td",
            "1",
            hosts=(f"mute = (MUTE, localhost, {port})",),
        )
        archive.store(ONE)
        begun = time.monotonic()
        # The system accepts the connection, and nobody reads from it.
        done = archive.move("MUTE", *STUDY)
        assert "Refused: OutOfResourcesSubOperations" in done.stderr, done
        slow = archive.destination("--sleep-during", "20")
        done = archive.move("DEST", *STUDY)
        assert "Refused: OutOfResourcesSubOperations" in done.stderr, done
        assert time.monotonic() - begun < 12
        # It goes on: the next question is answered.
        assert archive.numbers() == [ONE.study_instance_uid]
        slow.kill()


@both
def test_disable_host_lookup(
    implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """`-dhl`: peers are addresses in the log.

    DIFFERENCES.md D4: in DCMTK's tables, a name then matches nobody; in ours its address does.
    """
    area = tmp_path / "named"
    area.mkdir()
    archive = start_archive(
        running_scp, tmp_path, "-dhl", "-v", implementation=implementation,
        entries=(f"NAMED {area} RW (9, 1024mb) (FRIEND, localhost, 11112)",),
    )  # fmt: skip
    archive.run("echoscu")
    archive.server.stderr.wait_for(r"^I: Association Received \(127\.0\.0\.1:ECHOSCU -> QR\)$")
    named = archive.run("echoscu", "-aet", "FRIEND", called="NAMED")
    assert named.code == (0 if implementation == "dcmfast" else 1)
    assert archive.run("echoscu", "-aet", "STRANGER", called="NAMED").code == 1


@both
def test_uid_padding(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """`-up`: a UID padded with a blank counts as the UID."""
    archive = start_archive(running_scp, tmp_path, "-up", implementation=implementation)
    with ScriptedPeer(archive.server.port) as peer:
        peer.associate(called="QR")
        uid = "1.2.826.0.1.3680043.9.3811.77"
        made = make.ct(1, sop_instance_uid=uid)
        padded = made.data_set.replace(uid.encode() + b"\0", uid.encode() + b" ")
        assert padded != made.data_set
        assert peer.store(3, made.sop_class_uid, uid, padded) == 0
        peer.release()
    found = archive.values(
        "SOPInstanceUID",
        *keys("IMAGE", StudyInstanceUID=made.study_instance_uid, SOPInstanceUID=uid),
        *keys(SeriesInstanceUID=make.uid(7, 1, 0)),
    )
    assert found == [uid]


# ---- Storing


@both
def test_ignore(implementation: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    """`--ignore`: success, and nothing is stored or found."""
    archive = start_archive(running_scp, tmp_path, "--ignore", implementation=implementation)
    assert "Received Store Response (Success)" in archive.store(ONE).stderr
    assert archive.numbers() == []
    assert list(archive.area.rglob("*.dcm")) == []


@pytest.mark.parametrize(
    ("option", "implementation"), [("-B", "dcmfast"), ("+B", "dcmfast"), ("+B", "dcmtk")]
)
def test_bit_preserving(
    option: str, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """The data set is kept byte for byte with `+B`; with `-B` it loses its padding (D7).

    What was cut cannot be listed: both programs refuse it with `+B`, ours with `-B` too (A4).
    """
    archive = start_archive(running_scp, tmp_path, option, implementation=implementation)
    write = make.Syntax()
    odd = make.ct(1, tail=write.element((0xFFFC, 0xFFFC), "OB", bytes(8)))
    with ScriptedPeer(archive.server.port) as peer:
        peer.associate(called="QR")
        assert peer.store(3, odd.sop_class_uid, odd.sop_instance_uid, odd.data_set) == 0
        cut = make.ct(2)
        status = peer.store(3, cut.sop_class_uid, cut.sop_instance_uid, cut.data_set[:-10])
        peer.release()
    assert archive.numbers() == [odd.study_instance_uid]
    files = [path for path in archive.area.rglob("*.dcm") if path.stat().st_size > 0]
    assert status == 0xC000
    whole = [path.read_bytes().endswith(odd.data_set) for path in files]
    if option == "+B":
        assert any(whole)
    else:
        written = odd.data_set[: odd.data_set.rindex(b"\xfc\xff\xfc\xff")]
        assert not any(whole)
        assert any(path.read_bytes().endswith(written) for path in files)
    assert not any(cut.sop_instance_uid.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("mode", ["none", "group", "each"])
def test_durability(mode: str, running_scp: StartReceiver, tmp_path: Path) -> None:
    archive = start_archive(running_scp, tmp_path, "--durability", mode, "-v")
    assert "Received Store Response (Success)" in archive.store(ONE).stderr
    assert archive.numbers() == [ONE.study_instance_uid]
    archive.server.stop()
    assert f"I: dcmfast.durability: {mode}: " in archive.server.stderr.text


@pytest.mark.parametrize(
    ("mode", "answer", "kept"),
    [("replace", "Success", 1), ("keep", "Success", 0), ("reject", "Unknown Status: 0x111", 0)],
)
def test_duplicate(
    mode: str, answer: str, kept: int, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """Another object under a stored object's UID."""
    archive = start_archive(running_scp, tmp_path, "--duplicate", mode)
    two = [
        make.ct(1, seed=8, patient_name=name, sop_instance_uid="1.2.3",
                series_date=f"2020010{at + 1}")
        for at, name in enumerate(("First", "Second"))
    ]  # fmt: skip
    assert "(Success)" in archive.store(two[0]).stderr
    assert f"({answer})" in archive.store(two[1]).stderr
    assert archive.get(*keys("STUDY", StudyInstanceUID=two[0].study_instance_uid)).code == 0
    archive.server.stop()
    assert ("W: Deleting file: " in archive.server.stderr.text) is (mode == "replace")
    (path,) = archive.received.iterdir()
    assert ("First", "Second")[kept].encode() in path.read_bytes()


@both
def test_an_instance_of_two_studies(
    implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """DIFFERENCES.md A5: DCMTK keeps both; here a UID names one instance, the last to come."""
    archive = start_archive(running_scp, tmp_path, implementation=implementation)
    two = [make.ct(1, study=study, sop_instance_uid="1.2.3") for study in (1, 2)]
    for one in two:
        assert "(Success)" in archive.store(one).stderr
    is_ours = implementation == "dcmfast"
    kept = two[1:] if is_ours else two
    assert sorted(archive.numbers()) == [one.study_instance_uid for one in kept]
    archive.server.stop()
    assert ("W: Deleting file: " in archive.server.stderr.text) is is_ours


def test_a_uid_that_is_several(running_scp: StartReceiver, tmp_path: Path) -> None:
    """A backslash separates values; an instance has one UID.  Nothing is left, and others go on."""
    archive = start_archive(running_scp, tmp_path)
    with ScriptedPeer(archive.server.port) as peer:
        peer.associate([(1, pdu.CT, [pdu.EXPLICIT])], called="QR")
        for uid, status in (("1.2\\3.4", 0xC000), ("1.2.3", 0)):
            made = make.ct(1, sop_instance_uid=uid)
            assert peer.store(1, pdu.CT, uid, made.data_set) == status
        peer.release()
    assert len(archive.numbers()) == 1
    assert len(list(archive.area.rglob("*.dcm"))) == 1


# ---- Quotas


@both
def test_a_quota_drops_the_oldest_study(
    implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    archive = start_archive(
        running_scp, tmp_path, "-v", implementation=implementation, quota="2, 1mb"
    )
    made = [make.ct(1, study=number) for number in (1, 2, 3)]
    for one in made:
        assert "(Success)" in archive.store(one).stderr
    assert sorted(archive.numbers()) == [one.study_instance_uid for one in made[1:]]
    archive.server.stop()
    deleted = re.findall(r"W: Deleting file: (\S+) due to quota or duplicate SOP instance UID",
                         archive.server.stderr.text)  # fmt: skip
    assert len(deleted) == 1
    assert not Path(deleted[0]).exists()


def test_a_quota_tells_studies_apart_by_their_whole_uid(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    """DIFFERENCES.md A7: DCMTK's drops 1.2.10 together with 1.2.1."""
    archive = start_archive(running_scp, tmp_path, quota="2, 1mb")
    for number, study in enumerate(("1.2.1", "1.2.10", "1.2.3"), 1):
        archive.store(make.ct(number, study_instance_uid=study))
    assert archive.numbers() == ["1.2.10", "1.2.3"]


@both
def test_a_quota_of_bytes_drops_the_oldest_of_the_study(
    implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    archive = start_archive(running_scp, tmp_path, implementation=implementation, quota="9, 100kb")
    made = [make.ct(number, rows=128, columns=160) for number in (1, 2, 3)]
    for one in made:
        assert "(Success)" in archive.store(one).stderr
    found = archive.values(
        "SOPInstanceUID",
        *keys("IMAGE", StudyInstanceUID=made[0].study_instance_uid, SOPInstanceUID=""),
        *keys(SeriesInstanceUID=make.uid(7, 1, 0)),
    )
    assert sorted(found) == [one.sop_instance_uid for one in made[1:]]


# ---- Storage areas


def test_two_titles_of_one_area(running_scp: StartReceiver, tmp_path: Path) -> None:
    """DIFFERENCES.md D23: one area, two titles, each with its rights; the first line's quota."""
    archive = start_archive(
        running_scp, tmp_path, quota="2, 1mb",
        entries=(f"AGAIN {tmp_path}/area R (1, 1mb) ANY",),
    )  # fmt: skip
    made = [make.ct(1, study=number) for number in (1, 2)]
    archive.store(*made)
    wanted = [one.study_instance_uid for one in made]
    assert archive.numbers() == wanted
    done = archive.find(*keys("STUDY", StudyInstanceUID=""), called="AGAIN")
    assert done.stderr.count("Find Response:") == 2
    assert "No Acceptable Presentation Contexts" in archive.store(ONE, called="AGAIN").stderr


def test_a_storage_area_can_be_moved(running_scp: StartReceiver, tmp_path: Path) -> None:
    """DIFFERENCES.md F4: nothing in it says where it was."""
    archive = start_archive(running_scp, tmp_path / "here")
    archive.store(ONE)
    archive.server.stop()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "area").rename(tmp_path / "there" / "area")
    moved = start_archive(running_scp, tmp_path / "there")
    assert moved.numbers() == [ONE.study_instance_uid]
    moved.get(*STUDY)
    assert len(list(moved.received.iterdir())) == 1
    assert {path.name for path in moved.area.iterdir()} == {"objects", ".dcmfast"}


# ---- Queries


@pytest.mark.parametrize(
    ("mode", "by_name", "has_count"), [("dcmtk", [], False), ("standard", ["1"], True)]
)
def test_matching(
    mode: str, by_name: list[str], has_count: bool, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """DIFFERENCES.md D14: names by component without case, and counts, by PS3.4's rules only."""
    archive = start_archive(running_scp, tmp_path, "--matching", mode)
    archive.store(ONE)
    wanted = keys("STUDY", StudyInstanceUID="", PatientName="synthetic^patient",
                  NumberOfStudyRelatedInstances="")  # fmt: skip
    assert archive.values("NumberOfStudyRelatedInstances", *wanted) == by_name
    done = archive.find(*keys("STUDY", StudyInstanceUID="", NumberOfStudyRelatedInstances=""))
    response = done.stderr.partition("Find Response:")[2]
    assert ("NumberOfStudyRelatedInstances" in response) is has_count


LATIN = make.ct(1, patient_name="M\xfcller", charset="ISO_IR 100")
#: Options, the request's character set, and the bytes and character set that come back.
CHARACTER_SETS = [
    ((), "ISO_IR 192", "Müller".encode(), "ISO_IR 192"),
    ((), "ISO_IR 100", b"M\xfcller", "ISO_IR 100"),
    (("+U8",), "", "Müller".encode(), "ISO_IR 192"),
    (("+L1",), "", b"M\xfcller", "ISO_IR 100"),
    (("+C", "ISO_IR 192"), "", "Müller".encode(), "ISO_IR 192"),
    (("-Cr", "+U8"), "ISO_IR 100", "Müller".encode(), "ISO_IR 192"),
    (("+Cr", "+U8"), "ISO_IR 100", b"M\xfcller", "ISO_IR 100"),
    (("-Cr", "+A7"), "ISO_IR 100", b"M\xfcller", "ISO_IR 100"),
    (("-Cr", "+A7", "-Cd"), "ISO_IR 100", b"Mller", ""),
    (("-Cr", "+A7", "-Ct"), "ISO_IR 100", b"Muller", ""),
]


@both
@pytest.mark.parametrize(("options", "asked", "expected", "charset"), CHARACTER_SETS)
def test_character_sets(
    options: tuple[str, ...],
    asked: str,
    expected: bytes,
    charset: str,
    implementation: str,
    running_scp: StartReceiver,
    tmp_path: Path,
) -> None:
    """`+Cr -Cr +A7 +U8 +L1 +C -Ct -Cd`: the character set of responses."""
    import pydicom

    if implementation == "dcmtk" and {"-Ct", "-Cd"} & set(options):
        pytest.skip("Debian's build of DCMTK can neither transliterate nor discard")
    archive = start_archive(
        running_scp, tmp_path / "archive", *options, implementation=implementation
    )
    with ScriptedPeer(archive.server.port) as peer:
        peer.associate(called="QR")
        data_set = LATIN.data_set
        assert b"M\xfcller" in data_set
        assert peer.store(3, LATIN.sop_class_uid, LATIN.sop_instance_uid, data_set) == 0
        peer.release()
    wanted = keys("STUDY", StudyInstanceUID="", PatientName="")
    if asked:
        wanted += keys(SpecificCharacterSet=asked)
    out = tmp_path / "out"
    out.mkdir()
    assert archive.run("findscu", "-S", "-X", "-od", str(out), *wanted).code == 0
    (path,) = out.iterdir()
    found = pydicom.dcmread(path, force=True)
    assert found.get("SpecificCharacterSet", "") == charset
    assert expected in path.read_bytes()


# ---- What is said


@both
@pytest.mark.parametrize(
    ("options", "letters"),
    [
        (("-q",), ""),
        ((), "EW"),
        (("-v",), "EIW"),
        (("-d",), "DEIW"),
        (("-ll", "info"), "EIW"),
        (("-ll", "error"), "E"),
    ],
)
def test_levels(
    options: tuple[str, ...],
    letters: str,
    implementation: str,
    running_scp: StartReceiver,
    tmp_path: Path,
) -> None:
    archive = start_archive(running_scp, tmp_path, *options, implementation=implementation)
    other = make.ct(1, study=1, seed=8, sop_instance_uid=ONE.sop_instance_uid)
    archive.store(ONE, other)  # W
    archive.find(*keys("NOWHERE", StudyInstanceUID=""))  # E
    archive.server.stop()
    # DCMTK's parent and children write into each other's lines.
    seen = {line[0] for line in archive.server.stderr.lines if re.match("[FEWIDT]: ", line)}
    if implementation == "dcmtk":
        # Of two files in one second it may have one (DIFFERENCES.md A1), and delete nothing.
        letters = letters.replace("W", "")
        seen -= {"W"}
    assert "".join(sorted(seen)) == letters


def test_log_json(running_scp: StartReceiver, tmp_path: Path) -> None:
    archive = start_archive(running_scp, tmp_path, "-v", "--log-json")
    archive.run("echoscu")
    archive.server.stop()
    texts = [str(json.loads(line)) for line in archive.server.stderr.lines]
    assert any("Received Echo SCP RQ: MsgID 1" in text for text in texts)


def test_single_process_serves_one_at_a_time(running_scp: StartReceiver, tmp_path: Path) -> None:
    """`-s`: the next one waits for the end of the one before it."""
    archive = start_archive(running_scp, tmp_path, "-s")
    with ScriptedPeer(archive.server.port) as first, ScriptedPeer(archive.server.port) as second:
        first.associate(called="QR")
        second.send(pdu.associate_rq(called="QR"))
        first.echo()
        first.release()
        second.expect_associate_ac()
        second.release()


@both
@pytest.mark.parametrize("option", ["-F", "--write-dataset", "+F", "--write-file"])
def test_file_format(
    option: str, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """A bare data set is found and retrieved like any other, in its transfer syntax."""
    archive = start_archive(running_scp, tmp_path, option, implementation=implementation)
    made = [ONE, make.ct(2, study=1, rows=300, columns=300)]
    assert archive.store(*made).code == 0
    assert archive.get(*STUDY).code == 0
    stored = [path.read_bytes() for path in archive.area.rglob("*.dcm")]
    is_bare = option in ("-F", "--write-dataset")
    assert [one[128:132] == b"DICM" for one in stored] == [not is_bare] * 2
    if is_bare:
        assert set(stored) == {one.data_set for one in made}
    got = {path.name: split_part10(path.read_bytes()) for path in archive.received.iterdir()}
    for one in made:
        meta, data_set = got[f"CT.{one.sop_instance_uid}"]
        assert meta[0x10].rstrip(b"\0").decode() == one.transfer_syntax_uid
        assert data_set == one.data_set


def test_bare_data_sets_are_verified_and_listed_anew(
    running_scp: StartReceiver, tmp_path: Path
) -> None:
    """The encoding is the index's to tell; made anew, what a data set betrays, and no guess."""
    archive = start_archive(running_scp, tmp_path, "-F", "+B", "+xs")
    plain = [
        make.ct(number, study=1, transfer_syntax_uid=syntax, rows=side, columns=side)
        for number, (syntax, side) in enumerate(
            [(pdu.EXPLICIT, 8), (pdu.IMPLICIT, 8), (pdu.BIG_ENDIAN, 300)], start=1
        )
    ]
    whole = make.ct(4, study=1).data_set
    fragments = b"\xfe\xff\0\xe0\0\0\0\0\xfe\xff\0\xe0\2\0\0\0\xff\xd8\xfe\xff\xdd\xe0\0\0\0\0"
    pixels = whole.index(b"\xe0\x7f\x10\0OW\0\0")
    jpeg = whole[:pixels] + b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + fragments
    uid = make.ct(4, study=1).sop_instance_uid
    syntaxes = [pdu.EXPLICIT, pdu.IMPLICIT, pdu.BIG_ENDIAN]
    with ScriptedPeer(archive.server.port) as peer:
        contexts = [(2 * at + 1, pdu.CT, [syntax]) for at, syntax in enumerate(syntaxes)]
        peer.associate([*contexts, (9, pdu.CT, [JPEG])], called="QR")
        for at, one in enumerate(plain):
            assert peer.store(2 * at + 1, pdu.CT, one.sop_instance_uid, one.data_set) == 0
        assert peer.store(9, pdu.CT, uid, jpeg) == 0
        peer.release()
    assert archive.server.stop() == 0

    def index(command: str, *options: str) -> Finished:
        return run_tool("dcmfast", "index", [command, archive.area, *options])

    def read() -> dict[str, str]:
        with dcmfast.Archive(archive.area) as opened:
            found = {one.sop_instance_uid: one for one in opened}
            for one in plain:
                assert found[one.sop_instance_uid].read().PixelData
            return {name: one.transfer_syntax_uid for name, one in found.items()}

    expected = {one.sop_instance_uid: one.transfer_syntax_uid for one in plain}
    assert index("verify", "--full").code == 0
    assert read() == expected | {uid: JPEG}
    # Anew: what is compressed says nothing of how, so it is told and not listed; it is not touched.
    done = index("rebuild")
    assert (
        "compressed, and without file meta information that says how" in done.stdout + done.stderr
    )
    assert read() == expected
    assert len(list(archive.area.rglob("*.dcm"))) == 4
    assert index("verify", "--full", "--repair").code != 0
    assert read() == expected
