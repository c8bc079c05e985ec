//! Two data sets compared by the values of their elements, whatever their bytes.
//!
//! An archive may encode anew what it keeps, and its values stay the same: another transfer syntax
//! without compression (PS3.5 §A.1 to §A.5), lengths of sequences and items (§7.5), group lengths
//! (§7.2), Data Set Trailing Padding (PS3.10 §7.2), blanks that fill a value up (§6.2), and what an
//! implicit or unknown VR hides (§6.2.2). None of these is a difference; another order, another
//! structure, and any other byte of a value is. The first data set is pulled from a reader, the second one
//! pushed as it arrives; neither is held. Called by `load::query`.

use core::cmp::Ordering;
use std::fmt;
use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3;

use super::scan::{ScanError, Scanner};
use super::transfer_syntax::TransferSyntax;
use super::walk::{Order, Place, Visitor, Walk};
use crate::dictionary::keyword_of;
use crate::limits::{COMPARED_BLOCK_BYTES, COMPARED_TEXT_BYTES_MAX};
use crate::tag::{ITEM_DELIMITATION, SEQUENCE_DELIMITATION, Tag};
use crate::vr::Vr;

const DATA_SET_TRAILING_PADDING: Tag = Tag::new(0xFFFC, 0xFFFC);

/// The first difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The element has another value.
    Value(Tag),
    /// The element is not there.
    Missing(Tag),
    /// The element is there, and was not before.
    Extra(Tag),
    /// One is a sequence or an item where the other is none, or ends elsewhere.
    Structure(Tag),
    /// What came cannot be read.
    Unreadable(ScanError),
    /// What came ends inside an element.
    Cut,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tag, what) = match self {
            Self::Value(tag) => (tag, "has another value"),
            Self::Missing(tag) => (tag, "is missing"),
            Self::Extra(tag) => (tag, "was not sent"),
            Self::Structure(tag) => (tag, "stands in another structure"),
            Self::Unreadable(error) => return write!(formatter, "cannot be read: {error}"),
            Self::Cut => return formatter.write_str("ends inside an element"),
        };
        let name = keyword_of(*tag).unwrap_or("unknown element");
        write!(formatter, "{tag} {name} {what}")
    }
}

/// Why nothing can be said.
#[derive(Debug)]
pub enum CompareError {
    /// The first data set cannot be read from its source.
    Io(io::Error),
    /// The first data set is none.
    Expected(ScanError),
    /// They differ, and the elements of the first one are not in the order of their tags, which an archive
    /// puts right (PS3.5 §7.1), so that nothing can be said; the first tag that is out of it.
    Disorder(Tag),
}

/// Bytes that are a data set, or inflate to one.
struct Opened {
    walk: Walk,
    inflater: Option<Box<Scanner>>,
}

impl Opened {
    fn new(syntax: TransferSyntax) -> Self {
        let inflater = syntax.is_deflated.then(|| Box::new(Scanner::new(syntax, &[])));
        Self { walk: Walk::new(syntax), inflater }
    }
}

/// True for what says nothing about values.
fn is_passed_over(place: &Place) -> bool {
    matches!(place.tag, SEQUENCE_DELIMITATION | ITEM_DELIMITATION)
        // PS3.5 §7.2; an item or a fragment has an element number above.
        || place.tag.element() == 0
        || place.tag == DATA_SET_TRAILING_PADDING && place.depth == 0
}

/// A value as it is compared: numbers with the least significant byte first, text without the blanks
/// at its end.
struct Value {
    is_text: bool,
    /// Text that is too long for its blanks to be held: the last one alone is no part of it.
    is_long_text: bool,
    /// Bytes of one number, where they change places.
    unit: usize,
    digest: Xxh3,
    bytes: u64,
    /// Blanks of which it is not known whether something follows, or the begin of a number.
    held: Vec<u8>,
}

