//! What a recording holds, looked at once before it is played.
//!
//! Called by `recording::replay`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::conversation::{Conversation, Event, Framer, Part};
use super::super::file::Step;
use super::super::proxy::is_tls;
use super::super::source::Source;
use super::super::{Entry, Notice, Reason, Side, What};
use super::happened::{Happened, Watch};
use super::{Plan, ReplayError};
use crate::dimse::command_set::CommandSet;
use crate::limits::{RECORDING_OPEN_MAX, REPLAY_COMPARED_BYTES_MAX, REPLAY_NAMES_MAX};

/// Notices that are kept; a damaged file has as many as it has records.
const NOTICES_KEPT: usize = 20;

/// The connections that are to be played.
#[derive(Default)]
pub struct Recorded {
    /// Of each, the lengths of our data sets of which something was left out, in their order.
    pub connections: BTreeMap<u64, VecDeque<u64>>,
    /// How each begins, where the peers come to us.
    pub openings: BTreeMap<u64, Opening>,
    /// What there is to say of the file.
    pub notices: Vec<Notice>,
}

/// What a UID takes in a request, about.
const UID_BYTES: usize = 80;
/// Data sets of an opening up to this length are kept.
const DATA_SET_KEPT_BYTES: usize = 16 * 1024;

/// Bytes that openings may still take.
struct Room(usize);

