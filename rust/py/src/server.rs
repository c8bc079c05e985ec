//! `Receiver`: a Rust server run from Python.
//!
//! Python hands over plain values once; from then on associations run without the interpreter. The
//! only crossing is `run`, which lets Python's signal handlers have their turn ten times a second.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dcmfast_core::archive::area::AreaOptions;
use dcmfast_core::console::Console;
use dcmfast_core::dataset::rewrite::OutputEncoding;
use dcmfast_core::log::{Level, Logger};
use dcmfast_core::net::buffer::BlockPool;
use dcmfast_core::net::resolve::HostNames;
use dcmfast_core::net::tcp::TransportOptions;
use dcmfast_core::policy::host_access::HostName;
use dcmfast_core::policy::{AcceptedRoles, AcceptorEntry, AcceptorTable, Hints, Promiscuous};
use dcmfast_core::server::areas::AreaSlot;
use dcmfast_core::server::commands::Commands;
use dcmfast_core::server::{
    Dialect, EventOptions, Events, HostAccess, Objects, Server, Service, Shared, Source,
};
use dcmfast_core::storage::durability::Durability;
use dcmfast_core::storage::naming::{FileNaming, SubdirectoryNaming};
use dcmfast_core::storage::writer::{DuplicatePolicy, Store, StoreError, StoreMode, StoreOptions};
use dcmfast_core::uid::Uid;
use dcmfast_core::ul::pdu::{ExtendedNegotiation, PresentationResult};
use pyo3::exceptions::{PyKeyError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::archive::Tables;
use crate::encoding::given_encoding;
use crate::error::os_error;
use crate::faults::{self, FaultRecord};
use crate::log::EventLog;
use crate::signals::{beside, within};
use crate::tls::TlsContext;

/// Level by DCMTK's name.
pub fn level(name: &str) -> PyResult<Level> {
    Ok(match name {
        "trace" | "all" => Level::Trace,
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        "error" => Level::Error,
        "fatal" => Level::Fatal,
        "off" => Level::Off,
        _ => return Err(unknown("log level", name)),
    })
}

pub fn unknown(what: &str, value: &str) -> PyErr {
    PyValueError::new_err(format!("no {what} named {value:?}"))
}

/// A UID that Python vouches for.
pub fn uid(text: &str) -> PyResult<Uid> {
    Uid::new(text.as_bytes()).ok_or_else(|| PyValueError::new_err(format!("{text:?} is no UID")))
}

/// One accepted abstract syntax as Python compiles it: UID, index of its transfer syntaxes, role of
/// a profile (`SCU`, `SCP`, `BOTH`, empty), service class application information.
type Entry = (String, usize, String, Option<Vec<u8>>);

/// The roles that a profile's word allows a requestor; the empty word ignores role selection.
fn roles(word: &str) -> PyResult<Option<AcceptedRoles>> {
    let (scu, scp) = match word {
        "" => return Ok(None),
        "SCU" => (true, false),
        "SCP" => (false, true),
        "BOTH" => (true, true),
        other => return Err(unknown("role", other)),
    };
    Ok(Some(AcceptedRoles { scu, scp, default_is_accepted: scu }))
}

/// `dcmfast.policy.negotiation.NegotiationTable`.
#[derive(FromPyObject)]
pub struct Table {
    transfer_syntax_lists: Vec<Vec<String>>,
    entries: Vec<Entry>,
    /// The list for abstract syntaxes without a name; `None` refuses them.
    promiscuous_list: Option<usize>,
    abstract_syntax_hint: String,
    transfer_syntax_hint: String,
    /// What a profile has of extended negotiation, in its order.
    unasked_information: Vec<(String, Vec<u8>)>,
    /// Result for a context whose default role is not accepted.
    role_refusal: u8,
}

impl Table {
    /// The table as the engine reads it.
    pub fn compile(self) -> PyResult<AcceptorTable> {
        let lists = self
            .transfer_syntax_lists
            .iter()
            .map(|list| list.iter().map(|text| uid(text)).collect::<PyResult<Arc<[Uid]>>>())
            .collect::<PyResult<Vec<_>>>()?;
        let list = |at: usize| {
            lists.get(at).cloned().ok_or_else(|| PyValueError::new_err(format!("no list {at}")))
        };
        let mut entries = HashMap::with_capacity(self.entries.len());
        for (abstract_syntax, at, role, information) in self.entries {
            let accepted = AcceptorEntry {
                transfer_syntaxes: list(at)?,
                roles: roles(&role)?,
                extended_negotiation: information.map(Arc::from),
            };
            entries.insert(uid(&abstract_syntax)?, accepted);
        }
        let promiscuous = match self.promiscuous_list {
            None => None,
            Some(at) => Some(Promiscuous { transfer_syntaxes: list(at)? }),
        };
        let hints = Hints {
            abstract_syntax: self.abstract_syntax_hint.into(),
            transfer_syntax: self.transfer_syntax_hint.into(),
        };
        let unasked_information = self
            .unasked_information
            .into_iter()
            .map(|(class, information)| {
                Ok(ExtendedNegotiation { sop_class_uid: uid(&class)?.text(), information })
            })
            .collect::<PyResult<_>>()?;
        let role_refusal = PresentationResult::from_byte(self.role_refusal);
        Ok(AcceptorTable { entries, promiscuous, role_refusal, unasked_information, hints })
    }
}

/// Everything a receiver is told; the field names are those of the keyword arguments.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Plan {
    tool: String,
    /// `None` takes the connection on standard input.
    port: Option<u16>,
    log_level: String,
    /// Replaces level and console where there is a logger configuration.
    log: Option<Py<EventLog>>,
    verbose_contexts: bool,
    verbose_responses: bool,
    table: Table,
    max_pdu_bytes: u32,
    acse_timeout_s: u32,
    dimse_timeout_s: Option<u32>,
    socket_timeout_s: Option<u32>,
    host_lookup: bool,
    /// The program's name in the rules, and the two files of rules.
    host_access: Option<(String, PathBuf, PathBuf)>,
    refuse: bool,
    faults: Vec<FaultRecord>,
    fault_seed: u64,
    reject_without_implementation_class_uid: bool,
    one_at_a_time: bool,
    /// How many processes may be forked; 0 serves all associations in this one.
    processes: usize,
    associations_max: usize,
    tcp_no_delay: bool,
    tcp_buffer_bytes: Option<usize>,
    mode: String,
    durability: String,
    duplicate: String,
}

