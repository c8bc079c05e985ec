//! Query keys, identifiers and responses, for the query and retrieve clients.
//!
//! What a key or a query file is, the engine decides; Python hands over text and file names, and
//! shows what comes back. Called by `dcmfast.net.query`.

use std::path::PathBuf;

use dcmfast_core::client::query::Reply;
use dcmfast_core::dataset::dump::dump_whole;
use dcmfast_core::dataset::identifier::{Encoding, Item, inflated};
use dcmfast_core::dataset::json::json;
use dcmfast_core::dataset::query_keys::{Form, QueryKey, QueryKeys};
use dcmfast_core::dataset::transfer_syntax::TransferSyntax;
use dcmfast_core::dataset::xml::xml;
use dcmfast_core::log::escaped;
use dcmfast_core::storage::backend::open_for_reading;
use dcmfast_core::storage::file_meta::FileMeta;
use dcmfast_core::storage::reader::{ReadError, read_identifier};
use dcmfast_core::tag::FAILED_SOP_INSTANCE_UID_LIST;
use dcmfast_core::uid::IMPLEMENTATION_VERSION_NAME;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::os_error;
use crate::server::uid;

fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn transfer_syntax(text: &str) -> PyResult<TransferSyntax> {
    Ok(TransferSyntax::of(&uid(text)?))
}

/// Raises ValueError, with DCMTK's words, for a key that the dictionary does not know or whose value
/// cannot be one.
#[pyfunction]
pub fn check_query_key(text: &[u8]) -> PyResult<()> {
    QueryKey::parse(text).map(drop).map_err(value_error)
}

/// The identifier of a request, encoded in `transfer_syntax`: the data set of a query file, if one is
/// named, with `keys` put over it in their order.
///
/// Raises OSError when the file cannot be read, ValueError when it is no data set.
#[pyfunction]
#[pyo3(signature = (path, keys, transfer_syntax, *, new_vrs=true, deflate_level=None))]
pub fn query_identifier<'py>(
    py: Python<'py>,
    path: Option<PathBuf>,
    keys: Vec<Vec<u8>>,
    transfer_syntax: &str,
    new_vrs: bool,
    deflate_level: Option<u32>,
) -> PyResult<Bound<'py, PyBytes>> {
    let syntax = uid(transfer_syntax)?;
    let form = Form { without_new_vrs: !new_vrs, deflate_level };
    let mut all = match path {
        None => QueryKeys::default(),
        Some(path) => {
            let read = py.detach(|| -> Result<_, ReadError> {
                let mut file = open_for_reading(&path)?;
                read_identifier(&mut file)
            });
            let (found, bytes) = read.map_err(|error| match error {
                ReadError::Io(error) => os_error(&error),
                error => value_error(error),
            })?;
            QueryKeys::read(&bytes, &found).map_err(value_error)?
        }
    };
    for key in keys {
        all.set(&QueryKey::parse(&key).map_err(value_error)?).map_err(value_error)?;
    }
    Ok(PyBytes::new(py, &all.encode_as(&syntax, form).map_err(value_error)?))
}

/// An identifier as lines, in the form of DCMTK's dcmdump; whole, and with its text as its own
/// character set says; with blanks at the end of text where `with_padding`.
#[pyfunction]
#[pyo3(signature = (data, transfer_syntax, *, with_padding=false))]
pub fn dump_identifier(data: &[u8], transfer_syntax: &str, with_padding: bool) -> PyResult<String> {
    Ok(dump_whole(self::transfer_syntax(transfer_syntax)?, data, with_padding))
}

/// An identifier in the DICOM JSON model. Raises ValueError for what is none.
#[pyfunction]
pub fn identifier_json(data: &[u8], transfer_syntax: &str) -> PyResult<String> {
    json(self::transfer_syntax(transfer_syntax)?, data).map_err(value_error)
}

/// An identifier as a `data-set` element of DCMTK's XML. Raises ValueError for what is none.
#[pyfunction]
pub fn identifier_xml(data: &[u8], transfer_syntax: &str) -> PyResult<String> {
    xml(&uid(transfer_syntax)?, data).map_err(value_error)
}

/// What a file with this data set begins with: preamble and file meta information.
#[pyfunction]
pub fn file_head<'py>(
    py: Python<'py>,
    sop_class_uid: &str,
    sop_instance_uid: &str,
    transfer_syntax: &str,
) -> Bound<'py, PyBytes> {
    let mut head = Vec::new();
    FileMeta {
        sop_class: sop_class_uid.as_bytes(),
        sop_instance: sop_instance_uid.as_bytes(),
        transfer_syntax: transfer_syntax.as_bytes(),
        version_name: IMPLEMENTATION_VERSION_NAME,
        source_ae_title: None,
    }
    .encode(&mut head);
    PyBytes::new(py, &head)
}

/// The Failed SOP Instance UID List (0008,0058) of a response, escaped; empty where there is none.
#[pyfunction]
pub fn failed_uids(data: &[u8], transfer_syntax: &str) -> PyResult<Vec<String>> {
    let syntax = self::transfer_syntax(transfer_syntax)?;
    let Ok(bytes) = inflated(syntax, data) else { return Ok(Vec::new()) };
    let Ok(item) = Item::read(&bytes, Encoding::of(syntax)) else { return Ok(Vec::new()) };
    let value = item.value(FAILED_SOP_INSTANCE_UID_LIST);
    let padded = |byte: &u8| matches!(byte, b' ' | 0);
    let uids = value.split(|byte| *byte == b'\\').filter_map(|uid| {
        let end = uid.iter().rposition(|byte| !padded(byte))?;
        Some(escaped(&uid[..=end]).to_string())
    });
    Ok(uids.collect())
}

/// Remaining, completed, failed, warnings.
type Counts = (Option<u16>, u16, u16, u16);

/// One response to C-FIND, C-MOVE or C-GET.
#[pyclass(frozen, get_all, module = "dcmfast._rust")]
pub struct QueryResponse {
    /// Status.
    status: u16,
    /// Remaining (None when it was not said), completed, failed and warned sub-operations; None when
    /// none were counted.
    sub_operations: Option<Counts>,
    /// Error comment, escaped; empty where there is none.
    error_comment: String,
    /// The data set, in the transfer syntax of the context.
    identifier: Option<Py<PyBytes>>,
}

impl QueryResponse {
    pub fn of(py: Python<'_>, reply: &Reply) -> Self {
        let counts = |counts: dcmfast_core::dimse::service::SubOperations| {
            (counts.remaining, counts.completed, counts.failed, counts.warning)
        };
        let identifier = reply.identifier.as_ref();
        Self {
            status: reply.status.0,
            sub_operations: reply.sub_operations.map(counts),
            error_comment: escaped(reply.error_comment.as_deref().unwrap_or_default()).to_string(),
            identifier: identifier.map(|bytes| PyBytes::new(py, bytes).unbind()),
        }
    }
}
