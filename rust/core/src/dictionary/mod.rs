//! What is known of UIDs and data elements: generated tables of the standard, and data dictionaries
//! that a user puts in their place.
//!
//! [`vr_of`], [`private_vr_of`], [`tag_of`] and [`keyword_of`] ask whichever holds; what must not depend on a
//! process's environment (the index) asks `elements`. Called by `dataset` and `server`.

pub mod custom;
pub mod elements;
pub mod uids;

use crate::tag::Tag;
use elements::DictionaryVr;

/// The VR of `tag`; `None` for private and unknown elements.
pub fn vr_of(tag: Tag) -> Option<DictionaryVr> {
    custom::installed().map_or_else(|| elements::vr_of(tag), |own| own.vr_of(tag))
}

/// The VR of an element of a private block that `creator` has reserved (PS3.5 §7.8.1).
pub fn private_vr_of(creator: &[u8], tag: Tag) -> Option<DictionaryVr> {
    custom::installed()?.private_vr_of(creator, tag)
}

/// The tag of a name, with or without DCMTK's `RETIRED_`; `None` where nobody has it.
pub fn tag_of(keyword: &str) -> Option<Tag> {
    custom::installed().map_or_else(|| elements::tag_of(keyword), |own| own.tag_of(keyword))
}

/// The name of `tag`; `None` for private and unknown elements.
pub fn keyword_of(tag: Tag) -> Option<&'static str> {
    custom::installed().map_or_else(|| elements::keyword_of(tag), |own| own.keyword_of(tag))
}
