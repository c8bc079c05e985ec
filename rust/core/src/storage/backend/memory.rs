//! A file system in memory that can forget like a disk without power.
//!
//! "Written" and "synced" are kept apart (PROMISES.md §8.3): a crash keeps of each file what
//! was synced, and of the rest any prefix, whole or as zeros; of each name it keeps any state since
//! its directory was last synced, independently of all other names. That is more cruel than a
//! journaling file system and within what POSIX allows. For tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Backend, PartFile, Publish, directory_ends};
use crate::storage::naming::AreaPath;

/// An area in memory.
#[derive(Clone)]
pub struct Memory {
    disk: Arc<Mutex<Contents>>,
    keeps_names_behind_contents: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(true)
    }
}

#[derive(Default)]
struct Contents {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    /// States of each name since its directory was synced; the first is the synced one.
    unsynced: BTreeMap<String, Vec<Option<usize>>>,
    directories: BTreeSet<String>,
    synced_directories: BTreeSet<String>,
    part_count: usize,
}

#[derive(Clone, Default)]
struct Inode {
    bytes: Vec<u8>,
    synced_bytes: usize,
}

impl Contents {
    fn set(&mut self, name: &str, inode: Option<usize>) {
        let before = self.names.get(name).copied();
        match inode {
            Some(inode) => self.names.insert(name.to_owned(), inode),
            None => self.names.remove(name),
        };
        self.unsynced.entry(name.to_owned()).or_insert_with(|| vec![before]).push(inode);
    }

    fn sync_names(&mut self, directory: &str) {
        self.unsynced.retain(|name, _| parent(name) != directory);
        for made in &self.directories {
            if parent(made) == directory {
                self.synced_directories.insert(made.clone());
            }
        }
    }
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl Memory {
    /// An empty area, on a file system like ext4 or on one that promises nothing.
    pub fn new(keeps_names_behind_contents: bool) -> Self {
        Self { disk: Arc::default(), keeps_names_behind_contents }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directories that a reader sees now.
    pub fn directories(&self) -> BTreeSet<String> {
        self.lock().directories.clone()
    }

    /// Makes an empty file, as somebody else may.
    pub fn occupy(&self, name: &str) {
        let mut contents = self.lock();
        contents.inodes.push(Inode::default());
        let inode = contents.inodes.len() - 1;
        contents.set(name, Some(inode));
    }

    /// Removes a file, as somebody else may.
    pub fn forget(&self, name: &str) {
        self.lock().set(name, None);
    }

    /// The names and contents that a reader sees now.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let contents = self.lock();
        let file = |(name, inode): (&String, &usize)| {
            (name.clone(), contents.inodes[*inode].bytes.clone())
        };
        contents.names.iter().map(file).collect()
    }

    /// What is there after the power was cut now. `choose(n)` gives a number below n.
    #[must_use]
    pub fn after_crash(&self, choose: &mut dyn FnMut(usize) -> usize) -> Self {
        let before = self.lock();
        let mut after = Contents {
            inodes: before.inodes.clone(),
            directories: before.synced_directories.clone(),
            ..Contents::default()
        };
        for directory in before.directories.difference(&before.synced_directories) {
            let has_parent =
                parent(directory).is_empty() || after.directories.contains(parent(directory));
            if has_parent && choose(2) == 1 {
                after.directories.insert(directory.clone());
            }
        }
        after.synced_directories.clone_from(&after.directories);
        for inode in &mut after.inodes {
            let unsynced = inode.bytes.len() - inode.synced_bytes;
            let kept = inode.synced_bytes + choose(unsynced + 1);
            inode.bytes.truncate(kept);
            if choose(2) == 1 {
                inode.bytes[inode.synced_bytes..].fill(0);
            }
            inode.synced_bytes = kept;
        }
        let names: BTreeSet<&String> = before.names.keys().chain(before.unsynced.keys()).collect();
        for name in names {
            let state = match before.unsynced.get(name) {
                Some(states) => states[choose(states.len())],
                None => before.names.get(name).copied(),
            };
            let directory = parent(name);
            if let (Some(inode), true) =
                (state, directory.is_empty() || after.directories.contains(directory))
            {
                after.names.insert(name.clone(), inode);
            }
        }
        drop(before);
        Self {
            disk: Arc::new(Mutex::new(after)),
            keeps_names_behind_contents: self.keeps_names_behind_contents,
        }
    }
}

impl Backend for Memory {
    fn create_part(&self) -> io::Result<Box<dyn PartFile>> {
        let mut contents = self.lock();
        contents.part_count += 1;
        let name = format!(".dcmfast-0-{}.part", contents.part_count);
        let inode = contents.inodes.len();
        contents.inodes.push(Inode::default());
        contents.set(&name, Some(inode));
        drop(contents);
        Ok(Box::new(MemoryPart { memory: self.clone(), name, inode, state: State::Part }))
    }

