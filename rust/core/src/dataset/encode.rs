//! Small data sets: file meta information, identifiers.
