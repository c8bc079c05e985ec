//! Requests with many responses: C-FIND, C-MOVE and C-GET, and C-CANCEL for them.
//!
//! Source: PS3.7 §9.1.2 to §9.1.4, §9.3.2 to §9.3.4; PS3.4 Annex C. [`Inbox`] joins the peer's PDVs to
//! responses with their identifiers, bounded by `IDENTIFIER_BYTES_MAX`; several may come in one PDU.
//! Statuses are not judged here: what a pending or a final one means is the caller's. A response of
//! another message ID or service is a fault of the peer's, and aborted. Called by the query tools
//! through `dcmfast._rust`.

use std::collections::VecDeque;

use super::{Awaited, ClientError, Requestor};
use crate::ae_title::AeTitle;
use crate::dimse::message::{MessageAssembler, MessageError, Step, append_command};
use crate::dimse::service::{
    CancelRequest, Command, DataSetType, QueryRequest, QueryService, Response, StoreRequest,
    SubOperations, command_field, command_name,
};
use crate::dimse::status::{Status, StatusClass};
use crate::limits::IDENTIFIER_BYTES_MAX;
use crate::uid::UidText;
use crate::ul::pdu::Abort;
use crate::ul::pdv::{ContextIds, FragmentKind, Fragmenter, Pdv, split_first};

/// What is done with data sets that responses announce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseData {
    /// None are allowed: C-ECHO and C-STORE.
    #[default]
    Refused,
    /// Each is read: C-FIND, and C-MOVE and C-GET with `--pending-read`.
    Read,
    /// That of a pending response may be missing though it is announced (`--pending-ignore`); one
    /// that comes is dropped.
    PendingIgnored,
}

/// A response, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Command field, with the response bit.
    pub(super) command_field: u16,
    /// Message ID being responded to.
    pub(super) responded_to: u16,
    /// The presentation context on which it came.
    pub(super) context_id: u8,
    /// Status.
    pub status: Status,
    /// Sub-operations, of a C-MOVE or C-GET.
    pub sub_operations: Option<SubOperations>,
    /// Error comment, as it came.
    pub error_comment: Option<Vec<u8>>,
    /// The data set, in the transfer syntax of the presentation context.
    pub identifier: Option<Vec<u8>>,
}

impl Reply {
    /// True for the last response to a request.
    pub fn is_final(&self) -> bool {
        self.status.class() != StatusClass::Pending
    }

    /// Says why this is no response to a request of `service`, which has a context and a message ID.
    ///
    /// # Errors
    ///
    /// The fault of the peer's.
    pub(crate) fn is_for(
        &self,
        service: QueryService,
        request: Option<(u8, u16)>,
    ) -> Result<(), String> {
        let Some((context_id, message_id)) = request else {
            return Err(format!("{} that nobody asked for", command_name(self.command_field)));
        };
        self.answers(service.command_field(), context_id, message_id)
    }

    /// Says why this does not answer the request `message_id` of command `request_field`: another
    /// command, message or context, whose transfer syntax would be another, too (PS3.8 §9.3.2.2).
    pub(super) fn answers(
        &self,
        request_field: u16,
        context_id: u8,
        message_id: u16,
    ) -> Result<(), String> {
        if self.command_field != request_field | command_field::RESPONSE_BIT {
            let came = command_name(self.command_field);
            return Err(format!("{came}, where {} was asked", command_name(request_field)));
        }
        if self.responded_to != message_id {
            let other = self.responded_to;
            return Err(format!("response to message {other}, where {message_id} was asked"));
        }
        if self.context_id != context_id {
            let other = self.context_id;
            return Err(format!("response on context {other}, where {context_id} was asked"));
        }
        Ok(())
    }

    pub(crate) fn of(context_id: u8, response: &Response<'_>) -> Self {
        Self {
            context_id,
            command_field: response.command_field,
            responded_to: response.message_id_being_responded_to,
            status: response.status,
            sub_operations: response.sub_operations,
            error_comment: response.error_comment.map(<[u8]>::to_vec),
            identifier: None,
        }
    }
}

/// Takes the objects of a C-GET as they come, and says how each is answered; none is held.
pub trait Objects {
    /// An object begins.
    fn object(&mut self, context_id: u8, request: &StoreRequest);
    /// The next bytes of its data set.
    fn fragment(&mut self, bytes: &[u8]);
    /// The object is complete; gives the status that answers it.
    fn object_end(&mut self) -> Status;
}

