//! Comparing an index with the files of its area, and repairing the index.
//!
//! First every listed instance is looked up on the disk (there, a regular file, its size; with
//! [`Depth::Digest`] its bytes), then every file is looked up in what the first pass has met: a bit
//! for each own file, a hash for each other. Only the index is ever repaired: rows without a file
//! go, whole objects that are not listed are listed again. No file is deleted or changed.
//!
//! Before that the pages of the index are looked at: garbage in them could end the process when LMDB
//! meets it (`index::pages`).
//!
//! It may run beside a server: it reads in short transactions, and what it suspects is looked up
//! once more in the newest state, so that an object that comes or goes meanwhile is no finding. To
//! repair, the area must be free, or be that of this process ([`verify_beside`]).
//!
//! Called by `archive::background` and the Python layer.

use core::fmt;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use super::area::{LOGGER, StorageArea};
use super::files::{Bare, Unlistable, read_digest, read_entry, read_entry_while};
use super::indexed::OpenArea;
use super::layout;
use super::maintenance::{
    Step, ToolError, Watch, area_error, index_error, io_error, journal_has_records, open_beside,
    tell, tool_options,
};
use super::parallel;
use super::rebuild::{UNDELETED, UNNAMEABLE, path_of};
use super::undeleted::Undeleted;
use crate::index::{
    FileLocation, Index, IndexError, IndexOp, InstanceEntry, InstanceKey, InstanceRecord,
};
use crate::limits::{
    BACKGROUND_PATIENCE_MS, DOUBTFUL_FILES_MAX, DOUBTFUL_GRACE_MS, TOOL_BATCH_FILES,
    TOOL_COMMIT_ENTRIES, TOOL_PAGE_INSTANCES,
};
use crate::log::{Level as LogLevel, Logger};
use crate::storage::backend::survey::{self, Met, facts_of};
use crate::storage::backend::tree::DiskTree;
use crate::storage::durability::Operation;
use crate::uid::UidText;

/// How closely files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// That they are there, and their size.
    Metadata,
    /// Their bytes, too: the digest of each data set.
    Digest,
    /// What they say, too: UIDs, transfer syntax and indexed attributes.
    Full,
}

/// What `verify` does.
pub struct VerifyOptions {
    /// How closely it looks.
    pub depth: Depth,
    /// Whether the index is repaired.
    pub repairs: bool,
    /// Threads that look at files.
    pub threads: usize,
    /// Where faults of the journal are told.
    pub logger: Arc<Logger>,
}

impl VerifyOptions {
    /// A look at the metadata with as many threads as there are processors.
    pub fn new(logger: Arc<Logger>) -> Self {
        Self {
            depth: Depth::Metadata,
            repairs: false,
            threads: parallel::default_threads(),
            logger,
        }
    }
}

