//! A storage area with its LMDB index, which is the store path's [`Listing`].
//!
//! Called by `server::areas` and the Python layer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::area::{AreaError, AreaOptions, Quota, StorageArea};
use super::layout;
use super::listing::{Identity, ListedInstance, Listing, ListingError, StudyInstance};
use super::quota::{self, DryRun, StudySummary};
use crate::index::attributes::{Level, unique_value};
use crate::index::{Access, EntityRecord, Index, IndexError, IndexOp, IndexOptions, Outcome};
use crate::storage::backend::survey::{facts_of, rename_directory};
use crate::storage::backend::tree::{DiskTree, Tree, TreeLock};
use crate::storage::durability::{IoFailure, Operation};
use crate::uid::UidText;

/// An open storage area with its index.
#[derive(Clone)]
pub struct OpenArea {
    /// Stores, and opens what is stored.
    pub area: Arc<StorageArea>,
    /// Answers queries, behind [`StorageArea::barrier`].
    pub index: Arc<Index>,
}

impl OpenArea {
    /// Opens the area in the existing directory `directory` for storing, with its index.
    ///
    /// # Errors
    ///
    /// The directory is missing or not writable, another process has the area, or its index is
    /// damaged or of another version: it can be rebuilt from the files then.
    pub fn open(directory: &Path, options: AreaOptions) -> Result<Self, AreaError> {
        let (tree, lock) = StorageArea::lock(directory)?;
        Self::open_locked(directory, tree, lock, options)
    }

    /// Opens the area in `directory`, which is ours by `lock`.
    pub(super) fn open_locked(
        directory: &Path,
        tree: DiskTree,
        lock: TreeLock,
        options: AreaOptions,
    ) -> Result<Self, AreaError> {
        let path = directory.join(layout::INDEX);
        put_back(&tree, &path)?;
        // After a crash it may be that not all pages are what they should be.
        let looks_deep = tree.open(layout::OPEN, false).is_ok();
        let index_options = IndexOptions { looks_deep, ..IndexOptions::default() };
        let index =
            Index::open(&path, Access::Write, index_options).map_err(|error| match error {
                IndexError::InUse(_) => AreaError::InUse(directory.to_owned()),
                error => AreaError::Index(ListingError(Box::new(error))),
            })?;
        let listing = Arc::new(IndexListing(Arc::clone(&index)));
        let area = StorageArea::with_parts(Arc::new(tree), listing, options, Some(lock))?;
        Ok(Self { area, index })
    }
}

/// Gives the replaced index its name again when a crash came before the new one had it.
fn put_back(tree: &DiskTree, index: &Path) -> Result<(), IoFailure> {
    let failure = |source| IoFailure { operation: Operation::Publish, path: index.into(), source };
    let old = tree.path_of(layout::OLD_INDEX);
    let is_there = |path: &Path| match facts_of(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failure(error)),
    };
    if !is_there(index)? && is_there(&old)? {
        rename_directory(&old, index).map_err(failure)?;
        tree.sync_directory(layout::PRIVATE).map_err(failure)?;
    }
    Ok(())
}

/// What would go of an indexed area if it had this quota and the next object were of a new study.
/// Only reads: a server may be storing meanwhile.
///
/// # Errors
///
/// The index cannot be read.
pub fn quota_dry_run(index: &Arc<Index>, quota: Quota) -> Result<Vec<DryRun>, ListingError> {
    quota::dry_run(&IndexListing(Arc::clone(index)), quota)
}

struct IndexListing(Arc<Index>);

fn study_instance_of(study: &EntityRecord<'_>) -> Box<[u8]> {
    unique_value(Level::Study, study.attributes()).into()
}

impl From<IndexError> for ListingError {
    fn from(error: IndexError) -> Self {
        Self(Box::new(error))
    }
}

impl Listing for IndexListing {
    fn commit(&self, changes: &[IndexOp]) -> Result<Vec<Outcome>, ListingError> {
        Ok(self.0.commit(changes)?)
    }

    fn tidy(&self) -> Result<(), ListingError> {
        self.0.clear_stale_readers()?;
        Ok(())
    }

    fn applied(&self) -> Result<u64, ListingError> {
        Ok(self.0.read()?.counters()?.applied)
    }

    fn find(&self, sop_instance: &UidText) -> Result<Option<ListedInstance>, ListingError> {
        let reader = self.0.read()?;
        let Some(record) = reader.instance_of(sop_instance.as_bytes())? else { return Ok(None) };
        let file_bytes = record.file_bytes();
        let study = match reader.entity(Level::Series, record.key().series)? {
            Some(series) => reader.entity(Level::Study, series.parent())?,
            None => None,
        };
        // It was a UidText when it was listed.
        let Some(sop_class) = UidText::new(record.sop_class()) else { return Ok(None) };
        Ok(Some(ListedInstance {
            identity: Identity {
                sop_class,
                transfer_syntax: record.transfer_syntax(),
                data_set_bytes: file_bytes.saturating_sub(u64::from(record.data_set_offset())),
                digest: record.digest(),
            },
            location: record.location(),
            file_bytes,
            study_instance: study.map(|study| study_instance_of(&study)).unwrap_or_default(),
        }))
    }

    fn studies(&self) -> Result<Vec<StudySummary>, ListingError> {
        let reader = self.0.read()?;
        // A study that is listed under two patients is two entities here, but one to a quota.
        let mut studies: HashMap<Box<[u8]>, StudySummary> = HashMap::new();
        for study in reader.entities(Level::Study, 0)? {
            let study = study?;
            let study_instance = study_instance_of(&study);
            let summary =
                studies.entry(study_instance).or_insert_with_key(|study_instance| StudySummary {
                    study_instance: study_instance.clone(),
                    instances: 0,
                    bytes: 0,
                    last_reception_us: 0,
                });
            summary.instances += study.instance_count();
            summary.bytes += study.file_bytes();
            summary.last_reception_us = summary.last_reception_us.max(study.last_reception_us());
        }
        Ok(studies.into_values().collect())
    }

    fn study_instances(&self, study_instance: &[u8]) -> Result<Vec<StudyInstance>, ListingError> {
        let reader = self.0.read()?;
        let mut found = Vec::new();
        for study in reader.find_entities(Level::Study, study_instance)? {
            reader.for_each_series(Level::Study, study?, &mut |series| {
                for record in reader.instances(series, 0)? {
                    let record = record?;
                    // It was a UidText when it was listed.
                    let Some(sop_instance) = UidText::new(record.sop_instance()) else { continue };
                    let instance = StudyInstance {
                        sop_instance,
                        location: record.location(),
                        file_bytes: record.file_bytes(),
                    };
                    found.push((record.key().number, instance));
                }
                Ok(())
            })?;
        }
        found.sort_by_key(|(number, _)| *number);
        Ok(found.into_iter().map(|(_, instance)| instance).collect())
    }
}
