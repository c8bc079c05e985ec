//! The one place where a failure of the engine becomes a Python exception.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use dcmfast_core::client::ClientError;
use dcmfast_core::log::system_text;
use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyRuntimeError};
use pyo3::prelude::*;

pyo3::create_exception!(_rust, AssociationError, PyRuntimeError, "An association failed.");
pyo3::create_exception!(_rust, ConnectError, AssociationError, "No transport connection.");
pyo3::create_exception!(
    _rust,
    AssociationRejected,
    AssociationError,
    "A-ASSOCIATE-RJ; arguments: result, source, reason, and each in words."
);
pyo3::create_exception!(
    _rust,
    PeerAborted,
    AssociationError,
    "The peer aborted or vanished; arguments: DCMTK's condition, and what it did."
);
pyo3::create_exception!(
    _rust,
    PeerReleased,
    AssociationError,
    "The peer asked for the release; arguments as of PeerAborted."
);
pyo3::create_exception!(_rust, TimedOut, AssociationError, "No answer in time.");
pyo3::create_exception!(_rust, ProtocolError, AssociationError, "The peer broke the protocol.");
pyo3::create_exception!(
    _rust,
    TlsFailed,
    AssociationError,
    "TLS failed; arguments: the condition with its number, and what it means."
);
pyo3::create_exception!(
    _rust,
    LocalProtocolError,
    AssociationError,
    "We were about to break the protocol; nothing was sent."
);

pyo3::create_exception!(
    _rust,
    IndexToolError,
    PyRuntimeError,
    "A tool of an index failed; arguments: a word for what kind it is, and the text."
);

/// The system's error as OSError with its errno, which the front ends turn into their words.
pub fn os_error(error: &io::Error) -> PyErr {
    match error.raw_os_error() {
        // The class (FileNotFoundError, PermissionError, …) follows from the number.
        Some(number) => PyOSError::new_err((number, system_text(error))),
        None => PyOSError::new_err(error.to_string()),
    }
}

/// The same, with the file that it is about.
pub fn os_error_of(error: &io::Error, path: &Path) -> PyErr {
    match error.raw_os_error() {
        Some(number) => {
            PyOSError::new_err((number, system_text(error), path.as_os_str().to_owned()))
        }
        None => PyOSError::new_err(format!("{}: {error}", path.display())),
    }
}

/// What a signal handler raised while the engine waited.
static RAISED: Mutex<Option<PyErr>> = Mutex::new(None);

/// Lets Python's signal handlers have their turn; true when one raised, which
/// [`client_error`] hands on.
pub fn interrupted() -> bool {
    let raised = Python::attach(|py| py.check_signals().err());
    let has_raised = raised.is_some();
    if has_raised {
        *RAISED.lock().unwrap_or_else(PoisonError::into_inner) = raised;
    }
    has_raised
}

/// What the peer did to end the association, where that is what happened.
pub fn ending(error: &ClientError) -> Option<String> {
    Some(match error {
        ClientError::PeerAborted(abort) => format!("it sent A-ABORT, {abort}"),
        ClientError::PeerGone(None) => "it closed the connection".into(),
        ClientError::PeerGone(Some(error)) => {
            format!("the connection broke: {}", system_text(error))
        }
        ClientError::PeerReleased => "it asked for the release".into(),
        _ => return None,
    })
}

/// `error` as the exception that Python catches.
pub fn client_error(error: ClientError) -> PyErr {
    let text = error.to_string();
    let ending = ending(&error);
    match error {
        ClientError::Tls(fault) => TlsFailed::new_err((text, fault.explanation)),
        ClientError::Connect(_) => ConnectError::new_err(text),
        ClientError::Rejected(rejection) => AssociationRejected::new_err((
            rejection.result,
            rejection.source,
            rejection.reason,
            rejection.result_text(),
            rejection.source_text(),
            rejection.reason_text(),
        )),
        ClientError::PeerAborted(_) | ClientError::PeerGone(_) => {
            PeerAborted::new_err((text, ending))
        }
        ClientError::PeerReleased => PeerReleased::new_err((text, ending)),
        ClientError::TimedOut => TimedOut::new_err(text),
        ClientError::Interrupted => {
            let raised = RAISED.lock().unwrap_or_else(PoisonError::into_inner).take();
            raised.unwrap_or_else(|| PyKeyboardInterrupt::new_err(()))
        }
        ClientError::Source(source) | ClientError::Unsent(source) => os_error(&source),
        ClientError::NoContext | ClientError::Local(_) => LocalProtocolError::new_err(text),
        _ => ProtocolError::new_err(text),
    }
}
