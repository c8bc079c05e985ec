//! Headers of data elements: read from bytes that may be cut anywhere, and written.
//!
//! Source: PS3.5 §7.1 (Tables 7.1-1 to 7.1-3), §7.5 (items and delimiters), §6.2 (a VR to come has a
//! 4-byte length). Knows no nesting: what a header means where it stands is its caller's business.
//! Called by `dataset::scan`, `dataset::rewrite` and `dataset::index_keys`.

use crate::dataset::scan::{ScanError, check_first_element};
use crate::dataset::transfer_syntax::{ByteOrder, TransferSyntax};
use crate::tag::{self, Tag};
use crate::vr::Vr;

/// Undefined length, PS3.5 §7.1.1.
pub(super) const UNDEFINED: u32 = u32::MAX;
/// Longest header: tag, VR, two reserved bytes, 4-byte length (PS3.5 Table 7.1-1).
pub(super) const HEADER_BYTES_MAX: usize = 12;
/// Longest value of a VR with a 2-byte length.
pub(super) const SHORT_LENGTH_MAX: u32 = 0xFFFF;

/// How bytes of a data set are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    pub is_explicit: bool,
    pub is_big_endian: bool,
}

impl Encoding {
    /// What a UN element of undefined length holds, whatever stands around it (PS3.5 §6.2.2).
    pub const UNKNOWN_SEQUENCE: Self = Self { is_explicit: false, is_big_endian: false };

    pub fn of(syntax: TransferSyntax) -> Self {
        Self { is_explicit: syntax.is_explicit, is_big_endian: syntax.byte_order == ByteOrder::Big }
    }

    pub fn tag(self, bytes: [u8; 4]) -> Tag {
        let [a, b, c, d] = bytes;
        Tag::new(self.u16([a, b]), self.u16([c, d]))
    }

    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    pub fn u32_bytes(self, value: u32) -> [u8; 4] {
        if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn put_u16(self, out: &mut Vec<u8>, value: u16) {
        let bytes = if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        out.extend_from_slice(&bytes);
    }

    fn put_tag(self, out: &mut Vec<u8>, tag: Tag) {
        self.put_u16(out, tag.group());
        self.put_u16(out, tag.element());
    }

    /// An item or a delimiter: no VR in any encoding.
    pub fn put_item(self, out: &mut Vec<u8>, tag: Tag, length: u32) {
        self.put_tag(out, tag);
        out.extend_from_slice(&self.u32_bytes(length));
    }

    /// An element's header; `length` fits its VR.
    pub fn put_header(self, out: &mut Vec<u8>, tag: Tag, vr: Vr, length: u32) {
        if !self.is_explicit {
            return self.put_item(out, tag, length);
        }
        self.put_tag(out, tag);
        out.extend_from_slice(&vr.0);
        if is_long(vr) {
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&self.u32_bytes(length));
        } else {
            self.put_u16(out, length as u16);
        }
    }

    /// Bytes of an element's header.
    pub fn header_bytes(self, vr: Vr) -> u64 {
        if self.is_explicit && is_long(vr) { 12 } else { 8 }
    }
}

/// True for a VR with a 4-byte length; a future VR has one (PS3.5 §6.2).
pub(super) fn is_long(vr: Vr) -> bool {
    vr.has_long_length() || !vr.is_known()
}

/// One element, item or delimiter.
pub(super) struct Header {
    pub tag: Tag,
    /// `Vr::NONE` where there is none.
    pub vr: Vr,
    pub length: u32,
    /// Bytes that it took.
    pub bytes: usize,
    /// The two bytes that PS3.5 Table 7.1-1 reserves are not zero.
    pub has_reserved_bits: bool,
}

impl Header {
    /// Ends an item or a sequence, and has no value whatever its length says.
    pub fn is_delimiter(&self) -> bool {
        matches!(self.tag, tag::ITEM_DELIMITATION | tag::SEQUENCE_DELIMITATION)
    }

