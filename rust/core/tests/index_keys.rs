//! The values that the scanner collects for the index: the same in every transfer syntax, however
//! the bytes are cut, and never more than their bounds.

use std::io::Write;

use dcmfast_core::dataset::scan::Scanner;
use dcmfast_core::dataset::transfer_syntax::TransferSyntax;
use dcmfast_core::dataset::transfer_syntax::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
};
use dcmfast_core::index::Attributes;
use dcmfast_core::index::attributes::{ATTRIBUTES, WANTED, tags};
use dcmfast_core::limits::{
    ATTRIBUTES_BYTES_MAX, ATTRIBUTES_RESERVED_BYTES, INDEXED_SEQUENCE_BYTES_MAX,
    INDEXED_VALUE_BYTES_MAX,
};
use dcmfast_core::tag::{self, Tag};
use dcmfast_core::uid::Uid;
use dcmfast_core::vr::Vr;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;

const SYNTAXES: [&str; 4] = [
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
];
const REQUEST_ATTRIBUTES: Tag = Tag::new(0x0040, 0x0275);
const ROWS: Tag = Tag::new(0x0028, 0x0010);

/// A data element as a person would write it down.
#[derive(Clone, Debug)]
enum Node {
    Text(Tag, [u8; 2], Vec<u8>),
    Short(Tag, u16),
    Sequence(Tag, bool, Vec<(bool, Vec<Node>)>),
}

#[derive(Clone, Copy)]
struct Form {
    is_explicit: bool,
    is_big: bool,
}

const NORMAL: Form = Form { is_explicit: true, is_big: false };

impl Form {
    fn of(syntax: &str) -> Self {
        Self {
            is_explicit: syntax != IMPLICIT_VR_LITTLE_ENDIAN,
            is_big: syntax == EXPLICIT_VR_BIG_ENDIAN,
        }
    }

    fn u16(self, number: u16) -> [u8; 2] {
        if self.is_big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        if self.is_big { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn header(self, out: &mut Vec<u8>, tag: Tag, vr: [u8; 2], length: u32) {
        out.extend(self.u16(tag.group()));
        out.extend(self.u16(tag.element()));
        if tag.group() == 0xFFFE || !self.is_explicit {
            out.extend(self.u32(length));
        } else if matches!(&vr, b"SQ" | b"UN" | b"UT" | b"OB") {
            out.extend(vr);
            out.extend([0, 0]);
            out.extend(self.u32(length));
        } else {
            out.extend(vr);
            out.extend(self.u16(length as u16));
        }
    }

    /// `is_normal` writes every length; else each node decides.
    fn write(self, out: &mut Vec<u8>, node: &Node, is_normal: bool) {
        match node {
            Node::Text(tag, vr, value) => {
                self.header(out, *tag, *vr, value.len() as u32);
                out.extend(value);
            }
            Node::Short(tag, number) => {
                self.header(out, *tag, *b"US", 2);
                out.extend(self.u16(*number));
            }
            Node::Sequence(tag, is_undefined, items) => {
                let mut inside = Vec::new();
                for (is_undefined, nodes) in items {
                    let mut item = Vec::new();
                    for node in nodes {
                        self.write(&mut item, node, is_normal);
                    }
                    self.framed(&mut inside, tag::ITEM, *is_undefined && !is_normal, &item);
                }
                self.framed(out, *tag, *is_undefined && !is_normal, &inside);
            }
        }
    }

    fn framed(self, out: &mut Vec<u8>, tag: Tag, is_undefined: bool, content: &[u8]) {
        let length = if is_undefined { u32::MAX } else { content.len() as u32 };
        self.header(out, tag, *b"SQ", length);
        out.extend(content);
        if is_undefined {
            let end =
                if tag == tag::ITEM { tag::ITEM_DELIMITATION } else { tag::SEQUENCE_DELIMITATION };
            self.header(out, end, *b"SQ", 0);
        }
    }
}

fn encoded(nodes: &[Node], syntax: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for node in nodes {
        Form::of(syntax).write(&mut bytes, node, false);
    }
    if syntax == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&bytes).unwrap();
        bytes = encoder.finish().unwrap();
    }
    bytes
}

