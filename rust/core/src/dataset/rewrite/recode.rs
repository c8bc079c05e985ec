//! The elements of one data set on their way from one encoding to another, in two passes or one.
//!
//! The same walk makes both: the first counts and finds the lengths that stand before what they count,
//! the second writes. Where no such length is wanted the second is enough. Structure is checked as in
//! the scanner; nothing recurses. The first pass also says whether anything changes at all.
//!
//! Called by `rewrite`.

mod breaks;

use super::RewriteError;
use super::neighbours::Neighbours;
use super::options::{GroupLengths, LengthEncoding, OutputEncoding, Padding, TextPadding, Unknown};
use super::order::Tracker;
use super::output::Output;
use super::text::{is_minimal_already, pad_of};
use super::value::{Kind, Value, is_held};
use crate::dataset::breaks::Break;
use crate::dataset::element_header::{Encoding, Header, HeaderReader, PlainElement, UNDEFINED};
use crate::dataset::oddities::{Oddities, Oddity, SeenTags};
use crate::dataset::scan::ScanError;
use crate::dictionary::elements::DictionaryVr;
use crate::dictionary::{PrivateBlock, private_block, vr_of, vr_of_defined_length};
use crate::limits::{
    REWRITE_BLOCK_BYTES, REWRITE_PADDING_BYTES_MAX, REWRITE_PRIVATE_BLOCKS_MAX, SEQUENCE_DEPTH_MAX,
};
use crate::tag::{self, Tag};
use crate::vr::Vr;

/// No bound.
const NO_END: u64 = u64::MAX;
/// Group lengths are UL in every group (PS3.5 §7.2).
const GROUP_LENGTH_VR: Vr = Vr(*b"UL");
/// Longest length that a header can tell.
const LENGTH_MAX: u64 = 0xFFFF_FFFE;

/// True for the elements that reserve private blocks (PS3.5 §7.8.1).
const fn is_creator(tag: Tag) -> bool {
    tag.group() % 2 == 1 && tag.element() >= 0x0010 && tag.element() <= 0x00FF
}

/// Pixel Data in a VR that some writers have for OW (DCMTK 3.6.7).
fn is_ox_pixels(tag: Tag, vr: Vr) -> bool {
    tag == tag::PIXEL_DATA && vr == Vr(*b"OX")
}

/// What an open frame holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Items, in a sequence.
    Items,
    /// Elements, in an item or in the data set itself.
    Elements,
    /// Fragments of encapsulated Pixel Data.
    Fragments,
}

impl Holds {
    /// What ends it where its length is undefined.
    const fn delimiter(self) -> Tag {
        match self {
            Self::Items | Self::Fragments => tag::SEQUENCE_DELIMITATION,
            Self::Elements => tag::ITEM_DELIMITATION,
        }
    }
}

/// The group that elements of an item are in.
#[derive(Clone, Copy)]
struct Group {
    number: Option<u16>,
    /// Slot of its length, and where what it counts begins.
    length: Option<(usize, u64)>,
    /// What the source says it is.
    source_length: Option<u32>,
}

impl Group {
    const NONE: Self = Self { number: None, length: None, source_length: None };
}

/// One open sequence or item.
#[derive(Clone, Copy)]
struct Frame {
    holds: Holds,
    from: Encoding,
    to: Encoding,
    /// The source ends it by a delimiter.
    is_undefined: bool,
    /// The result ends it by a delimiter.
    is_delimited: bool,
    /// The offset in the source that nothing inside may pass.
    limit: u64,
    /// Its length in the source.
    source_length: u32,
    /// Where what it holds begins in the source.
    source_start: u64,
    /// Slot of its length, where it has one.
    slot: Option<usize>,
    /// Bytes of the result before what it holds.
    content_start: u64,
    /// It began in a dropped element.
    is_muted: bool,
    /// The element whose items or fragments it holds; that of the items around it for an item.
    tag: Tag,
    /// What is odd about that element's place, which DCMTK tells when the element has ended.
    odd_place: Option<Oddity>,
    last_tag: Option<Tag>,
    /// The highest tag so far.
    highest_tag: Option<Tag>,
    group: Group,
    neighbours: Neighbours,
    /// Where the private blocks of this item begin among those of all that is open.
    first_block: usize,
    /// The same for its tags.
    first_seen: usize,
}

