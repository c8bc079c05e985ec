"""DICOM files as pydicom data sets, read and written by the compiled modules."""
