//! Values as secondary keys have them: without regard to case, padding or spelling of dates.
//!
//! Source: PS3.4 §C.2.2.2.1 (person names without regard to case), PS3.5 §6.2 (padding, component
//! groups of PN, forms of DA and TM). Folding only finds candidates, which are then matched against
//! the record by the rules asked for, so it may join what those rules part, and must never part
//! what any of them joins. NUL, the separator of the keys, becomes 01H.
//!
//! Called by `index::writer` for what is stored and by `index::query` for what is asked for.

use std::borrow::Cow;

use super::attributes::SecondaryKey;
use super::matching::until_nul;
use crate::dataset::character_set::{CharacterSet, Delimiters};
use crate::vr::{trimmed, trimmed_start};

/// Values of a multi-valued attribute, or groups of a name, that get a key of their own.
const PARTS_MAX: usize = 16;

/// What stands for NUL.
const FOLDED_NUL: u8 = 1;

/// The folded form of a value that has more parts than have a key of their own: whoever looks for a part
/// looks at all of these as well.
pub const MANY_PARTS: &[u8] = &[2];

/// Gives each folded form of a stored value to `take`; a form may come twice.
///
/// `value` is as received, `character_set` the data set's Specific Character Set.
pub fn fold_stored(
    kind: SecondaryKey,
    value: &[u8],
    character_set: &[u8],
    mut take: impl FnMut(&[u8]),
) {
    let value = trimmed(value);
    fold_each(kind, value, character_set, &mut take);
    let whole = until_nul(value);
    if whole.len() < value.len() {
        // DCMTK's strings end there.
        fold_each(kind, whole, character_set, &mut take);
    }
}

fn fold_each(kind: SecondaryKey, value: &[u8], character_set: &[u8], take: &mut impl FnMut(&[u8])) {
    match kind {
        SecondaryKey::None | SecondaryKey::Uid => {}
        SecondaryKey::Text => {
            let whole = fold_text(value, character_set);
            take(&whole);
            if whole.contains(&b'\\') {
                // PS3.4 §C.2.2.2.1.4 matches any of several values; DCMTK takes them as one text.
                each_part(whole.split(|byte| *byte == b'\\'), &mut |part| {
                    take(part.map_or(MANY_PARTS, trimmed_folded));
                });
            }
        }
        SecondaryKey::Name => {
            let whole = fold_name(value, character_set);
            take(&whole);
            if whole.contains(&b'=') || whole.contains(&b'\\') {
                let groups = whole.split(|byte| *byte == b'=' || *byte == b'\\');
                each_part(groups, &mut |group| take(group.map_or(MANY_PARTS, trim_name)));
            }
        }
        SecondaryKey::Date => each_value(value, &mut |part| match part.map(fold_date) {
            Some(Some(date)) => take(&date),
            Some(None) => {}
            None => take(MANY_PARTS),
        }),
        SecondaryKey::Time => each_value(value, &mut |part| match part.map(fold_time) {
            Some(Some(time)) => take(&time),
            Some(None) => {}
            None => take(MANY_PARTS),
        }),
    }
}

/// `text` without what padding has become.
fn trimmed_folded(mut text: &[u8]) -> &[u8] {
    while let [b' ' | FOLDED_NUL, rest @ ..] | [rest @ .., b' ' | FOLDED_NUL] = text {
        text = rest;
    }
    text
}

fn each_value(value: &[u8], take: &mut dyn FnMut(Option<&[u8]>)) {
    each_part(value.split(|byte| *byte == b'\\'), take);
}

/// Gives the parts that have a key of their own, and `None` where there are more.
fn each_part<'v>(mut parts: impl Iterator<Item = &'v [u8]>, take: &mut dyn FnMut(Option<&[u8]>)) {
    for part in parts.by_ref().take(PARTS_MAX) {
        take(Some(part));
    }
    if parts.next().is_some() {
        take(None);
    }
}

/// Text in lower case, in UTF-8, without padding at its ends.
pub fn fold_text(value: &[u8], character_set: &[u8]) -> Vec<u8> {
    fold_with(trimmed(value), character_set, Delimiters::Values)
}

fn fold_with(value: &[u8], character_set: &[u8], delimiters: Delimiters) -> Vec<u8> {
    if value.is_ascii() && !value.contains(&0x1B) {
        return value.iter().map(|byte| lower_ascii(*byte)).collect();
    }
    let mut folded = String::with_capacity(value.len() + value.len() / 2);
    for character in decode(value, character_set, delimiters).chars() {
        match character {
            '\0' => folded.push(char::from(FOLDED_NUL)),
            // The one letter whose lower case depends on what follows, which a prefix hides.
            'ς' => folded.push('σ'),
            _ => folded.extend(character.to_lowercase()),
        }
    }
    folded.into_bytes()
}

