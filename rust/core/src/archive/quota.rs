//! Limits of a storage area, and what goes to make room.
//!
//! Source: DCMTK's dcmqrscp (`(studies, bytes)` in its configuration): a new study beyond the number
//! takes the place of the one that was received to longest ago; a study that grows beyond its bytes
//! loses its oldest objects until the new one fits; an object larger than that is refused. Studies
//! are told apart by their whole UID (DIFFERENCES.md A7), no limit is lowered behind the user's back,
//! and all that goes is said (A8).
//!
//! What counts is what stands in the journal, not only what is in the index: the ledger here is read
//! from the index once and kept up with every record. Whoever changes the index past it says so, and
//! after an error nobody knows what is gone: the ledger is then read anew, as soon as no store is
//! between its decision and its record. While something is removed, decisions wait; a study that
//! somebody is storing into is never removed, but waited for. A study is received to by each object
//! that is answered with success, also by one that was there before. What only such a one told goes to
//! the index within a second, and is forgotten by who is killed before.
//!
//! Called by `archive::area`.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::area::{LOGGER, Quota, StorageArea};
use super::listing::{ListedInstance, Listing, ListingError, StudyInstance, study_instance_of};
use super::record::{Change, Listed};
use crate::index::{FileLocation, IndexOp, InstanceEntry};
use crate::limits::REMOVAL_RECORD_BYTES;
use crate::log::{Level, escaped};
use crate::storage::writer::{Evicted, StoreError};
use crate::uid::UidText;

/// Studies that were received to although nothing of them changed, until the index knows.
#[derive(Default)]
pub(super) struct Touches(Mutex<TouchedStudies>);

/// An instance of each that came again, and when.
type TouchedStudies = HashMap<Box<[u8]>, (UidText, u64)>;

impl Touches {
    fn lock(&self) -> MutexGuard<'_, TouchedStudies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an instance that came again. There is one for each study of an area that has a quota of
    /// them.
    pub fn note(&self, study_instance: &[u8], sop_instance: UidText, received_at_us: u64) {
        self.lock().insert(study_instance.into(), (sop_instance, received_at_us));
    }

    /// Tells the index. What it does not take now is of no weight.
    pub fn save(&self, listing: &dyn Listing) {
        let touched = core::mem::take(&mut *self.lock());
        let ops: Vec<IndexOp> = touched
            .into_values()
            .map(|(sop_instance, received_at_us)| IndexOp::Touch { sop_instance, received_at_us })
            .collect();
        if !ops.is_empty() {
            let _ = listing.commit(&ops);
        }
    }
}

/// What each study of an area takes.
#[derive(Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
    /// Told when a store has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// False before the first use, and when something was done past the ledger.
    is_read: bool,
    /// Stores that were decided but have not ended, of all studies.
    in_flight: u64,
    studies: HashMap<Box<[u8]>, Study>,
    /// What stores in flight will take the place of, unless it is removed before: study and bytes.
    replaced: HashMap<UidText, (Box<[u8]>, u64)>,
}

#[derive(Clone, Copy, Default)]
struct Study {
    instances: u64,
    bytes: u64,
    last_reception_us: u64,
    /// Stores that were decided but have not ended.
    in_flight: u64,
    bytes_in_flight: u64,
}

/// What a study takes, as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudySummary {
    /// Study Instance UID; empty where objects have none.
    pub study_instance: Box<[u8]>,
    /// Instances.
    pub instances: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// When the last of them came, in microseconds since 1970.
    pub last_reception_us: u64,
}

/// Room that a store has been given. It ends with [`Room::stored`], or gives the room back.
pub(super) struct Room<'l> {
    ledger: &'l Ledger,
    study_instance: Box<[u8]>,
    sop_instance: UidText,
    bytes: u64,
    is_stored: bool,
    evicted: Vec<Evicted>,
}

