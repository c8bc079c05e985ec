//! The loop of one association: read → ul → dimse → service → write.
//!
//! Sans-I/O layers decide, this file moves: it reads blocks, shows them to the upper layer, hands
//! PDVs to the message assembler, data-set fragments to the store, and sends what the layers
//! answer. All complete PDUs of a block are handled before the next read, and the fragments among
//! them reach the file in one vectored write, uncopied. Deadlines are those of PROMISES.md §3.3:
//! totals for the request and for each PDU, restarted by progress between and within messages.
//! Every way in which an association can end is an [`End`].

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::access::{Application, Archive, Denied, StoringTurn};
use super::answers::{self, shown_maximum_length};
use super::areas::OpenArea;
use super::conditions::{self, Cause, Whose};
use super::faults::{Effects, Ending, Event, pause, time_for};
use super::find;
use super::host_access::name_for_rules;
use super::listener::{Admission, Refused, Shared};
use super::narration::{
    AssociationBlock, ContextBlock, Narrator, NoAssociation, Refusal, UserIdentityBlock,
};
use super::peer::{Operation, Peer};
use super::retrieve::{self, select::select};
use super::store::{Exchange, Outcome};
use super::{Objects, Service};
use crate::acse::negotiation::{Negotiation, explanation, negotiate};
use crate::acse::user_information::{LocalIdentity, associate_ac};
use crate::ae_title::AeTitle;
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dimse::service::QueryService;
use crate::limits::{PDU_TIMEOUT_S, SLOWEST_PEER_BYTES_PER_S, STOP_GRACE_S};
use crate::log::{Level, escaped};
use crate::net::buffer::ReadBuffer;
use crate::net::tcp::{Connection, ReadEnd, WriteEnd};
use crate::net::tls::HandshakeEnd;
use crate::policy::host_access::HostName;
use crate::storage::studies::Origin;
use crate::storage::writer::Dialect;
use crate::uid::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Uid, UidText};
use crate::ul::pdu::{APPLICATION_CONTEXT_NAME, Abort, AssociateAc, AssociateRq, UserInformation};
use crate::ul::pdu_codec::{DecodeError, encode_abort};
use crate::ul::pdv::{Fragmenter, split_first};
use crate::ul::provider::{Fault, Indication, Reaction, UpperLayer};

/// How an association ended; each was answered before it is returned.
#[derive(Debug)]
pub(super) enum End {
    /// Released by the peer.
    Released,
    /// The peer aborted.
    PeerAborted(Abort),
    /// The peer vanished: EOF or a broken connection.
    PeerGone,
    /// The peer was silent for too long.
    TimedOut,
    /// We aborted: what to send is on its way, the reason is told already.
    Aborted,
}

/// What the loop waits for, and so how long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The A-ASSOCIATE-RQ, until the moment given.
    Request(Instant),
    /// The next message.
    NextMessage,
    /// The rest of a message.
    RestOfMessage,
}

/// How far the bytes of a block were handled.
pub(super) enum Handled {
    /// All complete PDUs; the next one is of this length, as far as it is known.
    All { wanted_bytes: usize },
    /// Up to a request that is to be performed now.
    UpTo(Box<Operation>),
    /// Up to the final response to our own C-GET. What stands behind it is for the next request, or
    /// comes too late for any (PS3.8 Table 9-7, AR-6).
    Answered,
}

/// An association with what it holds while it lives.
struct Established<'s> {
    admission: Admission<'s>,
    storing: Option<StoringTurn<'s>>,
    exchange: Exchange,
}

/// One peer, whatever its state.
pub(super) struct Link<'s> {
    pub(super) shared: &'s Shared,
    pub(super) service: &'s Service,
    pub(super) narrator: Narrator,
    pub(super) connection: Connection,
    pub(super) ul: UpperLayer,
    pub(super) buffer: ReadBuffer,
    /// When the PDU at the front of the buffer was first seen incomplete.
    pub(super) pdu_begun: Option<Instant>,
    /// Bytes a second that are read, as a fault rule says.
    pub(super) pace: Option<NonZeroU32>,
    /// A fault rule slows us down: no PDU of the peer's is late.
    pub(super) is_slow: bool,
    /// Why the peer was aborted, as far as a line of the log says it.
    pub(super) fault: Option<String>,
}

