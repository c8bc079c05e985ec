//! Events on their way to a syslog daemon: this host's, over its socket and in the words of
//! syslog(3) (RFC 3164), or another's over UDP, as DCMTK 3.6.7's log4cplus sends them (RFC 5424, RFC
//! 5426).
//!
//! A daemon that hangs or is not there holds nobody up; it is found again by a later event. Called by
//! `appenders`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::layout::{Event, time_text};
use super::{Level, system};

/// Which daemon, and what an event says of its sender.
#[derive(Clone, Debug)]
pub struct SysLog {
    /// Who listens.
    pub daemon: Daemon,
    /// What stands before each message; empty for nothing.
    pub ident: String,
    /// Facility, RFC 5424 §6.2.1.
    pub facility: u8,
}

/// Who listens.
#[derive(Clone, Debug)]
pub enum Daemon {
    /// This host's, at its socket.
    Local(PathBuf),
    /// Another host's.
    Remote {
        /// Name or address.
        host: String,
        /// UDP port.
        port: u16,
        /// What this host calls itself.
        own_name: String,
    },
}

/// The way to a daemon.
pub(super) enum Line {
    Local(Option<UnixDatagram>),
    Remote(UdpSocket),
}

impl SysLog {
    /// Finds out where the daemon is. This host's may start later, another's is only named.
    pub(super) fn open(&self) -> io::Result<Line> {
        let Daemon::Remote { host, port, .. } = &self.daemon else { return Ok(Line::Local(None)) };
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in (host.as_str(), *port).to_socket_addrs()? {
            let own = match address {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            let connected = UdpSocket::bind(own).and_then(|socket| {
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            match connected {
                Ok(socket) => return Ok(Line::Remote(socket)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sends an event whose layout gave `text`.
    pub(super) fn send(&self, line: &mut Line, event: &Event<'_>, text: &str) -> io::Result<()> {
        let datagram = self.datagram(event, text);
        match (line, &self.daemon) {
            (Line::Local(socket), Daemon::Local(path)) => {
                if let Some(connected) = socket.as_ref() {
                    if connected.send(datagram.as_bytes()).is_ok() {
                        return Ok(());
                    }
                    *socket = None;
                }
                let connected = UnixDatagram::unbound()?;
                connected.connect(path)?;
                // A daemon that hangs must not hold an association up.
                connected.set_nonblocking(true)?;
                connected.send(datagram.as_bytes())?;
                *socket = Some(connected);
            }
            (Line::Remote(socket), _) => {
                // An answer that nobody listened comes with the next send, which has then not left.
                let sent = socket.send(datagram.as_bytes());
                sent.or_else(|_| socket.send(datagram.as_bytes()))?;
            }
            // `open` makes the line that the daemon needs.
            (Line::Local(_), Daemon::Remote { .. }) => {}
        }
        Ok(())
    }

    fn datagram(&self, event: &Event<'_>, text: &str) -> String {
        // The levels as log4cplus maps them.
        let severity = match event.level {
            Level::Fatal | Level::Off => 2,
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let priority = u32::from(self.facility) * 8 + severity;
        let ident = &self.ident;
        match &self.daemon {
            Daemon::Local(_) => {
                let time = system::time_text("%b %e %H:%M:%S", event.time.as_secs(), false);
                let tag = if ident.is_empty() { String::new() } else { format!("{ident}: ") };
                format!("<{priority}>{time} {tag}{text}")
            }
            Daemon::Remote { own_name, .. } => {
                let time = time_text("%Y-%m-%dT%H:%M:%S.%qZ", event.time, true);
                // RFC 5424 §6: nothing is a dash.
                let said = |word: &str| if word.is_empty() { "-".to_owned() } else { word.into() };
                let (own_name, ident) = (said(own_name), said(ident));
                let (process, logger) = (event.process, event.logger);
                format!("<{priority}>1 {time} {own_name} {ident} {process} {logger} - {text}")
            }
        }
    }

    /// Where the daemon is, for an error.
    pub(super) fn place(&self) -> PathBuf {
        match &self.daemon {
            Daemon::Local(path) => path.clone(),
            Daemon::Remote { host, port, .. } => format!("syslog at {host}:{port}").into(),
        }
    }
}
