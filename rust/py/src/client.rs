//! `Association`: the requestor side for the SCU tools. A call is one operation; the interpreter is
//! released while it waits.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dcmfast_core::acse::block::{AssociationBlock, ContextBlock, UserIdentityBlock};
use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::client::query::{Pending, ResponseData};
use dcmfast_core::client::{Details, Manner, Proposal, Requestor};
use dcmfast_core::console::Console;
use dcmfast_core::dimse::block::MessageBlock;
use dcmfast_core::dimse::service::{Priority, QueryService};
use dcmfast_core::dimse::status::StatusClass;
use dcmfast_core::log::Sink;
use dcmfast_core::net::tcp::{Interrupt, StopFlag, TransportOptions, resolve};
use dcmfast_core::server::getting::Getting;
use dcmfast_core::storage::backend::open_for_reading;
use dcmfast_core::storage::reader::{
    Cut, InputFormat, ReadError, StoredInstance, inspect, look_through,
};
use dcmfast_core::uid::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Uid, UidText};
use dcmfast_core::ul::pdu::{
    APPLICATION_CONTEXT_NAME, ExtendedNegotiation, PresentationResult, RoleSelection, UidItem,
    UserIdentity,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::error::{ConnectError, client_error, interrupted, os_error};
use crate::request::QueryResponse;
use crate::server::{ObjectStore, uid, unknown};
use crate::signals::{GivingUp, beside_until, within};
use crate::tls::TlsContext;

/// What a sender needs to know of a file; see `inspect_file`.
#[pyclass(frozen, get_all, module = "dcmfast._rust")]
pub struct FileInstance {
    /// SOP Class UID.
    sop_class_uid: String,
    /// SOP Instance UID.
    sop_instance_uid: String,
    /// Transfer syntax of the data set.
    transfer_syntax: String,
    /// Where the data set begins, in bytes.
    data_set_offset: u64,
    /// Length of the data set in bytes.
    data_set_bytes: u64,
}

fn text(uid: UidText) -> String {
    String::from_utf8_lossy(uid.as_bytes()).into_owned()
}

pub fn format_named(name: &str) -> PyResult<InputFormat> {
    Ok(match name {
        "either" => InputFormat::Either,
        "file" => InputFormat::File,
        "data_set" => InputFormat::DataSet,
        _ => return Err(PyValueError::new_err(format!("no input format named {name:?}"))),
    })
}

fn look(path: &Path, format: InputFormat) -> Result<StoredInstance, ReadError> {
    let mut file = open_for_reading(path)?;
    inspect(&mut file, format)
}

/// Reads the head of a file: UIDs, transfer syntax and where the data set lies.
///
/// `input_format` is `either`, `file` or `data_set`. Raises OSError when the file cannot be read,
/// ValueError when it is no instance that can be sent.
#[pyfunction]
pub fn inspect_file(py: Python<'_>, path: PathBuf, input_format: &str) -> PyResult<FileInstance> {
    let format = format_named(input_format)?;
    let found = py.detach(|| look(&path, format)).map_err(|error| match error {
        ReadError::Io(error) => os_error(&error),
        error => PyValueError::new_err(error.to_string()),
    })?;
    Ok(FileInstance {
        sop_class_uid: text(found.sop_class_uid),
        sop_instance_uid: text(found.sop_instance_uid),
        transfer_syntax: found.transfer_syntax.to_string(),
        data_set_offset: found.data_set_offset,
        data_set_bytes: found.data_set_bytes,
    })
}

/// How the data set of a file that was inspected ends too early: DCMTK's condition, and the place.
/// None for one that is whole. Raises OSError when the file cannot be read.
#[pyfunction]
pub fn cut_of_file(
    py: Python<'_>,
    path: PathBuf,
    instance: &Bound<'_, FileInstance>,
) -> PyResult<Option<(String, String)>> {
    let found = instance.get();
    let transfer_syntax = uid(&found.transfer_syntax)?;
    let look = || -> io::Result<Option<(String, String)>> {
        let seen = look_through(
            &mut open_for_reading(&path)?,
            &transfer_syntax,
            found.data_set_offset,
            found.data_set_bytes,
        )?;
        Ok(seen.cut.map(|Cut { condition: (code, words), place }| {
            (format!("{code} {words}"), place.to_string())
        }))
    };
    py.detach(look).map_err(|error| os_error(&error))
}

/// One context of a block: ID, abstract syntax, result or None in a request, transfer syntaxes.
type Shown = (u8, String, Option<u8>, Vec<String>);

/// Roles of a context, SCU and SCP each: those that were proposed, and accepted; None for no selection.
type ShownRoles = (Option<(bool, bool)>, Option<(bool, bool)>);

/// An association as DCMTK's lines show it: `A-ASSOCIATE-RQ` as proposed, `-AC` as negotiated.
///
/// `roles` has those of each context, in the same order, where any were proposed.
#[pyfunction]
#[pyo3(signature = (
    kind, *, calling, called, max_pdu_bytes, peer_max_pdu_bytes, peer_implementation, contexts,
    user_identity=None, extended_negotiation=Vec::new(), roles=Vec::new(),
))]
#[allow(clippy::too_many_arguments)]
pub fn association_block(
    kind: &str,
    calling: &str,
    called: &str,
    max_pdu_bytes: u32,
    peer_max_pdu_bytes: u32,
    peer_implementation: (String, String),
    contexts: Vec<Shown>,
    user_identity: Option<(u8, Vec<u8>, bool)>,
    extended_negotiation: Vec<(String, Vec<u8>)>,
    roles: Vec<ShownRoles>,
) -> PyResult<String> {
    let requested = extended_negotiation
        .iter()
        .map(|(class, information)| Ok((uid(class)?.text(), &information[..])))
        .collect::<PyResult<_>>()?;
    let user_identity = user_identity.as_ref().map(|(kind, name, response)| UserIdentityBlock {
        kind: *kind,
        user_name: (*kind <= 2).then_some(&name[..]),
        response_requested: *response,
    });
    let is_request = kind == "A-ASSOCIATE-RQ";
    let mut roles = roles.into_iter();
    let shown = |(id, abstract_syntax, result, syntaxes): Shown| -> PyResult<ContextBlock> {
        let (proposed_role, accepted_role) = roles.next().unwrap_or_default();
        let syntaxes = syntaxes.iter().map(|syntax| Ok(uid(syntax)?.text()));
        Ok(ContextBlock {
            id,
            result: result.map(PresentationResult::from_byte),
            abstract_syntax: UidItem::of(uid(&abstract_syntax)?),
            proposed_role,
            accepted_role,
            transfer_syntaxes: syntaxes.collect::<PyResult<_>>()?,
        })
    };
    let called = AeTitle::new(called.as_bytes());
    let block = AssociationBlock {
        kind: if is_request { "A-ASSOCIATE-RQ" } else { "A-ASSOCIATE-AC" },
        our_implementation: (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME),
        their_implementation: peer_implementation,
        application_context: UidItem::of(Uid::known(APPLICATION_CONTEXT_NAME)),
        calling: AeTitle::new(calling.as_bytes()),
        called,
        // DCMTK shows what it expects already in the request.
        responding: Some(called),
        max_pdu_bytes: (max_pdu_bytes, peer_max_pdu_bytes),
        contexts: contexts.into_iter().map(shown).collect::<PyResult<_>>()?,
        extended_negotiation: (requested, Vec::new()),
        user_identity,
    };
    Ok(block.to_string())
}