/// Serves one transport connection from its first byte to its close.
pub fn serve(shared: &Shared, id: u64, connection: Connection) {
    let service = &shared.service;
    let narrator =
        Narrator::new(Arc::clone(&service.logger), service.dialect, service.verbose_contexts)
            .with_responses(service.verbose_responses)
            .in_child(service.is_forking);
    let mut link = Link {
        shared,
        service,
        narrator,
        connection,
        ul: UpperLayer::acceptor(service.max_pdu_bytes),
        buffer: ReadBuffer::new(service.blocks.clone()),
        pdu_begun: None,
        pace: None,
        is_slow: false,
        fault: None,
    };
    // ARTIM: the request complete, and before it the handshake.
    let deadline = Instant::now() + service.acse_timeout;
    link.tell_connection();
    // A host that is denied gets nothing: the peer sees the end of the connection.
    let is_let_in = link.is_host_allowed() && link.secure(deadline);
    if let Some(request) = is_let_in.then(|| link.receive_request(deadline)).flatten() {
        shared.deregister(id);
        if service.idle_timeout().is_none() {
            link.connection.watch_for_a_dead_peer();
        }
        if let Some(Established { admission, storing, mut exchange }) = link.establish(&request) {
            let end = link.operate(&mut exchange);
            link.tell_end(&end);
            // The next peer's turn does not wait for this one's close.
            exchange.end(service);
            drop(exchange);
            drop(storing);
            drop(admission);
        }
        link.narrator.terminated();
        // No association holds it any more: until the peer closes it counts as one that has none,
        // so that peers who never close cannot pile up threads (P9).
        shared.register(id, link.connection.handle());
    }
    link.connection.close_gently();
}

impl<'s> Link<'s> {
    /// Carries out what the upper layer wants; ARTIM and closing are the caller's deadlines.
    pub(super) fn carry_out(&mut self, reaction: Reaction) -> Result<(), WriteEnd> {
        match reaction.send {
            Some(pdu) => self.connection.write(&pdu),
            None => Ok(()),
        }
    }

    /// Reads the next block.
    pub(super) fn read(&mut self, wanted_bytes: usize, waiting: Waiting) -> Result<(), ReadEnd> {
        let now = Instant::now();
        let mut deadline = match waiting {
            Waiting::Request(deadline) => Some(deadline),
            Waiting::NextMessage => self.service.idle_timeout().map(|timeout| now + timeout),
            Waiting::RestOfMessage => self.service.silence_timeout().map(|timeout| now + timeout),
        };
        if self.buffer.unread().is_empty() {
            self.pdu_begun = None;
        } else if !matches!(waiting, Waiting::Request(_)) && !self.is_slow {
            // A PDU has its own total: bytes do not restart it (slowloris).
            let begun = *self.pdu_begun.get_or_insert(now);
            let total = self.service.dimse_timeout.unwrap_or_else(|| {
                let transfer_s = wanted_bytes as u64 / u64::from(SLOWEST_PEER_BYTES_PER_S);
                Duration::from_secs(u64::from(PDU_TIMEOUT_S) + transfer_s)
            });
            let pdu_deadline = begun + total;
            deadline = Some(deadline.map_or(pdu_deadline, |other| other.min(pdu_deadline)));
            if now >= pdu_deadline {
                return Err(ReadEnd::TimedOut);
            }
        }
        let patience = match waiting {
            Waiting::RestOfMessage => Duration::from_secs(u64::from(STOP_GRACE_S) - 1),
            Waiting::Request(_) | Waiting::NextMessage => Duration::ZERO,
        };
        // The wait below looks at the flag only while no bytes come; a peer whose bytes never cease
        // would otherwise outlast the grace, and its part file the process (P17).
        if waiting == Waiting::RestOfMessage && self.shared.stop.is_raised_since(patience) {
            return Err(ReadEnd::Stopped);
        }
        let stop = Some((&self.shared.stop, patience));
        let mut space = self.buffer.space(wanted_bytes);
        if let Some(pace) = self.pace {
            // Eight times a second.
            let most = usize::try_from(pace.get() / 8).unwrap_or(usize::MAX).clamp(1, space.len());
            space = &mut space[..most];
        }
        let count = self.connection.read(space, deadline, stop)?;
        self.buffer.filled(count);
        if let Some(pace) = self.pace {
            pause(&self.shared.stop, time_for(count, pace));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline)
            && matches!(waiting, Waiting::Request(_))
        {
            // Bytes came, but the request as a whole is late.
            return Err(ReadEnd::TimedOut);
        }
        Ok(())
    }

    /// The same, for a wait that may end without bytes: false when `until` has come.
    pub(super) fn read_until(
        &mut self,
        wanted_bytes: usize,
        until: Instant,
    ) -> Result<bool, ReadEnd> {
        let stop = Some((&self.shared.stop, Duration::ZERO));
        let space = self.buffer.space(wanted_bytes);
        match self.connection.read(space, Some(until), stop) {
            Ok(count) => {
                self.buffer.filled(count);
                Ok(true)
            }
            Err(ReadEnd::TimedOut) => Ok(false),
            Err(end) => Err(end),
        }
    }

