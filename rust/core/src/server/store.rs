//! Messages of one association: C-ECHO, C-STORE from first fragment to response, and refusals.
//!
//! [`Exchange`] is what an established association remembers between reads; [`Block`] is the work
//! on one block of bytes. Fragments of a data set are collected, borrowed, and go to the file in
//! one vectored write at the end of the block or of the data set. The order is the ordering
//! promise: the file is published (A), nothing is indexed here (B is empty), then the response
//! leaves (C). Every answer's number comes from `answers`. Source: PS3.7 §9.1.1, §9.1.5, §9.3.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::access::{is_for_objects, is_for_query};
use super::answers;
use super::areas::OpenArea;
use super::conditions::{Cause, NOT_RECEIVED};
use super::events::Received;
use super::faults::{Effect, Effects, Ending, Event, pause, time_for};
use super::listener::Shared;
use super::narration::{Narrator, shown_path};
use super::peer::Operation;
use super::{Objects, Service};
use crate::acse::negotiation::AcceptedContexts;
use crate::ae_title::AeTitle;
use crate::archive::receiver::Receiver;
use crate::client::query::Reply;
use crate::dataset::breaks::Break;
use crate::dataset::oddities::Oddities;
use crate::dimse::message::{MessageAssembler, Step, append_command};
use crate::dimse::service::{
    Command, DataSetType, EchoRequest, OtherRequest, QueryRequest, QueryService, Response,
    StoreRequest, command_field, command_name,
};
use crate::dimse::status::{Status, StatusClass};
use crate::limits::IDENTIFIER_BYTES_MAX;
use crate::log::{Level, system_text};
use crate::net::tcp::Connection;
use crate::storage::crash_point::{crash_point, panic_point};
use crate::storage::durability::Operation as IoOperation;
use crate::storage::studies::{Course, Origin};
use crate::storage::writer::{
    Dialect, Duplicate, InstanceRequest, InstanceWriter, StoreError, StoreMode, Stored, StoredStudy,
};
use crate::uid::UidText;
use crate::ul::pdu::{Abort, PDU_HEADER_BYTES};
use crate::ul::pdv::{Fragmenter, Pdv};

/// DCMTK's words for a storage area that cannot be used.
pub(super) const NO_AREA: &str = "000c:0001 Index database error";

/// What one PDV led to.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing that ends the association.
    GoOn,
    /// The association must be aborted, for the reason given.
    Abort(Abort, Cause),
    /// A-ABORT, told already.
    AbortTold(Abort),
    /// The connection ends without a word, as a fault rule says.
    Close,
    /// A response could not be sent.
    PeerGone,
    /// An operation with many answers begins; the loop runs it.
    Operate(Box<Operation>),
    /// The final response to our own C-GET has come.
    Answered,
}

/// What an established association remembers between reads.
pub struct Exchange {
    pub(super) contexts: AcceptedContexts,
    pub(super) assembler: MessageAssembler,
    pub(super) fragmenter: Fragmenter,
    pub(super) calling_ae_title: AeTitle,
    pub(super) called_ae_title: AeTitle,
    /// Whose association it is, for commands; a receiver's.
    pub(super) origin: Option<Origin>,
    /// The association's way through the studies, where these are sorted.
    pub(super) course: Option<Arc<Course>>,
    in_hand: Option<InHand>,
    /// The PDU of a response; kept, so that none is allocated per message.
    pub(super) pdu: Vec<u8>,
    /// The storage area that is called, where there are some and it could be opened.
    pub(super) area: Option<OpenArea>,
    /// Service class application information that was agreed on, by SOP class.
    pub(super) agreed_information: Vec<(UidText, Box<[u8]>)>,
    /// PDVs that came in one PDU with a request that is performed first.
    pub(super) left_over: Vec<u8>,
    /// Length of the PDU at the front of the buffer, as far as it is known.
    pub(super) wanted_bytes: usize,
    /// Bytes a second that are read, by a fault rule on the association.
    pub(super) slow_read: Option<NonZeroU32>,
    /// False where the called application may only be read, or is another's to store to.
    pub(super) may_store: bool,
    /// The C-GET that this association is ours for: its responses are taken here.
    pub(super) asked: Option<Asked>,
}

/// A C-GET of ours, whose objects come over its own association.
pub struct Asked {
    /// Presentation context of the request.
    pub context_id: u8,
    /// Message ID of the request.
    pub message_id: u16,
    /// Responses that came, oldest first.
    pub replies: Vec<Reply>,
}

