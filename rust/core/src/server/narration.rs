//! What the receiving tools say at each event, in DCMTK's words.
//!
//! One [`Narrator`] per association. DCMTK's `storescp`, `dcmrecv` and `dcmqrscp` tell the same
//! story in different words, streams and levels; [`Dialect`] chooses. Source: DCMTK 3.6.7, checked against
//! DCMTK 3.6.7 in `tests/compat/`. Lines that DCMTK does not have go through [`Narrator::explain`]
//! under loggers `dcmfast.*`, from `-v` on (DIFFERENCES.md D18). Peers' text passes `log::escaped`;
//! nothing of a stored data set but its SOP Instance UID is ever printed. Text is built only when
//! its level is on. What dcmqrscp says of queries and retrieves is `query_narration`.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::conditions::Cause;
use super::faults::Event;
pub use crate::acse::block::{AssociationBlock, ContextBlock, UserIdentityBlock};
use crate::ae_title::AeTitle;
use crate::client::query::Reply;
use crate::dataset::breaks::Break;
use crate::dataset::oddities::Oddities;
use crate::dictionary::uids::storage_prefix;
use crate::dimse::block::{MessageBlock, class_name};
use crate::dimse::service::Priority;
use crate::dimse::status::{Operation, Status, StatusClass};
use crate::log::{Level, Logger, escaped};
use crate::net::tcp::SocketAddr;
use crate::net::tls::TlsFault;
use crate::storage::naming::SubdirectoryNaming;
use crate::storage::writer::{Dialect, Store};
use crate::uid::UidText;
use crate::ul::pdu::AssociateRj;
use crate::ul::pdu_codec::DecodeError;

/// Our own lines about secure connections.
const TLS_LOGGER: &str = "dcmfast.tls";

/// The logger that the tool's own lines belong to.
const fn logger_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Storescp => "dcmtk.apps.storescp",
        Dialect::Movescu => "dcmtk.apps.movescu",
        Dialect::Dcmqrscp => "dcmtk.apps.dcmqrscp",
        Dialect::Dcmrecv | Dialect::Getscu => "dcmtk.dcmnet",
    }
}

/// The logger whose level decides about progress dots; dcmrecv has none.
const fn progress_logger_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Storescp | Dialect::Dcmrecv | Dialect::Getscu => "dcmtk.apps.storescp.progress",
        Dialect::Movescu => "dcmtk.apps.movescu.progress",
        Dialect::Dcmqrscp => "dcmtk.dcmqrdb.progress",
    }
}

/// Why no association came of a connection, as DCMTK numbers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAssociation {
    /// The first byte names no PDU.
    UnrecognizedPdu(u8),
    /// A-ASSOCIATE-RQ longer than the bound.
    TooLarge(u32),
    /// The request was not complete in time.
    Timeout,
    /// The peer closed in the middle of the request.
    Closed,
    /// The rules of access control refuse this host.
    DeniedHost(String),
    /// The request breaks PS3.8's layout.
    Malformed(DecodeError),
    /// Its protocol version is not ours.
    ProtocolVersion(u16),
}

impl fmt::Display for NoAssociation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnrecognizedPdu(kind) => write!(formatter, "Unrecognized PDU type: {kind:2x}"),
            Self::TooLarge(_) => formatter.write_str("A-ASSOCIATE PDU too large"),
            Self::Timeout => formatter.write_str("DUL network read timeout"),
            Self::Closed => formatter.write_str("DUL network closed"),
            Self::DeniedHost(host) => {
                write!(formatter, "TCP wrapper: denied connection from {host}")
            }
            Self::Malformed(error) => write!(formatter, "DUL Illegal associate PDU. {error}"),
            Self::ProtocolVersion(version) => write!(
                formatter,
                "DUL Unsupported peer protocol {version:04x}; expected 0001 in parseAssociate"
            ),
        }
    }
}

impl NoAssociation {
    /// Module and code of the condition.
    const fn code(&self) -> &'static str {
        match self {
            Self::UnrecognizedPdu(_) => "0006:0321",
            Self::TooLarge(_) => "0006:0437",
            Self::Timeout => "0006:031a",
            Self::Closed => "0006:0310",
            Self::DeniedHost(_) => "0006:0324",
            Self::Malformed(_) => "0006:0308",
            Self::ProtocolVersion(_) => "0006:0322",
        }
    }
}

/// Why an association is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `--refuse`.
    Forced,
    /// `--fault association reject`.
    Fault(AssociateRj),
    /// Application context name not the DICOM one.
    ApplicationContext,
    /// `--reject` and no implementation class UID.
    NoImplementationClassUid,
    /// dcmrecv: no context acceptable.
    NoContexts,
    /// dcmqrscp: the called AE title is not known, or the peer may not call it.
    BadAeService,
    /// dcmqrscp: the peer asked the server to end.
    Shutdown,
    /// The limit of associations is reached.
    LocalLimit,
    /// The server is stopping.
    Stopping,
}

