//! A whole data set to a flat table of elements, for pydicom's sake.
//!
//! Source: PS3.5 §7.1 (data elements), §7.5 (nesting), §A.4 (encapsulated pixel data); where files
//! depart from it, the lenient reading of pydicom 3.0, so that `dcmfast.read` gives what
//! `pydicom.dcmread` gives: a wrong VR is taken for an implicit header, lengths of items are not
//! held against their contents, a value cut by the end of the file is kept short. What only
//! pydicom's own code can answer (its warnings, its exceptions) is not imitated: the scan ends with
//! [`Status::Foreign`] and the caller hands the whole file to pydicom.
//!
//! The table is bytes, so that Cython reads it without a Python object per row. Native byte order,
//! packed; [`ROW_BYTES`] bytes each:
//!
//! ```text
//! offset  bytes  field   row of an element                    row of an item       row 0 (the scan itself)
//! 0       4      tag     group in the upper 16 bits           as found             Status
//! 4       2      vr      two letters, 0 0 if none             0 0                  0 0
//! 6       2      flags   SEQUENCE, ENCAPSULATED, OUTSIDE      ITEM, IMPLICIT       IMPLICIT: header form found
//! 8       4      length  as encoded                           as encoded           Reason of a foreign end
//! 12      4      next    row after this one and all below it  the same             number of rows
//! 16      8      offset  of the value                         of the item header   where the scan ended
//! 24      8      stored  bytes of the value that exist        bytes walked         0
//! ```
//!
//! Offsets count from the start of the source, of which `data` is a window. Rows of a sequence of
//! undefined length are followed by its items, rows of items by their elements; a sequence of
//! defined length is one row, as its value is read on access. Reads memory only; recursion is
//! bounded by `limits::SEQUENCE_DEPTH_MAX`, rows by `limits::ELEMENT_TABLE_ROWS_MAX`.
//! Called by `rust/py/src/dataset.rs`.

use crate::limits::{ELEMENT_TABLE_ROWS_MAX, SEQUENCE_DEPTH_MAX};
use crate::tag::{
    DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, ITEM, ITEM_DELIMITATION, PIXEL_DATA,
    SEQUENCE_DELIMITATION, Tag,
};
use crate::vr::Vr;

/// Bytes of one row, and of the row in front that describes the scan.
pub const ROW_BYTES: usize = 32;

/// The row is a sequence of undefined length; its items follow.
pub const FLAG_SEQUENCE: u16 = 1;
/// The row is an item.
pub const FLAG_ITEM: u16 = 2;
/// The item's elements have implicit headers.
pub const FLAG_IMPLICIT: u16 = 4;
/// The value is made of fragments (PS3.5 §A.4), not merely ended by a delimiter found by search.
pub const FLAG_ENCAPSULATED: u16 = 8;
/// The value is not, or not wholly, in the window.
pub const FLAG_OUTSIDE: u16 = 16;

const UNDEFINED_LENGTH: u32 = 0xFFFF_FFFF;

/// How a scan ended; the tag field of row 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// The data set ended: its source did, or an item delimitation item stood there.
    Complete = 0,
    /// The stop rule applied to the element at the end of the scan.
    Stopped = 1,
    /// The window ended; go on at the end of the scan, without looking at the header form again.
    More = 2,
    /// As `More`, but the element there needs a larger window than this one.
    Wider = 3,
    /// The window ended within fragments; the last row is their element. Go on with
    /// [`walk_fragments`].
    Fragments = 4,
    /// Only pydicom can say what this is.
    Foreign = 5,
}

/// Why a scan gave up; the length field of row 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// It did not.
    None = 0,
    /// The header form is not the one announced, which pydicom warns about.
    HeaderForm = 1,
    /// Nested deeper than `limits::SEQUENCE_DEPTH_MAX`.
    TooDeep = 2,
    /// A header, item or delimiter is missing at the end of the source.
    Truncated = 3,
    /// No dictionary entry says what an implicit element of undefined length is.
    UnknownTag = 4,
    /// A value of undefined length without an orderly delimiter.
    NoDelimiter = 5,
    /// More elements than `limits::ELEMENT_TABLE_ROWS_MAX`.
    TooMany = 6,
}

/// What ends the top level before its source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing.
    Never,
    /// The first element outside this group; file meta information ends so (PS3.10 §7.1).
    OtherGroup(u16),
    /// The first of Float Pixel Data, Double Float Pixel Data and Pixel Data.
    PixelData,
}

impl Stop {
    fn applies_to(self, tag: Tag) -> bool {
        match self {
            Self::Never => false,
            Self::OtherGroup(group) => tag.group() != group,
            Self::PixelData => {
                tag == PIXEL_DATA || tag == FLOAT_PIXEL_DATA || tag == DOUBLE_FLOAT_PIXEL_DATA
            }
        }
    }
}

