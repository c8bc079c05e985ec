"""The command line of getscu: DCMTK 3.6.7's."""

from __future__ import annotations

from dcmfast.options.defs import general, network, output, query
from dcmfast.options.option import PORT, FrontEnd, Group, Section, group, in_force

_IGNORE = in_force("--ignore")

GETSCU = FrontEnd(
    tool="getscu",
    description="DICOM retrieve (C-GET) SCU",
    parameters=query.PARAMETERS,
    long_column=21,
    groups=(
        group("general options", *general.COMMON, general.VERBOSE_PC),
        Group(
            title="network options",
            sections=(
                Section(
                    title="override matching keys",
                    options=(
                        query.KEY.replace(
                            summary='[k]ey: gggg,eeee="str", path or dic. name="str"\n'
                            "override matching key"
                        ),
                    ),
                ),
                Section(title="retrieve information model", options=query.RETRIEVE_MODELS),
                Section(
                    title="application entity titles",
                    options=(*network.titles("GETSCU"),),
                ),
                Section(
                    title="preferred storage transfer syntaxes (incoming associations)",
                    options=query.PREFERENCES[:-1],
                ),
                Section(
                    title="proposed retrieve transfer syntaxes (outgoing associations)",
                    options=query.PROPOSALS,
                ),
                Section(
                    title="other network options",
                    options=(
                        network.TIMEOUT,
                        network.ACSE_TIMEOUT,
                        network.DIMSE_TIMEOUT,
                        network.MAX_PDU,
                        network.REPEAT,
                        network.ABORT,
                    ),
                ),
            ),
        ),
        Group(
            title="output options",
            sections=(
                Section(
                    title="general",
                    options=(output.OUTPUT_DIRECTORY.replace(conflicts=(_IGNORE,)),),
                ),
                Section(
                    title="storage mode",
                    options=(
                        output.NORMAL.replace(
                            summary="receive in memory, then write to disk (default)",
                            conflicts=(_IGNORE, in_force("--bit-preserving")),
                        ),
                        output.BIT_PRESERVING.replace(
                            summary="receive directly to disk", conflicts=(_IGNORE,)
                        ),
                        network.IGNORE,
                    ),
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
        "verbose_pc",
        *query.CHECKS,
        "preference",
        "proposal",
        *network.TIME_CHECKS_WITHOUT_SOCKET,
        "max_pdu_bytes",
        "repeat",
        "abort",
        "ignore",
        "output_directory",
        # DCMTK looks at the second first.
        ("--bit-preserving", "--normal"),
        "durability",
        "duplicate",
        *query.LIMIT_CHECKS,
    ),
)
