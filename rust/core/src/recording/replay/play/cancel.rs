//! What a C-CANCEL leaves open in a replay.
//!
//! Source: PS3.7 §9.3.2.3, §9.3.3.3 and §9.3.4.3. It is sent at any time before the final response, and says when
//! the other side shall stop, not how far that has come. So where our side cancels, the peer may give
//! more or fewer pending responses (or sub-operations of a C-GET) than it gave, and end with success when
//! it was done before; what both gave is compared. Where the peer cancels, its C-CANCEL may come at
//! any time before our final response. Called by `recording::replay::play`.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use super::{End, Happened, Outcome, Play};
use crate::dimse::command_set::{CommandSet, Field};
use crate::dimse::service::Command;
use crate::dimse::service::command_field::{C_CANCEL_RQ, RESPONSE_BIT};
use crate::dimse::status::{Status, StatusClass};
use crate::limits::{REPLAY_COMPARED_BYTES_MAX, REPLAY_NAMES_MAX};
use crate::ul::pdv::{DATA_HEADER_BYTES, FragmentKind, data_header};

/// A cancelled operation that still goes on after so many times the patience for one event has no end.
const PATIENCES_MAX: u32 = 10;

/// What is known of operations that were cancelled.
#[derive(Default)]
pub struct Cancel {
    /// Message IDs of our own operations that we cancelled.
    pub ours: BTreeSet<u16>,
    /// C-CANCELs of the peer that came before their turn.
    pub early: VecDeque<Happened>,
    /// C-CANCELs that the recording has, and the peer has not sent yet.
    awaited: VecDeque<Happened>,
    /// Pending responses behind our C-CANCEL, which the peer may give or not.
    recorded: VecDeque<Happened>,
    recorded_bytes: usize,
    /// The data set that follows is of such a response.
    has_data_set: bool,
    /// The operation that the peer ended sooner than in the recording.
    pub skipped: Option<u16>,
    /// Responses to a cancelled operation are compared, or their last ones.
    pub is_comparing: bool,
    /// See there.
    pub is_comparing_finals: bool,
}

/// A response to an operation: its message ID, and whether more follow.
pub fn response_of(happened: &Happened) -> Option<(u16, bool, bool)> {
    let Happened::Command { bytes, .. } = happened else { return None };
    let set = CommandSet::decode(bytes).ok()?;
    if set.us(Field::CommandField)? & RESPONSE_BIT == 0 {
        return None;
    }
    let is_pending = Status(set.us(Field::Status)?).class() == StatusClass::Pending;
    Some((set.us(Field::MessageIdBeingRespondedTo)?, is_pending, set.announces_data_set()))
}

/// The message ID that a C-CANCEL-RQ names.
pub fn cancelled_by(happened: &Happened) -> Option<u16> {
    let Happened::Command { bytes, .. } = happened else { return None };
    let set = CommandSet::decode(bytes).ok()?;
    let is_cancel = set.us(Field::CommandField) == Some(C_CANCEL_RQ);
    is_cancel.then(|| set.us(Field::MessageIdBeingRespondedTo).unwrap_or_default())
}

/// True where one of two final statuses says that the operation was cancelled, and the other that it was
/// done by then.
pub fn is_end_of_cancelled(expected: &CommandSet<'_>, came: &CommandSet<'_>) -> bool {
    let ends = [expected, came].map(|set| set.us(Field::Status).map(Status));
    let is_any = |wanted: &[StatusClass]| {
        ends.iter().any(|end| end.is_some_and(|end| wanted.contains(&end.class())))
    };
    let is_cancelled = is_any(&[StatusClass::Cancel]);
    is_cancelled && is_any(&[StatusClass::Success, StatusClass::Warning])
}

