"""The command line of dcmconv, DCMTK's: what it says about encodings; repairs are refused."""

from __future__ import annotations

from dcmfast.options.defs import conversion, general, output, processing
from dcmfast.options.option import FrontEnd, Group, Parameter, Section, group, in_force

DCMCONV = FrontEnd(
    tool="dcmconv",
    description="Convert DICOM file encoding",
    parameters=(
        Parameter(name="dcmfile-in", summary="DICOM input filename to be converted"),
        Parameter(name="dcmfile-out", summary="DICOM output filename"),
    ),
    long_column=21,
    long_begins=9,
    groups=(
        group("general options", *general.COMMON),
        Group(
            title="input options",
            sections=(
                Section(
                    title="input file format",
                    options=(
                        processing.READ_FILE,
                        processing.READ_FILE_ONLY,
                        processing.READ_DATASET,
                    ),
                ),
                Section(
                    title="input transfer syntax",
                    options=(
                        conversion.READ_XFER_AUTO,
                        conversion.READ_XFER_DETECT,
                        conversion.READ_XFER_LITTLE,
                        conversion.READ_XFER_BIG,
                        conversion.READ_XFER_IMPLICIT,
                    ),
                ),
                Section(title="parsing of file meta information", options=conversion.META_LENGTH),
                Section(title="parsing of odd-length attributes", options=conversion.ODD_LENGTH),
                Section(title="handling of explicit VR", options=conversion.EXPLICIT_VR),
                Section(title="handling of non-standard VR", options=conversion.NON_STANDARD_VR),
                Section(
                    title="handling of undefined length UN elements",
                    options=conversion.UNDEFINED_UN,
                ),
                Section(
                    title="handling of defined length UN elements",
                    options=(output.RETAIN_UN, output.CONVERT_UN),
                ),
                Section(
                    title="handling of private max-length elements (implicit VR)",
                    options=conversion.MAX_LENGTH,
                ),
                Section(
                    title="handling of wrong delimitation items", options=conversion.DELIMITERS
                ),
                Section(
                    title="handling of illegal undefined length OB/OW elements",
                    options=conversion.ILLEGAL_OBOW,
                ),
                Section(
                    title="handling of VOI LUT Sequence with OW VR and explicit length",
                    options=conversion.ILLEGAL_VOI,
                ),
                Section(
                    title="handling of explicit length pixel data for encaps. transfer syntaxes",
                    options=conversion.EXPLICIT_PIXEL_DATA,
                ),
                Section(title="general handling of parser errors", options=conversion.PARSE_ERRORS),
                Section(title="other parsing options", options=(conversion.STOP_AFTER_ELEM,)),
                Section(title="automatic data correction", options=conversion.CORRECTION),
                Section(title="bitstream format of deflated input", options=conversion.BITSTREAM),
            ),
        ),
        Group(
            title="processing options",
            sections=(
                Section(title="specific character set", options=conversion.CHARACTER_SETS),
                Section(title="other processing options", options=(conversion.NO_INVALID_GROUPS,)),
            ),
        ),
        Group(
            title="output options",
            sections=(
                Section(
                    title="output file format",
                    options=(
                        conversion.WRITE_NEW_META_INFO,
                        output.WRITE_FILE.replace(summary="write file format", default=None),
                        output.WRITE_DATASET,
                    ),
                ),
                Section(
                    title="output transfer syntax",
                    options=(
                        output.WRITE_XFER_SAME,
                        output.WRITE_XFER_LITTLE,
                        output.WRITE_XFER_BIG,
                        output.WRITE_XFER_IMPLICIT,
                        output.WRITE_XFER_DEFLATED.replace(
                            summary="write with deflated explicit VR little endian TS",
                            conflicts=(),
                        ),
                        conversion.WRITE_XFER_GE,
                    ),
                ),
                Section(
                    title="post-1993 value representations",
                    options=(
                        output.ENABLE_NEW_VR.replace(conflicts=()),
                        output.DISABLE_NEW_VR.replace(conflicts=()),
                    ),
                ),
                Section(
                    title="group length encoding",
                    options=(
                        output.GROUP_LENGTH_RECALC.replace(conflicts=()),
                        output.GROUP_LENGTH_CREATE.replace(conflicts=()),
                        output.GROUP_LENGTH_REMOVE.replace(conflicts=()),
                    ),
                ),
                Section(
                    title="length encoding in sequences and items",
                    options=(
                        output.LENGTH_EXPLICIT.replace(conflicts=()),
                        output.LENGTH_UNDEFINED.replace(conflicts=()),
                        *conversion.OVERSIZED,
                    ),
                ),
                Section(
                    title="data set trailing padding (not with --write-dataset)",
                    options=(
                        conversion.PADDING_RETAIN,
                        output.PADDING_OFF.replace(
                            summary="no padding (implicit if --write-dataset)", default=None
                        ),
                        output.PADDING_CREATE.replace(
                            summary="[f]ile-pad [i]tem-pad: integer\n"
                            "align file on multiple of f bytes\n"
                            "and items on multiple of i bytes",
                            conflicts=(in_force("--write-dataset"),),
                        ),
                    ),
                ),
                Section(
                    title="deflate compression level (only with --write-xfer-deflated)",
                    options=(
                        output.COMPRESSION_LEVEL.replace(
                            needs=(in_force("--write-xfer-deflated"),)
                        ),
                    ),
                ),
            ),
        ),
        group("dcmfast options", general.LOG_JSON),
    ),
    checks=(
        *general.CHECKS,
        "input_format",
        "input_transfer_syntax",
        "meta_length",
        "odd_length",
        "explicit_vr",
        "non_standard_vr",
        "undefined_un",
        "convert_un",
        "max_length",
        "delimiters",
        "illegal_obow",
        "illegal_voi",
        "explicit_pixel_data",
        "parse_errors",
        "stop_after",
        "correction",
        "bitstream",
        "charset",
        "transliterate",
        "discard_illegal",
        "invalid_groups",
        "file_format",
        "output_transfer_syntax",
        "new_vr",
        "group_length",
        "length_encoding",
        "oversized",
        "padding",
        "compression_level",
    ),
)
