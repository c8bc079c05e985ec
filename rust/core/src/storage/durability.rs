//! What must be synced before a file may be called stored, and how groups share it.
//!
//! The order is that of PROMISES.md §4, for every object: content synced → final name → directory
//! synced (and each parent that may be new); groups may sync contents later where the file system
//! allows it (below). A power cut shows no half file under a final name. When a later step fails,
//! the name is taken back; what it replaced was kept until then.
//!
//! * `none`: the file is handed to the kernel and renamed; nothing is synced.
//! * `each`: every object syncs for itself, on its association's thread.
//! * `group`: associations that wait at the same time share syncs. The first becomes the leader: it
//!   gathers, gives all names, syncs each directory once, and hands the lead to one of those that
//!   came meanwhile. No thread of its own, no time lost when one is alone: that one does as `each`.
//!
//! In a group every association syncs its own content, so an error reaches the object concerned and
//! the file system joins what is asked at the same time. When, depends on the file system:
//!
//! * before it queues, in general: two journal commits per group, as for one object;
//! * where names stay behind contents ([`Backend::keeps_names_behind_contents`]: ext4, XFS), contents
//!   are only written out before the names are given, and synced while the leader syncs the
//!   directory: one journal commit does all.
//!
//! `syncfs` was tried in the place of both and was quicker on an idle disk, but it waits for what
//! all other programs have written: beside a compiler at work it took ten times as long.
//!
//! Measured against a program that does write, fsync, rename, fsync of the directory and nothing
//! else (1.5 KB objects, ext4 on a RAM disk, 2 busy cores, medians of 9): 1 association 0.9 to 1.3
//! times its rate, 4 associations 1.3, 8 associations 1.4. `cargo bench --bench writer` repeats it.
//!
//! The leader waits, up to half of what a commit takes, for as many objects as took part last time:
//! without this, four senders that each wait for their response fall into groups of one and three.
//!
//! Called by `storage::writer`.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::{GROUP_GATHER_US_MAX, GROUP_OBJECTS_MAX, SYNCED_DIRECTORIES_MAX};
use crate::storage::backend::{Backend, PartFile, Publish};
use crate::storage::crash_point::crash_point;
use crate::storage::naming::AreaPath;
use crate::storage::seat;

/// What a success promises (`--durability`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// The kernel has it.
    #[default]
    None,
    /// It survives a power cut; syncs are shared between waiting associations.
    Group,
    /// It survives a power cut; every object syncs for itself.
    Each,
}

impl Durability {
    /// The mode that a user names: `none`, `group` or `each`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "group" => Some(Self::Group),
            "each" => Some(Self::Each),
            _ => None,
        }
    }

    /// True when success means that a power cut loses nothing.
    pub const fn is_durable(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// What was tried when the operating system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operation {
    Open,
    Create,
    Write,
    Sync,
    Close,
    Publish,
    MakeDirectory,
    SyncDirectory,
    Compare,
    Read,
}

impl Operation {
    /// The operation as a verb phrase for messages.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Close => "close",
            Self::Publish => "rename",
            Self::MakeDirectory => "create directory of",
            Self::SyncDirectory => "sync directory of",
            Self::Compare => "compare",
            Self::Read => "read back",
        }
    }
}

/// An operation that failed, on which path, and why.
#[derive(Debug)]
pub struct IoFailure {
    /// What was tried.
    pub operation: Operation,
    /// The final path of the object, or the area's.
    pub path: PathBuf,
    /// The operating system's answer.
    pub source: io::Error,
}

impl IoFailure {
    /// The same failure, for another who waited for it.
    pub(crate) fn copy(&self) -> Self {
        let Self { operation, path, source } = self;
        Self { operation: *operation, path: path.clone(), source: copy_error(source) }
    }
}

impl std::fmt::Display for IoFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { operation, path, source } = self;
        write!(formatter, "cannot {} {}: {source}", operation.verb(), path.display())
    }
}

/// What became of a part file.
pub enum Committed {
    /// It has its final name, and the mode's promise holds.
    Stored,
    /// The name was taken, and replacing was not asked for; content that was to be synced is.
    Exists(SyncedPart),
}

/// A closed part file whose content is as durable as the mode asks.
pub struct SyncedPart(Box<dyn PartFile>);

impl SyncedPart {
    /// True when the stored file `target` has the same bytes.
    pub fn has_content_of(&self, target: &AreaPath) -> io::Result<bool> {
        self.0.has_content_of(target)
    }
}

/// Brings part files to their final names in one durability mode.
pub struct Committer {
    backend: Arc<dyn Backend>,
    durability: Durability,
    group: Mutex<Group>,
    /// Told when an object joins while a leader gathers.
    joined: Condvar,
    /// Directories below the area whose own names are known to be synced.
    synced_directories: Mutex<HashSet<String>>,
    /// One commit at a time for each name.
    turns: Turns,
}

/// The names that are being committed. Of two replacements of one name the second must not take
/// what the first may have to give back: were both withdrawn, the object that was acknowledged
/// before would be gone.
#[derive(Default)]
struct Turns {
    names: Mutex<Names>,
    ended: Condvar,
}

#[derive(Default)]
struct Names {
    busy: HashSet<String>,
    /// Those who wait, for tests.
    waiting: usize,
}

impl Turns {
    /// Waits until nobody else commits `name`.
    fn take(&self, name: String) -> Turn<'_> {
        let mut names = lock(&self.names);
        names.waiting += 1;
        while names.busy.contains(&name) {
            names = self.ended.wait(names).unwrap_or_else(PoisonError::into_inner);
        }
        names.waiting -= 1;
        names.busy.insert(name.clone());
        Turn { turns: self, name }
    }
}

