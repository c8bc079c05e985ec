//! Looking into the index: one state of it, in a short transaction.
//!
//! Records borrow LMDB's pages, so nothing is copied until the caller copies it. Every iteration
//! can be resumed in a later [`Reader`]: it begins *after* a number or key that the caller kept. What
//! was removed meanwhile is not met, what was added comes at its place, which for numbers is the
//! end.
//!
//! Called by `archive` (duplicates, quotas, verification) and by `index::query` and
//! `server::retrieve`.

use std::cell::RefCell;
use std::collections::HashMap;

use super::attributes::{Computed, Level, SecondaryKey, find};
use super::env::{IndexError, ReadTransaction, Rows, Table, View};
use super::fold::{MANY_PARTS, fold_beginning, fold_date, fold_name, fold_text, fold_time};
use super::record::{AttributeSet, EntityRecord, InstanceRecord};
use super::schema::{
    EntityId, InstanceKey, META_COUNTERS, child, further_class, identity_prefix, reviewed,
    secondary_exact, secondary_from, split_secondary, table_of, variant,
};
use super::writer::Counters;
use crate::dataset::attributes::{Attributes, AttributesRef};
use crate::limits::SOP_CLASSES_PER_SERIES_MAX;
use crate::tag::Tag;
use crate::uid::UidText;

/// One state of the index.
pub struct Reader<'i> {
    txn: ReadTransaction<'i>,
    /// What was computed of a study last; its series and instances ask for the same, one after the other.
    computed: RefCell<HashMap<Computed, (EntityId, Vec<u8>)>>,
}

/// Which secondary keys of one attribute to go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that counts.
    from: Vec<u8>,
    /// What every key that counts begins with.
    prefix: Vec<u8>,
    /// Values beyond this one do not count.
    last_value: Option<Vec<u8>>,
}

impl KeyRange {
    /// All values of an attribute.
    pub fn all(tag: Tag) -> Self {
        let mut from = Vec::new();
        secondary_from(&mut from, tag, b"");
        Self { prefix: from.clone(), from, last_value: None }
    }

    /// The values with more parts than have keys of their own.
    pub fn many_parts(tag: Tag) -> Self {
        let mut from = Vec::new();
        secondary_exact(&mut from, tag, MANY_PARTS);
        Self { prefix: from.clone(), from, last_value: None }
    }

    /// The values that fold as `value` does. `None` when the attribute has no secondary key, or
    /// `value` is no date or time where one is wanted: then no key is equal to it. `None`, too, for a
    /// name of nothing but separators: such have no key.
    pub fn equal(tag: Tag, value: &[u8], character_set: &[u8]) -> Option<Self> {
        let folded = fold(find(tag)?.key, value, character_set)?;
        if folded.is_empty() {
            return None;
        }
        let mut from = Vec::new();
        secondary_exact(&mut from, tag, &folded);
        Some(Self { prefix: from.clone(), from, last_value: None })
    }

    /// The text values that begin, folded, as `value` does: for what stands before the first
    /// wildcard. `None` where that says nothing about the key.
    pub fn beginning(tag: Tag, value: &[u8], character_set: &[u8]) -> Option<Self> {
        let kind = find(tag)?.key;
        let (SecondaryKey::Text | SecondaryKey::Name) = kind else { return None };
        let folded = fold_beginning(kind, value, character_set);
        if folded.is_empty() {
            return None;
        }
        let mut from = Vec::new();
        secondary_from(&mut from, tag, &folded);
        Some(Self { prefix: from.clone(), from, last_value: None })
    }

    /// The dates or times from `first` to `last`, both included; an end that is not given is open.
    /// `None` when the attribute has no such key, or an end is no date or time.
    pub fn between(tag: Tag, first: Option<&[u8]>, last: Option<&[u8]>) -> Option<Self> {
        let kind = find(tag)?.key;
        let (SecondaryKey::Date | SecondaryKey::Time) = kind else { return None };
        let first = first.map_or(Some(Vec::new()), |first| fold(kind, first, b""))?;
        let last_value = match last {
            None => None,
            Some(last) => Some(fold(kind, last, b"")?),
        };
        let (mut from, mut prefix) = (Vec::new(), Vec::new());
        secondary_from(&mut from, tag, &first);
        secondary_from(&mut prefix, tag, b"");
        Some(Self { from, prefix, last_value })
    }
}

