//! An identifier in the DICOM JSON model, for programs that read what a query found.
//!
//! Source: PS3.18 Annex F. Text leaves in UTF-8 whatever character set it came in, so that (0008,0005)
//! says `ISO_IR 192`; what its character set cannot read keeps its ASCII, the rest is U+FFFD. Numbers
//! are numbers where JSON has them, IS and DS too when they are one. Nothing recurses. Called by the
//! query tools through `dcmfast._rust`.

use std::fmt::Write as _;

use super::character_set::{CharacterSet, Delimiters, is_affected};
use super::dump::vr_shown;
use super::identifier::{Element, Encoding, IdentifierError, Item, inflated};
use super::transfer_syntax::TransferSyntax;
use crate::limits::SEQUENCE_DEPTH_MAX;
use crate::tag::SPECIFIC_CHARACTER_SET;
use crate::vr::Vr;

/// `bytes`, encoded in `syntax`, as one JSON object.
///
/// # Errors
///
/// What is no identifier, or nested deeper than `SEQUENCE_DEPTH_MAX`.
pub fn json(syntax: TransferSyntax, bytes: &[u8]) -> Result<String, IdentifierError> {
    let bytes = inflated(syntax, bytes)?;
    let encoding = Encoding::of(syntax);
    let top = Item::read(&bytes, encoding)?;
    let set = CharacterSet::parse(top.value(SPECIFIC_CHARACTER_SET));
    let mut out = String::from("{");
    // What is open: elements of an item still to come, and items of the sequence that holds it.
    let mut open: Vec<Level<'_>> = vec![Level::of(&top, InForce(set))];
    let mut sequences: Vec<Vec<Item<'_>>> = Vec::new();
    while let Some(level) = open.last_mut() {
        let Some(element) = level.elements.pop() else {
            open.pop();
            out.push('}');
            let (Some(items), Some(above)) = (sequences.last_mut(), open.last()) else { continue };
            if let Some(item) = items.pop() {
                out.push_str(",{");
                let set = above.set.within(&item);
                open.push(Level::of(&item, set));
            } else {
                sequences.pop();
                out.push_str("]}");
            }
            continue;
        };
        if !level.is_first {
            out.push(',');
        }
        level.is_first = false;
        let vr = vr_shown(&element);
        let (group, number) = (element.tag.group(), element.tag.element());
        let _ = write!(out, "\"{group:04X}{number:04X}\":{{\"vr\":\"{vr}\"");
        if vr != Vr::SQ {
            value(&mut out, &element, vr, encoding, level.set.0);
            out.push('}');
            continue;
        }
        let set = level.set;
        if open.len() > SEQUENCE_DEPTH_MAX {
            return Err(IdentifierError::TooDeep);
        }
        let items: Result<Vec<_>, _> = Item::all(element.value, encoding).collect();
        let mut items = items?;
        items.reverse();
        match items.pop() {
            None => out.push('}'),
            Some(item) => {
                out.push_str(",\"Value\":[{");
                open.push(Level::of(&item, set.within(&item)));
                sequences.push(items);
            }
        }
    }
    Ok(out)
}

/// The character set in force in an item.
#[derive(Clone, Copy)]
struct InForce(CharacterSet);

impl InForce {
    /// An item may have its own (PS3.3 §C.12.1.1.2).
    fn within(self, item: &Item<'_>) -> Self {
        item.get(SPECIFIC_CHARACTER_SET).map_or(self, |own| Self(CharacterSet::parse(own.value)))
    }
}

struct Level<'a> {
    /// The last one first.
    elements: Vec<Element<'a>>,
    is_first: bool,
    set: InForce,
}

impl<'a> Level<'a> {
    fn of(item: &Item<'a>, set: InForce) -> Self {
        let elements = item.elements().iter().rev().copied().collect();
        Self { elements, is_first: true, set }
    }
}

