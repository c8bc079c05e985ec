//! What a data set is to look like when it leaves: the output options as one value.
//!
//! Source: PS3.5 §7.1 (lengths), §7.2 (group lengths), §6.2 (padding), §6.2.2 (UN), Annex A; which of
//! them DCMTK's tools take by default: DCMTK 3.6.7, as run. Decides nothing itself. Called by whoever
//! stores or sends, and by `rewrite::recode`.

use crate::dataset::element_header::{Encoding, SHORT_LENGTH_MAX, is_long};
use crate::dataset::transfer_syntax::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
};
use crate::uid::Uid;
use crate::vr::Vr;

/// Lengths of sequences and items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthEncoding {
    /// As they came, undefined where headers change their size.
    Kept,
    /// All defined (`+e`).
    Explicit,
    /// All undefined (`-e`).
    Undefined,
}

/// Group lengths (gggg,0000), which PS3.5 §7.2 retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupLengths {
    /// As they came, dropped where headers change their size.
    Kept,
    /// Right where there is one (`+g=`).
    Recalculated,
    /// One in each group of the data set and of each item (`+g`).
    Created,
    /// None (`-g`).
    Removed,
}

/// Data Set Trailing Padding (FFFC,FFFC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As it came.
    Kept,
    /// None (`-p`).
    Removed,
    /// So much that the file and each item are multiples of these numbers of bytes; 0 for none (`+p`).
    Aligned {
        /// Of the file.
        file: u32,
        /// Of an item's value.
        item: u32,
    },
}

/// Padding within values of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextPadding {
    /// As it came.
    Kept,
    /// As it came, but to even length.
    Even,
    /// What even length needs and no more, and no blank in a UID: DCMTK's input data correction.
    Minimal,
}

/// What becomes of UN elements of defined length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// They stay UN (`-uc`).
    Kept,
    /// They get the VR that the dictionary has (`+uc`).
    Converted,
}

/// Everything that an output option says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputEncoding {
    /// The transfer syntax; `None` for that of the source (`+t=`).
    pub transfer_syntax: Option<Uid>,
    /// Lengths of sequences and items.
    pub lengths: LengthEncoding,
    /// Group lengths.
    pub group_lengths: GroupLengths,
    /// Data Set Trailing Padding.
    pub padding: Padding,
    /// Padding of text.
    pub text: TextPadding,
    /// VRs that the standard got after 1993 may be written; else they become OB (`-u`).
    pub has_new_vrs: bool,
    /// UN elements of defined length.
    pub unknown: Unknown,
    /// Level of a deflate stream, 0 to 9; `None` is [`OutputEncoding::DEFLATE_LEVEL_DEFAULT`], and a
    /// deflated data set that needs no other change is then left as it is.
    pub deflate_level: Option<u32>,
    /// Words of odd length get a byte more, too, which DCMTK does not do.
    pub pads_words: bool,
    /// As DCMTK parses and writes: elements in ascending order, of two with one tag the first, unknown
    /// VRs as UN, UN of undefined length as SQ.
    pub is_normalised: bool,
}

impl OutputEncoding {
    /// zlib's own default, and DCMTK's.
    pub const DEFLATE_LEVEL_DEFAULT: u32 = 6;

    /// Nothing changes but what the transfer syntax asks for: what a retrieve converts to.
    pub const CONVERSION: Self = Self {
        transfer_syntax: None,
        lengths: LengthEncoding::Kept,
        group_lengths: GroupLengths::Kept,
        padding: Padding::Kept,
        text: TextPadding::Kept,
        has_new_vrs: true,
        unknown: Unknown::Kept,
        deflate_level: None,
        pads_words: false,
        is_normalised: false,
    };

    /// What `storescp` writes when no option says otherwise.
    pub const STORESCP: Self = Self {
        lengths: LengthEncoding::Explicit,
        group_lengths: GroupLengths::Recalculated,
        padding: Padding::Removed,
        text: TextPadding::Minimal,
        is_normalised: true,
        ..Self::CONVERSION
    };

    /// What `dcmrecv` writes.
    pub const DCMRECV: Self = Self {
        lengths: LengthEncoding::Undefined,
        padding: Padding::Kept,
        text: TextPadding::Even,
        ..Self::STORESCP
    };

    /// The same with a byte more for each value of odd length (PS3.5 §7.1.1), and with lengths that fit.
    #[must_use]
    pub fn with_even_values(self) -> Self {
        let Self { transfer_syntax, has_new_vrs, unknown, deflate_level, .. } = self;
        let pads_words = true;
        Self { transfer_syntax, has_new_vrs, unknown, deflate_level, pads_words, ..Self::STORESCP }
    }

    /// The transfer syntax that a data set in `from` gets; `None` when there is no way from one to
    /// the other, because one of them is compressed.
    pub fn target(&self, from: &Uid) -> Option<Uid> {
        match self.transfer_syntax {
            Some(to) if to != *from => (is_convertible(from) && is_convertible(&to)).then_some(to),
            _ => Some(*from),
        }
    }
}

impl OutputEncoding {
    /// The VR that is written for `vr`: OB for what 1993 did not know, where that is asked for.
    pub(super) fn vr_out(&self, vr: Vr) -> Vr {
        let is_new = matches!(
            &vr.0,
            b"OD" | b"OF" | b"OL" | b"OV" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV"
        );
        if is_new && !self.has_new_vrs { Vr::OB } else { vr }
    }

    /// The VR that is written for a value of `length` bytes: PS3.5 §6.2.2 has UN for what a 2-byte
    /// length cannot tell.
    pub(super) fn vr_of_length(&self, vr: Vr, length: u64, to: Encoding) -> Vr {
        let vr = self.vr_out(vr);
        let fits = length <= u64::from(SHORT_LENGTH_MAX) || is_long(vr) || !to.is_explicit;
        if fits { vr } else { self.vr_out(Vr::UN) }
    }

    /// A value of odd length gets a byte more. DCMTK 3.6.7: bytes do, words never, numbers where text
    /// is corrected.
    pub(super) fn pads(&self, vr: Vr) -> bool {
        match self.text {
            TextPadding::Kept => false,
            TextPadding::Even => vr.is_text() || matches!(vr, Vr::OB | Vr::UN),
            TextPadding::Minimal => vr != Vr::OW || self.pads_words,
        }
    }

    /// Nothing but the transfer syntax is asked for.
    pub(super) fn keeps_all(&self) -> bool {
        let Self { transfer_syntax, deflate_level, .. } = *self;
        *self == Self { transfer_syntax, deflate_level, ..Self::CONVERSION }
    }

    /// The first pass finds something that the second cannot do without.
    pub(super) fn needs_survey(&self) -> bool {
        self.is_normalised
            || self.lengths == LengthEncoding::Explicit
            || matches!(self.group_lengths, GroupLengths::Recalculated | GroupLengths::Created)
            || self.text == TextPadding::Minimal
    }
}

/// True for the four transfer syntaxes that turn into one another without touching pixels.
pub fn is_convertible(syntax: &Uid) -> bool {
    matches!(
        syntax.as_str(),
        IMPLICIT_VR_LITTLE_ENDIAN
            | EXPLICIT_VR_LITTLE_ENDIAN
            | EXPLICIT_VR_BIG_ENDIAN
            | DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
    )
}
