//! What a requestor remembers of its handshakes, so that its next association with the same peer
//! needs only the short one (RFC 8446 §2.2, RFC 5077).
//!
//! Kept for a process and a [`super::TlsContext`]: a tool that opens several associations, the load
//! generator, a Python program. A ticket of TLS 1.3 is used once, so that nobody on the way can tell
//! that two connections have one requestor (RFC 8446 §C.4); sessions before that serve until they are
//! too old. A peer that does not know a session any more makes the whole handshake, and a short one
//! ends as the long one did: with the certificate that was verified then. Called by `net::tls::stream`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContextBuilder, SslRef, SslSession, SslSessionCacheMode, SslVersion};

use crate::limits::{TLS_SESSION_AGE_S, TLS_SESSIONS_KEPT_MAX};

/// The sessions of a requestor, the newest last.
pub(super) struct Sessions {
    kept: Mutex<VecDeque<Kept>>,
    /// With whom a handshake is held.
    peer: Index<Ssl, SocketAddr>,
}

struct Kept {
    peer: SocketAddr,
    since: Instant,
    session: SslSession,
}

impl Sessions {
    /// Has the library hand over every session that a peer gives.
    pub(super) fn keep_all(builder: &mut SslContextBuilder) -> Result<Arc<Self>, ErrorStack> {
        let peer = Ssl::new_ex_index()?;
        let sessions = Arc::new(Self { kept: Mutex::default(), peer });
        // The library's own memory is one that only servers look into.
        let mode = SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL;
        builder.set_session_cache_mode(mode);
        let keeper = Arc::clone(&sessions);
        builder.set_new_session_callback(move |ssl, session| keeper.keep(ssl, session));
        Ok(sessions)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        // A panic elsewhere leaves plain data behind, every state of which is usable.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, ssl: &SslRef, session: SslSession) {
        let Some(&peer) = ssl.ex_data(self.peer) else { return };
        let mut kept = self.lock();
        if kept.len() >= TLS_SESSIONS_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept { peer, since: Instant::now(), session });
    }

    fn take(&self, peer: SocketAddr) -> Option<SslSession> {
        let mut kept = self.lock();
        kept.retain(|one| one.since.elapsed() < Duration::from_secs(TLS_SESSION_AGE_S));
        let at = kept.iter().rposition(|one| one.peer == peer)?;
        kept.remove(at).map(|one| one.session)
    }

    /// Asks `peer` to go on with what it remembers of us, if it gave us something for that.
    #[allow(unsafe_code)]
    pub(super) fn offer(&self, ssl: &mut SslRef, peer: SocketAddr) {
        ssl.set_ex_data(self.peer, peer);
        let Some(session) = self.take(peer) else { return };
        // SAFETY: the session must come from the context of `ssl`. Those kept here came through the
        // callback of the one context that `keep_all` was called for; its `TlsContext` alone holds
        // these sessions, and makes every `ssl` of a requestor from that context. The library takes a
        // reference of its own.
        let is_offered = unsafe { ssl.set_session(&session) };
        // One that the library does not take is none; the handshake is a whole one.
        drop(is_offered);
    }

    /// The handshake is done: a session that may serve again is kept.
    pub(super) fn done(&self, ssl: &SslRef) {
        let is_used_up = ssl.version2() == Some(SslVersion::TLS1_3);
        if let (true, false, Some(session)) = (ssl.session_reused(), is_used_up, ssl.session()) {
            self.keep(ssl, session.to_owned());
        }
    }
}
