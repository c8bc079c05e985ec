//! An identifier as the log shows it, element by element, in the form of DCMTK's `dcmdump`.
//!
//! What a server logs of its peers is cut and escaped ([`dump`]), and never shown at the default
//! level, because patients stand in it (PROMISES.md §5.4). What a user asked for is shown whole, its
//! text as its own character set says ([`dump_whole`]); a control character is escaped in both, so
//! that no peer writes lines of its own. What is no identifier is said to be none. Nothing recurses.
//! [`Shown`] is one element of a data set that passes by. Called by `server::query_narration`,
//! `recording::show`, and for the query tools by `dcmfast._rust`.

use std::fmt::{self, Write as _};

use super::character_set::{CharacterSet, Delimiters};
use super::identifier::{Element, Encoding, IdentifierError, Item, inflated};
use super::transfer_syntax::{ByteOrder, TransferSyntax};
use crate::dictionary::elements::DictionaryVr;
use crate::dictionary::uids::name_of;
use crate::dictionary::{keyword_of, vr_of};
use crate::limits::{
    LOGGED_DUMP_BYTES_MAX, LOGGED_DUMP_LINES_MAX, LOGGED_SEQUENCE_DEPTH_MAX, SEQUENCE_DEPTH_MAX,
};
use crate::log::escaped;
use crate::tag::{ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, SPECIFIC_CHARACTER_SET, Tag};
use crate::vr::Vr;

/// Most numbers or bytes of one value that a log shows.
const NUMBERS_SHOWN: usize = 16;

/// `bytes`, encoded in `syntax`, as lines; the first one and the last one are empty.
pub fn dump(syntax: TransferSyntax, bytes: &[u8]) -> String {
    Dump::new(false).of(syntax, bytes)
}

/// The same, whole, and with text in its own character set; with its blanks at the end where
/// `is_padding_shown`, as DCMTK does without data correction.
pub fn dump_whole(syntax: TransferSyntax, bytes: &[u8], is_padding_shown: bool) -> String {
    Dump { is_padding_shown, ..Dump::new(true) }.of(syntax, bytes)
}

/// An element that a streaming reader shows: of its value only the first bytes may be there.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Its tag; of an item or delimiter that one's.
    pub tag: Tag,
    /// None of items and delimiters.
    pub vr: Vr,
    /// `None` where it is undefined.
    pub length: Option<u32>,
    /// The first bytes of the value.
    pub value: &'a [u8],
    /// Sequences and items around it.
    pub depth: usize,
    /// It opens a sequence or an item.
    pub is_opening: bool,
    /// Numbers are big-endian.
    pub is_big_endian: bool,
}

impl Shown<'_> {
    /// The value as text, in `set`, and how many values it has; `...` behind one that is cut.
    pub fn text(&self, set: CharacterSet) -> (String, usize) {
        let kind = if self.length.is_none() { "undefined" } else { "explicit" };
        match self.tag {
            ITEM_DELIMITATION => return ("(ItemDelimitationItem)".into(), 0),
            SEQUENCE_DELIMITATION => return ("(SequenceDelimitationItem)".into(), 0),
            ITEM if self.is_opening => return (format!("(Item with {kind} length)"), 1),
            _ if self.is_opening => return (format!("(Sequence with {kind} length)"), 1),
            _ => {}
        }
        let byte_order = if self.is_big_endian { ByteOrder::Big } else { ByteOrder::Little };
        let encoding = Encoding { is_explicit: true, byte_order };
        let vr = if self.tag == ITEM { Vr::OB } else { self.vr };
        let (mut text, count) =
            Dump { character_set: set, ..Dump::new(true) }.value(vr, self.value, encoding);
        if self.length.is_some_and(|length| length as usize > self.value.len()) {
            text.push_str("...");
        }
        (text, count)
    }

    /// One line, as dcmdump has it.
    pub fn line(&self, set: CharacterSet) -> String {
        let (text, count) = self.text(set);
        let mut dump = Dump::new(true);
        let vr: &[u8] = match self.tag {
            ITEM_DELIMITATION | SEQUENCE_DELIMITATION => b"na",
            ITEM if self.is_opening => b"na",
            ITEM => b"pi",
            _ => &self.vr.0,
        };
        let length = self.length.map(|length| length as usize);
        // Writing to a String does not fail.
        let _ = dump.line(self.tag, vr, &text, length, count, self.depth);
        dump.out
    }
}

