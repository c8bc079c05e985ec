"""``dcmfast storescp``: one named test for each option that works, beside DCMTK's own."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from testkit import answers, pdu
from testkit.answers import Rejected
from testkit.cases import BOTH
from testkit.checks import assert_only
from testkit.corpus import split_part10
from testkit.kinds import Connect, StartReceiver
from testkit.peer import ScriptedPeer
from testkit.process import Receiver, run_tool, wait_until
from vectors import make

OURS = pytest.mark.parametrize("implementation", ["dcmfast"])
CT = make.ct(1)
EXPLICIT, BIG, IMPLICIT = pdu.EXPLICIT, pdu.BIG_ENDIAN, pdu.IMPLICIT


def store(receiver: Receiver, *objects: make.SyntheticObject, context_id: int = 3) -> list[int]:
    """Send objects over one association; their statuses."""
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        statuses = [
            peer.store(context_id, one.sop_class_uid, one.sop_instance_uid, one.data_set)
            for one in objects
        ]
        peer.release()
    return statuses


def echo(receiver: Receiver) -> pdu.AssociateAc:
    """One association with one echo; what the A-ASSOCIATE-AC said."""
    with ScriptedPeer(receiver.port) as peer:
        ac = peer.associate()
        peer.echo()
        peer.release()
    return ac


# ---- General and logging options ---------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["-h", "--help"])
def test_help(spelling: str) -> None:
    done = run_tool("dcmfast", "storescp", [spelling])
    assert done.code == 0
    assert done.stderr == ""
    assert done.stdout.startswith("$dcmfast: storescp v")
    assert "usage: storescp [options] [port]" in done.stdout
    for option in ("--prefer-uncompr", "--output-directory", "--durability", "-xf"):
        assert option in done.stdout


def test_version() -> None:
    done = run_tool("dcmfast", "storescp", ["--version"])
    assert done.code == 0
    assert re.match(r"\$dcmfast: storescp v\S+ \S* ?\$\n\n", done.stdout)


def test_no_arguments_print_the_usage() -> None:
    done = run_tool("dcmfast", "storescp")
    assert done.code == 0
    assert "usage: storescp" in done.stdout


@BOTH
def test_arguments(implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", "--arguments", "-v", implementation=implementation)
    text = receiver.stderr.wait_for(r"I: calling '.*$")
    assert text.rstrip().endswith(
        f"with 5 arguments: '{receiver.port}' '--output-directory' '{receiver.directory}' "
        "'--arguments' '--verbose'"
    )


@BOTH
@pytest.mark.parametrize("spelling", ["-q", "--quiet"])
def test_quiet(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", spelling, implementation=implementation)
    assert store(receiver, CT, make.ct(1, seed=2, sop_instance_uid=CT.sop_instance_uid)) == [0, 0]
    receiver.stop()
    assert receiver.stderr.text == ""


@BOTH
@pytest.mark.parametrize("spelling", ["-v", "--verbose"])
def test_verbose(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", spelling, implementation=implementation)
    assert store(receiver, CT) == [0]
    receiver.stderr.wait_for(r"^I: Association Release$")
    lines = [line for line in receiver.stderr.lines if "dcmfast." not in line]
    for wanted in (
        "I: Association Received",
        "I: Association Acknowledged (Max Send PDV: 16372)",
        "I: Received Store Request (MsgID 1, CT)",
        f"I: storing DICOM file: {receiver.directory}/CT.{CT.sop_instance_uid}",
        "I: Association Release",
    ):
        assert wanted in lines, receiver.stderr.text
    receiver.stdout.wait_for(r"^RECV: \.\n")


@pytest.mark.parametrize("spelling", ["+V"])
def test_verbose_of_1998(spelling: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", spelling)
    echo(receiver)
    receiver.stderr.wait_for(r"^I: Received Echo Request \(MsgID 7\)$")


@BOTH
@pytest.mark.parametrize("spelling", ["-d", "--debug"])
def test_debug(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", spelling, implementation=implementation)
    assert store(receiver, CT) == [0]
    receiver.stderr.wait_for(r"^I: Association Release$")
    text = receiver.stderr.text
    banner = "dcmfast" if receiver.is_ours else "dcmtk"
    assert text.startswith(f"D: ${banner}: storescp v")
    assert "D: ====================== BEGIN A-ASSOCIATE-RQ =====================" in text
    assert "D: ===================== INCOMING DIMSE MESSAGE ====================" in text
    assert "I: Received Store Request\n" in text
    assert "RECV" not in receiver.stdout.text


@pytest.mark.parametrize("spelling", ["+d"])
def test_debug_of_1998(spelling: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", spelling)
    echo(receiver)
    receiver.stderr.wait_for(r"^D: =+ BEGIN A-ASSOCIATE-RQ =+$")


@BOTH
@pytest.mark.parametrize("level", ["fatal", "error", "warn", "info", "debug", "trace"])
@pytest.mark.parametrize("spelling", ["-ll", "--log-level"])
def test_log_level(
    spelling: str, level: str, implementation: str, running_scp: StartReceiver
) -> None:
    receiver = running_scp("storescp", spelling, level, implementation=implementation)
    echo(receiver)
    with ScriptedPeer(receiver.port) as peer:
        peer.send(pdu.associate_rq(), pdu.p_data(pdu.pdv(99, b"x")))
        peer.drain(within_s=5) if receiver.is_ours else peer.expect_associate_ac()
    receiver.stop()
    shown = {line[0] for line in receiver.stderr.lines if line[1:2] == ":"}
    order = "FEWIDT"
    wanted = {"fatal": 1, "error": 2, "warn": 3, "info": 4, "debug": 5, "trace": 6}[level]
    assert shown <= set(order[:wanted]), shown
    assert ("I" in shown) == (wanted >= 4)
    assert ("D" in shown) == (wanted >= 5)


@BOTH
@pytest.mark.parametrize("spelling", ["+v", "--verbose-pc"])
def test_verbose_pc(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", "-v", spelling, implementation=implementation)
    echo(receiver)
    receiver.stderr.wait_for(r"^I: =+ BEGIN A-ASSOCIATE-RQ =+$")
    receiver.stderr.wait_for(r"^I:     Abstract Syntax: =VerificationSOPClass$")


# ---- Negotiation -------------------------------------------------------------------------------

COMPRESSED = {
    "+xs": ".4.70", "+xy": ".4.50", "+xx": ".4.51", "+xv": ".4.90", "+xw": ".4.91",
    "+xt": ".4.80", "+xu": ".4.81", "+xm": ".4.100", "+xh": ".4.101", "+xn": ".4.102",
    "+xl": ".4.103", "+x2": ".4.104", "+x3": ".4.105", "+xo": ".4.106", "+x4": ".4.107",
    "+x5": ".4.108", "+xr": ".5",
}  # fmt: skip
LONG = {
    "+x=": "--prefer-uncompr", "+xe": "--prefer-little", "+xb": "--prefer-big",
    "+xi": "--implicit", "+xs": "--prefer-lossless", "+xy": "--prefer-jpeg8",
    "+xx": "--prefer-jpeg12", "+xv": "--prefer-j2k-lossless", "+xw": "--prefer-j2k-lossy",
    "+xt": "--prefer-jls-lossless", "+xu": "--prefer-jls-lossy", "+xm": "--prefer-mpeg2",
    "+xh": "--prefer-mpeg2-high", "+xn": "--prefer-mpeg4", "+xl": "--prefer-mpeg4-bd",
    "+x2": "--prefer-mpeg4-2-2d", "+x3": "--prefer-mpeg4-2-3d", "+xo": "--prefer-mpeg4-2-st",
    "+x4": "--prefer-hevc", "+x5": "--prefer-hevc10", "+xr": "--prefer-rle",
    "+xd": "--prefer-deflated", "+xa": "--accept-all",
}  # fmt: skip
LISTS: dict[str, list[str]] = {
    "+x=": [EXPLICIT, BIG, IMPLICIT],
    "+xe": [EXPLICIT, BIG, IMPLICIT],
    "+xb": [BIG, EXPLICIT, IMPLICIT],
    "+xi": [IMPLICIT],
    "+xd": [pdu.DEFLATED, EXPLICIT, BIG, IMPLICIT],
    **{
        option: [f"1.2.840.10008.1.2{end}", EXPLICIT, BIG, IMPLICIT]
        for option, end in COMPRESSED.items()
    },
    "+xa": [
        f"1.2.840.10008.1.2{end}"
        for end in (
            ".4.91", ".4.90", ".4.51", ".4.50", ".4.70", ".4.81", ".4.80", ".5",
            ".4.100", ".4.101", ".4.102", ".4.103", ".4.104", ".4.105", ".4.106",
            ".4.107", ".4.108", ".1.99", ".1", ".2", "",
        )
    ],
}  # fmt: skip
#: The 1998 page's choices accept less than today's (DCMTK 3.6.7).
LISTS_1998 = {
    "-t=": [EXPLICIT, BIG, IMPLICIT],
    "-te": [EXPLICIT, IMPLICIT],
    "-tb": [BIG, IMPLICIT],
    "-ti": [IMPLICIT],
}
OFFERED = [*sorted({uid for one in LISTS.values() for uid in one}), "1.2.3.4"]


def preference(receiver: Receiver) -> list[str]:
    """The accepted transfer syntaxes, most wanted first: each time the winner is left out."""
    offered, found = list(OFFERED), []
    while offered:
        with ScriptedPeer(receiver.port) as peer:
            ac = peer.associate([(1, pdu.CT, offered)])
            if ac.contexts[1].result != 0:
                assert ac.contexts[1].result == 4
                peer.send(pdu.abort())
                return found
            found.append(ac.contexts[1].transfer_syntax)
            offered.remove(found[-1])
            peer.release()
    return found


@BOTH
@pytest.mark.parametrize("option", LISTS)
def test_preferred_transfer_syntaxes(
    option: str, implementation: str, running_scp: StartReceiver
) -> None:
    """DCMTK 3.6.7: the receiver's list decides, the peer's order never counts."""
    receiver = running_scp("storescp", option, implementation=implementation)
    assert preference(receiver) == LISTS[option]


@pytest.mark.parametrize("option", LISTS)
def test_preferred_transfer_syntaxes_by_their_long_names(
    option: str, running_scp: StartReceiver
) -> None:
    receiver = running_scp("storescp", LONG[option])
    with ScriptedPeer(receiver.port) as peer:
        ac = peer.associate([(1, pdu.CT, OFFERED)])
    assert ac.contexts[1].transfer_syntax == LISTS[option][0]


@pytest.mark.parametrize("option", LISTS_1998)
def test_preferred_transfer_syntaxes_of_1998(option: str, running_scp: StartReceiver) -> None:
    assert preference(running_scp("storescp", option)) == LISTS_1998[option]


def test_accept_all_takes_the_fragmentable_video_syntaxes(running_scp: StartReceiver) -> None:
    """The 3.6.8 page: each of .4.100 to .4.106 is followed by its fragmentable twin."""
    receiver = running_scp("storescp", "+xa")
    twins = [f"1.2.840.10008.1.2.4.{n}.1" for n in range(100, 107)]
    for n, twin in enumerate(twins, start=100):
        with ScriptedPeer(receiver.port) as peer:
            ac = peer.associate(
                [(1, pdu.CT, [twin]), (3, pdu.CT, [twin, f"1.2.840.10008.1.2.4.{n}"])]
            )
        assert (ac.contexts[1].result, ac.contexts[1].transfer_syntax) == (0, twin)
        assert ac.contexts[3].transfer_syntax == f"1.2.840.10008.1.2.4.{n}"


@BOTH
@pytest.mark.parametrize(
    ("options", "first"),
    [(["+xa", "+xi"], IMPLICIT), (["+xi", "+xb"], BIG), (["+xb", "+x="], EXPLICIT)],
)
def test_the_rightmost_preference_wins(
    options: list[str], first: str, implementation: str, running_scp: StartReceiver
) -> None:
    receiver = running_scp("storescp", *options, implementation=implementation)
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate([(1, pdu.CT, OFFERED)]).contexts[1].transfer_syntax == first


PROFILE = """\
[[TransferSyntaxes]]
[Some]
TransferSyntax1 = 1.2.840.10008.1.2.4.70
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Few]
PresentationContext1 = MRImageStorage\\Some
PresentationContext2 = 1.2.840.10008.1.1\\Some
[[Profiles]]
[Mine]
PresentationContexts = Few
"""


@BOTH
@pytest.mark.parametrize("spelling", ["-xf", "--config-file"])
def test_association_profile(
    spelling: str, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """The profile's classes and the profile's order of syntaxes; its name in any case."""
    config = tmp_path / "profile.cfg"
    config.write_text(PROFILE)
    receiver = running_scp(
        "storescp", spelling, str(config), "m INE", implementation=implementation
    )
    jpeg = "1.2.840.10008.1.2.4.70"
    with ScriptedPeer(receiver.port) as peer:
        ac = peer.associate(
            [
                (1, pdu.VERIFICATION, [IMPLICIT]),
                (3, pdu.MR, [IMPLICIT, jpeg]),
                (5, pdu.CT, [IMPLICIT]),
                (7, pdu.MR, [EXPLICIT]),
            ]
        )
        peer.echo()
        peer.release()
    assert {n: one.result for n, one in ac.contexts.items()} == {1: 0, 3: 0, 5: 3, 7: 4}
    assert ac.contexts[3].transfer_syntax == jpeg


@BOTH
@pytest.mark.parametrize(
    ("profile", "text"),
    [("Default", None), ("missing", "unknown configuration profile name: MISSING")],
)
def test_unknown_profile(
    profile: str, text: str | None, implementation: str, running_scp: StartReceiver, free_port: int
) -> None:
    """One line and exit code 1; Debian's own file is usable as it is."""
    arguments = ["-xf", "/etc/dcmtk/storescp.cfg", profile]
    if text is None:
        echo(running_scp("storescp", *arguments, implementation=implementation))
        return
    done = run_tool(implementation, "storescp", [*arguments, str(free_port)])
    assert done.code == 1
    assert done.lines == [f"F: {text}"]


