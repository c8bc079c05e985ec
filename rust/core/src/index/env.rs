//! The LMDB environment: open, read, write, grow, close. The only file that names the LMDB crate.
//!
//! What is relied on of LMDB 0.9 (FORMAT.md, "What is assumed of LMDB"): copy on write with two
//! meta pages, so that a crash needs no recovery; full synchronisation at each commit (no NOSYNC,
//! no WRITEMAP: a full disk is then an error and never a signal); one writer at a time; readers
//! that never block. Read transactions take a slot each and belong to no thread, so that any number
//! of associations may read. After a failed write of a meta page it refuses everything, because it
//! does not know what the device has: [`Environment::recover`] looks at what is there and opens it
//! again, for the commit that failed was of nothing that the journal does not have.
//!
//! Three dangers are closed here. *Two servers on one area*: a writer holds a lock on a file of its
//! own, which the kernel drops when it dies. *One environment opened twice in a process*: POSIX
//! record locks vanish when either closes it, so whoever opens it here a second time shares what is
//! open, which becomes one for writing as long as somebody writes; and what another library of the
//! process has mapped is refused. *A map that grows under a reader*:
//! [`Environment`] waits for the transactions of this process first.
//!
//! Called by `index` only.

#![expect(unsafe_code, reason = "maps a file and locks another, as the head of this file explains")]

use core::fmt;
use core::ops::Bound;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

use heed::types::Bytes;
use heed::{AnyTls, Database, Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, WithoutTls};

use super::pages::{PageFault, Reach, ReadAt, Snapshot};
use crate::limits::{INDEX_CHECK_PAGES, INDEX_READERS_MAX};

/// Why the index cannot do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum IndexError {
    /// A system call failed.
    Io {
        /// What was being done, as in "open".
        doing: &'static str,
        /// The index's directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no index here, and it was not to be made.
    Missing(PathBuf),
    /// Another process has it open for writing.
    InUse(PathBuf),
    /// This process has it open already, by us or by another library.
    OpenTwice(PathBuf),
    /// On a network file system, where memory maps and locks cannot be trusted.
    NetworkFileSystem(PathBuf),
    /// No index of ours, or one of another version of its format.
    Format {
        /// The index's directory.
        path: PathBuf,
        /// The version found; `None` where it is no index of ours.
        found: Option<u32>,
    },
    /// An LMDB file that 0.9 cannot read: LMDB 1.0's, or another machine's byte order.
    Foreign(PathBuf),
    /// Pages or records contradict each other.
    Damaged {
        /// The index's directory.
        path: PathBuf,
        /// What was noticed.
        what: &'static str,
    },
    /// A write or sync of a commit failed: nothing more is written until the index was looked at and
    /// opened again ([`Environment::recover`]). After the last one, of a meta page, LMDB refuses to read
    /// as well, because it does not know what the device has.
    Halted(PathBuf),
    /// The map is full and cannot grow: no address space or memory.
    Full(PathBuf),
    /// More readers at once than there are slots.
    TooManyReaders(PathBuf),
    /// Opened for reading only.
    ReadOnly(PathBuf),
    /// An entry that cannot be listed: no SOP Instance UID, or a path that is too long.
    Unlistable(&'static str),
}

impl IndexError {
    /// True when room on the disk or in memory was wanting, or the disk did not write, so that the same
    /// may succeed later: status A700H.
    pub fn is_no_room(&self) -> bool {
        match self {
            Self::Full(_) | Self::TooManyReaders(_) | Self::Halted(_) => true,
            Self::Io { source, .. } => matches!(
                source.raw_os_error(),
                Some(
                    libc::ENOSPC
                        | libc::EDQUOT
                        | libc::EFBIG
                        | libc::ENOMEM
                        | libc::EMFILE
                        | libc::ENFILE
                )
            ),
            _ => false,
        }
    }

    /// True when what was written before can no longer be trusted to be durable, so that nothing
    /// may be acknowledged until the index was opened and checked again.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Io { .. } => !self.is_no_room(),
            Self::Damaged { .. } | Self::Foreign(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, source } => {
                write!(formatter, "cannot {doing} the index {}: {source}", path.display())
            }
            Self::Missing(path) => write!(formatter, "there is no index in {}", path.display()),
            Self::InUse(path) => write!(
                formatter,
                "the index {} is in use by another server; stop it first",
                path.display()
            ),
            Self::OpenTwice(path) => {
                write!(formatter, "the index {} is open in this process already", path.display())
            }
            Self::NetworkFileSystem(path) => write!(
                formatter,
                "the index {} would be on a network file system, where memory maps are not safe; \
                 put the storage area on a local disk",
                path.display()
            ),
            Self::Format { path, found: Some(found) } => write!(
                formatter,
                "the index {} has format {found} and this program writes format {}; no object is \
                 affected: make it anew with `dcmfast index rebuild`",
                path.display(),
                super::schema::FORMAT_VERSION
            ),
            Self::Format { path, found: None } => {
                write!(formatter, "{} holds a database that is no index of ours", path.display())
            }
            Self::Foreign(path) => write!(
                formatter,
                "the index {} was written by another LMDB version or on another kind of machine; no \
                 object is affected: make it anew with `dcmfast index rebuild`",
                path.display()
            ),
            Self::Damaged { path, what } => write!(
                formatter,
                "the index {} is damaged ({what}); no object is affected: make it anew with \
                 `dcmfast index rebuild`",
                path.display()
            ),
            Self::Full(path) => {
                write!(formatter, "the index {} is full and cannot grow", path.display())
            }
            Self::Halted(path) => write!(
                formatter,
                "a write of the index {} failed, and it is opened anew as soon as the disk writes \
                 again; nothing is lost",
                path.display()
            ),
            Self::TooManyReaders(path) => {
                write!(formatter, "too many readers of the index {} at once", path.display())
            }
            Self::ReadOnly(path) => {
                write!(formatter, "the index {} is open for reading only", path.display())
            }
            Self::Unlistable(why) => write!(formatter, "the instance cannot be listed: {why}"),
        }
    }
}

