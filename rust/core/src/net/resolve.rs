//! Host names of peers, looked up off the hot path.
//!
//! DCMTK asks the resolver for every association unless `--disable-host-lookup` is given, and waits
//! as long as the resolver likes (DIFFERENCES.md E3). Here a name is asked for only when a log line
//! wants it, by a thread of its own, is remembered, and is given up on after [`LOOKUP_WAIT`]: the
//! address stands in its place. Called by `server`.

use std::collections::HashMap;
use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockAddr;

use crate::limits::HOST_NAMES_MAX;

/// Longest wait for a name.
pub const LOOKUP_WAIT: Duration = Duration::from_secs(1);
/// Names by address; `None` while a lookup runs.
type Names = HashMap<IpAddr, Option<Arc<str>>>;

/// The resolver of one server.
#[derive(Clone)]
pub struct HostNames {
    enabled: bool,
    shared: Arc<(Mutex<Names>, Condvar)>,
}

impl HostNames {
    /// A resolver; with `enabled` false it only prints addresses (`--disable-host-lookup`).
    pub fn new(enabled: bool) -> Self {
        Self { enabled, shared: Arc::default() }
    }

    /// The name of `address`, or the address itself when lookups are off, fail or take too long.
    pub fn name(&self, address: IpAddr) -> Arc<str> {
        let fallback = || Arc::from(address.to_string());
        if !self.enabled {
            return fallback();
        }
        let (names, ready) = &*self.shared;
        let mut known = names.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&address) {
            Some(Some(name)) => return name.clone(),
            Some(None) => {}
            None => {
                if known.len() >= HOST_NAMES_MAX {
                    known.clear();
                }
                known.insert(address, None);
                let shared = Arc::clone(&self.shared);
                let lookup = move || {
                    let name = reverse_lookup(address);
                    let (names, ready) = &*shared;
                    let mut known = names.lock().unwrap_or_else(PoisonError::into_inner);
                    let name = name.unwrap_or_else(|| address.to_string());
                    known.insert(address, Some(Arc::from(name)));
                    ready.notify_all();
                };
                if thread::Builder::new().name("host name".into()).spawn(lookup).is_err() {
                    known.remove(&address);
                    return fallback();
                }
            }
        }
        let (known, _) = ready
            .wait_timeout_while(known, LOOKUP_WAIT, |names| {
                matches!(names.get(&address), Some(None))
            })
            .unwrap_or_else(PoisonError::into_inner);
        known.get(&address).and_then(Clone::clone).unwrap_or_else(fallback)
    }
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
    let name = name.to_str().ok()?;
    // A name comes from a resolver that a peer may influence: only host name characters pass.
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    (!name.is_empty() && name.bytes().all(legal)).then(|| name.to_owned())
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
}
