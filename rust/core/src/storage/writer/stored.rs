//! What became of an object that is stored.

use std::path::PathBuf;

use crate::dataset::scan::ScanWarnings;
use crate::storage::naming::{FolderWarning, NameWarning};
use crate::storage::studies::Ended;
use crate::uid::UidText;

/// What was stored, and what the caller may want to log about it.
#[derive(Debug)]
pub struct Stored {
    /// The file; `None` when nothing is written (`--ignore`).
    pub path: Option<PathBuf>,
    /// Its name without directories; empty when nothing is written.
    pub file_name: String,
    /// Bytes of the data set.
    pub data_set_bytes: u64,
    /// Bytes of the file; 0 when nothing is written.
    pub file_bytes: u64,
    /// The study's folder, where studies are sorted.
    pub study: Option<StoredStudy>,
    /// What was there before.
    pub duplicate: Duplicate,
    /// The name is not made of the UID as it came.
    pub name_warning: Option<NameWarning>,
    /// What was odd in the data set, as the scanner counts it.
    pub scan_warnings: ScanWarnings,
    /// What an archive removed to make room for it, for its log.
    pub evicted: Vec<Evicted>,
}

/// The study that a stored instance went to.
#[derive(Debug)]
pub struct StoredStudy {
    /// Its folder, as a path.
    pub folder: PathBuf,
    /// Told once: the association begins this study.
    pub begun: Option<Begun>,
    /// What is odd about the patient's name, where the folder has it; DCMTK says it of each object.
    pub patient_warning: Option<FolderWarning>,
    /// Studies that have ended by this.
    pub ended: Vec<Ended>,
}

/// The beginning of a study.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The folder was made; otherwise it was there.
    pub is_new: bool,
    /// What is odd about its name, but for the patient's.
    pub warning: Option<FolderWarning>,
}

/// An instance that went to make room (quota).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Its Study Instance UID as it came.
    pub study_instance: Box<[u8]>,
    /// Its SOP Instance UID.
    pub sop_instance: UidText,
    /// Size of its file.
    pub file_bytes: u64,
    /// Its file.
    pub path: PathBuf,
}

/// What was found under the name of a stored instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// Nothing.
    None,
    /// Another object, which is replaced.
    Replaced,
    /// The same bytes, which stay.
    Identical,
    /// Another object, which stays by [`DuplicatePolicy::Keep`](super::options::DuplicatePolicy::Keep).
    Kept,
}