/// Objects that may come, and what they are answered with.
pub(super) struct Incoming<'t> {
    pub(super) objects: &'t mut dyn Objects,
    pub(super) fragmenter: Fragmenter,
    /// Responses of ours that wait to be sent.
    pub(super) out: Vec<u8>,
}

/// What a data set on its way belongs to.
#[derive(Debug)]
enum InHand {
    Response(Box<Reply>),
    Object(StoreRequest),
}

/// The messages that come from the peer.
#[derive(Debug)]
pub(super) struct Inbox {
    assembler: MessageAssembler,
    data: ResponseData,
    in_hand: Option<InHand>,
    /// A data set is on its way that nobody wants (`--pending-ignore`).
    is_dropping: bool,
    complete: VecDeque<Box<Reply>>,
    /// Bytes of a data set came since this was taken.
    pub(super) has_moved: bool,
}

impl Inbox {
    pub(super) fn new(contexts: ContextIds) -> Self {
        Self {
            assembler: MessageAssembler::new(contexts),
            data: ResponseData::Refused,
            in_hand: None,
            is_dropping: false,
            complete: VecDeque::new(),
            has_moved: false,
        }
    }

    /// The next complete response.
    pub(super) fn take(&mut self) -> Option<Box<Reply>> {
        self.complete.pop_front()
    }

    /// True when the next complete response is one to `pending`; any other is judged when it is
    /// waited for.
    fn belongs(&self, pending: Pending) -> bool {
        let Pending { service, context_id, message_id } = pending;
        self.complete.front().is_some_and(|reply| {
            reply.answers(service.command_field(), context_id, message_id).is_ok()
        })
    }

    /// Takes the PDVs of one P-DATA-TF; objects go to `incoming`, where there may be some.
    pub(super) fn take_pdvs(
        &mut self,
        mut body: &[u8],
        incoming: &mut Option<Incoming<'_>>,
    ) -> Result<(), (Abort, String)> {
        while !body.is_empty() {
            let (pdv, rest) =
                split_first(body).map_err(|error| (error.abort(), error.to_string()))?;
            body = rest;
            self.take_pdv(pdv, incoming)?;
        }
        Ok(())
    }

    fn take_pdv(
        &mut self,
        pdv: Pdv<'_>,
        incoming: &mut Option<Incoming<'_>>,
    ) -> Result<(), (Abort, String)> {
        if self.is_dropping {
            if !pdv.is_command {
                self.is_dropping = !pdv.is_last;
                return Ok(());
            }
            self.is_dropping = false;
        }
        let reply = match self.assembler.feed(pdv) {
            Ok(Step::Progress) => return Ok(()),
            Ok(Step::DataSet { is_last, .. }) => return self.fragment(pdv, is_last, incoming),
            Ok(Step::Command { context_id, set, data_set_follows }) => match Command::of(&set) {
                Ok(Command::Response(response)) => {
                    (Box::new(Reply::of(context_id, &response)), response.has_data_set)
                }
                Ok(Command::Echo(_)) => return Err(out_of_place(command_field::C_ECHO_RQ)),
                Ok(Command::Store(request)) => {
                    let Some(incoming) = incoming else {
                        return Err(out_of_place(command_field::C_STORE_RQ));
                    };
                    if !data_set_follows {
                        return Err((Abort::USER, "a C-STORE RQ without a data set".into()));
                    }
                    incoming.objects.object(context_id, &request);
                    self.in_hand = Some(InHand::Object(request));
                    return Ok(());
                }
                Ok(Command::Cancel(_)) => return Err(out_of_place(command_field::C_CANCEL_RQ)),
                Ok(Command::Query(request)) => {
                    return Err(out_of_place(request.service.command_field()));
                }
                Ok(Command::Other(request)) => return Err(out_of_place(request.command_field)),
                Err(error) => return Err((error.abort(), error.to_string())),
            },
            Err(error) => return Err(fault(error)),
        };
        match reply {
            (reply, false) => self.complete.push_back(reply),
            (reply, true) => match self.data {
                ResponseData::Refused => {
                    let why = "a data set in a response".into();
                    return Err((Abort::UNEXPECTED_PDU_PARAMETER, why));
                }
                ResponseData::PendingIgnored if reply.status.class() == StatusClass::Pending => {
                    self.assembler.forget_data_set();
                    self.is_dropping = true;
                    self.complete.push_back(reply);
                }
                ResponseData::Read | ResponseData::PendingIgnored => {
                    self.in_hand = Some(InHand::Response(reply));
                }
            },
        }
        Ok(())
    }

