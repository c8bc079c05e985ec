//! A data set re-encoded while it passes: byte order, VR form, deflate.
//!
//! Source: PS3.5 §7.1 (data elements), §7.5 (sequences), §6.2.2 (UN), §8.1.2 and Annex A (which VR
//! an element has where Implicit VR leaves it out), §A.5 (deflate).
//!
//! [`Rewriter`] is a `Read` over a `Read`: bulk values are copied or byte-swapped on their way, and
//! what is held is one block in, one block out, a stack of open sequences of bounded depth, at most
//! 12 bytes of a header and 7 of a number that was cut. Nothing recurses. Values stay equal; a data
//! set that is not whole is an error, never a shorter data set.
//!
//! What is decided where one pass cannot know or the standard leaves it open:
//! * Between Implicit and Explicit VR headers change their size, and so does every sequence: there
//!   sequences and items leave with undefined length, and group lengths (retired, PS3.5 §7.2) are
//!   dropped. Where only byte order or deflate differs, lengths stay as they are.
//! * An element without a name in the dictionary is UN, its value untouched; of undefined length it
//!   is a sequence, as nothing else may have that (§7.1.3).
//! * A value too long for its VR's 2-byte length is UN (§6.2.2), in little endian as UN always is.
//! * US or SS follows Pixel Representation, of this item or the nearest around it; for the few such
//!   elements that stand before it, [`PixelHints`] tells it beforehand.
//! * Encapsulated Pixel Data has no second form here and is refused.
//!
//! Further output encodings (explicit lengths, recalculated group lengths, padding) are further
//! fields of [`Rewriting`]; they need the second pass that this one avoids. Called by
//! `server::retrieve`, and by Python's tests. Bounds live in `limits.rs`.

use core::fmt;
use std::io::{self, Read};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::dataset::scan::{ScanError, Scanner, check_first_element, is_inflated_too_far};
use crate::dataset::transfer_syntax::{
    ByteOrder, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, TransferSyntax,
};
use crate::dictionary::elements::{DictionaryVr, vr_of};
use crate::limits::{
    DEFLATE_TRAILER_BYTES_MAX, INFLATE_BUFFER_BYTES, REWRITE_BLOCK_BYTES, SEQUENCE_DEPTH_MAX,
};
use crate::tag::{self, Tag};
use crate::uid::Uid;
use crate::vr::Vr;

/// From which encoding to which.
#[derive(Clone, Copy, Debug)]
pub struct Rewriting {
    /// How the source is encoded.
    pub from: TransferSyntax,
    /// How the result is encoded.
    pub to: TransferSyntax,
    /// What the source says further down.
    pub hints: PixelHints,
    /// Level of the deflate stream, 0 to 9.
    pub deflate_level: u32,
}

impl Rewriting {
    /// zlib's own default, and DCMTK's.
    pub const DEFLATE_LEVEL_DEFAULT: u32 = 6;

    /// The way from one transfer syntax to another; `None` when one of them is not among Implicit
    /// VR Little Endian, Explicit VR Little and Big Endian, and deflated.
    pub fn between(from: &Uid, to: &Uid, hints: PixelHints) -> Option<Self> {
        (is_convertible(from) && is_convertible(to)).then(|| Self {
            from: TransferSyntax::of(from),
            to: TransferSyntax::of(to),
            hints,
            deflate_level: Self::DEFLATE_LEVEL_DEFAULT,
        })
    }
}

