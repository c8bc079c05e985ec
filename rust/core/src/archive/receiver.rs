//! One instance from its first fragment to the journal.
//!
//! Small objects gather in memory, right where the journal record will have them; one that outgrows
//! [`JOURNALED_OBJECT_BYTES_MAX`] moves to a spool file, and fragments go there uncopied; one that is
//! certain to be re-encoded does so beyond [`REWRITE_HELD_BYTES_MAX`]. The scanner sees each byte as it
//! passes; the digest, too, or at the end all that is in memory. Everything is checked in every mode, also with `+B`
//! (DIFFERENCES.md A4): an archive lists what it stores, so it must understand it. With `--ignore`
//! the structure alone is.
//!
//! ```text
//! structure is not whole                       C000H
//! UIDs missing in the data set                 C000H
//! UIDs other than the command's                A900H
//! the class is no storage class                0122H, with +B C000H (DCMTK 3.6.7)
//! no Study Instance UID                        stored, listed with an empty one (DCMTK 3.6.7)
//! ```
//!
//! A receiver that fails or is dropped leaves nothing. Called by `server::store`.

use std::io::{self, IoSlice, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::area::StorageArea;
use super::layout;
use super::record::{FILE_AT, FileSource, StoreChange};
use crate::dataset::breaks::Break;
use crate::dataset::oddities::Oddities;
use crate::dataset::scan::{ScanWarnings, Scanner};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dictionary::uids::storage_prefix;
use crate::index::{FileLocation, InstanceEntry, attributes};
use crate::limits::{JOURNALED_OBJECT_BYTES_MAX, REWRITE_HELD_BYTES_MAX, WRITE_SLICES_MAX};
use crate::storage::backend::tree::{Access, Tree, TreeFile};
use crate::storage::crash_point::crash_point;
use crate::storage::durability::{IoFailure, Operation};
use crate::storage::file_meta::{FILE_META_BYTES_TYPICAL, FileMeta};
use crate::storage::re_encode::Way;
use crate::storage::writer::{Duplicate, InstanceRequest, StoreError, StoreMode, Stored, uids};
use crate::tag::{self, Tag};
use crate::uid::{
    IMPLEMENTATION_VERSION_NAME, IMPLEMENTATION_VERSION_NAME_BIT_PRESERVING, Uid, UidText,
};
use crate::vr::trimmed;

/// Values that the scanner keeps for the checks.
static WANTED: [Tag; 2] = [tag::SOP_CLASS_UID, tag::SOP_INSTANCE_UID];
/// The storage class that DCMTK has no file name prefix for.
const PAGE_DESCRIPTION_STORAGE: &[u8] = b"1.2.840.10008.5.1.1.50";

/// One instance on its way; dropping it leaves nothing behind.
pub struct Receiver {
    area: Arc<StorageArea>,
    request: InstanceRequest,
    scanner: Option<Scanner>,
    /// How the data set is re-encoded, where it may be; the transfer syntax that has no way.
    way: Result<Option<Way>, Uid>,
    has_checked_uids: bool,
    content: Content,
    head_bytes: usize,
    data_set_bytes: u64,
    is_abandoned: bool,
}

enum Content {
    /// The file so far, with room for the record's head in front.
    Memory(Vec<u8>),
    Spool(Spool),
}

impl Content {
    /// It cannot be read back; memory always can, and a re-encoder may find other reasons.
    fn read_failure(&self, area: &StorageArea, source: io::Error) -> IoFailure {
        match self {
            Self::Spool(spool) => spool.failure(Operation::Read, source),
            Self::Memory(_) => {
                let path = area.tree().path_of(layout::SPOOL);
                IoFailure { operation: Operation::Read, path, source }
            }
        }
    }
}

/// A large object's file on its way; removed when dropped, unless it was handed over.
pub(super) struct Spool {
    tree: Arc<dyn Tree>,
    pub(super) number: u64,
    file: Option<Box<dyn TreeFile>>,
    /// Of the data set so far. Its state is large and aligned to 64 bytes, which costs an allocator more
    /// than all of a small object's checks: those in memory are digested at once.
    digest: Box<Xxh3>,
    is_kept: bool,
}

impl Spool {
    fn create(area: &StorageArea) -> Result<Self, IoFailure> {
        let tree = Arc::clone(area.tree());
        loop {
            let number = area.spool_count().fetch_add(1, Ordering::Relaxed);
            match tree.create(&layout::spool_file(number), Access::Umask) {
                Ok(file) => {
                    let digest = Box::new(Xxh3::new());
                    return Ok(Self { tree, number, file: Some(file), digest, is_kept: false });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    let path = tree.path_of(&layout::spool_file(number));
                    return Err(IoFailure { operation: Operation::Create, path, source });
                }
            }
        }
    }

    /// Digests bytes of the data set.
    fn note(&mut self, fragments: &[&[u8]]) {
        for fragment in fragments {
            self.digest.update(fragment);
        }
    }

    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> Result<(), IoFailure> {
        let written = match &mut self.file {
            Some(file) => file.append(slices),
            None => Err(std::io::Error::other("spool file is closed")),
        };
        written.map_err(|source| self.failure(Operation::Write, source))
    }

    /// All is written; when `is_durable` it survives a power cut from now on.
    pub(super) fn secure(&self, is_durable: bool) -> Result<(), IoFailure> {
        let Some(file) = &self.file else { return Ok(()) };
        crash_point("before_spool_sync");
        if is_durable {
            file.sync_data().map_err(|source| self.failure(Operation::Sync, source))?;
            if !self.tree.syncs_names_with_contents() {
                self.tree
                    .sync_directory(layout::SPOOL)
                    .map_err(|source| self.failure(Operation::SyncDirectory, source))?;
            }
        }
        crash_point("after_spool_sync");
        Ok(())
    }

    /// Ends writing; an error means that content is lost, unless it was synced before.
    pub(super) fn close(&mut self) -> Result<(), IoFailure> {
        let Some(file) = self.file.take() else { return Ok(()) };
        file.close().map_err(|source| self.failure(Operation::Close, source))
    }

    /// True until it is closed.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// The journal names it now.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    fn failure(&self, operation: Operation, source: std::io::Error) -> IoFailure {
        IoFailure { operation, path: self.tree.path_of(&layout::spool_file(self.number)), source }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.is_kept {
            // Nothing can be done when this fails; the next start removes it.
            let _ = self.tree.remove(&layout::spool_file(self.number));
        }
    }
}

