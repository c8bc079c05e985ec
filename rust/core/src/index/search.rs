//! Finding what a compiled query asks for: where to begin, what to go through, when to pause.
//!
//! [`Query::page`] begins with the key that leaves the fewest candidates (UIDs, then the secondary
//! keys of exact values, of beginnings and of dates), goes through the whole index only where no
//! key helps, and returns after a bounded number of rows, so that no transaction is long: the
//! [`Cursor`] then tells the next page where to go on. What is removed between two pages is not met;
//! what is added may be.
//!
//! A study whose instances disagree about it has several sets of values (FORMAT.md, "Variants").
//! It matches when one of them does, and answers with the first that does, as DCMTK, which asks
//! each instance. Retrieval selects the instances that match, and not all of a study of which some
//! do. An entity may have as many sets as instances: each is looked at once in a query, whose cursor
//! keeps the numbers of those that match. Called by `server::{find, retrieve}`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::attributes::{Attribute, Computed, Level, SecondaryKey, tags, unique_key};
use super::env::IndexError;
use super::matching::{Range, has_wildcard};
use super::query::{Key, KeyRule, LEVELS, Query, RuleSet, Source, Subject, computed_level};
use super::reader::{KeyRange, Reader};
use super::record::{AttributeSet, EntityRecord, InstanceRecord, SetNumbers};
use super::schema::{EntityId, InstanceKey};
use crate::dataset::attributes::AttributesRef;
use crate::dataset::character_set::{CharacterSet, Delimiters, is_affected};
use crate::limits::{QUERY_CANDIDATES_MAX, QUERY_ROWS_PER_PAGE};
use crate::tag::Tag;
use crate::vr::trimmed;

/// Accession Number.
const ACCESSION_NUMBER: Tag = Tag::new(0x0008, 0x0050);

/// Where a query stands between two pages.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    roots: Option<Roots>,
    /// Roots that are done, or the last number that is, where all are gone through.
    done: u64,
    /// For studies, series and instances: the parent that is being gone through, and its last child
    /// that is done.
    below: [(u64, u64); 4],
    /// The entity whose instances are gone through for one of a set of values, and the earliest that
    /// was found so far.
    earliest: Option<(Level, EntityId, InstanceKey)>,
    /// What is known of the sets of the entities gone through last.
    scans: HashMap<(Level, EntityId), Scan>,
}

/// Which sets of values of an entity match. Numbers are not given twice: what is known stays true.
#[derive(Clone, Debug, Default)]
struct Scan {
    /// Sets with lower numbers were looked at.
    next: u32,
    /// Some of them did not match.
    is_partial: bool,
    /// Those that did, ascending.
    numbers: Arc<Vec<u32>>,
}

impl Scan {
    fn note(&mut self, number: u32, is_match: bool) {
        if is_match {
            Arc::make_mut(&mut self.numbers).push(number);
        } else {
            self.is_partial = true;
        }
        self.next = number.saturating_add(1);
    }
}

/// Entities whose sets a cursor remembers; those of one row at least, its study's and patient's.
const SCANS_KEPT_MAX: usize = 1024;

/// What the search begins with.
#[derive(Clone, Debug)]
enum Roots {
    /// These instances.
    Instances(Vec<InstanceKey>),
    /// These entities, in order of number.
    Entities(Level, Vec<EntityId>),
    /// Everything, from this level down.
    All(Level),
}

/// What one page came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more: ask again with the same cursor.
    More,
    /// That was all.
    Done,
}

/// One match; values borrow the reader.
#[derive(Clone, Copy, Debug)]
pub struct Match<'t> {
    patient: Option<EntityRecord<'t>>,
    study: Option<EntityRecord<'t>>,
    series: Option<EntityRecord<'t>>,
    instance: Option<InstanceRecord<'t>>,
    /// Values of the patient, of the study with its patient, and of the series.
    sets: [Option<AttributesRef<'t>>; 3],
}

impl<'t> Match<'t> {
    /// The instance: what is retrieved, or the first one that matched, where one was needed.
    pub const fn instance(&self) -> Option<&InstanceRecord<'t>> {
        self.instance.as_ref()
    }

    /// The Specific Character Set that the values are written in.
    pub fn character_set_value(&self) -> &'t [u8] {
        let instance = self.instance.map(|instance| instance.attributes());
        let sets = self.sets.iter().rev().flatten().copied();
        let first = instance.into_iter().chain(sets).next();
        first.map_or(&[], |values| trimmed(values.value(tags::SPECIFIC_CHARACTER_SET)))
    }

    /// The value of an attribute of `level`.
    pub fn value(&self, level: Level, tag: Tag) -> &'t [u8] {
        let values = match level {
            Level::Image => self.instance.map(|instance| instance.attributes()),
            Level::Series => self.sets[2],
            Level::Study => self.sets[1],
            Level::Patient => self.sets[0].or(self.sets[1]),
        };
        values.map_or(&[], |values| values.value(tag))
    }
}

