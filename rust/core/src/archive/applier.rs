//! The one thread that does what the journal says: files, then the index, then deletions.
//!
//! Records are taken in order, in batches of one index commit each. A batch first brings its files
//! to their places, then commits the index entries with the number of the last record, then deletes
//! the files that are of no use any more. Each step may have been done already, when the record was
//! found in the journal at start; doing it again changes nothing.
//!
//! What the operating system refuses (a full disk, no descriptors, a full index) is tried again until
//! it succeeds; meanwhile the area is *stalled*, and stores are refused with the reason. Nothing that
//! was acknowledged is given up.
//!
//! A second thread makes checkpoints: when a journal segment is full and applied, files and names are
//! synced once for all of it, and its space is free again.

use std::collections::{HashMap, HashSet};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::area::{LOGGER, Shared};
use super::files::{Bare, digest_from, read_entry};
use super::layout;
use super::listing::ListingError;
use super::progress::Job;
use super::record::{self, Change, FileSource, Listed, StoreChange};
use crate::index::{FileLocation, IndexOp, Outcome};
use crate::limits::{
    APPLY_RETRY_MS, CHECK_BLOCK_BYTES, CHECKPOINT_INTERVAL_MS, STALE_READERS_INTERVAL_S,
    UNDELETED_RETRY_S,
};
use crate::log::Level;
use crate::storage::backend::tree::{Access, Place, Tree, TreeFile, remove_if_there};
use crate::storage::crash_point::crash_point;
use crate::storage::durability::{IoFailure, Operation};
use crate::storage::journal::{JournalError, Records};

/// Applies records.
pub struct Applier {
    shared: Arc<Shared>,
    /// What was in the index when the area was opened: records up to here are only looked after.
    applied_at_start: u64,
    /// Directories that are known to be there.
    known_directories: HashSet<u64>,
    /// Records found at start whose file is gone: they are not listed.
    lost: HashSet<u64>,
}

/// What could not be done.
enum Fault {
    Io(IoFailure),
    Index(ListingError),
}

impl Applier {
    /// Starts the thread.
    pub(super) fn start(shared: &Arc<Shared>, applied_at_start: u64) -> JoinHandle<()> {
        let mut applier = Self {
            shared: Arc::clone(shared),
            applied_at_start,
            known_directories: HashSet::new(),
            lost: HashSet::new(),
        };
        spawn(shared, "dcmfast-applier", move || applier.run())
    }

    fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        while let Some(jobs) = shared.progress.next_jobs() {
            let mut placed = 0;
            let mut told = Vec::new();
            let mut pause_ms = APPLY_RETRY_FIRST_MS;
            loop {
                match self.apply(&jobs, &mut placed) {
                    Ok(()) => break,
                    Err(fault) => {
                        self.stall(&fault, &mut told);
                        if shared.progress.is_stopping() {
                            // The journal has it.
                            return;
                        }
                        shared.progress.wait_to_retry(Duration::from_millis(pause_ms));
                        pause_ms = (2 * pause_ms).min(APPLY_RETRY_MS);
                    }
                }
            }
            shared.spare.keep(jobs.into_iter().map(|job| job.record));
            if !told.is_empty() {
                shared.progress.set_stalled(None);
                // Another thread may have a reason of its own.
                shared.journal.set_stalled(shared.progress.stalled().is_some());
                shared.options.logger.line(
                    Level::Warn,
                    LOGGER,
                    format_args!("objects are stored again"),
                );
            }
        }
    }

    /// Refuses stores for this fault. Each reason is told once, those in `told` were.
    fn stall(&self, fault: &Fault, told: &mut Vec<Arc<str>>) {
        let reason: Arc<str> = match fault {
            Fault::Io(failure) => failure.to_string().into(),
            Fault::Index(error) => error.to_string().into(),
        };
        if !told.contains(&reason) && told.len() < REASONS_TOLD_MAX {
            self.shared.options.logger.line(
                Level::Error,
                LOGGER,
                format_args!("{reason}; nothing more is stored until that is possible again"),
            );
            told.push(Arc::clone(&reason));
        }
        self.shared.progress.set_stalled(Some(reason));
        self.shared.journal.set_stalled(true);
    }

    /// Applies a batch. `placed` counts the jobs whose files are in place, over all attempts.
    fn apply(&mut self, jobs: &[Job], placed: &mut usize) -> Result<(), Fault> {
        while let Some(job) = jobs.get(*placed) {
            if self.has_a_place(job).map_err(Fault::Index)? {
                self.place(job).map_err(Fault::Io)?;
            }
            *placed += 1;
        }
        let Some(last) = jobs.last() else { return Ok(()) };
        let mut changes = Vec::with_capacity(jobs.len() + 1);
        let is_new =
            |job: &&Job| job.sequence > self.applied_at_start && !self.lost.contains(&job.sequence);
        for job in jobs.iter().filter(is_new) {
            match &job.change {
                Change::Store(change) => {
                    changes.push(IndexOp::Put(Arc::clone(&change.entry)));
                }
                Change::List(entry) => changes.push(IndexOp::Put(Arc::clone(entry))),
                Change::Remove(listed) => {
                    changes.extend(listed.iter().map(|listed| IndexOp::Remove {
                        sop_instance: listed.sop_instance,
                        only_at: Some(listed.location.clone()),
                    }));
                }
            }
        }
        let mut outcomes = Vec::new();
        if last.sequence > self.applied_at_start {
            changes.push(IndexOp::Applied(last.sequence));
            crash_point("before_index_commit");
            outcomes = self.shared.listing.commit(&changes).map_err(Fault::Index)?;
            crash_point("after_index_commit");
        }
        let previous: Vec<Listed> = changes
            .iter()
            .zip(outcomes)
            .filter_map(|(change, came)| previous_of(change, came))
            .collect();
        let living = if previous.is_empty() { HashSet::new() } else { last_puts(&changes) };
        // Should something fail below, the batch is committed again: what it listed last is then found
        // in the place of what it listed before.
        for instance in previous.iter().filter(|instance| !living.contains(&instance.location)) {
            delete(&self.shared, instance);
        }
        // What was lost has replaced nothing: the file before it stays.
        let is_done = |job: &&Job| job.is_recovered && !self.lost.contains(&job.sequence);
        for job in jobs.iter().filter(is_done) {
            self.clean_up(job).map_err(Fault::Index)?;
        }
        // Before the journal may forget that they were to go.
        note_undeleted(&self.shared);
        crash_point("after_file_removal");
        self.shared.progress.committed(last.sequence, jobs);
        Ok(())
    }

    /// Brings the file of a record to its place.
    fn place(&mut self, job: &Job) -> Result<(), IoFailure> {
        let Change::Store(change) = &job.change else { return Ok(()) };
        let name = layout::own_file(job.sequence);
        self.make_directories(job.sequence)?;
        let tree = &*self.shared.tree;
        let failure =
            |operation, source| IoFailure { operation, path: tree.path_of(&name), source };
        crash_point("before_object");
        match &change.source {
            FileSource::Record(range) => {
                let content = job.record.get(range.clone()).unwrap_or_default();
                let is_new = self.shared.writes_anew.load(Ordering::Acquire);
                write_file(tree, &name, content, is_new)
                    .map_err(|source| failure(Operation::Write, source))?;
            }
            FileSource::Spool(number) => {
                let spooled = layout::spool_file(*number);
                let found = match job.is_recovered.then(|| tree.open(&spooled, false)) {
                    None => None,
                    Some(Ok(file)) => Some(file),
                    Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
                    Some(Err(source)) => return Err(failure(Operation::Open, source)),
                };
                if let Some(file) = found {
                    // The record is safe a moment before the object, and the response comes later.
                    if is_whole(&*file, change) {
                        self.take_over(&*file, &spooled, &name)?;
                    } else {
                        self.set_aside(job.sequence, &spooled)?;
                    }
                } else if let Err(error) = tree.rename(&spooled, &name) {
                    // Done before the last crash.
                    let is_done = job.is_recovered && has_length(tree, &name, change);
                    // The store was refused and its spool file removed, but a write or sync that
                    // failed had brought the record to the journal all the same.
                    let is_lost = error.kind() == io::ErrorKind::NotFound;
                    if is_lost && !is_done {
                        self.lost.insert(job.sequence);
                        self.shared.options.logger.line(
                            Level::Warn,
                            LOGGER,
                            format_args!(
                                "{} is in the journal but not on the disk: not listed ({error})",
                                tree.path_of(&name).display()
                            ),
                        );
                    }
                    if !is_done && !is_lost {
                        return Err(failure(Operation::Publish, error));
                    }
                }
            }
        }
        crash_point("after_object");
        Ok(())
    }

    /// Gives a spool file of an earlier life its place. Its sync may have failed, and what is read then
    /// is not what the device has: it is written again.
    fn take_over(&self, source: &dyn TreeFile, spooled: &str, name: &str) -> Result<(), IoFailure> {
        let tree = &*self.shared.tree;
        let is_durable = self.shared.options.durability.is_durable();
        let copy = || -> io::Result<()> {
            // An attempt that was interrupted.
            remove_if_there(tree, name)?;
            let mut file = tree.create(name, Access::Umask)?;
            let mut block = vec![0; CHECK_BLOCK_BYTES];
            let mut at = 0;
            loop {
                let count = source.read_at(&mut block, at)?;
                if count == 0 {
                    break;
                }
                file.append(&mut [IoSlice::new(&block[..count])])?;
                at += count as u64;
            }
            if is_durable {
                file.sync_data()?;
            }
            file.close()?;
            if is_durable && !tree.syncs_names_with_contents() {
                tree.sync_everything()?;
            }
            remove_if_there(tree, spooled)
        };
        let path = || tree.path_of(name);
        copy().map_err(|source| IoFailure { operation: Operation::Write, path: path(), source })
    }

    /// Keeps what a crash left of an object that was never acknowledged where nobody lists it.
    fn set_aside(&mut self, sequence: u64, spooled: &str) -> Result<(), IoFailure> {
        let tree = &*self.shared.tree;
        let aside = layout::quarantined(sequence);
        tree.make_directory(layout::QUARANTINE, Access::Owner)
            .and_then(|()| tree.rename(spooled, &aside))
            .map_err(|source| IoFailure {
                operation: Operation::Publish,
                path: tree.path_of(&aside),
                source,
            })?;
        self.lost.insert(sequence);
        self.shared.options.logger.line(
            Level::Warn,
            LOGGER,
            format_args!(
                "an object that was not acknowledged is not whole: it is kept as {}, not listed",
                tree.path_of(&aside).display()
            ),
        );
        Ok(())
    }

    fn make_directories(&mut self, number: u64) -> Result<(), IoFailure> {
        let leaf = layout::leaf_of(number);
        if self.known_directories.contains(&leaf) {
            return Ok(());
        }
        let tree = &*self.shared.tree;
        for name in [layout::own_parent(number), layout::own_directory(number)] {
            tree.make_directory(&name, Access::Umask).map_err(|source| IoFailure {
                operation: Operation::MakeDirectory,
                path: tree.path_of(&name),
                source,
            })?;
        }
        if self.known_directories.len() >= KNOWN_DIRECTORIES_MAX {
            self.known_directories.clear();
        }
        self.known_directories.insert(leaf);
        Ok(())
    }

    /// False for a record that was in the index at start and is of no use any more: something newer is
    /// listed, or nothing.
    fn has_a_place(&self, job: &Job) -> Result<bool, ListingError> {
        match &job.change {
            Change::Store(change) if job.sequence <= self.applied_at_start => {
                let found = self.shared.listing.find(&change.entry.sop_instance)?;
                Ok(found.is_some_and(|listed| listed.location == change.entry.location))
            }
            _ => Ok(true),
        }
    }

    /// Deletes what a record that was found at start has made useless, if the crash came before
    /// that was done.
    fn clean_up(&self, job: &Job) -> Result<(), ListingError> {
        match &job.change {
            Change::Store(change) => {
                let sop_instance = change.entry.sop_instance;
                for location in change.replaced.iter().chain([&change.entry.location]) {
                    self.delete_unlisted(&Listed { sop_instance, location: location.clone() })?;
                }
                Ok(())
            }
            Change::Remove(listed) => {
                listed.iter().try_for_each(|listed| self.delete_unlisted(listed))
            }
            Change::List(_) => Ok(()),
        }
    }

    fn delete_unlisted(&self, instance: &Listed) -> Result<(), ListingError> {
        let listed = self.shared.listing.find(&instance.sop_instance)?;
        if listed.is_none_or(|listed| listed.location != instance.location) {
            delete(&self.shared, instance);
        }
        Ok(())
    }
}

