//! Generated tables of the standard: UIDs, names, prefixes. Written by `ci/generate`.

pub mod uids;
