//! The scanner that watches a data set go by and says whether its structure is whole.
//!
//! Source: PS3.5 §7.1 (data elements), §7.5 (sequences and items), §6.2.2 (UN), §A.4 (encapsulated
//! Pixel Data), §A.5 (deflate).
//!
//! Fragments of any size go in; the answer does not depend on where they were cut. Values are
//! stepped over without being looked at, so a fragment inside Pixel Data costs one subtraction.
//! Kept are: the values of a few wanted top-level elements, a stack of open sequences of bounded
//! depth, and at most 12 bytes of a header that was cut. Nothing recurses. What the bytes mean is
//! not judged: a data set that passes ends on an element boundary, with every sequence closed,
//! every item inside its parent, and no command or file meta group inside.
//!
//! Three decisions that the standard leaves open, or that the field makes necessary:
//! * Two unknown capital letters as VR are carried with a 4-byte length, as PS3.5 §6.2 promises for
//!   every future VR; anything else in their place is an error.
//! * Of two elements of one tag the first counts, as in DCMTK.
//! * In Implicit VR a value of defined length is not opened: only a dictionary could tell that it
//!   is a sequence. Undefined length is fragments for Pixel Data, an error where a dictionary has
//!   another VR than SQ and UN, and a sequence else.
//!
//! Called by `storage::writer` for every data set received. Bounds live in `limits.rs`.

mod error;
mod inflate;
mod walker;

use inflate::Inflater;
use walker::Walker;

use crate::dataset::attributes::Attributes;
use crate::dataset::element_header::Encoding;
use crate::dataset::index_keys::{IndexKeys, WantedValue};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::tag::Tag;

pub use error::{ScanError, ScanWarnings};
pub(super) use inflate::is_inflated_too_far;
pub(super) use walker::check_first_element;

/// An incremental scanner of one data set.
pub struct Scanner {
    walker: Walker,
    inflater: Option<Box<Inflater>>,
    failed: Option<ScanError>,
}

impl Scanner {
    /// A scanner that keeps the values of `wanted` top-level elements, at most `WANTED_TAGS_MAX` of
    /// them; further tags are not kept.
    pub fn new(transfer_syntax: TransferSyntax, wanted: &'static [Tag]) -> Self {
        Self {
            walker: Walker::new(Encoding::of(transfer_syntax), wanted),
            inflater: transfer_syntax.is_deflated.then(|| Box::new(Inflater::new())),
            failed: None,
        }
    }

    /// The same, and it collects the values of `attributes`, which are in ascending order of tags:
    /// [`take_attributes`](Self::take_attributes) has them at the end.
    pub fn with_index_keys(
        transfer_syntax: TransferSyntax,
        wanted: &'static [Tag],
        attributes: &'static [WantedValue],
    ) -> Self {
        let mut scanner = Self::new(transfer_syntax, wanted);
        scanner.walker.keys = Some(Box::new(IndexKeys::new(attributes)));
        scanner
    }

    /// The values collected so far; none of them twice.
    pub fn take_attributes(&mut self) -> Attributes {
        self.walker.keys.as_mut().map(|keys| keys.take()).unwrap_or_default()
    }

    /// Takes the next bytes of the data set. An error is final and comes again from every later
    /// call.
    pub fn feed(&mut self, fragment: &[u8]) -> Result<(), ScanError> {
        self.feed_and_show(fragment, |_| {})
    }

