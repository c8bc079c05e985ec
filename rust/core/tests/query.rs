//! Queries of an index beside a plain reading of every record.
//!
//! The plain reading is what the rules say and nothing else: each instance in order of arrival, all
//! its values, each key in turn. The index must give the same answers, whatever key it begins with,
//! however its instances disagree, and wherever a page ends.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Scratch, entry_of};
use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::dataset::character_set::CharacterSet;
use dcmfast_core::dataset::identifier::{Encoding, Item, Writer};
use dcmfast_core::index::answer::{AnswerCharacterSet, Answerer};
use dcmfast_core::index::attributes::{KeyClass, Level, find, tag_of, tags};
use dcmfast_core::index::matching::{DcmtkKey, StandardKey};
use dcmfast_core::index::query::{Model, Purpose, Query, QueryError, RuleSet, Rules};
use dcmfast_core::index::search::{Cursor, Progress};
use dcmfast_core::index::{Access, Index, IndexOp, IndexOptions, InstanceEntry};
use dcmfast_core::limits;
use dcmfast_core::tag::{SOP_CLASS_UID, SOP_INSTANCE_UID, Tag};
use dcmfast_core::uid::UidText;
use dcmfast_core::vr::Vr;
use proptest::prelude::*;

const ENCODING: Encoding = Encoding::EXPLICIT_LITTLE;
const UNIQUE: [&str; 4] = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"];
const LEVELS: [(Level, &str); 4] = [
    (Level::Patient, "PATIENT"),
    (Level::Study, "STUDY"),
    (Level::Series, "SERIES"),
    (Level::Image, "IMAGE"),
];

fn tag(keyword: &str) -> Tag {
    match keyword {
        "QueryRetrieveLevel" => Tag::new(8, 0x52),
        "PatientComments" => Tag::new(0x10, 0x4000),
        _ => tag_of(keyword).unwrap_or_else(|| panic!("{keyword}")),
    }
}

/// An identifier of these keys.
fn identifier(keys: &[(&str, &[u8])]) -> Vec<u8> {
    let mut keys: Vec<_> = keys.iter().map(|(keyword, value)| (tag(keyword), *value)).collect();
    keys.sort_by_key(|(tag, _)| *tag);
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, ENCODING);
    for (tag, value) in keys {
        let vr = find(tag).map_or(Vr(*b"CS"), |attribute| attribute.vr);
        writer.text(tag, vr, value);
    }
    out
}

type Answer = Vec<(Tag, Vec<u8>)>;

/// All answers, a page of `per_page` at a time, each with its own reader.
fn ask(
    index: &Index,
    model: Model,
    rules: Rules,
    keys: &[(&str, &[u8])],
    per_page: usize,
) -> Result<Vec<Answer>, QueryError> {
    let bytes = identifier(keys);
    let item = Item::read(&bytes, ENCODING).unwrap();
    let query = Query::compile(&item, ENCODING, model, rules, Purpose::Find)?;
    let policy = AnswerCharacterSet::default();
    let mut answerer = Answerer::new(&query, AeTitle::new(b"US"), ENCODING, &policy);
    let (mut cursor, mut answers) = (Cursor::default(), Vec::new());
    loop {
        let reader = index.read().unwrap();
        let mut count = 0;
        let progress = query
            .page(&reader, &mut cursor, |found| {
                let mut out = Vec::new();
                answerer.append(found, &reader, &mut out).unwrap();
                let item = Item::read(&out, ENCODING).unwrap();
                let elements = item.elements().iter();
                let trim = |value: &[u8]| -> Vec<u8> {
                    let end = value.iter().rposition(|byte| *byte != b' ' && *byte != 0);
                    value[..end.map_or(0, |at| at + 1)].to_vec()
                };
                answers.push(elements.map(|it| (it.tag, trim(it.value))).collect());
                count += 1;
                count < per_page
            })
            .unwrap();
        if progress == Progress::Done {
            return Ok(answers);
        }
    }
}

fn open(scratch: &Scratch) -> Arc<Index> {
    Index::open(&scratch.path().join("index"), Access::Write, IndexOptions::default()).unwrap()
}

fn put(index: &Index, entries: &[InstanceEntry]) {
    let ops: Vec<_> = entries.iter().map(|entry| IndexOp::Put(Arc::new(entry.clone()))).collect();
    index.commit(&ops).unwrap();
}

fn value(entry: &InstanceEntry, tag: Tag) -> &[u8] {
    match tag {
        SOP_INSTANCE_UID => entry.sop_instance.as_bytes(),
        SOP_CLASS_UID => entry.sop_class.as_bytes(),
        _ => entry.attributes.get(tag).unwrap_or_default(),
    }
}

fn tuple(entry: &InstanceEntry, level: Level) -> Vec<Vec<u8>> {
    UNIQUE[..=level as usize].iter().map(|key| value(entry, tag(key)).to_vec()).collect()
}

