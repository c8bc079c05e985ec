//! A TCP transport connection: options, deadlines, addresses.
//!
//! Blocking sockets with a short receive and send slice ([`SLICE`]): a wait costs one system call
//! as long as bytes flow, and every slice the deadline and the stop flag are looked at. TCP_NODELAY
//! is set unless the environment says otherwise (DIFFERENCES.md E1), and a message leaves in one
//! vectored write. A connection may be made secure ([`Connection::secure`]); nobody who reads or
//! writes notices. Called by `server` and `client`. Does not know PDUs.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
pub use std::net::{IpAddr, SocketAddr};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::tls::stream::{Received, TlsStream};
use super::tls::{HandshakeEnd, TlsContext, TlsFault};
use crate::limits::{
    CLOSE_TIMEOUT_S, DISCARD_BYTES_MAX, SLOWEST_PEER_BYTES_PER_S, WRITE_TIMEOUT_S,
};

/// How long one blocking call may last before deadlines and the stop flag are looked at. Short
/// enough for `--acse-timeout 1`, long enough that 500 idle associations cost under 1 % of a core.
pub const SLICE: Duration = Duration::from_millis(250);

/// Connections waiting to be accepted; DCMTK's tools use 50, bursts of hundreds are answered here.
const LISTEN_BACKLOG: i32 = 1024;

/// What the front end decided about every socket (`TCP_NODELAY`, `TCP_BUFFER_LENGTH`).
#[derive(Clone, Copy, Debug)]
pub struct TransportOptions {
    /// Switch Nagle's algorithm off; true unless `TCP_NODELAY=0`.
    pub no_delay: bool,
    /// Bytes of the kernel's send and receive buffers; `None` leaves them to the system.
    pub buffer_bytes: Option<usize>,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self { no_delay: true, buffer_bytes: None }
    }
}

/// Set once when the process is asked to stop, read by every loop.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<(AtomicU8, OnceLock<Instant>)>);

impl StopFlag {
    /// First request: finish what is in hand. Second request: stop now.
    pub fn raise(&self) {
        let (level, raised_at) = &*self.0;
        raised_at.get_or_init(Instant::now);
        let _ = level.fetch_update(Ordering::AcqRel, Ordering::Acquire, |level| {
            (level < 2).then_some(level + 1)
        });
    }

    /// Stop now, without a first request.
    pub fn raise_at_once(&self) {
        self.raise();
        self.raise();
    }

    /// True once a stop was asked for.
    pub fn is_raised(&self) -> bool {
        self.0.0.load(Ordering::Acquire) >= 1
    }

    /// True once a stop was asked for at least `patience` ago, or asked for twice.
    pub fn is_raised_since(&self, patience: Duration) -> bool {
        self.is_final()
            || self.is_raised() && self.0.1.get().is_some_and(|at| at.elapsed() >= patience)
    }

    /// True once it was asked for twice.
    pub fn is_final(&self) -> bool {
        self.0.0.load(Ordering::Acquire) >= 2
    }
}

/// Says whether a wait for the peer is to end ([`ReadEnd::Interrupted`], [`WriteEnd::Interrupted`]).
#[derive(Clone)]
pub struct Interrupt(Arc<dyn Fn() -> bool + Send + Sync>);

impl Interrupt {
    /// `asked` is called between reads and writes, some times a second, and has to be quick.
    pub fn new(asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(asked))
    }

    /// True when the wait is to end.
    pub fn is_due(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Interrupt")
    }
}

/// An [`Interrupt`], and when it was asked last: not for each of a thousand small messages.
#[derive(Debug)]
struct Patience {
    interrupt: Interrupt,
    asked: Instant,
}

impl Patience {
    fn is_over(&mut self) -> bool {
        // Half a slice: two slices in a row are never exactly one apart.
        if self.asked.elapsed() < SLICE / 2 {
            return false;
        }
        self.asked = Instant::now();
        self.interrupt.is_due()
    }
}

