//! What our side sent, sent again.
//!
//! Each part of a PDU leaves when the PDU is complete, with the names that the peer uses this time;
//! P-DATA-TF are cut anew where this peer receives shorter ones (PS3.8 Annex D.1), and what was left out
//! of the recording is stood in for. Called by `recording::replay::play`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{End, Outcome, Play, ReplayError, trimmed};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dimse::command_set::{CommandSet, Field};
use crate::dimse::service::command_field::{C_CANCEL_RQ, RESPONSE_BIT};
use crate::recording::conversation::{Framer, Part, PdvHeader};
use crate::recording::stand_in::StandIn;
use crate::recording::{Ending, What};
use crate::ul::pdu::{PDU_HEADER_BYTES, PduType, TitleFields};
use crate::ul::pdu_codec::decode_associate_ac;
use crate::ul::pdv::{DATA_HEADER_BYTES, FragmentKind, PDV_HEADER_BYTES, data_header};

/// Our P-DATA-TF that is being put together.
#[derive(Default)]
pub struct Sending {
    /// It fits the peer, so it is sent as it was.
    pub pdu: Vec<u8>,
    wanted: usize,
    /// It does not: PDVs are cut anew.
    is_cut: bool,
    pdv: Option<PdvHeader>,
    stand_in: Option<StandIn>,
    /// Bytes of the command that goes by.
    command: Vec<u8>,
}

/// A part of ours that is sent.
pub enum Owned {
    Pdu(PduType, Vec<u8>),
    Data(u32, [u8; PDU_HEADER_BYTES]),
    Pdv(PdvHeader, [u8; PDV_HEADER_BYTES]),
    Fragment(Vec<u8>, bool),
    Gap(u64, bool),
    Raw(Vec<u8>),
    Nothing,
}

impl Owned {
    pub fn of(part: &Part<'_>) -> Self {
        match part {
            Part::Pdu { header, raw } => Self::Pdu(header.pdu_type, raw.to_vec()),
            Part::Data { header, raw } => Self::Data(header.length, *raw),
            Part::Pdv { header, raw } => Self::Pdv(*header, *raw),
            Part::Fragment { raw, is_end } => Self::Fragment(raw.to_vec(), *is_end),
            Part::Gap { bytes, is_end, .. } => Self::Gap(*bytes, *is_end),
            Part::Unreadable { raw, .. } => Self::Raw(raw.to_vec()),
            Part::Lost { .. } => Self::Nothing,
        }
    }
}

