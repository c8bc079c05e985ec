//! How journal records lie in a segment: framing, checksums, and the walk over what a crash left.
//!
//! All numbers are big-endian. A segment begins with a header, records follow each other, aligned to
//! [`ALIGNMENT_BYTES`]:
//!
//! ```text
//! segment header, 32 bytes              record, 32 bytes and its payload
//!  0  8  "DCMFJNL" and version 1          0  4  "JREC"
//!  8  8  sequence number of the first     4  4  length of the payload
//!        record                           8  8  sequence number
//! 16  8  seed of the first record's      16  8  XXH3-64 of the payload
//!        link                            24  8  link: XXH3-64 of bytes 0 to 23, seeded with
//! 24  8  XXH3-64 of bytes 0 to 23               the link of the record before
//! ```
//!
//! The links make a chain: bytes of an earlier use of the segment, or of a write that failed, are no
//! continuation of it whatever they say, so a segment is used again without being cleared. A record
//! whose header belongs to the chain but whose payload does not fit its sum was torn; records behind
//! it count nevertheless (they can only be whole). A header that does not belong ends the segment.
//!
//! Called by `storage::journal`.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::limits::JOURNAL_RECORD_BYTES_MAX;

/// Bytes before the first record of a segment.
pub const SEGMENT_HEADER_BYTES: usize = 32;
/// Bytes before a record's payload.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Records begin at multiples of this.
pub const ALIGNMENT_BYTES: usize = 8;

const SEGMENT_MAGIC: [u8; 8] = *b"DCMFJNL\x01";
const RECORD_MAGIC: [u8; 4] = *b"JREC";

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Sequence number of the first record.
    pub first_sequence: u64,
    /// What the first record's link is seeded with.
    pub seed: u64,
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..16].copy_from_slice(&self.first_sequence.to_be_bytes());
        out[16..24].copy_from_slice(&self.seed.to_be_bytes());
        let sum = xxh3_64(&out[..24]);
        out[24..].copy_from_slice(&sum.to_be_bytes());
        out
    }

    /// The header at the start of `bytes`, if there is a whole one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<SEGMENT_HEADER_BYTES>()?;
        let is_ours = bytes[..8] == SEGMENT_MAGIC && xxh3_64(&bytes[..24]) == word(bytes, 24)?;
        is_ours.then_some(Self { first_sequence: word(bytes, 8)?, seed: word(bytes, 16)? })
    }
}

/// Fills in the header of `record`, which begins with room for it, and says the record's link.
///
/// `payload_sum` is [`sum_of`] the record: taken by whoever waits, not by the one who writes for all.
pub fn seal(record: &mut [u8], payload_sum: u64, sequence: u64, previous_link: u64) -> u64 {
    let payload_bytes = (record.len() - RECORD_HEADER_BYTES) as u32;
    record[..4].copy_from_slice(&RECORD_MAGIC);
    record[4..8].copy_from_slice(&payload_bytes.to_be_bytes());
    record[8..16].copy_from_slice(&sequence.to_be_bytes());
    record[16..24].copy_from_slice(&payload_sum.to_be_bytes());
    let link = xxh3_64_with_seed(&record[..24], previous_link);
    record[24..32].copy_from_slice(&link.to_be_bytes());
    link
}

/// The sum of the payload of `record`.
pub fn sum_of(record: &[u8]) -> u64 {
    xxh3_64(&record[RECORD_HEADER_BYTES..])
}

/// Bytes that a record of this length takes in a segment.
pub const fn framed_bytes(record_bytes: usize) -> usize {
    record_bytes.next_multiple_of(ALIGNMENT_BYTES)
}

/// A record found in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its number.
    pub sequence: u64,
    /// Its payload; `None` when it was torn.
    pub payload: Option<&'a [u8]>,
}

/// Walks over the records of a segment, from its header to where the chain breaks.
pub struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    link: u64,
    sequence: u64,
}

impl<'a> Walk<'a> {
    /// The walk over a segment's bytes; `None` when it has no header.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let SegmentHeader { first_sequence, seed } = SegmentHeader::decode(bytes)?;
        Some(Self { bytes, at: SEGMENT_HEADER_BYTES, link: seed, sequence: first_sequence })
    }

    /// The link of the last record that was found, or the segment's seed.
    pub fn link(&self) -> u64 {
        self.link
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        let rest = self.bytes.get(self.at..)?;
        let header = rest.first_chunk::<RECORD_HEADER_BYTES>()?;
        let (link, payload_bytes) = record_header(header, self.sequence, self.link)?;
        let payload = rest.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + payload_bytes)?;
        let is_whole = xxh3_64(payload) == word(header, 16)?;
        let sequence = self.sequence;
        self.at += framed_bytes(RECORD_HEADER_BYTES + payload_bytes);
        self.link = link;
        self.sequence = self.sequence.wrapping_add(1);
        Some(Found { sequence, payload: is_whole.then_some(payload) })
    }
}

/// The header of a segment, and whether a record follows it, from the first
/// [`SEGMENT_HEADER_BYTES`] and [`RECORD_HEADER_BYTES`].
pub fn first_header(head: &[u8]) -> Option<(SegmentHeader, bool)> {
    let header = SegmentHeader::decode(head)?;
    let record = head.get(SEGMENT_HEADER_BYTES..)?.first_chunk::<RECORD_HEADER_BYTES>()?;
    let has_record = record_header(record, header.first_sequence, header.seed).is_some();
    Some((header, has_record))
}

