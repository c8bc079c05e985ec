//! Invariant: any content of the user information item is read or refused; what was read encodes
//! and decodes to itself, and no more sub-items are kept than were there.

#![no_main]

use dcmfast_core::ul::pdu_codec::{
    ASSOCIATE_FIXED_BYTES, decode_associate_rq, encode_associate_rq,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(length) = u16::try_from(input.len()) else { return };
    let mut body = vec![0; ASSOCIATE_FIXED_BYTES as usize];
    body.extend([0x50, 0]);
    body.extend(length.to_be_bytes());
    body.extend_from_slice(input);
    let Ok(request) = decode_associate_rq(&body) else { return };
    let information = request.user_information.as_ref().expect("the item is there");
    let kept = information.roles.len()
        + information.extended_negotiation.len()
        + information.common_extended_negotiation.len();
    assert!(kept * 4 <= input.len());
    if let Ok(bytes) = encode_associate_rq(&request) {
        assert_eq!(decode_associate_rq(&bytes[6..]).expect("our own bytes"), request);
    }
});
