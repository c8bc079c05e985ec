//! Identifiers: the small data sets of query and retrieve requests and responses.
//!
//! Source: PS3.5 §7 (elements, sequences, items), Annex A (the encodings), PS3.4 §C.4.1.1.3 (what
//! an identifier is). Reading borrows: each element of the top level is a tag, a VR and bytes, a
//! sequence is the bytes of its items, read one level at a time by [`Item::all`]. The number of
//! elements and the nesting are bounded, and nothing recurses. Writing appends to a buffer in the
//! transfer syntax of the presentation context. Called by `index::{matching, query}` and `server`.

use std::borrow::Cow;
use std::fmt;

use crate::dataset::transfer_syntax::{ByteOrder, TransferSyntax};
use crate::limits::{IDENTIFIER_BYTES_MAX, IDENTIFIER_ELEMENTS_MAX, SEQUENCE_DEPTH_MAX};
use crate::tag::{self, Tag};
use crate::vr::Vr;

/// Length of a value that ends with a delimiter.
const UNDEFINED: u32 = u32::MAX;

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Each element names its VR.
    pub is_explicit: bool,
    /// Byte order of tags, lengths and numbers.
    pub byte_order: ByteOrder,
}

impl Encoding {
    /// Explicit VR Little Endian, in which the index keeps sequences.
    pub const EXPLICIT_LITTLE: Self = Self { is_explicit: true, byte_order: ByteOrder::Little };
    /// Implicit VR Little Endian.
    pub const IMPLICIT_LITTLE: Self = Self { is_explicit: false, byte_order: ByteOrder::Little };

    /// The encoding of a transfer syntax, deflation aside.
    pub const fn of(syntax: TransferSyntax) -> Self {
        Self { is_explicit: syntax.is_explicit, byte_order: syntax.byte_order }
    }

    const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self.byte_order {
            ByteOrder::Little => u16::from_le_bytes(bytes),
            ByteOrder::Big => u16::from_be_bytes(bytes),
        }
    }

    const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self.byte_order {
            ByteOrder::Little => u32::from_le_bytes(bytes),
            ByteOrder::Big => u32::from_be_bytes(bytes),
        }
    }

    const fn u16_bytes(self, value: u16) -> [u8; 2] {
        match self.byte_order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }

    const fn u32_bytes(self, value: u32) -> [u8; 4] {
        match self.byte_order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }

    /// The numbers of a value in little endian, as the index keeps them.
    pub fn little_endian(self, vr: Vr, value: &[u8]) -> Cow<'_, [u8]> {
        let width = number_bytes(vr);
        if self.byte_order == ByteOrder::Little || width < 2 {
            return Cow::Borrowed(value);
        }
        let mut swapped = value.to_vec();
        for number in swapped.chunks_exact_mut(width) {
            number.reverse();
        }
        Cow::Owned(swapped)
    }
}

/// Bytes of one number of a binary VR (PS3.5 §6.2); 1 for text.
const fn number_bytes(vr: Vr) -> usize {
    match &vr.0 {
        b"US" | b"SS" | b"OW" | b"AT" => 2,
        b"UL" | b"SL" | b"FL" | b"OF" | b"OL" => 4,
        b"FD" | b"UV" | b"SV" | b"OD" | b"OV" => 8,
        _ => 1,
    }
}

/// Why bytes are no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentifierError {
    /// An element reaches past the end, or its header does.
    Truncated {
        /// Where it begins.
        offset: usize,
    },
    /// An element of explicit encoding without a VR of two capital letters.
    BadVr {
        /// Its tag.
        tag: Tag,
    },
    /// A delimiter or item where none can be, or something else where one must be.
    Misplaced {
        /// Its tag.
        tag: Tag,
    },
    /// Sequences nested deeper than `SEQUENCE_DEPTH_MAX`.
    TooDeep,
    /// More elements than `IDENTIFIER_ELEMENTS_MAX`.
    TooManyElements,
    /// More bytes than `IDENTIFIER_BYTES_MAX`, after inflating where it is deflated.
    TooLong,
    /// The deflated bytes are no deflate stream, or not a whole one.
    Deflate,
}

