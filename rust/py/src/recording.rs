//! `Recorder`, `RecordingText` and `Replayer`: recordings for their front ends. Bytes stay in the engine; what a
//! recording shows comes out as text, a portion at a time.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::console::Console;
use dcmfast_core::log::Logger;
use dcmfast_core::net::tcp::{StopFlag, TransportOptions, accept_in_slices, listen_on, resolve};
use dcmfast_core::recording::file::{Step, Writer, remove_if_a_file};
use dcmfast_core::recording::proxy::{Figures, Plan, Proxy, wall_ns};
use dcmfast_core::recording::replay::{self, Aspect, Peer, ReplayError};
use dcmfast_core::recording::show::{Options, Show};
use dcmfast_core::recording::source::{OpenError, Source};
use dcmfast_core::recording::treat::{CopyError, DataSets, Treatment, copy};
use dcmfast_core::recording::{About, Notice, Side};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{ConnectError, os_error};
use crate::log::EventLog;
use crate::server::level;
use crate::signals::beside;

/// Text of one portion, in bytes, before the entry that goes beyond it.
const PORTION_BYTES: usize = 64 * 1024;

/// A proxy that records; its port is open once it is made.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct Recorder {
    proxy: Mutex<Option<Proxy>>,
    stop: StopFlag,
    port: u16,
    figures: Mutex<Figures>,
}

#[pymethods]
impl Recorder {
    /// Resolves the peer, opens the port and makes the file.
    ///
    /// Raises ConnectError for an unknown host, and OSError whose file name says what could not be
    /// had: the recording, or nothing for the port.
    #[new]
    #[pyo3(signature = (
        path, *, address, port, host, peer_port, may_replace, bytes_max, connect_timeout_s,
        connections_max, count, tcp_no_delay, tcp_buffer_bytes, data_sets, masks_names, log_level, log,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        address: &str,
        port: u16,
        host: &str,
        peer_port: u16,
        may_replace: bool,
        bytes_max: u64,
        connect_timeout_s: Option<u32>,
        connections_max: usize,
        count: Option<u64>,
        tcp_no_delay: bool,
        tcp_buffer_bytes: Option<usize>,
        data_sets: &str,
        masks_names: bool,
        log_level: &str,
        log: Option<Py<EventLog>>,
    ) -> PyResult<Self> {
        let logger = match &log {
            Some(log) => Arc::clone(&log.get().logger),
            None => Arc::new(Logger::new(level(log_level)?, Arc::new(Console))),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| PyValueError::new_err(format!("{address} is no address")))?;
        let treatment = treatment_of(data_sets, masks_names)?;
        let proxy = py.detach(|| {
            let peer = resolve(host, peer_port)
                .map_err(|_| ConnectError::new_err(format!("unknown host: {host}")))?;
            let listener = listen_on((address, port).into()).map_err(|error| os_error(&error))?;
            let about = About {
                begun_wall_ns: wall_ns(SystemTime::now()),
                ..treatment.about(About::default())
            };
            let writer = Writer::create(&path, may_replace, about, bytes_max)
                .map_err(|error| with_path(&error, &path))?;
            let plan = Plan {
                peer,
                connect_timeout: connect_timeout_s.map(|s| Duration::from_secs(u64::from(s))),
                connections_max,
                count,
                transport: TransportOptions {
                    no_delay: tcp_no_delay,
                    buffer_bytes: tcp_buffer_bytes,
                },
                treatment,
            };
            Proxy::new(listener, writer, plan, logger).map_err(|error| os_error(&error))
        })?;
        let port = proxy.address().map_err(|error| os_error(&error))?.port();
        let stop = proxy.stop_flag();
        Ok(Self { proxy: Mutex::new(Some(proxy)), stop, port, figures: Mutex::default() })
    }

    /// The port that is open.
    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    /// Passes on and records until stopped, or until as many connections as wanted have ended.
    /// Python's signal handlers run meanwhile.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let proxy = self.proxy.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(proxy) = proxy else { return Err(PyRuntimeError::new_err("it has run")) };
        let figures = beside(py, move || proxy.run())?;
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
        Ok(())
    }

    /// Ends it: once in order, called again at once.
    fn stop(&self) {
        self.stop.raise();
    }

    /// What was passed on; complete after `run`.
    fn figures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let table = PyDict::new(py);
        table.set_item("connections", figures.connections)?;
        table.set_item("from_requestors", figures.from_requestors)?;
        table.set_item("from_acceptors", figures.from_acceptors)?;
        table.set_item("recorded", figures.recorded)?;
        table.set_item("trouble", figures.trouble.as_deref())?;
        Ok(table)
    }
}

