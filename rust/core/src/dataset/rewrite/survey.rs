//! The first pass: finds the lengths that stand before what they count, whether anything changes, and what
//! is odd or broken.

use std::io::Read;

use super::output::{Output, Slots};
use super::recode::Recoder;
use super::rewriter::Plain;
use super::{RewriteError, Rewriting};
use crate::dataset::breaks::Break;
use crate::dataset::oddities::Oddities;
use crate::limits::REWRITE_BLOCK_BYTES;

/// What the first pass over a data set found.
#[derive(Debug)]
pub struct Survey {
    /// The result is other than the source.
    pub is_changed: bool,
    /// Elements are out of order: the source is to be read through [`order`](super::order::order), and surveyed again.
    pub is_disordered: bool,
    /// Bytes of the result before it is deflated.
    pub bytes: u64,
    /// The lengths that the second pass needs.
    pub slots: Slots,
    /// What is odd about the source.
    pub oddities: Oddities,
}

/// The first pass, over bytes that come from elsewhere; of a deflated data set the inflated ones.
pub struct Surveyor {
    pub(super) recoder: Recoder,
    changes_stream: bool,
    failed: Option<RewriteError>,
}

impl Surveyor {
    /// A surveyor at the start of a data set.
    pub fn new(rewriting: &Rewriting) -> Self {
        Self {
            recoder: rewriting.recoder(Output::counting()),
            changes_stream: rewriting.changes_stream(),
            failed: None,
        }
    }

    /// Takes the next bytes. What is wrong with them is told at the end.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.recoder.walk(&mut bytes).err();
        }
    }

    /// True once it is certain that the result is other than the source.
    pub fn sees_change(&self) -> bool {
        let Recoder { is_changed, is_disordered, .. } = self.recoder;
        is_changed || is_disordered || self.changes_stream
    }

    /// True when every length that stands before what came so far is known: the second pass may go as
    /// far.
    pub fn is_settled(&self) -> bool {
        self.failed.is_none() && self.recoder.is_settled()
    }

    /// True once elements were seen out of order.
    pub fn sees_disorder(&self) -> bool {
        self.recoder.is_disordered
    }

    /// Bytes that come next and belong to a value whose length is known: all stays settled over them.
    pub fn value_bytes_ahead(&self) -> u64 {
        self.recoder.value_bytes_ahead()
    }

    /// The next `bytes`, at most [`Surveyor::value_bytes_ahead`], are not shown: nothing but what is odd
    /// about the data set is known afterwards.
    pub fn pass_over(&mut self, mut bytes: u64) {
        static ZEROS: [u8; REWRITE_BLOCK_BYTES] = [0; REWRITE_BLOCK_BYTES];
        while bytes > 0 {
            let count = usize::try_from(bytes).map_or(ZEROS.len(), |bytes| bytes.min(ZEROS.len()));
            self.feed(&ZEROS[..count]);
            bytes -= count as u64;
        }
    }

    /// What was odd so far; it is told once.
    pub fn take_oddities(&mut self) -> Oddities {
        core::mem::take(&mut self.recoder.oddities)
    }

    /// What breaks the data set, if it ends here.
    pub fn break_at_end(&self) -> Option<Break> {
        if self.failed.is_some() { self.recoder.broken } else { self.recoder.break_at_end() }
    }

    /// So many bytes stand before the data set in the file whose length padding aligns.
    pub fn align_to(&mut self, head_bytes: u64) {
        self.recoder.head_bytes = head_bytes;
    }

    /// Says whether the data set may end here, and what was found.
    ///
    /// # Errors
    ///
    /// See [`RewriteError`].
    pub fn finish(mut self) -> Result<Survey, RewriteError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.recoder.finish()?;
        Ok(Survey {
            is_changed: self.recoder.is_changed
                || self.recoder.is_disordered
                || self.changes_stream,
            is_disordered: self.recoder.is_disordered,
            bytes: self.recoder.out.bytes,
            slots: self.recoder.out.into_slots(),
            oddities: self.recoder.oddities,
        })
    }
}

/// The first pass over `source`.
///
/// # Errors
///
/// See [`RewriteError`].
pub fn survey<R: Read>(source: R, rewriting: &Rewriting) -> Result<Survey, RewriteError> {
    let mut surveyor = Surveyor::new(rewriting);
    let mut plain = Plain::new(source, rewriting.from.is_deflated);
    while let Some(block) = plain.next()? {
        surveyor.feed(block);
        let count = block.len();
        plain.take(count);
    }
    surveyor.finish()
}
