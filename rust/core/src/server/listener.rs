//! Accepting connections, limiting them, and stopping.
//!
//! A thread per connection with a small stack. Two counts bound them: connections that have not
//! associated yet (the oldest is dropped when there are too many, so idle ones use up nothing) and
//! associations (the peer beyond the limit is rejected, by `server/association.rs`). Out of
//! descriptors, a spare one is given up to accept and close, so that `accept` never spins. Source
//! of the bounds: PROMISES.md §3.2; they stand in `limits.rs`.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::association;
use super::{Objects, Service};
use crate::limits::{ASSOCIATION_STACK_BYTES, PENDING_CONNECTIONS_MAX, STOP_WAIT_MS};
use crate::log::Level;
use crate::net::tcp::{self, Connection, SLICE, StopFlag};
use crate::ul::pdu::Abort;
use crate::ul::pdu_codec::encode_abort;

/// Numbers that an observer may read while the server runs.
#[derive(Debug, Default)]
pub struct Counters {
    /// Transport connections accepted.
    pub connections: AtomicU64,
    /// Associations established.
    pub associations: AtomicU64,
    /// Associations rejected.
    pub rejections: AtomicU64,
    /// C-STORE requests answered with success.
    pub stored: AtomicU64,
    /// C-STORE requests answered with a failure.
    pub refused: AtomicU64,
    /// Associations ended by a panic of ours.
    pub panics: AtomicU64,
}

/// What all threads of one server share.
pub struct Shared {
    /// What is served, and how.
    pub service: Service,
    /// Raised to stop.
    pub stop: StopFlag,
    /// Observable numbers.
    pub counters: Counters,
    /// Associations established now.
    associated: AtomicUsize,
    /// Connections without an association, not yet or no longer, oldest first.
    pending: Mutex<VecDeque<(u64, Arc<TcpStream>)>>,
    /// Whose turn it is, with `--single-process`.
    turn: Turn,
    /// Threads alive, and the signal that one ended.
    threads: (Mutex<usize>, Condvar),
}

/// One association at a time, for `--single-process`.
#[derive(Default)]
struct Turn {
    taken: Mutex<bool>,
    freed: Condvar,
}

/// A lock whose poison is of no interest: every holder leaves the data whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why no association was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The limit of associations is reached.
    LocalLimit,
    /// The process is stopping.
    Stopping,
}

/// An association's place among the admitted ones; dropping it gives the place back.
pub struct Admission<'a> {
    shared: &'a Shared,
    holds_turn: bool,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.shared.associated.fetch_sub(1, Ordering::AcqRel);
        if self.holds_turn {
            *lock(&self.shared.turn.taken) = false;
            self.shared.turn.freed.notify_one();
        }
    }
}

impl Shared {
    /// A place for one more association.
    ///
    /// With one association at a time this waits for the turn; a peer gets here only with a
    /// complete A-ASSOCIATE-RQ, so an idle connection never holds it (DIFFERENCES.md B3).
    pub fn admit(&self) -> Result<Admission<'_>, Refused> {
        if self.stop.is_raised() {
            return Err(Refused::Stopping);
        }
        let limit = self.service.associations_max;
        let admitted = self
            .associated
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < limit).then_some(count + 1)
            })
            .is_ok();
        if !admitted {
            return Err(Refused::LocalLimit);
        }
        let mut admission = Admission { shared: self, holds_turn: false };
        if self.service.one_at_a_time {
            let mut taken = lock(&self.turn.taken);
            while *taken {
                if self.stop.is_raised() {
                    return Err(Refused::Stopping);
                }
                (taken, _) = self
                    .turn
                    .freed
                    .wait_timeout(taken, SLICE)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            *taken = true;
            admission.holds_turn = true;
        }
        Ok(admission)
    }

    /// Registers a connection without an association; drops the oldest when there are too many.
    pub fn register(&self, id: u64, stream: Arc<TcpStream>) {
        let mut pending = lock(&self.pending);
        if pending.len() >= PENDING_CONNECTIONS_MAX {
            if let Some((_, oldest)) = pending.pop_front() {
                let _ = oldest.shutdown(Shutdown::Both);
            }
        }
        pending.push_back((id, stream));
    }

    /// The connection has associated, or ended.
    pub fn deregister(&self, id: u64) {
        let mut pending = lock(&self.pending);
        if let Some(at) = pending.iter().position(|(other, _)| *other == id) {
            pending.remove(at);
        }
    }
}