/// True for the four transfer syntaxes that turn into one another without touching pixels.
pub fn is_convertible(syntax: &Uid) -> bool {
    matches!(
        syntax.as_str(),
        IMPLICIT_VR_LITTLE_ENDIAN
            | EXPLICIT_VR_LITTLE_ENDIAN
            | EXPLICIT_VR_BIG_ENDIAN
            | DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
    )
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

/// The data set of `source` in another encoding.
///
/// As a `Read` it reports every [`RewriteError`] but the source's own as
/// [`io::ErrorKind::InvalidData`].
pub struct Rewriter<R> {
    source: R,
    input: Box<[u8]>,
    input_start: usize,
    input_end: usize,
    is_source_at_end: bool,
    inflater: Option<Box<Inflater>>,
    recoder: Option<Recoder>,
    deflater: Option<Box<Deflater>>,
    /// What the recoder gave to the deflater.
    plain: Vec<u8>,
    output: Vec<u8>,
    given: usize,
    bytes_out: u64,
    is_done: bool,
}

impl<R: Read> Rewriter<R> {
    /// A rewriter at the start of `source`.
    pub fn new(source: R, rewriting: &Rewriting) -> Self {
        let Rewriting { from, to, hints, deflate_level } = *rewriting;
        let (source_form, target_form) = (Form::of(from), Form::of(to));
        let is_same = source_form == target_form && from.is_deflated == to.is_deflated;
        Self {
            source,
            input: vec![0; REWRITE_BLOCK_BYTES].into(),
            input_start: 0,
            input_end: 0,
            is_source_at_end: false,
            inflater: (from.is_deflated && !is_same).then(|| Box::new(Inflater::new())),
            // Between two equal forms (deflate alone) it copies, and sees whether all is whole.
            recoder: (!is_same).then(|| Recoder::new(source_form, target_form, hints)),
            deflater: (to.is_deflated && !is_same).then(|| Box::new(Deflater::new(deflate_level))),
            plain: Vec::new(),
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
        if self.input_start == self.input_end && !self.is_source_at_end {
            let count = loop {
                match self.source.read(&mut self.input) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result.map_err(RewriteError::Source)?,
                }
            };
            (self.input_start, self.input_end) = (0, count);
            self.is_source_at_end = count == 0;
        }
        let input = &self.input[self.input_start..self.input_end];
        // Stages without an inflater or a deflater write straight to the output.
        let (taken, is_whole, inflated) = match &mut self.inflater {
            Some(inflater) => inflater.step(input)?,
            None => (input.len(), true, input),
        };
        let is_end = self.is_source_at_end && inflated.is_empty();
        if is_end && !is_whole {
            return Err(ScanError::DeflateTruncated.into());
        }
        let plain = if self.deflater.is_some() { &mut self.plain } else { &mut self.output };
        match &mut self.recoder {
            Some(recoder) => {
                recoder.walk(inflated, plain)?;
                if is_end {
                    recoder.finish()?;
                }
            }
            None => plain.extend_from_slice(inflated),
        }
        if let Some(deflater) = &mut self.deflater {
            deflater.step(&self.plain, is_end, &mut self.output);
            self.plain.clear();
        }
        self.input_start += taken;
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
    let mut rewriter = Rewriter::new(data_set, rewriting);
    let mut result = Vec::with_capacity(data_set.len() + data_set.len() / 8);
    while let Some(block) = rewriter.next_block()? {
        result.extend_from_slice(block);
    }
    Ok(result)
}

// ---- Deflate ----------------------------------------------------------------------------------

/// A raw deflate stream (PS3.5 §A.5) taken apart a block at a time.
struct Inflater {
    stream: Decompress,
    output: Box<[u8]>,
    has_ended: bool,
    trailer_bytes: usize,
}

impl Inflater {
    fn new() -> Self {
        Self {
            stream: Decompress::new(false),
            output: vec![0; INFLATE_BUFFER_BYTES].into(),
            has_ended: false,
            trailer_bytes: 0,
        }
    }

    /// Takes some of `input`; gives how much, whether the stream has ended, and what came out.
    fn step(&mut self, input: &[u8]) -> Result<(usize, bool, &[u8]), ScanError> {
        if self.has_ended {
            self.trailer_bytes = self.trailer_bytes.saturating_add(input.len());
            if self.trailer_bytes > DEFLATE_TRAILER_BYTES_MAX {
                return Err(ScanError::DeflateCorrupt);
            }
            return Ok((input.len(), true, &[]));
        }
        let (taken_before, inflated_before) = (self.stream.total_in(), self.stream.total_out());
        let status = self
            .stream
            .decompress(input, &mut self.output, FlushDecompress::None)
            .map_err(|_| ScanError::DeflateCorrupt)?;
        let taken = (self.stream.total_in() - taken_before) as usize;
        let inflated = (self.stream.total_out() - inflated_before) as usize;
        self.has_ended = status == Status::StreamEnd;
        let inflated_bytes = self.stream.total_out();
        if is_inflated_too_far(inflated_bytes, self.stream.total_in()) {
            return Err(ScanError::DeflateBomb { inflated_bytes });
        }
        if !self.has_ended && taken == 0 && inflated == 0 && !input.is_empty() {
            return Err(ScanError::DeflateCorrupt);
        }
        Ok((taken, self.has_ended, &self.output[..inflated]))
    }
}

/// A raw deflate stream put together.
struct Deflater(Compress);

impl Deflater {
    fn new(level: u32) -> Self {
        Self(Compress::new(Compression::new(level.min(9)), false))
    }

    fn step(&mut self, mut input: &[u8], is_end: bool, output: &mut Vec<u8>) {
        let flush = if is_end { FlushCompress::Finish } else { FlushCompress::None };
        loop {
            // The stream fills what is spare and never grows the vector itself.
            output.reserve(INFLATE_BUFFER_BYTES);
            let before = self.0.total_in();
            let status = self.0.compress_vec(input, output, flush);
            input = &input[(self.0.total_in() - before) as usize..];
            let has_room = output.len() < output.capacity();
            match status {
                Ok(Status::StreamEnd) | Err(_) => break,
                _ if !is_end && input.is_empty() && has_room => return,
                _ => {}
            }
        }
        if self.0.total_out() % 2 == 1 {
            // PS3.5 §A.5: padded to even length.
            output.push(0);
        }
    }
}

// ---- Elements ---------------------------------------------------------------------------------

/// Undefined length, PS3.5 §7.1.1.
const UNDEFINED: u32 = u32::MAX;
/// Longest header: tag, VR, two reserved bytes, 4-byte length (PS3.5 Table 7.1-1).
const HEADER_BYTES_MAX: usize = 12;
/// No bound.
const NO_END: u64 = u64::MAX;
/// Longest value of a VR with a 2-byte length.
const SHORT_LENGTH_MAX: u32 = 0xFFFF;

/// The form of headers and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    is_explicit: bool,
    is_big_endian: bool,
}

impl Form {
    /// What a UN element of undefined length holds, whatever stands around it (PS3.5 §6.2.2).
    const UNKNOWN_SEQUENCE: Self = Self { is_explicit: false, is_big_endian: false };

    fn of(syntax: TransferSyntax) -> Self {
        Self { is_explicit: syntax.is_explicit, is_big_endian: syntax.byte_order == ByteOrder::Big }
    }

    fn tag(self, bytes: [u8; 4]) -> Tag {
        let [a, b, c, d] = bytes;
        Tag::new(self.u16([a, b]), self.u16([c, d]))
    }

    fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn put_u16(self, out: &mut Vec<u8>, value: u16) {
        let bytes = if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        out.extend_from_slice(&bytes);
    }

    fn put_u32(self, out: &mut Vec<u8>, value: u32) {
        let bytes = if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        out.extend_from_slice(&bytes);
    }

    fn put_tag(self, out: &mut Vec<u8>, tag: Tag) {
        self.put_u16(out, tag.group());
        self.put_u16(out, tag.element());
    }

    /// An item or a delimiter: no VR in any form.
    fn put_item(self, out: &mut Vec<u8>, tag: Tag, length: u32) {
        self.put_tag(out, tag);
        self.put_u32(out, length);
    }

    /// An element's header; `length` fits its VR.
    fn put_header(self, out: &mut Vec<u8>, tag: Tag, vr: Vr, length: u32) {
        if !self.is_explicit {
            return self.put_item(out, tag, length);
        }
        self.put_tag(out, tag);
        out.extend_from_slice(&vr.0);
        if is_long(vr) {
            out.extend_from_slice(&[0, 0]);
            self.put_u32(out, length);
        } else {
            self.put_u16(out, length as u16);
        }
    }
}

/// True for a VR with a 4-byte length; a future VR has one (PS3.5 §6.2).
fn is_long(vr: Vr) -> bool {
    vr.has_long_length() || !vr.is_known()
}

/// Bytes of one number of `vr`, which change places with the byte order; 1 for what has none.
fn number_bytes(vr: Vr) -> usize {
    match &vr.0 {
        b"US" | b"SS" | b"OW" | b"AT" => 2,
        b"UL" | b"SL" | b"FL" | b"OF" | b"OL" => 4,
        b"FD" | b"OD" | b"SV" | b"UV" | b"OV" => 8,
        _ => 1,
    }
}

/// What an open frame holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Items, in a sequence.
    Items,
    /// Elements, in an item or in the data set itself.
    Elements,
}

