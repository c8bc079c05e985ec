//! Upper layer and DIMSE, per call: PDU codec, PDV split, command sets, and one whole C-STORE
//! exchange.
//!
//! Unit: time per call, bytes per second where data flows. Not measured: sockets, files. The
//! answers are checked while they are timed, in that each result is unwrapped. Run: `cargo bench -p
//! dcmfast-core`.

use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::dimse::command_set::CommandSet;
use dcmfast_core::dimse::message::{MessageAssembler, Step, append_command};
use dcmfast_core::dimse::service::{Command, DataSetType, Priority, StoreRequest};
use dcmfast_core::dimse::status::Status;
use dcmfast_core::uid::{Uid, UidText};
use dcmfast_core::ul::pdu::{
    APPLICATION_CONTEXT_NAME, AssociateAc, AssociateRq, ProposedContext, TitleFields, UidItem,
    UserInformation,
};
use dcmfast_core::ul::pdu_codec::{decode_associate_rq, encode_associate_rq};
use dcmfast_core::ul::pdv::{FragmentKind, Fragmenter, split_first};
use dcmfast_core::ul::provider::{Indication, UpperLayer};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// A request of `contexts` storage classes with three transfer syntaxes each, as storescu makes
/// them.
fn request(contexts: u8) -> AssociateRq {
    let syntaxes = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2"];
    AssociateRq {
        protocol_version: 1,
        titles: TitleFields::new(AeTitle::new(b"STORESCP"), AeTitle::new(b"STORESCU")),
        application_context: UidItem::of(Uid::known(APPLICATION_CONTEXT_NAME)),
        contexts: (0..contexts)
            .map(|index| ProposedContext {
                id: 2 * index + 1,
                abstract_syntax: UidItem::of(Uid::known(&format!(
                    "1.2.840.10008.5.1.4.1.1.{}",
                    index + 1
                ))),
                transfer_syntaxes: syntaxes.iter().map(|uid| Uid::known(uid).text()).collect(),
                transfer_syntaxes_dropped: 0,
            })
            .collect(),
        user_information: Some(UserInformation {
            maximum_length: Some(16384),
            implementation_class_uid: UidItem::of(Uid::known("2.25.1")),
            implementation_version_name: Some(b"DCMFAST_0".to_vec()),
            ..UserInformation::default()
        }),
    }
}

fn store() -> StoreRequest {
    StoreRequest {
        message_id: 1,
        affected_sop_class_uid: UidText::new(b"1.2.840.10008.5.1.4.1.1.2"),
        affected_sop_instance_uid: UidText::new(b"1.2.826.0.1.3680043.8.498.123456789012345678"),
        priority: Some(Priority::Medium),
        move_originator_ae_title: None,
        move_originator_message_id: None,
        data_set_type: DataSetType::Present,
    }
}

#[divan::bench(args = [1, 16, 128])]
fn associate_rq_encode(bencher: Bencher<'_, '_>, contexts: u8) {
    let request = request(contexts);
    bencher.bench(|| encode_associate_rq(black_box(&request)).unwrap());
}

#[divan::bench(args = [1, 16, 128])]
fn associate_rq_decode(bencher: Bencher<'_, '_>, contexts: u8) {
    let bytes = encode_associate_rq(&request(contexts)).unwrap();
    bencher.bench(|| decode_associate_rq(black_box(&bytes[6..])).unwrap());
}

/// A P-DATA-TF of 128 KiB with PDVs of the given size: the split alone.
#[divan::bench(args = [0, 16, 1024, 131_058])]
fn pdv_split(bencher: Bencher<'_, '_>, fragment_bytes: usize) {
    let mut body = Vec::new();
    while body.len() + 6 + fragment_bytes <= 131_072 {
        body.extend((fragment_bytes as u32 + 2).to_be_bytes());
        body.extend([1, 0]);
        body.resize(body.len() + fragment_bytes, 0);
    }
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let (mut rest, mut bytes) = (black_box(&body[..]), 0);
        while !rest.is_empty() {
            let (pdv, after) = split_first(rest).unwrap();
            bytes += pdv.fragment.len();
            rest = after;
        }
        bytes
    });
}

#[divan::bench]
fn command_set_decode(bencher: Bencher<'_, '_>) {
    let mut bytes = Vec::new();
    store().encode(&mut bytes);
    bencher.bench(|| Command::of(&CommandSet::decode(black_box(&bytes)).unwrap()).unwrap());
}

#[divan::bench]
fn store_response_encode(bencher: Bencher<'_, '_>) {
    let store = store();
    let fragmenter = Fragmenter::new(Some(16384)).unwrap();
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        let response = black_box(&store).response(Status::SUCCESS);
        append_command(&mut out, &fragmenter, 1, |out| response.encode(out));
        out.len()
    });
}

/// One C-STORE of a data set of the given size from PDUs to response: all of this layer's work.
#[divan::bench(args = [1024, 524_288])]
fn store_exchange(bencher: Bencher<'_, '_>, data_set_bytes: usize) {
    let fragmenter = Fragmenter::new(Some(16384)).unwrap();
    let mut stream = Vec::new();
    append_command(&mut stream, &fragmenter, 1, |out| store().encode(out));
    fragmenter.append(&mut stream, 1, FragmentKind::DataSet, &vec![0; data_set_bytes]);

    let mut upper_layer = UpperLayer::acceptor(16384);
    let request = request(1);
    let _ = upper_layer.receive(&encode_associate_rq(&request).unwrap());
    let accept = AssociateAc {
        protocol_version: 1,
        titles: request.titles,
        application_context: UidItem::Absent,
        contexts: Vec::new(),
        user_information: None,
    };
    upper_layer.accept(&accept).unwrap();
    let mut assembler = MessageAssembler::new([1].into_iter().collect());
    let mut out = Vec::new();
    bencher.counter(BytesCount::new(stream.len())).bench_local(|| {
        let (mut unread, mut bytes, mut request) = (black_box(&stream[..]), 0, None);
        while !unread.is_empty() {
            let received = upper_layer.receive(unread);
            let Indication::Data(mut body) = received.indication else { unreachable!() };
            while !body.is_empty() {
                let (pdv, rest) = split_first(body).unwrap();
                body = rest;
                match assembler.feed(pdv).unwrap() {
                    Step::Command { set, .. } => {
                        let Ok(Command::Store(store)) = Command::of(&set) else { unreachable!() };
                        request = Some(store);
                    }
                    Step::DataSet { fragment, .. } => bytes += fragment.len(),
                    Step::Progress => {}
                }
            }
            unread = &unread[received.consumed..];
        }
        assert_eq!(bytes, data_set_bytes);
        let store = request.unwrap();
        out.clear();
        let response = store.response(Status::SUCCESS);
        append_command(&mut out, &fragmenter, 1, |out| response.encode(out));
        out.len()
    });
}