/// A private block.
struct Reserved {
    group: u16,
    /// The upper byte of its elements.
    number: u16,
    /// Nothing for a creator that is not known.
    block: Option<PrivateBlock>,
}

impl Frame {
    /// Headers keep their size, so lengths hold.
    fn keeps_lengths(&self) -> bool {
        self.from.is_explicit == self.to.is_explicit
    }
}

/// The walk.
pub(super) struct Recoder {
    rules: OutputEncoding,
    /// Bytes of the file before the data set, which its padding counts.
    pub head_bytes: u64,
    /// The transfer syntax has Pixel Data in fragments.
    has_fragments: bool,
    /// The data set itself at the bottom, then what is open.
    top: Frame,
    /// The frames under `top`.
    below: Vec<Frame>,
    open_sequences: usize,
    /// Private blocks of the items that are open.
    reserved: Vec<Reserved>,
    offset: u64,
    value: Value,
    headers: HeaderReader,
    pub out: Output,
    /// The result is not the source.
    pub is_changed: bool,
    /// An element stands after one with a higher tag, which a normalised data set has not.
    pub is_disordered: bool,
    /// Where elements begin, when somebody wants to know.
    tracker: Option<Box<Tracker>>,
    /// What the first pass found odd.
    pub oddities: Oddities,
    /// What it found broken, in DCMTK's words.
    pub broken: Option<Break>,
    seen: SeenTags,
}

impl Recoder {
    pub fn new(
        (from, to): (Encoding, Encoding),
        rules: OutputEncoding,
        (is_signed, has_fragments, head_bytes): (bool, bool, u64),
        out: Output,
    ) -> Self {
        let top = Frame {
            holds: Holds::Elements,
            from,
            to,
            is_undefined: false,
            is_delimited: false,
            limit: NO_END,
            source_length: UNDEFINED,
            source_start: 0,
            slot: None,
            content_start: 0,
            is_muted: false,
            tag: Tag(0),
            odd_place: None,
            last_tag: None,
            highest_tag: None,
            group: Group::NONE,
            neighbours: Neighbours::new(is_signed && !rules.is_normalised),
            first_block: 0,
            first_seen: 0,
        };
        Self {
            rules,
            head_bytes,
            has_fragments,
            top,
            below: Vec::new(),
            open_sequences: 0,
            reserved: Vec::new(),
            offset: 0,
            value: Value::NONE,
            headers: HeaderReader::new(),
            out,
            is_changed: from != to,
            is_disordered: false,
            tracker: None,
            oddities: Oddities::default(),
            broken: None,
            seen: SeenTags::default(),
        }
    }

    /// Remembers from here on where elements begin.
    pub fn track(&mut self) {
        let mut tracker = Tracker::default();
        tracker.open();
        self.tracker = Some(Box::new(tracker));
    }

    /// What was remembered.
    pub fn into_tracker(self) -> Tracker {
        self.tracker.map(|tracker| *tracker).unwrap_or_default()
    }

    /// No length that stands before what came so far is still to be found.
    pub fn is_settled(&self) -> bool {
        let is_settled = |frame: &Frame| frame.slot.is_none() && frame.group.length.is_none();
        let is_text_open = self.value.left > 0 && matches!(self.value.kind, Kind::LongText { .. });
        !is_text_open && is_settled(&self.top) && self.below.iter().all(is_settled)
    }

    /// Bytes that come next and belong to a value that is copied or turned round.
    pub fn value_bytes_ahead(&self) -> u64 {
        if matches!(self.value.kind, Kind::Numbers(_)) { self.value.left } else { 0 }
    }

