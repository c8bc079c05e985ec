//! The values of the tables that hold patients, studies, series, instances and variants.
//!
//! FORMAT.md gives each byte by byte. A record is a fixed head and, at its end, the attributes; what
//! is read borrows LMDB's page and is decoded field by field, when asked for.
//!
//! Called by `index::writer`, which encodes and changes them, and by `index::reader` and the
//! queries, which look.

use super::attributes::Level;
use super::entry::{FileLocation, InstanceEntry, put_text, take_array, take_text, take_uid};
use super::schema::{EntityId, InstanceKey};
use crate::ae_title::AeTitle;
use crate::dataset::attributes::AttributesRef;
use crate::limits::SOP_CLASSES_PER_SERIES_MAX;
use crate::tag::{SOP_CLASS_UID, SOP_INSTANCE_UID};
use crate::uid::UidText;

/// First byte of every record.
const VERSION: u8 = 1;
/// Bytes of an entity before the SOP classes and attributes.
const ENTITY_HEAD_BYTES: usize = 87;
/// Bytes of a variant before the attributes.
const VARIANT_HEAD_BYTES: usize = 25;
/// Bytes of an instance before the texts.
const INSTANCE_HEAD_BYTES: usize = 49;

/// `N` bytes of a head. Every caller's range lies within it.
fn field<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
    head.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

fn key_at(head: &[u8], at: usize) -> InstanceKey {
    InstanceKey {
        series: u64::from_be_bytes(field(head, at)),
        number: u64::from_be_bytes(field(head, at + 8)),
    }
}

/// A patient, study or series as stored.
#[derive(Clone, Copy, Debug)]
pub struct EntityRecord<'t> {
    level: Level,
    id: EntityId,
    head: &'t [u8; ENTITY_HEAD_BYTES],
    classes: &'t [u8],
    attributes: AttributesRef<'t>,
}

impl<'t> EntityRecord<'t> {
    /// The record in `bytes`; `None` when it is damaged.
    pub(crate) fn new(level: Level, id: EntityId, bytes: &'t [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<ENTITY_HEAD_BYTES>()?;
        if head[0] != VERSION {
            return None;
        }
        let class_bytes = usize::from(u16::from_be_bytes(field(head, 85)));
        let (classes, attributes) = rest.split_at_checked(class_bytes)?;
        Some(Self { level, id, head, classes, attributes: AttributesRef::trusted(attributes) })
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(field(self.head, at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(field(self.head, at))
    }

    /// Its level.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Its number.
    pub const fn id(&self) -> EntityId {
        self.id
    }

    /// The patient of a study, the study of a series; 0 for a patient.
    pub fn parent(&self) -> EntityId {
        self.u64(1)
    }

    /// Bytes of the files of all its instances.
    pub fn file_bytes(&self) -> u64 {
        self.u64(9)
    }

    /// When its latest instance came, in microseconds since 1970.
    pub fn last_reception_us(&self) -> u64 {
        self.u64(17)
    }

    /// Its instances.
    pub fn instance_count(&self) -> u64 {
        self.u64(25)
    }

    /// Series of a patient or study; 0 for a series.
    pub fn series_count(&self) -> u64 {
        self.u64(33)
    }

    /// Studies of a patient; else 0.
    pub fn study_count(&self) -> u64 {
        self.u64(41)
    }

    /// One above the highest number that a set of it ever had.
    pub fn next_set(&self) -> u32 {
        self.u32(49)
    }

    /// True when not all instances agree in the attributes of this level:
    /// [`Reader::variants`](super::Reader::variants) has the others.
    pub fn has_variants(&self) -> bool {
        self.u32(53) > 0
    }

    /// The set of values that the entity answers with: the oldest one that has instances.
    pub fn primary(&self) -> AttributeSet<'t> {
        AttributeSet {
            number: self.u32(57),
            instance_count: self.u64(61),
            first_instance: key_at(self.head, 69),
            attributes: self.attributes,
        }
    }

    /// The values of [`primary`](Self::primary): the attributes of this level, for a study also
    /// those of the patient, and the Specific Character Set that they are written in.
    pub const fn attributes(&self) -> AttributesRef<'t> {
        self.attributes
    }

