//! A storage area as a server uses it: open, store, wait, close.
//!
//! Called by `server::store` for each C-STORE, by queries for the barrier, and by the Python layer.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::applier::{self, Applier};
use super::beside::{self, Asked};
use super::files::{digest_from, read_digest};
use super::layout;
use super::listing::{Identity, ListedInstance, Listing, ListingError};
use super::progress::{Ahead, Progress};
use super::quota::{Ledger, Room, Touches};
use super::receiver::{Receiver, Spool};
use super::record::{self, Change, StoreChange};
use super::spare::SpareRecords;
use super::undeleted::Undeleted;
use crate::dataset::rewrite::OutputEncoding;
use crate::index::{EntryError, FileLocation};
use crate::log::{Level, Logger};
use crate::storage::backend::survey::sync_file;
use crate::storage::backend::tree::{Access, DiskTree, Tree, TreeLock, remove_if_there};
use crate::storage::backend::{NameSource, StoredFile, SystemNameSource, open_for_reading};
use crate::storage::crash_point::crash_point;
use crate::storage::durability::{Durability, IoFailure, Operation};
use crate::storage::journal::{self, Content, Journal, JournalError};
use crate::storage::writer::{
    Duplicate, DuplicatePolicy, Evicted, InstanceRequest, StoreError, StoreMode,
};
use crate::uid::UidText;

/// How an area stores.
#[derive(Clone)]
pub struct AreaOptions {
    /// What success promises.
    pub durability: Durability,
    /// What happens when another object has the SOP Instance UID.
    pub duplicates: DuplicatePolicy,
    /// What makes room; `None` keeps everything.
    pub quota: Option<Quota>,
    /// What is done with data sets.
    pub mode: StoreMode,
    /// What data sets look like in normal mode; `None` as they came.
    pub encoding: Option<OutputEncoding>,
    /// False for bare data sets (`--write-dataset`): nothing but the index knows their transfer syntax.
    pub has_file_meta: bool,
    /// Where faults outside any association are told.
    pub logger: Arc<Logger>,
}

/// Limits of an area (`config-files`: `(studies, bytes)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Studies at most.
    pub studies_max: u64,
    /// Bytes of files in one study at most.
    pub bytes_per_study_max: u64,
}

/// Why an area cannot be opened or closed.
#[derive(Debug)]
#[non_exhaustive]
pub enum AreaError {
    /// The operating system refused.
    Io(IoFailure),
    /// Another process serves this area.
    InUse(PathBuf),
    /// A part of the area is on another file system than the area.
    OtherFileSystem(PathBuf),
    /// The index cannot be used.
    Index(ListingError),
    /// The journal cannot be used.
    Journal(JournalError),
    /// Not all that was acknowledged is in the index; the journal keeps it for the next start.
    NotApplied(Arc<str>),
}

impl fmt::Display for AreaError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(failure) => failure.fmt(formatter),
            Self::InUse(path) => {
                write!(formatter, "storage area {} is in use by another process", path.display())
            }
            Self::OtherFileSystem(path) => write!(
                formatter,
                "{} is on another file system than its storage area: files cannot be put in their places \
                 at one stroke; put the whole area on one",
                path.display()
            ),
            Self::Index(error) => error.fmt(formatter),
            Self::Journal(error) => error.fmt(formatter),
            Self::NotApplied(reason) => {
                write!(formatter, "stored objects wait in the journal for the next start: {reason}")
            }
        }
    }
}

impl std::error::Error for AreaError {}

impl From<IoFailure> for AreaError {
    fn from(failure: IoFailure) -> Self {
        Self::Io(failure)
    }
}

impl From<ListingError> for AreaError {
    fn from(error: ListingError) -> Self {
        Self::Index(error)
    }
}

impl From<JournalError> for AreaError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// An open storage area.
pub struct StorageArea {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    spool_count: AtomicU64,
    clock: Arc<dyn NameSource>,
    last_arrival_us: AtomicU64,
    ledger: Ledger,
    /// Held while what an earlier process left is synced: one sync is enough.
    saving: Mutex<()>,
    lock: Mutex<Option<TreeLock>>,
    /// The last record found at start, and the first number given since. Those between were torn, or
    /// are taken by files: there is nothing to apply.
    numbers: (u64, u64),
    was_interrupted: bool,
    /// Index and files agree, as far as anybody can know without looking at all of them.
    is_checked: AtomicBool,
}

