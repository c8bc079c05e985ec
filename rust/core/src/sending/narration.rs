//! What the sending tools say of each file, in DCMTK's words.
//!
//! Source: DCMTK 3.6.7's `storescu` and `dcmsend`, as run. What they say once for an association or
//! a run is the front end's. Lines that DCMTK does not have go to loggers `dcmfast.*` (DIFFERENCES.md
//! D18). Called by `sending::Worker`.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::Dialect;
use super::invent::Identity;
use super::object::Fault;
use crate::client::ClientError;
use crate::dataset::oddities::Oddities;
use crate::dataset::transfer_syntax::long_name;
use crate::dictionary::uids::storage_prefix;
use crate::dimse::block::{MessageBlock, class_name};
use crate::dimse::status::{Operation, Status};
use crate::log::{Level, Logger, escaped, system_text};
use crate::tag::Tag;
use crate::uid::{Uid, UidText};

/// Our own lines about files.
const OURS: &str = "dcmfast.sending";

/// The logger whose level decides about progress dots.
const PROGRESS: &str = "dcmtk.apps.storescu.progress";

/// A logger, and how a tool speaks.
pub struct Lines {
    logger: Arc<Logger>,
    dialect: Dialect,
    has_dots: bool,
}

impl Lines {
    /// The lines of one tool; dcmsend has no dots.
    pub fn new(logger: Arc<Logger>, dialect: Dialect, has_dots: bool) -> Self {
        Self { logger, dialect, has_dots: has_dots && dialect == Dialect::Storescu }
    }