/// A request whose data set is on its way.
enum InHand {
    /// C-STORE.
    Store(Box<StoreInHand>),
    /// A query or retrieve request, whose identifier is collected up to `IDENTIFIER_BYTES_MAX`.
    Query { operation: Box<Operation>, is_too_long: bool },
    /// A response to our own C-GET, whose identifier comes.
    Reply(Reply),
    /// Anything else: the data set is dropped, then this response is sent.
    Dropped { context_id: u8, response: Response<'static> },
}

/// A C-STORE from its command to its response.
struct StoreInHand {
    request: StoreRequest,
    context_id: u8,
    writer: ObjectWriter,
    /// The first failure; the writer swallows the rest of the data set, then its status is sent.
    failure: Option<StoreError>,
    /// What fault rules make of it.
    effects: Option<Box<Effects>>,
    /// A fragment of the data set has come.
    is_begun: bool,
    /// The name that the file should have, where a command wants to know of a failure, too.
    expected_name: Option<String>,
    /// The file that this one replaces was told before the request was.
    is_replacement_told: bool,
}

/// What takes the bytes of one object.
#[expect(clippy::large_enum_variant, reason = "it lives in the box of its C-STORE")]
enum ObjectWriter {
    /// A file of a receiver's output directory.
    File(InstanceWriter),
    /// A storage area.
    Area(Receiver),
}

impl ObjectWriter {
    fn append(&mut self, fragments: &[&[u8]]) -> Result<(), StoreError> {
        match self {
            Self::File(writer) => writer.append(fragments),
            Self::Area(receiver) => receiver.append(fragments),
        }
    }

    fn take_oddities(&mut self) -> Oddities {
        match self {
            Self::File(writer) => writer.take_oddities(),
            Self::Area(receiver) => receiver.take_oddities(),
        }
    }

    fn break_at_end(&self) -> Option<Break> {
        match self {
            Self::File(writer) => writer.break_at_end(),
            Self::Area(receiver) => receiver.break_at_end(),
        }
    }

    fn path_without_uids(&self) -> Option<PathBuf> {
        match self {
            Self::File(writer) => writer.path_without_uids(),
            Self::Area(_) => None,
        }
    }

    fn finish(self) -> Result<Stored, StoreError> {
        match self {
            Self::File(writer) => writer.finish(),
            Self::Area(receiver) => receiver.finish(),
        }
    }
}

impl Exchange {
    /// The state of a fresh association; `titles` are the calling and the called one.
    pub fn new(
        contexts: AcceptedContexts,
        fragmenter: Fragmenter,
        titles: (AeTitle, AeTitle),
        area: Option<OpenArea>,
    ) -> Self {
        let assembler = MessageAssembler::new(contexts.ids());
        Self {
            contexts,
            assembler,
            fragmenter,
            calling_ae_title: titles.0,
            called_ae_title: titles.1,
            origin: None,
            course: None,
            in_hand: None,
            pdu: Vec::new(),
            area,
            agreed_information: Vec::new(),
            left_over: Vec::new(),
            wanted_bytes: PDU_HEADER_BYTES,
            slow_read: None,
            may_store: true,
            asked: None,
        }
    }

    /// True while a fault rule has the peer's bytes read slowly: what is late then is not its
    /// fault.
    pub fn is_slow(&self) -> bool {
        let is_store_slow = match &self.in_hand {
            Some(InHand::Store(store)) => {
                store.effects.as_ref().is_some_and(|one| one.slow_read.is_some())
            }
            _ => false,
        };
        is_store_slow || self.slow_read.is_some()
    }

    /// True between messages.
    pub fn is_idle(&self) -> bool {
        self.in_hand.is_none() && self.assembler.is_between_messages()
    }

    /// True while an object comes.
    pub fn is_storing(&self) -> bool {
        matches!(self.in_hand, Some(InHand::Store(_)))
    }

    /// The association has ended.
    pub fn end(&mut self, service: &Service) {
        let ended = self.course.take().and_then(|course| course.end(Instant::now()));
        if let (Some(ended), Some(events)) = (ended, &service.events) {
            events.study_ended(&ended, ended.origin);
        }
    }

    /// Begins the work on one block of bytes.
    pub fn block<'x, 'b>(
        &'x mut self,
        shared: &'x Shared,
        service: &'x Service,
        narrator: &'x Narrator,
        connection: &'x mut Connection,
    ) -> Block<'x, 'b> {
        Block { exchange: self, shared, service, narrator, connection, fragments: Vec::new() }
    }

