//! Making an index anew from the files of an area.
//!
//! Files of other origin (DCMTK's `CT_….dcm`) come first, then the archive's own in the order of
//! their numbers, which is that of their arrival: of several files with one SOP Instance UID the
//! newest own one is listed, without one the file that was changed last; the others are told. What
//! lies outside the area is listed again where the caller names it.
//!
//! Several threads read, the caller's commits; the new index takes the old one's place when it is
//! complete. Called by the Python layer.

use core::fmt;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::area::LOGGER;
use super::files::{Bare, Unlistable, read_entry};
use super::layout;
use super::maintenance::{Hold, Step, ToolError, Watch, index_error, tell};
use super::parallel;
use super::undeleted::Undeleted;
use crate::index::{FileLocation, Index, IndexOp, InstanceEntry, Outcome};
use crate::limits::{TOOL_BATCH_FILES, TOOL_COMMIT_ENTRIES};
use crate::log::{Level, Logger};
use crate::storage::backend::survey::{self, Met};
use crate::uid::UidText;

/// How an index is made anew.
pub struct RebuildOptions {
    /// Threads that read files.
    pub threads: usize,
    /// Files outside the area that are listed too, by absolute path.
    pub outside: Vec<String>,
    /// The old index is kept: nobody has asked it for what it alone knows.
    pub keeps_old: bool,
    /// Where faults of the journal are told.
    pub logger: Arc<Logger>,
}

impl RebuildOptions {
    /// As many threads as there are processors, and nothing outside the area.
    pub fn new(logger: Arc<Logger>) -> Self {
        Self { threads: parallel::default_threads(), outside: Vec::new(), keeps_old: false, logger }
    }
}

/// A file that a rebuilt index does not list.
#[derive(Debug)]
pub struct LeftOut {
    /// Where it is.
    pub location: FileLocation,
    /// Why.
    pub why: LeftOutReason,
}

/// Why a file is not listed.
#[derive(Debug)]
pub enum LeftOutReason {
    /// It has no object for an index.
    Unlistable(Unlistable),
    /// Another file has the same SOP Instance UID.
    Duplicate {
        /// The UID.
        sop_instance: UidText,
    },
    /// Its directory cannot be read.
    Unreadable(std::io::Error),
    /// Its name, or its directory's, is none that an index can keep.
    Name,
    /// It was taken off the list, and could not be deleted yet.
    Undeleted,
}

impl LeftOutReason {
    /// A word for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unlistable(_) => "damaged",
            Self::Duplicate { .. } => "duplicate",
            Self::Unreadable(_) => "directory",
            Self::Name => "name",
            Self::Undeleted => "undeleted",
        }
    }
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlistable(error) => error.fmt(formatter),
            Self::Duplicate { sop_instance } => write!(
                formatter,
                "a newer file has the same SOP Instance UID {}",
                sop_instance.as_bytes().escape_ascii()
            ),
            Self::Unreadable(error) => write!(formatter, "the directory cannot be read: {error}"),
            Self::Name => formatter.write_str(UNNAMEABLE),
            Self::Undeleted => formatter.write_str(UNDELETED),
        }
    }
}

/// What a rebuild did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Files read.
    pub files: u64,
    /// Instances listed.
    pub instances: u64,
    /// Files with a SOP Instance UID that another, listed one has.
    pub duplicates: u64,
    /// Damaged or unreadable objects.
    pub damaged: u64,
    /// Files that were taken off the list, and could not be deleted yet.
    pub undeleted: u64,
    /// Files that are no objects.
    pub others: u64,
}

/// What is said of a file that is off the list and still there.
pub(super) const UNDELETED: &str = "taken off the list, but it could not be deleted yet";
/// What is said of a file or directory whose name cannot be kept.
pub(super) const UNNAMEABLE: &str =
    "not listed, for its path is no UTF-8 text or too long; it needs another name";

