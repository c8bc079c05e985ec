//! After an end that was none, index and files are compared while the area is served.

mod area_kit;
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use area_kit::{options, store, uid};
use common::{Scratch, copy};
use dcmfast_core::archive::area::{AreaError, AreaOptions};
use dcmfast_core::archive::background::BackgroundCheck;
use dcmfast_core::archive::exchange::{export, import};
use dcmfast_core::archive::files::{Bare, read_entry_while};
use dcmfast_core::archive::indexed::OpenArea;
use dcmfast_core::archive::layout;
use dcmfast_core::archive::maintenance::Hold;
use dcmfast_core::index::FileLocation;
use dcmfast_core::limits;
use dcmfast_core::log::{Level, Logger, Sink};
use dcmfast_core::server::areas::AreaSlot;
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::writer::StoreError;

/// Keeps what is logged.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn has(&self, text: &str) -> bool {
        self.all().iter().any(|line| line.contains(text))
    }

    fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.has(text) {
            assert!(Instant::now() < deadline, "{text:?} is not in {:?}", self.all());
            thread::yield_now();
        }
    }
}

impl Sink for Lines {
    fn record(&self, level: Level, _logger: &str, text: &str) {
        self.0.lock().unwrap().push(format!("{level:?} {text}"));
    }

    fn progress(&self, _text: &str) {}
}

fn logging(lines: &Arc<Lines>) -> AreaOptions {
    let logger = Arc::new(Logger::new(Level::Info, Arc::clone(lines) as Arc<_>));
    AreaOptions { logger, ..options(Durability::None) }
}

/// An area with `count` objects, as a process left it that was killed.
fn killed(scratch: &Scratch, count: u32) -> PathBuf {
    let open = OpenArea::open(scratch.path(), options(Durability::None)).expect("opens");
    for number in 1..=count {
        store(&open.area, &format!("1.{number}"), 100, 1).expect("stored");
    }
    open.area.close().expect("closes");
    assert!(!open.area.was_interrupted());
    let mark = scratch.path().join(layout::OPEN);
    assert!(!mark.exists(), "an end in order leaves no mark");
    fs::write(&mark, b"").expect("marked");
    mark
}

fn own(area: &Path, number: u64) -> PathBuf {
    area.join(layout::own_file(number))
}

fn listed(open: &OpenArea, name: &str) -> Option<FileLocation> {
    let reader = open.index.read().expect("a reader");
    let record = reader.instance_of(uid(name).as_bytes()).expect("read");
    record.map(|record| record.location())
}

/// Runs a whole check; what it said.
fn checked(scratch: &Scratch) -> (OpenArea, Vec<String>) {
    let lines = Arc::new(Lines::default());
    let open = OpenArea::open(scratch.path(), logging(&lines)).expect("opens");
    assert!(open.area.was_interrupted());
    BackgroundCheck::start(&open, scratch.path()).wait();
    (open, lines.all())
}

/// Rows without a file go, whole objects without a row come; what may mean something else is told.
#[test]
fn what_it_finds_and_repairs() {
    let scratch = Scratch::new("background-repairs");
    let mark = killed(&scratch, 40);
    let area = scratch.path();
    fs::remove_file(own(area, 3)).expect("gone");
    fs::copy(own(area, 4), area.join("again.dcm")).expect("copied");
    fs::write(own(area, 5), b"short").expect("hurt");
    fs::write(area.join("notes.txt"), b"no object").expect("written");
    fs::rename(own(area, 6), own(area, 39_000))
        .or_else(|_| {
            fs::create_dir_all(own(area, 39_000).parent().expect("a parent"))?;
            fs::rename(own(area, 6), own(area, 39_000))
        })
        .expect("moved");

    let (open, lines) = checked(&scratch);
    assert_eq!(listed(&open, "1.3"), None);
    // A duplicate of what is listed stays what it is: a file that nobody lists.
    assert_eq!(listed(&open, "1.4"), Some(FileLocation::Own(4)));
    assert_eq!(listed(&open, "1.5"), Some(FileLocation::Own(5)));
    assert_eq!(listed(&open, "1.6"), Some(FileLocation::Own(39_000)));
    for text in [
        "objects/0000/000/0000000000000003.dcm: listed, but there is no such file; the index is",
        "again.dcm: not listed, for objects/0000/000/0000000000000004.dcm has the same",
        "objects/0000/000/0000000000000005.dcm: listed with",
        "objects/0000/261/0000000000009858.dcm: an object that is not listed; the index is rep",
        "40 instances and 41 files compared: 5 findings, 3 repaired; `dcmfast index verify`",
    ] {
        assert!(lines.iter().any(|line| line.contains(text)), "{text:?} is not in {lines:#?}");
    }
    assert!(area.join("again.dcm").exists() && area.join("notes.txt").exists());
    assert!(mark.exists(), "until the end");
    // Nothing of it is in the way of stores.
    store(&open.area, "1.3", 100, 1).expect("stored");
    open.area.close().expect("closes");
    assert!(!mark.exists(), "it has been looked at");
}

