//! What the index would be told about a file that is there already.
//!
//! Reads the file once, from its head to its end: file meta information (PS3.10 §7.1), then the
//! whole data set through scanner and digest, as `archive::receiver` does when an object comes over
//! the network. A file that is not whole, or no storage object, is none for the index. A bare data
//! set is taken where it was named (DCMTK's dcmqridx loads them), from the archive's own files
//! (`--write-dataset`), and from those that DCMTK's dcmqrscp may have written so; its encoding is what the index had noted, or what its first element betrays. A
//! compressed or deflated one betrays nothing, and needs the index that has it.
//!
//! Called by `archive::{rebuild, verify, register}`, on any number of threads.

use core::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::receiver::is_storage_class;
use crate::ae_title::AeTitle;
use crate::dataset::scan::{ScanError, Scanner};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::index::{FileLocation, InstanceEntry, attributes};
use crate::limits::{COMPARE_BLOCK_BYTES, FILE_META_BYTES_MAX};
use crate::storage::backend::StoredFile;
use crate::storage::backend::survey::{FileFacts, open_regular};
use crate::storage::backend::tree::TreeFile;
use crate::storage::reader::{InputFormat, explicit_element, inspect};
use crate::tag::{SOP_CLASS_UID, SOP_INSTANCE_UID, Tag};
use crate::uid::{Uid, UidText};
use crate::vr::trimmed;

/// Why a file is no object for the index.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unlistable {
    /// It cannot be opened or read.
    Io(io::Error),
    /// A directory, device, pipe or symbolic link.
    NotRegular,
    /// Not in DICOM file format.
    NotDicom,
    /// The file meta information is damaged or names no transfer syntax.
    FileMeta,
    /// The data set is not whole.
    DataSet(ScanError),
    /// SOP Class or Instance UID is missing.
    NoUid,
    /// No object of a storage class: a DICOMDIR, for one.
    NotStorage(UidText),
    /// Its length changed while it was read.
    Changing,
    /// A bare data set with encapsulated pixels: nothing in it says how they are compressed.
    UnknownCompression,
}

/// What is done about a file without file meta information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// It is none for the index, unless it is the archive's own or has the extension of what DCMTK's
    /// dcmqrscp writes (with `-F` without file meta information).
    Own,
    /// It is taken for what its first element betrays.
    Any,
    /// It has this transfer syntax, as the index knows.
    In(Uid),
}

impl fmt::Display for Unlistable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::NotRegular => formatter.write_str("not a regular file"),
            Self::NotDicom => formatter.write_str("not in DICOM file format"),
            Self::FileMeta => formatter.write_str("damaged file meta information"),
            Self::DataSet(error) => write!(formatter, "damaged data set: {error}"),
            Self::NoUid => formatter.write_str("no SOP Class UID or SOP Instance UID"),
            Self::NotStorage(uid) => {
                write!(
                    formatter,
                    "not an object of a storage class: {}",
                    uid.as_bytes().escape_ascii()
                )
            }
            Self::Changing => formatter.write_str("it changed while it was read"),
            Self::UnknownCompression => {
                formatter.write_str("compressed, and without file meta information that says how")
            }
        }
    }
}

impl std::error::Error for Unlistable {}

impl From<io::Error> for Unlistable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Unlistable {
    /// True for what never was an object: it lies in the area, and that is all.
    pub const fn is_other(&self) -> bool {
        matches!(self, Self::NotRegular | Self::NotDicom | Self::NotStorage(_))
    }

