//! Looking through the files of an area: what lies there, how large it is, and opening it.
//!
//! For tools that compare an index with its files or make one from them. Nothing here follows a
//! symbolic link, and nothing is changed but what the tools put beside the index. Names come in
//! portions, so that a directory of any size takes bounded memory.
//!
//! Called by `archive::{files, verify, rebuild, exchange, maintenance}`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::StoredFile;
use crate::limits::{DIRECTORY_PORTION_NAMES, FILE_PATH_BYTES_MAX};

/// What the file system says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Its length.
    pub bytes: u64,
    /// When its content was changed last, in microseconds since 1970.
    pub modified_us: u64,
    /// False for links, directories, devices and all else.
    pub is_regular: bool,
}

impl FileFacts {
    fn of(data: &fs::Metadata) -> Self {
        let seconds = u64::try_from(data.mtime()).unwrap_or_default();
        let micros = u64::try_from(data.mtime_nsec() / 1000).unwrap_or_default();
        Self {
            bytes: data.len(),
            modified_us: seconds.saturating_mul(1_000_000).saturating_add(micros),
            is_regular: data.file_type().is_file(),
        }
    }
}

/// What is at `path`; of a symbolic link, the link.
pub fn facts_of(path: &Path) -> io::Result<FileFacts> {
    fs::symlink_metadata(path).map(|data| FileFacts::of(&data))
}

/// Opens a regular file, never through a symbolic link, and without waiting for a pipe's other end.
pub fn open_regular(path: &Path) -> io::Result<(StoredFile, FileFacts)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    let facts = FileFacts::of(&file.metadata()?);
    Ok((file, facts))
}

/// What a walk meets.
#[derive(Debug)]
pub enum Met {
    /// A regular file, by its path below the root.
    File(String),
    /// A symbolic link, a device or the like: nothing of ours.
    Strange(String),
    /// A file, or a directory with whatever is in it, that no index can name: its path is no UTF-8 or
    /// too long.
    Unnameable(String),
    /// A directory that cannot be read.
    Unreadable(String, io::Error),
}

/// Shows every file below `root`, whose names begin with `from` (`""` for all), in an order that is
/// the same each time as long as directories are not huge. Names in `skipped` directly below `root`
/// are left out. Ends early when `visit` returns false, and says so.
pub fn walk(root: &Path, from: &str, skipped: &[&str], visit: &mut dyn FnMut(Met) -> bool) -> bool {
    let mut directories = vec![from.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(root.join(&directory)) {
            Ok(entries) => entries,
            // Removed meanwhile, or never made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                if !visit(Met::Unreadable(directory, error)) {
                    return false;
                }
                continue;
            }
        };
        let mut below = Vec::new();
        let mut files = Vec::new();
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    if !visit(Met::Unreadable(directory.clone(), error)) {
                        return false;
                    }
                    break;
                }
            };
            let name = entry.file_name();
            if directory.is_empty() && name.to_str().is_some_and(|name| skipped.contains(&name)) {
                continue;
            }
            let path = join(&directory, &name.to_string_lossy());
            let is_ours = name.to_str().is_some() && path.len() <= FILE_PATH_BYTES_MAX;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && is_ours => below.push(path),
                Ok(kind) if kind.is_file() && is_ours => files.push(path),
                kind => {
                    let holds_objects = kind.is_ok_and(|kind| kind.is_dir() || kind.is_file());
                    let met = if holds_objects { Met::Unnameable } else { Met::Strange };
                    if !visit(met(path)) {
                        return false;
                    }
                }
            }
            if files.len() == DIRECTORY_PORTION_NAMES && !show(&mut files, visit) {
                return false;
            }
        }
        if !show(&mut files, visit) {
            return false;
        }
        // Last in, first out; a longer number is a larger one.
        below.sort_unstable_by(|a, b| (b.len(), b).cmp(&(a.len(), a)));
        directories.append(&mut below);
    }
    true
}

fn show(files: &mut Vec<String>, visit: &mut dyn FnMut(Met) -> bool) -> bool {
    files.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    files.drain(..).all(|path| visit(Met::File(path)))
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Gives a file another name, and never that of another one.
///
/// # Errors
///
/// The system's; a name that is taken is `AlreadyExists`.
pub fn rename_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "the name is taken")),
        Err(_) => fs::rename(from, to),
    }
}

/// True when `path` belongs to the user whom this process acts for.
pub fn is_ours(path: &Path) -> io::Result<bool> {
    // proc(5): its directory there belongs to the effective user.
    Ok(fs::metadata(path)?.uid() == fs::metadata("/proc/self")?.uid())
}

/// True when there is anything in the directory `path`.
pub fn is_occupied(path: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(path)?.next().transpose()?.is_some())
}

/// Removes a directory of the tools' own with all that is in it; none is fine.
pub fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Gives a directory another name.
pub fn rename_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// A file that gets its name when it is whole; one of that name is replaced then. What is no file (a
/// device, a pipe) is written to as it is, and a symbolic link leads to what is replaced.
pub struct NewFile {
    file: File,
    /// Its first name and its last one; `None` for what is no file.
    names: Option<(std::path::PathBuf, std::path::PathBuf)>,
    is_whole: bool,
}