/// What is wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// Listed, but not there.
    Missing,
    /// Listed, and something else than a regular file.
    NotRegular,
    /// Listed with another size.
    Size {
        /// Bytes that the index says.
        listed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// Listed with another digest: its bytes have changed.
    Digest,
    /// Listed as something else than it says it is.
    Content(&'static str),
    /// Listed, and not to be read.
    Unreadable(Unlistable),
    /// An object that is not listed.
    Unlisted,
    /// Not listed, because another file of its SOP Instance UID is.
    Duplicate {
        /// That file.
        listed: FileLocation,
    },
    /// Not listed, and to be deleted, which was not possible yet.
    Undeleted,
    /// Not listed, and no whole object.
    Damaged(Unlistable),
    /// A directory that cannot be read.
    Directory(std::io::Error),
    /// A file or directory whose name is none that an index can keep.
    Name,
    /// The index counts otherwise than it lists.
    Count {
        /// Instances that it counts.
        counted: u64,
        /// Instances that it lists.
        listed: u64,
    },
}

impl Problem {
    /// A word for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotRegular => "not-a-file",
            Self::Size { .. } => "size",
            Self::Digest => "digest",
            Self::Content(_) => "content",
            Self::Unreadable(_) => "unreadable",
            Self::Unlisted => "unlisted",
            Self::Duplicate { .. } => "duplicate",
            Self::Undeleted => "undeleted",
            Self::Damaged(_) => "damaged",
            Self::Directory(_) => "directory",
            Self::Name => "name",
            Self::Count { .. } => "count",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("listed, but there is no such file"),
            Self::NotRegular => formatter.write_str("listed, but it is not a regular file"),
            Self::Size { listed, found } => {
                write!(formatter, "listed with {listed} bytes, but it has {found}")
            }
            Self::Digest => formatter.write_str("its bytes are not those that were stored"),
            Self::Content(what) => write!(formatter, "listed with another {what}"),
            Self::Unreadable(error) => write!(formatter, "listed, but cannot be read: {error}"),
            Self::Unlisted => formatter.write_str("an object that is not listed"),
            Self::Duplicate { listed } => write!(
                formatter,
                "not listed, for {} has the same SOP Instance UID",
                layout::display_name(listed)
            ),
            Self::Undeleted => formatter.write_str(UNDELETED),
            Self::Damaged(error) => write!(formatter, "not listed, and no whole object: {error}"),
            Self::Directory(error) => write!(formatter, "a directory that cannot be read: {error}"),
            Self::Name => formatter.write_str(UNNAMEABLE),
            Self::Count { counted, listed } => {
                write!(formatter, "the index counts {counted} instances and lists {listed}")
            }
        }
    }
}

/// One finding.
#[derive(Debug)]
pub struct Finding {
    /// The file it is about; the area itself for [`Problem::Count`].
    pub location: FileLocation,
    /// The SOP Instance UID, where it is known.
    pub sop_instance: Option<UidText>,
    /// What is wrong.
    pub problem: Problem,
    /// Whether the index was put right.
    pub is_repaired: bool,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Instances listed.
    pub instances: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Files below the area.
    pub files: u64,
    /// Files that are no objects: nothing is wrong with them.
    pub others: u64,
    /// Own files that came while the tool ran, or that the journal still knows.
    pub pending: u64,
    /// Findings.
    pub findings: u64,
    /// Findings that were repaired.
    pub repaired: u64,
    /// Files that could not be judged, because nothing could be applied meanwhile.
    pub undecided: u64,
}

/// Compares the index of the area in `directory` with its files. Each finding is shown to `report`.
pub fn verify(
    directory: &Path,
    options: &VerifyOptions,
    report: &mut dyn FnMut(&Finding),
    watch: Watch<'_>,
) -> Result<Verified, ToolError> {
    let held = options
        .repairs
        .then(|| OpenArea::open(directory, tool_options(Arc::clone(&options.logger))))
        .transpose()
        .map_err(|error| area_error(directory, error))?;
    let index = match &held {
        Some(open) => Arc::clone(&open.index),
        None => open_beside(directory)?,
    };
    check_pages(directory, &index, watch)?;
    let tree = DiskTree::open(directory).map_err(io_error(Operation::Open, directory))?;
    let applied = index.read()?.counters()?.applied;
    let mut check = Check {
        directory,
        index: &index,
        tree: &tree,
        options,
        beside: None,
        undeleted: Undeleted::load(&tree),
        report,
        applied,
        known: Known::default(),
        missing: Vec::new(),
        without_file: 0,
        old_rows: 0,
        doubtful: Vec::new(),
        repairs: Vec::new(),
        queued: HashSet::new(),
        done: Verified::default(),
    };
    let outcome = check.all(watch).map_err(|error| match error {
        ToolError::Index(error) => index_error(directory, error),
        error => error,
    });
    let done = check.done;
    if let Some(open) = held {
        if outcome.is_ok() {
            open.area.set_checked();
        }
        open.area.close().map_err(|error| area_error(directory, error))?;
    }
    outcome.map(|()| done)
}

