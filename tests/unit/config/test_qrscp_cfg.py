"""The grammar of dcmqrscp.cfg, beside DCMTK's own reader where it tells what it read."""

from __future__ import annotations

import contextlib
import re
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmfast import _rust
from dcmfast.config import qrscp_cfg
from dcmfast.config.qrscp_cfg import ConfiguredPeer, QRConfig
from dcmfast.errors import ArchiveConfigurationError

#: One area, for files that are about something else.
AREA = "AETable BEGIN\nQR /area RW (10, 1mb) ANY\nAETable END\n"
ONE_HOST = "HostTable BEGIN\na = (A, h, 1)\nHostTable END\n"
A = ConfiguredPeer(ae_title="A", host="h", port=1)


def members(text: str) -> str:
    """A file with `text` as the members of a symbolic name, behind one that exists."""
    return f"HostTable BEGIN\na = (A, h, 1)\nb = {text}\nHostTable END\n"


def application(text: str) -> str:
    return f"AETable BEGIN\n{text}\nAETable END\n"


def quota(text: str) -> str:
    return application(f"QR /area RW {text} ANY")


def complaints(text: str) -> list[str]:
    """What is wrong with a file, without DCMTK's closing line."""
    with pytest.raises(ArchiveConfigurationError) as caught:
        qrscp_cfg.parse(text, "x.cfg")
    *all_but_last, last = caught.value.complaints
    assert last == 'Reading configuration file "x.cfg" with errors'
    assert caught.value.lines[-1] == ("F", "bad config file: x.cfg")
    return all_but_last


# ---- What is read


def test_an_empty_file_is_a_configuration() -> None:
    assert qrscp_cfg.parse("") == QRConfig()
    assert qrscp_cfg.parse("# nothing\n\n\r\n") == QRConfig()


def test_the_global_entries() -> None:
    config = qrscp_cfg.parse(
        "NetworkTCPPort  = 11112\nMaxPDUSize = 32768\nMaxAssociations = 3 # peers\n"
        'UserName = dicom\nGroupName = "dicom users"\n'
    )
    assert config.network_port == 11112
    assert config.max_pdu_bytes == 32768
    assert config.max_associations == 3
    assert config.user_name == "dicom"
    assert config.group_name == "dicom users"


def test_legacy_entries_are_ignored() -> None:
    lines = (
        "ApplicationTitle = A\nApplicationContext = 1.2\nImplementationClass = 1\n"
        "ImplementationVersion = 1\nNetworkType = tcp\nDisplay = yes\nDisplayPort = 1\n"
    )
    assert qrscp_cfg.parse(lines) == QRConfig()


def test_the_last_of_two_global_entries_counts() -> None:
    assert qrscp_cfg.parse("MaxAssociations = 3\nMaxAssociations = 5\n").max_associations == 5


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("NetworkTCPPort 11112", 11112),
        ("NetworkTCPPort\t=\t11112", 11112),
        ("  NetworkTCPPort = 11112", 11112),
        ("NetworkTCPPort = 11112x", 11112),
        ("NetworkTCPPort = 11112\r", 11112),
        ("NetworkTCPPort = 0", 104),
        ("NetworkTCPPort = 0x2b68", 104),
        ("NetworkTCPPort = x", 104),
        ('NetworkTCPPort = "11112"', 104),
    ],
)
def test_ports(line: str, port: int) -> None:
    assert qrscp_cfg.parse(line).network_port == port


def test_a_number_that_is_none_is_told() -> None:
    config = qrscp_cfg.parse("# \nMaxAssociations = many\n")
    assert config.max_associations == 16
    assert config.warnings == (
        "configuration file, line 2: MaxAssociations is not a number, 16 is used",
    )


@pytest.mark.parametrize("number", ["0", "-1"])
def test_no_associations_at_all(number: str) -> None:
    config = qrscp_cfg.parse(f"MaxAssociations = {number}\n")
    assert config.max_associations == 0
    assert "every association will be refused" in config.warnings[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", (False, False, "", False, False)),
        ("fallback", (False, True, "", False, False)),
        ('"ISO_IR 192", override, discard, transliterate', (True, False, "ISO_IR 192", True, True)),
        ("override fallback", (True, True, "", False, False)),
        ("discard, abort", (False, False, "", False, False)),
        ("abort, discard", (False, False, "", True, False)),
        ("transliterate ISO_IR=100", (False, False, "100", False, True)),
        ("one two", (False, False, "two", False, False)),
        ("override\nSpecificCharacterSet = fallback", (False, True, "", False, False)),
    ],
)
def test_character_sets(words: str, expected: tuple[bool, bool, str, bool, bool]) -> None:
    entry = qrscp_cfg.parse(f"SpecificCharacterSet = {words}\n").character_set
    assert (
        entry.is_override,
        entry.falls_back,
        entry.character_set,
        entry.is_discarding,
        entry.is_transliterating,
    ) == expected


