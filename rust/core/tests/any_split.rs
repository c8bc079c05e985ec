//! Property: what the upper layer and DIMSE understand does not depend on how TCP splits the bytes.
//!
//! PS3.8 §9.3.1: PDUs are a byte stream; TCP keeps no boundaries. PROMISES.md §8.6.
//! Streams are made of good and bad PDUs in any order, with good and bad PDVs inside, and cut
//! anywhere.

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::dimse::command_set::{Encoder, Field};
use dcmfast_core::dimse::message::{MessageAssembler, Step};
use dcmfast_core::uid::Uid;
use dcmfast_core::ul::pdu::{
    APPLICATION_CONTEXT_NAME, AssociateAc, AssociateRq, ProposedContext, TitleFields, UidItem,
    UserInformation,
};
use dcmfast_core::ul::pdu_codec::{
    encode_abort, encode_associate_ac, encode_associate_rj, encode_associate_rq, encode_release_rp,
    encode_release_rq,
};
use dcmfast_core::ul::pdv::{ContextIds, split_first};
use dcmfast_core::ul::provider::{Indication, Reaction, UpperLayer};
use dcmfast_core::ul::state_table::State;
use proptest::prelude::*;

const MAX_PDU_BYTES: u32 = 4096;

fn request() -> AssociateRq {
    AssociateRq {
        protocol_version: 1,
        titles: TitleFields::new(AeTitle::new(b"CALLED"), AeTitle::new(b"CALLING")),
        application_context: UidItem::of(Uid::known(APPLICATION_CONTEXT_NAME)),
        contexts: vec![ProposedContext {
            id: 1,
            abstract_syntax: UidItem::of(Uid::known("1.2.840.10008.1.1")),
            transfer_syntaxes: vec![Uid::known("1.2.840.10008.1.2").text()],
            transfer_syntaxes_dropped: 0,
        }],
        user_information: Some(UserInformation::default()),
    }
}

fn accept() -> AssociateAc {
    AssociateAc {
        protocol_version: 1,
        titles: request().titles,
        application_context: UidItem::of(Uid::known(APPLICATION_CONTEXT_NAME)),
        contexts: Vec::new(),
        user_information: None,
    }
}

/// Shows `stream` to an acceptor with `cuts` as the ends of what `recv` returned, and notes all
/// that its caller would see: indications, reactions, message steps, and the state at the end.
fn observe(stream: &[u8], cuts: &[usize]) -> (Vec<String>, State) {
    let mut acceptor = UpperLayer::acceptor(MAX_PDU_BYTES);
    let contexts: ContextIds = [1, 3].into_iter().collect();
    let mut assembler = MessageAssembler::new(contexts);
    let mut log = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().filter(|cut| *cut <= stream.len()).chain([stream.len()]) {
        while start < end {
            let received = acceptor.receive(&stream[start..end]);
            start += received.consumed;
            if received.reaction != Reaction::NONE {
                log.push(format!("{:?}", received.reaction));
            }
            match received.indication {
                Indication::NeedMore { total_bytes } => {
                    assert!(total_bytes > end - start, "asked for what is there");
                    break;
                }
                Indication::Ignored => assert!(received.consumed > 0, "no progress"),
                Indication::AssociateRequest(request) => {
                    log.push(format!("{request:?}"));
                    acceptor.accept(&accept()).unwrap();
                }
                Indication::ReleaseRequest { .. } => {
                    log.push("release".into());
                    log.push(format!("{:?}", acceptor.release_reply()));
                }
                Indication::Data(body) => {
                    if let Some(fault) = read_pdvs(&mut assembler, body, &mut log) {
                        log.push(format!("{:?}", acceptor.abort(fault)));
                    }
                }
                other => log.push(format!("{other:?}")),
            }
        }
    }
    (log, acceptor.state())
}

/// Reads one P-DATA-TF as a server does; the fault that ends the association, if there is one.
fn read_pdvs(
    assembler: &mut MessageAssembler,
    mut body: &[u8],
    log: &mut Vec<String>,
) -> Option<dcmfast_core::ul::pdu::Abort> {
    while !body.is_empty() {
        let (pdv, rest) = match split_first(body) {
            Ok(split) => split,
            Err(error) => {
                log.push(format!("{error:?}"));
                return Some(error.abort());
            }
        };
        body = rest;
        match assembler.feed(pdv) {
            Ok(Step::Progress) => {}
            Ok(step) => log.push(format!("{step:?}")),
            Err(error) => {
                log.push(format!("{error:?}"));
                return Some(error.abort());
            }
        }
    }
    None
}