@BOTH
@pytest.mark.parametrize("spelling", ["-pm", "--promiscuous"])
def test_promiscuous(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    """Classes without a name in the dictionary are taken, known others stay refused."""
    receiver = running_scp("storescp", spelling, implementation=implementation)
    unknown = make.ct(1, sop_class_uid="1.2.3.4.5.6")
    with ScriptedPeer(receiver.port) as peer:
        ac = peer.associate([(1, "1.2.3.4.5.6", [EXPLICIT]), (3, pdu.STUDY_ROOT_FIND, [EXPLICIT])])
        assert (ac.contexts[1].result, ac.contexts[3].result) == (0, 3)
        assert peer.store(1, "1.2.3.4.5.6", unknown.sop_instance_uid, unknown.data_set) == 0
        peer.release()
    assert receiver.names() == [f"UNKNOWN.{unknown.sop_instance_uid}"]


# ---- Network -----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("spelling", ["-aet", "--aetitle"])
def test_aetitle(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    """DIFFERENCES.md C5: the peer sees the title that it called, whatever ours is."""
    receiver = running_scp("storescp", spelling, "ARCHIVE", implementation=implementation)
    assert echo(receiver).called == b"ANY-SCP".ljust(16)


@BOTH
@pytest.mark.parametrize("spelling", ["-pdu", "--max-pdu"])
def test_max_pdu(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", spelling, "131072", implementation=implementation)
    big = make.ct(2, rows=400, columns=400)
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate().max_pdu == 131072
        peer.send(
            pdu.p_data(
                pdu.pdv(3, pdu.c_store_rq(big.sop_class_uid, big.sop_instance_uid), command=True)
            ),
            *pdu.fragments(3, big.data_set, size=131072 - 6),
        )
        peer.expect_status(0)


@pytest.mark.parametrize(("value", "code"), [("8192", None), ("65536", None), ("4096", 1),
                                             ("131072", 1)])  # fmt: skip
def test_max_pdu_of_1998_keeps_its_own_limits(
    value: str, code: int | None, running_scp: StartReceiver, free_port: int
) -> None:
    if code is None:
        assert echo(running_scp("storescp", "-b", value)).max_pdu == int(value)
    else:
        done = run_tool("dcmfast", "storescp", ["-b", value, str(free_port)])
        assert done.code == code
        assert "error: Invalid value for option" in done.stderr


@BOTH
@pytest.mark.parametrize("spelling", ["-dhl", "--disable-host-lookup"])
def test_disable_host_lookup(
    spelling: str, implementation: str, running_scp: StartReceiver
) -> None:
    receiver = running_scp("storescp", spelling, "-d", implementation=implementation)
    echo(receiver)
    receiver.stderr.wait_for(r"^I: Association Release$")
    assert "localhost" not in receiver.stderr.text


@pytest.mark.parametrize("option", ["--refuse", "-r"])
def test_refuse(option: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", "-v", option)
    with ScriptedPeer(receiver.port) as peer:
        peer.send(pdu.associate_rq())
        assert answers.next_answer(peer) == Rejected(1, 1, 1)
    receiver.stderr.wait_for(r"^I: Refusing Association \(forced via command line\)$")


@pytest.mark.parametrize("option", ["--reject", "+R"])
def test_reject(option: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", "-v", option)
    with ScriptedPeer(receiver.port) as peer:
        peer.send(pdu.associate_rq(user=pdu.user_information(class_uid=None)))
        assert answers.next_answer(peer) == Rejected(1, 1, 1)
    receiver.stderr.wait_for(r"^I: Association Rejected: No Implementation Class UID provided$")
    echo(receiver)


@pytest.mark.parametrize(
    ("option", "implementation"),
    [("--ignore", "dcmfast"), ("--ignore", "dcmtk"), ("-i", "dcmfast")],
)
def test_ignore(option: str, implementation: str, running_scp: StartReceiver) -> None:
    """Received, answered with success, dropped; empty data sets too (DCMTK 3.6.7)."""
    receiver = running_scp("storescp", option, implementation=implementation)
    mismatch = make.ct(1, sop_class_uid=pdu.MR)
    assert store(receiver, CT, mismatch) == [0, 0]
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(3, pdu.CT, make.uid(1), b"") == 0
    assert receiver.files() == []


@BOTH
@pytest.mark.parametrize("spelling", ["-up", "--uid-padding"])
def test_uid_padding(spelling: str, implementation: str, running_scp: StartReceiver) -> None:
    """A UID padded with a blank in the data set is that of the command."""
    receiver = running_scp("storescp", spelling, implementation=implementation)
    write = make.Syntax()
    uid = "1.2.3.4"
    good = make.ct(1, sop_instance_uid=uid)
    own = write.element((0x0008, 0x0018), "UI", uid)
    padded = good.data_set.replace(own, write.element((0x0008, 0x0018), "UI", b"1.2.3.4 "))
    assert padded != good.data_set
    with ScriptedPeer(receiver.port) as peer:
        peer.associate()
        assert peer.store(3, pdu.CT, uid, padded) == 0


@pytest.mark.parametrize("option", ["-tls", "-ac", "--single-process", "+t=", "-p", "-uc"])
def test_options_that_name_todays_behaviour(option: str, running_scp: StartReceiver) -> None:
    echo(running_scp("storescp", option))


@BOTH
def test_single_process_serves_one_association_at_a_time(
    implementation: str, running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md B3: typed out it means it; a peer that has not associated holds no turn."""
    receiver = running_scp("storescp", "--single-process", implementation=implementation)
    if receiver.is_ours:
        scripted_peer(receiver)  # connected, says nothing
    first = scripted_peer(receiver)
    first.associate()
    second = scripted_peer(receiver, answer_s=0.5)
    second.send(pdu.associate_rq())
    with pytest.raises(TimeoutError):
        second.expect_associate_ac()
    first.echo()
    first.release()
    second.socket.settimeout(10)
    second.expect_associate_ac()
    second.echo()


def test_associations_are_concurrent_by_default(
    running_scp: StartReceiver, scripted_peer: Connect
) -> None:
    """DIFFERENCES.md B3: one idle peer does not hold up another."""
    receiver = running_scp("storescp")
    first = scripted_peer(receiver)
    first.associate()
    assert store(receiver, CT) == [0]
    first.echo()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ipv4_and_ipv6(host: str, running_scp: StartReceiver) -> None:
    if host == "::1":
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    receiver = running_scp("storescp")
    with ScriptedPeer(receiver.port, host=host) as peer:
        peer.associate()
        peer.echo()
        peer.release()


# ---- Output ------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("spelling", ["-od", "--output-directory"])
def test_output_directory(
    spelling: str, implementation: str, running_scp: StartReceiver, tmp_path: Path
) -> None:
    """The last one counts, and a trailing separator is removed."""
    other = tmp_path / "other"
    other.mkdir()
    receiver = running_scp("storescp", spelling, f"{other}/", "-v", implementation=implementation)
    assert store(receiver, CT) == [0]
    assert [path.name for path in other.iterdir()] == [f"CT.{CT.sop_instance_uid}"]
    receiver.stderr.wait_for(f"^I: storing DICOM file: {other}/CT")


@BOTH
def test_output_directory_defaults_to_the_working_directory(
    implementation: str, tmp_path: Path, free_port: int
) -> None:
    import subprocess

    from testkit.process import child_environment, command, is_listening

    process = subprocess.Popen(
        [*command(implementation, "storescp"), str(free_port)],
        cwd=tmp_path,
        env=child_environment(),
    )
    try:
        wait_until(lambda: is_listening(free_port), within_s=20)
        with ScriptedPeer(free_port) as peer:
            peer.associate()
            peer.store(3, CT.sop_class_uid, CT.sop_instance_uid, CT.data_set)
            peer.release()
        assert [path.name for path in tmp_path.iterdir()] == [f"CT.{CT.sop_instance_uid}"]
    finally:
        process.terminate()
        process.wait(15)


@BOTH
@pytest.mark.parametrize("what", ["missing", "a file"])
def test_bad_output_directory(
    what: str, implementation: str, tmp_path: Path, free_port: int
) -> None:
    target = tmp_path / "target"
    if what == "a file":
        target.write_text("")
    done = run_tool(implementation, "storescp", [str(free_port), "-od", target])
    assert done.code == 1
    assert done.lines == ["F: specified output directory does not exist"]


@BOTH
def test_port_in_use(implementation: str, tmp_path: Path, running_scp: StartReceiver) -> None:
    first = running_scp("storescp", implementation=implementation)
    done = run_tool(implementation, "storescp", [str(first.port), "-od", tmp_path])
    assert done.code == 1
    assert done.lines == [
        "E: cannot create network: 0006:031c TCP Initialization Error: Address already in use"
    ]


@pytest.mark.parametrize("spelling", ["-B", "--normal", "+B", "--bit-preserving", None])
def test_bytes_are_as_received(spelling: str | None, running_scp: StartReceiver) -> None:
    """P13: with `+B` all of them, else padding is left out; the file says which mode wrote it."""
    receiver = running_scp("storescp", *([spelling] if spelling else []))
    padding = make.Syntax().element((0xFFFC, 0xFFFC), "OB", bytes(32))
    made = make.ct(1, tail=padding)
    assert store(receiver, made) == [0]
    meta, data_set = split_part10(receiver.files()[0].read_bytes())
    preserving = spelling in ("+B", "--bit-preserving")
    assert data_set == (made.data_set if preserving else make.ct(1).data_set)
    version = meta[0x13].rstrip(b" \0").decode()
    assert version.startswith("DCMFBP_" if preserving else "DCMFAST_")
    assert len(version) <= 16


def test_the_file_meta_information(running_scp: StartReceiver) -> None:
    """DCMTK 3.6.7: which elements of group 0002, and nothing else."""
    receiver = running_scp("storescp")
    assert store(receiver, CT) == [0]
    raw = receiver.files()[0].read_bytes()
    meta, _ = split_part10(raw)
    assert set(meta) == {0x00, 0x01, 0x02, 0x03, 0x10, 0x12, 0x13, 0x16}
    assert raw[:128] == bytes(128)
    assert meta[0x01] == b"\0\1"
    assert meta[0x02].rstrip(b"\0").decode() == pdu.CT
    assert meta[0x03].rstrip(b"\0").decode() == CT.sop_instance_uid
    assert meta[0x10].rstrip(b"\0").decode() == EXPLICIT
    assert meta[0x12].startswith(b"2.25.")
    assert meta[0x16].rstrip() == b"SCRIPTED"
    assert int.from_bytes(meta[0x00], "little") == len(raw) - 144 - len(CT.data_set)


@BOTH
@pytest.mark.parametrize("option", ["-F", "--write-dataset", "+F", "--write-file"])
def test_file_format(option: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", option, "+B", implementation=implementation)
    assert store(receiver, CT) == [0]
    (path,) = receiver.files()
    raw = path.read_bytes()
    if option in ("-F", "--write-dataset"):
        assert raw == CT.data_set
    else:
        assert raw[128:132] == b"DICM"
        assert raw.endswith(CT.data_set)


# ---- File names --------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("option", ["-uf", "--default-filenames"])
def test_default_filenames(option: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", "+uf", option, implementation=implementation)
    assert store(receiver, CT) == [0]
    assert_only(receiver, {f"CT.{CT.sop_instance_uid}"})


@BOTH
@pytest.mark.parametrize("option", ["+uf", "--unique-filenames"])
def test_unique_filenames(option: str, implementation: str, running_scp: StartReceiver) -> None:
    receiver = running_scp("storescp", option, implementation=implementation)
    assert store(receiver, CT, CT, CT) == [0, 0, 0]
    names = receiver.names()
    assert len(names) == 3
    for name in names:
        assert re.fullmatch(r"CT\.X\.[0-9.]{10,64}", name), name


@BOTH
@pytest.mark.parametrize("option", ["-tn", "--timenames"])
def test_timenames(option: str, implementation: str, running_scp: StartReceiver) -> None:
    """Local time in milliseconds; a serial number when the last name would come again."""
    receiver = running_scp("storescp", option, implementation=implementation)
    assert store(receiver, *[make.ct(n) for n in range(12)]) == [0] * 12
    names = receiver.names()
    assert len(names) == 12
    for name in names:
        assert re.fullmatch(r"20\d{15}(_\d{4})?\.CT", name), name


@BOTH
@pytest.mark.parametrize("option", ["-fe", "--filename-extension"])
@pytest.mark.parametrize("extension", [".dcm", "x", ""])
def test_filename_extension(
    extension: str, option: str, implementation: str, running_scp: StartReceiver
) -> None:
    receiver = running_scp("storescp", option, extension, implementation=implementation)
    assert store(receiver, CT) == [0]
    assert_only(receiver, {f"CT.{CT.sop_instance_uid}{extension}"})


def test_an_extension_with_a_path_is_refused_at_start(tmp_path: Path, free_port: int) -> None:
    """DIFFERENCES.md F2: DCMTK answers each object with A700H instead."""
    done = run_tool("dcmfast", "storescp", ["-fe", "/x", "-od", tmp_path, str(free_port)])
    assert done.code == 1
    assert done.stderr


@pytest.mark.parametrize("durability", ["none", "group", "each"])
def test_durability(durability: str, running_scp: StartReceiver) -> None:
    """P1: one option, and a line at `-v` that says which is in force."""
    receiver = running_scp("storescp", "--durability", durability, "-v")
    assert store(receiver, *[make.ct(n) for n in range(5)]) == [0] * 5
    assert len(receiver.files()) == 5
    receiver.stderr.wait_for(rf"^I: .*dcmfast.*durab.*{durability}|^I: .*durab.*{durability}")


@BOTH
def test_every_modality_has_its_prefix(implementation: str, running_scp: StartReceiver) -> None:
    """DCMTK 3.6.7, a sample over the table."""
    receiver = running_scp("storescp", implementation=implementation)
    classes = {
        "1.2.840.10008.5.1.4.1.1.1": "CR",
        "1.2.840.10008.5.1.4.1.1.4.1": "MRe",
        "1.2.840.10008.5.1.4.1.1.9.1.1": "TLE",
        "1.2.840.10008.5.1.4.1.1.88.67": "SRd",
        "1.2.840.10008.5.1.4.1.1.104.1": "PDF",
        "1.2.840.10008.5.1.4.1.1.481.5": "RP",
        "1.2.840.10008.5.1.4.1.1.66.4": "SG",
        "1.2.840.10008.5.1.1.29": "HG",
    }
    for number, (uid, prefix) in enumerate(classes.items()):
        made = make.ct(number, sop_class_uid=uid)
        with ScriptedPeer(receiver.port) as peer:
            peer.associate([(1, uid, [EXPLICIT])])
            assert peer.store(1, uid, made.sop_instance_uid, made.data_set) == 0
            peer.release()
        assert f"{prefix}.{made.sop_instance_uid}" in receiver.names()


def test_page_description_storage_of_1998(running_scp: StartReceiver) -> None:
    """The 1998 page's class, which later versions dropped; prefix UNKNOWN."""
    receiver = running_scp("storescp")
    uid = "1.2.840.10008.5.1.1.50"
    made = make.ct(1, sop_class_uid=uid)
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate([(1, uid, [EXPLICIT])]).contexts[1].result == 0
        assert peer.store(1, uid, made.sop_instance_uid, made.data_set) == 0
    assert receiver.names() == [f"UNKNOWN.{made.sop_instance_uid}"]


# ---- Starting ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--no-such", "104"], "Unknown option --no-such"),
        (["104", "105"], "Too many parameters"),
        (["-v"], "Missing parameter port"),
        (["0"], "Invalid parameter value 0 (underflow)"),
        (["70000"], "Invalid parameter value 70000 (overflow)"),
        (["104", "-pdu"], "Missing value for option --max-pdu"),
        (["104", "-pdu", "1"], "Invalid value for option --max-pdu (underflow: 1)"),
        (["104", "+uf", "-tn"], "--timenames not allowed with --unique-filenames"),
        (["104", "-v", "-ll", "info"],
         "--log-level not allowed with --verbose, --debug or --quiet"),
        (["104", "+v"], "--verbose-pc only allowed with verbose mode"),
        (["104", "+te", "+B"], "--write-xfer-little not allowed with --bit-preserving"),
        (["@/no/such/file"], "Cannot open command file '/no/such/file'"),
        (["104", "-xf", "f", "p", "+xa"], "--config-file not allowed with --accept-all"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_command_line_errors(arguments: list[str], text: str, implementation: str) -> None:
    """DCMTK 3.6.7: banner, empty line, tool line, `error: …` on stderr, exit code 1."""
    done = run_tool(implementation, "storescp", arguments)
    assert done.code == 1
    assert done.stdout == ""
    assert done.lines[-1] == f"error: {text}"
    assert len(done.lines) == 4
    assert done.lines[1] == ""


def test_start_up_imports_no_dicom_library(running_scp: StartReceiver, tmp_path: Path) -> None:
    """Issue "front ends": the import list up to listening holds neither pydicom nor pynetdicom."""
    receiver = running_scp("storescp", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert receiver.stop() == 0
    imported = {line.rsplit("|", 1)[-1].strip() for line in receiver.stderr.lines}
    assert "dcmfast._rust" in imported
    for name in imported:
        assert name.split(".")[0] not in {"pydicom", "pynetdicom", "numpy", "rich"}, name
    assert not any(name.startswith("dcmfast._cython") for name in imported)
