//! What a store is told: by the command line once, and by each C-STORE.

use std::path::PathBuf;

use crate::ae_title::AeTitle;
use crate::dataset::rewrite::OutputEncoding;
use crate::storage::durability::Durability;
use crate::storage::naming::{FileNaming, SubdirectoryNaming};
use crate::uid::{Uid, UidText};

/// What is done with a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StoreMode {
    /// Checked and stored.
    #[default]
    Normal,
    /// Stored as it came, unchecked (`+B`).
    BitPreserving,
    /// Checked and forgotten (`--ignore`).
    Ignore,
}

/// Which tool's rules apply where DCMTK's tools differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Dialect {
    /// `storescp`.
    #[default]
    Storescp,
    /// `dcmrecv`.
    Dcmrecv,
    /// `dcmqrscp`.
    Dcmqrscp,
    /// `movescu`, as the receiver of its own sub-operations.
    Movescu,
    /// `getscu`, whose objects come over its own association.
    Getscu,
}

/// What happens when another object has the name already; the same object is never stored twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DuplicatePolicy {
    /// The new one takes its place, as with DCMTK.
    #[default]
    Replace,
    /// The stored one stays; success.
    Keep,
    /// The stored one stays; failure, for status 0111H.
    Reject,
}

/// How a receiver stores.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The output directory; must exist.
    pub directory: PathBuf,
    /// How files are named.
    pub file_naming: FileNaming,
    /// How directories below the output directory are named.
    pub subdirectory: SubdirectoryNaming,
    /// What the names of studies' folders begin with (`-ss`, `-su`).
    pub study_prefix: String,
    /// Names are remembered until their study's end (`-rns`).
    pub renames: bool,
    /// Appended to every file name (`-fe`).
    pub extension: String,
    /// What is done with data sets.
    pub mode: StoreMode,
    /// What data sets look like in normal mode; `None` as they came.
    pub encoding: Option<OutputEncoding>,
    /// Preamble and file meta information are written (`+F`), or not (`-F`).
    pub with_meta: bool,
    /// What success promises.
    pub durability: Durability,
    /// What happens to duplicates.
    pub duplicates: DuplicatePolicy,
    /// Whose rules.
    pub dialect: Dialect,
}

impl StoreOptions {
    /// storescp's defaults for `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            file_naming: FileNaming::default(),
            subdirectory: SubdirectoryNaming::default(),
            study_prefix: String::new(),
            renames: false,
            extension: String::new(),
            mode: StoreMode::default(),
            encoding: None,
            with_meta: true,
            durability: Durability::default(),
            duplicates: DuplicatePolicy::default(),
            dialect: Dialect::default(),
        }
    }
}

/// What a C-STORE-RQ says about the instance that follows.
#[derive(Clone, Copy, Debug)]
pub struct InstanceRequest {
    /// Affected SOP Class UID.
    pub sop_class: UidText,
    /// Affected SOP Instance UID.
    pub sop_instance: UidText,
    /// Transfer syntax of the presentation context.
    pub transfer_syntax: Uid,
    /// Who sends.
    pub calling_ae_title: AeTitle,
}
