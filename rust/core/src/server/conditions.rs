//! Why an association is aborted: in our words, and as the conditions that DCMTK 3.6.7 numbers, as run.
//!
//! DCMTK tells a chain of conditions, one a line, the outermost first. It tells faults apart less than we
//! do, so that our words follow (DIFFERENCES.md D18). Called where `association` and `store` find the
//! faults; told by `narration`.

use std::borrow::Cow;
use std::fmt;

use crate::ae_title::AeTitle;
use crate::dimse::message::MessageError;
use crate::dimse::service::Unanswerable;
use crate::log::escaped;
use crate::ul::pdu::PduType;
use crate::ul::pdu_codec::DecodeError;
use crate::ul::pdv::PdvError;
use crate::ul::provider::Fault;

/// A message could not be received.
pub const NOT_RECEIVED: &str = "0006:020d DIMSE Failed to receive message";
/// The peer released in the middle of a message.
pub const RELEASED: &str = "0006:0319 DUL Peer Requested Release";
/// The peer aborted, or is gone.
pub const ABORTED: &str = "0006:0317 Peer aborted Association (or never connected)";
/// Nothing came in time.
pub const LATE: &str = "0006:0207 DIMSE No data available (timeout in non-blocking mode)";

/// Which association: its peer, and the titles, the calling one first, once they are known.
pub(super) struct Whose<'a> {
    /// The other end of the connection.
    pub peer: &'a dyn fmt::Display,
    /// Who called whom.
    pub titles: Option<(&'a AeTitle, &'a AeTitle)>,
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "with {}", self.peer)?;
        let Some((calling, called)) = self.titles else { return Ok(()) };
        let (calling, called) = (escaped(calling.as_bytes()), escaped(called.as_bytes()));
        write!(formatter, " ({calling} to {called})")
    }
}

/// Why an association is aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// In our words, or those of DCMTK where it has the same.
    pub explanation: Cow<'static, str>,
    /// DCMTK's conditions, where it has others.
    pub condition: Option<String>,
}

impl From<&'static str> for Cause {
    fn from(explanation: &'static str) -> Self {
        Self { explanation: explanation.into(), condition: None }
    }
}

impl From<String> for Cause {
    fn from(explanation: String) -> Self {
        Self { explanation: explanation.into(), condition: None }
    }
}

impl Cause {
    /// A PDV that cannot be, the `number`th of its PDU.
    pub fn of_pdv(error: &PdvError, number: usize) -> Self {
        let condition = match error {
            PdvError::Truncated { .. } => unread(&format!(
                "0006:0307 PDV lengths don't add up correctly: {number} PDVs. This probably \
                 indicates a malformed P-DATA PDU. PDU type is 04."
            )),
            PdvError::TooShort { item_length } => unread(&format!(
                "0006:0308 PDV with invalid length {item_length} encountered. This probably \
                 indicates a malformed P DATA PDU."
            )),
            PdvError::EvenContextId(_) => bad_context(),
        };
        Self { explanation: error.to_string().into(), condition: Some(condition) }
    }

    /// A PDV that has no place in its message, or a command set that is none.
    pub fn of_message(error: &MessageError) -> Self {
        let condition = match error {
            MessageError::ContextNotAccepted(_) => bad_context(),
            MessageError::OtherContext { .. } | MessageError::TooManyEmptyPdvs => {
                NOT_RECEIVED.to_owned()
            }
            MessageError::CommandInsideDataSet => "0006:020f DIMSE Unexpected PDV type".to_owned(),
            MessageError::DataSetBeforeCommand
            | MessageError::DataSetInsideCommand
            | MessageError::CommandSet(_) => {
                "0006:020d DIMSE: receiveCommand: cmdSet->read() Failed\n0001:0004 Invalid stream"
                    .to_owned()
            }
        };
        Self { explanation: error.to_string().into(), condition: Some(condition) }
    }

    /// A command set that cannot be answered.
    pub fn of_command(error: &Unanswerable) -> Self {
        let condition = match error {
            Unanswerable::NoCommandField => {
                Some("0006:020b DIMSE_parseCmdObject: Missing CommandField".to_owned())
            }
            _ => None,
        };
        Self { explanation: error.to_string().into(), condition }
    }

    /// Bytes that are no PDU, or one that is out of place.
    pub fn of_fault(fault: &Fault) -> Self {
        let condition = match fault {
            Fault::Unexpected { .. } => Some(unread("0000:0000 Normal")),
            Fault::Invalid(DecodeError::UnknownPduType(kind)) => {
                Some(unread(&format!("0006:0321 Unrecognized PDU type: {kind:2x}")))
            }
            Fault::Invalid(DecodeError::LengthAboveBound {
                pdu_type: PduType::DataTf,
                length,
                bound,
            }) => Some(unread(&format!(
                "0006:0308 DUL Illegal PDU Length {length}.  Max expected {bound}"
            ))),
            Fault::Invalid(DecodeError::LengthBelowFixedPart {
                pdu_type: PduType::DataTf,
                length: 0,
                ..
            }) => Some(unread(
                "0006:0307 PDU without any PDVs encountered. In DT_2_IndicatePData.  This probably \
                 indicates a  malformed P DATA PDU.",
            )),
            _ => None,
        };
        Self { explanation: fault.to_string().into(), condition }
    }

    /// The same for a fault in the middle of a data set: there the outermost condition is not told.
    #[must_use]
    pub fn in_data_set(mut self) -> Self {
        let inner = self.condition.as_deref().and_then(|all| all.strip_prefix(NOT_RECEIVED));
        if let Some(inner) = inner.and_then(|inner| inner.strip_prefix('\n')) {
            self.condition = Some(inner.to_owned());
        }
        self
    }

    /// DCMTK's conditions, or our words in their place.
    pub fn told(&self) -> &str {
        self.condition.as_deref().unwrap_or(&self.explanation)
    }
}

/// What goes before the reason why a PDU could not be read.
fn unread(why: &str) -> String {
    format!("{NOT_RECEIVED}\n0006:020c DIMSE Read PDV failed\n{why}")
}

fn bad_context() -> String {
    format!("{NOT_RECEIVED}\n0006:0101 ASC Bad presentation context ID")
}
