//! An instance that is re-encoded: while it arrives where that is possible, else when it is complete.
//!
//! ```text
//! nothing changes                            copied, as it comes
//! changes for sure, lengths known so far     the second pass follows the first: one file, written once
//! changes for sure, lengths not known yet    held, 1 MiB at most
//! else                                       copied, and read again at the end into a second file
//! ```
//!
//! What is held beyond that goes to a part file of its own, or is the part file. Memory stays bounded, and
//! what is published is one file that was written from its beginning to its end.

use std::io::IoSlice;

use super::{InstanceWriter, StoreError};
use crate::limits::REWRITE_HELD_BYTES_MAX;
use crate::storage::backend::WrittenPart;
use crate::storage::durability::Operation;
use crate::storage::re_encode::{ReEncodeError, Way};

impl InstanceWriter {
    /// Lends out the way, which does its work on this writer.
    fn with_way<T>(
        &mut self,
        mut way: Box<Way>,
        work: impl FnOnce(&mut Self, &mut Way) -> Result<T, ReEncodeError>,
    ) -> Result<T, StoreError> {
        let result = work(self, &mut way).map_err(|error| self.not_re_encoded(error));
        self.way = Ok(Some(way));
        result
    }

    /// Begins to write what is held in its new encoding, where that is possible already.
    pub(super) fn follow_if_due(&mut self) -> Result<(), StoreError> {
        let Ok(Some(way)) = &self.way else { return Ok(()) };
        if self.has_head || !self.knows_head() || !way.may_follow(self.held.len()) {
            return Ok(());
        }
        let head = self.head(way.target());
        self.begin_part()?;
        self.head_bytes = head.len() as u64;
        self.has_head = true;
        let Ok(Some(mut way)) = core::mem::replace(&mut self.way, Ok(None)) else { return Ok(()) };
        way.follow(self.head_bytes);
        let held = core::mem::take(&mut self.held);
        self.with_way(way, |writer, way| {
            // The head goes with the first bytes behind it.
            let mut head = Some(head);
            let mut append =
                |block: &[u8]| writer.append_slices([&head.take().unwrap_or_default(), block]);
            way.pass(&held, &mut append)?;
            way.flush(&mut append)
        })
    }

    /// Takes fragments while the second pass follows the first.
    pub(super) fn take_on(&mut self, way: Box<Way>, fragments: &[&[u8]]) -> Result<(), StoreError> {
        self.with_way(way, |writer, way| writer.follow(way, fragments))
    }

    fn follow(&mut self, way: &mut Way, fragments: &[&[u8]]) -> Result<(), ReEncodeError> {
        for fragment in fragments {
            let direct = way.direct_bytes(fragment.len());
            let (now, later) = fragment.split_at(direct);
            if direct > 0 {
                self.catch_up(way)?;
                way.pass(now, &mut |block| self.append_block(block))?;
            }
            if let Some(scanner) = &mut self.scanner {
                let fed = scanner.feed_and_show(fragment, |bytes| way.look(bytes));
                fed.map_err(|error| ReEncodeError::Store(error.into()))?;
            }
            self.held.extend_from_slice(later);
        }
        self.check_uids(false).map_err(ReEncodeError::Store)?;
        if way.is_settled() {
            self.catch_up(way)?;
        }
        if self.held.len() > REWRITE_HELD_BYTES_MAX {
            self.spill().map_err(ReEncodeError::Store)?;
        }
        way.flush(&mut |block| self.append_block(block))
    }

    /// The second pass takes what waits for it: all is settled.
    fn catch_up(&mut self, way: &mut Way) -> Result<(), ReEncodeError> {
        if let Some(spilled) = self.spilled.take() {
            let source = WrittenPart::new(&*spilled, 0);
            way.pass_all(source, &mut |block| self.append_block(block))?;
        }
        if !self.held.is_empty() {
            let held = core::mem::take(&mut self.held);
            way.pass(&held, &mut |block| self.append_block(block))?;
            self.held = held;
            self.held.clear();
        }
        Ok(())
    }

