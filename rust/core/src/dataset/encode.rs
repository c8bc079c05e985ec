//! Small data sets as bytes: Explicit VR Little Endian elements, appended to a buffer.
//!
//! Source: PS3.5 §7.1.2 (Tables 7.1-1 and 7.1-2), §6.2 (padding). Values are whole and short; bulk
//! data never passes here. Called by `storage::file_meta`.

use crate::tag::Tag;
use crate::vr::Vr;

/// Appends an element with `value` padded to even length by `padding`.
///
/// `value` is under 64 KiB for VRs with a 2-byte length; longer values are cut there, which no
/// caller can reach.
pub fn element(out: &mut Vec<u8>, tag: Tag, vr: Vr, value: &[u8], padding: u8) {
    let is_long = vr.has_long_length();
    let value = if is_long { value } else { &value[..value.len().min(0xFFFE)] };
    let length = value.len() + value.len() % 2;
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
    out.extend_from_slice(&vr.0);
    if is_long {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(length as u32).to_le_bytes());
    } else {
        out.extend_from_slice(&(length as u16).to_le_bytes());
    }
    out.extend_from_slice(value);
    if length > value.len() {
        out.push(padding);
    }
}

/// Appends a UI element, padded with NUL (PS3.5 §9.1).
pub fn uid(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    element(out, tag, Vr::UI, value, 0);
}

/// Appends an element of text, padded with a blank.
pub fn text(out: &mut Vec<u8>, tag: Tag, vr: Vr, value: &[u8]) {
    element(out, tag, vr, value, b' ');
}

/// Appends a UL element.
pub fn unsigned_long(out: &mut Vec<u8>, tag: Tag, value: u32) {
    element(out, tag, Vr(*b"UL"), &value.to_le_bytes(), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag;

    /// PS3.5 Table 7.1-2 with the padding of §9.1, and Table 7.1-1.
    #[test]
    fn short_and_long_headers() {
        let mut out = Vec::new();
        uid(&mut out, tag::SOP_CLASS_UID, b"1.2");
        assert_eq!(out, b"\x08\x00\x16\x00UI\x04\x001.2\0");
        out.clear();
        element(&mut out, Tag::new(2, 1), Vr::OB, &[0, 1], 0);
        assert_eq!(out, b"\x02\x00\x01\x00OB\0\0\x02\0\0\0\x00\x01");
        out.clear();
        text(&mut out, Tag::new(2, 0x16), Vr(*b"AE"), b"ODD");
        assert_eq!(out, b"\x02\x00\x16\x00AE\x04\x00ODD ");
    }
}
