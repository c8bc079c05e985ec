//! An identifier as the log shows it, element by element, in the form of DCMTK's `dcmdump`.
//!
//! Shown from `-v` on, as DCMTK's dcmqrscp does; never at the default level, because patients stand
//! in it (PROMISES.md §5.4). Text is escaped and cut; what is no identifier is said to be none.
//! Called by `server::query_narration`.

use std::fmt::{self, Write as _};

use super::identifier::{Element, Encoding, Item, inflated};
use super::transfer_syntax::{ByteOrder, TransferSyntax};
use crate::dictionary::elements::DictionaryVr;
use crate::dictionary::{keyword_of, vr_of};
use crate::limits::LOGGED_SEQUENCE_DEPTH_MAX;
use crate::log::escaped;
use crate::vr::Vr;

/// Most numbers or bytes of one value that are shown.
const NUMBERS_SHOWN: usize = 16;

/// `bytes`, encoded in `syntax`, as lines; the first one and the last one are empty.
pub fn dump(syntax: TransferSyntax, bytes: &[u8]) -> String {
    let mut out = String::from("\n# Dicom-Data-Set\n# Used TransferSyntax: ");
    out.push_str(match (syntax.is_deflated, syntax.is_explicit, syntax.byte_order) {
        (true, ..) => "Deflated Explicit VR Little Endian",
        (false, false, _) => "Little Endian Implicit",
        (false, true, ByteOrder::Little) => "Little Endian Explicit",
        (false, true, ByteOrder::Big) => "Big Endian Explicit",
    });
    out.push('\n');
    let encoding = Encoding::of(syntax);
    let written = inflated(syntax, bytes).and_then(|bytes| {
        let item = Item::read(&bytes, encoding)?;
        // Writing to a String does not fail.
        let _ = write_item(&mut out, &item, encoding, 0);
        Ok(())
    });
    if let Err(error) = written {
        let _ = writeln!(out, "# {error}");
    }
    out
}

fn write_item(out: &mut String, item: &Item<'_>, encoding: Encoding, depth: usize) -> fmt::Result {
    item.elements().iter().try_for_each(|element| write_element(out, element, encoding, depth))
}

fn write_element(
    out: &mut String,
    element: &Element<'_>,
    encoding: Encoding,
    depth: usize,
) -> fmt::Result {
    let vr = match (element.vr, vr_of(element.tag)) {
        (Vr::NONE, Some(DictionaryVr::Is(vr))) => vr,
        (Vr::NONE, Some(DictionaryVr::UsOrSs | DictionaryVr::LookupTable)) => Vr(*b"US"),
        (Vr::NONE, _) => Vr::UN,
        (vr, _) => vr,
    };
    let items: Vec<_> =
        if vr == Vr::SQ { Item::all(element.value, encoding).collect() } else { Vec::new() };
    let (text, multiplicity) = if vr == Vr::SQ {
        (format!("(Sequence #={})", items.len()), 1)
    } else {
        value(vr, element.value, encoding)
    };
    let (group, number) = (element.tag.group(), element.tag.element());
    let keyword = keyword_of(element.tag).unwrap_or("Unknown Tag & Data");
    let length = element.value.len();
    writeln!(
        out,
        "{:indent$}({group:04x},{number:04x}) {} {text:<40} #{length:>4},{multiplicity:>2} {keyword}",
        "",
        escaped(&vr.0),
        indent = 4 * depth,
    )?;
    if depth >= LOGGED_SEQUENCE_DEPTH_MAX {
        return Ok(());
    }
    for item in items {
        let indent = 4 * depth + 2;
        match item {
            Ok(item) => {
                let count = item.elements().len();
                writeln!(out, "{:indent$}(fffe,e000) na (Item #={count})", "")?;
                write_item(out, &item, encoding, depth + 1)?;
            }
            Err(error) => writeln!(out, "{:indent$}# {error}", "")?,
        }
    }
    Ok(())
}

/// A value and how many values it has.
fn value(vr: Vr, bytes: &[u8], encoding: Encoding) -> (String, usize) {
    if bytes.is_empty() {
        return ("(no value available)".into(), 0);
    }
    let bytes = encoding.little_endian(vr, bytes);
    match &vr.0 {
        b"US" => numbers(&bytes, u16::from_le_bytes),
        b"SS" => numbers(&bytes, i16::from_le_bytes),
        b"UL" => numbers(&bytes, u32::from_le_bytes),
        b"SL" => numbers(&bytes, i32::from_le_bytes),
        b"UV" => numbers(&bytes, u64::from_le_bytes),
        b"SV" => numbers(&bytes, i64::from_le_bytes),
        b"FL" => numbers(&bytes, f32::from_le_bytes),
        b"FD" => numbers(&bytes, f64::from_le_bytes),
        b"AT" => joined(bytes.chunks(4), |tag| match tag {
            [a, b, c, d] => format!("({b:02x}{a:02x},{d:02x}{c:02x})"),
            _ => "?".into(),
        }),
        b"OB" | b"OW" | b"OD" | b"OF" | b"OL" | b"OV" | b"UN" => {
            let (text, _) = joined(bytes.chunks(1), |byte| format!("{:02x}", byte[0]));
            (text, 1)
        }
        _ => {
            let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0));
            let text = bytes.get(..end.map_or(0, |last| last + 1)).unwrap_or_default();
            let is_one = matches!(&vr.0, b"LT" | b"ST" | b"UT" | b"UR");
            let count = if is_one { 1 } else { text.split(|byte| *byte == b'\\').count() };
            (format!("[{}]", escaped(text)), count)
        }
    }
}

