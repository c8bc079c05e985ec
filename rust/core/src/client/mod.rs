//! The requestor side: associate, echo, store, query, release, abort.
//!
//! One [`Requestor`] is one association, driven by its caller's thread. Used by the SCU tools and by
//! the sub-operations of C-MOVE. Deadlines are the tools' options: connection, ACSE, DIMSE, socket. A
//! data set is sent from a `Read` in blocks: headers and borrowed slices leave in one vectored
//! write, nothing is copied. Every failure is a [`ClientError`] that says what the peer did.

use std::fmt;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use self::query::{Inbox, Incoming, Reply};
use self::send::{DataSet, SendError, send_message};
use crate::ae_title::AeTitle;
use crate::dimse::message::append_command;
use crate::dimse::service::{DataSetType, EchoRequest, Priority, StoreRequest, command_field};
use crate::dimse::status::Status;
use crate::limits::STOP_GRACE_S;
use crate::log::{escaped, system_text};
use crate::net::buffer::{BlockPool, ReadBuffer};
pub use crate::net::tcp::Interrupt;
use crate::net::tcp::{Connection, ReadEnd, SocketAddr, StopFlag, TransportOptions, WriteEnd};
use crate::net::tls::{HandshakeEnd, TlsContext, TlsFault};
use crate::uid::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Uid, UidText};
use crate::ul::dump::dump;
use crate::ul::pdu::{
    APPLICATION_CONTEXT_NAME, Abort, AssociateAc, AssociateRj, AssociateRq, ExtendedNegotiation,
    PresentationResult, ProposedContext, RoleSelection, TitleFields, UidItem, UserIdentity,
    UserInformation,
};
use crate::ul::pdv::{ContextIds, Fragmenter, MaximumTooSmall};
use crate::ul::provider::{Indication, LocalProtocolError, UpperLayer};
use crate::ul::state_table::State;

pub mod operate;
pub mod query;
pub mod send;

/// Abstract syntax of C-ECHO, PS3.4 Annex A.
const VERIFICATION_SOP_CLASS: &str = "1.2.840.10008.1.1";

/// What to ask for, and how long to wait.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Calling AE title.
    pub calling: AeTitle,
    /// Called AE title.
    pub called: AeTitle,
    /// Abstract syntax and transfer syntaxes of each context; at most 128. IDs are 1, 3, 5, ….
    pub contexts: Vec<(Uid, Vec<Uid>)>,
    /// Roles asked for, by SOP class (PS3.7 §D.3.3.4); none asks for the default, SCU.
    pub roles: Vec<RoleSelection>,
    /// Service class application information by SOP class (PS3.7 §D.3.3.5).
    pub extended_negotiation: Vec<ExtendedNegotiation>,
    /// Who asks (PS3.7 §D.3.3.7); `None` does not say.
    pub user_identity: Option<UserIdentity>,
    /// Longest P-DATA-TF announced, in bytes.
    pub max_pdu_bytes: u32,
    /// Longest P-DATA-TF sent, in bytes, when below the peer's own limit (`--max-send-pdu`).
    pub max_send_pdu_bytes: Option<u32>,
    /// Options of the socket.
    pub transport: TransportOptions,
    /// What the connection is secured with; `None` for plain TCP.
    pub tls: Option<TlsContext>,
    /// Opening the transport connection (`--timeout`).
    pub connect_timeout: Option<Duration>,
    /// Answer to the request for association or release (`--acse-timeout`).
    pub acse_timeout: Option<Duration>,
    /// Answer to a command (`--dimse-timeout`); `None` waits as long as the socket does.
    pub dimse_timeout: Option<Duration>,
    /// Silence of the peer (`--socket-timeout`).
    pub socket_timeout: Option<Duration>,
    /// Ends every wait some seconds after it was raised; `None` for a process whose only work this is.
    pub stop: Option<StopFlag>,
    /// Ends every wait at once; asked some times a second.
    pub interrupted: Option<Interrupt>,
    /// Keeps what is shown at `-d` only ([`Requestor::details`]).
    pub is_shown_in_detail: bool,
}

impl Proposal {
    /// What ends a wait, of whatever kind: of an association, within which something may be in hand.
    fn patience(&self) -> Option<Interrupt> {
        self.interrupt_after(Duration::from_secs(u64::from(STOP_GRACE_S) / 2))
    }

    /// A stop ends waits when it has been asked for that long.
    fn interrupt_after(&self, patience: Duration) -> Option<Interrupt> {
        let (stop, interrupted) = (self.stop.clone(), self.interrupted.clone());
        if stop.is_none() {
            return interrupted;
        }
        Some(Interrupt::new(move || {
            stop.as_ref().is_some_and(|stop| stop.is_raised_since(patience))
                || interrupted.as_ref().is_some_and(Interrupt::is_due)
        }))
    }
}