    fn tell_connection(&self) {
        let peer = self.connection.peer().ip();
        self.narrator.connected(|| self.service.host_names.name(peer));
        self.narrator.socket_timeout(self.service.socket_timeout);
    }

    /// What the rules of access control say of the peer's host; a refusal is told.
    fn is_host_allowed(&self) -> bool {
        let Some(access) = &self.service.host_access else { return true };
        let (address, names) = (self.connection.peer().ip(), &self.service.host_names);
        let name_of = |address| name_for_rules(names, address);
        let logger = &self.service.logger;
        let verdict = access.verdict(self.connection.local(), address, logger, &name_of);
        if verdict.is_allowed {
            return true;
        }
        let host = match name_of(address) {
            HostName::Known(name) => name,
            HostName::Unknown if !names.are_looked_up() => "unknown".to_owned(),
            HostName::Unknown | HostName::Paranoid | HostName::Late => address.to_string(),
        };
        self.shared.counters.rejections.fetch_add(1, Ordering::Relaxed);
        let host = format!("{host} ({address})");
        self.tell_no_association(&NoAssociation::DeniedHost(host));
        if let Some(rule) = verdict.rule {
            self.narrator.explain(format_args!("host {address} denied by {rule}"));
        }
        false
    }

    /// Makes the connection secure where this is asked for; false, told, when that failed.
    fn secure(&mut self, deadline: Instant) -> bool {
        let Some(context) = &self.service.tls else { return true };
        let peer = self.connection.peer();
        match self.connection.secure(context, Some(deadline), Some(&self.shared.stop)) {
            Ok(description) => {
                self.narrator.secured(peer, &description);
                self.narrator.security_details(|| self.connection.security_details());
                return true;
            }
            Err(HandshakeEnd::Closed) => self
                .narrator
                .explain(format_args!("peer {peer} closed the connection before any handshake")),
            Err(HandshakeEnd::Stopped) => {}
            Err(HandshakeEnd::TimedOut) => {
                self.narrator.no_handshake(peer, self.service.acse_timeout);
            }
            // As DCMTK, which has received nothing yet.
            Err(HandshakeEnd::Refused(fault)) => self.narrator.handshake_failed(peer, &fault),
        }
        false
    }

    /// Waits for the A-ASSOCIATE-RQ; tells and answers everything else.
    fn receive_request(&mut self, deadline: Instant) -> Option<Box<AssociateRq>> {
        loop {
            let received = self.ul.receive(self.buffer.unread());
            let (consumed, reaction) = (received.consumed, received.reaction);
            let pdu = &self.buffer.unread()[..consumed];
            match received.indication {
                Indication::NeedMore { total_bytes } => {
                    if let Err(end) = self.read(total_bytes, Waiting::Request(deadline)) {
                        self.tell_no_request(&end);
                        return None;
                    }
                }
                Indication::AssociateRequest(request) => {
                    self.narrator.request_bytes(pdu);
                    self.buffer.consume(consumed);
                    return Some(request);
                }
                Indication::AssociateRejectedByProvider { request, .. } => {
                    self.narrator.request_bytes(pdu);
                    let version = request.protocol_version;
                    self.tell_no_association(&NoAssociation::ProtocolVersion(version));
                    let _ = self.carry_out(reaction);
                    return None;
                }
                Indication::Fault(fault) => {
                    self.tell_fault_before_association(&fault);
                    let _ = self.carry_out(reaction);
                    return None;
                }
                _ => {
                    // An A-ABORT, or anything else that ends it: nothing is answered.
                    self.tell_received("", b"", b"");
                    let _ = self.carry_out(reaction);
                    return None;
                }
            }
        }
    }

    fn tell_received(&self, host: &str, calling: &[u8], called: &[u8]) {
        if self.narrator.wants_host_name() && host.is_empty() {
            let host = self.service.host_names.name(self.connection.peer().ip());
            self.narrator.association_received(&host, calling, called);
        } else {
            self.narrator.association_received(host, calling, called);
        }
    }

    fn tell_request(&self, request: &AssociateRq) {
        let (calling, called) = (request.calling_ae_title(), request.called_ae_title());
        self.tell_received("", calling.as_bytes(), called.as_bytes());
    }