impl Room {
    /// Takes so many, if they are left.
    fn has(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// By what a peer is known that comes to us.
#[derive(Default)]
pub struct Opening {
    /// Its A-ASSOCIATE-RQ, and its first message or whatever else it does.
    pub events: Vec<Happened>,
    /// What our side sent first.
    pub answer: Option<Vec<u8>>,
    /// Connections that were open at the same time, or at that of others of them, are of one group.
    pub group: u64,
    /// A data set belongs to its command.
    is_complete: bool,
}

impl Opening {
    /// Request, command and data set.
    pub const EVENTS_MAX: usize = 3;

    fn is_complete(&self) -> bool {
        self.is_complete || self.events.len() >= Self::EVENTS_MAX
    }

    /// Takes what the peer did. All openings together hold no more than `room` bytes, about; who has
    /// none left is told apart from nobody.
    fn take(&mut self, watch: &mut Watch, room: &mut Room) {
        while let Some(mut event) = watch.queue.pop_front() {
            if self.is_complete() {
                return;
            }
            let goes_on = match &mut event {
                Happened::AssociateRq(request) => {
                    let syntaxes = request.contexts.iter().map(|one| one.transfer_syntaxes.len());
                    let uids = request.contexts.len() + syntaxes.sum::<usize>();
                    room.has(uids * UID_BYTES)
                }
                Happened::Command { bytes, .. } => {
                    CommandSet::decode(bytes).is_ok_and(|set| set.announces_data_set())
                }
                Happened::DataSet { data_set, .. } => {
                    // Long ones are told apart by their checksums.
                    let length = data_set.bytes.len();
                    if length > DATA_SET_KEPT_BYTES || !room.has(length) {
                        data_set.bytes = Vec::new();
                    }
                    false
                }
                _ => false,
            };
            self.is_complete = !goes_on;
            if goes_on || !matches!(event, Happened::AssociateRq(_)) {
                self.events.push(event);
            }
        }
    }
}

/// A connection that is looked at.
#[derive(Default)]
struct Look {
    /// Only where the peers come to us.
    watch: Watch,
    watched: Conversation,
    framer: Framer,
    talk: Conversation,
    has_begun: bool,
    /// Of the data set of ours in hand.
    bytes: u64,
    has_gap: bool,
}

impl Recorded {
    /// Looks at all of a recording.
    ///
    /// # Errors
    ///
    /// It cannot be read, or holds nothing that can be played.
    pub fn of(plan: &Plan) -> Result<Self, ReplayError> {
        let mut source = Source::open(&plan.path).map_err(ReplayError::Source)?;
        let (mut this, mut open) = (Self::default(), BTreeMap::new());
        let (mut over, mut lengths) = (BTreeSet::new(), 0);
        let (mut group, mut room) = (0, Room(REPLAY_COMPARED_BYTES_MAX));
        loop {
            let entry = match source.step()? {
                Step::Entry(entry) => entry,
                Step::Notice(notice) => {
                    if this.notices.len() < NOTICES_KEPT {
                        this.notices.push(notice);
                    }
                    continue;
                }
                Step::End => break,
            };
            let Entry { connection, what, .. } = entry;
            let is_full = this.connections.len() >= REPLAY_NAMES_MAX;
            if plan.connection.is_some_and(|wanted| wanted != connection)
                || over.contains(&connection)
                || is_full && !this.connections.contains_key(&connection)
            {
                continue;
            }
            if let What::Over(reason, _) = what {
                over.insert(connection);
                open.remove(&connection);
                if reason == Reason::NotConnected {
                    this.connections.remove(&connection);
                }
                continue;
            }
            if plan.awaits_peers() {
                group += u64::from(open.is_empty());
                let opening = this.openings.entry(connection).or_default();
                if opening.group == 0 {
                    opening.group = group;
                }
                let look: &mut Look = open.entry(connection).or_default();
                look.opening(&what, plan.ours, opening, &mut room);
            }
            let found = this.connections.entry(connection).or_default();
            let look: &mut Look = open.entry(connection).or_default();
            look.take(&what, plan.ours, &mut |length| {
                if lengths < REPLAY_NAMES_MAX {
                    lengths += 1;
                    found.push_back(length);
                }
            })
            .map_err(|why| ReplayError::Nothing(format!("connection {connection} {why}")))?;
            if open.len() > RECORDING_OPEN_MAX {
                let why = format!("more than {RECORDING_OPEN_MAX} connections are open at once");
                return Err(ReplayError::Nothing(why));
            }
        }
        if this.connections.is_empty() {
            return Err(ReplayError::Nothing("it holds no such connection".into()));
        }
        Ok(this)
    }
}

impl Look {
    /// Notes how a connection begins.
    fn opening(&mut self, what: &What, ours: Side, opening: &mut Opening, room: &mut Room) {
        if opening.is_complete() {
            return;
        }
        // The conversation of both is told what is understood by the one that is looked at.
        let mut talk = std::mem::take(&mut self.watched);
        self.watch.take(&mut talk, ours.other(), what);
        self.watched = talk;
        opening.take(&mut self.watch, room);
        if let (What::Bytes(side, bytes), None) = (what, &opening.answer) {
            if *side == ours {
                self.framer.take(bytes, &mut |part| {
                    if let (Part::Pdu { raw, .. }, None) = (part, &opening.answer) {
                        opening.answer = room.has(raw.len()).then(|| raw.to_vec());
                    }
                });
            }
        }
    }

    fn take(
        &mut self,
        what: &What,
        ours: Side,
        found: &mut dyn FnMut(u64),
    ) -> Result<(), &'static str> {
        if let What::Bytes(Side::Requestor, bytes) = what {
            // A handshake begins with the client (RFC 8446 §4).
            if !std::mem::replace(&mut self.has_begun, true) && is_tls(bytes) {
                return Err("is TLS, which is recorded and cannot be played");
            }
        }
        let Self { talk, bytes: total, has_gap, .. } = self;
        talk.take(what, &mut |_, side, event| {
            if let (true, Event::DataSet { bytes, missing, is_last, .. }) = (side == ours, event) {
                *total += bytes.len() as u64 + missing;
                *has_gap |= missing > 0;
                if is_last {
                    if *has_gap {
                        found(*total);
                    }
                    (*total, *has_gap) = (0, false);
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::replay::happened::Gathered;

    /// limits::REPLAY_COMPARED_BYTES_MAX, for all openings of a recording.
    #[test]
    fn edge_of_what_openings_hold() {
        let mut room = Room(REPLAY_COMPARED_BYTES_MAX);
        let mut kept = 0;
        for _ in 0..=REPLAY_COMPARED_BYTES_MAX / DATA_SET_KEPT_BYTES {
            let mut data_set = Box::new(Gathered::default());
            data_set.add(&vec![1; DATA_SET_KEPT_BYTES], 0);
            let mut watch = Watch::default();
            watch.queue.push_back(Happened::DataSet { context_id: 1, data_set });
            let mut opening = Opening::default();
            opening.take(&mut watch, &mut room);
            let [Happened::DataSet { data_set, .. }] = &opening.events[..] else { panic!() };
            kept += data_set.bytes.len();
            assert_eq!(data_set.total, DATA_SET_KEPT_BYTES as u64);
        }
        assert_eq!(kept, REPLAY_COMPARED_BYTES_MAX);
        assert!(!room.has(1) && room.has(0));
    }
}
