//! Values of the indexed attributes, taken while the scanner walks.
//!
//! Source: PS3.5 §6.2 (padding), §7.5 (sequences), §6.2.2 (UN), §7.3 (byte order). The scanner tells
//! of each element at the top level, and hands over the bytes of those that are wanted as they go by,
//! however they were cut. What comes out does not depend on the transfer syntax: text as received
//! without trailing padding, numbers in little endian, sequences as items in Explicit VR Little
//! Endian with defined lengths.
//!
//! Of two elements of one tag the first counts, as in the scanner. A value longer than its bound is
//! cut there; a sequence that is longer, deeper than [`INDEXED_SEQUENCE_DEPTH_MAX`] or not whole is
//! left out; an element whose VR cannot be that of its attribute is left out. Elements after Pixel
//! Data are not looked at.
//!
//! Called by `dataset::scan`. Bounds live in `limits.rs`.

use crate::dataset::attributes::Attributes;
use crate::dataset::element_header::Encoding;
use crate::dictionary::elements::{DictionaryVr, vr_of};
use crate::limits::{
    ATTRIBUTES_BYTES_MAX, ATTRIBUTES_RESERVED_BYTES, INDEXED_SEQUENCE_BYTES_MAX,
    INDEXED_SEQUENCE_DEPTH_MAX,
};
use crate::tag::{self, Tag};
use crate::vr::{Vr, trimmed_end};

/// One attribute whose value is collected.
#[derive(Clone, Copy, Debug)]
pub struct WantedValue {
    /// Its tag.
    pub tag: Tag,
    /// Its value representation, which Implicit VR does not tell.
    pub vr: Vr,
    /// Longest value kept, in bytes.
    pub bytes_max: u16,
}

/// Patient ID, Study and Series Instance UID.
const UNIQUE_KEYS: [Tag; 3] =
    [Tag::new(0x0010, 0x0020), Tag::new(0x0020, 0x000D), Tag::new(0x0020, 0x000E)];

/// Most attributes that one collector looks for: the bits of its memory of those seen.
pub const WANTED_VALUES_MAX: usize = 256;

/// Collects the wanted values of one data set.
pub(super) struct IndexKeys {
    wanted: &'static [WantedValue],
    /// The first wanted attribute whose tag is not below the last one seen.
    at: usize,
    seen: [u64; WANTED_VALUES_MAX / 64],
    /// The attribute whose bytes are going by.
    current: Option<Current>,
    bytes: Vec<u8>,
    attributes: Attributes,
}

#[derive(Clone, Copy)]
struct Current {
    wanted: WantedValue,
    vr: Vr,
    encoding: Encoding,
    bytes_max: usize,
}

impl IndexKeys {
    pub fn new(wanted: &'static [WantedValue]) -> Self {
        Self {
            wanted: &wanted[..wanted.len().min(WANTED_VALUES_MAX)],
            at: 0,
            seen: [0; WANTED_VALUES_MAX / 64],
            current: None,
            bytes: Vec::new(),
            attributes: Attributes::new(),
        }
    }

    /// An element at the top level begins; true when its bytes are wanted.
    #[inline]
    pub fn begin(&mut self, tag: Tag, vr: Vr, length: u32, encoding: Encoding) -> bool {
        let is_ascending =
            self.at.checked_sub(1).is_none_or(|before| self.wanted[before].tag < tag);
        if !is_ascending {
            self.at = self.wanted.partition_point(|wanted| wanted.tag < tag);
        }
        while self.wanted.get(self.at).is_some_and(|wanted| wanted.tag < tag) {
            self.at += 1;
        }
        match self.wanted.get(self.at) {
            Some(wanted) if wanted.tag == tag => self.begin_wanted(*wanted, vr, length, encoding),
            _ => false,
        }
    }

