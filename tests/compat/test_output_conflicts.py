"""Options that exclude or need each other: DCMTK's sentence and exit code for every such pair.

The pairs are those that our own tables state (`dcmfast.options.defs`), each with every option that
it names, so that a conflict that DCMTK does not have would be found; and a share of all other pairs
of options, so that one which it has and we have not would be.  A pair is typed in one order, which
changes from pair to pair: what is checked first is the tool's affair, not the typist's.
"""

from __future__ import annotations

import itertools
import random

import pytest

from dcmfast.options.option import Option
from testkit.command_lines import FRONT_ENDS, base, compare, instances

pytestmark = [pytest.mark.dcmtk, pytest.mark.usefixtures("elsewhere")]

TOOLS = [tool for tool, front_end in FRONT_ENDS.items() if front_end.is_dcmtks]
#: Of the pairs without a word in our tables, so many of each tool.
UNRELATED = 24


def typed(option: Option) -> list[str]:
    """The option with good values; nothing if DCMTK does not have it."""
    return next(iter(instances(option, is_bad_asked=False)), [])


def related(tool: str) -> list[tuple[Option, Option]]:
    """Each option with every other that it excludes or needs."""
    options = {option.long: option for option in FRONT_ENDS[tool].options()}
    found = []
    for option in options.values():
        for condition in (*option.conflicts, *option.needs):
            others = (options.get(name) for name in condition.any_of)
            found += [(option, other) for other in others if other is not None]
    return found


def unrelated(tool: str) -> list[tuple[Option, Option]]:
    """Some pairs of options that have nothing to do with each other, always the same."""
    known = {frozenset((one.long, other.long)) for one, other in related(tool)}
    every = [
        pair
        for pair in itertools.combinations(FRONT_ENDS[tool].options(), 2)
        if frozenset((pair[0].long, pair[1].long)) not in known and all(map(typed, pair))
    ]
    return random.Random(tool).sample(every, min(UNRELATED, len(every)))


def lines(tool: str, pairs: list[tuple[Option, Option]]) -> list[tuple[str, list[str]]]:
    """Command lines of the pairs, without those of which DCMTK has not both options."""
    found = []
    for number, (one, other) in enumerate(pairs):
        first, second = typed(one), typed(other)
        if first and second:
            found.append((tool, first + second if number % 2 else second + first))
    return found


def names(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [line for tool in TOOLS for line in lines(tool, related(tool))],
    ids=names,
)
def test_options_that_exclude_or_need_each_other(
    tool: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    compare(tool, [*base(tool), *arguments], capsys)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [line for tool in TOOLS for line in lines(tool, unrelated(tool))],
    ids=names,
)
def test_options_that_have_nothing_to_do_with_each_other(
    tool: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    compare(tool, [*base(tool), *arguments], capsys)


@pytest.mark.parametrize(
    ("tool", "option", "other"),
    [
        ("storescp", "--write-xfer-little", "--prefer-rle"),
        ("dcmrecv", "--series-date-subdir", "--bit-preserving"),
        ("dcmqrscp", "--padding-create", "--write-dataset"),
        ("movescu", "--output-directory", "--port"),
        ("getscu", "--normal", "--ignore"),
    ],
)
def test_the_tables_have_the_pairs(tool: str, option: str, other: str) -> None:
    """A table that lost its conditions would leave the tests above with nothing to do."""
    pairs = {frozenset((one.long, two.long)) for one, two in related(tool)}
    assert frozenset((option, other)) in pairs