impl Receiver {
    pub(super) fn new(area: &Arc<StorageArea>, request: &InstanceRequest) -> Self {
        let from = request.transfer_syntax;
        let transfer_syntax = TransferSyntax::of(&from);
        let way = match (area.options().encoding, area.options().mode) {
            (None, _) => Ok(None),
            (Some(encoding), StoreMode::Normal) => Way::new(from, encoding).map(Some),
            (Some(_), StoreMode::BitPreserving | StoreMode::Ignore) => Ok(Way::watching(from)),
        };
        Self {
            way,
            area: Arc::clone(area),
            request: *request,
            scanner: Some(Scanner::with_index_keys(transfer_syntax, &WANTED, &attributes::WANTED)),
            has_checked_uids: false,
            content: Content::Memory(Vec::new()),
            head_bytes: 0,
            data_set_bytes: 0,
            is_abandoned: false,
        }
    }

    /// Takes the next fragments of the data set, in order.
    ///
    /// An error is told once; what still comes is swallowed then, so that the rest of the message
    /// can be read off the association.
    pub fn append(&mut self, fragments: &[&[u8]]) -> Result<(), StoreError> {
        if self.is_abandoned {
            self.look_on(fragments);
            return Ok(());
        }
        let has_no_way = self.way.is_err();
        let result = self.try_append(fragments);
        if let Err(error) = &result {
            self.is_abandoned = true;
            self.content = Content::Memory(Vec::new());
            if !has_no_way && !error.is_about_uids() {
                self.scanner = None;
            }
        }
        result
    }

