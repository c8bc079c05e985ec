//! The index of one storage area: which instances there are, where, and what they can be found by.
//!
//! FORMAT.md beside this file gives every key and value byte
//! by byte. One LMDB environment per area; patient → study → series → instance, each with a number
//! in order of arrival; counts kept as one goes; secondary keys for what people query. The index is
//! disposable: the files are the truth, and it can be rebuilt from them.
//!
//! Written by one thread (`archive`'s applier) through [`IndexOp`]s, read by anyone in short
//! transactions. Called by `archive`, and by `server` for queries; it knows no file but its own.

pub mod answer;
pub mod attributes;
pub mod entry;
pub mod env;
pub mod fold;
pub mod matching;
mod pages;
pub mod query;
pub mod reader;
pub mod record;
pub mod schema;
pub mod search;
mod sequence_key;
mod sequence_text;
pub mod writer;

use std::path::Path;
use std::sync::Arc;

pub use crate::dataset::attributes::{Attributes, AttributesRef};
pub use entry::{EntryError, FileLocation, InstanceEntry};
pub use env::{Access, IndexError, IndexOptions};
pub use reader::{KeyRange, Reader};
pub use record::{AttributeSet, EntityRecord, InstanceRecord, SetNumbers};
pub use schema::{EntityId, InstanceKey};
pub use writer::Counters;

use self::env::{Environment, Hold, Table};
use self::schema::{FORMAT_MAGIC, FORMAT_VERSION, META_FORMAT};
use crate::uid::UidText;

/// The open index of one storage area. Shared by all threads; closed when the last one drops it.
///
/// All that a process opens of one index share it. It never uses it across a `fork`, and never lets
/// another library (Python's `lmdb`) open it too; other processes may read it at any time.
pub struct Index {
    environment: Hold,
}

impl Index {
    /// Opens the index in the directory `path`, which [`Access::Write`] makes where it is missing.
    pub fn open(
        path: &Path,
        access: Access,
        options: IndexOptions,
    ) -> Result<Arc<Self>, IndexError> {
        let index = Self { environment: Environment::open(path, access, options)? };
        index.check_format(access, FORMAT_VERSION)?;
        Ok(Arc::new(index))
    }

    /// Opens an index of this format or an earlier one, to be read and made anew: what is in it is laid
    /// out as in this one (FORMAT.md, "Versions"). With it comes its version.
    pub fn open_older(path: &Path) -> Result<(Arc<Self>, u32), IndexError> {
        let options = IndexOptions { looks_deep: true, ..IndexOptions::default() };
        let index = Self { environment: Environment::open(path, Access::Read, options)? };
        let version = index.check_format(Access::Read, 1)?;
        Ok((Arc::new(index), version))
    }

    /// The version of the format, between `oldest` and ours; one that is new is begun in ours.
    fn check_format(&self, access: Access, oldest: u32) -> Result<u32, IndexError> {
        let format = |found| IndexError::Format { path: self.path().to_owned(), found };
        let reader = self.environment.read()?;
        let view = reader.view();
        if let Some(value) = view.get(Table::Meta, META_FORMAT)? {
            let version = value.strip_prefix(FORMAT_MAGIC).ok_or_else(|| format(None))?;
            let version = version.try_into().map(u32::from_be_bytes).map_err(|_| format(None))?;
            let is_known = (oldest..=FORMAT_VERSION).contains(&version);
            return if is_known { Ok(version) } else { Err(format(Some(version))) };
        }
        if access == Access::Read || view.rows(Table::Meta, &[])?.next().is_some() {
            return Err(format(None));
        }
        drop(reader);
        self.environment.write(writer::initialise)?;
        Ok(FORMAT_VERSION)
    }

    /// Applies `ops` in their order, in one transaction: when this returns, all of them are visible
    /// to new readers and synced to the disk; after an error, none is.
    ///
    /// One [`Outcome`] for each. A map that is full is enlarged and the whole batch tried again. An
    /// index that a write failed on ([`IndexError::Halted`]) is looked at and opened anew, once in each
    /// call, so that who tries again after an error goes on when the disk does. A
    /// batch waits for the one before it. Must not be called by a thread that holds a [`Reader`].
    pub fn commit(&self, ops: &[IndexOp]) -> Result<Vec<Outcome>, IndexError> {
        let mut is_recovered = false;
        loop {
            match self.try_commit(ops) {
                Err(IndexError::Full(_)) => self.environment.grow()?,
                Err(IndexError::Halted(_)) if !is_recovered => {
                    self.environment.recover()?;
                    is_recovered = true;
                }
                result => return result,
            }
        }
    }

    fn try_commit(&self, ops: &[IndexOp]) -> Result<Vec<Outcome>, IndexError> {
        self.environment.write(|txn| {
            let mut batch = writer::Batch::begin(txn)?;
            let outcomes = ops.iter().map(|op| batch.apply(op)).collect::<Result<_, _>>()?;
            batch.finish()?;
            Ok(outcomes)
        })
    }

    /// One state of the index, to be looked at and dropped: LMDB cannot reuse what a reader still
    /// sees, so a reader never waits for a socket or a person. A thread holds one at a time.
    pub fn read(&self) -> Result<Reader<'_>, IndexError> {
        Ok(Reader::new(self.environment.read()?))
    }

    /// Looks at all pages of the index as they are on the disk: garbage in them could end the
    /// process when LMDB meets it. `watch` is told how far that is, and ends it by false; says
    /// whether it came to its end.
    pub fn check_pages(&self, watch: &mut dyn FnMut(u64) -> bool) -> Result<bool, IndexError> {
        self.environment.check_pages(watch)
    }

    /// False when a rebuilt or imported index has taken the place of this one, which nobody writes any
    /// more: who reads on would see yesterday's for ever.
    pub fn is_in_place(&self) -> bool {
        self.environment.is_in_place()
    }

    /// The directory of the index.
    pub fn path(&self) -> &Path {
        self.environment.path()
    }

    /// Bytes of all pages that hold something.
    pub fn used_bytes(&self) -> Result<u64, IndexError> {
        self.environment.used_bytes()
    }

    /// Size of the map in bytes, the room for those pages.
    pub fn map_bytes(&self) -> usize {
        self.environment.map_bytes()
    }

    /// Gives back the slots of readers in processes that died; how many there were. LMDB keeps old
    /// pages for them until then.
    pub fn clear_stale_readers(&self) -> Result<usize, IndexError> {
        self.environment.clear_stale_readers()
    }
}

/// One change of the index. Those of one [`commit`](IndexOp) become visible and durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexOp {
    /// Lists an instance. One that is listed under the same SOP Instance UID is replaced: the new
    /// one counts as the last to arrive.
    Put(Arc<InstanceEntry>),
    /// Lists an instance, unless one is listed under its SOP Instance UID.
    PutMissing(Arc<InstanceEntry>),
    /// Notes that the listed instance with this SOP Instance UID was looked at before: DCMTK's "not
    /// new". Goes with the instance, and nothing that is answered depends on it.
    Review(UidText),
    /// Notes that a listed instance came again as it was: its study was received to.
    Touch {
        /// Its SOP Instance UID.
        sop_instance: UidText,
        /// When, in microseconds since 1970.
        received_at_us: u64,
    },
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
    /// Not listed: another instance has its UID.
    Taken,
    /// It is noted.
    Noted,
}
