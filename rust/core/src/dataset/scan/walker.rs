//! The structure of uncompressed bytes: what is open, what stands in it, and the values that are wanted.

use super::error::{ScanError, ScanWarnings};
use crate::dataset::element_header::{Encoding, Header, HeaderReader, PlainElement, UNDEFINED};
use crate::dataset::index_keys::IndexKeys;
use crate::dictionary::{vr_of, vr_of_defined_length};
use crate::limits::{SEQUENCE_DEPTH_MAX, WANTED_TAGS_MAX, WANTED_VALUE_BYTES_MAX};
use crate::tag::{self, Tag};
use crate::vr::Vr;

/// No bound, and the end of what has undefined length.
const NO_END: u64 = u64::MAX;

/// What an open frame holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Items, in a sequence.
    Items,
    /// Elements, in an item or in the data set itself.
    Elements,
    /// Fragments of encapsulated Pixel Data.
    Fragments,
}

/// One open sequence or item.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    holds: Holds,
    encoding: Encoding,
    /// True for an undefined length, which a delimiter must end.
    is_undefined: bool,
    /// The offset that nothing inside may pass: its own end, or that of the nearest parent with
    /// one.
    limit: u64,
    /// The last element's tag, where it holds elements.
    last_tag: Option<Tag>,
}

/// The structure of uncompressed bytes.
pub(super) struct Walker {
    /// The data set itself at the bottom, then what is open.
    pub top: Frame,
    /// The frames under `top`.
    pub below: Vec<Frame>,
    pub open_sequences: usize,
    pub offset: u64,
    pub value_left: u64,
    pub headers: HeaderReader,
    pub elements_seen: u64,
    pub has_fragments: bool,
    pub wanted: Wanted,
    /// Collects index keys, where somebody wants them.
    pub keys: Option<Box<IndexKeys>>,
    /// The bytes that go by belong to an index key.
    pub is_keeping: bool,
    pub warnings: ScanWarnings,
}

impl Walker {
    pub fn new(encoding: Encoding, wanted: &'static [Tag]) -> Self {
        let data_set = Frame {
            holds: Holds::Elements,
            encoding,
            is_undefined: false,
            limit: NO_END,
            last_tag: None,
        };
        Self {
            top: data_set,
            below: Vec::new(),
            open_sequences: 0,
            offset: 0,
            value_left: 0,
            headers: HeaderReader::new(),
            elements_seen: 0,
            has_fragments: false,
            wanted: Wanted::new(wanted),
            keys: None,
            is_keeping: false,
            warnings: ScanWarnings::default(),
        }
    }

    pub fn walk(&mut self, mut input: &[u8]) -> Result<(), ScanError> {
        loop {
            if self.value_left > 0 {
                let taken = usize::try_from(self.value_left)
                    .map_or(input.len(), |left| left.min(input.len()));
                let (value, rest) = input.split_at(taken);
                self.wanted.keep(value);
                self.keep(value);
                self.value_left -= taken as u64;
                self.offset += taken as u64;
                input = rest;
                if self.value_left > 0 {
                    return Ok(());
                }
                self.wanted.complete();
                if self.below.is_empty() {
                    self.complete_key();
                }
            }
            if !self.headers.is_inside() {
                self.skim(&mut input);
                self.close_ended()?;
            }
            let before = input;
            let header = self.headers.take(&mut input, self.top.encoding, self.offset)?;
            self.keep(&before[..before.len() - input.len()]);
            let Some(header) = header else { return Ok(()) };
            self.enter(&header)?;
        }
    }

    /// Passes over plain elements of which nothing is wanted, in order, as the long way would.
    fn skim(&mut self, input: &mut &[u8]) {
        let is_kept = |tag| self.below.is_empty() && self.wanted.tags.contains(&tag);
        let Frame { holds, encoding, limit, mut last_tag, .. } = self.top;
        // The first element tells data of another encoding.
        let is_plain = holds == Holds::Elements && encoding.is_explicit && self.offset > 0;
        if !is_plain || self.keys.is_some() {
            return;
        }
        while let Some(PlainElement { tag, value, .. }) = PlainElement::first_of(input, encoding) {
            let bytes = PlainElement::HEADER_BYTES + value.len();
            let end = self.offset + bytes as u64;
            if end > limit || last_tag >= Some(tag) || is_kept(tag) {
                break;
            }
            last_tag = Some(tag);
            self.offset = end;
            self.elements_seen += 1;
            *input = &input[bytes..];
        }
        self.top.last_tag = last_tag;
    }

    #[inline]
    fn keep(&mut self, bytes: &[u8]) {
        if self.is_keeping {
            if let Some(keys) = &mut self.keys {
                keys.keep(bytes);
            }
        }
    }

    /// The element at the top level has gone by, if one was kept.
    #[inline]
    fn complete_key(&mut self) {
        if self.is_keeping {
            self.is_keeping = false;
            if let Some(keys) = &mut self.keys {
                keys.complete();
            }
        }
    }

