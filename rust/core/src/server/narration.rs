//! What the receiving tools say at each event, in DCMTK's words.
//!
//! One [`Narrator`] per association. DCMTK's `storescp`, `dcmrecv` and `dcmqrscp` tell the same
//! story in different words, streams and levels; [`Dialect`] chooses. Source: DCMTK 3.6.7, checked against
//! DCMTK 3.6.7 in `tests/compat/`. Lines that DCMTK does not have go through [`Narrator::explain`]
//! under loggers `dcmfast.*`, from `-v` on (DIFFERENCES.md D18). Peers' text passes `log::escaped`;
//! nothing of a stored data set but its SOP Instance UID is ever printed. Text is built only when
//! its level is on. Lines about objects stand in `objects`, why there is no
//! association in `refusals`; what dcmqrscp says of queries and retrieves is `query_narration`.

mod objects;
mod refusals;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::conditions::{Cause, Whose};
use super::faults::Event;
pub use refusals::{NoAssociation, Refusal};

pub use crate::acse::block::{AssociationBlock, ContextBlock, UserIdentityBlock};
use crate::client::query::Reply;
use crate::dictionary::uids::storage_prefix;
use crate::dimse::block::{MessageBlock, class_name};
use crate::dimse::status::{Operation, Status, StatusClass};
use crate::log::{Level, Logger, escaped};
use crate::net::tcp::SocketAddr;
use crate::net::tls::TlsFault;
use crate::storage::naming::SubdirectoryNaming;
use crate::storage::writer::{Dialect, Store};
use crate::uid::UidText;

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

    /// `<what> (MsgID n, XX)`, or `<what>` alone where the block follows at DEBUG.
    /// The level of message blocks: dcmqrscp shows them below `-v` already.
    const fn message_level(&self) -> Level {
        match self.dialect {
            Dialect::Dcmqrscp => Level::Info,
            _ => Level::Debug,
        }
    }

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

    /// We abort the association `whose`: DCMTK's conditions in one event, and one line of ours with all that
    /// they leave unsaid.
    pub(super) fn failure(&self, cause: &Cause, whose: &Whose<'_>) {
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
            Dialect::Dcmrecv | Dialect::Getscu => {}
        }
        self.complain(format_args!("aborting association {whose}: {}", cause.explanation));
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
    use std::time::Duration;

    use super::*;
    use crate::dimse::service::Priority;
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
            let why = NoAssociation::UnrecognizedPdu(0x47);
            narrator.no_association(&why, &"peer:7", Duration::from_secs(30));
        };
        let ours = "E: no association with peer:7: it speaks something that is not DICOM: \
                    47H is no type of a PDU";
        assert_eq!(
            told(Level::Info, story),
            ["I: Failed to receive association: 0006:0321 Unrecognized PDU type: 47", ours]
        );
        assert_eq!(told(Level::Warn, story), [ours]);
    }
}
