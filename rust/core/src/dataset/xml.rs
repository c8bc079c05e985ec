//! An identifier as XML, in the form of DCMTK's dcm2xml, for `findscu --extract-xml`.
//!
//! Text leaves in UTF-8 whatever character set it came in; DCMTK's `-Xx` keeps the set of the response.
//! Binary values are hidden, as there. What XML 1.0 cannot hold is U+FFFD. Nothing recurses. Called
//! by the query tools through `dcmfast._rust`.

use std::fmt::Write as _;

use super::character_set::{CharacterSet, is_affected};
use super::dump::{shown_value, vr_shown};
use super::identifier::{Element, Encoding, IdentifierError, Item, inflated};
use super::json::decoded;
use super::transfer_syntax::TransferSyntax;
use crate::dictionary::keyword_of;
use crate::limits::SEQUENCE_DEPTH_MAX;
use crate::tag::SPECIFIC_CHARACTER_SET;
use crate::uid::Uid;
use crate::vr::Vr;

/// What is still to be written; the next one last.
enum Work<'a> {
    Element(Element<'a>, usize, CharacterSet),
    Item(Item<'a>, usize, CharacterSet),
    End(&'static str),
}

fn elements_of<'a>(item: &Item<'a>, depth: usize, set: CharacterSet) -> Vec<Work<'a>> {
    let last_first = item.elements().iter().rev();
    last_first.map(|element| Work::Element(*element, depth, set)).collect()
}

/// `bytes`, encoded in the transfer syntax `uid`, as one `data-set` element with line ends.
///
/// # Errors
///
/// What is no identifier, or nested deeper than `SEQUENCE_DEPTH_MAX`.
pub fn xml(uid: &Uid, bytes: &[u8]) -> Result<String, IdentifierError> {
    let syntax = TransferSyntax::of(uid);
    let bytes = inflated(syntax, bytes)?;
    let encoding = Encoding::of(syntax);
    let top = Item::read(&bytes, encoding)?;
    let set = CharacterSet::parse(top.value(SPECIFIC_CHARACTER_SET));
    let name = syntax.words();
    let mut out = format!("<data-set xfer=\"{uid}\" name=\"{name}\">\n");
    let mut work = elements_of(&top, 0, set);
    while let Some(next) = work.pop() {
        match next {
            Work::End(what) => {
                let _ = writeln!(out, "</{what}>");
            }
            Work::Item(item, depth, set) => {
                let set = item
                    .get(SPECIFIC_CHARACTER_SET)
                    .map_or(set, |own| CharacterSet::parse(own.value));
                let _ = write!(out, "<item card=\"{}\"", item.elements().len());
                if let Some(bytes) = item.defined_bytes() {
                    let _ = write!(out, " len=\"{bytes}\"");
                }
                out.push_str(">\n");
                work.push(Work::End("item"));
                work.append(&mut elements_of(&item, depth + 1, set));
            }
            Work::Element(element, depth, set) => {
                let vr = vr_shown(&element);
                if vr != Vr::SQ {
                    write_element(&mut out, &element, vr, encoding, set);
                    continue;
                }
                if depth >= SEQUENCE_DEPTH_MAX {
                    return Err(IdentifierError::TooDeep);
                }
                let items: Result<Vec<_>, _> = Item::all(element.value, encoding).collect();
                let items = items?;
                head(&mut out, "sequence", &element, vr);
                let _ = write!(out, " card=\"{}\"", items.len());
                if !element.is_undefined {
                    let _ = write!(out, " len=\"{}\"", element.value.len());
                }
                named(&mut out, &element);
                out.push_str(">\n");
                work.push(Work::End("sequence"));
                work.extend(items.into_iter().rev().map(|item| Work::Item(item, depth, set)));
            }
        }
    }
    out.push_str("</data-set>\n");
    Ok(out)
}

/// The character set of everything that goes out (PS3.3 §C.12.1.1.2).
const UTF_8: &str = "ISO_IR 192";

fn head(out: &mut String, what: &str, element: &Element<'_>, vr: Vr) {
    let (group, number) = (element.tag.group(), element.tag.element());
    let _ = write!(out, "<{what} tag=\"{group:04x},{number:04x}\" vr=\"{vr}\"");
}

fn named(out: &mut String, element: &Element<'_>) {
    out.push_str(" name=\"");
    escape(out, keyword_of(element.tag).unwrap_or("Unknown Tag & Data"));
    out.push('"');
}