/// The story of one association.
pub struct Narrator {
    pub(super) logger: Arc<Logger>,
    pub(super) dialect: Dialect,
    /// `--verbose-pc`.
    verbose_contexts: bool,
    /// `--very-verbose` of dcmqrscp.
    pub(super) verbose_responses: bool,
    /// A process of its own serves this association (`--fork`).
    is_child: bool,
}

/// `path` as a line shows it: where folders bear patients' names (`-sp`), the name is there from
/// `-v` on only (PROMISES.md §5.4). `is_folder` for the folder itself, else a file in it.
pub(super) fn shown_path<'p>(
    store: &Store,
    logger: &Logger,
    path: &'p Path,
    is_folder: bool,
) -> Cow<'p, Path> {
    let names_patients = store.options().subdirectory == SubdirectoryNaming::PatientName;
    if !names_patients || logger.enabled(Level::Info, logger_of(Dialect::Storescp)) {
        return Cow::Borrowed(path);
    }
    let folder = if is_folder { Some(path) } else { path.parent() };
    let Some(name) = folder.and_then(Path::file_name) else { return Cow::Borrowed(path) };
    // `<name>_<date>_<time>`: when the study came is nobody's secret.
    let name = name.to_string_lossy();
    let mut parts = name.rsplitn(3, '_');
    let masked = match (parts.next(), parts.next(), parts.next()) {
        (Some(time), Some(date), Some(_)) => format!("*_{date}_{time}"),
        _ => "*".to_owned(),
    };
    let folder = folder.map(|folder| folder.with_file_name(masked)).unwrap_or_default();
    Cow::Owned(match path.file_name() {
        Some(file) if !is_folder => folder.join(file),
        _ => folder,
    })
}

/// The modality code of file names; `OT` for an unknown class.
pub(super) fn modality(sop_class_uid: &[u8]) -> &'static str {
    storage_prefix(sop_class_uid).unwrap_or("OT")
}

impl Narrator {
    /// A narrator in `dialect`.
    pub fn new(logger: Arc<Logger>, dialect: Dialect, verbose_contexts: bool) -> Self {
        Self { logger, dialect, verbose_contexts, verbose_responses: false, is_child: false }
    }

    /// The same, for the process of one association.
    #[must_use]
    pub fn in_child(self, is_child: bool) -> Self {
        Self { is_child, ..self }
    }

    /// The same, showing the data sets of responses from INFO on (`--very-verbose`).
    #[must_use]
    pub fn with_responses(self, verbose_responses: bool) -> Self {
        Self { verbose_responses, ..self }
    }

    pub(super) fn say(&self, level: Level, text: fmt::Arguments<'_>) {
        self.logger.line(level, logger_of(self.dialect), text);
    }

    /// True when lines of `level` are wanted.
    pub fn enabled(&self, level: Level) -> bool {
        self.logger.enabled(level, logger_of(self.dialect))
    }

    /// A line that DCMTK does not have, from `-v` on.
    pub fn explain(&self, text: fmt::Arguments<'_>) {
        self.logger.line(Level::Info, "dcmfast.association", text);
    }

    /// An error of ours that DCMTK has no words for; shown always.
    pub fn complain(&self, text: fmt::Arguments<'_>) {
        self.logger.line(Level::Error, "dcmfast.association", text);
    }

    /// A warning that DCMTK has no words for.
    pub fn warn(&self, text: fmt::Arguments<'_>) {
        self.logger.line(Level::Warn, "dcmfast.storage", text);
    }

    /// True when the peer's host name is printed.
    pub fn wants_host_name(&self) -> bool {
        matches!(self.dialect, Dialect::Dcmrecv | Dialect::Dcmqrscp) && self.enabled(Level::Info)
    }

    /// A request arrived, or a connection ended before one did (then the titles are empty).
    pub fn association_received(&self, host: &str, calling: &[u8], called: &[u8]) {
        match self.dialect {
            Dialect::Storescp if self.is_child => {
                let pid = std::process::id();
                let what = "Association Received in child process";
                self.say(Level::Info, format_args!("{what} (pid: {pid})"));
            }
            Dialect::Storescp => self.say(Level::Info, format_args!("Association Received")),
            // A connection of which no association came is not one that was received.
            Dialect::Movescu | Dialect::Dcmqrscp if calling.is_empty() && called.is_empty() => {}
            Dialect::Movescu => self.say(Level::Info, format_args!("Sub-Association Received")),
            Dialect::Dcmqrscp => self.say(
                Level::Info,
                format_args!(
                    "Association Received ({host}:{} -> {})",
                    escaped(calling),
                    escaped(called)
                ),
            ),
            Dialect::Dcmrecv | Dialect::Getscu => self.say(
                Level::Info,
                format_args!(
                    "Association Received {host}: {} -> {}",
                    escaped(calling),
                    escaped(called)
                ),
            ),
        }
    }

