//! What must be synced before a file may be called stored, and how groups share it.
//!
//! The order is that of threats-and-promises.md §4, for every object: content synced → final name →
//! directory synced (and each parent that may be new). A final name never exists before its content
//! is synced, so a power cut shows no half file. When a later step fails, the name is taken back; what
//! it replaced was kept until then.
//!
//! * `none`: the file is handed to the kernel and renamed; nothing is synced.
//! * `each`: every object syncs for itself, on its association's thread.
//! * `group`: associations that wait at the same time share syncs. The first becomes the leader: it
//!   gathers, syncs all contents, gives all names, syncs each directory once, and hands the lead to
//!   one of those that came meanwhile. No thread of its own, no time lost when one is alone.
//!
//! A group of one does what `each` does. For more there are three ways ([`Way`]):
//!
//! * one by one: as `each`, with the directory synced once;
//! * twice: `syncfs` for the contents, names, fsync of the directory;
//! * once, where names stay behind contents ([`GroupSync::Once`]): contents written out (no commit, no
//!   flush), names, one `syncfs` for all.
//!
//! The price of `syncfs` is that it waits for what other programs have written too. So costs are
//! watched, and one by one is the way while it is the cheaper one ([`Pace`]).
//!
//! A failed `syncfs` does not say whose content is lost; fdatasync of each file then does, so an error
//! reaches exactly the objects concerned.
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

use crate::limits::{
    GROUP_GATHER_US_MAX, GROUP_OBJECTS_MAX, SYNC_RETRY_FACTOR, SYNC_RETRY_MS,
    SYNCED_DIRECTORIES_MAX,
};
use crate::storage::backend::{Backend, GroupSync, PartFile, Publish};
use crate::storage::crash_point::crash_point;
use crate::storage::naming::AreaPath;

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
    pace: Mutex<Pace>,
}

/// How a group is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    OneByOne,
    Twice,
    Once,
}

/// What the ways have cost of late, per object; at once is whichever of `Twice` and `Once` there is.
#[derive(Default)]
struct Pace {
    /// Groups of one count as well, so this is known early and is an upper bound.
    one_by_one: Option<Duration>,
    at_once: Option<Duration>,
    /// At once was the dearer way, and is not tried again before this.
    rests_until: Option<Instant>,
}

impl Pace {
    /// At once, unless that has lately cost more than one by one.
    fn choose(&mut self, at_once: Way, now: Instant) -> Way {
        match self.rests_until {
            Some(until) if now < until => return Way::OneByOne,
            // What it cost before it rested says nothing about now.
            Some(_) => self.at_once = None,
            None => {}
        }
        self.rests_until = None;
        at_once
    }

    fn note(&mut self, way: Way, took: Duration, count: usize, now: Instant) {
        let cost = if way == Way::OneByOne { &mut self.one_by_one } else { &mut self.at_once };
        let per_object = took / count.max(1) as u32;
        // An eighth: one slow sync in a row of quick ones decides nothing.
        *cost = Some(cost.map_or(per_object, |before| (before * 7 + per_object) / 8));
        let is_dear = self.at_once.zip(self.one_by_one).is_some_and(|(all, one)| all > one);
        if way != Way::OneByOne && is_dear {
            let rest = (took * SYNC_RETRY_FACTOR).max(Duration::from_millis(SYNC_RETRY_MS));
            self.rests_until = now.checked_add(rest);
        }
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
    task: Task,
    seat: Arc<Seat>,
}

/// Where a waiting association is told what happens.
#[derive(Default)]
struct Seat {
    news: Mutex<Option<News>>,
    told: Condvar,
}

enum News {
    Done(Result<Committed, IoFailure>),
    /// Nobody leads any more: do it.
    Lead,
}

impl Seat {
    fn tell(&self, news: News) {
        *lock(&self.news) = Some(news);
        self.told.notify_one();
    }

