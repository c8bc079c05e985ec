"""The records that a command line is described with: options, their values, groups, front ends.

One record holds everything about one option, so that parsing, help, manual page, completion and
tests cannot disagree.  Nothing here parses a command line (`grammar`) or knows an option (`defs`).
The numbers are read as DCMTK reads them, which is as C's ``sscanf`` does.
"""

from __future__ import annotations

from dcmfast.types import Record

#: What C's long can hold; larger numbers saturate there, and the range check decides.
_LONG_MAX = 2**63 - 1
_BLANKS = " \t\n\v\f\r"


class BadValueError(Exception):
    """A value that the option cannot take; the text is what DCMTK puts between parentheses."""


class Text(Record):
    """Any text, the empty one too."""

    def parse(self, text: str) -> str:
        """Return `text` as it is."""
        return text


class Word(Record):
    """One of a few words, in any case.

    `complaint` is the whole message: DCMTK has its own wording for each such option.
    """

    words: tuple[str, ...]
    complaint: str

    def parse(self, text: str) -> str:
        """Return the word in lower case."""
        word = text.lower()
        if word not in self.words:
            raise BadValueError(text)
        return word


class Integer(Record):
    """A signed number in C's notation: 0x10 is 16, 010 is 8, and 08 is 0 with a tail ignored."""

    minimum: int
    maximum: int = _LONG_MAX

    def parse(self, text: str) -> int:
        """Return the number, or raise `BadValueError`."""
        return _within(_scan(text, any_base=True), text, self.minimum, self.maximum)


class Unsigned(Record):
    """An unsigned decimal number; a minus sign is no number at all."""

    minimum: int
    maximum: int = _LONG_MAX

    def parse(self, text: str) -> int:
        """Return the number, or raise `BadValueError`."""
        if text.lstrip(_BLANKS).startswith("-"):
            raise BadValueError(text)
        return _within(_scan(text, any_base=False), text, self.minimum, self.maximum)


Value = Text | Word | Integer | Unsigned


def _scan(text: str, *, any_base: bool) -> int | None:
    """Read the number at the start of `text` as sscanf does; None if there is none."""
    rest = text.lstrip(_BLANKS)
    negative = rest[:1] == "-"
    if rest[:1] in ("-", "+"):
        rest = rest[1:]
    digits = "0123456789"
    base = 10
    if any_base and rest[:2] in ("0x", "0X"):
        # "0x" without a digit behind it reads as 0, as sscanf of glibc does.
        digits, base, rest = "0123456789abcdefABCDEF", 16, rest[2:] or "0"
    elif any_base and rest[:1] == "0":
        digits, base = "01234567", 8
    length = 0
    while length < len(rest) and rest[length] in digits:
        length += 1
    if not length:
        return 0 if base == 16 else None
    # 32 digits say as much as 4000: far more than a long holds, and Python limits the latter.
    number = int(rest[:length].lstrip("0")[:32] or "0", base)
    number = min(number, _LONG_MAX)
    return -number if negative else number


def leading_number(text: str) -> int | None:
    """Return the decimal number that `text` begins with, as sscanf reads it; None for none."""
    return _scan(text, any_base=False)


def _within(number: int | None, text: str, minimum: int, maximum: int) -> int:
    """Compare `number` with its range; the message repeats `text` as it was typed."""
    if number is None:
        raise BadValueError(text)
    if number < minimum:
        raise BadValueError(f"underflow: {text}")
    if number > maximum:
        raise BadValueError(f"overflow: {text}")
    return number


def parse_port(text: str) -> int:
    """Read a port parameter, 1 to 65535, or raise `BadValueError` with DCMTK's suffix.

    A minus sign wraps to a huge number here, as it does in C; that is why -5 is an overflow.
    """
    number = _scan(text, any_base=False)
    if number is None:
        raise BadValueError("")
    if number == 0:
        raise BadValueError("underflow")
    if not 0 < number <= 65535:
        raise BadValueError("overflow")
    return number


class Condition(Record):
    """Something that is in force: any of some options, or a value of one.

    `any_of` names options by their long spelling; ``--log-level=info`` means that option with that
    value.  `text` is how DCMTK's message calls the condition.
    """

    text: str
    any_of: tuple[str, ...]


