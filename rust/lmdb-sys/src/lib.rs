//! LMDB 0.9 as the `-sys` crate that heed names, with the two constants that 0.9 has not got.
//!
//! heed compares with both and passes neither on: `MDB_PROBLEM` is an error code that 0.9 never
//! gives, `MDB_PREVSNAPSHOT` a flag that nobody here sets.

pub use lmdb_sys::*;

/// "Unexpected problem; transaction should abort": LMDB 1.0 only.
pub const MDB_PROBLEM: core::ffi::c_int = -30779;
/// "Use the previous snapshot": LMDB 1.0 only.
pub const MDB_PREVSNAPSHOT: core::ffi::c_uint = 0x0200_0000;
