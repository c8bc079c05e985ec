//! Variable items of the A-ASSOCIATE PDUs and the sub-items of user information: bytes ⇄ types.
//!
//! Source: PS3.8 §9.3.2 and §9.3.3 (items), Annex D (maximum length), PS3.7 Annex D.3.3 (the
//! others).
//!
//! ```text
//! offset  bytes  field
//! 0       1      item type
//! 1       1      reserved (57H: version)
//! 2       2      item length, big endian; counts what follows it
//! 4       n      fields or sub-items
//!
//! 10H application context    20H, 21H presentation context (RQ, AC)    50H user information
//! 30H abstract syntax        40H transfer syntax
//! 51H maximum length         52H implementation class UID              53H asynchronous operations
//! 54H role selection         55H implementation version name           56H extended negotiation
//! 57H common extended        58H user identity (RQ)                    59H user identity (AC)
//! ```
//!
//! A length that does not fit its parent is an error, whatever the item is; an item of unknown type
//! is skipped by its length (PS3.8 §9.3.1: not tested). Nothing is allocated by a length, only by
//! bytes that are there. Called by `pdu_codec` only.

use crate::limits::{TRANSFER_SYNTAXES_PER_CONTEXT_MAX, USER_INFORMATION_ITEMS_MAX};
use crate::uid::UidText;
use crate::ul::pdu::{
    AsynchronousOperations, CommonExtendedNegotiation, ContextResult, ExtendedNegotiation,
    PresentationResult, ProposedContext, RoleSelection, UidItem, UserIdentity, UserInformation,
};
use crate::ul::pdu_codec::{DecodeError, EncodeError};

pub(super) const APPLICATION_CONTEXT: u8 = 0x10;
pub(super) const PRESENTATION_CONTEXT_RQ: u8 = 0x20;
pub(super) const PRESENTATION_CONTEXT_AC: u8 = 0x21;
pub(super) const USER_INFORMATION: u8 = 0x50;
const ABSTRACT_SYNTAX: u8 = 0x30;
const TRANSFER_SYNTAX: u8 = 0x40;
const MAXIMUM_LENGTH: u8 = 0x51;
const IMPLEMENTATION_CLASS_UID: u8 = 0x52;
const ASYNCHRONOUS_OPERATIONS: u8 = 0x53;
const ROLE_SELECTION: u8 = 0x54;
const IMPLEMENTATION_VERSION_NAME: u8 = 0x55;
const EXTENDED_NEGOTIATION: u8 = 0x56;
const COMMON_EXTENDED_NEGOTIATION: u8 = 0x57;
pub(super) const USER_IDENTITY_RQ: u8 = 0x58;
pub(super) const USER_IDENTITY_AC: u8 = 0x59;

/// Bytes not read yet, and the only place in `ul` that cuts a slice by a received number.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// All that is left.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.left
    }

    pub(super) fn bytes(
        &mut self,
        wanted_bytes: usize,
        what: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let left_bytes = self.left.len();
        let (taken, left) = self
            .left
            .split_at_checked(wanted_bytes)
            .ok_or(DecodeError::Truncated { what, wanted_bytes, left_bytes })?;
        self.left = left;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let left_bytes = self.left.len();
        let (taken, left) = self.left.split_first_chunk::<N>().ok_or(DecodeError::Truncated {
            what,
            wanted_bytes: N,
            left_bytes,
        })?;
        self.left = left;
        Ok(*taken)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Bytes preceded by their 2-byte length.
    fn counted(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.u16(what)?;
        self.bytes(usize::from(length), what)
    }

    /// The next item: its type, its second byte, its content.
    pub(super) fn item(&mut self) -> Result<(u8, u8, Reader<'a>), DecodeError> {
        let [item_type, second, length_high, length_low] = self.array("item header")?;
        let length = u16::from_be_bytes([length_high, length_low]);
        Ok((item_type, second, Reader::new(self.bytes(usize::from(length), "item")?)))
    }
}

/// Notes a UID item that may come once.
pub(super) fn note_uid(slot: &mut UidItem, item: &Reader<'_>) {
    let bytes = item.rest();
    *slot = match (&*slot, UidText::new(bytes)) {
        (UidItem::Absent, Some(text)) => UidItem::Given(text),
        (UidItem::Absent, None) => UidItem::TooLong { bytes: bytes.len() },
        _ => UidItem::Repeated,
    };
}