/// Why a wait for bytes ended without any.
#[derive(Debug)]
pub enum ReadEnd {
    /// The peer closed its side.
    Closed,
    /// The deadline passed.
    TimedOut,
    /// The process is asked to stop.
    Stopped,
    /// Whoever waits here does not want to any longer ([`Connection::interrupted_by`]).
    Interrupted,
    /// The connection is broken (reset, unreachable), or TLS ended it ([`ReadEnd::tls_fault`]).
    Broken(io::Error),
}

impl ReadEnd {
    /// Why TLS ended the connection, if it did.
    pub fn tls_fault(&self) -> Option<&TlsFault> {
        let Self::Broken(error) = self else { return None };
        error.get_ref()?.downcast_ref()
    }
}

/// Why bytes could not be sent.
#[derive(Debug)]
pub enum WriteEnd {
    /// The peer does not read: no byte accepted in time, or slower than the slowest peer allowed.
    TimedOut,
    /// Whoever waits here does not want to any longer ([`Connection::interrupted_by`]).
    Interrupted,
    /// The connection is broken.
    Broken(io::Error),
}

impl fmt::Display for WriteEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => formatter.write_str("the peer does not read"),
            Self::Interrupted => formatter.write_str("interrupted"),
            Self::Broken(error) => fmt::Display::fmt(error, formatter),
        }
    }
}

/// An established transport connection.
#[derive(Debug)]
pub struct Connection {
    stream: Arc<TcpStream>,
    peer: SocketAddr,
    tls: Option<Box<TlsStream>>,
    patience: Option<Patience>,
    /// A write ended in the middle: what would be sent next is no PDU for the peer.
    is_torn: bool,
}

impl Connection {
    /// Takes over an accepted or connected stream and sets its options.
    pub fn new(stream: TcpStream, options: TransportOptions) -> io::Result<Self> {
        let peer = canonical(stream.peer_addr()?);
        // A super-server may hand on a descriptor that does not wait; the loops here would spin on it.
        stream.set_nonblocking(false)?;
        stream.set_nodelay(options.no_delay)?;
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        if let Some(bytes) = options.buffer_bytes {
            let socket = socket2::SockRef::from(&stream);
            socket.set_recv_buffer_size(bytes)?;
            socket.set_send_buffer_size(bytes)?;
        }
        Ok(Self::over(Arc::new(stream), peer))
    }

    /// A connection on a handle whose own connection is gone; the socket's options stay.
    ///
    /// # Errors
    ///
    /// The peer is gone.
    pub fn of_handle(stream: Arc<TcpStream>) -> io::Result<Self> {
        let peer = canonical(stream.peer_addr()?);
        Ok(Self::over(stream, peer))
    }

    const fn over(stream: Arc<TcpStream>, peer: SocketAddr) -> Self {
        Self { stream, peer, tls: None, patience: None, is_torn: false }
    }

    /// From now on reads and writes end when `interrupt` says so.
    pub fn interrupted_by(&mut self, interrupt: Interrupt) {
        self.patience = Some(Patience { interrupt, asked: Instant::now() });
    }

    /// From now on nothing interrupts; gives what did until now.
    pub fn take_interrupt(&mut self) -> Option<Interrupt> {
        self.patience.take().map(|patience| patience.interrupt)
    }

    /// Lets the system find out, in its own time, whether a silent peer's host is still there: for
    /// connections that no deadline of ours ends. A system that cannot is no reason to refuse.
    pub fn watch_for_a_dead_peer(&self) {
        let _ = socket2::SockRef::from(&*self.stream).set_keepalive(true);
    }