    fn fragment(
        &mut self,
        pdv: Pdv<'_>,
        is_last: bool,
        incoming: &mut Option<Incoming<'_>>,
    ) -> Result<(), (Abort, String)> {
        let fragment = pdv.fragment;
        self.has_moved |= !fragment.is_empty();
        // The assembler gives fragments only behind a command that announced them, and an object
        // began with somebody to take it.
        match (&mut self.in_hand, incoming) {
            (Some(InHand::Response(reply)), _) => {
                let identifier = reply.identifier.get_or_insert_default();
                if identifier.len() + fragment.len() > IDENTIFIER_BYTES_MAX {
                    let why = format!("a response with more than {IDENTIFIER_BYTES_MAX} bytes");
                    return Err((Abort::USER, why));
                }
                identifier.extend_from_slice(fragment);
                if is_last {
                    if let Some(InHand::Response(reply)) = self.in_hand.take() {
                        self.complete.push_back(reply);
                    }
                }
            }
            (Some(InHand::Object(request)), Some(Incoming { objects, fragmenter, out })) => {
                objects.fragment(fragment);
                if is_last {
                    let response = request.response(objects.object_end());
                    append_command(out, fragmenter, pdv.context_id, |out| response.encode(out));
                    self.in_hand = None;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn fault(error: MessageError) -> (Abort, String) {
    (error.abort(), error.to_string())
}

fn out_of_place(field: u16) -> (Abort, String) {
    (Abort::USER, format!("{} where a response was due", command_name(field)))
}

/// A request that was sent and has responses to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Which service.
    pub service: QueryService,
    /// Presentation context of the request.
    pub context_id: u8,
    /// Its message ID.
    pub message_id: u16,
}

impl Requestor {
    /// Sends C-FIND, C-MOVE or C-GET with its identifier, encoded in the transfer syntax of the
    /// context.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoContext`], and the connection's.
    pub fn begin_query(
        &mut self,
        service: QueryService,
        context_id: u8,
        destination: Option<AeTitle>,
        identifier: &[u8],
        data: ResponseData,
    ) -> Result<Pending, ClientError> {
        let mut contexts = self.contexts.iter();
        let context = contexts
            .find(|context| context.id == context_id && context.transfer_syntax.is_some())
            .ok_or(ClientError::NoContext)?;
        let class: UidText = context.abstract_syntax.text();
        let (message_id, priority, _) = self.take_manner();
        let request = QueryRequest {
            service,
            message_id,
            affected_sop_class_uid: Some(class),
            priority: Some(priority),
            move_destination: destination,
            data_set_type: DataSetType::Present,
        };
        self.inbox.data = data;
        let mut pdus = Vec::with_capacity(256 + identifier.len());
        append_command(&mut pdus, &self.fragmenter, context_id, |out| request.encode(out));
        self.fragmenter.append(&mut pdus, context_id, FragmentKind::DataSet, identifier);
        self.connection.write(&pdus)?;
        Ok(Pending { service, context_id, message_id })
    }

    /// Waits for the next response to `pending`, and takes those behind it that are here already; after
    /// a final status there is none.
    ///
    /// # Errors
    ///
    /// The peer's faults; the association is of no more use then.
    pub fn next_replies(&mut self, pending: Pending) -> Result<Vec<Reply>, ClientError> {
        let Pending { service, context_id, message_id } = pending;
        let asked = Awaited { request_field: service.command_field(), context_id, message_id };
        let mut replies = vec![*self.reply(asked)?];
        while !replies.last().is_some_and(Reply::is_final) && self.inbox.belongs(pending) {
            replies.extend(self.inbox.take().map(|reply| *reply));
        }
        if replies.last().is_some_and(Reply::is_final) {
            self.inbox.data = ResponseData::Refused;
        }
        Ok(replies)
    }

    /// Sends C-CANCEL for `pending`; its responses go on up to a final one (PS3.7 §9.3.2.3).
    ///
    /// # Errors
    ///
    /// The connection's.
    pub fn cancel(&mut self, pending: Pending) -> Result<(), ClientError> {
        let request = CancelRequest { message_id_being_responded_to: pending.message_id };
        let mut pdu = Vec::with_capacity(128);
        let fragmenter = &self.fragmenter;
        append_command(&mut pdu, fragmenter, pending.context_id, |out| request.encode(out));
        self.connection.write(&pdu)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimse::command_set::{Encoder, Field};

    const CONTEXT: u8 = 1;

    fn inbox(data: ResponseData) -> Inbox {
        let mut inbox = Inbox::new([CONTEXT].into_iter().collect());
        inbox.data = data;
        inbox
    }

    impl Inbox {
        fn take_responses(&mut self, body: &[u8]) -> Result<(), (Abort, String)> {
            self.take_pdvs(body, &mut None)
        }
    }

    fn pdv(is_command: bool, is_last: bool, fragment: &[u8]) -> Vec<u8> {
        let mut out = ((fragment.len() + 2) as u32).to_be_bytes().to_vec();
        out.extend([CONTEXT, u8::from(is_command) | u8::from(is_last) << 1]);
        out.extend(fragment);
        out
    }

    fn response(status: u16, has_data_set: bool) -> Vec<u8> {
        let mut command = Vec::new();
        Encoder::new(&mut command)
            .us(Field::CommandField, 0x8020)
            .us(Field::MessageIdBeingRespondedTo, 7)
            .us(Field::CommandDataSetType, if has_data_set { 1 } else { 0x0101 })
            .us(Field::Status, status)
            .finish();
        pdv(true, true, &command)
    }

    fn taken(inbox: &mut Inbox) -> Vec<(u16, Option<Vec<u8>>)> {
        std::iter::from_fn(|| inbox.take())
            .map(|reply| (reply.status.0, reply.identifier))
            .collect()
    }

    /// Several messages in one PDU, and one message in several.
    #[test]
    fn joined() {
        let mut inbox = inbox(ResponseData::Read);
        let both = [
            response(0xFF00, true),
            pdv(false, false, b"ab"),
            pdv(false, true, b"cd"),
            response(0xFF00, true),
        ];
        inbox.take_responses(&both.concat()).unwrap();
        assert_eq!(taken(&mut inbox), [(0xFF00, Some(b"abcd".to_vec()))]);
        inbox.take_responses(&pdv(false, true, b"")).unwrap();
        inbox.take_responses(&response(0, false)).unwrap();
        assert_eq!(taken(&mut inbox), [(0xFF00, Some(Vec::new())), (0, None)]);
    }

    /// `--pending-ignore`: announced data sets that come or do not; that of the end is read.
    #[test]
    fn data_sets_of_pending_responses() {
        for is_sent in [true, false] {
            let mut inbox = inbox(ResponseData::PendingIgnored);
            for _ in 0..2 {
                inbox.take_responses(&response(0xFF00, true)).unwrap();
                if is_sent {
                    inbox.take_responses(&pdv(false, false, b"x")).unwrap();
                    inbox.take_responses(&pdv(false, true, b"y")).unwrap();
                }
            }
            let end = [response(0xB000, true), pdv(false, true, b"uids")];
            inbox.take_responses(&end.concat()).unwrap();
            let end = (0xB000, Some(b"uids".to_vec()));
            assert_eq!(taken(&mut inbox), [(0xFF00, None), (0xFF00, None), end], "{is_sent}");
        }
        // Nobody announced this one.
        let mut inbox = inbox(ResponseData::PendingIgnored);
        inbox.take_responses(&response(0xFF00, false)).unwrap();
        assert!(inbox.take_responses(&pdv(false, true, b"x")).is_err());
    }

    #[test]
    fn faults() {
        let mut refusing = inbox(ResponseData::Refused);
        assert!(refusing.take_responses(&response(0, true)).is_err());
        let mut reading = inbox(ResponseData::Read);
        assert!(reading.take_responses(&pdv(false, true, b"x")).is_err());
        let mut request = Vec::new();
        Encoder::new(&mut request)
            .us(Field::CommandField, 0x0030)
            .us(Field::MessageId, 1)
            .us(Field::CommandDataSetType, 0x0101)
            .finish();
        let error =
            inbox(ResponseData::Read).take_responses(&pdv(true, true, &request)).unwrap_err();
        assert_eq!(error.1, "C-ECHO RQ where a response was due");
    }

    /// A response as long as an identifier may be, and one byte more.
    #[test]
    fn the_longest_identifier() {
        let half = vec![0; IDENTIFIER_BYTES_MAX / 2];
        for (rest, is_good) in [(half.len(), true), (half.len() + 1, false)] {
            let mut inbox = inbox(ResponseData::Read);
            inbox.take_responses(&response(0xFF00, true)).unwrap();
            inbox.take_responses(&pdv(false, false, &half)).unwrap();
            let taken = inbox.take_responses(&pdv(false, true, &vec![0; rest]));
            assert_eq!(taken.is_ok(), is_good);
        }
    }
}
