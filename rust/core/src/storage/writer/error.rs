//! Why an object is not stored; `server::answers` has the status of each.

use core::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::dataset::scan::ScanError;
use crate::storage::durability::IoFailure;
use crate::storage::journal::JournalError;
use crate::storage::naming::{BadExtension, BadPrefix};
use crate::tag::Tag;
use crate::uid::{Uid, UidText};

/// Two UIDs that should be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UidMismatch {
    /// In the command.
    pub command: UidText,
    /// In the data set; `None` when longer than a UID.
    pub data_set: Option<UidText>,
}

/// Why an instance was not stored.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused.
    Io(IoFailure),
    /// The data set is not whole.
    Scan(ScanError),
    /// The data set has no form in the transfer syntax that is to be written.
    Unconvertible(Uid),
    /// The data set has no byte.
    Empty,
    /// This UID is missing or empty: in the data set (0008,0016), (0008,0018), or in the command
    /// (0000,1000) where the file name needs it.
    MissingUid(Tag),
    /// The SOP Instance UID is several: no query would find what it names.
    SeveralUids(UidText),
    /// The data set's SOP Class UID is not the command's.
    SopClassMismatch(Box<UidMismatch>),
    /// The data set's SOP Instance UID is not the command's.
    SopInstanceMismatch(Box<UidMismatch>),
    /// Another object has this name, and the policy is to reject.
    DuplicateRejected {
        /// The stored object.
        path: PathBuf,
    },
    /// No free name was found.
    NoFreeName {
        /// The last name that was tried.
        path: PathBuf,
    },
    /// The file name extension cannot end a file name.
    BadExtension,
    /// The prefix cannot begin the name of a study's folder.
    BadPrefix,
    /// Studies are sorted, and this has no Study Instance UID, (0020,000D), or none that is one.
    MissingStudyUid,
    /// The folder of the study cannot be made.
    StudyFolder(IoFailure),
    /// An earlier call on this writer failed.
    Abandoned,
    /// An archive stores instances of storage SOP classes only.
    NotAStorageClass(UidText),
    /// The same in bit-preserving mode.
    NotListable(UidText),
    /// Larger than a whole study may be (quota).
    LargerThanQuota {
        /// Size of the file.
        bytes: u64,
        /// Bytes that a study may have.
        bytes_max: u64,
    },
    /// What was stored before cannot be brought to its place at present.
    Stalled(Arc<str>),
    /// The redo log did not take it.
    Journal(JournalError),
    /// The index could not be asked.
    Index(Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// True for what is found while the data set is read, which can go on.
    pub(crate) const fn is_about_uids(&self) -> bool {
        matches!(
            self,
            Self::MissingUid(_)
                | Self::SeveralUids(_)
                | Self::SopClassMismatch(_)
                | Self::SopInstanceMismatch(_)
                | Self::NotAStorageClass(_)
                | Self::NotListable(_)
        )
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(failure) | Self::StudyFolder(failure) => failure.fmt(formatter),
            Self::Scan(error) => error.fmt(formatter),
            Self::Unconvertible(syntax) => {
                write!(formatter, "a data set in {syntax} cannot be written in another one")
            }
            Self::Empty => write!(formatter, "data set is empty"),
            Self::MissingUid(tag) => write!(formatter, "UID {tag} is missing or empty"),
            Self::SeveralUids(uid) => write!(formatter, "SOP Instance UID {uid:?} is several"),
            Self::SopClassMismatch(uids) => write!(formatter, "SOP Class UIDs differ: {uids}"),
            Self::SopInstanceMismatch(uids) => {
                write!(formatter, "SOP Instance UIDs differ: {uids}")
            }
            Self::DuplicateRejected { path } => {
                write!(formatter, "another object is stored as {}", path.display())
            }
            Self::NoFreeName { path } => {
                write!(formatter, "no free file name after {}", path.display())
            }
            Self::BadExtension => {
                write!(formatter, "file name extension holds a path or is too long")
            }
            Self::BadPrefix => {
                write!(formatter, "prefix leads out of the output directory or is too long")
            }
            Self::MissingStudyUid => write!(
                formatter,
                "element StudyInstanceUID (0020,000d) absent or empty in data set"
            ),
            Self::Abandoned => write!(formatter, "the object was given up earlier"),
            Self::NotAStorageClass(uid) | Self::NotListable(uid) => {
                write!(formatter, "{uid:?} is no storage SOP class")
            }
            Self::LargerThanQuota { bytes, bytes_max } => {
                write!(formatter, "{bytes} bytes, but a study may have {bytes_max} (quota)")
            }
            Self::Stalled(reason) => write!(formatter, "not stored at present: {reason}"),
            Self::Journal(error) => error.fmt(formatter),
            Self::Index(error) => error.fmt(formatter),
        }
    }
}

impl fmt::Display for UidMismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data_set {
            Some(data_set) => {
                write!(formatter, "command {:?}, data set {data_set:?}", self.command)
            }
            None => write!(formatter, "command {:?}, data set more than 64 bytes", self.command),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(failure) | Self::StudyFolder(failure) => Some(&failure.source),
            Self::Scan(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ScanError> for StoreError {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

impl From<IoFailure> for StoreError {
    fn from(failure: IoFailure) -> Self {
        Self::Io(failure)
    }
}

impl From<BadPrefix> for StoreError {
    fn from(_: BadPrefix) -> Self {
        Self::BadPrefix
    }
}

impl From<BadExtension> for StoreError {
    fn from(_: BadExtension) -> Self {
        Self::BadExtension
    }
}
