//! Host names of peers, looked up off the hot path.
//!
//! DCMTK asks the resolver for every association unless `--disable-host-lookup` is given, and waits
//! as long as the resolver likes (DIFFERENCES.md E3). Here a name is asked for only when a log line
//! or a rule of access control wants it, by a thread of its own, is remembered for a while, and is
//! given up on after [`LOOKUP_WAIT`] or [`VERIFICATION_WAIT`]: a line shows the address in its
//! place, a rule takes the name for unknown. Who waits holds up nobody else. Called by `server`.

use std::collections::HashMap;
use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockAddr;

use crate::limits::{HOST_LOOKUPS_MAX, HOST_NAME_AGE_S, HOST_NAMES_MAX};

/// Longest wait for a name that is only shown.
pub const LOOKUP_WAIT: Duration = Duration::from_secs(1);
/// Longest wait for a name that decides: one attempt of the system's resolver.
pub const VERIFICATION_WAIT: Duration = Duration::from_secs(5);

/// What is known of a host's name that must be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifiedName {
    /// A name that leads back to the address.
    Known(Arc<str>),
    /// There is none.
    Unknown,
    /// The name does not lead back to the address: who controls the address chose it.
    Paranoid,
    /// Nobody has said in time; what holds for the name is not known.
    Late,
}

/// The resolver of one server.
#[derive(Clone)]
pub struct HostNames {
    enabled: bool,
    names: Arc<Lookups<Option<Arc<str>>>>,
    verified: Arc<Lookups<VerifiedName>>,
}

impl HostNames {
    /// A resolver; with `enabled` false lines show addresses (`--disable-host-lookup`).
    pub fn new(enabled: bool) -> Self {
        let shown = |address| reverse_lookup(address).filter(|name| is_legal(name)).map(Arc::from);
        Self {
            enabled,
            names: Arc::new(Lookups::new(shown)),
            verified: Arc::new(Lookups::new(verify)),
        }
    }

    /// False with `--disable-host-lookup`.
    pub fn are_looked_up(&self) -> bool {
        self.enabled
    }

    /// The name of `address`, or the address itself when lookups are off, fail or take too long.
    pub fn name(&self, address: IpAddr) -> Arc<str> {
        let found = self.enabled.then(|| self.names.ask(address, LOOKUP_WAIT)).flatten().flatten();
        found.unwrap_or_else(|| Arc::from(address.to_string()))
    }

    /// The name of `address` if it leads back there; without lookups every name is unknown, to
    /// rules, too, as to DCMTK's.
    pub fn verified(&self, address: IpAddr) -> VerifiedName {
        if !self.enabled {
            return VerifiedName::Unknown;
        }
        self.verified.ask(address, VERIFICATION_WAIT).unwrap_or(VerifiedName::Late)
    }
}

/// One kind of question to the resolver, with its answers.
struct Lookups<T> {
    look_up: fn(IpAddr) -> T,
    known: Mutex<Known<T>>,
    ready: Condvar,
}

struct Known<T> {
    /// When and what was answered; `None` while a lookup runs.
    answers: HashMap<IpAddr, Option<(Instant, T)>>,
    /// Lookups under way: a resolver that is stuck must not be given threads without end.
    running: usize,
}

impl<T: Clone + Send + 'static> Lookups<T> {
    fn new(look_up: fn(IpAddr) -> T) -> Self {
        let known = Known { answers: HashMap::new(), running: 0 };
        Self { look_up, known: Mutex::new(known), ready: Condvar::new() }
    }

    /// The answer, from memory or within `wait`.
    fn ask(self: &Arc<Self>, address: IpAddr, wait: Duration) -> Option<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.answers.get(&address) {
            Some(Some((at, answer))) if at.elapsed() < Duration::from_secs(HOST_NAME_AGE_S) => {
                return Some(answer.clone());
            }
            Some(None) => {}
            Some(Some(_)) | None => {
                if known.running >= HOST_LOOKUPS_MAX {
                    return None;
                }
                if known.answers.len() >= HOST_NAMES_MAX {
                    // Whoever waits for one that runs still gets it.
                    known.answers.retain(|_, answer| answer.is_none());
                }
                let lookups = Arc::clone(self);
                let run = move || {
                    let answer = (lookups.look_up)(address);
                    let mut known = lookups.known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.running -= 1;
                    known.answers.insert(address, Some((Instant::now(), answer)));
                    lookups.ready.notify_all();
                };
                thread::Builder::new().name("host name".into()).spawn(run).ok()?;
                known.running += 1;
                known.answers.insert(address, None);
            }
        }
        let (known, _) = self
            .ready
            .wait_timeout_while(known, wait, |known| {
                matches!(known.answers.get(&address), Some(None))
            })
            .unwrap_or_else(PoisonError::into_inner);
        known.answers.get(&address)?.as_ref().map(|(_, answer)| answer.clone())
    }
}

