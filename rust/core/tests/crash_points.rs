//! A process that stops at each crash point of `storage` leaves the old file or the new one, whole,
//! and a part file at most, which the next start removes (PROMISES.md §8.2).
//!
//! The test runs itself again as a child with `DCMFAST_CRASH_AT` set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::storage::crash_point::{CRASH_EXIT_CODE, STORAGE_POINTS};
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{InstanceRequest, Store, StoreError, StoreOptions};
use dcmfast_core::uid::{Uid, UidText};

const CLASS: &[u8] = b"1.2.840.10008.5.1.4.1.1.2";
const AREA: &str = "DCMFAST_TEST_AREA";
const MODE: &str = "DCMFAST_TEST_DURABILITY";

fn data_set(uid: &[u8], fill: u8) -> Vec<u8> {
    let mut out = b"\x08\x00\x16\x00UI\x1a\x00".to_vec();
    out.extend_from_slice(CLASS);
    out.extend_from_slice(b"\0\x08\x00\x18\x00UI\x06\x00");
    out.extend_from_slice(uid);
    out.extend_from_slice(b"\0\xe0\x7f\x10\x00OB\0\0\x00\x10\0\0");
    out.resize(out.len() + 4096, fill);
    out
}

fn store(area: &Path, durability: Durability, uid: &[u8], fill: u8) -> Result<(), StoreError> {
    let mut options = StoreOptions::new(area);
    options.durability = durability;
    let store = Store::open(options)?;
    store.remove_stale_parts()?;
    let mut writer = store.begin(&InstanceRequest {
        sop_class: UidText::new(CLASS).expect("a UID"),
        sop_instance: UidText::new(uid).expect("a UID"),
        transfer_syntax: Uid::known("1.2.840.10008.1.2.1"),
        calling_ae_title: AeTitle::new(b"TEST"),
    });
    writer.append(&[&data_set(uid, fill)])?;
    writer.finish().map(|_| ())
}

/// Not a test of its own: what the child process does.
#[test]
#[ignore = "run by the other test, as a child process"]
fn child() {
    let area = PathBuf::from(std::env::var_os(AREA).expect("set by the parent"));
    let mode = std::env::var(MODE).expect("set by the parent");
    let durability = Durability::from_name(&mode).expect("a durability");
    store(&area, durability, b"1.2.3", 2).expect("stored");
}

fn names(area: &Path) -> Vec<String> {
    let entries = fs::read_dir(area).expect("the area");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn stopping_at_every_point() {
    for mode in ["none", "group", "each"] {
        for has_old in [false, true] {
            for point in STORAGE_POINTS {
                let area = std::env::temp_dir()
                    .join(format!("dcmfast-crash-{}-{mode}-{has_old}-{point}", std::process::id()));
                fs::create_dir_all(&area).expect("an area");
                if has_old {
                    store(&area, Durability::None, b"1.2.3", 1).expect("stored");
                }
                let status = Command::new(std::env::current_exe().expect("this program"))
                    .args(["child", "--exact", "--ignored", "--quiet"])
                    .env(AREA, &area)
                    .env(MODE, mode)
                    .env("DCMFAST_CRASH_AT", point)
                    .status()
                    .expect("a child");
                let passes_point = mode != "none" || point.ends_with("rename");
                let expected = if passes_point { CRASH_EXIT_CODE } else { 0 };
                assert_eq!(status.code(), Some(expected), "{mode} {point}");
                let visible: Vec<String> =
                    names(&area).into_iter().filter(|name| !name.starts_with('.')).collect();
                for name in &visible {
                    let file = fs::read(area.join(name)).expect("the file");
                    let is_whole =
                        [1, 2].iter().any(|fill| file.ends_with(&data_set(b"1.2.3", *fill)));
                    assert!(is_whole, "{mode} {point}: half a file");
                }
                let is_named = has_old
                    || !passes_point
                    || point.starts_with("after_rename")
                    || point == "after_directory_sync";
                assert_eq!(visible.len(), usize::from(is_named), "{mode} {point}");
                // The next start: clean, and the peer's second try succeeds.
                store(&area, Durability::Each, b"1.2.3", 2).expect("stored");
                assert_eq!(names(&area), ["CT.1.2.3"], "{mode} {point}");
                let file = fs::read(area.join("CT.1.2.3")).expect("the file");
                assert!(file.ends_with(&data_set(b"1.2.3", 2)));
                fs::remove_dir_all(&area).expect("removed");
            }
        }
    }
}