    /// The same, and `show` sees the bytes too, inflated where they are deflated.
    pub fn feed_and_show(
        &mut self,
        fragment: &[u8],
        mut show: impl FnMut(&[u8]),
    ) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let walker = &mut self.walker;
        let mut walk = |bytes: &[u8]| {
            // What stands before a fault is shown, too.
            show(bytes);
            walker.walk(bytes)
        };
        let result = match &mut self.inflater {
            None => walk(fragment),
            Some(inflater) => inflater.feed(fragment, &mut walk),
        };
        // An error says more than the warning, which depends on how the bytes were cut.
        self.walker.warnings.has_deflate_trailer =
            result.is_ok() && self.inflater.as_ref().is_some_and(|inflater| inflater.has_trailer);
        self.failed = result.err();
        result
    }

    /// Says whether the data set may end here.
    pub fn finish(&mut self) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = match &self.inflater {
            Some(inflater) if !inflater.has_ended => Err(ScanError::DeflateTruncated),
            _ => self.walker.finish(),
        };
        self.failed = result.err();
        result
    }

    /// Bytes that come next and belong to a value: a reader who can seek may pass over them, up to
    /// the end of its source, and say so with [`Scanner::pass_over`]. 0 in a deflated data set.
    pub fn value_bytes_ahead(&self) -> u64 {
        if self.inflater.is_some() { 0 } else { self.walker.value_left }
    }

    /// The next `bytes`, at most [`Scanner::value_bytes_ahead`], are taken as seen. A wanted value
    /// among them is not kept.
    pub fn pass_over(&mut self, bytes: u64) {
        let bytes = bytes.min(self.value_bytes_ahead());
        self.walker.value_left -= bytes;
        self.walker.offset += bytes;
    }

    /// True inside a sequence or item.
    pub fn is_in_sequence(&self) -> bool {
        !self.walker.below.is_empty()
    }

    /// The value of a wanted element, once it has gone by completely; cut at
    /// `WANTED_VALUE_BYTES_MAX`.
    pub fn value(&self, tag: Tag) -> Option<&[u8]> {
        self.walker.wanted.value(tag)
    }

    /// Data elements seen so far, at every depth.
    pub fn elements_seen(&self) -> u64 {
        self.walker.elements_seen
    }

    /// What was odd so far.
    pub fn warnings(&self) -> ScanWarnings {
        self.walker.warnings
    }

    /// True once encapsulated Pixel Data has begun (PS3.5 §A.4).
    pub fn has_fragments(&self) -> bool {
        self.walker.has_fragments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::element_header::UNDEFINED;
    use crate::limits::{
        DEFLATE_TRAILER_BYTES_MAX, INFLATE_BUFFER_BYTES, INFLATED_BYTES_MAX, INFLATED_FREE_BYTES,
        INFLATED_RATIO_MAX, SEQUENCE_DEPTH_MAX, WANTED_VALUE_BYTES_MAX,
    };
    use crate::tag;
    use crate::uid::Uid;
    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use proptest::prelude::*;
    use std::io::Write;

    static WANTED: [Tag; 2] = [tag::SOP_CLASS_UID, tag::SOP_INSTANCE_UID];
    const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    const IMPLICIT: &str = "1.2.840.10008.1.2";
    const BIG: &str = "1.2.840.10008.1.2.2";
    const JPEG: &str = "1.2.840.10008.1.2.4.50";
    const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

    fn scanner(syntax: &str) -> Scanner {
        Scanner::new(TransferSyntax::of(&Uid::known(syntax)), &WANTED)
    }

    /// Everything that a scan tells.
    type Outcome = (Result<(), ScanError>, u64, ScanWarnings, [Option<Vec<u8>>; 2]);

    fn outcome(syntax: &str, fragments: &[&[u8]]) -> Outcome {
        let mut scanner = scanner(syntax);
        let fed = fragments.iter().try_for_each(|fragment| scanner.feed(fragment));
        let result = fed.and_then(|()| scanner.finish());
        let values = WANTED.map(|tag| scanner.value(tag).map(<[u8]>::to_vec));
        (result, scanner.elements_seen(), scanner.warnings(), values)
    }

    fn scan(syntax: &str, bytes: &[u8]) -> Result<(), ScanError> {
        outcome(syntax, &[bytes]).0
    }

    /// An explicit little endian element with a 2-byte length.
    fn short(group: u16, element: u16, vr: &str, value: &[u8]) -> Vec<u8> {
        let mut out = [group.to_le_bytes(), element.to_le_bytes()].concat();
        out.extend_from_slice(vr.as_bytes());
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
        out.extend_from_slice(value);
        out
    }

    /// An explicit little endian element with a 4-byte length, which may lie.
    fn long(group: u16, element: u16, vr: &str, length: u32, value: &[u8]) -> Vec<u8> {
        let mut out = [group.to_le_bytes(), element.to_le_bytes()].concat();
        out.extend_from_slice(vr.as_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(value);
        out
    }

    /// Tag and 4-byte length, little endian: implicit elements, items and delimiters.
    fn bare(group: u16, element: u16, length: u32, value: &[u8]) -> Vec<u8> {
        let mut out = [group.to_le_bytes(), element.to_le_bytes()].concat();
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(value);
        out
    }

    fn item(length: u32, value: &[u8]) -> Vec<u8> {
        bare(0xFFFE, 0xE000, length, value)
    }

    fn item_end() -> Vec<u8> {
        bare(0xFFFE, 0xE00D, 0, &[])
    }

    fn sequence_end() -> Vec<u8> {
        bare(0xFFFE, 0xE0DD, 0, &[])
    }

    fn uids() -> Vec<u8> {
        let class = short(8, 0x16, "UI", b"1.2.840.10008.5.1.4.1.1.2\0");
        [class, short(8, 0x18, "UI", b"1.2.3.4\0")].concat()
    }

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(9));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    // ---- Good data ---------------------------------------------------------------------------

    /// The wanted values come out, each once its last byte has gone by.
    #[test]
    fn wanted_values() {
        let mut scanner = scanner(EXPLICIT);
        let data = uids();
        scanner.feed(&data[..data.len() - 1]).unwrap();
        assert_eq!(scanner.value(tag::SOP_CLASS_UID), Some(&b"1.2.840.10008.5.1.4.1.1.2\0"[..]));
        assert_eq!(scanner.value(tag::SOP_INSTANCE_UID), None);
        scanner.feed(&data[data.len() - 1..]).unwrap();
        assert_eq!(scanner.value(tag::SOP_INSTANCE_UID), Some(&b"1.2.3.4\0"[..]));
        assert_eq!((scanner.finish(), scanner.elements_seen()), (Ok(()), 2));
    }

    /// Longer values are cut at the bound and stepped over whole.
    #[test]
    fn wanted_value_at_its_bound() {
        for length in [WANTED_VALUE_BYTES_MAX - 1, WANTED_VALUE_BYTES_MAX, 60_000] {
            let data = short(8, 0x18, "UI", &vec![b'1'; length]);
            let (result, _, _, [_, value]) = outcome(EXPLICIT, &[&data]);
            assert_eq!(result, Ok(()));
            assert_eq!(value.map(|value| value.len()), Some(length.min(WANTED_VALUE_BYTES_MAX)));
        }
    }

    /// PS3.5 §7.5: each way to write a sequence.
    #[test]
    fn sequences_of_every_form() {
        let inner = short(8, 0x1150, "UI", b"1.2\0");
        let size = inner.len() as u32;
        let undefined_item = [item(UNDEFINED, &inner), item_end()].concat();
        let defined_item = item(size, &inner);
        for content in [&undefined_item, &defined_item, &item(0, &[]), &Vec::new()] {
            let defined = long(8, 0x1140, "SQ", content.len() as u32, content);
            let undefined = [long(8, 0x1140, "SQ", UNDEFINED, content), sequence_end()].concat();
            assert_eq!(scan(EXPLICIT, &[uids(), defined].concat()), Ok(()));
            assert_eq!(scan(EXPLICIT, &[uids(), undefined].concat()), Ok(()));
        }
        let implicit_item = item(UNDEFINED, &bare(8, 0x1150, 4, b"1.2\0"));
        let implicit = [bare(8, 0x1140, UNDEFINED, &implicit_item), item_end(), sequence_end()];
        assert_eq!(scan(IMPLICIT, &implicit.concat()), Ok(()));
    }

    /// PS3.5 §6.2.2: UN of undefined length holds implicit little endian items.
    #[test]
    fn unknown_of_undefined_length() {
        let content = item(12, &bare(9, 0x1001, 4, b"\x12\x34\x56\x78"));
        let data = [long(9, 0x1010, "UN", UNDEFINED, &content), sequence_end()].concat();
        assert_eq!(scan(EXPLICIT, &[uids(), data.clone()].concat()), Ok(()));
        let after = short(0x10, 0x10, "PN", b"Doe^");
        assert_eq!(scan(EXPLICIT, &[uids(), data, after].concat()), Ok(()));
    }

    /// PS3.5 §A.4: fragments; later elements are walked too.
    #[test]
    fn encapsulated_pixel_data() {
        let fragments = [item(0, &[]), item(4, b"\xff\xd8\xff\xd9"), sequence_end()].concat();
        let data = [uids(), long(0x7FE0, 0x10, "OB", UNDEFINED, &fragments)].concat();
        assert_eq!(scan(JPEG, &data), Ok(()));
        let padding = long(0xFFFC, 0xFFFC, "OB", 4, &[0; 4]);
        assert_eq!(scan(JPEG, &[data.clone(), padding].concat()), Ok(()));
        let broken = [data, short(0xFFFC, 0xFFFC, "??", &[0; 4])].concat();
        assert!(matches!(scan(JPEG, &broken), Err(ScanError::BadVr { .. })));
    }

    /// What is out of order counts all the same, also behind Pixel Data.
    #[test]
    fn uids_after_the_pixels() {
        let pixels = long(0x7FE0, 0x10, "OW", 2, &[0; 2]);
        let (result, elements, warnings, values) = outcome(EXPLICIT, &[&pixels, &uids()]);
        assert_eq!((result, elements, values), (Ok(()), 3, outcome(EXPLICIT, &[&uids()]).3));
        assert_eq!(warnings.not_ascending, 1);
    }

    /// Of duplicates the first counts; odd lengths and disorder are counted and let pass.
    #[test]
    fn warnings() {
        let data = [
            short(8, 0x18, "UI", b"1.2\0"),
            short(8, 0x18, "UI", b"9.9\0"),
            short(8, 0x16, "UI", b"1.3"),
        ];
        let (result, _, warnings, [class, instance]) = outcome(EXPLICIT, &[&data.concat()]);
        assert_eq!(result, Ok(()));
        assert_eq!((class.unwrap(), instance.unwrap()), (b"1.3".to_vec(), b"1.2\0".to_vec()));
        assert_eq!((warnings.duplicates, warnings.not_ascending, warnings.odd_lengths), (1, 1, 1));
        assert_eq!(warnings.first, Some(tag::SOP_INSTANCE_UID));
        assert!(outcome(EXPLICIT, &[&uids()]).2.is_empty());
    }

    /// PS3.5 §6.2: future VRs have a 4-byte length.
    #[test]
    fn unknown_letters_have_a_long_header() {
        assert_eq!(scan(EXPLICIT, &[uids(), long(9, 0x10, "ZZ", 4, b"abcd")].concat()), Ok(()));
    }

    /// PS3.5 §7.3: big endian.
    #[test]
    fn big_endian() {
        let data = b"\x00\x08\x00\x16UI\x00\x041.2\0\x00\x08\x11\x40SQ\0\0\0\0\0\x08\xff\xfe\xe0\0\0\0\0\0";
        let (result, elements, _, [class, _]) = outcome(BIG, &[data]);
        assert_eq!((result, elements, class), (Ok(()), 2, Some(b"1.2\0".to_vec())));
    }

    /// An empty data set is whole as far as structure goes.
    #[test]
    fn empty() {
        assert_eq!(scan(EXPLICIT, b""), Ok(()));
    }

    // ---- Hostile data ------------------------------------------------------------------------

    /// PROMISES.md §2.5, first row: at every byte but the element boundaries.
    #[test]
    fn truncation_at_every_byte() {
        let sequence = [
            long(8, 0x1140, "SQ", UNDEFINED, &item(12, &short(8, 0x1150, "UI", b"1.2\0"))),
            sequence_end(),
        ]
        .concat();
        let pixels = long(0x7FE0, 0x10, "OW", 6, &[0; 6]);
        let class_end = 8 + 26;
        let uids_end = uids().len();
        let sequence_end_at = uids_end + sequence.len();
        let data = [uids(), sequence, pixels].concat();
        let boundaries = [0, class_end, uids_end, sequence_end_at, data.len()];
        for length in 0..=data.len() {
            let is_whole = scan(EXPLICIT, &data[..length]).is_ok();
            assert_eq!(is_whole, boundaries.contains(&length), "cut at {length}");
        }
    }

    /// Sequences and items of undefined length that are never closed.
    #[test]
    fn not_closed() {
        for open in [
            long(8, 0x1140, "SQ", UNDEFINED, &[]),
            long(8, 0x1140, "SQ", UNDEFINED, &item(UNDEFINED, &[])),
            long(8, 0x1140, "SQ", UNDEFINED, &item(0, &[])),
            long(0x7FE0, 0x10, "OB", UNDEFINED, &item(2, &[0; 2])),
            [long(8, 0x1140, "SQ", UNDEFINED, &item(UNDEFINED, &[])), item_end()].concat(),
        ] {
            let result = scan(JPEG, &[uids(), open].concat());
            assert!(matches!(result, Err(ScanError::NotClosed { .. })), "{result:?}");
        }
        // Closed by the end of its parent instead of its own delimiter.
        let inner = long(8, 0x1140, "SQ", UNDEFINED, &item(0, &[]));
        let outer =
            long(8, 0x1115, "SQ", inner.len() as u32 + 8, &item(inner.len() as u32, &inner));
        let result = scan(EXPLICIT, &[uids(), outer].concat());
        assert!(matches!(result, Err(ScanError::NotClosed { .. })), "{result:?}");
    }

    /// Delimiters without an opening, items outside sequences, elements directly in sequences.
    #[test]
    fn out_of_place() {
        for stray in [item_end(), sequence_end(), item(0, &[])] {
            let result = scan(EXPLICIT, &[uids(), stray].concat());
            assert!(matches!(result, Err(ScanError::NothingToDelimit { .. })), "{result:?}");
        }
        let in_defined_item = item(8, &item_end());
        let data = long(8, 0x1140, "SQ", 16, &in_defined_item);
        let result = scan(EXPLICIT, &[uids(), data].concat());
        assert!(matches!(result, Err(ScanError::NothingToDelimit { .. })), "{result:?}");
        for (syntax, data) in [
            (EXPLICIT, long(8, 0x1140, "SQ", 12, &short(8, 0x1150, "UI", b"1.2\0"))),
            (EXPLICIT, long(8, 0x1140, "SQ", UNDEFINED, &item_end())),
            (JPEG, long(0x7FE0, 0x10, "OB", UNDEFINED, &item(UNDEFINED, &[]))),
            (JPEG, long(0x7FE0, 0x10, "OB", UNDEFINED, &item_end())),
        ] {
            let result = scan(syntax, &[uids(), data].concat());
            assert!(matches!(result, Err(ScanError::ItemExpected { .. })), "{result:?}");
        }
    }

    /// No command and no second file meta group inside, at any depth.
    #[test]
    fn forbidden_groups() {
        for group in [0, 2] {
            let element = short(group, 0x10, "UI", b"1.2\0");
            let nested = long(8, 0x1140, "SQ", 20, &item(12, &element));
            for data in [element, nested] {
                let result = scan(EXPLICIT, &[uids(), data].concat());
                assert!(matches!(result, Err(ScanError::ForbiddenGroup { .. })), "{result:?}");
            }
        }
    }

    /// Lengths past the parent: element in item, item in sequence, header across the end.
    #[test]
    fn longer_than_parent() {
        let element = short(8, 0x1150, "UI", b"1.2\0");
        for data in [
            long(8, 0x1140, "SQ", 20, &item(11, &element)),
            long(8, 0x1140, "SQ", 19, &item(12, &element)),
            long(8, 0x1140, "SQ", 19, &item(11, &element)),
            long(8, 0x1140, "SQ", 12, &item(4, b"\x08\x00\x50\x11UI\x00\x00")),
            long(8, 0x1140, "SQ", 4, &item(0, &[])),
        ] {
            let result = scan(EXPLICIT, &[uids(), data].concat());
            assert!(matches!(result, Err(ScanError::LongerThanParent { .. })), "{result:?}");
        }
        // Too short is noticed by what follows.
        let data = long(8, 0x1140, "SQ", 20, &item(10, &short(8, 0x1150, "UI", b"1.2\0")));
        assert!(scan(EXPLICIT, &[uids(), data].concat()).is_err());
    }

    /// The bound of nesting, at n and n + 1, and far beyond it in linear time.
    #[test]
    fn nesting() {
        let nested = |depth: usize| {
            let open = long(8, 0x1140, "SQ", UNDEFINED, &item(UNDEFINED, &[]));
            let close = [item_end(), sequence_end()].concat();
            [open.repeat(depth), close.repeat(depth)].concat()
        };
        assert_eq!(scan(EXPLICIT, &nested(SEQUENCE_DEPTH_MAX)), Ok(()));
        for depth in [SEQUENCE_DEPTH_MAX + 1, 100_000] {
            let result = scan(EXPLICIT, &nested(depth));
            assert!(matches!(result, Err(ScanError::TooDeep { .. })), "{result:?}");
        }
    }

    /// Hundreds of thousands of empty items and elements are walked, not collected.
    #[test]
    fn many_empty_items_and_elements() {
        let items = item(0, &[]).repeat(300_000);
        let data = [long(8, 0x1140, "SQ", UNDEFINED, &items), sequence_end()].concat();
        let mut scanner = scanner(EXPLICIT);
        scanner.feed(&data).unwrap();
        scanner.finish().unwrap();
        assert!(scanner.walker.below.capacity() <= 2 * SEQUENCE_DEPTH_MAX);
        let elements = short(9, 0x1001, "LO", b"").repeat(300_000);
        let (result, seen, warnings, _) = outcome(EXPLICIT, &[&elements]);
        assert_eq!((result, seen, warnings.duplicates), (Ok(()), 300_000, 299_999));
    }

    /// PS3.5 §7.1.1: undefined length elsewhere is no length.
    #[test]
    fn undefined_length_where_it_is_not_allowed() {
        for vr in ["UT", "OF", "UC", "ZZ"] {
            let result = scan(EXPLICIT, &[uids(), long(9, 0x1001, vr, UNDEFINED, &[])].concat());
            assert!(matches!(result, Err(ScanError::UndefinedLength { .. })), "{result:?}");
        }
        // Without VRs the dictionary says what may have none: DS, a group length, a private creator,
        // OB; and what may: SQ, and whatever is not known.
        let implicit = |group, element| {
            let endless = bare(group, element, UNDEFINED, &item(0, &[]));
            scan(IMPLICIT, &[bare(8, 0x18, 4, b"1.2\0"), endless, sequence_end()].concat())
        };
        for (group, element) in [(0x28, 0x30), (0x28, 0), (9, 0x10), (0x42, 0x11), (0x6000, 0x3000)]
        {
            let result = implicit(group, element);
            assert!(matches!(result, Err(ScanError::UndefinedLength { .. })), "{result:?}");
        }
        for (group, element) in [(0x40, 0x275), (0x40, 0xA0FF), (9, 0x1010), (9, 1), (0x7FE0, 0x10)]
        {
            assert_eq!(implicit(group, element), Ok(()), "{group:x},{element:x}");
        }
    }

    /// Each encoding under each other one is refused by its first element.
    #[test]
    fn wrong_encoding() {
        let explicit = [uids(), long(0x7FE0, 0x10, "OW", 2, &[0; 2])].concat();
        let implicit =
            [bare(8, 0x16, 26, b"1.2.840.10008.5.1.4.1.1.2\0"), bare(8, 0x18, 8, b"1.2.3.4\0")]
                .concat();
        let big = b"\x00\x08\x00\x16UI\x00\x041.2\0".to_vec();
        let is = |syntax, data: &[u8]| scan(syntax, data).unwrap_err();
        assert!(matches!(is(IMPLICIT, &explicit), ScanError::ExplicitUnderImplicit { .. }));
        assert!(matches!(is(EXPLICIT, &implicit), ScanError::BadVr { .. }));
        assert!(matches!(is(BIG, &explicit), ScanError::WrongByteOrder { .. }));
        assert!(matches!(is(EXPLICIT, &big), ScanError::WrongByteOrder { .. }));
        assert!(matches!(is(IMPLICIT, &big), ScanError::WrongByteOrder { .. }));
        assert!(matches!(is(BIG, &implicit), ScanError::WrongByteOrder { .. }));
    }

    /// A group length element, as old files begin with, is no sign of another encoding.
    #[test]
    fn group_length_first() {
        let data = [bare(8, 0, 4, &[0; 4]), bare(8, 0x16, 4, b"1.2\0")].concat();
        assert_eq!(scan(IMPLICIT, &data), Ok(()));
    }

    /// An error stays: nothing after it can make the data set whole again.
    #[test]
    fn errors_are_final() {
        let mut scanner = scanner(EXPLICIT);
        let error = scanner.feed(&sequence_end()).unwrap_err();
        assert_eq!(scanner.feed(&uids()), Err(error));
        assert_eq!(scanner.finish(), Err(error));
    }

    // ---- Deflate -----------------------------------------------------------------------------

    /// PS3.5 §A.5, with and without the NUL that makes the length even.
    #[test]
    fn deflated_data() {
        let stream = deflated(&uids());
        let (result, elements, _, [class, _]) = outcome(DEFLATED, &[&stream]);
        assert_eq!((result, elements), (Ok(()), 2));
        assert_eq!(class.unwrap(), b"1.2.840.10008.5.1.4.1.1.2\0");
        assert_eq!(scan(DEFLATED, &[stream.clone(), vec![0]].concat()), Ok(()));
        // What writers of gzip streams leave: checksum and length.
        let (result, _, warnings, _) =
            outcome(DEFLATED, &[&[stream.clone(), b"N\xd0XE\x1a\x02\x04\0".to_vec()].concat()]);
        assert_eq!((result, warnings.has_deflate_trailer), (Ok(()), true));
        let garbage = [stream, vec![1; DEFLATE_TRAILER_BYTES_MAX + 1]].concat();
        assert_eq!(scan(DEFLATED, &garbage), Err(ScanError::DeflateCorrupt));
    }

    /// Each fault of the stream has its own name, and one inside has its own as well.
    #[test]
    fn deflate_faults() {
        let stream = deflated(&uids());
        for length in 0..stream.len() {
            let result = scan(DEFLATED, &stream[..length]);
            assert_eq!(result, Err(ScanError::DeflateTruncated), "cut at {length}");
        }
        assert_eq!(scan(DEFLATED, &[0xFF; 64]), Err(ScanError::DeflateCorrupt));
        let cut = deflated(&uids()[..30]);
        assert!(matches!(scan(DEFLATED, &cut), Err(ScanError::EndsInsideElement { .. })));
    }

    /// A bomb ends at the bound, in constant memory; what stays under the free size is no bomb.
    #[test]
    fn deflate_bomb() {
        let zeros = |bytes: u64| {
            let header = long(0x7FE0, 0x10, "OB", bytes as u32, &[]);
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(9));
            encoder.write_all(&uids()).unwrap();
            encoder.write_all(&header).unwrap();
            let block = vec![0; 1 << 20];
            for _ in 0..bytes >> 20 {
                encoder.write_all(&block).unwrap();
            }
            encoder.finish().unwrap()
        };
        assert_eq!(scan(DEFLATED, &zeros(INFLATED_FREE_BYTES - (1 << 20))), Ok(()));
        let error = scan(DEFLATED, &zeros(4 * INFLATED_FREE_BYTES)).unwrap_err();
        let ScanError::DeflateBomb { inflated_bytes } = error else { panic!("{error:?}") };
        assert!(error.is_resource_bound());
        assert!(inflated_bytes <= INFLATED_FREE_BYTES + INFLATE_BUFFER_BYTES as u64);
    }

    /// limits::INFLATED_RATIO_MAX and INFLATED_BYTES_MAX, at n - 1, n and n + 1.
    #[test]
    fn edges_of_inflation() {
        let deflated = INFLATED_FREE_BYTES;
        // The ratio is a whole number: it is passed by another whole time.
        for (ratio, is_over) in [(-1_i64, false), (0, false), (1, true)] {
            let ratio = INFLATED_RATIO_MAX.saturating_add_signed(ratio);
            let deflated = deflated / INFLATED_RATIO_MAX + 1;
            assert_eq!(is_inflated_too_far(ratio * deflated, deflated), is_over, "{ratio}");
        }
        for (bytes, is_over) in [(-1, false), (0, false), (1, true)] {
            let bytes = INFLATED_BYTES_MAX.saturating_add_signed(bytes);
            assert_eq!(is_inflated_too_far(bytes, INFLATED_BYTES_MAX), is_over, "{bytes}");
        }
    }

    // ---- Any split ---------------------------------------------------------------------------

    /// Elements, sequences and items as a tree, so that most generated data is nearly good.
    fn any_data(depth: u32) -> BoxedStrategy<Vec<u8>> {
        let vr = prop_oneof![Just("UI"), Just("LO"), Just("US"), Just("PN")];
        let value = proptest::collection::vec(any::<u8>(), 0..20);
        let element = prop_oneof![Just(0x16u16), Just(0x18), 0..0x60u16];
        let leaf = (element, vr, value.clone())
            .prop_map(|(element, vr, value)| short(8, element, vr, &value));
        let bulk = (prop_oneof![Just("OB"), Just("UN"), Just("ZZ")], value)
            .prop_map(|(vr, value)| long(9, 0x1001, vr, value.len() as u32, &value));
        if depth == 0 {
            return prop_oneof![leaf, bulk].boxed();
        }
        let inside = proptest::collection::vec(any_data(depth - 1), 0..4);
        let nested = (inside, any::<bool>(), any::<bool>()).prop_map(|(parts, one, other)| {
            let content = parts.concat();
            let content = if one {
                [item(UNDEFINED, &content), item_end()].concat()
            } else {
                item(content.len() as u32, &content)
            };
            if other {
                [long(8, 0x1140, "SQ", UNDEFINED, &content), sequence_end()].concat()
            } else {
                long(8, 0x1140, "SQ", content.len() as u32, &content)
            }
        });
        prop_oneof![leaf, bulk, nested].boxed()
    }

    fn pieces<'a>(data: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
        ends.extend([0, data.len()]);
        ends.sort_unstable();
        ends.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect()
    }

    proptest! {
        /// Good trees are accepted, damaged ones get the same answer however they are cut.
        #[test]
        fn any_split_gives_the_same_answer(
            parts in proptest::collection::vec(any_data(3), 0..6),
            damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
            syntax in prop_oneof![Just(EXPLICIT), Just(IMPLICIT), Just(BIG), Just(JPEG)],
        ) {
            let mut data = parts.concat();
            if let Some((at, byte)) = damage.filter(|_| !data.is_empty()) {
                let at = at.index(data.len());
                data[at] = byte;
            } else if syntax == EXPLICIT {
                prop_assert_eq!(scan(syntax, &data), Ok(()));
            }
            let whole = outcome(syntax, &[&data]);
            prop_assert_eq!(&outcome(syntax, &pieces(&data, &cuts)), &whole);
            let bytes: Vec<&[u8]> = data.chunks(1).collect();
            prop_assert_eq!(&outcome(syntax, &bytes), &whole);
        }

        /// The same through the inflater.
        #[test]
        fn any_split_of_a_deflated_stream(
            parts in proptest::collection::vec(any_data(2), 0..6),
            damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut stream = deflated(&parts.concat());
            if let Some((at, byte)) = damage {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
            let whole = outcome(DEFLATED, &[&stream]);
            prop_assert_eq!(&outcome(DEFLATED, &pieces(&stream, &cuts)), &whole);
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(&outcome(DEFLATED, &bytes), &whole);
        }
    }
}