impl Room<'_> {
    /// The object is stored, and this went to make room.
    pub fn stored(mut self) -> Vec<Evicted> {
        self.is_stored = true;
        core::mem::take(&mut self.evicted)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut state = self.ledger.lock();
        state.in_flight -= 1;
        let replaced = state.replaced.remove(&self.sop_instance);
        if let Some(study) = state.studies.get_mut(&self.study_instance) {
            study.in_flight -= 1;
            study.bytes_in_flight -= self.bytes;
            if self.is_stored {
                study.instances += 1;
                study.bytes += self.bytes;
            }
        }
        match replaced {
            Some((study_instance, bytes)) if self.is_stored => {
                state.take_off(&study_instance, bytes);
            }
            _ => {}
        }
        state.forget_if_empty(&self.study_instance);
        drop(state);
        self.ledger.ended.notify_all();
    }
}

impl State {
    /// Notes a store that was decided.
    fn take_up(&mut self, study_instance: &[u8], bytes: u64, received_at_us: u64) {
        self.in_flight += 1;
        let study = self.studies.entry(study_instance.into()).or_default();
        study.in_flight += 1;
        study.bytes_in_flight += bytes;
        study.last_reception_us = study.last_reception_us.max(received_at_us);
    }

    /// Removes the oldest objects of a study until at least `bytes` are free, and says which.
    fn remove(
        &mut self,
        area: &StorageArea,
        study_instance: &[u8],
        bytes: u64,
    ) -> Result<Vec<Evicted>, StoreError> {
        // What was written before an error comes to its end without us.
        remove(area, study_instance, bytes).inspect_err(|_| self.is_read = false)
    }

    fn take_off(&mut self, study_instance: &[u8], bytes: u64) {
        if let Some(study) = self.studies.get_mut(study_instance) {
            study.instances = study.instances.saturating_sub(1);
            study.bytes = study.bytes.saturating_sub(bytes);
        }
        self.forget_if_empty(study_instance);
    }

    fn note_removed(&mut self, gone: &[Evicted]) {
        for instance in gone {
            self.replaced.remove(&instance.sop_instance);
        }
    }

    fn forget_if_empty(&mut self, study_instance: &[u8]) {
        let is_empty = |study: &Study| study.instances == 0 && study.in_flight == 0;
        if self.studies.get(study_instance).is_some_and(is_empty) {
            self.studies.remove(study_instance);
        }
    }

