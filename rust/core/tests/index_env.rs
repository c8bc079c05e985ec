//! The environment of an index: who may open it, what it refuses, how it grows.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Scratch, entry_of};
use dcmfast_core::index::{
    Access, FileLocation, Index, IndexError, IndexOp, IndexOptions, InstanceKey, Outcome,
};

const SMALL: IndexOptions = IndexOptions { map_bytes: 65_536 };
/// Set in the environment of the other process of these tests: the index that it is to open.
const OTHER: &str = "DCMFAST_TEST_INDEX";

fn put(number: u32) -> IndexOp {
    let mut entry =
        entry_of(&format!("1.2.{number}"), "P", &format!("1.3.{}", number / 100), "1.4");
    entry.location = FileLocation::Own(u64::from(number));
    IndexOp::Put(Box::new(entry))
}

fn open(path: &Path) -> Arc<Index> {
    Index::open(path, Access::Write, SMALL).unwrap()
}

/// A map that fills up is enlarged in the middle of a batch, and nothing of the batch is lost. The
/// larger file is opened with room to spare.
#[test]
fn a_full_map_grows() {
    let scratch = Scratch::new("index-grows");
    let index = open(scratch.path());
    let ops: Vec<_> = (0..2000).map(put).collect();
    assert_eq!(index.commit(&ops).unwrap(), vec![Outcome::Added; 2000]);
    let used = index.used_bytes().unwrap();
    assert!(used > 4 * 65_536, "{used}");
    assert!(index.map_bytes() as u64 > used);
    drop(index);
    let index = open(scratch.path());
    assert!(index.map_bytes() as u64 > used);
    assert_eq!(index.read().unwrap().counters().unwrap().instances, 2000);
}

/// A file that was cut anywhere is an error or an index that answers, never the end of the process.
#[test]
fn a_cut_file() {
    for part in [1, 2, 3, 7, 8] {
        let scratch = Scratch::new(&format!("index-cut-{part}"));
        let index = open(scratch.path());
        index.commit(&(0..2000).map(put).collect::<Vec<_>>()).unwrap();
        drop(index);
        let data = scratch.path().join("data.mdb");
        let file = std::fs::OpenOptions::new().write(true).open(&data).unwrap();
        let bytes = file.metadata().unwrap().len();
        file.set_len(bytes * part / 8).unwrap();
        let opened = Index::open(scratch.path(), Access::Write, SMALL);
        let read = opened.and_then(|index| {
            let reader = index.read()?;
            let mut found = 0;
            for number in 0..2000 {
                found +=
                    usize::from(reader.instance_of(format!("1.2.{number}").as_bytes())?.is_some());
            }
            Ok(found)
        });
        match read {
            Ok(found) => assert_eq!((found, part), (2000, 8)),
            Err(error) => assert!(part < 8, "{error}"),
        }
    }
}

/// One process opens an index once, for whatever it is.
#[test]
fn twice_in_one_process() {
    let scratch = Scratch::new("index-twice");
    let index = open(scratch.path());
    let error = Index::open(scratch.path(), Access::Read, SMALL).err().unwrap();
    assert!(matches!(error, IndexError::OpenTwice(_)), "{error}");
    let error = Index::open(scratch.path(), Access::Write, SMALL).err().unwrap();
    assert!(matches!(error, IndexError::OpenTwice(_) | IndexError::InUse(_)), "{error}");
    assert_eq!(index.commit(&[put(1)]).unwrap(), [Outcome::Added]);
    drop(index);
    open(scratch.path());
}

/// What is no index, or another version's, is refused with a reason, and stays as it is.
#[test]
fn refusals() {
    let scratch = Scratch::new("index-refused");
    let missing = scratch.path().join("missing");
    let error = Index::open(&missing, Access::Read, SMALL).err().unwrap();
    assert!(matches!(error, IndexError::Missing(_)), "{error}");
    assert!(!missing.exists());

    std::fs::write(scratch.path().join("data.mdb"), vec![7; 20_000]).unwrap();
    let error = Index::open(scratch.path(), Access::Write, SMALL).err().unwrap();
    assert!(matches!(error, IndexError::Foreign(_)), "{error}");
    assert_eq!(std::fs::read(scratch.path().join("data.mdb")).unwrap(), vec![7; 20_000]);
}

/// An entry that cannot be listed changes nothing, with all its batch.
#[test]
fn a_batch_is_whole_or_nothing() {
    let scratch = Scratch::new("index-batch");
    let index = open(scratch.path());
    let mut nameless = entry_of("", "P", "1.3", "1.4");
    let error = index.commit(&[put(1), IndexOp::Put(Box::new(nameless.clone()))]).err().unwrap();
    assert!(matches!(error, IndexError::Unlistable(_)) && !error.is_final(), "{error}");
    nameless.sop_instance = entry_of("1.2", "", "", "").sop_instance;
    nameless.location = FileLocation::Absolute("x".repeat(5000));
    assert!(index.commit(&[put(2), IndexOp::Put(Box::new(nameless))]).is_err());
    assert_eq!(index.read().unwrap().counters().unwrap().instances, 0);
}

/// A reader sees its own state, whatever is committed meanwhile.
#[test]
fn readers_see_one_state() {
    let scratch = Scratch::new("index-state");
    let index = Index::open(scratch.path(), Access::Write, IndexOptions::default()).unwrap();
    index.commit(&[put(1)]).unwrap();
    std::thread::scope(|scope| {
        let reader = index.read().unwrap();
        scope.spawn(|| index.commit(&[put(2)]).unwrap()).join().unwrap();
        assert_eq!(reader.counters().unwrap().instances, 1);
        assert!(reader.find_instance(b"1.2.2").unwrap().is_none());
    });
    assert!(index.read().unwrap().find_instance(b"1.2.2").unwrap().is_some());
}

/// The other process: reads the index named in its environment until it has seen 500 instances.
#[test]
fn other_process() {
    let Some(path) = std::env::var_os(OTHER) else { return };
    let error = Index::open(path.as_ref(), Access::Write, SMALL).err().unwrap();
    assert!(matches!(error, IndexError::InUse(_)), "{error}");
    let index = Index::open(path.as_ref(), Access::Read, SMALL).unwrap();
    assert!(matches!(index.commit(&[put(1)]).err().unwrap(), IndexError::ReadOnly(_)));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let reader = index.read().unwrap();
        let listed = reader.all_instances(InstanceKey::default()).unwrap().count() as u64;
        assert_eq!(listed, reader.counters().unwrap().instances);
        if listed >= 500 {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "only {listed} instances came");
    }
}

/// A second server is refused; a reader beside the first sees whole states only, and follows when
/// the map grows.
#[test]
fn beside_another_process() {
    let scratch = Scratch::new("index-beside");
    let index = open(scratch.path());
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--nocapture"])
        .env(OTHER, scratch.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut number = 0;
    while other.try_wait().unwrap().is_none() {
        let batch: Vec<_> = (number..number + 10).map(put).collect();
        index.commit(&batch).unwrap();
        number += 10;
        assert!(number < 200_000, "the other process does not end");
    }
    assert!(other.wait().unwrap().success());
    assert!(number >= 500);
}
