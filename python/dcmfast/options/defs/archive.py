"""Options of an archive: configuration, negotiation, Query/Retrieve rules, character sets."""

from __future__ import annotations

from dcmfast.options.defs import output
from dcmfast.options.option import Joint, Option, Text, Word

#: Where serve keeps objects if nothing else is said.
DIRECTORY_DEFAULT = "dcmfast-archive"

CONFIG = Option(
    field="config",
    names=("--config", "-c"),
    summary=(
        "[f]ilename: string\n"
        "use specific configuration file\n"
        "(without it: ./dcmqrscp.cfg, or else\n"
        "/etc/dcmtk/dcmqrscp.cfg)"
    ),
    values=(Text(),),
)
VERY_VERBOSE = Option(
    field="verbosity",
    names=("--very-verbose", "-vv"),
    summary=(
        "print more processing details: --verbose, and\n"
        "the data sets of C-FIND and C-MOVE responses"
    ),
    choice="very-verbose",
    source="DCMTK 3.5.4",
)

# ---- Process model

SINGLE_PROCESS = Option(
    field="process_model",
    names=("--single-process", "-s"),
    summary="single process mode",
    choice="single",
)
FORK = Option(
    field="process_model",
    names=("--fork",),
    summary=(
        "fork child process for each assoc. (default)\n"
        "(served by a thread each: one index, one quota)"
    ),
    choice="fork",
    default=True,
)

# ---- Association negotiation

REQUIRE_FIND = Option(
    field="require_find",
    names=("--require-find",),
    summary=(
        "reject all MOVE/GET presentation contexts for\n"
        "which no correspond. FIND context is proposed\n"
        "(only MOVE, as DCMTK does; GET is not affected)"
    ),
)
NO_PARALLEL_STORE = Option(
    field="no_parallel_store",
    names=("--no-parallel-store",),
    summary=(
        "reject multiple simultaneous STORE presentat.\ncontexts for one application entity title"
    ),
)
DISABLE_GET = Option(field="disable_get", names=("--disable-get",), summary="disable C-GET support")
ALLOW_SHUTDOWN = Option(
    field="allow_shutdown",
    names=("--allow-shutdown",),
    summary="allow external shutdown via private SOP class",
)

# ---- Identifiers

CHECK_FIND = Option(
    field="check_find",
    names=("--check-find", "-XF"),
    summary="check C-FIND identifier validity",
    choice="yes",
)
NO_CHECK_FIND = Option(
    field="check_find",
    names=("--no-check-find",),
    summary="do not check C-FIND identifier validity (def.)",
    choice="no",
    default=True,
)
CHECK_MOVE = Option(
    field="check_move",
    names=("--check-move", "-XM"),
    summary="check C-MOVE identifier validity",
    choice="yes",
)
NO_CHECK_MOVE = Option(
    field="check_move",
    names=("--no-check-move",),
    summary="do not check C-MOVE identifier validity (def.)",
    choice="no",
    default=True,
)

# ---- Where C-MOVE may send to

MOVE_UNRESTRICTED = Option(
    field="move_targets",
    names=("--move-unrestricted",),
    summary="do not restrict move destination (default)",
    choice="any",
    default=True,
)
MOVE_AETITLE = Option(
    field="move_targets",
    names=("--move-aetitle", "-ZA"),
    summary="restrict move dest. to requesting AE title",
    choice="title",
)
MOVE_HOST = Option(
    field="move_targets",
    names=("--move-host", "-ZH"),
    summary="restrict move destination to requesting host",
    choice="host",
)
MOVE_VENDOR = Option(
    field="move_targets",
    names=("--move-vendor", "-ZV"),
    summary="restrict move destination to requesting vendor",
    choice="vendor",
)

# ---- Information models