    /// The first SOP classes of a series' instances, with the number of instances of each. Those beyond
    /// `SOP_CLASSES_PER_SERIES_MAX` stand in `variants`: [`Reader::sop_classes`](super::Reader::sop_classes).
    pub fn sop_classes(&self) -> impl Iterator<Item = (&'t [u8], u64)> + use<'t> {
        let mut rest = self.classes;
        core::iter::from_fn(move || take_class(&mut rest))
    }
}

fn take_class<'t>(rest: &mut &'t [u8]) -> Option<(&'t [u8], u64)> {
    let uid = take_text(rest).ok()?;
    Some((uid, u64::from_be_bytes(take_array(rest).ok()?)))
}

/// One set of values that instances of an entity agree in.
#[derive(Clone, Copy, Debug)]
pub struct AttributeSet<'t> {
    /// Its number within the entity, in order of arrival.
    pub number: u32,
    /// Instances that have these values.
    pub instance_count: u64,
    /// The first instance that had them. It may have been removed since.
    pub first_instance: InstanceKey,
    /// The values, as in [`EntityRecord::attributes`].
    pub attributes: AttributesRef<'t>,
}

impl<'t> AttributeSet<'t> {
    /// The variant in `bytes`; `None` when it is damaged.
    pub(crate) fn new(number: u32, bytes: &'t [u8]) -> Option<Self> {
        let (head, attributes) = bytes.split_first_chunk::<VARIANT_HEAD_BYTES>()?;
        (head[0] == VERSION).then(|| Self {
            number,
            instance_count: u64::from_be_bytes(field(head, 1)),
            first_instance: key_at(head, 9),
            attributes: AttributesRef::trusted(attributes),
        })
    }

    /// Appends the variant's value.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.instance_count.to_be_bytes());
        out.extend_from_slice(&self.first_instance.to_bytes());
        out.extend_from_slice(self.attributes.as_bytes());
    }
}

/// Which set of each level an instance belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetNumbers {
    /// Of its patient.
    pub patient: u32,
    /// Of its study.
    pub study: u32,
    /// Of its series.
    pub series: u32,
}

/// An instance as stored.
#[derive(Clone, Copy, Debug)]
pub struct InstanceRecord<'t> {
    key: InstanceKey,
    head: &'t [u8; INSTANCE_HEAD_BYTES],
    transfer_syntax: UidText,
    source_ae: AeTitle,
    location: &'t [u8],
    attributes: AttributesRef<'t>,
}

impl<'t> InstanceRecord<'t> {
    /// The record in `bytes`; `None` when it is damaged.
    pub(crate) fn new(key: InstanceKey, bytes: &'t [u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_first_chunk::<INSTANCE_HEAD_BYTES>()?;
        if head[0] != VERSION {
            return None;
        }
        let transfer_syntax = take_uid(&mut rest).ok()?;
        let source_ae = AeTitle::new(take_text(&mut rest).ok()?);
        let location = rest;
        FileLocation::skip(&mut rest).ok()?;
        let location = &location[..location.len() - rest.len()];
        let attributes = AttributesRef::trusted(rest);
        Some(Self { key, head, transfer_syntax, source_ae, location, attributes })
    }

    /// Its place in the order of arrival.
    pub const fn key(&self) -> InstanceKey {
        self.key
    }

    /// The sets of values that it has at the levels above.
    pub fn sets(&self) -> SetNumbers {
        SetNumbers {
            study: u32::from_be_bytes(field(self.head, 1)),
            patient: u32::from_be_bytes(field(self.head, 5)),
            series: u32::from_be_bytes(field(self.head, 9)),
        }
    }