/// True when the file that was registered for `instance` has another object by now: who put that
/// there may have registered it, too.
fn is_of_another(shared: &Shared, instance: &Listed, name: &str) -> bool {
    if matches!(instance.location, FileLocation::Own(_)) {
        return false;
    }
    let path = shared.tree.path_of(name);
    let found = read_entry(&path, instance.location.clone(), Bare::Any, &mut Vec::new());
    found.is_ok_and(|found| found.sop_instance != instance.sop_instance)
}

/// Deletes the file of an instance that is not listed any more. When that fails, it is noted, and tried
/// again.
fn delete(shared: &Shared, instance: &Listed) {
    let Some(name) = layout::deletable(&instance.location) else { return };
    if is_of_another(shared, instance, &name) {
        return;
    }
    if let Err(error) = remove(shared, &name) {
        let hint = if shared.undeleted.add(instance) {
            "it is tried again"
        } else {
            "`dcmfast index verify` finds it"
        };
        let path = shared.tree.path_of(&name);
        shared.options.logger.line(
            Level::Warn,
            LOGGER,
            format_args!("cannot delete {}: {error}; {hint}", path.display()),
        );
    }
}

fn remove(shared: &Shared, name: &str) -> io::Result<()> {
    match shared.tree.remove(name) {
        // It was deleted before.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            let path = shared.tree.path_of(name);
            // DCMTK's words, under the logger of the tool that it belongs to.
            shared.options.logger.line(
                Level::Warn,
                "dcmtk.apps.dcmqrscp",
                format_args!(
                    "Deleting file: {} due to quota or duplicate SOP instance UID",
                    path.display()
                ),
            );
            Ok(())
        }
    }
}

