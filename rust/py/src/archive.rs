//! The tables of an archive as Python compiles them (`dcmfast.policy.archive.ArchiveTables`).
//!
//! Read once, when a server is made; associations then run without the interpreter.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::archive::area::{AreaOptions, Quota};
use dcmfast_core::dataset::character_set::Illegal;
use dcmfast_core::index::answer::AnswerCharacterSet;
use dcmfast_core::index::query::{RuleSet, Rules};
use dcmfast_core::server::access::{AllowedPeer, Application, Archive};
use dcmfast_core::server::areas::AreaSlot;
use dcmfast_core::server::destinations::{Destination, Destinations};
use dcmfast_core::server::find::FindSettings;
use dcmfast_core::uid::Uid;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::server::uid;

/// `dcmfast.policy.archive.Peer`.
#[derive(FromPyObject)]
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
struct ResponseCharacterSet {
    follows_request: bool,
    falls_back: bool,
    character_set: String,
    transliterates: bool,
    discards: bool,
}

/// `dcmfast.policy.archive.ProposedContexts`.
#[derive(FromPyObject)]
struct ProposedContexts {
    transfer_syntaxes: Vec<String>,
    profile: Option<Vec<(String, Vec<String>)>>,
}

/// `dcmfast.policy.archive.ArchiveTables`.
#[derive(FromPyObject)]
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

fn uids(texts: &[String]) -> PyResult<Vec<Uid>> {
    texts.iter().map(|text| uid(text)).collect()
}

impl PeerRecord {
    fn located(&self) -> PyResult<Vec<IpAddr>> {
        let address = |text: &String| {
            text.parse::<IpAddr>()
                .map_err(|_| PyValueError::new_err(format!("{text:?} is no address")))
        };
        self.addresses.iter().map(address).collect()
    }

    fn allowed(self) -> PyResult<AllowedPeer> {
        let addresses = self.located()?;
        Ok(AllowedPeer { ae_title: title(&self.ae_title), host: self.host, addresses })
    }

    fn destination(self) -> PyResult<Destination> {
        let addresses = self.located()?;
        let Self { ae_title, host, port, .. } = self;
        Ok(Destination { ae_title: title(&ae_title), host, port, addresses })
    }
}

impl ResponseCharacterSet {
    fn compile(self) -> AnswerCharacterSet {
        AnswerCharacterSet {
            overrides: !self.follows_request,
            falls_back: self.falls_back,
            character_set: self.character_set.into_bytes(),
            illegal: match (self.transliterates, self.discards) {
                (false, false) => Illegal::Abort,
                (true, false) => Illegal::Transliterate,
                (false, true) => Illegal::Discard,
                (true, true) => Illegal::TransliterateOrDiscard,
            },
        }
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
        let set = match &*self.matching {
            "dcmtk" => RuleSet::Dcmtk,
            "standard" => RuleSet::Standard,
            other => return Err(PyValueError::new_err(format!("no matching named {other:?}"))),
        };
        let rules = |checks_identifier| Rules { set, checks_identifier, ..Rules::default() };
        let character_set = self.response_character_set.compile();
        let ProposedContexts { transfer_syntaxes, profile } = self.proposed_contexts;
        let context =
            |(class, syntaxes): (String, Vec<String>)| Ok((uid(&class)?, uids(&syntaxes)?));
        let destinations = Destinations {
            table: self
                .destinations
                .into_iter()
                .map(PeerRecord::destination)
                .collect::<PyResult<_>>()?,
            vendors: self
                .vendors
                .iter()
                .map(|vendor| vendor.iter().map(|text| title(text)).collect())
                .collect(),
            is_by_title: self.is_move_by_title,
            is_by_host: self.is_move_by_host,
            is_by_vendor: self.is_move_by_vendor,
            transfer_syntaxes: uids(&transfer_syntaxes)?,
            profile: profile
                .map(|contexts| contexts.into_iter().map(context).collect::<PyResult<_>>())
                .transpose()?,
            connect_timeout: self
                .connection_timeout_s
                .map(|seconds| Duration::from_secs(u64::from(seconds))),
            ..Destinations::default()
        };
        Ok(Archive {
            areas,
            find: FindSettings { rules: rules(self.is_find_checked), character_set },
            retrieve: rules(self.is_move_checked),
            destinations,
            applications,
            default_application: self.default_application,
            is_find_required: self.is_find_required,
            is_store_exclusive: self.is_store_exclusive,
            is_shutdown_allowed: self.is_shutdown_allowed,
            ..Archive::default()
        })
    }
}
