//! DIMSE services: requests and responses as types.
//!
//! Source: PS3.7 §9.3 (C-services), §10.3 (N-services) and Annex E. C-ECHO, C-STORE, C-CANCEL and
//! the three services of query/retrieve ([`QueryRequest`]) have types of their own. Every other request is an [`OtherRequest`], which knows enough to be
//! refused as the standard says: 0211H, with its message ID, in the response that belongs to it.
//!
//! A field that is missing or broken stays visible as `None`; which status answers it is `server`'s
//! decision. Only what cannot be answered at all is an error here. Values hold no heap, so that a
//! message costs none. No I/O. Called by `server` and `client`.

use core::fmt;

use crate::ae_title::AeTitle;
use crate::dimse::command_set::{CommandSet, Encoder, Field, NO_DATA_SET};
use crate::dimse::status::Status;
use crate::uid::UidText;
use crate::ul::pdu::Abort;

/// Values of the command field (0000,0100), PS3.7 Annex E.1.
pub mod command_field {
    #![expect(missing_docs, reason = "the names of PS3.7 Table E.1-1")]
    pub const C_STORE_RQ: u16 = 0x0001;
    pub const C_GET_RQ: u16 = 0x0010;
    pub const C_FIND_RQ: u16 = 0x0020;
    pub const C_MOVE_RQ: u16 = 0x0021;
    pub const C_ECHO_RQ: u16 = 0x0030;
    pub const N_EVENT_REPORT_RQ: u16 = 0x0100;
    pub const N_GET_RQ: u16 = 0x0110;
    pub const N_SET_RQ: u16 = 0x0120;
    pub const N_ACTION_RQ: u16 = 0x0130;
    pub const N_CREATE_RQ: u16 = 0x0140;
    pub const N_DELETE_RQ: u16 = 0x0150;
    pub const C_CANCEL_RQ: u16 = 0x0FFF;
    /// Set in every response.
    pub const RESPONSE_BIT: u16 = 0x8000;
}

/// The name of a command as DCMTK's message block prints it, such as `C-STORE RQ`.
pub const fn command_name(value: u16) -> impl fmt::Display {
    CommandName(value)
}

struct CommandName(u16);

impl fmt::Display for CommandName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use command_field as field;
        let service = match self.0 & !field::RESPONSE_BIT {
            field::C_STORE_RQ => "C-STORE",
            field::C_GET_RQ => "C-GET",
            field::C_FIND_RQ => "C-FIND",
            field::C_MOVE_RQ => "C-MOVE",
            field::C_ECHO_RQ => "C-ECHO",
            field::N_EVENT_REPORT_RQ => "N-EVENT-REPORT",
            field::N_GET_RQ => "N-GET",
            field::N_SET_RQ => "N-SET",
            field::N_ACTION_RQ => "N-ACTION",
            field::N_CREATE_RQ => "N-CREATE",
            field::N_DELETE_RQ => "N-DELETE",
            field::C_CANCEL_RQ => "C-CANCEL",
            _ => return write!(formatter, "unknown command {:04X}H", self.0),
        };
        let kind = if self.0 & field::RESPONSE_BIT == 0 { "RQ" } else { "RSP" };
        write!(formatter, "{service} {kind}")
    }
}

/// What (0000,0800) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSetType {
    /// A data set follows.
    Present,
    /// No data set: 0101H.
    Absent,
    /// The field is missing or broken, so no data set is expected.
    Missing,
}

impl DataSetType {
    fn of(set: &CommandSet<'_>) -> Self {
        match set.us(Field::CommandDataSetType) {
            Some(NO_DATA_SET) => Self::Absent,
            Some(_) => Self::Present,
            None => Self::Missing,
        }
    }

    /// True when a data set follows.
    pub fn is_present(self) -> bool {
        self == Self::Present
    }
}

/// (0000,0800) of a message with a data set; any value but 0101H would do, DCMTK sends this one.
const WITH_DATA_SET: u16 = 0x0001;

