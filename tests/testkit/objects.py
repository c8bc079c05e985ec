"""Small whole objects as files, made here: one pixel, and the UIDs and keys that a test names."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

#: Root of every UID made here.
ROOT = "1.2.826.0.1.3680043.10.999"


def uid(number: int) -> str:
    """SOP Instance UID of object `number`."""
    return f"{ROOT}.{number}"


def own_path(area: Path, number: int) -> Path:
    """Where an archive keeps its own file `number` (``archive/layout.rs``)."""
    folder = area / "objects" / f"{number >> 16:04x}" / f"{number >> 6 & 0x3FF:03x}"
    return folder / f"{number:016x}.dcm"


def write_object(path: Path, number: int, *, comment: str = "", study: int = 1) -> Path:
    """Write object `number` of study `study` to `path`, whose directory is made."""
    data_set = Dataset()
    data_set.SOPClassUID = SecondaryCaptureImageStorage
    data_set.SOPInstanceUID = uid(number)
    data_set.StudyInstanceUID = f"{ROOT}.0.{study}"
    data_set.SeriesInstanceUID = f"{ROOT}.0.{study}.1"
    data_set.PatientID = f"P{study}"
    data_set.PatientName = "Doe^Jane"
    data_set.Modality = "OT"
    data_set.StudyDate = "20240229"
    data_set.InstanceNumber = number
    data_set.ImageComments = comment
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    data_set.save_as(path, enforce_file_format=True)
    return path
