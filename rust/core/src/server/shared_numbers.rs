//! Numbers that a server and the processes it forks count in together (`--fork`).
//!
//! A child's memory is its own, so that every n-th object of all children, or the number of their
//! associations, could be counted by nobody. One anonymous page is shared instead, from before the
//! first fork on, and holds nothing but atomic numbers: whoever dies leaves them whole. Called by
//! `faults` and `children`.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// A row of numbers, all 0 at first.
#[derive(Debug)]
pub struct SharedNumbers {
    numbers: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: what is shared are atomic numbers, behind shared references only. SAFETY.md §7.
#[allow(unsafe_code)]
unsafe impl Send for SharedNumbers {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for SharedNumbers {}

impl SharedNumbers {
    /// `count` numbers.
    ///
    /// # Errors
    ///
    /// There is no memory.
    #[allow(unsafe_code)]
    pub fn new(count: usize) -> io::Result<Self> {
        let bytes = count.max(1).checked_mul(size_of::<AtomicU64>());
        let bytes = bytes.ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory
        // that anybody has. SAFETY.md §7.
        let place = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if place == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(place.cast::<AtomicU64>()) {
            Some(numbers) => Ok(Self { numbers, count }),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    /// The numbers.
    #[allow(unsafe_code)]
    pub fn all(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has `count` numbers at its page-aligned begin, zeros at first, which
        // are valid; it lives as long as `self`, and nobody writes to it but through the atomics.
        // SAFETY.md §7.
        unsafe { std::slice::from_raw_parts(self.numbers.as_ptr(), self.count) }
    }
}

impl Drop for SharedNumbers {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        let bytes = self.count.max(1) * size_of::<AtomicU64>();
        // SAFETY: the mapping is this value's own, of this length, and its slices ended with the
        // borrow. SAFETY.md §7.
        unsafe { libc::munmap(self.numbers.as_ptr().cast(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn numbers_begin_at_zero_and_count() {
        for count in [0, 1, 3, 5000] {
            let numbers = SharedNumbers::new(count).unwrap();
            assert_eq!(numbers.all().len(), count);
            for number in numbers.all() {
                assert_eq!(number.fetch_add(7, Ordering::Relaxed), 0);
                assert_eq!(number.load(Ordering::Relaxed), 7);
            }
        }
        assert!(SharedNumbers::new(usize::MAX).is_err());
    }
}