    /// The study that was received to longest ago, of those that nobody stores into.
    fn oldest(&self, but: &[u8]) -> Option<Box<[u8]>> {
        self.studies
            .iter()
            .filter(|(uid, study)| study.in_flight == 0 && ***uid != *but)
            .min_by_key(|(uid, study)| (study.last_reception_us, (*uid).clone()))
            .map(|(uid, _)| uid.clone())
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind, every state of which is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of a store that is in flight: whoever calls has seen one, or this has no end.
    fn wait<'s>(
        &self,
        area: &StorageArea,
        state: MutexGuard<'s, State>,
    ) -> Result<MutexGuard<'s, State>, StoreError> {
        let waited = self.ended.wait_timeout(state, LOOK_INTERVAL);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if area.is_closing() {
            return Err(StoreError::Stalled("the storage area is closed".into()));
        }
        Ok(state)
    }

    /// Takes note that the index was changed past the ledger, or may have been.
    pub fn forget(&self) {
        self.lock().is_read = false;
    }

    /// The ledger as the index has it, if it was not read before. A store between its decision and its
    /// record may be in the index already: it would count twice, and is waited for.
    fn up_to_date<'s>(
        &'s self,
        area: &StorageArea,
        mut state: MutexGuard<'s, State>,
    ) -> Result<MutexGuard<'s, State>, StoreError> {
        while !state.is_read {
            if state.in_flight > 0 {
                state = self.wait(area, state)?;
                continue;
            }
            let mut studies = read(area)?;
            for (study_instance, before) in &state.studies {
                if let Some(study) = studies.get_mut(study_instance) {
                    let times = (study.last_reception_us, before.last_reception_us);
                    study.last_reception_us = times.0.max(times.1);
                }
            }
            state.studies = studies;
            state.replaced.clear();
            state.is_read = true;
        }
        Ok(state)
    }

    /// Takes note that a study was received to although nothing of it changes. Until the end of what
    /// comes back nothing of it is removed. `None` when nothing of it is there.
    pub fn touch(
        &self,
        area: &StorageArea,
        study_instance: &[u8],
        entry: &InstanceEntry,
    ) -> Result<Option<Room<'_>>, StoreError> {
        let mut state = self.up_to_date(area, self.lock())?;
        if !state.studies.contains_key(study_instance) {
            return Ok(None);
        }
        state.take_up(study_instance, 0, entry.received_at_us);
        drop(state);
        Ok(Some(Room {
            ledger: self,
            study_instance: study_instance.into(),
            sop_instance: entry.sop_instance,
            bytes: 0,
            is_stored: false,
            evicted: Vec::new(),
        }))
    }

    /// Makes room for an object that takes the place of `replaced`, by removing others if need be.
    pub fn make_room(
        &self,
        area: &StorageArea,
        quota: Quota,
        entry: &InstanceEntry,
        mut replaced: Option<&ListedInstance>,
    ) -> Result<Room<'_>, StoreError> {
        let study_instance = study_instance_of(entry);
        let (bytes, bytes_max) = (entry.file_bytes, quota.bytes_per_study_max);
        if bytes > bytes_max {
            return Err(StoreError::LargerThanQuota { bytes, bytes_max });
        }
        let mut evicted = Vec::new();
        let mut state = self.lock();
        loop {
            state = self.up_to_date(area, state)?;
            let known = state.studies.get(study_instance).copied();
            if known.is_none() && state.studies.len() as u64 >= quota.studies_max.max(1) {
                let Some(oldest) = state.oldest(study_instance) else {
                    // Each has somebody storing into it.
                    state = self.wait(area, state)?;
                    continue;
                };
                let gone = state.remove(area, &oldest, u64::MAX)?;
                state.studies.remove(&oldest);
                state.note_removed(&gone);
                evicted.extend(gone);
                continue;
            }
            let study = known.unwrap_or_default();
            let replaced_bytes = replaced
                .filter(|replaced| *replaced.study_instance == *study_instance)
                .map_or(0, |replaced| replaced.file_bytes);
            let used = (study.bytes + study.bytes_in_flight).saturating_sub(replaced_bytes);
            let Some(excess) = (used + bytes).checked_sub(bytes_max).filter(|excess| *excess > 0)
            else {
                break;
            };
            let gone = state.remove(area, study_instance, excess)?;
            if gone.is_empty() {
                if study.in_flight > 0 {
                    // What is too much is on its way.
                    state = self.wait(area, state)?;
                } else {
                    // Nothing is listed and nothing on its way: whatever was noted is not there.
                    state.studies.remove(study_instance);
                }
                continue;
            }
            for instance in &gone {
                state.take_off(study_instance, instance.file_bytes);
                if instance.sop_instance == entry.sop_instance {
                    replaced = None;
                }
            }
            state.note_removed(&gone);
            evicted.extend(gone);
        }
        state.take_up(study_instance, bytes, entry.received_at_us);
        let has_gone = |evicted: &[Evicted]| {
            evicted.iter().any(|gone| gone.sop_instance == entry.sop_instance)
        };
        if let Some(replaced) = replaced.filter(|_| !has_gone(&evicted)) {
            let place = (replaced.study_instance.clone(), replaced.file_bytes);
            state.replaced.insert(entry.sop_instance, place);
        }
        drop(state);
        Ok(Room {
            ledger: self,
            study_instance: study_instance.into(),
            sop_instance: entry.sop_instance,
            bytes,
            is_stored: false,
            evicted,
        })
    }
}

