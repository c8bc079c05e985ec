//! The requestor side.
