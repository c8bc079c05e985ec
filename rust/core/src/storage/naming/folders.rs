//! The folders that storescp sorts studies into: `-ss`, `-su`, `-sp`.
//!
//! Source: DCMTK's names (3.6.7, as run); what is done differently: DIFFERENCES.md F1, F3.
//!
//! ```text
//! -ss PREFIX   PREFIX_YYYYMMDD_hhmmssmmm   without prefix YYYYMMDD_hhmmssmmm
//! -su PREFIX   PREFIX_STUDYINSTANCEUID     without prefix STUDYINSTANCEUID
//! -sp          NAME_YYYYMMDD_hhmmssmmm     NAME: the patient's name in ASCII letters, or ANONYMOUS
//! ```
//!
//! The manual gives folders of a time no serial number. Where one is taken, the clock is asked again
//! a millisecond later, and only a clock that repeats itself leads to `_0000`, `_0001`, …, as in
//! file names. Pure: when a name is taken is the caller's business (`storage::studies`).

use core::fmt;

use super::{LocalTime, SubdirectoryNaming, encode_uid};
use crate::limits::{FOLDER_NAME_BYTES_MAX, STUDY_PREFIX_BYTES_MAX};
use crate::uid::UidText;

/// What stands for a patient without a name.
const ANONYMOUS: &str = "ANONYMOUS";
/// `_YYYYMMDD_hhmmssmmm_NNNNN`, the longest that follows a name.
const TIME_BYTES: usize = 25;

/// How studies are sorted, checked.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    naming: SubdirectoryNaming,
    /// Folders above, then what the name begins with.
    prefix: String,
}

/// A prefix that cannot begin a folder's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPrefix;

/// What one folder's name is made of.
#[derive(Clone, Copy, Debug)]
pub struct StudyParts<'a> {
    /// Study Instance UID, (0020,000D).
    pub study: UidText,
    /// Patient's Name, (0010,0010), as it came; its first value counts.
    pub patient_name: &'a [u8],
    /// Specific Character Set, (0008,0005), all its values.
    pub character_set: &'a [u8],
}

/// What the caller may want to say about a folder's name; holds nothing of the patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderWarning {
    /// The Study Instance UID is not legal, and the name not that UID.
    EncodedUid {
        /// As it came.
        received: UidText,
        /// The part of the name made of it.
        encoded: String,
    },
    /// The data set names no patient.
    Anonymous,
    /// Its character set is none of those that the mapping knows.
    NotLatin1 {
        /// Specific Character Set as it came.
        character_set: Box<[u8]>,
    },
}

/// DCMTK's words.
impl fmt::Display for FolderWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EncodedUid { received, encoded } => write!(
                formatter,
                "Sanitized unusual characters in Study Instance UID, converted from \
                 \"{received:?}\" to \"{encoded}\""
            ),
            Self::Anonymous => write!(
                formatter,
                "element PatientName (0010,0010) absent or empty in data set, using \
                 '{ANONYMOUS}' instead"
            ),
            Self::NotLatin1 { character_set } => write!(
                formatter,
                "Patient name not in Latin-1 (charset: {}), ASCII dir name may be broken",
                crate::log::escaped(character_set)
            ),
        }
    }
}

impl Folders {
    /// Where no study has a folder.
    pub(super) const fn none() -> Self {
        Self { naming: SubdirectoryNaming::None, prefix: String::new() }
    }

    /// Refuses a prefix that is too long, holds a NUL, or leads out of the output directory. Folders
    /// above the study's may be named in it, as with DCMTK.
    pub(super) fn new(naming: SubdirectoryNaming, prefix: &str) -> Result<Self, BadPrefix> {
        let is_bad_part = |part: &str| matches!(part, "" | "." | "..");
        let above = prefix.rsplit_once('/').map(|(above, _)| above);
        let is_bad = prefix.len() > STUDY_PREFIX_BYTES_MAX
            || prefix.contains('\0')
            || above.is_some_and(|above| above.split('/').any(is_bad_part));
        if is_bad { Err(BadPrefix) } else { Ok(Self { naming, prefix: prefix.to_owned() }) }
    }

    /// The folder of a study that begins at `time`; `serial` counts from 1 where it was taken.
    pub(super) fn name(
        &self,
        parts: &StudyParts<'_>,
        time: LocalTime,
        serial: u32,
    ) -> (String, Option<FolderWarning>) {
        let mut name = self.prefix.clone();
        if !(name.is_empty() || name.ends_with('/')) {
            name.push('_');
        }
        match self.naming {
            SubdirectoryNaming::StudyUid => {
                let (mut encoded, warning) = encode_uid(parts.study);
                if warning.is_some() && encoded.starts_with('.') {
                    // No folder is hidden, or looks like a part file.
                    encoded.replace_range(..1, "_2E");
                }
                name.push_str(&encoded);
                let warning = warning.map(|warning| FolderWarning::EncodedUid {
                    received: warning.received,
                    encoded,
                });
                return (name, warning);
            }
            SubdirectoryNaming::PatientName => {
                name = format!("{}_{}", ascii_name(parts).0, time_stamp(time, serial));
            }
            _ => name.push_str(&time_stamp(time, serial)),
        }
        (name, None)
    }

