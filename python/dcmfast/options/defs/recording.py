"""Options of recordings that several tools share."""

from __future__ import annotations

from dcmfast.options.defs import network
from dcmfast.options.option import Option, Text, Unsigned

LEAVE_OUT_DATA_SETS = Option(
    field="data_sets",
    names=("--leave-out-data-sets",),
    summary="keep of data sets their lengths only",
    choice="leave-out",
    source="dcmfast",
)
REPLACE_DATA_SETS = Option(
    field="data_sets",
    names=("--replace-data-sets",),
    summary=(
        "replace every value of data sets by another of its\n"
        "length: text by X, numbers by 0, dates by 2000-01-01,\n"
        "pixels by black; instance UIDs by others, in commands\n"
        "as well"
    ),
    choice="replace",
    source="dcmfast",
)
MASK_NAMES = Option(
    field="mask_names",
    names=("--mask-names",),
    summary="replace AE titles by others, and leave out addresses",
    source="dcmfast",
)
OVERWRITE = Option(
    field="overwrite",
    names=("--overwrite",),
    summary="replace a file that is there already",
    source="dcmfast",
)
ASSOCIATION = Option(
    field="association",
    names=("--association",),
    summary="[n]umber: integer (1..1000000000)\nonly this one",
    values=(Unsigned(minimum=1, maximum=1_000_000_000),),
    source="dcmfast",
)
BIND = Option(
    field="bind",
    names=("--bind", "-b"),
    summary=(
        "[a]ddress: string (default: 127.0.0.1)\n"
        "address to listen on: 0.0.0.0 or :: for every\n"
        "one of this host"
    ),
    values=(Text(),),
    default="127.0.0.1",
    source="dcmfast",
)
CONNECT_TIMEOUT = network.TIMEOUT.replace(
    summary="[s]econds: integer (default: 30)\ntimeout for connecting to the peer",
    default=30,
)
