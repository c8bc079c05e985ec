"""The command line of findscu: DCMTK 3.6.7's."""

from __future__ import annotations

from dcmfast.options.defs import general, network, output, query, tls
from dcmfast.options.option import PORT, Condition, FrontEnd, Group, Section, group

FINDSCU = FrontEnd(
    tool="findscu",
    description="DICOM query (C-FIND) SCU",
    parameters=query.PARAMETERS,
    long_column=20,
    groups=(
        group("general options", *general.COMMON),
        Group(
            title="network options",
            sections=(
                Section(title="override matching keys", options=(query.KEY,)),
                Section(
                    title="query information model",
                    options=(query.WORKLIST, query.PATIENT, query.STUDY, query.PSONLY),
                ),
                Section(
                    title="application entity titles",
                    options=(*network.titles("FINDSCU"),),
                ),
                Section(
                    title="post-1993 value representations",
                    options=(
                        output.ENABLE_NEW_VR.replace(conflicts=()),
                        output.DISABLE_NEW_VR.replace(conflicts=()),
                    ),
                ),
                Section(title="proposed transmission transfer syntaxes", options=query.PROPOSALS),
                Section(
                    title="deflate compression level (only with --propose-deflated)",
                    options=(
                        output.COMPRESSION_LEVEL.replace(
                            needs=(
                                Condition(
                                    text="--propose-deflated", any_of=("--propose-deflated",)
                                ),
                            ),
                        ),
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
                        network.REPEAT,
                        network.ABORT,
                        query.CANCEL,
                    ),
                ),
            ),
        ),
        tls.requestor(),
        Group(
            title="output options",
            sections=(
                Section(
                    title="general",
                    options=(
                        output.OUTPUT_DIRECTORY.replace(
                            summary='[d]irectory: string (default: ".")\n'
                            "write output files to existing directory d"
                        ),
                    ),
                ),
                Section(
                    title="automatic data correction",
                    options=(query.ENABLE_CORRECTION, query.DISABLE_CORRECTION),
                ),
                Section(
                    title="C-FIND responses",
                    options=(
                        query.SHOW_RESPONSES,
                        query.HIDE_RESPONSES,
                        query.EXTRACT,
                        query.EXTRACT_XML,
                        query.EXTRACT_XML_SINGLE,
                        query.LIMIT_OUTPUT,
                    ),
                ),
            ),
        ),
        group(
            "dcmfast options",
            query.MAX_RESPONSES,
            query.PROGRESS_TIMEOUT,
            query.JSON,
            general.LOG_JSON,
            tls.NO_SERVER_NAME,
            tls.REQUEST_SERVER_NAME,
        ),
    ),
    checks=(
        PORT,
        *general.CHECKS,
        *query.CHECKS,
        "new_vr",
        "proposal",
        "compression_level",
        *network.TIME_CHECKS,
        "max_pdu_bytes",
        "repeat",
        "abort",
        "cancel_after",
        "output_directory",
        "data_correction",
        "shown_responses",
        "extraction",
        "limit_output",
        "json",
        *query.LIMIT_CHECKS,
        *tls.REQUESTOR_CHECKS,
        *tls.REQUEST_CHECKS,
    ),
)