    /// Lines about files: of storescu the tool's, of dcmsend its library's.
    const fn logger_name(&self) -> &'static str {
        match self.dialect {
            Dialect::Storescu => "dcmtk.apps.storescu",
            Dialect::Dcmsend => "dcmtk.dcmnet",
        }
    }

    fn say(&self, level: Level, text: fmt::Arguments<'_>) {
        self.logger.line(level, self.logger_name(), text);
    }

    /// What is odd about a file that is sent.
    pub fn oddities(&self, found: &Oddities) {
        found.tell(&self.logger);
    }

    /// A file is looked at for the first time.
    pub fn adding(&self, path: &Path) {
        if self.dialect == Dialect::Dcmsend {
            self.say(Level::Debug, format_args!("adding DICOM file '{}'", path.display()));
        }
    }

    /// It will be sent.
    pub fn added(&self, instance: &UidText) {
        if self.dialect == Dialect::Dcmsend {
            let uid = escaped(instance.as_bytes());
            self.say(
                Level::Debug,
                format_args!("successfully added SOP instance {uid} to the transfer list"),
            );
        }
    }

    /// A file's turn has come.
    pub fn sending(&self, path: &Path) {
        let path = path.display();
        match self.dialect {
            Dialect::Storescu => self.say(Level::Info, format_args!("Sending file: {path}")),
            Dialect::Dcmsend => {
                self.say(Level::Debug, format_args!("sending SOP instance from file: {path}"));
            }
        }
    }

    /// A record of a DICOMDIR that is left out.
    pub fn bad_record(&self, path: &Path, reason: &str) {
        let path = path.display();
        self.say(
            Level::Error,
            format_args!(
                "cannot add DICOM file from DICOMDIR to the transfer list: {path}: {reason}"
            ),
        );
    }

    /// An object gets a new identity; of what is new the elements `found` were there.
    pub fn inventing(&self, identity: &Identity, found: &[Tag]) {
        for line in identity.to_string().split('\n') {
            self.say(Level::Info, format_args!("{line}"));
        }
        for (tag, name) in Identity::missing(found) {
            self.say(
                Level::Error,
                format_args!(
                    "updateStringAttributeValue: cannot find: {name} {tag}: Tag not found"
                ),
            );
        }
    }

    /// In which transfer syntax a file is, and in which it travels.
    pub fn converting(&self, from: &Uid, to: &Uid) {
        if self.dialect == Dialect::Dcmsend && from == to {
            return;
        }
        let (from, to) = (syntax_name(from), syntax_name(to));
        self.say(Level::Info, format_args!("Converting transfer syntax: {from} -> {to}"));
    }

    /// The request is about to leave.
    pub fn request(&self, message_id: u16, context_id: u8, class: &UidText, uid: &UidText) {
        let is_debug = self.logger.enabled(Level::Debug, self.logger_name());
        let modality = storage_prefix(class.as_bytes()).unwrap_or("OT");
        match self.dialect {
            Dialect::Dcmsend if is_debug => {
                self.say(Level::Info, format_args!("Sending C-STORE Request"));
            }
            Dialect::Dcmsend => self.say(
                Level::Info,
                format_args!("Sending C-STORE Request (MsgID {message_id}, {modality})"),
            ),
            Dialect::Storescu => self.say(
                Level::Info,
                format_args!("Sending Store Request (MsgID {message_id}, {modality})"),
            ),
        }
        if !is_debug {
            return;
        }
        let mut block = MessageBlock::default();
        block.field("Message Type", format_args!("C-STORE RQ"));
        if self.dialect == Dialect::Dcmsend {
            block.field("Presentation Context ID", format_args!("{context_id}"));
        }
        block.field("Message ID", format_args!("{message_id}"));
        affected(&mut block, class, uid);
        block.field("Data Set", format_args!("present"));
        block.field("Priority", format_args!("medium"));
        self.say(Level::Debug, format_args!("{}", block.closed("OUTGOING")));
    }

    /// The answer.
    pub fn response(
        &self,
        status: Status,
        (message_id, context_id): (u16, u8),
        class: &UidText,
        uid: &UidText,
    ) {
        let what = match self.dialect {
            Dialect::Storescu => "Received Store Response",
            Dialect::Dcmsend => "Received C-STORE Response",
        };
        if !self.logger.enabled(Level::Debug, self.logger_name()) {
            let text = status.text(Operation::Store);
            return self.say(Level::Info, format_args!("{what} ({text})"));
        }
        self.say(Level::Info, format_args!("{what}"));
        let mut block = MessageBlock::default();
        block.field("Message Type", format_args!("C-STORE RSP"));
        block.field("Presentation Context ID", format_args!("{context_id}"));
        block.field("Message ID Being Responded To", format_args!("{message_id}"));
        // A response repeats the request's UIDs or leaves them out (PS3.7 §9.3.1.2).
        affected(&mut block, class, uid);
        block.field("Data Set", format_args!("none"));
        let text = status.long_text(Operation::Store);
        block.field("DIMSE Status", format_args!("0x{:04x}: {text}", status.0));
        self.say(Level::Debug, format_args!("{}", block.closed("INCOMING")));
    }

    /// An object that the peer did not take: DCMTK tells it at -v only.
    pub fn not_stored(&self, path: &Path, status: Status) {
        if self.logger.enabled(Level::Info, self.logger_name()) {
            return;
        }
        let text = status.text(Operation::Store);
        let path = path.display();
        self.logger.line(
            Level::Error,
            self.logger_name(),
            format_args!("Store Failed, file: {path}: {text}"),
        );
    }

    /// A file that is not sent.
    pub fn fault(&self, path: &Path, fault: &Fault) {
        let path = path.display();
        let (_, words) = fault.condition();
        match (self.dialect, fault) {
            (Dialect::Storescu, Fault::NoContext(kind)) => {
                let (class, _) = &**kind;
                let modality = storage_prefix(class.as_bytes()).unwrap_or("unknown SOP class");
                let class = escaped(class.as_bytes());
                self.say(
                    Level::Error,
                    format_args!("No presentation context for: ({modality}) {class}"),
                );
                self.explain(format_args!("{path}: {fault}"));
            }
            (Dialect::Dcmsend, Fault::NoContext(kind)) => {
                let (class, syntax) = &**kind;
                let (class, syntax) = (class_name(class.as_bytes()), syntax_name(syntax));
                self.say(
                    Level::Error,
                    format_args!(
                        "No presentation context found for sending C-STORE with SOP Class / \
                         Transfer Syntax: {class} / {syntax}"
                    ),
                );
                self.explain(format_args!("{path}: {fault}"));
            }
            (_, Fault::Conversion { to, .. }) => {
                let to = syntax_name(to);
                self.say(
                    Level::Error,
                    format_args!("No conversion to transfer syntax {to} possible!"),
                );
                self.explain(format_args!("{path}: {fault}"));
            }
            (Dialect::Storescu, _) => {
                if let Fault::Cut(cut) = fault {
                    self.say(Level::Error, format_args!("{path}: {}", cut.place));
                }
                self.say(Level::Error, format_args!("Bad DICOM file: {path}: {words}"));
            }
            (Dialect::Dcmsend, _) => {
                if let Fault::Cut(cut) = fault {
                    self.explain(format_args!("{path}: {}", cut.place));
                }
                self.say(
                    Level::Error,
                    format_args!("cannot send SOP instance from file: {path}: {words}"),
                );
            }
        }
    }

    fn explain(&self, text: fmt::Arguments<'_>) {
        self.logger.line(Level::Error, OURS, text);
    }

    /// The association was lost while a file was sent, or its answer waited for.
    pub fn failed(&self, path: &Path, error: &ClientError, is_sending: bool) {
        let condition = condition(error);
        match (self.dialect, is_sending) {
            (Dialect::Storescu, _) => {
                let path = path.display();
                self.say(Level::Error, format_args!("Store Failed, file: {path}:\n{condition}"));
            }
            (Dialect::Dcmsend, true) => {
                self.say(Level::Error, format_args!("Failed sending C-STORE request: {condition}"));
            }
            (Dialect::Dcmsend, false) => {
                self.say(
                    Level::Error,
                    format_args!("Failed receiving DIMSE response: {condition}"),
                );
            }
        }
        if let ClientError::Tls(fault) = error {
            self.logger.line(Level::Error, "dcmfast.tls", format_args!("{}", fault.explanation));
        }
    }

    /// A file was given another name, or was not.
    pub fn renamed(&self, from: &Path, to: &Path, result: io::Result<()>) {
        let (from, to) = (from.display(), to.display());
        match result {
            Ok(()) => self.say(Level::Debug, format_args!("renamed file '{from}' to '{to}'")),
            Err(error) => {
                self.say(Level::Warn, format_args!("cannot rename file '{from}' to '{to}'"));
                let why = system_text(&error);
                self.logger.line(Level::Warn, OURS, format_args!("{to}: {why}"));
            }
        }
    }

    /// `XMIT: `, where dots are shown.
    pub fn begin_dots(&self) {
        self.progress("XMIT: ");
    }

    /// One dot a PDV.
    pub fn dots(&self, count: usize) {
        if self.has_dots && self.logger.shows_progress(PROGRESS) {
            self.progress(&".".repeat(count));
        }
    }

    /// The end of the line of dots.
    pub fn end_dots(&self) {
        self.progress("\n");
    }

    fn progress(&self, text: &str) {
        if self.has_dots {
            self.logger.progress(PROGRESS, text);
        }
    }

    /// `source`, with a dot for each `fragment_bytes` that are read of it.
    pub fn dotted(&self, source: Box<dyn Read + Send>, fragment_bytes: usize) -> impl Read + '_ {
        Dotted { source, lines: self, fragment_bytes: fragment_bytes.max(1), read: 0, shown: 0 }
    }
}

