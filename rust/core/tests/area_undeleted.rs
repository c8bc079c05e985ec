//! A file that is off the list and cannot be deleted: it stays off, and is deleted as soon as that is
//! possible.

mod area_kit;
mod common;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use area_kit::{CT, data_set_of, options, request, store, store_as, uid};
use common::Scratch;
use dcmfast_core::archive::area::{AreaOptions, Quota, StorageArea};
use dcmfast_core::archive::background::BackgroundCheck;
use dcmfast_core::archive::indexed::OpenArea;
use dcmfast_core::archive::layout;
use dcmfast_core::archive::listing::MemoryListing;
use dcmfast_core::archive::rebuild::{RebuildOptions, rebuild};
use dcmfast_core::archive::verify::{Finding, VerifyOptions, verify};
use dcmfast_core::storage::backend::tree::memory::MemoryTree;
use dcmfast_core::storage::backend::tree::{Access, Tree, TreeFile};
use dcmfast_core::storage::durability::Durability;

const UID: &str = "1.7";

/// A tree whose objects cannot be deleted for a while.
struct Sticky {
    inner: MemoryTree,
    is_stuck: AtomicBool,
}

impl Tree for Sticky {
    fn path_of(&self, name: &str) -> PathBuf {
        self.inner.path_of(name)
    }
    fn make_directory(&self, name: &str, access: Access) -> io::Result<()> {
        self.inner.make_directory(name, access)
    }
    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        self.inner.names(directory)
    }
    fn create(&self, name: &str, access: Access) -> io::Result<Box<dyn TreeFile>> {
        self.inner.create(name, access)
    }
    fn open(&self, name: &str, is_writable: bool) -> io::Result<Box<dyn TreeFile>> {
        self.inner.open(name, is_writable)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        if name.starts_with(layout::OBJECTS) && self.is_stuck.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        self.inner.remove(name)
    }
    fn sync_directory(&self, name: &str) -> io::Result<()> {
        self.inner.sync_directory(name)
    }
    fn sync_everything(&self) -> io::Result<()> {
        self.inner.sync_everything()
    }
    fn syncs_names_with_contents(&self) -> bool {
        self.inner.syncs_names_with_contents()
    }
    fn file_system_of(&self, directory: &str) -> io::Result<u64> {
        self.inner.file_system_of(directory)
    }
    fn shares_syncs(&self, directory: &str, other: &str) -> bool {
        self.inner.shares_syncs(directory, other)
    }
}

/// It is noted over the life of the process, tried again, and forgotten when it is done.
#[test]
fn it_is_tried_again_in_the_next_life() {
    let disk = MemoryTree::new(true);
    let tree = Arc::new(Sticky { inner: disk.clone(), is_stuck: AtomicBool::new(true) });
    let listing = Arc::new(MemoryListing::default());
    let open = || {
        let (tree, known) = (Arc::clone(&tree) as Arc<_>, Arc::clone(&listing) as Arc<_>);
        StorageArea::with_parts(tree, known, options(Durability::Group), None).expect("opens")
    };
    let area = open();
    for fill in 1..=3 {
        store(&area, UID, 1_000, fill).expect("stored");
    }
    area.close().expect("closes");
    assert_eq!(disk.below(layout::OBJECTS).len(), 3);
    assert!(disk.read(layout::UNDELETED).is_some());
    let area = open();
    area.close().expect("closes");
    assert_eq!(disk.below(layout::OBJECTS).len(), 3);
    // The note survives a power cut as the removal does.
    assert!(disk.after_power_cut(&mut |_| 0).read(layout::UNDELETED).is_some());
    tree.is_stuck.store(false, Ordering::SeqCst);
    let area = open();
    area.close().expect("closes");
    assert_eq!(disk.below(layout::OBJECTS).len(), 1);
    assert_eq!(disk.read(layout::UNDELETED), None);
}

/// An area whose quota has taken the first study off the list; its one file is there. For the time of
/// its deletion a directory stood in its place, which cannot be deleted as a file.
fn area_with_an_evicted_file(scratch: &Scratch) -> PathBuf {
    let directory = scratch.path().join("area");
    fs::create_dir(&directory).expect("made");
    let quota = Some(Quota { studies_max: 1, bytes_per_study_max: 1 << 20 });
    let options = AreaOptions { quota, ..options(Durability::None) };
    let open = OpenArea::open(&directory, options).expect("opens");
    let (file, kept) = (directory.join(layout::own_file(1)), scratch.path().join("kept"));
    let send = |study, uid| {
        let data_set = data_set_of(CT, study, uid, 1_000, 1);
        store_as(&open.area, &request(CT, uid), &data_set).expect("stored");
        open.area.barrier().expect("applied");
    };
    send("1.1", UID);
    fs::rename(&file, &kept).expect("moved");
    fs::create_dir(&file).expect("made");
    send("1.2", "1.8");
    open.area.close().expect("closes");
    fs::remove_dir(&file).expect("removed");
    fs::rename(&kept, &file).expect("back");
    assert!(directory.join(layout::UNDELETED).exists(), "nothing was noted");
    directory
}

/// No comparison and no rebuild lists it, whoever comes first, and the next life deletes it.
#[test]
fn it_is_not_listed_again() {
    for way in ["repair", "background", "rebuild"] {
        let scratch = Scratch::new("undeleted");
        let directory = area_with_an_evicted_file(&scratch);
        let logger = options(Durability::None).logger;
        let mut verifying = VerifyOptions::new(Arc::clone(&logger));
        let mut found = Vec::new();
        let mut show = |finding: &Finding| found.push(finding.problem.name());
        verify(&directory, &verifying, &mut show, &mut |_| true).expect("verified");
        assert_eq!(found, ["undeleted"]);
        match way {
            "repair" => {
                verifying.repairs = true;
                verify(&directory, &verifying, &mut |_| {}, &mut |_| true).expect("verified");
            }
            "rebuild" => {
                let options = RebuildOptions::new(logger);
                rebuild(&directory, &options, &mut |_| {}, &mut |_| true).expect("rebuilt");
            }
            _ => fs::write(directory.join(layout::OPEN), b"").expect("marked"),
        }
        let open = OpenArea::open(&directory, options(Durability::None)).expect("opens");
        if way == "background" {
            BackgroundCheck::start(&open, &directory).wait();
        }
        let reader = open.index.read().expect("a reader");
        assert!(reader.instance_of(uid(UID).as_bytes()).expect("read").is_none(), "{way}");
        assert!(reader.instance_of(uid("1.8").as_bytes()).expect("read").is_some(), "{way}");
        drop(reader);
        open.area.close().expect("closes");
        assert!(!directory.join(layout::own_file(1)).exists(), "{way}");
        assert!(!directory.join(layout::UNDELETED).exists(), "{way}");
    }
}