impl fmt::Display for IdentifierError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { offset } => {
                write!(formatter, "identifier: the element at offset {offset} is cut")
            }
            Self::BadVr { tag } => write!(formatter, "identifier: {tag} has no VR"),
            Self::Misplaced { tag } => write!(formatter, "identifier: {tag} out of place"),
            Self::TooDeep => {
                write!(formatter, "identifier: nested deeper than {SEQUENCE_DEPTH_MAX}")
            }
            Self::TooManyElements => {
                write!(formatter, "identifier: more than {IDENTIFIER_ELEMENTS_MAX} elements")
            }
            Self::TooLong => {
                write!(formatter, "identifier: more than {IDENTIFIER_BYTES_MAX} bytes")
            }
            Self::Deflate => formatter.write_str("identifier: not a deflate stream"),
        }
    }
}

impl std::error::Error for IdentifierError {}

/// The bytes of elements: those that came, or what they inflate to.
pub fn inflated(syntax: TransferSyntax, bytes: &[u8]) -> Result<Cow<'_, [u8]>, IdentifierError> {
    if bytes.len() > IDENTIFIER_BYTES_MAX {
        return Err(IdentifierError::TooLong);
    }
    if !syntax.is_deflated {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut inflater = flate2::Decompress::new(false);
    let mut out = Vec::new();
    loop {
        // What is reserved grows with what was really made, not with what a peer claims.
        out.reserve(
            (out.len() + 4096).min(IDENTIFIER_BYTES_MAX + 1 - out.len().min(IDENTIFIER_BYTES_MAX)),
        );
        let read = usize::try_from(inflater.total_in()).map_err(|_| IdentifierError::TooLong)?;
        let before = (read, out.len());
        let input = bytes.get(read..).unwrap_or_default();
        let status = inflater
            .decompress_vec(input, &mut out, flate2::FlushDecompress::None)
            .map_err(|_| IdentifierError::Deflate)?;
        if out.len() > IDENTIFIER_BYTES_MAX {
            return Err(IdentifierError::TooLong);
        }
        match status {
            flate2::Status::StreamEnd => return Ok(Cow::Owned(out)),
            _ if before == (inflater.total_in() as usize, out.len()) => {
                return Err(IdentifierError::Deflate);
            }
            _ => {}
        }
    }
}

/// Deflates a whole identifier (PS3.5 §A.5), to even length.
pub fn deflated(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut deflater =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to memory does not fail.
    let _ = deflater.write_all(bytes);
    let mut out = deflater.finish().unwrap_or_default();
    if out.len() % 2 == 1 {
        out.push(0);
    }
    out
}

/// One element, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its tag.
    pub tag: Tag,
    /// Its VR; [`Vr::NONE`] where the encoding does not say.
    pub vr: Vr,
    /// Its value; of a sequence its items, without the delimiter behind them.
    pub value: &'a [u8],
    /// Its length was undefined, so that a delimiter ended it.
    pub is_undefined: bool,
}

/// The elements of one level: of an identifier, or of an item in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item<'a> {
    elements: Vec<Element<'a>>,
    /// Length in bytes, without header and delimiter.
    bytes: usize,
    /// Its length was undefined, so that a delimiter ended it.
    is_undefined: bool,
}

/// A header and where its value begins.
struct Header {
    tag: Tag,
    vr: Vr,
    length: u32,
    value_at: usize,
}

fn header(bytes: &[u8], at: usize, encoding: Encoding) -> Result<Header, IdentifierError> {
    let truncated = IdentifierError::Truncated { offset: at };
    let rest = bytes.get(at..).ok_or(truncated)?;
    let (&[t0, t1, t2, t3, a, b, c, d], rest) = rest.split_first_chunk::<8>().ok_or(truncated)?;
    let tag = Tag::new(encoding.u16([t0, t1]), encoding.u16([t2, t3]));
    if !encoding.is_explicit || tag.group() == 0xFFFE {
        let length = encoding.u32([a, b, c, d]);
        return Ok(Header { tag, vr: Vr::NONE, length, value_at: at + 8 });
    }
    let vr = Vr([a, b]);
    if !vr.is_letters() {
        return Err(IdentifierError::BadVr { tag });
    }
    if vr.is_known() && !vr.has_long_length() {
        let length = u32::from(encoding.u16([c, d]));
        return Ok(Header { tag, vr, length, value_at: at + 8 });
    }
    let length = encoding.u32(*rest.first_chunk::<4>().ok_or(truncated)?);
    Ok(Header { tag, vr, length, value_at: at + 12 })
}

