"""load's command line: what each option means, what each refuses, and the bounds it shares."""

from __future__ import annotations

import pytest

from dcmfast import limits
from dcmfast.errors import CommandLineError
from dcmfast.options import tls_settings
from dcmfast.options.load_settings import LoadSettings, ReportSettings, load
from dcmfast.options.option import BadValueError
from dcmfast.options.settings import parse
from dcmfast.options.specs import all_front_ends
from dcmfast.options.specs.load import LOAD

FRONT_ENDS = {one.tool: one for one in all_front_ends()}


def settings(*arguments: str) -> LoadSettings:
    found = load(LOAD, list(arguments))
    assert isinstance(found, LoadSettings)
    return found


def store(*arguments: str) -> LoadSettings:
    return settings("store", "localhost", "104", *arguments)


def test_a_run_is_bounded_without_any_option() -> None:
    plain = store()
    assert (plain.count, plain.duration_s, plain.associations) == (1000, 60, 1)
    assert (plain.rate, plain.is_remote_allowed, plain.mix) == (None, False, (("store", 1),))
    assert plain.pixel_bytes == (512 * 1024,)


def test_every_option_reaches_its_setting() -> None:
    found = settings(
        *("mix", "localhost", "104", "--mix", "store=3,find=2,get=1,move=1,echo=0"),
        *("--yes-remote", "-n", "7", "--duration", "8", "--associations", "9"),
        *("--per-association", "10", "--rate", "2.5", "--seed", "11", "--kind", "MR"),
        *("--size", "1k,2M,0", "--patients", "12", "--studies", "13", "--series", "14"),
        *("--known", "15", "--find-level", "image", "--retrieve-level", "series"),
        *("--destination", "DEST", "--audit", "--ledger", "L", "--json", "J", "--html", "H"),
        *("-aet", "ME", "-aec", "YOU", "-to", "16", "-ta", "17", "-td", "18", "-pdu", "4096"),
    )
    assert found.mix == (("store", 3), ("find", 2), ("get", 1), ("move", 1), ("echo", 0))
    assert found.is_remote_allowed
    assert (found.count, found.duration_s, found.associations) == (7, 8, 9)
    assert (found.per_association, found.rate, found.seed) == (10, 2.5, 11)
    assert (found.kind, found.pixel_bytes) == ("mr", (1024, 2 * 1024**2, 0))
    assert (found.patients, found.studies, found.series, found.known) == (12, 13, 14, 15)
    assert (found.find_level, found.retrieve_level) == ("image", "series")
    assert (found.destination, found.is_auditing) == ("DEST", True)
    assert (found.ledger_file, found.json_file, found.html_file) == ("L", "J", "H")
    assert (found.ae_title, found.called_ae_title) == ("ME", "YOU")
    assert (found.connection_timeout_s, found.acse_timeout_s) == (16, 17)
    assert (found.dimse_timeout_s, found.max_pdu_bytes) == (18, 4096)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("stoer localhost 104", "Unknown command stoer"),
        ("store localhost", "Missing parameter port"),
        ("audit ledger localhost", "Missing parameter port"),
        ("audit ledger localhost 104 file", "Too many parameters: audit takes"),
        ("audit ledger localhost 104 --ledger l", "--ledger not allowed with audit"),
        ("audit ledger localhost 104 --audit", "--audit not allowed with audit"),
        ("audit ledger localhost 104 --rate 1", "--rate not allowed with audit"),
        ("store localhost 0", "Invalid parameter value 0 (underflow)"),
        ("store localhost 65536", "Invalid parameter value 65536 (overflow)"),
        ("store localhost 104 --mix store=1", "--mix not allowed with store"),
        ("mix localhost 104", "mix needs --mix"),
        ("mix localhost 104 --mix delete=1", "--mix (delete=1)"),
        ("mix localhost 104 --mix store=1,store=2", "--mix (store=1,store=2)"),
        ("mix localhost 104 --mix store=0", "--mix (store=0)"),
        ("mix localhost 104 --mix store", "--mix (store)"),
        ("mix localhost 104 --mix store=1,move=1", "move needs --destination"),
        ("move localhost 104 --known 1", "move needs --destination"),
        ("find localhost 104", "find needs --known"),
        ("get localhost 104", "get needs --known"),
        ("mix localhost 104 --mix find=1 --known 1 --audit", "--audit only allowed with store"),
        ("echo localhost 104 --audit", "--audit not allowed with echo"),
        ("find localhost 104 --known 1 file", "files are not allowed with find"),
        ("store localhost 104 file --seed 1 --size 1k", "--size not allowed with files"),
        ("store localhost 104 --find-level study", "--find-level not allowed with store"),
        ("store localhost 104 --tolerance 1", "--tolerance not allowed with store"),
        ("store localhost 104 --rate 0", "--rate (underflow: 0)"),
        ("store localhost 104 --rate 1000001", "--rate (overflow: 1000001)"),
        ("store localhost 104 --rate nan", "--rate (nan)"),
        ("store localhost 104 --rate 1e3", "--rate (1e3)"),
        ("store localhost 104 --size 3G", "--size (overflow: 3G)"),
        ("store localhost 104 --size 1k,", "--size (1k,)"),
        ("store localhost 104 --size -5", "--size (-5)"),
        ("store localhost 104 --kind us", "Invalid value for option --kind"),
        ("compare a", "compare takes two reports"),
        ("compare a b c", "Too many parameters"),
        ("show a b", "Too many parameters"),
        ("compare a b --count 5", "--count not allowed with compare"),
    ],
)
def test_what_is_refused(arguments: str, text: str) -> None:
    with pytest.raises(CommandLineError) as caught:
        load(LOAD, arguments.split())
    assert text in str(caught.value)