    /// Who called whom.
    pub fn titles(&self) -> (&AeTitle, &AeTitle) {
        (&self.calling_ae_title, &self.called_ae_title)
    }

    /// The association ends in the middle of a message, for a reason that DCMTK numbers: says so, and
    /// forgets the object.
    pub fn tell_cut(&mut self, narrator: &Narrator, condition: &str) {
        if let Some(InHand::Store(mut store)) = self.in_hand.take() {
            narrator.progress_end();
            narrator.oddities(&store.writer.take_oddities());
            narrator.store_broken(store.context_id, condition);
        }
    }
}

/// How a fault rule ends an association.
fn ended(ending: Ending) -> Outcome {
    match ending {
        Ending::Abort => Outcome::Abort(Abort::USER, "a fault rule says so".into()),
        Ending::Close | Ending::Truncate | Ending::Status(_) | Ending::Reject(_) => Outcome::Close,
    }
}

/// A request that is answered here; owns what it needs.
enum Request {
    Echo(EchoRequest),
    Store(StoreRequest),
    Query(QueryRequest),
    Other(OtherRequest),
}

impl Request {
    const fn field(&self) -> u16 {
        match self {
            Self::Echo(_) => command_field::C_ECHO_RQ,
            Self::Store(_) => command_field::C_STORE_RQ,
            Self::Query(request) => request.service.command_field(),
            Self::Other(request) => request.command_field,
        }
    }
}

/// The work on one block of received bytes.
pub struct Block<'x, 'b> {
    exchange: &'x mut Exchange,
    shared: &'x Shared,
    service: &'x Service,
    narrator: &'x Narrator,
    connection: &'x mut Connection,
    /// Fragments of the data set in hand that are not in the file yet.
    fragments: Vec<&'b [u8]>,
}

impl<'b> Block<'_, 'b> {
    /// Takes one PDV.
    pub fn accept(&mut self, pdv: Pdv<'b>) -> Outcome {
        let (context_id, command) = match self.exchange.assembler.feed(pdv) {
            Ok(Step::Progress) => return Outcome::GoOn,
            Ok(Step::DataSet { is_last, .. }) => {
                if let Some(outcome) = self.fault_at_fragment(pdv.fragment.len()) {
                    return outcome;
                }
                if matches!(self.exchange.in_hand, Some(InHand::Reply(_))) {
                    return self.take_identifier(pdv.fragment, is_last);
                }
                self.fragments.push(pdv.fragment);
                return if is_last { self.complete() } else { Outcome::GoOn };
            }
            Ok(Step::Command { context_id, set, .. }) => match Command::of(&set) {
                Ok(Command::Response(response)) => {
                    let reply = Reply::of(context_id, &response);
                    let has_data_set = response.has_data_set;
                    return self.take_reply(reply, has_data_set);
                }
                Ok(Command::Echo(request)) => (context_id, Request::Echo(request)),
                Ok(Command::Store(request)) => (context_id, Request::Store(request)),
                Ok(Command::Query(request)) => (context_id, Request::Query(request)),
                // PS3.7 §9.3.2.3: a C-CANCEL for nothing that runs means nothing.
                Ok(Command::Cancel(_)) => return Outcome::GoOn,
                Ok(Command::Other(request)) => (context_id, Request::Other(request)),
                Err(error) => return Outcome::Abort(error.abort(), Cause::of_command(&error)),
            },
            Err(error) => return Outcome::Abort(error.abort(), Cause::of_message(&error)),
        };
        if self.exchange.asked.is_some() && !matches!(command, Request::Store(_)) {
            // Who answers our C-GET has nothing to ask; requests without end would hold us for ever.
            let what = command_name(command.field());
            let why = format!("{what} where a response was due");
            return Outcome::Abort(Abort::USER, why.into());
        }
        // As DCMTK 3.6.7: the association is accepted, and ended by its first command.
        if matches!(self.service.objects, Objects::Areas(_)) && self.exchange.area.is_none() {
            return Outcome::Abort(Abort::USER, NO_AREA.into());
        }
        match command {
            Request::Echo(request) => self.echo(context_id, &request),
            Request::Store(request) => self.begin_store(context_id, request),
            Request::Query(request) => self.begin_query(context_id, request),
            Request::Other(request) => {
                let response = request.response(Status::UNRECOGNIZED_OPERATION);
                self.refuse(context_id, request.command_field, response, request.data_set_type)
            }
        }
    }

