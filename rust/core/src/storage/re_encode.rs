//! A received data set in the encoding that is asked for.
//!
//! While the bytes come a [`Way`] looks at them; at the end it knows whether they may stay as they are,
//! which they mostly may, and what the second pass needs where not. That pass reads them from where
//! they were put. Called by `storage::writer` and `archive::receiver`.

use std::io::{self, Read, Seek};

use crate::dataset::rewrite::{
    OutputEncoding, Padding, PixelHints, RewriteError, Rewriter, Rewriting, Survey, Surveyor,
    order, survey,
};
use crate::storage::durability::IoFailure;
use crate::storage::writer::StoreError;
use crate::uid::Uid;

/// From the encoding that comes to the one that is written.
pub(crate) struct Way {
    rewriting: Rewriting,
    to: Uid,
    surveyor: Surveyor,
}

impl Way {
    /// The way of a data set that comes in `from`; an error when there is none.
    pub fn new(from: Uid, encoding: OutputEncoding) -> Result<Self, Uid> {
        let rewriting = Rewriting::of(&from, encoding, PixelHints::default()).ok_or(from)?;
        let to = encoding.target(&from).ok_or(from)?;
        Ok(Self { surveyor: Surveyor::new(&rewriting), rewriting, to })
    }

    /// The transfer syntax that is written.
    pub fn target(&self) -> &Uid {
        &self.to
    }

    /// Looks at the next bytes, inflated where they are deflated.
    pub fn look(&mut self, bytes: &[u8]) {
        self.surveyor.feed(bytes);
    }

    /// True once it is certain that the bytes will not stay.
    pub fn will_change(&self) -> bool {
        self.surveyor.sees_change()
    }

    /// The bytes are complete. `None` when they stay; `head_bytes` says what stands before them in the
    /// file where padding depends on it.
    pub fn decide(
        mut self,
        head_bytes: impl FnOnce() -> u64,
    ) -> Result<Option<Change>, ReEncodeError> {
        if matches!(self.rewriting.encoding.padding, Padding::Aligned { .. }) {
            let head_bytes = head_bytes();
            self.rewriting.head_bytes = head_bytes;
            self.surveyor.align_to(head_bytes);
        }
        let found = self.surveyor.finish()?;
        Ok(found.is_changed.then_some(Change { rewriting: self.rewriting, found }))
    }
}

/// What the second pass needs.
pub(crate) struct Change {
    rewriting: Rewriting,
    found: Survey,
}

impl Change {
    /// Reads the data set `source` again and hands over what becomes of it.
    pub fn apply<S: Read + Seek>(
        self,
        mut source: S,
        append: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), ReEncodeError> {
        let Self { rewriting, found } = self;
        if !found.is_disordered {
            return drain(Rewriter::second_pass(&mut source, &rewriting, found.slots), append);
        }
        let mut ordered = order(source, &rewriting)?;
        let rewriting = ordered.rewriting(&rewriting);
        let found = survey(&mut ordered, &rewriting)?;
        ordered.rewind();
        drain(Rewriter::second_pass(&mut ordered, &rewriting, found.slots), append)
    }
}

fn drain<R: Read>(
    mut rewriter: Rewriter<R>,
    append: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), ReEncodeError> {
    while let Some(block) = rewriter.next_block()? {
        append(block).map_err(ReEncodeError::Store)?;
    }
    Ok(())
}

/// Why it did not come to that.
pub(crate) enum ReEncodeError {
    /// The data set cannot be re-encoded, or not be read back.
    Rewrite(RewriteError),
    /// The result cannot be written.
    Store(StoreError),
}

impl ReEncodeError {
    /// What the sender is told about an object that came in `from`; `unread` says of which file when
    /// what arrived cannot be read back.
    pub fn into_store_error(
        self,
        from: Uid,
        unread: impl FnOnce(io::Error) -> IoFailure,
    ) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Rewrite(RewriteError::NotWhole(error)) => error.into(),
            Self::Rewrite(RewriteError::Source(source)) => unread(source).into(),
            Self::Rewrite(_) => StoreError::Unconvertible(from),
        }
    }
}

impl From<RewriteError> for ReEncodeError {
    fn from(error: RewriteError) -> Self {
        Self::Rewrite(error)
    }
}