/// What elements say of those after them, in this item or one around it.
#[derive(Clone, Copy)]
struct Neighbours {
    /// Pixel Representation.
    is_signed: bool,
    /// Bits Allocated; 0 while unknown.
    bits_allocated: u16,
    /// Waveform Bits Allocated; 0 while unknown.
    waveform_bits_allocated: u16,
    /// The first value of the last LUT Descriptor, which is the number of entries.
    table_entries: u16,
}

/// An element that others depend on.
#[derive(Clone, Copy)]
enum Watched {
    PixelRepresentation,
    BitsAllocated,
    WaveformBitsAllocated,
    TableDescriptor,
}

impl Watched {
    fn of(tag: Tag) -> Option<Self> {
        Some(match tag {
            tag::PIXEL_REPRESENTATION => Self::PixelRepresentation,
            tag::BITS_ALLOCATED => Self::BitsAllocated,
            tag::WAVEFORM_BITS_ALLOCATED => Self::WaveformBitsAllocated,
            tag::LUT_DESCRIPTOR | tag::GRAY_LOOKUP_TABLE_DESCRIPTOR => Self::TableDescriptor,
            _ => return None,
        })
    }
}

/// One open sequence or item.
#[derive(Clone, Copy)]
struct Frame {
    holds: Holds,
    from: Form,
    to: Form,
    /// The source ends it by a delimiter.
    is_undefined: bool,
    /// The result ends it by a delimiter.
    is_delimited: bool,
    /// The offset in the source that nothing inside may pass.
    limit: u64,
    neighbours: Neighbours,
}

