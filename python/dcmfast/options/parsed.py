"""What was typed: the outcome of reading a command line.

Touches nothing outside the process.  What will be done about it is `settings`' business.
"""

from __future__ import annotations

from dcmfast.options.option import FrontEnd, Option
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.config.log_cfg import LogTable


class Chosen(Record):
    """The option that answers a field, with its values if it has any.

    `values` are those of the rightmost occurrence; `all_values` those of every occurrence.
    """

    option: Option
    values: tuple[str | int, ...]
    all_values: tuple[tuple[str | int, ...], ...]
    #: The choice of each option of the field that stood further right than those listed before
    #: it; the last is `option`'s.  The others count where options add up (``-ZA -ZH``).
    taken: tuple[str, ...] = ()


class ParsedOptions(Record):
    """A command line that passed every check, asked by field.

    A field that was not typed answers with its default.  Asking for a field that the front end does
    not have is a mistake of the caller: KeyError.
    """

    front_end: FrontEnd
    #: In order of fields; what was typed and not overridden further right.
    chosen: dict[str, Chosen]
    #: Parameters in order; the port is a number in `port`.
    parameters: tuple[str, ...]
    port: int | None
    #: ``--help``, ``--version`` …: the exclusive option that was typed, which ends the program.
    exclusive: str
    #: The text of ``--arguments``, or None without that option.
    arguments_line: str | None
    #: fatal, error, warn, info, debug, trace or off.
    log_level: str
    #: What ``--log-config`` or ``--log-json`` make of the log; None for lines on stderr.
    log_table: LogTable | None
    #: Typed options that are still to come, in the order of the checks.
    unavailable: tuple[str, ...]

    def __hash__(self) -> int:
        return id(self)

    def choice(self, field: str) -> str:
        """Return which of the field's options is in force, by its `choice`."""
        if field in self.chosen:
            return self.chosen[field].option.choice
        for option in self._options(field):
            if option.default is True:
                return option.choice
        raise KeyError(f"{field} has no default")

    def taken(self, field: str) -> tuple[str, ...]:
        """Return the choices of a field whose options add up; nothing if none was typed."""
        self._options(field)
        return self.chosen[field].taken if field in self.chosen else ()

    def flag(self, field: str) -> bool:
        """Return True if the option was typed."""
        self._options(field)
        return field in self.chosen

    def text(self, field: str) -> str:
        """Return the text typed, or the default."""
        value = self._value(field)
        if not isinstance(value, str):
            raise TypeError(f"{field} is not a text")
        return value

    def number(self, field: str) -> int | None:
        """Return the number typed, or the default, which may be None."""
        value = self._value(field)
        if isinstance(value, str) or value is True:
            raise TypeError(f"{field} is not a number")
        return value

    def values(self, field: str) -> tuple[str | int, ...]:
        """Return all values of the rightmost occurrence; nothing if it was not typed."""
        self._options(field)
        return self.chosen[field].values if field in self.chosen else ()

    def all_values(self, field: str) -> tuple[tuple[str | int, ...], ...]:
        """Return the values of every occurrence, in the order typed."""
        self._options(field)
        return self.chosen[field].all_values if field in self.chosen else ()

    def _value(self, field: str) -> str | int | None:
        # An option without a value (-uca) leaves the field's text at its default.
        if field in self.chosen and self.chosen[field].values:
            return self.chosen[field].values[0]
        return self._options(field)[0].default

    def _options(self, field: str) -> list[Option]:
        options = [option for option in self.front_end.options() if option.field == field]
        if not options:
            raise KeyError(f"{self.front_end.tool} has no option for {field}")
        return options