/// How often whoever waits looks whether the area is being closed.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Reads the ledger from the index.
fn read(area: &StorageArea) -> Result<HashMap<Box<[u8]>, Study>, StoreError> {
    area.barrier().map_err(StoreError::Stalled)?;
    let studies = area.listing().studies().map_err(index_error)?;
    let study = |summary: StudySummary| {
        let StudySummary { study_instance, instances, bytes, last_reception_us } = summary;
        (study_instance, Study { instances, bytes, last_reception_us, ..Study::default() })
    };
    Ok(studies.into_iter().map(study).collect())
}

fn index_error(error: ListingError) -> StoreError {
    StoreError::Index(Box::new(error))
}

/// Removes the oldest objects of a study until at least `bytes` are free, and says which.
fn remove(
    area: &StorageArea,
    study_instance: &[u8],
    bytes: u64,
) -> Result<Vec<Evicted>, StoreError> {
    area.barrier().map_err(StoreError::Stalled)?;
    let instances = area.listing().study_instances(study_instance).map_err(index_error)?;
    let mut evicted = Vec::new();
    let mut listed: Vec<Listed> = Vec::new();
    let mut record_bytes = 0;
    let mut freed = 0;
    for instance in instances {
        if freed >= bytes {
            break;
        }
        freed += instance.file_bytes;
        evicted.push(tell(area, study_instance, &instance));
        record_bytes += 128 + location_bytes(&instance.location);
        let StudyInstance { sop_instance, location, .. } = instance;
        listed.push(Listed { sop_instance, location });
        if record_bytes >= REMOVAL_RECORD_BYTES {
            area.append(Change::Remove(core::mem::take(&mut listed)))?;
            record_bytes = 0;
        }
    }
    if !listed.is_empty() {
        area.append(Change::Remove(listed))?;
    }
    // What is removed must be off the list before a duplicate of it is looked for there.
    area.barrier().map_err(StoreError::Stalled)?;
    Ok(evicted)
}

fn tell(area: &StorageArea, study_instance: &[u8], instance: &StudyInstance) -> Evicted {
    let path = area.path_of(&instance.location);
    area.options().logger.line(
        Level::Warn,
        LOGGER,
        format_args!(
            "quota: removing the oldest of study {}: instance {}, {}",
            escaped(study_instance),
            escaped(instance.sop_instance.as_bytes()),
            path.display()
        ),
    );
    Evicted {
        study_instance: study_instance.into(),
        sop_instance: instance.sop_instance,
        file_bytes: instance.file_bytes,
        path,
    }
}

fn location_bytes(location: &FileLocation) -> usize {
    match location {
        FileLocation::Own(_) => 8,
        FileLocation::Relative(path) | FileLocation::Absolute(path) => path.len(),
    }
}

/// What would go if the area had this quota and the next object were of a new study: whole studies
/// beyond the number, and the oldest objects of studies that have too many bytes.
pub fn dry_run(listing: &dyn Listing, quota: Quota) -> Result<Vec<DryRun>, ListingError> {
    let mut studies = listing.studies()?;
    studies.sort_by(|one, other| {
        (one.last_reception_us, &one.study_instance)
            .cmp(&(other.last_reception_us, &other.study_instance))
    });
    let kept = quota.studies_max.saturating_sub(1);
    let excess = (studies.len() as u64).saturating_sub(kept) as usize;
    let mut plan = Vec::new();
    for (at, study) in studies.into_iter().enumerate() {
        let is_whole = at < excess;
        let bytes =
            if is_whole { u64::MAX } else { study.bytes.saturating_sub(quota.bytes_per_study_max) };
        let mut freed = 0;
        let mut instances = Vec::new();
        if bytes > 0 {
            for instance in listing.study_instances(&study.study_instance)? {
                if freed >= bytes {
                    break;
                }
                freed += instance.file_bytes;
                instances.push(instance);
            }
        }
        if !instances.is_empty() {
            plan.push(DryRun { study, is_whole, instances });
        }
    }
    Ok(plan)
}

/// What would go of one study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRun {
    /// The study.
    pub study: StudySummary,
    /// All of it.
    pub is_whole: bool,
    /// What would go, oldest first.
    pub instances: Vec<StudyInstance>,
}