/// A bound server; [`Server::run`] serves until the stop flag is raised.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Server {
    /// Opens the port (0 lets the system choose) on `address`, or on every address of the host,
    /// IPv4 and IPv6.
    ///
    /// # Errors
    ///
    /// The system's: port in use, no privilege.
    pub fn bind(address: Option<IpAddr>, port: u16, service: Service) -> io::Result<Self> {
        let listener = match address {
            Some(address) => tcp::listen_on((address, port).into())?,
            None => tcp::listen(port)?,
        };
        raise_descriptor_limit();
        let shared = Shared {
            service,
            stop: StopFlag::default(),
            counters: Counters::default(),
            associated: AtomicUsize::new(0),
            pending: Mutex::default(),
            turn: Turn::default(),
            threads: (Mutex::new(0), Condvar::new()),
        };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// The port that is open.
    pub fn port(&self) -> u16 {
        self.listener.local_addr().map_or(0, |address| address.port())
    }

    /// The shared state, for stopping and observing from another thread.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Accepts and serves until the stop flag is raised; then waits for the operations in hand, at
    /// most [`STOP_WAIT_MS`], or until the flag is raised a second time.
    pub fn run(&self) {
        let socket = socket2::SockRef::from(&self.listener);
        // accept() then returns every slice, and the stop flag is seen.
        let _ = socket.set_read_timeout(Some(SLICE));
        self.clear_stale_parts();
        let mut spare = self.listener.try_clone().ok();
        let mut next_id = 0;
        while !self.shared.stop.is_raised() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    next_id += 1;
                    self.shared.counters.connections.fetch_add(1, Ordering::Relaxed);
                    self.spawn(next_id, stream);
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE) => {
                        self.say(format_args!(
                            "out of descriptors, refusing a connection: {error}"
                        ));
                        drop(spare.take());
                        let _ = self.listener.accept();
                        spare = self.listener.try_clone().ok();
                    }
                    Some(libc::EAGAIN | libc::EINTR | libc::ECONNABORTED | libc::EPROTO) => {}
                    _ => self.say(format_args!("cannot accept a connection: {error}")),
                },
            }
        }
        // Nobody is kept waiting in the queue of a server that will not answer: from here on peers
        // are refused by the system. (Linux ends listening on shutdown.)
        let _ = socket.shutdown(Shutdown::Both);
        self.wait_for_threads();
    }

    /// Removes what a crashed receiver left, beside the first associations, so that a directory of
    /// millions delays no start.
    fn clear_stale_parts(&self) {
        let Objects::Directory(store) = &self.shared.service.objects else { return };
        let (shared, store) = (self.shared(), Arc::clone(store));
        let clear = move || {
            if let Err(error) = store.remove_stale_parts() {
                shared.service.logger.line(
                    Level::Warn,
                    "dcmfast.server",
                    format_args!("cannot remove part files of a crashed receiver: {error}"),
                );
            }
        };
        let name = "stale part files".into();
        if thread::Builder::new()
            .name(name)
            .stack_size(ASSOCIATION_STACK_BYTES)
            .spawn(clear)
            .is_err()
        {
            self.say(format_args!("cannot start a thread: part files of a crashed receiver stay"));
        }
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        self.shared.service.logger.line(Level::Error, "dcmfast.server", text);
    }

    /// Serves one connection in a thread of its own.
    fn spawn(&self, id: u64, stream: TcpStream) {
        let Ok(connection) = Connection::new(stream, self.shared.service.transport) else {
            // The peer is gone already.
            return;
        };
        self.shared.register(id, connection.handle());
        let shared = Arc::clone(&self.shared);
        *lock(&self.shared.threads.0) += 1;
        let serve = move || {
            let handle = connection.handle();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                association::serve(&shared, id, connection);
            }));
            if outcome.is_err() {
                shared.counters.panics.fetch_add(1, Ordering::Relaxed);
                shared.deregister(id);
                shared.register(id, Arc::clone(&handle));
                abort_after_panic(&shared, handle);
            }
            shared.deregister(id);
            *lock(&shared.threads.0) -= 1;
            shared.threads.1.notify_all();
        };
        let spawned = thread::Builder::new()
            .name("association".into())
            .stack_size(ASSOCIATION_STACK_BYTES)
            .spawn(serve);
        if let Err(error) = spawned {
            *lock(&self.shared.threads.0) -= 1;
            self.shared.deregister(id);
            self.say(format_args!("cannot start a thread, refusing a connection: {error}"));
        }
    }

    /// Waits for the threads to end; cuts the connections of those that do not.
    fn wait_for_threads(&self) {
        // Counted from the signal, which is seen up to a slice later.
        let patience = Duration::from_millis(STOP_WAIT_MS);
        let deadline = Instant::now() + patience;
        for (_, stream) in lock(&self.shared.pending).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let mut alive = lock(&self.shared.threads.0);
        while *alive > 0 && Instant::now() < deadline && !self.shared.stop.is_raised_since(patience)
        {
            (alive, _) = self
                .shared
                .threads
                .1
                .wait_timeout(alive, SLICE)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// After a panic in the thread of an association: the peer gets A-ABORT, and a line says so. Closed
/// gently, because the panic came over unread bytes as a rule, and an RST would hide the A-ABORT.
fn abort_after_panic(shared: &Shared, stream: Arc<TcpStream>) {
    shared.service.logger.line(
        Level::Error,
        "dcmfast.server",
        format_args!("an association ended by an internal fault; others go on"),
    );
    if let Ok(mut connection) = Connection::of_handle(stream) {
        let _ = connection.write(&encode_abort(Abort::NOT_SPECIFIED));
        connection.close_gently();
    }
}

/// Raises the soft limit of descriptors to the hard one: each association needs a socket and a
/// file.
#[allow(unsafe_code)]
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one rlimit structure to the pointer, which is valid; setrlimit reads
    // it.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0
            && limit.rlim_cur < limit.rlim_max
        {
            // More than this is of no use, and a huge table costs some systems memory.
            limit.rlim_cur = limit.rlim_max.min(65_536);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