/// A message as DCMTK's lines show it; `direction` is `INCOMING` or `OUTGOING`.
#[pyfunction]
pub fn message_block(direction: &str, fields: Vec<(String, String)>) -> String {
    let mut block = MessageBlock::default();
    for (name, value) in &fields {
        block.field(name, format_args!("{value}"));
    }
    block.closed(direction)
}

/// One context: ID, abstract syntax, result, transfer syntax when accepted.
type Answered = (u8, String, u8, Option<String>);

/// Responses to C-GET are gathered so long, unless the final one comes.
const GET_PORTION: Duration = Duration::from_millis(250);

/// Type of a user identity, whether an answer is asked for, primary and secondary field.
type IdentityRow = (u8, bool, Vec<u8>, Vec<u8>);

/// One association, requested by us.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct Association {
    requestor: Mutex<Option<Requestor>>,
    /// The request whose responses are due.
    pending: Mutex<Option<Pending>>,
    /// A C-GET under way, which has the association meanwhile.
    getting: Mutex<Option<Getting>>,
    /// Ends the wait of that C-GET.
    stop: Mutex<Option<StopFlag>>,
    /// Whoever waits in another thread gives the association up.
    is_aborting: Arc<AtomicBool>,
    negotiated: Negotiated,
}

/// What was agreed on; asked for without waiting for whoever is using the association.
struct Negotiated {
    contexts: Vec<Answered>,
    roles: Vec<Option<(bool, bool)>>,
    peer_max_pdu_bytes: u32,
    peer_implementation: (String, String),
    secured: Option<String>,
    details: Option<Details>,
}

