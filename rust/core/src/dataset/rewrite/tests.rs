//! Data sets from one encoding into another, and back.

use super::*;
use crate::dataset::element_header::Encoding;
use crate::dataset::element_header::UNDEFINED;
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dataset::transfer_syntax::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
};
use crate::limits::REWRITE_BLOCK_BYTES;
use crate::limits::{
    DEFLATE_TRAILER_BYTES_MAX, ORDERED_ELEMENTS_MAX, ORDERED_INFLATED_BYTES_MAX,
    REWRITE_PADDING_BYTES_MAX, REWRITE_PRIVATE_BLOCKS_MAX, REWRITE_SLOTS_MAX, SEQUENCE_DEPTH_MAX,
};
use crate::tag;
use crate::uid::Uid;
use crate::vr::Vr;
use proptest::prelude::*;

const IMPLICIT: &str = IMPLICIT_VR_LITTLE_ENDIAN;
const EXPLICIT: &str = EXPLICIT_VR_LITTLE_ENDIAN;
const BIG: &str = EXPLICIT_VR_BIG_ENDIAN;
const DEFLATED: &str = DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;

fn way(from: &str, to: &str) -> Rewriting {
    let hints = PixelHints::default();
    Rewriting::between(&Uid::known(from), &Uid::known(to), hints).unwrap()
}

fn turn(data_set: &[u8], from: &str, to: &str) -> Vec<u8> {
    rewrite(data_set, &way(from, to)).unwrap()
}

fn explicit(tag: (u16, u16), vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let form = Encoding { is_explicit: true, is_big_endian: false };
    let mut out = Vec::new();
    form.put_header(&mut out, Tag::new(tag.0, tag.1), Vr(vr), value.len() as u32);
    out.extend_from_slice(value);
    out
}

fn implicit(tag: (u16, u16), value: &[u8]) -> Vec<u8> {
    let form = Encoding { is_explicit: false, is_big_endian: false };
    let mut out = Vec::new();
    form.put_header(&mut out, Tag::new(tag.0, tag.1), Vr::NONE, value.len() as u32);
    out.extend_from_slice(value);
    out
}

fn undefined(mut header: Vec<u8>, content: &[u8], delimiter: [u8; 8]) -> Vec<u8> {
    let at = header.len() - 4;
    header[at..].copy_from_slice(&UNDEFINED.to_le_bytes());
    [&header, content, &delimiter[..]].concat()
}

const ITEM_END: [u8; 8] = *b"\xFE\xFF\x0D\xE0\0\0\0\0";
const SEQUENCE_END: [u8; 8] = *b"\xFE\xFF\xDD\xE0\0\0\0\0";

fn item(content: &[u8]) -> Vec<u8> {
    undefined(implicit((0xFFFE, 0xE000), b""), content, ITEM_END)
}

fn sequence(tag: (u16, u16), content: &[u8]) -> Vec<u8> {
    undefined(explicit(tag, *b"SQ", b""), content, SEQUENCE_END)
}

/// PS3.5 §7.3: numbers of two, four and eight bytes turn round, text and bytes do not.
#[test]
fn byte_order_follows_the_vr() {
    let little = [
        explicit((0x0008, 0x0060), *b"CS", b"CT"),
        explicit((0x0028, 0x0009), *b"AT", b"\x18\0\x63\x10"),
        explicit((0x0028, 0x0010), *b"US", b"\x01\x02"),
        explicit((0x0040, 0x08EA), *b"FD", &1.5_f64.to_le_bytes()),
        explicit((0x0070, 0x0022), *b"FL", &1.5_f32.to_le_bytes()),
        explicit((0x7FE0, 0x0010), *b"OW", b"\x01\x02\x03\x04"),
    ]
    .concat();
    let big = turn(&little, EXPLICIT, BIG);
    let expected = [
        &b"\x00\x08\x00\x60CS\0\x02CT"[..],
        b"\x00\x28\x00\x09AT\0\x04\0\x18\x10\x63",
        b"\x00\x28\x00\x10US\0\x02\x02\x01",
        b"\x00\x40\x08\xEAFD\0\x08",
        &1.5_f64.to_be_bytes(),
        b"\x00\x70\x00\x22FL\0\x04",
        &1.5_f32.to_be_bytes(),
        b"\x7F\xE0\x00\x10OW\0\0\0\0\0\x04\x02\x01\x04\x03",
    ]
    .concat();
    assert_eq!(big, expected);
    assert_eq!(turn(&big, BIG, EXPLICIT), little);
    let deflated = turn(&little, EXPLICIT, DEFLATED);
    assert_eq!(deflated.len() % 2, 0);
    assert_eq!(turn(&deflated, DEFLATED, BIG), big);
}

/// PS3.5 §7.5: where headers change their size, sequences leave with undefined length.
#[test]
fn sequences_between_implicit_and_explicit() {
    let value = implicit((0x0008, 0x1155), b"1.2\0");
    let defined = implicit((0x0008, 0x1140), &[implicit((0xFFFE, 0xE000), &value)].concat());
    let expected = sequence((0x0008, 0x1140), &item(&explicit((0x0008, 0x1155), *b"UI", b"1.2\0")));
    assert_eq!(turn(&defined, IMPLICIT, EXPLICIT), expected);
    let back = turn(&expected, EXPLICIT, IMPLICIT);
    assert_eq!(turn(&back, IMPLICIT, EXPLICIT), expected);
    // Nothing inside stays a defined nothing.
    let empty = implicit((0x0008, 0x1140), b"");
    assert_eq!(turn(&empty, IMPLICIT, EXPLICIT), explicit((0x0008, 0x1140), *b"SQ", b""));
}