/// Looks at all pages of the index of the area in `directory`.
pub(super) fn check_pages(
    directory: &Path,
    index: &Index,
    watch: Watch<'_>,
) -> Result<(), ToolError> {
    let mut show = |done| watch(Step { phase: "pages", done, total: None });
    match index.check_pages(&mut show) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ToolError::Cancelled),
        Err(error) => Err(index_error(directory, error)),
    }
}

/// Compares an index with its files while this process serves the area, in the caller's thread: what
/// is there, and its size. Repairs the index where nothing else can be meant, a little at a time. An
/// error says how far it came, too.
pub(super) fn verify_beside(
    directory: &Path,
    open: &OpenArea,
    report: &mut dyn FnMut(&Finding),
    watch: Watch<'_>,
) -> (Verified, Result<(), ToolError>) {
    let mut options = VerifyOptions::new(Arc::clone(&open.area.options().logger));
    options.repairs = true;
    options.threads = 0;
    let begin = || -> Result<_, ToolError> {
        let tree = DiskTree::open(directory).map_err(io_error(Operation::Open, directory))?;
        // Files of numbers that were given before this process are none that wait in its journal.
        let applied = open.index.read()?.counters()?.applied;
        Ok((tree, applied.max(open.area.first_given().saturating_sub(1))))
    };
    let (tree, applied) = match begin() {
        Ok(begun) => begun,
        Err(error) => return (Verified::default(), Err(error)),
    };
    let mut check = Check {
        directory,
        index: &open.index,
        tree: &tree,
        options: &options,
        beside: Some(&open.area),
        undeleted: Undeleted::default(),
        report,
        applied,
        known: Known::default(),
        missing: Vec::new(),
        without_file: 0,
        old_rows: 0,
        doubtful: Vec::new(),
        repairs: Vec::new(),
        queued: HashSet::new(),
        done: Verified::default(),
    };
    let outcome = check.all(watch).map_err(|error| match error {
        ToolError::Index(error) => index_error(directory, error),
        error => error,
    });
    (check.done, outcome)
}

/// The files that the first pass met.
#[derive(Default)]
struct Known {
    /// Own files: a bit for each number, in rows of 1024.
    own: HashMap<u64, Box<[u64; 16]>>,
    /// Hashes of the other files' paths below the area.
    relative: HashSet<u128>,
}

impl Known {
    fn add(&mut self, location: &FileLocation) {
        match location {
            FileLocation::Own(number) => {
                let row = self.own.entry(number >> 10).or_default();
                row[(number >> 6 & 15) as usize] |= 1 << (number & 63);
            }
            FileLocation::Relative(path) => {
                self.relative.insert(xxh3_128(path.as_bytes()));
            }
            FileLocation::Absolute(_) => {}
        }
    }

    fn has(&self, location: &FileLocation) -> bool {
        match location {
            FileLocation::Own(number) => self
                .own
                .get(&(number >> 10))
                .is_some_and(|row| row[(number >> 6 & 15) as usize] >> (number & 63) & 1 == 1),
            FileLocation::Relative(path) => self.relative.contains(&xxh3_128(path.as_bytes())),
            FileLocation::Absolute(_) => false,
        }
    }
}

/// An instance as the first pass takes it along.
struct Row {
    sop_instance: Option<UidText>,
    location: FileLocation,
    file_bytes: u64,
    data_set_offset: u32,
    digest: u128,
    /// For [`Depth::Full`].
    entry: Option<Box<InstanceEntry>>,
}

enum Work {
    Rows(Vec<Row>),
    Failed(IndexError),
}

enum Found {
    Rows(Vec<(Row, Option<Problem>)>),
    Failed(IndexError),
}

