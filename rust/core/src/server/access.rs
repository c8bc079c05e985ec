//! Who may associate with which storage area, and which presentation contexts remain for them.
//!
//! An [`Archive`] is the decisions of a configuration as plain tables, compiled once in Python
//! (`policy/archive.py`). It is asked once per association: which application has the called
//! AE title ([`Archive::application`]), whether this peer may call it ([`Application::admits`]), and
//! what becomes of the contexts that negotiation by itself would accept ([`Archive::restrict`]).
//!
//! AE titles and addresses are no authentication; they keep the well-meaning apart. Source: PS3.8
//! §9.3.2, §9.3.3.2 and §9.3.4; the answers are those of DCMTK 3.6.7's dcmqrscp. Called by
//! `server::association`.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::areas::AreaSlot;
use super::destinations::Destinations;
use super::find::FindSettings;
use crate::acse::negotiation::{AcceptedContext, Decision, Negotiation, Rule};
use crate::ae_title::AeTitle;
use crate::archive::receiver::is_storage_class;
use crate::dictionary::uids::name_of;
use crate::dimse::service::QueryService;
use crate::index::query::Rules;
use crate::net::tcp::IpAddr;
use crate::uid::Uid;
use crate::ul::pdu::{AssociateRq, PresentationResult, UidItem};

/// DCMTK's private SOP class: whoever proposes it asks the server to end (`--allow-shutdown`).
const SHUTDOWN_SOP_CLASS: &str = "1.2.276.0.7230010.3.4.1915765545.18030.917282194.0";

/// How the UID of every query/retrieve SOP class begins, PS3.4 §C.6.
const QUERY_RETRIEVE_PREFIX: &str = "1.2.840.10008.5.1.4.1.2.";

/// FIND and MOVE of each information model, PS3.4 §C.6.
const FIND_OF_MOVE: [(&str, &str); 3] = [
    ("1.2.840.10008.5.1.4.1.2.1.2", "1.2.840.10008.5.1.4.1.2.1.1"),
    ("1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.1"),
    ("1.2.840.10008.5.1.4.1.2.3.2", "1.2.840.10008.5.1.4.1.2.3.1"),
];

/// An application entity that may call.
#[derive(Clone, Debug)]
pub struct AllowedPeer {
    /// Its AE title.
    pub ae_title: AeTitle,
    /// Its host, as the configuration names it; compared without regard to case.
    pub host: String,
    /// What `host` resolved to at start (DIFFERENCES.md D4).
    pub addresses: Vec<IpAddr>,
}

/// One called AE title: a storage area, and who may do what there.
#[derive(Clone, Debug)]
pub struct Application {
    /// The called AE title.
    pub ae_title: AeTitle,
    /// Which storage area, as an index.
    pub area: usize,
    /// Storage contexts are accepted.
    pub may_store: bool,
    /// Who may call; `None` admits everybody.
    pub peers: Option<Vec<AllowedPeer>>,
}

/// Why a peer may not call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No application has the called AE title.
    CalledAeTitle,
    /// The calling AE title is in no list of this application's.
    CallingAeTitle,
    /// The calling AE title is listed, but for other hosts.
    Host,
}

impl Application {
    /// Whether the peer at `address` may call; `host` gives its name, and is asked only when the
    /// tables name hosts.
    ///
    /// # Errors
    ///
    /// [`Denied::CallingAeTitle`] or [`Denied::Host`]; the peer is told neither (DIFFERENCES.md C4).
    pub fn admits(
        &self,
        calling: &AeTitle,
        address: IpAddr,
        host: impl FnOnce() -> std::sync::Arc<str>,
    ) -> Result<(), Denied> {
        let Some(peers) = &self.peers else { return Ok(()) };
        let mut titled = peers.iter().filter(|peer| peer.ae_title == *calling).peekable();
        if titled.peek().is_none() {
            return Err(Denied::CallingAeTitle);
        }
        let host = host();
        let is_here = |peer: &AllowedPeer| {
            peer.host.eq_ignore_ascii_case(&host) || peer.addresses.contains(&address)
        };
        if titled.any(is_here) { Ok(()) } else { Err(Denied::Host) }
    }
}

/// The tables of an archive, and who stores at the moment.
#[derive(Default)]
pub struct Archive {
    /// The storage areas, each once.
    pub areas: Vec<AreaSlot>,
    /// By called AE title, each once.
    pub applications: Vec<Application>,
    /// The application for called titles that are not among them; `None` rejects these.
    pub default_application: Option<usize>,
    /// How C-FIND is answered.
    pub find: FindSettings,
    /// How identifiers of C-MOVE and C-GET are read.
    pub retrieve: Rules,
    /// Where C-MOVE may send to.
    pub destinations: Destinations,
    /// `--require-find`.
    pub is_find_required: bool,
    /// `--no-parallel-store`.
    pub is_store_exclusive: bool,
    /// `--allow-shutdown`.
    pub is_shutdown_allowed: bool,
    /// Who stores now; kept for `--no-parallel-store` only.
    pub storing: StoringTurns,
}

