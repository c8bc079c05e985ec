"""Options of what is written: places, names, encodings, and how safely."""

from __future__ import annotations

from dcmfast.options.defs.association import compressed
from dcmfast.options.option import (
    Condition,
    Option,
    Section,
    Text,
    Unsigned,
    Word,
    all_in_force,
    in_force,
)

_BIT_PRESERVING = in_force("--bit-preserving")

# ---- Where files go

OUTPUT_DIRECTORY = Option(
    field="output_directory",
    names=("--output-directory", "-od"),
    summary='[d]irectory: string (default: ".")\nwrite received objects to existing directory d',
    values=(Text(),),
    default=".",
)
NO_SUBDIR = Option(
    field="subdirectory",
    names=("--no-subdir", "-s"),
    summary="do not generate any subdirectories (default)",
    choice="none",
    default=True,
)
SERIES_DATE_SUBDIR = Option(
    field="subdirectory",
    names=("--series-date-subdir", "+ssd"),
    summary="generate subdirectories from series date",
    choice="series-date",
)
SORT_CONC_STUDIES = Option(
    field="sorting",
    names=("--sort-conc-studies", "-ss"),
    summary="[p]refix: string\nsort studies using prefix p and a timestamp",
    choice="study-time",
    values=(Text(),),
    conflicts=(_BIT_PRESERVING,),
)
SORT_ON_STUDY_UID = Option(
    field="sorting",
    names=("--sort-on-study-uid", "-su"),
    summary="[p]refix: string\nsort studies using prefix p and the Study\nInstance UID",
    choice="study-uid",
    values=(Text(),),
    conflicts=(_BIT_PRESERVING,),
)
SORT_ON_PATIENTNAME = Option(
    field="sorting",
    names=("--sort-on-patientname", "-sp"),
    summary="sort studies using the Patient's Name and\na timestamp",
    choice="patient-name",
    conflicts=(_BIT_PRESERVING,),
)

# ---- What they are called

DEFAULT_FILENAMES = Option(
    field="naming",
    names=("--default-filenames", "-uf"),
    summary="generate filename from instance UID (default)",
    choice="uid",
    default=True,
)
UNIQUE_FILENAMES = Option(
    field="naming",
    names=("--unique-filenames", "+uf"),
    summary="generate unique filenames",
    choice="unique",
)
TIMENAMES = Option(
    field="timenames",
    names=("--timenames", "-tn"),
    summary="generate filename from creation time",
    conflicts=(in_force("--unique-filenames"),),
)
SHORT_UNIQUE_NAMES = Option(
    field="naming",
    names=("--short-unique-names", "+fsu"),
    summary="generate short pseudo-random unique filename",
    choice="short-unique",
)
SYSTEM_TIME_NAMES = Option(
    field="naming",
    names=("--system-time-names", "+fst"),
    summary="generate filename from current system time",
    choice="system-time",
)
FILENAME_EXTENSION = Option(
    field="extension",
    names=("--filename-extension", "-fe"),
    summary="[e]xtension: string\nappend e to all filenames",
    values=(Text(),),
    default="",
)

# ---- How they are written

NORMAL = Option(
    field="bit_preserving",
    names=("--normal", "-B"),
    summary="allow implicit format conversions (default)",
    choice="normal",
    default=True,
)
BIT_PRESERVING = Option(
    field="bit_preserving",
    names=("--bit-preserving", "+B"),
    summary="write data exactly as read",
    choice="bit-preserving",
)
WRITE_FILE = Option(
    field="file_format",
    names=("--write-file", "+F"),
    summary="write file format (default)",
    choice="file",
    default=True,
)
WRITE_DATASET = Option(
    field="file_format",
    names=("--write-dataset", "-F"),
    summary="write data set without file meta information",
    choice="dataset",
)

