//! The first look at a file that is to be sent: is it one, and are its UIDs what they should be?
//!
//! Source: DCMTK 3.6.7's `dcmsend`, as run: which UIDs it refuses, and in which words. Reads the
//! head only; that a data set is whole is seen when its turn comes. Called by `sending::Job`.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::dataset::directory::{FileRecord, files};
use crate::dataset::transfer_syntax::long_name;
use crate::dictionary::uids::{name_of, storage_prefix};
use crate::limits::DICOMDIR_BYTES_MAX;
use crate::log::system_text;
use crate::storage::backend::open_for_reading;
use crate::storage::reader::{InputFormat, ReadError, StoredInstance, inspect};
use crate::uid::{Uid, UidText};

/// What stands before every storage SOP class of the standard.
const STORAGE: &[u8] = b"1.2.840.10008.5.1.4.1.1";
/// What stands before every UID of the standard.
const STANDARD: &[u8] = b"1.2.840.10008";

/// Reads the head of a file.
///
/// # Errors
///
/// See [`ReadError`].
pub fn look(path: &Path, format: InputFormat) -> Result<StoredInstance, ReadError> {
    inspect(&mut open_for_reading(path)?, format)
}

/// The files that the DICOMDIR at `path` names.
///
/// # Errors
///
/// In words.
pub fn files_of(path: &Path) -> Result<Vec<FileRecord>, String> {
    let mut file = open_for_reading(path).map_err(|error| system_text(&error))?;
    let found = inspect(&mut file, InputFormat::File).map_err(|error| reason(&error))?;
    within(found.data_set_bytes)?;
    let mut data_set = Vec::new();
    file.seek(SeekFrom::Start(found.data_set_offset)).map_err(|error| system_text(&error))?;
    file.take(DICOMDIR_BYTES_MAX)
        .read_to_end(&mut data_set)
        .map_err(|error| system_text(&error))?;
    files(&data_set).map_err(|error| format!("Invalid DICOMDIR: {error}"))
}

fn within(bytes: u64) -> Result<(), String> {
    if bytes > DICOMDIR_BYTES_MAX {
        return Err(format!("Invalid DICOMDIR: more than {DICOMDIR_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// Class, transfer syntax and instance of a file that a DICOMDIR names.
///
/// # Errors
///
/// DCMTK's words for what is wrong with them.
pub fn record(file: &FileRecord, checks_uids: bool) -> Result<(Uid, Uid, UidText), &'static str> {
    let class = file.class.ok_or("Invalid SOP Class UID")?;
    let uid = file.instance.filter(|uid| !uid.is_empty()).ok_or("Invalid SOP Instance UID")?;
    let syntax = file.syntax.and_then(UidText::to_uid).ok_or("Invalid Transfer Syntax UID")?;
    let instance = StoredInstance {
        sop_class_uid: class,
        sop_instance_uid: uid,
        transfer_syntax: syntax,
        data_set_offset: 0,
        data_set_bytes: 0,
    };
    let class =
        if checks_uids { uids(&instance) } else { class.to_uid().ok_or("Invalid SOP Class UID") };
    Ok((class?, syntax, uid))
}

/// `error` in words, DCMTK's where it has some.
pub fn reason(error: &ReadError) -> String {
    match error {
        ReadError::Io(error) => system_text(error),
        error => error.to_string(),
    }
}

/// Compares the UIDs with what they should be; gives the SOP class.
///
/// # Errors
///
/// DCMTK's words for what is wrong.
pub fn uids(instance: &StoredInstance) -> Result<Uid, &'static str> {
    let class = well_formed(&instance.sop_class_uid).ok_or("Invalid SOP Class UID")?;
    let text = class.as_bytes();
    let is_storage = storage_prefix(text).is_some() || text.starts_with(STORAGE);
    if !is_storage && text.starts_with(STANDARD) {
        return Err(match name_of(text) {
            Some(_) => "Invalid SOP Class UID",
            None => "Unknown Storage SOP Class",
        });
    }
    well_formed(&instance.sop_instance_uid).ok_or("Invalid SOP Instance UID")?;
    let syntax = &instance.transfer_syntax;
    well_formed(&syntax.text()).ok_or("Invalid Transfer Syntax UID")?;
    if long_name(syntax).is_none() {
        return Err("Unknown Transfer Syntax");
    }
    Ok(class)
}

/// PS3.5 §9.1: components of digits without a leading zero, and a dot between them.
fn well_formed(text: &UidText) -> Option<Uid> {
    let is_right = text.as_bytes().split(|byte| *byte == b'.').all(|component| {
        let has_zero = component.len() > 1 && component.first() == Some(&b'0');
        !component.is_empty() && !has_zero && component.iter().all(u8::is_ascii_digit)
    });
    is_right.then(|| text.to_uid()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(class: &str, uid: &str, syntax: &str) -> Result<Uid, &'static str> {
        uids(&StoredInstance {
            sop_class_uid: UidText::new(class.as_bytes()).unwrap(),
            sop_instance_uid: UidText::new(uid.as_bytes()).unwrap(),
            transfer_syntax: Uid::known(syntax),
            data_set_offset: 0,
            data_set_bytes: 0,
        })
    }

    /// The longest DICOMDIR that is read, and one byte more.
    #[test]
    fn edge_of_a_directory() {
        assert!(within(DICOMDIR_BYTES_MAX).is_ok());
        assert!(within(DICOMDIR_BYTES_MAX + 1).is_err());
    }

    /// DCMTK 3.6.7's verdicts (it was run).
    #[test]
    fn verdicts() {
        const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
        const EXPLICIT: &str = "1.2.840.10008.1.2.1";
        for (class, uid, syntax, wrong) in [
            (CT, "1.2.3", EXPLICIT, None),
            ("1.2.3.4", "1.2.3", EXPLICIT, None),
            ("1.2.840.10008.5.1.4.1.1.99", "1.2.3", EXPLICIT, None),
            ("1.2.840.10008.1.1", "1.2.3", EXPLICIT, Some("Invalid SOP Class UID")),
            ("1.2.840.10008.99", "1.2.3", EXPLICIT, Some("Unknown Storage SOP Class")),
            ("1.2.x", "1.2.3", EXPLICIT, Some("Invalid SOP Class UID")),
            (CT, "1.02.3", EXPLICIT, Some("Invalid SOP Instance UID")),
            (CT, "1..3", EXPLICIT, Some("Invalid SOP Instance UID")),
            (CT, "1.2.3", "1.2.3", Some("Unknown Transfer Syntax")),
        ] {
            assert_eq!(judged(class, uid, syntax).err(), wrong, "{class} {uid} {syntax}");
        }
    }
}