/// A file that nothing seems to list.
struct Candidate {
    location: FileLocation,
    /// What it would be listed with; `None` while it has not been read.
    entry: Option<Result<Box<InstanceEntry>, Unlistable>>,
}

enum Strange {
    Files(u64, Vec<Candidate>),
    Other,
    Unnameable(String),
    Directory(String, std::io::Error),
}

struct Check<'c> {
    directory: &'c Path,
    index: &'c Arc<Index>,
    tree: &'c DiskTree,
    options: &'c VerifyOptions,
    /// The area, where this process serves it meanwhile.
    beside: Option<&'c Arc<StorageArea>>,
    /// What could not be deleted when the tool began.
    undeleted: Undeleted,
    report: &'c mut dyn FnMut(&Finding),
    /// What the journal had in the index when the tool began.
    applied: u64,
    known: Known,
    /// Rows without a file that wait for the end of the first pass.
    missing: Vec<(Row, Problem)>,
    /// How many rows have no file, of those that were there when the tool began.
    without_file: u64,
    /// How many there were.
    old_rows: u64,
    doubtful: Vec<Candidate>,
    /// Changes of the index that wait for the next commit, and what they will list.
    repairs: Vec<IndexOp>,
    queued: HashSet<UidText>,
    done: Verified,
}

