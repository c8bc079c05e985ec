//! `LoadRun`: the load generator for its front end. Nothing is called per operation: the front end
//! asks for progress when it likes, and for the figures at the end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::client::Proposal;
use dcmfast_core::limits::{
    LOAD_ASSOCIATIONS_MAX, LOAD_COUNT_MAX, LOAD_ENTITIES_MAX, LOAD_FILES_MAX, LOAD_PIXEL_BYTES_MAX,
};
use dcmfast_core::load::audit::{Audit, Report};
use dcmfast_core::load::histogram::Histogram;
use dcmfast_core::load::ledger::{self, Found, LedgerError};
use dcmfast_core::load::recipe::{Kind, Recipe};
use dcmfast_core::load::source::Source;
use dcmfast_core::load::{Action, EndedBy, Level, Outcome, Plan, Run, Shared};
use dcmfast_core::net::tcp::{StopFlag, TransportOptions, resolve};
use dcmfast_core::storage::backend::open_for_reading;
use pyo3::exceptions::{PyPermissionError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::error::{ConnectError, os_error};
use crate::tls::TlsContext;

enum Phase {
    Running(Run),
    Between,
    Auditing(Audit),
}

/// A run of the load generator; begins at once.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct LoadRun {
    shared: Arc<Shared>,
    phase: Mutex<Phase>,
    /// Of the ledger that was read, where one was.
    found: Option<Found>,
}

fn named<T: Copy>(what: &str, word: &str, table: &[(&str, T)]) -> PyResult<T> {
    let found = table.iter().find(|(name, _)| *name == word);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| PyValueError::new_err(format!("no {what} {word:?}")))
}

const LEVELS: &[(&str, Level)] =
    &[("study", Level::Study), ("series", Level::Series), ("image", Level::Image)];
const KINDS: &[(&str, Kind)] = &[("ct", Kind::Ct), ("mr", Kind::Mr), ("sc", Kind::Sc)];