/// Tries again to delete what could not be deleted.
pub(super) fn delete_again(shared: &Shared) {
    for instance in shared.undeleted.all() {
        // While that cannot be told, it stays.
        let Ok(listed) = shared.listing.find(&instance.sop_instance) else { return };
        let is_listed = listed.is_some_and(|listed| listed.location == instance.location);
        let name = layout::deletable(&instance.location).filter(|_| !is_listed);
        let is_done = name.is_none_or(|name| {
            is_of_another(shared, &instance, &name) || remove(shared, &name).is_ok()
        });
        if is_done {
            shared.undeleted.forget(&instance);
        }
    }
    note_undeleted(shared);
}

/// Writes the note of what could not be deleted, if it has changed.
fn note_undeleted(shared: &Shared) {
    if let Err(error) = shared.undeleted.save(&*shared.tree) {
        shared.options.logger.line(
            Level::Warn,
            LOGGER,
            format_args!(
                "cannot write {}: {error}",
                shared.tree.path_of(layout::UNDELETED).display()
            ),
        );
    }
}

/// The instance whose file a change has made useless.
fn previous_of(change: &IndexOp, outcome: Outcome) -> Option<Listed> {
    let (sop_instance, location) = match (change, outcome) {
        (IndexOp::Put(entry), Outcome::Replaced { previous }) => (entry.sop_instance, previous),
        (IndexOp::Remove { sop_instance, .. }, Outcome::Removed { previous }) => {
            (*sop_instance, previous)
        }
        _ => return None,
    };
    Some(Listed { sop_instance, location })
}

/// Where the files lie that `changes`, made in order, leave listed.
fn last_puts(changes: &[IndexOp]) -> HashSet<&FileLocation> {
    let mut last = HashMap::new();
    for change in changes {
        match change {
            IndexOp::Put(entry) => {
                last.insert(entry.sop_instance, &entry.location);
            }
            IndexOp::Remove { sop_instance, only_at } => {
                let is_meant = |own: &FileLocation| only_at.as_ref().is_none_or(|at| at == own);
                if last.get(sop_instance).is_some_and(|own| is_meant(own)) {
                    last.remove(sop_instance);
                }
            }
            _ => {}
        }
    }
    last.into_values().collect()
}

/// Reasons that are told of one standstill: an index that cannot be written, opened anew, or read, and some.
const REASONS_TOLD_MAX: usize = 8;