/// Rows looked at, and where to stop.
struct Walk<'w, 'k, 't, V> {
    query: &'w Query<'k>,
    reader: &'t Reader<'t>,
    cursor: &'w mut Cursor,
    rows_left: usize,
    is_full: bool,
    visit: V,
}

enum Flow {
    /// This part is done.
    Go,
    /// The page is over before it was.
    Stop,
}

/// What the look below an entity came to.
enum Below<'t> {
    /// The first instance that matches.
    Found(InstanceRecord<'t>),
    /// There is none.
    Nothing,
    /// The page is over; the cursor has the place.
    Stop,
}

/// The sets of an entity that match.
enum Sets<'t> {
    /// All of them; this is the first.
    All(AttributeSet<'t>),
    /// Those with these numbers, ascending, never none, and the first of them.
    Some(Arc<Vec<u32>>, AttributeSet<'t>),
}

/// What the look at the sets of an entity came to.
enum Looked<'t> {
    /// These match.
    Sets(Sets<'t>),
    /// None does, or the page is over.
    End(Flow),
}

impl<'t> Sets<'t> {
    const fn first(&self) -> &AttributeSet<'t> {
        match self {
            Self::All(set) | Self::Some(_, set) => set,
        }
    }

    fn contains(&self, number: u32) -> bool {
        match self {
            Self::All(_) => true,
            Self::Some(numbers, _) => numbers.binary_search(&number).is_ok(),
        }
    }
}

impl<'k> Query<'k> {
    /// Gives matches to `visit`, from where `cursor` stands, until it returns false or
    /// `QUERY_ROWS_PER_PAGE` rows were looked at.
    pub fn page<'t>(
        &self,
        reader: &'t Reader<'t>,
        cursor: &mut Cursor,
        visit: impl FnMut(&Match<'t>) -> bool,
    ) -> Result<Progress, IndexError> {
        if self.is_void {
            return Ok(Progress::Done);
        }
        let roots = match cursor.roots.take() {
            Some(roots) => roots,
            None => self.plan(reader)?,
        };
        let mut walk = Walk {
            query: self,
            reader,
            cursor,
            rows_left: QUERY_ROWS_PER_PAGE,
            is_full: false,
            visit,
        };
        let flow = walk.roots(&roots);
        cursor.roots = Some(roots);
        Ok(match flow? {
            Flow::Go => Progress::Done,
            Flow::Stop => Progress::More,
        })
    }

    // ---- Plans --------------------------------------------------------------------------------