    /// Size of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        u64::from_be_bytes(field(self.head, 13))
    }

    /// When it was received, in microseconds since 1970.
    pub fn received_at_us(&self) -> u64 {
        u64::from_be_bytes(field(self.head, 21))
    }

    /// Where the data set begins in the file.
    pub fn data_set_offset(&self) -> u32 {
        u32::from_be_bytes(field(self.head, 29))
    }

    /// XXH3-128 of the data set's bytes.
    pub fn digest(&self) -> u128 {
        u128::from_be_bytes(field(self.head, 33))
    }

    /// Transfer syntax of the file.
    pub const fn transfer_syntax(&self) -> UidText {
        self.transfer_syntax
    }

    /// AE title of the sender.
    pub const fn source_ae(&self) -> AeTitle {
        self.source_ae
    }

    /// Where the file is.
    pub fn location(&self) -> FileLocation {
        FileLocation::decode(&mut &*self.location).unwrap_or(FileLocation::Relative(String::new()))
    }

    /// SOP Class UID.
    pub fn sop_class(&self) -> &'t [u8] {
        self.attributes.value(SOP_CLASS_UID)
    }

    /// SOP Instance UID.
    pub fn sop_instance(&self) -> &'t [u8] {
        self.attributes.value(SOP_INSTANCE_UID)
    }

    /// The attributes of level Image, SOP Class and Instance UID and Specific Character Set among
    /// them.
    pub const fn attributes(&self) -> AttributesRef<'t> {
        self.attributes
    }
}

/// Appends the record of an instance; `attributes` are those of level Image.
pub(crate) fn encode_instance(
    out: &mut Vec<u8>,
    entry: &InstanceEntry,
    sets: SetNumbers,
    attributes: &[u8],
) {
    out.push(VERSION);
    for set in [sets.study, sets.patient, sets.series] {
        out.extend_from_slice(&set.to_be_bytes());
    }
    out.extend_from_slice(&entry.file_bytes.to_be_bytes());
    out.extend_from_slice(&entry.received_at_us.to_be_bytes());
    out.extend_from_slice(&entry.data_set_offset.to_be_bytes());
    out.extend_from_slice(&entry.digest.to_be_bytes());
    put_text(out, entry.transfer_syntax.as_bytes());
    put_text(out, entry.source_ae.as_bytes());
    entry.location.encode(out);
    out.extend_from_slice(attributes);
}

/// A patient, study or series while a batch changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entity {
    pub parent: EntityId,
    pub file_bytes: u64,
    pub last_reception_us: u64,
    pub instances: u64,
    pub series: u64,
    pub studies: u64,
    pub next_set: u32,
    pub other_sets: u32,
    pub primary_set: u32,
    pub primary_instances: u64,
    pub primary_first: InstanceKey,
    pub classes: Vec<(UidText, u64)>,
    pub attributes: Vec<u8>,
}

impl Entity {
    /// The entity of a record.
    pub fn from_record(record: &EntityRecord<'_>) -> Option<Self> {
        let primary = record.primary();
        let mut classes = Vec::new();
        for (uid, count) in record.sop_classes() {
            classes.push((UidText::new(uid)?, count));
        }
        Some(Self {
            parent: record.parent(),
            file_bytes: record.file_bytes(),
            last_reception_us: record.last_reception_us(),
            instances: record.instance_count(),
            series: record.series_count(),
            studies: record.study_count(),
            next_set: record.u32(49),
            other_sets: record.u32(53),
            primary_set: primary.number,
            primary_instances: primary.instance_count,
            primary_first: primary.first_instance,
            classes,
            attributes: record.attributes().as_bytes().to_vec(),
        })
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let numbers = [
            self.parent,
            self.file_bytes,
            self.last_reception_us,
            self.instances,
            self.series,
            self.studies,
        ];
        for number in numbers {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for number in [self.next_set, self.other_sets, self.primary_set] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.primary_instances.to_be_bytes());
        out.extend_from_slice(&self.primary_first.to_bytes());
        let class_bytes: usize =
            self.classes.iter().map(|(uid, _)| 1 + uid.as_bytes().len() + 8).sum();
        out.extend_from_slice(&(class_bytes as u16).to_be_bytes());
        for (uid, count) in &self.classes {
            put_text(out, uid.as_bytes());
            out.extend_from_slice(&count.to_be_bytes());
        }
        out.extend_from_slice(&self.attributes);
    }

