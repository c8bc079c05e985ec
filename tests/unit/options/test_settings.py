"""Settings: what each tool will do, and what it says when it cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dcmfast import limits
from dcmfast.config.faults import FaultRule
from dcmfast.errors import (
    CommandLineError,
    DcmfastError,
    LogConfigurationError,
    NotAvailableYet,
    OutputDirectoryError,
    ProfileError,
)
from dcmfast.options import conversion_settings, sending_settings, settings
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.specs.dcmconv import DCMCONV
from dcmfast.options.specs.dcmrecv import DCMRECV
from dcmfast.options.specs.echoscu import ECHOSCU
from dcmfast.options.specs.storescp import STORESCP
from dcmfast.options.specs.storescu import STORESCU
from dcmfast.types import OutputEncoding

PROFILE = r"""
[[TransferSyntaxes]]
[U]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[C]
PresentationContext1 = CTImageStorage\U
[D]
PresentationContext1 = CTImageStorage\U
PresentationContext2 = CTImageStorage\U
[[Profiles]]
[Good]
PresentationContexts = C
[Twice]
PresentationContexts = D
"""


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "profile.cfg"
    path.write_text(PROFILE)
    return str(path)


def storescp(*arguments: str) -> settings.ReceiverSettings:
    made = settings.storescp(STORESCP, list(arguments))
    assert isinstance(made, settings.ReceiverSettings)
    return made


def dcmrecv(*arguments: str) -> settings.ReceiverSettings:
    made = settings.dcmrecv(DCMRECV, list(arguments))
    assert isinstance(made, settings.ReceiverSettings)
    return made


def test_storescp_without_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults of the manual page, one by one."""
    monkeypatch.delenv("TCP_NODELAY", raising=False)
    monkeypatch.delenv("TCP_BUFFER_LENGTH", raising=False)
    monkeypatch.delenv("DCMDICTPATH", raising=False)
    assert storescp("11112").as_dict() == {
        "tool": "storescp",
        "log_level": "warn",
        "log_table": None,
        "is_verbose_pc": False,
        "arguments_line": None,
        "is_tcp_nodelay": True,
        "tcp_buffer_bytes": None,
        "dictionary": None,
        "warnings": (),
        "port": 11112,
        "tls": None,
        "ae_title": "STORESCP",
        "is_called_title_used": False,
        "preference": "uncompr",
        "is_promiscuous": False,
        "profile": None,
        "acse_timeout_s": 30,
        "dimse_timeout_s": None,
        "socket_timeout_s": 60,
        "max_pdu_bytes": 16384,
        "is_host_looked_up": True,
        "is_refusing": False,
        "is_rejecting_anonymous": False,
        "is_ignoring": False,
        "is_uid_padding_allowed": False,
        "process_model": "threads",
        "output_directory": ".",
        "is_bit_preserving": False,
        "output_encoding": OutputEncoding(),
        "is_meta_written": True,
        "naming": "uid",
        "subdirectory": "none",
        "study_prefix": "",
        "exec_on_reception": None,
        "exec_on_eostudy": None,
        "is_renaming_on_eostudy": False,
        "eostudy_timeout_s": None,
        "is_exec_synchronous": False,
        "extension": "",
        "durability": "none",
        "duplicate": "replace",
        "associations_max": 512,
        "host_access": None,
        "faults": (),
        "fault_seed": 1,
    }


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("-q", "log_level", "fatal"),
        ("+V", "log_level", "info"),
        ("+d", "log_level", "debug"),
        ("-ll all", "log_level", "trace"),
        ("-v +v", "is_verbose_pc", True),
        ("-aet ABCDEFGHIJKLMNOPQRST", "ae_title", "ABCDEFGHIJKLMNOP"),
        ("+xa", "preference", "accept-all"),
        ("-ti", "preference", "implicit"),
        ("-t= ", "preference", "uncompr"),
        ("-pm", "is_promiscuous", True),
        ("-ta 0x10", "acse_timeout_s", 16),
        ("-ta 9999999999", "acse_timeout_s", 2**31 - 1),
        ("-td 7", "dimse_timeout_s", 7),
        ("-ts 0", "socket_timeout_s", None),
        ("-ts -1", "socket_timeout_s", None),
        ("-b 65536", "max_pdu_bytes", 65536),
        ("-dhl", "is_host_looked_up", False),
        ("-r", "is_refusing", True),
        ("+R", "is_rejecting_anonymous", True),
        ("-i", "is_ignoring", True),
        ("-up", "is_uid_padding_allowed", True),
        ("--single-process", "process_model", "single"),
        ("--fork", "process_model", "fork"),
        ("--inetd", "process_model", "inetd"),
        ("+B", "is_bit_preserving", True),
        ("-F", "is_meta_written", False),
        ("+uf", "naming", "unique"),
        ("-tn", "naming", "time"),
        ("-fe .dcm", "extension", ".dcm"),
        ("--durability group", "durability", "group"),
        ("--duplicate keep", "duplicate", "keep"),
        ("--max-associations 3", "associations_max", 3),
        ("-od /", "output_directory", "/"),
        ("-od ./", "output_directory", "."),
        # Today's behaviour by name changes nothing.
        ("-tls -ac +t= -p -uc -B +F +g= +e +u -uf --no-sni", "naming", "uid"),
    ],
)
def test_what_each_option_of_storescp_sets(typed: str, field: str, value: object) -> None:
    assert getattr(storescp("11112", *typed.split()), field) == value


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("", "ae_title", "DCMRECV"),
        ("", "preference", None),
        ("-uca", "is_called_title_used", True),
        ("-uca -aet X", "is_called_title_used", False),
        ("-ta 08", "acse_timeout_s", 8),
        ("+ssd", "subdirectory", "series-date"),
        ("+fu", "naming", "unique"),
        ("+fsu", "naming", "short-unique"),
        ("+fst", "naming", "system-time"),
        ("+B", "is_bit_preserving", True),
        ("+B --ignore", "is_ignoring", True),
        ("--ignore -B", "is_ignoring", False),
    ],
)
def test_what_each_option_of_dcmrecv_sets(typed: str, field: str, value: object) -> None:
    assert getattr(dcmrecv(*typed.split(), "11112"), field) == value