    /// Chooses what to begin with.
    fn plan(&self, reader: &Reader<'_>) -> Result<Roots, IndexError> {
        for level in [Level::Image, Level::Series, Level::Study] {
            let key = self.keys.iter().find(|key| {
                matches!(key.subject, Subject::Attribute(attribute)
                    if attribute.tag == unique_key(level))
            });
            if let Some(key) = key {
                if let Some(roots) = self.uid_roots(reader, level, key.raw)? {
                    return Ok(roots);
                }
            }
        }
        let mut ranges: Vec<(u8, &'static Attribute, Vec<KeyRange>)> = Vec::new();
        for key in &self.keys {
            let Subject::Attribute(attribute) = key.subject else { continue };
            if let Some(mut found) = self.ranges(key, attribute) {
                // Not each of their parts has a key.
                found.push(KeyRange::many_parts(attribute.tag));
                ranges.push((vagueness(key, attribute), attribute, found));
            }
        }
        ranges.sort_by_key(|(vagueness, _, _)| *vagueness);
        let mut best: Option<(Level, Vec<EntityId>)> = None;
        // A short look at each key first: the one with few candidates need not be the first.
        for bound in [FEW_CANDIDATES, QUERY_CANDIDATES_MAX] {
            for (_, attribute, ranges) in &ranges {
                let limit = best.as_ref().map_or(bound, |(_, ids)| ids.len());
                if let Some(ids) = candidates(reader, ranges, limit)? {
                    best = Some((attribute.level, ids));
                }
            }
            if best.is_some() {
                break;
            }
        }
        if let Some((level, ids)) = best {
            return self.raised(reader, level, ids);
        }
        let above = self.keys.iter().filter_map(|key| match key.subject {
            Subject::Attribute(attribute) => Some(attribute.level),
            Subject::Computed(_) => None,
        });
        Ok(Roots::All(above.min().unwrap_or(self.level).min(self.level).min(Level::Series)))
    }

    /// What begins with these UIDs; `None` when they are too many, or lead to too much.
    fn uid_roots(
        &self,
        reader: &Reader<'_>,
        level: Level,
        list: &[u8],
    ) -> Result<Option<Roots>, IndexError> {
        let Some(uids) = distinct(list.split(|byte| *byte == b'\\').map(trimmed)) else {
            return Ok(None);
        };
        if level == Level::Image {
            let mut keys = Vec::new();
            for uid in uids {
                keys.extend(reader.find_instance(uid)?);
            }
            if self.level == Level::Image {
                keys.sort_unstable_by_key(|key| key.number);
                keys.dedup();
                return Ok(Some(Roots::Instances(keys)));
            }
            let series = keys.into_iter().map(|key| key.series).collect();
            return self.raised(reader, Level::Series, series).map(Some);
        }
        let mut ids = Vec::new();
        for uid in uids {
            for id in reader.find_entities(level, uid)? {
                if ids.len() >= QUERY_CANDIDATES_MAX {
                    return Ok(None);
                }
                ids.push(id?);
            }
        }
        self.raised(reader, level, ids).map(Some)
    }

    /// The entities of `ids`, or those above them at the level of the query, each once.
    fn raised(
        &self,
        reader: &Reader<'_>,
        mut level: Level,
        mut ids: Vec<EntityId>,
    ) -> Result<Roots, IndexError> {
        loop {
            ids.sort_unstable();
            ids.dedup();
            if level <= self.level {
                return Ok(Roots::Entities(level, ids));
            }
            let mut parents = Vec::with_capacity(ids.len());
            for id in ids {
                parents.extend(reader.entity(level, id)?.map(|record| record.parent()));
            }
            ids = parents;
            level = if level == Level::Series { Level::Study } else { Level::Patient };
        }
    }

    /// The secondary keys of everything that may match, if there are such.
    fn ranges(&self, key: &Key<'k>, attribute: &Attribute) -> Option<Vec<KeyRange>> {
        let tag = attribute.tag;
        let is_standard = self.rules.set == RuleSet::Standard;
        match attribute.key {
            SecondaryKey::None | SecondaryKey::Uid | SecondaryKey::Time => None,
            SecondaryKey::Date => {
                let values: Vec<&[u8]> = if is_standard {
                    distinct(key.raw.split(|byte| *byte == b'\\').map(trimmed))?
                } else {
                    vec![key.raw]
                };
                values
                    .into_iter()
                    .filter(|value| !value.is_empty())
                    .map(|value| {
                        let range = Range::of(value);
                        let (first, last) = (trimmed(range.first), range.last.map(trimmed));
                        let open = |end: &'_ [u8]| -> bool { end.is_empty() };
                        match last {
                            None => KeyRange::between(tag, Some(first), Some(first)),
                            Some(last) if open(first) && open(last) => None,
                            Some(last) => KeyRange::between(
                                tag,
                                (!open(first)).then_some(first),
                                (!open(last)).then_some(last),
                            ),
                        }
                    })
                    .collect()
            }
            SecondaryKey::Text | SecondaryKey::Name => {
                // Through UTF-8, so that no wildcard is seen inside a character. What is not of its
                // set is looked up by its ASCII beginning only.
                let decoded = if is_affected(key.vr) {
                    self.character_set.decode(key.raw, Delimiters::of(key.vr)).ok()
                } else {
                    core::str::from_utf8(key.raw).ok().map(Into::into)
                };
                let Some(text) = decoded else {
                    let end = key.raw.iter().position(|byte| !byte.is_ascii() || *byte == 0x1B)?;
                    let prefix = before_wildcard(key.raw.get(..end)?);
                    if prefix.is_empty() || is_standard {
                        return None;
                    }
                    return Some(vec![KeyRange::beginning(tag, prefix, b"")?]);
                };
                let values: Vec<&str> = if is_standard {
                    distinct(text.split('\\').map(trimmed_text))?
                } else {
                    vec![trimmed_text(&text)]
                };
                let ranges = values.into_iter().filter(|value| !value.is_empty()).map(|value| {
                    // Each group of a name has a key of its own.
                    let value = if is_standard && attribute.key == SecondaryKey::Name {
                        value.split('=').find(|group| !group.is_empty())?
                    } else {
                        value
                    };
                    if !has_wildcard(value.as_bytes()) {
                        return KeyRange::equal(tag, value.as_bytes(), b"ISO_IR 192");
                    }
                    let prefix = before_wildcard(value.as_bytes());
                    if prefix.is_empty() {
                        return None;
                    }
                    KeyRange::beginning(tag, prefix, b"ISO_IR 192")
                });
                ranges.collect()
            }
        }
    }
}

fn trimmed_text(value: &str) -> &str {
    value.trim_matches([' ', '\0'])
}

/// The values of a list, each once; `None` where they are too many to look up each. A list of two MiB
/// may have a million values, or one a million times.
fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    (values.len() <= QUERY_CANDIDATES_MAX).then_some(values)
}