impl Negotiated {
    fn of(requestor: &Requestor) -> Self {
        let answered = requestor.contexts().iter().map(|context| {
            (
                context.id,
                context.abstract_syntax.to_string(),
                context.result.byte(),
                context.transfer_syntax.map(|uid| uid.to_string()),
            )
        });
        let (uid, name) = requestor.peer_implementation();
        Self {
            contexts: answered.collect(),
            roles: requestor.contexts().iter().map(|context| context.role).collect(),
            peer_max_pdu_bytes: requestor.peer_max_pdu_bytes().unwrap_or(0),
            peer_implementation: (uid.to_owned(), name.to_owned()),
            secured: requestor.secured().map(str::to_owned),
            details: requestor.details().cloned(),
        }
    }
}

type Guard<'a> = MutexGuard<'a, Option<Requestor>>;

impl Association {
    fn lock(&self) -> Guard<'_> {
        self.requestor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn getting(&self) -> MutexGuard<'_, Option<Getting>> {
        self.getting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) -> MutexGuard<'_, Option<StopFlag>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Option<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the open association. Without the interpreter: who holds the lock may be asking it
    /// whether a signal came.
    pub fn inspect<T: Send>(
        &self,
        py: Python<'_>,
        look: impl Send + FnOnce(&Requestor) -> T,
    ) -> PyResult<T> {
        py.detach(|| self.lock().as_ref().map(look)).ok_or_else(ended)
    }

    /// Runs `work` on the open association without the interpreter.
    pub fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl Send + FnOnce(&mut Requestor) -> Result<T, dcmfast_core::client::ClientError>,
    ) -> PyResult<T> {
        py.detach(|| {
            let mut guard = self.lock();
            guard.as_mut().map(work)
        })
        .ok_or_else(ended)?
        .map_err(client_error)
    }
}

impl Drop for Association {
    /// One that nobody ended: the peer is not left to take the close for a broken line.
    fn drop(&mut self) {
        let requestor = self.lock().take();
        if let Some(requestor) = requestor.or_else(|| self.getting().take()?.into_requestor()) {
            requestor.abort();
        }
    }
}

fn no_query() -> PyErr {
    PyRuntimeError::new_err("no query is under way")
}

fn ended() -> PyErr {
    PyRuntimeError::new_err("the association has ended")
}

