//! Random use of an area beside a model of it, with the index itself; and what quotas remove.

mod area_kit;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use area_kit::{CT, data_set_of, options, request, store_as};
use dcmfast_core::archive::area::{AreaOptions, Quota, StorageArea};
use dcmfast_core::archive::indexed::{OpenArea, quota_dry_run};
use dcmfast_core::archive::listing::{Listing, MemoryListing};
use dcmfast_core::dimse::status::Status;
use dcmfast_core::server::answers::store_status;
use dcmfast_core::storage::backend::tree::memory::MemoryTree;
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{Dialect, Duplicate, DuplicatePolicy, StoreError, Stored};
use proptest::prelude::*;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("dcmfast-model-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An instance of one study: `1.<study>` has `1.<study>.<number>`.
fn put(
    area: &Arc<StorageArea>,
    study: &str,
    instance: &str,
    pixel_bytes: usize,
    fill: u8,
) -> Result<Stored, StoreError> {
    let data_set = data_set_of(CT, study, instance, pixel_bytes, fill);
    store_as(area, &request(CT, instance), &data_set)
}

#[derive(Clone, Debug)]
enum Step {
    /// Study, instance, whether it is large, what fills it.
    Store(u8, u8, bool, u8),
    Barrier,
    Close,
    /// The process ends as if killed: nothing is closed.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let store = (0..3_u8, 0..3_u8, prop::bool::weighted(0.2), 0..3_u8)
        .prop_map(|(study, number, is_large, fill)| Step::Store(study, number, is_large, fill));
    let step = prop_oneof![
        12 => store,
        2 => Just(Step::Barrier),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..40)
}

/// What an area of this policy and number of studies holds: for each instance its study and data
/// set; for each study, when it was stored into last.
#[derive(Default)]
struct Model {
    instances: BTreeMap<String, (String, Vec<u8>)>,
    received: BTreeMap<String, u64>,
    clock: u64,
}

impl Model {
    fn store(
        &mut self,
        policy: DuplicatePolicy,
        studies_max: u64,
        study: &str,
        instance: &str,
        data_set: Vec<u8>,
    ) -> Option<Duplicate> {
        let mut outcome = Duplicate::None;
        if let Some((_, listed)) = self.instances.get(instance) {
            if *listed == data_set {
                return Some(Duplicate::Identical);
            }
            match policy {
                DuplicatePolicy::Keep => return Some(Duplicate::Kept),
                DuplicatePolicy::Reject => return None,
                DuplicatePolicy::Replace => outcome = Duplicate::Replaced,
            }
        }
        self.clock += 1;
        while !self.received.contains_key(study) && self.received.len() as u64 >= studies_max {
            let oldest =
                self.received.iter().min_by_key(|(_, at)| **at).map(|(uid, _)| uid.clone());
            let oldest = oldest.expect("one is there");
            self.received.remove(&oldest);
            self.instances.retain(|_, (study, _)| *study != oldest);
        }
        self.received.insert(study.to_owned(), self.clock);
        self.instances.insert(instance.to_owned(), (study.to_owned(), data_set));
        Some(outcome)
    }
}

fn open(tree: &MemoryTree, listing: &Arc<MemoryListing>, options: AreaOptions) -> Arc<StorageArea> {
    let (tree, listing) = (Arc::new(tree.clone()), Arc::clone(listing) as Arc<_>);
    StorageArea::with_parts(tree, listing, options, None).expect("opens")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("DCMFAST_SOAK").map_or(32, |_| 5000)
    ))]

    #[test]
    fn an_area_does_what_its_model_does(
        steps in steps(), policy in 0..3_u8, studies_max in 1..4_u64, is_durable: bool,
    ) {
        let mut options = options(if is_durable { Durability::Group } else { Durability::None });
        options.duplicates = match policy {
            0 => DuplicatePolicy::Replace,
            1 => DuplicatePolicy::Keep,
            _ => DuplicatePolicy::Reject,
        };
        options.quota = Some(Quota { studies_max, bytes_per_study_max: 10_000_000 });
        let mut disk = MemoryTree::new(true);
        let listing = Arc::new(MemoryListing::default());
        let mut area = open(&disk, &listing, options.clone());
        let mut crashed = Vec::new();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Store(study, number, is_large, fill) => {
                    let study = format!("1.{study}");
                    let instance = format!("{study}.{number}");
                    let pixel_bytes = if is_large { 80_000 } else { 600 };
                    let data_set = data_set_of(CT, &study, &instance, pixel_bytes, fill);
                    let expected =
                        model.store(options.duplicates, studies_max, &study, &instance, data_set);
                    match (put(&area, &study, &instance, pixel_bytes, fill), expected) {
                        (Ok(stored), Some(expected)) => {
                            prop_assert_eq!(stored.duplicate, expected);
                        }
                        (Err(StoreError::DuplicateRejected { .. }), None) => {}
                        (result, expected) => prop_assert!(false, "{result:?}, {expected:?}"),
                    }
                }
                Step::Barrier => area.barrier().expect("applied"),
                Step::Close => {
                    area.close().expect("closes");
                    area = open(&disk, &listing, options.clone());
                }
                Step::Crash => {
                    // The old process goes on in a copy of the disk that nobody looks at.
                    area.barrier().expect("applied");
                    let after = disk.after_power_cut(&mut |bound| bound - 1);
                    crashed.push(core::mem::replace(&mut area, open(&after, &listing, options.clone())));
                    disk = after;
                }
            }
        }
        area.barrier().expect("applied");
        let listed: Vec<String> = listing
            .instances()
            .iter()
            .map(|(uid, _)| String::from_utf8_lossy(uid.as_bytes()).into_owned())
            .collect();
        let expected: Vec<String> = model.instances.keys().cloned().collect();
        prop_assert_eq!(listed, expected);
        for (uid, listed) in listing.instances() {
            let name = String::from_utf8_lossy(uid.as_bytes()).into_owned();
            let path = area.path_of(&listed.location);
            let file = disk.read(path.strip_prefix("memory").expect("below").to_str().expect("text"));
            prop_assert!(file.expect("the file").ends_with(&model.instances[&name].1));
        }
        area.close().expect("closes");
        area_kit::Ledger::check_no_leftovers(&listing, &disk, "at the end");
    }
}

