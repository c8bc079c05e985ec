//! New names for the files of a study that is complete (`-rns`): `CT000001`, `CT000002`, …
//!
//! Source: storescp's manual, and DCMTK 3.6.7 as run: in order of arrival, two letters of the modality
//! and six digits, from 000001 at each end of a study; the extension goes. A file that was sent
//! twice has two places in the order, and the second cannot be renamed. What is done differently:
//! a name that is taken is never replaced; the numbers go on behind it (DIFFERENCES.md A6). Called
//! by `server::events`.

use std::io;
use std::path::PathBuf;

use crate::storage::naming::{AreaPath, SubdirectoryNaming};
use crate::storage::studies::Ended;
use crate::storage::writer::Store;

/// What there is to say about it.
#[derive(Debug)]
pub enum Renaming {
    /// This file keeps its name.
    Failed {
        /// Its name.
        from: PathBuf,
        /// The name that it should have.
        to: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The first numbers were taken.
    NumberedOn {
        /// The study's folder.
        folder: PathBuf,
        /// The first number that was free.
        number: u64,
    },
    /// More names than are remembered: these files keep theirs.
    Forgotten {
        /// The study's folder.
        folder: PathBuf,
        /// How many.
        files: u64,
    },
    /// A power cut may bring the old names back.
    NotSynced {
        /// The study's folder.
        folder: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

impl Store {
    /// Renames the files of `ended`; what goes wrong with one file is told and keeps no other.
    pub fn renumber(&self, ended: &Ended, tell: &mut dyn FnMut(Renaming)) {
        let (naming, committer) = (self.naming(), self.committer());
        let folder = || self.path_of_folder(&ended.folder);
        let mut number = 1;
        // A study that comes back (-su) may find the numbers of its first files taken.
        let mut beyond = self.studies().and_then(|studies| studies.next_number(&ended.folder));
        let mut numbered_on = None;
        let mut is_renamed = false;
        for name in ended.names.iter() {
            let from = AreaPath::of_stored(&ended.folder, name);
            let mut was_taken = false;
            let (to, result) = loop {
                let to = from.renumbered(naming.modality_of(name), number);
                match committer.rename(&from, &to) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        was_taken = true;
                        number = beyond.take().unwrap_or_default().max(number + 1);
                    }
                    result => break (to, result),
                }
            };
            if was_taken {
                numbered_on.get_or_insert(number);
            }
            match result {
                Ok(()) => is_renamed = true,
                Err(source) => {
                    let (from, to) = (self.path_of(&from), self.path_of(&to));
                    tell(Renaming::Failed { from, to, source });
                }
            }
            // As DCMTK: a file that could not be renamed has had its number.
            number += 1;
        }
        if let Some(studies) = self.studies() {
            if naming.subdirectory_naming() == SubdirectoryNaming::StudyUid {
                studies.note_number(&ended.folder, number);
            }
        }
        if let Some(number) = numbered_on {
            tell(Renaming::NumberedOn { folder: folder(), number });
        }
        if ended.names.forgotten > 0 {
            tell(Renaming::Forgotten { folder: folder(), files: ended.names.forgotten });
        }
        if is_renamed {
            if let Err(source) = committer.renamed(&ended.folder) {
                tell(Renaming::NotSynced { folder: folder(), source });
            }
        }
    }
}