/// What a scan must be told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The transfer syntax has implicit headers.
    pub is_implicit: bool,
    /// The transfer syntax is big endian.
    pub is_big_endian: bool,
    /// Compare the first element's header with `is_implicit`; false when a scan goes on.
    pub is_start: bool,
    /// What ends the top level.
    pub stop: Stop,
}

/// What the caller's dictionary knows of elements without VR: sorted tags, sequences and others.
#[derive(Clone, Debug, Default)]
pub struct KnownTags {
    sequences: Vec<u32>,
    others: Vec<u32>,
}

impl KnownTags {
    /// The tags whose VR is SQ, and those with any other.
    pub fn new(mut sequences: Vec<u32>, mut others: Vec<u32>) -> Self {
        sequences.sort_unstable();
        others.sort_unstable();
        Self { sequences, others }
    }

    fn is_sequence(&self, tag: Tag) -> Option<bool> {
        if self.sequences.binary_search(&tag.0).is_ok() {
            Some(true)
        } else if self.others.binary_search(&tag.0).is_ok() {
            Some(false)
        } else {
            None
        }
    }
}

/// The bytes to scan: a window on a source.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// The window.
    pub data: &'a [u8],
    /// Where the window starts in the source.
    pub base: u64,
    /// Where the source ends.
    pub end: u64,
}

/// Scans the top level of a data set from `start`, an index into the window, and returns its table.
///
/// Always returns a table: any bytes are a data set or a reason to ask pydicom.
pub fn scan_data_set(
    window: Window<'_>,
    start: usize,
    options: Options,
    known: &KnownTags,
) -> Vec<u8> {
    let mut scanner = Scanner::new(window, options.is_big_endian, known);
    scanner.at = start.min(window.data.len());
    let mut is_implicit = options.is_implicit;
    let ended = if options.is_start {
        match scanner.header_form(is_implicit, options.stop) {
            Ok(found) => {
                is_implicit = found;
                scanner.top_level(is_implicit, options.stop)
            }
            Err(end) => end,
        }
    } else {
        scanner.top_level(is_implicit, options.stop)
    };
    scanner.finish(ended, is_implicit)
}

/// Scans the value of a sequence of defined length; the rows of depth 0 are its items.
///
/// `data` is the whole value: its end is the end of the source, and offsets count from its start.
pub fn scan_sequence(
    data: &[u8],
    is_implicit: bool,
    is_big_endian: bool,
    known: &KnownTags,
) -> Vec<u8> {
    let window = Window { data, base: 0, end: data.len() as u64 };
    let mut scanner = Scanner::new(window, is_big_endian, known);
    let ended = match scanner.items(is_implicit, Some(data.len()), 0) {
        Ok(()) => Ended { status: Status::Complete, reason: Reason::None, at: scanner.at },
        Err(end) => end,
    };
    scanner.finish(ended, is_implicit)
}

/// How far a walk over fragments came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// The sequence delimitation item starts here (offset in the source).
    Delimiter(u64),
    /// The next item header to read is here, outside the window.
    More(u64),
    /// Something else than an item or the delimiter, or the end of the source.
    NotFragments,
}

