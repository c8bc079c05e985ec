//! What the store path asks of the index, as a trait: the LMDB one for work, a map for tests.

use core::fmt;

use crate::index::{FileLocation, IndexOp, InstanceEntry, Outcome};
use crate::uid::UidText;

/// The index could not answer or take a change.
#[derive(Debug)]
pub struct ListingError(pub Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for ListingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "index: {}", self.0)
    }
}

impl std::error::Error for ListingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// What tells one stored instance from another of its UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// SOP Class UID.
    pub sop_class: UidText,
    /// Transfer syntax of the stored file.
    pub transfer_syntax: UidText,
    /// Bytes of the data set.
    pub data_set_bytes: u64,
    /// XXH3-128 of them.
    pub digest: u128,
}

impl Identity {
    /// The identity of the instance that `entry` describes.
    pub fn of(entry: &InstanceEntry) -> Self {
        Self {
            sop_class: entry.sop_class,
            transfer_syntax: entry.transfer_syntax,
            data_set_bytes: entry.file_bytes.saturating_sub(u64::from(entry.data_set_offset)),
            digest: entry.digest,
        }
    }
}

/// A listed instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedInstance {
    /// What it is.
    pub identity: Identity,
    /// Where its file is.
    pub location: FileLocation,
    /// Size of its file.
    pub file_bytes: u64,
}

/// The index as the store path sees it.
pub trait Listing: Send + Sync {
    /// Makes the changes visible and durable together, in order.
    fn commit(&self, changes: &[IndexOp]) -> Result<Vec<Outcome>, ListingError>;

    /// The number up to which the journal is in the index.
    fn applied(&self) -> Result<u64, ListingError>;

    /// The instance listed under this UID.
    fn find(&self, sop_instance: &UidText) -> Result<Option<ListedInstance>, ListingError>;
}

/// A listing in memory; forgets everything when it goes.
#[derive(Default)]
pub struct MemoryListing(std::sync::Mutex<MemoryState>);

#[derive(Default)]
struct MemoryState {
    instances: std::collections::BTreeMap<UidText, ListedInstance>,
    applied: u64,
}

impl MemoryListing {
    fn state(&self) -> std::sync::MutexGuard<'_, MemoryState> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// All that is listed.
    pub fn instances(&self) -> Vec<(UidText, ListedInstance)> {
        self.state().instances.iter().map(|(uid, listed)| (*uid, listed.clone())).collect()
    }
}

impl Listing for MemoryListing {
    fn commit(&self, changes: &[IndexOp]) -> Result<Vec<Outcome>, ListingError> {
        let mut state = self.state();
        let apply = |change: &IndexOp| match change {
            IndexOp::Put(entry) => {
                let listed = ListedInstance {
                    identity: Identity::of(entry),
                    location: entry.location.clone(),
                    file_bytes: entry.file_bytes,
                };
                match state.instances.insert(entry.sop_instance, listed) {
                    None => Outcome::Added,
                    Some(old) if old.location == entry.location => Outcome::Refreshed,
                    Some(old) => Outcome::Replaced { previous: old.location },
                }
            }
            IndexOp::Remove { sop_instance, only_at } => {
                let is_there = state.instances.get(sop_instance).is_some_and(|listed| {
                    only_at.as_ref().is_none_or(|place| *place == listed.location)
                });
                match is_there.then(|| state.instances.remove(sop_instance)).flatten() {
                    Some(old) => Outcome::Removed { previous: old.location },
                    None => Outcome::NotListed,
                }
            }
            IndexOp::Applied(sequence) => {
                state.applied = state.applied.max(*sequence);
                Outcome::Noted
            }
        };
        Ok(changes.iter().map(apply).collect())
    }

    fn applied(&self) -> Result<u64, ListingError> {
        Ok(self.state().applied)
    }

    fn find(&self, sop_instance: &UidText) -> Result<Option<ListedInstance>, ListingError> {
        Ok(self.state().instances.get(sop_instance).cloned())
    }
}
