//! What the index is told about one instance, as a type and as bytes.
//!
//! The bytes are those of the journal and of an exported index (FORMAT.md, "Instance entry"): big
//! endian, so that they mean the same on every machine, and with a version byte in front.
//!
//! ```text
//! offset  bytes  field
//! 0       1      version of this layout, 1
//! 1       8      size of the file in bytes
//! 9       8      time of reception, microseconds since 1970-01-01 00:00 UTC
//! 17      4      offset of the data set in the file
//! 21      16     digest: XXH3-128 (seed 0) of the data set's bytes
//! 37      1+n    length, SOP Class UID
//!         1+n    length, SOP Instance UID
//!         1+n    length, Transfer Syntax UID
//!         1+n    length, AE title of the sender
//!         1      kind of location: 1 own file, 2 relative path, 3 absolute path
//!         8      the number of an own file; or
//!         2+n    length, path in UTF-8
//!         n      attributes (`dataset::attributes`), to the end
//! ```

use core::fmt;

use crate::ae_title::AeTitle;
use crate::dataset::attributes::{Attributes, AttributesError};
use crate::limits::FILE_PATH_BYTES_MAX;
use crate::uid::UidText;

/// Version of the layout above.
const VERSION: u8 = 1;

/// Where the file of an instance is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileLocation {
    /// A file of the archive's own: its number, from which the layout of the area makes the name.
    Own(u64),
    /// A path below the area's directory, with `/` between its parts.
    Relative(String),
    /// A path anywhere else. Such a file is never deleted.
    Absolute(String),
}

impl fmt::Display for FileLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(number) => write!(formatter, "own file {number:016x}"),
            Self::Relative(path) | Self::Absolute(path) => formatter.write_str(path),
        }
    }
}

/// Everything that the index keeps of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceEntry {
    /// Values of the indexed attributes, of all levels.
    pub attributes: Attributes,
    /// SOP Class UID.
    pub sop_class: UidText,
    /// SOP Instance UID: unique in an area, and not empty.
    pub sop_instance: UidText,
    /// Transfer syntax of the stored file.
    pub transfer_syntax: UidText,
    /// Where the file is.
    pub location: FileLocation,
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Where the data set begins in the file.
    pub data_set_offset: u32,
    /// XXH3-128 (seed 0) of the data set's bytes as they are stored.
    pub digest: u128,
    /// When it was received, in microseconds since 1970-01-01 00:00 UTC.
    pub received_at_us: u64,
    /// AE title of the sender; empty when it came in no association.
    pub source_ae: AeTitle,
}

/// Why bytes are no instance entry; damage, never a peer's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// The bytes end too early.
    Truncated,
    /// Written by another version.
    Version(u8),
    /// A UID or title of impossible length, no such kind of location, or a path that is not UTF-8.
    Malformed,
    /// The attributes are damaged.
    Attributes(AttributesError),
}

impl fmt::Display for EntryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => formatter.write_str("instance entry is cut"),
            Self::Version(version) => {
                write!(formatter, "instance entry of version {version}, not {VERSION}")
            }
            Self::Malformed => formatter.write_str("instance entry is damaged"),
            Self::Attributes(error) => write!(formatter, "instance entry: {error}"),
        }
    }
}

impl std::error::Error for EntryError {}

impl FileLocation {
    /// Appends kind and number or path.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, path) = match self {
            Self::Own(number) => {
                out.push(1);
                out.extend_from_slice(&number.to_be_bytes());
                return;
            }
            Self::Relative(path) => (2, path),
            Self::Absolute(path) => (3, path),
        };
        let mut cut = path.len().min(FILE_PATH_BYTES_MAX);
        debug_assert_eq!(cut, path.len(), "longer than any system's paths");
        while !path.is_char_boundary(cut) {
            cut -= 1;
        }
        out.push(kind);
        out.extend_from_slice(&(cut as u16).to_be_bytes());
        out.extend_from_slice(&path.as_bytes()[..cut]);
    }

    /// The location at the start of `input`, which is moved past it.
    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, EntryError> {
        let [kind] = take_array(input)?;
        if kind == 1 {
            return Ok(Self::Own(u64::from_be_bytes(take_array(input)?)));
        }
        let length = usize::from(u16::from_be_bytes(take_array(input)?));
        let path = core::str::from_utf8(take(input, length)?).map_err(|_| EntryError::Malformed)?;
        match kind {
            2 => Ok(Self::Relative(path.to_owned())),
            3 => Ok(Self::Absolute(path.to_owned())),
            _ => Err(EntryError::Malformed),
        }
    }

    /// Moves `input` past a location.
    pub(crate) fn skip(input: &mut &[u8]) -> Result<(), EntryError> {
        let [kind] = take_array(input)?;
        let length = match kind {
            1 => 8,
            _ => usize::from(u16::from_be_bytes(take_array(input)?)),
        };
        take(input, length).map(|_| ())
    }
}

