//! The storage area as a file system sees it: the only file that names `std::fs` or the operating
//! system's calls.
//!
//! A [`Backend`] makes part files in the output directory and syncs; a [`PartFile`] is one of them
//! from creation to its final name. Three of each: [`Disk`] for work, [`memory`] keeps "written"
//! and "synced" apart and can forget like a disk without power, [`faulty`] lets the n-th call fail.
//! Which calls are made in which order is decided in `durability` and `writer`, not here.
//!
//! Part files are named `.dcmfast-<pid>-<counter>.part`, created exclusively and locked (`flock`)
//! while written, so that several receivers may share a directory: at start one removes only what
//! no living process owns ([`Backend::remove_stale_parts`]).
//!
//! Where nothing is synced and the file system can do it, a part file has no name at all
//! ([`Disk::with_unnamed_parts`]): it gets its only one by a link, which like the rename refuses a
//! taken name, and the kernel frees it when its owner dies. That saves the second change of the
//! directory, for which parallel senders queue (measured, ext4, 1 KB objects: 48 µs of CPU time per
//! file by rename and 39 by link; with four senders 70 and 41).
//!
//! Calls for one small object without syncs: open, writev, linkat, close; a hundred times a second
//! a stat of the output directory (it may have been moved away). With a name: open, flock,
//! writev, close, renameat2. Names are opened below a directory descriptor and without following a
//! symbolic link (PROMISES.md §5.1).
//!
//! `unsafe` stands in the module [`system`], each call with its reason; see SAFETY.md.
//! Called by `storage::{durability, writer}`.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use crate::limits::{AREA_LOOK_MS, COMPARE_BLOCK_BYTES, STALE_PART_AGE_S};
use crate::storage::naming::{AreaPath, LocalTime};

pub mod faulty;
pub mod memory;
pub mod survey;
#[allow(unsafe_code)]
mod system;
pub mod tree;

/// How a part file gets its final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// Only if nothing has that name; else the error kind is `AlreadyExists`.
    New,
    /// Over whatever has that name, in one step; what it was is gone.
    Replace,
    /// In one step, but what had the name is kept until [`PartFile::settle`], so that
    /// [`PartFile::withdraw`] can bring it back.
    Exchange,
}

/// One storage area.
pub trait Backend: Send + Sync {
    /// Creates an empty part file that nobody else has.
    fn create_part(&self) -> io::Result<Box<dyn PartFile>>;

    /// Makes `directory` (relative to the area) with its parents; existing ones are fine.
    fn make_directories(&self, directory: &str) -> io::Result<()>;

    /// Makes `directory`, whose parent is there; false when it is there itself, and an error when
    /// something else has its name.
    fn make_directory(&self, directory: &str) -> io::Result<bool>;

    /// Removes `directory` if it is empty.
    fn remove_directory(&self, directory: &str) -> io::Result<()>;

    /// Gives a published file another name, unless that is taken.
    fn rename_published(&self, from: &AreaPath, to: &AreaPath) -> io::Result<()>;

    /// Makes the names in `directory` survive a power cut; `""` is the area itself.
    fn sync_directory(&self, directory: &str) -> io::Result<()>;

    /// True when a name never outlives a power cut without the content that was written out before
    /// the name was given ([`PartFile::finish_write_out`]).
    fn keeps_names_behind_contents(&self) -> bool;

    /// Makes the content of a published file survive a power cut.
    fn sync_published(&self, target: &AreaPath) -> io::Result<()>;

    /// Removes part files that no living process owns, and says how many.
    fn remove_stale_parts(&self) -> io::Result<usize>;

    /// Where `target` is, for people.
    fn path_of(&self, target: &AreaPath) -> PathBuf;

    /// Where the area is, for people.
    fn area(&self) -> &Path;
}

/// A file on its way; dropping it before it is published removes it.
pub trait PartFile: Send {
    /// Appends all bytes of all slices; the slices are used up.
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Reads what was appended, from `at` on; 0 at its end.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Makes the content survive a power cut. Asked once: after an error the content is lost.
    fn sync_data(&mut self) -> io::Result<()>;

    /// Begins to send the content to the device, without waiting.
    fn start_write_out(&mut self) -> io::Result<()>;

    /// Waits until the device has the content. That alone survives nothing; see
    /// [`Backend::keeps_names_behind_contents`].
    fn finish_write_out(&mut self) -> io::Result<()>;

    /// Ends writing; an error means that content is lost.
    fn close(&mut self) -> io::Result<()>;

    /// Gives the closed file its final name.
    fn publish(&mut self, target: &AreaPath, how: Publish) -> io::Result<()>;

    /// True when the published file `target` has the same bytes as this closed one.
    fn has_content_of(&self, target: &AreaPath) -> io::Result<bool>;

