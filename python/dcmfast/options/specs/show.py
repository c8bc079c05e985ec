"""The command line of show: a recording, or a packet capture, in the standard's words."""

from __future__ import annotations

from dcmfast.options.defs import general, recording
from dcmfast.options.option import FrontEnd, Option, Parameter, Text, group, in_force

JSON = Option(
    field="json",
    names=("--json",),
    summary="as JSON, one object a line for each event and element",
    conflicts=(in_force("--write"),),
    source="dcmfast",
)
NO_DATA_SETS = Option(
    field="no_data_sets",
    names=("--no-data-sets",),
    summary="without the elements of data sets",
    conflicts=(in_force("--write"),),
    source="dcmfast",
)
WRITE = Option(
    field="write",
    names=("--write",),
    summary="[f]ilename: string\nshow nothing, write this recording instead",
    values=(Text(),),
    source="dcmfast",
)
_ONLY_WRITTEN = (in_force("--write"),)

SHOW = FrontEnd(
    tool="show",
    description="show what was recorded",
    parameters=(
        Parameter(
            name="recording-in",
            summary=(
                "recording, made by record, or packet capture (pcap,\n"
                "pcapng), whose associations are found at any port\n"
                "exit code: 0 it is shown, also where its end is\n"
                "missing, which is told; 1 it cannot be shown;\n"
                "2 a part of it is damaged and left out"
            ),
        ),
    ),
    long_column=22,
    is_dcmtks=False,
    groups=(
        group("general options", *general.COMMON_OF_OURS),
        group("output options", JSON, NO_DATA_SETS, recording.ASSOCIATION),
        group(
            "writing options",
            WRITE,
            *(
                option.replace(needs=_ONLY_WRITTEN)
                for option in (
                    recording.OVERWRITE,
                    recording.LEAVE_OUT_DATA_SETS,
                    recording.REPLACE_DATA_SETS,
                    recording.MASK_NAMES,
                )
            ),
        ),
    ),
    checks=(
        "verbosity",
        "log_level",
        "write",
        "json",
        "no_data_sets",
        "association",
        "overwrite",
        "data_sets",
        "mask_names",
    ),
)
