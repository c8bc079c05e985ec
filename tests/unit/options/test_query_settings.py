"""What the query and retrieve clients' options mean, beside storescp's where they share words."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmfast.options import query_settings, settings
from dcmfast.options.option import Option
from dcmfast.options.specs.findscu import FINDSCU
from dcmfast.options.specs.getscu import GETSCU
from dcmfast.options.specs.movescu import MOVESCU
from dcmfast.options.specs.storescp import STORESCP

PEER = ["127.0.0.1", "104", "-k", "PatientID=1"]


def moved(directory: Path, *options: str) -> query_settings.MoveSettings:
    line = [*PEER, "+P", "11113", "-od", str(directory), *options]
    made = query_settings.movescu(MOVESCU, line, check_key=lambda _: None)
    assert isinstance(made, query_settings.MoveSettings)
    return made


def got(directory: Path, *options: str) -> query_settings.GetSettings:
    made = query_settings.getscu(
        GETSCU, [*PEER, "-od", str(directory), *options], check_key=lambda _: None
    )
    assert isinstance(made, query_settings.GetSettings)
    return made


def found(*options: str) -> query_settings.FindSettings:
    made = query_settings.findscu(FINDSCU, [*PEER, *options], check_key=lambda _: None)
    assert isinstance(made, query_settings.FindSettings)
    return made


def received(directory: Path, *options: str) -> settings.ReceiverSettings:
    made = settings.storescp(STORESCP, ["11113", "-od", str(directory), *options])
    assert isinstance(made, settings.ReceiverSettings)
    return made


def options_of(field: str) -> list[Option]:
    return [option for option in MOVESCU.options() if option.field == field]


PREFERENCES = [option.short for option in options_of("preference")]


@pytest.mark.parametrize("option", PREFERENCES)
def test_each_preference_is_storescps(option: str, tmp_path: Path) -> None:
    """``+x=`` to ``+xa``: what sub-associations accept; getscu has all but the last."""
    theirs = received(tmp_path, option).preference
    receiver = moved(tmp_path, option).receiver
    assert receiver is not None
    assert receiver.preference == theirs
    if option != "+xa":
        assert got(tmp_path, option).preference == theirs


ENCODINGS = [
    *(["+t="], ["+te"], ["+tb"], ["+ti"], ["+td"], ["+u"], ["-u"], ["+g="], ["+g"], ["-g"]),
    *(["+e"], ["-e"], ["-p"], ["+p", "512", "16"], ["+t=", "+cl", "9"], ["+td", "+cl", "0"]),
]


@pytest.mark.parametrize("options", ENCODINGS, ids=" ".join)
def test_each_output_encoding_is_storescps(options: list[str], tmp_path: Path) -> None:
    receiver = moved(tmp_path, *options).receiver
    assert receiver is not None
    assert receiver.output_encoding == received(tmp_path, *options).output_encoding


SHARED = [
    *([], ["-B"], ["+B"], ["-F"], ["+F"], ["--ignore"], ["-up"], ["-dhl"], ["-pdu", "4096"]),
    *(["-ta", "5"], ["-td", "7"], ["--durability", "each"], ["--duplicate", "keep"], ["-q"]),
    *(["-v"], ["-d"], ["-ll", "info"]),
]
#: What a receiver of sub-operations has otherwise, whatever was typed.
OWN = {
    *("tool", "ae_title", "socket_timeout_s", "is_host_looked_up", "host_access", "faults"),
    *("fault_seed", "warnings"),
}


@pytest.mark.parametrize("options", SHARED, ids=lambda one: " ".join(one) or "none")
def test_the_receiver_is_storescps(options: list[str], tmp_path: Path) -> None:
    """Every other field alike: one engine, one meaning."""
    made = moved(tmp_path, *options).receiver
    assert made is not None
    ours, theirs = made.as_dict(), received(tmp_path, *options).as_dict()
    own = OWN | ({"output_directory"} if "--ignore" in options else set())
    assert {name for name in ours if ours[name] != theirs[name]} <= own


@pytest.mark.parametrize(
    ("option", "field", "value"),
    [
        (["-to", "5"], "connection_timeout_s", 5),
        (["-ta", "5"], "acse_timeout_s", 5),
        (["-td", "5"], "dimse_timeout_s", 5),
        (["-pdu", "8192"], "max_pdu_bytes", 8192),
        (["--repeat", "3"], "repeat", 3),
        (["--abort"], "is_aborting", True),
        (["-P"], "model", "patient-root"),
        (["-S"], "model", "study-root"),
        (["-O"], "model", "patient-study"),
        (["-xd"], "proposal", "deflated"),
        (["-aet", "ME"], "ae_title", "ME"),
        (["-aec", "YOU"], "called_ae_title", "YOU"),
        (["-k", "Rows=1"], "keys", {b"PatientID=1", b"Rows=1"}),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_options_of_all_three(option: list[str], field: str, value: object, tmp_path: Path) -> None:
    for made in (moved(tmp_path, *option), got(tmp_path, *option), found(*option)):
        read = getattr(made, field)
        assert (set(read) if field == "keys" else read) == value


def test_defaults(tmp_path: Path) -> None:
    """The model that each asks by, its title, and what it proposes."""
    assert found().model == "worklist"
    assert got(tmp_path).model == moved(tmp_path).model == "patient-root"
    assert [made.ae_title for made in (found(), got(tmp_path), moved(tmp_path))] == [
        "FINDSCU", "GETSCU", "MOVESCU",
    ]  # fmt: skip
    assert moved(tmp_path, "-aet", "ME").destination == "ME"
    assert moved(tmp_path, "-aem", "OTHER").destination == "OTHER"
    assert found().deflate_level is None
    assert found("-xd", "+cl", "3").deflate_level == 3
    assert (found("-u").has_new_vrs, found("+u").has_new_vrs) == (False, True)
    assert found("-ts", "9").socket_timeout_s == 9
