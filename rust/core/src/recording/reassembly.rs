//! TCP segments as the bytes of connections, in their order.
//!
//! Source: RFC 9293 (sequence numbers, SYN, FIN, RST). Segments may be lost, late, repeated or
//! overlapping; of bytes that came twice the first ones count. What is awaited is given up, and told to
//! be missing, when more than `limits::CAPTURE_AHEAD_BYTES_MAX` wait behind it, or the connection
//! ends. The directions are put in order by what their senders acknowledged: nothing is given out before
//! what it may answer, also where a capture has swapped them; what was acknowledged and does not come is
//! missing. A connection is an association when the first bytes of one side are an A-ASSOCIATE-RQ
//! (PS3.8 §9.3.2), whatever the port; of all others, and of what is over, nothing but the ends are
//! remembered, as long as there is room, so that what comes late is no connection. Called by
//! `recording::capture`.

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
    /// Sequence number of what its sender awaits.
    pub acknowledged: Option<u32>,
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
    /// Something else, or over.
    Other,
}

/// Bytes that wait for their turn.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// What its sender had of the other direction by then (RFC 9293 §3.4: acknowledgement number).
    had: u64,
    /// The number of its segment, among those of the connection.
    number: u64,
}

#[derive(Debug, Default)]
struct Stream {
    /// Sequence number of the next byte; unknown before the first segment.
    next: Option<u32>,
    /// Bytes given out so far.
    given: u64,
    /// What came too early, by its place.
    ahead: BTreeMap<u64, Waiting>,
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
    segments: u64,
    /// Of the first end of the key, and of the second.
    streams: [Stream; 2],
    /// The ends of the key.
    ends: [SocketAddr; 2],
    /// The first bytes that came, and of which end of the key, while they are too few to say what they are.
    head: (usize, Vec<u8>),
}

/// Follows all connections of a capture.
#[derive(Default)]
pub struct Reassembly {
    flows: HashMap<Key, Flow>,
    numbers: u64,
    clock: u64,
    ahead_bytes: usize,
    others: Others,
    missing: u64,
}

/// Connections that are none of ours.
#[derive(Debug, Default)]
struct Others {
    all: u64,
    tls: u64,
    /// Associations that had begun before the capture.
    midway: u64,
}

impl Others {
    /// Counts one by its first bytes.
    fn count(&mut self, bytes: &[u8]) {
        self.all += 1;
        self.tls += u64::from(is_tls(bytes));
        self.midway += u64::from(matches!(bytes.first(), Some(2..=7)));
    }
}

