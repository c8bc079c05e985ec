//! One connection that is played: what we did is done again, what the peer did is awaited and compared.
//!
//! Called by `recording::replay`, entry by entry.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use self::cancel::{Cancel, cancelled_by};
use self::compare::trimmed;
use self::early::Early;
use self::sending::{Owned, Sending};
use super::guests::Guest;
use super::happened::{Happened, Watch};
use super::{Aspect, Difference, Outcome, Peer, Plan, ReplayError};
use crate::limits::{
    CLOSE_TIMEOUT_S, MAX_PDU_BYTES_MAX, REPLAY_NAMES_MAX, REPLAY_REAL_TIME_S_MAX,
    SLOWEST_PEER_BYTES_PER_S,
};
use crate::net::tcp::{Connection, ReadEnd, SLICE, SocketAddr, StopFlag};
use crate::recording::conversation::{Conversation, Framer};
use crate::recording::proxy::connect_to;
use crate::recording::{Ending, Entry, Moment, Side, What};
use crate::uid::UidText;
use crate::ul::pdu::{PduType, TitleFields};

mod cancel;
pub mod compare;
mod early;
pub mod sending;

/// Why playing ends early.
pub enum End {
    /// The peer does something else.
    Differs(Box<Difference>),
    /// Nothing can be said.
    Failed(ReplayError),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// From when recorded times are counted.
#[derive(Clone, Copy, Debug)]
struct Timetable {
    begun: Instant,
    begun_ns: u64,
}

impl Timetable {
    fn now(recorded: Moment) -> Self {
        Self { begun: Instant::now(), begun_ns: recorded.monotonic_ns }
    }

    fn due(&self, recorded: Moment, speed: f64) -> Instant {
        self.begun + due_after(recorded.monotonic_ns.saturating_sub(self.begun_ns), speed)
    }
}

/// What the peer calls otherwise this time: recorded name → today's.
#[derive(Default)]
struct Names {
    message_ids: BTreeMap<u16, u16>,
    uids: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Names {
    fn learn_uid(&mut self, recorded: &[u8], today: &[u8]) {
        if recorded != today && self.uids.len() < REPLAY_NAMES_MAX {
            self.uids.insert(recorded.to_vec(), today.to_vec());
        }
    }
}

/// One connection that is played.
pub struct Play<'a> {
    plan: &'a Plan,
    stop: &'a StopFlag,
    number: u64,
    /// Lengths of our data sets of which something was left out, in order.
    lengths: VecDeque<u64>,
    live: Option<Connection>,
    /// What the peer does.
    live_talk: Conversation,
    live_watch: Watch,
    has_ended: bool,
    /// It has our A-ASSOCIATE-AC already.
    is_answered: bool,
    /// What the recording has.
    talk: Conversation,
    watch: Watch,
    /// Our own bytes of the recording.
    framer: Framer,
    sending: Sending,
    /// The longest P-DATA-TF that the peer receives.
    pdu_bytes_max: u32,
    names: Names,
    /// Of the peer's A-ASSOCIATE-RQ.
    titles: Option<TitleFields>,
    events: u64,
    begun_ns: u64,
    now: Moment,
    /// The association is over: what ends the connection is nobody's business.
    is_done: bool,
    /// Class and instance of our last request.
    command: (Option<UidText>, Option<UidText>),
    /// We are in the middle of a message: command or data set are not complete.
    is_in_message: bool,
    cancel: Cancel,
    /// Bytes that the peer's next event may have to be given time for.
    slack_bytes: u64,
    early: Early,
    /// When the recorded times of this connection are counted from, and which time that was.
    timetable: Timetable,
}

impl<'a> Play<'a> {
    /// Opens the connection of which `entry` is the first entry, or plays with who has come.
    pub fn open(
        plan: &'a Plan,
        stop: &'a StopFlag,
        lengths: VecDeque<u64>,
        entry: &Entry,
        guest: Option<Guest>,
    ) -> Result<Self, ReplayError> {
        let (live, live_talk, live_watch, is_answered) = match (guest, &plan.peer) {
            (Some(it), _) => (Some(it.connection), it.talk, it.watch, it.is_answered),
            (None, Peer::Comes(_)) => (None, Conversation::default(), Watch::default(), false),
            (None, Peer::At(addresses)) => {
                let connection = connected(addresses, plan, stop)?;
                (Some(connection), Conversation::default(), Watch::default(), false)
            }
        };
        Ok(Self {
            live,
            plan,
            stop,
            number: entry.connection,
            lengths,
            live_talk,
            live_watch,
            has_ended: false,
            is_answered,
            talk: Conversation::default(),
            watch: Watch::default(),
            framer: Framer::default(),
            sending: Sending::default(),
            pdu_bytes_max: MAX_PDU_BYTES_MAX,
            names: Names::default(),
            titles: None,
            events: 0,
            begun_ns: entry.at.monotonic_ns,
            now: entry.at,
            is_done: false,
            command: (None, None),
            is_in_message: false,
            cancel: Cancel::default(),
            slack_bytes: 0,
            early: Early::default(),
            timetable: Timetable::now(entry.at),
        })
    }

