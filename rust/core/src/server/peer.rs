//! The association as a running operation sees it: C-FIND, C-MOVE and C-GET.
//!
//! An operation has one message of the peer's and gives many: it queues responses, sends them in
//! few writes, looks between two of them whether the peer has cancelled, and for C-GET sends
//! C-STORE requests of its own and waits for their responses. [`Peer`] is what it may use. While an
//! operation runs the peer may send C-CANCEL and responses only: asynchronous operations are never
//! negotiated (PS3.7 §D.3.3.3), so another request is a fault of the peer's.
//!
//! Every way in which the association can end meanwhile is one value, [`Ended`]: an operation
//! passes it up with `?`, and the loop in `association` finishes what is left to do.
//!
//! Called by `server::{find, retrieve}`.

use std::time::Duration;

use super::areas::OpenArea;
use super::association::{End, Link, Waiting};
use super::conditions::Cause;
use super::narration::Narrator;
use super::store::Exchange;
use crate::acse::negotiation::{AcceptedContext, AcceptedContexts};
use crate::ae_title::AeTitle;
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dimse::message::{Step, append_command};
use crate::dimse::service::{Command, QueryRequest, Response, command_field, command_name};
use crate::dimse::status::Status;
use crate::limits::{CANCEL_LOOK_BYTES_MAX, OPERATION_OUTPUT_BYTES, STOP_GRACE_S};
use crate::net::tcp::{Connection, ReadEnd, SocketAddr, StopFlag};
use crate::ul::pdu::{Abort, PDU_HEADER_BYTES};
use crate::ul::pdv::{FragmentKind, Fragmenter, Pdv, split_first};
use crate::ul::provider::{Indication, Reaction};

/// A C-FIND, C-MOVE or C-GET request with its identifier, complete.
#[derive(Debug)]
pub struct Operation {
    /// The context it came on: information model and transfer syntax of identifiers.
    pub context: AcceptedContext,
    /// The command.
    pub request: QueryRequest,
    /// The identifier, encoded in the context's transfer syntax; at most `IDENTIFIER_BYTES_MAX`.
    pub identifier: Vec<u8>,
}

/// The association ended while an operation ran. Whoever gets it stops and passes it up.
#[derive(Debug)]
pub struct Ended(());

/// The only response that a peer has to give, to a sub-operation of its C-GET.
const C_STORE_RSP: u16 = command_field::C_STORE_RQ | command_field::RESPONSE_BIT;

/// The association as an operation sees it.
pub struct Peer<'p, 's> {
    link: &'p mut Link<'s>,
    exchange: &'p mut Exchange,
    /// Messages that are not sent yet.
    out: Vec<u8>,
    /// The request in hand.
    message_id: u16,
    /// A C-CANCEL-RQ named it.
    is_cancelled: bool,
    /// The C-STORE request of ours that is not answered yet.
    awaited: Option<u16>,
    /// The answer to the last one that was.
    answer: Option<Status>,
    /// The end of the peer's stream does not end the operation.
    outlasts_input: bool,
    is_input_at_end: bool,
    /// Responses to the operation so far.
    responses: u64,
    end: Option<End>,
}

impl<'p, 's> Peer<'p, 's> {
    /// The peer of `link`; `left_over` of the exchange is what came with the request itself.
    pub(super) fn new(
        link: &'p mut Link<'s>,
        exchange: &'p mut Exchange,
        operation: &Operation,
    ) -> Self {
        // The buffer is the response's before; its bytes are sent already.
        let mut out = std::mem::take(&mut exchange.pdu);
        out.clear();
        // Of the message behind the request nothing was looked at.
        exchange.wanted_bytes = PDU_HEADER_BYTES;
        Self {
            link,
            exchange,
            out,
            message_id: operation.request.message_id,
            is_cancelled: false,
            awaited: None,
            answer: None,
            outlasts_input: false,
            is_input_at_end: false,
            responses: 0,
            end: None,
        }
    }

    /// What is left to do when the operation has returned: sends what is queued, and says how the
    /// association ended, if it did.
    pub(super) fn finish(mut self, result: Result<(), Ended>) -> Result<(), End> {
        let sent = result.and_then(|()| self.flush()).and_then(|()| self.take_left_over());
        self.out.clear();
        self.exchange.pdu = self.out;
        match (sent, self.end) {
            (_, Some(end)) => Err(end),
            (Err(Ended(())), None) => Err(End::PeerGone),
            (Ok(()), None) => Ok(()),
        }
    }

    /// The accepted presentation contexts.
    pub fn contexts(&self) -> &AcceptedContexts {
        &self.exchange.contexts
    }

    /// Who asks.
    pub fn calling_ae_title(&self) -> AeTitle {
        self.exchange.calling_ae_title
    }

    /// As whom we are asked.
    pub fn called_ae_title(&self) -> AeTitle {
        self.exchange.called_ae_title
    }

    /// The storage area that is called; the loop lets no operation begin without one.
    pub fn area(&self) -> Option<OpenArea> {
        self.exchange.area.clone()
    }

