//! The edges of `limits.rs` that a peer, a file or a configuration can reach through the engine's
//! public functions, at n - 1, n and n + 1.
//!
//! One row is one bound at one place. Edges of private parts are tested beside them;
//! `tests/test_limits.py` says where, and fails for a bound that has no test and no reason.

mod common;

use std::io::{Cursor as Bytes, Write};
use std::sync::Arc;

use common::{Scratch, entry_of};
use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::archive::area::{AreaOptions, StorageArea};
use dcmfast_core::archive::listing::{Listing, MemoryListing};
use dcmfast_core::dataset::identifier::{Encoding, Item, Writer, deflated, inflated};
use dcmfast_core::dataset::scan::Scanner;
use dcmfast_core::dataset::transfer_syntax::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
    TransferSyntax,
};
use dcmfast_core::dimse::command_set::CommandSet;
use dcmfast_core::dimse::message::MessageAssembler;
use dcmfast_core::index::attributes::{Level, WANTED, find, tags};
use dcmfast_core::index::query::{Model, Purpose, Query, RuleSet, Rules};
use dcmfast_core::index::search::{Cursor, Progress};
use dcmfast_core::index::{
    Access, Attributes, FileLocation, Index, IndexOp, IndexOptions, Outcome,
};
use dcmfast_core::limits;
use dcmfast_core::log::{Level as LogLevel, Logger, NoSink};
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::naming::{FileNaming, Naming, SubdirectoryNaming};
use dcmfast_core::storage::reader::{InputFormat, inspect};
use dcmfast_core::storage::writer::{DuplicatePolicy, InstanceRequest, StoreMode};
use dcmfast_core::tag::{SOP_CLASS_UID, SOP_INSTANCE_UID, Tag};
use dcmfast_core::uid::{Uid, UidText};
use dcmfast_core::ul::pdu_codec::{decode_associate_rq, decode_header};
use dcmfast_core::ul::pdv::Pdv;
use dcmfast_core::vr::Vr;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// What a bound does with n things.
enum Edge {
    /// More are refused: true for what is taken.
    Refuses(fn(usize) -> bool),
    /// More are left out: what is kept of them.
    Keeps(fn(usize) -> usize),
    /// Another way is taken for more, with the same outcome: true for the right one.
    Serves(fn(usize) -> bool),
}

use Edge::{Keeps, Refuses, Serves};

macro_rules! table {
    ($($name:ident at $place:literal => $edge:expr;)*) => {
        &[$((stringify!($name), $place, limits::$name as usize, $edge)),*]
    };
}

