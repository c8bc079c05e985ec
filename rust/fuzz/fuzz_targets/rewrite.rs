//! Invariant: any bytes, under any output options, are refused or become a data set that the scanner
//! accepts, that is in order and that holds the values it was made of: brought home to Explicit VR Little
//! Endian it is what the source becomes there directly. Memory is bounded by what the options may add.
#![no_main]

use dcmfast_core::dataset::rewrite::{
    GroupLengths, OutputEncoding, Padding, PixelHints, Rewriting, Unknown, rewrite, survey,
};
use dcmfast_core::dataset::scan::{ScanError, Scanner};
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
    match scanner.feed(&result).and_then(|()| scanner.finish()) {
        // Sorted, it begins with an element that looks like a swapped one; as it came, it did not.
        Err(ScanError::WrongByteOrder { .. }) => return,
        // A sequence where the dictionary has none: Implicit VR has no way to say so, with or without us.
        Err(ScanError::UndefinedLength { .. })
            if TransferSyntax::of(&from).is_explicit && !TransferSyntax::of(&to).is_explicit =>
        {
            return;
        }
        outcome => outcome.expect("the result is whole"),
    }
    let Some(again) = way(&to) else { return };
    // What was sorted is in order. That nothing else changes is a property test's
    // (`dataset::rewrite`): a deflated stream may have other bytes with the same content.
    if let Ok(found) = survey(&result[..], &again) {
        assert!(!found.is_disordered);
    }
    // A header grows by half, a group gets a length of 12 bytes, an item 16 of delimiters, and what comes
    // deflated is bounded by its ratio.
    if !TransferSyntax::of(&from).is_deflated {
        assert!(result.len() <= 4 * data.len() + 64, "{} bytes of {}", result.len(), data.len());
    }
    // VRs that Implicit VR leaves out are the dictionary's when it is read again.
    if TransferSyntax::of(&from).is_explicit && !TransferSyntax::of(&to).is_explicit {
        return;
    }
    let home = OutputEncoding {
        transfer_syntax: Some(syntax(1)),
        group_lengths: GroupLengths::Removed,
        ..encoding
    };
    let home = |from: &Uid| Rewriting::of(from, home, PixelHints::default());
    let (Some(direct), Some(back)) = (home(&from), home(&to)) else { return };
    let Ok(direct) = rewrite(data, &direct) else { return };
    let back = rewrite(&result, &back).expect("what was written can be read");
    assert!(back == direct, "other values: {back:?} instead of {direct:?}");
});