def test_hosts_vendors_and_areas() -> None:
    config = qrscp_cfg.parse(
        "HostTable BEGIN\n"
        "acme1 = (ACME1, host1, 5678)\n"
        "acme2 = (ACME2, host2, 5679) (ACME2B, host2)\n"
        "acme  = acme1, acme2\n"
        "HostTable END\n"
        "VendorTable BEGIN\n"
        '"Acme CT Company" = acme\n'
        "VendorTable END\n"
        "AETable BEGIN\n"
        'STORE "/var/lib/my images" RW (9, 1024mb) acme1, (OTHER, host3, 104)\n'
        "READ  /var/lib/read        R  (200, 1gb)  ANY\n"
        "AETable END\n"
    )
    one = ConfiguredPeer(ae_title="ACME1", host="host1", port=5678)
    two = ConfiguredPeer(ae_title="ACME2", host="host2", port=5679)
    three = ConfiguredPeer(ae_title="ACME2B", host="host2", port=0)
    assert [entry.name for entry in config.hosts] == ["acme1", "acme2", "acme"]
    assert config.hosts[2].peers == (one, two, three)
    (vendor,) = config.vendors
    assert vendor.name == "Acme CT Company"
    assert vendor.peers == (one, two, three)
    store, read = config.applications
    assert store.ae_title == "STORE"
    assert store.storage_area == "/var/lib/my images"
    assert store.access == "RW"
    assert (store.studies_max, store.study_bytes_max) == (9, 1024 * 1024 * 1024)
    assert store.peers == (one, ConfiguredPeer(ae_title="OTHER", host="host3", port=104))
    assert read.peers is None
    assert [one.split(": ")[1] for one in config.warnings] == ["ACME2B has no port"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a b", ["a", "b"]),
        ("  a\t=,b\r", ["a", "b"]),
        ('"a b" c', ["a b", "c"]),
        ("'a\"c", ["a", "c"]),
        ("'a c", []),
        ("(a)b", ["a", "b"]),
        ('a"b c"d', ['a"b', 'c"d']),
        ('""', [""]),
        ("((a))", ["", "a))"]),
        ("", []),
        ("=,", []),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    found, is_closed = qrscp_cfg._tokens(text)
    assert found == tokens
    assert is_closed == (text != "'a c")


def test_a_quote_that_is_not_closed_swallows_the_line() -> None:
    config = qrscp_cfg.parse(members("a, (B, h, 2"))
    assert config.hosts[1].peers == (A,)
    assert "line 3: a quote or parenthesis is not closed" in config.warnings[0]


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("(A, h, 1)", ("A", "h", 1)),
        ("(A,h)", ("A", "h", 0)),
        ('"A h,1 2"', ("A", "h", 1)),
        ("(,A,h,1)", ("A", "h", 1)),
        ("( A , h , 1x )", ("A", "h", 1)),
        ("(A, h, x)", ("A", "h", 0)),
        ("(A, h, 65536)", ("A", "h", 0)),
        ("(A, h, -1)", ("A", "h", 0)),
    ],
)
def test_peers(text: str, peer: tuple[str, str, int]) -> None:
    (found,) = qrscp_cfg.parse(members(text)).hosts[1].peers
    assert (found.ae_title, found.host, found.port) == peer


