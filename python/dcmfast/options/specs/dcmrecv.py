"""The command line of dcmrecv: DCMTK 3.6.6's manual page."""

from __future__ import annotations

from dcmfast.options.defs import association, general, network, output, tls
from dcmfast.options.option import (
    PORT,
    FrontEnd,
    Group,
    Parameter,
    Section,
    Unsigned,
    group,
    in_force,
)

# Unlike the other tools, dcmrecv reads its times as unsigned numbers: 08 is 8 here.
_SECONDS = (Unsigned(minimum=1),)

DCMRECV = FrontEnd(
    tool="dcmrecv",
    description="Simple DICOM storage SCP (receiver)",
    parameters=(Parameter(name="port", summary="tcp/ip port number to listen on"),),
    long_column=21,
    groups=(
        group("general options", *general.COMMON, general.VERBOSE_PC),
        Group(
            title="network options",
            sections=(
                Section(
                    title="association negotiation profile from configuration file",
                    options=(
                        association.CONFIG_FILE.replace(
                            summary="[f]ilename, [p]rofile: string\n"
                            "use profile p from configuration file f",
                        ),
                    ),
                ),
                Section(
                    title="application entity title",
                    options=(
                        network.AETITLE.replace(
                            summary="[a]etitle: string\nset my AE title (default: DCMRECV)",
                            default="DCMRECV",
                        ),
                        network.USE_CALLED_AETITLE,
                    ),
                ),
                Section(
                    title="other network options",
                    options=(
                        network.ACSE_TIMEOUT.replace(values=_SECONDS),
                        network.DIMSE_TIMEOUT.replace(values=_SECONDS),
                        network.MAX_PDU,
                        network.DISABLE_HOST_LOOKUP,
                    ),
                ),
            ),
        ),
        tls.acceptor(),
        Group(
            title="output options",
            sections=(
                Section(title="general", options=(output.OUTPUT_DIRECTORY,)),
                Section(
                    title="subdirectory generation",
                    options=(output.NO_SUBDIR, output.SERIES_DATE_SUBDIR),
                ),
                Section(
                    title="filename generation",
                    options=(
                        output.DEFAULT_FILENAMES.replace(names=("--default-filenames", "+fd")),
                        output.UNIQUE_FILENAMES.replace(
                            names=("--unique-filenames", "+fu"),
                            summary="generate unique filename based on new UID",
                        ),
                        output.SHORT_UNIQUE_NAMES,
                        output.SYSTEM_TIME_NAMES,
                        output.FILENAME_EXTENSION.replace(
                            summary="[e]xtension: string (default: none)\n"
                            "append e to all generated filenames",
                        ),
                    ),
                ),
                Section(
                    title="storage mode",
                    options=(
                        output.NORMAL.replace(field="storage_mode"),
                        output.BIT_PRESERVING.replace(
                            field="storage_mode",
                            summary="write dataset exactly as received",
                            conflicts=(in_force("--series-date-subdir"),),
                        ),
                        network.IGNORE.replace(
                            field="storage_mode",
                            choice="ignore",
                            summary="ignore dataset, receive but do not store it",
                        ),
                    ),
                ),
            ),
        ),
        group(
            "dcmfast options",
            general.LOG_JSON,
            output.DURABILITY,
            output.DUPLICATE,
            output.MAX_ASSOCIATIONS,
            network.FAULT,
            network.FAULT_SEED,
        ),
    ),
    checks=(
        *general.CHECKS,
        "verbose_pc",
        "profile",
        "ae_title",
        "acse_timeout_s",
        "dimse_timeout_s",
        "max_pdu_bytes",
        "disable_host_lookup",
        "output_directory",
        "subdirectory",
        "naming",
        "extension",
        "storage_mode",
        PORT,
        *tls.CHECKS,
        "durability",
        "duplicate",
        "associations_max",
        "faults",
        "fault_seed",
    ),
)
