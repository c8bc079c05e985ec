//! Negotiation of presentation contexts: what a peer proposed against the policy table, and what a
//! peer accepted against what we proposed.
//!
//! Source: PS3.8 §7.1.1.13 and §9.3.3.2 (results), PS3.7 Annex D.3.2 and D.3.3.4 (roles). The rule
//! is DCMTK's and pynetdicom's alike: *our* list is walked from most to least wanted, and the first
//! that the peer proposed for that context wins; the peer's order never counts
//! (DCMTK 3.6.7). The second opinion is
//! `pynetdicom.presentation.negotiate_as_acceptor`, in a property test.
//!
//! Each result knows the rule that made it ([`Rule`]), and can say it in plain words. Decides
//! contexts only: titles, application context and rejections are `server`'s. No I/O. Called by
//! `server::association` and `client`.

use core::fmt;

use crate::dictionary::uids::name_of;
use crate::log::escaped;
use crate::policy::{AcceptedRoles, AcceptorTable};
use crate::uid::{Uid, UidText};
use crate::ul::pdu::{
    AssociateRq, ContextResult, PresentationResult, ProposedContext, RoleSelection, UidItem,
};
use crate::ul::pdv::ContextIds;

/// Implicit VR Little Endian: the transfer syntax that a refusal names when the peer proposed none.
const IMPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";

/// The rule that decided one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// Accepted: listed, and a transfer syntax in common.
    Listed,
    /// Accepted: not listed and without a name, and the table is promiscuous.
    Promiscuous,
    /// The context has no abstract syntax, several, or one that is no UID.
    NoAbstractSyntax,
    /// The abstract syntax is not listed.
    NotListed,
    /// The table is promiscuous, but this UID has a name and is not listed.
    NamedButNotListed,
    /// The context has no transfer syntax that could be one.
    NoTransferSyntax,
    /// None of the transfer syntaxes is accepted for this abstract syntax.
    NoCommonTransferSyntax,
    /// No role was proposed, and the default role is not accepted.
    RolesNotAgreed,
    /// Storage, where the called application may only be read.
    ReadOnly,
    /// Storage, while another association has it (`--no-parallel-store`).
    StoredToByAnother,
    /// A MOVE whose FIND was not accepted on this association (`--require-find`).
    FindNotAccepted,
}

/// The roles of a requestor in one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// The requestor is SCU.
    pub scu: bool,
    /// The requestor is SCP.
    pub scp: bool,
}

impl Roles {
    /// Without negotiation the requestor is SCU and the acceptor SCP, PS3.7 §D.3.3.4.
    pub const DEFAULT: Self = Self { scu: true, scp: false };
}

/// The decision on one proposed context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Presentation context ID.
    pub id: u8,
    /// The proposed abstract syntax.
    pub abstract_syntax: UidItem,
    /// Result as it is sent.
    pub result: PresentationResult,
    /// The chosen transfer syntax; `None` when refused.
    pub transfer_syntax: Option<Uid>,
    /// Roles of the requestor; [`Roles::DEFAULT`] unless a role selection was agreed.
    pub roles: Roles,
    /// Why.
    pub rule: Rule,
}

impl Decision {
    /// True when the context may be used.
    pub fn is_accepted(&self) -> bool {
        self.result == PresentationResult::Acceptance
    }
}

/// The decisions on a whole request, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Negotiation {
    /// One for each proposed context.
    pub decisions: Vec<Decision>,
    /// Role selection items of the answer: one for each abstract syntax whose roles were agreed.
    pub roles: Vec<RoleSelection>,
}

impl Negotiation {
    /// True when at least one context may be used.
    pub fn is_any_accepted(&self) -> bool {
        self.decisions.iter().any(Decision::is_accepted)
    }