    /// Counts recorded times as those of a connection that was open before.
    pub fn keep_time_with(&mut self, other: &Self) {
        self.timetable = other.timetable;
    }

    /// Plays an entry; all must come, in their order.
    pub fn take(&mut self, entry: Entry, outcome: &mut Outcome) -> Result<(), End> {
        self.now = entry.at;
        self.entry(entry.what, outcome)
    }

    /// Waits until what is sent now is due, where the recorded times are kept.
    fn wait_until_due(&self) -> Result<(), End> {
        let Some(speed) = self.plan.speed else { return Ok(()) };
        let due = self.timetable.due(self.now, speed);
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) {
            if self.stop.is_raised() {
                return Err(End::Failed(ReplayError::Stopped));
            }
            std::thread::sleep(left.min(SLICE));
        }
        Ok(())
    }

    fn theirs(&self) -> Side {
        self.plan.ours.other()
    }

    fn entry(&mut self, what: What, outcome: &mut Outcome) -> Result<(), End> {
        let theirs = self.theirs();
        let mut talk = std::mem::take(&mut self.talk);
        self.watch.take(&mut talk, theirs, &what);
        self.talk = talk;
        match what {
            What::Bytes(side, bytes) if side == self.plan.ours => {
                self.wait_until_due()?;
                let mut parts = Vec::new();
                let mut framer = std::mem::take(&mut self.framer);
                framer.take(&bytes, &mut |part| parts.push(Owned::of(&part)));
                self.framer = framer;
                for part in parts {
                    self.part(part, outcome)?;
                }
            }
            What::LeftOut(side, count) | What::Missing(side, count) if side == self.plan.ours => {
                let mut parts = Vec::new();
                let mut framer = std::mem::take(&mut self.framer);
                framer.skip(count, true, &mut |part| parts.push(Owned::of(&part)));
                self.framer = framer;
                for part in parts {
                    self.part(part, outcome)?;
                }
            }
            What::End(side, ending) if side == self.plan.ours => {
                self.is_in_message = false;
                self.wait_until_due()?;
                self.rest(outcome)?;
                self.end_ours(ending);
            }
            What::End(_, ending) if !self.is_done => {
                self.watch.queue.push_back(match ending {
                    Ending::Closed => Happened::Closed,
                    Ending::Reset => Happened::Reset,
                });
            }
            _ => {}
        }
        // What the peer had done by now is awaited; in the middle of a message of ours it cannot be what
        // that waits for.
        if self.is_in_message {
            return Ok(());
        }
        while let Some(expected) = self.watch.queue.pop_front() {
            self.expect(&expected, outcome)?;
        }
        Ok(())
    }

