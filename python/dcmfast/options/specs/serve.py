"""The command line of serve: an archive that needs no configuration file.

Small on purpose: a directory is all it takes.  Who needs access rights, quotas or several storage
areas writes a configuration for dcmqrscp.
"""

from __future__ import annotations

from dcmfast.options.defs import archive, general, network, output
from dcmfast.options.defs.archive import DIRECTORY_DEFAULT
from dcmfast.options.option import FrontEnd, Option, Parameter, Text, Unsigned, group

SERVE_PORT = Option(
    field="port_number",
    names=("--port", "-p"),
    summary=(
        "[n]umber: integer (0..65535, default: 11112)\nport to listen on; 0 takes one that is free"
    ),
    values=(Unsigned(minimum=0, maximum=65535),),
    default=11112,
    source="dcmfast",
)
SERVE_BIND = Option(
    field="bind",
    names=("--bind", "-b"),
    summary=(
        "[a]ddress: string (default: 127.0.0.1)\n"
        "address to listen on: 0.0.0.0 or :: for every\n"
        "one of this host. Whoever can reach it can store\n"
        "and read; there is no access control here"
    ),
    values=(Text(),),
    default="127.0.0.1",
    source="dcmfast",
)
SERVE_PEER = Option(
    field="peers",
    names=("--peer",),
    summary=("[p]eer: TITLE=HOST:PORT\nwhere C-MOVE may send to; may be given many times"),
    values=(Text(),),
    repeatable=True,
    source="dcmfast",
)

SERVE = FrontEnd(
    tool="serve",
    description="an image archive in a directory, without a configuration file",
    parameters=(
        Parameter(
            name="directory",
            summary=(
                f"where objects are kept; made if it is not there\n(default: ./{DIRECTORY_DEFAULT})"
            ),
            required=False,
        ),
    ),
    long_column=22,
    starts_bare=True,
    is_dcmtks=False,
    groups=(
        group(
            "general options",
            *general.COMMON_OF_OURS,
            general.LOG_CONFIG,
            general.LOG_JSON,
        ),
        group(
            "network options",
            SERVE_PORT,
            SERVE_BIND,
            SERVE_PEER,
            output.MAX_ASSOCIATIONS,
            network.FAULT,
            network.FAULT_SEED,
        ),
        group(
            "archive options",
            archive.MATCHING.replace(
                summary=archive.MATCHING.summary.replace("(default: dcmtk)", "(default: standard)"),
                default="standard",
            ),
            archive.DURABILITY,
            archive.DUPLICATE,
        ),
    ),
    checks=(
        "verbosity",
        "log_level",
        "log_config",
        "log_json",
        "port_number",
        "bind",
        "peers",
        "associations_max",
        "faults",
        "fault_seed",
        "matching",
        "durability",
        "duplicate",
    ),
)
