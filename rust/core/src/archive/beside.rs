//! Reading an index beside the process that serves its area, and nevertheless seeing all that was
//! acknowledged.
//!
//! What was acknowledged stands in the journal at once and in the index up to half a second later. A
//! reader of another process looks how far the journal goes, and waits until the index has it:
//!
//! ```text
//! reader   last whole record of the journal ─ is it in the index? ─ yes: go on
//!            │ no: write to `asked`                                    ▲
//! server     └─▶ the applier, which looks there while it waits for more, commits now
//! ```
//!
//! Where nobody serves the area, a process was killed: the reader does what the next start would do,
//! and applies the journal ([`settle`]). For that it takes the area's lock for a moment, so whoever starts
//! meanwhile and finds the lock taken looks at `settling` and waits ([`take_lock`]). No store waits for
//! any of this, and nothing depends on it: who may not write here reads what is there.
//!
//! Called by `archive::{area, indexed, maintenance, progress}` and the Python layer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::indexed::OpenArea;
use super::layout;
use super::maintenance::tool_options;
use crate::index::IndexError;
use crate::limits::{
    BESIDE_LOOK_MS, BESIDE_WAIT_MS_MAX, GROUP_OBJECTS_MAX, JOURNAL_SEGMENTS_MAX,
    SETTLING_WAIT_MS_MAX,
};
use crate::log::{Level, Logger, NoSink};
use crate::storage::backend::survey;
use crate::storage::backend::tree::{Access, DiskTree, Tree, TreeFile, TreeLock};
use crate::storage::backend::{NameSource, SystemNameSource};
use crate::storage::journal::frame::{
    self, Follow, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader,
};

// ---- The side of whoever serves the area --------------------------------------------------------

/// Where readers say that they wait.
pub(super) struct Asked {
    file: Box<dyn TreeFile>,
    /// What stood there when it was looked at last.
    seen: [u8; ASKED_BYTES],
}

impl Asked {
    /// Makes the file where it is missing. `None` where that cannot be: readers wait a little longer.
    pub fn open(tree: &dyn Tree) -> Option<Self> {
        let made = || tree.create(layout::ASKED, Access::Owner);
        let file = tree.open(layout::ASKED, true).or_else(|_| made()).ok()?;
        let mut asked = Self { file, seen: [0; ASKED_BYTES] };
        asked.is_news();
        Some(asked)
    }

    /// True when somebody has asked since the last look.
    pub fn is_news(&mut self) -> bool {
        let mut found = [0; ASKED_BYTES];
        // What cannot be read asks nothing.
        if self.file.read_at(&mut found, 0).is_err() {
            return false;
        }
        core::mem::replace(&mut self.seen, found) != found
    }
}

/// Takes the area's lock for a process that will keep it. A reader who has it for a moment is waited
/// for; anybody else is an error at once, `WouldBlock`.
pub(super) fn take_lock(tree: &DiskTree) -> io::Result<TreeLock> {
    let begun = Instant::now();
    loop {
        match tree.lock(layout::LOCK) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            taken => return taken,
        }
        match tree.lock(layout::SETTLING) {
            // No reader takes the lock now.
            Ok(_settling) => return tree.lock(layout::LOCK),
            Err(error) if begun.elapsed() >= SETTLING_WAIT => return Err(error),
            Err(_) => thread::sleep(LOOK),
        }
    }
}

// ---- The reader's side --------------------------------------------------------------------------

/// How the index stands to what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All is in the index.
    Current,
    /// Not all, and it did not come within the time that is waited.
    Behind,
    /// Not all, and nobody serves the area: close the index, call [`settle`], and wait once more. That is
    /// said once.
    Abandoned,
}

/// An area as a reader beside its server sees it.
pub struct Beside {
    tree: DiskTree,
    tail: Option<Tail>,
    /// A record that was waited for in vain: nobody waits for it twice.
    given_up: u64,
    /// One that nobody would apply when it was looked at last.
    abandoned: u64,
}

impl Beside {
    /// Looks at the area in `directory`.
    pub fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { tree: DiskTree::open(directory)?, tail: None, given_up: 0, abandoned: 0 })
    }

    /// Waits until everything that was acknowledged before this call is in the index, of which `applied`
    /// tells how far it is. `goes_on` is asked now and then, and ends the wait by false.
    pub fn wait(
        &mut self,
        applied: &mut dyn FnMut() -> Result<u64, IndexError>,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Standing, IndexError> {
        let begun = Instant::now();
        let target = last_record(&self.tree, &mut self.tail, applied()?);
        if applied()? >= target {
            return Ok(Standing::Current);
        }
        if target == self.given_up {
            return Ok(Standing::Behind);
        }
        self.ask();
        let mut looks = 0_u32;
        loop {
            if looks % LOOKS_BETWEEN == 0 {
                if self.is_alone() {
                    let is_again = core::mem::replace(&mut self.abandoned, target) == target;
                    if !is_again {
                        return Ok(Standing::Abandoned);
                    }
                    self.given_up = target;
                    return Ok(Standing::Behind);
                }
                if !goes_on() {
                    return Ok(Standing::Behind);
                }
            }
            looks += 1;
            thread::sleep(LOOK);
            if applied()? >= target {
                return Ok(Standing::Current);
            }
            if begun.elapsed() >= WAIT {
                self.given_up = target;
                return Ok(Standing::Behind);
            }
        }
    }

    fn ask(&self) {
        let asked = SystemNameSource.unix_time_us() ^ SystemNameSource.chance() as u64;
        // Without a word the server commits, too, only later.
        if let Ok(file) = self.tree.open(layout::ASKED, true) {
            let _ = file.write_at(&mut [IoSlice::new(&asked.to_be_bytes())], 0);
        }
    }

    /// True when nobody has the area.
    fn is_alone(&self) -> bool {
        // Another reader may be about to apply the journal.
        let Ok(_settling) = self.tree.lock(layout::SETTLING) else { return false };
        self.tree.lock(layout::LOCK).is_ok()
    }
}

