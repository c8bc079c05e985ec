//! The keys of each table; FORMAT.md in code.
//!
//! Every number is big endian, so that the order of keys, which LMDB compares as bytes, is that of
//! the numbers. Every key stays under LMDB's 511 bytes: identities and UIDs by the bounds of
//! `attributes.rs`, secondary keys by cutting (see [`secondary`]).
//!
//! Called by `index::writer` and `index::reader`.

use xxhash_rust::xxh3::xxh3_64;

use super::attributes::Level;
use super::env::Table;
use crate::limits::SECONDARY_KEY_VALUE_BYTES_MAX;
use crate::tag::Tag;

/// Version of the whole format; a change of any key or value raises it. 1 had shorter values, and
/// took other bytes for padding; 2 knew no more parts of a value, and no more SOP classes of a series, than
/// have their own place.
pub const FORMAT_VERSION: u32 = 3;
/// The format since which own files lie in leaves of 64 (`archive::layout`).
pub const LEAVES_OF_64_SINCE: u32 = 3;

/// `meta`: the magic word and the version of the format.
pub const META_FORMAT: &[u8] = b"format";
/// `meta`: totals and the next numbers.
pub const META_COUNTERS: &[u8] = b"counters";
/// `meta`: begins the key of an instance that was looked at before; its SOP Instance UID follows.
const META_REVIEWED: &[u8] = b"reviewed\0";

/// The key in `meta` that says of an instance that it was looked at before.
pub fn reviewed(out: &mut Vec<u8>, sop_instance: &[u8]) {
    out.clear();
    out.extend_from_slice(META_REVIEWED);
    out.extend_from_slice(sop_instance);
}

/// Begins the value of [`META_FORMAT`].
pub const FORMAT_MAGIC: &[u8; 8] = b"dcmfast\0";

/// A patient, study or series: its number in order of arrival, from 1 on; never given twice.
pub type EntityId = u64;

/// An instance: its series and its number in order of arrival in the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InstanceKey {
    /// The series.
    pub series: EntityId,
    /// The instance's number; never given twice.
    pub number: u64,
}

impl InstanceKey {
    /// The key in `instances`, and the value in `uids`.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.series.to_be_bytes());
        bytes[8..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (series, rest) = bytes.split_first_chunk::<8>()?;
        let number = rest.try_into().ok()?;
        Some(Self { series: u64::from_be_bytes(*series), number: u64::from_be_bytes(number) })
    }
}

/// A level in keys.
pub const fn level_byte(level: Level) -> u8 {
    match level {
        Level::Patient => 1,
        Level::Study => 2,
        Level::Series => 3,
        Level::Image => 4,
    }
}

/// The table of a level's records; images have their own keys in [`Table::Instances`].
pub(crate) const fn table_of(level: Level) -> Table {
    match level {
        Level::Patient => Table::Patients,
        Level::Study => Table::Studies,
        Level::Series => Table::Series,
        Level::Image => Table::Instances,
    }
}

/// `identities`: level, Patient ID or UID, NUL, number of the parent (0 for patients).
pub fn identity(out: &mut Vec<u8>, level: Level, value: &[u8], parent: EntityId) {
    identity_prefix(out, level, value);
    out.extend_from_slice(&parent.to_be_bytes());
}

/// What all identities of one value begin with.
pub fn identity_prefix(out: &mut Vec<u8>, level: Level, value: &[u8]) {
    out.clear();
    out.push(level_byte(level));
    if value.len() > IDENTITY_BYTES_MAX {
        // Told apart by a hash, as long secondary keys.
        out.extend_from_slice(&value[..IDENTITY_BYTES_MAX - 8]);
        out.extend_from_slice(&xxh3_64(value).to_be_bytes());
    } else {
        out.extend_from_slice(value);
    }
    out.push(0);
}

/// Longest identity that a key has as it is.
const IDENTITY_BYTES_MAX: usize = 256;

/// `children`: level of the child, parent, child.
pub fn child(level: Level, parent: EntityId, child: EntityId) -> [u8; 17] {
    let mut key = [0; 17];
    key[0] = level_byte(level);
    key[1..9].copy_from_slice(&parent.to_be_bytes());
    key[9..].copy_from_slice(&child.to_be_bytes());
    key
}

/// `ages`: last reception in microseconds, study.
pub fn age(last_reception_us: u64, study: EntityId) -> [u8; 16] {
    InstanceKey { series: last_reception_us, number: study }.to_bytes()
}

/// `variants`: level, entity, 0, hash of the attributes → the numbers of the sets with that hash.
pub fn variant_hash(level: Level, entity: EntityId, attributes: &[u8]) -> [u8; 18] {
    let mut key = [0; 18];
    key[0] = level_byte(level);
    key[1..9].copy_from_slice(&entity.to_be_bytes());
    key[10..].copy_from_slice(&xxh3_64(attributes).to_be_bytes());
    key
}

/// `variants`: level, entity, 1, number of the set → the set.
pub fn variant(level: Level, entity: EntityId, set: u32) -> [u8; 14] {
    let mut key = [0; 14];
    key[0] = level_byte(level);
    key[1..9].copy_from_slice(&entity.to_be_bytes());
    key[9] = 1;
    key[10..].copy_from_slice(&set.to_be_bytes());
    key
}

