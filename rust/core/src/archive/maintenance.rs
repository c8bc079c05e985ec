//! What the tools of an index share: their errors, progress, the hold on an area, and putting a new
//! index in the place of the old one.
//!
//! A tool that changes something holds the area's lock, as a server does: one of them at a time. It
//! first brings the journal to its end, without the old index, which may be what is broken: files
//! are written and replaced ones deleted from the records alone. A new index is made beside the old
//! one and takes its place at one stroke; whatever happens before leaves the old one as it is.
//!
//! Called by `archive::{verify, rebuild, exchange, register}` and the Python layer.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::area::{AreaError, AreaOptions, StorageArea};
use super::beside::{self, Beside, Standing};
use super::layout;
use super::listing::{Listing, MemoryListing};
use crate::index::{Access, EntryError, Index, IndexError, IndexOptions};
use crate::limits::JOURNAL_SEGMENTS_MAX;
use crate::log::Logger;
use crate::storage::backend::survey;
use crate::storage::backend::tree::{Access as TreeAccess, DiskTree, Tree, TreeLock};
use crate::storage::durability::{Durability, IoFailure, Operation};
use crate::storage::journal::frame::{self, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::storage::writer::{DuplicatePolicy, StoreMode};

/// Why a tool could not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum ToolError {
    /// The operating system refused.
    Io(IoFailure),
    /// A server, or another tool, has the area.
    InUse(PathBuf),
    /// There is no index yet.
    NoIndex(PathBuf),
    /// The index is damaged, of another version, or none of ours.
    Unusable {
        /// The area.
        directory: PathBuf,
        /// What is wrong with it.
        error: IndexError,
    },
    /// The index could not be read or written.
    Index(IndexError),
    /// The area could not be brought in order.
    Area(AreaError),
    /// What was to be imported is no exported index, or damaged.
    Stream(StreamError),
    /// The caller wanted no more.
    Cancelled,
}

/// What is wrong with an exported index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// It does not begin as one.
    Foreign,
    /// Written by another version.
    Version(u32),
    /// It ends too early.
    Truncated,
    /// Its checksum is wrong.
    Checksum,
    /// An entry is longer than any can be.
    TooLong(u32),
    /// An entry means nothing.
    Entry(EntryError),
    /// An entry names a place that no file of an area can have.
    Place,
}

impl fmt::Display for StreamError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => formatter.write_str("it is no exported index"),
            Self::Version(version) => {
                write!(formatter, "it is of version {version}; this program reads 1 and 2")
            }
            Self::Truncated => formatter.write_str("it is cut"),
            Self::Checksum => formatter.write_str("its checksum is wrong"),
            Self::TooLong(bytes) => write!(formatter, "it has an entry of {bytes} bytes"),
            Self::Entry(error) => error.fmt(formatter),
            Self::Place => formatter.write_str("it names a file that no area can have"),
        }
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(failure) => failure.fmt(formatter),
            Self::InUse(path) => write!(
                formatter,
                "storage area {} is in use: stop its server, or wait for the other tool, and try \
                 again",
                path.display()
            ),
            Self::NoIndex(path) => write!(
                formatter,
                "storage area {0} has no index: make it with `dcmfast index rebuild {0}`",
                path.display()
            ),
            Self::Unusable { directory, error } => {
                let what: &dyn fmt::Display = match error {
                    IndexError::Damaged { what, .. } => what,
                    IndexError::Format { found: Some(_), .. } => &"another version of its format",
                    IndexError::Format { found: None, .. } => &"no index of ours",
                    _ => &"another kind of machine or of LMDB wrote it, or it is damaged",
                };
                write!(
                    formatter,
                    "the index of storage area {0} cannot be used ({what}); no object is affected: \
                     make it anew with `dcmfast index rebuild {0}`",
                    directory.display()
                )
            }
            Self::Index(error) => error.fmt(formatter),
            Self::Area(error) => error.fmt(formatter),
            Self::Stream(error) => write!(formatter, "cannot import: {error}"),
            Self::Cancelled => formatter.write_str("interrupted"),
        }
    }
}

impl std::error::Error for ToolError {}

impl From<IndexError> for ToolError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<IoFailure> for ToolError {
    fn from(failure: IoFailure) -> Self {
        Self::Io(failure)
    }
}

impl From<StreamError> for ToolError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// How far a tool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being done: "pages", "index", "files", "export", "import".
    pub phase: &'static str,
    /// Things done.
    pub done: u64,
    /// Things to be done, where that is known.
    pub total: Option<u64>,
}

/// Is told how far a tool is, after each batch; false ends it.
pub type Watch<'w> = &'w mut dyn FnMut(Step) -> bool;

