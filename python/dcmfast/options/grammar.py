"""DCMTK's command line: splitting arguments, choosing among options, checking in its order.

Reproduces the running programs: which arguments are options, which of several wins, which check
comes first, and what the message says.  `tests/compat/test_command_lines.py` holds it against them.
Knows no option by name but the logging ones, which every tool has.
"""

from __future__ import annotations

from dcmfast.errors import CommandLineError, DcmfastError
from dcmfast.options import command_file
from dcmfast.options.option import (
    PORT,
    BadValueError,
    Condition,
    FrontEnd,
    Option,
    Word,
    in_force,
    parse_port,
)
from dcmfast.options.parsed import Chosen, ParsedOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

#: Level of each answer to the field "verbosity".
_LEVELS = {"quiet": "fatal", "verbose": "info", "very-verbose": "info", "debug": "debug"}
#: Without any option of the logger.
DEFAULT_LOG_LEVEL = "warn"
#: Which of several exclusive options wins, wherever they stand.
_EXCLUSIVE_ORDER = ("--help", "--version", "--list-ciphers", "--list-decoders")


class _Typed:
    """An occurrence of an option, with its values as text."""

    __slots__ = ("option", "values")

    def __init__(self, option: Option, values: list[str]) -> None:
        self.option = option
        self.values = values


def parse(
    front_end: FrontEnd,
    arguments: list[str],
    *,
    program: str | None = None,
    reached: Mapping[str, Callable[..., str | None]] | None = None,
) -> ParsedOptions:
    """Read a command line.

    Parameters
    ----------
    front_end
        The tool's options and the order of their checks.
    arguments
        Everything behind the program's name.
    program
        Its name as typed, for ``--arguments``; None takes the tool's.
    reached
        Functions by field, called with the option's values once its checks have passed and before
        those of later fields: storescp reads the profile there.  For a repeatable option once an
        occurrence, in the order typed.  What the one for ``log_config``
        returns is the level in force.

    Returns
    -------
    ParsedOptions
        With `exclusive` set, nothing but that option and the parameters was looked at; without any
        argument it is ``--help``.

    Raises
    ------
    CommandLineError
        The first check that failed.
    """
    arguments = command_file.expand(arguments)
    typed, parameters = _split(front_end, arguments)
    if not arguments and not front_end.starts_bare:
        return _exclusive(front_end, "--help", parameters)
    for name in _EXCLUSIVE_ORDER:
        if any(one.option.exclusive and one.option.long == name for one in typed):
            return _exclusive(front_end, name, parameters)
    if not any(one.option.stands_alone for one in typed):
        _check_count(front_end, parameters)
    line = _arguments_line(program or front_end.tool, typed, arguments)
    return _Checks(front_end, typed, parameters, line).run(reached or {})


def _split(front_end: FrontEnd, arguments: list[str]) -> tuple[list[_Typed], list[str]]:
    """Tell options, their values and parameters apart; stop at the first fault."""
    by_name = {
        name: option for option in front_end.options() for name in option.names + option.aliases
    }
    typed: list[_Typed] = []
    parameters: list[str] = []
    at = 0
    while at < len(arguments):
        argument = arguments[at]
        at += 1
        if not is_option(argument):
            parameters.append(argument)
            continue
        option = by_name.get(argument)
        if option is None:
            raise CommandLineError(f"Unknown option {argument}")
        count = len(option.values)
        values = arguments[at : at + count]
        at += count
        if len(values) < count:
            raise CommandLineError(f"Missing value for option {option.long}")
        typed.append(_Typed(option, values))
    return typed, parameters


def is_option(argument: str) -> bool:
    """Return True for an argument that is an option by its form, known or not."""
    return len(argument) >= 2 and argument[0] in "-+" and argument[1] not in "0123456789"


def _check_count(front_end: FrontEnd, given: list[str]) -> None:
    """Compare the number of parameters with what the tool takes."""
    for at, parameter in enumerate(front_end.parameters):
        if parameter.required and at >= len(given):
            raise CommandLineError(f"Missing parameter {parameter.name}")
    takes_many = any(parameter.many for parameter in front_end.parameters)
    if len(given) > len(front_end.parameters) and not takes_many:
        raise CommandLineError("Too many parameters")


def _arguments_line(program: str, typed: list[_Typed], arguments: list[str]) -> str:
    """Return the text of ``--arguments``: long spellings, command files expanded."""
    # Occurrences are in the order typed, so the options can be renamed one after the other.
    rest = iter(typed)
    shown: list[str] = []
    values_left = 0
    for argument in arguments:
        if values_left:
            values_left -= 1
        elif is_option(argument):
            option = next(rest).option
            values_left = len(option.values)
            argument = option.long
        shown.append(f"'{argument}' ")
    return f"calling '{program}' with {len(arguments)} arguments: {''.join(shown)}\n"


def _exclusive(front_end: FrontEnd, name: str, parameters: list[str]) -> ParsedOptions:
    unavailable = tuple(
        option.long
        for option in front_end.options()
        if option.long == name and not option.available
    )
    return ParsedOptions(
        front_end=front_end,
        chosen={},
        parameters=tuple(parameters),
        port=None,
        exclusive=name,
        arguments_line=None,
        log_level=DEFAULT_LOG_LEVEL,
        log_table=None,
        unavailable=unavailable,
    )


