"""The command line of echoscu: DCMTK 3.6.7's."""

from __future__ import annotations

from dcmfast.options.defs import general, network, tls
from dcmfast.options.option import PORT, FrontEnd, Group, Parameter, Section, group

ECHOSCU = FrontEnd(
    tool="echoscu",
    description="DICOM verification (C-ECHO) SCU",
    parameters=(
        Parameter(name="peer", summary="hostname of DICOM peer"),
        Parameter(name="port", summary="tcp/ip port number of peer"),
    ),
    long_column=19,
    groups=(
        group("general options", *general.COMMON),
        Group(
            title="network options",
            sections=(
                Section(
                    title="application entity titles",
                    options=(*network.titles("ECHOSCU"),),
                ),
                Section(
                    title="association negotiation debugging",
                    options=(network.PROPOSE_TS, network.PROPOSE_PC),
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
                    ),
                ),
            ),
        ),
        tls.requestor(offline=True),
        group(
            "dcmfast options",
            general.LOG_JSON,
            network.ECHO_JSON,
            tls.NO_SERVER_NAME,
            tls.REQUEST_SERVER_NAME,
        ),
    ),
    checks=(
        PORT,
        *general.CHECKS,
        *network.TITLE_CHECKS,
        *network.TIME_CHECKS,
        "max_pdu_bytes",
        "repeat",
        "abort",
        "propose_transfer_syntaxes",
        "propose_contexts",
        "report_json",
        *tls.REQUESTOR_CHECKS,
        *tls.REQUEST_CHECKS,
        *tls.OFFLINE_CHECKS,
    ),
)