/// The plain reading of DCMTK's rules.
fn dcmtk_answers(
    entries: &[InstanceEntry],
    model: Model,
    level: Level,
    keys: &[(&str, &[u8])],
) -> BTreeSet<Answer> {
    let mut seen = BTreeSet::new();
    let mut answers = BTreeSet::new();
    for entry in entries {
        let set = CharacterSet::parse(value(entry, tags::SPECIFIC_CHARACTER_SET));
        let is_match = keys.iter().all(|(keyword, wanted)| {
            let Some(attribute) = find(tag(keyword)) else { return true };
            let Some(class) = attribute.dcmtk else { return true };
            let counts = attribute.level == level
                || (attribute.level < level
                    && attribute.level >= model.top()
                    && class == KeyClass::Unique)
                || (attribute.level == Level::Patient
                    && level == Level::Study
                    && model == Model::StudyRoot);
            let key = DcmtkKey::compile(attribute.vr, wanted, CharacterSet::ASCII);
            !counts || key.matches(value(entry, attribute.tag), set)
        });
        let is_new = !seen.contains(&tuple(entry, level));
        if is_match && is_new {
            seen.insert(tuple(entry, level));
            let mut answer: Answer = keys
                .iter()
                .filter(|(keyword, _)| {
                    find(tag(keyword)).is_some_and(|attribute| attribute.dcmtk.is_some())
                })
                .map(|(keyword, _)| (tag(keyword), value(entry, tag(keyword)).to_vec()))
                .collect();
            answer.push((tag("QueryRetrieveLevel"), LEVELS[level as usize].1.into()));
            answer.push((Tag::new(8, 0x54), b"US".to_vec()));
            answer.sort();
            answers.insert(answer);
        }
    }
    answers
}

const NAMES: [&str; 9] = [
    "",
    "Doe^Jane",
    "doe^jane",
    "Roe^Richard",
    "Doe^John^^Dr",
    "D*",
    "Doe^^^^",
    "^^^^",
    "Doe^Jane=",
];
const PATTERNS: [&str; 13] = [
    "",
    "*",
    "Doe^Jane",
    "D*",
    "?oe*",
    "*^J*",
    "Roe^Richard",
    "doe^jane=x",
    "Doe^*",
    "^^^^",
    "^*",
    "Doe^^^^",
    "Doe^Jane=*",
];
const DATES: [&str; 4] = ["", "20240101", "20240229", "unknown"];
const DATE_KEYS: [&str; 6] = ["", "20240101", "20240102-", "-20240131", "20240101-20240301", "-"];
const MODALITIES: [&str; 3] = ["CT", "MR", ""];
const MODALITY_KEYS: [&str; 5] = ["", "CT", "M?", "*", "CT\\MR"];

fn any_entry() -> impl Strategy<Value = InstanceEntry> {
    (
        (0u8..12, 0usize..3, 0u8..3, 0u8..3),
        (0..NAMES.len(), 0..DATES.len(), 0..MODALITIES.len(), 0u8..3),
    )
        .prop_map(|((instance, patient, study, series), (name, date, modality, number))| {
            let mut entry = entry_of(
                &format!("1.2.{instance}"),
                ["P1", "P2", ""][patient],
                &format!("1.3.{study}"),
                &format!("1.4.{series}"),
            );
            let attributes = &mut entry.attributes;
            attributes.set(tags::PATIENT_NAME, NAMES[name].as_bytes());
            attributes.set(tag("StudyDate"), DATES[date].as_bytes());
            attributes.set(tags::MODALITY, MODALITIES[modality].as_bytes());
            attributes.set(tag("InstanceNumber"), &[b'0' + number]);
            entry
        })
}

type OwnedKeys = Vec<(&'static str, Vec<u8>)>;

fn any_keys() -> impl Strategy<Value = OwnedKeys> {
    let optional = |keyword: &'static str, values: &'static [&'static str]| {
        proptest::option::of(
            (0..values.len()).prop_map(move |at| (keyword, values[at].as_bytes().to_vec())),
        )
    };
    (
        optional("PatientID", &["", "P1", "P2", "P*", "P1\\P2", "none"]),
        optional("StudyInstanceUID", &["", "1.3.0", "1.3.1", "1.3.1\\1.3.2", "9", "1.3.*"]),
        optional("SeriesInstanceUID", &["", "1.4.0", "1.4.1\\1.4.2"]),
        optional("SOPInstanceUID", &["", "1.2.1", "1.2.1\\1.2.5\\1.2.7"]),
        optional("PatientName", &PATTERNS),
        optional("StudyDate", &DATE_KEYS),
        optional("Modality", &MODALITY_KEYS),
        optional("InstanceNumber", &["", "1", "01"]),
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| {
            [a, b, c, d, e, f, g, h].into_iter().flatten().collect()
        })
}

fn borrowed<'k>(level: &'k str, keys: &'k OwnedKeys) -> Vec<(&'k str, &'k [u8])> {
    let keys = keys.iter().map(|(keyword, value)| (*keyword, &value[..]));
    keys.chain([("QueryRetrieveLevel", level.as_bytes())]).collect()
}

/// Later entries take the place of earlier ones with their UID, at the end.
fn arrived(entries: &[InstanceEntry]) -> Vec<InstanceEntry> {
    let mut kept: Vec<InstanceEntry> = Vec::new();
    for entry in entries {
        kept.retain(|other| other.sop_instance != entry.sop_instance);
        kept.push(entry.clone());
    }
    kept
}

