//! Where things lie in a storage area.
//!
//! ```text
//! DIR/objects/HHHH/HHH/<16 hex>.dcm   own files, by number: n>>16, n>>6 & 3ff, n
//! DIR/.dcmfast/index/                 the LMDB environment
//! DIR/.dcmfast/journal/               the redo log
//! DIR/.dcmfast/spool/<16 hex>.part    large objects on their way
//! DIR/.dcmfast/quarantine/            journal records that could not be understood, and what a crash
//!                                     left of large objects that were not acknowledged yet
//! DIR/.dcmfast/unsaved                there after a sync that failed
//! DIR/.dcmfast/undeleted              files off the list that the system did not let go yet
//! DIR/.dcmfast/open                   there while a process has the area, and after it was killed
//! DIR/.dcmfast/lock                   held by the process that serves the area
//! DIR/.dcmfast/asked                  written by a reader who wants the index to be committed now
//! DIR/.dcmfast/settling               held by a reader who may take the lock for a moment
//! DIR/.dcmfast/index.new/             an index that is being rebuilt
//! DIR/.dcmfast/index.damaged/         the last one that a server could not use
//! ```
//!
//! A leaf holds 64 files: its names fit into one block of the disk, so that a new one costs a look at
//! one block (ext4 spent 12 of 29 us of a file's creation on names where a leaf held 1024). Objects that
//! came together lie together. Names are made of numbers alone: nothing that a peer sent is part of one.
//! Files of other origin may lie anywhere else; those that an earlier index called its own are such ones
//! ([`relocated`]).

use crate::index::FileLocation;
use crate::index::schema::LEAVES_OF_64_SINCE;
use crate::limits::OWN_NUMBER_MAX;
use crate::storage::backend::tree::Tree;

/// What an archive keeps for itself.
pub const PRIVATE: &str = ".dcmfast";
/// The index.
pub const INDEX: &str = ".dcmfast/index";
/// The redo log.
pub const JOURNAL: &str = ".dcmfast/journal";
/// Large objects on their way.
pub const SPOOL: &str = ".dcmfast/spool";
/// Journal records that could not be understood, large objects that are not whole.
pub const QUARANTINE: &str = ".dcmfast/quarantine";
/// There while the system may show contents of files that are not on the device: a sync failed.
pub const UNSAVED: &str = ".dcmfast/unsaved";
/// Files that are to be deleted and could not be.
pub const UNDELETED: &str = ".dcmfast/undeleted";
/// There from the opening of the area to its end in order.
pub const OPEN: &str = ".dcmfast/open";
/// Held by the process that serves the area.
pub const LOCK: &str = ".dcmfast/lock";
/// Changed by whoever reads beside the process that serves the area, and waits for its next commit.
pub const ASKED: &str = ".dcmfast/asked";
/// Held around [`LOCK`] by a reader who looks whether anybody serves the area.
pub const SETTLING: &str = ".dcmfast/settling";
/// An index that is being made, or the one that it replaced.
pub const NEW_INDEX: &str = ".dcmfast/index.new";
/// The replaced index, for a moment, where two directories cannot change places at one stroke.
pub const OLD_INDEX: &str = ".dcmfast/index.old";
/// The last index that was of no use to a server: it alone may know of files outside of the area.
pub const DAMAGED_INDEX: &str = ".dcmfast/index.damaged";
/// The archive's own files.
pub const OBJECTS: &str = "objects";

/// The name of own file `number`.
pub fn own_file(number: u64) -> String {
    // At once: one of these is made for each object that is stored, and one for its file.
    let (parent, leaf) = (number >> PARENT_BITS, leaf_of(number) & LEAVES_OF_A_PARENT);
    format!("{OBJECTS}/{parent:04x}/{leaf:03x}/{number:016x}.dcm")
}

/// The number of the own file with this name; `None` for every other name.
pub fn own_number(name: &str) -> Option<u64> {
    let digits = name.rsplit('/').next()?.strip_suffix(".dcm")?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (number <= OWN_NUMBER_MAX && own_file(number) == name).then_some(number)
}

