//! Query keys: an identifier put together from a query file and keys typed as text.
//!
//! Source: PS3.4 §C.4.1.1.3 (what an identifier is), PS3.5 §6.2 (the VRs), and DCMTK's `-k`:
//! `gggg,eeee=value` or `Keyword=value`, without `=` an empty value, and paths through sequences such
//! as `(0040,0100)[0].Modality=CT`. A key takes its VR from the dictionary, so a private one has none
//! and is refused. Everything is held in Explicit VR Little Endian, and encoded when the presentation
//! context is known. Nothing recurses; nesting, items and length are bounded. Called by the query
//! tools through `dcmfast._rust`.

use core::fmt;

use super::identifier::{Element, Encoding, IdentifierError, Item};
use super::rewrite::{PixelHints, RewriteError, Rewriting, is_convertible, rewrite};
use super::transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, TransferSyntax};
use crate::dictionary::elements::DictionaryVr;
use crate::dictionary::{tag_of, vr_of};
use crate::limits::{IDENTIFIER_BYTES_MAX, QUERY_KEY_ITEMS_MAX, SEQUENCE_DEPTH_MAX};
use crate::tag::{self, Tag};
use crate::uid::Uid;
use crate::vr::Vr;

/// Why a typed key cannot be used; texts are DCMTK's where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither a tag nor a keyword of the dictionary.
    Format(String),
    /// The dictionary does not know the tag, or it belongs to no identifier.
    UnknownTag(Tag),
    /// The value cannot be one of the tag's VR.
    Value(Tag, String),
    /// An item is named in what is no sequence.
    NotASequence(Tag),
    /// A part of a path other than the last one names no item.
    NoItem(Tag),
    /// An item number beyond `QUERY_KEY_ITEMS_MAX`.
    ItemNumber(String),
    /// More sequences within sequences than `SEQUENCE_DEPTH_MAX`.
    TooDeep,
}

impl fmt::Display for KeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(name) => write!(
                formatter,
                "bad key format or dictionary name not found in dictionary: {name}"
            ),
            Self::UnknownTag(tag) => write!(formatter, "unknown tag: {tag}"),
            Self::Value(tag, value) => {
                write!(formatter, "cannot put tag value: {tag}=\"{value}\"")
            }
            Self::NotASequence(tag) => write!(formatter, "{tag} is no sequence and has no items"),
            Self::NoItem(tag) => {
                write!(formatter, "the item of {tag} is not named, as in {tag}[0]")
            }
            Self::ItemNumber(number) => {
                write!(formatter, "item [{number}] is not among 0 to {}", QUERY_KEY_ITEMS_MAX - 1)
            }
            Self::TooDeep => write!(formatter, "nested deeper than {SEQUENCE_DEPTH_MAX}"),
        }
    }
}

impl core::error::Error for KeyError {}

/// Why the content of a file is no identifier, or an identifier cannot be encoded.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeysError {
    /// The transfer syntax is one for compressed pixels.
    TransferSyntax(Uid),
    /// The elements cannot be read.
    Identifier(IdentifierError),
    /// The data set cannot be re-encoded, because it is damaged.
    Rewrite(RewriteError),
    /// More bytes than `IDENTIFIER_BYTES_MAX`.
    TooLong,
}

impl fmt::Display for KeysError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TransferSyntax(uid) => {
                write!(formatter, "an identifier cannot be encoded in {uid}")
            }
            Self::Identifier(error) => fmt::Display::fmt(error, formatter),
            Self::Rewrite(error) => fmt::Display::fmt(error, formatter),
            Self::TooLong => {
                write!(formatter, "identifier: more than {IDENTIFIER_BYTES_MAX} bytes")
            }
        }
    }
}

impl core::error::Error for KeysError {}

impl From<IdentifierError> for KeysError {
    fn from(error: IdentifierError) -> Self {
        Self::Identifier(error)
    }
}