impl Check<'_> {
    fn all(&mut self, watch: Watch<'_>) -> Result<(), ToolError> {
        self.look_up_files(watch)?;
        self.remove_missing(watch)?;
        self.look_up_rows(watch)?;
        self.look_again(watch)?;
        self.commit()
    }

    // ---- First pass: is every row's file as the row says? -------------------------------------

    fn look_up_files(&mut self, watch: Watch<'_>) -> Result<(), ToolError> {
        let before = self.index.read()?.counters()?;
        let (index, directory, depth) =
            (Arc::clone(self.index), self.directory, self.options.depth);
        parallel::in_order(
            self.options.threads,
            |hand_over| produce_rows(&index, depth == Depth::Full, hand_over),
            |work| match work {
                Work::Failed(error) => Found::Failed(error),
                Work::Rows(rows) => {
                    let mut buffer = Vec::new();
                    let look = |row: Row| {
                        let problem = problem_of(directory, &row, depth, &mut buffer);
                        (row, problem)
                    };
                    Found::Rows(rows.into_iter().map(look).collect())
                }
            },
            |found| {
                let rows = match found {
                    Found::Rows(rows) => rows,
                    Found::Failed(error) => return Err(error.into()),
                };
                for (row, problem) in rows {
                    self.done.instances += 1;
                    self.done.bytes += row.file_bytes;
                    self.known.add(&row.location);
                    self.old_rows += u64::from(self.is_old(&row.location));
                    if let Some(problem) = problem {
                        self.found_wrong(row, problem)?;
                    }
                }
                let total = before.instances.max(self.done.instances);
                tell(watch, Step { phase: "index", done: self.done.instances, total: Some(total) })
            },
        )?;
        let after = self.index.read()?.counters()?;
        // Only an index that nobody has changed meanwhile can be counted.
        if before == after && before.instances != self.done.instances {
            let problem = Problem::Count { counted: before.instances, listed: self.done.instances };
            self.tell(FileLocation::Relative(String::new()), None, problem, false);
        }
        Ok(())
    }

    /// True for what was stored before the tool began.
    fn is_old(&self, location: &FileLocation) -> bool {
        !matches!(location, FileLocation::Own(number) if *number > self.applied)
    }

    fn found_wrong(&mut self, row: Row, problem: Problem) -> Result<(), ToolError> {
        let reader = self.index.read()?;
        let uid = row.sop_instance;
        let now = match &uid {
            Some(uid) => reader.instance_of(uid.as_bytes())?.map(|record| record.location()),
            None => None,
        };
        drop(reader);
        if now.as_ref() != Some(&row.location) && uid.is_some() {
            // Replaced or removed meanwhile.
            return Ok(());
        }
        let is_without_file = matches!(problem, Problem::Missing | Problem::NotRegular);
        self.without_file += u64::from(is_without_file && self.is_old(&row.location));
        // A link, or whatever stands in the file's place, is not for us to judge; and a row of a file
        // elsewhere can be made again by nothing that is here.
        let is_due = self.options.repairs
            && matches!(problem, Problem::Missing)
            && uid.is_some()
            && self.is_below_or_surely_gone(&row.location)
            && self.missing.len() < DOUBTFUL_FILES_MAX;
        if is_due {
            self.missing.push((row, problem));
        } else {
            self.tell(row.location, uid, problem, false);
        }
        Ok(())
    }

    /// True for a place in the area; and, where a person asks for repairs, for one whose directory is
    /// there and holds something: an empty one may be that of a disk which is not mounted.
    fn is_below_or_surely_gone(&self, location: &FileLocation) -> bool {
        match location {
            FileLocation::Absolute(path) => {
                let above = Path::new(path).parent().filter(|_| self.beside.is_none());
                above.is_some_and(|above| survey::is_occupied(above).unwrap_or(false))
            }
            _ => layout::below_area(location).is_some(),
        }
    }

    /// Takes rows without a file off the list. If there is no file at all, something is not mounted, and
    /// nothing is done.
    fn remove_missing(&mut self, watch: Watch<'_>) -> Result<(), ToolError> {
        let missing = core::mem::take(&mut self.missing);
        // What was stored since the start says nothing about the disk that the rest was on.
        let is_everything = self.without_file > 0 && self.without_file >= self.old_rows;
        if is_everything && !missing.is_empty() {
            self.options.logger.line(
                LogLevel::Warn,
                LOGGER,
                format_args!(
                    "no file that was listed in {} is there; nothing is taken off the list: is a disk not \
                     mounted? `dcmfast index rebuild` lists what is there",
                    self.directory.display()
                ),
            );
        }
        let mut rest = missing.into_iter().peekable();
        while rest.peek().is_some() {
            let some: Vec<_> = rest.by_ref().take(TOOL_BATCH_FILES).collect();
            let is_gone = |row: &Row| {
                let problem = problem_of(self.directory, row, Depth::Metadata, &mut Vec::new());
                matches!(problem, Some(Problem::Missing | Problem::NotRegular))
            };
            let ops = some.iter().filter(|(row, _)| !is_everything && is_gone(row));
            let ops: Vec<IndexOp> = ops
                .filter_map(|(row, _)| {
                    let only_at = Some(row.location.clone());
                    row.sop_instance.map(|sop_instance| IndexOp::Remove { sop_instance, only_at })
                })
                .collect();
            self.commit_all(&ops)?;
            for (row, problem) in some {
                self.tell(row.location, row.sop_instance, problem, !is_everything);
            }
            let done = self.done.instances;
            tell(watch, Step { phase: "index", done, total: Some(done) })?;
        }
        Ok(())
    }

    // ---- Second pass: is every file listed? ---------------------------------------------------

    fn look_up_rows(&mut self, watch: Watch<'_>) -> Result<(), ToolError> {
        let known = core::mem::take(&mut self.known);
        let (directory, applied) = (self.directory, self.applied);
        let may_be_pending = journal_has_records(self.tree);
        let reads_later = self.beside.is_some();
        let mut pending = 0;
        let total = self.done.instances;
        parallel::in_order(
            self.options.threads,
            |hand_over| produce_files(directory, hand_over),
            |met| match met {
                Walked::Files(locations) => {
                    let mut buffer = Vec::new();
                    let count = locations.len() as u64;
                    let mut candidates = Vec::new();
                    for location in locations.into_iter().filter(|one| !known.has(one)) {
                        let is_new =
                            matches!(location, FileLocation::Own(number) if number > applied);
                        let is_for_later = reads_later || (is_new && may_be_pending);
                        let entry = (!is_for_later).then(|| {
                            let path = path_of(directory, &location);
                            read_entry(&path, location.clone(), Bare::Own, &mut buffer)
                                .map(Box::new)
                        });
                        candidates.push(Candidate { location, entry });
                    }
                    Strange::Files(count, candidates)
                }
                Walked::Other => Strange::Other,
                Walked::Unnameable(path) => Strange::Unnameable(path),
                Walked::Directory(path, error) => Strange::Directory(path, error),
            },
            |found| {
                match found {
                    Strange::Files(count, candidates) => {
                        self.done.files += count;
                        for candidate in candidates {
                            let is_new = matches!(
                                candidate.location,
                                FileLocation::Own(number) if number > applied
                            );
                            if is_new && may_be_pending {
                                pending += 1;
                            } else {
                                self.doubt(candidate, watch)?;
                            }
                        }
                    }
                    Strange::Other => self.done.others += 1,
                    Strange::Unnameable(path) => {
                        self.tell(FileLocation::Relative(path), None, Problem::Name, false);
                    }
                    Strange::Directory(path, error) => {
                        let location = FileLocation::Relative(path);
                        self.tell(location, None, Problem::Directory(error), false);
                    }
                }
                let done = self.done.files;
                tell(watch, Step { phase: "files", done, total: Some(total.max(done)) })
            },
        )?;
        self.done.pending += pending;
        Ok(())
    }

    /// Takes note of a file that the first pass did not meet.
    fn doubt(&mut self, candidate: Candidate, watch: Watch<'_>) -> Result<(), ToolError> {
        if let Some(Err(error)) = &candidate.entry {
            if self.is_of_no_interest(&candidate.location, error) {
                return Ok(());
            }
        }
        if self.doubtful.len() < DOUBTFUL_FILES_MAX {
            self.doubtful.push(candidate);
            if self.beside.is_some() && self.doubtful.len() >= TOOL_BATCH_FILES {
                return self.look_again(watch);
            }
            return Ok(());
        }
        self.judge(candidate, watch)
    }

    /// True, and counted, for a file that is gone or never was an object.
    fn is_of_no_interest(&mut self, location: &FileLocation, error: &Unlistable) -> bool {
        let is_other = error.is_other() && !matches!(location, FileLocation::Own(_));
        self.done.others += u64::from(is_other);
        is_other || error.is_gone()
    }

    /// Looks once more at what seemed wrong: a server deletes a file a moment after its last commit.
    fn look_again(&mut self, watch: Watch<'_>) -> Result<(), ToolError> {
        if self.doubtful.is_empty() {
            return Ok(());
        }
        if let Some(area) = self.beside {
            return self.look_again_beside(area, watch);
        }
        if !self.options.repairs && journal_has_records(self.tree) {
            thread::sleep(Duration::from_millis(DOUBTFUL_GRACE_MS));
        }
        core::mem::take(&mut self.doubtful).into_iter().try_for_each(|one| self.judge(one, watch))
    }

    /// The same while this process serves the area. What the applier has taken off the list it
    /// deletes before it tells so: a file that is there after that, and was not listed before it,
    /// belongs to nobody.
    fn look_again_beside(&mut self, area: &StorageArea, watch: Watch<'_>) -> Result<(), ToolError> {
        let doubtful = core::mem::take(&mut self.doubtful);
        let done = self.done.files;
        let step = Step { phase: "files", done, total: Some(self.done.instances.max(done)) };
        let (written, _) = area.written_and_applied();
        let began = Instant::now();
        while area.written_and_applied().1 < written {
            if began.elapsed() > Duration::from_millis(BACKGROUND_PATIENCE_MS) {
                // Nothing can be applied at present; the next start looks again.
                self.done.undecided += doubtful.len() as u64;
                return Ok(());
            }
            tell(watch, step)?;
        }
        for candidate in doubtful {
            self.judge(candidate, watch)?;
            self.commit()?;
            tell(watch, step)?;
        }
        Ok(())
    }

    fn judge(&mut self, candidate: Candidate, watch: Watch<'_>) -> Result<(), ToolError> {
        let Candidate { location, entry } = candidate;
        let path = path_of(self.directory, &location);
        if facts_of(&path).is_err() {
            return Ok(());
        }
        let done = self.done.files;
        let step = Step { phase: "files", done, total: Some(self.done.instances.max(done)) };
        let mut is_wanted = true;
        let mut goes_on = || {
            // Nobody who wants the end waits for a large file.
            is_wanted = watch(step);
            is_wanted
        };
        let entry = entry.unwrap_or_else(|| {
            let buffer = &mut Vec::new();
            read_entry_while(&path, location.clone(), Bare::Own, buffer, &mut goes_on).map(Box::new)
        });
        if !is_wanted {
            return Err(ToolError::Cancelled);
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if self.beside.is_some() && self.is_of_no_interest(&location, &error) => {
                return Ok(());
            }
            Err(error) => {
                self.tell(location, None, Problem::Damaged(error), false);
                return Ok(());
            }
        };
        let uid = entry.sop_instance;
        if self.queued.contains(&uid) {
            // Another unlisted file of this UID: it is listed from here on.
            self.commit()?;
        }
        let reader = self.index.read()?;
        let listed = reader.instance_of(uid.as_bytes())?.map(|record| record.location());
        drop(reader);
        match listed {
            Some(listed) if listed == location => {}
            Some(listed) => {
                self.tell(location, Some(uid), Problem::Duplicate { listed }, false);
            }
            None if self.is_undeleted(&location) => {
                self.tell(location, Some(uid), Problem::Undeleted, false);
            }
            None => {
                if self.options.repairs {
                    // Beside a server another object of its UID may have come meanwhile.
                    self.queued.insert(uid);
                    self.repair(IndexOp::PutMissing(entry.into()))?;
                }
                self.tell(location, Some(uid), Problem::Unlisted, self.options.repairs);
            }
        }
        Ok(())
    }

    fn is_undeleted(&self, location: &FileLocation) -> bool {
        self.undeleted.has(location) || self.beside.is_some_and(|area| area.is_undeleted(location))
    }

    // ---- What was found -----------------------------------------------------------------------

    fn tell(
        &mut self,
        location: FileLocation,
        sop_instance: Option<UidText>,
        problem: Problem,
        is_repaired: bool,
    ) {
        self.done.findings += 1;
        self.done.repaired += u64::from(is_repaired);
        (self.report)(&Finding { location, sop_instance, problem, is_repaired });
    }

    fn repair(&mut self, op: IndexOp) -> Result<(), ToolError> {
        self.repairs.push(op);
        if self.repairs.len() >= TOOL_COMMIT_ENTRIES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), ToolError> {
        self.commit_all(&self.repairs)?;
        self.repairs.clear();
        self.queued.clear();
        Ok(())
    }

    fn commit_all(&self, ops: &[IndexOp]) -> Result<(), ToolError> {
        if ops.is_empty() {
            return Ok(());
        }
        let outcome = self.index.commit(ops);
        if let Some(area) = self.beside {
            // Its quota counts what was listed.
            area.note_foreign_commit();
        }
        outcome?;
        Ok(())
    }
}