impl Value {
    fn new(place: &Place, (is_text, is_long_text): (bool, bool)) -> Self {
        let unit = if place.is_big_endian { number_bytes(place.vr) } else { 1 };
        Self { is_text, is_long_text, unit, digest: Xxh3::new(), bytes: 0, held: Vec::new() }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        if self.is_text {
            let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' '));
            let (text, blanks) = bytes.split_at(end.map_or(0, |end| end + 1));
            if !text.is_empty() {
                self.take_held();
                self.take(text);
            }
            // No more than COMPARED_TEXT_BYTES_MAX: longer values are compared as they are.
            self.held.extend_from_slice(blanks);
            return;
        }
        if self.is_long_text {
            let Some((last, text)) = bytes.split_last() else { return };
            self.take_held();
            self.take(text);
            match last {
                0 | b' ' => self.held.push(*last),
                _ => self.take(&[*last]),
            }
            return;
        }
        if self.unit > 1 {
            while !bytes.is_empty() {
                let room = (self.unit - self.held.len()).min(bytes.len());
                let (begin, rest) = bytes.split_at(room);
                self.held.extend_from_slice(begin);
                bytes = rest;
                if self.held.len() == self.unit {
                    self.held.reverse();
                    self.take_held();
                }
            }
            return;
        }
        self.take(bytes);
    }

    fn take(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn take_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.take(&held);
        self.held = held;
        self.held.clear();
    }

    fn finish(mut self) -> (u64, u64) {
        if !self.is_text && !self.is_long_text {
            self.take_held();
            // PS3.5 §7.1.1: of even length; who stores an odd one may have filled it up.
            if self.bytes % 2 == 1 {
                self.take(&[0]);
            }
        }
        (self.bytes, self.digest.digest())
    }
}

/// The first data set, an element at a time.
struct Expected<R> {
    input: R,
    opened: Opened,
    /// Inflated where it is deflated; what is behind `at` is still to be walked.
    block: Vec<u8>,
    at: usize,
    is_over: bool,
    /// The element of the last header is empty: its value was given out with it.
    is_empty: bool,
    order: Order,
    /// The first tag that stands behind one that it belongs before.
    misplaced: Option<Tag>,
}

/// What one step brings.
#[derive(Default)]
struct Latest<'v> {
    header: Option<Place>,
    value: Option<&'v mut Value>,
    has_ended: bool,
    /// An unknown value is to be walked as a sequence.
    wants_sequence: bool,
}

impl Visitor for Latest<'_> {
    fn header(&mut self, place: Place) {
        self.header = Some(place);
    }

    fn value(&mut self, bytes: &[u8], is_end: bool) {
        if let Some(value) = &mut self.value {
            value.feed(bytes);
        }
        self.has_ended |= is_end;
    }

    fn is_sequence(&mut self, _place: Place) -> bool {
        self.wants_sequence
    }
}

impl<R: Read> Expected<R> {
    /// Fills the block; false at the end.
    fn fill(&mut self) -> Result<bool, CompareError> {
        while self.at == self.block.len() && !self.is_over {
            self.at = 0;
            self.block.resize(COMPARED_BLOCK_BYTES, 0);
            let count = match self.input.read(&mut self.block) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.block.clear();
                    continue;
                }
                Err(error) => {
                    self.block.clear();
                    return Err(CompareError::Io(error));
                }
            };
            self.block.truncate(count);
            self.is_over = count == 0;
            if let Some(inflater) = &mut self.opened.inflater {
                let deflated = std::mem::take(&mut self.block);
                let block = &mut self.block;
                inflater
                    .feed_and_show(&deflated, |bytes| block.extend_from_slice(bytes))
                    .map_err(CompareError::Expected)?;
            }
        }
        Ok(self.at < self.block.len())
    }

    /// One step; false at the end.
    fn step(&mut self, latest: &mut Latest<'_>) -> Result<bool, CompareError> {
        if !self.fill()? {
            return Ok(false);
        }
        let mut rest = self.block.get(self.at..).unwrap_or_default();
        let stepped = self.opened.walk.step(&mut rest, latest);
        self.at = self.block.len() - rest.len();
        stepped.map_err(CompareError::Expected)?;
        Ok(true)
    }

    /// The next header that counts; what is left of the element before it is passed over.
    fn header(&mut self, wants_sequence: bool) -> Result<Option<Place>, CompareError> {
        loop {
            let mut latest = Latest { wants_sequence, ..Latest::default() };
            if !self.step(&mut latest)? {
                return Ok(None);
            }
            if let Some(place) = &latest.header {
                if !self.order.take(place) {
                    self.misplaced.get_or_insert(place.tag);
                }
            }
            if let Some(place) = latest.header.filter(|place| !is_passed_over(place)) {
                self.is_empty = latest.has_ended;
                return Ok(Some(place));
            }
        }
    }

    /// The value of the header that came last, through `value`.
    fn value(&mut self, value: &mut Value) -> Result<(), CompareError> {
        while !self.is_empty {
            let mut latest = Latest { value: Some(value), ..Latest::default() };
            if !self.step(&mut latest)? || latest.has_ended {
                break;
            }
        }
        Ok(())
    }
}

