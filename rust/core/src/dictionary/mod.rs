//! What is known of UIDs and data elements: generated tables of the standard, and data dictionaries
//! that a user puts in their place.
//!
//! [`vr_of`], [`private_block`], [`tag_of`] and [`keyword_of`] ask whichever holds; what must not depend on a
//! process's environment (the index) asks `elements`. Called by `dataset` and `server`.

pub mod custom;
pub mod elements;
mod private;
pub mod uids;

use crate::tag::Tag;
use crate::vr::Vr;
use elements::DictionaryVr;
use private::PrivateElement;

/// The VR of `tag`; `None` for private and unknown elements.
pub fn vr_of(tag: Tag) -> Option<DictionaryVr> {
    custom::installed().map_or_else(|| elements::vr_of(tag), |own| own.vr_of(tag))
}

/// The VR of an element of which a dictionary says `known`, if it is one that never has an undefined length
/// (PS3.5 §7.1.1); Pixel Data aside.
pub fn vr_of_defined_length(known: Option<DictionaryVr>) -> Option<Vr> {
    match known? {
        DictionaryVr::Is(Vr::SQ | Vr::UN) => None,
        DictionaryVr::Is(vr) => Some(vr),
        DictionaryVr::UsOrSs => Some(Vr(*b"US")),
        DictionaryVr::ObOrOw | DictionaryVr::LookupTable => Some(Vr::OW),
    }
}

/// What is known of the elements in a private block (PS3.5 §7.8.1).
#[derive(Clone, Copy, Debug)]
pub struct PrivateBlock(Known);

#[derive(Clone, Copy, Debug)]
enum Known {
    BuiltIn(&'static [PrivateElement]),
    Custom(&'static [custom::Entry]),
}

/// The block that `creator`, without padding, reserves; `None` for a creator that is not known.
pub fn private_block(creator: &[u8]) -> Option<PrivateBlock> {
    let known = match custom::installed() {
        Some(own) => Known::Custom(own.private_block(creator)?),
        None => Known::BuiltIn(private::elements_of(creator)?),
    };
    Some(PrivateBlock(known))
}

impl PrivateBlock {
    /// The VR of an element of this block.
    pub fn vr_of(self, tag: Tag) -> Option<DictionaryVr> {
        let elements = match self.0 {
            Known::Custom(entries) => return custom::private_vr_of(entries, tag),
            Known::BuiltIn(elements) => elements,
        };
        let holds = |(first, last, element, _): &&PrivateElement| {
            let number = if *element <= 0xFF { tag.element() & 0xFF } else { tag.element() };
            (*first..=*last).contains(&tag.group()) && number == *element
        };
        elements.iter().find(holds).and_then(|(.., letters)| custom::meaning(*letters))
    }
}

/// The tag of a name, with or without DCMTK's `RETIRED_`; `None` where nobody has it.
pub fn tag_of(keyword: &str) -> Option<Tag> {
    custom::installed().map_or_else(|| elements::tag_of(keyword), |own| own.tag_of(keyword))
}

/// The name of `tag`; `None` for private and unknown elements.
pub fn keyword_of(tag: Tag) -> Option<&'static str> {
    custom::installed().map_or_else(|| elements::keyword_of(tag), |own| own.keyword_of(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.5 §7.8.1: by the creator and the place in his block, wherever that lies.
    #[test]
    fn private_elements_of_known_creators() {
        let is = |letters: &[u8; 2]| Some(DictionaryVr::Is(Vr(*letters)));
        let vr = |creator: &[u8], group, element| {
            private_block(creator).and_then(|block| block.vr_of(Tag::new(group, element)))
        };
        assert_eq!(vr(b"GEMS_IDEN_01", 0x0009, 0x1027), is(b"SL"));
        assert_eq!(vr(b"GEMS_IDEN_01", 0x0009, 0xFF27), is(b"SL"));
        assert_eq!(vr(b"GEMS_IDEN_01", 0x0011, 0x1027), None);
        assert_eq!(vr(b"GEMS_IDEN_01", 0x0009, 0x1000), None);
        assert_eq!(vr(b"SIEMENS CSA HEADER", 0x0029, 0x1010), is(b"OB"));
        for nobody in [&b""[..], b"gems_iden_01", b"GEMS_IDEN_01 ", &[0xFF; 300]] {
            assert!(private_block(nobody).is_none());
        }
    }
}