NO_PATIENT_ROOT = Option(
    field="no_patient_root",
    names=("--no-patient-root", "-QP"),
    summary="do not support Patient Root Q/R models",
)
NO_STUDY_ROOT = Option(
    field="no_study_root",
    names=("--no-study-root", "-QS"),
    summary="do not support Study Root Q/R models",
)
NO_PATIENT_STUDY = Option(
    field="no_patient_study",
    names=("--no-patient-study", "-QO"),
    summary="do not support Patient/Study Only Q/R models",
    joint=Joint(
        others=("--no-patient-root", "--no-study-root"), complaint="cannot disable all Q/R models"
    ),
)

# ---- Profiles for both directions

ASSOC_CONFIG_FILE = Option(
    field="profile",
    names=("--assoc-config-file", "-xf"),
    summary=(
        "[f]ilename, [i]n-profile, [o]ut-profile: string\n"
        "use profile i from f for incoming associations\n"
        "use profile o from f for outgoing associations"
    ),
    values=(Text(), Text(), Text()),
)

# ---- Character sets of responses

USE_REQUEST_CHARSET = Option(
    field="response_charset",
    names=("--use-request-charset", "+Cr"),
    summary=(
        "try to convert all element values that are\n"
        "affected by Specific Character Set (0008,0005)\n"
        "to the one specified in the request data set,\n"
        "fall back to the one specified via\n"
        "--convert-to-xxx if that is not possible\n"
        "(default, unless overridden by config file)"
    ),
    choice="request",
)
OVERRIDE_CHARSET = Option(
    field="response_charset",
    names=("--override-charset", "-Cr"),
    summary=(
        "convert affected element values to the\n"
        "character set specified via --convert-to-xxx,\n"
        "ignoring the one specified in the request"
    ),
    choice="override",
)
CONVERT_TO_ASCII = Option(
    field="charset",
    names=("--convert-to-ascii", "+A7"),
    summary=(
        "convert affected element values to 7-bit ASCII\n"
        "(default, unless overridden by config file)"
    ),
    choice="",
)
CONVERT_TO_UTF8 = Option(
    field="charset",
    names=("--convert-to-utf8", "+U8"),
    summary="convert affected element values to UTF-8",
    choice="ISO_IR 192",
)
CONVERT_TO_LATIN1 = Option(
    field="charset",
    names=("--convert-to-latin1", "+L1"),
    summary="convert affected element values to ISO 8859-1",
    choice="ISO_IR 100",
)
CONVERT_TO_CHARSET = Option(
    field="charset",
    names=("--convert-to-charset", "+C"),
    summary=(
        "[c]harset: string\n"
        "convert affected element values to the char.\n"
        "set specified by the DICOM defined term c"
    ),
    values=(Text(),),
)
TRANSLITERATE = Option(
    field="transliterate",
    names=("--transliterate", "-Ct"),
    summary=(
        "try to approximate characters that cannot be\n"
        "represented through similar looking characters"
    ),
)
DISCARD_ILLEGAL = Option(
    field="discard_illegal",
    names=("--discard-illegal", "-Cd"),
    summary="discard characters that cannot be represented\nin destination character set",
)

# ---- dcmfast's own

DURABILITY = output.DURABILITY.replace(
    summary=output.DURABILITY.summary.replace("(default: none)", "(default: group)"),
    default="group",
)
DUPLICATE = output.DUPLICATE.replace(
    summary=(
        "[m]ode: replace, keep, reject (default: replace)\n"
        "if the instance is there: replace it; keep it\n"
        "and drop the new one; or refuse the new (0111H).\n"
        "The same content again changes nothing"
    )
)

MATCHING = Option(
    field="matching",
    names=("--matching",),
    summary=(
        "[m]ode: dcmtk, standard (default: dcmtk)\n"
        "answer queries as DCMTK does, key for key; or by\n"
        "the rules of PS3.4, with more keys and relational"
    ),
    values=(Word(words=("dcmtk", "standard"), complaint="Invalid mode for --matching option"),),
    default="dcmtk",
    source="dcmfast",
)
