"""Command lines beside DCMTK's own: the same exit code, the same ``error:`` text.

Each case runs twice, see `testkit.command_lines`.  Deliberate differences have a test of their own;
which options exclude each other is in ``test_output_conflicts.py``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dcmfast.apps import frame
from dcmfast.options import settings
from testkit.command_lines import (
    ARCHIVE,
    FRONT_ENDS,
    RECEIVER,
    base,
    compare,
    error_text,
    instances,
    ours,
    theirs,
)
from testkit.process import command
from testkit.profiles import BASE, ERRORS, GOOD

pytestmark = [pytest.mark.dcmtk, pytest.mark.usefixtures("elsewhere")]


def singles() -> list[tuple[str, list[str]]]:
    return [
        (tool, one)
        for tool, front_end in FRONT_ENDS.items()
        if front_end.is_dcmtks
        for option in front_end.options()
        for one in instances(option)
    ]


@pytest.mark.parametrize(
    ("tool", "arguments"), singles(), ids=lambda one: one if isinstance(one, str) else " ".join(one)
)
def test_each_option_alone(
    tool: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    compare(tool, [*base(tool), *arguments], capsys)


#: Pairs whose order of checks matters; two options a line, before the port.
PAIRS = {
    "storescp": """
        +te +B | +te +tb +B | +tb +te +B | +B +te +t= | +B +t= +te | +te +B +xs | +te +B +xa
        +te +xd | +te +xs | +tb +xy | +ti +xr | +td +x5 | +te +xs +x= | +te +xa +xe | +te +xe
        +td +xi | -xf f p +xe | -xf f p +xa +B +te | -xf f p -pm | -xf f p +B -g
        -xf f p -pdu 1 | -xf f p +xs +x= | -u +B | +u +B | +g= +B | +g +B | -g +B | +e +B
        -e +B | -p +B | +p 1 1 +B | +p 1 1 -F | +p x 1 -F | +p 1 1 -F +B | +p 1 x | +p 1 -2
        +p 1 1 -p -F | +p 1 1 -F +F | +cl 10 | +cl -1 | +cl 5 +te | +cl 10 +te | +cl 5 +td
        +cl 5 +t= | +cl 5 +te +t= | -ss x +B | -su x +B | -sp +B | -sp -su p -ss x +B
        -sp -su p +B | -ss x -B +B | -tn +uf | -tn +uf -uf | +uf -tn | -tn -uf | -xcs c --fork
        -rns --fork | -xcs c | -rns | -xcs c -ss x | -rns -ss x --fork | -xcs c -ss x --fork
        -tos 5 | -tos -1 | -tos x | -tos x -ss a | -tos -1 -ss a | -tos 0 -ss a
        -ss p -tos -1 -xcs x --fork | --fork --single-process -xcs c -ss x
        --single-process --fork -xcs c -ss x | -ll info -v | -v -ll info | -q -ll info
        -ll bogus -v | -ll bogus | -ll FATAL | -ll Off -pdu 1 | -lc f -v | -lc f -ll info
        -lc f -ll bogus | -lc f | -lc f -ll info -v | +v | +v -v | +v -d | +v -q | -v -q -d +v
        +v -ll info | +v -ll warn | +v -ll all | +v -ll trace | -q -pdu 1 | -v -q -pdu 1
        -q -v -pdu 1 | -ts -2 | -ts -1 | -ts 0 | -ts x | -ta 0 -td 0 | -td 0 -ta 0 | -ta 08
        -ta 0x10 | -ta 010 | -ta 5x | -td 0 -td 5 | -td 5 -td 0 | -pdu 4095 | -pdu 131073
        -pdu 4096x | -pdu 0x1000 | -pdu +4096 | -pdu 99999999999999999999
        -ta 99999999999999999999 | --sleep-after -1 | --sleep-during x | --sleep-after -1 -pdu 1
        -aet | -od | -xf f | +p 1 | -pdu -v | +pw x | +pa | +cs x | +tls k c +cs x +pz
        +tls k c +cra +crv | +tls k c +ws | +ws | +tls k c +wf f | +pw x +ps | -der +pem
        -vc -ic | -ic -vc | +px +pz | +rs f +ws | -tls +tls k c -tls +pw x | --bogus | -vd
        --verb | --max-pdu=5 | -- | -V | +VV
        """,
    "dcmrecv": """
        +ssd +B | +B +ssd | +ssd +B --ignore | +ssd --ignore +B | +ssd -s +B | -s +ssd +B
        +ssd +B -B | +v | +v -ta 0 | -xf f p -ta 0 | -ta 0 -td 0 -pdu 1 | -td 0 -pdu 1
        -pdu 1 +ssd +B | +ssd +B +pw x | -xf f p +B +ssd | -xf f p +pw x | -ta 08 | -ta 0x1
        -ta -1 | -ta 99999999999999999999 | -q -ta 0 | -lc f | -ll bogus | +pa | -aet x -uca
        --refuse | -pm | -fe | -ts 5
        """,
    "dcmqrscp": """
        -QP -QS -QO | -QP -QS | -QO -QP -QS -pdu 1 | -QP -QS -QO +te +B | -QP -QS -QO -td 0
        -xf f p q +xs | -xf f p q -xs | -xf f p q -xs +xs | -xf f p q +xi | -xf f p q -x= +x=
        -xf f p q | -xf f p | -xf f p q -td 0 | -xf f p q +te +B | -xf f p q +Cr | +xi -xf f p q
        +te +B | +B +xs +te | +xs +te | +xs +B +tb | +xd +te | +xs +td | +xs +t= | +ti +xr +x=
        +B +g | +B +g= | +B -g | +B +e | +B -e | +B +u | +B -u | -F +p 1 1 | +B +p 1 1
        -F +B +p 1 1 | +p x 1 | +cl 5 | +cl 5 +te | +cl 5 +te -xd | +cl 10 | +cl 10 +te | +cl 5 +td
        -ta 08 | -ta 0x10 | -td 0 | -to 0 | -to 0 -ta 0 -td 0 -pdu 1 | -pdu 4095 | -pdu 131073
        -ta 0 +cl 5 +te | -td x | -s --fork | --fork -s | -ZA -ZH | -c | -c x -c | -lc f -v
        -ll info -v | -ll bogus -c x | -q -QP -QS -QO | -q -pdu 1 | -q | --bogus | -aet x | -ts 5
        +xa | -pm | -od x | 1 2 | +C | +C x -Cr +A7 | -Ct -Cd +Cr -Cr | --check-find --bogus
        """,
    "echoscu": """
        -pts 0 | -pts 39 | -pts 38 | -ppc 129 | -ppc 128 | --repeat 0 | -ts -7 -pts -7 | -to 0
        -td 0 -ta 0 | +v | -xf f p | -aec | +pa | +pw x | +tla +pw x | +tla +ws | -q -pts 0
        -vc | +dp f | +vc | +vc x -pdu 1 | +rc x +pa | +vc x +rc x -pts 0
        """,
    "storescu": """
        +sp x | +r | +sp x +sd | +r +sd | -xf f p -xe | -xf f p -x= | -xf f p -R | -xf f p +C
        -xf f p -xe -x= | +cl 5 | +cl 5 -xd | +cl 5 -xf f p | +cl 10 -xd | -pwd x | -epw
        -usr u -pwd x | -rsp | -rsp -kt f | --max-send-pdu 1 | --repeat 0 | +IR 0 | +IS x
        -pwd x -pdu 1 | -epw +cs x | +v | -xi -xe
        """,
    "movescu": """
        -od x | +P 2 -od x | +P 0 | +P 65536 | +P x | +P -5 | -ta 08 | -td 0 -pdu 1 | -to 0 -ta 0
        --cancel -1 | --cancel x | --repeat 0 | -pdu 4095 --repeat 0 | +te +B | +B +te +xs | +te +xa
        +xs +te +x= | +cl 5 | +cl 5 -xd | +cl 5 +te | +cl 5 +te -xd | +cl 10 | +p 2 2 -F | +p 2 2 +B
        -k x=y | -k PatientName=A\\B | -k 0010 | -k 0010,0020=1 | -k Rows=x | -k x -pdu 1 | -pi -pr
        -pr -pi -od x | +v | -xf f p | -aec | -aem x -od y | +tls k c | /nonexistent/q | -q -od x
        """,
    "findscu": """
        -Xlo 1 | -Xlo 0 | -Xlo 1 -X | -X -Xlo 0 | -Xs f -Xlo 1 | -Xx -od /nonexistent | -od x
        +cl 5 | +cl 5 -xd | +cl 10 -xd | -W -P | +sr -sr | +dc -dc | --cancel -1 | --repeat 0
        -ts -2 | -ta 08 | -to 0 -ta 0 | +pw x | +tla +pw x | +pa | +tls k c +ws | /nonexistent/q
        -X -Xx -Xlo 0 | +v | -xf f p | -q -Xlo 1
        """,
    "getscu": """
        -od x | --ignore -od x | --ignore +B | --ignore -B | +B -B | -B +B | --ignore -B +B
        -B --ignore -od x | +v | +v -v | -ta 08 | -td 0 | --repeat 0 | -pdu 1 -td 0
        -od /nonexistent | +xa | +xs +xi | -W | --cancel 1 | +te | -aem x | /nonexistent/q
        -q -pdu 1
        """,
    "dcmsend": """
        +sp x | +r | +sp x +sd | +r +sd | +r +sp x | +v | +v -v | +cl 10 | +cl -1 | +cl 10 -pdu 1
        -ta 08 | -ta 0x1 | -ta 0 -to 0 | -to 0 -td 0 | -td -1 | -pdu 1 --max-send-pdu 1 | -xe
        --max-send-pdu x +crf | -dn +dls +dly | +ma -ma -ta 0 | +tls k c | --repeat 2 | -q -ta 0
        -lc f | -ll bogus | -aet | +rd +sp x | -nh -nip -nuc -ta 0 | --abort
        """,
    "dcmconv": """
        -te | -tb | -ti | -te -f | -f -te | -f +f -te | -te -t= | -te -td -t= | -F +p 2 2
        +p 2 2 -F | -F -p= | -p= -F | -F -p= -p | -F +p 2 2 -p | +p 2 2 -p= -F | +F -F +p 2 2
        -F +F +p 2 2 | -F +Fm -p= | +p x 2 | +p 2 x | +p 2 -2 | +p 2 | +cl 4 | +cl 4 +td | +td +cl 4
        +cl 10 +td | +cl -1 +td | +cl 10 | +cl 4 +td +te | +cl 4 +te +td | +cl 4 +t= | -dc +dc
        -e +eo | -e -eo | -Ct | -Cd | -Ct +U8 | +U8 -Ct +L1 | +C | +C x -Cd | -te -q | -q -te
        -uc +uc | +fo -f -ti | 1 2 | -ll bogus | --bogus | +v
        """,
}  # fmt: skip


def pairs() -> list[tuple[str, str]]:
    return [
        (tool, " ".join(case.split()))
        for tool, text in PAIRS.items()
        for line in text.strip().splitlines()
        for case in line.split("|")
    ]


@pytest.mark.parametrize(("tool", "typed"), pairs())
def test_combinations(tool: str, typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Conflicts, dependences and values, in DCMTK's order of checks."""
    compare(tool, [*base(tool), *typed.split()], capsys)


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv", "dcmqrscp"])
@pytest.mark.parametrize(
    "port",
    ["0", "65536", "-5", "x", "", "+5x", "9" * 20, "4294967297", "0x50", "08", " 7", "- 7", "-0",
     "-", "5 6", "-v", "-q x", "-q 0", "x -q", "-ll bogus x", "x -pdu 1"],
)  # fmt: skip
def test_ports(tool: str, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [port] if port in ("", " 7", "- 7") else port.split()
    compare(tool, [*words, *base(tool)[1:]], capsys)


@pytest.mark.parametrize(
    "content",
    ["-pdu 1", "-aet 'A B' -pdu 1", '-ta "0', "-ta \"0\"x", "#", "@other", "-fe '' -pdu 1", "a b",
     "-ll\r\nbogus", 'x"y z"w', "+p 1", "-lc 'a b'"],
)  # fmt: skip
def test_command_files(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "command file"
    file.write_bytes(content.encode())
    for arguments in ([f"@{file}", *RECEIVER], [*RECEIVER, "-aet", f"@{file}"], [f"@{file}"]):
        compare("storescp", arguments, capsys)


@pytest.mark.parametrize("parameters", [[], ["peer"], ["peer", "no port"], ["a", "1", "b"]])
def test_who_asks_about_a_certificate_needs_no_peer(
    parameters: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """``+vc`` and ``+rc`` of echoscu: 22 is the answer of DCMTK's, where ours would begin."""
    for option in ("+vc", "+rc"):
        arguments = [option, "/nonexistent", *parameters]
        assert theirs("echoscu", arguments)[0] == 22
        assert ours("echoscu", arguments, capsys) == (0, "")


def test_a_command_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    compare("storescp", ["@/nonexistent/f", "-q"], capsys)


@pytest.mark.parametrize("typed", ["", "-h", "--help 1 2 3", "-h --version +cc", "x y -h"])
def test_usage_is_asked_for_alike(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        ["/usr/bin/storescp", *typed.split()], capture_output=True, text=True, check=False
    )
    assert ours("storescp", typed.split(), capsys) == (0, "")
    assert (done.returncode, "usage: storescp [options] [port]" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--arguments", "-q", *RECEIVER],
        [*RECEIVER, "--arguments", "-aet", "x y"],
        ["--arguments", "11112", "-pdu", "1"],
        ["--arguments", "x"],
    ],
)
def test_arguments_are_shown_alike(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The program's name is as typed, which is a path here and a tool's name there."""
    done = subprocess.run(
        ["storescp", *arguments],
        executable="/usr/bin/storescp",
        capture_output=True,
        text=True,
        check=False,
    )
    capsys.readouterr()
    frame.main(FRONT_ENDS["storescp"], settings.storescp, lambda _: 0, arguments)
    mine = capsys.readouterr().err
    assert mine.replace("dcmfast", "dcmtk").splitlines()[:2] == [
        line if not line.startswith("$dcmtk") else mine.splitlines()[0].replace("dcmfast", "dcmtk")
        for line in done.stderr.splitlines()[:2]
    ]


@pytest.mark.parametrize("name", [*GOOD, *ERRORS])
@pytest.mark.parametrize("tool", ["storescp", "dcmrecv", "dcmqrscp"])
def test_profiles(tool: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of association profiles: the same ones are read, the same words are said."""
    text = GOOD[name] if name in GOOD else ERRORS[name][0]
    file = tmp_path / "f.cfg"
    file.write_bytes(text.encode())
    names = ["p", "p"] if tool == "dcmqrscp" else ["p"]
    compare(tool, [*base(tool), "-xf", str(file), *names], capsys)


@pytest.mark.parametrize("tool", ["storescp", "dcmrecv"])
@pytest.mark.parametrize("profile", [" p ", "q q", "P", ""])
def test_names_of_profiles(
    tool: str, profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "f.cfg"
    file.write_text(BASE)
    compare(tool, [*RECEIVER, "-xf", str(file), profile], capsys)
    compare(tool, [*RECEIVER, "-xf", "", profile], capsys)
    file.write_text(BASE.replace("VerificationSOPClass", "CTImageStorage"))
    compare(tool, [*RECEIVER, "-xf", str(file), profile], capsys)


@pytest.mark.parametrize(
    "names", [(" p ", "P"), ("twice", "p"), ("p", "twice"), ("twice", "no"), ("no", "none")]
)
def test_names_of_profiles_for_both_directions(
    names: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outgoing associations may propose a SOP class twice, incoming ones may not accept it so."""
    file = tmp_path / "f.cfg"
    file.write_text(
        BASE.replace(
            "[[Profiles]]",
            "[TwiceContexts]\nPresentationContext1 = CTImageStorage\\U\n"
            "PresentationContext2 = CTImageStorage\\U\n"
            "[[Profiles]]\n[Twice]\nPresentationContexts = TwiceContexts",
        )
    )
    compare("dcmqrscp", [*ARCHIVE, "-xf", str(file), *names], capsys)


def test_a_profile_longer_than_a_uid_may_be_is_refused_here_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PS3.5 §9.1: 64 characters.  DCMTK takes any length, and could propose such a UID."""
    file = tmp_path / "f.cfg"
    file.write_text(BASE.replace("LittleEndianImplicit", "1" * 65))
    arguments = [*RECEIVER, "-xf", str(file), "p"]
    assert theirs("storescp", arguments)[1] == "F: specified output directory does not exist"
    code, text = ours("storescp", arguments, capsys)
    assert (code, text) == (
        1,
        f"F: cannot read config file: not a valid transfer syntax UID: {'1' * 65}",
    )


def test_an_extension_with_a_path_is_refused_here_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Known-traps F2: DCMTK starts, and then refuses every object."""
    arguments = [*RECEIVER, "-fe", "/x"]
    assert theirs("storescp", arguments)[1] == "F: specified output directory does not exist"
    code, text = ours("storescp", arguments, capsys)
    assert code == 1
    assert text == "Invalid value for option --filename-extension (path separator: /x)"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("storescp", RECEIVER),
        ("storescp", ["11112", "+te", "+B"]),
        ("storescp", ["-q", "11112", "-pdu", "1"]),
        ("dcmrecv", [*RECEIVER, "-xf", "/nonexistent/f", "p"]),
        ("dcmrecv", RECEIVER),
        ("dcmqrscp", ARCHIVE),
        ("dcmqrscp", [*ARCHIVE, "-xf", "/nonexistent/f", "p", "q"]),
        ("echoscu", ["127.0.0.1", "0"]),
        ("storescu", ["127.0.0.1", "1"]),
    ],
)
def test_the_installed_program(tool: str, arguments: list[str]) -> None:
    """The way from ``dcmfast <tool>`` to exit code and stderr, through the whole front end."""
    done = subprocess.run(
        command("dcmfast", tool) + arguments, capture_output=True, text=True, check=False
    )
    assert (done.returncode, error_text(done.stderr)) == theirs(tool, arguments)
    assert done.stdout == ""
