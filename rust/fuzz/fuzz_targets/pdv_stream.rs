//! Invariant: the PDVs of any body are in order, inside it, and cover it whole unless it is
//! refused.

#![no_main]

use dcmfast_core::ul::pdv::split_first;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (mut rest, mut covered) = (input, 0);
    while !rest.is_empty() {
        let Ok((pdv, after)) = split_first(rest) else { return };
        assert!(pdv.context_id % 2 == 1);
        assert_eq!(rest.len() - after.len(), 6 + pdv.fragment.len());
        covered += 6 + pdv.fragment.len();
        rest = after;
    }
    assert_eq!(covered, input.len());
});
