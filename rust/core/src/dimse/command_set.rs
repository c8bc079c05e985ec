//! Command sets: encode and decode group 0000.
//!
//! Source: PS3.7 §6.3.1 (always Implicit VR Little Endian) and Annex E.1 (the elements).
//!
//! ```text
//! offset  bytes  field of each element
//! 0       2      group, little endian; 0000H
//! 2       2      element, little endian
//! 4       4      length, little endian; counts what follows it
//! 8       n      value
//! ```
//!
//! Decoding takes one pass, notes where each known element begins, and copies nothing. The value of
//! (0000,0000) is not used: present or absent, right or wrong, what is there counts. Of two
//! elements with one tag the first counts, and their order is free; every layer sees the same one,
//! because they all ask [`CommandSet`]. A value of the wrong length is as good as missing. No I/O;
//! called by `message` and `service`.

use core::fmt;

use crate::ae_title::{AE_TITLE_BYTES, AeTitle};
use crate::limits::{COMMAND_SET_BYTES_MAX, COMMAND_SET_ELEMENTS_MAX};
use crate::uid::UidText;

/// (0000,0800) of a message without a data set, PS3.7 Annex E.1.
pub const NO_DATA_SET: u16 = 0x0101;

/// Bytes before the value of an element.
const ELEMENT_HEADER_BYTES: usize = 8;

/// An element of group 0000 that some service uses, PS3.7 Annex E.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names of PS3.7 Table E.1-1")]
pub enum Field {
    AffectedSopClassUid,
    RequestedSopClassUid,
    CommandField,
    MessageId,
    MessageIdBeingRespondedTo,
    MoveDestination,
    Priority,
    CommandDataSetType,
    Status,
    OffendingElement,
    ErrorComment,
    ErrorId,
    AffectedSopInstanceUid,
    RequestedSopInstanceUid,
    EventTypeId,
    AttributeIdentifierList,
    ActionTypeId,
    NumberOfRemainingSubOperations,
    NumberOfCompletedSubOperations,
    NumberOfFailedSubOperations,
    NumberOfWarningSubOperations,
    MoveOriginatorApplicationEntityTitle,
    MoveOriginatorMessageId,
}

impl Field {
    const COUNT: usize = Self::ALL.len();

    /// Every field, in the order of its tag.
    pub const ALL: [Self; 23] = [
        Self::AffectedSopClassUid,
        Self::RequestedSopClassUid,
        Self::CommandField,
        Self::MessageId,
        Self::MessageIdBeingRespondedTo,
        Self::MoveDestination,
        Self::Priority,
        Self::CommandDataSetType,
        Self::Status,
        Self::OffendingElement,
        Self::ErrorComment,
        Self::ErrorId,
        Self::AffectedSopInstanceUid,
        Self::RequestedSopInstanceUid,
        Self::EventTypeId,
        Self::AttributeIdentifierList,
        Self::ActionTypeId,
        Self::NumberOfRemainingSubOperations,
        Self::NumberOfCompletedSubOperations,
        Self::NumberOfFailedSubOperations,
        Self::NumberOfWarningSubOperations,
        Self::MoveOriginatorApplicationEntityTitle,
        Self::MoveOriginatorMessageId,
    ];

