"""Options of the clients that no other file tries: what each changes, beside DCMTK's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcmfast.options import query_settings
from dcmfast.options.specs.movescu import MOVESCU
from testkit import pdu
from testkit.cases import BOTH
from testkit.kinds import StartReceiver
from testkit.process import run_tool
from testkit.scripted_scp import Conversation, Message, ScriptedServer
from vectors import make

#: Each asks for another list of transfer syntaxes, for objects or for identifiers.
GETSCU = "+xe +xb +xs +xy +xx +xv +xw +xt +xu +xm +xh +xn +xl +x2 +x3 +xo +x4 +x5 +xr +xd -xe -xb"


@pytest.mark.dcmtk
def test_what_getscu_accepts_and_proposes(tmp_path: Path) -> None:
    """Every preference of ``getscu``, and of its identifiers, as DCMTK's; ``+v`` shows them."""
    seen: list[dict[str, list[str]]] = []

    def play(peer: Conversation) -> None:
        wanted = peer.expect_associate_rq().contexts.values()
        seen.append(dict(wanted))
        peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, 1, 1, 7])))

    options = GETSCU.split()
    with ScriptedServer(*[play] * (2 * len(options))) as server:
        for option in options:
            line = ["-v", "+v", option, "-P", "127.0.0.1", str(server.port), "-k", "PatientID"]
            for implementation in ("dcmtk", "dcmfast"):
                done = run_tool(implementation, "getscu", line, cwd=tmp_path)
                assert "Presentation Contexts:" in done.stderr
            theirs, ours = seen[-2:]
            # Not the same classes: ours are those of this day.
            common = theirs.keys() & ours.keys()
            assert len(common) > 100
            assert {uid: ours[uid] for uid in common} == {uid: theirs[uid] for uid in common}, (
                option
            )


def requested(tool: str, *words: str | Path) -> list[tuple[Message, list[int]]]:
    """The requests of a command line, and the lengths of the PDUs that brought each data set."""
    found: list[tuple[Message, list[int]]] = []

    def play(peer: Conversation) -> None:
        lengths: list[int] = []
        plain = peer.expect_pdu

        def counted(kind: int) -> tuple[int, bytes]:
            came = plain(kind)
            if kind == pdu.P_DATA_TF:
                lengths.append(len(came[1]))
            return came

        peer.expect_pdu = counted  # type: ignore[method-assign, assignment]
        peer.accept(max_pdu=0)
        request = peer.expect_request()
        found.append((request, lengths))
        peer.respond(request, 0)
        peer.expect_release()

    with ScriptedServer(play) as server:
        done = run_tool("dcmfast", tool, ["127.0.0.1", str(server.port), *words])
    assert done.code == 0, done.stderr
    return found


@pytest.mark.parametrize("tool", ["storescu", "dcmsend"])
def test_the_longest_pdu_that_is_sent(tool: str, tmp_path: Path) -> None:
    """``--max-send-pdu``, where the peer takes any length."""
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(make.ct(1, rows=100, columns=100)))
    ((_, lengths),) = requested(tool, "--max-send-pdu", "4096", path)
    assert max(lengths) == 4096
    ((_, lengths),) = requested(tool, path)
    assert max(lengths) > 4096


@pytest.mark.parametrize("tool", ["storescu", "dcmsend"])
@BOTH
def test_input_formats(tool: str, implementation: str, tmp_path: Path) -> None:
    """``+f``, ``+fo`` and ``-f``: which of a file and a bare data set are looked at as such."""
    one = make.ct(1, transfer_syntax_uid=pdu.IMPLICIT)
    whole, bare = tmp_path / "whole", tmp_path / "bare"
    whole.write_bytes(make.part10(one))
    bare.write_bytes(one.data_set)

    def play(peer: Conversation) -> None:
        peer.accept()
        peer.respond(peer.expect_request(), 0)
        peer.expect_release()

    for option, path, is_sent in (
        ("+f", whole, True),
        ("+f", bare, True),
        ("+fo", whole, True),
        ("+fo", bare, False),
        ("-f", bare, True),
    ):
        if is_sent:
            with ScriptedServer(play) as server:
                line = [option, "127.0.0.1", str(server.port), path]
                done = run_tool(implementation, tool, line)
            assert done.code == 0, (option, path, done.stderr)
        else:
            done = run_tool(implementation, tool, [option, "127.0.0.1", "9", path])
            assert done.code != 0
            # DCMTK's storescu associates before it looks.
            if (implementation, tool) != ("dcmtk", "storescu"):
                assert "bad DICOM file" in done.stderr