impl Frame {
    /// Headers keep their size, so lengths hold.
    fn keeps_lengths(&self) -> bool {
        self.from.is_explicit == self.to.is_explicit
    }
}

struct Header {
    tag: Tag,
    vr: Vr,
    length: u32,
    bytes: usize,
}

/// A value going by.
struct Value {
    left: u64,
    number_bytes: usize,
    is_dropped: bool,
    /// The bytes of a number that was cut.
    cut: [u8; 8],
    cut_bytes: usize,
    watched: Option<Watched>,
    /// The first two bytes, of a watched one.
    first: [u8; 2],
    first_bytes: usize,
}

impl Value {
    const NONE: Self = Self {
        left: 0,
        number_bytes: 1,
        is_dropped: false,
        cut: [0; 8],
        cut_bytes: 0,
        watched: None,
        first: [0; 2],
        first_bytes: 0,
    };

    fn pass(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        self.left -= bytes.len() as u64;
        if self.watched.is_some() {
            for &byte in bytes.iter().take(2 - self.first_bytes) {
                self.first[self.first_bytes] = byte;
                self.first_bytes += 1;
            }
        }
        if self.is_dropped {
            return;
        }
        let unit = self.number_bytes;
        if unit == 1 {
            out.extend_from_slice(bytes);
            return;
        }
        if self.cut_bytes > 0 {
            let (rest, after) = bytes.split_at((unit - self.cut_bytes).min(bytes.len()));
            self.cut[self.cut_bytes..self.cut_bytes + rest.len()].copy_from_slice(rest);
            self.cut_bytes += rest.len();
            bytes = after;
            if self.cut_bytes == unit {
                out.extend(self.cut[..unit].iter().rev());
                self.cut_bytes = 0;
            }
        }
        let (whole, rest) = bytes.split_at(bytes.len() / unit * unit);
        let start = out.len();
        out.extend_from_slice(whole);
        swap_numbers(&mut out[start..], unit);
        if !rest.is_empty() {
            self.cut[..rest.len()].copy_from_slice(rest);
            self.cut_bytes = rest.len();
        }
        if self.left == 0 {
            // A value that is no whole number of numbers: its tail has no byte order.
            out.extend_from_slice(&self.cut[..self.cut_bytes]);
            self.cut_bytes = 0;
        }
    }
}