impl std::error::Error for IndexError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What an index is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By the one server or tool that changes it; made where it is missing.
    Write,
    /// Beside whoever writes it.
    Read,
}

/// How an index is opened.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    /// Address space mapped at first, in bytes; doubled whenever it is full. The file is as large
    /// as its pages, not as the map.
    pub map_bytes: usize,
    /// Whether all branch pages are looked at first, and not the roots of the tables alone: after
    /// an end that was none.
    pub looks_deep: bool,
}

impl Default for IndexOptions {
    fn default() -> Self {
        // 1 GiB is some two million instances. A 32-bit process has no such room to give away.
        let shift = if cfg!(target_pointer_width = "64") { 30 } else { 26 };
        Self { map_bytes: 1 << shift, looks_deep: false }
    }
}

/// The named databases; FORMAT.md has a section for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Meta,
    Identities,
    Patients,
    Studies,
    Series,
    Instances,
    Uids,
    Children,
    Keys,
    Variants,
    Ages,
}

impl Table {
    const ALL: [(Self, &'static str); 11] = [
        (Self::Meta, "meta"),
        (Self::Identities, "identities"),
        (Self::Patients, "patients"),
        (Self::Studies, "studies"),
        (Self::Series, "series"),
        (Self::Instances, "instances"),
        (Self::Uids, "uids"),
        (Self::Children, "children"),
        (Self::Keys, "keys"),
        (Self::Variants, "variants"),
        (Self::Ages, "ages"),
    ];
}

type Rows0 = Database<Bytes, Bytes>;
type Tables = [Rows0; Table::ALL.len()];

/// The environments that this process has open.
static OPEN: Mutex<Vec<Weak<Environment>>> = Mutex::new(Vec::new());

/// An open environment, shared by all of this process that use it.
pub(crate) struct Environment {
    /// Held shared by every transaction of this process, exclusively while the map is replaced or
    /// the environment is opened anew. `None` while that did not succeed.
    opened: RwLock<Option<Opened>>,
    /// A write or sync failed, by the disk's fault: what is open was not looked at since.
    is_doubtful: AtomicBool,
    /// Another index has taken its place, and was opened: who still goes through this one begins anew.
    is_retired: AtomicBool,
    path: PathBuf,
    /// The same without links, by which it is found again.
    real_path: PathBuf,
    options: IndexOptions,
    /// The writer's lock while somebody here writes, dropped by the kernel when the process ends.
    writer: Mutex<Option<File>>,
    /// Who opened it: LMDB knows readers by their process, so a forked one opens its own.
    process: u32,
}

/// One user's hold on an environment.
pub(crate) struct Hold {
    environment: Arc<Environment>,
    access: Access,
}

impl core::ops::Deref for Hold {
    type Target = Environment;

