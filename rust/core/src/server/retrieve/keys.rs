//! Which instances a retrieve has matched, in few bytes each.
//!
//! Matching is done once, in short read transactions, before anything is sent; sending may take
//! hours, and instances come and go meanwhile. So what is remembered are the instances' places in
//! the index, which are never given twice, as differences of variable length: two or three bytes
//! each for a study, under 10 MB for millions. Each is looked up again when its turn comes.

use crate::index::InstanceKey;

/// Many keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchKeys {
    bytes: Vec<u8>,
    last: InstanceKey,
    count: u64,
}

impl MatchKeys {
    /// Adds `key` behind the others.
    pub fn push(&mut self, key: InstanceKey) {
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
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// True when nothing matched.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Memory in use.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All of them, in their order; a clone goes on from where it was made.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.bytes, last: InstanceKey::default() }
    }
}

impl<'k> IntoIterator for &'k MatchKeys {
    type Item = InstanceKey;
    type IntoIter = Iter<'k>;

    fn into_iter(self) -> Iter<'k> {
        self.iter()
    }
}

impl Extend<InstanceKey> for MatchKeys {
    fn extend<I: IntoIterator<Item = InstanceKey>>(&mut self, keys: I) {
        for key in keys {
            self.push(key);
        }
    }
}

/// Iterator over [`MatchKeys`].
#[derive(Clone, Debug)]
pub struct Iter<'k> {
    rest: &'k [u8],
    last: InstanceKey,
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
    type Item = InstanceKey;

    fn next(&mut self) -> Option<InstanceKey> {
        let series = self.difference()?;
        let number = self.difference()?;
        self.last = InstanceKey {
            series: self.last.series.wrapping_add(series),
            number: self.last.number.wrapping_add(number),
        };
        Some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever goes in comes out, in its order.
        #[test]
        fn keys_come_out_as_they_went_in(
            numbers in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..100)
        ) {
            let mut keys = MatchKeys::default();
            let all = || numbers.iter().map(|&(series, number)| InstanceKey { series, number });
            keys.extend(all());
            prop_assert_eq!(keys.len(), numbers.len() as u64);
            prop_assert!(keys.iter().eq(all()));
        }
    }

    /// P9: a million instances of a thousand series are a few megabytes.
    #[test]
    fn a_million_keys_are_small() {
        let mut keys = MatchKeys::default();
        keys.extend((0..1_000_000).map(|at| InstanceKey { series: 1 + at / 1000, number: 1 + at }));
        assert!(keys.bytes() < 4 * 1024 * 1024, "{}", keys.bytes());
    }
}
