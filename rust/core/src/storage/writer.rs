//! One instance from its first fragment to the published file.
//!
//! A [`Store`] is built once from the options and shared; each C-STORE gets an [`InstanceWriter`].
//! Fragments go in as they arrive and out in one vectored write each, uncopied, while the scanner
//! watches them. The file meta information of normal mode names the UIDs of the data set
//! (DCMTK 3.6.7), so the first bytes are held back until these have gone by: a small object
//! that arrives at once is still written in one call.
//!
//! Nothing is visible under a final name before [`InstanceWriter::finish`] has checked all and
//! returns, and a writer that fails or is dropped leaves nothing. What was stored before is never
//! touched by a transfer that fails (DIFFERENCES.md A3, A9).
//!
//! What is checked, by mode and dialect:
//!
//! ```text
//!                                storescp             dcmrecv          bit preserving   --ignore
//! structure (dataset/scan.rs)    yes                  yes              no               yes
//! empty data set                 error                error            stored           passes
//! UIDs missing in the data set   error                passes           not looked at    passes
//! UIDs other than the command's  error                passes           not looked at    passes
//! ```
//!
//! A UID that the data set lacks is taken from the command for the file meta information. DCMTK
//! invents one there, and then name and header disagree.
//!
//! Called by `server::store`, which turns a [`StoreError`] into a status.

use core::fmt;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ae_title::AeTitle;
use crate::dataset::breaks::Break;
use crate::dataset::oddities::Oddities;
use crate::dataset::rewrite::OutputEncoding;
use crate::dataset::scan::{ScanError, ScanWarnings, Scanner};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::limits::{
    FOLDER_CLOCK_WAITS_MAX, HEAD_HOLD_BYTES_MAX, NAME_ATTEMPTS_MAX, REWRITE_HELD_BYTES_MAX,
    WRITE_SLICES_MAX,
};
use crate::storage::backend::{Backend, Disk, NameSource, PartFile, SystemNameSource};
use crate::storage::durability::{
    Committed, Committer, Durability, IoFailure, Operation, SyncedPart,
};
use crate::storage::file_meta::{FILE_META_BYTES_TYPICAL, FileMeta};
use crate::storage::journal::JournalError;
use crate::storage::naming::{
    AreaPath, BadExtension, BadPrefix, FileNaming, FolderWarning, LocalTime, NameParts,
    NameWarning, Naming, StudyParts, SubdirectoryNaming,
};
use crate::storage::re_encode::Way;
use crate::storage::studies::{Course, Ended, Place, Studies};
use crate::tag::{self, Tag};
use crate::uid::{
    IMPLEMENTATION_VERSION_NAME, IMPLEMENTATION_VERSION_NAME_BIT_PRESERVING, Uid, UidText,
};
use crate::vr::trimmed;

mod encoding;
pub(crate) mod uids;

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
    /// Studies that have ended by this.
    pub ended: Vec<Ended>,
}

/// The beginning of a study.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The folder was made; otherwise it was there.
    pub is_new: bool,
    /// What is odd about its name.
    pub warnings: Vec<FolderWarning>,
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
    /// Another object, which stays by [`DuplicatePolicy::Keep`].
    Kept,
}

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

/// Values that the scanner keeps for checks, file meta information and names.
static WANTED: [Tag; 3] = [tag::SOP_CLASS_UID, tag::SOP_INSTANCE_UID, tag::SERIES_DATE];
/// The same where studies are sorted.
static WANTED_SORTED: [Tag; 6] = [
    tag::SOP_CLASS_UID,
    tag::SOP_INSTANCE_UID,
    tag::SERIES_DATE,
    tag::SPECIFIC_CHARACTER_SET,
    tag::PATIENT_NAME,
    tag::STUDY_INSTANCE_UID,
];
/// Affected SOP Instance UID, PS3.7 §E.1.
const AFFECTED_SOP_INSTANCE_UID: Tag = Tag::new(0x0000, 0x1000);

/// One output directory with its rules, shared by all associations.
pub struct Store {
    options: StoreOptions,
    naming: Naming,
    backend: Arc<dyn Backend>,
    committer: Committer,
    names: Arc<dyn NameSource>,
    /// Where studies are sorted.
    studies: Option<Arc<Studies>>,
}

impl Store {
    /// Opens the output directory. Stale part files are left to [`Store::remove_stale_parts`].
    pub fn open(options: StoreOptions) -> Result<Arc<Self>, StoreError> {
        let recreates_area = options.dialect == Dialect::Dcmrecv;
        let open =
            if options.durability.is_durable() { Disk::open } else { Disk::with_unnamed_parts };
        let disk = open(&options.directory, recreates_area).map_err(|source| IoFailure {
            operation: Operation::Open,
            path: options.directory.clone(),
            source,
        })?;
        Self::with_backend(options, Arc::new(disk), Arc::new(SystemNameSource))
    }

    /// A store over any backend, clock and source of chance.
    pub fn with_backend(
        options: StoreOptions,
        backend: Arc<dyn Backend>,
        names: Arc<dyn NameSource>,
    ) -> Result<Arc<Self>, StoreError> {
        let naming = Naming::new(
            options.file_naming,
            options.subdirectory,
            &options.extension,
            names.unix_time_s(),
        )?
        .with_study_prefix(&options.study_prefix)?;
        let committer = Committer::new(Arc::clone(&backend), options.durability);
        let is_sorting = options.subdirectory.is_by_study() && options.mode == StoreMode::Normal;
        let studies = is_sorting.then(|| Studies::new(options.renames));
        Ok(Arc::new(Self { options, naming, backend, committer, names, studies }))
    }

    /// The open studies, where they are sorted.
    pub const fn studies(&self) -> Option<&Arc<Studies>> {
        self.studies.as_ref()
    }

    pub(super) const fn naming(&self) -> &Naming {
        &self.naming
    }

    pub(super) const fn committer(&self) -> &Committer {
        &self.committer
    }

    pub(super) fn path_of(&self, target: &AreaPath) -> PathBuf {
        self.backend.path_of(target)
    }

    /// Where the folder of a study is, for people and their commands.
    pub fn path_of_folder(&self, folder: &str) -> PathBuf {
        self.backend.area().join(folder)
    }

    /// The options this store was built from.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// Removes part files that a crashed receiver left, never those of a living one. Reads the
    /// whole directory once; may run beside the first associations.
    pub fn remove_stale_parts(&self) -> Result<usize, StoreError> {
        self.backend.remove_stale_parts().map_err(|source| {
            let path = self.backend.area().to_owned();
            StoreError::Io(IoFailure { operation: Operation::Open, path, source })
        })
    }

    /// Takes note of an instance to come; no file is made before its first bytes.
    pub fn begin(self: &Arc<Self>, request: &InstanceRequest) -> InstanceWriter {
        self.begin_in(request, None)
    }