/// Priority (0000,0700).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of PS3.7 §9.3.1.1")]
pub enum Priority {
    #[default]
    Medium,
    High,
    Low,
}

impl Priority {
    const fn from_us(value: u16) -> Option<Self> {
        Some(match value {
            0 => Self::Medium,
            1 => Self::High,
            2 => Self::Low,
            _ => return None,
        })
    }

    /// The word in DCMTK's message block.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::High => "high",
            Self::Low => "low",
        }
    }
}

/// A command that a peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// C-ECHO-RQ
    Echo(EchoRequest),
    /// C-STORE-RQ
    Store(StoreRequest),
    /// C-FIND-RQ, C-GET-RQ or C-MOVE-RQ.
    Query(QueryRequest),
    /// C-CANCEL-RQ; never answered itself.
    Cancel(CancelRequest),
    /// Any other request, known or not.
    Other(OtherRequest),
    /// A response.
    Response(Response<'a>),
}

/// A command that cannot be answered, because no response could be addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unanswerable {
    /// No command field, or a broken one.
    NoCommandField,
    /// A request without message ID.
    NoMessageId {
        /// Its command field.
        command_field: u16,
    },
    /// A response without status, or without the message ID it responds to.
    IncompleteResponse {
        /// Its command field.
        command_field: u16,
    },
}

impl Unanswerable {
    /// Source and reason of the A-ABORT that answers it instead.
    pub const fn abort(&self) -> Abort {
        Abort::USER
    }
}

impl fmt::Display for Unanswerable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommandField => formatter.write_str("command set without a command field"),
            Self::NoMessageId { command_field } => {
                write!(formatter, "{} without a message ID", command_name(*command_field))
            }
            Self::IncompleteResponse { command_field } => write!(
                formatter,
                "{} without a status or without the message ID it responds to",
                command_name(*command_field)
            ),
        }
    }
}

impl core::error::Error for Unanswerable {}

impl<'a> Command<'a> {
    /// The command in `set`.
    pub fn of(set: &CommandSet<'a>) -> Result<Self, Unanswerable> {
        let command_field = set.us(Field::CommandField).ok_or(Unanswerable::NoCommandField)?;
        if command_field & command_field::RESPONSE_BIT != 0 {
            return Response::of(set, command_field)
                .map(Self::Response)
                .ok_or(Unanswerable::IncompleteResponse { command_field });
        }
        if command_field == command_field::C_CANCEL_RQ {
            // PS3.7 §9.3.2.3: it names the request to cancel, and has no message ID of its own.
            return set
                .us(Field::MessageIdBeingRespondedTo)
                .map(|message_id_being_responded_to| {
                    Self::Cancel(CancelRequest { message_id_being_responded_to })
                })
                .ok_or(Unanswerable::NoMessageId { command_field });
        }
        let message_id =
            set.us(Field::MessageId).ok_or(Unanswerable::NoMessageId { command_field })?;
        let data_set_type = DataSetType::of(set);
        Ok(match command_field {
            command_field::C_ECHO_RQ => Self::Echo(EchoRequest {
                message_id,
                affected_sop_class_uid: set.uid(Field::AffectedSopClassUid),
                data_set_type,
            }),
            command_field::C_STORE_RQ => Self::Store(StoreRequest {
                message_id,
                affected_sop_class_uid: set.uid(Field::AffectedSopClassUid),
                affected_sop_instance_uid: set.uid(Field::AffectedSopInstanceUid),
                priority: set.us(Field::Priority).and_then(Priority::from_us),
                move_originator_ae_title: set.ae_title(Field::MoveOriginatorApplicationEntityTitle),
                move_originator_message_id: set.us(Field::MoveOriginatorMessageId),
                data_set_type,
            }),
            command_field::C_FIND_RQ | command_field::C_GET_RQ | command_field::C_MOVE_RQ => {
                Self::Query(QueryRequest {
                    service: match command_field {
                        command_field::C_FIND_RQ => QueryService::Find,
                        command_field::C_GET_RQ => QueryService::Get,
                        _ => QueryService::Move,
                    },
                    message_id,
                    affected_sop_class_uid: set.uid(Field::AffectedSopClassUid),
                    priority: set.us(Field::Priority).and_then(Priority::from_us),
                    move_destination: set.ae_title(Field::MoveDestination),
                    data_set_type,
                })
            }
            _ => Self::Other(OtherRequest {
                command_field,
                message_id,
                sop_class_uid: set
                    .uid(Field::AffectedSopClassUid)
                    .or_else(|| set.uid(Field::RequestedSopClassUid)),
                sop_instance_uid: set
                    .uid(Field::AffectedSopInstanceUid)
                    .or_else(|| set.uid(Field::RequestedSopInstanceUid)),
                data_set_type,
            }),
        })
    }
}