/// Why an operation failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The transport connection could not be opened.
    Connect(io::Error),
    /// TLS failed: one side refused the other.
    Tls(Box<TlsFault>),
    /// A-ASSOCIATE-RJ.
    Rejected(AssociateRj),
    /// The peer sent A-ABORT.
    PeerAborted(Abort),
    /// The peer closed, or the connection broke.
    PeerGone(Option<io::Error>),
    /// The peer asked for the release in the middle of our work.
    PeerReleased,
    /// No answer in time, or the peer does not read.
    TimedOut,
    /// Our own user does not want to wait any longer.
    Interrupted,
    /// The peer broke the protocol; we aborted.
    Protocol(String),
    /// No accepted presentation context for what was to be sent.
    NoContext,
    /// The peer's maximum length leaves no room for data.
    MaximumTooSmall(MaximumTooSmall),
    /// The data set could not be read, and the association was aborted in the middle of it.
    Source(io::Error),
    /// The data set could not be read; nothing of it was sent, and the association goes on.
    Unsent(io::Error),
    /// We were about to break the protocol; a fault of the caller.
    Local(LocalProtocolError),
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => {
                write!(formatter, "TCP Initialization Error: {}", system_text(error))
            }
            Self::Tls(fault) => fmt::Display::fmt(fault, formatter),
            Self::Rejected(rejection) => write!(
                formatter,
                "Association Rejected: {}, {}, {}",
                rejection.result_text(),
                rejection.source_text(),
                rejection.reason_text()
            ),
            Self::PeerAborted(_) | Self::PeerGone(_) => {
                formatter.write_str("Peer aborted Association (or never connected)")
            }
            Self::PeerReleased => formatter.write_str("Peer requested release"),
            Self::TimedOut => formatter.write_str("No answer in time"),
            Self::Interrupted => formatter.write_str("interrupted"),
            Self::Protocol(what) => formatter.write_str(what),
            Self::NoContext => formatter.write_str("No valid Presentation Context ID"),
            Self::MaximumTooSmall(error) => fmt::Display::fmt(error, formatter),
            Self::Source(error) | Self::Unsent(error) => {
                write!(formatter, "cannot read the data set: {error}")
            }
            Self::Local(error) => fmt::Display::fmt(error, formatter),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<LocalProtocolError> for ClientError {
    fn from(error: LocalProtocolError) -> Self {
        Self::Local(error)
    }
}

impl From<WriteEnd> for ClientError {
    fn from(end: WriteEnd) -> Self {
        match end {
            WriteEnd::TimedOut => Self::TimedOut,
            WriteEnd::Interrupted => Self::Interrupted,
            WriteEnd::Broken(error) => Self::PeerGone(Some(error)),
        }
    }
}

impl From<ReadEnd> for ClientError {
    fn from(end: ReadEnd) -> Self {
        if let Some(fault) = end.tls_fault() {
            return Self::Tls(Box::new(fault.clone()));
        }
        match end {
            ReadEnd::TimedOut | ReadEnd::Stopped => Self::TimedOut,
            ReadEnd::Interrupted => Self::Interrupted,
            ReadEnd::Closed => Self::PeerGone(None),
            ReadEnd::Broken(error) => Self::PeerGone(Some(error)),
        }
    }
}

impl From<HandshakeEnd> for ClientError {
    fn from(end: HandshakeEnd) -> Self {
        match end {
            HandshakeEnd::TimedOut => Self::TimedOut,
            HandshakeEnd::Stopped => Self::Interrupted,
            HandshakeEnd::Closed => Self::PeerGone(None),
            HandshakeEnd::Refused(fault) => Self::Tls(Box::new(fault)),
        }
    }
}

/// A context as the peer answered it.
#[derive(Clone, Copy, Debug)]
pub struct NegotiatedContext {
    /// Presentation context ID.
    pub id: u8,
    /// What was proposed.
    pub abstract_syntax: Uid,
    /// The peer's answer.
    pub result: PresentationResult,
    /// The transfer syntax, when accepted.
    pub transfer_syntax: Option<Uid>,
    /// The role that the peer answered, SCU and SCP; `None` when it answered none.
    pub role: Option<(bool, bool)>,
}

/// What a caller may choose for its next request; the usual one else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Its message ID; the next one in turn else.
    pub message_id: Option<u16>,
    /// Its priority; medium else.
    pub priority: Option<Priority>,
    /// Title and message ID of the C-MOVE that a C-STORE belongs to (PS3.7 §9.1.1.1.4).
    pub move_originator: Option<(AeTitle, u16)>,
}

/// What is shown of an association at `-d` only.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// The bytes of the A-ASSOCIATE-AC, as DCMTK dumps them.
    pub answer: String,
    /// Version, suite and peer of a secure connection, as DCMTK shows them.
    pub security: Option<String>,
}

/// One association, seen from its requestor.
pub struct Requestor {
    connection: Connection,
    ul: UpperLayer,
    buffer: ReadBuffer,
    inbox: Inbox,
    fragmenter: Fragmenter,
    contexts: Vec<NegotiatedContext>,
    peer_max_pdu_bytes: Option<u32>,
    peer_implementation: (String, String),
    /// The peer answered the user identity (PS3.7 §D.3.3.7.2).
    is_identity_answered: bool,
    dimse_timeout: Option<Duration>,
    socket_timeout: Option<Duration>,
    acse_timeout: Option<Duration>,
    next_message_id: u16,
    /// The context of the C-STORE request that was begun last.
    stored_on: u8,
    /// Of the next request alone.
    manner: Manner,
    /// The PDUs of a command; kept, so that none are allocated per message.
    head: Vec<u8>,
    /// Version, suite and peer of a secure connection.
    secured: Option<String>,
    /// Kept where it is shown.
    details: Option<Box<Details>>,
}