    /// The same for an association that has a course through the studies.
    pub fn begin_in(
        self: &Arc<Self>,
        request: &InstanceRequest,
        course: Option<Arc<Course>>,
    ) -> InstanceWriter {
        let parts = NameParts {
            sop_class: request.sop_class,
            sop_instance: request.sop_instance,
            time: self.time_for_names(),
        };
        let is_scanned = self.options.mode != StoreMode::BitPreserving;
        let wanted: &'static [Tag] = if course.is_some() { &WANTED_SORTED } else { &WANTED };
        let scanner =
            is_scanned.then(|| Scanner::new(TransferSyntax::of(&request.transfer_syntax), wanted));
        InstanceWriter {
            store: Arc::clone(self),
            course,
            study: None,
            request: *request,
            parts,
            scanner,
            way: self.way(request),
            has_checked_uids: false,
            held: Vec::new(),
            spilled: None,
            has_head: false,
            part: None,
            head_bytes: 0,
            data_set_bytes: 0,
            file_bytes: 0,
            is_abandoned: false,
        }
    }

    /// How bytes that `request` announces are re-encoded; `Ok(None)` when they stay as they come. With
    /// `--ignore` they are looked at alone.
    fn way(&self, request: &InstanceRequest) -> Result<Option<Box<Way>>, Uid> {
        let StoreOptions { mode, encoding, .. } = self.options;
        let encoding = encoding.filter(|_| mode != StoreMode::BitPreserving);
        let way = encoding.map(|encoding| Way::new(request.transfer_syntax, encoding));
        match way.transpose() {
            Err(from) if mode == StoreMode::Ignore => Ok(Way::watching(from).map(Box::new)),
            way => Ok(way?.map(Box::new)),
        }
    }

    /// Local time, where a name or directory is made of it; the clock is not asked otherwise.
    fn time_for_names(&self) -> LocalTime {
        let needs_time = self.naming.subdirectory_naming() == SubdirectoryNaming::SeriesDate
            || matches!(
                self.naming.file_naming(),
                FileNaming::SystemTime | FileNaming::SystemTimeMicroseconds
            );
        if needs_time { self.names.local_time() } else { LocalTime::EPOCH }
    }

    fn chance_for_names(&self) -> u128 {
        match self.naming.file_naming() {
            FileNaming::UniqueUid | FileNaming::ShortUnique => self.names.chance(),
            _ => 0,
        }
    }

    /// Makes the folder of a study that begins.
    ///
    /// A folder named by the time is nobody else's. The clock is asked again where its name is
    /// taken, and a serial number follows where that does not help (DIFFERENCES.md F3).
    fn make_folder(&self, parts: &StudyParts<'_>) -> Result<(Arc<str>, Begun), StoreError> {
        let may_be_there = self.naming.subdirectory_naming() == SubdirectoryNaming::StudyUid;
        let (mut waits, mut serial) = (0, 0);
        loop {
            let time = self.names.local_time();
            let (folder, warnings) = self.naming.study_folder(parts, time, serial);
            match self.committer.make_directory(&folder) {
                Ok(is_new) if is_new || may_be_there => {
                    return Ok((folder.into(), Begun { is_new, warnings }));
                }
                Ok(_) if waits < FOLDER_CLOCK_WAITS_MAX => {
                    waits += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(_) if serial < NAME_ATTEMPTS_MAX => serial += 1,
                Ok(_) => {
                    return Err(StoreError::NoFreeName { path: self.path_of_folder(&folder) });
                }
                Err(source) => {
                    let path = self.path_of_folder(&folder);
                    let operation = Operation::MakeDirectory;
                    return Err(StoreError::StudyFolder(IoFailure { operation, path, source }));
                }
            }
        }
    }
}

/// One instance on its way; dropping it leaves nothing behind.
pub struct InstanceWriter {
    store: Arc<Store>,
    /// Where studies are sorted.
    course: Option<Arc<Course>>,
    /// The study that the instance has a place in, from when it is complete.
    study: Option<(UidText, Place<Begun>)>,
    request: InstanceRequest,
    parts: NameParts,
    scanner: Option<Scanner>,
    /// How the data set is re-encoded, where it may be; the transfer syntax that has no way.
    way: Result<Option<Box<Way>>, Uid>,
    has_checked_uids: bool,
    /// Bytes of the data set that wait: for its UIDs, or to be re-encoded.
    held: Vec<u8>,
    /// What waits to be re-encoded and is too long to be held; it stands before `held`.
    spilled: Option<Box<dyn PartFile>>,
    /// The head of the file is written, or none is wanted.
    has_head: bool,
    part: Option<Box<dyn PartFile>>,
    /// Bytes before the data set in the part file.
    head_bytes: u64,
    data_set_bytes: u64,
    file_bytes: u64,
    is_abandoned: bool,
}

impl InstanceWriter {
    /// Takes the next fragments of the data set, in order.
    ///
    /// An error is told once; the part file is gone then, and what still comes is swallowed, so
    /// that the rest of the message can be read off the association.
    pub fn append(&mut self, fragments: &[&[u8]]) -> Result<(), StoreError> {
        if self.is_abandoned {
            self.look_on(fragments);
            return Ok(());
        }
        let has_no_way = self.way.is_err();
        let result = self.try_append(fragments);
        if let Err(error) = &result {
            self.abandon(has_no_way || error.is_about_uids());
        }
        result
    }

    /// What is odd about the bytes that came, also where they are not stored; it is told once.
    pub fn take_oddities(&mut self) -> Oddities {
        let way = self.way.as_mut().ok().and_then(Option::as_mut);
        way.map(|way| way.take_oddities()).unwrap_or_default()
    }

    /// What breaks the data set, if it ends here; for one who tells why it was refused.
    pub fn break_at_end(&self) -> Option<Break> {
        self.way.as_ref().ok()?.as_ref()?.break_at_end()
    }

    /// The data set is complete: checks it, makes it durable and gives it its name.
    pub fn finish(mut self) -> Result<Stored, StoreError> {
        if self.is_abandoned {
            return Err(StoreError::Abandoned);
        }
        // An error drops `self`, and with it the part file.
        self.try_finish()
    }

    /// Where the object would be stored if its UIDs, which did not come, had come; for one who tells
    /// that. Not known where studies are sorted.
    pub fn path_without_uids(&self) -> Option<PathBuf> {
        let has_uids = self.scanner.as_ref().is_some_and(|scanner| {
            [tag::SOP_CLASS_UID, tag::SOP_INSTANCE_UID]
                .iter()
                .all(|tag| scanner.value(*tag).is_some_and(|value| !trimmed(value).is_empty()))
        });
        let is_known = self.course.is_none() && self.store.options.mode == StoreMode::Normal;
        (is_known && !has_uids).then(|| self.store.options.directory.join(self.expected_name()))
    }

    /// True after an error: what is appended now is thrown away.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Bytes of the data set taken so far.
    pub fn data_set_bytes(&self) -> u64 {
        self.data_set_bytes
    }

    /// Gives up; all that came was looked at where `looks_on`.
    fn abandon(&mut self, looks_on: bool) {
        self.is_abandoned = true;
        (self.part, self.spilled) = (None, None);
        self.held = Vec::new();
        if !looks_on {
            self.scanner = None;
        }
    }

    /// DCMTK reads an object to its end before it refuses it, and tells what is odd about all of it.
    fn look_on(&mut self, fragments: &[&[u8]]) {
        let (Some(scanner), Ok(Some(way))) = (&mut self.scanner, &mut self.way) else { return };
        if !way.look_on(scanner, fragments) {
            self.scanner = None;
        }
    }

