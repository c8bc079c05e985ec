//! The redo log of a storage area: what stands in it is stored, whatever happens afterwards.
//!
//! One journal orders everything that changes an area. [`Journal::append`] returns when its record
//! is as safe as the durability mode says, and before that hands it, in order, to whoever applies
//! it. What is applied and safe elsewhere is [released](Journal::release), and its space used again.
//!
//! Records lie in a few segments of equal size, written full of zeros before they are used: a later
//! write changes no block map and no length, so `fdatasync` flushes data alone and the file system's
//! own journal is not committed. [`frame`] has the format.
//!
//! Who waits shares: the first association becomes the leader, writes for all that have come
//! (`group`: syncs once for them), and hands the lead to one of those that came meanwhile. `each`
//! syncs record by record, `none` writes only.
//!
//! A record may stand for a file beside it, a [`Content`]. Each is synced by the thread that waits for
//! it, all at the same time, behind a journal that was only written out: where such a sync flushes the
//! device's cache it serves the record, too, and a large object costs one flush instead of two. Until
//! then nothing is delivered, so the record may outlive its file: whoever finds it looks at the file.
//! The next group is written meanwhile; groups are delivered, and answered, in their order.
//!
//! After a failed sync nobody knows what the device has: the journal refuses everything from then on
//! ([`JournalError::is_final`]). A failed write costs its own group: the place is written again.
//!
//! What was to choose from, in objects a second (`cargo bench --bench durable`; medians of three runs on
//! ext4 over a virtual disk of two processors that others used too, where runs differed by a factor of
//! three and more: only large ratios mean something). A sync of the file system for a group waits for
//! everybody's pages, two syncs a file cost most, and a record with the small object in it comes nearest to
//! one append. The last three rows are older than [`Content`]: a large object cost two flushes in a row.
//!
//! | way | 1 KiB, 1 waits | 4 | 16 | 525 KiB, 1 waits | 4 | 16 |
//! | --- | ---: | ---: | ---: | ---: | ---: | ---: |
//! | append to a file written before, one sync for all that wait | 312 | 4349 | 22898 | 422 | 2315 | 4083 |
//! | a file each, synced | 358 | 2811 | 1721 | 251 | 511 | 523 |
//! | the same, renamed, its directory synced | 94 | 542 | 533 | 102 | 257 | 342 |
//! | a file each, one `syncfs` for all that wait | 160 | 330 | 672 | 207 | 237 | 507 |
//! | an area, `none` | 4041 | 4211 | 2999 | 305 | 436 | 285 |
//! | an area, `group` | 608 | 3708 | 5799 | 115 | 323 | 546 |
//! | an area, `each` | 1113 | 537 | 786 | 151 | 342 | 399 |
//!
//! Knows nothing of what the records mean. Called by `archive`.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use self::frame::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
pub use self::recovery::{Records, Recovered, recover};
use crate::limits::{
    GROUP_OBJECTS_MAX, JOURNAL_RECORD_BYTES_MAX, JOURNAL_SEGMENT_BYTES, JOURNAL_SEGMENTS_MAX,
    JOURNAL_SMALL_SEGMENT_BYTES,
};
use crate::storage::backend::tree::{Access, Tree, TreeFile};
use crate::storage::crash_point::crash_point;
use crate::storage::durability::{Durability, IoFailure, Operation};
use crate::storage::seat;

pub mod frame;
mod recovery;

/// Why a record was not written.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalError {
    /// The operating system refused.
    Io(IoFailure),
    /// A sync failed, now or earlier.
    Failed(Arc<IoFailure>),
    /// Longer than a record may be.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// All segments are full, and what is in them cannot be applied at present.
    NoRoom,
    /// The leader of the group did not come to its end.
    Interrupted,
}

impl JournalError {
    /// True when no later record will be taken either.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(failure) => failure.fmt(formatter),
            Self::Failed(failure) => {
                write!(formatter, "nothing more is stored until a restart: {failure}")
            }
            Self::TooLong { bytes } => write!(formatter, "journal record of {bytes} bytes"),
            Self::NoRoom => formatter.write_str("the journal is full"),
            Self::Interrupted => formatter.write_str("the group commit did not come to its end"),
        }
    }
}

impl std::error::Error for JournalError {}

impl From<IoFailure> for JournalError {
    fn from(failure: IoFailure) -> Self {
        Self::Io(failure)
    }
}

/// A record that is as safe as it was asked to be.
pub struct Written<T> {
    /// Its number; numbers count up by one and never come twice.
    pub sequence: u64,
    /// The whole record, headed by [`RECORD_HEADER_BYTES`] of framing.
    pub record: Vec<u8>,
    /// What came with it.
    pub token: T,
}

