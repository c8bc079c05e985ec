//! What an area does with an unusual journal at its start.

mod area_kit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use area_kit::{CT, data_set, options, request, store};
use dcmfast_core::archive::area::StorageArea;
use dcmfast_core::archive::layout;
use dcmfast_core::archive::listing::MemoryListing;
use dcmfast_core::archive::record::{self, FileSource, StoreChange};
use dcmfast_core::index::{Attributes, FileLocation, InstanceEntry};
use dcmfast_core::storage::backend::tree::memory::MemoryTree;
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::journal::frame::{RECORD_HEADER_BYTES, SegmentHeader, seal, sum_of};

fn open(tree: &MemoryTree, listing: &Arc<MemoryListing>) -> Arc<StorageArea> {
    let (tree, listing) = (Arc::new(tree.clone()), Arc::clone(listing) as Arc<_>);
    StorageArea::with_parts(tree, listing, options(Durability::Group), None).expect("opens")
}

/// A record that is whole but means nothing is kept aside, and those around it are applied.
#[test]
fn a_record_that_means_nothing_stands_in_nobodys_way() {
    let tree = MemoryTree::new(true);
    let listing = Arc::new(MemoryListing::default());
    let area = open(&tree, &listing);
    store(&area, "1.1", 100, 1).expect("stored");
    area.close().expect("closes");
    let mut segment = SegmentHeader { first_sequence: 2, seed: 5 }.encode().to_vec();
    let mut record = vec![0; RECORD_HEADER_BYTES];
    record.extend_from_slice(b"\xf0 from a later version");
    let sum = sum_of(&record);
    seal(&mut record, sum, 2, 5);
    segment.extend_from_slice(&record);
    segment.resize(1 << 20, 0);
    tree.put(".dcmfast/journal/0.segment", &segment);
    for _ in 0..2 {
        let area = open(&tree, &listing);
        let kept = tree.read(&layout::quarantined(2)).expect("kept aside");
        assert_eq!(kept, b"\xf0 from a later version");
        store(&area, "1.2", 100, 2).expect("stored");
        area.close().expect("closes");
    }
    assert_eq!(listing.instances().len(), 2);
    assert_eq!(layout::quarantined(2), tree.below(layout::QUARANTINE)[0]);
}

/// A journal with the record of a large object, number 2, whose content would be spool file `at`.
fn write_spooled(tree: &MemoryTree, data_set: &[u8], at: u64, replaced: Option<FileLocation>) {
    let request = request(CT, "1.1");
    let entry = InstanceEntry {
        attributes: Attributes::default(),
        sop_class: request.sop_class,
        sop_instance: request.sop_instance,
        transfer_syntax: request.transfer_syntax.text(),
        location: FileLocation::Own(0),
        file_bytes: data_set.len() as u64,
        data_set_offset: 0,
        digest: xxhash_rust::xxh3::xxh3_128(data_set),
        received_at_us: 0,
        source_ae: request.calling_ae_title,
    };
    let change = StoreChange { entry: entry.into(), source: FileSource::Spool(at), replaced };
    let mut record = Vec::new();
    record::begin_store(&mut record);
    record::finish_store(&mut record, &change);
    let sum = sum_of(&record);
    seal(&mut record, sum, 2, 5);
    let mut segment = SegmentHeader { first_sequence: 2, seed: 5 }.encode().to_vec();
    segment.extend_from_slice(&record);
    segment.resize(1 << 20, 0);
    tree.put(".dcmfast/journal/0.segment", &segment);
}