/// The directory of own file `number`; its parent is [`own_parent`].
pub fn own_directory(number: u64) -> String {
    format!("{}/{:03x}", own_parent(number), leaf_of(number) & LEAVES_OF_A_PARENT)
}

/// The number of the directory that own file `number` lies in.
pub const fn leaf_of(number: u64) -> u64 {
    number >> LEAF_BITS
}

/// The directory above [`own_directory`].
pub fn own_parent(number: u64) -> String {
    format!("{OBJECTS}/{:04x}", number >> PARENT_BITS)
}

/// Where a file lies that an index of format `version` has at `location`. Before
/// [`LEAVES_OF_64_SINCE`] a leaf held 1024 files: those stay where they are, and are listed by their paths.
pub fn relocated(version: u32, location: FileLocation) -> FileLocation {
    match location {
        FileLocation::Own(number) if version < LEAVES_OF_64_SINCE => {
            let (parent, leaf) = (number >> 20, number >> 10 & 0x3ff);
            let path = format!("{OBJECTS}/{parent:04x}/{leaf:03x}/{number:016x}.dcm");
            // The very first are where they belong.
            if own_file(number) == path { location } else { FileLocation::Relative(path) }
        }
        location => location,
    }
}

/// Files of a leaf, as a power of two.
const LEAF_BITS: u32 = 6;
/// Files below one directory of [`OBJECTS`], as a power of two.
const PARENT_BITS: u32 = 16;
/// The bits of a leaf's number that its name shows.
const LEAVES_OF_A_PARENT: u64 = (1 << (PARENT_BITS - LEAF_BITS)) - 1;

/// The name of a spool file.
pub fn spool_file(number: u64) -> String {
    format!("{SPOOL}/{number:016x}.part")
}

/// Where journal record `sequence` is kept when it cannot be understood, or its object is not whole.
pub fn quarantined(sequence: u64) -> String {
    format!("{QUARANTINE}/{sequence:016x}.record")
}

/// How people are told of a file: by its path below the area, or its absolute one.
pub fn display_name(location: &FileLocation) -> String {
    match location {
        FileLocation::Own(number) => own_file(*number),
        FileLocation::Relative(path) | FileLocation::Absolute(path) => path.clone(),
    }
}

/// The name within the area of a file that the archive may delete; `None` for every other: one that
/// lies outside, or whose path could lead there.
pub fn deletable(location: &FileLocation) -> Option<String> {
    match location {
        FileLocation::Own(number) => Some(own_file(*number)),
        FileLocation::Relative(path) => stays_inside(path).then(|| path.clone()),
        FileLocation::Absolute(_) => None,
    }
}

/// The name within the area of a file that is listed by a path below it.
pub fn below_area(location: &FileLocation) -> Option<String> {
    deletable(location)
}

/// True for a relative path that names neither the area itself, nor anything above it, nor what the
/// archive keeps for itself.
fn stays_inside(path: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(is_plain) && path.split('/').next() != Some(PRIVATE)
}

