//! A small set of attribute values taken from a data set, in one buffer.
//!
//! Source: PS3.5 §7.1 (tags and values). What the index keeps of an instance travels in this form
//! from the scanner through the journal into LMDB, so it is bytes from the start:
//!
//! ```text
//! offset  bytes  field
//! 0       4      tag, big endian (group, then element)
//! 4       2      length of the value, big endian
//! 6       n      value; text as received without trailing padding, numbers little endian,
//!                sequences as items in Explicit VR Little Endian with defined lengths
//! ```
//!
//! repeated, in ascending order of tags, each tag once. An attribute without a value is left out.
//! Called by `dataset::index_keys`, which fills it, and by `index`, which stores and matches it.

use core::fmt;

use crate::limits::ATTRIBUTES_BYTES_MAX;
use crate::tag::Tag;

const HEADER_BYTES: usize = 6;
/// Room for those of an ordinary instance, taken at once.
const ATTRIBUTES_BYTES_TYPICAL: usize = 512;

/// Why bytes are no attributes; a damaged journal or index, never a peer's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttributesError {
    /// A header or value ends after the bytes do.
    Truncated {
        /// Where the element begins.
        offset: usize,
    },
    /// A tag is not above the one before.
    NotAscending {
        /// The tag that stands wrong.
        tag: Tag,
    },
    /// More bytes than `ATTRIBUTES_BYTES_MAX`.
    TooLong {
        /// How many there are.
        bytes: usize,
    },
}

impl fmt::Display for AttributesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { offset } => {
                write!(formatter, "attributes end inside the element at offset {offset}")
            }
            Self::NotAscending { tag } => write!(formatter, "attribute {tag} is out of order"),
            Self::TooLong { bytes } => {
                write!(formatter, "attributes of {bytes} bytes, at most {ATTRIBUTES_BYTES_MAX}")
            }
        }
    }
}

impl std::error::Error for AttributesError {}

/// Attribute values, borrowed; at most one of each tag, in ascending order.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct AttributesRef<'a>(&'a [u8]);

impl<'a> AttributesRef<'a> {
    /// The attributes in `bytes`, after a look at every header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, AttributesError> {
        if bytes.len() > ATTRIBUTES_BYTES_MAX {
            return Err(AttributesError::TooLong { bytes: bytes.len() });
        }
        let mut last = None;
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = bytes.len() - rest.len();
            let Some((tag, _, after)) = split_first(rest) else {
                return Err(AttributesError::Truncated { offset });
            };
            if last.is_some_and(|last| tag <= last) {
                return Err(AttributesError::NotAscending { tag });
            }
            last = Some(tag);
            rest = after;
        }
        Ok(Self(bytes))
    }

    /// The attributes in bytes that were checked when they were stored. Damage is no danger: what
    /// follows it is not seen.
    pub const fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The value of `tag`; `None` where the attribute is absent or empty.
    pub fn get(self, tag: Tag) -> Option<&'a [u8]> {
        for (found, value) in self.iter() {
            if found >= tag {
                return (found == tag).then_some(value);
            }
        }
        None
    }

    /// The value of `tag`, empty where it is absent.
    pub fn value(self, tag: Tag) -> &'a [u8] {
        self.get(tag).unwrap_or_default()
    }

    /// Tags and values in ascending order.
    pub fn iter(self) -> Iter<'a> {
        Iter(self.0)
    }

    /// The bytes of the table above.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// True when no attribute has a value.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// A copy that owns its bytes.
    pub fn to_owned(self) -> Attributes {
        Attributes { bytes: self.0.to_vec(), last: self.iter().last().map(|(tag, _)| tag) }
    }
}

impl fmt::Debug for AttributesRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = formatter.debug_map();
        for (tag, value) in self.iter() {
            map.entry(&tag, &format_args!("\"{}\"", value.escape_ascii()));
        }
        map.finish()
    }
}

/// Tags and values, in ascending order.
#[derive(Clone)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = (Tag, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, value, rest) = split_first(self.0)?;
        self.0 = rest;
        Some((tag, value))
    }
}

fn split_first(bytes: &[u8]) -> Option<(Tag, &[u8], &[u8])> {
    let (&[t0, t1, t2, t3, l0, l1], rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let tag = Tag(u32::from_be_bytes([t0, t1, t2, t3]));
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
    Some((tag, value, rest))
}

/// Attribute values that own their bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    bytes: Vec<u8>,
    last: Option<Tag>,
}