    /// The level of the association blocks: INFO with `+v`, else DEBUG.
    fn block_level(&self) -> Level {
        if self.verbose_contexts { Level::Info } else { Level::Debug }
    }

    /// True when association blocks are printed, so that they are worth building.
    pub fn wants_blocks(&self) -> bool {
        self.enabled(self.block_level())
    }

    /// The block of a request or of an answer.
    pub fn association_block(&self, block: &AssociationBlock<'_>) {
        let level = self.block_level();
        if !self.enabled(level) {
            return;
        }
        if block.kind == "A-ASSOCIATE-RQ" {
            let title = match self.dialect {
                Dialect::Storescp | Dialect::Movescu | Dialect::Dcmqrscp => "Parameters:",
                Dialect::Dcmrecv | Dialect::Getscu => "Incoming Association Request:",
            };
            self.say(level, format_args!("{title}"));
        }
        self.say(level, format_args!("{block}"));
    }

    /// The association is refused as a whole.
    pub fn refused(&self, refusal: Refusal, application_context: &[u8]) {
        if self.dialect == Dialect::Dcmqrscp {
            return self.refused_by_archive(refusal, application_context);
        }
        let text = match (self.dialect, refusal) {
            (Dialect::Dcmrecv, Refusal::ApplicationContext) => {
                "Refusing Association (bad application context)".to_owned()
            }
            (Dialect::Dcmrecv, Refusal::NoImplementationClassUid) => {
                "Refusing Association (no implementation class UID provided)".to_owned()
            }
            (Dialect::Dcmrecv, Refusal::Forced) => {
                "Refusing Association (internal error)".to_owned()
            }
            (_, Refusal::Forced) => "Refusing Association (forced via command line)".to_owned(),
            (_, Refusal::Fault(_)) => "Refusing Association (fault rule)".to_owned(),
            (_, Refusal::ApplicationContext) => format!(
                "Association Rejected: Bad Application Context Name: {}",
                escaped(application_context)
            ),
            (_, Refusal::NoImplementationClassUid) => {
                "Association Rejected: No Implementation Class UID provided".to_owned()
            }
            (_, Refusal::NoContexts) => {
                "Refusing Association (no acceptable presentation contexts)".to_owned()
            }
            (_, Refusal::BadAeService) => "Refusing Association (BadAEService)".to_owned(),
            (_, Refusal::Shutdown) => "Refusing Association (NoReason)".to_owned(),
            (_, Refusal::LocalLimit) => "Refusing Association (TooManyAssociations)".to_owned(),
            (_, Refusal::Stopping) => "Refusing Association (shutting down)".to_owned(),
        };
        self.say(Level::Info, format_args!("{text}"));
    }

    /// dcmqrscp says why in a line of its own, and then a code of its own.
    fn refused_by_archive(&self, refusal: Refusal, application_context: &[u8]) {
        match refusal {
            Refusal::Forced => self
                .say(Level::Info, format_args!("Refusing Association (forced via command line)")),
            Refusal::ApplicationContext => self.say(
                Level::Info,
                format_args!("Bad AppContextName: {}", escaped(application_context)),
            ),
            Refusal::NoImplementationClassUid => {
                self.say(Level::Info, format_args!("No implementation Class UID provided"));
            }
            Refusal::Shutdown => self.say(
                Level::Info,
                format_args!(
                    "Shutting down server ... (negotiated private \"shut down\" SOP class)"
                ),
            ),
            Refusal::NoContexts
            | Refusal::BadAeService
            | Refusal::LocalLimit
            | Refusal::Fault(_)
            | Refusal::Stopping => {}
        }
        let code = match refusal {
            Refusal::Forced
            | Refusal::NoImplementationClassUid
            | Refusal::NoContexts
            | Refusal::Shutdown => "NoReason",
            Refusal::ApplicationContext => "BadAppContext",
            Refusal::BadAeService => "BadAEService",
            Refusal::LocalLimit => "TooManyAssociations",
            Refusal::Fault(_) => "fault rule",
            // Ours: DCMTK's program stops without a word to anybody.
            Refusal::Stopping => "shutting down",
        };
        self.say(Level::Info, format_args!("Refusing Association ({code})"));
    }

    /// `--abort-after`, `--abort-during`.
    pub fn abort_asked_for(&self) {
        self.say(Level::Info, format_args!("ABORT initiated (due to command line options)"));
    }

    /// Rules that fired, by their numbers on the command line.
    pub fn fault(&self, event: Event, fired: &[usize]) {
        for number in fired {
            self.explain(format_args!("fault rule {number} fires: {event}"));
        }
    }

    /// dcmrecv's words before it refuses for want of contexts.
    pub fn no_acceptable_contexts(&self) {
        self.say(Level::Info, format_args!("No Acceptable Presentation Contexts"));
    }