    fn replied(&mut self, reply: Reply) -> Outcome {
        self.narrator.get_response(&reply);
        let is_final = reply.is_final();
        if let Some(asked) = &mut self.exchange.asked {
            asked.replies.push(reply);
        }
        if is_final { Outcome::Answered } else { Outcome::GoOn }
    }

    /// A response: to our own C-GET, or one that nobody asked for.
    fn take_reply(&mut self, reply: Reply, has_data_set: bool) -> Outcome {
        let asked = self.exchange.asked.as_ref();
        let request = asked.map(|asked| (asked.context_id, asked.message_id));
        if let Err(why) = reply.is_for(QueryService::Get, request) {
            return Outcome::Abort(Abort::USER, why.into());
        }
        if !has_data_set {
            return self.replied(reply);
        }
        self.exchange.in_hand = Some(InHand::Reply(reply));
        Outcome::GoOn
    }

    /// A fragment of a response's identifier. One beyond the bound is not read to its end, which may
    /// never come.
    fn take_identifier(&mut self, fragment: &[u8], is_last: bool) -> Outcome {
        let Some(InHand::Reply(reply)) = &mut self.exchange.in_hand else { return Outcome::GoOn };
        let identifier = reply.identifier.get_or_insert_default();
        if identifier.len() + fragment.len() > IDENTIFIER_BYTES_MAX {
            let why = format!("a response with more than {IDENTIFIER_BYTES_MAX} bytes");
            return Outcome::Abort(Abort::USER, why.into());
        }
        identifier.extend_from_slice(fragment);
        match self.exchange.in_hand.take_if(|_| is_last) {
            Some(InHand::Reply(reply)) => self.replied(reply),
            _ => Outcome::GoOn,
        }
    }

    /// Hands the collected fragments to the store.
    pub fn flush(&mut self) {
        match &mut self.exchange.in_hand {
            Some(InHand::Store(store)) => {
                self.narrator.progress_dots(self.fragments.len());
                if store.failure.is_none() {
                    let bytes: usize = self.fragments.iter().map(|fragment| fragment.len()).sum();
                    self.shared.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                }
                if !self.fragments.is_empty() {
                    let appended = store.writer.append(&self.fragments);
                    store.failure = store.failure.take().or(appended.err());
                }
            }
            Some(InHand::Query { operation, is_too_long }) => {
                for fragment in &self.fragments {
                    *is_too_long |=
                        operation.identifier.len() + fragment.len() > IDENTIFIER_BYTES_MAX;
                    if !*is_too_long {
                        operation.identifier.extend_from_slice(fragment);
                    }
                }
            }
            Some(InHand::Reply(_) | InHand::Dropped { .. }) | None => {}
        }
        self.fragments.clear();
    }

    fn echo(&mut self, context_id: u8, request: &EchoRequest) -> Outcome {
        self.narrator.echo_request(context_id, request.message_id);
        let effects = self.effects(Event::Echo, None).unwrap_or_default();
        pause(&self.shared.stop, effects.response.delay);
        let status = match effects.response.ending {
            Some(Ending::Status(status)) => status,
            Some(Ending::Truncate) | None => Status::SUCCESS,
            Some(ending) => return ended(ending),
        };
        self.narrator.response(None, context_id, request.message_id, status);
        let response = request.response(status);
        if effects.response.ending == Some(Ending::Truncate) {
            return self.send_half(context_id, &response);
        }
        if let Some(course) = &self.exchange.course {
            course.message_ends(Instant::now());
        }
        match self.answer_now_or_later(context_id, response, request.data_set_type) {
            Outcome::GoOn => {
                self.narrator.echo_answered();
                self.fault_behind_response(effects.next)
            }
            outcome => outcome,
        }
    }

    /// What fault rules make of a request; `None` of nearly all.
    fn effects(&self, event: Event, sop_class: Option<UidText>) -> Option<Box<Effects>> {
        let faults = self.service.faults.as_ref()?;
        let calling = &self.exchange.calling_ae_title;
        let (effects, fired) = faults.effects(event, calling, |uid| sop_class == Some(uid));
        self.narrator.fault(event, &fired);
        (effects != Effects::default()).then(|| Box::new(effects))
    }

