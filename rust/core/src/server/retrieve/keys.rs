//! Which instances a retrieve has matched, in few bytes each.
//!
//! Matching is done once, in short read transactions, before anything is sent; sending may take
//! hours, and instances come and go meanwhile. So what is remembered are the instances' places in
//! the index, which are never given twice, as differences of variable length: two or three bytes
//! each for a study, under 10 MB for millions. Each is looked up again when its turn comes.
//!
//! Beside them their UIDs, two characters in a byte, as long as there is room: an instance that is
//! gone when its turn comes is a failed sub-operation, and (0008,0058) names it.

use crate::index::InstanceKey;
use crate::limits::RETRIEVE_UIDS_BYTES_MAX;
use crate::uid::UidText;

/// A matched instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its place in the index.
    pub key: InstanceKey,
    /// Its UID; `None` where there was no room to remember it.
    pub sop_instance: Option<UidText>,
}

/// Many matched instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchKeys {
    bytes: Vec<u8>,
    last: InstanceKey,
    count: u64,
    /// The UIDs of the first so many: length, and the characters.
    uids: Vec<u8>,
}

impl MatchKeys {
    /// Adds an instance behind the others.
    pub fn push(&mut self, key: InstanceKey, sop_instance: &[u8]) {
        for (now, before) in [(key.series, self.last.series), (key.number, self.last.number)] {
            let difference = now.wrapping_sub(before);
            // Small in either direction: the sign moves to the lowest bit.
            let mut rest = (difference << 1) ^ (difference >> 63).wrapping_neg();
            while rest >= 0x80 {
                self.bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            self.bytes.push(rest as u8);
        }
        self.last = key;
        self.count += 1;
        self.push_uid(sop_instance);
    }

    fn push_uid(&mut self, uid: &[u8]) {
        // Behind the last that was remembered there is none.
        let has_all = self.uids.len() < RETRIEVE_UIDS_BYTES_MAX;
        let Some(length) = u8::try_from(uid.len()).ok().filter(|_| has_all) else { return };
        if !uid.iter().all(|byte| SYMBOLS.contains(byte)) {
            self.uids.push(length | RAW);
            self.uids.extend_from_slice(uid);
            return;
        }
        let symbol = |byte: &u8| if *byte == b'.' { 10 } else { byte - b'0' };
        self.uids.push(length);
        self.uids.extend(
            uid.chunks(2)
                .map(|pair| pair.first().map_or(0, symbol) << 4 | pair.get(1).map_or(0, symbol)),
        );
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// True when nothing matched.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Memory in use by the places; that of the UIDs is bounded by itself.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All of them, in their order; a clone goes on from where it was made.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.bytes, last: InstanceKey::default(), uids: &self.uids }
    }

    /// The same instances in the order of `number`.
    #[must_use]
    pub fn sorted(&self) -> Self {
        let mut iter = self.iter();
        let mut all = Vec::with_capacity(usize::try_from(self.count).unwrap_or_default());
        loop {
            let uids = iter.uids;
            let Some(matched) = iter.next() else { break };
            all.push((matched.key, uids));
        }
        all.sort_unstable_by_key(|(key, _)| key.number);
        let mut sorted = Self::default();
        for (key, mut uids) in all {
            let uid = take_uid(&mut uids);
            sorted.push(key, uid.as_ref().map_or(&[], UidText::as_bytes));
        }
        sorted
    }
}

/// What a UID is made of (PS3.5 §9.1).
const SYMBOLS: &[u8] = b"0123456789.";
/// In the length of a UID that has other characters: they follow as they are.
const RAW: u8 = 0x80;

fn take_uid(rest: &mut &[u8]) -> Option<UidText> {
    let (&head, after) = rest.split_first()?;
    let length = usize::from(head & !RAW);
    let is_raw = head & RAW != 0;
    let (bytes, after) =
        after.split_at_checked(if is_raw { length } else { length.div_ceil(2) })?;
    *rest = after;
    if length == 0 {
        return None;
    }
    if is_raw {
        return UidText::new(bytes);
    }
    let symbols = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let text: Vec<u8> = symbols
        .map(|symbol| SYMBOLS.get(usize::from(symbol)).copied().unwrap_or(b'.'))
        .take(length)
        .collect();
    UidText::new(&text)
}

impl<'k> IntoIterator for &'k MatchKeys {
    type Item = Matched;
    type IntoIter = Iter<'k>;

    fn into_iter(self) -> Iter<'k> {
        self.iter()
    }
}

/// Iterator over [`MatchKeys`].
#[derive(Clone, Debug)]
pub struct Iter<'k> {
    rest: &'k [u8],
    last: InstanceKey,
    uids: &'k [u8],
}

impl Iter<'_> {
    fn difference(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7F).checked_shl(shift)?;
            if byte < 0x80 {
                return Some((value >> 1) ^ (value & 1).wrapping_neg());
            }
            shift += 7;
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Matched;

    fn next(&mut self) -> Option<Matched> {
        let series = self.difference()?;
        let number = self.difference()?;
        self.last = InstanceKey {
            series: self.last.series.wrapping_add(series),
            number: self.last.number.wrapping_add(number),
        };
        Some(Matched { key: self.last, sop_instance: take_uid(&mut self.uids) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever goes in comes out, in its order, and sorted in the order of the numbers.
        #[test]
        fn keys_come_out_as_they_went_in(
            all in proptest::collection::vec(
                (any::<u64>(), any::<u64>(), "[0-9.]{1,64}|[0-9a-z.]{1,64}"), 0..100,
            )
        ) {
            let mut all: Vec<_> = all.into_iter().map(|(series, number, uid)| Matched {
                key: InstanceKey { series, number },
                sop_instance: UidText::new(uid.as_bytes()),
            }).collect();
            let mut keys = MatchKeys::default();
            for matched in &all {
                keys.push(matched.key, matched.sop_instance.unwrap().as_bytes());
            }
            prop_assert_eq!(keys.len(), all.len() as u64);
            prop_assert!(keys.iter().eq(all.iter().copied()));
            all.sort_by_key(|matched| matched.key.number);
            all.dedup_by_key(|matched| matched.key.number);
            prop_assume!(all.len() as u64 == keys.len());
            prop_assert!(keys.sorted().iter().eq(all));
        }
    }

    /// P9: a million instances of a thousand series are a few megabytes, and their UIDs have a bound:
    /// limits::RETRIEVE_UIDS_BYTES_MAX. What found no room there is an instance without a name.
    #[test]
    fn a_million_keys_are_small() {
        let mut keys = MatchKeys::default();
        let uid = format!("1.{}", "2".repeat(61));
        for at in 0..1_000_000 {
            keys.push(InstanceKey { series: 1 + at / 1000, number: 1 + at }, uid.as_bytes());
        }
        assert!(keys.bytes() < 4 * 1024 * 1024, "{}", keys.bytes());
        let each = 1 + uid.len().div_ceil(2);
        let named = RETRIEVE_UIDS_BYTES_MAX.div_ceil(each);
        assert_eq!(keys.uids.len(), named * each);
        for (at, matched) in keys.iter().enumerate() {
            assert_eq!(matched.sop_instance.is_some(), at < named, "{at}");
        }
        assert_eq!(keys.iter().count(), 1_000_000);
    }
}