/// Takes written records, in order. Must not wait for anything that needs the journal.
pub type Deliver<T> = Box<dyn Fn(Vec<Written<T>>) + Send + Sync>;

/// The journal of one area.
pub struct Journal<T> {
    tree: Arc<dyn Tree>,
    directory: &'static str,
    durability: Durability,
    deliver: Deliver<T>,
    state: Mutex<State<T>>,
    /// Held while groups are delivered, so that they are in order. Taken before `state`.
    delivering: Mutex<()>,
    /// Held while a segment is made.
    making: Mutex<()>,
    /// Told when a segment becomes free, or the journal is stalled.
    room: Condvar,
}

struct State<T> {
    waiting: Vec<Waiter<T>>,
    has_leader: bool,
    /// Groups that are written and not delivered yet, oldest first.
    written: VecDeque<Group<T>>,
    next_sequence: u64,
    link: u64,
    active: Option<Active>,
    /// Segments that wait for their release, oldest first.
    full: VecDeque<Full>,
    free: Vec<Segment>,
    is_stalled: bool,
    failure: Option<Arc<IoFailure>>,
}

#[derive(Clone)]
struct Segment {
    slot: usize,
    file: Arc<dyn TreeFile>,
    bytes: u64,
}

struct Active {
    segment: Segment,
    /// Where the next record goes; 0 while not even the header is written.
    offset: u64,
    first_sequence: u64,
}

struct Full {
    segment: Segment,
    last_sequence: u64,
}

struct Waiter<T> {
    record: Vec<u8>,
    payload_sum: u64,
    token: T,
    /// What is delivered when the content is not safe; `None` without a content.
    instead: Option<T>,
    seat: Seated,
}

/// A file that has to be as safe as the record that names it.
pub struct Content<'c, T> {
    /// Syncs it, and flushes the device's cache by that ([`Tree::shares_syncs`]). Not called where the
    /// mode asks for no syncs.
    pub sync: &'c dyn Fn() -> Result<(), IoFailure>,
    /// What is delivered when that fails: the record stands in the journal then, and means nothing.
    pub instead: T,
}

/// Records that were written at once.
struct Group<T> {
    segment: Segment,
    first_sequence: u64,
    members: Vec<Waiter<T>>,
    /// Contents that are still being synced.
    under_way: usize,
    /// The places in the group of those whose contents are not safe.
    failed: Vec<(usize, JournalError)>,
    fate: Fate,
}

enum Fate {
    /// Some of its contents are being synced.
    Open,
    /// As safe as the mode says.
    Secured,
    /// Whether it is safe is not known.
    Lost(Arc<IoFailure>),
}

/// A member's part in securing its group: its content. Reports also when the thread panics.
struct Pass<'j, T: Send> {
    journal: &'j Journal<T>,
    first_sequence: u64,
    place: usize,
    result: Result<(), JournalError>,
}

impl<T: Send> Drop for Pass<'_, T> {
    fn drop(&mut self) {
        let result = core::mem::replace(&mut self.result, Ok(()));
        self.journal.synced(self.first_sequence, self.place, result);
    }
}

/// What a waiting association is told.
enum News {
    Done(Result<u64, JournalError>),
    Lead,
    /// The record is written out: now the content.
    Sync {
        first_sequence: u64,
        place: usize,
    },
}

impl seat::News for News {
    fn interrupted() -> Self {
        Self::Done(Err(JournalError::Interrupted))
    }
}

type Seat = seat::Seat<News>;
type Seated = seat::Seated<News>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves plain data behind, every state of which is usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn segment_path(directory: &str, slot: usize) -> String {
    format!("{directory}/{}", segment_name(slot))
}

fn segment_name(slot: usize) -> String {
    format!("{slot}.segment")
}

/// The end of the name of a segment that is not full of zeros yet.
const UNFINISHED: &str = ".new";

impl<T: Send> Journal<T> {
    /// The journal that goes on after what was recovered. All that was recovered keeps its space
    /// until it is released.
    ///
    /// A first segment is not made here but by [`Self::prepare_segment`], or by the first record:
    /// nobody waits for it who has nothing to store.
    pub fn open(recovered: Recovered, durability: Durability, deliver: Deliver<T>) -> Self {
        let Recovered { tree, directory, segments, next_sequence, link, .. } = recovered;
        let mut state = State {
            waiting: Vec::new(),
            has_leader: false,
            written: VecDeque::new(),
            next_sequence,
            // Chance is not needed: a chain that begins with a new number never continues an old
            // one.
            link: link ^ next_sequence,
            active: None,
            full: VecDeque::new(),
            free: Vec::new(),
            is_stalled: false,
            failure: None,
        };
        for (segment, last_sequence) in segments {
            match last_sequence {
                Some(last_sequence) => state.full.push_back(Full { segment, last_sequence }),
                None => state.free.push(segment),
            }
        }
        Self {
            tree,
            directory,
            durability,
            deliver,
            state: Mutex::new(state),
            delivering: Mutex::default(),
            making: Mutex::default(),
            room: Condvar::new(),
        }
    }

