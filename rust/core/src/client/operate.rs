//! C-FIND, C-MOVE and C-GET whose answers are not kept: identifiers and objects are handed on as
//! they come.
//!
//! Source: PS3.7 §9.1.2 to §9.1.4, PS3.4 Annex C. The objects of a C-GET come over the requestor's own
//! association and are answered with what the [`Taker`] says. An identifier is held, up to
//! `IDENTIFIER_BYTES_MAX`; an object never is. The timeout counts from the last thing that brought the end
//! nearer, so that a peer that is pending for ever does not keep us for ever. A response to anything else than our request is a
//! fault of the peer's, and aborted. Called by `load`.

use std::time::Instant;

use super::{ClientError, Requestor};
use crate::ae_title::AeTitle;
use crate::dimse::message::{MessageAssembler, Step, append_command};
use crate::dimse::service::{
    Command, DataSetType, Priority, QueryRequest, QueryService, StoreRequest, SubOperations,
    command_field, command_name,
};
use crate::dimse::status::{Status, StatusClass};
use crate::limits::IDENTIFIER_BYTES_MAX;
use crate::log::escaped;
use crate::net::tcp::ReadEnd;
use crate::ul::pdu::Abort;
use crate::ul::pdv::{FragmentKind, Fragmenter, split_first};
use crate::ul::provider::Indication;

/// Who is handed what an operation brings.
pub trait Taker {
    /// The identifier of a pending response, in the transfer syntax of the request's context.
    ///
    /// # Errors
    ///
    /// What is wrong with it: the association is aborted.
    fn identifier(&mut self, bytes: &[u8]) -> Result<(), String>;
    /// An object begins, of a C-GET.
    fn object(&mut self, context_id: u8, request: &StoreRequest);
    /// The next bytes of its data set.
    fn fragment(&mut self, bytes: &[u8]);
    /// The object is complete; gives the status that answers it.
    fn object_end(&mut self) -> Status;
}

/// The final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    /// Status.
    pub status: Status,
    /// Sub-operations, of a C-MOVE or C-GET.
    pub sub_operations: Option<SubOperations>,
    /// Error comment, escaped.
    pub comment: String,
}

/// What a data set on its way belongs to.
enum InHand {
    Nothing,
    /// A response; the last one with `Some`.
    Identifier(Vec<u8>, Option<Box<Final>>),
    Object(StoreRequest),
}

struct Operation<'t> {
    assembler: MessageAssembler,
    fragmenter: Fragmenter,
    service: QueryService,
    message_id: u16,
    in_hand: InHand,
    /// Something came that brings the end nearer; a pending response that says nothing new does not,
    /// and is as good as silence.
    has_moved: bool,
    /// The most sub-operations that were told to be done.
    sub_operations_done: u32,
    /// Responses of ours that wait to be sent.
    out: Vec<u8>,
    done: Option<Box<Final>>,
    taker: &'t mut dyn Taker,
}

type Fault = (Abort, String);

impl Operation<'_> {
    /// Takes the PDVs of one P-DATA-TF.
    fn take(&mut self, mut body: &[u8]) -> Result<(), Fault> {
        while !body.is_empty() {
            let (pdv, rest) =
                split_first(body).map_err(|error| (error.abort(), error.to_string()))?;
            body = rest;
            let step = self.assembler.feed(pdv);
            let (context_id, command, data_set_follows) = match step {
                Ok(Step::Progress) => continue,
                Ok(Step::DataSet { context_id, fragment, is_last }) => {
                    let Self { in_hand, taker, done, has_moved, .. } = self;
                    *has_moved |= !fragment.is_empty();
                    let ended = fragment_of(in_hand, *taker, done, fragment, is_last)?;
                    if let Some((request, status)) = ended {
                        let response = request.response(status);
                        append_command(&mut self.out, &self.fragmenter, context_id, |out| {
                            response.encode(out);
                        });
                    }
                    continue;
                }
                Ok(Step::Command { context_id, set, data_set_follows }) => {
                    (context_id, Command::of(&set), data_set_follows)
                }
                Err(error) => return Err((error.abort(), error.to_string())),
            };
            if self.done.is_some() {
                return Err((Abort::USER, "a message behind the final response".into()));
            }
            match command {
                Ok(Command::Response(response)) => {
                    let came = command_name(response.command_field);
                    let asked = self.service.command_field();
                    if response.command_field != asked | command_field::RESPONSE_BIT {
                        let asked = command_name(asked);
                        return Err((Abort::USER, format!("{came}, where {asked} was asked")));
                    }
                    let (other, own) = (response.message_id_being_responded_to, self.message_id);
                    if other != own {
                        let why = format!("response to message {other}, where {own} was asked");
                        return Err((Abort::USER, why));
                    }
                    if let Some(counts) = response.sub_operations {
                        let ended = [counts.completed, counts.failed, counts.warning];
                        let ended = ended.into_iter().map(u32::from).sum();
                        self.has_moved |= ended > self.sub_operations_done;
                        self.sub_operations_done = self.sub_operations_done.max(ended);
                    }
                    let comment = response.error_comment.unwrap_or_default();
                    let last = (response.status.class() != StatusClass::Pending).then(|| {
                        Box::new(Final {
                            status: response.status,
                            sub_operations: response.sub_operations,
                            comment: escaped(comment).to_string(),
                        })
                    });
                    if data_set_follows {
                        self.in_hand = InHand::Identifier(Vec::new(), last);
                    } else {
                        self.done = last;
                    }
                }
                Ok(Command::Store(request)) if self.service == QueryService::Get => {
                    if !data_set_follows {
                        return Err((Abort::USER, "a C-STORE RQ without a data set".into()));
                    }
                    self.taker.object(context_id, &request);
                    self.in_hand = InHand::Object(request);
                }
                Ok(Command::Store(_)) => return Err(out_of_place(command_field::C_STORE_RQ)),
                Ok(Command::Echo(_)) => return Err(out_of_place(command_field::C_ECHO_RQ)),
                Ok(Command::Cancel(_)) => return Err(out_of_place(command_field::C_CANCEL_RQ)),
                Ok(Command::Query(request)) => {
                    return Err(out_of_place(request.service.command_field()));
                }
                Ok(Command::Other(request)) => return Err(out_of_place(request.command_field)),
                Err(error) => return Err((error.abort(), error.to_string())),
            }
        }
        Ok(())
    }
}