/// Walks item headers from the start of the window to the sequence delimitation item (PS3.5 §A.4),
/// without looking at fragments.
pub fn walk_fragments(window: Window<'_>, is_big_endian: bool) -> Walk {
    let mut at = 0_usize;
    loop {
        let offset = window.base + at as u64;
        let Some(header) = window.data.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            let is_delimiter_cut = window.base + window.data.len() as u64 >= window.end
                && window
                    .data
                    .get(at..)
                    .and_then(|rest| rest.first_chunk::<4>())
                    .is_some_and(|tag| tag_of(*tag, is_big_endian) == SEQUENCE_DELIMITATION);
            return if is_delimiter_cut {
                Walk::Delimiter(offset)
            } else if offset + 8 <= window.end
                || window.base + (window.data.len() as u64) < window.end
            {
                Walk::More(offset)
            } else {
                Walk::NotFragments
            };
        };
        let tag = tag_of(four(header, 0), is_big_endian);
        if tag == SEQUENCE_DELIMITATION {
            return Walk::Delimiter(offset);
        }
        if tag != ITEM {
            return Walk::NotFragments;
        }
        let next = offset + 8 + u64::from(u32_of(four(header, 4), is_big_endian));
        if next >= window.end {
            return Walk::NotFragments;
        }
        match usize::try_from(next - window.base) {
            Ok(inside) if inside < window.data.len() => at = inside,
            _ => return Walk::More(next),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Ended {
    status: Status,
    reason: Reason,
    /// Index into the window, which may lie behind it.
    at: usize,
}

struct ElementHeader {
    tag: Tag,
    vr: Vr,
    length: u32,
}

/// How a value of undefined length that is no sequence ended.
enum Ending {
    /// Its bytes, the index after its delimiter, and whether it is made of fragments.
    Found { stored: usize, after: usize, is_encapsulated: bool },
    /// The fragments go on outside the window, at this offset.
    Outside(u64),
}

struct Scanner<'a> {
    window: Window<'a>,
    is_big_endian: bool,
    known: &'a KnownTags,
    at: usize,
    rows: Vec<u8>,
}

impl<'a> Scanner<'a> {
    fn new(window: Window<'a>, is_big_endian: bool, known: &'a KnownTags) -> Self {
        let mut rows = Vec::with_capacity(64 * ROW_BYTES);
        rows.resize(ROW_BYTES, 0);
        Self { window, is_big_endian, known, at: 0, rows }
    }

    fn finish(mut self, ended: Ended, is_implicit: bool) -> Vec<u8> {
        let count = (self.rows.len() / ROW_BYTES) as u32 - 1;
        let head = Row {
            tag: Tag(ended.status as u32),
            vr: Vr::NONE,
            flags: if is_implicit { FLAG_IMPLICIT } else { 0 },
            length: ended.reason as u32,
            next: count,
            offset: self.window.base + ended.at as u64,
            stored: 0,
        };
        self.rows[..ROW_BYTES].copy_from_slice(&head.to_bytes());
        self.rows
    }

    /// The window reaches the end of the source, so what is missing does not exist.
    fn is_last(&self) -> bool {
        self.window.base + self.window.data.len() as u64 >= self.window.end
    }

    fn foreign(&self, reason: Reason) -> Ended {
        Ended { status: Status::Foreign, reason, at: self.at }
    }

    /// What a lack of bytes below the top level means.
    fn lacking(&self) -> Ended {
        if self.is_last() {
            self.foreign(Reason::Truncated)
        } else {
            Ended { status: Status::Wider, reason: Reason::None, at: self.at }
        }
    }

    /// Says when the table is as long as one may be.
    fn room(&self) -> Result<(), Ended> {
        // The first row is no element.
        let count = self.rows.len() / ROW_BYTES - 1;
        if count < ELEMENT_TABLE_ROWS_MAX { Ok(()) } else { Err(self.foreign(Reason::TooMany)) }
    }

    fn peek<const N: usize>(&self) -> Option<[u8; N]> {
        self.window.data.get(self.at..).and_then(|rest| rest.first_chunk::<N>()).copied()
    }

    /// Compares the first header at the top level with the announced form. pydicom warns where they
    /// differ, unless the element is not part of the data set at all.
    fn header_form(&self, announced: bool, stop: Stop) -> Result<bool, Ended> {
        let Some([a, b, c, d, first, second]) = self.peek::<6>() else {
            return if self.is_last() { Ok(announced) } else { Err(self.lacking()) };
        };
        let found = !(first.is_ascii_uppercase() && second.is_ascii_uppercase());
        if found == announced || stop.applies_to(tag_of([a, b, c, d], self.is_big_endian)) {
            return Ok(found);
        }
        Err(self.foreign(Reason::HeaderForm))
    }

    fn top_level(&mut self, is_implicit: bool, stop: Stop) -> Ended {
        loop {
            let start = self.at;
            let rows_before = self.rows.len();
            let ended = |status, at| Ended { status, reason: Reason::None, at };
            let Some(header) = self.element_header(is_implicit) else {
                if !self.is_last() {
                    return ended(Status::More, start);
                }
                if self.window.data.len() - start >= 8 {
                    return self.foreign(Reason::Truncated);
                }
                return ended(Status::Complete, self.window.data.len());
            };
            if header.tag == ITEM_DELIMITATION {
                return ended(Status::Complete, self.at);
            }
            if stop.applies_to(header.tag) {
                return ended(Status::Stopped, start);
            }
            if let Err(ended) = self.room() {
                return ended;
            }
            if header.length == UNDEFINED_LENGTH {
                match self.undefined_length(&header, is_implicit, 0) {
                    Ok(None) => {}
                    Ok(Some(offset)) => {
                        let at = (offset - self.window.base) as usize;
                        return ended(Status::Fragments, at);
                    }
                    Err(mut end) => {
                        if end.status == Status::Wider {
                            self.rows.truncate(rows_before);
                            end.at = start;
                        }
                        return end;
                    }
                }
                continue;
            }
            let offset = self.window.base + self.at as u64;
            let left = self.window.end.saturating_sub(offset);
            let stored = u64::from(header.length).min(left);
            let inside = (self.window.data.len() - self.at) as u64;
            let flags = if stored > inside { FLAG_OUTSIDE } else { 0 };
            self.push(&header, flags, self.at, stored);
            self.at += stored as usize;
            if flags != 0 {
                return ended(Status::More, self.at);
            }
        }
    }

    /// Reads an element header and steps past it; None, and no step, where bytes are lacking.
    fn element_header(&mut self, is_implicit: bool) -> Option<ElementHeader> {
        let header = self.peek::<8>()?;
        let tag = tag_of(four(&header, 0), self.is_big_endian);
        let vr = [header[4], header[5]];
        // PS3.5 §7.1.3. Letters are compared as pydicom does, as two-byte texts, so that `B\0`
        // passes for an (unknown) VR.
        if is_implicit || !(Vr(vr).is_known() || (*b"AA" <= vr && vr <= *b"ZZ")) {
            self.at += 8;
            let length = u32_of(four(&header, 4), self.is_big_endian);
            return Some(ElementHeader { tag, vr: Vr::NONE, length });
        }
        if Vr(vr).has_long_length() {
            let header = self.peek::<12>()?;
            self.at += 12;
            let length = u32_of(four(&header, 8), self.is_big_endian);
            return Some(ElementHeader { tag, vr: Vr(vr), length });
        }
        self.at += 8;
        let length = if self.is_big_endian {
            u16::from_be_bytes([header[6], header[7]])
        } else {
            u16::from_le_bytes([header[6], header[7]])
        };
        Some(ElementHeader { tag, vr: Vr(vr), length: u32::from(length) })
    }

    /// Reads what follows the header of an element of undefined length.
    ///
    /// Ok(Some) is the offset of the fragment header where the window ended, at the top level only.
    fn undefined_length(
        &mut self,
        header: &ElementHeader,
        is_implicit: bool,
        depth: usize,
    ) -> Result<Option<u64>, Ended> {
        let is_sequence = if header.vr == Vr::SQ || header.vr == Vr::UN {
            true
        } else if header.vr == Vr::NONE {
            match self.known.is_sequence(header.tag) {
                Some(is_sequence) => is_sequence,
                // pydicom's repeating groups (PS3.5 §7.6) are all even.
                None if header.tag.group() % 2 == 0 => return Err(self.foreign(Reason::UnknownTag)),
                None => {
                    let tag = self.peek::<4>().ok_or_else(|| self.lacking())?;
                    tag_of(tag, self.is_big_endian) == ITEM
                }
            }
        } else {
            false
        };
        let start = self.at;
        let row = self.rows.len();
        if is_sequence {
            self.push(header, FLAG_SEQUENCE, start, 0);
            if depth >= SEQUENCE_DEPTH_MAX {
                return Err(self.foreign(Reason::TooDeep));
            }
            self.items(is_implicit, None, depth + 1)?;
            self.close(row, (self.at - start) as u64);
            return Ok(None);
        }
        match self.value_end()? {
            Ending::Found { stored, after, is_encapsulated } => {
                let flags = if is_encapsulated { FLAG_ENCAPSULATED } else { 0 };
                self.push(header, flags, start, stored as u64);
                self.at = after;
                Ok(None)
            }
            Ending::Outside(offset) if depth == 0 => {
                self.push(header, FLAG_ENCAPSULATED | FLAG_OUTSIDE, start, 0);
                Ok(Some(offset))
            }
            Ending::Outside(_) => Err(self.lacking()),
        }
    }

    /// Finds the end of a value of undefined length: by its fragments, else by search.
    fn value_end(&self) -> Result<Ending, Ended> {
        let rest = Window {
            data: &self.window.data[self.at..],
            base: self.window.base + self.at as u64,
            end: self.window.end,
        };
        match walk_fragments(rest, self.is_big_endian) {
            Walk::Delimiter(offset) => {
                let stored = (offset - rest.base) as usize;
                // The last bytes of the delimiter may be cut off.
                let after = (self.at + stored + 8).min(self.window.data.len());
                return Ok(Ending::Found { stored, after, is_encapsulated: true });
            }
            Walk::More(offset) => return Ok(Ending::Outside(offset)),
            Walk::NotFragments => {}
        }
        let delimiter: &[u8] =
            if self.is_big_endian { b"\xFF\xFE\xE0\xDD" } else { b"\xFE\xFF\xDD\xE0" };
        let Some(stored) = memchr::memmem::find(rest.data, delimiter) else {
            return Err(if self.is_last() {
                self.foreign(Reason::NoDelimiter)
            } else {
                self.lacking()
            });
        };
        match rest.data.get(stored + 4..).and_then(|rest| rest.first_chunk::<4>()) {
            Some([0, 0, 0, 0]) => {
                let after = self.at + stored + 8;
                Ok(Ending::Found { stored, after, is_encapsulated: false })
            }
            Some(_) => Err(self.foreign(Reason::NoDelimiter)),
            None => Err(self.lacking()),
        }
    }

    /// Reads items until the sequence delimitation item, or while less than `length` was read.
    ///
    /// Like pydicom, takes whatever stands where an item should for one.
    fn items(
        &mut self,
        is_implicit: bool,
        length: Option<usize>,
        depth: usize,
    ) -> Result<(), Ended> {
        let start = self.at;
        while length.is_none_or(|length| self.at - start < length) {
            let header_at = self.at;
            let header = self.peek::<8>().ok_or_else(|| self.lacking())?;
            let tag = tag_of(four(&header, 0), self.is_big_endian);
            let item_length = u32_of(four(&header, 4), self.is_big_endian);
            self.at += 8;
            if tag == SEQUENCE_DELIMITATION {
                return Ok(());
            }
            self.room()?;
            let is_implicit = self.item_form(is_implicit)?;
            let row = self.rows.len();
            let flags = if is_implicit { FLAG_ITEM | FLAG_IMPLICIT } else { FLAG_ITEM };
            let header = ElementHeader { tag, vr: Vr::NONE, length: item_length };
            self.push(&header, flags, header_at, 0);
            let bound = (item_length != UNDEFINED_LENGTH).then_some(item_length as usize);
            self.item(is_implicit, bound, depth)?;
            self.close(row, (self.at - header_at) as u64);
        }
        Ok(())
    }

    /// The form of an item's headers: within explicit data sets pydicom takes implicit ones
    /// silently, and looks at the bytes that follow even if the item is empty.
    fn item_form(&self, is_implicit: bool) -> Result<bool, Ended> {
        if is_implicit {
            return Ok(true);
        }
        match self.peek::<6>() {
            Some([.., first, second]) => {
                Ok(!(first.is_ascii_uppercase() && second.is_ascii_uppercase()))
            }
            None if self.is_last() => Ok(false),
            None => Err(self.lacking()),
        }
    }

    fn item(
        &mut self,
        is_implicit: bool,
        length: Option<usize>,
        depth: usize,
    ) -> Result<(), Ended> {
        let start = self.at;
        while length.is_none_or(|length| self.at - start < length) {
            let Some(header) = self.element_header(is_implicit) else {
                if self.is_last() && self.window.data.len() - self.at < 8 {
                    self.at = self.window.data.len();
                    return Ok(());
                }
                return Err(self.lacking());
            };
            if header.tag == ITEM_DELIMITATION {
                return Ok(());
            }
            self.room()?;
            if header.length == UNDEFINED_LENGTH {
                self.undefined_length(&header, is_implicit, depth)?;
                continue;
            }
            let inside = self.window.data.len() - self.at;
            let stored = (header.length as usize).min(inside);
            if stored < header.length as usize && !self.is_last() {
                return Err(self.lacking());
            }
            self.push(&header, 0, self.at, stored as u64);
            self.at += stored;
        }
        Ok(())
    }

    fn push(&mut self, header: &ElementHeader, flags: u16, at: usize, stored: u64) {
        let row = Row {
            tag: header.tag,
            vr: header.vr,
            flags,
            length: header.length,
            next: (self.rows.len() / ROW_BYTES) as u32 + 1,
            offset: self.window.base + at as u64,
            stored,
        };
        self.rows.extend_from_slice(&row.to_bytes());
    }

    /// Writes into the row at byte `row` where its successor stands and how much it holds.
    fn close(&mut self, row: usize, stored: u64) {
        let next = (self.rows.len() / ROW_BYTES) as u32;
        self.rows[row + 12..row + 16].copy_from_slice(&next.to_ne_bytes());
        self.rows[row + 24..row + 32].copy_from_slice(&stored.to_ne_bytes());
    }
}

/// One row; the layout stands at the head of this file.
struct Row {
    tag: Tag,
    vr: Vr,
    flags: u16,
    length: u32,
    next: u32,
    offset: u64,
    stored: u64,
}

impl Row {
    fn to_bytes(&self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        bytes[0..4].copy_from_slice(&self.tag.0.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.vr.0);
        bytes[6..8].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.next.to_ne_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_ne_bytes());
        bytes[24..32].copy_from_slice(&self.stored.to_ne_bytes());
        bytes
    }
}

