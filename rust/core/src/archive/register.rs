//! Listing files where they are, as DCMTK's dcmqridx does.
//!
//! A file below the area is listed by its path there, every other by its absolute path: such a file
//! is never deleted. Nothing is copied, and a file that another takes the place of in the index
//! stays (DCMTK 3.6.7: "file delete operations are disabled").
//!
//! Called by the Python layer.

use std::path::Path;
use std::sync::Arc;

use super::area::AreaError;
use super::files::{Bare, Unlistable, read_entry};
use super::indexed::OpenArea;
use super::layout;
use super::maintenance::{ToolError, area_error, index_error, tool_options};
use super::rebuild::path_of;
use super::remake;
use crate::index::{FileLocation, IndexOp, Outcome};
use crate::limits::FILE_PATH_BYTES_MAX;
use crate::log::Logger;

/// An area that files are registered in.
pub struct Registrar {
    open: OpenArea,
    directory: std::path::PathBuf,
    buffer: Vec<u8>,
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
        Ok(Self { open, directory: directory.to_owned(), buffer: Vec::new() })
    }

    /// Lists the file at the absolute path `path`, `is_reviewed` or not, and syncs that.
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
        entry.received_at_us = self.open.area.now_us();
        let sop_instance = entry.sop_instance;
        let mut ops = vec![IndexOp::Put(Box::new(entry))];
        if is_reviewed {
            ops.push(IndexOp::Review(sop_instance));
        }
        let outcomes =
            self.open.index.commit(&ops).map_err(|error| index_error(&self.directory, error))?;
        Ok(match outcomes.into_iter().next() {
            Some(Outcome::Replaced { previous }) => Registered::InPlaceOf(previous),
            _ => Registered::Listed,
        })
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
    pub fn close(self) -> Result<(), ToolError> {
        self.open.area.close().map_err(|error: AreaError| area_error(&self.directory, error))
    }
}