    /// Makes the connection secure: the handshake, until `deadline`. Gives version, suite and peer,
    /// for the log. Whatever the end, nothing but TLS has been sent.
    ///
    /// # Errors
    ///
    /// See [`HandshakeEnd`].
    pub fn secure(
        &mut self,
        context: &TlsContext,
        deadline: Option<Instant>,
        stop: Option<&StopFlag>,
    ) -> Result<String, HandshakeEnd> {
        let stream = TlsStream::new(context, self.handle());
        let mut stream = Box::new(stream.map_err(|stack| {
            HandshakeEnd::Refused(TlsFault::of_connection(&stack, context.role()))
        })?);
        loop {
            if let Some(result) = stream.handshake_slice() {
                result?;
                let description = stream.description();
                self.tls = Some(stream);
                return Ok(description);
            }
            let is_interrupted = self.patience.as_mut().is_some_and(Patience::is_over);
            if is_interrupted || stop.is_some_and(StopFlag::is_raised) {
                return Err(HandshakeEnd::Stopped);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(HandshakeEnd::TimedOut);
            }
        }
    }

    /// Version, suite and peer of a secure connection in all details, for `-d`.
    pub fn security_details(&self) -> Option<String> {
        self.tls.as_ref().map(|tls| tls.details())
    }