impl Play<'_> {
    /// Takes what the recording has and the protocol leaves open; true where that was all.
    pub(super) fn is_left_open(
        &mut self,
        expected: &Happened,
        outcome: &mut Outcome,
    ) -> Result<bool, End> {
        if cancelled_by(expected).is_some() {
            if let Some(came) = self.cancel.early.pop_front() {
                self.events += 1;
                self.matches(expected, &came, outcome)?;
            } else if self.cancel.awaited.len() < REPLAY_NAMES_MAX {
                self.cancel.awaited.push_back(copied(expected));
            }
            return Ok(true);
        }
        if matches!(expected, Happened::DataSet { .. })
            && std::mem::take(&mut self.cancel.has_data_set)
        {
            self.hold(expected);
            return Ok(true);
        }
        let response = response_of(expected).filter(|(id, ..)| self.cancel.ours.contains(id));
        match response {
            Some((_, true, has_data_set)) => {
                self.cancel.has_data_set = has_data_set;
                self.hold(expected);
                Ok(true)
            }
            Some((id, false, _)) => {
                self.cancel.skipped = None;
                self.end_of_cancelled(id, expected, outcome)?;
                self.cancel.ours.remove(&id);
                Ok(true)
            }
            // A sub-operation, or its data set, that the peer did not come to.
            None => Ok(self.cancel.skipped.is_some()
                && matches!(expected, Happened::Command { .. } | Happened::DataSet { .. })),
        }
    }

    fn hold(&mut self, expected: &Happened) {
        let bytes = match expected {
            Happened::DataSet { data_set, .. } => data_set.bytes.len(),
            _ => 0,
        };
        let cancel = &mut self.cancel;
        // What is beyond is not compared.
        if cancel.recorded.len() < REPLAY_NAMES_MAX
            && cancel.recorded_bytes + bytes <= REPLAY_COMPARED_BYTES_MAX
        {
            cancel.recorded_bytes += bytes;
            cancel.recorded.push_back(copied(expected));
        }
    }

    /// True where the peer answers a cancelled operation, and in the recording it went on.
    pub(super) fn stops_early(&mut self, expected: &Happened, came: &Happened) -> bool {
        let is_sub_operation = matches!(expected, Happened::Command { .. })
            && response_of(expected).is_none()
            && cancelled_by(expected).is_none();
        let id = response_of(came).map(|(id, ..)| id).filter(|id| self.cancel.ours.contains(id));
        if let (true, Some(id)) = (is_sub_operation, id) {
            self.events -= 1;
            self.cancel.skipped = Some(id);
            return true;
        }
        false
    }

    /// Takes everything that the peer still does for a cancelled operation, up to its final response.
    fn end_of_cancelled(
        &mut self,
        id: u16,
        expected: &Happened,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        let mut recorded = std::mem::take(&mut self.cancel.recorded);
        self.cancel.recorded_bytes = 0;
        let end = Instant::now() + self.plan.patience * PATIENCES_MAX;
        loop {
            self.events += 1;
            if Instant::now() >= end {
                let why = "the cancelled operation does not end".into();
                return Err(self.differs(&expected.text(), "more and more responses".into(), why));
            }
            let came = self.awaited(expected)?;
            match response_of(&came) {
                Some((other, true, has_data_set)) if other == id => {
                    self.cancel.is_comparing = true;
                    let result = self.pending_of_cancelled(
                        &came,
                        has_data_set,
                        expected,
                        &mut recorded,
                        outcome,
                    );
                    self.cancel.is_comparing = false;
                    result?;
                }
                Some((other, false, _)) if other == id => {
                    self.cancel.is_comparing = true;
                    self.cancel.is_comparing_finals = true;
                    let result = self.matches(expected, &came, outcome);
                    self.cancel.is_comparing = false;
                    self.cancel.is_comparing_finals = false;
                    return result;
                }
                _ => {
                    if !self.answered(&came, outcome)? {
                        return self.matches(expected, &came, outcome);
                    }
                }
            }
        }
    }

    /// A pending response that came behind our C-CANCEL, beside the recorded one if there is one.
    fn pending_of_cancelled(
        &mut self,
        came: &Happened,
        has_data_set: bool,
        expected: &Happened,
        recorded: &mut VecDeque<Happened>,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        if let Some(one) = recorded.pop_front() {
            self.matches(&one, came, outcome)?;
        }
        if !has_data_set {
            return Ok(());
        }
        self.events += 1;
        let data_set = self.awaited(expected)?;
        match recorded.front() {
            Some(Happened::DataSet { .. }) => {
                let one = recorded.pop_front();
                one.map_or(Ok(()), |one| self.matches(&one, &data_set, outcome))
            }
            _ if matches!(data_set, Happened::DataSet { .. }) => Ok(()),
            _ => self.matches(expected, &data_set, outcome),
        }
    }

    /// Answers a sub-operation that the recording does not have; false for anything else.
    fn answered(&mut self, came: &Happened, outcome: &mut Outcome) -> Result<bool, End> {
        let Happened::Command { context_id, bytes } = came else { return Ok(false) };
        let command = CommandSet::decode(bytes).ok().and_then(|set| match Command::of(&set) {
            Ok(Command::Store(request)) => Some(request),
            _ => None,
        });
        let Some(request) = command else { return Ok(false) };
        let data_set = self.awaited(came)?;
        if !matches!(data_set, Happened::DataSet { .. }) {
            return Ok(false);
        }
        let mut response = vec![0; DATA_HEADER_BYTES];
        request.response(Status::SUCCESS).encode(&mut response);
        let length = response.len() - DATA_HEADER_BYTES;
        let header = data_header(*context_id, FragmentKind::Command, true, length);
        if let Some(place) = response.get_mut(..DATA_HEADER_BYTES) {
            place.copy_from_slice(&header);
        }
        self.write(&response, outcome)?;
        Ok(true)
    }

    /// Before our final response the peer's C-CANCEL must have come.
    pub(super) fn await_cancel(&mut self, pdu: &[u8], outcome: &mut Outcome) -> Result<(), End> {
        if self.cancel.awaited.is_empty() {
            return Ok(());
        }
        let Some((_, command)) = pdu.split_first_chunk::<DATA_HEADER_BYTES>() else {
            return Ok(());
        };
        let ours = Happened::Command { context_id: 0, bytes: command.to_vec() };
        let Some((id, false, _)) = response_of(&ours) else { return Ok(()) };
        let is_it = |one: &Happened| cancelled_by(one) == Some(id);
        let Some(at) = self.cancel.awaited.iter().position(is_it) else { return Ok(()) };
        let expected = self.cancel.awaited.remove(at);
        expected.map_or(Ok(()), |expected| self.await_one(&expected, outcome))
    }

    /// At the end all must have come.
    pub(super) fn await_all_cancels(&mut self, outcome: &mut Outcome) -> Result<(), End> {
        while let Some(expected) = self.cancel.awaited.pop_front() {
            self.await_one(&expected, outcome)?;
        }
        Ok(())
    }

    fn await_one(&mut self, expected: &Happened, outcome: &mut Outcome) -> Result<(), End> {
        self.events += 1;
        let came = match self.cancel.early.pop_front() {
            Some(came) => came,
            None => self.awaited(expected)?,
        };
        self.matches(expected, &came, outcome)
    }
}

/// The same event again.
fn copied(happened: &Happened) -> Happened {
    match happened {
        Happened::Command { context_id, bytes } => {
            Happened::Command { context_id: *context_id, bytes: bytes.clone() }
        }
        Happened::DataSet { context_id, data_set } => {
            Happened::DataSet { context_id: *context_id, data_set: data_set.clone() }
        }
        other => Happened::Unreadable(other.text()),
    }
}
