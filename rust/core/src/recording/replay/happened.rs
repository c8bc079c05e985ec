//! What a peer did, event by event, however its bytes were cut.
//!
//! Of data sets what is compared is kept, at most `limits::REPLAY_COMPARED_BYTES_MAX`, and a digest of
//! the rest. Called by `recording::replay::play`, for the recording and for today's peer alike.

use std::collections::VecDeque;
use std::fmt::Write as _;

use xxhash_rust::xxh3::Xxh3;

use super::super::conversation::{Conversation, Event, command_set};
use super::super::describe::{command_name, short, status};
use super::super::tree::one_line;
use super::super::{Side, What};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::limits::REPLAY_COMPARED_BYTES_MAX;
use crate::ul::pdu::{AssociateAc, AssociateRq, PduType};

/// A data set, as far as it is compared.
#[derive(Clone, Default)]
pub struct Gathered {
    pub bytes: Vec<u8>,
    pub total: u64,
    pub left_out: u64,
    pub digest: Xxh3,
    pub syntax: Option<TransferSyntax>,
}

impl Gathered {
    pub fn add(&mut self, bytes: &[u8], missing: u64) {
        self.total += bytes.len() as u64 + missing;
        self.left_out += missing;
        self.digest.update(bytes);
        let room = REPLAY_COMPARED_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
    }

    pub fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.total
    }
}

/// Something that a peer did.
pub enum Happened {
    AssociateRq(Box<AssociateRq>),
    AssociateAc(Box<AssociateAc>),
    Short(PduType, Vec<u8>),
    Command { context_id: u8, bytes: Vec<u8> },
    DataSet { context_id: u8, data_set: Box<Gathered> },
    Unreadable(String),
    Closed,
    Reset,
}

impl Happened {
    /// In the standard's words.
    pub fn text(&self) -> String {
        match self {
            Self::AssociateRq(request) => {
                format!("A-ASSOCIATE-RQ with {} presentation contexts", request.contexts.len())
            }
            Self::AssociateAc(accept) => {
                format!("A-ASSOCIATE-AC with {} presentation contexts", accept.contexts.len())
            }
            Self::Short(kind, body) => {
                let mut text = kind.name().to_owned();
                let header =
                    crate::ul::pdu_codec::PduHeader { pdu_type: *kind, length: body.len() as u32 };
                let mut lines = String::new();
                short(header, body).lines(0, &mut lines);
                for line in lines.lines() {
                    let _ = write!(text, ", {line}");
                }
                text
            }
            Self::Command { context_id, bytes } => match command_set(bytes, 0) {
                Ok(set) => {
                    let mut text = command_name(&set);
                    let _ = write!(text, " on presentation context {context_id}");
                    if let Some((status, words)) = status(&set) {
                        let _ = write!(text, ", Status (0000,0900) = {:04X}H ({words})", status.0);
                    }
                    text
                }
                Err(why) => why,
            },
            Self::DataSet { context_id, data_set } => {
                let total = data_set.total;
                format!("Data Set of {total} bytes on presentation context {context_id}")
            }
            Self::Unreadable(why) => format!("bytes that are no PDU or PDV: {}", one_line(why)),
            Self::Closed => "transport connection closed".into(),
            Self::Reset => "transport connection reset".into(),
        }
    }
}

/// Collects what one side did from the events of a conversation.
#[derive(Default)]
pub struct Watch {
    pub queue: VecDeque<Happened>,
    data_set: Gathered,
    has_garbage: bool,
}

impl Watch {
    pub fn take(&mut self, conversation: &mut Conversation, side: Side, what: &What) {
        conversation.take(what, &mut |conversation, from, event| {
            if from == side {
                self.event(conversation, &event);
            }
        });
    }

    fn event(&mut self, conversation: &Conversation, event: &Event<'_>) {
        let happened = match *event {
            Event::AssociateRq(Ok(request), _) => Happened::AssociateRq(Box::new(request.clone())),
            Event::AssociateAc(Ok(accept), _) => Happened::AssociateAc(Box::new(accept.clone())),
            Event::AssociateRq(Err(error), _) | Event::AssociateAc(Err(error), _) => {
                Happened::Unreadable(error.to_string())
            }
            Event::Short(header, body) => Happened::Short(header.pdu_type, body.to_vec()),
            Event::Data(_) | Event::Pdv(_) => return,
            Event::Command { context_id, bytes, .. } => {
                Happened::Command { context_id, bytes: bytes.to_vec() }
            }
            Event::DataSet { context_id, bytes, missing, is_last, .. } => {
                self.data_set.add(bytes, missing);
                if !is_last {
                    return;
                }
                let mut data_set = Box::new(std::mem::take(&mut self.data_set));
                data_set.syntax = Some(conversation.transfer_syntax(context_id));
                Happened::DataSet { context_id, data_set }
            }
            Event::Unreadable(_, why) => {
                // Once: how it is cut says nothing.
                if std::mem::replace(&mut self.has_garbage, true) {
                    return;
                }
                Happened::Unreadable(why.unwrap_or_default().to_owned())
            }
            Event::Lost(count) => Happened::Unreadable(format!("{count} bytes are missing")),
        };
        self.queue.push_back(happened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// limits::REPLAY_COMPARED_BYTES_MAX.
    #[test]
    fn edge_of_what_is_held() {
        let mut data_set = Gathered::default();
        data_set.add(&vec![1; REPLAY_COMPARED_BYTES_MAX], 0);
        assert!(data_set.is_whole());
        data_set.add(b"x", 0);
        assert!(!data_set.is_whole() && data_set.bytes.len() == REPLAY_COMPARED_BYTES_MAX);
    }
}
