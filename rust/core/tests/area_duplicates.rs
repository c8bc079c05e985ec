//! An object that comes again under the UID of one whose file is not what it was.

mod area_kit;

use std::sync::Arc;

use area_kit::{options, store};
use dcmfast_core::archive::area::{AreaOptions, StorageArea};
use dcmfast_core::archive::layout;
use dcmfast_core::archive::listing::MemoryListing;
use dcmfast_core::index::FileLocation;
use dcmfast_core::storage::backend::tree::Tree;
use dcmfast_core::storage::backend::tree::memory::MemoryTree;
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
