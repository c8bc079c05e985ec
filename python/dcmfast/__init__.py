"""dcmfast: receive, keep and find DICOM objects, quickly and without losing any."""

from __future__ import annotations

# typing itself is not imported: that takes 4 ms of the 60 from start to listening.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dcmfast.archive.storage_area import Archive, ArchiveServer
    from dcmfast.dataset.files import read, write
    from dcmfast.dataset.rewriting import rewrite
    from dcmfast.requestor.association import Association
    from dcmfast.requestor.receiver import StorageReceiver
    from dcmfast.requestor.security import Tls

__version__ = "0.1.0"
#: Day of the release, as banners print it.
__date__ = "2026-11-21"

__all__ = [
    "Archive",
    "ArchiveServer",
    "Association",
    "StorageReceiver",
    "Tls",
    "__version__",
    "read",
    "rewrite",
    "write",
]


#: Name → the module that has it.
_HOMES = {
    "Archive": "dcmfast.archive.storage_area",
    "ArchiveServer": "dcmfast.archive.storage_area",
    "Association": "dcmfast.requestor.association",
    "StorageReceiver": "dcmfast.requestor.receiver",
    "Tls": "dcmfast.requestor.security",
    "read": "dcmfast.dataset.files",
    "rewrite": "dcmfast.dataset.rewriting",
    "write": "dcmfast.dataset.files",
}


def __getattr__(name: str) -> Any:
    """Import what needs pydicom when it is first asked for: the receiving tools never do."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
