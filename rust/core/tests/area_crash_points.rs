//! A process that stops anywhere in the life of a storage area loses nothing that it acknowledged,
//! lists nothing that is not there, and leaves nothing behind that the next start does not tidy up
//! (PROMISES.md §4, §8.2).
//!
//! The test runs itself again as a child, which stores a fixed series of objects and notes each
//! success in a file; it stops at every point of [`AREA_POINTS`], at every time it passes there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::archive::area::{AreaOptions, Quota};
use dcmfast_core::archive::indexed::OpenArea;
use dcmfast_core::index::InstanceKey;
use dcmfast_core::log::{Level, Logger, NoSink};
use dcmfast_core::storage::crash_point::{AREA_POINTS, CRASH_EXIT_CODE};
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{DuplicatePolicy, InstanceRequest, StoreMode};
use dcmfast_core::uid::{Uid, UidText};

const CT: &[u8] = b"1.2.840.10008.5.1.4.1.1.2\0";
const AREA: &str = "DCMFAST_TEST_AREA";
const SETTING: &str = "DCMFAST_TEST_SETTING";

/// What the child does.
enum Act {
    /// Stores: instance, study, size of the pixel data, what fills it.
    Store(u8, u8, usize, u8),
    /// Waits until all is in the index.
    Wait,
}
use Act::{Store, Wait};

const SMALL: usize = 500;
const LARGE: usize = 100_000;

const ACTS: [Act; 10] = [
    Store(1, 1, SMALL, 1),
    Store(2, 1, LARGE, 1),
    Store(1, 1, SMALL, 2),
    Store(2, 1, LARGE, 2),
    Wait,
    Store(1, 1, LARGE, 3),
    Store(3, 2, SMALL, 1),
    Wait,
    // With a quota of two studies the first one goes here.
    Store(4, 3, LARGE, 1),
    Store(2, 2, SMALL, 4),
];

#[derive(Clone, Copy, Debug)]
struct Setting {
    name: &'static str,
    durability: Durability,
    quota: Option<Quota>,
}

const SETTINGS: [Setting; 3] = [
    Setting { name: "none", durability: Durability::None, quota: None },
    Setting { name: "group", durability: Durability::Group, quota: None },
    Setting {
        name: "quota",
        durability: Durability::Group,
        quota: Some(Quota { studies_max: 2, bytes_per_study_max: 1 << 20 }),
    },
];

fn element(tag: [u8; 4], value: &[u8]) -> Vec<u8> {
    let mut out = tag.to_vec();
    out.extend_from_slice(b"UI");
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    out
}

fn data_set(instance: u8, study: u8, pixels: usize, fill: u8) -> Vec<u8> {
    let mut out = element([8, 0, 0x16, 0], CT);
    out.extend(element([8, 0, 0x18, 0], format!("1.2.{instance}\0").as_bytes()));
    out.extend(element([0x20, 0, 0x0d, 0], format!("1.3.{study}\0").as_bytes()));
    out.extend(element([0x20, 0, 0x0e, 0], format!("1.4.{study}\0").as_bytes()));
    out.extend_from_slice(b"\xe0\x7f\x10\x00OB\0\0");
    out.extend_from_slice(&(pixels as u32).to_le_bytes());
    out.resize(out.len() + pixels, fill);
    out
}

fn open(area: &Path, setting: Setting) -> OpenArea {
    let options = AreaOptions {
        durability: setting.durability,
        duplicates: DuplicatePolicy::Replace,
        quota: setting.quota,
        mode: StoreMode::Normal,
        encoding: None,
        has_file_meta: true,
        logger: Arc::new(Logger::new(Level::Off, Arc::new(NoSink))),
    };
    OpenArea::open(area, options).expect("an area")
}

fn store(open: &OpenArea, act: &Act) {
    let Store(instance, study, pixels, fill) = *act else { return };
    let name = format!("1.2.{instance}");
    let mut receiver = open.area.begin(&InstanceRequest {
        sop_class: UidText::new(CT).expect("a UID"),
        sop_instance: UidText::new(name.as_bytes()).expect("a UID"),
        transfer_syntax: Uid::known("1.2.840.10008.1.2.1"),
        calling_ae_title: AeTitle::new(b"TEST"),
    });
    for piece in data_set(instance, study, pixels, fill).chunks(30_000) {
        receiver.append(&[piece]).expect("so far");
    }
    receiver.finish().expect("stored");
}

fn ledger(area: &Path) -> PathBuf {
    area.with_extension("ledger")
}

/// Not a test of its own: what the child process does.
#[test]
#[ignore = "run by the other test, as a child process"]
fn child() {
    let area = PathBuf::from(std::env::var_os(AREA).expect("set by the parent"));
    let name = std::env::var(SETTING).expect("set by the parent");
    let setting = SETTINGS.into_iter().find(|setting| setting.name == name).expect("a setting");
    let mut ledger =
        fs::File::options().create(true).append(true).open(ledger(&area)).expect("a ledger");
    let open = open(&area, setting);
    for act in &ACTS {
        match act {
            Wait => open.area.barrier().expect("applied"),
            Store(..) => store(&open, act),
        }
        writeln!(ledger).expect("noted");
    }
    open.area.close().expect("closed");
}