fn value(out: &mut String, element: &Element<'_>, vr: Vr, encoding: Encoding, set: CharacterSet) {
    let bytes = encoding.little_endian(vr, element.value);
    if bytes.is_empty() {
        return;
    }
    match &vr.0 {
        b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"UN" => {
            out.push_str(",\"InlineBinary\":\"");
            base64(out, &bytes);
            out.push('"');
        }
        b"US" => numbers(out, &bytes, |bytes| u16::from_le_bytes(bytes).to_string()),
        b"SS" => numbers(out, &bytes, |bytes| i16::from_le_bytes(bytes).to_string()),
        b"UL" => numbers(out, &bytes, |bytes| u32::from_le_bytes(bytes).to_string()),
        b"SL" => numbers(out, &bytes, |bytes| i32::from_le_bytes(bytes).to_string()),
        b"UV" => numbers(out, &bytes, |bytes| u64::from_le_bytes(bytes).to_string()),
        b"SV" => numbers(out, &bytes, |bytes| i64::from_le_bytes(bytes).to_string()),
        b"FL" => numbers(out, &bytes, |bytes| finite(f64::from(f32::from_le_bytes(bytes)))),
        b"FD" => numbers(out, &bytes, |bytes| finite(f64::from_le_bytes(bytes))),
        b"AT" => numbers(out, &bytes, |[a, b, c, d]: [u8; 4]| {
            format!("\"{b:02X}{a:02X}{d:02X}{c:02X}\"")
        }),
        _ => text(out, element, vr, &bytes, set),
    }
}

fn text(out: &mut String, element: &Element<'_>, vr: Vr, bytes: &[u8], set: CharacterSet) {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0));
    let bytes = bytes.get(..end.map_or(0, |last| last + 1)).unwrap_or_default();
    if element.tag == SPECIFIC_CHARACTER_SET {
        out.push_str(",\"Value\":[\"ISO_IR 192\"]");
        return;
    }
    if bytes.is_empty() {
        return;
    }
    let set = if is_affected(vr) { set } else { CharacterSet::default() };
    let decoded = decoded(set, vr, bytes);
    let is_one = matches!(&vr.0, b"LT" | b"ST" | b"UT" | b"UR");
    let values: Vec<&str> = if is_one { vec![&decoded] } else { decoded.split('\\').collect() };
    out.push_str(",\"Value\":[");
    for (at, one) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let one = if is_one { one.trim_end() } else { one.trim() };
        match &vr.0 {
            _ if one.is_empty() => out.push_str("null"),
            b"PN" => person_name(out, one),
            b"IS" => match one.parse::<i64>() {
                Ok(number) => {
                    let _ = write!(out, "{number}");
                }
                Err(_) => quoted(out, one),
            },
            b"DS" => match one.parse::<f64>() {
                Ok(number) if number.is_finite() => {
                    let _ = write!(out, "{number}");
                }
                _ => quoted(out, one),
            },
            _ => quoted(out, one),
        }
    }
    out.push(']');
}

/// Text as its character set says; what that cannot read keeps its ASCII, the rest is U+FFFD.
pub(super) fn decoded(set: CharacterSet, vr: Vr, bytes: &[u8]) -> String {
    set.decode(bytes, Delimiters::of(vr)).map_or_else(
        |_| {
            let letter = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '\u{fffd}' };
            bytes.iter().map(letter).collect()
        },
        std::borrow::Cow::into_owned,
    )
}

/// PS3.18 §F.2.2: the component groups by name.
fn person_name(out: &mut String, name: &str) {
    out.push('{');
    let groups = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(name.split('='));
    for (at, (group, value)) in groups.filter(|(_, value)| !value.is_empty()).enumerate() {
        let _ = write!(out, "{}\"{group}\":", if at > 0 { "," } else { "" });
        quoted(out, value.trim_end());
    }
    out.push('}');
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// JSON has no infinity; PS3.18 §F.2.3 lets such values be strings.
fn finite(number: f64) -> String {
    if number.is_finite() { number.to_string() } else { format!("\"{number}\"") }
}

fn numbers<const WIDTH: usize>(
    out: &mut String,
    bytes: &[u8],
    text: impl Fn([u8; WIDTH]) -> String,
) {
    out.push_str(",\"Value\":[");
    for (at, number) in bytes.chunks(WIDTH).enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&number.try_into().map_or_else(|_| "null".into(), &text));
    }
    out.push(']');
}