impl NewFile {
    /// Begins the file that will be `name`, readable by the owner only.
    pub fn create(name: &Path) -> io::Result<Self> {
        let name = match fs::metadata(name) {
            Ok(facts) if facts.is_file() => fs::canonicalize(name)?,
            Ok(_) => {
                let file = OpenOptions::new().write(true).open(name)?;
                return Ok(Self { file, names: None, is_whole: false });
            }
            // A link to nothing is left alone: whoever made it has something else in mind.
            Err(_) if fs::symlink_metadata(name).is_ok() => {
                return Err(io::Error::new(io::ErrorKind::NotFound, "a link that leads nowhere"));
            }
            Err(_) => name.to_owned(),
        };
        let mut part = name.as_os_str().to_owned();
        part.push(format!(".{}.part", std::process::id()));
        let part = std::path::PathBuf::from(part);
        // Of a process of this number that was killed.
        let _ = fs::remove_file(&part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        Ok(Self { file, names: Some((part, name)), is_whole: false })
    }

    /// Gives the file its name, once it survives a power cut.
    pub fn finish(mut self) -> io::Result<()> {
        let Some((part, name)) = &self.names else { return Ok(()) };
        self.file.sync_all()?;
        fs::rename(part, name)?;
        self.is_whole = true;
        sync_directory_of(name)
    }
}

/// Brings the regular file at `path` and its name to the device.
pub fn sync_file(path: &Path) -> io::Result<()> {
    let (file, _) = open_regular(path)?;
    file.sync_all()?;
    sync_directory_of(path)
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some((part, _)) = self.names.as_ref().filter(|_| !self.is_whole) {
            // What is left of it is in nobody's way.
            let _ = fs::remove_file(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> std::path::PathBuf {
        let path =
            std::env::temp_dir().join(format!("dcmfast-survey-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn walked(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        assert!(walk(root, "", &[".dcmfast"], &mut |met| {
            found.push(match met {
                Met::File(path) => path,
                Met::Strange(path) => format!("? {path}"),
                Met::Unnameable(path) => format!("# {path}"),
                Met::Unreadable(path, _) => format!("! {path}"),
            });
            true
        }));
        found
    }

    /// Numbers in order, links not followed, the archive's own left out.
    #[test]
    fn a_walk() {
        let root = scratch("walk");
        for name in ["b", "objects/10000/001/x", "objects/0001/3ff/y", ".dcmfast/lock", "a"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), b"").unwrap();
        }
        symlink("..", root.join("loop")).unwrap();
        symlink("b", root.join("link")).unwrap();
        let mut found = walked(&root);
        let strange = ["? loop", "? link"].map(str::to_owned);
        assert!(strange.iter().all(|one| found.contains(one)), "{found:?}");
        found.retain(|one| !strange.contains(one));
        assert_eq!(found, ["a", "b", "objects/0001/3ff/y", "objects/10000/001/x"]);
        assert!(open_regular(&root.join("link")).is_err());
        assert!(!facts_of(&root.join("link")).unwrap().is_regular);
        fs::remove_dir_all(root).unwrap();
    }

    /// What has no name that is text is told, and not gone into.
    #[test]
    fn names_that_are_no_text() {
        use std::os::unix::ffi::OsStrExt as _;
        let root = scratch("names");
        let path = |name: &[u8]| root.join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir(path(b"M\xfcller")).unwrap();
        fs::write(path(b"M\xfcller/a"), b"").unwrap();
        fs::write(path(b"\xff.dcm"), b"").unwrap();
        symlink("b", path(b"\xfe")).unwrap();
        fs::write(path("Müller.dcm".as_bytes()), b"").unwrap();
        let mut found = walked(&root);
        found.sort_unstable();
        assert_eq!(found, ["# M\u{fffd}ller", "# \u{fffd}.dcm", "? \u{fffd}", "Müller.dcm"]);
        fs::remove_dir_all(root).unwrap();
    }

    /// A walk that is told to end does.
    #[test]
    fn a_walk_ends_early() {
        let root = scratch("ends");
        for name in 0..10 {
            fs::write(root.join(name.to_string()), b"").unwrap();
        }
        let mut count = 0;
        assert!(!walk(&root, "", &[], &mut |_| {
            count += 1;
            count < 3
        }));
        assert_eq!(count, 3);
        fs::remove_dir_all(root).unwrap();
    }

    /// A file that is given up leaves the old one as it was.
    #[test]
    fn a_new_file_replaces_when_it_is_whole() {
        use std::io::Write as _;
        let root = scratch("new");
        let name = root.join("out");
        fs::write(&name, b"old").unwrap();
        let mut file = NewFile::create(&name).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read(&name).unwrap(), b"old");
        let mut file = NewFile::create(&name).unwrap();
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"new");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
        // A link stays one, and a device what it is.
        let link = root.join("link");
        std::os::unix::fs::symlink(&name, &link).unwrap();
        let mut file = NewFile::create(&link).unwrap();
        file.write_all(b"newer").unwrap();
        file.finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&name).unwrap(), b"newer");
        let mut file = NewFile::create(Path::new("/dev/full")).unwrap();
        assert_eq!(file.write_all(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        drop(file);
        let mut file = NewFile::create(Path::new("/dev/null")).unwrap();
        file.write_all(b"x").unwrap();
        file.finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let nowhere = root.join("nowhere");
        std::os::unix::fs::symlink(root.join("none"), &nowhere).unwrap();
        assert!(NewFile::create(&nowhere).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
