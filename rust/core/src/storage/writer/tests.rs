//! Writers over a backend in memory, which can forget and fail.

use super::*;
use crate::ae_title::AeTitle;
use crate::storage::backend::faulty::{Faulty, Plan};
use crate::storage::backend::memory::Memory;
use crate::storage::backend::{Backend, NameSource};
use crate::storage::durability::Durability;
use crate::storage::naming::{FileNaming, LocalTime, SubdirectoryNaming};
use crate::storage::renumber::Renaming;
use crate::storage::studies::Origin;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Mutex;

pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const MODES: [Durability; 3] = [Durability::None, Durability::Group, Durability::Each];

/// A clock that stands still and a chance that counts.
struct Still(Mutex<u128>);

impl NameSource for Still {
    fn local_time(&self) -> LocalTime {
        LocalTime::EPOCH
    }
    fn chance(&self) -> u128 {
        let mut count = self.0.lock().unwrap();
        *count += 1;
        // Each number twice, so that names meet existing ones.
        *count / 2
    }
    fn unix_time_s(&self) -> u32 {
        0
    }
}

pub fn store(backend: Arc<dyn Backend>, change: impl FnOnce(&mut StoreOptions)) -> Arc<Store> {
    let mut options = StoreOptions::new("memory");
    change(&mut options);
    Store::with_backend(options, backend, Arc::new(Still(Mutex::new(0)))).unwrap()
}

pub fn in_memory(change: impl FnOnce(&mut StoreOptions)) -> (Memory, Arc<Store>) {
    let memory = Memory::default();
    let store = store(Arc::new(memory.clone()), change);
    (memory, store)
}

pub fn request(uid: &str) -> InstanceRequest {
    InstanceRequest {
        sop_class: UidText::new(CT.as_bytes()).unwrap(),
        sop_instance: UidText::new(uid.as_bytes()).unwrap(),
        transfer_syntax: Uid::known("1.2.840.10008.1.2.1"),
        calling_ae_title: AeTitle::new(b"TESTSCU"),
    }
}

pub fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let vr = crate::vr::Vr(vr.as_bytes().try_into().unwrap());
    crate::dataset::encode::element(&mut out, Tag::new(group, number), vr, value, 0);
    out
}

pub fn data_set(class: &str, uid: &str, pixels: &[u8]) -> Vec<u8> {
    [
        element(8, 0x16, "UI", class.as_bytes()),
        element(8, 0x18, "UI", uid.as_bytes()),
        element(8, 0x21, "DA", b"20200103"),
        element(0x7FE0, 0x10, "OW", pixels),
    ]
    .concat()
}

pub fn send(store: &Arc<Store>, uid: &str, fragments: &[&[u8]]) -> Result<Stored, StoreError> {
    let mut writer = store.begin(&request(uid));
    for fragment in fragments {
        writer.append(&[fragment])?;
    }
    writer.finish()
}

fn names(memory: &Memory) -> Vec<String> {
    memory.files().into_keys().collect()
}

// ---- What is written ---------------------------------------------------------------------

/// One object at once: create, one append, close, rename, and not a call more.
#[test]
fn a_small_object_costs_four_calls() {
    let memory = Memory::default();
    let plan = Plan::new(0, false, 0);
    let backend = Faulty::new(Arc::new(memory.clone()), Arc::clone(&plan));
    let store = store(Arc::new(backend), |_| {});
    let data = data_set(CT, "1.2.3", &[1; 100]);
    let mut writer = store.begin(&request("1.2.3"));
    assert_eq!(plan.calls(), 0);
    writer.append(&[&data[..40], &data[40..]]).unwrap();
    assert!(names(&memory).iter().all(|name| name.starts_with(".dcmfast-")));
    let stored = writer.finish().unwrap();
    assert_eq!(plan.calls(), 4);
    assert_eq!(stored.file_name, "CT.1.2.3");
    assert_eq!(stored.path.unwrap(), PathBuf::from("memory/CT.1.2.3"));
    assert_eq!(stored.duplicate, Duplicate::None);
    assert!(stored.name_warning.is_none());
    let file = &memory.files()["CT.1.2.3"];
    assert_eq!(stored.file_bytes, file.len() as u64);
    assert_eq!(stored.data_set_bytes, data.len() as u64);
    assert!(file.ends_with(&data));
    assert_eq!(&file[128..132], b"DICM");
    assert!(file.windows(7).any(|text| text == b"TESTSCU"));
}

