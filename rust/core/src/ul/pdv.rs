//! Presentation Data Values: reading the PDVs of one P-DATA-TF PDU, and cutting what we send to the
//! peer's maximum length.
//!
//! Source: PS3.8 §9.3.5 (Table 9-22, P-DATA-TF; Table 9-23, PDV item), Annex D.1 (maximum length)
//! and Annex E.2 (message control header).
//!
//! ```text
//! offset  bytes  field
//! 0       4      item length, big endian; counts what follows it, so >= 2
//! 4       1      presentation context ID; odd, 1..=255
//! 5       1      message control header; bit 0 command, bit 1 last fragment
//! 6       n      fragment; n = item length - 2
//! ```
//!
//! Reads and writes memory only. Allocates nothing: a [`Pdv`] borrows the PDU it came from, and
//! [`Fragmenter`] yields headers of 12 bytes that the caller puts between slices of its own data,
//! so that a message of any number of PDUs is one vectored write and no bulk byte is copied. Called
//! by `dimse::message`, `server` and `client`. Bounds live in `limits.rs`.

use core::fmt;
use core::ops::Range;

use crate::limits::MAX_PDU_BYTES_MAX;
use crate::ul::pdu::{Abort, PDU_HEADER_BYTES, PduType};

/// Bytes of a PDV before its fragment.
pub const PDV_HEADER_BYTES: usize = 6;
/// Bytes before the fragment of a PDU that carries one PDV.
pub const DATA_HEADER_BYTES: usize = PDU_HEADER_BYTES + PDV_HEADER_BYTES;

/// One PDV, borrowed from the PDU that carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdv<'pdu> {
    /// Presentation context ID, as negotiated; odd.
    pub context_id: u8,
    /// True for a command fragment, false for a data set fragment.
    pub is_command: bool,
    /// True for the last fragment of its command or data set.
    pub is_last: bool,
    /// The fragment, without any header.
    pub fragment: &'pdu [u8],
}

/// Why the variable field of a P-DATA-TF PDU could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PdvError {
    /// The item length, or the item length field itself, needs more bytes than the PDU holds.
    Truncated {
        /// Bytes named.
        wanted_bytes: usize,
        /// Bytes there.
        left_bytes: usize,
    },
    /// The item length leaves no room for the context ID and the control header.
    TooShort {
        /// The item length.
        item_length: u32,
    },
    /// The presentation context ID is even, which PS3.8 §9.3.2.2 forbids.
    EvenContextId(u8),
}

impl PdvError {
    /// Source and reason of the A-ABORT that answers this.
    pub const fn abort(&self) -> Abort {
        Abort::INVALID_PDU_PARAMETER
    }
}

impl fmt::Display for PdvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { wanted_bytes, left_bytes } => {
                write!(formatter, "PDV: {wanted_bytes} bytes named, {left_bytes} left in the PDU")
            }
            Self::TooShort { item_length } => {
                write!(formatter, "PDV of length {item_length}, where at least 2 are needed")
            }
            Self::EvenContextId(id) => {
                write!(formatter, "PDV on presentation context ID {id}, which is even")
            }
        }
    }
}

impl core::error::Error for PdvError {}

/// Returns the first PDV of `body` and the bytes after it.
///
/// `body` is a P-DATA-TF PDU without its 6-byte header, and not empty. A PDV without a fragment is
/// legal here; `dimse::message` bounds their number.
///
/// # Errors
///
/// Every [`PdvError`] is the peer's fault; its answer is [`PdvError::abort`].
#[inline]
pub fn split_first(body: &[u8]) -> Result<(Pdv<'_>, &[u8]), PdvError> {
    let Some((length, rest)) = body.split_first_chunk::<4>() else {
        return Err(PdvError::Truncated { wanted_bytes: 4, left_bytes: body.len() });
    };
    let item_length = u32::from_be_bytes(*length);
    let wanted_bytes = item_length as usize;
    let Some((item, after)) = rest.split_at_checked(wanted_bytes) else {
        return Err(PdvError::Truncated { wanted_bytes, left_bytes: rest.len() });
    };
    let [context_id, control, fragment @ ..] = item else {
        return Err(PdvError::TooShort { item_length });
    };
    if context_id % 2 == 0 {
        return Err(PdvError::EvenContextId(*context_id));
    }
    // PS3.8 Annex E.2: bits 2 to 7 are not tested by the receiver.
    let pdv = Pdv {
        context_id: *context_id,
        is_command: control & 0b01 != 0,
        is_last: control & 0b10 != 0,
        fragment,
    };
    Ok((pdv, after))
}