/// A presentation context of an A-ASSOCIATE-RQ, PS3.8 Table 9-13; `item` is the content of 20H.
pub(super) fn decode_proposed_context(
    mut item: Reader<'_>,
) -> Result<ProposedContext, DecodeError> {
    let [id, _, _, _] = item.array("presentation context item")?;
    let mut context = ProposedContext {
        id,
        abstract_syntax: UidItem::Absent,
        transfer_syntaxes: Vec::new(),
        transfer_syntaxes_dropped: 0,
    };
    while !item.is_empty() {
        let (item_type, _, content) = item.item()?;
        match item_type {
            ABSTRACT_SYNTAX => note_uid(&mut context.abstract_syntax, &content),
            TRANSFER_SYNTAX => match UidText::new(content.rest()) {
                Some(text)
                    if context.transfer_syntaxes.len() < TRANSFER_SYNTAXES_PER_CONTEXT_MAX =>
                {
                    context.transfer_syntaxes.push(text);
                }
                _ => context.transfer_syntaxes_dropped += 1,
            },
            _ => {}
        }
    }
    Ok(context)
}

/// A presentation context of an A-ASSOCIATE-AC, PS3.8 Table 9-18; `item` is the content of 21H.
pub(super) fn decode_context_result(mut item: Reader<'_>) -> Result<ContextResult, DecodeError> {
    let [id, _, result, _] = item.array("presentation context item")?;
    let mut transfer_syntax = UidItem::Absent;
    while !item.is_empty() {
        let (item_type, _, content) = item.item()?;
        if item_type == TRANSFER_SYNTAX {
            note_uid(&mut transfer_syntax, &content);
        }
    }
    Ok(ContextResult { id, result: PresentationResult::from_byte(result), transfer_syntax })
}

/// User information; `item` is the content of 50H.
pub(super) fn decode_user_information(
    mut item: Reader<'_>,
) -> Result<UserInformation, DecodeError> {
    let mut information = UserInformation::default();
    let mut count = 0;
    while !item.is_empty() {
        count += 1;
        if count > USER_INFORMATION_ITEMS_MAX {
            return Err(DecodeError::TooManyItems { bound: USER_INFORMATION_ITEMS_MAX });
        }
        let (item_type, second, content) = item.item()?;
        decode_sub_item(&mut information, item_type, second, content)?;
    }
    Ok(information)
}

fn decode_sub_item(
    information: &mut UserInformation,
    item_type: u8,
    second: u8,
    mut item: Reader<'_>,
) -> Result<(), DecodeError> {
    match item_type {
        MAXIMUM_LENGTH => {
            let value = u32::from_be_bytes(whole(&item, "maximum length")?);
            information.maximum_length.get_or_insert(value);
        }
        IMPLEMENTATION_CLASS_UID if information.implementation_class_uid == UidItem::Absent => {
            note_uid(&mut information.implementation_class_uid, &item);
        }
        ASYNCHRONOUS_OPERATIONS => {
            let [a, b, c, d] = whole(&item, "asynchronous operations window")?;
            information.asynchronous_operations.get_or_insert(AsynchronousOperations {
                invoked: u16::from_be_bytes([a, b]),
                performed: u16::from_be_bytes([c, d]),
            });
        }
        ROLE_SELECTION => {
            let sop_class_uid = item.counted("role selection")?;
            let [scu, scp] = whole(&item, "role selection")?;
            // PS3.7 §D.3.3.4: 0 is "no", 1 is "yes". An over-long UID names no SOP class that could
            // be in a context, so its role is of no effect, as for any unknown class.
            if let Some(sop_class_uid) = UidText::new(sop_class_uid) {
                information.roles.push(RoleSelection {
                    sop_class_uid,
                    scu: scu == 1,
                    scp: scp == 1,
                });
            }
        }
        IMPLEMENTATION_VERSION_NAME => {
            information
                .implementation_version_name
                .get_or_insert_with(|| without_padding(item.rest()).to_vec());
        }
        EXTENDED_NEGOTIATION => {
            let sop_class_uid = item.counted("extended negotiation")?;
            if let Some(sop_class_uid) = UidText::new(sop_class_uid) {
                information
                    .extended_negotiation
                    .push(ExtendedNegotiation { sop_class_uid, information: item.rest().to_vec() });
            }
        }
        COMMON_EXTENDED_NEGOTIATION => {
            decode_common_extended_negotiation(information, second, item)?;
        }
        USER_IDENTITY_RQ => {
            let [identity_type, requested] = item.array("user identity")?;
            let primary_field = item.counted("user identity")?;
            let secondary_field = item.counted("user identity")?;
            whole::<0>(&item, "user identity")?;
            information.user_identity.get_or_insert_with(|| UserIdentity {
                identity_type,
                positive_response_requested: requested == 1,
                primary_field: primary_field.to_vec(),
                secondary_field: secondary_field.to_vec(),
            });
        }
        USER_IDENTITY_AC => {
            let response = item.counted("user identity response")?;
            whole::<0>(&item, "user identity response")?;
            information.user_identity_response.get_or_insert_with(|| response.to_vec());
        }
        _ => {}
    }
    Ok(())
}