/// Candidates looked for in each key before a long look at any.
const FEW_CANDIDATES: usize = 256;

/// The entities in `ranges`, if they are fewer than `limit`; `None` when there are more.
fn candidates(
    reader: &Reader<'_>,
    ranges: &[KeyRange],
    limit: usize,
) -> Result<Option<Vec<EntityId>>, IndexError> {
    let mut ids = Vec::new();
    for range in ranges {
        for row in reader.keys(range)? {
            if ids.len() >= limit {
                return Ok(None);
            }
            ids.push(row?.1);
        }
    }
    Ok(Some(ids))
}

/// In which order keys are looked at: those that name one thing first.
fn vagueness(key: &Key<'_>, attribute: &Attribute) -> u8 {
    let names_one = [tags::PATIENT_ID, ACCESSION_NUMBER].contains(&attribute.tag);
    match attribute.key {
        SecondaryKey::Text | SecondaryKey::Name if has_wildcard(key.raw) => 2,
        SecondaryKey::Text | SecondaryKey::Name => u8::from(!names_one),
        _ => 3,
    }
}

fn before_wildcard(text: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'*', b'?', text).unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

// ---- The walk -----------------------------------------------------------------------------------

impl<'t, V: FnMut(&Match<'t>) -> bool> Walk<'_, '_, 't, V> {
    fn is_over(&self) -> bool {
        self.is_full || self.rows_left == 0
    }

    fn look(&mut self) {
        self.rows_left = self.rows_left.saturating_sub(self.query.row_cost);
    }

    fn roots(&mut self, roots: &Roots) -> Result<Flow, IndexError> {
        let first = usize::try_from(self.cursor.done).unwrap_or(usize::MAX);
        match roots {
            Roots::Instances(keys) => {
                for key in keys.iter().skip(first) {
                    if self.is_over() {
                        return Ok(Flow::Stop);
                    }
                    self.single_instance(*key)?;
                    self.cursor.done += 1;
                }
            }
            Roots::Entities(level, ids) => {
                for id in ids.iter().skip(first) {
                    if self.is_over() {
                        return Ok(Flow::Stop);
                    }
                    self.look();
                    if let Some(record) = self.reader.entity(*level, *id)? {
                        if let Flow::Stop = self.root(record)? {
                            return Ok(Flow::Stop);
                        }
                    }
                    self.cursor.done += 1;
                }
            }
            Roots::All(level) => {
                for record in self.reader.entities(*level, self.cursor.done)? {
                    if self.is_over() {
                        return Ok(Flow::Stop);
                    }
                    self.look();
                    let record = record?;
                    if let Flow::Stop = self.root(record)? {
                        return Ok(Flow::Stop);
                    }
                    self.cursor.done = record.id();
                }
            }
        }
        Ok(Flow::Go)
    }

    fn root(&mut self, record: EntityRecord<'t>) -> Result<Flow, IndexError> {
        match record.level() {
            Level::Patient => self.patient(record),
            Level::Study => self.study(record),
            Level::Series | Level::Image => {
                let Some(study) = self.parent(&record)? else { return Ok(Flow::Go) };
                match self.sets(&study)? {
                    Looked::Sets(sets) => self.series(record, &study, &sets),
                    Looked::End(flow) => Ok(flow),
                }
            }
        }
    }

    fn parent(
        &mut self,
        record: &EntityRecord<'t>,
    ) -> Result<Option<EntityRecord<'t>>, IndexError> {
        let level = match record.level() {
            Level::Series | Level::Image => Level::Study,
            Level::Study | Level::Patient => Level::Patient,
        };
        self.look();
        self.reader.entity(level, record.parent())
    }

    /// True when some key asks for values of the sets at `level`.
    fn asks_sets(&self, level: Level) -> bool {
        let query = self.query;
        query.has_keys_of(level) || (level == Level::Study && query.has_keys_of(Level::Patient))
    }

    /// The sets of an entity that match.
    fn sets(&mut self, record: &EntityRecord<'t>) -> Result<Looked<'t>, IndexError> {
        let level = record.level();
        let primary = record.primary();
        let has_keys = self.asks_sets(level);
        if !has_keys || !record.has_variants() {
            let is_match = !has_keys || self.query.set_matches(level, primary.attributes);
            let all = Looked::Sets(Sets::All(primary));
            return Ok(if is_match { all } else { Looked::End(Flow::Go) });
        }
        let place = (level, record.id());
        let mut scan = self.cursor.scans.remove(&place).unwrap_or_default();
        let looked = match self.scan(record, &mut scan) {
            Ok(Flow::Go) => self.first_matching(record, &mut scan).map(|first| match first {
                None => Looked::End(Flow::Go),
                Some(set) if scan.is_partial => {
                    Looked::Sets(Sets::Some(Arc::clone(&scan.numbers), set))
                }
                Some(set) => Looked::Sets(Sets::All(set)),
            }),
            Ok(Flow::Stop) => Ok(Looked::End(Flow::Stop)),
            Err(error) => Err(error),
        };
        if self.cursor.scans.len() >= SCANS_KEPT_MAX {
            // Made anew should they be needed.
            self.cursor.scans.clear();
        }
        self.cursor.scans.insert(place, scan);
        looked
    }

    /// Looks at the sets of an entity that were not looked at before, in this page or an earlier one.
    fn scan(&mut self, record: &EntityRecord<'t>, scan: &mut Scan) -> Result<Flow, IndexError> {
        let (query, reader, level) = (self.query, self.reader, record.level());
        let primary = record.primary();
        // It has the lowest number.
        if scan.next <= primary.number {
            scan.note(primary.number, query.set_matches(level, primary.attributes));
        }
        if scan.next < record.next_set() {
            for set in reader.variants_from(level, record.id(), scan.next)? {
                self.look();
                let set = set?;
                scan.note(set.number, query.set_matches(level, set.attributes));
                if self.is_over() {
                    return Ok(Flow::Stop);
                }
            }
            scan.next = record.next_set();
        }
        Ok(Flow::Go)
    }

    /// The first set that matches and is still there.
    fn first_matching(
        &mut self,
        record: &EntityRecord<'t>,
        scan: &mut Scan,
    ) -> Result<Option<AttributeSet<'t>>, IndexError> {
        let (mut gone, mut first) = (0, None);
        for number in scan.numbers.iter() {
            first = self.reader.find_set(record.level(), record, *number)?;
            if first.is_some() {
                break;
            }
            self.look();
            gone += 1;
        }
        if gone > 0 {
            Arc::make_mut(&mut scan.numbers).drain(..gone);
        }
        Ok(first)
    }

    /// True when set `number` of an entity, which an instance has, matches.
    fn is_in_matching_set(
        &mut self,
        record: &EntityRecord<'t>,
        number: u32,
    ) -> Result<bool, IndexError> {
        let level = record.level();
        if !self.asks_sets(level) {
            return Ok(true);
        }
        self.look();
        let values = self.reader.set_of(level, record, number)?;
        Ok(self.query.set_matches(level, values))
    }

    fn patient(&mut self, record: EntityRecord<'t>) -> Result<Flow, IndexError> {
        let sets = match self.sets(&record)? {
            Looked::Sets(sets) => sets,
            Looked::End(flow) => return Ok(flow),
        };
        if self.query.target == Level::Patient {
            return self.leaf(&record, &sets, None);
        }
        self.children(Level::Study, record.id(), Self::study)
    }

    fn study(&mut self, record: EntityRecord<'t>) -> Result<Flow, IndexError> {
        let sets = match self.sets(&record)? {
            Looked::Sets(sets) => sets,
            Looked::End(flow) => return Ok(flow),
        };
        if self.query.target == Level::Study {
            return self.leaf(&record, &sets, None);
        }
        self.children(Level::Series, record.id(), |walk, series| {
            walk.series(series, &record, &sets)
        })
    }

    fn series(
        &mut self,
        record: EntityRecord<'t>,
        study: &EntityRecord<'t>,
        study_sets: &Sets<'t>,
    ) -> Result<Flow, IndexError> {
        let sets = match self.sets(&record)? {
            Looked::Sets(sets) => sets,
            Looked::End(flow) => return Ok(flow),
        };
        if self.query.target == Level::Series {
            return self.leaf(&record, &sets, Some((study, study_sets)));
        }
        let reader = self.reader;
        let after = self.enter(Level::Image, record.id());
        for instance in reader.instances(record.id(), after)? {
            if self.is_over() {
                return Ok(Flow::Stop);
            }
            self.look();
            let instance = instance?;
            let numbers = instance.sets();
            if study_sets.contains(numbers.study)
                && sets.contains(numbers.series)
                && self.query.values_match(Level::Image, instance.attributes())
            {
                self.found(instance, Some(record), Some(*study))?;
            }
            self.leave(Level::Image, instance.key().number);
        }
        Ok(Flow::Go)
    }

    /// Goes through the children of `parent` at `level`, from where the cursor stands.
    fn children(
        &mut self,
        level: Level,
        parent: EntityId,
        mut each: impl FnMut(&mut Self, EntityRecord<'t>) -> Result<Flow, IndexError>,
    ) -> Result<Flow, IndexError> {
        let reader = self.reader;
        let after = self.enter(level, parent);
        for id in reader.children(level, parent, after)? {
            if self.is_over() {
                return Ok(Flow::Stop);
            }
            self.look();
            let id = id?;
            if let Some(record) = reader.entity(level, id)? {
                if let Flow::Stop = each(self, record)? {
                    return Ok(Flow::Stop);
                }
            }
            self.leave(level, id);
        }
        Ok(Flow::Go)
    }

    /// The last child of `parent` that is done.
    fn enter(&mut self, level: Level, parent: u64) -> u64 {
        let place = &mut self.cursor.below[level as usize];
        if place.0 != parent {
            *place = (parent, 0);
        }
        place.1
    }

    fn leave(&mut self, level: Level, child: u64) {
        self.cursor.below[level as usize].1 = child;
    }

    fn single_instance(&mut self, key: InstanceKey) -> Result<(), IndexError> {
        self.look();
        let reader = self.reader;
        let Some(instance) = reader.instance(key)? else { return Ok(()) };
        if !self.query.values_match(Level::Image, instance.attributes()) {
            return Ok(());
        }
        let Some(series) = reader.entity(Level::Series, key.series)? else { return Ok(()) };
        let Some(study) = self.parent(&series)? else { return Ok(()) };
        for (record, number) in [(&series, instance.sets().series), (&study, instance.sets().study)]
        {
            if !self.is_in_matching_set(record, number)? {
                return Ok(());
            }
        }
        self.found(instance, Some(series), Some(study))
    }

    /// An instance that matches: completes what the answer needs.
    fn found(
        &mut self,
        instance: InstanceRecord<'t>,
        series: Option<EntityRecord<'t>>,
        study: Option<EntityRecord<'t>>,
    ) -> Result<(), IndexError> {
        self.answer(Match {
            patient: None,
            study,
            series,
            instance: Some(instance),
            sets: [None; 3],
        })
    }

    /// A patient, study or series whose own values match: looks at what is below it where keys or
    /// answers want that, and completes what the answer needs.
    fn leaf(
        &mut self,
        record: &EntityRecord<'t>,
        sets: &Sets<'t>,
        study: Option<(&EntityRecord<'t>, &Sets<'t>)>,
    ) -> Result<Flow, IndexError> {
        let (query, level) = (self.query, record.level());
        let first = sets.first();
        let has_keys_below = LEVELS.iter().any(|at| *at > level && query.has_keys_of(*at));
        let is_partial = matches!(study, Some((_, Sets::Some(..))));
        let wants_upper = study.is_some_and(|(study, _)| study.has_variants())
            && (query.needs_levels[0] || query.needs_levels[1]);
        let instance = if has_keys_below || is_partial {
            match self.below(record, sets, study.map(|(_, sets)| sets))? {
                Below::Found(instance) => Some(instance),
                Below::Nothing => return Ok(Flow::Go),
                Below::Stop => return Ok(Flow::Stop),
            }
        } else if query.needs_instance || wants_upper {
            match self.first_with(record, first)? {
                Below::Found(instance) => Some(instance),
                Below::Nothing => None,
                Below::Stop => return Ok(Flow::Stop),
            }
        } else {
            None
        };
        let mut found = Match {
            patient: None,
            study: study.map(|(study, _)| *study),
            series: None,
            instance,
            sets: [None; 3],
        };
        // Which set answers: that of the instance, where one was looked for.
        let numbers = instance.map(|instance| instance.sets());
        let number = numbers.map_or(first.number, |numbers| set_number(level, numbers));
        let values = if number == first.number {
            first.attributes
        } else {
            self.set_of(record, Some(number))?
        };
        match level {
            Level::Patient => {
                found.patient = Some(*record);
                found.sets[0] = Some(values);
            }
            Level::Study => {
                found.study = Some(*record);
                found.sets[1] = Some(values);
            }
            Level::Series | Level::Image => {
                found.series = Some(*record);
                found.sets[2] = Some(values);
            }
        }
        self.answer(found).map(|()| Flow::Go)
    }

    /// The first instance below `record` that its sets and the keys of lower levels let pass. A patient
    /// may have more instances than one page: the cursor keeps the place, and each page comes at
    /// least one instance further.
    fn below(
        &mut self,
        record: &EntityRecord<'t>,
        sets: &Sets<'t>,
        study_sets: Option<&Sets<'t>>,
    ) -> Result<Below<'t>, IndexError> {
        let (query, reader) = (self.query, self.reader);
        let level = match record.level() {
            Level::Patient => Level::Study,
            Level::Study => Level::Series,
            Level::Series | Level::Image => {
                let after = self.enter(Level::Image, record.id());
                for instance in reader.instances(record.id(), after)? {
                    self.look();
                    let instance = instance?;
                    let numbers = instance.sets();
                    if sets.contains(numbers.series)
                        && study_sets.is_none_or(|study| study.contains(numbers.study))
                        && query.values_match(Level::Image, instance.attributes())
                    {
                        return Ok(Below::Found(instance));
                    }
                    self.leave(Level::Image, instance.key().number);
                    if self.is_over() {
                        return Ok(Below::Stop);
                    }
                }
                return Ok(Below::Nothing);
            }
        };
        let after = self.enter(level, record.id());
        for id in reader.children(level, record.id(), after)? {
            self.look();
            let id = id?;
            if let Some(child) = reader.entity(level, id)? {
                match self.sets(&child)? {
                    Looked::Sets(child_sets) => {
                        let above = (level == Level::Series).then_some(sets);
                        match self.below(&child, &child_sets, above)? {
                            Below::Nothing => {}
                            end => return Ok(end),
                        }
                    }
                    Looked::End(Flow::Go) => {}
                    Looked::End(Flow::Stop) => return Ok(Below::Stop),
                }
            }
            self.leave(level, id);
            if self.is_over() {
                return Ok(Below::Stop);
            }
        }
        Ok(Below::Nothing)
    }

    /// The earliest instance with the values of `set`, a set of `record`. Nearly always the one that
    /// made the set; where that is gone, all are gone through, in pages as in [`Walk::below`].
    fn first_with(
        &mut self,
        record: &EntityRecord<'t>,
        set: &AttributeSet<'_>,
    ) -> Result<Below<'t>, IndexError> {
        let (reader, level) = (self.reader, record.level());
        self.look();
        if let Some(instance) = reader.instance(set.first_instance)? {
            if set_number(level, instance.sets()) == set.number {
                return Ok(Below::Found(instance));
            }
        }
        let place = (level, record.id());
        if self.cursor.earliest.is_some_and(|(level, id, _)| (level, id) != place) {
            self.cursor.earliest = None;
        }
        if let Flow::Stop = self.look_for_set(record, place, set.number)? {
            return Ok(Below::Stop);
        }
        let Some((_, _, key)) = self.cursor.earliest.take() else { return Ok(Below::Nothing) };
        Ok(reader.instance(key)?.map_or(Below::Nothing, Below::Found))
    }

    /// Notes the earliest instance of each series below `record` that has set `number` of the entity
    /// `place`, if it is earlier than what is noted.
    fn look_for_set(
        &mut self,
        record: &EntityRecord<'t>,
        place: (Level, EntityId),
        number: u32,
    ) -> Result<Flow, IndexError> {
        let reader = self.reader;
        let level = match record.level() {
            Level::Patient => Level::Study,
            Level::Study => Level::Series,
            Level::Series | Level::Image => {
                let after = self.enter(Level::Image, record.id());
                for instance in reader.instances(record.id(), after)? {
                    self.look();
                    let instance = instance?;
                    let key = instance.key();
                    if set_number(place.0, instance.sets()) == number {
                        let is_earlier =
                            self.cursor.earliest.is_none_or(|(_, _, at)| key.number < at.number);
                        if is_earlier {
                            self.cursor.earliest = Some((place.0, place.1, key));
                        }
                        break;
                    }
                    self.leave(Level::Image, key.number);
                    if self.is_over() {
                        return Ok(Flow::Stop);
                    }
                }
                return Ok(Flow::Go);
            }
        };
        let after = self.enter(level, record.id());
        for id in reader.children(level, record.id(), after)? {
            self.look();
            let id = id?;
            if let Some(child) = reader.entity(level, id)? {
                if let Flow::Stop = self.look_for_set(&child, place, number)? {
                    return Ok(Flow::Stop);
                }
            }
            self.leave(level, id);
            if self.is_over() {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Go)
    }

    /// The values of set `number` of an entity; the primary ones when it is not told.
    fn set_of(
        &mut self,
        record: &EntityRecord<'t>,
        number: Option<u32>,
    ) -> Result<AttributesRef<'t>, IndexError> {
        let primary = record.primary();
        let Some(number) = number.filter(|number| *number != primary.number) else {
            return Ok(primary.attributes);
        };
        self.look();
        self.reader.set_of(record.level(), record, number)
    }

    /// Loads what the columns need, checks computed keys, and hands the match over.
    fn answer(&mut self, mut found: Match<'t>) -> Result<(), IndexError> {
        let (query, reader) = (self.query, self.reader);
        let [wants_patient, wants_study, wants_series, _] = query.needs_levels;
        let numbers = found.instance.map(|instance| instance.sets());
        let wants_study = wants_study || (wants_patient && found.sets[0].is_none());
        let leads_up = wants_study && found.study.is_none();
        if let (None, Some(instance), true) =
            (found.series, found.instance, wants_series || leads_up)
        {
            found.series = reader.entity(Level::Series, instance.key().series)?;
        }
        if let (None, Some(series), true) = (found.study, found.series, wants_study) {
            found.study = self.parent(&series)?;
        }
        if let (None, Some(series), true) = (found.sets[2], found.series, wants_series) {
            found.sets[2] = Some(self.set_of(&series, numbers.map(|numbers| numbers.series))?);
        }
        if let (None, Some(study), true) = (found.sets[1], found.study, wants_study) {
            found.sets[1] = Some(self.set_of(&study, numbers.map(|numbers| numbers.study))?);
        }
        let counts_patient = query.columns.iter().any(|column| {
            matches!(column.source, Source::Computed(kind)
                if computed_level(kind) == Level::Patient)
        });
        if let (None, Some(study), true) = (found.patient, found.study, counts_patient) {
            found.patient = self.parent(&study)?;
        }
        for key in &query.keys {
            let (Subject::Computed(kind), KeyRule::Standard(rule)) = (key.subject, &key.rule)
            else {
                continue;
            };
            if !rule.matches(&found.computed(kind, reader)?, CharacterSet::ASCII) {
                return Ok(());
            }
        }
        if !(self.visit)(&found) {
            self.is_full = true;
        }
        Ok(())
    }
}

