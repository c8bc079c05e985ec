//! The load generator: many operations against any archive, measured, with a ledger of what was sent.
//!
//! A [`Plan`] says what is done how often by how many associations; [`Run`] does it, a thread each,
//! and gives an [`Outcome`]. A closed loop sends the next operation when the last was answered. An
//! open loop has a timetable (`worker::Pace`), and counts latencies from the time an operation was
//! due: one that had to wait because the peer stalled has waited, which a closed loop would not
//! notice (coordinated omission). [`audit::Audit`] compares what the peer has with the ledger. Every
//! object can be made again from its number ([`recipe`]), so that nothing is kept.
//!
//! All is bounded: operations, time, and everything a peer sends. Called by `dcmfast._rust`, never
//! back: Python asks for [`Shared::progress`] when it likes.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::histogram::Histogram;
use self::ledger::Ledger;
use self::source::Source;
use self::timeline::Timeline;
use self::worker::{Pace, Worker};
use crate::ae_title::AeTitle;
use crate::client::Proposal;
use crate::limits::{ASSOCIATION_STACK_BYTES, LOAD_DURATION_S_MAX, LOAD_ERROR_KINDS_MAX};
use crate::net::tcp::{SocketAddr, StopFlag};

pub mod audit;
pub mod histogram;
pub mod ledger;
pub mod query;
pub mod recipe;
pub mod source;
pub mod timeline;
pub mod worker;

/// Longer than any run may last; an [`Instant`] can be no further away than the clock goes.
const UNLIMITED: Duration = Duration::from_secs(2 * LOAD_DURATION_S_MAX as u64);

/// What one operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the services of PS3.7 by name")]
pub enum Action {
    Store,
    Find,
    Get,
    Move,
    Echo,
}

impl Action {
    /// All, in the order of reports.
    pub const ALL: [Self; 5] = [Self::Store, Self::Find, Self::Get, Self::Move, Self::Echo];

    /// The word in options and reports.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Find => "find",
            Self::Get => "get",
            Self::Move => "move",
            Self::Echo => "echo",
        }
    }
}

/// Level of query/retrieve, PS3.4 §C.6.2 (study root).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the levels by name")]
pub enum Level {
    Study,
    Series,
    Image,
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// The peer's addresses, tried in order.
    pub addresses: Vec<SocketAddr>,
    /// Titles, sizes and timeouts; the contexts are the plan's business.
    pub proposal: Proposal,
    /// What is stored, and asked for.
    pub source: Source,
    /// How often each action is done, in parts of the whole.
    pub mix: Vec<(Action, u32)>,
    /// Decides which action comes when, and what is asked for.
    pub seed: u64,
    /// Operations in all.
    pub count: u32,
    /// No operation begins later.
    pub duration: Duration,
    /// At once.
    pub associations: usize,
    /// Operations of one association; 0 for no end.
    pub per_association: u32,
    /// Operations a second; `None` as fast as they are answered.
    pub rate: Option<f64>,
    /// Objects with smaller numbers are there already: they are asked for, and stores go on behind.
    pub known: u32,
    /// What C-FIND asks for.
    pub find_level: Level,
    /// What C-GET and C-MOVE ask for.
    pub retrieve_level: Level,
    /// Of C-MOVE.
    pub destination: Option<AeTitle>,
}

impl Plan {
    /// True when some operations are of this kind.
    pub fn has(&self, action: Action) -> bool {
        self.mix.iter().any(|(one, parts)| *one == action && *parts > 0)
    }
}

/// What several threads share.
#[derive(Debug)]
pub struct Shared {
    /// What is to be done.
    pub plan: Plan,
    /// What became of every store.
    pub ledger: Ledger,
    /// Raised to end everything.
    pub stop: StopFlag,
    /// The next operation.
    next: AtomicU32,
    /// The next store.
    stores: AtomicU32,
    progress: [AtomicU64; 3],
    /// Threads that are at work, and when they are stopped at the latest.
    active: Mutex<(usize, Instant)>,
    idle: Condvar,
}

/// Says at its end, however that comes, that a thread is done.
struct AtWork(Arc<Shared>);

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut active = self.0.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.0 -= 1;
        self.0.idle.notify_all();
    }
}

/// Starts a thread of the load generator.
fn start<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Arc<Shared>) -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    shared.active.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
    let at_work = AtWork(Arc::clone(shared));
    thread::Builder::new().stack_size(ASSOCIATION_STACK_BYTES).spawn(move || work(&at_work.0))
}

impl Shared {
    fn new(plan: Plan, stores: u32) -> Self {
        Self {
            ledger: Ledger::new(stores),
            stop: plan.proposal.stop.clone().unwrap_or_default(),
            next: AtomicU32::new(0),
            stores: AtomicU32::new(0),
            progress: Default::default(),
            active: Mutex::new((0, Instant::now())),
            idle: Condvar::new(),
            plan,
        }
    }