/// Tells `watch`, and turns its refusal into an error.
pub(super) fn tell(watch: Watch<'_>, step: Step) -> Result<(), ToolError> {
    if watch(step) { Ok(()) } else { Err(ToolError::Cancelled) }
}

/// `error` of the index of `directory`, as people are told.
pub fn index_error(directory: &Path, error: IndexError) -> ToolError {
    match error {
        IndexError::Missing(_) => ToolError::NoIndex(directory.to_owned()),
        IndexError::InUse(_) => ToolError::InUse(directory.to_owned()),
        IndexError::Damaged { .. } | IndexError::Foreign(_) | IndexError::Format { .. } => {
            ToolError::Unusable { directory: directory.to_owned(), error }
        }
        error => ToolError::Index(error),
    }
}

/// The error of a system call on `path`.
pub(super) fn io_error(
    operation: Operation,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> ToolError + '_ {
    move |source| ToolError::Io(IoFailure { operation, path: path.to_owned(), source })
}

/// Opens the index of the area in `directory` beside whoever writes it.
pub fn open_beside(directory: &Path) -> Result<Arc<Index>, ToolError> {
    // The area itself is told from an area without an index.
    DiskTree::open(directory).map_err(io_error(Operation::Open, directory))?;
    Index::open(&directory.join(layout::INDEX), Access::Read, IndexOptions::default())
        .map_err(|error| index_error(directory, error))
}

