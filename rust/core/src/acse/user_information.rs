//! User information that we send: in a request, and in the answer to a peer's.
//!
//! Source: PS3.8 Annex D.1 (maximum length), PS3.7 Annex D.3.3 (implementation identity,
//! asynchronous operations, roles, extended negotiation, user identity).
//!
//! | the peer proposes | we answer |
//! | --- | --- |
//! | asynchronous operations, any window | 1 and 1: one outstanding operation each way |
//! | SCP/SCU roles | those that negotiation agreed |
//! | extended negotiation | what the archive does, for an accepted class that was asked about |
//! | anything or nothing | what a profile has, for each accepted class (DCMTK 3.6.7) |
//! | common extended negotiation | nothing: the standard defines no answer |
//! | user identity | nothing: it is not verified, and no positive response is due |
//!
//! No I/O. Called by `server::association` and `client`.

use crate::acse::negotiation::Negotiation;
use crate::policy::AcceptorTable;
use crate::uid::Uid;
use crate::ul::pdu::{
    APPLICATION_CONTEXT_NAME, AssociateAc, AssociateRq, AsynchronousOperations,
    ExtendedNegotiation, UidItem, UserInformation,
};

/// Who we are on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalIdentity {
    /// The maximum length that we announce.
    pub max_pdu_bytes: u32,
    /// Implementation class UID.
    pub implementation_class_uid: Uid,
    /// Implementation version name, 1 to 16 characters.
    pub implementation_version_name: String,
}

impl LocalIdentity {
    /// The user information of a plain request: identity and maximum length.
    pub fn user_information(&self) -> UserInformation {
        UserInformation {
            maximum_length: Some(self.max_pdu_bytes),
            implementation_class_uid: UidItem::of(self.implementation_class_uid),
            implementation_version_name: Some(
                self.implementation_version_name.clone().into_bytes(),
            ),
            ..UserInformation::default()
        }
    }
}

/// The user information that answers `request`.
pub fn answer(
    request: &AssociateRq,
    negotiation: &Negotiation,
    table: &AcceptorTable,
    identity: &LocalIdentity,
) -> UserInformation {
    let mut answer = identity.user_information();
    answer.roles.clone_from(&negotiation.roles);
    let is_accepted = |class| {
        negotiation.decisions.iter().any(|decision| {
            decision.is_accepted() && decision.abstract_syntax.text() == Some(class)
        })
    };
    answer.extended_negotiation.extend(
        table.unasked_information.iter().filter(|one| is_accepted(one.sop_class_uid)).cloned(),
    );
    let Some(asked) = &request.user_information else {
        return answer;
    };
    answer.asynchronous_operations =
        asked.asynchronous_operations.map(|_| AsynchronousOperations { invoked: 1, performed: 1 });
    for item in &asked.extended_negotiation {
        let is_answered = answer
            .extended_negotiation
            .iter()
            .any(|answered| answered.sop_class_uid == item.sop_class_uid);
        if is_answered || !is_accepted(item.sop_class_uid) {
            continue;
        }
        let information = item
            .sop_class_uid
            .to_uid()
            .and_then(|uid| table.entries.get(&uid)?.extended_negotiation.clone());
        answer.extended_negotiation.extend(information.map(|information| ExtendedNegotiation {
            sop_class_uid: item.sop_class_uid,
            information: information.to_vec(),
        }));
    }
    answer
}