    /// Bytes of the value that follow; none where the length is undefined.
    pub fn value_bytes(&self) -> u64 {
        if self.length == UNDEFINED || self.is_delimiter() { 0 } else { self.length.into() }
    }

    /// Where a header at `offset` ends, if its value ends at `limit` or before.
    pub fn end_within(&self, offset: u64, limit: u64) -> Result<u64, ScanError> {
        let after = offset + self.bytes as u64;
        if after + self.value_bytes() > limit {
            let &Self { tag, length, .. } = self;
            return Err(ScanError::LongerThanParent { tag, offset, length });
        }
        Ok(after)
    }
}

/// An element as good data sets mostly have them: known VR, 2-byte length, which is even and of whole
/// numbers.
pub(super) struct PlainElement<'b> {
    pub tag: Tag,
    pub vr: Vr,
    pub value: &'b [u8],
}

impl<'b> PlainElement<'b> {
    /// Bytes of its header.
    pub const HEADER_BYTES: usize = 8;

    /// The plain element that `bytes` begin with, all of it; `None` for anything else, group lengths,
    /// pixels and what is no element of a data set among them. A short way past [`HeaderReader`]: most
    /// of what watching an object costs are its headers.
    #[inline]
    pub fn first_of(bytes: &'b [u8], encoding: Encoding) -> Option<Self> {
        let (&[t0, t1, t2, t3, v0, v1, l0, l1], rest) = bytes.split_first_chunk::<8>()?;
        let tag = encoding.tag([t0, t1, t2, t3]);
        let vr = Vr([v0, v1]);
        let length = usize::from(encoding.u16([l0, l1]));
        let is_whole = length % 8 == 0 || length % vr.number_bytes() == 0;
        let is_ordinary = (FIRST_ORDINARY_GROUP..PIXEL_GROUP).contains(&tag.group());
        if !is_ordinary
            || tag.element() == 0
            || length % 2 == 1
            || !is_whole
            || !vr.has_short_length()
        {
            return None;
        }
        rest.get(..length).map(|value| Self { tag, vr, value })
    }
}

/// Below are commands, file meta information and what may not be (PS3.5 §7.1).
const FIRST_ORDINARY_GROUP: u16 = 0x0008;
/// Pixel Data and what is akin to it.
const PIXEL_GROUP: u16 = 0x7FE0;

enum Parsed {
    Header(Header),
    Needs(usize),
}

/// Reads headers, one that was cut over several calls.
pub(super) struct HeaderReader {
    carry: [u8; HEADER_BYTES_MAX],
    carried: usize,
}

impl HeaderReader {
    pub const fn new() -> Self {
        Self { carry: [0; HEADER_BYTES_MAX], carried: 0 }
    }

    /// True in the middle of a header.
    pub const fn is_inside(&self) -> bool {
        self.carried > 0
    }

    /// Bytes that the header in hand lacks at least; 0 between headers.
    pub const fn missing_bytes(&self) -> u64 {
        match self.carried {
            0 => 0,
            1..8 => 8 - self.carried as u64,
            _ => (HEADER_BYTES_MAX - self.carried) as u64,
        }
    }

    /// Takes the next header, which stands at `offset` of its data set, off `input`; `None` when its
    /// rest is still to come.
    pub fn take(
        &mut self,
        input: &mut &[u8],
        encoding: Encoding,
        offset: u64,
    ) -> Result<Option<Header>, ScanError> {
        if self.carried == 0 {
            match parse(input, encoding, offset)? {
                Parsed::Header(header) => {
                    *input = &input[header.bytes..];
                    return Ok(Some(header));
                }
                Parsed::Needs(_) => {
                    self.carry[..input.len()].copy_from_slice(input);
                    self.carried = input.len();
                    *input = &[];
                    return Ok(None);
                }
            }
        }
        let mut needed: usize = 8;
        loop {
            let taken = needed.saturating_sub(self.carried).min(input.len());
            let (start, rest) = input.split_at(taken);
            self.carry[self.carried..self.carried + taken].copy_from_slice(start);
            self.carried += taken;
            *input = rest;
            if self.carried < needed {
                return Ok(None);
            }
            match parse(&self.carry[..self.carried], encoding, offset)? {
                Parsed::Header(header) => {
                    self.carried = 0;
                    return Ok(Some(header));
                }
                Parsed::Needs(more) => needed = more,
            }
        }
    }
}

