//! Properties: what is encoded decodes to itself, and any bytes decode or are an error with an
//! answer.
//!
//! PROMISES.md §8.7. PDUs with every sub-item (PS3.8 §9.3, PS3.7 Annex D.3.3), commands
//! (PS3.7 §9.3) and messages cut to any maximum length (PS3.8 Annex D.1).

use dcmfast_core::acse::negotiation::negotiate;
use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::dimse::command_set::CommandSet;
use dcmfast_core::dimse::message::{MessageAssembler, Step, append_command};
use dcmfast_core::dimse::service::{
    Command, DataSetType, EchoRequest, Priority, Response, StoreRequest,
};
use dcmfast_core::dimse::status::Status;
use dcmfast_core::policy::{AcceptorEntry, AcceptorTable};
use dcmfast_core::uid::{Uid, UidText};
use dcmfast_core::ul::pdu::{
    Abort, AssociateAc, AssociateRq, AsynchronousOperations, CommonExtendedNegotiation,
    ContextResult, ExtendedNegotiation, PresentationResult, ProposedContext, RoleSelection,
    TitleFields, UidItem, UserIdentity, UserInformation,
};
use dcmfast_core::ul::pdu_codec::{
    decode_associate_ac, decode_associate_rq, encode_associate_ac, encode_associate_rq,
};
use dcmfast_core::ul::pdv::{FragmentKind, Fragmenter, split_first};
use proptest::option;
use proptest::prelude::*;

/// A UID text as it may come: mostly digits and dots, any length up to 64, no trailing padding.
fn uid_text() -> impl Strategy<Value = UidText> {
    prop_oneof![
        8 => "[0-2](\\.[1-9][0-9]{0,8}){0,6}",
        1 => "[ -~]{0,64}",
        1 => "[0-9.]{64}",
    ]
    .prop_map(|text| UidText::new(text.as_bytes()).unwrap())
}

fn uid_item() -> impl Strategy<Value = UidItem> {
    prop_oneof![1 => Just(UidItem::Absent), 9 => uid_text().prop_map(UidItem::Given)]
}

fn bytes(up_to: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=up_to)
}

fn user_information() -> impl Strategy<Value = UserInformation> {
    let window = (any::<u16>(), any::<u16>())
        .prop_map(|(invoked, performed)| AsynchronousOperations { invoked, performed });
    let role = (uid_text(), any::<bool>(), any::<bool>())
        .prop_map(|(sop_class_uid, scu, scp)| RoleSelection { sop_class_uid, scu, scp });
    let extended = (uid_text(), bytes(40)).prop_map(|(sop_class_uid, information)| {
        ExtendedNegotiation { sop_class_uid, information }
    });
    let common = (any::<u8>(), uid_text(), uid_text(), prop::collection::vec(uid_text(), 0..4))
        .prop_map(|(version, sop_class_uid, service_class_uid, related_general_sop_classes)| {
            CommonExtendedNegotiation {
                version,
                sop_class_uid,
                service_class_uid,
                related_general_sop_classes,
            }
        });
    let identity = (any::<u8>(), any::<bool>(), bytes(40), bytes(40)).prop_map(
        |(identity_type, positive_response_requested, primary_field, secondary_field)| {
            UserIdentity {
                identity_type,
                positive_response_requested,
                primary_field,
                secondary_field,
            }
        },
    );
    (
        option::of(any::<u32>()),
        uid_item(),
        option::of("[!-~]{0,16}"),
        option::of(window),
        prop::collection::vec(role, 0..4),
        prop::collection::vec(extended, 0..4),
        prop::collection::vec(common, 0..4),
        option::of(identity),
        option::of(bytes(40)),
    )
        .prop_map(|it| UserInformation {
            maximum_length: it.0,
            implementation_class_uid: it.1,
            implementation_version_name: it.2.map(String::into_bytes),
            asynchronous_operations: it.3,
            roles: it.4,
            extended_negotiation: it.5,
            common_extended_negotiation: it.6,
            user_identity: it.7,
            user_identity_response: it.8,
        })
}

fn titles() -> impl Strategy<Value = TitleFields> {
    (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(first, second)| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&first);
        bytes[32..].copy_from_slice(&second);
        TitleFields::from_bytes(bytes)
    })
}

/// Distinct odd IDs.
fn ids() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::btree_set(0_u8..128, 0..12)
        .prop_map(|set| set.into_iter().map(|id| 2 * id + 1).collect())
}