/// Between explicit forms lengths stay as they are.
#[test]
fn defined_lengths_stay_between_byte_orders() {
    let inner = explicit((0x0028, 0x0010), *b"US", b"\x01\0");
    let whole = explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &inner));
    let big = turn(&whole, EXPLICIT, BIG);
    assert_eq!(big.len(), whole.len());
    assert_eq!(turn(&big, BIG, EXPLICIT), whole);
}

/// PS3.5 §6.2.2 and §7.8.1: what no dictionary names is UN, and its bytes stay.
#[test]
fn private_elements() {
    let source = [
        implicit((0x0009, 0x0010), b"MAKER "),
        implicit((0x0009, 0x1001), b"\x01\x02"),
        undefined(
            implicit((0x0009, 0x1002), b""),
            &item(&implicit((0x0009, 0x1003), b"\x03\x04")),
            SEQUENCE_END,
        ),
    ]
    .concat();
    let expected = [
        explicit((0x0009, 0x0010), *b"LO", b"MAKER "),
        explicit((0x0009, 0x1001), *b"UN", b"\x01\x02"),
        sequence((0x0009, 0x1002), &item(&explicit((0x0009, 0x1003), *b"UN", b"\x03\x04"))),
    ]
    .concat();
    assert_eq!(turn(&source, IMPLICIT, EXPLICIT), expected);
    assert_eq!(turn(&expected, EXPLICIT, IMPLICIT), source);
    let big = turn(&source, IMPLICIT, BIG);
    assert_eq!(turn(&big, BIG, IMPLICIT), source);
}

/// PS3.5 §6.2.2: UN of undefined length holds Implicit VR Little Endian, in every syntax.
#[test]
fn an_unknown_sequence_keeps_its_inside() {
    let inside = [
        item(&implicit((0x0008, 0x0060), b"CT")),
        implicit((0xFFFE, 0xE000), &implicit((0x0028, 0x0010), b"\x01\0")),
    ]
    .concat();
    let source = undefined(explicit((0x0009, 0x1001), *b"UN", b""), &inside, SEQUENCE_END);
    let big = turn(&source, EXPLICIT, BIG);
    assert_eq!(&big[12..], &source[12..]);
    assert_eq!(turn(&big, BIG, EXPLICIT), source);
    let as_implicit = turn(&source, EXPLICIT, IMPLICIT);
    assert_eq!(&as_implicit[8..], &source[12..]);
}

/// Which VR the neighbours choose.
#[test]
fn the_neighbours_decide() {
    let smallest = (0x0028, 0x0106);
    let pixels = (0x7FE0, 0x0010);
    let vr_of = |source: &[u8], tag: (u16, u16), hints| {
        let rewriting = Rewriting { hints, ..way(IMPLICIT, EXPLICIT) };
        let result = rewrite(source, &rewriting).unwrap();
        let mut name = Vec::new();
        let form = Encoding { is_explicit: true, is_big_endian: false };
        form.put_item(&mut name, Tag::new(tag.0, tag.1), 0);
        name.truncate(4);
        let at = result.windows(4).position(|window| window == name).unwrap();
        [result[at + 4], result[at + 5]]
    };
    let none = PixelHints::default();
    for (representation, bits, signed_vr, pixel_vr) in
        [(0, 8, b"US", b"OB"), (1, 16, b"SS", b"OW"), (0, 12, b"US", b"OW")]
    {
        let source = [
            implicit((0x0028, 0x0100), &[bits, 0]),
            implicit((0x0028, 0x0103), &[representation, 0]),
            implicit(smallest, b"\x01\0"),
            implicit(pixels, b"\x01\0"),
        ]
        .concat();
        assert_eq!(&vr_of(&source, smallest, none), signed_vr);
        assert_eq!(&vr_of(&source, pixels, none), pixel_vr);
    }
    // Before Pixel Representation, the hint alone can know; the head tells it.
    let early =
        [implicit((0x0018, 0x9810), b"\x01\0"), implicit((0x0028, 0x0103), b"\x01\0")].concat();
    assert_eq!(&vr_of(&early, (0x0018, 0x9810), none), b"US");
    let hints = PixelHints::of_head(&early, TransferSyntax::of(&Uid::known(IMPLICIT)));
    assert_eq!(&vr_of(&early, (0x0018, 0x9810), hints), b"SS");
    // A table of one entry is a number, any other is words.
    for (entries, vr) in [(1, b"US"), (4, b"OW")] {
        let source = [
            implicit((0x0028, 0x3002), &[entries, 0, 0, 0, 16, 0]),
            implicit((0x0028, 0x3006), b"\x01\0"),
        ]
        .concat();
        assert_eq!(&vr_of(&source, (0x0028, 0x3006), none), vr);
    }
}

