//! Applying a batch of changes in one write transaction.
//!
//! A batch usually adds many instances to few series, so patients, studies and series are decoded
//! once, changed in memory, and written once at the end; instances and keys go straight to LMDB.
//!
//! *Sets of values.* The instances of one study should agree in its attributes, and do not always.
//! An entity therefore has numbered sets of values, each with the number of instances that have
//! them: the oldest stands in the entity's record, the others in `variants`, found by a hash. When
//! the last instance of a set goes, so do the set and its secondary keys, and the next oldest moves
//! up: nothing is ever searched for.
//!
//! Called by `Index::commit`.

use std::collections::HashMap;

use super::attributes::{ATTRIBUTES, Level, SecondaryKey, tags, unique_value};
use super::entry::{FileLocation, InstanceEntry};
use super::env::{IndexError, Table, WriteTransaction};
use super::fold::fold_stored;
use super::record::{
    AttributeSet, Entity, EntityRecord, InstanceRecord, SetNumbers, encode_instance,
};
use super::schema::{
    EntityId, FORMAT_MAGIC, FORMAT_VERSION, InstanceKey, META_COUNTERS, META_FORMAT, age, child,
    further_class, identity, reviewed, secondary, table_of, variant, variant_hash,
};
use super::{IndexOp, Outcome};
use crate::dataset::attributes::AttributesRef;
use crate::limits::{FILE_PATH_BYTES_MAX, SOP_CLASSES_PER_SERIES_MAX};
use crate::tag::{SOP_CLASS_UID, SOP_INSTANCE_UID, Tag};
use crate::uid::UidText;

/// Totals of an area, and the numbers to be given next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Patients.
    pub patients: u64,
    /// Studies.
    pub studies: u64,
    /// Series.
    pub series: u64,
    /// Instances.
    pub instances: u64,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// One above the largest number of an own file ever listed.
    pub next_own_file: u64,
    /// What the journal may forget: everything up to here is in the index.
    pub applied: u64,
    /// One below the next patient's, study's or series' number.
    pub(crate) last_entity: u64,
    /// One below the next instance's number.
    pub(crate) last_instance: u64,
}

impl Counters {
    /// `meta`, "counters": nine numbers.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [
            self.patients,
            self.studies,
            self.series,
            self.instances,
            self.file_bytes,
            self.next_own_file,
            self.applied,
            self.last_entity,
            self.last_instance,
        ]
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let numbers: &[u8; 72] = bytes.try_into().ok()?;
        let mut numbers = numbers
            .chunks_exact(8)
            .map(|number| number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        let mut next = || numbers.next().unwrap_or_default();
        Some(Self {
            patients: next(),
            studies: next(),
            series: next(),
            instances: next(),
            file_bytes: next(),
            next_own_file: next(),
            applied: next(),
            last_entity: next(),
            last_instance: next(),
        })
    }
}

/// Writes what an empty environment needs to be an index.
pub(crate) fn initialise(txn: &mut WriteTransaction<'_>) -> Result<(), IndexError> {
    let mut format = FORMAT_MAGIC.to_vec();
    format.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
    txn.put(Table::Meta, META_FORMAT, &format)?;
    txn.put(Table::Meta, META_COUNTERS, &Counters::default().encode())
}

/// One batch.
pub(crate) struct Batch<'b, 'e> {
    txn: &'b mut WriteTransaction<'e>,
    counters: Counters,
    /// What was touched, by level and number; `None` once it is gone.
    entities: [HashMap<EntityId, Option<Held>>; 3],
    /// Attributes of the entry at hand, by level.
    parts: Parts,
    /// Room for keys and values, kept between entries.
    key: Vec<u8>,
    value: Vec<u8>,
}

struct Held {
    entity: Entity,
    /// Where it stands in `ages`, if it is a study with a row there.
    aged_us: Option<u64>,
}

