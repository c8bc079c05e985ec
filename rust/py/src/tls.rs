//! `TlsContext`: what a process offers and demands in every TLS handshake.

use dcmfast_core::log::Level;
use dcmfast_core::net::tls;
use dcmfast_core::net::tls::suites::{Profile, supported};
use dcmfast_core::net::tls::{
    Identity, KeyFormat, Line, NamedFile, PeerAuthentication, RevocationCheck, Role, StartFault,
    TlsPlan,
};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::server::unknown;

pyo3::create_exception!(
    _rust,
    TlsPasswordNeeded,
    PyValueError,
    "The private key is encrypted, and no password was given."
);
pyo3::create_exception!(
    _rust,
    TlsStartError,
    PyValueError,
    "TLS cannot be had; the argument is a list of log lines, each a letter and a text."
);

/// A file as it was typed, and what is in it.
type File = (String, Vec<u8>);

/// Everything that is decided; the field names are those of the keyword arguments.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Plan {
    role: String,
    /// Key and certificate.
    identity: Option<(File, File)>,
    password: Option<Vec<u8>>,
    key_format: String,
    authority_files: Vec<String>,
    authority_directories: Vec<String>,
    revocation_files: Vec<String>,
    revocation_check: String,
    profile: String,
    added_suites: Vec<String>,
    dh_parameters: Option<File>,
    peer_authentication: String,
    server_name: Option<String>,
    seed: Option<Vec<u8>>,
}

impl Plan {
    fn compile(self) -> PyResult<TlsPlan> {
        let file = |(name, bytes): File| NamedFile { name, bytes };
        let password = self.password;
        Ok(TlsPlan {
            role: match &*self.role {
                "acceptor" => Role::Acceptor,
                "requestor" => Role::Requestor,
                other => return Err(unknown("role", other)),
            },
            identity: self.identity.map(|(key, certificate)| Identity {
                key: file(key),
                certificate: file(certificate),
                password,
            }),
            format: format_named(&self.key_format)?,
            authority_files: self.authority_files,
            authority_directories: self.authority_directories,
            revocation_files: self.revocation_files,
            revocation_check: match &*self.revocation_check {
                "off" => RevocationCheck::Off,
                "leaf" => RevocationCheck::Leaf,
                "chain" => RevocationCheck::Chain,
                other => return Err(unknown("revocation check", other)),
            },
            profile: Profile::named(&self.profile)
                .ok_or_else(|| unknown("TLS profile", &self.profile))?,
            added_suites: self.added_suites,
            dh_parameters: self.dh_parameters.map(file),
            peer_authentication: match &*self.peer_authentication {
                "require" => PeerAuthentication::Require,
                "verify" => PeerAuthentication::VerifyIfPresent,
                "ignore" => PeerAuthentication::Ignore,
                other => return Err(unknown("peer authentication", other)),
            },
            server_name: self.server_name,
            seed: self.seed,
        })
    }
}

fn format_named(name: &str) -> PyResult<KeyFormat> {
    Ok(match name {
        "pem" => KeyFormat::Pem,
        "der" => KeyFormat::Der,
        other => return Err(unknown("key format", other)),
    })
}

/// Lines as Python tells them: a letter and a text each.
fn told(lines: Vec<Line>) -> Vec<(&'static str, String)> {
    let letter = |level: Level| match level {
        Level::Fatal => "F",
        Level::Error => "E",
        Level::Warn => "W",
        _ => "I",
    };
    lines.into_iter().map(|(level, text)| (letter(level), text)).collect()
}

/// What every handshake of this process offers and demands.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct TlsContext {
    /// The engine's.
    pub context: tls::TlsContext,
    lines: Vec<(&'static str, String)>,
}

#[pymethods]
impl TlsContext {
    /// Takes over keys, certificates and rules.
    ///
    /// Raises `TlsPasswordNeeded` when the key is encrypted and `password` is None, `TlsStartError`
    /// when anything is wrong.
    #[new]
    #[pyo3(signature = (**plan))]
    fn new(py: Python<'_>, plan: Option<Plan>) -> PyResult<Self> {
        let Some(plan) = plan else { return Err(PyValueError::new_err("no plan was given")) };
        let plan = plan.compile()?;
        match py.detach(|| tls::TlsContext::new(&plan)) {
            Ok((context, lines)) => Ok(Self { context, lines: told(lines) }),
            Err(StartFault::PasswordNeeded) => {
                Err(TlsPasswordNeeded::new_err("the private key is encrypted"))
            }
            Err(StartFault::Refused(lines)) => Err(TlsStartError::new_err((told(lines),))),
        }
    }

    /// Warnings for the log: a letter and a text each.
    #[getter]
    fn warnings(&self) -> Vec<(&'static str, String)> {
        self.lines.clone()
    }

    /// Why a certificate, in the context's format, would be refused of a peer; None if it would not
    /// (`--verify-cert`).
    fn refusal_of(&self, certificate: Vec<u8>) -> Option<String> {
        self.context.refusal_of(&certificate)
    }
}

/// True for a certificate that is its own authority (`--is-root-cert`).
///
/// Raises ValueError when there is no certificate in the bytes.
#[pyfunction]
pub fn tls_is_root_certificate(certificate: Vec<u8>, key_format: &str) -> PyResult<bool> {
    tls::is_root_certificate(&certificate, format_named(key_format)?).map_err(PyValueError::new_err)
}

/// Bytes of the library's random generator, for a seed file (`--write-seed`).
#[pyfunction]
pub fn tls_random_bytes(py: Python<'_>, count: usize) -> PyResult<Bound<'_, PyBytes>> {
    let bytes = tls::random_bytes(count).map_err(PyOSError::new_err)?;
    Ok(PyBytes::new(py, &bytes))
}

/// Names of the cipher suites that the library has (`--list-ciphers`), weakest first.
#[pyfunction]
pub fn tls_cipher_suites() -> Vec<&'static str> {
    supported()
}

/// The TLS library at work, with its version.
#[pyfunction]
pub fn tls_library() -> &'static str {
    tls::library()
}
