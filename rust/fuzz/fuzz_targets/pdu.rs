//! Invariant: any bytes, in any split, give the upper layer the same indications; each PDU that was
//! decoded encodes and decodes to itself; an A-ABORT is owed for every fault, and nothing panics.

#![no_main]

use dcmfast_core::ul::pdu_codec::{
    decode_associate_ac, decode_associate_rq, encode_associate_ac, encode_associate_rq,
};
use dcmfast_core::ul::provider::{Indication, UpperLayer};
use libfuzzer_sys::fuzz_target;

/// The indications of `bytes`, shown as they arrive in chunks of at most `chunk_bytes`.
fn indications(mut upper_layer: UpperLayer, bytes: &[u8], chunk_bytes: usize) -> Vec<String> {
    let (mut start, mut seen, mut log) = (0, 0, Vec::new());
    while seen < bytes.len() {
        seen = bytes.len().min(seen + chunk_bytes);
        while start < seen {
            let received = upper_layer.receive(&bytes[start..seen]);
            start += received.consumed;
            match received.indication {
                Indication::NeedMore { total_bytes } => {
                    assert!(received.consumed == 0 && total_bytes > seen - start);
                    break;
                }
                Indication::Ignored => assert!(received.consumed > 0),
                Indication::Fault(_) => {
                    assert!(received.reaction.send.is_some());
                    log.push(format!("{:?}", received.indication));
                }
                other => log.push(format!("{other:?}")),
            }
        }
    }
    log
}

fuzz_target!(|input: &[u8]| {
    if let Ok(request) = decode_associate_rq(input) {
        if let Ok(bytes) = encode_associate_rq(&request) {
            let mut again = decode_associate_rq(&bytes[6..]).expect("our own bytes");
            for (context, first) in again.contexts.iter_mut().zip(&request.contexts) {
                context.transfer_syntaxes_dropped = first.transfer_syntaxes_dropped;
            }
            assert_eq!(again, request);
        }
    }
    if let Ok(accept) = decode_associate_ac(input) {
        if let Ok(bytes) = encode_associate_ac(&accept) {
            assert_eq!(decode_associate_ac(&bytes[6..]).expect("our own bytes"), accept);
        }
    }
    let whole = indications(UpperLayer::acceptor(16384), input, usize::MAX);
    for chunk_bytes in [1, 7] {
        assert_eq!(indications(UpperLayer::acceptor(16384), input, chunk_bytes), whole);
    }
});