    pub fn finish(&self) -> Result<(), ScanError> {
        if self.value_left > 0 {
            return Err(ScanError::EndsInsideElement {
                offset: self.offset,
                missing_bytes: self.value_left,
            });
        }
        if self.headers.is_inside() {
            return Err(ScanError::EndsInsideElement {
                offset: self.offset,
                missing_bytes: self.headers.missing_bytes(),
            });
        }
        if self.below.is_empty() {
            return Ok(());
        }
        if self.top.limit == NO_END {
            return Err(ScanError::NotClosed {
                offset: self.offset,
                open_sequences: self.open_sequences,
            });
        }
        Err(ScanError::EndsInsideElement {
            offset: self.offset,
            missing_bytes: self.top.limit - self.offset,
        })
    }

    /// Pops what ends at this offset by its length.
    fn close_ended(&mut self) -> Result<(), ScanError> {
        while self.offset == self.top.limit {
            if self.top.is_undefined {
                return Err(ScanError::NotClosed {
                    offset: self.offset,
                    open_sequences: self.open_sequences,
                });
            }
            self.pop();
        }
        Ok(())
    }

    fn pop(&mut self) {
        if self.top.holds == Holds::Items {
            self.open_sequences -= 1;
        }
        if let Some(frame) = self.below.pop() {
            self.top = frame;
            if self.below.is_empty() {
                self.complete_key();
            }
        }
    }

    fn push(&mut self, frame: Frame) {
        self.below.push(core::mem::replace(&mut self.top, frame));
    }

    /// Takes note of an element, item or delimiter whose header has just gone by.
    fn enter(&mut self, header: &Header) -> Result<(), ScanError> {
        let &Header { tag, length, .. } = header;
        let offset = self.offset;
        self.offset = header.end_within(offset, self.top.limit)?;
        match self.top.holds {
            Holds::Elements => self.enter_element(header, offset),
            Holds::Items => match tag {
                tag::ITEM => {
                    self.open(Holds::Elements, self.top.encoding, length);
                    Ok(())
                }
                tag::SEQUENCE_DELIMITATION => self.close_delimited(header, offset),
                _ => Err(ScanError::ItemExpected { tag, offset }),
            },
            Holds::Fragments => match tag {
                tag::ITEM if length != UNDEFINED => {
                    self.value_left = header.value_bytes();
                    Ok(())
                }
                tag::SEQUENCE_DELIMITATION => self.close_delimited(header, offset),
                _ => Err(ScanError::ItemExpected { tag, offset }),
            },
        }
    }

    fn enter_element(&mut self, header: &Header, offset: u64) -> Result<(), ScanError> {
        let &Header { tag, vr, length, .. } = header;
        match tag.group() {
            0xFFFE if tag == tag::ITEM_DELIMITATION => return self.close_delimited(header, offset),
            0xFFFE => return Err(ScanError::NothingToDelimit { tag, offset }),
            0x0000 | 0x0002 => return Err(ScanError::ForbiddenGroup { tag, offset }),
            _ => {}
        }
        self.elements_seen += 1;
        self.warnings.is_otherwise_odd |= if length == UNDEFINED {
            vr == Vr::UN
        } else {
            length as usize % vr.number_bytes() != 0 || (vr != Vr::NONE && !vr.is_known())
        };
        if let Some(last) = self.top.last_tag {
            if tag == last {
                self.warnings.duplicates = self.warnings.duplicates.saturating_add(1);
                self.warnings.first.get_or_insert(tag);
            } else if tag < last {
                self.warnings.not_ascending = self.warnings.not_ascending.saturating_add(1);
                self.warnings.first.get_or_insert(tag);
            }
        }
        self.top.last_tag = Some(tag);
        let is_top_level = self.below.is_empty();
        if let Some(keys) = self.keys.as_mut().filter(|_| is_top_level) {
            self.is_keeping = keys.begin(tag, vr, length, self.top.encoding);
        }
        if length == UNDEFINED {
            return self.enter_undefined(header, offset);
        }
        if length % 2 == 1 {
            self.warnings.odd_lengths = self.warnings.odd_lengths.saturating_add(1);
            self.warnings.first.get_or_insert(tag);
        }
        if vr == Vr::SQ {
            return self.open_sequence(header, offset, self.top.encoding);
        }
        if is_top_level {
            self.wanted.begin(tag, length);
        }
        self.value_left = u64::from(length);
        Ok(())
    }

