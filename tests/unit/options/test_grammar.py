"""The grammar: what is an option, which of several wins, which check comes first.

Every expectation was seen with DCMTK 3.6.7; `tests/compat/test_command_lines.py` asks it again.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmfast.errors import CommandLineError
from dcmfast.options import grammar
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.specs.dcmrecv import DCMRECV
from dcmfast.options.specs.storescp import STORESCP


def parse(*arguments: str) -> ParsedOptions:
    return grammar.parse(STORESCP, list(arguments))


def complaint(*arguments: str) -> str:
    with pytest.raises(CommandLineError) as caught:
        parse(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("argument", ["-5", "+5", "-", "+", "", "x-y", "--"])
def test_what_is_an_option(argument: str) -> None:
    assert grammar.is_option(argument) == (argument == "--")


def test_options_and_parameters_mix_freely() -> None:
    for arguments in (["-v", "+5", "-od", "x"], ["+5", "-v", "-od", "x"], ["-od", "x", "+5", "-v"]):
        parsed = parse(*arguments)
        assert (parsed.port, parsed.log_level) == (5, "info")
        assert parsed.text("output_directory") == "x"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--bogus", "-h"], "Unknown option --bogus"),
        (["-h", "--verb"], "Unknown option --verb"),
        (["-vd", "1"], "Unknown option -vd"),
        (["--aetitle=X", "1"], "Unknown option --aetitle=X"),
        (["--", "1"], "Unknown option --"),
        (["-pdu"], "Missing value for option --max-pdu"),
        (["+p", "1"], "Missing value for option --padding-create"),
        (["-pdu", "--bogus"], "Missing parameter port"),
        (["1", "-pdu", "-v"], "Invalid value for option --max-pdu (-v)"),
        (["-v"], "Missing parameter port"),
        (["1", "2"], "Too many parameters"),
        (["1", "-td", "5", "-td", "0"], "Invalid value for option --dimse-timeout (underflow: 0)"),
        (["1", "-b", "4096"], "Invalid value for option -b (underflow: 4096)"),
        (["1", "-s", "x"], "Invalid value for option -s (x)"),
    ],
)
def test_the_first_fault_is_named(arguments: list[str], text: str) -> None:
    assert complaint(*arguments) == text


def test_the_rightmost_occurrence_counts() -> None:
    assert parse("1", "-td", "0", "-td", "5").number("dimse_timeout_s") == 5


def test_the_rightmost_of_a_group_counts_across_the_years() -> None:
    """-te is of 1998 and accepts less than +xe."""
    assert parse("1", "+xe", "-te").choice("preference") == "little-1998"
    assert parse("1", "-te", "+xe").choice("preference") == "little"
    assert parse("1", "-pdu", "4096", "-b", "9000").number("max_pdu_bytes") == 9000
    assert parse("1", "-b", "9000", "-pdu", "4096").number("max_pdu_bytes") == 4096
    assert parse("1").choice("preference") == "uncompr"


def test_no_argument_asks_for_the_usage(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert parse().exclusive == "--help"
    assert parse(f"@{empty}").exclusive == "--help"


def test_exclusive_options_end_the_checks_in_their_own_order() -> None:
    assert parse("+cc", "--version", "-h", "1", "2", "3").exclusive == "--help"
    assert parse("+cc", "--version").exclusive == "--version"
    assert parse("+cc").exclusive == "--list-ciphers"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["+te", "+tb", "+B"], "--write-xfer-little not allowed with --bit-preserving"),
        (["+te", "+B", "+xs"], "--write-xfer-little not allowed with --bit-preserving"),
        (["+te", "+B", "+xa"], "--write-xfer-little not allowed with --accept-all"),
        (["-tn", "+uf"], "--timenames not allowed with --unique-filenames"),
        (["-xf", "f", "p", "-te"], "--config-file not allowed with -te"),
        (["+cl", "10", "+te"], ("--compression-level only allowed with "
         "--write-xfer-deflated or --write-xfer-same")),
        (["+pa"], "--profile-basic only allowed with --enable-tls"),
        (["-ll", "info", "-q"], "--log-level not allowed with --verbose, --debug or --quiet"),
        (["-ll", "loud"], "Invalid log level for --log-level option"),
        (["+v"], "--verbose-pc only allowed with verbose mode"),
        (["-ta", ""], "Invalid value for option --acse-timeout"),
    ],
)  # fmt: skip
def test_conflicts_and_dependences(arguments: list[str], text: str) -> None:
    assert complaint("1", *arguments) == text


def test_an_overridden_option_is_not_always_checked() -> None:
    """``+t=`` is looked at first, so a ``+te`` to its left never is."""
    parse("1", "+B", "+te", "+t=")
    assert "not allowed" in complaint("1", "+B", "+t=", "+te")


def test_verbose_presentation_contexts_need_a_level_not_an_option() -> None:
    for level in ("info", "DEBUG", "all"):
        parse("1", "+v", "-ll", level)


@pytest.mark.parametrize(
    ("front_end", "arguments", "is_silent"),
    [
        (STORESCP, ["-q", "x"], False),
        (DCMRECV, ["-q", "x"], True),
        (STORESCP, ["-q", "1", "-pdu", "1"], True),
        (STORESCP, ["-ll", "OFF", "1", "-pdu", "1"], True),
        (STORESCP, ["-ll", "error", "1", "-pdu", "1"], False),
        (STORESCP, ["-q", "-ll", "info", "1"], False),
        (STORESCP, ["-q", "--bogus"], False),
    ],
)
def test_quiet_hides_what_is_checked_after_it(
    front_end: object, arguments: list[str], is_silent: bool
) -> None:
    """The port is checked before the level by storescp, after it by dcmrecv."""
    with pytest.raises(CommandLineError) as caught:
        grammar.parse(front_end, arguments)  # type: ignore[arg-type]
    assert caught.value.is_silent == is_silent


def test_arguments_are_shown_expanded_and_long(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("-aet 'A B' -r")
    parsed = grammar.parse(STORESCP, ["--arguments", f"@{file}", "1"], program="x/storescp")
    assert parsed.arguments_line == (
        "calling 'x/storescp' with 5 arguments: '--arguments' '--aetitle' 'A B' '--refuse' '1' \n"
    )


def test_arguments_are_shown_before_a_later_check_fails() -> None:
    with pytest.raises(CommandLineError) as caught:
        parse("--arguments", "1", "-pdu", "1")
    assert caught.value.arguments_line is not None
    with pytest.raises(CommandLineError) as caught:
        parse("--arguments", "x")
    assert caught.value.arguments_line is None


def test_repeatable_options_keep_every_value() -> None:
    parsed = parse("1", "+tls", "k", "c", "+cf", "a", "+cf", "b")
    assert parsed.chosen["certificate_files"].all_values == (("a",), ("b",))
    assert parsed.unavailable == ()


def test_reached_is_called_in_the_order_of_the_checks() -> None:
    seen: list[tuple[object, ...]] = []
    with pytest.raises(CommandLineError, match="group-length-remove"):
        grammar.parse(
            STORESCP,
            ["1", "-g", "+B", "-xf", "f", "p", "-od", "d"],
            reached={
                "output_directory": lambda *values: seen.append(values),
                "profile": lambda *values: seen.append(values),
                "extension": lambda *values: seen.append(values),
            },
        )
    assert seen == [("f", "p"), ("d",)]


def test_questions_about_unknown_fields_are_mistakes() -> None:
    parsed = parse("1")
    for ask in (parsed.flag, parsed.choice, parsed.text, parsed.number, parsed.values):
        with pytest.raises(KeyError):
            ask("no_such_field")


_WORDS = [name for option in STORESCP.options() for name in option.names] + ["1", "x", "", "-", "@"]


@given(st.lists(st.one_of(st.sampled_from(_WORDS), st.text(max_size=5)), max_size=8))
def test_any_command_line_is_obeyed_or_refused(arguments: list[str]) -> None:
    """Nothing but the documented error comes out, whatever is typed."""
    try:
        parsed = parse(*arguments)
    except CommandLineError:
        return
    assert parsed.exclusive or parsed.port is not None or parsed.flag("inetd")