fn base64(out: &mut String, bytes: &[u8]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let byte = |at: usize| three.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            if at <= three.len() {
                out.push(char::from(LETTERS[(bits >> (18 - 6 * at) & 0x3F) as usize]));
            } else {
                out.push('=');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::query_keys::{QueryKey, QueryKeys};
    use crate::uid::Uid;
    use proptest::prelude::*;

    fn of(typed: &[&str], uid: &str) -> String {
        let mut keys = QueryKeys::default();
        for text in typed {
            keys.set(&QueryKey::parse(text.as_bytes()).unwrap()).unwrap();
        }
        let syntax = Uid::known(uid);
        json(TransferSyntax::of(&syntax), &keys.encode(&syntax).unwrap()).unwrap()
    }

    /// PS3.18 §F.2, in every encoding of identifiers.
    #[test]
    fn model() {
        for uid in [
            "1.2.840.10008.1.2",
            "1.2.840.10008.1.2.1",
            "1.2.840.10008.1.2.2",
            "1.2.840.10008.1.2.1.99",
        ] {
            assert_eq!(
                of(
                    &[
                        "SpecificCharacterSet=ISO_IR 192",
                        "PatientName=Müller^\"A\"==x\\B",
                        "PatientID",
                        "Rows=1\\2",
                        "0020,0013=007",
                        "SliceThickness=1.5\\x",
                        "0008,1110[0].0008,1150=1.2",
                        "0008,1110[1].0008,1140[0]",
                        "ReferencedSeriesSequence",
                        "FrameIncrementPointer=0018,1063",
                        "AcquisitionDuration=0.5",
                        "EncapsulatedDocument=01\\02\\03\\04",
                    ],
                    uid
                ),
                "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 192\"]},\
                 \"00081110\":{\"vr\":\"SQ\",\"Value\":[\
                 {\"00081150\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}},\
                 {\"00081140\":{\"vr\":\"SQ\",\"Value\":[{}]}}]},\
                 \"00081115\":{\"vr\":\"SQ\"},\
                 \"00100010\":{\"vr\":\"PN\",\"Value\":[\
                 {\"Alphabetic\":\"Müller^\\\"A\\\"\",\"Phonetic\":\"x\"},{\"Alphabetic\":\"B\"}]},\
                 \"00100020\":{\"vr\":\"LO\"},\
                 \"00180050\":{\"vr\":\"DS\",\"Value\":[1.5,\"x\"]},\
                 \"00189073\":{\"vr\":\"FD\",\"Value\":[0.5]},\
                 \"00200013\":{\"vr\":\"IS\",\"Value\":[7]},\
                 \"00280009\":{\"vr\":\"AT\",\"Value\":[\"00181063\"]},\
                 \"00280010\":{\"vr\":\"US\",\"Value\":[1,2]},\
                 \"00420011\":{\"vr\":\"OB\",\"InlineBinary\":\"AQIDBA==\"}}",
                "{uid}"
            );
        }
        assert_eq!(of(&[], "1.2.840.10008.1.2"), "{}");
    }

    proptest! {
        /// Any bytes: an answer, without control characters.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), which in 0usize..3) {
            let uid = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"][which];
            if let Ok(text) = json(TransferSyntax::of(&Uid::known(uid)), &bytes) {
                prop_assert!(!text.chars().any(char::is_control));
                let is_object = text.starts_with('{') && text.ends_with('}');
                prop_assert!(is_object);
            }
        }
    }
}