/// The right to commit one name, until it is dropped.
struct Turn<'a> {
    turns: &'a Turns,
    name: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.turns.names).busy.remove(&self.name);
        self.turns.ended.notify_all();
    }
}

/// The queue of a group and who leads.
#[derive(Default)]
struct Group {
    waiting: Vec<Waiter>,
    has_leader: bool,
    /// Objects that took part in the last commit or came during it.
    expected: usize,
    /// How long the last commit took.
    last_commit: Duration,
}

struct Waiter {
    step: Step,
    seat: Seated,
}

enum News {
    /// The object has its name, or not: sync what is left to sync and see how the directory fared.
    Named(Step, Arc<Ending>),
    /// The leader did not come that far.
    Interrupted,
    /// Nobody leads any more: do it.
    Lead,
}

/// How the directories of one group fared, for all who wait for it.
#[derive(Default)]
struct Ending {
    directories: Mutex<Option<Directories>>,
    told: Condvar,
}

/// Each directory with the answer to its sync; one that is missing was not synced.
type Directories = Vec<(String, io::Result<()>)>;

impl Ending {
    fn tell(&self, directories: Directories) {
        lock(&self.directories).get_or_insert(directories);
        self.told.notify_all();
    }

    /// Waits for the leader, and says why `directory` is not synced.
    fn wait(&self, directory: &str) -> Option<io::Error> {
        let mut told = lock(&self.directories);
        loop {
            if let Some(directories) = &*told {
                return match directories.iter().find(|(synced, _)| synced == directory) {
                    Some((_, Ok(()))) => None,
                    Some((_, Err(error))) => Some(copy_error(error)),
                    None => Some(io::Error::other("the group commit did not come to its end")),
                };
            }
            told = self.told.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Tells an ending also when the leader panics.
struct EndingGuard(Arc<Ending>);

impl Drop for EndingGuard {
    fn drop(&mut self) {
        self.0.tell(Vec::new());
    }
}

impl seat::News for News {
    fn interrupted() -> Self {
        Self::Interrupted
    }
}

type Seat = seat::Seat<News>;
type Seated = seat::Seated<News>;

/// One thing to bring to durability.
struct Task {
    target: AreaPath,
    work: Work,
}

enum Work {
    /// Give the part file its name.
    Publish { part: Box<dyn PartFile>, is_synced: bool, may_replace: bool },
    /// The stored file has the right content already; make that durable.
    Confirm { is_synced: bool },
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves plain data behind, every state of which is usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Committer {
    /// A committer for `backend`.
    pub fn new(backend: Arc<dyn Backend>, durability: Durability) -> Self {
        Self {
            backend,
            durability,
            group: Mutex::default(),
            joined: Condvar::new(),
            synced_directories: Mutex::default(),
            turns: Turns::default(),
        }
    }

    /// Gives `part` its final name, unless the name is taken.
    pub fn publish_new(
        &self,
        part: Box<dyn PartFile>,
        target: &AreaPath,
    ) -> Result<Committed, IoFailure> {
        let work = Work::Publish { part, is_synced: false, may_replace: false };
        self.commit(Task { target: target.clone(), work })
    }

    /// Gives `part`, whose last name was taken, another name, unless that is taken too.
    pub fn publish_again(
        &self,
        part: SyncedPart,
        target: &AreaPath,
    ) -> Result<Committed, IoFailure> {
        let work = Work::Publish { part: part.0, is_synced: true, may_replace: false };
        self.commit(Task { target: target.clone(), work })
    }

    /// Gives `part` its final name in the place of what has it.
    pub fn replace(&self, part: SyncedPart, target: &AreaPath) -> Result<(), IoFailure> {
        let work = Work::Publish { part: part.0, is_synced: true, may_replace: true };
        self.commit(Task { target: target.clone(), work }).map(|_| ())
    }

    /// Makes an object that is stored already as durable as a new one would be.
    pub fn confirm(&self, target: &AreaPath) -> Result<(), IoFailure> {
        if !self.durability.is_durable() {
            return Ok(());
        }
        self.commit(Task { target: target.clone(), work: Work::Confirm { is_synced: false } })
            .map(|_| ())
    }

    fn commit(&self, task: Task) -> Result<Committed, IoFailure> {
        if !self.durability.is_durable() {
            return self.commit_unsynced(task);
        }
        let _turn = self.turns.take(task.target.relative());
        match self.durability {
            Durability::None => self.commit_unsynced(task),
            Durability::Each => self.commit_alone(task),
            Durability::Group => self.commit_in_group(task),
        }
    }

    fn commit_unsynced(&self, task: Task) -> Result<Committed, IoFailure> {
        let Task { target, work } = task;
        let Work::Publish { mut part, may_replace, .. } = work else {
            return Ok(Committed::Stored);
        };
        part.close().map_err(|source| self.failure(Operation::Close, &target, source))?;
        crash_point("before_rename");
        let how = if may_replace { Publish::Replace } else { Publish::New };
        let is_published = self.publish(part.as_mut(), &target, how)?;
        crash_point("after_rename");
        Ok(if is_published { Committed::Stored } else { Committed::Exists(SyncedPart(part)) })
    }

    /// The durable order for one object.
    fn commit_alone(&self, task: Task) -> Result<Committed, IoFailure> {
        let mut step = Step::new(task);
        crash_point("before_sync");
        step.sync_content(self);
        crash_point("after_sync");
        crash_point("before_rename");
        step.publish(self);
        crash_point("after_rename");
        if step.is_named() {
            if let Err(error) = self.sync_directory(step.target.directory()) {
                step.fail(self, Operation::SyncDirectory, error);
            }
        }
        crash_point("after_directory_sync");
        step.finish(self)
    }

    fn commit_in_group(&self, task: Task) -> Result<Committed, IoFailure> {
        let seat = Seat::new();
        let step = self.prepare(task)?;
        let mut group = lock(&self.group);
        group.waiting.push(Waiter { step, seat: Seated::on(&seat) });
        if group.has_leader {
            drop(group);
            self.joined.notify_one();
            match seat.wait() {
                News::Named(step, ending) => return self.finish_in_group(step, &ending),
                News::Interrupted => return Err(self.interrupted()),
                News::Lead => {}
            }
        } else {
            group.has_leader = true;
            drop(group);
        }
        self.lead(&seat)
    }

    /// What an object can do for itself before it queues.
    fn prepare(&self, task: Task) -> Result<Step, IoFailure> {
        let mut step = Step::new(task);
        let has_company = {
            let group = lock(&self.group);
            group.has_leader || group.expected > 1
        };
        if !self.backend.keeps_names_behind_contents() {
            step.sync_content(self);
        } else if has_company {
            // While others are waited for, the device can have the content already.
            step.write_out(self, PartFile::start_write_out);
        }
        match step.outcome {
            Outcome::Failed(failure) => Err(failure),
            _ => Ok(step),
        }
    }

    /// Commits all that wait, this association's own object among them.
    fn lead(&self, own_seat: &Arc<Seat>) -> Result<Committed, IoFailure> {
        let handover = Handover { committer: self };
        let mut group = self.gather();
        let count = group.waiting.len().min(GROUP_OBJECTS_MAX);
        let batch: Vec<Waiter> = group.waiting.drain(..count).collect();
        group.expected = count;
        drop(group);
        let started = Instant::now();
        let (mut steps, seats): (Vec<Step>, Vec<Seated>) =
            batch.into_iter().map(|waiter| (waiter.step, waiter.seat)).unzip();
        let is_alone = count == 1;
        crash_point("before_sync");
        for step in &mut steps {
            if is_alone {
                step.sync_content(self);
            } else {
                step.write_out(self, PartFile::finish_write_out);
            }
        }
        crash_point("after_sync");
        crash_point("before_rename");
        for step in &mut steps {
            step.publish(self);
        }
        crash_point("after_rename");
        let ending = Arc::new(Ending::default());
        let guard = EndingGuard(Arc::clone(&ending));
        let mut directories: Vec<String> = Vec::new();
        for step in steps.iter().filter(|step| step.is_named()) {
            let directory = step.target.directory();
            if !directories.iter().any(|known| known == directory) {
                directories.push(directory.to_owned());
            }
        }
        let mut own_step = None;
        for (step, seat) in steps.into_iter().zip(seats) {
            if seat.is(own_seat) {
                own_step = Some(step);
                seat.leave();
            } else {
                seat.dismiss(News::Named(step, Arc::clone(&ending)));
            }
        }
        let synced = directories.into_iter().map(|directory| {
            let result = self.sync_directory(&directory);
            (directory, result)
        });
        ending.tell(synced.collect());
        drop(guard);
        lock(&self.group).last_commit = started.elapsed();
        // The next group can go on while this one sends its responses.
        drop(handover);
        match own_step {
            Some(step) => self.finish_in_group(step, &ending),
            None => Err(self.interrupted()),
        }
    }

    /// The own half of a group commit, on the association's thread, while the leader syncs the
    /// directory.
    fn finish_in_group(&self, mut step: Step, ending: &Ending) -> Result<Committed, IoFailure> {
        step.sync_content(self);
        if step.is_named() {
            if let Some(error) = ending.wait(step.target.directory()) {
                step.fail(self, Operation::SyncDirectory, error);
            }
        }
        crash_point("after_directory_sync");
        step.finish(self)
    }

    /// Waits until as many as last time are here, but not for long.
    fn gather(&self) -> MutexGuard<'_, Group> {
        let mut group = lock(&self.group);
        let expected = group.expected.min(GROUP_OBJECTS_MAX);
        if group.waiting.len() >= expected {
            return group;
        }
        let patience = (group.last_commit / 2).min(Duration::from_micros(GROUP_GATHER_US_MAX));
        let deadline = Instant::now() + patience;
        while group.waiting.len() < expected {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            group = self.joined.wait_timeout(group, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        group
    }

    /// Syncs `directory`, and each parent whose own name may be new.
    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        self.backend.sync_directory(directory)?;
        if directory.is_empty() || lock(&self.synced_directories).contains(directory) {
            return Ok(());
        }
        let mut parent = directory;
        while let Some((above, _)) = parent.rsplit_once('/') {
            self.backend.sync_directory(above)?;
            parent = above;
        }
        self.backend.sync_directory("")?;
        self.note_synced(directory);
        Ok(())
    }

    /// Makes a directory, with the one above it; false when it is there.
    pub fn make_directory(&self, directory: &str) -> io::Result<bool> {
        let made = match self.backend.make_directory(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let above = directory.rsplit_once('/').map_or("", |(above, _)| above);
                self.backend.make_directories(above)?;
                self.backend.make_directory(directory)
            }
            made => made,
        };
        self.forget_synced(directory);
        made
    }

    /// Removes a directory that was made for nothing; one with a file in it stays.
    pub fn unmake_directory(&self, directory: &str) {
        // It is empty and harmless where this fails.
        let _ = self.backend.remove_directory(directory);
    }

    /// Gives a stored file another name, unless that is taken.
    pub fn rename(&self, from: &AreaPath, to: &AreaPath) -> io::Result<()> {
        self.backend.rename_published(from, to)
    }

    /// After [`Committer::rename`]: the new names survive a power cut, where that is promised.
    pub fn renamed(&self, directory: &str) -> io::Result<()> {
        if self.durability.is_durable() { self.sync_directory(directory) } else { Ok(()) }
    }

    /// `directory` was made, perhaps in the place of one that was taken away: its name is not
    /// synced.
    fn forget_synced(&self, directory: &str) {
        lock(&self.synced_directories).remove(directory);
    }

    /// Remembers that the names of `directory` and its parents are synced.
    fn note_synced(&self, directory: &str) {
        let mut known = lock(&self.synced_directories);
        if directory.is_empty() || known.contains(directory) {
            return;
        }
        if known.len() >= SYNCED_DIRECTORIES_MAX {
            known.clear();
        }
        known.insert(directory.to_owned());
    }

    /// Gives the name; false when it is taken and may not be replaced. Missing directories are
    /// made.
    fn publish(
        &self,
        part: &mut dyn PartFile,
        target: &AreaPath,
        how: Publish,
    ) -> Result<bool, IoFailure> {
        let mut how = how;
        let mut has_made_directories = false;
        loop {
            let Err(error) = part.publish(target, how) else { return Ok(true) };
            match (error.kind(), how) {
                (io::ErrorKind::AlreadyExists, Publish::New) => return Ok(false),
                // No exchange on this file system, or nothing there to exchange with.
                (io::ErrorKind::Unsupported | io::ErrorKind::NotFound, Publish::Exchange) => {
                    how = Publish::Replace;
                }
                (io::ErrorKind::NotFound, _)
                    if !has_made_directories && !target.directory().is_empty() =>
                {
                    self.backend
                        .make_directories(target.directory())
                        .map_err(|source| self.failure(Operation::MakeDirectory, target, source))?;
                    self.forget_synced(target.directory());
                    has_made_directories = true;
                }
                _ => return Err(self.failure(Operation::Publish, target, error)),
            }
        }
    }

    fn failure(&self, operation: Operation, target: &AreaPath, source: io::Error) -> IoFailure {
        IoFailure { operation, path: self.backend.path_of(target), source }
    }

    fn interrupted(&self) -> IoFailure {
        IoFailure {
            operation: Operation::Sync,
            path: self.backend.area().to_owned(),
            source: io::Error::other("the group commit did not come to its end"),
        }
    }
}

/// One object on its way through the durable order.
struct Step {
    target: AreaPath,
    work: Work,
    outcome: Outcome,
}

enum Outcome {
    Going,
    Named,
    Taken,
    Failed(IoFailure),
}

impl Step {
    fn new(task: Task) -> Self {
        Self { target: task.target, work: task.work, outcome: Outcome::Going }
    }

    fn is_named(&self) -> bool {
        matches!(self.outcome, Outcome::Named)
    }

    fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    /// Writes content out that is not synced yet.
    fn write_out(
        &mut self,
        committer: &Committer,
        write_out: fn(&mut (dyn PartFile + 'static)) -> io::Result<()>,
    ) {
        let has_failed = self.has_failed();
        let Work::Publish { part, is_synced: false, .. } = &mut self.work else { return };
        if has_failed {
            return;
        }
        if let Err(error) = write_out(part.as_mut()) {
            self.fail(committer, Operation::Sync, error);
        }
    }

    /// Syncs the content, once: a second success would mean nothing.
    fn sync_content(&mut self, committer: &Committer) {
        if self.has_failed() {
            return;
        }
        let result = match &mut self.work {
            Work::Publish { is_synced: true, .. } | Work::Confirm { is_synced: true } => return,
            Work::Publish { part, is_synced, .. } => {
                *is_synced = true;
                part.sync_data()
            }
            Work::Confirm { is_synced } => {
                *is_synced = true;
                committer.backend.sync_published(&self.target)
            }
        };
        if let Err(error) = result {
            self.fail(committer, Operation::Sync, error);
        }
    }

    fn publish(&mut self, committer: &Committer) {
        if self.has_failed() {
            return;
        }
        let Work::Publish { part, is_synced, may_replace } = &mut self.work else {
            self.outcome = Outcome::Named;
            return;
        };
        // A content that is not synced yet stays open: its own descriptor tells its errors.
        let closed = if *is_synced { part.close() } else { Ok(()) };
        if let Err(error) = closed {
            self.fail(committer, Operation::Close, error);
            return;
        }
        let how = if *may_replace { Publish::Exchange } else { Publish::New };
        self.outcome = match committer.publish(part.as_mut(), &self.target, how) {
            Ok(true) => Outcome::Named,
            Ok(false) => Outcome::Taken,
            Err(failure) => Outcome::Failed(failure),
        };
    }

    fn fail(&mut self, committer: &Committer, operation: Operation, error: io::Error) {
        if let (Outcome::Named, Work::Publish { part, .. }) = (&self.outcome, &mut self.work) {
            // If even this fails, a whole object is visible that was not acknowledged: allowed.
            let _ = part.withdraw();
        }
        self.outcome = Outcome::Failed(committer.failure(operation, &self.target, error));
    }

    fn finish(self, committer: &Committer) -> Result<Committed, IoFailure> {
        match (self.outcome, self.work) {
            (Outcome::Failed(failure), _) => Err(failure),
            (Outcome::Taken, Work::Publish { part, .. }) => Ok(Committed::Exists(SyncedPart(part))),
            (Outcome::Named, Work::Publish { mut part, .. }) => {
                // The old file under the part name is all that can be left; the next start removes
                // it.
                let _ = part.settle();
                Ok(Committed::Stored)
            }
            (Outcome::Named, Work::Confirm { .. }) => Ok(Committed::Stored),
            (Outcome::Going | Outcome::Taken, _) => Err(committer.interrupted()),
        }
    }
}

/// Ends a leadership, also when it ends by a panic.
struct Handover<'a> {
    committer: &'a Committer,
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        let mut group = lock(&self.committer.group);
        group.expected += group.waiting.len();
        match group.waiting.first() {
            Some(next) => next.seat.tell(News::Lead),
            None => group.has_leader = false,
        }
    }
}

/// An I/O error for one more of those it concerns.
fn copy_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::backend::faulty::{Faulty, Plan};
    use crate::storage::backend::memory::Memory;
    use crate::storage::naming::{FileNaming, LocalTime, NameParts, Naming, SubdirectoryNaming};
    use crate::uid::UidText;
    use std::io::IoSlice;
    use std::path::Path;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn target(uid: &str, subdirectory: SubdirectoryNaming) -> AreaPath {
        let naming = Naming::new(FileNaming::SopInstanceUid, subdirectory, "", 0).unwrap();
        let parts = NameParts {
            sop_class: UidText::new(b"1.2.840.10008.5.1.4.1.1.2").unwrap(),
            sop_instance: UidText::new(uid.as_bytes()).unwrap(),
            time: LocalTime::EPOCH,
        };
        naming.path(&parts, Some(b"20200103"), LocalTime::EPOCH, 0, 0).0
    }

    fn part(backend: &dyn Backend, content: &[u8]) -> Box<dyn PartFile> {
        let mut part = backend.create_part().unwrap();
        part.append(&mut [IoSlice::new(content)]).unwrap();
        part
    }

    fn task(backend: &dyn Backend, uid: &str) -> Task {
        let work = Work::Publish {
            part: part(backend, uid.as_bytes()),
            is_synced: false,
            may_replace: false,
        };
        Task { target: target(uid, SubdirectoryNaming::None), work }
    }

    /// Writes down the order of calls on a memory area.
    struct Recorder {
        memory: Memory,
        calls: Arc<Mutex<Vec<String>>>,
    }

    struct RecordedPart {
        part: Box<dyn PartFile>,
        calls: Arc<Mutex<Vec<String>>>,
    }

    fn note<T>(calls: &Mutex<Vec<String>>, call: &str, result: T) -> T {
        lock(calls).push(call.to_owned());
        result
    }

    impl Backend for Recorder {
        fn create_part(&self) -> io::Result<Box<dyn PartFile>> {
            let part = self.memory.create_part()?;
            Ok(Box::new(RecordedPart { part, calls: Arc::clone(&self.calls) }))
        }
        fn make_directories(&self, directory: &str) -> io::Result<()> {
            note(&self.calls, "make", self.memory.make_directories(directory))
        }
        fn make_directory(&self, directory: &str) -> io::Result<bool> {
            self.memory.make_directory(directory)
        }
        fn remove_directory(&self, directory: &str) -> io::Result<()> {
            self.memory.remove_directory(directory)
        }
        fn rename_published(&self, from: &AreaPath, to: &AreaPath) -> io::Result<()> {
            self.memory.rename_published(from, to)
        }
        fn sync_directory(&self, directory: &str) -> io::Result<()> {
            let call = format!("sync directory {directory:?}");
            note(&self.calls, &call, self.memory.sync_directory(directory))
        }
        fn keeps_names_behind_contents(&self) -> bool {
            self.memory.keeps_names_behind_contents()
        }
        fn sync_published(&self, target: &AreaPath) -> io::Result<()> {
            note(&self.calls, "sync published", self.memory.sync_published(target))
        }
        fn remove_stale_parts(&self) -> io::Result<usize> {
            self.memory.remove_stale_parts()
        }
        fn path_of(&self, target: &AreaPath) -> PathBuf {
            self.memory.path_of(target)
        }
        fn area(&self) -> &Path {
            self.memory.area()
        }
    }

    impl PartFile for RecordedPart {
        fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
            self.part.append(slices)
        }
        fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
            self.part.read_at(buffer, at)
        }
        fn sync_data(&mut self) -> io::Result<()> {
            note(&self.calls, "sync", self.part.sync_data())
        }
        fn start_write_out(&mut self) -> io::Result<()> {
            note(&self.calls, "start", self.part.start_write_out())
        }
        fn finish_write_out(&mut self) -> io::Result<()> {
            note(&self.calls, "wait", self.part.finish_write_out())
        }
        fn close(&mut self) -> io::Result<()> {
            note(&self.calls, "close", self.part.close())
        }
        fn publish(&mut self, target: &AreaPath, how: Publish) -> io::Result<()> {
            let result = self.part.publish(target, how);
            note(&self.calls, &format!("publish {how:?} {}", result.is_ok()), result)
        }
        fn has_content_of(&self, target: &AreaPath) -> io::Result<bool> {
            self.part.has_content_of(target)
        }
        fn withdraw(&mut self) -> io::Result<()> {
            note(&self.calls, "withdraw", self.part.withdraw())
        }
        fn settle(&mut self) -> io::Result<()> {
            note(&self.calls, "settle", self.part.settle())
        }
    }

