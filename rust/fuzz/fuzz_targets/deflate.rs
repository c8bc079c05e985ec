//! Invariant: any bytes taken as a deflate stream give one answer for any split, and the answer for
//! what this process deflates itself is that of the plain data set.
#![no_main]

use std::io::Write;

use dcmfast_core::dataset::scan::{ScanError, Scanner};
use dcmfast_core::dataset::transfer_syntax::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, TransferSyntax,
};
use dcmfast_core::tag::{self, Tag};
use dcmfast_core::uid::Uid;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use libfuzzer_sys::fuzz_target;

static WANTED: [Tag; 2] = [tag::SOP_CLASS_UID, tag::SOP_INSTANCE_UID];

type Outcome = (Result<(), ScanError>, u64, [Option<Vec<u8>>; 2]);

fn outcome<'a>(syntax: &str, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut scanner = Scanner::new(TransferSyntax::of(&Uid::known(syntax)), &WANTED);
    let fed = pieces.map(|piece| scanner.feed(piece)).find(Result::is_err).unwrap_or(Ok(()));
    let result = fed.and_then(|()| scanner.finish());
    (result, scanner.elements_seen(), WANTED.map(|tag| scanner.value(tag).map(<[u8]>::to_vec)))
}

fuzz_target!(|input: &[u8]| {
    let [control, data @ ..] = input else { return };
    let piece_bytes = usize::from(*control).max(1);
    let syntax = DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;
    let whole = outcome(syntax, core::iter::once(data));
    assert_eq!(outcome(syntax, data.chunks(piece_bytes)), whole);

    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("memory");
    let stream = encoder.finish().expect("memory");
    let plain = outcome(EXPLICIT_VR_LITTLE_ENDIAN, core::iter::once(data));
    assert_eq!(outcome(syntax, stream.chunks(piece_bytes)), plain);
});