/// The A-ASSOCIATE-AC that answers `request`. The title fields are the request's own, as the
/// standard demands and DCMTK does, whatever our own title is (DIFFERENCES.md C5).
pub fn associate_ac(
    request: &AssociateRq,
    negotiation: &Negotiation,
    table: &AcceptorTable,
    identity: &LocalIdentity,
) -> AssociateAc {
    AssociateAc {
        protocol_version: 1,
        titles: request.titles,
        application_context: UidItem::of(Uid::known(APPLICATION_CONTEXT_NAME)),
        contexts: negotiation.results(request),
        user_information: Some(answer(request, negotiation, table, identity)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::acse::negotiation::negotiate;
    use crate::ae_title::AeTitle;
    use crate::policy::AcceptorEntry;
    use crate::ul::pdu::{ProposedContext, TitleFields, UserIdentity};
    use crate::ul::pdu_codec::{decode_associate_ac, encode_associate_ac};

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const MR: &str = "1.2.840.10008.5.1.4.1.1.4";
    const IMPLICIT: &str = "1.2.840.10008.1.2";

    fn identity() -> LocalIdentity {
        LocalIdentity {
            max_pdu_bytes: 16384,
            implementation_class_uid: Uid::known("2.25.1"),
            implementation_version_name: "DCMFAST_0".into(),
        }
    }

    fn request(user_information: Option<UserInformation>) -> AssociateRq {
        AssociateRq {
            protocol_version: 1,
            titles: TitleFields::from_bytes([b'x'; 64]),
            application_context: UidItem::Absent,
            contexts: vec![ProposedContext {
                id: 1,
                abstract_syntax: UidItem::of(Uid::known(CT)),
                transfer_syntaxes: vec![Uid::known(IMPLICIT).text()],
                transfer_syntaxes_dropped: 0,
            }],
            user_information,
        }
    }

    fn table() -> AcceptorTable {
        let entry = AcceptorEntry {
            transfer_syntaxes: Arc::new([Uid::known(IMPLICIT)]),
            roles: None,
            extended_negotiation: Some(Arc::new([9, 9])),
        };
        let entries = [CT, MR].map(|uid| (Uid::known(uid), entry.clone()));
        AcceptorTable { entries: entries.into_iter().collect(), ..AcceptorTable::default() }
    }

    fn accept(user_information: Option<UserInformation>) -> AssociateAc {
        let (request, table) = (request(user_information), table());
        associate_ac(&request, &negotiate(&request, &table), &table, &identity())
    }

    /// Nothing asked: identity and maximum length, and the request's own title bytes.
    #[test]
    fn plain_answer() {
        let accept = accept(None);
        assert_eq!(accept.user_information, Some(identity().user_information()));
        assert_eq!(accept.titles.as_bytes(), &[b'x'; 64]);
        assert_eq!(accept.titles.called_ae_title(), AeTitle::new(&[b'x'; 16]));
        let bytes = encode_associate_ac(&accept).unwrap();
        assert_eq!(decode_associate_ac(&bytes[6..]), Ok(accept));
    }

    /// PS3.7 Annex D.3.3.3: whatever window is asked for, also 0 (no limit), the answer is 1 and 1.
    #[test]
    fn asynchronous_window() {
        for invoked in [0, 1, 65535] {
            let asked = UserInformation {
                asynchronous_operations: Some(AsynchronousOperations { invoked, performed: 0 }),
                ..UserInformation::default()
            };
            assert_eq!(
                accept(Some(asked)).user_information.unwrap().asynchronous_operations,
                Some(AsynchronousOperations { invoked: 1, performed: 1 })
            );
        }
    }

    /// Extended negotiation is answered once, and only for an accepted context of the class.
    #[test]
    fn extended_negotiation() {
        let item = |uid| ExtendedNegotiation {
            sop_class_uid: Uid::known(uid).text(),
            information: vec![1],
        };
        let asked = UserInformation {
            extended_negotiation: vec![item(CT), item(CT), item(MR), item("1.2.3")],
            ..UserInformation::default()
        };
        let answer = accept(Some(asked)).user_information.unwrap().extended_negotiation;
        assert_eq!(answer, [ExtendedNegotiation { information: vec![9, 9], ..item(CT) }]);
    }

    /// PS3.7 Annex D.3.3.7: an identity that was not verified gets no positive response.
    #[test]
    fn user_identity() {
        let asked = UserInformation {
            user_identity: Some(UserIdentity {
                identity_type: 2,
                positive_response_requested: true,
                primary_field: b"alice".to_vec(),
                secondary_field: b"secret".to_vec(),
            }),
            ..UserInformation::default()
        };
        let answer = accept(Some(asked)).user_information.unwrap();
        assert_eq!((answer.user_identity, answer.user_identity_response), (None, None));
    }
}
