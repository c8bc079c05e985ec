"""Numbers of the command line: as C reads them, tool by tool."""

from __future__ import annotations

import pytest

from dcmfast.options.option import (
    BadValueError,
    Integer,
    Option,
    Text,
    Unsigned,
    Word,
    parse_port,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        ("+5", 5),
        ("\t\n 5", 5),
        ("0x10", 16),
        ("0X1f", 31),
        ("010", 8),
        ("5 seconds", 5),
        ("5.9", 5),
        ("99999999999999999999", 2**63 - 1),
        pytest.param("9" * 5000, 2**63 - 1, id="long"),
    ],
)
def test_signed_numbers_are_in_c_notation(text: str, number: int) -> None:
    assert Integer(minimum=1).parse(text) == number


@pytest.mark.parametrize(
    "text", ["08", "09", "0x", "0b1", "0", "-3", "-0x5", pytest.param("-" + "9" * 5000, id="long")]
)
def test_signed_numbers_below_their_range(text: str) -> None:
    """An 8 after a leading 0 is no octal digit, so the number is 0."""
    with pytest.raises(BadValueError) as caught:
        Integer(minimum=1).parse(text)
    assert str(caught.value) == f"underflow: {text}"


@pytest.mark.parametrize("text", ["", " ", "x", "+", "-", "--5", "+ 5", "\0", "٣"])
def test_what_is_no_number(text: str) -> None:
    """Digits of other scripts are no digits either."""
    for kind in (Integer(minimum=-1), Unsigned(minimum=0)):
        with pytest.raises(BadValueError) as caught:
            kind.parse(text)
        assert str(caught.value) == text


@pytest.mark.parametrize(("text", "number"), [("08", 8), (" +4096 z", 4096), ("010", 10)])
def test_unsigned_numbers_are_decimal(text: str, number: int) -> None:
    assert Unsigned(minimum=1).parse(text) == number


@pytest.mark.parametrize(
    ("text", "why"),
    [("-1", "-1"), (" -5", " -5"), ("0x2000", "underflow: 0x2000"), ("9", "overflow: 9")],
)
def test_unsigned_numbers_that_are_refused(text: str, why: str) -> None:
    with pytest.raises(BadValueError) as caught:
        Unsigned(minimum=1, maximum=8).parse(text)
    assert str(caught.value) == why


@pytest.mark.parametrize(("text", "port"), [("104", 104), ("08", 8), (" 7", 7), ("+5x", 5)])
def test_ports(text: str, port: int) -> None:
    assert parse_port(text) == port


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "underflow"),
        ("-0", "underflow"),
        ("0x50", "underflow"),
        ("65536", "overflow"),
        ("-5", "overflow"),
        pytest.param("9" * 5000, "overflow", id="long"),
        ("", ""),
        ("-", ""),
        ("http", ""),
    ],
)
def test_ports_that_are_refused(text: str, why: str) -> None:
    """-5 is an overflow because a minus sign wraps in C."""
    with pytest.raises(BadValueError) as caught:
        parse_port(text)
    assert str(caught.value) == why


def test_words_are_compared_in_any_case() -> None:
    assert Word(words=("info",), complaint="no").parse("INFO") == "info"
    with pytest.raises(BadValueError):
        Word(words=("info",), complaint="no").parse("information")


def test_texts_may_be_empty() -> None:
    assert Text().parse("") == ""


@pytest.mark.parametrize("name", ["help", "-", "-5", "+1", ""])
def test_a_spelling_must_be_one_that_the_grammar_sees(name: str) -> None:
    with pytest.raises(ValueError, match="spelling"):
        Option(field="f", names=(name,), summary="s")
