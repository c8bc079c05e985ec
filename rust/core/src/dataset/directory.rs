//! A DICOMDIR as the files that its records name.
//!
//! Source: PS3.3 Annex F (basic directory), PS3.10 §8.2 (file IDs) and §8.6 (Explicit VR Little
//! Endian). Records are read in the order in which they stand, whatever their offsets say, as DCMTK's
//! `dcmsend` does. A file ID that leads out of the file set is none. Called by `sending`.

use super::element_header::{Encoding, HeaderReader, UNDEFINED};
use super::scan::ScanError;
use crate::tag::{ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, Tag};
use crate::uid::UidText;
use crate::vr::Vr;

const REFERENCED_FILE_ID: Tag = Tag::new(0x0004, 0x1500);
const REFERENCED_CLASS: Tag = Tag::new(0x0004, 0x1510);
const REFERENCED_INSTANCE: Tag = Tag::new(0x0004, 0x1511);
const REFERENCED_SYNTAX: Tag = Tag::new(0x0004, 0x1512);

/// A file that a record names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileRecord {
    /// The components of its file ID.
    pub file_id: Vec<String>,
    /// SOP class.
    pub class: Option<UidText>,
    /// SOP instance.
    pub instance: Option<UidText>,
    /// Transfer syntax.
    pub syntax: Option<UidText>,
}

impl FileRecord {
    /// True when the file ID stays within the file set (PS3.10 §8.2): plain names only.
    pub fn is_within(&self) -> bool {
        let is_plain = |name: &String| !matches!(name.as_str(), "" | "." | "..");
        let has_path = |name: &String| name.contains(['/', '\0']);
        self.file_id.iter().all(is_plain) && !self.file_id.iter().any(has_path)
    }
}

/// The files that the data set of a DICOMDIR names, in its order.
///
/// # Errors
///
/// What cannot be read as elements.
pub fn files(data_set: &[u8]) -> Result<Vec<FileRecord>, ScanError> {
    let encoding = Encoding { is_explicit: true, is_big_endian: false };
    let (mut found, mut record) = (Vec::new(), FileRecord::default());
    let mut rest = data_set;
    let mut reader = HeaderReader::new();
    while !rest.is_empty() {
        let offset = (data_set.len() - rest.len()) as u64;
        let Some(header) = reader.take(&mut rest, encoding, offset)? else {
            return Err(ScanError::EndsInsideElement { offset, missing_bytes: 1 });
        };
        // What is nested is walked through flatly: items begin records, and within a record the
        // elements that count stand before any sequence.
        let is_opened = header.vr == Vr::SQ || header.length == UNDEFINED;
        if header.tag == ITEM {
            close(&mut record, &mut found);
            continue;
        }
        if header.tag == ITEM_DELIMITATION || header.tag == SEQUENCE_DELIMITATION || is_opened {
            continue;
        }
        let length = header.length as usize;
        let Some((value, after)) = rest.split_at_checked(length) else {
            let missing_bytes = (length - rest.len()) as u64;
            return Err(ScanError::EndsInsideElement { offset, missing_bytes });
        };
        rest = after;
        match header.tag {
            REFERENCED_FILE_ID => record.file_id = components(value),
            REFERENCED_CLASS => record.class = UidText::new(value),
            REFERENCED_INSTANCE => record.instance = UidText::new(value),
            REFERENCED_SYNTAX => record.syntax = UidText::new(value),
            _ => {}
        }
    }
    close(&mut record, &mut found);
    Ok(found)
}

fn close(record: &mut FileRecord, found: &mut Vec<FileRecord>) {
    let record = std::mem::take(record);
    if !record.file_id.is_empty() {
        found.push(record);
    }
}

/// A file ID's components; none for an empty one.
fn components(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    let text = text.trim_end_matches([' ', '\0']);
    if text.is_empty() {
        return Vec::new();
    }
    text.split('\\').map(|name| name.trim_end_matches(' ').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(number: u16, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
        let mut bytes = [&0x0004_u16.to_le_bytes()[..], &number.to_le_bytes(), &vr].concat();
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(value);
        bytes
    }

    fn directory(ids: &[&str]) -> Vec<u8> {
        let mut bytes = b"\x04\0\x20\x12SQ\0\0\xff\xff\xff\xff".to_vec();
        for id in ids {
            let mut record = element(0x1430, *b"CS", b"IMAGE ");
            record.extend(element(0x1500, *b"CS", id.as_bytes()));
            record.extend(element(0x1511, *b"UI", b"1.2.3\0"));
            bytes.extend(b"\xfe\xff\x00\xe0");
            bytes.extend((record.len() as u32).to_le_bytes());
            bytes.extend(record);
        }
        bytes.extend(b"\xfe\xff\xdd\xe0\0\0\0\0");
        bytes
    }

    /// Files in order; records that name none are left out.
    #[test]
    fn files_in_order() {
        let found = files(&directory(&["A\\B ", "", "C "])).unwrap();
        let ids: Vec<_> = found.iter().map(|one| one.file_id.join("/")).collect();
        assert_eq!(ids, ["A/B", "C"]);
        assert_eq!(found[0].instance, UidText::new(b"1.2.3"));
    }

    /// PS3.10 §8.2 knows no way up, and no root.
    #[test]
    fn nothing_outside() {
        for id in ["..\\A", "A\\..\\B", "\\etc\\passwd", "A/../B", "."] {
            let found = files(&directory(&[id])).unwrap();
            assert!(!found[0].is_within(), "{id}");
        }
        assert!(files(&directory(&["DICOM\\IM0"])).unwrap()[0].is_within());
    }

    /// A directory cut anywhere is an error or a shorter list.
    #[test]
    fn cut_anywhere() {
        let whole = directory(&["A ", "B "]);
        for length in 0..whole.len() {
            if let Ok(found) = files(&whole[..length]) {
                assert!(found.len() <= 2);
            }
        }
    }
}
