//! Values of a few elements at the top of a data set, replaced by others.
//!
//! Source: PS3.5 §7.1, §7.5. Only what is there is replaced, and its group lengths are then wrong: the
//! caller drops them. What stands before the last of the elements is held, up to a bound; what comes
//! behind it is never looked at. Called by `sending`.

use super::element_header::{Encoding, HeaderReader, UNDEFINED};
use super::scan::ScanError;
use super::transfer_syntax::TransferSyntax;
use crate::limits::SEQUENCE_DEPTH_MAX;
use crate::tag::{ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, Tag};
use crate::vr::Vr;

/// An element and its new value, of even length.
pub type Substitution = (Tag, Vec<u8>);

/// What became of a head.
#[derive(Debug, PartialEq, Eq)]
pub struct Substituted {
    /// The head with new values.
    pub head: Vec<u8>,
    /// How much of the head they replace; what follows stays.
    pub consumed: usize,
    /// The elements that were there.
    pub found: Vec<Tag>,
}

/// Replaces values in the first bytes of a data set in `syntax`, which is not deflated. `None` when
/// more bytes are needed; `is_all` says that there are none.
///
/// # Errors
///
/// What cannot be read as elements, or ends too early.
pub fn substitute(
    head: &[u8],
    syntax: TransferSyntax,
    substitutions: &[Substitution],
    is_all: bool,
) -> Result<Option<Substituted>, ScanError> {
    let encoding = Encoding::of(syntax);
    let last = substitutions.iter().map(|(tag, _)| *tag).max();
    let mut done = Substituted { head: Vec::new(), consumed: 0, found: Vec::new() };
    let mut rest = head;
    loop {
        let offset = head.len() - rest.len();
        let cut = || {
            let error = ScanError::EndsInsideElement { offset: offset as u64, missing_bytes: 1 };
            if is_all { Err(error) } else { Ok(None) }
        };
        if rest.is_empty() {
            done.consumed = offset;
            return if is_all { Ok(Some(done)) } else { Ok(None) };
        }
        let mut after = rest;
        let Some(header) = HeaderReader::new().take(&mut after, encoding, offset as u64)? else {
            return cut();
        };
        if Some(header.tag) > last {
            done.consumed = offset;
            return Ok(Some(done));
        }
        let value_at = head.len() - after.len();
        let Some(length) = length_of(after, header.length, header.vr, encoding)? else {
            return cut();
        };
        let Some((_, next)) = after.split_at_checked(length) else { return cut() };
        let end = value_at + length;
        match substitutions.iter().find(|(tag, _)| *tag == header.tag) {
            Some((tag, value)) => {
                encoding.put_header(&mut done.head, *tag, header.vr, value.len() as u32);
                done.head.extend_from_slice(value);
                done.found.push(*tag);
            }
            None => done.head.extend_from_slice(&head[offset..end]),
        }
        rest = next;
    }
}

/// Bytes of a value; of one of undefined length up to and with its delimiter, `None` while that is
/// still to come.
fn length_of(
    value: &[u8],
    length: u32,
    vr: Vr,
    encoding: Encoding,
) -> Result<Option<usize>, ScanError> {
    if length != UNDEFINED {
        return Ok(Some(length as usize));
    }
    // PS3.5 §6.2.2: in a UN of undefined length everything is implicit.
    let encoding = if vr == Vr::UN { Encoding::UNKNOWN_SEQUENCE } else { encoding };
    let (mut rest, mut depth) = (value, 1_usize);
    while depth > 0 {
        let offset = (value.len() - rest.len()) as u64;
        // Never a data set's first element.
        let Some(header) = HeaderReader::new().take(&mut rest, encoding, offset + 1)? else {
            return Ok(None);
        };
        if header.tag == ITEM_DELIMITATION || header.tag == SEQUENCE_DELIMITATION {
            depth -= 1;
        } else if header.length == UNDEFINED {
            depth += 1;
            if depth > 2 * SEQUENCE_DEPTH_MAX {
                return Err(ScanError::TooDeep { tag: header.tag, offset });
            }
        } else if header.tag != ITEM || header.length > 0 {
            let Some((_, after)) = rest.split_at_checked(header.length as usize) else {
                return Ok(None);
            };
            rest = after;
        }
    }
    Ok(Some(value.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::transfer_syntax::{
        EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
    };
    use crate::tag::{PATIENT_NAME, SOP_INSTANCE_UID, STUDY_INSTANCE_UID};
    use crate::uid::Uid;

    /// A data set with a nested sequence that holds the same element, in `encoding`.
    fn data_set(encoding: Encoding) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |tag, vr: &[u8; 2], value: &[u8]| {
            encoding.put_header(&mut bytes, tag, Vr(*vr), value.len() as u32);
            bytes.extend_from_slice(value);
        };
        put(SOP_INSTANCE_UID, b"UI", b"1.2.3\0");
        let mut nested = Vec::new();
        encoding.put_header(&mut nested, Tag::new(8, 0x1140), Vr::SQ, UNDEFINED);
        encoding.put_item(&mut nested, ITEM, UNDEFINED);
        encoding.put_header(&mut nested, PATIENT_NAME, Vr(*b"PN"), 2);
        nested.extend(b"in");
        encoding.put_item(&mut nested, ITEM_DELIMITATION, 0);
        encoding.put_item(&mut nested, ITEM, 0);
        encoding.put_item(&mut nested, SEQUENCE_DELIMITATION, 0);
        bytes.extend(nested);
        let mut put = |tag, vr: &[u8; 2], value: &[u8]| {
            encoding.put_header(&mut bytes, tag, Vr(*vr), value.len() as u32);
            bytes.extend_from_slice(value);
        };
        put(PATIENT_NAME, b"PN", b"A^B ");
        put(Tag::new(0x28, 0x10), b"US", &[1, 0]);
        bytes
    }

    /// In every encoding, with more bytes at each call: what is there is replaced, at the top only.
    #[test]
    fn what_is_there() {
        let substitutions = [
            (SOP_INSTANCE_UID, b"2.25.1\0\0".to_vec()),
            (PATIENT_NAME, b"X^YZ^Q".to_vec()),
            (STUDY_INSTANCE_UID, b"2.25.2".to_vec()),
        ];
        for uid in [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN] {
            let syntax = TransferSyntax::of(&Uid::known(uid));
            let whole = data_set(Encoding::of(syntax));
            let mut answer = None;
            for length in 0..=whole.len() {
                let is_all = length == whole.len();
                let made = substitute(&whole[..length], syntax, &substitutions, is_all).unwrap();
                if let Some(made) = made {
                    answer = Some(made);
                    break;
                }
            }
            let made = answer.unwrap();
            assert_eq!(made.found, [SOP_INSTANCE_UID, PATIENT_NAME]);
            let text = made.head;
            let has = |part: &[u8]| text.windows(part.len()).any(|one| one == part);
            assert!(has(b"2.25.1\0\0") && has(b"X^YZ^Q") && has(b"in") && !has(b"A^B "));
            assert!(made.consumed < whole.len());
        }
    }

    /// A data set that ends inside an element is an error only when nothing more comes.
    #[test]
    fn a_cut_one() {
        let syntax = TransferSyntax::of(&Uid::known(EXPLICIT_VR_LITTLE_ENDIAN));
        let whole = data_set(Encoding::of(syntax));
        let wanted = [(PATIENT_NAME, b"X ".to_vec())];
        assert!(substitute(&whole[..20], syntax, &wanted, true).is_err());
        assert_eq!(substitute(&whole[..20], syntax, &wanted, false), Ok(None));
    }
}
