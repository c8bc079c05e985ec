"""The command line of replay: one side of a recording, played against a peer."""

from __future__ import annotations

from dcmfast.options.defs import general, network, recording
from dcmfast.options.option import FrontEnd, Option, Parameter, Text, Unsigned, group

#: What may differ, and whether it is compared unless something else is typed; the engine's words.
ASPECTS = {
    "titles": False,
    "maximum-length": False,
    "implementation": False,
    "message-ids": False,
    "comments": False,
    "uids": True,
    "counters": True,
    "dates": True,
    "data-sets": True,
}

IGNORE = Option(
    field="ignore_aspects",
    names=("--ignore",),
    summary=(
        "[w]ords: string, with commas between them\n"
        "differences that are none: uids, counters (numbers of\n"
        "sub-operations), dates, data-sets"
    ),
    values=(Text(),),
    source="dcmfast",
)
COMPARE = Option(
    field="compare_aspects",
    names=("--compare",),
    summary=(
        "[w]ords: string, with commas between them\n"
        "what is compared as well: titles, maximum-length,\n"
        "implementation, message-ids, comments"
    ),
    values=(Text(),),
    source="dcmfast",
)
EVENT_TIMEOUT = Option(
    field="event_timeout_s",
    names=("--event-timeout", "-te"),
    summary="[s]econds: integer (1..86400, default: 30)\nhow long an event of the peer is awaited",
    values=(Unsigned(minimum=1, maximum=86_400),),
    default=30,
    source="dcmfast",
)
REAL_TIME = Option(
    field="speed",
    names=("--real-time",),
    summary=(
        "[s]peed: number (0.001..1000)\n"
        "keep the recorded times: 1 as they were, 2 twice as\n"
        "fast. Without it as fast as the peer answers"
    ),
    values=(Text(),),
    source="dcmfast",
)
JSON = Option(
    field="json",
    names=("--json",),
    summary="tell the outcome as JSON, one object in one line",
    source="dcmfast",
)
AETITLE = network.AETITLE.replace(
    summary="[a]etitle: string\nmy calling AE title, in place of the recorded one",
    default=None,
)
CALL = network.CALL.replace(
    summary="[a]etitle: string\ncalled AE title of peer, in place of the recorded one",
    default=None,
)

REPLAY = FrontEnd(
    tool="replay",
    description="play one side of a recording, find the first difference",
    parameters=(
        Parameter(
            name="side",
            summary=(
                "requestor  send what the association requestor sent,\n"
                "           to a peer\n"
                "acceptor   answer as the acceptor did, whoever comes;\n"
                "           of several at once each by what it asks\n"
                "exit code: 0 all events matched; 1 it could not be\n"
                "played; 2 there is a difference"
            ),
        ),
        Parameter(name="recording-in", summary="recording, made by record, or packet capture"),
        Parameter(
            name="peer", summary="hostname of DICOM peer; of acceptor, the port to\nlisten on"
        ),
        Parameter(
            name="port", summary="tcp/ip port number of peer; not of acceptor", required=False
        ),
    ),
    long_column=22,
    is_dcmtks=False,
    groups=(
        group("general options", *general.COMMON_OF_OURS),
        group(
            "network options",
            recording.BIND,
            AETITLE,
            CALL,
            recording.CONNECT_TIMEOUT,
            EVENT_TIMEOUT,
        ),
        group("replay options", recording.ASSOCIATION, IGNORE, COMPARE, REAL_TIME),
        group("output options", JSON),
    ),
    checks=(
        "verbosity",
        "log_level",
        "bind",
        *network.TITLE_CHECKS,
        "connection_timeout_s",
        "event_timeout_s",
        "association",
        "ignore_aspects",
        "compare_aspects",
        "speed",
        "json",
    ),
)