/// Shows all rows of the index, page by page.
fn produce_rows(index: &Index, wants_entries: bool, hand_over: &mut dyn FnMut(Work) -> bool) {
    let mut after = InstanceKey::default();
    loop {
        match page(index, wants_entries, &mut after) {
            Ok(rows) if rows.is_empty() => return,
            Ok(rows) => {
                if !hand_over(Work::Rows(rows)) {
                    return;
                }
            }
            Err(error) => {
                hand_over(Work::Failed(error));
                return;
            }
        }
    }
}

fn page(
    index: &Index,
    wants_entries: bool,
    after: &mut InstanceKey,
) -> Result<Vec<Row>, IndexError> {
    let reader = index.read()?;
    let count = if wants_entries { TOOL_BATCH_FILES } else { TOOL_PAGE_INSTANCES };
    let mut rows = Vec::with_capacity(count);
    for record in reader.all_instances(*after)?.take(count) {
        let record: InstanceRecord<'_> = record?;
        *after = record.key();
        let entry = if wants_entries { super::exchange::entry_of(&reader, &record)? } else { None };
        rows.push(Row {
            sop_instance: UidText::new(record.sop_instance()),
            location: record.location(),
            file_bytes: record.file_bytes(),
            data_set_offset: record.data_set_offset(),
            digest: record.digest(),
            entry: entry.map(Box::new),
        });
    }
    Ok(rows)
}

