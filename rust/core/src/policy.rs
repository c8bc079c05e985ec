//! What an acceptor accepts, as a plain table: compiled once in Python, read here without Python.
//!
//! A table maps an abstract syntax to transfer syntaxes in the order of *our* preference, and holds
//! the words that a refusal is explained with: which command line option would change it is known
//! to the front end that compiled the table, not here. Pure data, no I/O; evaluated by
//! `acse::negotiation`, compiled by `python/dcmfast/policy/negotiation.py`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::uid::Uid;
use crate::ul::pdu::{ExtendedNegotiation, PresentationResult};

pub mod host_access;

/// What an acceptor accepts.
#[derive(Clone, Debug)]
pub struct AcceptorTable {
    /// Accepted abstract syntaxes.
    pub entries: HashMap<Uid, AcceptorEntry>,
    /// What becomes of abstract syntaxes that are not among `entries`; `None` refuses them.
    pub promiscuous: Option<Promiscuous>,
    /// The result for a context whose default role is not accepted. PS3.7 §D.3.3.4 leaves it open;
    /// DCMTK's receivers send 2 (no reason), its archive 3, pynetdicom 1 (user rejection).
    pub role_refusal: PresentationResult,
    /// Service class application information that is sent for each class of which a context is
    /// accepted, asked for or not, in this order: that of a profile, as DCMTK sends it.
    pub unasked_information: Vec<ExtendedNegotiation>,
    /// How refusals are explained.
    pub hints: Hints,
}

impl Default for AcceptorTable {
    /// Accepts nothing.
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            promiscuous: None,
            role_refusal: PresentationResult::NoReason,
            unasked_information: Vec::new(),
            hints: Hints::default(),
        }
    }
}

/// One accepted abstract syntax.
#[derive(Clone, Debug)]
pub struct AcceptorEntry {
    /// Accepted transfer syntaxes, most wanted first; shared by all entries of one list.
    pub transfer_syntaxes: Arc<[Uid]>,
    /// Roles that the requestor may take; `None` ignores role selection and accepts the context
    /// with the default roles (DIFFERENCES.md C15).
    pub roles: Option<AcceptedRoles>,
    /// Our service class application information, sent to a peer that proposes some.
    pub extended_negotiation: Option<Arc<[u8]>>,
}

/// Roles that a requestor may take for one abstract syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedRoles {
    /// The requestor may be SCU.
    pub scu: bool,
    /// The requestor may be SCP.
    pub scp: bool,
    /// A requestor that proposes no role, and so is SCU only, is accepted. False in DCMTK's
    /// profiles for the role `SCP`.
    pub default_is_accepted: bool,
}

/// Acceptance of abstract syntaxes without a name in `dictionary::uids` (`--promiscuous`); those
/// with a name stay refused unless they are among the entries (DCMTK 3.6.7).
#[derive(Clone, Debug)]
pub struct Promiscuous {
    /// Accepted transfer syntaxes, most wanted first.
    pub transfer_syntaxes: Arc<[Uid]>,
}

/// The ends of sentences that explain a refusal: which option of this front end would accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hints {
    /// For an abstract syntax that is not listed.
    pub abstract_syntax: Cow<'static, str>,
    /// For transfer syntaxes of which none is accepted.
    pub transfer_syntax: Cow<'static, str>,
}

impl Default for Hints {
    /// The options of storescp.
    fn default() -> Self {
        Self {
            abstract_syntax: "--promiscuous (-pm) or a profile (-xf) would accept it".into(),
            transfer_syntax: "--accept-all (+xa) would accept more".into(),
        }
    }
}
