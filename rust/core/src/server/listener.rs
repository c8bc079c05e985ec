//! Accepting connections, limiting them, and stopping.
//!
//! A thread per connection with a small stack; with `--fork` a process per connection, which the
//! front end forks between [`Server::accept`] and [`Server::serve_accepted`], while there is no
//! other thread. Two counts bound them: connections that have not
//! associated yet (the oldest is dropped when there are too many, so idle ones use up nothing) and
//! associations (the peer beyond the limit is rejected, by `server/association.rs`). Out of
//! descriptors, a spare one is given up to accept and close; where accepting fails for want of
//! anything, a pause follows, so that it never spins. Source of the bounds: PROMISES.md §3.2; they stand in `limits.rs`.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::association;
use super::events::Watch;
use super::faults::pause;
use super::shared_numbers::SharedNumbers;
use super::{Events, Objects, Service};
use crate::limits::{ASSOCIATION_STACK_BYTES, PENDING_CONNECTIONS_MAX, STOP_WAIT_MS};
use crate::log::{Level, system_text};
use crate::net::tcp::{self, Connection, SLICE, StopFlag};
use crate::ul::pdu::Abort;
use crate::ul::pdu_codec::encode_abort;

/// How often it is looked whether associations ended, by whoever waits for that.
const QUIET_LOOK: Duration = Duration::from_millis(10);

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
    /// Bytes of data sets that were taken, of objects on their way, too.
    pub bytes: AtomicU64,
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
    /// What processes of this server are doing; without `--fork` there is one.
    places: Places,
    /// Connections without an association, not yet or no longer, oldest first.
    pending: Mutex<VecDeque<(u64, Arc<TcpStream>)>>,
    /// Whose turn it is, with `--single-process`.
    turn: Turn,
    /// Threads alive, and the signal that one ended.
    threads: (Mutex<usize>, Condvar),
}

/// Associations of all processes of a server. Each process keeps its own state, so that one that
/// dies costs its place only, until its parent clears it.
struct Places {
    /// The number of associations of a server that does not fork, and then a state for each process
    /// of one that does.
    numbers: SharedNumbers,
    /// The place of this process; 0 in one that does not fork, and in the parent.
    own: AtomicUsize,
}

/// A process serves a connection that has not associated, or not any more.
const PENDING: u64 = 0;
/// It has an association.
const ASSOCIATED: u64 = 1;
/// It must make room for a later connection.
const EVICTED: u64 = 2;

impl Places {
    fn new(processes: usize) -> io::Result<Self> {
        Ok(Self { numbers: SharedNumbers::new(processes + 1)?, own: AtomicUsize::new(0) })
    }

    /// The state of the process at a place, which are counted from 1.
    fn of(&self, place: usize) -> Option<&AtomicU64> {
        if place == 0 { None } else { self.numbers.all().get(place) }
    }

    fn own(&self) -> Option<&AtomicU64> {
        self.of(self.own.load(Ordering::Relaxed))
    }

    /// Counts an association in, unless there are `limit` already.
    fn enter(&self, limit: u64) -> bool {
        let Some(own) = self.own() else {
            let more = |count: u64| (count < limit).then_some(count + 1);
            return self.numbers.all().first().is_some_and(|number| {
                number.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
            });
        };
        if !changed(own, PENDING, ASSOCIATED) {
            // The parent is about to end this process.
            return false;
        }
        let states = self.numbers.all().iter().skip(1);
        let count = states.filter(|state| state.load(Ordering::Acquire) == ASSOCIATED).count();
        // Of two that come to the last place at the same time, both may be refused.
        if count as u64 > limit {
            own.store(PENDING, Ordering::Release);
            return false;
        }
        true
    }

    /// Associations of this process, or of all processes of a server that forks.
    fn count(&self) -> u64 {
        let mut numbers = self.numbers.all().iter();
        let own = numbers.next().map_or(0, |number| number.load(Ordering::Acquire));
        let others = numbers.filter(|state| state.load(Ordering::Acquire) == ASSOCIATED).count();
        own + others as u64
    }

    fn leave(&self) {
        match (self.own(), self.numbers.all().first()) {
            (Some(own), _) => own.store(PENDING, Ordering::Release),
            (None, Some(number)) => {
                number.fetch_sub(1, Ordering::AcqRel);
            }
            (None, None) => {}
        }
    }
}

fn changed(number: &AtomicU64, from: u64, to: u64) -> bool {
    number.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
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
        self.shared.places.leave();
        if self.holds_turn {
            *lock(&self.shared.turn.taken) = false;
            self.shared.turn.freed.notify_one();
        }
    }
}