def test_dcmrecv_without_a_profile_names_the_cure() -> None:
    (warning,) = dcmrecv("11112").warnings
    assert "only support the Verification SOP Class" in warning
    assert "--config-file" in warning


def test_the_profile_is_read(profile: str) -> None:
    """Its name is compared without case and blanks."""
    for read in (storescp, dcmrecv):
        made = read("11112", "-xf", profile, " g O od")
        assert made.profile is not None
        assert made.profile.name == "GOOD"
        assert made.warnings == ()


def failure(read: object, *arguments: str) -> tuple[type, int, tuple[tuple[str, str], ...]]:
    with pytest.raises(DcmfastError) as caught:
        read(*arguments)  # type: ignore[operator]
    error = caught.value
    tool = read.__name__  # type: ignore[attr-defined]
    return type(error), error.exit_code_of(tool), getattr(error, "lines", ())


def test_an_output_directory_that_does_not_exist(tmp_path: Path) -> None:
    """A file in its place is as bad as nothing; --ignore does not help."""
    file = tmp_path / "file"
    file.touch()
    for name in (str(file), str(tmp_path / "missing"), "nul\0"):
        for more in ((), ("--ignore",)):
            assert failure(storescp, "1", "-od", name, *more) == (
                OutputDirectoryError,
                1,
                (("F", "specified output directory does not exist"),),
            )
        kind, code, lines = failure(dcmrecv, "1", "-od", name)
        assert (kind, code) == (OutputDirectoryError, 45)
        assert lines[-1] == ("F", "cannot specify output directory: Directory does not exist")


