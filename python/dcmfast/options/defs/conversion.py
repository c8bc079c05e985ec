"""Options of dcmconv: how a file is read, and what of it is changed beside its encoding.

Most of the reading options repair files that break the standard. Of each such pair the one that
names what is done anyway is available; the repairs are not.
"""

from __future__ import annotations

from dcmfast.options.option import Condition, Option, Text, in_force

_AS_DATASET = (in_force("--read-dataset"),)
_CONVERTING = (
    Condition(
        text="one of the --convert-to-xxx options",
        any_of=(
            "--convert-to-utf8",
            "--convert-to-latin1",
            "--convert-to-ascii",
            "--convert-to-charset",
        ),
    ),
)


def _default(field: str, long: str, short: str, summary: str) -> Option:
    """Return the option that names today's behaviour."""
    return Option(
        field=field, names=(long, short), summary=f"{summary} (default)", choice="", default=True
    )


def _repair(field: str, long: str, short: str, summary: str) -> Option:
    """Return an option that changes how broken files are read, or values."""
    return Option(field=field, names=(long, short), summary=summary, choice=long, available=False)


# ---- Input transfer syntax

READ_XFER_AUTO = Option(
    field="input_transfer_syntax",
    names=("--read-xfer-auto", "-t="),
    summary="use TS recognition (default)",
    choice="auto",
    default=True,
)
READ_XFER_DETECT = Option(
    field="input_transfer_syntax",
    names=("--read-xfer-detect", "-td"),
    summary="ignore TS specified in the file meta header",
    choice="detect",
)
READ_XFER_LITTLE = Option(
    field="input_transfer_syntax",
    names=("--read-xfer-little", "-te"),
    summary="read with explicit VR little endian TS",
    choice="little",
    needs=_AS_DATASET,
)
READ_XFER_BIG = Option(
    field="input_transfer_syntax",
    names=("--read-xfer-big", "-tb"),
    summary="read with explicit VR big endian TS",
    choice="big",
    needs=_AS_DATASET,
)
READ_XFER_IMPLICIT = Option(
    field="input_transfer_syntax",
    names=("--read-xfer-implicit", "-ti"),
    summary="read with implicit VR little endian TS",
    choice="implicit",
    needs=_AS_DATASET,
)

# ---- Reading what breaks the standard

META_LENGTH = (
    _default("meta_length", "--use-meta-length", "+ml", "use file meta information group length"),
    _repair(
        "meta_length", "--ignore-meta-length", "-ml", "ignore file meta information group length"
    ),
)
ODD_LENGTH = (
    _default("odd_length", "--accept-odd-length", "+ao", "accept odd length attributes"),
    _repair("odd_length", "--assume-even-length", "+ae", "assume real length is one byte larger"),
)
EXPLICIT_VR = (
    _default("explicit_vr", "--use-explicit-vr", "+ev", "use explicit VR from dataset"),
    _repair(
        "explicit_vr",
        "--ignore-explicit-vr",
        "-ev",
        "ignore explicit VR (prefer data dictionary)",
    ),
)
NON_STANDARD_VR = (
    _default("non_standard_vr", "--treat-as-unknown", "+vr", "treat non-standard VR as unknown"),
    _repair(
        "non_standard_vr",
        "--assume-implicit",
        "-vr",
        "try to read with implicit VR little endian TS",
    ),
)
UNDEFINED_UN = (
    _default("undefined_un", "--enable-cp246", "+ui", "read undefined len UN as implicit VR"),
    _repair("undefined_un", "--disable-cp246", "-ui", "read undefined len UN as explicit VR"),
)
MAX_LENGTH = (
    _default("max_length", "--maxlength-dict", "-sq", "read as defined in dictionary"),
    _repair("max_length", "--maxlength-seq", "+sq", "read as sequence with undefined length"),
)
DELIMITERS = (
    _default("delimiters", "--use-delim-items", "-rd", "use delimitation items from dataset"),
    _repair(
        "delimiters",
        "--replace-wrong-delim",
        "+rd",
        "replace wrong sequence/item delimitation items",
    ),
)
ILLEGAL_OBOW = (
    _default("illegal_obow", "--illegal-obow-rej", "-oi", "reject dataset with illegal element"),
    _repair(
        "illegal_obow",
        "--illegal-obow-conv",
        "+oi",
        "convert undefined length OB/OW element to SQ",
    ),
)
ILLEGAL_VOI = (
    _default("illegal_voi", "--illegal-voi-rej", "-vi", "reject dataset with illegal VOI LUT"),
    _repair("illegal_voi", "--illegal-voi-conv", "+vi", "convert illegal VOI LUT to SQ"),
)
EXPLICIT_PIXEL_DATA = (
    _default(
        "explicit_pixel_data",
        "--abort-expl-pixdata",
        "-pe",
        "abort on explicit length pixel data",
    ),
    _repair("explicit_pixel_data", "--use-expl-pixdata", "+pe", "use explicit length pixel data"),
)
PARSE_ERRORS = (
    _repair("parse_errors", "--ignore-parse-errors", "+Ep", "try to recover from parse errors"),
    _default(
        "parse_errors",
        "--handle-parse-errors",
        "-Ep",
        "handle parse errors and stop parsing",
    ),
)
STOP_AFTER_ELEM = Option(
    field="stop_after",
    names=("--stop-after-elem", "+st"),
    summary='[t]ag: "gggg,eeee" or dictionary name\nstop parsing after element specified by t',
    values=(Text(),),
    available=False,
)
CORRECTION = (
    Option(
        field="correction",
        names=("--enable-correction", "+dc"),
        summary="enable automatic data correction (default)",
        choice="enable",
        default=True,
    ),
    Option(
        field="correction",
        names=("--disable-correction", "-dc"),
        summary="disable automatic data correction",
        choice="disable",
    ),
)
BITSTREAM = (
    _default("bitstream", "--bitstream-deflated", "+bd", "expect deflated bitstream"),
    _repair("bitstream", "--bitstream-zlib", "+bz", "expect deflated zlib bitstream"),
)