/// Directories that one applier remembers; 65,536 objects fill as many.
const KNOWN_DIRECTORIES_MAX: usize = 1024;

/// Writes a whole file. What has the name already is an attempt that failed or was interrupted: own
/// numbers never come twice.
fn write_file(tree: &dyn Tree, name: &str, content: &[u8], writes_anew: bool) -> io::Result<()> {
    let mut file = match tree.create(name, Access::Umask) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !writes_anew && has_content(tree, name, content)? {
                return Ok(());
            }
            tree.remove(name)?;
            tree.create(name, Access::Umask)?
        }
        result => result?,
    };
    let written = file.append(&mut [IoSlice::new(content)]).and_then(|()| file.close());
    if written.is_err() {
        // Not there, or the next attempt removes it.
        let _ = tree.remove(name);
    }
    written
}

/// True when a spool file is what was received; one that cannot be read is not.
fn is_whole(file: &dyn TreeFile, change: &StoreChange) -> bool {
    let entry = &change.entry;
    file.bytes().is_ok_and(|bytes| bytes == entry.file_bytes)
        && digest_from(file, entry.data_set_offset.into()).is_ok_and(|found| found == entry.digest)
}

fn has_length(tree: &dyn Tree, name: &str, change: &StoreChange) -> bool {
    let length = tree.open(name, false).and_then(|file| file.bytes());
    length.is_ok_and(|bytes| bytes == change.entry.file_bytes)
}

fn has_content(tree: &dyn Tree, name: &str, content: &[u8]) -> io::Result<bool> {
    let file = tree.open(name, false)?;
    if file.bytes()? != content.len() as u64 {
        return Ok(false);
    }
    let mut found = vec![0; content.len()];
    let length = file.read_at(&mut found, 0)?;
    Ok(found[..length] == *content)
}

fn spawn(
    shared: &Arc<Shared>,
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> JoinHandle<()> {
    let watched = Watched { shared: Arc::clone(shared), name };
    let body = move || {
        let _watched = watched;
        body();
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).unwrap_or_else(|error| {
        // Without its threads an area can do nothing; at start this is told and ends the program.
        panic!("cannot start a thread: {error}")
    })
}

/// Sees to it that nobody waits for a thread that a fault of ours has ended: stores are refused, and
/// the journal keeps everything for the next start.
struct Watched {
    shared: Arc<Shared>,
    name: &'static str,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if thread::panicking() {
            let reason = format!("a fault of ours has ended the thread {}", self.name);
            stand_still(&self.shared, &reason);
        }
    }
}

/// Refuses stores until the next start.
fn stand_still(shared: &Shared, reason: &str) {
    shared.options.logger.line(
        Level::Error,
        LOGGER,
        format_args!("{reason}; nothing more is stored until the next start"),
    );
    shared.progress.set_broken(reason.into());
    shared.journal.set_stalled(true);
}

/// Starts the thread that hands on what was found in the journal, as fast as it is applied. Until its
/// end nothing else is stored.
pub(super) fn start_recovery(shared: &Arc<Shared>, records: Records) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    spawn(&Arc::clone(&shared), "dcmfast-recovery", move || {
        let mut is_wanted = true;
        let mut take = |sequence, payload: &[u8]| {
            // What cannot be decoded was put aside before.
            if let Ok(change) = record::decode(sequence, payload) {
                let record = payload.to_vec();
                let job = Job { sequence, record, change, is_recovered: true };
                is_wanted = shared.progress.push_recovered(job);
            }
            is_wanted
        };
        match records.visit(&mut take) {
            Ok(()) if is_wanted => shared.progress.end_recovery(),
            // Closed before it was done: the journal keeps all of it.
            Ok(()) => {}
            Err(failure) => {
                // A moment ago it could be read. What was acknowledged is not given up: nothing is
                // stored, and the next start begins anew.
                stand_still(&shared, &failure.to_string());
            }
        }
    })
}