def test_an_output_directory_that_is_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system is asked; played here, because root may write everywhere."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert failure(storescp, "1", "-od", str(tmp_path))[2] == (
        ("F", "specified output directory is not writeable"),
    )
    storescp("1", "-od", str(tmp_path), "--ignore")
    kind, code, lines = failure(dcmrecv, "1", "-od", str(tmp_path))
    assert (kind, code) == (OutputDirectoryError, 45)
    assert lines[-1] == ("F", "cannot specify output directory: Directory is not writable")


@pytest.mark.parametrize(
    ("name", "storescp_text", "dcmrecv_text"),
    [
        (
            "no ne",
            "unknown configuration profile name: NONE",
            (
                'No association profile named "no ne" in association configuration, '
                "did you forget to add presentation contexts?"
            ),
        ),
        (
            "Twice",
            "profile 'TWICE' is not valid for SCP use, duplicate abstract syntaxes found",
            'The association profile named "Twice" is not a valid SCP association profile',
        ),
    ],
)
def test_profiles_that_cannot_be_used(
    profile: str, name: str, storescp_text: str, dcmrecv_text: str
) -> None:
    second = "line 10: PresentationContext2 = CTImageStorage\\U"
    where = f"dcmfast.config: {profile}, {second}"
    is_twice = name == "Twice"
    assert failure(storescp, "1", "-xf", profile, name) == (
        ProfileError,
        1,
        (("F", storescp_text), *((("F", where),) if is_twice else ())),
    )
    assert failure(dcmrecv, "1", "-xf", profile, name) == (
        ProfileError,
        66,
        (
            ("I", "configuring service class provider ..."),
            ("E", dcmrecv_text),
            *((("E", where),) if is_twice else ()),
            (
                "F",
                (
                    "cannot load association configuration: "
                    "Invalid or non-existing SCP Association Profile"
                ),
            ),
        ),
    )


def test_a_profile_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = str(tmp_path / "missing")
    text = f"unable to open configuration file: {path}"
    assert failure(storescp, "1", "-xf", path, "x")[2] == (
        ("F", f"cannot read config file: {text}"),
    )
    kind, code, lines = failure(dcmrecv, "1", "-xf", path, "x")
    assert (kind, code) == (ProfileError, 66)
    assert lines[1:] == (
        ("E", f"Unable to parse association configuration file: {path}: {text}"),
        ("F", f"cannot load association configuration: {text}"),
    )


def test_storescp_reads_the_profile_before_it_checks_the_output_options(profile: str) -> None:
    """DCMTK's order: both are wrong, and which is named tells the order."""
    assert failure(storescp, "1", "-xf", "missing", "x", "+B", "-g")[0] is ProfileError
    assert failure(storescp, "1", "-xf", profile, "good", "+B", "-g")[0] is CommandLineError


@pytest.mark.parametrize("extension", ["a/b", "/", "../x"])
def test_an_extension_with_a_path_is_refused(extension: str) -> None:
    """DCMTK finds out when the first object comes; ours at start-up (DIFFERENCES.md F2)."""
    for read in (storescp, dcmrecv):
        with pytest.raises(CommandLineError, match="path separator"):
            read("1", "-fe", extension)


@pytest.mark.parametrize("title", ["A\\B", "A\nB", "A\x00B"])
def test_a_title_that_is_none_is_refused(title: str) -> None:
    with pytest.raises(CommandLineError, match="AE title"):
        storescp("1", "-aet", title)


