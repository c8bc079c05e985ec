//! Files that are to be deleted, and could not be yet.
//!
//! What a quota or a replacement has taken off the list stays off: a file that the system did not let go
//! (an error of the disk, a mount point in its place, a directory without write access) is noted here,
//! tried again while the area is open and at each start, and listed by no comparison and no rebuild
//! meanwhile. The note is written before the journal forgets that the file was to go.
//!
//! ```text
//! DIR/.dcmfast/undeleted     the payload of a removal record (`archive::record`), and its XXH3-64
//! ```
//!
//! Called by `archive::{applier, area, rebuild, verify}`.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use super::layout;
use super::record::{self, Change, Listed};
use crate::index::FileLocation;
use crate::limits::UNDELETED_BYTES_MAX;
use crate::storage::backend::tree::{Access, Tree, remove_if_there};
use crate::storage::journal::frame::RECORD_HEADER_BYTES;

/// Where the note is until the one before it is gone.
const PART: &str = ".dcmfast/undeleted.part";
/// Bytes of the checksum at its end.
const SUM_BYTES: usize = 8;
/// What a file takes in the note beside its path.
const ENTRY_BYTES: usize = 72;

/// The files, by name.
#[derive(Default)]
pub(super) struct Undeleted {
    state: Mutex<State>,
    /// The note is not what is known.
    is_changed: AtomicBool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Listed>,
    bytes: usize,
}

impl Undeleted {
    /// What an earlier process has noted. A note that is cut or damaged is as none: what the journal still
    /// has is noted again.
    pub fn load(tree: &dyn Tree) -> Self {
        let undeleted = Self::default();
        let noted = read(tree, layout::UNDELETED).or_else(|| read(tree, PART));
        for listed in noted.unwrap_or_default() {
            undeleted.insert(&listed);
        }
        undeleted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind, every state of which is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, instance: &Listed) -> bool {
        let Some(name) = layout::deletable(&instance.location) else { return false };
        let mut state = self.lock();
        let bytes = state.bytes + ENTRY_BYTES + name.len();
        if state.files.contains_key(&name) {
            return true;
        }
        if bytes > UNDELETED_BYTES_MAX {
            return false;
        }
        state.bytes = bytes;
        state.files.insert(name, instance.clone());
        true
    }

    /// Takes note of a file; false when there is no room for it.
    pub fn add(&self, instance: &Listed) -> bool {
        let is_noted = self.insert(instance);
        self.is_changed.fetch_or(is_noted, Ordering::AcqRel);
        is_noted
    }

    /// Forgets a file.
    pub fn forget(&self, instance: &Listed) {
        let Some(name) = layout::deletable(&instance.location) else { return };
        let mut state = self.lock();
        if state.files.remove(&name).is_some() {
            state.bytes -= ENTRY_BYTES + name.len();
            self.is_changed.store(true, Ordering::Release);
        }
    }

    /// True for a file that is to be deleted.
    pub fn has(&self, location: &FileLocation) -> bool {
        layout::deletable(location).is_some_and(|name| self.lock().files.contains_key(&name))
    }

    /// All of them.
    pub fn all(&self) -> Vec<Listed> {
        self.lock().files.values().cloned().collect()
    }

    /// Writes the note if it is not what is known; an error leaves the old one, for the next attempt.
    pub fn save(&self, tree: &dyn Tree) -> io::Result<()> {
        if !self.is_changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let saved = write(tree, self.all());
        self.is_changed.fetch_or(saved.is_err(), Ordering::AcqRel);
        saved
    }
}

fn write(tree: &dyn Tree, files: Vec<Listed>) -> io::Result<()> {
    if files.is_empty() {
        remove_if_there(tree, PART)?;
        return remove_if_there(tree, layout::UNDELETED);
    }
    let note = record::encode(&Change::Remove(files));
    let note = note.get(RECORD_HEADER_BYTES..).unwrap_or_default();
    remove_if_there(tree, PART)?;
    let mut file = tree.create(PART, Access::Owner)?;
    let sum = xxh3_64(note).to_be_bytes();
    file.append(&mut [IoSlice::new(note), IoSlice::new(&sum)])?;
    file.close()?;
    // No rename replaces anything. Whoever comes in between finds the new one.
    remove_if_there(tree, layout::UNDELETED)?;
    tree.rename(PART, layout::UNDELETED)
}