/// How objects are stored, whoever stores them.
struct Storing {
    mode: StoreMode,
    encoding: Option<OutputEncoding>,
    durability: Durability,
    duplicates: DuplicatePolicy,
}

impl Plan {
    fn storing(&self, encoding: Option<OutputEncoding>) -> PyResult<Storing> {
        Ok(Storing {
            encoding,
            mode: match &*self.mode {
                "normal" => StoreMode::Normal,
                "bit_preserving" => StoreMode::BitPreserving,
                "ignore" => StoreMode::Ignore,
                other => return Err(unknown("storage mode", other)),
            },
            durability: match &*self.durability {
                "none" => Durability::None,
                "group" => Durability::Group,
                "each" => Durability::Each,
                other => return Err(unknown("durability", other)),
            },
            duplicates: match &*self.duplicate {
                "replace" => DuplicatePolicy::Replace,
                "keep" => DuplicatePolicy::Keep,
                "reject" => DuplicatePolicy::Reject,
                other => return Err(unknown("duplicate policy", other)),
            },
        })
    }
}

/// What a receiver into a directory is told besides.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct DirectoryPlan {
    output_directory: PathBuf,
    write_file_meta: bool,
    file_naming: String,
    subdirectory: String,
    study_prefix: String,
    filename_extension: String,
    exec_on_reception: Option<OsString>,
    exec_on_eostudy: Option<OsString>,
    rename_on_eostudy: bool,
    eostudy_timeout_s: Option<u32>,
    exec_sync: bool,
}

impl DirectoryPlan {
    fn store_options(&self, dialect: Dialect, storing: &Storing) -> PyResult<StoreOptions> {
        Ok(StoreOptions {
            file_naming: match &*self.file_naming {
                "sop_instance_uid" => FileNaming::SopInstanceUid,
                "bare_sop_instance_uid" => FileNaming::BareSopInstanceUid,
                "unique_uid" => FileNaming::UniqueUid,
                "system_time" => FileNaming::SystemTime,
                "short_unique" => FileNaming::ShortUnique,
                "system_time_microseconds" => FileNaming::SystemTimeMicroseconds,
                other => return Err(unknown("file naming", other)),
            },
            subdirectory: match &*self.subdirectory {
                "none" => SubdirectoryNaming::None,
                "series_date" => SubdirectoryNaming::SeriesDate,
                "study_time" => SubdirectoryNaming::StudyTime,
                "study_uid" => SubdirectoryNaming::StudyUid,
                "patient_name" => SubdirectoryNaming::PatientName,
                other => return Err(unknown("subdirectory", other)),
            },
            study_prefix: self.study_prefix.clone(),
            renames: self.rename_on_eostudy,
            extension: self.filename_extension.clone(),
            mode: storing.mode,
            encoding: storing.encoding,
            with_meta: self.write_file_meta,
            durability: storing.durability,
            duplicates: storing.duplicates,
            dialect,
            ..StoreOptions::new(&self.output_directory)
        })
    }