    /// Takes a publication back, because what must follow it failed.
    fn withdraw(&mut self) -> io::Result<()>;

    /// The publication stands; what it replaced is removed.
    fn settle(&mut self) -> io::Result<()>;
}

/// What was written to a part file, from an offset on, for reading.
pub struct WrittenPart<'p> {
    part: &'p dyn PartFile,
    base: u64,
    at: u64,
}

impl<'p> WrittenPart<'p> {
    /// The content of `part` behind its first `base` bytes.
    pub fn new(part: &'p dyn PartFile, base: u64) -> Self {
        Self { part, base, at: 0 }
    }
}

impl io::Read for WrittenPart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.part.read_at(buffer, self.base + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl io::Seek for WrittenPart<'_> {
    /// From the start only: nobody needs the other ways.
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let io::SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = at;
        Ok(at)
    }
}

// ---- Disk ------------------------------------------------------------------------------------

/// A directory of a file system.
pub struct Disk {
    shared: Arc<DiskShared>,
}

struct DiskShared {
    path: PathBuf,
    path_c: CString,
    /// Make the output directory again when it vanished, as dcmrecv does.
    recreates_area: bool,
    /// Part files get no name where that is possible.
    wants_unnamed_parts: bool,
    /// What `path` named when last looked at.
    root: RwLock<Arc<Root>>,
    /// From when on `path` is looked at again, in microseconds after `opened`.
    next_look_us: AtomicU64,
    opened: Instant,
    look_interval: Duration,
    /// Part files made so far; with the process ID it makes their names unique.
    part_count: AtomicU64,
    keeps_names_behind_contents: bool,
}

/// An open directory, and which one it is.
struct Root {
    descriptor: OwnedFd,
    identity: system::Identity,
    /// How a file without a name gets one here, where such files can be made.
    link: Option<system::Link>,
}

impl Disk {
    /// Opens the existing directory `path`.
    pub fn open(path: &Path, recreates_area: bool) -> io::Result<Self> {
        Self::open_with(path, recreates_area, false)
    }

    /// As [`Disk::open`], with part files that have no name where the file system can do that. Not
    /// for content that is to be synced before it gets its name: which syncs make a linked file
    /// survive is less well trodden than for a renamed one.
    pub fn with_unnamed_parts(path: &Path, recreates_area: bool) -> io::Result<Self> {
        Self::open_with(path, recreates_area, true)
    }

    fn open_with(path: &Path, recreates_area: bool, wants_unnamed_parts: bool) -> io::Result<Self> {
        let path_c = CString::new(path.as_os_str().as_bytes())?;
        let root = Root::open(&path_c, wants_unnamed_parts)?;
        let keeps_names_behind_contents = system::keeps_names_behind_contents(&root.descriptor);
        Ok(Self {
            shared: Arc::new(DiskShared {
                path: path.to_owned(),
                path_c,
                recreates_area,
                wants_unnamed_parts,
                root: RwLock::new(Arc::new(root)),
                next_look_us: AtomicU64::new(0),
                opened: Instant::now(),
                look_interval: Duration::from_millis(AREA_LOOK_MS),
                part_count: AtomicU64::new(0),
                keeps_names_behind_contents,
            }),
        })
    }
}

impl Root {
    fn open(path: &CStr, wants_unnamed_parts: bool) -> io::Result<Self> {
        let descriptor = system::open_directory(None, path)?;
        let identity = system::identity(&descriptor)?;
        let link = if wants_unnamed_parts { system::link_of_unnamed(&descriptor) } else { None };
        Ok(Self { descriptor, identity, link })
    }
}

