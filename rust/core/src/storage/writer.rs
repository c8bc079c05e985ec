//! One instance from its first fragment to the published file.
//!
//! A [`Store`] (`store`) is built once from the options (`options`) and shared; each C-STORE gets an
//! [`InstanceWriter`], which stands here. What is re-encoded takes the way of `encoding`; what became of
//! an object stands in `stored`, why it was refused in `error`.
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

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::dataset::breaks::Break;
use crate::dataset::oddities::Oddities;
use crate::dataset::scan::{ScanWarnings, Scanner};
use crate::limits::{
    HEAD_HOLD_BYTES_MAX, NAME_ATTEMPTS_MAX, REWRITE_HELD_BYTES_MAX, WRITE_SLICES_MAX,
};
use crate::storage::backend::PartFile;
use crate::storage::durability::{Committed, IoFailure, Operation, SyncedPart};
use crate::storage::file_meta::{FILE_META_BYTES_TYPICAL, FileMeta};
use crate::storage::naming::{AreaPath, FolderWarning, NameParts, NameWarning, StudyParts};
use crate::storage::re_encode::Way;
use crate::storage::studies::{Course, Place};
use crate::tag::{self, Tag};
use crate::uid::{
    IMPLEMENTATION_VERSION_NAME, IMPLEMENTATION_VERSION_NAME_BIT_PRESERVING, Uid, UidText,
};
use crate::vr::trimmed;

mod encoding;
mod error;
mod options;
mod store;
mod stored;
pub(crate) mod uids;

pub use error::{StoreError, UidMismatch};
pub use options::{Dialect, DuplicatePolicy, InstanceRequest, StoreMode, StoreOptions};
pub use store::Store;
pub use stored::{Begun, Duplicate, Evicted, Stored, StoredStudy};

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

/// One instance on its way; dropping it leaves nothing behind.
pub struct InstanceWriter {
    store: Arc<Store>,
    /// Where studies are sorted.
    course: Option<Arc<Course>>,
    /// The study that the instance has a place in, from when it is complete.
    study: Option<(UidText, Place<Begun>)>,
    /// What is odd about the patient's name, where a folder has it.
    patient_warning: Option<FolderWarning>,
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
        self.patient_warning = self.store.naming.patient_warning(&parts);
        self.study = Some((study, place));
        Ok(())
    }

    /// The instance is stored: it belongs to its study.
    fn settle_study(&mut self, name: &str) -> Option<StoredStudy> {
        let (course, (study, place)) = (self.course.as_ref()?, self.study.take()?);
        Some(StoredStudy {
            folder: self.store.path_of_folder(&place.folder),
            begun: place.news,
            patient_warning: self.patient_warning.take(),
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
mod tests;
