//! Bytes ⇄ records of a recording.
//!
//! `RECORDING.md` gives every byte. All numbers are big-endian. A record has a checksum of its header
//! and one of its content, so that a damaged content costs that record only, and a damaged length is
//! never believed. Memory only; called by `recording::file` and by the fuzz target.

use xxhash_rust::xxh3::xxh3_64;

use super::{About, Ending, Entry, Moment, Reason, Side, What};
use crate::limits::{RECORDING_RECORD_BYTES_MAX, RECORDING_TEXT_BYTES_MAX};

/// Bytes before the first record.
pub const FILE_HEADER_BYTES: usize = 32;
/// Bytes of a record before its content.
pub const RECORD_HEADER_BYTES: usize = 48;
/// The first seven bytes; the eighth is the version.
const MAGIC: &[u8; 7] = b"DCMFREC";
/// The version that is written, and the only one that is read.
pub const VERSION: u8 = 1;

const FLAG_LEFT_OUT: u32 = 1;
const FLAG_REPLACED: u32 = 2;
const FLAG_MASKED: u32 = 4;

/// Why bytes are no recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Other bytes stand at the beginning.
    NotARecording,
    /// Of a version that this program does not know.
    Version(u8),
    /// The header does not fit its checksum.
    Damaged,
}

/// True when `bytes` begin as a recording does.
pub fn is_recording(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The header of a file.
pub fn encode_file_header(about: About) -> [u8; FILE_HEADER_BYTES] {
    let mut out = [0; FILE_HEADER_BYTES];
    let flags = [
        (about.has_left_out, FLAG_LEFT_OUT),
        (about.is_replaced, FLAG_REPLACED),
        (about.is_masked, FLAG_MASKED),
    ];
    let flags = flags.iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, flag)| all | flag);
    out[..7].copy_from_slice(MAGIC);
    out[7] = VERSION;
    out[8..16].copy_from_slice(&about.begun_wall_ns.to_be_bytes());
    out[16..20].copy_from_slice(&flags.to_be_bytes());
    let sum = xxh3_64(&out[..24]);
    out[24..].copy_from_slice(&sum.to_be_bytes());
    out
}

/// What the header of a file says.
///
/// # Errors
///
/// See [`HeaderError`].
pub fn decode_file_header(bytes: &[u8; FILE_HEADER_BYTES]) -> Result<About, HeaderError> {
    if !is_recording(bytes) {
        return Err(HeaderError::NotARecording);
    }
    let mut fields = Fields(bytes.get(7..).unwrap_or_default());
    let version = fields.u8();
    if version != Some(VERSION) {
        return Err(HeaderError::Version(version.unwrap_or_default()));
    }
    let (begun, flags, _, sum) = (fields.u64(), fields.u32(), fields.u32(), fields.u64());
    if sum != Some(xxh3_64(&bytes[..24])) {
        return Err(HeaderError::Damaged);
    }
    let flags = flags.unwrap_or_default();
    Ok(About {
        begun_wall_ns: begun.unwrap_or_default(),
        has_left_out: flags & FLAG_LEFT_OUT != 0,
        is_replaced: flags & FLAG_REPLACED != 0,
        is_masked: flags & FLAG_MASKED != 0,
    })
}

/// Numbers of records.
mod kind {
    pub const OPENED: u8 = 1;
    pub const BYTES: [u8; 2] = [2, 3];
    pub const LEFT_OUT: [u8; 2] = [4, 5];
    pub const MISSING: [u8; 2] = [6, 7];
    pub const END: [u8; 2] = [8, 9];
    pub const OVER: u8 = 10;
    pub const END_OF_RECORDING: u8 = 11;
}

/// The header of a record, whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of its content; within the bound.
    pub content_bytes: usize,
    /// What it is.
    pub kind: u8,
    connection: u64,
    at: Moment,
    sum: u64,
}

/// A record's content, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An entry.
    Entry(Entry),
    /// The recording ends here, in order; true where it had reached its bound.
    End {
        /// It had reached its bound.
        is_full: bool,
    },
    /// A kind that this version does not know.
    Unknown(u8),
}

