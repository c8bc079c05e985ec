//! What is between the journal and the index: claims on UIDs, records that wait to be applied, and
//! who waits for them.
//!
//! One lock, held for look-ups and pushes only. A *claim* makes stores of one SOP Instance UID follow
//! each other. A *pending* instance stands in the journal but not in the index yet; whoever decides
//! about a duplicate asks here first, then the index. The queue is bounded: who wants to store while
//! it is full waits, and is refused when it cannot become shorter at present.
//!
//! Called by `archive::{area, applier}`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::beside::Asked;
use super::listing::ListedInstance;
use super::record::Change;
use crate::index::{FileLocation, InstanceEntry};
use crate::limits::{
    APPLIER_BYTES_MAX, APPLIER_RECORDS_MAX, ASKED_LOOK_MS, COMMIT_DELAY_MS_MAX, COMMIT_ENTRIES_MAX,
    RECOVERY_BYTES_MAX,
};
use crate::storage::journal::Written;
use crate::uid::UidText;

/// A record that waits to be applied.
pub struct Job {
    /// Its number.
    pub sequence: u64,
    /// The record, or just its payload when it was recovered.
    pub record: Vec<u8>,
    /// What it means.
    pub change: Change,
    /// Found in the journal at start: some of it may have been done.
    pub is_recovered: bool,
}

/// Why nothing is applied at present.
pub type Stalled = Arc<str>;

/// Shared by associations, applier and checkpoints.
#[derive(Default)]
pub struct Progress {
    state: Mutex<State>,
    /// Told to the applier.
    work: Condvar,
    /// Told to whoever waits for a claim, for room, or at the barrier.
    done: Condvar,
    /// Told, at the end, to whoever rests between two attempts: who is told of work must be the applier.
    rest: Condvar,
    /// Where readers of other processes say that they wait; for the applier alone.
    asked: Mutex<Option<Asked>>,
}

#[derive(Default)]
struct State {
    claims: HashSet<UidText>,
    pending: HashMap<UidText, Pending>,
    queue: VecDeque<Job>,
    /// When the oldest job of the queue came.
    waiting_since: Option<Instant>,
    /// Written but not committed.
    open_records: usize,
    open_bytes: usize,
    /// Of them, those found at start.
    open_recovered: usize,
    /// Not all that was found at start has come.
    is_recovering: bool,
    written: u64,
    applied: u64,
    /// Somebody waits at the barrier for this number.
    wanted: u64,
    /// Somebody waits until all is done.
    is_hurried: bool,
    stalled: Option<Stalled>,
    /// Why nothing is applied until the next start: a thread ended, or the journal cannot be read.
    broken: Option<Stalled>,
    /// Why nothing may be stored here, whatever could be applied.
    misplaced: Option<Stalled>,
    /// No claim is given any more.
    is_closing: bool,
    is_stopping: bool,
}

/// What a record in the queue will make of a UID.
#[derive(Clone)]
struct Pending {
    sequence: u64,
    /// `None` when it will be off the list.
    listed: Option<ListedInstance>,
}

/// What the journal says about a UID, ahead of the index.
pub enum Ahead {
    /// Nothing: the index knows.
    Nothing,
    /// It will be off the list.
    Removed,
    /// It will be listed so.
    Listed(Box<ListedInstance>),
}

/// A UID that nobody else stores meanwhile.
pub struct Claim<'p> {
    progress: &'p Progress,
    sop_instance: UidText,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.progress.lock().claims.remove(&self.sop_instance);
        self.progress.done.notify_all();
    }
}

impl Progress {
    /// Nothing is pending; all up to `applied` is in the index.
    pub fn new(applied: u64) -> Self {
        let state = State { applied, written: applied, ..State::default() };
        Self { state: Mutex::new(state), ..Self::default() }
    }

    /// The same, where readers of other processes may ask for a commit.
    pub(super) fn with_readers(applied: u64, asked: Option<Asked>) -> Self {
        Self { asked: Mutex::new(asked), ..Self::new(applied) }
    }

    /// True when a reader of another process has asked since the last look. Not under the lock: stores
    /// do not wait for this read.
    fn is_asked(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.as_mut().is_some_and(Asked::is_news)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind, every state of which is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.done.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else stores this UID and there is room for another record.
    pub fn claim(&self, sop_instance: UidText) -> Result<Claim<'_>, Stalled> {
        let mut state = self.lock();
        loop {
            if let Some(stalled) = state.misplaced.as_ref().or(state.standstill()) {
                return Err(Arc::clone(stalled));
            }
            if state.is_closing {
                return Err("the storage area is closed".into());
            }
            if state.has_room() && state.claims.insert(sop_instance) {
                return Ok(Claim { progress: self, sop_instance });
            }
            state = self.wait(state);
        }
    }

