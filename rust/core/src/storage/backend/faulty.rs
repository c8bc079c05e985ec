//! A backend whose n-th call fails, over any other.
//!
//! For tests of promise P4 (PROMISES.md §8.1): run an operation with n = 1, 2, 3 … until it passes
//! without a fault, and look at what is left each time. A failing append first writes half of its
//! bytes, as a full disk does. Taking back and tidying up (withdraw, settle, removal of a part
//! file) is not counted and never fails here: a part file that cannot be removed is the next
//! start's business.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Backend, PartFile, Publish};
use crate::storage::naming::AreaPath;

/// When and how calls fail.
pub struct Plan {
    /// The number of the call that fails, from 1; 0 for none.
    pub fail_at: u64,
    /// All later calls fail as well.
    pub is_permanent: bool,
    /// The operating system's error number.
    pub os_error: i32,
    calls: AtomicU64,
    has_failed: AtomicBool,
    is_over: AtomicBool,
    /// Called in the moment of the first fault, before anything is tidied up.
    at_fault: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Plan {
    /// Fails call number `fail_at`, and all later ones when permanent.
    pub fn new(fail_at: u64, is_permanent: bool, os_error: i32) -> Arc<Self> {
        Arc::new(Self {
            fail_at,
            is_permanent,
            os_error,
            calls: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            at_fault: None,
        })
    }

    /// Stops the world at call number `fail_at`: `at_fault` sees what a crash there would leave,
    /// then this call and all later ones fail.
    pub fn crash(fail_at: u64, at_fault: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        Arc::new(Self {
            fail_at,
            is_permanent: true,
            os_error: libc::EIO,
            calls: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            at_fault: Some(at_fault),
        })
    }

    /// Calls made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// True once a call was made to fail.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::SeqCst)
    }

    /// Nothing fails from now on.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(super) fn call(&self) -> io::Result<()> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let is_due = self.fail_at != 0
            && !self.is_over.load(Ordering::SeqCst)
            && (number == self.fail_at || (self.is_permanent && number > self.fail_at));
        if is_due {
            let is_first = !self.has_failed.swap(true, Ordering::SeqCst);
            if let Some(at_fault) = self.at_fault.as_ref().filter(|_| is_first) {
                at_fault();
            }
            return Err(io::Error::from_raw_os_error(self.os_error));
        }
        Ok(())
    }
}

/// A backend that fails by plan.
pub struct Faulty {
    inner: Arc<dyn Backend>,
    plan: Arc<Plan>,
}

impl Faulty {
    /// `inner`, failing by `plan`.
    pub fn new(inner: Arc<dyn Backend>, plan: Arc<Plan>) -> Self {
        Self { inner, plan }
    }
}

impl Backend for Faulty {
    fn create_part(&self) -> io::Result<Box<dyn PartFile>> {
        self.plan.call()?;
        let inner = self.inner.create_part()?;
        Ok(Box::new(FaultyPart { inner, plan: Arc::clone(&self.plan) }))
    }

    fn make_directories(&self, directory: &str) -> io::Result<()> {
        self.plan.call()?;
        self.inner.make_directories(directory)
    }

    fn make_directory(&self, directory: &str) -> io::Result<bool> {
        self.plan.call()?;
        self.inner.make_directory(directory)
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        self.inner.remove_directory(directory)
    }

    fn rename_published(&self, from: &AreaPath, to: &AreaPath) -> io::Result<()> {
        self.plan.call()?;
        self.inner.rename_published(from, to)
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        self.plan.call()?;
        self.inner.sync_directory(directory)
    }

    fn keeps_names_behind_contents(&self) -> bool {
        self.inner.keeps_names_behind_contents()
    }

    fn sync_published(&self, target: &AreaPath) -> io::Result<()> {
        self.plan.call()?;
        self.inner.sync_published(target)
    }

    fn remove_stale_parts(&self) -> io::Result<usize> {
        self.plan.call()?;
        self.inner.remove_stale_parts()
    }

    fn path_of(&self, target: &AreaPath) -> PathBuf {
        self.inner.path_of(target)
    }

    fn area(&self) -> &Path {
        self.inner.area()
    }
}

struct FaultyPart {
    inner: Box<dyn PartFile>,
    plan: Arc<Plan>,
}

impl PartFile for FaultyPart {
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        if let Err(error) = self.plan.call() {
            if let Some(slice) = slices.first() {
                let half = slice[..slice.len() / 2].to_vec();
                self.inner.append(&mut [IoSlice::new(&half)])?;
            }
            return Err(error);
        }
        self.inner.append(slices)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.plan.call()?;
        self.inner.read_at(buffer, at)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.plan.call()?;
        self.inner.sync_data()
    }

    fn start_write_out(&mut self) -> io::Result<()> {
        self.plan.call()?;
        self.inner.start_write_out()
    }

    fn finish_write_out(&mut self) -> io::Result<()> {
        self.plan.call()?;
        self.inner.finish_write_out()
    }

    fn close(&mut self) -> io::Result<()> {
        self.plan.call()?;
        self.inner.close()
    }

    fn publish(&mut self, target: &AreaPath, how: Publish) -> io::Result<()> {
        self.plan.call()?;
        self.inner.publish(target, how)
    }

    fn has_content_of(&self, target: &AreaPath) -> io::Result<bool> {
        self.plan.call()?;
        self.inner.has_content_of(target)
    }

    fn withdraw(&mut self) -> io::Result<()> {
        self.inner.withdraw()
    }

    fn settle(&mut self) -> io::Result<()> {
        self.inner.settle()
    }
}
