//! Bytes ⇄ PDU: headers, and the seven bodies.
//!
//! Source: PS3.8 §9.3.
//!
//! ```text
//! offset  bytes  field
//! 0       1      PDU type
//! 1       1      reserved
//! 2       4      PDU length, big endian; counts what follows it
//!
//! A-ASSOCIATE-RQ, -AC (01H, 02H), after the header
//! 0       2      protocol version          36      32     reserved
//! 2       2      reserved                  68      n      items
//! 4       32     called, calling AE title
//!
//! A-ASSOCIATE-RJ (03H), A-ABORT (07H): reserved, (result | reserved), source, reason
//! A-RELEASE-RQ, -RP (05H, 06H): 4 reserved bytes
//! ```
//!
//! [`decode_header`] refuses, from the six header bytes alone, every length that cannot be, so that
//! nothing is awaited or allocated for it. Reserved bytes are not tested. Memory only; called by
//! `provider`, by tests and by the fuzz targets.

use core::fmt;

use crate::limits::{ASSOCIATE_PDU_BYTES_MAX, PRESENTATION_CONTEXTS_MAX};
use crate::ul::items::{
    APPLICATION_CONTEXT, PRESENTATION_CONTEXT_AC, PRESENTATION_CONTEXT_RQ, Reader,
    USER_INFORMATION, decode_context_result, decode_proposed_context, decode_user_information,
    encode_context_result, encode_proposed_context, encode_uid, encode_user_information, note_uid,
};
use crate::ul::pdu::{
    Abort, AssociateAc, AssociateRj, AssociateRq, PDU_HEADER_BYTES, PduType, TitleFields, UidItem,
    UserInformation,
};

/// Bytes before the items of an A-ASSOCIATE-RQ or -AC, without the PDU header.
pub const ASSOCIATE_FIXED_BYTES: u32 = 68;
/// Length of an A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT.
pub const SHORT_PDU_LENGTH: u32 = 4;
/// The least P-DATA-TF: one PDV without a fragment. A PDU without a PDV makes no progress.
pub const DATA_TF_LENGTH_MIN: u32 = 6;
/// Bytes of a whole short PDU.
pub const SHORT_PDU_BYTES: usize = PDU_HEADER_BYTES + SHORT_PDU_LENGTH as usize;

/// A whole A-ASSOCIATE-RJ, A-RELEASE or A-ABORT PDU, without heap.
pub type ShortPdu = [u8; SHORT_PDU_BYTES];

/// Type and length of a PDU, both checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PduHeader {
    /// The type.
    pub pdu_type: PduType,
    /// Bytes after the header.
    pub length: u32,
}

impl PduHeader {
    /// Bytes of the PDU with its header.
    pub const fn total_bytes(self) -> usize {
        PDU_HEADER_BYTES + self.length as usize
    }
}

/// Why bytes are no PDU. Every one is the peer's fault; [`DecodeError::abort`] is its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first byte names no PDU.
    UnknownPduType(u8),
    /// The length is above what this type may have.
    LengthAboveBound {
        /// The PDU.
        pdu_type: PduType,
        /// Its length field.
        length: u32,
        /// The bound in force.
        bound: u32,
    },
    /// The length leaves no room for the fixed fields.
    LengthBelowFixedPart {
        /// The PDU.
        pdu_type: PduType,
        /// Its length field.
        length: u32,
        /// What its fixed fields need.
        fixed: u32,
    },
    /// A field, item or sub-item reaches past what holds it.
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes it names.
        wanted_bytes: usize,
        /// Bytes that are there.
        left_bytes: usize,
    },
    /// A sub-item of fixed layout has bytes too many or too few.
    ItemLength {
        /// The sub-item.
        what: &'static str,
        /// Bytes found.
        length: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// A presentation context ID is even, which PS3.8 §9.3.2.2 forbids.
    EvenContextId(u8),
    /// A presentation context ID is used twice.
    DuplicateContextId(u8),
    /// More user-information sub-items than `limits::USER_INFORMATION_ITEMS_MAX`.
    TooManyItems {
        /// The bound.
        bound: usize,
    },
}