impl Shared {
    /// What one service's threads share, before there are any; `processes` may be forked.
    ///
    /// # Errors
    ///
    /// The system's: no memory.
    pub fn new(service: Service, processes: usize) -> io::Result<Self> {
        Ok(Self {
            service,
            stop: StopFlag::default(),
            counters: Counters::default(),
            places: Places::new(processes)?,
            pending: Mutex::default(),
            turn: Turn::default(),
            threads: (Mutex::new(0), Condvar::new()),
        })
    }

    /// A place for one more association.
    ///
    /// With one association at a time this waits for the turn; a peer gets here only with a
    /// complete A-ASSOCIATE-RQ, so an idle connection never holds it (DIFFERENCES.md B3).
    pub fn admit(&self) -> Result<Admission<'_>, Refused> {
        if self.stop.is_raised() {
            return Err(Refused::Stopping);
        }
        if !self.places.enter(self.service.associations_max as u64) {
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

    /// Waits until no peer is associated, at most `patience` after the last object: C-MOVE's final
    /// response comes before the association of its sub-operations is released.
    pub fn wait_until_quiet(&self, patience: Duration) {
        let done = || {
            self.counters.stored.load(Ordering::Relaxed)
                + self.counters.refused.load(Ordering::Relaxed)
        };
        let (mut seen, mut deadline) = (done(), Instant::now() + patience);
        let mut alive = lock(&self.threads.0);
        while self.places.count() > 0 && Instant::now() < deadline && !self.stop.is_raised() {
            (alive, _) = self
                .threads
                .1
                .wait_timeout(alive, QUIET_LOOK)
                .unwrap_or_else(PoisonError::into_inner);
            if done() != seen {
                (seen, deadline) = (done(), Instant::now() + patience);
            }
        }
    }

    /// The connection has associated, or ended.
    pub fn deregister(&self, id: u64) {
        let mut pending = lock(&self.pending);
        if let Some(at) = pending.iter().position(|(other, _)| *other == id) {
            pending.remove(at);
        }
    }
}

/// A server; [`Server::run`] serves until the stop flag is raised.
pub struct Server {
    /// `None` where the connection is given (inetd), and in a forked process.
    listener: Mutex<Option<Arc<TcpListener>>>,
    /// The connection that [`Server::accept`] left for [`Server::serve_accepted`].
    accepted: Mutex<Option<TcpStream>>,
    /// A descriptor to give up when there are no others.
    spare: Mutex<Option<TcpListener>>,
    /// Why no connection can be accepted, as it was told; 0 while they can.
    trouble: AtomicI32,
    port: u16,
    shared: Arc<Shared>,
}

/// Where a server's connections come from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A port (0 lets the system choose) on an address, or on every address of the host, IPv4 and
    /// IPv6.
    Port(Option<IpAddr>, u16),
    /// Standard input is the connection (`--inetd`).
    StandardInput,
}

impl Server {
    /// Opens the port, or takes the connection that is there.
    ///
    /// With `processes` this many may be forked beside each other.
    ///
    /// # Errors
    ///
    /// The system's: port in use, no privilege.
    pub fn bind(source: Source, processes: usize, service: Service) -> io::Result<Self> {
        let (mut listener, mut accepted) = (None, None);
        match source {
            Source::Port(Some(address), port) => {
                listener = Some(Arc::new(tcp::listen_on((address, port).into())?));
            }
            Source::Port(None, port) => listener = Some(Arc::new(tcp::listen(port)?)),
            Source::StandardInput => {
                accepted = Some(io::stdin().as_fd().try_clone_to_owned()?.into());
            }
        }
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        raise_descriptor_limit();
        let shared = Shared::new(service, processes)?;
        let spare = listener.as_ref().and_then(|listener| listener.try_clone().ok());
        Ok(Self {
            spare: Mutex::new(spare),
            trouble: AtomicI32::new(0),
            listener: Mutex::new(listener),
            accepted: Mutex::new(accepted),
            port: address.map_or(0, |address| address.port()),
            shared: Arc::new(shared),
        })
    }

    /// The port that is open.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The shared state, for stopping and observing from another thread.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Accepts and serves until the stop flag is raised; then waits for the operations in hand, at
    /// most [`STOP_WAIT_MS`], or until the flag is raised a second time.
    pub fn run(&self) {
        self.clear_stale_parts_beside();
        let watch = self.shared.service.events.as_ref().and_then(Events::watch);
        let mut next_id = 0;
        while !self.shared.stop.is_raised() {
            if let Some(stream) = self.next_connection() {
                next_id += 1;
                self.spawn(next_id, stream);
            }
        }
        self.stop_listening();
        let deadline = Instant::now() + Duration::from_millis(STOP_WAIT_MS);
        self.wait_for_threads();
        self.finish_events(watch, deadline);
    }