    /// Of a plan of which nothing is done: what an earlier run did is entered, and audited.
    pub fn at_rest(plan: Plan) -> Arc<Self> {
        let stores = plan.count;
        Arc::new(Self::new(plan, stores))
    }

    /// Waits until no thread is at work, at most `patience`; true if so. Whoever waits also stops
    /// threads whose time is over, which a peer that never ends would keep for ever.
    pub fn wait(&self, patience: Duration) -> bool {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.idle.wait_timeout_while(active, patience, |active| active.0 > 0);
        let (active, end) = *waited.unwrap_or_else(PoisonError::into_inner).0;
        if active > 0 && Instant::now() >= end && !self.stop.is_raised() {
            self.stop.raise();
        }
        active == 0
    }

    /// What is at work from now on is stopped after `patience`.
    fn end_within(&self, patience: Duration) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.1 = Instant::now() + patience;
    }

    /// Operations done, those that failed, and bytes of data sets, so far.
    pub fn progress(&self) -> (u64, u64, u64) {
        let [done, failed, bytes] = &self.progress;
        (
            done.load(Ordering::Relaxed),
            failed.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    }

    fn note(&self, is_failure: bool, bytes: u64) {
        let [done, failed, sum] = &self.progress;
        done.fetch_add(1, Ordering::Relaxed);
        failed.fetch_add(u64::from(is_failure), Ordering::Relaxed);
        sum.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Figures of one action.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// From the time it was due (open loop) or begun (closed loop) to the final response.
    pub latency: Histogram,
    /// From its begin, in an open loop.
    pub service: Histogram,
    /// Success.
    pub succeeded: u64,
    /// Success with a remark.
    pub warned: u64,
    /// Everything else.
    pub failed: u64,
    /// Bytes of data sets.
    pub bytes: u64,
    /// Objects: stored, retrieved, or told of by C-MOVE; answers of C-FIND.
    pub objects: u64,
    /// Final statuses.
    pub statuses: BTreeMap<u16, u64>,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.service.add(&other.service);
        self.succeeded += other.succeeded;
        self.warned += other.warned;
        self.failed += other.failed;
        self.bytes += other.bytes;
        self.objects += other.objects;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
    }
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Operations begun.
    pub begun: u64,
    /// Of each action that was done.
    pub actions: BTreeMap<Action, Figures>,
    /// Associations: from connecting to the peer's answer.
    pub associate: Histogram,
    /// Associations that could not be had, or did not end in order.
    pub associations_failed: u64,
    /// What went wrong, in words, and how often.
    pub errors: BTreeMap<String, u64>,
    /// Over time.
    pub timeline: Timeline,
    /// Why a thread ended early.
    pub gave_up: Option<String>,
}

impl Tally {
    fn error(&mut self, text: String, count: u64) {
        let is_full = self.errors.len() >= LOAD_ERROR_KINDS_MAX;
        let text = if is_full && !self.errors.contains_key(&text) { "others".into() } else { text };
        *self.errors.entry(text).or_default() += count;
    }

    fn add(&mut self, other: Self) {
        self.begun += other.begun;
        for (action, figures) in &other.actions {
            self.actions.entry(*action).or_default().add(figures);
        }
        self.associate.add(&other.associate);
        self.associations_failed += other.associations_failed;
        for (text, count) in other.errors {
            self.error(text, count);
        }
        self.timeline.add(&other.timeline);
        self.gave_up = self.gave_up.take().or(other.gave_up);
    }
}

/// Why no further operation began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndedBy {
    /// All were done.
    #[default]
    Count,
    /// The time was over.
    Duration,
    /// The user's wish.
    Stop,
    /// Nothing but failures.
    GaveUp,
}

/// A run that has ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was counted.
    pub tally: Tally,
    /// From the first begin to the last end.
    pub elapsed: Duration,
    /// Operations begun.
    pub begun: u64,
    /// Operations that were due by the timetable and not begun.
    pub overdue: u64,
    /// Why it ended.
    pub ended_by: EndedBy,
}

/// A run under way.
#[derive(Debug)]
pub struct Run {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Tally>>,
    pace: Pace,
}