    /// The storage area that is called cannot be used.
    pub fn no_area(&self, directory: &std::path::Path, why: &dyn fmt::Display) {
        self.say(Level::Error, format_args!("storage area {}: {why}", directory.display()));
        self.say(Level::Error, format_args!("dispatch: cannot create DB Handle"));
    }

    /// The association is accepted; `usable` contexts came of it.
    pub fn acknowledged(&self, their_max_pdu_bytes: u32, usable: usize) {
        let pdv_bytes = their_max_pdu_bytes.saturating_sub(12);
        let sub = if self.dialect == Dialect::Movescu { "Sub-" } else { "" };
        self.say(
            Level::Info,
            format_args!("{sub}Association Acknowledged (Max Send PDV: {pdv_bytes})"),
        );
        if usable == 0 && self.dialect != Dialect::Dcmrecv {
            self.say(Level::Info, format_args!("    (but no valid presentation contexts)"));
        }
    }

    /// No association came of the connection.
    pub fn no_association(&self, why: &NoAssociation) {
        if let NoAssociation::TooLarge(bytes) = *why {
            self.logger.line(
                Level::Error,
                "dcmtk.dcmnet",
                format_args!("A-ASSOCIATE PDU too large: {bytes} bytes, refusing."),
            );
        }
        match self.dialect {
            Dialect::Movescu => {
                self.say(Level::Error, format_args!("{} {why}", why.code()));
            }
            Dialect::Storescp => self.say(
                Level::Error,
                format_args!("Receiving Association failed: {} {why}", why.code()),
            ),
            Dialect::Dcmqrscp => self.say(
                Level::Info,
                format_args!("Failed to receive association: {} {why}", why.code()),
            ),
            Dialect::Dcmrecv | Dialect::Getscu => {
                self.say(
                    Level::Error,
                    format_args!("Could not receive association request: {why}"),
                );
            }
        }
    }

    /// The handshake is done.
    pub fn secured(&self, peer: SocketAddr, description: &str) {
        self.logger.line(Level::Info, TLS_LOGGER, format_args!("peer {peer}: {description}"));
    }

    /// A connection is not, or no longer, secure; why, in plain words.
    pub fn not_secured(&self, peer: SocketAddr, why: &dyn fmt::Display) {
        self.logger.line(Level::Error, TLS_LOGGER, format_args!("peer {peer}: {why}"));
    }

    /// The handshake failed: DCMTK's line, and ours, which says who and why.
    pub fn handshake_failed(&self, peer: SocketAddr, fault: &TlsFault) {
        let TlsFault { condition, explanation, .. } = fault;
        if fault.is_wrong_name {
            let logger = &self.logger;
            return logger.line(
                Level::Warn,
                TLS_LOGGER,
                format_args!("peer {peer}: {explanation}"),
            );
        }
        match self.dialect {
            // movescu and getscu have no TLS.
            Dialect::Storescp | Dialect::Movescu => {
                self.say(Level::Error, format_args!("Receiving Association failed: {fault}"));
            }
            Dialect::Dcmqrscp => {
                self.say(Level::Info, format_args!("Failed to receive association: {fault}"));
            }
            Dialect::Dcmrecv | Dialect::Getscu => self.say(
                Level::Error,
                format_args!("Could not receive association request: {condition}"),
            ),
        }
        self.not_secured(peer, explanation);
    }

    /// C-ECHO-RQ.
    pub fn echo_request(&self, context_id: u8, message_id: u16) {
        let what = match self.dialect {
            Dialect::Storescp | Dialect::Movescu => "Received Echo Request",
            Dialect::Dcmqrscp => {
                // No block, at no level.
                return self
                    .say(Level::Info, format_args!("Received Echo SCP RQ: MsgID {message_id}"));
            }
            Dialect::Dcmrecv | Dialect::Getscu => "Received C-ECHO Request",
        };
        self.request(what, None, message_id);
        self.message(Level::Debug, "INCOMING", |block| {
            block.field("Message Type", format_args!("C-ECHO RQ"));
            block.field("Presentation Context ID", format_args!("{context_id}"));
            block.field("Message ID", format_args!("{message_id}"));
            block.field("Data Set", format_args!("none"));
        });
    }

    /// C-STORE-RQ.
    pub fn store_request(
        &self,
        context_id: u8,
        message_id: u16,
        sop_class_uid: &[u8],
        sop_instance_uid: &[u8],
        priority: Priority,
    ) {
        match self.dialect {
            Dialect::Storescp | Dialect::Movescu => {
                self.request("Received Store Request", Some(sop_class_uid), message_id);
            }
            Dialect::Dcmqrscp => self.say(Level::Info, format_args!("Received Store SCP:")),
            Dialect::Dcmrecv | Dialect::Getscu => {
                self.request("Received C-STORE Request", None, message_id);
            }
        }
        // dcmrecv shows its block once the data set is there.
        if self.dialect != Dialect::Dcmrecv {
            self.store_block(context_id, message_id, sop_class_uid, sop_instance_uid, priority);
        }
    }

