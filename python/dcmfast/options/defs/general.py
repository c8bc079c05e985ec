"""Options that every tool has: usage, version and logging.

Source: DCMTK's programs, version 3.6.7, where nothing else is said; so in the other files here.
"""

from __future__ import annotations

from dcmfast.options.option import Condition, Option, Text, Word, in_force

#: DCMTK's level names; "all" is the same as "trace".
LOG_LEVELS = ("fatal", "error", "warn", "info", "debug", "trace", "off", "all")

HELP = Option(
    field="help", names=("--help", "-h"), summary="print this help text and exit", exclusive=True
)
VERSION = Option(
    field="version",
    names=("--version",),
    summary="print version information and exit",
    exclusive=True,
)
LIST_DECODERS = Option(
    field="list_decoders",
    names=("--list-decoders",),
    summary="list transfer syntaxes of decoders and exit",
    exclusive=True,
)
ARGUMENTS = Option(
    field="arguments", names=("--arguments",), summary="print expanded command line arguments"
)
QUIET = Option(
    field="verbosity",
    names=("--quiet", "-q"),
    summary="quiet mode, print no warnings and errors",
    choice="quiet",
)
VERBOSE = Option(
    field="verbosity",
    names=("--verbose", "-v"),
    summary="verbose mode, print processing details",
    choice="verbose",
)
DEBUG = Option(
    field="verbosity",
    names=("--debug", "-d"),
    summary="debug mode, print debug information",
    choice="debug",
)

_VERBOSITY = Condition(
    text="--verbose, --debug or --quiet", any_of=("--verbose", "--debug", "--quiet")
)

LOG_LEVEL = Option(
    field="log_level",
    names=("--log-level", "-ll"),
    summary=(
        "[l]evel: string constant\n"
        "(fatal, error, warn, info, debug, trace)\n"
        "use level l for the logger"
    ),
    values=(Word(words=LOG_LEVELS, complaint="Invalid log level for --log-level option"),),
    default="warn",
    conflicts=(_VERBOSITY,),
)
LOG_CONFIG = Option(
    field="log_config",
    names=("--log-config", "-lc"),
    summary="[f]ilename: string\nuse config file f for the logger",
    values=(Text(),),
    conflicts=(in_force("--log-level"), _VERBOSITY),
)
LOG_JSON = Option(
    field="log_json",
    names=("--log-json",),
    summary="write log events to stderr as JSON objects,\none a line (not with --log-config)",
    conflicts=(in_force("--log-config"),),
    source="dcmfast",
)
VERBOSE_PC = Option(
    field="verbose_pc",
    names=("--verbose-pc", "+v"),
    summary="show presentation contexts in verbose mode",
    needs=(
        Condition(
            text="verbose mode",
            any_of=(
                "--verbose",
                "--debug",
                "--log-level=info",
                "--log-level=debug",
                "--log-level=trace",
                "--log-level=all",
                "--log-config=info",
                "--log-config=debug",
                "--log-config=trace",
            ),
        ),
    ),
)

#: What every tool of DCMTK's has, in the order of the usage.
COMMON = (HELP, VERSION, ARGUMENTS, QUIET, VERBOSE, DEBUG, LOG_LEVEL, LOG_CONFIG)

#: What the tools have that are ours alone.
COMMON_OF_OURS = (HELP, VERSION, QUIET, VERBOSE, DEBUG, LOG_LEVEL)

#: Checks come in the order in which DCMTK's tools look at their options: these first.
CHECKS = ("verbosity", "log_level", "log_config", "log_json", "arguments")