/// `-F`: the data set and nothing else.
#[test]
fn without_meta() {
    let (memory, store) = in_memory(|options| options.with_meta = false);
    let data = data_set(CT, "1.2.3", &[1; 100]);
    send(&store, "1.2.3", &[&data]).unwrap();
    assert_eq!(memory.files()["CT.1.2.3"], data);
}

/// DCMTK 3.6.7: normal mode names the data set's UIDs and dcmrecv no title; bit
/// preserving mode names the command's.
#[test]
fn file_meta_by_mode_and_dialect() {
    let data = data_set("1.2.840.10008.5.1.4.1.1.4", "9.9", b"");
    let file = |change: fn(&mut StoreOptions)| {
        let (memory, store) = in_memory(change);
        send(&store, "1.2.3", &[&data]).unwrap();
        let file = memory.files()["CT.1.2.3"].clone();
        let meta = String::from_utf8_lossy(&file[..file.len() - data.len()]).into_owned();
        assert!(file.ends_with(&data));
        meta
    };
    let dcmrecv = file(|options| options.dialect = Dialect::Dcmrecv);
    assert!(dcmrecv.contains("9.9\0") && !dcmrecv.contains("1.2.3\0"));
    assert!(dcmrecv.contains("DCMFAST_") && !dcmrecv.contains("TESTSCU"));
    let preserved = file(|options| options.mode = StoreMode::BitPreserving);
    assert!(preserved.contains("1.2.3\0") && !preserved.contains("9.9\0"));
    assert!(preserved.contains("DCMFBP_") && preserved.contains("TESTSCU"));
}

/// A data set whose UIDs come late is held no longer than the bound; the header then has the
/// command's.
#[test]
fn late_uids() {
    let (memory, store) = in_memory(|_| {});
    let early = element(8, 0x0001, "UN", &vec![0; HEAD_HOLD_BYTES_MAX]);
    let data = [early, data_set(CT, "1.2.3", b"")].concat();
    let mut writer = store.begin(&request("1.2.3"));
    for fragment in data.chunks(1000) {
        writer.append(&[fragment]).unwrap();
        assert!(writer.held.len() <= HEAD_HOLD_BYTES_MAX);
    }
    writer.finish().unwrap();
    assert!(memory.files()["CT.1.2.3"].ends_with(&data));
}

/// limits::HEAD_HOLD_BYTES_MAX: as much is held, one byte more is written.
#[test]
fn edge_of_what_is_held() {
    for (length, is_held) in [(-1, true), (0, true), (1, false)] {
        let (_memory, store) = in_memory(|_| {});
        let length = HEAD_HOLD_BYTES_MAX.saturating_add_signed(length);
        let early = element(8, 0x0001, "UN", &vec![0; length]);
        let mut writer = store.begin(&request("1.2.3"));
        writer.append(&[&early[..length]]).unwrap();
        assert_eq!(writer.held.len() == length, is_held, "{length}");
    }
}

/// More fragments than one write takes.
#[test]
fn many_fragments_at_once() {
    let (memory, store) = in_memory(|_| {});
    let data = data_set(CT, "1.2.3", &[7; 5000]);
    let fragments: Vec<&[u8]> = data.chunks(3).collect();
    let mut writer = store.begin(&request("1.2.3"));
    writer.append(&fragments).unwrap();
    writer.finish().unwrap();
    assert!(memory.files()["CT.1.2.3"].ends_with(&data));
}

// ---- What is refused ---------------------------------------------------------------------

type Expected = fn(&StoreError) -> bool;