fn fold(kind: SecondaryKey, value: &[u8], character_set: &[u8]) -> Option<Vec<u8>> {
    match kind {
        SecondaryKey::None | SecondaryKey::Uid => None,
        SecondaryKey::Text => Some(fold_text(value, character_set)),
        SecondaryKey::Name => Some(fold_name(value, character_set)),
        SecondaryKey::Date => fold_date(value).map(Vec::from),
        SecondaryKey::Time => fold_time(value).map(Vec::from),
    }
}

/// Takes rows while their keys begin with a prefix.
struct Prefixed<'t> {
    rows: Rows<'t>,
    prefix: Vec<u8>,
    has_ended: bool,
}

impl<'t> Iterator for Prefixed<'t> {
    type Item = Result<(&'t [u8], &'t [u8]), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let row = self.rows.next()?;
        if let Ok((key, _)) = &row {
            if !key.starts_with(&self.prefix) {
                self.has_ended = true;
                return None;
            }
        }
        Some(row)
    }
}

fn prefixed<'t>(
    view: View<'t>,
    table: Table,
    from: &[u8],
    prefix: &[u8],
) -> Result<Prefixed<'t>, IndexError> {
    let rows = view.rows(table, from)?;
    Ok(Prefixed { rows, prefix: prefix.to_vec(), has_ended: false })
}