impl DecodeError {
    /// Source and reason of the A-ABORT that answers this.
    pub const fn abort(&self) -> Abort {
        match self {
            Self::UnknownPduType(_) => Abort::UNRECOGNIZED_PDU,
            _ => Abort::INVALID_PDU_PARAMETER,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPduType(byte) => write!(formatter, "unknown PDU type {byte:02X}H"),
            Self::LengthAboveBound { pdu_type, length, bound } => {
                write!(formatter, "{} of length {length}, above the bound {bound}", pdu_type.name())
            }
            Self::LengthBelowFixedPart { pdu_type, length, fixed } => write!(
                formatter,
                "{} of length {length}, where at least {fixed} are needed",
                pdu_type.name()
            ),
            Self::Truncated { what, wanted_bytes, left_bytes } => {
                write!(formatter, "{what}: {wanted_bytes} bytes named, {left_bytes} left")
            }
            Self::ItemLength { what, length, expected } => {
                write!(formatter, "{what}: {length} bytes where {expected} belong")
            }
            Self::EvenContextId(id) => write!(formatter, "presentation context ID {id} is even"),
            Self::DuplicateContextId(id) => {
                write!(formatter, "presentation context ID {id} is used twice")
            }
            Self::TooManyItems { bound } => {
                write!(formatter, "more than {bound} user-information sub-items")
            }
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why one of our own PDUs cannot be written: always a fault of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// An item is longer than its 2-byte length can say.
    ItemTooLong {
        /// The item.
        item_type: u8,
        /// Its content, in bytes.
        bytes: usize,
    },
    /// The PDU is longer than `limits::ASSOCIATE_PDU_BYTES_MAX`.
    PduTooLong {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// A UID item that was received broken has no value that could be sent.
    NoValue {
        /// The item.
        item_type: u8,
    },
    /// A presentation context ID is even or used twice, or there are more than 128.
    ContextId(u8),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ItemTooLong { item_type, bytes } => {
                write!(formatter, "item {item_type:02X}H would have {bytes} bytes")
            }
            Self::PduTooLong { bytes } => write!(formatter, "the PDU would have {bytes} bytes"),
            Self::NoValue { item_type } => {
                write!(formatter, "item {item_type:02X}H has no value to send")
            }
            Self::ContextId(id) => {
                write!(formatter, "presentation context ID {id} is even or used twice")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

/// Type and length of a PDU.
///
/// `max_pdu_bytes` is the maximum length that this side announced; it bounds P-DATA-TF. An A-ABORT
/// is let pass with any length: it is never answered, and nothing after it counts.
pub const fn decode_header(
    bytes: &[u8; PDU_HEADER_BYTES],
    max_pdu_bytes: u32,
) -> Result<PduHeader, DecodeError> {
    let [type_byte, _, a, b, c, d] = *bytes;
    let length = u32::from_be_bytes([a, b, c, d]);
    let Some(pdu_type) = PduType::from_byte(type_byte) else {
        return Err(DecodeError::UnknownPduType(type_byte));
    };
    let (fixed, bound) = match pdu_type {
        PduType::DataTf => (DATA_TF_LENGTH_MIN, max_pdu_bytes),
        PduType::AssociateRq | PduType::AssociateAc => {
            (ASSOCIATE_FIXED_BYTES, ASSOCIATE_PDU_BYTES_MAX)
        }
        PduType::AssociateRj | PduType::ReleaseRq | PduType::ReleaseRp => {
            (SHORT_PDU_LENGTH, SHORT_PDU_LENGTH)
        }
        PduType::Abort => (0, u32::MAX),
    };
    if length > bound {
        return Err(DecodeError::LengthAboveBound { pdu_type, length, bound });
    }
    if length < fixed {
        return Err(DecodeError::LengthBelowFixedPart { pdu_type, length, fixed });
    }
    Ok(PduHeader { pdu_type, length })
}

/// An A-ASSOCIATE-RQ; `body` is the PDU without its header.
pub fn decode_associate_rq(body: &[u8]) -> Result<AssociateRq, DecodeError> {
    let decode = |item| decode_proposed_context(item).map(|context| (context.id, context));
    let body = decode_associate_body(body, PRESENTATION_CONTEXT_RQ, decode)?;
    Ok(AssociateRq {
        protocol_version: body.protocol_version,
        titles: body.titles,
        application_context: body.application_context,
        contexts: body.contexts,
        user_information: body.user_information,
    })
}

/// An A-ASSOCIATE-AC; `body` is the PDU without its header.
pub fn decode_associate_ac(body: &[u8]) -> Result<AssociateAc, DecodeError> {
    let decode = |item| decode_context_result(item).map(|context| (context.id, context));
    let body = decode_associate_body(body, PRESENTATION_CONTEXT_AC, decode)?;
    Ok(AssociateAc {
        protocol_version: body.protocol_version,
        titles: body.titles,
        application_context: body.application_context,
        contexts: body.contexts,
        user_information: body.user_information,
    })
}

/// What A-ASSOCIATE-RQ and -AC share: all but the form of a presentation context.
struct AssociateBody<Context> {
    protocol_version: u16,
    titles: TitleFields,
    application_context: UidItem,
    contexts: Vec<Context>,
    user_information: Option<UserInformation>,
}

/// The body of either PDU; `decode_context` gives the ID and the content of a `context_item`.
fn decode_associate_body<'a, Context>(
    body: &'a [u8],
    context_item: u8,
    decode_context: impl Fn(Reader<'a>) -> Result<(u8, Context), DecodeError>,
) -> Result<AssociateBody<Context>, DecodeError> {
    let mut reader = Reader::new(body);
    let (protocol_version, titles) = decode_associate_fields(&mut reader)?;
    let mut decoded = AssociateBody {
        protocol_version,
        titles,
        application_context: UidItem::Absent,
        contexts: Vec::new(),
        user_information: None,
    };
    let mut ids = ContextIdsSeen::default();
    while !reader.is_empty() {
        let (item_type, _, item) = reader.item()?;
        match item_type {
            APPLICATION_CONTEXT => note_uid(&mut decoded.application_context, &item),
            USER_INFORMATION => decode_first(&mut decoded.user_information, item)?,
            _ if item_type == context_item => {
                let (id, context) = decode_context(item)?;
                ids.note(id)?;
                decoded.contexts.push(context);
            }
            _ => {}
        }
    }
    Ok(decoded)
}

fn decode_associate_fields(reader: &mut Reader<'_>) -> Result<(u16, TitleFields), DecodeError> {
    let [version_high, version_low, _, _] = reader.array("protocol version")?;
    let titles = TitleFields::from_bytes(reader.array("AE titles")?);
    Ok((u16::from_be_bytes([version_high, version_low]), titles))
}

/// A second user information item is checked as the first one is, and does not count.
fn decode_first(slot: &mut Option<UserInformation>, item: Reader<'_>) -> Result<(), DecodeError> {
    let information = decode_user_information(item)?;
    slot.get_or_insert(information);
    Ok(())
}

/// IDs of one PDU: odd and unique, hence at most [`PRESENTATION_CONTEXTS_MAX`], one bit each.
#[derive(Default)]
struct ContextIdsSeen(u128);

const _: () = assert!(PRESENTATION_CONTEXTS_MAX == u128::BITS as usize);

impl ContextIdsSeen {
    fn note(&mut self, id: u8) -> Result<(), DecodeError> {
        if id % 2 == 0 {
            return Err(DecodeError::EvenContextId(id));
        }
        let bit = 1 << (id / 2);
        if self.0 & bit != 0 {
            return Err(DecodeError::DuplicateContextId(id));
        }
        self.0 |= bit;
        Ok(())
    }
}

/// Result, source and reason of an A-ASSOCIATE-RJ; `body` is the PDU without its header.
pub const fn decode_associate_rj(body: &[u8; SHORT_PDU_LENGTH as usize]) -> AssociateRj {
    let [_, result, source, reason] = *body;
    AssociateRj { result, source, reason }
}

/// Source and reason of an A-ABORT; `body` is the PDU without its header.
pub const fn decode_abort(body: &[u8; SHORT_PDU_LENGTH as usize]) -> Abort {
    let [_, _, source, reason] = *body;
    Abort { source, reason }
}

/// The bytes of an A-ASSOCIATE-RQ.
pub fn encode_associate_rq(request: &AssociateRq) -> Result<Vec<u8>, EncodeError> {
    let mut ids = ContextIdsSeen::default();
    encode_associate(
        PduType::AssociateRq,
        request.protocol_version,
        &request.titles,
        &request.application_context,
        |out| {
            for context in &request.contexts {
                ids.note(context.id).map_err(|_| EncodeError::ContextId(context.id))?;
                encode_proposed_context(out, context)?;
            }
            Ok(())
        },
        request.user_information.as_ref(),
    )
}

/// The bytes of an A-ASSOCIATE-AC.
pub fn encode_associate_ac(accept: &AssociateAc) -> Result<Vec<u8>, EncodeError> {
    let mut ids = ContextIdsSeen::default();
    encode_associate(
        PduType::AssociateAc,
        accept.protocol_version,
        &accept.titles,
        &accept.application_context,
        |out| {
            for context in &accept.contexts {
                ids.note(context.id).map_err(|_| EncodeError::ContextId(context.id))?;
                encode_context_result(out, context)?;
            }
            Ok(())
        },
        accept.user_information.as_ref(),
    )
}

fn encode_associate(
    pdu_type: PduType,
    protocol_version: u16,
    titles: &TitleFields,
    application_context: &UidItem,
    contexts: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    user_information: Option<&UserInformation>,
) -> Result<Vec<u8>, EncodeError> {
    // An ordinary PDU has a few contexts; 4 KiB holds most of them without growing.
    let mut out = Vec::with_capacity(4096);
    out.extend([pdu_type as u8, 0, 0, 0, 0, 0]);
    out.extend(protocol_version.to_be_bytes());
    out.extend([0, 0]);
    out.extend_from_slice(titles.as_bytes());
    encode_uid(&mut out, APPLICATION_CONTEXT, application_context)?;
    contexts(&mut out)?;
    if let Some(information) = user_information {
        encode_user_information(&mut out, information)?;
    }
    let bytes = out.len() - PDU_HEADER_BYTES;
    let length = u32::try_from(bytes)
        .ok()
        .filter(|length| *length <= ASSOCIATE_PDU_BYTES_MAX)
        .ok_or(EncodeError::PduTooLong { bytes })?;
    out[2..PDU_HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// The bytes of an A-ASSOCIATE-RJ.
pub const fn encode_associate_rj(rejection: AssociateRj) -> ShortPdu {
    let AssociateRj { result, source, reason } = rejection;
    [PduType::AssociateRj as u8, 0, 0, 0, 0, 4, 0, result, source, reason]
}

/// The bytes of an A-RELEASE-RQ.
pub const fn encode_release_rq() -> ShortPdu {
    [PduType::ReleaseRq as u8, 0, 0, 0, 0, 4, 0, 0, 0, 0]
}

/// The bytes of an A-RELEASE-RP.
pub const fn encode_release_rp() -> ShortPdu {
    [PduType::ReleaseRp as u8, 0, 0, 0, 0, 4, 0, 0, 0, 0]
}

/// The bytes of an A-ABORT.
pub const fn encode_abort(abort: Abort) -> ShortPdu {
    let Abort { source, reason } = abort;
    [PduType::Abort as u8, 0, 0, 0, 0, 4, 0, 0, source, reason]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ae_title::AeTitle;
    use crate::uid::{Uid, UidText};
    use crate::ul::pdu::{APPLICATION_CONTEXT_NAME, ProposedContext};

    fn request() -> AssociateRq {
        AssociateRq {
            protocol_version: 1,
            titles: TitleFields::new(AeTitle::new(b"STORESCP"), AeTitle::new(b"STORESCU")),
            application_context: UidItem::of(Uid::known(APPLICATION_CONTEXT_NAME)),
            contexts: vec![ProposedContext {
                id: 1,
                abstract_syntax: UidItem::of(Uid::known("1.2.840.10008.1.1")),
                transfer_syntaxes: vec![UidText::new(b"1.2.840.10008.1.2").unwrap()],
                transfer_syntaxes_dropped: 0,
            }],
            user_information: Some(UserInformation {
                maximum_length: Some(16384),
                ..UserInformation::default()
            }),
        }
    }

    fn header(type_byte: u8, length: u32) -> Result<PduHeader, DecodeError> {
        let [a, b, c, d] = length.to_be_bytes();
        decode_header(&[type_byte, 0, a, b, c, d], 16384)
    }

    /// PS3.8 Table 9-11, byte by byte, against a PDU written by hand from the standard.
    #[test]
    fn associate_rq_bytes() {
        let mut expected = Vec::new();
        expected.extend(b"\x01\0\0\0\0\x95");
        expected.extend(b"\0\x01\0\0STORESCP        STORESCU        ");
        expected.extend([0; 32]);
        expected.extend(b"\x10\0\0\x151.2.840.10008.3.1.1.1");
        expected.extend(b"\x20\0\0\x2e\x01\0\0\0\x30\0\0\x111.2.840.10008.1.1");
        expected.extend(b"\x40\0\0\x111.2.840.10008.1.2");
        let body_bytes = expected.len() - 6 + 12;
        expected.extend(b"\x50\0\0\x08\x51\0\0\x04\0\0\x40\0");
        expected[5] = u8::try_from(body_bytes).unwrap();
        assert_eq!(encode_associate_rq(&request()).unwrap(), expected);
        assert_eq!(decode_associate_rq(&expected[6..]), Ok(request()));
    }

    /// Each prefix of a good request is an error or a shorter request, and never a panic.
    #[test]
    fn truncation_at_every_byte() {
        let bytes = encode_associate_rq(&request()).unwrap();
        for length in 0..bytes.len() - 6 {
            if let Ok(shorter) = decode_associate_rq(&bytes[6..6 + length]) {
                assert_ne!(shorter, request(), "cut at {length}");
            }
        }
    }

    /// PROMISES.md §2.1: each refusal is visible in the header, at n − 1, n and n + 1.
    #[test]
    fn header_bounds() {
        assert_eq!(header(0, 4), Err(DecodeError::UnknownPduType(0)));
        assert_eq!(header(b'G', 0x5420_2F20), Err(DecodeError::UnknownPduType(b'G')));
        for (type_byte, least, most) in
            [(4, 6, 16384), (1, 68, 262_144), (2, 68, 262_144), (3, 4, 4), (5, 4, 4), (6, 4, 4)]
        {
            assert!(header(type_byte, least).is_ok() && header(type_byte, most).is_ok());
            let below = header(type_byte, least - 1).unwrap_err();
            assert!(matches!(below, DecodeError::LengthBelowFixedPart { .. }), "{below:?}");
            for length in [most + 1, u32::MAX] {
                let above = header(type_byte, length).unwrap_err();
                assert!(matches!(above, DecodeError::LengthAboveBound { .. }), "{above:?}");
                assert_eq!(above.abort(), Abort::INVALID_PDU_PARAMETER);
            }
        }
        assert!(header(7, 0).is_ok() && header(7, u32::MAX).is_ok());
        assert_eq!(header(9, 0).unwrap_err().abort(), Abort::UNRECOGNIZED_PDU);
    }

    /// PS3.8 §9.3.2.2: IDs are odd; none stands for two contexts.
    #[test]
    fn context_ids() {
        let mut twice = request();
        twice.contexts.push(twice.contexts[0].clone());
        assert_eq!(encode_associate_rq(&twice), Err(EncodeError::ContextId(1)));

        let bytes = encode_associate_rq(&request()).unwrap();
        let at = bytes.windows(4).position(|four| four == b"\x20\0\0\x2e").unwrap();
        let mut even = bytes.clone();
        even[at + 4] = 2;
        assert_eq!(decode_associate_rq(&even[6..]), Err(DecodeError::EvenContextId(2)));
        let mut twice = bytes.clone();
        twice.extend_from_within(at..at + 4 + 0x2e);
        assert_eq!(decode_associate_rq(&twice[6..]), Err(DecodeError::DuplicateContextId(1)));
    }

    /// PS3.8 §9.3.1: items of unknown type are skipped; those that lie are not.
    #[test]
    fn unknown_items() {
        let mut bytes = encode_associate_rq(&request()).unwrap();
        bytes.extend(b"\x99\0\0\x02ab");
        assert_eq!(decode_associate_rq(&bytes[6..]), Ok(request()));
        bytes.extend(b"\x99\0\0\x02a");
        assert!(matches!(decode_associate_rq(&bytes[6..]), Err(DecodeError::Truncated { .. })));
    }

    /// A request with nothing but its fixed part is read: what is missing stays visible.
    #[test]
    fn bare_request() {
        let request = decode_associate_rq(&[0; 68]).unwrap();
        assert_eq!(request.application_context, UidItem::Absent);
        assert_eq!(request.user_information, None);
        assert!(request.contexts.is_empty());
    }

    /// PS3.8 Tables 9-21, 9-24, 9-25 and 9-26.
    #[test]
    fn short_pdus() {
        assert_eq!(encode_release_rq(), *b"\x05\0\0\0\0\x04\0\0\0\0");
        assert_eq!(encode_release_rp(), *b"\x06\0\0\0\0\x04\0\0\0\0");
        assert_eq!(encode_abort(Abort::INVALID_PDU_PARAMETER), *b"\x07\0\0\0\0\x04\0\0\x02\x06");
        let rejection = AssociateRj::LOCAL_LIMIT_EXCEEDED;
        assert_eq!(encode_associate_rj(rejection), *b"\x03\0\0\0\0\x04\0\x02\x03\x02");
        assert_eq!(decode_associate_rj(b"\0\x02\x03\x02"), rejection);
        assert_eq!(decode_abort(b"\0\0\x02\x06"), Abort::INVALID_PDU_PARAMETER);
    }
}