    /// The element number, in group 0000.
    pub const fn element(self) -> u16 {
        match self {
            Self::AffectedSopClassUid => 0x0002,
            Self::RequestedSopClassUid => 0x0003,
            Self::CommandField => 0x0100,
            Self::MessageId => 0x0110,
            Self::MessageIdBeingRespondedTo => 0x0120,
            Self::MoveDestination => 0x0600,
            Self::Priority => 0x0700,
            Self::CommandDataSetType => 0x0800,
            Self::Status => 0x0900,
            Self::OffendingElement => 0x0901,
            Self::ErrorComment => 0x0902,
            Self::ErrorId => 0x0903,
            Self::AffectedSopInstanceUid => 0x1000,
            Self::RequestedSopInstanceUid => 0x1001,
            Self::EventTypeId => 0x1002,
            Self::AttributeIdentifierList => 0x1005,
            Self::ActionTypeId => 0x1008,
            Self::NumberOfRemainingSubOperations => 0x1020,
            Self::NumberOfCompletedSubOperations => 0x1021,
            Self::NumberOfFailedSubOperations => 0x1022,
            Self::NumberOfWarningSubOperations => 0x1023,
            Self::MoveOriginatorApplicationEntityTitle => 0x1030,
            Self::MoveOriginatorMessageId => 0x1031,
        }
    }

    const fn of_element(element: u16) -> Option<Self> {
        Some(match element {
            0x0002 => Self::AffectedSopClassUid,
            0x0003 => Self::RequestedSopClassUid,
            0x0100 => Self::CommandField,
            0x0110 => Self::MessageId,
            0x0120 => Self::MessageIdBeingRespondedTo,
            0x0600 => Self::MoveDestination,
            0x0700 => Self::Priority,
            0x0800 => Self::CommandDataSetType,
            0x0900 => Self::Status,
            0x0901 => Self::OffendingElement,
            0x0902 => Self::ErrorComment,
            0x0903 => Self::ErrorId,
            0x1000 => Self::AffectedSopInstanceUid,
            0x1001 => Self::RequestedSopInstanceUid,
            0x1002 => Self::EventTypeId,
            0x1005 => Self::AttributeIdentifierList,
            0x1008 => Self::ActionTypeId,
            0x1020 => Self::NumberOfRemainingSubOperations,
            0x1021 => Self::NumberOfCompletedSubOperations,
            0x1022 => Self::NumberOfFailedSubOperations,
            0x1023 => Self::NumberOfWarningSubOperations,
            0x1030 => Self::MoveOriginatorApplicationEntityTitle,
            0x1031 => Self::MoveOriginatorMessageId,
            _ => return None,
        })
    }
}

/// Why bytes are no command set. The message cannot be answered; `message` turns this into A-ABORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandSetError {
    /// Longer than `limits::COMMAND_SET_BYTES_MAX`.
    TooLong {
        /// Bytes so far.
        bytes: usize,
    },
    /// More elements than `limits::COMMAND_SET_ELEMENTS_MAX`.
    TooManyElements,
    /// An element reaches past the end, or its header does.
    Truncated {
        /// Bytes named.
        wanted_bytes: usize,
        /// Bytes there.
        left_bytes: usize,
    },
    /// An element of another group.
    ForeignGroup {
        /// The group.
        group: u16,
        /// The element.
        element: u16,
    },
}

impl fmt::Display for CommandSetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => {
                write!(formatter, "command set of {bytes} bytes, above {COMMAND_SET_BYTES_MAX}")
            }
            Self::TooManyElements => {
                write!(formatter, "command set of more than {COMMAND_SET_ELEMENTS_MAX} elements")
            }
            Self::Truncated { wanted_bytes, left_bytes } => write!(
                formatter,
                "command set: an element of {wanted_bytes} bytes where {left_bytes} are left"
            ),
            Self::ForeignGroup { group, element } => {
                write!(formatter, "command set: element ({group:04x},{element:04x})")
            }
        }
    }
}

impl core::error::Error for CommandSetError {}

/// A command set, borrowed from the bytes it came in.
#[derive(Clone, Copy)]
pub struct CommandSet<'a> {
    bytes: &'a [u8],
    /// Where the header of each field begins; [`Self::ABSENT`] when it is not there. Two bytes each
    /// keep this value small enough to be passed around.
    starts: [u16; Field::COUNT],
}

impl<'a> CommandSet<'a> {
    const ABSENT: u16 = u16::MAX;

