//! The second pass: the result, read from the source as it is needed, or beside the first pass while the
//! bytes arrive.

use std::io::{self, Read};

use super::deflate::{Deflater, Inflater};
use super::options::OutputEncoding;
use super::output::{Output, Slots};
use super::recode::Recoder;
use super::{RewriteError, Rewriting, Surveyor};
use crate::dataset::scan::ScanError;
use crate::limits::REWRITE_BLOCK_BYTES;

/// The second pass over bytes that come from elsewhere, and are not deflated; it may go on beside the
/// first, as far as that [is settled](Surveyor::is_settled).
pub struct SecondPass {
    recoder: Recoder,
}

impl SecondPass {
    /// A second pass at the start of a data set.
    pub fn new(rewriting: &Rewriting) -> Self {
        let mut recoder = rewriting.recoder(Output::writing(Slots::default()));
        // What is ready at most as a rule; grown from nothing it would be copied several times.
        recoder.out.pending.reserve(3 * REWRITE_BLOCK_BYTES);
        Self { recoder }
    }

    /// Takes over the lengths that the first pass knows by now; it is settled.
    pub fn learn(&mut self, surveyor: &Surveyor) {
        self.recoder.out.learn(&surveyor.recoder.out);
    }

    /// Takes over all lengths, at the end.
    pub fn learn_all(&mut self, slots: Slots) {
        self.recoder.out.learn_all(slots);
    }

    /// Takes bytes off `input`: all of them unless much is ready, which is to be taken then.
    ///
    /// # Errors
    ///
    /// See [`RewriteError`].
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<(), RewriteError> {
        self.recoder.walk(input)
    }

    /// The source has ended.
    ///
    /// # Errors
    ///
    /// See [`RewriteError`].
    pub fn finish(&mut self) -> Result<(), RewriteError> {
        Ok(self.recoder.finish()?)
    }

    /// What has become of the bytes and was not taken yet: whoever has written it clears it.
    pub fn ready(&mut self) -> &mut Vec<u8> {
        &mut self.recoder.out.pending
    }
}

/// A source a block at a time, inflated where it is deflated.
pub(super) struct Plain<R> {
    source: R,
    input: Box<[u8]>,
    input_start: usize,
    input_end: usize,
    is_source_at_end: bool,
    inflater: Option<Box<Inflater>>,
}

impl<R: Read> Plain<R> {
    pub fn new(source: R, is_deflated: bool) -> Self {
        Self {
            source,
            input: vec![0; REWRITE_BLOCK_BYTES].into(),
            input_start: 0,
            input_end: 0,
            is_source_at_end: false,
            inflater: is_deflated.then(|| Box::new(Inflater::new())),
        }
    }

    /// The next bytes, at least one; `None` at the end.
    pub fn next(&mut self) -> Result<Option<&[u8]>, RewriteError> {
        let Some(inflater) = &mut self.inflater else {
            if self.input_start == self.input_end {
                self.read()?;
            }
            let bytes = &self.input[self.input_start..self.input_end];
            return Ok((!bytes.is_empty()).then_some(bytes));
        };
        if inflater.ready().is_empty() {
            self.inflate()?;
        }
        let bytes = self.inflater.as_ref().map_or(&[][..], |inflater| inflater.ready());
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    /// The first `count` bytes of what [`Plain::next`] gave are done with.
    pub fn take(&mut self, count: usize) {
        match &mut self.inflater {
            None => self.input_start += count,
            Some(inflater) => inflater.take(count),
        }
    }

    fn read(&mut self) -> Result<(), RewriteError> {
        if self.is_source_at_end {
            return Ok(());
        }
        let count = loop {
            match self.source.read(&mut self.input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(RewriteError::Source)?,
            }
        };
        (self.input_start, self.input_end) = (0, count);
        self.is_source_at_end = count == 0;
        Ok(())
    }

    /// Goes on until something has come out, or all is over.
    fn inflate(&mut self) -> Result<(), RewriteError> {
        loop {
            if self.input_start == self.input_end {
                self.read()?;
            }
            let Some(inflater) = &mut self.inflater else { return Ok(()) };
            let input = &self.input[self.input_start..self.input_end];
            self.input_start += inflater.step(input)?;
            if !inflater.ready().is_empty() {
                return Ok(());
            }
            if self.is_source_at_end {
                let is_whole = inflater.has_ended();
                return if is_whole { Ok(()) } else { Err(ScanError::DeflateTruncated.into()) };
            }
        }
    }
}

/// The data set of `source` in another encoding.
///
/// As a `Read` it reports every [`RewriteError`] but the source's own as
/// [`io::ErrorKind::InvalidData`].
pub struct Rewriter<R> {
    plain: Plain<R>,
    recoder: Option<Recoder>,
    deflater: Option<Box<Deflater>>,
    pub(super) output: Vec<u8>,
    given: usize,
    bytes_out: u64,
    is_done: bool,
}

impl<R: Read> Rewriter<R> {
    /// A rewriter at the start of `source`, for a way that needs no survey.
    pub fn new(source: R, rewriting: &Rewriting) -> Self {
        Self::second_pass(source, rewriting, Slots::default())
    }