/// How an identifier is written, beside its transfer syntax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// VRs that the standard got after 1993 become OB (`-u`).
    pub without_new_vrs: bool,
    /// Of a deflated one, 0 to 9; `None` for zlib's own (`+cl`).
    pub deflate_level: Option<u32>,
}

/// A sequence on the way to a key, and its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    tag: Tag,
    item: usize,
}

/// A key as typed, checked against the dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryKey {
    steps: Vec<Step>,
    /// The element; `None` for a path that ends with an item, which is made and left empty.
    target: Option<(Tag, Vr, Vec<u8>)>,
}

impl QueryKey {
    /// Reads `tag=value`, `Keyword=value` or a path of them.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let (path, value) = match text.iter().position(|byte| *byte == b'=') {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &[][..]),
        };
        let whole = String::from_utf8_lossy(path).into_owned();
        let mut steps = Vec::new();
        let mut parts = whole.split('.').peekable();
        while let Some(part) = parts.next() {
            let (name, item) = match part.split_once('[') {
                None => (part, None),
                Some((name, rest)) => {
                    let number =
                        rest.strip_suffix(']').ok_or_else(|| KeyError::Format(whole.clone()))?;
                    let wrong = || KeyError::ItemNumber(number.to_owned());
                    let item: usize = number.parse().map_err(|_| wrong())?;
                    (name, Some((item < QUERY_KEY_ITEMS_MAX).then_some(item).ok_or_else(wrong)?))
                }
            };
            let tag = tag_named(name).ok_or_else(|| KeyError::Format(whole.clone()))?;
            let kind = kind_of(tag).ok_or(KeyError::UnknownTag(tag))?;
            let is_last = parts.peek().is_none();
            match item {
                Some(_) if kind != DictionaryVr::Is(Vr::SQ) => {
                    return Err(KeyError::NotASequence(tag));
                }
                Some(_) if steps.len() == SEQUENCE_DEPTH_MAX => return Err(KeyError::TooDeep),
                Some(item) => steps.push(Step { tag, item }),
                None if !is_last => return Err(KeyError::NoItem(tag)),
                None => {
                    let wrong =
                        || KeyError::Value(tag, String::from_utf8_lossy(value).into_owned());
                    let (vr, bytes) = encoded(kind, value).ok_or_else(wrong)?;
                    return Ok(Self { steps, target: Some((tag, vr, bytes)) });
                }
            }
        }
        match steps.last() {
            Some(step) if !value.is_empty() => {
                Err(KeyError::Value(step.tag, String::from_utf8_lossy(value).into_owned()))
            }
            _ => Ok(Self { steps, target: None }),
        }
    }
}

/// The tag of `gggg,eeee` or `(gggg,eeee)` in hexadecimal, or of a keyword.
fn tag_named(name: &str) -> Option<Tag> {
    let bare = match name.strip_prefix('(') {
        Some(rest) => rest.strip_suffix(')')?,
        None => name,
    };
    let Some((group, element)) = bare.split_once(',') else { return tag_of(name) };
    let number = |digits: &str| {
        let is_hex = (1..=4).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
    };
    Some(Tag::new(number(group.trim())?, number(element.trim())?))
}

/// The VR of a tag that can be a key: no file meta information, group length or delimiter.
fn kind_of(tag: Tag) -> Option<DictionaryVr> {
    if tag.group() < 0x0008 || tag.group() == 0xFFFE || tag.element() == 0 {
        return None;
    }
    vr_of(tag)
}