WRITE_XFER_SAME = Option(
    field="output_transfer_syntax",
    names=("--write-xfer-same", "+t="),
    summary="write with same TS as input (default)",
    choice="same",
    default=True,
)
WRITE_XFER_LITTLE = Option(
    field="output_transfer_syntax",
    names=("--write-xfer-little", "+te"),
    summary="write with explicit VR little endian TS",
    choice="little",
)
WRITE_XFER_BIG = Option(
    field="output_transfer_syntax",
    names=("--write-xfer-big", "+tb"),
    summary="write with explicit VR big endian TS",
    choice="big",
)
WRITE_XFER_IMPLICIT = Option(
    field="output_transfer_syntax",
    names=("--write-xfer-implicit", "+ti"),
    summary="write with implicit VR little endian TS",
    choice="implicit",
)
WRITE_XFER_DEFLATED = Option(
    field="output_transfer_syntax",
    names=("--write-xfer-deflated", "+td"),
    summary="write with deflated expl. VR little endian TS",
    choice="deflated",
)
ENABLE_NEW_VR = Option(
    field="new_vr",
    names=("--enable-new-vr", "+u"),
    summary="enable support for new VRs (UN/UT) (default)",
    choice="enable",
    conflicts=(_BIT_PRESERVING,),
    default=True,
)
DISABLE_NEW_VR = Option(
    field="new_vr",
    names=("--disable-new-vr", "-u"),
    summary="disable support for new VRs, convert to OB",
    choice="disable",
    conflicts=(_BIT_PRESERVING,),
)
GROUP_LENGTH_RECALC = Option(
    field="group_length",
    names=("--group-length-recalc", "+g="),
    summary="recalculate group lengths if present (default)",
    choice="recalculate",
    conflicts=(_BIT_PRESERVING,),
    default=True,
)
GROUP_LENGTH_CREATE = Option(
    field="group_length",
    names=("--group-length-create", "+g"),
    summary="always write with group length elements",
    choice="create",
    conflicts=(_BIT_PRESERVING,),
)
GROUP_LENGTH_REMOVE = Option(
    field="group_length",
    names=("--group-length-remove", "-g"),
    summary="always write without group length elements",
    choice="remove",
    conflicts=(_BIT_PRESERVING,),
)
LENGTH_EXPLICIT = Option(
    field="length_encoding",
    names=("--length-explicit", "+e"),
    summary="write with explicit lengths (default)",
    choice="explicit",
    conflicts=(_BIT_PRESERVING,),
    default=True,
)
LENGTH_UNDEFINED = Option(
    field="length_encoding",
    names=("--length-undefined", "-e"),
    summary="write with undefined lengths",
    choice="undefined",
    conflicts=(_BIT_PRESERVING,),
)
#: What the tools that take the encodings have in one group of their usage.
NEW_VR_SECTION = Section(
    title="post-1993 value representations (not with --bit-preserving)",
    options=(ENABLE_NEW_VR, DISABLE_NEW_VR),
)
GROUP_LENGTH_SECTION = Section(
    title="group length encoding (not with --bit-preserving)",
    options=(GROUP_LENGTH_RECALC, GROUP_LENGTH_CREATE, GROUP_LENGTH_REMOVE),
)
LENGTH_SECTION = Section(
    title="length encoding in sequences and items (not with --bit-preserving)",
    options=(LENGTH_EXPLICIT, LENGTH_UNDEFINED),
)
PADDING_OFF = Option(
    field="padding",
    names=("--padding-off", "-p"),
    summary="no padding (default)",
    choice="off",
    default=True,
)
PADDING_CREATE = Option(
    field="padding",
    names=("--padding-create", "+p"),
    summary=(
        "[f]ile-pad [i]tem-pad: integer\n"
        "align file on multiple of f bytes and items\n"
        "on multiple of i bytes"
    ),
    choice="create",
    values=(Unsigned(minimum=0), Unsigned(minimum=0)),
    conflicts=all_in_force("--write-dataset", "--bit-preserving"),
)
#: In the words of the tools that break the line elsewhere.
PADDING_CREATE_NARROW = PADDING_CREATE.replace(
    summary="[f]ile-pad [i]tem-pad: integer\n"
    "align file on multiple of f bytes\nand items on multiple of i bytes"
)


