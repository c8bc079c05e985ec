"""dcmfast: receive, keep and find DICOM objects, quickly and without losing any."""

from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "read", "write"]


def __getattr__(name: str) -> Any:
    """Import what needs pydicom when it is first asked for: the receiving tools never do."""
    if name in ("read", "write"):
        from dcmfast.dataset import files

        return getattr(files, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
