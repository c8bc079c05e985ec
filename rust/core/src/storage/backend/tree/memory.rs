//! A tree in memory that can forget like a disk without power.
//!
//! A power cut keeps of every file what was synced, and of what was written since any subset of its
//! sectors; a file that grew has any length in between. Changes of names come through or not, each
//! as one step, in any combination that respects the order in which one name changed. That is more
//! cruel than a journaling file system and within what POSIX allows. What was written out is in the
//! device's cache, which any sync empties. A sync that fails loses what it should have saved: it can
//! still be read, but no later sync saves it. For tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Access, Tree, TreeFile};

/// What a device writes in one go.
const SECTOR_BYTES: usize = 512;

/// A tree in memory.
#[derive(Clone)]
pub struct MemoryTree {
    disk: Arc<Mutex<Contents>>,
    syncs_names_with_contents: bool,
}

#[derive(Default)]
struct Contents {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    directories: BTreeSet<String>,
    /// Directories that are on another file system.
    mounted: BTreeMap<String, u64>,
    /// What of the names is safe.
    synced_names: BTreeMap<String, usize>,
    /// Changes of names since, in order. Directories are safe at once: what is made in one that is
    /// gone would be gone with it, which is the same as its own change being gone.
    changes: Vec<Vec<(String, Option<usize>)>>,
}

#[derive(Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Start and end of what was written since.
    dirty: Vec<(usize, usize)>,
    /// Start and bytes of what of it is in the device's cache.
    cached: Vec<(usize, Vec<u8>)>,
}

impl Inode {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.dirty.push((at, end));
    }

    fn sync(&mut self) {
        self.synced.resize(self.bytes.len(), 0);
        for (start, end) in self.dirty.drain(..) {
            self.synced[start..end].copy_from_slice(&self.bytes[start..end]);
        }
        self.cached.clear();
    }

    fn write_out(&mut self) {
        let bytes = &self.bytes;
        let cached = self.dirty.iter().map(|&(start, end)| (start, bytes[start..end].to_vec()));
        self.cached.extend(cached);
    }

    /// The device empties its cache. A length that grew is not in it.
    fn flush(&mut self) {
        for (start, bytes) in self.cached.drain(..) {
            let end = (start + bytes.len()).min(self.synced.len());
            if let Some(there) = self.synced.get_mut(start..end) {
                there.copy_from_slice(&bytes[..end - start]);
            }
        }
    }

    /// What a power cut leaves.
    fn torn(&self, choose: &mut dyn FnMut(usize) -> usize) -> Vec<u8> {
        let mut left = self.synced.clone();
        if self.dirty.is_empty() {
            return left;
        }
        let grown = self.bytes.len().saturating_sub(left.len());
        left.resize(left.len() + choose(grown + 1), 0);
        for &(start, end) in &self.dirty {
            let mut at = start;
            while at < end.min(left.len()) {
                let sector_end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                let sector_end = sector_end.min(end).min(left.len());
                if choose(2) == 1 {
                    left[at..sector_end].copy_from_slice(&self.bytes[at..sector_end]);
                }
                at = sector_end;
            }
        }
        left
    }
}