    fn try_append(&mut self, fragments: &[&[u8]]) -> Result<(), StoreError> {
        let bytes: usize = fragments.iter().map(|fragment| fragment.len()).sum();
        if bytes == 0 {
            return Ok(());
        }
        self.data_set_bytes += bytes as u64;
        if let Err(from) = self.way {
            self.way = Ok(Way::watching(from).map(Box::new));
            self.look_on(fragments);
            return Err(StoreError::Unconvertible(from));
        }
        let way = self.way.as_mut().map_err(|from| StoreError::Unconvertible(*from))?;
        if let Some(way) = way.take_if(|way| way.follows()) {
            return self.take_on(way, fragments);
        }
        if let Some(scanner) = &mut self.scanner {
            for fragment in fragments {
                match way {
                    Some(way) => scanner.feed_and_show(fragment, |bytes| way.look(bytes))?,
                    None => scanner.feed(fragment)?,
                }
            }
        }
        self.check_uids(false)?;
        if self.store.options.mode == StoreMode::Ignore {
            return Ok(());
        }
        if self.must_hold(bytes) {
            for fragment in fragments {
                self.held.extend_from_slice(fragment);
            }
            return self.follow_if_due();
        }
        self.write(fragments)
    }

    /// True while the file meta information cannot be written and the bytes may still wait for it,
    /// and while they are few and will not stay as they are.
    fn must_hold(&self, bytes: usize) -> bool {
        if self.scanner.is_none() {
            return false;
        }
        let will_change = matches!(&self.way, Ok(Some(way)) if way.will_change());
        if will_change && !self.has_head && self.held.len() + bytes <= REWRITE_HELD_BYTES_MAX {
            return true;
        }
        !self.has_head && self.held.len() + bytes <= HEAD_HOLD_BYTES_MAX && !self.knows_head()
    }

    /// True once what stands before the data set can be written.
    fn knows_head(&self) -> bool {
        let Some(scanner) = &self.scanner else { return true };
        let knows_uids = || {
            scanner.value(tag::SOP_CLASS_UID).is_some()
                && scanner.value(tag::SOP_INSTANCE_UID).is_some()
        };
        !self.store.options.with_meta || knows_uids()
    }

    /// Compares the UIDs of data set and command as soon as both are known; `is_complete` when no
    /// more can come.
    fn check_uids(&mut self, is_complete: bool) -> Result<(), StoreError> {
        let options = &self.store.options;
        let is_due = options.mode == StoreMode::Normal
            && matches!(options.dialect, Dialect::Storescp | Dialect::Movescu | Dialect::Getscu)
            && !self.has_checked_uids;
        let Some(scanner) = self.scanner.as_ref().filter(|_| is_due) else { return Ok(()) };
        let named = (self.request.sop_class, self.request.sop_instance);
        self.has_checked_uids = uids::agree(scanner, named, is_complete)?;
        Ok(())
    }

    /// Preamble and file meta information, or nothing with `-F`.
    fn head(&self, transfer_syntax: &Uid) -> Vec<u8> {
        let options = &self.store.options;
        if !options.with_meta {
            return Vec::new();
        }
        let from_data_set = |tag| {
            let value = self.scanner.as_ref()?.value(tag)?;
            UidText::new(trimmed(value)).filter(|uid| !uid.is_empty())
        };
        let sop_class = from_data_set(tag::SOP_CLASS_UID).unwrap_or(self.request.sop_class);
        let sop_instance =
            from_data_set(tag::SOP_INSTANCE_UID).unwrap_or(self.request.sop_instance);
        let is_bit_preserving = options.mode == StoreMode::BitPreserving;
        let has_title = options.dialect == Dialect::Storescp || is_bit_preserving;
        let mut head = Vec::with_capacity(FILE_META_BYTES_TYPICAL);
        FileMeta {
            sop_class: sop_class.as_bytes(),
            sop_instance: sop_instance.as_bytes(),
            transfer_syntax: transfer_syntax.as_bytes(),
            version_name: if is_bit_preserving {
                IMPLEMENTATION_VERSION_NAME_BIT_PRESERVING
            } else {
                IMPLEMENTATION_VERSION_NAME
            },
            source_ae_title: has_title.then_some(self.request.calling_ae_title.as_bytes()),
        }
        .encode(&mut head);
        head
    }

    /// Writes what is due: the head once, what was held, and `fragments`.
    fn write(&mut self, fragments: &[&[u8]]) -> Result<(), StoreError> {
        let head =
            if self.has_head { Vec::new() } else { self.head(&self.request.transfer_syntax) };
        self.head_bytes += head.len() as u64;
        let held = core::mem::take(&mut self.held);
        self.has_head = true;
        if self.part.is_none() {
            self.begin_part()?;
        }
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let mut pieces = [head.as_slice(), held.as_slice()]
            .into_iter()
            .chain(fragments.iter().copied())
            .filter(|piece| !piece.is_empty());
        loop {
            let mut count = 0;
            let mut bytes = 0;
            for (slice, piece) in slices.iter_mut().zip(&mut pieces) {
                *slice = IoSlice::new(piece);
                count += 1;
                bytes += piece.len() as u64;
            }
            if count == 0 {
                return Ok(());
            }
            let Some(part) = &mut self.part else { return Err(StoreError::Abandoned) };
            if let Err(source) = part.append(&mut slices[..count]) {
                return Err(self.failure(Operation::Write, source).into());
            }
            self.file_bytes += bytes;
        }
    }

    /// A part file, in the place of one that is there.
    fn begin_part(&mut self) -> Result<(), StoreError> {
        let created = self.store.backend.create_part();
        self.part = Some(created.map_err(|source| self.failure(Operation::Create, source))?);
        Ok(())
    }

    /// What an empty data set is told as: DCMTK's storescp can write it in a transfer syntax that is
    /// asked for, and then misses its UIDs; else it has none to write it in (DIFFERENCES.md C6).
    fn emptiness(&self) -> StoreError {
        let StoreOptions { dialect, encoding, .. } = &self.store.options;
        let has_syntax = encoding.as_ref().is_some_and(|one| one.transfer_syntax.is_some());
        match dialect {
            Dialect::Storescp | Dialect::Movescu if has_syntax => {
                StoreError::MissingUid(tag::SOP_CLASS_UID)
            }
            _ => StoreError::Empty,
        }
    }

    fn try_finish(&mut self) -> Result<Stored, StoreError> {
        let mode = self.store.options.mode;
        if mode == StoreMode::Normal && self.data_set_bytes == 0 {
            return Err(self.emptiness());
        }
        let mut scan_warnings = ScanWarnings::default();
        if let Some(scanner) = self.scanner.as_mut().filter(|_| self.data_set_bytes > 0) {
            scanner.finish()?;
            scan_warnings = scanner.warnings();
        }
        self.check_uids(true)?;
        if mode == StoreMode::Ignore {
            return Ok(Stored {
                path: None,
                file_name: String::new(),
                study: None,
                data_set_bytes: self.data_set_bytes,
                file_bytes: 0,
                duplicate: Duplicate::None,
                name_warning: None,
                scan_warnings,
                evicted: Vec::new(),
            });
        }
        let needs_uid = self.store.naming.file_naming().may_meet_existing();
        if needs_uid && self.request.sop_instance.is_empty() {
            return Err(StoreError::MissingUid(AFFECTED_SOP_INSTANCE_UID));
        }
        let way = self.way.as_mut().map_err(|from| StoreError::Unconvertible(*from))?.take();
        if let Some(way) = way {
            self.re_encode(way)?;
        }
        if self.part.is_none() {
            self.write(&[])?;
        }
        self.find_place()?;
        let (target, name_warning, duplicate) = self.publish()?;
        Ok(Stored {
            path: Some(self.store.backend.path_of(&target)),
            file_name: target.name().to_owned(),
            study: self.settle_study(target.name()),
            data_set_bytes: self.data_set_bytes,
            file_bytes: self.file_bytes,
            duplicate,
            name_warning,
            scan_warnings,
            evicted: Vec::new(),
        })
    }

