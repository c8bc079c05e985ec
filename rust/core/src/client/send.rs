//! One C-STORE message onto a connection: command, then a data set from memory or from a stream.
//!
//! A message that fits one PDU leaves in one write, copied together; a larger one in vectored
//! writes of about [`MESSAGE_READ_BUFFER_BYTES`], headers between borrowed fragments. `sendfile`
//! was weighed and left: DCMTK's peers take 16 KiB at a time, so that it would need two system
//! calls a PDU where a large read and one vectored write serve sixteen. Source: PS3.8 §9.3.5 and
//! Annex E. Called by `client::Requestor`, and by `server::retrieve` for C-GET, whose sub-operations
//! travel on the requestor's own association.

use std::io::{self, IoSlice, Read};

use crate::limits::MESSAGE_READ_BUFFER_BYTES;
use crate::net::tcp::{Connection, WriteEnd};
use crate::ul::pdv::{FragmentKind, Fragmenter, data_header};

/// Data sets up to this length are copied behind their command, so that both leave in one piece.
const COPIED_BYTES_MAX: usize = 64 * 1024;
/// The kernel takes so many slices in one vectored write; even, see `send_block`.
const SLICES_MAX: usize = 1024;

/// A data set to send.
pub enum DataSet<'a> {
    /// All of it.
    Memory(&'a [u8]),
    /// What the stream gives until it ends. One that fails before its first block is full has
    /// sent nothing; the last fragment leaves only after the stream's end was seen.
    Stream(&'a mut dyn Read),
}

/// Why a message was not sent.
#[derive(Debug)]
pub enum SendError {
    /// The connection.
    Write(WriteEnd),
    /// The stream; nothing was sent, and the association goes on.
    Unsent(io::Error),
    /// The stream, in the middle of the message: it can be neither ended nor taken back.
    Cut(io::Error),
}

impl From<WriteEnd> for SendError {
    fn from(end: WriteEnd) -> Self {
        Self::Write(end)
    }
}

/// Sends `head`, the PDUs of a command, and the data set that it announces.
///
/// `head` is emptied; kept between messages it costs no allocation.
///
/// # Errors
///
/// See [`SendError`].
pub fn send_message(
    connection: &mut Connection,
    fragmenter: Fragmenter,
    context_id: u8,
    head: &mut Vec<u8>,
    data_set: DataSet<'_>,
) -> Result<(), SendError> {
    let result = match data_set {
        DataSet::Memory(bytes) if bytes.len() <= COPIED_BYTES_MAX => {
            fragmenter.append(head, context_id, FragmentKind::DataSet, bytes);
            connection.write(head).map_err(SendError::Write)
        }
        DataSet::Memory(bytes) => {
            let sent = send_block(connection, fragmenter, head, context_id, bytes, true);
            sent.map_err(SendError::Write)
        }
        DataSet::Stream(source) => send_stream(connection, fragmenter, head, context_id, source),
    };
    head.clear();
    result
}

fn send_stream(
    connection: &mut Connection,
    fragmenter: Fragmenter,
    head: &[u8],
    context_id: u8,
    source: &mut dyn Read,
) -> Result<(), SendError> {
    // Whole fragments per block, so that only the last one of the data set is short; and one byte
    // more, which tells whether another block follows.
    let block_bytes = block_bytes(fragmenter);
    let mut block = vec![0; block_bytes + 1];
    let (mut filled, mut is_first) = (0, true);
    loop {
        while filled < block.len() {
            match source.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_first => return Err(SendError::Unsent(error)),
                Err(error) => return Err(SendError::Cut(error)),
            }
        }
        let is_end = filled < block.len();
        let head = if is_first { head } else { &[] };
        let bytes = &block[..filled.min(block_bytes)];
        send_block(connection, fragmenter, head, context_id, bytes, is_end)?;
        if is_end {
            return Ok(());
        }
        block[0] = block[block_bytes];
        (filled, is_first) = (1, false);
    }
}

/// Bytes of a data set per write: whole fragments.
pub(super) fn block_bytes(fragmenter: Fragmenter) -> usize {
    let fragment_bytes = fragmenter.fragment_bytes_max();
    (MESSAGE_READ_BUFFER_BYTES / fragment_bytes).max(1) * fragment_bytes
}

