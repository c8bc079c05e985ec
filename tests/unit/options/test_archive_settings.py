"""What dcmqrscp will do: options and configuration together."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmfast import limits
from dcmfast.errors import (
    ArchiveConfigurationError,
    CommandLineError,
    ConfigurationError,
    ProfileError,
)
from dcmfast.options import archive_settings
from dcmfast.options.archive_settings import ArchiveSettings
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.specs.dcmqrscp import DCMQRSCP
from testkit.profiles import BASE

AREA = "AETable BEGIN\nQR /area RW (10, 1mb) ANY\nAETable END\n"


@pytest.fixture(autouse=True)
def in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads the host's own configuration."""
    monkeypatch.chdir(tmp_path)
    system = tmp_path / "system"
    system.mkdir()
    monkeypatch.setattr(
        archive_settings, "CONFIG_FILES", ("./dcmqrscp.cfg", str(system / "dcmqrscp.cfg"))
    )
    return tmp_path


def settings(*arguments: str, config: str = AREA) -> ArchiveSettings:
    Path("dcmqrscp.cfg").write_text(config)
    what = archive_settings.dcmqrscp(DCMQRSCP, list(arguments))
    assert isinstance(what, ArchiveSettings)
    return what


def test_no_arguments_are_a_start() -> None:
    what = settings()
    assert what.port == 104
    assert what.config_file == "./dcmqrscp.cfg"
    assert [one.ae_title for one in what.config.applications] == ["QR"]
    assert what.default_application is None
    assert (what.preference, what.proposal, what.matching) == ("uncompr", "uncompr", "dcmtk")
    assert what.models == ("patient-root", "study-root", "patient-study")
    assert what.is_get_enabled
    assert (what.durability, what.duplicate) == ("group", "replace")
    assert (what.max_pdu_bytes, what.associations_max) == (16384, 16)
    assert (what.acse_timeout_s, what.dimse_timeout_s) == (30, None)
    assert not what.is_single_process
    assert what.warnings == ()


def test_help_needs_no_configuration() -> None:
    what = archive_settings.dcmqrscp(DCMQRSCP, ["--help"])
    assert isinstance(what, ParsedOptions)


# ---- Which file (DIFFERENCES.md D16)


def test_the_working_directory_comes_first_then_the_system(in_a_directory: Path) -> None:
    system = in_a_directory / "system" / "dcmqrscp.cfg"
    system.write_text(AREA.replace("QR", "SYSTEM"))
    what = archive_settings.dcmqrscp(DCMQRSCP, [])
    assert isinstance(what, ArchiveSettings)
    assert what.config_file == str(system)
    assert what.config.applications[0].ae_title == "SYSTEM"
    assert settings().config.applications[0].ae_title == "QR"


def test_a_file_that_is_named_is_the_only_one(in_a_directory: Path) -> None:
    (in_a_directory / "system" / "dcmqrscp.cfg").write_text(AREA)
    with pytest.raises(ConfigurationError) as caught:
        settings("-c", "no.cfg")
    assert caught.value.lines == (("F", "cannot access no.cfg: No such file or directory"),)
    assert caught.value.exit_code_of("dcmqrscp") == 10