    /// True once the handshake is done.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Opens a connection to `address`, waiting at most `timeout`, and until `interrupt` is due.
    ///
    /// # Errors
    ///
    /// The system's; [`io::ErrorKind::TimedOut`], and [`io::ErrorKind::Interrupted`] for `interrupt`.
    pub fn connect(
        address: SocketAddr,
        timeout: Option<Duration>,
        options: TransportOptions,
        interrupt: Option<&Interrupt>,
    ) -> io::Result<Self> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        loop {
            if interrupt.is_some_and(Interrupt::is_due) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let left = deadline.map_or(SLICE, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
            }
            // The send timeout ends a connect, too, and a further one waits on (socket(7)). A timeout
            // of no microseconds would be none.
            socket.set_write_timeout(Some(left.clamp(Duration::from_millis(1), SLICE)))?;
            let Err(error) = socket.connect(&address.into()) else { break };
            let is_under_way = [libc::EINPROGRESS, libc::EALREADY, libc::EINTR];
            if !error.raw_os_error().is_some_and(|number| is_under_way.contains(&number)) {
                return Err(error);
            }
        }
        Self::new(socket.into(), options)
    }

    /// The peer's address; an IPv4 peer of an IPv6 socket is shown as IPv4.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our own end; not specified where the system cannot say.
    pub fn local(&self) -> SocketAddr {
        let unspecified = || SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0);
        self.stream.local_addr().map_or_else(|_| unspecified(), canonical)
    }

    /// A second handle on the stream, with which another thread may shut it down.
    pub fn handle(&self) -> Arc<TcpStream> {
        Arc::clone(&self.stream)
    }

    /// Reads what is there into `buffer`, waiting until `deadline` for the first byte.
    ///
    /// `deadline` `None` waits without end. `stop`, when given, ends the wait once the flag has
    /// been raised for that long.
    ///
    /// # Errors
    ///
    /// See [`ReadEnd`].
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        deadline: Option<Instant>,
        stop: Option<(&StopFlag, Duration)>,
    ) -> Result<usize, ReadEnd> {
        loop {
            // Before bytes are taken, too: a peer whose bytes never cease is no reason to go on.
            if self.patience.as_mut().is_some_and(Patience::is_over) {
                return Err(ReadEnd::Interrupted);
            }
            let received = match &mut self.tls {
                Some(tls) => tls.read_slice(buffer, true),
                None => match (&*self.stream).read(buffer) {
                    Ok(0) => Received::Closed,
                    Ok(count) => Received::Bytes(count),
                    Err(error) => match error.kind() {
                        io::ErrorKind::Interrupted => continue,
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Received::Nothing,
                        _ => Received::Broken(error),
                    },
                },
            };
            match received {
                Received::Bytes(count) => return Ok(count),
                Received::Closed => return Err(ReadEnd::Closed),
                Received::Broken(error) => return Err(ReadEnd::Broken(error)),
                Received::Nothing => {
                    if stop.is_some_and(|(flag, patience)| flag.is_raised_since(patience)) {
                        return Err(ReadEnd::Stopped);
                    }
                    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return Err(ReadEnd::TimedOut);
                    }
                }
            }
        }
    }

    /// Reads what is there already, without waiting; 0 when nothing is.
    ///
    /// # Errors
    ///
    /// [`ReadEnd::Closed`] and [`ReadEnd::Broken`].
    pub fn read_now(&mut self, buffer: &mut [u8]) -> Result<usize, ReadEnd> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(tls) = &mut self.tls {
            return match tls.read_slice(buffer, false) {
                Received::Bytes(count) => Ok(count),
                Received::Nothing => Ok(0),
                Received::Closed => Err(ReadEnd::Closed),
                Received::Broken(error) => Err(ReadEnd::Broken(error)),
            };
        }
        match receive_now(&self.stream, buffer) {
            Ok(0) => Err(ReadEnd::Closed),
            Ok(count) => Ok(count),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(ReadEnd::Broken(error)),
            },
        }
    }

    /// Sends all of `slices` in as few system calls as the kernel allows, usually one.
    ///
    /// # Errors
    ///
    /// [`WriteEnd::TimedOut`] after 30 s without progress, or when the whole takes longer than the
    /// slowest peer's rate allows; [`WriteEnd::Interrupted`] within about a slice of the interrupt.
    pub fn write_all(&mut self, slices: &mut [IoSlice<'_>]) -> Result<(), WriteEnd> {
        // Here nothing is torn.
        if self.patience.as_mut().is_some_and(Patience::is_over) {
            return Err(WriteEnd::Interrupted);
        }
        self.send(slices)
    }

    fn send(&mut self, slices: &mut [IoSlice<'_>]) -> Result<(), WriteEnd> {
        if self.is_torn {
            return Err(WriteEnd::Broken(io::ErrorKind::BrokenPipe.into()));
        }
        let Self { stream, tls, patience, .. } = self;
        let result = match tls {
            None => send_all(stream, slices, patience.as_mut()),
            Some(tls) => tls.seal(
                slices,
                |records| send_all(stream, &mut [IoSlice::new(records)], patience.as_mut()),
                WriteEnd::Broken,
            ),
        };
        self.is_torn |= result.is_err();
        result
    }

    /// Sends one piece of memory; see [`Connection::write_all`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteEnd> {
        self.write_all(&mut [IoSlice::new(bytes)])
    }

    /// Sends what is the last of this side, and lets the peer see it, as [`Connection::close_gently`]
    /// does; but waits half a second at most, because who gives a peer up does not wait for it. After a
    /// write that ended in the middle nothing is sent: the peer would take it for the rest.
    pub fn send_last(&mut self, pdu: &[u8]) {
        let until = Instant::now() + SLICE;
        self.interrupted_by(Interrupt::new(move || Instant::now() >= until));
        let _ = self.send(&mut [IoSlice::new(pdu)]);
        self.leave();
    }

    /// Shuts our side, and reads for a moment what still arrives, so that the peer sees what was sent.
    pub fn leave(&mut self) {
        let until = Instant::now() + SLICE;
        self.patience = None;
        if let Some(tls) = self.tls.as_mut().filter(|_| !self.is_torn) {
            tls.close_notify();
        }
        if self.stream.shutdown(Shutdown::Write).is_ok() {
            discard(|scratch| {
                let is_in_time = Instant::now() < until;
                self.read(scratch, Some(until), None).ok().filter(|_| is_in_time)
            });
        }
    }

    /// Closes so that the peer sees the last PDU: our side is shut, then what still arrives is read
    /// and dropped, bounded in bytes and time, because closing with unread bytes makes TCP send RST
    /// (PROMISES.md §1).
    pub fn close_gently(mut self) {
        if let Some(mut tls) = self.tls.take() {
            tls.close_notify();
        }
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(u64::from(CLOSE_TIMEOUT_S));
        discard(|scratch| {
            let is_in_time = Instant::now() < deadline;
            self.read(scratch, Some(deadline), None).ok().filter(|_| is_in_time)
        });
    }
}