    /// What is odd about the patient's name, where folders have it.
    pub(super) fn patient_warning(&self, parts: &StudyParts<'_>) -> Option<FolderWarning> {
        (self.naming == SubdirectoryNaming::PatientName).then(|| ascii_name(parts).1)?
    }
}

fn time_stamp(time: LocalTime, serial: u32) -> String {
    let LocalTime { year, month, day, hour, minute, second, microsecond } = time;
    let milliseconds = microsecond / 1000;
    let stamp =
        format!("{year:04}{month:02}{day:02}_{hour:02}{minute:02}{second:02}{milliseconds:03}");
    match serial {
        0 => stamp,
        later => format!("{stamp}_{:04}", later - 1),
    }
}

/// The patient's name in letters, digits and `_`, cut where a folder's name would become too long.
fn ascii_name(parts: &StudyParts<'_>) -> (String, Option<FolderWarning>) {
    let all = parts.patient_name;
    let first = all.split(|byte| *byte == b'\\').next().unwrap_or_default();
    // DCMTK 3.6.7: NUL is no padding of a name, but one more sign that becomes `_`.
    let end = first.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
    let first = &first[..end];
    if first.is_empty() {
        return (ANONYMOUS.to_owned(), Some(FolderWarning::Anonymous));
    }
    let mut name = String::new();
    for byte in first {
        let mapped = ascii_of(*byte);
        if name.len() + mapped.len() > FOLDER_NAME_BYTES_MAX - TIME_BYTES {
            break;
        }
        name.push_str(mapped);
    }
    let character_set = parts.character_set.trim_ascii();
    let is_known = character_set.is_empty() || character_set == b"ISO_IR 100";
    let warning = (!is_known && !all.is_ascii())
        .then(|| FolderWarning::NotLatin1 { character_set: character_set.into() });
    (name, warning)
}

/// A byte of Latin-1 as DCMTK writes it in ASCII: letters lose their marks, German ones keep their
/// sound, and all that is no letter or digit becomes `_`.
fn ascii_of(byte: u8) -> &'static str {
    const PLAIN: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    match byte {
        b'0'..=b'9' => letter(PLAIN, byte - b'0'),
        b'A'..=b'Z' => letter(PLAIN, byte - b'A' + 10),
        b'a'..=b'z' => letter(PLAIN, byte - b'a' + 36),
        0xC4 => "Ae",
        0xD6 => "Oe",
        0xDC => "Ue",
        0xE4 => "ae",
        0xF6 => "oe",
        0xFC => "ue",
        0xDF => "ss",
        0xC0..=0xC6 => "A",
        0xC7 => "C",
        0xC8..=0xCB => "E",
        0xCC..=0xCF => "I",
        0xD0 => "D",
        0xD1 => "N",
        0xD2..=0xD5 | 0xD8 => "O",
        0xD9..=0xDB => "U",
        0xDD => "Y",
        0xE0..=0xE6 => "a",
        0xE7 => "c",
        0xE8..=0xEB => "e",
        0xEC..=0xEF => "i",
        0xF0 => "d",
        0xF1 => "n",
        0xF2..=0xF5 | 0xF8 => "o",
        0xF9..=0xFB => "u",
        0xFD | 0xFF => "y",
        _ => "_",
    }
}

