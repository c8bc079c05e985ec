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
//! (`order.rs`).
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
mod text;
mod value;

use core::fmt;
use std::io::{self, Read};

use deflate::{Deflater, Inflater};
use output::Output;
use recode::Recoder;

use crate::dataset::breaks::Break;
use crate::dataset::element_header::Encoding;
use crate::dataset::oddities::Oddities;
use crate::dataset::scan::{ScanError, Scanner};
use crate::dataset::transfer_syntax::{ByteOrder, TransferSyntax};
use crate::limits::REWRITE_BLOCK_BYTES;
use crate::tag::{self, Tag};
use crate::uid::Uid;

pub use options::{
    GroupLengths, LengthEncoding, OutputEncoding, Padding, TextPadding, Unknown, is_convertible,
};
pub use order::{Ordered, order};
pub use output::Slots;

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

    /// True when a [`Survey`] must come first.
    pub fn needs_survey(&self) -> bool {
        self.encoding.needs_survey()
    }

    /// Nothing but the same bytes can come of it.
    fn is_copy(&self) -> bool {
        let forms = Encoding::of(self.from) == Encoding::of(self.to);
        let is_same = forms && self.from.is_deflated == self.to.is_deflated;
        is_same && self.encoding.keeps_all()
    }

    /// A deflate stream is to be made, made anew or taken apart, whatever is in it.
    fn changes_stream(&self) -> bool {
        self.from.is_deflated != self.to.is_deflated
            || (self.to.is_deflated && self.encoding.deflate_level.is_some())
    }

    fn recoder(&self, out: Output) -> Recoder {
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

/// What the first pass over a data set found.
#[derive(Debug)]
pub struct Survey {
    /// The result is other than the source.
    pub is_changed: bool,
    /// Elements are out of order: the source is to be read through [`order`], and surveyed again.
    pub is_disordered: bool,
    /// Bytes of the result before it is deflated.
    pub bytes: u64,
    /// The lengths that the second pass needs.
    pub slots: Slots,
    /// What is odd about the source.
    pub oddities: Oddities,
}

/// The first pass, over bytes that come from elsewhere; of a deflated data set the inflated ones.
pub struct Surveyor {
    recoder: Recoder,
    changes_stream: bool,
    failed: Option<RewriteError>,
}

impl Surveyor {
    /// A surveyor at the start of a data set.
    pub fn new(rewriting: &Rewriting) -> Self {
        Self {
            recoder: rewriting.recoder(Output::counting()),
            changes_stream: rewriting.changes_stream(),
            failed: None,
        }
    }

    /// Takes the next bytes. What is wrong with them is told at the end.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.recoder.walk(&mut bytes).err();
        }
    }

    /// True once it is certain that the result is other than the source.
    pub fn sees_change(&self) -> bool {
        let Recoder { is_changed, is_disordered, .. } = self.recoder;
        is_changed || is_disordered || self.changes_stream
    }

    /// True when every length that stands before what came so far is known: the second pass may go as
    /// far.
    pub fn is_settled(&self) -> bool {
        self.failed.is_none() && self.recoder.is_settled()
    }

    /// True once elements were seen out of order.
    pub fn sees_disorder(&self) -> bool {
        self.recoder.is_disordered
    }

    /// Bytes that come next and belong to a value whose length is known: all stays settled over them.
    pub fn value_bytes_ahead(&self) -> u64 {
        self.recoder.value_bytes_ahead()
    }

    /// The next `bytes`, at most [`Surveyor::value_bytes_ahead`], are not shown: nothing but what is odd
    /// about the data set is known afterwards.
    pub fn pass_over(&mut self, mut bytes: u64) {
        static ZEROS: [u8; REWRITE_BLOCK_BYTES] = [0; REWRITE_BLOCK_BYTES];
        while bytes > 0 {
            let count = usize::try_from(bytes).map_or(ZEROS.len(), |bytes| bytes.min(ZEROS.len()));
            self.feed(&ZEROS[..count]);
            bytes -= count as u64;
        }
    }

    /// What was odd so far; it is told once.
    pub fn take_oddities(&mut self) -> Oddities {
        core::mem::take(&mut self.recoder.oddities)
    }

    /// What breaks the data set, if it ends here.
    pub fn break_at_end(&self) -> Option<Break> {
        if self.failed.is_some() { self.recoder.broken } else { self.recoder.break_at_end() }
    }

    /// So many bytes stand before the data set in the file whose length padding aligns.
    pub fn align_to(&mut self, head_bytes: u64) {
        self.recoder.head_bytes = head_bytes;
    }

    /// Says whether the data set may end here, and what was found.
    ///
    /// # Errors
    ///
    /// See [`RewriteError`].
    pub fn finish(mut self) -> Result<Survey, RewriteError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.recoder.finish()?;
        Ok(Survey {
            is_changed: self.recoder.is_changed
                || self.recoder.is_disordered
                || self.changes_stream,
            is_disordered: self.recoder.is_disordered,
            bytes: self.recoder.out.bytes,
            slots: self.recoder.out.into_slots(),
            oddities: self.recoder.oddities,
        })
    }
}

/// The first pass over `source`.
///
/// # Errors
///
/// See [`RewriteError`].
pub fn survey<R: Read>(source: R, rewriting: &Rewriting) -> Result<Survey, RewriteError> {
    let mut surveyor = Surveyor::new(rewriting);
    let mut plain = Plain::new(source, rewriting.from.is_deflated);
    while let Some(block) = plain.next()? {
        surveyor.feed(block);
        let count = block.len();
        plain.take(count);
    }
    surveyor.finish()
}

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
struct Plain<R> {
    source: R,
    input: Box<[u8]>,
    input_start: usize,
    input_end: usize,
    is_source_at_end: bool,
    inflater: Option<Box<Inflater>>,
}