    pub(super) fn store_block(
        &self,
        context_id: u8,
        message_id: u16,
        sop_class_uid: &[u8],
        sop_instance_uid: &[u8],
        priority: Priority,
    ) {
        self.message(self.message_level(), "INCOMING", |block| {
            block.field("Message Type", format_args!("C-STORE RQ"));
            if self.dialect != Dialect::Dcmqrscp {
                block.field("Presentation Context ID", format_args!("{context_id}"));
            }
            block.field("Message ID", format_args!("{message_id}"));
            block.field("Affected SOP Class UID", format_args!("{}", class_name(sop_class_uid)));
            block.field("Affected SOP Instance UID", format_args!("{}", escaped(sop_instance_uid)));
            block.field("Data Set", format_args!("present"));
            let priority = priority.text();
            block.field("Priority", format_args!("{priority}"));
        });
    }

    /// The level of message blocks: dcmqrscp shows them below `-v` already.
    const fn message_level(&self) -> Level {
        match self.dialect {
            Dialect::Dcmqrscp => Level::Info,
            _ => Level::Debug,
        }
    }

    /// `<what> (MsgID n, XX)`, or `<what>` alone where the block follows at DEBUG.
    fn request(&self, what: &str, sop_class_uid: Option<&[u8]>, message_id: u16) {
        if self.enabled(Level::Debug) {
            self.say(Level::Info, format_args!("{what}"));
        } else if let Some(uid) = sop_class_uid {
            self.say(Level::Info, format_args!("{what} (MsgID {message_id}, {})", modality(uid)));
        } else {
            self.say(Level::Info, format_args!("{what} (MsgID {message_id})"));
        }
    }

    /// The response to C-ECHO or C-STORE is about to leave.
    pub fn response(
        &self,
        store: Option<(Option<UidText>, Option<UidText>)>,
        context_id: u8,
        message_id: u16,
        status: Status,
    ) {
        let (name, operation) = match store {
            Some(_) => ("C-STORE", Operation::Store),
            None => ("C-ECHO", Operation::Echo),
        };
        let text = status.text(operation);
        match (self.dialect, store) {
            (Dialect::Storescp | Dialect::Movescu, _) | (Dialect::Dcmqrscp, None) => return,
            (Dialect::Dcmqrscp, Some(_)) if status == Status::SUCCESS => {
                self.say(Level::Info, format_args!("Sending:"));
            }
            (Dialect::Dcmqrscp, Some(_)) => {
                self.say(Level::Warn, format_args!("NOTICE: StoreSCP:"));
            }
            (Dialect::Dcmrecv | Dialect::Getscu, _) if self.enabled(Level::Debug) => {
                self.say(Level::Info, format_args!("Sending {name} Response"));
            }
            (Dialect::Dcmrecv | Dialect::Getscu, _) => {
                self.say(Level::Info, format_args!("Sending {name} Response ({text})"));
            }
        }
        // DCMTK shows no block for a C-ECHO response.
        let Some(uids) = store else { return };
        let is_notice = self.dialect == Dialect::Dcmqrscp && status != Status::SUCCESS;
        let level = if is_notice { Level::Warn } else { self.message_level() };
        self.message(level, "OUTGOING", |block| {
            block.field("Message Type", format_args!("{name} RSP"));
            if self.dialect != Dialect::Dcmqrscp {
                block.field("Presentation Context ID", format_args!("{context_id}"));
            }
            block.field("Message ID Being Responded To", format_args!("{message_id}"));
            if let (Some(sop_class_uid), Some(sop_instance_uid)) = uids {
                let class = class_name(sop_class_uid.as_bytes());
                block.field("Affected SOP Class UID", format_args!("{class}"));
                let instance = escaped(sop_instance_uid.as_bytes());
                block.field("Affected SOP Instance UID", format_args!("{instance}"));
            }
            block.field("Data Set", format_args!("none"));
            let text = status.long_text(operation);
            block.field("DIMSE Status", format_args!("0x{:04x}: {text}", status.0));
        });
    }

    /// A response to our own C-GET; the final one is told by whoever asked.
    pub fn get_response(&self, reply: &Reply) {
        if reply.status.class() == StatusClass::Pending {
            let text = reply.status.text(Operation::Get);
            self.say(Level::Info, format_args!("Received C-GET Response ({text})"));
        }
    }

    /// What is odd about the data set.
    pub fn oddities(&self, found: &Oddities) {
        found.tell(&self.logger);
    }

