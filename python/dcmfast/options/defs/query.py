"""Options of the query and retrieve clients: keys, models, destinations, answers."""

from __future__ import annotations

from dcmfast.options.defs import association, network
from dcmfast.options.option import Condition, Integer, Option, Parameter, Text, Unsigned

#: What a query client takes besides its options.
PARAMETERS = (
    Parameter(name="peer", summary="hostname of DICOM peer"),
    Parameter(name="port", summary="tcp/ip port number of peer"),
    Parameter(name="dcmfile-in", summary="DICOM query file(s)", required=False, many=True),
)

# ---- What is asked for

KEY = Option(
    field="keys",
    names=("--key", "-k"),
    summary='[k]ey: gggg,eeee="str", path or dict. name="str"\noverride matching key',
    values=(Text(),),
    repeatable=True,
)
WORKLIST = Option(
    field="model",
    names=("--worklist", "-W"),
    summary="use modality worklist information model (def.)",
    choice="worklist",
    default=True,
)
PATIENT = Option(
    field="model",
    names=("--patient", "-P"),
    summary="use patient root information model",
    choice="patient-root",
)
STUDY = Option(
    field="model",
    names=("--study", "-S"),
    summary="use study root information model",
    choice="study-root",
)
PSONLY = Option(
    field="model",
    names=("--psonly", "-O"),
    summary="use patient/study only information model",
    choice="patient-study",
)
#: Where Patient Root is the default.
RETRIEVE_MODELS = (
    PATIENT.replace(summary="use patient root information model (default)", default=True),
    STUDY,
    PSONLY,
)
#: What carries identifiers, in the order of the usage.
PROPOSALS = (
    association.PROPOSE_UNCOMPR,
    association.PROPOSE_LITTLE,
    association.PROPOSE_BIG,
    association.PROPOSE_DEFLATED.replace(
        summary="propose deflated explicit VR little endian TS\nand all uncompressed transfer "
        "syntaxes"
    ),
    association.PROPOSE_IMPLICIT,
)

#: What is accepted for objects, in the words of the retrieving tools.
PREFERENCES = tuple(
    option.replace(summary="prefer deflated explicit VR little endian TS")
    if option is association.PREFER_DEFLATED
    else option
    for option in association.PREFERENCES
)

# ---- Where it goes

# DCMTK's words; what its program takes without the option is the calling title in force.
MOVE = Option(
    field="destination",
    names=("--move", "-aem"),
    summary="[a]etitle: string\nset move destinat. AE title (default: MOVESCU)",
    values=(Text(),),
    default="MOVESCU",
)
# The page of 3.5.4 gives -P to both --patient and --no-port; 3.6.7 gives it to the first.
NO_PORT = Option(
    field="receiving_port",
    names=("--no-port",),
    summary="no port for incoming associations (default)",
    choice="none",
    default=True,
)
RECEIVING_PORT = Option(
    field="receiving_port",
    names=("--port", "+P"),
    summary="[n]umber: integer\nport number for incoming associations",
    choice="listen",
    values=(Unsigned(minimum=1, maximum=65535),),
)
#: ``--output-directory`` of movescu.
NEEDS_PORT = Condition(text="--port", any_of=("--port",))

# ---- What the peer answers

PENDING_IGNORE = Option(
    field="pending_data",
    names=("--pending-ignore", "-pi"),
    summary="assume no dataset present (default)",
    choice="ignored",
    default=True,
)
PENDING_READ = Option(
    field="pending_data",
    names=("--pending-read", "-pr"),
    summary="read and ignore dataset",
    choice="read",
)
CANCEL = Option(
    field="cancel_after",
    names=("--cancel",),
    summary="[n]umber: integer\ncancel after n responses (default: never)",
    values=(Integer(minimum=0),),
)
# What ends a request whose responses never do; the engine's limits.rs has the reasons.
MAX_RESPONSES = Option(
    field="responses_max",
    names=("--max-responses",),
    summary=(
        "[n]umber: integer (default: 1000000)\ngive a request up after n responses before its "
        "last;\n0 takes any number"
    ),
    values=(Unsigned(minimum=0),),
    default=1_000_000,
    source="dcmfast",
)
PROGRESS_TIMEOUT = Option(
    field="progress_timeout_s",
    names=("--progress-timeout",),
    summary=(
        "[s]econds: integer (default: 3600)\ngive a request up whose responses bring nothing new\n"
        "for so long; 0 never does"
    ),
    values=(Unsigned(minimum=0),),
    default=3600,
    source="dcmfast",
)
ENABLE_CORRECTION = Option(
    field="data_correction",
    names=("--enable-correction", "+dc"),
    summary="enable automatic data correction",
    choice="enable",
)
DISABLE_CORRECTION = Option(
    field="data_correction",
    names=("--disable-correction", "-dc"),
    summary="disable automatic data correction (default)",
    choice="disable",
    default=True,
)
SHOW_RESPONSES = Option(
    field="shown_responses",
    names=("--show-responses", "+sr"),
    summary="always output responses to the logger",
    choice="show",
)
HIDE_RESPONSES = Option(
    field="shown_responses",
    names=("--hide-responses", "-sr"),
    summary="do not output responses to the logger",
    choice="hide",
)
EXTRACT = Option(
    field="extraction",
    names=("--extract", "-X"),
    summary="extract responses to DICOM file (rsp0001.dcm...)",
    choice="file",
)
EXTRACT_XML = Option(
    field="extraction",
    names=("--extract-xml", "-Xx"),
    summary="extract responses to XML file (rsp0001.xml...)",
    choice="xml",
)
EXTRACT_XML_SINGLE = Option(
    field="extraction",
    names=("--extract-xml-single", "-Xs"),
    summary="[f]ilename: string\nextract all responses to given XML file f",
    choice="xml-single",
    values=(Text(),),
)
LIMIT_OUTPUT = Option(
    field="limit_output",
    names=("--limit-output", "-Xlo"),
    summary=(
        "[n]umber: integer\nlimit number of responses extracted to file to n\n(default: unlimited)"
    ),
    values=(Integer(minimum=1),),
    needs=(
        Condition(
            text="--extract, --extract-xml or --extract-xml-single",
            any_of=("--extract", "--extract-xml", "--extract-xml-single"),
        ),
    ),
)
JSON = Option(
    field="json",
    names=("--json",),
    summary=(
        "print the result on stdout as JSON, one array\nin the DICOM JSON model, "
        "instead of log lines"
    ),
    source="dcmfast",
)

#: What findscu, getscu and movescu check, in DCMTK's order, and what is ours.
CHECKS = ("keys", "model", *network.TITLE_CHECKS)
LIMIT_CHECKS = ("responses_max", "progress_timeout_s")
