//! Data dictionaries that a user puts in the place of the built-in one.

use dcmfast_core::dictionary::custom::{CustomDictionary, Entry, Span, install};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// First and last group and which of them, the same of the element, creator, VR, name: an entry of
/// `dcmfast.config.dictionary.Dictionary`.
type Line = (u16, u16, u8, u16, u16, u8, String, String, String);

/// Puts these entries in the place of the built-in dictionary, for as long as the process lives;
/// false if others are there already.
#[pyfunction]
pub fn use_dictionary(entries: Vec<Line>) -> PyResult<bool> {
    let entries = entries
        .into_iter()
        .map(
            |(
                first,
                last,
                every,
                element_first,
                element_last,
                element_every,
                creator,
                vr,
                name,
            )| {
                let vr = vr.as_bytes().try_into().map_err(|_| {
                    PyValueError::new_err(format!("{vr:?} is no value representation"))
                })?;
                Ok(Entry {
                    group: Span { first, last, every },
                    element: Span {
                        first: element_first,
                        last: element_last,
                        every: element_every,
                    },
                    creator: creator.into_bytes().into(),
                    vr,
                    keyword: name.into(),
                })
            },
        )
        .collect::<PyResult<Vec<_>>>()?;
    Ok(install(CustomDictionary::new(entries)))
}
