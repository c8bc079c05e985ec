"""dcmconv: write a file in another encoding.

The lines and the exit codes are those of DCMTK 3.6.7, as run.
"""

from __future__ import annotations

import os

from dcmfast.apps import frame
from dcmfast.errors import FileConversionError
from dcmfast.observe.logs import Log
from dcmfast.options import conversion_settings
from dcmfast.options.conversion_settings import ConversionSettings
from dcmfast.options.specs.dcmconv import DCMCONV


def main(arguments: list[str]) -> int:
    """Run dcmconv with the arguments behind its name; return the exit code."""
    return frame.main(DCMCONV, conversion_settings.dcmconv, _run, arguments)


def _run(what: ConversionSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.dataset.rewriting import rewrite_as
    from dcmfast.net import dictionaries

    log = Log(what.log_level, tool="dcmconv", table=what.log_table)
    if what.arguments_line is not None:
        log.line_at_any_level(what.arguments_line)
    log.banner()
    dictionaries.use(what, log)
    if not what.source:
        raise FileConversionError(("F", "invalid filename: <empty string>"))
    log.line("I", f"open input file {what.source}")
    try:
        done = rewrite_as(
            what.source,
            what.target,
            what.output_encoding,
            file_meta=what.file_meta,
            source_format=what.source_format,
            source_transfer_syntax=what.source_transfer_syntax,
        )
    except OSError as error:
        # The engine's error names no file.
        is_target = os.access(what.source, os.R_OK)
        doing, name = ("writing", what.target) if is_target else ("reading", what.source)
        raise FileConversionError(("F", f"{error.strerror}: {doing} file: {name}")) from None
    except ValueError as error:
        raise FileConversionError(("F", _refusal(str(error), what))) from None
    for oddity in done.oddities:
        log.line("W", oddity, logger="dcmtk.dcmdata")
    log.line("I", f"create output file {what.target}")
    log.line("I", "conversion successful")
    return 0


#: DCMTK's names of what a file may become.
_NAMES = {
    "1.2.840.10008.1.2": "Little Endian Implicit",
    "1.2.840.10008.1.2.1": "Little Endian Explicit",
    "1.2.840.10008.1.2.2": "Big Endian Explicit",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
}


def _refusal(text: str, what: ConversionSettings) -> str:
    """Return the line for a file that the engine refuses; compressed pixels have their own."""
    name = _NAMES.get(what.output_encoding.transfer_syntax)
    if name is not None and text.startswith("no way from "):
        return f"no conversion to transfer syntax {name} possible!"
    return f"{text}: processing file: {what.source}"
