//! The two lines on which retrieved objects travel: to a move destination, or back to the requestor.
//!
//! [`MoveLine`] holds an association of our own. It proposes what the matched objects need
//! (DIFFERENCES.md C13): for each class one context with the transfer syntaxes of `-x…` in their
//! order, and one with each stored transfer syntax alone, so that a destination that can takes
//! objects as they are. Stored uncompressed ones that `-x…` leaves out are not proposed alone:
//! `-xi` means Implicit VR and no other. When 128 contexts are too few, the association is released
//! and another one takes what comes next. [`GetLine`] uses the contexts on which the requestor is
//! SCP (PS3.4 §C.4.3.2). Of several contexts of one class the one with the stored transfer syntax is
//! taken, else one that an uncompressed object can be converted to.
//!
//! Sub-associations of one server are at most [`MOVE_ASSOCIATIONS_MAX`]; further moves wait in the
//! order in which they came.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::object::{Body, Held};
use super::{FailedUids, Failure, Line, Way};
use crate::ae_title::AeTitle;
use crate::client::send::{DataSet, SendError, send_message};
use crate::client::{ClientError, Interrupt, NegotiatedContext, Proposal, Requestor};
use crate::dataset::identifier::{Encoding, Writer, deflated};
use crate::dataset::rewrite::is_convertible;
use crate::dataset::transfer_syntax::{
    EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, TransferSyntax,
};
use crate::dictionary::uids::name_of;
use crate::dimse::message::append_command;
use crate::dimse::service::{DataSetType, Priority, Response, StoreRequest, SubOperations};
use crate::dimse::status::Status;
use crate::limits::{
    MOVE_ASSOCIATIONS_MAX, MOVE_CONNECT_TIMEOUT_S, OPERATION_OUTPUT_BYTES,
    PRESENTATION_CONTEXTS_MAX, STOP_GRACE_S,
};
use crate::log::system_text;
use crate::net::tcp::{SLICE, StopFlag, TransportOptions};
use crate::server::destinations::{Destination, Destinations};
use crate::server::peer::{Ended, Operation, Peer};
use crate::server::query_narration::SubOperation;
use crate::tag::FAILED_SOP_INSTANCE_UID_LIST;
use crate::uid::Uid;
use crate::ul::pdu::Abort;
use crate::ul::pdv::Fragmenter;
use crate::vr::Vr;

/// Whoever asked for the retrieve.
pub trait Asker {
    /// How the association with it may end.
    type Ended;

    /// Queues a response.
    fn respond(
        &mut self,
        status: Status,
        counts: SubOperations,
        failed: &FailedUids,
    ) -> Result<(), Self::Ended>;

    /// Sends what is queued.
    fn flush(&mut self) -> Result<(), Self::Ended>;

    /// True once it has cancelled.
    fn is_cancelled(&mut self) -> Result<bool, Self::Ended>;

    /// Tells the log.
    fn tell(&self, text: fmt::Arguments<'_>);

    /// Tells the log of one step, in DCMTK's words.
    fn tell_step(&self, _step: SubOperation<'_>) {}
}

/// The peer whose request is performed.
pub struct PeerAsker<'a, 'p, 's> {
    /// Its association.
    pub peer: &'a mut Peer<'p, 's>,
    /// Its request.
    pub operation: &'a Operation,
}

impl Asker for PeerAsker<'_, '_, '_> {
    type Ended = Ended;

    fn respond(
        &mut self,
        status: Status,
        counts: SubOperations,
        failed: &FailedUids,
    ) -> Result<(), Ended> {
        let Operation { context, request, .. } = self.operation;
        let identifier = (!failed.value().is_empty())
            .then(|| failed_list(TransferSyntax::of(&context.transfer_syntax), failed));
        let response = Response {
            sub_operations: Some(counts),
            ..request.response(status, identifier.is_some())
        };
        self.peer.respond(self.operation, &response, identifier.as_deref())
    }

    fn flush(&mut self) -> Result<(), Ended> {
        self.peer.flush()
    }

