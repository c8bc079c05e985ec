"""The command line of movescu: DCMTK 3.6.7's, and of the manual page of 3.5.4 what it still has."""

from __future__ import annotations

from dcmfast.options.defs import general, network, output, query
from dcmfast.options.option import (
    PORT,
    FrontEnd,
    Group,
    Section,
    group,
)

#: In the order of DCMTK's usage.
_PREFERENCES = query.PREFERENCES


MOVESCU = FrontEnd(
    tool="movescu",
    description="DICOM retrieve (C-MOVE) SCU",
    parameters=query.PARAMETERS,
    long_column=21,
    groups=(
        group("general options", *general.COMMON),
        Group(
            title="network options",
            sections=(
                Section(
                    title="override matching keys",
                    options=(
                        query.KEY.replace(
                            summary='[k]ey: gggg,eeee="str" or dict. name="str"\n'
                            "override matching key"
                        ),
                    ),
                ),
                Section(title="query information model", options=query.RETRIEVE_MODELS),
                Section(
                    title="application entity titles",
                    options=(
                        *network.titles("MOVESCU"),
                        query.MOVE,
                    ),
                ),
                Section(
                    title="preferred network transfer syntaxes (incoming associations)",
                    options=_PREFERENCES,
                ),
                Section(
                    title="proposed transmission transfer syntaxes (outgoing associations)",
                    options=query.PROPOSALS,
                ),
                Section(
                    title="network host access control (tcp wrapper)",
                    options=(network.ACCESS_FULL, network.ACCESS_CONTROL),
                ),
                Section(
                    title="port for incoming network associations",
                    options=(query.NO_PORT, query.RECEIVING_PORT),
                ),
                Section(
                    title="handling of illegal datasets following 'pending' move responses",
                    options=(query.PENDING_IGNORE, query.PENDING_READ),
                ),
                Section(
                    title="other network options",
                    options=(
                        network.TIMEOUT,
                        network.ACSE_TIMEOUT,
                        network.DIMSE_TIMEOUT,
                        network.MAX_PDU,
                        network.DISABLE_HOST_LOOKUP,
                        network.REPEAT,
                        network.ABORT,
                        network.IGNORE,
                        query.CANCEL,
                        network.UID_PADDING,
                    ),
                ),
            ),
        ),
        Group(
            title="output options",
            sections=(
                Section(
                    title="general",
                    options=(output.OUTPUT_DIRECTORY.replace(needs=(query.NEEDS_PORT,)),),
                ),
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
            query.MAX_RESPONSES,
            query.PROGRESS_TIMEOUT,
            output.DURABILITY,
            output.DUPLICATE,
            general.LOG_JSON,
        ),
    ),
    checks=(
        PORT,
        *general.CHECKS,
        *query.CHECKS,
        "destination",
        "preference",
        "proposal",
        "access_control",
        *network.TIME_CHECKS_WITHOUT_SOCKET,
        "receiving_port",
        "pending_data",
        "max_pdu_bytes",
        "disable_host_lookup",
        "repeat",
        "abort",
        "ignore",
        "cancel_after",
        "uid_padding",
        "output_directory",
        "bit_preserving",
        "file_format",
        "output_transfer_syntax",
        "new_vr",
        "group_length",
        "length_encoding",
        "padding",
        "compression_level",
        "durability",
        "duplicate",
        *query.LIMIT_CHECKS,
    ),
)