/// Each instance once, so that nothing is replaced.
fn once(entries: Vec<InstanceEntry>) -> Vec<InstanceEntry> {
    let mut seen = BTreeSet::new();
    entries.into_iter().filter(|entry| seen.insert(entry.sop_instance)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// DCMTK's rules: every answer, value for value, on every level and model.
    #[test]
    fn dcmtk_is_the_plain_reading(
        entries in proptest::collection::vec(any_entry(), 1..14),
        queries in proptest::collection::vec((any_keys(), 0usize..4, any::<bool>(), 1usize..4), 8),
    ) {
        let entries = once(entries);
        let scratch = Scratch::new("query");
        let index = open(&scratch);
        put(&index, &entries);
        for (keys, level, is_study_root, per_page) in queries {
            let (level, text) = LEVELS[level];
            let model = if is_study_root { Model::StudyRoot } else { Model::PatientRoot };
            let with_level = borrowed(text, &keys);
            let answers = ask(&index, model, Rules::default(), &with_level, per_page);
            let has = |level: Level| keys.iter().any(|(key, _)| *key == UNIQUE[level as usize]);
            let missing = LEVELS.iter().map(|(level, _)| *level)
                .find(|at| *at >= model.top() && *at < level && !has(*at));
            match answers {
                Err(error) if level < model.top() => {
                    prop_assert_eq!(error, QueryError::LevelOutsideModel(level));
                }
                Err(error) => prop_assert_eq!(Some(error), missing.map(QueryError::NoUniqueKey)),
                Ok(answers) => {
                    prop_assert_eq!(missing, None);
                    let plain = dcmtk_answers(&entries, model, level, &with_level[..keys.len()]);
                    if keys.is_empty() {
                        continue;
                    }
                    let set: BTreeSet<_> = answers.iter().cloned().collect();
                    prop_assert_eq!(&set, &plain);
                    // Different entities may have one answer where the unique key is not asked for.
                    prop_assert!(answers.len() >= set.len());
                }
            }
        }
    }

    /// The standard's relational queries: an entity is found when one of its instances matches all
    /// keys; the same with replaced and removed instances.
    #[test]
    fn standard_is_the_plain_reading(
        entries in proptest::collection::vec(any_entry(), 1..14),
        removed in 0u8..12,
        queries in proptest::collection::vec((any_keys(), 0usize..4, 1usize..4), 8),
    ) {
        let scratch = Scratch::new("query");
        let index = open(&scratch);
        put(&index, &entries);
        let sop_instance = UidText::new(format!("1.2.{removed}").as_bytes()).unwrap();
        index.commit(&[IndexOp::Remove { sop_instance, only_at: None }]).unwrap();
        let mut entries = arrived(&entries);
        entries.retain(|entry| entry.sop_instance != sop_instance);
        let rules = Rules { set: RuleSet::Standard, is_relational: true, ..Rules::default() };
        for (keys, level, per_page) in queries {
            let (level, text) = LEVELS[level];
            let mut keys: OwnedKeys = keys;
            for keyword in &UNIQUE[..=level as usize] {
                if keys.iter().all(|(key, _)| key != keyword) {
                    keys.push((keyword, Vec::new()));
                }
            }
            let found = ask(&index, Model::PatientRoot, rules, &borrowed(text, &keys), per_page);
            let found: Vec<Vec<Vec<u8>>> = found.unwrap().iter().map(|answer| {
                UNIQUE[..=level as usize].iter().map(|key| {
                    answer.iter().find(|(at, _)| *at == tag(key)).unwrap().1.clone()
                }).collect()
            }).collect();
            let plain: BTreeSet<_> = entries.iter().filter(|entry| {
                keys.iter().all(|(keyword, wanted)| {
                    let attribute = find(tag(keyword)).unwrap();
                    StandardKey::compile_text(attribute.vr, wanted, CharacterSet::ASCII)
                        .matches(value(entry, attribute.tag), CharacterSet::ASCII)
                })
            }).map(|entry| tuple(entry, level)).collect();
            prop_assert_eq!(found.len(), plain.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), plain);
        }
    }

    /// What is retrieved: the instances that match, each once.
    #[test]
    fn retrieval_is_the_plain_reading(
        entries in proptest::collection::vec(any_entry(), 1..14),
        queries in proptest::collection::vec((any_keys(), 0usize..4, 1usize..4), 8),
    ) {
        let scratch = Scratch::new("query");
        let index = open(&scratch);
        put(&index, &entries);
        let entries = arrived(&entries);
        for (keys, level, per_page) in queries {
            let (level, text) = LEVELS[level];
            let bytes = identifier(&borrowed(text, &keys));
            let item = Item::read(&bytes, ENCODING).unwrap();
            let query = Query::compile(
                &item, ENCODING, Model::PatientRoot, Rules::default(), Purpose::Retrieve,
            ).unwrap();
            let (mut cursor, mut found) = (Cursor::default(), Vec::new());
            loop {
                let reader = index.read().unwrap();
                let mut count = 0;
                let progress = query.page(&reader, &mut cursor, |one| {
                    found.push(one.instance().unwrap().sop_instance().to_vec());
                    count += 1;
                    count < per_page
                }).unwrap();
                if progress == Progress::Done {
                    break;
                }
            }
            let has = |at: &(Level, &str)| keys.iter().any(|(key, _)| *key == UNIQUE[at.0 as usize]);
            let is_void = LEVELS[..level as usize].iter().any(|at| !has(at));
            let plain: BTreeSet<_> = entries.iter().filter(|entry| {
                !is_void && keys.iter().all(|(keyword, wanted)| {
                    let attribute = find(tag(keyword)).unwrap();
                    let is_unique = attribute.dcmtk == Some(KeyClass::Unique);
                    let counts =
                        attribute.level == level || (attribute.level < level && is_unique);
                    !counts || DcmtkKey::compile(attribute.vr, wanted, CharacterSet::ASCII)
                        .matches(value(entry, attribute.tag), CharacterSet::ASCII)
                })
            }).map(|entry| entry.sop_instance.as_bytes().to_vec()).collect();
            prop_assert_eq!(found.len(), plain.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), plain);
        }
    }
}

