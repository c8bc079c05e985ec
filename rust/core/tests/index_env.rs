//! The environment of an index: who may open it, what it refuses, how it grows.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Scratch, entry_of};
use dcmfast_core::index::attributes::Level;
use dcmfast_core::index::{
    Access, FileLocation, Index, IndexError, IndexOp, IndexOptions, InstanceKey, Outcome,
};
use dcmfast_core::storage::backend::tree::DiskTree;

const SMALL: IndexOptions = IndexOptions { map_bytes: 65_536, looks_deep: false };
const DEEP: IndexOptions = IndexOptions { map_bytes: 65_536, looks_deep: true };
/// Set in the environment of the other process of these tests: the index that it is to open.
const OTHER: &str = "DCMFAST_TEST_INDEX";
/// The same for the one that has no room.
const CRAMPED: &str = "DCMFAST_TEST_CRAMPED_INDEX";

fn put(number: u32) -> IndexOp {
    let mut entry =
        entry_of(&format!("1.2.{number}"), "P", &format!("1.3.{}", number / 100), "1.4");
    entry.location = FileLocation::Own(u64::from(number));
    IndexOp::Put(Arc::new(entry))
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

/// Opens a copy of an index whose bytes `hurt` changed, looks at its pages, and reads all of it if
/// they are found sound: what it lists, or what is wrong.
fn looked_at(sound: &[u8], name: &str, hurt: impl FnOnce(&mut [u8])) -> Result<usize, IndexError> {
    let mut bytes = sound.to_vec();
    hurt(&mut bytes);
    let scratch = Scratch::new(name);
    std::fs::write(scratch.path().join("data.mdb"), bytes).unwrap();
    let index = Index::open(scratch.path(), Access::Read, DEEP)?;
    assert!(index.check_pages(&mut |_| true)?);
    let reader = index.read()?;
    let mut found = 0;
    for record in reader.all_instances(InstanceKey::default())? {
        let record = record?;
        found += usize::from(reader.instance_of(record.sop_instance())?.is_some());
    }
    for level in [Level::Patient, Level::Study, Level::Series] {
        for record in reader.entities(level, 0)? {
            record?;
        }
    }
    Ok(found)
}

/// The bytes of an index with so many instances, some of which were replaced.
fn bytes_of_an_index(name: &str, count: u32) -> Vec<u8> {
    let scratch = Scratch::new(name);
    let index = open(scratch.path());
    index.commit(&(0..count).map(put).collect::<Vec<_>>()).unwrap();
    index.commit(&(0..count / 4).map(put).collect::<Vec<_>>()).unwrap();
    drop(index);
    std::fs::read(scratch.path().join("data.mdb")).unwrap()
}

/// Garbage in any page is found before it ends the process, or the page was not in use.
#[test]
fn garbage_in_any_page() {
    const PAGE: usize = 4096;
    let sound = bytes_of_an_index("index-pages", 1500);
    let pages = sound.len() / PAGE;
    assert!(pages > 100, "{pages}");
    let mut found = [0; 3];
    for page in 0..pages {
        let fills: [fn(usize) -> u8; 3] =
            [|_| 0, |_| 0xFF, |at| (at.wrapping_mul(2_654_435_761) >> 11) as u8];
        for (fill, byte) in fills.into_iter().enumerate() {
            let begin = page * PAGE;
            let outcome = looked_at(&sound, "index-garbage", |bytes| {
                let bytes = &mut bytes[begin..begin + PAGE];
                bytes.iter_mut().enumerate().for_each(|(at, slot)| *slot = byte(at));
            });
            match outcome {
                Ok(listed) => assert_eq!(listed, 1500, "page {page}"),
                Err(error) => {
                    found[fill] += 1;
                    let is_told =
                        matches!(error, IndexError::Damaged { .. } | IndexError::Foreign(_));
                    assert!(is_told, "page {page}: {error}");
                }
            }
        }
    }
    assert!(found.iter().all(|found| *found > pages / 2), "{found:?} of {pages}");
}

/// One wrong byte anywhere is noticed, or means another value: it never ends the process.
#[test]
fn a_wrong_byte_anywhere() {
    let sound = bytes_of_an_index("index-byte", 300);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % bound
    };
    let mut told = 0;
    for round in 0..600 {
        // Half of them where pages have their structure.
        let page = next(sound.len() / 4096) * 4096;
        let at = if round % 2 == 0 { page + next(64) } else { next(sound.len()) };
        let change = 1 + next(255) as u8;
        let outcome = looked_at(&sound, "index-wrong", |bytes| bytes[at] ^= change);
        told += usize::from(outcome.is_err());
    }
    assert!(told > 30, "{told}");
}

/// What this thread has used of a processor: others may use it, too.
fn processor_time_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// DIFFERENCES.md B7: what one more instance costs does not depend on how many there are. A look at each
/// of them would take thirty times as long.
#[test]
fn a_store_costs_the_same_in_a_large_index() {
    let scratch = Scratch::new("index-cost");
    let index = Index::open(scratch.path(), Access::Write, IndexOptions::default()).unwrap();
    let mut next = 0;
    let mut store = |count: u32| {
        let ops: Vec<_> = (next..next + count).map(put).collect();
        next += count;
        let began = processor_time_ns();
        index.commit(&ops).unwrap();
        processor_time_ns() - began
    };
    store(1000);
    let early = (0..5).map(|_| store(200)).min().unwrap();
    store(58_000);
    let late = (0..5).map(|_| store(200)).min().unwrap();
    assert!(late < 6 * early, "{early:?} {late:?}");
}