    fn is_cancelled(&mut self) -> Result<bool, Ended> {
        self.peer.is_cancelled()
    }

    fn tell(&self, text: fmt::Arguments<'_>) {
        self.peer.narrator().warn(text);
    }

    fn tell_step(&self, step: SubOperation<'_>) {
        self.peer.narrator().sub_operation(self.operation.request.service, step);
    }
}

/// The identifier of a final response: the Failed SOP Instance UID List, PS3.4 §C.4.2.1.4.2.
fn failed_list(syntax: TransferSyntax, failed: &FailedUids) -> Vec<u8> {
    let mut out = Vec::with_capacity(failed.value().len() + 16);
    let encoding = Encoding::of(syntax);
    Writer::new(&mut out, encoding).stored(FAILED_SOP_INSTANCE_UID_LIST, Vr::UI, failed.value());
    if syntax.is_deflated { deflated(&out) } else { out }
}

/// What every sub-association of a server has in common.
#[derive(Clone, Debug)]
pub struct MoveOptions {
    /// Longest P-DATA-TF announced, in bytes.
    pub max_pdu_bytes: u32,
    /// Options of the socket.
    pub transport: TransportOptions,
    /// Answers to the requests for association and release.
    pub acse_timeout: Duration,
    /// Answer to a C-STORE.
    pub dimse_timeout: Option<Duration>,
    /// Silence, where `dimse_timeout` is not given.
    pub socket_timeout: Option<Duration>,
    /// Silence where neither is given: [`limits::MOVE_ANSWER_TIMEOUT_S`](crate::limits), but in a test.
    pub answer_timeout: Duration,
    /// The server stops.
    pub stop: StopFlag,
}

/// One C-MOVE's request as its sub-operations need it.
#[derive(Clone, Copy, Debug)]
pub struct Originator {
    /// The called AE title of the query/retrieve association, and the calling one of ours.
    pub called: AeTitle,
    /// Who asked: the move originator.
    pub calling: AeTitle,
    /// Message ID of the C-MOVE request.
    pub message_id: u16,
    /// Its priority.
    pub priority: Priority,
}

/// An association with a move destination, made when the first object needs it.
pub struct MoveLine<'d, A> {
    asker: A,
    destinations: &'d Destinations,
    destination: &'d Destination,
    options: MoveOptions,
    originator: Originator,
    turns: Arc<MoveTurns>,
    turn: Option<MoveTurn>,
    requestor: Option<Requestor>,
    /// Class and stored transfer syntax of what this association was asked for.
    wanted: Vec<(Uid, Uid)>,
    /// True while the requestor is looked at between reads.
    is_waiting: Arc<AtomicBool>,
    /// Why nothing more can be sent.
    lost: Option<String>,
    spare: Vec<u8>,
}

impl<'d, A: Asker> MoveLine<'d, A> {
    /// A line to `destination`; nothing is opened yet.
    pub fn new(
        asker: A,
        destinations: &'d Destinations,
        destination: &'d Destination,
        options: MoveOptions,
        originator: Originator,
    ) -> Self {
        Self {
            asker,
            destinations,
            destination,
            options,
            originator,
            turns: Arc::clone(&destinations.turns),
            turn: None,
            requestor: None,
            wanted: Vec::new(),
            is_waiting: Arc::default(),
            lost: None,
            spare: Vec::new(),
        }
    }

    /// Releases the association with the destination, if one is open.
    pub fn close(&mut self) {
        if let Some(requestor) = self.requestor.take() {
            self.asker.tell_step(SubOperation::Releasing);
            if let Err(error) = requestor.release() {
                self.asker.tell(format_args!("release of the sub-association: {error}"));
            }
        }
        self.turn = None;
    }

    /// Nobody waits for the object any more: the association with the destination is aborted.
    fn give_up(&mut self) {
        if let Some(requestor) = self.requestor.take() {
            requestor.abort();
        }
        self.lost = Some("the requestor does not wait for it".into());
    }

