//! A tree in memory whose n-th call fails.
//!
//! For tests of promise P4 (PROMISES.md §8.1): run an operation with n = 1, 2, 3 … until it passes
//! without a fault, and look at what is left each time. A write that fails has written half of its
//! bytes, as on a full disk; a sync that fails has lost what it should have saved.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::memory::{MemoryTree, MemoryTreeFile};
use super::{Access, Tree, TreeFile};
use crate::storage::backend::faulty::Plan;

/// A tree that fails by plan.
pub struct FaultyTree {
    inner: MemoryTree,
    plan: Arc<Plan>,
    has_lost: Arc<AtomicBool>,
}

impl FaultyTree {
    /// `inner`, failing by `plan`.
    pub fn new(inner: MemoryTree, plan: Arc<Plan>) -> Self {
        Self { inner, plan, has_lost: Arc::default() }
    }

    /// True once a sync of contents was among what failed.
    pub fn has_failed_sync(&self) -> bool {
        self.has_lost.load(Ordering::SeqCst)
    }

    fn file(&self, inner: MemoryTreeFile) -> Box<dyn TreeFile> {
        Box::new(FaultyFile {
            inner,
            plan: Arc::clone(&self.plan),
            has_lost: Arc::clone(&self.has_lost),
        })
    }
}

impl Tree for FaultyTree {
    fn path_of(&self, name: &str) -> PathBuf {
        self.inner.path_of(name)
    }

    fn make_directory(&self, name: &str, access: Access) -> io::Result<()> {
        self.plan.call()?;
        self.inner.make_directory(name, access)
    }

    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        self.plan.call()?;
        self.inner.names(directory)
    }

    fn create(&self, name: &str, _: Access) -> io::Result<Box<dyn TreeFile>> {
        self.plan.call()?;
        Ok(self.file(self.inner.create_file(name)?))
    }

    fn open(&self, name: &str, _: bool) -> io::Result<Box<dyn TreeFile>> {
        self.plan.call()?;
        Ok(self.file(self.inner.open_file(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.plan.call()?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.plan.call()?;
        self.inner.remove(name)
    }

    fn sync_directory(&self, name: &str) -> io::Result<()> {
        self.plan.call()?;
        self.inner.sync_directory(name)
    }

    fn sync_everything(&self) -> io::Result<()> {
        self.plan.call().inspect_err(|_| {
            self.inner.lose_everything();
            self.has_lost.store(true, Ordering::SeqCst);
        })?;
        self.inner.sync_everything()
    }

    fn syncs_names_with_contents(&self) -> bool {
        self.inner.syncs_names_with_contents()
    }

    fn file_system_of(&self, directory: &str) -> io::Result<u64> {
        self.inner.file_system_of(directory)
    }

    fn shares_syncs(&self, directory: &str, other: &str) -> bool {
        self.inner.shares_syncs(directory, other)
    }
}

struct FaultyFile {
    inner: MemoryTreeFile,
    plan: Arc<Plan>,
    has_lost: Arc<AtomicBool>,
}

/// The first half of all bytes.
fn half(slices: &[IoSlice<'_>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
    bytes.truncate(bytes.len() / 2);
    bytes
}

impl TreeFile for FaultyFile {
    fn bytes(&self) -> io::Result<u64> {
        self.plan.call()?;
        self.inner.bytes()
    }

    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        if let Err(error) = self.plan.call() {
            self.inner.append(&mut [IoSlice::new(&half(slices))])?;
            return Err(error);
        }
        self.inner.append(slices)
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        if let Err(error) = self.plan.call() {
            self.inner.write_at(&mut [IoSlice::new(&half(slices))], offset)?;
            return Err(error);
        }
        self.inner.write_at(slices, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.plan.call()?;
        self.inner.read_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.plan.call().inspect_err(|_| {
            self.inner.lose();
            self.has_lost.store(true, Ordering::SeqCst);
        })?;
        self.inner.sync_data()
    }

    fn start_write_out(&self) -> io::Result<()> {
        self.plan.call()?;
        self.inner.start_write_out()
    }

    fn write_out(&self) -> io::Result<()> {
        self.plan.call().inspect_err(|_| {
            self.inner.lose();
            self.has_lost.store(true, Ordering::SeqCst);
        })?;
        self.inner.write_out()
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        self.plan.call()?;
        Box::new(self.inner).close()
    }
}
