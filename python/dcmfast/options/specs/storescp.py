"""The command line of storescp: DCMTK 3.6.8's manual page and the page of 1998 in one parser.

The spellings of 1998 collide with nothing of today.  Those that mean the same are `aliases`; those
that differ (``-b`` has other limits, ``-te`` and ``-tb`` accept one byte order less) are options of
their own that answer the same field.
"""

from __future__ import annotations

from dcmfast.options.defs import association, general, network, output, processing, tls
from dcmfast.options.option import (
    PORT,
    FrontEnd,
    Group,
    Option,
    Parameter,
    Section,
    Unsigned,
    all_in_force,
    group,
)

# ---- Options of 1998 that are not just another spelling

LITTLE_1998 = Option(
    field="preference",
    names=("-te",),
    summary="accept explicit VR little endian, then implicit",
    choice="little-1998",
    source="storescp 1998",
)
BIG_1998 = Option(
    field="preference",
    names=("-tb",),
    summary="accept explicit VR big endian, then implicit",
    choice="big-1998",
    source="storescp 1998",
)
MAX_PDU_1998 = Option(
    field="max_pdu_bytes",
    names=("-b",),
    summary="[n]umber of bytes: integer (8192..65536)\nset max receive pdu to n bytes",
    values=(Unsigned(minimum=8192, maximum=65536),),
    default=16384,
    source="storescp 1998",
)
SLEEP_AFTER_1998 = network.SLEEP_AFTER.replace(names=("-s",), source="storescp 1998")
SLEEP_DURING_1998 = network.SLEEP_DURING.replace(names=("+s",), source="storescp 1998")

# ---- Conflicts that depend on which preferences there are

_PREFERENCES = (
    association.PREFER_UNCOMPR.replace(aliases=("-t=",)),
    *association.PREFERENCES[1:-2],
    association.IMPLICIT.replace(aliases=("-ti",)),
    association.ACCEPT_ALL,
)
_PROFILE = association.CONFIG_FILE.replace(
    conflicts=all_in_force(
        *(option.long for option in _PREFERENCES[1:]),
        LITTLE_1998.long,
        BIG_1998.long,
        "--promiscuous",
    )
)


STORESCP = FrontEnd(
    tool="storescp",
    description="DICOM storage (C-STORE) SCP",
    parameters=(Parameter(name="port", summary="tcp/ip port number to listen on", required=False),),
    long_column=21,
    groups=(
        group(
            "general options",
            general.HELP,
            general.VERSION,
            general.ARGUMENTS,
            general.QUIET,
            general.VERBOSE.replace(aliases=("+V",)),
            general.DEBUG.replace(aliases=("+d",)),
            general.LOG_LEVEL,
            general.LOG_CONFIG,
            general.VERBOSE_PC,
        ),
        group("multi-process options", network.SINGLE_PROCESS, network.FORK),
        Group(
            title="network options",
            sections=(
                Section(
                    title="association negotiation profile from configuration file",
                    options=(_PROFILE,),
                ),
                Section(
                    title="preferred network transfer syntaxes (not with --config-file)",
                    options=_PREFERENCES,
                ),
                Section(
                    title="network host access control (tcp wrapper)",
                    options=(network.ACCESS_FULL, network.ACCESS_CONTROL),
                ),
                Section(
                    title="other network options",
                    options=(
                        network.INETD,
                        network.SOCKET_TIMEOUT,
                        network.ACSE_TIMEOUT,
                        network.DIMSE_TIMEOUT,
                        network.AETITLE,
                        network.MAX_PDU,
                        network.DISABLE_HOST_LOOKUP,
                        network.REFUSE.replace(aliases=("-r",)),
                        network.REJECT.replace(aliases=("+R",)),
                        network.IGNORE.replace(aliases=("-i",)),
                        network.SLEEP_AFTER,
                        network.SLEEP_DURING,
                        network.ABORT_AFTER,
                        network.ABORT_DURING,
                        network.PROMISCUOUS,
                        network.UID_PADDING,
                    ),
                ),
            ),
        ),
        tls.acceptor(server_name=True),
        Group(
            title="output options",
            sections=(
                Section(title="general", options=(output.OUTPUT_DIRECTORY,)),
                Section(
                    title="bit preserving mode", options=(output.NORMAL, output.BIT_PRESERVING)
                ),
                Section(
                    title="output file format", options=(output.WRITE_FILE, output.WRITE_DATASET)
                ),
                Section(
                    title="output transfer syntax "
                    "(not with --bit-preserving or compressed transmission)",
                    options=output.write_xfer(_PREFERENCES),
                ),
                output.NEW_VR_SECTION,
                output.GROUP_LENGTH_SECTION,
                output.LENGTH_SECTION,
                Section(
                    title="data set trailing padding "
                    "(not with --write-dataset or --bit-preserving)",
                    options=(output.PADDING_OFF, output.PADDING_CREATE),
                ),
                Section(
                    title="handling of defined length UN elements",
                    options=(output.RETAIN_UN, output.CONVERT_UN),
                ),
                Section(
                    title="deflate compression level (only with --write-xfer-deflated/same)",
                    options=(output.COMPRESSION_LEVEL,),
                ),
                Section(
                    title="sorting into subdirectories (not with --bit-preserving)",
                    options=(
                        output.SORT_CONC_STUDIES,
                        output.SORT_ON_STUDY_UID,
                        output.SORT_ON_PATIENTNAME,
                    ),
                ),
                Section(
                    title="filename generation",
                    options=(
                        output.DEFAULT_FILENAMES,
                        output.UNIQUE_FILENAMES,
                        output.TIMENAMES,
                        output.FILENAME_EXTENSION,
                    ),
                ),
            ),
        ),
        group(
            "event options",
            processing.EXEC_ON_RECEPTION,
            processing.EXEC_ON_EOSTUDY,
            processing.RENAME_ON_EOSTUDY,
            processing.EOSTUDY_TIMEOUT,
            processing.EXEC_SYNC,
        ),
        group(
            "options of 1998 with a meaning of their own",
            LITTLE_1998,
            BIG_1998,
            MAX_PDU_1998,
            SLEEP_AFTER_1998,
            SLEEP_DURING_1998,
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
        "process_model",
        "inetd",
        PORT,
        *general.CHECKS,
        "verbose_pc",
        "preference",
        "socket_timeout_s",
        "acse_timeout_s",
        "dimse_timeout_s",
        "ae_title",
        "max_pdu_bytes",
        "disable_host_lookup",
        "refuse",
        "reject",
        "ignore",
        "sleep_after_s",
        "sleep_during_s",
        "abort_after",
        "abort_during",
        "promiscuous",
        "uid_padding",
        "profile",
        "access_control",
        "output_directory",
        "bit_preserving",
        "file_format",
        "output_transfer_syntax",
        "new_vr",
        "group_length",
        "length_encoding",
        "padding",
        "convert_un",
        "compression_level",
        "sorting",
        "naming",
        "timenames",
        "extension",
        "exec_on_reception",
        "exec_on_eostudy",
        "rename_on_eostudy",
        "eostudy_timeout_s",
        "exec_sync",
        *tls.CHECKS,
        *tls.SERVER_NAME_CHECKS,
        "durability",
        "duplicate",
        "associations_max",
        "faults",
        "fault_seed",
    ),
)
