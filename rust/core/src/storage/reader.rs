//! A stored instance as its UIDs, its transfer syntax and the bytes of its data set.
//!
//! Source: PS3.10 §7.1 (preamble, `DICM`, group 0002 in Explicit VR Little Endian). Reads the head
//! of a file only, at most [`FILE_META_BYTES_MAX`]; the data set is streamed by whoever sends it. A
//! file without preamble is taken as a bare data set whose encoding the first element betrays, as
//! DCMTK's `storescu` does. Knows no file system: any `Read + Seek` will do. Called by
//! `sending`, `load` and the front ends' query files.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use crate::dataset::scan::{ScanError, Scanner};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::limits::{CHECK_BLOCK_BYTES, FILE_META_BYTES_MAX, IDENTIFIER_BYTES_MAX};
use crate::tag::{self, SOP_CLASS_UID, SOP_INSTANCE_UID, Tag};
use crate::uid::{Uid, UidText};
use crate::vr::Vr;

/// Which formats are let pass (DCMTK's `+f`, `+fo`, `-f`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// File format or bare data set, recognised by the preamble.
    Either,
    /// File format only.
    File,
    /// Bare data set only.
    DataSet,
}

/// Why a file is not an instance that can be sent.
#[derive(Debug)]
pub enum ReadError {
    /// The system's error.
    Io(io::Error),
    /// No `DICM` where the file format has it.
    NotPart10,
    /// The file meta information is cut or longer than its bound.
    BadFileMeta,
    /// No transfer syntax, or one that is no UID.
    NoTransferSyntax,
    /// Neither file meta information nor data set names the SOP class and instance.
    NoSopUids,
    /// A query file with a data set longer than an identifier may be.
    TooLong,
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => fmt::Display::fmt(error, formatter),
            Self::NotPart10 => formatter.write_str("not a DICOM file: no preamble with \"DICM\""),
            Self::BadFileMeta => formatter.write_str("the file meta information cannot be read"),
            Self::NoTransferSyntax => formatter.write_str("the transfer syntax is not stated"),
            Self::NoSopUids => {
                formatter.write_str("SOP Class UID or SOP Instance UID is missing in the file")
            }
            Self::TooLong => {
                write!(formatter, "more than {IDENTIFIER_BYTES_MAX} bytes are no query")
            }
        }
    }
}

impl std::error::Error for ReadError {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a sender needs to know of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInstance {
    /// SOP Class UID.
    pub sop_class_uid: UidText,
    /// SOP Instance UID.
    pub sop_instance_uid: UidText,
    /// Transfer syntax of the data set.
    pub transfer_syntax: Uid,
    /// Where the data set begins, in bytes from the start of the file.
    pub data_set_offset: u64,
    /// Length of the data set in bytes.
    pub data_set_bytes: u64,
}

/// How a file ends too early, with the place in its data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// DCMTK's condition for it: module and code, and words.
    pub condition: (&'static str, &'static str),
    /// What is missing where.
    pub place: ScanError,
}

/// What a look through a data set tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How it is cut, if it is.
    pub cut: Option<Cut>,
    /// Something is odd about it; what that is takes a closer look.
    pub is_odd: bool,
}

/// Looks through the data set that lies there in `source`. Values are sought over, not read: of a
/// large file only headers leave the disk. Everything else that is odd is the receiver's to judge.
///
/// # Errors
///
/// The system's.
pub fn look_through<R: Read + Seek>(
    source: &mut R,
    transfer_syntax: &Uid,
    data_set_offset: u64,
    data_set_bytes: u64,
) -> io::Result<Seen> {
    source.seek(SeekFrom::Start(data_set_offset))?;
    let mut scanner = Scanner::new(TransferSyntax::of(transfer_syntax), &[]);
    let mut block = vec![0; CHECK_BLOCK_BYTES];
    let mut left = data_set_bytes;
    while left > 0 {
        let ahead = scanner.value_bytes_ahead();
        // Within a block reading on is cheaper than seeking.
        if ahead > block.len() as u64 {
            let passed = ahead.min(left);
            source.seek_relative(i64::try_from(passed).map_err(io::Error::other)?)?;
            scanner.pass_over(passed);
            left -= passed;
            continue;
        }
        let count = left.min(block.len() as u64) as usize;
        source.read_exact(&mut block[..count])?;
        left -= count as u64;
        if let Err(error) = scanner.feed(&block[..count]) {
            return Ok(Seen { cut: overfull(error), is_odd: true });
        }
    }
    Ok(end_of(scanner))
}

/// The same of a data set in memory.
pub fn look_through_bytes(data_set: &[u8], transfer_syntax: &Uid) -> Seen {
    let mut scanner = Scanner::new(TransferSyntax::of(transfer_syntax), &[]);
    match scanner.feed(data_set) {
        Ok(()) => end_of(scanner),
        Err(error) => Seen { cut: overfull(error), is_odd: true },
    }
}

