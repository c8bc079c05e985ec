//! Does a value match a key? Pure functions, without index and without I/O.
//!
//! Two sets of rules. [`DcmtkKey`] answers as DCMTK 3.6.7's dcmqrscp: text with wildcards and with
//! case, UIDs in lists, dates and times in ranges, everything else literally; one thing is better
//! (DIFFERENCES.md D13): `?` is one character, also where it takes several bytes. [`StandardKey`]
//! follows PS3.4 §C.2.2.2: person names without regard to case and by component groups, numbers as
//! numbers, times with the precision they have, sequences, and any of several values.
//!
//! A pattern never costs more than its length times that of the value, whatever its stars; both are
//! bounded, a value by the index and a pattern by the rule that one with more characters than the
//! value cannot match. Called by `index::query`.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memmem;

use super::sequence_key::SequenceKey;
use crate::dataset::character_set::{CharacterSet, Delimiters, is_affected};
use crate::dataset::identifier::{Element, Encoding};
use crate::vr::{Vr, trimmed};

/// Microseconds of a day.
const DAY_US: u64 = 86_400_000_000;
/// From how many values a list of UIDs is looked up by hash.
const HASHED_LIST_VALUES_MIN: usize = 8;

// ---- Wildcards --------------------------------------------------------------------------------

/// Matches `text` with `pattern`, in which `*` is any run of characters and `?` is one character.
pub fn wildcard(pattern: &str, text: &str) -> bool {
    wildcard_by(pattern.as_bytes(), text.as_bytes(), utf8_width)
}

/// The same on bytes that are no text: `?` is one byte.
pub fn wildcard_bytes(pattern: &[u8], text: &[u8]) -> bool {
    wildcard_by(pattern, text, |_| 1)
}

/// Bytes of the character that begins with `first`.
const fn utf8_width(first: u8) -> usize {
    match first {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0.. => 4,
    }
}

/// Only the last star is ever returned to: what was matched before it stays matched, so there is
/// no recursion and no exponential case.
fn wildcard_by(pattern: &[u8], text: &[u8], width: impl Fn(u8) -> usize) -> bool {
    let needed = pattern.iter().filter(|byte| **byte != b'*').count();
    if needed > text.len() {
        return false;
    }
    let (mut rest, mut at) = (pattern, 0);
    let mut last_star: Option<(&[u8], usize)> = None;
    while let Some(&byte) = text.get(at) {
        match rest {
            [b'*', after @ ..] => {
                last_star = Some((after, at));
                rest = after;
            }
            [b'?', after @ ..] => {
                at += width(byte);
                rest = after;
            }
            [wanted, after @ ..] if *wanted == byte => {
                at += 1;
                rest = after;
            }
            _ => {
                let Some((after, from)) = last_star else { return false };
                let Some(&skipped) = text.get(from) else { return false };
                at = from + width(skipped);
                if text.len().saturating_sub(at) > LONG_TEXT_BYTES {
                    // A long value is gone through once for each literal between two stars, and not
                    // once for each of its characters.
                    let end = memchr::memchr2(b'*', b'?', after).unwrap_or(after.len());
                    let Some((literal, behind)) = after.split_at_checked(end) else { return false };
                    let begins_at = if behind.is_empty() {
                        text.len().checked_sub(literal.len()).filter(|begin| *begin >= at)
                    } else {
                        text.get(at..)
                            .and_then(|text| memmem::find(text, literal))
                            .map(|by| at + by)
                    };
                    let Some(begin) = begins_at else { return false };
                    at = begin;
                }
                last_star = Some((after, at));
                rest = after;
            }
        }
    }
    rest.iter().all(|byte| *byte == b'*')
}

/// Texts up to this many bytes are compared character by character: most are, and that is faster.
const LONG_TEXT_BYTES: usize = 256;

/// True when a text key has a wildcard.
pub fn has_wildcard(pattern: &[u8]) -> bool {
    memchr::memchr2(b'*', b'?', pattern).is_some()
}

// ---- Dates and times ----------------------------------------------------------------------------

/// A date as a number YYYYMMDD; what DCMTK takes for one: days to 31 in every month, and the old
/// form YYYY.MM.DD.
pub fn date(text: &[u8]) -> Option<u32> {
    let digits: [u8; 8] = match text {
        [year @ .., b'.', m0, m1, b'.', d0, d1] if year.len() == 4 => {
            let mut digits = [*m0; 8];
            digits[..4].copy_from_slice(year);
            digits[5..].copy_from_slice(&[*m1, *d0, *d1]);
            digits
        }
        _ => text.try_into().ok()?,
    };
    let number = number(&digits)?;
    let (month, day) = (number / 100 % 100, number % 100);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(number)
}

