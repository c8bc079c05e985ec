//! An identifier, compiled: which keys are matched, and which elements are answered.
//!
//! [`Query::compile`] reads an identifier by one of two sets of rules ([`RuleSet`]): DCMTK's, as its
//! dcmqrscp 3.6.7 answers key for key, or those of PS3.4 Annex C. C-MOVE and C-GET select by the
//! same rules ([`Purpose::Retrieve`]). What is found is `search`'s. Source: PS3.4 §C.4.1.1.3,
//! §C.4.1.2, §C.4.1.3 and §C.4.2. Called by `server::{find, retrieve}`.

use std::fmt;

use super::attributes::{
    self, Attribute, Computed, KeyClass, Level, find as find_attribute, tags, unique_key,
};
use super::matching::{CombinedRange, DcmtkKey, StandardKey, has_wildcard, until_nul};
use super::sequence_key::SequenceKey;
use crate::dataset::attributes::AttributesRef;
use crate::dataset::character_set::CharacterSet;
use crate::dataset::identifier::{Encoding, IdentifierError, Item};
use crate::limits::{QUERY_KEY_BYTES_PER_ROW, QUERY_VALUES_MAX};
use crate::tag::Tag;
use crate::vr::{Vr, trimmed};

/// Query/Retrieve Level.
pub const QUERY_RETRIEVE_LEVEL: Tag = Tag::new(0x0008, 0x0052);
/// Retrieve AE Title.
pub const RETRIEVE_AE_TITLE: Tag = Tag::new(0x0008, 0x0054);
/// Timezone Offset From UTC; a remark on the identifier, no key.
const TIMEZONE_OFFSET: Tag = Tag::new(0x0008, 0x0201);

/// An information model of PS3.4 §C.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Patient Root.
    PatientRoot,
    /// Study Root: attributes of the patient belong to the study.
    StudyRoot,
    /// Patient/Study Only (retired).
    PatientStudyOnly,
}

impl Model {
    /// The model of a FIND, MOVE or GET SOP class.
    pub fn of(sop_class: &[u8]) -> Option<Self> {
        let rest = sop_class.strip_prefix(b"1.2.840.10008.5.1.4.1.2.")?;
        let (model, service) = (rest.first()?, rest.get(1..)?);
        if !matches!(service, b".1" | b".2" | b".3") {
            return None;
        }
        Some(match model {
            b'1' => Self::PatientRoot,
            b'2' => Self::StudyRoot,
            b'3' => Self::PatientStudyOnly,
            _ => return None,
        })
    }

    /// The highest level of a query.
    pub const fn top(self) -> Level {
        match self {
            Self::StudyRoot => Level::Study,
            Self::PatientRoot | Self::PatientStudyOnly => Level::Patient,
        }
    }

    /// The lowest level of a query.
    pub const fn bottom(self) -> Level {
        match self {
            Self::PatientStudyOnly => Level::Study,
            Self::PatientRoot | Self::StudyRoot => Level::Image,
        }
    }
}

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RuleSet {
    /// DCMTK's, `--matching dcmtk`.
    #[default]
    Dcmtk,
    /// Those of PS3.4, `--matching standard`.
    Standard,
}

/// How identifiers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Rules {
    /// Whose rules.
    pub set: RuleSet,
    /// `--check-find`, or `--check-move` for retrieval: strict checks of identifiers, in DCMTK's
    /// rules only; the standard's are always strict.
    pub checks_identifier: bool,
    /// Relational queries were negotiated (PS3.4 §C.5.1.1.1); the standard's rules only.
    pub is_relational: bool,
    /// Combined date-time matching was negotiated; the standard's rules only.
    pub combines_date_time: bool,
}

impl Rules {
    /// These rules on an association that agreed on `information`, the service class application
    /// information of PS3.4 §C.5: its first byte is relational queries or retrieval, the second
    /// combined date-time matching.
    #[must_use]
    pub fn with(self, information: Option<&[u8]>) -> Self {
        let agreed = |at: usize| information.and_then(|bytes| bytes.get(at)) == Some(&1);
        Self {
            is_relational: self.is_relational || agreed(0),
            combines_date_time: self.combines_date_time || agreed(1),
            ..self
        }
    }
}

/// What a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// C-FIND: one match for each entity of the query's level.
    Find,
    /// C-MOVE and C-GET: one match for each instance.
    Retrieve,
}