fn treatment_of(data_sets: &str, masks_names: bool) -> PyResult<Treatment> {
    let data_sets = match data_sets {
        "keep" => DataSets::Keep,
        "replace" => DataSets::Replace,
        "leave-out" => DataSets::LeaveOut,
        other => return Err(PyValueError::new_err(format!("no treatment {other:?}"))),
    };
    Ok(Treatment { data_sets, masks_names })
}

/// The system's error with the file that it is about.
fn with_path(error: &std::io::Error, path: &std::path::Path) -> PyErr {
    match error.raw_os_error() {
        Some(number) => {
            let text = dcmfast_core::log::system_text(error);
            pyo3::exceptions::PyOSError::new_err((number, text, path.to_path_buf()))
        }
        None => os_error(error),
    }
}

fn opened(path: &std::path::Path) -> PyResult<Source> {
    Source::open(path).map_err(|error| match error {
        OpenError::Io(error) => with_path(&error, path),
        OpenError::Unknown(why) => PyValueError::new_err(why),
    })
}

struct Reading {
    source: Source,
    show: Show,
    is_over: bool,
    notices: Vec<(bool, String)>,
}

/// A recording or a capture as text, a portion at a time.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct RecordingText {
    reading: Mutex<Reading>,
    path: PathBuf,
}

#[pymethods]
impl RecordingText {
    /// Opens the file.
    ///
    /// Raises OSError, and ValueError for what is neither a recording nor a capture.
    #[new]
    #[pyo3(signature = (path, *, is_json, has_data_sets, connection))]
    fn new(
        path: PathBuf,
        is_json: bool,
        has_data_sets: bool,
        connection: Option<u64>,
    ) -> PyResult<Self> {
        let source = opened(&path)?;
        let show = Show::new(Options { is_json, has_data_sets, connection });
        let reading = Reading { source, show, is_over: false, notices: Vec::new() };
        Ok(Self { reading: Mutex::new(reading), path })
    }

    /// The next lines; None where there are no more.
    fn portion(&self, py: Python<'_>) -> PyResult<Option<String>> {
        py.detach(|| {
            let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            let Reading { source, show, is_over, notices } = &mut *reading;
            let mut text = String::new();
            while !*is_over && text.len() < PORTION_BYTES {
                match source.step().map_err(|error| with_path(&error, &self.path))? {
                    Step::Entry(entry) => show.take(&entry, &mut text),
                    Step::Notice(notice) => {
                        show.notice(&notice, &mut text);
                        note(notices, &notice);
                    }
                    Step::End => {
                        show.finish(&mut text);
                        *is_over = true;
                    }
                }
            }
            Ok((!text.is_empty()).then_some(text))
        })
    }

    /// What there was to say of the file itself: whether it is damage, and the text.
    fn notices(&self) -> Vec<(bool, String)> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner).notices.clone()
    }
}

/// Notices that are kept for the end; a damaged file has as many as it has records.
const NOTICES_KEPT: usize = 20;

fn note(notices: &mut Vec<(bool, String)>, notice: &Notice) {
    if notices.len() < NOTICES_KEPT {
        notices.push((notice.is_damage(), notice.to_string()));
    }
}

/// Writes a recording or a capture as another recording, treated; returns what there is to say of it.
///
/// Raises OSError, and ValueError for what is neither a recording nor a capture.
#[pyfunction]
#[pyo3(signature = (path, out, *, may_replace, data_sets, masks_names, connection))]
pub fn copy_recording(
    py: Python<'_>,
    path: PathBuf,
    out: PathBuf,
    may_replace: bool,
    data_sets: &str,
    masks_names: bool,
    connection: Option<u64>,
) -> PyResult<Vec<(bool, String)>> {
    let treatment = treatment_of(data_sets, masks_names)?;
    py.detach(|| {
        let mut source = opened(&path)?;
        let about = treatment.about(source.about());
        let writer = Writer::create(&out, may_replace, about, u64::MAX)
            .map_err(|error| with_path(&error, &out))?;
        let mut interrupt = None;
        let mut is_wanted = || {
            interrupt = Python::attach(|py| py.check_signals().err());
            interrupt.is_none()
        };
        let notices = copy(&mut source, &writer, treatment, connection, &mut is_wanted);
        let notices = notices.map_err(|error| {
            // A copy that is cut looks like a recording that is whole; what was read is still there.
            remove_if_a_file(&out);
            match error {
                CopyError::Read(error) => with_path(&error, &path),
                CopyError::Write(error) => with_path(&error, &out),
                CopyError::Stopped => interrupt
                    .take()
                    .unwrap_or_else(|| pyo3::exceptions::PyKeyboardInterrupt::new_err(())),
            }
        })?;
        Ok(notices.iter().map(|notice| (notice.is_damage(), notice.to_string())).collect())
    })
}

