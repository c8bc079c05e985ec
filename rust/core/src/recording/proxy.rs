//! The recorder: listens, connects on to the real peer, passes everything on, and writes it down.
//!
//! Nothing is changed on the way: the bytes, their order, the end of one side alone (FIN) and a reset
//! (RST). TLS passes as opaque bytes; the recorder has no keys, and a recording of it says so. Two
//! threads serve a connection, one for each direction. Each reads one block, writes it to the
//! recording, passes it on, and reads the next only then, so that a peer that does not read slows its
//! own partner down and costs one block. There are no timeouts on silence: those are the peers' own.
//! A recording that is full or cannot be written ends nothing: bytes are passed on, and it is told.
//! Called by `dcmfast._rust`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use socket2::{Domain, SockRef, Socket, Type};

use super::file::{Writer, Written};
use super::treat::{Treater, Treatment};
use super::{Ending, Moment, Reason, Side, What};
use crate::limits::{
    ASSOCIATION_STACK_BYTES, RECORDING_BLOCK_BYTES, RECORDING_QUIET_MS, STOP_WAIT_MS,
};
use crate::log::{Level, Logger, system_text};
use crate::net::tcp::{SLICE, SocketAddr, StopFlag, TransportOptions, accept_in_slices};

/// The logger of our own lines.
const LOGGER: &str = "dcmfast.record";

/// What the front end decided.
pub struct Plan {
    /// The real peer's addresses, tried in order.
    pub peer: Vec<SocketAddr>,
    /// How long each may take; `None` for as long as the system does.
    pub connect_timeout: Option<Duration>,
    /// Connections at once; further ones are closed at once.
    pub connections_max: usize,
    /// Connections in all; then the recorder ends.
    pub count: Option<u64>,
    /// Of both sockets.
    pub transport: TransportOptions,
    /// What is taken out before it is written.
    pub treatment: Treatment,
}

/// How often it is looked whether a connection has come to be, and whether we are asked to stop.
const CONNECT_LOOK: Duration = Duration::from_millis(5);

/// What all threads share.
struct Shared {
    plan: Plan,
    writer: Writer,
    begun: Instant,
    stop: StopFlag,
    logger: Arc<Logger>,
    /// Threads alive.
    alive: (Mutex<usize>, Condvar),
    /// The recording is not whole, and why.
    trouble: Mutex<Option<String>>,
    connections: AtomicU64,
    /// Bytes passed on, by side.
    passed: [AtomicU64; 2],
    treater: Option<Mutex<Treater>>,
}

/// A lock whose poison is of no interest: every holder leaves the data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Figures of a recorder, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes from requestors.
    pub from_requestors: u64,
    /// Bytes from acceptors.
    pub from_acceptors: u64,
    /// Bytes of the recording.
    pub recorded: u64,
    /// Why the recording is not whole.
    pub trouble: Option<String>,
}

