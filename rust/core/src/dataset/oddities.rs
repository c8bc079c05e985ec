//! What is odd about a data set and let pass all the same, in the words of DCMTK 3.6.7, as run.
//!
//! DCMTK warns at the default level about each such element that it parses, at every depth. Here as many
//! are told as `limits.rs` allows, the rest is counted: a peer decides how much is odd. Collected by
//! `rewrite::recode` in its first pass.

use core::fmt;

use crate::dictionary::keyword_of;
use crate::limits::{ODDITIES_TOLD_MAX, REMEMBERED_TAGS_MAX};
use crate::log::{Level, Logger};
use crate::tag::Tag;
use crate::vr::Vr;

/// The logger of DCMTK that tells them.
const LOGGER: &str = "dcmtk.dcmdata";

/// One odd element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Its item has an element with a higher tag before it (PS3.5 §7.1).
    NotAscending(Tag),
    /// Its item has an element with this tag already, which counts.
    Repeated(Tag),
    /// Its value is no whole number of numbers.
    CutNumber(Tag, Vr),
    /// Its length is odd (PS3.5 §7.1.1).
    OddLength(Tag),
    /// An item or fragment of this element has an odd length.
    OddItem(Tag),
    /// Its VR is none of PS3.5 §6.2.
    UnknownVr(Tag, Vr),
    /// The VR of Pixel Data is OX, which stands for OW.
    WrongVr(Tag, Vr),
    /// UN of undefined length, which is a sequence in Implicit VR (PS3.5 §6.2.2).
    UnknownSequence(Tag),
    /// A group length in another VR than UL.
    GroupLengthVr,
    /// A compressed transfer syntax over a data set without pixels, which is taken for what it is.
    NothingToDecompress,
}

impl fmt::Display for Oddity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |tag| keyword_of(tag).unwrap_or("Unknown Tag & Data");
        match *self {
            Self::NotAscending(tag) => {
                write!(formatter, "DcmItem: Dataset not in ascending tag order, at element {tag}")
            }
            Self::Repeated(tag) => write!(
                formatter,
                "DcmItem: Element {tag} found twice in one data set or item, ignoring second entry"
            ),
            Self::CutNumber(tag, vr) => write!(
                formatter,
                "DcmItem: Length of element {tag} is not a multiple of {} (VR={vr})",
                vr.number_bytes()
            ),
            Self::OddLength(tag) => write!(formatter, "DcmItem: Length of element {tag} is odd"),
            Self::OddItem(tag) => write!(
                formatter,
                "DcmSequenceOfItems: Length of item in sequence {} {tag} is odd",
                name(tag)
            ),
            Self::UnknownVr(tag, vr) => {
                let [first, second] = vr.0;
                write!(
                    formatter,
                    "DcmItem: Non-standard VR '{vr}' ({first:x}\\{second:x}) encountered while \
                     parsing element {tag}, assuming 4 byte length field"
                )
            }
            Self::WrongVr(tag, vr) => write!(
                formatter,
                "DcmItem: Non-standard VR '{vr}' is known to be wrongly used for {} {tag}, setting VR \
                 to 'OW'",
                name(tag)
            ),
            Self::UnknownSequence(tag) => write!(
                formatter,
                "Found element {tag} with VR UN and undefined length, reading a sequence with \
                 transfer syntax LittleEndianImplicit (CP-246)"
            ),
            Self::NothingToDecompress => {
                formatter.write_str("DcmDataset: No pixel data present, nothing to decompress")
            }
            Self::GroupLengthVr => {
                formatter.write_str("DcmItem: Group Length with VR other than UL found, corrected")
            }
        }
    }
}

/// All that was odd about a data set, in the order of its elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    told: Vec<Oddity>,
    more: u64,
}

impl Oddities {
    /// Takes note of one.
    pub(crate) fn add(&mut self, oddity: Oddity) {
        if self.told.len() < ODDITIES_TOLD_MAX {
            self.told.push(oddity);
        } else {
            self.more += 1;
        }
    }

    /// A line for each, and one of ours for those beyond the bound.
    pub fn tell(&self, logger: &Logger) {
        for oddity in &self.told {
            logger.line(Level::Warn, LOGGER, format_args!("{oddity}"));
        }
        if self.more > 0 {
            let more = self.more;
            logger.line(
                Level::Warn,
                "dcmfast.storage",
                format_args!("{more} more elements of the data set are odd"),
            );
        }
    }

    /// The lines, for one who has a log of his own.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.told.iter().map(Oddity::to_string)
    }

    /// True when the next one is only counted.
    pub(super) fn is_full(&self) -> bool {
        self.told.len() == ODDITIES_TOLD_MAX
    }

    /// True when nothing is odd.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

/// The tags of the items that are open, to know those that come again.
#[derive(Default)]
pub(super) struct SeenTags(Vec<Tag>);

impl SeenTags {
    /// Where the tags of an item begin that opens now.
    pub fn mark(&self) -> usize {
        self.0.len()
    }

    /// The item whose tags begin at `mark` has ended.
    pub fn forget(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    /// An element whose tag is not there yet.
    pub fn add(&mut self, tag: Tag) {
        if self.0.len() < REMEMBERED_TAGS_MAX {
            self.0.push(tag);
        }
    }

    /// True when the item whose tags begin at `mark` has `tag`, as far as is remembered.
    pub fn has(&self, mark: usize, tag: Tag) -> bool {
        self.0.get(mark..).is_some_and(|seen| seen.contains(&tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// limits::ODDITIES_TOLD_MAX and limits::REMEMBERED_TAGS_MAX, at their edges.
    #[test]
    fn edges_of_what_is_told_and_remembered() {
        let mut oddities = Oddities::default();
        for told in 1..=ODDITIES_TOLD_MAX + 1 {
            oddities.add(Oddity::OddLength(Tag(told as u32)));
            assert_eq!(oddities.is_full(), told >= ODDITIES_TOLD_MAX);
        }
        assert_eq!(oddities.lines().count(), ODDITIES_TOLD_MAX);
        assert_eq!(oddities.more, 1);
        let mut seen = SeenTags::default();
        for tag in 1..=REMEMBERED_TAGS_MAX as u32 + 1 {
            seen.add(Tag(tag));
        }
        assert!(seen.has(0, Tag(1)) && seen.has(0, Tag(REMEMBERED_TAGS_MAX as u32)));
        assert!(!seen.has(1, Tag(1)) && !seen.has(0, Tag(REMEMBERED_TAGS_MAX as u32 + 1)));
        seen.forget(1);
        assert_eq!(seen.mark(), 1);
    }
}