fn last_number(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

type Each<'t, T> = Result<T, IndexError>;

impl<'i> Reader<'i> {
    pub(crate) fn new(txn: ReadTransaction<'i>) -> Self {
        Self { txn, computed: RefCell::default() }
    }

    fn view(&self) -> View<'_> {
        self.txn.view()
    }

    /// What `compute` says of a study; it is not asked again until another study comes.
    pub(super) fn once_of_study(
        &self,
        kind: Computed,
        study: EntityId,
        compute: impl FnOnce() -> Result<Vec<u8>, IndexError>,
    ) -> Result<Vec<u8>, IndexError> {
        if let Some((_, value)) = self.computed.borrow().get(&kind).filter(|(id, _)| *id == study) {
            return Ok(value.clone());
        }
        let value = compute()?;
        self.computed.borrow_mut().insert(kind, (study, value.clone()));
        Ok(value)
    }

    /// The SOP classes of a series' instances, with the number of instances of each.
    pub fn sop_classes(
        &self,
        series: &EntityRecord<'_>,
    ) -> Result<Vec<(UidText, u64)>, IndexError> {
        let uid = |(uid, count)| UidText::new(uid).map(|uid| (uid, count));
        let mut classes: Vec<_> = series.sop_classes().filter_map(uid).collect();
        if classes.len() < SOP_CLASSES_PER_SERIES_MAX {
            return Ok(classes);
        }
        let from = further_class(series.id(), b"");
        for row in prefixed(self.view(), Table::Variants, &from, &from)? {
            let (key, count) = row?;
            let count = count.try_into().map_or(0, u64::from_be_bytes);
            classes.extend(key.strip_prefix(from.as_slice()).and_then(|key| uid((key, count))));
        }
        Ok(classes)
    }

    /// Totals of the area.
    pub fn counters(&self) -> Result<Counters, IndexError> {
        let view = self.view();
        let counters = view.get(Table::Meta, META_COUNTERS)?.and_then(Counters::decode);
        counters.ok_or_else(|| view.damaged("the totals are missing"))
    }

    // ---- One of them --------------------------------------------------------------------------

    /// The patient, study or series of this number.
    pub fn entity(
        &self,
        level: Level,
        id: EntityId,
    ) -> Result<Option<EntityRecord<'_>>, IndexError> {
        let view = self.view();
        view.get(table_of(level), &id.to_be_bytes())?
            .map(|bytes| decode_entity(view, level, id, bytes))
            .transpose()
    }

    /// The instance at `key`.
    pub fn instance(&self, key: InstanceKey) -> Result<Option<InstanceRecord<'_>>, IndexError> {
        let view = self.view();
        view.get(Table::Instances, &key.to_bytes())?
            .map(|bytes| decode_instance(view, key, bytes))
            .transpose()
    }

    /// Where the instance with this SOP Instance UID is; `uid` carries no padding.
    pub fn find_instance(&self, uid: &[u8]) -> Result<Option<InstanceKey>, IndexError> {
        if uid.is_empty() || uid.len() > crate::uid::UID_BYTES_MAX {
            return Ok(None);
        }
        let view = self.view();
        let Some(key) = view.get(Table::Uids, uid)? else { return Ok(None) };
        let key = InstanceKey::from_bytes(key);
        key.map(Some).ok_or_else(|| view.damaged("a SOP Instance UID leads nowhere"))
    }

    /// True when the instance with this SOP Instance UID was looked at before ([`IndexOp::Review`]).
    ///
    /// [`IndexOp::Review`]: super::IndexOp::Review
    pub fn is_reviewed(&self, uid: &[u8]) -> Result<bool, IndexError> {
        let mut key = Vec::new();
        reviewed(&mut key, uid.get(..crate::uid::UID_BYTES_MAX).unwrap_or(uid));
        Ok(self.view().get(Table::Meta, &key)?.is_some())
    }

    /// The instance with this SOP Instance UID.
    pub fn instance_of(&self, uid: &[u8]) -> Result<Option<InstanceRecord<'_>>, IndexError> {
        match self.find_instance(uid)? {
            Some(key) => self.instance(key),
            None => Ok(None),
        }
    }

    /// The patients, studies or series whose unique key (Patient ID, Study or Series Instance UID)
    /// is `value`, exactly and without blanks at its ends, in order of number. More than one where
    /// a study has several patients, or a series several studies.
    pub fn find_entities(
        &self,
        level: Level,
        value: &[u8],
    ) -> Result<impl Iterator<Item = Each<'_, EntityId>>, IndexError> {
        let mut prefix = Vec::with_capacity(80);
        identity_prefix(&mut prefix, level, value);
        let length = prefix.len() + 8;
        let rows = prefixed(self.view(), Table::Identities, &prefix, &prefix)?;
        Ok(rows.filter_map(move |row| match row {
            Ok((key, id)) if key.len() == length => Some(Ok(last_number(id))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }))
    }

    // ---- Many of them -------------------------------------------------------------------------

    /// The patients, studies or series with a number above `after`, in order of arrival.
    pub fn entities(
        &self,
        level: Level,
        after: EntityId,
    ) -> Result<impl Iterator<Item = Each<'_, EntityRecord<'_>>>, IndexError> {
        let view = self.view();
        let rows = view.rows(table_of(level), &after.saturating_add(1).to_be_bytes())?;
        Ok(rows.map(move |row| {
            let (key, bytes) = row?;
            decode_entity(view, level, last_number(key), bytes)
        }))
    }

    /// The studies of a patient (`level` Study) or the series of a study (Series) with a number
    /// above `after`, in order of arrival.
    pub fn children(
        &self,
        level: Level,
        parent: EntityId,
        after: EntityId,
    ) -> Result<impl Iterator<Item = Each<'_, EntityId>>, IndexError> {
        let from = child(level, parent, after.saturating_add(1));
        let rows = prefixed(self.view(), Table::Children, &from, &from[..9])?;
        Ok(rows.map(|row| row.map(|(key, _)| last_number(key))))
    }

    /// The instances of a series with a number above `after`, in order of arrival.
    pub fn instances(
        &self,
        series: EntityId,
        after: u64,
    ) -> Result<impl Iterator<Item = Each<'_, InstanceRecord<'_>>>, IndexError> {
        let from = InstanceKey { series, number: after.saturating_add(1) }.to_bytes();
        let view = self.view();
        let rows = prefixed(view, Table::Instances, &from, &from[..8])?;
        Ok(rows.map(move |row| {
            let (key, bytes) = row?;
            decode_instance(view, InstanceKey { series, number: last_number(key) }, bytes)
        }))
    }

    /// All instances after `after`, series by series.
    pub fn all_instances(
        &self,
        after: InstanceKey,
    ) -> Result<impl Iterator<Item = Each<'_, InstanceRecord<'_>>>, IndexError> {
        let view = self.view();
        let from = InstanceKey { series: after.series, number: after.number.saturating_add(1) };
        let rows = view.rows(Table::Instances, &from.to_bytes())?;
        Ok(rows.map(move |row| {
            let (key, bytes) = row?;
            decode_instance(view, InstanceKey::from_bytes(key).unwrap_or_default(), bytes)
        }))
    }

    /// The sets of values of an entity beside its primary one, in order of arrival. Empty unless
    /// [`EntityRecord::has_variants`].
    pub fn variants(
        &self,
        level: Level,
        entity: EntityId,
    ) -> Result<impl Iterator<Item = Each<'_, AttributeSet<'_>>>, IndexError> {
        self.variants_from(level, entity, 0)
    }

    /// The same from set `first` on.
    pub(super) fn variants_from(
        &self,
        level: Level,
        entity: EntityId,
        first: u32,
    ) -> Result<impl Iterator<Item = Each<'_, AttributeSet<'_>>>, IndexError> {
        let view = self.view();
        let from = variant(level, entity, first);
        let rows = prefixed(view, Table::Variants, &from, &from[..10])?;
        Ok(rows.map(move |row| {
            let (key, bytes) = row?;
            let number = key.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            AttributeSet::new(number, bytes).ok_or_else(|| view.damaged("a variant is unreadable"))
        }))
    }

    /// All attributes of an instance, of every level: what its entry had when it was listed.
    pub fn attributes_of(&self, record: &InstanceRecord<'_>) -> Result<Attributes, IndexError> {
        let view = self.view();
        let lost = || view.damaged("an instance has no series or study");
        let sets = record.sets();
        let series = self.entity(Level::Series, record.key().series)?.ok_or_else(lost)?;
        let study = self.entity(Level::Study, series.parent())?.ok_or_else(lost)?;
        // A study has the attributes of the patient, too.
        let parts = [
            self.set_of(Level::Study, &study, sets.study)?,
            self.set_of(Level::Series, &series, sets.series)?,
            record.attributes(),
        ];
        let mut all: Vec<(Tag, &[u8])> = parts.iter().flat_map(|part| part.iter()).collect();
        all.sort_by_key(|(tag, _)| *tag);
        let mut attributes = Attributes::new();
        for (tag, value) in all {
            attributes.set(tag, value);
        }
        Ok(attributes)
    }

    /// The values of a set that an instance of the entity has.
    pub(super) fn set_of<'r>(
        &'r self,
        level: Level,
        entity: &EntityRecord<'r>,
        number: u32,
    ) -> Result<AttributesRef<'r>, IndexError> {
        let set = self.find_set(level, entity, number)?.map(|set| set.attributes);
        set.ok_or_else(|| self.view().damaged("a variant is missing"))
    }

    /// A set of values of an entity, if it still has it.
    pub(super) fn find_set<'r>(
        &'r self,
        level: Level,
        entity: &EntityRecord<'r>,
        number: u32,
    ) -> Result<Option<AttributeSet<'r>>, IndexError> {
        let primary = entity.primary();
        if primary.number == number {
            return Ok(Some(primary));
        }
        let view = self.view();
        let damaged = || view.damaged("a variant is unreadable");
        view.get(Table::Variants, &variant(level, entity.id(), number))?
            .map(|bytes| AttributeSet::new(number, bytes).ok_or_else(damaged))
            .transpose()
    }

    /// Calls `visit` with each series of a patient, study or series, in order of arrival within
    /// each study.
    pub fn for_each_series(
        &self,
        level: Level,
        entity: EntityId,
        visit: &mut dyn FnMut(EntityId) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        match level {
            Level::Series | Level::Image => visit(entity),
            Level::Study => self.children(Level::Series, entity, 0)?.try_for_each(|id| visit(id?)),
            Level::Patient => self
                .children(Level::Study, entity, 0)?
                .try_for_each(|study| self.for_each_series(Level::Study, study?, visit)),
        }
    }

    /// The entities that have a value in `range`, in order of values, with the folded value; an
    /// entity comes once for each value it has there. They are candidates: match their records.
    pub fn keys(
        &self,
        range: &KeyRange,
    ) -> Result<impl Iterator<Item = Each<'_, (&[u8], EntityId)>>, IndexError> {
        let rows = prefixed(self.view(), Table::Keys, &range.from, &range.prefix)?;
        let last = range.last_value.clone();
        Ok(rows
            .map(|row| {
                let (key, _) = row?;
                Ok(split_secondary(key).unwrap_or_default())
            })
            .take_while(move |row| match (row, &last) {
                (Ok((value, _)), Some(last)) => *value <= last.as_slice(),
                _ => true,
            }))
    }

    /// The studies with the time of their last reception in microseconds since 1970, the longest
    /// untouched first: what a quota deletes.
    pub fn oldest_studies(
        &self,
    ) -> Result<impl Iterator<Item = Each<'_, (u64, EntityId)>>, IndexError> {
        let rows = self.view().rows(Table::Ages, &[])?;
        Ok(rows.map(|row| {
            let key = InstanceKey::from_bytes(row?.0).unwrap_or_default();
            Ok((key.series, key.number))
        }))
    }
}

fn decode_entity<'t>(
    view: View<'t>,
    level: Level,
    id: EntityId,
    bytes: &'t [u8],
) -> Result<EntityRecord<'t>, IndexError> {
    EntityRecord::new(level, id, bytes)
        .ok_or_else(|| view.damaged("a patient, study or series is unreadable"))
}

fn decode_instance<'t>(
    view: View<'t>,
    key: InstanceKey,
    bytes: &'t [u8],
) -> Result<InstanceRecord<'t>, IndexError> {
    InstanceRecord::new(key, bytes).ok_or_else(|| view.damaged("an instance is unreadable"))
}