/// Appends a record to `out`. Bytes beyond `RECORDING_RECORD_BYTES_MAX` are the caller's mistake: it
/// gives them in parts.
pub fn encode(entry: &Entry, out: &mut Vec<u8>) {
    let start = reserve_header(out);
    let kind = match &entry.what {
        What::Opened { requestor, acceptor } => {
            put_text(out, requestor);
            put_text(out, acceptor);
            kind::OPENED
        }
        What::Bytes(side, bytes) => {
            debug_assert!(bytes.len() <= RECORDING_RECORD_BYTES_MAX);
            out.extend_from_slice(bytes);
            kind::BYTES[side.index()]
        }
        What::LeftOut(side, count) => {
            out.extend_from_slice(&count.to_be_bytes());
            kind::LEFT_OUT[side.index()]
        }
        What::Missing(side, count) => {
            out.extend_from_slice(&count.to_be_bytes());
            kind::MISSING[side.index()]
        }
        What::End(side, ending) => {
            out.push(u8::from(*ending == Ending::Reset));
            kind::END[side.index()]
        }
        What::Over(reason, text) => {
            out.push(*reason as u8);
            put_text(out, text);
            kind::OVER
        }
    };
    finish_header(out, start, kind, entry.connection, entry.at);
}

/// Appends the record that ends a recording.
pub fn encode_end(at: Moment, is_full: bool, out: &mut Vec<u8>) {
    let start = reserve_header(out);
    out.push(u8::from(is_full));
    finish_header(out, start, kind::END_OF_RECORDING, 0, at);
}

fn reserve_header(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + RECORD_HEADER_BYTES, 0);
    start
}

fn finish_header(out: &mut [u8], start: usize, kind: u8, connection: u64, at: Moment) {
    let (header, content) = out[start..].split_at_mut(RECORD_HEADER_BYTES);
    header[..4].copy_from_slice(&(content.len() as u32).to_be_bytes());
    header[4] = kind;
    header[8..16].copy_from_slice(&connection.to_be_bytes());
    header[16..24].copy_from_slice(&at.monotonic_ns.to_be_bytes());
    header[24..32].copy_from_slice(&at.wall_ns.to_be_bytes());
    header[32..40].copy_from_slice(&xxh3_64(content).to_be_bytes());
    let sum = xxh3_64(&header[..40]);
    header[40..].copy_from_slice(&sum.to_be_bytes());
}

/// A text with its length, cut at its bound.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(RECORDING_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The header of a record; `Err` says why it is none.
///
/// # Errors
///
/// What is wrong, in words.
pub fn decode_header(bytes: &[u8; RECORD_HEADER_BYTES]) -> Result<RecordHeader, &'static str> {
    let mut fields = Fields(bytes);
    let (length, kind, _, _) = (fields.u32(), fields.u8(), fields.u8(), fields.u16());
    let (connection, monotonic_ns, wall_ns) = (fields.u64(), fields.u64(), fields.u64());
    let (sum, own) = (fields.u64(), fields.u64());
    if own != Some(xxh3_64(&bytes[..40])) {
        return Err("a record's header that does not fit its checksum");
    }
    let content_bytes = length.unwrap_or_default() as usize;
    if content_bytes > RECORDING_RECORD_BYTES_MAX {
        return Err("a record that is longer than any may be");
    }
    let at = Moment {
        monotonic_ns: monotonic_ns.unwrap_or_default(),
        wall_ns: wall_ns.unwrap_or_default(),
    };
    Ok(RecordHeader {
        content_bytes,
        kind: kind.unwrap_or_default(),
        connection: connection.unwrap_or_default(),
        at,
        sum: sum.unwrap_or_default(),
    })
}

/// What a record holds; `None` where `content` does not fit its checksum, or says nothing.
pub fn decode(header: &RecordHeader, content: Vec<u8>) -> Option<Record> {
    if xxh3_64(&content) != header.sum {
        return None;
    }
    let side_of =
        |kinds: [u8; 2]| Side::BOTH.into_iter().find(|side| kinds[side.index()] == header.kind);
    let mut fields = Fields(&content);
    let what = if header.kind == kind::OPENED {
        What::Opened { requestor: fields.text()?, acceptor: fields.text()? }
    } else if let Some(side) = side_of(kind::BYTES) {
        What::Bytes(side, content)
    } else if let Some(side) = side_of(kind::LEFT_OUT) {
        What::LeftOut(side, fields.u64()?)
    } else if let Some(side) = side_of(kind::MISSING) {
        What::Missing(side, fields.u64()?)
    } else if let Some(side) = side_of(kind::END) {
        What::End(side, if fields.u8()? == 0 { Ending::Closed } else { Ending::Reset })
    } else if header.kind == kind::OVER {
        let reason = match fields.u8()? {
            0 => Reason::Ended,
            1 => Reason::NotConnected,
            2 => Reason::Stopped,
            _ => return None,
        };
        What::Over(reason, fields.text()?)
    } else if header.kind == kind::END_OF_RECORDING {
        return Some(Record::End { is_full: fields.u8()? != 0 });
    } else {
        return Some(Record::Unknown(header.kind));
    };
    Some(Record::Entry(Entry { connection: header.connection, at: header.at, what }))
}