fn decode_common_extended_negotiation(
    information: &mut UserInformation,
    version: u8,
    mut item: Reader<'_>,
) -> Result<(), DecodeError> {
    const WHAT: &str = "common extended negotiation";
    let sop_class_uid = UidText::new(item.counted(WHAT)?);
    let service_class_uid = UidText::new(item.counted(WHAT)?);
    let mut related = Reader::new(item.counted(WHAT)?);
    let mut related_general_sop_classes = Vec::new();
    while !related.is_empty() {
        related_general_sop_classes.extend(UidText::new(related.counted(WHAT)?));
    }
    // PS3.7 Table D.3-12: what follows is reserved for later versions.
    if let (Some(sop_class_uid), Some(service_class_uid)) = (sop_class_uid, service_class_uid) {
        information.common_extended_negotiation.push(CommonExtendedNegotiation {
            version,
            sop_class_uid,
            service_class_uid,
            related_general_sop_classes,
        });
    }
    Ok(())
}

/// Exactly `N` bytes: what is left of an item with a fixed end.
fn whole<const N: usize>(item: &Reader<'_>, what: &'static str) -> Result<[u8; N], DecodeError> {
    item.rest().try_into().map_err(|_| DecodeError::ItemLength {
        what,
        length: item.rest().len(),
        expected: N,
    })
}

fn without_padding(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != b' ' && *byte != 0).map_or(0, |at| at + 1);
    &bytes[..end]
}