impl<R: Read> Plain<R> {
    fn new(source: R, is_deflated: bool) -> Self {
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
    fn next(&mut self) -> Result<Option<&[u8]>, RewriteError> {
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
    fn take(&mut self, count: usize) {
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
    output: Vec<u8>,
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
mod tests {
    use super::*;
    use crate::dataset::element_header::UNDEFINED;
    use crate::dataset::transfer_syntax::{
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN,
        IMPLICIT_VR_LITTLE_ENDIAN,
    };
    use crate::limits::{
        DEFLATE_TRAILER_BYTES_MAX, ORDERED_ELEMENTS_MAX, ORDERED_INFLATED_BYTES_MAX,
        REWRITE_PADDING_BYTES_MAX, REWRITE_PRIVATE_BLOCKS_MAX, REWRITE_SLOTS_MAX,
        SEQUENCE_DEPTH_MAX,
    };
    use crate::vr::Vr;
    use proptest::prelude::*;

    const IMPLICIT: &str = IMPLICIT_VR_LITTLE_ENDIAN;
    const EXPLICIT: &str = EXPLICIT_VR_LITTLE_ENDIAN;
    const BIG: &str = EXPLICIT_VR_BIG_ENDIAN;
    const DEFLATED: &str = DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;

    fn way(from: &str, to: &str) -> Rewriting {
        let hints = PixelHints::default();
        Rewriting::between(&Uid::known(from), &Uid::known(to), hints).unwrap()
    }

    fn turn(data_set: &[u8], from: &str, to: &str) -> Vec<u8> {
        rewrite(data_set, &way(from, to)).unwrap()
    }

    fn explicit(tag: (u16, u16), vr: [u8; 2], value: &[u8]) -> Vec<u8> {
        let form = Encoding { is_explicit: true, is_big_endian: false };
        let mut out = Vec::new();
        form.put_header(&mut out, Tag::new(tag.0, tag.1), Vr(vr), value.len() as u32);
        out.extend_from_slice(value);
        out
    }

    fn implicit(tag: (u16, u16), value: &[u8]) -> Vec<u8> {
        let form = Encoding { is_explicit: false, is_big_endian: false };
        let mut out = Vec::new();
        form.put_header(&mut out, Tag::new(tag.0, tag.1), Vr::NONE, value.len() as u32);
        out.extend_from_slice(value);
        out
    }

    fn undefined(mut header: Vec<u8>, content: &[u8], delimiter: [u8; 8]) -> Vec<u8> {
        let at = header.len() - 4;
        header[at..].copy_from_slice(&UNDEFINED.to_le_bytes());
        [&header, content, &delimiter[..]].concat()
    }

    const ITEM_END: [u8; 8] = *b"\xFE\xFF\x0D\xE0\0\0\0\0";
    const SEQUENCE_END: [u8; 8] = *b"\xFE\xFF\xDD\xE0\0\0\0\0";

    fn item(content: &[u8]) -> Vec<u8> {
        undefined(implicit((0xFFFE, 0xE000), b""), content, ITEM_END)
    }

    fn sequence(tag: (u16, u16), content: &[u8]) -> Vec<u8> {
        undefined(explicit(tag, *b"SQ", b""), content, SEQUENCE_END)
    }

    /// PS3.5 §7.3: numbers of two, four and eight bytes turn round, text and bytes do not.
    #[test]
    fn byte_order_follows_the_vr() {
        let little = [
            explicit((0x0008, 0x0060), *b"CS", b"CT"),
            explicit((0x0028, 0x0009), *b"AT", b"\x18\0\x63\x10"),
            explicit((0x0028, 0x0010), *b"US", b"\x01\x02"),
            explicit((0x0040, 0x08EA), *b"FD", &1.5_f64.to_le_bytes()),
            explicit((0x0070, 0x0022), *b"FL", &1.5_f32.to_le_bytes()),
            explicit((0x7FE0, 0x0010), *b"OW", b"\x01\x02\x03\x04"),
        ]
        .concat();
        let big = turn(&little, EXPLICIT, BIG);
        let expected = [
            &b"\x00\x08\x00\x60CS\0\x02CT"[..],
            b"\x00\x28\x00\x09AT\0\x04\0\x18\x10\x63",
            b"\x00\x28\x00\x10US\0\x02\x02\x01",
            b"\x00\x40\x08\xEAFD\0\x08",
            &1.5_f64.to_be_bytes(),
            b"\x00\x70\x00\x22FL\0\x04",
            &1.5_f32.to_be_bytes(),
            b"\x7F\xE0\x00\x10OW\0\0\0\0\0\x04\x02\x01\x04\x03",
        ]
        .concat();
        assert_eq!(big, expected);
        assert_eq!(turn(&big, BIG, EXPLICIT), little);
        let deflated = turn(&little, EXPLICIT, DEFLATED);
        assert_eq!(deflated.len() % 2, 0);
        assert_eq!(turn(&deflated, DEFLATED, BIG), big);
    }

    /// PS3.5 §7.5: where headers change their size, sequences leave with undefined length.
    #[test]
    fn sequences_between_implicit_and_explicit() {
        let value = implicit((0x0008, 0x1155), b"1.2\0");
        let defined = implicit((0x0008, 0x1140), &[implicit((0xFFFE, 0xE000), &value)].concat());
        let expected =
            sequence((0x0008, 0x1140), &item(&explicit((0x0008, 0x1155), *b"UI", b"1.2\0")));
        assert_eq!(turn(&defined, IMPLICIT, EXPLICIT), expected);
        let back = turn(&expected, EXPLICIT, IMPLICIT);
        assert_eq!(turn(&back, IMPLICIT, EXPLICIT), expected);
        // Nothing inside stays a defined nothing.
        let empty = implicit((0x0008, 0x1140), b"");
        assert_eq!(turn(&empty, IMPLICIT, EXPLICIT), explicit((0x0008, 0x1140), *b"SQ", b""));
    }

    /// Between explicit forms lengths stay as they are.
    #[test]
    fn defined_lengths_stay_between_byte_orders() {
        let inner = explicit((0x0028, 0x0010), *b"US", b"\x01\0");
        let whole = explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &inner));
        let big = turn(&whole, EXPLICIT, BIG);
        assert_eq!(big.len(), whole.len());
        assert_eq!(turn(&big, BIG, EXPLICIT), whole);
    }

    /// PS3.5 §6.2.2 and §7.8.1: what no dictionary names is UN, and its bytes stay.
    #[test]
    fn private_elements() {
        let source = [
            implicit((0x0009, 0x0010), b"MAKER "),
            implicit((0x0009, 0x1001), b"\x01\x02"),
            undefined(
                implicit((0x0009, 0x1002), b""),
                &item(&implicit((0x0009, 0x1003), b"\x03\x04")),
                SEQUENCE_END,
            ),
        ]
        .concat();
        let expected = [
            explicit((0x0009, 0x0010), *b"LO", b"MAKER "),
            explicit((0x0009, 0x1001), *b"UN", b"\x01\x02"),
            sequence((0x0009, 0x1002), &item(&explicit((0x0009, 0x1003), *b"UN", b"\x03\x04"))),
        ]
        .concat();
        assert_eq!(turn(&source, IMPLICIT, EXPLICIT), expected);
        assert_eq!(turn(&expected, EXPLICIT, IMPLICIT), source);
        let big = turn(&source, IMPLICIT, BIG);
        assert_eq!(turn(&big, BIG, IMPLICIT), source);
    }

    /// PS3.5 §6.2.2: UN of undefined length holds Implicit VR Little Endian, in every syntax.
    #[test]
    fn an_unknown_sequence_keeps_its_inside() {
        let inside = [
            item(&implicit((0x0008, 0x0060), b"CT")),
            implicit((0xFFFE, 0xE000), &implicit((0x0028, 0x0010), b"\x01\0")),
        ]
        .concat();
        let source = undefined(explicit((0x0009, 0x1001), *b"UN", b""), &inside, SEQUENCE_END);
        let big = turn(&source, EXPLICIT, BIG);
        assert_eq!(&big[12..], &source[12..]);
        assert_eq!(turn(&big, BIG, EXPLICIT), source);
        let as_implicit = turn(&source, EXPLICIT, IMPLICIT);
        assert_eq!(&as_implicit[8..], &source[12..]);
    }

    /// Which VR the neighbours choose.
    #[test]
    fn the_neighbours_decide() {
        let smallest = (0x0028, 0x0106);
        let pixels = (0x7FE0, 0x0010);
        let vr_of = |source: &[u8], tag: (u16, u16), hints| {
            let rewriting = Rewriting { hints, ..way(IMPLICIT, EXPLICIT) };
            let result = rewrite(source, &rewriting).unwrap();
            let mut name = Vec::new();
            let form = Encoding { is_explicit: true, is_big_endian: false };
            form.put_item(&mut name, Tag::new(tag.0, tag.1), 0);
            name.truncate(4);
            let at = result.windows(4).position(|window| window == name).unwrap();
            [result[at + 4], result[at + 5]]
        };
        let none = PixelHints::default();
        for (representation, bits, signed_vr, pixel_vr) in
            [(0, 8, b"US", b"OB"), (1, 16, b"SS", b"OW"), (0, 12, b"US", b"OW")]
        {
            let source = [
                implicit((0x0028, 0x0100), &[bits, 0]),
                implicit((0x0028, 0x0103), &[representation, 0]),
                implicit(smallest, b"\x01\0"),
                implicit(pixels, b"\x01\0"),
            ]
            .concat();
            assert_eq!(&vr_of(&source, smallest, none), signed_vr);
            assert_eq!(&vr_of(&source, pixels, none), pixel_vr);
        }
        // Before Pixel Representation, the hint alone can know; the head tells it.
        let early =
            [implicit((0x0018, 0x9810), b"\x01\0"), implicit((0x0028, 0x0103), b"\x01\0")].concat();
        assert_eq!(&vr_of(&early, (0x0018, 0x9810), none), b"US");
        let hints = PixelHints::of_head(&early, TransferSyntax::of(&Uid::known(IMPLICIT)));
        assert_eq!(&vr_of(&early, (0x0018, 0x9810), hints), b"SS");
        // A table of one entry is a number, any other is words.
        for (entries, vr) in [(1, b"US"), (4, b"OW")] {
            let source = [
                implicit((0x0028, 0x3002), &[entries, 0, 0, 0, 16, 0]),
                implicit((0x0028, 0x3006), b"\x01\0"),
            ]
            .concat();
            assert_eq!(&vr_of(&source, (0x0028, 0x3006), none), vr);
        }
    }

    /// PS3.5 §6.2.2: a value that a 2-byte length cannot tell is UN; at the bound it is not.
    #[test]
    fn long_values() {
        for (length, vr) in [(0xFFFE, b"LO"), (0x1_0000, b"UN")] {
            let source = implicit((0x0008, 0x1030), &vec![b'x'; length]);
            let result = turn(&source, IMPLICIT, EXPLICIT);
            assert_eq!(&result[4..6], vr);
            assert_eq!(turn(&result, EXPLICIT, IMPLICIT), source);
        }
    }

    /// Group lengths say how long a group was in the other form.
    #[test]
    fn group_lengths_are_dropped_only_where_they_would_lie() {
        let length = explicit((0x0008, 0x0000), *b"UL", b"\x0A\0\0\0");
        let source = [length, explicit((0x0008, 0x0060), *b"CS", b"CT")].concat();
        assert_eq!(turn(&source, EXPLICIT, IMPLICIT), implicit((0x0008, 0x0060), b"CT"));
        assert_eq!(turn(&turn(&source, EXPLICIT, BIG), BIG, EXPLICIT), source);
    }

    fn refused(data_set: &[u8], from: &str, to: &str) -> RewriteError {
        rewrite(data_set, &way(from, to)).unwrap_err()
    }

    /// What is not whole becomes an error, never a shorter data set; fragments are not touched.
    #[test]
    fn bad_data_sets() {
        use ScanError as Fault;
        let whole = [
            sequence((0x0008, 0x1140), &item(&explicit((0x0008, 0x0060), *b"CS", b"CT"))),
            explicit((0x0028, 0x0010), *b"US", b"\x01\0"),
        ]
        .concat();
        let ends: Vec<usize> = (0..=whole.len())
            .filter(|&end| rewrite(&whole[..end], &way(EXPLICIT, IMPLICIT)).is_ok())
            .collect();
        assert_eq!(ends, [0, whole.len() - 10, whole.len()]);
        let fragments = undefined(
            explicit((0x7FE0, 0x0010), *b"OB", b""),
            &implicit((0xFFFE, 0xE000), b"\xFF\xD8"),
            SEQUENCE_END,
        );
        assert!(matches!(
            refused(&fragments, EXPLICIT, BIG),
            RewriteError::Encapsulated { tag: tag::PIXEL_DATA }
        ));
        let longer = explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &[0; 4]));
        assert!(matches!(refused(&longer, EXPLICIT, IMPLICIT), RewriteError::NotWhole(_)));
        assert!(matches!(
            refused(b"\x08\0\x60\0\x01\x02\x03\x04", EXPLICIT, IMPLICIT),
            RewriteError::NotWhole(Fault::BadVr { .. })
        ));
        let implicit_value = implicit((0x0008, 0x0018), &[b'1'; 16]);
        assert!(matches!(
            refused(&explicit((0x0008, 0x0018), *b"UI", b"1.2.3.4\0"), IMPLICIT, EXPLICIT),
            RewriteError::NotWhole(Fault::ExplicitUnderImplicit { .. })
        ));
        assert!(rewrite(&implicit_value, &way(IMPLICIT, EXPLICIT)).is_ok());
    }