/// The lines so far, and what is shown.
struct Dump {
    out: String,
    is_whole: bool,
    is_padding_shown: bool,
    /// In force at the top level, and within (PS3.3 §C.12.1.1.2: an item may have its own).
    character_set: CharacterSet,
    /// Lines so far, and those that a log leaves out.
    lines: usize,
    lines_left_out: usize,
}

/// What is still to be shown; the next one last.
enum Work<'a> {
    Element(Element<'a>, usize),
    /// One by one: a sequence may have a quarter of a million.
    Items(Box<dyn Iterator<Item = Result<Item<'a>, IdentifierError>> + 'a>, usize),
    /// The end of a sequence or item of defined length or not.
    End {
        is_item: bool,
        is_undefined: bool,
        depth: usize,
    },
}

fn elements_of<'a>(item: &Item<'a>, depth: usize) -> Vec<Work<'a>> {
    let last_first = item.elements().iter().rev();
    last_first.map(|element| Work::Element(*element, depth)).collect()
}

impl Dump {
    fn new(is_whole: bool) -> Self {
        let character_set = CharacterSet::default();
        Self {
            out: String::new(),
            is_whole,
            is_padding_shown: false,
            character_set,
            lines: 0,
            lines_left_out: 0,
        }
    }

    fn of(mut self, syntax: TransferSyntax, bytes: &[u8]) -> String {
        self.out.push_str("\n# Dicom-Data-Set\n# Used TransferSyntax: ");
        self.out.push_str(syntax.words());
        self.out.push('\n');
        let encoding = Encoding::of(syntax);
        let written = inflated(syntax, bytes).and_then(|bytes| {
            let item = Item::read(&bytes, encoding)?;
            if self.is_whole {
                self.character_set = CharacterSet::parse(item.value(SPECIFIC_CHARACTER_SET));
            }
            // Writing to a String does not fail.
            let _ = self.write(&item, encoding);
            Ok(())
        });
        if let Err(error) = written {
            let _ = writeln!(self.out, "# {error}");
        }
        if self.lines_left_out > 0 {
            let _ = writeln!(self.out, "# ... {} more lines", self.lines_left_out);
        }
        self.out
    }

    /// Counts a line; false where a log leaves it out.
    fn has_room(&mut self) -> bool {
        let is_shown = self.is_whole
            || self.lines < LOGGED_DUMP_LINES_MAX && self.out.len() < LOGGED_DUMP_BYTES_MAX;
        let count = if is_shown { &mut self.lines } else { &mut self.lines_left_out };
        *count += 1;
        is_shown
    }

