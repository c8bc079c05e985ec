//! Listing files where they are, as DCMTK's dcmqridx does.
//!
//! A file below the area is listed by its path there, every other by its absolute path: such a file
//! is never deleted. Nothing is copied, and a file that another takes the place of in the index
//! stays (DCMTK 3.6.7: "file delete operations are disabled"). Many are listed by one commit, which is a
//! sync of the disk; what came before is in the index half a second later, and at the end.
//!
//! Called by the Python layer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::area::AreaError;
use super::files::{Bare, Unlistable, read_entry};
use super::indexed::OpenArea;
use super::layout;
use super::maintenance::{ToolError, area_error, index_error, tool_options};
use super::rebuild::path_of;
use super::remake;
use crate::index::{FileLocation, IndexOp};
use crate::limits::{COMMIT_DELAY_MS_MAX, FILE_PATH_BYTES_MAX, TOOL_COMMIT_ENTRIES};
use crate::log::Logger;
use crate::uid::UidText;

/// An area that files are registered in.
pub struct Registrar {
    open: OpenArea,
    directory: std::path::PathBuf,
    buffer: Vec<u8>,
    /// What waits for the next commit, and where it lists which instance.
    ops: Vec<IndexOp>,
    queued: HashMap<UidText, FileLocation>,
    waiting_since: Instant,
}

/// What became of a file.
#[derive(Debug)]
pub enum Registered {
    /// It is listed.
    Listed,
    /// It is listed, and another file of its SOP Instance UID is not any more.
    InPlaceOf(FileLocation),
    /// It is no object for an index.
    Unlistable(Unlistable),
}

impl Registrar {
    /// Opens the area in the existing directory `directory`, whose absolute path that must be; makes
    /// an index where there is none.
    pub fn open(directory: &Path, logger: Arc<Logger>) -> Result<Self, ToolError> {
        let open = remake::open(directory, &tool_options(logger))
            .map_err(|error| area_error(directory, error))?;
        Ok(Self {
            open,
            directory: directory.to_owned(),
            buffer: Vec::new(),
            ops: Vec::new(),
            queued: HashMap::new(),
            waiting_since: Instant::now(),
        })
    }

    /// Lists the file at the absolute path `path`, `is_reviewed` or not.
    pub fn register(&mut self, path: &str, is_reviewed: bool) -> Result<Registered, ToolError> {
        let location = self.location_of(path);
        let Some(location) = location else {
            return Ok(Registered::Unlistable(Unlistable::NotRegular));
        };
        let file = path_of(&self.directory, &location);
        let mut entry = match read_entry(&file, location, Bare::Any, &mut self.buffer) {
            Ok(entry) => entry,
            Err(error) => return Ok(Registered::Unlistable(error)),
        };
        // As the manual's "recorded": when it came into the index, not when it was made.
        entry.received_at_us = self.open.area.arrival_us();
        let sop_instance = entry.sop_instance;
        let previous = self.place_of(&sop_instance)?.filter(|previous| *previous != entry.location);
        if self.ops.is_empty() {
            self.waiting_since = Instant::now();
        }
        self.queued.insert(sop_instance, entry.location.clone());
        self.ops.push(IndexOp::Put(Arc::new(entry)));
        if is_reviewed {
            self.ops.push(IndexOp::Review(sop_instance));
        }
        let is_due = self.waiting_since.elapsed() >= Duration::from_millis(COMMIT_DELAY_MS_MAX);
        if is_due || self.ops.len() >= TOOL_COMMIT_ENTRIES {
            self.commit()?;
        }
        Ok(previous.map_or(Registered::Listed, Registered::InPlaceOf))
    }

    /// Where the instance of this UID is listed, or will be.
    fn place_of(&self, sop_instance: &UidText) -> Result<Option<FileLocation>, ToolError> {
        if let Some(queued) = self.queued.get(sop_instance) {
            return Ok(Some(queued.clone()));
        }
        let look = || {
            let reader = self.open.index.read()?;
            let record = reader.instance_of(sop_instance.as_bytes())?;
            Ok(record.map(|record| record.location()))
        };
        look().map_err(|error| index_error(&self.directory, error))
    }

    /// Lists what waits, and syncs that.
    fn commit(&mut self) -> Result<(), ToolError> {
        if self.ops.is_empty() {
            return Ok(());
        }
        self.open.index.commit(&self.ops).map_err(|error| index_error(&self.directory, error))?;
        self.ops.clear();
        self.queued.clear();
        Ok(())
    }

    /// How the index knows a file; `None` for what the archive keeps for itself.
    fn location_of(&self, path: &str) -> Option<FileLocation> {
        if path.len() > FILE_PATH_BYTES_MAX {
            return None;
        }
        let below = Path::new(path).strip_prefix(&self.directory).ok().and_then(Path::to_str);
        let Some(below) = below else { return Some(FileLocation::Absolute(path.to_owned())) };
        if let Some(number) = layout::own_number(below) {
            return Some(FileLocation::Own(number));
        }
        let location = FileLocation::Relative(below.to_owned());
        layout::below_area(&location).is_some().then_some(location)
    }

    /// Ends the work.
    pub fn close(mut self) -> Result<(), ToolError> {
        self.commit()?;
        self.open.area.close().map_err(|error: AreaError| area_error(&self.directory, error))
    }
}