    /// What is odd about the bytes that came, also where they are not stored; it is told once.
    pub fn take_oddities(&mut self) -> Oddities {
        let way = self.way.as_mut().ok().and_then(Option::as_mut);
        way.map(Way::take_oddities).unwrap_or_default()
    }

    /// What breaks the data set, if it ends here; for one who tells why it was refused.
    pub fn break_at_end(&self) -> Option<Break> {
        self.way.as_ref().ok()?.as_ref()?.break_at_end()
    }

    /// DCMTK reads an object to its end before it refuses it, and tells what is odd about all of it.
    fn look_on(&mut self, fragments: &[&[u8]]) {
        let (Some(scanner), Ok(Some(way))) = (&mut self.scanner, &mut self.way) else { return };
        if !way.look_on(scanner, fragments) {
            self.scanner = None;
        }
    }

    /// The data set is complete: checks it and stores it.
    pub fn finish(self) -> Result<Stored, StoreError> {
        if self.is_abandoned {
            return Err(StoreError::Abandoned);
        }
        self.try_finish()
    }

    /// True after an error: what is appended now is thrown away.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }

    /// Bytes of the data set taken so far.
    pub fn data_set_bytes(&self) -> u64 {
        self.data_set_bytes
    }

    fn try_append(&mut self, fragments: &[&[u8]]) -> Result<(), StoreError> {
        let bytes: usize = fragments.iter().map(|fragment| fragment.len()).sum();
        self.data_set_bytes += bytes as u64;
        if let Err(from) = self.way {
            self.way = Ok(Way::watching(from));
            self.look_on(fragments);
            return Err(StoreError::Unconvertible(from));
        }
        let Some(scanner) = &mut self.scanner else { return Ok(()) };
        let way = self.way.as_mut().map_err(|from| StoreError::Unconvertible(*from))?;
        for fragment in fragments {
            match way {
                Some(way) => scanner.feed_and_show(fragment, |bytes| way.look(bytes))?,
                None => scanner.feed(fragment)?,
            }
        }
        if self.area.options().mode == StoreMode::Ignore {
            return Ok(());
        }
        self.check_uids(false)?;
        if matches!(&self.content, Content::Memory(record) if record.is_empty()) {
            self.content = Content::Memory(self.new_record(bytes));
        }
        self.append_content(fragments, bytes)
    }

    fn append_content(&mut self, fragments: &[&[u8]], bytes: usize) -> Result<(), StoreError> {
        match &mut self.content {
            Content::Memory(_) => self.gather(fragments, bytes),
            Content::Spool(spool) => {
                spool.note(fragments);
                write(spool, &[], fragments)
            }
        }
    }

    /// A record that begins with the head of the file.
    fn new_record(&mut self, bytes: usize) -> Vec<u8> {
        let room = bytes.min(JOURNALED_OBJECT_BYTES_MAX) + 2 * FILE_META_BYTES_TYPICAL;
        let mut record = self.area.new_record(room + ENTRY_BYTES_TYPICAL);
        let is_bit_preserving = self.area.options().mode == StoreMode::BitPreserving;
        if !self.area.options().has_file_meta {
            self.head_bytes = 0;
            return record;
        }
        FileMeta {
            // The data set's own are the same, or the object is refused.
            sop_class: trimmed(self.request.sop_class.as_bytes()),
            sop_instance: trimmed(self.request.sop_instance.as_bytes()),
            transfer_syntax: self.request.transfer_syntax.as_bytes(),
            version_name: if is_bit_preserving {
                IMPLEMENTATION_VERSION_NAME_BIT_PRESERVING
            } else {
                IMPLEMENTATION_VERSION_NAME
            },
            source_ae_title: Some(self.request.calling_ae_title.as_bytes()),
        }
        .encode(&mut record);
        self.head_bytes = record.len() - FILE_AT;
        record
    }

    /// Keeps the fragments in memory, or moves to a spool file. What will not stay as it is waits
    /// longer: it is written once then, and not read back.
    fn gather(&mut self, fragments: &[&[u8]], bytes: usize) -> Result<(), StoreError> {
        let will_change = matches!(&self.way, Ok(Some(way)) if way.will_change());
        let bytes_max =
            if will_change { REWRITE_HELD_BYTES_MAX } else { JOURNALED_OBJECT_BYTES_MAX };
        let Content::Memory(record) = &mut self.content else { return Ok(()) };
        if record.len() - FILE_AT + bytes > bytes_max {
            return self.spool(fragments);
        }
        for fragment in fragments {
            record.extend_from_slice(fragment);
        }
        Ok(())
    }