    fn event_options(self, storing: &Storing) -> EventOptions {
        EventOptions {
            on_reception: self.exec_on_reception,
            on_end_of_study: self.exec_on_eostudy,
            end_of_study_timeout: self.eostudy_timeout_s.map(|s| Duration::from_secs(s.into())),
            is_synchronous: self.exec_sync,
            is_ignoring: storing.mode == StoreMode::Ignore,
        }
    }
}

pyo3::create_exception!(
    _rust,
    HostRuleError,
    PyValueError,
    "A file of access rules cannot be followed: file, line and reason."
);

fn open_rules(daemon: &str, allow: &Path, deny: &Path) -> PyResult<HostAccess> {
    HostAccess::open(daemon, allow.to_owned(), deny.to_owned())
        .map_err(|error| HostRuleError::new_err(error.to_string()))
}

/// What the rules of access control say, without a connection; names are given, not looked up.
///
/// A name may be `unknown` or `paranoid`. Returns whether the client may connect, and file and line
/// of the rule that says so.
#[pyfunction]
pub fn host_verdict(
    daemon: &str,
    files: (PathBuf, PathBuf),
    server: (IpAddr, u16, String),
    client: (IpAddr, String),
) -> PyResult<(bool, Option<String>)> {
    let access = open_rules(daemon, &files.0, &files.1)?;
    let (logger, (ours, port, our_name)) = (Logger::new(Level::Off, Arc::new(Console)), server);
    let name_of = |address: IpAddr| match if address == client.0 { &*client.1 } else { &our_name } {
        "unknown" => HostName::Unknown,
        "paranoid" => HostName::Paranoid,
        name => HostName::Known(name.to_owned()),
    };
    let verdict = access.verdict((ours, port).into(), client.0, &logger, &name_of);
    Ok((verdict.is_allowed, verdict.rule))
}

impl Receiver {
    /// Runs `work` in a thread, and Python's signal handlers in this one until it has ended.
    fn while_signals_are_handled(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Server) + Send,
    ) -> PyResult<()> {
        within(py, || work(&self.server), || self.shared.stop.raise_at_once())
    }

    /// Brings what was acknowledged into the index, so that the next start has nothing to repair.
    fn close_areas(&self) -> PyResult<()> {
        let Objects::Areas(archive) = &self.shared.service.objects else { return Ok(()) };
        // All of them, whatever becomes of one.
        let failures: Vec<_> = archive.areas.iter().filter_map(|slot| slot.close().err()).collect();
        match failures.first() {
            Some(error) => Err(PyOSError::new_err(error.to_string())),
            None => Ok(()),
        }
    }
}

/// A receiver that is listening.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct Receiver {
    server: Arc<Server>,
    shared: Arc<Shared>,
    /// Serves beside the caller, after `start`.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The service that a plan describes, where its connections come from, and how many processes.