/// A set of presentation context IDs, such as those that were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextIds([u64; 4]);

impl ContextIds {
    /// Adds `id`.
    pub const fn insert(&mut self, id: u8) {
        self.0[(id >> 6) as usize] |= 1 << (id & 63);
    }

    /// True when `id` was added.
    #[inline]
    pub const fn contains(&self, id: u8) -> bool {
        self.0[(id >> 6) as usize] & (1 << (id & 63)) != 0
    }
}

impl FromIterator<u8> for ContextIds {
    fn from_iter<I: IntoIterator<Item = u8>>(ids: I) -> Self {
        let mut set = Self::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

/// What a fragment is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentKind {
    /// A command set.
    Command,
    /// A data set.
    DataSet,
}

/// The peer's maximum length leaves no room for two bytes of payload; such a peer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaximumTooSmall {
    /// What the peer announced.
    pub maximum_length: u32,
}

impl fmt::Display for MaximumTooSmall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "maximum length {} leaves no room for a fragment of {} bytes",
            self.maximum_length,
            Fragmenter::FRAGMENT_BYTES_MIN
        )
    }
}

impl core::error::Error for MaximumTooSmall {}

/// Cuts commands and data sets into PDUs of one PDV each, none longer than the peer allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragmenter {
    fragment_bytes_max: usize,
}

impl Fragmenter {
    /// The least fragment that we send, in bytes: two, because fragments are even (PS3.8 Annex E.2;
    /// DCMTK 3.6.7 aborts on odd ones), and because none would be no progress.
    pub const FRAGMENT_BYTES_MIN: usize = 2;

    /// A fragmenter for a peer that announced `maximum_length`.
    ///
    /// `None` and 0 mean that the peer sets no limit; then, and above it, our own bound
    /// (`limits::MAX_PDU_BYTES_MAX`) holds, so that no PDU is as large as its object.
    pub fn new(maximum_length: Option<u32>) -> Result<Self, MaximumTooSmall> {
        let maximum_length = maximum_length.filter(|bytes| *bytes != 0);
        let pdu_bytes = maximum_length.unwrap_or(u32::MAX).min(MAX_PDU_BYTES_MAX);
        let fragment_bytes_max = (pdu_bytes as usize).saturating_sub(PDV_HEADER_BYTES) & !1;
        if fragment_bytes_max < Self::FRAGMENT_BYTES_MIN {
            return Err(MaximumTooSmall { maximum_length: pdu_bytes });
        }
        Ok(Self { fragment_bytes_max })
    }

    /// Longest fragment, in bytes; even.
    pub const fn fragment_bytes_max(&self) -> usize {
        self.fragment_bytes_max
    }

    /// The PDUs that carry `total_bytes` of one command or data set, in order.
    ///
    /// Nothing at all is still one PDU: an empty last fragment ends the message.
    pub const fn pieces(&self, context_id: u8, kind: FragmentKind, total_bytes: usize) -> Pieces {
        Pieces {
            context_id,
            kind,
            next: 0,
            total_bytes,
            fragment_bytes_max: self.fragment_bytes_max,
            is_done: false,
        }
    }