/// Makes the index of the area in `directory` anew. `left_out` is shown every file that is not
/// listed, but for those that never were objects.
pub fn rebuild(
    directory: &Path,
    options: &RebuildOptions,
    left_out: &mut dyn FnMut(LeftOut),
    watch: Watch<'_>,
) -> Result<Rebuilt, ToolError> {
    let hold = Hold::take(directory)?;
    let highest = hold.replay(&options.logger)?;
    let index = hold.new_index()?;
    let made = fill(&hold, &index, highest, options, left_out, watch);
    drop(index);
    match made {
        Ok(rebuilt) => {
            // Should the power go in between, the next start finds no index, and makes one as this.
            if options.keeps_old && hold.keep_old_index() {
                options.logger.line(
                    Level::Warn,
                    LOGGER,
                    format_args!(
                        "{0}: the old index is kept as {0}/{1}; files outside of the area, if it listed \
                         any, must be listed again with `dcmfast dcmqridx {0} FILE ...`",
                        directory.display(),
                        layout::DAMAGED_INDEX
                    ),
                );
            }
            hold.put_in_place()?;
            Ok(rebuilt)
        }
        Err(error) => {
            hold.discard_new_index();
            Err(error)
        }
    }
}

enum Work {
    Read(Vec<FileLocation>),
    Strange,
    Unnameable(String),
    Unreadable(String, std::io::Error),
}

enum Found {
    Read(Vec<(FileLocation, Result<InstanceEntry, Unlistable>)>),
    Strange,
    Unnameable(String),
    Unreadable(String, std::io::Error),
}

/// Shows all files of the area in the order in which they are to be listed.
fn produce(directory: &Path, outside: &[String], hand_over: &mut dyn FnMut(Work) -> bool) {
    for paths in outside.chunks(TOOL_BATCH_FILES) {
        let locations = paths.iter().map(|path| FileLocation::Absolute(path.clone())).collect();
        if !hand_over(Work::Read(locations)) {
            return;
        }
    }
    let mut batch = Vec::with_capacity(TOOL_BATCH_FILES);
    let mut take = |met: Met, batch: &mut Vec<FileLocation>| match met {
        Met::File(path) => {
            let own = layout::own_number(&path).map(FileLocation::Own);
            batch.push(own.unwrap_or(FileLocation::Relative(path)));
            batch.len() < TOOL_BATCH_FILES || hand_over(Work::Read(core::mem::take(batch)))
        }
        Met::Strange(_) => hand_over(Work::Strange),
        Met::Unnameable(path) => hand_over(Work::Unnameable(path)),
        Met::Unreadable(path, error) => hand_over(Work::Unreadable(path, error)),
    };
    let is_wanted =
        survey::walk(directory, "", &[layout::PRIVATE, layout::OBJECTS], &mut |met| {
            take(met, &mut batch)
        }) && survey::walk(directory, layout::OBJECTS, &[], &mut |met| take(met, &mut batch));
    if is_wanted && !batch.is_empty() {
        hand_over(Work::Read(batch));
    }
}

fn fill(
    hold: &Hold,
    index: &Arc<Index>,
    highest: u64,
    options: &RebuildOptions,
    left_out: &mut dyn FnMut(LeftOut),
    watch: Watch<'_>,
) -> Result<Rebuilt, ToolError> {
    let directory = hold.directory();
    let mut list = Listing {
        index,
        directory,
        undeleted: Undeleted::load(hold.tree()),
        batch: Vec::new(),
        left_out,
        done: Rebuilt::default(),
    };
    parallel::in_order(
        options.threads,
        |hand_over| produce(directory, &options.outside, hand_over),
        |work| match work {
            Work::Read(locations) => {
                let mut buffer = Vec::new();
                let read = |location: FileLocation| {
                    let path = path_of(directory, &location);
                    (location.clone(), read_entry(&path, location, Bare::Own, &mut buffer))
                };
                Found::Read(locations.into_iter().map(read).collect())
            }
            Work::Strange => Found::Strange,
            Work::Unnameable(path) => Found::Unnameable(path),
            Work::Unreadable(path, error) => Found::Unreadable(path, error),
        },
        |found| {
            list.take(found)?;
            tell(watch, Step { phase: "files", done: list.done.files, total: None })
        },
    )?;
    list.commit()?;
    let mut done = list.done;
    index.commit(&[IndexOp::Applied(highest)]).map_err(|error| index_error(directory, error))?;
    done.instances = index.read()?.counters()?.instances;
    Ok(done)
}