fn service_of(given: Option<Bound<'_, PyDict>>) -> PyResult<(Service, Source, usize)> {
    let Some(given) = given else { return Err(PyValueError::new_err("no plan was given")) };
    let plan: Plan = given.extract()?;
    let dialect = match &*plan.tool {
        "storescp" => Dialect::Storescp,
        "dcmrecv" => Dialect::Dcmrecv,
        "dcmqrscp" | "serve" => Dialect::Dcmqrscp,
        "movescu" => Dialect::Movescu,
        "getscu" => Dialect::Getscu,
        other => return Err(unknown("tool", other)),
    };
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let logger = match &plan.log {
        Some(log) => Arc::clone(&log.get().logger),
        None => Arc::new(Logger::new(level(&plan.log_level)?, Arc::new(Console))),
    };
    let panic_logger = Arc::clone(&logger);
    let storing = plan.storing(given_encoding(&given)?)?;
    let host_access = match &plan.host_access {
        Some((daemon, allow, deny)) => Some(open_rules(daemon, allow, deny)?),
        None => None,
    };
    let archive = given.get_item("archive")?;
    let host_names = HostNames::new(plan.host_lookup);
    let mut events = None;
    let objects = if let Some(tables) = archive {
        let tables: Tables = tables.extract()?;
        let has_file_meta = given
            .get_item("write_file_meta")?
            .ok_or_else(|| PyKeyError::new_err("write_file_meta"))?
            .extract()?;
        Objects::Areas(Arc::new(tables.compile(|quota| AreaOptions {
            durability: storing.durability,
            duplicates: storing.duplicates,
            quota,
            mode: storing.mode,
            encoding: storing.encoding,
            has_file_meta,
            logger: Arc::clone(&logger),
        })?))
    } else {
        let directory: DirectoryPlan = given.extract()?;
        let options = directory.store_options(dialect, &storing)?;
        let store = Store::open(options).map_err(|error| match error {
            StoreError::Io(failure) => os_error(&failure.source),
            error => PyOSError::new_err(error.to_string()),
        })?;
        let options = directory.event_options(&storing);
        let commands =
            Commands::new(Arc::clone(&logger), host_names.clone(), options.is_synchronous);
        events =
            Some(Arc::new(Events::new(options, Arc::clone(&store), Arc::clone(&logger), commands)));
        Objects::Directory(store)
    };
    let bind: Option<String> = match given.get_item("bind")? {
        Some(bind) => bind.extract()?,
        None => None,
    };
    let bind = match bind {
        Some(text) => Some(text.parse().map_err(|_| unknown("address", &text))?),
        None => None,
    };
    let tls: Option<Bound<'_, TlsContext>> = match given.get_item("tls")? {
        Some(tls) => tls.extract()?,
        None => None,
    };
    let service = Service {
        dialect,
        logger,
        host_names,
        host_access,
        transport: TransportOptions {
            no_delay: plan.tcp_no_delay,
            buffer_bytes: plan.tcp_buffer_bytes,
        },
        tls: tls.map(|tls| tls.get().context.clone()),
        blocks: BlockPool::default(),
        acceptor: plan.table.compile()?,
        mode: storing.mode,
        objects,
        events,
        max_pdu_bytes: plan.max_pdu_bytes,
        acse_timeout: seconds(plan.acse_timeout_s),
        socket_timeout: plan.socket_timeout_s.map(seconds),
        dimse_timeout: plan.dimse_timeout_s.map(seconds),
        associations_max: plan.associations_max,
        one_at_a_time: plan.one_at_a_time,
        is_forking: plan.processes > 0,
        refuse: plan.refuse,
        faults: faults::compile(plan.faults, plan.fault_seed)?,
        reject_without_implementation_class_uid: plan.reject_without_implementation_class_uid,
        verbose_contexts: plan.verbose_contexts,
        verbose_responses: plan.verbose_responses,
    };
    // One line instead of Rust's own report: a panic is told in the log's form, without values.
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        panic_logger.line(
            Level::Error,
            "dcmfast.server",
            format_args!("internal fault at {place}"),
        );
    }));
    let source = plan.port.map_or(Source::StandardInput, |port| Source::Port(bind, port));
    Ok((service, source, plan.processes))
}

#[pymethods]
impl Receiver {
    /// Opens the output directory and the port.
    #[new]
    #[pyo3(signature = (**plan))]
    fn new(plan: Option<Bound<'_, PyDict>>) -> PyResult<Self> {
        let (service, source, processes) = service_of(plan)?;
        let server = Server::bind(source, processes, service).map_err(|error| os_error(&error))?;
        let shared = server.shared();
        Ok(Self { server: Arc::new(server), shared, thread: Mutex::new(None) })
    }

    /// Opens the storage areas of an archive, and brings to its end what an earlier process left
    /// half done; gives directory and reason of each that could not be opened. What is not opened
    /// here is tried again by each association that wants it.
    ///
    /// The directory is text: a path object would import a module, which a user without rights to
    /// Python's own files (`UserName`) may be unable to read.
    fn open_areas(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let shared = Arc::clone(&self.shared);
        // An index of millions may have to be made anew. Who is told to end meanwhile does: the next start
        // goes on from whatever is left.
        beside(py, move || {
            let Objects::Areas(archive) = &shared.service.objects else { return Vec::new() };
            let failed = |slot: &AreaSlot| {
                let error = slot.open().err()?;
                Some((slot.directory().display().to_string(), error.to_string()))
            };
            archive.areas.iter().filter_map(failed).collect()
        })
    }

