//! Objects to store in an area, and the area's options.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::archive::area::{AreaOptions, StorageArea};
use dcmfast_core::archive::layout;
use dcmfast_core::archive::listing::MemoryListing;
use dcmfast_core::index::FileLocation;
use dcmfast_core::log::{Level, Logger, NoSink};
use dcmfast_core::storage::backend::tree::memory::MemoryTree;
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{
    DuplicatePolicy, InstanceRequest, StoreError, StoreMode, Stored,
};
use dcmfast_core::uid::{Uid, UidText};

pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub const STUDY: &str = "1.2.3.4";

pub fn options(durability: Durability) -> AreaOptions {
    AreaOptions {
        durability,
        duplicates: DuplicatePolicy::Replace,
        quota: None,
        mode: StoreMode::Normal,
        encoding: None,
        has_file_meta: true,
        logger: Arc::new(Logger::new(Level::Off, Arc::new(NoSink))),
    }
}

fn element(tag: [u8; 4], vr: [u8; 2], value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(0);
    }
    let mut out = tag.to_vec();
    out.extend_from_slice(&vr);
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(&value);
    out
}

pub fn data_set_of(
    class: &str,
    study: &str,
    instance: &str,
    pixel_bytes: usize,
    fill: u8,
) -> Vec<u8> {
    let mut out = element([8, 0, 0x16, 0], *b"UI", class.as_bytes());
    out.extend(element([8, 0, 0x18, 0], *b"UI", instance.as_bytes()));
    out.extend(element([0x20, 0, 0x0d, 0], *b"UI", study.as_bytes()));
    out.extend_from_slice(b"\xe0\x7f\x10\x00OB\0\0");
    out.extend_from_slice(&(pixel_bytes as u32).to_le_bytes());
    out.resize(out.len() + pixel_bytes, fill);
    out
}

pub fn data_set(class: &str, instance: &str, pixel_bytes: usize, fill: u8) -> Vec<u8> {
    data_set_of(class, STUDY, instance, pixel_bytes, fill)
}

pub fn request(class: &str, instance: &str) -> InstanceRequest {
    InstanceRequest {
        sop_class: uid(class),
        sop_instance: uid(instance),
        transfer_syntax: Uid::known("1.2.840.10008.1.2.1"),
        calling_ae_title: AeTitle::new(b"TEST"),
    }
}

pub fn store_as(
    area: &Arc<StorageArea>,
    request: &InstanceRequest,
    data_set: &[u8],
) -> Result<Stored, StoreError> {
    let mut receiver = area.begin(request);
    for piece in data_set.chunks(20_000) {
        let (one, other) = piece.split_at(piece.len() / 3);
        receiver.append(&[one, other])?;
    }
    receiver.finish()
}

pub fn store(
    area: &Arc<StorageArea>,
    uid: &str,
    pixel_bytes: usize,
    fill: u8,
) -> Result<Stored, StoreError> {
    store_as(area, &request(CT, uid), &data_set(CT, uid, pixel_bytes, fill))
}

pub fn uid(text: &str) -> UidText {
    UidText::new(text.as_bytes()).expect("a UID")
}

/// What was sent and what was acknowledged: the truth that an area is held against.
#[derive(Default, Clone)]
pub struct Ledger {
    /// Every data set sent under a UID since the last that was acknowledged, that one included.
    sent: BTreeMap<String, Vec<Vec<u8>>>,
    acknowledged: BTreeSet<String>,
}

impl Ledger {
    /// An instance is about to be sent.
    pub fn sent(&mut self, uid: &str, data_set: Vec<u8>) {
        self.sent.entry(uid.to_owned()).or_default().push(data_set);
    }

    /// The last one sent was acknowledged: those before can be there no more.
    pub fn acknowledged(&mut self, uid: &str) {
        self.acknowledged.insert(uid.to_owned());
        if let Some(sent) = self.sent.get_mut(uid) {
            sent.drain(..sent.len() - 1);
        }
    }

    /// Acknowledged ⊆ listed = identical; and nothing is listed that was not sent whole.
    pub fn check(&self, listing: &MemoryListing, tree: &MemoryTree, situation: &str) {
        let listed: BTreeMap<String, _> = listing
            .instances()
            .into_iter()
            .map(|(uid, listed)| (String::from_utf8_lossy(uid.as_bytes()).into_owned(), listed))
            .collect();
        for uid in &self.acknowledged {
            assert!(listed.contains_key(uid), "{situation}: {uid} is not listed");
        }
        for (uid, listed) in &listed {
            let FileLocation::Own(number) = listed.location else {
                panic!("{situation}: {uid} is listed elsewhere")
            };
            let Some(file) = tree.read(&layout::own_file(number)) else {
                panic!("{situation}: {uid} is listed, but file {number} is not there")
            };
            assert_eq!(file.len() as u64, listed.file_bytes, "{situation}: {uid}");
            let is_one = self.sent.get(uid).is_some_and(|sent| {
                sent.iter().any(|data_set| file.ends_with(data_set) && file[128..132] == *b"DICM")
            });
            assert!(is_one, "{situation}: {uid} has another content");
        }
    }

    /// After an undisturbed end: what is in the tree is what is listed.
    pub fn check_no_leftovers(listing: &MemoryListing, tree: &MemoryTree, situation: &str) {
        let count = tree.below(layout::OBJECTS).len();
        assert_eq!(count, listing.instances().len(), "{situation}: files of no use");
        assert_eq!(tree.below(layout::SPOOL), [""; 0], "{situation}");
    }
}