const TABLE: &[(&str, &str, usize, Edge)] = table! {
    // PS3.8
    ASSOCIATE_PDU_BYTES_MAX at "the header of an A-ASSOCIATE-RQ" => Refuses(|n| header(1, n));
    MAX_PDU_BYTES_MAX at "the header of a P-DATA-TF" => Refuses(|n| header(4, n));
    PRESENTATION_CONTEXTS_MAX at "an A-ASSOCIATE-RQ" => Refuses(|n| contexts(n, 1).is_some());
    TRANSFER_SYNTAXES_PER_CONTEXT_MAX at "a proposed context" => Keeps(|n| contexts(1, n).unwrap());
    USER_INFORMATION_ITEMS_MAX at "an A-ASSOCIATE-RQ" => Refuses(user_information);
    // PS3.7
    EMPTY_PDVS_IN_A_ROW_MAX at "a command" => Refuses(empty_pdvs);
    COMMAND_SET_BYTES_MAX at "a whole command set" => Refuses(command_set_bytes);
    COMMAND_SET_BYTES_MAX at "a command set in fragments" => Refuses(command_fragments);
    COMMAND_SET_ELEMENTS_MAX at "a command set" => Refuses(|n| {
        CommandSet::decode(&command_element(0x0110, 0).repeat(n)).is_ok()
    });
    // PS3.5
    SEQUENCE_DEPTH_MAX at "the scanner" => Refuses(|n| scans(EXPLICIT_VR_LITTLE_ENDIAN, &nest(n)));
    SEQUENCE_DEPTH_MAX at "an identifier" => Refuses(|n| {
        // Defined lengths are stepped over; without them each level has to be remembered.
        let open = b"\x08\0\x32\x10SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF";
        let close = b"\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
        let nest = [open.repeat(n), close.repeat(n)].concat();
        Item::read(&nest, Encoding::EXPLICIT_LITTLE).is_ok()
    });
    WANTED_VALUE_BYTES_MAX at "a UID of the data set" => Keeps(wanted_value);
    DEFLATE_TRAILER_BYTES_MAX at "a deflated data set" => Refuses(|n| {
        let data = [deflated(&element(SOP_INSTANCE_UID, *b"UI", b"1.23")), vec![0; n]].concat();
        scans(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, &data)
    });
    INFLATED_FREE_BYTES at "blank pixels" => Refuses(blank_pixels);
    // PS3.10
    FILE_EXTENSION_BYTES_MAX at "-fe" => Refuses(|n| {
        let extension = "e".repeat(n);
        Naming::new(FileNaming::SopInstanceUid, SubdirectoryNaming::None, &extension, 0).is_ok()
    });
    FILE_META_BYTES_MAX at "a file" => Refuses(file_meta);
    WRITE_SLICES_MAX at "a data set in fragments" => Serves(|n| stores(n, n));
    // Index
    ATTRIBUTES_BYTES_MAX at "collected values" => Refuses(|n| {
        let mut attributes = Attributes::new();
        values_of(n).all(|(tag, value)| attributes.set(tag, &value))
    });
    ATTRIBUTES_BYTES_MAX at "a record's bytes" => Refuses(|n| {
        let mut bytes = Vec::new();
        for (tag, value) in values_of(n) {
            bytes.extend(tag.0.to_be_bytes());
            bytes.extend((value.len() as u16).to_be_bytes());
            bytes.extend(value);
        }
        Attributes::from_bytes(&bytes).is_ok()
    });
    INDEXED_SEQUENCE_BYTES_MAX at "a code sequence" => Refuses(indexed_bytes);
    INDEXED_SEQUENCE_DEPTH_MAX at "a code sequence" => Refuses(|n| {
        // The indexed sequence itself is the first level.
        let inner = element(tags::MODALITY, *b"CS", b"CT");
        let items = (1..n).fold(item(&inner), |inner, _| item(&sequence(&inner)));
        is_indexed(&sequence(&items))
    });
    FILE_PATH_BYTES_MAX at "a file of other origin" => Refuses(|n| {
        let mut entry = entry_of("1.2", "P", "1", "1.1");
        entry.location = FileLocation::Relative("p".repeat(n));
        let (_scratch, index) = index();
        let listed = index.commit(&[IndexOp::Put(Arc::new(entry))]);
        listed.is_ok_and(|outcomes| matches!(outcomes[..], [Outcome::Added]))
    });
    SECONDARY_KEY_VALUE_BYTES_MAX at "values that differ at their end" => Serves(long_keys);
    SOP_CLASSES_PER_SERIES_MAX at "a series" => Keeps(classes_of_a_series);
    INDEX_READERS_MAX at "readers at once" => Refuses(|n| {
        let (_scratch, index) = index();
        let readers: Vec<_> = (0..n).map_while(|_| index.read().ok()).collect();
        readers.len() == n
    });
    // PS3.4 Annex C
    IDENTIFIER_BYTES_MAX at "an identifier" => Refuses(|n| {
        inflated(syntax(EXPLICIT_VR_LITTLE_ENDIAN), &vec![0; n]).is_ok()
    });
    IDENTIFIER_BYTES_MAX at "a deflated identifier" => Refuses(|n| {
        inflated(syntax(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN), &deflated(&vec![0; n])).is_ok()
    });
    IDENTIFIER_ELEMENTS_MAX at "an identifier" => Refuses(|n| {
        let element = b"\x10\0\x10\0\0\0\0\0";
        Item::read(&element.repeat(n), Encoding::of(syntax(IMPLICIT_VR_LITTLE_ENDIAN))).is_ok()
    });
    QUERY_ROWS_PER_PAGE at "a series of so many instances" => Serves(rows_of_a_page);
    // Archive
    JOURNALED_OBJECT_BYTES_MAX at "an object with its head" => Serves(|n| {
        // The file meta information has some hundred bytes: on both sides, wherever it ends.
        (0..400).step_by(80).all(|head| stores(n - head, 3))
    });
};

#[test]
fn every_edge() {
    for (name, place, n, edge) in TABLE {
        let [below, at, above] = [n - 1, *n, n + 1];
        match edge {
            Refuses(takes) => {
                let taken = [below, at, above].map(takes);
                assert_eq!(taken, [true, true, false], "{name} at {place}");
            }
            Keeps(kept) => {
                assert_eq!([below, at, above].map(kept), [below, at, at], "{name} at {place}");
            }
            Serves(is_right) => {
                assert_eq!([below, at, above].map(is_right), [true; 3], "{name} at {place}");
            }
        }
    }
}

// ---- PS3.8 and PS3.7 ---------------------------------------------------------------------------

