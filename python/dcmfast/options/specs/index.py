"""The command line of index: what can be done with the index of a storage area.

One command line with the command as its first parameter, so that usage text, manual page and
completion are made as for every other tool; `COMMANDS` says which options each command takes.
"""

from __future__ import annotations

from dcmfast.options.defs import archive, general
from dcmfast.options.option import FrontEnd, Option, Parameter, Text, Unsigned, group

JSON = Option(
    field="json",
    names=("--json",),
    summary="one JSON object per line on stdout; the last one sums up",
    source="dcmfast",
)
DIGEST = Option(
    field="depth",
    names=("--digest",),
    summary="read every file: are its bytes those that were stored?",
    choice="digest",
    source="dcmfast",
)
FULL = Option(
    field="depth",
    names=("--full",),
    summary="the same, and does it say what the index says of it?",
    choice="full",
    source="dcmfast",
)
REPAIR = Option(
    field="repair",
    names=("--repair",),
    summary=(
        "put the index right: list whole objects that are\n"
        "not listed, drop what has no file. No file is\n"
        "deleted or changed. The server must be stopped"
    ),
    source="dcmfast",
)
THREADS = Option(
    field="threads",
    names=("--threads",),
    summary="[n]umber: integer (1..16)\nthreads that read files; else one per processor",
    values=(Unsigned(minimum=1, maximum=16),),
    source="dcmfast",
)
STUDIES = Option(
    field="studies",
    names=("--studies",),
    summary="list the studies, the longest untouched first",
    source="dcmfast",
)
OUTSIDE = Option(
    field="outside",
    names=("--outside",),
    summary="list the files that lie outside of the directory",
    source="dcmfast",
)
DRY_RUN = Option(
    field="dry_run",
    names=("--dry-run",),
    summary="say what would go; the only thing that quota does",
    source="dcmfast",
)
MAX_STUDIES = Option(
    field="studies_max",
    names=("--max-studies",),
    summary="[n]umber: integer\nstudies that may be kept",
    values=(Unsigned(minimum=1),),
    source="dcmfast",
)
MAX_BYTES = Option(
    field="study_bytes_max",
    names=("--max-study-bytes",),
    summary="[n]umber: integer, with K, M or G behind it\nbytes that a study may have",
    values=(Text(),),
    source="dcmfast",
)
CONFIG = archive.CONFIG.replace(
    summary=(
        "[f]ilename: string\n"
        "take the limits that this configuration of dcmqrscp\n"
        "has for the directory"
    ),
    source="dcmfast",
)

#: Fields that only some commands know, by command. The order is that of the usage text.
COMMANDS: dict[str, tuple[str, ...]] = {
    "show": ("studies", "outside"),
    "verify": ("depth", "repair", "threads"),
    "rebuild": ("threads",),
    "export": (),
    "import": (),
    "quota": ("dry_run", "config", "studies_max", "study_bytes_max"),
}
#: Commands whose third parameter is a file.
FILE_COMMANDS = ("export", "import")

INDEX = FrontEnd(
    tool="index",
    description="look after the index of a storage area",
    parameters=(
        Parameter(
            name="command",
            summary=(
                "show     how much there is (while a server runs, too)\n"
                "verify   compare index and files (while a server runs)\n"
                "rebuild  make the index anew from the files\n"
                "export   write the index to file (while a server runs)\n"
                "import   make the index from an exported one\n"
                "quota    what a quota would delete\n"
                "exit code: 0 all is well; 1 something was found, or\n"
                "this command line is wrong; 2 it could not be done"
            ),
        ),
        Parameter(name="directory", summary="the storage area"),
        Parameter(name="file", summary="exported index, for export and import", required=False),
    ),
    long_column=22,
    is_dcmtks=False,
    groups=(
        group(
            "general options",
            *general.COMMON_OF_OURS,
            JSON,
        ),
        group("show options", STUDIES, OUTSIDE),
        group("verify options", DIGEST, FULL, REPAIR),
        group("verify and rebuild options", THREADS),
        group("quota options", DRY_RUN, CONFIG, MAX_STUDIES, MAX_BYTES),
    ),
    checks=(
        "verbosity",
        "log_level",
        "json",
        "studies",
        "outside",
        "depth",
        "repair",
        "threads",
        "dry_run",
        "config",
        "studies_max",
        "study_bytes_max",
    ),
)