fn data_tf(body: &[u8]) -> Vec<u8> {
    let mut pdu = vec![4, 0];
    pdu.extend((body.len() as u32).to_be_bytes());
    pdu.extend_from_slice(body);
    pdu
}

fn command(has_data_set: bool) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(&mut out)
        .us(Field::CommandField, 1)
        .us(Field::MessageId, 9)
        .us(Field::CommandDataSetType, if has_data_set { 1 } else { 0x0101 })
        .finish();
    out
}

/// A PDV, mostly good.
fn pdv() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        3 => prop::bool::ANY.prop_map(command),
        3 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    let id = prop_oneof![8 => Just(1_u8), 1 => Just(3), 1 => any::<u8>()];
    let control = prop_oneof![4 => Just(3_u8), 3 => Just(2), 2 => Just(0), 1 => any::<u8>()];
    let lie = prop_oneof![20 => Just(0_u32), 1 => any::<u32>()];
    (fragment, id, control, lie).prop_map(|(fragment, id, control, lie)| {
        let mut bytes = (fragment.len() as u32 + 2).wrapping_add(lie).to_be_bytes().to_vec();
        bytes.extend([id, control]);
        bytes.extend(fragment);
        bytes
    })
}

/// A PDU or other bytes.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => prop::collection::vec(pdv(), 1..4).prop_map(|pdvs| data_tf(&pdvs.concat())),
        2 => Just(encode_release_rq().to_vec()),
        1 => Just(encode_release_rp().to_vec()),
        1 => Just(encode_associate_rq(&request()).unwrap()),
        1 => Just(encode_associate_ac(&accept()).unwrap()),
        1 => Just(encode_associate_rj(dcmfast_core::ul::pdu::AssociateRj::NO_REASON).to_vec()),
        1 => Just(encode_abort(dcmfast_core::ul::pdu::Abort::USER).to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let request = prop_oneof![
        9 => Just(encode_associate_rq(&request()).unwrap()),
        1 => Just(Vec::new()),
    ];
    (request, prop::collection::vec(piece(), 0..8))
        .prop_map(|(request, pieces)| [request, pieces.concat()].concat())
}

/// Failures are printed with their input, and become named tests; no file of them is kept.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Any two splits of one stream are understood alike.
    #[test]
    fn events_do_not_depend_on_the_split(
        stream in stream(),
        mut cuts in prop::collection::vec(0_usize..2000, 0..40),
    ) {
        cuts.sort_unstable();
        let whole = observe(&stream, &[]);
        prop_assert_eq!(&observe(&stream, &cuts), &whole);
        let each_byte: Vec<usize> = (1..stream.len()).collect();
        prop_assert_eq!(&observe(&stream, &each_byte), &whole);
    }

    /// Any bytes at all are answered without a panic, and never twice.
    #[test]
    fn any_bytes_are_answered(stream in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (log, state) = observe(&stream, &[]);
        let aborts = log.iter().filter(|line| line.starts_with("Reaction")).count();
        prop_assert!(aborts <= 1 || state == State::Sta1, "{log:?}");
    }
}

/// The generator makes what it should: an association, messages, and faults, not faults alone.
#[test]
fn a_good_stream_is_understood() {
    let mut pdv = (command(true).len() as u32 + 2).to_be_bytes().to_vec();
    pdv.extend([1, 3]);
    pdv.extend(command(true));
    pdv.extend([0, 0, 0, 4, 1, 2, b'o', b'k']);
    let stream =
        [encode_associate_rq(&request()).unwrap(), data_tf(&pdv), encode_release_rq().to_vec()]
            .concat();
    let (log, state) = observe(&stream, &[]);
    assert_eq!(state, State::Sta13, "{log:?}");
    assert!(log.iter().any(|line| line.starts_with("Command")), "{log:?}");
    assert!(log.iter().any(|line| line.contains("is_last: true")), "{log:?}");
}