impl DiskShared {
    /// The directory that the last new part file went to.
    fn known_root(&self) -> Arc<Root> {
        Arc::clone(&self.root.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The directory that the path named [`AREA_LOOK_MS`] ago or later.
    fn recent_root(&self) -> io::Result<Arc<Root>> {
        let elapsed_us = |since: Duration| u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let now_us = elapsed_us(self.opened.elapsed());
        if now_us < self.next_look_us.load(Ordering::Relaxed) {
            return Ok(self.known_root());
        }
        let root = self.root()?;
        let next_us = now_us.saturating_add(elapsed_us(self.look_interval));
        self.next_look_us.store(next_us, Ordering::Relaxed);
        Ok(root)
    }

    /// The directory that the path names now. A receiver runs for months, and its directory may be
    /// moved away and made anew meanwhile; objects then go to the new one, as with DCMTK.
    fn root(&self) -> io::Result<Arc<Root>> {
        let known = self.known_root();
        match system::identity_at(&self.path_c) {
            Ok(identity) if identity == known.identity => return Ok(known),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.recreates_area => {
                fs::create_dir_all(&self.path)?;
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let root = Arc::new(Root::open(&self.path_c, self.wants_unnamed_parts)?);
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&root);
        Ok(root)
    }
}

impl DiskShared {
    /// Calls `make` with part names until one is free, and says which.
    fn with_part_name(&self, mut make: impl FnMut(&CStr) -> io::Result<()>) -> io::Result<CString> {
        // Asked each time: after a fork the number is another one, and so must the names be.
        let pid = std::process::id();
        loop {
            let count = self.part_count.fetch_add(1, Ordering::Relaxed);
            let name = CString::new(format!("{PART_PREFIX}{pid}-{count}{PART_SUFFIX}"))?;
            match make(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|()| name),
            }
        }
    }
}

const PART_PREFIX: &str = ".dcmfast-";
const PART_SUFFIX: &str = ".part";

impl Backend for Disk {
    fn create_part(&self) -> io::Result<Box<dyn PartFile>> {
        let root = self.shared.recent_root()?;
        let part = match DiskPart::create(&self.shared, Arc::clone(&root)) {
            // Removed since it was looked at: perhaps there is another one of its name by now.
            Err(error) => {
                let current = self.shared.root()?;
                if current.identity == root.identity {
                    return Err(error);
                }
                DiskPart::create(&self.shared, current)?
            }
            Ok(part) => part,
        };
        Ok(Box::new(part))
    }

    fn make_directories(&self, directory: &str) -> io::Result<()> {
        let root = self.shared.known_root();
        for end in directory_ends(directory) {
            let name = CString::new(&directory[..end])?;
            match system::make_directory(&root.descriptor, &name, 0o777) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn make_directory(&self, directory: &str) -> io::Result<bool> {
        let root = self.shared.known_root();
        let name = CString::new(directory)?;
        match system::make_directory(&root.descriptor, &name, 0o777) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if system::is_directory(&root.descriptor, &name)? {
                    Ok(false)
                } else {
                    Err(io::ErrorKind::NotADirectory.into())
                }
            }
            result => result.map(|()| true),
        }
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        let root = self.shared.known_root();
        system::remove_directory(&root.descriptor, &CString::new(directory)?)
    }

    fn rename_published(&self, from: &AreaPath, to: &AreaPath) -> io::Result<()> {
        let root = self.shared.known_root();
        let (from, to) = (CString::new(from.relative())?, CString::new(to.relative())?);
        system::rename(&root.descriptor, &from, &to, Publish::New)
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        let root = self.shared.known_root();
        if directory.is_empty() {
            return system::sync_all(&root.descriptor);
        }
        let opened = system::open_directory(Some(&root.descriptor), &CString::new(directory)?)?;
        system::sync_all(&opened)
    }

    fn keeps_names_behind_contents(&self) -> bool {
        self.shared.keeps_names_behind_contents
    }

    fn sync_published(&self, target: &AreaPath) -> io::Result<()> {
        let root = self.shared.known_root();
        let file = system::open_to_read(&root.descriptor, &CString::new(target.relative())?)?;
        file.sync_data()
    }

    fn remove_stale_parts(&self) -> io::Result<usize> {
        let root = self.shared.root()?;
        let mut removed = 0;
        for entry in fs::read_dir(&self.shared.path)? {
            let name = entry?.file_name();
            let Some(owner) = name.to_str().and_then(part_owner) else { continue };
            let name = CString::new(name.as_bytes())?;
            // Gone or unreadable meanwhile: somebody else's business.
            let Ok(file) = system::open_to_read(&root.descriptor, &name) else { continue };
            if system::lock_now(&file).is_err() {
                continue;
            }
            let is_old = file.metadata()?.modified().is_ok_and(|modified| {
                SystemTime::now()
                    .duration_since(modified)
                    .is_ok_and(|age| age > Duration::from_secs(STALE_PART_AGE_S))
            });
            // An unlocked file of a living process may be one that it is about to lock or rename.
            if is_old || !system::process_lives(owner) {
                removed += usize::from(system::remove_file(&root.descriptor, &name).is_ok());
            }
        }
        Ok(removed)
    }

    fn path_of(&self, target: &AreaPath) -> PathBuf {
        self.shared.path.join(target.relative())
    }

    fn area(&self) -> &Path {
        &self.shared.path
    }
}

/// The lengths of `a`, `a/b`, `a/b/c` within `a/b/c`; none for the empty path.
pub(crate) fn directory_ends(directory: &str) -> impl Iterator<Item = usize> {
    let last = (!directory.is_empty()).then_some(directory.len());
    directory.match_indices('/').map(|(at, _)| at).chain(last)
}

/// The process ID in a part file's name.
fn part_owner(name: &str) -> Option<i32> {
    let middle = name.strip_prefix(PART_PREFIX)?.strip_suffix(PART_SUFFIX)?;
    let (pid, count) = middle.split_once('-')?;
    count.parse::<u64>().ok()?;
    pid.parse().ok()
}

enum PartState {
    /// Under no name.
    Unnamed,
    /// Under its part name.
    Part,
    /// Under its final name; nothing is under the part name.
    Published { target: CString },
    /// Under its final name; what was there is under the part name.
    Exchanged { target: CString },
    /// Nothing is left to do.
    Settled,
}

struct DiskPart {
    shared: Arc<DiskShared>,
    root: Arc<Root>,
    /// The part name; empty as long as it has none.
    name: CString,
    /// Open until it is closed, an unnamed one until the end.
    file: Option<fs::File>,
    /// Known once synced: tells our file from another of its name when it is withdrawn.
    identity: Option<system::Identity>,
    state: PartState,
}

impl DiskPart {
    fn create(shared: &Arc<DiskShared>, root: Arc<Root>) -> io::Result<Self> {
        let mut part = Self {
            shared: Arc::clone(shared),
            root,
            name: CString::default(),
            file: None,
            identity: None,
            state: PartState::Unnamed,
        };
        if part.root.link.is_some() {
            part.file = Some(system::create_unnamed(&part.root.descriptor)?);
            return Ok(part);
        }
        part.name = shared.with_part_name(|name| {
            part.file = Some(system::create_exclusively(&part.root.descriptor, name)?);
            Ok(())
        })?;
        part.state = PartState::Part;
        part.lock()?;
        Ok(part)
    }

    /// Fresh and exclusive, so the lock is free, but for one who takes it for stale.
    fn lock(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), system::lock_now)
    }