#[pymethods]
impl LoadRun {
    /// Resolves the host, looks at the files, and begins.
    ///
    /// Raises ConnectError for an unknown host, PermissionError for one that is not this one unless
    /// `allows_remote`, ValueError for a file that cannot be stored or a number out of its bounds. With
    /// a `ledger` nothing is begun: what stands behind its first line is entered, and audited later;
    /// OSError or ValueError if that is none.
    #[new]
    #[pyo3(signature = (
        host, port, *, allows_remote, calling, called, max_pdu_bytes, connect_timeout_s,
        acse_timeout_s, dimse_timeout_s, tcp_no_delay, tcp_buffer_bytes, mix, seed, files, kind,
        pixel_bytes, patients, studies, series, count, duration_s, associations, per_association,
        rate, known, find_level, retrieve_level, destination, tls=None, ledger=None,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        allows_remote: bool,
        calling: &str,
        called: &str,
        max_pdu_bytes: u32,
        connect_timeout_s: u32,
        acse_timeout_s: u32,
        dimse_timeout_s: u32,
        tcp_no_delay: bool,
        tcp_buffer_bytes: Option<usize>,
        mix: Vec<(String, u32)>,
        seed: u64,
        files: Vec<PathBuf>,
        kind: &str,
        pixel_bytes: Vec<u64>,
        patients: u32,
        studies: u32,
        series: u32,
        count: u32,
        duration_s: u32,
        associations: usize,
        per_association: u32,
        rate: Option<f64>,
        known: u32,
        find_level: &str,
        retrieve_level: &str,
        destination: Option<&str>,
        tls: Option<Bound<'_, TlsContext>>,
        ledger: Option<PathBuf>,
    ) -> PyResult<Self> {
        let entities = 1..=LOAD_ENTITIES_MAX;
        let is_bounded = (1..=LOAD_COUNT_MAX).contains(&count)
            && known <= LOAD_COUNT_MAX
            && (1..=LOAD_ASSOCIATIONS_MAX).contains(&associations)
            && [patients, studies, series].iter().all(|one| entities.contains(one))
            && studies.checked_mul(series).is_some()
            && !pixel_bytes.is_empty()
            && pixel_bytes.iter().all(|bytes| *bytes <= LOAD_PIXEL_BYTES_MAX)
            && files.len() <= LOAD_FILES_MAX
            && rate.is_none_or(|rate| rate.is_finite() && rate >= 0.001);
        if !is_bounded {
            return Err(PyValueError::new_err("a number is out of its bounds"));
        }
        let actions = Action::ALL.map(|action| (action.text(), action));
        let mix = mix.iter().map(|(word, parts)| Ok((named("action", word, &actions)?, *parts)));
        let mix = mix.collect::<PyResult<Vec<_>>>()?;
        let kind = named("kind", kind, KINDS)?;
        let find_level = named("level", find_level, LEVELS)?;
        let retrieve_level = named("level", retrieve_level, LEVELS)?;
        let seconds = |s: u32| Some(Duration::from_secs(u64::from(s)));
        let proposal = Proposal {
            calling: AeTitle::new(calling.as_bytes()),
            called: AeTitle::new(called.as_bytes()),
            contexts: Vec::new(),
            roles: Vec::new(),
            extended_negotiation: Vec::new(),
            user_identity: None,
            max_pdu_bytes,
            max_send_pdu_bytes: None,
            tls: tls.map(|tls| tls.get().context.clone()),
            transport: TransportOptions { no_delay: tcp_no_delay, buffer_bytes: tcp_buffer_bytes },
            connect_timeout: seconds(connect_timeout_s),
            acse_timeout: seconds(acse_timeout_s),
            dimse_timeout: seconds(dimse_timeout_s),
            socket_timeout: seconds(dimse_timeout_s),
            stop: Some(StopFlag::default()),
            interrupted: None,
            is_shown_in_detail: false,
        };
        let destination = destination.map(|title| AeTitle::new(title.as_bytes()));
        let (shared, phase, found) = py.detach(|| -> PyResult<_> {
            let addresses = resolve(host, port)
                .map_err(|_| ConnectError::new_err(format!("unknown host: {host}")))?;
            let remote =
                addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
            if let Some(remote) = remote.filter(|_| !allows_remote) {
                return Err(PyPermissionError::new_err(remote.ip().to_string()));
            }
            let source = if files.is_empty() {
                let recipe = Recipe { seed, kind, pixel_bytes, patients, studies, series };
                Source::Recipe(recipe)
            } else {
                let files = Source::of_files(files);
                files.map_err(|error| PyValueError::new_err(error.to_string()))?
            };
            // A run that only audits has a store for each object.
            let count = match &source {
                Source::Files { files, .. } if ledger.is_some() => files.len() as u32,
                _ => count,
            };
            let plan = Plan {
                addresses,
                proposal,
                source,
                mix,
                seed,
                count,
                duration: Duration::from_secs(u64::from(duration_s)),
                associations,
                per_association,
                rate,
                known,
                find_level,
                retrieve_level,
                destination,
            };
            let Some(path) = ledger else {
                let run = Run::start(plan).map_err(|error| os_error(&error))?;
                return Ok((Arc::clone(run.shared()), Phase::Running(run), None));
            };
            let shared = Shared::at_rest(plan);
            let found = entered(&path, &shared)?;
            Ok((shared, Phase::Between, Some(found)))
        })?;
        Ok(Self { shared, phase: Mutex::new(phase), found })
    }

    /// Of the ledger that was read: its lines, those of strange objects, and whether it was cut.
    fn ledger_found(&self) -> (u64, u64, bool) {
        let found = self.found.unwrap_or_default();
        (found.stores, found.strange, found.is_cut)
    }

    /// Operations done, failed, and bytes of data sets, so far.
    fn progress(&self) -> (u64, u64, u64) {
        self.shared.progress()
    }

    /// Series that the audit has compared, and all.
    fn audit_progress(&self) -> (u64, u64) {
        match &*self.lock() {
            Phase::Auditing(audit) => audit.progress(),
            _ => (0, 0),
        }
    }

    /// Waits until run or audit is over, or for so many seconds; true if it is over.
    fn wait(&self, py: Python<'_>, seconds: f64) -> bool {
        let patience = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        py.detach(|| self.shared.wait(patience))
    }

    /// Lets what is in hand come to its end, and ends; called again, ends at once.
    fn stop(&self) {
        self.shared.stop.raise();
    }

    /// The figures of the run, which must be over; nothing where a ledger was read.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        match self.take() {
            Phase::Between if self.found.is_some() => {
                outcome_of(py, &self.shared, &Outcome::default())
            }
            Phase::Running(run) => {
                let outcome = py.detach(|| run.finish());
                outcome_of(py, &self.shared, &outcome)
            }
            _ => Err(PyRuntimeError::new_err("no run under way")),
        }
    }

    /// Begins to compare what the peer has with the ledger.
    fn start_audit(&self) -> PyResult<()> {
        let mut phase = self.lock();
        if !matches!(*phase, Phase::Between) {
            return Err(PyRuntimeError::new_err("the run is not over"));
        }
        *phase = Phase::Auditing(Audit::start(&self.shared).map_err(|error| os_error(&error))?);
        Ok(())
    }

    /// What the audit found; it must be over.
    fn finish_audit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        match self.take() {
            Phase::Auditing(audit) => report_of(py, &py.detach(|| audit.finish())),
            _ => Err(PyRuntimeError::new_err("no audit under way")),
        }
    }

    /// The ledger as text, at most `count` stores from the `first` on, and the one that comes next. Of
    /// a run that goes on it ends where something is still to come.
    fn ledger<'py>(
        &self,
        py: Python<'py>,
        first: u32,
        count: u32,
        is_over: bool,
    ) -> (Bound<'py, PyBytes>, u32) {
        let (text, next) = py.detach(|| ledger::lines(&self.shared, first, count, is_over));
        (PyBytes::new(py, text.as_bytes()), next)
    }
}