    fn deref(&self) -> &Environment {
        &self.environment
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _open = register();
        // Who reads on must not keep others from writing.
        if self.access == Access::Write && Arc::strong_count(&self.environment) > 1 {
            self.environment.end_writing();
        }
    }
}

fn register() -> MutexGuard<'static, Vec<Weak<Environment>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What LMDB has open.
struct Opened {
    env: Env<WithoutTls>,
    tables: Tables,
    /// Device and number of the data file.
    file: (u64, u64),
}

/// A read transaction: one state of the index, unchanged whatever is written meanwhile.
pub(crate) struct ReadTransaction<'e> {
    // Fields drop in this order: the transaction before the guard that keeps its map in place.
    txn: RoTxn<'static, WithoutTls>,
    tables: Tables,
    environment: &'e Environment,
    _opened: RwLockReadGuard<'e, Option<Opened>>,
}

/// The write transaction.
pub(crate) struct WriteTransaction<'e> {
    txn: heed::RwTxn<'e>,
    tables: &'e Tables,
    environment: &'e Environment,
}

/// What can be read in either kind of transaction.
#[derive(Clone, Copy)]
pub(crate) struct View<'t> {
    txn: &'t RoTxn<'t, AnyTls>,
    tables: &'t Tables,
    environment: &'t Environment,
}

/// Keys and values in ascending order.
pub(crate) struct Rows<'t> {
    rows: heed::RoRange<'t, Bytes, Bytes>,
    environment: &'t Environment,
}

impl Environment {
    /// Opens the environment in the directory `path`, or shares it where this process has it open.
    pub fn open(path: &Path, access: Access, options: IndexOptions) -> Result<Hold, IndexError> {
        let mut open = register();
        open.retain(|known| known.strong_count() > 0);
        let real_path = fs::canonicalize(path).ok();
        let known = open.iter().filter_map(Weak::upgrade).find(|known| {
            known.process == std::process::id()
                && !known.is_retired.load(Ordering::Acquire)
                && real_path.as_ref() == Some(&known.real_path)
        });
        let shared = known.filter(|known| known.is_in_place() || known.retire());
        let environment = match shared {
            Some(shared) if access == Access::Read => shared,
            Some(shared) => {
                shared.begin_writing(options)?;
                shared
            }
            None => {
                let made = Arc::new(Self::open_alone(path, access, options)?);
                open.push(Arc::downgrade(&made));
                made
            }
        };
        Ok(Hold { environment, access })
    }