def in_force(long_name: str) -> Condition:
    """Return the condition that one option is in force, called by its name."""
    return Condition(text=long_name, any_of=(long_name,))


def all_in_force(*long_names: str) -> tuple[Condition, ...]:
    """Return one condition for each option, in this order."""
    return tuple(in_force(name) for name in long_names)


class Joint(Record):
    """Options that are fine one by one, but not all together."""

    #: The others, by their long spelling.
    others: tuple[str, ...]
    #: The whole message.
    complaint: str


class Option(Record):
    """One option of one front end.

    Options with the same `field` answer the same question and exclude each other: the rightmost
    one on the command line counts.  `choice` is this option's answer; an option with values
    answers with these instead, or as well.
    """

    #: The question that the option answers; `ParsedOptions` is asked by this name.
    field: str
    #: Long spelling first, then the short one, if there is one.
    names: tuple[str, ...]
    #: What ``--help`` prints, line by line; with a value, the first line describes it.
    summary: str
    choice: str = ""
    values: tuple[Value, ...] = ()
    #: Used when the option is not typed; for an option without values, True marks the default.
    default: str | int | bool | None = None
    #: In force at the same time as one of these: ``<long> not allowed with <text>``.
    conflicts: tuple[Condition, ...] = ()
    #: None of these in force: ``<long> only allowed with <text>``.
    needs: tuple[Condition, ...] = ()
    #: All of these in force: its complaint.
    joint: Joint | None = None
    #: The name that messages about `needs` use, where DCMTK's differ from the option's own.
    blamed: str = ""
    #: Further spellings, from storescp's manual page of 1998.
    aliases: tuple[str, ...] = ()
    #: Every occurrence counts, not only the rightmost.
    repeatable: bool = False
    #: Ends the checks: ``--help`` and its kind.
    exclusive: bool = False
    #: With it no parameter is asked for or looked at.
    stands_alone: bool = False
    #: False: checked like any other, then refused with one line.
    available: bool = True
    #: Where the option, or its default, comes from.
    source: str = "DCMTK"

    def validate(self) -> None:
        """Check the spellings."""
        for name in self.names + self.aliases:
            if len(name) < 2 or name[0] not in "-+" or name[1].isdigit():
                raise ValueError(f"not the spelling of an option: {name!r}")

    @property
    def long(self) -> str:
        """The long spelling, by which messages call the option."""
        return self.names[0]

    @property
    def short(self) -> str:
        """The short spelling, or nothing."""
        return self.names[1] if len(self.names) > 1 else ""


class Section(Record):
    """A subgroup of the usage text; without a title its options stand directly below the group."""

    title: str
    options: tuple[Option, ...]
    #: Width of the long spellings, where the section has its own (storescu's proposals).
    long_column: int = 0


class Group(Record):
    """A group of the usage text."""

    title: str
    sections: tuple[Section, ...]


def group(title: str, *options: Option) -> Group:
    """Return a group without subgroups."""
    return Group(title=title, sections=(Section(title="", options=options),))


class Parameter(Record):
    """A parameter of the command line, in its place."""

    name: str
    summary: str
    required: bool = True
    #: One or more, up to the end; only the last parameter can be so.
    many: bool = False


#: In `FrontEnd.checks`: the place at which the port parameter is checked.
PORT = "@port"


class FrontEnd(Record):
    """Everything about one tool's command line."""

    tool: str
    #: The line below the banner.
    description: str
    parameters: tuple[Parameter, ...]
    groups: tuple[Group, ...]
    #: Order of the checks, by field; `PORT` stands for the parameter.  A tuple of long spellings
    #: is one field whose options are looked at in another order than the usage text's.
    checks: tuple[str | tuple[str, ...], ...]
    #: Width of the long spellings in the usage text.
    long_column: int = 20
    #: Column in which they begin; DCMTK's is smaller where no short spelling is long.
    long_begins: int = 10
    #: Without any argument the tool starts; otherwise it prints its usage.
    starts_bare: bool = False
    #: DCMTK has a program of this name, which it is held against.
    is_dcmtks: bool = True

    def options(self) -> tuple[Option, ...]:
        """Return every option, in the order of the usage text."""
        return tuple(
            option
            for its_group in self.groups
            for section in its_group.sections
            for option in section.options
        )