/// PS3.5 §6.2.2: a value that a 2-byte length cannot tell is UN; at the bound it is not.
#[test]
fn long_values() {
    for (length, vr) in [(0xFFFE, b"LO"), (0x1_0000, b"UN")] {
        let source = implicit((0x0008, 0x1030), &vec![b'x'; length]);
        let result = turn(&source, IMPLICIT, EXPLICIT);
        assert_eq!(&result[4..6], vr);
        assert_eq!(turn(&result, EXPLICIT, IMPLICIT), source);
    }
}

/// Group lengths say how long a group was in the other form.
#[test]
fn group_lengths_are_dropped_only_where_they_would_lie() {
    let length = explicit((0x0008, 0x0000), *b"UL", b"\x0A\0\0\0");
    let source = [length, explicit((0x0008, 0x0060), *b"CS", b"CT")].concat();
    assert_eq!(turn(&source, EXPLICIT, IMPLICIT), implicit((0x0008, 0x0060), b"CT"));
    assert_eq!(turn(&turn(&source, EXPLICIT, BIG), BIG, EXPLICIT), source);
}

fn refused(data_set: &[u8], from: &str, to: &str) -> RewriteError {
    rewrite(data_set, &way(from, to)).unwrap_err()
}

/// What is not whole becomes an error, never a shorter data set; fragments are not touched.
#[test]
fn bad_data_sets() {
    use ScanError as Fault;
    let whole = [
        sequence((0x0008, 0x1140), &item(&explicit((0x0008, 0x0060), *b"CS", b"CT"))),
        explicit((0x0028, 0x0010), *b"US", b"\x01\0"),
    ]
    .concat();
    let ends: Vec<usize> = (0..=whole.len())
        .filter(|&end| rewrite(&whole[..end], &way(EXPLICIT, IMPLICIT)).is_ok())
        .collect();
    assert_eq!(ends, [0, whole.len() - 10, whole.len()]);
    let fragments = undefined(
        explicit((0x7FE0, 0x0010), *b"OB", b""),
        &implicit((0xFFFE, 0xE000), b"\xFF\xD8"),
        SEQUENCE_END,
    );
    assert!(matches!(
        refused(&fragments, EXPLICIT, BIG),
        RewriteError::Encapsulated { tag: tag::PIXEL_DATA }
    ));
    let longer = explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &[0; 4]));
    assert!(matches!(refused(&longer, EXPLICIT, IMPLICIT), RewriteError::NotWhole(_)));
    assert!(matches!(
        refused(b"\x08\0\x60\0\x01\x02\x03\x04", EXPLICIT, IMPLICIT),
        RewriteError::NotWhole(Fault::BadVr { .. })
    ));
    let implicit_value = implicit((0x0008, 0x0018), &[b'1'; 16]);
    assert!(matches!(
        refused(&explicit((0x0008, 0x0018), *b"UI", b"1.2.3.4\0"), IMPLICIT, EXPLICIT),
        RewriteError::NotWhole(Fault::ExplicitUnderImplicit { .. })
    ));
    assert!(rewrite(&implicit_value, &way(IMPLICIT, EXPLICIT)).is_ok());
}

/// The bound on nesting is the scanner's, at its edge.
#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        (0..depth).fold(explicit((0x0008, 0x0060), *b"CS", b"CT"), |inner, _| {
            sequence((0x0008, 0x1140), &item(&inner))
        })
    };
    let good = nested(SEQUENCE_DEPTH_MAX);
    assert_eq!(turn(&turn(&good, EXPLICIT, IMPLICIT), IMPLICIT, EXPLICIT), good);
    assert!(matches!(
        refused(&nested(SEQUENCE_DEPTH_MAX + 1), EXPLICIT, IMPLICIT),
        RewriteError::NotWhole(ScanError::TooDeep { .. })
    ));
}

/// A deflate stream that is cut, damaged, followed by something, or grows without end.
#[test]
fn bad_deflate_streams() {
    let plain = explicit((0x0008, 0x1030), *b"LO", &[b'x'; 300]);
    let deflated = turn(&plain, EXPLICIT, DEFLATED);
    for end in 0..deflated.len() - 1 {
        assert!(matches!(
            refused(&deflated[..end], DEFLATED, EXPLICIT),
            RewriteError::NotWhole(ScanError::DeflateTruncated)
        ));
    }
    let mut followed = deflated.clone();
    followed.extend([0; DEFLATE_TRAILER_BYTES_MAX + 1]);
    assert!(matches!(
        refused(&followed, DEFLATED, EXPLICIT),
        RewriteError::NotWhole(ScanError::DeflateCorrupt)
    ));
    let header = explicit((0x7FE0, 0x0010), *b"OB", b"");
    let bomb_bytes = crate::limits::INFLATED_FREE_BYTES + 8 * 1024 * 1024;
    let mut plain = header;
    plain[8..12].copy_from_slice(&(bomb_bytes as u32).to_le_bytes());
    let zeros = io::repeat(0).take(bomb_bytes);
    let mut bomb = Vec::new();
    Rewriter::new(plain.chain(zeros), &way(EXPLICIT, DEFLATED)).read_to_end(&mut bomb).unwrap();
    let mut rewriter = Rewriter::new(&bomb[..], &way(DEFLATED, EXPLICIT));
    let (mut longest, result) = (
        0,
        loop {
            match rewriter.next_block() {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        },
    );
    longest = longest.max(rewriter.output.capacity());
    assert!(longest < 4 * REWRITE_BLOCK_BYTES, "{longest}");
    assert!(matches!(result, Err(RewriteError::NotWhole(ScanError::DeflateBomb { .. }))));
}

/// A source that gives a few bytes at a time.
struct Dripping<'a>(&'a [u8], usize);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