impl Attributes {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), last: None }
    }

    /// The attributes in `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AttributesError> {
        AttributesRef::new(bytes).map(AttributesRef::to_owned)
    }

    /// Adds or replaces the value of `tag`. An empty value takes the attribute away. Returns false,
    /// and changes nothing, when `ATTRIBUTES_BYTES_MAX` would be passed.
    pub fn set(&mut self, tag: Tag, value: &[u8]) -> bool {
        if self.last.is_none_or(|last| last < tag) {
            return value.is_empty() || self.insert(self.bytes.len(), 0, tag, value);
        }
        let mut at = 0;
        let mut old = 0;
        for (found, held) in self.as_ref().iter() {
            if found >= tag {
                old = if found == tag { HEADER_BYTES + held.len() } else { 0 };
                break;
            }
            at += HEADER_BYTES + held.len();
        }
        self.insert(at, old, tag, value)
    }

    /// Puts `tag` in the place of the `old` bytes at `at`.
    fn insert(&mut self, at: usize, old: usize, tag: Tag, value: &[u8]) -> bool {
        let wanted = self.bytes.len() - old + HEADER_BYTES + value.len();
        let Ok(length) = u16::try_from(value.len()) else { return false };
        if value.is_empty() {
            self.bytes.drain(at..at + old);
            self.last = self.as_ref().iter().last().map(|(tag, _)| tag);
            return true;
        }
        if wanted > ATTRIBUTES_BYTES_MAX {
            return false;
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(ATTRIBUTES_BYTES_TYPICAL);
        }
        if at == self.bytes.len() {
            self.bytes.extend_from_slice(&tag.0.to_be_bytes());
            self.bytes.extend_from_slice(&length.to_be_bytes());
            self.bytes.extend_from_slice(value);
            self.last = Some(tag);
            return true;
        }
        let header = tag.0.to_be_bytes().into_iter().chain(length.to_be_bytes());
        self.bytes.splice(at..at + old, header.chain(value.iter().copied()));
        self.last = self.as_ref().iter().last().map(|(tag, _)| tag);
        true
    }

    /// The same, borrowed.
    pub fn as_ref(&self) -> AttributesRef<'_> {
        AttributesRef(&self.bytes)
    }

    /// The value of `tag`; `None` where the attribute is absent or empty.
    pub fn get(&self, tag: Tag) -> Option<&[u8]> {
        self.as_ref().get(tag)
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.last = None;
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const A: Tag = Tag::new(0x0008, 0x0018);
    const B: Tag = Tag::new(0x0010, 0x0010);

    /// The layout above, byte by byte.
    #[test]
    fn layout() {
        let mut attributes = Attributes::new();
        assert!(attributes.set(B, b"Doe"));
        assert!(attributes.set(A, b"1.2"));
        let bytes = b"\x00\x08\x00\x18\x00\x031.2\x00\x10\x00\x10\x00\x03Doe";
        assert_eq!(attributes.as_ref().as_bytes(), bytes);
        assert_eq!(Attributes::from_bytes(bytes), Ok(attributes));
    }

    /// Damage is an error wherever it is, and nothing is sliced past the end.
    #[test]
    fn damage() {
        let bytes = b"\x00\x08\x00\x18\x00\x031.2\x00\x10\x00\x10\x00\x03Doe";
        for cut in (1..9).chain(10..bytes.len()) {
            let error = AttributesRef::new(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, AttributesError::Truncated { .. }), "cut at {cut}");
        }
        let doubled = [&bytes[..], bytes].concat();
        assert_eq!(AttributesRef::new(&doubled), Err(AttributesError::NotAscending { tag: A }));
        let length = ATTRIBUTES_BYTES_MAX + 1;
        let long = vec![0; length];
        assert_eq!(AttributesRef::new(&long), Err(AttributesError::TooLong { bytes: length }));
    }

    /// The bounds hold, of one value and of all, and what does not fit changes nothing.
    #[test]
    fn bound() {
        let mut attributes = Attributes::new();
        let longest = usize::from(u16::MAX);
        assert!(!attributes.set(A, &vec![b'x'; longest + 1]));
        assert!(attributes.as_ref().is_empty());
        let count = ATTRIBUTES_BYTES_MAX / (longest + HEADER_BYTES);
        let tag = |number: usize| Tag::new(9, number as u16);
        for number in 0..count {
            assert!(attributes.set(tag(number), &vec![b'x'; longest]));
        }
        let room = ATTRIBUTES_BYTES_MAX - count * (longest + HEADER_BYTES) - HEADER_BYTES;
        assert!(!attributes.set(B, &vec![b'x'; room + 1]));
        assert_eq!(attributes.get(B), None);
        assert!(attributes.set(B, &vec![b'x'; room]));
        assert!(!attributes.set(A, b"1"));
        assert_eq!(attributes.get(A), None);
        assert!(attributes.set(B, b"y"));
        assert!(attributes.set(A, b"1"));
    }

    proptest! {
        /// Any order of settings gives what a map gives.
        #[test]
        fn like_a_map(steps in proptest::collection::vec((0u32..9, proptest::collection::vec(any::<u8>(), 0..6)), 0..40)) {
            let mut model = BTreeMap::new();
            let mut attributes = Attributes::new();
            for (tag, value) in steps {
                prop_assert!(attributes.set(Tag(tag), &value));
                if value.is_empty() { model.remove(&Tag(tag)); } else { model.insert(Tag(tag), value); }
                let held: Vec<_> = attributes.as_ref().iter().map(|(tag, value)| (tag, value.to_vec())).collect();
                prop_assert_eq!(held, model.clone().into_iter().collect::<Vec<_>>());
                prop_assert!(AttributesRef::new(attributes.as_ref().as_bytes()).is_ok());
            }
        }
    }
}