    fn open_alone(path: &Path, access: Access, options: IndexOptions) -> Result<Self, IndexError> {
        let io = |doing| move |source| IndexError::Io { doing, path: path.to_owned(), source };
        if access == Access::Write {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make"))?;
        } else {
            let data = fs::metadata(path.join(DATA_FILE)).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => IndexError::Missing(path.to_owned()),
                _ => io("open")(error),
            })?;
            if data.len() == 0 {
                return Err(IndexError::Damaged { path: path.to_owned(), what: "it is empty" });
            }
        }
        refuse_network_mount(path)?;
        refuse_foreign_map(path)?;
        let writer = (access == Access::Write).then(|| lock_for_writing(path)).transpose()?;
        let opened = Opened::open(path, access, options)?;
        if access == Access::Write {
            // The environment's own commits sync its file; that the file has a name is up to us.
            File::open(path).and_then(|directory| directory.sync_all()).map_err(io("sync"))?;
        }
        Ok(Self {
            opened: RwLock::new(Some(opened)),
            is_doubtful: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            path: path.to_owned(),
            real_path: fs::canonicalize(path).map_err(io("open"))?,
            options,
            writer: Mutex::new(writer),
            process: std::process::id(),
        })
    }

    /// Closes what another index has taken the place of. False, for it is of no use to anybody.
    fn retire(&self) -> bool {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        *opened = None;
        self.is_retired.store(true, Ordering::Release);
        false
    }

    /// Opens for writing what was open for reading. Waits until no transaction of this process is open.
    fn begin_writing(&self, options: IndexOptions) -> Result<(), IndexError> {
        let writer = lock_for_writing(&self.path)?;
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        // Closed by this: a process has it open once.
        *opened = None;
        let result = refuse_foreign_map(&self.path)
            .and_then(|()| Opened::open(&self.path, Access::Write, options));
        match result {
            Ok(made) => {
                *opened = Some(made);
                *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
                Ok(())
            }
            Err(error) => {
                // Where not even that goes, `read` tries again.
                *opened = Opened::open(&self.path, Access::Read, self.options).ok();
                Err(error)
            }
        }
    }

    /// Opens for reading what was open for writing, and gives back the writer's lock.
    fn end_writing(&self) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        *opened = None;
        self.is_doubtful.store(false, Ordering::Release);
        *opened = Opened::open(&self.path, Access::Read, self.options).ok();
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What it is open for now.
    fn access(&self) -> Access {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_some() { Access::Write } else { Access::Read }
    }

    /// Opens again what could not be opened when a writer began or ended.
    fn reopen(&self) -> Result<(), IndexError> {
        if self.is_retired.load(Ordering::Acquire) {
            let source = io::Error::other("it was made anew meanwhile; begin again");
            return Err(IndexError::Io { doing: "go on in", path: self.path.clone(), source });
        }
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.is_none() && !self.is_doubtful.load(Ordering::Acquire) {
            *opened = Some(Opened::open(&self.path, self.access(), self.options)?);
        }
        Ok(())
    }

    /// Looks at all branch pages as they are after a write that failed, and opens the environment anew
    /// where LMDB refuses to go on. Waits then until no transaction of this process is open; changes
    /// nothing where no write failed.
    pub fn recover(&self) -> Result<(), IndexError> {
        if !self.is_doubtful.load(Ordering::Acquire) {
            return Ok(());
        }
        // While it fails, whoever reads goes on as far as LMDB lets him.
        check_before(&self.path, Reach::Branches)?;
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        let halted = |opened: &Opened| {
            matches!(opened.env.read_txn(), Err(heed::Error::Mdb(MdbError::Panic)))
        };
        if opened.as_ref().is_none_or(halted) {
            // Closed by this, for no transaction is left that shares it: a process has it open once.
            *opened = None;
            *opened = Some(Opened::open(&self.path, self.access(), self.options)?);
        }
        self.is_doubtful.store(false, Ordering::Release);
        Ok(())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For reading and writing, and against being replaced meanwhile.
    fn share(&self) -> RwLockReadGuard<'_, Option<Opened>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is open.
    fn open_in<'o>(&self, shared: Option<&'o Opened>) -> Result<&'o Opened, IndexError> {
        shared.ok_or_else(|| IndexError::Halted(self.path.clone()))
    }

    /// Begins a read transaction. A thread must not hold two: the map may be waiting to grow
    /// between them.
    pub fn read(&self) -> Result<ReadTransaction<'_>, IndexError> {
        let mut retried = false;
        loop {
            let shared = self.share();
            if shared.is_none() && !retried {
                drop(shared);
                self.reopen()?;
                retried = true;
                continue;
            }
            let opened = self.open_in(shared.as_ref())?;
            match opened.env.clone().static_read_txn() {
                Ok(txn) => {
                    let tables = opened.tables;
                    return Ok(ReadTransaction { txn, tables, environment: self, _opened: shared });
                }
                Err(heed::Error::Mdb(MdbError::MapResized)) if !retried => {
                    drop(shared);
                    // Another process made the map larger: take its size over.
                    self.resize(0)?;
                }
                Err(heed::Error::Mdb(MdbError::ReadersFull)) if !retried => {
                    opened.env.clear_stale_readers().map_err(|error| self.error(error, "read"))?;
                }
                Err(error) => return Err(self.error(error, "read")),
            }
            retried = true;
        }
    }

    /// Does `work` in the write transaction, waiting for one that is under way, and makes all its
    /// changes visible and durable; after an error, none.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        if self.access() == Access::Read {
            return Err(IndexError::ReadOnly(self.path.clone()));
        }
        let shared = self.share();
        let opened = self.open_in(shared.as_ref())?;
        if self.is_doubtful.load(Ordering::Acquire) {
            return Err(IndexError::Halted(self.path.clone()));
        }
        let txn = opened.env.write_txn().map_err(|error| {
            let error = self.error(error, "write");
            let is_halted = matches!(error, IndexError::Halted(_));
            self.is_doubtful.fetch_or(is_halted, Ordering::AcqRel);
            error
        })?;
        let mut transaction = WriteTransaction { txn, tables: &opened.tables, environment: self };
        let result = work(&mut transaction)?;
        transaction.txn.commit().map_err(|error| {
            let error = self.error(error, "commit");
            // Pages whose sync failed count as clean all the same, and after a meta page LMDB stands
            // still. A full disk is found before either, but not where blocks are never overwritten
            // (Btrfs, ZFS) or promised without being there (thin volumes).
            let is_found_before = matches!(error, IndexError::Full(_));
            self.is_doubtful.fetch_or(!is_found_before, Ordering::AcqRel);
            error
        })?;
        Ok(result)
    }

    /// Doubles the map. Waits until no transaction of this process is open.
    pub fn grow(&self) -> Result<(), IndexError> {
        let old = self.map_bytes();
        let full = || IndexError::Full(self.path.clone());
        let new =
            old.checked_mul(2).filter(|new| isize::try_from(*new).is_ok()).ok_or_else(full)?;
        self.resize(new).map_err(|_| full())
    }

    fn resize(&self, bytes: usize) -> Result<(), IndexError> {
        let alone = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        let opened = self.open_in(alone.as_ref())?;
        // SAFETY: no transaction of this process is open, as each holds `opened` shared.
        unsafe { opened.env.resize(bytes) }.map_err(|error| self.error(error, "resize"))
    }

    /// Looks at all pages as they are on the disk, a portion in each read transaction. `watch` is
    /// told how many portions have been looked at, and ends it by false.
    pub fn check_pages(&self, watch: &mut dyn FnMut(u64) -> bool) -> Result<bool, IndexError> {
        let data = open_data(&self.path)?;
        let read = |at: u64, buffer: &mut [u8]| data.read_at(buffer, at);
        let mut done = 0;
        for (_, name) in Table::ALL {
            let mut from: Option<Vec<u8>> = None;
            let mut is_doubtful = false;
            loop {
                // While it is open, no page of this state or of a newer one is used again.
                let transaction = self.read()?;
                let found = newest(&data, &read)
                    .and_then(|found| found.ok_or(PageFault::Damaged("its meta pages are none")))
                    .and_then(|found| {
                        let name = name.as_bytes();
                        found.check_part(&read, name, from.as_deref(), INDEX_CHECK_PAGES)
                    });
                drop(transaction);
                if let (Err(PageFault::Damaged(_)), false) = (&found, is_doubtful) {
                    // A meta page may have been read while it was written.
                    is_doubtful = true;
                    continue;
                }
                is_doubtful = false;
                from = found.map_err(|fault| page_error(&self.path, fault))?;
                done += 1;
                if !watch(done) {
                    return Ok(false);
                }
                if from.is_none() {
                    break;
                }
            }
        }
        Ok(true)
    }

    /// False when another index has taken the place of this one, which nobody writes any more.
    pub fn is_in_place(&self) -> bool {
        let now = fs::metadata(self.path.join(DATA_FILE)).map(|data| (data.dev(), data.ino()));
        self.share().as_ref().is_some_and(|opened| now.is_ok_and(|now| now == opened.file))
    }

    /// Size of the map in bytes; 0 while nothing is open.
    pub fn map_bytes(&self) -> usize {
        self.share().as_ref().map_or(0, |opened| opened.env.info().map_size)
    }

    /// Gives back the slots of readers that died.
    pub fn clear_stale_readers(&self) -> Result<usize, IndexError> {
        let shared = self.share();
        let opened = self.open_in(shared.as_ref())?;
        opened.env.clear_stale_readers().map_err(|error| self.error(error, "read"))
    }

    /// Bytes of all pages that hold something.
    pub fn used_bytes(&self) -> Result<u64, IndexError> {
        let shared = self.share();
        let opened = self.open_in(shared.as_ref())?;
        opened.env.non_free_pages_size().map_err(|error| self.error(error, "read"))
    }

    fn error(&self, error: heed::Error, doing: &'static str) -> IndexError {
        convert(error, doing, &self.path)
    }

    /// A record that contradicts another.
    pub fn damaged(&self, what: &'static str) -> IndexError {
        IndexError::Damaged { path: self.path.clone(), what }
    }
}