def test_what_is_still_to_come_is_refused_by_name() -> None:
    """After every check has passed, so that a wrong command line is wrong here too."""
    typed = ["in", "out", "+st", "PatientName"]
    with pytest.raises(NotAvailableYet) as caught:
        conversion_settings.dcmconv(DCMCONV, typed)
    assert str(caught.value) == "--stop-after-elem is not available yet"
    with pytest.raises(CommandLineError):
        conversion_settings.dcmconv(DCMCONV, [*typed, "+cl", "10"])


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        ("--sleep-after 2", {"place": "next", "delay_ms": 2000}),
        ("-s 2", {"place": "next", "delay_ms": 2000}),
        ("--sleep-during 2", {"place": "fragment", "delay_ms": 2000}),
        ("+s 2", {"place": "fragment", "delay_ms": 2000}),
        ("--abort-after", {"place": "response", "ending": "abort"}),
        ("--abort-during", {"place": "data", "ending": "abort"}),
        ("--sleep-after 2 --sleep-after 0", None),
        ("-s 0", None),
    ],
)
def test_options_that_fail_on_purpose_are_rules(
    typed: str, fields: dict[str, object] | None
) -> None:
    """How they act is shown in ``tests/apps/test_faults.py``."""
    rule = None if fields is None else FaultRule(event="store", is_dial=True, **fields)
    assert storescp("1", *typed.split()).faults == (() if rule is None else (rule,))


def test_typed_rules_stand_before_the_options() -> None:
    settings = storescp("1", "--abort-after", "--fault", "echo abort", "--fault", "store close")
    assert [one.event for one in settings.faults] == ["echo", "store", "store"]
    assert [one.is_dial for one in settings.faults] == [False, False, True]


def test_the_files_of_access_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    assert storescp("1", "-ac").host_access is None
    assert storescp("1", "+ac").host_access == ("storescp", "/etc/hosts.allow", "/etc/hosts.deny")
    monkeypatch.setenv("DCMFAST_HOSTS_ALLOW", "/a")
    monkeypatch.setenv("DCMFAST_HOSTS_DENY", "")
    assert storescp("1", "+ac").host_access == ("storescp", "/a", "/etc/hosts.deny")


def test_sorting_and_events() -> None:
    """Words for ``net``; a prefix belongs to the option that counts, and 0 is a time."""
    plain = storescp("1")
    assert (plain.subdirectory, plain.study_prefix) == ("none", "")
    assert (plain.exec_on_reception, plain.exec_on_eostudy) == (None, None)
    assert (plain.is_renaming_on_eostudy, plain.is_exec_synchronous) == (False, False)
    assert plain.eostudy_timeout_s is None
    for typed, subdirectory, prefix in (
        (("-ss", "a b"), "study-time", "a b"),
        (("-ss", "a", "-su", ""), "study-uid", ""),
        (("-su", "a", "-sp"), "patient-name", ""),
        (("-sp", "-ss", "a", "--ignore"), "study-time", "a"),
    ):
        found = storescp("1", *typed)
        assert (found.subdirectory, found.study_prefix) == (subdirectory, prefix)
    events = storescp("1", "-sp", "-xcr", "", "-xcs", "b #p", "-rns", "-xs", "-tos", "0")
    assert (events.exec_on_reception, events.exec_on_eostudy) == ("", "b #p")
    assert (events.is_renaming_on_eostudy, events.is_exec_synchronous) == (True, True)
    assert events.eostudy_timeout_s == 0


def test_the_bound_of_a_prefix_is_the_engines() -> None:
    """Stated twice, because a front end that only refuses a command line loads no engine."""
    bound = limits.LIMITS["STUDY_PREFIX_BYTES_MAX"]
    assert bound == settings.STUDY_PREFIX_BYTES_MAX
    assert storescp("1", "-ss", "x" * bound).study_prefix == "x" * bound
    with pytest.raises(CommandLineError, match="prefix"):
        storescp("1", "-ss", "x" * (bound + 1))


@pytest.mark.parametrize("option", [("-xcs", "x"), ("-rns",)], ids=" ".join)
def test_ends_of_studies_are_not_for_inetd(option: tuple[str, ...]) -> None:
    """As with ``--fork``; DCMTK says so on a stream that it has closed."""
    with pytest.raises(CommandLineError, match="not allowed with --inetd"):
        storescp("1", "-ss", "x", "-id", *option)


