//! A storage area's own directories as a tree of files: what journal, spool and object files need.
//!
//! The receivers' [`Backend`](super::Backend) knows part files and final names in one directory. An
//! archive keeps more: journal segments that are written in place, spool files that become objects,
//! directories that fan out. A [`Tree`] offers just these calls, by names relative to the area.
//! [`DiskTree`] works on a directory, [`memory`] and [`faulty`] have doubles that forget and
//! fail. In which order the calls are made is decided by `storage::journal` and
//! `archive`.

use std::ffi::CString;
use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::system;

pub mod faulty;
pub mod memory;

/// Who may read a new file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The owner (0600, 0700): index, journal and spool.
    Owner,
    /// As the umask says: received objects and their directories.
    Umask,
}

/// A directory tree; names are relative to its root, with `/` between their parts.
pub trait Tree: Send + Sync {
    /// Where `name` is, for people; `""` is the root.
    fn path_of(&self, name: &str) -> PathBuf;

    /// Makes one directory; an existing one is fine.
    fn make_directory(&self, name: &str, access: Access) -> io::Result<()>;

    /// The names in a directory, in no order.
    fn names(&self, directory: &str) -> io::Result<Vec<String>>;

    /// Creates a file that was not there; writable.
    fn create(&self, name: &str, access: Access) -> io::Result<Box<dyn TreeFile>>;

    /// Opens an existing regular file, never through a symbolic link; `is_writable` for both ways.
    fn open(&self, name: &str, is_writable: bool) -> io::Result<Box<dyn TreeFile>>;

    /// Gives a file another name, unless that is taken.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in a directory survive a power cut.
    fn sync_directory(&self, name: &str) -> io::Result<()>;

    /// Makes everything that was done in the tree survive a power cut.
    fn sync_everything(&self) -> io::Result<()>;

    /// True when syncing a new file makes its name survive, too.
    fn syncs_names_with_contents(&self) -> bool;

    /// Which file system a directory is on, as a number.
    fn file_system_of(&self, directory: &str) -> io::Result<u64>;

    /// True when syncing a new file in `directory` makes survive, too, what of a file in `other` was
    /// [written out](TreeFile::write_out) before and changed neither its length nor its place.
    fn shares_syncs(&self, directory: &str, other: &str) -> bool;
}

/// An open file of a [`Tree`].
pub trait TreeFile: Send + Sync {
    /// Its length.
    fn bytes(&self) -> io::Result<u64>;

    /// Appends all bytes of all slices; the slices are used up.
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Writes all bytes of all slices from `offset` on; the slices are used up.
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Fills `buffer` from `offset` on, as far as the file goes.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes the content survive a power cut. After an error the content is lost.
    fn sync_data(&self) -> io::Result<()>;

    /// Begins to send the content to the device, without waiting.
    fn start_write_out(&self) -> io::Result<()>;

    /// Sends the content to the device, which may still forget it. After an error it is lost.
    fn write_out(&self) -> io::Result<()>;

    /// Ends writing; an error means that content is lost.
    fn close(self: Box<Self>) -> io::Result<()>;
}

/// Removes a file that may be gone already.
pub fn remove_if_there(tree: &dyn Tree, name: &str) -> io::Result<()> {
    match tree.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A lock that one process holds on a file; free again when dropped.
pub struct TreeLock {
    file: fs::File,
}

impl TreeLock {
    /// Where the locked file is; `None` where the system does not say what it is.
    pub fn place(&self, path: &Path) -> Option<Place> {
        let data = self.file.metadata().ok()?;
        Some(Place { path: path.to_owned(), device: data.dev(), inode: data.ino() })
    }
}

/// A file that is held open, and the path by which others know it.
pub struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    /// False when the path leads to another file, or to none.
    pub fn is_kept(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(data) => (data.dev(), data.ino()) == (self.device, self.inode),
            Err(error) => !matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV)
            ),
        }
    }
}

/// A tree in a directory of a file system. Its root is held open: it may be renamed meanwhile.
pub struct DiskTree {
    path: PathBuf,
    root: OwnedFd,
    syncs_names_with_contents: bool,
    /// The directory that a file was created in last: objects fan out by number, so that the next
    /// one most likely goes to the same, and its path need not be walked again.
    last_directory: Mutex<Option<(String, Arc<OwnedFd>)>>,
}