@pytest.mark.parametrize(
    ("text", "studies", "size"),
    [
        ("(10, 1024mb)", 10, 1024**3),
        ("(10 1kb)", 10, 1024),
        ("( 10 , 1KB )", 10, 1024),
        ("(10,100b)", 10, 100),
        ("(10,2Gb)", 10, 2 * 1024**3),
        ("(501, 5gb)", 501, 5 * 1024**3),
        ("(10,1.5gb)", 10, 1024**3),
        ("(10, 1024)", 10, None),
        ("(10, 1024m)", 10, None),
        ("(10, 1024 mb)", 10, None),
        ("(10, -1b)", 10, None),
        ("(-1, 1b)", None, 1),
        ("(unlimited, 1b)", None, 1),
        ("(Unlimited, UNLIMITED)", None, None),
        ("(99999999999, 1b)", 2**31 - 1, 1),
        ("(1, 99999999999999999999gb)", 1, 2**63 - 1),
        ("(1, 9999999999999999999999999999b)", 1, 2**63 - 1),
    ],
)
def test_quotas(text: str, studies: int | None, size: int | None) -> None:
    (area,) = qrscp_cfg.parse(quota(text)).applications
    assert (area.studies_max, area.study_bytes_max) == (studies, size)


def test_a_size_without_a_unit_is_told() -> None:
    config = qrscp_cfg.parse(quota("(10, 1024m)"))
    assert config.warnings == (
        'configuration file, line 2: size "1024m" does not end with b, kb, mb or gb: no limit',
    )
    assert qrscp_cfg.parse(quota("(10, unlimited)")).warnings == ()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (application("QR /area RW (1, 1b) ANY, (A, h, 1)"), "behind ANY is ignored"),
        (application("MORE_THAN_SIXTEEN /area RW (1, 1b) ANY"), "cannot be an AE title"),
        (members('("A\\\\B", h, 1)').replace('"', ""), "cannot be an AE title"),
        (AREA + AREA, "a second AETable takes the place of the first"),
        (members("a").replace("b =", "a ="), "its first entry counts"),
        (application("QR /area XX (1, 1b) ANY"), "is none of R, W and RW"),
        (quota("(10, 5qb)"), "bytes are meant"),
        (quota("(10, -1b)"), "is negative: no limit"),
        (quota("(1.5, 1mb)"), '"1.5" is no whole number: 1 studies is used'),
        (quota("(3x, 3kb)"), '"3x" is no whole number'),
        (quota("(3, 1.5kb)"), '"1.5" is no whole number: 1 kb is used'),
        (quota("(3, 1e3kb)"), '"1e3" is no whole number'),
        (quota("(99999999999, 1mb)"), "2147483647 are the most"),
        (quota("(1, 99999999999999999999gb)"), "bytes are the most"),
        (quota("(1, 1mb, 3)"), 'behind the quota of "QR" is ignored'),
        (members("(A, h)"), "A has no port: nothing can be sent to it"),
        (members("(A, h, 104x)"), '"104x" is no whole number: port 104 of A is used'),
        (members("(A, h, 104, i)"), '"i" behind the port of A is ignored'),
        ("HostTable BEGIN\nANY = (A, h, 1)\nHostTable END\n", '"ANY" stands for every peer'),
        (AREA.replace("AETable END", "QR /x R (1, 1b) ANY\nAETable END"), "is there already"),
        ('SpecificCharacterSet = "ISO_IR 999"\n', 'nothing can be written in "ISO_IR 999"'),
        ('SpecificCharacterSet = "ISO 2022 IR 87"\n', 'nothing can be written in "ISO 2022 IR 87"'),
        ('SpecificCharacterSet = "ISO_IR 192", "ISO_IR 100"\n', 'takes the place of "ISO_IR 192"'),
        ("NetworkTCPPort = 104x\n", '"104x" is no whole number: NetworkTCPPort 104 is used'),
        ("MaxPDUSize = 1\nMaxPDUSize = 8192\n", "MaxPDUSize takes the place of line 1"),
        (quota("(-1, 1b)"), "-1 studies for QR: no limit"),
    ],
)
def test_what_is_hardly_meant_is_told(text: str, part: str) -> None:
    (warning,) = qrscp_cfg.parse(text).warnings
    assert part in warning
    assert "line " in warning


def test_a_second_ae_table_replaces_and_a_second_host_table_adds() -> None:
    config = qrscp_cfg.parse(
        ONE_HOST + "HostTable BEGIN\nb = a\nHostTable END\n" + AREA + AREA.replace("QR", "QR2")
    )
    assert [entry.name for entry in config.hosts] == ["a", "b"]
    assert [one.ae_title for one in config.applications] == ["QR2"]


def test_the_first_of_two_symbolic_names_counts() -> None:
    config = qrscp_cfg.parse(members("(B, h, 2)").replace("b =", "a ="))
    assert [entry.name for entry in config.hosts] == ["a"]
    assert config.hosts[0].peers == (A,)