/// `variants`: series, 2, SOP class → the number of its instances, where the record has no room for it.
pub fn further_class(series: EntityId, sop_class: &[u8]) -> Vec<u8> {
    let mut key = vec![level_byte(Level::Series)];
    key.extend_from_slice(&series.to_be_bytes());
    key.push(2);
    key.extend_from_slice(sop_class);
    key
}

/// `keys`: tag, folded value, NUL, entity. A longer value is cut at
/// [`SECONDARY_KEY_VALUE_BYTES_MAX`] bytes and followed by NUL, hash of the whole folded value, and
/// entity.
pub fn secondary(out: &mut Vec<u8>, tag: Tag, folded: &[u8], entity: EntityId) {
    secondary_exact(out, tag, folded);
    out.extend_from_slice(&entity.to_be_bytes());
}

/// What all secondary keys of one folded value begin with.
pub fn secondary_exact(out: &mut Vec<u8>, tag: Tag, folded: &[u8]) {
    secondary_from(out, tag, folded);
    out.push(0);
    if folded.len() > SECONDARY_KEY_VALUE_BYTES_MAX {
        out.extend_from_slice(&xxh3_64(folded).to_be_bytes());
    }
}

/// What the secondary keys of all folded values that begin with `folded` begin with.
pub fn secondary_from(out: &mut Vec<u8>, tag: Tag, folded: &[u8]) {
    out.clear();
    out.extend_from_slice(&tag.0.to_be_bytes());
    out.extend_from_slice(&folded[..folded.len().min(SECONDARY_KEY_VALUE_BYTES_MAX)]);
}

/// The folded value, cut where it was long, and the entity of a secondary key.
pub fn split_secondary(key: &[u8]) -> Option<(&[u8], EntityId)> {
    let (rest, entity) = key.split_last_chunk::<8>()?;
    let value = rest.get(4..)?;
    let end = value.iter().position(|byte| *byte == 0)?;
    Some((&value[..end], u64::from_be_bytes(*entity)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::attributes::tags;

    /// Each key of FORMAT.md, byte by byte.
    #[test]
    fn layouts() {
        let mut key = Vec::new();
        identity(&mut key, Level::Study, b"1.2", 7);
        assert_eq!(key, b"\x021.2\0\0\0\0\0\0\0\0\x07");
        assert_eq!(child(Level::Series, 1, 2), *b"\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02");
        assert_eq!(age(1, 2), *b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02");
        assert_eq!(variant(Level::Patient, 1, 2), *b"\x01\0\0\0\0\0\0\0\x01\x01\0\0\0\x02");
        // XXH3-64 of no bytes, from its specification.
        assert_eq!(
            variant_hash(Level::Patient, 1, b""),
            *b"\x01\0\0\0\0\0\0\0\x01\0\x2d\x06\x80\x05\x38\xd3\x94\xc2"
        );
        secondary(&mut key, tags::PATIENT_ID, b"4711", 3);
        assert_eq!(key, b"\0\x10\0\x204711\0\0\0\0\0\0\0\0\x03");
        assert_eq!(split_secondary(&key), Some((&b"4711"[..], 3)));
    }

    /// Identities that are too long for a key are told apart by all of their bytes (FORMAT.md,
    /// `identities`).
    #[test]
    fn long_identities() {
        let key = |value: &[u8]| {
            let mut key = Vec::new();
            identity(&mut key, Level::Patient, value, 1);
            key
        };
        let longest = [b'x'; IDENTITY_BYTES_MAX];
        assert_eq!(key(&longest).len(), 1 + IDENTITY_BYTES_MAX + 1 + 8);
        let [one, other] = [b"1", b"2"].map(|end| key(&[&longest[..], end].concat()));
        assert_eq!(one.len(), key(&longest).len());
        assert_ne!(one, other);
    }

    /// Values of the largest size give keys that LMDB takes.
    #[test]
    fn no_key_is_too_long() {
        let long = [b'x'; 2000];
        let mut key = Vec::new();
        identity(&mut key, Level::Patient, &long, 1);
        assert!(key.len() <= 511, "{}", key.len());
        secondary(&mut key, tags::PATIENT_NAME, &long, 1);
        assert!(key.len() <= 511, "{}", key.len());
        assert_eq!(split_secondary(&key).unwrap().1, 1);
    }

    proptest! {
        /// Keys sort as their values do, the entities of one value in order of arrival.
        #[test]
        fn keys_keep_the_order(
            a in proptest::collection::vec(1u8..255, 0..300), b in proptest::collection::vec(1u8..255, 0..300),
            x in any::<u64>(), y in any::<u64>(),
        ) {
            let (mut one, mut two) = (Vec::new(), Vec::new());
            secondary(&mut one, tags::PATIENT_ID, &a, x);
            secondary(&mut two, tags::PATIENT_ID, &b, y);
            let cut = |value: &[u8]| value[..value.len().min(SECONDARY_KEY_VALUE_BYTES_MAX)].to_vec();
            if cut(&a) != cut(&b) {
                prop_assert_eq!(one.cmp(&two), cut(&a).cmp(&cut(&b)));
            } else if a == b {
                prop_assert_eq!(one.cmp(&two), x.cmp(&y));
            }
            let (value, entity) = split_secondary(&one).unwrap();
            prop_assert_eq!((value.to_vec(), entity), (cut(&a), x));
        }
    }
}
