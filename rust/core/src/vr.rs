//! Value representations and the shape of their explicit headers.
//!
//! Source: PS3.5 §6.2 (the VRs) and §7.1.2 (two reserved bytes and a 4-byte length for some). A VR
//! is kept as its two letters, so that an unknown one is carried, not lost. Called by `dataset`; what
//! padding is, by everybody who compares or stores values.

use core::fmt;

/// A value representation as two bytes; `Vr::NONE` where the encoding is implicit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vr(pub [u8; 2]);

impl Vr {
    /// No VR on the wire (Implicit VR, items, delimiters).
    pub const NONE: Self = Self([0, 0]);
    /// Sequence of items.
    pub const SQ: Self = Self(*b"SQ");
    /// Unknown.
    pub const UN: Self = Self(*b"UN");
    /// Other byte.
    pub const OB: Self = Self(*b"OB");
    /// Other word.
    pub const OW: Self = Self(*b"OW");
    /// Unique identifier.
    pub const UI: Self = Self(*b"UI");

    /// True for the VRs whose explicit header has two reserved bytes and a 4-byte length
    /// (PS3.5 Table 7.1-1).
    pub const fn has_long_length(self) -> bool {
        matches!(
            &self.0,
            b"OB"
                | b"OD"
                | b"OF"
                | b"OL"
                | b"OV"
                | b"OW"
                | b"SQ"
                | b"SV"
                | b"UC"
                | b"UN"
                | b"UR"
                | b"UT"
                | b"UV"
        )
    }

    /// True for the VRs of PS3.5 Table 7.1-2, whose explicit header has a 2-byte length.
    pub const fn has_short_length(self) -> bool {
        let [first, second] = self.0;
        let column = SHORT.0[(first % 32) as usize];
        first.is_ascii_uppercase()
            && second.is_ascii_uppercase()
            && column >> (second % 32) & 1 == 1
    }

    /// Bytes of one number, which change places with the byte order (PS3.5 §7.3); 1 for what has none.
    pub const fn number_bytes(self) -> usize {
        match &self.0 {
            b"US" | b"SS" | b"OW" | b"AT" => 2,
            b"UL" | b"SL" | b"FL" | b"OF" | b"OL" => 4,
            b"FD" | b"OD" | b"SV" | b"UV" | b"OV" => 8,
            _ => 1,
        }
    }

    /// True for the VRs whose values are text.
    pub const fn is_text(self) -> bool {
        matches!(
            &self.0,
            b"AE"
                | b"AS"
                | b"CS"
                | b"DA"
                | b"DS"
                | b"DT"
                | b"IS"
                | b"LO"
                | b"LT"
                | b"PN"
                | b"SH"
                | b"ST"
                | b"TM"
                | b"UC"
                | b"UI"
                | b"UR"
                | b"UT"
        )
    }

    /// True when both bytes are capital letters, as every VR of the standard.
    pub const fn is_letters(self) -> bool {
        self.0[0].is_ascii_uppercase() && self.0[1].is_ascii_uppercase()
    }

    /// True for the VRs of PS3.5 Table 6.2-1.
    pub const fn is_known(self) -> bool {
        matches!(
            &self.0,
            b"AE"
                | b"AS"
                | b"AT"
                | b"CS"
                | b"DA"
                | b"DS"
                | b"DT"
                | b"FL"
                | b"FD"
                | b"IS"
                | b"LO"
                | b"LT"
                | b"OB"
                | b"OD"
                | b"OF"
                | b"OL"
                | b"OV"
                | b"OW"
                | b"PN"
                | b"SH"
                | b"SL"
                | b"SQ"
                | b"SS"
                | b"ST"
                | b"SV"
                | b"TM"
                | b"UC"
                | b"UI"
                | b"UL"
                | b"UN"
                | b"UR"
                | b"US"
                | b"UT"
                | b"UV"
        )
    }
}

/// The VRs of a 2-byte length: for each first letter, a bit for each second one. Asked for every
/// element of every object, where comparing with twenty VRs one by one would show.
struct ShortVrs([u32; 32]);

static SHORT: ShortVrs = {
    let mut table = [0; 32];
    let mut first = b'A';
    while first <= b'Z' {
        let mut second = b'A';
        while second <= b'Z' {
            let vr = Vr([first, second]);
            if vr.is_known() && !vr.has_long_length() {
                table[(first % 32) as usize] |= 1 << (second % 32);
            }
            second += 1;
        }
        first += 1;
    }
    ShortVrs(table)
};

impl fmt::Display for Vr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Vr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Texts are padded with blanks, UIDs with NUL (PS3.5 §6.2). DCMTK trims these two from either, and
/// nothing else: a TAB or a line end is part of the value.
const fn is_padding(byte: u8) -> bool {
    byte == b' ' || byte == 0
}

/// `value` without padding at its end.
pub fn trimmed_end(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !is_padding(*byte)).map_or(0, |at| at + 1);
    value.get(..end).unwrap_or_default()
}

/// `value` without padding at its beginning.
pub fn trimmed_start(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|byte| !is_padding(*byte)).unwrap_or(value.len());
    value.get(start..).unwrap_or_default()
}

/// `value` without padding at both ends: blanks around a UID do not count either (DCMTK 3.6.7, `-up`).
/// What is stored, listed, counted and asked for is all trimmed by this, so that it meets.
pub fn trimmed(value: &[u8]) -> &[u8] {
    trimmed_end(trimmed_start(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_blanks_and_nuls() {
        for (value, left) in [
            (&b"1.2\0"[..], &b"1.2"[..]),
            (b" \x001.2 \0 ", b"1.2"),
            (b"1.2\n", b"1.2\n"),
            (b"\t1 \0 2\r ", b"\t1 \0 2\r"),
            (b"\0 \0", b""),
            (b"", b""),
        ] {
            assert_eq!(trimmed(value), left);
        }
    }

    /// The table says what the lists say, of any two bytes.
    #[test]
    fn short_lengths() {
        for bytes in 0..=u16::MAX {
            let vr = Vr(bytes.to_be_bytes());
            assert_eq!(vr.has_short_length(), vr.is_known() && !vr.has_long_length(), "{vr}");
        }
    }
}
