//! Padding of text values.
//!
//! Source: PS3.5 §6.2 (a blank makes length even, NUL in UIDs); what DCMTK's input data correction
//! takes away: DCMTK 3.6.7, as run. Called by `rewrite::value`.

use super::options::TextPadding;
use crate::vr::Vr;

/// What makes the length of a value even.
pub(super) const fn pad_of(vr: Vr) -> u8 {
    if vr.is_text() && !matches!(vr, Vr::UI) { b' ' } else { 0 }
}

/// The value that is written for `value`; `scratch` may hold it.
pub(super) fn padded<'v>(
    vr: Vr,
    value: &'v [u8],
    padding: TextPadding,
    scratch: &'v mut Vec<u8>,
) -> &'v [u8] {
    let pad = pad_of(vr);
    let is_odd = value.len() % 2 == 1;
    match padding {
        TextPadding::Kept => value,
        TextPadding::Even if !is_odd => value,
        TextPadding::Even => with_pad(value, pad, scratch),
        TextPadding::Minimal if vr == Vr::UI && value.iter().any(|byte| is_space(*byte)) => {
            scratch.clear();
            scratch.extend(value.iter().filter(|byte| !is_space(**byte)));
            scratch.truncate(significant_bytes(scratch, pad));
            if scratch.len() % 2 == 1 {
                scratch.push(pad);
            }
            scratch
        }
        // DCMTK makes the length even by NUL before it looks for blanks.
        TextPadding::Minimal if is_odd && pad != 0 => with_pad(value, 0, scratch),
        TextPadding::Minimal => {
            let significant = significant_bytes(value, pad);
            match (significant % 2, value.get(..=significant)) {
                (0, _) => &value[..significant],
                // What follows is padding already.
                (_, Some(padded)) => padded,
                (_, None) => with_pad(value, pad, scratch),
            }
        }
    }
}

/// True for a value of even length that [`padded`] leaves as it is under [`TextPadding::Minimal`].
#[inline]
pub(super) fn is_minimal_already(vr: Vr, value: &[u8]) -> bool {
    if !vr.is_text() {
        return true;
    }
    let pad = pad_of(vr);
    let is_short = !matches!(value, [.., before, last] if *before == pad && *last == pad);
    // All of them, so that the compiler makes vectors.
    is_short && (vr != Vr::UI || !value.iter().fold(false, |any, byte| any | is_space(*byte)))
}

/// Length of `value` without its padding.
pub(super) fn significant_bytes(value: &[u8], pad: u8) -> usize {
    value.iter().rposition(|byte| *byte != pad).map_or(0, |at| at + 1)
}

fn with_pad<'v>(value: &[u8], pad: u8, scratch: &'v mut Vec<u8>) -> &'v [u8] {
    scratch.clear();
    scratch.extend_from_slice(value);
    scratch.push(pad);
    scratch
}

/// As C's `isspace` has it.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vr: [u8; 2], value: &[u8], padding: TextPadding) -> Vec<u8> {
        padded(Vr(vr), value, padding, &mut Vec::new()).to_vec()
    }

    /// DCMTK 3.6.7 with input data correction.
    #[test]
    fn minimal_padding() {
        for (vr, value, expected) in [
            (*b"PN", &b"Doe^Jane  "[..], &b"Doe^Jane"[..]),
            (*b"PN", b"Doe^Joe ", b"Doe^Joe "),
            (*b"PN", b"Doe^Joe   ", b"Doe^Joe "),
            (*b"DS", b"40\\50   ", b"40\\50 "),
            (*b"LO", b"    ", b""),
            (*b"LO", b"", b""),
            (*b"LO", b"  A\0", b"  A\0"),
            (*b"LO", b"ABC", b"ABC\0"),
            (*b"UI", b"1.2.3\0\0\0", b"1.2.3\0"),
            (*b"UI", b" 1.2. 3 ", b"1.2.3\0"),
            (*b"UI", b"1.2.3 ", b"1.2.3\0"),
            (*b"UI", b"1.2", b"1.2\0"),
        ] {
            let found = of(vr, value, TextPadding::Minimal);
            assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
    }

    /// The short question has the long answer.
    #[test]
    fn what_is_minimal_already() {
        let letters = [b'A', b' ', 0, b'\t'];
        for vr in [*b"LO", *b"UI", *b"DS", *b"US"].map(Vr) {
            for number in 0..4_usize.pow(4) {
                let all: Vec<u8> = (0..4).map(|at| letters[number / 4_usize.pow(at) % 4]).collect();
                for value in [&all[..], &all[..2], &[]] {
                    let is_same = !vr.is_text()
                        || padded(vr, value, TextPadding::Minimal, &mut Vec::new()) == value;
                    assert_eq!(is_minimal_already(vr, value), is_same, "{vr} {value:?}");
                }
            }
        }
    }

    /// Without it.
    #[test]
    fn even_length() {
        for (vr, value, expected) in [
            (*b"PN", &b"Doe^Jane  "[..], &b"Doe^Jane  "[..]),
            (*b"LO", b"ABC", b"ABC "),
            (*b"UI", b"1.2", b"1.2\0"),
            (*b"UI", b"1. 2", b"1. 2"),
        ] {
            assert_eq!(of(vr, value, TextPadding::Even), expected);
            assert_eq!(of(vr, value, TextPadding::Kept), value);
        }
    }
}