def test_reports() -> None:
    found = load(LOAD, ["compare", "a", "b", "--tolerance", "5"])
    assert isinstance(found, ReportSettings)
    assert (found.files, found.tolerance_percent) == (("a", "b"), 5)
    shown = load(LOAD, ["show", "a", "--html", "h"])
    assert isinstance(shown, ReportSettings)
    assert shown.html_file == "h"


@pytest.mark.parametrize(
    ("long", "bound"),
    [
        ("--count", "LOAD_COUNT_MAX"),
        ("--known", "LOAD_COUNT_MAX"),
        ("--duration", "LOAD_DURATION_S_MAX"),
        ("--associations", "LOAD_ASSOCIATIONS_MAX"),
        ("--patients", "LOAD_ENTITIES_MAX"),
        ("--studies", "LOAD_ENTITIES_MAX"),
    ],
)
def test_the_bounds_are_the_engines(long: str, bound: str) -> None:
    """LOAD_COUNT_MAX and its like on a command line, at n and n + 1."""
    value = next(one for one in LOAD.options() if one.long == long).values[0]
    edge = limits.LIMITS[bound]
    assert value.parse(str(edge)) == edge
    with pytest.raises(BadValueError):
        value.parse(str(edge + 1))


def test_the_bounds_of_texts_are_the_engines() -> None:
    """LOAD_PIXEL_BYTES_MAX and LOAD_RATE_MAX, at n and n + 1."""
    assert store("--size", str(limits.LOAD_PIXEL_BYTES_MAX)).pixel_bytes
    assert store("--rate", str(limits.LOAD_RATE_MAX)).rate == limits.LOAD_RATE_MAX
    for option, bound in (("--size", "LOAD_PIXEL_BYTES_MAX"), ("--rate", "LOAD_RATE_MAX")):
        with pytest.raises(CommandLineError):
            store(option, str(limits.LIMITS[bound] + 1))


@pytest.mark.parametrize(
    "line",
    [
        "--disable-tls",
        "--enable-tls k c --std-passwd",
        "--enable-tls k c --use-passwd secret",
        "--enable-tls k c --null-passwd --pem-keys",
        "--enable-tls k c --null-passwd --der-keys",
        "--anonymous-tls --add-cert-file a --add-cert-file b",
        "--anonymous-tls --add-cert-dir d --require-peer-cert",
        "--anonymous-tls --add-cert-file a --add-crl-file r --enable-crl-vfy",
        "--anonymous-tls --add-cert-file a --add-crl-file r --enable-crl-all",
        "--anonymous-tls --profile-8996",
        "--anonymous-tls --profile-8996-mod",
        "--anonymous-tls --profile-bcp195-nd",
        "--anonymous-tls --profile-bcp195",
        "--anonymous-tls --profile-bcp195-ex",
        "--anonymous-tls --profile-basic",
        "--anonymous-tls --profile-aes",
        "--anonymous-tls --profile-null",
        "--anonymous-tls --cipher TLS_AES_256_GCM_SHA384",
        "--anonymous-tls --no-sni",
        "--anonymous-tls --request-sni name",
    ],
)
def test_tls_options_mean_what_they_mean_to_echoscu(line: str) -> None:
    """Each of them, to the last field; what they do is tested with the tools that share them."""
    options = line.split()
    ours = store(*options).tls
    theirs = parse(FRONT_ENDS["echoscu"], [*options, "localhost", "104"], {})
    assert ours == tls_settings.tls(theirs)
    assert (ours is None) == (line == "--disable-tls")


def test_cipher_suites_are_listed_as_echoscu_does() -> None:
    ours, theirs = (
        parse(FRONT_ENDS[tool], ["--list-ciphers"], {}).exclusive for tool in ("load", "echoscu")
    )
    assert ours
    assert ours == theirs