    /// Reads `bytes`, a whole command set.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CommandSetError> {
        if bytes.len() > COMMAND_SET_BYTES_MAX {
            return Err(CommandSetError::TooLong { bytes: bytes.len() });
        }
        let mut starts = [Self::ABSENT; Field::COUNT];
        let mut rest = bytes;
        let mut elements = 0;
        while !rest.is_empty() {
            elements += 1;
            if elements > COMMAND_SET_ELEMENTS_MAX {
                return Err(CommandSetError::TooManyElements);
            }
            let Some((header, after)) = rest.split_first_chunk::<ELEMENT_HEADER_BYTES>() else {
                return Err(CommandSetError::Truncated {
                    wanted_bytes: ELEMENT_HEADER_BYTES,
                    left_bytes: rest.len(),
                });
            };
            let [group_low, group_high, element_low, element_high, a, b, c, d] = *header;
            let group = u16::from_le_bytes([group_low, group_high]);
            let element = u16::from_le_bytes([element_low, element_high]);
            if group != 0 {
                return Err(CommandSetError::ForeignGroup { group, element });
            }
            let wanted_bytes = u32::from_le_bytes([a, b, c, d]) as usize;
            let Some((_, after)) = after.split_at_checked(wanted_bytes) else {
                return Err(CommandSetError::Truncated { wanted_bytes, left_bytes: after.len() });
            };
            if let Some(field) = Field::of_element(element) {
                let start = &mut starts[field as usize];
                if *start == Self::ABSENT {
                    // A header of 8 bytes within 65,536 begins below the value that means absent.
                    *start = (bytes.len() - rest.len()) as u16;
                }
            }
            rest = after;
        }
        Ok(Self { bytes, starts })
    }

    /// The bytes it was read from.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The value of `field` as it came.
    pub fn value(&self, field: Field) -> Option<&'a [u8]> {
        let start = self.starts[field as usize];
        if start == Self::ABSENT {
            return None;
        }
        let (header, after) =
            self.bytes.get(usize::from(start)..)?.split_first_chunk::<ELEMENT_HEADER_BYTES>()?;
        let [_, _, _, _, a, b, c, d] = *header;
        after.get(..u32::from_le_bytes([a, b, c, d]) as usize)
    }

    /// A number; `None` unless the value has two bytes.
    pub fn us(&self, field: Field) -> Option<u16> {
        self.value(field)?.try_into().ok().map(u16::from_le_bytes)
    }

    /// The text of a UID, not judged; `None` when it is empty or over 64 bytes.
    pub fn uid(&self, field: Field) -> Option<UidText> {
        UidText::new(self.value(field)?).filter(|text| !text.is_empty())
    }

    /// An AE title; `None` when it is empty or over 16 bytes.
    pub fn ae_title(&self, field: Field) -> Option<AeTitle> {
        let title = self.text(field)?;
        (title.len() <= AE_TITLE_BYTES).then(|| AeTitle::new(title)).filter(|it| !it.is_empty())
    }

    /// A text without trailing padding.
    pub fn text(&self, field: Field) -> Option<&'a [u8]> {
        let value = self.value(field)?;
        let end = value.iter().rposition(|byte| *byte != b' ' && *byte != 0).map_or(0, |at| at + 1);
        Some(&value[..end])
    }

    /// True when (0000,0800) announces a data set. A set that does not say so has none: the sender
    /// of a data set must tell (PS3.7 Annex E.1), and what comes unannounced is refused.
    pub fn announces_data_set(&self) -> bool {
        self.us(Field::CommandDataSetType).is_some_and(|value| value != NO_DATA_SET)
    }
}

impl fmt::Debug for CommandSet<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = formatter.debug_map();
        for field in Field::ALL {
            if let Some(value) = self.value(field) {
                map.entry(&field, &format_args!("{}", value.escape_ascii()));
            }
        }
        map.finish()
    }
}

/// Writes one command set at the end of a buffer; fields in the order of their tags.
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    last_element: u16,
}