    /// A rewriter at the start of `source`, with what its survey found.
    pub fn second_pass(source: R, rewriting: &Rewriting, slots: Slots) -> Self {
        let Rewriting { from, to, encoding, .. } = *rewriting;
        let is_copy = rewriting.is_copy() && !rewriting.changes_stream();
        let level = encoding.deflate_level.unwrap_or(OutputEncoding::DEFLATE_LEVEL_DEFAULT);
        Self {
            plain: Plain::new(source, from.is_deflated && !is_copy),
            // Between two equal forms (deflate alone) it copies, and sees whether all is whole.
            recoder: (!is_copy).then(|| rewriting.recoder(Output::writing(slots))),
            deflater: (to.is_deflated && !is_copy).then(|| Box::new(Deflater::new(level))),
            output: Vec::new(),
            given: 0,
            bytes_out: 0,
            is_done: false,
        }
    }

    /// Bytes made so far.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// The next bytes of the result, at least one; `None` at its end. They are consumed.
    ///
    /// # Errors
    ///
    /// See [`RewriteError`]; an error is final.
    pub fn next_block(&mut self) -> Result<Option<&[u8]>, RewriteError> {
        self.fill()?;
        let start = core::mem::replace(&mut self.given, self.output.len());
        let block = &self.output[start..];
        Ok((!block.is_empty()).then_some(block))
    }

    /// Makes at least one byte of output, unless the end is reached.
    fn fill(&mut self) -> Result<(), RewriteError> {
        if self.given < self.output.len() {
            return Ok(());
        }
        self.output.clear();
        self.given = 0;
        while self.output.is_empty() && !self.is_done {
            self.step()?;
        }
        self.bytes_out += self.output.len() as u64;
        Ok(())
    }

    /// One block through all stages.
    fn step(&mut self) -> Result<(), RewriteError> {
        let Self { plain, recoder, deflater, output, .. } = self;
        let block = plain.next()?;
        let is_end = block.is_none();
        let mut rest = block.unwrap_or_default();
        let all = rest.len();
        let Some(recoder) = recoder else {
            output.extend_from_slice(rest);
            plain.take(all);
            self.is_done = is_end;
            return Ok(());
        };
        recoder.walk(&mut rest)?;
        if is_end {
            recoder.finish()?;
        }
        let pending = &mut recoder.out.pending;
        match deflater {
            // What was taken is given away, and its room comes back.
            None => core::mem::swap(output, pending),
            Some(deflater) => deflater.step(pending, is_end, output),
        }
        pending.clear();
        let taken = all - rest.len();
        plain.take(taken);
        self.is_done = is_end;
        Ok(())
    }
}

impl<R: Read> Read for Rewriter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let ready = &self.output[self.given..];
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.given += count;
        Ok(count)
    }
}
