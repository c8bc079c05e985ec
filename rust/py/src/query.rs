//! Queries of a storage area's index for Python callers, beside whatever server has it.
//!
//! The index is opened for reading. Identifiers travel as data sets in Explicit VR Little Endian and
//! are matched by PS3.4's rules (§C.2.2.2), relational queries among them; each page is one short
//! read transaction, so that an iterator that Python forgets holds nothing back. Whatever is asked waits
//! first until all that was acknowledged is in the index (`archive::beside`). Called by
//! `dcmfast.archive.storage_area`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::archive::beside::{Beside, Standing, settle};
use dcmfast_core::archive::layout;
use dcmfast_core::dataset::identifier::{Encoding, Item};
use dcmfast_core::dataset::transfer_syntax::TransferSyntax;
use dcmfast_core::index::answer::{AnswerCharacterSet, Answerer};
use dcmfast_core::index::query::{Model, Purpose, Query, QueryError, RuleSet, Rules};
use dcmfast_core::index::search::{Cursor, Match, Progress};
use dcmfast_core::index::{Access, FileLocation, Index, IndexError, IndexOptions, InstanceRecord};
use dcmfast_core::limits::QUERY_MATCHES_PER_PAGE;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::server::uid;
use crate::signals;

/// Explicit VR Little Endian.
const TRANSFER_SYNTAX: &str = "1.2.840.10008.1.2.1";
/// Patient Root, FIND: the model with every level.
const MODEL: &[u8] = b"1.2.840.10008.5.1.4.1.2.1.1";
/// PS3.4's rules with everything that extended negotiation could add.
const RULES: Rules = Rules {
    set: RuleSet::Standard,
    checks_identifier: false,
    is_relational: true,
    combines_date_time: true,
};

/// Indexes that are open in this process: LMDB allows each once.
static OPEN: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// The index of one storage area, for all objects of this process that read it.
struct Shared {
    directory: PathBuf,
    /// `None` in it where opening it anew failed.
    opened: RwLock<Opened>,
    /// How the index of that number stands to the journal.
    beside: Mutex<Option<(Beside, u64)>>,
}

/// An index, and whose it is: LMDB knows readers by their process, so a forked one opens its own.
struct Opened {
    index: Option<Arc<Index>>,
    /// Another index has another number; what was opened anew in a forked process is the same.
    number: u64,
    process: u32,
}

impl Opened {
    fn of(index: Arc<Index>) -> Self {
        Self { index: Some(index), number: 0, process: std::process::id() }
    }

    /// The index, unless another has taken its place, or it was opened before a fork.
    fn usable(&self) -> Option<&Arc<Index>> {
        self.index.as_ref().filter(|index| !self.is_forked() && index.is_in_place())
    }

    fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }

    /// Opens the index anew, after `between`. All work is done under the lock, so nobody else has the
    /// old one, which is closed before: a process opens an index once.
    fn renew(&mut self, directory: &Path, between: impl FnOnce()) -> Result<(), IndexError> {
        let is_same = self.is_forked() && self.index.as_ref().is_some_and(|own| own.is_in_place());
        self.index = None;
        between();
        let number = self.number + u64::from(!is_same);
        *self = Self { number, ..Self::of(open_index(directory)?) };
        Ok(())
    }
}

impl Shared {
    /// Waits until all that was acknowledged before is in the index, as far as that can be waited for.
    /// `goes_on` is asked now and then, and ends the wait by false.
    fn catch_up(&self, goes_on: &mut dyn FnMut() -> bool) -> Result<(), IndexError> {
        let mut known = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let number = self.with(|_, number| Ok(number))?;
            if known.as_ref().is_none_or(|(_, known)| *known != number) {
                // Who cannot look at the area reads what is there.
                *known = Beside::new(&self.directory).ok().map(|beside| (beside, number));
            }
            let Some((beside, known)) = known.as_mut() else { return Ok(()) };
            let standing = self.with(|index, _| {
                beside.wait(&mut || Ok(index.read()?.counters()?.applied), goes_on)
            })?;
            if standing != Standing::Abandoned {
                return Ok(());
            }
            let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
            opened.renew(&self.directory, || {
                settle(&self.directory);
            })?;
            // The area is the same.
            *known = opened.number;
        }
    }

    /// Does `work` with the index that is in place now, and its number.
    fn with<T>(
        &self,
        work: impl FnOnce(&Arc<Index>, u64) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = opened.usable() {
            return work(index, opened.number);
        }
        drop(opened);
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.usable().is_none() {
            opened.renew(&self.directory, || ())?;
        }
        match &opened.index {
            Some(index) => work(index, opened.number),
            None => Err(IndexError::Missing(self.directory.clone())),
        }
    }
}

