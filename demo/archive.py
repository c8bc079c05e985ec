"""The archive's part of ``make demo``: serve, store, find, get, verify, in plain words.

Starts ``dcmfast serve`` on a fresh directory, stores the same files, asks for them over the network
as any client would (C-FIND and C-GET by pynetdicom) and beside the server (``dcmfast.Archive``),
compares every byte that comes back, and lets ``dcmfast index verify`` compare index and files.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind as PatientRootFind,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelGet as PatientRootGet,
)

import dcmfast
from run import DCMFAST, DemoError, Sample, send

#: Role selection and contexts of one association are limited to 128; this is what C-GET proposes.
CONTEXTS_MAX = 120


def demonstrate(directory: Path, sent: list[Sample]) -> None:
    """Serve `directory`, store, find, get and verify `sent`.

    Raises
    ------
    DemoError
        Something did not go as promised.
    """
    print(f"\n$ dcmfast serve {directory}")
    with dcmfast.ArchiveServer(directory, 0) as server:
        print(f"port {server.port}: success means stored, findable, and safe from a power cut")
        seconds = send(server.port, [one.path for one in sent])
        print(f"C-STORE: {len(sent)} objects in {seconds:.2f} s, each synced before its response")
        find(server.port, sent)
        get(server.port, sent)
        with dcmfast.Archive(directory) as archive:
            counts = archive.counts()
            print(
                f"dcmfast.Archive: {counts.patients} patients, {counts.studies} studies, "
                f"{counts.series} series, {counts.instances} instances"
            )
            if counts.instances != len(sent):
                raise DemoError(f"the index lists {counts.instances} of {len(sent)} objects")
    code = server.stop()
    if code != 0:
        raise DemoError(f"the archive ended with exit code {code}")
    print(f"$ dcmfast index verify --full {directory}")
    verified = subprocess.run([*DCMFAST, "index", "verify", "--full", str(directory)], check=False)
    if verified.returncode != 0:
        raise DemoError("index and files do not agree")


def relational(sop_class_uid: str) -> SOPClassExtendedNegotiation:
    """Propose relational queries (PS3.4 §C.5.1.1.1): an instance by its UID alone."""
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = UID(sop_class_uid)
    item.service_class_application_information = b"\x01"
    return item


def instances(samples: list[Sample]) -> Dataset:
    """Return the identifier that asks for these instances."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.SOPInstanceUID = [one.sop_instance_uid for one in samples]
    return identifier


def find(port: int, sent: list[Sample]) -> None:
    """Ask for each object by its UID, over one association."""
    entity = AE()
    entity.add_requested_context(PatientRootFind)
    association = entity.associate("127.0.0.1", port, ext_neg=[relational(PatientRootFind)])
    if not association.is_established:
        raise DemoError("the archive refuses the association for C-FIND")
    for one in sent:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "IMAGE"
        identifier.PatientID = identifier.StudyInstanceUID = identifier.SeriesInstanceUID = ""
        identifier.SOPInstanceUID = one.sop_instance_uid
        found = [
            answer for _, answer in association.send_c_find(identifier, PatientRootFind) if answer
        ]
        if [str(answer.SOPInstanceUID) for answer in found] != [one.sop_instance_uid]:
            raise DemoError(f"{one.path.name} is not found")
    association.release()
    print(f"C-FIND: each of the {len(sent)} found by its UID")


def get(port: int, sent: list[Sample]) -> None:
    """Get every study back and compare the bytes of each data set."""
    wanted = {one.sop_instance_uid: one for one in sent}
    received: dict[str, bytes] = {}

    def receive(event: evt.Event) -> int:
        received[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0x0000

    by_syntax: dict[str, list[Sample]] = {}
    for one in sent:
        by_syntax.setdefault(one.transfer_syntax_uid, []).append(one)
    for syntax, samples in by_syntax.items():
        entity = AE()
        classes = sorted({one.sop_class_uid for one in samples})[:CONTEXTS_MAX]
        entity.add_requested_context(PatientRootGet)
        for uid in classes:
            entity.add_requested_context(uid, syntax)
        association = entity.associate(
            "127.0.0.1",
            port,
            ext_neg=[
                relational(PatientRootGet),
                *(build_role(uid, scp_role=True) for uid in classes),
            ],
            evt_handlers=[(evt.EVT_C_STORE, receive)],
        )
        if not association.is_established:
            raise DemoError("the archive refuses the association for C-GET")
        for status, _ in association.send_c_get(instances(samples), PatientRootGet):
            if status.Status not in (0x0000, 0xFF00):
                raise DemoError(f"C-GET of {syntax} ends with status {status.Status:04X}H")
        association.release()
    compared = 0
    for uid, one in wanted.items():
        padded = one.data_set + b"\0" * (len(one.data_set) % 2)
        if received.get(uid) != padded:
            raise DemoError(f"{one.path.name} did not come back as it was sent")
        compared += len(padded)
    print(f"C-GET: {len(received)} objects, {compared} bytes compared, all as they were sent")