/// Elements whose VR the dictionary gives back, nested and with values of every unit.
fn arbitrary_elements(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let value = |tag, vr: [u8; 2], unit: usize| {
        proptest::collection::vec(any::<u8>(), 0..6)
            .prop_map(move |bytes| explicit(tag, vr, &bytes.repeat(unit)))
            .boxed()
    };
    let leaf = prop_oneof![
        value((0x0008, 0x0060), *b"CS", 2),
        value((0x0028, 0x0009), *b"AT", 4),
        value((0x0028, 0x0010), *b"US", 2),
        value((0x0028, 0x0106), *b"US", 2),
        value((0x0028, 0x3006), *b"OW", 2),
        value((0x0040, 0x08EA), *b"SQ", 0),
        value((0x0018, 0x9073), *b"FD", 8),
        value((0x0070, 0x0022), *b"FL", 4),
        value((0x0009, 0x1001), *b"UN", 3),
        value((0x7FE0, 0x0010), *b"OW", 2),
        value((0x0066, 0x0040), *b"OL", 4),
        value((0x7FE0, 0x0009), *b"OD", 8),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let inner = proptest::collection::vec(arbitrary_elements(depth - 1), 0..4);
    let items = proptest::collection::vec(inner.prop_map(|parts| item(&parts.concat())), 0..3);
    prop_oneof![
        3 => leaf,
        1 => items.prop_map(|items| sequence((0x0008, 0x1140), &items.concat())),
    ]
    .boxed()
}

fn output(encoding: OutputEncoding, from: &str) -> Rewriting {
    Rewriting::of(&Uid::known(from), encoding, PixelHints::default()).unwrap()
}

fn written(encoding: OutputEncoding, data_set: &[u8]) -> Vec<u8> {
    rewrite(data_set, &output(encoding, EXPLICIT)).unwrap()
}

/// A data set as `storescp` writes it, and one as `dcmrecv` does.
fn normalised() -> (Vec<u8>, Vec<u8>) {
    let name = explicit((0x0010, 0x0010), *b"PN", b"Doe^Joe ");
    let uid = explicit((0x0008, 0x1155), *b"UI", b"1.2\0");
    let defined = explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &uid));
    ([defined, name.clone()].concat(), [sequence((0x0008, 0x1140), &item(&uid)), name].concat())
}

fn is_changed(encoding: OutputEncoding, data_set: &[u8]) -> bool {
    survey(data_set, &output(encoding, EXPLICIT)).unwrap().is_changed
}

/// What is as it should be stays, and is known to stay; the other form becomes it.
#[test]
fn lengths_of_each_tool() {
    let (defined, undefined) = normalised();
    for (encoding, own) in
        [(OutputEncoding::STORESCP, &defined), (OutputEncoding::DCMRECV, &undefined)]
    {
        for source in [&defined, &undefined] {
            assert_eq!(&written(encoding, source), own);
            assert_eq!(is_changed(encoding, source), source != own);
        }
    }
    let nested = [
        explicit((0x0008, 0x1140), *b"SQ", b""),
        sequence((0x0008, 0x1199), &sequence_of_nothing()),
    ]
    .concat();
    let there = written(OutputEncoding::DCMRECV, &nested);
    assert!(is_changed(OutputEncoding::DCMRECV, &nested));
    assert_eq!(written(OutputEncoding::DCMRECV, &there), there);
    let back = written(OutputEncoding::STORESCP, &there);
    assert!(!is_changed(OutputEncoding::STORESCP, &back));
}

fn sequence_of_nothing() -> Vec<u8> {
    [item(b""), implicit((0xFFFE, 0xE000), b"")].concat()
}

/// PS3.5 §7.2, in each of the three ways, at the top and in items.
#[test]
fn group_lengths() {
    let length = |group, value: u32| explicit((group, 0), *b"UL", &value.to_le_bytes());
    let uid = explicit((0x0008, 0x1155), *b"UI", b"1.2\0");
    let name = explicit((0x0010, 0x0010), *b"PN", b"Doe^Joe ");
    let source = [
        explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &uid)),
        length(0x0010, 99),
        name.clone(),
    ]
    .concat();
    let with = |group_lengths| OutputEncoding { group_lengths, ..OutputEncoding::STORESCP };
    let right = [&source[..source.len() - 20], &16_u32.to_le_bytes()[..], &name].concat();
    let recalculated = with(GroupLengths::Recalculated);
    assert_eq!(written(recalculated, &source), right);
    assert!(is_changed(recalculated, &source) && !is_changed(recalculated, &right));
    let inner = [length(0x0008, 12), uid.clone()].concat();
    let outer = explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &inner));
    let created =
        [length(0x0008, outer.len() as u32), outer, length(0x0010, 16), name.clone()].concat();
    assert_eq!(written(with(GroupLengths::Created), &source), created);
    assert_eq!(written(with(GroupLengths::Created), &created), created);
    let removed = written(with(GroupLengths::Removed), &created);
    assert_eq!(removed, [&source[..source.len() - 28], &name].concat());
}

