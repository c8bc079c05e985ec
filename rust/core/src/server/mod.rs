//! The acceptor side: accept, negotiate, serve, answer, close.
//!
//! `listener` accepts and limits; `association` is the loop of one peer; `store` is C-STORE; `peer`
//! is an association as an operation sees it that has many answers; `answers` is the one table of what each fault gets; `narration`,
//! `query_narration` and `library_lines` say what happens in DCMTK's words; `events`, `commands` and `command_text` are what storescp does
//! when something was received.

use std::sync::Arc;
use std::time::Duration;

use crate::log::Logger;
use crate::net::buffer::BlockPool;
use crate::net::resolve::HostNames;
use crate::net::tcp::TransportOptions;
use crate::net::tls::TlsContext;
use crate::policy::AcceptorTable;
use crate::storage::writer::{Store, StoreMode};

pub mod access;
pub mod answers;
pub mod areas;
pub mod association;
mod command_text;
pub mod commands;
pub mod conditions;
pub mod destinations;
pub mod events;
pub mod faults;
pub mod find;
pub mod getting;
pub mod host_access;
mod library_lines;
pub mod listener;
pub mod narration;
pub mod peer;
pub mod query_narration;
pub mod retrieve;
pub mod shared_numbers;
pub mod store;

pub use crate::storage::writer::Dialect;
pub use access::Archive;
pub use events::{EventOptions, Events};
pub use faults::Faults;
pub use host_access::HostAccess;
pub use listener::{Counters, Server, Shared, Source};

/// Where a server's objects go.
pub enum Objects {
    /// Into a directory, a file each: a receiver.
    Directory(Arc<Store>),
    /// Into storage areas with an index, by called AE title: an archive.
    Areas(Arc<Archive>),
}

/// What one server does with every association: the front end's decisions, as plain values.
pub struct Service {
    /// Whose words and habits.
    pub dialect: Dialect,
    /// Where lines go.
    pub logger: Arc<Logger>,
    /// Names of peers.
    pub host_names: HostNames,
    /// Which hosts may connect (`--access-control`); `None` lets in all.
    pub host_access: Option<HostAccess>,
    /// Options of every socket.
    pub transport: TransportOptions,
    /// What every connection must be secured with, before anything else (`--enable-tls`).
    pub tls: Option<TlsContext>,
    /// Large read buffers, shared by all associations.
    pub blocks: BlockPool,
    /// Which contexts are accepted, and with which transfer syntaxes.
    pub acceptor: AcceptorTable,
    /// Where objects go.
    pub objects: Objects,
    /// What is done when an object was received or a study is complete; a receiver's.
    pub events: Option<Arc<Events>>,
    /// What is done with their bytes.
    pub mode: StoreMode,
    /// Longest P-DATA-TF announced and accepted, in bytes (`--max-pdu`).
    pub max_pdu_bytes: u32,
    /// Connection opened → A-ASSOCIATE-RQ complete (`--acse-timeout`).
    pub acse_timeout: Duration,
    /// Idle between messages, silence within one (`--socket-timeout`); `None` waits without end.
    /// See [`Service::idle_timeout`].
    pub socket_timeout: Option<Duration>,
    /// Replaces it where given (`--dimse-timeout`).
    pub dimse_timeout: Option<Duration>,
    /// Associations at once.
    pub associations_max: usize,
    /// `--fork`: this process, or its children, serve one connection each.
    pub is_forking: bool,
    /// `--single-process`: one association at a time.
    pub one_at_a_time: bool,
    /// `--refuse`: reject every association.
    pub refuse: bool,
    /// `--fault` and its kind; `None` where none was asked for.
    pub faults: Option<Faults>,
    /// `--reject`: reject a request without implementation class UID.
    pub reject_without_implementation_class_uid: bool,
    /// `--verbose-pc`: association blocks at INFO.
    pub verbose_contexts: bool,
    /// `--very-verbose`: data sets of responses at INFO.
    pub verbose_responses: bool,
}

impl Service {
    /// How long a peer may be silent within a message.
    pub fn silence_timeout(&self) -> Option<Duration> {
        self.dimse_timeout.or(self.socket_timeout)
    }

    /// How long a peer may be silent between messages. Where a silence ends a study (`-tos`), it is
    /// nothing unusual, and the socket timeout does not count: as with DCMTK, whose wait for the
    /// next command goes in slices of that time.
    pub fn idle_timeout(&self) -> Option<Duration> {
        let ends_a_study =
            self.events.as_ref().is_some_and(|events| events.is_silence_the_end_of_a_study());
        if ends_a_study { self.dimse_timeout } else { self.silence_timeout() }
    }
}