def test_no_rename(tmp_path: Path) -> None:
    """``-rn`` of storescu takes ``+rn`` back."""
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(make.ct(1)))
    requested("storescu", "+rn", "-rn", path)
    assert [one.name for one in tmp_path.iterdir()] == ["one.dcm"]


def test_pdu_of_dcmsend(tmp_path: Path) -> None:
    """``-pdu``: what the request announces."""
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(make.ct(1)))
    announced = []

    def refuse(peer: Conversation) -> None:
        _, body = peer.expect_pdu(pdu.ASSOCIATE_RQ)
        user = dict(pdu.read_items(body[68:]))[0x50]
        announced.append(int.from_bytes(dict(pdu.read_items(user))[0x51], "big"))
        peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, 1, 1, 7])))

    with ScriptedServer(refuse) as server:
        run_tool("dcmfast", "dcmsend", ["-pdu", "5000", "127.0.0.1", str(server.port), path])
    assert announced == [5000]


@BOTH
def test_worklist_without_correction(implementation: str) -> None:
    """``-W`` and ``-dc`` of findscu say what happens anyway: text keeps its padding."""
    shown = {}
    for option in ("+dc", "-dc"):

        def play(peer: Conversation) -> None:
            (wanted,) = peer.accept(transfer_syntax=pdu.EXPLICIT).contexts.values()
            assert wanted[0] == "1.2.840.10008.5.1.4.31"
            request = peer.expect_request()
            peer.respond(request, 0xFF00, data=b"\x10\x00\x20\x00LO\x02\x001 ")
            peer.respond(request, 0)
            peer.expect_release()

        with ScriptedServer(play) as server:
            line = ["-W", option, "127.0.0.1", str(server.port), "-k", "PatientID"]
            shown[option] = run_tool(implementation, "findscu", line).stderr
    assert "LO [1 ]" in shown["-dc"]
    assert "LO [1] " in shown["+dc"]


def test_access_full() -> None:
    """``-ac`` of movescu takes ``+ac`` back: whoever connects may send."""
    rules = {}
    for option in ("+ac", "-ac"):
        line = ["127.0.0.1", "104", "-k", "PatientID", "+P", "11113", "+ac", option]
        made = query_settings.movescu(MOVESCU, line, check_key=lambda _: None)
        assert isinstance(made, query_settings.MoveSettings)
        assert made.receiver is not None
        rules[option] = made.receiver.host_access
    assert rules["+ac"] is not None
    assert rules["-ac"] is None


def test_associations_of_storescu(tmp_path: Path, running_scp: StartReceiver) -> None:
    """``--associations``: several at once, and each file once."""
    receiver = running_scp("storescp")
    for number in range(6):
        (tmp_path / f"{number}.dcm").write_bytes(make.part10(make.ct(number)))
    line = ["--json", "--associations", "2", "+sd", "127.0.0.1", str(receiver.port), tmp_path]
    done = run_tool("dcmfast", "storescu", line)
    totals = json.loads(done.stdout)["totals"]
    assert (totals["associations"], totals["stored"], len(receiver.files())) == (2, 6, 6)


@pytest.mark.dcmtk
def test_decompression_of_dcmsend(tmp_path: Path) -> None:
    """``+dls`` is the default; ``+cl`` is for what is deflated on its way: both propose alike."""
    path = tmp_path / "one.dcm"
    path.write_bytes(make.part10(make.ct(1, transfer_syntax_uid=pdu.DEFLATED)))
    seen: list[list[tuple[str, list[str]]]] = []

    def refuse(peer: Conversation) -> None:
        seen.append(list(peer.expect_associate_rq().contexts.values()))
        peer.send(pdu.pdu(pdu.ASSOCIATE_RJ, bytes([0, 1, 1, 7])))

    with ScriptedServer(*[refuse] * 4) as server:
        for options in ([], ["+dls", "+cl", "9"]):
            for implementation in ("dcmtk", "dcmfast"):
                line = [*options, "127.0.0.1", str(server.port), path]
                assert run_tool(implementation, "dcmsend", line).code == 61
    assert all(one == seen[0] for one in seen)