/// Applies the journal of the area in `directory`, as the next start would. False when somebody has the
/// area, or that cannot be done here: whoever reads goes on with what there is.
pub fn settle(directory: &Path) -> bool {
    let work = || -> Option<()> {
        let tree = DiskTree::open(directory).ok()?;
        // What root makes here the server could not use.
        survey::is_ours(&tree.path_of(layout::PRIVATE)).ok().filter(|is_ours| *is_ours)?;
        let _settling = tree.lock(layout::SETTLING).ok()?;
        let lock = tree.lock(layout::LOCK).ok()?;
        // A reader has nowhere to say what it meets; the next start tells what is still wrong.
        let logger = Arc::new(Logger::new(Level::Off, Arc::new(NoSink)));
        let open = OpenArea::open_locked(directory, tree, lock, tool_options(logger)).ok()?;
        open.area.close().ok()
    };
    work().is_some()
}

/// How far a segment was gone through.
struct Tail {
    slot: usize,
    header: SegmentHeader,
    place: Follow,
    /// The last records behind what was in the index: header, and where the payload begins.
    last: VecDeque<(u64, u64, [u8; RECORD_HEADER_BYTES])>,
}

/// The number of the last whole record in the journal; 0 without one, or where it cannot be read. Those
/// up to `applied` are not looked at closely.
///
/// The segment may be released and written anew meanwhile; then all that stood in it is in the index.
fn last_record(tree: &dyn Tree, known: &mut Option<Tail>, applied: u64) -> u64 {
    let mut newest: Option<(usize, SegmentHeader, Box<dyn TreeFile>)> = None;
    for slot in 0..JOURNAL_SEGMENTS_MAX {
        let Ok(file) = tree.open(&format!("{}/{slot}.segment", layout::JOURNAL), false) else {
            continue;
        };
        let mut head = [0; SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES];
        if file.read_at(&mut head, 0).is_err() {
            continue;
        }
        let Some((header, true)) = frame::first_header(&head) else { continue };
        if newest.as_ref().is_none_or(|(_, best, _)| best.first_sequence < header.first_sequence) {
            newest = Some((slot, header, file));
        }
    }
    let Some((slot, header, file)) = newest else { return 0 };
    let mut tail = match known.take() {
        Some(tail) if (tail.slot, tail.header) == (slot, header) => tail,
        _ => Tail { slot, header, place: Follow::new(header), last: VecDeque::new() },
    };
    tail.go_on(&*file);
    tail.last.retain(|(sequence, ..)| *sequence > applied);
    let last = tail.last_whole(&*file);
    *known = Some(tail);
    last
}

impl Tail {
    /// Goes to the end of what is written.
    fn go_on(&mut self, file: &dyn TreeFile) {
        let mut block = vec![0; RECORD_HEADER_BYTES];
        loop {
            let begin = self.place.at;
            let length = file.read_at(&mut block, begin).unwrap_or_default();
            let mut has_passed = false;
            while let Some(header) = usize::try_from(self.place.at - begin)
                .ok()
                .and_then(|at| block.get(at..length)?.first_chunk::<RECORD_HEADER_BYTES>())
            {
                let (sequence, at) = (self.place.next, self.place.at);
                if self.place.pass(header).is_none() {
                    return;
                }
                has_passed = true;
                // Those that are being written are one group; all before it are whole.
                if self.last.len() > GROUP_OBJECTS_MAX {
                    self.last.pop_front();
                }
                self.last.push_back((sequence, at, *header));
            }
            if !has_passed {
                return;
            }
            block.resize(FOLLOWED_BLOCK_BYTES, 0);
        }
    }

    /// The last record whose payload is there, too.
    fn last_whole(&self, file: &dyn TreeFile) -> u64 {
        let mut payload = Vec::new();
        for (sequence, at, header) in self.last.iter().rev() {
            payload.resize(frame::payload_bytes(header), 0);
            let read = file.read_at(&mut payload, at + RECORD_HEADER_BYTES as u64);
            let is_read = read.is_ok_and(|length| length == payload.len());
            if is_read && frame::is_whole(header, &payload) {
                return *sequence;
            }
        }
        self.last.front().map_or(self.place.next, |(sequence, ..)| *sequence).saturating_sub(1)
    }
}

/// What a reader writes to be noticed: a number unlike the one before.
const ASKED_BYTES: usize = 8;
/// What of a segment is read at once to find the records in it.
const FOLLOWED_BLOCK_BYTES: usize = 64 * 1024;
const LOOK: Duration = Duration::from_millis(BESIDE_LOOK_MS);
const WAIT: Duration = Duration::from_millis(BESIDE_WAIT_MS_MAX);
const SETTLING_WAIT: Duration = Duration::from_millis(SETTLING_WAIT_MS_MAX);
/// Looks at the index between two looks at whether anybody serves it.
const LOOKS_BETWEEN: u32 = 50;