/// The record of a large object may be on the device when the object is not: such a one was not
/// acknowledged. It is not listed, what it was to replace stays, and nobody is held up.
#[test]
fn a_large_object_that_is_not_whole_is_not_listed() {
    let (data_set, at) = (data_set(CT, "1.1", 100_000, 2), 7);
    let mut cut = data_set.clone();
    cut.pop();
    let mut other = data_set.clone();
    other[50_000] ^= 1;
    for (content, is_listed) in [(cut, false), (other, false), (data_set.clone(), true)] {
        let tree = MemoryTree::new(true);
        let listing = Arc::new(MemoryListing::default());
        let area = open(&tree, &listing);
        store(&area, "1.1", 100, 1).expect("stored");
        area.close().expect("closes");
        let old = listing.instances()[0].1.clone();
        write_spooled(&tree, &data_set, at, Some(old.location.clone()));
        tree.put(&layout::spool_file(at), &content);
        let area = open(&tree, &listing);
        area.barrier().expect("applied");
        let found = listing.instances();
        assert_eq!(found.len(), 1);
        if is_listed {
            assert_eq!(found[0].1.location, FileLocation::Own(2));
            assert_eq!(tree.read(&layout::own_file(2)).as_ref(), Some(&data_set));
            assert_eq!(tree.below(layout::OBJECTS).len(), 1);
        } else {
            assert_eq!(found[0].1.location, old.location);
            assert_eq!(tree.below(layout::OBJECTS).len(), 1);
            assert_eq!(tree.read(&layout::quarantined(2)), Some(content));
        }
        assert_eq!(tree.below(layout::SPOOL), [""; 0]);
        store(&area, "1.2", 100_000, 2).expect("stored");
        area.close().expect("closes");
    }
}

/// After a power cut with thousands of objects in the journal the area is ready in less than two seconds.
#[test]
fn a_long_journal_is_read_soon() {
    let tree = MemoryTree::new(true);
    let listing = Arc::new(MemoryListing::default());
    let area = open(&tree, &listing);
    for number in 0..5_000 {
        store(&area, &format!("1.{number}"), 100, 1).expect("stored");
    }
    area.barrier().expect("applied");
    let after = tree.after_power_cut(&mut |_| 0);
    let began = Instant::now();
    let again = open(&after, &listing);
    let elapsed = began.elapsed();
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    again.close().expect("closes");
    let count = after.below(layout::OBJECTS).len();
    assert_eq!(count, 5_000);
}

/// There are no renames between two file systems, and a sync of the one leaves the other as it is.
#[test]
fn an_area_on_two_file_systems_is_refused() {
    for name in [layout::OBJECTS, layout::SPOOL, layout::JOURNAL, layout::PRIVATE] {
        let tree = MemoryTree::new(true);
        let listing = Arc::new(MemoryListing::default());
        open(&tree, &listing).close().expect("closes");
        tree.mount(name, 7);
        let known = Arc::clone(&listing) as Arc<_>;
        let options = options(Durability::Group);
        let refused = StorageArea::with_parts(Arc::new(tree.clone()), known, options, None).err();
        let refused = refused.expect(name).to_string();
        assert!(refused.contains("another file system"), "{refused}");
        assert!(refused.contains(name), "{refused}");
    }
}

/// The journal may have the record of a store that was refused: its object is gone. What it was to replace
/// stays, also where a tool applies the journal that knows of no index.
#[test]
fn a_lost_record_takes_nothing_with_it() {
    for knows_index in [true, false] {
        let tree = MemoryTree::new(true);
        let mut listing = Arc::new(MemoryListing::default());
        let area = open(&tree, &listing);
        store(&area, "1.1", 100, 1).expect("stored");
        area.close().expect("closes");
        let old = listing.instances()[0].1.clone();
        let data_set = data_set(CT, "1.1", 100_000, 2);
        write_spooled(&tree, &data_set, 7, Some(old.location.clone()));
        if !knows_index {
            listing = Arc::default();
        }
        let area = open(&tree, &listing);
        area.barrier().expect("applied");
        area.close().expect("closes");
        let FileLocation::Own(number) = old.location else { panic!("{old:?}") };
        assert!(tree.read(&layout::own_file(number)).is_some(), "{knows_index}");
        assert_eq!(tree.below(layout::OBJECTS).len(), 1);
        assert_eq!(listing.instances().len(), usize::from(knows_index));
    }
}
