//! The seven PDUs as types, and the numbers that their fields may hold.
//!
//! Source: PS3.8 §9.3 and PS3.7 Annex D.3.3. Values are kept as they were received: a missing or
//! over-long UID is seen as such ([`UidItem`]), because the answer depends on it (`--reject`
//! refuses a request without an implementation class UID, negotiation refuses a context without an
//! abstract syntax). Types only; bytes are read and written in `pdu_codec.rs` and `items.rs`.
//! Called by all of `ul`, by `acse`, `server` and `client`.

use core::fmt;

use crate::ae_title::{AE_TITLE_BYTES, AeTitle};
use crate::log::escaped;
use crate::uid::{Uid, UidText};

/// The DICOM application context name, PS3.7 Annex A.2.1.
pub const APPLICATION_CONTEXT_NAME: &str = "1.2.840.10008.3.1.1.1";

/// Bytes of a PDU header: type, reserved, length; PS3.8 §9.3.1.
pub const PDU_HEADER_BYTES: usize = 6;

/// The type byte of a PDU, PS3.8 §9.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PduType {
    /// A-ASSOCIATE-RQ
    AssociateRq = 1,
    /// A-ASSOCIATE-AC
    AssociateAc = 2,
    /// A-ASSOCIATE-RJ
    AssociateRj = 3,
    /// P-DATA-TF
    DataTf = 4,
    /// A-RELEASE-RQ
    ReleaseRq = 5,
    /// A-RELEASE-RP
    ReleaseRp = 6,
    /// A-ABORT
    Abort = 7,
}

impl PduType {
    /// The type that `byte` names.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::AssociateRq,
            2 => Self::AssociateAc,
            3 => Self::AssociateRj,
            4 => Self::DataTf,
            5 => Self::ReleaseRq,
            6 => Self::ReleaseRp,
            7 => Self::Abort,
            _ => return None,
        })
    }

    /// The name in the standard.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AssociateRq => "A-ASSOCIATE-RQ",
            Self::AssociateAc => "A-ASSOCIATE-AC",
            Self::AssociateRj => "A-ASSOCIATE-RJ",
            Self::DataTf => "P-DATA-TF",
            Self::ReleaseRq => "A-RELEASE-RQ",
            Self::ReleaseRp => "A-RELEASE-RP",
            Self::Abort => "A-ABORT",
        }
    }
}

/// A UID that stands alone in an item or sub-item, as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UidItem {
    /// The item is missing.
    #[default]
    Absent,
    /// The text of the item; may be empty or no UID at all.
    Given(UidText),
    /// Over 64 bytes; the text was dropped.
    TooLong {
        /// Length of the item, in bytes.
        bytes: usize,
    },
    /// The item came more than once where one is allowed.
    Repeated,
}

impl UidItem {
    /// The item that holds `uid`.
    pub fn of(uid: Uid) -> Self {
        Self::Given(uid.text())
    }

    /// The text, when there is one that is not empty.
    pub fn text(&self) -> Option<UidText> {
        match self {
            Self::Given(text) if !text.is_empty() => Some(*text),
            _ => None,
        }
    }

    /// The UID, when the text is one.
    pub fn uid(&self) -> Option<Uid> {
        self.text()?.to_uid()
    }
}

/// For log lines: the escaped text, or what was wrong in words.
impl fmt::Display for UidItem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => formatter.write_str("(none)"),
            Self::Given(text) if text.is_empty() => formatter.write_str("(empty)"),
            Self::Given(text) => write!(formatter, "{}", escaped(text.as_bytes())),
            Self::TooLong { bytes } => write!(formatter, "(UID of {bytes} bytes)"),
            Self::Repeated => formatter.write_str("(several)"),
        }
    }
}

/// The 64 bytes after the protocol version of an A-ASSOCIATE-RQ or -AC: both AE titles and the
/// reserved field. Kept whole, because the AC repeats them unchanged (PS3.8 §9.3.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TitleFields([u8; TitleFields::BYTES]);

impl TitleFields {
    /// Bytes of the three fields.
    pub const BYTES: usize = 64;

    /// Fields of a new request.
    pub fn new(called: AeTitle, calling: AeTitle) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..AE_TITLE_BYTES].copy_from_slice(&called.padded());
        bytes[AE_TITLE_BYTES..2 * AE_TITLE_BYTES].copy_from_slice(&calling.padded());
        Self(bytes)
    }

    /// Fields as received.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes as they travel.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The called AE title, without padding.
    pub fn called_ae_title(&self) -> AeTitle {
        AeTitle::new(&self.0[..AE_TITLE_BYTES])
    }

    /// The calling AE title, without padding.
    pub fn calling_ae_title(&self) -> AeTitle {
        AeTitle::new(&self.0[AE_TITLE_BYTES..2 * AE_TITLE_BYTES])
    }
}