/// Hands a fragment on. Gives what is to be answered when it was an object's last.
fn fragment_of(
    in_hand: &mut InHand,
    taker: &mut dyn Taker,
    done: &mut Option<Box<Final>>,
    fragment: &[u8],
    is_last: bool,
) -> Result<Option<(StoreRequest, Status)>, Fault> {
    match in_hand {
        InHand::Nothing => {}
        InHand::Identifier(bytes, _) => {
            if bytes.len() + fragment.len() > IDENTIFIER_BYTES_MAX {
                let why = format!("a response with more than {IDENTIFIER_BYTES_MAX} bytes");
                return Err((Abort::USER, why));
            }
            bytes.extend_from_slice(fragment);
        }
        InHand::Object(_) => taker.fragment(fragment),
    }
    if !is_last {
        return Ok(None);
    }
    match std::mem::replace(in_hand, InHand::Nothing) {
        InHand::Nothing => Ok(None),
        InHand::Identifier(bytes, None) => {
            taker.identifier(&bytes).map_err(|why| (Abort::USER, why))?;
            Ok(None)
        }
        // A list of failed UIDs, or nothing that we asked for.
        InHand::Identifier(_, last) => {
            *done = last;
            Ok(None)
        }
        InHand::Object(request) => Ok(Some((request, taker.object_end()))),
    }
}

fn out_of_place(field: u16) -> Fault {
    (Abort::USER, format!("{} where a response was due", command_name(field)))
}

impl Requestor {
    /// Does one C-FIND, C-MOVE or C-GET: sends the request with `identifier`, and hands what comes to
    /// `taker` until the final response.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoContext`], and the peer's faults; the association is of no more use then.
    pub fn operate(
        &mut self,
        service: QueryService,
        context_id: u8,
        destination: Option<AeTitle>,
        identifier: &[u8],
        taker: &mut dyn Taker,
    ) -> Result<Final, ClientError> {
        let class = self
            .contexts
            .iter()
            .find(|context| context.id == context_id && context.transfer_syntax.is_some())
            .ok_or(ClientError::NoContext)?
            .abstract_syntax;
        let message_id = self.take_message_id();
        let request = QueryRequest {
            service,
            message_id,
            affected_sop_class_uid: Some(class.text()),
            priority: Some(Priority::Medium),
            move_destination: destination,
            data_set_type: DataSetType::Present,
        };
        let mut out = Vec::with_capacity(512 + identifier.len());
        append_command(&mut out, &self.fragmenter, context_id, |out| request.encode(out));
        self.fragmenter.append(&mut out, context_id, FragmentKind::DataSet, identifier);
        self.connection.write(&out)?;
        out.clear();
        let accepted = self.contexts.iter().filter(|context| context.transfer_syntax.is_some());
        let mut operation = Operation {
            assembler: MessageAssembler::new(accepted.map(|context| context.id).collect()),
            fragmenter: self.fragmenter,
            service,
            message_id,
            in_hand: InHand::Nothing,
            has_moved: false,
            sub_operations_done: 0,
            out,
            done: None,
            taker,
        };
        let patience = self.dimse_timeout.or(self.socket_timeout);
        let mut deadline = patience.map(|timeout| Instant::now() + timeout);
        loop {
            let received = self.ul.receive(self.buffer.unread());
            let (consumed, reaction) = (received.consumed, received.reaction);
            let outcome = match received.indication {
                Indication::NeedMore { total_bytes } => {
                    // Looked at before every read, so that a peer that drips does not live for ever.
                    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return Err(self.given_up(ReadEnd::TimedOut));
                    }
                    let space = self.buffer.space(total_bytes);
                    match self.connection.read(space, deadline, None) {
                        Ok(count) => self.buffer.filled(count),
                        Err(end) => return Err(self.given_up(end)),
                    }
                    continue;
                }
                Indication::Data(body) => operation.take(body),
                Indication::PeerAbort(abort) => return Err(ClientError::PeerAborted(abort)),
                Indication::ReleaseRequest { .. } => {
                    let reply = self.ul.release_reply().ok().and_then(|reaction| reaction.send);
                    if let Some(pdu) = reply {
                        let _ = self.connection.write(&pdu);
                    }
                    return Err(ClientError::PeerReleased);
                }
                Indication::Fault(fault) => {
                    if let Some(pdu) = reaction.send {
                        let _ = self.connection.write(&pdu);
                    }
                    return Err(ClientError::Protocol(fault.to_string()));
                }
                _ => return Err(ClientError::PeerGone(None)),
            };
            // The clock is asked once a PDU, and a large object is silence only between its PDUs.
            if std::mem::take(&mut operation.has_moved) {
                deadline = patience.map(|timeout| Instant::now() + timeout);
            }
            if let Err((abort, what)) = outcome {
                self.abort_with(abort);
                return Err(ClientError::Protocol(what));
            }
            self.buffer.consume(consumed);
            if !operation.out.is_empty() {
                self.connection.write(&operation.out)?;
                operation.out.clear();
            }
            if let Some(last) = operation.done.take() {
                return Ok(*last);
            }
        }
    }
}
