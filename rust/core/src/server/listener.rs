//! Accepting, limiting, stopping.