    /// storescp tells the path before it writes, dcmrecv after.
    pub fn storing(&self, path: &dyn fmt::Display) {
        match self.dialect {
            Dialect::Storescp => {
                self.say(Level::Info, format_args!("storing DICOM file: {path}"));
            }
            // DCMTK's archive and retrievers do not say where an object goes.
            Dialect::Dcmqrscp | Dialect::Movescu | Dialect::Getscu => {
                self.explain(format_args!("stored as {path}"));
            }
            Dialect::Dcmrecv => {}
        }
    }

    /// The object is published.
    pub fn stored(&self, path: &dyn fmt::Display) {
        if self.dialect == Dialect::Dcmrecv {
            self.say(Level::Info, format_args!("Stored received object to file: {path}"));
        }
    }

    /// A file of that name was there.
    pub fn overwriting(&self, path: &dyn fmt::Display, bit_preserving: bool) {
        match self.dialect {
            Dialect::Storescp | Dialect::Movescu if bit_preserving => {}
            // The deletion of what was there is told when it is done.
            Dialect::Dcmqrscp => {}
            Dialect::Storescp | Dialect::Getscu => self
                .say(Level::Warn, format_args!("DICOM file already exists, overwriting: {path}")),
            Dialect::Movescu => {
                // As DCMTK's, which has no folder in front of it where none was given.
                let path = path.to_string();
                let path = path.strip_prefix("./").unwrap_or(&path);
                self.say(
                    Level::Warn,
                    format_args!("DICOM file already exists, overwriting: {path}"),
                );
            }
            Dialect::Dcmrecv => {
                self.say(Level::Warn, format_args!("file already exists, overwriting: {path}"));
            }
        }
    }

    /// Something is odd about the folder of a study.
    pub fn study_warning(&self, text: &dyn fmt::Display) {
        self.say(Level::Warn, format_args!("{text}"));
    }

    /// An association begins a study, in a new folder or in one that was there.
    pub fn study_folder(&self, path: &dyn fmt::Display, is_new: bool) {
        let what = if is_new { "created new" } else { "using existing" };
        self.say(Level::Info, format_args!("{what} subdirectory for study: {path}"));
    }

    /// The folder of a study could not be made.
    pub fn cannot_create_study_folder(&self, path: &dyn fmt::Display, reason: &dyn fmt::Display) {
        self.say(Level::Error, format_args!("could not create subdirectory for study: {path}"));
        self.explain(format_args!("{path}: {reason}"));
    }

    /// Studies are sorted, and the object says of none that it belongs to it.
    pub fn no_study(&self, error: &dyn fmt::Display) {
        self.say(Level::Error, format_args!("{error}"));
    }

    /// The object could not be written.
    pub fn cannot_write(&self, path: &dyn fmt::Display, reason: &dyn fmt::Display) {
        match self.dialect {
            Dialect::Storescp | Dialect::Movescu | Dialect::Dcmqrscp => {
                self.say(Level::Error, format_args!("cannot write DICOM file: {path}: {reason}"));
            }
            Dialect::Dcmrecv | Dialect::Getscu => self
                .say(Level::Error, format_args!("cannot store received object: {path}: {reason}")),
        }
    }

    /// The directory of the object could not be made.
    pub fn cannot_create_directory(&self, path: &dyn fmt::Display, reason: &dyn fmt::Display) {
        self.say(
            Level::Error,
            format_args!("cannot create directory for received object: {path}: {reason}"),
        );
    }

    /// `--ignore`.
    pub fn not_stored(&self) {
        if self.dialect == Dialect::Dcmrecv {
            self.say(
                Level::Debug,
                format_args!(
                    "received dataset is not stored since the storage mode is set to 'ignore'"
                ),
            );
        }
    }

    /// A data set without UIDs is refused; DCMTK has written it then, unless it `is_empty`.
    pub fn without_uids(&self, path: &dyn fmt::Display, is_empty: bool) {
        if !matches!(self.dialect, Dialect::Storescp | Dialect::Movescu) {
            return;
        }
        if is_empty {
            return self.cannot_write(path, &"Illegal call, perhaps wrong parameters");
        }
        self.say(Level::Error, format_args!("bad DICOM file: {path}"));
    }

    /// What breaks the data set, and the warning that DCMTK's network layer adds.
    pub fn broken(&self, found: Break, calling: &AeTitle, called: &AeTitle) {
        self.logger.line(found.level(), "dcmtk.dcmdata", format_args!("{found}"));
        if let Some(reason) = found.reason() {
            self.logger.line(
                Level::Warn,
                "dcmtk.dcmnet",
                format_args!(
                    "DIMSE Warning: ({},{}): DIMSE receiveDataSetInMemory: dset->read() Failed \
                     ({reason})",
                    escaped(calling.as_bytes()),
                    escaped(called.as_bytes())
                ),
            );
        }
    }