impl fmt::Debug for TitleFields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} <- {:?}", self.called_ae_title(), self.calling_ae_title())
    }
}

/// A-ASSOCIATE-RQ, PS3.8 §9.3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociateRq {
    /// Bit 0 is version 1, the only one; other bits are not tested.
    pub protocol_version: u16,
    /// AE titles and the reserved field.
    pub titles: TitleFields,
    /// Application context name.
    pub application_context: UidItem,
    /// Proposed presentation contexts in the order of the PDU; IDs are odd and unique.
    pub contexts: Vec<ProposedContext>,
    /// User information; `None` when the item is missing.
    pub user_information: Option<UserInformation>,
}

impl AssociateRq {
    /// The called AE title.
    pub fn called_ae_title(&self) -> AeTitle {
        self.titles.called_ae_title()
    }

    /// The calling AE title.
    pub fn calling_ae_title(&self) -> AeTitle {
        self.titles.calling_ae_title()
    }

    /// The peer's maximum length; `None` when it set no limit (absent or 0, PS3.8 Annex D.1.1).
    pub fn maximum_length(&self) -> Option<u32> {
        maximum_length(self.user_information.as_ref())
    }
}

/// A-ASSOCIATE-AC, PS3.8 §9.3.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociateAc {
    /// Bit 0 is version 1.
    pub protocol_version: u16,
    /// The request's own fields, repeated.
    pub titles: TitleFields,
    /// Application context name.
    pub application_context: UidItem,
    /// A result for each proposed context.
    pub contexts: Vec<ContextResult>,
    /// User information; `None` when the item is missing.
    pub user_information: Option<UserInformation>,
}

impl AssociateAc {
    /// The peer's maximum length; `None` when it set no limit.
    pub fn maximum_length(&self) -> Option<u32> {
        maximum_length(self.user_information.as_ref())
    }
}

fn maximum_length(user_information: Option<&UserInformation>) -> Option<u32> {
    user_information.and_then(|item| item.maximum_length).filter(|bytes| *bytes != 0)
}

/// One proposed presentation context, PS3.8 §9.3.2.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedContext {
    /// Presentation context ID; odd.
    pub id: u8,
    /// Abstract syntax.
    pub abstract_syntax: UidItem,
    /// Transfer syntaxes of at most 64 bytes, in the peer's order.
    pub transfer_syntaxes: Vec<UidText>,
    /// Transfer syntaxes that were left out: over 64 bytes, or beyond
    /// `limits::TRANSFER_SYNTAXES_PER_CONTEXT_MAX`.
    pub transfer_syntaxes_dropped: usize,
}

/// The result of one presentation context, PS3.8 §9.3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextResult {
    /// Presentation context ID.
    pub id: u8,
    /// Result or reason.
    pub result: PresentationResult,
    /// The chosen transfer syntax; not significant when the context was refused.
    pub transfer_syntax: UidItem,
}

/// Result/Reason of a presentation context, PS3.8 Table 9-18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresentationResult {
    /// 0
    Acceptance,
    /// 1
    UserRejection,
    /// 2, provider rejection
    NoReason,
    /// 3, provider rejection
    AbstractSyntaxNotSupported,
    /// 4, provider rejection
    TransferSyntaxesNotSupported,
    /// A number that the standard does not know; the context is not accepted.
    Other(u8),
}

impl PresentationResult {
    /// The result that `byte` names.
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Acceptance,
            1 => Self::UserRejection,
            2 => Self::NoReason,
            3 => Self::AbstractSyntaxNotSupported,
            4 => Self::TransferSyntaxesNotSupported,
            other => Self::Other(other),
        }
    }

    /// The byte as it travels.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Acceptance => 0,
            Self::UserRejection => 1,
            Self::NoReason => 2,
            Self::AbstractSyntaxNotSupported => 3,
            Self::TransferSyntaxesNotSupported => 4,
            Self::Other(other) => other,
        }
    }

    /// The words that DCMTK's association block prints.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Acceptance => "Accepted",
            Self::UserRejection => "User Rejection",
            Self::NoReason => "No Reason",
            Self::AbstractSyntaxNotSupported => "Abstract Syntax Not Supported",
            Self::TransferSyntaxesNotSupported => "Transfer Syntaxes Not Supported",
            Self::Other(_) => "Unknown Result",
        }
    }
}

