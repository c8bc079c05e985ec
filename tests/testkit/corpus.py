"""Real DICOM files: those bundled with pydicom, read without any DICOM library.

Only files that the installed package holds are listed; nothing is ever downloaded. A file's data
set is taken as bytes, so that a comparison does not depend on a parser's opinion.
"""

from __future__ import annotations

import functools
import importlib.util
import struct
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RealFile:
    """One file: what its meta information says and the bytes of its data set."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes

    @property
    def name(self) -> str:
        """File name, for test ids."""
        return self.path.name


def split_part10(data: bytes) -> tuple[dict[int, bytes], bytes]:
    """File meta information (element number → value) and data set of a file (PS3.10 §7.1).

    Raises ValueError when the file does not begin as PS3.10 says.
    """
    if data[128:132] != b"DICM":
        raise ValueError("no DICM")
    meta: dict[int, bytes] = {}
    at = 132
    while data[at : at + 2] == b"\x02\x00":
        number = int.from_bytes(data[at + 2 : at + 4], "little")
        vr = data[at + 4 : at + 6]
        if not vr.isalpha():
            raise ValueError("file meta information is not explicit")
        if vr in (b"OB", b"UN", b"UT", b"OW"):
            (length,) = struct.unpack_from("<L", data, at + 8)
            at += 12
        else:
            (length,) = struct.unpack_from("<H", data, at + 6)
            at += 8
        if at + length > len(data):
            raise ValueError("file meta information is cut")
        meta[number] = data[at : at + length]
        at += length
    return meta, data[at:]


def uid_text(value: bytes) -> str:
    """A UI value as text, padding removed."""
    return value.rstrip(b"\0 ").decode("ascii")


def read_real_file(path: Path) -> RealFile | None:
    """The file, or None when it is not one that a storage SCU could send as it is."""
    try:
        meta, data_set = split_part10(path.read_bytes())
    except ValueError:
        return None
    uids = [uid_text(meta.get(number, b"")) for number in (0x02, 0x03, 0x10)]
    if not all(uids) or not data_set:
        return None
    return RealFile(path, uids[0], uids[1], uids[2], data_set)


def pydicom_folder() -> Path:
    """The installed pydicom package; found, not imported."""
    spec = importlib.util.find_spec("pydicom")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@functools.cache
def real_files() -> tuple[RealFile, ...]:
    """Every sendable file among pydicom's bundled test data; different ones may share a UID."""
    folder = pydicom_folder() / "data"
    found: dict[tuple[str, bytes], RealFile] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc", ".json", ".txt", ".md"):
            file = read_real_file(path)
            if file is not None and file.sop_class_uid != "1.2.840.10008.1.3.10":
                found.setdefault((file.transfer_syntax_uid, file.data_set), file)
    return tuple(found.values())


#: Bundled files whose data set is cut on purpose: no sender can read them whole.
CUT_FILES = frozenset({"rtplan_truncated.dcm", "MR_truncated.dcm"})


@functools.cache
def sendable_files() -> tuple[RealFile, ...]:
    """The real files that a storage SCU sends as they are: whole, with their UIDs inside.

    The UIDs are then the data set's, since those are what a sender names in its C-STORE-RQ; a few
    of pydicom's files were anonymised and say something else in their file meta information.
    """
    import pydicom

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in real_files():
            data_set = pydicom.dcmread(file.path, specific_tags=["SOPClassUID", "SOPInstanceUID"])
            uids = data_set.get("SOPClassUID"), data_set.get("SOPInstanceUID")
            if all(uids) and file.name not in CUT_FILES:
                found.append(
                    RealFile(
                        file.path, str(uids[0]), str(uids[1]), file.transfer_syntax_uid,
                        file.data_set,
                    )
                )  # fmt: skip
    return tuple(found)


def batches(files: Iterable[RealFile]) -> list[list[RealFile]]:
    """The files in groups within which no SOP Instance UID comes twice."""
    groups: list[dict[str, RealFile]] = []
    for file in files:
        for group in groups:
            if file.sop_instance_uid not in group:
                group[file.sop_instance_uid] = file
                break
        else:
            groups.append({file.sop_instance_uid: file})
    return [list(group.values()) for group in groups]