/// Why an identifier cannot be used. `server::answers` has the status of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// It cannot be read.
    Identifier(IdentifierError),
    /// No Query/Retrieve Level, or an empty one.
    NoLevel,
    /// A Query/Retrieve Level that is none.
    UnknownLevel,
    /// A level that the information model does not have.
    LevelOutsideModel(Level),
    /// The unique key of a level above the query's is missing.
    NoUniqueKey(Level),
    /// What `--check-find`, `--check-move` or the standard does not allow.
    NotConforming(&'static str),
    /// A key with more values than are compared with each row.
    TooManyValues(Tag),
}

impl fmt::Display for QueryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identifier(error) => error.fmt(formatter),
            Self::NoLevel => formatter.write_str("no Query/Retrieve Level (0008,0052)"),
            Self::UnknownLevel => formatter.write_str("unknown Query/Retrieve Level (0008,0052)"),
            Self::LevelOutsideModel(level) => {
                write!(formatter, "level {} is not in this information model", level_text(*level))
            }
            Self::NoUniqueKey(level) => {
                write!(formatter, "no unique key of level {}", level_text(*level))
            }
            Self::NotConforming(what) => formatter.write_str(what),
            Self::TooManyValues(tag) => {
                write!(formatter, "key {tag} has more than {QUERY_VALUES_MAX} values")
            }
        }
    }
}

impl std::error::Error for QueryError {}

/// True for more than [`QUERY_VALUES_MAX`] values that are not empty, in whatever a sequence holds, too.
fn has_too_many_values(value: &[u8]) -> bool {
    let values = value.split(|byte| *byte == b'\\').filter(|one| !trimmed(one).is_empty());
    values.take(QUERY_VALUES_MAX + 1).count() > QUERY_VALUES_MAX
}

/// The defined term of a level.
pub const fn level_text(level: Level) -> &'static str {
    match level {
        Level::Patient => "PATIENT",
        Level::Study => "STUDY",
        Level::Series => "SERIES",
        Level::Image => "IMAGE",
    }
}

/// All levels, from the top.
pub(super) const LEVELS: [Level; 4] = [Level::Patient, Level::Study, Level::Series, Level::Image];

/// One key that is matched; universal ones are not kept.
#[derive(Clone, Debug)]
pub(super) struct Key<'k> {
    pub subject: Subject,
    pub vr: Vr,
    pub raw: &'k [u8],
    pub rule: KeyRule<'k>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Subject {
    Attribute(&'static Attribute),
    Computed(Computed),
}

#[derive(Clone, Debug)]
pub(super) enum KeyRule<'k> {
    Dcmtk(DcmtkKey<'k>),
    Standard(StandardKey<'k>),
    /// Matched by a [`Combined`] pair.
    InPair,
}

/// A date and a time that are matched as one moment.
#[derive(Clone, Debug)]
struct Combined {
    level: Level,
    date: Tag,
    time: Tag,
    range: CombinedRange,
}

/// Where a value of the answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An attribute of this level; at most so many bytes of it.
    Attribute(Level, usize),
    /// A computed attribute.
    Computed(Computed),
    /// Asked for and not supported: empty.
    Nothing,
    /// (0008,0005), (0008,0052) or (0008,0054): known without looking.
    Known,
}

/// One element of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its tag.
    pub tag: Tag,
    /// Its VR.
    pub vr: Vr,
    /// Its value.
    pub source: Source,
}

/// A compiled identifier.
#[derive(Clone, Debug)]
pub struct Query<'k> {
    pub(super) level: Level,
    /// The level of what is found: the query's, or Image to retrieve.
    pub(super) target: Level,
    pub(super) rules: Rules,
    character_set_value: &'k [u8],
    pub(super) character_set: CharacterSet,
    pub(super) keys: Vec<Key<'k>>,
    combined: Vec<Combined>,
    pub(super) columns: Vec<Column>,
    /// Sequences of which a part is asked for.
    sequences: Vec<(Tag, SequenceKey<'k>)>,
    has_unsupported_keys: bool,
    /// Nothing can match: DCMTK's answer to a retrieval without upper unique keys.
    pub(super) is_void: bool,
    /// Columns of lower levels, or keys of them, need an instance.
    pub(super) needs_instance: bool,
    pub(super) needs_levels: [bool; 4],
    /// What a look at one row counts for in a page: more with long keys, each value of which is compared.
    pub(super) row_cost: usize,
}