    fn make_directories(&self, directory: &str) -> io::Result<()> {
        let mut contents = self.lock();
        for end in directory_ends(directory) {
            contents.directories.insert(directory[..end].to_owned());
        }
        Ok(())
    }

    fn make_directory(&self, directory: &str) -> io::Result<bool> {
        let mut contents = self.lock();
        let above = parent(directory);
        if !above.is_empty() && !contents.directories.contains(above) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if contents.names.contains_key(directory) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(contents.directories.insert(directory.to_owned()))
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        let mut contents = self.lock();
        if contents.names.keys().any(|name| parent(name) == directory) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        contents.directories.remove(directory);
        contents.synced_directories.remove(directory);
        Ok(())
    }

    fn rename_published(&self, from: &AreaPath, to: &AreaPath) -> io::Result<()> {
        let mut contents = self.lock();
        let (from, to) = (from.relative(), to.relative());
        let inode = *contents.names.get(&from).ok_or(io::ErrorKind::NotFound)?;
        if contents.names.contains_key(&to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        contents.set(&to, Some(inode));
        contents.set(&from, None);
        Ok(())
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        self.lock().sync_names(directory);
        Ok(())
    }

    fn keeps_names_behind_contents(&self) -> bool {
        self.keeps_names_behind_contents
    }

    fn sync_published(&self, target: &AreaPath) -> io::Result<()> {
        let mut contents = self.lock();
        let inode = *contents.names.get(&target.relative()).ok_or(io::ErrorKind::NotFound)?;
        let inode = &mut contents.inodes[inode];
        inode.synced_bytes = inode.bytes.len();
        Ok(())
    }

    fn remove_stale_parts(&self) -> io::Result<usize> {
        let mut contents = self.lock();
        let is_part = |name: &&String| name.starts_with(".dcmfast-");
        let parts: Vec<String> = contents.names.keys().filter(is_part).cloned().collect();
        for part in &parts {
            contents.set(part, None);
        }
        Ok(parts.len())
    }

    fn path_of(&self, target: &AreaPath) -> PathBuf {
        self.area().join(target.relative())
    }

    fn area(&self) -> &Path {
        Path::new("memory")
    }
}

enum State {
    Part,
    Published(String),
    Exchanged(String),
    Settled,
}

struct MemoryPart {
    memory: Memory,
    name: String,
    inode: usize,
    state: State,
}

impl PartFile for MemoryPart {
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut contents = self.memory.lock();
        for slice in slices {
            contents.inodes[self.inode].bytes.extend_from_slice(slice);
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let contents = self.memory.lock();
        let bytes = &contents.inodes[self.inode].bytes;
        let mut rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        io::Read::read(&mut rest, buffer)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let inode = &mut self.memory.lock().inodes[self.inode];
        inode.synced_bytes = inode.bytes.len();
        Ok(())
    }

    fn start_write_out(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The promise of `keeps_names_behind_contents`: whatever name survives, this content does. No
    /// test can tell that from the content having survived by itself.
    fn finish_write_out(&mut self) -> io::Result<()> {
        if self.memory.keeps_names_behind_contents { self.sync_data() } else { Ok(()) }
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn publish(&mut self, target: &AreaPath, how: Publish) -> io::Result<()> {
        let mut contents = self.memory.lock();
        let directory = target.directory();
        if !directory.is_empty() && !contents.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let target = target.relative();
        let existing = contents.names.get(&target).copied();
        match (how, existing) {
            (Publish::New, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Publish::Exchange, None) => return Err(io::ErrorKind::NotFound.into()),
            _ => {}
        }
        contents.set(&target, Some(self.inode));
        let is_exchange = how == Publish::Exchange;
        contents.set(&self.name, existing.filter(|_| is_exchange));
        self.state = if is_exchange { State::Exchanged(target) } else { State::Published(target) };
        Ok(())
    }

    fn has_content_of(&self, target: &AreaPath) -> io::Result<bool> {
        let contents = self.memory.lock();
        let ours = &contents.inodes[self.inode].bytes;
        let stored = contents.names.get(&target.relative());
        Ok(stored.is_some_and(|inode| contents.inodes[*inode].bytes == *ours))
    }

    fn withdraw(&mut self) -> io::Result<()> {
        let mut contents = self.memory.lock();
        match core::mem::replace(&mut self.state, State::Part) {
            State::Published(target) => {
                self.state = State::Settled;
                if contents.names.get(&target) == Some(&self.inode) {
                    contents.set(&target, None);
                }
            }
            State::Exchanged(target) => {
                let old = contents.names.get(&self.name).copied();
                contents.set(&target, old);
                contents.set(&self.name, Some(self.inode));
            }
            State::Part | State::Settled => {}
        }
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        if let State::Exchanged(_) = core::mem::replace(&mut self.state, State::Settled) {
            self.memory.lock().set(&self.name, None);
        }
        Ok(())
    }
}

impl Drop for MemoryPart {
    fn drop(&mut self) {
        if matches!(self.state, State::Part) {
            self.memory.lock().set(&self.name, None);
        }
    }
}
