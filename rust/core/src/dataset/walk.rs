//! The elements of a data set one after the other, whatever its size.
//!
//! Source: PS3.5 §7 (elements, sequences, items), §A.4 (encapsulated pixel data), §6.2.2 (UN of
//! undefined length). Bytes may be cut anywhere. A [`Visitor`] sees each header and each piece of each
//! value, in the order of the bytes; nothing is kept but what is open, at most
//! `limits::SEQUENCE_DEPTH_MAX` deep. Deflated data sets are inflated by the caller. Called by
//! `recording::{show, treat}` and `dataset::compare`.

use crate::dataset::element_header::{Encoding, HeaderReader, UNDEFINED};
use crate::dataset::scan::ScanError;
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dictionary::elements::DictionaryVr;
use crate::dictionary::vr_of;
use crate::limits::SEQUENCE_DEPTH_MAX;
use crate::tag::{ITEM, ITEM_DELIMITATION, PIXEL_DATA, SEQUENCE_DELIMITATION, Tag};
use crate::vr::Vr;

/// A header, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its tag; of an item or delimiter that one's.
    pub tag: Tag,
    /// On the wire or the dictionary's; none of an item or delimiter.
    pub vr: Vr,
    /// `None` where it is undefined.
    pub length: Option<u32>,
    /// Sequences and items around it.
    pub depth: usize,
    /// It opens something: a sequence, or an item that is no fragment.
    pub is_opening: bool,
    /// Numbers in its value are big-endian.
    pub is_big_endian: bool,
}

/// Watches whether elements stand in the order of their tags, each once (PS3.5 §7.1).
#[derive(Debug, Default)]
pub struct Order {
    /// The last tag of each level that is open.
    last: Vec<Option<Tag>>,
}

impl Order {
    /// Takes the next header; false for one that belongs before the last.
    pub fn take(&mut self, place: &Place) -> bool {
        if place.tag.group() == 0xFFFE {
            // The elements of an item, one level below it, have an order of their own.
            self.last.truncate(place.depth + 1);
            return true;
        }
        self.last.resize(place.depth + 1, None);
        let last = self.last.get_mut(place.depth).and_then(|last| last.replace(place.tag));
        last.is_none_or(|last| last < place.tag)
    }
}

/// Who looks at a data set.
pub trait Visitor {
    /// A header; where it does not open anything, its value follows.
    fn header(&mut self, place: Place);
    /// Bytes of the value of the last header; `is_end` with the last ones.
    fn value(&mut self, bytes: &[u8], is_end: bool);
    /// Asked of an element of unknown VR and defined length, before its header: true where its value is
    /// to be walked as the sequence that it may be (PS3.5 §6.2.2).
    fn is_sequence(&mut self, _place: Place) -> bool {
        false
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sequence,
    Item,
    /// Encapsulated pixel data: its items have no elements.
    Fragments,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    kind: Kind,
    /// Where it ends; `u64::MAX` where a delimiter ends it.
    end: u64,
    /// Where what has a defined length around it ends.
    limit: u64,
    /// Of what is around it.
    outer: Encoding,
}

/// Walks through one data set.
pub struct Walk {
    encoding: Encoding,
    reader: HeaderReader,
    open: Vec<Open>,
    offset: u64,
    value_left: u64,
    is_in_value: bool,
    failed: Option<ScanError>,
}

impl Walk {
    /// Through a data set in this transfer syntax, inflated.
    pub fn new(syntax: TransferSyntax) -> Self {
        Self {
            encoding: Encoding::of(syntax),
            reader: HeaderReader::new(),
            open: Vec::new(),
            offset: 0,
            value_left: 0,
            is_in_value: false,
            failed: None,
        }
    }

    /// True where no header, value or sequence is open.
    pub fn is_whole(&self) -> bool {
        let is_open = |open: &Open| open.end != self.offset;
        self.failed.is_none()
            && !self.is_in_value
            && !self.reader.is_inside()
            && !self.open.iter().any(is_open)
    }

    /// Bytes of the value in hand that are still to come: they may be passed over.
    pub const fn value_bytes_ahead(&self) -> u64 {
        self.value_left
    }

    /// Takes the next bytes. An error is final.
    ///
    /// # Errors
    ///
    /// What stands there is no element.
    pub fn feed(&mut self, input: &[u8], visitor: &mut impl Visitor) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.walk(input, visitor);
        self.failed = result.err();
        result
    }

    fn walk(&mut self, mut input: &[u8], visitor: &mut impl Visitor) -> Result<(), ScanError> {
        while !input.is_empty() {
            self.step(&mut input, visitor)?;
        }
        Ok(())
    }

    /// Takes one header, or one piece of a value, from the front of `input`; what it takes is gone from
    /// there. For who walks through two data sets side by side; an error must be the last call.
    ///
    /// # Errors
    ///
    /// As [`Walk::feed`].
    pub fn step(&mut self, input: &mut &[u8], visitor: &mut impl Visitor) -> Result<(), ScanError> {
        if self.is_in_value {
            let count = usize::try_from(self.value_left).unwrap_or(usize::MAX).min(input.len());
            let (value, rest) = input.split_at(count);
            *input = rest;
            self.offset += count as u64;
            self.value_left -= count as u64;
            self.is_in_value = self.value_left > 0;
            visitor.value(value, !self.is_in_value);
            return Ok(());
        }
        if !self.reader.is_inside() {
            self.close_ended();
        }
        let start = self.offset;
        let header = self.reader.take(input, self.encoding, start)?;
        let Some(header) = header else { return Ok(()) };
        self.offset += header.bytes as u64;
        let length = (header.length != UNDEFINED).then_some(header.length);
        self.header(header.tag, header.vr, length, start, visitor)
    }

