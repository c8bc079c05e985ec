//! The tables of an archive as Python compiles them (`dcmfast.policy.archive.ArchiveTables`).
//!
//! Read once, when a server is made; associations then run without the interpreter.

use std::net::IpAddr;
use std::path::PathBuf;

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::archive::area::{AreaOptions, Quota};
use dcmfast_core::server::access::{AllowedPeer, Application, Archive};
use dcmfast_core::server::areas::AreaSlot;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// `dcmfast.policy.archive.Peer`.
#[derive(FromPyObject)]
#[allow(dead_code, reason = "read by the query and retrieve services")]
pub struct PeerRecord {
    ae_title: String,
    host: String,
    port: u16,
    addresses: Vec<String>,
}

/// `dcmfast.policy.archive.Application`.
#[derive(FromPyObject)]
struct ApplicationRecord {
    ae_title: String,
    directory: PathBuf,
    may_store: bool,
    is_open: bool,
    peers: Vec<PeerRecord>,
    studies_max: Option<u64>,
    study_bytes_max: Option<u64>,
}

/// `dcmfast.policy.archive.ResponseCharacterSet`.
#[derive(FromPyObject)]
#[allow(dead_code, reason = "read by the query and retrieve services")]
struct ResponseCharacterSet {
    follows_request: bool,
    character_set: String,
    transliterates: bool,
    discards: bool,
}

/// `dcmfast.policy.archive.ProposedContexts`.
#[derive(FromPyObject)]
#[allow(dead_code, reason = "read by the query and retrieve services")]
struct ProposedContexts {
    transfer_syntaxes: Vec<String>,
    profile: Option<Vec<(String, Vec<String>)>>,
}

/// `dcmfast.policy.archive.ArchiveTables`.
#[derive(FromPyObject)]
#[allow(dead_code, reason = "read by the query and retrieve services")]
pub struct Tables {
    applications: Vec<ApplicationRecord>,
    default_application: Option<usize>,
    destinations: Vec<PeerRecord>,
    vendors: Vec<Vec<String>>,
    is_move_by_title: bool,
    is_move_by_host: bool,
    is_move_by_vendor: bool,
    matching: String,
    is_find_checked: bool,
    is_move_checked: bool,
    is_find_required: bool,
    is_store_exclusive: bool,
    is_shutdown_allowed: bool,
    response_character_set: ResponseCharacterSet,
    proposed_contexts: ProposedContexts,
    connection_timeout_s: Option<u32>,
}

fn title(text: &str) -> AeTitle {
    AeTitle::new(text.as_bytes())
}

impl PeerRecord {
    fn allowed(self) -> PyResult<AllowedPeer> {
        let address = |text: &String| {
            text.parse::<IpAddr>()
                .map_err(|_| PyValueError::new_err(format!("{text:?} is no address")))
        };
        let addresses = self.addresses.iter().map(address).collect::<PyResult<_>>()?;
        Ok(AllowedPeer { ae_title: title(&self.ae_title), host: self.host, addresses })
    }
}

impl Tables {
    /// The archive as the engine serves it; `options` makes those of an area from its quota.
    ///
    /// Two applications of one directory share the area, and the first one's quota holds.
    pub fn compile(self, options: impl Fn(Option<Quota>) -> AreaOptions) -> PyResult<Archive> {
        let mut areas: Vec<AreaSlot> = Vec::new();
        let mut applications = Vec::with_capacity(self.applications.len());
        for one in self.applications {
            let quota =
                (one.studies_max.is_some() || one.study_bytes_max.is_some()).then(|| Quota {
                    studies_max: one.studies_max.unwrap_or(u64::MAX),
                    bytes_per_study_max: one.study_bytes_max.unwrap_or(u64::MAX),
                });
            let known = areas.iter().position(|slot| slot.directory() == one.directory);
            let area = known.unwrap_or_else(|| {
                areas.push(AreaSlot::new(one.directory, options(quota)));
                areas.len() - 1
            });
            let peers = if one.is_open {
                None
            } else {
                Some(one.peers.into_iter().map(PeerRecord::allowed).collect::<PyResult<_>>()?)
            };
            applications.push(Application {
                ae_title: title(&one.ae_title),
                area,
                may_store: one.may_store,
                peers,
            });
        }
        Ok(Archive {
            areas,
            applications,
            default_application: self.default_application,
            is_find_required: self.is_find_required,
            is_store_exclusive: self.is_store_exclusive,
            is_shutdown_allowed: self.is_shutdown_allowed,
            ..Archive::default()
        })
    }
}