/// An element that is longer than its item, of which DCMTK does not send the rest either.
fn overfull(place: ScanError) -> Option<Cut> {
    let condition =
        ("0001:001b", "Length of element larger than explicit length of surrounding item");
    let is_element = matches!(place, ScanError::LongerThanParent { tag, .. } if tag != tag::ITEM);
    is_element.then_some(Cut { condition, place })
}

/// What is known at the end of a data set.
fn end_of(mut scanner: Scanner) -> Seen {
    let (in_value, in_sequence) = (scanner.value_bytes_ahead() > 0, scanner.is_in_sequence());
    let warnings = scanner.warnings();
    let is_odd = !warnings.is_empty() || warnings.is_otherwise_odd;
    let cut = scanner.finish().err().map(|place| {
        let condition = match (in_value, in_sequence) {
            (true, _) => ("0001:0004", "Invalid stream"),
            (false, true) => ("0001:0022", "Sequence Delimitation Item missing"),
            (false, false) => ("0001:000a", "I/O suspension or premature end of stream"),
        };
        Cut { condition, place }
    });
    Seen { cut, is_odd }
}

/// The first look at a file: file meta information and the first elements of most.
const INSPECTED_FIRST_BYTES: usize = 4096;

/// The one element after which a bare data set's UIDs cannot come any more.
static WANTED: &[Tag] = &[SOP_CLASS_UID, SOP_INSTANCE_UID];

/// Reads the head of `source` and leaves it anywhere.
///
/// # Errors
///
/// See [`ReadError`]; nothing is read beyond the head.
pub fn inspect<R: Read + Seek>(
    source: &mut R,
    format: InputFormat,
) -> Result<StoredInstance, ReadError> {
    let total_bytes = source.seek(SeekFrom::End(0))?;
    source.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    // Most heads are short, and a sender looks at every file before it sends the first.
    for limit in [INSPECTED_FIRST_BYTES, FILE_META_BYTES_MAX] {
        let wanted = limit.saturating_sub(head.len()) as u64;
        // Room for all of it, and for the read that sees the end: else it comes 32 bytes at a time.
        let room = wanted.min(total_bytes.saturating_sub(head.len() as u64)) + 32;
        head.reserve(usize::try_from(room).unwrap_or_default());
        source.by_ref().take(wanted).read_to_end(&mut head)?;
        let is_all = head.len() < limit || limit == FILE_META_BYTES_MAX;
        let found = inspect_head(&head, total_bytes, format);
        match found {
            Ok((instance, true)) => return Ok(instance),
            result if is_all => return result.map(|(instance, _)| instance),
            _ => {}
        }
    }
    Err(ReadError::BadFileMeta)
}

/// The same of bytes in memory: the `head` of a file of `total_bytes`. True beside it when the UIDs
/// are the data set's own, so that a longer head would tell nothing else.
///
/// # Errors
///
/// See [`ReadError`].
pub fn inspect_head(
    head: &[u8],
    total_bytes: u64,
    format: InputFormat,
) -> Result<(StoredInstance, bool), ReadError> {
    let is_file = head.len() >= 132 && head[128..132] == *b"DICM";
    match (format, is_file) {
        (InputFormat::File, false) => Err(ReadError::NotPart10),
        (InputFormat::DataSet, _) | (InputFormat::Either, false) => bare(head, total_bytes),
        (InputFormat::File | InputFormat::Either, true) => file(head, total_bytes),
    }
}

/// Reads a query file: the whole data set and its transfer syntax. A file without preamble is a bare
/// data set.
///
/// # Errors
///
/// See [`ReadError`]; that the bytes are elements is for the caller to see.
pub fn read_identifier<R: Read>(source: &mut R) -> Result<(Uid, Vec<u8>), ReadError> {
    let longest = FILE_META_BYTES_MAX + IDENTIFIER_BYTES_MAX;
    let mut all = Vec::new();
    source.by_ref().take(longest as u64 + 1).read_to_end(&mut all)?;
    if all.len() > longest {
        return Err(ReadError::TooLong);
    }
    if all.len() < 132 || all[128..132] != *b"DICM" {
        let syntax = syntax_of_bare(&all).ok_or(ReadError::NotPart10)?;
        return Ok((syntax, all));
    }
    let meta = meta(&all)?;
    let syntax = meta.transfer_syntax.ok_or(ReadError::NoTransferSyntax)?;
    if meta.end > all.len() {
        return Err(ReadError::BadFileMeta);
    }
    Ok((syntax, all.split_off(meta.end)))
}

/// What group 0002 says.
struct Meta {
    class: Option<UidText>,
    instance: Option<UidText>,
    transfer_syntax: Option<Uid>,
    /// Where the data set begins.
    end: usize,
}