/// The number of the set of an entity at `level` that an instance has.
fn set_number(level: Level, numbers: SetNumbers) -> u32 {
    match level {
        Level::Patient => numbers.patient,
        Level::Study => numbers.study,
        Level::Series | Level::Image => numbers.series,
    }
}

impl<'t> Match<'t> {
    /// The value of a computed attribute, as text.
    pub fn computed(&self, kind: Computed, reader: &Reader<'_>) -> Result<Vec<u8>, IndexError> {
        let count = |record: Option<EntityRecord<'t>>, of: fn(&EntityRecord<'t>) -> u64| {
            record.map_or_else(Vec::new, |record| of(&record).to_string().into_bytes())
        };
        Ok(match kind {
            Computed::PatientStudies => count(self.patient, EntityRecord::study_count),
            Computed::PatientSeries => count(self.patient, EntityRecord::series_count),
            Computed::PatientInstances => count(self.patient, EntityRecord::instance_count),
            Computed::StudySeries => count(self.study, EntityRecord::series_count),
            Computed::StudyInstances => count(self.study, EntityRecord::instance_count),
            Computed::SeriesInstances => count(self.series, EntityRecord::instance_count),
            Computed::InstanceAvailability => b"ONLINE".to_vec(),
            Computed::RetrieveAeTitle => Vec::new(),
            Computed::AvailableTransferSyntax => self
                .instance
                .map_or_else(Vec::new, |instance| instance.transfer_syntax().as_bytes().to_vec()),
            Computed::ModalitiesInStudy | Computed::SopClassesInStudy => {
                let Some(study) = self.study else { return Ok(Vec::new()) };
                let id = study.id();
                reader.once_of_study(kind, id, || in_study(kind, id, reader))?
            }
        })
    }
}

