//! Invariant: any bytes, in any transfer syntax, cut anywhere, give one answer and the same
//! warnings, count and values; an accepted data set stays accepted when an element is put behind
//! it.
#![no_main]

use dcmfast_core::dataset::scan::{ScanError, ScanWarnings, Scanner};
use dcmfast_core::dataset::transfer_syntax::TransferSyntax;
use dcmfast_core::limits::WANTED_VALUE_BYTES_MAX;
use dcmfast_core::tag::{self, Tag};
use dcmfast_core::uid::Uid;
use libfuzzer_sys::fuzz_target;

static WANTED: [Tag; 3] = [tag::SOP_CLASS_UID, tag::SOP_INSTANCE_UID, tag::SERIES_DATE];
const SYNTAXES: [&str; 4] =
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.50"];

type Outcome = (Result<(), ScanError>, u64, ScanWarnings, [Option<Vec<u8>>; 3]);

fn outcome<'a>(syntax: &str, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut scanner = Scanner::new(TransferSyntax::of(&Uid::known(syntax)), &WANTED);
    let fed = pieces.map(|piece| scanner.feed(piece)).find(Result::is_err).unwrap_or(Ok(()));
    let result = fed.and_then(|()| scanner.finish());
    let values = WANTED.map(|tag| scanner.value(tag).map(<[u8]>::to_vec));
    for value in values.iter().flatten() {
        assert!(value.len() <= WANTED_VALUE_BYTES_MAX);
    }
    (result, scanner.elements_seen(), scanner.warnings(), values)
}

fuzz_target!(|input: &[u8]| {
    let [control, data @ ..] = input else { return };
    let syntax = SYNTAXES[usize::from(control & 3)];
    let piece_bytes = usize::from(control >> 2).max(1);
    let whole = outcome(syntax, core::iter::once(data));
    assert_eq!(outcome(syntax, data.chunks(piece_bytes)), whole);
    assert!(whole.1 <= data.len() as u64 / 8, "an element takes eight bytes at least");
    if whole.0.is_ok() {
        let element: &[u8] = match control & 3 {
            0 => b"\xfc\xff\xfc\xff\0\0\0\0",
            2 => b"\xff\xfc\xff\xfcUI\0\0",
            _ => b"\xfc\xff\xfc\xffUI\0\0",
        };
        let longer = outcome(syntax, [data, element].into_iter());
        assert_eq!((longer.0, longer.1), (Ok(()), whole.1 + 1));
    }
});
