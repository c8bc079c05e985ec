//! `SendJob` and `Sending`: the files of a sending tool on their way. Nothing is called per file: the
//! front end hands over names, is told kinds, and hands over an association.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use dcmfast_core::client::ClientError;
use dcmfast_core::console::Console;
use dcmfast_core::dataset::rewrite::OutputEncoding;
use dcmfast_core::log::Logger;
use dcmfast_core::sending::invent::Counts;
use dcmfast_core::sending::narration::condition;
use dcmfast_core::sending::{Context, Dialect, Group, Grouping, Job, Plan, Turn, Worker};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::client::{Association, format_named};
use crate::error::{client_error, ending};
use crate::log::EventLog;
use crate::server::{level, uid, unknown};

/// Abstract syntax and transfer syntaxes.
type ContextRow = (String, Vec<String>);

/// What the front end decided; the field names are those of the keyword arguments.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct PlanTable {
    tool: String,
    log_level: String,
    input_format: String,
    is_halting: bool,
    checks_uids: bool,
    repeat: usize,
    prefers_deflated: bool,
    has_new_vrs: bool,
    deflate_level: Option<u32>,
    renames: bool,
    has_dots: bool,
    /// Instances of a series, series of a study, studies of a patient.
    invention: Option<(u64, u64, u64)>,
    reads_dicomdir: bool,
}

/// All files of a run, and what came of them.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct SendJob {
    job: RwLock<Arc<Job>>,
    groups: Mutex<Vec<Arc<Group>>>,
}

fn context(row: &ContextRow) -> PyResult<Context> {
    let syntaxes = row.1.iter().map(|text| uid(text)).collect::<PyResult<_>>()?;
    Ok((uid(&row.0)?, syntaxes))
}

fn contexts(rows: &[ContextRow]) -> PyResult<Vec<Context>> {
    rows.iter().map(context).collect()
}

impl SendJob {
    fn job(&self) -> RwLockReadGuard<'_, Arc<Job>> {
        self.job.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn group_at(&self, at: usize) -> PyResult<Arc<Group>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(at).cloned().ok_or_else(|| PyValueError::new_err("no such group"))
    }
}

#[pymethods]
impl SendJob {
    /// A job without files, which tells what happens to `events`, or to standard error.
    #[new]
    #[pyo3(signature = (events=None, **plan))]
    fn new(events: Option<Bound<'_, EventLog>>, plan: Option<Bound<'_, PyDict>>) -> PyResult<Self> {
        let Some(plan) = plan else { return Err(PyValueError::new_err("no plan was given")) };
        let table: PlanTable = plan.extract()?;
        let logger = match events {
            Some(events) => Arc::clone(&events.get().logger),
            None => Arc::new(Logger::new(level(&table.log_level)?, Arc::new(Console))),
        };
        let plan = Plan {
            dialect: match &*table.tool {
                "storescu" => Dialect::Storescu,
                "dcmsend" => Dialect::Dcmsend,
                other => return Err(unknown("sending tool", other)),
            },
            format: format_named(&table.input_format)?,
            is_halting: table.is_halting,
            checks_uids: table.checks_uids,
            repeat: table.repeat,
            prefers_deflated: table.prefers_deflated,
            encoding: OutputEncoding {
                has_new_vrs: table.has_new_vrs,
                deflate_level: table.deflate_level,
                ..OutputEncoding::CONVERSION
            },
            renames: table.renames,
            has_dots: table.has_dots,
            invention: table.invention.map(|(instances, series, studies)| Counts {
                instances,
                series,
                studies,
            }),
            reads_dicomdir: table.reads_dicomdir,
        };
        let job = RwLock::new(Arc::new(Job::new(plan, logger)));
        Ok(Self { job, groups: Mutex::new(Vec::new()) })
    }

    /// Looks at files and takes them in, up to the first that cannot be sent: gives its place in
    /// `paths`, why, and whether it could not be opened at all. None when all were taken.
    fn add(&self, py: Python<'_>, paths: Vec<PathBuf>) -> PyResult<Option<(usize, String, bool)>> {
        py.detach(|| {
            let mut guard = self.job.write().unwrap_or_else(PoisonError::into_inner);
            let job = Arc::get_mut(&mut guard)
                .ok_or_else(|| PyRuntimeError::new_err("the files are on their way"))?;
            for (at, path) in paths.into_iter().enumerate() {
                if let Err(bad) = job.add(path) {
                    return Ok(Some((at, bad.reason, bad.is_missing)));
                }
            }
            Ok(None)
        })
    }

    /// Number of files.
    fn __len__(&self) -> usize {
        self.job().len()
    }

    /// SOP class and transfer syntax of the files, each kind once, in the order of the files.
    fn kinds(&self) -> Vec<(String, String)> {
        let job = self.job();
        job.kinds().iter().map(|(class, syntax)| (class.to_string(), syntax.to_string())).collect()
    }

