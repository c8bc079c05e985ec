//! A secure connection: the handshake, and bytes in and out.
//!
//! OpenSSL reads and writes through a [`Transport`], which never lets it wait longer than a slice:
//! however slowly a peer drips, the caller's deadline and stop flag are looked at. What is sent is
//! gathered into whole records, and records into few writes. Reading takes every record that is
//! there, so that the loops above get blocks as large as without TLS. Called by `net::tcp`.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Error, ErrorCode, Ssl, SslStream};

use super::details::details;
use super::fault::{Evidence, Story, TlsFault, subject_and_issuer};
use super::sessions::Sessions;
use super::{Role, Terms, TlsContext};
use crate::limits::{TLS_READ_BYTES, TLS_RECORD_BYTES_MAX, TLS_WRITE_BYTES};
use crate::net::tcp::{SLICE, receive_now};

/// Why there is no secure connection.
#[derive(Debug)]
pub enum HandshakeEnd {
    /// The peer closed before it sent anything.
    Closed,
    /// The deadline passed.
    TimedOut,
    /// The process is asked to stop.
    Stopped,
    /// One side refused the other, or the connection broke.
    Refused(TlsFault),
}

impl fmt::Display for HandshakeEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => formatter.write_str("the peer closed the connection"),
            Self::TimedOut => formatter.write_str("no handshake in time"),
            Self::Stopped => formatter.write_str("this process is stopping"),
            Self::Refused(fault) => fmt::Display::fmt(fault, formatter),
        }
    }
}

/// What OpenSSL reads from and writes to.
#[derive(Debug)]
struct Transport {
    stream: Arc<TcpStream>,
    /// Reads end then, with or without bytes; `None` reads what is there already.
    until: Option<Instant>,
    /// Where records are gathered while a message is written; elsewhere they leave at once.
    gathered: Option<Vec<u8>>,
    /// What the peer said first.
    first_bytes: [u8; 8],
    first_count: usize,
    /// What was received and OpenSSL has not asked for yet: it asks for five bytes of a record, then
    /// for the rest, and each would be a system call.
    ahead: Ahead,
}

/// Bytes received ahead of what was asked for. No memory is held while a peer is silent.
#[derive(Debug, Default)]
struct Ahead {
    bytes: Vec<u8>,
    given: usize,
    received: usize,
}

impl Ahead {
    /// Moves what there is into `buffer`.
    fn give(&mut self, buffer: &mut [u8]) -> usize {
        let ready = self.bytes.get(self.given..self.received).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.given += count;
        count
    }

    /// Receives as much as there is, by one call of `receive`.
    fn fill(&mut self, receive: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        self.bytes.resize(TLS_READ_BYTES, 0);
        (self.given, self.received) = (0, 0);
        self.received = receive(&mut self.bytes)?;
        Ok(())
    }
}