    fn recorded(durability: Durability) -> (Arc<Recorder>, Committer) {
        recorded_on(true, durability)
    }

    fn recorded_on(keeps_behind: bool, durability: Durability) -> (Arc<Recorder>, Committer) {
        let memory = Memory::new(keeps_behind);
        let recorder = Arc::new(Recorder { memory, calls: Arc::new(Mutex::default()) });
        let backend: Arc<dyn Backend> = recorder.clone();
        (recorder, Committer::new(backend, durability))
    }

    fn calls(recorder: &Recorder) -> Vec<String> {
        core::mem::take(&mut *lock(&recorder.calls))
    }

    /// The ordering promise: content, name, directory; `none` syncs nothing.
    #[test]
    fn order_of_one_object() {
        let name = target("1.2", SubdirectoryNaming::None);
        for durability in [Durability::Each, Durability::Group] {
            let (recorder, committer) = recorded(durability);
            committer.publish_new(part(&*recorder, b"x"), &name).unwrap();
            let expected = ["sync", "close", "publish New true", "sync directory \"\"", "settle"];
            assert_eq!(calls(&recorder), expected);
        }
        let (recorder, committer) = recorded(Durability::None);
        committer.publish_new(part(&*recorder, b"x"), &name).unwrap();
        assert_eq!(calls(&recorder), ["close", "publish New true"]);
    }

