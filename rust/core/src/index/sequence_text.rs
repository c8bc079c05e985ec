//! The text inside a stored sequence, in another character set.
//!
//! A sequence is kept as items in Explicit VR Little Endian with defined lengths (FORMAT.md). An item
//! may name a Specific Character Set of its own (PS3.5 §7.5.3), in which its text is read then; the
//! answer has one for all of it, so it is left out. Called by `index::answer`.

use super::attributes::tags;
use crate::dataset::character_set::{CharacterSet, Delimiters, Illegal, is_affected};
use crate::dataset::identifier::{Encoding, Item};
use crate::limits::INDEXED_SEQUENCE_DEPTH_MAX;
use crate::tag::{self, Tag};
use crate::vr::Vr;

/// From where to where text is converted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversion {
    /// What it is written in.
    pub from: CharacterSet,
    /// What it is to be written in.
    pub to: CharacterSet,
    /// What becomes of characters that `to` does not have.
    pub illegal: Illegal,
}

impl Conversion {
    /// The value of one element; `None` where it cannot be converted.
    pub fn text(&self, vr: Vr, value: &[u8]) -> Option<Vec<u8>> {
        let text = self.from.decode(value, Delimiters::of(vr)).ok()?;
        self.to.encode(&text, self.illegal).ok()
    }

    /// The items of a sequence; `None` where one of its values cannot be converted.
    pub fn items(&self, value: &[u8]) -> Option<Vec<u8>> {
        self.items_at(value, 0)
    }

    /// Recurses, as deep as sequences are indexed.
    fn items_at(&self, value: &[u8], depth: usize) -> Option<Vec<u8>> {
        if depth > INDEXED_SEQUENCE_DEPTH_MAX {
            return None;
        }
        let mut out = Vec::with_capacity(value.len() + value.len() / 2);
        let mut body = Vec::new();
        for item in Item::all(value, Encoding::EXPLICIT_LITTLE) {
            let item = item.ok()?;
            let own = item.value(tags::SPECIFIC_CHARACTER_SET);
            let from = if own.is_empty() { self.from } else { CharacterSet::parse(own) };
            let inner = Self { from, ..*self };
            body.clear();
            for element in item.elements() {
                let (tag, vr) = (element.tag, element.vr);
                if tag == tags::SPECIFIC_CHARACTER_SET {
                    continue;
                }
                let is_plain = element.value.is_ascii() && !element.value.contains(&0x1B);
                if vr == Vr::SQ {
                    append(&mut body, tag, vr, &inner.items_at(element.value, depth + 1)?)?;
                } else if is_affected(vr) && !is_plain {
                    // Blanks behind it are padding (PS3.5 §6.2), whose number changes.
                    let end = element.value.iter().rposition(|byte| !matches!(byte, b' ' | 0));
                    let text = element.value.get(..=end?)?;
                    append(&mut body, tag, vr, &inner.text(vr, text)?)?;
                } else {
                    append(&mut body, tag, vr, element.value)?;
                }
            }
            append(&mut out, tag::ITEM, Vr::NONE, &body)?;
        }
        Some(out)
    }
}

/// Appends an element or item; `None` where its value is longer than its length can say.
pub(super) fn append(out: &mut Vec<u8>, tag: Tag, vr: Vr, value: &[u8]) -> Option<()> {
    let bytes = value.len() + value.len() % 2;
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
    if tag == tag::ITEM {
        out.extend_from_slice(&u32::try_from(bytes).ok()?.to_le_bytes());
    } else {
        out.extend_from_slice(&vr.0);
        if vr.has_long_length() {
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&u32::try_from(bytes).ok()?.to_le_bytes());
        } else {
            out.extend_from_slice(&u16::try_from(bytes).ok()?.to_le_bytes());
        }
    }
    out.extend_from_slice(value);
    if bytes > value.len() {
        out.push(if vr == Vr::UI { 0 } else { b' ' });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE_MEANING: Tag = Tag::new(0x0008, 0x0104);
    const CODE_VALUE: Tag = Tag::new(0x0008, 0x0100);
    const NESTED: Tag = Tag::new(0x0040, 0xA730);

    fn element(tag: Tag, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append(&mut out, tag, Vr(vr), value).unwrap();
        out
    }

    fn item(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        append(&mut out, tag::ITEM, Vr::NONE, &elements.concat()).unwrap();
        out
    }

    fn conversion(from: &[u8], to: &[u8]) -> Conversion {
        let (from, to) = (CharacterSet::parse(from), CharacterSet::parse(to));
        Conversion { from, to, illegal: Illegal::Abort }
    }

    /// Text of items and of items in them; lengths follow, and what is no text stays.
    #[test]
    fn text_in_items() {
        let of = |text: &[u8]| {
            let inner = item(&[element(CODE_MEANING, *b"LO", text)]);
            item(&[
                element(CODE_VALUE, *b"SH", b"C-1"),
                element(CODE_MEANING, *b"LO", text),
                element(NESTED, *b"SQ", &inner),
            ])
        };
        let latin = of(b"Sch\xe4del");
        let utf8 = of("Schädel".as_bytes());
        assert_eq!(conversion(b"ISO_IR 100", b"ISO_IR 192").items(&latin), Some(utf8.clone()));
        assert_eq!(conversion(b"ISO_IR 192", b"ISO_IR 100").items(&utf8), Some(latin));
        // Cyrillic has no such letter.
        assert_eq!(conversion(b"ISO_IR 192", b"ISO_IR 144").items(&utf8), None);
    }

    /// PS3.5 §7.5.3: an item's own character set counts for it.
    #[test]
    fn an_item_with_its_own_set() {
        let set = element(tags::SPECIFIC_CHARACTER_SET, *b"CS", b"ISO_IR 192");
        let own = item(&[set, element(CODE_MEANING, *b"LO", "ä".as_bytes())]);
        let plain = item(&[element(CODE_MEANING, *b"LO", b"\xe4")]);
        let both = [own, plain.clone()].concat();
        let converted = conversion(b"ISO_IR 100", b"ISO_IR 100").items(&both);
        assert_eq!(converted, Some([plain.clone(), plain].concat()));
    }

    /// What is damaged or too deep is not converted, and ends nothing.
    #[test]
    fn hostile_sequences() {
        let conversion = conversion(b"ISO_IR 100", b"ISO_IR 192");
        let mut nested = item(&[element(CODE_MEANING, *b"LO", b"\xe4")]);
        for depth in 0..=INDEXED_SEQUENCE_DEPTH_MAX {
            let is_converted = conversion.items(&nested).is_some();
            assert!(is_converted, "{depth}");
            nested = item(&[element(NESTED, *b"SQ", &nested)]);
        }
        assert_eq!(conversion.items(&nested), None);
        for cut in 1..nested.len() {
            assert_eq!(conversion.items(&nested[..cut]), None);
        }
        // It grows in UTF-8 beyond what its length can say.
        let long = item(&[element(CODE_MEANING, *b"LO", &vec![0xE4; 0xFFFE])]);
        assert_eq!(conversion.items(&long), None);
    }
}