    /// Counts an instance of a SOP class; false where the class has no room here.
    pub fn add_class(&mut self, uid: UidText) -> bool {
        if let Some((_, count)) = self.classes.iter_mut().find(|(known, _)| *known == uid) {
            *count += 1;
        } else if self.classes.len() < SOP_CLASSES_PER_SERIES_MAX {
            self.classes.push((uid, 1));
        } else {
            return false;
        }
        true
    }

    /// Counts one less; false where the class is not counted here. With its last instance it goes.
    pub fn remove_class(&mut self, uid: UidText) -> bool {
        let Some((_, count)) = self.classes.iter_mut().find(|(known, _)| *known == uid) else {
            return false;
        };
        *count = count.saturating_sub(1);
        self.classes.retain(|(_, count)| *count > 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::attributes::Attributes;
    use crate::index::attributes::tags;

    /// FORMAT.md, "patients, studies, series", byte by byte; what is written is read.
    #[test]
    fn entity_layout() {
        let mut attributes = Attributes::new();
        attributes.set(tags::PATIENT_ID, b"4711");
        let entity = Entity {
            parent: 1,
            file_bytes: 2,
            last_reception_us: 3,
            instances: 4,
            series: 5,
            studies: 6,
            next_set: 7,
            other_sets: 8,
            primary_set: 9,
            primary_instances: 10,
            primary_first: InstanceKey { series: 11, number: 12 },
            classes: vec![(UidText::new(b"1.2").unwrap(), 13)],
            attributes: attributes.as_ref().as_bytes().to_vec(),
        };
        let mut bytes = Vec::new();
        entity.encode(&mut bytes);
        let expected = [
            &b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04"[..],
            b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\x07\0\0\0\x08\0\0\0\x09",
            b"\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x0c\0\x0c",
            b"\x031.2\0\0\0\0\0\0\0\x0d\0\x10\0\x20\0\x044711",
        ]
        .concat();
        assert_eq!(bytes, expected);
        let record = EntityRecord::new(Level::Study, 1, &bytes).unwrap();
        assert_eq!(Entity::from_record(&record), Some(entity));
        assert_eq!(record.attributes().get(tags::PATIENT_ID), Some(&b"4711"[..]));
        for length in 0..ENTITY_HEAD_BYTES + 12 {
            assert!(EntityRecord::new(Level::Study, 1, &bytes[..length]).is_none(), "{length}");
        }
        bytes[0] = 2;
        assert!(EntityRecord::new(Level::Study, 1, &bytes).is_none());
    }

    /// FORMAT.md, "instances", byte by byte.
    #[test]
    fn instance_layout() {
        let entry = InstanceEntry {
            attributes: Attributes::new(),
            sop_class: UidText::new(b"1.2").unwrap(),
            sop_instance: UidText::new(b"1.3").unwrap(),
            transfer_syntax: UidText::new(b"1.4").unwrap(),
            location: FileLocation::Relative("a".into()),
            file_bytes: 4,
            data_set_offset: 6,
            digest: 7,
            received_at_us: 5,
            source_ae: AeTitle::new(b"CT"),
        };
        let mut bytes = Vec::new();
        let sets = SetNumbers { study: 1, patient: 2, series: 3 };
        encode_instance(&mut bytes, &entry, sets, b"\0\x08\0\x18\0\x031.3");
        let expected = [
            &b"\x01\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\x06"[..],
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\x031.4\x02CT\x02\0\x01a\0\x08\0\x18\0\x031.3",
        ]
        .concat();
        assert_eq!(bytes, expected);
        let record = InstanceRecord::new(InstanceKey::default(), &bytes).unwrap();
        assert_eq!(record.sets(), sets);
        assert_eq!(record.location(), entry.location);
        assert_eq!(record.sop_instance(), b"1.3");
        assert_eq!((record.file_bytes(), record.digest()), (4, 7));
        assert_eq!((record.received_at_us(), record.data_set_offset()), (5, 6));
        for length in 0..INSTANCE_HEAD_BYTES + 11 {
            assert!(InstanceRecord::new(InstanceKey::default(), &bytes[..length]).is_none());
        }
    }
}