    /// Appends the PDUs that carry `bytes` to `out`. Copies, so it is for commands and other small
    /// values, which then leave in one write.
    pub fn append(&self, out: &mut Vec<u8>, context_id: u8, kind: FragmentKind, bytes: &[u8]) {
        let pieces = self.pieces(context_id, kind, bytes.len());
        out.reserve(bytes.len() + pieces.len() * DATA_HEADER_BYTES);
        for piece in pieces {
            out.extend_from_slice(&piece.header);
            out.extend_from_slice(&bytes[piece.range]);
        }
    }
}

/// PDU header and PDV header of a P-DATA-TF that carries one fragment of `fragment_bytes`.
///
/// For a caller that does not know the whole length yet, such as one that reads a file; it keeps to
/// [`Fragmenter::fragment_bytes_max`].
pub const fn data_header(
    context_id: u8,
    kind: FragmentKind,
    is_last: bool,
    fragment_bytes: usize,
) -> [u8; DATA_HEADER_BYTES] {
    let item = (fragment_bytes as u32 + 2).to_be_bytes();
    let pdu = (fragment_bytes as u32 + PDV_HEADER_BYTES as u32).to_be_bytes();
    let command_bit = match kind {
        FragmentKind::Command => 0b01,
        FragmentKind::DataSet => 0b00,
    };
    let control = command_bit | (is_last as u8) << 1;
    [
        PduType::DataTf as u8,
        0,
        pdu[0],
        pdu[1],
        pdu[2],
        pdu[3],
        item[0],
        item[1],
        item[2],
        item[3],
        context_id,
        control,
    ]
}

/// One PDU to send: `header`, then the bytes of `range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// PDU header and PDV header.
    pub header: [u8; DATA_HEADER_BYTES],
    /// The fragment, as a part of what is sent.
    pub range: Range<usize>,
}