impl InstanceEntry {
    /// Appends the entry in the layout above.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.file_bytes.to_be_bytes());
        out.extend_from_slice(&self.received_at_us.to_be_bytes());
        out.extend_from_slice(&self.data_set_offset.to_be_bytes());
        out.extend_from_slice(&self.digest.to_be_bytes());
        for text in [&self.sop_class, &self.sop_instance, &self.transfer_syntax] {
            put_text(out, text.as_bytes());
        }
        put_text(out, self.source_ae.as_bytes());
        self.location.encode(out);
        out.extend_from_slice(self.attributes.as_ref().as_bytes());
    }

    /// The entry that `bytes` are.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, EntryError> {
        let input = &mut bytes;
        let [version] = take_array(input)?;
        if version != VERSION {
            return Err(EntryError::Version(version));
        }
        let file_bytes = u64::from_be_bytes(take_array(input)?);
        let received_at_us = u64::from_be_bytes(take_array(input)?);
        let data_set_offset = u32::from_be_bytes(take_array(input)?);
        let digest = u128::from_be_bytes(take_array(input)?);
        let sop_class = take_uid(input)?;
        let sop_instance = take_uid(input)?;
        let transfer_syntax = take_uid(input)?;
        let source_ae = AeTitle::new(take_text(input)?);
        let location = FileLocation::decode(input)?;
        let attributes = Attributes::from_bytes(input).map_err(EntryError::Attributes)?;
        Ok(Self {
            attributes,
            sop_class,
            sop_instance,
            transfer_syntax,
            location,
            file_bytes,
            data_set_offset,
            digest,
            received_at_us,
            source_ae,
        })
    }
}

/// Appends a text of at most 255 bytes with its length.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(255)];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

/// The next `count` bytes of `input`.
pub(crate) fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], EntryError> {
    let (taken, rest) = input.split_at_checked(count).ok_or(EntryError::Truncated)?;
    *input = rest;
    Ok(taken)
}

/// The next `N` bytes of `input`.
pub(crate) fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], EntryError> {
    let (taken, rest) = input.split_first_chunk().ok_or(EntryError::Truncated)?;
    *input = rest;
    Ok(*taken)
}

/// A text with its length in one byte.
pub(crate) fn take_text<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], EntryError> {
    let [length] = take_array(input)?;
    take(input, usize::from(length))
}

/// A UID with its length in one byte.
pub(crate) fn take_uid(input: &mut &[u8]) -> Result<UidText, EntryError> {
    UidText::new(take_text(input)?).ok_or(EntryError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::attributes::tags;

    fn entry(location: FileLocation) -> InstanceEntry {
        let mut attributes = Attributes::new();
        attributes.set(tags::PATIENT_ID, b"4711");
        attributes.set(tags::PATIENT_NAME, b"Doe^Jane");
        InstanceEntry {
            attributes,
            sop_class: UidText::new(b"1.2.840.10008.5.1.4.1.1.2").unwrap(),
            sop_instance: UidText::new(b"1.2.3").unwrap(),
            transfer_syntax: UidText::new(b"1.2.840.10008.1.2.1").unwrap(),
            location,
            file_bytes: 0x0102,
            data_set_offset: 0x0304,
            digest: 0x0506,
            received_at_us: 0x0708,
            source_ae: AeTitle::new(b"CT1"),
        }
    }

    /// The layout above, byte by byte.
    #[test]
    fn layout() {
        let mut bytes = Vec::new();
        entry(FileLocation::Own(9)).encode(&mut bytes);
        let expected: Vec<u8> = [
            &b"\x01\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x07\x08\0\0\x03\x04"[..],
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\x06",
            b"\x191.2.840.10008.5.1.4.1.1.2\x051.2.3\x131.2.840.10008.1.2.1\x03CT1",
            b"\x01\0\0\0\0\0\0\0\x09",
            b"\0\x10\0\x10\0\x08Doe^Jane\0\x10\0\x20\0\x044711",
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    /// What was written is read, with each kind of location; a cut anywhere is an error or, at an
    /// attribute's end, an entry with fewer attributes: the journal's checksum tells.
    #[test]
    fn there_and_back() {
        for location in [
            FileLocation::Own(u64::MAX),
            FileLocation::Relative("a/CT_1.dcm".into()),
            FileLocation::Absolute("/ü/x".into()),
        ] {
            let entry = entry(location);
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            assert_eq!(InstanceEntry::decode(&bytes), Ok(entry));
            let attributes_at = bytes.len() - 24;
            for length in 0..attributes_at {
                assert_eq!(InstanceEntry::decode(&bytes[..length]), Err(EntryError::Truncated));
            }
            bytes[0] = 2;
            assert_eq!(InstanceEntry::decode(&bytes), Err(EntryError::Version(2)));
        }
    }
}