    /// A replaced file is kept until the directory is synced.
    #[test]
    fn order_of_a_replacement() {
        let name = target("1.2", SubdirectoryNaming::None);
        let (recorder, committer) = recorded(Durability::Each);
        committer.publish_new(part(&*recorder, b"old"), &name).unwrap();
        calls(&recorder);
        let Committed::Exists(taken) =
            committer.publish_new(part(&*recorder, b"new"), &name).unwrap()
        else {
            panic!("the name was free")
        };
        assert_eq!(calls(&recorder), ["sync", "close", "publish New false"]);
        committer.replace(taken, &name).unwrap();
        let expected = ["close", "publish Exchange true", "sync directory \"\"", "settle"];
        assert_eq!(calls(&recorder), expected);
        assert_eq!(recorder.memory.files().len(), 1);
        assert_eq!(recorder.memory.files()["CT.1.2"], b"new");
    }

    /// Every new parent is synced, by everyone until it is known to be.
    #[test]
    fn parents_are_synced_once() {
        let (recorder, committer) = recorded(Durability::Each);
        let name = |uid| target(uid, SubdirectoryNaming::SeriesDate);
        committer.publish_new(part(&*recorder, b"x"), &name("1.2")).unwrap();
        let syncs = |calls: Vec<String>| {
            calls.into_iter().filter(|call| call.starts_with("sync dir")).collect::<Vec<_>>()
        };
        let chain = ["data/2020/01/03", "data/2020/01", "data/2020", "data", ""];
        let expected: Vec<String> =
            chain.iter().map(|directory| format!("sync directory {directory:?}")).collect();
        assert_eq!(syncs(calls(&recorder)), expected);
        committer.publish_new(part(&*recorder, b"y"), &name("1.3")).unwrap();
        assert_eq!(syncs(calls(&recorder)), expected[..1]);
    }

