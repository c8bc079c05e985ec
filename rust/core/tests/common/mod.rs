//! What several tests of the index need: a directory that goes with the test, and entries.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::index::attributes::tags;
use dcmfast_core::index::{Attributes, FileLocation, InstanceEntry};
use dcmfast_core::uid::UidText;

/// A directory of its own, deleted when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it; `name` is for people who look at a failed test.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{name}-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("there") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("a type").is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).expect("copied");
        }
    }
}

/// An entry with the unique keys given and nothing else.
pub fn entry_of(instance: &str, patient: &str, study: &str, series: &str) -> InstanceEntry {
    let mut attributes = Attributes::new();
    attributes.set(tags::PATIENT_ID, patient.as_bytes());
    attributes.set(tags::STUDY_INSTANCE_UID, study.as_bytes());
    attributes.set(tags::SERIES_INSTANCE_UID, series.as_bytes());
    InstanceEntry {
        attributes,
        sop_class: UidText::new(b"1.2.840.10008.5.1.4.1.1.2").unwrap(),
        sop_instance: UidText::new(instance.as_bytes()).unwrap(),
        transfer_syntax: UidText::new(b"1.2.840.10008.1.2.1").unwrap(),
        location: FileLocation::Own(0),
        file_bytes: 1000,
        data_set_offset: 340,
        digest: 0xDD,
        received_at_us: 1,
        source_ae: AeTitle::new(b"CT1"),
    }
}