class _Checks:
    """One walk over the checks; holds what is in force so far."""

    def __init__(
        self, front_end: FrontEnd, typed: list[_Typed], parameters: list[str], line: str
    ) -> None:
        self.front_end = front_end
        self.typed = typed
        self.parameters = parameters
        self.line = line
        self.stands_alone = any(one.option.stands_alone for one in typed)
        self.chosen: dict[str, Chosen] = {}
        self.port: int | None = None
        self.log_level = DEFAULT_LOG_LEVEL
        # The level is in force, and --arguments acted on, once the logging options were looked at.
        self.is_logging = False
        self.is_line_wanted = any(one.option.long == "--arguments" for one in typed)
        # A default is in force as long as nothing of its field was typed.
        self.defaults = {
            option.long: option.field for option in front_end.options() if option.default is True
        }

    def run(self, reached: Mapping[str, Callable[..., str | None]]) -> ParsedOptions:
        by_field: dict[str, list[Option]] = {}
        for option in self.front_end.options():
            by_field.setdefault(option.field, []).append(option)
        typed_fields = {one.option.field for one in self.typed}
        try:
            for check in self.front_end.checks:
                if check == PORT:
                    self._check_port()
                    continue
                if isinstance(check, str):
                    field, options = check, by_field[check]
                else:
                    field, options = self._reordered(check)
                if field in typed_fields:
                    self._check_field(field, options)
                    if field in reached:
                        chosen = self.chosen[field]
                        every = chosen.all_values if chosen.option.repeatable else ()
                        for values in every[:-1]:
                            reached[field](*values)
                        level = reached[field](*chosen.values)
                        if field == "log_config" and level is not None:
                            self.log_level = level
                if field == "log_config":
                    self.is_logging = True
        except DcmfastError as error:
            error.log_level = self.log_level
            error.arguments_line = self._line()
            # From here on the standard streams are given up: they are the association.
            error.is_discarded = "inetd" in typed_fields
            raise
        return ParsedOptions(
            front_end=self.front_end,
            chosen=self.chosen,
            parameters=tuple(self.parameters),
            port=self.port,
            exclusive="",
            arguments_line=self._line(),
            log_level=self.log_level,
            log_table=None,
            unavailable=tuple(
                chosen.option.long for chosen in self.chosen.values() if not chosen.option.available
            ),
        )

    def _line(self) -> str | None:
        return self.line if self.is_line_wanted and self.is_logging else None

    def _reordered(self, names: tuple[str, ...]) -> tuple[str, list[Option]]:
        by_long = {option.long: option for option in self.front_end.options()}
        options = [by_long[name] for name in names]
        return options[0].field, options

    def _check_field(self, field: str, options: list[Option]) -> None:
        """Look at the field's options in this order; a later one counts if it stands further right.

        The overridden ones are checked as well, if they come first in the order: so do DCMTK's.
        """
        rightmost = -1
        taken: tuple[str, ...] = ()
        for option in options:
            places = [at for at, one in enumerate(self.typed) if one.option is option]
            if not places or places[-1] < rightmost:
                continue
            rightmost = places[-1]
            self._check_company(option)
            occurrences = places if option.repeatable else places[-1:]
            all_values = tuple(self._values(option, self.typed[at].values) for at in occurrences)
            taken += (option.choice,)
            self.chosen[field] = Chosen(
                option=option, values=all_values[-1], all_values=all_values, taken=taken
            )
            self._note_level(option)

    def _check_company(self, option: Option) -> None:
        for condition in option.conflicts:
            if self._holds(condition):
                self._fail(f"{option.long} not allowed with {condition.text}")
        for condition in option.needs:
            if not self._holds(condition):
                name = option.blamed or option.long
                self._fail(f"{name} only allowed with {condition.text}")
        joint = option.joint
        if joint is not None and all(self._holds(in_force(one)) for one in joint.others):
            self._fail(joint.complaint)

    def _holds(self, condition: Condition) -> bool:
        for chosen in self.chosen.values():
            long = chosen.option.long
            if long in condition.any_of:
                return True
            # A logger configuration answers with the level that it puts in force.
            values = chosen.values if chosen.option.field != "log_config" else (self.log_level,)
            if values and f"{long}={values[0]}" in condition.any_of:
                return True
        return any(
            name in self.defaults and self.defaults[name] not in self.chosen
            for name in condition.any_of
        )

    def _values(self, option: Option, texts: list[str]) -> tuple[str | int, ...]:
        values: list[str | int] = []
        for value, text in zip(option.values, texts, strict=True):
            try:
                values.append(value.parse(text))
            except BadValueError as bad:
                if isinstance(value, Word):
                    self._fail(value.complaint)
                # An empty value leaves DCMTK nothing to show.
                self._fail(
                    f"Invalid value for option {option.long}" + (f" ({bad})" if text else "")
                )
        return tuple(values)

    def _note_level(self, option: Option) -> None:
        if option.field == "verbosity":
            self.log_level = _LEVELS[option.choice]
        elif option.field == "log_level":
            level = str(self.chosen["log_level"].values[0])
            self.log_level = "trace" if level == "all" else level

    def _check_port(self) -> None:
        at = next(
            (i for i, one in enumerate(self.front_end.parameters) if one.name == "port"), None
        )
        if at is None:
            return
        if at >= len(self.parameters) and not self.stands_alone:
            # An archive's port stands in its configuration; inetd's association comes without any.
            if not self.front_end.starts_bare and "inetd" not in self.chosen:
                self._fail("Missing parameter port")
            return
        if "inetd" in self.chosen or self.stands_alone:
            # As DCMTK's program: not looked at.
            return
        text = self.parameters[at]
        try:
            self.port = parse_port(text)
        except BadValueError as bad:
            suffix = f" ({bad})" if str(bad) else ""
            self._fail(f"Invalid parameter value {text}{suffix}")

    def _fail(self, text: str) -> NoReturn:
        is_silent = self.is_logging and self.log_level in ("fatal", "off")
        raise CommandLineError(text, is_silent=is_silent)