/// One side of a recording, played against a peer.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct Replayer {
    plan: Mutex<Option<replay::Plan>>,
    stop: StopFlag,
    port: u16,
}

#[pymethods]
impl Replayer {
    /// Plays the requestor against `host`, or the acceptor at `address`.
    ///
    /// Raises ConnectError for an unknown host, OSError for a port that cannot be had, ValueError for
    /// a word that is none.
    #[new]
    #[pyo3(signature = (
        path, *, side, host, address, port, connection, ignored, called, calling, patience_s,
        connect_timeout_s, tcp_no_delay, tcp_buffer_bytes, speed=None,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        side: &str,
        host: &str,
        address: &str,
        port: u16,
        connection: Option<u64>,
        ignored: Vec<String>,
        called: Option<&str>,
        calling: Option<&str>,
        patience_s: u32,
        connect_timeout_s: Option<u32>,
        tcp_no_delay: bool,
        tcp_buffer_bytes: Option<usize>,
        speed: Option<f64>,
    ) -> PyResult<Self> {
        if speed.is_some_and(|speed| !(0.001..=1000.0).contains(&speed)) {
            return Err(PyValueError::new_err("no such speed"));
        }
        let ignored = ignored.iter().map(|word| {
            let found = Aspect::ALL.iter().find(|(name, _)| name == word);
            found.map(|(_, aspect)| *aspect).ok_or_else(|| PyValueError::new_err(word.clone()))
        });
        let ignored = ignored.collect::<PyResult<_>>()?;
        let address: IpAddr = address
            .parse()
            .map_err(|_| PyValueError::new_err(format!("{address} is no address")))?;
        let (ours, peer, port) = py.detach(|| -> PyResult<_> {
            if side == "requestor" {
                let peer = resolve(host, port)
                    .map_err(|_| ConnectError::new_err(format!("unknown host: {host}")))?;
                return Ok((Side::Requestor, Peer::At(peer), port));
            }
            let listener = listen_on((address, port).into()).map_err(|error| os_error(&error))?;
            accept_in_slices(&listener).map_err(|error| os_error(&error))?;
            let port = listener.local_addr().map_err(|error| os_error(&error))?.port();
            Ok((Side::Acceptor, Peer::Comes(listener), port))
        })?;
        let title = |text: Option<&str>| text.map(|text| AeTitle::new(text.as_bytes()));
        let plan = replay::Plan {
            path,
            ours,
            peer,
            connection,
            ignored,
            titles: [title(called), title(calling)],
            patience: Duration::from_secs(u64::from(patience_s)),
            connect_timeout: connect_timeout_s.map(|s| Duration::from_secs(u64::from(s))),
            transport: TransportOptions { no_delay: tcp_no_delay, buffer_bytes: tcp_buffer_bytes },
            speed,
        };
        Ok(Self { plan: Mutex::new(Some(plan)), stop: StopFlag::default(), port })
    }

    /// The port that is open, or the peer's.
    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    /// Plays; Python's signal handlers run meanwhile.
    ///
    /// Raises ConnectError without a connection, OSError and ValueError for the recording, and
    /// KeyboardInterrupt where it was stopped.
    fn run<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(plan) = plan else { return Err(PyRuntimeError::new_err("it has run")) };
        let (stop, path) = (self.stop.clone(), plan.path.clone());
        let outcome = beside(py, move || replay::replay(&plan, &stop))?;
        let outcome = outcome.map_err(|error| match error {
            ReplayError::Source(OpenError::Io(error)) => with_path(&error, &path),
            ReplayError::Source(OpenError::Unknown(why)) | ReplayError::Nothing(why) => {
                PyValueError::new_err(why)
            }
            ReplayError::Connect(error) => {
                ConnectError::new_err(dcmfast_core::log::system_text(&error))
            }
            ReplayError::Stopped => pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
        })?;
        let table = PyDict::new(py);
        table.set_item("connections", outcome.connections)?;
        table.set_item("matched", outcome.matched)?;
        table.set_item("sent", outcome.sent)?;
        let notices = outcome.notices.iter().map(|notice| (notice.is_damage(), notice.to_string()));
        table.set_item("notices", notices.collect::<Vec<_>>())?;
        let Some(difference) = outcome.difference else {
            table.set_item("difference", py.None())?;
            return Ok(table);
        };
        let told = PyDict::new(py);
        told.set_item("association", difference.connection)?;
        told.set_item("event", difference.event)?;
        told.set_item("ns", difference.at_ns)?;
        told.set_item("expected", difference.expected)?;
        told.set_item("came", difference.came)?;
        told.set_item("differs", difference.differs)?;
        table.set_item("difference", told)?;
        Ok(table)
    }

    /// Ends it.
    fn stop(&self) {
        self.stop.raise();
    }
}