/// The highest number of an own file, found by looking into the last directories only.
pub fn highest_own_number(tree: &dyn Tree) -> std::io::Result<u64> {
    let last = |directory: &str, suffix: &str, max: u64| -> std::io::Result<_> {
        let names = match tree.names(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            names => names?,
        };
        let number = |name: String| {
            let number = u64::from_str_radix(name.strip_suffix(suffix)?, 16).ok()?;
            (number <= max).then_some((name, number))
        };
        Ok(names.into_iter().filter_map(number).max_by_key(|(_, number)| *number))
    };
    let Some((first, high)) = last(OBJECTS, "", OWN_NUMBER_MAX >> PARENT_BITS)? else {
        return Ok(0);
    };
    let Some((second, middle)) = last(&format!("{OBJECTS}/{first}"), "", LEAVES_OF_A_PARENT)?
    else {
        return Ok(high << PARENT_BITS);
    };
    match last(&format!("{OBJECTS}/{first}/{second}"), ".dcm", OWN_NUMBER_MAX)? {
        Some((_, number)) => Ok(number),
        // Made for a file that did not come: its numbers are not taken.
        None => Ok(high << PARENT_BITS | middle << LEAF_BITS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::backend::tree::Access;
    use crate::storage::backend::tree::memory::MemoryTree;

    #[test]
    fn own_names() {
        assert_eq!(own_file(0), "objects/0000/000/0000000000000000.dcm");
        assert_eq!(own_file(0x0012_3456), "objects/0012/0d1/0000000000123456.dcm");
        for number in [0, 1, 0x0012_3456, OWN_NUMBER_MAX] {
            assert_eq!(own_number(&own_file(number)), Some(number));
        }
        // limits::OWN_NUMBER_MAX: there is always a next number.
        for number in [OWN_NUMBER_MAX + 1, u64::MAX] {
            assert_eq!(own_number(&own_file(number)), None);
        }
        for name in ["", "x.dcm", "objects/0000/001/0000000000000000.dcm", "0000000000000000.dcm"] {
            assert_eq!(own_number(name), None, "{name}");
        }
    }

    /// Only what lies inside the area is deleted, and nothing that the archive itself needs.
    #[test]
    fn deletable_files() {
        let relative = |path: &str| deletable(&FileLocation::Relative(path.to_owned()));
        assert_eq!(relative("CT_1.dcm"), Some("CT_1.dcm".to_owned()));
        assert_eq!(relative("a/b.dcm"), Some("a/b.dcm".to_owned()));
        for path in ["", "/etc/passwd", "..", "a/../../b", "a//b", "./a", ".dcmfast/index/data.mdb"]
        {
            assert_eq!(relative(path), None, "{path}");
        }
        assert_eq!(deletable(&FileLocation::Absolute("/a/b".to_owned())), None);
        assert!(deletable(&FileLocation::Own(1)).is_some());
    }

    /// What an earlier version stored is found, and its numbers are not given again.
    #[test]
    fn files_of_an_earlier_version() {
        let at = |version, number| relocated(version, FileLocation::Own(number));
        for number in [0, 63] {
            assert_eq!(at(2, number), FileLocation::Own(number));
        }
        for (number, path) in [
            (64, "objects/0000/000/0000000000000040.dcm"),
            (0x0012_3456, "objects/0001/08d/0000000000123456.dcm"),
        ] {
            assert_eq!(at(2, number), FileLocation::Relative(path.to_owned()));
            assert_eq!(at(LEAVES_OF_64_SINCE, number), FileLocation::Own(number));
            assert_eq!(own_number(path), None);
            // The next one after it lies behind it.
            let tree = MemoryTree::new(true);
            for name in [path.to_owned(), own_file(number + 1)] {
                for (end, _) in name.match_indices('/') {
                    tree.make_directory(&name[..end], Access::Umask).unwrap();
                }
                tree.create(&name, Access::Umask).unwrap();
                let number = u64::from_str_radix(&name[name.len() - 20..name.len() - 4], 16);
                assert_eq!(highest_own_number(&tree).unwrap(), number.unwrap());
            }
        }
    }

    /// A file with a number that is none of ours does not push the next one over the edge.
    #[test]
    fn the_highest_number() {
        let tree = MemoryTree::new(true);
        let highest = || highest_own_number(&tree).unwrap();
        assert_eq!(highest(), 0);
        for (number, expected) in [(7, 7), (0x12_3456, 0x12_3456), (u64::MAX, 0x12_3456)] {
            for name in [OBJECTS.to_owned(), own_parent(number), own_directory(number)] {
                tree.make_directory(&name, Access::Umask).unwrap();
            }
            tree.create(&own_file(number), Access::Umask).unwrap();
            assert_eq!(highest(), expected);
        }
    }
}