/// DCMTK 3.6.7: the file is aligned with what stands before the data set, items without.
#[test]
fn padding() {
    let (source, _) = normalised();
    let padding = Padding::Aligned { file: 64, item: 32 };
    let encoding = OutputEncoding { padding, ..OutputEncoding::STORESCP };
    for head_bytes in (0..70).step_by(2) {
        let rewriting = Rewriting { head_bytes, ..output(encoding, EXPLICIT) };
        let padded = rewrite(&source, &rewriting).unwrap();
        assert_eq!((head_bytes + padded.len() as u64) % 64, 0);
        let item_bytes = u32::from_le_bytes(padded[16..20].try_into().unwrap());
        assert_eq!(item_bytes, 32);
        assert_eq!(written(OutputEncoding::STORESCP, &padded), source);
        let kept = OutputEncoding { padding: Padding::Kept, ..encoding };
        assert_eq!(written(kept, &padded), padded);
    }
}

/// PS3.5 §7.1: elements leave in order, of two with one tag the first; nested and deflated, too.
#[test]
fn order_and_duplicates() {
    let id = explicit((0x0010, 0x0020), *b"LO", b"ID");
    let name = explicit((0x0010, 0x0010), *b"PN", b"Doe^");
    let other = explicit((0x0010, 0x0010), *b"PN", b"Xyz^");
    let inner = [id.clone(), name.clone(), other.clone()].concat();
    let sequence_of =
        |inner: &[u8]| explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), inner));
    let source =
        [id.clone(), sequence_of(&inner), name.clone(), other.clone(), id.clone()].concat();
    let sorted = [name.clone(), id.clone()].concat();
    let expected = [sequence_of(&sorted), sorted].concat();
    assert_eq!(written(OutputEncoding::STORESCP, &source), expected);
    assert!(is_changed(OutputEncoding::STORESCP, &source));
    assert!(!is_changed(OutputEncoding::STORESCP, &expected));
    let deflated = turn(&source, EXPLICIT, DEFLATED);
    let there = rewrite(&deflated, &output(OutputEncoding::STORESCP, DEFLATED)).unwrap();
    assert_eq!(turn(&there, DEFLATED, EXPLICIT), expected);
    let undefined = [name, item(&inner), id].concat();
    assert!(matches!(
        rewrite(&undefined, &output(OutputEncoding::STORESCP, EXPLICIT)),
        Err(RewriteError::NotWhole(ScanError::NothingToDelimit { .. }))
    ));
}

/// PS3.5 §6.2.2, and `-u`, `+uc`.
#[test]
fn unknown_and_new_vrs() {
    let known = explicit((0x0010, 0x0040), *b"UN", b"M ");
    let sequence = explicit(
        (0x0008, 0x1140),
        *b"UN",
        &implicit((0xFFFE, 0xE000), &implicit((0x0008, 0x1155), b"1.2\0")),
    );
    let private = explicit((0x0011, 0x1001), *b"UN", b"ab");
    let source = [sequence, known, private.clone()].concat();
    assert!(!is_changed(OutputEncoding::STORESCP, &source));
    let uid = explicit((0x0008, 0x1155), *b"UI", b"1.2\0");
    let expected = [
        explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &uid)),
        explicit((0x0010, 0x0040), *b"CS", b"M "),
        private,
    ]
    .concat();
    let converting = OutputEncoding { unknown: Unknown::Converted, ..OutputEncoding::STORESCP };
    assert_eq!(written(converting, &source), expected);
    let old = OutputEncoding { has_new_vrs: false, ..OutputEncoding::STORESCP };
    for vr in [*b"UN", *b"UT", *b"OF", *b"OD", *b"OL", *b"OV", *b"UC", *b"UR", *b"SV", *b"UV"] {
        let source = explicit((0x0011, 0x1001), vr, b"12345678");
        assert_eq!(written(old, &source), explicit((0x0011, 0x1001), *b"OB", b"12345678"));
    }
    let future = explicit((0x0011, 0x1001), *b"ZZ", b"ab");
    assert_eq!(&written(OutputEncoding::STORESCP, &future)[4..6], b"UN");
}

/// Text that is longer than what is held, and at that bound.
#[test]
fn long_text_loses_its_padding() {
    for (text, blanks) in [(70_000, 10), (70_001, 9), (65_530, 4), (65_534, 0), (1, 70_001)] {
        let value = [vec![b'x'; text], vec![b' '; blanks]].concat();
        let source = explicit((0x0040, 0xA160), *b"UT", &value);
        let kept = text + text % 2;
        let expected = explicit((0x0040, 0xA160), *b"UT", &value[..kept]);
        let rewriting = output(OutputEncoding::STORESCP, EXPLICIT);
        assert_eq!(written(OutputEncoding::STORESCP, &source), expected);
        let found = survey(Dripping(&source, 777), &rewriting).unwrap();
        assert_eq!(found.bytes, expected.len() as u64);
        assert_eq!(found.is_changed, blanks > 1);
    }
    // DCMTK 3.6.7 makes an odd length even first: by NUL, behind blanks, too; dcmrecv by a blank.
    for (text, blanks) in [(70_001, 0), (65_535, 0), (65_533, 0), (70_000, 1), (69_998, 3)] {
        let value = [vec![b'x'; text], vec![b' '; blanks]].concat();
        let source = explicit((0x0040, 0xA160), *b"UT", &value);
        for (encoding, pad) in [(OutputEncoding::STORESCP, 0), (OutputEncoding::DCMRECV, b' ')] {
            let padded = [&value[..], &[pad]].concat();
            let expected = explicit((0x0040, 0xA160), *b"UT", &padded);
            assert_eq!(written(encoding, &source), expected, "{text} {blanks}");
        }
    }
}

