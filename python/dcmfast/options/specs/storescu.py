"""The command line of storescu: DCMTK 3.6.7's."""

from __future__ import annotations

from dcmfast.options.defs import association, general, network, output, processing, tls
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

_PROPOSALS = association.PROPOSALS

STORESCU = FrontEnd(
    tool="storescu",
    description="DICOM storage (C-STORE) SCU",
    parameters=(
        Parameter(name="peer", summary="hostname of DICOM peer"),
        Parameter(name="port", summary="tcp/ip port number of peer"),
        Parameter(
            name="dcmfile-in", summary="DICOM file or directory to be transmitted", many=True
        ),
    ),
    long_column=19,
    groups=(
        group("general options", *general.COMMON, general.VERBOSE_PC),
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
                    title="input files",
                    options=(
                        processing.SCAN_DIRECTORIES,
                        processing.SCAN_PATTERN,
                        processing.NO_RECURSE,
                        processing.RECURSE,
                        processing.NO_RENAME,
                        processing.RENAME,
                    ),
                ),
            ),
        ),
        Group(
            title="network options",
            sections=(
                Section(
                    title="application entity titles",
                    options=(*network.titles("STORESCU"),),
                ),
                Section(
                    title="association negotiation profile from configuration file",
                    options=(
                        association.CONFIG_FILE.replace(
                            conflicts=all_in_force(
                                *(option.long for option in _PROPOSALS[1:]),
                                "--required",
                                "--combine",
                            ),
                        ),
                    ),
                ),
                Section(
                    title="proposed transmission transfer syntaxes (not with --config-file)",
                    options=(*_PROPOSALS, association.REQUIRED, association.COMBINE),
                    long_column=22,
                ),
                Section(
                    title="post-1993 value representations",
                    options=(
                        output.ENABLE_NEW_VR.replace(conflicts=()),
                        output.DISABLE_NEW_VR.replace(conflicts=()),
                    ),
                ),
                Section(
                    title="deflate compression level "
                    "(only with --propose-deflated or --config-file)",
                    options=(
                        output.COMPRESSION_LEVEL.replace(
                            needs=(
                                Condition(
                                    text="--propose-deflated or --config-file",
                                    any_of=("--propose-deflated", "--config-file"),
                                ),
                            ),
                        ),
                    ),
                ),
                Section(
                    title="user identity negotiation",
                    options=(
                        network.USER,
                        network.PASSWORD,
                        network.EMPTY_PASSWORD,
                        network.KERBEROS,
                        network.SAML,
                        network.JWT,
                        network.POS_RESPONSE,
                    ),
                ),
                Section(
                    title="other network options",
                    options=(
                        network.TIMEOUT,
                        network.SOCKET_TIMEOUT,
                        network.ACSE_TIMEOUT,
                        network.DIMSE_TIMEOUT,
                        network.MAX_PDU,
                        network.MAX_SEND_PDU,
                        network.REPEAT,
                        network.ABORT,
                        network.NO_HALT,
                        network.UID_PADDING,
                        processing.INVENT_INSTANCE,
                        processing.INVENT_SERIES,
                        processing.INVENT_STUDY,
                        processing.INVENT_PATIENT,
                    ),
                ),
            ),
        ),
        tls.requestor(),
        group(
            "dcmfast options",
            network.ASSOCIATIONS,
            output.REPORT_JSON,
            general.LOG_JSON,
            tls.NO_SERVER_NAME,
            tls.REQUEST_SERVER_NAME,
        ),
    ),
    checks=(
        PORT,
        *general.CHECKS,
        "verbose_pc",
        "input_format",
        "scan_directories",
        "scan_pattern",
        "recurse",
        "rename",
        *network.TITLE_CHECKS,
        "proposal",
        "required",
        "combine",
        "profile",
        "new_vr",
        "compression_level",
        *network.TIME_CHECKS,
        "max_pdu_bytes",
        "max_send_pdu_bytes",
        "repeat",
        "abort",
        "no_halt",
        "uid_padding",
        "invent_instance",
        "invent_series",
        "invent_study",
        "invent_patient",
        *tls.REQUESTOR_CHECKS,
        *tls.REQUEST_CHECKS,
        "user_identity",
        "password",
        "positive_response",
        "associations",
        "report_json",
    ),
)