/// Turns each number of `unit` bytes round; one loop a size, so that the compiler makes vectors.
fn swap_numbers(bytes: &mut [u8], unit: usize) {
    match unit {
        2 => {
            for number in bytes.chunks_exact_mut(2) {
                number.swap(0, 1);
            }
        }
        4 => {
            for number in bytes.chunks_exact_mut(4) {
                number.swap(0, 3);
                number.swap(1, 2);
            }
        }
        _ => {
            for number in bytes.chunks_exact_mut(unit) {
                number.reverse();
            }
        }
    }
}

enum Parsed {
    Header(Header),
    Needs(usize),
}

/// The elements of one data set on their way from one form to another.
struct Recoder {
    /// The data set itself at the bottom, then what is open.
    top: Frame,
    /// The frames under `top`.
    below: Vec<Frame>,
    open_sequences: usize,
    offset: u64,
    value: Value,
    carry: [u8; HEADER_BYTES_MAX],
    carried: usize,
}

impl Recoder {
    fn new(from: Form, to: Form, hints: PixelHints) -> Self {
        let top = Frame {
            holds: Holds::Elements,
            from,
            to,
            is_undefined: false,
            is_delimited: false,
            limit: NO_END,
            neighbours: Neighbours {
                is_signed: hints.is_signed,
                bits_allocated: 0,
                waveform_bits_allocated: 0,
                table_entries: 0,
            },
        };
        Self {
            top,
            below: Vec::new(),
            open_sequences: 0,
            offset: 0,
            value: Value::NONE,
            carry: [0; HEADER_BYTES_MAX],
            carried: 0,
        }
    }

    /// Appends to `out` what `input` becomes.
    fn walk(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), RewriteError> {
        loop {
            if self.value.left > 0 {
                let taken = usize::try_from(self.value.left)
                    .map_or(input.len(), |left| left.min(input.len()));
                let (bytes, rest) = input.split_at(taken);
                self.value.pass(bytes, out);
                self.offset += taken as u64;
                input = rest;
                if self.value.left > 0 {
                    return Ok(());
                }
                self.note_value();
            }
            if self.carried == 0 {
                self.close_ended(out)?;
            }
            let Some(header) = self.take_header(&mut input)? else { return Ok(()) };
            self.enter(&header, out)?;
        }
    }

    /// Says whether the data set may end here.
    fn finish(&self) -> Result<(), ScanError> {
        let offset = self.offset;
        if self.value.left > 0 {
            return Err(ScanError::EndsInsideElement { offset, missing_bytes: self.value.left });
        }
        if self.carried > 0 {
            let header_bytes = if self.carried < 8 { 8 } else { HEADER_BYTES_MAX };
            let missing_bytes = (header_bytes - self.carried) as u64;
            return Err(ScanError::EndsInsideElement { offset, missing_bytes });
        }
        if self.below.is_empty() {
            return Ok(());
        }
        if self.top.limit == NO_END {
            let open_sequences = self.open_sequences;
            return Err(ScanError::NotClosed { offset, open_sequences });
        }
        Err(ScanError::EndsInsideElement { offset, missing_bytes: self.top.limit - offset })
    }