def test_a_logger_configuration_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "logger.cfg"
    with pytest.raises(CommandLineError, match="file does not exist"):
        storescp("1", "-lc", str(path))
    path.write_text("log4cplus.rootLogger = INFO, c\nlog4cplus.appender.c = Foo\n")
    with pytest.raises(LogConfigurationError, match=r"logger\.cfg, line 2: no appender class: Foo"):
        storescp("1", "-lc", str(path))
    # Its level is the level in force: +v is allowed, and a later error is told.
    path.write_text(
        "log4cplus.rootLogger = INFO, c\nlog4cplus.appender.c = log4cplus::NullAppender"
    )
    with pytest.raises(CommandLineError, match="underflow") as caught:
        storescp("1", "-lc", str(path), "+v", "-pdu", "1")
    assert not caught.value.is_silent
    path.write_text(path.read_text().replace("INFO", "FATAL"))
    with pytest.raises(CommandLineError, match="only allowed with verbose mode") as caught:
        storescp("1", "-lc", str(path), "+v")
    assert caught.value.is_silent


def test_log_json_excludes_a_logger_configuration(tmp_path: Path) -> None:
    path = tmp_path / "logger.cfg"
    path.write_text("log4cplus.rootLogger = OFF\n")
    with pytest.raises(CommandLineError, match="--log-json not allowed with --log-config"):
        storescp("1", "-lc", str(path), "--log-json")


@pytest.mark.parametrize(
    ("environment", "nodelay", "buffer_bytes", "warning"),
    [
        ({}, True, None, None),
        ({"TCP_NODELAY": "0"}, False, None, None),
        ({"TCP_NODELAY": "1"}, True, None, None),
        ({"TCP_NODELAY": "-1x"}, True, None, None),
        ({"TCP_NODELAY": "0x10"}, False, None, None),
        ({"TCP_NODELAY": "x"}, True, None, "TCP_NODELAY=x"),
        ({"TCP_NODELAY": ""}, True, None, "TCP_NODELAY="),
        ({"TCP_BUFFER_LENGTH": "12k"}, True, 12, None),
        ({"TCP_BUFFER_LENGTH": "0"}, True, 65536, None),
        ({"TCP_BUFFER_LENGTH": "-4"}, True, 65536, None),
        ({"TCP_BUFFER_LENGTH": "big"}, True, None, "TCP_BUFFER_LENGTH=big"),
    ],
)
def test_the_environment_of_the_sockets(
    environment: dict[str, str], nodelay: bool, buffer_bytes: int | None, warning: str | None
) -> None:
    warnings: list[str] = []
    assert settings.tcp_environment(environment, warnings) == (nodelay, buffer_bytes)
    prefix = "DUL: cannot parse environment variable "
    assert warnings == ([] if warning is None else [prefix + warning])


def test_errors_know_how_they_are_to_be_reported() -> None:
    with pytest.raises(OutputDirectoryError) as caught:
        storescp("--arguments", "-q", "1", "-od", "/nonexistent")
    assert caught.value.log_level == "fatal"
    assert str(caught.value.arguments_line).startswith("calling 'storescp' with 5 arguments: ")


@pytest.mark.parametrize(
    ("tool", "is_privilege", "code", "lines"),
    [
        ("storescp", False, 1, [("E", ("cannot create network: 0006:031c TCP Initialization Error: "
                                      "Address already in use"))]),
        ("storescp", True, 1, [("F", "cannot listen on port 104, insufficient privileges")]),
        ("dcmrecv", False, 64, [("F", ("cannot start SCP and listen on port 104: "
                                      "TCP Initialization Error: Address already in use"))]),
        ("dcmrecv", True, 64, [("E", "No privileges to open this network port (104)"),
                               ("F", ("cannot start SCP and listen on port 104: "
                                     "Insufficient port privileges"))]),
    ],
)  # fmt: skip
def test_what_is_said_when_the_port_cannot_be_opened(
    tool: str, is_privilege: bool, code: int, lines: list[tuple[str, str]]
) -> None:
    error = settings.cannot_listen(tool, 104, "Address already in use", is_privilege=is_privilege)
    assert error.exit_code_of(tool) == code
    assert list(error.lines) == lines