fn collect<'a>(syntax: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Attributes {
    let syntax = TransferSyntax::of(&Uid::known(syntax));
    let mut scanner = Scanner::with_index_keys(syntax, &[], &WANTED);
    for piece in pieces {
        scanner.feed(piece).unwrap();
    }
    scanner.finish().unwrap();
    scanner.take_attributes()
}

fn text(tag: Tag, vr: [u8; 2], value: &[u8]) -> Node {
    Node::Text(tag, vr, value.to_vec())
}

/// One object in each transfer syntax, in pieces of every size.
#[test]
fn every_syntax_and_every_cut() {
    let code = |is_undefined| {
        vec![(
            is_undefined,
            vec![text(Tag::new(8, 0x0100), *b"SH", b"T-1 "), Node::Short(ROWS, 0x0102)],
        )]
    };
    let nodes = [
        text(tags::SPECIFIC_CHARACTER_SET, *b"CS", b"ISO_IR 100"),
        text(Tag::new(8, 0x20), *b"DA", b"20240229"),
        text(tags::PATIENT_NAME, *b"PN", b"M\xfcller^Eva "),
        text(tags::PATIENT_ID, *b"LO", b""),
        text(Tag::new(0x11, 0x10), *b"LO", b"private "),
        text(tags::STUDY_INSTANCE_UID, *b"UI", b"1.2.3\0"),
        Node::Short(ROWS, 0x0201),
        Node::Sequence(
            REQUEST_ATTRIBUTES,
            true,
            vec![
                (false, vec![Node::Sequence(Tag::new(0x40, 8), true, code(true))]),
                (true, vec![Node::Sequence(Tag::new(0x40, 8), false, code(false))]),
                (false, vec![]),
            ],
        ),
    ];
    let mut items = Vec::new();
    NORMAL.write(&mut items, &nodes[7], true);
    for syntax in SYNTAXES {
        let bytes = encoded(&nodes, syntax);
        for piece in [1, 2, 3, 7, 13, bytes.len()] {
            let found = collect(syntax, bytes.chunks(piece));
            assert_eq!(found.get(tags::SPECIFIC_CHARACTER_SET), Some(&b"ISO_IR 100"[..]));
            assert_eq!(found.get(Tag::new(8, 0x20)), Some(&b"20240229"[..]));
            assert_eq!(found.get(tags::PATIENT_NAME), Some(&b"M\xfcller^Eva"[..]));
            assert_eq!(found.get(tags::PATIENT_ID), None);
            assert_eq!(found.get(tags::STUDY_INSTANCE_UID), Some(&b"1.2.3"[..]));
            assert_eq!(found.get(ROWS), Some(&b"\x01\x02"[..]));
            assert_eq!(found.get(REQUEST_ATTRIBUTES), Some(&items[12..]), "{syntax} by {piece}");
            assert_eq!(found.as_ref().iter().count(), 6);
        }
    }
}

/// Of two elements the first counts; a tag out of order is found all the same, also after the pixels.
#[test]
fn order_and_duplicates() {
    let nodes = [
        text(tags::PATIENT_ID, *b"LO", b"first "),
        text(tags::MODALITY, *b"CS", b"CT"),
        text(tags::PATIENT_ID, *b"LO", b"second"),
        text(Tag::new(0x7FE0, 0x0010), *b"OB", b"xx"),
        text(Tag::new(0x0020, 0x0010), *b"SH", b"late"),
    ];
    let found =
        collect(EXPLICIT_VR_LITTLE_ENDIAN, [&encoded(&nodes, EXPLICIT_VR_LITTLE_ENDIAN)[..]]);
    assert_eq!(found.get(tags::PATIENT_ID), Some(&b"first"[..]));
    assert_eq!(found.get(tags::MODALITY), Some(&b"CT"[..]));
    assert_eq!(found.get(Tag::new(0x0020, 0x0010)), Some(&b"late"[..]));
    assert_eq!(found.as_ref().iter().count(), 3);
}