/// The value of a header: where it ends, and where the next header begins.
fn value_end(
    bytes: &[u8],
    header: &Header,
    encoding: Encoding,
) -> Result<(usize, usize), IdentifierError> {
    if header.length != UNDEFINED {
        let end = header.value_at.checked_add(header.length as usize);
        let end = end.filter(|end| *end <= bytes.len());
        let end = end.ok_or(IdentifierError::Truncated { offset: header.value_at })?;
        return Ok((end, end));
    }
    // PS3.5 §6.2.2: UN of undefined length is a sequence in Implicit VR Little Endian.
    let inner = if header.vr == Vr::UN { Encoding::IMPLICIT_LITTLE } else { encoding };
    let mut open = vec![(Opened::of(header.tag), inner)];
    let mut at = header.value_at;
    loop {
        let Some(&(opened, encoding)) = open.last() else {
            return Err(IdentifierError::Truncated { offset: at });
        };
        let next = self::header(bytes, at, encoding)?;
        let skipped = next.value_at.checked_add(next.length as usize);
        match (opened, next.tag) {
            (Opened::Sequence, tag::SEQUENCE_DELIMITATION)
            | (Opened::Item, tag::ITEM_DELIMITATION) => {
                open.pop();
                if open.is_empty() {
                    return Ok((at, next.value_at));
                }
                at = next.value_at;
                continue;
            }
            (Opened::Sequence, tag::ITEM) | (Opened::Item, _) => {
                let is_item = next.tag == tag::ITEM;
                if next.tag.group() == 0xFFFE && (opened == Opened::Item || !is_item) {
                    return Err(IdentifierError::Misplaced { tag: next.tag });
                }
                if next.length == UNDEFINED {
                    if open.len() > 2 * SEQUENCE_DEPTH_MAX {
                        return Err(IdentifierError::TooDeep);
                    }
                    let inner =
                        if next.vr == Vr::UN { Encoding::IMPLICIT_LITTLE } else { encoding };
                    open.push((Opened::of(next.tag), inner));
                    at = next.value_at;
                    continue;
                }
            }
            (Opened::Sequence, tag) => return Err(IdentifierError::Misplaced { tag }),
        }
        at = skipped
            .filter(|end| *end <= bytes.len())
            .ok_or(IdentifierError::Truncated { offset: at })?;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    Sequence,
    Item,
}

impl Opened {
    fn of(tag: Tag) -> Self {
        if tag == tag::ITEM { Self::Item } else { Self::Sequence }
    }
}

impl<'a> Item<'a> {
    /// Reads `bytes`, the elements of one level.
    pub fn read(bytes: &'a [u8], encoding: Encoding) -> Result<Self, IdentifierError> {
        let mut elements: Vec<Element<'a>> = Vec::new();
        let mut at = 0;
        let mut is_ascending = true;
        while at < bytes.len() {
            let header = header(bytes, at, encoding)?;
            if header.tag.group() == 0xFFFE {
                return Err(IdentifierError::Misplaced { tag: header.tag });
            }
            let (end, next) = value_end(bytes, &header, encoding)?;
            let value = bytes.get(header.value_at..end).unwrap_or_default();
            if elements.len() == IDENTIFIER_ELEMENTS_MAX {
                return Err(IdentifierError::TooManyElements);
            }
            is_ascending &= elements.last().is_none_or(|last| last.tag < header.tag);
            let is_undefined = header.length == UNDEFINED;
            elements.push(Element { tag: header.tag, vr: header.vr, value, is_undefined });
            at = next;
        }
        if !is_ascending {
            // Of two elements with one tag the first counts.
            elements.sort_by_key(|element| element.tag);
            elements.dedup_by_key(|element| element.tag);
        }
        Ok(Self { elements, bytes: bytes.len(), is_undefined: false })
    }

    /// The items of a sequence's value, in turn.
    pub fn all(
        value: &'a [u8],
        encoding: Encoding,
    ) -> impl Iterator<Item = Result<Self, IdentifierError>> {
        let mut at = 0;
        core::iter::from_fn(move || {
            if at >= value.len() {
                return None;
            }
            let item = || -> Result<(Self, usize), IdentifierError> {
                let header = header(value, at, encoding)?;
                if header.tag != tag::ITEM {
                    return Err(IdentifierError::Misplaced { tag: header.tag });
                }
                let (end, next) = value_end(value, &header, encoding)?;
                let inner = value.get(header.value_at..end).unwrap_or_default();
                let is_undefined = header.length == UNDEFINED;
                Ok((Self { is_undefined, ..Self::read(inner, encoding)? }, next))
            };
            match item() {
                Ok((item, next)) => {
                    at = next;
                    Some(Ok(item))
                }
                Err(error) => {
                    at = value.len();
                    Some(Err(error))
                }
            }
        })
    }

    /// Elements in ascending order, each tag once.
    pub fn elements(&self) -> &[Element<'a>] {
        &self.elements
    }

    /// Length in bytes, without header and delimiter; `None` when it was undefined.
    pub fn defined_bytes(&self) -> Option<usize> {
        (!self.is_undefined).then_some(self.bytes)
    }

    /// The element `tag`.
    pub fn get(&self, tag: Tag) -> Option<&Element<'a>> {
        let at = self.elements.binary_search_by_key(&tag, |element| element.tag).ok()?;
        self.elements.get(at)
    }

    /// The value of `tag`; empty where it is absent.
    pub fn value(&self, tag: Tag) -> &'a [u8] {
        self.get(tag).map_or(&[], |element| element.value)
    }
}

