//! One association between DCMTK's own tools, replayed: we read each PDU as they did, and with
//! DCMTK's table and identity we write the very bytes that its storescp wrote.
//!
//! Captured on loopback between `echoscu` and `storescp` of Debian's dcmtk 3.6.7, both with default
//! options; PDUs in the order of the conversation.

use std::sync::Arc;

use dcmfast_core::acse::negotiation::negotiate;
use dcmfast_core::acse::user_information::{LocalIdentity, associate_ac};
use dcmfast_core::dimse::message::{MessageAssembler, Step, append_command};
use dcmfast_core::dimse::service::{Command, EchoRequest, Response};
use dcmfast_core::dimse::status::Status;
use dcmfast_core::policy::{AcceptorEntry, AcceptorTable};
use dcmfast_core::uid::Uid;
use dcmfast_core::ul::pdv::{ContextIds, Fragmenter, split_first};
use dcmfast_core::ul::provider::{Indication, TransportEnd, UpperLayer};
use dcmfast_core::ul::state_table::State;

/// A-ASSOCIATE-RQ: ECHOSCU to ANY-SCP; context 1 Verification with Implicit VR Little Endian (its
/// third reserved byte is FFH); maximum length 16384, implementation class UID and version name.
const ASSOCIATE_RQ: &str = "0100000000cd00010000414e592d5343502020202020202020204543484f534355\
    2020202020202020200000000000000000000000000000000000000000000000000000000000000000\
    10000015312e322e3834302e31303030382e332e312e312e31\
    2000002e0100ff0030000011312e322e3834302e31303030382e312e31\
    40000011312e322e3834302e31303030382e312e32\
    5000003a51000004000040005200001b312e322e3237362e302e373233303031302e332e302e332e362e37\
    5500000f4f464649535f44434d544b5f333637";
/// A-ASSOCIATE-AC: the title fields repeated, context 1 accepted.
const ASSOCIATE_AC: &str = "0200000000b800010000414e592d5343502020202020202020204543484f534355\
    2020202020202020200000000000000000000000000000000000000000000000000000000000000000\
    10000015312e322e3834302e31303030382e332e312e312e31\
    210000190100000040000011312e322e3834302e31303030382e312e32\
    5000003a51000004000040005200001b312e322e3237362e302e373233303031302e332e302e332e362e37\
    5500000f4f464649535f44434d544b5f333637";
/// P-DATA-TF: C-ECHO-RQ, message ID 1.
const ECHO_RQ: &str = "04000000004a0000004601030000000004000000380000000000020012000000\
    312e322e3834302e31303030382e312e31000000000102000000300000001001020000000100\
    00000008020000000101";
/// P-DATA-TF: C-ECHO-RSP, success.
const ECHO_RSP: &str = "0400000000540000005001030000000004000000420000000000020012000000\
    312e322e3834302e31303030382e312e31000000000102000000308000002001020000000100\
    0000000802000000010100000009020000000000";
/// A-RELEASE-RQ.
const RELEASE_RQ: &str = "05000000000400000000";
/// A-RELEASE-RP.
const RELEASE_RP: &str = "06000000000400000000";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap())
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// storescp's default table for Verification (DCMTK 3.6.7).
fn table() -> AcceptorTable {
    let transfer_syntaxes: Arc<[Uid]> =
        ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2"].map(Uid::known).into();
    let entry = AcceptorEntry { transfer_syntaxes, roles: None, extended_negotiation: None };
    AcceptorTable {
        entries: [(Uid::known("1.2.840.10008.1.1"), entry)].into_iter().collect(),
        ..AcceptorTable::default()
    }
}

fn echo_of(pdu_body: &[u8], assembler: &mut MessageAssembler) -> EchoRequest {
    let (pdv, rest) = split_first(pdu_body).unwrap();
    assert!(rest.is_empty());
    let step = assembler.feed(pdv).unwrap();
    let Step::Command { context_id: 1, set, data_set_follows: false } = step else {
        panic!("{step:?}");
    };
    let Ok(Command::Echo(echo)) = Command::of(&set) else { panic!("{set:?}") };
    echo
}