/// The table at the head of this file, and DIFFERENCES.md A3, A4, A9: nothing is left.
#[test]
fn refusals_leave_nothing_and_spare_what_was_stored() {
    let good = data_set(CT, "1.2.3", &[1; 10]);
    let class_missing = element(8, 0x18, "UI", b"1.2.3");
    let instance_empty =
        [element(8, 0x16, "UI", CT.as_bytes()), element(8, 0x18, "UI", b"")].concat();
    let other_class = data_set("1.2.840.10008.5.1.4.1.1.4", "1.2.3", b"");
    let other_instance = data_set(CT, "1.2.4", b"");
    let long_instance = data_set(CT, &"1".repeat(66), b"");
    let cases: [(&[u8], Expected, bool); 7] = [
        (b"", |error| matches!(error, StoreError::Empty), false),
        (&good[..good.len() - 1], |error| matches!(error, StoreError::Scan(_)), false),
        (&class_missing, |error| matches!(error, StoreError::MissingUid(tag::SOP_CLASS_UID)), true),
        (
            &instance_empty,
            |error| matches!(error, StoreError::MissingUid(tag::SOP_INSTANCE_UID)),
            true,
        ),
        (&other_class, |error| matches!(error, StoreError::SopClassMismatch(_)), true),
        (&other_instance, |error| matches!(error, StoreError::SopInstanceMismatch(_)), true),
        (&long_instance, |error| matches!(error, StoreError::SopInstanceMismatch(_)), true),
    ];
    for (data, is_expected, passes_in_dcmrecv) in cases {
        let (memory, store) = in_memory(|_| {});
        send(&store, "1.2.3", &[&good]).unwrap();
        let before = memory.files();
        for cut in [0, data.len() / 2, data.len()] {
            let error = send(&store, "1.2.3", &[&data[..cut], &data[cut..]]).unwrap_err();
            assert!(is_expected(&error), "{error}");
            assert_eq!(memory.files(), before);
        }
        let (_, dcmrecv) = in_memory(|options| options.dialect = Dialect::Dcmrecv);
        let result = send(&dcmrecv, "1.2.3", &[data]);
        assert_eq!(result.is_ok(), passes_in_dcmrecv, "{result:?}");
        let (memory, ignoring) = in_memory(|options| options.mode = StoreMode::Ignore);
        let is_broken = matches!(send(&ignoring, "1.2.3", &[data]), Err(StoreError::Scan(_)));
        assert_eq!(is_broken, data.len() == good.len() - 1);
        assert!(memory.files().is_empty());
        let (memory, preserving) = in_memory(|options| options.mode = StoreMode::BitPreserving);
        send(&preserving, "1.2.3", &[data]).unwrap();
        assert!(memory.files()["CT.1.2.3"].ends_with(data));
    }
}

/// DCMTK 3.6.7, `-up`: padding around UIDs does not count.
#[test]
fn padded_uids_are_equal() {
    let (_, store) = in_memory(|_| {});
    for padded in ["1.2.3 ", " 1.2.3", "1.2.3\0\0", "1.2.3   "] {
        send(&store, "1.2.3", &[&data_set(CT, padded, b"")]).unwrap();
    }
}

/// After an error the rest of the message is swallowed; the writer cannot finish.
#[test]
fn the_rest_is_swallowed() {
    let (memory, store) = in_memory(|_| {});
    let mut writer = store.begin(&request("1.2.3"));
    writer.append(&[&data_set(CT, "1.2.3", b"xx")]).unwrap();
    assert_eq!(memory.files().len(), 1);
    writer.append(&[b"\xfe\xff\x0d\xe0\0\0\0\0"]).unwrap_err();
    assert!(memory.files().is_empty() && writer.is_abandoned());
    writer.append(&[&[0; 100]]).unwrap();
    assert!(matches!(writer.finish(), Err(StoreError::Abandoned)));
    let mut dropped = store.begin(&request("1.2.3"));
    dropped.append(&[&data_set(CT, "1.2.3", b"xx")]).unwrap();
    drop(dropped);
    assert!(memory.files().is_empty());
}

/// A command without instance UID gives no file called `CT.`.
#[test]
fn no_uid_no_name() {
    let (memory, store) = in_memory(|options| options.mode = StoreMode::BitPreserving);
    let error = send(&store, "", &[b"anything"]).unwrap_err();
    assert!(matches!(error, StoreError::MissingUid(_)), "{error}");
    assert!(memory.files().is_empty());
}

// ---- Duplicates and names ----------------------------------------------------------------