/// Iterator over the PDUs of one command or data set.
#[derive(Clone, Debug)]
pub struct Pieces {
    context_id: u8,
    kind: FragmentKind,
    next: usize,
    total_bytes: usize,
    fragment_bytes_max: usize,
    is_done: bool,
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.is_done {
            return None;
        }
        let end = self.total_bytes.min(self.next + self.fragment_bytes_max);
        self.is_done = end == self.total_bytes;
        let range = self.next..end;
        self.next = end;
        let header = data_header(self.context_id, self.kind, self.is_done, range.len());
        Some(Piece { header, range })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = if self.is_done {
            0
        } else {
            (self.total_bytes - self.next).div_ceil(self.fragment_bytes_max).max(1)
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Pieces {}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.8 Annex E.2: control header 03H is a command's last fragment.
    #[test]
    fn last_command_fragment() {
        let (pdv, rest) = split_first(b"\x00\x00\x00\x04\x01\x03OK").unwrap();
        assert_eq!(pdv, Pdv { context_id: 1, is_command: true, is_last: true, fragment: b"OK" });
        assert!(rest.is_empty());
    }

    /// A length that lies must be an error before anything is sliced.
    #[test]
    fn item_length_past_the_end() {
        assert_eq!(
            split_first(b"\xFF\xFF\xFF\xFF\x01\x03"),
            Err(PdvError::Truncated { wanted_bytes: 0xFFFF_FFFF, left_bytes: 2 }),
        );
    }

    /// PROMISES.md §2.3: a length below 2, and bytes left after the last PDV.
    #[test]
    fn item_length_too_short() {
        for item_length in 0..2 {
            let body = [0, 0, 0, item_length, 1, 3];
            assert_eq!(
                split_first(&body),
                Err(PdvError::TooShort { item_length: u32::from(item_length) })
            );
        }
        assert_eq!(
            split_first(b"\0\0\0"),
            Err(PdvError::Truncated { wanted_bytes: 4, left_bytes: 3 })
        );
    }

    /// Reserved bits are not tested; an empty fragment and an odd one are read as they are.
    #[test]
    fn tolerated() {
        let (pdv, rest) = split_first(b"\0\0\0\x02\x05\xFC\0\0\0\x03\x05\x02x").unwrap();
        assert_eq!((pdv.is_command, pdv.is_last, pdv.fragment), (false, false, &b""[..]));
        let (pdv, rest) = split_first(rest).unwrap();
        assert_eq!((pdv.is_last, pdv.fragment, rest), (true, &b"x"[..], &b""[..]));
    }

    /// DIFFERENCES.md C1: PDVs of unequal lengths in one PDU are found by their own lengths.
    #[test]
    fn unequal_pdvs_in_one_pdu() {
        let mut body = Vec::new();
        for (length, last) in [(100, 0), (60, 0), (7, 2)] {
            body.extend([0, 0, 0, length + 2, 1, last]);
            body.extend(vec![length; usize::from(length)]);
        }
        let mut rest = &body[..];
        let mut lengths = Vec::new();
        while !rest.is_empty() {
            let (pdv, after) = split_first(rest).unwrap();
            lengths.push(pdv.fragment.len());
            rest = after;
        }
        assert_eq!(lengths, [100, 60, 7]);
    }

    /// An even context ID was never negotiated.
    #[test]
    fn even_context_id() {
        assert_eq!(split_first(b"\0\0\0\x02\x02\x03"), Err(PdvError::EvenContextId(2)));
    }

    /// What is cut is read back whole, and no PDU is longer than the peer allows.
    #[test]
    fn fragments_fit_and_join() {
        let data: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for maximum in [8, 9, 12, 100, 1005, 1006, 1007, 16384] {
            let fragmenter = Fragmenter::new(Some(maximum)).unwrap();
            let mut out = Vec::new();
            fragmenter.append(&mut out, 3, FragmentKind::DataSet, &data);
            let (mut joined, mut last_seen, mut rest) = (Vec::new(), 0, &out[..]);
            while let Some((header, after)) = rest.split_first_chunk::<6>() {
                let length = u32::from_be_bytes(*header.last_chunk().unwrap());
                assert!(length <= maximum);
                let (body, after) = after.split_at(length as usize);
                let (pdv, nothing) = split_first(body).unwrap();
                assert!(nothing.is_empty() && !pdv.is_command && pdv.context_id == 3);
                assert!(pdv.fragment.len() % 2 == 0);
                joined.extend_from_slice(pdv.fragment);
                last_seen += usize::from(pdv.is_last);
                rest = after;
            }
            assert_eq!((joined.as_slice(), last_seen), (data.as_slice(), 1), "{maximum}");
        }
    }

    /// PS3.8 Annex D.1.1: 0 is no limit, and then our own bound holds.
    #[test]
    fn maximum_lengths() {
        let own = MAX_PDU_BYTES_MAX as usize - PDV_HEADER_BYTES;
        for no_limit in [None, Some(0), Some(u32::MAX)] {
            assert_eq!(Fragmenter::new(no_limit).unwrap().fragment_bytes_max(), own);
        }
        for tiny in 1..8 {
            assert_eq!(Fragmenter::new(Some(tiny)), Err(MaximumTooSmall { maximum_length: tiny }));
        }
        assert_eq!(Fragmenter::new(Some(8)).unwrap().fragment_bytes_max(), 2);
    }

    /// A message without a byte still ends.
    #[test]
    fn nothing_is_one_empty_last_fragment() {
        let pieces = Fragmenter::new(None).unwrap().pieces(1, FragmentKind::Command, 0);
        assert_eq!(pieces.len(), 1);
        let header = *b"\x04\0\0\0\0\x06\0\0\0\x02\x01\x03";
        assert_eq!(pieces.collect::<Vec<_>>(), [Piece { header, range: 0..0 }]);
    }

    /// All 256 IDs are kept apart.
    #[test]
    fn context_id_set() {
        let set: ContextIds = [1, 63, 65, 255].into_iter().collect();
        for id in 0..=255 {
            assert_eq!(set.contains(id), [1, 63, 65, 255].contains(&id));
        }
    }
}
