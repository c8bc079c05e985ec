//! `rewrite`: a file in another encoding, for `dcmfast.rewrite` and `dcmfast dcmconv`.

use std::io::{self, Cursor, IoSlice};
use std::path::{Path, PathBuf};

use dcmfast_core::dataset::rewrite::RewriteError;
use dcmfast_core::storage::backend::{Backend, Disk, Publish, open_for_reading};
use dcmfast_core::storage::convert::{
    Conversion, ConvertError, Converted, ResultMeta, SourceSyntax, convert,
};
use dcmfast_core::storage::naming::AreaPath;
use dcmfast_core::storage::reader::ReadError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use crate::client::format_named;
use crate::encoding::EncodingTable;
use crate::error::{os_error, os_error_of};
use crate::server::{uid, unknown};

/// A file, or its bytes.
#[derive(FromPyObject)]
pub enum Source {
    Bytes(PyBackedBytes),
    Path(PathBuf),
}

/// The options; the field names are those of the keyword arguments.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Options {
    output_encoding: EncodingTable,
    file_meta: String,
    source_format: String,
    /// Empty for what the file says, `detect`, or a UID.
    source_transfer_syntax: String,
    overwrite: bool,
}

impl Options {
    fn conversion(&self) -> PyResult<Conversion> {
        Ok(Conversion {
            encoding: self.output_encoding.compile()?,
            meta: match &*self.file_meta {
                "new" => ResultMeta::New,
                "keep" => ResultMeta::Kept,
                "none" => ResultMeta::None,
                other => return Err(unknown("file meta information", other)),
            },
            format: format_named(&self.source_format)?,
            source: match &*self.source_transfer_syntax {
                "" => SourceSyntax::Told,
                "detect" => SourceSyntax::Detected,
                text => SourceSyntax::Known(uid(text)?),
            },
        })
    }
}

/// What was made: transfer syntax, bytes, whether the data set has changed, the file itself where it was
/// not written, and what is odd about the source, a line each.
type Made<'py> = (String, u64, bool, Option<Bound<'py, PyBytes>>, Vec<String>);

/// Makes of `source`, a path or the bytes of a file, a file in another encoding: `target`, which may
/// be the same and is there as a whole or not at all, or bytes where it is None.
///
/// Raises OSError where a file cannot be read or written, FileExistsError where `target` exists and
/// `overwrite` is false, ValueError where `source` is no DICOM file, its data set is not whole, or
/// there is no way between the two transfer syntaxes.
#[pyfunction]
#[pyo3(signature = (source, target, **options))]
pub fn rewrite<'py>(
    py: Python<'py>,
    source: Source,
    target: Option<PathBuf>,
    options: Option<Bound<'py, PyDict>>,
) -> PyResult<Made<'py>> {
    let Some(given) = options else { return Err(PyValueError::new_err("no options were given")) };
    let options: Options = given.extract()?;
    let conversion = options.conversion()?;
    let mut made = Vec::new();
    let result = match &target {
        None => py.detach(|| {
            pass(&source, &conversion, &mut |block| {
                made.extend_from_slice(block);
                Ok(())
            })
        }),
        Some(target) => {
            let name = target.file_name().and_then(|name| name.to_str());
            let Some(name) = name.and_then(AreaPath::of_name) else {
                let shown = target.display();
                return Err(PyValueError::new_err(format!("{shown} names no file")));
            };
            let how = if options.overwrite { Publish::Replace } else { Publish::New };
            py.detach(|| write(&source, &conversion, target, &name, how))
        }
    };
    let converted = result.map_err(|error| match error {
        ConvertError::Source(ReadError::Io(error))
        | ConvertError::DataSet(RewriteError::Source(error)) => match &source {
            Source::Path(path) => os_error_of(&error, path),
            Source::Bytes(_) => os_error(&error),
        },
        ConvertError::Target(error) => match &target {
            Some(path) => os_error_of(&error, path),
            None => os_error(&error),
        },
        error => PyValueError::new_err(error.to_string()),
    })?;
    let Converted { transfer_syntax, bytes, is_changed, oddities } = converted;
    let data = target.is_none().then(|| PyBytes::new(py, &made));
    let oddities = oddities.lines().collect();
    Ok((transfer_syntax.to_string(), bytes, is_changed, data, oddities))
}

fn pass(
    source: &Source,
    conversion: &Conversion,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Converted, ConvertError> {
    match source {
        Source::Bytes(bytes) => convert(Cursor::new(&bytes[..]), conversion, sink),
        Source::Path(path) => {
            let file = open_for_reading(path);
            convert(file.map_err(|error| ConvertError::Source(error.into()))?, conversion, sink)
        }
    }
}

fn write(
    source: &Source,
    conversion: &Conversion,
    target: &Path,
    name: &AreaPath,
    how: Publish,
) -> Result<Converted, ConvertError> {
    let directory = match target.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let disk = Disk::with_unnamed_parts(directory, false).map_err(ConvertError::Target)?;
    let mut part = disk.create_part().map_err(ConvertError::Target)?;
    let mut append = |block: &[u8]| part.append(&mut [IoSlice::new(block)]);
    let converted = pass(source, conversion, &mut append)?;
    part.close().map_err(ConvertError::Target)?;
    part.publish(name, how).map_err(ConvertError::Target)?;
    Ok(converted)
}
