//! An object that comes again under the UID of one whose file is not what it was.

mod area_kit;

use std::sync::Arc;

use area_kit::{CT, data_set, options, request, store};
use dcmfast_core::archive::area::{AreaOptions, StorageArea};
use dcmfast_core::archive::layout;
use dcmfast_core::archive::listing::{Listing, MemoryListing};
use dcmfast_core::dataset::attributes::Attributes;
use dcmfast_core::index::{FileLocation, IndexOp, InstanceEntry};
use dcmfast_core::storage::backend::tree::memory::MemoryTree;
use dcmfast_core::storage::backend::tree::{Access, Tree};
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{Duplicate, DuplicatePolicy, StoreError};

const UID: &str = "1.2.7";

/// What has become of the listed file.
fn spoil(tree: &MemoryTree, name: &str, how: &str) {
    let mut bytes = tree.read(name).expect("stored");
    match how {
        "whole" => return,
        "gone" => return tree.remove(name).expect("removed"),
        "cut" => bytes.truncate(bytes.len() - 1),
        _ => *bytes.last_mut().expect("some") ^= 1,
    }
    tree.put(name, &bytes);
}

/// Success is said only where an object is there afterwards, whatever the policy; and what is gone or
/// rotten is replaced by the same object sent again, or by another.
#[test]
fn a_file_that_is_gone_or_rotten_keeps_nobody_out() {
    use DuplicatePolicy::{Keep, Reject, Replace};
    for duplicates in [Replace, Keep, Reject] {
        for how in ["whole", "gone", "cut", "rotten"] {
            for (fill, is_same) in [(1, true), (2, false)] {
                let case = format!("{duplicates:?}, {how}, the same: {is_same}");
                let tree = MemoryTree::new(true);
                let listing = Arc::new(MemoryListing::default());
                let options = AreaOptions { duplicates, ..options(Durability::Group) };
                let (kept, known) = (Arc::new(tree.clone()), Arc::clone(&listing) as Arc<_>);
                let area = StorageArea::with_parts(kept, known, options, None).expect("opens");
                store(&area, UID, 1_000, 1).expect("stored");
                area.barrier().expect("applied");
                let FileLocation::Own(first) = listing.instances()[0].1.location else {
                    panic!("{case}")
                };
                spoil(&tree, &layout::own_file(first), how);
                let again = store(&area, UID, 1_000, fill).map(|stored| stored.duplicate);
                area.close().expect("closes");
                let wanted = match (how, is_same, duplicates) {
                    ("whole", true, _) => Duplicate::Identical,
                    ("whole", false, Keep) => Duplicate::Kept,
                    ("whole", false, Reject) => {
                        assert!(
                            matches!(again, Err(StoreError::DuplicateRejected { .. })),
                            "{case}: {again:?}"
                        );
                        continue;
                    }
                    _ => Duplicate::Replaced,
                };
                assert_eq!(again.expect(&case), wanted, "{case}");
                let FileLocation::Own(listed) = listing.instances()[0].1.location else {
                    panic!("{case}")
                };
                let file = tree.read(&layout::own_file(listed)).expect(&case);
                let is_new = wanted == Duplicate::Replaced;
                assert_eq!(listed != first, is_new, "{case}");
                assert_eq!(file.last(), Some(&if is_new { fill } else { 1 }), "{case}");
                assert_eq!(tree.below(layout::OBJECTS).len(), 1, "{case}");
            }
        }
    }
}

/// A disk after a power cut that keeps nothing but what was synced, under the area that is open now.
fn cut(tree: &MemoryTree) -> MemoryTree {
    tree.after_power_cut(&mut |_| 0)
}

/// PROMISES.md P1: success under `group` and `each` survives a power cut, also where the same bytes lay
/// there already and nobody had ever synced them: acknowledged under `none`, or by a process that was
/// killed.
#[test]
fn the_same_again_is_as_durable_as_the_mode_says() {
    for (durability, is_killed, like_ext4) in [
        (Durability::Group, false, true),
        (Durability::Group, true, false),
        (Durability::Each, false, false),
        (Durability::Each, true, true),
    ] {
        for pixel_bytes in [1_000, 200_000] {
            let case = format!("{durability:?}, killed: {is_killed}, {pixel_bytes} bytes");
            let tree = MemoryTree::new(like_ext4);
            let listing = Arc::new(MemoryListing::default());
            let open = |tree: &MemoryTree, durability| {
                let (tree, known) = (Arc::new(tree.clone()), Arc::clone(&listing) as Arc<_>);
                StorageArea::with_parts(tree, known, options(durability), None).expect("opens")
            };
            let careless = open(&tree, Durability::None);
            store(&careless, UID, pixel_bytes, 1).expect("stored");
            careless.barrier().expect("applied");
            if is_killed {
                // It does nothing any more, and never comes to its end in order.
                std::mem::forget(careless);
            } else {
                careless.close().expect("closes");
            }
            let FileLocation::Own(number) = listing.instances()[0].1.location else {
                panic!("{case}")
            };
            let name = layout::own_file(number);
            let bytes = tree.read(&name).expect("stored");
            assert_ne!(cut(&tree).read(&name).as_ref(), Some(&bytes), "{case}: nothing to show");

            let area = open(&tree, durability);
            let again = store(&area, UID, pixel_bytes, 1).expect("stored").duplicate;
            assert_eq!(again, Duplicate::Identical, "{case}");
            assert_eq!(cut(&tree).read(&name).as_ref(), Some(&bytes), "{case}");
            area.close().expect("closes");
        }
    }
}

/// The same for a file that is listed where its user put it.
#[test]
fn the_same_again_syncs_a_file_of_other_origin() {
    let (tree, listing) = (MemoryTree::new(false), Arc::new(MemoryListing::default()));
    let (kept, known) = (Arc::new(tree.clone()), Arc::clone(&listing) as Arc<_>);
    let area =
        StorageArea::with_parts(kept, known, options(Durability::Group), None).expect("opens");
    store(&area, UID, 1_000, 1).expect("stored");
    area.barrier().expect("applied");
    let FileLocation::Own(number) = listing.instances()[0].1.location else { panic!("own") };
    let bytes = tree.read(&layout::own_file(number)).expect("stored");
    let (data_set, request) = (data_set(CT, UID, 1_000, 1), request(CT, UID));
    let entry = InstanceEntry {
        attributes: Attributes::default(),
        sop_class: request.sop_class,
        sop_instance: request.sop_instance,
        transfer_syntax: request.transfer_syntax.text(),
        location: FileLocation::Relative("there/file".to_owned()),
        file_bytes: bytes.len() as u64,
        data_set_offset: (bytes.len() - data_set.len()) as u32,
        digest: xxhash_rust::xxh3::xxh3_128(&data_set),
        received_at_us: 0,
        source_ae: request.calling_ae_title,
    };
    tree.make_directory("there", Access::Umask).expect("made");
    let mut file = tree.create("there/file", Access::Umask).expect("created");
    file.append(&mut [std::io::IoSlice::new(&bytes)]).expect("written");
    file.close().expect("closed");
    listing.commit(&[IndexOp::Put(Arc::new(entry))]).expect("listed");
    assert_eq!(cut(&tree).read("there/file"), None);
    let again = store(&area, UID, 1_000, 1).expect("stored").duplicate;
    assert_eq!(again, Duplicate::Identical);
    assert_eq!(cut(&tree).read("there/file"), Some(bytes));
    area.close().expect("closes");
}