/// The name of `address`, if it leads back to it.
fn verify(address: IpAddr) -> VerifiedName {
    let Some(name) = reverse_lookup(address) else { return VerifiedName::Unknown };
    // A name that is an address would match rules for that address.
    if !is_legal(&name) || name.parse::<IpAddr>().is_ok() {
        return VerifiedName::Paranoid;
    }
    let leads_back = (&*name, 0)
        .to_socket_addrs()
        .is_ok_and(|mut all| all.any(|one| one.ip().to_canonical() == address));
    if leads_back { VerifiedName::Known(name.into()) } else { VerifiedName::Paranoid }
}

/// A name comes from a resolver that a peer may influence: only host name characters pass.
fn is_legal(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    !name.is_empty() && name.bytes().all(legal)
}

/// Asks the system for the name of `address`.
#[allow(unsafe_code)]
fn reverse_lookup(address: IpAddr) -> Option<String> {
    let socket_address = SockAddr::from(SocketAddr::new(address, 0));
    let mut host = [0 as libc::c_char; 1025];
    // SAFETY: the address is a valid one of the length that SockAddr states, and the buffer is
    // writable for the length passed; getnameinfo writes a terminated string into it on success.
    let code = unsafe {
        libc::getnameinfo(
            socket_address.as_ptr().cast(),
            socket_address.len(),
            host.as_mut_ptr(),
            host.len() as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if code != 0 {
        return None;
    }
    // SAFETY: getnameinfo succeeded, so the buffer holds a string with its terminator.
    let name = unsafe { CStr::from_ptr(host.as_ptr()) };
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-dhl`: no lookup, the address is shown.
    #[test]
    fn disabled_lookups_show_the_address() {
        let names = HostNames::new(false);
        assert_eq!(&*names.name("127.0.0.1".parse().unwrap()), "127.0.0.1");
    }

    /// A name or the address, never nothing, and the second time from memory.
    #[test]
    fn a_lookup_always_gives_something() {
        let names = HostNames::new(true);
        let first = names.name("127.0.0.1".parse().unwrap());
        assert!(!first.is_empty());
        assert_eq!(names.name("127.0.0.1".parse().unwrap()), first);
    }

    /// What is believed leads back; with `-dhl` nothing is asked.
    #[test]
    fn a_verified_name_leads_back() {
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        if let VerifiedName::Known(name) = HostNames::new(true).verified(address) {
            let mut all = (&*name, 0).to_socket_addrs().unwrap();
            assert!(all.any(|one| one.ip() == address));
        }
        assert_eq!(HostNames::new(false).verified(address), VerifiedName::Unknown);
        // 192.0.2.0/24 is nobody's (RFC 5737), so that no name can lead back there.
        let nobody = verify("192.0.2.77".parse().unwrap());
        assert!(!matches!(nobody, VerifiedName::Known(_)));
    }

    /// A stuck resolver costs who asks the wait, nobody else, and a bounded number of threads; an
    /// answer that comes late is there for the next one who asks.
    #[test]
    fn a_stuck_resolver_is_given_up_on() {
        static GATE: Mutex<()> = Mutex::new(());
        let closed = GATE.lock().unwrap();
        let lookups = Arc::new(Lookups::new(|address| {
            if address != IpAddr::from([0, 0, 0, 0]) {
                drop(GATE.lock());
            }
            7
        }));
        let wait = Duration::from_millis(1);
        let stuck = |number: usize| IpAddr::from([10, 0, 0, u8::try_from(number).unwrap() + 1]);
        assert_eq!(lookups.ask(stuck(0), wait), None);
        assert_eq!(lookups.ask([0, 0, 0, 0].into(), Duration::from_secs(10)), Some(7));
        for number in 0..HOST_LOOKUPS_MAX + 5 {
            assert_eq!(lookups.ask(stuck(number), wait), None);
        }
        assert_eq!(lookups.known.lock().unwrap().running, HOST_LOOKUPS_MAX);
        // Beyond the bound nobody waits.
        assert_eq!(lookups.ask([11, 0, 0, 1].into(), Duration::from_secs(1000)), None);
        // Many names that are known cost no one his answer.
        {
            let mut known = lookups.known.lock().unwrap();
            let second =
                |number: u32| IpAddr::from(std::net::Ipv4Addr::from_bits((20 << 24) + number));
            known
                .answers
                .extend((0..HOST_NAMES_MAX as u32).map(|n| (second(n), Some((Instant::now(), 7)))));
            known.running = 0;
        }
        assert_eq!(lookups.ask([12, 0, 0, 1].into(), wait), None);
        {
            let mut known = lookups.known.lock().unwrap();
            assert!(known.answers.len() <= HOST_LOOKUPS_MAX + 1);
            assert!(known.answers.contains_key(&stuck(0)));
            known.running = HOST_LOOKUPS_MAX + 1;
        }
        drop(closed);
        assert_eq!(lookups.ask(stuck(0), Duration::from_secs(10)), Some(7));
    }
}
