//! A data dictionary in the place of the built-in one: what the environment variable `DCMDICTPATH`
//! names, as DCMTK's tools use it.
//!
//! The files are read in Python (`config/dictionary.py`); here are their entries: single tags,
//! ranges of tags, and elements of private blocks by their creator (PS3.5 §7.8.1). One dictionary
//! serves a process from its start; it cannot be changed while associations run. Called by
//! `dictionary` and, to install one, by `rust/py`.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::dictionary::elements::DictionaryVr;
use crate::tag::Tag;
use crate::vr::Vr;

/// Numbers from a first to a last one: all, the odd or the even ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u16,
    /// The last, itself included.
    pub last: u16,
    /// 0 for every number, 1 for the odd, 2 for the even ones.
    pub every: u8,
}

impl Span {
    fn holds(self, number: u16) -> bool {
        let is_parity_right = match self.every {
            1 => number % 2 == 1,
            2 => number % 2 == 0,
            _ => true,
        };
        (self.first..=self.last).contains(&number) && is_parity_right
    }

    fn is_single(self) -> bool {
        self.first == self.last
    }

    fn width(self) -> u32 {
        u32::from(self.last.saturating_sub(self.first))
    }
}

/// One line of a dictionary file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its groups.
    pub group: Span,
    /// Its elements; up to 00FFH in a private block wherever that lies.
    pub element: Span,
    /// Who reserved the block; empty for a public element.
    pub creator: Box<[u8]>,
    /// The VR, or DCMTK's word for those that other elements decide.
    pub vr: [u8; 2],
    /// The name.
    pub keyword: Box<str>,
}

/// What several lines say together; of two for one tag the later counts.
#[derive(Debug, Default)]
pub struct CustomDictionary {
    single: HashMap<Tag, Entry>,
    /// The narrowest first.
    ranges: Vec<Entry>,
    /// By creator; the latest first.
    private: HashMap<Box<[u8]>, Vec<Entry>>,
}

static INSTALLED: OnceLock<CustomDictionary> = OnceLock::new();

/// Puts `dictionary` in the place of the built-in one, for good; false if one is there already.
pub fn install(dictionary: CustomDictionary) -> bool {
    INSTALLED.set(dictionary).is_ok()
}

/// The dictionary that was installed.
pub fn installed() -> Option<&'static CustomDictionary> {
    INSTALLED.get()
}

impl CustomDictionary {
    /// The dictionary of these lines.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut made = Self::default();
        for entry in entries {
            if !entry.creator.is_empty() {
                made.private.entry(trimmed(&entry.creator).into()).or_default().push(entry);
            } else if entry.group.is_single() && entry.element.is_single() {
                made.single.insert(Tag::new(entry.group.first, entry.element.first), entry);
            } else {
                made.ranges.push(entry);
            }
        }
        made.private.values_mut().for_each(|entries| entries.reverse());
        made.ranges.reverse();
        // Stable: of two equally wide ones the later stays first.
        made.ranges.sort_by_key(|entry| (entry.group.width(), entry.element.width()));
        made
    }

    fn find(&self, tag: Tag) -> Option<&Entry> {
        let holds =
            |entry: &&Entry| entry.group.holds(tag.group()) && entry.element.holds(tag.element());
        self.single.get(&tag).or_else(|| self.ranges.iter().find(holds))
    }

    /// As [`super::vr_of`]. Group lengths are UL whatever the lines say (PS3.5 §7.2).
    pub fn vr_of(&self, tag: Tag) -> Option<DictionaryVr> {
        if tag.element() == 0 {
            return Some(DictionaryVr::Is(Vr(*b"UL")));
        }
        self.find(tag).and_then(|entry| meaning(entry.vr))
    }

    /// As [`super::tag_of`]: of a range the first one; elements of private blocks have no name here,
    /// because where the block lies is the data set's own business.
    pub fn tag_of(&self, keyword: &str) -> Option<Tag> {
        if keyword.is_empty() {
            return None;
        }
        let is_named = |entry: &&Entry| {
            let known = &*entry.keyword;
            known == keyword || known.strip_prefix("RETIRED_") == Some(keyword)
        };
        // The lowest of several, whatever the order of a table.
        let single = self.single.iter().filter(|(_, entry)| is_named(entry)).map(|(tag, _)| *tag);
        let first = |entry: &Entry| Tag::new(entry.group.first, entry.element.first);
        single.min().or_else(|| self.ranges.iter().find(is_named).map(first))
    }

    /// The entries of the blocks that `creator` reserves.
    pub(super) fn private_block(&self, creator: &[u8]) -> Option<&[Entry]> {
        self.private.get(trimmed(creator)).map(|entries| &entries[..])
    }

    /// As [`super::keyword_of`].
    pub fn keyword_of(&self, tag: Tag) -> Option<&str> {
        self.find(tag).map(|entry| &*entry.keyword)
    }
}

/// The VR of an element of a private block that has these entries.
pub(super) fn private_vr_of(entries: &[Entry], tag: Tag) -> Option<DictionaryVr> {
    let holds = |entry: &&Entry| {
        let number = if entry.element.last <= 0xFF { tag.element() & 0xFF } else { tag.element() };
        entry.group.holds(tag.group()) && entry.element.holds(number)
    };
    entries.iter().find(holds).and_then(|entry| meaning(entry.vr))
}