/// What a record stands for whose content is damaged: bytes are known to be missing.
pub fn instead_of_damaged(header: &RecordHeader) -> Option<Entry> {
    let side = Side::BOTH.into_iter().find(|side| kind::BYTES[side.index()] == header.kind)?;
    let what = What::Missing(side, header.content_bytes as u64);
    Some(Entry { connection: header.connection, at: header.at, what })
}

/// Fields in order; `None` beyond the end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (head, rest) = self.0.split_first_chunk::<COUNT>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let at = Moment { monotonic_ns: 1, wall_ns: u64::MAX };
        let opened = What::Opened { requestor: "127.0.0.1:1".into(), acceptor: "[::1]:104".into() };
        let mut whats = vec![opened, What::Over(Reason::NotConnected, "refused".into())];
        for side in Side::BOTH {
            whats.push(What::Bytes(side, b"bytes".to_vec()));
            whats.push(What::Bytes(side, Vec::new()));
            whats.push(What::LeftOut(side, 7));
            whats.push(What::Missing(side, u64::MAX));
            whats.push(What::End(side, Ending::Closed));
            whats.push(What::End(side, Ending::Reset));
        }
        let entry = |(connection, what)| Entry { connection, at, what };
        (1..).zip(whats).map(entry).collect()
    }

    fn read(bytes: &[u8]) -> Option<Record> {
        let (header, content) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>()?;
        let header = decode_header(header).ok()?;
        assert!(header.content_bytes <= RECORDING_RECORD_BYTES_MAX);
        decode(&header, content.get(..header.content_bytes)?.to_vec())
    }

    #[test]
    fn what_is_written_is_read() {
        for entry in entries() {
            let mut bytes = Vec::new();
            encode(&entry, &mut bytes);
            assert_eq!(read(&bytes), Some(Record::Entry(entry)));
        }
        for is_full in [false, true] {
            let mut bytes = Vec::new();
            encode_end(Moment::default(), is_full, &mut bytes);
            assert_eq!(read(&bytes), Some(Record::End { is_full }));
        }
        let about =
            About { begun_wall_ns: 5, has_left_out: true, is_replaced: false, is_masked: true };
        assert_eq!(decode_file_header(&encode_file_header(about)), Ok(about));
    }

    /// No byte of a record may change without being noticed.
    #[test]
    fn every_flipped_byte_is_noticed() {
        for entry in entries() {
            let mut bytes = Vec::new();
            encode(&entry, &mut bytes);
            for at in 0..bytes.len() {
                bytes[at] ^= 0x10;
                assert_eq!(read(&bytes), None, "{entry:?} at {at}");
                bytes[at] ^= 0x10;
            }
        }
        let mut header = encode_file_header(About::default());
        for at in 0..header.len() {
            header[at] ^= 1;
            assert!(decode_file_header(&header).is_err(), "{at}");
            header[at] ^= 1;
        }
    }

    /// limits::RECORDING_RECORD_BYTES_MAX and RECORDING_TEXT_BYTES_MAX.
    #[test]
    fn edges_of_a_record() {
        let at = Moment::default();
        let bytes = vec![0; RECORDING_RECORD_BYTES_MAX];
        let what = What::Bytes(Side::Requestor, bytes.clone());
        let mut out = Vec::new();
        encode(&Entry { connection: 1, at, what }, &mut out);
        assert!(matches!(read(&out), Some(Record::Entry(_))));
        let mut out = vec![0; RECORD_HEADER_BYTES + RECORDING_RECORD_BYTES_MAX + 1];
        finish_header(&mut out, 0, kind::BYTES[0], 1, at);
        assert_eq!(read(&out), None);
        let long = "ä".repeat(RECORDING_TEXT_BYTES_MAX);
        let what = What::Over(Reason::Ended, long);
        let mut out = Vec::new();
        encode(&Entry { connection: 1, at, what }, &mut out);
        let Some(Record::Entry(Entry { what: What::Over(_, text), .. })) = read(&out) else {
            panic!("no entry");
        };
        assert!(text.len() <= RECORDING_TEXT_BYTES_MAX && text.ends_with('ä'));
    }
}