    fn write(&mut self, top: &Item<'_>, encoding: Encoding) -> fmt::Result {
        let depth_max = if self.is_whole { SEQUENCE_DEPTH_MAX } else { LOGGED_SEQUENCE_DEPTH_MAX };
        let mut work = elements_of(top, 0);
        while let Some(next) = work.pop() {
            match next {
                Work::Element(element, depth) => {
                    let vr = vr_shown(&element);
                    if vr != Vr::SQ {
                        self.element(&element, vr, encoding, depth)?;
                        continue;
                    }
                    let items = || Item::all(element.value, encoding);
                    let count = items().count();
                    let kind = if element.is_undefined { "undefined" } else { "explicit" };
                    let text = format!("(Sequence with {kind} length #={count})");
                    let length = (!element.is_undefined).then_some(element.value.len());
                    self.line(element.tag, &vr.0, &text, length, 1, depth)?;
                    let is_undefined = element.is_undefined;
                    work.push(Work::End { is_item: false, is_undefined, depth });
                    // Sequence and item are a step to the right each.
                    if depth / 2 < depth_max {
                        work.push(Work::Items(Box::new(items()), depth));
                    }
                }
                Work::Items(mut items, depth) => {
                    let Some(item) = items.next() else { continue };
                    work.push(Work::Items(items, depth));
                    let item = match item {
                        Ok(item) => item,
                        Err(error) => {
                            if self.has_room() {
                                let indent = 2 * (depth + 1);
                                writeln!(self.out, "{:indent$}# {error}", "")?;
                            }
                            continue;
                        }
                    };
                    let length = item.defined_bytes();
                    let kind = if length.is_none() { "undefined" } else { "explicit" };
                    let count = item.elements().len();
                    let text = format!("(Item with {kind} length #={count})");
                    self.line(ITEM, b"na", &text, length, 1, depth + 1)?;
                    let is_undefined = length.is_none();
                    work.push(Work::End { is_item: true, is_undefined, depth: depth + 1 });
                    work.append(&mut elements_of(&item, depth + 2));
                }
                Work::End { is_item, is_undefined, depth } => {
                    let (tag, text) = match (is_item, is_undefined) {
                        (true, true) => (ITEM_DELIMITATION, "(ItemDelimitationItem)"),
                        (true, false) => {
                            (ITEM_DELIMITATION, "(ItemDelimitationItem for re-encoding)")
                        }
                        (false, true) => (SEQUENCE_DELIMITATION, "(SequenceDelimitationItem)"),
                        (false, false) => {
                            (SEQUENCE_DELIMITATION, "(SequenceDelimitationItem for re-encod.)")
                        }
                    };
                    self.line(tag, b"na", text, Some(0), 0, depth)?;
                }
            }
        }
        Ok(())
    }

    fn element(
        &mut self,
        element: &Element<'_>,
        vr: Vr,
        encoding: Encoding,
        depth: usize,
    ) -> fmt::Result {
        let (text, multiplicity) = self.value(vr, element.value, encoding);
        self.line(element.tag, &vr.0, &text, Some(element.value.len()), multiplicity, depth)
    }

    /// One line; `length` is `None` where it is undefined.
    fn line(
        &mut self,
        tag: Tag,
        vr: &[u8],
        text: &str,
        length: Option<usize>,
        multiplicity: usize,
        depth: usize,
    ) -> fmt::Result {
        if !self.has_room() {
            return Ok(());
        }
        let (group, number) = (tag.group(), tag.element());
        let keyword = match tag {
            ITEM => "Item",
            ITEM_DELIMITATION => "ItemDelimitationItem",
            SEQUENCE_DELIMITATION => "SequenceDelimitationItem",
            _ => keyword_of(tag).unwrap_or("Unknown Tag & Data"),
        };
        let length = length.map_or_else(|| "u/l".to_owned(), |length| length.to_string());
        // DCMTK counts bytes here, so that other letters move the column.
        let padding = 40_usize.saturating_sub(text.len());
        writeln!(
            self.out,
            "{:indent$}({group:04x},{number:04x}) {} {text}{:padding$} #{length:>4},{multiplicity:>2} \
             {keyword}",
            "",
            escaped(vr),
            "",
            indent = 2 * depth,
        )
    }

