//! TCP segments as the bytes of connections, in their order.
//!
//! Source: RFC 9293 (sequence numbers, SYN, FIN, RST). Segments may be lost, late, repeated or
//! overlapping; of bytes that came twice the first ones count. What is awaited is given up, and told to
//! be missing, when more than `limits::CAPTURE_AHEAD_BYTES_MAX` wait behind it, or the connection
//! ends. A connection is an association when the first bytes of one side are an A-ASSOCIATE-RQ
//! (PS3.8 §9.3.2), whatever the port; all others are forgotten at once. Called by `recording::capture`.

use std::collections::{BTreeMap, HashMap};

use super::proxy::is_tls;
use super::{Ending, Entry, Moment, Reason, Side, What};
use crate::limits::{
    ASSOCIATE_PDU_BYTES_MAX, CAPTURE_AHEAD_BYTES_ALL_MAX, CAPTURE_AHEAD_BYTES_MAX,
    CAPTURE_STREAMS_MAX,
};
use crate::net::tcp::SocketAddr;
use crate::ul::pdu_codec::ASSOCIATE_FIXED_BYTES;

/// One TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Sequence number of the first byte, or of SYN.
    pub sequence: u32,
    /// Begins a direction.
    pub is_syn: bool,
    /// Ends it.
    pub is_fin: bool,
    /// Ends both.
    pub is_rst: bool,
    /// Its payload.
    pub bytes: &'a [u8],
}

/// Both ends, in an order that both directions share.
type Key = (SocketAddr, SocketAddr);

/// What a connection turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// No byte has come yet.
    Unknown,
    /// An association: its number, and whether the first end of the key is the requestor.
    Association { number: u64, is_first: bool },
    /// Something else.
    Other,
}

#[derive(Debug, Default)]
struct Stream {
    /// Sequence number of the next byte; unknown before the first segment.
    next: Option<u32>,
    /// Bytes given out so far.
    given: u64,
    /// What came too early, by its place.
    ahead: BTreeMap<u64, Vec<u8>>,
    ahead_bytes: usize,
    /// Where FIN stands.
    end: Option<u64>,
    has_ended: bool,
}

#[derive(Debug)]
struct Flow {
    kind: Kind,
    begun: Moment,
    last: u64,
    /// Of the first end of the key, and of the second.
    streams: [Stream; 2],
}

/// Follows all connections of a capture.
#[derive(Default)]
pub struct Reassembly {
    flows: HashMap<Key, Flow>,
    numbers: u64,
    clock: u64,
    ahead_bytes: usize,
    others: u64,
    tls: u64,
    midway: u64,
}

/// Segments so far ahead are none of this connection.
const AHEAD_MAX: u64 = 1 << 30;

fn key_of(segment: &Segment<'_>) -> (Key, usize) {
    if segment.from <= segment.to {
        ((segment.from, segment.to), 0)
    } else {
        ((segment.to, segment.from), 1)
    }
}

impl Reassembly {
    /// Takes a segment, and gives what follows from it.
    pub fn take(&mut self, segment: &Segment<'_>, at: Moment, emit: &mut dyn FnMut(Entry)) {
        let (key, index) = key_of(segment);
        self.clock += 1;
        // The same ends again: a new connection, unless it is the same SYN.
        let is_new = segment.is_syn
            && self.flows.get(&key).is_some_and(|flow| {
                let next = flow.streams[index].next;
                flow.streams[index].given > 0
                    || next.is_some_and(|next| next != segment.sequence.wrapping_add(1))
            });
        if is_new {
            self.close(key, at, emit);
        }
        if !self.flows.contains_key(&key) {
            if segment.is_rst
                || self.flows.len() >= CAPTURE_STREAMS_MAX && !self.make_room(at, emit)
            {
                return;
            }
            let streams = Default::default();
            let flow = Flow { kind: Kind::Unknown, begun: at, last: 0, streams };
            self.flows.insert(key, flow);
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.last = self.clock;
        let before = flow.streams[index].ahead_bytes;
        flow.streams[index].put(segment);
        let held = flow.streams[index].ahead_bytes;
        self.ahead_bytes = self.ahead_bytes + held - before;
        let is_over_full =
            held > CAPTURE_AHEAD_BYTES_MAX || self.ahead_bytes > CAPTURE_AHEAD_BYTES_ALL_MAX;
        self.give(key, index, segment, is_over_full, at, emit);
        if segment.is_rst {
            self.reset(key, index, at, emit);
        }
    }

    /// The capture ends: what waits is given out.
    pub fn finish(&mut self, at: Moment, emit: &mut dyn FnMut(Entry)) {
        let mut keys: Vec<Key> = self.flows.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.close(key, at, emit);
        }
    }