    /// A fragment of a data set came: fault rules may delay it, or end the association at the
    /// first.
    fn fault_at_fragment(&mut self, bytes: usize) -> Option<Outcome> {
        let Some(InHand::Store(store)) = &mut self.exchange.in_hand else { return None };
        let effects = *store.effects.as_deref()?;
        let is_first = !std::mem::replace(&mut store.is_begun, true);
        // Nothing more is read meanwhile, and the peer's network is full soon.
        let slowed = effects.slow_read.map_or(Duration::ZERO, |pace| time_for(bytes, pace));
        pause(&self.shared.stop, effects.fragment + slowed);
        if !is_first {
            return None;
        }
        pause(&self.shared.stop, effects.data.delay);
        let ending = effects.data.ending?;
        self.exchange.in_hand = None;
        Some(self.end_store(ending, effects.is_dial))
    }

    /// A C-STORE is not answered, and its association ends.
    fn end_store(&self, ending: Ending, is_dial: bool) -> Outcome {
        self.narrator.progress_end();
        if is_dial && ending == Ending::Abort {
            self.narrator.abort_asked_for();
            return Outcome::AbortTold(Abort::USER);
        }
        ended(ending)
    }

    fn fault_behind_response(&self, effect: Effect) -> Outcome {
        pause(&self.shared.stop, effect.delay);
        effect.ending.map_or(Outcome::GoOn, ended)
    }

    /// A command that this server does not perform: 0211H, and the association lives.
    fn refuse(
        &mut self,
        context_id: u8,
        command_field: u16,
        response: Response<'static>,
        data_set_type: DataSetType,
    ) -> Outcome {
        self.narrator.unexpected_command(command_field);
        self.answer_now_or_later(context_id, response, data_set_type)
    }

    /// C-FIND, C-MOVE or C-GET: its identifier follows.
    fn begin_query(&mut self, context_id: u8, request: QueryRequest) -> Outcome {
        if matches!(self.service.objects, Objects::Directory(_)) {
            let response = request.response(Status::UNRECOGNIZED_OPERATION, false);
            let field = request.service.command_field();
            return self.refuse(context_id, field, response, request.data_set_type);
        }
        self.narrator.query_request(&request);
        if !request.data_set_type.is_present() {
            let service = request.service.text();
            self.narrator.complain(format_args!("C-{service} refused: it has no identifier"));
            let response = request.response(Status::CANNOT_UNDERSTAND, false);
            return self.answer_now_or_later(context_id, response, request.data_set_type);
        }
        let Some(context) = self.exchange.contexts.get(context_id) else {
            return Outcome::Abort(Abort::INVALID_PDU_PARAMETER, "context not accepted".into());
        };
        if !is_for_query(context, request.service) {
            let (name, class) = (request.service.text(), &context.abstract_syntax);
            self.narrator.complain(format_args!(
                "C-{} refused: it came over a context for {class}",
                name.to_ascii_uppercase()
            ));
            let response = request.response(Status::SOP_CLASS_NOT_SUPPORTED, false);
            return self.answer_now_or_later(context_id, response, request.data_set_type);
        }
        let operation = Operation { context: *context, request, identifier: Vec::new() };
        let operation = Box::new(operation);
        self.exchange.in_hand = Some(InHand::Query { operation, is_too_long: false });
        Outcome::GoOn
    }

    /// Sends `response`, after the data set that the request announced, if any.
    fn answer_now_or_later(
        &mut self,
        context_id: u8,
        response: Response<'static>,
        data_set_type: DataSetType,
    ) -> Outcome {
        if data_set_type.is_present() {
            self.exchange.in_hand = Some(InHand::Dropped { context_id, response });
            return Outcome::GoOn;
        }
        self.send(context_id, &response)
    }