fn header(pdu_type: u8, length: usize) -> bool {
    let [a, b, c, d] = (length as u32).to_be_bytes();
    decode_header(&[pdu_type, 0, a, b, c, d], limits::MAX_PDU_BYTES_MAX).is_ok()
}

fn item_of(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind, 0], &length[..], value].concat()
}

/// The variable field after an A-ASSOCIATE-RQ's fixed part.
fn associate_rq(items: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend([b'A'; 32]);
    body.extend([0; 32]);
    body.extend(item_of(0x10, b"1.2.840.10008.3.1.1.1"));
    body.extend(items.concat());
    body
}

/// Transfer syntaxes kept of the first of so many contexts; `None` when the request is malformed.
fn contexts(count: usize, syntaxes: usize) -> Option<usize> {
    let context = |at: usize| {
        // IDs are odd and below 256: one more than 128 can only come again.
        let mut value = vec![(2 * at + 1) as u8, 0, 0, 0];
        value.extend(item_of(0x30, b"1.2.840.10008.1.1"));
        for _ in 0..syntaxes {
            value.extend(item_of(0x40, b"1.2.840.10008.1.2"));
        }
        item_of(0x20, &value)
    };
    let mut items: Vec<_> = (0..count).map(context).collect();
    items.push(item_of(0x50, &item_of(0x51, &[0, 0, 0x40, 0])));
    let request = decode_associate_rq(&associate_rq(&items)).ok()?;
    assert_eq!(request.contexts.len(), count);
    Some(request.contexts[0].transfer_syntaxes.len())
}

fn user_information(count: usize) -> bool {
    let information = item_of(0x50, &item_of(0x7E, b"").repeat(count));
    decode_associate_rq(&associate_rq(&[information])).is_ok()
}

fn fragments(parts: impl Iterator<Item = usize>) -> bool {
    let mut assembler = MessageAssembler::new([1].into_iter().collect());
    let bytes = vec![0; 4096];
    let mut pdv = |length: usize| {
        let fragment = &bytes[..length];
        assembler.feed(Pdv { context_id: 1, is_command: true, is_last: false, fragment }).is_ok()
    };
    parts.into_iter().all(&mut pdv)
}

fn empty_pdvs(count: usize) -> bool {
    fragments([1].into_iter().chain((0..count).map(|_| 0)))
}

fn command_fragments(bytes: usize) -> bool {
    fragments((0..bytes).step_by(4096).map(|at| (bytes - at).min(4096)))
}

fn command_element(element: u16, length: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(element.to_le_bytes());
    bytes.extend((length as u32).to_le_bytes());
    bytes.resize(8 + length, b'x');
    bytes
}

fn command_set_bytes(bytes: usize) -> bool {
    CommandSet::decode(&command_element(0x0902, bytes - 8)).is_ok()
}

// ---- PS3.5 and PS3.10 --------------------------------------------------------------------------

fn syntax(uid: &'static str) -> TransferSyntax {
    TransferSyntax::of(&Uid::known(uid))
}

fn element(tag: Tag, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_le_bytes();
    [&tag.group().to_le_bytes(), &tag.element().to_le_bytes(), &vr[..], &length, value].concat()
}

fn long_element(tag: Tag, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let head =
        [&tag.group().to_le_bytes()[..], &tag.element().to_le_bytes(), &vr, &[0, 0]].concat();
    [&head, &(value.len() as u32).to_le_bytes()[..], value].concat()
}

fn item(value: &[u8]) -> Vec<u8> {
    [b"\xFE\xFF\0\xE0", &(value.len() as u32).to_le_bytes()[..], value].concat()
}

/// Procedure Code Sequence, which is indexed.
const CODES: Tag = Tag::new(0x0008, 0x1032);

fn sequence(items: &[u8]) -> Vec<u8> {
    long_element(CODES, *b"SQ", items)
}

fn nest(depth: usize) -> Vec<u8> {
    let innermost = element(Tag::new(0x0008, 0x0100), *b"SH", b"A");
    (0..depth).fold(innermost, |inner, _| sequence(&item(&inner)))
}

fn scans(syntax_uid: &'static str, data: &[u8]) -> bool {
    let mut scanner = Scanner::new(syntax(syntax_uid), &[SOP_INSTANCE_UID]);
    scanner.feed(data).is_ok() && scanner.finish().is_ok()
}

fn wanted_value(length: usize) -> usize {
    let mut scanner = Scanner::new(syntax(EXPLICIT_VR_LITTLE_ENDIAN), &[SOP_INSTANCE_UID]);
    scanner.feed(&element(SOP_INSTANCE_UID, *b"UI", &vec![b'1'; length])).unwrap();
    scanner.finish().unwrap();
    scanner.value(SOP_INSTANCE_UID).unwrap().len()
}