/// Fragments leave as they are, within their transfer syntax.
#[test]
fn encapsulated_pixels_are_copied() {
    let jpeg = "1.2.840.10008.1.2.4.50";
    let fragments = |vr| {
        let content = implicit((0xFFFE, 0xE000), b"\xFF\xD8");
        undefined(explicit((0x7FE0, 0x0010), vr, b""), &content, SEQUENCE_END)
    };
    let way = output(OutputEncoding::STORESCP, jpeg);
    assert_eq!(rewrite(&fragments(*b"OB"), &way).unwrap(), fragments(*b"OB"));
    assert_eq!(rewrite(&fragments(*b"OW"), &way).unwrap(), fragments(*b"OB"));
    let native = output(OutputEncoding::STORESCP, EXPLICIT);
    assert!(matches!(
        rewrite(&fragments(*b"OB"), &native),
        Err(RewriteError::Encapsulated { tag: tag::PIXEL_DATA })
    ));
    let big = OutputEncoding { transfer_syntax: Some(Uid::known(BIG)), ..OutputEncoding::STORESCP };
    assert!(Rewriting::of(&Uid::known(jpeg), big, PixelHints::default()).is_none());
    // PS3.5 §A.4: what has a length is not compressed; those of an icon may be.
    let pixels = explicit((0x7FE0, 0x0010), *b"OB", &[0; 4]);
    assert!(matches!(
        rewrite(&pixels, &way),
        Err(RewriteError::NotWhole(ScanError::NativePixels { tag: tag::PIXEL_DATA, .. }))
    ));
    let icon = sequence((0x0088, 0x0200), &item(&pixels));
    assert!(rewrite(&icon, &way).is_ok());
}

/// The level of the stream, and a deflated data set that needs no change.
#[test]
fn deflate_levels() {
    let (plain, _) = normalised();
    let plain = [plain, explicit((0x7FE0, 0x0010), *b"OB", &[7; 5000])].concat();
    let deflated = turn(&plain, EXPLICIT, DEFLATED);
    let at = |deflate_level| {
        let encoding = OutputEncoding { deflate_level, ..OutputEncoding::STORESCP };
        let way = output(encoding, DEFLATED);
        (survey(&deflated[..], &way).unwrap().is_changed, rewrite(&deflated, &way).unwrap())
    };
    assert_eq!(at(None), (false, deflated.clone()));
    let stored = at(Some(0));
    assert!(stored.0 && stored.1.len() > plain.len());
    assert_eq!(turn(&stored.1, DEFLATED, EXPLICIT), plain);
    assert!(at(Some(9)).1.len() <= deflated.len());
}

/// limits::REWRITE_SLOTS_MAX, at its edge.
#[test]
fn edge_of_lengths() {
    let way = output(OutputEncoding::STORESCP, EXPLICIT);
    for (slots, is_good) in [(REWRITE_SLOTS_MAX, true), (REWRITE_SLOTS_MAX + 1, false)] {
        let mut surveyor = Surveyor::new(&way);
        let sequence = sequence((0x0008, 0x1140), b"");
        surveyor.feed(&sequence[..12]);
        let items = item(b"").repeat(1000);
        let (all, left) = ((slots - 1) / 1000, (slots - 1) % 1000);
        for _ in 0..all {
            surveyor.feed(&items);
        }
        surveyor.feed(&items[..left * 16]);
        surveyor.feed(&sequence[12..]);
        let result = surveyor.finish();
        let is_refused = matches!(result, Err(RewriteError::NotWhole(ScanError::TooManySequences)));
        assert_eq!((result.is_ok(), is_refused), (is_good, !is_good));
    }
}

/// Writes an element with its VR or without.
type Form<'f> = &'f dyn Fn((u16, u16), [u8; 2], &[u8]) -> Vec<u8>;