/// Appends an item: header, then what `content` writes, then the length is set.
pub(super) fn encode_item(
    out: &mut Vec<u8>,
    item_type: u8,
    second: u8,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    out.extend([item_type, second, 0, 0]);
    let start = out.len();
    content(out)?;
    let bytes = out.len() - start;
    let length = u16::try_from(bytes).map_err(|_| EncodeError::ItemTooLong { item_type, bytes })?;
    out[start - 2..start].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Appends a UID item; an absent one leaves no trace.
pub(super) fn encode_uid(
    out: &mut Vec<u8>,
    item_type: u8,
    uid: &UidItem,
) -> Result<(), EncodeError> {
    match uid {
        UidItem::Absent => Ok(()),
        UidItem::Given(text) => encode_bytes(out, item_type, text.as_bytes()),
        UidItem::TooLong { .. } | UidItem::Repeated => Err(EncodeError::NoValue { item_type }),
    }
}

fn encode_bytes(out: &mut Vec<u8>, item_type: u8, bytes: &[u8]) -> Result<(), EncodeError> {
    encode_item(out, item_type, 0, |out| {
        out.extend_from_slice(bytes);
        Ok(())
    })
}

/// Appends bytes preceded by their 2-byte length.
fn encode_counted(out: &mut Vec<u8>, item_type: u8, bytes: &[u8]) -> Result<(), EncodeError> {
    let length = u16::try_from(bytes.len())
        .map_err(|_| EncodeError::ItemTooLong { item_type, bytes: bytes.len() })?;
    out.extend(length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends a presentation context item of an A-ASSOCIATE-RQ.
pub(super) fn encode_proposed_context(
    out: &mut Vec<u8>,
    context: &ProposedContext,
) -> Result<(), EncodeError> {
    encode_item(out, PRESENTATION_CONTEXT_RQ, 0, |out| {
        out.extend([context.id, 0, 0, 0]);
        encode_uid(out, ABSTRACT_SYNTAX, &context.abstract_syntax)?;
        for transfer_syntax in &context.transfer_syntaxes {
            encode_bytes(out, TRANSFER_SYNTAX, transfer_syntax.as_bytes())?;
        }
        Ok(())
    })
}

/// Appends a presentation context item of an A-ASSOCIATE-AC.
pub(super) fn encode_context_result(
    out: &mut Vec<u8>,
    context: &ContextResult,
) -> Result<(), EncodeError> {
    encode_item(out, PRESENTATION_CONTEXT_AC, 0, |out| {
        out.extend([context.id, 0, context.result.byte(), 0]);
        encode_uid(out, TRANSFER_SYNTAX, &context.transfer_syntax)
    })
}

/// Appends the user information item.
pub(super) fn encode_user_information(
    out: &mut Vec<u8>,
    information: &UserInformation,
) -> Result<(), EncodeError> {
    encode_item(out, USER_INFORMATION, 0, |out| {
        if let Some(maximum_length) = information.maximum_length {
            encode_bytes(out, MAXIMUM_LENGTH, &maximum_length.to_be_bytes())?;
        }
        encode_uid(out, IMPLEMENTATION_CLASS_UID, &information.implementation_class_uid)?;
        if let Some(window) = information.asynchronous_operations {
            encode_item(out, ASYNCHRONOUS_OPERATIONS, 0, |out| {
                out.extend(window.invoked.to_be_bytes());
                out.extend(window.performed.to_be_bytes());
                Ok(())
            })?;
        }
        for role in &information.roles {
            encode_item(out, ROLE_SELECTION, 0, |out| {
                encode_counted(out, ROLE_SELECTION, role.sop_class_uid.as_bytes())?;
                out.extend([u8::from(role.scu), u8::from(role.scp)]);
                Ok(())
            })?;
        }
        if let Some(name) = &information.implementation_version_name {
            encode_bytes(out, IMPLEMENTATION_VERSION_NAME, name)?;
        }
        for item in &information.extended_negotiation {
            encode_item(out, EXTENDED_NEGOTIATION, 0, |out| {
                encode_counted(out, EXTENDED_NEGOTIATION, item.sop_class_uid.as_bytes())?;
                out.extend_from_slice(&item.information);
                Ok(())
            })?;
        }
        for item in &information.common_extended_negotiation {
            encode_common_extended_negotiation(out, item)?;
        }
        if let Some(identity) = &information.user_identity {
            encode_item(out, USER_IDENTITY_RQ, 0, |out| {
                out.extend([
                    identity.identity_type,
                    u8::from(identity.positive_response_requested),
                ]);
                encode_counted(out, USER_IDENTITY_RQ, &identity.primary_field)?;
                encode_counted(out, USER_IDENTITY_RQ, &identity.secondary_field)
            })?;
        }
        if let Some(response) = &information.user_identity_response {
            encode_item(out, USER_IDENTITY_AC, 0, |out| {
                encode_counted(out, USER_IDENTITY_AC, response)
            })?;
        }
        Ok(())
    })
}

fn encode_common_extended_negotiation(
    out: &mut Vec<u8>,
    item: &CommonExtendedNegotiation,
) -> Result<(), EncodeError> {
    const TYPE: u8 = COMMON_EXTENDED_NEGOTIATION;
    encode_item(out, TYPE, item.version, |out| {
        encode_counted(out, TYPE, item.sop_class_uid.as_bytes())?;
        encode_counted(out, TYPE, item.service_class_uid.as_bytes())?;
        let mut related = Vec::new();
        for sop_class in &item.related_general_sop_classes {
            encode_counted(&mut related, TYPE, sop_class.as_bytes())?;
        }
        encode_counted(out, TYPE, &related)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<UserInformation, DecodeError> {
        decode_user_information(Reader::new(bytes))
    }

    /// PS3.7 Annex D.3.3.3 and D.3.3.4, and PS3.8 Annex D.1: one sub-item of each short kind.
    #[test]
    fn sub_items() {
        let information = decode(
            b"\x51\0\0\x04\0\0\x40\0\x52\0\0\x03\x31.2\x53\0\0\x04\0\x05\0\x01\
              \x54\0\0\x07\0\x03\x31.3\x00\x01\x55\0\0\x04NAME",
        )
        .unwrap();
        assert_eq!(information.maximum_length, Some(16384));
        assert_eq!(information.implementation_class_uid.uid().unwrap().as_str(), "1.2");
        assert_eq!(
            information.asynchronous_operations,
            Some(AsynchronousOperations { invoked: 5, performed: 1 })
        );
        assert_eq!(information.roles.len(), 1);
        assert!(!information.roles[0].scu && information.roles[0].scp);
        assert_eq!(information.implementation_version_name.as_deref(), Some(&b"NAME"[..]));
    }

    /// A fixed-size sub-item of another size lies about its content.
    #[test]
    fn wrong_fixed_lengths() {
        for (bytes, length) in [(&b"\x51\0\0\x02\0\0"[..], 2), (b"\x53\0\0\x05\0\0\0\0\0", 5)] {
            let Err(DecodeError::ItemLength { length: found, expected: 4, .. }) = decode(bytes)
            else {
                panic!("{bytes:?}");
            };
            assert_eq!(found, length);
        }
    }

    /// A UID length inside a sub-item that reaches past the sub-item never touches its neighbour.
    #[test]
    fn inner_length_past_its_parent() {
        let error = decode(b"\x54\0\0\x05\0\x09\x31.2\x51\0\0\x04\0\0\x40\0").unwrap_err();
        assert!(
            matches!(error, DecodeError::Truncated { wanted_bytes: 9, left_bytes: 3, .. }),
            "{error:?}"
        );
    }

    /// PS3.8 §9.3.1: unknown sub-items are skipped by their length, and the next one is read.
    #[test]
    fn unknown_sub_items_are_skipped() {
        let information = decode(b"\x7E\0\0\x03abc\x51\0\0\x04\0\0\x10\0").unwrap();
        assert_eq!(information.maximum_length, Some(4096));
    }

    /// The first of two sub-items counts; every time the same.
    #[test]
    fn repeated_sub_items() {
        let information =
            decode(b"\x51\0\0\x04\0\0\0\x01\x51\0\0\x04\0\0\0\x02\x52\0\0\x01\x31\x52\0\0\x01\x32")
                .unwrap();
        assert_eq!(information.maximum_length, Some(1));
        assert_eq!(information.implementation_class_uid.uid().unwrap().as_str(), "1");
    }

    /// limits::USER_INFORMATION_ITEMS_MAX is legal, one more is not.
    #[test]
    fn number_of_sub_items() {
        let item = [0x7E, 0, 0, 0];
        assert!(decode(&item.repeat(USER_INFORMATION_ITEMS_MAX)).is_ok());
        assert_eq!(
            decode(&item.repeat(USER_INFORMATION_ITEMS_MAX + 1)),
            Err(DecodeError::TooManyItems { bound: USER_INFORMATION_ITEMS_MAX })
        );
    }

    /// PS3.7 Table D.3-12: SOP class, service class, and a counted list of counted UIDs.
    #[test]
    fn common_extended_negotiation() {
        let bytes = b"\x57\x00\0\x14\0\x03\x31.2\0\x03\x31.4\0\x08\0\x02\x31.\0\x02\x32.";
        let information = decode(bytes).unwrap();
        assert_eq!(information.common_extended_negotiation[0].related_general_sop_classes.len(), 2);
        let lying = b"\x57\x00\0\x12\0\x03\x31.2\0\x03\x31.4\0\x06\0\x02\x31.\0\x02";
        assert!(decode(lying).is_err());
    }

    /// An over-long UID names nothing: the role has no effect, the association is not lost.
    #[test]
    fn over_long_uid_in_a_role() {
        let mut bytes = vec![0x54, 0, 0, 69, 0, 65];
        bytes.extend([b'1'; 65]);
        bytes.extend([1, 1]);
        assert!(decode(&bytes).unwrap().roles.is_empty());
    }

    /// limits::TRANSFER_SYNTAXES_PER_CONTEXT_MAX are kept; the rest is counted and ignored.
    #[test]
    fn number_of_transfer_syntaxes() {
        let mut bytes = vec![1, 0, 0, 0];
        for _ in 0..=TRANSFER_SYNTAXES_PER_CONTEXT_MAX {
            bytes.extend([0x40, 0, 0, 1, b'1']);
        }
        let context = decode_proposed_context(Reader::new(&bytes)).unwrap();
        assert_eq!(context.transfer_syntaxes.len(), TRANSFER_SYNTAXES_PER_CONTEXT_MAX);
        assert_eq!(context.transfer_syntaxes_dropped, 1);
    }

    /// Two abstract syntaxes, none, and an over-long one are kept apart for the answer.
    #[test]
    fn abstract_syntax_as_it_came() {
        let two = b"\x01\0\0\0\x30\0\0\x01\x31\x30\0\0\x01\x32";
        let context = decode_proposed_context(Reader::new(two)).unwrap();
        assert_eq!(context.abstract_syntax, UidItem::Repeated);
        let none = decode_proposed_context(Reader::new(b"\x01\0\0\0")).unwrap();
        assert_eq!(none.abstract_syntax, UidItem::Absent);
        let mut long = vec![1, 0, 0, 0, 0x30, 0, 0, 65];
        long.extend([b'1'; 65]);
        let context = decode_proposed_context(Reader::new(&long)).unwrap();
        assert_eq!(context.abstract_syntax, UidItem::TooLong { bytes: 65 });
    }
}
