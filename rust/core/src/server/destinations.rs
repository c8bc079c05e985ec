//! Where C-MOVE may send to, as plain tables: titles with host and port, and who may name them.
//!
//! Compiled once in Python (`policy/move.py`), which gives the order of look-up: the peers of all AE
//! lines, then the host table; each title once. A title that is not here is never resolved and never
//! connected to (PROMISES.md §5). Host names are resolved when a move needs them, in a thread of
//! their own and for a bounded time, so that a slow resolver costs one move and nobody else.
//! Source: PS3.4 §C.4.2, PS3.7 §9.1.4; restrictions and answers are DCMTK 3.6.7's. Called by
//! `server::retrieve`.

use std::fmt;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::retrieve::lines::MoveTurns;
use crate::ae_title::AeTitle;
use crate::log::escaped;
use crate::net::tcp::{IpAddr, SocketAddr, resolve};
use crate::uid::Uid;

/// One application entity that can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its AE title.
    pub ae_title: AeTitle,
    /// Its host, as the configuration names it.
    pub host: String,
    /// Its port; 0 when the configuration has none, and it cannot be sent to.
    pub port: u16,
    /// What `host` resolved to at start: used where it does not resolve any more.
    pub addresses: Vec<IpAddr>,
}

/// What sub-associations propose, and whom they go to.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    /// Each title once.
    pub table: Vec<Destination>,
    /// AE titles of each vendor.
    pub vendors: Vec<Vec<AeTitle>>,
    /// `-ZA`: the destination must have the calling AE title.
    pub is_by_title: bool,
    /// `-ZH`: the destination must be on the calling host; the texts are compared.
    pub is_by_host: bool,
    /// `-ZV`: destination and calling AE title must be of one vendor.
    pub is_by_vendor: bool,
    /// Transfer syntaxes proposed for every class, most wanted first (`-x…`).
    pub transfer_syntaxes: Vec<Uid>,
    /// Contexts of a profile (`-xf`), in place of the former.
    pub profile: Option<Vec<(Uid, Vec<Uid>)>>,
    /// Longest wait for a connection; `None` takes the default of `limits.rs`.
    pub connect_timeout: Option<Duration>,
    /// How many sub-associations there are, and who waits for one.
    pub turns: Arc<MoveTurns>,
}

/// Why a destination is none: A801H to the peer, and in plain words to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSentTo {
    /// The request names none.
    Missing,
    /// No table has the title.
    Unknown(AeTitle),
    /// The title has no port.
    NoPort(AeTitle),
    /// `-ZA`
    OtherTitle(AeTitle),
    /// `-ZH`
    OtherHost {
        /// The destination.
        ae_title: AeTitle,
        /// Its host.
        host: String,
        /// The caller's.
        caller: String,
    },
    /// `-ZV`
    OtherVendor(AeTitle),
}

impl fmt::Display for NotSentTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("the request names no move destination"),
            Self::Unknown(title) => write!(
                formatter,
                "move destination {} is not known: no peer of an AE line and no entry of the \
                 HostTable has that title",
                escaped(title.as_bytes())
            ),
            Self::NoPort(title) => write!(
                formatter,
                "move destination {} has no port in the configuration",
                escaped(title.as_bytes())
            ),
            Self::OtherTitle(title) => write!(
                formatter,
                "move destination {} is not the caller, and --move-aetitle (-ZA) allows no other",
                escaped(title.as_bytes())
            ),
            Self::OtherHost { ae_title, host, caller } => write!(
                formatter,
                "move destination {} is on host {host}, the caller on {caller}, and --move-host \
                 (-ZH) wants one host",
                escaped(ae_title.as_bytes())
            ),
            Self::OtherVendor(title) => write!(
                formatter,
                "move destination {} is not of the caller's vendor, and --move-vendor (-ZV) allows \
                 no other",
                escaped(title.as_bytes())
            ),
        }
    }
}

impl Destinations {
    /// The entry of `wanted`, if `calling` on `caller_host` may send there.
    ///
    /// # Errors
    ///
    /// See [`NotSentTo`].
    pub fn find(
        &self,
        wanted: Option<AeTitle>,
        calling: AeTitle,
        caller_host: impl FnOnce() -> String,
    ) -> Result<&Destination, NotSentTo> {
        let wanted = wanted.filter(|title| !title.is_empty()).ok_or(NotSentTo::Missing)?;
        let found = self.table.iter().find(|one| one.ae_title == wanted);
        let found = found.ok_or(NotSentTo::Unknown(wanted))?;
        if self.is_by_title && wanted != calling {
            return Err(NotSentTo::OtherTitle(wanted));
        }
        if self.is_by_host {
            let caller = caller_host();
            if caller != found.host {
                let host = found.host.clone();
                return Err(NotSentTo::OtherHost { ae_title: wanted, host, caller });
            }
        }
        let is_of_one =
            |vendor: &Vec<AeTitle>| vendor.contains(&wanted) && vendor.contains(&calling);
        if self.is_by_vendor && !self.vendors.iter().any(is_of_one) {
            return Err(NotSentTo::OtherVendor(wanted));
        }
        if found.port == 0 {
            return Err(NotSentTo::NoPort(wanted));
        }
        Ok(found)
    }
}