/// PS3.5 §7.8.1: private elements get the VR that their creator's block has in the dictionary, in his
/// item alone; of two creators of one block the first counts; `+uc` does the same for UN. What is sent in
/// another transfer syntax gets them, too.
#[test]
fn private_blocks_of_known_creators() {
    let own = |form: Form<'_>, number: [u8; 2]| {
        let inner = [
            form((0x0009, 0x0011), *b"LO", b"GEMS_IDEN_01"),
            form((0x0009, 0x1127), number, b"9876"),
        ];
        [
            form((0x0009, 0x0010), *b"LO", b"GEMS_IDEN_01"),
            form((0x0009, 0x1027), number, b"1234"),
            form((0x0009, 0x1127), *b"UN", b"1234"),
            explicit_or((0x0040, 0x0275), &inner.concat(), form),
            form((0x0051, 0x1027), *b"UN", b"12"),
        ]
        .concat()
    };
    let plain = |tag, _, value: &[u8]| implicit(tag, value);
    let to = |transfer_syntax, unknown| OutputEncoding {
        transfer_syntax: Some(Uid::known(transfer_syntax)),
        unknown,
        ..OutputEncoding::STORESCP
    };
    let source = own(&plain, *b"SL");
    let there = rewrite(&source, &output(to(EXPLICIT, Unknown::Kept), IMPLICIT)).unwrap();
    assert_eq!(there, own(&explicit, *b"SL"));
    let back = rewrite(&there, &output(to(IMPLICIT, Unknown::Kept), EXPLICIT)).unwrap();
    assert_eq!(back, source);
    let sent = turn(&source, IMPLICIT, EXPLICIT);
    let defined = OutputEncoding { lengths: LengthEncoding::Explicit, ..OutputEncoding::STORESCP };
    assert_eq!(rewrite(&sent, &output(defined, EXPLICIT)).unwrap(), there);
    let unknown = own(&explicit, *b"UN");
    let converted = rewrite(&unknown, &output(to(EXPLICIT, Unknown::Converted), EXPLICIT));
    assert_eq!(converted.unwrap(), there);
    let kept = rewrite(&unknown, &output(to(EXPLICIT, Unknown::Kept), EXPLICIT)).unwrap();
    assert_eq!(kept, unknown);
    let late = [implicit((0x0010, 0x0020), b"ID"), source].concat();
    let there = rewrite(&late, &output(to(EXPLICIT, Unknown::Kept), IMPLICIT)).unwrap();
    assert!(there.starts_with(&own(&explicit, *b"SL")[..36]));
    let twice = [
        implicit((0x0009, 0x0010), b"GEMS_IDEN_01"),
        implicit((0x0009, 0x0010), b"GEMS_PETD_01"),
        implicit((0x0009, 0x1027), b"1234"),
    ];
    let first = rewrite(&twice.concat(), &output(to(EXPLICIT, Unknown::Kept), IMPLICIT)).unwrap();
    assert!(first.ends_with(&explicit((0x0009, 0x1027), *b"SL", b"1234")));
}

fn explicit_or(tag: (u16, u16), content: &[u8], form: Form<'_>) -> Vec<u8> {
    form(tag, *b"SQ", &implicit((0xFFFE, 0xE000), content))
}

/// limits::REWRITE_PRIVATE_BLOCKS_MAX, at its edge: the elements of one more are unknown.
#[test]
fn edge_of_private_blocks() {
    let last =
        [implicit((0x7FF1, 0x0010), b"TOSHIBA_MEC_CT_1.0"), implicit((0x7FF1, 0x100B), b"12")];
    for (others, vr) in
        [(REWRITE_PRIVATE_BLOCKS_MAX - 1, *b"US"), (REWRITE_PRIVATE_BLOCKS_MAX, *b"UN")]
    {
        let others = (0..others as u16)
            .flat_map(|at| implicit((0x0009 + 2 * (at / 200), 0x0020 + at % 200), b"GEMS_IDEN_01"));
        let source: Vec<u8> = others.chain(last.concat()).collect();
        let transfer_syntax = Some(Uid::known(EXPLICIT));
        let encoding = OutputEncoding { transfer_syntax, ..OutputEncoding::STORESCP };
        let there = rewrite(&source, &output(encoding, IMPLICIT)).unwrap();
        assert!(there.ends_with(&explicit((0x7FF1, 0x100B), vr, b"12")));
    }
}

/// limits::ORDERED_ELEMENTS_MAX, at its edge.
#[test]
fn edge_of_disorder() {
    let way = output(OutputEncoding::STORESCP, IMPLICIT);
    for (elements, is_good) in [(ORDERED_ELEMENTS_MAX, true), (ORDERED_ELEMENTS_MAX + 1, false)] {
        let mut source = implicit((0x0010, 0x0010), b"");
        source.extend(implicit((0x0008, 0x0060), b"").repeat(elements - 1));
        assert_eq!(rewrite(&source, &way).is_ok(), is_good);
    }
}

/// limits::ORDERED_INFLATED_BYTES_MAX, to the byte: a deflated data set in disorder.
#[test]
fn edge_of_inflated_disorder() {
    let head = explicit((0x0010, 0x0010), *b"PN", b"");
    for (bytes, is_good) in [
        (ORDERED_INFLATED_BYTES_MAX - 1, true),
        (ORDERED_INFLATED_BYTES_MAX, true),
        (ORDERED_INFLATED_BYTES_MAX + 1, false),
    ] {
        let rest = (bytes - head.len() - 12) as u32;
        let mut source = [&head[..], b"\x08\0\x01\0OB\0\0", &rest.to_le_bytes()].concat();
        // Bytes that deflate does not make little of, lest the ratio is what refuses them.
        source.extend((0..rest).map(|at| (at.wrapping_mul(0x9E37_79B1) >> 24) as u8));
        assert_eq!(source.len(), bytes);
        let deflated = {
            let level = flate2::Compression::fast();
            let mut out = flate2::write::DeflateEncoder::new(Vec::new(), level);
            std::io::Write::write_all(&mut out, &source).unwrap();
            out.finish().unwrap()
        };
        let way = output(OutputEncoding::STORESCP, DEFLATED);
        let ordered = order(std::io::Cursor::new(&deflated), &way);
        assert_eq!(ordered.is_ok(), is_good, "{bytes}");
    }
}