/// What associations and the area's own threads share.
pub(super) struct Shared {
    pub(super) tree: Arc<dyn Tree>,
    pub(super) listing: Arc<dyn Listing>,
    pub(super) journal: Journal<Change>,
    pub(super) progress: Arc<Progress>,
    pub(super) options: AreaOptions,
    /// A sync of a spool file serves the journal, too.
    shares_syncs: bool,
    /// Buffers of records that were applied.
    pub(super) spare: SpareRecords,
    /// Files found at start are written again even if they look right: see [`layout::UNSAVED`].
    pub(super) writes_anew: AtomicBool,
    /// All that an earlier process left is on the device, whatever it promised.
    pub(super) is_past_safe: AtomicBool,
    /// What a quota goes by, until the index knows.
    pub(super) touches: Touches,
    /// Files that are off the list and still there.
    pub(super) undeleted: Undeleted,
}

impl StorageArea {
    /// Opens the area in the existing directory `directory`, makes what is missing in it, and brings
    /// to its end what an earlier process left half done.
    pub fn open_with(
        directory: &Path,
        listing: Arc<dyn Listing>,
        options: AreaOptions,
    ) -> Result<Arc<Self>, AreaError> {
        let (tree, lock) = Self::lock(directory)?;
        Self::with_parts(Arc::new(tree), listing, options, Some(lock))
    }

    /// Takes the area in the existing directory `directory` for this process.
    pub(super) fn lock(directory: &Path) -> Result<(DiskTree, TreeLock), AreaError> {
        let failure =
            |operation, source| IoFailure { operation, path: directory.to_owned(), source };
        let tree = DiskTree::open(directory).map_err(|error| failure(Operation::Open, error))?;
        tree.make_directory(layout::PRIVATE, Access::Owner)
            .map_err(|error| failure(Operation::MakeDirectory, error))?;
        let lock = beside::take_lock(&tree).map_err(|error| {
            if error.kind() == std::io::ErrorKind::WouldBlock {
                AreaError::InUse(directory.to_owned())
            } else {
                failure(Operation::Open, error).into()
            }
        })?;
        Ok((tree, lock))
    }

