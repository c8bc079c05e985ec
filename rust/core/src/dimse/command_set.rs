//! Encode and decode group 0000.
