//! The seven PDUs as types.