    /// The contexts that may be used.
    pub fn accepted(&self) -> AcceptedContexts {
        self.decisions
            .iter()
            .filter_map(|decision| {
                Some(AcceptedContext {
                    id: decision.id,
                    abstract_syntax: decision.abstract_syntax.uid()?,
                    transfer_syntax: decision.transfer_syntax?,
                    roles: decision.roles,
                })
            })
            .collect()
    }

    /// The presentation context items of the A-ASSOCIATE-AC. A refused context carries a transfer
    /// syntax too, which is not significant (PS3.8 §9.3.3.2): peers exist that insist on the
    /// sub-item.
    pub fn results(&self, request: &AssociateRq) -> Vec<ContextResult> {
        self.decisions
            .iter()
            .zip(&request.contexts)
            .map(|(decision, proposed)| ContextResult {
                id: decision.id,
                result: decision.result,
                transfer_syntax: decision
                    .transfer_syntax
                    .map(Uid::text)
                    .or_else(|| proposed.transfer_syntaxes.first().copied())
                    .or_else(|| UidText::new(IMPLICIT_VR_LITTLE_ENDIAN.as_bytes()))
                    .map_or(UidItem::Absent, UidItem::Given),
            })
            .collect()
    }
}

/// Decides every context of `request` by `table`.
pub fn negotiate(request: &AssociateRq, table: &AcceptorTable) -> Negotiation {
    let roles = request.user_information.as_ref().map_or(&[][..], |information| &information.roles);
    let mut negotiation =
        Negotiation { decisions: Vec::with_capacity(request.contexts.len()), roles: Vec::new() };
    for proposed in &request.contexts {
        let (decision, answer) = decide(proposed, roles, table);
        negotiation.decisions.push(decision);
        let is_answered = |answer: &RoleSelection| {
            negotiation.roles.iter().any(|role| role.sop_class_uid == answer.sop_class_uid)
        };
        if let Some(answer) = answer.filter(|answer| !is_answered(answer)) {
            negotiation.roles.push(answer);
        }
    }
    negotiation
}

fn decide(
    proposed: &ProposedContext,
    proposed_roles: &[RoleSelection],
    table: &AcceptorTable,
) -> (Decision, Option<RoleSelection>) {
    let mut decision = Decision {
        id: proposed.id,
        abstract_syntax: proposed.abstract_syntax,
        result: PresentationResult::AbstractSyntaxNotSupported,
        transfer_syntax: None,
        roles: Roles::DEFAULT,
        rule: Rule::NoAbstractSyntax,
    };
    let Some(abstract_syntax) = proposed.abstract_syntax.uid() else {
        return (decision, None);
    };
    let entry = table.entries.get(&abstract_syntax);
    let (transfer_syntaxes, rule) = match (entry, &table.promiscuous) {
        (Some(entry), _) => (&entry.transfer_syntaxes, Rule::Listed),
        (None, None) => {
            decision.rule = Rule::NotListed;
            return (decision, None);
        }
        (None, Some(_)) if name_of(abstract_syntax.as_bytes()).is_some() => {
            decision.rule = Rule::NamedButNotListed;
            return (decision, None);
        }
        (None, Some(promiscuous)) => (&promiscuous.transfer_syntaxes, Rule::Promiscuous),
    };
    let chosen =
        transfer_syntaxes.iter().find(|uid| proposed.transfer_syntaxes.contains(&uid.text()));
    let Some(chosen) = chosen else {
        decision.result = PresentationResult::TransferSyntaxesNotSupported;
        decision.rule = if proposed.transfer_syntaxes.is_empty() {
            Rule::NoTransferSyntax
        } else {
            Rule::NoCommonTransferSyntax
        };
        return (decision, None);
    };
    let accepted_roles = entry.and_then(|entry| entry.roles);
    // The first item for a SOP class counts, should there be two.
    let proposed_role =
        proposed_roles.iter().find(|role| role.sop_class_uid == abstract_syntax.text());
    let Some((roles, answer)) = agree_roles(proposed_role, accepted_roles) else {
        decision.result = table.role_refusal;
        decision.rule = Rule::RolesNotAgreed;
        return (decision, None);
    };
    decision.result = PresentationResult::Acceptance;
    decision.transfer_syntax = Some(*chosen);
    decision.roles = roles;
    decision.rule = rule;
    (decision, answer)
}