impl Play<'_> {
    /// What of our last PDU was recorded, and never came to its end.
    pub fn rest(&mut self, outcome: &mut Outcome) -> Result<(), End> {
        let mut rest = std::mem::take(&mut self.sending.pdu);
        rest.extend_from_slice(self.framer.held());
        self.framer = Framer::default();
        if rest.is_empty() { Ok(()) } else { self.write(&rest, outcome) }
    }

    pub fn end_ours(&mut self, ending: Ending) {
        let Some(live) = &self.live else { return };
        let stream = live.handle();
        if ending == Ending::Reset {
            let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            self.live = None;
        } else {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Sends a part of ours.
    pub fn part(&mut self, part: Owned, outcome: &mut Outcome) -> Result<(), End> {
        match part {
            Owned::Pdu(kind, raw) => self.pdu(kind, raw, outcome),
            Owned::Data(length, raw) => {
                self.sending.is_cut = length > self.pdu_bytes_max;
                self.sending.pdu.clear();
                self.sending.wanted = PDU_HEADER_BYTES + length as usize;
                if !self.sending.is_cut {
                    self.sending.pdu.extend_from_slice(&raw);
                }
                Ok(())
            }
            Owned::Pdv(header, raw) => {
                self.sending.pdv = Some(header);
                if !self.sending.is_cut {
                    self.sending.pdu.extend_from_slice(&raw);
                }
                self.whole(outcome)
            }
            Owned::Fragment(raw, is_end) => self.fragment(&raw, is_end, outcome),
            Owned::Gap(count, is_end) => {
                let mut left = count;
                while left > 0 {
                    let piece = left.min(16 * 1024);
                    left -= piece;
                    let bytes = self.stood_in(piece as usize);
                    self.fragment(&bytes, is_end && left == 0, outcome)?;
                }
                Ok(())
            }
            Owned::Raw(raw) => self.write(&raw, outcome),
            Owned::Nothing => Ok(()),
        }
    }

    /// Bytes in the place of what was left out.
    fn stood_in(&mut self, count: usize) -> Vec<u8> {
        let Some(pdv) = self.sending.pdv else { return Vec::new() };
        let mut bytes = Vec::new();
        if self.sending.stand_in.is_none() {
            let total = self.lengths.pop_front().unwrap_or_default();
            let syntax = self.live_talk.context(pdv.context_id).transfer_syntax;
            let syntax = syntax.as_ref().map(TransferSyntax::of);
            let syntax = syntax.unwrap_or_else(|| self.talk.transfer_syntax(pdv.context_id));
            let (class, instance) = self.command;
            self.sending.stand_in = Some(StandIn::new(syntax, total, class, instance));
        }
        if let Some(stand_in) = &mut self.sending.stand_in {
            stand_in.fill(&mut bytes, count);
        }
        bytes
    }

    fn fragment(&mut self, raw: &[u8], is_end: bool, outcome: &mut Outcome) -> Result<(), End> {
        let Some(pdv) = self.sending.pdv else { return Ok(()) };
        let is_last = is_end && pdv.is_last();
        self.is_in_message = true;
        if pdv.is_command() {
            self.sending.command.extend_from_slice(raw);
        }
        if self.sending.is_cut {
            self.cut(pdv, raw, is_last, outcome)?;
        } else {
            self.sending.pdu.extend_from_slice(raw);
        }
        if is_last {
            self.sending.stand_in = None;
            // A command goes on with the data set that it announces.
            self.is_in_message = false;
            if pdv.is_command() {
                let command = std::mem::take(&mut self.sending.command);
                self.is_in_message = self.command(&command);
            }
        }
        self.whole(outcome)
    }

    /// Notes what our command names; true where a data set follows.
    fn command(&mut self, bytes: &[u8]) -> bool {
        let Ok(set) = CommandSet::decode(bytes) else { return false };
        self.command =
            (set.uid(Field::AffectedSopClassUid), set.uid(Field::AffectedSopInstanceUid));
        match set.us(Field::CommandField) {
            Some(C_CANCEL_RQ) => {
                self.cancel.ours.extend(set.us(Field::MessageIdBeingRespondedTo));
            }
            Some(command) if command & RESPONSE_BIT == 0 => {
                self.early.asked(set.us(Field::MessageId));
            }
            _ => {}
        }
        set.announces_data_set()
    }

    /// A fragment in PDUs that the peer receives.
    fn cut(
        &mut self,
        pdv: PdvHeader,
        raw: &[u8],
        is_last: bool,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        let kind = if pdv.is_command() { FragmentKind::Command } else { FragmentKind::DataSet };
        let most = (self.pdu_bytes_max as usize).saturating_sub(PDV_HEADER_BYTES) & !1;
        let most = most.max(2);
        let mut rest = raw;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(most));
            rest = after;
            let is_end = rest.is_empty();
            if piece.is_empty() && !is_last {
                return Ok(());
            }
            let header = data_header(pdv.context_id, kind, is_last && is_end, piece.len());
            self.write(&[&header[..], piece].concat(), outcome)?;
            if is_end {
                return Ok(());
            }
        }
    }

    /// Sends the P-DATA-TF in hand once it is complete.
    fn whole(&mut self, outcome: &mut Outcome) -> Result<(), End> {
        if self.sending.is_cut || self.sending.pdu.len() < self.sending.wanted {
            return Ok(());
        }
        let pdu = std::mem::take(&mut self.sending.pdu);
        if pdu.is_empty() {
            return Ok(());
        }
        self.await_cancel(&pdu, outcome)?;
        let pdu = self.renamed(&pdu).unwrap_or(pdu);
        self.write(&pdu, outcome)
    }

    /// Our response with today's names, where the PDU is one whole command that has others.
    fn renamed(&self, pdu: &[u8]) -> Option<Vec<u8>> {
        let (header, command) = pdu.split_first_chunk::<DATA_HEADER_BYTES>()?;
        let [.., a, b, c, d, context_id, control] = *header;
        let item_length = u32::from_be_bytes([a, b, c, d]) as usize;
        if control & 3 != 3 || item_length != command.len() + 2 {
            return None;
        }
        let set = CommandSet::decode(command).ok()?;
        if set.us(Field::CommandField)? & RESPONSE_BIT == 0 {
            return None;
        }
        let mut changed = BTreeMap::new();
        let recorded = set.us(Field::MessageIdBeingRespondedTo)?;
        if let Some(id) = self.names.message_ids.get(&recorded).filter(|id| **id != recorded) {
            changed.insert(Field::MessageIdBeingRespondedTo.element(), id.to_le_bytes().to_vec());
        }
        let uid = set.value(Field::AffectedSopInstanceUid).map(trimmed);
        if let Some(uid) = uid.and_then(|uid| self.names.uids.get(uid)) {
            let mut uid = uid.clone();
            if uid.len() % 2 == 1 {
                uid.push(0);
            }
            changed.insert(Field::AffectedSopInstanceUid.element(), uid);
        }
        if changed.is_empty() {
            return None;
        }
        let command = rewritten(command, &changed);
        let header = data_header(context_id, FragmentKind::Command, true, command.len());
        Some([&header[..], &command].concat())
    }

    /// Sends a whole PDU of ours.
    pub fn pdu(
        &mut self,
        kind: PduType,
        mut raw: Vec<u8>,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        match kind {
            PduType::AssociateRq => {
                for (start, title) in [10, 26].into_iter().zip(self.plan.titles) {
                    if let (Some(title), Some(place)) = (title, raw.get_mut(start..start + 16)) {
                        place.copy_from_slice(&title.padded());
                    }
                }
            }
            PduType::AssociateAc => {
                if let Some(titles) = self.titles {
                    raw = answer_for(&raw, titles);
                }
                let body = raw.get(PDU_HEADER_BYTES..).unwrap_or_default();
                if let Ok(accept) = decode_associate_ac(body) {
                    self.early.negotiated(&accept);
                }
            }
            PduType::ReleaseRp | PduType::Abort | PduType::AssociateRj => self.is_done = true,
            _ => {}
        }
        if kind == PduType::AssociateAc && std::mem::take(&mut self.is_answered) {
            outcome.sent += 1;
            return Ok(());
        }
        self.write(&raw, outcome)
    }

    /// Sends bytes; what the peer did instead of taking them is a difference.
    pub fn write(&mut self, bytes: &[u8], outcome: &mut Outcome) -> Result<(), End> {
        if self.cancel.skipped.is_some() {
            // An answer to what the peer did not come to ask this time.
            return Ok(());
        }
        let ours = self.plan.ours;
        // So that what is accepted is known by today's association as well.
        let mut live_talk = std::mem::take(&mut self.live_talk);
        live_talk.take(&What::Bytes(ours, bytes.to_vec()), &mut |_, _, _| {});
        self.live_talk = live_talk;
        let result = self.live.as_mut().map(|live| live.write(bytes));
        match result {
            Some(Ok(())) => {
                outcome.sent += 1;
                Ok(())
            }
            _ if self.stop.is_raised() => Err(End::Failed(ReplayError::Stopped)),
            // Ours is the side that ends it.
            _ if self.is_done => Ok(()),
            _ => {
                let expected = "the peer takes what is sent";
                let came = self.next().map_or_else(|| "nothing".into(), |came| came.text());
                Err(self.differs(expected, came, "the peer does not go on".into()))
            }
        }
    }
}

