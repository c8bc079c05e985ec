//! Preamble and group 0002.
