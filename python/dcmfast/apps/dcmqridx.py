"""dcmqridx: list files in the index of a storage area, where they are.

The lines and the exit codes are those of DCMTK 3.6.7, as run.
"""

from __future__ import annotations

import os
import sys

from dcmfast.apps import frame
from dcmfast.errors import IndexToolFailure
from dcmfast.observe.logs import Log
from dcmfast.options import index_settings
from dcmfast.options.index_settings import RegisterSettings
from dcmfast.options.specs.dcmqridx import DCMQRIDX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def main(arguments: list[str]) -> int:
    """Run dcmqridx with the arguments behind its name; return the exit code."""
    return frame.main(DCMQRIDX, index_settings.dcmqridx, _run, arguments)


def _run(what: RegisterSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import dictionaries

    log = Log(what.log_level, tool="dcmqridx", table=what.log_table)
    if what.arguments_line is not None:
        log.line_at_any_level(what.arguments_line)
    log.banner()
    dictionaries.use(what, log)
    if not os.path.isdir(what.directory):
        reason = os.strerror(20 if os.path.exists(what.directory) else 2)
        raise IndexToolFailure(("E", f"{what.directory}: {reason}"))
    if what.files or not what.is_printing or not _has_index(what.directory):
        _register(what, log)
    if what.is_printing:
        try:
            for line in _listing(what.directory):
                sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Who read it has had enough; Python would complain again at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _has_index(directory: str) -> bool:
    """Whether there is one to print; DCMTK makes an empty one where there is none."""
    return os.path.lexists(os.path.join(directory, ".dcmfast", "index", "data.mdb"))


def _register(what: RegisterSettings, log: Log) -> None:
    from dcmfast.archive.index import Registrar

    with Registrar(what.directory, log_level=what.log_level) as registrar:
        for file in what.files:
            if not os.access(file, os.R_OK):
                log.line("E", f"cannot access: {file}")
                continue
            log.line("I", f"registering: {file}")
            outcome, text = registrar.register(file, is_reviewed=what.is_reviewed)
            if outcome == "refused":
                log.line("E", f"cannot load dicom file: {file}")
                log.line("E", f"{file}: {text}", logger="dcmfast.archive")
            elif outcome == "replaced":
                log.line(
                    "W",
                    f"file delete operations are disabled, keeping file: {text} "
                    "despite duplicate SOP Instance UID",
                )


#: What -p prints of a record, in DCMTK's order and with its names; two come twice.
_FIELDS = (
    ("PatientBirthDate", 0x00100030),
    ("PatientSex", 0x00100040),
    ("PatientName", 0x00100010),
    ("PatientID", 0x00100020),
    ("PatientBirthTime", 0x00100032),
    ("RETIRED_OtherPatientIDs", 0x00101000),
    ("OtherPatientNames", 0x00101001),
    ("EthnicGroup", 0x00102160),
    ("StudyDate", 0x00080020),
    ("StudyTime", 0x00080030),
    ("StudyID", 0x00200010),
    ("StudyDescription", 0x00081030),
    ("NameOfPhysiciansReadingStudy", 0x00081060),
    ("AccessionNumber", 0x00080050),
    ("ReferringPhysicianName", 0x00080090),
    ("StudyDescription", 0x00081030),
    ("NameOfPhysiciansReadingStudy", 0x00081060),
    ("StudyInstanceUID", 0x0020000D),
    ("RETIRED_OtherStudyNumbers", 0x00201070),
    ("AdmittingDiagnosesDescription", 0x00081080),
    ("PatientAge", 0x00101010),
    ("PatientSize", 0x00101020),
    ("PatientWeight", 0x00101030),
    ("Occupation", 0x00102180),
    ("SeriesNumber", 0x00200011),
    ("SeriesInstanceUID", 0x0020000E),
    ("Modality", 0x00080060),
    ("InstanceNumber", 0x00200013),
    ("SOPInstanceUID", 0x00080018),
    ("SeriesDate", 0x00080021),
    ("SeriesTime", 0x00080031),
    ("SeriesDescription", 0x0008103E),
    ("ProtocolName", 0x00181030),
    ("OperatorsName", 0x00081070),
    ("PerformingPhysicianName", 0x00081050),
    ("ContentLabel", 0x00700080),
    ("IssuerOfPatientID", 0x00100021),
    ("SpecificCharacterSet", 0x00080005),
)


def _listing(directory: str) -> Iterator[str]:
    """Yield the lines of ``-p``: studies, then every instance, in order of arrival."""
    from dcmfast.archive import index

    yield "-- DB Index File --"
    studies = sorted(index.studies(directory), key=lambda one: one.number)
    for number, study in enumerate(studies):
        yield "*" * 54
        yield f"STUDY DESCRIPTOR: {number}"
        yield f"  Study UID: {study.study_instance_uid}"
        yield f"  StudySize: {study.file_bytes}"
        yield f"  LastRecDate: {study.last_reception_s:g}"
        yield f"  NumOfImages: {study.instances}"
    count = 0
    for one in index.instances(directory):
        yield "*" * 55
        yield f"RECORD NUMBER: {count}"
        yield f"  Status: is {'NOT ' if one.is_reviewed else ''}new"
        yield f"  Filename: {one.path}"
        yield f"  ImageSize: {one.file_bytes}"
        yield f"  RecordedDate: {one.received_s:g}"
        for name, tag in _FIELDS:
            yield f'    {name}: "{one.text(tag)}"'
        count += 1
    yield "*" * 55
    yield f"RECORDS IN THIS INDEXFILE: {count}"
