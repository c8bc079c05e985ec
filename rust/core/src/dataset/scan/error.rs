//! What is wrong with a data set's structure, and what is odd about it.

use core::fmt;

use crate::limits::SEQUENCE_DEPTH_MAX;
use crate::tag::Tag;
use crate::vr::Vr;

/// Why a data set is not whole, with the place in it (in the inflated bytes, where it is deflated).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named as what they are")]
pub enum ScanError {
    /// The data set ends inside an element's header or value.
    EndsInsideElement { offset: u64, missing_bytes: u64 },
    /// A sequence or item of undefined length has no delimiter before its parent or the data ends.
    NotClosed { offset: u64, open_sequences: usize },
    /// An element, sequence or item is longer than what it stands in.
    LongerThanParent { tag: Tag, offset: u64, length: u32 },
    /// A delimiter that closes nothing, or an item outside a sequence.
    NothingToDelimit { tag: Tag, offset: u64 },
    /// Something other than an item stands directly in a sequence.
    ItemExpected { tag: Tag, offset: u64 },
    /// A command (0000) or file meta (0002) element inside a data set.
    ForbiddenGroup { tag: Tag, offset: u64 },
    /// Undefined length where PS3.5 §7.1.1 does not allow it.
    UndefinedLength { tag: Tag, vr: Vr, offset: u64 },
    /// Pixel Data with a length in a compressed transfer syntax, where it has none (PS3.5 §A.4). Found where
    /// data sets are written anew.
    NativePixels { tag: Tag, offset: u64 },
    /// More sequences inside one another than `SEQUENCE_DEPTH_MAX`.
    TooDeep { tag: Tag, offset: u64 },
    /// More sequences and items than `REWRITE_SLOTS_MAX`, or elements out of order than
    /// `ORDERED_ELEMENTS_MAX`, so that the data set cannot be re-encoded.
    TooManySequences,
    /// The bytes in the place of the VR are no letters; implicit data under an explicit syntax.
    BadVr { tag: Tag, vr: Vr, offset: u64 },
    /// The first element names its VR although the transfer syntax is implicit.
    ExplicitUnderImplicit { tag: Tag, vr: Vr },
    /// The first tag makes sense in the other byte order only.
    WrongByteOrder { tag: Tag },
    /// The deflate stream is damaged.
    DeflateCorrupt,
    /// The deflate stream ends before its last block.
    DeflateTruncated,
    /// The deflate stream grows beyond the bounds of `limits.rs`.
    DeflateBomb { inflated_bytes: u64 },
}

impl ScanError {
    /// True when a bound of ours was passed, rather than a rule of the standard: status A700H.
    pub const fn is_resource_bound(&self) -> bool {
        matches!(self, Self::DeflateBomb { .. } | Self::TooManySequences)
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EndsInsideElement { offset, missing_bytes } => write!(
                formatter,
                "data set ends inside an element at offset {offset}, at least {missing_bytes} bytes missing"
            ),
            Self::NotClosed { offset, open_sequences } => write!(
                formatter,
                "sequence or item of undefined length is not closed at offset {offset} ({open_sequences} open)"
            ),
            Self::LongerThanParent { tag, offset, length } => write!(
                formatter,
                "element {tag} of length {length} at offset {offset} is longer than what it stands in"
            ),
            Self::NothingToDelimit { tag, offset } => {
                write!(formatter, "{tag} at offset {offset} stands in no sequence")
            }
            Self::ItemExpected { tag, offset } => {
                write!(formatter, "item expected at offset {offset}, found {tag}")
            }
            Self::ForbiddenGroup { tag, offset } => {
                write!(formatter, "element {tag} at offset {offset} is not allowed in a data set")
            }
            Self::UndefinedLength { tag, vr, offset } => write!(
                formatter,
                "element {tag} at offset {offset} has undefined length, which VR {vr} does not allow"
            ),
            Self::NativePixels { tag, offset } => write!(
                formatter,
                "Pixel Data {tag} at offset {offset} has a length, and so is not compressed as the \
                 transfer syntax says"
            ),
            Self::TooDeep { tag, offset } => write!(
                formatter,
                "sequence {tag} at offset {offset} is nested deeper than {SEQUENCE_DEPTH_MAX}"
            ),
            Self::TooManySequences => {
                write!(formatter, "too many sequences, items or disordered elements to re-encode")
            }
            Self::BadVr { tag, vr, offset } => {
                write!(formatter, "element {tag} at offset {offset} has no VR but {vr}")
            }
            Self::ExplicitUnderImplicit { tag, vr } => write!(
                formatter,
                "first element {tag} names its VR {vr} although the transfer syntax is implicit"
            ),
            Self::WrongByteOrder { tag } => {
                write!(formatter, "first element {tag} is in the other byte order")
            }
            Self::DeflateCorrupt => write!(formatter, "deflate stream is damaged"),
            Self::DeflateTruncated => write!(formatter, "deflate stream is cut"),
            Self::DeflateBomb { inflated_bytes } => {
                write!(formatter, "deflate stream passes the bound after {inflated_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for ScanError {}

/// What was odd but let pass, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanWarnings {
    /// Elements whose tag is lower than the one before.
    pub not_ascending: u32,
    /// Elements whose tag is that of the one before.
    pub duplicates: u32,
    /// Values of odd length.
    pub odd_lengths: u32,
    /// Delimiters with a length other than 0, read as 0.
    pub delimiter_lengths: u32,
    /// The first tag that was counted above.
    pub first: Option<Tag>,
    /// Bytes other than padding after the end of a deflate stream.
    pub has_deflate_trailer: bool,
    /// What is no fault of the structure: a VR that PS3.5 §6.2 does not have, UN of undefined length, a value
    /// that is no whole number of numbers.
    pub is_otherwise_odd: bool,
}

impl fmt::Display for ScanWarnings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("stored although odd:")?;
        for (count, what) in [
            (self.not_ascending, "tags out of order"),
            (self.duplicates, "tags repeated"),
            (self.odd_lengths, "values of odd length"),
            (self.delimiter_lengths, "delimiters with a length"),
        ] {
            if count > 0 {
                write!(formatter, " {count} {what};")?;
            }
        }
        match self.first {
            Some(tag) => write!(formatter, " first at {tag}"),
            None => Ok(()),
        }
    }
}

impl ScanWarnings {
    /// True when nothing was odd.
    pub const fn is_empty(&self) -> bool {
        self.first.is_none() && !self.has_deflate_trailer
    }
}