/// A study of many instances, and many studies.
fn filled(studies: u32, instances: u32) -> (Scratch, Arc<Index>) {
    let scratch = Scratch::new("query-filled");
    let index = open(&scratch);
    let mut entries = Vec::new();
    for study in 0..studies {
        for instance in 0..instances {
            let mut entry = entry_of(
                &format!("1.2.{study}.{instance}"),
                &format!("P{study}"),
                &format!("1.3.{study}"),
                &format!("1.4.{study}.{}", instance % 3),
            );
            let name = format!("Name{study}^Given");
            entry.attributes.set(tags::PATIENT_NAME, name.as_bytes());
            entry.attributes.set(tags::MODALITY, [&b"CT"[..], b"MR", b"SR"][instance as usize % 3]);
            entry.attributes.set(tag("StudyID"), study.to_string().as_bytes());
            entry.attributes.set(tag("PatientSex"), b"O");
            entry.attributes.set(tag("InstanceNumber"), instance.to_string().as_bytes());
            entries.push(entry);
        }
    }
    put(&index, &entries);
    (scratch, index)
}

/// Pages end by rows looked at, too, and resume where they ended; every key finds its own.
#[test]
fn pages_and_plans() {
    let (_scratch, index) = filled(3000, 3);
    let all = |keys: &[(&str, &[u8])]| {
        ask(&index, Model::StudyRoot, Rules::default(), keys, usize::MAX).unwrap().len()
    };
    let study: (&str, &[u8]) = ("QueryRetrieveLevel", b"STUDY");
    assert_eq!(all(&[study, ("StudyInstanceUID", b"")]), 3000);
    assert_eq!(all(&[study, ("PatientSex", b"O"), ("StudyInstanceUID", b"")]), 3000);
    assert_eq!(all(&[study, ("PatientSex", b"F"), ("StudyInstanceUID", b"")]), 0);
    assert_eq!(all(&[study, ("PatientName", b"Name17*"), ("StudyInstanceUID", b"")]), 111);
    assert_eq!(all(&[study, ("StudyID", b"2999")]), 1);
    let image: (&str, &[u8]) = ("QueryRetrieveLevel", b"IMAGE");
    let keys =
        [image, ("StudyInstanceUID", b""), ("SeriesInstanceUID", b""), ("SOPInstanceUID", b"")];
    assert_eq!(all(&keys), 9000);
}

/// A relational query that looks below a patient pauses there, too, and comes to the same end: one
/// transaction, and the time between two looks for a C-CANCEL, do not grow with the patient.
#[test]
fn a_large_patient_is_gone_through_in_pages() {
    let instances = 3 * limits::QUERY_ROWS_PER_PAGE as u32;
    let (_scratch, index) = filled(2, instances);
    let rules = Rules { set: RuleSet::Standard, is_relational: true, ..Rules::default() };
    let last = (instances - 1).to_string();
    for (level, wanted, count) in [
        ("PATIENT", "0", 2),
        ("PATIENT", &last, 2),
        ("PATIENT", "none", 0),
        ("STUDY", &last, 2),
        ("SERIES", &last, 2),
        ("SERIES", "none", 0),
    ] {
        let keys =
            [("QueryRetrieveLevel", level.as_bytes()), ("InstanceNumber", wanted.as_bytes())];
        let bytes = identifier(&keys);
        let item = Item::read(&bytes, ENCODING).unwrap();
        let query =
            Query::compile(&item, ENCODING, Model::PatientRoot, rules, Purpose::Find).unwrap();
        let (mut cursor, mut found, mut pages) = (Cursor::default(), 0, 0);
        loop {
            let reader = index.read().unwrap();
            pages += 1;
            let visit = |_: &_| {
                found += 1;
                true
            };
            if query.page(&reader, &mut cursor, visit).unwrap() == Progress::Done {
                break;
            }
            assert!(pages < 100, "{level} {wanted}");
        }
        assert_eq!(found, count, "{level} {wanted}");
        assert_eq!(pages > 4, wanted != "0", "{level} {wanted}: {pages} pages");
    }
}