    fn tell_no_request(&mut self, end: &ReadEnd) {
        if let Some(fault) = end.tls_fault() {
            return self.narrator.handshake_failed(self.connection.peer(), fault);
        }
        let begun = !self.buffer.unread().is_empty();
        match end {
            ReadEnd::TimedOut => {
                self.tell_no_association(&NoAssociation::Timeout);
                if begun {
                    let _ = self.connection.write(&encode_abort(Abort::NOT_SPECIFIED));
                }
            }
            ReadEnd::Closed | ReadEnd::Broken(_) if begun => {
                self.tell_no_association(&NoAssociation::Closed);
            }
            ReadEnd::Closed | ReadEnd::Broken(_) => self.tell_received("", b"", b""),
            ReadEnd::Stopped | ReadEnd::Interrupted => {}
        }
    }

    fn tell_fault_before_association(&self, fault: &Fault) {
        match fault {
            Fault::Invalid(DecodeError::UnknownPduType(pdu_type)) => {
                self.tell_no_association(&NoAssociation::UnrecognizedPdu(*pdu_type));
            }
            Fault::Invalid(DecodeError::LengthAboveBound { length, .. }) => {
                self.tell_no_association(&NoAssociation::TooLarge(*length));
            }
            Fault::Invalid(error) => {
                self.tell_no_association(&NoAssociation::Malformed(*error));
            }
            Fault::Unexpected { .. } => {
                // To DCMTK's tools, an association without titles.
                self.tell_received("", b"", b"");
                let peer = self.connection.peer();
                self.narrator.complain(format_args!("no association with {peer}: {fault}"));
            }
        }
    }

    fn tell_no_association(&self, why: &NoAssociation) {
        self.narrator.no_association(why, &self.connection.peer(), self.service.acse_timeout);
    }

