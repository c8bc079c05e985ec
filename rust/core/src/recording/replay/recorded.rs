//! What a recording holds, looked at once before it is played.
//!
//! Called by `recording::replay`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::conversation::{Conversation, Event};
use super::super::file::Step;
use super::super::proxy::is_tls;
use super::super::source::Source;
use super::super::{Entry, Notice, Reason, Side, What};
use super::{Plan, ReplayError};
use crate::limits::{RECORDING_OPEN_MAX, REPLAY_NAMES_MAX};

/// Notices that are kept; a damaged file has as many as it has records.
const NOTICES_KEPT: usize = 20;

/// The connections that are to be played.
#[derive(Default)]
pub struct Recorded {
    /// Of each, the lengths of our data sets of which something was left out, in their order.
    pub connections: BTreeMap<u64, VecDeque<u64>>,
    /// What there is to say of the file.
    pub notices: Vec<Notice>,
}

/// A connection that is looked at.
#[derive(Default)]
struct Look {
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