def test_long_lines_and_a_missing_last_line_end() -> None:
    """DCMTK cuts lines at 511 bytes, and crashes on a last value without a line end."""
    many = ", ".join(f"(PEER{at}, host{at}, {at})" for at in range(1, 1001))
    assert len(qrscp_cfg.parse(members(many)).hosts[1].peers) == 1000
    assert qrscp_cfg.parse("UserName = dicom").user_name == "dicom"


def test_groups_of_groups_do_not_double() -> None:
    lines = ["a0 = (A, h, 1), (B, h, 2)"]
    lines += [f"a{at} = a{at - 1}, a{at - 1}" for at in range(1, 200)]
    config = qrscp_cfg.parse("\n".join(["HostTable BEGIN", *lines, "HostTable END"]))
    assert len(config.hosts[-1].peers) == 2


def test_foreign_bytes_in_a_path_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.cfg"
    path.write_bytes(b"AETable BEGIN\nQR /ar\xe9a RW (1, 1b) ANY\nAETable END\n")
    (area,) = qrscp_cfg.read(str(path)).applications
    assert area.storage_area.encode("utf-8", "surrogateescape") == b"/ar\xe9a"


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.cfg"
    with path.open("wb") as file:
        file.truncate(qrscp_cfg.FILE_BYTES_MAX + 1)
    with pytest.raises(ArchiveConfigurationError) as caught:
        qrscp_cfg.read(str(path))
    assert caught.value.complaints[0] == f'Configuration file "{path}" too large'


def test_the_shipped_example_is_good() -> None:
    with resources.as_file(resources.files("dcmfast.config") / "dcmqrscp.cfg") as path:
        config = qrscp_cfg.read(str(path))
    assert config.warnings == ()
    assert [one.ae_title for one in config.applications] == ["ARCHIVE", "READONLY"]
    assert config.applications[0].studies_max is None
    assert len(config.hosts[2].peers) == 3


@pytest.mark.dcmtk
def test_dcmtk_takes_the_shipped_example(tmp_path: Path) -> None:
    """Its reader knows no ``unlimited``; it takes the word for its own maximum."""
    text = (resources.files("dcmfast.config") / "dcmqrscp.cfg").read_text()
    assert dcmtks_lines(f"{text}{TOO_SMALL}", tmp_path) == ["F: invalid MaxPDUSize in config file"]


# ---- What is wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HostTable\n", ['Unknown HostTable status "", line 1']),
        ("UserName\nGroupName =\n", ["No name behind UserName, line 1", "GroupName, line 2"]),
        ("NetworkTCPPort = 70000\n", ["NetworkTCPPort 70000 is not within 1 to 65535, line 1"]),
        ("NetworkTCPPort = -1\n", ["NetworkTCPPort -1 is not within 1 to 65535, line 1"]),
        (members(""), ['No members of "b", line 3']),
        (members('"c d'), ['No members of "b" (a quote or parenthesis is not closed), line 3']),
        (members("(,)"), ['Peer "(,)" is not of the form (AETitle, HostName, PortNumber), line 3']),
        (quota("(0, 1mb)"), ['Quota "0, 1mb" of "QR" leaves no room for anything, line 2']),
        (quota("(1, 0mb)"), ['Quota "1, 0mb" of "QR" leaves no room for anything, line 2']),
        (quota("(1, xb)"), ['Quota "1, xb" of "QR" leaves no room for anything, line 2']),
        (quota("(10)"), ['Quota "10" of "QR" is not of the form (maxStudies, maxBytesPerStudy)']),
        (quota("()"), ['Quota "" of "QR" is not of the form']),
        (quota("(x, 1mb)"), ['Quota "x, 1mb" of "QR" is not of the form']),
        (application("QR /area RW (1, 1mb)"), ['Entry "QR" is not of the form AETitle Storage']),
        (application("QR /area RW (1, 1mb ANY"), ["Peers (a quote or parenthesis is not closed)"]),
        (application(" \n"), ["Line of blanks inside AETable, line 2"]),
    ],
)
def test_where_dcmtk_says_nothing_the_line_is_named(text: str, expected: list[str]) -> None:
    found = [one.replace(" in configuration file", "") for one in complaints(text)]
    assert len(found) == len(expected)
    for one, part in zip(found, expected, strict=True):
        assert part in one
        assert re.search(r", line \d+$", one)