    /// A value has gone by: remembers what others depend on.
    fn note_value(&mut self) {
        let Some(watched) = self.value.watched.take() else { return };
        if self.value.first_bytes < 2 {
            return;
        }
        let number = self.top.from.u16(self.value.first);
        let neighbours = &mut self.top.neighbours;
        match watched {
            Watched::PixelRepresentation => neighbours.is_signed = number == 1,
            Watched::BitsAllocated => neighbours.bits_allocated = number,
            Watched::WaveformBitsAllocated => neighbours.waveform_bits_allocated = number,
            Watched::TableDescriptor => neighbours.table_entries = number,
        }
    }

    /// Pops what ends at this offset by its length.
    fn close_ended(&mut self, out: &mut Vec<u8>) -> Result<(), ScanError> {
        while self.offset == self.top.limit {
            if self.top.is_undefined {
                let (offset, open_sequences) = (self.offset, self.open_sequences);
                return Err(ScanError::NotClosed { offset, open_sequences });
            }
            self.pop(out);
        }
        Ok(())
    }

    fn pop(&mut self, out: &mut Vec<u8>) {
        let Some(below) = self.below.pop() else { return };
        let ended = core::mem::replace(&mut self.top, below);
        let delimiter = match ended.holds {
            Holds::Items => {
                self.open_sequences -= 1;
                tag::SEQUENCE_DELIMITATION
            }
            Holds::Elements => tag::ITEM_DELIMITATION,
        };
        if ended.is_delimited {
            ended.to.put_item(out, delimiter, 0);
        }
    }

