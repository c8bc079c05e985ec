//! Element tables for Cython: `dcmfast_core::dataset::element_table` as Python functions.
//!
//! Tables travel as `bytes`, which Cython reads in place: a copy of 32 bytes per element was
//! cheaper than a class with a buffer, whose acquisition costs more than most tables' copy. Called
//! by `cython/dcmfast/_cython/element_view.pyx` only. Beside them, the rewriter for tests.

use dcmfast_core::dataset::element_table::{
    self, KnownTags, Options, Stop, Walk, Window, scan_data_set as scan_top_level,
};
use dcmfast_core::dataset::rewrite::{PixelHints, Rewriting, rewrite};
use dcmfast_core::dataset::transfer_syntax::TransferSyntax;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::server::uid;

/// The headers are implicit.
const IMPLICIT: u32 = 1;
/// The byte order is big endian.
const BIG_ENDIAN: u32 = 2;
/// The scan starts a data set; without it, it goes on.
const START: u32 = 4;
/// Stop at the first element that is not of group 0002.
const STOP_AFTER_FILE_META: u32 = 8;
/// Stop at the first element of pixel data.
const STOP_AT_PIXEL_DATA: u32 = 16;

/// Which tags a dictionary knows, as sequences and as anything else.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct ElementDictionary {
    known: KnownTags,
}

#[pymethods]
impl ElementDictionary {
    #[new]
    fn new(sequences: Vec<u32>, others: Vec<u32>) -> Self {
        Self { known: KnownTags::new(sequences, others) }
    }
}

/// Scans the top level of a data set in `data`, a window on a source of `end` bytes that starts at
/// `base`, from the index `start`; returns the element table.
#[pyfunction]
pub fn scan_data_set<'py>(
    py: Python<'py>,
    data: &[u8],
    start: usize,
    base: u64,
    end: u64,
    flags: u32,
    dictionary: &ElementDictionary,
) -> Bound<'py, PyBytes> {
    let stop = if flags & STOP_AFTER_FILE_META != 0 {
        Stop::OtherGroup(0x0002)
    } else if flags & STOP_AT_PIXEL_DATA != 0 {
        Stop::PixelData
    } else {
        Stop::Never
    };
    let options = Options {
        is_implicit: flags & IMPLICIT != 0,
        is_big_endian: flags & BIG_ENDIAN != 0,
        is_start: flags & START != 0,
        stop,
    };
    let table = scan_top_level(Window { data, base, end }, start, options, &dictionary.known);
    PyBytes::new(py, &table)
}

/// Scans the value of a sequence of defined length; returns the element table.
#[pyfunction]
pub fn scan_sequence<'py>(
    py: Python<'py>,
    data: &[u8],
    flags: u32,
    dictionary: &ElementDictionary,
) -> Bound<'py, PyBytes> {
    let is_implicit = flags & IMPLICIT != 0;
    let is_big_endian = flags & BIG_ENDIAN != 0;
    PyBytes::new(
        py,
        &element_table::scan_sequence(data, is_implicit, is_big_endian, &dictionary.known),
    )
}

/// Walks fragments in a window that starts at an item header. Returns (True, offset of the
/// delimiter), (False, offset of the next header outside the window), or None if they are none.
#[pyfunction]
pub fn walk_fragments(
    data: &[u8],
    base: u64,
    end: u64,
    is_big_endian: bool,
) -> Option<(bool, u64)> {
    match element_table::walk_fragments(Window { data, base, end }, is_big_endian) {
        Walk::Delimiter(offset) => Some((true, offset)),
        Walk::More(offset) => Some((false, offset)),
        Walk::NotFragments => None,
    }
}

/// The data set `data` of transfer syntax `source` as one of transfer syntax `target`.
///
/// Raises ValueError for a data set that is not whole, and where one of the two is not among
/// Implicit VR Little Endian, Explicit VR Little and Big Endian, and deflated.
#[pyfunction]
pub fn rewrite_data_set<'py>(
    py: Python<'py>,
    data: &[u8],
    source: &str,
    target: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let (from, to) = (uid(source)?, uid(target)?);
    let hints = PixelHints::of_head(data, TransferSyntax::of(&from));
    let rewriting = Rewriting::between(&from, &to, hints).ok_or_else(|| {
        PyValueError::new_err(format!("no way from {source} to {target} without the pixels"))
    })?;
    let result = py.detach(|| rewrite(data, &rewriting));
    let result = result.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &result))
}