/// A value is cut at its bound, a sequence beyond it is left out: memory is bounded.
#[test]
fn long_values() {
    let long = vec![b'x'; INDEXED_VALUE_BYTES_MAX + 10];
    let big = text(Tag::new(0x40, 0xA160), *b"UT", &vec![b'y'; INDEXED_SEQUENCE_BYTES_MAX]);
    let nodes = [
        text(tags::PATIENT_ID, *b"LO", &long),
        Node::Sequence(Tag::new(0x40, 0x0260), true, vec![(true, vec![big])]),
        Node::Sequence(
            REQUEST_ATTRIBUTES,
            true,
            vec![(true, vec![text(tags::MODALITY, *b"CS", b"MR")])],
        ),
    ];
    // No explicit length of a text can say more.
    let found =
        collect(IMPLICIT_VR_LITTLE_ENDIAN, encoded(&nodes, IMPLICIT_VR_LITTLE_ENDIAN).chunks(4096));
    assert_eq!(found.get(tags::PATIENT_ID), Some(&long[..INDEXED_VALUE_BYTES_MAX]));
    assert_eq!(found.get(Tag::new(0x40, 0x0260)), None);
    assert_eq!(found.get(REQUEST_ATTRIBUTES).unwrap().len(), 8 + 8 + 2);
}

/// limits::ATTRIBUTES_RESERVED_BYTES: however long the texts before them are, Patient ID and the UIDs
/// are kept.
#[test]
fn the_unique_keys_find_room() {
    let long = vec![b'x'; INDEXED_VALUE_BYTES_MAX];
    let uid = vec![b'1'; 64];
    let texts = ATTRIBUTES.iter().filter(|row| row.bytes_max as usize == long.len());
    let mut nodes: Vec<_> = texts
        .filter(|row| row.vr != Vr::SQ && row.tag != tags::PATIENT_ID)
        .map(|row| text(row.tag, row.vr.0, &long))
        .collect();
    assert!(nodes.len() * long.len() > 2 * ATTRIBUTES_BYTES_MAX);
    nodes.push(text(tags::PATIENT_ID, *b"LO", &long));
    nodes.push(text(tags::STUDY_INSTANCE_UID, *b"UI", &uid));
    nodes.push(text(tags::SERIES_INSTANCE_UID, *b"UI", &uid));
    for syntax in [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN] {
        let found = collect(syntax, encoded(&nodes, syntax).chunks(4096));
        assert_eq!(found.get(tags::PATIENT_ID), Some(&long[..]));
        assert_eq!(found.get(tags::STUDY_INSTANCE_UID), Some(&uid[..]));
        assert_eq!(found.get(tags::SERIES_INSTANCE_UID), Some(&uid[..]));
        let others = found.as_ref().as_bytes().len() - long.len() - 2 * uid.len();
        assert!(others <= ATTRIBUTES_BYTES_MAX - ATTRIBUTES_RESERVED_BYTES + 3 * 6);
        assert!(others > ATTRIBUTES_BYTES_MAX / 4);
    }
}

/// What cannot be the attribute is not taken for it; unknown VR is read as PS3.5 §6.2.2 says.
#[test]
fn foreign_vrs() {
    let mut bytes = Vec::new();
    let big = Form { is_explicit: true, is_big: true };
    big.write(&mut bytes, &Node::Short(tags::MODALITY, 0x4354), false);
    big.write(&mut bytes, &text(tags::PATIENT_ID, *b"UN", b"47"), false);
    big.write(&mut bytes, &text(ROWS, *b"IS", b"12"), false);
    big.write(&mut bytes, &text(Tag::new(0x28, 0x11), *b"UN", b"\x05\x00"), false);
    // A sequence in UN of undefined length is implicit little endian, in a big endian data set.
    let inner = Form { is_explicit: false, is_big: false };
    big.header(&mut bytes, REQUEST_ATTRIBUTES, *b"UN", u32::MAX);
    inner.framed(&mut bytes, tag::ITEM, true, b"\x08\0\x60\0\x02\0\0\0MR");
    inner.header(&mut bytes, tag::SEQUENCE_DELIMITATION, *b"SQ", 0);
    let found = collect(EXPLICIT_VR_BIG_ENDIAN, bytes.chunks(5));
    assert_eq!(found.get(tags::MODALITY), None);
    assert_eq!(found.get(tags::PATIENT_ID), Some(&b"47"[..]));
    assert_eq!(found.get(ROWS), None);
    assert_eq!(found.get(Tag::new(0x28, 0x11)), Some(&b"\x05\x00"[..]));
    let item = b"\xfe\xff\0\xe0\x0a\0\0\0\x08\0\x60\0CS\x02\0MR";
    assert_eq!(found.get(REQUEST_ATTRIBUTES), Some(&item[..]));
}