    /// Accepts or refuses; `None` when refused or when the answer could not be sent.
    fn establish(&mut self, request: &AssociateRq) -> Option<Established<'s>> {
        self.tell_request(request);
        if self.narrator.wants_blocks() {
            self.narrator.association_block(&self.request_block(request));
        }
        let (service, dialect) = (self.service, self.service.dialect);
        let admission = match self.shared.admit() {
            Ok(admission) => admission,
            Err(refused) => {
                let refusal = match refused {
                    Refused::LocalLimit => Refusal::LocalLimit,
                    Refused::Stopping => Refusal::Stopping,
                };
                return self.refuse(refusal, request);
            }
        };
        if service.refuse {
            return self.refuse(Refusal::Forced, request);
        }
        let faults = self.faults(request);
        pause(&self.shared.stop, faults.response.delay);
        match faults.response.ending {
            Some(Ending::Reject(rejection)) => {
                return self.refuse(Refusal::Fault(rejection), request);
            }
            Some(Ending::Abort) => return self.abort_unanswered(),
            Some(Ending::Close) => return None,
            Some(Ending::Truncate | Ending::Status(_)) | None => {}
        }
        let mut negotiation = negotiate(request, &service.acceptor);
        let application = match &service.objects {
            Objects::Areas(archive) => match self.application(archive, request) {
                Ok(application) => Some((archive, application)),
                Err(refusal) => return self.refuse(refusal, request),
            },
            Objects::Directory(_) => None,
        };
        let storing = application
            .and_then(|(archive, application)| archive.restrict(application, &mut negotiation));
        self.explain_refusals(request, &negotiation);
        if request.application_context.uid() != Some(Uid::known(APPLICATION_CONTEXT_NAME)) {
            return self.refuse(Refusal::ApplicationContext, request);
        }
        let information = request.user_information.as_ref();
        let implementation =
            information.and_then(|information| information.implementation_class_uid.text());
        if service.reject_without_implementation_class_uid && implementation.is_none() {
            return self.refuse(Refusal::NoImplementationClassUid, request);
        }
        if application.is_some_and(|(archive, _)| archive.is_shutdown(request)) {
            let refused = self.refuse(Refusal::Shutdown, request);
            self.shared.stop.raise();
            return refused;
        }
        // DIFFERENCES.md B5: without any context there is nothing to talk about.
        if request.contexts.is_empty() {
            return self.refuse(Refusal::NoContexts, request);
        }
        let identity = LocalIdentity {
            max_pdu_bytes: service.max_pdu_bytes,
            implementation_class_uid: Uid::known(IMPLEMENTATION_CLASS_UID),
            implementation_version_name: IMPLEMENTATION_VERSION_NAME.to_owned(),
        };
        let accept = associate_ac(request, &negotiation, &service.acceptor, &identity);
        // DIFFERENCES.md C2: storescp accepts an association without a usable context, dcmrecv does
        // not.
        if dialect == Dialect::Dcmrecv && !negotiation.is_any_accepted() {
            self.narrator.no_acceptable_contexts();
            if self.narrator.wants_blocks() {
                // DCMTK shows the answer that it does not give.
                let mut block = self.answer_block(request, &negotiation, &accept);
                block.kind = "A-ASSOCIATE-RJ";
                self.narrator.association_block(&block);
            }
            return self.refuse(Refusal::NoContexts, request);
        }
        let fragmenter = match Fragmenter::new(request.maximum_length()) {
            Ok(fragmenter) => fragmenter,
            Err(error) => {
                self.narrator.explain(format_args!("rejected: {error}"));
                return self.refuse(Refusal::NoContexts, request);
            }
        };
        let pdu = match self.ul.accept(&accept) {
            Ok(pdu) => pdu,
            Err(error) => {
                self.narrator.complain(format_args!("cannot answer the request: {error}"));
                let reaction = self.ul.abort(Abort::NOT_SPECIFIED);
                let _ = self.carry_out(reaction);
                return None;
            }
        };
        self.narrator.accepting();
        if faults.response.ending == Some(Ending::Truncate) {
            let _ = self.connection.write(&pdu[..pdu.len() / 2]);
            return None;
        }
        if self.connection.write(&pdu).is_err() {
            self.narrator.aborted();
            return None;
        }
        self.narrator.has_accepted();
        self.shared.counters.associations.fetch_add(1, Ordering::Relaxed);
        let accepted = negotiation.accepted();
        self.narrator
            .acknowledged(shown_maximum_length(request.maximum_length()), accepted.iter().count());
        if self.narrator.wants_blocks() {
            let block = self.answer_block(request, &negotiation, &accept);
            self.narrator.association_block(&block);
        }
        let titles = (request.calling_ae_title(), request.called_ae_title());
        let area = application.and_then(|(archive, application)| self.area(archive, application));
        let mut exchange = Exchange::new(accepted, fragmenter, titles, area);
        exchange.agreed_information = agreed_information(request, &accept);
        if let Objects::Directory(store) = &service.objects {
            let peer = self.connection.peer().ip();
            let origin = Origin { calling: titles.0, called: titles.1, peer };
            exchange.origin = Some(origin);
            exchange.course = store.studies().map(|studies| Arc::new(studies.course(origin)));
        }
        exchange.may_store = application
            .is_none_or(|(archive, application)| archive.lets_store(application, storing.as_ref()));
        exchange.slow_read = faults.slow_read;
        pause(&self.shared.stop, faults.next.delay);
        match faults.next.ending {
            Some(Ending::Abort) => self.abort_unanswered(),
            Some(_) => None,
            None => Some(Established { admission, storing, exchange }),
        }
    }

    /// What fault rules make of this association.
    fn faults(&self, request: &AssociateRq) -> Effects {
        let Some(faults) = &self.service.faults else { return Effects::default() };
        let proposes =
            |uid| request.contexts.iter().any(|one| one.abstract_syntax.text() == Some(uid));
        let calling = request.calling_ae_title();
        let (effects, fired) = faults.effects(Event::Association, &calling, proposes);
        self.narrator.fault(Event::Association, &fired);
        effects
    }

    /// A-ABORT in the place of an association, as a fault rule says.
    fn abort_unanswered<T>(&mut self) -> Option<T> {
        self.tell_failure(&"a fault rule says so".into(), None);
        self.abort(Abort::USER);
        None
    }

    /// The application that is called, if this peer may call it.
    fn application(
        &self,
        archive: &'s Archive,
        request: &AssociateRq,
    ) -> Result<&'s Application, Refusal> {
        let (called, calling) = (request.called_ae_title(), request.calling_ae_title());
        let address = self.connection.peer().ip();
        let application = archive.application(&called).ok_or(Denied::CalledAeTitle);
        let denied = match application {
            Ok(application) => {
                match application
                    .admits(&calling, address, || self.service.host_names.name(address))
                {
                    Ok(()) => return Ok(application),
                    Err(denied) => denied,
                }
            }
            Err(denied) => denied,
        };
        let (called, calling) = (escaped(called.as_bytes()), escaped(calling.as_bytes()));
        match denied {
            Denied::CalledAeTitle => self.narrator.explain(format_args!(
                "rejected: no entry of the AETable has the called AE title {called}"
            )),
            Denied::CallingAeTitle => self.narrator.explain(format_args!(
                "rejected: the calling AE title {calling} is not among the peers of {called}"
            )),
            Denied::Host => self.narrator.explain(format_args!(
                "rejected: {calling} is among the peers of {called}, but not from host {address}"
            )),
        }
        Err(Refusal::BadAeService)
    }

    /// The storage area of `application`; one that cannot be opened is told, and ends the
    /// association at its first command.
    fn area(&self, archive: &Archive, application: &Application) -> Option<OpenArea> {
        let slot = archive.area(application)?;
        match slot.open() {
            Ok(open) => Some(open),
            Err(error) => {
                self.narrator.no_area(slot.directory(), &error);
                None
            }
        }
    }

    /// A-ASSOCIATE-RJ, told and counted.
    fn refuse<T>(&mut self, refusal: Refusal, request: &AssociateRq) -> Option<T> {
        let name = request.application_context.text();
        self.narrator.refused(refusal, name.as_ref().map_or(&[], |uid| uid.as_bytes()));
        self.shared.counters.rejections.fetch_add(1, Ordering::Relaxed);
        if let Ok(reaction) = self.ul.reject(answers::rejection(self.service.dialect, refusal)) {
            let _ = self.carry_out(reaction);
        }
        None
    }

    /// Which contexts were refused, by which rule, and what would change it.
    fn explain_refusals(&self, request: &AssociateRq, negotiation: &Negotiation) {
        if !self.narrator.enabled(Level::Info) {
            return;
        }
        for (decision, proposed) in negotiation.decisions.iter().zip(&request.contexts) {
            if !decision.is_accepted() {
                let words = explanation(decision, proposed, &self.service.acceptor);
                self.narrator.explain(format_args!("{words}"));
            }
        }
        // DIFFERENCES.md C15: a proposed SCP role is ignored, and said to be.
        let roles = request.user_information.iter().flat_map(|information| &information.roles);
        for role in roles.filter(|role| role.scp) {
            let answered =
                negotiation.roles.iter().any(|answer| answer.sop_class_uid == role.sop_class_uid);
            if !answered {
                self.narrator.explain(format_args!(
                    "the SCP role proposed for {:?} is ignored; a profile with role selection (-xf) \
                     would answer it",
                    role.sop_class_uid
                ));
            }
        }
    }

    /// Serves messages until the association ends.
    fn operate(&mut self, exchange: &mut Exchange) -> End {
        loop {
            let wanted_bytes = match self.handle_block(exchange) {
                Ok(Handled::All { wanted_bytes }) => wanted_bytes,
                Ok(Handled::UpTo(operation)) => match self.perform(&operation, exchange) {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                // Only who asked is answered: `served` of getting.rs.
                Ok(Handled::Answered) => continue,
                Err(end) => return end,
            };
            let waiting = if exchange.is_idle() {
                if self.shared.stop.is_raised() {
                    self.narrator.explain(format_args!("aborting: the receiver is stopping"));
                    return self.abort(Abort::USER);
                }
                self.buffer.shrink();
                Waiting::NextMessage
            } else {
                Waiting::RestOfMessage
            };
            self.is_slow = exchange.is_slow();
            self.pace = exchange.slow_read;
            if let Err(end) = self.read(wanted_bytes, waiting) {
                return self.read_ended(exchange, &end);
            }
        }
    }

    /// Runs an operation that has many answers.
    fn perform(&mut self, operation: &Operation, exchange: &mut Exchange) -> Result<(), End> {
        let service = self.service;
        let class = operation.context.abstract_syntax.text();
        let mut agreed = exchange.agreed_information.iter();
        let agreed = agreed.find(|(uid, _)| *uid == class).map(|(_, bytes)| bytes.clone());
        let Some(open) = exchange.area.clone() else { return Err(self.abort(Abort::USER)) };
        let Operation { context, request, identifier } = operation;
        let syntax = TransferSyntax::of(&context.transfer_syntax);
        self.narrator.query_identifiers(request.service, syntax, identifier);
        let mut peer = Peer::new(self, exchange, operation);
        let result = match (&service.objects, operation.request.service) {
            (Objects::Directory(_), _) => Ok(()),
            (Objects::Areas(archive), QueryService::Find) => {
                let mut settings = archive.find.clone();
                settings.rules = settings.rules.with(agreed.as_deref());
                find::find(&mut peer, operation, &open.area, &open.index, &settings)
            }
            (Objects::Areas(archive), QueryService::Move | QueryService::Get) => {
                let rules = archive.retrieve.with(agreed.as_deref());
                select(&mut peer, operation, &open, rules).and_then(|found| match found {
                    Some(keys) => {
                        let destinations = &archive.destinations;
                        retrieve::perform(&mut peer, operation, &keys, &open, destinations)
                    }
                    None => Ok(()),
                })
            }
        };
        peer.finish(result)
    }

    /// Handles the complete PDUs in the buffer, up to one that begins an operation.
    pub(super) fn handle_block(&mut self, exchange: &mut Exchange) -> Result<Handled, End> {
        let Self { shared, service, narrator, connection, ul, buffer, pdu_begun, .. } = self;
        let unread = buffer.unread();
        let mut consumed = 0;
        let mut left_over: &[u8] = &[];
        let mut block = exchange.block(shared, service, narrator, connection);
        let mut cause = None;
        let result = loop {
            let received = ul.receive(&unread[consumed..]);
            consumed += received.consumed;
            if received.consumed > 0 {
                *pdu_begun = None;
            }
            match received.indication {
                Indication::Data(mut body) => {
                    let mut number = 0;
                    let outcome = loop {
                        number += 1;
                        let (pdv, rest) = match split_first(body) {
                            Ok(split) => split,
                            Err(error) => {
                                let why = Cause::of_pdv(&error, number);
                                break Outcome::Abort(error.abort(), why);
                            }
                        };
                        match block.accept(pdv) {
                            Outcome::GoOn if !rest.is_empty() => body = rest,
                            outcome => {
                                left_over = rest;
                                break outcome;
                            }
                        }
                    };
                    match outcome {
                        Outcome::GoOn => {}
                        Outcome::Abort(abort, why) => {
                            cause = Some(why);
                            let reaction = ul.abort(abort);
                            break Err((reaction, End::Aborted));
                        }
                        Outcome::AbortTold(abort) => break Err((ul.abort(abort), End::Aborted)),
                        Outcome::Close => break Err((Reaction::NONE, End::Aborted)),
                        Outcome::PeerGone => break Err((Reaction::NONE, End::PeerGone)),
                        Outcome::Operate(operation) => break Ok(Handled::UpTo(operation)),
                        Outcome::Answered if left_over.is_empty() => break Ok(Handled::Answered),
                        Outcome::Answered => {
                            cause = Some("a message behind the final response".into());
                            break Err((ul.abort(Abort::USER), End::Aborted));
                        }
                    }
                }
                Indication::NeedMore { total_bytes } => {
                    break Ok(Handled::All { wanted_bytes: total_bytes });
                }
                Indication::ReleaseRequest { .. } => {
                    let reaction = ul.release_reply().unwrap_or(Reaction::NONE);
                    break Err((reaction, End::Released));
                }
                Indication::PeerAbort(abort) => {
                    break Err((received.reaction, End::PeerAborted(abort)));
                }
                Indication::Fault(fault) => {
                    cause = Some(Cause::of_fault(&fault));
                    break Err((received.reaction, End::Aborted));
                }
                _ => break Err((received.reaction, End::PeerGone)),
            }
        };
        // Fragments borrow the buffer: they go to the file before its bytes are dropped.
        block.flush();
        exchange.left_over.extend_from_slice(left_over);
        buffer.consume(consumed);
        if let Some(mut cause) = cause {
            if exchange.is_storing() {
                cause = cause.in_data_set();
            }
            exchange.tell_cut(&self.narrator, cause.told());
            self.tell_failure(&cause, Some(exchange.titles()));
            self.fault = Some(cause.explanation.into_owned());
        }
        result.map_err(|(reaction, end)| {
            let _ = self.carry_out(reaction);
            match end {
                End::Aborted => {}
                End::Released => exchange.tell_cut(&self.narrator, conditions::RELEASED),
                _ => exchange.tell_cut(&self.narrator, conditions::ABORTED),
            }
            end
        })
    }

    /// Says why the association is aborted.
    pub(super) fn tell_failure(&self, cause: &Cause, titles: Option<(&AeTitle, &AeTitle)>) {
        self.narrator.failure(cause, &Whose { peer: &self.connection.peer(), titles });
    }

    /// A-ABORT, sent.
    pub(super) fn abort(&mut self, abort: Abort) -> End {
        let reaction = self.ul.abort(abort);
        let _ = self.carry_out(reaction);
        End::Aborted
    }

    /// No more bytes came: the peer is gone, late, or we are stopping.
    pub(super) fn read_ended(&mut self, exchange: &mut Exchange, end: &ReadEnd) -> End {
        match end {
            ReadEnd::Closed | ReadEnd::Broken(_) => {
                if let Some(fault) = end.tls_fault() {
                    self.narrator.not_secured(self.connection.peer(), &fault.explanation);
                }
                exchange.tell_cut(&self.narrator, conditions::ABORTED);
                End::PeerGone
            }
            ReadEnd::TimedOut => {
                exchange.tell_cut(&self.narrator, conditions::LATE);
                self.abort(Abort::NOT_SPECIFIED);
                End::TimedOut
            }
            ReadEnd::Stopped | ReadEnd::Interrupted => {
                self.narrator.explain(format_args!("aborting: the receiver is stopping"));
                self.abort(Abort::USER)
            }
        }
    }

    fn tell_end(&mut self, end: &End) {
        match end {
            End::Released => self.narrator.released(),
            End::PeerAborted(_) | End::PeerGone => self.narrator.aborted(),
            End::TimedOut => self.narrator.idle_for_too_long(),
            End::Aborted => {}
        }
    }

    fn block<'a>(&self, request: &'a AssociateRq, kind: &'static str) -> AssociationBlock<'a> {
        let information = request.user_information.as_ref();
        AssociationBlock {
            kind,
            our_implementation: (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME),
            their_implementation: their_implementation(information),
            application_context: request.application_context,
            calling: request.calling_ae_title(),
            called: request.called_ae_title(),
            responding: None,
            max_pdu_bytes: (
                self.service.max_pdu_bytes,
                shown_maximum_length(request.maximum_length()),
            ),
            contexts: Vec::new(),
            extended_negotiation: (extended_negotiation(information), Vec::new()),
            user_identity: information.and_then(|information| {
                let identity = information.user_identity.as_ref()?;
                Some(UserIdentityBlock {
                    kind: identity.identity_type,
                    user_name: matches!(identity.identity_type, 1 | 2)
                        .then_some(&identity.primary_field[..]),
                    response_requested: identity.positive_response_requested,
                })
            }),
        }
    }

    fn request_block<'a>(&self, request: &'a AssociateRq) -> AssociationBlock<'a> {
        let mut block = self.block(request, "A-ASSOCIATE-RQ");
        block.contexts = request
            .contexts
            .iter()
            .map(|context| ContextBlock {
                id: context.id,
                result: None,
                abstract_syntax: context.abstract_syntax,
                proposed_role: proposed_role(request, context.abstract_syntax.text()),
                accepted_role: None,
                transfer_syntaxes: context.transfer_syntaxes.clone(),
            })
            .collect();
        block
    }

    fn answer_block<'a>(
        &self,
        request: &'a AssociateRq,
        negotiation: &Negotiation,
        accept: &'a AssociateAc,
    ) -> AssociationBlock<'a> {
        let mut block = self.block(request, "A-ASSOCIATE-AC");
        // DCMTK's archive leaves it empty.
        block.responding =
            (self.service.dialect != Dialect::Dcmqrscp).then(|| request.called_ae_title());
        block.extended_negotiation.1 = extended_negotiation(accept.user_information.as_ref());
        block.contexts = negotiation
            .decisions
            .iter()
            .map(|decision| {
                let uid = decision.abstract_syntax.text();
                let answered = negotiation.roles.iter().any(|role| Some(role.sop_class_uid) == uid);
                ContextBlock {
                    id: decision.id,
                    result: Some(decision.result),
                    abstract_syntax: decision.abstract_syntax,
                    proposed_role: proposed_role(request, uid),
                    accepted_role: answered.then_some((decision.roles.scu, decision.roles.scp)),
                    transfer_syntaxes: decision
                        .transfer_syntax
                        .map(Uid::text)
                        .into_iter()
                        .collect(),
                }
            })
            .collect();
        block
    }
}