    /// An area over any tree and any index.
    pub fn with_parts(
        tree: Arc<dyn Tree>,
        listing: Arc<dyn Listing>,
        options: AreaOptions,
        lock: Option<TreeLock>,
    ) -> Result<Arc<Self>, AreaError> {
        for (name, access) in [
            (layout::PRIVATE, Access::Owner),
            (layout::SPOOL, Access::Owner),
            (layout::OBJECTS, Access::Umask),
        ] {
            tree.make_directory(name, access).map_err(|source| IoFailure {
                operation: Operation::MakeDirectory,
                path: tree.path_of(name),
                source,
            })?;
        }
        check_file_systems(&*tree)?;
        let was_left_open = tree.open(layout::OPEN, false).is_ok();
        if !was_left_open {
            // A hint for the next start, which nothing depends on: a full disk is no reason to stay.
            let _ = tree.create(layout::OPEN, Access::Owner);
        }
        let applied = listing.applied()?;
        let mut last_found = 0;
        let mut quarantined = Ok(());
        let mut visit = |sequence, payload: &[u8]| match record::decode(sequence, payload) {
            Ok(_) => last_found = sequence,
            Err(error) if quarantined.is_ok() => {
                let logger = &options.logger;
                quarantined = quarantine(&*tree, logger, sequence, &error, payload);
            }
            Err(_) => {}
        };
        let mut recovered = journal::recover(&tree, layout::JOURNAL, &mut visit)?;
        quarantined?;
        let has_recovered = last_found > 0;
        // What is missing of records that are in the index was of no use any more.
        let damaged = recovered.damaged.iter().filter(|sequence| **sequence > applied).count();
        if damaged > 0 {
            options.logger.line(
                Level::Warn,
                LOGGER,
                format_args!("{damaged} journal records are damaged"),
            );
        }
        let highest = layout::highest_own_number(&*tree).map_err(|source| IoFailure {
            operation: Operation::Open,
            path: tree.path_of(layout::OBJECTS),
            source,
        })?;
        // Tools that make an index anew hold the lock themselves, and know.
        if lock.is_some() && applied == 0 && !has_recovered && highest > 0 {
            // Nothing is lost, and nothing is found either: whoever took the index away must be told.
            let path = tree.path_of("");
            options.logger.line(
                Level::Warn,
                LOGGER,
                format_args!(
                    "{} has objects and no index: queries do not find them until \
                     `dcmfast index rebuild` was run",
                    path.display()
                ),
            );
        }
        if options.durability.is_durable() && !tree.syncs_names_with_contents() {
            // What is acknowledged lies in directories that were perhaps made just now.
            for name in [".", layout::PRIVATE] {
                tree.sync_directory(name).map_err(|source| IoFailure {
                    operation: Operation::SyncDirectory,
                    path: tree.path_of(name),
                    source,
                })?;
            }
        }
        recovered.advance_to(applied.max(highest) + 1);
        let records = recovered.records();
        let numbers = (last_found, recovered.next_sequence());
        let progress = Arc::new(Progress::with_readers(applied, Asked::open(&*tree)));
        let deliver = {
            let progress = Arc::clone(&progress);
            Box::new(move |written| progress.push(written))
        };
        let journal = Journal::open(recovered, options.durability, deliver);
        let writes_anew = match tree.open(layout::UNSAVED, false) {
            Ok(_) => true,
            // That mark may have found no room itself: files beside records of a process that ended
            // at once are written again, too.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                was_left_open && has_recovered
            }
            Err(source) => {
                let path = tree.path_of(layout::UNSAVED);
                return Err(IoFailure { operation: Operation::Open, path, source }.into());
            }
        };
        let writes_anew = AtomicBool::new(writes_anew);
        let shares_syncs = tree.shares_syncs(layout::SPOOL, layout::JOURNAL);
        let undeleted = Undeleted::load(&*tree);
        let shared = Arc::new(Shared {
            tree,
            listing,
            journal,
            progress,
            options,
            shares_syncs,
            spare: SpareRecords::default(),
            writes_anew,
            is_past_safe: AtomicBool::new(false),
            touches: Touches::default(),
            undeleted,
        });
        let was_interrupted = was_left_open || has_recovered || damaged > 0;
        let mut threads = vec![Applier::start(&shared, applied)];
        if has_recovered {
            shared.progress.begin_recovery(last_found);
            threads.push(applier::start_recovery(&shared, records));
        }
        let place = lock.as_ref().and_then(|lock| lock.place(&shared.tree.path_of(layout::LOCK)));
        threads.push(applier::start_checkpoints(&shared, place));
        let area = Arc::new(Self {
            shared,
            threads: Mutex::new(threads),
            // Another life's names never come again: it may still be removing its own.
            spool_count: AtomicU64::new(
                SystemNameSource.chance() as u64 >> SPOOL_NUMBER_SPARE_BITS,
            ),
            clock: Arc::new(SystemNameSource),
            last_arrival_us: AtomicU64::new(0),
            ledger: Ledger::default(),
            saving: Mutex::default(),
            lock: Mutex::new(lock),
            numbers,
            was_interrupted,
            is_checked: AtomicBool::new(!was_interrupted),
        });
        if has_recovered {
            // Stalled, then: stores are refused until room is made, queries see what is there.
            let _ = area.shared.progress.settle();
        }
        area.clear_spool();
        Ok(area)
    }

    /// Takes note of an instance to come.
    pub fn begin(self: &Arc<Self>, request: &InstanceRequest) -> Receiver {
        Receiver::new(self, request)
    }

    /// True when whoever had the area last did not come to its end in order.
    pub fn was_interrupted(&self) -> bool {
        self.was_interrupted
    }

    /// Notes that index and files have been compared since.
    pub(super) fn set_checked(&self) {
        self.is_checked.store(true, Ordering::Release);
    }

    /// How the area stores.
    pub fn options(&self) -> &AreaOptions {
        &self.shared.options
    }

    /// Waits until all that was acknowledged before is in the index. An error says why that cannot
    /// be waited for: a query then goes on with what is there.
    pub fn barrier(&self) -> Result<(), Arc<str>> {
        self.shared.progress.barrier()
    }

    /// Opens the file of an instance for reading.
    pub fn open_instance(&self, location: &FileLocation) -> std::io::Result<StoredFile> {
        open_for_reading(&self.path_of(location))
    }

    /// Where the file of an instance is.
    pub fn path_of(&self, location: &FileLocation) -> PathBuf {
        match location {
            FileLocation::Own(number) => self.shared.tree.path_of(&layout::own_file(*number)),
            FileLocation::Relative(path) => self.shared.tree.path_of(path),
            FileLocation::Absolute(path) => PathBuf::from(path),
        }
    }

    /// Ends the area: stores are refused, everything that was acknowledged is applied, and the
    /// journal is empty.
    pub fn close(&self) -> Result<(), AreaError> {
        self.shared.progress.stop();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = !threads.is_empty();
        for thread in threads.drain(..) {
            // A panic was told by its hook; the journal has what it left undone.
            let _ = thread.join();
        }
        drop(threads);
        if !was_open {
            return Ok(());
        }
        let shared = &self.shared;
        if let Some(reason) = shared.progress.stalled() {
            return Err(AreaError::NotApplied(reason));
        }
        // After a failed sync the journal alone has what was acknowledged: it stays as it is.
        shared.journal.check()?;
        let (last_found, first_given) = self.numbers;
        let last = Some(shared.journal.last_sequence()).filter(|last| *last >= first_given);
        if shared.progress.applied_whole() < Some(last.unwrap_or(last_found)) {
            return Err(AreaError::NotApplied("the applier ended early".into()));
        }
        shared.touches.save(&*shared.listing);
        applier::delete_again(shared);
        applier::checkpoint(shared)?;
        crash_point("before_journal_clear");
        shared.journal.clear()?;
        if self.is_checked.load(Ordering::Acquire) {
            // Should it stay, the next start looks at too much.
            let _ = shared.tree.remove(layout::OPEN);
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }

    /// The number of the last record written, and up to which all is in the index, down to the last
    /// deletion.
    pub(super) fn written_and_applied(&self) -> (u64, u64) {
        self.shared.progress.written_and_applied()
    }

    /// True for a file that is to be deleted, and could not be yet.
    pub(super) fn is_undeleted(&self, location: &FileLocation) -> bool {
        self.shared.undeleted.has(location)
    }

    /// The first number that this process may give to a file.
    pub(super) fn first_given(&self) -> u64 {
        self.numbers.1
    }

    pub(super) fn tree(&self) -> &Arc<dyn Tree> {
        &self.shared.tree
    }

    /// A buffer for the record of a store, with room for `capacity` bytes of file and entry.
    pub(super) fn new_record(&self, capacity: usize) -> Vec<u8> {
        let mut buffer = self.shared.spare.take(record::FILE_AT + capacity);
        record::begin_store(&mut buffer);
        buffer
    }

    pub(super) fn spool_count(&self) -> &AtomicU64 {
        &self.spool_count
    }

    /// The time of an arrival: later than any before it, whatever the system's clock does meanwhile.
    /// Quotas go by it.
    pub(super) fn arrival_us(&self) -> u64 {
        let now_us = self.clock.unix_time_us();
        let later = |last_us: u64| now_us.max(last_us.saturating_add(1));
        let last =
            self.last_arrival_us
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last_us| Some(later(last_us)));
        last.map_or(now_us, later)
    }

    /// Stores a checked object: decides about duplicates and quota, and writes the record.
    pub(super) fn store(
        &self,
        mut change: StoreChange,
        mut record: Vec<u8>,
        mut spool: Option<Spool>,
    ) -> Result<(FileLocation, Duplicate, Vec<Evicted>), StoreError> {
        let shared = &*self.shared;
        let is_durable = shared.options.durability.is_durable();
        if let Some(spool) = spool.as_mut().filter(|_| !(is_durable && shared.shares_syncs)) {
            spool.secure(is_durable)?;
            spool.close()?;
        }
        let sop_instance = change.entry.sop_instance;
        let _claim = shared.progress.claim(sop_instance).map_err(StoreError::Stalled)?;
        let mut listed = self.listed(&sop_instance)?;
        if let Some(found) = &listed {
            if let Some(outcome) = self.settle_duplicate(&change, found)? {
                if self.is_kept(&change, found)? {
                    self.secure_listed(found)?;
                    return Ok((found.location.clone(), outcome, Vec::new()));
                }
                listed = None;
            }
        }
        let mut room = None;
        if let Some(quota) = shared.options.quota {
            room = Some(self.ledger.make_room(self, quota, &change.entry, listed.as_ref())?);
            // What went to make room may be what would have been replaced.
            listed = self.listed(&sop_instance)?;
        }
        change.replaced = listed.as_ref().map(|listed| listed.location.clone());
        let duplicate = if listed.is_some() { Duplicate::Replaced } else { Duplicate::None };
        record::finish_store(&mut record, &change);
        // Still open: safe when the journal has it, by the same flush of the device.
        let open = spool.as_ref().filter(|spool| spool.is_open());
        let sync = || open.map_or(Ok(()), |spool| spool.secure(true));
        let content = open.map(|_| Content { sync: &sync, instead: Change::Remove(Vec::new()) });
        let number = shared
            .journal
            .append(record, Change::Store(Box::new(change)), content)
            .map_err(StoreError::Journal)?;
        if let Some(spool) = &mut spool {
            spool.keep();
        }
        let evicted = room.map(Room::stored).unwrap_or_default();
        Ok((FileLocation::Own(number), duplicate, evicted))
    }

    /// What becomes of an object whose UID is listed; `None` when it takes the other's place.
    fn settle_duplicate(
        &self,
        change: &StoreChange,
        listed: &ListedInstance,
    ) -> Result<Option<Duplicate>, StoreError> {
        let is_identical = listed.identity == Identity::of(&change.entry);
        let policy = self.shared.options.duplicates;
        // Nothing is kept by a file that is gone or rotten, and nothing is lost when another takes its place.
        if (is_identical || policy != DuplicatePolicy::Replace) && !self.has_file(listed) {
            return Ok(None);
        }
        if is_identical {
            return Ok(Some(Duplicate::Identical));
        }
        match policy {
            DuplicatePolicy::Replace => Ok(None),
            DuplicatePolicy::Keep => Ok(Some(Duplicate::Kept)),
            DuplicatePolicy::Reject => {
                Err(StoreError::DuplicateRejected { path: self.path_of(&listed.location) })
            }
        }
    }

    /// Makes a listed object as durable as a new one would be, of which success is said without storing
    /// anything. What this process has stored is so; what an earlier one left may have been
    /// acknowledged under `none`, or not at all.
    fn secure_listed(&self, listed: &ListedInstance) -> Result<(), StoreError> {
        let shared = &*self.shared;
        if !shared.options.durability.is_durable() {
            return Ok(());
        }
        let FileLocation::Own(number) = listed.location else {
            return self.sync_foreign(&listed.location).map_err(StoreError::Io);
        };
        if number >= self.first_given() || shared.is_past_safe.load(Ordering::Acquire) {
            return Ok(());
        }
        let _turn = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_past_safe.load(Ordering::Acquire) {
            return Ok(());
        }
        // What a sync that failed had left is written anew first.
        shared.progress.recovered().map_err(StoreError::Stalled)?;
        applier::save_everything(shared).map_err(StoreError::Journal)
    }

    /// Syncs a file that the archive did not write, and its name.
    fn sync_foreign(&self, location: &FileLocation) -> Result<(), IoFailure> {
        let path = self.path_of(location);
        let synced = match layout::below_area(location) {
            None => sync_file(&path),
            Some(name) => {
                let tree = &*self.shared.tree;
                let directory = name.rsplit_once('/').map_or(".", |(directory, _)| directory);
                tree.open(&name, false)
                    .and_then(|file| file.sync_data())
                    .and_then(|()| tree.sync_directory(directory))
            }
        };
        synced.map_err(|source| IoFailure { operation: Operation::Sync, path, source })
    }

    /// Takes note that the study of a listed instance was received to again. False when the instance
    /// went meanwhile, to make room for another.
    fn is_kept(&self, change: &StoreChange, found: &ListedInstance) -> Result<bool, StoreError> {
        if self.shared.options.quota.is_none() {
            return Ok(true);
        }
        let entry = &change.entry;
        let _room = self.ledger.touch(self, &found.study_instance, entry)?;
        let touches = &self.shared.touches;
        touches.note(&found.study_instance, entry.sop_instance, entry.received_at_us);
        Ok(self.listed(&change.entry.sop_instance)?.as_ref() == Some(found))
    }

    /// Takes note that somebody changed the index, and not by the journal.
    pub(super) fn note_foreign_commit(&self) {
        self.ledger.forget();
    }

    /// True when the area is being closed.
    pub(super) fn is_closing(&self) -> bool {
        self.shared.progress.is_closing()
    }

    /// Writes a change other than a store.
    pub(super) fn append(&self, change: Change) -> Result<(), StoreError> {
        let record = record::encode(&change);
        self.shared.journal.append(record, change, None).map(|_| ()).map_err(StoreError::Journal)
    }

    pub(super) fn listing(&self) -> &dyn Listing {
        &*self.shared.listing
    }

    /// What is or will be listed under a UID.
    fn listed(&self, sop_instance: &UidText) -> Result<Option<ListedInstance>, StoreError> {
        match self.shared.progress.ahead(sop_instance) {
            Ahead::Listed(listed) => Ok(Some(*listed)),
            Ahead::Removed => Ok(None),
            Ahead::Nothing => self
                .shared
                .listing
                .find(sop_instance)
                .map_err(|error| StoreError::Index(Box::new(error))),
        }
    }

    /// True when the file of a listed instance is there, or will be by the journal.
    fn has_file(&self, listed: &ListedInstance) -> bool {
        let is_applied = match listed.location {
            FileLocation::Own(number) => number <= self.shared.progress.applied(),
            _ => true,
        };
        if !is_applied {
            return true;
        }
        let bytes = match layout::below_area(&listed.location) {
            Some(name) => self.shared.tree.open(&name, false).and_then(|file| file.bytes()),
            None => self
                .open_instance(&listed.location)
                .and_then(|file| file.metadata().map(|metadata| metadata.len())),
        };
        bytes.is_ok_and(|bytes| bytes == listed.file_bytes) && self.is_sound(listed)
    }

    /// True when the data set of a listed instance has the bytes that were stored: one that rotted is
    /// replaced by the same object sent again.
    fn is_sound(&self, listed: &ListedInstance) -> bool {
        let Identity { data_set_bytes, digest, .. } = listed.identity;
        let offset = listed.file_bytes.saturating_sub(data_set_bytes);
        let found = if let Some(name) = layout::below_area(&listed.location) {
            self.shared.tree.open(&name, false).and_then(|file| digest_from(&*file, offset))
        } else {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            read_digest(&self.path_of(&listed.location), offset, &mut Vec::new())
                .map(|(digest, _)| digest)
                .map_err(|error| std::io::Error::other(error.to_string()))
        };
        found.is_ok_and(|found| found == digest)
    }

    /// Removes what an earlier process left in the spool and no record names.
    fn clear_spool(&self) {
        let tree = &self.shared.tree;
        if self.shared.progress.stalled().is_some() {
            // Records that are not applied may name them.
            return;
        }
        for name in tree.names(layout::SPOOL).unwrap_or_default() {
            let _ = tree.remove(&format!("{}/{name}", layout::SPOOL));
        }
    }
}