/// User information, PS3.8 §9.3.2.3 with the sub-items of Annex D and of PS3.7 Annex D.3.3. A
/// sub-item that may come once and comes again is ignored: the first one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInformation {
    /// Longest P-DATA-TF that the sender of this item wants to receive; 0 is "no limit".
    pub maximum_length: Option<u32>,
    /// Implementation class UID.
    pub implementation_class_uid: UidItem,
    /// Implementation version name without padding; the standard allows 16 bytes.
    pub implementation_version_name: Option<Vec<u8>>,
    /// Asynchronous operations window.
    pub asynchronous_operations: Option<AsynchronousOperations>,
    /// SCP/SCU role selection.
    pub roles: Vec<RoleSelection>,
    /// SOP class extended negotiation.
    pub extended_negotiation: Vec<ExtendedNegotiation>,
    /// SOP class common extended negotiation; in requests only.
    pub common_extended_negotiation: Vec<CommonExtendedNegotiation>,
    /// User identity; in requests only.
    pub user_identity: Option<UserIdentity>,
    /// The acceptor's response to a user identity; in answers only.
    pub user_identity_response: Option<Vec<u8>>,
}

/// Asynchronous operations window, PS3.7 Annex D.3.3.3; 0 is "no limit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsynchronousOperations {
    /// Maximum number of operations invoked.
    pub invoked: u16,
    /// Maximum number of operations performed.
    pub performed: u16,
}

/// SCP/SCU role selection, PS3.7 Annex D.3.3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleSelection {
    /// The SOP class or meta SOP class.
    pub sop_class_uid: UidText,
    /// The requestor proposes, or may take, the SCU role.
    pub scu: bool,
    /// The requestor proposes, or may take, the SCP role.
    pub scp: bool,
}

/// SOP class extended negotiation, PS3.7 Annex D.3.3.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedNegotiation {
    /// The SOP class.
    pub sop_class_uid: UidText,
    /// Service class application information; its meaning is the service class's.
    pub information: Vec<u8>,
}

/// SOP class common extended negotiation, PS3.7 Annex D.3.3.6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonExtendedNegotiation {
    /// Version of the sub-item; 0.
    pub version: u8,
    /// The SOP class.
    pub sop_class_uid: UidText,
    /// The service class that it belongs to.
    pub service_class_uid: UidText,
    /// Related general SOP classes.
    pub related_general_sop_classes: Vec<UidText>,
}

/// User identity of a request, PS3.7 Annex D.3.3.7. Fields may be passwords: `Debug` shows lengths.
#[derive(Clone, PartialEq, Eq)]
pub struct UserIdentity {
    /// 1 user name, 2 user name and passcode, 3 Kerberos ticket, 4 SAML, 5 JSON web token.
    pub identity_type: u8,
    /// The requestor asks for a server response.
    pub positive_response_requested: bool,
    /// Primary field.
    pub primary_field: Vec<u8>,
    /// Secondary field; empty unless the type is 2.
    pub secondary_field: Vec<u8>,
}

impl fmt::Debug for UserIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "UserIdentity {{ type {}, {} + {} bytes }}",
            self.identity_type,
            self.primary_field.len(),
            self.secondary_field.len()
        )
    }
}

/// A-ASSOCIATE-RJ, PS3.8 §9.3.4: result, source and reason as they travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssociateRj {
    /// 1 permanent, 2 transient.
    pub result: u8,
    /// 1 service user, 2 service provider (ACSE), 3 service provider (presentation).
    pub source: u8,
    /// Depends on the source.
    pub reason: u8,
}

impl AssociateRj {
    /// Permanent, by the user: no reason given.
    pub const NO_REASON: Self = Self { result: 1, source: 1, reason: 1 };
    /// Permanent, by the user: application context name not supported.
    pub const APPLICATION_CONTEXT_NAME_NOT_SUPPORTED: Self =
        Self { result: 1, source: 1, reason: 2 };
    /// Permanent, by the user: calling AE title not recognized.
    pub const CALLING_AE_TITLE_NOT_RECOGNIZED: Self = Self { result: 1, source: 1, reason: 3 };
    /// Permanent, by the user: called AE title not recognized.
    pub const CALLED_AE_TITLE_NOT_RECOGNIZED: Self = Self { result: 1, source: 1, reason: 7 };
    /// Permanent, by the provider: protocol version not supported.
    pub const PROTOCOL_VERSION_NOT_SUPPORTED: Self = Self { result: 1, source: 2, reason: 2 };
    /// Transient, by the provider: temporary congestion.
    pub const TEMPORARY_CONGESTION: Self = Self { result: 2, source: 3, reason: 1 };
    /// Transient, by the provider: local limit exceeded.
    pub const LOCAL_LIMIT_EXCEEDED: Self = Self { result: 2, source: 3, reason: 2 };