    fn begin_store(&mut self, context_id: u8, request: StoreRequest) -> Outcome {
        let (class, instance) = (request.affected_sop_class_uid, request.affected_sop_instance_uid);
        let (Some(class), Some(instance), DataSetType::Present) =
            (class, instance, request.data_set_type)
        else {
            let what = request.missing_argument().unwrap_or("an argument");
            self.narrator.complain(format_args!("C-STORE refused: {what} is missing"));
            let response = request.response(answers::incomplete_store(&request));
            return self.answer_now_or_later(context_id, response, request.data_set_type);
        };
        let is_replacement_told = self.tell_replacement(context_id, class, instance);
        self.narrator.store_request(
            context_id,
            request.message_id,
            class.as_bytes(),
            instance.as_bytes(),
            request.priority.unwrap_or_default(),
        );
        // The assembler lets only accepted contexts pass.
        let Some(context) = self.exchange.contexts.get(context_id) else {
            return Outcome::Abort(Abort::INVALID_PDU_PARAMETER, "context not accepted".into());
        };
        // DCMTK stores over any context, and so past the rights of a title that may only be read.
        let why = match (self.exchange.may_store, is_for_objects(context)) {
            (true, true) => None,
            (false, _) => Some("this association was not given the right to store"),
            (true, false) => Some("its presentation context is not for storage"),
        };
        if let Some(why) = why {
            self.narrator.complain(format_args!("C-STORE refused: {why}"));
            let response = request.response(Status::SOP_CLASS_NOT_SUPPORTED);
            return self.answer_now_or_later(context_id, response, request.data_set_type);
        }
        // DIFFERENCES.md C11: DCMTK stores what came over another storage class's context, and so do
        // we.
        if class != context.abstract_syntax.text() {
            self.narrator.explain(format_args!(
                "SOP class {class:?} came over a context for {}",
                context.abstract_syntax
            ));
        }
        self.narrator.progress_begin();
        let instance_request = InstanceRequest {
            sop_class: class,
            sop_instance: instance,
            transfer_syntax: context.transfer_syntax,
            calling_ae_title: self.exchange.calling_ae_title,
        };
        let mut expected_name = None;
        let writer = match &self.service.objects {
            Objects::Directory(store) => {
                if let Some(course) = &self.exchange.course {
                    course.message_begins(Instant::now());
                }
                let writer = store.begin_in(&instance_request, self.exchange.course.clone());
                let events = self.service.events.as_ref();
                if events.is_some_and(|events| events.wants_receptions()) {
                    expected_name = Some(writer.expected_name());
                }
                ObjectWriter::File(writer)
            }
            Objects::Areas(_) => match &self.exchange.area {
                Some(open) => ObjectWriter::Area(open.area.begin(&instance_request)),
                None => return Outcome::Abort(Abort::USER, NO_AREA.into()),
            },
        };
        let effects = self.effects(Event::Store, Some(class));
        if let Some(effects) = &effects {
            pause(&self.shared.stop, effects.fragment);
        }
        let store = StoreInHand {
            request,
            context_id,
            writer,
            failure: None,
            expected_name,
            effects,
            is_begun: false,
            is_replacement_told,
        };
        self.exchange.in_hand = Some(InHand::Store(Box::new(store)));
        Outcome::GoOn
    }

    /// The last fragment has come: store, then answer.
    fn complete(&mut self) -> Outcome {
        self.flush();
        match self.exchange.in_hand.take() {
            Some(InHand::Store(store)) => self.finish_store(*store),
            Some(InHand::Query { operation, is_too_long: false }) => Outcome::Operate(operation),
            Some(InHand::Query { operation, is_too_long: true }) => {
                self.narrator.complain(format_args!(
                    "identifier refused: more than {IDENTIFIER_BYTES_MAX} bytes"
                ));
                let response = operation.request.response(Status::OUT_OF_RESOURCES, false);
                self.send(operation.context.id, &response)
            }
            Some(InHand::Reply(reply)) => self.replied(reply),
            Some(InHand::Dropped { context_id, response }) => self.send(context_id, &response),
            None => Outcome::GoOn,
        }
    }

    fn finish_store(&mut self, store: StoreInHand) -> Outcome {
        panic_point("store");
        let StoreInHand {
            request,
            context_id,
            mut writer,
            failure,
            expected_name,
            effects,
            is_replacement_told,
            ..
        } = store;
        let effects = effects.map_or_else(Effects::default, |effects| *effects);
        pause(&self.shared.stop, effects.fragment);
        let status_asked_for = match effects.response.ending {
            Some(Ending::Status(status)) => Some(status),
            Some(Ending::Truncate) | None => None,
            Some(ending) => {
                // Nothing is kept of an object that is not answered for.
                drop(writer);
                pause(&self.shared.stop, effects.response.delay);
                return self.end_store(ending, effects.is_dial);
            }
        };
        self.narrator.progress_end();
        self.narrator.store_received(context_id, &request, self.service.mode);
        let is_refused = |status: &Status| {
            !matches!(status.class(), StatusClass::Success | StatusClass::Warning)
        };
        if let Some(status) = status_asked_for.filter(is_refused) {
            drop(writer);
            self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            let stored = (None, expected_name);
            return self.answer_store(&request, context_id, status, &effects, stored);
        }
        let oddities = writer.take_oddities();
        self.narrator.oddities(&oddities);
        let (broken, path) = (writer.break_at_end(), writer.path_without_uids());
        let result = match failure {
            Some(error) => Err(error),
            None => writer.finish(),
        };
        if let Err(error) = &result {
            self.tell_broken(context_id, error, broken, path.as_deref());
        }
        let (dialect, mode) = (self.service.dialect, self.service.mode);
        let counters = &self.shared.counters;
        let mut aborts = false;
        let status = match &result {
            Ok(stored) => {
                counters.stored.fetch_add(1, Ordering::Relaxed);
                self.tell_stored(stored, mode, is_replacement_told, oddities.is_empty());
                Status::SUCCESS
            }
            Err(error) => {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                self.tell_failure(error);
                aborts = answers::aborts_after(dialect, mode, error);
                answers::store_status(dialect, error)
            }
        };
        // A status that a rule asks for takes the place of success only.
        let status = status_asked_for.filter(|_| result.is_ok()).unwrap_or(status);
        let stored = (result.as_ref().ok(), expected_name);
        match self.answer_store(&request, context_id, status, &effects, stored) {
            Outcome::GoOn if aborts => {
                Outcome::Abort(Abort::USER, "the object could not be written".into())
            }
            outcome => outcome,
        }
    }