impl DiskTree {
    /// Opens the existing directory `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = system::open_directory(None, &CString::new(path.as_os_str().as_bytes())?)?;
        let syncs_names_with_contents = system::keeps_names_behind_contents(&root);
        Ok(Self {
            path: path.to_owned(),
            root,
            syncs_names_with_contents,
            last_directory: Mutex::default(),
        })
    }

    /// Locks the file `name`, made when it is not there, against every other process, or fails at
    /// once with `WouldBlock`.
    pub fn lock(&self, name: &str) -> io::Result<TreeLock> {
        let file = system::open_or_create(&self.root, &CString::new(name)?, 0o600)?;
        system::lock_now(&file)?;
        Ok(TreeLock { file })
    }

    /// Puts the directory `new` in the place of the directory `old` at one stroke; what was `old`
    /// is `new` then. `Unsupported` where the file system cannot; `NotFound` without `old`.
    pub fn exchange(&self, new: &str, old: &str) -> io::Result<()> {
        let (new, old) = (CString::new(new)?, CString::new(old)?);
        system::rename(&self.root, &new, &old, super::Publish::Exchange)
    }

    /// The open directory that `name` lies in, and its last part.
    fn parent<'n>(&self, name: &'n str) -> io::Result<(Arc<OwnedFd>, &'n str)> {
        let (directory, last) = name.rsplit_once('/').unwrap_or((".", name));
        let mut known = self.last_directory.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((path, descriptor)) if path == directory => Ok((Arc::clone(descriptor), last)),
            _ => {
                let opened = system::open_directory(Some(&self.root), &CString::new(directory)?)?;
                let opened = Arc::new(opened);
                *known = Some((directory.to_owned(), Arc::clone(&opened)));
                Ok((opened, last))
            }
        }
    }
}

impl Tree for DiskTree {
    fn path_of(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }

    fn make_directory(&self, name: &str, access: Access) -> io::Result<()> {
        let mode = if access == Access::Owner { 0o700 } else { 0o777 };
        match system::make_directory(&self.root, &CString::new(name)?, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    fn names(&self, directory: &str) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.path_of(directory))?;
        let mut names = Vec::new();
        for entry in entries {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str, access: Access) -> io::Result<Box<dyn TreeFile>> {
        let mode = if access == Access::Owner { 0o600 } else { 0o666 };
        let (directory, last) = self.parent(name)?;
        let file = system::create_readable(&directory, &CString::new(last)?, mode)?;
        Ok(Box::new(DiskTreeFile(file)))
    }

    fn open(&self, name: &str, is_writable: bool) -> io::Result<Box<dyn TreeFile>> {
        let name = CString::new(name)?;
        let file = if is_writable {
            system::open_to_write(&self.root, &name)?
        } else {
            system::open_to_read(&self.root, &name)?
        };
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Box::new(DiskTreeFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (CString::new(from)?, CString::new(to)?);
        system::rename(&self.root, &from, &to, super::Publish::New)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        system::remove_file(&self.root, &CString::new(name)?)
    }

    fn sync_directory(&self, name: &str) -> io::Result<()> {
        if name.is_empty() {
            return system::sync_all(&self.root);
        }
        let opened = system::open_directory(Some(&self.root), &CString::new(name)?)?;
        system::sync_all(&opened)
    }

    fn sync_everything(&self) -> io::Result<()> {
        system::sync_file_system(&self.root)
    }

    fn syncs_names_with_contents(&self) -> bool {
        self.syncs_names_with_contents
    }

    fn file_system_of(&self, directory: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path_of(directory))?.dev())
    }

    fn shares_syncs(&self, directory: &str, other: &str) -> bool {
        // These file systems end every such sync with a flush of the device's whole cache.
        let device = |name| self.file_system_of(name).ok();
        let own = device(directory);
        self.syncs_names_with_contents && own.is_some() && own == device(other)
    }
}

struct DiskTreeFile(fs::File);

impl TreeFile for DiskTreeFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        system::write_all(&mut self.0, slices)
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        system::write_all_at(&self.0, slices, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn start_write_out(&self) -> io::Result<()> {
        system::start_write_out(&self.0)
    }

    fn write_out(&self) -> io::Result<()> {
        system::finish_write_out(&self.0)
    }

    fn close(self: Box<Self>) -> io::Result<()> {
        system::close(self.0.into())
    }
}