    /// The peer's next event; `None` when none comes in time.
    fn next(&mut self) -> Option<Happened> {
        let theirs = self.theirs();
        let mut deadline = Instant::now() + self.plan.patience;
        let mut block = vec![0; 64 * 1024];
        loop {
            if let Some(happened) = self.live_watch.queue.pop_front() {
                return Some(happened);
            }
            if self.has_ended {
                return Some(Happened::Closed);
            }
            // Looked at before every read: who drips or floods is as good as silent.
            if self.stop.is_raised() || Instant::now() >= deadline {
                return None;
            }
            let live = self.live.as_mut()?;
            match live.read(&mut block, Some(deadline), Some((self.stop, Duration::ZERO))) {
                Ok(count) => {
                    // A long data set takes its time, but not any, and not more than a long one does.
                    let counted = (count as u64).min(self.slack_bytes);
                    self.slack_bytes -= counted;
                    let bytes_per_ms = u64::from(SLOWEST_PEER_BYTES_PER_S / 1000);
                    deadline += Duration::from_millis(counted / bytes_per_ms);
                    let bytes = block.get(..count).unwrap_or_default().to_vec();
                    let mut talk = std::mem::take(&mut self.live_talk);
                    self.live_watch.take(&mut talk, theirs, &What::Bytes(theirs, bytes));
                    self.live_talk = talk;
                }
                Err(ReadEnd::Closed) => {
                    self.has_ended = true;
                    return Some(Happened::Closed);
                }
                Err(ReadEnd::Broken(_)) => {
                    self.has_ended = true;
                    return Some(Happened::Reset);
                }
                Err(ReadEnd::TimedOut | ReadEnd::Stopped | ReadEnd::Interrupted) => return None,
            }
        }
    }

    /// Awaits what the recording has.
    fn expect(&mut self, expected: &Happened, outcome: &mut Outcome) -> Result<(), End> {
        if self.is_done && matches!(expected, Happened::Closed | Happened::Reset) {
            return Ok(());
        }
        if self.is_left_open(expected, outcome)? {
            return Ok(());
        }
        self.events += 1;
        let came = self.awaited(expected)?;
        if self.stops_early(expected, &came) {
            self.live_watch.queue.push_front(came);
            return Ok(());
        }
        self.matches(expected, &came, outcome)
    }

    /// The peer's next event, which is no C-CANCEL unless that is expected.
    fn awaited(&mut self, expected: &Happened) -> Result<Happened, End> {
        self.slack_bytes = match expected {
            // It may be encoded otherwise.
            Happened::DataSet { data_set, .. } => data_set.total.saturating_mul(2),
            _ => 0,
        };
        if let Some(came) = self.early.take(expected) {
            return Ok(came);
        }
        loop {
            let Some(came) = self.next() else {
                if self.stop.is_raised() {
                    return Err(End::Failed(ReplayError::Stopped));
                }
                let patience = self.plan.patience.as_secs();
                let came = format!("nothing within {patience} s");
                return Err(self.differs(&expected.text(), came, "the event did not come".into()));
            };
            if self.early.is_before_its_turn(expected, &came) {
                self.hold_early(came)?;
                continue;
            }
            // It comes whenever the peer's user likes (PS3.7 §9.3.2.3).
            let is_early = cancelled_by(&came).is_some() && cancelled_by(expected).is_none();
            if !is_early || self.cancel.early.len() >= REPLAY_NAMES_MAX {
                return Ok(came);
            }
            self.cancel.early.push_back(came);
        }
    }

    /// Compares two events.
    fn matches(
        &mut self,
        expected: &Happened,
        came: &Happened,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        if let Some(differs) = self.compare(expected, came) {
            return Err(self.differs(&expected.text(), came.text(), differs));
        }
        self.learn(came);
        self.early.expected(expected);
        outcome.matched += 1;
        Ok(())
    }

    fn learn(&mut self, came: &Happened) {
        let maximum = match came {
            Happened::AssociateRq(request) => {
                self.titles = Some(request.titles);
                request.maximum_length()
            }
            Happened::AssociateAc(accept) => {
                self.early.negotiated(accept);
                accept.maximum_length()
            }
            Happened::Short(PduType::ReleaseRp | PduType::Abort | PduType::AssociateRj, _)
            | Happened::Closed
            | Happened::Reset => {
                self.is_done = true;
                return;
            }
            _ => return,
        };
        // PS3.8 Annex D.1: what it receives.
        let most = maximum.unwrap_or(MAX_PDU_BYTES_MAX).min(MAX_PDU_BYTES_MAX);
        self.pdu_bytes_max = most.max(8);
    }