    /// Ends the studies that are open, and starts the commands that wait.
    fn finish_events(&self, watch: Option<Watch>, deadline: Instant) {
        if let Some(watch) = watch {
            watch.end(deadline);
        }
        if let Some(events) = &self.shared.service.events {
            events.finish(deadline);
        }
    }

    /// Waits a slice for a connection, for [`Server::serve_accepted`]; true if there is one.
    pub fn accept(&self) -> bool {
        let stream = self.next_connection();
        let is_there = stream.is_some();
        *lock(&self.accepted) = stream;
        is_there
    }

    /// Forgets the connection that was accepted: a child serves it.
    pub fn forget_accepted(&self) {
        *lock(&self.accepted) = None;
    }

    /// Serves the one connection that was accepted, in a process of its own at `place` (0 where
    /// nobody else is), until it ends or, after a stop was asked for, for [`STOP_WAIT_MS`].
    pub fn serve_accepted(&self, place: usize) {
        // The port is the parent's: it may be closed and opened again while this one still serves.
        *lock(&self.listener) = None;
        *lock(&self.spare) = None;
        self.shared.places.own.store(place, Ordering::Relaxed);
        let Some(stream) = lock(&self.accepted).take() else { return };
        if !self.shared.service.is_forking {
            self.clear_stale_parts_beside();
        }
        self.shared.counters.connections.fetch_add(1, Ordering::Relaxed);
        let watch = self.shared.service.events.as_ref().and_then(Events::watch);
        self.spawn(1, stream);
        let mut alive = lock(&self.shared.threads.0);
        while *alive > 0 && !self.shared.stop.is_raised() {
            (alive, _) = self
                .shared
                .threads
                .1
                .wait_timeout(alive, SLICE)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(alive);
        let deadline = Instant::now() + Duration::from_millis(STOP_WAIT_MS);
        self.wait_for_threads();
        self.finish_events(watch, deadline);
    }

    /// The place is a process's that is about to be forked, or nobody's any more.
    pub fn clear_place(&self, place: usize) {
        if let Some(state) = self.shared.places.of(place) {
            state.store(PENDING, Ordering::Release);
        }
    }

    /// True if the process at `place` has no association, and will get none from now on.
    pub fn evict(&self, place: usize) -> bool {
        self.shared.places.of(place).is_some_and(|state| changed(state, PENDING, EVICTED))
    }

    /// True if the process at `place` has an association.
    pub fn is_associated(&self, place: usize) -> bool {
        let state = self.shared.places.of(place);
        state.is_some_and(|state| state.load(Ordering::Acquire) == ASSOCIATED)
    }

    /// Closes the port. Nobody is kept waiting in the queue of a server that will not answer: from
    /// here on peers are refused by the system. (Linux ends listening on shutdown.)
    pub fn stop_listening(&self) {
        if let Some(listener) = lock(&self.listener).take() {
            let _ = socket2::SockRef::from(&*listener).shutdown(Shutdown::Both);
        }
        *lock(&self.spare) = None;
    }

    /// Waits a slice for a connection.
    fn next_connection(&self) -> Option<TcpStream> {
        let listener = lock(&self.listener).clone()?;
        // accept() then returns every slice, and the stop flag is seen.
        let _ = socket2::SockRef::from(&*listener).set_read_timeout(Some(SLICE));
        let error = match listener.accept() {
            Ok((stream, _)) => {
                self.note_trouble(0);
                self.hold_a_spare(&listener);
                self.shared.counters.connections.fetch_add(1, Ordering::Relaxed);
                return Some(stream);
            }
            Err(error) => error,
        };
        if self.shared.stop.is_raised() {
            return None;
        }
        match error.raw_os_error() {
            // A slice without a connection.
            Some(libc::EAGAIN) => {
                self.note_trouble(0);
                self.hold_a_spare(&listener);
            }
            Some(libc::EINTR | libc::ECONNABORTED | libc::EPROTO) => {}
            code => {
                let code = code.unwrap_or(libc::EIO);
                let is_new = self.note_trouble(code);
                let is_out = matches!(code, libc::EMFILE | libc::ENFILE);
                match (is_new, is_out) {
                    (true, true) => self.say(format_args!(
                        "out of descriptors, refusing connections until there are some: {error}"
                    )),
                    (true, false) => self.say(format_args!("cannot accept a connection: {error}")),
                    (false, _) => {}
                }
                // The system does not wait for a connection in this state: without a pause of ours
                // the loop would spin.
                if !(is_out && self.refuse_with_the_spare(&listener)) {
                    pause(&self.shared.stop, SLICE);
                }
            }
        }
        None
    }

    /// Notes the state of accepting; true if it is another one than before. One that lasts is told
    /// once, not at every turn.
    fn note_trouble(&self, code: i32) -> bool {
        self.trouble.swap(code, Ordering::Relaxed) != code
    }

    /// Out of descriptors: the spare one is given up to accept a connection and close it, for which
    /// at most a slice is waited. False where there is no spare: another thread had the descriptor
    /// first, and it is tried again in the next turn.
    fn refuse_with_the_spare(&self, listener: &TcpListener) -> bool {
        if lock(&self.spare).take().is_none() {
            self.hold_a_spare(listener);
            return false;
        }
        let was_waiting = match listener.accept() {
            Ok(_) => true,
            Err(error) => error.raw_os_error() == Some(libc::EAGAIN),
        };
        self.hold_a_spare(listener);
        was_waiting
    }

    /// Takes a spare descriptor where there is none and the system has one.
    fn hold_a_spare(&self, listener: &TcpListener) {
        let mut spare = lock(&self.spare);
        if spare.is_none() {
            *spare = listener.try_clone().ok();
        }
    }

    /// Removes what a crashed receiver left, and says if it cannot.
    pub fn clear_stale_parts(&self) {
        clear_stale_parts(&self.shared.service);
    }

    /// The same beside the first associations, so that a directory of millions delays no start.
    fn clear_stale_parts_beside(&self) {
        let shared = self.shared();
        let spawned = thread::Builder::new()
            .name("stale part files".into())
            .stack_size(ASSOCIATION_STACK_BYTES)
            .spawn(move || clear_stale_parts(&shared.service));
        if spawned.is_err() {
            self.say(format_args!("cannot start a thread: part files of a crashed receiver stay"));
        }
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        self.shared.service.logger.line(Level::Error, "dcmfast.server", text);
    }

    /// Serves one connection in a thread of its own.
    fn spawn(&self, id: u64, stream: TcpStream) {
        let number = stream.as_raw_fd();
        let connection = match Connection::new(stream, self.shared.service.transport) {
            Ok(connection) => connection,
            // The peer is gone already.
            Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => return,
            // What inetd gave us is no connection of TCP.
            Err(error) => {
                let code = "Receiving Association failed: 0006:031c TCP Initialization Error";
                let why = system_text(&error);
                self.shared.service.logger.line(
                    Level::Error,
                    "dcmtk.apps.storescp",
                    format_args!("{code}: {why}, getpeername failed on socket {number}"),
                );
                return;
            }
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

fn clear_stale_parts(service: &Service) {
    let Objects::Directory(store) = &service.objects else { return };
    if let Err(error) = store.remove_stale_parts() {
        service.logger.line(
            Level::Warn,
            "dcmfast.server",
            format_args!("cannot remove part files of a crashed receiver: {error}"),
        );
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
        // Within TLS there is nobody left to encrypt it.
        if shared.service.tls.is_none() {
            let _ = connection.write(&encode_abort(Abort::NOT_SPECIFIED));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit holds over processes, each of which knows its own place; what a dead one had is
    /// free when its place is cleared, and an evicted one gets in no more.
    #[test]
    fn places_of_processes() {
        let places = Places::new(3).unwrap();
        let state = |place| places.of(place).unwrap();
        let enter_as = |place| {
            places.own.store(place, Ordering::Relaxed);
            places.enter(2)
        };
        assert!(enter_as(1) && enter_as(2) && !enter_as(3));
        assert_eq!(state(3).load(Ordering::Relaxed), PENDING);
        places.own.store(2, Ordering::Relaxed);
        places.leave();
        assert!(enter_as(3) && !enter_as(2));
        // The process at 1 is killed, and its parent sees it.
        state(1).store(PENDING, Ordering::Relaxed);
        assert!(changed(state(2), PENDING, EVICTED));
        assert!(!enter_as(2));
        assert!(enter_as(1));
        assert!(!changed(state(1), PENDING, EVICTED), "it has an association");
        assert!(places.of(0).is_none() && places.of(4).is_none());
    }

    /// Threads of one process are counted.
    #[test]
    fn places_of_threads() {
        let places = Places::new(0).unwrap();
        assert!(places.enter(2) && places.enter(2) && !places.enter(2));
        places.leave();
        assert!(places.enter(2) && !places.enter(2));
    }
}
