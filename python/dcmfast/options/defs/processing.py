"""Options of what is done with files before they are sent and after they are stored."""

from __future__ import annotations

from dcmfast.options.option import (
    Condition,
    Integer,
    Option,
    Text,
    Unsigned,
    all_in_force,
    in_force,
)

_SORTING = ("--sort-conc-studies", "--sort-on-study-uid", "--sort-on-patientname")
_ONE_PROCESS = all_in_force("--fork", "--inetd")
_SORTED = Condition(
    text="--sort-conc-studies, --sort-on-study-uid or --sort-on-patientname", any_of=_SORTING
)

# ---- Events of storescp

EXEC_ON_RECEPTION = Option(
    field="exec_on_reception",
    names=("--exec-on-reception", "-xcr"),
    summary=(
        "[c]ommand: string\n"
        "execute command c after having received and\n"
        "processed one C-STORE-RQ message"
    ),
    values=(Text(),),
)
EXEC_ON_EOSTUDY = Option(
    field="exec_on_eostudy",
    names=("--exec-on-eostudy", "-xcs"),
    summary=(
        "[c]ommand: string\n"
        "execute command c after having received and\n"
        "processed all C-STORE-RQ messages that belong\n"
        "to one study"
    ),
    values=(Text(),),
    conflicts=_ONE_PROCESS,
    needs=(_SORTED,),
)
RENAME_ON_EOSTUDY = Option(
    field="rename_on_eostudy",
    names=("--rename-on-eostudy", "-rns"),
    summary=(
        "having received and processed all C-STORE-RQ\n"
        "messages that belong to one study, rename\n"
        "output files according to certain pattern"
    ),
    conflicts=_ONE_PROCESS,
    needs=(_SORTED,),
)
EOSTUDY_TIMEOUT = Option(
    field="eostudy_timeout_s",
    names=("--eostudy-timeout", "-tos"),
    summary=(
        "[t]imeout: integer\nspecifies a timeout of t seconds for\nend-of-study determination"
    ),
    values=(Integer(minimum=0),),
    needs=(
        Condition(
            text="--sort-conc-studies, --sort-on-study-uid, --sort-on-patientname, "
            "--exec-on-eostudy or --rename-on-eostudy",
            any_of=(*_SORTING, "--exec-on-eostudy", "--rename-on-eostudy"),
        ),
    ),
)
EXEC_SYNC = Option(
    field="exec_sync",
    names=("--exec-sync", "-xs"),
    summary="execute command synchronously in foreground",
)

# ---- Input of storescu

_SCANNING = in_force("--scan-directories")

READ_FILE = Option(
    field="input_format",
    names=("--read-file", "+f"),
    summary="read file format or data set (default)",
    choice="any",
    default=True,
)
READ_FILE_ONLY = Option(
    field="input_format",
    names=("--read-file-only", "+fo"),
    summary="read file format only",
    choice="file",
)
READ_DATASET = Option(
    field="input_format",
    names=("--read-dataset", "-f"),
    summary="read data set without file meta information",
    choice="dataset",
)
SCAN_DIRECTORIES = Option(
    field="scan_directories",
    names=("--scan-directories", "+sd"),
    summary="scan directories for input files (dcmfile-in)",
)
SCAN_PATTERN = Option(
    field="scan_pattern",
    names=("--scan-pattern", "+sp"),
    summary=(
        "[p]attern: string (only with --scan-directories)\n"
        "pattern for filename matching (wildcards)"
    ),
    values=(Text(),),
    default="",
    needs=(_SCANNING,),
)
NO_RECURSE = Option(
    field="recurse",
    names=("--no-recurse", "-r"),
    summary="do not recurse within directories (default)",
    choice="no",
    default=True,
)
RECURSE = Option(
    field="recurse",
    names=("--recurse", "+r"),
    summary="recurse within specified directories",
    choice="yes",
    needs=(_SCANNING,),
)
NO_RENAME = Option(
    field="rename",
    names=("--no-rename", "-rn"),
    summary="do not rename processed files (default)",
    choice="no",
    default=True,
)
RENAME = Option(
    field="rename",
    names=("--rename", "+rn"),
    summary="append .done/.bad to processed files",
    choice="yes",
)

# ---- Input and processing of dcmsend

READ_FROM_DICOMDIR = Option(
    field="read_dicomdir",
    names=("--read-from-dicomdir", "+rd"),
    summary="read information on input files from DICOMDIR",
)
DECOMPRESS_NEVER = Option(
    field="decompression",
    names=("--decompress-never", "-dn"),
    summary="never decompress compressed data sets",
    choice="never",
)
DECOMPRESS_LOSSLESS = Option(
    field="decompression",
    names=("--decompress-lossless", "+dls"),
    summary="only decompress lossless compression (default)",
    choice="lossless",
    default=True,
)
DECOMPRESS_LOSSY = Option(
    field="decompression",
    names=("--decompress-lossy", "+dly"),
    summary="decompress both lossy and lossless compression",
    choice="lossy",
)
NO_ILLEGAL_PROPOSAL = Option(
    field="no_illegal_proposal",
    names=("--no-illegal-proposal", "-nip"),
    summary=(
        "do not propose any presentation context that\ndoes not contain the default TS (if needed)"
    ),
)
NO_UID_CHECKS = Option(
    field="no_uid_checks",
    names=("--no-uid-checks", "-nuc"),
    summary="do not check UID values of input files",
)

# ---- Objects invented by storescu

INVENT_INSTANCE = Option(
    field="invent_instance",
    names=("--invent-instance", "+II"),
    summary="invent a new SOP instance UID for every image\nsent",
)
INVENT_SERIES = Option(
    field="invent_series",
    names=("--invent-series", "+IR"),
    summary=(
        "[n]umber: integer (implies --invent-instance)\n"
        "invent a new series UID after n images\n"
        "have been sent (default: 100)"
    ),
    values=(Unsigned(minimum=1),),
    default=100,
)
INVENT_STUDY = Option(
    field="invent_study",
    names=("--invent-study", "+IS"),
    summary=(
        "[n]umber: integer (implies --invent-instance)\n"
        "invent a new study UID after n series\n"
        "have been sent (default: 50)"
    ),
    values=(Unsigned(minimum=1),),
    default=50,
)
INVENT_PATIENT = Option(
    field="invent_patient",
    names=("--invent-patient", "+IP"),
    summary=(
        "[n]umber: integer (implies --invent-instance)\n"
        "invent a new patient ID and name after n studies\n"
        "have been sent (default: 25)"
    ),
    values=(Unsigned(minimum=1),),
    default=25,
)
