//! One value on its way: copied, turned round, padded or dropped.
//!
//! Called by `rewrite::recode`, which has written the header unless the value says its length itself
//! (text, which is held up to 64 KiB).

use super::options::TextPadding;
use super::output::Output;
use super::text::{pad_of, padded, significant_bytes};
use crate::dataset::element_header::{Encoding, SHORT_LENGTH_MAX};
use crate::tag::Tag;
use crate::vr::Vr;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers of so many bytes, turned round; 1 for a copy.
    Numbers(usize),
    /// Nothing.
    Dropped,
    /// Held, and written with its header when complete.
    Text,
    /// Text of even length, too long to be held, that loses its padding; with its length as written,
    /// which in the first pass is not known before the end.
    LongText { slot: usize, length_out: u32 },
}

/// A value going by.
pub(super) struct Value {
    pub left: u64,
    /// Its length in the source.
    pub length: u32,
    pub kind: Kind,
    /// The element, as it is written.
    pub tag: Tag,
    pub vr: Vr,
    /// A byte that follows a value of odd length.
    pub pad: Option<u8>,
    /// The first bytes, of a value that others depend on.
    pub first: [u8; 4],
    pub first_bytes: usize,
    pub is_watched: bool,
    /// The bytes of a number that was cut.
    cut: [u8; 8],
    cut_bytes: usize,
    /// A text that was cut.
    pub held: Vec<u8>,
    scratch: Vec<u8>,
    /// Bytes of a long text so far, and up to its last byte that is no padding.
    passed: u64,
    significant: u64,
}

impl Value {
    pub const NONE: Self = Self {
        left: 0,
        length: 0,
        kind: Kind::Dropped,
        tag: Tag(0),
        vr: Vr::NONE,
        pad: None,
        first: [0; 4],
        first_bytes: 0,
        is_watched: false,
        cut: [0; 8],
        cut_bytes: 0,
        held: Vec::new(),
        scratch: Vec::new(),
        passed: 0,
        significant: 0,
    };

    /// A value of `length` bytes begins.
    pub fn begin(&mut self, tag: Tag, vr: Vr, length: u32, kind: Kind) {
        (self.tag, self.vr, self.kind) = (tag, vr, kind);
        (self.left, self.length) = (u64::from(length), length);
        (self.pad, self.is_watched) = (None, false);
        (self.first_bytes, self.cut_bytes, self.passed, self.significant) = (0, 0, 0, 0);
        self.held.clear();
    }

    /// Takes the next bytes. Text whose bytes are all here is not copied.
    pub fn pass<'v>(&mut self, bytes: &'v [u8], out: &mut Output) -> Option<&'v [u8]> {
        self.left -= bytes.len() as u64;
        if self.is_watched {
            let room = &mut self.first[self.first_bytes..];
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            self.first_bytes += count;
        }
        match self.kind {
            Kind::Dropped => {}
            Kind::Numbers(1) => {
                out.put(bytes);
                self.put_pad(out);
            }
            Kind::Numbers(unit) => self.pass_numbers(bytes, unit, out),
            Kind::Text if self.left == 0 && self.held.is_empty() => return Some(bytes),
            Kind::Text => self.held.extend_from_slice(bytes),
            Kind::LongText { length_out, .. } => {
                let significant = significant_bytes(bytes, pad_of(self.vr));
                if significant > 0 {
                    self.significant = self.passed + significant as u64;
                }
                let room = u64::from(length_out).saturating_sub(self.passed);
                let kept = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
                out.put(&bytes[..kept]);
                self.passed += bytes.len() as u64;
            }
        }
        None
    }

    fn put_pad(&self, out: &mut Output) {
        if let (Some(pad), 0) = (self.pad, self.left) {
            out.put(&[pad]);
        }
    }

    fn pass_numbers(&mut self, mut bytes: &[u8], unit: usize, out: &mut Output) {
        if self.cut_bytes > 0 {
            let (rest, after) = bytes.split_at((unit - self.cut_bytes).min(bytes.len()));
            self.cut[self.cut_bytes..self.cut_bytes + rest.len()].copy_from_slice(rest);
            self.cut_bytes += rest.len();
            bytes = after;
            if self.cut_bytes == unit {
                out.put_swapped(&self.cut[..unit], unit);
                self.cut_bytes = 0;
            }
        }
        let (whole, rest) = bytes.split_at(bytes.len() / unit * unit);
        out.put_swapped(whole, unit);
        if !rest.is_empty() {
            self.cut[..rest.len()].copy_from_slice(rest);
            self.cut_bytes = rest.len();
        }
        if self.left > 0 {
            return;
        }
        if let (Some(pad), Some(free)) = (self.pad, self.cut.get_mut(self.cut_bytes)) {
            *free = pad;
            self.cut_bytes += 1;
        }
        let tail = &self.cut[..self.cut_bytes];
        // A value that is no whole number of numbers: its tail has no byte order.
        if tail.len() == unit {
            out.put_swapped(tail, unit);
        } else {
            out.put(tail);
        }
        self.cut_bytes = 0;
    }

    /// Writes a text with its header; `whole` is the value unless it was held. Says whether it is
    /// other than it came.
    pub fn put_text(
        &mut self,
        whole: Option<&[u8]>,
        (to, vr_out): (Encoding, Vr),
        padding: TextPadding,
        out: &mut Output,
    ) -> bool {
        let value = whole.unwrap_or(&self.held);
        let text = padded(self.vr, value, padding, &mut self.scratch);
        out.put_header(to, self.tag, vr_out, text.len() as u32);
        out.put(text);
        text != value
    }

    /// The length that a long text has when it is written, at its end.
    pub fn long_text_length(&self) -> u32 {
        u32::try_from(self.significant + self.significant % 2).unwrap_or(u32::MAX - 1)
    }
}

/// True for a length that is held.
pub(super) const fn is_held(length: u32) -> bool {
    // With a byte that makes it even it still fits.
    length < SHORT_LENGTH_MAX
}