    /// PS3.5 §7.1.1: undefined length is for SQ and UN, and for Pixel Data in fragments.
    fn enter_undefined(&mut self, header: &Header, offset: u64) -> Result<(), ScanError> {
        let &Header { tag, vr, .. } = header;
        let encoding = self.top.encoding;
        if !encoding.is_explicit {
            if tag == tag::PIXEL_DATA {
                self.open(Holds::Fragments, encoding, UNDEFINED);
                return Ok(());
            }
            if let Some(vr) = vr_of_defined_length(vr_of(tag)) {
                return Err(ScanError::UndefinedLength { tag, vr, offset });
            }
            return self.open_sequence(header, offset, encoding);
        }
        match vr {
            Vr::SQ => self.open_sequence(header, offset, encoding),
            Vr::UN => self.open_sequence(header, offset, Encoding::UNKNOWN_SEQUENCE),
            Vr::OB | Vr::OW => {
                self.open(Holds::Fragments, encoding, UNDEFINED);
                Ok(())
            }
            _ => Err(ScanError::UndefinedLength { tag, vr, offset }),
        }
    }

    fn open_sequence(
        &mut self,
        header: &Header,
        offset: u64,
        encoding: Encoding,
    ) -> Result<(), ScanError> {
        if header.length == 0 {
            return Ok(());
        }
        if self.open_sequences == SEQUENCE_DEPTH_MAX {
            return Err(ScanError::TooDeep { tag: header.tag, offset });
        }
        self.open_sequences += 1;
        self.open(Holds::Items, encoding, header.length);
        Ok(())
    }

    /// Opens a frame of `length` bytes from here; `enter` has compared its end with its parent's.
    fn open(&mut self, holds: Holds, encoding: Encoding, length: u32) {
        if length == 0 {
            return;
        }
        self.has_fragments |= holds == Holds::Fragments;
        let is_undefined = length == UNDEFINED;
        let limit = if is_undefined { self.top.limit } else { self.offset + u64::from(length) };
        self.push(Frame { holds, encoding, is_undefined, limit, last_tag: None });
    }

    fn close_delimited(&mut self, header: &Header, offset: u64) -> Result<(), ScanError> {
        let tag = header.tag;
        if !self.top.is_undefined {
            return Err(ScanError::NothingToDelimit { tag, offset });
        }
        if header.length != 0 {
            // Seen in the field; the bytes that follow are the next element all the same.
            self.warnings.delimiter_lengths = self.warnings.delimiter_lengths.saturating_add(1);
            self.warnings.first.get_or_insert(tag);
        }
        self.pop();
        Ok(())
    }
}

/// Tells data of another encoding by its first element, before a length of it is believed.
///
/// A storage data set begins in group 0008, at or before SOP Class UID, where every value is short.
/// So a first tag that becomes such a tag when its bytes are swapped is of the other byte order,
/// and a first length whose bytes spell a known VR (16 KiB and more) is no length. Good data has
/// neither.
pub(in crate::dataset) fn check_first_element(
    is_explicit: bool,
    tag: Tag,
    vr: Vr,
) -> Result<(), ScanError> {
    let group = tag.group();
    if group.trailing_zeros() >= 8 && group != 0 && group.swap_bytes() <= 0x0008 {
        return Err(ScanError::WrongByteOrder { tag });
    }
    if !is_explicit && tag <= tag::SOP_INSTANCE_UID && vr.is_known() {
        return Err(ScanError::ExplicitUnderImplicit { tag, vr });
    }
    Ok(())
}

/// The values of the wanted elements, one after the other in one buffer.
pub(super) struct Wanted {
    tags: &'static [Tag],
    slots: [Slot; WANTED_TAGS_MAX],
    bytes: Vec<u8>,
    /// The slot whose value is going by.
    current: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    start: usize,
    end: usize,
    is_complete: bool,
}

impl Wanted {
    fn new(tags: &'static [Tag]) -> Self {
        let tags = &tags[..tags.len().min(WANTED_TAGS_MAX)];
        Self { tags, slots: [Slot::default(); WANTED_TAGS_MAX], bytes: Vec::new(), current: None }
    }

    #[inline]
    fn begin(&mut self, tag: Tag, length: u32) {
        let Some(index) = self.tags.iter().position(|wanted| *wanted == tag) else { return };
        if self.slots[index].is_complete {
            return;
        }
        let start = self.bytes.len();
        self.slots[index] = Slot { start, end: start, is_complete: length == 0 };
        self.current = (length > 0).then_some(index);
    }

    #[inline]
    fn keep(&mut self, value: &[u8]) {
        let Some(index) = self.current else { return };
        let slot = &mut self.slots[index];
        let room = WANTED_VALUE_BYTES_MAX - (slot.end - slot.start);
        let kept = &value[..value.len().min(room)];
        self.bytes.extend_from_slice(kept);
        slot.end += kept.len();
    }

    #[inline]
    fn complete(&mut self) {
        if let Some(index) = self.current.take() {
            self.slots[index].is_complete = true;
        }
    }

    pub fn value(&self, tag: Tag) -> Option<&[u8]> {
        let index = self.tags.iter().position(|wanted| *wanted == tag)?;
        let slot = self.slots[index];
        if slot.is_complete { self.bytes.get(slot.start..slot.end) } else { None }
    }
}
