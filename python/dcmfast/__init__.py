"""dcmfast: receive, keep and find DICOM objects, quickly and without losing any."""

from __future__ import annotations

# typing itself is not imported: that takes 4 ms of the 60 from start to listening.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"
#: Day of the release, as banners print it.
__date__ = "2026-11-21"

__all__ = ["Archive", "ArchiveServer", "__version__", "read", "rewrite", "write"]


def __getattr__(name: str) -> Any:
    """Import what needs pydicom when it is first asked for: the receiving tools never do."""
    if name in ("read", "write"):
        from dcmfast.dataset import files

        return getattr(files, name)
    if name == "rewrite":
        from dcmfast.dataset import rewriting

        return rewriting.rewrite
    if name in ("Archive", "ArchiveServer"):
        from dcmfast.archive import storage_area

        return getattr(storage_area, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
