//! Random use of an area beside a model of it, with the index itself; and what quotas remove.

mod area_kit;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use area_kit::{CT, data_set_of, options, request, store_as};
use dcmfast_core::archive::area::{AreaOptions, Quota, StorageArea};
use dcmfast_core::archive::background::BackgroundCheck;
use dcmfast_core::archive::indexed::{OpenArea, quota_dry_run};
use dcmfast_core::archive::listing::{
    ListedInstance, Listing, ListingError, MemoryListing, StudyInstance,
};
use dcmfast_core::archive::quota::StudySummary;
use dcmfast_core::dimse::status::Status;
use dcmfast_core::index::attributes::Level;
use dcmfast_core::index::{IndexOp, Outcome};
use dcmfast_core::server::answers::store_status;
use dcmfast_core::storage::backend::tree::memory::MemoryTree;
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::{
    Dialect, Duplicate, DuplicatePolicy, Evicted, StoreError, Stored,
};
use dcmfast_core::uid::UidText;
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
    /// True when only an object that was there before told of a reception: a process that is killed
    /// may take that with it.
    is_touched: bool,
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
        self.clock += 1;
        if let Some((_, listed)) = self.instances.get(instance) {
            outcome = match policy {
                _ if *listed == data_set => Duplicate::Identical,
                DuplicatePolicy::Keep => Duplicate::Kept,
                DuplicatePolicy::Reject => return None,
                DuplicatePolicy::Replace => Duplicate::Replaced,
            };
            if outcome != Duplicate::Replaced {
                self.received.insert(study.to_owned(), self.clock);
                self.is_touched = true;
                return Some(outcome);
            }
        }
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
                Step::Crash if !model.is_touched => {
                    // The old process goes on in a copy of the disk that nobody looks at.
                    area.barrier().expect("applied");
                    let after = disk.after_power_cut(&mut |bound| bound - 1);
                    crashed.push(core::mem::replace(&mut area, open(&after, &listing, options.clone())));
                    disk = after;
                }
                Step::Close | Step::Crash => {
                    area.close().expect("closes");
                    area = open(&disk, &listing, options.clone());
                    model.is_touched = false;
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

/// Stores, with a deadline: whoever waits for ever fails here, and not the whole run.
fn put_in_time(area: &Arc<StorageArea>, study: &str, instance: &str, bytes: usize) -> Stored {
    let (sender, receiver) = mpsc::channel();
    let (area, study, instance) = (Arc::clone(area), study.to_owned(), instance.to_owned());
    thread::spawn(move || {
        let stored = put(&area, &study, &instance, bytes, 0);
        // Nobody listens after the deadline.
        let _ = sender.send(Box::new(stored));
    });
    let stored = receiver.recv_timeout(Duration::from_secs(60)).expect("it came to an end");
    (*stored).expect("stored")
}

/// PS3.5 §6.2: blanks and NULs are padding, a TAB or a line end is none. Whatever is in a Study
/// Instance UID, ledger, index and look-up mean the same by it.
#[test]
fn unusual_study_uids_are_counted_and_removed() {
    let scratch = Scratch::new();
    let area = OpenArea::open(&scratch.0, with_quota(2, 6000)).expect("opens");
    let unusual =
        ["1.2.3\n", "\t1.2.3", "1.2.3\r ", "\x0c1.2.3", "\x001.2.3", " 1.2.3", "1.2\\3", ""];
    for (at, study) in unusual.into_iter().enumerate() {
        let mut gone = 0;
        for number in 0..6 {
            let stored = put_in_time(&area.area, study, &format!("1.9.{at}.{number}"), 1500);
            let of_study = |one: &&Evicted| {
                one.sop_instance.as_bytes().starts_with(format!("1.9.{at}.").as_bytes())
            };
            gone += stored.evicted.iter().filter(of_study).count();
            assert!(stored.evicted.iter().all(|gone| !gone.path.exists()));
        }
        // The last two spellings that are one study after padding follow each other.
        assert!(gone >= 3, "{study:?}: {gone}");
        area.area.barrier().expect("applied");
        let reader = area.index.read().expect("readable");
        assert!(reader.counters().expect("readable").studies <= 2, "{study:?}");
        let uid = study.trim_matches([' ', '\0']).as_bytes();
        assert_eq!(
            reader.find_entities(Level::Study, uid).expect("readable").count(),
            1,
            "{study:?}"
        );
    }
    area.area.close().expect("closes");
}

/// A row that goes past the ledger, as by the check after a crash: nobody waits for what is not there,
/// and once it is told, nothing goes that need not.
#[test]
fn what_the_ledger_was_not_told() {
    let scratch = Scratch::new();
    let area = OpenArea::open(&scratch.0, with_quota(2, 6000)).expect("opens");
    fill_study(&area, "1.1", 0..4);
    area.area.barrier().expect("applied");
    let remove = |number| IndexOp::Remove {
        sop_instance: area_kit::uid(&format!("1.1.9.{number}")),
        only_at: None,
    };
    area.index.commit(&(0..4).map(remove).collect::<Vec<_>>()).expect("removed");
    let stored = put_in_time(&area.area, "1.1", "1.1.9.5", 4000);
    assert_eq!(stored.evicted, []);
    assert_eq!(listed(&area), names(&[("1.1", 5..6)]));
    area.area.close().expect("closes");
}

#[test]
fn the_check_after_a_crash_tells_the_ledger() {
    let scratch = Scratch::new();
    let area = OpenArea::open(&scratch.0, with_quota(2, 6000)).expect("opens");
    fill_study(&area, "1.1", 0..3);
    area.area.barrier().expect("applied");
    let of = |number| put(&area.area, "1.1", &format!("1.1.9.{number}"), 1000, number);
    for number in 0..2 {
        let path = of(number).expect("identical").path.expect("a file");
        fs::remove_file(path).expect("removed");
    }
    BackgroundCheck::start(&area, &scratch.0).wait();
    assert_eq!(listed(&area), names(&[("1.1", 2..3)]));
    assert_eq!(put_in_time(&area.area, "1.1", "1.1.9.5", 3000).evicted, []);
    area.area.close().expect("closes");
}

/// An index that fails once, when that is asked for.
#[derive(Default)]
struct FailsOnce {
    inner: MemoryListing,
    fails: AtomicBool,
}

impl Listing for FailsOnce {
    fn commit(&self, changes: &[IndexOp]) -> Result<Vec<Outcome>, ListingError> {
        if self.fails.swap(false, Ordering::AcqRel) {
            return Err(ListingError("a full disk".into()));
        }
        self.inner.commit(changes)
    }

    fn applied(&self) -> Result<u64, ListingError> {
        self.inner.applied()
    }

    fn find(&self, sop_instance: &UidText) -> Result<Option<ListedInstance>, ListingError> {
        self.inner.find(sop_instance)
    }

    fn studies(&self) -> Result<Vec<StudySummary>, ListingError> {
        self.inner.studies()
    }

    fn study_instances(&self, study_instance: &[u8]) -> Result<Vec<StudyInstance>, ListingError> {
        self.inner.study_instances(study_instance)
    }
}

/// A removal that is written, and whose end nobody waited for, is counted all the same.
#[test]
fn a_removal_that_failed_half_way_is_not_done_twice() {
    let listing = Arc::new(FailsOnce::default());
    let tree = Arc::new(MemoryTree::new(true));
    let area = StorageArea::with_parts(tree, Arc::clone(&listing) as _, with_quota(2, 6000), None);
    let area = area.expect("opens");
    for number in 0..3 {
        put(&area, "1.1", &format!("1.1.{number}"), 1500, 0).expect("stored");
    }
    area.barrier().expect("applied");
    listing.fails.store(true, Ordering::Release);
    let error = put(&area, "1.1", "1.1.5", 1500, 0).expect_err("nothing can be applied");
    assert!(matches!(error, StoreError::Stalled(_)), "{error}");
    let begun = Instant::now();
    let stored = loop {
        match put(&area, "1.1", "1.1.5", 1500, 0) {
            Ok(stored) => break stored,
            Err(StoreError::Stalled(_)) if begun.elapsed() < Duration::from_secs(60) => {
                thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(stored.evicted, [], "room was made before");
    area.barrier().expect("applied");
    assert_eq!(listing.inner.instances().len(), 3);
    area.close().expect("closes");
}

/// DCMTK's dcmqrscp dates a study by the last object that it answered with success, also where that
/// was there before.
#[test]
fn what_is_sent_again_keeps_its_study() {
    for (policy, fill) in [(DuplicatePolicy::Replace, 0), (DuplicatePolicy::Keep, 9)] {
        let scratch = Scratch::new();
        let options = AreaOptions { duplicates: policy, ..with_quota(2, 100_000) };
        let area = OpenArea::open(&scratch.0, options).expect("opens");
        fill_study(&area, "1.1", 0..2);
        fill_study(&area, "1.2", 0..2);
        let again = put(&area.area, "1.1", "1.1.9.0", 1000, fill).expect("stored");
        let is_again = [Duplicate::Identical, Duplicate::Kept].contains(&again.duplicate);
        assert!(is_again, "{:?}", again.duplicate);
        fill_study(&area, "1.3", 0..1);
        assert_eq!(listed(&area), names(&[("1.1", 0..2), ("1.3", 0..1)]));
        // The next life knows it, too.
        put(&area.area, "1.1", "1.1.9.0", 1000, fill).expect("stored");
        area.area.close().expect("closes");
        drop(area);
        let options = AreaOptions { duplicates: policy, ..with_quota(2, 100_000) };
        let area = OpenArea::open(&scratch.0, options).expect("opens");
        fill_study(&area, "1.2", 0..1);
        assert_eq!(listed(&area), names(&[("1.1", 0..2), ("1.2", 0..1)]));
        // Refused is not received.
        area.area.close().expect("closes");
        drop(area);
        let options = AreaOptions { duplicates: DuplicatePolicy::Reject, ..with_quota(2, 100_000) };
        let area = OpenArea::open(&scratch.0, options).expect("opens");
        put(&area.area, "1.1", "1.1.9.0", 1000, 5).expect_err("refused");
        fill_study(&area, "1.3", 0..1);
        assert_eq!(listed(&area), names(&[("1.2", 0..1), ("1.3", 0..1)]));
    }
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