/// C-ECHO-RQ, PS3.7 §9.3.5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoRequest {
    /// Message ID.
    pub message_id: u16,
    /// Affected SOP class UID, as it came.
    pub affected_sop_class_uid: Option<UidText>,
    /// Whether a data set follows; the standard has none here, but one that comes is consumed.
    pub data_set_type: DataSetType,
}

impl EchoRequest {
    /// The C-ECHO-RSP.
    pub const fn response(&self, status: Status) -> Response<'static> {
        let class = self.affected_sop_class_uid;
        Response::to(command_field::C_ECHO_RQ, self.message_id, (class, None), status)
    }

    /// Appends the command set to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(out);
        if let Some(uid) = &self.affected_sop_class_uid {
            encoder.uid(Field::AffectedSopClassUid, uid);
        }
        encoder
            .us(Field::CommandField, command_field::C_ECHO_RQ)
            .us(Field::MessageId, self.message_id)
            .us(Field::CommandDataSetType, data_set_type_value(self.data_set_type.is_present()))
            .finish();
    }
}

/// C-STORE-RQ, PS3.7 §9.3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreRequest {
    /// Message ID.
    pub message_id: u16,
    /// Affected SOP class UID, as it came; `None` when missing or over 64 bytes.
    pub affected_sop_class_uid: Option<UidText>,
    /// Affected SOP instance UID, as it came; `None` when missing or over 64 bytes.
    pub affected_sop_instance_uid: Option<UidText>,
    /// Priority; `None` when missing or out of range, which is of no consequence.
    pub priority: Option<Priority>,
    /// Move originator application entity title, of a C-MOVE sub-operation.
    pub move_originator_ae_title: Option<AeTitle>,
    /// Move originator message ID, of a C-MOVE sub-operation.
    pub move_originator_message_id: Option<u16>,
    /// Whether a data set follows.
    pub data_set_type: DataSetType,
}

impl StoreRequest {
    /// The mandatory argument that is missing, if one is; for the log, and for a failure status.
    pub const fn missing_argument(&self) -> Option<&'static str> {
        match self {
            Self { affected_sop_class_uid: None, .. } => Some("Affected SOP Class UID"),
            Self { affected_sop_instance_uid: None, .. } => Some("Affected SOP Instance UID"),
            Self { data_set_type: DataSetType::Missing, .. } => Some("Command Data Set Type"),
            Self { data_set_type: DataSetType::Absent, .. } => Some("data set"),
            _ => None,
        }
    }

    /// The C-STORE-RSP.
    pub const fn response(&self, status: Status) -> Response<'static> {
        let uids = (self.affected_sop_class_uid, self.affected_sop_instance_uid);
        Response::to(command_field::C_STORE_RQ, self.message_id, uids, status)
    }

    /// Appends the command set to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(out);
        if let Some(uid) = &self.affected_sop_class_uid {
            encoder.uid(Field::AffectedSopClassUid, uid);
        }
        encoder
            .us(Field::CommandField, command_field::C_STORE_RQ)
            .us(Field::MessageId, self.message_id);
        if let Some(priority) = self.priority {
            encoder.us(Field::Priority, priority as u16);
        }
        if self.data_set_type != DataSetType::Missing {
            let value = data_set_type_value(self.data_set_type.is_present());
            encoder.us(Field::CommandDataSetType, value);
        }
        if let Some(uid) = &self.affected_sop_instance_uid {
            encoder.uid(Field::AffectedSopInstanceUid, uid);
        }
        if let Some(title) = &self.move_originator_ae_title {
            encoder.text(Field::MoveOriginatorApplicationEntityTitle, title.as_bytes());
        }
        if let Some(message_id) = self.move_originator_message_id {
            encoder.us(Field::MoveOriginatorMessageId, message_id);
        }
        encoder.finish();
    }
}