    /// What there is to say of the rest.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.others > 0 {
            notices.push(format!(
                "{} TCP connections are no associations, {} of them TLS, {} begun before the capture",
                self.others, self.tls, self.midway
            ));
        }
        notices
    }

    /// Forgets the connection that was silent longest; false where there is none.
    fn make_room(&mut self, at: Moment, emit: &mut dyn FnMut(Entry)) -> bool {
        let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.last).map(|(key, _)| *key);
        let Some(key) = oldest else { return false };
        self.close(key, at, emit);
        true
    }

    /// Gives out the bytes of one direction that are in order.
    fn give(
        &mut self,
        key: Key,
        index: usize,
        segment: &Segment<'_>,
        is_over_full: bool,
        at: Moment,
        emit: &mut dyn FnMut(Entry),
    ) {
        let mut is_forced = is_over_full;
        loop {
            let Some(flow) = self.flows.get_mut(&key) else { return };
            let stream = &mut flow.streams[index];
            let before = stream.ahead_bytes;
            let piece = stream.pop(is_forced);
            self.ahead_bytes = self.ahead_bytes + stream.ahead_bytes - before;
            is_forced = false;
            let Some(piece) = piece else { break };
            if flow.kind == Kind::Unknown {
                let bytes: &[u8] = match &piece {
                    Piece::Bytes(bytes) => bytes,
                    Piece::Missing(_) => &[],
                };
                flow.kind = if is_request(bytes) {
                    self.numbers += 1;
                    let (requestor, acceptor) = (segment.from, segment.to);
                    emit(Entry {
                        connection: self.numbers,
                        at: flow.begun,
                        what: What::Opened {
                            requestor: requestor.to_string(),
                            acceptor: acceptor.to_string(),
                        },
                    });
                    Kind::Association { number: self.numbers, is_first: index == 0 }
                } else {
                    self.others += 1;
                    self.tls += u64::from(is_tls(bytes));
                    self.midway += u64::from(matches!(bytes.first(), Some(2..=7)));
                    Kind::Other
                };
            }
            let Kind::Association { number, is_first } = flow.kind else {
                // Nothing of it is wanted.
                self.ahead_bytes -= flow.streams.iter().map(|one| one.ahead_bytes).sum::<usize>();
                flow.streams.iter_mut().for_each(|stream| {
                    stream.ahead.clear();
                    stream.ahead_bytes = 0;
                });
                return;
            };
            let side = side_of(is_first, index);
            let what = match piece {
                Piece::Bytes(bytes) => What::Bytes(side, bytes),
                Piece::Missing(count) => What::Missing(side, count),
            };
            emit(Entry { connection: number, at, what });
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let stream = &mut flow.streams[index];
        if stream.end == Some(stream.given) && !stream.has_ended {
            stream.has_ended = true;
            if let Kind::Association { number, is_first } = flow.kind {
                let what = What::End(side_of(is_first, index), Ending::Closed);
                emit(Entry { connection: number, at, what });
            }
            if flow.streams.iter().all(|stream| stream.has_ended) {
                self.close(key, at, emit);
            }
        }
    }

    fn reset(&mut self, key: Key, index: usize, at: Moment, emit: &mut dyn FnMut(Entry)) {
        if let Some(Flow { kind: Kind::Association { number, is_first }, .. }) =
            self.flows.get(&key)
        {
            let what = What::End(side_of(*is_first, index), Ending::Reset);
            emit(Entry { connection: *number, at, what });
        }
        self.close(key, at, emit);
    }

    /// A connection is over: what waits is given out, with what is missing before it.
    fn close(&mut self, key: Key, at: Moment, emit: &mut dyn FnMut(Entry)) {
        let Some(mut flow) = self.flows.remove(&key) else { return };
        self.ahead_bytes -= flow.streams.iter().map(|stream| stream.ahead_bytes).sum::<usize>();
        let Kind::Association { number, is_first } = flow.kind else { return };
        for (index, stream) in flow.streams.iter_mut().enumerate() {
            let side = side_of(is_first, index);
            while let Some(piece) = stream.pop(true) {
                let what = match piece {
                    Piece::Bytes(bytes) => What::Bytes(side, bytes),
                    Piece::Missing(count) => What::Missing(side, count),
                };
                emit(Entry { connection: number, at, what });
            }
        }
        emit(Entry { connection: number, at, what: What::Over(Reason::Ended, String::new()) });
    }
}

const fn side_of(is_first: bool, index: usize) -> Side {
    if is_first == (index == 0) { Side::Requestor } else { Side::Acceptor }
}

/// True for bytes that an A-ASSOCIATE-RQ begins with: its type, a length that one may have, and
/// version 1, as far as they are there.
fn is_request(bytes: &[u8]) -> bool {
    let Some((&[1, _, a, b, c, d], rest)) = bytes.split_first_chunk::<6>() else { return false };
    let length = u32::from_be_bytes([a, b, c, d]);
    (ASSOCIATE_FIXED_BYTES..=ASSOCIATE_PDU_BYTES_MAX).contains(&length)
        && rest.get(1).is_none_or(|version| version & 1 == 1)
}