    /// The port that is open.
    #[getter]
    fn port(&self) -> u16 {
        self.server.port()
    }

    /// Serves until `stop` was called and what was in hand is done. Releases the interpreter;
    /// signal handlers of the main thread run while it waits.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        self.while_signals_are_handled(py, Server::run)?;
        py.detach(|| self.close_areas())
    }

    /// Waits a moment for a connection, for `serve_accepted` in a process that is forked then; true
    /// if there is one. Starts no thread.
    fn accept(&self, py: Python<'_>) -> bool {
        py.detach(|| self.server.accept())
    }

    /// Forgets the connection that was accepted.
    fn forget_accepted(&self) {
        self.server.forget_accepted();
    }

    /// Serves the connection that was accepted, or that is given, until it ends.
    fn serve_accepted(&self, py: Python<'_>, place: usize) -> PyResult<()> {
        self.while_signals_are_handled(py, |server| server.serve_accepted(place))
    }

    /// Removes what a crashed receiver left in the output directory.
    fn clear_stale_parts(&self, py: Python<'_>) {
        py.detach(|| self.server.clear_stale_parts());
    }

    /// The place of a process, from 1, is about to be used, or free again.
    fn clear_place(&self, place: usize) {
        self.server.clear_place(place);
    }

    /// True if the process at a place has no association, and will get none from now on.
    fn evict(&self, place: usize) -> bool {
        self.server.evict(place)
    }

    /// True if the process at a place has an association.
    fn is_associated(&self, place: usize) -> bool {
        self.server.is_associated(place)
    }

    /// Closes the port.
    fn stop_listening(&self) {
        self.server.stop_listening();
    }

    /// True once `stop` was called.
    #[getter]
    fn is_stopping(&self) -> bool {
        self.shared.stop.is_raised()
    }

    /// Serves in a thread of its own, until `finish`.
    fn start(&self) -> PyResult<()> {
        let server = Arc::clone(&self.server);
        let builder = thread::Builder::new().name("receiver".into());
        let thread = builder.spawn(move || server.run()).map_err(|error| os_error(&error))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Ends what `start` began: waits until no peer is associated, at most `patience_s` after the
    /// last object, and stops.
    fn finish(&self, py: Python<'_>, patience_s: u32) -> PyResult<()> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let work = || {
            self.shared.wait_until_quiet(Duration::from_secs(u64::from(patience_s)));
            self.shared.stop.raise();
            // What waits for connections sees the flag at once, and not a slice later.
            self.server.stop_listening();
            // A panic of the accepting thread was told by the hook.
            let _ = thread.map(JoinHandle::join);
        };
        // Who is interrupted waits for nobody.
        within(py, work, || self.shared.stop.raise_at_once())
    }

    /// Asks the server to stop: once to finish what is in hand, twice to stop at once.
    fn stop(&self) {
        self.shared.stop.raise();
    }

    /// Observable numbers by name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        counters_of(py, &self.shared)
    }
}

fn counters_of<'py>(py: Python<'py>, shared: &Shared) -> PyResult<Bound<'py, PyDict>> {
    let counters = &shared.counters;
    let table = PyDict::new(py);
    for (name, value) in [
        ("connections", &counters.connections),
        ("associations", &counters.associations),
        ("rejections", &counters.rejections),
        ("stored", &counters.stored),
        ("bytes", &counters.bytes),
        ("refused", &counters.refused),
        ("panics", &counters.panics),
    ] {
        table.set_item(name, value.load(Ordering::Relaxed))?;
    }
    Ok(table)
}

/// Where objects go that come over an association of ours (C-GET): a receiver without a port.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct ObjectStore {
    pub(crate) shared: Arc<Shared>,
}

#[pymethods]
impl ObjectStore {
    /// Opens the output directory; the plan is a receiver's.
    #[new]
    #[pyo3(signature = (**plan))]
    fn new(plan: Option<Bound<'_, PyDict>>) -> PyResult<Self> {
        let (service, ..) = service_of(plan)?;
        let shared = Shared::new(service, 0).map_err(|error| os_error(&error))?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Observable numbers by name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        counters_of(py, &self.shared)
    }
}