prop_compose! {
    fn associate_rq()(
        protocol_version in any::<u16>(),
        titles in titles(),
        application_context in uid_item(),
        ids in ids(),
        syntaxes in prop::collection::vec(
            (uid_item(), prop::collection::vec(uid_text(), 0..5)),
            12,
        ),
        user_information in option::of(user_information()),
    ) -> AssociateRq {
        let contexts = ids.into_iter().zip(syntaxes).map(|(id, syntaxes)| ProposedContext {
            id,
            abstract_syntax: syntaxes.0,
            transfer_syntaxes: syntaxes.1,
            transfer_syntaxes_dropped: 0,
        });
        AssociateRq {
            protocol_version,
            titles,
            application_context,
            contexts: contexts.collect(),
            user_information,
        }
    }
}

prop_compose! {
    fn associate_ac()(
        protocol_version in any::<u16>(),
        titles in titles(),
        application_context in uid_item(),
        ids in ids(),
        results in prop::collection::vec((any::<u8>(), uid_item()), 12),
        user_information in option::of(user_information()),
    ) -> AssociateAc {
        let contexts = ids.into_iter().zip(results).map(|(id, (result, transfer_syntax))| {
            ContextResult { id, result: PresentationResult::from_byte(result), transfer_syntax }
        });
        AssociateAc {
            protocol_version,
            titles,
            application_context,
            contexts: contexts.collect(),
            user_information,
        }
    }
}

fn present_uid() -> impl Strategy<Value = Option<UidText>> {
    option::of(uid_text().prop_filter("an empty UID is as missing", |uid| !uid.is_empty()))
}

fn data_set_type() -> impl Strategy<Value = DataSetType> {
    prop::sample::select(vec![DataSetType::Present, DataSetType::Absent, DataSetType::Missing])
}

prop_compose! {
    fn store_request()(
        message_id in any::<u16>(),
        affected_sop_class_uid in present_uid(),
        affected_sop_instance_uid in present_uid(),
        priority in option::of(
            prop::sample::select(vec![Priority::Low, Priority::Medium, Priority::High])
        ),
        title in option::of("[!-~]{1,16}"),
        move_originator_message_id in option::of(any::<u16>()),
        data_set_type in data_set_type(),
    ) -> StoreRequest {
        StoreRequest {
            message_id,
            affected_sop_class_uid,
            affected_sop_instance_uid,
            priority,
            move_originator_ae_title: title.map(|title| AeTitle::new(title.as_bytes())),
            move_originator_message_id,
            data_set_type,
        }
    }
}

fn parse(bytes: &[u8]) -> Command<'_> {
    Command::of(&CommandSet::decode(bytes).unwrap()).unwrap()
}

