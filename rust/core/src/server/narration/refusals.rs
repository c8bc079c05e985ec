//! Why there is no association: of a request that is refused, and of a connection that brought none.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::Narrator;
use crate::limits::ASSOCIATE_PDU_BYTES_MAX;
use crate::log::{Level, escaped};
use crate::net::tcp::SocketAddr;
use crate::storage::writer::Dialect;
use crate::ul::pdu::AssociateRj;
use crate::ul::pdu_codec::DecodeError;

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

    /// What was wrong, in plain words; `None` where a line of its own says it.
    fn explanation(&self, acse_timeout: Duration) -> Option<Cow<'static, str>> {
        let seconds = acse_timeout.as_secs();
        Some(Cow::Owned(match self {
            Self::UnrecognizedPdu(TLS_HANDSHAKE) => {
                return Some("it begins a TLS handshake; this port expects none".into());
            }
            Self::UnrecognizedPdu(kind) => {
                format!("it speaks something that is not DICOM: {kind:02X}H is no type of a PDU")
            }
            Self::TooLarge(bytes) => format!(
                "its request is {bytes} bytes long, and at most {ASSOCIATE_PDU_BYTES_MAX} are taken"
            ),
            Self::Timeout => {
                format!("no whole request within {seconds} s (--acse-timeout)")
            }
            Self::Closed => return Some("it went in the middle of its request".into()),
            Self::DeniedHost(_) => return None,
            Self::Malformed(error) => format!("its request is none: {error}"),
            Self::ProtocolVersion(version) => {
                format!("its protocol version is {version:04X}H, which lacks bit 0")
            }
        }))
    }
}

/// The first byte of a TLS handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

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

impl Narrator {
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

    /// No association came of the connection from `peer`: DCMTK's condition, and one line of ours with all that
    /// it leaves unsaid.
    pub fn no_association(
        &self,
        why: &NoAssociation,
        peer: &dyn fmt::Display,
        acse_timeout: Duration,
    ) {
        self.condition_of(why);
        if let Some(explanation) = why.explanation(acse_timeout) {
            self.complain(format_args!("no association with {peer}: {explanation}"));
        }
    }

    /// No handshake came in time: DCMTK's condition, and ours.
    pub fn no_handshake(&self, peer: SocketAddr, acse_timeout: Duration) {
        self.condition_of(&NoAssociation::Timeout);
        let seconds = acse_timeout.as_secs();
        self.not_secured(
            peer,
            &format_args!("no TLS handshake within {seconds} s (--acse-timeout)"),
        );
    }

    fn condition_of(&self, why: &NoAssociation) {
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
}
