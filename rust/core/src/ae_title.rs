//! Application Entity titles: 16 bytes as they travel, trimmed for use.
//!
//! Source: PS3.5 §6.2 (VR AE: at most 16 characters, leading and trailing blanks not significant)
//! and PS3.8 §9.3.2 (fixed fields of 16 bytes). Trailing blanks are trimmed as DCMTK does
//! (DIFFERENCES.md D3), leading blanks too; case counts. A title is text of a peer: it is printed
//! through `log::escaped` only, and never enters a path. Called by `ul`, `acse`, `server` and
//! `client`.

use core::fmt;

/// Bytes of the field, PS3.8 §9.3.2.
pub const AE_TITLE_BYTES: usize = 16;

/// An AE title as received or as configured, without padding; may be empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AeTitle {
    bytes: [u8; AE_TITLE_BYTES],
    length: u8,
}

impl AeTitle {
    /// The title in `raw`; blanks and NULs at both ends are dropped, and all beyond 16 bytes is
    /// cut.
    pub fn new(raw: &[u8]) -> Self {
        let is_padding = |byte: &u8| *byte == b' ' || *byte == 0;
        let start = raw.iter().position(|byte| !is_padding(byte)).unwrap_or(raw.len());
        let end = raw.iter().rposition(|byte| !is_padding(byte)).map_or(start, |at| at + 1);
        let text = &raw[start..end.min(start + AE_TITLE_BYTES)];
        let mut bytes = [b' '; AE_TITLE_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Self { bytes, length: text.len() as u8 }
    }

    /// The title without padding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The title padded with blanks to 16 bytes, as a PDU carries it.
    pub fn padded(&self) -> [u8; AE_TITLE_BYTES] {
        self.bytes
    }

    /// True when nothing but padding was given.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Debug for AeTitle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.5 §6.2: padding is not significant; an all-blank title is empty, not an underflow.
    #[test]
    fn padding() {
        assert_eq!(AeTitle::new(b"STORESCP        ").as_bytes(), b"STORESCP");
        assert!(AeTitle::new(&[b' '; 16]).is_empty());
        assert_eq!(AeTitle::new(b"A").padded(), *b"A               ");
        assert_eq!(AeTitle::new(&[b'X'; 40]).as_bytes(), [b'X'; 16]);
    }
}