    /// One group of `tasks` on this thread alone, led by the last that can queue: the others'
    /// halves follow the leader's.
    fn commit_together(
        committer: &Committer,
        tasks: Vec<Task>,
    ) -> Vec<Result<Committed, IoFailure>> {
        let queue = |task| {
            let step = committer.prepare(task)?;
            let seat = Seat::new();
            lock(&committer.group).waiting.push(Waiter { step, seat: Seated::on(&seat) });
            Ok(seat)
        };
        let seats: Vec<Result<Arc<Seat>, IoFailure>> = tasks.into_iter().map(queue).collect();
        let Some(leader) = seats.iter().flatten().next_back().cloned() else {
            return seats.into_iter().map(|seat| Err(seat.err().unwrap())).collect();
        };
        lock(&committer.group).has_leader = true;
        let mut led = Some(committer.lead(&leader));
        let follow = |seat: Result<Arc<Seat>, IoFailure>| {
            let seat = seat?;
            if Arc::ptr_eq(&seat, &leader) {
                return led.take().unwrap();
            }
            match seat.wait() {
                News::Named(step, ending) => committer.finish_in_group(step, &ending),
                News::Interrupted => Err(committer.interrupted()),
                News::Lead => panic!("the group has a leader"),
            }
        };
        seats.into_iter().map(follow).collect()
    }