fn open_index(directory: &Path) -> Result<Arc<Index>, IndexError> {
    Index::open(&directory.join(layout::INDEX), Access::Read, IndexOptions::default())
}

/// SOP Class UID, SOP Instance UID, Transfer Syntax UID, path, bytes of the file, time of reception
/// in microseconds since 1970, AE title of the sender.
type Row = (String, String, String, OsString, u64, u64, String);

fn index_error(error: &IndexError) -> PyErr {
    PyOSError::new_err(error.to_string())
}

fn query_error(error: &QueryError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn opened(directory: &Path) -> Result<Arc<Shared>, IndexError> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|shared| shared.strong_count() > 0);
    let known = open.iter().filter_map(Weak::upgrade).find(|known| known.directory == directory);
    if let Some(shared) = known {
        return Ok(shared);
    }
    let opened = RwLock::new(Opened::of(open_index(directory)?));
    let beside = Mutex::default();
    let shared = Arc::new(Shared { directory: directory.to_owned(), opened, beside });
    open.push(Arc::downgrade(&shared));
    Ok(shared)
}

/// Waits as [`Shared::catch_up`] does; Python's signal handlers have their turn meanwhile.
fn catch_up(shared: &Shared) -> PyResult<()> {
    let mut raised = None;
    let mut goes_on = || {
        raised = Python::attach(signals::checked).err();
        raised.is_none()
    };
    let outcome = shared.catch_up(&mut goes_on);
    match raised {
        Some(raised) => Err(raised),
        None => outcome.map_err(|error| index_error(&error)),
    }
}

