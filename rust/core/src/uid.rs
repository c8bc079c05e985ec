//! Unique identifiers: a validated value without heap, and the bounded raw text it is made from.
//!
//! Source: PS3.5 §9.1 (at most 64 characters, digits and `.`) and §6.2 (trailing NUL padding).
//! [`UidText`] is what a peer sent, cut to nothing and judged not at all; [`Uid`] exists only if
//! the text is made of digits and dots. Leading zeros of a component are let pass: they are common
//! in the field and harmless as names. Called by everything that handles a UID.

use core::fmt;

/// Longest UID in bytes, PS3.5 §9.1.
pub const UID_BYTES_MAX: usize = 64;

/// Who we are on the wire and in files (PS3.7 §D.3.3.2, PS3.10 §7.1): a UID under 2.25, from a UUID
/// made once (PS3.5 §B.2).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.210288100622683780440216471683833330503";
/// Implementation Version Name on the wire and in files; at most 16 characters (VR SH).
pub const IMPLEMENTATION_VERSION_NAME: &str = concat!("DCMFAST_", env!("CARGO_PKG_VERSION"));
/// Implementation Version Name in files of bit-preserving mode, as DCMTK marks them.
pub const IMPLEMENTATION_VERSION_NAME_BIT_PRESERVING: &str =
    concat!("DCMFBP_", env!("CARGO_PKG_VERSION"));
const _: () = assert!(IMPLEMENTATION_VERSION_NAME.len() <= 16);

/// A UID as received: at most 64 bytes of any kind, trailing NULs and blanks removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UidText {
    bytes: [u8; UID_BYTES_MAX],
    length: u8,
}

impl UidText {
    /// The text of `raw` without trailing padding (NUL, blank); `None` when over 64 bytes are left.
    pub fn new(raw: &[u8]) -> Option<Self> {
        let length = raw.iter().rposition(|&byte| byte != 0 && byte != b' ').map_or(0, |at| at + 1);
        if length > UID_BYTES_MAX {
            return None;
        }
        let mut bytes = [0; UID_BYTES_MAX];
        bytes[..length].copy_from_slice(&raw[..length]);
        Some(Self { bytes, length: length as u8 })
    }

    /// The bytes, without padding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// True when nothing but padding was sent.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The UID, if the text is one.
    pub fn to_uid(self) -> Option<Uid> {
        let bytes = self.as_bytes();
        let legal = !bytes.is_empty()
            && bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
            && bytes.iter().any(u8::is_ascii_digit);
        legal.then_some(Uid(self))
    }
}

impl fmt::Debug for UidText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.as_bytes().escape_ascii())
    }
}

/// A UID made of digits and dots, 1 to 64 of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(UidText);

impl Uid {
    /// The UID that `raw` spells, trailing padding aside.
    pub fn new(raw: &[u8]) -> Option<Self> {
        UidText::new(raw)?.to_uid()
    }

    /// A UID known when the program is written.
    ///
    /// # Panics
    ///
    /// When `text` is no UID; used with literals only, so a test meets it first.
    pub fn known(text: &str) -> Self {
        Self::new(text.as_bytes()).expect("a literal UID")
    }

    /// The text; always ASCII digits and dots.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }

    /// The bytes, without padding.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The same text as a raw value.
    pub fn text(self) -> UidText {
        self.0
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.5 §9.1: 64 bytes are legal, 65 are not.
    #[test]
    fn length_bound() {
        assert!(Uid::new(&[b'1'; 64]).is_some());
        assert!(Uid::new(&[b'1'; 65]).is_none());
    }

    /// PS3.5 §6.2: a UI value is padded with one trailing NUL; blanks are seen in the field.
    #[test]
    fn padding_is_removed() {
        assert_eq!(Uid::new(b"1.2\0"), Uid::new(b"1.2"));
        assert_eq!(Uid::new(b"1.2 "), Uid::new(b"1.2"));
    }

    /// Hostile text stays text: it never becomes a `Uid`.
    #[test]
    fn foreign_characters() {
        for hostile in [&b"../../etc"[..], b"1.2/3", b"1\0.2", b"", b".", b"1.2\n"] {
            assert_eq!(Uid::new(hostile), None, "{}", hostile.escape_ascii());
        }
    }
}