    /// What the journal says about a UID, ahead of the index.
    pub fn ahead(&self, sop_instance: &UidText) -> Ahead {
        match self.lock().pending.get(sop_instance) {
            None => Ahead::Nothing,
            Some(Pending { listed: None, .. }) => Ahead::Removed,
            Some(Pending { listed: Some(listed), .. }) => Ahead::Listed(Box::new(listed.clone())),
        }
    }

    /// Takes records that the journal has written, in order.
    pub fn push(&self, written: Vec<Written<Change>>) {
        let jobs = written.into_iter().map(|Written { sequence, record, mut token }| {
            if let Change::Store(change) = &mut token {
                // Nobody else has it yet.
                Arc::make_mut(&mut change.entry).location = FileLocation::Own(sequence);
            }
            Job { sequence, record, change: token, is_recovered: false }
        });
        self.push_jobs(jobs);
    }

    /// Takes note that records up to `last` were found at start and will come.
    pub fn begin_recovery(&self, last: u64) {
        let mut state = self.lock();
        state.is_recovering = true;
        state.written = state.written.max(last);
    }

    /// Takes a record that was found at start, when there is room for it: so many are in memory at
    /// once. False when no more is wanted.
    pub fn push_recovered(&self, job: Job) -> bool {
        let mut state = self.lock();
        while !state.is_closing && state.open_bytes >= RECOVERY_BYTES_MAX {
            state = self.wait(state);
        }
        let is_wanted = !state.is_closing;
        drop(state);
        if is_wanted {
            self.push_jobs(core::iter::once(job));
        }
        is_wanted
    }

    /// Takes note that all that was found at start has come.
    pub fn end_recovery(&self) {
        self.lock().is_recovering = false;
        self.work.notify_one();
        self.done.notify_all();
    }

    /// Takes jobs in order.
    pub fn push_jobs(&self, jobs: impl Iterator<Item = Job>) {
        let mut state = self.lock();
        let was_empty = state.queue.is_empty();
        for job in jobs {
            state.open_records += 1;
            state.open_bytes += job.record.len();
            state.open_recovered += usize::from(job.is_recovered);
            state.written = state.written.max(job.sequence);
            let sequence = job.sequence;
            match &job.change {
                Change::Store(change) => {
                    state.note(sequence, &change.entry);
                }
                Change::List(entry) => state.note(sequence, entry),
                Change::Remove(listed) => {
                    for instance in listed {
                        let pending = Pending { sequence, listed: None };
                        state.pending.insert(instance.sop_instance, pending);
                    }
                }
            }
            state.queue.push_back(job);
        }
        if was_empty {
            state.waiting_since = Some(Instant::now());
        }
        let tells_applier = was_empty || state.is_urgent();
        drop(state);
        if tells_applier {
            self.work.notify_one();
        }
    }

    /// Waits until it pays to apply what has come, and takes it; `None` when nothing more will come.
    pub fn next_jobs(&self) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            let age = state.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
            let delay = Duration::from_millis(COMMIT_DELAY_MS_MAX);
            if state.queue.is_empty() {
                if state.is_stopping {
                    return None;
                }
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else if state.is_urgent() || age >= delay {
                let count = state.queue.len().min(COMMIT_ENTRIES_MAX);
                let jobs = state.queue.drain(..count).collect();
                // What is left has waited about as long.
                if state.queue.is_empty() {
                    state.waiting_since = None;
                }
                return Some(jobs);
            } else {
                let pause = delay.saturating_sub(age).min(Duration::from_millis(ASKED_LOOK_MS));
                let waited = self.work.wait_timeout(state, pause);
                let (after, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                state = after;
                if waited.timed_out() {
                    drop(state);
                    let is_asked = self.is_asked();
                    state = self.lock();
                    if is_asked {
                        state.wanted = state.wanted.max(state.written);
                    }
                }
            }
        }
    }

