"""What dcmconv will do, made from what was typed.

Beside ``settings``, whose rules hold here too.
"""

from __future__ import annotations

import os

from dcmfast.options.encodings import output_encoding
from dcmfast.options.option import FrontEnd
from dcmfast.options.parsed import ParsedOptions
from dcmfast.options.settings import built, dictionary, parse, refuse_unavailable
from dcmfast.types import CONVERTIBLE_TRANSFER_SYNTAXES, OutputEncoding, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.config.dictionary import Dictionary
    from dcmfast.config.log_cfg import LogTable

_IMPLICIT, _LITTLE, _BIG, _ = CONVERTIBLE_TRANSFER_SYNTAXES
_SOURCES = {
    "auto": "",
    "detect": "detect",
    "little": _LITTLE,
    "big": _BIG,
    "implicit": _IMPLICIT,
}
_META = {"new-meta": "new", "file": "keep", "dataset": "none"}


class ConversionSettings(Record):
    """What dcmconv will do."""

    log_level: str
    #: The logger configuration; None for lines on stderr.
    log_table: LogTable | None
    arguments_line: str | None
    #: What ``DCMDICTPATH`` puts in the place of the built-in data dictionary.
    dictionary: Dictionary | None
    source: str
    target: str
    #: ``any``, ``file`` or ``dataset``.
    source_format: str
    #: A UID; empty for what the file says, ``detect`` for what it looks like.
    source_transfer_syntax: str
    #: ``new``, ``keep`` or ``none``.
    file_meta: str
    output_encoding: OutputEncoding


def dcmconv(front_end: FrontEnd, arguments: list[str]) -> ConversionSettings | ParsedOptions:
    """Read dcmconv's command line; `ParsedOptions` comes back for ``--help`` and its kind."""
    parsed = parse(front_end, arguments, {})
    if parsed.exclusive:
        return parsed

    def build() -> ConversionSettings:
        refuse_unavailable(parsed)
        return ConversionSettings(
            log_level=parsed.log_level,
            log_table=parsed.log_table,
            arguments_line=parsed.arguments_line,
            dictionary=dictionary(os.environ),
            source=parsed.parameters[0],
            target=parsed.parameters[1],
            source_format=parsed.choice("input_format"),
            source_transfer_syntax=_SOURCES[parsed.choice("input_transfer_syntax")],
            file_meta=_META[parsed.choice("file_format")],
            # A data set that is written alone keeps its padding, whatever the usage says (as run).
            output_encoding=output_encoding(parsed, deflates_anew=True),
        )

    return built(parsed, build)