impl Run {
    /// Begins.
    ///
    /// # Errors
    ///
    /// The system's, which gives no thread.
    pub fn start(plan: Plan) -> io::Result<Self> {
        let stores = if plan.has(Action::Store) { plan.count } else { 0 };
        let associations = plan.associations;
        let shared = Arc::new(Shared::new(plan, stores));
        // What is in hand at the end may take as long as an answer may.
        let patience = shared.plan.proposal.dimse_timeout.unwrap_or(UNLIMITED);
        shared.end_within(shared.plan.duration.saturating_add(patience).min(UNLIMITED));
        let pace = Pace::new(Instant::now(), shared.plan.rate, shared.plan.duration);
        let mut workers = Vec::with_capacity(associations);
        for _ in 0..associations {
            match start(&shared, move |shared| Worker::new(Arc::clone(shared), pace).work()) {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    shared.stop.raise();
                    return Err(error);
                }
            }
        }
        Ok(Self { shared, workers, pace })
    }

    /// What the threads share; the ledger outlives the run.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits for the end, and sums up.
    pub fn finish(self) -> Outcome {
        let mut tally = Tally::default();
        for worker in self.workers {
            match worker.join() {
                Ok(one) => tally.add(one),
                Err(_) => tally.error("a thread of ours broke down".into(), 1),
            }
        }
        let begun = tally.begun;
        let elapsed = tally.timeline.end();
        let ended_by = if begun >= u64::from(self.shared.plan.count) {
            EndedBy::Count
        } else if self.shared.stop.is_raised() {
            EndedBy::Stop
        } else if tally.gave_up.is_some() {
            EndedBy::GaveUp
        } else {
            EndedBy::Duration
        };
        let until = if ended_by == EndedBy::Duration { self.shared.plan.duration } else { elapsed };
        let due = self.pace.due_until(until).min(u64::from(self.shared.plan.count));
        Outcome { tally, elapsed, begun, overdue: due.saturating_sub(begun), ended_by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOAD_AUDIT_S_MAX;
    use crate::load::recipe::{Kind, Recipe};
    use crate::net::tcp::TransportOptions;

    /// A run of so many stores that has not begun.
    pub(super) fn shared_of(stores: u32) -> Arc<Shared> {
        let recipe = Recipe {
            seed: 7,
            kind: Kind::Ct,
            pixel_bytes: vec![128],
            patients: 1,
            studies: 1,
            series: 1,
        };
        let proposal = Proposal {
            calling: AeTitle::new(b"LOAD"),
            called: AeTitle::new(b"ANY"),
            contexts: Vec::new(),
            roles: Vec::new(),
            extended_negotiation: Vec::new(),
            user_identity: None,
            max_pdu_bytes: 16_384,
            max_send_pdu_bytes: None,
            transport: TransportOptions::default(),
            tls: None,
            connect_timeout: None,
            acse_timeout: None,
            dimse_timeout: None,
            socket_timeout: None,
            stop: None,
            interrupted: None,
            is_shown_in_detail: false,
        };
        let plan = Plan {
            addresses: Vec::new(),
            proposal,
            source: Source::Recipe(recipe),
            mix: vec![(Action::Store, 1)],
            seed: 7,
            count: stores,
            duration: UNLIMITED,
            associations: 1,
            per_association: 0,
            rate: None,
            known: 0,
            find_level: Level::Study,
            retrieve_level: Level::Study,
            destination: None,
        };
        Arc::new(Shared::new(plan, stores))
    }

    /// limits::LOAD_ERROR_KINDS_MAX different texts are counted apart, more together; none is lost.
    #[test]
    fn edge_of_kinds_of_errors() {
        for (kinds, apart) in [(-1, -1), (0, 0), (1, 0)] {
            let [kinds, apart] =
                [kinds, apart].map(|n| LOAD_ERROR_KINDS_MAX.saturating_add_signed(n));
            let mut tally = Tally::default();
            for _ in 0..2 {
                (0..kinds).for_each(|kind| tally.error(format!("kind {kind}"), 1));
            }
            let others = tally.errors.remove("others").unwrap_or_default();
            assert_eq!(tally.errors.len(), apart);
            assert!(tally.errors.values().all(|count| *count == 2));
            assert_eq!(others as usize, 2 * (kinds - apart));
        }
    }

    /// A run or an audit (limits::LOAD_AUDIT_S_MAX) whose time is over is stopped by whoever waits for
    /// it, and not before.
    #[test]
    fn time_is_bounded() {
        let shared = shared_of(0);
        let (begin, until_stopped) = std::sync::mpsc::channel::<()>();
        let job = start(&shared, move |shared| {
            let _ = until_stopped.recv();
            shared.stop.is_raised()
        });
        shared.end_within(Duration::from_secs(LOAD_AUDIT_S_MAX.into()));
        assert!(!shared.wait(Duration::ZERO));
        assert!(!shared.stop.is_raised());
        shared.end_within(Duration::ZERO);
        assert!(!shared.wait(Duration::ZERO));
        assert!(shared.stop.is_raised());
        drop(begin);
        assert!(job.unwrap().join().unwrap());
        assert!(shared.wait(Duration::from_secs(9)));
    }
}
