//! A storage area with its LMDB index, which is the store path's [`Listing`].
//!
//! Called by `server::areas` and the Python layer.

use std::path::Path;
use std::sync::Arc;

use super::area::{AreaError, AreaOptions, StorageArea};
use super::layout;
use super::listing::{Identity, ListedInstance, Listing, ListingError};
use crate::index::{Access, Index, IndexError, IndexOp, IndexOptions, Outcome};
use crate::storage::backend::tree::DiskTree;
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
        // The index makes its directory with all parents; that of the area must be there.
        DiskTree::open(directory).map_err(|source| IoFailure {
            operation: Operation::Open,
            path: directory.to_owned(),
            source,
        })?;
        let path = directory.join(layout::INDEX);
        let index = Index::open(&path, Access::Write, IndexOptions::default()).map_err(
            |error| match error {
                IndexError::InUse(_) => AreaError::InUse(directory.to_owned()),
                error => AreaError::Index(ListingError(Box::new(error))),
            },
        )?;
        let listing = Arc::new(IndexListing(Arc::clone(&index)));
        Ok(Self { area: StorageArea::open_with(directory, listing, options)?, index })
    }
}

struct IndexListing(Arc<Index>);

impl From<IndexError> for ListingError {
    fn from(error: IndexError) -> Self {
        Self(Box::new(error))
    }
}

impl Listing for IndexListing {
    fn commit(&self, changes: &[IndexOp]) -> Result<Vec<Outcome>, ListingError> {
        Ok(self.0.commit(changes)?)
    }

    fn applied(&self) -> Result<u64, ListingError> {
        Ok(self.0.read()?.counters()?.applied)
    }

    fn find(&self, sop_instance: &UidText) -> Result<Option<ListedInstance>, ListingError> {
        let reader = self.0.read()?;
        let Some(record) = reader.instance_of(sop_instance.as_bytes())? else { return Ok(None) };
        let file_bytes = record.file_bytes();
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
        }))
    }
}