    fn begin_wanted(
        &mut self,
        wanted: WantedValue,
        vr: Vr,
        length: u32,
        encoding: Encoding,
    ) -> bool {
        let (word, bit) = (self.at / 64, 1 << (self.at % 64));
        let is_first = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        if !is_first || length == 0 || !may_be(vr, wanted.vr) {
            return false;
        }
        let encoding = if vr == Vr::UN { Encoding::UNKNOWN_SEQUENCE } else { encoding };
        let bytes_max = if wanted.vr == Vr::SQ {
            INDEXED_SEQUENCE_BYTES_MAX
        } else {
            usize::from(wanted.bytes_max)
        };
        self.current = Some(Current { wanted, vr, encoding, bytes_max });
        self.bytes.clear();
        true
    }

    /// The next bytes of the value, headers and delimiters of a sequence among them.
    pub fn keep(&mut self, bytes: &[u8]) {
        let Some(current) = &self.current else { return };
        // One byte too many shows that a sequence was cut.
        let room = (current.bytes_max + 1).saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The value has gone by.
    pub fn complete(&mut self) {
        let Some(Current { wanted, vr, encoding, bytes_max }) = self.current.take() else { return };
        if wanted.vr == Vr::SQ {
            if self.bytes.len() > bytes_max {
                return;
            }
            let items = normalised_items(&self.bytes, encoding);
            if let Some(items) = items.filter(|items| items.len() <= wanted.bytes_max.into()) {
                Self::set(&mut self.attributes, wanted.tag, &items);
            }
            return;
        }
        self.bytes.truncate(bytes_max);
        if let Some(width) = number_bytes(wanted.vr) {
            let whole = self.bytes.len() / width * width;
            self.bytes.truncate(whole);
            if encoding.is_big_endian && vr != Vr::UN {
                self.bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
            }
        } else {
            let length = trimmed_end(&self.bytes).len();
            self.bytes.truncate(length);
        }
        Self::set(&mut self.attributes, wanted.tag, &self.bytes);
    }

    /// Keeps a value where there is room; what an instance is listed by always finds some.
    fn set(attributes: &mut Attributes, tag: Tag, value: &[u8]) {
        let needed = attributes.as_ref().as_bytes().len() + value.len();
        let is_unique = UNIQUE_KEYS.contains(&tag);
        if is_unique || needed <= ATTRIBUTES_BYTES_MAX - ATTRIBUTES_RESERVED_BYTES {
            attributes.set(tag, value);
        }
    }

    /// What was collected; nothing is left.
    pub fn take(&mut self) -> Attributes {
        core::mem::take(&mut self.attributes)
    }
}

/// Bytes of one number of a binary VR; `None` for text.
fn number_bytes(vr: Vr) -> Option<usize> {
    match &vr.0 {
        b"US" | b"SS" | b"OW" | b"AT" => Some(2),
        b"UL" | b"SL" | b"FL" | b"OF" | b"OL" => Some(4),
        b"FD" | b"OD" | b"SV" | b"UV" | b"OV" => Some(8),
        b"OB" | b"UN" => Some(1),
        _ => None,
    }
}

/// True where an element of VR `found` can be an attribute of VR `wanted`: the same, none or
/// unknown, or one text for another.
fn may_be(found: Vr, wanted: Vr) -> bool {
    let is_text = |vr| vr != Vr::SQ && number_bytes(vr).is_none();
    found == wanted || found == Vr::NONE || found == Vr::UN || (is_text(found) && is_text(wanted))
}

// ---- Sequences --------------------------------------------------------------------------------

const UNDEFINED: u32 = u32::MAX;

/// A sequence or item that is being rewritten.
#[derive(Clone, Copy)]
struct Open {
    holds_items: bool,
    encoding: Encoding,
    /// Where it ends in the source; `None` until its delimiter.
    end: Option<usize>,
    /// Where its length stands in the result.
    length_at: usize,
}

/// The items of a sequence's value in Explicit VR Little Endian with defined lengths; `None` when
/// they are not whole or nested too deeply.
fn normalised_items(source: &[u8], encoding: Encoding) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(source.len() + source.len() / 4);
    let mut open: Vec<Open> = Vec::with_capacity(4);
    // The sequence itself has no length in the result.
    let mut top =
        Open { holds_items: true, encoding, end: Some(source.len()), length_at: usize::MAX };
    let mut rest = source;
    loop {
        let at = source.len() - rest.len();
        while top.end == Some(at) {
            let Some(parent) = open.pop() else { return Some(out) };
            set_length(&mut out, top.length_at)?;
            top = parent;
        }
        let (tag, vr, length) = read_header(&mut rest, top)?;
        let is_delimiter = match tag {
            tag::ITEM_DELIMITATION => !top.holds_items,
            tag::SEQUENCE_DELIMITATION => top.holds_items,
            _ => false,
        };
        if is_delimiter {
            let Some(parent) = open.pop() else {
                // The delimiter of the sequence itself is the last that was kept.
                return rest.is_empty().then_some(out);
            };
            set_length(&mut out, top.length_at)?;
            top = parent;
            continue;
        }
        if top.holds_items != (tag == tag::ITEM) || open.len() > 2 * INDEXED_SEQUENCE_DEPTH_MAX {
            return None;
        }
        let is_sequence = vr == Vr::SQ || length == UNDEFINED;
        if tag != tag::ITEM && !is_sequence {
            let (value, after) = rest.split_at_checked(length as usize)?;
            rest = after;
            write_element(&mut out, tag, vr, value, top.encoding)?;
            continue;
        }
        let begins_at = source.len() - rest.len();
        let end = if length == UNDEFINED { None } else { Some(begins_at + length as usize) };
        if end.is_some_and(|end| end > top.end.unwrap_or(source.len())) {
            return None;
        }
        write_tag(&mut out, tag);
        if tag != tag::ITEM {
            out.extend_from_slice(b"SQ\0\0");
        }
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        let encoding = if vr == Vr::UN { Encoding::UNKNOWN_SEQUENCE } else { top.encoding };
        open.push(top);
        top = Open { holds_items: tag != tag::ITEM, encoding, end, length_at };
    }
}