/// Reads a ledger from behind its first line.
fn entered(path: &Path, shared: &Shared) -> PyResult<Found> {
    let mut input = BufReader::new(open_for_reading(path).map_err(|error| os_error(&error))?);
    input.skip_until(b'\n').map_err(|error| os_error(&error))?;
    ledger::read(input, shared).map_err(|error| match error {
        LedgerError::Io(error) => os_error(&error),
        LedgerError::Line(_) => PyValueError::new_err(format!("{}: {error}", path.display())),
    })
}

impl LoadRun {
    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Phase {
        std::mem::replace(&mut *self.lock(), Phase::Between)
    }
}

/// Microseconds with their fraction.
#[allow(clippy::cast_precision_loss)]
fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

fn histogram_of<'py>(py: Python<'py>, histogram: &Histogram) -> PyResult<Bound<'py, PyDict>> {
    let table = PyDict::new(py);
    let (min, max) = histogram.range_ns();
    table.set_item("count", histogram.count())?;
    table.set_item("min", microseconds(min))?;
    table.set_item("mean", histogram.mean_ns() / 1000.0)?;
    for (name, quantile) in
        [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("p9999", 0.9999)]
    {
        table.set_item(name, microseconds(histogram.quantile_ns(quantile)))?;
    }
    table.set_item("max", microseconds(max))?;
    let buckets = histogram.buckets().map(|(edge, count)| (microseconds(edge), count));
    table.set_item("buckets", PyList::new(py, buckets.collect::<Vec<_>>())?)?;
    Ok(table)
}

