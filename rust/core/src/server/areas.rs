//! The storage areas of a server: opened at start where that works, and tried again where it did not.
//!
//! DCMTK 3.6.7 looks at a storage area only when an association wants it, and so a server starts
//! beside one that is missing; its association is accepted and then aborted. Here every area is
//! opened at start, because a crash is repaired then, and one that could not be opened is tried
//! again for each association. Called by `server::{association, store, find, retrieve}` and by the
//! Python layer.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::archive::area::{AreaError, AreaOptions};
use crate::archive::background::BackgroundCheck;
pub use crate::archive::indexed::OpenArea;
use crate::archive::remake;

/// A storage area, open or not.
pub struct AreaSlot {
    directory: PathBuf,
    options: AreaOptions,
    opened: Mutex<Option<Opened>>,
}

struct Opened {
    /// First to end.
    check: Option<BackgroundCheck>,
    open: OpenArea,
}

impl AreaSlot {
    /// A slot for the area in `directory`, which is not looked at yet.
    pub fn new(directory: PathBuf, options: AreaOptions) -> Self {
        Self { directory, options, opened: Mutex::new(None) }
    }

    /// The area's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn opened(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The area; opens it when it is not open, with a new index where the one that is there is of no use.
    ///
    /// # Errors
    ///
    /// The directory is missing or not writable, or another process has the area.
    pub fn open(&self) -> Result<OpenArea, AreaError> {
        let mut opened = self.opened();
        if let Some(Opened { open, .. }) = &*opened {
            return Ok(open.clone());
        }
        let open = remake::open(&self.directory, &self.options)?;
        let was_interrupted = open.area.was_interrupted();
        let check = was_interrupted.then(|| BackgroundCheck::start(&open, &self.directory));
        *opened = Some(Opened { check, open: open.clone() });
        Ok(open)
    }

    /// Closes the area: everything acknowledged is in the index then.
    pub fn close(&self) -> Result<(), AreaError> {
        let Some(Opened { check, open }) = self.opened().take() else { return Ok(()) };
        drop(check);
        open.area.close()
    }
}