    /// Gives an unnamed file its first name, unless that is taken.
    fn link(&self, name: &CStr) -> io::Result<()> {
        match (&self.file, self.root.link) {
            (Some(file), Some(link)) => system::link(link, file, &self.root.descriptor, name),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Gives an unnamed file a part name, so that it can be renamed over something.
    fn take_part_name(&mut self) -> io::Result<()> {
        if matches!(self.state, PartState::Unnamed) {
            self.lock()?;
            self.name = self.shared.with_part_name(|name| self.link(name))?;
            self.state = PartState::Part;
        }
        Ok(())
    }

    /// True unless the file of this name is known to be another one.
    fn is_ours(&self, target: &CStr) -> io::Result<bool> {
        let ours = match &self.file {
            Some(file) => Some(system::identity(file)?),
            None => self.identity,
        };
        match (ours, system::open_to_read(&self.root.descriptor, target)) {
            (Some(ours), Ok(file)) => Ok(system::identity(&file)? == ours),
            (None, Ok(_)) => Ok(true),
            (_, Err(_)) => Ok(false),
        }
    }

    fn file(&mut self) -> io::Result<&mut fs::File> {
        self.file.as_mut().ok_or_else(|| io::Error::other("part file is closed"))
    }
}

impl PartFile for DiskPart {
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        system::write_all(self.file()?, slices)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let file = self.file.as_ref().ok_or_else(|| io::Error::other("part file is closed"))?;
        file.read_at(buffer, at)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let file = self.file()?;
        file.sync_data()?;
        let identity = system::identity(file)?;
        self.identity = Some(identity);
        Ok(())
    }

    fn start_write_out(&mut self) -> io::Result<()> {
        system::start_write_out(self.file()?)
    }

    fn finish_write_out(&mut self) -> io::Result<()> {
        system::finish_write_out(self.file()?)
    }

    fn close(&mut self) -> io::Result<()> {
        if matches!(self.state, PartState::Unnamed) {
            // Closed now it would be gone. The file systems that make such files here keep no error
            // for close (`link_of_unnamed`).
            return Ok(());
        }
        self.file.take().map_or(Ok(()), |file| system::close(file.into()))
    }

    fn publish(&mut self, target: &AreaPath, how: Publish) -> io::Result<()> {
        let target = CString::new(target.relative())?;
        if how == Publish::Exchange && system::is_directory(&self.root.descriptor, &target)? {
            // A rename over a directory fails by itself; an exchange would move it away.
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if matches!(self.state, PartState::Unnamed) && how == Publish::New {
            self.link(&target)?;
        } else {
            self.take_part_name()?;
            system::rename(&self.root.descriptor, &self.name, &target, how)?;
        }
        self.state = match how {
            Publish::New | Publish::Replace => PartState::Published { target },
            Publish::Exchange => PartState::Exchanged { target },
        };
        Ok(())
    }

    fn has_content_of(&self, target: &AreaPath) -> io::Result<bool> {
        let target = CString::new(target.relative())?;
        // A symbolic link, a directory, unreadable, or gone: not the same, in any case.
        let Ok(stored) = system::open_to_read(&self.root.descriptor, &target) else {
            return Ok(false);
        };
        match &self.file {
            Some(unnamed) if self.name.is_empty() => same_content(&stored, unnamed),
            _ => same_content(&stored, &system::open_to_read(&self.root.descriptor, &self.name)?),
        }
    }

    fn withdraw(&mut self) -> io::Result<()> {
        let directory = &self.root.descriptor;
        let state = core::mem::replace(&mut self.state, PartState::Settled);
        let (PartState::Published { target } | PartState::Exchanged { target }) = &state else {
            self.state = state;
            return Ok(());
        };
        let is_ours = self.is_ours(target)?;
        match state {
            PartState::Exchanged { target } if is_ours => {
                system::rename(directory, &self.name, &target, Publish::Exchange)?;
                self.state = PartState::Part;
                Ok(())
            }
            // Somebody else has replaced ours meanwhile; what we replaced is outdated twice.
            PartState::Exchanged { .. } => system::remove_file(directory, &self.name),
            PartState::Published { target } if is_ours => system::remove_file(directory, &target),
            _ => Ok(()),
        }
    }

    fn settle(&mut self) -> io::Result<()> {
        match core::mem::replace(&mut self.state, PartState::Settled) {
            PartState::Exchanged { .. } => system::remove_file(&self.root.descriptor, &self.name),
            _ => Ok(()),
        }
    }
}

impl Drop for DiskPart {
    fn drop(&mut self) {
        if matches!(self.state, PartState::Part) {
            // Nothing can be done when this fails; the next start removes it.
            let _ = system::remove_file(&self.root.descriptor, &self.name);
        }
    }
}

fn same_content(one: &fs::File, other: &fs::File) -> io::Result<bool> {
    let (meta, other_meta) = (one.metadata()?, other.metadata()?);
    if !meta.is_file() || meta.len() != other_meta.len() {
        return Ok(false);
    }
    let mut blocks = vec![0; 2 * COMPARE_BLOCK_BYTES];
    let (block, other_block) = blocks.split_at_mut(COMPARE_BLOCK_BYTES);
    let mut at = 0;
    while at < meta.len() {
        let count = (meta.len() - at).min(COMPARE_BLOCK_BYTES as u64) as usize;
        // At a place: an unnamed file stands at its end.
        one.read_exact_at(&mut block[..count], at)?;
        other.read_exact_at(&mut other_block[..count], at)?;
        if block[..count] != other_block[..count] {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

// ---- Clock and chance --------------------------------------------------------------------------

/// What names need from outside; tests hand in their own.
pub trait NameSource: Send + Sync {
    /// Now, in local time.
    fn local_time(&self) -> LocalTime;
    /// 128 random bits.
    fn chance(&self) -> u128;
    /// Now, as Unix time in seconds.
    fn unix_time_s(&self) -> u32;
    /// Now, as Unix time in microseconds.
    fn unix_time_us(&self) -> u64 {
        u64::from(self.unix_time_s()) * 1_000_000
    }
}

/// The machine's clock and random numbers.
pub struct SystemNameSource;

impl NameSource for SystemNameSource {
    fn local_time(&self) -> LocalTime {
        system::local_time()
    }

    fn chance(&self) -> u128 {
        system::random_u128()
    }

    fn unix_time_s(&self) -> u32 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() as u32)
    }

    fn unix_time_us(&self) -> u64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as u64)
    }
}

/// Ends the process without running any destructor; for crash points.
pub(crate) fn exit_at_once(code: i32) -> ! {
    system::exit_at_once(code)
}

/// Opens a file that is to be sent.
///
/// # Errors
///
/// The system's: no such file, no permission; and what is no file.
pub fn open_for_reading(path: &Path) -> io::Result<StoredFile> {
    use std::os::unix::fs::OpenOptionsExt;

    // Without O_NONBLOCK a named pipe in the place of an object would hold the thread for ever.
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// An open file; named here so that nobody else has to name `std::fs`.
pub type StoredFile = fs::File;

#[cfg(test)]
mod tests {
    use super::system::Link;
    use super::*;
    use crate::storage::naming::{FileNaming, NameParts, Naming, SubdirectoryNaming};
    use crate::uid::UidText;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// An empty directory that goes away with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!(
                "dcmfast-backend-{}-{name}-{:032x}",
                std::process::id(),
                system::random_u128()
            ));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entry =
                |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
            let mut names: Vec<String> = fs::read_dir(&self.0).unwrap().map(entry).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn target(uid: &str, subdirectory: SubdirectoryNaming) -> AreaPath {
        let naming = Naming::new(FileNaming::SopInstanceUid, subdirectory, "", 0).unwrap();
        let parts = NameParts {
            sop_class: UidText::new(b"1.2.840.10008.5.1.4.1.1.2").unwrap(),
            sop_instance: UidText::new(uid.as_bytes()).unwrap(),
            time: LocalTime::EPOCH,
        };
        naming.path(&parts, Some(b"20200103"), LocalTime::EPOCH, 0, 0).0
    }