impl Drop for StorageArea {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            self.shared.options.logger.line(Level::Error, LOGGER, format_args!("{error}"));
        }
    }
}

/// Refuses an area that is not on one file system: there are no renames between two, and what makes one
/// of them safe says nothing about the other.
fn check_file_systems(tree: &dyn Tree) -> Result<(), AreaError> {
    let of = |name| {
        tree.file_system_of(name).map_err(|source| IoFailure {
            operation: Operation::Open,
            path: tree.path_of(name),
            source,
        })
    };
    let own = of(".")?;
    for name in [layout::PRIVATE, layout::SPOOL, layout::OBJECTS, layout::JOURNAL] {
        match of(name) {
            Ok(other) if other == own => {}
            Ok(_) => return Err(AreaError::OtherFileSystem(tree.path_of(name))),
            // Made later, in the directory above.
            Err(failure) if failure.source.kind() == std::io::ErrorKind::NotFound => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(())
}

/// Keeps a whole record that means nothing to this program where a later one may look at it: it
/// must not stand in the way of all others.
fn quarantine(
    tree: &dyn Tree,
    logger: &Logger,
    sequence: u64,
    error: &EntryError,
    record: &[u8],
) -> Result<(), IoFailure> {
    let name = layout::quarantined(sequence);
    let keep = || {
        tree.make_directory(layout::QUARANTINE, Access::Owner)?;
        remove_if_there(tree, &name)?;
        let mut file = tree.create(&name, Access::Owner)?;
        file.append(&mut [std::io::IoSlice::new(record)])?;
        // Before the journal's space is used again.
        file.sync_data()?;
        file.close()?;
        tree.sync_directory(layout::QUARANTINE)
    };
    let path = tree.path_of(&name);
    keep().map_err(|source| IoFailure { operation: Operation::Write, path, source })?;
    logger.line(
        Level::Error,
        LOGGER,
        format_args!(
            "journal record {sequence} cannot be understood ({error}); it is kept as {}",
            tree.path_of(&name).display()
        ),
    );
    Ok(())
}

/// A record has seven bytes for a spool number, and the last is none.
const SPOOL_NUMBER_SPARE_BITS: u32 = 9;

/// The name of the logger of this part.
pub(super) const LOGGER: &str = "dcmfast.archive";