    fn wait(&self) -> News {
        let mut news = lock(&self.news);
        loop {
            if let Some(news) = news.take() {
                return news;
            }
            news = self.told.wait(news).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One thing to bring to durability.
struct Task {
    target: AreaPath,
    work: Work,
}

enum Work {
    /// Give the part file its name.
    Publish { part: Box<dyn PartFile>, is_synced: bool, may_replace: bool },
    /// The stored file has the right content already; make that durable.
    Confirm,
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
            pace: Mutex::default(),
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
        self.commit(Task { target: target.clone(), work: Work::Confirm }).map(|_| ())
    }

    fn commit(&self, task: Task) -> Result<Committed, IoFailure> {
        match self.durability {
            Durability::None => self.commit_unsynced(task),
            Durability::Each => {
                self.commit_together(vec![task]).pop().unwrap_or_else(|| Err(self.interrupted()))
            }
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

    fn commit_in_group(&self, mut task: Task) -> Result<Committed, IoFailure> {
        let seat = Arc::new(Seat::default());
        let mut group = lock(&self.group);
        if group.has_leader || group.expected > 1 {
            drop(group);
            // While others are waited for, the device can have the content already.
            self.start_write_out(&mut task)?;
            group = lock(&self.group);
        }
        group.waiting.push(Waiter { task, seat: Arc::clone(&seat) });
        if group.has_leader {
            drop(group);
            self.joined.notify_one();
            match seat.wait() {
                News::Done(result) => return result,
                News::Lead => {}
            }
        } else {
            group.has_leader = true;
            drop(group);
        }
        self.lead(&seat)
    }

    fn start_write_out(&self, task: &mut Task) -> Result<(), IoFailure> {
        match &mut task.work {
            Work::Publish { part, is_synced: false, .. } => part
                .start_write_out()
                .map_err(|source| self.failure(Operation::Sync, &task.target, source)),
            _ => Ok(()),
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
        let (tasks, seats): (Vec<Task>, Vec<Unanswered>) = batch
            .into_iter()
            .map(|waiter| (waiter.task, Unanswered { committer: self, seat: Some(waiter.seat) }))
            .unzip();
        let started = Instant::now();
        let results = self.commit_together(tasks);
        lock(&self.group).last_commit = started.elapsed();
        // Before the answers, so that the next group syncs while these responses are sent.
        drop(handover);
        for (seat, result) in seats.into_iter().zip(results) {
            seat.answer(result);
        }
        match own_seat.wait() {
            News::Done(result) => result,
            // Only queued objects are told to lead, and this one was taken out of the queue.
            News::Lead => Err(self.interrupted()),
        }
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

    /// The durable order for some objects at once; results in the order of `tasks`.
    fn commit_together(&self, tasks: Vec<Task>) -> Vec<Result<Committed, IoFailure>> {
        let count = tasks.len();
        let way = self.choose_way(count);
        let started = Instant::now();
        let mut steps: Vec<Step> = tasks.into_iter().map(Step::new).collect();
        crash_point("before_sync");
        match way {
            Way::OneByOne => self.sync_contents(&mut steps),
            Way::Twice => self.sync_contents_together(&mut steps),
            Way::Once => self.write_out_contents(&mut steps),
        }
        crash_point("after_sync");
        crash_point("before_rename");
        for step in &mut steps {
            step.publish(self, way);
        }
        crash_point("after_rename");
        match way {
            Way::OneByOne | Way::Twice => self.sync_names(&mut steps),
            Way::Once => self.sync_all(&mut steps),
        }
        crash_point("after_directory_sync");
        lock(&self.pace).note(way, started.elapsed(), count, Instant::now());
        steps.into_iter().map(|step| step.finish(self)).collect()
    }

    fn choose_way(&self, count: usize) -> Way {
        let at_once = match self.backend.group_sync() {
            _ if count < 2 => return Way::OneByOne,
            GroupSync::None => return Way::OneByOne,
            GroupSync::Twice => Way::Twice,
            GroupSync::Once => Way::Once,
        };
        lock(&self.pace).choose(at_once, Instant::now())
    }

    fn sync_contents(&self, steps: &mut [Step]) {
        for step in steps.iter_mut().filter(|step| step.needs_content_sync()) {
            step.sync_content(self);
        }
    }

    fn sync_contents_together(&self, steps: &mut [Step]) {
        if self.backend.sync_file_system().is_err() {
            self.sync_contents(steps);
        }
    }

    fn write_out_contents(&self, steps: &mut [Step]) {
        for step in steps.iter_mut().filter(|step| step.needs_content_sync()) {
            step.finish_write_out(self);
        }
    }

    /// One sync for contents and names together.
    fn sync_all(&self, steps: &mut [Step]) {
        if steps.iter().all(|step| matches!(step.outcome, Outcome::Failed(_))) {
            return;
        }
        if self.backend.sync_file_system().is_err() {
            self.sync_contents(steps);
            self.sync_names(steps);
            return;
        }
        for step in steps.iter().filter(|step| step.is_named()) {
            self.note_synced(step.task_target.directory());
        }
    }

    /// Syncs every directory that a name was given in, once.
    fn sync_names(&self, steps: &mut [Step]) {
        let mut done: Vec<(String, io::Result<()>)> = Vec::new();
        for step in steps.iter_mut().filter(|step| step.is_named()) {
            let directory = step.task_target.directory();
            let known = done.iter().position(|(synced, _)| synced == directory);
            let at = known.unwrap_or_else(|| {
                done.push((directory.to_owned(), self.sync_directory(directory)));
                done.len() - 1
            });
            if let Err(error) = &done[at].1 {
                step.fail(self, Operation::SyncDirectory, copy_error(error));
            }
        }
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

    /// Gives the name; false when it is taken and may not be replaced. Missing directories are made.
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

/// One object on its way through [`Committer::commit_together`].
struct Step {
    task_target: AreaPath,
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
        Self { task_target: task.target, work: task.work, outcome: Outcome::Going }
    }

    fn needs_content_sync(&self) -> bool {
        !matches!(self.work, Work::Publish { is_synced: true, .. })
            && !matches!(self.outcome, Outcome::Failed(_))
    }

    fn finish_write_out(&mut self, committer: &Committer) {
        let Work::Publish { part, .. } = &mut self.work else { return };
        if let Err(error) = part.finish_write_out() {
            self.fail(committer, Operation::Sync, error);
        }
    }

    fn sync_content(&mut self, committer: &Committer) {
        let result = match &mut self.work {
            Work::Publish { part, .. } => part.sync_data(),
            Work::Confirm => committer.backend.sync_published(&self.task_target),
        };
        if let Err(error) = result {
            self.fail(committer, Operation::Sync, error);
        }
    }

    fn publish(&mut self, committer: &Committer, way: Way) {
        if matches!(self.outcome, Outcome::Failed(_)) {
            return;
        }
        let Work::Publish { part, may_replace, .. } = &mut self.work else {
            self.outcome = Outcome::Named;
            return;
        };
        // A content that is not synced yet stays open: only its own descriptor tells its errors.
        let closed = if way == Way::Once { Ok(()) } else { part.close() };
        if let Err(error) = closed {
            self.fail(committer, Operation::Close, error);
            return;
        }
        let how = if *may_replace { Publish::Exchange } else { Publish::New };
        self.outcome = match committer.publish(part.as_mut(), &self.task_target, how) {
            Ok(true) => Outcome::Named,
            Ok(false) => Outcome::Taken,
            Err(failure) => Outcome::Failed(failure),
        };
    }

    fn is_named(&self) -> bool {
        matches!(self.outcome, Outcome::Named)
    }

    fn fail(&mut self, committer: &Committer, operation: Operation, error: io::Error) {
        if let (Outcome::Named, Work::Publish { part, .. }) = (&self.outcome, &mut self.work) {
            // If even this fails, a whole object is visible that was not acknowledged: allowed.
            let _ = part.withdraw();
        }
        self.outcome = Outcome::Failed(committer.failure(operation, &self.task_target, error));
    }

    fn finish(self, committer: &Committer) -> Result<Committed, IoFailure> {
        match (self.outcome, self.work) {
            (Outcome::Failed(failure), _) => Err(failure),
            (Outcome::Taken, Work::Publish { part, .. }) => Ok(Committed::Exists(SyncedPart(part))),
            (Outcome::Named, Work::Publish { mut part, .. }) => {
                // The old file under the part name is all that can be left; the next start removes it.
                let _ = part.settle();
                Ok(Committed::Stored)
            }
            (Outcome::Named, Work::Confirm) => Ok(Committed::Stored),
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

/// A seat whose association gets an answer whatever happens.
struct Unanswered<'a> {
    committer: &'a Committer,
    seat: Option<Arc<Seat>>,
}

impl Unanswered<'_> {
    fn answer(mut self, result: Result<Committed, IoFailure>) {
        if let Some(seat) = self.seat.take() {
            seat.tell(News::Done(result));
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.tell(News::Done(Err(self.committer.interrupted())));
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
        fn sync_directory(&self, directory: &str) -> io::Result<()> {
            let call = format!("sync directory {directory:?}");
            note(&self.calls, &call, self.memory.sync_directory(directory))
        }
        fn group_sync(&self) -> GroupSync {
            self.memory.group_sync()
        }
        fn sync_file_system(&self) -> io::Result<()> {
            note(&self.calls, "sync all", self.memory.sync_file_system())
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

    const KINDS: [GroupSync; 3] = [GroupSync::None, GroupSync::Twice, GroupSync::Once];

    fn recorded(durability: Durability) -> (Arc<Recorder>, Committer) {
        recorded_on(GroupSync::Once, durability)
    }

    fn recorded_on(kind: GroupSync, durability: Durability) -> (Arc<Recorder>, Committer) {
        let memory = Memory::with_group_sync(kind);
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

    /// What a group of three costs on each kind of file system, in which order.
    #[test]
    fn a_group_shares_its_syncs() {
        let expected = [
            "sync sync sync close publish close publish close publish \
             directory settle settle settle",
            "all close publish close publish close publish directory settle settle settle",
            "wait wait wait publish publish publish all settle settle settle",
        ];
        for (kind, expected) in KINDS.into_iter().zip(expected) {
            let (recorder, committer) = recorded_on(kind, Durability::Group);
            let tasks = (0..3).map(|uid| task(&*recorder, &format!("1.{uid}"))).collect();
            assert!(committer.commit_together(tasks).iter().all(Result::is_ok));
            let calls: Vec<String> = calls(&recorder)
                .iter()
                .map(|call| {
                    let call = call.strip_prefix("sync ").unwrap_or(call);
                    call.split(' ').next().unwrap_or_default().to_owned()
                })
                .collect();
            let expected: Vec<&str> = expected.split_ascii_whitespace().collect();
            assert_eq!(calls, expected, "{kind:?}");
            assert_eq!(recorder.memory.after_crash(&mut |_| 0).files().len(), 3);
        }
    }

    /// A dear syncfs rests for twenty times what it took, and is judged anew after that; one slow sync
    /// among quick ones is no reason.
    #[test]
    fn the_cheaper_way_is_taken() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut pace = Pace::default();
        pace.note(Way::OneByOne, ms(4), 1, now);
        for _ in 0..8 {
            assert_eq!(pace.choose(Way::Once, now), Way::Once);
            pace.note(Way::Once, ms(4), 4, now);
        }
        pace.note(Way::Once, ms(80), 4, now);
        assert_eq!(pace.choose(Way::Once, now), Way::Once);
        pace.note(Way::Once, ms(800), 4, now);
        for (later, way) in [(0, Way::OneByOne), (15_999, Way::OneByOne), (16_000, Way::Once)] {
            assert_eq!(pace.choose(Way::Once, now + ms(later)), way, "{later} ms");
        }
        pace.note(Way::Once, ms(4), 4, now);
        assert_eq!(pace.choose(Way::Once, now), Way::Once);
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

    fn faulty(kind: GroupSync, plan: &Arc<Plan>) -> (Memory, Arc<dyn Backend>) {
        let memory = Memory::with_group_sync(kind);
        let backend = Faulty::new(Arc::new(memory.clone()), Arc::clone(plan));
        (memory, Arc::new(backend))
    }

    /// threats-and-promises.md §8.1 for a pair in one group: an error reaches those it concerns, and
    /// nothing of a failed object is left.
    #[test]
    fn a_fault_in_a_group_reaches_those_concerned() {
        // What can fail for one alone: its sync or write-out, close unless both are one, rename.
        for (kind, alone) in KINDS.into_iter().zip([6, 4, 4]) {
            let mut failed_alone = 0;
            for fail_at in 1.. {
                let plan = Plan::new(fail_at, false, libc::EIO);
                let (memory, backend) = faulty(kind, &plan);
                let committer = Committer::new(Arc::clone(&backend), Durability::Group);
                let Ok(tasks) = pair(&*backend) else {
                    assert!(memory.files().is_empty());
                    continue;
                };
                let results = committer.commit_together(tasks);
                let files = memory.files();
                for (result, uid) in results.iter().zip(["1.1", "1.2"]) {
                    let name = format!("CT.{uid}");
                    assert_eq!(result.is_ok(), files.contains_key(&name), "call {fail_at}, {uid}");
                }
                let failures = results.iter().filter(|result| result.is_err()).count();
                failed_alone += usize::from(failures == 1);
                drop(results);
                assert!(memory.files().keys().all(|name| name.starts_with("CT.")));
                if !plan.has_failed() {
                    break;
                }
            }
            assert_eq!(failed_alone, alone, "{kind:?}");
        }
    }

    /// A failed syncfs tells nobody whose content is lost: each file is asked, and here none is.
    #[test]
    fn a_failed_file_system_sync_is_asked_again_per_file() {
        // Calls 1 to 4 make the parts; wait and publish of both come before a single syncfs.
        for (kind, fail_at) in [(GroupSync::Twice, 5), (GroupSync::Once, 9)] {
            let plan = Plan::new(fail_at, false, libc::EIO);
            let (memory, backend) = faulty(kind, &plan);
            let committer = Committer::new(Arc::clone(&backend), Durability::Group);
            let results = committer.commit_together(pair(&*backend).unwrap());
            assert!(plan.has_failed() && results.iter().all(Result::is_ok), "{kind:?}");
            let survived = memory.after_crash(&mut |_| 0).files();
            assert_eq!(survived["CT.1.1"], b"1.1");
            assert_eq!(survived["CT.1.2"], b"1.2");
        }
    }

    /// threats-and-promises.md §8.3 for groups: the power is cut at any call; what is visible is
    /// whole, and what was acknowledged is visible. Every call, many disks each.
    #[test]
    fn a_power_cut_in_a_group() {
        for kind in KINDS {
            for crash_at in 1.. {
                let memory = Memory::with_group_sync(kind);
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
                let results = pair(&*backend).map(|tasks| committer.commit_together(tasks));
                if !plan.has_failed() {
                    assert!(results.unwrap().iter().all(Result::is_ok));
                    assert_eq!(memory.after_crash(&mut |_| 0).files().len(), 2);
                    break;
                }
                for survivor in lock(&survivors).iter() {
                    for (name, content) in survivor.files() {
                        let is_part = name.starts_with(".dcmfast-");
                        let whole = name.strip_prefix("CT.").map(str::as_bytes);
                        assert!(is_part || whole == Some(&content), "{kind:?} call {crash_at}");
                    }
                }
            }
        }
    }

    /// Whoever leads takes along all that wait, and tells each.
    #[test]
    fn a_leader_takes_all_that_wait() {
        let (recorder, committer) = recorded(Durability::Group);
        let seats: Vec<Arc<Seat>> = (0..3).map(|_| Arc::default()).collect();
        for (seat, uid) in seats.iter().zip(["1.1", "1.2", "1.3"]) {
            let waiter = Waiter { task: task(&*recorder, uid), seat: Arc::clone(seat) };
            lock(&committer.group).waiting.push(waiter);
        }
        let name = target("1.4", SubdirectoryNaming::None);
        assert!(committer.publish_new(part(&*recorder, b"x"), &name).is_ok());
        for seat in seats {
            assert!(matches!(seat.wait(), News::Done(Ok(Committed::Stored))));
        }
        let calls = calls(&recorder);
        assert_eq!(calls.iter().filter(|call| *call == "sync all").count(), 1, "{calls:?}");
        assert_eq!(recorder.memory.files().len(), 4);
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

    /// threats-and-promises.md §8.12: a leader that panics answers all and gives the lead back.
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
            fn sync_directory(&self, _: &str) -> io::Result<()> {
                panic!("injected");
            }
            fn group_sync(&self) -> GroupSync {
                GroupSync::None
            }
            fn sync_file_system(&self) -> io::Result<()> {
                Ok(())
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
