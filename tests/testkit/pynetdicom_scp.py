"""An archive made of pynetdicom, with handlers of our own: a second opinion on every service.

It keeps data sets in memory, matches by Study Instance UID and patient's name alone, and answers
C-ECHO, C-STORE, C-FIND, C-MOVE and C-GET.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from vectors import make


@dataclass
class PynetdicomArchive:
    """What the server holds, and where it is."""

    port: int = 0
    #: AE title → host and port.
    destinations: dict[str, tuple[str, int]] = field(default_factory=dict)
    objects: list[Dataset] = field(default_factory=list)
    #: Events that came, by pynetdicom's names.
    seen: list[str] = field(default_factory=list)

    def add(self, *made: make.SyntheticObject) -> None:
        """Keep objects."""
        self.objects += [pydicom.dcmread(BytesIO(make.part10(one))) for one in made]

    def _matching(self, identifier: Dataset) -> list[Dataset]:
        uid = identifier.get("StudyInstanceUID")
        name = str(identifier.get("PatientName", "")).rstrip("*")
        return [
            one
            for one in self.objects
            if (not uid or one.StudyInstanceUID == uid) and str(one.PatientName).startswith(name)
        ]

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        """C-FIND: one response for each object that matches."""
        self.seen.append("find")
        wanted = event.identifier
        if "QueryRetrieveLevel" not in wanted:
            yield 0xA900, None
            return
        for one in self._matching(wanted):
            if event.is_cancelled:
                self.seen.append("cancelled")
                yield 0xFE00, None
                return
            answer = Dataset()
            answer.SpecificCharacterSet = one.get("SpecificCharacterSet", "ISO_IR 100")
            for element in wanted:
                if element.keyword in one:
                    setattr(answer, element.keyword, one[element.keyword].value)
            answer.QueryRetrieveLevel = wanted.QueryRetrieveLevel
            yield 0xFF00, answer

    def move(self, event: Any) -> Iterator[Any]:
        """C-MOVE to a destination that is known."""
        self.seen.append("move")
        if event.move_destination not in self.destinations:
            yield None, None
            return
        host, port = self.destinations[event.move_destination]
        contexts = {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in self.objects}
        from pynetdicom import build_context

        yield host, port, {"contexts": [build_context(uid, [ts]) for uid, ts in sorted(contexts)]}
        found = self._matching(event.identifier)
        yield len(found)
        for one in found:
            if event.is_cancelled:
                yield 0xFE00, None
                return
            yield 0xFF00, one

    def get(self, event: Any) -> Iterator[Any]:
        """C-GET."""
        self.seen.append("get")
        found = self._matching(event.identifier)
        yield len(found)
        for one in found:
            if event.is_cancelled:
                self.seen.append("cancelled")
                yield 0xFE00, None
                return
            yield 0xFF00, one

    def store(self, event: Any) -> int:
        """C-STORE."""
        data_set = event.dataset
        data_set.file_meta = event.file_meta
        self.objects.append(data_set)
        return 0x0000


@contextmanager
def pynetdicom_archive(**destinations: int) -> Iterator[PynetdicomArchive]:
    """Serve on a port of the kernel's choice; `destinations` are titles and local ports."""
    from pynetdicom import (
        AE,
        AllStoragePresentationContexts,
        QueryRetrievePresentationContexts,
        VerificationPresentationContexts,
        evt,
    )

    made = PynetdicomArchive(
        destinations={title: ("127.0.0.1", port) for title, port in destinations.items()}
    )
    entity = AE("PYNETDICOM")
    for context in (*VerificationPresentationContexts, *QueryRetrievePresentationContexts):
        entity.add_supported_context(context.abstract_syntax)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, scu_role=True, scp_role=True)
    server = entity.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[
            (evt.EVT_C_FIND, made.find),
            (evt.EVT_C_MOVE, made.move),
            (evt.EVT_C_GET, made.get),
            (evt.EVT_C_STORE, made.store),
        ],
    )
    assert server is not None
    made.port = server.server_address[1]
    try:
        yield made
    finally:
        server.shutdown()