/// A disk that is not mounted is no reason to forget what is on it.
#[test]
fn nothing_is_forgotten_when_every_file_is_gone() {
    let scratch = Scratch::new("background-unmounted");
    killed(&scratch, 20);
    fs::rename(scratch.path().join("objects"), scratch.path().join(".dcmfast/elsewhere"))
        .expect("moved");
    let (open, lines) = checked(&scratch);
    assert!(lines.iter().any(|line| line.contains("20 findings, 0 repaired")), "{lines:#?}");
    assert_eq!(listed(&open, "1.7"), Some(FileLocation::Own(7)));
    open.area.close().expect("closes");
}

/// Stores go on beside it, and it ends at once when the area is closed. Its work is left to the next
/// start then.
#[test]
fn it_delays_nothing_and_ends_at_once() {
    let scratch = Scratch::new("background-beside");
    let mark = killed(&scratch, 3000);
    let lines = Arc::new(Lines::default());
    let slot = AreaSlot::new(scratch.path().to_owned(), logging(&lines));
    let began = Instant::now();
    let open = slot.open().expect("opens");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    lines.wait_for("index and files are compared");
    for number in 0..200 {
        store(&open.area, &format!("2.{number}"), 100, 1).expect("stored");
    }
    open.area.barrier().expect("applied");
    assert!(listed(&open, "2.199").is_some());
    let began = Instant::now();
    slot.close().expect("closes");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop(open);

    // One that comes to its end while objects are stored finds nothing wrong with them. The first may
    // have said the same.
    fs::write(&mark, b"").expect("marked");
    let lines = Arc::new(Lines::default());
    let slot = AreaSlot::new(scratch.path().to_owned(), logging(&lines));
    let open = slot.open().expect("opens");
    let is_over = || lines.has("files compared: 0 findings, 0 repaired");
    let mut number = 0_u32;
    while !is_over() {
        // Each is replaced again and again: files come and go all the time.
        let fill = (number / 50 % 250) as u8;
        store(&open.area, &format!("3.{}", number % 50), 100, fill).expect("stored");
        number += 1;
    }
    slot.close().expect("closes");
    assert!(!lines.has("findings, 1 repaired"), "{:#?}", lines.all());
    assert!(!mark.exists());
}

/// Who waits for the end does not wait for a large file that the check has just begun to read.
#[test]
fn a_large_file_is_read_as_long_as_somebody_wants_it() {
    let scratch = Scratch::new("background-large");
    let open = OpenArea::open(scratch.path(), options(Durability::None)).expect("opens");
    store(&open.area, "1.1", 10 * limits::FILE_META_BYTES_MAX, 1).expect("stored");
    open.area.close().expect("closes");
    let file = own(scratch.path(), 1);
    for (wanted, is_read) in [(3, false), (u32::MAX, true)] {
        let mut portions = 0;
        let mut goes_on = || {
            portions += 1;
            portions < wanted
        };
        let location = FileLocation::Own(1);
        let read = read_entry_while(&file, location, Bare::Own, &mut Vec::new(), &mut goes_on);
        assert_eq!(read.is_ok(), is_read, "{read:?}");
        assert_eq!(portions, if is_read { 10 } else { 3 });
    }
}

/// Garbage in the index is told with what to type, by the check or by the next start.
#[test]
fn garbage_in_the_index() {
    let scratch = Scratch::new("background-garbage");
    let mark = killed(&scratch, 3000);
    let data = scratch.path().join(layout::INDEX).join("data.mdb");
    let sound = fs::read(&data).expect("the index");
    let pages = sound.len() / 4096;
    let (mut at_start, mut later) = (0, 0);
    for page in (2..pages).step_by(7) {
        let mut bytes = sound.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xA5);
        fs::write(&data, bytes).expect("hurt");
        fs::write(&mark, b"").expect("marked");
        let lines = Arc::new(Lines::default());
        let told = match OpenArea::open(scratch.path(), logging(&lines)) {
            Err(AreaError::Index(error)) => {
                at_start += 1;
                error.to_string()
            }
            Err(error) => panic!("{error}"),
            Ok(open) => {
                BackgroundCheck::start(&open, scratch.path()).wait();
                open.area.close().expect("closes");
                let lines = lines.all().join("\n");
                if !lines.contains("Error") {
                    // Nothing was on that page.
                    assert!(lines.contains("3000 files compared: 0 findings"), "{page}: {lines}");
                    continue;
                }
                later += 1;
                lines
            }
        };
        assert!(told.contains("`dcmfast index rebuild"), "{page}: {told}");
        assert!(mark.exists(), "the next start looks again");
    }
    assert!(at_start > 0 && later > 0, "{at_start} {later}");
}