    /// The bound on nesting is the scanner's, at its edge.
    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| {
            (0..depth).fold(explicit((0x0008, 0x0060), *b"CS", b"CT"), |inner, _| {
                sequence((0x0008, 0x1140), &item(&inner))
            })
        };
        let good = nested(SEQUENCE_DEPTH_MAX);
        assert_eq!(turn(&turn(&good, EXPLICIT, IMPLICIT), IMPLICIT, EXPLICIT), good);
        assert!(matches!(
            refused(&nested(SEQUENCE_DEPTH_MAX + 1), EXPLICIT, IMPLICIT),
            RewriteError::NotWhole(ScanError::TooDeep { .. })
        ));
    }

    /// A deflate stream that is cut, damaged, followed by something, or grows without end.
    #[test]
    fn bad_deflate_streams() {
        let plain = explicit((0x0008, 0x1030), *b"LO", &[b'x'; 300]);
        let deflated = turn(&plain, EXPLICIT, DEFLATED);
        for end in 0..deflated.len() - 1 {
            assert!(matches!(
                refused(&deflated[..end], DEFLATED, EXPLICIT),
                RewriteError::NotWhole(ScanError::DeflateTruncated)
            ));
        }
        let mut followed = deflated.clone();
        followed.extend([0; DEFLATE_TRAILER_BYTES_MAX + 1]);
        assert!(matches!(
            refused(&followed, DEFLATED, EXPLICIT),
            RewriteError::NotWhole(ScanError::DeflateCorrupt)
        ));
        let header = explicit((0x7FE0, 0x0010), *b"OB", b"");
        let bomb_bytes = crate::limits::INFLATED_FREE_BYTES + 8 * 1024 * 1024;
        let mut plain = header;
        plain[8..12].copy_from_slice(&(bomb_bytes as u32).to_le_bytes());
        let zeros = io::repeat(0).take(bomb_bytes);
        let mut bomb = Vec::new();
        Rewriter::new(plain.chain(zeros), &way(EXPLICIT, DEFLATED)).read_to_end(&mut bomb).unwrap();
        let mut rewriter = Rewriter::new(&bomb[..], &way(DEFLATED, EXPLICIT));
        let (mut longest, result) = (
            0,
            loop {
                match rewriter.next_block() {
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
        );
        longest = longest.max(rewriter.output.capacity());
        assert!(longest < 4 * REWRITE_BLOCK_BYTES, "{longest}");
        assert!(matches!(result, Err(RewriteError::NotWhole(ScanError::DeflateBomb { .. }))));
    }

    /// A source that gives a few bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    /// Elements whose VR the dictionary gives back, nested and with values of every unit.
    fn arbitrary_elements(depth: u32) -> BoxedStrategy<Vec<u8>> {
        let value = |tag, vr: [u8; 2], unit: usize| {
            proptest::collection::vec(any::<u8>(), 0..6)
                .prop_map(move |bytes| explicit(tag, vr, &bytes.repeat(unit)))
                .boxed()
        };
        let leaf = prop_oneof![
            value((0x0008, 0x0060), *b"CS", 2),
            value((0x0028, 0x0009), *b"AT", 4),
            value((0x0028, 0x0010), *b"US", 2),
            value((0x0028, 0x0106), *b"US", 2),
            value((0x0028, 0x3006), *b"OW", 2),
            value((0x0040, 0x08EA), *b"SQ", 0),
            value((0x0018, 0x9073), *b"FD", 8),
            value((0x0070, 0x0022), *b"FL", 4),
            value((0x0009, 0x1001), *b"UN", 3),
            value((0x7FE0, 0x0010), *b"OW", 2),
            value((0x0066, 0x0040), *b"OL", 4),
            value((0x7FE0, 0x0009), *b"OD", 8),
        ];
        if depth == 0 {
            return leaf.boxed();
        }
        let inner = proptest::collection::vec(arbitrary_elements(depth - 1), 0..4);
        let items = proptest::collection::vec(inner.prop_map(|parts| item(&parts.concat())), 0..3);
        prop_oneof![
            3 => leaf,
            1 => items.prop_map(|items| sequence((0x0008, 0x1140), &items.concat())),
        ]
        .boxed()
    }

    fn output(encoding: OutputEncoding, from: &str) -> Rewriting {
        Rewriting::of(&Uid::known(from), encoding, PixelHints::default()).unwrap()
    }

    fn written(encoding: OutputEncoding, data_set: &[u8]) -> Vec<u8> {
        rewrite(data_set, &output(encoding, EXPLICIT)).unwrap()
    }

    /// A data set as `storescp` writes it, and one as `dcmrecv` does.
    fn normalised() -> (Vec<u8>, Vec<u8>) {
        let name = explicit((0x0010, 0x0010), *b"PN", b"Doe^Joe ");
        let uid = explicit((0x0008, 0x1155), *b"UI", b"1.2\0");
        let defined = explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &uid));
        ([defined, name.clone()].concat(), [sequence((0x0008, 0x1140), &item(&uid)), name].concat())
    }

    fn is_changed(encoding: OutputEncoding, data_set: &[u8]) -> bool {
        survey(data_set, &output(encoding, EXPLICIT)).unwrap().is_changed
    }

    /// What is as it should be stays, and is known to stay; the other form becomes it.
    #[test]
    fn lengths_of_each_tool() {
        let (defined, undefined) = normalised();
        for (encoding, own) in
            [(OutputEncoding::STORESCP, &defined), (OutputEncoding::DCMRECV, &undefined)]
        {
            for source in [&defined, &undefined] {
                assert_eq!(&written(encoding, source), own);
                assert_eq!(is_changed(encoding, source), source != own);
            }
        }
        let nested = [
            explicit((0x0008, 0x1140), *b"SQ", b""),
            sequence((0x0008, 0x1199), &sequence_of_nothing()),
        ]
        .concat();
        let there = written(OutputEncoding::DCMRECV, &nested);
        assert!(is_changed(OutputEncoding::DCMRECV, &nested));
        assert_eq!(written(OutputEncoding::DCMRECV, &there), there);
        let back = written(OutputEncoding::STORESCP, &there);
        assert!(!is_changed(OutputEncoding::STORESCP, &back));
    }

    fn sequence_of_nothing() -> Vec<u8> {
        [item(b""), implicit((0xFFFE, 0xE000), b"")].concat()
    }

    /// PS3.5 §7.2, in each of the three ways, at the top and in items.
    #[test]
    fn group_lengths() {
        let length = |group, value: u32| explicit((group, 0), *b"UL", &value.to_le_bytes());
        let uid = explicit((0x0008, 0x1155), *b"UI", b"1.2\0");
        let name = explicit((0x0010, 0x0010), *b"PN", b"Doe^Joe ");
        let source = [
            explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &uid)),
            length(0x0010, 99),
            name.clone(),
        ]
        .concat();
        let with = |group_lengths| OutputEncoding { group_lengths, ..OutputEncoding::STORESCP };
        let right = [&source[..source.len() - 20], &16_u32.to_le_bytes()[..], &name].concat();
        let recalculated = with(GroupLengths::Recalculated);
        assert_eq!(written(recalculated, &source), right);
        assert!(is_changed(recalculated, &source) && !is_changed(recalculated, &right));
        let inner = [length(0x0008, 12), uid.clone()].concat();
        let outer = explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &inner));
        let created =
            [length(0x0008, outer.len() as u32), outer, length(0x0010, 16), name.clone()].concat();
        assert_eq!(written(with(GroupLengths::Created), &source), created);
        assert_eq!(written(with(GroupLengths::Created), &created), created);
        let removed = written(with(GroupLengths::Removed), &created);
        assert_eq!(removed, [&source[..source.len() - 28], &name].concat());
    }

    /// DCMTK 3.6.7: the file is aligned with what stands before the data set, items without.
    #[test]
    fn padding() {
        let (source, _) = normalised();
        let padding = Padding::Aligned { file: 64, item: 32 };
        let encoding = OutputEncoding { padding, ..OutputEncoding::STORESCP };
        for head_bytes in (0..70).step_by(2) {
            let rewriting = Rewriting { head_bytes, ..output(encoding, EXPLICIT) };
            let padded = rewrite(&source, &rewriting).unwrap();
            assert_eq!((head_bytes + padded.len() as u64) % 64, 0);
            let item_bytes = u32::from_le_bytes(padded[16..20].try_into().unwrap());
            assert_eq!(item_bytes, 32);
            assert_eq!(written(OutputEncoding::STORESCP, &padded), source);
            let kept = OutputEncoding { padding: Padding::Kept, ..encoding };
            assert_eq!(written(kept, &padded), padded);
        }
    }

    /// PS3.5 §7.1: elements leave in order, of two with one tag the first; nested and deflated, too.
    #[test]
    fn order_and_duplicates() {
        let id = explicit((0x0010, 0x0020), *b"LO", b"ID");
        let name = explicit((0x0010, 0x0010), *b"PN", b"Doe^");
        let other = explicit((0x0010, 0x0010), *b"PN", b"Xyz^");
        let inner = [id.clone(), name.clone(), other.clone()].concat();
        let sequence_of =
            |inner: &[u8]| explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), inner));
        let source =
            [id.clone(), sequence_of(&inner), name.clone(), other.clone(), id.clone()].concat();
        let sorted = [name.clone(), id.clone()].concat();
        let expected = [sequence_of(&sorted), sorted].concat();
        assert_eq!(written(OutputEncoding::STORESCP, &source), expected);
        assert!(is_changed(OutputEncoding::STORESCP, &source));
        assert!(!is_changed(OutputEncoding::STORESCP, &expected));
        let deflated = turn(&source, EXPLICIT, DEFLATED);
        let there = rewrite(&deflated, &output(OutputEncoding::STORESCP, DEFLATED)).unwrap();
        assert_eq!(turn(&there, DEFLATED, EXPLICIT), expected);
        let undefined = [name, item(&inner), id].concat();
        assert!(matches!(
            rewrite(&undefined, &output(OutputEncoding::STORESCP, EXPLICIT)),
            Err(RewriteError::NotWhole(ScanError::NothingToDelimit { .. }))
        ));
    }

    /// PS3.5 §6.2.2, and `-u`, `+uc`.
    #[test]
    fn unknown_and_new_vrs() {
        let known = explicit((0x0010, 0x0040), *b"UN", b"M ");
        let sequence = explicit(
            (0x0008, 0x1140),
            *b"UN",
            &implicit((0xFFFE, 0xE000), &implicit((0x0008, 0x1155), b"1.2\0")),
        );
        let private = explicit((0x0011, 0x1001), *b"UN", b"ab");
        let source = [sequence, known, private.clone()].concat();
        assert!(!is_changed(OutputEncoding::STORESCP, &source));
        let uid = explicit((0x0008, 0x1155), *b"UI", b"1.2\0");
        let expected = [
            explicit((0x0008, 0x1140), *b"SQ", &implicit((0xFFFE, 0xE000), &uid)),
            explicit((0x0010, 0x0040), *b"CS", b"M "),
            private,
        ]
        .concat();
        let converting = OutputEncoding { unknown: Unknown::Converted, ..OutputEncoding::STORESCP };
        assert_eq!(written(converting, &source), expected);
        let old = OutputEncoding { has_new_vrs: false, ..OutputEncoding::STORESCP };
        for vr in [*b"UN", *b"UT", *b"OF", *b"OD", *b"OL", *b"OV", *b"UC", *b"UR", *b"SV", *b"UV"] {
            let source = explicit((0x0011, 0x1001), vr, b"12345678");
            assert_eq!(written(old, &source), explicit((0x0011, 0x1001), *b"OB", b"12345678"));
        }
        let future = explicit((0x0011, 0x1001), *b"ZZ", b"ab");
        assert_eq!(&written(OutputEncoding::STORESCP, &future)[4..6], b"UN");
    }

    /// Text that is longer than what is held, and at that bound.
    #[test]
    fn long_text_loses_its_padding() {
        for (text, blanks) in [(70_000, 10), (70_001, 9), (65_530, 4), (65_534, 0), (1, 70_001)] {
            let value = [vec![b'x'; text], vec![b' '; blanks]].concat();
            let source = explicit((0x0040, 0xA160), *b"UT", &value);
            let kept = text + text % 2;
            let expected = explicit((0x0040, 0xA160), *b"UT", &value[..kept]);
            let rewriting = output(OutputEncoding::STORESCP, EXPLICIT);
            assert_eq!(written(OutputEncoding::STORESCP, &source), expected);
            let found = survey(Dripping(&source, 777), &rewriting).unwrap();
            assert_eq!(found.bytes, expected.len() as u64);
            assert_eq!(found.is_changed, blanks > 1);
        }
        // DCMTK 3.6.7 makes an odd length even first: by NUL, behind blanks, too; dcmrecv by a blank.
        for (text, blanks) in [(70_001, 0), (65_535, 0), (65_533, 0), (70_000, 1), (69_998, 3)] {
            let value = [vec![b'x'; text], vec![b' '; blanks]].concat();
            let source = explicit((0x0040, 0xA160), *b"UT", &value);
            for (encoding, pad) in [(OutputEncoding::STORESCP, 0), (OutputEncoding::DCMRECV, b' ')]
            {
                let padded = [&value[..], &[pad]].concat();
                let expected = explicit((0x0040, 0xA160), *b"UT", &padded);
                assert_eq!(written(encoding, &source), expected, "{text} {blanks}");
            }
        }
    }

    /// Fragments leave as they are, within their transfer syntax.
    #[test]
    fn encapsulated_pixels_are_copied() {
        let jpeg = "1.2.840.10008.1.2.4.50";
        let fragments = |vr| {
            let content = implicit((0xFFFE, 0xE000), b"\xFF\xD8");
            undefined(explicit((0x7FE0, 0x0010), vr, b""), &content, SEQUENCE_END)
        };
        let way = output(OutputEncoding::STORESCP, jpeg);
        assert_eq!(rewrite(&fragments(*b"OB"), &way).unwrap(), fragments(*b"OB"));
        assert_eq!(rewrite(&fragments(*b"OW"), &way).unwrap(), fragments(*b"OB"));
        let native = output(OutputEncoding::STORESCP, EXPLICIT);
        assert!(matches!(
            rewrite(&fragments(*b"OB"), &native),
            Err(RewriteError::Encapsulated { tag: tag::PIXEL_DATA })
        ));
        let big =
            OutputEncoding { transfer_syntax: Some(Uid::known(BIG)), ..OutputEncoding::STORESCP };
        assert!(Rewriting::of(&Uid::known(jpeg), big, PixelHints::default()).is_none());
    }

    /// The level of the stream, and a deflated data set that needs no change.
    #[test]
    fn deflate_levels() {
        let (plain, _) = normalised();
        let plain = [plain, explicit((0x7FE0, 0x0010), *b"OB", &[7; 5000])].concat();
        let deflated = turn(&plain, EXPLICIT, DEFLATED);
        let at = |deflate_level| {
            let encoding = OutputEncoding { deflate_level, ..OutputEncoding::STORESCP };
            let way = output(encoding, DEFLATED);
            (survey(&deflated[..], &way).unwrap().is_changed, rewrite(&deflated, &way).unwrap())
        };
        assert_eq!(at(None), (false, deflated.clone()));
        let stored = at(Some(0));
        assert!(stored.0 && stored.1.len() > plain.len());
        assert_eq!(turn(&stored.1, DEFLATED, EXPLICIT), plain);
        assert!(at(Some(9)).1.len() <= deflated.len());
    }

    /// limits::REWRITE_SLOTS_MAX, at its edge.
    #[test]
    fn edge_of_lengths() {
        let way = output(OutputEncoding::STORESCP, EXPLICIT);
        for (slots, is_good) in [(REWRITE_SLOTS_MAX, true), (REWRITE_SLOTS_MAX + 1, false)] {
            let mut surveyor = Surveyor::new(&way);
            let sequence = sequence((0x0008, 0x1140), b"");
            surveyor.feed(&sequence[..12]);
            let items = item(b"").repeat(1000);
            let (all, left) = ((slots - 1) / 1000, (slots - 1) % 1000);
            for _ in 0..all {
                surveyor.feed(&items);
            }
            surveyor.feed(&items[..left * 16]);
            surveyor.feed(&sequence[12..]);
            let result = surveyor.finish();
            let is_refused =
                matches!(result, Err(RewriteError::NotWhole(ScanError::TooManySequences)));
            assert_eq!((result.is_ok(), is_refused), (is_good, !is_good));
        }
    }

    /// Writes an element with its VR or without.
    type Form<'f> = &'f dyn Fn((u16, u16), [u8; 2], &[u8]) -> Vec<u8>;

    /// PS3.5 §7.8.1: private elements get the VR that their creator's block has in the dictionary, in his
    /// item alone; of two creators of one block the first counts; `+uc` does the same for UN. What is sent in
    /// another transfer syntax gets them, too.
    #[test]
    fn private_blocks_of_known_creators() {
        let own = |form: Form<'_>, number: [u8; 2]| {
            let inner = [
                form((0x0009, 0x0011), *b"LO", b"GEMS_IDEN_01"),
                form((0x0009, 0x1127), number, b"9876"),
            ];
            [
                form((0x0009, 0x0010), *b"LO", b"GEMS_IDEN_01"),
                form((0x0009, 0x1027), number, b"1234"),
                form((0x0009, 0x1127), *b"UN", b"1234"),
                explicit_or((0x0040, 0x0275), &inner.concat(), form),
                form((0x0051, 0x1027), *b"UN", b"12"),
            ]
            .concat()
        };
        let plain = |tag, _, value: &[u8]| implicit(tag, value);
        let to = |transfer_syntax, unknown| OutputEncoding {
            transfer_syntax: Some(Uid::known(transfer_syntax)),
            unknown,
            ..OutputEncoding::STORESCP
        };
        let source = own(&plain, *b"SL");
        let there = rewrite(&source, &output(to(EXPLICIT, Unknown::Kept), IMPLICIT)).unwrap();
        assert_eq!(there, own(&explicit, *b"SL"));
        let back = rewrite(&there, &output(to(IMPLICIT, Unknown::Kept), EXPLICIT)).unwrap();
        assert_eq!(back, source);
        let sent = turn(&source, IMPLICIT, EXPLICIT);
        let defined =
            OutputEncoding { lengths: LengthEncoding::Explicit, ..OutputEncoding::STORESCP };
        assert_eq!(rewrite(&sent, &output(defined, EXPLICIT)).unwrap(), there);
        let unknown = own(&explicit, *b"UN");
        let converted = rewrite(&unknown, &output(to(EXPLICIT, Unknown::Converted), EXPLICIT));
        assert_eq!(converted.unwrap(), there);
        let kept = rewrite(&unknown, &output(to(EXPLICIT, Unknown::Kept), EXPLICIT)).unwrap();
        assert_eq!(kept, unknown);
        let late = [implicit((0x0010, 0x0020), b"ID"), source].concat();
        let there = rewrite(&late, &output(to(EXPLICIT, Unknown::Kept), IMPLICIT)).unwrap();
        assert!(there.starts_with(&own(&explicit, *b"SL")[..36]));
        let twice = [
            implicit((0x0009, 0x0010), b"GEMS_IDEN_01"),
            implicit((0x0009, 0x0010), b"GEMS_PETD_01"),
            implicit((0x0009, 0x1027), b"1234"),
        ];
        let first =
            rewrite(&twice.concat(), &output(to(EXPLICIT, Unknown::Kept), IMPLICIT)).unwrap();
        assert!(first.ends_with(&explicit((0x0009, 0x1027), *b"SL", b"1234")));
    }

    fn explicit_or(tag: (u16, u16), content: &[u8], form: Form<'_>) -> Vec<u8> {
        form(tag, *b"SQ", &implicit((0xFFFE, 0xE000), content))
    }

    /// limits::REWRITE_PRIVATE_BLOCKS_MAX, at its edge: the elements of one more are unknown.
    #[test]
    fn edge_of_private_blocks() {
        let last =
            [implicit((0x7FF1, 0x0010), b"TOSHIBA_MEC_CT_1.0"), implicit((0x7FF1, 0x100B), b"12")];
        for (others, vr) in
            [(REWRITE_PRIVATE_BLOCKS_MAX - 1, *b"US"), (REWRITE_PRIVATE_BLOCKS_MAX, *b"UN")]
        {
            let others = (0..others as u16).flat_map(|at| {
                implicit((0x0009 + 2 * (at / 200), 0x0020 + at % 200), b"GEMS_IDEN_01")
            });
            let source: Vec<u8> = others.chain(last.concat()).collect();
            let transfer_syntax = Some(Uid::known(EXPLICIT));
            let encoding = OutputEncoding { transfer_syntax, ..OutputEncoding::STORESCP };
            let there = rewrite(&source, &output(encoding, IMPLICIT)).unwrap();
            assert!(there.ends_with(&explicit((0x7FF1, 0x100B), vr, b"12")));
        }
    }

    /// limits::ORDERED_ELEMENTS_MAX, at its edge.
    #[test]
    fn edge_of_disorder() {
        let way = output(OutputEncoding::STORESCP, IMPLICIT);
        for (elements, is_good) in [(ORDERED_ELEMENTS_MAX, true), (ORDERED_ELEMENTS_MAX + 1, false)]
        {
            let mut source = implicit((0x0010, 0x0010), b"");
            source.extend(implicit((0x0008, 0x0060), b"").repeat(elements - 1));
            assert_eq!(rewrite(&source, &way).is_ok(), is_good);
        }
    }

    /// limits::ORDERED_INFLATED_BYTES_MAX, to the byte: a deflated data set in disorder.
    #[test]
    fn edge_of_inflated_disorder() {
        let head = explicit((0x0010, 0x0010), *b"PN", b"");
        for (bytes, is_good) in [
            (ORDERED_INFLATED_BYTES_MAX - 1, true),
            (ORDERED_INFLATED_BYTES_MAX, true),
            (ORDERED_INFLATED_BYTES_MAX + 1, false),
        ] {
            let rest = (bytes - head.len() - 12) as u32;
            let mut source = [&head[..], b"\x08\0\x01\0OB\0\0", &rest.to_le_bytes()].concat();
            // Bytes that deflate does not make little of, lest the ratio is what refuses them.
            source.extend((0..rest).map(|at| (at.wrapping_mul(0x9E37_79B1) >> 24) as u8));
            assert_eq!(source.len(), bytes);
            let deflated = {
                let level = flate2::Compression::fast();
                let mut out = flate2::write::DeflateEncoder::new(Vec::new(), level);
                std::io::Write::write_all(&mut out, &source).unwrap();
                out.finish().unwrap()
            };
            let way = output(OutputEncoding::STORESCP, DEFLATED);
            let ordered = order(std::io::Cursor::new(&deflated), &way);
            assert_eq!(ordered.is_ok(), is_good, "{bytes}");
        }
    }

    /// Padding within a block costs no more memory than itself and a few blocks.
    #[test]
    fn padded_items_are_given_out_before_the_next() {
        let items = item(&explicit((0x0008, 0x0060), *b"CS", b"")).repeat(100);
        let source = sequence((0x0008, 0x1140), &items);
        let padding = Padding::Aligned { file: 0, item: REWRITE_PADDING_BYTES_MAX };
        let encoding = OutputEncoding { padding, ..OutputEncoding::DCMRECV };
        let way = output(encoding, EXPLICIT);
        let found = survey(&source[..], &way).unwrap();
        let mut rewriter = Rewriter::second_pass(&source[..], &way, found.slots);
        let mut longest = 0;
        while let Some(block) = rewriter.next_block().unwrap() {
            longest = longest.max(block.len());
        }
        assert_eq!(rewriter.bytes_out(), found.bytes);
        assert!(longest < 2 * REWRITE_PADDING_BYTES_MAX as usize, "{longest}");
    }

    proptest! {
        /// There and back gives the same bytes, where the source is in the form that we write; and
        /// the way the source is cut makes no difference.
        #[test]
        fn there_and_back(
            parts in proptest::collection::vec(arbitrary_elements(3), 0..12),
            drip in 1_usize..40,
        ) {
            let source = parts.concat();
            for to in [IMPLICIT, BIG, DEFLATED] {
                let there = turn(&source, EXPLICIT, to);
                prop_assert_eq!(&turn(&there, to, EXPLICIT), &source);
                let mut dripped = Vec::new();
                Rewriter::new(Dripping(&there, drip), &way(to, EXPLICIT))
                    .read_to_end(&mut dripped)
                    .unwrap();
                prop_assert_eq!(&dripped, &source);
            }
        }

        /// Every output form holds the same values, is surveyed as what it becomes, and stays as it is
        /// when it is written again.
        #[test]
        fn output_forms_are_stable(
            parts in proptest::collection::vec(arbitrary_elements(2), 0..10),
            drip in 1_usize..40,
        ) {
            let source = parts.concat();
            let bases = [OutputEncoding::STORESCP, OutputEncoding::DCMRECV];
            let groups =
                [GroupLengths::Recalculated, GroupLengths::Created, GroupLengths::Removed];
            for (base, group_lengths) in bases.into_iter().zip(groups.into_iter().cycle()) {
                for to in [EXPLICIT, IMPLICIT, BIG, DEFLATED] {
                    let encoding = OutputEncoding {
                        transfer_syntax: Some(Uid::known(to)), group_lengths, ..base
                    };
                    let there = rewrite(&source, &output(encoding, EXPLICIT)).unwrap();
                    let way = output(encoding, to);
                    let again = rewrite(&there, &way).unwrap();
                    // A stream that is made anew may be cut elsewhere.
                    let plain = |bytes: &[u8]| turn(bytes, to, EXPLICIT);
                    if to == DEFLATED && group_lengths == GroupLengths::Created {
                        prop_assert_eq!(plain(&again), plain(&there));
                    } else {
                        prop_assert_eq!(&again, &there);
                    }
                    let found = survey(Dripping(&there, drip), &way).unwrap();
                    if group_lengths != GroupLengths::Created {
                        prop_assert!(!found.is_changed && !found.is_disordered);
                    }
                    let home = OutputEncoding {
                        transfer_syntax: Some(Uid::known(EXPLICIT)),
                        group_lengths: GroupLengths::Removed,
                        ..base
                    };
                    let back = rewrite(&there, &output(home, to)).unwrap();
                    let direct = rewrite(&source, &output(home, EXPLICIT)).unwrap();
                    prop_assert_eq!(back, direct);
                }
            }
        }

        /// Any bytes give an answer, and no more output than a few times the input.
        #[test]
        fn garbage_is_bounded(source in proptest::collection::vec(any::<u8>(), 0..400)) {
            for (from, to) in [(IMPLICIT, EXPLICIT), (EXPLICIT, IMPLICIT), (BIG, IMPLICIT)] {
                if let Ok(result) = rewrite(&source, &way(from, to)) {
                    prop_assert!(result.len() <= 3 * source.len());
                }
            }
        }
    }
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What a survey finds does not depend on how the bytes were cut, whole elements that are
        /// skimmed among them, also where the data set is broken.
        #[test]
        fn a_survey_of_any_pieces(
            parts in proptest::collection::vec(arbitrary_elements(2), 0..10),
            fault in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
            drip in 1_usize..30,
            from in prop_oneof![Just(EXPLICIT), Just(BIG), Just(IMPLICIT)],
        ) {
            let mut source = turn(&parts.concat(), EXPLICIT, from);
            if let Some((at, byte)) = fault.filter(|_| !source.is_empty()) {
                let at = at.index(source.len());
                source[at] = byte;
            }
            let groups =
                [GroupLengths::Recalculated, GroupLengths::Created, GroupLengths::Removed];
            for (group_lengths, text) in
                groups.into_iter().zip([TextPadding::Minimal, TextPadding::Even, TextPadding::Kept])
            {
                for to in [EXPLICIT, BIG, IMPLICIT] {
                    let transfer_syntax = Some(Uid::known(to));
                    let way = output(
                        OutputEncoding {
                            transfer_syntax, group_lengths, text, ..OutputEncoding::STORESCP
                        },
                        from,
                    );
                    let whole = survey(&source[..], &way).map_err(|error| error.to_string());
                    let dripped = survey(Dripping(&source, drip), &way);
                    let dripped = dripped.map_err(|error| error.to_string());
                    prop_assert_eq!(format!("{:?}", whole), format!("{:?}", dripped));
                }
            }
        }
    }
}