/// A deflated data set that inflates to so many bytes, smaller than the ratio allows beyond those
/// that are free.
fn blank_pixels(bytes: usize) -> bool {
    let mut header = long_element(Tag::new(0x7FE0, 0x0010), *b"OB", b"");
    let pixels = bytes - header.len();
    header[8..].copy_from_slice(&(pixels as u32).to_le_bytes());
    let level = flate2::Compression::new(9);
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(&header).unwrap();
    let block = vec![0; 1 << 20];
    let mut left = pixels;
    while left > 0 {
        let count = left.min(block.len());
        encoder.write_all(&block[..count]).unwrap();
        left -= count;
    }
    let data = encoder.finish().unwrap();
    assert!((data.len() as u64) < limits::INFLATED_FREE_BYTES / limits::INFLATED_RATIO_MAX);
    scans(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, &data)
}

/// A file whose file meta information ends after so many bytes.
fn file_meta(bytes: usize) -> bool {
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend(element(Tag::new(2, 2), *b"UI", CT.as_bytes()));
    file.extend(element(Tag::new(2, 3), *b"UI", b"1.23"));
    file.extend(element(Tag::new(2, 0x10), *b"UI", EXPLICIT_VR_LITTLE_ENDIAN.as_bytes()));
    let private = vec![0; bytes - file.len() - 12];
    file.extend(long_element(Tag::new(2, 0x0102), *b"OB", &private));
    assert_eq!(file.len(), bytes);
    file.extend(element(SOP_INSTANCE_UID, *b"UI", b"1.23"));
    inspect(&mut Bytes::new(file), InputFormat::File).is_ok()
}

fn is_indexed(data: &[u8]) -> bool {
    let mut scanner = Scanner::with_index_keys(syntax(EXPLICIT_VR_LITTLE_ENDIAN), &[], &WANTED);
    scanner.feed(data).unwrap();
    scanner.finish().unwrap();
    scanner.take_attributes().get(CODES).is_some()
}

/// A sequence of so many bytes, in steps of an item's header: delimiters are what is kept first and
/// dropped afterwards, and with nothing else the bound on what is left would come first.
/// Attributes of `bytes` in all, with their headers of six.
fn values_of(bytes: usize) -> impl Iterator<Item = (Tag, Vec<u8>)> {
    const PART: usize = 60_000;
    (0..).map_while(move |at| {
        let length = bytes.checked_sub(at * PART)?.min(PART).checked_sub(6)?;
        Some((Tag::new(0x0010, at as u16), vec![b'x'; length]))
    })
}

fn indexed_bytes(bytes: usize) -> bool {
    const DELIMITED: &[u8] = b"\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF\xFE\xFF\x0D\xE0\0\0\0\0";
    const END: &[u8] = b"\xFE\xFF\xDD\xE0\0\0\0\0";
    let bytes = bytes.next_multiple_of(8) - END.len();
    let mut data = sequence(&[]);
    data[8..].fill(0xFF);
    data.extend(DELIMITED.repeat(bytes / 16));
    data.extend(item(&[]).repeat(bytes % 16 / 8));
    data.extend(END);
    is_indexed(&data)
}

// ---- Index and queries -------------------------------------------------------------------------

fn index() -> (Scratch, Arc<Index>) {
    let scratch = Scratch::new("dcmfast-bounds");
    let path = scratch.path().join("index");
    let index = Index::open(&path, Access::Write, IndexOptions::default()).unwrap();
    (scratch, index)
}

/// Instances, or entities of another level, that match; how many in how many pages.
fn count(index: &Index, level: &[u8], keys: &[(Tag, &[u8])]) -> (usize, usize) {
    let mut keys = [keys, &[(Tag::new(8, 0x52), level)]].concat();
    keys.sort_by_key(|(tag, _)| *tag);
    let mut identifier = Vec::new();
    let mut writer = Writer::new(&mut identifier, Encoding::EXPLICIT_LITTLE);
    for (tag, value) in keys {
        writer.text(tag, find(tag).map_or(Vr(*b"CS"), |attribute| attribute.vr), value);
    }
    let item = Item::read(&identifier, Encoding::EXPLICIT_LITTLE).unwrap();
    let (encoding, model) = (Encoding::EXPLICIT_LITTLE, Model::StudyRoot);
    let rules = Rules { set: RuleSet::Standard, ..Rules::default() };
    let query = Query::compile(&item, encoding, model, rules, Purpose::Find).unwrap();
    let (mut cursor, mut found, mut pages) = (Cursor::default(), 0, 0);
    loop {
        let reader = index.read().unwrap();
        pages += 1;
        let mut visit = |_: &_| {
            found += 1;
            true
        };
        if query.page(&reader, &mut cursor, &mut visit).unwrap() == Progress::Done {
            return (found, pages);
        }
    }
}