/// Segments of a connection that may come between one and what its sender had acknowledged in it; a
/// capture of several interfaces or queues swaps a few.
const SWAPPED_MAX: u64 = 64;
/// What a segment that waits costs beside its bytes: its place among the others, and its allocation.
const WAITING_BYTES: usize = 128;
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
            self.close(key, None, at, emit);
        }
        let is_over = self.flows.get(&key).is_some_and(|flow| flow.kind == Kind::Other);
        if is_over && segment.is_syn {
            self.flows.remove(&key);
        }
        if !self.flows.contains_key(&key) {
            // What neither begins a connection nor carries anything is the last of one.
            let is_nothing = segment.is_rst || segment.bytes.is_empty() && !segment.is_syn;
            if is_nothing || self.flows.len() >= CAPTURE_STREAMS_MAX && !self.make_room(at, emit) {
                return;
            }
            let streams = Default::default();
            let flow = Flow {
                kind: Kind::Unknown,
                begun: at,
                last: 0,
                segments: 0,
                streams,
                ends: [key.0, key.1],
                head: (0, Vec::new()),
            };
            self.flows.insert(key, flow);
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.last = self.clock;
        flow.segments += 1;
        if flow.kind == Kind::Other {
            return;
        }
        let had = flow.streams.get(1 - index).map_or(0, |other| other.place_of(segment));
        let before = flow.ahead_bytes();
        flow.streams[index].put(segment, had, flow.segments);
        self.ahead_bytes = self.ahead_bytes + flow.ahead_bytes() - before;
        self.give(key, at, emit);
        if segment.is_rst {
            self.close(key, Some(index), at, emit);
        }
    }

    /// The capture ends: what waits is given out.
    pub fn finish(&mut self, at: Moment, emit: &mut dyn FnMut(Entry)) {
        let mut keys: Vec<Key> = self.flows.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.close(key, None, at, emit);
        }
    }

    /// Bytes of associations that were not captured.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// What there is to say of the rest.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let Others { all, tls, midway } = self.others;
        if all > 0 {
            notices.push(format!(
                "{all} TCP connections are no associations, {tls} of them TLS, {midway} begun before the \
                 capture"
            ));
        }
        notices
    }

    /// Forgets what is over or none of ours, or else the connection that was silent longest, one of which
    /// nothing has come first; false where there is none.
    fn make_room(&mut self, at: Moment, emit: &mut dyn FnMut(Entry)) -> bool {
        let before = self.flows.len();
        self.flows.retain(|_, flow| flow.kind != Kind::Other);
        if self.flows.len() < before {
            return true;
        }
        let rank = |flow: &Flow| (flow.kind != Kind::Unknown, flow.last);
        let oldest = self.flows.iter().min_by_key(|(_, flow)| rank(flow)).map(|(key, _)| *key);
        let Some(key) = oldest else { return false };
        self.close(key, None, at, emit);
        self.flows.remove(&key).is_some()
    }

    /// Gives out what is in order.
    fn give(&mut self, key: Key, at: Moment, emit: &mut dyn FnMut(Entry)) {
        loop {
            let Some(flow) = self.flows.get_mut(&key) else { return };
            let is_over_full =
                flow.streams.iter().any(|one| one.ahead_bytes > CAPTURE_AHEAD_BYTES_MAX)
                    || self.ahead_bytes > CAPTURE_AHEAD_BYTES_ALL_MAX;
            let before = flow.ahead_bytes();
            let next = flow.next(is_over_full);
            self.ahead_bytes = self.ahead_bytes + flow.ahead_bytes() - before;
            let Some((index, piece)) = next else { break };
            if !self.out(key, index, piece, at, emit) {
                return;
            }
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        for index in 0..2 {
            let stream = &mut flow.streams[index];
            if stream.end == Some(stream.given) && !stream.has_ended {
                stream.has_ended = true;
                if let Kind::Association { number, is_first } = flow.kind {
                    let what = What::End(side_of(is_first, index), Ending::Closed);
                    emit(Entry { connection: number, at, what });
                }
            }
        }
        if flow.streams.iter().all(|stream| stream.has_ended) {
            self.close(key, None, at, emit);
        }
    }

    /// Gives out one piece; false where the connection is none of ours.
    fn out(
        &mut self,
        key: Key,
        index: usize,
        piece: Piece,
        at: Moment,
        emit: &mut dyn FnMut(Entry),
    ) -> bool {
        let Some(flow) = self.flows.get_mut(&key) else { return false };
        let mut piece = piece;
        if flow.kind == Kind::Unknown {
            let (side, mut head) = std::mem::take(&mut flow.head);
            if let Piece::Bytes(bytes) = &mut piece {
                if head.is_empty() || side == index {
                    head.append(bytes);
                    if may_be_request(&head) {
                        flow.head = (index, head);
                        return true;
                    }
                    *bytes = std::mem::take(&mut head);
                }
            }
            let bytes: &[u8] = match &piece {
                // The other end speaks before the first one has said what it wants.
                Piece::Bytes(_) | Piece::Missing(_) if !head.is_empty() => &head,
                Piece::Bytes(bytes) => bytes,
                Piece::Missing(_) => &[],
            };
            flow.kind = if is_request(bytes) {
                self.numbers += 1;
                let [requestor, acceptor] = [flow.ends[index], flow.ends[1 - index]];
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
                self.others.count(bytes);
                Kind::Other
            };
        }
        let Kind::Association { number, is_first } = flow.kind else {
            // Nothing of it is wanted.
            self.ahead_bytes -= flow.ahead_bytes();
            flow.streams.iter_mut().for_each(|stream| {
                stream.ahead.clear();
                stream.ahead_bytes = 0;
            });
            return false;
        };
        let side = side_of(is_first, index);
        let what = match piece {
            Piece::Bytes(bytes) => What::Bytes(side, bytes),
            Piece::Missing(count) => {
                self.missing += count;
                What::Missing(side, count)
            }
        };
        emit(Entry { connection: number, at, what });
        true
    }

    /// A connection is over: what waits is given out, with what is missing before it, and who reset it.
    fn close(&mut self, key: Key, reset: Option<usize>, at: Moment, emit: &mut dyn FnMut(Entry)) {
        loop {
            let Some(flow) = self.flows.get_mut(&key) else { return };
            let before = flow.ahead_bytes();
            let next = if flow.kind == Kind::Unknown { flow.next(false) } else { flow.next(true) };
            self.ahead_bytes = self.ahead_bytes + flow.ahead_bytes() - before;
            let Some((index, piece)) = next else { break };
            if !self.out(key, index, piece, at, emit) {
                break;
            }
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        self.ahead_bytes -= flow.ahead_bytes();
        flow.streams = Default::default();
        let head = std::mem::take(&mut flow.head.1);
        let kind = std::mem::replace(&mut flow.kind, Kind::Other);
        if !head.is_empty() {
            self.others.count(&head);
        }
        let Kind::Association { number, is_first } = kind else { return };
        if let Some(index) = reset {
            let what = What::End(side_of(is_first, index), Ending::Reset);
            emit(Entry { connection: number, at, what });
        }
        emit(Entry { connection: number, at, what: What::Over(Reason::Ended, String::new()) });
    }
}

impl Flow {
    fn ahead_bytes(&self) -> usize {
        self.streams.iter().map(|stream| stream.ahead_bytes).sum()
    }

    /// What comes next, of either direction: what is in order, and whose sender had no more of the other
    /// direction than has been given out. What waited too long for that, or must not wait any longer
    /// (`is_forced`), is preceded by what is missing.
    fn next(&mut self, is_forced: bool) -> Option<(usize, Piece)> {
        let given = [self.streams[0].given, self.streams[1].given];
        for (index, stream) in self.streams.iter_mut().enumerate() {
            if stream.is_ready(given[1 - index]) {
                if let Some(bytes) = stream.pop() {
                    return Some((index, Piece::Bytes(bytes)));
                }
            }
        }
        let mut fronts = Vec::new();
        for (index, stream) in self.streams.iter().enumerate() {
            if let Some((&place, waiting)) = stream.ahead.first_key_value() {
                let is_blocked = place <= stream.given;
                let is_late = is_blocked && self.segments - waiting.number >= SWAPPED_MAX;
                if is_forced || is_late {
                    fronts.push((waiting.number, index, place, waiting.had));
                }
            }
        }
        let (_, index, place, had) = fronts.into_iter().min()?;
        let other = self.streams[1 - index].ahead.first_key_value().map(|(place, _)| *place);
        // Its own direction lacks something, or the other one does, of which its sender had more.
        let (lacking, until) = match other {
            _ if place > given[index] => (index, place),
            Some(other) if other > given[1 - index] => (1 - index, other.min(had)),
            None => (1 - index, had),
            // Both wait for each other, which no sender can mean.
            Some(_) => {
                let bytes = self.streams[index].pop()?;
                return Some((index, Piece::Bytes(bytes)));
            }
        };
        let count = until.saturating_sub(given[lacking]);
        self.streams[lacking].advance(count);
        Some((lacking, Piece::Missing(count)))
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

/// True for bytes that are too few to be told from the begin of an A-ASSOCIATE-RQ, or of TLS.
fn may_be_request(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(1) => bytes.len() < 6,
        Some(0x16) => bytes.len() < 2,
        _ => bytes.is_empty(),
    }
}

/// What comes out of a direction.
enum Piece {
    Bytes(Vec<u8>),
    Missing(u64),
}

impl Stream {
    /// Where in this direction stands what the sender of a segment of the other one awaits; 0 where that
    /// says nothing.
    fn place_of(&self, segment: &Segment<'_>) -> u64 {
        let (Some(next), Some(acknowledged)) = (self.next, segment.acknowledged) else { return 0 };
        let forward = u64::from(acknowledged.wrapping_sub(next));
        if forward > AHEAD_MAX {
            return 0;
        }
        // FIN has a number of its own.
        (self.given + forward).min(self.end.unwrap_or(u64::MAX))
    }

    /// Takes a segment in, whose sender `had` so much of the other direction.
    fn put(&mut self, segment: &Segment<'_>, had: u64, number: u64) {
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
        // Of what came twice the first bytes count, and the first time.
        let known = self.ahead.entry(place);
        let ahead_bytes = &mut self.ahead_bytes;
        let known = known.or_insert_with(|| {
            *ahead_bytes += WAITING_BYTES;
            Waiting { bytes: Vec::new(), had, number }
        });
        if let Some(more) = bytes.get(known.bytes.len()..) {
            self.ahead_bytes += more.len();
            known.bytes.extend_from_slice(more);
        }
    }

    /// True where the next bytes are there, and their sender had no more than `given` of the other
    /// direction.
    fn is_ready(&self, given: u64) -> bool {
        let front = self.ahead.first_key_value();
        front.is_some_and(|(place, waiting)| *place <= self.given && waiting.had <= given)
    }

    /// The next bytes, where they are there.
    fn pop(&mut self) -> Option<Vec<u8>> {
        let (&place, _) = self.ahead.first_key_value()?;
        let mut bytes = self.ahead.remove(&place)?.bytes;
        self.ahead_bytes -= bytes.len() + WAITING_BYTES;
        let late = usize::try_from(self.given.saturating_sub(place)).unwrap_or(usize::MAX);
        bytes.drain(..late.min(bytes.len()));
        self.advance(bytes.len() as u64);
        Some(bytes)
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
            acknowledged: None,
            bytes,
        }
    }

    /// The other direction.
    fn answer(port: u16, sequence: u32, bytes: &[u8]) -> Segment<'_> {
        let one = segment(port, sequence, bytes);
        Segment { from: one.to, to: one.from, ..one }
    }

    /// Packets of the two directions swapped by who captured: each comes behind what it answers.
    #[test]
    fn directions_are_in_order() {
        let syn = |one: Segment<'static>| Segment { is_syn: true, ..one };
        let acks = |one: Segment<'static>, acknowledged| Segment {
            acknowledged: Some(acknowledged),
            ..one
        };
        let begin = [syn(segment(1, 99, b"")), syn(acks(answer(1, 499, b""), 100))];
        let talk = [
            acks(segment(1, 100, RQ), 500),
            acks(answer(1, 500, b"AC"), 110),
            acks(segment(1, 110, b"command"), 502),
            acks(segment(1, 117, b"data"), 502),
            acks(answer(1, 502, b"response"), 121),
        ];
        let shown = |order: &[usize]| {
            let mut reassembly = Reassembly::default();
            let (mut shown, at) = (Vec::new(), Moment::default());
            let mut show = |entry: Entry| match entry.what {
                What::Bytes(_, bytes) => shown.push(String::from_utf8_lossy(&bytes).into_owned()),
                What::Missing(side, count) => shown.push(format!("{} lacks {count}", side.name())),
                _ => {}
            };
            for one in begin.iter().chain(order.iter().map(|place| &talk[*place])) {
                reassembly.take(one, at, &mut show);
            }
            reassembly.finish(at, &mut show);
            assert_eq!(reassembly.ahead_bytes, 0);
            shown
        };
        let right = ["AC", "command", "data", "response"];
        for order in [[0, 1, 2, 3, 4], [0, 2, 3, 1, 4], [1, 0, 2, 4, 3], [4, 3, 2, 1, 0]] {
            assert_eq!(shown(&order)[1..], right, "{order:?}");
        }
        // What was acknowledged and is not there is missing, in its place.
        assert_eq!(shown(&[0, 2, 3, 4])[1..], ["acceptor lacks 2", "command", "data", "response"]);
        assert_eq!(shown(&[0, 1, 2, 4])[1..], ["AC", "command", "requestor lacks 4", "response"]);
    }

    /// What is missing is told when it cannot come any more, and not only at the end.
    #[test]
    fn edge_of_swapped_segments() {
        let mut reassembly = Reassembly::default();
        let at = Moment::default();
        let missing = std::cell::Cell::new(0);
        let mut count = |entry: Entry| {
            if let What::Missing(_, bytes) = entry.what {
                missing.set(missing.get() + bytes);
            }
        };
        let syn = |one: Segment<'static>| Segment { is_syn: true, ..one };
        reassembly.take(&syn(segment(1, 99, b"")), at, &mut count);
        reassembly.take(&syn(answer(1, 499, b"")), at, &mut count);
        reassembly.take(&segment(1, 100, RQ), at, &mut count);
        let mut sequence = 110;
        for number in 0..=SWAPPED_MAX {
            assert_eq!(missing.get(), 0, "{number}");
            let one = Segment { acknowledged: Some(503), ..segment(1, sequence, b"xx") };
            reassembly.take(&one, at, &mut count);
            sequence += 2;
        }
        assert_eq!((missing.get(), reassembly.missing()), (3, 3));
        assert_eq!(reassembly.ahead_bytes, 0);
    }

    /// A table full of other connections does not cost an association.
    #[test]
    fn others_are_forgotten_first() {
        let mut reassembly = Reassembly::default();
        let at = Moment::default();
        let bytes = std::cell::Cell::new(0);
        let mut count = |entry: Entry| {
            if let What::Bytes(_, more) = entry.what {
                bytes.set(bytes.get() + more.len());
            }
        };
        reassembly.take(&segment(1, 0, RQ), at, &mut count);
        for port in 0..2 * CAPTURE_STREAMS_MAX as u16 {
            reassembly.take(&segment(10_000 + port, 0, b"GET / HTTP/1.1"), at, &mut count);
            reassembly.take(&segment(10_000 + port, 14, b"more"), at, &mut count);
        }
        assert_eq!(reassembly.others.all, 2 * CAPTURE_STREAMS_MAX as u64);
        assert!(reassembly.flows.len() <= CAPTURE_STREAMS_MAX);
        assert_eq!(reassembly.ahead_bytes, 0);
        reassembly.take(&segment(1, RQ.len() as u32, b"goes on"), at, &mut count);
        assert_eq!(bytes.get(), RQ.len() + 7);
    }

    /// What comes behind the end of a connection is none, and costs no association that is quiet; the
    /// same ends may meet again.
    #[test]
    fn what_comes_late_is_no_connection() {
        let mut reassembly = Reassembly::default();
        let at = Moment::default();
        let (opened, bytes, over) = Default::default();
        let (opened, bytes, over): (std::cell::Cell<_>, std::cell::Cell<_>, std::cell::Cell<_>) =
            (opened, bytes, over);
        let mut count = |entry: Entry| match entry.what {
            What::Opened { .. } => opened.set(opened.get() + 1),
            What::Bytes(_, more) => bytes.set(bytes.get() + more.len()),
            What::Over(..) => over.set(over.get() + 1),
            _ => {}
        };
        let syn = |one: Segment<'static>| Segment { is_syn: true, ..one };
        let fin = |one: Segment<'static>| Segment { is_fin: true, ..one };
        reassembly.take(&segment(1, 0, RQ), at, &mut count);
        let all = 2 * CAPTURE_STREAMS_MAX as u16;
        for port in 10_000..10_000 + all {
            for one in [
                syn(segment(port, 99, b"")),
                syn(answer(port, 499, b"")),
                segment(port, 100, RQ),
                fin(segment(port, 110, b"")),
                fin(answer(port, 500, b"")),
                // The last acknowledgement, and bytes that came twice.
                segment(port, 111, b""),
                segment(port, 100, RQ),
                answer(port, 501, b""),
            ] {
                reassembly.take(&one, at, &mut count);
            }
        }
        assert_eq!((opened.get(), over.get()), (u32::from(all) + 1, u32::from(all)));
        assert_eq!((reassembly.others.all, reassembly.notices().len()), (0, 0));
        assert!(reassembly.flows.len() <= CAPTURE_STREAMS_MAX);
        let before: usize = bytes.get();
        reassembly.take(&segment(1, RQ.len() as u32, b"goes on"), at, &mut count);
        assert_eq!(bytes.get(), before + 7);
        let again = 10_000 + all - 1;
        reassembly.take(&syn(segment(again, 7000, b"")), at, &mut count);
        reassembly.take(&segment(again, 7001, RQ), at, &mut count);
        assert_eq!(opened.get(), u32::from(all) + 2);
    }

    /// However its first bytes are cut, an A-ASSOCIATE-RQ begins an association; less than that does not.
    #[test]
    fn first_bytes_cut_anywhere() {
        for cut in 1..RQ.len() {
            let mut reassembly = Reassembly::default();
            let (mut bytes, at) = (Vec::new(), Moment::default());
            let mut keep = |entry: Entry| {
                if let What::Bytes(_, more) = entry.what {
                    bytes.extend(more);
                }
            };
            for at_once in [1, cut] {
                let mut sequence = 0;
                for piece in RQ.chunks(at_once) {
                    let port = 1 + at_once as u16;
                    reassembly.take(&segment(port, sequence, piece), at, &mut keep);
                    sequence += piece.len() as u32;
                }
                if cut == 1 {
                    break;
                }
            }
            reassembly.finish(at, &mut keep);
            let times = if cut == 1 { 1 } else { 2 };
            assert_eq!((bytes.len(), reassembly.others.all), (times * RQ.len(), 0), "{cut}");
        }
        for (begin, answered) in [(&RQ[..5], false), (&RQ[..5], true), (b"\x16", false)] {
            let mut reassembly = Reassembly::default();
            let at = Moment::default();
            let mut none = |entry: Entry| panic!("{entry:?}");
            reassembly.take(&segment(1, 0, begin), at, &mut none);
            if answered {
                reassembly.take(&answer(1, 0, b"220 hello"), at, &mut none);
            }
            reassembly.finish(at, &mut none);
            assert_eq!((reassembly.others.all, reassembly.ahead_bytes), (1, 0));
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
        let block = vec![0; CAPTURE_AHEAD_BYTES_MAX / 4 - WAITING_BYTES];
        let mut sequence = RQ.len() as u32 + 7;
        for _ in 0..4 {
            reassembly.take(&segment(1, sequence, &block), at, &mut count);
            sequence += block.len() as u32;
        }
        assert_eq!(reassembly.ahead_bytes, CAPTURE_AHEAD_BYTES_MAX);
        reassembly.take(&segment(1, sequence, b"x"), at, &mut count);
        assert_eq!(reassembly.ahead_bytes, 0);
        assert_eq!((missing, bytes), (7, RQ.len() + 4 * block.len() + 1));
    }

    /// limits::CAPTURE_AHEAD_BYTES_ALL_MAX and CAPTURE_STREAMS_MAX, over all connections.
    #[test]
    fn edges_over_all_connections() {
        let mut reassembly = Reassembly::default();
        let at = Moment::default();
        let block = vec![0; CAPTURE_AHEAD_BYTES_MAX - WAITING_BYTES];
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
        assert_eq!(reassembly.ahead_bytes, 0);
        assert!(reassembly.flows.values().all(|flow| flow.kind == Kind::Other));
    }
}