/// Four bytes of a header; `at` is a constant of this file, within it.
fn four(header: &[u8], at: usize) -> [u8; 4] {
    [header[at], header[at + 1], header[at + 2], header[at + 3]]
}

fn tag_of(bytes: [u8; 4], is_big_endian: bool) -> Tag {
    let [a, b, c, d] = bytes;
    if is_big_endian {
        Tag::new(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    } else {
        Tag::new(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
    }
}

fn u32_of(bytes: [u8; 4], is_big_endian: bool) -> u32 {
    if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A row as the tests look at it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Seen {
        tag: u32,
        vr: [u8; 2],
        flags: u16,
        length: u32,
        next: u32,
        offset: u64,
        stored: u64,
    }

    fn seen(table: &[u8]) -> Vec<Seen> {
        assert_eq!(table.len() % ROW_BYTES, 0);
        table
            .chunks_exact(ROW_BYTES)
            .map(|row| Seen {
                tag: u32::from_ne_bytes(row[0..4].try_into().unwrap()),
                vr: [row[4], row[5]],
                flags: u16::from_ne_bytes(row[6..8].try_into().unwrap()),
                length: u32::from_ne_bytes(row[8..12].try_into().unwrap()),
                next: u32::from_ne_bytes(row[12..16].try_into().unwrap()),
                offset: u64::from_ne_bytes(row[16..24].try_into().unwrap()),
                stored: u64::from_ne_bytes(row[24..32].try_into().unwrap()),
            })
            .collect()
    }

    fn known() -> KnownTags {
        KnownTags::new(vec![0x0008_1140], vec![0x0010_0010, 0x7FE0_0010])
    }

    const EXPLICIT: Options =
        Options { is_implicit: false, is_big_endian: false, is_start: true, stop: Stop::Never };
    const IMPLICIT: Options = Options { is_implicit: true, ..EXPLICIT };

    fn scan(data: &[u8], options: Options) -> Vec<Seen> {
        let window = Window { data, base: 0, end: data.len() as u64 };
        seen(&scan_data_set(window, 0, options, &known()))
    }

    fn status(rows: &[Seen]) -> (u32, u32) {
        (rows[0].tag, rows[0].length)
    }

    /// PS3.5 §7.1.2: two bytes of length for PN, four after two reserved ones for OB.
    /// limits::ELEMENT_TABLE_ROWS_MAX elements are a table, one more is none; within items, too.
    #[test]
    fn edge_of_rows() {
        let element = b"\x10\0\x20\0LO\0\0";
        let head = b"\x08\0\x40\x11SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF";
        let tail = b"\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
        for (more, is_nested) in [(0, false), (1, false), (0, true), (1, true)] {
            let count = ELEMENT_TABLE_ROWS_MAX + more;
            let data = if is_nested {
                [&head[..], &element.repeat(count - 2), tail].concat()
            } else {
                element.repeat(count)
            };
            let window = Window { data: &data, base: 0, end: data.len() as u64 };
            let table = scan_data_set(window, 0, EXPLICIT, &KnownTags::default());
            let word = |at: usize| u32::from_ne_bytes(*table[at..].first_chunk().unwrap());
            if more == 0 {
                assert_eq!(word(0), Status::Complete as u32);
                assert_eq!(table.len(), (count + 1) * ROW_BYTES);
            } else {
                assert_eq!((word(0), word(8)), (Status::Foreign as u32, Reason::TooMany as u32));
            }
        }
    }

    #[test]
    fn explicit_headers_short_and_long() {
        let rows = scan(b"\x10\0\x10\0PN\x04\0A^B \x08\0\x05\0OB\0\0\x02\0\0\0\x01\x02", EXPLICIT);
        assert_eq!(status(&rows), (Status::Complete as u32, 0));
        assert_eq!(rows[0].offset, 26);
        assert_eq!(
            rows[1..],
            [
                Seen {
                    tag: 0x0010_0010,
                    vr: *b"PN",
                    flags: 0,
                    length: 4,
                    next: 2,
                    offset: 8,
                    stored: 4
                },
                Seen {
                    tag: 0x0008_0005,
                    vr: *b"OB",
                    flags: 0,
                    length: 2,
                    next: 3,
                    offset: 24,
                    stored: 2
                },
            ]
        );
    }

    /// PS3.5 §7.3: big endian turns the numbers of the header, not its letters.
    #[test]
    fn big_endian_headers() {
        let rows = scan(b"\0\x10\0\x10PN\0\x02AB", Options { is_big_endian: true, ..EXPLICIT });
        assert_eq!((rows[1].tag, rows[1].vr, rows[1].length), (0x0010_0010, *b"PN", 2));
    }

    /// An element without VR letters within explicit ones is read as implicit.
    #[test]
    fn an_implicit_header_among_explicit_ones() {
        let rows = scan(b"\x10\0\x10\0PN\x02\0AB\x10\0\x20\0\x02\0\0\0CD", EXPLICIT);
        assert_eq!((rows[2].vr, rows[2].length, rows[2].stored), ([0, 0], 2, 2));
    }

    /// A value cut by the end of the source is kept as far as it is there.
    #[test]
    fn a_cut_value() {
        let rows = scan(b"\x10\0\x10\0PN\x08\0AB", EXPLICIT);
        assert_eq!((rows[1].length, rows[1].stored), (8, 2));
        assert_eq!(status(&rows), (Status::Complete as u32, 0));
    }

    /// A lie of 4 GiB costs nothing.
    #[test]
    fn a_lying_length() {
        let rows = scan(b"\x10\0\x10\0\xFE\xFF\xFF\xFFAB", IMPLICIT);
        assert_eq!((rows[1].length, rows[1].stored), (0xFFFF_FFFE, 2));
    }

    const SEQUENCE: &[u8] = b"\x08\0\x40\x11SQ\0\0\xFF\xFF\xFF\xFF\
        \xFE\xFF\x00\xE0\x0A\0\0\0\x10\0\x10\0PN\x02\0AB\
        \xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF\x10\0\x10\0PN\x02\0CD\xFE\xFF\x0D\xE0\0\0\0\0\
        \xFE\xFF\xDD\xE0\0\0\0\0\x10\0\x20\0LO\x02\0EF";

    /// PS3.5 §7.5: items of defined and undefined length; `next` leads past what is below a row.
    #[test]
    fn a_sequence_of_undefined_length() {
        let rows = scan(SEQUENCE, EXPLICIT);
        let shape: Vec<_> = rows[1..].iter().map(|row| (row.tag, row.flags, row.next)).collect();
        assert_eq!(
            shape,
            [
                (0x0008_1140, FLAG_SEQUENCE, 6),
                (0xFFFE_E000, FLAG_ITEM, 4),
                (0x0010_0010, 0, 4),
                (0xFFFE_E000, FLAG_ITEM, 6),
                (0x0010_0010, 0, 6),
                (0x0010_0020, 0, 7),
            ]
        );
    }

    /// The value of a sequence of defined length gives the items alone.
    #[test]
    fn the_value_of_a_sequence() {
        let rows = seen(&scan_sequence(
            b"\xFE\xFF\x00\xE0\x0A\0\0\0\x10\0\x10\0\x02\0\0\0AB",
            false,
            false,
            &known(),
        ));
        assert_eq!(rows[0].next, 2);
        assert_eq!(rows[1].flags, FLAG_ITEM | FLAG_IMPLICIT, "the item's own form was found");
        assert_eq!((rows[2].tag, rows[2].stored), (0x0010_0010, 2));
    }

    /// PS3.5 §A.4: the value is the fragments, with their headers, without the delimiter; a
    /// delimiter within a fragment is pixel data.
    #[test]
    fn fragments() {
        let data = b"\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\0\0\0\0\
            \xFE\xFF\x00\xE0\x08\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
        let rows = scan(data, EXPLICIT);
        assert_eq!((rows[1].flags, rows[1].offset, rows[1].stored), (FLAG_ENCAPSULATED, 12, 24));
        assert_eq!(rows[0].offset, data.len() as u64);
    }

    /// pydicom's warnings are pydicom's: such data sets are not read here.
    #[test]
    fn foreign_data_sets_say_why() {
        let reason = |data: &[u8], options| status(&scan(data, options));
        let foreign = Status::Foreign as u32;
        assert_eq!(
            reason(b"\x10\0\x10\0PN\x02\0AB", IMPLICIT),
            (foreign, Reason::HeaderForm as u32)
        );
        assert_eq!(
            reason(&SEQUENCE[..SEQUENCE.len() - 20], EXPLICIT),
            (foreign, Reason::Truncated as u32)
        );
        assert_eq!(
            reason(b"\x10\0\x99\x99\xFF\xFF\xFF\xFF\0\0", IMPLICIT),
            (foreign, Reason::UnknownTag as u32)
        );
        assert_eq!(
            reason(b"\x10\0\x10\0\xFF\xFF\xFF\xFF\0\0", IMPLICIT),
            (foreign, Reason::NoDelimiter as u32)
        );
        let deep =
            b"\x08\0\x40\x11\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF".repeat(100_000);
        assert_eq!(reason(&deep, IMPLICIT), (foreign, Reason::TooDeep as u32));
    }

    /// The rules that end a top level early, and where they leave the reader.
    #[test]
    fn stops() {
        let data = b"\x02\0\x10\0UI\0\0\x08\0\x05\0CS\0\0\xE0\x7F\x10\0OW\0\0\0\0\0\0";
        let meta = scan(data, Options { stop: Stop::OtherGroup(2), ..EXPLICIT });
        assert_eq!((status(&meta).0, meta[0].offset, meta[0].next), (1, 8, 1));
        let pixels = scan(data, Options { stop: Stop::PixelData, ..EXPLICIT });
        assert_eq!((status(&pixels).0, pixels[0].offset, pixels[0].next), (1, 16, 2));
    }

    /// Reads `data` through windows of `window_bytes`, as Cython does, and returns the element rows
    /// with `next` counted over all tables.
    fn scan_in_windows(data: &[u8], window_bytes: usize, mut options: Options) -> (u32, Vec<Seen>) {
        let (mut at, mut size, mut rows) = (0_usize, window_bytes, Vec::new());
        loop {
            let data_window = &data[at..data.len().min(at + size)];
            let window = Window { data: data_window, base: at as u64, end: data.len() as u64 };
            let table = seen(&scan_data_set(window, 0, options, &known()));
            let shift = rows.len() as u32;
            rows.extend(table[1..].iter().cloned().map(|mut row| {
                row.next += shift;
                row.flags &= !FLAG_OUTSIDE;
                row
            }));
            let resumed = usize::try_from(table[0].offset).unwrap();
            match table[0].tag {
                tag if tag == Status::More as u32 => size = window_bytes.max(12),
                tag if tag == Status::Wider as u32 => size = size.max(12) * 4,
                tag if tag == Status::Fragments as u32 => {
                    let mut from = resumed;
                    loop {
                        let part = &data[from..data.len().min(from + 8)];
                        let window =
                            Window { data: part, base: from as u64, end: data.len() as u64 };
                        match walk_fragments(window, options.is_big_endian) {
                            Walk::Delimiter(offset) => {
                                let last = rows.last_mut().unwrap();
                                last.stored = offset - last.offset;
                                from = usize::try_from(offset).unwrap() + 8;
                                break;
                            }
                            Walk::More(offset) => {
                                assert!(usize::try_from(offset).unwrap() > from);
                                from = usize::try_from(offset).unwrap();
                            }
                            Walk::NotFragments => return (Status::Foreign as u32, rows),
                        }
                    }
                    at = from.min(data.len());
                    options.is_start = false;
                    size = window_bytes.max(12);
                    continue;
                }
                end => return (end, rows),
            }
            at = resumed;
            // Where nothing was read yet, the form is still to be looked at.
            options.is_start &= rows.is_empty() && resumed == 0;
        }
    }

    #[test]
    fn windows_do_not_change_what_is_read() {
        for window_bytes in [12, 13, 16, 20, 40, 64, 1000] {
            let whole = scan(SEQUENCE, EXPLICIT);
            assert_eq!(
                scan_in_windows(SEQUENCE, window_bytes, EXPLICIT),
                (whole[0].tag, whole[1..].to_vec()),
                "{window_bytes}"
            );
        }
    }

    proptest! {
        /// Any bytes give a table whose rows are in order and whose values exist.
        #[test]
        fn any_bytes_give_a_sound_table(
            data in proptest::collection::vec(
                prop_oneof![
                    3 => any::<u8>().prop_map(|byte| vec![byte]),
                    2 => Just(b"\xFE\xFF\x00\xE0".to_vec()),
                    2 => Just(b"\xFE\xFF\xDD\xE0\0\0\0\0".to_vec()),
                    1 => Just(b"\xFE\xFF\x0D\xE0\0\0\0\0".to_vec()),
                    2 => Just(b"\xFF\xFF\xFF\xFF".to_vec()),
                    2 => Just(b"\x08\0\x40\x11SQ\0\0".to_vec()),
                    2 => Just(b"\x10\0\x10\0PN\x02\0AB".to_vec()),
                    1 => Just(b"\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF".to_vec()),
                ],
                0..60,
            ),
            is_implicit: bool,
            is_big_endian: bool,
        ) {
            let data = data.concat();
            let rows = scan(&data, Options { is_implicit, is_big_endian, ..EXPLICIT });
            check(&rows, data.len() as u64);
            check(&seen(&scan_sequence(&data, is_implicit, is_big_endian, &known())), data.len() as u64);
        }
    }

    fn check(rows: &[Seen], end: u64) {
        assert_eq!(rows[0].next as usize + 1, rows.len());
        if rows[0].tag == Status::Foreign as u32 {
            return;
        }
        assert!(rows[0].offset <= end);
        for (index, row) in rows.iter().enumerate().skip(1) {
            assert!(row.next as usize > index && row.next as usize <= rows.len());
            assert!(row.offset + row.stored <= end, "{row:?}");
        }
    }
}
