//! Fragments of IP packets, joined.
//!
//! Source: RFC 791 §3.2 (IPv4), RFC 8200 §4.5 and RFC 5722 (IPv6, which throws a packet away whose fragments
//! overlap). Of bytes of IPv4 that came twice the first ones count. What stays incomplete is forgotten
//! after [`PATIENCE_NS`], or when more waits than `limits` allow, the oldest first; it is counted. A
//! fragment says where it belongs, and that is compared with the longest packet before it is kept.
//! Called by `recording::capture`.

use std::collections::{BTreeMap, HashMap};

use crate::limits::{CAPTURE_FRAGMENTED_BYTES_MAX, CAPTURE_FRAGMENTED_PACKETS_MAX};
use crate::net::tcp::IpAddr;

/// RFC 1122 §3.3.2: between 60 and 120 seconds, after which an identification may come again.
const PATIENCE_NS: u64 = 60_000_000_000;
/// Longest payload of an IP packet.
const PAYLOAD_BYTES_MAX: usize = 65_535;

/// Which packet a fragment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who sent it.
    pub from: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// 16 bits of IPv4, 32 of IPv6.
    pub identification: u32,
    /// What the payload is; of IPv6 the next header of the first fragment counts.
    pub protocol: u8,
}

/// A part of a packet's payload.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Of which packet.
    pub key: Key,
    /// Where in the payload it begins.
    pub offset: usize,
    /// Others stand behind it.
    pub has_more: bool,
    /// These.
    pub bytes: &'a [u8],
}

#[derive(Debug, Default)]
struct Packet {
    pieces: BTreeMap<usize, Vec<u8>>,
    bytes: usize,
    count: u64,
    /// Where the last fragment ends.
    end: Option<usize>,
    begun_ns: u64,
    number: u64,
}

/// All packets of which something is still to come.
#[derive(Debug, Default)]
pub struct Fragments {
    open: HashMap<Key, Packet>,
    bytes: usize,
    numbers: u64,
    /// Fragments that were not joined, and why they are no more there.
    lost: u64,
}

impl Fragments {
    /// Takes a fragment; gives the payload that it completes.
    pub fn take(&mut self, fragment: &Fragment<'_>, at_ns: u64) -> Option<Vec<u8>> {
        let Fragment { key, offset, has_more, bytes } = *fragment;
        let end = offset + bytes.len();
        // Only the last one may have any length (RFC 791 §3.2: units of eight bytes).
        let is_wrong =
            end > PAYLOAD_BYTES_MAX || has_more && (bytes.len() % 8 != 0 || bytes.is_empty());
        if is_wrong {
            self.lost += 1;
            return None;
        }
        if self.open.get(&key).is_some_and(|old| at_ns.saturating_sub(old.begun_ns) > PATIENCE_NS) {
            self.forget(key);
        }
        if !self.open.contains_key(&key) {
            self.numbers += 1;
            let packet = Packet { begun_ns: at_ns, number: self.numbers, ..Packet::default() };
            self.open.insert(key, packet);
        }
        let packet = self.open.get_mut(&key)?;
        packet.count += 1;
        if !has_more {
            packet.end.get_or_insert(end);
        }
        let is_new = packet.put(offset, bytes, key.from.is_ipv6());
        let Some(more) = is_new else {
            self.forget(key);
            return None;
        };
        self.bytes += more;
        if packet.end.is_some_and(|end| packet.is_whole(end)) {
            let packet = self.open.remove(&key)?;
            self.bytes -= packet.bytes;
            return Some(packet.pieces.into_values().flatten().collect());
        }
        while self.bytes > CAPTURE_FRAGMENTED_BYTES_MAX
            || self.open.len() > CAPTURE_FRAGMENTED_PACKETS_MAX
        {
            let oldest = self.open.iter().min_by_key(|(_, one)| one.number).map(|(key, _)| *key);
            self.forget(oldest?);
        }
        None
    }

    /// Fragments that were not joined, with those that still wait.
    pub fn lost(&self) -> u64 {
        self.lost + self.open.values().map(|packet| packet.count).sum::<u64>()
    }

    fn forget(&mut self, key: Key) {
        if let Some(packet) = self.open.remove(&key) {
            self.bytes -= packet.bytes;
            self.lost += packet.count;
        }
    }
}

impl Packet {
    /// Keeps what is new of a fragment, and says how much; `None` for one that may not be there.
    fn put(&mut self, offset: usize, bytes: &[u8], is_ipv6: bool) -> Option<usize> {
        if let Some(known) = self.pieces.get(&offset) {
            if known.as_slice() == bytes {
                return Some(0);
            }
        }
        let (mut at, end) = (offset, offset + bytes.len());
        let mut added = 0;
        let before = self.pieces.range(..offset).next_back();
        let mut taken: Vec<(usize, usize)> =
            before.into_iter().map(|(from, piece)| (*from, from + piece.len())).collect();
        taken.extend(self.pieces.range(offset..end).map(|(from, one)| (*from, from + one.len())));
        taken.retain(|(from, to)| *from < end && *to > offset);
        // RFC 5722 §4: such a packet is thrown away.
        if is_ipv6 && !taken.is_empty() {
            return None;
        }
        taken.push((end, end));
        for (from, to) in taken {
            if at < from {
                let piece = bytes.get(at - offset..from.min(end) - offset).unwrap_or_default();
                if !piece.is_empty() {
                    added += piece.len();
                    self.pieces.insert(at, piece.to_vec());
                }
            }
            at = at.max(to);
        }
        self.bytes += added;
        Some(added)
    }