    /// Puts the files into groups, one for each association: of each kind the contexts it needs, or
    /// None where nothing can be proposed; contexts that every group has, and those that fill up a
    /// single one. Gives contexts and number of files of each group.
    #[pyo3(signature = (needed, *, fixed, spare, in_order))]
    fn group(
        &self,
        needed: Vec<Option<Vec<ContextRow>>>,
        fixed: Vec<ContextRow>,
        spare: Vec<ContextRow>,
        in_order: bool,
    ) -> PyResult<Vec<(Vec<ContextRow>, usize)>> {
        let refused: Vec<bool> = needed.iter().map(Option::is_none).collect();
        let rows = needed.iter().map(|rows| contexts(rows.as_deref().unwrap_or_default()));
        let rows = rows.collect::<PyResult<Vec<_>>>()?;
        let grouping = if in_order { Grouping::InOrder } else { Grouping::ByKind };
        let (fixed, spare) = (contexts(&fixed)?, contexts(&spare)?);
        let groups = self.job().group(&rows, &refused, (&fixed, &spare), grouping);
        let texts = |(class, syntaxes): &Context| {
            (class.to_string(), syntaxes.iter().map(ToString::to_string).collect())
        };
        let shown = |group: &Group| (group.contexts.iter().map(texts).collect(), group.len());
        let answer = groups.iter().map(shown).collect();
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) =
            groups.into_iter().map(Arc::new).collect();
        Ok(answer)
    }

    /// The peer has no context for any file of a group.
    fn refuse(&self, group: usize) -> PyResult<()> {
        self.job().refuse(&*self.group_at(group)?);
        Ok(())
    }

    /// An association for a group begins; gives its number.
    fn begin_association(&self, group: usize) -> PyResult<u32> {
        Ok(self.job().begin_association(self.group_at(group)?.contexts.len()))
    }

    /// No worker begins another file.
    fn end(&self) {
        self.job().end();
    }

    /// Files dealt with so far, repetitions counted.
    fn done(&self) -> usize {
        self.job().done()
    }

    /// DCMTK's summary of what came of the files.
    fn summary(&self) -> String {
        self.job().summary()
    }

    /// The same in numbers, by name.
    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let totals = self.job().totals();
        let table = PyDict::new(py);
        for (name, count) in [
            ("files", totals.instances),
            ("associations", totals.associations),
            ("contexts", totals.contexts),
            ("answered", totals.sent()),
            ("stored", totals.succeeded),
            ("stored_with_warning", totals.warned),
            ("refused", totals.errors + totals.refused + totals.unknown),
            ("no_context", totals.no_context),
            ("unsent", totals.instances - totals.sent() - totals.no_context),
        ] {
            table.set_item(name, count)?;
        }
        table.set_item("bytes", totals.bytes)?;
        Ok(table)
    }

    /// `count` files of DCMTK's report from the `first`.
    fn report(&self, py: Python<'_>, first: usize, count: usize) -> String {
        py.detach(|| self.job().report(first, count))
    }

    /// The same as JSON objects with commas between them.
    fn json(&self, py: Python<'_>, first: usize, count: usize) -> String {
        py.detach(|| self.job().json(first, count))
    }
}

/// How a turn ended: a word, a status, DCMTK's condition in number and words, and what the peer did.
type Turned = (&'static str, u16, String, String, String);

/// A group's files on one association.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct Sending {
    association: Py<Association>,
    worker: Mutex<Worker>,
}

#[pymethods]
impl Sending {
    /// Files of a group, on an association with this number.
    #[new]
    fn new(
        job: &Bound<'_, SendJob>,
        group: usize,
        association: Bound<'_, Association>,
        number: u32,
    ) -> PyResult<Self> {
        let py = job.py();
        let (job, group) = (Arc::clone(&*job.get().job()), job.get().group_at(group)?);
        let worker = association
            .get()
            .inspect(py, |requestor| Worker::new(job, group, number, requestor))?;
        Ok(Self { association: association.unbind(), worker: Mutex::new(worker) })
    }

    /// Sends files for so many seconds at most: gives how the turn ended, a status, and words.
    ///
    /// `done`; `more`; `refused` and the status; `halted` and DCMTK's condition and words; or how the
    /// association was lost: `aborted`, `released`, `timeout`, `protocol`, the condition, and last what
    /// the peer did.
    #[pyo3(signature = (seconds=None))]
    fn turn(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<Turned> {
        let until = seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(|patience| Instant::now() + patience);
        let turn = self.association.get().with(py, |requestor| {
            let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(worker.turn(requestor, until))
        })?;
        let nothing = String::new;
        let lost = match turn {
            Turn::Done => return Ok(("done", 0, nothing(), nothing(), nothing())),
            Turn::More => return Ok(("more", 0, nothing(), nothing(), nothing())),
            Turn::Refused(status) => {
                return Ok(("refused", status.0, nothing(), nothing(), nothing()));
            }
            Turn::Halted(code, words) => return Ok(("halted", 0, code, words, nothing())),
            Turn::Lost(error) => error,
        };
        let condition = condition(&lost);
        let (code, words) = condition.split_once(' ').unwrap_or((&condition, ""));
        let word = match &lost {
            ClientError::Interrupted => return Err(client_error(lost)),
            ClientError::PeerReleased => "released",
            ClientError::PeerAborted(_) | ClientError::PeerGone(_) => "aborted",
            ClientError::TimedOut => "timeout",
            _ => "protocol",
        };
        let did = ending(&lost).unwrap_or_default();
        Ok((word, 0, code.to_owned(), words.to_owned(), did))
    }
}