impl<'o> Encoder<'o> {
    /// Begins with (0000,0000), whose value [`Encoder::finish`] sets.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend([0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
        Self { out, start, last_element: 0 }
    }

    /// Appends a number.
    pub fn us(&mut self, field: Field, value: u16) -> &mut Self {
        self.element(field, &value.to_le_bytes(), 0)
    }

    /// Appends a UID, padded with NUL.
    pub fn uid(&mut self, field: Field, uid: &UidText) -> &mut Self {
        self.element(field, uid.as_bytes(), 0)
    }

    /// Appends a text, padded with a blank.
    pub fn text(&mut self, field: Field, text: &[u8]) -> &mut Self {
        self.element(field, text, b' ')
    }

    fn element(&mut self, field: Field, value: &[u8], padding: u8) -> &mut Self {
        let element = field.element();
        debug_assert!(element > self.last_element, "PS3.7 §6.3.1: tags ascend");
        self.last_element = element;
        let is_odd = value.len() % 2 == 1;
        let length = value.len() as u32 + u32::from(is_odd);
        self.out.extend([0, 0]);
        self.out.extend(element.to_le_bytes());
        self.out.extend(length.to_le_bytes());
        self.out.extend_from_slice(value);
        if is_odd {
            self.out.push(padding);
        }
        self
    }

    /// Sets the group length.
    pub fn finish(&mut self) {
        let length = (self.out.len() - self.start - 12) as u32;
        self.out[self.start + 8..self.start + 12].copy_from_slice(&length.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(element: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0];
        bytes.extend(element.to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
        bytes.extend(value);
        bytes
    }

    /// Each field is found by its own tag, and the list is in the order of the tags.
    #[test]
    fn fields_and_tags() {
        for (index, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, index);
            assert_eq!(Field::of_element(field.element()), Some(field));
        }
        assert!(Field::ALL.windows(2).all(|pair| pair[0].element() < pair[1].element()));
    }

    /// PS3.7 §9.3.5: a C-ECHO-RQ, written by hand from the standard.
    #[test]
    fn echo_request() {
        let mut bytes = element(0x0000, &56_u32.to_le_bytes());
        bytes.extend(element(0x0002, b"1.2.840.10008.1.1\0"));
        bytes.extend(element(0x0100, &[0x30, 0]));
        bytes.extend(element(0x0110, &[1, 0]));
        bytes.extend(element(0x0800, &[1, 1]));
        let set = CommandSet::decode(&bytes).unwrap();
        assert_eq!(set.us(Field::CommandField), Some(0x30));
        assert_eq!(set.uid(Field::AffectedSopClassUid).unwrap().as_bytes(), b"1.2.840.10008.1.1");
        assert!(!set.announces_data_set());

        let mut out = Vec::new();
        Encoder::new(&mut out)
            .uid(Field::AffectedSopClassUid, &UidText::new(b"1.2.840.10008.1.1").unwrap())
            .us(Field::CommandField, 0x30)
            .us(Field::MessageId, 1)
            .us(Field::CommandDataSetType, NO_DATA_SET)
            .finish();
        assert_eq!(out, bytes);
    }

    /// PROMISES.md §2.4: the group length is never used.
    #[test]
    fn group_length_is_not_trusted() {
        for length in [0, 1, 0xFFFF_FFFF_u32] {
            let mut bytes = element(0x0000, &length.to_le_bytes());
            bytes.extend(element(0x0100, &[0x30, 0]));
            let set = CommandSet::decode(&bytes).unwrap();
            assert_eq!(set.us(Field::CommandField), Some(0x30));
        }
        let bytes = element(0x0100, &[0x30, 0]);
        assert_eq!(CommandSet::decode(&bytes).unwrap().us(Field::CommandField), Some(0x30));
    }

    /// A value of the wrong length is as missing, and is never read beyond its end.
    #[test]
    fn wrong_lengths_are_missing() {
        for value in [&b""[..], b"\x01", b"\x01\x02\x03", b"\x01\x02\x03\x04"] {
            let bytes = element(0x0110, value);
            assert_eq!(CommandSet::decode(&bytes).unwrap().us(Field::MessageId), None);
        }
        for value in [&[b'1'; 300][..], &[0; 2], b""] {
            let bytes = element(0x1000, value);
            let set = CommandSet::decode(&bytes).unwrap();
            assert_eq!(set.uid(Field::AffectedSopInstanceUid), None);
        }
        let bytes = element(0x0600, b"SEVENTEEN LETTERS ");
        assert_eq!(CommandSet::decode(&bytes).unwrap().ae_title(Field::MoveDestination), None);
    }

    /// Of two equal tags the first counts; the order of tags does not matter.
    #[test]
    fn duplicates_and_order() {
        let mut bytes = element(0x0110, &[7, 0]);
        bytes.extend(element(0x0100, &[1, 0]));
        bytes.extend(element(0x0110, &[8, 0]));
        let set = CommandSet::decode(&bytes).unwrap();
        assert_eq!((set.us(Field::MessageId), set.us(Field::CommandField)), (Some(7), Some(1)));
    }

    /// Elements past the end, and each cut in the middle of an element.
    #[test]
    fn truncation() {
        let mut bytes = element(0x0100, &[0x30, 0]);
        bytes.extend(element(0x0110, &[1, 0]));
        for length in 0..=bytes.len() {
            assert_eq!(
                CommandSet::decode(&bytes[..length]).is_ok(),
                length % 10 == 0,
                "cut at {length}"
            );
        }
        assert_eq!(
            CommandSet::decode(b"\0\0\0\x01\xFF\xFF\xFF\xFF\x01\x00").unwrap_err(),
            CommandSetError::Truncated { wanted_bytes: 0xFFFF_FFFF, left_bytes: 2 }
        );
    }

    /// A data set is no command set.
    #[test]
    fn foreign_group() {
        assert_eq!(
            CommandSet::decode(b"\x08\0\x05\0\0\0\0\0").unwrap_err(),
            CommandSetError::ForeignGroup { group: 8, element: 5 }
        );
    }

    /// limits::COMMAND_SET_BYTES_MAX and COMMAND_SET_ELEMENTS_MAX, at n and n + 1.
    #[test]
    fn bounds() {
        let whole = element(0x0902, &vec![b'x'; COMMAND_SET_BYTES_MAX - 8]);
        assert_eq!(
            CommandSet::decode(&whole).unwrap().value(Field::ErrorComment).unwrap().len(),
            COMMAND_SET_BYTES_MAX - 8
        );
        let above = element(0x0902, &vec![b'x'; COMMAND_SET_BYTES_MAX - 7]);
        assert_eq!(
            CommandSet::decode(&above).unwrap_err(),
            CommandSetError::TooLong { bytes: COMMAND_SET_BYTES_MAX + 1 }
        );
        let many = element(0x0110, &[]).repeat(COMMAND_SET_ELEMENTS_MAX);
        assert!(CommandSet::decode(&many).is_ok());
        let more = element(0x0110, &[]).repeat(COMMAND_SET_ELEMENTS_MAX + 1);
        assert_eq!(CommandSet::decode(&more).unwrap_err(), CommandSetError::TooManyElements);
    }

    /// The last place where an element can begin is still found.
    #[test]
    fn last_place() {
        let mut bytes = element(0x0902, &vec![0; COMMAND_SET_BYTES_MAX - 16]);
        bytes.extend(element(0x0600, b""));
        assert_eq!(bytes.len(), COMMAND_SET_BYTES_MAX);
        let set = CommandSet::decode(&bytes).unwrap();
        assert_eq!(set.value(Field::MoveDestination), Some(&b""[..]));
    }
}