/// Starts the thread that makes checkpoints.
pub(super) fn start_checkpoints(shared: &Arc<Shared>, place: Option<Place>) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    let mut pause = 0_u32;
    let mut tidied = Instant::now();
    let mut deleted = None;
    let mut touched = Instant::now();
    spawn(&Arc::clone(&shared), "dcmfast-checkpoint", move || {
        while !shared.progress.is_stopping() {
            if let Some(place) = &place {
                look_at_place(&shared, place);
            }
            if tidied.elapsed() >= Duration::from_secs(STALE_READERS_INTERVAL_S) {
                // An error is found by whoever reads or writes next.
                let _ = shared.listing.tidy();
                shared.spare.tidy();
                tidied = Instant::now();
            }
            if touched.elapsed() >= TOUCHES_INTERVAL {
                shared.touches.save(&*shared.listing);
                touched = Instant::now();
            }
            let is_due = deleted
                .is_none_or(|at: Instant| at.elapsed() >= Duration::from_secs(UNDELETED_RETRY_S));
            // Not before the records that were found at start have had their say.
            if is_due && shared.progress.applied_whole().is_some() {
                delete_again(&shared);
                deleted = Some(Instant::now());
            }
            if shared.journal.full_count() > 0 {
                // A failed sync has been noted by the journal, which refuses everything now.
                let _ = checkpoint(&shared);
            }
            // Where there is no room, trying all the time would take the last of it from others
            // again and again; a store that needs the segment tries itself.
            pause = pause.saturating_sub(1);
            if pause == 0 && shared.journal.prepare_ahead().is_err() {
                pause = SEGMENT_RETRY_ROUNDS;
            }
            shared.progress.wait_to_retry(Duration::from_millis(CHECKPOINT_INTERVAL_MS));
        }
    })
}

/// Refuses stores while the area is not where it was: what the open directories still take would be
/// found by nobody.
fn look_at_place(shared: &Shared, place: &Place) {
    let reason: Option<Arc<str>> = (!place.is_kept()).then(|| {
        let path = shared.tree.path_of("");
        format!("storage area {} was removed, renamed or unmounted", path.display()).into()
    });
    let is_news = shared.progress.set_misplaced(reason.clone());
    match reason.filter(|_| is_news) {
        Some(reason) => shared.options.logger.line(
            Level::Error,
            LOGGER,
            format_args!("{reason}; nothing more is stored until it is back or the next start"),
        ),
        None if is_news => shared.options.logger.line(
            Level::Warn,
            LOGGER,
            format_args!("storage area {} is back", shared.tree.path_of("").display()),
        ),
        None => {}
    }
}

/// How often the index is told which studies were received to although nothing of them changed.
const TOUCHES_INTERVAL: Duration = Duration::from_secs(1);

/// The first pause after a fault; each is twice the one before, up to [`APPLY_RETRY_MS`].
const APPLY_RETRY_FIRST_MS: u64 = 8;

/// Rounds of the checkpoint thread between two attempts to make a journal segment ahead of need.
const SEGMENT_RETRY_ROUNDS: u32 = 25;

/// Makes everything that is applied safe without the journal, and frees the space of its records.
pub(super) fn checkpoint(shared: &Shared) -> Result<(), JournalError> {
    shared.journal.check()?;
    let Some(applied) = shared.progress.applied_whole() else {
        // After a power cut the index is ahead of the files until all is written again.
        return Ok(());
    };
    crash_point("before_checkpoint");
    if shared.options.durability.is_durable() {
        save_everything(shared)?;
    }
    crash_point("after_checkpoint");
    shared.journal.release(applied);
    Ok(())
}

/// Brings all that was written to the device: everything that was found at start has been applied.
pub(super) fn save_everything(shared: &Shared) -> Result<(), JournalError> {
    // A sync that passes after one that failed says nothing about what the first should have saved.
    shared.journal.check()?;
    shared.tree.sync_everything().map_err(|source| {
        // The system may show contents that are not on the device, and takes them for safe.
        // The next start must write them anew; after a power cut it would see what is missing.
        let _ = shared.tree.create(layout::UNSAVED, Access::Owner);
        let failure =
            IoFailure { operation: Operation::Sync, path: shared.tree.path_of(""), source };
        shared.journal.fail(failure)
    })?;
    shared.is_past_safe.store(true, Ordering::Release);
    if shared.writes_anew.swap(false, Ordering::AcqRel) {
        // Should it stay, the next start does too much.
        let _ = shared.tree.remove(layout::UNSAVED);
    }
    Ok(())
}