/// A header that was looked at before its turn.
struct Ahead(Option<Place>);

/// Looks at the second data set, with the first one beside it.
struct Judge<R> {
    expected: Expected<R>,
    /// The next header of the first, looked at before its turn; in it none at its end.
    ahead: Option<Ahead>,
    /// Of the element in hand: its tag, the value that is awaited, and the one that comes.
    pair: Option<(Tag, Value, Value)>,
    difference: Option<Difference>,
    error: Option<CompareError>,
}

impl<R: Read> Judge<R> {
    fn is_over(&self) -> bool {
        self.difference.is_some() || self.error.is_some()
    }

    fn next_expected(&mut self, wants_sequence: bool) -> Option<Place> {
        if let Some(Ahead(place)) = self.ahead.take() {
            return place;
        }
        self.expected.header(wants_sequence).unwrap_or_else(|error| {
            self.error = Some(error);
            None
        })
    }

    fn differs(&mut self, difference: Difference) {
        self.difference.get_or_insert(difference);
    }
}

impl<R: Read> Visitor for Judge<R> {
    fn header(&mut self, place: Place) {
        self.pair = None;
        if self.is_over() || is_passed_over(&place) {
            return;
        }
        let is_unknown = place.vr == Vr::UN && !place.is_opening;
        let expected = self.next_expected(place.is_opening && !is_unknown);
        if self.error.is_some() {
            return;
        }
        let Some(expected) = expected else { return self.differs(Difference::Extra(place.tag)) };
        // What is deeper is behind the end of what the other one has, or else the lower tag comes first.
        let order = place.depth.cmp(&expected.depth).then(expected.tag.cmp(&place.tag));
        let difference = match order {
            Ordering::Less => Some(Difference::Missing(expected.tag)),
            Ordering::Greater => Some(Difference::Extra(place.tag)),
            Ordering::Equal if expected.is_opening != place.is_opening => {
                Some(Difference::Structure(place.tag))
            }
            Ordering::Equal => None,
        };
        if let Some(difference) = difference {
            return self.differs(difference);
        }
        if place.is_opening {
            return;
        }
        let is_short = [expected, place]
            .iter()
            .all(|place| place.length.is_some_and(|n| n as usize <= COMPARED_TEXT_BYTES_MAX));
        let is_text = match (expected.vr.is_text(), place.vr.is_text()) {
            (true, other) => other || place.vr == Vr::UN,
            (false, true) => expected.vr == Vr::UN,
            (false, false) => false,
        };
        let is_text = (is_text && is_short, is_text && !is_short);
        self.pair = Some((place.tag, Value::new(&expected, is_text), Value::new(&place, is_text)));
    }

    fn value(&mut self, bytes: &[u8], is_end: bool) {
        let Some((_, _, came)) = &mut self.pair else { return };
        came.feed(bytes);
        if !is_end {
            return;
        }
        let Some((tag, mut expected, came)) = self.pair.take() else { return };
        match self.expected.value(&mut expected) {
            Ok(()) if expected.finish() == came.finish() => {}
            Ok(()) => self.differs(Difference::Value(tag)),
            Err(error) => self.error = Some(error),
        }
    }

    fn is_sequence(&mut self, _place: Place) -> bool {
        if self.is_over() {
            return false;
        }
        let expected = self.next_expected(false);
        self.ahead = Some(Ahead(expected));
        expected.is_some_and(|expected| expected.is_opening)
    }
}

/// A comparison under way.
pub struct Comparison<R> {
    judge: Judge<R>,
    came: Opened,
}

impl<R: Read> Comparison<R> {
    /// Of `expected`, in its transfer syntax, with what comes in another.
    pub fn new(expected: R, expected_in: TransferSyntax, came_in: TransferSyntax) -> Self {
        let expected = Expected {
            input: expected,
            opened: Opened::new(expected_in),
            block: Vec::new(),
            at: 0,
            is_over: false,
            is_empty: false,
            order: Order::default(),
            misplaced: None,
        };
        let judge = Judge { expected, ahead: None, pair: None, difference: None, error: None };
        Self { judge, came: Opened::new(came_in) }
    }

