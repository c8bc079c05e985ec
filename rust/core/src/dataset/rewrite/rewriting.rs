//! From which encoding into which, and what is known beforehand.

use super::options::{OutputEncoding, is_convertible};
use super::output::Output;
use super::recode::Recoder;
use crate::dataset::element_header::Encoding;
use crate::dataset::scan::Scanner;
use crate::dataset::transfer_syntax::{ByteOrder, TransferSyntax};
use crate::tag::{self, Tag};
use crate::uid::Uid;

/// From which encoding to which.
#[derive(Clone, Copy, Debug)]
pub struct Rewriting {
    /// How the source is encoded.
    pub from: TransferSyntax,
    /// How the result is encoded.
    pub to: TransferSyntax,
    /// What the source says further down.
    pub hints: PixelHints,
    /// What else the result is like.
    pub encoding: OutputEncoding,
    /// Bytes of the file before the data set, which its padding counts.
    pub head_bytes: u64,
}

impl Rewriting {
    /// The way from one transfer syntax to another; `None` when one of them is not among Implicit
    /// VR Little Endian, Explicit VR Little and Big Endian, and deflated.
    pub fn between(from: &Uid, to: &Uid, hints: PixelHints) -> Option<Self> {
        let convertible = is_convertible(from) && is_convertible(to);
        let encoding = OutputEncoding { transfer_syntax: Some(*to), ..OutputEncoding::CONVERSION };
        convertible.then(|| Self {
            from: TransferSyntax::of(from),
            to: TransferSyntax::of(to),
            hints,
            encoding,
            head_bytes: 0,
        })
    }

    /// The way of a data set in `from` to what `encoding` asks for; `None` when there is none.
    pub fn of(from: &Uid, encoding: OutputEncoding, hints: PixelHints) -> Option<Self> {
        let to = encoding.target(from)?;
        let (from, to) = (TransferSyntax::of(from), TransferSyntax::of(&to));
        Some(Self { from, to, hints, encoding, head_bytes: 0 })
    }

    /// True when a [`Survey`](super::survey::Survey) must come first.
    pub fn needs_survey(&self) -> bool {
        self.encoding.needs_survey()
    }

    /// Nothing but the same bytes can come of it.
    pub(super) fn is_copy(&self) -> bool {
        let forms = Encoding::of(self.from) == Encoding::of(self.to);
        let is_same = forms && self.from.is_deflated == self.to.is_deflated;
        is_same && self.encoding.keeps_all()
    }

    /// A deflate stream is to be made, made anew or taken apart, whatever is in it.
    pub(super) fn changes_stream(&self) -> bool {
        self.from.is_deflated != self.to.is_deflated
            || (self.to.is_deflated && self.encoding.deflate_level.is_some())
    }

    pub(super) fn recoder(&self, out: Output) -> Recoder {
        let encodings = (Encoding::of(self.from), Encoding::of(self.to));
        let has_fragments = self.from.is_encapsulated;
        let known = (self.hints.is_signed, has_fragments, self.head_bytes);
        Recoder::new(encodings, self.encoding, known, out)
    }
}

/// Pixel Representation, for elements that stand before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PixelHints {
    /// Pixel values are signed (0028,0103).
    pub is_signed: bool,
}

static HINTED: &[Tag] = &[tag::PIXEL_REPRESENTATION];

impl PixelHints {
    /// What the first bytes of a data set in `from` tell; unsigned when they do not.
    pub fn of_head(head: &[u8], from: TransferSyntax) -> Self {
        let mut scanner = Scanner::new(from, HINTED);
        // The head is cut anywhere; a fault is the rewriter's to find.
        let _ = scanner.feed(head);
        let is_signed = match (scanner.value(tag::PIXEL_REPRESENTATION), from.byte_order) {
            (Some([low, _]), ByteOrder::Little) | (Some([_, low]), ByteOrder::Big) => low & 1 == 1,
            _ => false,
        };
        Self { is_signed }
    }
}