/// A recorder whose port is open.
pub struct Proxy {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// Since 1970, in nanoseconds.
pub fn wall_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl Proxy {
    /// A recorder on `listener` that writes with `writer`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn new(
        listener: TcpListener,
        writer: Writer,
        plan: Plan,
        logger: Arc<Logger>,
    ) -> io::Result<Self> {
        accept_in_slices(&listener)?;
        let treater = plan.treatment.is_any().then(|| Mutex::new(Treater::new(plan.treatment)));
        let shared = Shared {
            plan,
            writer,
            begun: Instant::now(),
            stop: StopFlag::default(),
            logger,
            alive: (Mutex::new(0), Condvar::new()),
            trouble: Mutex::default(),
            connections: AtomicU64::new(0),
            passed: Default::default(),
            treater,
        };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// The address that is open.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What stops it: once in order, twice at once.
    pub fn stop_flag(&self) -> StopFlag {
        self.shared.stop.clone()
    }

    /// Figures so far.
    pub fn figures(&self) -> Figures {
        let [requestors, acceptors] = &self.shared.passed;
        Figures {
            connections: self.shared.connections.load(Ordering::Relaxed),
            from_requestors: requestors.load(Ordering::Relaxed),
            from_acceptors: acceptors.load(Ordering::Relaxed),
            recorded: self.shared.writer.bytes(),
            trouble: lock(&self.shared.trouble).clone(),
        }
    }

    /// Passes on and records until it is stopped or has had as many connections as were asked for;
    /// then ends the recording.
    pub fn run(self) -> Figures {
        let shared = &self.shared;
        let is_done = || {
            let count = shared.connections.load(Ordering::Relaxed);
            shared.plan.count.is_some_and(|limit| count >= limit)
        };
        while !shared.stop.is_raised() && !is_done() {
            match self.listener.accept() {
                Ok((stream, from)) => serve(shared, stream, from),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        let why = system_text(&error);
                        shared.logger.line(
                            Level::Error,
                            LOGGER,
                            format_args!("cannot accept a connection: {why}"),
                        );
                        // Out of descriptors: others will end.
                        thread::sleep(SLICE);
                    }
                },
            }
        }
        let figures = |this: &Self| this.figures();
        // Closed before the rest is waited for: nobody connects to a recorder that ends.
        let Self { listener, shared } = &self;
        let _ = SockRef::from(listener).shutdown(Shutdown::Both);
        let mut alive = lock(&shared.alive.0);
        while *alive > 0 && !shared.stop.is_final() {
            let waited = shared.alive.1.wait_timeout(alive, SLICE);
            (alive, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        drop(alive);
        if let Err(error) = shared.writer.finish(shared.now()) {
            shared.not_whole(&format!("cannot write the recording: {}", system_text(&error)));
        }
        figures(&self)
    }
}

impl Shared {
    fn now(&self) -> Moment {
        let elapsed = self.begun.elapsed();
        let monotonic_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        Moment { monotonic_ns, wall_ns: wall_ns(SystemTime::now()) }
    }

    fn record(&self, connection: u64, what: What) {
        let Some(treater) = &self.treater else { return self.write(connection, what) };
        // Held while writing: what comes out keeps its order.
        let mut treater = lock(treater);
        treater.take(connection, what, &mut |what| self.write(connection, what));
    }

    fn write(&self, connection: u64, what: What) {
        match self.writer.append_now(connection, what, || self.now()) {
            Written::Yes | Written::Ended => {}
            Written::Full => self.not_whole(
                "the recording is full: bytes are passed on, and not recorded from here on",
            ),
            Written::Failed(error) => self.not_whole(&format!(
                "cannot write the recording: {}; bytes are passed on, and not recorded from here on",
                system_text(&error)
            )),
        }
    }

    /// Says once that the recording lacks something.
    fn not_whole(&self, why: &str) {
        let mut trouble = lock(&self.trouble);
        if trouble.is_none() {
            self.logger.line(Level::Error, LOGGER, format_args!("{why}"));
            *trouble = Some(why.to_owned());
        }
    }

    fn info(&self, text: std::fmt::Arguments<'_>) {
        self.logger.line(Level::Info, LOGGER, text);
    }
}

/// Counts a thread out, however it ends.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        *lock(&self.0.alive.0) -= 1;
        self.0.alive.1.notify_all();
    }
}

/// Starts the thread of a connection.
fn serve(shared: &Arc<Shared>, stream: TcpStream, from: SocketAddr) {
    {
        let mut alive = lock(&shared.alive.0);
        if *alive >= shared.plan.connections_max {
            drop(alive);
            let limit = shared.plan.connections_max;
            shared.logger.line(
                Level::Warn,
                LOGGER,
                format_args!("connection from {from} refused: {limit} are open"),
            );
            reset(&stream);
            return;
        }
        *alive += 1;
    }
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let guard = Alive(Arc::clone(shared));
    let spawned = thread::Builder::new().stack_size(ASSOCIATION_STACK_BYTES).spawn(move || {
        let shared = &guard.0;
        // One connection's panic is one connection's: the others go on (PROMISES.md P7).
        let work = || connection(shared, number, &stream, from);
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            shared.logger.line(
                Level::Error,
                LOGGER,
                format_args!("connection {number}: ended by an error of this program"),
            );
        }
    });
    if let Err(error) = spawned {
        let why = system_text(&error);
        shared.logger.line(Level::Error, LOGGER, format_args!("connection {number}: {why}"));
    }
}

