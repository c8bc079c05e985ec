//! A whole file or data set to a flat table of elements, for pydicom's sake.