/// Vectored writes: what goes ahead, then headers and borrowed fragments in turn.
pub(super) fn send_block(
    connection: &mut Connection,
    fragmenter: Fragmenter,
    head: &[u8],
    context_id: u8,
    block: &[u8],
    is_end: bool,
) -> Result<(), WriteEnd> {
    let pieces: Vec<_> = if block.is_empty() {
        vec![(data_header(context_id, FragmentKind::DataSet, is_end, 0), block)]
    } else {
        let count = block.len().div_ceil(fragmenter.fragment_bytes_max());
        block
            .chunks(fragmenter.fragment_bytes_max())
            .enumerate()
            .map(|(at, fragment)| {
                let is_last = is_end && at + 1 == count;
                let header =
                    data_header(context_id, FragmentKind::DataSet, is_last, fragment.len());
                (header, fragment)
            })
            .collect()
    };
    // An even number goes ahead, so that no write ends between a header and its fragment: between
    // two writes an abort may be sent.
    let mut slices = Vec::with_capacity(2 + pieces.len() * 2);
    slices.extend([IoSlice::new(head), IoSlice::new(&[])]);
    for (header, fragment) in &pieces {
        slices.push(IoSlice::new(header));
        slices.push(IoSlice::new(fragment));
    }
    for part in slices.chunks_mut(SLICES_MAX) {
        connection.write_all(part)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::{TransportOptions, listen_on};
    use crate::ul::pdv::split_first;
    use std::net::TcpStream;
    use std::thread;

    fn pair() -> (Connection, TcpStream) {
        let listener = listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        (Connection::new(stream, TransportOptions::default()).unwrap(), peer)
    }

    /// The data set in `sent`, which begins with `head`, and how many last fragments there are.
    fn received(sent: &[u8], head: &[u8]) -> (Vec<u8>, usize) {
        let mut rest = sent.strip_prefix(head).unwrap();
        let (mut joined, mut ends) = (Vec::new(), 0);
        while let Some((header, after)) = rest.split_first_chunk::<6>() {
            let length = u32::from_be_bytes(*header.last_chunk().unwrap()) as usize;
            let (body, after) = after.split_at(length);
            let (pdv, nothing) = split_first(body).unwrap();
            assert!(nothing.is_empty() && ends == 0);
            joined.extend_from_slice(pdv.fragment);
            ends += usize::from(pdv.is_last);
            rest = after;
        }
        (joined, ends)
    }

    /// Memory and stream arrive alike, at and around every size where something changes.
    #[test]
    fn every_size_arrives() {
        let fragmenter = Fragmenter::new(Some(16_384)).unwrap();
        let block = block_bytes(fragmenter);
        let largest = 2 * block + 1;
        let data: Vec<u8> = (0..largest).map(|at| (at % 251) as u8).collect();
        for size in [0, 1, 16_378, 16_379, 65_536, 65_537, block - 1, block, block + 1, largest] {
            for is_stream in [false, true] {
                let (mut connection, mut peer) = pair();
                let reader = thread::spawn(move || {
                    let mut all = Vec::new();
                    peer.read_to_end(&mut all).unwrap();
                    all
                });
                let mut stream = &data[..size];
                let source = if is_stream {
                    DataSet::Stream(&mut stream)
                } else {
                    DataSet::Memory(&data[..size])
                };
                let mut head = b"head".to_vec();
                send_message(&mut connection, fragmenter, 1, &mut head, source).unwrap();
                assert!(head.is_empty());
                drop(connection);
                let (joined, ends) = received(&reader.join().unwrap(), b"head");
                assert_eq!((joined.as_slice(), ends), (&data[..size], 1), "{size} {is_stream}");
            }
        }
    }

    struct Failing(usize);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.0);
            if count == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.0 -= count;
            Ok(count)
        }
    }

    /// A stream that fails in its first block has sent nothing; later, the last fragment is missing.
    #[test]
    fn a_stream_that_fails() {
        let fragmenter = Fragmenter::new(Some(16_384)).unwrap();
        let block = block_bytes(fragmenter);
        for (good, is_unsent) in [(0, true), (block, true), (block + 1, false), (2 * block, false)]
        {
            let (mut connection, mut peer) = pair();
            let reader = thread::spawn(move || {
                let mut all = Vec::new();
                peer.read_to_end(&mut all).unwrap();
                all
            });
            let mut source = Failing(good);
            let mut head = b"head".to_vec();
            let source = DataSet::Stream(&mut source);
            let error = send_message(&mut connection, fragmenter, 1, &mut head, source);
            drop(connection);
            let sent = reader.join().unwrap();
            match error.unwrap_err() {
                SendError::Unsent(_) => assert!(is_unsent && sent.is_empty(), "{good}"),
                SendError::Cut(_) => {
                    assert!(!is_unsent);
                    assert_eq!(received(&sent, b"head").1, 0);
                }
                SendError::Write(end) => panic!("{end}"),
            }
        }
    }
}