/// Opens the index of the area in `directory` as [`open_beside`] does, when everything that was
/// acknowledged before is in it; false when not all is, and waiting longer is of no use. `goes_on` is asked
/// now and then while that is waited for, and ends it by false.
pub fn open_current(
    directory: &Path,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<(Arc<Index>, bool), ToolError> {
    let mut beside = Beside::new(directory).map_err(io_error(Operation::Open, directory))?;
    loop {
        let index = open_beside(directory)?;
        let mut applied = || Ok(index.read()?.counters()?.applied);
        let standing = beside.wait(&mut applied, goes_on);
        match standing.map_err(|error| index_error(directory, error))? {
            Standing::Abandoned => {
                // A process opens an index once.
                drop(index);
                beside::settle(directory);
            }
            standing => return Ok((index, standing == Standing::Current)),
        }
    }
}

/// How a tool opens an area: nothing of a server's is in force.
pub(super) fn tool_options(logger: Arc<Logger>) -> AreaOptions {
    AreaOptions {
        durability: Durability::Group,
        duplicates: DuplicatePolicy::Replace,
        quota: None,
        mode: StoreMode::Normal,
        encoding: None,
        has_file_meta: true,
        logger,
    }
}

/// `error` of an area, as people are told.
pub(super) fn area_error(directory: &Path, error: AreaError) -> ToolError {
    match error {
        AreaError::InUse(_) => ToolError::InUse(directory.to_owned()),
        AreaError::Io(failure) => ToolError::Io(failure),
        AreaError::Index(error) => match error.0.downcast::<IndexError>() {
            Ok(error) => index_error(directory, *error),
            Err(other) => ToolError::Area(AreaError::Index(super::listing::ListingError(other))),
        },
        error => ToolError::Area(error),
    }
}

/// True when the journal of the area holds records: a server runs, or was killed. Changes nothing.
pub(super) fn journal_has_records(tree: &DiskTree) -> bool {
    (0..JOURNAL_SEGMENTS_MAX).any(|slot| {
        let name = format!("{}/{slot}.segment", layout::JOURNAL);
        let Ok(file) = tree.open(&name, false) else { return false };
        let mut head = [0; SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES];
        file.read_at(&mut head, 0).is_ok()
            && frame::first_header(&head).is_some_and(|(_, has_record)| has_record)
    })
}

/// True when the journal of the area in `directory` holds records: a server runs, or was killed.
pub fn has_unapplied(directory: &Path) -> Result<bool, ToolError> {
    let tree = DiskTree::open(directory).map_err(io_error(Operation::Open, directory))?;
    Ok(journal_has_records(&tree))
}

/// An area in the hands of one tool.
pub struct Hold {
    directory: PathBuf,
    tree: Arc<DiskTree>,
    _lock: TreeLock,
}

impl Hold {
    /// Takes the area in the existing directory `directory`, or says who has it.
    pub fn take(directory: &Path) -> Result<Self, ToolError> {
        let tree = DiskTree::open(directory).map_err(io_error(Operation::Open, directory))?;
        tree.make_directory(layout::PRIVATE, TreeAccess::Owner)
            .map_err(io_error(Operation::MakeDirectory, directory))?;
        let lock = beside::take_lock(&tree).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => ToolError::InUse(directory.to_owned()),
            _ => io_error(Operation::Open, &tree.path_of(layout::LOCK))(error),
        })?;
        Ok(Self { directory: directory.to_owned(), tree: Arc::new(tree), _lock: lock })
    }

    /// The area's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its files.
    pub(super) fn tree(&self) -> &DiskTree {
        &self.tree
    }

    /// Brings the journal to its end, and empties it: what it says is in the files then. Returns a
    /// number that no file had before.
    pub fn replay(&self, logger: &Arc<Logger>) -> Result<u64, ToolError> {
        let listing = Arc::new(MemoryListing::default());
        let error = |error| area_error(&self.directory, error);
        let tree: Arc<dyn Tree> = Arc::clone(&self.tree) as Arc<dyn Tree>;
        let known: Arc<dyn Listing> = Arc::clone(&listing) as Arc<dyn Listing>;
        let area = StorageArea::with_parts(tree, known, tool_options(Arc::clone(logger)), None)
            .map_err(error)?;
        area.close().map_err(error)?;
        // The old index knows nothing of what the journal had: should the tool end before its new one is in
        // place, the next start compares index and files.
        self.leave_open()?;
        let replayed = listing.applied().map_err(|cause| error(AreaError::Index(cause)))?;
        let highest = layout::highest_own_number(&*self.tree)
            .map_err(io_error(Operation::Open, &self.tree.path_of(layout::OBJECTS)))?;
        Ok(replayed.max(highest))
    }

    /// Sees to it that the next start compares index and files.
    pub(super) fn leave_open(&self) -> Result<(), ToolError> {
        match self.tree.create(layout::OPEN, TreeAccess::Owner) {
            Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(io_error(Operation::Create, &self.tree.path_of(layout::OPEN))(cause))
            }
            _ => Ok(()),
        }
    }

    /// An empty index beside the area's.
    pub fn new_index(&self) -> Result<Arc<Index>, ToolError> {
        let path = self.tree.path_of(layout::NEW_INDEX);
        survey::remove_directory(&path).map_err(io_error(Operation::Create, &path))?;
        Ok(Index::open(&path, Access::Write, IndexOptions::default())?)
    }

    /// Takes away what [`Hold::new_index`] made.
    pub fn discard_new_index(&self) {
        // What is left of it is removed by the next tool.
        let _ = survey::remove_directory(&self.tree.path_of(layout::NEW_INDEX));
        // Of a tool that was killed where directories cannot change places at one stroke.
        let index = self.tree.path_of(layout::INDEX);
        if survey::facts_of(&index).is_ok() {
            let _ = survey::remove_directory(&self.tree.path_of(layout::OLD_INDEX));
        }
    }

    /// Keeps the old index, in the place of an earlier one that was kept: what it alone knows is lost with
    /// it. False where there is none, or it cannot be moved.
    pub(super) fn keep_old_index(&self) -> bool {
        let path = |name| self.tree.path_of(name);
        let (index, kept) = (path(layout::INDEX), path(layout::DAMAGED_INDEX));
        survey::facts_of(&index).is_ok()
            && survey::remove_directory(&kept).is_ok()
            && survey::rename_directory(&index, &kept).is_ok()
    }

    /// Puts the new index, which must be closed, in the place of the old one.
    pub fn put_in_place(&self) -> Result<(), ToolError> {
        let path = |name| self.tree.path_of(name);
        let (index, new) = (path(layout::INDEX), path(layout::NEW_INDEX));
        let failed = |error| io_error(Operation::Publish, &index)(error);
        match self.tree.exchange(layout::NEW_INDEX, layout::INDEX) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                survey::rename_directory(&new, &index).map_err(failed)?;
            }
            // EXDEV is what an overlay says of a directory in its lower layer.
            Err(error)
                if error.kind() == std::io::ErrorKind::Unsupported
                    || error.raw_os_error() == Some(libc::EXDEV) =>
            {
                let old = path(layout::OLD_INDEX);
                survey::remove_directory(&old).map_err(failed)?;
                survey::rename_directory(&index, &old).map_err(failed)?;
                if let Err(error) = survey::rename_directory(&new, &index) {
                    let _ = survey::rename_directory(&old, &index);
                    return Err(failed(error));
                }
                let _ = survey::remove_directory(&old);
            }
            Err(error) => return Err(failed(error)),
        }
        self.tree
            .sync_directory(layout::PRIVATE)
            .map_err(io_error(Operation::SyncDirectory, &index))?;
        self.discard_new_index();
        // Everything was looked at; should it stay, the next start looks again.
        let _ = self.tree.remove(layout::OPEN);
        Ok(())
    }
}