/// Implicit VR sequences of defined length are opened here although the scanner does not: bytes that
/// are no items, cut items, and nesting without end are left out, and nothing else is.
#[test]
fn damaged_implicit_sequences() {
    let inner = Form { is_explicit: false, is_big: false };
    let mut deep = b"\x08\0\x60\0\x02\0\0\0MR".to_vec();
    for _ in 0..30 {
        let mut outer = Vec::new();
        inner.framed(&mut outer, tag::ITEM, false, &deep);
        deep = Vec::new();
        inner.framed(&mut deep, REQUEST_ATTRIBUTES, false, &outer);
    }
    let cut = b"\xfe\xff\0\xe0\x20\0\0\0\x08\0\x60\0\x02\0\0\0MR";
    for content in [&b"not items"[..], cut, b"\xfe\xff\0\xe0", &deep[8..]] {
        let mut bytes = Vec::new();
        inner.framed(&mut bytes, REQUEST_ATTRIBUTES, false, content);
        let syntax = TransferSyntax::of(&Uid::known(IMPLICIT_VR_LITTLE_ENDIAN));
        let mut scanner = Scanner::with_index_keys(syntax, &[], &WANTED);
        scanner.feed(&bytes).unwrap();
        scanner.finish().unwrap();
        assert!(scanner.take_attributes().as_ref().is_empty(), "{}", content.escape_ascii());
    }
}

fn any_node(depth: u32) -> BoxedStrategy<Node> {
    let value = proptest::collection::vec(b'!'..b'~', 0..12);
    let tags = prop_oneof![
        Just((tags::PATIENT_ID, *b"LO")),
        Just((tags::MODALITY, *b"CS")),
        Just((tags::PATIENT_NAME, *b"PN")),
        Just((Tag::new(8, 0x0100), *b"SH")),
        Just((Tag::new(8, 0x0104), *b"LO")),
    ];
    let leaf = prop_oneof![
        (tags, value).prop_map(|((tag, vr), mut value)| {
            if value.len() % 2 == 1 {
                value.push(b' ');
            }
            Node::Text(tag, vr, value)
        }),
        any::<u16>().prop_map(|number| Node::Short(ROWS, number)),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let sequence = prop_oneof![Just(REQUEST_ATTRIBUTES), Just(Tag::new(0x0040, 0x0260))];
    let items = proptest::collection::vec(
        (any::<bool>(), proptest::collection::vec(any_node(depth - 1), 0..4)),
        0..3,
    );
    let nested = (sequence, any::<bool>(), items)
        .prop_map(|(tag, is_undefined, items)| Node::Sequence(tag, is_undefined, items));
    prop_oneof![leaf, nested].boxed()
}

proptest! {
    /// Any tree gives the same in every transfer syntax and however it is cut: what a second,
    /// simpler encoder makes of the first element of each tag.
    #[test]
    fn like_a_second_encoder(nodes in proptest::collection::vec(any_node(3), 0..6), piece in 1usize..40) {
        let mut expected = Attributes::new();
        for node in nodes.iter().rev() {
            let mut bytes = Vec::new();
            NORMAL.write(&mut bytes, node, true);
            match node {
                Node::Text(tag, _, value) => { expected.set(*tag, value.trim_ascii_end()); }
                Node::Short(tag, number) => { expected.set(*tag, &number.to_le_bytes()); }
                Node::Sequence(tag, ..) => { expected.set(*tag, bytes.get(12..).unwrap_or_default()); }
            }
        }
        let wanted = |tag: Tag| WANTED.iter().any(|wanted| wanted.tag == tag);
        let kept: Vec<_> = expected.as_ref().iter().filter(|(tag, _)| wanted(*tag)).collect();
        for syntax in SYNTAXES {
            let found = collect(syntax, encoded(&nodes, syntax).chunks(piece));
            prop_assert_eq!(found.as_ref().iter().collect::<Vec<_>>(), kept.clone(), "{}", syntax);
        }
    }
}