impl Opened {
    /// Opens the environment in the directory `path`, whose writer's lock is held by who writes.
    fn open(path: &Path, access: Access, options: IndexOptions) -> Result<Self, IndexError> {
        let reach = if options.looks_deep { Reach::Branches } else { Reach::Roots };
        check_before(path, reach)?;
        let file_bytes = fs::metadata(path.join(DATA_FILE)).map_or(0, |data| data.len());
        // A full map is found out in the middle of a batch, so half of it is free at first.
        let wanted = usize::try_from(file_bytes.saturating_mul(2)).unwrap_or(usize::MAX);
        let map_bytes = options.map_bytes.max(wanted.min(isize::MAX as usize)) & !(MAP_UNIT - 1);

        let mut open = EnvOpenOptions::new().read_txn_without_tls();
        open.map_size(map_bytes.max(MAP_UNIT))
            .max_readers(INDEX_READERS_MAX)
            .max_dbs(Table::ALL.len() as u32);
        if access == Access::Read {
            // SAFETY: READ_ONLY relaxes nothing that LMDB's soundness rests on.
            unsafe { open.flags(EnvFlags::READ_ONLY) };
        }
        // SAFETY: LMDB maps this file, so nothing but LMDB may write it while it is open. The
        // directory is our own and of mode 0700, no network file system (checked by our caller), not
        // open in this process (heed's register, and the look at our own maps), and whoever may be
        // forked with an index closes and opens it in the child (`query.rs` of the Python layer).
        let env = unsafe { open.open(path) }.map_err(|error| convert(error, "open", path))?;
        env.clear_stale_readers().map_err(|error| convert(error, "open", path))?;
        complete_file(&env, path)?;
        let tables = open_tables(&env, path, access)?;
        let file = fs::metadata(path.join(DATA_FILE)).map(|data| (data.dev(), data.ino()));
        let file =
            file.map_err(|source| IndexError::Io { doing: "open", path: path.to_owned(), source })?;
        Ok(Self { env, tables, file })
    }
}

