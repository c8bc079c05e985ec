//! Invariant: any PDVs give steps or an error with an answer, and nothing panics. What a command
//! set says does not depend on how it is split; a request that was understood encodes to one that
//! is understood alike; and a data set's bytes come out as they went in.
//!
//! The input is the body of P-DATA-TF PDUs: PDVs, one after the other.

#![no_main]

use dcmfast_core::dimse::command_set::CommandSet;
use dcmfast_core::dimse::message::{MessageAssembler, Step};
use dcmfast_core::dimse::service::Command;
use dcmfast_core::limits::COMMAND_SET_BYTES_MAX;
use dcmfast_core::ul::pdv::{ContextIds, Pdv, split_first};
use libfuzzer_sys::fuzz_target;

/// The command in `bytes` as text, given to an assembler in parts of at most `part_bytes`.
fn command(bytes: &[u8], part_bytes: usize) -> String {
    let mut assembler = MessageAssembler::new([1].into_iter().collect());
    let parts = bytes.chunks(part_bytes).count();
    for (index, fragment) in bytes.chunks(part_bytes).enumerate() {
        let is_last = index + 1 == parts;
        match assembler.feed(Pdv { context_id: 1, is_command: true, is_last, fragment }) {
            Ok(Step::Progress) => assert!(!is_last),
            Ok(Step::Command { set, data_set_follows, .. }) => {
                return format!("{:?} {data_set_follows}", Command::of(&set));
            }
            Ok(Step::DataSet { .. }) => unreachable!("no data set was sent"),
            Err(error) => return format!("{error:?}"),
        }
    }
    String::new()
}

fuzz_target!(|input: &[u8]| {
    if !input.is_empty() && input.len() <= COMMAND_SET_BYTES_MAX {
        let whole = command(input, usize::MAX);
        assert_eq!(command(input, 1 + input.len() / 3), whole);
    }
    if let Ok(set) = CommandSet::decode(input) {
        let mut out = Vec::new();
        match Command::of(&set) {
            Ok(Command::Echo(echo)) => {
                echo.encode(&mut out);
                let Ok(Command::Echo(again)) = Command::of(&CommandSet::decode(&out).unwrap())
                else {
                    panic!("our own bytes");
                };
                assert_eq!(again.message_id, echo.message_id);
            }
            Ok(Command::Store(store)) => {
                store.encode(&mut out);
                assert_eq!(
                    Command::of(&CommandSet::decode(&out).unwrap()),
                    Ok(Command::Store(store))
                );
            }
            _ => {}
        }
    }

    let contexts: ContextIds = (0..=255).collect();
    let mut assembler = MessageAssembler::new(contexts);
    let (mut rest, mut data_set_bytes, mut given) = (input, 0, 0);
    while !rest.is_empty() {
        let Ok((pdv, after)) = split_first(rest) else { return };
        rest = after;
        if !pdv.is_command {
            given += pdv.fragment.len();
        }
        match assembler.feed(pdv) {
            Ok(Step::DataSet { fragment, .. }) => data_set_bytes += fragment.len(),
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error.abort().source, 0 | 2));
                return;
            }
        }
        assert_eq!(data_set_bytes, given);
    }
});