/// `text` as a value, padded to even length; `None` when it cannot be one.
fn encoded(kind: DictionaryVr, text: &[u8]) -> Option<(Vr, Vec<u8>)> {
    let vr = match kind {
        DictionaryVr::Is(vr) => vr,
        DictionaryVr::ObOrOw => Vr::OW,
        DictionaryVr::UsOrSs | DictionaryVr::LookupTable => {
            let us = Vr(*b"US");
            return match numbers(us, text) {
                Some(value) => Some((us, value)),
                None => numbers(Vr(*b"SS"), text).map(|value| (Vr(*b"SS"), value)),
            };
        }
    };
    if vr == Vr::SQ {
        return text.is_empty().then_some((vr, Vec::new()));
    }
    let mut value = match &vr.0 {
        b"US" | b"SS" | b"UL" | b"SL" | b"UV" | b"SV" | b"FL" | b"FD" | b"OF" | b"OD" | b"AT"
        | b"OB" | b"OW" | b"OL" | b"OV" | b"UN" => numbers(vr, text)?,
        _ => text.to_vec(),
    };
    if value.len() % 2 == 1 {
        // PS3.5 §6.2 and §9.1.
        value.push(if matches!(&vr.0, b"UI" | b"OB" | b"UN") { 0 } else { b' ' });
    }
    let longest = if vr.has_long_length() { IDENTIFIER_BYTES_MAX } else { 0xFFFE };
    (value.len() <= longest).then_some((vr, value))
}

/// Numbers between backslashes, in little endian; those of the Other VRs hexadecimal, as DCMTK's.
fn numbers(vr: Vr, text: &[u8]) -> Option<Vec<u8>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let text = core::str::from_utf8(text).ok()?;
    let mut out = Vec::new();
    for one in text.split('\\') {
        let one = one.trim();
        let hex = |bits: u32| u64::from_str_radix(one, 16).ok().filter(|n| n >> (bits - 1) < 2);
        match &vr.0 {
            b"US" => out.extend(one.parse::<u16>().ok()?.to_le_bytes()),
            b"SS" => out.extend(one.parse::<i16>().ok()?.to_le_bytes()),
            b"UL" => out.extend(one.parse::<u32>().ok()?.to_le_bytes()),
            b"SL" => out.extend(one.parse::<i32>().ok()?.to_le_bytes()),
            b"UV" => out.extend(one.parse::<u64>().ok()?.to_le_bytes()),
            b"SV" => out.extend(one.parse::<i64>().ok()?.to_le_bytes()),
            b"FL" | b"OF" => out.extend(one.parse::<f32>().ok()?.to_le_bytes()),
            b"FD" | b"OD" => out.extend(one.parse::<f64>().ok()?.to_le_bytes()),
            b"OB" | b"UN" => out.push(u8::try_from(hex(8)?).ok()?),
            b"OW" => out.extend(u16::try_from(hex(16)?).ok()?.to_le_bytes()),
            b"OL" => out.extend(u32::try_from(hex(32)?).ok()?.to_le_bytes()),
            b"OV" => out.extend(hex(64)?.to_le_bytes()),
            _ => {
                let tag = tag_named(one)?;
                out.extend(tag.group().to_le_bytes());
                out.extend(tag.element().to_le_bytes());
            }
        }
    }
    Some(out)
}

/// One level of the identifier: elements in ascending order, sequences as their items' bytes.
type Elements = Vec<(Tag, Vr, Vec<u8>)>;

/// An identifier under construction.
#[derive(Clone, Debug, Default)]
pub struct QueryKeys {
    elements: Elements,
}

impl QueryKeys {
    /// The data set of a query file, without group lengths.
    ///
    /// # Errors
    ///
    /// See [`KeysError`].
    pub fn read(data_set: &[u8], syntax: &Uid) -> Result<Self, KeysError> {
        if data_set.len() > IDENTIFIER_BYTES_MAX {
            return Err(KeysError::TooLong);
        }
        let plain = converted(data_set, syntax, &explicit(), Form::default())?;
        if plain.len() > IDENTIFIER_BYTES_MAX {
            return Err(KeysError::TooLong);
        }
        let mut elements = level(&Item::read(&plain, Encoding::EXPLICIT_LITTLE)?);
        elements.retain(|(tag, ..)| tag.group() >= 0x0008 && tag.element() != 0);
        Ok(Self { elements })
    }

