//! File and directory names for every naming option.