impl ReadTransaction<'_> {
    /// What it sees.
    pub fn view(&self) -> View<'_> {
        View { txn: &self.txn, tables: &self.tables, environment: self.environment }
    }
}

impl WriteTransaction<'_> {
    /// What it sees, its own changes among it.
    pub fn view(&self) -> View<'_> {
        View { txn: &self.txn, tables: self.tables, environment: self.environment }
    }

    /// Writes a row.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), IndexError> {
        self.tables[table as usize]
            .put(&mut self.txn, key, value)
            .map_err(|error| self.environment.error(error, "write"))
    }

    /// Deletes a row; false when there is none.
    pub fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, IndexError> {
        self.tables[table as usize]
            .delete(&mut self.txn, key)
            .map_err(|error| self.environment.error(error, "write"))
    }
}

impl<'t> View<'t> {
    /// The value of a row.
    pub fn get(self, table: Table, key: &[u8]) -> Result<Option<&'t [u8]>, IndexError> {
        self.tables[table as usize]
            .get(self.txn, key)
            .map_err(|error| self.environment.error(error, "read"))
    }

    /// The rows from `from` on, in ascending order.
    pub fn rows(self, table: Table, from: &[u8]) -> Result<Rows<'t>, IndexError> {
        let lower = if from.is_empty() { Bound::Unbounded } else { Bound::Included(from) };
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (lower, Bound::Unbounded);
        let rows = self.tables[table as usize]
            .range(self.txn, &range)
            .map_err(|error| self.environment.error(error, "read"))?;
        Ok(Rows { rows, environment: self.environment })
    }

    /// A record that contradicts another.
    pub fn damaged(self, what: &'static str) -> IndexError {
        self.environment.damaged(what)
    }
}

impl<'t> Iterator for Rows<'t> {
    type Item = Result<(&'t [u8], &'t [u8]), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.map_err(|error| self.environment.error(error, "read")))
    }
}

const DATA_FILE: &str = "data.mdb";
const WRITER_FILE: &str = "writer.lock";
/// Looks at an index that others write: each finds a newer state, some tenths of a second apart.
const CHECK_ATTEMPTS: usize = 16;
/// LMDB wants whole pages; no system has larger ones.
const MAP_UNIT: usize = 65_536;