/// A time in microseconds since midnight, and how many of them the value leaves open: an hour for
/// `10`, a minute for `1030`, a second for `103015`, less with a fraction. The old form with colons
/// is read, too.
pub fn time(text: &[u8]) -> Option<(u64, u64)> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
        None => (text, None),
    };
    let (minutes, seconds);
    let digits: &[u8] = match *whole {
        [h0, h1, b':', m0, m1] => {
            minutes = [h0, h1, m0, m1];
            &minutes
        }
        [h0, h1, b':', m0, m1, b':', s0, s1] => {
            seconds = [h0, h1, m0, m1, s0, s1];
            &seconds
        }
        _ => whole,
    };
    let (parts, open) = match (digits.len(), fraction) {
        (2, None) => (1, 3_600_000_000),
        (4, None) => (2, 60_000_000),
        (6, _) => (3, 1_000_000),
        _ => return None,
    };
    let part = |at: usize| -> Option<u64> {
        if at < parts { number(digits.get(2 * at..2 * at + 2)?).map(u64::from) } else { Some(0) }
    };
    let (hour, minute, second) = (part(0)?, part(1)?, part(2)?);
    let (micros, open) = match fraction {
        None => (0, open),
        Some(text) => {
            if text.is_empty() || text.len() > 6 {
                return None;
            }
            let unit = 10_u64.pow(6 - text.len() as u32);
            (u64::from(number(text)?) * unit, unit)
        }
    };
    // 60 is a leap second, and has no fraction.
    let is_legal = hour < 24 && minute < 60 && (second < 60 || (second == 60 && micros == 0));
    is_legal.then_some((((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, open))
}

/// Decimal digits, at most nine of them.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0'))
    })
}

/// A key of dates or times: one value, or a range of which either end may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'k> {
    /// The value, or where the range begins; empty when it is open there.
    pub first: &'k [u8],
    /// Where the range ends, if it is one; empty when it is open there.
    pub last: Option<&'k [u8]>,
}

impl<'k> Range<'k> {
    /// Cuts `key` at its first hyphen.
    pub fn of(key: &'k [u8]) -> Self {
        match key.iter().position(|byte| *byte == b'-') {
            Some(at) => Self {
                first: key.get(..at).unwrap_or_default(),
                last: Some(key.get(at + 1..).unwrap_or_default()),
            },
            None => Self { first: key, last: None },
        }
    }
}

/// Bounds of a compiled range, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Least value.
    pub from: u64,
    /// Greatest value.
    pub to: u64,
}

impl Span {
    const fn contains(self, value: u64) -> bool {
        self.from <= value && value <= self.to
    }

