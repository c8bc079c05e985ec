//! Buffers of records that were applied, for records to come.
//!
//! A record is filled by an association and freed by the applier, a thousand at a time. Given back to
//! the allocator, each such load makes a thread's heap shrink and grow again, page by page (3 of 80 us an
//! object); here the next objects find it. What is kept is bounded in number and size, and freed when
//! nothing was stored for a while.
//!
//! Called by `archive::{receiver, applier}`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::{SPARE_RECORD_BYTES_MAX, SPARE_RECORDS_MAX};

/// The buffers.
#[derive(Default)]
pub struct SpareRecords {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    /// One was taken since the last look.
    is_used: bool,
}

impl SpareRecords {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere leaves whole buffers behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer with room for `capacity` bytes.
    pub fn take(&self, capacity: usize) -> Vec<u8> {
        if capacity > SPARE_RECORD_BYTES_MAX {
            return Vec::with_capacity(capacity);
        }
        let mut kept = self.lock();
        kept.is_used = true;
        let found = kept.buffers.pop();
        drop(kept);
        let mut buffer = found.unwrap_or_default();
        buffer.reserve_exact(capacity);
        buffer
    }

    /// Keeps those of `buffers` that another record may need.
    pub fn keep(&self, buffers: impl Iterator<Item = Vec<u8>>) {
        let mut kept = self.lock();
        for mut buffer in buffers {
            let is_wanted = (1..=SPARE_RECORD_BYTES_MAX).contains(&buffer.capacity());
            if is_wanted && kept.buffers.len() < SPARE_RECORDS_MAX {
                buffer.clear();
                kept.buffers.push(buffer);
            }
        }
    }

    /// Frees all where none was taken since the last call.
    pub fn tidy(&self) {
        let mut kept = self.lock();
        if !core::mem::take(&mut kept.is_used) {
            let unused = core::mem::take(&mut kept.buffers);
            // Nobody waits while they are freed.
            drop(kept);
            drop(unused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// limits: so many, so large, and empty when they are handed out.
    #[test]
    fn what_is_kept() {
        let spare = SpareRecords::default();
        let filled = |bytes| vec![1; bytes];
        let sizes = [0, 1, SPARE_RECORD_BYTES_MAX, SPARE_RECORD_BYTES_MAX + 1];
        spare.keep(sizes.map(filled).into_iter());
        assert_eq!(spare.lock().buffers.len(), 2);
        let found = spare.take(10);
        assert!(found.is_empty() && found.capacity() == SPARE_RECORD_BYTES_MAX);
        assert!(spare.take(SPARE_RECORD_BYTES_MAX + 1).capacity() > SPARE_RECORD_BYTES_MAX);
        assert_eq!(spare.lock().buffers.len(), 1);
        spare.keep((0..=SPARE_RECORDS_MAX).map(|_| filled(9)));
        assert_eq!(spare.lock().buffers.len(), SPARE_RECORDS_MAX);
    }

    /// An area at rest holds nothing.
    #[test]
    fn what_nobody_takes_is_freed() {
        let spare = SpareRecords::default();
        spare.keep(core::iter::once(vec![1; 9]));
        let _ = spare.take(1);
        spare.keep(core::iter::once(vec![1; 9]));
        for left in [1, 0] {
            spare.tidy();
            assert_eq!(spare.lock().buffers.len(), left);
        }
    }
}
