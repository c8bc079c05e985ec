//! What the journal's records of a storage area mean.
//!
//! All numbers are big-endian; an entry is that of `index::entry`, whose own number is not looked
//! at: a stored object's number is that of its record.
//!
//! ```text
//! store      0  1  kind 1
//!            1  7  spool number, or all ones: the file is in the record
//!            8  4  bytes of the file in the record (0 when it is in the spool)
//!           12  n  file, then: 1 when an instance is replaced, and its location, or 0; then the entry
//! remove     0  1  kind 2
//!               n  for each instance: 1 + its UID, its location
//! list       0  1  kind 3
//!               n  an entry with its location: a file that is where it is
//! ```
//!
//! Called by `archive::{area, recover}`.

use std::ops::Range;
use std::sync::Arc;

use crate::index::entry::{put_text, take, take_array, take_uid};
use crate::index::{EntryError, FileLocation, InstanceEntry};
use crate::storage::journal::frame::RECORD_HEADER_BYTES;
use crate::uid::UidText;

/// Room before a file in a record: framing, kind, spool number and length.
pub const FILE_AT: usize = RECORD_HEADER_BYTES + 12;

const STORE: u8 = 1;
const REMOVE: u8 = 2;
const LIST: u8 = 3;
/// In the place of a spool number.
const NO_SPOOL: u64 = (1 << 56) - 1;

/// A listed instance, by UID and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its SOP Instance UID.
    pub sop_instance: UidText,
    /// Where its file is.
    pub location: FileLocation,
}

/// A record, as it is handed on after it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An object came.
    Store(Box<StoreChange>),
    /// Instances go, with their files.
    Remove(Vec<Listed>),
    /// A file that is where it is becomes listed.
    List(Arc<InstanceEntry>),
}

/// An object that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreChange {
    /// What the index is told; the location is set when the number is known.
    pub entry: Arc<InstanceEntry>,
    /// Where the file is until it has its name.
    pub source: FileSource,
    /// What it takes the place of.
    pub replaced: Option<FileLocation>,
}

/// Where an object's bytes are until its file has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSource {
    /// In the record, at these places.
    Record(Range<usize>),
    /// In this spool file.
    Spool(u64),
}

/// Begins the record of a store in an empty buffer: what stands before the file is filled in at the end.
pub fn begin_store(record: &mut Vec<u8>) {
    record.resize(FILE_AT, 0);
}

/// Completes a record whose file, if any, is in `record` already.
pub fn finish_store(record: &mut Vec<u8>, change: &StoreChange) {
    let (spool, file_bytes) = match &change.source {
        FileSource::Record(range) => (NO_SPOOL, range.len() as u32),
        FileSource::Spool(number) => (*number, 0),
    };
    let head = u64::from(STORE) << 56 | (spool & NO_SPOOL);
    record[RECORD_HEADER_BYTES..][..8].copy_from_slice(&head.to_be_bytes());
    record[RECORD_HEADER_BYTES + 8..][..4].copy_from_slice(&file_bytes.to_be_bytes());
    match &change.replaced {
        Some(location) => {
            record.push(1);
            location.encode(record);
        }
        None => record.push(0),
    }
    change.entry.encode(record);
}

/// The record of a change other than a store.
pub fn encode(change: &Change) -> Vec<u8> {
    let mut record = vec![0; RECORD_HEADER_BYTES];
    match change {
        Change::Store(change) => {
            record.resize(FILE_AT, 0);
            finish_store(&mut record, change);
        }
        Change::Remove(listed) => {
            record.push(REMOVE);
            for Listed { sop_instance, location } in listed {
                put_text(&mut record, sop_instance.as_bytes());
                location.encode(&mut record);
            }
        }
        Change::List(entry) => {
            record.push(LIST);
            entry.encode(&mut record);
        }
    }
    record
}

/// The change in the payload of record `sequence`; ranges count from the start of the payload.
pub fn decode(sequence: u64, payload: &[u8]) -> Result<Change, EntryError> {
    let (&kind, mut rest) = payload.split_first().ok_or(EntryError::Truncated)?;
    let input = &mut rest;
    match kind {
        STORE => {
            let mut number = [0; 8];
            number[1..].copy_from_slice(take(input, 7)?);
            let spool = u64::from_be_bytes(number);
            let file_bytes = u32::from_be_bytes(take_array(input)?) as usize;
            take(input, file_bytes)?;
            let at = FILE_AT - RECORD_HEADER_BYTES;
            let source = if spool == NO_SPOOL {
                FileSource::Record(at..at + file_bytes)
            } else {
                FileSource::Spool(spool)
            };
            let [is_replacing] = take_array(input)?;
            let replaced = match is_replacing {
                0 => None,
                _ => Some(FileLocation::decode(input)?),
            };
            let mut entry = InstanceEntry::decode(input)?;
            entry.location = FileLocation::Own(sequence);
            Ok(Change::Store(Box::new(StoreChange { entry: Arc::new(entry), source, replaced })))
        }
        REMOVE => {
            let mut listed = Vec::new();
            while !input.is_empty() {
                let sop_instance = take_uid(input)?;
                let location = FileLocation::decode(input)?;
                listed.push(Listed { sop_instance, location });
            }
            Ok(Change::Remove(listed))
        }
        LIST => Ok(Change::List(Arc::new(InstanceEntry::decode(input)?))),
        _ => Err(EntryError::Malformed),
    }
}