    /// The result in DCMTK's words.
    pub const fn result_text(self) -> &'static str {
        match self.result {
            1 => "Rejected Permanent",
            2 => "Rejected Transient",
            _ => "Unknown Result",
        }
    }

    /// The source in DCMTK's words.
    pub const fn source_text(self) -> &'static str {
        match self.source {
            1 => "Service User",
            2 => "Service Provider (ACSE Related)",
            3 => "Service Provider (Presentation Related)",
            _ => "Unknown Source",
        }
    }

    /// The reason in DCMTK's words.
    pub const fn reason_text(self) -> &'static str {
        match (self.source, self.reason) {
            (1 | 2, 1) => "No Reason",
            (1, 2) => "App Context Name Not Supported",
            (1, 3) => "Calling AE Title Not Recognized",
            (1, 7) => "Called AE Title Not Recognized",
            (2, 2) => "Protocol Version Not Supported",
            (3, 1) => "Temporary Congestion",
            (3, 2) => "Local Limit Exceeded",
            _ => "Unknown Reason",
        }
    }
}

/// Source and reason of an A-ABORT, PS3.8 §9.3.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// 0 service user, 2 service provider.
    pub source: u8,
    /// Significant for source 2 only.
    pub reason: u8,
}

impl Abort {
    /// By the service user.
    pub const USER: Self = Self { source: 0, reason: 0 };
    /// By the provider: reason not specified.
    pub const NOT_SPECIFIED: Self = Self { source: 2, reason: 0 };
    /// By the provider: unrecognized PDU.
    pub const UNRECOGNIZED_PDU: Self = Self { source: 2, reason: 1 };
    /// By the provider: unexpected PDU.
    pub const UNEXPECTED_PDU: Self = Self { source: 2, reason: 2 };
    /// By the provider: unrecognized PDU parameter.
    pub const UNRECOGNIZED_PDU_PARAMETER: Self = Self { source: 2, reason: 4 };
    /// By the provider: unexpected PDU parameter.
    pub const UNEXPECTED_PDU_PARAMETER: Self = Self { source: 2, reason: 5 };
    /// By the provider: invalid PDU parameter value.
    pub const INVALID_PDU_PARAMETER: Self = Self { source: 2, reason: 6 };
}

impl fmt::Display for Abort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, reason) = match (self.source, self.reason) {
            (0, _) => ("service user", "-"),
            (2, 0) => ("service provider", "not specified"),
            (2, 1) => ("service provider", "unrecognized PDU"),
            (2, 2) => ("service provider", "unexpected PDU"),
            (2, 4) => ("service provider", "unrecognized PDU parameter"),
            (2, 5) => ("service provider", "unexpected PDU parameter"),
            (2, 6) => ("service provider", "invalid PDU parameter value"),
            (2, _) => ("service provider", "unknown reason"),
            _ => ("unknown source", "unknown reason"),
        };
        write!(formatter, "source {} ({source}), reason {} ({reason})", self.source, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.8 §9.3.1: type bytes 01H to 07H, and no others.
    #[test]
    fn pdu_types() {
        for byte in 0..=u8::MAX {
            assert_eq!(
                PduType::from_byte(byte).map(|pdu_type| pdu_type as u8),
                (1..=7).contains(&byte).then_some(byte)
            );
        }
    }

    /// PS3.8 §9.3.3: the AC repeats the request's bytes, also those that trimming would lose.
    #[test]
    fn title_fields_keep_every_byte() {
        let mut bytes = [b' '; 64];
        bytes[2..5].copy_from_slice(b"SCP");
        bytes[40] = 7;
        let fields = TitleFields::from_bytes(bytes);
        assert_eq!(fields.called_ae_title().as_bytes(), b"SCP");
        assert!(fields.calling_ae_title().is_empty());
        assert_eq!(*fields.as_bytes(), bytes);
    }

    /// PROMISES.md §5.4: no password reaches a log through `Debug`.
    #[test]
    fn user_identity_is_not_shown() {
        let identity = UserIdentity {
            identity_type: 2,
            positive_response_requested: true,
            primary_field: b"alice".to_vec(),
            secondary_field: b"secret".to_vec(),
        };
        let shown = format!("{identity:?}");
        assert!(!shown.contains("alice") && !shown.contains("secret"), "{shown}");
    }

    /// PS3.8 Annex D.1.1: maximum length 0 is "no limit", as is an absent item.
    #[test]
    fn no_limit() {
        let mut information = UserInformation::default();
        assert_eq!(maximum_length(Some(&information)), None);
        information.maximum_length = Some(0);
        assert_eq!(maximum_length(Some(&information)), None);
        information.maximum_length = Some(16384);
        assert_eq!(maximum_length(Some(&information)), Some(16384));
        assert_eq!(maximum_length(None), None);
    }
}