/// See [`Lines::dotted`].
struct Dotted<'a> {
    source: Box<dyn Read + Send>,
    lines: &'a Lines,
    fragment_bytes: usize,
    read: u64,
    shown: u64,
}

impl Read for Dotted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.read += count as u64;
        let due = self.read.div_ceil(self.fragment_bytes as u64);
        if due > self.shown {
            self.lines.dots(usize::try_from(due - self.shown).unwrap_or_default());
            self.shown = due;
        }
        Ok(count)
    }
}

fn affected(block: &mut MessageBlock, class: &UidText, uid: &UidText) {
    block.field("Affected SOP Class UID", format_args!("{}", class_name(class.as_bytes())));
    block.field("Affected SOP Instance UID", format_args!("{}", escaped(uid.as_bytes())));
}

/// A transfer syntax as DCMTK's lines call it; an unknown one by its UID.
pub fn syntax_name(uid: &Uid) -> &str {
    long_name(uid).unwrap_or_else(|| uid.as_str())
}

/// DCMTK's condition for the end of an association: module, code and words.
pub fn condition(error: &ClientError) -> String {
    match error {
        ClientError::PeerReleased => "0006:0319 DUL Peer Requested Release".into(),
        ClientError::TimedOut => {
            "0006:0207 DIMSE No data available (timeout in non-blocking mode)".into()
        }
        ClientError::Protocol(what) => format!("0006:0211 DIMSE: {what}"),
        // Its number is part of it.
        ClientError::Tls(fault) => fault.to_string(),
        ClientError::Source(error) => format!("0001:0004 Invalid stream: {}", system_text(error)),
        ClientError::PeerAborted(_) | ClientError::PeerGone(_) => {
            "0006:0317 Peer aborted Association (or never connected)".into()
        }
        error => format!("0006:020e DIMSE Failed to send message: {error}"),
    }
}