/// Group 0002 of a file whose preamble is there.
fn meta(head: &[u8]) -> Result<Meta, ReadError> {
    let mut at = 132;
    let (mut class, mut instance, mut transfer_syntax) = (None, None, None);
    while let Some((tag, value, next)) = explicit_element(head, at) {
        if tag.group() != 0x0002 {
            break;
        }
        let value = value.ok_or(ReadError::BadFileMeta)?;
        match tag.element() {
            0x0002 => class = UidText::new(value),
            0x0003 => instance = UidText::new(value),
            0x0010 => transfer_syntax = Uid::new(value),
            _ => {}
        }
        at = next;
    }
    Ok(Meta { class, instance, transfer_syntax, end: at })
}

/// A file whose preamble is there.
fn file(head: &[u8], total_bytes: u64) -> Result<(StoredInstance, bool), ReadError> {
    let Meta { class, instance, transfer_syntax, end: at } = meta(head)?;
    let transfer_syntax = transfer_syntax.ok_or(ReadError::NoTransferSyntax)?;
    let data_set = head.get(at..).ok_or(ReadError::BadFileMeta)?;
    // The data set's own UIDs are those that a receiver compares with the request.
    let (own_class, own_instance) = uids_of(data_set, transfer_syntax);
    let is_own = own_class.is_some() && own_instance.is_some();
    let found = StoredInstance {
        sop_class_uid: pick(own_class, class)?,
        sop_instance_uid: pick(own_instance, instance)?,
        transfer_syntax,
        data_set_offset: at as u64,
        data_set_bytes: total_bytes.saturating_sub(at as u64),
    };
    Ok((found, is_own))
}

/// A file without preamble; the first element tells the encoding.
fn bare(head: &[u8], total_bytes: u64) -> Result<(StoredInstance, bool), ReadError> {
    let transfer_syntax = syntax_of_bare(head).ok_or(ReadError::NotPart10)?;
    let (class, instance) = uids_of(head, transfer_syntax);
    let (Some(sop_class_uid), Some(sop_instance_uid)) = (class, instance) else {
        // Garbage and a data set without UIDs look alike; both cannot be sent.
        return Err(ReadError::NoSopUids);
    };
    let found = StoredInstance {
        sop_class_uid,
        sop_instance_uid,
        transfer_syntax,
        data_set_offset: 0,
        data_set_bytes: total_bytes,
    };
    Ok((found, true))
}

/// The transfer syntax of a bare data set, which its first element betrays; `None` for too few bytes.
pub(crate) fn syntax_of_bare(head: &[u8]) -> Option<Uid> {
    let &[g0, g1, _, _, v0, v1, ..] = head else { return None };
    let explicit = Vr([v0, v1]).is_known();
    // Groups of a data set's first element are small, so a large one is a small one in the other
    // order.
    let big_endian = u16::from_le_bytes([g0, g1]) > 0x00FF && g0 == 0;
    Some(Uid::known(match (explicit, big_endian) {
        (true, true) => "1.2.840.10008.1.2.2",
        (true, false) => "1.2.840.10008.1.2.1",
        (false, _) => "1.2.840.10008.1.2",
    }))
}

fn pick(own: Option<UidText>, meta: Option<UidText>) -> Result<UidText, ReadError> {
    own.or(meta).filter(|uid| !uid.is_empty()).ok_or(ReadError::NoSopUids)
}

/// SOP Class and Instance UID at the head of a data set, as far as they are there.
pub(crate) fn uids_of(data_set: &[u8], transfer_syntax: Uid) -> (Option<UidText>, Option<UidText>) {
    let mut scanner = Scanner::new(TransferSyntax::of(&transfer_syntax), WANTED);
    // The head is cut anywhere, and a fault behind the UIDs is the receiver's to find.
    let _ = scanner.feed(data_set);
    let value = |tag| scanner.value(tag).and_then(UidText::new).filter(|uid| !uid.is_empty());
    (value(SOP_CLASS_UID), value(SOP_INSTANCE_UID))
}