# ---- Changing values

CHARACTER_SETS = (
    Option(
        field="charset",
        names=("--convert-to-utf8", "+U8"),
        summary=(
            "convert all element values that are affected\n"
            "by Specific Character Set (0008,0005) to UTF-8"
        ),
        choice="utf8",
        available=False,
    ),
    Option(
        field="charset",
        names=("--convert-to-latin1", "+L1"),
        summary="convert affected element values to ISO 8859-1",
        choice="latin1",
        available=False,
    ),
    Option(
        field="charset",
        names=("--convert-to-ascii", "+A7"),
        summary="convert affected element values to 7-bit ASCII",
        choice="ascii",
        available=False,
    ),
    Option(
        field="charset",
        names=("--convert-to-charset", "+C"),
        summary=(
            "[c]harset: string\n"
            "convert affected element values to the character\n"
            "set specified by the DICOM defined term c"
        ),
        values=(Text(),),
        available=False,
    ),
    Option(
        field="transliterate",
        names=("--transliterate", "-Ct"),
        summary=(
            "try to approximate characters that cannot be\n"
            "represented through similar looking characters"
        ),
        needs=_CONVERTING,
        available=False,
    ),
    Option(
        field="discard_illegal",
        names=("--discard-illegal", "-Cd"),
        summary=("discard characters that cannot be represented\nin destination character set"),
        needs=_CONVERTING,
        available=False,
    ),
)
NO_INVALID_GROUPS = Option(
    field="invalid_groups",
    names=("--no-invalid-groups", "-ig"),
    summary="remove elements with invalid group number",
    available=False,
)

# ---- Output that receivers do not have

WRITE_NEW_META_INFO = Option(
    field="file_format",
    names=("--write-new-meta-info", "+Fm"),
    summary="write file format\nwith new meta information (default)",
    choice="new-meta",
    default=True,
)
WRITE_XFER_GE = Option(
    field="output_transfer_syntax",
    names=("--write-xfer-ge", "+tg"),
    summary="write private GE LEI with big endian pixel TS\n(non-standard)",
    choice="ge",
    available=False,
)
OVERSIZED = (
    Option(
        field="oversized",
        names=("--write-oversized", "+eo"),
        summary=(
            "write oversized explicit length sequences\nand items with undefined length (default)"
        ),
        choice="write",
        default=True,
    ),
    Option(
        field="oversized",
        names=("--abort-oversized", "-eo"),
        summary="abort on oversized explicit sequences/items",
        choice="abort",
        available=False,
    ),
)
PADDING_RETAIN = Option(
    field="padding",
    names=("--padding-retain", "-p="),
    summary="do not change padding\n(default if not --write-dataset)",
    choice="retain",
    default=True,
    conflicts=(in_force("--write-dataset"),),
)