/// What a process opens of one index is shared: readers beside a writer, and a writer beside readers, for as
/// long as he writes. One writes at a time.
#[test]
fn twice_in_one_process() {
    let scratch = Scratch::new("index-twice");
    let count = |index: &Index| index.read().unwrap().counters().unwrap().instances;
    let read = || Index::open(scratch.path(), Access::Read, SMALL).unwrap();
    let writer = open(scratch.path());
    let reader = read();
    let error = Index::open(scratch.path(), Access::Write, SMALL).err().unwrap();
    assert!(matches!(error, IndexError::InUse(_)), "{error}");
    assert_eq!(writer.commit(&[put(1)]).unwrap(), [Outcome::Added]);
    assert_eq!(count(&reader), 1);
    drop(writer);
    assert_eq!(count(&reader), 1);
    let error = reader.commit(&[put(2)]).err().unwrap();
    assert!(matches!(error, IndexError::ReadOnly(_)), "{error}");
    // Whoever writes next, here or elsewhere, finds nobody who does.
    let lock = DiskTree::open(scratch.path()).unwrap().lock("writer.lock").unwrap();
    let error = Index::open(scratch.path(), Access::Write, SMALL).err().unwrap();
    assert!(matches!(error, IndexError::InUse(_)), "{error}");
    drop(lock);
    assert_eq!(count(&reader), 1);
    for number in 2..6 {
        let writer = open(scratch.path());
        assert_eq!(writer.commit(&[put(number)]).unwrap(), [Outcome::Added]);
        assert_eq!(count(&read()), u64::from(number));
        assert_eq!(count(&reader), u64::from(number));
    }
    drop(reader);
    open(scratch.path());
}

/// The same by many threads at once.
#[test]
fn readers_come_and_go_beside_writers() {
    let scratch = Scratch::new("index-shared");
    open(scratch.path()).commit(&[put(1)]).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let index = Index::open(scratch.path(), Access::Read, SMALL).unwrap();
                    assert!(index.read().unwrap().counters().unwrap().instances >= 1);
                }
            });
        }
        for number in 2..40 {
            open(scratch.path()).commit(&[put(number)]).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let index = Index::open(scratch.path(), Access::Read, SMALL).unwrap();
    assert_eq!(index.read().unwrap().counters().unwrap().instances, 39);
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
    let error = index.commit(&[put(1), IndexOp::Put(Arc::new(nameless.clone()))]).err().unwrap();
    assert!(matches!(error, IndexError::Unlistable(_)) && !error.is_final(), "{error}");
    nameless.sop_instance = entry_of("1.2", "", "", "").sop_instance;
    nameless.location = FileLocation::Absolute("x".repeat(5000));
    assert!(index.commit(&[put(2), IndexOp::Put(Arc::new(nameless))]).is_err());
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

/// The other process, which may write no file beyond a size: stores until there is no room.
#[test]
fn other_process_without_room() {
    let Some(path) = std::env::var_os(CRAMPED) else { return };
    let index = Index::open(path.as_ref(), Access::Write, SMALL).unwrap();
    let mut number = 0;
    let error = loop {
        let batch: Vec<_> = (number..number + 50).map(put).collect();
        match index.commit(&batch) {
            Ok(_) => number += 50,
            Err(error) => break error,
        }
        assert!(number < 100_000, "there is no limit");
    };
    // LMDB calls it EIO when a part could still be written.
    assert!(matches!(error, IndexError::Io { .. }), "{error}");
    // Nothing of the batch is there, everything before is, and again is no other.
    for _ in 0..2 {
        assert_eq!(index.read().unwrap().counters().unwrap().instances, u64::from(number));
        assert!(index.commit(&(number..number + 50).map(put).collect::<Vec<_>>()).is_err());
    }
    std::fs::write(std::path::Path::new(&path).join("count"), number.to_string()).unwrap();
}

/// A full disk under LMDB itself: no false success, what was committed is there, and room made is room
/// used.
#[test]
fn a_disk_that_is_full() {
    let scratch = Scratch::new("index-full");
    // The limit is of the process, and its signal is ignored: writes say EFBIG then.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "other_process_without_room", "--nocapture"])
        .env(CRAMPED, scratch.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let count = std::fs::read_to_string(scratch.path().join("count")).unwrap();
    let count: u32 = count.parse().unwrap();
    assert!(count > 100, "{count}");
    let index = open(scratch.path());
    assert!(index.check_pages(&mut |_| true).unwrap());
    assert_eq!(index.read().unwrap().counters().unwrap().instances, u64::from(count));
    index.commit(&(count..count + 50).map(put).collect::<Vec<_>>()).unwrap();
    assert_eq!(index.read().unwrap().counters().unwrap().instances, u64::from(count) + 50);
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