/// Which service of query/retrieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of PS3.7 §9.1.2 to §9.1.4")]
pub enum QueryService {
    Find,
    Get,
    Move,
}

impl QueryService {
    /// The command field of a request.
    pub const fn command_field(self) -> u16 {
        match self {
            Self::Find => command_field::C_FIND_RQ,
            Self::Get => command_field::C_GET_RQ,
            Self::Move => command_field::C_MOVE_RQ,
        }
    }

    /// The word in DCMTK's log lines.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Find => "Find",
            Self::Get => "Get",
            Self::Move => "Move",
        }
    }
}

/// C-FIND-RQ, C-GET-RQ or C-MOVE-RQ, PS3.7 §9.3.2.1, §9.3.3.1, §9.3.4.1; an identifier follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryRequest {
    /// Which service.
    pub service: QueryService,
    /// Message ID.
    pub message_id: u16,
    /// Affected SOP class UID, as it came: the information model.
    pub affected_sop_class_uid: Option<UidText>,
    /// Priority; `None` when missing or out of range, which is of no consequence.
    pub priority: Option<Priority>,
    /// Move destination; C-MOVE only.
    pub move_destination: Option<AeTitle>,
    /// Whether an identifier follows.
    pub data_set_type: DataSetType,
}

impl QueryRequest {
    /// A response of this service; an identifier follows it with `has_identifier`.
    pub const fn response(&self, status: Status, has_identifier: bool) -> Response<'static> {
        let uids = (self.affected_sop_class_uid, None);
        let field = self.service.command_field();
        Response {
            has_data_set: has_identifier,
            ..Response::to(field, self.message_id, uids, status)
        }
    }

    /// Appends the command set to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(out);
        if let Some(uid) = &self.affected_sop_class_uid {
            encoder.uid(Field::AffectedSopClassUid, uid);
        }
        encoder
            .us(Field::CommandField, self.service.command_field())
            .us(Field::MessageId, self.message_id);
        if let Some(title) = &self.move_destination {
            encoder.text(Field::MoveDestination, title.as_bytes());
        }
        encoder.us(Field::Priority, self.priority.unwrap_or_default() as u16);
        if self.data_set_type != DataSetType::Missing {
            let value = data_set_type_value(self.data_set_type.is_present());
            encoder.us(Field::CommandDataSetType, value);
        }
        encoder.finish();
    }
}

/// How far the sub-operations of a C-MOVE or C-GET are, PS3.7 §9.3.3.2 and §9.3.4.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubOperations {
    /// Still to do; `None` is not sent, as in most final responses (DIFFERENCES.md C8).
    pub remaining: Option<u16>,
    /// Done with success.
    pub completed: u16,
    /// Not done.
    pub failed: u16,
    /// Done with a warning.
    pub warning: u16,
}

/// C-CANCEL-RQ, PS3.7 §9.3.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelRequest {
    /// The request to cancel.
    pub message_id_being_responded_to: u16,
}

impl CancelRequest {
    /// Appends the command set to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Encoder::new(out)
            .us(Field::CommandField, command_field::C_CANCEL_RQ)
            .us(Field::MessageIdBeingRespondedTo, self.message_id_being_responded_to)
            .us(Field::CommandDataSetType, NO_DATA_SET)
            .finish();
    }
}

/// A request of a service that is not implemented, or is none: enough of it to refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherRequest {
    /// Command field.
    pub command_field: u16,
    /// Message ID.
    pub message_id: u16,
    /// Affected, else requested, SOP class UID.
    pub sop_class_uid: Option<UidText>,
    /// Affected, else requested, SOP instance UID.
    pub sop_instance_uid: Option<UidText>,
    /// Whether a data set follows; it must be consumed before the next command.
    pub data_set_type: DataSetType,
}