    fn answer_store(
        &mut self,
        request: &StoreRequest,
        context_id: u8,
        status: Status,
        effects: &Effects,
        (stored, expected_name): (Option<&Stored>, Option<String>),
    ) -> Outcome {
        pause(&self.shared.stop, effects.response.delay);
        let uids = (request.affected_sop_class_uid, request.affected_sop_instance_uid);
        self.narrator.response(Some(uids), context_id, request.message_id, status);
        let response = request.response(status);
        if effects.response.ending == Some(Ending::Truncate) {
            let outcome = self.send_half(context_id, &response);
            self.run_events(stored, None);
            return outcome;
        }
        crash_point("before_response");
        let outcome = self.send(context_id, &response);
        crash_point("after_response");
        let is_answered = matches!(outcome, Outcome::GoOn);
        self.run_events(stored, expected_name.filter(|_| is_answered));
        match outcome {
            Outcome::GoOn => self.fault_behind_response(effects.next),
            outcome => outcome,
        }
    }

    /// What follows a response: the object's command, if it is told of, then the ends of studies.
    fn run_events(&self, stored: Option<&Stored>, expected_name: Option<String>) {
        let course = self.exchange.course.as_ref();
        let study = stored.and_then(|stored| stored.study.as_ref());
        if let (Some(events), Some(origin)) = (&self.service.events, self.exchange.origin) {
            if let Some(expected_name) = expected_name {
                let file_name = stored.map_or(expected_name, |stored| stored.file_name.clone());
                let directory = match (study, &self.service.objects) {
                    (Some(study), _) => study.folder.clone(),
                    (None, Objects::Directory(store)) => {
                        let folder = course.and_then(|course| course.current_folder());
                        match folder {
                            Some(folder) => store.path_of_folder(&folder),
                            None => store.options().directory.clone(),
                        }
                    }
                    (None, Objects::Areas(_)) => return,
                };
                events.received(Received { directory, file_name }, origin);
            }
            for ended in study.iter().flat_map(|study| &study.ended) {
                events.study_ended(ended, origin);
            }
        }
        if let Some(course) = course {
            course.message_ends(Instant::now());
        }
    }

    /// DCMTK's dcmrecv looks under `+B` for a file of that name before it says what was asked for. Where
    /// its line is not shown the order of the two is not, either.
    fn tell_replacement(&self, context_id: u8, class: UidText, instance: UidText) -> bool {
        let is_shown = self.service.dialect == Dialect::Dcmrecv
            && self.service.mode == StoreMode::BitPreserving
            && self.narrator.enabled(Level::Info);
        let (Objects::Directory(store), true) = (&self.service.objects, is_shown) else {
            return false;
        };
        let Some(context) = self.exchange.contexts.get(context_id) else { return false };
        let writer = store.begin(&InstanceRequest {
            sop_class: class,
            sop_instance: instance,
            transfer_syntax: context.transfer_syntax,
            calling_ae_title: self.exchange.calling_ae_title,
        });
        let path = store.path_of_folder(&writer.expected_name());
        let is_there = path.symlink_metadata().is_ok();
        if is_there {
            self.narrator.overwriting(&self.shown(&path, false).display(), true);
        }
        is_there
    }

    fn tell_study(&self, study: &StoredStudy) {
        let begun = study.begun.as_ref();
        let of_folder = begun.and_then(|begun| begun.warning.as_ref());
        for warning in study.patient_warning.iter().chain(of_folder) {
            self.narrator.study_warning(warning);
        }
        let Some(begun) = begun else { return };
        self.narrator.study_folder(&study.folder.display(), begun.is_new);
    }