fn encoding() -> PyResult<Encoding> {
    Ok(Encoding::of(TransferSyntax::of(&uid(TRANSFER_SYNTAX)?)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The index of a storage area, open for reading.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct ArchiveIndex {
    shared: Arc<Shared>,
}

#[pymethods]
impl ArchiveIndex {
    /// Opens the index of the storage area in `directory`, a real path.
    #[new]
    fn new(py: Python<'_>, directory: PathBuf) -> PyResult<Self> {
        let shared = py.detach(|| opened(&directory)).map_err(|error| index_error(&error))?;
        // An index that was replaced since another object opened it is found out now.
        py.detach(|| shared.with(|_, _| Ok(()))).map_err(|error| index_error(&error))?;
        Ok(Self { shared })
    }

    /// Numbers of patients, studies, series and instances, and the bytes of their files.
    fn counts(&self, py: Python<'_>) -> PyResult<(u64, u64, u64, u64, u64)> {
        let counters = py.detach(|| {
            catch_up(&self.shared)?;
            let counters = self.shared.with(|index, _| index.read()?.counters());
            counters.map_err(|error| index_error(&error))
        })?;
        Ok((
            counters.patients,
            counters.studies,
            counters.series,
            counters.instances,
            counters.file_bytes,
        ))
    }

    /// Searches as C-FIND does; pages are encoded identifiers, or instances at level IMAGE.
    fn find(&self, py: Python<'_>, identifier: Vec<u8>) -> PyResult<ArchiveSearch> {
        let search = ArchiveSearch {
            shared: Arc::clone(&self.shared),
            identifier,
            place: Mutex::new((Cursor::default(), Progress::More, None)),
        };
        // Said now, and not by the first page.
        search.compiled(encoding()?).map_err(|error| query_error(&error))?;
        py.detach(|| catch_up(&self.shared))?;
        Ok(search)
    }

    /// The instance of this SOP Instance UID, if it is listed.
    fn instance(&self, py: Python<'_>, sop_instance_uid: &str) -> PyResult<Option<Row>> {
        py.detach(|| {
            catch_up(&self.shared)?;
            let found = self.shared.with(|index, _| {
                let reader = index.read()?;
                let record = reader.instance_of(sop_instance_uid.as_bytes())?;
                Ok(record.map(|record| row(&self.shared.directory, &record)))
            });
            found.map_err(|error| index_error(&error))
        })
    }
}

fn row(directory: &Path, record: &InstanceRecord<'_>) -> Row {
    let path = match record.location() {
        FileLocation::Own(number) => directory.join(layout::own_file(number)),
        FileLocation::Relative(path) => directory.join(path),
        FileLocation::Absolute(path) => PathBuf::from(path),
    };
    (
        text(record.sop_class()),
        text(record.sop_instance()),
        text(record.transfer_syntax().as_bytes()),
        path.into_os_string(),
        record.file_bytes(),
        record.received_at_us(),
        text(record.source_ae().as_bytes()),
    )
}

/// A search that is under way.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct ArchiveSearch {
    shared: Arc<Shared>,
    identifier: Vec<u8>,
    /// How far it is, and in which index.
    place: Mutex<(Cursor, Progress, Option<u64>)>,
}

impl ArchiveSearch {
    fn compiled(&self, encoding: Encoding) -> Result<Query<'_>, QueryError> {
        let item = Item::read(&self.identifier, encoding).map_err(QueryError::Identifier)?;
        let model = Model::of(MODEL).ok_or(QueryError::UnknownLevel)?;
        Query::compile(&item, encoding, model, RULES, Purpose::Find)
    }

    /// Gives the matches of the next page to `take`; false when nothing is left.
    fn page(
        &self,
        query: &Query<'_>,
        mut take: impl FnMut(&Match<'_>, &dcmfast_core::index::Reader<'_>) -> Result<(), IndexError>,
    ) -> Result<bool, IndexError> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let (cursor, progress, begun_in) = &mut *place;
        if *progress == Progress::Done {
            return Ok(false);
        }
        self.shared.with(|index, number| {
            if *begun_in.get_or_insert(number) != number {
                // Its numbers are others: to go on would leave out some, and give others twice.
                let path = index.path().to_owned();
                let source = std::io::Error::other("it was made anew meanwhile; search again");
                return Err(IndexError::Io { doing: "go on in", path, source });
            }
            let reader = index.read()?;
            let mut failure = None;
            let mut count = 0;
            *progress = query.page(&reader, cursor, |found| {
                failure = take(found, &reader).err();
                count += 1;
                failure.is_none() && count < QUERY_MATCHES_PER_PAGE
            })?;
            failure.map_or(Ok(true), Err)
        })
    }
}

#[pymethods]
impl ArchiveSearch {
    /// The next identifiers; `None` when nothing is left. A page may be empty.
    fn identifiers<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Bound<'py, PyBytes>>>> {
        let encoding = encoding()?;
        let (found, pages) = py.detach(|| {
            let query = self.compiled(encoding).map_err(|error| query_error(&error))?;
            let policy = AnswerCharacterSet::default();
            let mut answerer = Answerer::new(&query, AeTitle::new(b""), encoding, &policy);
            let mut pages = Vec::new();
            let found = self
                .page(&query, |found, reader| {
                    let mut out = Vec::new();
                    answerer.append(found, reader, &mut out)?;
                    pages.push(out);
                    Ok(())
                })
                .map_err(|error| index_error(&error))?;
            Ok::<_, PyErr>((found, pages))
        })?;
        Ok(found.then(|| pages.iter().map(|page| PyBytes::new(py, page)).collect()))
    }

    /// The next instances; `None` when nothing is left. A page may be empty.
    fn instances(&self, py: Python<'_>) -> PyResult<Option<Vec<Row>>> {
        let encoding = encoding()?;
        py.detach(|| {
            let query = self.compiled(encoding).map_err(|error| query_error(&error))?;
            let mut rows = Vec::new();
            let found = self
                .page(&query, |found, _| {
                    rows.extend(found.instance().map(|record| row(&self.shared.directory, record)));
                    Ok(())
                })
                .map_err(|error| index_error(&error))?;
            Ok(found.then_some(rows))
        })
    }
}