    /// Finds the folder of the study, where studies are sorted.
    fn find_place(&mut self) -> Result<(), StoreError> {
        let (Some(course), Some(scanner)) = (&self.course, &self.scanner) else { return Ok(()) };
        let value = |tag| scanner.value(tag).unwrap_or_default();
        // Of several values the first counts, as with DCMTK.
        let study = value(tag::STUDY_INSTANCE_UID).split(|byte| *byte == b'\\').next();
        let study = UidText::new(trimmed(study.unwrap_or_default()))
            .filter(|study| !study.is_empty())
            .ok_or(StoreError::MissingStudyUid)?;
        let parts = StudyParts {
            study,
            patient_name: value(tag::PATIENT_NAME),
            character_set: value(tag::SPECIFIC_CHARACTER_SET),
        };
        let place = course.place(study, Instant::now(), || self.store.make_folder(&parts))?;
        self.study = Some((study, place));
        Ok(())
    }

    /// The instance is stored: it belongs to its study.
    fn settle_study(&mut self, name: &str) -> Option<StoredStudy> {
        let (course, (study, place)) = (self.course.as_ref()?, self.study.take()?);
        Some(StoredStudy {
            folder: self.store.path_of_folder(&place.folder),
            begun: place.news,
            ended: course.stored(study, name, Instant::now()),
        })
    }

    /// The name that the first attempt gives, for one who speaks about an instance that failed.
    pub fn expected_name(&self) -> String {
        self.store.naming.file_name(&self.parts, 0, self.store.chance_for_names()).0
    }

    fn append_block(&mut self, block: &[u8]) -> Result<(), StoreError> {
        self.append_slices([block, &[]])
    }

    fn append_slices(&mut self, slices: [&[u8]; 2]) -> Result<(), StoreError> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if bytes == 0 {
            return Ok(());
        }
        let Some(part) = &mut self.part else { return Err(StoreError::Abandoned) };
        if let Err(source) = part.append(&mut slices.map(IoSlice::new)) {
            return Err(self.failure(Operation::Write, source).into());
        }
        self.file_bytes += bytes as u64;
        Ok(())
    }

    /// Finds a name that is free, or settles with the object that has it.
    fn publish(&mut self) -> Result<(AreaPath, Option<NameWarning>, Duplicate), StoreError> {
        let store = Arc::clone(&self.store);
        let may_meet_existing = store.naming.file_naming().may_meet_existing();
        let part = self.part.take().ok_or(StoreError::Abandoned)?;
        let (mut target, mut warning) = self.path(0);
        let mut committed = store.committer.publish_new(part, &target)?;
        let mut attempts = 1..=NAME_ATTEMPTS_MAX;
        loop {
            let taken = match committed {
                Committed::Stored => return Ok((target, warning, Duplicate::None)),
                Committed::Exists(taken) => taken,
            };
            if may_meet_existing {
                let duplicate = self.settle_duplicate(taken, &target)?;
                return Ok((target, warning, duplicate));
            }
            let Some(attempt) = attempts.next() else {
                return Err(StoreError::NoFreeName { path: store.backend.path_of(&target) });
            };
            (target, warning) = self.path(attempt);
            committed = store.committer.publish_again(taken, &target)?;
        }
    }

    fn settle_duplicate(
        &self,
        part: SyncedPart,
        target: &AreaPath,
    ) -> Result<Duplicate, StoreError> {
        let store = &self.store;
        let path = || store.backend.path_of(target);
        let is_identical = part.has_content_of(target).map_err(|source| IoFailure {
            operation: Operation::Compare,
            path: path(),
            source,
        })?;
        if is_identical {
            drop(part);
            store.committer.confirm(target)?;
            return Ok(Duplicate::Identical);
        }
        match store.options.duplicates {
            DuplicatePolicy::Replace => {
                store.committer.replace(part, target)?;
                Ok(Duplicate::Replaced)
            }
            DuplicatePolicy::Keep => {
                drop(part);
                store.committer.confirm(target)?;
                Ok(Duplicate::Kept)
            }
            DuplicatePolicy::Reject => Err(StoreError::DuplicateRejected { path: path() }),
        }
    }

    fn path(&self, attempt: u32) -> (AreaPath, Option<NameWarning>) {
        let series_date = self.scanner.as_ref().and_then(|scanner| scanner.value(tag::SERIES_DATE));
        let chance = self.store.chance_for_names();
        if let Some((_, place)) = &self.study {
            let folder = place.folder.to_string();
            return self.store.naming.path_in(folder, &self.parts, attempt, chance);
        }
        let today = self.parts.time;
        self.store.naming.path(&self.parts, series_date, today, attempt, chance)
    }

    fn failure(&self, operation: Operation, source: std::io::Error) -> IoFailure {
        let (target, _) = self.path(0);
        IoFailure { operation, path: self.store.backend.path_of(&target), source }
    }
}

