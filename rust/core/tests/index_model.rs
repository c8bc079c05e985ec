//! Random changes of an index beside a model of it: a map from SOP Instance UID to entry.
//!
//! After each step everything that the index tells is compared: totals, counts, records, sets of
//! values, secondary keys, ages, and what is found by each of them.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{Scratch, entry_of};
use dcmfast_core::index::attributes::{ATTRIBUTES, Level, SecondaryKey, tags};
use dcmfast_core::index::fold::fold_stored;
use dcmfast_core::index::{
    Access, AttributesRef, FileLocation, Index, IndexOp, IndexOptions, InstanceEntry, InstanceKey,
    KeyRange, Outcome, Reader,
};
use dcmfast_core::limits::SOP_CLASSES_PER_SERIES_MAX;
use dcmfast_core::tag::{SOP_CLASS_UID, SOP_INSTANCE_UID, Tag};
use dcmfast_core::uid::UidText;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<IndexOp>),
    Reopen,
}

fn any_entry() -> impl Strategy<Value = InstanceEntry> {
    let location = prop_oneof![
        (0u64..12).prop_map(FileLocation::Own),
        (0u64..3).prop_map(|number| FileLocation::Relative(format!("CT_{number}.dcm"))),
        (0u64..3).prop_map(|number| FileLocation::Absolute(format!("/x/{number}"))),
    ];
    let names = [&b""[..], b"Doe^Jane", b"DOE^JANE", b"M\xfcller", b"A=B=C", b"long\\er"];
    (
        (0u8..9, 0u8..3, 0u8..3, 0u8..3, 0u8..2),
        (0usize..names.len(), 0u8..3, 0u8..2, any::<bool>()),
        location,
        (1u64..1000, 1u64..1000),
    )
        .prop_map(
            move |(uids, (name, accession, character_set, has_date), location, numbers)| {
                let (instance, patient, study, series, class) = uids;
                let mut entry = entry_of(
                    &format!("1.2.{instance}"),
                    ["", "P1", "P2"][usize::from(patient)],
                    &format!("1.3.{study}"),
                    &format!("1.4.{series}"),
                );
                entry.sop_class = UidText::new(format!("1.5.{class}").as_bytes()).unwrap();
                entry.location = location;
                (entry.file_bytes, entry.received_at_us) = numbers;
                let attributes = &mut entry.attributes;
                attributes.set(tags::PATIENT_NAME, names[name]);
                if accession > 0 {
                    attributes.set(Tag::new(8, 0x50), &[b'A', b'0' + accession]);
                }
                if character_set > 0 {
                    attributes.set(tags::SPECIFIC_CHARACTER_SET, b"ISO_IR 100");
                }
                if has_date {
                    attributes.set(Tag::new(8, 0x20), b"20240229");
                }
                attributes.set(tags::MODALITY, if accession == 1 { b"CT" } else { b"MR" });
                attributes.set(Tag::new(0x20, 0x13), &[b'0' + instance]);
                entry
            },
        )
}

fn any_op() -> impl Strategy<Value = IndexOp> {
    let put = any_entry().prop_map(|entry| IndexOp::Put(Arc::new(entry)));
    let remove = (0u8..9, proptest::option::of((0u64..12).prop_map(FileLocation::Own))).prop_map(
        |(instance, only_at)| IndexOp::Remove {
            sop_instance: UidText::new(format!("1.2.{instance}").as_bytes()).unwrap(),
            only_at,
        },
    );
    let missing = any_entry().prop_map(|entry| IndexOp::PutMissing(Arc::new(entry)));
    let touch = (0u8..9, 0u64..2000).prop_map(|(instance, received_at_us)| IndexOp::Touch {
        sop_instance: UidText::new(format!("1.2.{instance}").as_bytes()).unwrap(),
        received_at_us,
    });
    let applied = (0u64..99).prop_map(IndexOp::Applied);
    prop_oneof![6 => put, 2 => missing, 3 => remove, 1 => touch, 1 => applied]
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        9 => proptest::collection::vec(any_op(), 0..8).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..12)
}

/// What an index should say.
#[derive(Default)]
struct Model {
    instances: BTreeMap<UidText, InstanceEntry>,
    /// Last reception of each study that has had instances without a break, by patient and UID.
    received: BTreeMap<(Vec<u8>, Vec<u8>), u64>,
    next_own_file: u64,
    applied: u64,
}

fn path(entry: &InstanceEntry, level: Level) -> Vec<Vec<u8>> {
    let tags = [tags::PATIENT_ID, tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID];
    let depth = level as usize + 1;
    tags[..depth.min(3)]
        .iter()
        .map(|tag| entry.attributes.get(*tag).unwrap_or_default().to_vec())
        .collect()
}