impl<'k> Query<'k> {
    /// Reads `item`, an identifier in `encoding` for `model`.
    pub fn compile(
        item: &Item<'k>,
        encoding: Encoding,
        model: Model,
        rules: Rules,
        purpose: Purpose,
    ) -> Result<Self, QueryError> {
        let level = match rules.set {
            RuleSet::Dcmtk => dcmtk_level(item)?,
            RuleSet::Standard => standard_level(item)?,
        };
        let character_set_value = trimmed(item.value(tags::SPECIFIC_CHARACTER_SET));
        let mut query = Self {
            level,
            target: if purpose == Purpose::Retrieve { Level::Image } else { level },
            rules,
            character_set_value,
            character_set: CharacterSet::parse(character_set_value),
            keys: Vec::new(),
            combined: Vec::new(),
            columns: Vec::with_capacity(item.elements().len() + 3),
            sequences: Vec::new(),
            has_unsupported_keys: false,
            is_void: false,
            needs_instance: false,
            needs_levels: [false; 4],
            row_cost: 1,
        };
        match rules.set {
            RuleSet::Dcmtk => query.compile_dcmtk(item, model, purpose)?,
            RuleSet::Standard => query.compile_standard(item, encoding, model, purpose)?,
        }
        query.finish(purpose);
        Ok(query)
    }

