"""The command line of load: many operations against an archive, measured.

One command line with the command as its first parameter, as index has; `COMMANDS` says what each
takes.
"""

from __future__ import annotations

from dcmfast.options.defs import general, network, tls
from dcmfast.options.option import FrontEnd, Option, Parameter, Text, Unsigned, Word, group

YES_REMOTE = Option(
    field="yes_remote",
    names=("--yes-remote",),
    summary=(
        "load a peer on another host; without it only this\n"
        "host's loopback addresses are. Ask whose peer it is"
    ),
    source="dcmfast",
)
MIX = Option(
    field="mix",
    names=("--mix",),
    summary=(
        "[p]arts: string, such as store=70,find=20,echo=10\n"
        "what mix does, of store, find, get, move and echo"
    ),
    values=(Text(),),
    source="dcmfast",
)
COUNT = Option(
    field="count",
    names=("--count", "-n"),
    summary="[n]umber: integer (1..10000000, default: 1000)\noperations in all",
    values=(Unsigned(minimum=1, maximum=10_000_000),),
    default=1000,
    source="dcmfast",
)
DURATION = Option(
    field="duration_s",
    names=("--duration",),
    summary="[s]econds: integer (1..86400, default: 60)\nno operation begins later",
    values=(Unsigned(minimum=1, maximum=86400),),
    default=60,
    source="dcmfast",
)
ASSOCIATIONS = Option(
    field="associations",
    names=("--associations",),
    summary="[n]umber: integer (1..512, default: 1)\nassociations at once, a thread each",
    values=(Unsigned(minimum=1, maximum=512),),
    default=1,
    source="dcmfast",
)
PER_ASSOCIATION = Option(
    field="per_association",
    names=("--per-association",),
    summary=(
        "[n]umber: integer (default: 0)\noperations of an association, then another; 0 for all"
    ),
    values=(Unsigned(minimum=0, maximum=10_000_000),),
    default=0,
    source="dcmfast",
)
RATE = Option(
    field="rate",
    names=("--rate",),
    summary=(
        "[r]ate: number (0.001..1000000)\n"
        "open loop: so many operations a second are due, and\n"
        "latencies count from when they are due. Without it\n"
        "closed loop: as fast as they are answered"
    ),
    values=(Text(),),
    source="dcmfast",
)
SEED = Option(
    field="seed",
    names=("--seed",),
    summary="[n]umber: integer (default: 1)\nall objects, UIDs and choices follow from it",
    values=(Unsigned(minimum=0, maximum=2**63 - 1),),
    default=1,
    source="dcmfast",
)
KIND = Option(
    field="kind",
    names=("--kind",),
    summary="[k]ind: string constant (ct, mr, sc)\nkind of image that is made (default: ct)",
    values=(Word(words=("ct", "mr", "sc"), complaint="Invalid value for option --kind"),),
    default="ct",
    source="dcmfast",
)
SIZE = Option(
    field="size",
    names=("--size",),
    summary=(
        "[b]ytes: integer, with K, M or G behind it; several with\n"
        "commas are taken in turn (default: 512K)\n"
        "length of the Pixel Data, about"
    ),
    values=(Text(),),
    default="512K",
    source="dcmfast",
)
PATIENTS = Option(
    field="patients",
    names=("--patients",),
    summary=(
        "[n]umber: integer (1..1000000, default: 1)\npatients that the studies belong to, in turn"
    ),
    values=(Unsigned(minimum=1, maximum=1_000_000),),
    default=1,
    source="dcmfast",
)
STUDIES = Option(
    field="studies",
    names=("--studies",),
    summary=(
        "[n]umber: integer (1..1000000, default: 1)\nstudies that the objects belong to, in turn"
    ),
    values=(Unsigned(minimum=1, maximum=1_000_000),),
    default=1,
    source="dcmfast",
)
SERIES = Option(
    field="series",
    names=("--series",),
    summary="[n]umber: integer (1..1000, default: 1)\nseries of each study",
    values=(Unsigned(minimum=1, maximum=1000),),
    default=1,
    source="dcmfast",
)
KNOWN = Option(
    field="known",
    names=("--known",),
    summary=(
        "[n]umber: integer (0..10000000, default: 0)\n"
        "so many objects were stored by an earlier run of\n"
        "this seed: they are asked for, stores go on behind"
    ),
    values=(Unsigned(minimum=0, maximum=10_000_000),),
    default=0,
    source="dcmfast",
)
_LEVELS = ("study", "series", "image")
FIND_LEVEL = Option(
    field="find_level",
    names=("--find-level",),
    summary=(
        "[l]evel: string constant (study, series, image)\nwhat a find asks for (default: study)"
    ),
    values=(Word(words=_LEVELS, complaint="Invalid value for option --find-level"),),
    default="study",
    source="dcmfast",
)
RETRIEVE_LEVEL = Option(
    field="retrieve_level",
    names=("--retrieve-level",),
    summary=(
        "[l]evel: string constant (study, series, image)\n"
        "what a get or move asks for (default: image)"
    ),
    values=(Word(words=_LEVELS, complaint="Invalid value for option --retrieve-level"),),
    default="image",
    source="dcmfast",
)
DESTINATION = Option(
    field="destination",
    names=("--destination",),
    summary="[a]etitle: string\nwhere a move sends to",
    values=(Text(),),
    source="dcmfast",
)
AUDIT = Option(
    field="audit",
    names=("--audit",),
    summary=(
        "afterwards list and get what was acknowledged, and\n"
        "count what is lost, altered or duplicated"
    ),
    source="dcmfast",
)
LEDGER = Option(
    field="ledger",
    names=("--ledger",),
    summary=(
        "[f]ilename: string\n"
        "write SOP Instance UID and status of each store, for\n"
        "audit, while the run goes on"
    ),
    values=(Text(),),
    source="dcmfast",
)
JSON = Option(
    field="json",
    names=("--json",),
    summary="[f]ilename: string\nwrite the report as JSON, for compare and show",
    values=(Text(),),
    source="dcmfast",
)
HTML = Option(
    field="html",
    names=("--html",),
    summary="[f]ilename: string\nwrite the report as one HTML page with plots",
    values=(Text(),),
    source="dcmfast",
)
TOLERANCE = Option(
    field="tolerance",
    names=("--tolerance",),
    summary="[p]ercent: integer (0..1000, default: 10)\nsmaller differences are none, for compare",
    values=(Unsigned(minimum=0, maximum=1000),),
    default=10,
    source="dcmfast",
)