/// One connection, from end to end.
fn connection(shared: &Shared, number: u64, requestor: &TcpStream, from: SocketAddr) {
    let acceptor = connect(shared);
    let to = acceptor.as_ref().map_or_else(
        |_| shared.plan.peer.first().map(ToString::to_string).unwrap_or_default(),
        |(_, address)| address.to_string(),
    );
    shared.record(number, What::Opened { requestor: canonical(from), acceptor: to.clone() });
    let acceptor = match acceptor.and_then(|(stream, _)| {
        prepare(requestor, shared.plan.transport)?;
        prepare(&stream, shared.plan.transport)?;
        Ok(stream)
    }) {
        Ok(stream) => stream,
        Err(error) => {
            let why = system_text(&error);
            shared.logger.line(
                Level::Warn,
                LOGGER,
                format_args!("connection {number}: cannot connect to {to}: {why}"),
            );
            // As it would have been without the recorder: no connection.
            reset(requestor);
            shared.record(number, What::Over(Reason::NotConnected, why));
            return;
        }
    };
    shared.info(format_args!("connection {number}: {} to {to}", canonical(from)));
    let flow = Flow::new(shared, number);
    thread::scope(|scope| {
        let back = thread::Builder::new()
            .stack_size(ASSOCIATION_STACK_BYTES)
            .spawn_scoped(scope, || flow.pass(Side::Acceptor, &acceptor, requestor));
        match back {
            Ok(_) => flow.pass(Side::Requestor, requestor, &acceptor),
            Err(error) => {
                let why = system_text(&error);
                shared.logger.line(
                    Level::Error,
                    LOGGER,
                    format_args!("connection {number}: {why}"),
                );
                reset(requestor);
            }
        }
    });
    let reason =
        if flow.is_stopped.load(Ordering::Acquire) { Reason::Stopped } else { Reason::Ended };
    shared.record(number, What::Over(reason, String::new()));
    let [sent, received] = flow.passed.map(AtomicU64::into_inner);
    shared.info(format_args!(
        "connection {number}: {}; {sent} bytes from the requestor, {received} from the acceptor",
        reason.text()
    ));
}