/// DIFFERENCES.md A5, in every durability mode.
#[test]
fn duplicates() {
    for durability in MODES {
        for policy in [DuplicatePolicy::Replace, DuplicatePolicy::Keep, DuplicatePolicy::Reject] {
            let (memory, store) = in_memory(|options| {
                options.durability = durability;
                options.duplicates = policy;
            });
            let (one, other) = (data_set(CT, "1.2.3", b"11"), data_set(CT, "1.2.3", b"22"));
            send(&store, "1.2.3", &[&one]).unwrap();
            let again = send(&store, "1.2.3", &[&one]).unwrap();
            assert_eq!(again.duplicate, Duplicate::Identical);
            let result = send(&store, "1.2.3", &[&other]);
            let stays = match (policy, result) {
                (DuplicatePolicy::Replace, Ok(stored)) => {
                    assert_eq!(stored.duplicate, Duplicate::Replaced);
                    &other
                }
                (DuplicatePolicy::Keep, Ok(stored)) => {
                    assert_eq!(stored.duplicate, Duplicate::Kept);
                    &one
                }
                (DuplicatePolicy::Reject, Err(StoreError::DuplicateRejected { .. })) => &one,
                (_, result) => panic!("{result:?}"),
            };
            assert_eq!(names(&memory), ["CT.1.2.3"]);
            assert!(memory.files()["CT.1.2.3"].ends_with(stays));
        }
    }
}

/// Names that hold no UID never meet an existing file.
#[test]
fn names_are_counted_up() {
    let data = data_set(CT, "1.2.3", b"");
    for (naming, expected) in [
        (FileNaming::SystemTime, ["19700101000000000.CT", "19700101000000000_0000.CT"]),
        (
            FileNaming::SystemTimeMicroseconds,
            ["19700101000000.000000.CT", "19700101000000.000000_0000.CT"],
        ),
        (FileNaming::ShortUnique, ["CT_0000000000000000", "CT_0000000000000001"]),
    ] {
        for durability in MODES {
            let (memory, store) = in_memory(|options| {
                options.file_naming = naming;
                options.durability = durability;
            });
            for expected in expected {
                assert_eq!(send(&store, "1.2.3", &[&data]).unwrap().file_name, expected);
            }
            assert_eq!(memory.files().len(), 2);
        }
    }
}

/// limits::NAME_ATTEMPTS_MAX names are tried beside the first: the last of them is taken, and then
/// there is no name any more, and nothing is left.
#[test]
fn edge_of_tried_names() {
    let data = data_set(CT, "1.2.3", b"");
    let (memory, store) = in_memory(|options| options.file_naming = FileNaming::SystemTime);
    memory.occupy("19700101000000000.CT");
    for serial in 0..NAME_ATTEMPTS_MAX - 1 {
        memory.occupy(&format!("19700101000000000_{serial:04}.CT"));
    }
    let last = send(&store, "1.2.3", &[&data]).unwrap();
    assert_eq!(last.file_name, format!("19700101000000000_{}.CT", NAME_ATTEMPTS_MAX - 1));
    let refused = send(&store, "1.2.3", &[&data]);
    assert!(matches!(refused, Err(StoreError::NoFreeName { .. })), "{refused:?}");
    assert_eq!(names(&memory).len(), NAME_ATTEMPTS_MAX as usize + 1);
}

/// dcmrecv's `+ssd`.
#[test]
fn subdirectories_by_series_date() {
    let (memory, store) =
        in_memory(|options| options.subdirectory = SubdirectoryNaming::SeriesDate);
    let stored = send(&store, "1.2.3", &[&data_set(CT, "1.2.3", b"")]).unwrap();
    assert_eq!(stored.path.unwrap(), PathBuf::from("memory/data/2020/01/03/CT.1.2.3"));
    assert_eq!(names(&memory), ["data/2020/01/03/CT.1.2.3"]);
}

/// DIFFERENCES.md F1: the caller is told.
#[test]
fn hostile_uid() {
    let (memory, store) = in_memory(|options| options.dialect = Dialect::Dcmrecv);
    let stored = send(&store, "../../x", &[&data_set(CT, "../../x", b"")]).unwrap();
    assert_eq!(stored.name_warning.unwrap().encoded, ".._2F.._2Fx");
    assert_eq!(names(&memory), ["CT..._2F.._2Fx"]);
}

// ---- Studies -----------------------------------------------------------------------------

fn course(store: &Arc<Store>) -> Arc<Course> {
    let title = AeTitle::new(b"SCU");
    let peer = "127.0.0.1".parse().unwrap();
    let origin = Origin { calling: title, called: title, peer };
    Arc::new(store.studies().unwrap().course(origin))
}

