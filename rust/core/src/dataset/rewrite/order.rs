//! A data set whose elements are out of order, read in the right one.
//!
//! Source: PS3.5 §7.1 (ascending tags). Elements of one tag stay in the order in which they came;
//! which of them counts is not decided here. The source is read twice: once to find where each
//! element of a disordered item begins, once in pieces. Good data is in order and never comes here.
//!
//! Called by `rewrite` and by whoever rewrites from a file.

use core::ops::Range;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use super::output::Output;
use super::rewriter::Plain;
use super::{RewriteError, Rewriting};
use crate::dataset::scan::ScanError;
use crate::limits::{ORDERED_ELEMENTS_MAX, ORDERED_INFLATED_BYTES_MAX};
use crate::tag::Tag;

/// Where each element of an item begins, and which items are out of order.
#[derive(Default)]
pub(super) struct Tracker {
    /// For each open item, its first element in `elements`.
    open: Vec<usize>,
    elements: Vec<(Tag, u64)>,
    disordered: Vec<Disordered>,
    pieces: usize,
    is_too_many: bool,
}

/// An item out of order.
struct Disordered {
    content: Range<u64>,
    /// Its elements in the right order; empty once they are laid out.
    pieces: Vec<Range<u64>>,
}

impl Tracker {
    /// An item, or the data set itself, begins.
    pub fn open(&mut self) {
        self.open.push(self.elements.len());
    }

    /// An element of the innermost item begins at `start`.
    pub fn element(&mut self, tag: Tag, start: u64) {
        if self.elements.len() + self.pieces >= ORDERED_ELEMENTS_MAX {
            self.is_too_many = true;
        } else {
            self.elements.push((tag, start));
        }
    }

    /// The innermost item ends before `end`.
    pub fn close(&mut self, end: u64) {
        let Some(first) = self.open.pop() else { return };
        let elements = self.elements.get(first..).unwrap_or_default();
        if elements.is_sorted_by_key(|(tag, _)| *tag) {
            self.elements.truncate(first);
            return;
        }
        let ends = elements.iter().skip(1).map(|(_, start)| *start).chain([end]);
        let mut sorted: Vec<_> =
            elements.iter().zip(ends).map(|((tag, start), end)| (*tag, *start..end)).collect();
        sorted.sort_by_key(|(tag, _)| *tag);
        let start = elements.first().map_or(end, |(_, start)| *start);
        let pieces: Vec<_> = sorted.into_iter().map(|(_, piece)| piece).collect();
        self.pieces += pieces.len();
        self.disordered.push(Disordered { content: start..end, pieces });
        self.elements.truncate(first);
    }

    /// The pieces of a data set of `bytes` in the right order.
    fn lay_out(mut self, bytes: u64) -> Vec<Range<u64>> {
        self.disordered.sort_by_key(|item| item.content.start);
        let mut laid: Vec<Range<u64>> = Vec::with_capacity(2 * self.pieces + 1);
        let mut put = |piece: Range<u64>| match laid.last_mut() {
            Some(last) if last.end == piece.start => last.end = piece.end,
            _ if piece.is_empty() => {}
            _ => laid.push(piece),
        };
        let whole = 0..bytes;
        let mut due = vec![whole];
        while let Some(piece) = due.pop() {
            let from = self.disordered.partition_point(|item| item.content.start < piece.start);
            let inside = self.disordered[from..]
                .iter_mut()
                .take_while(|item| item.content.start < piece.end)
                .find(|item| item.content.end <= piece.end && !item.pieces.is_empty());
            let Some(item) = inside else {
                put(piece);
                continue;
            };
            put(piece.start..item.content.start);
            due.push(item.content.end..piece.end);
            due.extend(core::mem::take(&mut item.pieces).into_iter().rev());
        }
        laid
    }
}

/// A data set in the right order.
pub struct Ordered<S> {
    source: Stored<S>,
    pieces: Vec<Range<u64>>,
    /// The piece in hand, and how much of it is read.
    at: usize,
    read: u64,
}

enum Stored<S> {
    Source(S),
    /// What was deflated, so that nobody can seek in it.
    Inflated(Cursor<Vec<u8>>),
}

/// Finds the right order of the data set `source`.
///
/// # Errors
///
/// See [`RewriteError`].
pub fn order<S: Read + Seek>(
    mut source: S,
    rewriting: &Rewriting,
) -> Result<Ordered<S>, RewriteError> {
    source.seek(SeekFrom::Start(0)).map_err(RewriteError::Source)?;
    let mut recoder = rewriting.recoder(Output::counting());
    recoder.track();
    let is_deflated = rewriting.from.is_deflated;
    let mut inflated = Vec::new();
    let mut plain = Plain::new(&mut source, is_deflated);
    let mut bytes = 0;
    while let Some(mut block) = plain.next()? {
        let count = block.len();
        if is_deflated {
            if inflated.len() + count > ORDERED_INFLATED_BYTES_MAX {
                let inflated_bytes = (inflated.len() + count) as u64;
                return Err(ScanError::DeflateBomb { inflated_bytes }.into());
            }
            inflated.extend_from_slice(block);
        }
        recoder.walk(&mut block)?;
        plain.take(count);
        bytes += count as u64;
    }
    recoder.finish()?;
    let tracker = recoder.into_tracker();
    if tracker.is_too_many {
        return Err(ScanError::TooManySequences.into());
    }
    let pieces = tracker.lay_out(bytes);
    let source =
        if is_deflated { Stored::Inflated(Cursor::new(inflated)) } else { Stored::Source(source) };
    Ok(Ordered { source, pieces, at: 0, read: 0 })
}

impl<S: Read + Seek> Ordered<S> {
    /// How what is read here becomes what `rewriting` makes of the source.
    pub fn rewriting(&self, rewriting: &Rewriting) -> Rewriting {
        let mut rewriting = *rewriting;
        rewriting.from.is_deflated = false;
        rewriting
    }

    /// Begins anew.
    pub fn rewind(&mut self) {
        (self.at, self.read) = (0, 0);
    }
}

impl<S: Read + Seek> Read for Ordered<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.get(self.at) else { return Ok(0) };
        let left = piece.end - piece.start - self.read;
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let at = SeekFrom::Start(piece.start + self.read);
        let count = match &mut self.source {
            Stored::Source(source) => {
                source.seek(at)?;
                source.read(&mut buffer[..wanted])?
            }
            Stored::Inflated(bytes) => {
                bytes.seek(at)?;
                bytes.read(&mut buffer[..wanted])?
            }
        };
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read += count as u64;
        if self.read == piece.end - piece.start {
            (self.at, self.read) = (self.at + 1, 0);
        }
        Ok(count)
    }
}