    /// What is odd and has no line of DCMTK's is told if `nothing_is_told` about it yet.
    fn tell_stored(
        &self,
        stored: &Stored,
        mode: StoreMode,
        is_replacement_told: bool,
        nothing_is_told: bool,
    ) {
        let Some(path) = &stored.path else { return self.narrator.not_stored() };
        if let Some(study) = &stored.study {
            self.tell_study(study);
        }
        if let Some(warning) = &stored.name_warning {
            self.narrator.warn(format_args!("{warning}"));
        }
        let path = self.shown(path, false);
        let path = path.display();
        self.narrator.named(&path, mode);
        if mode == StoreMode::Normal {
            self.narrator.storing(&path);
        }
        match stored.duplicate {
            Duplicate::None => {}
            Duplicate::Replaced | Duplicate::Identical if is_replacement_told => {}
            Duplicate::Replaced | Duplicate::Identical => {
                self.narrator.overwriting(&path, mode == StoreMode::BitPreserving);
            }
            Duplicate::Kept => self.narrator.warn(format_args!(
                "another object is stored as {path} and stays (--duplicate keep)"
            )),
        }
        if nothing_is_told && !stored.scan_warnings.is_empty() {
            self.narrator.explain(format_args!("{path}: {}", stored.scan_warnings));
        }
        self.narrator.stored(&path);
    }

    /// `path` as a line at this level shows it.
    fn shown<'p>(&self, path: &'p Path, is_folder: bool) -> Cow<'p, Path> {
        match &self.service.objects {
            Objects::Directory(store) => shown_path(store, &self.service.logger, path, is_folder),
            Objects::Areas(_) => Cow::Borrowed(path),
        }
    }

    /// DCMTK's lines about a data set that is broken, empty or without UIDs, which would be stored as
    /// `path`. It ends the association where it can read no further.
    fn tell_broken(
        &self,
        context_id: u8,
        error: &StoreError,
        broken: Option<Break>,
        path: Option<&Path>,
    ) {
        let is_broken = matches!(error, StoreError::Scan(_));
        if let Some(broken) = broken.filter(|_| is_broken) {
            let Exchange { calling_ae_title, called_ae_title, .. } = &*self.exchange;
            self.narrator.broken(broken, calling_ae_title, called_ae_title);
            if broken.reason().is_some() {
                return self.narrator.store_broken(context_id, NOT_RECEIVED);
            }
        }
        let is_empty = matches!(error, StoreError::Empty);
        let lacks_uids = is_empty || matches!(error, StoreError::MissingUid(_));
        if let Some(path) = path.filter(|_| lacks_uids) {
            self.narrator.without_uids(&path.display(), is_empty);
        }
    }

    fn tell_failure(&self, error: &StoreError) {
        match error {
            StoreError::Io(failure) if failure.operation == IoOperation::MakeDirectory => {
                self.narrator.cannot_create_directory(
                    &failure.path.display(),
                    &system_text(&failure.source),
                );
            }
            StoreError::StudyFolder(failure) => {
                self.narrator.cannot_create_study_folder(
                    &self.shown(&failure.path, true).display(),
                    &system_text(&failure.source),
                );
            }
            StoreError::MissingStudyUid => self.narrator.no_study(error),
            StoreError::Io(failure) => {
                let path = self.shown(&failure.path, false);
                self.narrator.cannot_write(&path.display(), &system_text(&failure.source));
            }
            error => self.narrator.complain(format_args!("object refused: {error}")),
        }
    }

    /// Sends half of a response, and ends the connection (a fault).
    fn send_half(&mut self, context_id: u8, response: &Response<'_>) -> Outcome {
        let Exchange { pdu, fragmenter, .. } = &mut *self.exchange;
        pdu.clear();
        append_command(pdu, fragmenter, context_id, |out| response.encode(out));
        pdu.truncate(pdu.len() / 2);
        let _ = self.connection.write(pdu);
        Outcome::Close
    }

    /// Sends one response in one write.
    fn send(&mut self, context_id: u8, response: &Response<'_>) -> Outcome {
        let Exchange { pdu, fragmenter, .. } = &mut *self.exchange;
        pdu.clear();
        append_command(pdu, fragmenter, context_id, |out| response.encode(out));
        match self.connection.write(pdu) {
            Ok(()) => Outcome::GoOn,
            Err(end) => {
                self.narrator.explain(format_args!("cannot send a response: {end}"));
                Outcome::PeerGone
            }
        }
    }
}