    fn is_whole(&self, end: usize) -> bool {
        // Pieces do not overlap, so that their lengths say it.
        self.bytes == end
            && self.pieces.last_key_value().is_some_and(|(at, piece)| at + piece.len() == end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(identification: u32) -> Key {
        let [from, to] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        Key { from, to, identification, protocol: 6 }
    }

    fn of_ipv6(identification: u32) -> Key {
        let [from, to] = [[1; 16], [2; 16]].map(IpAddr::from);
        Key { from, to, identification, protocol: 6 }
    }

    fn part(key: Key, text: &[u8], from: usize, to: usize) -> Fragment<'_> {
        let bytes = &text[from..to];
        Fragment { key, offset: from, has_more: to < text.len(), bytes }
    }

    const TEXT: &[u8] = b"01234567abcdefghABCDEFGHend";

    /// In any order, with repetitions and overlaps: the same bytes, and nothing is left behind.
    #[test]
    fn joined_in_any_order() {
        for order in [[0, 8, 16], [16, 8, 0], [8, 16, 0], [16, 0, 8]] {
            for key in [key(7), of_ipv6(7)] {
                let mut fragments = Fragments::default();
                let end = |from| if from == 16 { TEXT.len() } else { from + 8 };
                let pieces = order.map(|from| part(key, TEXT, from, end(from)));
                assert_eq!(fragments.take(&pieces[0], 0), None);
                assert_eq!(fragments.take(&pieces[0], 0), None);
                assert_eq!(fragments.take(&pieces[1], 0), None);
                assert_eq!(fragments.take(&pieces[2], 0).as_deref(), Some(TEXT));
                assert_eq!((fragments.bytes, fragments.lost()), (0, 0));
            }
        }
        let mut fragments = Fragments::default();
        let other = [b'?'; 27];
        for (text, from, to) in [(TEXT, 8, 16), (&other[..], 8, 16), (TEXT, 16, 27)] {
            assert_eq!(fragments.take(&part(key(1), text, from, to), 0), None);
        }
        // The first ones count.
        let whole = fragments.take(&part(key(1), TEXT, 0, 16), 0);
        assert_eq!(whole.as_deref(), Some(TEXT));
        // IPv6 throws it away, and says so.
        assert_eq!(fragments.take(&part(of_ipv6(1), TEXT, 0, 16), 0), None);
        assert_eq!(fragments.take(&part(of_ipv6(1), TEXT, 8, 24), 0), None);
        assert_eq!((fragments.lost(), fragments.open.len()), (2, 0));
    }

    /// Of another packet, too late, beyond the longest, of a length that none may have.
    #[test]
    fn fragments_that_do_not_fit() {
        let mut fragments = Fragments::default();
        fragments.take(&part(key(1), TEXT, 0, 8), 0);
        assert_eq!(fragments.take(&part(key(2), TEXT, 8, 27), 0), None);
        assert_eq!(fragments.take(&part(key(1), TEXT, 8, 27), PATIENCE_NS + 1), None);
        assert_eq!(fragments.lost, 1);
        let block = [0; 16];
        for (offset, has_more, length) in [(65_528, false, 8), (8, true, 7), (8, true, 0)] {
            let bytes = &block[..length];
            let before = fragments.lost;
            fragments.take(&Fragment { key: key(3), offset, has_more, bytes }, 0);
            assert_eq!(fragments.lost, before + 1, "{offset} {length}");
        }
        // The longest that there can be.
        let text = vec![b'x'; PAYLOAD_BYTES_MAX];
        fragments.take(&part(key(4), &text, 0, 32_768), 0);
        let whole = fragments.take(&part(key(4), &text, 32_768, PAYLOAD_BYTES_MAX), 0);
        assert_eq!(whole, Some(text));
    }

    /// limits::CAPTURE_FRAGMENTED_PACKETS_MAX and CAPTURE_FRAGMENTED_BYTES_MAX: the oldest is forgotten.
    #[test]
    fn edges_of_what_waits() {
        let mut fragments = Fragments::default();
        for number in 0..=CAPTURE_FRAGMENTED_PACKETS_MAX as u32 {
            fragments.take(&part(key(number), TEXT, 0, 8), 0);
            assert!(fragments.open.len() <= CAPTURE_FRAGMENTED_PACKETS_MAX);
        }
        assert_eq!((fragments.lost, fragments.open.contains_key(&key(0))), (1, false));
        let mut fragments = Fragments::default();
        let text = vec![0; 65_536];
        for number in 0..CAPTURE_FRAGMENTED_BYTES_MAX as u32 / 32_768 {
            fragments.take(&part(key(number), &text, 0, 32_768), 0);
        }
        assert_eq!((fragments.bytes, fragments.lost), (CAPTURE_FRAGMENTED_BYTES_MAX, 0));
        fragments.take(&part(key(999_999), TEXT, 0, 8), 0);
        assert_eq!(fragments.lost, 1);
        assert!(fragments.bytes <= CAPTURE_FRAGMENTED_BYTES_MAX);
    }

    proptest! {
        /// Whatever comes, what is joined has the length that was said, and the count of bytes is right.
        #[test]
        fn any_fragments(parts in prop::collection::vec((0..6_usize, 0..4_usize, any::<bool>()), 0..12)) {
            let mut fragments = Fragments::default();
            let text = [7; 64];
            for (at, length, has_more) in parts {
                let fragment = Fragment { key: key(1), offset: at * 8, has_more, bytes: &text[..length * 8] };
                if let Some(whole) = fragments.take(&fragment, 0) {
                    prop_assert!(whole.iter().all(|byte| *byte == 7));
                }
                let held: usize = fragments.open.values().map(|one| one.bytes).sum();
                prop_assert_eq!(held, fragments.bytes);
            }
        }
    }
}