fn problem_of(directory: &Path, row: &Row, depth: Depth, buffer: &mut Vec<u8>) -> Option<Problem> {
    let path = path_of(directory, &row.location);
    let facts = match facts_of(&path) {
        Ok(facts) => facts,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Some(Problem::Missing);
        }
        Err(error) => return Some(Problem::Unreadable(error.into())),
    };
    if !facts.is_regular {
        return Some(Problem::NotRegular);
    }
    if facts.bytes != row.file_bytes {
        return Some(Problem::Size { listed: row.file_bytes, found: facts.bytes });
    }
    if depth == Depth::Metadata {
        return None;
    }
    match read_digest(&path, row.data_set_offset, buffer) {
        Ok((digest, _)) if digest == row.digest => {}
        Ok(_) => return Some(Problem::Digest),
        Err(error) if error.is_gone() => return Some(Problem::Missing),
        Err(error) => return Some(Problem::Unreadable(error)),
    }
    let listed = row.entry.as_deref()?;
    let bare = listed.transfer_syntax.to_uid().map_or(Bare::Any, Bare::In);
    match read_entry(&path, row.location.clone(), bare, buffer) {
        Ok(found) => difference(listed, &found).map(Problem::Content),
        Err(error) => Some(Problem::Unreadable(error)),
    }
}

