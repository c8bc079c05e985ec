//! Invariant: any bytes, under any output options, are refused or become a data set that the scanner
//! accepts, that has the length its survey said, and that stays as it is when it is written again.
#![no_main]

use dcmfast_core::dataset::rewrite::{
    GroupLengths, OutputEncoding, Padding, PixelHints, Rewriting, Unknown, rewrite, survey,
};
use dcmfast_core::dataset::scan::Scanner;
use dcmfast_core::dataset::transfer_syntax::TransferSyntax;
use dcmfast_core::uid::Uid;
use libfuzzer_sys::fuzz_target;

const SYNTAXES: [&str; 4] =
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"];

fuzz_target!(|input: &[u8]| {
    let [control, options, data @ ..] = input else { return };
    let syntax = |at: u8| Uid::known(SYNTAXES[usize::from(at & 3)]);
    let (from, to) = (syntax(*control), syntax(control >> 2));
    let base = if options & 1 == 0 { OutputEncoding::STORESCP } else { OutputEncoding::DCMRECV };
    let encoding = OutputEncoding {
        transfer_syntax: Some(to),
        group_lengths: [GroupLengths::Recalculated, GroupLengths::Removed, GroupLengths::Created]
            [usize::from(options >> 1 & 3) % 3],
        padding: if options & 8 == 0 { base.padding } else { Padding::Removed },
        unknown: if options & 16 == 0 { Unknown::Kept } else { Unknown::Converted },
        has_new_vrs: options & 32 == 0,
        ..base
    };
    let way = |from: &Uid| Rewriting::of(from, encoding, PixelHints::default());
    let Some(there) = way(&from) else { return };
    let Ok(result) = rewrite(data, &there) else { return };
    let mut scanner = Scanner::new(TransferSyntax::of(&to), &[]);
    scanner.feed(&result).and_then(|()| scanner.finish()).expect("the result is whole");
    let Some(again) = way(&to) else { return };
    let found = survey(&result[..], &again).expect("the result can be written again");
    assert!(!found.is_disordered);
    assert_eq!(rewrite(&result, &again).expect("the result can be written again"), result);
});
