//! PS3.10: a stored instance as a file.

pub mod backend;
pub mod convert;
pub mod crash_point;
pub mod durability;
pub mod file_meta;
pub mod journal;
pub mod naming;
pub(crate) mod re_encode;
pub mod reader;
pub mod renumber;
mod seat;
pub mod studies;
pub mod writer;
