//! An A-ASSOCIATE-RQ or -AC byte by byte, as DCMTK 3.6.7 shows it at `-d`.
//!
//! Sixteen bytes a line, 512 at most; a line that is full ends, so that an empty one follows where
//! the bytes come out even. What a user identity says (PS3.7 §D.3.3.7) is shown as `**`: a password
//! is in no log at any level (PROMISES.md §5.4). Items are found as PS3.8 §9.3.2 lays them out; where they
//! do not add up, nothing behind that place is shown. Used by `server` and by requestors.

use std::fmt::Write;
use std::ops::Range;

use super::items::{USER_IDENTITY_AC, USER_IDENTITY_RQ, USER_INFORMATION};

/// Bytes that are shown.
const SHOWN_BYTES_MAX: usize = 512;
/// Bytes of a line.
const LINE_BYTES: usize = 16;
/// Type, reserved byte and length of a PDU.
const PDU_HEADER_BYTES: usize = 6;
/// Version, titles and reserved bytes: where the items of both PDUs begin.
const FIXED_BYTES: usize = 68;

/// The dump of `pdu`, which DCMTK calls `kind`.
pub fn dump(kind: &str, pdu: &[u8]) -> String {
    let body_bytes = pdu.len().saturating_sub(PDU_HEADER_BYTES);
    let shown = &pdu[..pdu.len().min(SHOWN_BYTES_MAX)];
    let mut text = format!(
        "PDU Type: {kind}, PDU Length: {body_bytes} + {PDU_HEADER_BYTES} bytes PDU header\n"
    );
    if shown.len() < pdu.len() {
        let _ = writeln!(text, "Only dumping {SHOWN_BYTES_MAX} bytes.");
    }
    let secrets = secrets(pdu);
    for (at, byte) in shown.iter().enumerate() {
        if secrets.iter().any(|secret| secret.contains(&at)) {
            text.push_str("  **");
        } else {
            let _ = write!(text, "  {byte:02x}");
        }
        if (at + 1) % LINE_BYTES == 0 {
            text.push('\n');
        }
    }
    text
}

/// What is not shown of `pdu`.
fn secrets(pdu: &[u8]) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut at = PDU_HEADER_BYTES + FIXED_BYTES;
    while at < pdu.len() {
        let Some((kind, value)) = item(pdu, at, pdu.len()) else {
            secrets.push(at..pdu.len());
            break;
        };
        at = value.end;
        if kind != USER_INFORMATION {
            continue;
        }
        let mut inner = value.start;
        while inner < value.end {
            let Some((kind, value)) = item(pdu, inner, value.end) else {
                secrets.push(inner..pdu.len());
                return secrets;
            };
            inner = value.end;
            // The two bytes of a request that say which kind of identity it is, and whether an
            // answer is asked for, tell nobody anything.
            match kind {
                USER_IDENTITY_RQ => secrets.push((value.start + 2)..value.end),
                USER_IDENTITY_AC => secrets.push(value),
                _ => {}
            }
        }
    }
    secrets
}

/// Type and value of the item at `at`, if it ends before `end`.
fn item(pdu: &[u8], at: usize, end: usize) -> Option<(u8, Range<usize>)> {
    let &[kind, _, high, low] = pdu.get(at..at + 4)?.first_chunk()?;
    let value = at + 4..at + 4 + usize::from(u16::from_be_bytes([high, low]));
    (value.end <= end).then_some((kind, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_item(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
        let mut inner = vec![0x51, 0, 0, 4, 0, 0, 0x40, 0, kind, 0];
        inner.extend(length(value));
        inner.extend(value);
        let mut pdu = vec![0; PDU_HEADER_BYTES + FIXED_BYTES];
        pdu.extend([USER_INFORMATION, 0]);
        pdu.extend(length(&inner));
        pdu.extend(inner);
        pdu
    }

    /// Every line as DCMTK 3.6.7's.
    #[test]
    fn lines_of_sixteen_bytes() {
        assert_eq!(
            dump("Associate Request", &[1, 0, 0, 0, 0, 2, 0xAB, 0xCD]),
            "PDU Type: Associate Request, PDU Length: 2 + 6 bytes PDU header\n  01  00  00  00  00  02  ab  cd"
        );
        let even = dump("Associate Accept", &[2; 32]);
        assert!(even.ends_with("  02\n") && even.lines().count() == 3, "{even}");
        let long = dump("Associate Accept", &[2; 513]);
        assert!(
            long.contains("PDU Length: 507 + 6 bytes PDU header\nOnly dumping 512 bytes.\n  02")
        );
        assert_eq!(long.lines().count(), 2 + 32);
    }

    /// PROMISES.md §5.4: no password, in no log.
    #[test]
    fn identities_are_not_shown() {
        let identity = [&[2, 1, 0, 4][..], b"user", &[0, 6], b"secret"].concat();
        for (kind, value) in
            [(USER_IDENTITY_RQ, &identity[..]), (USER_IDENTITY_AC, b"\0\x06secret")]
        {
            let pdu = with_item(kind, value);
            let text = dump("Associate Request", &pdu);
            assert!(text.contains("  **  **"), "{text}");
            // No byte of it, at whatever place of a line.
            let bytes: Vec<&str> = text.split_whitespace().collect();
            assert!(!bytes.windows(2).any(|pair| pair == ["65", "63"]), "{text}");
            assert!(text.contains(&format!("  {kind:02x}  00")), "{text}");
        }
        let shown = with_item(USER_IDENTITY_RQ + 2, b"secret");
        assert!(!dump("Associate Request", &shown).contains('*'));
    }

    #[test]
    fn nothing_is_shown_behind_items_that_do_not_add_up() {
        let whole = with_item(USER_IDENTITY_RQ, b"\x02\x00\0\x06secret\0\0");
        for end in 0..=whole.len() {
            let text = dump("Associate Request", &whole[..end]);
            let bytes: Vec<&str> = text.split_whitespace().collect();
            assert!(!bytes.windows(2).any(|pair| pair == ["73", "65"]), "{end}: {text}");
        }
        let mut longer = whole.clone();
        // The item claims more than there is.
        longer[PDU_HEADER_BYTES + FIXED_BYTES + 2] = 0xFF;
        assert!(dump("Associate Request", &longer).ends_with("  **"));
    }
}