/// The text that stands before the first wildcard of a key, as the keys of stored text that it matches
/// begin. They have no blanks and separators at their ends, and nothing may follow these: `doe^*` is to
/// find `DOE^^^^`, whose key is `doe`. Empty where every key may match.
pub fn fold_beginning(kind: SecondaryKey, value: &[u8], character_set: &[u8]) -> Vec<u8> {
    let is_name = kind == SecondaryKey::Name;
    let delimiters = if is_name { Delimiters::Components } else { Delimiters::Values };
    let mut folded = fold_with(trimmed_start(value), character_set, delimiters);
    let is_cut =
        |byte: &u8| matches!(byte, b' ' | &FOLDED_NUL) || (is_name && b"^=".contains(byte));
    folded.truncate(folded.len() - folded.iter().rev().take_while(|byte| is_cut(byte)).count());
    folded
}

/// A person name as text, without the separators at its end that stand for nothing.
pub fn fold_name(value: &[u8], character_set: &[u8]) -> Vec<u8> {
    let folded = fold_with(trimmed(value), character_set, Delimiters::Components);
    trim_name(&folded).to_vec()
}

fn trim_name(name: &[u8]) -> &[u8] {
    let mut name = trimmed_folded(name);
    while let [rest @ .., b'^' | b'=' | b' ' | FOLDED_NUL] = name {
        name = rest;
    }
    name
}

fn lower_ascii(byte: u8) -> u8 {
    if byte == 0 { FOLDED_NUL } else { byte.to_ascii_lowercase() }
}

/// `value` in Unicode. What its character set does not explain is taken as UTF-8, else as Latin-1,
/// so that equal bytes of two sets that are both wrong stay equal.
fn decode<'a>(value: &'a [u8], character_set: &[u8], delimiters: Delimiters) -> Cow<'a, str> {
    if let Ok(text) = CharacterSet::parse(character_set).decode(value, delimiters) {
        return text;
    }
    match core::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// A date as YYYYMMDD; the old form with dots counts as well (PS3.5 §6.2, DA).
pub fn fold_date(value: &[u8]) -> Option<[u8; 8]> {
    let value = trimmed(value);
    let digits: [u8; 8] = match value {
        [year @ .., b'.', _, _, b'.', _, _] if year.len() == 4 => {
            let mut digits = [0; 8];
            digits[..4].copy_from_slice(year);
            digits[4..6].copy_from_slice(value.get(5..7)?);
            digits[6..].copy_from_slice(value.get(8..)?);
            digits
        }
        _ => value.try_into().ok()?,
    };
    digits.iter().all(u8::is_ascii_digit).then_some(digits)
}