    /// A value and how many values it has.
    fn value(&self, vr: Vr, bytes: &[u8], encoding: Encoding) -> (String, usize) {
        if bytes.is_empty() {
            return ("(no value available)".into(), 0);
        }
        let bytes = encoding.little_endian(vr, bytes);
        let most = if self.is_whole { usize::MAX } else { NUMBERS_SHOWN };
        match &vr.0 {
            b"US" => numbers(&bytes, most, u16::from_le_bytes),
            b"SS" => numbers(&bytes, most, i16::from_le_bytes),
            b"UL" => numbers(&bytes, most, u32::from_le_bytes),
            b"SL" => numbers(&bytes, most, i32::from_le_bytes),
            b"UV" => numbers(&bytes, most, u64::from_le_bytes),
            b"SV" => numbers(&bytes, most, i64::from_le_bytes),
            b"FL" | b"OF" => {
                numbers(&bytes, most, |bytes| general(f64::from(f32::from_le_bytes(bytes)), 9))
            }
            b"FD" | b"OD" => numbers(&bytes, most, |bytes| general(f64::from_le_bytes(bytes), 17)),
            b"AT" => joined(bytes.chunks(4), most, |tag| match tag {
                [a, b, c, d] => format!("({b:02x}{a:02x},{d:02x}{c:02x})"),
                _ => "?".into(),
            }),
            b"OW" => {
                let word = |word: &[u8]| match word {
                    [low, high] => format!("{high:02x}{low:02x}"),
                    _ => "?".into(),
                };
                (joined(bytes.chunks(2), most, word).0, 1)
            }
            b"OB" | b"OL" | b"OV" | b"UN" => {
                (joined(bytes.chunks(1), most, |byte| format!("{:02x}", byte[0])).0, 1)
            }
            _ => {
                let is_blank_kept = self.is_padding_shown;
                let end = bytes.iter().rposition(|byte| match byte {
                    0 => false,
                    b' ' => is_blank_kept,
                    _ => true,
                });
                let text = bytes.get(..end.map_or(0, |last| last + 1)).unwrap_or_default();
                if vr == Vr::UI {
                    if let Some(name) = name_of(text) {
                        return (format!("={name}"), 1);
                    }
                }
                let is_one = matches!(&vr.0, b"LT" | b"ST" | b"UT" | b"UR");
                let count = if is_one { 1 } else { text.split(|byte| *byte == b'\\').count() };
                (format!("[{}]", self.text(vr, text)), count)
            }
        }
    }

    fn text(&self, vr: Vr, bytes: &[u8]) -> String {
        if !self.is_whole {
            return escaped(bytes).to_string();
        }
        let decoded = self.character_set.decode(bytes, Delimiters::of(vr));
        let mut out = String::new();
        match decoded {
            Ok(text) => {
                for letter in text.chars() {
                    if letter.is_control() {
                        let _ = write!(out, "\\x{:02x}", u32::from(letter));
                    } else {
                        out.push(letter);
                    }
                }
            }
            Err(_) => bytes.chunks(64).for_each(|part| {
                let _ = write!(out, "{}", escaped(part));
            }),
        }
        out
    }
}

/// The VR on the wire, or the dictionary's.
pub(super) fn vr_shown(element: &Element<'_>) -> Vr {
    if element.vr != Vr::NONE {
        return element.vr;
    }
    match vr_of(element.tag) {
        Some(DictionaryVr::Is(vr)) => vr,
        Some(DictionaryVr::UsOrSs | DictionaryVr::LookupTable) => Vr(*b"US"),
        Some(DictionaryVr::ObOrOw) => Vr::OW,
        None if element.is_undefined => Vr::SQ,
        None => Vr::UN,
    }
}

fn numbers<const WIDTH: usize, N: fmt::Display>(
    bytes: &[u8],
    most: usize,
    read: impl Fn([u8; WIDTH]) -> N,
) -> (String, usize) {
    joined(bytes.chunks(WIDTH), most, |number| {
        number.try_into().map_or_else(|_| "?".into(), |bytes| read(bytes).to_string())
    })
}

/// The text of a value as dcmdump and dcm2xml have it, and how many values it has; `None` where it
/// is hidden because it is binary.
pub(super) fn shown_value(vr: Vr, bytes: &[u8], encoding: Encoding) -> Option<(String, usize)> {
    if matches!(&vr.0, b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"UN") {
        return None;
    }
    if bytes.is_empty() {
        return Some((String::new(), 0));
    }
    Some(Dump::new(true).value(vr, bytes, encoding))
}

