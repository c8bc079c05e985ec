//! An output directory with its rules, shared by all associations: it begins the writers, and makes the
//! folders of studies.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::StoreError;
use super::options::{Dialect, InstanceRequest, StoreMode, StoreOptions};
use super::stored::Begun;
use super::{InstanceWriter, WANTED, WANTED_SORTED};
use crate::dataset::scan::Scanner;
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::limits::{FOLDER_CLOCK_WAITS_MAX, NAME_ATTEMPTS_MAX};
use crate::storage::backend::{Backend, Disk, NameSource, SystemNameSource};
use crate::storage::durability::{Committer, IoFailure, Operation};
use crate::storage::naming::{
    AreaPath, FileNaming, LocalTime, NameParts, Naming, StudyParts, SubdirectoryNaming,
};
use crate::storage::re_encode::Way;
use crate::storage::studies::{Course, Studies};
use crate::tag::Tag;
use crate::uid::Uid;

/// One output directory with its rules, shared by all associations.
pub struct Store {
    pub(super) options: StoreOptions,
    pub(super) naming: Naming,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) committer: Committer,
    pub(super) names: Arc<dyn NameSource>,
    /// Where studies are sorted.
    pub(super) studies: Option<Arc<Studies>>,
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

    pub(in crate::storage) const fn naming(&self) -> &Naming {
        &self.naming
    }

    pub(in crate::storage) const fn committer(&self) -> &Committer {
        &self.committer
    }

    pub(in crate::storage) fn path_of(&self, target: &AreaPath) -> PathBuf {
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
            patient_warning: None,
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
    pub(super) fn way(&self, request: &InstanceRequest) -> Result<Option<Box<Way>>, Uid> {
        let StoreOptions { mode, encoding, .. } = self.options;
        let encoding = encoding.filter(|_| mode != StoreMode::BitPreserving);
        let way = encoding.map(|encoding| Way::new(request.transfer_syntax, encoding));
        match way.transpose() {
            Err(from) if mode == StoreMode::Ignore => Ok(Way::watching(from).map(Box::new)),
            way => Ok(way?.map(Box::new)),
        }
    }

    /// Local time, where a name or directory is made of it; the clock is not asked otherwise.
    pub(super) fn time_for_names(&self) -> LocalTime {
        let needs_time = self.naming.subdirectory_naming() == SubdirectoryNaming::SeriesDate
            || matches!(
                self.naming.file_naming(),
                FileNaming::SystemTime | FileNaming::SystemTimeMicroseconds
            );
        if needs_time { self.names.local_time() } else { LocalTime::EPOCH }
    }

    pub(super) fn chance_for_names(&self) -> u128 {
        match self.naming.file_naming() {
            FileNaming::UniqueUid | FileNaming::ShortUnique => self.names.chance(),
            _ => 0,
        }
    }

    /// Makes the folder of a study that begins.
    ///
    /// A folder named by the time is nobody else's. The clock is asked again where its name is
    /// taken, and a serial number follows where that does not help (DIFFERENCES.md F3).
    pub(super) fn make_folder(
        &self,
        parts: &StudyParts<'_>,
    ) -> Result<(Arc<str>, Begun), StoreError> {
        let may_be_there = self.naming.subdirectory_naming() == SubdirectoryNaming::StudyUid;
        let (mut waits, mut serial) = (0, 0);
        loop {
            let time = self.names.local_time();
            let (folder, warning) = self.naming.study_folder(parts, time, serial);
            match self.committer.make_directory(&folder) {
                Ok(is_new) if is_new || may_be_there => {
                    return Ok((folder.into(), Begun { is_new, warning }));
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