/// The values that a set of `level` holds.
fn values(entry: &InstanceEntry, level: Level) -> Vec<u8> {
    let mut values = dcmfast_core::index::Attributes::new();
    for (tag, value) in entry.attributes.as_ref().iter() {
        let of = ATTRIBUTES.iter().find(|row| row.tag == tag).unwrap().level;
        let belongs = of == level
            || tag == tags::SPECIFIC_CHARACTER_SET
            || (level == Level::Study && of == Level::Patient);
        if belongs {
            values.set(tag, value);
        }
    }
    if level == Level::Image {
        values.set(SOP_CLASS_UID, entry.sop_class.as_bytes());
        values.set(SOP_INSTANCE_UID, entry.sop_instance.as_bytes());
    }
    values.as_ref().as_bytes().to_vec()
}

impl Model {
    fn apply(&mut self, op: &IndexOp) -> Outcome {
        match op {
            IndexOp::PutMissing(entry) if self.instances.contains_key(&entry.sop_instance) => {
                Outcome::Taken
            }
            IndexOp::Put(entry) | IndexOp::PutMissing(entry) => {
                let previous = self.remove(&entry.sop_instance);
                let path = path(entry, Level::Study);
                let received = self.received.entry((path[0].clone(), path[1].clone())).or_default();
                *received = entry.received_at_us.max(*received);
                if let FileLocation::Own(number) = entry.location {
                    self.next_own_file = self.next_own_file.max(number + 1);
                }
                self.instances.insert(entry.sop_instance, (**entry).clone());
                match previous {
                    None => Outcome::Added,
                    Some(previous) if previous == entry.location => Outcome::Refreshed,
                    Some(previous) => Outcome::Replaced { previous },
                }
            }
            IndexOp::Remove { sop_instance, only_at } => {
                let listed = self.instances.get(sop_instance);
                let is_there = listed
                    .is_some_and(|entry| only_at.as_ref().is_none_or(|at| *at == entry.location));
                match is_there.then(|| self.remove(sop_instance)).flatten() {
                    Some(previous) => Outcome::Removed { previous },
                    None => Outcome::NotListed,
                }
            }
            IndexOp::Review(_) => Outcome::Noted,
            IndexOp::Touch { sop_instance, received_at_us } => {
                let Some(entry) = self.instances.get(sop_instance) else {
                    return Outcome::NotListed;
                };
                let path = path(entry, Level::Study);
                let received = self.received.entry((path[0].clone(), path[1].clone())).or_default();
                *received = (*received).max(*received_at_us);
                Outcome::Noted
            }
            IndexOp::Applied(sequence) => {
                self.applied = self.applied.max(*sequence);
                Outcome::Noted
            }
        }
    }

    fn remove(&mut self, uid: &UidText) -> Option<FileLocation> {
        let entry = self.instances.remove(uid)?;
        let gone = path(&entry, Level::Study);
        if !self.instances.values().any(|other| path(other, Level::Study) == gone) {
            self.received.remove(&(gone[0].clone(), gone[1].clone()));
        }
        Some(entry.location)
    }

    fn groups(&self, level: Level) -> BTreeMap<Vec<Vec<u8>>, Vec<&InstanceEntry>> {
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in self.instances.values() {
            groups.entry(path(entry, level)).or_default().push(entry);
        }
        groups
    }

    fn compare(&self, reader: &Reader<'_>) {
        let counters = reader.counters().unwrap();
        assert_eq!(counters.instances, self.instances.len() as u64);
        assert_eq!(counters.file_bytes, self.instances.values().map(|e| e.file_bytes).sum::<u64>());
        assert_eq!((counters.next_own_file, counters.applied), (self.next_own_file, self.applied));
        assert_eq!(counters.patients, self.groups(Level::Patient).len() as u64);
        assert_eq!(counters.studies, self.groups(Level::Study).len() as u64);
        assert_eq!(counters.series, self.groups(Level::Series).len() as u64);

        let mut ids = BTreeMap::new();
        for level in [Level::Patient, Level::Study, Level::Series] {
            let groups = self.groups(level);
            let mut keys = BTreeSet::new();
            for (path, entries) in &groups {
                let id = self.compare_entity(reader, level, path, entries, &ids, &mut keys);
                ids.insert((level, path.clone()), id);
            }
            assert_eq!(reader.entities(level, 0).unwrap().count(), groups.len());
            compare_keys(reader, level, &keys);
        }
        let ages: Vec<_> = reader.oldest_studies().unwrap().map(Result::unwrap).collect();
        let mut expected: Vec<_> = self
            .received
            .iter()
            .map(|((patient, study), at)| {
                (*at, ids[&(Level::Study, vec![patient.clone(), study.clone()])])
            })
            .collect();
        expected.sort_unstable();
        assert_eq!(ages, expected);
        self.compare_instances(reader, &ids);
    }