    /// Leaves what ended by its defined length.
    fn close_ended(&mut self) {
        while let Some(open) = self.open.last().filter(|open| open.end == self.offset) {
            self.encoding = open.outer;
            self.open.pop();
        }
    }

    fn header(
        &mut self,
        tag: Tag,
        vr: Vr,
        length: Option<u32>,
        offset: u64,
        visitor: &mut impl Visitor,
    ) -> Result<(), ScanError> {
        let within = self.open.last().map(|open| open.kind);
        let limit = self.open.last().map_or(u64::MAX, |open| open.limit);
        if self.offset + u64::from(length.unwrap_or(0)) > limit {
            let length = length.unwrap_or(UNDEFINED);
            return Err(ScanError::LongerThanParent { tag, offset, length });
        }
        let depth = self.open.len();
        let place = Place {
            tag,
            vr: Vr::NONE,
            length,
            depth,
            is_opening: false,
            is_big_endian: self.encoding.is_big_endian,
        };
        match (tag, within) {
            (SEQUENCE_DELIMITATION, Some(Kind::Sequence | Kind::Fragments))
            | (ITEM_DELIMITATION, Some(Kind::Item)) => {
                if let Some(open) = self.open.pop() {
                    self.encoding = open.outer;
                }
                visitor.header(Place { depth: depth - 1, ..place });
                visitor.value(&[], true);
                Ok(())
            }
            (ITEM, Some(Kind::Sequence)) => {
                visitor.header(Place { is_opening: true, ..place });
                self.enter(Kind::Item, place, self.encoding, offset)
            }
            (ITEM, Some(Kind::Fragments)) => match length {
                Some(length) => {
                    visitor.header(place);
                    self.begin_value(length, visitor);
                    Ok(())
                }
                None => Err(ScanError::ItemExpected { tag, offset }),
            },
            (_, Some(Kind::Sequence | Kind::Fragments)) => {
                Err(ScanError::ItemExpected { tag, offset })
            }
            _ if tag.group() == 0xFFFE => Err(ScanError::NothingToDelimit { tag, offset }),
            _ => {
                self.element(Place { vr: known_vr(tag, vr, length), ..place }, vr, offset, visitor)
            }
        }
    }

    fn element(
        &mut self,
        place: Place,
        vr_given: Vr,
        offset: u64,
        visitor: &mut impl Visitor,
    ) -> Result<(), ScanError> {
        let is_unknown = place.vr == Vr::UN && place.length.is_some();
        if is_unknown && visitor.is_sequence(place) {
            visitor.header(Place { is_opening: true, ..place });
            return self.enter(Kind::Sequence, place, Encoding::UNKNOWN_SEQUENCE, offset);
        }
        if place.vr == Vr::SQ || place.length.is_none() {
            visitor.header(Place { is_opening: true, ..place });
            let is_pixels = place.tag == PIXEL_DATA && place.vr != Vr::SQ;
            let kind = if is_pixels { Kind::Fragments } else { Kind::Sequence };
            let inner = if vr_given == Vr::UN { Encoding::UNKNOWN_SEQUENCE } else { self.encoding };
            return self.enter(kind, place, inner, offset);
        }
        visitor.header(place);
        self.begin_value(place.length.unwrap_or_default(), visitor);
        Ok(())
    }

    fn begin_value(&mut self, length: u32, visitor: &mut impl Visitor) {
        self.value_left = u64::from(length);
        self.is_in_value = length > 0;
        if length == 0 {
            visitor.value(&[], true);
        }
    }

    fn enter(
        &mut self,
        kind: Kind,
        place: Place,
        inner: Encoding,
        offset: u64,
    ) -> Result<(), ScanError> {
        if self.open.len() >= 2 * SEQUENCE_DEPTH_MAX {
            return Err(ScanError::TooDeep { tag: place.tag, offset });
        }
        let end = place.length.map_or(u64::MAX, |length| self.offset + u64::from(length));
        let limit = self.open.last().map_or(u64::MAX, |open| open.limit).min(end);
        self.open.push(Open { kind, end, limit, outer: self.encoding });
        self.encoding = inner;
        Ok(())
    }
}

/// The VR of the wire, or the dictionary's; unknown ones of undefined length are sequences.
fn known_vr(tag: Tag, vr: Vr, length: Option<u32>) -> Vr {
    if vr != Vr::NONE {
        return if vr == Vr::UN && length.is_none() { Vr::SQ } else { vr };
    }
    // PS3.5 §7.2: group length; PS3.5 §7.8.1: private creator.
    match (tag.element(), tag.group() % 2) {
        (0, _) => return Vr(*b"UL"),
        (0x10..=0xFF, 1) => return Vr(*b"LO"),
        _ => {}
    }
    match vr_of(tag) {
        Some(DictionaryVr::Is(vr)) => vr,
        Some(DictionaryVr::UsOrSs | DictionaryVr::LookupTable) => Vr(*b"US"),
        Some(DictionaryVr::ObOrOw) => Vr::OW,
        None if length.is_none() => Vr::SQ,
        None => Vr::UN,
    }
}