    /// Makes another segment when one will be needed soon, for that takes a while. An area that
    /// stores next to nothing never takes more than its first.
    pub fn prepare_ahead(&self) -> Result<(), JournalError> {
        let is_used = |active: &Active| active.offset > PREPARED_AHEAD_BYTES;
        if lock(&self.state).active.as_ref().is_none_or(is_used) {
            self.prepare_segment()?;
        }
        Ok(())
    }

    /// Makes another segment when none is free.
    pub fn prepare_segment(&self) -> Result<(), JournalError> {
        let _one_at_a_time = lock(&self.making);
        let state = lock(&self.state);
        let used: Vec<usize> = state.slots().collect();
        let is_needed = state.free.is_empty();
        drop(state);
        let slot = (0..JOURNAL_SEGMENTS_MAX).find(|slot| !used.contains(slot));
        let Some(slot) = slot.filter(|_| is_needed) else { return Ok(()) };
        let small = JOURNAL_SMALL_SEGMENT_BYTES;
        let segment = if slot == 0 {
            self.make_segment(slot, small)?
        } else {
            match self.make_segment(slot, JOURNAL_SEGMENT_BYTES) {
                // A nearly full disk may have room for a little more.
                Err(failure) if is_full(&failure.source) => self.make_segment(slot, small)?,
                made => made?,
            }
        };
        lock(&self.state).free.push(segment);
        self.room.notify_all();
        Ok(())
    }

    /// A file full of zeros that are on the device. It has its name only then.
    fn make_segment(&self, slot: usize, bytes: usize) -> Result<Segment, IoFailure> {
        let name = format!("{}/{}", self.directory, segment_name(slot));
        let unfinished = format!("{name}{UNFINISHED}");
        // Nobody uses this slot: what has its names is what an attempt that failed could not remove.
        for name in [&unfinished, &name] {
            let _ = self.tree.remove(name);
        }
        let make = || -> io::Result<Arc<dyn TreeFile>> {
            let mut file = self.tree.create(&unfinished, Access::Owner)?;
            let zeros = vec![0; ZEROS_BYTES];
            for _ in 0..bytes / ZEROS_BYTES {
                file.append(&mut [IoSlice::new(&zeros)])?;
            }
            if self.durability.is_durable() {
                file.sync_data()?;
            }
            self.tree.rename(&unfinished, &name)?;
            if self.durability.is_durable() {
                self.tree.sync_directory(self.directory)?;
            }
            Ok(Arc::from(file))
        };
        match make() {
            Ok(file) => Ok(Segment { slot, file, bytes: bytes as u64 }),
            Err(source) => {
                // Not there any more, or the next start removes it.
                let _ = self.tree.remove(&unfinished);
                let _ = self.tree.remove(&name);
                Err(self.failure(Operation::Create, slot, source))
            }
        }
    }

    /// Writes `record`, which begins with [`RECORD_HEADER_BYTES`] of room, and returns its number
    /// when it and `content` are as safe as the mode says. It has been delivered then.
    pub fn append(
        &self,
        record: Vec<u8>,
        token: T,
        content: Option<Content<'_, T>>,
    ) -> Result<u64, JournalError> {
        let bytes = record.len().saturating_sub(RECORD_HEADER_BYTES);
        if bytes > JOURNAL_RECORD_BYTES_MAX || record.len() < RECORD_HEADER_BYTES {
            return Err(JournalError::TooLong { bytes });
        }
        let payload_sum = frame::sum_of(&record);
        let seat = Seat::new();
        let (content, instead) = match content {
            Some(Content { sync, instead }) if self.durability.is_durable() => {
                (Some(sync), Some(instead))
            }
            _ => (None, None),
        };
        let own_seat = Seated::on(&seat);
        let waiter = Waiter { record, payload_sum, token, instead, seat: own_seat };
        let mut state = lock(&self.state);
        if let Some(failure) = &state.failure {
            return Err(JournalError::Failed(Arc::clone(failure)));
        }
        state.waiting.push(waiter);
        let mut news = if state.has_leader {
            drop(state);
            seat.wait()
        } else {
            state.has_leader = true;
            drop(state);
            News::Lead
        };
        loop {
            match news {
                News::Done(result) => return result,
                News::Sync { first_sequence, place } => {
                    let result = Err(JournalError::Interrupted);
                    let mut pass = Pass { journal: self, first_sequence, place, result };
                    pass.result = content.map_or(Ok(()), |sync| sync().map_err(JournalError::Io));
                }
                News::Lead => self.lead(&seat),
            }
            news = seat.wait();
        }
    }