// ---- Quotas, on the index itself

fn with_quota(studies_max: u64, bytes_per_study_max: u64) -> AreaOptions {
    let quota = Some(Quota { studies_max, bytes_per_study_max });
    AreaOptions { quota, ..options(Durability::None) }
}

fn listed(area: &OpenArea) -> Vec<String> {
    area.area.barrier().expect("applied");
    let reader = area.index.read().expect("readable");
    let mut found = Vec::new();
    for study in ["1.1", "1.2", "1.2.1", "1.2.10", "1.3"] {
        for number in 0..12 {
            let uid = format!("{study}.9.{number}");
            if reader.instance_of(uid.as_bytes()).expect("readable").is_some() {
                found.push(uid);
            }
        }
    }
    found
}

fn names(studies: &[(&str, core::ops::Range<u8>)]) -> Vec<String> {
    let of = |(study, numbers): &(&str, core::ops::Range<u8>)| {
        let study = (*study).to_owned();
        numbers.clone().map(move |number| format!("{study}.9.{number}")).collect::<Vec<_>>()
    };
    studies.iter().flat_map(of).collect()
}

fn fill_study(area: &OpenArea, study: &str, numbers: core::ops::Range<u8>) {
    for number in numbers {
        put(&area.area, study, &format!("{study}.9.{number}"), 1000, number).expect("stored");
    }
}

/// The study that was received to longest ago goes, whole, and is named by its exact UID.
#[test]
fn one_study_too_many() {
    let scratch = Scratch::new();
    let area = OpenArea::open(&scratch.0, with_quota(2, 1_000_000)).expect("opens");
    fill_study(&area, "1.2.1", 0..2);
    fill_study(&area, "1.2.10", 0..2);
    // The older one comes last again.
    fill_study(&area, "1.2.1", 2..3);
    let stored = put(&area.area, "1.3", "1.3.9.0", 10, 0).expect("stored");
    assert_eq!(stored.evicted.len(), 2);
    assert!(stored.evicted.iter().all(|gone| *gone.study_instance == *b"1.2.10"));
    assert!(stored.evicted.iter().all(|gone| !gone.path.exists()));
    assert_eq!(listed(&area), names(&[("1.2.1", 0..3), ("1.3", 0..1)]));
    area.area.close().expect("closes");
    drop(area);
    // It counts the same after a restart.
    let area = OpenArea::open(&scratch.0, with_quota(2, 1_000_000)).expect("opens");
    fill_study(&area, "1.1", 0..1);
    assert_eq!(listed(&area), names(&[("1.1", 0..1), ("1.3", 0..1)]));
}