    /// The level asked for.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The value of (0008,0005), without padding; empty when there is none.
    pub const fn character_set_value(&self) -> &'k [u8] {
        self.character_set_value
    }

    /// Elements of an answer, in ascending order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// True when a part of some sequence is asked for.
    pub(super) fn asks_sequences(&self) -> bool {
        !self.sequences.is_empty()
    }

    /// What is asked of the sequence `tag`, unless it is asked for as it is.
    pub(super) fn sequence(&self, tag: Tag) -> Option<&SequenceKey<'k>> {
        self.sequences.iter().find(|(known, _)| *known == tag).map(|(_, key)| key)
    }

    /// Whose rules.
    pub const fn rules(&self) -> Rules {
        self.rules
    }

    /// A key was asked for that is not supported: FF01H instead of FF00H, in the standard's rules.
    pub const fn has_unsupported_keys(&self) -> bool {
        self.has_unsupported_keys
    }

    /// No key at all is answered: DCMTK then ends at the first match that has no character set.
    pub fn answers_nothing(&self) -> bool {
        self.columns.iter().all(|column| column.source == Source::Known)
    }

    // ---- DCMTK's rules ------------------------------------------------------------------------

    fn compile_dcmtk(
        &mut self,
        item: &Item<'k>,
        model: Model,
        purpose: Purpose,
    ) -> Result<(), QueryError> {
        if self.rules.checks_identifier {
            dcmtk_check(item, self.level, model, purpose)?;
        }
        if self.level < model.top() {
            if purpose == Purpose::Find {
                return Err(QueryError::LevelOutsideModel(self.level));
            }
            self.is_void = true;
        }
        for level in LEVELS {
            if level >= model.top() && level < self.level && item.get(unique_key(level)).is_none() {
                // DIFFERENCES.md C9: an error of C-FIND, and no match of C-MOVE and C-GET.
                if purpose == Purpose::Find {
                    return Err(QueryError::NoUniqueKey(level));
                }
                self.is_void = true;
            }
        }
        for element in item.elements() {
            let Some(attribute) = find_attribute(element.tag) else { continue };
            let Some(class) = attribute.dcmtk else { continue };
            let (tag, vr, level) = (attribute.tag, attribute.vr, attribute.level);
            let is_matched = if level == self.level {
                true
            } else if level < self.level && level >= model.top() {
                class == KeyClass::Unique
            } else {
                level == Level::Patient && self.level == Level::Study && model == Model::StudyRoot
            };
            let cut = dcmtk_bytes_max(attribute);
            self.columns.push(Column { tag, vr, source: Source::Attribute(level, cut) });
            if is_matched {
                let rule = DcmtkKey::compile(vr, element.value, self.character_set);
                if !rule.is_universal() {
                    self.keys.push(Key {
                        subject: Subject::Attribute(attribute),
                        vr,
                        raw: trimmed(until_nul(element.value)),
                        rule: KeyRule::Dcmtk(rule),
                    });
                }
            }
        }
        Ok(())
    }

    // ---- The standard's rules -----------------------------------------------------------------

    fn compile_standard(
        &mut self,
        item: &Item<'k>,
        encoding: Encoding,
        model: Model,
        purpose: Purpose,
    ) -> Result<(), QueryError> {
        if self.level < model.top() || self.level > model.bottom() {
            return Err(QueryError::LevelOutsideModel(self.level));
        }
        self.check_unique_keys(item, model, purpose)?;
        for element in item.elements() {
            let tag = element.tag;
            // A group length is no key, nor are remarks on the identifier.
            if tag.element() == 0
                || [tags::SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, TIMEZONE_OFFSET]
                    .contains(&tag)
            {
                continue;
            }
            let is_list_of_uids = find_attribute(tag).is_some_and(|known| known.vr == Vr(*b"UI"));
            if !is_list_of_uids && has_too_many_values(element.value) {
                return Err(QueryError::TooManyValues(tag));
            }
            if let Some(attribute) = find_attribute(tag) {
                let (vr, level) = (attribute.vr, attribute.level);
                if level > self.level && !self.rules.is_relational {
                    self.unsupported(tag, vr);
                    continue;
                }
                let source = Source::Attribute(level, usize::MAX);
                self.columns.push(Column { tag, vr, source });
                let rule = if vr == Vr::SQ {
                    let key = SequenceKey::read(element, encoding, self.character_set)
                        .map_err(QueryError::Identifier)?;
                    self.sequences.extend(key.clone().map(|key| (tag, key)));
                    StandardKey::of_sequence(key)
                } else {
                    StandardKey::compile(vr, element, encoding, self.character_set)
                };
                let is_selected = purpose == Purpose::Find || tag == unique_key(level);
                if !rule.is_universal() && is_selected {
                    self.keys.push(Key {
                        subject: Subject::Attribute(attribute),
                        vr,
                        raw: trimmed(element.value),
                        rule: KeyRule::Standard(rule),
                    });
                }
            } else if let Some(attribute) = attributes::find_computed(tag) {
                self.computed(attribute, element.value, purpose);
            } else {
                self.unsupported(tag, element.vr);
            }
        }
        if self.rules.combines_date_time {
            self.combine(item);
        }
        let compared = |key: &&Key<'_>| match &key.rule {
            KeyRule::Standard(rule) => !rule.is_looked_up(),
            KeyRule::Dcmtk(_) | KeyRule::InPair => false,
        };
        let bytes: usize = self.keys.iter().filter(compared).map(|key| key.raw.len()).sum();
        self.row_cost += bytes / QUERY_KEY_BYTES_PER_ROW;
        Ok(())
    }

    fn unsupported(&mut self, tag: Tag, vr: Vr) {
        let vr = if vr == Vr::NONE { Vr::UN } else { vr };
        self.columns.push(Column { tag, vr, source: Source::Nothing });
        self.has_unsupported_keys = true;
    }

    fn computed(
        &mut self,
        attribute: &attributes::ComputedAttribute,
        value: &'k [u8],
        purpose: Purpose,
    ) {
        let (tag, vr, kind) = (attribute.tag, attribute.vr, attribute.kind);
        if kind == Computed::RetrieveAeTitle {
            return;
        }
        // What counts below a level has no meaning for a query above it.
        if attribute.level.is_some_and(|level| level > self.level) {
            self.unsupported(tag, vr);
            return;
        }
        self.columns.push(Column { tag, vr, source: Source::Computed(kind) });
        let rule = StandardKey::compile_text(vr, value, self.character_set);
        if !rule.is_universal() && purpose == Purpose::Find {
            self.keys.push(Key {
                subject: Subject::Computed(kind),
                vr,
                raw: trimmed(value),
                rule: KeyRule::Standard(rule),
            });
        }
    }

    /// PS3.4 §C.4.1.2.2.1, §C.4.1.3.1, §C.4.2.2.1: single unique keys above the level unless
    /// relational; to retrieve, a unique key or list of them at the level.
    fn check_unique_keys(
        &self,
        item: &Item<'k>,
        model: Model,
        purpose: Purpose,
    ) -> Result<(), QueryError> {
        for level in LEVELS {
            if level < model.top() || level > self.level {
                continue;
            }
            let value = trimmed(item.value(unique_key(level)));
            if level == self.level {
                if purpose == Purpose::Retrieve && value.is_empty() {
                    return Err(QueryError::NoUniqueKey(level));
                }
                if purpose == Purpose::Retrieve && level == Level::Patient && has_wildcard(value) {
                    return Err(QueryError::NotConforming("a wildcard in a unique key"));
                }
                continue;
            }
            if self.rules.is_relational {
                continue;
            }
            if value.is_empty() {
                return Err(QueryError::NoUniqueKey(level));
            }
            let is_list = level != Level::Patient && value.contains(&b'\\');
            if is_list || (level == Level::Patient && has_wildcard(value)) {
                return Err(QueryError::NotConforming(
                    "a list or wildcard in the unique key of a level above",
                ));
            }
        }
        Ok(())
    }

    /// Pairs of a date and a time become ranges of moments.
    fn combine(&mut self, item: &Item<'k>) {
        for (date, time) in DATE_TIME_PAIRS {
            let Some(range) = CombinedRange::of(item.value(date), item.value(time)) else {
                continue;
            };
            let of = |key: &Key<'_>, tag: Tag| matches!(key.subject, Subject::Attribute(attribute) if attribute.tag == tag);
            let both = [date, time].iter().all(|tag| self.keys.iter().any(|key| of(key, *tag)));
            let (true, Some(attribute)) = (both, find_attribute(date)) else { continue };
            for key in &mut self.keys {
                if of(key, date) || of(key, time) {
                    key.rule = KeyRule::InPair;
                }
            }
            self.combined.push(Combined { level: attribute.level, date, time, range });
        }
    }

    /// Sorts the columns and notes what they need.
    fn finish(&mut self, purpose: Purpose) {
        if purpose == Purpose::Retrieve {
            self.columns.clear();
            return;
        }
        for (tag, vr) in [
            (tags::SPECIFIC_CHARACTER_SET, Vr(*b"CS")),
            (QUERY_RETRIEVE_LEVEL, Vr(*b"CS")),
            (RETRIEVE_AE_TITLE, Vr(*b"AE")),
        ] {
            // One that was asked for as a key is known, too.
            self.columns.retain(|column| column.tag != tag);
            self.columns.push(Column { tag, vr, source: Source::Known });
        }
        self.columns.sort_by_key(|column| column.tag);
        for column in &self.columns {
            if let Source::Attribute(level, _) = column.source {
                self.needs_levels[level as usize] = true;
                self.needs_instance |= level > self.level;
            }
            if let Source::Computed(kind) = column.source {
                self.needs_levels[computed_level(kind) as usize] = true;
            }
        }
        for key in &self.keys {
            if let Subject::Computed(kind) = key.subject {
                self.needs_levels[computed_level(kind) as usize] = true;
            }
        }
    }

    // ---- Matching -----------------------------------------------------------------------------

    pub(super) fn keys_of(&self, level: Level) -> impl Iterator<Item = &Key<'k>> {
        self.keys.iter().filter(move |key| {
            matches!(key.subject, Subject::Attribute(attribute) if attribute.level == level)
        })
    }

    pub(super) fn has_keys_of(&self, level: Level) -> bool {
        self.keys_of(level).next().is_some()
    }

    /// Do the values of one record match all keys of `level`?
    pub(super) fn values_match(&self, level: Level, values: AttributesRef<'_>) -> bool {
        let mut keys = self.keys_of(level).peekable();
        if keys.peek().is_none() {
            return true;
        }
        let set = CharacterSet::parse(values.value(tags::SPECIFIC_CHARACTER_SET));
        let each = keys.all(|key| {
            let Subject::Attribute(attribute) = key.subject else { return true };
            let value = values.value(attribute.tag);
            match &key.rule {
                KeyRule::Dcmtk(rule) => {
                    let cut = dcmtk_bytes_max(attribute).min(value.len());
                    rule.matches(value.get(..cut).unwrap_or(value), set)
                }
                KeyRule::Standard(rule) => rule.matches(value, set),
                KeyRule::InPair => true,
            }
        });
        each && self
            .combined
            .iter()
            .filter(|pair| pair.level == level)
            .all(|pair| pair.range.matches(values.value(pair.date), values.value(pair.time)))
    }

    /// Does a set of values of an entity at `level` match? A study's set has the patient's, too.
    pub(super) fn set_matches(&self, level: Level, values: AttributesRef<'_>) -> bool {
        self.values_match(level, values)
            && (level != Level::Study || self.values_match(Level::Patient, values))
    }
}