    /// A C-STORE whose data set stopped coming, or was cut; `condition` as DCMTK numbers it.
    pub fn store_broken(&self, context_id: u8, condition: &str) {
        match self.dialect {
            Dialect::Storescp | Dialect::Movescu | Dialect::Dcmqrscp => {
                self.say(Level::Error, format_args!("Store SCP Failed: {condition}"));
            }
            Dialect::Dcmrecv | Dialect::Getscu => {
                self.say(
                    Level::Error,
                    format_args!(
                        "Unable to receive dataset on presentation context 0: {condition}"
                    ),
                );
                self.say(
                    Level::Error,
                    format_args!(
                        "Unable to receive C-STORE dataset on presentation context {context_id}"
                    ),
                );
            }
        }
    }

    /// A command that this server does not perform.
    pub fn unexpected_command(&self, field: u16) {
        match self.dialect {
            Dialect::Dcmrecv => self.say(
                Level::Error,
                format_args!(
                    "cannot handle this kind of DIMSE command (0x{field:04x}), we are a Storage SCP \
                     only"
                ),
            ),
            _ => self.say(
                Level::Error,
                format_args!(
                    "Expected C-ECHO or C-STORE request but received DIMSE command 0x{field:04x}"
                ),
            ),
        }
    }

    /// A-RELEASE-RQ.
    pub fn released(&self) {
        match self.dialect {
            Dialect::Storescp | Dialect::Dcmqrscp => {
                self.say(Level::Info, format_args!("Association Release"));
            }
            // DCMTK's movescu ends a sub-association without a word.
            Dialect::Movescu | Dialect::Getscu => {}
            Dialect::Dcmrecv => {
                self.say(Level::Info, format_args!("Received Association Release Request"));
            }
        }
    }

    /// The peer aborted, vanished, or was idle for too long.
    pub fn aborted(&self) {
        match self.dialect {
            Dialect::Storescp | Dialect::Dcmqrscp => {
                self.say(Level::Info, format_args!("Association Aborted"));
            }
            Dialect::Movescu | Dialect::Getscu => {
                self.explain(format_args!("the peer aborted its association"));
            }
            Dialect::Dcmrecv => {
                self.say(Level::Info, format_args!("Received Association Abort Request"));
            }
        }
    }

    /// The peer was silent for too long; DCMTK's storescp calls that an abort, its dcmrecv says
    /// nothing.
    pub fn idle_for_too_long(&self) {
        if !matches!(self.dialect, Dialect::Dcmrecv | Dialect::Getscu) {
            self.say(Level::Info, format_args!("Association Aborted"));
        }
    }

    /// We abort the association: DCMTK's conditions in one event, and from `-v` on what they leave unsaid.
    pub fn failure(&self, cause: &Cause) {
        let told = cause.told();
        match self.dialect {
            Dialect::Storescp => {
                self.say(
                    Level::Error,
                    format_args!("DIMSE failure (aborting association): {told}"),
                );
            }
            Dialect::Dcmqrscp => {
                self.say(
                    Level::Error,
                    format_args!("DIMSE Failure (aborting association): {told}"),
                );
            }
            Dialect::Movescu => self.say(
                Level::Error,
                format_args!("DIMSE failure (aborting sub-association): {told}"),
            ),
            Dialect::Dcmrecv | Dialect::Getscu => {
                return self.complain(format_args!("aborting association: {}", cause.explanation));
            }
        }
        if cause.condition.is_some() {
            self.explain(format_args!("{}", cause.explanation));
        }
    }

    /// dcmrecv and getscu print no dots.
    fn has_progress(&self) -> bool {
        !matches!(self.dialect, Dialect::Dcmrecv | Dialect::Getscu)
    }

    fn shows_progress(&self) -> bool {
        self.logger.shows_progress(progress_logger_of(self.dialect))
    }

    fn progress(&self, text: &str) {
        self.logger.progress(progress_logger_of(self.dialect), text);
    }

    /// storescp's progress: the word at the start of a C-STORE.
    pub fn progress_begin(&self) {
        if self.has_progress() {
            self.progress("RECV: ");
        }
    }

    /// One character per data-set PDV, `count` of them.
    pub fn progress_dots(&self, count: usize) {
        if self.has_progress() && count > 0 && self.shows_progress() {
            self.progress(&".".repeat(count));
        }
    }

    /// The line end after the last PDV.
    pub fn progress_end(&self) {
        if self.has_progress() {
            self.progress("\n");
        }
    }

    /// What an object that was sent looks like: one character per data-set PDV.
    pub(super) fn progress_sent(&self, pdvs: usize) {
        if self.shows_progress() {
            self.progress(&format!("XMIT: {}\n", ".".repeat(pdvs)));
        }
    }

