//! The extension module `dcmfast._rust`: the only crate that names pyo3.

use pyo3::prelude::*;

/// Compiled core of dcmfast.
#[pymodule]
mod _rust {
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