fn of_study(study: &str, uid: &str, pixels: &[u8]) -> Vec<u8> {
    [
        element(8, 0x16, "UI", CT.as_bytes()),
        element(8, 0x18, "UI", uid.as_bytes()),
        element(0x10, 0x10, "PN", b"Doe^Jane"),
        element(0x20, 0x0D, "UI", study.as_bytes()),
        element(0x7FE0, 0x10, "OW", pixels),
    ]
    .concat()
}

fn send_sorted(
    store: &Arc<Store>,
    course: &Arc<Course>,
    uid: &str,
    data: &[u8],
) -> Result<Stored, StoreError> {
    course.message_begins(Instant::now());
    let mut writer = store.begin_in(&request(uid), Some(Arc::clone(course)));
    writer.append(&[data])?;
    writer.finish()
}

/// `-ss`, `-su`, `-sp`: a folder for each study, with a clock that stands still.
#[test]
fn sorted_by_study() {
    use SubdirectoryNaming::{PatientName, StudyTime, StudyUid};
    for (naming, prefix, folders) in [
        (StudyTime, "ST", ["ST_19700101_000000000", "ST_19700101_000000000_0000"]),
        (StudyUid, "ST", ["ST_9.1", "ST_9.2"]),
        (PatientName, "", ["Doe_Jane_19700101_000000000", "Doe_Jane_19700101_000000000_0000"]),
    ] {
        let (memory, store) = in_memory(|options| {
            options.subdirectory = naming;
            options.study_prefix = prefix.into();
        });
        let course = course(&store);
        let mut expected = Vec::new();
        for (number, study) in [(1, 0), (2, 0), (3, 1)] {
            let uid = format!("1.{number}");
            let data = of_study(["9.1", "9.2"][study], &uid, b"");
            let stored = send_sorted(&store, &course, &uid, &data).unwrap();
            let path = format!("{}/CT.{uid}", folders[study]);
            assert_eq!(stored.path.unwrap(), PathBuf::from(format!("memory/{path}")));
            let study = stored.study.unwrap();
            assert_eq!(study.begun.is_some(), number != 2);
            assert_eq!(study.ended.len(), usize::from(number == 3));
            expected.push(path);
        }
        expected.sort();
        assert_eq!(names(&memory), expected);
    }
}

/// What is refused has no folder, and its association goes on in its study.
#[test]
fn refused_by_study() {
    let (memory, store) = in_memory(|options| options.subdirectory = SubdirectoryNaming::StudyUid);
    let course = course(&store);
    send_sorted(&store, &course, "1.1", &of_study("9.1", "1.1", b"")).unwrap();
    let long = "9".repeat(66);
    for study in ["", " ", &long] {
        let result = send_sorted(&store, &course, "1.2", &of_study(study, "1.2", b""));
        assert!(matches!(result, Err(StoreError::MissingStudyUid)), "{study}");
    }
    let other = of_study("9.2", "1.3", b"");
    let result = send_sorted(&store, &course, "1.2", &other);
    assert!(matches!(result, Err(StoreError::SopInstanceMismatch(_))));
    assert_eq!(memory.directories().into_iter().collect::<Vec<_>>(), ["9.1"]);
    let again = send_sorted(&store, &course, "1.3", &of_study("9.1", "1.3", b"")).unwrap();
    assert!(again.study.unwrap().begun.is_none());
}

/// PROMISES.md §8.1 where studies are sorted: no file, no folder, and the study does not begin.
#[test]
fn every_call_of_a_sorted_store_may_fail() {
    for durability in MODES {
        for is_permanent in [false, true] {
            for fail_at in 1.. {
                let memory = Memory::default();
                let plan = Plan::new(fail_at, is_permanent, libc::ENOSPC);
                let faulty = Faulty::new(Arc::new(memory.clone()), Arc::clone(&plan));
                let store = store(Arc::new(faulty), |options| {
                    options.durability = durability;
                    options.subdirectory = SubdirectoryNaming::StudyUid;
                });
                let course = course(&store);
                let data = of_study("9.1", "1.1", b"22");
                let result = send_sorted(&store, &course, "1.1", &data);
                if !plan.has_failed() {
                    result.unwrap();
                    break;
                }
                let error = result.unwrap_err();
                assert!(matches!(error, StoreError::Io(_) | StoreError::StudyFolder(_)), "{error}");
                assert!(memory.files().is_empty(), "call {fail_at}: {error}");
                assert!(memory.directories().is_empty(), "call {fail_at}: {error}");
                plan.end();
                let stored = send_sorted(&store, &course, "1.1", &data).unwrap();
                assert!(stored.study.unwrap().begun.is_some());
            }
        }
    }
}