def test_all_errors_come_at_once() -> None:
    found = complaints(
        "Foo\nHostTable BEGIN\nb = c\nHostTable END\nAETable END\n"
        "AETable BEGIN\nQR /area RW (0, 1mb) ANY\n"
    )
    assert [re.sub(r".* line ", "", one) for one in found] == ["1", "3", "5", "7", "7"]


def test_the_character_sets_are_the_engines() -> None:
    for term in qrscp_cfg.ANSWER_CHARACTER_SETS:
        assert _rust.is_answer_character_set(term.encode())
    for number in range(400):
        term = f"ISO_IR {number}"
        known = term in qrscp_cfg.ANSWER_CHARACTER_SETS
        assert _rust.is_answer_character_set(term.encode()) == known, term


def test_what_dcmtk_looks_at_later_is_told_with_the_rest() -> None:
    """The last entry of a name counts; alone, it has DCMTK's closing words."""

    def nobody(_field: str, _name: str) -> bool:
        return False

    text = "UserName = ghost\nMaxPDUSize = -5\nGroupName = spooks\n"
    with pytest.raises(ArchiveConfigurationError) as caught:
        qrscp_cfg.parse(text, "x.cfg", is_account=nobody)
    assert caught.value.complaints == (
        'UserName "ghost" is no user of this system in configuration file, line 1',
        "MaxPDUSize -5 is not within 4096 to 131072 in configuration file, line 2",
        'GroupName "spooks" is no group of this system in configuration file, line 3',
    )
    assert caught.value.lines[-1] == ("F", "invalid MaxPDUSize in config file")
    with pytest.raises(ArchiveConfigurationError) as caught:
        qrscp_cfg.parse(text + "Foo\n", "x.cfg", is_account=nobody)
    assert [re.sub(r".*line ", "", one) for one in caught.value.complaints[:-1]] == [*"1234"]
    assert caught.value.lines[-1] == ("F", "bad config file: x.cfg")
    assert qrscp_cfg.parse("MaxPDUSize = 1\nMaxPDUSize = 4096\n").max_pdu_bytes == 4096


def test_warnings_come_with_them() -> None:
    with pytest.raises(ArchiveConfigurationError) as caught:
        qrscp_cfg.parse("NetworkTCPPort = x\nFoo\n", "x.cfg")
    warning, closing = caught.value.lines
    assert warning[0] == "W"
    assert "line 1: NetworkTCPPort is not a number" in warning[1]
    assert closing == ("F", "bad config file: x.cfg")


def test_complaints_are_bounded() -> None:
    found = complaints("what is this\n" * 100_000)
    assert len(found) == qrscp_cfg.COMPLAINTS_MAX + 1
    assert "no configuration file?" in found[-1]


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                *("HostTable BEGIN", "HostTable END", "VendorTable BEGIN", "VendorTable END"),
                *("AETable BEGIN", "AETable END", "a = (A, h, 1)", "b = a, c", "QR /a RW (1,1b)"),
                *("QR /a RW (1, 1b) ANY", "# x", " ", "", '"', "MaxPDUSize = 1", "Foo", "\0", "="),
            ]
        )
        | st.text(max_size=40)
    )
)
def test_whatever_the_text_it_is_a_configuration_or_complaints(lines: list[str]) -> None:
    with contextlib.suppress(ArchiveConfigurationError):
        qrscp_cfg.parse("\n".join(lines))


# ---- Beside DCMTK

#: `MaxPDUSize` out of range is found after the file was read: it tells a good file from a bad one,
#: and no server is started.
TOO_SMALL = "MaxPDUSize = 1\n"