def write_xfer(preferences: tuple[Option, ...]) -> tuple[Option, ...]:
    """Return the choices of the output transfer syntax, for a tool that accepts `preferences`.

    What may come compressed cannot be written in another one.
    """
    every = tuple(one.long for one in preferences if one.long == "--accept-all")
    conflicts = all_in_force(*every, "--bit-preserving", *compressed(preferences))
    others = (WRITE_XFER_LITTLE, WRITE_XFER_BIG, WRITE_XFER_IMPLICIT, WRITE_XFER_DEFLATED)
    return (WRITE_XFER_SAME, *(one.replace(conflicts=conflicts) for one in others))


RETAIN_UN = Option(
    field="convert_un",
    names=("--retain-un", "-uc"),
    summary="retain elements as UN (default)",
    choice="retain",
    default=True,
)
CONVERT_UN = Option(
    field="convert_un",
    names=("--convert-un", "+uc"),
    summary="convert to real VR if known",
    choice="convert",
)
COMPRESSION_LEVEL = Option(
    field="compression_level",
    names=("--compression-level", "+cl"),
    summary="[l]evel: integer (default: 6)\n0=uncompressed, 1=fastest, 9=best compression",
    values=(Unsigned(minimum=0, maximum=9),),
    default=6,
    needs=(
        Condition(
            text="--write-xfer-deflated or --write-xfer-same",
            any_of=("--write-xfer-deflated", "--write-xfer-same"),
        ),
    ),
)
#: Of tools that propose transfer syntaxes as well.
COMPRESSION_LEVEL_ALSO_PROPOSED = COMPRESSION_LEVEL.replace(
    needs=(
        Condition(
            text="--propose-deflated, --write-xfer-deflated or --write-xfer-same",
            any_of=("--propose-deflated", "--write-xfer-deflated", "--write-xfer-same"),
        ),
    ),
)

# ---- Reports

CREATE_REPORT_FILE = Option(
    field="report_file",
    names=("--create-report-file", "+crf"),
    summary=(
        "[f]ilename: string\n"
        "create a detailed report on the transfer\n"
        "(if successful) and write it to text file f"
    ),
    values=(Text(),),
    default="",
)
REPORT_JSON = Option(
    field="report_json",
    names=("--json",),
    summary=(
        "print a report on stdout as JSON, one object,\nwhatever came of the files (then no dots)"
    ),
    source="dcmfast",
)

# ---- dcmfast's own

DURABILITY = Option(
    field="durability",
    names=("--durability",),
    summary=(
        "[m]ode: none, group, each (default: none)\n"
        "when success is answered: none = written, the\n"
        "system may still lose it in a power cut;\n"
        "group = synced to disk, one sync for all waiting\n"
        "associations; each = one sync per object"
    ),
    values=(
        Word(words=("none", "group", "each"), complaint="Invalid mode for --durability option"),
    ),
    default="none",
    source="dcmfast",
)
DUPLICATE = Option(
    field="duplicate",
    names=("--duplicate",),
    summary=(
        "[m]ode: replace, keep, reject (default: replace)\n"
        "if the file exists: replace it; keep it and drop\n"
        "the new object; or refuse the object (0111H).\n"
        "The same content again is never written twice"
    ),
    values=(
        Word(words=("replace", "keep", "reject"), complaint="Invalid mode for --duplicate option"),
    ),
    default="replace",
    source="dcmfast",
)
MAX_ASSOCIATIONS = Option(
    field="associations_max",
    names=("--max-associations",),
    summary=(
        "[n]umber: integer (1..4096, default: 512)\n"
        "serve n associations at once; the next is\n"
        "rejected: transient, local limit exceeded"
    ),
    values=(Unsigned(minimum=1, maximum=4096),),
    default=512,
    source="dcmfast",
)