impl Contents {
    fn change(&mut self, change: Vec<(String, Option<usize>)>) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    /// Makes the changes that `is_wanted` names safe, with all that they follow from.
    fn sync_changes(&mut self, is_wanted: &dyn Fn(&str, Option<usize>) -> bool) {
        let mut needed = BTreeSet::new();
        let mut kept = Vec::new();
        let mut saved = Vec::new();
        for change in core::mem::take(&mut self.changes).into_iter().rev() {
            let is_needed =
                change.iter().any(|(name, to)| is_wanted(name, *to) || needed.contains(name));
            if is_needed {
                needed.extend(change.iter().map(|(name, _)| name.clone()));
                saved.push(change);
            } else {
                kept.push(change);
            }
        }
        kept.reverse();
        self.changes = kept;
        for change in saved.iter().rev() {
            apply(&mut self.synced_names, change);
        }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn check_parent(&self, name: &str) -> io::Result<()> {
        let is_there = parent(name).is_empty() || self.directories.contains(parent(name));
        if is_there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &[(String, Option<usize>)]) {
    for (name, to) in change {
        match to {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl MemoryTree {
    /// An empty tree, on a file system like ext4 or on one that promises nothing.
    pub fn new(syncs_names_with_contents: bool) -> Self {
        Self { disk: Arc::default(), syncs_names_with_contents }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of a file as a reader sees it now.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let contents = self.lock();
        let inode = contents.find(name).ok()?;
        Some(contents.inodes[inode].bytes.clone())
    }

    /// All files below a directory.
    pub fn below(&self, directory: &str) -> Vec<String> {
        let prefix = format!("{directory}/");
        self.lock().names.keys().filter(|name| name.starts_with(&prefix)).cloned().collect()
    }

    /// Puts a file there as if it had always been.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut contents = self.lock();
        let inode = contents.inodes.len();
        let bytes = bytes.to_vec();
        contents.inodes.push(Inode { synced: bytes.clone(), bytes, ..Inode::default() });
        contents.names.insert(name.to_owned(), inode);
        contents.synced_names.insert(name.to_owned(), inode);
    }

    /// Puts a directory on a file system of its own, which has this number.
    pub fn mount(&self, directory: &str, file_system: u64) {
        self.lock().mounted.insert(directory.to_owned(), file_system);
    }

    /// The same disk, seen by the next process: everything that was written is there.
    #[must_use]
    pub fn shared(&self) -> Self {
        self.clone()
    }

    /// What is there after the power was cut now. `choose(n)` gives a number below n.
    #[must_use]
    pub fn after_power_cut(&self, choose: &mut dyn FnMut(usize) -> usize) -> Self {
        let before = self.lock();
        let mut names = before.synced_names.clone();
        let mut frozen = BTreeSet::new();
        for change in &before.changes {
            let is_lost = change.iter().any(|(name, _)| frozen.contains(name)) || choose(3) == 0;
            if is_lost {
                frozen.extend(change.iter().map(|(name, _)| name.clone()));
            } else {
                apply(&mut names, change);
            }
        }
        let torn = |inode: &Inode| {
            let bytes = inode.torn(choose);
            Inode { synced: bytes.clone(), bytes, ..Inode::default() }
        };
        let inodes = before.inodes.iter().map(torn).collect();
        let directories = before.directories.clone();
        let mounted = before.mounted.clone();
        drop(before);
        let after = Contents {
            mounted,
            inodes,
            synced_names: names.clone(),
            names,
            directories,
            changes: Vec::new(),
        };
        Self {
            disk: Arc::new(Mutex::new(after)),
            syncs_names_with_contents: self.syncs_names_with_contents,
        }
    }

    /// What a sync of everything that fails does.
    pub(super) fn lose_everything(&self) {
        for inode in &mut self.lock().inodes {
            inode.dirty.clear();
            inode.cached.clear();
        }
    }

    /// Opens or creates a file.
    pub(super) fn file(&self, inode: usize) -> MemoryTreeFile {
        MemoryTreeFile { tree: self.clone(), inode }
    }

    pub(super) fn create_file(&self, name: &str) -> io::Result<MemoryTreeFile> {
        let mut contents = self.lock();
        contents.check_parent(name)?;
        if contents.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = contents.inodes.len();
        contents.inodes.push(Inode::default());
        contents.change(vec![(name.to_owned(), Some(inode))]);
        drop(contents);
        Ok(self.file(inode))
    }

    pub(super) fn open_file(&self, name: &str) -> io::Result<MemoryTreeFile> {
        let inode = self.lock().find(name)?;
        Ok(self.file(inode))
    }
}

impl Tree for MemoryTree {
    fn path_of(&self, name: &str) -> PathBuf {
        Path::new("memory").join(name)
    }

    fn make_directory(&self, name: &str, _: Access) -> io::Result<()> {
        let mut contents = self.lock();
        contents.check_parent(name)?;
        contents.directories.insert(name.to_owned());
        Ok(())
    }

    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        let contents = self.lock();
        if !contents.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = contents.names.keys().chain(&contents.directories);
        let last = |name: &String| {
            (parent(name) == directory)
                .then(|| name.rsplit_once('/').map_or(&**name, |(_, last)| last).to_owned())
        };
        Ok(all.filter_map(last).collect())
    }

    fn create(&self, name: &str, _: Access) -> io::Result<Box<dyn TreeFile>> {
        Ok(Box::new(self.create_file(name)?))
    }

    fn open(&self, name: &str, _: bool) -> io::Result<Box<dyn TreeFile>> {
        Ok(Box::new(self.open_file(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut contents = self.lock();
        let inode = contents.find(from)?;
        contents.check_parent(to)?;
        if contents.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        contents.change(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut contents = self.lock();
        contents.find(name)?;
        contents.change(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        self.lock().sync_changes(&|name, _| parent(name) == directory);
        Ok(())
    }

    fn sync_everything(&self) -> io::Result<()> {
        let mut contents = self.lock();
        contents.sync_changes(&|_, _| true);
        contents.inodes.iter_mut().for_each(Inode::sync);
        Ok(())
    }

    fn syncs_names_with_contents(&self) -> bool {
        self.syncs_names_with_contents
    }

    fn file_system_of(&self, directory: &str) -> io::Result<u64> {
        Ok(self.lock().mounted.get(directory).copied().unwrap_or_default())
    }

    fn shares_syncs(&self, _: &str, _: &str) -> bool {
        self.syncs_names_with_contents
    }
}

/// An open file.
pub(super) struct MemoryTreeFile {
    tree: MemoryTree,
    inode: usize,
}

impl MemoryTreeFile {
    /// What a sync that fails does.
    pub(super) fn lose(&self) {
        let inode = &mut self.tree.lock().inodes[self.inode];
        inode.dirty.clear();
        inode.cached.clear();
    }
}

impl TreeFile for MemoryTreeFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.tree.lock().inodes[self.inode].bytes.len() as u64)
    }

    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let inode = &mut self.tree.lock().inodes[self.inode];
        for slice in slices {
            inode.write(inode.bytes.len(), slice);
        }
        Ok(())
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let inode = &mut self.tree.lock().inodes[self.inode];
        let mut at = offset as usize;
        for slice in slices {
            inode.write(at, slice);
            at += slice.len();
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inode = &self.tree.lock().inodes[self.inode];
        let there = inode.bytes.get(offset as usize..).unwrap_or_default();
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut contents = self.tree.lock();
        contents.inodes[self.inode].sync();
        if self.tree.syncs_names_with_contents {
            contents.sync_changes(&|_, inode| inode == Some(self.inode));
            contents.inodes.iter_mut().for_each(Inode::flush);
        }
        Ok(())
    }

    fn start_write_out(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_out(&self) -> io::Result<()> {
        self.tree.lock().inodes[self.inode].write_out();
        Ok(())
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}