/// A key with limits::QUERY_CANDIDATES_MAX candidates is gone through by them, one with more in pages
/// over everything: the answers are the same.
#[test]
fn edge_of_candidates() {
    let candidates = limits::QUERY_CANDIDATES_MAX;
    let scratch = Scratch::new("query-candidates");
    let index = open(&scratch);
    let entry = |at: usize, name: &[u8]| {
        let (study, patient) = (format!("1.3.{at}"), format!("P{at}"));
        let mut entry = entry_of(&format!("1.2.{at}"), &patient, &study, &format!("{study}.1"));
        entry.attributes.set(tags::PATIENT_NAME, name);
        entry
    };
    put(&index, &[entry(0, b"Other")]);
    let most: Vec<_> = (1..candidates).map(|at| entry(at, b"Doe^Jane")).collect();
    most.chunks(8192).for_each(|some| put(&index, some));
    for held in candidates - 1..=candidates + 1 {
        let keys = [("QueryRetrieveLevel", &b"STUDY"[..]), ("PatientName", b"Doe^Jane")];
        let bytes = identifier(&keys);
        let item = Item::read(&bytes, ENCODING).unwrap();
        let (model, rules) = (Model::StudyRoot, Rules::default());
        let query = Query::compile(&item, ENCODING, model, rules, Purpose::Find).unwrap();
        let (mut cursor, mut found) = (Cursor::default(), 0);
        loop {
            let reader = index.read().unwrap();
            let mut visit = |_: &_| {
                found += 1;
                true
            };
            if query.page(&reader, &mut cursor, &mut visit).unwrap() == Progress::Done {
                break;
            }
        }
        assert_eq!(found, held);
        put(&index, &[entry(held + 1, b"Doe^Jane")]);
    }
}