/// In storescp's place.
#[test]
fn as_acceptor() {
    let mut acceptor = UpperLayer::acceptor(16384);
    let stream = [bytes(ASSOCIATE_RQ), bytes(ECHO_RQ), bytes(RELEASE_RQ)].concat();

    let received = acceptor.receive(&stream);
    let mut start = received.consumed;
    let Indication::AssociateRequest(request) = received.indication else { panic!() };
    assert_eq!(request.called_ae_title().as_bytes(), b"ANY-SCP");
    assert_eq!(request.calling_ae_title().as_bytes(), b"ECHOSCU");
    let identity = LocalIdentity {
        max_pdu_bytes: 16384,
        implementation_class_uid: Uid::known("1.2.276.0.7230010.3.0.3.6.7"),
        implementation_version_name: "OFFIS_DCMTK_367".into(),
    };
    let negotiation = negotiate(&request, &table());
    let accept = associate_ac(&request, &negotiation, &table(), &identity);
    assert_eq!(acceptor.accept(&accept).unwrap(), bytes(ASSOCIATE_AC));

    let received = acceptor.receive(&stream[start..]);
    start += received.consumed;
    let Indication::Data(body) = received.indication else { panic!() };
    let mut assembler = MessageAssembler::new(negotiation.accepted().ids());
    let echo = echo_of(body, &mut assembler);
    assert_eq!(echo.message_id, 1);
    let fragmenter = Fragmenter::new(request.maximum_length()).unwrap();
    let mut out = Vec::new();
    append_command(&mut out, &fragmenter, 1, |out| echo.response(Status::SUCCESS).encode(out));
    assert_eq!(out, bytes(ECHO_RSP));

    let received = acceptor.receive(&stream[start..]);
    assert_eq!(start + received.consumed, stream.len());
    assert_eq!(received.indication, Indication::ReleaseRequest { is_collision: false });
    assert_eq!(acceptor.release_reply().unwrap().send.unwrap().to_vec(), bytes(RELEASE_RP));
    assert_eq!(acceptor.transport_closed(), TransportEnd::Orderly);
}

/// In echoscu's place.
#[test]
fn as_requestor() {
    let request_bytes = bytes(ASSOCIATE_RQ);
    let mut other = UpperLayer::acceptor(16384);
    let received = other.receive(&request_bytes);
    let Indication::AssociateRequest(request) = received.indication else { panic!() };

    let mut requestor = UpperLayer::requestor(16384);
    let mut sent = requestor.associate(&request).unwrap();
    // PS3.8 Table 9-13: echoscu sets a reserved byte that we leave 0.
    let reserved = request_bytes.windows(3).position(|three| three == [1, 0, 0xFF]).unwrap() + 2;
    assert_eq!(core::mem::replace(&mut sent[reserved], 0xFF), 0);
    assert_eq!(sent, request_bytes);

    let stream = [bytes(ASSOCIATE_AC), bytes(ECHO_RSP), bytes(RELEASE_RP)].concat();
    let received = requestor.receive(&stream);
    let mut start = received.consumed;
    let Indication::AssociateAccept(accept) = received.indication else { panic!() };
    let [context] = &accept.contexts[..] else { panic!() };
    assert_eq!(context.transfer_syntax.uid().unwrap().as_str(), "1.2.840.10008.1.2");
    let contexts = ContextIds::from_iter([context.id]);

    let echo_bytes = bytes(ECHO_RQ);
    let echo = echo_of(&echo_bytes[6..], &mut MessageAssembler::new(contexts));
    let fragmenter = Fragmenter::new(accept.maximum_length()).unwrap();
    let mut out = Vec::new();
    append_command(&mut out, &fragmenter, 1, |out| echo.encode(out));
    assert_eq!(out, echo_bytes);

    let received = requestor.receive(&stream[start..]);
    start += received.consumed;
    let Indication::Data(body) = received.indication else { panic!() };
    let (pdv, _) = split_first(body).unwrap();
    let mut assembler = MessageAssembler::new(contexts);
    let Step::Command { set, .. } = assembler.feed(pdv).unwrap() else { panic!() };
    let expected: Response<'_> = echo.response(Status::SUCCESS);
    assert_eq!(Command::of(&set), Ok(Command::Response(expected)));

    assert_eq!(requestor.release().unwrap().send.unwrap().to_vec(), bytes(RELEASE_RQ));
    assert_eq!(requestor.receive(&stream[start..]).indication, Indication::ReleaseReply);
    assert_eq!(requestor.state(), State::Sta1);
}