    /// Notes that all up to `sequence` is in the index, and so are these jobs.
    pub fn committed(&self, sequence: u64, jobs: &[Job]) {
        let mut state = self.lock();
        state.applied = state.applied.max(sequence);
        for job in jobs {
            state.open_records -= 1;
            state.open_bytes -= job.record.len();
            state.open_recovered -= usize::from(job.is_recovered);
            match &job.change {
                Change::Store(change) => state.forget(job.sequence, &change.entry.sop_instance),
                Change::List(entry) => state.forget(job.sequence, &entry.sop_instance),
                Change::Remove(listed) => {
                    for instance in listed {
                        state.forget(job.sequence, &instance.sop_instance);
                    }
                }
            }
        }
        drop(state);
        self.done.notify_all();
    }

    /// Says why nothing can be applied, or that it can.
    pub fn set_stalled(&self, stalled: Option<Stalled>) {
        self.lock().stalled = stalled;
        self.done.notify_all();
    }

    /// Says why nothing is applied any more.
    pub fn set_broken(&self, reason: Stalled) {
        self.lock().broken.get_or_insert(reason);
        self.done.notify_all();
    }

    /// Says why nothing may be stored here, or that it may; true when that is news.
    pub fn set_misplaced(&self, misplaced: Option<Stalled>) -> bool {
        let mut state = self.lock();
        let is_news = state.misplaced.is_some() != misplaced.is_some();
        state.misplaced = misplaced;
        drop(state);
        if is_news {
            self.done.notify_all();
        }
        is_news
    }

    /// Why nothing is applied at present.
    pub fn stalled(&self) -> Option<Stalled> {
        self.lock().standstill().cloned()
    }

    /// Waits between two attempts, or until the end is asked for.
    pub fn wait_to_retry(&self, delay: Duration) {
        let state = self.lock();
        if !state.is_stopping {
            drop(self.rest.wait_timeout(state, delay));
        }
    }

    /// Waits until all that was written before is in the index.
    pub fn barrier(&self) -> Result<(), Stalled> {
        let mut state = self.lock();
        let target = state.written;
        if state.applied >= target {
            return Ok(());
        }
        state.wanted = state.wanted.max(target);
        self.work.notify_one();
        loop {
            if state.applied >= target {
                return Ok(());
            }
            if let Some(stalled) = state.standstill() {
                return Err(Arc::clone(stalled));
            }
            state = self.wait(state);
        }
    }

    /// Waits until everything that has come is done with, down to the last deletion.
    pub fn settle(&self) -> Result<(), Stalled> {
        let mut state = self.lock();
        state.is_hurried = true;
        self.work.notify_one();
        let result = loop {
            if state.open_records == 0 && !state.is_recovering {
                break Ok(());
            }
            if let Some(stalled) = state.standstill() {
                break Err(Arc::clone(stalled));
            }
            state = self.wait(state);
        };
        state.is_hurried = false;
        result
    }

    /// The number up to which the journal is in the index.
    pub fn applied(&self) -> u64 {
        self.lock().applied
    }

    /// The number of the last record that came, and the one up to which all is in the index.
    pub fn written_and_applied(&self) -> (u64, u64) {
        let state = self.lock();
        (state.written, state.applied)
    }

    /// The number up to which the journal is in the index, with all files; `None` while not all that
    /// was found at start has been looked after.
    pub fn applied_whole(&self) -> Option<u64> {
        let state = self.lock();
        (state.open_recovered == 0 && !state.is_recovering).then_some(state.applied)
    }

    /// Waits until all that was found at start is in its place.
    pub fn recovered(&self) -> Result<(), Stalled> {
        let mut state = self.lock();
        while state.open_recovered > 0 || state.is_recovering {
            if let Some(stalled) = state.standstill() {
                return Err(Arc::clone(stalled));
            }
            state = self.wait(state);
        }
        Ok(())
    }

    /// Gives no claim any more, waits until those that were given are back, and lets the applier end
    /// when it has done what has come.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.is_closing = true;
        self.done.notify_all();
        while !state.claims.is_empty() {
            state = self.wait(state);
        }
        state.is_stopping = true;
        drop(state);
        self.work.notify_all();
        self.rest.notify_all();
        self.done.notify_all();
    }

    /// True when no claim is given any more.
    pub fn is_closing(&self) -> bool {
        self.lock().is_closing
    }

    /// True when the end is asked for.
    pub fn is_stopping(&self) -> bool {
        self.lock().is_stopping
    }
}

impl State {
    /// Why nothing is applied at present.
    fn standstill(&self) -> Option<&Stalled> {
        self.broken.as_ref().or(self.stalled.as_ref())
    }

    /// True when another record may come. What was found at start comes first.
    fn has_room(&self) -> bool {
        !self.is_recovering
            && self.open_records < APPLIER_RECORDS_MAX
            && self.open_bytes < APPLIER_BYTES_MAX
    }