    /// Takes bytes off `input`, all of them unless much is pending: then it wants to be called again.
    pub fn walk(&mut self, input: &mut &[u8]) -> Result<(), RewriteError> {
        while self.out.pending.len() < 2 * REWRITE_BLOCK_BYTES {
            if self.value.left > 0 {
                let taken = usize::try_from(self.value.left)
                    .map_or(input.len(), |left| left.min(input.len()));
                let (bytes, rest) = input.split_at(taken);
                let whole = self.value.pass(bytes, &mut self.out);
                self.offset += taken as u64;
                *input = rest;
                if self.value.left > 0 {
                    return Ok(());
                }
                self.end_value(whole);
            }
            if !self.headers.is_inside() {
                self.skim(input);
                self.close_ended()?;
            }
            let header = match self.headers.take(input, self.top.from, self.offset) {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.broken = self.break_at_header(&error);
                    return Err(error.into());
                }
            };
            if let Err(error) = self.enter(&header) {
                if let Some(found) = self.break_at(&header, &error) {
                    self.note_break(&header, found);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// In the first pass: passes over plain elements that keep their value and length, in order, as the
    /// long way would.
    fn skim(&mut self, input: &mut &[u8]) {
        let Frame { holds, from, limit, mut last_tag, highest_tag, mut group, .. } = self.top;
        // The first element tells data of another encoding.
        let is_plain = holds == Holds::Elements && from.is_explicit && self.offset > 0;
        if !is_plain || self.out.is_writing() || self.out.is_muted || self.tracker.is_some() {
            return;
        }
        let has_groups = match self.rules.group_lengths {
            GroupLengths::Kept | GroupLengths::Removed => false,
            GroupLengths::Recalculated if group.length.is_none() => true,
            GroupLengths::Recalculated | GroupLengths::Created => return,
        };
        let is_minimal = self.rules.text == TextPadding::Minimal;
        let minds_creators = self.minds_creators(from);
        let mut passed = 0;
        while let Some(PlainElement { tag, vr, value }) = PlainElement::first_of(input, from) {
            let bytes = PlainElement::HEADER_BYTES + value.len();
            let end = self.offset + passed + bytes as u64;
            let is_other = is_minimal && !is_minimal_already(vr, value);
            let is_minded = Neighbours::are_told_by(tag) || (minds_creators && is_creator(tag));
            let is_late = last_tag.max(highest_tag) >= Some(tag);
            if end > limit || is_late || is_other || is_minded {
                break;
            }
            last_tag = Some(tag);
            self.seen.add(tag);
            if has_groups && group.number != Some(tag.group()) {
                group = Group { number: Some(tag.group()), ..Group::NONE };
            }
            passed += bytes as u64;
            *input = &input[bytes..];
        }
        (self.top.last_tag, self.top.group) = (last_tag, group);
        self.top.highest_tag = highest_tag.max(last_tag);
        self.offset += passed;
        // Its header has 8 bytes in every encoding.
        self.out.count(passed);
    }

    /// The source has ended: says whether the data set may end here, and puts what stands last.
    pub fn finish(&mut self) -> Result<(), ScanError> {
        let offset = self.offset;
        let missing_bytes = self.value.left + self.headers.missing_bytes();
        if missing_bytes > 0 {
            return Err(ScanError::EndsInsideElement { offset, missing_bytes });
        }
        self.close_ended()?;
        if self.below.is_empty() {
            self.tell(|tracker| tracker.close(offset));
            self.end_elements(self.head_bytes + self.out.bytes, true);
            return Ok(());
        }
        if self.top.limit == NO_END {
            let open_sequences = self.open_sequences;
            return Err(ScanError::NotClosed { offset, open_sequences });
        }
        Err(ScanError::EndsInsideElement { offset, missing_bytes: self.top.limit - offset })
    }

    /// VRs of private elements are looked for, which only those know who reserve their blocks.
    fn minds_creators(&self, from: Encoding) -> bool {
        let is_copy = from == self.top.to && !self.rules.is_normalised;
        let is_converted = self.rules.unknown == Unknown::Converted;
        is_converted || !(from.is_explicit || is_copy)
    }

    /// What the dictionaries say of `tag` in this item.
    fn known(&self, tag: Tag) -> Option<DictionaryVr> {
        let is_private = tag.group() % 2 == 1 && tag.element() > 0x00FF;
        if !is_private {
            return vr_of(tag);
        }
        let (group, number) = (tag.group(), tag.element() >> 8);
        let blocks = self.reserved.get(self.top.first_block..).unwrap_or_default();
        // Of two that reserve one block the first counts.
        let block = blocks.iter().find(|one| (one.group, one.number) == (group, number));
        block.and_then(|one| one.block?.vr_of(tag))
    }

    /// The VR of `tag` in this item, by dictionary and neighbours, as DCMTK has it.
    fn vr_as_dcmtk(&self, tag: Tag) -> Vr {
        self.top.neighbours.vr_as_dcmtk(tag, self.known(tag))
    }

    /// Remembers the creator of a private block.
    fn reserve(&mut self, tag: Tag, value: &[u8]) {
        // DCMTK 3.6.7: blanks at the end do not count, nor what stands behind a NUL.
        let creator = value.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
        let creator = value.get(..creator).unwrap_or_default();
        let block = creator.split(|byte| *byte == 0).next().and_then(private_block);
        if self.reserved.len() < REWRITE_PRIVATE_BLOCKS_MAX {
            self.reserved.push(Reserved { group: tag.group(), number: tag.element(), block });
        }
    }

    /// A value has gone by: writes a text, remembers what others depend on.
    fn end_value(&mut self, whole: Option<&[u8]>) {
        if self.value.kind == Kind::Text
            && is_creator(self.value.tag)
            && self.minds_creators(self.top.from)
        {
            let held = core::mem::take(&mut self.value.held);
            self.reserve(self.value.tag, whole.unwrap_or(&held));
            self.value.held = held;
        }
        let (rules, to) = (&self.rules, self.top.to);
        let value = &mut self.value;
        match value.kind {
            Kind::Text => {
                let form = (to, rules.vr_out(value.vr));
                self.is_changed |= value.put_text(whole, form, rules.text, &mut self.out);
            }
            Kind::LongText { slot, .. } => {
                let length = value.long_text_length();
                self.is_changed |= length != value.length;
                self.out.settle(slot, length);
                if !self.out.is_writing() {
                    let vr = rules.vr_of_length(value.vr, u64::from(length), to);
                    self.out.put_header(to, value.tag, vr, length);
                    self.out.count(u64::from(length));
                }
            }
            Kind::Dropped | Kind::Numbers(_) => {}
        }
        if value.is_watched {
            let first = &value.first[..value.first_bytes];
            if value.tag.element() == 0 {
                let length = <[u8; 4]>::try_from(first).ok().map(|four| self.top.from.u32(four));
                self.top.group.source_length = length;
            } else {
                self.top.neighbours.note(value.tag, first, self.top.from);
            }
            value.is_watched = false;
        }
    }

    /// Pops what ends at this offset by its length.
    fn close_ended(&mut self) -> Result<(), ScanError> {
        while self.offset == self.top.limit {
            if self.top.is_undefined {
                let (offset, open_sequences) = (self.offset, self.open_sequences);
                return Err(ScanError::NotClosed { offset, open_sequences });
            }
            self.pop(self.offset);
        }
        Ok(())
    }

    /// Ends what is open; its content ends at `end` of the source.
    fn pop(&mut self, end: u64) {
        if self.top.holds == Holds::Elements {
            self.tell(|tracker| tracker.close(end));
            self.end_elements(self.out.bytes - self.top.content_start, false);
        }
        let Some(below) = self.below.pop() else { return };
        let ended = core::mem::replace(&mut self.top, below);
        self.reserved.truncate(ended.first_block);
        self.seen.forget(ended.first_seen);
        if ended.holds == Holds::Items {
            self.open_sequences -= 1;
        }
        if let Some(oddity) = ended.odd_place {
            self.oddities.add(oddity);
        }
        let mut is_delimited = ended.is_delimited;
        if let (Some(slot), false) = (ended.slot, is_delimited) {
            // Too long for a length: PS3.5 §7.5.1 has a delimiter for that.
            let length =
                Some(self.out.bytes - ended.content_start).filter(|length| *length <= LENGTH_MAX);
            is_delimited = length.is_none();
            let length = length.map_or(UNDEFINED, |length| length as u32);
            self.out.settle(slot, length);
            self.is_changed |= length != ended.source_length;
        }
        if is_delimited {
            self.out.put_item(ended.to, ended.holds.delimiter(), 0);
        }
        if ended.is_muted {
            self.out.is_muted = false;
        }
    }

    fn tell(&mut self, what: impl FnOnce(&mut Tracker)) {
        if let Some(tracker) = &mut self.tracker {
            what(tracker);
        }
    }

    /// The last element of the data set or an item has gone by. `counted` are the bytes that padding
    /// aligns.
    fn end_elements(&mut self, counted: u64, is_file: bool) {
        let unit = match self.rules.padding {
            Padding::Aligned { file, .. } if is_file => file,
            Padding::Aligned { item, .. } => item,
            Padding::Kept | Padding::Removed => 0,
        };
        let unit = unit.min(REWRITE_PADDING_BYTES_MAX);
        let group_of_padding = tag::DATA_SET_TRAILING_PADDING.group();
        let is_in_group = self.top.group.number == Some(group_of_padding);
        if !is_in_group {
            self.end_group();
        }
        let unit = u64::from(unit);
        if unit > 0 && self.top.last_tag.is_some() && counted % unit != 0 {
            let header_bytes = self.top.to.header_bytes(Vr::OB);
            let mut padding = unit - counted % unit;
            if padding < header_bytes {
                padding += (header_bytes - padding).div_ceil(unit) * unit;
            }
            let length = (padding - header_bytes) as u32;
            let tag = tag::DATA_SET_TRAILING_PADDING;
            self.out.put_header(self.top.to, tag, Vr::OB, length);
            self.out.put_zeros(length as usize);
            self.is_changed = true;
        }
        if is_in_group {
            self.end_group();
        }
    }

    /// The last element of a group has gone by.
    fn end_group(&mut self) {
        let Some((slot, start)) = self.top.group.length.take() else { return };
        let length = self.out.bytes - start;
        let told = if length <= LENGTH_MAX {
            length as u32
        } else {
            // Nothing can tell it, so that there is none (DCMTK 3.6.7).
            self.out.uncount(self.top.to.header_bytes(GROUP_LENGTH_VR) + 4);
            UNDEFINED
        };
        self.out.settle(slot, told);
        self.is_changed |= self.top.group.source_length != Some(told);
    }

    /// Takes note of a group that begins with `tag`, and puts its length where one is wanted.
    fn begin_group(&mut self, tag: Tag) -> Result<(), ScanError> {
        let is_wanted = match self.rules.group_lengths {
            GroupLengths::Kept | GroupLengths::Removed => return Ok(()),
            GroupLengths::Recalculated => tag.element() == 0,
            GroupLengths::Created => true,
        };
        if self.top.group.number == Some(tag.group()) {
            return Ok(());
        }
        self.end_group();
        self.top.group = Group { number: Some(tag.group()), ..Group::NONE };
        if !is_wanted {
            return Ok(());
        }
        let (slot, length) = self.out.slot()?;
        if length != UNDEFINED {
            let to = self.top.to;
            self.out.put_header(to, Tag::new(tag.group(), 0), GROUP_LENGTH_VR, 4);
            self.out.put(&to.u32_bytes(length));
        }
        self.top.group.length = Some((slot, self.out.bytes));
        self.is_changed |= tag.element() != 0;
        Ok(())
    }

    /// An element, item or delimiter whose header has just gone by.
    fn enter(&mut self, header: &Header) -> Result<(), RewriteError> {
        let &Header { tag, length, .. } = header;
        let offset = self.offset;
        self.offset = header.end_within(offset, self.top.limit)?;
        self.is_changed |= header.has_reserved_bits || (header.is_delimiter() && length != 0);
        if tag == tag::ITEM && length % 2 == 1 && length != UNDEFINED {
            self.note(Oddity::OddItem(self.top.tag));
        }
        match (self.top.holds, tag) {
            (Holds::Elements, _) => self.enter_element(header, offset),
            (Holds::Items, tag::ITEM) => {
                let (from, to) = (self.top.from, self.top.to);
                self.open(Holds::Elements, (from, to), length, |out, length| {
                    out.put_item(to, tag::ITEM, length);
                })
            }
            (Holds::Fragments, tag::ITEM) if length != UNDEFINED => {
                // PS3.5 §A.4: of even length.
                let pad = length % 2 == 1 && self.rules.is_normalised;
                self.out.put_item(self.top.to, tag::ITEM, length + u32::from(pad));
                self.value.begin(tag, Vr::NONE, length, Kind::Numbers(1));
                self.value.pad = pad.then_some(0);
                self.is_changed |= pad;
                Ok(())
            }
            (Holds::Items | Holds::Fragments, tag::SEQUENCE_DELIMITATION) => {
                Ok(self.close_delimited(tag, offset)?)
            }
            _ => Err(ScanError::ItemExpected { tag, offset }.into()),
        }
    }

    fn enter_element(&mut self, header: &Header, offset: u64) -> Result<(), RewriteError> {
        let &Header { tag, vr, length, .. } = header;
        match tag.group() {
            0xFFFE if tag == tag::ITEM_DELIMITATION => {
                return Ok(self.close_delimited(tag, offset)?);
            }
            0xFFFE => return Err(ScanError::NothingToDelimit { tag, offset }.into()),
            0x0000 | 0x0002 => return Err(ScanError::ForbiddenGroup { tag, offset }.into()),
            _ => {}
        }
        self.tell(|tracker| tracker.element(tag, offset));
        let odd_place = self.look_at(header);
        let is_muted_here = !self.out.is_muted && self.is_dropped(tag);
        let last_tag = self.top.last_tag.replace(tag);
        if is_muted_here {
            self.out.is_muted = true;
            self.is_changed = true;
            // Where it stands says nothing of those that stay.
            self.top.last_tag = last_tag.max(Some(tag));
        } else {
            self.is_disordered |= last_tag > Some(tag);
            self.begin_group(tag)?;
        }
        let depth = self.below.len();
        if length == UNDEFINED {
            self.enter_undefined(header, offset)?;
        } else if tag == tag::PIXEL_DATA && depth == 0 && self.has_fragments {
            return Err(ScanError::NativePixels { tag, offset }.into());
        } else {
            self.enter_defined(tag, vr, length)?;
        }
        if self.below.len() > depth {
            self.top.odd_place = odd_place;
        } else if let Some(oddity) = odd_place {
            self.oddities.add(oddity);
        }
        if is_muted_here {
            // Unmuted by the end of what was opened, or here: a dropped value puts nothing.
            if self.below.len() > depth {
                self.top.is_muted = true;
            } else {
                self.value.kind = Kind::Dropped;
                self.value.is_watched = false;
                self.out.is_muted = false;
            }
        }
        Ok(())
    }

    /// Takes note of something odd, in the first pass.
    fn note(&mut self, oddity: Oddity) {
        if !self.out.is_writing() {
            self.oddities.add(oddity);
        }
    }

    /// In the first pass: takes note of what is odd about an element; says what is about its place.
    fn look_at(&mut self, header: &Header) -> Option<Oddity> {
        if self.out.is_writing() {
            return None;
        }
        let &Header { tag, vr, length, .. } = header;
        if self.top.from.is_explicit && !vr.is_known() {
            self.note(Oddity::UnknownVr(tag, vr));
            if is_ox_pixels(tag, vr) {
                self.note(Oddity::WrongVr(tag, vr));
            }
        }
        if length == UNDEFINED {
            let is_bare = vr == Vr::NONE && tag != tag::PIXEL_DATA;
            if vr == Vr::UN || (is_bare && self.known(tag).is_none()) {
                self.note(Oddity::UnknownSequence(tag));
            }
        } else {
            if length as usize % vr.number_bytes() != 0 {
                self.note(Oddity::CutNumber(tag, vr));
            }
            if length % 2 == 1 {
                self.note(Oddity::OddLength(tag));
            }
        }
        if self.top.highest_tag < Some(tag) {
            self.top.highest_tag = Some(tag);
        } else if !self.oddities.is_full() && self.seen.has(self.top.first_seen, tag) {
            return Some(Oddity::Repeated(tag));
        } else {
            self.seen.add(tag);
            return Some(Oddity::NotAscending(tag));
        }
        self.seen.add(tag);
        None
    }

    /// True for an element that the result does not have.
    fn is_dropped(&self, tag: Tag) -> bool {
        let is_group_length = tag.element() == 0;
        let is_unwanted_length = match self.rules.group_lengths {
            GroupLengths::Kept => !self.top.keeps_lengths(),
            // Where they are created, a group that has nothing else has none.
            GroupLengths::Removed | GroupLengths::Created => true,
            GroupLengths::Recalculated => false,
        };
        if is_group_length && is_unwanted_length {
            return true;
        }
        if tag == tag::DATA_SET_TRAILING_PADDING && self.rules.padding != Padding::Kept {
            return true;
        }
        self.rules.is_normalised && self.top.last_tag == Some(tag)
    }

    fn enter_defined(&mut self, tag: Tag, source_vr: Vr, length: u32) -> Result<(), RewriteError> {
        let vr = source_vr;
        let Frame { mut from, to, .. } = self.top;
        let rules = &self.rules;
        let is_group_length = tag.element() == 0 && self.top.group.length.is_some();
        if is_group_length {
            // Its own is put already.
            let is_named_right = vr == GROUP_LENGTH_VR || vr == Vr::NONE;
            if !is_named_right {
                self.note(Oddity::GroupLengthVr);
            }
            let is_as_told = is_named_right && length == 4;
            self.is_changed |= !is_as_told;
            self.value.begin(tag, vr, length, Kind::Dropped);
            self.value.is_watched = true;
            if length == 0 {
                self.end_value(None);
            }
            return Ok(());
        }
        let vr = if from.is_explicit {
            let known = vr.is_known() || !rules.is_normalised;
            let vr = match known {
                true => vr,
                false if is_ox_pixels(tag, vr) => Vr::OW,
                false => Vr::UN,
            };
            let converted = (vr == Vr::UN && rules.unknown == Unknown::Converted)
                .then(|| self.vr_as_dcmtk(tag))
                .filter(|vr| *vr != Vr::UN);
            if converted.is_some() {
                // PS3.5 §6.2.2: it came in little endian, and a sequence in Implicit VR.
                from = Encoding::UNKNOWN_SEQUENCE;
            }
            converted.unwrap_or(vr)
        } else if from == to && !rules.is_normalised {
            // A copy: nothing inside has to be known.
            vr
        } else if rules.is_normalised {
            self.vr_as_dcmtk(tag)
        } else {
            self.top.neighbours.vr_of(tag, self.known(tag))
        };
        if vr == Vr::SQ {
            self.is_changed |= self.top.from.is_explicit && source_vr != vr;
            return self.enter_sequence(tag, vr, length, (from, to));
        }
        let is_even = length % 2 == 0;
        let is_read = is_creator(tag) && self.minds_creators(self.top.from);
        let is_text = vr.is_text() && (rules.text != TextPadding::Kept || is_read);
        let kind = if is_text && is_held(length) {
            Kind::Text
        } else if is_text && is_even && rules.text == TextPadding::Minimal {
            let (slot, length_out) = self.out.slot()?;
            if self.out.is_writing() {
                let vr_out = rules.vr_of_length(vr, u64::from(length_out), to);
                self.out.put_header(to, tag, vr_out, length_out);
            }
            Kind::LongText { slot, length_out }
        } else {
            let pad = !is_even && rules.pads(vr);
            let length_out = u64::from(length) + u64::from(pad);
            let vr_out = rules.vr_of_length(vr, length_out, to);
            let is_little = |encoding: Encoding, vr| !encoding.is_big_endian || vr == Vr::UN;
            let is_swapped = is_little(from, vr) != (is_little(to, vr_out) || vr_out == Vr::OB);
            let unit = if is_swapped { vr.number_bytes() } else { 1 };
            self.out.put_header(to, tag, vr_out, u32::try_from(length_out).unwrap_or(UNDEFINED));
            self.value.begin(tag, vr, length, Kind::Numbers(unit));
            // Where blanks are taken away DCMTK makes the length even by NUL, whatever the length.
            let has_blank = is_text && rules.text == TextPadding::Even;
            self.value.pad = pad.then(|| if has_blank { pad_of(vr) } else { 0 });
            self.is_changed |= pad;
            Kind::Numbers(unit)
        };
        let vr_out = rules.vr_of_length(vr, u64::from(length), to);
        self.is_changed |= self.top.from.is_explicit && vr_out != source_vr;
        if !matches!(kind, Kind::Numbers(_)) {
            self.value.begin(tag, vr, length, kind);
        }
        self.value.is_watched = Neighbours::are_told_by(tag);
        if length == 0 {
            self.end_value(Some(&[]));
        }
        Ok(())
    }

    /// PS3.5 §7.1.1: undefined length is for SQ and UN, and for Pixel Data in fragments.
    fn enter_undefined(&mut self, header: &Header, offset: u64) -> Result<(), RewriteError> {
        let &Header { tag, vr, .. } = header;
        let Frame { from, to, .. } = self.top;
        let is_copied = from == to && (self.has_fragments || !self.rules.is_normalised);
        match vr {
            Vr::NONE if tag != tag::PIXEL_DATA => {
                if let Some(vr) = vr_of_defined_length(self.known(tag)) {
                    return Err(ScanError::UndefinedLength { tag, vr, offset }.into());
                }
                self.enter_sequence(tag, Vr::SQ, UNDEFINED, (from, to))
            }
            Vr::SQ => self.enter_sequence(tag, vr, UNDEFINED, (from, to)),
            Vr::UN if self.rules.is_normalised => {
                self.is_changed = true;
                self.enter_sequence(tag, Vr::SQ, UNDEFINED, (Encoding::UNKNOWN_SEQUENCE, to))
            }
            Vr::UN => {
                let unknown = Encoding::UNKNOWN_SEQUENCE;
                self.enter_sequence(tag, vr, UNDEFINED, (unknown, unknown))
            }
            Vr::NONE | Vr::OB | Vr::OW if is_copied => {
                // PS3.5 §A.4.
                let vr_out = if vr == Vr::OW && self.rules.is_normalised { Vr::OB } else { vr };
                self.is_changed |= vr_out != vr;
                self.out.put_header(to, tag, vr_out, UNDEFINED);
                self.push(Holds::Fragments, (from, to), UNDEFINED, (None, true));
                self.top.tag = tag;
                Ok(())
            }
            Vr::NONE | Vr::OB | Vr::OW => Err(RewriteError::Encapsulated { tag }),
            _ => Err(ScanError::UndefinedLength { tag, vr, offset }.into()),
        }
    }

    /// A sequence whose content goes from one encoding to another.
    fn enter_sequence(
        &mut self,
        tag: Tag,
        vr: Vr,
        length: u32,
        encodings: (Encoding, Encoding),
    ) -> Result<(), RewriteError> {
        if length != 0 {
            if self.open_sequences == SEQUENCE_DEPTH_MAX {
                return Err(ScanError::TooDeep { tag, offset: self.offset }.into());
            }
            self.open_sequences += 1;
        }
        let to = self.top.to;
        let depth = self.below.len();
        self.open(Holds::Items, encodings, length, |out, length| {
            out.put_header(to, tag, vr, length);
        })?;
        if self.below.len() > depth {
            self.top.tag = tag;
        }
        Ok(())
    }

    /// Puts the header of a sequence or item of `length` bytes and opens it, unless it is empty;
    /// `enter` has compared its end with its parent's.
    fn open(
        &mut self,
        holds: Holds,
        encodings: (Encoding, Encoding),
        length: u32,
        put_header: impl FnOnce(&mut Output, u32),
    ) -> Result<(), RewriteError> {
        let (slot, length_out) = match self.rules.lengths {
            LengthEncoding::Kept if self.top.keeps_lengths() => (None, length),
            LengthEncoding::Kept | LengthEncoding::Explicit if length == 0 => (None, 0),
            LengthEncoding::Kept | LengthEncoding::Undefined => (None, UNDEFINED),
            LengthEncoding::Explicit => {
                let (slot, length) = self.out.slot()?;
                (Some(slot), length)
            }
        };
        put_header(&mut self.out, length_out);
        self.is_changed |= slot.is_none() && length_out != length;
        let is_delimited = length_out == UNDEFINED;
        if length == 0 {
            // Nothing is in it: it ends at once.
            if is_delimited {
                self.out.put_item(encodings.1, holds.delimiter(), 0);
            }
            return Ok(());
        }
        self.push(holds, encodings, length, (slot, is_delimited));
        Ok(())
    }

    fn push(
        &mut self,
        holds: Holds,
        (from, to): (Encoding, Encoding),
        length: u32,
        (slot, is_delimited): (Option<usize>, bool),
    ) {
        let is_undefined = length == UNDEFINED;
        let limit = if is_undefined { self.top.limit } else { self.offset + u64::from(length) };
        let frame = Frame {
            holds,
            from,
            to,
            is_undefined,
            is_delimited,
            limit,
            source_length: length,
            source_start: self.offset,
            slot,
            content_start: self.out.bytes,
            is_muted: false,
            tag: self.top.tag,
            odd_place: None,
            last_tag: None,
            highest_tag: None,
            group: Group::NONE,
            neighbours: if self.rules.is_normalised {
                Neighbours::new(false)
            } else {
                self.top.neighbours.inside()
            },
            first_block: self.reserved.len(),
            first_seen: self.seen.mark(),
        };
        self.below.push(core::mem::replace(&mut self.top, frame));
        if holds == Holds::Elements {
            self.tell(Tracker::open);
        }
    }

    fn close_delimited(&mut self, tag: Tag, offset: u64) -> Result<(), ScanError> {
        if !self.top.is_undefined {
            return Err(ScanError::NothingToDelimit { tag, offset });
        }
        self.pop(offset);
        Ok(())
    }
}