    fn failed(&mut self, what: &str, error: &ClientError) -> String {
        let title = String::from_utf8_lossy(self.destination.ae_title.as_bytes()).into_owned();
        let Destination { host, port, .. } = self.destination;
        let reason = format!("{what} {title} ({host}:{port}): {error}");
        if let Some(requestor) = self.requestor.take() {
            // Where the peer has not ended it already.
            requestor.abort();
        }
        reason
    }

    /// After this no object finds its way.
    fn lose(&mut self, what: &str, error: &ClientError) -> String {
        let reason = self.failed(what, error);
        self.lost = Some(reason.clone());
        reason
    }

    fn open(&mut self, contexts: Vec<(Uid, Vec<Uid>)>) -> Result<(), String> {
        let wait = self
            .destinations
            .connect_timeout
            .unwrap_or(Duration::from_secs(u64::from(MOVE_CONNECT_TIMEOUT_S)));
        let addresses = self.destination.addresses(wait).map_err(|error| {
            format!(
                "host {} of the move destination: {}",
                self.destination.host,
                system_text(&error)
            )
        })?;
        let MoveOptions { max_pdu_bytes, transport, acse_timeout, .. } = self.options;
        let proposal = Proposal {
            calling: self.originator.called,
            called: self.destination.ae_title,
            contexts,
            roles: Vec::new(),
            extended_negotiation: Vec::new(),
            user_identity: None,
            max_pdu_bytes,
            max_send_pdu_bytes: None,
            transport,
            tls: None,
            connect_timeout: Some(wait),
            acse_timeout: Some(acse_timeout),
            dimse_timeout: self.options.dimse_timeout,
            socket_timeout: self.options.socket_timeout.or(Some(self.options.answer_timeout)),
            stop: Some(self.options.stop.clone()),
            interrupted: Some(Interrupt::new({
                let is_waiting = Arc::clone(&self.is_waiting);
                move || is_waiting.load(Ordering::Relaxed)
            })),
            is_shown_in_detail: false,
        };
        self.asker.tell_step(SubOperation::Associating);
        match Requestor::associate(&addresses, &proposal) {
            Ok(requestor) => {
                self.requestor = Some(requestor);
                Ok(())
            }
            Err(error) => {
                self.asker.tell_step(SubOperation::NotAssociated(&error));
                Err(self.failed("no association with move destination", &error))
            }
        }
    }
}