/// An area that is renamed, removed or made anew takes nothing more; once it is back, it does.
#[test]
fn an_area_that_is_taken_away() {
    let scratch = Scratch::new("background-away");
    let (here, away) = (scratch.path().join("area"), scratch.path().join("away"));
    fs::create_dir(&here).expect("made");
    let lines = Arc::new(Lines::default());
    let open = OpenArea::open(&here, logging(&lines)).expect("opens");
    store(&open.area, "1.1", 100, 1).expect("stored");

    fs::rename(&here, &away).expect("renamed");
    lines.wait_for("was removed, renamed or unmounted; nothing more is stored");
    let refused = store(&open.area, "1.2", 100, 1).expect_err("it is not there");
    assert!(matches!(refused, StoreError::Stalled(_)), "{refused}");
    // Another one in its place is not it.
    fs::create_dir(&here).expect("made");
    assert!(store(&open.area, "1.2", 100, 1).is_err());
    fs::remove_dir(&here).expect("removed");

    fs::rename(&away, &here).expect("renamed");
    lines.wait_for("area is back");
    store(&open.area, "1.2", 100, 1).expect("stored");
    open.area.barrier().expect("applied");
    assert_eq!(listed(&open, "1.2"), Some(FileLocation::Own(2)));

    fs::remove_dir_all(&here).expect("removed");
    let deadline = Instant::now() + Duration::from_secs(2);
    while store(&open.area, "1.3", 100, 1).is_ok() {
        assert!(Instant::now() < deadline, "it is noticed within a second or so");
    }
}

/// A tool that was killed between its two renames left the index under another name: it is put back.
#[test]
fn an_index_between_two_names() {
    let scratch = Scratch::new("background-names");
    killed(&scratch, 5);
    let (index, old) = (scratch.path().join(layout::INDEX), scratch.path().join(layout::OLD_INDEX));
    fs::rename(&index, &old).expect("renamed");
    fs::create_dir(scratch.path().join(layout::NEW_INDEX)).expect("made");
    let open = OpenArea::open(scratch.path(), options(Durability::None)).expect("opens");
    assert_eq!(listed(&open, "1.5"), Some(FileLocation::Own(5)));
    assert!(!old.exists());
    open.area.close().expect("closes");
    drop(open);
    // The new one has the name: the old one is of no use.
    fs::create_dir(&old).expect("made");
    let open = OpenArea::open(scratch.path(), options(Durability::None)).expect("opens");
    assert_eq!(listed(&open, "1.5"), Some(FileLocation::Own(5)));
}

/// A rebuild that ends early has emptied the journal, and the old index does not know what was in it: the
/// next start finds that.
#[test]
fn an_interrupted_rebuild_loses_nothing() {
    let (live, scratch) = (Scratch::new("background-live"), Scratch::new("background-rebuild"));
    let open = OpenArea::open(live.path(), options(Durability::None)).expect("opens");
    for number in 1..=5_usize {
        store(&open.area, &format!("1.{number}"), 30_000 * number, 1).expect("stored");
    }
    // What a process leaves that is killed now.
    copy(live.path(), scratch.path());
    open.area.close().expect("closes");
    let hold = Hold::take(scratch.path()).expect("free");
    hold.replay(&options(Durability::None).logger).expect("replayed");
    hold.new_index().expect("made");
    drop(hold);
    let (open, _) = checked(&scratch);
    for number in 1..=5_usize {
        let found = listed(&open, &format!("1.{number}"));
        assert_eq!(found, Some(FileLocation::Own(number as u64)));
    }
    open.area.close().expect("closes");
}

/// An imported index knows nothing of what came after it was exported: the next start finds that.
#[test]
fn what_came_after_an_export_is_listed_after_its_import() {
    let scratch = Scratch::new("background-import");
    let target = scratch.path().join("exported");
    for numbers in [1..=3, 4..=5] {
        let open = OpenArea::open(scratch.path(), options(Durability::None)).expect("opens");
        for number in numbers.clone() {
            store(&open.area, &format!("1.{number}"), 100, 1).expect("stored");
        }
        open.area.close().expect("closes");
        drop(open);
        if numbers.contains(&1) {
            export(scratch.path(), &target, &mut |_| true).expect("exported");
        }
    }
    let logger = options(Durability::None).logger;
    assert_eq!(import(scratch.path(), &target, &logger, &mut |_| true).expect("imported"), 3);
    let (open, _) = checked(&scratch);
    assert_eq!(listed(&open, "1.5"), Some(FileLocation::Own(5)));
    open.area.close().expect("closes");
}