    /// What a group of three costs on each kind of file system, in which order.
    #[test]
    fn a_group_shares_its_syncs() {
        let expected = [
            "sync sync sync close publish close publish close publish directory settle settle settle",
            "wait wait wait publish publish publish directory sync settle sync settle sync settle",
        ];
        for (keeps_behind, expected) in [false, true].into_iter().zip(expected) {
            let (recorder, committer) = recorded_on(keeps_behind, Durability::Group);
            let tasks = (0..3).map(|uid| task(&*recorder, &format!("1.{uid}"))).collect();
            assert!(commit_together(&committer, tasks).iter().all(Result::is_ok));
            let calls: Vec<String> = calls(&recorder)
                .iter()
                .map(|call| {
                    let call = call.strip_prefix("sync ").unwrap_or(call);
                    call.split(' ').next().unwrap_or_default().to_owned()
                })
                .collect();
            let expected: Vec<&str> = expected.split_ascii_whitespace().collect();
            assert_eq!(calls, expected, "{keeps_behind}");
            assert_eq!(recorder.memory.after_crash(&mut |_| 0).files().len(), 3);
        }
    }

    /// Where company is expected, contents are on their way before the group is complete.
    #[test]
    fn write_out_starts_early_in_company() {
        let (recorder, committer) = recorded(Durability::Group);
        for (expected, starts) in [(1, 0), (2, 1)] {
            lock(&committer.group).expected = expected;
            let step = committer.prepare(task(&*recorder, "1.1"));
            assert!(step.is_ok());
            assert_eq!(calls(&recorder).iter().filter(|call| *call == "start").count(), starts);
        }
    }

    /// No directory can be synced, and says so only when two have tried to take one name, or one of
    /// them waits for the other.
    struct NoDirectories {
        memory: Memory,
        published: AtomicUsize,
        committer: Mutex<Option<Arc<Committer>>>,
    }

    struct CountedPart {
        part: Box<dyn PartFile>,
        backend: Arc<NoDirectories>,
    }

