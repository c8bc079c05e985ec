//! The tools of an index for `dcmfast.archive.index`: look, compare, make anew, export, import,
//! register files.
//!
//! Long work runs without the interpreter. Ten times a second at most it lets Python's signal
//! handlers run and says how far it is; an exception of theirs ends it, and nothing is half done.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use dcmfast_core::archive::exchange::{self, Arrivals};
use dcmfast_core::archive::layout;
use dcmfast_core::archive::maintenance::{self, Step, ToolError};
use dcmfast_core::archive::rebuild::{self, RebuildOptions};
use dcmfast_core::archive::register::{self, Registered};
use dcmfast_core::archive::verify::{self, Depth, VerifyOptions};
use dcmfast_core::console::Console;
use dcmfast_core::index::attributes::{Level, tags};
use dcmfast_core::index::{FileLocation, Index, InstanceEntry};
use dcmfast_core::log::Logger;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::IndexToolError;
use crate::server::level;
use crate::signals::{self, SIGNAL_CHECK};

fn logger(name: &str) -> PyResult<Arc<Logger>> {
    Ok(Arc::new(Logger::new(level(name)?, Arc::new(Console))))
}

/// An error as Python catches it: a word for what kind it is, and the text.
fn tool_error(error: &ToolError) -> PyErr {
    let kind = match error {
        ToolError::InUse(_) => "in-use",
        ToolError::NoIndex(_) => "no-index",
        ToolError::Unusable { .. } => "unusable",
        ToolError::Stream(_) => "stream",
        _ => "failed",
    };
    IndexToolError::new_err((kind, error.to_string()))
}

fn index_error(directory: &Path, error: dcmfast_core::index::IndexError) -> PyErr {
    tool_error(&maintenance::index_error(directory, error))
}

/// Shows progress to Python and keeps what it raises.
struct Watcher {
    watch: Py<PyAny>,
    asked: Instant,
    last: Option<Step>,
    raised: Option<PyErr>,
}

impl Watcher {
    fn new(watch: Py<PyAny>) -> Self {
        Self { watch, asked: Instant::now(), last: None, raised: None }
    }

    fn step(&mut self, step: Step) -> bool {
        let is_other = self.last.is_none_or(|last| last.phase != step.phase);
        self.last = Some(step);
        if !is_other && self.asked.elapsed() < SIGNAL_CHECK {
            return true;
        }
        self.asked = Instant::now();
        self.ask(step)
    }

    fn ask(&mut self, step: Step) -> bool {
        let outcome = Python::attach(|py| {
            py.check_signals()?;
            self.watch.call1(py, (step.phase, step.done, step.total)).map(|_| ())
        });
        self.raised = outcome.err();
        self.raised.is_none()
    }

    /// The outcome of the work, after a last word on how far it came.
    fn finish<T>(mut self, outcome: Result<T, ToolError>) -> PyResult<T> {
        if let (Ok(_), Some(last)) = (&outcome, self.last) {
            self.ask(last);
        }
        match (outcome, self.raised) {
            (Ok(value), _) => Ok(value),
            (Err(ToolError::Cancelled), Some(raised)) => Err(raised),
            (Err(error), _) => Err(tool_error(&error)),
        }
    }
}

/// The index of the area in `directory` with all that was acknowledged, and whether that is so; Python's
/// signal handlers have their turn while that is waited for.
fn open_current(directory: &Path) -> PyResult<(Arc<Index>, bool)> {
    let mut raised = None;
    let mut goes_on = || {
        raised = Python::attach(signals::checked).err();
        raised.is_none()
    };
    let opened = maintenance::open_current(directory, &mut goes_on);
    match raised {
        Some(raised) => Err(raised),
        None => opened.map_err(|error| tool_error(&error)),
    }
}

/// Totals of the index of the area in `directory`, and what it takes.
#[pyfunction]
pub fn index_totals(py: Python<'_>, directory: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let (counters, used_bytes, has_journal, is_current) = py.detach(|| {
        let (index, is_current) = open_current(&directory)?;
        let counters = index
            .read()
            .and_then(|reader| reader.counters())
            .map_err(|error| index_error(&directory, error))?;
        let used = index.used_bytes().map_err(|error| index_error(&directory, error))?;
        let has_journal =
            maintenance::has_unapplied(&directory).map_err(|error| tool_error(&error))?;
        Ok::<_, PyErr>((counters, used, has_journal, is_current))
    })?;
    let totals = PyDict::new(py);
    totals.set_item("patients", counters.patients)?;
    totals.set_item("studies", counters.studies)?;
    totals.set_item("series", counters.series)?;
    totals.set_item("instances", counters.instances)?;
    totals.set_item("file_bytes", counters.file_bytes)?;
    totals.set_item("index_bytes", used_bytes)?;
    totals.set_item("applied", counters.applied)?;
    totals.set_item("journal_has_records", has_journal)?;
    totals.set_item("is_current", is_current)?;
    Ok(totals)
}