    /// Puts what is held into a file of its own.
    fn spill(&mut self) -> Result<(), StoreError> {
        if self.spilled.is_none() {
            let created = self.store.backend.create_part();
            let created = created.map_err(|source| self.failure(Operation::Create, source))?;
            self.spilled = Some(created);
        }
        let Some(spilled) = &mut self.spilled else { return Err(StoreError::Abandoned) };
        if let Err(source) = spilled.append(&mut [IoSlice::new(&self.held)]) {
            return Err(self.failure(Operation::Write, source).into());
        }
        self.held.clear();
        Ok(())
    }

    /// Writes the data set in the encoding that is asked for, unless it came in it.
    pub(super) fn re_encode(&mut self, way: Box<Way>) -> Result<(), StoreError> {
        let to = *way.target();
        let held = core::mem::take(&mut self.held);
        let decided = if way.follows() {
            let spilled = self.spilled.take();
            let spilled = spilled.as_ref().map(|part| WrittenPart::new(&**part, 0));
            way.end(spilled, &held, &mut |block| self.append_block(block))
        } else {
            way.decide(|| self.head(&to).len() as u64)
        };
        let Some(change) = decided.map_err(|error| self.not_re_encoded(error))? else {
            if self.part.is_none() {
                self.held = held;
            }
            return Ok(());
        };
        let arrived = self.part.take();
        self.begin_part()?;
        let head = self.head(&to);
        let head_bytes = core::mem::replace(&mut self.head_bytes, head.len() as u64);
        (self.has_head, self.file_bytes) = (true, 0);
        // The head goes with the first bytes behind it.
        let mut head = Some(head);
        let mut append =
            |block: &[u8]| self.append_slices([&head.take().unwrap_or_default(), block]);
        let result = match &arrived {
            Some(part) => change.apply(WrittenPart::new(&**part, head_bytes), &mut append),
            None => change.apply_to(&held, &mut append),
        };
        let result = result.and_then(|()| append(&[]).map_err(ReEncodeError::Store));
        result.map_err(|error| self.not_re_encoded(error))
    }

    fn not_re_encoded(&self, error: ReEncodeError) -> StoreError {
        let from = self.request.transfer_syntax;
        error.into_store_error(from, |source| self.failure(Operation::Read, source))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CT, data_set, element, in_memory, request, send, store};
    use super::super::{Dialect, InstanceRequest};
    use super::*;
    use crate::dataset::rewrite::{
        GroupLengths, LengthEncoding, OutputEncoding, Padding, PixelHints, Rewriting, rewrite,
    };
    use crate::limits::REWRITE_FOLLOWED_BYTES_MIN;
    use crate::storage::backend::faulty::{Faulty, Plan};
    use crate::storage::backend::memory::Memory;
    use crate::uid::Uid;
    use proptest::prelude::*;
    use std::sync::Arc;

    const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    const BIG: &str = "1.2.840.10008.1.2.2";
    /// Bytes before the data set, with the UIDs and titles of these tests.
    const HEAD_BYTES: usize = 324;
    /// A value that is followed.
    const BULK: usize = 70_000;

    fn big_endian() -> OutputEncoding {
        OutputEncoding { transfer_syntax: Some(Uid::known(BIG)), ..OutputEncoding::STORESCP }
    }

    fn uids() -> Vec<u8> {
        [element(8, 0x16, "UI", CT.as_bytes()), element(8, 0x18, "UI", b"1.2.3")].concat()
    }

    /// A sequence of one item, both of undefined length.
    fn sequence(group: u16, number: u16, content: &[u8]) -> Vec<u8> {
        let [group, number] = [group, number].map(u16::to_le_bytes);
        let header = [&group[..], &number, b"SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"];
        let end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0";
        [&header.concat()[..], content, end].concat()
    }

