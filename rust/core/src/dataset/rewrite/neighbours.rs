//! The VR of an element that came without one.
//!
//! Source: PS3.6 through `dictionary::elements`, and what PS3.5 §8.1.2, §8.2 and §A.2 make depend on
//! other elements of the data set. Called by `rewrite::recode`.

use crate::dataset::element_header::Encoding;
use crate::dictionary::elements::DictionaryVr;
use crate::tag::{self, Tag};
use crate::vr::Vr;

/// What elements say of those after them, in this item or one around it.
#[derive(Clone, Copy)]
pub(super) struct Neighbours {
    /// Pixel Representation.
    pub is_signed: bool,
    /// Bits Allocated; 0 while unknown.
    bits_allocated: u16,
    /// Waveform Bits Allocated; 0 while unknown.
    waveform_bits_allocated: u16,
    /// The first value of the last LUT Descriptor, which is the number of entries.
    table_entries: u16,
}

impl Neighbours {
    pub const fn new(is_signed: bool) -> Self {
        Self { is_signed, bits_allocated: 0, waveform_bits_allocated: 0, table_entries: 0 }
    }

    /// What holds in a sequence or item inside: Pixel Representation and Bits Allocated may stand
    /// further out.
    pub const fn inside(self) -> Self {
        Self { table_entries: 0, waveform_bits_allocated: 0, ..self }
    }

    /// True for the elements that others depend on.
    pub const fn are_told_by(tag: Tag) -> bool {
        matches!(
            tag,
            tag::PIXEL_REPRESENTATION
                | tag::BITS_ALLOCATED
                | tag::WAVEFORM_BITS_ALLOCATED
                | tag::LUT_DESCRIPTOR
                | tag::GRAY_LOOKUP_TABLE_DESCRIPTOR
        )
    }

    /// One of these has gone by; `first` are the first bytes of its value.
    pub fn note(&mut self, tag: Tag, first: &[u8], encoding: Encoding) {
        let Some(bytes) = first.first_chunk::<2>() else { return };
        let number = encoding.u16(*bytes);
        match tag {
            tag::PIXEL_REPRESENTATION => self.is_signed = number == 1,
            tag::BITS_ALLOCATED => self.bits_allocated = number,
            tag::WAVEFORM_BITS_ALLOCATED => self.waveform_bits_allocated = number,
            tag::LUT_DESCRIPTOR | tag::GRAY_LOOKUP_TABLE_DESCRIPTOR => self.table_entries = number,
            _ => {}
        }
    }

    /// The VR of `tag`, of which a dictionary says `known`, among these.
    pub fn vr_of(self, tag: Tag, known: Option<DictionaryVr>) -> Vr {
        let Self { is_signed, bits_allocated, waveform_bits_allocated, table_entries } = self;
        let bits = if tag.group() == 0x5400 { waveform_bits_allocated } else { bits_allocated };
        let is_pixels_or_waveform = tag == tag::PIXEL_DATA || tag.group() == 0x5400;
        match known {
            None => Vr::UN,
            Some(DictionaryVr::Is(vr)) => vr,
            Some(DictionaryVr::UsOrSs) => Vr(if is_signed { *b"SS" } else { *b"US" }),
            // PS3.5 §A.2: overlays and all else may be OW always.
            Some(DictionaryVr::ObOrOw) if is_pixels_or_waveform && (1..=8).contains(&bits) => {
                Vr::OB
            }
            Some(DictionaryVr::LookupTable) if table_entries == 1 => Vr(*b"US"),
            Some(DictionaryVr::ObOrOw | DictionaryVr::LookupTable) => Vr::OW,
        }
    }

    /// The VR of `tag`, of which a dictionary says `known`, as DCMTK 3.6.7 has it, where it is told by
    /// elements of the same item only.
    pub fn vr_as_dcmtk(self, tag: Tag, known: Option<DictionaryVr>) -> Vr {
        match known {
            None => Vr::UN,
            Some(DictionaryVr::Is(vr)) => vr,
            Some(DictionaryVr::UsOrSs) if self.is_signed && SIGNED_WITH_PIXELS.contains(&tag) => {
                Vr(*b"SS")
            }
            Some(DictionaryVr::UsOrSs) => Vr(*b"US"),
            Some(DictionaryVr::LookupTable) => Vr::OW,
            Some(DictionaryVr::ObOrOw) => {
                let is_wide = match tag.group() {
                    0x5400 => !matches!(self.waveform_bits_allocated, 0 | 8),
                    group => tag == tag::PIXEL_DATA || group & 0xFF00 == 0x6000,
                };
                if is_wide { Vr::OW } else { Vr::OB }
            }
        }
    }
}

/// Elements that DCMTK 3.6.7 makes SS where Pixel Representation says so; it leaves others US.
static SIGNED_WITH_PIXELS: [Tag; 12] = [
    Tag::new(0x0018, 0x9810),
    Tag::new(0x0028, 0x0106),
    Tag::new(0x0028, 0x0107),
    Tag::new(0x0028, 0x0108),
    Tag::new(0x0028, 0x0109),
    Tag::new(0x0028, 0x0120),
    Tag::new(0x0028, 0x0121),
    tag::LUT_DESCRIPTOR,
    Tag::new(0x0040, 0x9211),
    Tag::new(0x0040, 0x9216),
    Tag::new(0x0060, 0x3004),
    Tag::new(0x0060, 0x3006),
];
