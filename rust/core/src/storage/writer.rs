//! One instance from first fragment to published file.