/// Dates and times that PS3.4 lets be matched as one.
const DATE_TIME_PAIRS: [(Tag, Tag); 3] = [
    (Tag::new(0x0008, 0x0020), Tag::new(0x0008, 0x0030)),
    (Tag::new(0x0008, 0x0021), Tag::new(0x0008, 0x0031)),
    (Tag::new(0x0040, 0x0244), Tag::new(0x0040, 0x0245)),
];

/// The level whose record has what a computed attribute is made of.
pub(super) const fn computed_level(kind: Computed) -> Level {
    match kind {
        Computed::PatientStudies | Computed::PatientSeries | Computed::PatientInstances => {
            Level::Patient
        }
        Computed::SeriesInstances => Level::Series,
        Computed::AvailableTransferSyntax => Level::Image,
        // The last two need nothing, and a study is never far.
        Computed::StudySeries
        | Computed::StudyInstances
        | Computed::ModalitiesInStudy
        | Computed::SopClassesInStudy
        | Computed::InstanceAvailability
        | Computed::RetrieveAeTitle => Level::Study,
    }
}

/// DCMTK compares the beginning of the value, in capitals.
fn dcmtk_level(item: &Item<'_>) -> Result<Level, QueryError> {
    let value = item.value(QUERY_RETRIEVE_LEVEL);
    if value.is_empty() {
        return Err(QueryError::NoLevel);
    }
    let begins = |text: &str| {
        value.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
    };
    let level = LEVELS.into_iter().find(|level| begins(level_text(*level)));
    level.ok_or(QueryError::UnknownLevel)
}

