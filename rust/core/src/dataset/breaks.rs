//! What ends the reading of a data set, in the words of DCMTK 3.6.7, as run.
//!
//! The counterpart of `oddities`, which are let pass. DCMTK's parser tells the fault, and its network
//! layer why nothing more was read. Where DCMTK goes on from what we refuse (DIFFERENCES.md A4) there is
//! at most its warning. Found by `rewrite::recode` in its first pass.

use core::fmt;

use crate::dictionary::keyword_of;
use crate::log::Level;
use crate::tag::{self, Tag};
use crate::vr::Vr;

/// What broke a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The data set ends inside this value, of which `left` bytes came.
    Cut {
        /// The element.
        tag: Tag,
        /// Its length.
        length: u32,
        /// Bytes of it that came.
        left: u64,
    },
    /// An element is longer than the `left` bytes of its item.
    LongerThanItem {
        /// The element.
        tag: Tag,
        /// Its length.
        length: u32,
        /// Bytes up to the end of the item.
        left: u64,
    },
    /// The data set ends before this sequence does.
    NotClosed(Tag),
    /// Something other than an item stands in a sequence.
    NoItem {
        /// The sequence.
        sequence: Tag,
        /// What stands in it.
        found: Tag,
    },
    /// A sequence's delimiter stands among elements.
    NoElement(Tag),
    /// An item stands among elements.
    ItemOutside(Tag),
    /// A value, or a fragment, of undefined length that may have none.
    Endless(Tag, Vr),
    /// Bytes of undefined length that are no pixels, where the dictionary alone says their VR.
    EndlessBytes(Tag),
    /// Two bytes that are no VR. DCMTK goes on.
    NoVr(Tag, Vr),
    /// An element of the file meta information. DCMTK goes on.
    Misplaced(Tag),
}

impl Break {
    /// The level of DCMTK's line.
    pub const fn level(&self) -> Level {
        match self {
            Self::Cut { .. } | Self::NoItem { .. } | Self::NoElement(_) | Self::EndlessBytes(_) => {
                Level::Error
            }
            Self::Endless(_, vr) if !vr.is_text() => Level::Error,
            _ => Level::Warn,
        }
    }

    /// Why nothing more was read; `None` where DCMTK goes on.
    pub const fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::Cut { .. } => "Invalid stream",
            Self::LongerThanItem { .. } => {
                "Length of element larger than explicit length of surrounding item"
            }
            Self::NotClosed(_) | Self::NoItem { .. } => "Sequence Delimitation Item missing",
            Self::NoElement(_) => "Item Delimitation Item missing",
            Self::ItemOutside(_) => "Invalid tag",
            Self::Endless(..) => "Corrupted data",
            Self::EndlessBytes(_) => ENDLESS_BYTES,
            Self::NoVr(..) | Self::Misplaced(_) => return None,
        })
    }
}

/// DCMTK's words for [`Break::EndlessBytes`].
const ENDLESS_BYTES: &str =
    "Illegal element with OB or OW Value Representation and undefined length encountered";

impl fmt::Display for Break {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |tag| match tag {
            tag::ITEM => "Item",
            tag if tag.element() == 0 => "GenericGroupLength",
            tag => keyword_of(tag).unwrap_or("Unknown Tag & Data"),
        };
        match *self {
            Self::Cut { tag, length, left } => write!(
                formatter,
                "DcmElement: {} {tag} larger ({length}) than remaining bytes ({left}) in file, \
                 premature end of stream",
                name(tag)
            ),
            Self::LongerThanItem { tag, length, left } => write!(
                formatter,
                "DcmItem: Element {} {tag} larger ({length}) than remaining bytes ({left}) of \
                 surrounding item",
                name(tag)
            ),
            Self::NotClosed(tag) => write!(
                formatter,
                "DcmSequenceOfItems: Reached end of stream before the end of sequence {} {tag}",
                name(tag)
            ),
            Self::NoItem { sequence, found } => write!(
                formatter,
                "DcmSequenceOfItems: Parse error in sequence {sequence}, found {found} instead of \
                 sequence delimiter {}",
                tag::SEQUENCE_DELIMITATION
            ),
            Self::NoElement(tag) => write!(
                formatter,
                "DcmItem: Parse error in sequence item, found {tag} instead of item delimiter {}",
                tag::ITEM_DELIMITATION
            ),
            Self::ItemOutside(tag) => {
                write!(formatter, "DcmItem: Parse error while parsing element {tag}")
            }
            Self::Endless(tag, vr) => write!(
                formatter,
                "{}: {}{} {tag} has odd maximum length ({}) and therefore is not loaded",
                if vr.is_text() { "DcmByteString" } else { "DcmElement" },
                if vr.is_text() { "Element " } else { "" },
                name(tag),
                u32::MAX
            ),
            Self::EndlessBytes(tag) => {
                write!(formatter, "DcmItem: Parse error in {tag}: {ENDLESS_BYTES}")
            }
            Self::NoVr(tag, vr) => {
                let [first, second] = vr.0;
                let shown = vr.0.map(|byte| if (b' '..0x7F).contains(&byte) { byte } else { b' ' });
                write!(
                    formatter,
                    "DcmItem: Non-standard VR '{}' ({first:02x}\\{second:02x}) encountered while \
                     parsing element {tag}, assuming 2 byte length field",
                    Vr(shown)
                )
            }
            Self::Misplaced(tag) => {
                write!(formatter, "DcmItem: Invalid Element {tag} found in data set")
            }
        }
    }
}