fn write_element(
    out: &mut String,
    element: &Element<'_>,
    vr: Vr,
    encoding: Encoding,
    set: CharacterSet,
) {
    let is_text = is_affected(vr);
    let shown = shown_value(vr, element.value, encoding);
    let count = shown.as_ref().map_or(1, |(_, count)| *count);
    // All text is given in it, whatever the sets were.
    let is_charset = element.tag == SPECIFIC_CHARACTER_SET
        && element.value.iter().any(|byte| !matches!(byte, b' ' | 0));
    let (count, bytes) = if is_charset { (1, UTF_8.len()) } else { (count, element.value.len()) };
    head(out, "element", element, vr);
    let _ = write!(out, " vm=\"{count}\" len=\"{bytes}\"");
    named(out, element);
    let Some((text, _)) = shown else {
        out.push_str(" binary=\"hidden\"></element>\n");
        return;
    };
    out.push('>');
    let is_number =
        matches!(&vr.0, b"US" | b"SS" | b"UL" | b"SL" | b"UV" | b"SV" | b"FL" | b"FD" | b"AT");
    if is_number {
        escape(out, &text);
    } else {
        let padding = |byte: &u8| matches!(byte, b' ' | 0);
        let end = element.value.iter().rposition(|byte| !padding(byte));
        let value = element.value.get(..end.map_or(0, |last| last + 1)).unwrap_or_default();
        let set = if is_text { set } else { CharacterSet::default() };
        let text = if is_charset { UTF_8.into() } else { decoded(set, vr, value) };
        escape(out, &text);
    }
    out.push_str("</element>\n");
}

fn escape(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\r' => out.push_str("&#13;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push('\t'),
            // XML 1.0 §2.2.
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::query_keys::{QueryKey, QueryKeys};
    use proptest::prelude::*;

    /// Each line as DCMTK 3.6.7's dcm2xml has it.
    #[test]
    fn lines() {
        let mut keys = QueryKeys::default();
        for text in [
            "PatientName=Doe^<J>&",
            "PatientID",
            "Rows=5\\6",
            "0008,1110[0].0008,1150=1.2.840.10008.5.1.4.1.1.2",
            "ReferencedSeriesSequence",
            "EncapsulatedDocument=01\\02",
        ] {
            keys.set(&QueryKey::parse(text.as_bytes()).unwrap()).unwrap();
        }
        let uid = Uid::known("1.2.840.10008.1.2.1");
        let text = xml(&uid, &keys.encode(&uid).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "<data-set xfer=\"1.2.840.10008.1.2.1\" name=\"Little Endian Explicit\">",
                "<sequence tag=\"0008,1110\" vr=\"SQ\" card=\"1\" len=\"42\" \
                 name=\"ReferencedStudySequence\">",
                "<item card=\"1\" len=\"34\">",
                "<element tag=\"0008,1150\" vr=\"UI\" vm=\"1\" len=\"26\" \
                 name=\"ReferencedSOPClassUID\">1.2.840.10008.5.1.4.1.1.2</element>",
                "</item>",
                "</sequence>",
                "<sequence tag=\"0008,1115\" vr=\"SQ\" card=\"0\" len=\"0\" \
                 name=\"ReferencedSeriesSequence\">",
                "</sequence>",
                "<element tag=\"0010,0010\" vr=\"PN\" vm=\"1\" len=\"8\" \
                 name=\"PatientName\">Doe^&lt;J&gt;&amp;</element>",
                "<element tag=\"0010,0020\" vr=\"LO\" vm=\"0\" len=\"0\" \
                 name=\"PatientID\"></element>",
                "<element tag=\"0028,0010\" vr=\"US\" vm=\"2\" len=\"4\" name=\"Rows\">\
                 5\\6</element>",
                "<element tag=\"0042,0011\" vr=\"OB\" vm=\"1\" len=\"2\" \
                 name=\"EncapsulatedDocument\" binary=\"hidden\"></element>",
                "</data-set>",
            ]
        );
    }

    /// Several character sets become the one that the text is given in, with its own length.
    #[test]
    fn one_character_set() {
        let uid = Uid::known("1.2.840.10008.1.2.1");
        for (sets, line) in [
            (r"\ISO 2022 IR 87", "vm=\"1\" len=\"10\" name=\"SpecificCharacterSet\">ISO_IR 192<"),
            ("", "vm=\"0\" len=\"0\" name=\"SpecificCharacterSet\"><"),
        ] {
            let mut keys = QueryKeys::default();
            let key = format!("SpecificCharacterSet={sets}");
            keys.set(&QueryKey::parse(key.as_bytes()).unwrap()).unwrap();
            let text = xml(&uid, &keys.encode(&uid).unwrap()).unwrap();
            assert!(text.contains(line), "{text}");
        }
    }

    proptest! {
        /// Any bytes: an answer, and nothing in it that XML cannot hold.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = xml(&Uid::known("1.2.840.10008.1.2"), &bytes) {
                let is_legal = |letter: char| !letter.is_control() || "\n\t".contains(letter);
                prop_assert!(text.chars().all(is_legal));
            }
        }
    }
}
