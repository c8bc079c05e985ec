"""The command line of dcmsend: DCMTK 3.6.7's."""

from __future__ import annotations

from dcmfast.options.defs import general, network, output, processing
from dcmfast.options.option import (
    PORT,
    FrontEnd,
    Group,
    Parameter,
    Section,
    Unsigned,
    group,
)

#: As dcmrecv, and other than the older tools, it reads times as unsigned numbers.
_SECONDS = (Unsigned(minimum=1),)
#: These two end the program before anything else is looked at.
_HELP, _VERSION, *_LOGGING = general.COMMON

DCMSEND = FrontEnd(
    tool="dcmsend",
    description="Simple DICOM storage SCU (sender)",
    parameters=(
        Parameter(name="peer", summary="hostname of DICOM peer"),
        Parameter(name="port", summary="tcp/ip port number of peer"),
        Parameter(
            name="dcmfile-in", summary="DICOM file or directory to be transmitted", many=True
        ),
    ),
    long_column=21,
    groups=(
        group(
            "general options",
            _HELP,
            _VERSION,
            general.LIST_DECODERS,
            *_LOGGING,
            general.VERBOSE_PC,
        ),
        Group(
            title="input options",
            sections=(
                Section(
                    title="input file format",
                    options=(
                        processing.READ_FILE.replace(
                            summary="read file format or data set", default=None
                        ),
                        processing.READ_FILE_ONLY.replace(
                            summary="read file format only (default)", default=True
                        ),
                        processing.READ_DATASET,
                    ),
                ),
                Section(
                    title="input files",
                    options=(
                        processing.READ_FROM_DICOMDIR,
                        processing.SCAN_DIRECTORIES,
                        processing.SCAN_PATTERN.replace(
                            summary="[p]attern: string (only w/ --scan-directories)\n"
                            "pattern for filename matching (wildcards)"
                        ),
                        processing.NO_RECURSE,
                        processing.RECURSE,
                    ),
                ),
            ),
        ),
        Group(
            title="processing options",
            sections=(
                Section(
                    title="transfer syntax conversion",
                    options=(
                        processing.DECOMPRESS_NEVER,
                        processing.DECOMPRESS_LOSSLESS,
                        processing.DECOMPRESS_LOSSY,
                    ),
                ),
                Section(
                    title="deflate compression level",
                    options=(output.COMPRESSION_LEVEL.replace(needs=()),),
                ),
                Section(
                    title="other processing options",
                    options=(
                        network.NO_HALT.replace(
                            summary="do not halt on first invalid input file\n"
                            "or if unsuccessful store encountered"
                        ),
                        processing.NO_ILLEGAL_PROPOSAL,
                        processing.NO_UID_CHECKS,
                    ),
                ),
            ),
        ),
        Group(
            title="network options",
            sections=(
                Section(
                    title="application entity titles",
                    options=(*network.titles("DCMSEND"),),
                ),
                Section(
                    title="association handling",
                    options=(network.MULTI_ASSOCIATIONS, network.SINGLE_ASSOCIATION),
                ),
                Section(
                    title="other network options",
                    options=(
                        network.TIMEOUT.replace(values=_SECONDS),
                        network.ACSE_TIMEOUT.replace(values=_SECONDS),
                        network.DIMSE_TIMEOUT.replace(values=_SECONDS),
                        network.MAX_PDU,
                        network.MAX_SEND_PDU,
                    ),
                ),
            ),
        ),
        Group(
            title="output options",
            sections=(Section(title="general", options=(output.CREATE_REPORT_FILE,)),),
        ),
        group("dcmfast options", network.ASSOCIATIONS, output.REPORT_JSON, general.LOG_JSON),
    ),
    checks=(
        *general.CHECKS,
        "verbose_pc",
        "input_format",
        "read_dicomdir",
        "scan_directories",
        "scan_pattern",
        "recurse",
        "decompression",
        "compression_level",
        "no_halt",
        "no_illegal_proposal",
        "no_uid_checks",
        *network.TITLE_CHECKS,
        "association_handling",
        *network.TIME_CHECKS_WITHOUT_SOCKET,
        "max_pdu_bytes",
        "max_send_pdu_bytes",
        "report_file",
        "associations",
        "report_json",
        PORT,
    ),
)