    impl Backend for Arc<NoDirectories> {
        fn create_part(&self) -> io::Result<Box<dyn PartFile>> {
            let part = self.memory.create_part()?;
            Ok(Box::new(CountedPart { part, backend: Arc::clone(self) }))
        }
        fn make_directories(&self, directory: &str) -> io::Result<()> {
            self.memory.make_directories(directory)
        }
        fn make_directory(&self, directory: &str) -> io::Result<bool> {
            self.memory.make_directory(directory)
        }
        fn remove_directory(&self, directory: &str) -> io::Result<()> {
            self.memory.remove_directory(directory)
        }
        fn rename_published(&self, from: &AreaPath, to: &AreaPath) -> io::Result<()> {
            self.memory.rename_published(from, to)
        }
        fn sync_directory(&self, _: &str) -> io::Result<()> {
            let committer = lock(&self.committer).clone();
            let Some(committer) = committer else { return Ok(()) };
            let deadline = Instant::now() + Duration::from_secs(10);
            while self.published.load(Ordering::SeqCst) < 2
                && lock(&committer.turns.names).waiting == 0
            {
                assert!(Instant::now() < deadline, "nobody else came");
                std::thread::yield_now();
            }
            Err(io::Error::from_raw_os_error(libc::EIO))
        }
        fn keeps_names_behind_contents(&self) -> bool {
            self.memory.keeps_names_behind_contents()
        }
        fn sync_published(&self, target: &AreaPath) -> io::Result<()> {
            self.memory.sync_published(target)
        }
        fn remove_stale_parts(&self) -> io::Result<usize> {
            self.memory.remove_stale_parts()
        }
        fn path_of(&self, target: &AreaPath) -> PathBuf {
            self.memory.path_of(target)
        }
        fn area(&self) -> &Path {
            Path::new("memory")
        }
    }