    /// What is stored for `data`, without what stands before the data set.
    fn stored(
        encoding: OutputEncoding,
        data: &[u8],
        pieces: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<u8>, StoreError> {
        let (memory, store) = in_memory(|options| options.encoding = Some(encoding));
        let mut writer = store.begin(&request("1.2.3"));
        let mut rest = data;
        for piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            writer.append(&[&now[..now.len() / 3], &now[now.len() / 3..]])?;
            rest = later;
        }
        writer.append(&[rest])?;
        let told = writer.finish()?;
        let file = memory.files().remove("CT.1.2.3").unwrap();
        assert_eq!(memory.files().len(), 1, "a part file is left");
        assert_eq!(told.file_bytes, file.len() as u64);
        let meta = u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
        assert_eq!(144 + meta, HEAD_BYTES);
        Ok(file[HEAD_BYTES..].to_vec())
    }

    /// The same by the plain way: the whole of it, at the end.
    fn expected(encoding: OutputEncoding, data: &[u8]) -> Option<Vec<u8>> {
        let from = Uid::known(EXPLICIT);
        let mut way = Rewriting::of(&from, encoding, PixelHints::default()).unwrap();
        way.head_bytes = HEAD_BYTES as u64;
        rewrite(data, &way).ok()
    }

    /// Bytes wait until the lengths before them are known, limits::REWRITE_HELD_BYTES_MAX at most, and
    /// are read back from the part file beyond.
    #[test]
    fn held_until_the_lengths_are_known() {
        for (difference, is_held) in [(-2, true), (0, true), (2, false)] {
            // The length of this group counts the pixels.
            let head = [uids(), element(0x7FE0, 0, "UL", &[9, 9, 0, 0])].concat();
            let rest = head.len() + 12;
            let length = REWRITE_HELD_BYTES_MAX.saturating_add_signed(difference) - rest;
            let pixels = element(0x7FE0, 0x10, "OW", &[1, 2].repeat(length / 2));
            let data = [head, pixels].concat();
            let (memory, store) = in_memory(|options| options.encoding = Some(big_endian()));
            let mut writer = store.begin(&request("1.2.3"));
            for piece in data.chunks(100_000) {
                writer.append(&[piece]).unwrap();
            }
            assert_eq!(writer.part.is_none(), is_held, "{length}");
            assert!(writer.held.capacity() <= 2 * REWRITE_HELD_BYTES_MAX);
            writer.finish().unwrap();
            let file = memory.files().remove("CT.1.2.3").unwrap();
            assert!(file.ends_with(&expected(big_endian(), &data).unwrap()));
        }
    }

    /// limits::REWRITE_FOLLOWED_BYTES_MIN, at its edge; the first bytes leave with the head in one call,
    /// and nothing is held then.
    #[test]
    fn followed_from_a_length_on() {
        for (difference, follows) in [(-2, false), (0, true)] {
            let rest = data_set(CT, "1.2.3", &[]).len();
            let length = REWRITE_FOLLOWED_BYTES_MIN as usize - rest;
            let length = length.saturating_add_signed(difference);
            let data = data_set(CT, "1.2.3", &[1, 2].repeat(length / 2));
            let (memory, store) = in_memory(|options| options.encoding = Some(big_endian()));
            let mut writer = store.begin(&request("1.2.3"));
            writer.append(&[&data[..=rest]]).unwrap();
            assert_eq!(writer.part.is_some(), follows, "{length}");
            assert_eq!(writer.held.is_empty(), follows);
            writer.append(&[&data[rest + 1..]]).unwrap();
            writer.finish().unwrap();
            let file = memory.files().remove("CT.1.2.3").unwrap();
            assert!(file.ends_with(&[2, 1].repeat(length / 2)));
            assert!(file.windows(20).any(|window| window == b"1.2.840.10008.1.2.2\0"));
        }
    }

