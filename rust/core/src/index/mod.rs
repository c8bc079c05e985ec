//! The index of one storage area: which instances there are, where, and what they can be found by.
//!
//! FORMAT.md beside this file gives every key and value byte
//! by byte. One LMDB environment per area; patient → study → series → instance, each with a number
//! in order of arrival; counts kept as one goes; secondary keys for what people query. The index is
//! disposable: the files are the truth, and it can be rebuilt from them.
//!
//! Written by one thread (`archive`'s applier) through [`IndexOp`]s, read by anyone in short
//! transactions. Called by `archive`, and by `server` for queries; it knows no file but its own.

pub mod attributes;
pub mod entry;
pub mod matching;

pub use crate::dataset::attributes::{Attributes, AttributesRef};
pub use entry::{EntryError, FileLocation, InstanceEntry};

use crate::uid::UidText;

/// One change of the index. Those of one [`commit`](IndexOp) become visible and durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexOp {
    /// Lists an instance. One that is listed under the same SOP Instance UID is replaced: the new
    /// one counts as the last to arrive.
    Put(Box<InstanceEntry>),
    /// Takes an instance off the list.
    Remove {
        /// Its SOP Instance UID.
        sop_instance: UidText,
        /// Only when it is listed at this place, so that a newer instance of the same UID stays.
        only_at: Option<FileLocation>,
    },
    /// Notes that everything up to this sequence number of the journal is in the index, together
    /// with what stands before it in the same commit. Lower numbers than the one noted are ignored.
    Applied(u64),
}

/// What became of one [`IndexOp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Listed; nothing was listed under that UID.
    Added,
    /// Listed in the place of an instance whose file is at another place and is now of no use.
    Replaced {
        /// Where the file of the replaced instance is.
        previous: FileLocation,
    },
    /// Listed again at the place where it was; there is no file to delete.
    Refreshed,
    /// Off the list.
    Removed {
        /// Where its file is.
        previous: FileLocation,
    },
    /// Not removed: it is not listed, or not at that place.
    NotListed,
    /// The sequence number is noted.
    Noted,
}