impl OtherRequest {
    /// The response that belongs to this request: its command field with the response bit.
    pub const fn response(&self, status: Status) -> Response<'static> {
        let uids = (self.sop_class_uid, self.sop_instance_uid);
        Response::to(self.command_field, self.message_id, uids, status)
    }
}

/// A response of any service, PS3.7 §9.3 and §10.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Command field, with the response bit.
    pub command_field: u16,
    /// Message ID being responded to.
    pub message_id_being_responded_to: u16,
    /// Affected SOP class UID.
    pub affected_sop_class_uid: Option<UidText>,
    /// Affected SOP instance UID.
    pub affected_sop_instance_uid: Option<UidText>,
    /// Status.
    pub status: Status,
    /// Error comment (LO); what is sent is cut to 64 bytes.
    pub error_comment: Option<&'a [u8]>,
    /// Sub-operations, of a C-MOVE or C-GET.
    pub sub_operations: Option<SubOperations>,
    /// A data set follows.
    pub has_data_set: bool,
}

impl<'a> Response<'a> {
    /// Longest error comment, PS3.5 §6.2 (LO).
    pub const ERROR_COMMENT_BYTES_MAX: usize = 64;

    /// The response to a request: without comment and without data set. `uids` are the affected SOP
    /// class and instance.
    const fn to(
        request: u16,
        message_id: u16,
        uids: (Option<UidText>, Option<UidText>),
        status: Status,
    ) -> Self {
        Self {
            command_field: request | command_field::RESPONSE_BIT,
            message_id_being_responded_to: message_id,
            affected_sop_class_uid: uids.0,
            affected_sop_instance_uid: uids.1,
            status,
            error_comment: None,
            sub_operations: None,
            has_data_set: false,
        }
    }

    fn of(set: &CommandSet<'a>, command_field: u16) -> Option<Self> {
        Some(Self {
            command_field,
            message_id_being_responded_to: set.us(Field::MessageIdBeingRespondedTo)?,
            affected_sop_class_uid: set.uid(Field::AffectedSopClassUid),
            affected_sop_instance_uid: set.uid(Field::AffectedSopInstanceUid),
            status: Status(set.us(Field::Status)?),
            error_comment: set.text(Field::ErrorComment),
            sub_operations: sub_operations(set),
            has_data_set: set.announces_data_set(),
        })
    }

    /// Appends the command set to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(out);
        if let Some(uid) = &self.affected_sop_class_uid {
            encoder.uid(Field::AffectedSopClassUid, uid);
        }
        encoder
            .us(Field::CommandField, self.command_field)
            .us(Field::MessageIdBeingRespondedTo, self.message_id_being_responded_to)
            .us(Field::CommandDataSetType, data_set_type_value(self.has_data_set))
            .us(Field::Status, self.status.0);
        if let Some(comment) = self.error_comment {
            let length = comment.len().min(Self::ERROR_COMMENT_BYTES_MAX);
            encoder.text(Field::ErrorComment, &comment[..length]);
        }
        if let Some(uid) = &self.affected_sop_instance_uid {
            encoder.uid(Field::AffectedSopInstanceUid, uid);
        }
        if let Some(counts) = &self.sub_operations {
            if let Some(remaining) = counts.remaining {
                encoder.us(Field::NumberOfRemainingSubOperations, remaining);
            }
            encoder
                .us(Field::NumberOfCompletedSubOperations, counts.completed)
                .us(Field::NumberOfFailedSubOperations, counts.failed)
                .us(Field::NumberOfWarningSubOperations, counts.warning);
        }
        encoder.finish();
    }
}