fn letter(plain: &'static str, at: u8) -> &'static str {
    let at = usize::from(at);
    plain.get(at..=at).unwrap_or("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NINE: LocalTime = LocalTime {
        year: 2026,
        month: 11,
        day: 21,
        hour: 9,
        minute: 3,
        second: 28,
        microsecond: 109_999,
    };

    fn uid(text: &[u8]) -> UidText {
        UidText::new(text).unwrap()
    }

    fn parts<'a>(name: &'a [u8], character_set: &'a [u8]) -> StudyParts<'a> {
        StudyParts { study: uid(b"1.2.3.1"), patient_name: name, character_set }
    }

    fn folder(naming: SubdirectoryNaming, prefix: &str, parts: &StudyParts<'_>) -> String {
        Folders::new(naming, prefix).unwrap().name(parts, NINE, 0).0
    }

    /// The folders that DCMTK 3.6.7 was seen to make.
    #[test]
    fn folders_of_dcmtk() {
        use SubdirectoryNaming::{PatientName, StudyTime, StudyUid};
        let named = parts("M\u{fc}ller^J\u{f6}rg^^^".as_bytes(), b"");
        assert_eq!(folder(StudyTime, "ST", &named), "ST_20261121_090328109");
        assert_eq!(folder(StudyTime, "", &named), "20261121_090328109");
        assert_eq!(folder(StudyUid, "ST", &named), "ST_1.2.3.1");
        assert_eq!(folder(StudyUid, "", &named), "1.2.3.1");
        let latin = parts(b"M\xFCller^J\xF6rg^^^", b"ISO_IR 100");
        assert_eq!(folder(PatientName, "", &latin), "Mueller_Joerg____20261121_090328109");
        for (name, folded) in
            [(&b"  "[..], "ANONYMOUS"), (b" \0", "__"), (b"\0 ", "_"), (b"A^B\0", "A_B_")]
        {
            let made = folder(PatientName, "", &parts(name, b""));
            assert_eq!(made, format!("{folded}_20261121_090328109"));
        }
        assert_eq!(folder(StudyUid, "b_c+ d", &named), "b_c+ d_1.2.3.1");
        let hidden = StudyParts { study: uid(b"..part"), ..named };
        assert_eq!(folder(StudyUid, "", &hidden), "_2E.part");
        let folders = Folders::new(StudyTime, "ST").unwrap();
        assert_eq!(folders.name(&named, NINE, 1).0, "ST_20261121_090328109_0000");
    }

    /// DCMTK 3.6.7's table, byte by byte.
    #[test]
    fn ascii_of_latin_1() {
        let latin: String = (0xC0..=0xFFu8).map(ascii_of).collect::<Vec<_>>().join(" ");
        assert_eq!(
            latin,
            "A A A A Ae A A C E E E E I I I I D N O O O O Oe _ O U U U Ue Y _ ss \
             a a a a ae a a c e e e e i i i i d n o o o o oe _ o u u u ue y _ y"
        );
        for byte in (0..0xC0u8).filter(|byte| !byte.is_ascii_alphanumeric()) {
            assert_eq!(ascii_of(byte), "_", "{byte:02x}");
        }
        for byte in (0..0x80u8).filter(u8::is_ascii_alphanumeric) {
            assert_eq!(ascii_of(byte).as_bytes(), [byte]);
        }
    }

    /// A name beyond Latin-1 is told by its character set, and never by itself.
    #[test]
    fn warnings() {
        let warning = |name, set| ascii_name(&parts(name, set)).1;
        assert_eq!(warning(b"", b""), Some(FolderWarning::Anonymous));
        assert_eq!(warning(b"Doe^Jane", b"ISO_IR 192"), None);
        assert_eq!(warning(b"M\xFCller", b""), None);
        assert_eq!(warning(b"M\xFCller", b"ISO_IR 100"), None);
        let told = warning("Müller".as_bytes(), b"ISO_IR 192").unwrap().to_string();
        assert!(told.contains("(charset: ISO_IR 192)") && !told.contains("ller"), "{told}");
        let (_, told) = Folders::new(SubdirectoryNaming::StudyUid, "").unwrap().name(
            &StudyParts { study: uid(b"1.2/3"), ..parts(b"", b"") },
            NINE,
            0,
        );
        let told = told.unwrap().to_string();
        assert!(told.ends_with("from \"1.2/3\" to \"1.2_2F3\""), "{told:?}");
    }

    /// The user's own prefix may name folders, but leads nowhere else.
    #[test]
    fn prefixes() {
        let with = |prefix: &str| Folders::new(SubdirectoryNaming::StudyTime, prefix);
        for good in ["", "ST", "sub/ST", "sub/", "..ST", "a b", &"p".repeat(STUDY_PREFIX_BYTES_MAX)]
        {
            assert!(with(good).is_ok(), "{good}");
        }
        let long = "p".repeat(STUDY_PREFIX_BYTES_MAX + 1);
        for bad in ["../ST", "/ST", "a//b", "a/./b", "a/../b", "\0", &long] {
            assert_eq!(with(bad).unwrap_err(), BadPrefix, "{bad}");
        }
    }

    proptest! {
        /// PROMISES.md §8.11: whatever a peer sends is one normal component that fits a name.
        #[test]
        fn always_one_normal_component(
            study in proptest::collection::vec(any::<u8>(), 1..=64),
            name in proptest::collection::vec(any::<u8>(), 0..=1024),
            set in proptest::collection::vec(any::<u8>(), 0..=40),
            serial in 0..20_000u32,
        ) {
            let study = uid(&study);
            prop_assume!(!study.is_empty());
            let parts = StudyParts { study, patient_name: &name, character_set: &set };
            for naming in [
                SubdirectoryNaming::StudyTime,
                SubdirectoryNaming::StudyUid,
                SubdirectoryNaming::PatientName,
            ] {
                let (folder, _) =
                    Folders::new(naming, "ST").unwrap().name(&parts, NINE, serial);
                prop_assert!(folder.len() <= FOLDER_NAME_BYTES_MAX);
                prop_assert!(!folder.starts_with('.') && !folder.contains('/'));
                prop_assert!(folder.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