/// PS3.7 Annex D.3.3.4: the acceptor answers 1 only where 1 was proposed, and the requestor has the
/// roles that both named. Two things are DCMTK's: who proposes neither role is taken to propose
/// both, and where no role is left the context is accepted all the same, with an answer that says
/// so. `None` when nothing was proposed and the default role is not accepted.
fn agree_roles(
    proposed: Option<&RoleSelection>,
    accepted: Option<AcceptedRoles>,
) -> Option<(Roles, Option<RoleSelection>)> {
    match (proposed, accepted) {
        (_, None) => Some((Roles::DEFAULT, None)),
        (None, Some(accepted)) => accepted.default_is_accepted.then_some((Roles::DEFAULT, None)),
        (Some(proposed), Some(accepted)) => {
            let is_any = !proposed.scu && !proposed.scp;
            let roles = Roles {
                scu: accepted.scu && (proposed.scu || is_any),
                scp: accepted.scp && (proposed.scp || is_any),
            };
            let answer = RoleSelection {
                sop_class_uid: proposed.sop_class_uid,
                scu: roles.scu,
                scp: roles.scp,
            };
            Some((roles, Some(answer)))
        }
    }
}

/// One decision in plain words: what was offered, what is accepted, which option would change it.
///
/// For log lines; peers' text is escaped. `proposed` and `table` are those that `decision` was made
/// of.
pub fn explanation<'a>(
    decision: &'a Decision,
    proposed: &'a ProposedContext,
    table: &'a AcceptorTable,
) -> impl fmt::Display + 'a {
    Explanation { decision, proposed, table }
}

struct Explanation<'a> {
    decision: &'a Decision,
    proposed: &'a ProposedContext,
    table: &'a AcceptorTable,
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { decision, proposed, table } = self;
        let hints = &table.hints;
        write!(formatter, "context {}, {}: ", decision.id, decision.abstract_syntax)?;
        match decision.rule {
            Rule::Listed | Rule::Promiscuous => {
                formatter.write_str("accepted with transfer syntax ")?;
                if let Some(uid) = decision.transfer_syntax {
                    write!(formatter, "{uid}")?;
                }
                if decision.rule == Rule::Promiscuous {
                    formatter.write_str(
                        "; the abstract syntax is not in the accepted list, and has no name",
                    )?;
                }
                Ok(())
            }
            Rule::NoAbstractSyntax => {
                formatter.write_str("refused, because a context needs one abstract syntax UID")
            }
            Rule::NotListed => write!(
                formatter,
                "refused, because the abstract syntax is not in the accepted list; {}",
                hints.abstract_syntax
            ),
            Rule::NamedButNotListed => formatter.write_str(
                "refused, because --promiscuous accepts only abstract syntaxes without a name, and \
                 this one has one but is not in the accepted list",
            ),
            Rule::NoTransferSyntax => {
                formatter.write_str("refused, because no transfer syntax was offered")
            }
            Rule::NoCommonTransferSyntax => {
                formatter.write_str("refused, because none of the offered transfer syntaxes (")?;
                join(formatter, proposed.transfer_syntaxes.iter().map(UidText::as_bytes))?;
                if proposed.transfer_syntaxes_dropped > 0 {
                    write!(formatter, " and {} more", proposed.transfer_syntaxes_dropped)?;
                }
                formatter.write_str(") is accepted; accepted here: ")?;
                let listed = decision.abstract_syntax.uid().and_then(|uid| table.entries.get(&uid));
                let accepted = match (listed, &table.promiscuous) {
                    (Some(entry), _) => &entry.transfer_syntaxes[..],
                    (None, Some(promiscuous)) => &promiscuous.transfer_syntaxes[..],
                    (None, None) => &[],
                };
                join(formatter, accepted.iter().map(Uid::as_bytes))?;
                write!(formatter, "; {}", hints.transfer_syntax)
            }
            Rule::RolesNotAgreed => formatter.write_str(
                "refused, because the profile's SCP/SCU role selection asks for the SCP role, which \
                 was not proposed",
            ),
            Rule::ReadOnly => formatter.write_str(
                "refused, because this AE title's storage area may only be read; access RW in the \
                 configuration file would accept it",
            ),
            Rule::StoredToByAnother => formatter.write_str(
                "refused, because another association stores under this AE title, and \
                 --no-parallel-store allows one at a time",
            ),
            Rule::FindNotAccepted => formatter.write_str(
                "refused, because the FIND context of this model was not proposed or not accepted, \
                 and --require-find asks for it",
            ),
        }
    }
}