/// Padding within a block costs no more memory than itself and a few blocks.
#[test]
fn padded_items_are_given_out_before_the_next() {
    let items = item(&explicit((0x0008, 0x0060), *b"CS", b"")).repeat(100);
    let source = sequence((0x0008, 0x1140), &items);
    let padding = Padding::Aligned { file: 0, item: REWRITE_PADDING_BYTES_MAX };
    let encoding = OutputEncoding { padding, ..OutputEncoding::DCMRECV };
    let way = output(encoding, EXPLICIT);
    let found = survey(&source[..], &way).unwrap();
    let mut rewriter = Rewriter::second_pass(&source[..], &way, found.slots);
    let mut longest = 0;
    while let Some(block) = rewriter.next_block().unwrap() {
        longest = longest.max(block.len());
    }
    assert_eq!(rewriter.bytes_out(), found.bytes);
    assert!(longest < 2 * REWRITE_PADDING_BYTES_MAX as usize, "{longest}");
}

proptest! {
    /// There and back gives the same bytes, where the source is in the form that we write; and
    /// the way the source is cut makes no difference.
    #[test]
    fn there_and_back(
        parts in proptest::collection::vec(arbitrary_elements(3), 0..12),
        drip in 1_usize..40,
    ) {
        let source = parts.concat();
        for to in [IMPLICIT, BIG, DEFLATED] {
            let there = turn(&source, EXPLICIT, to);
            prop_assert_eq!(&turn(&there, to, EXPLICIT), &source);
            let mut dripped = Vec::new();
            Rewriter::new(Dripping(&there, drip), &way(to, EXPLICIT))
                .read_to_end(&mut dripped)
                .unwrap();
            prop_assert_eq!(&dripped, &source);
        }
    }

    /// Every output form holds the same values, is surveyed as what it becomes, and stays as it is
    /// when it is written again.
    #[test]
    fn output_forms_are_stable(
        parts in proptest::collection::vec(arbitrary_elements(2), 0..10),
        drip in 1_usize..40,
    ) {
        let source = parts.concat();
        let bases = [OutputEncoding::STORESCP, OutputEncoding::DCMRECV];
        let groups =
            [GroupLengths::Recalculated, GroupLengths::Created, GroupLengths::Removed];
        for (base, group_lengths) in bases.into_iter().zip(groups.into_iter().cycle()) {
            for to in [EXPLICIT, IMPLICIT, BIG, DEFLATED] {
                let encoding = OutputEncoding {
                    transfer_syntax: Some(Uid::known(to)), group_lengths, ..base
                };
                let there = rewrite(&source, &output(encoding, EXPLICIT)).unwrap();
                let way = output(encoding, to);
                let again = rewrite(&there, &way).unwrap();
                // A stream that is made anew may be cut elsewhere.
                let plain = |bytes: &[u8]| turn(bytes, to, EXPLICIT);
                if to == DEFLATED && group_lengths == GroupLengths::Created {
                    prop_assert_eq!(plain(&again), plain(&there));
                } else {
                    prop_assert_eq!(&again, &there);
                }
                let found = survey(Dripping(&there, drip), &way).unwrap();
                if group_lengths != GroupLengths::Created {
                    prop_assert!(!found.is_changed && !found.is_disordered);
                }
                let home = OutputEncoding {
                    transfer_syntax: Some(Uid::known(EXPLICIT)),
                    group_lengths: GroupLengths::Removed,
                    ..base
                };
                let back = rewrite(&there, &output(home, to)).unwrap();
                let direct = rewrite(&source, &output(home, EXPLICIT)).unwrap();
                prop_assert_eq!(back, direct);
            }
        }
    }

    /// Any bytes give an answer, and no more output than a few times the input.
    #[test]
    fn garbage_is_bounded(source in proptest::collection::vec(any::<u8>(), 0..400)) {
        for (from, to) in [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT), (BIG, IMPLICIT)] {
            if let Ok(result) = rewrite(&source, &way(from, to)) {
                prop_assert!(result.len() <= 3 * source.len());
            }
        }
    }
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a survey finds does not depend on how the bytes were cut, whole elements that are
    /// skimmed among them, also where the data set is broken.
    #[test]
    fn a_survey_of_any_pieces(
        parts in proptest::collection::vec(arbitrary_elements(2), 0..10),
        fault in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        drip in 1_usize..30,
        from in prop_oneof![Just(EXPLICIT), Just(BIG), Just(IMPLICIT)],
    ) {
        let mut source = turn(&parts.concat(), EXPLICIT, from);
        if let Some((at, byte)) = fault.filter(|_| !source.is_empty()) {
            let at = at.index(source.len());
            source[at] = byte;
        }
        let groups =
            [GroupLengths::Recalculated, GroupLengths::Created, GroupLengths::Removed];
        for (group_lengths, text) in
            groups.into_iter().zip([TextPadding::Minimal, TextPadding::Even, TextPadding::Kept])
        {
            for to in [EXPLICIT, BIG, IMPLICIT] {
                let transfer_syntax = Some(Uid::known(to));
                let way = output(
                    OutputEncoding {
                        transfer_syntax, group_lengths, text, ..OutputEncoding::STORESCP
                    },
                    from,
                );
                let whole = survey(&source[..], &way).map_err(|error| error.to_string());
                let dripped = survey(Dripping(&source, drip), &way);
                let dripped = dripped.map_err(|error| error.to_string());
                prop_assert_eq!(format!("{:?}", whole), format!("{:?}", dripped));
            }
        }
    }
}