/// Appends elements to a buffer; the caller keeps their order.
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    encoding: Encoding,
}

impl<'o> Writer<'o> {
    /// Writes to the end of `out`.
    pub fn new(out: &'o mut Vec<u8>, encoding: Encoding) -> Self {
        Self { out, encoding }
    }

    fn tag(&mut self, tag: Tag) {
        self.out.extend_from_slice(&self.encoding.u16_bytes(tag.group()));
        self.out.extend_from_slice(&self.encoding.u16_bytes(tag.element()));
    }

    fn header(&mut self, tag: Tag, vr: Vr, length: u32) {
        self.tag(tag);
        if self.encoding.is_explicit && tag.group() != 0xFFFE {
            self.out.extend_from_slice(&vr.0);
            if vr.has_long_length() {
                self.out.extend_from_slice(&[0, 0]);
            } else {
                self.out.extend_from_slice(&self.encoding.u16_bytes(length as u16));
                return;
            }
        }
        self.out.extend_from_slice(&self.encoding.u32_bytes(length));
    }

    /// Appends text, padded to even length.
    pub fn text(&mut self, tag: Tag, vr: Vr, value: &[u8]) {
        let longest = if vr.has_long_length() { u32::MAX as usize - 1 } else { 0xFFFE };
        let value = value.get(..longest).unwrap_or(value);
        let is_odd = value.len() % 2 == 1;
        self.header(tag, vr, (value.len() + usize::from(is_odd)) as u32);
        self.out.extend_from_slice(value);
        if is_odd {
            self.out.push(if vr == Vr::UI { 0 } else { b' ' });
        }
    }

    /// Appends a value as the index keeps it: text, numbers in little endian, or the items of a
    /// sequence in Explicit VR Little Endian.
    pub fn stored(&mut self, tag: Tag, vr: Vr, value: &[u8]) {
        if vr == Vr::SQ {
            self.sequence(tag, value);
            return;
        }
        let width = number_bytes(vr);
        if width < 2 || self.encoding.byte_order == ByteOrder::Little {
            self.text(tag, vr, value);
            return;
        }
        self.header(tag, vr, value.len() as u32);
        for number in value.chunks(width) {
            self.out.extend(number.iter().rev());
        }
    }