fn numbers<const WIDTH: usize, N: fmt::Display>(
    bytes: &[u8],
    read: impl Fn([u8; WIDTH]) -> N,
) -> (String, usize) {
    joined(bytes.chunks(WIDTH), |number| {
        number.try_into().map_or_else(|_| "?".into(), |bytes| read(bytes).to_string())
    })
}

fn joined<'b>(
    values: impl ExactSizeIterator<Item = &'b [u8]>,
    text: impl Fn(&[u8]) -> String,
) -> (String, usize) {
    let count = values.len();
    let mut shown: Vec<String> = values.take(NUMBERS_SHOWN).map(text).collect();
    if count > NUMBERS_SHOWN {
        shown.push("...".into());
    }
    (shown.join("\\"), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::identifier::Writer;
    use crate::tag::Tag;
    use crate::uid::Uid;
    use proptest::prelude::*;

    fn explicit() -> TransferSyntax {
        TransferSyntax::of(&Uid::known("1.2.840.10008.1.2.1"))
    }

    /// limits::LOGGED_SEQUENCE_DEPTH_MAX levels are shown, and of the next one that it is there.
    #[test]
    fn edge_of_depth() {
        let open = b"\x08\0\x32\x10SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF";
        let close = b"\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
        for levels in LOGGED_SEQUENCE_DEPTH_MAX - 1..=LOGGED_SEQUENCE_DEPTH_MAX + 2 {
            let text = dump(explicit(), &[open.repeat(levels), close.repeat(levels)].concat());
            let items = text.matches("(fffe,e000)").count();
            assert_eq!(items, levels.min(LOGGED_SEQUENCE_DEPTH_MAX), "{text}");
            let sequences = text.matches("(0008,1032)").count();
            assert_eq!(sequences, levels.min(LOGGED_SEQUENCE_DEPTH_MAX + 1), "{text}");
        }
    }

    /// Each line as DCMTK 3.6.7's dcmqrscp prints it, sequences aside.
    #[test]
    fn lines() {
        let mut bytes = Vec::new();
        let mut to = Writer::new(&mut bytes, Encoding::EXPLICIT_LITTLE);
        to.text(Tag::new(0x0008, 0x0052), Vr(*b"CS"), b"STUDY");
        to.text(Tag::new(0x0008, 0x0061), Vr(*b"CS"), b"");
        to.text(Tag::new(0x0009, 0x0010), Vr(*b"LO"), b"x");
        to.text(Tag::new(0x0010, 0x0010), Vr(*b"PN"), b"M\xfcller\n");
        let uid = b"1.3.6.1.4.1.5962.1.2.1.20040119072730.12322";
        to.text(Tag::new(0x0020, 0x000D), Vr::UI, uid);
        to.stored(Tag::new(0x0028, 0x0010), Vr(*b"US"), b"\0\x02");
        assert_eq!(
            dump(explicit(), &bytes),
            "\n# Dicom-Data-Set\n# Used TransferSyntax: Little Endian Explicit\n\
             (0008,0052) CS [STUDY]                                  #   6, 1 QueryRetrieveLevel\n\
             (0008,0061) CS (no value available)                     #   0, 0 ModalitiesInStudy\n\
             (0009,0010) LO [x]                                      #   2, 1 PrivateCreator\n\
             (0010,0010) PN [M\\xfcller\\x0a]                          #   8, 1 PatientName\n\
             (0020,000d) UI [1.3.6.1.4.1.5962.1.2.1.20040119072730.12322] #  44, 1 \
             StudyInstanceUID\n\
             (0028,0010) US 512                                      #   2, 1 Rows\n"
        );
    }

    #[test]
    fn what_is_no_identifier_is_said_to_be_none() {
        let text = dump(explicit(), b"\x10\0\x10\0PN\xff\xffDoe");
        assert!(
            text.lines().last().is_some_and(|line| line.starts_with("# identifier: ")),
            "{text}"
        );
    }

    proptest! {
        /// Any bytes in any encoding: lines of printable ASCII.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), which in 0usize..4) {
            let uid = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
                "1.2.840.10008.1.2.1.99"][which];
            let text = dump(TransferSyntax::of(&Uid::known(uid)), &bytes);
            prop_assert!(text.bytes().all(|byte| byte == b'\n' || (0x20..0x7F).contains(&byte)));
        }
    }
}
