//! A key that is a sequence: matched item by item, and answered by the items that match.
//!
//! One item asks, with keys that may be sequences themselves. A record matches when one of its items
//! matches all of them, and the answer has each item that does, with what was asked for and nothing
//! else; a key without an item, or with an empty one, asks for the sequence as it is. Source: PS3.4
//! §C.2.2.2.6. Called by `matching` and `answer`.

use super::attributes::tags;
use super::matching::StandardKey;
use super::sequence_text::append;
use crate::dataset::character_set::CharacterSet;
use crate::dataset::identifier::{Element, Encoding, IdentifierError, Item};
use crate::limits::{INDEXED_SEQUENCE_BYTES_MAX, INDEXED_SEQUENCE_DEPTH_MAX};
use crate::tag::{self, Tag};
use crate::vr::{Vr, trimmed};

/// What is asked of one item; never empty.
#[derive(Clone, Debug)]
pub(super) struct SequenceKey<'k> {
    keys: Vec<ItemKey<'k>>,
    encoding: Encoding,
    set: CharacterSet,
}

#[derive(Clone, Debug)]
struct ItemKey<'k> {
    tag: Tag,
    vr: Vr,
    rule: ItemRule<'k>,
}

#[derive(Clone, Debug)]
enum ItemRule<'k> {
    /// Only asked for.
    Universal,
    /// Deeper than anything that is indexed.
    Never,
    Value(StandardKey<'k>),
    /// In implicit VR the record tells what it is.
    Unread(Element<'k>),
    Sequence(SequenceKey<'k>),
}

impl<'k> SequenceKey<'k> {
    /// Reads `element`, in an identifier in `encoding` and `set`; `None` for a key that asks for the
    /// sequence as it is.
    pub fn read(
        element: &Element<'k>,
        encoding: Encoding,
        set: CharacterSet,
    ) -> Result<Option<Self>, IdentifierError> {
        Self::read_at(element, encoding, set, 0)
    }

    /// Recurses, as deep as sequences are indexed.
    fn read_at(
        element: &Element<'k>,
        encoding: Encoding,
        set: CharacterSet,
        depth: usize,
    ) -> Result<Option<Self>, IdentifierError> {
        // PS3.5 §6.2.2: UN of undefined length is a sequence in Implicit VR Little Endian.
        let is_implicit = element.vr == Vr::UN && element.is_undefined;
        let encoding = if is_implicit { Encoding::IMPLICIT_LITTLE } else { encoding };
        let Some(item) = Item::all(element.value, encoding).next() else { return Ok(None) };
        let item = item?;
        // A remark on the item, and no key.
        let asked = item.elements().iter().filter(|key| key.tag != tags::SPECIFIC_CHARACTER_SET);
        let keys = asked.map(|key| {
            let vr = if is_sequence(key) { Vr::SQ } else { key.vr };
            let rule = if vr == Vr::SQ && depth >= INDEXED_SEQUENCE_DEPTH_MAX {
                ItemRule::Never
            } else if vr == Vr::SQ {
                let inner = Self::read_at(key, encoding, set, depth + 1)?;
                inner.map_or(ItemRule::Universal, ItemRule::Sequence)
            } else if trimmed(key.value).is_empty() {
                ItemRule::Universal
            } else if vr == Vr::NONE {
                ItemRule::Unread(*key)
            } else {
                ItemRule::Value(StandardKey::compile(vr, key, encoding, set))
            };
            Ok(ItemKey { tag: key.tag, vr, rule })
        });
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        Ok((!keys.is_empty()).then_some(Self { keys, encoding, set }))
    }

    /// True when every record matches, also one without items.
    pub fn is_universal(&self) -> bool {
        self.keys.iter().all(|key| match &key.rule {
            ItemRule::Universal => true,
            ItemRule::Never | ItemRule::Unread(_) => false,
            ItemRule::Value(rule) => rule.is_universal(),
            ItemRule::Sequence(inner) => inner.is_universal(),
        })
    }

    /// Does one of the stored `items`, of a record in `set`, match?
    pub fn matches(&self, items: &[u8], set: CharacterSet) -> bool {
        self.is_universal()
            || Item::all(items, Encoding::EXPLICIT_LITTLE)
                .flatten()
                .any(|item| self.item_matches(&item, set_of(&item, set)))
    }

    fn item_matches(&self, item: &Item<'_>, set: CharacterSet) -> bool {
        self.keys.iter().all(|key| {
            let Some(found) = item.get(key.tag) else { return key.rule.is_met_by_nothing() };
            match &key.rule {
                ItemRule::Universal => true,
                ItemRule::Never => false,
                ItemRule::Value(rule) => rule.matches(found.value, set),
                ItemRule::Unread(asked) => {
                    StandardKey::compile(found.vr, asked, self.encoding, self.set)
                        .matches(found.value, set)
                }
                ItemRule::Sequence(inner) => inner.matches(found.value, set),
            }
        })
    }

    /// The answer made of the stored `items`, as they are kept. What an item does not have comes back
    /// empty, unless that made the answer longer than what is stored can be: identifiers may ask for
    /// much, and sequences have many items.
    pub fn answer(&self, items: &[u8], set: CharacterSet) -> Vec<u8> {
        let whole = self.selected(items, set, true);
        whole.or_else(|| self.selected(items, set, false)).unwrap_or_default()
    }

    fn selected(&self, items: &[u8], set: CharacterSet, with_absent: bool) -> Option<Vec<u8>> {
        let (mut out, mut body) = (Vec::new(), Vec::new());
        for item in Item::all(items, Encoding::EXPLICIT_LITTLE).flatten() {
            let set = set_of(&item, set);
            if !self.item_matches(&item, set) {
                continue;
            }
            body.clear();
            let own = item.get(tags::SPECIFIC_CHARACTER_SET);
            let mut own = own.filter(|own| !own.value.is_empty());
            for key in &self.keys {
                if let Some(own) = own.take_if(|own| own.tag < key.tag) {
                    append(&mut body, own.tag, own.vr, own.value)?;
                }
                match (item.get(key.tag), &key.rule) {
                    (Some(found), ItemRule::Sequence(inner)) if found.vr == Vr::SQ => {
                        let inner = inner.selected(found.value, set, with_absent)?;
                        append(&mut body, found.tag, found.vr, &inner)?;
                    }
                    (Some(found), _) => append(&mut body, found.tag, found.vr, found.value)?,
                    (None, _) if with_absent => {
                        let vr = if key.vr == Vr::NONE { Vr::UN } else { key.vr };
                        append(&mut body, key.tag, vr, b"")?;
                    }
                    (None, _) => {}
                }
            }
            append(&mut out, tag::ITEM, Vr::NONE, &body)?;
            if with_absent && out.len() > INDEXED_SEQUENCE_BYTES_MAX {
                return None;
            }
        }
        Some(out)
    }
}

impl ItemRule<'_> {
    /// Does an item match that does not have the attribute?
    fn is_met_by_nothing(&self) -> bool {
        match self {
            Self::Universal => true,
            Self::Never => false,
            Self::Value(rule) => rule.is_universal(),
            // Universal, whatever it is.
            Self::Unread(asked) => trimmed(asked.value).iter().all(|byte| *byte == b'*'),
            Self::Sequence(inner) => inner.is_universal(),
        }
    }
}

/// In implicit VR a value that begins as an item is a sequence, as no text does.
fn is_sequence(element: &Element<'_>) -> bool {
    const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
    element.vr == Vr::SQ
        || element.is_undefined
        || (element.vr == Vr::NONE && element.value.starts_with(&ITEM))
}

/// An item may have a character set of its own (PS3.5 §7.5.3).
fn set_of(item: &Item<'_>, outer: CharacterSet) -> CharacterSet {
    let own = item.value(tags::SPECIFIC_CHARACTER_SET);
    if own.is_empty() { outer } else { CharacterSet::parse(own) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANNED_ID: Tag = Tag::new(0x0040, 0x0009);
    const PLANNED_CODES: Tag = Tag::new(0x0040, 0x0008);
    const CODE: Tag = Tag::new(0x0008, 0x0100);
    const SCHEME: Tag = Tag::new(0x0008, 0x0102);
    const MEANING: Tag = Tag::new(0x0008, 0x0104);
    const ASKED: Tag = Tag::new(0x0040, 0x0275);

    fn element(tag: Tag, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append(&mut out, tag, Vr(vr), value).unwrap();
        out
    }

    /// The same in Implicit VR Little Endian.
    fn implicit(tag: Tag, value: &[u8]) -> Vec<u8> {
        let mut out = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(value);
        out
    }

    fn item(elements: &[Vec<u8>]) -> Vec<u8> {
        element(tag::ITEM, *b"  ", &elements.concat())
    }

    fn code(value: &[u8], scheme: &[u8]) -> Vec<u8> {
        item(&[element(CODE, *b"SH", value), element(SCHEME, *b"SH", scheme)])
    }

    /// Two items: S1 with codes A of X and B of Y, S2 with code A of Y.
    fn stored() -> Vec<u8> {
        let of = |id: &[u8], codes: &[Vec<u8>]| {
            let codes = element(PLANNED_CODES, *b"SQ", &codes.concat());
            item(&[codes, element(PLANNED_ID, *b"SH", id)])
        };
        let first = of(b"S1", &[code(b"A ", b"X "), code(b"B ", b"Y ")]);
        [first, of(b"S2", &[code(b"A ", b"Y ")])].concat()
    }

    fn read(value: &[u8], encoding: Encoding) -> Option<SequenceKey<'_>> {
        let element = Element { tag: ASKED, vr: Vr::SQ, value, is_undefined: false };
        SequenceKey::read(&element, encoding, CharacterSet::ASCII).unwrap()
    }

    fn explicit(value: &[u8]) -> Option<SequenceKey<'_>> {
        read(value, Encoding::EXPLICIT_LITTLE)
    }

    /// PS3.4 §C.2.2.2.6: all keys in one item, and all keys of a sequence in it in one of its items.
    #[test]
    fn items_that_match() {
        let asks = |id: &[u8], inner: &[Vec<u8>]| {
            let id = element(PLANNED_ID, *b"SH", id);
            item(&[element(PLANNED_CODES, *b"SQ", &item(inner)), id])
        };
        let is = |value: &[u8]| element(CODE, *b"SH", value);
        let of = |scheme: &[u8]| element(SCHEME, *b"SH", scheme);
        for (key, expected) in [
            (asks(b"S1", &[is(b"A ")]), true),
            (asks(b"S1", &[is(b"A "), of(b"X ")]), true),
            (asks(b"S?", &[is(b"A "), of(b"Y ")]), true),
            // Each is there, but not in one item.
            (asks(b"S1", &[is(b"A "), of(b"Y ")]), false),
            (asks(b"S2", &[is(b"B ")]), false),
            (asks(b"S2", &[is(b""), of(b"")]), true),
            (asks(b"S2", &[]), true),
            (asks(b"S3", &[]), false),
            (item(&[element(MEANING, *b"LO", b"no")]), false),
            (item(&[element(MEANING, *b"LO", b"* ")]), true),
        ] {
            let key = explicit(&key).unwrap();
            assert_eq!(key.matches(&stored(), CharacterSet::ASCII), expected, "{key:?}");
        }
        // What asks for nothing is met by a record without items.
        assert!(explicit(&asks(b"", &[is(b"")])).unwrap().matches(b"", CharacterSet::ASCII));
        assert!(!explicit(&asks(b"S1", &[])).unwrap().matches(b"", CharacterSet::ASCII));
        for whole in [&b""[..], &item(&[])] {
            assert!(explicit(whole).is_none());
        }
    }

    /// In implicit VR the key does not say what it is: the record does, and an item shows itself.
    #[test]
    fn keys_without_vr() {
        for (id, inner, expected) in [
            (&b"S1"[..], &b"A "[..], true),
            (b"S1", b"C ", false),
            (b"* ", b"* ", true),
            (b"S2", b"", true),
        ] {
            let inner = implicit(PLANNED_CODES, &item(&[implicit(CODE, inner)]));
            let key = item(&[inner, implicit(PLANNED_ID, id), implicit(MEANING, b"* ")]);
            let key = read(&key, Encoding::IMPLICIT_LITTLE).unwrap();
            assert_eq!(key.matches(&stored(), CharacterSet::ASCII), expected, "{key:?}");
        }
    }

    /// The items that match, with what was asked for; what an item does not have is empty.
    #[test]
    fn what_is_answered() {
        let of_scheme = item(&[element(CODE, *b"SH", b""), element(SCHEME, *b"SH", b"Y ")]);
        let key =
            item(&[element(MEANING, *b"LO", b""), element(PLANNED_CODES, *b"SQ", &of_scheme)]);
        let key = explicit(&key).unwrap();
        let answer = |code: &[u8]| {
            let codes = element(PLANNED_CODES, *b"SQ", &self::code(code, b"Y "));
            item(&[element(MEANING, *b"LO", b""), codes])
        };
        let expected = [answer(b"B "), answer(b"A ")].concat();
        assert_eq!(key.answer(&stored(), CharacterSet::ASCII), expected);
        let only = item(&[element(PLANNED_ID, *b"SH", b"S2")]);
        let key = explicit(&only).unwrap();
        assert_eq!(key.answer(&stored(), CharacterSet::ASCII), only);
    }

    /// PS3.5 §7.5.3: an item's own character set counts for it, and goes with it.
    #[test]
    fn items_with_their_own_set() {
        let set = element(tags::SPECIFIC_CHARACTER_SET, *b"CS", b"ISO_IR 192");
        let own = item(&[set, element(MEANING, *b"LO", "Schädel ".as_bytes())]);
        let items = [own.clone(), item(&[element(MEANING, *b"LO", b"Sch\xe4del ")])].concat();
        let asked = item(&[element(MEANING, *b"LO", b"Sch\xe4del ")]);
        let element = Element { tag: ASKED, vr: Vr::SQ, value: &asked, is_undefined: false };
        let latin = CharacterSet::parse(b"ISO_IR 100");
        let key = SequenceKey::read(&element, Encoding::EXPLICIT_LITTLE, latin).unwrap().unwrap();
        assert_eq!(key.answer(&items, latin), items);
        assert_eq!(key.answer(&items, CharacterSet::parse(b"ISO_IR 144")), own);
    }

    /// What cannot be read asks for nothing that could be answered.
    #[test]
    fn unreadable_keys() {
        let whole = item(&[element(PLANNED_CODES, *b"SQ", &code(b"A ", b"X "))]);
        for cut in 1..whole.len() {
            let element =
                Element { tag: ASKED, vr: Vr::SQ, value: &whole[..cut], is_undefined: false };
            let read = SequenceKey::read(&element, Encoding::EXPLICIT_LITTLE, CharacterSet::ASCII);
            assert!(read.is_err(), "{cut}");
        }
        let inner = item(&[element(PLANNED_CODES, *b"SQ", b"\xfe\xff\0\xe0\x08\0\0\0no")]);
        let element = Element { tag: ASKED, vr: Vr::SQ, value: &inner, is_undefined: false };
        assert!(
            SequenceKey::read(&element, Encoding::EXPLICIT_LITTLE, CharacterSet::ASCII).is_err()
        );
    }

    /// An identifier that asks for much of a sequence with many items makes no answer that is longer
    /// than what is stored can be; nor is it followed deeper.
    #[test]
    fn hostile_keys() {
        let many: Vec<_> = (1..8000).map(|at| element(Tag::new(0x0041, at), *b"LO", b"")).collect();
        let asked = item(&many);
        let items = item(&[element(CODE, *b"SH", b"A ")]).repeat(5000);
        let answer = explicit(&asked).unwrap().answer(&items, CharacterSet::ASCII);
        assert_eq!(answer, item(&[]).repeat(5000));
        let answer = explicit(&asked).unwrap().answer(&item(&[]), CharacterSet::ASCII);
        assert_eq!(answer.len(), asked.len());

        let deep = |leaf: &[u8], depth: usize| {
            let nest = |inner: Vec<u8>, _| item(&[element(PLANNED_CODES, *b"SQ", &inner)]);
            (0..depth).fold(code(leaf, b"X "), nest)
        };
        for (depth, expected) in [
            (INDEXED_SEQUENCE_DEPTH_MAX, true),
            (INDEXED_SEQUENCE_DEPTH_MAX + 1, false),
            (100, false),
        ] {
            let (key, items) = (deep(b"A ", depth), deep(b"A ", depth));
            let key = explicit(&key).unwrap();
            assert_eq!(key.matches(&items, CharacterSet::ASCII), expected, "{depth}");
            assert_eq!(key.answer(&items, CharacterSet::ASCII).is_empty(), !expected);
            assert!(!key.matches(&deep(b"B ", depth), CharacterSet::ASCII));
        }
    }
}