/// A number as C's `%g` writes it with so many digits, without digits that say nothing.
fn general(number: f64, digits: usize) -> String {
    if !number.is_finite() {
        return number.to_string().to_lowercase();
    }
    // 17 digits would show what the shortest form leaves out; 9 of them are what a float has.
    let scientific =
        if digits < 17 { format!("{number:.*e}", digits - 1) } else { format!("{number:e}") };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    if exponent < -4 || usize::try_from(exponent).is_ok_and(|exponent| exponent >= digits) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    // Digits behind the point: those of the mantissa, less the exponent.
    let shown: i32 = mantissa.bytes().map(|byte| i32::from(byte.is_ascii_digit())).sum();
    let decimals = usize::try_from(shown - 1 - exponent).unwrap_or_default();
    format!("{number:.decimals$}")
}

fn joined<'b>(
    values: impl ExactSizeIterator<Item = &'b [u8]>,
    most: usize,
    text: impl Fn(&[u8]) -> String,
) -> (String, usize) {
    let count = values.len();
    let mut shown: Vec<String> = values.take(most).map(text).collect();
    if count > most {
        shown.push("...".into());
    }
    (shown.join("\\"), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::identifier::Writer;
    use crate::tag::Tag;
    use crate::uid::Uid;
    use proptest::prelude::*;

    fn explicit() -> TransferSyntax {
        TransferSyntax::of(&Uid::known("1.2.840.10008.1.2.1"))
    }

    /// limits::LOGGED_SEQUENCE_DEPTH_MAX levels are shown, and of the next one that it is there.
    #[test]
    fn edge_of_depth() {
        let open = b"\x08\0\x32\x10SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF";
        let close = b"\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
        for levels in LOGGED_SEQUENCE_DEPTH_MAX - 1..=LOGGED_SEQUENCE_DEPTH_MAX + 2 {
            let text = dump(explicit(), &[open.repeat(levels), close.repeat(levels)].concat());
            let items = text.matches("(fffe,e000)").count();
            assert_eq!(items, levels.min(LOGGED_SEQUENCE_DEPTH_MAX), "{text}");
            let sequences = text.matches("(0008,1032)").count();
            assert_eq!(sequences, levels.min(LOGGED_SEQUENCE_DEPTH_MAX + 1), "{text}");
        }
    }

    /// What a peer sends costs the log so many lines and bytes; the rest is counted. What a user
    /// asked for is whole.
    #[test]
    fn edge_of_lines_and_bytes() {
        let shown = |text: &str| text.lines().skip(3).filter(|line| !line.starts_with('#')).count();
        let items = |count: usize| {
            let bytes = b"\xFE\xFF\0\xE0\0\0\0\0".repeat(count);
            let mut sequence = b"\x08\0\x32\x10SQ\0\0".to_vec();
            sequence.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
            [sequence, bytes].concat()
        };
        // The sequence and its end, and two lines for each item.
        let fits = (LOGGED_DUMP_LINES_MAX - 2) / 2;
        let text = dump(explicit(), &items(fits));
        assert_eq!((shown(&text), text.contains("more lines")), (LOGGED_DUMP_LINES_MAX, false));
        let text = dump(explicit(), &items(fits + 1));
        assert_eq!(shown(&text), LOGGED_DUMP_LINES_MAX);
        assert!(text.ends_with("\n# ... 2 more lines\n"));
        let many = items(crate::limits::IDENTIFIER_BYTES_MAX / 8 - 2);
        let text = dump(explicit(), &many);
        assert!(text.len() < LOGGED_DUMP_BYTES_MAX + 1024);
        assert!(text.contains("(Sequence with explicit length #=262142)"), "{}", &text[..200]);
        assert!(text.ends_with(&format!("\n# ... {} more lines\n", 2 * 262_142 + 2 - 1000)));
        assert_eq!(shown(&dump_whole(explicit(), &many, false)), 2 * 262_142 + 2);

        // Long lines are counted by their bytes.
        let mut bytes = Vec::new();
        let mut to = Writer::new(&mut bytes, Encoding::EXPLICIT_LITTLE);
        for number in 0..900 {
            to.text(Tag::new(0x0009, 0x1000 + number), Vr(*b"LO"), &[b'\n'; 512]);
        }
        let text = dump(explicit(), &bytes);
        let last = text.lines().rev().nth(1).map_or(0, str::len);
        assert!(text.len() > LOGGED_DUMP_BYTES_MAX, "{}", text.len());
        assert!(text.len() < LOGGED_DUMP_BYTES_MAX + last + 100, "{}", text.len());
        assert!(text.ends_with(&format!("\n# ... {} more lines\n", 900 - shown(&text))));
    }

    /// Each line as DCMTK 3.6.7 prints it.
    #[test]
    fn lines() {
        let mut bytes = Vec::new();
        let mut to = Writer::new(&mut bytes, Encoding::EXPLICIT_LITTLE);
        to.text(Tag::new(0x0008, 0x0052), Vr(*b"CS"), b"STUDY");
        to.text(Tag::new(0x0008, 0x0061), Vr(*b"CS"), b"");
        to.text(Tag::new(0x0009, 0x0010), Vr(*b"LO"), b"x");
        to.text(Tag::new(0x0010, 0x0010), Vr(*b"PN"), b"M\xfcller\n");
        let uid = b"1.3.6.1.4.1.5962.1.2.1.20040119072730.12322";
        to.text(Tag::new(0x0020, 0x000D), Vr::UI, uid);
        to.stored(Tag::new(0x0028, 0x0010), Vr(*b"US"), b"\0\x02");
        assert_eq!(
            dump(explicit(), &bytes),
            "\n# Dicom-Data-Set\n# Used TransferSyntax: Little Endian Explicit\n\
             (0008,0052) CS [STUDY]                                  #   6, 1 QueryRetrieveLevel\n\
             (0008,0061) CS (no value available)                     #   0, 0 ModalitiesInStudy\n\
             (0009,0010) LO [x]                                      #   2, 1 PrivateCreator\n\
             (0010,0010) PN [M\\xfcller\\x0a]                          #   8, 1 PatientName\n\
             (0020,000d) UI [1.3.6.1.4.1.5962.1.2.1.20040119072730.12322] #  44, 1 \
             StudyInstanceUID\n\
             (0028,0010) US 512                                      #   2, 1 Rows\n"
        );
    }

    /// As DCMTK 3.6.7's dcmdump prints them, of defined and of undefined lengths.
    #[test]
    fn sequences() {
        let bytes = b"\x08\0\x10\x11SQ\0\0\x26\0\0\0\xfe\xff\0\xe0\x1e\0\0\0\
            \x08\0\x50\x11UI\x06\x001.2.3\0\
            \x08\0\x40\x11SQ\0\0\x04\0\0\0\xff\xff\xff\xff\
            \x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff\
            \x08\0\x50\x11UI\x1a\x001.2.840.10008.5.1.4.1.1.2\0\
            \xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0";
        let text = dump_whole(explicit(), bytes, true);
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(
            lines,
            [
                "(0008,1110) SQ (Sequence with explicit length #=1)      #  38, 1 \
                 ReferencedStudySequence",
                "  (fffe,e000) na (Item with explicit length #=2)          #  30, 1 Item",
                "    (0008,1140) SQ (Sequence with explicit length #=1)      #   4, 1 \
                 ReferencedImageSequence",
                "      # identifier: the element at offset 0 is cut",
                "    (fffe,e0dd) na (SequenceDelimitationItem for re-encod.) #   0, 0 \
                 SequenceDelimitationItem",
                "    (0008,1150) UI [1.2.3]                                  #   6, 1 \
                 ReferencedSOPClassUID",
                "  (fffe,e00d) na (ItemDelimitationItem for re-encoding)   #   0, 0 \
                 ItemDelimitationItem",
                "(fffe,e0dd) na (SequenceDelimitationItem for re-encod.) #   0, 0 \
                 SequenceDelimitationItem",
                "(0008,1115) SQ (Sequence with undefined length #=1)     # u/l, 1 \
                 ReferencedSeriesSequence",
                "  (fffe,e000) na (Item with undefined length #=1)         # u/l, 1 Item",
                "    (0008,1150) UI =CTImageStorage                          #  26, 1 \
                 ReferencedSOPClassUID",
                "  (fffe,e00d) na (ItemDelimitationItem)                   #   0, 0 \
                 ItemDelimitationItem",
                "(fffe,e0dd) na (SequenceDelimitationItem)               #   0, 0 \
                 SequenceDelimitationItem",
            ]
        );
    }

    /// DCMTK 3.6.7's digits.
    #[test]
    fn floating_point() {
        for (number, digits, text) in [
            (0.1, 17, "0.1"),
            (1e22, 17, "1e+22"),
            (-3.0, 17, "-3"),
            (123_456_789.125, 17, "123456789.125"),
            (f64::from(0.1_f32), 9, "0.100000001"),
            (f64::from(1e-10_f32), 9, "1.00000001e-10"),
            (f64::from(33_333.332_f32), 9, "33333.332"),
            (100.0, 9, "100"),
            (f64::NAN, 17, "nan"),
        ] {
            assert_eq!(general(number, digits), text);
        }
    }

    /// A user reads letters, and no peer writes lines or moves the cursor.
    #[test]
    fn text_in_its_own_character_set() {
        let with = |term: &[u8], name: &[u8]| {
            let mut bytes = Vec::new();
            let mut to = Writer::new(&mut bytes, Encoding::EXPLICIT_LITTLE);
            to.text(Tag::new(0x0008, 0x0005), Vr(*b"CS"), term);
            to.text(Tag::new(0x0010, 0x0010), Vr(*b"PN"), name);
            let text = dump_whole(explicit(), &bytes, false);
            let line = text.lines().last().unwrap();
            line[line.find('[').unwrap()..=line.find(']').unwrap()].to_owned()
        };
        assert_eq!(with(b"ISO_IR 192", "Jané^A".as_bytes()), "[Jané^A]");
        assert_eq!(with(b"ISO_IR 100", b"M\xfcller"), "[Müller]");
        assert_eq!(with(b"ISO_IR 192", b"M\xfcller"), "[M\\xfcller]");
        assert_eq!(with(b"", b"a\nF: \x1b[2J\x7f"), "[a\\x0aF: \\x1b[2J\\x7f]");
        assert_eq!(with(b"ISO_IR 192", "a\u{9b}b".as_bytes()), "[a\\x9bb]");
    }

    #[test]
    fn what_is_no_identifier_is_said_to_be_none() {
        let text = dump(explicit(), b"\x10\0\x10\0PN\xff\xffDoe");
        assert!(
            text.lines().last().is_some_and(|line| line.starts_with("# identifier: ")),
            "{text}"
        );
    }

    proptest! {
        /// Any bytes in any encoding: lines of printable ASCII.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), which in 0usize..4) {
            let uid = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
                "1.2.840.10008.1.2.1.99"][which];
            let whole = dump_whole(TransferSyntax::of(&Uid::known(uid)), &bytes, true);
            prop_assert!(whole.chars().all(|letter| letter == '\n' || !letter.is_control()));
            let text = dump(TransferSyntax::of(&Uid::known(uid)), &bytes);
            prop_assert!(text.bytes().all(|byte| byte == b'\n' || (0x20..0x7F).contains(&byte)));
        }
    }
}