/// The counts of a response; `None` when it has none at all. One that is left out counts as 0.
fn sub_operations(set: &CommandSet<'_>) -> Option<SubOperations> {
    let remaining = set.us(Field::NumberOfRemainingSubOperations);
    let completed = set.us(Field::NumberOfCompletedSubOperations);
    let failed = set.us(Field::NumberOfFailedSubOperations);
    let warning = set.us(Field::NumberOfWarningSubOperations);
    remaining.or(completed).or(failed).or(warning)?;
    Some(SubOperations {
        remaining,
        completed: completed.unwrap_or_default(),
        failed: failed.unwrap_or_default(),
        warning: warning.unwrap_or_default(),
    })
}

const fn data_set_type_value(is_present: bool) -> u16 {
    if is_present { WITH_DATA_SET } else { NO_DATA_SET }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Option<UidText> {
        UidText::new(text.as_bytes())
    }

    fn store() -> StoreRequest {
        StoreRequest {
            message_id: 7,
            affected_sop_class_uid: uid("1.2.840.10008.5.1.4.1.1.2"),
            affected_sop_instance_uid: uid("1.2.3"),
            priority: Some(Priority::Low),
            move_originator_ae_title: Some(AeTitle::new(b"MOVER")),
            move_originator_message_id: Some(3),
            data_set_type: DataSetType::Present,
        }
    }

    fn other(command_field: u16, set: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.us(Field::CommandField, command_field);
        set(&mut encoder);
        encoder.finish();
        out
    }

    /// Each type reads what it wrote.
    #[test]
    fn encode_and_parse() {
        let mut out = Vec::new();
        store().encode(&mut out);
        let set = CommandSet::decode(&out).unwrap();
        assert_eq!(Command::of(&set), Ok(Command::Store(store())));
        assert!(set.announces_data_set());

        let echo = EchoRequest {
            message_id: 1,
            affected_sop_class_uid: uid("1.2.840.10008.1.1"),
            data_set_type: DataSetType::Absent,
        };
        let mut out = Vec::new();
        echo.encode(&mut out);
        assert_eq!(Command::of(&CommandSet::decode(&out).unwrap()), Ok(Command::Echo(echo)));

        let cancel = CancelRequest { message_id_being_responded_to: 9 };
        let mut out = Vec::new();
        cancel.encode(&mut out);
        assert_eq!(Command::of(&CommandSet::decode(&out).unwrap()), Ok(Command::Cancel(cancel)));
    }

    /// PS3.7 §9.3.4.1, §9.3.4.2: a move and its responses, with counts and without.
    #[test]
    fn move_and_counts() {
        let request = QueryRequest {
            service: QueryService::Move,
            message_id: 5,
            affected_sop_class_uid: uid("1.2.840.10008.5.1.4.1.2.1.2"),
            priority: Some(Priority::Medium),
            move_destination: Some(AeTitle::new(b"THERE")),
            data_set_type: DataSetType::Present,
        };
        let mut out = Vec::new();
        request.encode(&mut out);
        let set = CommandSet::decode(&out).unwrap();
        assert_eq!(Command::of(&set), Ok(Command::Query(request)));
        let counts = SubOperations { remaining: Some(1), completed: 2, failed: 3, warning: 4 };
        for sub_operations in [None, Some(counts), Some(SubOperations::default())] {
            let response = Response { sub_operations, ..request.response(Status::SUCCESS, true) };
            let mut out = Vec::new();
            response.encode(&mut out);
            let set = CommandSet::decode(&out).unwrap();
            assert_eq!(set.us(Field::CommandField), Some(0x8021));
            assert_eq!(Command::of(&set), Ok(Command::Response(response)));
        }
    }

    /// PS3.7 §9.3.1.2: the response repeats message ID and both UIDs, and has no data set.
    #[test]
    fn store_response() {
        let response = Response {
            error_comment: Some(b"disk full"),
            ..store().response(Status::OUT_OF_RESOURCES)
        };
        let mut out = Vec::new();
        response.encode(&mut out);
        let set = CommandSet::decode(&out).unwrap();
        assert_eq!(Command::of(&set), Ok(Command::Response(response)));
        assert_eq!(set.us(Field::CommandField), Some(0x8001));
        assert_eq!(set.us(Field::CommandDataSetType), Some(0x0101));
        let long = Response { error_comment: Some(&[b'x'; 100]), ..response };
        let mut out = Vec::new();
        long.encode(&mut out);
        let set = CommandSet::decode(&out).unwrap();
        assert_eq!(set.text(Field::ErrorComment).unwrap().len(), 64);
    }

    /// PROMISES.md §2.4: an unknown or foreign operation can be refused with its own
    /// number.
    #[test]
    fn other_requests() {
        for command_field in [0x0110, 0x0120, 0x0150, 0x0042] {
            let bytes = other(command_field, |encoder| {
                encoder
                    .us(Field::MessageId, 5)
                    .us(Field::CommandDataSetType, 1)
                    .uid(Field::RequestedSopInstanceUid, &uid("1.2.3").unwrap());
            });
            let Ok(Command::Other(request)) = Command::of(&CommandSet::decode(&bytes).unwrap())
            else {
                panic!("{command_field:04X}");
            };
            assert!(request.data_set_type.is_present());
            let response = request.response(Status::UNRECOGNIZED_OPERATION);
            assert_eq!(response.command_field, command_field | 0x8000);
            assert_eq!(response.message_id_being_responded_to, 5);
            assert_eq!(response.affected_sop_instance_uid, uid("1.2.3"));
        }
    }

    /// Commands to which no response can be addressed.
    #[test]
    fn unanswerable() {
        let parse = |bytes: &[u8]| Command::of(&CommandSet::decode(bytes).unwrap()).unwrap_err();
        assert_eq!(parse(b""), Unanswerable::NoCommandField);
        assert_eq!(parse(&other(1, |_| {})), Unanswerable::NoMessageId { command_field: 1 });
        assert_eq!(
            parse(&other(0x0FFF, |encoder| {
                encoder.us(Field::MessageId, 1);
            })),
            Unanswerable::NoMessageId { command_field: 0x0FFF }
        );
        assert_eq!(
            parse(&other(0x8001, |encoder| {
                encoder.us(Field::MessageIdBeingRespondedTo, 1);
            })),
            Unanswerable::IncompleteResponse { command_field: 0x8001 }
        );
        assert_eq!(Unanswerable::NoCommandField.abort(), Abort::USER);
    }

    /// Message ID 0 is a number like any other; it is not taken for a missing one.
    #[test]
    fn message_id_zero() {
        let bytes = other(0x0030, |encoder| {
            encoder.us(Field::MessageId, 0);
        });
        let Ok(Command::Echo(echo)) = Command::of(&CommandSet::decode(&bytes).unwrap()) else {
            panic!();
        };
        assert_eq!((echo.message_id, echo.data_set_type), (0, DataSetType::Missing));
    }

    /// What a C-STORE-RQ lacks is named, and nothing is filled in.
    #[test]
    fn missing_arguments() {
        assert_eq!(store().missing_argument(), None);
        for (request, expected) in [
            (StoreRequest { affected_sop_class_uid: None, ..store() }, "Affected SOP Class UID"),
            (
                StoreRequest { affected_sop_instance_uid: None, ..store() },
                "Affected SOP Instance UID",
            ),
            (
                StoreRequest { data_set_type: DataSetType::Missing, ..store() },
                "Command Data Set Type",
            ),
            (StoreRequest { data_set_type: DataSetType::Absent, ..store() }, "data set"),
        ] {
            let mut out = Vec::new();
            request.encode(&mut out);
            let parsed = Command::of(&CommandSet::decode(&out).unwrap());
            assert_eq!(parsed, Ok(Command::Store(request)));
            assert_eq!(request.missing_argument(), Some(expected));
        }
    }

    /// DCMTK's message block.
    #[test]
    fn command_names() {
        assert_eq!(command_name(0x0001).to_string(), "C-STORE RQ");
        assert_eq!(command_name(0x8030).to_string(), "C-ECHO RSP");
        assert_eq!(command_name(0x0042).to_string(), "unknown command 0042H");
    }
}
