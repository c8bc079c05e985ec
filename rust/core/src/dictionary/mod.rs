//! Generated tables of the standard: UIDs, names, prefixes, VRs. Written by `ci/generate`.

pub mod elements;
pub mod uids;