/// A request whose response is waited for.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    request_field: u16,
    context_id: u8,
    message_id: u16,
}

/// How long something of the peer's is waited for.
struct Wait {
    deadline: Option<Instant>,
    /// Bytes of a data set restart it: a large object is silence only between its PDUs.
    patience: Option<Duration>,
}

impl Wait {
    /// The whole of it, in any case.
    const fn until(deadline: Option<Instant>) -> Self {
        Self { deadline, patience: None }
    }

    /// Counted from what brought the end nearer last.
    fn restarted_every(patience: Option<Duration>) -> Self {
        Self { deadline: patience.map(|patience| Instant::now() + patience), patience }
    }

    fn restart(&mut self) {
        if let Some(patience) = self.patience {
            self.deadline = Some(Instant::now() + patience);
        }
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// What the peer's next PDU meant, copied out of the buffer.
enum Event {
    Accept(Box<AssociateAc>),
    Response(Box<Reply>),
    ReleaseReply,
}

impl Requestor {
    /// Opens a transport connection to the first of `addresses` that answers, and asks for an
    /// association.
    ///
    /// # Errors
    ///
    /// [`ClientError::Connect`], [`ClientError::Rejected`] and the peer's faults. An accepted
    /// association without any accepted context is no error here; see [`Requestor::contexts`].
    pub fn associate(addresses: &[SocketAddr], proposal: &Proposal) -> Result<Self, ClientError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut connection = None;
        // Until there is an association nothing is in hand that a stop would cut.
        let interrupt = proposal.interrupt_after(Duration::ZERO);
        let (timeout, options) = (proposal.connect_timeout, proposal.transport);
        for address in addresses {
            match Connection::connect(*address, timeout, options, interrupt.as_ref()) {
                Ok(opened) => {
                    connection = Some(opened);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    return Err(ClientError::Interrupted);
                }
                Err(error) => last = error,
            }
        }
        let Some(mut connection) = connection else { return Err(ClientError::Connect(last)) };
        if let Some(interrupt) = interrupt {
            connection.interrupted_by(interrupt);
        }
        let secured = match &proposal.tls {
            Some(context) => {
                let deadline = proposal.acse_timeout.map(|timeout| Instant::now() + timeout);
                Some(connection.secure(context, deadline, proposal.stop.as_ref())?)
            }
            None => None,
        };
        if proposal.dimse_timeout.or(proposal.socket_timeout).is_none() {
            // Silence may last, but not that of a host that is gone.
            connection.watch_for_a_dead_peer();
        }
        let request = request_of(proposal);
        let mut requestor = Self {
            connection,
            ul: UpperLayer::requestor(proposal.max_pdu_bytes),
            buffer: ReadBuffer::new(BlockPool::default()),
            inbox: Inbox::new(ContextIds::default()),
            fragmenter: Fragmenter::new(proposal.max_send_pdu_bytes)
                .map_err(ClientError::MaximumTooSmall)?,
            contexts: Vec::new(),
            peer_max_pdu_bytes: None,
            peer_implementation: Default::default(),
            is_identity_answered: false,
            dimse_timeout: proposal.dimse_timeout,
            socket_timeout: proposal.socket_timeout,
            acse_timeout: proposal.acse_timeout,
            next_message_id: 1,
            stored_on: 0,
            manner: Manner::default(),
            head: Vec::new(),
            secured,
            details: None,
        };
        if proposal.is_shown_in_detail {
            let security = requestor.connection.security_details();
            requestor.details = Some(Box::new(Details { security, ..Details::default() }));
        }
        let pdu = requestor.ul.associate(&request)?;
        requestor.connection.write(&pdu)?;
        let deadline = proposal.acse_timeout.map(|timeout| Instant::now() + timeout);
        let answer = requestor.next(&mut Wait::until(deadline), None).inspect_err(|error| {
            // Nobody has the association yet who could abort it (PS3.8 Table 9-10, AA-1).
            if matches!(error, ClientError::Interrupted) {
                requestor.abort_with(Abort::USER);
            }
        })?;
        match answer {
            Event::Accept(accept) => requestor.established(proposal, &accept)?,
            _ => return Err(requestor.protocol("an answer out of place".into())),
        }
        if let Some(patience) = proposal.patience() {
            requestor.connection.interrupted_by(patience);
        }
        Ok(requestor)
    }

    fn established(
        &mut self,
        proposal: &Proposal,
        accept: &AssociateAc,
    ) -> Result<(), ClientError> {
        self.peer_max_pdu_bytes = accept.maximum_length();
        if let Some(information) = &accept.user_information {
            let uid = information.implementation_class_uid.text();
            let name = information.implementation_version_name.as_deref().unwrap_or_default();
            self.is_identity_answered = information.user_identity_response.is_some();
            self.peer_implementation = (
                uid.map_or_else(String::new, |uid| escaped(uid.as_bytes()).to_string()),
                escaped(name).to_string(),
            );
        }
        let limit = match (accept.maximum_length(), proposal.max_send_pdu_bytes) {
            (Some(peer), Some(own)) => Some(peer.min(own)),
            (peer, own) => peer.or(own),
        };
        self.fragmenter = match Fragmenter::new(limit) {
            Ok(fragmenter) => fragmenter,
            Err(error) => {
                self.abort_with(Abort::INVALID_PDU_PARAMETER);
                return Err(ClientError::MaximumTooSmall(error));
            }
        };
        self.contexts = answered(&proposal.contexts, accept);
        let accepted = self.contexts.iter().filter(|context| context.transfer_syntax.is_some());
        self.inbox = Inbox::new(accepted.map(|context| context.id).collect());
        Ok(())
    }

    /// Version, suite and peer of a secure connection, for the log.
    pub fn secured(&self) -> Option<&str> {
        self.secured.as_deref()
    }

    /// What is shown at `-d` only, where it was to be kept.
    pub fn details(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    /// The contexts in the order of the proposal.
    pub fn contexts(&self) -> &[NegotiatedContext] {
        &self.contexts
    }

    /// The peer's maximum length; `None` for no limit.
    pub fn peer_max_pdu_bytes(&self) -> Option<u32> {
        self.peer_max_pdu_bytes
    }

    /// The peer's implementation class UID and version name, escaped.
    pub fn peer_implementation(&self) -> (&str, &str) {
        (&self.peer_implementation.0, &self.peer_implementation.1)
    }

    /// True when the peer answered the user identity.
    pub fn is_identity_answered(&self) -> bool {
        self.is_identity_answered
    }

    /// How messages are cut.
    pub(crate) fn fragmenter(&self) -> Fragmenter {
        self.fragmenter
    }

    /// The message ID of the next request.
    pub fn next_message_id(&self) -> u16 {
        self.next_message_id
    }

    /// Says how the next request is to differ from the usual; it holds for that one alone.
    pub fn set_manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// How the request that is made now differs; its message ID is taken.
    fn take_manner(&mut self) -> (u16, Priority, Option<(AeTitle, u16)>) {
        let Manner { message_id, priority, move_originator } = std::mem::take(&mut self.manner);
        if let Some(chosen) = message_id {
            self.next_message_id = chosen;
        }
        (self.take_message_id(), priority.unwrap_or(Priority::Medium), move_originator)
    }

    fn take_message_id(&mut self) -> u16 {
        let id = self.next_message_id;
        self.next_message_id = self.next_message_id.checked_add(1).unwrap_or(1);
        id
    }
}

/// What a requestor is apart from its connection: put aside while objects come over it (C-GET).
pub(crate) struct Aside {
    /// Whoever serves the association meanwhile ends it in its own way.
    interrupt: Option<Interrupt>,
    fragmenter: Fragmenter,
    contexts: Vec<NegotiatedContext>,
    peer_max_pdu_bytes: Option<u32>,
    peer_implementation: (String, String),
    timeouts: [Option<Duration>; 3],
    secured: Option<String>,
    next_message_id: u16,
}

impl Requestor {
    /// Hands over connection, upper layer and what was read; no response is due.
    pub(crate) fn put_aside(mut self) -> (Connection, UpperLayer, ReadBuffer, Aside) {
        let aside = Aside {
            interrupt: self.connection.take_interrupt(),
            fragmenter: self.fragmenter,
            contexts: self.contexts,
            peer_max_pdu_bytes: self.peer_max_pdu_bytes,
            peer_implementation: self.peer_implementation,
            timeouts: [self.dimse_timeout, self.socket_timeout, self.acse_timeout],
            secured: self.secured,
            next_message_id: self.next_message_id,
        };
        (self.connection, self.ul, self.buffer, aside)
    }

    /// The requestor again, when nothing more comes over its association unasked.
    pub(crate) fn resume(
        mut connection: Connection,
        ul: UpperLayer,
        buffer: ReadBuffer,
        aside: Aside,
    ) -> Self {
        let accepted = aside.contexts.iter().filter(|context| context.transfer_syntax.is_some());
        let [dimse_timeout, socket_timeout, acse_timeout] = aside.timeouts;
        if let Some(interrupt) = aside.interrupt {
            connection.interrupted_by(interrupt);
        }
        Self {
            connection,
            ul,
            buffer,
            inbox: Inbox::new(accepted.map(|context| context.id).collect()),
            fragmenter: aside.fragmenter,
            contexts: aside.contexts,
            peer_max_pdu_bytes: aside.peer_max_pdu_bytes,
            peer_implementation: aside.peer_implementation,
            is_identity_answered: false,
            dimse_timeout,
            socket_timeout,
            acse_timeout,
            secured: aside.secured,
            details: None,
            next_message_id: aside.next_message_id,
            stored_on: 0,
            manner: Manner::default(),
            head: Vec::new(),
        }
    }
}

/// The contexts that were proposed, as the peer answered them. A result for one that was not is
/// ignored, and a transfer syntax that was not proposed is as good as a refusal (PS3.8 §9.3.3.2.1).
fn answered(contexts: &[(Uid, Vec<Uid>)], accept: &AssociateAc) -> Vec<NegotiatedContext> {
    let roles = accept.user_information.as_ref().map_or(&[][..], |items| &items.roles);
    let contexts = contexts.iter().enumerate().map(|(at, (abstract_syntax, proposed))| {
        let id = context_id(at);
        let answer = accept.contexts.iter().find(|context| context.id == id);
        let result = answer.map_or(PresentationResult::NoReason, |context| context.result);
        let transfer_syntax = answer
            .filter(|context| context.result == PresentationResult::Acceptance)
            .and_then(|context| context.transfer_syntax.uid())
            .filter(|syntax| proposed.contains(syntax));
        let result = match (result, transfer_syntax) {
            (PresentationResult::Acceptance, None) => PresentationResult::NoReason,
            (result, _) => result,
        };
        let role = roles.iter().find(|role| role.sop_class_uid == abstract_syntax.text());
        let role = role.map(|role| (role.scu, role.scp));
        NegotiatedContext { id, abstract_syntax: *abstract_syntax, result, transfer_syntax, role }
    });
    contexts.collect()
}

/// The ID of the `at`-th proposed context: odd, from 1 (PS3.8 §9.3.2.2).
const fn context_id(at: usize) -> u8 {
    (at * 2 + 1) as u8
}

fn request_of(proposal: &Proposal) -> AssociateRq {
    let context =
        |(at, (abstract_syntax, transfer_syntaxes)): (usize, &(Uid, Vec<Uid>))| ProposedContext {
            id: context_id(at),
            abstract_syntax: UidItem::of(*abstract_syntax),
            transfer_syntaxes: transfer_syntaxes.iter().map(|uid| uid.text()).collect(),
            transfer_syntaxes_dropped: 0,
        };
    AssociateRq {
        protocol_version: 1,
        titles: TitleFields::new(proposal.called, proposal.calling),
        application_context: UidItem::of(Uid::known(APPLICATION_CONTEXT_NAME)),
        contexts: proposal.contexts.iter().enumerate().map(context).collect(),
        user_information: Some(UserInformation {
            maximum_length: Some(proposal.max_pdu_bytes),
            implementation_class_uid: UidItem::of(Uid::known(IMPLEMENTATION_CLASS_UID)),
            implementation_version_name: Some(IMPLEMENTATION_VERSION_NAME.into()),
            roles: proposal.roles.clone(),
            extended_negotiation: proposal.extended_negotiation.clone(),
            user_identity: proposal.user_identity.clone(),
            ..UserInformation::default()
        }),
    }
}

impl Requestor {
    /// Sends C-ECHO and waits for its response; gives the status (PS3.7 §9.1.5).
    pub fn echo(&mut self, context_id: u8) -> Result<Status, ClientError> {
        let (message_id, _, _) = self.take_manner();
        let request = EchoRequest {
            message_id,
            affected_sop_class_uid: Some(Uid::known(VERIFICATION_SOP_CLASS).text()),
            data_set_type: DataSetType::Absent,
        };
        let mut pdu = Vec::with_capacity(128);
        append_command(&mut pdu, &self.fragmenter, context_id, |out| request.encode(out));
        self.connection.write(&pdu)?;
        let request_field = command_field::C_ECHO_RQ;
        Ok(self.reply(Awaited { request_field, context_id, message_id })?.status)
    }

    /// Sends C-STORE with the `data_set_bytes` that `source` gives, and waits for its response;
    /// gives the status (PS3.7 §9.1.1).
    ///
    /// `progress` is told after each block how many PDVs it took.
    ///
    /// # Errors
    ///
    /// [`ClientError::Source`] when `source` ends early or fails, and [`ClientError::Interrupted`]
    /// within the object: the association is aborted then, because a message cannot be taken back.
    pub fn store(
        &mut self,
        context_id: u8,
        sop_class_uid: UidText,
        sop_instance_uid: UidText,
        data_set_bytes: u64,
        source: &mut dyn Read,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Status, ClientError> {
        let (message_id, priority, originator) = self.take_manner();
        let request = StoreRequest {
            message_id,
            affected_sop_class_uid: Some(sop_class_uid),
            affected_sop_instance_uid: Some(sop_instance_uid),
            priority: Some(priority),
            move_originator_ae_title: originator.map(|(title, _)| title),
            move_originator_message_id: originator.map(|(_, id)| id),
            data_set_type: DataSetType::Present,
        };
        let mut head = Vec::with_capacity(256);
        append_command(&mut head, &self.fragmenter, context_id, |out| request.encode(out));
        let fragment_bytes = self.fragmenter.fragment_bytes_max();
        let block_bytes = send::block_bytes(self.fragmenter);
        let first = data_set_bytes.min(block_bytes as u64) as usize;
        let mut block = vec![0; first];
        let mut sent = 0;
        loop {
            let count = (data_set_bytes - sent).min(block_bytes as u64) as usize;
            if let Err(error) = source.read_exact(&mut block[..count]) {
                self.abort_with(Abort::USER);
                return Err(ClientError::Source(error));
            }
            sent += count as u64;
            let is_end = sent == data_set_bytes;
            let (connection, fragmenter) = (&mut self.connection, self.fragmenter);
            send::send_block(connection, fragmenter, &head, context_id, &block[..count], is_end)
                .map_err(|end| self.cut_short(end))?;
            head.clear();
            progress(count.div_ceil(fragment_bytes).max(1));
            if is_end {
                let request_field = command_field::C_STORE_RQ;
                return Ok(self.reply(Awaited { request_field, context_id, message_id })?.status);
            }
        }
    }

    /// Sends a C-STORE request with its data set and does not wait; gives its message ID, which
    /// takes the place of that in `request`. The response is due before the next request
    /// ([`Requestor::store_status`]).
    ///
    /// # Errors
    ///
    /// After [`ClientError::Unsent`] the association goes on; after any other it is of no more use.
    pub fn begin_store(
        &mut self,
        context_id: u8,
        request: &StoreRequest,
        data_set: DataSet<'_>,
    ) -> Result<u16, ClientError> {
        let message_id = self.take_message_id();
        self.stored_on = context_id;
        let request = StoreRequest { message_id, ..*request };
        let Self { connection, fragmenter, head, .. } = self;
        append_command(head, fragmenter, context_id, |out| request.encode(out));
        match send_message(connection, *fragmenter, context_id, head, data_set) {
            Ok(()) => Ok(message_id),
            Err(SendError::Write(end)) => Err(self.cut_short(end)),
            Err(SendError::Unsent(error)) => Err(ClientError::Unsent(error)),
            Err(SendError::Cut(error)) => {
                self.abort_with(Abort::USER);
                Err(ClientError::Source(error))
            }
        }
    }

    /// Waits for the response to the C-STORE request `message_id`.
    ///
    /// # Errors
    ///
    /// The peer's faults; the association is of no more use then.
    pub fn store_status(&mut self, message_id: u16) -> Result<Status, ClientError> {
        Ok(self.reply(self.stored(message_id))?.status)
    }

    /// The C-STORE request that was begun last.
    const fn stored(&self, message_id: u16) -> Awaited {
        let context_id = self.stored_on;
        Awaited { request_field: command_field::C_STORE_RQ, context_id, message_id }
    }

    /// Releases the association and closes; aborts it when that fails.
    ///
    /// # Errors
    ///
    /// The peer's faults.
    pub fn release(mut self) -> Result<(), ClientError> {
        let released = self.released();
        if released.is_err() {
            self.abort_with(Abort::USER);
        }
        released
    }

    fn released(&mut self) -> Result<(), ClientError> {
        let reaction = self.ul.release()?;
        if let Some(pdu) = reaction.send {
            self.connection.write(&pdu)?;
        }
        let deadline = self.acse_timeout.map(|timeout| Instant::now() + timeout);
        loop {
            match self.next(&mut Wait::until(deadline), None) {
                Ok(Event::ReleaseReply) => return Ok(()),
                // A late response has no one to go to.
                Ok(Event::Response(_)) => {}
                Ok(Event::Accept(_)) => {
                    return Err(self.protocol("an answer out of place".into()));
                }
                // Both asked at once (PS3.8 §7.2.2.7): ours is answered, and theirs is awaited.
                Err(ClientError::PeerReleased) if self.ul.state() == State::Sta11 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Aborts the association and closes.
    pub fn abort(mut self) {
        self.abort_with(Abort::USER);
    }

    fn abort_with(&mut self, abort: Abort) {
        if let Some(pdu) = self.ul.abort(abort).send {
            self.connection.send_last(&pdu);
        }
    }

    /// A wait that ended without an answer. A peer that did not answer in time is told that nobody
    /// waits any longer (PS3.8 §7.3); after an interrupt that is the caller's decision, who may still
    /// cancel what was asked.
    fn given_up(&mut self, end: ReadEnd) -> ClientError {
        if matches!(end, ReadEnd::TimedOut) {
            self.abort_with(Abort::USER);
        }
        end.into()
    }

    /// A message that was not sent whole: it can be neither ended nor taken back.
    fn cut_short(&mut self, end: WriteEnd) -> ClientError {
        self.abort_with(Abort::USER);
        end.into()
    }

    /// A fault of the peer: told, and answered with A-ABORT.
    fn protocol(&mut self, what: String) -> ClientError {
        self.abort_with(Abort::UNEXPECTED_PDU_PARAMETER);
        ClientError::Protocol(what)
    }

    /// Waits for the response to a request.
    fn reply(&mut self, awaited: Awaited) -> Result<Box<Reply>, ClientError> {
        let patience = self.dimse_timeout.or(self.socket_timeout);
        let deadline = patience.map(|timeout| Instant::now() + timeout);
        match self.next(&mut Wait::until(deadline), None)? {
            Event::Response(reply) => {
                let Awaited { request_field, context_id, message_id } = awaited;
                match reply.answers(request_field, context_id, message_id) {
                    Ok(()) => Ok(reply),
                    Err(why) => Err(self.protocol(why)),
                }
            }
            Event::ReleaseReply => Err(self.protocol("A-RELEASE-RP without a request".into())),
            Event::Accept(_) => Err(self.protocol("a second A-ASSOCIATE-AC".into())),
        }
    }

    /// The next event of the peer's, which is given up when the wait is over. Objects that come
    /// meanwhile go to `incoming`.
    fn next(
        &mut self,
        wait: &mut Wait,
        mut incoming: Option<Incoming<'_>>,
    ) -> Result<Event, ClientError> {
        loop {
            if let Some(reply) = self.inbox.take() {
                return Ok(Event::Response(reply));
            }
            let received = self.ul.receive(self.buffer.unread());
            let (consumed, reaction) = (received.consumed, received.reaction);
            let event = match received.indication {
                Indication::NeedMore { total_bytes } => {
                    // The read sees the deadline only in silence; a peer that drips does not move it.
                    if wait.is_over() {
                        return Err(self.given_up(ReadEnd::TimedOut));
                    }
                    let space = self.buffer.space(total_bytes);
                    match self.connection.read(space, wait.deadline, None) {
                        Ok(count) => self.buffer.filled(count),
                        Err(end) => return Err(self.given_up(end)),
                    }
                    continue;
                }
                Indication::Data(body) => match self.inbox.take_pdvs(body, &mut incoming) {
                    Ok(()) => Ok(None),
                    Err((abort, what)) => {
                        self.abort_with(abort);
                        return Err(ClientError::Protocol(what));
                    }
                },
                Indication::AssociateAccept(accept) => {
                    if let Some(details) = &mut self.details {
                        let pdu = &self.buffer.unread()[..consumed];
                        details.answer = dump("Associate Accept", pdu);
                    }
                    Ok(Some(Event::Accept(accept)))
                }
                Indication::AssociateReject(rejection) => Err(ClientError::Rejected(rejection)),
                Indication::ReleaseReply => Ok(Some(Event::ReleaseReply)),
                Indication::PeerAbort(abort) => Err(ClientError::PeerAborted(abort)),
                Indication::ReleaseRequest { .. } => Err(ClientError::PeerReleased),
                Indication::Fault(fault) => Err(ClientError::Protocol(fault.to_string())),
                _ => Err(ClientError::PeerGone(None)),
            };
            self.buffer.consume(consumed);
            if let Some(pdu) = reaction.send {
                let _ = self.connection.write(&pdu);
            }
            // The clock is asked once a PDU.
            if std::mem::take(&mut self.inbox.has_moved) {
                wait.restart();
            }
            if let Some(Incoming { out, .. }) = incoming.as_mut().filter(|it| !it.out.is_empty()) {
                self.connection.write(out)?;
                out.clear();
            }
            match event {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(ClientError::PeerReleased) => {
                    let reply = self.ul.release_reply().ok().and_then(|reaction| reaction.send);
                    if let Some(pdu) = reply {
                        let _ = self.connection.write(&pdu);
                    }
                    return Err(ClientError::PeerReleased);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream;
    use std::thread::{self, JoinHandle};

    use super::operate::Taker;
    use super::query::Objects;
    use super::*;
    use crate::acse::negotiation::negotiate;
    use crate::acse::user_information::{LocalIdentity, associate_ac};
    use crate::dataset::transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN;
    use crate::dimse::service::QueryService;
    use crate::net::tcp::listen_on;
    use crate::policy::{AcceptorEntry, AcceptorTable};
    use crate::ul::pdu::ContextResult;
    use crate::ul::pdu_codec::encode_abort;

    const SYNTAX: &str = IMPLICIT_VR_LITTLE_ENDIAN;

    /// A peer that answers the request for association, if so, and from then on only listens; gives
    /// the last ten bytes that came before the end.
    fn listening(accepts: bool) -> (SocketAddr, JoinHandle<Vec<u8>>) {
        let listener = listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut came = Vec::new();
            if accepts {
                accept(&mut stream);
            }
            stream.read_to_end(&mut came).unwrap();
            came.split_off(came.len().saturating_sub(10))
        });
        (address, peer)
    }

    fn accept(stream: &mut TcpStream) {
        let mut ul = UpperLayer::acceptor(16_384);
        let mut request = vec![0; 6];
        stream.read_exact(&mut request).unwrap();
        let length = u32::from_be_bytes(*request.last_chunk().unwrap());
        request.resize(6 + length as usize, 0);
        stream.read_exact(&mut request[6..]).unwrap();
        let Indication::AssociateRequest(request) = ul.receive(&request).indication else {
            panic!("no request")
        };
        let entry = AcceptorEntry {
            transfer_syntaxes: [Uid::known(SYNTAX)].into(),
            roles: None,
            extended_negotiation: None,
        };
        let mut table = AcceptorTable::default();
        table.entries.insert(Uid::known(VERIFICATION_SOP_CLASS), entry);
        let identity = LocalIdentity {
            max_pdu_bytes: 16_384,
            implementation_class_uid: Uid::known("1.2.3"),
            implementation_version_name: "SCRIPT".into(),
        };
        let answer = associate_ac(&request, &negotiate(&request, &table), &table, &identity);
        stream.write_all(&ul.accept(&answer).unwrap()).unwrap();
    }

    fn proposal() -> Proposal {
        let soon = Some(Duration::from_millis(1));
        Proposal {
            calling: AeTitle::new(b"US"),
            called: AeTitle::new(b"THEM"),
            contexts: vec![(Uid::known(VERIFICATION_SOP_CLASS), vec![Uid::known(SYNTAX)])],
            roles: vec![],
            extended_negotiation: vec![],
            user_identity: None,
            max_pdu_bytes: 16_384,
            max_send_pdu_bytes: None,
            transport: TransportOptions::default(),
            tls: None,
            connect_timeout: None,
            acse_timeout: soon,
            dimse_timeout: soon,
            socket_timeout: None,
            stop: None,
            interrupted: None,
            is_shown_in_detail: false,
        }
    }

    struct Nobody;

    impl Taker for Nobody {
        fn identifier(&mut self, _: &[u8]) -> Result<(), String> {
            unreachable!()
        }
    }

    impl Objects for Nobody {
        fn object(&mut self, _: u8, _: &StoreRequest) {}
        fn fragment(&mut self, _: &[u8]) {}
        fn object_end(&mut self) -> Status {
            unreachable!()
        }
    }

    /// Where no time is given for silence, TCP finds out who is gone.
    #[test]
    fn a_dead_peer_is_watched_for() {
        let second = Some(Duration::from_secs(1));
        for (socket_timeout, is_watched) in [(None, true), (second, false)] {
            let (address, peer) = listening(true);
            let (acse_timeout, dimse_timeout) = (None, None);
            let proposal = Proposal { acse_timeout, dimse_timeout, socket_timeout, ..proposal() };
            let requestor = Requestor::associate(&[address], &proposal).unwrap();
            let stream = requestor.connection.handle();
            assert_eq!(socket2::SockRef::from(&*stream).keepalive().unwrap(), is_watched);
            requestor.abort();
            peer.join().unwrap();
        }
    }

    /// A stop ends the wait for an association at once, and the peer is told.
    #[test]
    fn a_stop_while_associating() {
        let (address, peer) = listening(false);
        let stop = StopFlag::default();
        let proposal = Proposal { acse_timeout: None, stop: Some(stop.clone()), ..proposal() };
        let waiting =
            thread::spawn(move || Requestor::associate(&[address], &proposal).map(|_| ()));
        let begun = Instant::now();
        stop.raise();
        let result = waiting.join().unwrap();
        assert!(matches!(result, Err(ClientError::Interrupted)), "{result:?}");
        assert!(begun.elapsed() < Duration::from_secs(u64::from(STOP_GRACE_S) / 2));
        // It may have been asked for before there was a connection: the peer waits for one.
        drop(TcpStream::connect(address));
        // Or before anything was sent.
        let last = peer.join().unwrap();
        assert!(last.is_empty() || last == encode_abort(Abort::USER).to_vec(), "{last:?}");
    }

    /// A peer's answer gives a requestor only what it had proposed, and says what it refused.
    #[test]
    fn what_was_not_proposed_is_not_answered() {
        let [ct, implicit] = ["1.2.840.10008.5.1.4.1.1.2", SYNTAX].map(Uid::known);
        let [explicit, jpeg] = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"].map(Uid::known);
        let proposed = [
            (ct, vec![implicit]),
            (ct, vec![explicit]),
            (ct, vec![explicit]),
            (Uid::known("1.2.840.10008.1.1"), vec![implicit]),
        ];
        let result =
            |id, result, uid| ContextResult { id, result, transfer_syntax: UidItem::of(uid) };
        let (accepted, unknown) =
            (PresentationResult::Acceptance, PresentationResult::AbstractSyntaxNotSupported);
        let accept = AssociateAc {
            protocol_version: 1,
            titles: TitleFields::new(AeTitle::new(b"THEM"), AeTitle::new(b"US")),
            application_context: UidItem::Absent,
            contexts: vec![
                result(1, accepted, implicit),
                result(3, accepted, jpeg),
                result(5, unknown, explicit),
                result(9, accepted, implicit),
            ],
            user_information: Some(UserInformation {
                roles: vec![RoleSelection { sop_class_uid: ct.text(), scu: false, scp: true }],
                ..UserInformation::default()
            }),
        };
        let found = answered(&proposed, &accept);
        let found: Vec<_> = found.iter().map(|it| (it.id, it.result, it.transfer_syntax)).collect();
        let no_reason = PresentationResult::NoReason;
        let expected = [
            (1, accepted, Some(implicit)),
            (3, no_reason, None),
            (5, unknown, None),
            (7, no_reason, None),
        ];
        assert_eq!(found, expected);
        let roles: Vec<_> = answered(&proposed, &accept).iter().map(|it| it.role).collect();
        let ours = Some((false, true));
        assert_eq!(roles, [ours, ours, ours, None]);
    }

    type Work = fn(Requestor) -> Result<(), ClientError>;

    /// Whatever is waited for in vain: the peer gets an A-ABORT, and not just a closed connection.
    #[test]
    fn a_peer_that_is_given_up_is_told() {
        let works: [Work; 4] = [
            |mut requestor| requestor.echo(1).map(|_| ()),
            |mut requestor| {
                let mut nobody = Nobody;
                requestor.operate(QueryService::Find, 1, None, &[], &mut nobody).map(|_| ())
            },
            |mut requestor| {
                let (find, data) = (QueryService::Find, query::ResponseData::Read);
                let pending = requestor.begin_query(find, 1, None, &[], data)?;
                requestor.next_replies(pending).map(|_| ())
            },
            Requestor::release,
        ];
        let cases = works.into_iter().map(Some).chain([None]).map(|work| {
            thread::spawn(move || {
                let (address, peer) = listening(work.is_some());
                let patient = Proposal { acse_timeout: None, ..proposal() };
                let result = match work {
                    Some(work) => Requestor::associate(&[address], &patient).and_then(|mut it| {
                        it.acse_timeout = proposal().acse_timeout;
                        work(it)
                    }),
                    None => Requestor::associate(&[address], &proposal()).map(|_| ()),
                };
                assert!(matches!(result, Err(ClientError::TimedOut)), "{result:?}");
                assert_eq!(peer.join().unwrap(), encode_abort(Abort::USER).to_vec());
            })
        });
        for case in cases.collect::<Vec<_>>() {
            case.join().unwrap();
        }
    }
}
