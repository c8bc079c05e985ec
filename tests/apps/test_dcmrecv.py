"""``dcmfast dcmrecv``: one named test for each option that works, beside DCMTK's own."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest

from testkit import pdu
from testkit.cases import BOTH
from testkit.checks import assert_only
from testkit.corpus import split_part10
from testkit.kinds import StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, run_tool
from vectors import make

PROFILE = ("-xf", "/etc/dcmtk/storescp.cfg", "Default")
CT = make.ct(1)


def store(receiver: Receiver, *objects: make.SyntheticObject) -> list[int]:
    """Send objects over one association; their statuses."""
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        statuses = [
            peer.store(3, one.sop_class_uid, one.sop_instance_uid, one.data_set) for one in objects
        ]
        peer.release()
    return statuses


def echo(receiver: Receiver) -> pdu.AssociateAc:
    """One association with one echo; what the A-ASSOCIATE-AC said."""
    with ScriptedPeer(receiver.port) as peer:
        ac = peer.associate([(1, pdu.VERIFICATION, [pdu.IMPLICIT])])
        peer.echo()
        peer.release()
    return ac


@pytest.mark.parametrize("spelling", ["-h", "--help"])
def test_help(spelling: str) -> None:
    done = run_tool("dcmfast", "dcmrecv", [spelling])
    assert done.code == 0
    assert done.stdout.startswith("$dcmfast: dcmrecv v")
    assert "usage: dcmrecv [options] port" in done.stdout
    assert "--series-date-subdir" in done.stdout


def test_version() -> None:
    done = run_tool("dcmfast", "dcmrecv", ["--version"])
    assert done.code == 0
    assert done.stdout.startswith("$dcmfast: dcmrecv v")


@BOTH
def test_without_a_profile_only_verification(
    implementation: str, running_scp: StartReceiver
) -> None:
    """DIFFERENCES.md D6: a warning, and Verification in implicit little endian."""
    receiver = running_scp("dcmrecv", implementation=implementation)
    receiver.stderr.wait_for(
        r"^W: no configuration file specified, SCP will only support the Verification SOP Class"
    )
    assert echo(receiver).contexts[1].transfer_syntax == pdu.IMPLICIT


@BOTH
@pytest.mark.parametrize("spelling", ["-xf", "--config-file"])
def test_association_profile(
    spelling: str, implementation: str, running_scp: StartReceiver
) -> None:
    receiver = running_scp("dcmrecv", spelling, *PROFILE[1:], implementation=implementation)
    assert store(receiver, CT) == [0]
    assert_only(receiver, {f"CT.{CT.sop_instance_uid}"})
    assert receiver.stderr.text == ""


@BOTH
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-xf", "/no/such/file", "Default"], 66),
        (["-xf", "/etc/dcmtk/storescp.cfg", "NoSuch"], 66),
        (["-xf", "/etc/hostname", "Default"], 66),
    ],
    ids=["no file", "no profile", "no configuration"],
)
def test_bad_profile(
    arguments: list[str], code: int, implementation: str, free_port: int, tmp_path: Path
) -> None:
    done = run_tool(implementation, "dcmrecv", [*arguments, "-od", tmp_path, str(free_port)])
    assert done.code == code
    assert done.lines[-1].startswith("F: cannot load association configuration: ")


@BOTH
@pytest.mark.parametrize("what", ["missing", "a file"])
def test_bad_output_directory(
    what: str, implementation: str, tmp_path: Path, free_port: int
) -> None:
    target = tmp_path / "target"
    if what == "a file":
        target.write_text("")
    done = run_tool(implementation, "dcmrecv", [*PROFILE, str(free_port), "-od", target])
    assert done.code == 45
    assert done.lines == ["F: cannot specify output directory: Directory does not exist"]


@BOTH
def test_port_in_use(implementation: str, tmp_path: Path, running_scp: StartReceiver) -> None:
    first = running_scp("dcmrecv", *PROFILE, implementation=implementation)
    done = run_tool(implementation, "dcmrecv", [*PROFILE, str(first.port), "-od", tmp_path])
    assert done.code == 64
    why = "TCP Initialization Error: Address already in use"
    assert done.lines == [f"F: cannot start SCP and listen on port {first.port}: {why}"]


@BOTH
@pytest.mark.parametrize("options", [["-q"], ["--quiet"]], ids=str)
def test_quiet(options: list[str], implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("dcmrecv", *options, implementation=implementation)
    echo(receiver)
    receiver.stop()
    assert receiver.stderr.text == ""


@BOTH
@pytest.mark.parametrize("spelling", ["-v", "--verbose", "-ll"])
def test_verbose(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    options = [spelling, "info"] if spelling == "-ll" else [spelling]
    receiver = running_scp("dcmrecv", *PROFILE, *options, implementation=implementation)
    assert store(receiver, CT) == [0]
    receiver.stderr.wait_for(r"^I: Received Association Release Request$")
    for pattern in (
        r"^I: configuring service class provider \.\.\.$",
        r"^I: starting service class provider and listening \.\.\.$",
        r"^I: Association Received localhost: SCRIPTED -> ANY-SCP$",
        r"^I: Association Acknowledged \(Max Send PDV: 16372\)$",
        r"^I: Received C-STORE Request \(MsgID 1\)$",
        rf"^I: Stored received object to file: {receiver.directory}/CT\.",
        r"^I: Sending C-STORE Response \(Success\)$",
    ):
        receiver.stderr.wait_for(pattern, within_s=2)
    assert receiver.stdout.text == ""


@BOTH
@pytest.mark.parametrize("spelling", ["-d", "--debug"])
def test_debug(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("dcmrecv", spelling, implementation=implementation)
    echo(receiver)
    receiver.stderr.wait_for(r"^I: Received Association Release Request$")
    receiver.stderr.wait_for(r"^D: =+ BEGIN A-ASSOCIATE-RQ =+$")


@BOTH
@pytest.mark.parametrize("spelling", ["+v", "--verbose-pc"])
def test_verbose_pc(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("dcmrecv", "-v", spelling, implementation=implementation)
    echo(receiver)
    receiver.stderr.wait_for(r"^I: =+ BEGIN A-ASSOCIATE-RQ =+$")


@BOTH
@pytest.mark.parametrize("options", [["-aet", "ME"], ["--aetitle", "ME"], ["-uca"],
                                     ["--use-called-aetitle"]], ids=str)  # fmt: skip
def test_titles_are_not_checked(
    options: list[str], implementation: str, running_scp: StartReceiver
) -> None:
    """DIFFERENCES.md C5, C14: any called title is accepted and echoed, as in 3.6.6 and 3.6.7."""
    receiver = running_scp("dcmrecv", *options, implementation=implementation)
    assert echo(receiver).called == b"ANY-SCP".ljust(16)


@BOTH
@pytest.mark.parametrize("spelling", ["-pdu", "--max-pdu"])
def test_max_pdu(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("dcmrecv", spelling, "4096", implementation=implementation)
    assert echo(receiver).max_pdu == 4096


@BOTH
@pytest.mark.parametrize("spelling", ["-dhl", "--disable-host-lookup"])
def test_disable_host_lookup(
    spelling: str, implementation: str, running_scp: StartReceiver
) -> None:
    receiver = running_scp("dcmrecv", spelling, "-v", implementation=implementation)
    echo(receiver)
    receiver.stderr.wait_for(r"^I: Association Received 127\.0\.0\.1: SCRIPTED -> ANY-SCP$")


# ---- Output ------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("spelling", ["-od", "--output-directory"])
def test_output_directory(
    spelling: str, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    receiver = running_scp("dcmrecv", *PROFILE, spelling, str(other), implementation=implementation)
    assert store(receiver, CT) == [0]
    assert [path.name for path in other.iterdir()] == [f"CT.{CT.sop_instance_uid}"]


@BOTH
@pytest.mark.parametrize("spelling", ["+ssd", "--series-date-subdir"])
@pytest.mark.parametrize("date", ["20200103", "2020.01.05", "", "not a date", None], ids=str)
def test_series_date_subdir(
    date: str | None, spelling: str, implementation: str, running_scp: StartReceiver
) -> None:
    """`data/YYYY/MM/DD`, else `undef/` and today (DCMTK 3.6.7)."""
    receiver = running_scp("dcmrecv", *PROFILE, spelling, implementation=implementation)
    made = make.ct(1, series_date=date)
    before = datetime.datetime.now(datetime.UTC)
    assert store(receiver, made) == [0]
    after = datetime.datetime.now(datetime.UTC)
    (name,) = receiver.names()
    match date:
        case "20200103":
            wanted = {"data/2020/01/03"}
        case "2020.01.05":
            wanted = {"data/2020/01/05"}
        case _:
            wanted = {f"undef/{when:%Y%m%d}" for when in (before, after)}
    assert str(Path(name).parent) in wanted
    assert Path(name).name == f"CT.{made.sop_instance_uid}"


@BOTH
@pytest.mark.parametrize("spelling", ["-s", "--no-subdir"])
def test_no_subdir(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("dcmrecv", *PROFILE, "+ssd", spelling, implementation=implementation)
    assert store(receiver, CT) == [0]
    assert_only(receiver, {f"CT.{CT.sop_instance_uid}"})


@BOTH
@pytest.mark.parametrize("spelling", ["+fd", "--default-filenames"])
def test_default_filenames(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("dcmrecv", *PROFILE, "+fu", spelling, implementation=implementation)
    assert store(receiver, CT) == [0]
    assert_only(receiver, {f"CT.{CT.sop_instance_uid}"})


FORMS = {
    "+fu": r"CT\.X\.[0-9.]{10,64}",
    "--unique-filenames": r"CT\.X\.[0-9.]{10,64}",
    "+fsu": r"CT_[0-9a-f]{16}",
    "--short-unique-names": r"CT_[0-9a-f]{16}",
    "+fst": r"20\d{12}\.\d{6}\.CT",
    "--system-time-names": r"20\d{12}\.\d{6}\.CT",
}


@BOTH
@pytest.mark.parametrize("option", FORMS)
def test_file_name_forms(option: str, implementation: str, running_scp: StartReceiver) -> None:
    """Unique names, short unique names, system time: each object has one of its own."""
    receiver = running_scp("dcmrecv", *PROFILE, option, implementation=implementation)
    assert store(receiver, *[make.ct(n) for n in range(6)]) == [0] * 6
    assert len(receiver.names()) == 6
    for name in receiver.names():
        assert re.fullmatch(FORMS[option], name), name


@BOTH
def test_short_unique_names_of_an_unknown_class(
    implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """DCMTK 3.6.7: `XX` stands for a class without prefix."""
    config = tmp_path / "profile.cfg"
    config.write_text(
        "[[TransferSyntaxes]]\n[T]\nTransferSyntax1 = LittleEndianExplicit\n"
        "[[PresentationContexts]]\n[P]\nPresentationContext1 = 1.2.3.4.5\\T\n"
        "[[Profiles]]\n[Mine]\nPresentationContexts = P\n"
    )
    receiver = running_scp(
        "dcmrecv", "-xf", str(config), "Mine", "+fsu", implementation=implementation
    )
    made = make.ct(1, sop_class_uid="1.2.3.4.5")
    with ScriptedPeer(receiver.port) as peer:
        peer.associate([(1, "1.2.3.4.5", [pdu.EXPLICIT])])
        assert peer.store(1, "1.2.3.4.5", made.sop_instance_uid, made.data_set) == 0
        peer.release()
    (name,) = receiver.names()
    assert re.fullmatch(r"XX_[0-9a-f]{16}", name), name


@BOTH
@pytest.mark.parametrize("spelling", ["-fe", "--filename-extension"])
def test_filename_extension(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("dcmrecv", *PROFILE, spelling, ".dcm", implementation=implementation)
    assert store(receiver, CT) == [0]
    assert_only(receiver, {f"CT.{CT.sop_instance_uid}.dcm"})


@pytest.mark.parametrize("spelling", ["-B", "--normal", "+B", "--bit-preserving"])
def test_storage_modes(spelling: str, running_scp: StartReceiver) -> None:
    """DCMTK 3.6.7: bytes as received; the source title only with `+B`."""
    receiver = running_scp("dcmrecv", *PROFILE, spelling)
    assert store(receiver, CT) == [0]
    meta, data_set = split_part10(receiver.files()[0].read_bytes())
    assert data_set == CT.data_set
    preserving = spelling in ("+B", "--bit-preserving")
    assert (0x16 in meta) == preserving
    assert meta[0x13].startswith(b"DCMFBP_" if preserving else b"DCMFAST_")


@BOTH
def test_ignore(implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("dcmrecv", *PROFILE, "--ignore", implementation=implementation)
    assert store(receiver, CT, make.ct(1, sop_class_uid=pdu.MR)) == [0, 0]
    assert receiver.files() == []


@pytest.mark.parametrize("durability", ["none", "group", "each"])
def test_durability(durability: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("dcmrecv", *PROFILE, "--durability", durability)
    assert store(receiver, *[make.ct(n) for n in range(5)]) == [0] * 5
    assert len(receiver.files()) == 5


@BOTH
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["104", "+ssd", "+B"], "--bit-preserving not allowed with --series-date-subdir"),
        (["104", "--ignore", "+B", "+ssd"],
         "--bit-preserving not allowed with --series-date-subdir"),
        (["104", "-ta", "0"], "Invalid value for option --acse-timeout (underflow: 0)"),
        (["-v"], "Missing parameter port"),
        (["104", "--fork"], "Unknown option --fork"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_command_line_errors(arguments: list[str], text: str, implementation: str) -> None:
    done = run_tool(implementation, "dcmrecv", arguments)
    assert done.code == 1
    assert done.lines[-1] == f"error: {text}"


@BOTH
def test_the_directory_is_made_again_when_it_vanished(
    implementation: str, running_scp: StartReceiver
) -> None:
    """DCMTK 3.6.7: `+ssd` creates missing directories, `-od` itself too."""
    receiver = running_scp("dcmrecv", *PROFILE, "+ssd", implementation=implementation)
    receiver.directory.rmdir()
    assert store(receiver, CT) == [0]
    assert receiver.names() == [f"data/2020/01/03/CT.{CT.sop_instance_uid}"]