/// A time as HHMMSSFFFFFF, what is not given as zeros; the old form with colons counts as well
/// (PS3.5 §6.2, TM).
pub fn fold_time(value: &[u8]) -> Option<[u8; 12]> {
    let value = trimmed(value);
    let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
        Some(at) => (&value[..at], &value[at + 1..]),
        None => (value, &[][..]),
    };
    let mut folded = [b'0'; 12];
    let digits = whole.iter().filter(|byte| **byte != b':');
    let mut count = 0;
    for digit in digits {
        *folded.get_mut(count).filter(|_| count < 6)? = *digit;
        count += 1;
    }
    if count < 2 || count % 2 == 1 {
        return None;
    }
    for (slot, digit) in folded[6..].iter_mut().zip(fraction) {
        *slot = *digit;
    }
    folded.iter().all(u8::is_ascii_digit).then_some(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(kind: SecondaryKey, value: &[u8]) -> Vec<String> {
        let mut forms = Vec::new();
        fold_stored(kind, value, b"", |form| {
            forms.push(String::from_utf8(form.to_vec()).unwrap());
        });
        forms
    }

    /// PS3.4 §C.2.2.2.1: case and empty components do not count; each group is found by itself.
    #[test]
    fn names() {
        assert_eq!(forms(SecondaryKey::Name, b"DOE^Jane^^^ "), ["doe^jane"]);
        assert_eq!(
            forms(SecondaryKey::Name, "Yamada^Tarou=山田^太郎=やまだ^たろう".as_bytes()),
            ["yamada^tarou=山田^太郎=やまだ^たろう", "yamada^tarou", "山田^太郎", "やまだ^たろう"]
        );
        assert_eq!(forms(SecondaryKey::Name, b"M\xdcLLER"), ["müller"]);
        assert_eq!(forms(SecondaryKey::Name, "ΟΔΟΣ".as_bytes()), ["οδοσ"]);
    }

    /// PS3.5 §H.3.1: one name in two character sets has one key, so either finds the other.
    #[test]
    fn character_sets_meet() {
        let kanji = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B";
        let unicode = "Yamada^Tarou=山田^太郎";
        assert_eq!(
            fold_name(kanji, b"\\ISO 2022 IR 87"),
            fold_name(unicode.as_bytes(), b"ISO_IR 192")
        );
        assert_eq!(
            fold_text(b"M\xfcller", b"ISO_IR 100"),
            fold_text("MÜLLER".as_bytes(), b"ISO_IR 192")
        );
        // A wrong or missing declaration: equal bytes stay equal.
        assert_eq!(fold_text(b"M\xfcller", b""), fold_text(b"M\xfcller", b"ISO_IR 192"));
    }

    /// PS3.5 §6.2: what is no date or time has no key; it is matched by nothing but its record.
    #[test]
    fn dates_and_times() {
        assert_eq!(forms(SecondaryKey::Date, b"20240229"), ["20240229"]);
        assert_eq!(forms(SecondaryKey::Date, b"2024.02.29"), ["20240229"]);
        assert_eq!(forms(SecondaryKey::Time, b"235959.5 "), ["235959500000"]);
        assert_eq!(forms(SecondaryKey::Time, b"23:59"), ["235900000000"]);
        for hostile in [&b""[..], b"2024", b"20240229-", b"2024022x", b"123", b"1234567", b"x\0"] {
            assert!(forms(SecondaryKey::Date, hostile).is_empty());
        }
        for hostile in [&b""[..], b"1", b"123", b"12345678", b"1x", b"12.x", b".5"] {
            assert!(forms(SecondaryKey::Time, hostile).is_empty(), "{}", hostile.escape_ascii());
        }
    }

    /// PS3.5 §6.2: blanks and NULs are padding and nothing else is; DCMTK's strings end at a NUL.
    #[test]
    fn padding() {
        assert_eq!(forms(SecondaryKey::Text, b"\0 AB \0"), ["ab"]);
        assert_eq!(forms(SecondaryKey::Text, b"\tAB\n"), ["\tab\n"]);
        assert_eq!(forms(SecondaryKey::Text, b"AB\0CD"), ["ab\u{1}cd", "ab"]);
        assert_eq!(forms(SecondaryKey::Text, b"A\0\\ B"), ["a\u{1}\\ b", "a", "b", "a"]);
        assert_eq!(forms(SecondaryKey::Name, b"A^B= C^D"), ["a^b= c^d", "a^b", "c^d"]);
        assert_eq!(forms(SecondaryKey::Date, b"20240229\0x"), ["20240229"]);
        for (beginning, folded) in [(&b" Ab\n"[..], &b"ab\n"[..]), (b"ab ", b"ab"), (b" \0", b"")] {
            assert_eq!(fold_beginning(SecondaryKey::Text, beginning, b""), folded);
        }
        for (beginning, folded) in [(&b"Doe^"[..], &b"doe"[..]), (b"A^B=", b"a^b"), (b"^=", b"")] {
            assert_eq!(fold_beginning(SecondaryKey::Name, beginning, b""), folded);
        }
    }

    /// FORMAT.md, `keys`: sixteen parts have keys of their own, and a value with more has one that says so.
    #[test]
    fn many_parts() {
        let dates: Vec<_> = (1..=17).map(|day| format!("202401{day:02}")).collect();
        for kind in [SecondaryKey::Text, SecondaryKey::Name, SecondaryKey::Date] {
            for (count, has_mark) in [(15, false), (16, false), (17, true)] {
                let found = forms(kind, dates[..count].join("\\").as_bytes());
                assert_eq!(found.contains(&"\u{2}".to_owned()), has_mark, "{kind:?} {count}");
                assert_eq!(dates.iter().filter(|date| found.contains(date)).count(), count.min(16));
            }
        }
    }

    /// The separator of the keys never stands in a folded value.
    #[test]
    fn no_separator_inside() {
        for value in [&b"A\0B"[..], b"\xff\0\xfe"] {
            let folded = fold_text(value, b"");
            assert!(!folded.contains(&0) && folded.contains(&1));
        }
    }
}