fn read(tree: &dyn Tree, name: &str) -> Option<Vec<Listed>> {
    let file = tree.open(name, false).ok()?;
    // An entry is never longer than what it is counted for.
    let bytes = usize::try_from(file.bytes().ok()?).ok()?;
    if bytes > UNDELETED_BYTES_MAX + SUM_BYTES + 1 {
        return None;
    }
    let mut note = vec![0; bytes];
    if file.read_at(&mut note, 0).ok()? != bytes {
        return None;
    }
    let (note, sum) = note.split_last_chunk::<SUM_BYTES>()?;
    if xxh3_64(note).to_be_bytes() != *sum {
        return None;
    }
    match record::decode(0, note) {
        Ok(Change::Remove(files)) => Some(files),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::backend::tree::memory::MemoryTree;
    use crate::uid::UidText;

    fn listed(location: FileLocation) -> Listed {
        Listed { sop_instance: UidText::new(b"1.2").unwrap(), location }
    }

    fn tree() -> MemoryTree {
        let tree = MemoryTree::new(true);
        tree.make_directory(layout::PRIVATE, Access::Owner).unwrap();
        tree
    }

    /// What is noted is read again; what is forgotten is not; without files there is no note.
    #[test]
    fn what_is_noted_is_read() {
        let (tree, undeleted) = (tree(), Undeleted::default());
        let (own, other) =
            (listed(FileLocation::Own(7)), listed(FileLocation::Relative("a/b".into())));
        assert!(undeleted.add(&own) && undeleted.add(&other));
        // What the archive deletes never, it does not note.
        assert!(!undeleted.add(&listed(FileLocation::Absolute("/a".into()))));
        undeleted.save(&tree).unwrap();
        assert_eq!(Undeleted::load(&tree).all(), [other.clone(), own.clone()]);
        undeleted.forget(&own);
        undeleted.save(&tree).unwrap();
        let again = Undeleted::load(&tree);
        assert!(again.has(&other.location) && !again.has(&own.location));
        undeleted.forget(&other);
        undeleted.save(&tree).unwrap();
        assert_eq!(tree.read(layout::UNDELETED), None);
    }

    /// A note that is not whole is as none.
    #[test]
    fn a_damaged_note() {
        let (tree, undeleted) = (tree(), Undeleted::default());
        undeleted.add(&listed(FileLocation::Own(7)));
        undeleted.save(&tree).unwrap();
        let whole = tree.read(layout::UNDELETED).unwrap();
        // A crash came before the last step.
        tree.rename(layout::UNDELETED, PART).unwrap();
        assert_eq!(Undeleted::load(&tree).all().len(), 1);
        tree.remove(PART).unwrap();
        for length in 0..whole.len() {
            tree.put(layout::UNDELETED, &whole[..length]);
            assert_eq!(Undeleted::load(&tree).all(), []);
            let mut other = whole.clone();
            other[length] ^= 1;
            tree.put(layout::UNDELETED, &other);
            assert_eq!(Undeleted::load(&tree).all(), []);
        }
    }

    /// limits::UNDELETED_BYTES_MAX: at the edge, and one more.
    #[test]
    fn the_edge() {
        let undeleted = Undeleted::default();
        let path = |at: usize| FileLocation::Relative(format!("{at:0>952}"));
        let count = UNDELETED_BYTES_MAX / (ENTRY_BYTES + 952);
        assert_eq!(UNDELETED_BYTES_MAX % (ENTRY_BYTES + 952), 0);
        assert!((0..count).all(|at| undeleted.add(&listed(path(at)))));
        assert!(!undeleted.add(&listed(path(count))));
        // One that is noted takes no more room.
        assert!(undeleted.add(&listed(path(0))));
        let tree = tree();
        undeleted.save(&tree).unwrap();
        assert_eq!(Undeleted::load(&tree).all().len(), count);
        undeleted.forget(&listed(path(0)));
        assert!(undeleted.add(&listed(path(count))));
    }
}