    const fn overlaps(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

/// The span of `key`, each end read by `read`; `None` when one is unreadable.
fn span(key: &[u8], read: impl Fn(&[u8]) -> Option<Span>) -> Option<Span> {
    let range = Range::of(key);
    let Some(last) = range.last else { return read(range.first) };
    let from = if range.first.is_empty() { 0 } else { read(range.first)?.from };
    let to = if last.is_empty() { u64::MAX } else { read(last)?.to };
    Some(Span { from, to })
}

fn date_point(text: &[u8]) -> Option<Span> {
    date(text).map(|day| Span { from: u64::from(day), to: u64::from(day) })
}

fn time_point(text: &[u8]) -> Option<Span> {
    time(text).map(|(at, _)| Span { from: at, to: at })
}

fn time_interval(text: &[u8]) -> Option<Span> {
    time(text).map(|(at, open)| Span { from: at, to: at + open - 1 })
}

/// The days that a date key covers; `None` when it is no date key. For plans.
pub fn date_span(key: &[u8]) -> Option<Span> {
    span(trimmed(key), |text| date_point(trimmed(text)))
}

// ---- DCMTK's rules ------------------------------------------------------------------------------

/// A key, compiled for DCMTK's rules.
#[derive(Clone, Debug)]
pub struct DcmtkKey<'k> {
    rule: DcmtkRule<'k>,
    /// The set that the key came in.
    set: CharacterSet,
}

#[derive(Clone, Debug)]
enum DcmtkRule<'k> {
    Universal,
    Never,
    /// `text` is `raw` in UTF-8 where the VR has a character set and the bytes are of it.
    Wildcard {
        raw: &'k [u8],
        text: Option<Cow<'k, str>>,
        has_set: bool,
        delimiters: Delimiters,
    },
    UidList(UidList<'k>),
    Date(Span),
    Time(Span),
    Literal(&'k [u8]),
}

/// UIDs of a list; a few are compared in turn, many are looked up.
#[derive(Clone, Debug)]
pub enum UidList<'k> {
    /// As it came, separated by `\`.
    Few(&'k [u8]),
    /// Each UID once.
    Many(HashSet<&'k [u8]>),
}

impl<'k> UidList<'k> {
    /// The list in `key`.
    pub fn of(key: &'k [u8]) -> Self {
        if memchr::memchr_iter(b'\\', key).count() + 1 < HASHED_LIST_VALUES_MIN {
            Self::Few(key)
        } else {
            Self::Many(key.split(|byte| *byte == b'\\').collect())
        }
    }

    fn contains(&self, uid: &[u8]) -> bool {
        match self {
            Self::Few(list) => list.split(|byte| *byte == b'\\').any(|one| one == uid),
            Self::Many(set) => set.contains(uid),
        }
    }
}

impl<'k> DcmtkKey<'k> {
    /// Compiles `value` of an element whose dictionary VR is `vr`, in an identifier in `set`.
    pub fn compile(vr: Vr, value: &'k [u8], set: CharacterSet) -> Self {
        let value = until_nul(value);
        let raw = trimmed(value);
        let rule = if raw.is_empty() {
            DcmtkRule::Universal
        } else {
            match &vr.0 {
                b"AE" | b"CS" | b"LO" | b"LT" | b"PN" | b"SH" | b"ST" | b"UC" | b"UR" | b"UT" => {
                    let (has_set, delimiters) = (is_affected(vr), Delimiters::of(vr));
                    let text = if has_set { set.decode(raw, delimiters).ok() } else { None };
                    DcmtkRule::Wildcard { raw, text, has_set, delimiters }
                }
                b"UI" => DcmtkRule::UidList(UidList::of(raw)),
                b"DA" => span(raw, date_point).map_or(DcmtkRule::Never, DcmtkRule::Date),
                b"TM" => span(raw, time_point).map_or(DcmtkRule::Never, DcmtkRule::Time),
                _ => DcmtkRule::Literal(raw),
            }
        };
        Self { rule, set }
    }

    /// True for a key that every record matches.
    pub const fn is_universal(&self) -> bool {
        matches!(self.rule, DcmtkRule::Universal)
    }

    /// Does the stored `value`, of a record in `set`, match?
    pub fn matches(&self, value: &[u8], set: CharacterSet) -> bool {
        let value = trimmed(until_nul(value));
        match &self.rule {
            DcmtkRule::Universal => true,
            DcmtkRule::Never => false,
            DcmtkRule::Literal(raw) => value == *raw,
            DcmtkRule::UidList(list) => list.contains(value),
            DcmtkRule::Date(span) => date_point(value).is_some_and(|day| span.contains(day.from)),
            DcmtkRule::Time(span) => {
                time_point(value).is_some_and(|point| span.contains(point.from))
            }
            DcmtkRule::Wildcard { raw, text, has_set, delimiters } => {
                if !has_set {
                    return wildcard_bytes(raw, value);
                }
                match (text, set.decode(value, *delimiters).ok()) {
                    (Some(key), Some(text)) => wildcard(key, &text),
                    // Bytes that are no text are compared as they are, as DCMTK does; what could
                    // be read is compared as UTF-8 unless both came in one set.
                    (Some(key), None) if self.set != set => wildcard_bytes(key.as_bytes(), value),
                    (None, Some(text)) if self.set != set => wildcard_bytes(raw, text.as_bytes()),
                    _ => wildcard_bytes(raw, value),
                }
            }
        }
    }
}

/// DCMTK's strings end at a NUL.
pub(super) fn until_nul(value: &[u8]) -> &[u8] {
    memchr::memchr(0, value).and_then(|at| value.get(..at)).unwrap_or(value)
}

// ---- The standard's rules -----------------------------------------------------------------------

/// A key, compiled for PS3.4 §C.2.2.2.
#[derive(Clone, Debug)]
pub struct StandardKey<'k> {
    rule: StandardRule<'k>,
}

#[derive(Clone, Debug)]
enum StandardRule<'k> {
    Universal,
    Never,
    /// Any of these patterns, with case.
    Text {
        patterns: Vec<Pattern<'k>>,
        vr: Vr,
    },
    /// Any of these names.
    Name {
        patterns: Vec<NamePattern>,
    },
    UidList(UidList<'k>),
    Date(Vec<Span>),
    Time(Vec<Span>),
    DateTime(Vec<Span>),
    /// IS and DS: equal as numbers, or as text where that fails.
    Number(Vec<&'k [u8]>),
    /// US and the like, as they are stored.
    Binary(Cow<'k, [u8]>),
    Sequence(SequenceKey<'k>),
}

#[derive(Clone, Debug)]
struct Pattern<'k> {
    raw: &'k [u8],
    text: Option<Cow<'k, str>>,
}

/// A name key: alphabetic, ideographic, phonetic group, folded; a key of one group matches any.
#[derive(Clone, Debug)]
struct NamePattern {
    groups: Vec<String>,
}

/// Case does not count in names, nor do empty components at the end, nor blanks around a group.
pub fn folded_name_group(group: &str) -> String {
    let group = group.trim_matches([' ', '\0']).trim_end_matches(['^', ' ']);
    let mut folded = String::with_capacity(group.len());
    for character in group.chars() {
        // The one letter whose lower case depends on its place.
        if character == 'ς' { folded.push('σ') } else { folded.extend(character.to_lowercase()) }
    }
    folded
}

impl<'k> StandardKey<'k> {
    /// Compiles the value of `element`, whose dictionary VR is `vr`, in an identifier in `set`.
    pub fn compile(vr: Vr, element: &Element<'k>, encoding: Encoding, set: CharacterSet) -> Self {
        let rule = match &vr.0 {
            b"SQ" => match SequenceKey::read(element, encoding, set) {
                Ok(key) => return Self::of_sequence(key),
                Err(_) => StandardRule::Never,
            },
            b"US" | b"SS" | b"UL" | b"SL" | b"FL" | b"FD" | b"UV" | b"SV" | b"AT" => {
                if element.value.is_empty() {
                    StandardRule::Universal
                } else {
                    StandardRule::Binary(encoding.little_endian(vr, element.value))
                }
            }
            _ => text_rule(vr, element.value, set),
        };
        Self { rule }
    }

    /// The key of a sequence, if a part of it is asked for.
    pub(super) fn of_sequence(key: Option<SequenceKey<'k>>) -> Self {
        let key = key.filter(|key| !key.is_universal());
        Self { rule: key.map_or(StandardRule::Universal, StandardRule::Sequence) }
    }

    /// Compiles a value that is text, whatever it came in.
    pub fn compile_text(vr: Vr, value: &'k [u8], set: CharacterSet) -> Self {
        Self { rule: text_rule(vr, value, set) }
    }

    /// True for a key that every record matches.
    pub const fn is_universal(&self) -> bool {
        matches!(self.rule, StandardRule::Universal)
    }

    /// True for a list whose length does not matter to a record that is matched: a stored value is looked
    /// up in it.
    pub const fn is_looked_up(&self) -> bool {
        matches!(self.rule, StandardRule::UidList(_))
    }

    /// Does the stored `value`, of a record in `set`, match? Any of its values is enough.
    pub fn matches(&self, value: &[u8], set: CharacterSet) -> bool {
        match &self.rule {
            StandardRule::Universal => true,
            StandardRule::Never => false,
            StandardRule::Text { patterns, vr } => {
                let delimiters = Delimiters::of(*vr);
                let is_text = is_affected(*vr);
                let text = if is_text { set.decode(value, delimiters).ok() } else { None };
                patterns.iter().any(|pattern| match (&pattern.text, &text) {
                    (Some(key), Some(text)) => {
                        values_of(text, *vr).any(|one| wildcard(key, one.trim_matches([' ', '\0'])))
                    }
                    _ => raw_values_of(value, *vr)
                        .any(|one| wildcard_bytes(pattern.raw, trimmed(one))),
                })
            }
            StandardRule::Name { patterns } => {
                let text = match set.decode(value, Delimiters::Components) {
                    Ok(text) => text,
                    Err(_) => Cow::Owned(value.iter().map(|&byte| char::from(byte)).collect()),
                };
                text.split('\\').any(|name| {
                    let groups: Vec<String> = name.split('=').map(folded_name_group).collect();
                    patterns.iter().any(|pattern| pattern.matches(&groups))
                })
            }
            StandardRule::UidList(list) => {
                value.split(|byte| *byte == b'\\').any(|one| list.contains(trimmed(one)))
            }
            StandardRule::Date(spans) => any_in(value, date_point, spans),
            StandardRule::Time(spans) => any_in(value, time_interval, spans),
            StandardRule::DateTime(spans) => any_in(value, date_time_interval, spans),
            StandardRule::Number(wanted) => value.split(|byte| *byte == b'\\').any(|one| {
                let one = trimmed(one);
                wanted.iter().any(|wanted| same_number(wanted, one))
            }),
            StandardRule::Binary(wanted) => value == wanted.as_ref(),
            StandardRule::Sequence(key) => key.matches(value, set),
        }
    }
}

impl NamePattern {
    fn of(text: &str) -> Self {
        let mut groups: Vec<String> = text.split('=').map(folded_name_group).collect();
        while groups.len() > 1 && groups.last().is_some_and(String::is_empty) {
            groups.pop();
        }
        Self { groups }
    }

    fn matches(&self, name: &[String]) -> bool {
        match &self.groups[..] {
            // One group without `=`: it may be in any writing.
            [only] => name.iter().any(|group| group_matches(only, group)),
            groups => groups.iter().enumerate().all(|(at, wanted)| {
                wanted.is_empty() || name.get(at).is_some_and(|group| group_matches(wanted, group))
            }),
        }
    }
}

/// A group without separators at its end is the same as one with them (PS3.5 §6.2.1.2): `doe^*` is for
/// both.
fn group_matches(wanted: &str, group: &str) -> bool {
    let carets = || group.bytes().filter(|byte| *byte == b'^').count();
    wildcard(wanted, group)
        || (wanted.contains('^')
            && has_wildcard(wanted.as_bytes())
            && wildcard(
                wanted,
                &format!("{group}{:^<1$}", "", NAME_CARETS.saturating_sub(carets())),
            ))
}

/// Separators of the five components of a name.
const NAME_CARETS: usize = 4;

/// LT, ST, UT and UR have one value, in which `\` is a character (PS3.5 §6.2).
const fn is_single_valued(vr: Vr) -> bool {
    matches!(&vr.0, b"LT" | b"ST" | b"UT" | b"UR")
}

fn values_of(text: &str, vr: Vr) -> impl Iterator<Item = &str> {
    let limit = if is_single_valued(vr) { 1 } else { usize::MAX };
    text.splitn(limit, '\\')
}

fn raw_values_of(value: &[u8], vr: Vr) -> impl Iterator<Item = &[u8]> {
    let limit = if is_single_valued(vr) { 1 } else { usize::MAX };
    value.splitn(limit, |byte| *byte == b'\\')
}

fn text_rule(vr: Vr, value: &[u8], set: CharacterSet) -> StandardRule<'_> {
    let raw = trimmed(value);
    if raw.is_empty() {
        return StandardRule::Universal;
    }
    // PS3.4 §C.2.2.2.4: a value of nothing but `*` is universal matching.
    if raw.iter().all(|byte| *byte == b'*') && !matches!(&vr.0, b"UI" | b"DA" | b"TM" | b"DT") {
        return StandardRule::Universal;
    }
    let values = || raw.split(|byte| *byte == b'\\').map(trimmed).filter(|one| !one.is_empty());
    let spans = |read: fn(&[u8]) -> Option<Span>| -> Option<Vec<Span>> {
        values().map(|one| span(one, |text| read(trimmed(text)))).collect()
    };
    match &vr.0 {
        b"UI" => StandardRule::UidList(UidList::of(raw)),
        b"DA" => spans(date_point).map_or(StandardRule::Never, StandardRule::Date),
        b"TM" => spans(time_interval).map_or(StandardRule::Never, StandardRule::Time),
        b"DT" => date_time_spans(values()).map_or(StandardRule::Never, StandardRule::DateTime),
        b"IS" | b"DS" => StandardRule::Number(values().collect()),
        b"PN" => {
            let text = set
                .decode(raw, Delimiters::Components)
                .unwrap_or_else(|_| raw.iter().map(|&byte| char::from(byte)).collect());
            // As everywhere: an empty value of several asks for nothing.
            let names = text.split('\\').filter(|name| !name.trim_matches([' ', '\0']).is_empty());
            StandardRule::Name { patterns: names.map(NamePattern::of).collect() }
        }
        _ => {
            let delimiters = Delimiters::of(vr);
            let patterns = raw_values_of(raw, vr)
                .map(trimmed)
                .filter(|raw| !raw.is_empty())
                .map(|raw| {
                    let text =
                        if is_affected(vr) { set.decode(raw, delimiters).ok() } else { None };
                    Pattern { raw, text }
                })
                .collect();
            StandardRule::Text { patterns, vr }
        }
    }
}

fn any_in(value: &[u8], read: impl Fn(&[u8]) -> Option<Span>, spans: &[Span]) -> bool {
    value.split(|byte| *byte == b'\\').any(|one| {
        read(trimmed(one)).is_some_and(|found| spans.iter().any(|span| span.overlaps(found)))
    })
}

/// IS and DS are equal as numbers: `02` is `2`, `1.50` is `1.5`.
fn same_number(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    let read = |text: &[u8]| core::str::from_utf8(text).ok()?.parse::<f64>().ok();
    match (read(one), read(other)) {
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => false,
    }
}

/// DT keys; the hyphen of a range is told from that of an offset by what follows it.
fn date_time_spans<'k>(values: impl Iterator<Item = &'k [u8]>) -> Option<Vec<Span>> {
    values
        .map(|value| {
            if let Some(point) = date_time_interval(value) {
                return Some(point);
            }
            let hyphens = memchr::memchr_iter(b'-', value);
            hyphens.into_iter().find_map(|at| {
                let (first, last) = (value.get(..at)?, value.get(at + 1..)?);
                let from =
                    if first.is_empty() { 0 } else { date_time_interval(trimmed(first))?.from };
                let to =
                    if last.is_empty() { u64::MAX } else { date_time_interval(trimmed(last))?.to };
                Some(Span { from, to })
            })
        })
        .collect()
}

/// YYYYMMDDHHMMSS.FFFFFF&ZZXX with any tail missing, as microseconds of a calendar in which every
/// month has 31 days: in order, and that is all that is asked of it. An offset moves it to UTC.
fn date_time_interval(text: &[u8]) -> Option<Span> {
    let (text, offset_minutes) = match text.iter().rposition(|byte| matches!(byte, b'+' | b'-')) {
        Some(at) if text.len() - at == 5 && at >= 4 => {
            let zone = text.get(at + 1..)?;
            let (hours, minutes) = (number(zone.get(..2)?)?, number(zone.get(2..)?)?);
            let is_west = text.get(at) == Some(&b'-');
            let minutes = Some(hours * 60 + minutes).filter(|_| minutes < 60)?;
            // PS3.5 §6.2: -1200 to +1400. `2024-2025` is a range.
            if minutes > if is_west { 12 * 60 } else { 14 * 60 } {
                return None;
            }
            (text.get(..at)?, i64::from(minutes) * if is_west { -1 } else { 1 })
        }
        _ => (text, 0),
    };
    let (day, clock) = (text.get(..text.len().min(8))?, text.get(8..).unwrap_or_default());
    let (year, month, day, days_open) = match day.len() {
        4 => (number(day)?, 1, 1, 12 * 31),
        6 => (number(day.get(..4)?)?, number(day.get(4..)?)?, 1, 31),
        8 => {
            let number = date(day)?;
            (number / 10_000, number / 100 % 100, number % 100, 1)
        }
        _ => return None,
    };
    if !(1..=12).contains(&month) {
        return None;
    }
    let days = u64::from(year) * 372 + u64::from(month - 1) * 31 + u64::from(day - 1);
    let (at, open) = if clock.is_empty() { (0, days_open * DAY_US) } else { time(clock)? };
    let local = days * DAY_US + at;
    let from = local.checked_add_signed(-offset_minutes * 60_000_000)?;
    Some(Span { from, to: from + open - 1 })
}

/// PS3.4 §C.2.2.2.5.4, combined date and time: each pair of a date and a time is one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CombinedRange {
    span: Span,
}

impl CombinedRange {
    /// The range of a date key and a time key; `None` unless both are ranges or both are not, with
    /// a date wherever there is a time: they are then matched one by one.
    pub fn of(date_key: &[u8], time_key: &[u8]) -> Option<Self> {
        let (dates, times) = (Range::of(trimmed(date_key)), Range::of(trimmed(time_key)));
        let moment = |day: &[u8], clock: &[u8], is_end: bool| -> Option<u64> {
            let day = u64::from(date(trimmed(day))?) * 100_000_000_000;
            let clock = trimmed(clock);
            if clock.is_empty() {
                return Some(if is_end { day + 99_999_999_999 } else { day });
            }
            let interval = time_interval(clock)?;
            Some(day + if is_end { interval.to } else { interval.from })
        };
        let span = match (dates.last, times.last) {
            (None, None) => Span {
                from: moment(dates.first, times.first, false)?,
                to: moment(dates.first, times.first, true)?,
            },
            (Some(last_day), Some(last_time)) => Span {
                from: match (dates.first.is_empty(), times.first.is_empty()) {
                    (true, true) => 0,
                    (true, false) => return None,
                    _ => moment(dates.first, times.first, false)?,
                },
                to: match (last_day.is_empty(), last_time.is_empty()) {
                    (true, true) => u64::MAX,
                    (true, false) => return None,
                    _ => moment(last_day, last_time, true)?,
                },
            },
            _ => return None,
        };
        Some(Self { span })
    }