    /// Appends a sequence of undefined length, its items re-encoded; damaged items end it.
    fn sequence(&mut self, tag: Tag, items: &[u8]) {
        if items.is_empty() {
            self.header(tag, Vr::SQ, 0);
            return;
        }
        self.header(tag, Vr::SQ, UNDEFINED);
        // What is open: where its bytes end, and what closes it.
        let mut open = vec![(items.len(), tag::SEQUENCE_DELIMITATION)];
        let mut at = 0;
        let source = Encoding::EXPLICIT_LITTLE;
        while let Some(&(end, closing)) = open.last() {
            if at >= end {
                self.header(closing, Vr::NONE, 0);
                open.pop();
                continue;
            }
            let next = header(items, at, source).ok().and_then(|header| {
                let (value_end, next) = value_end(items, &header, source).ok()?;
                (next <= end && header.length != UNDEFINED).then_some((header, value_end))
            });
            let Some((header, value_end)) = next else {
                at = end;
                continue;
            };
            at = header.value_at;
            if header.tag == tag::ITEM {
                self.header(tag::ITEM, Vr::NONE, UNDEFINED);
                open.push((value_end, tag::ITEM_DELIMITATION));
            } else if header.vr == Vr::SQ {
                // Deeper than the scanner lets pass is nothing that was stored by us.
                if open.len() < 2 * SEQUENCE_DEPTH_MAX {
                    self.header(header.tag, Vr::SQ, UNDEFINED);
                    open.push((value_end, tag::SEQUENCE_DELIMITATION));
                } else {
                    at = value_end;
                }
            } else {
                let value = items.get(at..value_end).unwrap_or_default();
                self.stored(header.tag, header.vr, value);
                at = value_end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uid::Uid;
    use proptest::prelude::*;

    const IMPLICIT: Encoding = Encoding::IMPLICIT_LITTLE;
    const EXPLICIT: Encoding = Encoding::EXPLICIT_LITTLE;
    const BIG: Encoding = Encoding { is_explicit: true, byte_order: ByteOrder::Big };
    const NAME: Tag = Tag::new(0x0010, 0x0010);
    const ROWS: Tag = Tag::new(0x0028, 0x0010);
    const CODES: Tag = Tag::new(0x0008, 0x1032);

    fn written(encoding: Encoding, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, encoding));
        out
    }

    /// PS3.5 §7.1: each encoding, byte by byte.
    #[test]
    fn encodings() {
        let text = |encoding| written(encoding, |to| to.text(NAME, Vr(*b"PN"), b"Doe"));
        assert_eq!(text(IMPLICIT), b"\x10\0\x10\0\x04\0\0\0Doe ");
        assert_eq!(text(EXPLICIT), b"\x10\0\x10\0PN\x04\0Doe ");
        assert_eq!(text(BIG), b"\0\x10\0\x10PN\0\x04Doe ");
        let rows = |encoding| written(encoding, |to| to.stored(ROWS, Vr(*b"US"), b"\0\x02"));
        assert_eq!(rows(EXPLICIT), b"\x28\0\x10\0US\x02\0\0\x02");
        assert_eq!(rows(BIG), b"\0\x28\0\x10US\0\x02\x02\0");
        let uid = written(EXPLICIT, |to| to.text(Tag::new(8, 0x18), Vr::UI, b"1.2"));
        assert_eq!(uid, b"\x08\0\x18\0UI\x04\x001.2\0");
        for encoding in [IMPLICIT, EXPLICIT, BIG] {
            let bytes = [text(encoding), rows(encoding)].concat();
            let item = Item::read(&bytes, encoding).unwrap();
            assert_eq!(item.value(NAME), b"Doe ");
            let value = encoding.little_endian(Vr(*b"US"), item.value(ROWS));
            assert_eq!(value.as_ref(), b"\0\x02");
            assert_eq!(item.value(CODES), b"");
        }
    }

    /// A stored sequence goes out in every encoding and reads the same.
    #[test]
    fn sequences() {
        let inner = written(EXPLICIT, |to| to.text(Tag::new(8, 0x100), Vr(*b"SH"), b"AB"));
        let deep =
            [b"\xfe\xff\0\xe0".as_slice(), &(inner.len() as u32).to_le_bytes(), &inner].concat();
        let mut outer = inner.clone();
        outer.extend_from_slice(b"\x08\0\x21\x11SQ\0\0");
        outer.extend_from_slice(&(deep.len() as u32).to_le_bytes());
        outer.extend_from_slice(&deep);
        outer.extend_from_slice(&written(EXPLICIT, |to| to.stored(ROWS, Vr(*b"US"), b"\x01\x02")));
        let items =
            [b"\xfe\xff\0\xe0".as_slice(), &(outer.len() as u32).to_le_bytes(), &outer].concat();
        for encoding in [IMPLICIT, EXPLICIT, BIG] {
            let bytes = written(encoding, |to| {
                to.stored(CODES, Vr::SQ, &items);
                to.text(NAME, Vr(*b"PN"), b"X");
            });
            let read = Item::read(&bytes, encoding).unwrap();
            assert_eq!(read.value(NAME), b"X ");
            let mut found = Item::all(read.value(CODES), encoding);
            let item = found.next().unwrap().unwrap();
            assert!(found.next().is_none());
            assert_eq!(item.value(Tag::new(8, 0x100)), b"AB");
            let rows = encoding.little_endian(Vr(*b"US"), item.value(ROWS));
            assert_eq!(rows.as_ref(), b"\x01\x02");
            let within = item.value(Tag::new(8, 0x1121));
            let deepest = Item::all(within, encoding).next().unwrap().unwrap();
            assert_eq!(deepest.value(Tag::new(8, 0x100)), b"AB");
        }
        let none = written(EXPLICIT, |to| to.stored(CODES, Vr::SQ, b""));
        assert_eq!(none, b"\x08\0\x32\x10SQ\0\0\0\0\0\0");
    }

    /// PS3.5 §7.1, hostile: cut anywhere, delimiters out of place, an endless nest, many elements.
    #[test]
    fn refused() {
        let good = b"\x10\0\x10\0PN\x04\0Doe ".as_slice();
        for length in 1..good.len() {
            assert!(Item::read(&good[..length], EXPLICIT).is_err(), "{length}");
        }
        assert!(Item::read(b"\x10\0\x10\0PN\xff\xffDoe ", EXPLICIT).is_err());
        let misplaced = Item::read(b"\xfe\xff\x0d\xe0\0\0\0\0", IMPLICIT);
        assert_eq!(misplaced, Err(IdentifierError::Misplaced { tag: tag::ITEM_DELIMITATION }));
        let bad = Item::read(b"\x10\0\x10\0\x01\x02\0\0", EXPLICIT);
        assert_eq!(bad, Err(IdentifierError::BadVr { tag: NAME }));
        let mut nest = b"\x08\0\x32\x10\xff\xff\xff\xff".to_vec();
        for _ in 0..SEQUENCE_DEPTH_MAX + 2 {
            nest.extend_from_slice(b"\xfe\xff\0\xe0\xff\xff\xff\xff\x08\0\x32\x10\xff\xff\xff\xff");
        }
        assert_eq!(Item::read(&nest, IMPLICIT), Err(IdentifierError::TooDeep));
        let many = b"\x10\0\x10\0\0\0\0\0".repeat(IDENTIFIER_ELEMENTS_MAX + 1);
        assert_eq!(Item::read(&many, IMPLICIT), Err(IdentifierError::TooManyElements));
        let items = Item::all(b"\x10\0\x10\0\0\0\0\0", IMPLICIT).next().unwrap();
        assert_eq!(items, Err(IdentifierError::Misplaced { tag: NAME }));
    }

    /// Elements out of order are put in order; of two with one tag the first counts.
    #[test]
    fn order_and_duplicates() {
        let bytes = [
            written(IMPLICIT, |to| to.text(ROWS, Vr::NONE, b"12")),
            written(IMPLICIT, |to| to.text(NAME, Vr::NONE, b"ab")),
            written(IMPLICIT, |to| to.text(NAME, Vr::NONE, b"cd")),
        ]
        .concat();
        let item = Item::read(&bytes, IMPLICIT).unwrap();
        assert_eq!(item.elements().len(), 2);
        assert_eq!(item.value(NAME), b"ab");
    }

    /// PS3.5 §A.5: there and back; a bomb, a cut and bytes that are none are refused.
    #[test]
    fn deflate() {
        let syntax = TransferSyntax::of(&Uid::known("1.2.840.10008.1.2.1.99"));
        let plain = written(EXPLICIT, |to| to.text(NAME, Vr(*b"PN"), b"Doe^Jane"));
        let small = deflated(&plain);
        assert_eq!(small.len() % 2, 0);
        assert_eq!(inflated(syntax, &small).unwrap().as_ref(), plain);
        assert_eq!(inflated(syntax, &small[..4]), Err(IdentifierError::Deflate));
        assert_eq!(inflated(syntax, b"\xff\xff\xff"), Err(IdentifierError::Deflate));
        assert_eq!(inflated(syntax, b""), Err(IdentifierError::Deflate));
        let edge = deflated(&vec![0; IDENTIFIER_BYTES_MAX]);
        assert_eq!(inflated(syntax, &edge).unwrap().len(), IDENTIFIER_BYTES_MAX);
        let bomb = deflated(&vec![0; IDENTIFIER_BYTES_MAX + 1]);
        assert_eq!(inflated(syntax, &bomb), Err(IdentifierError::TooLong));
    }

    proptest! {
        /// Any bytes in any encoding: an answer, and every value lies inside the input.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), which in 0usize..3) {
            let encoding = [IMPLICIT, EXPLICIT, BIG][which];
            if let Ok(item) = Item::read(&bytes, encoding) {
                for element in item.elements() {
                    prop_assert!(bytes.as_ptr_range().contains(&element.value.as_ptr())
                        || element.value.is_empty());
                    let _ = Item::all(element.value, encoding).count();
                    let _ = written(BIG, |to| to.stored(element.tag, Vr::SQ, element.value));
                }
            }
        }
    }
}