/// The service class application information that both sides have, byte by byte: 1 where the peer
/// asked for something and we answered that we do it (PS3.4 §C.5).
fn agreed_information(request: &AssociateRq, accept: &AssociateAc) -> Vec<(UidText, Box<[u8]>)> {
    let asked = extended_negotiation(request.user_information.as_ref());
    extended_negotiation(accept.user_information.as_ref())
        .into_iter()
        .filter_map(|(uid, ours)| {
            let (_, theirs) = asked.iter().find(|(asked, _)| *asked == uid)?;
            Some((uid, ours.iter().zip(*theirs).map(|(ours, theirs)| ours & theirs).collect()))
        })
        .collect()
}

fn their_implementation(information: Option<&UserInformation>) -> (String, String) {
    let Some(information) = information else { return Default::default() };
    let uid = information.implementation_class_uid.text();
    let uid = uid.map_or_else(String::new, |uid| escaped(uid.as_bytes()).to_string());
    let name = information.implementation_version_name.as_deref().unwrap_or_default();
    (uid, escaped(name).to_string())
}

fn extended_negotiation(information: Option<&UserInformation>) -> Vec<(UidText, &[u8])> {
    information
        .iter()
        .flat_map(|information| &information.extended_negotiation)
        .map(|item| (item.sop_class_uid, &item.information[..]))
        .collect()
}

fn proposed_role(request: &AssociateRq, uid: Option<UidText>) -> Option<(bool, bool)> {
    let roles = &request.user_information.as_ref()?.roles;
    let role = roles.iter().find(|role| Some(role.sop_class_uid) == uid)?;
    Some((role.scu, role.scp))
}