/// What a file says otherwise than the index.
fn difference(listed: &InstanceEntry, found: &InstanceEntry) -> Option<&'static str> {
    [
        (listed.sop_instance == found.sop_instance, "SOP Instance UID"),
        (listed.sop_class == found.sop_class, "SOP Class UID"),
        (listed.transfer_syntax == found.transfer_syntax, "Transfer Syntax UID"),
        (listed.data_set_offset == found.data_set_offset, "beginning of the data set"),
        (listed.attributes == found.attributes, "indexed attributes"),
    ]
    .into_iter()
    .find_map(|(is_same, what)| (!is_same).then_some(what))
}

enum Walked {
    Files(Vec<FileLocation>),
    Other,
    Unnameable(String),
    Directory(String, std::io::Error),
}

fn produce_files(directory: &Path, hand_over: &mut dyn FnMut(Walked) -> bool) {
    let mut batch = Vec::with_capacity(TOOL_BATCH_FILES);
    let is_wanted = survey::walk(directory, "", &[layout::PRIVATE], &mut |met| match met {
        Met::File(path) => {
            let own = layout::own_number(&path).map(FileLocation::Own);
            batch.push(own.unwrap_or(FileLocation::Relative(path)));
            batch.len() < TOOL_PAGE_INSTANCES
                || hand_over(Walked::Files(core::mem::take(&mut batch)))
        }
        Met::Strange(_) => hand_over(Walked::Other),
        Met::Unnameable(path) => hand_over(Walked::Unnameable(path)),
        Met::Unreadable(path, error) => hand_over(Walked::Directory(path, error)),
    });
    if is_wanted && !batch.is_empty() {
        hand_over(Walked::Files(batch));
    }
}