fn standard_level(item: &Item<'_>) -> Result<Level, QueryError> {
    let value = trimmed(item.value(QUERY_RETRIEVE_LEVEL));
    if value.is_empty() {
        return Err(QueryError::NoLevel);
    }
    let level = LEVELS.into_iter().find(|level| value == level_text(*level).as_bytes());
    level.ok_or(QueryError::UnknownLevel)
}

/// Bytes of a value in DCMTK's index record, where those are fewer than ours.
fn dcmtk_bytes_max(attribute: &Attribute) -> usize {
    match &attribute.vr.0 {
        b"PN" | b"LO" => 256,
        // Ethnic Group and Occupation; Study ID and Accession Number have the field of a CS.
        b"SH" if matches!(attribute.tag.0, 0x0010_2160 | 0x0010_2180) => 64,
        _ => 128,
    }
}

/// Keys that DCMTK counts in its checks, although its record does not have them.
const DCMTK_KEYS_WITHOUT_RECORD: [(Tag, Level); 2] =
    [(Tag::new(0x0010, 0x4000), Level::Patient), (Tag::new(0x0010, 0x21B0), Level::Study)];

/// `--check-find` and `--check-move`: what DCMTK 3.6.7 asks of an identifier.
fn dcmtk_check(
    item: &Item<'_>,
    query_level: Level,
    model: Model,
    purpose: Purpose,
) -> Result<(), QueryError> {
    use QueryError::NotConforming;
    if query_level < model.top() || query_level > model.bottom() {
        return Err(NotConforming("the level is not in this information model"));
    }
    for level in LEVELS {
        let keys = item.elements().iter().filter_map(|element| {
            let stored = find_attribute(element.tag)
                .and_then(|attribute| Some((attribute.level, attribute.dcmtk?)));
            let (at, class) = stored.or_else(|| {
                let keys = DCMTK_KEYS_WITHOUT_RECORD.iter();
                let found = keys.clone().find(|(tag, _)| *tag == element.tag)?;
                Some((found.1, KeyClass::Optional))
            })?;
            (at == level).then_some((class, element.value.is_empty()))
        });
        let mut keys = keys.peekable();
        let is_above = match purpose {
            Purpose::Find => level < query_level,
            Purpose::Retrieve => level <= query_level,
        };
        if level < model.top() {
            let is_allowed = purpose == Purpose::Find && query_level == Level::Study;
            if keys.peek().is_some() && !is_allowed {
                return Err(NotConforming("a key of the patient in the Study Root model"));
            }
        } else if is_above {
            let Some((first, is_empty)) = keys.next() else {
                return Err(NotConforming("no unique key at a level above"));
            };
            if first != KeyClass::Unique || keys.next().is_some() {
                return Err(NotConforming("another key than the unique one at a level above"));
            }
            if is_empty {
                return Err(NotConforming("an empty unique key at a level above"));
            }
        } else if level == query_level {
            if keys.peek().is_none() {
                return Err(NotConforming("no key at the level of the query"));
            }
        } else if keys.peek().is_some() {
            return Err(NotConforming("a key below the level of the query"));
        }
    }
    Ok(())
}