_SEEDS = ("seed", "write_seed")
#: Of the TLS options all but the random generator's seed, whose name means the objects' here.
_TLS = tls.requestor()
_TLS = _TLS.replace(
    sections=tuple(
        section
        for section in _TLS.sections
        if all(option.field not in _SEEDS for option in section.options)
    )
)
_TLS_CHECKS = (
    *(check for check in tls.REQUESTOR_CHECKS if check not in _SEEDS),
    *tls.REQUEST_CHECKS,
)

#: Commands that load a peer.
ACTIONS = ("store", "find", "get", "move", "echo", "mix")
#: Commands that ask a peer.
_OF_A_PEER = (*ACTIONS, "audit")

LOAD = FrontEnd(
    tool="load",
    description="load an archive, measure it, and check what it keeps",
    parameters=(
        Parameter(
            name="command",
            summary=(
                "store    send objects, made or from files\n"
                "find     ask for what was stored\n"
                "get      retrieve it over the same association\n"
                "move     have it sent to --destination\n"
                "echo     ask whether the peer answers\n"
                "mix      all of these, as --mix says\n"
                "audit    list and get what an earlier run's --ledger\n"
                "         says to be acknowledged: what is lost,\n"
                "         altered or duplicated by now?\n"
                "compare  two reports: is the second worse?\n"
                "show     a report, as text or with --html\n"
                "exit code: 0 all is well; 1 it could not be done;\n"
                "2 something failed, or is missing, or is worse"
            ),
        ),
        Parameter(
            name="peer",
            summary=(
                "hostname of DICOM peer; of compare and show, a\n"
                "report; of audit, a ledger, before peer and port"
            ),
        ),
        Parameter(
            name="port",
            summary="tcp/ip port number of peer; of compare, a report",
            required=False,
        ),
        Parameter(
            name="dcmfile-in",
            summary="files or directories to store, in place of\nobjects that are made",
            required=False,
            many=True,
        ),
    ),
    long_column=22,
    is_dcmtks=False,
    groups=(
        group("general options", *general.COMMON_OF_OURS),
        group(
            "network options",
            *network.titles("DCMFAST_LOAD"),
            network.TIMEOUT.replace(
                summary="[s]econds: integer (default: 10)\ntimeout for connection requests",
                default=10,
            ),
            network.ACSE_TIMEOUT,
            network.DIMSE_TIMEOUT.replace(
                summary="[s]econds: integer (default: 60)\ntimeout for DIMSE messages",
                default=60,
            ),
            network.MAX_PDU,
            YES_REMOTE,
        ),
        group("load options", COUNT, DURATION, ASSOCIATIONS, PER_ASSOCIATION, RATE, MIX),
        group("object options", SEED, KIND, SIZE, PATIENTS, STUDIES, SERIES, KNOWN),
        group("query options", FIND_LEVEL, RETRIEVE_LEVEL, DESTINATION),
        _TLS,
        group("server name", tls.NO_SERVER_NAME, tls.REQUEST_SERVER_NAME),
        group("report options", AUDIT, LEDGER, JSON, HTML),
        group("compare options", TOLERANCE),
    ),
    checks=(
        "verbosity",
        "log_level",
        *network.TITLE_CHECKS,
        *network.TIME_CHECKS_WITHOUT_SOCKET,
        "max_pdu_bytes",
        "yes_remote",
        "count",
        "duration_s",
        "associations",
        "per_association",
        "rate",
        "mix",
        "seed",
        "kind",
        "size",
        "patients",
        "studies",
        "series",
        "known",
        "find_level",
        "retrieve_level",
        "destination",
        "audit",
        "ledger",
        "json",
        "html",
        "tolerance",
        *_TLS_CHECKS,
    ),
)

#: Fields that only some commands know, by command; the others know all that none names.
ONLY_WITH: dict[str, tuple[str, ...]] = {
    "mix": ("mix",),
    "find_level": ("find", "mix"),
    "retrieve_level": ("get", "move", "mix"),
    "destination": ("move", "mix"),
    "audit": ("store", "mix"),
    "ledger": ("store", "mix"),
    "tolerance": ("compare",),
    "html": (*_OF_A_PEER, "show"),
    "json": _OF_A_PEER,
    **dict.fromkeys(
        ("seed", "kind", "size", "patients", "studies", "series", "known"),
        ("store", "find", "get", "move", "mix"),
    ),
    **dict.fromkeys(
        ("count", "duration_s", "associations", "per_association", "rate"),
        ACTIONS,
    ),
    **dict.fromkeys(
        (
            *("ae_title", "called_ae_title", "connection_timeout_s", "acse_timeout_s"),
            *("dimse_timeout_s", "max_pdu_bytes", "yes_remote"),
            *tls.REQUEST_CHECKS,
            *(option.field for section in _TLS.sections for option in section.options),
        ),
        _OF_A_PEER,
    ),
}
