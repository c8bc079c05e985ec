//! What the store path asks of the index, as a trait: the LMDB one for work, a map for tests.

use core::fmt;

use super::quota::StudySummary;
use crate::index::attributes::{Level, unique_value};
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

/// The Study Instance UID of an instance, without padding; empty where it has none.
pub fn study_instance_of(entry: &InstanceEntry) -> &[u8] {
    unique_value(Level::Study, entry.attributes.as_ref())
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
    /// Its Study Instance UID.
    pub study_instance: Box<[u8]>,
}

/// An instance of a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudyInstance {
    /// Its SOP Instance UID.
    pub sop_instance: UidText,
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

    /// All studies, in no order.
    fn studies(&self) -> Result<Vec<StudySummary>, ListingError>;

    /// The instances of a study, in order of arrival.
    fn study_instances(&self, study_instance: &[u8]) -> Result<Vec<StudyInstance>, ListingError>;

    /// Gives back what readers that died still hold.
    fn tidy(&self) -> Result<(), ListingError> {
        Ok(())
    }
}

impl ListedInstance {
    /// How the instance that `entry` describes is listed.
    pub fn of(entry: &InstanceEntry) -> Self {
        Self {
            identity: Identity::of(entry),
            location: entry.location.clone(),
            file_bytes: entry.file_bytes,
            study_instance: study_instance_of(entry).into(),
        }
    }
}

/// A listing in memory; forgets everything when it goes.
#[derive(Default)]
pub struct MemoryListing(std::sync::Mutex<MemoryState>);

#[derive(Default)]
struct MemoryState {
    /// With number and time of arrival.
    instances: std::collections::BTreeMap<UidText, (ListedInstance, (u64, u64))>,
    count: u64,
    applied: u64,
}

impl MemoryListing {
    fn state(&self) -> std::sync::MutexGuard<'_, MemoryState> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// All that is listed.
    pub fn instances(&self) -> Vec<(UidText, ListedInstance)> {
        self.state().instances.iter().map(|(uid, (listed, _))| (*uid, listed.clone())).collect()
    }
}

impl Listing for MemoryListing {
    fn commit(&self, changes: &[IndexOp]) -> Result<Vec<Outcome>, ListingError> {
        let mut state = self.state();
        let apply = |change: &IndexOp| match change {
            IndexOp::PutMissing(entry) if state.instances.contains_key(&entry.sop_instance) => {
                Outcome::Taken
            }
            IndexOp::Put(entry) | IndexOp::PutMissing(entry) => {
                state.count += 1;
                let arrival = (state.count, entry.received_at_us);
                let listed = (ListedInstance::of(entry), arrival);
                match state.instances.insert(entry.sop_instance, listed) {
                    None => Outcome::Added,
                    Some((old, _)) if old.location == entry.location => Outcome::Refreshed,
                    Some((old, _)) => Outcome::Replaced { previous: old.location },
                }
            }
            IndexOp::Remove { sop_instance, only_at } => {
                let is_there = state.instances.get(sop_instance).is_some_and(|(listed, _)| {
                    only_at.as_ref().is_none_or(|place| *place == listed.location)
                });
                match is_there.then(|| state.instances.remove(sop_instance)).flatten() {
                    Some((old, _)) => Outcome::Removed { previous: old.location },
                    None => Outcome::NotListed,
                }
            }
            IndexOp::Review(_) => Outcome::Noted,
            IndexOp::Touch { sop_instance, received_at_us } => {
                match state.instances.get_mut(sop_instance) {
                    Some((_, (_, at))) => {
                        *at = (*at).max(*received_at_us);
                        Outcome::Noted
                    }
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
        Ok(self.state().instances.get(sop_instance).map(|(listed, _)| listed.clone()))
    }

    fn studies(&self) -> Result<Vec<StudySummary>, ListingError> {
        let mut studies: Vec<StudySummary> = Vec::new();
        for (listed, (_, received_at_us)) in self.state().instances.values() {
            let same = |study: &&mut StudySummary| study.study_instance == listed.study_instance;
            if let Some(study) = studies.iter_mut().find(same) {
                study.instances += 1;
                study.bytes += listed.file_bytes;
                study.last_reception_us = study.last_reception_us.max(*received_at_us);
            } else {
                studies.push(StudySummary {
                    study_instance: listed.study_instance.clone(),
                    instances: 1,
                    bytes: listed.file_bytes,
                    last_reception_us: *received_at_us,
                });
            }
        }
        Ok(studies)
    }

    fn study_instances(&self, study_instance: &[u8]) -> Result<Vec<StudyInstance>, ListingError> {
        let state = self.state();
        let mut found: Vec<_> = state
            .instances
            .iter()
            .filter(|(_, (listed, _))| *listed.study_instance == *study_instance)
            .map(|(uid, (listed, arrival))| {
                let instance = StudyInstance {
                    sop_instance: *uid,
                    location: listed.location.clone(),
                    file_bytes: listed.file_bytes,
                };
                (*arrival, instance)
            })
            .collect();
        found.sort_by_key(|(arrival, _)| *arrival);
        Ok(found.into_iter().map(|(_, instance)| instance).collect())
    }
}