    /// The next header; `None` when its rest is still to come.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, RewriteError> {
        if self.carried == 0 {
            match self.parse_header(input)? {
                Parsed::Header(header) => {
                    *input = &input[header.bytes..];
                    return Ok(Some(header));
                }
                Parsed::Needs(_) => {
                    self.carry[..input.len()].copy_from_slice(input);
                    self.carried = input.len();
                    return Ok(None);
                }
            }
        }
        let mut needed: usize = 8;
        loop {
            let taken = needed.saturating_sub(self.carried).min(input.len());
            let (start, rest) = input.split_at(taken);
            self.carry[self.carried..self.carried + taken].copy_from_slice(start);
            self.carried += taken;
            *input = rest;
            if self.carried < needed {
                return Ok(None);
            }
            let carry = self.carry;
            match self.parse_header(&carry[..self.carried])? {
                Parsed::Header(header) => {
                    self.carried = 0;
                    return Ok(Some(header));
                }
                Parsed::Needs(more) => needed = more,
            }
        }
    }

    /// Reads a header from the start of `bytes`, which hold all of it or less than 12 bytes.
    fn parse_header(&self, bytes: &[u8]) -> Result<Parsed, ScanError> {
        let Some((head, rest)) = bytes.split_first_chunk::<8>() else {
            return Ok(Parsed::Needs(8));
        };
        let &[t0, t1, t2, t3, a, b, c, d] = head;
        let form = self.top.from;
        let tag = form.tag([t0, t1, t2, t3]);
        if self.offset == 0 {
            check_first_element(form.is_explicit, tag, Vr([a, b]))?;
        }
        if !form.is_explicit || tag.group() == 0xFFFE {
            let length = form.u32([a, b, c, d]);
            return Ok(Parsed::Header(Header { tag, vr: Vr::NONE, length, bytes: 8 }));
        }
        let vr = Vr([a, b]);
        if !vr.is_letters() {
            return Err(ScanError::BadVr { tag, vr, offset: self.offset });
        }
        if !is_long(vr) {
            let length = u32::from(form.u16([c, d]));
            return Ok(Parsed::Header(Header { tag, vr, length, bytes: 8 }));
        }
        match rest.first_chunk::<4>() {
            None => Ok(Parsed::Needs(HEADER_BYTES_MAX)),
            Some(length) => {
                let length = form.u32(*length);
                Ok(Parsed::Header(Header { tag, vr, length, bytes: HEADER_BYTES_MAX }))
            }
        }
    }

    /// An element, item or delimiter whose header has just gone by.
    fn enter(&mut self, header: &Header, out: &mut Vec<u8>) -> Result<(), RewriteError> {
        let &Header { tag, length, bytes, .. } = header;
        let offset = self.offset;
        let after = offset + bytes as u64;
        let is_delimiter = tag == tag::ITEM_DELIMITATION || tag == tag::SEQUENCE_DELIMITATION;
        let value_bytes = if length == UNDEFINED || is_delimiter { 0 } else { u64::from(length) };
        if after + value_bytes > self.top.limit {
            return Err(ScanError::LongerThanParent { tag, offset, length }.into());
        }
        self.offset = after;
        match self.top.holds {
            Holds::Elements => self.enter_element(header, offset, out),
            Holds::Items if tag == tag::ITEM => {
                let length_out = self.length_out(length);
                self.top.to.put_item(out, tag::ITEM, length_out);
                self.open(Holds::Elements, self.top.from, self.top.to, length);
                Ok(())
            }
            Holds::Items if tag == tag::SEQUENCE_DELIMITATION => {
                Ok(self.close_delimited(tag, offset, out)?)
            }
            Holds::Items => Err(ScanError::ItemExpected { tag, offset }.into()),
        }
    }

    fn enter_element(
        &mut self,
        header: &Header,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), RewriteError> {
        let &Header { tag, vr, length, .. } = header;
        match tag.group() {
            0xFFFE if tag == tag::ITEM_DELIMITATION => {
                return Ok(self.close_delimited(tag, offset, out)?);
            }
            0xFFFE => return Err(ScanError::NothingToDelimit { tag, offset }.into()),
            0x0000 | 0x0002 => return Err(ScanError::ForbiddenGroup { tag, offset }.into()),
            _ => {}
        }
        let Frame { from, to, .. } = self.top;
        if length == UNDEFINED {
            return self.enter_undefined(header, offset, out);
        }
        // In one form only, a copy: nothing inside has to be known.
        let vr = if from.is_explicit || from == to { vr } else { self.dictionary_vr(tag) };
        if vr == Vr::SQ {
            return self.enter_sequence(tag, vr, offset, length, (from, to), out);
        }
        let keeps_lengths = self.top.keeps_lengths();
        let mut value = Value {
            left: u64::from(length),
            watched: Watched::of(tag),
            is_dropped: tag.element() == 0 && !keeps_lengths,
            ..Value::NONE
        };
        let vr_out =
            if to.is_explicit && !is_long(vr) && length > SHORT_LENGTH_MAX { Vr::UN } else { vr };
        if from.is_big_endian != to.is_big_endian && vr_out != Vr::UN {
            value.number_bytes = number_bytes(vr_out);
        }
        if !value.is_dropped {
            to.put_header(out, tag, vr_out, length);
        }
        self.value = value;
        Ok(())
    }

    /// PS3.5 §7.1.1: undefined length is for SQ and UN, and for Pixel Data in fragments.
    fn enter_undefined(
        &mut self,
        header: &Header,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), RewriteError> {
        let &Header { tag, vr, .. } = header;
        let Frame { from, to, .. } = self.top;
        let unknown = Form::UNKNOWN_SEQUENCE;
        match vr {
            Vr::NONE if tag == tag::PIXEL_DATA => Err(RewriteError::Encapsulated { tag }),
            Vr::NONE | Vr::SQ => {
                self.enter_sequence(tag, Vr::SQ, offset, UNDEFINED, (from, to), out)
            }
            Vr::UN => self.enter_sequence(tag, vr, offset, UNDEFINED, (unknown, unknown), out),
            Vr::OB | Vr::OW => Err(RewriteError::Encapsulated { tag }),
            _ => Err(ScanError::UndefinedLength { tag, vr, offset }.into()),
        }
    }

    /// A sequence whose content goes from one form to another.
    fn enter_sequence(
        &mut self,
        tag: Tag,
        vr: Vr,
        offset: u64,
        length: u32,
        forms: (Form, Form),
        out: &mut Vec<u8>,
    ) -> Result<(), RewriteError> {
        let length_out = self.length_out(length);
        self.top.to.put_header(out, tag, vr, length_out);
        if length == 0 {
            return Ok(());
        }
        if self.open_sequences == SEQUENCE_DEPTH_MAX {
            return Err(ScanError::TooDeep { tag, offset }.into());
        }
        self.open_sequences += 1;
        self.open(Holds::Items, forms.0, forms.1, length);
        Ok(())
    }

    /// The length of a sequence or item in the result.
    fn length_out(&self, length: u32) -> u32 {
        if length == 0 || self.top.keeps_lengths() { length } else { UNDEFINED }
    }

    /// Opens a frame of `length` bytes from here; `enter` has compared its end with its parent's.
    fn open(&mut self, holds: Holds, from: Form, to: Form, length: u32) {
        if length == 0 {
            return;
        }
        let is_undefined = length == UNDEFINED;
        let limit = if is_undefined { self.top.limit } else { self.offset + u64::from(length) };
        let mut neighbours = self.top.neighbours;
        // Of the item itself only; Pixel Representation and Bits Allocated may stand further out.
        (neighbours.table_entries, neighbours.waveform_bits_allocated) = (0, 0);
        let frame = Frame {
            holds,
            from,
            to,
            is_undefined,
            is_delimited: is_undefined || !self.top.keeps_lengths(),
            limit,
            neighbours,
        };
        self.below.push(core::mem::replace(&mut self.top, frame));
    }

    fn close_delimited(
        &mut self,
        tag: Tag,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), ScanError> {
        if !self.top.is_undefined {
            return Err(ScanError::NothingToDelimit { tag, offset });
        }
        self.pop(out);
        Ok(())
    }

    /// The VR of an element that came without one.
    fn dictionary_vr(&self, tag: Tag) -> Vr {
        let Neighbours { is_signed, bits_allocated, waveform_bits_allocated, table_entries } =
            self.top.neighbours;
        let bits = if tag.group() == 0x5400 { waveform_bits_allocated } else { bits_allocated };
        let is_pixels_or_waveform = tag == tag::PIXEL_DATA || tag.group() == 0x5400;
        match vr_of(tag) {
            None => Vr::UN,
            Some(DictionaryVr::Is(vr)) => vr,
            Some(DictionaryVr::UsOrSs) => Vr(if is_signed { *b"SS" } else { *b"US" }),
            // PS3.5 §A.2: overlays and all else may be OW always.
            Some(DictionaryVr::ObOrOw) if is_pixels_or_waveform && (1..=8).contains(&bits) => {
                Vr::OB
            }
            Some(DictionaryVr::LookupTable) if table_entries == 1 => Vr(*b"US"),
            Some(DictionaryVr::ObOrOw | DictionaryVr::LookupTable) => Vr::OW,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let form = Form { is_explicit: true, is_big_endian: false };
        let mut out = Vec::new();
        form.put_header(&mut out, Tag::new(tag.0, tag.1), Vr(vr), value.len() as u32);
        out.extend_from_slice(value);
        out
    }

    fn implicit(tag: (u16, u16), value: &[u8]) -> Vec<u8> {
        let form = Form { is_explicit: false, is_big_endian: false };
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
            let form = Form { is_explicit: true, is_big_endian: false };
            form.put_tag(&mut name, Tag::new(tag.0, tag.1));
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
}