    impl PartFile for CountedPart {
        fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
            self.part.append(slices)
        }
        fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
            self.part.read_at(buffer, at)
        }
        fn sync_data(&mut self) -> io::Result<()> {
            self.part.sync_data()
        }
        fn start_write_out(&mut self) -> io::Result<()> {
            self.part.start_write_out()
        }
        fn finish_write_out(&mut self) -> io::Result<()> {
            self.part.finish_write_out()
        }
        fn close(&mut self) -> io::Result<()> {
            self.part.close()
        }
        fn publish(&mut self, target: &AreaPath, how: Publish) -> io::Result<()> {
            self.part.publish(target, how)?;
            self.backend
                .published
                .fetch_add(usize::from(how == Publish::Exchange), Ordering::SeqCst);
            Ok(())
        }
        fn has_content_of(&self, target: &AreaPath) -> io::Result<bool> {
            self.part.has_content_of(target)
        }
        fn withdraw(&mut self) -> io::Result<()> {
            self.part.withdraw()
        }
        fn settle(&mut self) -> io::Result<()> {
            self.part.settle()
        }
    }

    /// Two replacements of one name at the same time, whose directory cannot be synced: neither is
    /// acknowledged, and the object that was comes back, whoever came first.
    #[test]
    fn failed_replacements_bring_the_acknowledged_object_back() {
        for durability in [Durability::Group, Durability::Each] {
            let backend = Arc::new(NoDirectories {
                memory: Memory::default(),
                published: AtomicUsize::new(0),
                committer: Mutex::default(),
            });
            let committer = Arc::new(Committer::new(Arc::new(Arc::clone(&backend)), durability));
            let name = target("1.2", SubdirectoryNaming::None);
            committer.publish_new(part(&backend, b"acknowledged"), &name).unwrap();
            *lock(&backend.committer) = Some(Arc::clone(&committer));
            let taken = ["one", "other"].map(|content| {
                let part = part(&backend, content.as_bytes());
                SyncedPart(part)
            });
            std::thread::scope(|scope| {
                for part in taken {
                    scope.spawn(|| assert!(committer.replace(part, &name).is_err()));
                }
            });
            let files = backend.memory.files();
            assert_eq!(files.len(), 1, "{durability:?}");
            assert_eq!(files["CT.1.2"], b"acknowledged", "{durability:?}");
        }
    }

    fn pair(backend: &dyn Backend) -> io::Result<Vec<Task>> {
        let task = |uid: &str| {
            let mut part = backend.create_part()?;
            part.append(&mut [IoSlice::new(uid.as_bytes())])?;
            let work = Work::Publish { part, is_synced: false, may_replace: false };
            Ok(Task { target: target(uid, SubdirectoryNaming::None), work })
        };
        ["1.1", "1.2"].into_iter().map(task).collect()
    }

    fn faulty(keeps_behind: bool, plan: &Arc<Plan>) -> (Memory, Arc<dyn Backend>) {
        let memory = Memory::new(keeps_behind);
        let backend = Faulty::new(Arc::new(memory.clone()), Arc::clone(plan));
        (memory, Arc::new(backend))
    }

    /// PROMISES.md §8.1 for a pair in one group: an error reaches those it concerns, and
    /// nothing of a failed object is left.
    #[test]
    fn a_fault_in_a_group_reaches_those_concerned() {
        for keeps_behind in [false, true] {
            let (mut failed_alone, mut failed_both) = (0, 0);
            // Calls 1 to 4 make the parts.
            for fail_at in 5.. {
                let plan = Plan::new(fail_at, false, libc::EIO);
                let (memory, backend) = faulty(keeps_behind, &plan);
                let committer = Committer::new(Arc::clone(&backend), Durability::Group);
                let mut tasks = pair(&*backend).unwrap();
                // A third that cannot fail leads, so that both halves of a follower are met.
                let inner: Arc<dyn Backend> = Arc::new(memory.clone());
                tasks.push(task(&*inner, "1.3"));
                let results = commit_together(&committer, tasks);
                let files = memory.files();
                for (result, uid) in results.iter().zip(["1.1", "1.2", "1.3"]) {
                    let name = format!("CT.{uid}");
                    assert_eq!(result.is_ok(), files.contains_key(&name), "call {fail_at}, {uid}");
                }
                match results.iter().filter(|result| result.is_err()).count() {
                    0 => assert!(!plan.has_failed()),
                    1 => failed_alone += 1,
                    3 => failed_both += 1,
                    other => panic!("call {fail_at}: {other} failed"),
                }
                drop(results);
                assert!(memory.files().keys().all(|name| name.starts_with("CT.")));
                assert!(!lock(&committer.group).has_leader);
                if !plan.has_failed() {
                    break;
                }
            }
            // Alone: sync, close and rename of each; or write-out, rename and sync. All: the
            // directory.
            assert_eq!((failed_alone, failed_both), (6, 1), "{keeps_behind}");
        }
    }

    /// PROMISES.md §8.3 for groups: the power is cut at any call; what is visible is
    /// whole, and what was acknowledged is visible. Every call, many disks each.
    #[test]
    fn a_power_cut_in_a_group() {
        for keeps_behind in [false, true] {
            for crash_at in 1.. {
                let memory = Memory::new(keeps_behind);
                let survivors: Arc<Mutex<Vec<Memory>>> = Arc::default();
                let at_fault = {
                    let (memory, survivors) = (memory.clone(), Arc::clone(&survivors));
                    move || {
                        for seed in 1..200_usize {
                            let mut state = seed;
                            let mut choose = |below: usize| {
                                state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                                (state >> 33) % below
                            };
                            lock(&survivors).push(memory.after_crash(&mut choose));
                        }
                    }
                };
                let plan = Plan::crash(crash_at, Box::new(at_fault));
                let backend: Arc<dyn Backend> =
                    Arc::new(Faulty::new(Arc::new(memory.clone()), Arc::clone(&plan)));
                let committer = Committer::new(Arc::clone(&backend), Durability::Group);
                let results = pair(&*backend).map(|tasks| commit_together(&committer, tasks));
                if !plan.has_failed() {
                    assert!(results.unwrap().iter().all(Result::is_ok));
                    assert_eq!(memory.after_crash(&mut |_| 0).files().len(), 2);
                    break;
                }
                for survivor in lock(&survivors).iter() {
                    for (name, content) in survivor.files() {
                        let is_part = name.starts_with(".dcmfast-");
                        let whole = name.strip_prefix("CT.").map(str::as_bytes);
                        assert!(is_part || whole == Some(&content), "{keeps_behind} {crash_at}");
                    }
                }
            }
        }
    }

    /// Many threads, each with many objects: all arrive, and the lead is given back.
    #[test]
    fn many_threads() {
        const THREADS: usize = 8;
        const OBJECTS: usize = 50;
        let (recorder, committer) = recorded(Durability::Group);
        let barrier = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (recorder, committer, barrier) = (&recorder, &committer, &barrier);
                scope.spawn(move || {
                    for object in 0..OBJECTS {
                        barrier.wait();
                        let uid = format!("{thread}.{object}");
                        let name = target(&uid, SubdirectoryNaming::None);
                        let part = part(&**recorder, uid.as_bytes());
                        assert!(matches!(
                            committer.publish_new(part, &name),
                            Ok(Committed::Stored)
                        ));
                    }
                });
            }
        });
        assert_eq!(recorder.memory.after_crash(&mut |_| 0).files().len(), THREADS * OBJECTS);
        let group = lock(&committer.group);
        assert!(!group.has_leader && group.waiting.is_empty());
    }

    /// PROMISES.md §8.12: a leader that panics answers all and gives the lead back.
    #[test]
    fn a_panicking_leader_leaves_no_one_waiting() {
        struct Panics(Memory);
        impl Backend for Panics {
            fn create_part(&self) -> io::Result<Box<dyn PartFile>> {
                self.0.create_part()
            }
            fn make_directories(&self, directory: &str) -> io::Result<()> {
                self.0.make_directories(directory)
            }
            fn make_directory(&self, directory: &str) -> io::Result<bool> {
                self.0.make_directory(directory)
            }
            fn remove_directory(&self, directory: &str) -> io::Result<()> {
                self.0.remove_directory(directory)
            }
            fn rename_published(&self, from: &AreaPath, to: &AreaPath) -> io::Result<()> {
                self.0.rename_published(from, to)
            }
            fn sync_directory(&self, _: &str) -> io::Result<()> {
                panic!("injected");
            }
            fn keeps_names_behind_contents(&self) -> bool {
                self.0.keeps_names_behind_contents()
            }
            fn sync_published(&self, target: &AreaPath) -> io::Result<()> {
                self.0.sync_published(target)
            }
            fn remove_stale_parts(&self) -> io::Result<usize> {
                self.0.remove_stale_parts()
            }
            fn path_of(&self, target: &AreaPath) -> PathBuf {
                self.0.path_of(target)
            }
            fn area(&self) -> &Path {
                self.0.area()
            }
        }
        let backend: Arc<dyn Backend> = Arc::new(Panics(Memory::default()));
        let committer = Committer::new(Arc::clone(&backend), Durability::Group);
        for uid in ["1.1", "1.2"] {
            let name = target(uid, SubdirectoryNaming::None);
            let part = part(&*backend, b"x");
            let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                committer.publish_new(part, &name).is_ok()
            }));
            assert!(attempt.is_err());
            assert!(!lock(&committer.group).has_leader);
        }
    }
}