impl Destination {
    /// The addresses of this destination, asked for in a thread of its own.
    ///
    /// # Errors
    ///
    /// The resolver's, and `TimedOut` when it does not answer within `wait`.
    pub fn addresses(&self, wait: Duration) -> io::Result<Vec<SocketAddr>> {
        // An address needs no resolver and no thread.
        if let Ok(address) = self.host.parse() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let (host, port) = (self.host.clone(), self.port);
        let ask = move || {
            // Nobody waits any more when the answer came too late.
            let _ = sender.send(resolve(&host, port));
        };
        thread::Builder::new().name("destination".into()).spawn(ask)?;
        let resolved = receiver.recv_timeout(wait).unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the resolver does not answer"))
        });
        match resolved {
            Err(_) if !self.addresses.is_empty() => {
                let address = |ip: &IpAddr| SocketAddr::new(*ip, self.port);
                Ok(self.addresses.iter().map(address).collect())
            }
            resolved => resolved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(text: &str) -> AeTitle {
        AeTitle::new(text.as_bytes())
    }

    fn tables() -> Destinations {
        let one = |ae_title: &str, host: &str, port| Destination {
            ae_title: title(ae_title),
            host: host.into(),
            port,
            addresses: Vec::new(),
        };
        Destinations {
            table: vec![one("WS1", "here", 104), one("WS2", "there", 104), one("MUTE", "here", 0)],
            vendors: vec![vec![title("WS1"), title("CT")]],
            ..Destinations::default()
        }
    }

    fn find(tables: &Destinations, wanted: &str, calling: &str) -> Result<String, NotSentTo> {
        let found = tables.find(Some(title(wanted)), title(calling), || "here".into());
        found.map(|destination| destination.host.clone())
    }

    /// Exact titles, trailing blanks aside; what no table has is never looked for elsewhere.
    #[test]
    fn destinations_are_found_by_title() {
        let tables = tables();
        assert_eq!(find(&tables, "WS2  ", "CT"), Ok("there".into()));
        assert_eq!(find(&tables, "ws2", "CT"), Err(NotSentTo::Unknown(title("ws2"))));
        assert_eq!(find(&tables, "localhost", "CT"), Err(NotSentTo::Unknown(title("localhost"))));
        assert_eq!(find(&tables, " ", "CT"), Err(NotSentTo::Missing));
        assert_eq!(find(&tables, "MUTE", "CT"), Err(NotSentTo::NoPort(title("MUTE"))));
        assert_eq!(tables.find(None, title("CT"), || "here".into()), Err(NotSentTo::Missing));
    }

    /// `-ZA`, `-ZH` and `-ZV`, each with the neighbour that it lets pass.
    #[test]
    fn restrictions() {
        let by_title = Destinations { is_by_title: true, ..tables() };
        assert_eq!(find(&by_title, "WS1", "WS1"), Ok("here".into()));
        assert_eq!(find(&by_title, "WS1", "WS2"), Err(NotSentTo::OtherTitle(title("WS1"))));
        let by_host = Destinations { is_by_host: true, ..tables() };
        assert_eq!(find(&by_host, "WS1", "WS2"), Ok("here".into()));
        assert!(matches!(find(&by_host, "WS2", "WS2"), Err(NotSentTo::OtherHost { .. })));
        let by_vendor = Destinations { is_by_vendor: true, ..tables() };
        assert_eq!(find(&by_vendor, "WS1", "CT"), Ok("here".into()));
        assert_eq!(find(&by_vendor, "WS2", "CT"), Err(NotSentTo::OtherVendor(title("WS2"))));
        assert_eq!(find(&by_vendor, "WS2", "WS2"), Err(NotSentTo::OtherVendor(title("WS2"))));
    }

    /// An address is taken as it is; a name that does not exist is an error within the time.
    #[test]
    fn addresses_are_bounded_in_time() {
        let at_start = |host: &str, addresses: &[IpAddr]| Destination {
            ae_title: title("X"),
            host: host.into(),
            port: 104,
            addresses: addresses.to_vec(),
        };
        let named = |host: &str| at_start(host, &[]);
        let wait = Duration::from_secs(5);
        assert_eq!(named("127.0.0.1").addresses(wait).unwrap().len(), 1);
        assert!(!named("localhost").addresses(wait).unwrap().is_empty());
        assert!(named("no such host").addresses(wait).is_err());
        let known: IpAddr = "127.0.0.9".parse().unwrap();
        let found = at_start("no such host", &[known]).addresses(wait).unwrap();
        assert_eq!(found, [SocketAddr::new(known, 104)]);
    }
}