/// P3 where studies are sorted: the folder of a stored object survives, made anew or not.
#[test]
fn a_power_cut_spares_folders_of_studies() {
    for durability in [Durability::Group, Durability::Each] {
        for seed in 1..40 {
            let (memory, store) = in_memory(|options| {
                options.durability = durability;
                options.subdirectory = SubdirectoryNaming::StudyUid;
                options.study_prefix = String::new();
            });
            let course = course(&store);
            send_sorted(&store, &course, "1.1", &of_study("9.1", "1.1", b"")).unwrap();
            // Somebody takes the study away; its folder is made again.
            for name in names(&memory) {
                memory.forget(&name);
            }
            memory.remove_directory("9.1").unwrap();
            send_sorted(&store, &course, "1.2", &of_study("9.1", "1.2", b"")).unwrap();
            let survived = memory.after_crash(&mut chooser(seed));
            assert!(survived.files().contains_key("9.1/CT.1.2"), "{seed}");
        }
    }
}

/// `-rns`: numbers in order of arrival, never over a name that is taken (DIFFERENCES.md A6).
#[test]
fn renumbered() {
    let (memory, store) = in_memory(|options| {
        options.subdirectory = SubdirectoryNaming::StudyUid;
        options.renames = true;
        options.extension = ".dcm".into();
    });
    let course = course(&store);
    let mut told = Vec::new();
    for uid in ["1.2", "1.1", "1.1", "1.3"] {
        send_sorted(&store, &course, uid, &of_study("9.1", uid, uid.as_bytes())).unwrap();
    }
    for ended in store.studies().unwrap().end_all() {
        store.renumber(&ended, &mut |renaming| told.push(renaming));
    }
    assert_eq!(names(&memory), ["9.1/CT000001", "9.1/CT000002", "9.1/CT000004"]);
    assert!(matches!(&told[..], [Renaming::Failed { to, .. }] if to.ends_with("CT000003")));
    assert!(memory.files()["9.1/CT000001"].windows(3).any(|text| text == b"1.2"));
    send_sorted(&store, &course, "1.1", &of_study("9.1", "1.1", b"again")).unwrap();
    for ended in store.studies().unwrap().end_all() {
        store.renumber(&ended, &mut |renaming| told.push(renaming));
    }
    assert!(matches!(&told[1..], [Renaming::NumberedOn { number: 5, .. }]), "{told:?}");
    assert!(memory.files()["9.1/CT000005"].ends_with(&of_study("9.1", "1.1", b"again")));
}

// ---- Faults ------------------------------------------------------------------------------

/// What an association may meet: a new object, one that is stored already, another of its name.
const BEFORE: [Option<&[u8]>; 3] = [None, Some(b"22"), Some(b"11")];

/// PROMISES.md §8.1: the n-th call fails, for all n, once and from then on.
#[test]
fn every_call_may_fail() {
    let new = data_set(CT, "1.2.3", b"22");
    for durability in MODES {
        for subdirectory in [SubdirectoryNaming::None, SubdirectoryNaming::SeriesDate] {
            for before in BEFORE {
                for is_permanent in [false, true] {
                    let mut faults = 0;
                    for fail_at in 1.. {
                        let memory = Memory::default();
                        let sound = store(Arc::new(memory.clone()), |options| {
                            options.subdirectory = subdirectory;
                        });
                        if let Some(pixels) = before {
                            let old = data_set(CT, "1.2.3", pixels);
                            send(&sound, "1.2.3", &[&old]).unwrap();
                        }
                        let files = memory.files();
                        let plan = Plan::new(fail_at, is_permanent, libc::ENOSPC);
                        let faulty = Faulty::new(Arc::new(memory.clone()), Arc::clone(&plan));
                        let store = store(Arc::new(faulty), |options| {
                            options.durability = durability;
                            options.subdirectory = subdirectory;
                        });
                        let result = send(&store, "1.2.3", &[&new[..60], &new[60..]]);
                        if let Err(error) = &result {
                            assert!(matches!(error, StoreError::Io(_)), "{error}");
                            assert_eq!(memory.files(), files, "call {fail_at}: {error}");
                            faults += 1;
                        } else {
                            let files = memory.files();
                            assert_eq!(files.len(), 1);
                            assert!(files.into_values().all(|file| file.ends_with(&new)));
                        }
                        send(&sound, "1.2.3", &[&new]).unwrap();
                        assert_eq!(memory.files().len(), 1);
                        if !plan.has_failed() {
                            break;
                        }
                        // Only a failing syncfs is made good by other calls.
                        assert!(result.is_err(), "call {fail_at} of {durability:?}");
                    }
                    assert!(faults >= 4, "{faults}");
                }
            }
        }
    }
}