/// An A-ASSOCIATE-AC for who has these titles: the fields of a request come back unchanged (PS3.8
/// §9.3.3).
pub fn answer_for(recorded: &[u8], titles: TitleFields) -> Vec<u8> {
    let mut answer = recorded.to_vec();
    if let Some(place) = answer.get_mut(10..74) {
        place.copy_from_slice(titles.as_bytes());
    }
    answer
}

/// A command with other values in some elements, and its group length.
fn rewritten(command: &[u8], changed: &BTreeMap<u16, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(command.len() + 64);
    let mut rest = command;
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let [g0, g1, e0, e1, a, b, c, d] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let (value, after) = after.split_at(length.min(after.len()));
        rest = after;
        let value = changed.get(&u16::from_le_bytes([e0, e1])).map_or(value, Vec::as_slice);
        out.extend([g0, g1, e0, e1]);
        out.extend((value.len() as u32).to_le_bytes());
        out.extend_from_slice(value);
    }
    // PS3.7 §6.3.1: it stands first, and counts what comes behind it.
    if out.starts_with(&[0, 0, 0, 0, 4, 0, 0, 0]) {
        let length = (out.len() as u32).saturating_sub(12).to_le_bytes();
        if let Some(place) = out.get_mut(8..12) {
            place.copy_from_slice(&length);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uid::UidText;

    /// PS3.7 §6.3.1: the group length counts what is behind it, whatever was put in place.
    #[test]
    fn a_command_with_another_uid() {
        let mut command = Vec::new();
        let uid = UidText::new(b"1.2.3").unwrap();
        crate::dimse::command_set::Encoder::new(&mut command)
            .us(Field::CommandField, 0x8001)
            .us(Field::MessageIdBeingRespondedTo, 5)
            .uid(Field::AffectedSopInstanceUid, &uid)
            .finish();
        let changed = BTreeMap::from([(0x0120, vec![9, 0]), (0x1000, b"1.2.840.1\0".to_vec())]);
        let new = rewritten(&command, &changed);
        let set = CommandSet::decode(&new).unwrap();
        assert_eq!(set.us(Field::MessageIdBeingRespondedTo), Some(9));
        assert_eq!(set.uid(Field::AffectedSopInstanceUid).unwrap().as_bytes(), b"1.2.840.1");
        assert_eq!(new[8..12], (new.len() as u32 - 12).to_le_bytes());
    }
}
