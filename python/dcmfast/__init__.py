"""dcmfast: receive, keep and find DICOM objects, quickly and without losing any."""

__version__ = "0.1.0"