impl<A: Asker> Line for MoveLine<'_, A> {
    type Ended = A::Ended;

    fn way(&self, held: &Held) -> Result<Way, String> {
        if let Some(reason) = &self.lost {
            return Err(reason.clone());
        }
        let (class, syntax) = uids(held)?;
        let Some(requestor) = &self.requestor else { return Ok(Way::NewAssociation) };
        // A profile proposes what it proposes; another association would have no more.
        if self.destinations.profile.is_none() && !self.wanted.contains(&(class, syntax)) {
            return Ok(Way::NewAssociation);
        }
        let accepted = |context: &NegotiatedContext| {
            let syntax = context.transfer_syntax?;
            (context.abstract_syntax == class).then_some((context.id, syntax))
        };
        choose(requestor.contexts().iter().filter_map(accepted), syntax).ok_or_else(|| {
            let takes: Vec<_> = requestor.contexts().iter().filter_map(accepted).collect();
            not_taken("the destination", class, syntax, &takes)
        })
    }

    fn associate(&mut self, wanted: &[(Uid, Uid)]) -> Result<(), Failure<A::Ended>> {
        if let Some(requestor) = self.requestor.take() {
            self.asker.tell_step(SubOperation::Releasing);
            // What was sent was answered; a release that fails takes nothing back.
            let _ = requestor.release();
        }
        if self.turn.is_none() {
            let (turns, asker) = (Arc::clone(&self.turns), &mut self.asker);
            self.turn = match turns.wait(|| asker.is_cancelled()) {
                Ok(Some(turn)) => Some(turn),
                Ok(None) => return Err(Failure::Cancelled),
                Err(ended) => return Err(Failure::Ended(ended)),
            };
        }
        let contexts = if let Some(profile) = &self.destinations.profile {
            profile.clone()
        } else {
            let (contexts, covered) = proposal(&self.destinations.transfer_syntaxes, wanted);
            self.wanted = wanted[..covered].to_vec();
            contexts
        };
        self.open(contexts).map_err(|reason| {
            self.lost = Some(reason.clone());
            Failure::Object(reason)
        })
    }

    fn send(
        &mut self,
        context_id: u8,
        held: &Held,
        mut body: Body,
    ) -> Result<u16, Failure<A::Ended>> {
        if matches!(body, Body::Stream(_)) {
            // It may take long; what is known already need not wait for it.
            self.asker.flush().map_err(Failure::Ended)?;
        }
        let Some(requestor) = &mut self.requestor else {
            return Err(Failure::Object(self.lost.clone().unwrap_or_default()));
        };
        let request = StoreRequest {
            priority: Some(self.originator.priority),
            move_originator_ae_title: Some(self.originator.calling),
            move_originator_message_id: Some(self.originator.message_id),
            ..store_request(held, 0)
        };
        let pdvs = pdvs(&body, held, requestor.fragmenter());
        let result = requestor.begin_store(context_id, &request, data_set(&mut body));
        if let Ok(message_id) = result {
            let sop_class = &held.sop_class;
            self.asker.tell_step(SubOperation::Sent { message_id, sop_class, pdvs });
        }
        if let Body::Memory { bytes, .. } = body {
            self.spare = bytes;
        }
        match result {
            Ok(message_id) => Ok(message_id),
            Err(ClientError::Unsent(error)) => Err(Failure::Object(error.to_string())),
            // Our own abort: the next object opens another association.
            Err(error @ ClientError::Source(_)) => {
                Err(Failure::Object(self.failed("sub-association aborted,", &error)))
            }
            Err(error) => Err(Failure::Object(self.lose("lost move destination", &error))),
        }
    }

    fn answer(&mut self, message_id: u16) -> Result<Status, Failure<A::Ended>> {
        let MoveOptions { dimse_timeout, socket_timeout, answer_timeout, .. } = self.options;
        let patience = dimse_timeout.or(socket_timeout).unwrap_or(answer_timeout);
        let deadline = Instant::now() + patience;
        let grace = Duration::from_secs(u64::from(STOP_GRACE_S) / 2);
        loop {
            let Some(requestor) = &mut self.requestor else {
                return Err(Failure::Object(self.lost.clone().unwrap_or_default()));
            };
            self.is_waiting.store(true, Ordering::Relaxed);
            let answered = requestor.store_status(message_id);
            self.is_waiting.store(false, Ordering::Relaxed);
            let error = match answered {
                Ok(status) => {
                    self.asker.tell_step(SubOperation::Answered(status));
                    return Ok(status);
                }
                // A slice has passed in silence, unless the server stops.
                Err(ClientError::Interrupted)
                    if Instant::now() < deadline && !self.options.stop.is_raised_since(grace) =>
                {
                    match self.asker.is_cancelled() {
                        Ok(false) => continue,
                        Ok(true) => self.give_up(),
                        Err(ended) => {
                            self.give_up();
                            return Err(Failure::Ended(ended));
                        }
                    }
                    return Err(Failure::Cancelled);
                }
                Err(ClientError::Interrupted) => ClientError::TimedOut,
                Err(error) => error,
            };
            return Err(Failure::Object(self.lose("lost move destination", &error)));
        }
    }

    fn spare(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }

    fn respond(
        &mut self,
        status: Status,
        counts: SubOperations,
        failed: &FailedUids,
    ) -> Result<(), A::Ended> {
        self.asker.respond(status, counts, failed)
    }

    fn flush(&mut self) -> Result<(), A::Ended> {
        self.asker.flush()
    }

    fn is_cancelled(&mut self) -> Result<bool, A::Ended> {
        self.asker.is_cancelled()
    }

    fn tell(&self, text: fmt::Arguments<'_>) {
        self.asker.tell(text);
    }
}

