//! Readers of an index beside the process that serves its area: what was acknowledged is there.

mod area_kit;
mod common;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use area_kit::{options, store};
use common::{Scratch, copy};
use dcmfast_core::archive::beside::{Beside, Standing};
use dcmfast_core::archive::indexed::OpenArea;
use dcmfast_core::archive::layout;
use dcmfast_core::archive::maintenance::{Hold, ToolError, open_current};
use dcmfast_core::index::Index;
use dcmfast_core::limits::{COMMIT_DELAY_MS_MAX, SETTLING_WAIT_MS_MAX};
use dcmfast_core::storage::backend::tree::DiskTree;
use dcmfast_core::storage::durability::Durability;

fn instances(index: &Index) -> u64 {
    index.read().and_then(|reader| reader.counters()).expect("counters").instances
}

fn applied(index: &Index) -> u64 {
    index.read().and_then(|reader| reader.counters()).expect("counters").applied
}

fn open(directory: &Path) -> OpenArea {
    OpenArea::open(directory, options(Durability::None)).expect("opens")
}

/// Each look finds every object that was acknowledged before, small and large, over several segments
/// of the journal; and it asks the server instead of waiting for its next commit.
#[test]
fn what_was_acknowledged_is_seen_at_once() {
    let directory = Scratch::new("beside-live");
    let OpenArea { area, index } = open(directory.path());
    let mut beside = Beside::new(directory.path()).expect("looks");
    let begun = Instant::now();
    let mut looks = 0;
    for count in 1..=600_u64 {
        let bytes = if count % 50 == 0 { 100_000 } else { 40_000 };
        store(&area, &format!("1.{count}"), bytes, 1).expect("stored");
        if count % 20 == 0 {
            let standing = beside.wait(&mut || Ok(applied(&index)), &mut || true);
            assert_eq!(standing.expect("waits"), Standing::Current);
            assert!(instances(&index) >= count);
            looks += 1;
        }
    }
    let unasked = Duration::from_millis(looks * COMMIT_DELAY_MS_MAX);
    assert!(begun.elapsed() < unasked, "{:?} for {looks} looks", begun.elapsed());
    area.close().expect("closes");
    let standing = beside.wait(&mut || Ok(applied(&index)), &mut || true);
    assert_eq!(standing.expect("waits"), Standing::Current);
}

/// An area whose process was killed: the reader applies the journal, as the next start would, unless it
/// may not; then it says that something is missing.
#[test]
fn an_area_that_nobody_serves() {
    let directory = Scratch::new("beside-killed");
    let (live, killed) = (directory.path().join("live"), directory.path().join("killed"));
    fs::create_dir(&live).expect("made");
    let OpenArea { area, index } = open(&live);
    for count in 1..=30 {
        store(&area, &format!("1.{count}"), 2_000 * count, 1).expect("stored");
    }
    // At any time, and not when all is applied: the copy is what a process leaves that is killed now.
    copy(&live, &killed);
    area.close().expect("closes");
    drop((area, index));
    let (index, is_current) = open_current(&killed, &mut || true).expect("opens");
    assert!(is_current);
    assert_eq!(instances(&index), 30);
    drop(index);
    // Applied once and for all, and the area is nobody's.
    let OpenArea { area, index } = open(&killed);
    assert_eq!(instances(&index), 30);
    store(&area, "2.1", 100, 1).expect("stored");
    area.close().expect("closes");
}

/// The last record of a journal may have been written in part: nobody was told of it, and nobody waits
/// for it.
#[test]
fn a_torn_record_is_not_waited_for() {
    let directory = Scratch::new("beside-torn");
    let OpenArea { area, index } = open(directory.path());
    for count in 1..=5 {
        store(&area, &format!("1.{count}"), 1_000, 1).expect("stored");
    }
    let (before, after) = (3, 5);
    // As if the index had the first three, and the payload of the last were not there yet.
    let segment = directory.path().join(layout::JOURNAL).join("0.segment");
    let mut bytes = fs::read(&segment).expect("a segment");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("records");
    bytes[end] ^= 1;
    fs::write(&segment, &bytes).expect("torn");
    let mut beside = Beside::new(directory.path()).expect("looks");
    for (claimed, wanted) in [(4, Standing::Current), (before, Standing::Behind)] {
        let mut asked = 0;
        let goes_on = &mut || {
            asked += 1;
            asked < 2
        };
        let standing = beside.wait(&mut || Ok(claimed), goes_on).expect("waits");
        assert_eq!(standing, wanted, "{claimed} of {after}");
    }
    area.close().expect("closes");
    drop(index);
}

/// Who starts while a reader looks whether anybody serves the area is not told that it is in use.
#[test]
fn a_start_waits_for_a_reader() {
    let directory = Scratch::new("beside-start");
    open(directory.path()).area.close().expect("closes");
    let tree = DiskTree::open(directory.path()).expect("a tree");
    let settling = tree.lock(layout::SETTLING).expect("free");
    let lock = tree.lock(layout::LOCK).expect("free");
    thread::scope(|scope| {
        let starting = scope.spawn(|| {
            let open = OpenArea::open(directory.path(), options(Durability::None));
            open.expect("opens").area.close().expect("closes");
        });
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(50) && !starting.is_finished() {
            thread::yield_now();
        }
        assert!(!starting.is_finished(), "it has the area, or has given up");
        drop((lock, settling));
        starting.join().expect("ends");
    });
    // Held by anybody else: at once.
    let _lock = tree.lock(layout::LOCK).expect("free");
    let begun = Instant::now();
    let refused = Hold::take(directory.path()).err();
    assert!(matches!(refused, Some(ToolError::InUse(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_millis(SETTLING_WAIT_MS_MAX));
}