/// Reads what comes until `read` gives nothing more, or [`DISCARD_BYTES_MAX`] are read; gives how many.
fn discard(mut read: impl FnMut(&mut [u8]) -> Option<usize>) -> usize {
    let mut scratch = [0; 4096];
    let mut left = DISCARD_BYTES_MAX;
    while left > 0 {
        let room = left.min(scratch.len());
        match read(scratch.get_mut(..room).unwrap_or_default()) {
            Some(count) => left = left.saturating_sub(count),
            None => break,
        }
    }
    DISCARD_BYTES_MAX - left
}

/// Reads what is there already; [`io::ErrorKind::WouldBlock`] when nothing is.
#[allow(unsafe_code)]
pub(super) fn receive_now(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the descriptor is open as long as the stream is, and the buffer is writable for the
    // length passed.
    let count = unsafe {
        libc::recv(stream.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends all of `slices`; see [`Connection::write_all`].
fn send_all(
    mut stream: &TcpStream,
    mut slices: &mut [IoSlice<'_>],
    mut patience: Option<&mut Patience>,
) -> Result<(), WriteEnd> {
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut left = total;
    let mut started: Option<(Instant, Instant)> = None;
    while left > 0 {
        match stream.write_vectored(slices) {
            Ok(0) => return Err(WriteEnd::Broken(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                left -= count;
                IoSlice::advance_slices(&mut slices, count);
                if let Some((_, progress)) = &mut started {
                    *progress = Instant::now();
                }
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    let now = Instant::now();
                    let (begun, progress) = *started.get_or_insert((now, now));
                    let floor = Duration::from_secs(
                        u64::from(WRITE_TIMEOUT_S)
                            + total as u64 / u64::from(SLOWEST_PEER_BYTES_PER_S),
                    );
                    if now - progress >= Duration::from_secs(u64::from(WRITE_TIMEOUT_S))
                        || now - begun >= floor
                    {
                        return Err(WriteEnd::TimedOut);
                    }
                }
                _ => return Err(WriteEnd::Broken(error)),
            },
        }
        // A call that did not take all has lasted a slice.
        if left > 0 && patience.as_mut().is_some_and(|patience| patience.is_over()) {
            return Err(WriteEnd::Interrupted);
        }
    }
    Ok(())
}

/// `address` with an IPv4-mapped IPv6 address turned back into IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Opens a listening socket on every address of the host, IPv4 and IPv6, or on IPv4 alone where the
/// host has no IPv6.
///
/// # Errors
///
/// The system's error of the last attempt: port in use, no privilege, …
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let wildcard = |domain: Domain| -> io::Result<TcpListener> {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        let address: SocketAddr = if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
            (IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), port).into()
        } else {
            (IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), port).into()
        };
        // As DCMTK: a restarted receiver must not wait for its predecessor's TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        Ok(socket.into())
    };
    match wildcard(Domain::IPV6) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable
            ) || error.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
        {
            wildcard(Domain::IPV4)
        }
        result => result,
    }
}