/// One value a million times, of a UID that many patients have: each is looked up once, whatever the
/// list says, and more UIDs than limits::QUERY_CANDIDATES_MAX are found by going through everything.
#[test]
fn hostile_lists_of_uids() {
    let scratch = Scratch::new("query-lists");
    let index = open(&scratch);
    let entries: Vec<_> = (0..300)
        .map(|at| entry_of(&format!("1.2.{at}"), &format!("P{at}"), "1", &format!("1.4.{at}")))
        .collect();
    put(&index, &entries);
    let many = b"1\\".repeat(limits::IDENTIFIER_BYTES_MAX / 2 - 64);
    let others: Vec<String> =
        (0..=limits::QUERY_CANDIDATES_MAX).map(|at| format!("3.{at}")).collect();
    let different = format!("1\\{}", others.join("\\"));
    let began = Instant::now();
    for list in [&many[..], different.as_bytes()] {
        for (level, key, count) in
            [("STUDY", "StudyInstanceUID", 300), ("IMAGE", "StudyInstanceUID", 300)]
        {
            let keys = [("QueryRetrieveLevel", level.as_bytes()), (key, list)];
            let rules = Rules { set: RuleSet::Standard, is_relational: true, ..Rules::default() };
            let answers = ask(&index, Model::StudyRoot, rules, &keys, 1000).unwrap();
            assert_eq!(answers.len(), count, "{level}");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// Each value of a list is compared with each record: limits::QUERY_VALUES_MAX at most, and with many of
/// them a page has few records (limits::QUERY_KEY_BYTES_PER_ROW), so that whoever asks can stop it.
#[test]
fn edge_of_values() {
    const STUDIES: usize = 60;
    let (_scratch, index) = filled(STUDIES as u32, 1);
    let rules = Rules { set: RuleSet::Standard, ..Rules::default() };
    for key in ["PatientWeight", "PatientName", "EthnicGroup", "StudyDate", "ModalitiesInStudy"] {
        for (count, is_taken) in
            [(limits::QUERY_VALUES_MAX, true), (limits::QUERY_VALUES_MAX + 1, false)]
        {
            let values: Vec<String> = (0..count).map(|at| format!("{}", 20_000_000 + at)).collect();
            // Empty values count for nothing.
            let mut list = format!("\\\\{}\\", values.join("\\"));
            list.extend((list.len() % 2 == 1).then_some(' '));
            // In Implicit VR: other lengths have 16 bits.
            let mut identifier = Vec::new();
            let mut keys = [
                (tag("QueryRetrieveLevel"), &b"STUDY "[..]),
                (tag("StudyInstanceUID"), b""),
                (tag(key), list.as_bytes()),
            ];
            keys.sort_by_key(|(tag, _)| *tag);
            for (tag, value) in keys {
                identifier.extend_from_slice(&tag.group().to_le_bytes());
                identifier.extend_from_slice(&tag.element().to_le_bytes());
                identifier.extend_from_slice(&(value.len() as u32).to_le_bytes());
                identifier.extend_from_slice(value);
            }
            let encoding = Encoding { is_explicit: false, ..ENCODING };
            let item = Item::read(&identifier, encoding).unwrap();
            let query = Query::compile(&item, encoding, Model::StudyRoot, rules, Purpose::Find);
            let Ok(query) = query else {
                assert!(!is_taken, "{key}");
                continue;
            };
            assert!(is_taken, "{key}");
            let (mut cursor, mut pages) = (Cursor::default(), 0);
            while query.page(&index.read().unwrap(), &mut cursor, |_| true).unwrap()
                == Progress::More
            {
                pages += 1;
            }
            let rows = limits::QUERY_ROWS_PER_PAGE * limits::QUERY_KEY_BYTES_PER_ROW / list.len();
            // A key of the index leads to none at all.
            let is_led = ["PatientName", "StudyDate"].contains(&key);
            assert!(is_led || pages >= STUDIES / (rows + 1), "{key}: {pages} pages, {rows} rows");
        }
    }
}

/// Every instance of a study disagrees about it: each of its sets of values is looked at once, and
/// found by its number.
#[test]
fn as_many_sets_as_instances() {
    let count = 2 * limits::QUERY_ROWS_PER_PAGE as u32 + 100;
    let scratch = Scratch::new("query-sets");
    let index = open(&scratch);
    let entries: Vec<_> = (0..count)
        .map(|number| {
            let mut entry = entry_of(&format!("1.2.{number}"), "P", "1.3", "1.4");
            let time = format!("12{:02}{:02}", number / 60 % 60, number % 60);
            entry.attributes.set(tag("StudyTime"), time.as_bytes());
            entry.attributes.set(tag("StudyID"), number.to_string().as_bytes());
            entry
        })
        .collect();
    entries.chunks(4096).for_each(|some| put(&index, some));
    let relational = Rules { set: RuleSet::Standard, is_relational: true, ..Rules::default() };
    let in_half = |number: &u32| number / 60 % 60 < 30;
    let half = (0..count).filter(in_half).count();
    for (level, rules, time, wanted) in [
        ("IMAGE", Rules::default(), &b""[..], count as usize),
        ("IMAGE", relational, b"120000-122959", half),
        ("SERIES", relational, b"120000-122959", 1),
        ("STUDY", relational, b"120000-122959", 1),
        ("IMAGE", relational, b"13", 0),
    ] {
        let keys = [
            ("QueryRetrieveLevel", level.as_bytes()),
            ("StudyInstanceUID", b"1.3"),
            ("SeriesInstanceUID", if level == "IMAGE" { b"1.4" } else { b"" }),
            ("StudyTime", time),
            ("StudyID", b""),
        ];
        let bytes = identifier(&keys);
        let item = Item::read(&bytes, ENCODING).unwrap();
        let query =
            Query::compile(&item, ENCODING, Model::StudyRoot, rules, Purpose::Find).unwrap();
        let (mut cursor, mut found, mut pages) = (Cursor::default(), 0, 0);
        loop {
            let reader = index.read().unwrap();
            let mut visit = |_: &_| {
                found += 1;
                true
            };
            pages += 1;
            if query.page(&reader, &mut cursor, &mut visit).unwrap() == Progress::Done {
                break;
            }
            assert!(pages < 20, "{level}: {found} of {wanted}");
        }
        assert_eq!(found, wanted, "{level}");
        assert!(wanted < 2 || pages > 2, "{level}: {pages} pages");
    }
}

/// Where the instance that made a study's set of values is gone, the earliest one that still has it
/// is looked for in pages, over all series.
#[test]
fn the_next_holder_of_a_set_is_looked_for_in_pages() {
    let others = 2 * limits::QUERY_ROWS_PER_PAGE as u32;
    let scratch = Scratch::new("query-holders");
    let index = open(&scratch);
    let entry = |number: u32, series: &str, study_id: &[u8]| {
        let mut entry = entry_of(&format!("1.2.{number}"), "P", "1.3", series);
        entry.attributes.set(tag("StudyID"), study_id);
        entry.attributes.set(tag("InstanceNumber"), number.to_string().as_bytes());
        entry
    };
    let mut entries = vec![entry(0, "1.4.0", b"A"), entry(1, "1.4.1", b"B")];
    entries.extend((2..others).map(|number| entry(number, "1.4.0", b"A")));
    let [in_a_later_series, in_the_first] = [others, others + 1];
    entries.push(entry(in_a_later_series, "1.4.1", b"B"));
    entries.push(entry(in_the_first, "1.4.0", b"B"));
    put(&index, &entries);
    let keys: [(&str, &[u8]); 4] = [
        ("QueryRetrieveLevel", b"STUDY"),
        ("StudyInstanceUID", b""),
        ("StudyID", b"B"),
        ("InstanceNumber", b""),
    ];
    for (removed, left) in [(1, in_a_later_series), (in_a_later_series, in_the_first)] {
        let sop_instance = UidText::new(format!("1.2.{removed}").as_bytes()).unwrap();
        index.commit(&[IndexOp::Remove { sop_instance, only_at: None }]).unwrap();
        let answers = ask(&index, Model::StudyRoot, Rules::default(), &keys, 1).unwrap();
        assert_eq!(answers.len(), 1);
        let number = (tag("InstanceNumber"), left.to_string().into_bytes());
        assert!(answers[0].contains(&number), "{answers:?}");
        let bytes = identifier(&keys);
        let item = Item::read(&bytes, ENCODING).unwrap();
        let (model, rules) = (Model::StudyRoot, Rules::default());
        let query = Query::compile(&item, ENCODING, model, rules, Purpose::Find).unwrap();
        let reader = index.read().unwrap();
        let first_page = query.page(&reader, &mut Cursor::default(), |_| panic!("not yet"));
        assert_eq!(first_page.unwrap(), Progress::More);
    }
}

/// PS3.4 §C.3.4, Tables C.6-1 to C.6-3: counts, ModalitiesInStudy, unsupported keys empty, FF01H.
#[test]
fn computed_keys() {
    let (_scratch, index) = filled(3, 6);
    let rules = Rules { set: RuleSet::Standard, ..Rules::default() };
    let keys: [(&str, &[u8]); 8] = [
        ("QueryRetrieveLevel", b"STUDY"),
        ("StudyInstanceUID", b"1.3.1"),
        ("ModalitiesInStudy", b"MR"),
        ("NumberOfStudyRelatedInstances", b""),
        ("NumberOfStudyRelatedSeries", b""),
        ("SOPClassesInStudy", b""),
        ("InstanceAvailability", b""),
        ("SeriesInstanceUID", b""),
    ];
    let answers = ask(&index, Model::StudyRoot, rules, &keys, 9).unwrap();
    assert_eq!(answers.len(), 1);
    let get = |keyword: &str| {
        answers[0].iter().find(|(at, _)| *at == tag(keyword)).map(|(_, value)| &value[..])
    };
    assert_eq!(get("ModalitiesInStudy"), Some(&b"CT\\MR\\SR"[..]));
    assert_eq!(get("NumberOfStudyRelatedInstances"), Some(&b"6"[..]));
    assert_eq!(get("NumberOfStudyRelatedSeries"), Some(&b"3"[..]));
    assert_eq!(get("SOPClassesInStudy"), Some(&b"1.2.840.10008.5.1.4.1.1.2"[..]));
    assert_eq!(get("InstanceAvailability"), Some(&b"ONLINE"[..]));
    assert_eq!(get("SeriesInstanceUID"), Some(&b""[..]));
    let bytes = identifier(&keys);
    let item = Item::read(&bytes, ENCODING).unwrap();
    let compile = |rules| Query::compile(&item, ENCODING, Model::StudyRoot, rules, Purpose::Find);
    assert!(compile(rules).unwrap().has_unsupported_keys());
    assert!(!compile(Rules { is_relational: true, ..rules }).unwrap().has_unsupported_keys());
    let other: Vec<_> = keys
        .iter()
        .map(
            |(key, value)| {
                if *key == "ModalitiesInStudy" { (*key, &b"US"[..]) } else { (*key, *value) }
            },
        )
        .collect();
    assert!(ask(&index, Model::StudyRoot, rules, &other, 9).unwrap().is_empty());
}

/// FORMAT.md, `keys`: sixteen parts of a value have keys of their own, and all of them are found, whatever key
/// leads there.
#[test]
fn values_of_many_parts() {
    let scratch = Scratch::new("query-parts");
    let index = open(&scratch);
    let names: Vec<_> = (1..=40).map(|at| format!("PART{at:02}^X")).collect();
    let numbers: Vec<_> = (1..=40).map(|at| format!("NO{at:02}")).collect();
    let mut entry = entry_of("1.2", "P", "1.3", "1.4");
    let mut set = |keyword: &str, values: &[String]| {
        entry.attributes.set(tag(keyword), values.join("\\").as_bytes());
    };
    set("ReferringPhysicianName", &names);
    set("AccessionNumber", &numbers);
    // And many studies that are not meant, so that going through everything would show.
    let others: Vec<_> = (0..300)
        .map(|at| {
            let mut other = entry_of(&format!("1.9.{at}"), "Q", &format!("1.8.{at}"), "1.4");
            other.attributes.set(tag("AccessionNumber"), format!("OTHER{at}").as_bytes());
            other
        })
        .collect();
    put(&index, &[vec![entry], others].concat());
    let standard = Rules { set: RuleSet::Standard, ..Rules::default() };
    let found = |rules, keyword: &str, value: &str| {
        let keys: [(&str, &[u8]); 3] = [
            ("QueryRetrieveLevel", b"STUDY"),
            ("StudyInstanceUID", b""),
            (keyword, value.as_bytes()),
        ];
        ask(&index, Model::StudyRoot, rules, &keys, 9).unwrap().len()
    };
    for at in [0, 14, 15, 16, 17, 39] {
        assert_eq!(found(standard, "AccessionNumber", &numbers[at]), 1, "{at}");
        assert_eq!(
            found(standard, "AccessionNumber", &format!("{}*", &numbers[at][..4])),
            1,
            "{at}"
        );
        assert_eq!(found(standard, "ReferringPhysicianName", &names[at].to_lowercase()), 1, "{at}");
    }
    assert_eq!(found(standard, "AccessionNumber", "NO41"), 0);
}

/// PS3.4 §C.3.4: a study of more modalities than anybody has is told and found by all of them, from each
/// of its series.
#[test]
fn a_study_of_a_hundred_modalities() {
    let scratch = Scratch::new("query-modalities");
    let index = open(&scratch);
    let modalities: Vec<_> = (0..100).map(|at| format!("M{at:02}")).collect();
    let entries: Vec<_> = modalities
        .iter()
        .enumerate()
        .map(|(at, modality)| {
            let mut entry = entry_of(&format!("1.2.{at}"), "P", "1.3", &format!("1.4.{at}"));
            entry.attributes.set(tags::MODALITY, modality.as_bytes());
            entry.sop_class = UidText::new(format!("1.5.{at}").as_bytes()).unwrap();
            entry
        })
        .collect();
    put(&index, &entries);
    put(&index, &[entry_of("1.9", "P", "1.8", "1.7")]);
    let rules = Rules { set: RuleSet::Standard, is_relational: true, ..Rules::default() };
    let keys = |level: &'static [u8], modality: &'static [u8]| -> [(&str, &[u8]); 4] {
        [
            ("QueryRetrieveLevel", level),
            ("StudyInstanceUID", b""),
            ("ModalitiesInStudy", modality),
            ("SOPClassesInStudy", b""),
        ]
    };
    for (level, count) in [(&b"STUDY"[..], 1), (b"SERIES", 100), (b"IMAGE", 100)] {
        let answers = ask(&index, Model::StudyRoot, rules, &keys(level, b"M99"), 9).unwrap();
        assert_eq!(answers.len(), count);
        for answer in answers {
            let get = |keyword| answer.iter().find(|(at, _)| *at == tag(keyword)).map(|one| &one.1);
            assert_eq!(get("ModalitiesInStudy"), Some(&modalities.join("\\").into_bytes()));
            let classes = get("SOPClassesInStudy").unwrap();
            assert_eq!(classes.split(|byte| *byte == b'\\').count(), 100);
        }
    }
    // Two studies in turn, in one page: each its own.
    let both = ask(&index, Model::StudyRoot, rules, &keys(b"SERIES", b""), 500).unwrap();
    let of = |answer: &Answer, keyword| {
        answer.iter().find(|(at, _)| *at == tag(keyword)).map(|one| one.1.clone()).unwrap()
    };
    for answer in both {
        let is_first = of(&answer, "StudyInstanceUID") == b"1.3";
        assert_eq!(of(&answer, "ModalitiesInStudy").is_empty(), !is_first);
    }
}

/// Statuses: what the standard's rules refuse, and what DCMTK's refuse with `--check-find`.
#[test]
fn refused() {
    let compile = |model, rules, purpose, keys: &[(&str, &[u8])]| {
        let bytes = identifier(keys);
        let item = Item::read(&bytes, ENCODING).unwrap();
        Query::compile(&item, ENCODING, model, rules, purpose).map(|_| ())
    };
    let standard = Rules { set: RuleSet::Standard, ..Rules::default() };
    let checks = Rules { checks_identifier: true, ..Rules::default() };
    let level = |text: &'static [u8]| ("QueryRetrieveLevel", text);
    let (root, find) = (Model::PatientRoot, Purpose::Find);
    assert_eq!(compile(root, standard, find, &[]), Err(QueryError::NoLevel));
    assert_eq!(compile(root, Rules::default(), find, &[level(b"")]), Err(QueryError::NoLevel));
    assert_eq!(
        compile(root, Rules::default(), find, &[level(b"studyX")]),
        Err(QueryError::NoUniqueKey(Level::Patient))
    );
    assert_eq!(compile(root, standard, find, &[level(b"study")]), Err(QueryError::UnknownLevel));
    assert_eq!(
        compile(root, Rules::default(), find, &[level(b"X")]),
        Err(QueryError::UnknownLevel)
    );
    assert_eq!(
        compile(root, standard, find, &[level(b"STUDY"), ("StudyInstanceUID", b"")]),
        Err(QueryError::NoUniqueKey(Level::Patient))
    );
    let only = Model::PatientStudyOnly;
    let keys = [level(b"SERIES"), ("PatientID", &b"P1"[..]), ("StudyInstanceUID", b"1")];
    assert_eq!(
        compile(only, standard, find, &keys),
        Err(QueryError::LevelOutsideModel(Level::Series))
    );
    assert_eq!(compile(only, Rules::default(), find, &keys), Ok(()));
    assert!(compile(only, checks, find, &keys).is_err());
    let with =
        |extra: (&'static str, &'static [u8])| [level(b"STUDY"), ("PatientID", b"P1"), extra];
    assert_eq!(compile(root, checks, find, &with(("StudyDate", b""))), Ok(()));
    for extra in [("Modality", &b"CT"[..]), ("PatientName", b""), ("PatientComments", b"x")] {
        assert!(compile(root, checks, find, &with(extra)).is_err(), "{extra:?}");
    }
    assert!(
        compile(root, checks, find, &[level(b"STUDY"), ("PatientID", b""), ("StudyDate", b"")])
            .is_err()
    );
    assert!(compile(root, checks, Purpose::Retrieve, &with(("StudyDate", b""))).is_err());
    assert_eq!(compile(root, checks, Purpose::Retrieve, &with(("StudyInstanceUID", b"1"))), Ok(()));
    let retrieve = Purpose::Retrieve;
    assert!(compile(root, standard, retrieve, &[level(b"PATIENT"), ("PatientID", b"*")]).is_err());
    assert!(compile(root, standard, retrieve, &[level(b"PATIENT"), ("PatientID", b"")]).is_err());
    // DIFFERENCES.md B6: keys outside DCMTK's record do no harm.
    assert_eq!(compile(root, Rules::default(), find, &with(("PatientComments", b"x"))), Ok(()));
}