fn long_keys(length: usize) -> bool {
    let (_scratch, index) = index();
    let values = [b'A', b'B'].map(|last| [vec![b'X'; length - 1], vec![last]].concat());
    for (at, value) in values.iter().enumerate() {
        let study = format!("1.{at}");
        let mut entry =
            entry_of(&format!("1.2.{at}"), &format!("P{at}"), &study, &format!("{study}.1"));
        assert!(entry.attributes.set(tags::PATIENT_NAME, value));
        index.commit(&[IndexOp::Put(Arc::new(entry))]).unwrap();
    }
    values.iter().all(|value| count(&index, b"STUDY", &[(tags::PATIENT_NAME, value)]).0 == 1)
}

fn classes_of_a_series(classes: usize) -> usize {
    let (_scratch, index) = index();
    let put = |at: usize| {
        let mut entry = entry_of(&format!("1.2.{at}"), "P", "1", "1.1");
        entry.sop_class = UidText::new(format!("1.3.{at}").as_bytes()).unwrap();
        IndexOp::Put(Arc::new(entry))
    };
    index.commit(&(0..classes).map(put).collect::<Vec<_>>()).unwrap();
    let reader = index.read().unwrap();
    let id = reader.find_entities(Level::Series, b"1.1").unwrap().next().unwrap().unwrap();
    reader.entity(Level::Series, id).unwrap().unwrap().sop_classes().count()
}

fn rows_of_a_page(instances: usize) -> bool {
    let (_scratch, index) = index();
    let put = |at: usize| IndexOp::Put(Arc::new(entry_of(&format!("1.2.{at}"), "P", "1", "1.1")));
    // Rows above the instances count as well, so that the page ends some instances earlier.
    index.commit(&(0..instances - 4).map(put).collect::<Vec<_>>()).unwrap();
    (instances - 4..=instances).all(|held| {
        let series = [(tags::STUDY_INSTANCE_UID, &b"1"[..]), (tags::SERIES_INSTANCE_UID, b"1.1")];
        let (found, pages) = count(&index, b"IMAGE", &series);
        index.commit(&[put(held)]).unwrap();
        found == held && pages <= 2
    })
}

// ---- Archive -----------------------------------------------------------------------------------

/// Stores a data set of so many bytes in so many fragments, opens the area anew, reads it back.
fn stores(bytes: usize, fragments: usize) -> bool {
    let scratch = Scratch::new("dcmfast-bounds");
    let options = || AreaOptions {
        durability: Durability::None,
        duplicates: DuplicatePolicy::Replace,
        quota: None,
        mode: StoreMode::Normal,
        encoding: None,
        has_file_meta: true,
        logger: Arc::new(Logger::new(LogLevel::Off, Arc::new(NoSink))),
    };
    let mut data = element(SOP_CLASS_UID, *b"UI", format!("{CT}\0").as_bytes());
    data.extend(element(SOP_INSTANCE_UID, *b"UI", b"1.23"));
    let pixels = bytes.max(data.len() + 12 + fragments) - data.len() - 12;
    data.extend(long_element(Tag::new(0x7FE0, 0x0010), *b"OB", &vec![7; pixels]));
    let pieces: Vec<&[u8]> = (0..fragments)
        .map(|at| &data[at * data.len() / fragments..(at + 1) * data.len() / fragments])
        .collect();
    let listing: Arc<dyn Listing> = Arc::new(MemoryListing::default());
    let area = StorageArea::open_with(scratch.path(), Arc::clone(&listing), options()).unwrap();
    let mut receiver = area.begin(&InstanceRequest {
        sop_class: UidText::new(CT.as_bytes()).unwrap(),
        sop_instance: UidText::new(b"1.23").unwrap(),
        transfer_syntax: Uid::known(EXPLICIT_VR_LITTLE_ENDIAN),
        calling_ae_title: AeTitle::new(b"TEST"),
    });
    receiver.append(&pieces).unwrap();
    let path = receiver.finish().unwrap().path.unwrap();
    area.close().unwrap();
    drop(area);
    let _area = StorageArea::open_with(scratch.path(), Arc::clone(&listing), options()).unwrap();
    std::fs::read(path).unwrap().ends_with(&data)
}