/// The different modalities or SOP classes of a study's series, in order of arrival.
fn in_study(kind: Computed, study: EntityId, reader: &Reader<'_>) -> Result<Vec<u8>, IndexError> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    let mut known: HashSet<Vec<u8>> = HashSet::new();
    let mut add = |value: &[u8]| {
        let value = trimmed(value);
        if !value.is_empty() && values.len() < DIFFERENT_VALUES_MAX && known.insert(value.to_vec())
        {
            values.push(value.to_vec());
        }
    };
    for id in reader.children(Level::Series, study, 0)? {
        let Some(series) = reader.entity(Level::Series, id?)? else { continue };
        if kind == Computed::SopClassesInStudy {
            let classes = reader.sop_classes(&series)?;
            for (uid, _) in &classes {
                add(uid.as_bytes());
            }
            continue;
        }
        add(series.attributes().value(tags::MODALITY));
        if series.has_variants() {
            for set in reader.variants(Level::Series, series.id())? {
                add(set?.attributes.value(tags::MODALITY));
            }
        }
    }
    Ok(values.join(&b'\\'))
}

/// Different modalities or SOP classes that are told of one study, as many as a value of 65,534 bytes
/// has room for; real ones have under ten, and the standard some hundred.
const DIFFERENT_VALUES_MAX: usize = 1000;