/// The attributes of one entry as its four levels keep them.
#[derive(Default)]
struct Parts {
    patient: Vec<u8>,
    study: Vec<u8>,
    series: Vec<u8>,
    image: Vec<u8>,
    patient_id: Vec<u8>,
    study_uid: Vec<u8>,
    series_uid: Vec<u8>,
}

fn push(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    out.extend_from_slice(&tag.0.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

impl Parts {
    /// Sorts the attributes of `entry` into their levels. What is not indexed is left out, what is
    /// too long is cut.
    fn fill(&mut self, entry: &InstanceEntry) {
        let Self { patient, study, series, image, patient_id, study_uid, series_uid } = self;
        for part in [&mut *patient, study, series, image, patient_id, study_uid, series_uid] {
            part.clear();
        }
        // SOP class and instance are those of the entry, whatever the data set says.
        let mut uids = [(SOP_CLASS_UID, &entry.sop_class), (SOP_INSTANCE_UID, &entry.sop_instance)]
            .into_iter()
            .peekable();
        let mut rows = ATTRIBUTES.iter();
        for (tag, value) in entry.attributes.as_ref().iter() {
            while let Some((uid_tag, uid)) = uids.next_if(|(uid_tag, _)| *uid_tag <= tag) {
                push(image, uid_tag, uid.as_bytes());
            }
            if tag == SOP_CLASS_UID || tag == SOP_INSTANCE_UID {
                continue;
            }
            let Some(row) = rows.find(|row| row.tag >= tag) else { break };
            if row.tag != tag {
                // The table is ascending: go on from this row.
                let at = ATTRIBUTES.partition_point(|row| row.tag <= tag);
                rows = ATTRIBUTES[at..].iter();
                continue;
            }
            let value = &value[..value.len().min(usize::from(row.bytes_max))];
            if tag == tags::SPECIFIC_CHARACTER_SET {
                for part in [&mut *patient, study, series, image] {
                    push(part, tag, value);
                }
                continue;
            }
            match row.level {
                Level::Patient => {
                    push(patient, tag, value);
                    push(study, tag, value);
                }
                Level::Study => push(study, tag, value),
                Level::Series => push(series, tag, value),
                Level::Image => push(image, tag, value),
            }
        }
        for (uid_tag, uid) in uids {
            push(image, uid_tag, uid.as_bytes());
        }
        for (level, unique) in
            [(Level::Patient, patient_id), (Level::Study, study_uid), (Level::Series, series_uid)]
        {
            unique.extend_from_slice(unique_value(level, entry.attributes.as_ref()));
        }
    }

    fn of(&self, level: Level) -> &[u8] {
        match level {
            Level::Patient => &self.patient,
            Level::Study => &self.study,
            Level::Series => &self.series,
            Level::Image => &self.image,
        }
    }
}

const fn slot(level: Level) -> usize {
    match level {
        Level::Patient => 0,
        Level::Study => 1,
        Level::Series | Level::Image => 2,
    }
}

impl<'b, 'e> Batch<'b, 'e> {
    /// A batch in `txn`.
    pub fn begin(txn: &'b mut WriteTransaction<'e>) -> Result<Self, IndexError> {
        let view = txn.view();
        let counters = view.get(Table::Meta, META_COUNTERS)?.and_then(Counters::decode);
        let counters = counters.ok_or_else(|| view.damaged("the totals are missing"))?;
        Ok(Self {
            txn,
            counters,
            entities: Default::default(),
            parts: Parts::default(),
            key: Vec::new(),
            value: Vec::new(),
        })
    }

    /// Applies one change.
    pub fn apply(&mut self, op: &IndexOp) -> Result<Outcome, IndexError> {
        match op {
            IndexOp::Put(entry) => self.put(entry),
            IndexOp::PutMissing(entry) => {
                let uid = entry.sop_instance.as_bytes();
                // An empty key is none of LMDB's, and an error of `put`.
                if !uid.is_empty() && self.txn.view().get(Table::Uids, uid)?.is_some() {
                    return Ok(Outcome::Taken);
                }
                self.put(entry)
            }
            IndexOp::Review(sop_instance) => {
                reviewed(&mut self.key, sop_instance.as_bytes());
                self.txn.put(Table::Meta, &self.key, &[])?;
                Ok(Outcome::Noted)
            }
            IndexOp::Remove { sop_instance, only_at } => {
                self.remove(sop_instance, only_at.as_ref())
            }
            IndexOp::Touch { sop_instance, received_at_us } => {
                self.touch(sop_instance, *received_at_us)
            }
            IndexOp::Applied(sequence) => {
                self.counters.applied = self.counters.applied.max(*sequence);
                Ok(Outcome::Noted)
            }
        }
    }

    /// Writes what was kept in memory, and gives the new totals.
    pub fn finish(mut self) -> Result<Counters, IndexError> {
        for level in [Level::Patient, Level::Study, Level::Series] {
            for (id, held) in core::mem::take(&mut self.entities[slot(level)]) {
                let Some(held) = held else { continue };
                self.value.clear();
                held.entity.encode(&mut self.value);
                self.txn.put(table_of(level), &id.to_be_bytes(), &self.value)?;
                let now = held.entity.last_reception_us;
                if level == Level::Study && held.aged_us != Some(now) {
                    if let Some(before) = held.aged_us {
                        self.txn.delete(Table::Ages, &age(before, id))?;
                    }
                    self.txn.put(Table::Ages, &age(now, id), &[])?;
                }
            }
        }
        self.txn.put(Table::Meta, META_COUNTERS, &self.counters.encode())?;
        Ok(self.counters)
    }

    fn put(&mut self, entry: &InstanceEntry) -> Result<Outcome, IndexError> {
        if entry.sop_instance.is_empty() {
            return Err(IndexError::Unlistable("it has no SOP Instance UID"));
        }
        if let FileLocation::Relative(path) | FileLocation::Absolute(path) = &entry.location {
            if path.len() > FILE_PATH_BYTES_MAX {
                return Err(IndexError::Unlistable("its path is too long"));
            }
        }
        let outcome = match self.remove(&entry.sop_instance, None)? {
            Outcome::Removed { previous } if previous == entry.location => Outcome::Refreshed,
            Outcome::Removed { previous } => Outcome::Replaced { previous },
            _ => Outcome::Added,
        };
        self.add(entry)?;
        Ok(outcome)
    }

    fn add(&mut self, entry: &InstanceEntry) -> Result<(), IndexError> {
        let mut parts = core::mem::take(&mut self.parts);
        parts.fill(entry);
        let patient = self.find_or_make(Level::Patient, &parts.patient_id, 0)?;
        let study = self.find_or_make(Level::Study, &parts.study_uid, patient)?;
        let series = self.find_or_make(Level::Series, &parts.series_uid, study)?;
        self.counters.last_instance += 1;
        let key = InstanceKey { series, number: self.counters.last_instance };
        let sets = SetNumbers {
            patient: self.join_set(Level::Patient, patient, parts.of(Level::Patient), key)?,
            study: self.join_set(Level::Study, study, parts.of(Level::Study), key)?,
            series: self.join_set(Level::Series, series, parts.of(Level::Series), key)?,
        };
        for (level, id) in
            [(Level::Patient, patient), (Level::Study, study), (Level::Series, series)]
        {
            let entity = self.entity(level, id)?;
            entity.instances += 1;
            entity.file_bytes += entry.file_bytes;
            entity.last_reception_us = entity.last_reception_us.max(entry.received_at_us);
            if level == Level::Series && !entity.add_class(entry.sop_class) {
                self.count_further_class(id, entry.sop_class, 1)?;
            }
        }
        self.value.clear();
        encode_instance(&mut self.value, entry, sets, &parts.image);
        self.txn.put(Table::Instances, &key.to_bytes(), &self.value)?;
        self.txn.put(Table::Uids, entry.sop_instance.as_bytes(), &key.to_bytes())?;
        self.parts = parts;
        self.counters.instances += 1;
        self.counters.file_bytes += entry.file_bytes;
        if let FileLocation::Own(number) = entry.location {
            let next = number.saturating_add(1);
            self.counters.next_own_file = self.counters.next_own_file.max(next);
        }
        Ok(())
    }

    fn touch(
        &mut self,
        sop_instance: &UidText,
        received_at_us: u64,
    ) -> Result<Outcome, IndexError> {
        let view = self.txn.view();
        let key = match sop_instance.as_bytes() {
            [] => None,
            uid => view.get(Table::Uids, uid)?.and_then(InstanceKey::from_bytes),
        };
        let Some(InstanceKey { series, .. }) = key else { return Ok(Outcome::NotListed) };
        let study = self.entity(Level::Series, series)?.parent;
        let patient = self.entity(Level::Study, study)?.parent;
        for (level, id) in
            [(Level::Series, series), (Level::Study, study), (Level::Patient, patient)]
        {
            let entity = self.entity(level, id)?;
            entity.last_reception_us = entity.last_reception_us.max(received_at_us);
        }
        Ok(Outcome::Noted)
    }

    fn remove(
        &mut self,
        sop_instance: &UidText,
        only_at: Option<&FileLocation>,
    ) -> Result<Outcome, IndexError> {
        if sop_instance.is_empty() {
            return Ok(Outcome::NotListed);
        }
        let view = self.txn.view();
        let Some(key) = view.get(Table::Uids, sop_instance.as_bytes())? else {
            return Ok(Outcome::NotListed);
        };
        let damaged = "a SOP Instance UID leads nowhere";
        let key = InstanceKey::from_bytes(key).ok_or_else(|| view.damaged(damaged))?;
        let record = view.get(Table::Instances, &key.to_bytes())?;
        let record = record.and_then(|bytes| InstanceRecord::new(key, bytes));
        let record = record.ok_or_else(|| view.damaged(damaged))?;
        let previous = record.location();
        if only_at.is_some_and(|only| *only != previous) {
            return Ok(Outcome::NotListed);
        }
        let (sets, file_bytes) = (record.sets(), record.file_bytes());
        let sop_class = UidText::new(record.sop_class());
        let series = key.series;
        let study = self.entity(Level::Series, series)?.parent;
        let patient = self.entity(Level::Study, study)?.parent;
        self.txn.delete(Table::Instances, &key.to_bytes())?;
        self.txn.delete(Table::Uids, sop_instance.as_bytes())?;
        reviewed(&mut self.key, sop_instance.as_bytes());
        self.txn.delete(Table::Meta, &self.key)?;
        for (level, id, set) in [
            (Level::Series, series, sets.series),
            (Level::Study, study, sets.study),
            (Level::Patient, patient, sets.patient),
        ] {
            self.leave_set(level, id, set)?;
            let entity = self.entity(level, id)?;
            entity.instances = entity.instances.saturating_sub(1);
            entity.file_bytes = entity.file_bytes.saturating_sub(file_bytes);
            let is_empty = entity.instances == 0;
            if let Some(uid) = sop_class.filter(|_| level == Level::Series) {
                self.leave_class(id, uid)?;
            }
            if is_empty {
                self.delete_entity(level, id)?;
            }
        }
        self.counters.instances = self.counters.instances.saturating_sub(1);
        self.counters.file_bytes = self.counters.file_bytes.saturating_sub(file_bytes);
        Ok(Outcome::Removed { previous })
    }

    // ---- SOP classes of a series --------------------------------------------------------------

    /// Counts instances of a class that the record of its series has no room for.
    fn count_further_class(
        &mut self,
        series: EntityId,
        sop_class: UidText,
        change: i64,
    ) -> Result<(), IndexError> {
        let key = further_class(series, sop_class.as_bytes());
        let before = self.txn.view().get(Table::Variants, &key)?;
        let before = before.and_then(|count| count.try_into().ok()).map_or(0, u64::from_be_bytes);
        match before.saturating_add_signed(change) {
            0 => self.txn.delete(Table::Variants, &key).map(|_| ()),
            after => self.txn.put(Table::Variants, &key, &after.to_be_bytes()),
        }
    }

    /// Counts an instance of a class less. Where the record has room then, one of those beside it moves up:
    /// there are none while it has room.
    fn leave_class(&mut self, series: EntityId, sop_class: UidText) -> Result<(), IndexError> {
        let entity = self.entity(Level::Series, series)?;
        let before = entity.classes.len();
        if !entity.remove_class(sop_class) {
            return self.count_further_class(series, sop_class, -1);
        }
        if before < SOP_CLASSES_PER_SERIES_MAX || entity.classes.len() == before {
            return Ok(());
        }
        let from = further_class(series, b"");
        let row = self.txn.view().rows(Table::Variants, &from)?.next().transpose()?;
        let next = row.and_then(|(key, count)| {
            let uid = UidText::new(key.strip_prefix(from.as_slice())?)?;
            Some((uid, u64::from_be_bytes(count.try_into().ok()?)))
        });
        let Some((uid, count)) = next else { return Ok(()) };
        self.txn.delete(Table::Variants, &further_class(series, uid.as_bytes()))?;
        self.entity(Level::Series, series)?.classes.push((uid, count));
        Ok(())
    }

    // ---- Entities -----------------------------------------------------------------------------

    /// The entity, decoded on its first use in the batch.
    fn entity(&mut self, level: Level, id: EntityId) -> Result<&mut Entity, IndexError> {
        let held = self.entities[slot(level)].entry(id);
        let held = match held {
            std::collections::hash_map::Entry::Occupied(held) => held.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let view = self.txn.view();
                let bytes = view.get(table_of(level), &id.to_be_bytes())?;
                let entity = bytes
                    .and_then(|bytes| EntityRecord::new(level, id, bytes))
                    .and_then(|record| Entity::from_record(&record))
                    .ok_or_else(|| view.damaged("a patient, study or series is missing"))?;
                let aged_us = Some(entity.last_reception_us);
                place.insert(Some(Held { entity, aged_us }))
            }
        };
        match held {
            Some(held) => Ok(&mut held.entity),
            None => Err(self.txn.view().damaged("a patient, study or series is gone")),
        }
    }

    fn find_or_make(
        &mut self,
        level: Level,
        value: &[u8],
        parent: EntityId,
    ) -> Result<EntityId, IndexError> {
        identity(&mut self.key, level, value, parent);
        let view = self.txn.view();
        if let Some(id) = view.get(Table::Identities, &self.key)? {
            let id = id.try_into().map_err(|_| view.damaged("an identity leads nowhere"))?;
            return Ok(u64::from_be_bytes(id));
        }
        self.counters.last_entity += 1;
        let id = self.counters.last_entity;
        self.txn.put(Table::Identities, &self.key, &id.to_be_bytes())?;
        let entity = Entity { parent, ..Entity::default() };
        self.entities[slot(level)].insert(id, Some(Held { entity, aged_us: None }));
        if level != Level::Patient {
            self.txn.put(Table::Children, &child(level, parent, id), &[])?;
        }
        self.count(level, parent, 1)?;
        Ok(id)
    }

    /// Counts an entity more or less in the totals and above it.
    fn count(&mut self, level: Level, parent: EntityId, change: i64) -> Result<(), IndexError> {
        let add = |number: &mut u64| *number = number.saturating_add_signed(change);
        match level {
            Level::Patient => add(&mut self.counters.patients),
            Level::Study => {
                add(&mut self.counters.studies);
                add(&mut self.entity(Level::Patient, parent)?.studies);
            }
            Level::Series => {
                add(&mut self.counters.series);
                let study = self.entity(Level::Study, parent)?;
                add(&mut study.series);
                let patient = study.parent;
                add(&mut self.entity(Level::Patient, patient)?.series);
            }
            Level::Image => {}
        }
        Ok(())
    }

    /// Takes away an entity without instances; its sets are gone already.
    fn delete_entity(&mut self, level: Level, id: EntityId) -> Result<(), IndexError> {
        let Some(Some(held)) = self.entities[slot(level)].insert(id, None) else { return Ok(()) };
        let Held { entity, aged_us } = held;
        let value = unique_value(level, AttributesRef::trusted(&entity.attributes));
        identity(&mut self.key, level, value, entity.parent);
        self.txn.delete(Table::Identities, &self.key)?;
        self.txn.delete(table_of(level), &id.to_be_bytes())?;
        if level != Level::Patient {
            self.txn.delete(Table::Children, &child(level, entity.parent, id))?;
        }
        if let Some(aged_us) = aged_us.filter(|_| level == Level::Study) {
            self.txn.delete(Table::Ages, &age(aged_us, id))?;
        }
        self.count(level, entity.parent, -1)
    }

    // ---- Sets of values -----------------------------------------------------------------------

    /// Counts an instance in the set with its values, which is made where there is none.
    fn join_set(
        &mut self,
        level: Level,
        id: EntityId,
        attributes: &[u8],
        first_instance: InstanceKey,
    ) -> Result<u32, IndexError> {
        let entity = self.entity(level, id)?;
        if entity.instances == 0 {
            // Its first instance. Whatever an earlier one left in numbers is not used again.
            entity.primary_set = entity.next_set;
            entity.next_set += 1;
            entity.primary_instances = 1;
            entity.primary_first = first_instance;
            entity.attributes = attributes.to_vec();
            let number = entity.primary_set;
            self.count_keys(level, id, attributes, 1)?;
            return Ok(number);
        }
        if entity.attributes == attributes {
            entity.primary_instances += 1;
            return Ok(entity.primary_set);
        }
        let hash_key = variant_hash(level, id, attributes);
        let view = self.txn.view();
        let numbers = view.get(Table::Variants, &hash_key)?.unwrap_or_default();
        for number in numbers.chunks_exact(4) {
            let number = number.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            let key = variant(level, id, number);
            let bytes = view.get(Table::Variants, &key)?;
            let set = bytes.and_then(|bytes| AttributeSet::new(number, bytes));
            let mut set = set.ok_or_else(|| view.damaged("a variant leads nowhere"))?;
            if set.attributes.as_bytes() == attributes {
                set.instance_count += 1;
                self.value.clear();
                set.encode(&mut self.value);
                self.txn.put(Table::Variants, &key, &self.value)?;
                return Ok(number);
            }
        }
        let mut numbers = numbers.to_vec();
        let entity = self.entity(level, id)?;
        let number = entity.next_set;
        entity.next_set += 1;
        entity.other_sets += 1;
        numbers.extend_from_slice(&number.to_be_bytes());
        self.txn.put(Table::Variants, &hash_key, &numbers)?;
        let attributes_ref = AttributesRef::trusted(attributes);
        let set =
            AttributeSet { number, instance_count: 1, first_instance, attributes: attributes_ref };
        self.value.clear();
        set.encode(&mut self.value);
        self.txn.put(Table::Variants, &variant(level, id, number), &self.value)?;
        self.count_keys(level, id, attributes, 1)?;
        Ok(number)
    }

    /// Counts an instance less in its set, which goes with the last one.
    fn leave_set(&mut self, level: Level, id: EntityId, number: u32) -> Result<(), IndexError> {
        let entity = self.entity(level, id)?;
        if number != entity.primary_set {
            let key = variant(level, id, number);
            let view = self.txn.view();
            let bytes = view.get(Table::Variants, &key)?;
            let set = bytes.and_then(|bytes| AttributeSet::new(number, bytes));
            let mut set = set.ok_or_else(|| view.damaged("a variant is missing"))?;
            set.instance_count = set.instance_count.saturating_sub(1);
            if set.instance_count > 0 {
                self.value.clear();
                set.encode(&mut self.value);
                return self.txn.put(Table::Variants, &key, &self.value);
            }
            let attributes = set.attributes.as_bytes().to_vec();
            self.delete_variant(level, id, number, &attributes)?;
            return self.count_keys(level, id, &attributes, -1);
        }
        entity.primary_instances = entity.primary_instances.saturating_sub(1);
        if entity.primary_instances > 0 {
            return Ok(());
        }
        let (gone, others) = (entity.attributes.clone(), entity.other_sets);
        self.count_keys(level, id, &gone, -1)?;
        if others == 0 {
            return Ok(());
        }
        // The oldest of the others moves up.
        let view = self.txn.view();
        let from = variant(level, id, 0);
        let row = view.rows(Table::Variants, &from)?.next().transpose()?;
        let set = row.filter(|(key, _)| key.starts_with(&from[..10])).and_then(|(key, bytes)| {
            let number = u32::from_be_bytes(key.get(10..)?.try_into().ok()?);
            AttributeSet::new(number, bytes)
        });
        let set = set.ok_or_else(|| view.damaged("a variant is missing"))?;
        let (number, instances, first) = (set.number, set.instance_count, set.first_instance);
        let attributes = set.attributes.as_bytes().to_vec();
        self.delete_variant(level, id, number, &attributes)?;
        let entity = self.entity(level, id)?;
        entity.primary_set = number;
        entity.primary_instances = instances;
        entity.primary_first = first;
        entity.attributes = attributes;
        Ok(())
    }

    fn delete_variant(
        &mut self,
        level: Level,
        id: EntityId,
        number: u32,
        attributes: &[u8],
    ) -> Result<(), IndexError> {
        self.txn.delete(Table::Variants, &variant(level, id, number))?;
        let hash_key = variant_hash(level, id, attributes);
        let numbers = self.txn.view().get(Table::Variants, &hash_key)?.unwrap_or_default();
        let gone = number.to_be_bytes();
        let left: Vec<u8> =
            numbers.chunks_exact(4).filter(|number| *number != gone).flatten().copied().collect();
        if left.is_empty() {
            self.txn.delete(Table::Variants, &hash_key)?;
        } else {
            self.txn.put(Table::Variants, &hash_key, &left)?;
        }
        let entity = self.entity(level, id)?;
        entity.other_sets = entity.other_sets.saturating_sub(1);
        Ok(())
    }

    /// Adds or takes away the secondary keys of one set of values.
    fn count_keys(
        &mut self,
        level: Level,
        id: EntityId,
        attributes: &[u8],
        change: i32,
    ) -> Result<(), IndexError> {
        let attributes = AttributesRef::trusted(attributes);
        let character_set = attributes.value(tags::SPECIFIC_CHARACTER_SET);
        let mut rows = ATTRIBUTES.iter();
        let mut result = Ok(());
        for (tag, value) in attributes.iter() {
            let Some(row) = rows.find(|row| row.tag >= tag).filter(|row| row.tag == tag) else {
                continue;
            };
            if row.level != level || row.key == SecondaryKey::None {
                continue;
            }
            fold_stored(row.key, value, character_set, |folded| {
                if result.is_ok() && !folded.is_empty() {
                    result = self.count_key(tag, folded, id, change);
                }
            });
        }
        result
    }

    fn count_key(
        &mut self,
        tag: Tag,
        folded: &[u8],
        id: EntityId,
        change: i32,
    ) -> Result<(), IndexError> {
        let mut key = core::mem::take(&mut self.key);
        secondary(&mut key, tag, folded, id);
        let before =
            self.txn.view().get(Table::Keys, &key)?.and_then(|count| count.try_into().ok());
        let before = before.map_or(0, u32::from_be_bytes);
        let after = before.saturating_add_signed(change);
        if after > 0 {
            self.txn.put(Table::Keys, &key, &after.to_be_bytes())?;
        } else if before > 0 {
            self.txn.delete(Table::Keys, &key)?;
        }
        self.key = key;
        Ok(())
    }
}