    /// Writes for those that wait, until the association of `own_seat` is among them.
    fn lead(&self, own_seat: &Arc<Seat>) {
        let _handover = Handover { journal: self };
        let mut is_done = false;
        while !is_done {
            is_done = self.write_group(own_seat);
            self.deliver_secured();
        }
    }

    /// Takes those at the head of the queue that fit into one segment, and writes them. True when the
    /// association of `own_seat` is among them, or does not wait any more.
    fn write_group(&self, own_seat: &Arc<Seat>) -> bool {
        let mut state = lock(&self.state);
        let first_bytes = match state.waiting.first() {
            Some(waiter) => frame::framed_bytes(waiter.record.len()) as u64,
            None => return true,
        };
        state = match self.make_room(state, first_bytes) {
            Ok(state) => state,
            Err(error) => {
                // All that wait have waited for the same.
                let all = core::mem::take(&mut lock(&self.state).waiting);
                refuse(all, &error);
                return true;
            }
        };
        let Some(Active { segment, offset, .. }) = &state.active else {
            refuse(core::mem::take(&mut state.waiting), &JournalError::Interrupted);
            return true;
        };
        let (segment, mut offset) = (segment.clone(), *offset);
        let members_max = if self.durability == Durability::Each { 1 } else { GROUP_OBJECTS_MAX };
        let is_new = offset == 0;
        let first_sequence = state.next_sequence;
        let header = SegmentHeader { first_sequence, seed: state.link }.encode();
        let start = offset;
        if is_new {
            offset += SEGMENT_HEADER_BYTES as u64;
        }
        let mut count = 0;
        for waiter in state.waiting.iter().take(members_max) {
            let bytes = frame::framed_bytes(waiter.record.len()) as u64;
            if offset + bytes > segment.bytes {
                break;
            }
            offset += bytes;
            count += 1;
        }
        let mut members: Vec<Waiter<T>> = state.waiting.drain(..count).collect();
        let mut link = state.link;
        // Only the leader changes these; they move on when the group is written.
        drop(state);
        let is_own = members.iter().any(|waiter| waiter.seat.is(own_seat));
        for (sequence, waiter) in (first_sequence..).zip(&mut members) {
            link = frame::seal(&mut waiter.record, waiter.payload_sum, sequence, link);
        }
        let contents = members.iter().filter(|waiter| waiter.instead.is_some()).count();
        let result = self
            .write(&segment, start, is_new.then_some(&header), &members)
            .and_then(|()| self.secure(&segment, contents > 0));
        let mut state = lock(&self.state);
        if let Err(error) = result {
            if let JournalError::Failed(failure) = &error {
                state.failure = Some(Arc::clone(failure));
            }
            drop(state);
            refuse(members, &error);
            return is_own;
        }
        state.next_sequence += count as u64;
        state.link = link;
        if let Some(active) = &mut state.active {
            active.offset = offset;
        }
        let fate = if contents > 0 { Fate::Open } else { Fate::Secured };
        // Under the lock: none of them comes back before the group is there.
        for (place, waiter) in members.iter().enumerate().filter(|(_, one)| one.instead.is_some()) {
            waiter.seat.tell(News::Sync { first_sequence, place });
        }
        let (under_way, failed) = (contents, Vec::new());
        let group = Group { segment, first_sequence, members, under_way, failed, fate };
        state.written.push_back(group);
        is_own
    }

    /// Writes a group's records from `start` on.
    fn write(
        &self,
        segment: &Segment,
        start: u64,
        header: Option<&[u8; SEGMENT_HEADER_BYTES]>,
        group: &[Waiter<T>],
    ) -> Result<(), JournalError> {
        const PADDING: [u8; frame::ALIGNMENT_BYTES] = [0; frame::ALIGNMENT_BYTES];
        let mut slices = Vec::with_capacity(1 + 2 * group.len());
        slices.extend(header.map(|header| IoSlice::new(header)));
        for Waiter { record, .. } in group {
            slices.push(IoSlice::new(record));
            let padding = frame::framed_bytes(record.len()) - record.len();
            if padding > 0 {
                slices.push(IoSlice::new(&PADDING[..padding]));
            }
        }
        crash_point("before_journal_write");
        segment
            .file
            .write_at(&mut slices, start)
            .map_err(|source| self.failure(Operation::Write, segment.slot, source))?;
        crash_point("after_journal_write");
        Ok(())
    }