    /// Takes the next bytes of what comes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { judge, came } = self;
        if judge.is_over() {
            return;
        }
        let walk = &mut came.walk;
        let result = match &mut came.inflater {
            None => walk.feed(bytes, judge),
            Some(inflater) => {
                let mut inner = Ok(());
                let outer = inflater.feed_and_show(bytes, |bytes| {
                    if inner.is_ok() {
                        inner = walk.feed(bytes, judge);
                    }
                });
                inner.and(outer)
            }
        };
        if let Err(error) = result {
            judge.differs(Difference::Unreadable(error));
        }
    }

    /// The first difference; `None` where there is none.
    ///
    /// # Errors
    ///
    /// The first data set could not be read as far as the second one asked.
    pub fn finish(mut self) -> Result<Option<Difference>, CompareError> {
        if !self.judge.is_over() {
            if !self.came.walk.is_whole() {
                self.judge.differs(Difference::Cut);
            } else if let Some(missing) = self.judge.next_expected(false) {
                self.judge.differs(Difference::Missing(missing.tag));
            }
        }
        if let Some(error) = self.judge.error {
            return Err(error);
        }
        let expected = &mut self.judge.expected;
        let is_about_order = matches!(
            self.judge.difference,
            Some(Difference::Missing(_) | Difference::Extra(_) | Difference::Structure(_))
        );
        if is_about_order {
            while expected.misplaced.is_none() && expected.header(false)?.is_some() {}
            if let Some(tag) = expected.misplaced {
                return Err(CompareError::Disorder(tag));
            }
        }
        Ok(self.judge.difference)
    }
}