#[allow(clippy::cast_precision_loss)]
fn outcome_of<'py>(
    py: Python<'py>,
    shared: &Shared,
    outcome: &Outcome,
) -> PyResult<Bound<'py, PyDict>> {
    let table = PyDict::new(py);
    let tally = &outcome.tally;
    table.set_item("elapsed_s", outcome.elapsed.as_secs_f64())?;
    table.set_item("begun", outcome.begun)?;
    table.set_item("overdue", outcome.overdue)?;
    let ended_by = match outcome.ended_by {
        EndedBy::Count => "count",
        EndedBy::Duration => "duration",
        EndedBy::Stop => "stop",
        EndedBy::GaveUp => "gave-up",
    };
    table.set_item("ended_by", ended_by)?;
    table.set_item("gave_up", tally.gave_up.as_deref())?;
    let actions = PyDict::new(py);
    for (action, figures) in &tally.actions {
        let one = PyDict::new(py);
        one.set_item("succeeded", figures.succeeded)?;
        one.set_item("warned", figures.warned)?;
        one.set_item("failed", figures.failed)?;
        one.set_item("objects", figures.objects)?;
        one.set_item("bytes", figures.bytes)?;
        let statuses = figures.statuses.iter().map(|(code, count)| (format!("{code:04X}"), *count));
        let counts = PyDict::new(py);
        for (code, count) in statuses {
            counts.set_item(code, count)?;
        }
        one.set_item("statuses", counts)?;
        one.set_item("latency_us", histogram_of(py, &figures.latency)?)?;
        if shared.plan.rate.is_some() {
            one.set_item("service_us", histogram_of(py, &figures.service)?)?;
        }
        actions.set_item(action.text(), one)?;
    }
    table.set_item("operations", actions)?;
    let associations = PyDict::new(py);
    associations.set_item("failed", tally.associations_failed)?;
    associations.set_item("latency_us", histogram_of(py, &tally.associate)?)?;
    table.set_item("associations", associations)?;
    let errors = PyDict::new(py);
    for (text, count) in &tally.errors {
        errors.set_item(text, count)?;
    }
    table.set_item("errors", errors)?;
    let (width, intervals) = tally.timeline.intervals();
    let timeline = PyDict::new(py);
    timeline.set_item("width_s", width.as_secs_f64())?;
    let rows = intervals.iter().map(|one| {
        let mean = one.latency_sum_ns as f64 / one.operations.max(1) as f64 / 1000.0;
        (one.operations, one.failed, one.bytes, mean, microseconds(one.latency_max_ns))
    });
    timeline.set_item("rows", PyList::new(py, rows.collect::<Vec<_>>())?)?;
    table.set_item("timeline", timeline)?;
    let totals = shared.ledger.totals();
    let ledger = PyDict::new(py);
    for (name, count) in [
        ("stores", totals.stores),
        ("stored", totals.stored),
        ("warned", totals.warned),
        ("refused", totals.refused),
        ("no_answer", totals.unanswered),
        ("not_sent", totals.unsent),
    ] {
        ledger.set_item(name, count)?;
    }
    table.set_item("ledger", ledger)?;
    Ok(table)
}

fn report_of<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyDict>> {
    let table = PyDict::new(py);
    for (name, count) in [
        ("acknowledged", report.acknowledged),
        ("whole", report.whole),
        ("lost", report.lost),
        ("not_sent", report.not_sent),
        ("not_listed", report.not_listed),
        ("not_compared", report.not_compared),
        ("altered", report.altered),
        ("duplicated", report.duplicated),
        ("unacknowledged", report.unacknowledged),
        ("unknown", report.unknown),
        ("retrieved", report.retrieved.0),
        ("retrieved_bytes", report.retrieved.1),
    ] {
        table.set_item(name, count)?;
    }
    table.set_item("incomplete", PyList::new(py, &report.incomplete)?)?;
    table.set_item("remarks", PyList::new(py, &report.remarks)?)?;
    table.set_item("findings", PyList::new(py, &report.findings)?)?;
    table.set_item("elapsed_s", report.elapsed.as_secs_f64())?;
    Ok(table)
}