    fn compare_entity(
        &self,
        reader: &Reader<'_>,
        level: Level,
        path: &[Vec<u8>],
        entries: &[&InstanceEntry],
        ids: &BTreeMap<(Level, Vec<Vec<u8>>), u64>,
        keys: &mut BTreeSet<(Tag, Vec<u8>, u64)>,
    ) -> u64 {
        let parent = match level {
            Level::Patient => 0,
            Level::Study => ids[&(Level::Patient, path[..1].to_vec())],
            _ => ids[&(Level::Study, path[..2].to_vec())],
        };
        let found: Vec<u64> = reader
            .find_entities(level, path.last().unwrap())
            .unwrap()
            .map(Result::unwrap)
            .filter(|id| reader.entity(level, *id).unwrap().unwrap().parent() == parent)
            .collect();
        assert_eq!(found.len(), 1, "{path:?}");
        let id = found[0];
        let record = reader.entity(level, id).unwrap().unwrap();
        assert_eq!(record.instance_count(), entries.len() as u64);
        assert_eq!(record.file_bytes(), entries.iter().map(|e| e.file_bytes).sum::<u64>());
        let below = |level| {
            self.groups(level).keys().filter(|other| other.starts_with(path)).count() as u64
        };
        if level == Level::Patient {
            assert_eq!(record.study_count(), below(Level::Study));
            assert_eq!(
                reader.children(Level::Study, id, 0).unwrap().count() as u64,
                record.study_count()
            );
        }
        if level == Level::Study {
            assert_eq!(record.series_count(), below(Level::Series));
            assert_eq!(
                reader.children(Level::Series, id, 0).unwrap().count() as u64,
                record.series_count()
            );
        }
        if level == Level::Series {
            let mut classes: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
            for entry in entries {
                *classes.entry(entry.sop_class.as_bytes().to_vec()).or_default() += 1;
            }
            let told = reader.sop_classes(&record).unwrap();
            let told = told.iter().map(|(uid, count)| (uid.as_bytes().to_vec(), *count)).collect();
            assert_eq!(classes, told);
        }

        let mut sets: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for entry in entries {
            *sets.entry(values(entry, level)).or_default() += 1;
        }
        let mut told = BTreeMap::new();
        let others: Vec<_> = reader.variants(level, id).unwrap().map(Result::unwrap).collect();
        assert_eq!(record.has_variants(), !others.is_empty());
        assert!(others.iter().all(|set| set.number > record.primary().number));
        for set in [record.primary()].iter().chain(&others) {
            assert!(told.insert(set.attributes.as_bytes().to_vec(), set.instance_count).is_none());
            let all = reader.all_instances(InstanceKey::default()).unwrap().map(Result::unwrap);
            let instance =
                all.filter(|one| above(reader, level, one.key().series) == id).find(|one| {
                    set.number
                        == match level {
                            Level::Patient => one.sets().patient,
                            Level::Study => one.sets().study,
                            _ => one.sets().series,
                        }
                });
            let instance = instance.unwrap();
            let uid = UidText::new(instance.sop_instance()).unwrap();
            assert_eq!(values(&self.instances[&uid], level), set.attributes.as_bytes());
        }
        assert_eq!(told, sets);
        for set in sets.keys() {
            let attributes = AttributesRef::new(set).unwrap();
            let character_set = attributes.value(tags::SPECIFIC_CHARACTER_SET);
            for row in ATTRIBUTES.iter().filter(|row| row.level == level) {
                fold_stored(row.key, attributes.value(row.tag), character_set, |folded| {
                    if !folded.is_empty() {
                        keys.insert((row.tag, folded.to_vec(), id));
                    }
                });
            }
        }
        id
    }

    fn compare_instances(&self, reader: &Reader<'_>, ids: &BTreeMap<(Level, Vec<Vec<u8>>), u64>) {
        for (uid, entry) in &self.instances {
            let record = reader.instance_of(uid.as_bytes()).unwrap().unwrap();
            assert_eq!(record.key().series, ids[&(Level::Series, path(entry, Level::Series))]);
            assert_eq!(record.location(), entry.location);
            assert_eq!(record.file_bytes(), entry.file_bytes);
            assert_eq!(record.received_at_us(), entry.received_at_us);
            assert_eq!(record.digest(), entry.digest);
            assert_eq!(record.transfer_syntax(), entry.transfer_syntax);
            assert_eq!(record.source_ae(), entry.source_ae);
            assert_eq!(record.attributes().as_bytes(), values(entry, Level::Image));
        }
        let all = reader.all_instances(InstanceKey::default()).unwrap();
        let keys: BTreeSet<_> = all.map(|record| record.unwrap().key()).collect();
        assert_eq!(keys.len(), self.instances.len());
        for id in ids.iter().filter(|((level, _), _)| *level == Level::Series).map(|(_, id)| *id) {
            let numbers: Vec<_> =
                reader.instances(id, 0).unwrap().map(|record| record.unwrap().key()).collect();
            assert!(numbers.is_sorted() && numbers.iter().all(|key| keys.contains(key)));
        }
    }
}

