//! What DCMTK calls the fault that ends a walk: found from where the walk stands.

use super::{Frame, Holds, Recoder};
use crate::dataset::breaks::Break;
use crate::dataset::element_header::{Encoding, Header, UNDEFINED};
use crate::dataset::oddities::Oddity;
use crate::dataset::rewrite::RewriteError;
use crate::dataset::scan::ScanError;
use crate::dictionary::elements::DictionaryVr;
use crate::tag;
use crate::vr::Vr;

impl Recoder {
    /// The fault at a header that could be read.
    pub(super) fn break_at(&self, header: &Header, error: &RewriteError) -> Option<Break> {
        let RewriteError::NotWhole(error) = error else { return None };
        let &Header { tag, vr, length, bytes, .. } = header;
        let Frame { holds, limit, is_undefined, tag: sequence, .. } = self.top;
        match (*error, holds) {
            // DCMTK minds the length of the item, not that of what is around it.
            (ScanError::LongerThanParent { offset, .. }, Holds::Elements) if !is_undefined => {
                let left = limit.checked_sub(offset + bytes as u64)?;
                Some(Break::LongerThanItem { tag, length, left })
            }
            (ScanError::ItemExpected { .. }, Holds::Fragments) if tag == tag::ITEM => {
                Some(Break::Endless(tag, vr))
            }
            (ScanError::ItemExpected { .. }, _) => Some(Break::NoItem { sequence, found: tag }),
            (ScanError::NothingToDelimit { .. }, Holds::Elements) => match tag {
                tag::SEQUENCE_DELIMITATION => Some(Break::NoElement(tag)),
                tag::ITEM if self.below.is_empty() => Some(Break::ItemOutside(tag)),
                _ => None,
            },
            (ScanError::UndefinedLength { vr: known, .. }, _) if vr == Vr::NONE => {
                let is_bytes = matches!(self.known(tag), Some(DictionaryVr::Is(Vr::OB | Vr::OW)));
                Some(if is_bytes { Break::EndlessBytes(tag) } else { Break::Endless(tag, known) })
            }
            (ScanError::UndefinedLength { .. }, _) => Some(Break::Endless(tag, vr)),
            (ScanError::ForbiddenGroup { .. }, _) if tag.group() == 2 => {
                Some(Break::Misplaced(tag))
            }
            _ => None,
        }
    }

    /// DCMTK warns of what it takes for an item's length before it sees that there is no item.
    pub(super) fn note_break(&mut self, header: &Header, found: Break) {
        let is_odd = match found {
            Break::NoItem { .. } => seems_odd(header, self.top.from),
            Break::Endless(tag, vr) => {
                let number_bytes = vr.number_bytes();
                if tag != tag::ITEM
                    && header.vr == vr
                    && number_bytes > 1
                    && UNDEFINED as usize % number_bytes != 0
                {
                    self.note(Oddity::CutNumber(tag, vr));
                }
                false
            }
            Break::Misplaced(tag) => {
                if self.top.last_tag > Some(tag) {
                    self.note(Oddity::NotAscending(tag));
                }
                false
            }
            _ => false,
        };
        if is_odd {
            self.note(Oddity::OddItem(self.top.tag));
        }
        self.broken = Some(found);
    }

    /// The fault of a header that could not be read.
    pub(super) fn break_at_header(&self, error: &ScanError) -> Option<Break> {
        let ScanError::BadVr { tag, vr, .. } = *error else { return None };
        Some(match self.top.holds {
            Holds::Elements => Break::NoVr(tag, vr),
            Holds::Items | Holds::Fragments => Break::NoItem { sequence: self.top.tag, found: tag },
        })
    }

    /// What is wrong if the data set ends here. DCMTK takes no offence at part of a header, nor at a
    /// sequence of which there is nothing but the header (DIFFERENCES.md A4).
    pub(in crate::dataset::rewrite) fn break_at_end(&self) -> Option<Break> {
        let value = &self.value;
        if value.left > 0 {
            let left = u64::from(value.length) - value.left;
            return Some(Break::Cut { tag: value.tag, length: value.length, left });
        }
        let Frame { holds, source_start, tag, limit, is_undefined, .. } = self.top;
        let is_ended = self.offset == limit && !is_undefined;
        let is_bare = holds != Holds::Elements && self.offset == source_start;
        if self.below.is_empty() || is_ended || is_bare || self.headers.is_inside() {
            return None;
        }
        Some(Break::NotClosed(tag))
    }
}

/// The four bytes behind the tag, read as a length, are odd.
fn seems_odd(header: &Header, from: Encoding) -> bool {
    let &Header { tag, vr, length, bytes, .. } = header;
    if !from.is_explicit || tag.group() == 0xFFFE {
        return length % 2 == 1 && length != UNDEFINED;
    }
    // The VR, then a length of two bytes or two reserved ones (PS3.5 §7.1.2).
    if from.is_big_endian { bytes == 8 && length % 2 == 1 } else { vr.0[0] % 2 == 1 }
}