/// The next header: tag, VR (by the dictionary where there is none) and length.
fn read_header(rest: &mut &[u8], top: Open) -> Option<(Tag, Vr, u32)> {
    let encoding = top.encoding;
    let (&[t0, t1, t2, t3, v0, v1, l0, l1], mut after) = rest.split_first_chunk::<8>()?;
    let tag = encoding.tag([t0, t1, t2, t3]);
    let header = if tag.group() == 0xFFFE {
        (tag, Vr::NONE, encoding.u32([v0, v1, l0, l1]))
    } else if !encoding.is_explicit {
        let vr = match vr_of(tag) {
            Some(DictionaryVr::Is(vr)) => vr,
            Some(DictionaryVr::UsOrSs) => Vr(*b"US"),
            Some(DictionaryVr::ObOrOw | DictionaryVr::LookupTable) => Vr::OW,
            None => Vr::UN,
        };
        (tag, vr, encoding.u32([v0, v1, l0, l1]))
    } else if Vr([v0, v1]).is_known() && !Vr([v0, v1]).has_long_length() {
        (tag, Vr([v0, v1]), encoding.u16([l0, l1]).into())
    } else {
        let (length, rest) = after.split_first_chunk::<4>()?;
        after = rest;
        (tag, Vr([v0, v1]), encoding.u32(*length))
    };
    *rest = after;
    Some(header)
}

fn write_tag(out: &mut Vec<u8>, tag: Tag) {
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
}

fn write_element(
    out: &mut Vec<u8>,
    tag: Tag,
    vr: Vr,
    value: &[u8],
    encoding: Encoding,
) -> Option<()> {
    write_tag(out, tag);
    out.extend_from_slice(&vr.0);
    if vr.is_known() && !vr.has_long_length() {
        out.extend_from_slice(&u16::try_from(value.len()).ok()?.to_le_bytes());
    } else {
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&u32::try_from(value.len()).ok()?.to_le_bytes());
    }
    let begins_at = out.len();
    out.extend_from_slice(value);
    if let Some(width) = number_bytes(vr).filter(|width| encoding.is_big_endian && *width > 1) {
        out[begins_at..].chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    Some(())
}

/// Writes the length of what ends here into its place.
fn set_length(out: &mut [u8], length_at: usize) -> Option<()> {
    let length = u32::try_from(out.len().checked_sub(length_at + 4)?).ok()?;
    out.get_mut(length_at..length_at + 4)?.copy_from_slice(&length.to_le_bytes());
    Some(())
}