/// Bytes of one number of a binary VR (PS3.5 §6.2); 1 for bytes and text.
const fn number_bytes(vr: Vr) -> usize {
    match &vr.0 {
        b"US" | b"SS" | b"OW" | b"AT" => 2,
        b"UL" | b"SL" | b"FL" | b"OF" | b"OL" => 4,
        b"FD" | b"UV" | b"SV" | b"OD" | b"OV" => 8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::transfer_syntax::{
        EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
    };
    use crate::uid::Uid;
    use proptest::prelude::*;

    fn syntax(uid: &str) -> TransferSyntax {
        TransferSyntax::of(&Uid::known(uid))
    }

    /// What writes numbers in a byte order.
    type Numbers = (fn(u16) -> [u8; 2], fn(u32) -> [u8; 4]);

    /// An element in explicit VR.
    fn explicit(
        (group, number): (u16, u16),
        vr: &[u8],
        value: &[u8],
        (short, long): Numbers,
    ) -> Vec<u8> {
        let vr: [u8; 2] = vr.try_into().unwrap();
        let mut out = [short(group), short(number)].concat();
        out.extend(vr);
        if Vr(vr).has_long_length() {
            out.extend([0, 0]);
            out.extend(long(value.len() as u32));
        } else {
            out.extend(short(value.len() as u16));
        }
        out.extend(value);
        out
    }

    fn element(group: u16, number: u16, vr: &[u8], value: &[u8]) -> Vec<u8> {
        explicit((group, number), vr, value, (u16::to_le_bytes, u32::to_le_bytes))
    }

    fn big(group: u16, number: u16, vr: &[u8], value: &[u8]) -> Vec<u8> {
        explicit((group, number), vr, value, (u16::to_be_bytes, u32::to_be_bytes))
    }

    fn implicit(group: u16, number: u16, value: &[u8]) -> Vec<u8> {
        let mut out = [group.to_le_bytes(), number.to_le_bytes()].concat();
        out.extend((value.len() as u32).to_le_bytes());
        out.extend(value);
        out
    }

    fn item(content: &[u8]) -> Vec<u8> {
        let mut out = b"\xFE\xFF\x00\xE0".to_vec();
        out.extend((content.len() as u32).to_le_bytes());
        out.extend(content);
        out
    }

    fn open_item(content: &[u8]) -> Vec<u8> {
        [b"\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF", content, b"\xFE\xFF\x0D\xE0\0\0\0\0"].concat()
    }

    fn compared(one: (&str, &[u8]), other: (&str, &[u8]), piece: usize) -> Option<Difference> {
        let mut comparison = Comparison::new(one.1, syntax(one.0), syntax(other.0));
        other.1.chunks(piece.max(1)).for_each(|piece| comparison.feed(piece));
        comparison.finish().unwrap()
    }

    const EXPLICIT: &str = EXPLICIT_VR_LITTLE_ENDIAN;

    fn sent() -> Vec<u8> {
        [
            element(8, 0, b"UL", &[9, 0, 0, 0]),
            element(8, 0x18, b"UI", b"1.2.3\0"),
            element(8, 0x1110, b"SQ", &item(&element(8, 0x1150, b"UI", b"1.2\0"))),
            element(9, 0x10, b"LO", b"MAKER "),
            element(9, 0x1001, b"LO", b"text  "),
            element(9, 0x1002, b"SQ", &item(&element(0x10, 0x20, b"LO", b"ID"))),
            element(0x10, 0x10, b"PN", b"Doe^Jane"),
            element(0x10, 0x20, b"LO", b""),
            element(0x28, 0x10, b"US", &[0, 2]),
            element(0x28, 0x11, b"US", &[0x20, 0]),
            element(0x7FE0, 0x10, b"OW", &[1, 2, 3, 4, 0, 0]),
        ]
        .concat()
    }

    /// Everything that an archive may encode otherwise is no difference, however it is cut.
    #[test]
    fn allowed_re_encodings() {
        let lengths = [
            element(8, 0x18, b"UI", b"1.2.3\0"),
            [
                b"\x08\0\x10\x11SQ\0\0\xFF\xFF\xFF\xFF".to_vec(),
                open_item(&element(8, 0x1150, b"UI", b"1.2\0")),
                b"\xFE\xFF\xDD\xE0\0\0\0\0".to_vec(),
            ]
            .concat(),
            element(9, 0, b"UL", &[9, 0, 0, 0]),
            element(9, 0x10, b"LO", b"MAKER"),
            element(9, 0x1001, b"LO", b"text"),
            element(9, 0x1002, b"SQ", &item(&element(0x10, 0x20, b"LO", b"ID"))),
            element(0x10, 0x10, b"PN", b"Doe^Jane    "),
            element(0x10, 0x20, b"LO", b""),
            element(0x28, 0x10, b"US", &[0, 2]),
            element(0x28, 0x11, b"US", &[0x20, 0]),
            element(0x7FE0, 0x10, b"OW", &[1, 2, 3, 4, 0, 0]),
            element(0xFFFC, 0xFFFC, b"OB", &[0; 40]),
        ]
        .concat();
        let unknown = [
            element(8, 0x18, b"UI", b"1.2.3\0"),
            element(8, 0x1110, b"SQ", &item(&element(8, 0x1150, b"UI", b"1.2\0"))),
            element(9, 0x10, b"LO", b"MAKER "),
            element(9, 0x1001, b"UN", b"text  "),
            element(9, 0x1002, b"UN", &item(&implicit(0x10, 0x20, b"ID"))),
            element(0x10, 0x10, b"PN", b"Doe^Jane"),
            element(0x10, 0x20, b"LO", b""),
            element(0x28, 0x10, b"US", &[0, 2]),
            element(0x28, 0x11, b"US", &[0x20, 0]),
            element(0x7FE0, 0x10, b"OW", &[1, 2, 3, 4, 0, 0]),
        ]
        .concat();
        let without_vr = [
            implicit(8, 0x18, b"1.2.3\0"),
            implicit(8, 0x1110, &item(&implicit(8, 0x1150, b"1.2\0"))),
            implicit(9, 0x10, b"MAKER "),
            implicit(9, 0x1001, b"text  "),
            implicit(9, 0x1002, &item(&implicit(0x10, 0x20, b"ID"))),
            implicit(0x10, 0x10, b"Doe^Jane"),
            implicit(0x10, 0x20, b""),
            implicit(0x28, 0x10, &[0, 2]),
            implicit(0x28, 0x11, &[0x20, 0]),
            implicit(0x7FE0, 0x10, &[1, 2, 3, 4, 0, 0]),
        ]
        .concat();
        let big_item = |content: &[u8]| {
            let length = (content.len() as u32).to_be_bytes();
            [b"\xFF\xFE\xE0\x00", &length[..], content].concat()
        };
        let other_order = [
            big(8, 0x18, b"UI", b"1.2.3\0"),
            big(8, 0x1110, b"SQ", &big_item(&big(8, 0x1150, b"UI", b"1.2\0"))),
            big(9, 0x10, b"LO", b"MAKER "),
            big(9, 0x1001, b"LO", b"text  "),
            big(9, 0x1002, b"SQ", &big_item(&big(0x10, 0x20, b"LO", b"ID"))),
            big(0x10, 0x10, b"PN", b"Doe^Jane"),
            big(0x10, 0x20, b"LO", b""),
            big(0x28, 0x10, b"US", &[2, 0]),
            big(0x28, 0x11, b"US", &[0, 0x20]),
            big(0x7FE0, 0x10, b"OW", &[2, 1, 4, 3, 0, 0]),
        ]
        .concat();
        let all = [
            (EXPLICIT, sent()),
            (EXPLICIT, lengths),
            (EXPLICIT, unknown),
            (IMPLICIT_VR_LITTLE_ENDIAN, without_vr),
            (EXPLICIT_VR_BIG_ENDIAN, other_order),
        ];
        for (one_in, one) in &all {
            for (other_in, other) in &all {
                for piece in [1, 7, 10_000] {
                    let found = compared((one_in, one), (other_in, other), piece);
                    assert_eq!(found, None, "{one_in} {other_in} {piece}");
                }
            }
        }
    }

    /// Whatever else is changed is found, and said where.
    #[test]
    fn real_differences() {
        let original = sent();
        let found = |other: &[u8]| compared((EXPLICIT, &original), (EXPLICIT, other), 5);
        let replaced = |from: Vec<u8>, to: Vec<u8>| {
            let at = original.windows(from.len()).position(|part| part == from).unwrap();
            [&original[..at], &to, &original[at + from.len()..]].concat()
        };
        let name = |value| element(0x10, 0x10, b"PN", value);
        let rows = |value| element(0x28, 0x11, b"US", value);
        let [pn, columns] = [Tag::new(0x10, 0x10), Tag::new(0x28, 0x11)];
        for (other, difference) in [
            (replaced(name(b"Doe^Jane"), name(b"Doe^Jone")), Difference::Value(pn)),
            (replaced(name(b"Doe^Jane"), name(b" Doe^Jane ")), Difference::Value(pn)),
            (replaced(name(b"Doe^Jane"), Vec::new()), Difference::Missing(pn)),
            // A number is no text: its last bytes count.
            (replaced(rows(&[0x20, 0]), rows(&[0, 0])), Difference::Value(columns)),
            (replaced(rows(&[0x20, 0]), rows(&[0x20, 0, 0, 0])), Difference::Value(columns)),
            (
                replaced(name(b"Doe^Jane"), [name(b"Doe^Jane"), name(b"x ")].concat()),
                Difference::Extra(pn),
            ),
            (
                replaced(element(8, 0x1150, b"UI", b"1.2\0"), element(8, 0x1150, b"UI", b"1.3\0")),
                Difference::Value(Tag::new(8, 0x1150)),
            ),
            (
                replaced(
                    element(0x7FE0, 0x10, b"OW", &[1, 2, 3, 4, 0, 0]),
                    element(0x7FE0, 0x10, b"OW", &[1, 2, 3, 4]),
                ),
                Difference::Value(Tag::new(0x7FE0, 0x10)),
            ),
            (original[..original.len() - 1].to_vec(), Difference::Cut),
            (original[..original.len() - 18].to_vec(), Difference::Missing(Tag::new(0x7FE0, 0x10))),
            (Vec::new(), Difference::Missing(Tag::new(8, 0x18))),
            (b"HTTP/1.1 200 OK".to_vec(), Difference::Missing(Tag::new(8, 0x18))),
        ] {
            match (found(&other), difference) {
                (Some(Difference::Unreadable(_)), _) if other.starts_with(b"HTTP") => {}
                (found, difference) => assert_eq!(found, Some(difference)),
            }
        }
        // An item more, an item less, elements moved out of their item.
        let sequence = |items: &[Vec<u8>]| element(8, 0x1110, b"SQ", &items.concat());
        let one = element(8, 0x1150, b"UI", b"1.2\0");
        let whole = sequence(&[item(&one)]);
        for other in
            [sequence(&[]), sequence(&[item(&one), item(&[])]), sequence(&[item(&[]), item(&one)])]
        {
            let (one, other) = ((EXPLICIT, &whole[..]), (EXPLICIT, &other[..]));
            assert!(compared(one, other, 3).is_some());
            assert!(compared(other, one, 3).is_some());
        }
    }

    /// limits::COMPARED_TEXT_BYTES_MAX: blanks behind text up to it say nothing, and longer values are
    /// compared as they are, without being held.
    #[test]
    fn edge_of_held_text() {
        let text = |blanks: usize| {
            let mut value = b"text".to_vec();
            value.resize(blanks, b' ');
            element(8, 0x300A, b"UC", &value)
        };
        let plain = text(4);
        let found = |blanks| compared((EXPLICIT, &plain), (EXPLICIT, &text(blanks)), 4096);
        assert_eq!(found(COMPARED_TEXT_BYTES_MAX), None);
        assert!(found(COMPARED_TEXT_BYTES_MAX + 2).is_some());
        let long = text(COMPARED_TEXT_BYTES_MAX + 2);
        assert_eq!(compared((EXPLICIT, &long), (EXPLICIT, &long), 777), None);
        // The byte that makes it even may be a blank or NUL (PS3.5 §6.2); another byte is none.
        let odd = |padding: &[u8]| {
            let value = [&vec![b'x'; COMPARED_TEXT_BYTES_MAX + 1][..], padding].concat();
            element(8, 0x300A, b"UC", &value)
        };
        for (one, other, is_same) in
            [("", " ", true), ("", "\0", true), (" ", "\0", true), ("", "y", false)]
        {
            let found = compared(
                (EXPLICIT, &odd(one.as_bytes())),
                (EXPLICIT, &odd(other.as_bytes())),
                4096,
            );
            assert_eq!(found.is_none(), is_same, "{one:?} {other:?}");
        }
    }

    /// PS3.5 §7.1: an archive puts elements in order, and keeps the first of two; that is no alteration,
    /// and what else differs then cannot be told.
    #[test]
    fn what_was_not_in_order() {
        let [one, two, three] = [0x20, 0x30, 0x40].map(|n| element(0x10, n, b"LO", b"x "));
        let ordered = [one.clone(), two.clone(), three.clone()].concat();
        for sent in [
            [one.clone(), three.clone(), two.clone()].concat(),
            [one.clone(), one.clone(), two.clone(), three.clone()].concat(),
            element(8, 0x1110, b"SQ", &item(&[two.clone(), one.clone()].concat())),
        ] {
            let mut comparison = Comparison::new(&sent[..], syntax(EXPLICIT), syntax(EXPLICIT));
            comparison.feed(&ordered);
            assert!(matches!(comparison.finish(), Err(CompareError::Disorder(_))));
            assert_eq!(compared((EXPLICIT, &sent), (EXPLICIT, &sent), 9), None);
        }
        let lacking = [one, three].concat();
        let found = compared((EXPLICIT, &ordered), (EXPLICIT, &lacking), 9);
        assert_eq!(found, Some(Difference::Missing(Tag::new(0x10, 0x30))));
    }

    /// A signal in the middle of a read is not the end of what was sent.
    #[test]
    fn interrupted_reads() {
        struct Interrupted<'a>(&'a [u8], bool);
        impl Read for Interrupted<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let room = buffer.len().min(7);
                self.0.read(&mut buffer[..room])
            }
        }
        let original = sent();
        let input = Interrupted(&original, false);
        let mut comparison = Comparison::new(input, syntax(EXPLICIT), syntax(EXPLICIT));
        comparison.feed(&original);
        assert!(matches!(comparison.finish(), Ok(None)));
    }

    proptest! {
        /// Random bytes are never a panic or a loop; what is equal is never called different.
        #[test]
        fn random_changes(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            piece in 1..40_usize,
        ) {
            let original = sent();
            let mut other = original.clone();
            for (at, byte) in changes {
                other[at.index(original.len())] = byte;
            }
            let found = compared((EXPLICIT, &original), (EXPLICIT, &other), piece);
            if original == other {
                prop_assert_eq!(found, None);
            }
            let mut broken = Comparison::new(&other[..], syntax(EXPLICIT), syntax(EXPLICIT));
            original.chunks(piece).for_each(|piece| broken.feed(piece));
            let _ = broken.finish();
        }
    }
}