/// The requestor's own association, as it carries the objects of a C-GET.
pub struct GetLine<'a, 'p, 's> {
    asker: PeerAsker<'a, 'p, 's>,
    message_id: u16,
    head: Vec<u8>,
    spare: Vec<u8>,
}

impl<'a, 'p, 's> GetLine<'a, 'p, 's> {
    /// The line back to `asker`.
    pub fn new(asker: PeerAsker<'a, 'p, 's>) -> Self {
        let message_id = asker.operation.request.message_id;
        Self { asker, message_id, head: Vec::new(), spare: Vec::new() }
    }
}

impl Line for GetLine<'_, '_, '_> {
    type Ended = Ended;

    fn way(&self, held: &Held) -> Result<Way, String> {
        let (class, syntax) = uids(held)?;
        let contexts = self.asker.peer.contexts();
        let accepted = || {
            contexts
                .iter()
                .filter(|context| context.abstract_syntax == class && context.roles.scp)
                .map(|context| (context.id, context.transfer_syntax))
        };
        choose(accepted(), syntax).ok_or_else(|| {
            let takes: Vec<_> = accepted().collect();
            not_taken("the requestor, as SCP,", class, syntax, &takes)
        })
    }

    fn associate(&mut self, _wanted: &[(Uid, Uid)]) -> Result<(), Failure<Ended>> {
        Ok(())
    }

    fn send(&mut self, context_id: u8, held: &Held, mut body: Body) -> Result<u16, Failure<Ended>> {
        // Any number will do that is not that of the request before.
        self.message_id = self.message_id.wrapping_add(1);
        let request = StoreRequest {
            priority: self.asker.operation.request.priority.or(Some(Priority::Medium)),
            ..store_request(held, self.message_id)
        };
        let peer = &mut *self.asker.peer;
        let pdvs = pdvs(&body, held, *peer.wire().1);
        peer.await_answer(self.message_id);
        let result = match &body {
            // Together with the pending response before it, in one write.
            Body::Memory { bytes, start } if bytes.len() <= OPERATION_OUTPUT_BYTES => {
                let data_set = bytes.get(*start..);
                let queued = peer.queue(context_id, |out| request.encode(out), data_set);
                queued.and_then(|()| peer.flush()).map_err(Failure::Ended)
            }
            _ => {
                peer.flush().map_err(Failure::Ended)?;
                let (connection, fragmenter) = peer.wire();
                let head = &mut self.head;
                append_command(head, fragmenter, context_id, |out| request.encode(out));
                let data_set = data_set(&mut body);
                match send_message(connection, *fragmenter, context_id, head, data_set) {
                    Ok(()) => Ok(()),
                    Err(SendError::Unsent(error)) => Err(Failure::Object(error.to_string())),
                    Err(SendError::Write(end)) => {
                        peer.narrator().explain(format_args!("cannot send an object: {end}"));
                        Err(Failure::Ended(peer.broken()))
                    }
                    Err(SendError::Cut(error)) => {
                        let uid = held.sop_instance;
                        let why = format!("{uid:?} turned out bad in the middle: {error}");
                        Err(Failure::Ended(peer.abort(Abort::USER, &why)))
                    }
                }
            }
        };
        if let Body::Memory { bytes, .. } = body {
            self.spare = bytes;
        }
        result?;
        let (message_id, sop_class) = (self.message_id, &held.sop_class);
        self.asker.tell_step(SubOperation::Sent { message_id, sop_class, pdvs });
        Ok(message_id)
    }

    fn answer(&mut self, _message_id: u16) -> Result<Status, Failure<Ended>> {
        let status = self.asker.peer.store_answer().map_err(Failure::Ended)?;
        self.asker.tell_step(SubOperation::Answered(status));
        Ok(status)
    }

    fn spare(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }

    fn respond(
        &mut self,
        status: Status,
        counts: SubOperations,
        failed: &FailedUids,
    ) -> Result<(), Ended> {
        self.asker.respond(status, counts, failed)
    }

    fn flush(&mut self) -> Result<(), Ended> {
        self.asker.flush()
    }

    fn is_cancelled(&mut self) -> Result<bool, Ended> {
        self.asker.is_cancelled()
    }

    fn tell(&self, text: fmt::Arguments<'_>) {
        self.asker.tell(text);
    }
}