def test_help_comes_back_as_what_was_typed() -> None:
    made = settings.storescp(STORESCP, ["-h"])
    assert isinstance(made, ParsedOptions)
    assert made.exclusive == "--help"


def test_echoscu() -> None:
    made = settings.echoscu(ECHOSCU, ["peer", "104", "-pts", "3", "-ppc", "2", "--repeat", "5"])
    assert isinstance(made, settings.EchoSettings)
    assert (made.peer.host, made.peer.port) == ("peer", 104)
    assert (made.ae_title, made.called_ae_title) == ("ECHOSCU", "ANY-SCP")
    assert (made.transfer_syntax_count, made.context_count, made.repeat) == (3, 2, 5)
    assert (made.connection_timeout_s, made.socket_timeout_s) == (None, 60)


def test_storescu() -> None:
    made = sending_settings.storescu(
        STORESCU, ["peer", "104", "a", "b", "+sd", "+r", "+sp", "*.dcm", "-xs", "+C", "-nh"]
    )
    assert isinstance(made, sending_settings.StoreSettings)
    assert made.inputs == ("a", "b")
    assert (made.is_scanning_directories, made.is_recursive) == (True, True)
    assert (made.scan_pattern, made.proposal, made.is_combining) == ("*.dcm", "lossless", True)
    assert (made.is_halting, made.max_send_pdu_bytes, made.input_format) == (False, None, "any")


def test_storescu_refuses_a_profile_file_that_is_wrong(profile: str) -> None:
    with pytest.raises(ProfileError) as caught:
        sending_settings.storescu(STORESCU, ["peer", "104", "f", "-xf", "missing", "x"])
    assert caught.value.lines == (
        ("E", "reading config file: unable to open configuration file: missing"),
    )
    made = sending_settings.storescu(STORESCU, ["peer", "104", "f", "-xf", profile, "good"])
    assert isinstance(made, sending_settings.StoreSettings)
    assert made.profile is not None
    assert made.profile.name == "GOOD"


def test_where_a_fault_of_a_profile_stands_is_a_line_of_ours(tmp_path: Path) -> None:
    """Behind DCMTK's line, with the logger's name, so that a script can leave it out."""
    path = tmp_path / "bad.cfg"
    path.write_text(PROFILE.replace("LittleEndianImplicit", "Bogus"))
    place = f"dcmfast.config: {path}, line 4: TransferSyntax1 = Bogus"
    for read, what, letter in (
        (storescp, "cannot read config file: ", "F"),
        (dcmrecv, f"Unable to parse association configuration file: {path}: ", "E"),
    ):
        with pytest.raises(ProfileError) as caught:
            read("11112", "-xf", str(path), "Good")
        lines = caught.value.lines
        at = lines.index((letter, f"{what}not a valid transfer syntax UID: Bogus"))
        assert lines[at + 1] == (letter, place)
    path.write_text(PROFILE)
    for read in (storescp, dcmrecv):
        with pytest.raises(ProfileError) as caught:
            read("11112", "-xf", str(path), "Twice")
        texts = [text for _, text in caught.value.lines]
        assert f"dcmfast.config: {path}, line 10: PresentationContext2 = CTImageStorage\\U" in texts


def test_the_dictionary_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "own.dic"
    path.write_text("(0010,0010)\tPN\tName\t1\n")
    monkeypatch.setenv("DCMDICTPATH", str(path))
    made = storescp("11112", "-od", str(tmp_path))
    assert made.dictionary is not None
    assert made.dictionary.entries == ((16, 16, 0, 16, 16, 0, "", "PN", "Name"),)
    monkeypatch.setenv("DCMDICTPATH", "")
    assert storescp("11112", "-od", str(tmp_path)).dictionary is None