impl Drop for InstanceWriter {
    /// An instance that was not stored belongs to no study; a folder made for it goes.
    fn drop(&mut self) {
        let (Some(course), Some((study, _))) = (&self.course, self.study.take()) else { return };
        if let Some(folder) = course.not_stored(study) {
            self.store.committer.unmake_directory(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::backend::faulty::{Faulty, Plan};
    use crate::storage::backend::memory::Memory;
    use crate::storage::renumber::Renaming;
    use crate::storage::studies::Origin;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const MODES: [Durability; 3] = [Durability::None, Durability::Group, Durability::Each];

    /// A clock that stands still and a chance that counts.
    struct Still(Mutex<u128>);

    impl NameSource for Still {
        fn local_time(&self) -> LocalTime {
            LocalTime::EPOCH
        }
        fn chance(&self) -> u128 {
            let mut count = self.0.lock().unwrap();
            *count += 1;
            // Each number twice, so that names meet existing ones.
            *count / 2
        }
        fn unix_time_s(&self) -> u32 {
            0
        }
    }

    pub fn store(backend: Arc<dyn Backend>, change: impl FnOnce(&mut StoreOptions)) -> Arc<Store> {
        let mut options = StoreOptions::new("memory");
        change(&mut options);
        Store::with_backend(options, backend, Arc::new(Still(Mutex::new(0)))).unwrap()
    }

    pub fn in_memory(change: impl FnOnce(&mut StoreOptions)) -> (Memory, Arc<Store>) {
        let memory = Memory::default();
        let store = store(Arc::new(memory.clone()), change);
        (memory, store)
    }

    pub fn request(uid: &str) -> InstanceRequest {
        InstanceRequest {
            sop_class: UidText::new(CT.as_bytes()).unwrap(),
            sop_instance: UidText::new(uid.as_bytes()).unwrap(),
            transfer_syntax: Uid::known("1.2.840.10008.1.2.1"),
            calling_ae_title: AeTitle::new(b"TESTSCU"),
        }
    }

    pub fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let vr = crate::vr::Vr(vr.as_bytes().try_into().unwrap());
        crate::dataset::encode::element(&mut out, Tag::new(group, number), vr, value, 0);
        out
    }

    pub fn data_set(class: &str, uid: &str, pixels: &[u8]) -> Vec<u8> {
        [
            element(8, 0x16, "UI", class.as_bytes()),
            element(8, 0x18, "UI", uid.as_bytes()),
            element(8, 0x21, "DA", b"20200103"),
            element(0x7FE0, 0x10, "OW", pixels),
        ]
        .concat()
    }

    pub fn send(store: &Arc<Store>, uid: &str, fragments: &[&[u8]]) -> Result<Stored, StoreError> {
        let mut writer = store.begin(&request(uid));
        for fragment in fragments {
            writer.append(&[fragment])?;
        }
        writer.finish()
    }

    fn names(memory: &Memory) -> Vec<String> {
        memory.files().into_keys().collect()
    }

    // ---- What is written ---------------------------------------------------------------------

    /// One object at once: create, one append, close, rename, and not a call more.
    #[test]
    fn a_small_object_costs_four_calls() {
        let memory = Memory::default();
        let plan = Plan::new(0, false, 0);
        let backend = Faulty::new(Arc::new(memory.clone()), Arc::clone(&plan));
        let store = store(Arc::new(backend), |_| {});
        let data = data_set(CT, "1.2.3", &[1; 100]);
        let mut writer = store.begin(&request("1.2.3"));
        assert_eq!(plan.calls(), 0);
        writer.append(&[&data[..40], &data[40..]]).unwrap();
        assert!(names(&memory).iter().all(|name| name.starts_with(".dcmfast-")));
        let stored = writer.finish().unwrap();
        assert_eq!(plan.calls(), 4);
        assert_eq!(stored.file_name, "CT.1.2.3");
        assert_eq!(stored.path.unwrap(), PathBuf::from("memory/CT.1.2.3"));
        assert_eq!(stored.duplicate, Duplicate::None);
        assert!(stored.name_warning.is_none());
        let file = &memory.files()["CT.1.2.3"];
        assert_eq!(stored.file_bytes, file.len() as u64);
        assert_eq!(stored.data_set_bytes, data.len() as u64);
        assert!(file.ends_with(&data));
        assert_eq!(&file[128..132], b"DICM");
        assert!(file.windows(7).any(|text| text == b"TESTSCU"));
    }

    /// `-F`: the data set and nothing else.
    #[test]
    fn without_meta() {
        let (memory, store) = in_memory(|options| options.with_meta = false);
        let data = data_set(CT, "1.2.3", &[1; 100]);
        send(&store, "1.2.3", &[&data]).unwrap();
        assert_eq!(memory.files()["CT.1.2.3"], data);
    }

    /// DCMTK 3.6.7: normal mode names the data set's UIDs and dcmrecv no title; bit
    /// preserving mode names the command's.
    #[test]
    fn file_meta_by_mode_and_dialect() {
        let data = data_set("1.2.840.10008.5.1.4.1.1.4", "9.9", b"");
        let file = |change: fn(&mut StoreOptions)| {
            let (memory, store) = in_memory(change);
            send(&store, "1.2.3", &[&data]).unwrap();
            let file = memory.files()["CT.1.2.3"].clone();
            let meta = String::from_utf8_lossy(&file[..file.len() - data.len()]).into_owned();
            assert!(file.ends_with(&data));
            meta
        };
        let dcmrecv = file(|options| options.dialect = Dialect::Dcmrecv);
        assert!(dcmrecv.contains("9.9\0") && !dcmrecv.contains("1.2.3\0"));
        assert!(dcmrecv.contains("DCMFAST_") && !dcmrecv.contains("TESTSCU"));
        let preserved = file(|options| options.mode = StoreMode::BitPreserving);
        assert!(preserved.contains("1.2.3\0") && !preserved.contains("9.9\0"));
        assert!(preserved.contains("DCMFBP_") && preserved.contains("TESTSCU"));
    }

    /// A data set whose UIDs come late is held no longer than the bound; the header then has the
    /// command's.
    #[test]
    fn late_uids() {
        let (memory, store) = in_memory(|_| {});
        let early = element(8, 0x0001, "UN", &vec![0; HEAD_HOLD_BYTES_MAX]);
        let data = [early, data_set(CT, "1.2.3", b"")].concat();
        let mut writer = store.begin(&request("1.2.3"));
        for fragment in data.chunks(1000) {
            writer.append(&[fragment]).unwrap();
            assert!(writer.held.len() <= HEAD_HOLD_BYTES_MAX);
        }
        writer.finish().unwrap();
        assert!(memory.files()["CT.1.2.3"].ends_with(&data));
    }

    /// limits::HEAD_HOLD_BYTES_MAX: as much is held, one byte more is written.
    #[test]
    fn edge_of_what_is_held() {
        for (length, is_held) in [(-1, true), (0, true), (1, false)] {
            let (_memory, store) = in_memory(|_| {});
            let length = HEAD_HOLD_BYTES_MAX.saturating_add_signed(length);
            let early = element(8, 0x0001, "UN", &vec![0; length]);
            let mut writer = store.begin(&request("1.2.3"));
            writer.append(&[&early[..length]]).unwrap();
            assert_eq!(writer.held.len() == length, is_held, "{length}");
        }
    }

    /// More fragments than one write takes.
    #[test]
    fn many_fragments_at_once() {
        let (memory, store) = in_memory(|_| {});
        let data = data_set(CT, "1.2.3", &[7; 5000]);
        let fragments: Vec<&[u8]> = data.chunks(3).collect();
        let mut writer = store.begin(&request("1.2.3"));
        writer.append(&fragments).unwrap();
        writer.finish().unwrap();
        assert!(memory.files()["CT.1.2.3"].ends_with(&data));
    }

    // ---- What is refused ---------------------------------------------------------------------

    type Expected = fn(&StoreError) -> bool;

    /// The table at the head of this file, and DIFFERENCES.md A3, A4, A9: nothing is left.
    #[test]
    fn refusals_leave_nothing_and_spare_what_was_stored() {
        let good = data_set(CT, "1.2.3", &[1; 10]);
        let class_missing = element(8, 0x18, "UI", b"1.2.3");
        let instance_empty =
            [element(8, 0x16, "UI", CT.as_bytes()), element(8, 0x18, "UI", b"")].concat();
        let other_class = data_set("1.2.840.10008.5.1.4.1.1.4", "1.2.3", b"");
        let other_instance = data_set(CT, "1.2.4", b"");
        let long_instance = data_set(CT, &"1".repeat(66), b"");
        let cases: [(&[u8], Expected, bool); 7] = [
            (b"", |error| matches!(error, StoreError::Empty), false),
            (&good[..good.len() - 1], |error| matches!(error, StoreError::Scan(_)), false),
            (
                &class_missing,
                |error| matches!(error, StoreError::MissingUid(tag::SOP_CLASS_UID)),
                true,
            ),
            (
                &instance_empty,
                |error| matches!(error, StoreError::MissingUid(tag::SOP_INSTANCE_UID)),
                true,
            ),
            (&other_class, |error| matches!(error, StoreError::SopClassMismatch(_)), true),
            (&other_instance, |error| matches!(error, StoreError::SopInstanceMismatch(_)), true),
            (&long_instance, |error| matches!(error, StoreError::SopInstanceMismatch(_)), true),
        ];
        for (data, is_expected, passes_in_dcmrecv) in cases {
            let (memory, store) = in_memory(|_| {});
            send(&store, "1.2.3", &[&good]).unwrap();
            let before = memory.files();
            for cut in [0, data.len() / 2, data.len()] {
                let error = send(&store, "1.2.3", &[&data[..cut], &data[cut..]]).unwrap_err();
                assert!(is_expected(&error), "{error}");
                assert_eq!(memory.files(), before);
            }
            let (_, dcmrecv) = in_memory(|options| options.dialect = Dialect::Dcmrecv);
            let result = send(&dcmrecv, "1.2.3", &[data]);
            assert_eq!(result.is_ok(), passes_in_dcmrecv, "{result:?}");
            let (memory, ignoring) = in_memory(|options| options.mode = StoreMode::Ignore);
            let is_broken = matches!(send(&ignoring, "1.2.3", &[data]), Err(StoreError::Scan(_)));
            assert_eq!(is_broken, data.len() == good.len() - 1);
            assert!(memory.files().is_empty());
            let (memory, preserving) = in_memory(|options| options.mode = StoreMode::BitPreserving);
            send(&preserving, "1.2.3", &[data]).unwrap();
            assert!(memory.files()["CT.1.2.3"].ends_with(data));
        }
    }

    /// DCMTK 3.6.7, `-up`: padding around UIDs does not count.
    #[test]
    fn padded_uids_are_equal() {
        let (_, store) = in_memory(|_| {});
        for padded in ["1.2.3 ", " 1.2.3", "1.2.3\0\0", "1.2.3   "] {
            send(&store, "1.2.3", &[&data_set(CT, padded, b"")]).unwrap();
        }
    }

    /// After an error the rest of the message is swallowed; the writer cannot finish.
    #[test]
    fn the_rest_is_swallowed() {
        let (memory, store) = in_memory(|_| {});
        let mut writer = store.begin(&request("1.2.3"));
        writer.append(&[&data_set(CT, "1.2.3", b"xx")]).unwrap();
        assert_eq!(memory.files().len(), 1);
        writer.append(&[b"\xfe\xff\x0d\xe0\0\0\0\0"]).unwrap_err();
        assert!(memory.files().is_empty() && writer.is_abandoned());
        writer.append(&[&[0; 100]]).unwrap();
        assert!(matches!(writer.finish(), Err(StoreError::Abandoned)));
        let mut dropped = store.begin(&request("1.2.3"));
        dropped.append(&[&data_set(CT, "1.2.3", b"xx")]).unwrap();
        drop(dropped);
        assert!(memory.files().is_empty());
    }

    /// A command without instance UID gives no file called `CT.`.
    #[test]
    fn no_uid_no_name() {
        let (memory, store) = in_memory(|options| options.mode = StoreMode::BitPreserving);
        let error = send(&store, "", &[b"anything"]).unwrap_err();
        assert!(matches!(error, StoreError::MissingUid(_)), "{error}");
        assert!(memory.files().is_empty());
    }

    // ---- Duplicates and names ----------------------------------------------------------------

    /// DIFFERENCES.md A5, in every durability mode.
    #[test]
    fn duplicates() {
        for durability in MODES {
            for policy in [DuplicatePolicy::Replace, DuplicatePolicy::Keep, DuplicatePolicy::Reject]
            {
                let (memory, store) = in_memory(|options| {
                    options.durability = durability;
                    options.duplicates = policy;
                });
                let (one, other) = (data_set(CT, "1.2.3", b"11"), data_set(CT, "1.2.3", b"22"));
                send(&store, "1.2.3", &[&one]).unwrap();
                let again = send(&store, "1.2.3", &[&one]).unwrap();
                assert_eq!(again.duplicate, Duplicate::Identical);
                let result = send(&store, "1.2.3", &[&other]);
                let stays = match (policy, result) {
                    (DuplicatePolicy::Replace, Ok(stored)) => {
                        assert_eq!(stored.duplicate, Duplicate::Replaced);
                        &other
                    }
                    (DuplicatePolicy::Keep, Ok(stored)) => {
                        assert_eq!(stored.duplicate, Duplicate::Kept);
                        &one
                    }
                    (DuplicatePolicy::Reject, Err(StoreError::DuplicateRejected { .. })) => &one,
                    (_, result) => panic!("{result:?}"),
                };
                assert_eq!(names(&memory), ["CT.1.2.3"]);
                assert!(memory.files()["CT.1.2.3"].ends_with(stays));
            }
        }
    }

    /// Names that hold no UID never meet an existing file.
    #[test]
    fn names_are_counted_up() {
        let data = data_set(CT, "1.2.3", b"");
        for (naming, expected) in [
            (FileNaming::SystemTime, ["19700101000000000.CT", "19700101000000000_0000.CT"]),
            (
                FileNaming::SystemTimeMicroseconds,
                ["19700101000000.000000.CT", "19700101000000.000000_0000.CT"],
            ),
            (FileNaming::ShortUnique, ["CT_0000000000000000", "CT_0000000000000001"]),
        ] {
            for durability in MODES {
                let (memory, store) = in_memory(|options| {
                    options.file_naming = naming;
                    options.durability = durability;
                });
                for expected in expected {
                    assert_eq!(send(&store, "1.2.3", &[&data]).unwrap().file_name, expected);
                }
                assert_eq!(memory.files().len(), 2);
            }
        }
    }

    /// limits::NAME_ATTEMPTS_MAX names are tried beside the first: the last of them is taken, and then
    /// there is no name any more, and nothing is left.
    #[test]
    fn edge_of_tried_names() {
        let data = data_set(CT, "1.2.3", b"");
        let (memory, store) = in_memory(|options| options.file_naming = FileNaming::SystemTime);
        memory.occupy("19700101000000000.CT");
        for serial in 0..NAME_ATTEMPTS_MAX - 1 {
            memory.occupy(&format!("19700101000000000_{serial:04}.CT"));
        }
        let last = send(&store, "1.2.3", &[&data]).unwrap();
        assert_eq!(last.file_name, format!("19700101000000000_{}.CT", NAME_ATTEMPTS_MAX - 1));
        let refused = send(&store, "1.2.3", &[&data]);
        assert!(matches!(refused, Err(StoreError::NoFreeName { .. })), "{refused:?}");
        assert_eq!(names(&memory).len(), NAME_ATTEMPTS_MAX as usize + 1);
    }

    /// dcmrecv's `+ssd`.
    #[test]
    fn subdirectories_by_series_date() {
        let (memory, store) =
            in_memory(|options| options.subdirectory = SubdirectoryNaming::SeriesDate);
        let stored = send(&store, "1.2.3", &[&data_set(CT, "1.2.3", b"")]).unwrap();
        assert_eq!(stored.path.unwrap(), PathBuf::from("memory/data/2020/01/03/CT.1.2.3"));
        assert_eq!(names(&memory), ["data/2020/01/03/CT.1.2.3"]);
    }

    /// DIFFERENCES.md F1: the caller is told.
    #[test]
    fn hostile_uid() {
        let (memory, store) = in_memory(|options| options.dialect = Dialect::Dcmrecv);
        let stored = send(&store, "../../x", &[&data_set(CT, "../../x", b"")]).unwrap();
        assert_eq!(stored.name_warning.unwrap().encoded, ".._2F.._2Fx");
        assert_eq!(names(&memory), ["CT..._2F.._2Fx"]);
    }

    // ---- Studies -----------------------------------------------------------------------------

    fn course(store: &Arc<Store>) -> Arc<Course> {
        let title = AeTitle::new(b"SCU");
        let peer = "127.0.0.1".parse().unwrap();
        let origin = Origin { calling: title, called: title, peer };
        Arc::new(store.studies().unwrap().course(origin))
    }

    fn of_study(study: &str, uid: &str, pixels: &[u8]) -> Vec<u8> {
        [
            element(8, 0x16, "UI", CT.as_bytes()),
            element(8, 0x18, "UI", uid.as_bytes()),
            element(0x10, 0x10, "PN", b"Doe^Jane"),
            element(0x20, 0x0D, "UI", study.as_bytes()),
            element(0x7FE0, 0x10, "OW", pixels),
        ]
        .concat()
    }

    fn send_sorted(
        store: &Arc<Store>,
        course: &Arc<Course>,
        uid: &str,
        data: &[u8],
    ) -> Result<Stored, StoreError> {
        course.message_begins(Instant::now());
        let mut writer = store.begin_in(&request(uid), Some(Arc::clone(course)));
        writer.append(&[data])?;
        writer.finish()
    }

    /// `-ss`, `-su`, `-sp`: a folder for each study, with a clock that stands still.
    #[test]
    fn sorted_by_study() {
        use SubdirectoryNaming::{PatientName, StudyTime, StudyUid};
        for (naming, prefix, folders) in [
            (StudyTime, "ST", ["ST_19700101_000000000", "ST_19700101_000000000_0000"]),
            (StudyUid, "ST", ["ST_9.1", "ST_9.2"]),
            (PatientName, "", ["Doe_Jane_19700101_000000000", "Doe_Jane_19700101_000000000_0000"]),
        ] {
            let (memory, store) = in_memory(|options| {
                options.subdirectory = naming;
                options.study_prefix = prefix.into();
            });
            let course = course(&store);
            let mut expected = Vec::new();
            for (number, study) in [(1, 0), (2, 0), (3, 1)] {
                let uid = format!("1.{number}");
                let data = of_study(["9.1", "9.2"][study], &uid, b"");
                let stored = send_sorted(&store, &course, &uid, &data).unwrap();
                let path = format!("{}/CT.{uid}", folders[study]);
                assert_eq!(stored.path.unwrap(), PathBuf::from(format!("memory/{path}")));
                let study = stored.study.unwrap();
                assert_eq!(study.begun.is_some(), number != 2);
                assert_eq!(study.ended.len(), usize::from(number == 3));
                expected.push(path);
            }
            expected.sort();
            assert_eq!(names(&memory), expected);
        }
    }

    /// What is refused has no folder, and its association goes on in its study.
    #[test]
    fn refused_by_study() {
        let (memory, store) =
            in_memory(|options| options.subdirectory = SubdirectoryNaming::StudyUid);
        let course = course(&store);
        send_sorted(&store, &course, "1.1", &of_study("9.1", "1.1", b"")).unwrap();
        let long = "9".repeat(66);
        for study in ["", " ", &long] {
            let result = send_sorted(&store, &course, "1.2", &of_study(study, "1.2", b""));
            assert!(matches!(result, Err(StoreError::MissingStudyUid)), "{study}");
        }
        let other = of_study("9.2", "1.3", b"");
        let result = send_sorted(&store, &course, "1.2", &other);
        assert!(matches!(result, Err(StoreError::SopInstanceMismatch(_))));
        assert_eq!(memory.directories().into_iter().collect::<Vec<_>>(), ["9.1"]);
        let again = send_sorted(&store, &course, "1.3", &of_study("9.1", "1.3", b"")).unwrap();
        assert!(again.study.unwrap().begun.is_none());
    }

    /// PROMISES.md §8.1 where studies are sorted: no file, no folder, and the study does not begin.
    #[test]
    fn every_call_of_a_sorted_store_may_fail() {
        for durability in MODES {
            for is_permanent in [false, true] {
                for fail_at in 1.. {
                    let memory = Memory::default();
                    let plan = Plan::new(fail_at, is_permanent, libc::ENOSPC);
                    let faulty = Faulty::new(Arc::new(memory.clone()), Arc::clone(&plan));
                    let store = store(Arc::new(faulty), |options| {
                        options.durability = durability;
                        options.subdirectory = SubdirectoryNaming::StudyUid;
                    });
                    let course = course(&store);
                    let data = of_study("9.1", "1.1", b"22");
                    let result = send_sorted(&store, &course, "1.1", &data);
                    if !plan.has_failed() {
                        result.unwrap();
                        break;
                    }
                    let error = result.unwrap_err();
                    assert!(
                        matches!(error, StoreError::Io(_) | StoreError::StudyFolder(_)),
                        "{error}"
                    );
                    assert!(memory.files().is_empty(), "call {fail_at}: {error}");
                    assert!(memory.directories().is_empty(), "call {fail_at}: {error}");
                    plan.end();
                    let stored = send_sorted(&store, &course, "1.1", &data).unwrap();
                    assert!(stored.study.unwrap().begun.is_some());
                }
            }
        }
    }

    /// P3 where studies are sorted: the folder of a stored object survives, made anew or not.
    #[test]
    fn a_power_cut_spares_folders_of_studies() {
        for durability in [Durability::Group, Durability::Each] {
            for seed in 1..40 {
                let (memory, store) = in_memory(|options| {
                    options.durability = durability;
                    options.subdirectory = SubdirectoryNaming::StudyUid;
                    options.study_prefix = String::new();
                });
                let course = course(&store);
                send_sorted(&store, &course, "1.1", &of_study("9.1", "1.1", b"")).unwrap();
                // Somebody takes the study away; its folder is made again.
                for name in names(&memory) {
                    memory.forget(&name);
                }
                memory.remove_directory("9.1").unwrap();
                send_sorted(&store, &course, "1.2", &of_study("9.1", "1.2", b"")).unwrap();
                let survived = memory.after_crash(&mut chooser(seed));
                assert!(survived.files().contains_key("9.1/CT.1.2"), "{seed}");
            }
        }
    }

    /// `-rns`: numbers in order of arrival, never over a name that is taken (DIFFERENCES.md A6).
    #[test]
    fn renumbered() {
        let (memory, store) = in_memory(|options| {
            options.subdirectory = SubdirectoryNaming::StudyUid;
            options.renames = true;
            options.extension = ".dcm".into();
        });
        let course = course(&store);
        let mut told = Vec::new();
        for uid in ["1.2", "1.1", "1.1", "1.3"] {
            send_sorted(&store, &course, uid, &of_study("9.1", uid, uid.as_bytes())).unwrap();
        }
        for ended in store.studies().unwrap().end_all() {
            store.renumber(&ended, &mut |renaming| told.push(renaming));
        }
        assert_eq!(names(&memory), ["9.1/CT000001", "9.1/CT000002", "9.1/CT000004"]);
        assert!(matches!(&told[..], [Renaming::Failed { to, .. }] if to.ends_with("CT000003")));
        assert!(memory.files()["9.1/CT000001"].windows(3).any(|text| text == b"1.2"));
        send_sorted(&store, &course, "1.1", &of_study("9.1", "1.1", b"again")).unwrap();
        for ended in store.studies().unwrap().end_all() {
            store.renumber(&ended, &mut |renaming| told.push(renaming));
        }
        assert!(matches!(&told[1..], [Renaming::NumberedOn { number: 5, .. }]), "{told:?}");
        assert!(memory.files()["9.1/CT000005"].ends_with(&of_study("9.1", "1.1", b"again")));
    }

    // ---- Faults ------------------------------------------------------------------------------

    /// What an association may meet: a new object, one that is stored already, another of its name.
    const BEFORE: [Option<&[u8]>; 3] = [None, Some(b"22"), Some(b"11")];

    /// PROMISES.md §8.1: the n-th call fails, for all n, once and from then on.
    #[test]
    fn every_call_may_fail() {
        let new = data_set(CT, "1.2.3", b"22");
        for durability in MODES {
            for subdirectory in [SubdirectoryNaming::None, SubdirectoryNaming::SeriesDate] {
                for before in BEFORE {
                    for is_permanent in [false, true] {
                        let mut faults = 0;
                        for fail_at in 1.. {
                            let memory = Memory::default();
                            let sound = store(Arc::new(memory.clone()), |options| {
                                options.subdirectory = subdirectory;
                            });
                            if let Some(pixels) = before {
                                let old = data_set(CT, "1.2.3", pixels);
                                send(&sound, "1.2.3", &[&old]).unwrap();
                            }
                            let files = memory.files();
                            let plan = Plan::new(fail_at, is_permanent, libc::ENOSPC);
                            let faulty = Faulty::new(Arc::new(memory.clone()), Arc::clone(&plan));
                            let store = store(Arc::new(faulty), |options| {
                                options.durability = durability;
                                options.subdirectory = subdirectory;
                            });
                            let result = send(&store, "1.2.3", &[&new[..60], &new[60..]]);
                            if let Err(error) = &result {
                                assert!(matches!(error, StoreError::Io(_)), "{error}");
                                assert_eq!(memory.files(), files, "call {fail_at}: {error}");
                                faults += 1;
                            } else {
                                let files = memory.files();
                                assert_eq!(files.len(), 1);
                                assert!(files.into_values().all(|file| file.ends_with(&new)));
                            }
                            send(&sound, "1.2.3", &[&new]).unwrap();
                            assert_eq!(memory.files().len(), 1);
                            if !plan.has_failed() {
                                break;
                            }
                            // Only a failing syncfs is made good by other calls.
                            assert!(result.is_err(), "call {fail_at} of {durability:?}");
                        }
                        assert!(faults >= 4, "{faults}");
                    }
                }
            }
        }
    }

    /// Data sets by the last component of their UID.
    type Objects = BTreeMap<u8, Vec<u8>>;

    /// A generator of choices for the forgetful disk.
    fn chooser(seed: u64) -> impl FnMut(usize) -> usize {
        let mut state = seed | 1;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        }
    }

    proptest! {
        /// Any split of the bytes makes the same file.
        #[test]
        fn any_split_makes_the_same_file(
            pixels in proptest::collection::vec(any::<u8>(), 0..300),
            cuts in proptest::collection::vec(0..400usize, 0..10),
        ) {
            let data = data_set(CT, "1.2.3", &pixels);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (data.len() + 1)).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect();
            let (whole, store) = in_memory(|_| {});
            send(&store, "1.2.3", &[&data]).unwrap();
            let (split, store) = in_memory(|_| {});
            send(&store, "1.2.3", &pieces).unwrap();
            prop_assert_eq!(whole.files(), split.files());
        }

        /// PROMISES.md §8.3: the power is cut at any call. What was acknowledged in a
        /// durable mode is there, whole; what is visible is whole; nothing else is.
        #[test]
        fn a_power_cut_loses_nothing_acknowledged(
            objects in proptest::collection::vec((0..3u8, any::<u8>(), 1..200usize), 1..6),
            crash_at in 1..60u64,
            seed in any::<u64>(),
            group in any::<bool>(),
            with_directories in any::<bool>(),
        ) {
            let memory = Memory::default();
            let acknowledged: Arc<Mutex<Objects>> = Arc::default();
            let after: Arc<Mutex<Option<(Memory, Objects)>>> = Arc::default();
            let at_fault = {
                let (memory, acknowledged, after) =
                    (memory.clone(), Arc::clone(&acknowledged), Arc::clone(&after));
                move || {
                    let survived = memory.after_crash(&mut chooser(seed));
                    *after.lock().unwrap() = Some((survived, acknowledged.lock().unwrap().clone()));
                }
            };
            let plan = Plan::crash(crash_at, Box::new(at_fault));
            let faulty = Faulty::new(Arc::new(memory.clone()), plan);
            let store = store(Arc::new(faulty), |options| {
                options.durability = if group { Durability::Group } else { Durability::Each };
                if with_directories {
                    options.subdirectory = SubdirectoryNaming::SeriesDate;
                }
            });
            let mut sent: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
            for (uid, byte, size) in objects {
                let name = format!("1.2.{uid}");
                let data = data_set(CT, &name, &vec![byte; size]);
                sent.entry(uid).or_default().push(data.clone());
                if send(&store, &name, &[&data]).is_err() {
                    break;
                }
                acknowledged.lock().unwrap().insert(uid, data);
            }
            let (survived, promised) = after.lock().unwrap().take().unwrap_or_else(|| {
                (memory.after_crash(&mut chooser(seed)), acknowledged.lock().unwrap().clone())
            });
            survived.remove_stale_parts().unwrap();
            let directory = if with_directories { "data/2020/01/03/" } else { "" };
            let mut files = survived.files();
            for (uid, tries) in &sent {
                let file = files.remove(&format!("{directory}CT.1.2.{uid}"));
                if let Some(file) = &file {
                    prop_assert!(tries.iter().any(|data| file.ends_with(data)), "half a file");
                    prop_assert_eq!(&file[128..132], b"DICM");
                }
                if let Some(promised) = promised.get(uid) {
                    // A later object of the same name may have taken its place, whole.
                    let at = tries.iter().rposition(|data| data == promised).unwrap_or(0);
                    let file = file.unwrap_or_default();
                    prop_assert!(tries[at..].iter().any(|data| file.ends_with(data)), "lost");
                }
            }
            prop_assert!(files.is_empty());
        }
    }
}
