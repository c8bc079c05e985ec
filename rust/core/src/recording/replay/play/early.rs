//! What asynchronous operations leave open in a replay.
//!
//! Source: PS3.7 Annex D.3.3.3. Where a window of more than one operation was negotiated, the performer
//! may answer our operations in any order. A response that comes before its turn is held, with its
//! data set, until the recording has come to it; responses to one operation keep their order. Bounded
//! by `limits::REPLAY_NAMES_MAX` and `REPLAY_COMPARED_BYTES_MAX`. Called by `recording::replay::play`.

use std::collections::{BTreeSet, VecDeque};

use super::super::happened::Happened;
use super::cancel::response_of;
use super::{End, Play};
use crate::limits::{REPLAY_COMPARED_BYTES_MAX, REPLAY_NAMES_MAX};
use crate::ul::pdu::AssociateAc;

/// What is known of operations that go on at the same time.
#[derive(Default)]
pub struct Early {
    is_negotiated: bool,
    /// Message IDs of our operations to which the recording has no final response so far.
    open: BTreeSet<u16>,
    /// Responses before their turn and their data sets, with the message ID that they answer.
    held: VecDeque<(u16, Happened)>,
    held_bytes: usize,
    /// The data set that is expected next belongs to a response that was held.
    data_set_of: Option<u16>,
}

impl Early {
    /// Notes the window of an association.
    pub fn negotiated(&mut self, accept: &AssociateAc) {
        let information = accept.user_information.as_ref();
        let window = information.and_then(|information| information.asynchronous_operations);
        // 0 is without a limit.
        self.is_negotiated =
            window.is_some_and(|window| window.invoked != 1 || window.performed != 1);
    }

    /// We have begun an operation.
    pub fn asked(&mut self, message_id: Option<u16>) {
        self.open.extend(message_id);
    }

    /// True for a response to another of our operations than the one that is expected.
    pub fn is_before_its_turn(&self, expected: &Happened, came: &Happened) -> bool {
        let (Some((wanted, ..)), Some((id, ..))) = (response_of(expected), response_of(came))
        else {
            return false;
        };
        self.is_negotiated
            && wanted != id
            && self.open.contains(&id)
            && self.held.len() < REPLAY_NAMES_MAX
            && self.held_bytes < REPLAY_COMPARED_BYTES_MAX
    }

    fn hold(&mut self, id: u16, happened: Happened) {
        if let Happened::DataSet { data_set, .. } = &happened {
            self.held_bytes += data_set.bytes.len();
        }
        self.held.push_back((id, happened));
    }

    /// What is expected and has come before.
    pub fn take(&mut self, expected: &Happened) -> Option<Happened> {
        let id = match (expected, response_of(expected)) {
            (_, Some((id, ..))) => id,
            (Happened::DataSet { .. }, None) => self.data_set_of.take()?,
            _ => return None,
        };
        let at = self.held.iter().position(|(held, _)| *held == id)?;
        let (_, happened) = self.held.remove(at)?;
        match (&happened, response_of(&happened)) {
            (_, Some((id, _, true))) => self.data_set_of = Some(id),
            (Happened::DataSet { data_set, .. }, _) => self.held_bytes -= data_set.bytes.len(),
            _ => {}
        }
        Some(happened)
    }

    /// The recording has come to this event of the peer.
    pub fn expected(&mut self, expected: &Happened) {
        if let Some((id, false, _)) = response_of(expected) {
            self.open.remove(&id);
        }
    }

    /// Something that the recording does not have.
    pub fn any(&mut self) -> Option<Happened> {
        self.held.pop_front().map(|(_, happened)| happened)
    }
}

impl Play<'_> {
    /// Keeps a response until its turn comes, with its data set, which follows it.
    pub(super) fn hold_early(&mut self, came: Happened) -> Result<(), End> {
        let Some((id, _, has_data_set)) = response_of(&came) else { return Ok(()) };
        let text = came.text();
        self.early.hold(id, came);
        if has_data_set {
            match self.next() {
                Some(data_set @ Happened::DataSet { .. }) => self.early.hold(id, data_set),
                other => {
                    let came = other.map_or_else(|| "nothing".into(), |other| other.text());
                    let why = "the data set that it announces did not come".into();
                    return Err(self.differs(&text, came, why));
                }
            }
        }
        Ok(())
    }
}
