//! A match as the identifier of a C-FIND response.
//!
//! Source: PS3.4 §C.4.1.1.3.2 (what it contains), PS3.3 §C.12.1.1.2 (its character set). Text goes
//! out in the character set of the request, or in the one that the configuration forces; what
//! neither can hold goes out as it is stored, in its own set, as DCMTK 3.6.7 answers. Called by
//! `server::find`.

use super::attributes::tags;
use super::env::IndexError;
use super::query::{QUERY_RETRIEVE_LEVEL, Query, RETRIEVE_AE_TITLE, Source, level_text};
use super::reader::Reader;
use super::search::Match;
use super::sequence_text::Conversion;
use crate::ae_title::AeTitle;
use crate::dataset::character_set::{CharacterSet, Illegal, is_affected};
use crate::dataset::identifier::{Encoding, Writer};
use crate::vr::{Vr, trimmed};

/// In which character set answers go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerCharacterSet {
    /// In the configured one, whatever the request's is (`--override-charset`).
    pub overrides: bool,
    /// Where the first choice cannot hold the text, the other one is tried.
    pub falls_back: bool,
    /// The configured defined term; empty is ASCII.
    pub character_set: Vec<u8>,
    /// What becomes of characters that a set does not have.
    pub illegal: Illegal,
}

/// DCMTK's without options: the request's set, then ASCII.
impl Default for AnswerCharacterSet {
    fn default() -> Self {
        Self {
            overrides: false,
            falls_back: true,
            character_set: Vec::new(),
            illegal: Illegal::Abort,
        }
    }
}

/// In what a response differs from what was wished for; the log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Converted {
    /// Nothing had to be converted, or it was.
    AsWished,
    /// The first choice could not hold it, the other could.
    ToFallback,
    /// Neither could: it went out as it is stored.
    Not,
}

/// Makes the answers of one query.
pub struct Answerer<'q, 'k> {
    query: &'q Query<'k>,
    title: AeTitle,
    encoding: Encoding,
    policy: &'q AnswerCharacterSet,
    /// What was asked for of sequences; nothing where they go out as they are.
    selected: Vec<Option<Vec<u8>>>,
    /// Values of columns that were converted.
    converted: Vec<Option<Vec<u8>>>,
}

impl<'q, 'k> Answerer<'q, 'k> {
    /// Answers `query` in `encoding`, in the name of `title`.
    pub fn new(
        query: &'q Query<'k>,
        title: AeTitle,
        encoding: Encoding,
        policy: &'q AnswerCharacterSet,
    ) -> Self {
        Self { query, title, encoding, policy, selected: Vec::new(), converted: Vec::new() }
    }

    /// Appends the answer for `found` to `out`.
    pub fn append(
        &mut self,
        found: &Match<'_>,
        reader: &Reader<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Converted, IndexError> {
        let source = found.character_set_value();
        self.select(found, source);
        let (character_set, converted) = self.convert(found, source);
        let mut writer = Writer::new(out, self.encoding);
        for (at, column) in self.query.columns().iter().enumerate() {
            let (tag, vr) = (column.tag, column.vr);
            match column.source {
                Source::Known if tag == tags::SPECIFIC_CHARACTER_SET => {
                    if !character_set.is_empty() {
                        writer.text(tag, vr, character_set);
                    }
                }
                Source::Known if tag == QUERY_RETRIEVE_LEVEL => {
                    writer.text(tag, vr, level_text(self.query.level()).as_bytes());
                }
                Source::Known if tag == RETRIEVE_AE_TITLE => {
                    writer.text(tag, vr, self.title.as_bytes());
                }
                Source::Known | Source::Nothing => writer.stored(tag, vr, b""),
                Source::Attribute(level, bytes_max) => {
                    let made = [&self.converted, &self.selected];
                    match made.iter().find_map(|values| values.get(at)?.as_ref()) {
                        Some(value) => writer.stored(tag, vr, value),
                        None => writer.stored(tag, vr, cut(found.value(level, tag), bytes_max)),
                    }
                }
                Source::Computed(kind) => {
                    writer.text(tag, vr, &found.computed(kind, reader)?);
                }
            }
        }
        Ok(converted)
    }

    /// Selects the items and attributes that were asked for (PS3.4 §C.2.2.2.6).
    fn select(&mut self, found: &Match<'_>, source: &[u8]) {
        self.selected.clear();
        if !self.query.asks_sequences() {
            return;
        }
        let set = CharacterSet::parse(source);
        let columns = self.query.columns().iter();
        self.selected.extend(columns.map(|column| {
            let Source::Attribute(level, _) = column.source else { return None };
            let key = self.query.sequence(column.tag)?;
            Some(key.answer(found.value(level, column.tag), set))
        }));
    }

    /// Chooses the character set and converts what is not ASCII.
    fn convert<'s>(&mut self, found: &Match<'_>, source: &'s [u8]) -> (&'s [u8], Converted)
    where
        'q: 's,
        'k: 's,
    {
        self.converted.clear();
        let (request, configured) =
            (self.query.character_set_value(), &self.policy.character_set[..]);
        let (first, other) =
            if self.policy.overrides { (configured, request) } else { (request, configured) };
        if !is_needed(source, first) {
            return (source, Converted::AsWished);
        }
        if self.convert_to(found, source, first) {
            return (told(first), Converted::AsWished);
        }
        let has_other = self.policy.falls_back && first != other && is_needed(source, other);
        if has_other && self.convert_to(found, source, other) {
            return (told(other), Converted::ToFallback);
        }
        self.converted.clear();
        (source, Converted::Not)
    }

    /// Converts all values, or none.
    fn convert_to(&mut self, found: &Match<'_>, source: &[u8], destination: &[u8]) -> bool {
        self.converted.clear();
        let (from, to) = (CharacterSet::parse(source), CharacterSet::parse(destination));
        if !from.is_known() || !to.is_destination() {
            return false;
        }
        let conversion = Conversion { from, to, illegal: self.policy.illegal };
        for (at, column) in self.query.columns().iter().enumerate() {
            let Source::Attribute(level, bytes_max) = column.source else { continue };
            let is_sequence = column.vr == Vr::SQ;
            if !is_affected(column.vr) && !is_sequence {
                continue;
            }
            let value = match self.selected.get(at).and_then(Option::as_ref) {
                Some(items) => items,
                None => cut(found.value(level, column.tag), bytes_max),
            };
            if value.is_ascii() && memchr::memchr(0x1B, value).is_none() {
                continue;
            }
            let bytes = if is_sequence {
                conversion.items(value)
            } else {
                conversion.text(column.vr, value)
            };
            let Some(bytes) = bytes else { return false };
            if self.converted.is_empty() {
                self.converted.resize(self.query.columns().len(), None);
            }
            if let Some(slot) = self.converted.get_mut(at) {
                *slot = Some(bytes);
            }
        }
        true
    }
}

/// Sets that UTF-8 contains need no conversion to it; other pairs need one unless they are equal.
fn is_needed(source: &[u8], destination: &[u8]) -> bool {
    let is_utf8 = |term: &[u8]| matches!(term, b"" | b"ISO_IR 192" | b"ISO_IR 6");
    source != destination && (destination != b"ISO_IR 192" || !is_utf8(source))
}

/// The value of (0008,0005): `ISO_IR 6` is no defined term and is not told.
fn told(term: &[u8]) -> &[u8] {
    let term = trimmed(term);
    if term == b"ISO_IR 6" { b"" } else { term }
}

fn cut(value: &[u8], bytes_max: usize) -> &[u8] {
    value.get(..bytes_max).unwrap_or(value)
}