def dcmtks_lines(text: str, directory: Path) -> list[str]:
    """What DCMTK's dcmqrscp says of a configuration with which it does not start."""
    (directory / "x.cfg").write_text(text, newline="")
    done = subprocess.run(
        ["/usr/bin/dcmqrscp", "-c", "x.cfg", "11112"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 10
    return done.stderr.splitlines()


#: Ours name the line, DCMTK's these do not.
WITHOUT_LINE = re.compile(
    r'(Symbolic name ".*" not defined|No symbolic names defined|'
    r'No peers for symbolic name ".*" defined) in configuration file, line \d+'
)

BOTH_SAY = [
    "",
    AREA,
    ONE_HOST + AREA,
    "   \n\t\n" + AREA,
    "\f\n" + AREA,
    AREA.replace("\n", "\r\n"),
    AREA.rstrip(),
    AREA.replace(" ", "\t"),
    "HostTable FOO\n" + AREA,
    "HostTable END\n" + AREA,
    "VendorTable END\nAETable END\n",
    "HostTable BEGIN\nHostTable FOO\n" + AREA,
    "HostTable BEGIN\na = (A, h, 1)\n" + AREA,
    "HostTable BEGIN\na = (A, h, 1)\n",
    "HostTable BEGIN\na = (A, h, 1)",
    "AETable BEGIN\nQR /a RW (1, 1b) ANY",
    "HostTable BEGIN\nb = a c\nHostTable END\n",
    "HostTable BEGIN\na = a\nHostTable END\n",
    "VendorTable BEGIN\nv = a\nVendorTable END\n",
    ONE_HOST + 'VendorTable BEGIN\n"V x" = b\nVendorTable END\n',
    "# comment\n #x\n",
    "networktcpport = 1\nFoo\nBar=2\nMaxAssociations=3\n",
    "MaxPDUSize=4095\n",
    "= MaxPDUSize = 4095\n",
    "AETable BEGIN extra\nQR /a RW (1, 1b) ANY\nAETable END extra\n",
    "AETable = BEGIN\nQR /a RW (1, 1b) ANY\nAETable END\n",
    "AETable BEGIN\nQR /a RW (1, 1b) ANY\nAETable = END\n",
    "AETable BEGIN\nQR /a RW (1, 1b) ANY\n AETable END\n",
    application("QR,/a=RW (1,1b),ANY"),
    application('"Q R" "/a b" RW (1,1b) "ANY"'),
    application("QR /a RW (1, 1b) ANY, (A, h, 1)"),
    application("QR /a RW (1, 1b) (A, h, 1) ANY"),
    application("QR /a RW (1, 1b) ANYX"),
    application("QR /a RW (1, 1b) any"),
    application("QR /a RW (1, 1b) (A)"),
    application("QR /a X (1, 1b) ANY"),
    AREA + "AETable BEGIN\nAETable END\n",
    *(
        members(text)
        for text in (
            *('ab"c d"e', '"c d" e', '"c)d', "'x y\"", "a,c", "a==c", "=,a", '"a"c', '""', "c(d"),
            *("((A,h,1))", "(A,h,1)c", "a\tc", "a\fc", "c\vd", "(A h 1)", "(A,h)", "(,h,1)", "a"),
        )
    ),
    *(
        quota(text)
        for text in ("(10, 1024)", "(10, 1024m)", "(-1, 1b)", "(10, -1b)", "(99999999999, 1b)")
    ),
]


@pytest.mark.dcmtk
@pytest.mark.parametrize("text", BOTH_SAY)
def test_both_say_the_same(text: str, tmp_path: Path) -> None:
    lines = dcmtks_lines(TOO_SMALL + text, tmp_path)
    theirs = [one.removeprefix("CONFIG Error: ")[:-1] for one in lines if one.startswith("CONFIG")]
    ours: list[str] = []
    last = "invalid MaxPDUSize in config file"
    try:
        qrscp_cfg.parse(TOO_SMALL + text, "x.cfg")
    except ArchiveConfigurationError as error:
        # Ours name this one with the others.
        late = "MaxPDUSize 1 is not within"
        told = [one for one in error.complaints if not one.startswith(late)]
        ours = [WITHOUT_LINE.sub(r"\1", one) for one in told]
        last = error.lines[-1][1]
    assert ours == theirs
    assert lines[-1] == f"F: {last}"


#: What DCMTK refuses without a word of its own; both refuse it.
BOTH_REFUSE = [
    members(""),
    members('"c d'),
    members("(A,h,1"),
    "HostTable BEGIN\n \nHostTable END\n",
    quota("(0, 1mb)"),
    quota("(1, 0mb)"),
    quota("(0x10, 1b)"),
    quota("(1, xb)"),
    quota("(1, b)"),
    application("QR /a RW (1, 1mb)"),
    application("QR /a RW"),
    application("QR"),
    application("QR /a RW (1, 1b) ANY\nHostTable END"),
]


@pytest.mark.dcmtk
@pytest.mark.parametrize("text", BOTH_REFUSE)
def test_both_refuse(text: str, tmp_path: Path) -> None:
    assert dcmtks_lines(TOO_SMALL + text, tmp_path)[-1] == "F: bad config file: x.cfg"
    assert complaints(text)
