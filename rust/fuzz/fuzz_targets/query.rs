//! Invariant: any bytes, in any encoding, are an identifier or not, never more than they hold; any
//! key matches any value or not, by both sets of rules, and a wildcard as the plain dynamic
//! programme says; text written in a character set reads back.
#![no_main]

use dcmfast_core::dataset::character_set::{CharacterSet, Delimiters, Illegal};
use dcmfast_core::dataset::identifier::{Encoding, Item, Writer, inflated};
use dcmfast_core::dataset::transfer_syntax::TransferSyntax;
use dcmfast_core::index::matching::{CombinedRange, DcmtkKey, StandardKey, wildcard};
use dcmfast_core::index::query::{Model, Purpose, Query, RuleSet, Rules};
use dcmfast_core::limits::IDENTIFIER_BYTES_MAX;
use dcmfast_core::uid::Uid;
use dcmfast_core::vr::Vr;
use libfuzzer_sys::fuzz_target;

const SYNTAXES: [&str; 4] =
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"];
const MODELS: [Model; 3] = [Model::PatientRoot, Model::StudyRoot, Model::PatientStudyOnly];

/// Can the signs of the pattern so far match the first `at` characters of the text?
fn oracle(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for sign in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        next[0] = row[0] && sign == '*';
        for at in 1..=text.len() {
            next[at] = match sign {
                '*' => row[at] || next[at - 1],
                '?' => row[at - 1],
                _ => row[at - 1] && sign == text[at - 1],
            };
        }
        row = next;
    }
    row[text.len()]
}

fn values(key: &[u8], value: &[u8], set: CharacterSet) {
    for vr in [b"PN", b"LO", b"CS", b"LT", b"UI", b"DA", b"TM", b"DT", b"IS", b"SH"] {
        let vr = Vr(*vr);
        let _ = DcmtkKey::compile(vr, key, set).matches(value, CharacterSet::UTF_8);
        let _ = StandardKey::compile_text(vr, key, set).matches(value, set);
    }
    let _ = CombinedRange::of(key, value);
    if let (Ok(pattern), Ok(text)) = (core::str::from_utf8(key), core::str::from_utf8(value)) {
        if pattern.len() < 200 && text.len() < 200 {
            assert_eq!(wildcard(pattern, text), oracle(pattern, text));
        }
    }
    if let Ok(text) = set.decode(value, Delimiters::Components) {
        assert!(text.len() <= 3 * value.len());
        if set.is_destination() {
            let again = set.encode(&text, Illegal::Discard).unwrap();
            let back = set.decode(&again, Delimiters::Components).unwrap();
            assert_eq!(set.encode(&back, Illegal::Abort).unwrap(), again);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [control, data @ ..] = input else { return };
    let syntax = TransferSyntax::of(&Uid::known(SYNTAXES[usize::from(control & 3)]));
    let encoding = Encoding::of(syntax);
    let Ok(bytes) = inflated(syntax, data) else { return };
    assert!(bytes.len() <= IDENTIFIER_BYTES_MAX);
    if let Ok(item) = Item::read(&bytes, encoding) {
        let held: usize = item.elements().iter().map(|element| element.value.len()).sum();
        assert!(held <= bytes.len());
        assert!(item.elements().windows(2).all(|pair| pair[0].tag < pair[1].tag));
        for element in item.elements() {
            let _ = Item::all(element.value, encoding).count();
            let mut out = Vec::new();
            Writer::new(&mut out, encoding).stored(element.tag, Vr::SQ, element.value);
        }
        for set in [RuleSet::Dcmtk, RuleSet::Standard] {
            for purpose in [Purpose::Find, Purpose::Retrieve] {
                let rules = Rules {
                    set,
                    checks_identifier: control & 4 != 0,
                    is_relational: control & 8 != 0,
                    combines_date_time: control & 16 != 0,
                };
                for model in MODELS {
                    let _ = Query::compile(&item, encoding, model, rules, purpose);
                }
            }
        }
    }
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let terms = parts.next().unwrap_or_default();
    let (key, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    values(key, value, CharacterSet::parse(terms));
});
