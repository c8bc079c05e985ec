"""The command line of dcmqrscp: DCMTK 3.6.7's program and the page of 3.5.4 in one parser."""

from __future__ import annotations

from dcmfast.options.defs import archive, association, general, network, output
from dcmfast.options.option import (
    PORT,
    Condition,
    FrontEnd,
    Group,
    Parameter,
    Section,
    all_in_force,
    group,
)

_VERBOSITY = Condition(
    text="--verbose, --debug or --quiet",
    any_of=("--verbose", "--very-verbose", "--debug", "--quiet"),
)
_LOG_LEVEL = general.LOG_LEVEL.replace(conflicts=(_VERBOSITY,))
_LOG_CONFIG = general.LOG_CONFIG.replace(conflicts=(general.LOG_CONFIG.conflicts[0], _VERBOSITY))

#: All but --accept-all, which dcmqrscp does not have.
_PREFERENCES = tuple(
    option.replace(summary="prefer MPEG4 AVC/H.264 Stereo / Level 4.2 TS")
    if option is association.PREFER_MPEG4_2_ST
    else option
    for option in association.PREFERENCES
    if option is not association.ACCEPT_ALL
)
_PROFILE = archive.ASSOC_CONFIG_FILE.replace(
    conflicts=all_in_force(
        *(option.long for option in _PREFERENCES[1:]),
        *(option.long for option in association.PROPOSALS[1:]),
    )
)


DCMQRSCP = FrontEnd(
    tool="dcmqrscp",
    description="DICOM image archive (central test node)",
    parameters=(
        Parameter(
            name="port",
            summary="tcp/ip port number to listen on\n(default: in config file)",
            required=False,
        ),
    ),
    long_column=22,
    starts_bare=True,
    groups=(
        group(
            "general options",
            general.HELP,
            general.VERSION,
            general.ARGUMENTS,
            general.QUIET,
            general.VERBOSE,
            archive.VERY_VERBOSE,
            general.DEBUG,
            _LOG_LEVEL,
            _LOG_CONFIG,
            archive.CONFIG,
        ),
        group("multi-process options", archive.SINGLE_PROCESS, archive.FORK),
        Group(
            title="database options",
            sections=(
                Section(
                    title="association negotiation",
                    options=(
                        archive.REQUIRE_FIND,
                        archive.NO_PARALLEL_STORE,
                        archive.DISABLE_GET,
                        archive.ALLOW_SHUTDOWN,
                    ),
                ),
                Section(
                    title="checking identifier validity",
                    options=(
                        archive.CHECK_FIND,
                        archive.NO_CHECK_FIND,
                        archive.CHECK_MOVE,
                        archive.NO_CHECK_MOVE,
                    ),
                ),
                Section(
                    title="restriction of move targets",
                    options=(
                        archive.MOVE_UNRESTRICTED,
                        archive.MOVE_AETITLE,
                        archive.MOVE_HOST,
                        archive.MOVE_VENDOR,
                    ),
                ),
                Section(
                    title="restriction of query/retrieve models",
                    options=(
                        archive.NO_PATIENT_ROOT,
                        archive.NO_STUDY_ROOT,
                        archive.NO_PATIENT_STUDY,
                    ),
                ),
            ),
        ),
        Group(
            title="network options",
            sections=(
                Section(
                    title="association negotiation profiles from configuration file",
                    options=(_PROFILE,),
                ),
                Section(
                    title="preferred network transfer syntaxes (incoming associations)",
                    options=_PREFERENCES,
                ),
                Section(
                    title="proposed transmission transfer syntaxes (outgoing associations)",
                    options=association.PROPOSALS,
                ),
                Section(
                    title="network host access control (tcp wrapper)",
                    options=(network.ACCESS_FULL, network.ACCESS_CONTROL),
                ),
                Section(
                    title="other network options",
                    options=(
                        network.TIMEOUT,
                        network.ACSE_TIMEOUT,
                        network.DIMSE_TIMEOUT,
                        network.MAX_PDU.replace(
                            summary=(
                                "[n]umber of bytes: integer (4096..131072)\n"
                                "set max receive pdu to n bytes\n"
                                "(default: use value from configuration file)"
                            ),
                            default=None,
                        ),
                        network.DISABLE_HOST_LOOKUP,
                        network.REFUSE,
                        network.REJECT,
                        network.IGNORE,
                        network.UID_PADDING,
                    ),
                ),
            ),
        ),
        Group(
            title="processing options",
            sections=(
                Section(
                    title="specific character set",
                    options=(
                        archive.USE_REQUEST_CHARSET,
                        archive.OVERRIDE_CHARSET,
                        archive.CONVERT_TO_ASCII,
                        archive.CONVERT_TO_UTF8,
                        archive.CONVERT_TO_LATIN1,
                        archive.CONVERT_TO_CHARSET,
                        archive.TRANSLITERATE,
                        archive.DISCARD_ILLEGAL,
                    ),
                ),
            ),
        ),
        Group(
            title="output options",
            sections=(
                Section(
                    title="bit preserving mode", options=(output.NORMAL, output.BIT_PRESERVING)
                ),
                Section(
                    title="output file format",
                    options=(output.WRITE_FILE, output.WRITE_DATASET),
                ),
                Section(
                    title="output transfer syntax "
                    "(not with --bit-preserving or compressed transmission)",
                    options=output.write_xfer(_PREFERENCES),
                ),
                Section(
                    title="post-1993 value representations",
                    # Unlike storescp's, these two go with --bit-preserving.
                    options=(
                        output.ENABLE_NEW_VR.replace(conflicts=()),
                        output.DISABLE_NEW_VR.replace(conflicts=()),
                    ),
                ),
                output.GROUP_LENGTH_SECTION,
                output.LENGTH_SECTION,
                Section(
                    title="data set trailing padding "
                    "(not with --write-dataset or --bit-preserving)",
                    options=(
                        output.PADDING_OFF,
                        output.PADDING_CREATE_NARROW,
                    ),
                ),
                Section(
                    title="deflate compression level (only with -xd or --write-xfer-deflated/same)",
                    options=(output.COMPRESSION_LEVEL_ALSO_PROPOSED,),
                ),
            ),
        ),
        group(
            "dcmfast options",
            general.LOG_JSON,
            archive.MATCHING,
            archive.DURABILITY,
            archive.DUPLICATE,
            output.MAX_ASSOCIATIONS.replace(
                summary=(
                    "[n]umber: integer (1..4096)\n"
                    "serve n associations at once; the next is\n"
                    "rejected: transient, local limit exceeded\n"
                    "(without it: MaxAssociations of the config file)"
                ),
                default=None,
            ),
            network.FAULT,
            network.FAULT_SEED,
        ),
    ),
    checks=(
        PORT,
        *general.CHECKS,
        "config",
        "process_model",
        "require_find",
        "no_parallel_store",
        "disable_get",
        "allow_shutdown",
        "check_find",
        "check_move",
        "move_targets",
        "no_patient_root",
        "no_study_root",
        "no_patient_study",
        "preference",
        "proposal",
        "access_control",
        *network.TIME_CHECKS_WITHOUT_SOCKET,
        "max_pdu_bytes",
        "disable_host_lookup",
        "refuse",
        "reject",
        "ignore",
        "uid_padding",
        "profile",
        "response_charset",
        "charset",
        "transliterate",
        "discard_illegal",
        "bit_preserving",
        "file_format",
        "output_transfer_syntax",
        "new_vr",
        "group_length",
        "length_encoding",
        "padding",
        "compression_level",
        "matching",
        "durability",
        "duplicate",
        "associations_max",
        "faults",
        "fault_seed",
    ),
)
