//! Values of the indexed attributes, taken while the scanner walks.

use crate::tag::Tag;
use crate::vr::Vr;

/// One attribute whose value is collected.
#[derive(Clone, Copy, Debug)]
pub struct WantedValue {
    /// Its tag.
    pub tag: Tag,
    /// Its value representation, which Implicit VR does not tell.
    pub vr: Vr,
    /// Longest value kept, in bytes.
    pub bytes_max: u16,
}