fn open_tables(env: &Env<WithoutTls>, path: &Path, access: Access) -> Result<Tables, IndexError> {
    let convert = |error| convert(error, "open", path);
    let mut tables = Vec::with_capacity(Table::ALL.len());
    if access == Access::Write {
        let mut txn = env.write_txn().map_err(convert)?;
        for (_, name) in Table::ALL {
            tables.push(env.create_database(&mut txn, Some(name)).map_err(convert)?);
        }
        txn.commit().map_err(convert)?;
    } else {
        let txn = env.read_txn().map_err(convert)?;
        for (_, name) in Table::ALL {
            let table = env.open_database(&txn, Some(name)).map_err(convert)?;
            tables.push(
                table.ok_or_else(|| IndexError::Format { path: path.to_owned(), found: None })?,
            );
        }
        // The handles of a transaction that is dropped are closed again; this makes them stay.
        txn.commit().map_err(convert)?;
    }
    tables.try_into().map_err(|_| IndexError::Format { path: path.to_owned(), found: None })
}

fn convert(error: heed::Error, doing: &'static str, path: &Path) -> IndexError {
    let path = path.to_owned();
    match error {
        heed::Error::Io(source) => IndexError::Io { doing, path, source },
        heed::Error::EnvAlreadyOpened => IndexError::OpenTwice(path),
        heed::Error::Mdb(error) => match error {
            MdbError::MapFull => IndexError::Full(path),
            MdbError::ReadersFull => IndexError::TooManyReaders(path),
            MdbError::Invalid | MdbError::VersionMismatch => IndexError::Foreign(path),
            MdbError::Corrupted => {
                IndexError::Damaged { path, what: "a page is not what it should be" }
            }
            MdbError::PageNotFound => IndexError::Damaged { path, what: "a page is missing" },
            MdbError::Panic => IndexError::Halted(path),
            MdbError::Other(number) => {
                IndexError::Io { doing, path, source: io::Error::from_raw_os_error(number) }
            }
            MdbError::BadValSize => IndexError::Damaged { path, what: "a key is too long" },
            MdbError::Incompatible | MdbError::BadDbi => {
                IndexError::Damaged { path, what: "a database is of another kind" }
            }
            _ => IndexError::Damaged { path, what: "LMDB refused" },
        },
        heed::Error::Encoding(_) | heed::Error::Decoding(_) => {
            IndexError::Damaged { path, what: "a value cannot be read" }
        }
    }
}

fn open_data(path: &Path) -> Result<File, IndexError> {
    File::open(path.join(DATA_FILE)).map_err(|source| IndexError::Io {
        doing: "read",
        path: path.to_owned(),
        source,
    })
}

fn page_error(path: &Path, fault: PageFault) -> IndexError {
    let path = path.to_owned();
    match fault {
        PageFault::Io(source) => IndexError::Io { doing: "read", path, source },
        PageFault::Damaged(what) => IndexError::Damaged { path, what },
    }
}

fn newest(data: &File, read: ReadAt<'_>) -> Result<Option<Snapshot>, PageFault> {
    Snapshot::newest(read, data.metadata()?.len())
}