/// Data sets by the last component of their UID.
type Objects = BTreeMap<u8, Vec<u8>>;

/// A generator of choices for the forgetful disk.
fn chooser(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    }
}

proptest! {
    /// Any split of the bytes makes the same file.
    #[test]
    fn any_split_makes_the_same_file(
        pixels in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(0..400usize, 0..10),
    ) {
        let data = data_set(CT, "1.2.3", &pixels);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (data.len() + 1)).collect();
        cuts.extend([0, data.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect();
        let (whole, store) = in_memory(|_| {});
        send(&store, "1.2.3", &[&data]).unwrap();
        let (split, store) = in_memory(|_| {});
        send(&store, "1.2.3", &pieces).unwrap();
        prop_assert_eq!(whole.files(), split.files());
    }

    /// PROMISES.md §8.3: the power is cut at any call. What was acknowledged in a
    /// durable mode is there, whole; what is visible is whole; nothing else is.
    #[test]
    fn a_power_cut_loses_nothing_acknowledged(
        objects in proptest::collection::vec((0..3u8, any::<u8>(), 1..200usize), 1..6),
        crash_at in 1..60u64,
        seed in any::<u64>(),
        group in any::<bool>(),
        with_directories in any::<bool>(),
    ) {
        let memory = Memory::default();
        let acknowledged: Arc<Mutex<Objects>> = Arc::default();
        let after: Arc<Mutex<Option<(Memory, Objects)>>> = Arc::default();
        let at_fault = {
            let (memory, acknowledged, after) =
                (memory.clone(), Arc::clone(&acknowledged), Arc::clone(&after));
            move || {
                let survived = memory.after_crash(&mut chooser(seed));
                *after.lock().unwrap() = Some((survived, acknowledged.lock().unwrap().clone()));
            }
        };
        let plan = Plan::crash(crash_at, Box::new(at_fault));
        let faulty = Faulty::new(Arc::new(memory.clone()), plan);
        let store = store(Arc::new(faulty), |options| {
            options.durability = if group { Durability::Group } else { Durability::Each };
            if with_directories {
                options.subdirectory = SubdirectoryNaming::SeriesDate;
            }
        });
        let mut sent: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
        for (uid, byte, size) in objects {
            let name = format!("1.2.{uid}");
            let data = data_set(CT, &name, &vec![byte; size]);
            sent.entry(uid).or_default().push(data.clone());
            if send(&store, &name, &[&data]).is_err() {
                break;
            }
            acknowledged.lock().unwrap().insert(uid, data);
        }
        let (survived, promised) = after.lock().unwrap().take().unwrap_or_else(|| {
            (memory.after_crash(&mut chooser(seed)), acknowledged.lock().unwrap().clone())
        });
        survived.remove_stale_parts().unwrap();
        let directory = if with_directories { "data/2020/01/03/" } else { "" };
        let mut files = survived.files();
        for (uid, tries) in &sent {
            let file = files.remove(&format!("{directory}CT.1.2.{uid}"));
            if let Some(file) = &file {
                prop_assert!(tries.iter().any(|data| file.ends_with(data)), "half a file");
                prop_assert_eq!(&file[128..132], b"DICM");
            }
            if let Some(promised) = promised.get(uid) {
                // A later object of the same name may have taken its place, whole.
                let at = tries.iter().rposition(|data| data == promised).unwrap_or(0);
                let file = file.unwrap_or_default();
                prop_assert!(tries[at..].iter().any(|data| file.ends_with(data)), "lost");
            }
        }
        prop_assert!(files.is_empty());
    }
}