/// A place between two records of a segment that somebody else writes: goes on from header to header,
/// and leaves the payloads to whoever wants to know whether they are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Where the next record will begin.
    pub at: u64,
    /// Its number.
    pub next: u64,
    link: u64,
}

impl Follow {
    /// The place before the first record.
    pub fn new(header: SegmentHeader) -> Self {
        let SegmentHeader { first_sequence, seed } = header;
        Self { at: SEGMENT_HEADER_BYTES as u64, next: first_sequence, link: seed }
    }

    /// Goes past the record that `header` heads, and gives the length of its payload; `None`, and stays,
    /// where that is no record of this chain.
    pub fn pass(&mut self, header: &[u8; RECORD_HEADER_BYTES]) -> Option<usize> {
        let (link, payload_bytes) = record_header(header, self.next, self.link)?;
        self.at += framed_bytes(RECORD_HEADER_BYTES + payload_bytes) as u64;
        self.next = self.next.wrapping_add(1);
        self.link = link;
        Some(payload_bytes)
    }
}

/// The length that a record's header gives for its payload.
pub fn payload_bytes(header: &[u8; RECORD_HEADER_BYTES]) -> usize {
    header[4..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize)
}

/// True when `payload` is the one that `header` was sealed with.
pub fn is_whole(header: &[u8; RECORD_HEADER_BYTES], payload: &[u8]) -> bool {
    word(header, 16) == Some(xxh3_64(payload))
}

/// Link and payload length in the header of the record that continues a chain.
fn record_header(
    header: &[u8; RECORD_HEADER_BYTES],
    sequence: u64,
    previous_link: u64,
) -> Option<(u64, usize)> {
    let link = xxh3_64_with_seed(&header[..24], previous_link);
    let belongs =
        header[..4] == RECORD_MAGIC && word(header, 8)? == sequence && word(header, 24)? == link;
    let payload_bytes = payload_bytes(header);
    (belongs && payload_bytes <= JOURNAL_RECORD_BYTES_MAX).then_some((link, payload_bytes))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(first_sequence: u64, seed: u64, payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut out = SegmentHeader { first_sequence, seed }.encode().to_vec();
        let mut link = seed;
        for (sequence, payload) in (first_sequence..).zip(payloads) {
            let mut record = vec![0; RECORD_HEADER_BYTES];
            record.extend_from_slice(payload);
            let sum = sum_of(&record);
            link = seal(&mut record, sum, sequence, link);
            record.resize(framed_bytes(record.len()), 0);
            out.extend_from_slice(&record);
        }
        out
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..8)
    }

    fn walked(bytes: &[u8]) -> Vec<(u64, Option<Vec<u8>>)> {
        Walk::new(bytes)
            .into_iter()
            .flatten()
            .map(|found| (found.sequence, found.payload.map(<[u8]>::to_vec)))
            .collect()
    }

    proptest! {
        /// What was written comes back, whatever follows it.
        #[test]
        fn there_and_back(
            first in 1_u64..u64::MAX - 10, seed: u64, payloads in payloads(),
            tail in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = segment(first, seed, &payloads);
            bytes.extend_from_slice(&tail);
            let expected: Vec<_> =
                (first..).zip(payloads.into_iter().map(Some)).collect();
            prop_assert_eq!(walked(&bytes), expected);
        }

        /// A cut or damaged segment gives whole records of the written ones, each with its number,
        /// and never another.
        #[test]
        fn damage_is_noticed(
            payloads in payloads(), at: prop::sample::Index, flip in 1_u8.., cut: bool,
        ) {
            let mut bytes = segment(7, 1, &payloads);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            for (sequence, payload) in walked(&bytes) {
                let written = &payloads[(sequence - 7) as usize];
                prop_assert!(payload.is_none_or(|payload| payload == *written));
            }
        }
    }

    /// What an earlier use of the segment left right behind the last record is not taken for more,
    /// though its number fits.
    #[test]
    fn leftovers_do_not_continue_a_chain() {
        let old = segment(5, 99, &[vec![1; 16], vec![2; 16], vec![3; 16]]);
        let new = segment(5, 100, &[vec![4; 16]]);
        let mut bytes = old;
        bytes[..new.len()].copy_from_slice(&new);
        assert_eq!(walked(&bytes), [(5, Some(vec![4; 16]))]);
    }

    /// A torn payload costs its own record only.
    #[test]
    fn a_torn_payload_hides_nothing_behind_it() {
        let mut bytes = segment(1, 0, &[vec![1; 16], vec![2; 16], vec![3; 16]]);
        let second = SEGMENT_HEADER_BYTES + 48;
        bytes[second + RECORD_HEADER_BYTES + 3] ^= 1;
        assert_eq!(walked(&bytes), [(1, Some(vec![1; 16])), (2, None), (3, Some(vec![3; 16]))]);
    }

    /// limits::JOURNAL_RECORD_BYTES_MAX: a longer one is no record, before anything is made of it.
    #[test]
    fn the_length_is_bounded() {
        for (length, is_record) in [(-1, true), (0, true), (1, false)] {
            let length = JOURNAL_RECORD_BYTES_MAX.saturating_add_signed(length);
            let mut bytes = SegmentHeader { first_sequence: 1, seed: 0 }.encode().to_vec();
            let mut record = vec![0; RECORD_HEADER_BYTES + length];
            let sum = sum_of(&record);
            seal(&mut record, sum, 1, 0);
            bytes.extend_from_slice(&record);
            assert_eq!(walked(&bytes).len(), usize::from(is_record), "{length}");
        }
    }
}