/// Compares the index with its files; `report` is called with (problem, path, SOP Instance UID,
/// text, repaired) of each finding, `watch` with (phase, done, total).
#[pyfunction]
#[pyo3(signature = (directory, *, depth, repair, threads, log_level, report, watch))]
#[allow(clippy::too_many_arguments)] // keywords in Python
pub fn verify_index<'py>(
    py: Python<'py>,
    directory: PathBuf,
    depth: &str,
    repair: bool,
    threads: Option<usize>,
    log_level: &str,
    report: Py<PyAny>,
    watch: Py<PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut options = VerifyOptions::new(logger(log_level)?);
    options.depth = match depth {
        "metadata" => Depth::Metadata,
        "digest" => Depth::Digest,
        "full" => Depth::Full,
        other => return Err(PyValueError::new_err(format!("no depth named {other:?}"))),
    };
    options.repairs = repair;
    options.threads = threads.unwrap_or(options.threads);
    let mut watcher = Watcher::new(watch);
    let mut raised = None;
    let outcome = py.detach(|| {
        let mut show = |finding: &verify::Finding| {
            let uid = finding.sop_instance.map(text);
            let row = (
                finding.problem.name(),
                layout::display_name(&finding.location),
                uid,
                finding.problem.to_string(),
                finding.is_repaired,
            );
            let shown = Python::attach(|py| report.call1(py, row).map(|_| ()));
            if let Err(error) = shown {
                raised.get_or_insert(error);
            }
        };
        verify::verify(&directory, &options, &mut show, &mut |step| watcher.step(step))
    });
    let done = watcher.finish(outcome)?;
    if let Some(error) = raised {
        return Err(error);
    }
    let counts = PyDict::new(py);
    for (name, count) in [
        ("instances", done.instances),
        ("bytes", done.bytes),
        ("files", done.files),
        ("others", done.others),
        ("pending", done.pending),
        ("findings", done.findings),
        ("repaired", done.repaired),
    ] {
        counts.set_item(name, count)?;
    }
    Ok(counts)
}

/// Makes the index anew; `report` is called with (reason, path, text) of each file left out.
#[pyfunction]
#[pyo3(signature = (directory, *, outside, threads, log_level, report, watch))]
#[allow(clippy::too_many_arguments)] // keywords in Python
pub fn rebuild_index<'py>(
    py: Python<'py>,
    directory: PathBuf,
    outside: Vec<String>,
    threads: Option<usize>,
    log_level: &str,
    report: Py<PyAny>,
    watch: Py<PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut options = RebuildOptions::new(logger(log_level)?);
    options.outside = outside;
    options.threads = threads.unwrap_or(options.threads);
    let mut watcher = Watcher::new(watch);
    let mut raised = None;
    let outcome = py.detach(|| {
        let mut show = |left_out: rebuild::LeftOut| {
            let row = (
                left_out.why.name(),
                layout::display_name(&left_out.location),
                left_out.why.to_string(),
            );
            let shown = Python::attach(|py| report.call1(py, row).map(|_| ()));
            if let Err(error) = shown {
                raised.get_or_insert(error);
            }
        };
        rebuild::rebuild(&directory, &options, &mut show, &mut |step| watcher.step(step))
    });
    let done = watcher.finish(outcome)?;
    if let Some(error) = raised {
        return Err(error);
    }
    let counts = PyDict::new(py);
    for (name, count) in [
        ("files", done.files),
        ("instances", done.instances),
        ("duplicates", done.duplicates),
        ("damaged", done.damaged),
        ("undeleted", done.undeleted),
        ("others", done.others),
    ] {
        counts.set_item(name, count)?;
    }
    Ok(counts)
}

/// Writes the index of an area to the file `target`; returns the number of its entries.
#[pyfunction]
pub fn export_index(
    py: Python<'_>,
    directory: PathBuf,
    target: PathBuf,
    watch: Py<PyAny>,
) -> PyResult<u64> {
    let mut watcher = Watcher::new(watch);
    let outcome =
        py.detach(|| exchange::export(&directory, &target, &mut |step| watcher.step(step)));
    watcher.finish(outcome)
}

/// Makes the index of an area from the exported one in `source`; returns its instances.
#[pyfunction]
pub fn import_index(
    py: Python<'_>,
    directory: PathBuf,
    source: PathBuf,
    log_level: &str,
    watch: Py<PyAny>,
) -> PyResult<u64> {
    let logger = logger(log_level)?;
    let mut watcher = Watcher::new(watch);
    let outcome = py
        .detach(|| exchange::import(&directory, &source, &logger, &mut |step| watcher.step(step)));
    watcher.finish(outcome)
}

fn text(uid: dcmfast_core::uid::UidText) -> String {
    String::from_utf8_lossy(uid.as_bytes()).into_owned()
}

/// A listed instance: its number in order of arrival; own, relative or absolute, and the path; bytes
/// of the file; microseconds of its reception; whether it was looked at before; attributes by tag.
type Instance<'py> = (u64, &'static str, String, u64, u64, bool, Bound<'py, PyDict>);