/// Blanks behind a creator's name carry no meaning (PS3.5 §6.2, LO).
fn trimmed(creator: &[u8]) -> &[u8] {
    creator.trim_ascii_end()
}

/// What two letters of a dictionary file mean.
pub(super) fn meaning(letters: [u8; 2]) -> Option<DictionaryVr> {
    Some(match &letters {
        b"xs" => DictionaryVr::UsOrSs,
        b"ox" | b"px" => DictionaryVr::ObOrOw,
        b"lt" => DictionaryVr::LookupTable,
        // Offsets in directory records (PS3.3 §F.3.2.2).
        b"up" => DictionaryVr::Is(Vr(*b"UL")),
        _ if Vr(letters).is_known() => DictionaryVr::Is(Vr(letters)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(group: (u16, u16, u8), element: (u16, u16, u8), creator: &str, vr: &str) -> Entry {
        let span = |(first, last, every)| Span { first, last, every };
        Entry {
            group: span(group),
            element: span(element),
            creator: creator.as_bytes().into(),
            vr: vr.as_bytes().try_into().unwrap(),
            keyword: format!("Of{vr}").into(),
        }
    }

    const fn is(letters: [u8; 2]) -> DictionaryVr {
        DictionaryVr::Is(Vr(letters))
    }

    #[test]
    fn the_narrowest_and_the_latest_line_counts() {
        let dictionary = CustomDictionary::new([
            entry((0x0010, 0x0010, 0), (0x0010, 0x0010, 0), "", "CS"),
            entry((0x0010, 0x0010, 0), (0x0010, 0x0010, 0), "", "PN"),
            entry((0x6000, 0x60FF, 2), (0x0010, 0x0010, 0), "", "US"),
            entry((0x6002, 0x6004, 2), (0x0010, 0x0010, 0), "", "SS"),
            entry((0x0009, 0xFFFF, 1), (0x0010, 0x00FF, 0), "", "LO"),
        ]);
        for (tag, vr) in [
            ((0x0010, 0x0010), Some(is(*b"PN"))),
            ((0x6000, 0x0010), Some(is(*b"US"))),
            ((0x6004, 0x0010), Some(is(*b"SS"))),
            ((0x6001, 0x0010), Some(is(*b"LO"))), // no overlay: a private creator
            ((0x0009, 0x0010), Some(is(*b"LO"))),
            ((0x0009, 0x0100), None),
            ((0x0010, 0x0020), None),
            ((0x0010, 0x0000), Some(is(*b"UL"))),
        ] {
            assert_eq!(dictionary.vr_of(Tag::new(tag.0, tag.1)), vr, "{tag:?}");
        }
        for (name, tag) in [
            ("OfPN", Some((0x0010, 0x0010))),
            ("OfSS", Some((0x6002, 0x0010))),
            ("OfCS", None), // the later line took its place
            ("", None),
        ] {
            let tag = tag.map(|(group, element)| Tag::new(group, element));
            assert_eq!(dictionary.tag_of(name), tag, "{name}");
        }
        assert_eq!(dictionary.keyword_of(Tag::new(0x0010, 0x0010)), Some("OfPN"));
        assert_eq!(dictionary.keyword_of(Tag::new(0x0010, 0x0020)), None);
    }

    #[test]
    fn private_elements_are_known_by_creator_and_place_in_the_block() {
        let dictionary = CustomDictionary::new([
            entry((0x0029, 0x0029, 0), (0x0010, 0x0010, 0), "ACME 1.1", "DS"),
            entry((0x0029, 0x0029, 0), (0x1020, 0x1020, 0), "ACME 1.1", "SQ"),
            entry((0x7001, 0x70FF, 1), (0x0004, 0x0004, 0), "ACME 1.1 ", "ST"),
        ]);
        let vr = |creator: &[u8], group, element| {
            let entries = dictionary.private_block(creator)?;
            private_vr_of(entries, Tag::new(group, element))
        };
        assert_eq!(vr(b"ACME 1.1", 0x0029, 0x1010), Some(is(*b"DS")));
        assert_eq!(vr(b"ACME 1.1 ", 0x0029, 0xFF10), Some(is(*b"DS")));
        assert_eq!(vr(b"ACME 1.1", 0x0029, 0x1020), Some(is(*b"SQ")));
        assert_eq!(vr(b"ACME 1.1", 0x0029, 0x1120), None); // that number is fixed
        assert_eq!(vr(b"ACME 1.1", 0x7003, 0x1104), Some(is(*b"ST")));
        assert_eq!(vr(b"ACME 1.1", 0x7004, 0x1104), None);
        assert_eq!(vr(b"ACME", 0x0029, 0x1010), None);
    }

    #[test]
    fn words_of_dcmtk_for_vrs_that_neighbours_decide() {
        assert_eq!(meaning(*b"xs"), Some(DictionaryVr::UsOrSs));
        assert_eq!(meaning(*b"ox"), Some(DictionaryVr::ObOrOw));
        assert_eq!(meaning(*b"lt"), Some(DictionaryVr::LookupTable));
        assert_eq!(meaning(*b"up"), Some(is(*b"UL")));
        assert_eq!(meaning(*b"na"), None);
        assert_eq!(meaning(*b"UN"), Some(is(*b"UN")));
        assert_eq!(meaning(*b"zz"), None);
    }
}