    /// The peer's address.
    pub fn address(&self) -> SocketAddr {
        self.link.connection.peer()
    }

    /// Raised when the server stops.
    pub fn stop(&self) -> StopFlag {
        self.link.shared.stop.clone()
    }

    /// Says what happens, in DCMTK's words and ours.
    pub fn narrator(&self) -> &Narrator {
        &self.link.narrator
    }

    /// What this server is told to do.
    pub fn service(&self) -> &'s super::Service {
        self.link.service
    }

    /// Connection and fragmenter, for messages whose data set is streamed; [`Peer::flush`] first.
    /// A failed write is told with [`Peer::broken`].
    pub fn wire(&mut self) -> (&mut Connection, &Fragmenter) {
        (&mut self.link.connection, &self.exchange.fragmenter)
    }

    /// The connection broke in a write of the operation's own.
    pub fn broken(&mut self) -> Ended {
        self.ended(End::PeerGone)
    }

    /// Queues one message: a command, and a data set if it has one. What is queued is sent when it
    /// is more than `OPERATION_OUTPUT_BYTES`, by [`Peer::flush`], and at the end of the operation.
    pub fn queue(
        &mut self,
        context_id: u8,
        command: impl FnOnce(&mut Vec<u8>),
        data_set: Option<&[u8]>,
    ) -> Result<(), Ended> {
        let fragmenter = &self.exchange.fragmenter;
        append_command(&mut self.out, fragmenter, context_id, command);
        if let Some(data_set) = data_set {
            fragmenter.append(&mut self.out, context_id, FragmentKind::DataSet, data_set);
        }
        if self.out.len() >= OPERATION_OUTPUT_BYTES { self.flush() } else { Ok(()) }
    }

    /// Queues one response to `operation`, and says so.
    pub fn respond(
        &mut self,
        operation: &Operation,
        response: &Response<'_>,
        identifier: Option<&[u8]>,
    ) -> Result<(), Ended> {
        self.responses += 1;
        let Operation { context, request, .. } = operation;
        let shown = identifier.map(|bytes| (TransferSyntax::of(&context.transfer_syntax), bytes));
        self.narrator().query_response(request.service, self.responses, response, shown);
        self.queue(context.id, |out| response.encode(out), identifier)
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), Ended> {
        if self.out.is_empty() {
            return Ok(());
        }
        let sent = self.link.connection.write(&self.out);
        self.out.clear();
        sent.map_err(|end| {
            self.link.narrator.explain(format_args!("cannot send a response: {end}"));
            self.ended(End::PeerGone)
        })
    }

    /// Sends what is queued and one message more.
    pub fn send(
        &mut self,
        context_id: u8,
        command: impl FnOnce(&mut Vec<u8>),
        data_set: Option<&[u8]>,
    ) -> Result<(), Ended> {
        self.queue(context_id, command, data_set)?;
        self.flush()
    }

    /// Ends the association by A-ABORT, for a fault of the peer's or of ours that has no status.
    pub fn abort(&mut self, abort: Abort, why: &str) -> Ended {
        let titles = Some(self.exchange.titles());
        self.link.tell_failure(&Cause::from(why.to_owned()), titles);
        let end = self.link.abort(abort);
        self.ended(end)
    }

    /// Whoever sends nothing more and still reads is answered to the end: whether it reads is found
    /// out when it is written to.
    pub fn outlast_input(&mut self) {
        self.outlasts_input = true;
    }

    /// Looks, without waiting, whether the peer cancelled the request in hand.
    pub fn is_cancelled(&mut self) -> Result<bool, Ended> {
        self.take_left_over()?;
        self.take_input()?;
        // Whoever sends without end is looked at again after the next portion of answers.
        let mut looked_at = 0;
        while looked_at < CANCEL_LOOK_BYTES_MAX && !self.is_input_at_end {
            let (wanted, link) = (self.exchange.wanted_bytes, &mut *self.link);
            match link.connection.read_now(link.buffer.space(wanted)) {
                Ok(0) => break,
                Ok(count) => {
                    looked_at += count;
                    link.buffer.filled(count);
                }
                Err(ReadEnd::Closed) if self.outlasts_input => self.is_input_at_end = true,
                Err(end) => return Err(self.read_ended(&end)),
            }
            self.take_input()?;
        }
        let patience = Duration::from_secs(u64::from(STOP_GRACE_S) - 1);
        if self.link.shared.stop.is_raised_since(patience) {
            return Err(self.read_ended(&ReadEnd::Stopped));
        }
        Ok(self.is_cancelled)
    }

    /// The C-STORE request `message_id` goes out: from now on it may be answered.
    pub fn await_answer(&mut self, message_id: u16) {
        (self.awaited, self.answer) = (Some(message_id), None);
    }

    /// Waits for the peer's response to the C-STORE request that the operation sent last.
    pub fn store_answer(&mut self) -> Result<Status, Ended> {
        self.flush()?;
        self.take_left_over()?;
        loop {
            self.take_input()?;
            if let Some(status) = self.answer.take() {
                return Ok(status);
            }
            let wanted = self.exchange.wanted_bytes;
            if let Err(end) = self.link.read(wanted, Waiting::RestOfMessage) {
                return Err(self.read_ended(&end));
            }
        }
    }

    fn ended(&mut self, end: End) -> Ended {
        self.end = Some(end);
        Ended(())
    }

    fn read_ended(&mut self, end: &ReadEnd) -> Ended {
        let end = self.link.read_ended(self.exchange, end);
        self.ended(end)
    }

    /// PDVs that came in the PDU of the request, behind it.
    fn take_left_over(&mut self) -> Result<(), Ended> {
        let left_over = std::mem::take(&mut self.exchange.left_over);
        self.take_pdvs(&left_over)
    }

    /// Takes every complete PDU in the buffer.
    fn take_input(&mut self) -> Result<(), Ended> {
        // A PDU that drips is looked at when it is whole, and not copied with every byte.
        if self.link.buffer.unread().len() < self.exchange.wanted_bytes {
            return Ok(());
        }
        // Copied, because the link changes meanwhile: a C-CANCEL or a response is a hundred bytes.
        let unread = self.link.buffer.unread().to_vec();
        let (consumed, result) = self.take_pdus(&unread);
        self.link.buffer.consume(consumed);
        result
    }

    fn take_pdus(&mut self, unread: &[u8]) -> (usize, Result<(), Ended>) {
        let mut consumed = 0;
        let result = loop {
            let received = self.link.ul.receive(&unread[consumed..]);
            consumed += received.consumed;
            if received.consumed > 0 {
                self.link.pdu_begun = None;
            }
            match received.indication {
                Indication::Data(body) => {
                    if let Err(ended) = self.take_pdvs(body) {
                        break Err(ended);
                    }
                }
                Indication::NeedMore { total_bytes } => {
                    self.exchange.wanted_bytes = total_bytes;
                    break Ok(());
                }
                Indication::ReleaseRequest { .. } => {
                    let reaction = self.link.ul.release_reply().unwrap_or(Reaction::NONE);
                    break Err(self.answered(reaction, End::Released));
                }
                Indication::PeerAbort(abort) => {
                    break Err(self.answered(received.reaction, End::PeerAborted(abort)));
                }
                Indication::Fault(fault) => {
                    let titles = Some(self.exchange.titles());
                    self.link.tell_failure(&Cause::of_fault(&fault), titles);
                    break Err(self.answered(received.reaction, End::Aborted));
                }
                _ => break Err(self.answered(received.reaction, End::PeerGone)),
            }
        };
        (consumed, result)
    }

    fn answered(&mut self, reaction: Reaction, end: End) -> Ended {
        let _ = self.link.carry_out(reaction);
        self.ended(end)
    }

    fn take_pdvs(&mut self, mut body: &[u8]) -> Result<(), Ended> {
        while !body.is_empty() {
            let (pdv, rest) = match split_first(body) {
                Ok(split) => split,
                Err(error) => return Err(self.abort(error.abort(), &error.to_string())),
            };
            self.take_pdv(pdv)?;
            body = rest;
        }
        Ok(())
    }

    fn take_pdv(&mut self, pdv: Pdv<'_>) -> Result<(), Ended> {
        let fault = match self.exchange.assembler.feed(pdv) {
            // A response to C-STORE has no data set; one that comes is dropped.
            Ok(Step::Progress | Step::DataSet { .. }) => return Ok(()),
            Ok(Step::Command { set, .. }) => match Command::of(&set) {
                Ok(Command::Cancel(cancel)) => {
                    // One for another request means nothing, and takes nothing back.
                    self.is_cancelled |= cancel.message_id_being_responded_to == self.message_id;
                    return Ok(());
                }
                Ok(Command::Response(response)) if response.command_field != C_STORE_RSP => {
                    let came = command_name(response.command_field);
                    (Abort::USER, format!("{came}, where only C-STORE was asked"))
                }
                Ok(Command::Response(response)) => {
                    let came = response.message_id_being_responded_to;
                    // One is waited for at a time.
                    let why = match self.awaited {
                        Some(sent) if sent == came => {
                            (self.awaited, self.answer) = (None, Some(response.status));
                            return Ok(());
                        }
                        Some(sent) => format!("response to message {came}, where {sent} was sent"),
                        None => "a response that nobody asked for".to_owned(),
                    };
                    (Abort::USER, why)
                }
                Ok(Command::Echo(_)) => busy("C-ECHO RQ"),
                Ok(Command::Store(_)) => busy("C-STORE RQ"),
                Ok(Command::Query(request)) => busy(command_name(request.service.command_field())),
                Ok(Command::Other(request)) => busy(command_name(request.command_field)),
                Err(error) => (error.abort(), error.to_string()),
            },
            Err(error) => (error.abort(), error.to_string()),
        };
        Err(self.abort(fault.0, &fault.1))
    }
}

/// A request in the middle of another one.
fn busy(what: impl std::fmt::Display) -> (Abort, String) {
    let why = format!(
        "{what} while another request is performed, and asynchronous operations were not negotiated"
    );
    (Abort::USER, why)
}