/// Failures are printed with their input, and become named tests; no file of them is kept.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// A-ASSOCIATE-RQ: decode ∘ encode is the identity.
    #[test]
    fn associate_rq_identity(request in associate_rq()) {
        let bytes = encode_associate_rq(&request).unwrap();
        prop_assert_eq!(decode_associate_rq(&bytes[6..]), Ok(request));
    }

    /// A-ASSOCIATE-AC: decode ∘ encode is the identity.
    #[test]
    fn associate_ac_identity(accept in associate_ac()) {
        let bytes = encode_associate_ac(&accept).unwrap();
        prop_assert_eq!(decode_associate_ac(&bytes[6..]), Ok(accept));
    }

    /// A good request with any one byte changed decodes, or is an error with an answer; never a
    /// panic.
    #[test]
    fn one_byte_changed(
        request in associate_rq(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode_associate_rq(&request).unwrap();
        let at = 6 + at.index(bytes.len() - 6);
        bytes[at] = byte;
        if let Err(error) = decode_associate_rq(&bytes[6..]) {
            prop_assert_eq!(error.abort(), Abort::INVALID_PDU_PARAMETER);
        }
    }

    /// Commands: parse ∘ encode is the identity.
    #[test]
    fn command_identity(
        store in store_request(),
        status in any::<u16>(),
        comment in option::of("[!-~]{0,64}"),
    ) {
        let mut out = Vec::new();
        store.encode(&mut out);
        prop_assert_eq!(parse(&out), Command::Store(store));

        let response = Response {
            error_comment: comment.as_deref().map(str::as_bytes),
            ..store.response(Status(status))
        };
        let mut out = Vec::new();
        response.encode(&mut out);
        prop_assert_eq!(parse(&out), Command::Response(response));

        let echo = EchoRequest {
            message_id: store.message_id,
            affected_sop_class_uid: store.affected_sop_class_uid,
            data_set_type: DataSetType::Absent,
        };
        let mut out = Vec::new();
        echo.encode(&mut out);
        prop_assert_eq!(parse(&out), Command::Echo(echo));
    }

    /// Any bytes are a command set or an error; a set that is one holds its values.
    #[test]
    fn any_bytes_as_a_command_set(input in bytes(200)) {
        if let Ok(set) = CommandSet::decode(&input) {
            let _ = Command::of(&set);
            let _ = format!("{set:?}");
        }
    }

    /// A message cut to any maximum length is read back, and no PDU is longer than allowed.
    #[test]
    fn message_identity(
        store in store_request(),
        data_set in bytes(3000),
        maximum in prop_oneof![8_u32..300, 300_u32..20_000],
    ) {
        let store = StoreRequest { data_set_type: DataSetType::Present, ..store };
        let fragmenter = Fragmenter::new(Some(maximum)).unwrap();
        let mut stream = Vec::new();
        append_command(&mut stream, &fragmenter, 5, |out| store.encode(out));
        for piece in fragmenter.pieces(5, FragmentKind::DataSet, data_set.len()) {
            stream.extend_from_slice(&piece.header);
            stream.extend_from_slice(&data_set[piece.range]);
        }
        let mut assembler = MessageAssembler::new([5].into_iter().collect());
        let (mut rest, mut joined, mut is_complete) = (&stream[..], Vec::new(), false);
        while let Some((header, after)) = rest.split_first_chunk::<6>() {
            let length = u32::from_be_bytes(*header.last_chunk().unwrap());
            prop_assert!(length <= maximum && !is_complete);
            let (body, after) = after.split_at(length as usize);
            let (pdv, nothing) = split_first(body).unwrap();
            prop_assert!(nothing.is_empty());
            match assembler.feed(pdv).unwrap() {
                Step::Progress => {}
                Step::Command { set, .. } => {
                    prop_assert_eq!(Command::of(&set), Ok(Command::Store(store)));
                }
                Step::DataSet { fragment, is_last, .. } => {
                    joined.extend_from_slice(fragment);
                    is_complete = is_last;
                }
            }
            rest = after;
        }
        prop_assert!(is_complete && assembler.is_between_messages());
        prop_assert_eq!(joined, data_set);
    }

    /// Negotiation answers every context once, and takes the first of ours that was proposed.
    #[test]
    fn negotiation_takes_our_first(
        request in associate_rq(),
        ours in prop::collection::vec(uid_text(), 1..6),
    ) {
        let transfer_syntaxes: Vec<Uid> = ours.iter().filter_map(|text| text.to_uid()).collect();
        let entry = AcceptorEntry {
            transfer_syntaxes: transfer_syntaxes.clone().into(),
            roles: None,
            extended_negotiation: None,
        };
        // Every second abstract syntax of the request is accepted; one of its syntaxes is ours,
        // too.
        let entries = request.contexts.iter().step_by(2).filter_map(|context| {
            let mut entry = entry.clone();
            if let Some(first) = context.transfer_syntaxes.last().and_then(|text| text.to_uid()) {
                let all = transfer_syntaxes.iter().copied().chain([first]);
                entry.transfer_syntaxes = all.collect();
            }
            Some((context.abstract_syntax.uid()?, entry))
        });
        let table = AcceptorTable { entries: entries.collect(), ..AcceptorTable::default() };
        let negotiation = negotiate(&request, &table);
        prop_assert_eq!(negotiation.decisions.len(), request.contexts.len());
        for (decision, context) in negotiation.decisions.iter().zip(&request.contexts) {
            prop_assert_eq!(decision.id, context.id);
            let entry = context.abstract_syntax.uid().and_then(|uid| table.entries.get(&uid));
            let proposed: Vec<Uid> =
                context.transfer_syntaxes.iter().filter_map(|text| text.to_uid()).collect();
            let model = entry.and_then(|entry| {
                entry.transfer_syntaxes.iter().find(|uid| proposed.contains(uid)).copied()
            });
            prop_assert_eq!(decision.transfer_syntax, model);
            prop_assert_eq!(decision.result.byte(), match (entry, model) {
                (None, _) => 3,
                (Some(_), None) => 4,
                (Some(_), Some(_)) => 0,
            });
        }
    }
}