/// The called AE titles that associations store under.
#[derive(Default)]
pub struct StoringTurns(Mutex<HashSet<AeTitle>>);

impl StoringTurns {
    fn titles(&self) -> MutexGuard<'_, HashSet<AeTitle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn of one association, unless another has it.
    fn begin(&self, title: AeTitle) -> Option<StoringTurn<'_>> {
        // Made only when it is had: dropping one gives the title free.
        self.titles().insert(title).then(|| StoringTurn { turns: self, title })
    }
}

impl Archive {
    /// The application that answers to `called`.
    pub fn application(&self, called: &AeTitle) -> Option<&Application> {
        let named = self.applications.iter().find(|one| one.ae_title == *called);
        named.or_else(|| self.applications.get(self.default_application?))
    }

    /// The storage area of `application`.
    pub fn area(&self, application: &Application) -> Option<&AreaSlot> {
        self.areas.get(application.area)
    }

    /// True when `request` asks the server to end, and may.
    pub fn is_shutdown(&self, request: &AssociateRq) -> bool {
        let asks = |uid: Uid| uid.as_bytes() == SHUTDOWN_SOP_CLASS.as_bytes();
        self.is_shutdown_allowed
            && request
                .contexts
                .iter()
                .any(|context| context.abstract_syntax.uid().is_some_and(asks))
    }

    /// Takes back what negotiation accepted and the rules of this archive do not allow: storage
    /// where `application` is read only (but for a requestor that only receives, for C-GET),
    /// storage beside another association's, moves without the find of their model.
    ///
    /// What is returned keeps others from storing as long as it lives.
    pub fn restrict<'a>(
        &'a self,
        application: &Application,
        negotiation: &mut Negotiation,
    ) -> Option<StoringTurn<'a>> {
        let may_store = |decision: &Decision| is_storage(decision) && decision.roles.scu;
        let turn = if application.may_store && self.is_store_exclusive {
            let wants = negotiation.decisions.iter().any(may_store);
            wants.then(|| self.storing.begin(application.ae_title)).flatten()
        } else {
            None
        };
        let storage_rule = if !application.may_store {
            Some(Rule::ReadOnly)
        } else if self.is_store_exclusive && turn.is_none() {
            Some(Rule::StoredToByAnother)
        } else {
            None
        };
        let finds: Vec<Uid> = negotiation
            .decisions
            .iter()
            .filter(|decision| decision.is_accepted())
            .filter_map(|decision| decision.abstract_syntax.uid())
            .collect();
        for decision in &mut negotiation.decisions {
            let mut rule = if may_store(decision) { storage_rule } else { None };
            // PS3.7 §D.3.3.4: who proposed to receive, too, keeps that; only storing is taken away.
            if rule.is_some() && decision.roles.scp {
                decision.roles.scu = false;
                let class = decision.abstract_syntax;
                for answer in &mut negotiation.roles {
                    answer.scu &= UidItem::Given(answer.sop_class_uid) != class;
                }
                rule = None;
            }
            let rule = rule.or_else(|| {
                (self.is_find_required && lacks_find(decision, &finds))
                    .then_some(Rule::FindNotAccepted)
            });
            if let Some(rule) = rule {
                decision.result = PresentationResult::UserRejection;
                decision.transfer_syntax = None;
                decision.rule = rule;
            }
        }
        turn
    }

    /// True where an association with `application` may store. Contexts alone do not say so: who
    /// only receives has storage contexts, too, and takes no turn.
    pub fn lets_store(&self, application: &Application, turn: Option<&StoringTurn<'_>>) -> bool {
        application.may_store && (!self.is_store_exclusive || turn.is_some())
    }
}

/// The right to store under one called AE title while `--no-parallel-store` is in force.
pub struct StoringTurn<'a> {
    turns: &'a StoringTurns,
    title: AeTitle,
}

impl Drop for StoringTurn<'_> {
    fn drop(&mut self) {
        self.turns.titles().remove(&self.title);
    }
}

fn is_storage(decision: &Decision) -> bool {
    decision.is_accepted() && decision.abstract_syntax.uid().is_some_and(|uid| is_for_storage(&uid))
}

/// A storage class; or one that has no name, private or newer than our tables: of these a
/// configuration lets in what is to be stored.
fn is_for_storage(class: &Uid) -> bool {
    let class = class.as_bytes();
    let is_unknown =
        || name_of(class).is_none() && !class.starts_with(QUERY_RETRIEVE_PREFIX.as_bytes());
    is_storage_class(class) || is_unknown()
}

/// True where a C-STORE may come over `context`; whatever storage class the command names, it is
/// stored (DIFFERENCES.md C11). Roles are no right: as with DCMTK's tools, what was agreed on keeps
/// nobody from storing who may ([`Archive::lets_store`]).
pub(super) fn is_for_objects(context: &AcceptedContext) -> bool {
    is_for_storage(&context.abstract_syntax)
}

