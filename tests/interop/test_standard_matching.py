"""``--matching standard`` as others' clients see it: PS3.4 §C.2 and §C.4.1, asked by pynetdicom.

One archive with three studies, one server for all questions.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    CTImageStorage,  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,  # type: ignore[attr-defined]
)

from testkit.finds import RunningArchive
from testkit.process import run_tool

STUDY_ROOT = StudyRootQueryRetrieveInformationModelFind
PATIENT_ROOT = PatientRootQueryRetrieveInformationModelFind
PENDING, PENDING_WITH_WARNING = 0xFF00, 0xFF01
NOT_MATCHING_SOP_CLASS = 0xA900
ROOT = "1.2.826.0.1.3680043.8.498."


def instance(
    number: int, study: int, series: int, charset: str, name: str, day: str, clock: str, **more: str
) -> Dataset:
    """One CT instance; `more` are elements by keyword."""
    made = Dataset()
    made.SpecificCharacterSet = charset
    made.SOPClassUID = CTImageStorage
    made.SOPInstanceUID = f"{ROOT}3.{number}"
    made.StudyInstanceUID = f"{ROOT}1.{study}"
    made.SeriesInstanceUID = f"{ROOT}2.{series}"
    made.PatientID = f"P{study}"
    made.PatientName = name
    made.StudyDate, made.StudyTime = day, clock
    for keyword, value in more.items():
        setattr(made, keyword, value)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def objects() -> Iterator[Dataset]:
    latin = {"charset": "ISO_IR 100", "name": "Müller^Jörg", "day": "20240101", "clock": "230000"}
    yield instance(1, 1, 1, **latin, Modality="CT", StudyDescription="Schädel")
    yield instance(2, 1, 1, **latin, Modality="CT", StudyDescription="Schädel")
    requested = instance(3, 1, 2, **latin, Modality="MR", StudyDescription="Schädel")
    step = Dataset()
    step.ScheduledProcedureStepID = "SPS1"
    step.ScheduledProcedureStepDescription = "Schädel nativ"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "C1", "99", "Schädel"
    step.ScheduledProtocolCodeSequence = [code]
    other = Dataset()
    other.ScheduledProcedureStepID = "SPS3"
    requested.RequestAttributesSequence = [step, other]
    yield requested
    yield instance(
        4, 2, 3, "ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう", "20240102", "010000",
        Modality="CT",
    )  # fmt: skip
    yield instance(5, 3, 4, "ISO_IR 6", "DOE^JANE", "20240103", "120000", Modality="US")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    folder = tmp_path_factory.mktemp("standard")
    running = RunningArchive("dcmfast", folder, ["--matching", "standard", "+U8"])
    try:
        sender = AE()
        sender.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = sender.associate("127.0.0.1", running.port, ae_title="QR")
        assert association.is_established
        for made in objects():
            assert association.send_c_store(made).Status == 0
        association.release()
        yield running
    finally:
        running.stop()


def associated(
    archive: RunningArchive,
    information: bytes | None = None,
    syntax: str = ExplicitVRLittleEndian,
) -> Association:
    """An association for finds; `information` is what extended negotiation asks for."""
    client = AE()
    extended = []
    for model in (STUDY_ROOT, PATIENT_ROOT):
        client.add_requested_context(model, syntax)
        if information is not None:
            item = SOPClassExtendedNegotiation()
            item.sop_class_uid = model
            item.service_class_application_information = information
            extended.append(item)
    association = client.associate(
        "127.0.0.1", archive.port, ae_title="QR", ext_neg=extended or None
    )
    assert association.is_established
    return association


def ask(
    archive: RunningArchive,
    level: str,
    *,
    model: str = STUDY_ROOT,
    information: bytes | None = None,
    charset: str = "ISO_IR 192",
    syntax: str = ExplicitVRLittleEndian,
    **keys: object,
) -> tuple[int, list[Dataset], set[int]]:
    """Final status, answers, and the statuses that they came with."""
    identifier = Dataset()
    identifier.SpecificCharacterSet = charset
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    association = associated(archive, information, syntax)
    final, answers, statuses = -1, [], set()
    for status, answer in association.send_c_find(identifier, model):
        final = status.Status
        if final in (PENDING, PENDING_WITH_WARNING):
            answers.append(answer)
            statuses.add(final)
    association.release()
    return final, answers, statuses


def patients(archive: RunningArchive, **keys: object) -> list[str]:
    """Patient IDs of the studies that match."""
    final, answers, _ = ask(archive, "STUDY", PatientID="", **keys)  # type: ignore[arg-type]
    assert final == 0
    return sorted(answer.PatientID for answer in answers)


def test_hierarchical_queries_want_the_keys_above(archive: RunningArchive) -> None:
    """PS3.4 §C.4.1.2.1: one unique key of each level above."""
    final, answers, _ = ask(archive, "IMAGE", PatientID="P1", SOPInstanceUID="")
    assert (final, answers) == (NOT_MATCHING_SOP_CLASS, [])
    above = {"StudyInstanceUID": f"{ROOT}1.1", "SeriesInstanceUID": f"{ROOT}2.1"}
    final, answers, _ = ask(archive, "IMAGE", **above, SOPInstanceUID="")
    assert final == 0
    assert sorted(one.SOPInstanceUID for one in answers) == [f"{ROOT}3.1", f"{ROOT}3.2"]
    final, answers, _ = ask(archive, "STUDY", model=PATIENT_ROOT, StudyInstanceUID="")
    assert (final, answers) == (NOT_MATCHING_SOP_CLASS, [])
    final, answers, _ = ask(
        archive, "STUDY", model=PATIENT_ROOT, PatientID="P2", StudyInstanceUID=""
    )
    assert [one.StudyInstanceUID for one in answers] == [f"{ROOT}1.2"]


def test_relational_queries_where_they_were_negotiated(archive: RunningArchive) -> None:
    """PS3.4 §C.4.1.2.2, §C.5.1.1.1: keys of any level, with and without those above."""
    relational = b"\1\0\0\0\0"
    final, answers, _ = ask(
        archive, "IMAGE", information=relational, PatientID="P1", SOPInstanceUID=""
    )
    assert (final, len(answers)) == (0, 3)
    # Keys of lower levels select studies and patients.
    final, answers, _ = ask(
        archive, "STUDY", information=relational, Modality="MR", StudyInstanceUID=""
    )
    assert [one.StudyInstanceUID for one in answers] == [f"{ROOT}1.1"]
    final, answers, _ = ask(
        archive, "PATIENT", model=PATIENT_ROOT, information=relational,
        SOPInstanceUID=f"{ROOT}3.5", PatientID="",
    )  # fmt: skip
    assert [one.PatientID for one in answers] == ["P3"]
    # A client that asks for nothing gets the hierarchical rules.
    final, answers, _ = ask(
        archive, "IMAGE", information=b"\0\0\0\0\0", PatientID="P1", SOPInstanceUID=""
    )
    assert final == NOT_MATCHING_SOP_CLASS


def test_combined_date_and_time_where_it_was_negotiated(archive: RunningArchive) -> None:
    """PS3.4 §C.2.2.2.5.4: one range of moments; without it two ranges."""
    night = {"StudyDate": "20240101-20240102", "StudyTime": "220000-020000"}
    assert patients(archive, information=b"\0\1\0\0\0", **night) == ["P1", "P2"]
    assert patients(archive, information=b"\0\0\0\0\0", **night) == []
    day = {"StudyDate": "20240101-20240103", "StudyTime": "000000-130000"}
    assert patients(archive, **day) == ["P2", "P3"]


@pytest.mark.parametrize(
    ("name", "charset", "found"),
    [
        ("MÜLLER*", "ISO_IR 192", ["P1"]),
        ("müller^jörg", "ISO_IR 100", ["P1"]),
        ("Müller^J?rg", "ISO_IR 192", ["P1"]),
        ("yamada^TAROU", "ISO_IR 192", ["P2"]),
        ("山田*", "ISO_IR 192", ["P2"]),
        ("やまだ^たろう", "ISO_IR 192", ["P2"]),
        ("doe^jane", "ISO_IR 192", ["P3"]),
        ("doe", "ISO_IR 192", []),
        ("*", "ISO_IR 192", ["P1", "P2", "P3"]),
    ],
)
def test_names_without_regard_to_case_set_and_group(
    archive: RunningArchive, name: str, charset: str, found: list[str]
) -> None:
    """PS3.4 §C.2.2.2.1, PS3.5 §6.2.1: whatever a name is written in, and in each of its groups."""
    assert patients(archive, PatientName=name, charset=charset) == found


def test_lists_and_universal_keys(archive: RunningArchive) -> None:
    """PS3.4 §C.2.2.2.2, §C.2.2.2.3."""
    assert patients(archive, StudyInstanceUID=[f"{ROOT}1.1", f"{ROOT}1.3", "1.2"]) == ["P1", "P3"]
    assert patients(archive, StudyDate="", PatientName="") == ["P1", "P2", "P3"]


def test_sequences(archive: RunningArchive) -> None:
    """PS3.4 §C.2.2.2.6: items that match all keys are the answer, in its own set."""
    step = Dataset()
    step.ScheduledProcedureStepID = "SPS1"
    step.ScheduledProcedureStepDescription = ""
    final, answers, _ = ask(
        archive, "SERIES", StudyInstanceUID=f"{ROOT}1.1", SeriesInstanceUID="",
        RequestAttributesSequence=[step],
    )  # fmt: skip
    assert (final, [one.SeriesInstanceUID for one in answers]) == (0, [f"{ROOT}2.2"])
    (answer,) = answers
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    (item,) = answer.RequestAttributesSequence
    assert item.ScheduledProcedureStepDescription == "Schädel nativ"
    assert "ScheduledProtocolCodeSequence" not in item
    step.ScheduledProcedureStepID = "SPS2"
    final, answers, _ = ask(
        archive, "SERIES", StudyInstanceUID=f"{ROOT}1.1", SeriesInstanceUID="",
        RequestAttributesSequence=[step],
    )  # fmt: skip
    assert (final, answers) == (0, [])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(("meaning", "count"), [("SCHÄDEL", 0), ("Sch?del", 1), ("", 1)])
def test_sequences_in_sequences(
    archive: RunningArchive, syntax: str, meaning: str, count: int
) -> None:
    """PS3.4 §C.2.2.2.6: recursively, and only what was asked for comes back."""
    code, step = Dataset(), Dataset()
    code.CodeValue, code.CodeMeaning, code.LongCodeValue = "C1", meaning, ""
    step.ScheduledProtocolCodeSequence = [code]
    final, answers, _ = ask(
        archive, "SERIES", StudyInstanceUID=f"{ROOT}1.1", SeriesInstanceUID="", syntax=syntax,
        RequestAttributesSequence=[step],
    )  # fmt: skip
    found = [item for answer in answers for item in answer.RequestAttributesSequence]
    assert (final, len(found)) == (0, count)
    for item in found:
        assert [element.keyword for element in item] == ["ScheduledProtocolCodeSequence"]
        (answered,) = item.ScheduledProtocolCodeSequence
        assert [element.keyword for element in answered] == [
            "CodeValue", "CodeMeaning", "LongCodeValue",
        ]  # fmt: skip
        assert answered.CodeMeaning == "Schädel"
        assert not answered.LongCodeValue


def test_counts_and_modalities(archive: RunningArchive) -> None:
    """PS3.4 Tables C.6-1 to C.6-4: what is counted, and matched by."""
    _, answers, statuses = ask(
        archive, "STUDY", ModalitiesInStudy="MR", NumberOfStudyRelatedInstances="",
        NumberOfStudyRelatedSeries="", StudyInstanceUID="", PatientName="", StudyDescription="",
    )  # fmt: skip
    (answer,) = answers
    assert answer.StudyInstanceUID == f"{ROOT}1.1"
    assert sorted(answer.ModalitiesInStudy) == ["CT", "MR"]
    assert (answer.NumberOfStudyRelatedInstances, answer.NumberOfStudyRelatedSeries) == (3, 2)
    assert (str(answer.PatientName), answer.StudyDescription) == ("Müller^Jörg", "Schädel")
    assert statuses == {PENDING}
    _, answers, _ = ask(
        archive, "SERIES", StudyInstanceUID=f"{ROOT}1.1", SeriesInstanceUID=f"{ROOT}2.1",
        NumberOfSeriesRelatedInstances="",
    )  # fmt: skip
    assert [one.NumberOfSeriesRelatedInstances for one in answers] == [2]


def test_keys_that_are_not_supported_come_back_empty(archive: RunningArchive) -> None:
    """PS3.4 §C.4.1.1.3.2, Table C.4-1: FF01H, and every other key counts."""
    final, answers, statuses = ask(
        archive, "STUDY", PatientID="P3", StudyInstanceUID="", AcquisitionComments="anything"
    )
    assert (final, statuses) == (0, {PENDING_WITH_WARNING})
    (answer,) = answers
    assert answer.AcquisitionComments in ("", None)
    assert answer.PatientID == "P3"


def test_dcmtks_client_asks_by_the_same_rules(archive: RunningArchive) -> None:
    line = ["-v", "-S", "-aec", "QR", "localhost", str(archive.port)]
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=doe*", "-k", "ModalitiesInStudy"]
    done = run_tool("dcmtk", "findscu", [*line, *keys])
    assert done.code == 0
    assert [one for one in done.lines if "ModalitiesInStudy" in one and "[US]" in one], done
    assert sum("Find Response:" in one for one in done.lines) == 1