/// A study that grows too large loses its oldest objects, no other study does.
#[test]
fn a_study_too_large() {
    let scratch = Scratch::new();
    let area = OpenArea::open(&scratch.0, with_quota(5, 6000)).expect("opens");
    fill_study(&area, "1.1", 0..3);
    fill_study(&area, "1.2", 0..2);
    let stored = put(&area.area, "1.1", "1.1.9.3", 3000, 0).expect("stored");
    let gone: Vec<_> = stored.evicted.iter().map(|gone| gone.sop_instance).collect();
    assert_eq!(gone, [area_kit::uid("1.1.9.0"), area_kit::uid("1.1.9.1")]);
    assert_eq!(listed(&area), names(&[("1.1", 2..4), ("1.2", 0..2)]));
}

#[test]
fn an_object_larger_than_the_quota_is_refused_and_removes_nothing() {
    let scratch = Scratch::new();
    let area = OpenArea::open(&scratch.0, with_quota(5, 6000)).expect("opens");
    fill_study(&area, "1.1", 0..3);
    for pixel_bytes in [6000, 100_000] {
        let error = put(&area.area, "1.1", "1.1.9.5", pixel_bytes, 0).expect_err("refused");
        assert!(matches!(error, StoreError::LargerThanQuota { .. }), "{error}");
        assert_eq!(store_status(Dialect::Dcmqrscp, &error), Status::OUT_OF_RESOURCES);
    }
    assert_eq!(listed(&area), names(&[("1.1", 0..3)]));
}

/// Whoever stores at the same time stays below the limits together, and all that was removed is
/// said once.
#[test]
fn parallel_evictions() {
    let scratch = Scratch::new();
    let area = OpenArea::open(&scratch.0, with_quota(2, 20_000)).expect("opens");
    let evicted: usize = thread::scope(|scope| {
        let store = |sender: u8| {
            let area = Arc::clone(&area.area);
            scope.spawn(move || {
                let study = format!("1.{}", 1 + sender % 3);
                (0..40_u8)
                    .map(|number| {
                        let uid = format!("{study}.{sender}.{number}");
                        put(&area, &study, &uid, 1000, number).expect("stored").evicted.len()
                    })
                    .sum::<usize>()
            })
        };
        let threads: Vec<_> = (0..6).map(store).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    area.area.barrier().expect("applied");
    let reader = area.index.read().expect("readable");
    let counters = reader.counters().expect("readable");
    drop(reader);
    assert!(counters.studies <= 2, "{} studies", counters.studies);
    assert_eq!(counters.instances + evicted as u64, 6 * 40);
    let quota = Quota { studies_max: 3, bytes_per_study_max: 20_000 };
    assert_eq!(quota_dry_run(&area.index, quota).expect("readable"), [], "nothing is too much");
    let files = walk(&scratch.0.join("objects"));
    assert_eq!(files as u64, counters.instances);
}

fn walk(directory: &std::path::Path) -> usize {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() { walk(&path) } else { 1 }
        })
        .sum()
}

/// What would go is what goes.
#[test]
fn a_dry_run_names_what_goes() {
    let scratch = Scratch::new();
    let area = OpenArea::open(&scratch.0, options(Durability::None)).expect("opens");
    fill_study(&area, "1.1", 0..2);
    fill_study(&area, "1.2", 0..6);
    area.area.barrier().expect("applied");
    let quota = Quota { studies_max: 2, bytes_per_study_max: 6000 };
    let plan = quota_dry_run(&area.index, quota).expect("readable");
    let planned: Vec<_> = plan.iter().map(|part| (part.is_whole, part.instances.len())).collect();
    assert_eq!(planned[0], (true, 2), "the oldest study");
    assert!(!planned[1].0 && planned[1].1 > 0, "the oldest objects of the other");
    assert_eq!(listed(&area).len(), 8, "nothing went");
}

#[test]
fn without_study_instance_uid_objects_are_of_one_study() {
    let listing = Arc::new(MemoryListing::default());
    let area = open(&MemoryTree::new(true), &listing, with_quota(1, 100_000));
    put(&area, "", "1.1", 10, 0).expect("stored");
    put(&area, "", "1.2", 10, 0).expect("stored");
    area.barrier().expect("applied");
    assert_eq!(listing.studies().expect("readable").len(), 1);
    assert_eq!(listing.instances().len(), 2);
}
