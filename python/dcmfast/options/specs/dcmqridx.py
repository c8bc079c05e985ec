"""The command line of dcmqridx, DCMTK's."""

from __future__ import annotations

from dcmfast.options.defs import general
from dcmfast.options.option import FrontEnd, Option, Parameter, group

PRINT = Option(
    field="print",
    names=("--print", "-p"),
    summary="list contents of database index file",
)
NOT_NEW = Option(
    field="not_new",
    names=("--not-new", "-n"),
    summary="set instance reviewed status to 'not new'",
)

DCMQRIDX = FrontEnd(
    tool="dcmqridx",
    description="Register a DICOM image file in an image database index file",
    parameters=(
        Parameter(name="index-out", summary="storage area for the index file (directory)"),
        Parameter(
            name="dcmfile-in",
            summary="DICOM image file to be registered in the index file",
            required=False,
            many=True,
        ),
    ),
    long_column=12,
    long_begins=7,
    groups=(group("options", *general.COMMON, PRINT, NOT_NEW),),
    checks=("arguments", "verbosity", "log_level", "log_config", "print", "not_new"),
)