/// Where a file is.
pub(super) fn path_of(directory: &Path, location: &FileLocation) -> std::path::PathBuf {
    match location {
        FileLocation::Own(number) => directory.join(layout::own_file(*number)),
        FileLocation::Relative(path) => directory.join(path),
        FileLocation::Absolute(path) => path.into(),
    }
}

struct Listing<'l> {
    index: &'l Index,
    directory: &'l Path,
    undeleted: Undeleted,
    batch: Vec<InstanceEntry>,
    left_out: &'l mut dyn FnMut(LeftOut),
    done: Rebuilt,
}

impl Listing<'_> {
    fn take(&mut self, found: Found) -> Result<(), ToolError> {
        let read = match found {
            Found::Read(read) => read,
            Found::Strange => {
                self.done.others += 1;
                return Ok(());
            }
            Found::Unnameable(path) => {
                self.done.damaged += 1;
                let location = FileLocation::Relative(path);
                (self.left_out)(LeftOut { location, why: LeftOutReason::Name });
                return Ok(());
            }
            Found::Unreadable(path, error) => {
                self.done.damaged += 1;
                let why = LeftOutReason::Unreadable(error);
                (self.left_out)(LeftOut { location: FileLocation::Relative(path), why });
                return Ok(());
            }
        };
        for (location, entry) in read {
            self.done.files += 1;
            match entry {
                Ok(_) if self.undeleted.has(&location) => {
                    self.done.undeleted += 1;
                    (self.left_out)(LeftOut { location, why: LeftOutReason::Undeleted });
                }
                Ok(entry) => self.batch.push(entry),
                Err(error) if error.is_gone() && !matches!(location, FileLocation::Absolute(_)) => {
                }
                Err(error) if error.is_other() && !matches!(location, FileLocation::Own(_)) => {
                    self.done.others += 1;
                }
                Err(error) => {
                    self.done.damaged += 1;
                    (self.left_out)(LeftOut { location, why: LeftOutReason::Unlistable(error) });
                }
            }
        }
        if self.batch.len() >= TOOL_COMMIT_ENTRIES { self.commit() } else { Ok(()) }
    }

    fn leave_out(&mut self, location: FileLocation, sop_instance: UidText) {
        self.done.duplicates += 1;
        (self.left_out)(LeftOut { location, why: LeftOutReason::Duplicate { sop_instance } });
    }

    fn commit(&mut self) -> Result<(), ToolError> {
        let batch = core::mem::take(&mut self.batch);
        let mut known: HashMap<UidText, u64> = HashMap::new();
        let mut ops = Vec::with_capacity(batch.len());
        for entry in batch {
            // Own files come in their order and after all others, so they simply replace.
            if !matches!(entry.location, FileLocation::Own(_)) {
                let other = match known.get(&entry.sop_instance) {
                    Some(modified_us) => Some(*modified_us),
                    None => self.listed_since(&entry.sop_instance)?,
                };
                if other.is_some_and(|other| other > entry.received_at_us) {
                    self.leave_out(entry.location, entry.sop_instance);
                    continue;
                }
                known.insert(entry.sop_instance, entry.received_at_us);
            }
            ops.push(IndexOp::Put(Arc::new(entry)));
        }
        let outcomes =
            self.index.commit(&ops).map_err(|error| index_error(self.directory, error))?;
        for (outcome, op) in outcomes.into_iter().zip(ops) {
            if let (Outcome::Replaced { previous }, IndexOp::Put(entry)) = (outcome, op) {
                self.leave_out(previous, entry.sop_instance);
            }
        }
        Ok(())
    }

    fn listed_since(&self, sop_instance: &UidText) -> Result<Option<u64>, ToolError> {
        let reader = self.index.read()?;
        let record = reader.instance_of(sop_instance.as_bytes())?;
        Ok(record.map(|record| record.received_at_us()))
    }
}