/// What comes out of a direction.
enum Piece {
    Bytes(Vec<u8>),
    Missing(u64),
}

impl Stream {
    /// Takes a segment in.
    fn put(&mut self, segment: &Segment<'_>) {
        let sequence =
            if segment.is_syn { segment.sequence.wrapping_add(1) } else { segment.sequence };
        let next = *self.next.get_or_insert(sequence);
        // Modulo 2^32 (RFC 9293 §3.4): the nearer way round.
        let forward = u64::from(sequence.wrapping_sub(next));
        let back = u64::from(next.wrapping_sub(sequence));
        let (place, late) =
            if forward <= back { (self.given + forward, 0) } else { (self.given, back) };
        if self.has_ended || place - self.given > AHEAD_MAX {
            return;
        }
        let late = usize::try_from(late).unwrap_or(usize::MAX);
        if segment.is_fin && late <= segment.bytes.len() {
            self.end.get_or_insert(place + (segment.bytes.len() - late) as u64);
        }
        let bytes = segment.bytes.get(late..).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        let known = self.ahead.get(&place).map_or(0, Vec::len);
        if known < bytes.len() {
            self.ahead_bytes += bytes.len() - known;
            self.ahead.insert(place, bytes.to_vec());
        }
    }

    /// The next bytes in order; where they are missing and `is_forced`, how many.
    fn pop(&mut self, is_forced: bool) -> Option<Piece> {
        loop {
            let (&place, _) = self.ahead.first_key_value()?;
            if place > self.given {
                if !is_forced {
                    return None;
                }
                let count = place - self.given;
                self.advance(count);
                return Some(Piece::Missing(count));
            }
            let bytes = self.ahead.remove(&place).unwrap_or_default();
            self.ahead_bytes -= bytes.len();
            let late = usize::try_from(self.given - place).unwrap_or(usize::MAX);
            let bytes = bytes.get(late..).unwrap_or_default();
            if !bytes.is_empty() {
                self.advance(bytes.len() as u64);
                return Some(Piece::Bytes(bytes.to_vec()));
            }
        }
    }

    fn advance(&mut self, count: u64) {
        self.given += count;
        // Modulo 2^32.
        self.next = self.next.map(|next| next.wrapping_add(count as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RQ: &[u8] = b"\x01\0\0\0\0\x44\0\x01\0\0";

    fn segment(port: u16, sequence: u32, bytes: &[u8]) -> Segment<'_> {
        let end = |port| SocketAddr::from(([10, 0, 0, 1], port));
        Segment {
            from: end(port),
            to: end(104),
            sequence,
            is_syn: false,
            is_fin: false,
            is_rst: false,
            bytes,
        }
    }

    /// limits::CAPTURE_AHEAD_BYTES_MAX: beyond it what is awaited is given up.
    #[test]
    fn edge_of_what_waits() {
        let mut reassembly = Reassembly::default();
        let (mut missing, mut bytes) = (0, 0);
        let mut count = |entry: Entry| match entry.what {
            What::Missing(_, count) => missing += count,
            What::Bytes(_, more) => bytes += more.len(),
            _ => {}
        };
        let at = Moment::default();
        reassembly.take(&segment(1, 0, RQ), at, &mut count);
        let block = vec![0; CAPTURE_AHEAD_BYTES_MAX / 4];
        let mut sequence = RQ.len() as u32 + 7;
        for _ in 0..4 {
            reassembly.take(&segment(1, sequence, &block), at, &mut count);
            sequence += block.len() as u32;
        }
        assert_eq!(reassembly.ahead_bytes, CAPTURE_AHEAD_BYTES_MAX);
        reassembly.take(&segment(1, sequence, b"x"), at, &mut count);
        assert_eq!(reassembly.ahead_bytes, 0);
        assert_eq!((missing, bytes), (7, RQ.len() + CAPTURE_AHEAD_BYTES_MAX + 1));
    }

    /// limits::CAPTURE_AHEAD_BYTES_ALL_MAX and CAPTURE_STREAMS_MAX, over all connections.
    #[test]
    fn edges_over_all_connections() {
        let mut reassembly = Reassembly::default();
        let at = Moment::default();
        let block = vec![0; CAPTURE_AHEAD_BYTES_MAX];
        for port in 1000..1100 {
            reassembly.take(&segment(port, 0, RQ), at, &mut |_| {});
            reassembly.take(&segment(port, 100, &block), at, &mut |_| {});
            assert!(reassembly.ahead_bytes <= CAPTURE_AHEAD_BYTES_ALL_MAX);
        }
        for port in 0..=CAPTURE_STREAMS_MAX as u16 {
            reassembly.take(&segment(10_000 + port, 0, RQ), at, &mut |_| {});
        }
        assert_eq!(reassembly.flows.len(), CAPTURE_STREAMS_MAX);
        reassembly.finish(at, &mut |_| {});
        assert_eq!((reassembly.ahead_bytes, reassembly.flows.len()), (0, 0));
    }
}