/// At most this many UIDs are printed of a list that a peer may make 128 long.
const PRINTED_UIDS_MAX: usize = 32;

fn join<'a>(
    formatter: &mut fmt::Formatter<'_>,
    uids: impl Iterator<Item = &'a [u8]>,
) -> fmt::Result {
    for (index, uid) in uids.enumerate() {
        if index == PRINTED_UIDS_MAX {
            return formatter.write_str(", ...");
        }
        if index > 0 {
            formatter.write_str(", ")?;
        }
        write!(formatter, "{}", escaped(uid))?;
    }
    Ok(())
}

/// A presentation context that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedContext {
    /// Presentation context ID.
    pub id: u8,
    /// Abstract syntax.
    pub abstract_syntax: Uid,
    /// Transfer syntax of every data set on this context.
    pub transfer_syntax: Uid,
    /// Roles of the requestor.
    pub roles: Roles,
}

/// The presentation contexts that may be used, found by ID in one step.
#[derive(Clone, Debug, Default)]
pub struct AcceptedContexts {
    contexts: Vec<AcceptedContext>,
    ids: ContextIds,
}

impl AcceptedContexts {
    /// The context with `id`.
    pub fn get(&self, id: u8) -> Option<&AcceptedContext> {
        if !self.ids.contains(id) {
            return None;
        }
        self.contexts.iter().find(|context| context.id == id)
    }

    /// All of them, in the order of the request.
    pub fn iter(&self) -> core::slice::Iter<'_, AcceptedContext> {
        self.contexts.iter()
    }

    /// Their IDs, for `dimse::message`.
    pub const fn ids(&self) -> ContextIds {
        self.ids
    }

    /// True when none may be used.
    pub fn is_empty(&self) -> bool {
        self.contexts.is_empty()
    }
}

impl FromIterator<AcceptedContext> for AcceptedContexts {
    fn from_iter<I: IntoIterator<Item = AcceptedContext>>(contexts: I) -> Self {
        let contexts: Vec<_> = contexts.into_iter().collect();
        let ids = contexts.iter().map(|context| context.id).collect();
        Self { contexts, ids }
    }
}

impl<'a> IntoIterator for &'a AcceptedContexts {
    type Item = &'a AcceptedContext;
    type IntoIter = core::slice::Iter<'a, AcceptedContext>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ae_title::AeTitle;
    use crate::policy::{AcceptorEntry, Promiscuous};
    use crate::ul::pdu::{TitleFields, UserInformation};

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
    const IMPLICIT: &str = "1.2.840.10008.1.2";
    const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    const BIG: &str = "1.2.840.10008.1.2.2";
    const JPEG: &str = "1.2.840.10008.1.2.4.50";

    fn uids(texts: &[&str]) -> Arc<[Uid]> {
        texts.iter().map(|text| Uid::known(text)).collect()
    }

    fn proposed(id: u8, abstract_syntax: &[u8], transfer_syntaxes: &[&str]) -> ProposedContext {
        ProposedContext {
            id,
            abstract_syntax: UidText::new(abstract_syntax).map_or(UidItem::Absent, UidItem::Given),
            transfer_syntaxes: transfer_syntaxes.iter().map(|uid| Uid::known(uid).text()).collect(),
            transfer_syntaxes_dropped: 0,
        }
    }