    /// True when the applier should not wait for more.
    fn is_urgent(&self) -> bool {
        if self.is_recovering {
            // A commit for each record that comes would be a sync for each.
            return self.is_stopping
                || self.queue.len() >= COMMIT_ENTRIES_MAX
                || self.open_bytes >= RECOVERY_BYTES_MAX;
        }
        self.is_stopping
            || self.is_hurried
            || self.wanted > self.applied
            || self.queue.len() >= COMMIT_ENTRIES_MAX
            || self.open_bytes >= APPLIER_BYTES_MAX / 2
    }

    fn note(&mut self, sequence: u64, entry: &InstanceEntry) {
        let listed = Some(ListedInstance::of(entry));
        self.pending.insert(entry.sop_instance, Pending { sequence, listed });
    }

    fn forget(&mut self, sequence: u64, sop_instance: &UidText) {
        if self.pending.get(sop_instance).is_some_and(|pending| pending.sequence == sequence) {
            self.pending.remove(sop_instance);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(sequence: u64, bytes: usize) -> Job {
        let change = Change::Remove(Vec::new());
        Job { sequence, record: vec![0; bytes], change, is_recovered: false }
    }

    /// limits::APPLIER_RECORDS_MAX and limits::APPLIER_BYTES_MAX: who comes then waits.
    #[test]
    fn edges_of_what_waits() {
        for (count, bytes) in [(APPLIER_RECORDS_MAX, 0), (APPLIER_BYTES_MAX / 32_768, 32_768)] {
            let progress = Progress::new(0);
            for sequence in 1..=(count - 1) as u64 {
                progress.push_jobs(core::iter::once(job(sequence, bytes)));
            }
            assert!(progress.lock().has_room());
            progress.push_jobs(core::iter::once(job(count as u64, bytes)));
            assert!(!progress.lock().has_room());
            let jobs = progress.next_jobs().unwrap();
            progress.committed(jobs.len() as u64, &jobs);
            assert!(progress.lock().has_room());
        }
    }

    /// What is found at start comes in portions: memory has one of them, whatever the journal has.
    #[test]
    fn recovery_takes_bounded_memory() {
        const BYTES: usize = 100_000;
        let progress = Progress::new(0);
        let count = 4 * RECOVERY_BYTES_MAX / BYTES;
        progress.begin_recovery(count as u64);
        std::thread::scope(|scope| {
            let pushing = scope.spawn(|| {
                for sequence in 1..=count as u64 {
                    let job = Job { is_recovered: true, ..job(sequence, BYTES) };
                    assert!(progress.push_recovered(job));
                }
                progress.end_recovery();
            });
            let mut applied = 0;
            while applied < count as u64 {
                let jobs = progress.next_jobs().unwrap();
                let bytes = progress.lock().open_bytes;
                assert!(bytes < RECOVERY_BYTES_MAX + BYTES, "{bytes}");
                // Nothing may free the journal while some of it is still to come.
                assert_eq!(progress.applied_whole(), None);
                applied = jobs.last().unwrap().sequence;
                progress.committed(applied, &jobs);
            }
            pushing.join().unwrap();
        });
        assert_eq!(progress.settle(), Ok(()));
        assert_eq!(progress.applied_whole(), Some(count as u64));
    }

    /// What ends for good is not lifted by what goes on again.
    #[test]
    fn a_standstill_for_good() {
        let progress = Progress::new(0);
        progress.set_stalled(Some("a full disk".into()));
        progress.set_broken("a lost journal".into());
        progress.set_stalled(None);
        assert_eq!(progress.stalled().as_deref(), Some("a lost journal"));
        progress.push_jobs(core::iter::once(job(1, 1)));
        assert!(progress.barrier().is_err());
        assert!(progress.claim(UidText::new(b"1.2").unwrap()).is_err());
    }

    /// Whoever closes the area meanwhile does not wait for the rest.
    #[test]
    fn recovery_ends_when_the_area_is_closed() {
        let progress = Progress::new(0);
        progress.begin_recovery(2);
        let job = |sequence| Job { is_recovered: true, ..job(sequence, RECOVERY_BYTES_MAX) };
        assert!(progress.push_recovered(job(1)));
        std::thread::scope(|scope| {
            let pushing = scope.spawn(|| progress.push_recovered(job(2)));
            progress.stop();
            assert!(!pushing.join().unwrap());
        });
        assert_eq!(progress.applied_whole(), None);
    }
}
