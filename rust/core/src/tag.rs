//! Data element tags, and those that this crate names.
//!
//! Source: PS3.5 §7.1 (group and element number), PS3.6 (the numbers). A tag orders as the standard
//! orders data elements. Called by `dataset`, `dimse` and `storage`.

use core::fmt;

/// A data element tag: group in the upper, element in the lower 16 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

impl Tag {
    /// The tag `(group,element)`.
    pub const fn new(group: u16, element: u16) -> Self {
        Self(((group as u32) << 16) | element as u32)
    }

    /// The group number.
    pub const fn group(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The element number.
    pub const fn element(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "({:04x},{:04x})", self.group(), self.element())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Specific Character Set.
pub const SPECIFIC_CHARACTER_SET: Tag = Tag::new(0x0008, 0x0005);
/// SOP Class UID.
pub const SOP_CLASS_UID: Tag = Tag::new(0x0008, 0x0016);
/// SOP Instance UID.
pub const SOP_INSTANCE_UID: Tag = Tag::new(0x0008, 0x0018);
/// Series Date.
pub const SERIES_DATE: Tag = Tag::new(0x0008, 0x0021);
/// Failed SOP Instance UID List.
pub const FAILED_SOP_INSTANCE_UID_LIST: Tag = Tag::new(0x0008, 0x0058);
/// Patient's Name.
pub const PATIENT_NAME: Tag = Tag::new(0x0010, 0x0010);
/// Study Instance UID.
pub const STUDY_INSTANCE_UID: Tag = Tag::new(0x0020, 0x000D);
/// Bits Allocated.
pub const BITS_ALLOCATED: Tag = Tag::new(0x0028, 0x0100);
/// Pixel Representation.
pub const PIXEL_REPRESENTATION: Tag = Tag::new(0x0028, 0x0103);
/// Gray Lookup Table Descriptor (retired).
pub const GRAY_LOOKUP_TABLE_DESCRIPTOR: Tag = Tag::new(0x0028, 0x1100);
/// LUT Descriptor.
pub const LUT_DESCRIPTOR: Tag = Tag::new(0x0028, 0x3002);
/// Waveform Bits Allocated.
pub const WAVEFORM_BITS_ALLOCATED: Tag = Tag::new(0x5400, 0x1004);
/// Float Pixel Data.
pub const FLOAT_PIXEL_DATA: Tag = Tag::new(0x7FE0, 0x0008);
/// Double Float Pixel Data.
pub const DOUBLE_FLOAT_PIXEL_DATA: Tag = Tag::new(0x7FE0, 0x0009);
/// Pixel Data.
pub const PIXEL_DATA: Tag = Tag::new(0x7FE0, 0x0010);
/// Item.
pub const ITEM: Tag = Tag::new(0xFFFE, 0xE000);
/// Item Delimitation Item.
pub const ITEM_DELIMITATION: Tag = Tag::new(0xFFFE, 0xE00D);
/// Sequence Delimitation Item.
pub const SEQUENCE_DELIMITATION: Tag = Tag::new(0xFFFE, 0xE0DD);
/// Data Set Trailing Padding.
pub const DATA_SET_TRAILING_PADDING: Tag = Tag::new(0xFFFC, 0xFFFC);