fn compare_keys(reader: &Reader<'_>, level: Level, expected: &BTreeSet<(Tag, Vec<u8>, u64)>) {
    let mut told = BTreeSet::new();
    for row in ATTRIBUTES.iter().filter(|row| row.level == level && row.key != SecondaryKey::Uid) {
        for key in reader.keys(&KeyRange::all(row.tag)).unwrap() {
            let (value, id) = key.unwrap();
            told.insert((row.tag, value.to_vec(), id));
        }
    }
    assert_eq!(&told, expected);
}

fn open(scratch: &Scratch, map_bytes: usize) -> Arc<Index> {
    Index::open(
        &scratch.path().join("index"),
        Access::Write,
        IndexOptions { map_bytes, ..IndexOptions::default() },
    )
    .unwrap()
}

/// The entity at `level` that a series belongs to.
fn above(reader: &Reader<'_>, level: Level, series: u64) -> u64 {
    let parent = |level, id| reader.entity(level, id).unwrap().unwrap().parent();
    match level {
        Level::Patient => parent(Level::Study, parent(Level::Series, series)),
        Level::Study => parent(Level::Series, series),
        _ => series,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is put, replaced and removed, in whatever batches, and however often the index is
    /// closed between: it tells what the map tells. The map of memory begins too small.
    #[test]
    fn like_a_map(steps in any_steps()) {
        let scratch = Scratch::new("index-model");
        let mut model = Model::default();
        let mut index = open(&scratch, 65_536);
        for step in &steps {
            match step {
                Step::Commit(ops) => {
                    let expected: Vec<_> = ops.iter().map(|op| model.apply(op)).collect();
                    prop_assert_eq!(index.commit(ops).unwrap(), expected);
                }
                Step::Reopen => {
                    drop(index);
                    index = open(&scratch, 65_536);
                }
            }
            model.compare(&index.read().unwrap());
        }
        // Nothing is left behind when everything goes.
        let removals: Vec<_> = model.instances.keys()
            .map(|uid| IndexOp::Remove { sop_instance: *uid, only_at: None })
            .collect();
        index.commit(&removals).unwrap();
        for op in &removals {
            model.apply(op);
        }
        model.compare(&index.read().unwrap());
    }
}

/// A series of more SOP classes than its record has room for: each is counted, whichever goes first.
#[test]
fn classes_beyond_the_record() {
    let scratch = Scratch::new("index-classes");
    let index = Index::open(scratch.path(), Access::Write, IndexOptions::default()).unwrap();
    let count = SOP_CLASSES_PER_SERIES_MAX + 10;
    let mut model: BTreeMap<String, u64> = BTreeMap::new();
    // Two of each: the second of a class that had no room, after one of those with room has gone.
    let put = |at: usize| {
        let mut entry = entry_of(&format!("1.2.{at}"), "P", "1", "1.1");
        entry.sop_class = UidText::new(format!("1.3.{}", at % count).as_bytes()).unwrap();
        IndexOp::Put(Arc::new(entry))
    };
    let remove = |at: usize| IndexOp::Remove {
        sop_instance: UidText::new(format!("1.2.{at}").as_bytes()).unwrap(),
        only_at: None,
    };
    let check = |model: &BTreeMap<String, u64>| {
        let reader = index.read().unwrap();
        let mut told = BTreeMap::new();
        for id in reader.find_entities(Level::Series, b"1.1").unwrap() {
            let series = reader.entity(Level::Series, id.unwrap()).unwrap().unwrap();
            for (uid, count) in reader.sop_classes(&series).unwrap() {
                let uid = String::from_utf8(uid.as_bytes().to_vec()).unwrap();
                assert!(told.insert(uid, count).is_none());
            }
        }
        assert_eq!(told, *model);
    };
    let steps = (0..count)
        .map(|at| (at, true))
        .chain((0..5).map(|at| (at, false)))
        .chain((count..2 * count).map(|at| (at, true)))
        .chain((count..2 * count).rev().map(|at| (at, false)))
        .chain((5..count).map(|at| (at, false)));
    for (at, is_put) in steps {
        index.commit(&[if is_put { put(at) } else { remove(at) }]).unwrap();
        let counted = model.entry(format!("1.3.{}", at % count)).or_default();
        *counted = if is_put { *counted + 1 } else { *counted - 1 };
        model.retain(|_, count| *count > 0);
        check(&model);
    }
    assert!(model.is_empty());
}