fn uids(held: &Held) -> Result<(Uid, Uid), String> {
    let class = held.sop_class.to_uid();
    let syntax = held.transfer_syntax.to_uid();
    class.zip(syntax).ok_or_else(|| "its SOP class or transfer syntax is no UID".to_owned())
}

fn store_request(held: &Held, message_id: u16) -> StoreRequest {
    StoreRequest {
        message_id,
        affected_sop_class_uid: Some(held.sop_class),
        affected_sop_instance_uid: Some(held.sop_instance),
        priority: None,
        move_originator_ae_title: None,
        move_originator_message_id: None,
        data_set_type: DataSetType::Present,
    }
}

/// In how many PDVs the data set of `body` goes; for a stream, that of the file it comes from.
fn pdvs(body: &Body, held: &Held, fragmenter: Fragmenter) -> usize {
    let bytes = match body {
        Body::Memory { bytes, start } => bytes.len().saturating_sub(*start),
        Body::Stream(_) => {
            let bytes = held.file_bytes.saturating_sub(u64::from(held.data_set_offset));
            usize::try_from(bytes).unwrap_or(usize::MAX)
        }
    };
    bytes.div_ceil(fragmenter.fragment_bytes_max())
}

fn data_set(body: &mut Body) -> DataSet<'_> {
    match body {
        Body::Memory { bytes, start } => DataSet::Memory(bytes.get(*start..).unwrap_or_default()),
        Body::Stream(stream) => DataSet::Stream(stream),
    }
}

/// The context with the stored transfer syntax, else the first that it can be converted to.
fn choose(mut contexts: impl Iterator<Item = (u8, Uid)>, stored: Uid) -> Option<Way> {
    let mut convertible = None;
    let exact = contexts.find(|(id, syntax)| {
        if convertible.is_none() && is_convertible(&stored) && is_convertible(syntax) {
            convertible = Some((*id, *syntax));
        }
        *syntax == stored
    });
    exact.or(convertible).map(|(id, syntax)| Way::Context(id, syntax))
}

/// Why an object of `class`, stored as `stored`, cannot travel where only `takes` is taken.
fn not_taken(who: &str, class: Uid, stored: Uid, takes: &[(u8, Uid)]) -> String {
    let name = |uid: &Uid| name_of(uid.as_bytes()).map_or_else(|| uid.to_string(), str::to_owned);
    if takes.is_empty() {
        return format!("{who} accepted no presentation context for {}", name(&class));
    }
    let takes: Vec<_> = takes.iter().map(|(_, syntax)| name(syntax)).collect();
    format!(
        "{who} takes {} as {} only, and it is stored as {}, which is not converted",
        name(&class),
        takes.join(", "),
        name(&stored)
    )
}

/// The contexts for `wanted`, as far as 128 reach, and how many of `wanted` they cover.
fn proposal(listed: &[Uid], wanted: &[(Uid, Uid)]) -> (Vec<(Uid, Vec<Uid>)>, usize) {
    let is_plain = |syntax: &Uid| {
        matches!(
            syntax.as_str(),
            IMPLICIT_VR_LITTLE_ENDIAN | EXPLICIT_VR_LITTLE_ENDIAN | EXPLICIT_VR_BIG_ENDIAN
        )
    };
    let mut contexts: Vec<(Uid, Vec<Uid>)> = Vec::new();
    for (covered, (class, stored)) in wanted.iter().enumerate() {
        let mut needed = Vec::new();
        if (!is_plain(stored) || listed.contains(stored)) && listed != [*stored] {
            needed.push((*class, vec![*stored]));
        }
        let is_new = !contexts.iter().any(|(known, syntaxes)| known == class && syntaxes == listed);
        if is_new && !listed.is_empty() {
            needed.push((*class, listed.to_vec()));
        }
        if contexts.len() + needed.len() > PRESENTATION_CONTEXTS_MAX {
            return (contexts, covered);
        }
        contexts.extend(needed);
    }
    (contexts, wanted.len())
}