    /// Makes what was written survive a power cut, where the mode asks for it; or, where contents
    /// follow, sees to it that the sync of any of them does.
    fn secure(&self, segment: &Segment, has_contents: bool) -> Result<(), JournalError> {
        if !self.durability.is_durable() {
            return Ok(());
        }
        let secured =
            if has_contents { segment.file.write_out() } else { segment.file.sync_data() };
        secured.map_err(|source| {
            let failure = self.failure(Operation::Sync, segment.slot, source);
            JournalError::Failed(Arc::new(failure))
        })
    }

    /// Takes note of how a content fared; with the last one of its group, that is delivered.
    fn synced(&self, first_sequence: u64, place: usize, result: Result<(), JournalError>) {
        let mut state = lock(&self.state);
        let Some(group) = state.group(first_sequence) else { return };
        group.failed.extend(result.err().map(|error| (place, error)));
        group.under_way -= 1;
        if group.under_way > 0 {
            return;
        }
        let (segment, is_flushed) = (group.segment.clone(), group.failed.is_empty());
        drop(state);
        // Where a content failed, whether the cache was flushed all the same is not known.
        let result = if is_flushed { Ok(()) } else { self.secure(&segment, false) };
        let mut state = lock(&self.state);
        let mut fate = Fate::Secured;
        if let Err(JournalError::Failed(failure)) = result {
            state.failure = Some(Arc::clone(&failure));
            fate = Fate::Lost(failure);
        }
        if let Some(group) = state.group(first_sequence) {
            group.fate = fate;
        }
        drop(state);
        self.deliver_secured();
    }