    /// Adds a key, or replaces the one of its tag.
    ///
    /// # Errors
    ///
    /// [`KeysError::Identifier`] when the path leads through a damaged sequence of a query file.
    pub fn set(&mut self, key: &QueryKey) -> Result<(), KeysError> {
        // Down: each level on the path taken apart.
        let mut levels = vec![core::mem::take(&mut self.elements)];
        let mut items: Vec<Vec<Vec<u8>>> = Vec::new();
        let mut fault = None;
        for step in &key.steps {
            let here = levels.last().map(Vec::as_slice).unwrap_or_default();
            let sequence = here.iter().find(|(tag, ..)| *tag == step.tag);
            let value = sequence.map(|(_, _, value)| value.as_slice()).unwrap_or_default();
            let opened = items_of(value).and_then(|mut all| {
                while all.len() <= step.item {
                    all.push(Vec::new());
                }
                let item = all.get(step.item).map(Vec::as_slice).unwrap_or_default();
                let within = level(&Item::read(item, Encoding::EXPLICIT_LITTLE)?);
                Ok((all, within))
            });
            match opened {
                Ok((all, within)) => {
                    items.push(all);
                    levels.push(within);
                }
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
        if let (Some((tag, vr, value)), None) = (&key.target, &fault) {
            if let Some(last) = levels.last_mut() {
                put(last, *tag, *vr, value.clone());
            }
        }
        // And up again: each item put back into its sequence.
        while let Some(mut all) = items.pop() {
            let (Some(within), Some(step)) = (levels.pop(), key.steps.get(items.len())) else {
                break;
            };
            if let Some(item) = all.get_mut(step.item) {
                *item = bytes_of(&within);
            }
            if let Some(above) = levels.last_mut() {
                put(above, step.tag, Vr::SQ, sequence_of(&all));
            }
        }
        self.elements = levels.into_iter().next().unwrap_or_default();
        fault.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The identifier in a transfer syntax.
    ///
    /// # Errors
    ///
    /// [`KeysError::TooLong`] beyond what an identifier may have.
    pub fn encode(&self, syntax: &Uid) -> Result<Vec<u8>, KeysError> {
        self.encode_as(syntax, Form::default())
    }

    /// The same, in a form of its own.
    ///
    /// # Errors
    ///
    /// As [`QueryKeys::encode`].
    pub fn encode_as(&self, syntax: &Uid, form: Form) -> Result<Vec<u8>, KeysError> {
        let plain = bytes_of(&self.elements);
        if plain.len() > IDENTIFIER_BYTES_MAX {
            return Err(KeysError::TooLong);
        }
        converted(&plain, &explicit(), syntax, form)
    }

    /// The value of an element of the first level, as it is held.
    pub fn value(&self, tag: Tag) -> Option<&[u8]> {
        let found = self.elements.iter().find(|(other, ..)| *other == tag);
        found.map(|(_, _, value)| value.as_slice())
    }
}

fn explicit() -> Uid {
    Uid::known(EXPLICIT_VR_LITTLE_ENDIAN)
}

fn converted(bytes: &[u8], from: &Uid, to: &Uid, form: Form) -> Result<Vec<u8>, KeysError> {
    for syntax in [from, to] {
        if !is_convertible(syntax) {
            return Err(KeysError::TransferSyntax(*syntax));
        }
    }
    let hints = PixelHints::of_head(bytes, TransferSyntax::of(from));
    match Rewriting::between(from, to, hints) {
        Some(_) if from == to && form == Form::default() => Ok(bytes.to_vec()),
        Some(mut rewriting) => {
            rewriting.encoding.has_new_vrs = !form.without_new_vrs;
            rewriting.encoding.deflate_level = form.deflate_level;
            rewrite(bytes, &rewriting).map_err(KeysError::Rewrite)
        }
        None => Err(KeysError::TransferSyntax(*to)),
    }
}

fn level(item: &Item<'_>) -> Elements {
    let owned = |element: &Element<'_>| (element.tag, element.vr, element.value.to_vec());
    item.elements().iter().map(owned).collect()
}

fn put(elements: &mut Elements, tag: Tag, vr: Vr, value: Vec<u8>) {
    match elements.binary_search_by_key(&tag, |(other, ..)| *other) {
        Ok(at) => elements[at] = (tag, vr, value),
        Err(at) => elements.insert(at, (tag, vr, value)),
    }
}

/// The bytes of each item of a sequence's value, header aside.
fn items_of(value: &[u8]) -> Result<Vec<Vec<u8>>, IdentifierError> {
    Item::all(value, Encoding::EXPLICIT_LITTLE).map(|item| Ok(bytes_of(&level(&item?)))).collect()
}

fn sequence_of(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        tag_bytes(&mut out, tag::ITEM);
        out.extend((item.len() as u32).to_le_bytes());
        out.extend(item);
    }
    out
}

fn tag_bytes(out: &mut Vec<u8>, tag: Tag) {
    out.extend(tag.group().to_le_bytes());
    out.extend(tag.element().to_le_bytes());
}

/// Elements in Explicit VR Little Endian with defined lengths; what a sequence holds is copied, so
/// that its inner lengths stay what they were.
fn bytes_of(elements: &Elements) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, vr, value) in elements {
        tag_bytes(&mut out, *tag);
        out.extend(vr.0);
        if vr.has_long_length() || !vr.is_known() {
            out.extend([0, 0]);
            out.extend((value.len() as u32).to_le_bytes());
        } else {
            out.extend((value.len() as u16).to_le_bytes());
        }
        out.extend(value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: Tag = Tag::new(0x0010, 0x0010);
    const STEPS: Tag = Tag::new(0x0040, 0x0100);

    fn keys(typed: &[&str]) -> QueryKeys {
        let mut keys = QueryKeys::default();
        for text in typed {
            keys.set(&QueryKey::parse(text.as_bytes()).unwrap()).unwrap();
        }
        keys
    }

    fn error(text: &str) -> String {
        QueryKey::parse(text.as_bytes()).unwrap_err().to_string()
    }

    /// DCMTK 3.6.7's forms of a key, and the values that it makes of them.
    /// `-u` and `+cl` of findscu: VRs that 1993 did not know become OB; what was deflated is the same.
    #[test]
    fn forms() {
        let mut keys = QueryKeys::default();
        keys.set(&QueryKey::parse(b"TextValue=abc").unwrap()).unwrap();
        let plain = Form { without_new_vrs: true, ..Form::default() };
        let bytes = keys.encode_as(&explicit(), plain).unwrap();
        assert_eq!(bytes, b"\x40\0\x60\xa1OB\0\0\x04\0\0\0abc ");
        assert_eq!(&keys.encode(&explicit()).unwrap()[4..6], b"UT");
        let deflated = Uid::known("1.2.840.10008.1.2.1.99");
        let of_level = |level| {
            let form = Form { deflate_level: Some(level), ..Form::default() };
            keys.encode_as(&deflated, form).unwrap()
        };
        // Level 0 stores: the bytes are there as they are.
        let shows = |bytes: &[u8]| bytes.windows(4).any(|part| part == b"abc ");
        assert!(shows(&of_level(0)) && !of_level(9).is_empty());
        for level in [0, 9] {
            let again = QueryKeys::read(&of_level(level), &deflated).unwrap();
            assert_eq!(again.value(crate::tag::Tag::new(0x0040, 0xA160)), Some(&b"abc "[..]));
        }
    }

    #[test]
    fn values() {
        for (text, tag, value) in [
            ("PatientName=Doe^Jane", NAME, &b"Doe^Jane"[..]),
            ("0010,0010=A=B", NAME, b"A=B "),
            ("(0010,0010)=x*", NAME, b"x*"),
            ("10,10=x", NAME, b"x "),
            ("PatientName", NAME, b""),
            ("PatientName=", NAME, b""),
            ("StudyInstanceUID=1.2.3", Tag::new(0x0020, 0x000D), b"1.2.3\0"),
            ("Rows=5\\65535", Tag::new(0x0028, 0x0010), b"\x05\0\xff\xff"),
            ("0028,0106=-2", Tag::new(0x0028, 0x0106), b"\xfe\xff"),
            ("0028,0106=40000", Tag::new(0x0028, 0x0106), b"\x40\x9c"),
            ("FrameIncrementPointer=0018,1063", Tag::new(0x0028, 0x0009), b"\x18\0\x63\x10"),
            ("AcquisitionDuration=1.5", Tag::new(0x0018, 0x9073), b"\0\0\0\0\0\0\xf8\x3f"),
            ("0009,0010=ACME", Tag::new(0x0009, 0x0010), b"ACME"),
            ("OverlayRows=3", Tag::new(0x6000, 0x0010), b"\x03\0"),
            ("OtherPatientIDs=x", Tag::new(0x0010, 0x1000), b"x "),
            ("ReferencedStudySequence", Tag::new(0x0008, 0x1110), b""),
        ] {
            assert_eq!(keys(&[text]).value(tag), Some(value), "{text}");
        }
    }

    #[test]
    fn of_two_keys_with_one_tag_the_last_one_set_counts() {
        let keys = keys(&["PatientName=A", "PatientID=1", "0010,0010=BB"]);
        assert_eq!(keys.value(NAME), Some(&b"BB"[..]));
    }

    /// DCMTK's sentences where it has one.
    #[test]
    fn refused() {
        let bad = "bad key format or dictionary name not found in dictionary: ";
        for name in ["Foo", "", "patientname", "0010,zz", "0010,", "12345,1", "(0010,0010", "a.b"] {
            assert_eq!(error(&format!("{name}=1")), format!("{bad}{name}"));
        }
        assert_eq!(error("0009,1001=x"), "unknown tag: (0009,1001)");
        for outside in ["0002,0010=1.2", "0008,0000=4", "fffe,e000", "0000,0002=1"] {
            assert!(error(outside).starts_with("unknown tag: "), "{outside}");
        }
        for text in [
            "0028,0010=abc",
            "0028,0010=70000",
            "0028,0010=1\\",
            "0008,1110=x",
            "AcquisitionDuration=x",
            "FrameIncrementPointer=1",
        ] {
            assert!(error(text).starts_with("cannot put tag value: ("), "{text}");
        }
        assert!(error("PatientName[0].PatientID=1").contains("no sequence"));
        assert!(error("ReferencedStudySequence.PatientID=1").contains("is not named"));
        assert!(error("ReferencedStudySequence[x]").starts_with("item [x]"));
        assert!(error("ReferencedStudySequence[-1]").starts_with("item [-1]"));
        assert!(error("ReferencedStudySequence[0]=x").starts_with("cannot put"));
        assert!(error("ReferencedStudySequence[0=x").starts_with(bad));
        let edge = format!("ReferencedStudySequence[{QUERY_KEY_ITEMS_MAX}]");
        assert!(error(&edge).starts_with("item ["));
        let step = "ReferencedStudySequence[0].";
        let deepest = format!("{}PatientID=1", step.repeat(SEQUENCE_DEPTH_MAX));
        assert!(QueryKey::parse(deepest.as_bytes()).is_ok());
        assert_eq!(
            error(&format!("{step}{deepest}")),
            format!("nested deeper than {SEQUENCE_DEPTH_MAX}")
        );
        let long = format!("PatientName={}", "x".repeat(0xFFFF));
        assert!(error(&long).starts_with("cannot put tag value"));
    }

    /// Items are made as far as a path needs them, and keys meet in the same item.
    #[test]
    fn paths() {
        let keys = keys(&[
            "ScheduledProcedureStepSequence[0].Modality=CT",
            "(0040,0100)[0].ScheduledStationAETitle",
            "0040,0100[1].(0040,0008)[0].CodeValue=X",
        ]);
        let mut items = Item::all(keys.value(STEPS).unwrap(), Encoding::EXPLICIT_LITTLE);
        let first = items.next().unwrap().unwrap();
        assert_eq!(first.value(Tag::new(8, 0x60)), b"CT");
        assert_eq!(first.get(Tag::new(0x40, 1)).unwrap().value, b"");
        let second = items.next().unwrap().unwrap();
        let codes = second.value(Tag::new(0x40, 8));
        let code = Item::all(codes, Encoding::EXPLICIT_LITTLE).next().unwrap().unwrap();
        assert_eq!(code.value(Tag::new(8, 0x100)), b"X ");
        assert!(items.next().is_none());
    }

    /// There and back through every transfer syntax that can hold an identifier.
    #[test]
    fn encodings() {
        let typed = ["QueryRetrieveLevel=STUDY", "Rows=258", "(0040,0100)[0].Modality=CT"];
        let keys = keys(&typed);
        for uid in [
            "1.2.840.10008.1.2",
            "1.2.840.10008.1.2.1",
            "1.2.840.10008.1.2.2",
            "1.2.840.10008.1.2.1.99",
        ] {
            let syntax = Uid::known(uid);
            let bytes = keys.encode(&syntax).unwrap();
            let mut back = QueryKeys::read(&bytes, &syntax).unwrap();
            assert_eq!(back.value(Tag::new(8, 0x52)), Some(&b"STUDY "[..]), "{uid}");
            assert_eq!(back.value(Tag::new(0x28, 0x10)), Some(&b"\x02\x01"[..]), "{uid}");
            // A query file's sequence takes further keys.
            let further = QueryKey::parse(b"(0040,0100)[0].(0040,0001)=AE").unwrap();
            back.set(&further).unwrap();
            let items = back.value(STEPS).unwrap();
            let item = Item::all(items, Encoding::EXPLICIT_LITTLE).next().unwrap().unwrap();
            assert_eq!(item.value(Tag::new(8, 0x60)), b"CT", "{uid}");
            assert_eq!(item.value(Tag::new(0x40, 1)), b"AE", "{uid}");
        }
        let jpeg = Uid::known("1.2.840.10008.1.2.4.50");
        assert!(matches!(keys.encode(&jpeg), Err(KeysError::TransferSyntax(_))));
    }

    /// Group lengths and file meta information are no keys.
    #[test]
    fn left_out() {
        let bytes = b"\x08\0\0\0UL\x04\0\x0c\0\0\0\x08\0\x52\0CS\x06\0IMAGE ";
        let keys = QueryKeys::read(bytes, &explicit()).unwrap();
        assert_eq!(keys.encode(&explicit()).unwrap(), &bytes[12..]);
    }

    #[test]
    fn the_longest_identifier() {
        let long = vec![b'x'; IDENTIFIER_BYTES_MAX + 1];
        assert!(matches!(QueryKeys::read(&long, &explicit()), Err(KeysError::TooLong)));
    }

    proptest! {
        /// Any text and any file: an answer, never a panic; what was set can be encoded.
        #[test]
        fn any_text(text in ".{0,60}", file in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut keys = QueryKeys::read(&file, &explicit()).unwrap_or_default();
            if let Ok(key) = QueryKey::parse(text.as_bytes()) {
                let _ = keys.set(&key);
            }
            let _ = keys.set(&QueryKey::parse(b"(0040,0100)[1].Modality=CT").unwrap());
            let _ = keys.encode(&Uid::known("1.2.840.10008.1.2"));
        }
    }
}
