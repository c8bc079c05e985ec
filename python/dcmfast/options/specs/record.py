"""The command line of record: a proxy that writes down what passes."""

from __future__ import annotations

from dcmfast.options.defs import general, recording
from dcmfast.options.option import FrontEnd, Option, Parameter, Text, Unsigned, group

CONNECTIONS_MAX = Option(
    field="connections_max",
    names=("--max-associations",),
    summary="[n]umber: integer (1..4096, default: 512)\nat once; further connections are reset",
    values=(Unsigned(minimum=1, maximum=4096),),
    default=512,
    source="dcmfast",
)
COUNT = Option(
    field="count",
    names=("--count", "-n"),
    summary="[n]umber: integer (1..1000000)\nend after so many connections",
    values=(Unsigned(minimum=1, maximum=1_000_000),),
    source="dcmfast",
)
MAX_SIZE = Option(
    field="max_size",
    names=("--max-size",),
    summary=(
        "[b]ytes: integer, with K, M or G behind it (default: 1G)\n"
        "a recording ends there; what comes then is passed\n"
        "on and not recorded, and the exit code is 2"
    ),
    values=(Text(),),
    default="1G",
    source="dcmfast",
)
RECORD = FrontEnd(
    tool="record",
    description="record what passes between two peers",
    parameters=(
        Parameter(name="recording-out", summary="file to be made; only its owner may read it"),
        Parameter(name="listen", summary="tcp/ip port number to listen on; 0 takes a free one"),
        Parameter(name="peer", summary="hostname of the DICOM peer to pass everything on to"),
        Parameter(
            name="peer-port",
            summary=(
                "tcp/ip port number of that peer\n"
                "TLS passes as it is: it is recorded, and cannot be read.\n"
                "exit code: 0 stopped by a signal, or by --count;\n"
                "1 it could not begin; 2 the recording is not whole"
            ),
        ),
    ),
    long_column=22,
    is_dcmtks=False,
    groups=(
        group(
            "general options",
            *general.COMMON_OF_OURS,
            general.LOG_CONFIG,
            general.LOG_JSON,
        ),
        group(
            "network options",
            recording.BIND.replace(
                summary=recording.BIND.summary
                + ". Whoever can reach it\nreaches the peer through it",
            ),
            recording.CONNECT_TIMEOUT,
            CONNECTIONS_MAX,
            COUNT,
        ),
        group("recording options", MAX_SIZE, recording.OVERWRITE),
        group(
            "privacy options",
            recording.LEAVE_OUT_DATA_SETS,
            recording.REPLACE_DATA_SETS,
            recording.MASK_NAMES,
        ),
    ),
    checks=(
        "verbosity",
        "log_level",
        "log_config",
        "log_json",
        "bind",
        "connection_timeout_s",
        "connections_max",
        "count",
        "max_size",
        "overwrite",
        "data_sets",
        "mask_names",
    ),
)