    fn request(contexts: Vec<ProposedContext>, roles: Vec<RoleSelection>) -> AssociateRq {
        AssociateRq {
            protocol_version: 1,
            titles: TitleFields::new(AeTitle::new(b"A"), AeTitle::new(b"B")),
            application_context: UidItem::Absent,
            contexts,
            user_information: Some(UserInformation { roles, ..UserInformation::default() }),
        }
    }

    fn table(roles: Option<AcceptedRoles>) -> AcceptorTable {
        let entry = AcceptorEntry {
            transfer_syntaxes: uids(&[EXPLICIT, BIG, IMPLICIT]),
            roles,
            extended_negotiation: None,
        };
        AcceptorTable {
            entries: [(Uid::known(CT), entry)].into_iter().collect(),
            ..AcceptorTable::default()
        }
    }

    fn role(scu: bool, scp: bool) -> RoleSelection {
        RoleSelection { sop_class_uid: Uid::known(CT).text(), scu, scp }
    }

    /// DCMTK 3.6.7: the acceptor's order counts, the peer's never.
    #[test]
    fn our_order_wins() {
        let request =
            request(vec![proposed(1, CT.as_bytes(), &[IMPLICIT, BIG, EXPLICIT])], Vec::new());
        let negotiation = negotiate(&request, &table(None));
        assert_eq!(negotiation.decisions[0].transfer_syntax, Some(Uid::known(EXPLICIT)));
        assert_eq!(negotiation.decisions[0].rule, Rule::Listed);
        let accepted = negotiation.accepted();
        assert_eq!(accepted.get(1).unwrap().transfer_syntax, Uid::known(EXPLICIT));
        assert!(accepted.get(3).is_none() && accepted.ids().contains(1));
    }

    /// Each way to be refused, with its number, its rule, and words that name a cure.
    #[test]
    fn refusals() {
        let request = request(
            vec![
                proposed(1, FIND.as_bytes(), &[IMPLICIT]),
                proposed(3, CT.as_bytes(), &[JPEG]),
                proposed(5, CT.as_bytes(), &[]),
                proposed(7, b"", &[IMPLICIT]),
                proposed(9, b"../../etc", &[IMPLICIT]),
            ],
            Vec::new(),
        );
        let table = table(None);
        let negotiation = negotiate(&request, &table);
        let decisions: Vec<_> = negotiation
            .decisions
            .iter()
            .map(|decision| (decision.result.byte(), decision.rule))
            .collect();
        assert_eq!(
            decisions,
            [
                (3, Rule::NotListed),
                (4, Rule::NoCommonTransferSyntax),
                (4, Rule::NoTransferSyntax),
                (3, Rule::NoAbstractSyntax),
                (3, Rule::NoAbstractSyntax),
            ]
        );
        assert!(!negotiation.is_any_accepted() && negotiation.accepted().is_empty());
        let words: Vec<_> = negotiation
            .decisions
            .iter()
            .zip(&request.contexts)
            .map(|(decision, proposed)| explanation(decision, proposed, &table).to_string())
            .collect();
        assert!(words[0].contains("not in the accepted list; --promiscuous (-pm)"), "{}", words[0]);
        assert_eq!(
            words[1],
            "context 3, 1.2.840.10008.5.1.4.1.1.2: refused, because none of the offered transfer \
             syntaxes (1.2.840.10008.1.2.4.50) is accepted; accepted here: 1.2.840.10008.1.2.1, \
             1.2.840.10008.1.2.2, 1.2.840.10008.1.2; --accept-all (+xa) would accept more"
        );
        // Every context is answered, also in the AC, and always with a transfer syntax.
        let results = negotiation.results(&request);
        assert_eq!(results.len(), 5);
        assert!(results.iter().all(|result| result.transfer_syntax.uid().is_some()));
        assert_eq!(results[1].transfer_syntax.uid().unwrap().as_str(), JPEG);
    }