/// The addresses of `host`, a name or an address, at `port`.
///
/// # Errors
///
/// The resolver's: no such host, no resolver.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// Opens a listening socket on one address only.
pub fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Lets `accept` come back every slice, so that a stop is seen.
///
/// # Errors
///
/// The system's.
pub fn accept_in_slices(listener: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(listener).set_read_timeout(Some(SLICE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Connection, TcpStream) {
        let listener = listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        (Connection::new(stream, TransportOptions::default()).unwrap(), peer)
    }

    /// A silent peer ends by the deadline, a closing one at once.
    #[test]
    fn waits_are_bounded() {
        let (mut connection, peer) = pair();
        let mut buffer = [0; 16];
        let deadline = Some(Instant::now());
        assert!(matches!(connection.read(&mut buffer, deadline, None), Err(ReadEnd::TimedOut)));
        drop(peer);
        assert!(matches!(connection.read(&mut buffer, None, None), Err(ReadEnd::Closed)));
    }

    /// What is dropped behind an abort: all up to limits::DISCARD_BYTES_MAX, and no more.
    #[test]
    fn edge_of_what_is_discarded() {
        for sent in [DISCARD_BYTES_MAX - 1, DISCARD_BYTES_MAX, DISCARD_BYTES_MAX + 1] {
            let mut left = sent;
            let read = discard(|buffer| {
                let count = buffer.len().min(left);
                left -= count;
                (count > 0).then_some(count)
            });
            assert_eq!(read, sent.min(DISCARD_BYTES_MAX));
        }
    }

    /// The stop flag ends a wait that has no deadline.
    #[test]
    fn stop_ends_a_wait() {
        let (mut connection, _peer) = pair();
        let stop = StopFlag::default();
        stop.raise();
        assert!(matches!(
            connection.read(&mut [0; 16], None, Some((&stop, Duration::ZERO))),
            Err(ReadEnd::Stopped)
        ));
        assert!(!stop.is_final());
        stop.raise();
        assert!(stop.is_final());
    }

    /// An interrupt ends a write to a peer that does not read; what is torn then gets no abort, which
    /// the peer would take for the rest of it.
    #[test]
    fn an_interrupt_ends_a_write() {
        for is_begun in [false, true] {
            let (mut connection, mut peer) = pair();
            connection.interrupted_by(Interrupt::new(|| true));
            if !is_begun {
                // Asked some time ago.
                let patience = connection.patience.as_mut().unwrap();
                patience.asked = patience.asked.checked_sub(SLICE).unwrap();
            }
            let huge = vec![0; 64 * 1024 * 1024];
            let begun = Instant::now();
            assert!(matches!(connection.write(&huge), Err(WriteEnd::Interrupted)));
            assert!(begun.elapsed() < 3 * SLICE);
            let reader = std::thread::spawn(move || {
                let mut all = Vec::new();
                peer.read_to_end(&mut all).unwrap();
                all
            });
            connection.send_last(b"last");
            drop(connection);
            let came = reader.join().unwrap();
            if is_begun {
                assert!(!came.is_empty() && came.iter().all(|byte| *byte == 0));
            } else {
                assert_eq!(came, b"last");
            }
        }
    }

    /// An interrupt ends the wait for a silent peer, and for one whose bytes never cease.
    #[test]
    fn an_interrupt_ends_a_read() {
        for is_silent in [true, false] {
            let (mut connection, mut peer) = pair();
            connection.interrupted_by(Interrupt::new(|| true));
            let writer = std::thread::spawn(move || {
                while !is_silent && peer.write_all(&[0; 4096]).is_ok() {}
                peer
            });
            let begun = Instant::now();
            let end = loop {
                if let Err(end) = connection.read(&mut [0; 16], None, None) {
                    break end;
                }
            };
            assert!(matches!(end, ReadEnd::Interrupted));
            assert!(begun.elapsed() < 3 * SLICE);
            drop(connection);
            writer.join().unwrap();
        }
    }

    /// A peer that takes no connection: its queue is full, and the system tries again and again.
    #[test]
    fn a_connect_ends_in_time_and_when_interrupted() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let connect = |timeout, interrupt: Option<&Interrupt>| {
            Connection::connect(address, timeout, TransportOptions::default(), interrupt)
        };
        let waiting = [(); 8].map(|()| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        });
        let error = connect(Some(SLICE / 2), None).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let asked = Arc::new(AtomicU8::new(0));
        let count = Arc::clone(&asked);
        let interrupt = Interrupt::new(move || count.fetch_add(1, Ordering::Relaxed) >= 2);
        let error = connect(None, Some(&interrupt)).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        drop(waiting);
    }

    /// One wildcard socket serves IPv4 peers, and shows them as IPv4.
    #[test]
    fn both_address_families() {
        let listener = listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let _peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let connection = Connection::new(stream, TransportOptions::default()).unwrap();
        assert_eq!(connection.peer().ip(), IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    }
}
