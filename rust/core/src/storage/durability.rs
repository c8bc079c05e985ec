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
//! How contents are synced in a group: one object by fdatasync; more by one `syncfs`, whose failure
//! is not the end: fdatasync of each file then tells whose content is lost, so an error reaches
//! exactly the objects concerned.
//!
//! The leader waits up to `GROUP_GATHER_US_MAX` for as many objects as took part last time: without
//! this, four senders that each wait for their response fall into groups of one and three.
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
}

/// The queue of a group and who leads.
#[derive(Default)]
struct Group {
    waiting: Vec<Waiter>,
    has_leader: bool,
    /// Objects that took part in the last commit or came during it.
    expected: usize,
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

    fn commit_in_group(&self, task: Task) -> Result<Committed, IoFailure> {
        let seat = Arc::new(Seat::default());
        let mut group = lock(&self.group);
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
        let results = self.commit_together(tasks);
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
        let deadline = Instant::now() + Duration::from_micros(GROUP_GATHER_US_MAX);
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
        let mut steps: Vec<Step> = tasks.into_iter().map(Step::new).collect();
        crash_point("before_sync");
        self.sync_contents(&mut steps);
        crash_point("after_sync");
        crash_point("before_rename");
        for step in &mut steps {
            step.publish(self);
        }
        crash_point("after_rename");
        self.sync_names(&mut steps);
        crash_point("after_directory_sync");
        steps.into_iter().map(|step| step.finish(self)).collect()
    }

    fn sync_contents(&self, steps: &mut [Step]) {
        let unsynced = steps.iter().filter(|step| step.needs_content_sync()).count();
        if unsynced > 1
            && self.backend.can_sync_file_system()
            && self.backend.sync_file_system().is_ok()
        {
            return;
        }
        for step in steps.iter_mut().filter(|step| step.needs_content_sync()) {
            step.sync_content(self);
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
        let mut known = lock(&self.synced_directories);
        if known.len() >= SYNCED_DIRECTORIES_MAX {
            known.clear();
        }
        known.insert(directory.to_owned());
        Ok(())
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

    fn publish(&mut self, committer: &Committer) {
        if matches!(self.outcome, Outcome::Failed(_)) {
            return;
        }
        let Work::Publish { part, may_replace, .. } = &mut self.work else {
            self.outcome = Outcome::Named;
            return;
        };
        if let Err(error) = part.close() {
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