/// The instances that there are after so many acts: study, size and fill by instance.
fn expected(acts: usize, quota: Option<Quota>) -> BTreeMap<u8, (u8, usize, u8)> {
    let mut there: BTreeMap<u8, (u8, usize, u8)> = BTreeMap::new();
    let mut last: BTreeMap<u8, usize> = BTreeMap::new();
    for (at, act) in ACTS[..acts].iter().enumerate() {
        let Store(instance, study, pixels, fill) = *act else { continue };
        let is_new = !there.values().any(|(known, ..)| *known == study);
        let studies: std::collections::BTreeSet<u8> = there.values().map(|(s, ..)| *s).collect();
        if let Some(quota) = quota.filter(|_| is_new) {
            if studies.len() as u64 >= quota.studies_max {
                let oldest = studies.iter().min_by_key(|study| last[study]).expect("a study");
                there.retain(|_, (study, ..)| study != oldest);
            }
        }
        there.insert(instance, (study, pixels, fill));
        last.insert(study, at);
    }
    there
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// What is listed and what is on disk, which must be the same.
fn found(area: &Path, open: &OpenArea) -> BTreeMap<u8, (u8, usize, u8)> {
    open.area.barrier().expect("applied");
    let reader = open.index.read().expect("a reader");
    let mut found = BTreeMap::new();
    let mut paths = Vec::new();
    for record in reader.all_instances(InstanceKey::default()).expect("instances") {
        let record = record.expect("an instance");
        let path = open.area.path_of(&record.location());
        let bytes = fs::read(&path).expect("a listed file is there");
        assert_eq!(bytes.len() as u64, record.file_bytes());
        let data = &bytes[record.data_set_offset() as usize..];
        let all = (1..=4).flat_map(|instance| {
            (1..=3).flat_map(move |study| {
                [SMALL, LARGE].into_iter().flat_map(move |pixels| {
                    (1..=4).map(move |fill| (instance, study, pixels, fill))
                })
            })
        });
        let same = |&(instance, study, pixels, fill): &(u8, u8, usize, u8)| {
            data == data_set(instance, study, pixels, fill)
        };
        let (instance, study, pixels, fill) = all.into_iter().find(same).expect("what was sent");
        assert_eq!(record.sop_instance(), format!("1.2.{instance}").as_bytes());
        found.insert(instance, (study, pixels, fill));
        paths.push(path);
    }
    drop(reader);
    let mut files = files_below(&area.join("objects"));
    files.sort();
    paths.sort();
    assert_eq!(files, paths, "every file is listed");
    assert!(files_below(&area.join(".dcmfast/spool")).is_empty());
    found
}

#[test]
fn stopping_at_every_point() {
    for setting in SETTINGS {
        for point in AREA_POINTS {
            let mut time = 0;
            loop {
                time += 1;
                let what = format!("{}-{point}-{time}", setting.name);
                let area = std::env::temp_dir()
                    .join(format!("dcmfast-area-crash-{}-{what}", std::process::id()));
                fs::create_dir_all(&area).expect("an area");
                let status = Command::new(std::env::current_exe().expect("this program"))
                    .args(["child", "--exact", "--ignored", "--quiet"])
                    .env(AREA, &area)
                    .env(SETTING, setting.name)
                    .env("DCMFAST_CRASH_AT", format!("{point}:{time}"))
                    .status()
                    .expect("a child");
                let is_over = status.code() == Some(0);
                assert!(is_over || status.code() == Some(CRASH_EXIT_CODE), "{what}: {status}");
                assert!(!is_over || time > 1, "{what}: the point is never passed");
                let acts = fs::read_to_string(ledger(&area)).expect("the ledger").lines().count();
                let open = open(&area, setting);
                let found = found(&area, &open);
                let acknowledged = expected(acts, setting.quota);
                let attempted = expected((acts + 1).min(ACTS.len()), setting.quota);
                // What makes room goes before the object comes.
                let between: BTreeMap<u8, _> = acknowledged
                    .iter()
                    .filter(|(instance, _)| attempted.contains_key(instance))
                    .map(|(instance, value)| (*instance, *value))
                    .collect();
                assert!(
                    [&acknowledged, &attempted, &between].contains(&&found),
                    "{what} after {acts} acts: {found:?}"
                );
                // Goes on as if nothing had been.
                for act in &ACTS {
                    store(&open, act);
                }
                open.area.close().expect("closed");
                drop(open);
                fs::remove_dir_all(&area).expect("removed");
                fs::remove_file(ledger(&area)).expect("removed");
                if is_over {
                    break;
                }
            }
        }
    }
}