    /// Does a record with this date and time match? One without a time matches by its day.
    pub fn matches(&self, day: &[u8], clock: &[u8]) -> bool {
        let Some(day) = date(trimmed(day)) else { return false };
        let day = u64::from(day) * 100_000_000_000;
        let found = match time_interval(trimmed(clock)) {
            Some(interval) => Span { from: day + interval.from, to: day + interval.to },
            None if trimmed(clock).is_empty() => Span { from: day, to: day + 99_999_999_999 },
            None => return false,
        };
        self.span.overlaps(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dcmtk(vr: [u8; 2], key: &[u8], value: &[u8]) -> bool {
        let (latin, utf) = (CharacterSet::parse(b"ISO_IR 100"), CharacterSet::UTF_8);
        let ascii = CharacterSet::ASCII;
        let by =
            |a: CharacterSet, b: CharacterSet| DcmtkKey::compile(Vr(vr), key, a).matches(value, b);
        let answer = by(ascii, ascii);
        if key.is_ascii() && value.is_ascii() {
            assert!(
                [by(latin, utf), by(utf, latin), by(ascii, utf)].iter().all(|it| *it == answer)
            );
        }
        answer
    }

    fn standard(vr: [u8; 2], key: &[u8], value: &[u8]) -> bool {
        StandardKey::compile_text(Vr(vr), key, CharacterSet::UTF_8)
            .matches(value, CharacterSet::UTF_8)
    }

    /// DCMTK 3.6.7's answers: VR, key, value, match.
    #[test]
    fn dcmtk_rules() {
        for (vr, key, value, expected) in [
            (b"PN", &b""[..], &b"Doe^Jane"[..], true),
            (b"PN", b"  ", b"Doe^Jane", true),
            (b"PN", b"Doe", b"Doe^Jane", false),
            (b"PN", b"doe^jane", b"Doe^Jane", false),
            (b"PN", b"Doe^Jane^", b"Doe^Jane", false),
            (b"PN", b" Doe^Jane ", b"Doe^Jane", true),
            (b"PN", b"Doe*", b" Doe^Jane ", true),
            (b"PN", b"*^J?ne", b"Doe^Jane", true),
            (b"PN", b"*", b"", true),
            (b"PN", b"?", b"", false),
            (b"PN", b"***", b"", true),
            (b"LO", b"A*1", b"A*1", true),
            (b"LO", b"A*1", b"ACC1", true),
            (b"LO", b"A\\*", b"A*", false),
            (b"CS", b"CT\\MR", b"CT", false),
            (b"CS", b"CT\\MR", b"CT\\MR", true),
            (b"UI", b"1.2\\1.3", b"1.3", true),
            (b"UI", b"1.2.*", b"1.2.3", false),
            (b"UI", b"1.2.3\\1.2", b"1.2", true),
            (b"UI", b"1.2 \\1.3", b"1.2", false),
            (b"UI", b"1.2\0", b"1.2", true),
            (b"UI", b"\\1.2", b"", true),
            (b"DA", b"19990101", b"19990101", true),
            (b"DA", b"1999.01.01", b"19990101", true),
            (b"DA", b"19990101-", b"19991231", true),
            (b"DA", b"-19990101", b"19981231", true),
            (b"DA", b"19990101-19990630", b"19990630", true),
            (b"DA", b"19990101-19990630", b"19990701", false),
            (b"DA", b"19990101 - 19990630", b"19990301", false),
            (b"DA", b"-", b"19990101", true),
            (b"DA", b"-", b"", false),
            (b"DA", b"-", b"unknown", false),
            (b"DA", b"1999*", b"19990101", false),
            (b"DA", b"*", b"19990101", false),
            (b"DA", b"19990231", b"19990231", true),
            (b"DA", b"19991301", b"19991301", false),
            (b"TM", b"235959", b"235959.5", false),
            (b"TM", b"1200", b"120000", true),
            (b"TM", b"12:00:00", b"120000.000", true),
            (b"TM", b"1000-1200", b"11", true),
            (b"TM", b"1000-1200", b"1201", false),
            (b"TM", b"125960", b"1300", true),
            (b"TM", b"25", b"25", false),
            (b"IS", b"02", b"2", false),
            (b"IS", b"2 ", b" 2", true),
            (b"IS", b"*", b"2", false),
            (b"AS", b"0??Y", b"034Y", false),
        ] {
            let shown = (key.escape_ascii().to_string(), value.escape_ascii().to_string());
            assert_eq!(dcmtk(*vr, key, value), expected, "{shown:?}");
        }
    }

    /// DIFFERENCES.md D13, and DCMTK's comparison of what cannot be read.
    #[test]
    fn dcmtk_character_sets() {
        let (latin, ascii) = (CharacterSet::parse(b"ISO_IR 100"), CharacterSet::ASCII);
        let utf = CharacterSet::UTF_8;
        let pn = Vr(*b"PN");
        let by = |key: &'static [u8], a, value: &[u8], b| {
            DcmtkKey::compile(pn, key, a).matches(value, b)
        };
        assert!(by("Müller".as_bytes(), utf, b"M\xfcller", latin));
        assert!(by(b"M?ller*", ascii, b"M\xfcller", latin));
        assert!(!by(b"M??ller*", ascii, b"M\xfcller", latin));
        assert!(by(b"M?ller", utf, "Müller".as_bytes(), utf));
        // Without a character set the bytes are compared as they are.
        assert!(by(b"M\xfcller", ascii, b"M\xfcller", ascii));
        assert!(by(b"M\xfcller", latin, "Müller".as_bytes(), ascii));
        assert!(!by(b"M\xfcller", latin, b"M\xfcller", ascii));
    }

    /// PS3.4 §C.2.2.2, its own cases.
    #[test]
    fn standard_rules() {
        for (vr, key, value, expected) in [
            (b"PN", "doe^jane", "Doe^Jane", true),
            (b"PN", "Doe^Jane^", "Doe^Jane", true),
            (b"PN", "müller", "MÜLLER", true),
            (b"PN", "山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", true),
            (b"PN", "=山田^太郎", "Yamada^Tarou=山田^太郎", true),
            (b"PN", "山田=", "Yamada^Tarou=山田^太郎", false),
            (b"PN", "Suzuki=山田*", "Yamada^Tarou=山田^太郎", false),
            (b"PN", "doe*\\roe*", "Roe^Richard", true),
            (b"PN", "doe", "Doe^Jane", false),
            (b"PN", "doe^*", "Doe^^^^", true),
            (b"PN", "doe^*", "Doe", true),
            (b"PN", "doe^?", "Doe", false),
            (b"PN", "doe^^^^^*", "Doe", false),
            (b"PN", "doe^^^^", "Doe^", true),
            (b"LO", "abc", "ABC", false),
            (b"CS", "MR\\CT", "CT", true),
            (b"CS", "CT", "MR\\CT", true),
            (b"CS", "C?", "MR\\CT", true),
            (b"LO", "*", "", true),
            (b"LO", "?*", "", false),
            (b"LT", "a\\b", "a\\b", true),
            (b"LT", "b", "a\\b", false),
            (b"IS", "02", "2", true),
            (b"DS", "1.50", "1.5", true),
            (b"DS", "x", "x", true),
            (b"DA", "20240101-20240131", "20240131", true),
            (b"DA", "20240101-20240131", "20231231\\20240101", true),
            (b"DA", "2024", "20240101", false),
            (b"TM", "10", "103015", true),
            (b"TM", "10-11", "115959", true),
            (b"TM", "10-11", "12", false),
            (b"TM", "103015", "103015.25", true),
            (b"DT", "20240131", "20240131101500", true),
            (b"DT", "202401", "20240131101500", true),
            (b"DT", "20240131-20240201", "20240131101500", true),
            (b"DT", "-20240131", "20240131101500", true),
            (b"DT", "20240201-", "20240131101500", false),
            (b"DT", "2023-2025", "20240131101500", true),
            (b"DT", "202401-2025", "20240131101500", true),
            (b"DT", "2025-2026", "20240131101500", false),
            (b"DT", "20240131-1200", "202401312330+0000", true),
            (b"DT", "20240131101500+0200", "20240131081500+0000", true),
            (b"DT", "20240131-0500-20240201-0500", "20240131120000-0500", true),
            (b"UI", "1.2\\1.3", "1.3", true),
            (b"UI", "1.2", "1.3\\1.2", true),
        ] {
            let answer = standard(*vr, key.as_bytes(), value.as_bytes());
            assert_eq!(answer, expected, "{} {key} {value}", Vr(*vr));
        }
    }

    /// PS3.4 §C.2.2.2.5.4: the ranges of a date and a time are one range of moments.
    #[test]
    fn combined() {
        let range = |day: &str, clock: &str| CombinedRange::of(day.as_bytes(), clock.as_bytes());
        let night = range("20240101-20240102", "2200-0600").unwrap();
        assert!(night.matches(b"20240101", b"2300"));
        assert!(night.matches(b"20240102", b"05"));
        assert!(!night.matches(b"20240101", b"1200"));
        assert!(!night.matches(b"20240102", b"2300"));
        assert!(night.matches(b"20240101", b""));
        assert!(!night.matches(b"", b"2300"));
        assert!(range("20240101-", "10-").unwrap().matches(b"20250101", b"0000"));
        assert!(range("-20240101", "-10").unwrap().matches(b"20240101", b"10"));
        assert_eq!(range("20240101-20240102", "10"), None);
        assert_eq!(range("-20240102", "10-11"), None);
        assert_eq!(range("x", "10"), None);
    }

    /// No backtracking: a pattern of stars against what almost matches ends at once.
    #[test]
    fn hostile_patterns() {
        let text = "a".repeat(1000);
        let pattern = "a*".repeat(400) + "b";
        assert!(!wildcard(&pattern, &text));
        assert!(!wildcard(&"*?".repeat(1_000_000), &text));
        assert!(wildcard(&"*".repeat(1_000_000), &text));
        // As long as a value can be, and each letter a beginning.
        let long = "a".repeat(65_534);
        let half = "a".repeat(32_767);
        let began = std::time::Instant::now();
        for (pattern, is_match) in [
            (format!("*{half}b"), false),
            (format!("*{half}"), true),
            (format!("*{half}b*"), false),
            (format!("*{half}*{half}*"), true),
            (format!("*{half}*b*{half}"), false),
            ("*a".repeat(32_767), true),
        ] {
            assert_eq!(wildcard(&pattern, &long), is_match);
        }
        assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
    }

    /// The plain oracle: can the first `i` signs of the pattern match the first `j` of the text?
    fn oracle(pattern: &str, text: &str) -> bool {
        let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
        let mut row = vec![false; text.len() + 1];
        row[0] = true;
        for sign in pattern {
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The matcher is the dynamic programme.
        #[test]
        fn wildcard_is_the_oracle(pattern in "[abüж*?]{0,12}", text in "[abüж]{0,16}") {
            prop_assert_eq!(wildcard(&pattern, &text), oracle(&pattern, &text));
            // The same far into a long one.
            let (pattern, text) = (format!("*{pattern}"), format!("{}{text}", "c".repeat(300)));
            prop_assert_eq!(wildcard(&pattern, &text), oracle(&pattern, &text));
        }

        /// A text matches itself, and a star matches it.
        #[test]
        fn a_text_matches_itself(text in "\\PC{0,30}") {
            prop_assert!(wildcard(&text, &text));
            prop_assert!(wildcard("*", &text));
        }

        /// Any key and any value of any VR: an answer.
        #[test]
        fn any_bytes(
            key in proptest::collection::vec(any::<u8>(), 0..40),
            value in proptest::collection::vec(any::<u8>(), 0..40),
            vr in 0usize..14, a in 0usize..4, b in 0usize..4,
        ) {
            let vr = Vr(*[
                b"PN", b"LO", b"SH", b"CS", b"UI", b"DA", b"TM", b"DT", b"IS", b"DS", b"LT", b"AS",
                b"SQ", b"US",
            ][vr]);
            let sets: [&[u8]; 4] = [b"", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"GB18030"];
            let (a, b) = (CharacterSet::parse(sets[a]), CharacterSet::parse(sets[b]));
            let _ = DcmtkKey::compile(vr, &key, a).matches(&value, b);
            let element = Element { tag: crate::tag::Tag(0), vr, value: &key, is_undefined: false };
            let compiled = StandardKey::compile(vr, &element, Encoding::EXPLICIT_LITTLE, a);
            let _ = compiled.matches(&value, b);
            let _ = CombinedRange::of(&key, &value);
        }
    }
}