/// Who may hold a sub-association: so many at once, the others in the order in which they came.
#[derive(Debug, Default)]
pub struct MoveTurns {
    state: Mutex<Turns>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Turns {
    running: usize,
    next: u64,
    waiting: VecDeque<u64>,
}

/// One sub-association's place; dropping it gives the place on.
#[derive(Debug)]
pub struct MoveTurn(Arc<MoveTurns>);

impl MoveTurns {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place; `None` when `is_given_up` says so, which is asked while waiting.
    fn wait<E>(
        self: Arc<Self>,
        mut is_given_up: impl FnMut() -> Result<bool, E>,
    ) -> Result<Option<MoveTurn>, E> {
        let ticket = Ticket::draw(&self);
        loop {
            let mut turns = self.lock();
            let is_next = turns.waiting.front() == Some(&ticket.number);
            if turns.running < MOVE_ASSOCIATIONS_MAX && is_next {
                turns.running += 1;
                drop(turns);
                return Ok(Some(MoveTurn(self)));
            }
            let waited = self.freed.wait_timeout(turns, SLICE);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            // Asked without the lock: it reads from a socket.
            if is_given_up()? {
                return Ok(None);
            }
        }
    }
}

/// A place in the line. It is given up on every way out, also when who waits panics: the line would
/// stand still behind it.
struct Ticket {
    turns: Arc<MoveTurns>,
    number: u64,
}

impl Ticket {
    fn draw(turns: &Arc<MoveTurns>) -> Self {
        let mut state = turns.lock();
        let number = state.next;
        state.next += 1;
        state.waiting.push_back(number);
        drop(state);
        Self { turns: Arc::clone(turns), number }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.turns.lock().waiting.retain(|&waiting| waiting != self.number);
        // The next in line may have a place.
        self.turns.freed.notify_all();
    }
}

impl Drop for MoveTurn {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// limits::MOVE_ASSOCIATIONS_MAX at once; one more waits until one of them ends, or is given up.
    #[test]
    fn edge_of_sub_associations_at_once() {
        let turns = Arc::new(MoveTurns::default());
        let take = |gives_up: bool| Arc::clone(&turns).wait(|| Ok::<_, ()>(gives_up)).unwrap();
        let mut held: Vec<_> = (0..MOVE_ASSOCIATIONS_MAX).map(|_| take(true).unwrap()).collect();
        assert!(take(true).is_none(), "given up while it waited");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| take(false).unwrap());
            while turns.lock().waiting.is_empty() {
                std::thread::yield_now();
            }
            held.pop();
            drop(waiting.join().unwrap());
        });
        assert!(take(true).is_some());
        assert_eq!(turns.lock().waiting.len(), 0);
    }

    /// Whoever fails or panics while it waits does not stand in the way of those behind.
    #[test]
    fn no_place_in_line_is_left_behind() {
        let turns = Arc::new(MoveTurns::default());
        let take = || Arc::clone(&turns).wait(|| Ok::<_, ()>(true)).unwrap();
        let held: Vec<_> = (0..MOVE_ASSOCIATIONS_MAX).map(|_| take().unwrap()).collect();
        assert!(Arc::clone(&turns).wait(|| Err(())).is_err());
        let waiting = std::panic::AssertUnwindSafe(|| {
            let _ = Arc::clone(&turns).wait(|| -> Result<bool, ()> { panic!("on purpose") });
        });
        assert!(std::panic::catch_unwind(waiting).is_err());
        drop(held);
        assert!(take().is_some());
    }
}