    /// Moves what is in memory to a spool file, and `fragments` behind it.
    fn spool(&mut self, fragments: &[&[u8]]) -> Result<(), StoreError> {
        let Content::Memory(record) = &self.content else { return Ok(()) };
        let mut spool = Spool::create(&self.area)?;
        spool.note(&[&record[FILE_AT + self.head_bytes..]]);
        spool.note(fragments);
        write(&mut spool, &record[FILE_AT..], fragments)?;
        self.content = Content::Spool(spool);
        Ok(())
    }

    /// Compares the UIDs of data set and command as soon as both are known; `is_complete` when no
    /// more can come.
    fn check_uids(&mut self, is_complete: bool) -> Result<(), StoreError> {
        let Some(scanner) = self.scanner.as_ref().filter(|_| !self.has_checked_uids) else {
            return Ok(());
        };
        let named = (self.request.sop_class, self.request.sop_instance);
        if !uids::agree(scanner, named, is_complete)? {
            return Ok(());
        }
        // A backslash separates values (PS3.5 §6.2), and the UID is one (PS3.3 §C.12.1).
        if self.request.sop_instance.as_bytes().contains(&b'\\') {
            return Err(StoreError::SeveralUids(self.request.sop_instance));
        }
        if !is_storage_class(trimmed(self.request.sop_class.as_bytes())) {
            let uid = self.request.sop_class;
            return Err(match self.area.options().mode {
                // DCMTK 3.6.7: it finds out when it reads the file back, and has another status.
                StoreMode::BitPreserving => StoreError::NotListable(uid),
                _ => StoreError::NotAStorageClass(uid),
            });
        }
        self.has_checked_uids = true;
        Ok(())
    }

    fn try_finish(mut self) -> Result<Stored, StoreError> {
        let Some(scanner) = &mut self.scanner else { return Err(StoreError::Abandoned) };
        let is_ignored = self.area.options().mode == StoreMode::Ignore;
        if self.data_set_bytes == 0 {
            let nothing = Stored::nothing(0, ScanWarnings::default());
            return if is_ignored { Ok(nothing) } else { Err(StoreError::Empty) };
        }
        scanner.finish()?;
        let scan_warnings = scanner.warnings();
        if is_ignored {
            return Ok(Stored::nothing(self.data_set_bytes, scan_warnings));
        }
        self.check_uids(true)?;
        let way = self.way.as_mut().map_err(|from| StoreError::Unconvertible(*from))?.take();
        if let Some(way) = way {
            self.re_encode(way)?;
        }
        let entry = Arc::new(self.entry());
        let file_bytes = entry.file_bytes;
        let area = Arc::clone(&self.area);
        let (location, duplicate, evicted) = match self.content {
            Content::Memory(record) => {
                let source = FileSource::Record(FILE_AT..record.len());
                area.store(StoreChange { entry, source, replaced: None }, record, None)?
            }
            Content::Spool(spool) => {
                let source = FileSource::Spool(spool.number);
                let record = area.new_record(ENTRY_BYTES_TYPICAL);
                area.store(StoreChange { entry, source, replaced: None }, record, Some(spool))?
            }
        };
        let path = area.path_of(&location);
        Ok(Stored {
            file_name: path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            path: Some(path),
            data_set_bytes: self.data_set_bytes,
            file_bytes,
            study: None,
            duplicate,
            name_warning: None,
            scan_warnings,
            evicted,
        })
    }