    pub(super) fn message(
        &self,
        level: Level,
        direction: &str,
        fill: impl FnOnce(&mut MessageBlock),
    ) {
        if !self.enabled(level) {
            return;
        }
        let mut block = MessageBlock::default();
        fill(&mut block);
        self.say(level, format_args!("{}", block.closed(direction)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::log::Sink;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Sink for Lines {
        fn record(&self, level: Level, _logger: &str, text: &str) {
            let letter = format!("{level:?}").chars().next().unwrap();
            let mut lines = self.0.lock().unwrap();
            lines.extend(text.lines().map(|line| format!("{letter}: {line}")));
        }

        fn progress(&self, _text: &str) {}
    }

    /// What dcmqrscp prints at `level` while `story` is told.
    fn told(level: Level, story: impl FnOnce(&Narrator)) -> Vec<String> {
        let lines = Arc::new(Lines::default());
        let logger = Arc::new(Logger::new(level, lines.clone()));
        story(&Narrator::new(logger, Dialect::Dcmqrscp, false));
        lines.0.lock().unwrap().clone()
    }

    const CT: &[u8] = b"1.2.840.10008.5.1.4.1.1.2";

    /// Every line as DCMTK 3.6.7's dcmqrscp prints it with `-v`.
    #[test]
    fn an_association_of_dcmqrscp() {
        let uids = || Some((UidText::new(CT), UidText::new(b"1.2.3")));
        let lines = told(Level::Info, |narrator| {
            narrator.association_received("localhost", b"STORESCU", b"QR");
            narrator.acknowledged(16384, 0);
            narrator.echo_request(1, 7);
            narrator.response(None, 1, 7, Status::SUCCESS);
            narrator.store_request(3, 8, CT, b"1.2.3", Priority::Medium);
            narrator.response(Some(uids().unwrap()), 3, 8, Status::SUCCESS);
            narrator.released();
        });
        assert_eq!(
            lines,
            [
                "I: Association Received (localhost:STORESCU -> QR)",
                "I: Association Acknowledged (Max Send PDV: 16372)",
                "I:     (but no valid presentation contexts)",
                "I: Received Echo SCP RQ: MsgID 7",
                "I: Received Store SCP:",
                "I: ===================== INCOMING DIMSE MESSAGE ====================",
                "I: Message Type                  : C-STORE RQ",
                "I: Message ID                    : 8",
                "I: Affected SOP Class UID        : CTImageStorage",
                "I: Affected SOP Instance UID     : 1.2.3",
                "I: Data Set                      : present",
                "I: Priority                      : medium",
                "I: ======================= END DIMSE MESSAGE =======================",
                "I: Sending:",
                "I: ===================== OUTGOING DIMSE MESSAGE ====================",
                "I: Message Type                  : C-STORE RSP",
                "I: Message ID Being Responded To : 8",
                "I: Affected SOP Class UID        : CTImageStorage",
                "I: Affected SOP Instance UID     : 1.2.3",
                "I: Data Set                      : none",
                "I: DIMSE Status                  : 0x0000: Success",
                "I: ======================= END DIMSE MESSAGE =======================",
                "I: Association Release",
            ]
        );
    }

    /// A failed store is told at the default level, with its block.
    #[test]
    fn a_failed_store_of_dcmqrscp() {
        let uids = (UidText::new(CT), UidText::new(b"1.2.3"));
        let lines = told(Level::Warn, |narrator| {
            narrator.store_request(3, 8, CT, b"1.2.3", Priority::Medium);
            narrator.response(Some(uids), 3, 8, Status::OUT_OF_RESOURCES);
        });
        assert_eq!(lines[0], "W: NOTICE: StoreSCP:");
        assert_eq!(
            lines[7],
            "W: DIMSE Status                  : 0xa700: Refused: Out of resources"
        );
        assert_eq!(lines.len(), 9);
    }

    #[test]
    fn refusals_of_dcmqrscp() {
        for (refusal, expected) in [
            (Refusal::BadAeService, &["I: Refusing Association (BadAEService)"][..]),
            (Refusal::LocalLimit, &["I: Refusing Association (TooManyAssociations)"]),
            (
                Refusal::Forced,
                &[
                    "I: Refusing Association (forced via command line)",
                    "I: Refusing Association (NoReason)",
                ],
            ),
            (
                Refusal::NoImplementationClassUid,
                &["I: No implementation Class UID provided", "I: Refusing Association (NoReason)"],
            ),
            (
                Refusal::ApplicationContext,
                &["I: Bad AppContextName: 1.2", "I: Refusing Association (BadAppContext)"],
            ),
        ] {
            assert_eq!(told(Level::Info, |narrator| narrator.refused(refusal, b"1.2")), expected);
        }
    }

    /// No association came of it, so none was received; only `-v` knows of it.
    #[test]
    fn connections_of_dcmqrscp_without_an_association() {
        let story = |narrator: &Narrator| {
            narrator.association_received("localhost", b"", b"");
            narrator.no_association(&NoAssociation::UnrecognizedPdu(0x47));
        };
        assert_eq!(
            told(Level::Info, story),
            ["I: Failed to receive association: 0006:0321 Unrecognized PDU type: 47"]
        );
        assert!(told(Level::Warn, story).is_empty());
    }
}