    /// True when the file is not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

static WANTED: [Tag; 2] = [SOP_CLASS_UID, SOP_INSTANCE_UID];

/// What the file meta information says.
struct Head {
    /// Media Storage SOP Class UID.
    class: Option<UidText>,
    transfer_syntax: Uid,
    source_ae: AeTitle,
    /// Where the data set begins.
    data_set_offset: usize,
}

fn uid(value: &[u8]) -> Option<UidText> {
    UidText::new(trimmed(value)).filter(|uid| !uid.is_empty())
}

fn head(block: &[u8]) -> Result<Head, Unlistable> {
    if block.get(128..132) != Some(b"DICM") {
        return Err(Unlistable::NotDicom);
    }
    let mut at = 132;
    let (mut class, mut syntax) = (None, None);
    let mut source_ae = AeTitle::new(b"");
    while let Some((tag, value, next)) = explicit_element(block, at) {
        if tag.group() != 0x0002 {
            break;
        }
        let value = value.ok_or(Unlistable::FileMeta)?;
        match tag.element() {
            0x0002 => class = uid(value),
            0x0010 => syntax = Uid::new(trimmed(value)),
            0x0016 => source_ae = AeTitle::new(value),
            _ => {}
        }
        at = next;
    }
    let transfer_syntax = syntax.ok_or(Unlistable::FileMeta)?;
    Ok(Head { class, transfer_syntax, source_ae, data_set_offset: at })
}

/// A head for a file that has none.
fn bare_head(file: &mut StoredFile, bare: Bare) -> Result<Head, Unlistable> {
    if let Bare::In(transfer_syntax) = bare {
        let source_ae = AeTitle::new(b"");
        return Ok(Head { class: None, transfer_syntax, source_ae, data_set_offset: 0 });
    }
    let found = inspect(file, InputFormat::Either).map_err(|_| Unlistable::NotDicom)?;
    Ok(Head {
        class: None,
        transfer_syntax: found.transfer_syntax,
        source_ae: AeTitle::new(b""),
        data_set_offset: 0,
    })
}

fn fill(file: &mut StoredFile, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Bytes of the buffer that [`read_entry`] wants: the longest file meta information at once.
pub const BUFFER_BYTES: usize = FILE_META_BYTES_MAX;

/// Reads the file at `path`, which the index will know as `location`. `buffer` is kept between
/// files.
pub fn read_entry(
    path: &Path,
    location: FileLocation,
    bare: Bare,
    buffer: &mut Vec<u8>,
) -> Result<InstanceEntry, Unlistable> {
    read_entry_while(path, location, bare, buffer, &mut || true)
}

/// The same; `goes_on` is asked after each portion, and ends it by false ([`Unlistable::Io`]).
pub fn read_entry_while(
    path: &Path,
    location: FileLocation,
    bare: Bare,
    buffer: &mut Vec<u8>,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<InstanceEntry, Unlistable> {
    let (mut file, facts) = match open_regular(path) {
        // Of a symbolic link.
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(Unlistable::NotRegular);
        }
        opened => opened?,
    };
    if !facts.is_regular {
        return Err(Unlistable::NotRegular);
    }
    buffer.resize(BUFFER_BYTES, 0);
    let mut length = fill(&mut file, buffer)?;
    let takes_bare = bare != Bare::Own || may_be_bare(&location);
    let mut is_guess = false;
    let head = match head(&buffer[..length]) {
        Err(Unlistable::NotDicom) if takes_bare => {
            is_guess = !matches!(bare, Bare::In(_));
            let head = bare_head(&mut file, bare)?;
            file.seek(SeekFrom::Start(0))?;
            length = fill(&mut file, buffer)?;
            head
        }
        head => head?,
    };
    let file = Watched { file: &mut file, facts, goes_on };
    let (entry, is_encapsulated) = entry_of(file, &head, location, buffer, length)?;
    if is_guess && is_encapsulated { Err(Unlistable::UnknownCompression) } else { Ok(entry) }
}

/// True for the archives' own files, ours and DCMTK's.
fn may_be_bare(location: &FileLocation) -> bool {
    match location {
        FileLocation::Own(_) => true,
        FileLocation::Relative(path) => {
            Path::new(path).extension().is_some_and(|end| end.eq_ignore_ascii_case("dcm"))
        }
        FileLocation::Absolute(_) => false,
    }
}

/// A file that is read as long as somebody wants it.
struct Watched<'f> {
    file: &'f mut StoredFile,
    facts: FileFacts,
    goes_on: &'f mut dyn FnMut() -> bool,
}

fn entry_of(
    watched: Watched<'_>,
    head: &Head,
    location: FileLocation,
    buffer: &mut [u8],
    mut length: usize,
) -> Result<(InstanceEntry, bool), Unlistable> {
    let Watched { file, facts, goes_on } = watched;
    let syntax = TransferSyntax::of(&head.transfer_syntax);
    let mut scanner = Scanner::with_index_keys(syntax, &WANTED, &attributes::WANTED);
    let mut digest = Xxh3::new();
    let mut file_bytes = length as u64;
    let mut from = head.data_set_offset;
    loop {
        let block = buffer.get(from..length).ok_or(Unlistable::FileMeta)?;
        scanner.feed(block).map_err(Unlistable::DataSet)?;
        digest.update(block);
        if length < buffer.len() {
            break;
        }
        if !goes_on() {
            return Err(Unlistable::Io(io::ErrorKind::Interrupted.into()));
        }
        from = 0;
        length = fill(file, buffer)?;
        file_bytes += length as u64;
    }
    scanner.finish().map_err(Unlistable::DataSet)?;
    if file_bytes != facts.bytes {
        return Err(Unlistable::Changing);
    }
    // The data set's own, as when an object is received: what the head says is of no account.
    let own = |tag| scanner.value(tag).and_then(uid);
    let (Some(sop_class), Some(sop_instance)) = (own(SOP_CLASS_UID), own(SOP_INSTANCE_UID)) else {
        // A DICOMDIR has none, and is none to be missed.
        let class = head.class.filter(|class| !is_storage_class(class.as_bytes()));
        return Err(class.map_or(Unlistable::NoUid, Unlistable::NotStorage));
    };
    // Several values: no query would find it.
    if sop_instance.as_bytes().contains(&b'\\') {
        return Err(Unlistable::NoUid);
    }
    if !is_storage_class(sop_class.as_bytes()) {
        return Err(Unlistable::NotStorage(sop_class));
    }
    let is_encapsulated = scanner.has_fragments();
    let entry = InstanceEntry {
        attributes: scanner.take_attributes(),
        sop_class,
        sop_instance,
        transfer_syntax: head.transfer_syntax.text(),
        location,
        file_bytes,
        data_set_offset: u32::try_from(head.data_set_offset).map_err(|_| Unlistable::FileMeta)?,
        digest: digest.digest128(),
        received_at_us: facts.modified_us,
        source_ae: head.source_ae,
    };
    Ok((entry, is_encapsulated))
}

/// The digest of what stands in a tree's file from an offset on.
pub fn digest_from(file: &dyn TreeFile, mut offset: u64) -> io::Result<u128> {
    let mut block = vec![0; COMPARE_BLOCK_BYTES];
    let mut digest = Xxh3::new();
    loop {
        let length = file.read_at(&mut block, offset)?;
        digest.update(block.get(..length).unwrap_or_default());
        if length < block.len() {
            return Ok(digest.digest128());
        }
        offset += length as u64;
    }
}

/// The digest of the data set in the file at `path`, and the file's length.
pub fn read_digest(
    path: &Path,
    data_set_offset: u32,
    buffer: &mut Vec<u8>,
) -> Result<(u128, u64), Unlistable> {
    let (mut file, _) = open_regular(path)?;
    file.seek(SeekFrom::Start(data_set_offset.into()))?;
    buffer.resize(BUFFER_BYTES, 0);
    let mut digest = Xxh3::new();
    let mut bytes = u64::from(data_set_offset);
    loop {
        let length = fill(&mut file, buffer)?;
        digest.update(&buffer[..length]);
        bytes += length as u64;
        if length < buffer.len() {
            return Ok((digest.digest128(), bytes));
        }
    }
}