    /// DCMTK 3.6.7: --promiscuous accepts what has no name, and nothing else.
    #[test]
    fn promiscuous() {
        let mut table = table(None);
        table.promiscuous = Some(Promiscuous { transfer_syntaxes: uids(&[IMPLICIT]) });
        let request = request(
            vec![
                proposed(1, b"1.2.3.4", &[EXPLICIT, IMPLICIT]),
                proposed(3, FIND.as_bytes(), &[IMPLICIT]),
                proposed(5, b"1.2.3.4", &[EXPLICIT]),
            ],
            Vec::new(),
        );
        let negotiation = negotiate(&request, &table);
        let rules: Vec<_> = negotiation.decisions.iter().map(|decision| decision.rule).collect();
        assert_eq!(
            rules,
            [Rule::Promiscuous, Rule::NamedButNotListed, Rule::NoCommonTransferSyntax]
        );
        assert_eq!(negotiation.decisions[0].transfer_syntax, Some(Uid::known(IMPLICIT)));
    }

    /// DIFFERENCES.md C15: without a role section, role selection is ignored and not answered.
    #[test]
    fn roles_are_ignored_by_default() {
        let request =
            request(vec![proposed(1, CT.as_bytes(), &[IMPLICIT])], vec![role(false, true)]);
        let negotiation = negotiate(&request, &table(None));
        assert!(negotiation.is_any_accepted() && negotiation.roles.is_empty());
        assert_eq!(negotiation.decisions[0].roles, Roles::DEFAULT);
    }

    /// PS3.7 Annex D.3.3.4, all combinations of proposed and accepted roles; without a role that
    /// both named the context is accepted with none.
    #[test]
    fn roles_are_what_both_named() {
        let flags = [false, true];
        for (scu, scp) in flags.iter().flat_map(|scu| flags.map(|scp| (*scu, scp))) {
            for (ours_scu, ours_scp) in flags.iter().flat_map(|scu| flags.map(|scp| (*scu, scp))) {
                let accepted =
                    AcceptedRoles { scu: ours_scu, scp: ours_scp, default_is_accepted: true };
                let request =
                    request(vec![proposed(1, CT.as_bytes(), &[IMPLICIT])], vec![role(scu, scp)]);
                let negotiation = negotiate(&request, &table(Some(accepted)));
                let is_any = !scu && !scp;
                let agreed =
                    Roles { scu: (scu || is_any) && ours_scu, scp: (scp || is_any) && ours_scp };
                assert!(negotiation.decisions[0].is_accepted());
                assert_eq!(negotiation.decisions[0].roles, agreed);
                assert_eq!(negotiation.roles, [role(agreed.scu, agreed.scp)]);
            }
        }
    }

    /// DCMTK's profiles: the default role, proposed to an entry for the SCP role, is refused with
    /// 2.
    #[test]
    fn default_role_may_be_refused() {
        let roles = AcceptedRoles { scu: false, scp: true, default_is_accepted: false };
        let request = request(vec![proposed(1, CT.as_bytes(), &[IMPLICIT])], Vec::new());
        let negotiation = negotiate(&request, &table(Some(roles)));
        assert_eq!(negotiation.decisions[0].result.byte(), 2);
    }

    /// Two contexts with one abstract syntax are answered with one role item.
    #[test]
    fn one_role_item_per_sop_class() {
        let roles = AcceptedRoles { scu: true, scp: true, default_is_accepted: true };
        let contexts =
            vec![proposed(1, CT.as_bytes(), &[IMPLICIT]), proposed(3, CT.as_bytes(), &[EXPLICIT])];
        let request = request(contexts, vec![role(true, true)]);
        assert_eq!(negotiate(&request, &table(Some(roles))).roles, [role(true, true)]);
    }
}
