"""The command line of show: a recording, or a packet capture, in the standard's words."""

from __future__ import annotations

from dcmfast.options.defs import general
from dcmfast.options.option import FrontEnd, Option, Parameter, Unsigned, group

JSON = Option(
    field="json",
    names=("--json",),
    summary="as JSON, one object a line for each event and element",
    source="dcmfast",
)
NO_DATA_SETS = Option(
    field="no_data_sets",
    names=("--no-data-sets",),
    summary="without the elements of data sets",
    source="dcmfast",
)
ASSOCIATION = Option(
    field="association",
    names=("--association",),
    summary="[n]umber: integer (1..1000000000)\nonly this one",
    values=(Unsigned(minimum=1, maximum=1_000_000_000),),
    source="dcmfast",
)

SHOW = FrontEnd(
    tool="show",
    description="show what was recorded",
    parameters=(
        Parameter(
            name="recording-in",
            summary=(
                "recording, made by record\n"
                "exit code: 0 it is shown, also where its end is\n"
                "missing, which is told; 1 it cannot be shown;\n"
                "2 a part of it is damaged and left out"
            ),
        ),
    ),
    long_column=22,
    is_dcmtks=False,
    groups=(
        group(
            "general options",
            general.HELP,
            general.VERSION,
            general.QUIET,
            general.VERBOSE,
            general.DEBUG,
            general.LOG_LEVEL,
        ),
        group("output options", JSON, NO_DATA_SETS, ASSOCIATION),
    ),
    checks=("verbosity", "log_level", "json", "no_data_sets", "association"),
)