/// Looks at the pages that LMDB will believe, before it does.
///
/// A writer beside us may use pages again while we look, but then its state is a newer one: what
/// seems wrong is wrong when it still does and nothing was committed meanwhile.
fn check_before(path: &Path, reach: Reach) -> Result<(), IndexError> {
    let data = match File::open(path.join(DATA_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(page_error(path, source.into())),
        Ok(data) => data,
    };
    let read = |at: u64, buffer: &mut [u8]| data.read_at(buffer, at);
    let mut before = None;
    let mut last = None;
    for _ in 0..CHECK_ATTEMPTS {
        let found = match newest(&data, &read) {
            // Nothing yet, or nothing that LMDB would read: it says so itself.
            Ok(None) => return Ok(()),
            Ok(Some(found)) => found,
            // A meta page that is being written, perhaps.
            Err(fault) => {
                last = Some(fault);
                continue;
            }
        };
        if before == Some(found.transaction) {
            break;
        }
        before = Some(found.transaction);
        match found.check(&read, reach) {
            Ok(()) => return Ok(()),
            Err(fault) => last = Some(fault),
        }
    }
    last.map_or(Ok(()), |fault| Err(page_error(path, fault)))
}

/// Lengthens a file that ends before its last page: to read there is a signal and not an error.
///
/// LMDB does not write pages that one transaction took and gave back, so a sound file may end so, too.
/// What was cut off reads as zeros, which LMDB finds to be no page: the index is damaged then.
fn complete_file(env: &Env<WithoutTls>, path: &Path) -> Result<(), IndexError> {
    let io = |source| IndexError::Io { doing: "open", path: path.to_owned(), source };
    let pages = env.info().last_page_number as u64 + 1;
    let convert = |error| convert(error, "open", path);
    let txn = env.read_txn().map_err(convert)?;
    // The unnamed database is described in the meta page: no other page is read.
    let main: Option<Rows0> = env.open_database(&txn, None).map_err(convert)?;
    let Some(main) = main else { return Ok(()) };
    let page_bytes = u64::from(main.stat(&txn).map_err(convert)?.page_size);
    drop(txn);
    let data = path.join(DATA_FILE);
    let file_bytes = fs::metadata(&data).map_err(io)?.len();
    let missing = pages.saturating_mul(page_bytes).saturating_sub(file_bytes);
    if missing == 0 {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(&data).map_err(io)?;
    let damaged = |_| IndexError::Damaged { path: path.to_owned(), what: "its size is none" };
    let from = libc::off_t::try_from(file_bytes).map_err(damaged)?;
    let missing = libc::off_t::try_from(missing).map_err(damaged)?;
    // SAFETY: fallocate reads no memory; the descriptor is open as long as `file` lives. Unlike
    // ftruncate it never shortens a file that somebody lengthens meanwhile.
    if unsafe { libc::fallocate(file.as_raw_fd(), 0, from, missing) } != 0 {
        return Err(io(io::Error::last_os_error()));
    }
    Ok(())
}

/// Takes the writer's lock, or says who has it.
fn lock_for_writing(path: &Path) -> Result<File, IndexError> {
    let io = |source| IndexError::Io { doing: "lock", path: path.to_owned(), source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join(WRITER_FILE))
        .map_err(io)?;
    // SAFETY: flock reads no memory; the descriptor is open as long as `file` lives.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if result == 0 {
        return Ok(file);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock {
        return Err(IndexError::InUse(path.to_owned()));
    }
    Err(io(error))
}

/// Refuses what LMDB's authors refuse: maps and record locks over a network.
fn refuse_network_mount(path: &Path) -> Result<(), IndexError> {
    use std::os::unix::ffi::OsStrExt;
    let Ok(name) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return Ok(()) };
    let mut facts = core::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `name` ends with a NUL, and `facts` has room for what statfs writes.
    if unsafe { libc::statfs(name.as_ptr(), facts.as_mut_ptr()) } != 0 {
        return Ok(());
    }
    // SAFETY: all zeros is a valid statfs, and the call has filled it.
    let kind = unsafe { facts.assume_init() }.f_type.to_ne_bytes();
    // A long, in which only the low 32 bits count; its sign is an accident of the word size.
    let low = if cfg!(target_endian = "little") { kind.first_chunk() } else { kind.last_chunk() };
    let Some(low) = low.map(|bytes| u32::from_ne_bytes(*bytes)) else { return Ok(()) };
    // NFS, SMB, CIFS, SMB2, AFS, Coda: linux/magic.h, statfs(2).
    let network = [0x6969, 0x517B, 0xFF53_4D42, 0xFE53_4D42, 0x5346_414F, 0x7375_7245];
    if network.contains(&low) {
        return Err(IndexError::NetworkFileSystem(path.to_owned()));
    }
    Ok(())
}

/// Refuses an environment that another library of this process (Python's `lmdb`) has mapped.
fn refuse_foreign_map(path: &Path) -> Result<(), IndexError> {
    let (Ok(path), Ok(maps)) = (path.canonicalize(), fs::read("/proc/self/maps")) else {
        return Ok(());
    };
    let data = path.join(DATA_FILE);
    let wanted = data.as_os_str().as_encoded_bytes();
    let is_mapped = maps.split(|byte| *byte == b'\n').any(|line| line.ends_with(wanted));
    if is_mapped { Err(IndexError::OpenTwice(path)) } else { Ok(()) }
}