    /// What needs no change is copied as it comes, into one file.
    #[test]
    fn unchanged_is_copied() {
        let memory = Memory::default();
        let plan = Plan::new(0, false, 0);
        let backend = Faulty::new(Arc::new(memory.clone()), Arc::clone(&plan));
        let storescp = OutputEncoding::STORESCP;
        let store = store(Arc::new(backend), |options| options.encoding = Some(storescp));
        let data = data_set(CT, "1.2.3", &vec![1; 200_000]);
        send(&store, "1.2.3", &[&data]).unwrap();
        // Create, append, close, rename.
        assert_eq!(plan.calls(), 4);
        assert!(memory.files()["CT.1.2.3"].ends_with(&data));
    }

    /// What comes after the pixels, too long to be held and of unknown length, waits in a file of its own;
    /// elements out of order are put in order in the end.
    #[test]
    fn after_the_pixels() {
        let pixels = element(0x7FE0, 0x10, "OW", &[1, 2].repeat(BULK / 2));
        let text = element(0x0040, 0xA160, "UT", b"some text  ");
        let long =
            sequence(0xFFFA, 0xFFFA, &text.repeat(1 + 3 * REWRITE_HELD_BYTES_MAX / text.len()));
        let more = element(0xFFFB, 0x1010, "OW", &[3, 4].repeat(BULK));
        let late = element(0x0010, 0x0010, "PN", b"Doe^Jane");
        for parts in [
            &[&uids()[..], &pixels, &long, &more][..],
            &[&uids(), &pixels, &more, &long],
            &[&uids(), &pixels, &late, &long, &more],
            &[&uids(), &pixels, &long, &late],
        ] {
            let data = parts.concat();
            let expected = expected(big_endian(), &data).unwrap();
            assert_eq!(stored(big_endian(), &data, [1000, 200_000, 900_000]).unwrap(), expected);
        }
    }

    /// PROMISES.md §8.1, for each of the files that re-encoding may take.
    #[test]
    fn every_call_of_re_encoding_may_fail() {
        let late = element(0x0010, 0x0020, "LO", b"ID");
        let small = data_set(CT, "1.2.3", &[7; 2000]);
        let bulk = data_set(CT, "1.2.3", &vec![7; BULK]);
        let text = element(0x0040, 0xA160, "UT", b"some text  ");
        let long = sequence(0xFFFA, 0xFFFA, &text.repeat(60_000));
        for (encoding, pieces, calls) in [
            // Out of order, which is noticed when the first bytes are in the part file.
            (OutputEncoding::DCMRECV, &[&small[..], &late][..], 8),
            (big_endian(), &[&bulk, &bulk[..0], &late], 8),
            (big_endian(), &[&bulk, &long[..], &late], 10),
        ] {
            for fail_at in 1.. {
                let memory = Memory::default();
                let plan = Plan::new(fail_at, false, libc::ENOSPC);
                let faulty = Faulty::new(Arc::new(memory.clone()), Arc::clone(&plan));
                let store = store(Arc::new(faulty), |options| {
                    options.encoding = Some(encoding);
                    options.dialect = Dialect::Dcmrecv;
                });
                let result = send(&store, "1.2.3", pieces);
                if !plan.has_failed() {
                    assert!(result.is_ok() && fail_at > calls, "{fail_at}");
                    break;
                }
                assert!(matches!(result, Err(StoreError::Io(_))), "call {fail_at}: {result:?}");
                assert!(memory.files().is_empty(), "call {fail_at}");
            }
        }
    }

    /// A data set that is not whole, or has no way to the transfer syntax, leaves nothing.
    #[test]
    fn what_cannot_be_re_encoded_is_refused() {
        let (memory, store) = in_memory(|options| options.encoding = Some(big_endian()));
        let good = data_set(CT, "1.2.3", &[1; 10]);
        // The scanner does not look into it; who re-encodes has to.
        let class = [b"\x08\0\x16\0\x1a\0\0\0", CT.as_bytes(), b"\0"].concat();
        let bad_sequence = [
            &class[..],
            b"\x08\0\x18\0\x06\0\0\x001.2.3\0",
            b"\x08\0\x40\x11\x0c\0\0\0\xfe\xff\0\xe0\x63\0\0\0abcd",
        ]
        .concat();
        let syntax = Uid::known("1.2.840.10008.1.2");
        let mut writer =
            store.begin(&InstanceRequest { transfer_syntax: syntax, ..request("1.2.3") });
        writer.append(&[&bad_sequence]).unwrap();
        assert!(matches!(writer.finish(), Err(StoreError::Scan(_))));
        let syntax = Uid::known("1.2.840.10008.1.2.4.50");
        let mut writer =
            store.begin(&InstanceRequest { transfer_syntax: syntax, ..request("1.2.3") });
        assert!(matches!(writer.append(&[&good]), Err(StoreError::Unconvertible(_))));
        assert!(memory.files().is_empty());
        send(&store, "1.2.3", &[&good]).unwrap();
        assert_eq!(memory.files().len(), 1);
    }