/// True where `context` was negotiated for `service`: FIND, MOVE and GET of a model are SOP classes
/// of their own, and each may have been refused (PS3.4 §C.6).
pub(super) fn is_for_query(context: &AcceptedContext, service: QueryService) -> bool {
    let of_service: &[u8] = match service {
        QueryService::Find => b".1",
        QueryService::Move => b".2",
        QueryService::Get => b".3",
    };
    let class = context.abstract_syntax.as_bytes();
    let of_model = class.strip_prefix(QUERY_RETRIEVE_PREFIX.as_bytes());
    of_model.is_some_and(|of_model| of_model.len() == 3 && of_model.ends_with(of_service))
}

/// True for a MOVE context whose FIND is not among `accepted` (DIFFERENCES.md C7: GET is let pass).
fn lacks_find(decision: &Decision, accepted: &[Uid]) -> bool {
    let Some(uid) = decision.abstract_syntax.uid().filter(|_| decision.is_accepted()) else {
        return false;
    };
    let find = FIND_OF_MOVE.iter().find(|(of_move, _)| uid.as_bytes() == of_move.as_bytes());
    find.is_some_and(|(_, find)| !accepted.iter().any(|uid| uid.as_bytes() == find.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acse::negotiation::Roles;
    use std::sync::Arc;

    fn title(text: &str) -> AeTitle {
        AeTitle::new(text.as_bytes())
    }

    fn application(peers: Option<Vec<AllowedPeer>>) -> Application {
        Application { ae_title: title("QR"), area: 0, may_store: true, peers }
    }

    fn host() -> Arc<str> {
        Arc::from("ct.example")
    }

    /// Title and host must match one entry; a name counts without regard to case, or an address.
    #[test]
    fn peers_are_admitted_by_title_and_host() {
        let peer = |host: &str, addresses: &[IpAddr]| AllowedPeer {
            ae_title: title("CT"),
            host: host.into(),
            addresses: addresses.to_vec(),
        };
        let (here, there): (IpAddr, IpAddr) =
            ("127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap());
        let listed = application(Some(vec![peer("CT.Example", &[]), peer("x", &[there])]));
        assert_eq!(listed.admits(&title("CT"), here, host), Ok(()));
        assert_eq!(listed.admits(&title("CT"), there, || "y".into()), Ok(()));
        assert_eq!(listed.admits(&title("CT"), here, || "y".into()), Err(Denied::Host));
        assert_eq!(listed.admits(&title("ct"), here, host), Err(Denied::CallingAeTitle));
        assert_eq!(application(None).admits(&title("ANY"), here, host), Ok(()));
    }

    /// Exact titles; a default application answers for all others.
    #[test]
    fn applications_are_found_by_called_title() {
        let mut archive = Archive { applications: vec![application(None)], ..Archive::default() };
        assert!(archive.application(&title("QR")).is_some());
        assert!(archive.application(&title("qr")).is_none());
        archive.default_application = Some(0);
        assert!(archive.application(&title("anything")).is_some());
    }

    /// A context carries the operations of its class, and nothing else.
    #[test]
    fn contexts_carry_what_they_were_negotiated_for() {
        let context = |class: &str| AcceptedContext {
            id: 1,
            abstract_syntax: Uid::new(class.as_bytes()).unwrap(),
            transfer_syntax: Uid::known("1.2.840.10008.1.2"),
            roles: Roles::DEFAULT,
        };
        let stores = |class| is_for_objects(&context(class));
        // CT, PageDescriptionStorage, a private class; Verification, print, MPPS, a future model.
        for class in ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.1.50", "1.2.3"] {
            assert!(stores(class), "{class}");
        }
        for class in [
            "1.2.840.10008.1.1",
            "1.2.840.10008.5.1.1.1",
            "1.2.840.10008.3.1.2.3.3",
            "1.2.840.10008.5.1.4.1.2.2.1",
            "1.2.840.10008.5.1.4.1.2.2.3",
            "1.2.840.10008.5.1.4.1.2.9.1",
        ] {
            assert!(!stores(class), "{class}");
        }
        let services = [QueryService::Find, QueryService::Move, QueryService::Get];
        for (class, wanted) in [
            ("1.2.840.10008.5.1.4.1.2.1.1", [true, false, false]),
            ("1.2.840.10008.5.1.4.1.2.2.2", [false, true, false]),
            ("1.2.840.10008.5.1.4.1.2.3.3", [false, false, true]),
            ("1.2.840.10008.5.1.4.1.2.2.21", [false; 3]),
            ("1.2.840.10008.5.1.4.1.1.2", [false; 3]),
            ("1.2.840.10008.1.1", [false; 3]),
        ] {
            let found = services.map(|service| is_for_query(&context(class), service));
            assert_eq!(found, wanted, "{class}");
        }
    }

    /// One association at a time may store under a title; the next may when it has ended.
    #[test]
    fn storing_turns() {
        let archive = Archive { is_store_exclusive: true, ..Archive::default() };
        let first = archive.storing.begin(title("QR"));
        assert!(first.is_some());
        assert!(archive.storing.begin(title("QR")).is_none());
        assert!(archive.storing.begin(title("OTHER")).is_some());
        drop(first);
        assert!(archive.storing.begin(title("QR")).is_some());
    }
}