/// A listed study: its number in order of arrival, UID, patient ID, patient name, Specific Character Set of these, instances, bytes,
/// microseconds of the last reception.
type Study<'py> = (
    u64,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    u64,
    u64,
    u64,
);

/// The index of an area, for reading, beside whoever writes it: with all that was acknowledged.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct IndexReader {
    directory: PathBuf,
    index: Arc<Index>,
}

#[pymethods]
impl IndexReader {
    #[new]
    fn new(py: Python<'_>, directory: PathBuf) -> PyResult<Self> {
        let (index, _) = py.detach(|| open_current(&directory))?;
        Ok(Self { directory, index })
    }

    /// A cursor over all instances in the order of their arrival.
    fn instances(&self) -> InstanceCursor {
        let arrivals = Arrivals::new(Arc::clone(&self.index), 0);
        InstanceCursor { directory: self.directory.clone(), arrivals }
    }

    /// The studies that were received to longest ago, first.
    fn studies<'py>(&self, py: Python<'py>) -> PyResult<Vec<Study<'py>>> {
        let failed = |error| index_error(&self.directory, error);
        let reader = self.index.read().map_err(failed)?;
        let mut studies = Vec::new();
        for aged in reader.oldest_studies().map_err(failed)? {
            let (last_reception_us, id) = aged.map_err(failed)?;
            let Some(study) = reader.entity(Level::Study, id).map_err(failed)? else { continue };
            let value = |tag| PyBytes::new(py, study.attributes().value(tag));
            studies.push((
                id,
                value(tags::STUDY_INSTANCE_UID),
                value(tags::PATIENT_ID),
                value(tags::PATIENT_NAME),
                value(tags::SPECIFIC_CHARACTER_SET),
                study.instance_count(),
                study.file_bytes(),
                last_reception_us,
            ));
        }
        Ok(studies)
    }
}

/// Goes through the instances of an index.
#[pyclass(module = "dcmfast._rust")]
pub struct InstanceCursor {
    directory: PathBuf,
    arrivals: Arrivals,
}

#[pymethods]
impl InstanceCursor {
    /// The next instances, some thousand at most; none at the end.
    fn page<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Instance<'py>>> {
        let arrivals = &mut self.arrivals;
        let entries = py
            .detach(|| {
                let mut entries = Vec::new();
                // A page whose instances all went meanwhile is not the end.
                while entries.is_empty()
                    && arrivals.page(&mut |reader, record| {
                        let entry = exchange::entry_of(reader, record)?;
                        let is_reviewed = reader.is_reviewed(record.sop_instance())?;
                        let number = record.key().number;
                        entries.extend(entry.map(|entry| (number, is_reviewed, entry)));
                        Ok::<_, dcmfast_core::index::IndexError>(())
                    })?
                {}
                Ok(entries)
            })
            .map_err(|error| index_error(&self.directory, error))?;
        let row = |(number, is_reviewed, entry): (u64, bool, InstanceEntry)| {
            let attributes = PyDict::new(py);
            for (tag, value) in entry.attributes.as_ref().iter() {
                attributes.set_item(tag.0, PyBytes::new(py, value))?;
            }
            let kind = match entry.location {
                FileLocation::Own(_) => "own",
                FileLocation::Relative(_) => "relative",
                FileLocation::Absolute(_) => "absolute",
            };
            let path = layout::display_name(&entry.location);
            let (bytes, received_us) = (entry.file_bytes, entry.received_at_us);
            Ok((number, kind, path, bytes, received_us, is_reviewed, attributes))
        };
        entries.into_iter().map(row).collect()
    }
}

/// Lists files in the index of an area where they are.
#[pyclass(module = "dcmfast._rust")]
pub struct Registrar {
    inner: Option<register::Registrar>,
}

#[pymethods]
impl Registrar {
    #[new]
    fn new(py: Python<'_>, directory: PathBuf, log_level: &str) -> PyResult<Self> {
        let logger = logger(log_level)?;
        let opened = py.detach(|| register::Registrar::open(&directory, logger));
        opened.map(|inner| Self { inner: Some(inner) }).map_err(|error| tool_error(&error))
    }

    /// Lists the file at an absolute path: ("listed", ""), ("replaced", path of what was listed) or
    /// ("refused", why).
    fn register(
        &mut self,
        py: Python<'_>,
        path: &str,
        is_reviewed: bool,
    ) -> PyResult<(&'static str, String)> {
        let Some(inner) = &mut self.inner else {
            return Err(PyValueError::new_err("the registrar is closed"));
        };
        let outcome =
            py.detach(|| inner.register(path, is_reviewed)).map_err(|error| tool_error(&error))?;
        Ok(match outcome {
            Registered::Listed => ("listed", String::new()),
            Registered::InPlaceOf(previous) => ("replaced", layout::display_name(&previous)),
            Registered::Unlistable(error) => ("refused", error.to_string()),
        })
    }

    /// Ends the work.
    fn close(&mut self, py: Python<'_>) -> PyResult<()> {
        match self.inner.take() {
            Some(inner) => py.detach(|| inner.close()).map_err(|error| tool_error(&error)),
            None => Ok(()),
        }
    }
}