/// The Explicit VR Little Endian element at `at`: tag, value (`None` when cut), end.
pub(crate) fn explicit_element(bytes: &[u8], at: usize) -> Option<(Tag, Option<&[u8]>, usize)> {
    let &[g0, g1, e0, e1, v0, v1, l0, l1] = bytes.get(at..)?.first_chunk::<8>()?;
    let tag = Tag::new(u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
    let (start, length) = if Vr([v0, v1]).has_long_length() {
        let length = bytes.get(at + 8..)?.first_chunk::<4>()?;
        (at + 12, u32::from_le_bytes(*length) as usize)
    } else {
        (at + 8, usize::from(u16::from_le_bytes([l0, l1])))
    };
    let end = start.checked_add(length)?;
    Some((tag, bytes.get(start..end), end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn element(tag: (u16, u16), vr: [u8; 2], value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(tag.0.to_le_bytes());
        bytes.extend(tag.1.to_le_bytes());
        bytes.extend(vr);
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(value);
        bytes
    }

    fn data_set() -> Vec<u8> {
        [element((8, 0x16), *b"UI", b"1.2.3\0"), element((8, 0x18), *b"UI", b"1.2.3.4.5\0")]
            .concat()
    }

    fn part10() -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        bytes.extend(element((2, 2), *b"UI", b"1.2.3\0"));
        bytes.extend(element((2, 0x10), *b"UI", b"1.2.840.10008.1.2.1\0"));
        bytes.extend(data_set());
        bytes
    }

    /// PS3.10 §7.1: the data set begins where group 0002 ends.
    #[test]
    fn a_part_10_file() {
        let bytes = part10();
        let found = inspect(&mut Cursor::new(&bytes), InputFormat::Either).unwrap();
        assert_eq!(found.sop_instance_uid.as_bytes(), b"1.2.3.4.5");
        assert_eq!(found.transfer_syntax.as_str(), "1.2.840.10008.1.2.1");
        assert_eq!(&bytes[found.data_set_offset as usize..], data_set());
        assert_eq!(found.data_set_bytes, data_set().len() as u64);
    }

    /// A bare data set is recognised by its first element; `+fo` refuses it.
    #[test]
    fn a_bare_data_set() {
        let bytes = data_set();
        let found = inspect(&mut Cursor::new(&bytes), InputFormat::Either).unwrap();
        assert_eq!((found.data_set_offset, found.data_set_bytes), (0, bytes.len() as u64));
        let refused = inspect(&mut Cursor::new(&bytes), InputFormat::File);
        assert!(matches!(refused, Err(ReadError::NotPart10)));
    }

    fn cut_in(source: &mut (impl Read + Seek), found: &StoredInstance) -> Option<Cut> {
        let (at, bytes) = (found.data_set_offset, found.data_set_bytes);
        look_through(source, &found.transfer_syntax, at, bytes).unwrap().cut
    }

    /// A source that counts what is read of it.
    struct Counting(Cursor<Vec<u8>>, usize);

    impl Read for Counting {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.1 += count;
            Ok(count)
        }
    }

    impl Seek for Counting {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    /// Whole and cut ends of each kind, and DCMTK 3.6.7's condition for each (it was run).
    #[test]
    fn cut_ends() {
        let value = [b"\x10\0\x10\0PN\x04\0".as_slice(), b"A^B "].concat();
        let open_sequence = [b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff".as_slice()].concat();
        let delimiter = b"\xfe\xff\xdd\xe0\0\0\0\0".to_vec();
        let (invalid, premature, unclosed) =
            (Some("0001:0004"), Some("0001:000a"), Some("0001:0022"));
        for (end, expected) in [
            (vec![], None),
            (value.clone(), None),
            (value[..value.len() - 1].to_vec(), invalid),
            (value[..8].to_vec(), invalid),
            (value[..7].to_vec(), premature),
            (value[..1].to_vec(), premature),
            (open_sequence.clone(), unclosed),
            ([open_sequence.clone(), delimiter.clone()].concat(), None),
            ([open_sequence, delimiter[..7].to_vec()].concat(), unclosed),
            // Broken otherwise: not cut.
            (delimiter, None),
        ] {
            let file = [part10(), end.clone()].concat();
            let mut source = Cursor::new(&file);
            let instance = inspect(&mut source, InputFormat::Either).unwrap();
            let cut = cut_in(&mut source, &instance);
            assert_eq!(cut.map(|cut| cut.condition.0), expected, "{end:02x?}");
        }
    }

    /// Of a large value nothing is read, whether it is whole or not.
    #[test]
    fn pixels_are_sought_over() {
        let large = 10 << 20;
        let pixels = [b"\xe0\x7f\x10\0OB\0\0\0\0\xa0\0".to_vec(), vec![0; large]].concat();
        for missing in [0, 1, large] {
            let mut file = [part10(), pixels.clone()].concat();
            file.truncate(file.len() - missing);
            let mut source = Counting(Cursor::new(file), 0);
            let instance = inspect(&mut source, InputFormat::Either).unwrap();
            source.1 = 0;
            let cut = cut_in(&mut source, &instance);
            assert_eq!(cut.is_some(), missing > 0);
            assert!(source.1 <= 2 * CHECK_BLOCK_BYTES, "{} bytes read", source.1);
        }
    }

    /// A file cut at any byte gives an error or an instance, never a panic.
    #[test]
    fn cut_at_every_byte() {
        let bytes = part10();
        for length in 0..bytes.len() {
            let _ = inspect(&mut Cursor::new(&bytes[..length]), InputFormat::Either);
        }
    }
}