    /// Sees to it that the active segment has room for a record of `bytes`.
    fn make_room<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<T>>,
        bytes: u64,
    ) -> Result<MutexGuard<'s, State<T>>, JournalError> {
        loop {
            // Also of those that were queued when it happened.
            if let Some(failure) = &state.failure {
                return Err(JournalError::Failed(Arc::clone(failure)));
            }
            if let Some(active) = &state.active {
                let offset = active.offset.max(SEGMENT_HEADER_BYTES as u64);
                if offset + bytes <= active.segment.bytes {
                    return Ok(state);
                }
                state.retire_active();
            }
            if let Some(segment) = state.free.pop() {
                let first_sequence = state.next_sequence;
                state.active = Some(Active { segment, offset: 0, first_sequence });
            } else if state.slots().count() < JOURNAL_SEGMENTS_MAX {
                drop(state);
                let made = self.prepare_segment();
                state = lock(&self.state);
                if let Err(error) = made {
                    if state.is_stalled || state.full.is_empty() {
                        return Err(error);
                    }
                    if state.free.is_empty() && state.failure.is_none() {
                        // There is no room for more, but soon for the same again.
                        state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            } else if state.is_stalled {
                return Err(JournalError::NoRoom);
            } else {
                state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Hands on the groups that are secured and have none before them that is not, and tells everybody.
    fn deliver_secured(&self) {
        let _in_order = lock(&self.delivering);
        loop {
            let mut state = lock(&self.state);
            if state.written.front().is_none_or(|group| matches!(group.fate, Fate::Open)) {
                return;
            }
            let Some(group) = state.written.pop_front() else { return };
            if let Fate::Lost(failure) = &group.fate {
                // What follows cannot be delivered in order.
                if let Some(next) = state.written.front_mut() {
                    next.fate = Fate::Lost(Arc::clone(failure));
                }
            }
            drop(state);
            self.deliver(group);
        }
    }

    fn deliver(&self, group: Group<T>) {
        let Group { first_sequence, members, mut failed, fate, .. } = group;
        if let Fate::Lost(failure) = fate {
            return refuse(members, &JournalError::Failed(failure));
        }
        crash_point("after_journal_sync");
        let mut written = Vec::with_capacity(members.len());
        let mut results = Vec::with_capacity(members.len());
        for (place, waiter) in members.into_iter().enumerate() {
            let sequence = first_sequence + place as u64;
            let Waiter { record, token, instead, seat, .. } = waiter;
            let fault = failed.iter().position(|(other, _)| *other == place);
            let fault = fault.map(|at| failed.swap_remove(at).1);
            let token = match (&fault, instead) {
                (Some(_), Some(instead)) => instead,
                _ => token,
            };
            written.push(Written { sequence, record, token });
            results.push((seat, fault.map_or(Ok(sequence), Err)));
        }
        (self.deliver)(written);
        for (seat, result) in results {
            seat.dismiss(News::Done(result));
        }
    }

    /// All records up to `sequence` are safe elsewhere: full segments of such are free again.
    pub fn release(&self, sequence: u64) {
        while let Some((segment, header)) = self.releasable(sequence) {
            // So that the next start need not look through it. What is removed by a later record would
            // come back if an index made anew were given only those before: so it is synced, too.
            let written = segment.file.write_at(&mut [IoSlice::new(&header)], 0);
            if self.durability.is_durable() && written.is_ok() {
                // Nothing else depends on it.
                let _ = segment.file.sync_data();
            }
            let mut state = lock(&self.state);
            if state.full.front().is_some_and(|full| full.segment.slot == segment.slot) {
                state.full.pop_front();
                state.free.push(segment);
            }
        }
        self.room.notify_all();
    }

    /// The oldest full segment, when `sequence` and what came before is of no use any more, with the
    /// header that says so.
    fn releasable(&self, sequence: u64) -> Option<(Segment, [u8; SEGMENT_HEADER_BYTES])> {
        let state = lock(&self.state);
        let full = state.full.front().filter(|full| full.last_sequence <= sequence)?;
        let first_sequence = full.last_sequence + 1;
        let header = SegmentHeader { first_sequence, seed: state.link }.encode();
        Some((full.segment.clone(), header))
    }

    /// An error when a sync has failed: no record is taken any more, and none may be given up.
    pub fn check(&self) -> Result<(), JournalError> {
        match &lock(&self.state).failure {
            Some(failure) => Err(JournalError::Failed(Arc::clone(failure))),
            None => Ok(()),
        }
    }

    /// Full segments that wait for their release.
    pub fn full_count(&self) -> usize {
        lock(&self.state).full.len()
    }

    /// The number of the last record written.
    pub fn last_sequence(&self) -> u64 {
        lock(&self.state).next_sequence - 1
    }

    /// While stalled, whoever finds no room is refused instead of waiting for it.
    pub fn set_stalled(&self, is_stalled: bool) {
        lock(&self.state).is_stalled = is_stalled;
        self.room.notify_all();
    }

    /// Takes no record any more, because what was written elsewhere may be lost.
    pub fn fail(&self, failure: IoFailure) -> JournalError {
        let failure = Arc::new(failure);
        let mut state = lock(&self.state);
        let error = JournalError::Failed(Arc::clone(state.failure.get_or_insert(failure)));
        drop(state);
        self.room.notify_all();
        error
    }

    /// Leaves a journal without records: to be called when all are released and nobody appends.
    /// The last number stays known.
    pub fn clear(&self) -> Result<(), JournalError> {
        let mut state = lock(&self.state);
        state.retire_active();
        let header =
            SegmentHeader { first_sequence: state.next_sequence, seed: state.link }.encode();
        let free = core::mem::take(&mut state.free);
        let full = core::mem::take(&mut state.full);
        state.free = free.into_iter().chain(full.into_iter().map(|full| full.segment)).collect();
        for segment in &state.free {
            let written = segment.file.write_at(&mut [IoSlice::new(&header)], 0).and_then(|()| {
                if self.durability.is_durable() { segment.file.sync_data() } else { Ok(()) }
            });
            written.map_err(|source| self.failure(Operation::Write, segment.slot, source))?;
        }
        Ok(())
    }

    fn failure(&self, operation: Operation, slot: usize, source: io::Error) -> IoFailure {
        let path = self.tree.path_of(&format!("{}/{}", self.directory, segment_name(slot)));
        IoFailure { operation, path, source }
    }

    /// Where the journal is, for people.
    pub fn path(&self) -> PathBuf {
        self.tree.path_of(self.directory)
    }
}

impl<T> State<T> {
    fn retire_active(&mut self) {
        let last_sequence = self.next_sequence - 1;
        if let Some(Active { segment, first_sequence, .. }) = self.active.take() {
            if last_sequence < first_sequence {
                self.free.push(segment);
            } else {
                self.full.push_back(Full { segment, last_sequence });
            }
        }
    }

    /// The group that begins with `first_sequence`.
    fn group(&mut self, first_sequence: u64) -> Option<&mut Group<T>> {
        self.written.iter_mut().find(|group| group.first_sequence == first_sequence)
    }

    fn slots(&self) -> impl Iterator<Item = usize> {
        let active = self.active.iter().map(|active| active.segment.slot);
        let full = self.full.iter().map(|full| full.segment.slot);
        active.chain(full).chain(self.free.iter().map(|segment| segment.slot))
    }
}

/// Gives up the lead: to the first of those that wait, or to nobody. Also when the leader panics.
struct Handover<'j, T: Send> {
    journal: &'j Journal<T>,
}

impl<T: Send> Drop for Handover<'_, T> {
    fn drop(&mut self) {
        let mut state = lock(&self.journal.state);
        match state.waiting.first() {
            Some(next) => next.seat.tell(News::Lead),
            None => state.has_leader = false,
        }
    }
}

/// From here on in a segment the next one is made.
const PREPARED_AHEAD_BYTES: u64 = 64 * 1024;

/// Zeros that are written at once.
const ZEROS_BYTES: usize = 256 * 1024;

/// True when the device or the user's share of it is full.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Tells all of them `error`.
fn refuse<T>(waiters: Vec<Waiter<T>>, error: &JournalError) {
    for waiter in waiters {
        waiter.seat.dismiss(News::Done(Err(copy(error))));
    }
}

/// The same error for another of the group.
fn copy(error: &JournalError) -> JournalError {
    match error {
        JournalError::Io(failure) => JournalError::Io(failure.copy()),
        JournalError::Failed(failure) => JournalError::Failed(Arc::clone(failure)),
        JournalError::TooLong { bytes } => JournalError::TooLong { bytes: *bytes },
        JournalError::NoRoom => JournalError::NoRoom,
        JournalError::Interrupted => JournalError::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::backend::tree::memory::MemoryTree;

    /// limits::JOURNAL_SEGMENTS_MAX are made and filled; then a record is refused where nothing can be
    /// released, and taken again as soon as something is.
    #[test]
    fn edge_of_segments() {
        let tree: Arc<dyn Tree> = Arc::new(MemoryTree::new(true));
        let recovered = recover(&tree, "journal", &mut |_, _| {}).unwrap();
        let journal =
            Journal::open(recovered, Durability::None, Box::new(|_: Vec<Written<()>>| {}));
        journal.set_stalled(true);
        let record = || vec![7; RECORD_HEADER_BYTES + JOURNAL_RECORD_BYTES_MAX];
        let mut taken = 0;
        let refused = loop {
            match journal.append(record(), (), None) {
                Ok(sequence) => taken = sequence,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, JournalError::NoRoom), "{refused}");
        let room = JOURNAL_SMALL_SEGMENT_BYTES + (JOURNAL_SEGMENTS_MAX - 1) * JOURNAL_SEGMENT_BYTES;
        let most = room / (RECORD_HEADER_BYTES + JOURNAL_RECORD_BYTES_MAX);
        // Each segment ends with less room than a record takes.
        assert!((most - JOURNAL_SEGMENTS_MAX..=most).contains(&(taken as usize)), "{taken}");
        assert_eq!(tree.names("journal").unwrap().len(), JOURNAL_SEGMENTS_MAX);
        journal.release(taken / 2);
        assert_eq!(journal.append(record(), (), None).unwrap(), taken + 1);
        assert_eq!(tree.names("journal").unwrap().len(), JOURNAL_SEGMENTS_MAX);
    }

    /// A record whose content cannot be made safe means nothing, keeps its number, and costs nobody
    /// else anything; all contents of a group are synced, each by who waits for it.
    #[test]
    fn contents_that_fail() {
        for durability in [Durability::Group, Durability::Each] {
            let tree: Arc<dyn Tree> = Arc::new(MemoryTree::new(true));
            let recovered = recover(&tree, "journal", &mut |_, _| {}).unwrap();
            let delivered = Arc::new(Mutex::new(Vec::new()));
            let told = Arc::clone(&delivered);
            let deliver = move |written: Vec<Written<Option<usize>>>| {
                lock(&told).extend(written.into_iter().map(|one| (one.sequence, one.token)));
            };
            let journal = Journal::open(recovered, durability, Box::new(deliver));
            let synced = Mutex::new(Vec::new());
            let begin = std::sync::Barrier::new(8);
            let append = |number: usize| {
                let sync = || {
                    lock(&synced).push(number);
                    if number % 3 == 0 {
                        let path = PathBuf::new();
                        let source = io::Error::other("no");
                        return Err(IoFailure { operation: Operation::Sync, path, source });
                    }
                    Ok(())
                };
                let content = Content { sync: &sync, instead: None };
                let record = vec![7; RECORD_HEADER_BYTES + 100];
                journal.append(record, Some(number), (number % 2 == 0).then_some(content))
            };
            let (begin, append) = (&begin, &append);
            let results: Vec<_> = std::thread::scope(|scope| {
                let work = |number| move || (begin.wait(), append(number)).1;
                let threads: Vec<_> = (0..8).map(|number| scope.spawn(work(number))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            for (number, result) in results.iter().enumerate() {
                assert_eq!(result.is_err(), number == 0 || number == 6, "{number}: {result:?}");
                assert!(matches!(result, Ok(_) | Err(JournalError::Io(_))), "{result:?}");
            }
            let mut synced = lock(&synced).clone();
            synced.sort_unstable();
            assert_eq!(synced, [0, 2, 4, 6]);
            let delivered = lock(&delivered).clone();
            let sequences: Vec<_> = delivered.iter().map(|one| one.0).collect();
            assert_eq!(sequences, [1, 2, 3, 4, 5, 6, 7, 8]);
            for (sequence, token) in &delivered {
                let own = |number: &usize| results[*number].as_ref().ok() == Some(sequence);
                assert!(token.as_ref().is_none_or(own), "{sequence}: {token:?}");
            }
            assert_eq!(delivered.iter().filter(|one| one.1.is_none()).count(), 2);
            assert_eq!(append(9).unwrap(), 9);
        }
    }

    /// While contents are synced, the next group is written and its contents are synced, too; who came
    /// later is not answered earlier.
    #[test]
    fn groups_overlap_and_end_in_order() {
        let tree: Arc<dyn Tree> = Arc::new(MemoryTree::new(true));
        let recovered = recover(&tree, "journal", &mut |_, _| {}).unwrap();
        let delivered = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&delivered);
        let deliver = move |written: Vec<Written<usize>>| {
            lock(&told).extend(written.into_iter().map(|one| (one.sequence, one.token)));
        };
        let journal = Journal::open(recovered, Durability::Group, Box::new(deliver));
        let (began, begins) = std::sync::mpsc::channel();
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let goes = Mutex::new(goes);
        let append = |number: usize| {
            let sync = || {
                began.send(number).unwrap();
                if number == 1 {
                    lock(&goes).recv().unwrap();
                }
                Ok(())
            };
            let content = (number < 3).then_some(Content { sync: &sync, instead: 0 });
            journal.append(vec![7; RECORD_HEADER_BYTES + 100], number, content)
        };
        let append = &append;
        std::thread::scope(|scope| {
            let first = scope.spawn(|| append(1));
            assert_eq!(begins.recv().unwrap(), 1);
            let second = scope.spawn(|| append(2));
            assert_eq!(begins.recv().unwrap(), 2);
            while lock(&journal.state).written.get(1).is_none_or(|two| two.under_way > 0) {
                std::thread::yield_now();
            }
            let third = scope.spawn(|| append(3));
            while journal.last_sequence() < 3 {
                std::thread::yield_now();
            }
            assert!(lock(&delivered).is_empty());
            assert!(!second.is_finished() && !third.is_finished());
            go.send(()).unwrap();
            let threads = [first, second, third];
            let results = threads.map(|thread| thread.join().unwrap().unwrap());
            assert_eq!(results, [1, 2, 3]);
        });
        assert_eq!(*lock(&delivered), [(1, 1), (2, 2), (3, 3)]);
    }

    /// A content whose thread ends in a panic costs that object only.
    #[test]
    fn a_panic_under_a_content_holds_nobody_up() {
        let tree: Arc<dyn Tree> = Arc::new(MemoryTree::new(true));
        let recovered = recover(&tree, "journal", &mut |_, _| {}).unwrap();
        let journal = Journal::open(recovered, Durability::Group, Box::new(|_| {}));
        let record = || vec![7; RECORD_HEADER_BYTES + 100];
        std::thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let sync = || panic!("in the middle of a content");
                journal.append(record(), 1, Some(Content { sync: &sync, instead: 0 }))
            });
            assert!(panics.join().is_err());
        });
        assert!(lock(&journal.state).written.is_empty());
        assert_eq!(journal.append(record(), 2, None).unwrap(), 2);
    }

    /// Who was queued when a sync failed is refused like those who come later.
    #[test]
    fn nobody_in_the_queue_is_written_after_a_failed_sync() {
        let tree: Arc<dyn Tree> = Arc::new(MemoryTree::new(true));
        let recovered = recover(&tree, "journal", &mut |_, _| {}).unwrap();
        let (began, begins) = std::sync::mpsc::channel();
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let (began, goes) = (Mutex::new(began), Mutex::new(goes));
        let deliver = move |_: Vec<Written<()>>| {
            lock(&began).send(()).unwrap();
            lock(&goes).recv().unwrap();
        };
        let journal = Journal::open(recovered, Durability::Group, Box::new(deliver));
        let append = || journal.append(vec![7; RECORD_HEADER_BYTES + 100], (), None);
        std::thread::scope(|scope| {
            let first = scope.spawn(append);
            begins.recv().unwrap();
            let queued = scope.spawn(append);
            while lock(&journal.state).waiting.is_empty() {
                std::thread::yield_now();
            }
            let (operation, path) = (Operation::Sync, PathBuf::new());
            journal.fail(IoFailure { operation, path, source: io::Error::other("no") });
            go.send(()).unwrap();
            assert_eq!(first.join().unwrap().unwrap(), 1);
            let refused = queued.join().unwrap().unwrap_err();
            assert!(refused.is_final(), "{refused}");
        });
        assert_eq!(journal.last_sequence(), 1);
    }
}