impl Transport {
    /// Receives what the peer sent, as much as there is.
    fn receive(&mut self) -> io::Result<()> {
        loop {
            let Self { stream, ahead, .. } = self;
            let result = match self.until {
                // A peer that drips bytes must not keep the library from coming back.
                Some(until) if Instant::now() >= until => Err(io::ErrorKind::WouldBlock.into()),
                Some(_) => ahead.fill(|buffer| (&**stream).read(buffer)),
                None => ahead.fill(|buffer| receive_now(stream, buffer)),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What an expired slice is called differs by system.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
                    ) =>
                {
                    if self.until.is_some() {
                        self.ahead = Ahead::default();
                    }
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                result => return result,
            }
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = self.ahead.give(buffer);
        if count == 0 {
            self.receive()?;
            count = self.ahead.give(buffer);
        }
        if self.first_count < self.first_bytes.len() {
            let room = &mut self.first_bytes[self.first_count..];
            let taken = room.len().min(count);
            room[..taken].copy_from_slice(&buffer[..taken]);
            self.first_count += taken;
        }
        Ok(count)
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(gathered) = &mut self.gathered {
            gathered.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        loop {
            match (&*self.stream).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a read of a slice gave.
pub(in crate::net) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The peer will send nothing more.
    Closed,
    /// TLS or TCP failed.
    Broken(io::Error),
}

/// A connection after its handshake, or in it.
pub(in crate::net) struct TlsStream {
    ssl: SslStream<Transport>,
    story: Index<Ssl, Mutex<Story>>,
    terms: Arc<Terms>,
    role: Role,
    sessions: Option<Arc<Sessions>>,
    is_established: bool,
    /// The end that was met behind bytes that had to be given first.
    ended: Option<Received>,
    /// Plaintext on its way into a record.
    plain: Vec<u8>,
    /// Records on their way to the socket; kept, so that none are allocated per message.
    records: Vec<u8>,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsStream").field("role", &self.role).finish_non_exhaustive()
    }
}

impl TlsStream {
    pub(in crate::net) fn new(
        context: &TlsContext,
        stream: Arc<TcpStream>,
    ) -> Result<Self, ErrorStack> {
        let mut ssl = Ssl::new(&context.context)?;
        ssl.set_ex_data(context.story, Mutex::new(Story::default()));
        match context.role {
            Role::Acceptor => ssl.set_accept_state(),
            Role::Requestor => {
                ssl.set_connect_state();
                if let Some(name) = &context.server_name {
                    ssl.set_hostname(name)?;
                }
                if let (Some(sessions), Ok(peer)) = (&context.sessions, stream.peer_addr()) {
                    sessions.offer(&mut ssl, peer);
                }
            }
        }
        let transport = Transport {
            stream,
            until: None,
            gathered: None,
            first_bytes: [0; 8],
            first_count: 0,
            ahead: Ahead::default(),
        };
        Ok(Self {
            ssl: SslStream::new(ssl, transport)?,
            story: context.story,
            terms: Arc::clone(&context.terms),
            role: context.role,
            sessions: context.sessions.clone(),
            is_established: false,
            ended: None,
            plain: Vec::new(),
            records: Vec::new(),
        })
    }

    /// Goes on with the handshake for a slice; `None` while it is not done.
    pub(in crate::net) fn handshake_slice(&mut self) -> Option<Result<(), HandshakeEnd>> {
        self.ssl.get_mut().until = Some(Instant::now() + SLICE);
        let error = match self.ssl.do_handshake() {
            Ok(()) => {
                self.is_established = true;
                if let Some(sessions) = &self.sessions {
                    sessions.done(self.ssl.ssl());
                }
                return Some(Ok(()));
            }
            Err(error) => error,
        };
        if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) {
            return None;
        }
        let has_begun = self.ssl.get_ref().first_count > 0;
        Some(Err(match error.io_error() {
            Some(_) => match error.into_io_error() {
                Ok(_) if !has_begun && self.role == Role::Acceptor => HandshakeEnd::Closed,
                Ok(error) => HandshakeEnd::Refused(TlsFault::of_connection(&error, self.role)),
                Err(error) => HandshakeEnd::Refused(self.fault(&error)),
            },
            None if error.ssl_error().is_none() && !has_begun && self.role == Role::Acceptor => {
                HandshakeEnd::Closed
            }
            None => HandshakeEnd::Refused(self.fault(&error)),
        }))
    }

    fn fault(&self, error: &Error) -> TlsFault {
        let transport = self.ssl.get_ref();
        let ssl = self.ssl.ssl();
        Evidence {
            ssl,
            error,
            story: ssl.ex_data(self.story),
            terms: &self.terms,
            role: self.role,
            is_established: self.is_established,
            first_bytes: &transport.first_bytes[..transport.first_count],
        }
        .fault()
    }

    /// Version, suite and peer, for the log.
    pub(in crate::net) fn description(&self) -> String {
        let ssl = self.ssl.ssl();
        let suite = ssl.current_cipher();
        let suite =
            suite.map_or("no suite", |suite| suite.standard_name().unwrap_or_else(|| suite.name()));
        let peer = match ssl.peer_certificate() {
            Some(certificate) => format!("certificate {}", subject_and_issuer(&certificate)),
            None => "no certificate".to_owned(),
        };
        let resumed = if ssl.session_reused() { ", resumed" } else { "" };
        format!("{}, {suite}{resumed}; the peer has {peer}", ssl.version_str())
    }

    /// The same in all details, as DCMTK's `-d` has them.
    pub(in crate::net) fn details(&self) -> String {
        details(self.ssl.ssl())
    }

    /// Reads what is there, waiting for a slice when `is_waiting`.
    pub(in crate::net) fn read_slice(&mut self, buffer: &mut [u8], is_waiting: bool) -> Received {
        if let Some(ended) = self.ended.take() {
            return ended;
        }
        self.ssl.get_mut().until = is_waiting.then(|| Instant::now() + SLICE);
        let mut filled = 0;
        loop {
            match self.ssl.ssl_read(&mut buffer[filled..]) {
                Ok(count) => filled += count,
                Err(error) => match self.classified(error) {
                    Received::Nothing => break,
                    ended if filled == 0 => return ended,
                    ended => {
                        self.ended = Some(ended);
                        break;
                    }
                },
            }
            if filled == buffer.len() {
                break;
            }
            // The rest only as far as it is there.
            self.ssl.get_mut().until = None;
        }
        if filled == 0 { Received::Nothing } else { Received::Bytes(filled) }
    }

    fn classified(&self, error: Error) -> Received {
        match error.code() {
            ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => Received::Nothing,
            ErrorCode::ZERO_RETURN => Received::Closed,
            _ => match error.into_io_error() {
                Ok(error) => Received::Broken(error),
                // The end without farewell: PDUs have their own, and miss it.
                Err(error) if error.ssl_error().is_none() => Received::Closed,
                Err(error) => Received::Broken(io::Error::other(self.fault(&error))),
            },
        }
    }

    /// Gives what is read next to `write`, as records.
    pub(in crate::net) fn seal<E>(
        &mut self,
        slices: &[IoSlice<'_>],
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
        broken: impl Fn(io::Error) -> E,
    ) -> Result<(), E> {
        let mut records = std::mem::take(&mut self.records);
        let mut plain = std::mem::take(&mut self.plain);
        let result = (|| {
            for slice in slices {
                let mut rest: &[u8] = slice;
                while !rest.is_empty() {
                    // A record of the largest size leaves without a copy.
                    if plain.is_empty() && rest.len() >= TLS_RECORD_BYTES_MAX {
                        let (whole, after) = rest.split_at(TLS_RECORD_BYTES_MAX);
                        self.encrypt(whole, &mut records).map_err(&broken)?;
                        rest = after;
                    } else {
                        let room = TLS_RECORD_BYTES_MAX - plain.len();
                        let (part, after) = rest.split_at(room.min(rest.len()));
                        plain.extend_from_slice(part);
                        rest = after;
                        if plain.len() == TLS_RECORD_BYTES_MAX {
                            self.encrypt(&plain, &mut records).map_err(&broken)?;
                            plain.clear();
                        }
                    }
                    if records.len() >= TLS_WRITE_BYTES {
                        write(&records)?;
                        records.clear();
                    }
                }
            }
            if !plain.is_empty() {
                self.encrypt(&plain, &mut records).map_err(&broken)?;
            }
            if records.is_empty() { Ok(()) } else { write(&records) }
        })();
        // A large message's buffers are not kept for the small ones that follow.
        records.clear();
        plain.clear();
        if records.capacity() <= TLS_RECORD_BYTES_MAX {
            self.records = records;
        }
        self.plain = plain;
        result
    }

    /// Appends the record of `plain` to `records`.
    fn encrypt(&mut self, plain: &[u8], records: &mut Vec<u8>) -> io::Result<()> {
        self.ssl.get_mut().gathered = Some(std::mem::take(records));
        let mut rest = plain;
        let result = loop {
            match self.ssl.ssl_write(rest) {
                Ok(count) if count >= rest.len() => break Ok(()),
                Ok(count) => rest = &rest[count..],
                Err(error) => {
                    break Err(match error.into_io_error() {
                        Ok(error) => error,
                        Err(error) => io::Error::other(self.fault(&error)),
                    });
                }
            }
        };
        *records = self.ssl.get_mut().gathered.take().unwrap_or_default();
        result
    }

    /// Says that nothing more will be sent; a peer that does not listen is not waited for.
    pub(in crate::net) fn close_notify(&mut self) {
        if self.is_established {
            self.is_established = false;
            let _ = self.ssl.shutdown();
        }
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        self.close_notify();
    }
}