/// An address, of IPv4 where it is one.
fn canonical(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

fn connect(shared: &Shared) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in &shared.plan.peer {
        match connect_to(*address, shared.plan.connect_timeout, &shared.stop) {
            Ok(stream) => return Ok((stream, *address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects, until the timeout or the stop.
pub fn connect_to(
    address: SocketAddr,
    timeout: Option<Duration>,
    stop: &StopFlag,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let begun = Instant::now();
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    // There is an error, or the other end, or it goes on.
    while socket.peer_addr().is_err() {
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        if stop.is_raised() {
            return Err(io::Error::from_raw_os_error(libc::EINTR));
        }
        if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
            return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
        }
        thread::sleep(CONNECT_LOOK);
    }
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

fn prepare(stream: &TcpStream, options: TransportOptions) -> io::Result<()> {
    // What one side sent in one piece leaves in one piece at once.
    stream.set_nodelay(options.no_delay)?;
    stream.set_read_timeout(Some(SLICE))?;
    stream.set_write_timeout(Some(SLICE))?;
    if let Some(bytes) = options.buffer_bytes {
        let socket = SockRef::from(stream);
        socket.set_recv_buffer_size(bytes)?;
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

/// Lets the peer see RST when the stream is closed.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// What the two threads of a connection share.
struct Flow<'a> {
    shared: &'a Shared,
    number: u64,
    /// One side was reset: the other thread ends, too.
    is_reset: AtomicBool,
    is_stopped: AtomicBool,
    /// When a byte passed last, in nanoseconds since the recording began.
    last_ns: AtomicU64,
    passed: [AtomicU64; 2],
}

/// Why bytes could not be passed on.
enum Refused {
    /// The receiver is gone.
    Gone,
    /// The connection ends for another reason.
    Over,
}

impl<'a> Flow<'a> {
    fn new(shared: &'a Shared, number: u64) -> Self {
        Self {
            shared,
            number,
            is_reset: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            last_ns: AtomicU64::new(shared.now().monotonic_ns),
            passed: Default::default(),
        }
    }

    /// Passes on what `from`, which is `side`, sends, until it ends.
    fn pass(&self, side: Side, mut from: &TcpStream, to: &TcpStream) {
        let mut block = vec![0; RECORDING_BLOCK_BYTES];
        let mut is_first = true;
        loop {
            match from.read(&mut block) {
                // Woken because the other side is gone, or the recorder ends.
                Ok(_) if self.is_reset.load(Ordering::Acquire) => return,
                Ok(0) if self.is_stopped.load(Ordering::Acquire) => return,
                Ok(0) => {
                    self.shared.record(self.number, What::End(side, Ending::Closed));
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(count) => {
                    let bytes = block.get(..count).unwrap_or_default();
                    if std::mem::take(&mut is_first) && side == Side::Requestor && is_tls(bytes) {
                        self.shared.info(format_args!(
                            "connection {}: TLS, whose bytes are recorded as they are",
                            self.number
                        ));
                    }
                    // Before it is passed on: whatever a peer has seen is in the recording.
                    self.shared.record(self.number, What::Bytes(side, bytes.to_vec()));
                    match self.write(to, bytes) {
                        Ok(()) => self.note(side, count),
                        Err(Refused::Gone) => {
                            self.gone(side.other(), to, from);
                            return;
                        }
                        Err(Refused::Over) => return,
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        if self.is_over(from, to) {
                            return;
                        }
                    }
                    _ => {
                        self.gone(side, from, to);
                        return;
                    }
                },
            }
        }
    }

    /// Writes everything, however long that takes: the receiver's pace is the sender's.
    fn write(&self, mut to: &TcpStream, mut bytes: &[u8]) -> Result<(), Refused> {
        while !bytes.is_empty() {
            match to.write(bytes) {
                Ok(0) => return Err(Refused::Gone),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.last_ns.store(self.shared.now().monotonic_ns, Ordering::Release);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        if self.is_over(to, to) {
                            return Err(Refused::Over);
                        }
                    }
                    _ => return Err(Refused::Gone),
                },
            }
        }
        Ok(())
    }

    fn note(&self, side: Side, count: usize) {
        let count = count as u64;
        self.passed[side.index()].fetch_add(count, Ordering::Relaxed);
        self.shared.passed[side.index()].fetch_add(count, Ordering::Relaxed);
        self.last_ns.store(self.shared.now().monotonic_ns, Ordering::Release);
    }

    /// `side`, at the far end of `of`, was reset: so will `other` be.
    fn gone(&self, side: Side, of: &TcpStream, other: &TcpStream) {
        if self.is_stopped.load(Ordering::Acquire) {
            return;
        }
        if !self.is_reset.swap(true, Ordering::AcqRel) {
            self.shared.record(self.number, What::End(side, Ending::Reset));
        }
        reset(other);
        // Wakes the other thread, wherever it waits; nothing of it is seen on the wire.
        let _ = other.shutdown(Shutdown::Read);
        let _ = of.shutdown(Shutdown::Both);
    }

    /// True when the connection ends without its peers: the other thread saw a reset, or the
    /// recorder is stopped and nothing passes any more.
    fn is_over(&self, one: &TcpStream, other: &TcpStream) -> bool {
        if self.is_reset.load(Ordering::Acquire) || self.is_stopped.load(Ordering::Acquire) {
            return true;
        }
        let stop = &self.shared.stop;
        if !stop.is_raised() {
            return false;
        }
        let last = self.last_ns.load(Ordering::Acquire);
        let quiet = self.shared.now().monotonic_ns.saturating_sub(last);
        let is_quiet = quiet >= RECORDING_QUIET_MS * 1_000_000;
        if !is_quiet && !stop.is_raised_since(Duration::from_millis(STOP_WAIT_MS)) {
            return false;
        }
        self.is_stopped.store(true, Ordering::Release);
        for stream in [one, other] {
            let _ = stream.shutdown(Shutdown::Both);
        }
        true
    }
}

/// True for the first bytes of a TLS handshake (RFC 8446 §5.1).
pub fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x16, 3, ..])
}