    /// An element of any kind that changes, or does not.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        let number = || prop_oneof![Just(0x1001_u16), 0x1001_u16..0x1005];
        let group = || prop_oneof![Just(0x0009_u16), Just(0x0011), Just(0x7FE1)];
        let vr =
            prop_oneof![Just("LO"), Just("UI"), Just("US"), Just("OB"), Just("UN"), Just("FD")];
        let short = (group(), number(), vr, "[a1 ]{0,3} {0,2}");
        let short = short.prop_map(|(group, number, vr, text)| {
            element(group, number, vr, text.repeat(4).as_bytes())
        });
        let length = group().prop_map(|group| element(group, 0, "UL", &[8, 0, 0, 0]));
        let bulk = (group(), number(), prop_oneof![Just("OW"), Just("OB"), Just("UT")]);
        let bulk = bulk
            .prop_map(|(group, number, vr)| element(group, number, vr, &b"ab  ".repeat(BULK / 4)));
        let padding = Just(element(0xFFFC, 0xFFFC, "OB", &[0; 10]));
        let leaf = prop_oneof![8 => short, 1 => length, 3 => bulk, 1 => padding].boxed();
        let inner = (group(), number(), proptest::collection::vec(leaf.clone(), 0..4));
        let nested =
            inner.prop_map(|(group, number, parts)| sequence(group, number, &parts.concat()));
        prop_oneof![3 => leaf, 1 => nested]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// However the bytes come, broken or not, the file is the one that the whole data set becomes.
        #[test]
        fn written_while_it_arrives(
            parts in proptest::collection::vec(part(), 0..10),
            is_sorted in any::<bool>(),
            pieces in proptest::collection::vec(1_usize..120_000, 0..12),
            fault in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
            is_big in any::<bool>(),
            lengths in prop_oneof![Just(LengthEncoding::Explicit), Just(LengthEncoding::Undefined)],
            group_lengths in prop_oneof![
                Just(GroupLengths::Recalculated),
                Just(GroupLengths::Created),
                Just(GroupLengths::Removed),
            ],
            is_padded in any::<bool>(),
            has_new_vrs in any::<bool>(),
        ) {
            let mut parts = parts;
            if is_sorted {
                parts.sort_by_key(|part| (u16::from_le_bytes([part[0], part[1]]), part[2..4].to_vec()));
            }
            let mut data = [uids(), parts.concat()].concat();
            if let Some((at, byte)) = fault {
                let start = uids().len();
                if data.len() > start {
                    let at = start + at.index(data.len() - start);
                    data[at] = byte;
                }
            }
            let padding = Padding::Aligned { file: 128, item: 32 };
            let encoding = OutputEncoding {
                transfer_syntax: Some(Uid::known(if is_big { BIG } else { EXPLICIT })),
                lengths,
                group_lengths,
                padding: if is_padded { padding } else { Padding::Removed },
                has_new_vrs,
                ..OutputEncoding::STORESCP
            };
            match (stored(encoding, &data, pieces), expected(encoding, &data)) {
                (Ok(found), Some(expected)) => prop_assert!(found == expected),
                (Err(_), None) => {}
                (found, expected) => prop_assert!(
                    false, "{:?} {:?}", found.map(|data| data.len()), expected.map(|data| data.len())
                ),
            }
        }
    }
}