    fn differs(&self, expected: &str, came: String, differs: String) -> End {
        End::Differs(Box::new(Difference {
            connection: self.number,
            event: self.events,
            at_ns: self.now.monotonic_ns.saturating_sub(self.begun_ns),
            expected: expected.to_owned(),
            came,
            differs,
        }))
    }

    /// The end: whatever the peer still does was not recorded.
    pub fn finish(&mut self, outcome: &mut Outcome) -> Result<(), End> {
        while let Some(expected) = self.watch.queue.pop_front() {
            self.expect(&expected, outcome)?;
        }
        self.await_all_cancels(outcome)?;
        if let Some(extra) = self.cancel.early.pop_front() {
            self.events += 1;
            let text = extra.text();
            return Err(self.differs(
                "nothing more",
                text,
                "the recording has no such event".into(),
            ));
        }
        if let Some(extra) = self.early.any() {
            self.events += 1;
            let text = extra.text();
            let why = "the recording has no such event".into();
            return Err(self.differs("nothing more", text, why));
        }
        let Some(live) = &self.live else { return Ok(()) };
        let _ = live.handle().shutdown(std::net::Shutdown::Write);
        if self.is_done {
            let deadline = Instant::now() + Duration::from_secs(u64::from(CLOSE_TIMEOUT_S));
            if let Some(live) = self.live.as_mut() {
                let mut block = [0; 4096];
                // The peer closes; that it does so is not awaited for ever.
                while Instant::now() < deadline
                    && !self.stop.is_raised()
                    && live
                        .read(&mut block, Some(deadline), Some((self.stop, Duration::ZERO)))
                        .is_ok()
                {}
            }
            return Ok(());
        }
        match self.next() {
            None | Some(Happened::Closed | Happened::Reset) => Ok(()),
            Some(came) => {
                self.events += 1;
                let text = came.text();
                Err(self.differs("nothing more", text, "the recording ends here".into()))
            }
        }
    }
}

/// When something is due that was recorded so long after the begin.
fn due_after(since_ns: u64, speed: f64) -> Duration {
    // Whatever a file says, no clock goes further.
    let most = Duration::from_secs(REPLAY_REAL_TIME_S_MAX);
    Duration::from_nanos(since_ns).min(most).div_f64(speed).min(most)
}

/// The connection to the peer.
fn connected(
    addresses: &[SocketAddr],
    plan: &Plan,
    stop: &StopFlag,
) -> Result<Connection, ReplayError> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let connected = addresses.iter().find_map(|address| {
        let connected = connect_to(*address, plan.connect_timeout, stop);
        connected.map_err(|error| last = error).ok()
    });
    let stream = connected.ok_or_else(|| {
        if stop.is_raised() { ReplayError::Stopped } else { ReplayError::Connect(last) }
    })?;
    super::guests::opened(stream, plan, stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// limits::REPLAY_NAMES_MAX.
    #[test]
    fn edge_of_names() {
        let mut names = Names::default();
        for number in 0..=REPLAY_NAMES_MAX {
            names.learn_uid(number.to_string().as_bytes(), b"1.2");
        }
        assert_eq!(names.uids.len(), REPLAY_NAMES_MAX);
    }

    /// limits::REPLAY_REAL_TIME_S_MAX, whatever a recording says.
    #[test]
    fn edge_of_real_time() {
        let most = Duration::from_secs(REPLAY_REAL_TIME_S_MAX);
        let ns = REPLAY_REAL_TIME_S_MAX * 1_000_000_000;
        assert_eq!(due_after(ns - 1_000_000_000, 1.0).as_secs(), REPLAY_REAL_TIME_S_MAX - 1);
        assert_eq!([ns, ns + 1, u64::MAX].map(|ns| due_after(ns, 1.0)), [most; 3]);
        assert_eq!((due_after(u64::MAX, 0.001), due_after(ns, 1000.0)), (most, most / 1000));
        assert_eq!(due_after(3_000_000_000, 2.0), Duration::from_millis(1500));
    }
}