/// Reads a header from the start of `bytes`, which hold all of it or less than 12 bytes.
fn parse(bytes: &[u8], encoding: Encoding, offset: u64) -> Result<Parsed, ScanError> {
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else {
        return Ok(Parsed::Needs(8));
    };
    let &[t0, t1, t2, t3, a, b, c, d] = head;
    let tag = encoding.tag([t0, t1, t2, t3]);
    if offset == 0 {
        check_first_element(encoding.is_explicit, tag, Vr([a, b]))?;
    }
    let short = |vr, length| {
        Ok(Parsed::Header(Header { tag, vr, length, bytes: 8, has_reserved_bits: false }))
    };
    if !encoding.is_explicit || tag.group() == 0xFFFE {
        return short(Vr::NONE, encoding.u32([a, b, c, d]));
    }
    let vr = Vr([a, b]);
    if !vr.is_letters() {
        return Err(ScanError::BadVr { tag, vr, offset });
    }
    if !is_long(vr) {
        return short(vr, u32::from(encoding.u16([c, d])));
    }
    match rest.first_chunk::<4>() {
        None => Ok(Parsed::Needs(HEADER_BYTES_MAX)),
        Some(length) => Ok(Parsed::Header(Header {
            tag,
            vr,
            length: encoding.u32(*length),
            bytes: HEADER_BYTES_MAX,
            has_reserved_bits: (c, d) != (0, 0),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPLICIT: Encoding = Encoding { is_explicit: true, is_big_endian: false };

    fn read(bytes: &[u8], cut: usize, encoding: Encoding) -> Option<(Tag, Vr, u32, usize, bool)> {
        let mut reader = HeaderReader::new();
        for mut piece in bytes.chunks(cut) {
            let header = reader.take(&mut piece, encoding, 8).unwrap();
            if let Some(header) = header {
                assert!(piece.is_empty() && !reader.is_inside());
                let Header { tag, vr, length, bytes, has_reserved_bits } = header;
                return Some((tag, vr, length, bytes, has_reserved_bits));
            }
            assert!(reader.is_inside() && reader.missing_bytes() > 0);
        }
        None
    }

    /// PS3.5 Tables 7.1-1 to 7.1-3: what is written is read, however it was cut.
    #[test]
    fn written_is_read() {
        for is_big_endian in [false, true] {
            for is_explicit in [false, true] {
                let encoding = Encoding { is_explicit, is_big_endian };
                for (vr, length) in [(*b"UI", 26), (*b"OW", 0x1_0000), (*b"SQ", UNDEFINED)] {
                    let tag = Tag::new(0x0008, 0x1140);
                    let mut bytes = Vec::new();
                    encoding.put_header(&mut bytes, tag, Vr(vr), length);
                    assert_eq!(bytes.len() as u64, encoding.header_bytes(Vr(vr)));
                    let vr = if is_explicit { Vr(vr) } else { Vr::NONE };
                    for cut in 1..=bytes.len() {
                        let found = read(&bytes, cut, encoding);
                        assert_eq!(found, Some((tag, vr, length, bytes.len(), false)));
                        assert_eq!(read(&bytes[..bytes.len() - 1], cut, encoding), None);
                    }
                }
            }
        }
    }

    /// What the standard reserves is noticed, not refused.
    #[test]
    fn reserved_bytes() {
        let found = read(b"\x08\0\x40\x11SQ\x01\0\x04\0\0\0", 12, EXPLICIT);
        assert!(matches!(found, Some((_, Vr::SQ, 4, 12, true))));
    }
}