#[pymethods]
impl Association {
    /// Connects, and asks for an association with `contexts`: abstract syntax and transfer syntaxes
    /// each; for those of `scp_roles` the role of an SCP is proposed, for those of `both_roles` that
    /// of an SCU, too, and for those of `scu_roles` that alone. `user_identity` is a type, whether an
    /// answer is asked for, and two fields. With `is_shown_in_detail`, `details` has something to say.
    /// `giving_up` ends every wait, here and afterwards.
    #[new]
    #[pyo3(signature = (
        host, port, *, calling, called, contexts, max_pdu_bytes, max_send_pdu_bytes=None,
        connect_timeout_s=None, acse_timeout_s=None, dimse_timeout_s=None, socket_timeout_s=None,
        tcp_no_delay=true, tcp_buffer_bytes=None, tls=None, scp_roles=Vec::new(),
        both_roles=Vec::new(), scu_roles=Vec::new(), extended_negotiation=Vec::new(),
        user_identity=None, is_shown_in_detail=false, giving_up=None,
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        calling: &str,
        called: &str,
        contexts: Vec<(String, Vec<String>)>,
        max_pdu_bytes: u32,
        max_send_pdu_bytes: Option<u32>,
        connect_timeout_s: Option<u32>,
        acse_timeout_s: Option<u32>,
        dimse_timeout_s: Option<u32>,
        socket_timeout_s: Option<u32>,
        tcp_no_delay: bool,
        tcp_buffer_bytes: Option<usize>,
        tls: Option<Bound<'_, TlsContext>>,
        scp_roles: Vec<String>,
        both_roles: Vec<String>,
        scu_roles: Vec<String>,
        extended_negotiation: Vec<(String, Vec<u8>)>,
        user_identity: Option<IdentityRow>,
        is_shown_in_detail: bool,
        giving_up: Option<Bound<'_, GivingUp>>,
    ) -> PyResult<Self> {
        let seconds = |value: Option<u32>| value.map(|s| Duration::from_secs(u64::from(s)));
        let contexts = contexts
            .iter()
            .map(|(abstract_syntax, transfer_syntaxes)| {
                let list = transfer_syntaxes.iter().map(|text| uid(text));
                Ok((uid(abstract_syntax)?, list.collect::<PyResult<Vec<Uid>>>()?))
            })
            .collect::<PyResult<Vec<_>>>()?;
        let is_aborting = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_aborting);
        let given_up = giving_up.map(|it| it.get().flag()).unwrap_or_default();
        let is_given_up = {
            let given_up = Arc::clone(&given_up);
            move || given_up.load(Ordering::Acquire)
        };
        let asked = move || {
            flag.load(Ordering::Acquire) || given_up.load(Ordering::Acquire) || interrupted()
        };
        let proposal = Proposal {
            calling: AeTitle::new(calling.as_bytes()),
            called: AeTitle::new(called.as_bytes()),
            contexts,
            roles: [
                (&scp_roles, false, true),
                (&both_roles, true, true),
                (&scu_roles, true, false),
            ]
            .into_iter()
            .flat_map(|(classes, scu, scp)| classes.iter().map(move |class| (class, scu, scp)))
            .map(|(class, scu, scp)| {
                Ok(RoleSelection { sop_class_uid: uid(class)?.text(), scu, scp })
            })
            .collect::<PyResult<_>>()?,
            extended_negotiation: extended_negotiation
                .into_iter()
                .map(|(class, information)| {
                    Ok(ExtendedNegotiation { sop_class_uid: uid(&class)?.text(), information })
                })
                .collect::<PyResult<_>>()?,
            user_identity: user_identity.map(
                |(identity_type, positive_response_requested, primary_field, secondary_field)| {
                    UserIdentity {
                        identity_type,
                        positive_response_requested,
                        primary_field,
                        secondary_field,
                    }
                },
            ),
            max_pdu_bytes,
            max_send_pdu_bytes,
            transport: TransportOptions { no_delay: tcp_no_delay, buffer_bytes: tcp_buffer_bytes },
            tls: tls.map(|tls| tls.get().context.clone()),
            connect_timeout: seconds(connect_timeout_s),
            acse_timeout: seconds(acse_timeout_s),
            dimse_timeout: seconds(dimse_timeout_s),
            socket_timeout: seconds(socket_timeout_s),
            stop: None,
            interrupted: Some(Interrupt::new(asked)),
            is_shown_in_detail,
        };
        let name = host.to_owned();
        let connect = move || {
            let addresses = resolve(&name, port).map_err(|_| {
                ConnectError::new_err(format!("Attempt to connect to unknown host: {name}"))
            })?;
            Requestor::associate(&addresses, &proposal).map_err(client_error)
        };
        let requestor = beside_until(py, is_given_up, connect);
        let requestor = requestor.and_then(|result| result).inspect_err(|_| {
            // Whoever still waits for the peer there need not any more.
            is_aborting.store(true, Ordering::Release);
        })?;
        Ok(Self {
            negotiated: Negotiated::of(&requestor),
            requestor: Mutex::new(Some(requestor)),
            pending: Mutex::new(None),
            getting: Mutex::new(None),
            stop: Mutex::new(None),
            is_aborting,
        })
    }

    /// Each proposed context: ID, abstract syntax, result of PS3.8 Table 9-18, transfer syntax when
    /// accepted.
    fn contexts(&self) -> Vec<Answered> {
        self.negotiated.contexts.clone()
    }

    /// The roles that the peer answered for each proposed context, SCU and SCP; None where it
    /// answered none.
    fn roles(&self) -> Vec<Option<(bool, bool)>> {
        self.negotiated.roles.clone()
    }

    /// The peer's maximum length in bytes; 0 for no limit.
    #[getter]
    fn peer_max_pdu_bytes(&self) -> u32 {
        self.negotiated.peer_max_pdu_bytes
    }

    /// The peer's implementation class UID and version name.
    #[getter]
    fn peer_implementation(&self) -> (String, String) {
        self.negotiated.peer_implementation.clone()
    }

    /// Version, suite and peer of a secure connection; None for plain TCP.
    #[getter]
    fn secured(&self) -> Option<String> {
        self.negotiated.secured.clone()
    }

    /// What DCMTK shows at `-d`: the bytes of the answer, and how the connection is secured; None
    /// where this was not to be kept.
    #[getter]
    fn details(&self) -> Option<(String, Option<String>)> {
        let details = self.negotiated.details.as_ref()?;
        Some((details.answer.clone(), details.security.clone()))
    }

    /// True when the peer answered the user identity.
    #[getter]
    fn is_identity_answered(&self, py: Python<'_>) -> PyResult<bool> {
        self.inspect(py, Requestor::is_identity_answered)
    }

    /// Message ID of the next request.
    #[getter]
    fn next_message_id(&self, py: Python<'_>) -> PyResult<u16> {
        self.with(py, |requestor| Ok(requestor.next_message_id()))
    }

    /// How the next request, and that alone, differs from the usual: its message ID, its priority
    /// (PS3.7 Annex E: 0 medium, 1 high, 2 low), and for a C-STORE the title and message ID of the
    /// C-MOVE that it belongs to.
    #[pyo3(signature = (*, message_id=None, priority=None, move_originator=None))]
    fn set_manner(
        &self,
        py: Python<'_>,
        message_id: Option<u16>,
        priority: Option<u16>,
        move_originator: Option<(String, u16)>,
    ) -> PyResult<()> {
        let priority = match priority {
            None => None,
            Some(0) => Some(Priority::Medium),
            Some(1) => Some(Priority::High),
            Some(2) => Some(Priority::Low),
            Some(other) => return Err(unknown("priority", &other.to_string())),
        };
        let move_originator =
            move_originator.map(|(title, id)| (AeTitle::new(title.as_bytes()), id));
        let manner = Manner { message_id, priority, move_originator };
        self.with(py, |requestor| {
            requestor.set_manner(manner);
            Ok(())
        })
    }

    /// C-ECHO on a context; gives the status.
    fn echo(&self, py: Python<'_>, context_id: u8) -> PyResult<u16> {
        self.with(py, |requestor| Ok(requestor.echo(context_id)?.0))
    }

    /// C-STORE of the data set that lies in `path`; gives the status. With `dots`, DCMTK's progress
    /// goes to standard output: `XMIT: ` and a dot for each PDV.
    #[pyo3(signature = (context_id, path, instance, *, dots=false))]
    fn store(
        &self,
        py: Python<'_>,
        context_id: u8,
        path: PathBuf,
        instance: &Bound<'_, FileInstance>,
        dots: bool,
    ) -> PyResult<u16> {
        let instance = instance.get();
        let uid_text = |text: &str| {
            UidText::new(text.as_bytes()).ok_or_else(|| PyValueError::new_err("UID too long"))
        };
        let class = uid_text(&instance.sop_class_uid)?;
        let sop_instance = uid_text(&instance.sop_instance_uid)?;
        let mut file = open_for_reading(&path).map_err(|error| os_error(&error))?;
        file.seek(SeekFrom::Start(instance.data_set_offset)).map_err(|error| os_error(&error))?;
        // A fragment has an even length (PS3.8 §9.3.5.1), and DCMTK's receivers abort on another.
        // An odd data set is a deflated one without the padding that PS3.5 §A.5 asks for; it gets
        // it here.
        let padding: &[u8] = if instance.data_set_bytes % 2 == 1 { &[0] } else { &[] };
        let bytes = instance.data_set_bytes + padding.len() as u64;
        let mut file = file.chain(padding);
        self.with(py, |requestor| {
            let source: &mut dyn Read = &mut file;
            let print = |text: &str| {
                if dots {
                    Console.progress(text);
                }
            };
            print("XMIT: ");
            let mut progress = |pdvs: usize| print(&".".repeat(pdvs));
            let status =
                requestor.store(context_id, class, sop_instance, bytes, source, &mut progress);
            print("\n");
            Ok(status?.0)
        })
    }

    /// C-STORE of a data set in memory, encoded in the transfer syntax of the context; gives the
    /// status.
    fn store_bytes(
        &self,
        py: Python<'_>,
        context_id: u8,
        sop_class_uid: &str,
        sop_instance_uid: &str,
        data_set: PyBackedBytes,
    ) -> PyResult<u16> {
        let uid_text = |text: &str| {
            UidText::new(text.as_bytes()).ok_or_else(|| PyValueError::new_err("UID too long"))
        };
        let (class, instance) = (uid_text(sop_class_uid)?, uid_text(sop_instance_uid)?);
        self.with(py, |requestor| {
            let mut source = Cursor::new(&data_set[..]);
            let bytes = data_set.len() as u64;
            Ok(requestor.store(context_id, class, instance, bytes, &mut source, &mut |_| ())?.0)
        })
    }

    /// Sends C-FIND, C-MOVE or C-GET (`service`: find, move, get) with its identifier, encoded in the
    /// transfer syntax of the context. `pending_data` is `read` or `ignored`: what is done with a
    /// data set that a pending response announces.
    #[pyo3(signature = (
        service, context_id, identifier, *, destination=None, pending_data="read"
    ))]
    fn query(
        &self,
        py: Python<'_>,
        service: &str,
        context_id: u8,
        identifier: &[u8],
        destination: Option<&str>,
        pending_data: &str,
    ) -> PyResult<()> {
        let service = match service {
            "find" => QueryService::Find,
            "move" => QueryService::Move,
            "get" => QueryService::Get,
            other => return Err(unknown("service", other)),
        };
        let data = match pending_data {
            "read" => ResponseData::Read,
            "ignored" => ResponseData::PendingIgnored,
            other => return Err(unknown("treatment of pending data sets", other)),
        };
        let destination = destination.map(|title| AeTitle::new(title.as_bytes()));
        let identifier = identifier.to_vec();
        let pending = self.with(py, |requestor| {
            requestor.begin_query(service, context_id, destination, &identifier, data)
        })?;
        *self.pending() = Some(pending);
        Ok(())
    }

    /// Waits for the next response to the query, and gives it with those that have come with it.
    /// After the final one there is nothing to wait for, and RuntimeError is raised.
    fn responses(&self, py: Python<'_>) -> PyResult<Vec<QueryResponse>> {
        let pending = (*self.pending()).ok_or_else(no_query)?;
        let replies = self.with(py, |requestor| requestor.next_replies(pending))?;
        if replies.last().is_some_and(|reply| reply.status.class() != StatusClass::Pending) {
            *self.pending() = None;
        }
        Ok(replies.iter().map(|reply| QueryResponse::of(py, reply)).collect())
    }

    /// Sends C-GET with its identifier; what comes goes to `objects`. `titles` are ours and the peer's.
    fn get(
        &self,
        py: Python<'_>,
        context_id: u8,
        identifier: &[u8],
        objects: &Bound<'_, ObjectStore>,
        titles: (String, String),
    ) -> PyResult<()> {
        let shared = Arc::clone(&objects.get().shared);
        let titles = (AeTitle::new(titles.0.as_bytes()), AeTitle::new(titles.1.as_bytes()));
        let identifier = identifier.to_vec();
        let pending = self.with(py, |requestor| {
            let (get, read) = (QueryService::Get, ResponseData::Read);
            requestor.begin_query(get, context_id, None, &identifier, read)
        })?;
        let requestor = py.detach(|| self.lock().take()).ok_or_else(ended)?;
        let getting = Getting::new(requestor, shared, pending, titles);
        *self.stop() = Some(getting.stop());
        *self.getting() = Some(getting);
        Ok(())
    }

    /// Receives the objects of `get`, and gives its responses in portions: not for each object.
    fn get_responses(&self, py: Python<'_>) -> PyResult<Vec<QueryResponse>> {
        let mut getting = self.getting().take().ok_or_else(no_query)?;
        let stop = getting.stop();
        let receive = move || {
            let replies = getting.replies(GET_PORTION);
            (getting, replies)
        };
        // At once: a part of an object is worth nothing to whoever waits.
        let (getting, replies) = within(py, receive, || stop.raise_at_once())?;
        let replies = replies.map_err(client_error)?;
        let is_final =
            replies.last().is_some_and(|reply| reply.status.class() != StatusClass::Pending);
        if is_final {
            *self.stop() = None;
            *self.lock() = getting.into_requestor();
        } else {
            *self.getting() = Some(getting);
        }
        Ok(replies.iter().map(|reply| QueryResponse::of(py, reply)).collect())
    }

    /// Sends C-CANCEL for the query; responses go on up to a final one.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let cancelled = py.detach(|| self.getting().as_mut().map(Getting::cancel));
        if let Some(cancelled) = cancelled {
            return cancelled.map_err(client_error);
        }
        let pending = (*self.pending()).ok_or_else(no_query)?;
        self.with(py, |requestor| requestor.cancel(pending))
    }

    /// Releases the association and closes.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let requestor = py.detach(|| self.lock().take()).ok_or_else(ended)?;
        py.detach(|| requestor.release()).map_err(client_error)
    }

    /// Aborts the association and closes. Whoever waits for the peer in another thread is told so
    /// within a quarter of a second.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.is_aborting.store(true, Ordering::Release);
        if let Some(stop) = &*self.stop() {
            stop.raise_at_once();
        }
        py.detach(|| {
            let requestor = self.lock().take();
            let getting = || self.getting().take().and_then(Getting::into_requestor);
            requestor.or_else(getting).map(Requestor::abort)
        })
        .ok_or_else(ended)
    }
}