def test_without_any_file_both_places_are_named(in_a_directory: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        archive_settings.dcmqrscp(DCMQRSCP, [])
    assert [text.split(":")[0] for _, text in caught.value.lines] == [
        "cannot access ./dcmqrscp.cfg",
        f"cannot access {in_a_directory}/system/dcmqrscp.cfg",
    ]


def test_a_file_that_is_bad_does_not_leave_it_to_the_next(in_a_directory: Path) -> None:
    (in_a_directory / "system" / "dcmqrscp.cfg").write_text(AREA)
    with pytest.raises(ArchiveConfigurationError):
        settings(config="what is this\n")
    Path("dcmqrscp.cfg").unlink()
    Path("dcmqrscp.cfg").mkdir()
    with pytest.raises(ConfigurationError, match="Is a directory"):
        archive_settings.dcmqrscp(DCMQRSCP, [])


# ---- Which of the two decides


def test_the_command_line_overrides_the_file() -> None:
    config = f"NetworkTCPPort = 4711\nMaxPDUSize = 8192\nMaxAssociations = 3\n{AREA}"
    what = settings(config=config)
    assert (what.port, what.max_pdu_bytes, what.associations_max) == (4711, 8192, 3)
    what = settings("-pdu", "4096", "11112", "--max-associations", "7", config=config)
    assert (what.port, what.max_pdu_bytes, what.associations_max) == (11112, 4096, 7)


@pytest.mark.parametrize("size", ["1", "4095", "131073", "-5"])
def test_a_pdu_size_out_of_range_is_fatal_even_if_overridden(size: str) -> None:
    with pytest.raises(ArchiveConfigurationError) as caught:
        settings("-pdu", "4096", config=f"MaxPDUSize = {size}\n")
    assert caught.value.lines == (("F", "invalid MaxPDUSize in config file"),)
    (told,) = caught.value.complaints
    assert told.startswith(f"MaxPDUSize {size} is not within")
    assert told.endswith("line 1")


def test_the_edges_of_the_pdu_size() -> None:
    for size in (4096, 131072):
        assert settings(config=f"MaxPDUSize = {size}\n").max_pdu_bytes == size


@pytest.mark.parametrize(
    ("arguments", "number", "expected"),
    [((), 0, 0), ((), 100_000, 4096), (("-s",), 1, 512), (("-s", "--fork"), 1, 1)],
)
def test_how_many_associations(arguments: tuple[str, ...], number: int, expected: int) -> None:
    """DCMTK counts children, and so nobody with -s."""
    what = settings(*arguments, config=f"MaxAssociations = {number}\n{AREA}")
    assert what.associations_max == expected
    assert what.is_single_process is (arguments == ("-s",))


def test_the_bound_of_associations() -> None:
    """CONFIGURED_ASSOCIATIONS_MAX: a configuration's number is cut there, a typed one refused."""
    most = limits.CONFIGURED_ASSOCIATIONS_MAX
    for number in (most - 1, most, most + 1):
        what = settings(config=f"MaxAssociations = {number}\n{AREA}")
        assert what.associations_max == min(number, most)
    assert settings("--max-associations", str(most)).associations_max == most
    with pytest.raises(CommandLineError, match="--max-associations"):
        settings("--max-associations", str(most + 1))


@pytest.mark.parametrize(
    ("typed", "targets"),
    [
        ("", ()),
        ("-ZA", ("title",)),
        ("-ZA -ZH", ("title", "host")),
        ("-ZH -ZA", ("title",)),
        ("-ZA -ZH -ZV", ("title", "host", "vendor")),
        ("-ZV --move-unrestricted", ()),
        ("--move-unrestricted -ZV", ("vendor",)),
        ("-ZA -ZV -ZH", ("title", "host")),
    ],
)
def test_restrictions_add_up_in_the_order_of_the_usage(
    typed: str, targets: tuple[str, ...]
) -> None:
    """DCMTK looks for one after the other, each only right of those before it."""
    assert settings(*typed.split()).move_targets == targets


def test_models_can_be_disabled_but_not_all() -> None:
    assert settings("-QP", "-QO").models == ("study-root",)
    with pytest.raises(CommandLineError, match=r"^cannot disable all Q/R models$"):
        settings("-QS", "-QO", "-QP")


@pytest.mark.parametrize(
    ("typed", "line", "expected"),
    [
        ("", "", (False, True, "", False, False)),
        ("", '"ISO_IR 192", override, discard', (True, False, "ISO_IR 192", True, False)),
        ("+Cr", '"ISO_IR 192", override', (False, False, "ISO_IR 192", False, False)),
        ("-Cr +L1", '"ISO_IR 192", fallback', (True, True, "ISO_IR 100", False, False)),
        ("+U8 +A7", '"ISO_IR 192"', (False, False, "", False, False)),
        ("+A7", '"ISO_IR 192"', (False, False, "", False, False)),
        ("+C GB18030 -Ct -Cd", "", (False, True, "GB18030", True, True)),
        ("+Cr -Cr", "", (True, True, "", False, False)),
    ],
)
def test_character_sets(
    typed: str, line: str, expected: tuple[bool, bool, str, bool, bool]
) -> None:
    config = f"SpecificCharacterSet = {line}\n{AREA}" if line else AREA
    entry = settings(*typed.split(), config=config).character_set
    assert (
        entry.is_override,
        entry.falls_back,
        entry.character_set,
        entry.is_discarding,
        entry.is_transliterating,
    ) == expected


def test_very_verbose_is_verbose_and_more() -> None:
    what = settings("-vv")
    assert (what.log_level, what.is_very_verbose) == ("info", True)
    what = settings("-vv", "-v")
    assert (what.log_level, what.is_very_verbose) == ("info", False)
    with pytest.raises(CommandLineError, match="not allowed with --verbose, --debug or --quiet"):
        settings("-vv", "-ll", "info")


def test_profiles_for_both_directions() -> None:
    Path("f.cfg").write_text(BASE)
    what = settings("-xf", "f.cfg", " P ", "p")
    assert what.in_profile is not None
    assert what.out_profile is not None
    assert (what.in_profile.name, what.out_profile.name) == ("P", "P")


def test_a_bad_profile_ends_with_1_before_the_configuration_is_read() -> None:
    with pytest.raises(ProfileError) as caught:
        settings("-xf", "f.cfg", "p", "p", "-c", "no.cfg")
    assert caught.value.exit_code_of("dcmqrscp") == 1


# ---- What is told


def test_warnings_of_the_file_are_told_with_our_logger() -> None:
    (warning,) = settings(config=AREA.replace("1mb", "1")).warnings
    assert warning.startswith("dcmfast.config: configuration file, line 2: ")


def test_a_file_without_any_title_is_told() -> None:
    (warning,) = settings(config="").warnings
    assert "dcmqrscp.cfg has no AE title" in warning
    assert "every association will be rejected" in warning


def test_file_format() -> None:
    assert settings().is_meta_written
    assert not settings("-F").is_meta_written
    assert settings("-F", "+F").is_meta_written