    /// Makes the content anew in the encoding that is asked for, unless it came in it.
    fn re_encode(&mut self, way: Way) -> Result<(), StoreError> {
        let (from, to) = (self.request.transfer_syntax, *way.target());
        self.request.transfer_syntax = to;
        let head_bytes = self.head_bytes;
        let mut record = Vec::new();
        let decided = way.decide(|| {
            record = self.new_record(0);
            self.head_bytes as u64
        });
        let decided = decided.map_err(|error| {
            error.into_store_error(from, |source| self.content.read_failure(&self.area, source))
        });
        let Some(change) = decided? else {
            self.head_bytes = head_bytes;
            let is_too_long = matches!(&self.content, Content::Memory(record)
                if record.len() - FILE_AT > JOURNALED_OBJECT_BYTES_MAX);
            return if is_too_long { self.spool(&[]) } else { Ok(()) };
        };
        if record.is_empty() {
            record = self.new_record(self.data_set_bytes as usize);
        }
        let arrived = core::mem::replace(&mut self.content, Content::Memory(record));
        self.data_set_bytes = 0;
        let mut append = |block: &[u8]| {
            self.data_set_bytes += block.len() as u64;
            self.append_content(&[block], block.len())
        };
        let result = match &arrived {
            Content::Memory(record) => {
                let data_set = record.get(FILE_AT + head_bytes..).unwrap_or_default();
                change.apply_to(data_set, &mut append)
            }
            Content::Spool(spool) => {
                let base = head_bytes as u64;
                change.apply(SpooledBytes { spool, base, at: 0 }, &mut append)
            }
        };
        result.map_err(|error| {
            error.into_store_error(from, |source| arrived.read_failure(&self.area, source))
        })
    }

    /// XXH3-128 of the data set as it is stored.
    fn digest(&self) -> u128 {
        match &self.content {
            Content::Memory(record) => {
                xxh3_128(record.get(FILE_AT + self.head_bytes..).unwrap_or_default())
            }
            Content::Spool(spool) => spool.digest.digest128(),
        }
    }

    fn entry(&mut self) -> InstanceEntry {
        let attributes = self.scanner.as_mut().map(Scanner::take_attributes).unwrap_or_default();
        InstanceEntry {
            attributes,
            sop_class: UidText::new(trimmed(self.request.sop_class.as_bytes()))
                .unwrap_or(self.request.sop_class),
            sop_instance: UidText::new(trimmed(self.request.sop_instance.as_bytes()))
                .unwrap_or(self.request.sop_instance),
            transfer_syntax: self.request.transfer_syntax.text(),
            // Known when the journal has numbered it.
            location: FileLocation::Own(0),
            file_bytes: self.head_bytes as u64 + self.data_set_bytes,
            data_set_offset: self.head_bytes as u32,
            digest: self.digest(),
            received_at_us: self.area.arrival_us(),
            source_ae: self.request.calling_ae_title,
        }
    }
}

/// What a spool file holds, from an offset on.
struct SpooledBytes<'s> {
    spool: &'s Spool,
    base: u64,
    at: u64,
}

impl Read for SpooledBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &self.spool.file else {
            return Err(io::Error::other("spool file is closed"));
        };
        let count = file.read_at(buffer, self.base + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for SpooledBytes<'_> {
    /// From the start only: nobody needs the other ways.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = at;
        Ok(at)
    }
}

/// Room for an ordinary index entry behind the file.
const ENTRY_BYTES_TYPICAL: usize = 1536;

fn write(spool: &mut Spool, head: &[u8], fragments: &[&[u8]]) -> Result<(), StoreError> {
    let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
    let mut pieces =
        [head].into_iter().chain(fragments.iter().copied()).filter(|piece| !piece.is_empty());
    loop {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&mut pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        spool.append(&mut slices[..count])?;
    }
}

pub(crate) fn is_storage_class(uid: &[u8]) -> bool {
    storage_prefix(uid).is_some() || uid == PAGE_DESCRIPTION_STORAGE
}

impl Stored {
    /// `--ignore`: nothing is written.
    fn nothing(data_set_bytes: u64, scan_warnings: ScanWarnings) -> Self {
        Self {
            path: None,
            file_name: String::new(),
            data_set_bytes,
            file_bytes: 0,
            study: None,
            duplicate: Duplicate::None,
            name_warning: None,
            scan_warnings,
            evicted: Vec::new(),
        }
    }
}