    fn flat(uid: &str) -> AreaPath {
        target(uid, SubdirectoryNaming::None)
    }

    /// A disk of each kind, in a directory of its own.
    fn both(name: &str, test: impl Fn(&Scratch, &Disk)) {
        let scratch = Scratch::new(name);
        test(&scratch, &Disk::open(&scratch.0, false).unwrap());
        let scratch = Scratch::new(name);
        let disk = Disk::with_unnamed_parts(&scratch.0, false).unwrap();
        test(&scratch, &disk);
        if let Some(Link::ByDescriptor) = disk.shared.known_root().link {
            let scratch = Scratch::new(name);
            let disk = Disk::with_unnamed_parts(&scratch.0, false).unwrap();
            let mut root = Root::open(&disk.shared.path_c, true).unwrap();
            root.link = Some(Link::ByProc);
            *disk.shared.root.write().unwrap() = Arc::new(root);
            test(&scratch, &disk);
        }
    }

    fn closed_part(disk: &Disk, content: &[u8]) -> Box<dyn PartFile> {
        let mut part = disk.create_part().unwrap();
        part.append(&mut [IoSlice::new(content)]).unwrap();
        part.sync_data().unwrap();
        part.close().unwrap();
        part
    }

    /// A part file is hidden, has the umask's mode, and goes away unless it is published.
    #[test]
    fn a_dropped_part_file_leaves_nothing() {
        let scratch = Scratch::new("drop");
        let disk = Disk::open(&scratch.0, false).unwrap();
        let part = closed_part(&disk, b"bytes");
        let names = scratch.names();
        assert_eq!(names.len(), 1);
        assert_eq!(part_owner(&names[0]), i32::try_from(std::process::id()).ok());
        let plain = scratch.0.join("plain");
        fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&scratch.0.join(&names[0])), mode(&plain));
        fs::remove_file(plain).unwrap();
        drop(part);
        assert!(scratch.names().is_empty());
    }

    /// An unnamed part file is nowhere until it has its final name, with the umask's mode; where
    /// it is to take another's place it passes through a part name that is locked.
    #[test]
    fn an_unnamed_part_file_has_one_name_only() {
        let scratch = Scratch::new("unnamed");
        let disk = Disk::with_unnamed_parts(&scratch.0, false).unwrap();
        if disk.shared.known_root().link.is_none() {
            return; // This file system has none; what it does instead is tested above.
        }
        let mut part = closed_part(&disk, b"bytes");
        assert!(scratch.names().is_empty());
        part.publish(&flat("1.2"), Publish::New).unwrap();
        assert_eq!(scratch.names(), ["CT.1.2"]);
        let plain = scratch.0.join("plain");
        fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&disk.path_of(&flat("1.2"))), mode(&plain));
        fs::remove_file(plain).unwrap();
        drop(part);
        drop(closed_part(&disk, b"given up"));
        assert_eq!(scratch.names(), ["CT.1.2"]);
        let mut other = DiskPart::create(&disk.shared, disk.shared.known_root()).unwrap();
        other.take_part_name().unwrap();
        let names = scratch.names();
        assert_eq!(part_owner(&names[0]), i32::try_from(std::process::id()).ok());
        let again = system::open_to_read(&other.root.descriptor, &other.name).unwrap();
        assert!(system::lock_now(&again).is_err());
        drop(other);
        assert_eq!(scratch.names(), ["CT.1.2"]);
    }

    /// Each way to publish, and each back.
    #[test]
    fn publish_and_withdraw() {
        both("publish", |scratch, disk| {
            let name = flat("1.2");
            let path = disk.path_of(&name);
            let mut first = closed_part(disk, b"first");
            first.publish(&name, Publish::New).unwrap();
            drop(first);
            let mut second = closed_part(disk, b"second");
            let error = second.publish(&name, Publish::New).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert!(!second.has_content_of(&name).unwrap());
            second.publish(&name, Publish::Exchange).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"second");
            second.withdraw().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"first");
            second.publish(&name, Publish::Exchange).unwrap();
            second.settle().unwrap();
            drop(second);
            assert_eq!(fs::read(&path).unwrap(), b"second");
            assert_eq!(scratch.names(), ["CT.1.2"]);
            let other = flat("1.3");
            let mut third = closed_part(disk, b"third");
            third.publish(&other, Publish::New).unwrap();
            third.withdraw().unwrap();
            drop(third);
            assert_eq!(scratch.names(), ["CT.1.2"]);
        });
    }

    /// A withdrawn publication does not remove what somebody else put there meanwhile.
    #[test]
    fn withdraw_spares_others() {
        both("spare", |_, disk| {
            let name = flat("1.2");
            let mut ours = closed_part(disk, b"ours");
            ours.publish(&name, Publish::New).unwrap();
            let mut theirs = closed_part(disk, b"theirs");
            theirs.publish(&name, Publish::Replace).unwrap();
            ours.withdraw().unwrap();
            assert_eq!(fs::read(disk.path_of(&name)).unwrap(), b"theirs");
        });
    }

    /// Equal bytes are equal, whatever their number of blocks; one other byte is not.
    #[test]
    fn content_is_compared_to_the_end() {
        both("compare", |_, disk| {
            for length in [0, 1, COMPARE_BLOCK_BYTES, 3 * COMPARE_BLOCK_BYTES + 7] {
                let name = flat(&format!("1.{length}"));
                let bytes = vec![7; length];
                closed_part(disk, &bytes).publish(&name, Publish::New).unwrap();
                assert!(closed_part(disk, &bytes).has_content_of(&name).unwrap());
                assert!(
                    !closed_part(disk, &[&bytes[..], b"x"].concat()).has_content_of(&name).unwrap()
                );
                if let Some(last) = length.checked_sub(1) {
                    let mut other = bytes.clone();
                    other[last] = 8;
                    assert!(!closed_part(disk, &other).has_content_of(&name).unwrap());
                }
            }
        });
    }

    /// A symbolic link under the final name is replaced, never followed; a directory is an error.
    #[test]
    fn odd_things_under_the_final_name() {
        both("odd", |scratch, disk| {
            let victim = scratch.0.join("victim");
            fs::write(&victim, b"ours").unwrap();
            let name = flat("1.2");
            symlink(&victim, disk.path_of(&name)).unwrap();
            let mut part = closed_part(disk, b"ours");
            assert!(part.publish(&name, Publish::New).is_err());
            assert!(!part.has_content_of(&name).unwrap());
            part.publish(&name, Publish::Replace).unwrap();
            assert!(disk.path_of(&name).symlink_metadata().unwrap().is_file());
            assert_eq!(fs::read(&victim).unwrap(), b"ours");
            let directory = flat("1.3");
            fs::create_dir(disk.path_of(&directory)).unwrap();
            for how in [Publish::New, Publish::Replace, Publish::Exchange] {
                assert!(closed_part(disk, b"x").publish(&directory, how).is_err(), "{how:?}");
            }
            assert!(disk.path_of(&directory).is_dir());
        });
    }

    /// Part files: a dead owner's goes, a locked one stays, a living owner's young one stays.
    #[test]
    fn stale_part_files() {
        let scratch = Scratch::new("stale");
        let disk = Disk::open(&scratch.0, false).unwrap();
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        let dead_pid = dead.id();
        dead.wait().unwrap();
        let write = |name: &str| fs::write(scratch.0.join(name), b"half").unwrap();
        let stale = format!(".dcmfast-{dead_pid}-0.part");
        write(&stale);
        let young = format!(".dcmfast-{}-999.part", std::process::id());
        write(&young);
        for other in ["CT.1.2", ".dcmfast-x-1.part", ".dcmfast-1.part", ".dcmfast-1-1.par"] {
            write(other);
        }
        let locked = disk.create_part().unwrap();
        // A receiver of a dead number that lives all the same (another container), locked.
        let foreign = scratch.0.join(format!(".dcmfast-{dead_pid}-1.part"));
        let foreign_file = fs::File::create(&foreign).unwrap();
        system::lock_now(&foreign_file).unwrap();
        let before = scratch.names().len();
        assert_eq!(disk.remove_stale_parts().unwrap(), 1);
        let names = scratch.names();
        assert_eq!(names.len(), before - 1);
        assert!(!names.contains(&stale) && names.contains(&young));
        assert!(foreign.exists());
        let old = SystemTime::now() - Duration::from_secs(2 * STALE_PART_AGE_S);
        fs::File::options()
            .write(true)
            .open(scratch.0.join(&young))
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert_eq!(disk.remove_stale_parts().unwrap(), 1);
        drop(locked);
    }

    /// The output directory is the one that its path names now.
    #[test]
    fn area_moved_away() {
        let scratch = Scratch::new("moved");
        let area = scratch.0.join("area");
        fs::create_dir(&area).unwrap();
        let looking_always = |mut disk: Disk| {
            Arc::get_mut(&mut disk.shared).unwrap().look_interval = Duration::ZERO;
            disk
        };
        let strict = looking_always(Disk::open(&area, false).unwrap());
        let lenient = looking_always(Disk::open(&area, true).unwrap());
        fs::rename(&area, scratch.0.join("old")).unwrap();
        let error = strict.create_part().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        closed_part(&lenient, b"x").publish(&flat("1.2"), Publish::New).unwrap();
        closed_part(&strict, b"x").publish(&flat("1.3"), Publish::New).unwrap();
        assert!(area.join("CT.1.2").exists() && area.join("CT.1.3").exists());
        assert_eq!(fs::read_dir(scratch.0.join("old")).unwrap().count(), 0);
    }

    /// Between two looks objects go where they went; a directory that is gone is noticed at once.
    #[test]
    fn area_looked_at_rarely() {
        for open in [Disk::open, Disk::with_unnamed_parts] {
            let scratch = Scratch::new("rarely");
            let area = scratch.0.join("area");
            fs::create_dir(&area).unwrap();
            let mut disk = open(&area, true).unwrap();
            Arc::get_mut(&mut disk.shared).unwrap().look_interval = Duration::from_secs(3600);
            closed_part(&disk, b"x").publish(&flat("1.1"), Publish::New).unwrap();
            let old = scratch.0.join("old");
            fs::rename(&area, &old).unwrap();
            fs::create_dir(&area).unwrap();
            closed_part(&disk, b"x").publish(&flat("1.2"), Publish::New).unwrap();
            assert!(old.join("CT.1.2").exists());
            fs::remove_dir_all(&old).unwrap();
            closed_part(&disk, b"x").publish(&flat("1.3"), Publish::New).unwrap();
            assert!(area.join("CT.1.3").exists());
            disk.shared.next_look_us.store(0, Ordering::Relaxed);
            fs::rename(&area, &old).unwrap();
            closed_part(&disk, b"x").publish(&flat("1.4"), Publish::New).unwrap();
            assert!(area.join("CT.1.4").exists() && !old.join("CT.1.4").exists());
        }
    }

    /// Directories below the area are made with their parents and can be synced.
    #[test]
    fn subdirectories() {
        both("sub", |scratch, disk| {
            let name = target("1.2", SubdirectoryNaming::SeriesDate);
            let mut part = closed_part(disk, b"x");
            let error = part.publish(&name, Publish::New).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            disk.make_directories(name.directory()).unwrap();
            disk.make_directories(name.directory()).unwrap();
            part.publish(&name, Publish::New).unwrap();
            for directory in ["", "data", "data/2020", "data/2020/01", "data/2020/01/03"] {
                disk.sync_directory(directory).unwrap();
            }
            disk.sync_published(&name).unwrap();
            assert!(scratch.0.join("data/2020/01/03/CT.1.2").is_file());
        });
    }

    /// One directory at a time: new, there already, taken by a file or a symbolic link, and gone
    /// again when it is empty.
    #[test]
    fn one_directory() {
        both("one", |scratch, disk| {
            assert!(disk.make_directory("ST_1").unwrap());
            assert!(!disk.make_directory("ST_1").unwrap());
            fs::write(scratch.0.join("file"), b"").unwrap();
            symlink("ST_1", scratch.0.join("link")).unwrap();
            for taken in ["file", "link"] {
                let error = disk.make_directory(taken).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{taken}");
            }
            let error = disk.make_directory("no/where").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            fs::write(scratch.0.join("ST_1/CT.1"), b"").unwrap();
            assert!(disk.remove_directory("ST_1").is_err());
            fs::remove_file(scratch.0.join("ST_1/CT.1")).unwrap();
            disk.remove_directory("ST_1").unwrap();
            assert!(!scratch.0.join("ST_1").exists());
        });
    }

    /// A published file gets another name, and never one that is taken.
    #[test]
    fn published_files_are_renamed() {
        both("rename", |scratch, disk| {
            for uid in ["1.1", "1.2"] {
                let bytes = uid.as_bytes();
                closed_part(disk, bytes).publish(&flat(uid), Publish::New).unwrap();
            }
            let first = flat("1.1").renumbered("CTe", 1);
            disk.rename_published(&flat("1.1"), &first).unwrap();
            let error = disk.rename_published(&flat("1.2"), &first).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            let error = disk.rename_published(&flat("1.1"), &first).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert_eq!(scratch.names(), ["CT.1.2", "CT000001"]);
            assert_eq!(fs::read(scratch.0.join("CT000001")).unwrap(), b"1.1");
        });
    }

    /// More slices than one call takes, and a full device that takes none.
    #[test]
    fn vectored_writes() {
        both("vectored", |_, disk| {
            let mut part = disk.create_part().unwrap();
            let piece = [5; 3];
            let mut slices = vec![IoSlice::new(&piece); 3000];
            part.append(&mut slices).unwrap();
            part.close().unwrap();
            let name = flat("1.2");
            part.publish(&name, Publish::New).unwrap();
            assert_eq!(fs::read(disk.path_of(&name)).unwrap(), vec![5; 9000]);
            let mut full = fs::File::options().write(true).open("/dev/full").unwrap();
            let error = system::write_all(&mut full, &mut [IoSlice::new(b"x")]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        });
    }
}
