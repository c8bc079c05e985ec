//! A data set re-encoded: byte order, VR form, lengths, group lengths, padding, deflate.
//!
//! Source: PS3.5 §7.1 (data elements), §7.2 (group lengths), §7.5 (sequences), §6.2.2 (UN), §8.1.2 and
//! Annex A (which VR an element has where Implicit VR leaves it out), §A.5 (deflate).
//!
//! [`Rewriter`] is a `Read` over a `Read`: bulk values are copied or byte-swapped on their way, and
//! what is held is one block in, one block out, a stack of open sequences of bounded depth, a text of
//! at most 64 KiB, 12 bytes of a header and 7 of a number that was cut. Nothing recurses. Values stay
//! equal; a data set that is not whole is an error, never a shorter data set.
//!
//! What an [`OutputEncoding`] asks for may need lengths that stand before what they count. Then there
//! are two passes: a [`Survey`] finds them, four bytes each, and the rewriter takes them. A survey also
//! tells whether anything changes, so that a data set which is as it should be is not written twice.
//! Both passes may go on side by side while the bytes arrive ([`Surveyor`], [`SecondPass`]), the second
//! as far as all lengths are known. A data set whose elements are out of order is read in the right one
//! (`order.rs`). The walk that both passes share is `recode`.
//!
//! What is decided where the standard leaves it open:
//! * Where an encoding keeps lengths, sequences and items leave with undefined length between Implicit
//!   and Explicit VR, and group lengths are dropped; else lengths stay as they are.
//! * An element without a name in the dictionary is UN, its value untouched; of undefined length it
//!   is a sequence, as nothing else may have that (§7.1.3).
//! * A value too long for its VR's 2-byte length is UN (§6.2.2), in little endian as UN always is.
//! * US or SS follows Pixel Representation, of this item or the nearest around it; for the few such
//!   elements that stand before it, [`PixelHints`] tells it beforehand. Output options follow DCMTK,
//!   which asks the same item only.
//! * Encapsulated Pixel Data is never re-encoded: copied within its transfer syntax, else refused.
//!
//! Called by `storage::writer`, `archive`, `client` and `server::retrieve`. Bounds live in `limits.rs`.

mod deflate;
mod neighbours;
mod options;
mod order;
mod output;
mod recode;
mod rewriter;
mod rewriting;
mod survey;
mod text;
mod value;

use core::fmt;
use std::io::{self, Read};

use crate::dataset::scan::ScanError;
use crate::tag::Tag;

pub use options::{
    GroupLengths, LengthEncoding, OutputEncoding, Padding, TextPadding, Unknown, is_convertible,
};
pub use order::{Ordered, order};
pub use output::Slots;
pub use rewriter::{Rewriter, SecondPass};
pub use rewriting::{PixelHints, Rewriting};
pub use survey::{Survey, Surveyor, survey};

/// Why a data set could not be re-encoded.
#[derive(Debug)]
#[non_exhaustive]
pub enum RewriteError {
    /// The source could not be read.
    Source(io::Error),
    /// The data set is not whole, or not in the encoding that it should have.
    NotWhole(ScanError),
    /// Pixel Data in fragments, which have one form only.
    Encapsulated {
        /// The element.
        tag: Tag,
    },
}

impl fmt::Display for RewriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => fmt::Display::fmt(error, formatter),
            Self::NotWhole(error) => fmt::Display::fmt(error, formatter),
            Self::Encapsulated { tag } => {
                write!(formatter, "{tag} is encapsulated, which cannot be re-encoded")
            }
        }
    }
}

impl std::error::Error for RewriteError {}

impl From<ScanError> for RewriteError {
    fn from(error: ScanError) -> Self {
        Self::NotWhole(error)
    }
}

impl From<RewriteError> for io::Error {
    fn from(error: RewriteError) -> Self {
        match error {
            RewriteError::Source(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// The whole of `data_set` in another encoding, for objects that are held in memory anyway.
///
/// # Errors
///
/// See [`RewriteError`].
pub fn rewrite(data_set: &[u8], rewriting: &Rewriting) -> Result<Vec<u8>, RewriteError> {
    let mut result = Vec::with_capacity(data_set.len() + data_set.len() / 8);
    if !rewriting.needs_survey() {
        drain(Rewriter::new(data_set, rewriting), &mut result)?;
        return Ok(result);
    }
    let found = survey(data_set, rewriting)?;
    if !found.is_changed {
        result.extend_from_slice(data_set);
    } else if found.is_disordered {
        let mut ordered = order(io::Cursor::new(data_set), rewriting)?;
        let rewriting = ordered.rewriting(rewriting);
        let found = survey(&mut ordered, &rewriting)?;
        ordered.rewind();
        drain(Rewriter::second_pass(&mut ordered, &rewriting, found.slots), &mut result)?;
    } else {
        drain(Rewriter::second_pass(data_set, rewriting, found.slots), &mut result)?;
    }
    Ok(result)
}

fn drain<R: Read>(mut rewriter: Rewriter<R>, result: &mut Vec<u8>) -> Result<(), RewriteError> {
    while let Some(block) = rewriter.next_block()? {
        result.extend_from_slice(block);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
