//! Output options as Python compiles them: one dictionary, which becomes an `OutputEncoding`.
//!
//! Called by `server`, `archive`, `client` and `rewrite`.

use dcmfast_core::dataset::rewrite::{
    GroupLengths, LengthEncoding, OutputEncoding, Padding, TextPadding, Unknown,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::server::{uid, unknown};

/// Deflate levels, as zlib has them.
const DEFLATE_LEVEL_MAX: u32 = 9;

/// `"keep"`, `"remove"`, or the numbers of `+p`.
#[derive(FromPyObject)]
enum PaddingWord {
    Aligned((u32, u32)),
    Word(String),
}

/// The dictionary; its keys are those of `dcmfast.types.OutputEncoding`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct EncodingTable {
    /// Empty for that of the source.
    transfer_syntax: String,
    lengths: String,
    group_lengths: String,
    padding: PaddingWord,
    values: String,
    new_vrs: bool,
    unknown: String,
    deflate_level: Option<u32>,
}

impl EncodingTable {
    /// The options as the engine reads them.
    pub fn compile(&self) -> PyResult<OutputEncoding> {
        let transfer_syntax = match &*self.transfer_syntax {
            "" => None,
            text => Some(uid(text)?),
        };
        if let Some(level) = self.deflate_level.filter(|level| *level > DEFLATE_LEVEL_MAX) {
            return Err(PyValueError::new_err(format!("no deflate level {level}")));
        }
        Ok(OutputEncoding {
            transfer_syntax,
            lengths: match &*self.lengths {
                "explicit" => LengthEncoding::Explicit,
                "undefined" => LengthEncoding::Undefined,
                other => return Err(unknown("length encoding", other)),
            },
            group_lengths: match &*self.group_lengths {
                "recalculate" => GroupLengths::Recalculated,
                "create" => GroupLengths::Created,
                "remove" => GroupLengths::Removed,
                other => return Err(unknown("group length encoding", other)),
            },
            padding: match &self.padding {
                PaddingWord::Aligned((0, 0)) => Padding::Removed,
                PaddingWord::Aligned((file, item)) => Padding::Aligned { file: *file, item: *item },
                PaddingWord::Word(word) => match &**word {
                    "keep" => Padding::Kept,
                    "remove" => Padding::Removed,
                    other => return Err(unknown("padding", other)),
                },
            },
            text: match &*self.values {
                "trim" => TextPadding::Minimal,
                "keep" => TextPadding::Even,
                other => return Err(unknown("treatment of values", other)),
            },
            has_new_vrs: self.new_vrs,
            unknown: match &*self.unknown {
                "keep" => Unknown::Kept,
                "convert" => Unknown::Converted,
                other => return Err(unknown("treatment of UN", other)),
            },
            deflate_level: self.deflate_level,
            pads_words: false,
            is_normalised: true,
        })
    }
}

/// The key `output_encoding` of a plan; absent or `None` where bytes stay as they come.
pub fn given_encoding(plan: &Bound<'_, pyo3::types::PyDict>) -> PyResult<Option<OutputEncoding>> {
    let Some(value) = plan.get_item("output_encoding")?.filter(|value| !value.is_none()) else {
        return Ok(None);
    };
    value.extract::<EncodingTable>()?.compile().map(Some)
}
