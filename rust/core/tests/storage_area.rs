//! A storage area on a real directory: what is stored is there, listed, and survives a reopening.

mod area_kit;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use area_kit::{CT, data_set, options, request, store, store_as, uid};
use dcmfast_core::archive::area::{AreaError, StorageArea};
use dcmfast_core::archive::listing::{Listing, MemoryListing};
use dcmfast_core::index::FileLocation;
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{Duplicate, DuplicatePolicy, InstanceRequest, StoreError};

const MODES: [Durability; 3] = [Durability::None, Durability::Group, Durability::Each];

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("dcmfast-area-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// Names of all files below, without the journal's, the lock and the marks of who has it.
    fn files(&self) -> Vec<String> {
        fn walk(directory: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, root, found);
                } else {
                    let name = path.strip_prefix(root).expect("below").to_string_lossy();
                    let is_own =
                        [".dcmfast/lock", ".dcmfast/open", ".dcmfast/asked"].contains(&&*name);
                    if !name.starts_with(".dcmfast/journal") && !is_own {
                        found.push(name.into_owned());
                    }
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.0, &self.0, &mut found);
        found.sort();
        found
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Sizes on both sides of the limit between journal and spool.
const SIZES: [usize; 4] = [0, 1000, 60_000, 300_000];

#[test]
fn stored_is_listed_and_identical_in_every_mode_and_size() {
    for mode in MODES {
        let scratch = Scratch::new();
        let listing = Arc::new(MemoryListing::default());
        let area =
            StorageArea::open_with(&scratch.0, listing.clone(), options(mode)).expect("open");
        for (at, pixels) in SIZES.into_iter().enumerate() {
            let stored = store(&area, &format!("1.{at}"), pixels, 7).expect("stored");
            assert_eq!(stored.duplicate, Duplicate::None);
        }
        area.barrier().expect("applied");
        for (at, pixels) in SIZES.into_iter().enumerate() {
            let name = format!("1.{at}");
            let listed = listing.find(&uid(&name)).expect("an answer").expect("listed");
            assert_eq!(listed.location, FileLocation::Own(at as u64 + 1));
            let file = fs::read(area.path_of(&listed.location)).expect("the file");
            assert_eq!(file.len() as u64, listed.file_bytes);
            assert!(file.ends_with(&data_set(CT, &name, pixels, 7)));
            assert_eq!(&file[128..132], b"DICM");
        }
        area.close().expect("closed");
        assert_eq!(scratch.files().len(), SIZES.len(), "no leftovers");
        // Numbers go on after a clean end.
        let area =
            StorageArea::open_with(&scratch.0, listing.clone(), options(mode)).expect("open");
        store(&area, "1.9", 10, 1).expect("stored");
        area.barrier().expect("applied");
        let listed = listing.find(&uid("1.9")).expect("an answer").expect("listed");
        assert_eq!(listed.location, FileLocation::Own(SIZES.len() as u64 + 1));
    }
}

#[test]
fn a_second_server_is_refused() {
    let scratch = Scratch::new();
    let open = || {
        StorageArea::open_with(
            &scratch.0,
            Arc::new(MemoryListing::default()),
            options(Durability::None),
        )
    };
    let area = open().expect("open");
    assert!(matches!(open(), Err(AreaError::InUse(_))));
    drop(area);
    open().expect("free again");
}

#[test]
fn duplicates() {
    for (policy, applied_between) in [
        (DuplicatePolicy::Replace, false),
        (DuplicatePolicy::Replace, true),
        (DuplicatePolicy::Keep, false),
        (DuplicatePolicy::Keep, true),
        (DuplicatePolicy::Reject, false),
        (DuplicatePolicy::Reject, true),
    ] {
        let scratch = Scratch::new();
        let listing = Arc::new(MemoryListing::default());
        let mut options = options(Durability::Group);
        options.duplicates = policy;
        let area = StorageArea::open_with(&scratch.0, listing.clone(), options).expect("open");
        let wait = || {
            if applied_between {
                area.barrier().expect("applied");
            }
        };
        store(&area, "1.1", 100, 1).expect("stored");
        wait();
        let same = store(&area, "1.1", 100, 1).expect("the same again");
        assert_eq!(same.duplicate, Duplicate::Identical);
        wait();
        let other = store(&area, "1.1", 100_000, 2);
        let expected_fill = match (policy, other) {
            (DuplicatePolicy::Replace, Ok(stored)) => {
                assert_eq!(stored.duplicate, Duplicate::Replaced);
                2
            }
            (DuplicatePolicy::Keep, Ok(stored)) => {
                assert_eq!(stored.duplicate, Duplicate::Kept);
                1
            }
            (DuplicatePolicy::Reject, Err(StoreError::DuplicateRejected { .. })) => 1,
            (policy, other) => panic!("{policy:?}: {other:?}"),
        };
        area.barrier().expect("applied");
        let files = scratch.files();
        assert_eq!(files.len(), 1, "{files:?}");
        let bytes = fs::read(scratch.0.join(&files[0])).expect("the file");
        assert_eq!(bytes.last(), Some(&expected_fill));
    }
}

#[test]
fn what_cannot_be_stored_leaves_nothing() {
    let scratch = Scratch::new();
    let listing = Arc::new(MemoryListing::default());
    let area = StorageArea::open_with(&scratch.0, listing.clone(), options(Durability::None))
        .expect("open");
    for pixels in [100, 200_000] {
        let whole = data_set(CT, "1.1", pixels, 0);
        let attempt = |request: &InstanceRequest, data: &[u8]| store_as(&area, request, data);
        let cut = attempt(&request(CT, "1.1"), &whole[..whole.len() - 1]);
        assert!(matches!(cut, Err(StoreError::Scan(_))), "{cut:?}");
        let other = attempt(&request(CT, "1.2"), &whole);
        assert!(matches!(other, Err(StoreError::SopInstanceMismatch(_))), "{other:?}");
        let class = attempt(&request("1.2.840.10008.5.1.4.1.1.4", "1.1"), &whole);
        assert!(matches!(class, Err(StoreError::SopClassMismatch(_))), "{class:?}");
        let find = "1.2.840.10008.5.1.4.1.2.2.1";
        let class = attempt(&request(find, "1.1"), &data_set(find, "1.1", pixels, 0));
        assert!(matches!(class, Err(StoreError::NotAStorageClass(_))), "{class:?}");
        let missing = attempt(&request(CT, "1.1"), &whole[34..]);
        assert!(matches!(missing, Err(StoreError::MissingUid(_))), "{missing:?}");
    }
    assert!(matches!(store_as(&area, &request(CT, "1.1"), b""), Err(StoreError::Empty)));
    // Given up half way.
    let mut receiver = area.begin(&request(CT, "1.1"));
    receiver.append(&[&data_set(CT, "1.1", 200_000, 0)[..150_000]]).expect("so far");
    drop(receiver);
    area.barrier().expect("applied");
    assert_eq!(scratch.files(), [""; 0]);
    assert_eq!(listing.instances(), []);
}
