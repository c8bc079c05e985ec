//! File and directory names for every naming option: the one place where a peer's text may become a
//! path.
//!
//! Source: DCMTK's names (3.6.7, as run); what is done differently: DIFFERENCES.md F1, F3.
//!
//! ```text
//! storescp            PFX.UID EXT                             +uf  PFX.X.NEWUID EXT
//!          -tn        YYYYMMDDhhmmssmmm[_NNNN].PFX EXT
//! dcmrecv  +fd        as storescp                             +fu  as +uf
//!          +fsu       PFX_ + 16 hex digits EXT                +fst YYYYMMDDhhmmss.ffffff.PFX EXT
//!          +ssd       data/YYYY/MM/DD/ by Series Date, else undef/YYYYMMDD/ by today
//! getscu   +B         UID
//! ```
//!
//! The folders of studies (`-ss`, `-su`, `-sp`) stand in `naming/folders.rs`.
//!
//! A legal UID (digits and dots) gives DCMTK's name. Any other text is encoded so that two texts
//! never share a name and none leaves its directory: letters, digits, `-` and `.` stay, every other
//! byte becomes `_` and two hex digits. Names that hold no UID are counted up until one is free
//! ([`FileNaming::may_meet_existing`]); publishing never replaces there, so a clock that was set
//! back costs nothing but a number.
//!
//! Pure: clock and chance come in as values. Called by `storage::writer`.

use core::fmt;

use core::fmt::Write;

use crate::dictionary::uids::storage_prefix;
use crate::limits::FILE_EXTENSION_BYTES_MAX;
use crate::uid::{Uid, UidText};

mod folders;

use folders::Folders;
pub use folders::{BadPrefix, FolderWarning, StudyParts};

/// How a file is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FileNaming {
    /// `PFX.UID EXT`: storescp's default and `-uf`, dcmrecv's `+fd`.
    #[default]
    SopInstanceUid,
    /// `UID`: getscu's `+B`.
    BareSopInstanceUid,
    /// `PFX.X.NEWUID EXT`: storescp's `+uf`, dcmrecv's `+fu`.
    UniqueUid,
    /// `YYYYMMDDhhmmssmmm[_NNNN].PFX EXT`: storescp's `-tn`.
    SystemTime,
    /// `PFX_` and 16 hex digits: dcmrecv's `+fsu`.
    ShortUnique,
    /// `YYYYMMDDhhmmss.ffffff.PFX EXT`: dcmrecv's `+fst`.
    SystemTimeMicroseconds,
}

impl FileNaming {
    /// True when a stored file of the same name is the same SOP Instance, so that the duplicate
    /// policy decides; false when another name must be found.
    pub const fn may_meet_existing(self) -> bool {
        matches!(self, Self::SopInstanceUid | Self::BareSopInstanceUid)
    }
}

/// In which directory below the output directory a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SubdirectoryNaming {
    /// The output directory itself.
    #[default]
    None,
    /// dcmrecv's `+ssd`.
    SeriesDate,
    /// By the time at which a study began: storescp's `-ss`.
    StudyTime,
    /// By the Study Instance UID: storescp's `-su`.
    StudyUid,
    /// By the patient's name and the time: storescp's `-sp`.
    PatientName,
}

impl SubdirectoryNaming {
    /// True when a study has a folder, which `storage::studies` chooses.
    pub const fn is_by_study(self) -> bool {
        matches!(self, Self::StudyTime | Self::StudyUid | Self::PatientName)
    }
}

/// A moment in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as what they are")]
pub struct LocalTime {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub microsecond: u32,
}

impl LocalTime {
    /// The start of Unix time; where no name is made of the time.
    pub const EPOCH: Self =
        Self { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, microsecond: 0 };
}

/// A path below the output directory, made of names that only this module makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AreaPath {
    /// `""`, or directory names joined by `/`.
    directory: String,
    /// One normal path component.
    name: String,
}

impl AreaPath {
    /// A file of the directory itself, under a name that somebody at this machine chose; `None` for
    /// what names no file.
    pub fn of_name(name: &str) -> Option<Self> {
        let is_plain = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
        is_plain.then(|| Self { directory: String::new(), name: name.to_owned() })
    }

    /// The directory below the output directory; empty for that itself.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A file that was stored under a name that this module made.
    pub fn of_stored(directory: &str, name: &str) -> Self {
        Self { directory: directory.to_owned(), name: name.to_owned() }
    }

    /// The name number `number` of a study that is complete, in the same directory (`-rns`): the
    /// first two letters of the modality, and six digits. The extension goes, so that a name has
    /// eight characters.
    #[must_use]
    pub fn renumbered(&self, modality: &str, number: u64) -> Self {
        let letters: String = modality.chars().take(2).collect();
        Self { directory: self.directory.clone(), name: format!("{letters}{number:06}") }
    }

    /// Directory and name, relative to the output directory.
    pub fn relative(&self) -> String {
        if self.directory.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.directory, self.name)
        }
    }
}

/// DCMTK's words for a name that is not the UID as it came.
impl fmt::Display for NameWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, encoded } = self;
        write!(
            formatter,
            "Sanitized unusual characters in SOP Instance UID, converted from \"{received:?}\" to \
             \"{encoded}\""
        )
    }
}

/// A UID that could not stand in a name as it was; the caller warns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameWarning {
    /// The UID as it came.
    pub received: UidText,
    /// The part of the name made of it.
    pub encoded: String,
}

/// What one name is made of.
#[derive(Clone, Copy, Debug)]
pub struct NameParts {
    /// Affected SOP Class UID of the command.
    pub sop_class: UidText,
    /// Affected SOP Instance UID of the command.
    pub sop_instance: UidText,
    /// When the command arrived.
    pub time: LocalTime,
}

/// The naming options of a receiver, checked.
#[derive(Clone, Debug)]
pub struct Naming {
    file: FileNaming,
    subdirectory: SubdirectoryNaming,
    extension: String,
    folders: Folders,
    /// Unix time at which the program started: the first half of `+fsu`'s digits.
    start_s: u32,
}

/// An extension that cannot end a file name (DIFFERENCES.md F2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadExtension;

impl Naming {
    /// Names with these options; `extension` is appended as it is, and refused when it holds a path
    /// separator, a control character, or more than `FILE_EXTENSION_BYTES_MAX` bytes.
    pub fn new(
        file: FileNaming,
        subdirectory: SubdirectoryNaming,
        extension: &str,
        start_s: u32,
    ) -> Result<Self, BadExtension> {
        let is_bad = extension.len() > FILE_EXTENSION_BYTES_MAX
            || extension.chars().any(|character| character == '/' || character.is_control());
        if is_bad {
            return Err(BadExtension);
        }
        let folders = Folders::none();
        Ok(Self { file, subdirectory, extension: extension.to_owned(), folders, start_s })
    }

    /// The same, with what the names of studies' folders begin with (`-ss`, `-su`).
    ///
    /// # Errors
    ///
    /// The prefix leads out of the output directory, or is too long.
    pub fn with_study_prefix(self, prefix: &str) -> Result<Self, BadPrefix> {
        Ok(Self { folders: Folders::new(self.subdirectory, prefix)?, ..self })
    }

    /// The folder of a study that begins at `time`, and what is odd about its name, but for the
    /// patient's; `serial` is 0, or counts those that were taken.
    pub fn study_folder(
        &self,
        parts: &StudyParts<'_>,
        time: LocalTime,
        serial: u32,
    ) -> (String, Option<FolderWarning>) {
        self.folders.name(parts, time, serial)
    }

    /// What is odd about the patient's name, where folders have it.
    pub fn patient_warning(&self, parts: &StudyParts<'_>) -> Option<FolderWarning> {
        self.folders.patient_warning(parts)
    }

    /// How files are named.
    pub const fn file_naming(&self) -> FileNaming {
        self.file
    }

    /// How directories are named.
    pub const fn subdirectory_naming(&self) -> SubdirectoryNaming {
        self.subdirectory
    }

    /// The name for attempt number `attempt` (0, 1, …): each later one is asked for when the one
    /// before was taken. `chance` is fresh randomness for the names that hold any.
    pub fn file_name(
        &self,
        parts: &NameParts,
        attempt: u32,
        chance: u128,
    ) -> (String, Option<NameWarning>) {
        let prefix = storage_prefix(parts.sop_class.as_bytes());
        let name_prefix = prefix.unwrap_or("UNKNOWN");
        let extension = &self.extension;
        let LocalTime { year, month, day, hour, minute, second, microsecond } = parts.time;
        let serial = match attempt {
            0 => String::new(),
            // DCMTK counts from _0000.
            later => format!("_{:04}", later - 1),
        };
        match self.file {
            FileNaming::SopInstanceUid => {
                let (uid, warning) = encode_uid(parts.sop_instance);
                (format!("{name_prefix}.{uid}{extension}"), warning)
            }
            FileNaming::BareSopInstanceUid => {
                let (uid, warning) = encode_uid(parts.sop_instance);
                // No encoded text has a `_` without two hex digits behind it.
                let hidden = if uid.starts_with('.') || uid.is_empty() { "_" } else { "" };
                (format!("{hidden}{uid}{extension}"), warning)
            }
            FileNaming::UniqueUid => {
                (format!("{name_prefix}.X.2.25.{}{extension}", uuid_version_4(chance)), None)
            }
            FileNaming::SystemTime => {
                let milliseconds = microsecond / 1000;
                let name = format!(
                    "{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{milliseconds:03}\
                     {serial}.{name_prefix}{extension}"
                );
                (name, None)
            }
            FileNaming::SystemTimeMicroseconds => {
                let name = format!(
                    "{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}.{microsecond:06}\
                     {serial}.{name_prefix}{extension}"
                );
                (name, None)
            }
            FileNaming::ShortUnique => {
                let short_prefix = prefix.unwrap_or("XX");
                let low = chance as u32;
                (format!("{short_prefix}_{:08x}{low:08x}{extension}", self.start_s), None)
            }
        }
    }

    /// The modality in a file name that this made; names by the time have it behind the first dot.
    pub fn modality_of<'n>(&self, name: &'n str) -> &'n str {
        let has_time =
            matches!(self.file, FileNaming::SystemTime | FileNaming::SystemTimeMicroseconds);
        match name.split_once('.') {
            Some((_, modality)) if has_time => modality,
            _ => name,
        }
    }

    /// The directory for an object with this Series Date, stored today.
    pub fn directory(&self, series_date: Option<&[u8]>, today: LocalTime) -> String {
        match self.subdirectory {
            SubdirectoryNaming::None
            | SubdirectoryNaming::StudyTime
            | SubdirectoryNaming::StudyUid
            | SubdirectoryNaming::PatientName => String::new(),
            SubdirectoryNaming::SeriesDate => match series_date.and_then(parse_date) {
                Some((year, month, day)) => format!("data/{year:04}/{month:02}/{day:02}"),
                None => format!("undef/{:04}{:02}{:02}", today.year, today.month, today.day),
            },
        }
    }

    /// Directory and name together.
    pub fn path(
        &self,
        parts: &NameParts,
        series_date: Option<&[u8]>,
        today: LocalTime,
        attempt: u32,
        chance: u128,
    ) -> (AreaPath, Option<NameWarning>) {
        self.path_in(self.directory(series_date, today), parts, attempt, chance)
    }

    /// A name in `directory`, which this module made.
    pub fn path_in(
        &self,
        directory: String,
        parts: &NameParts,
        attempt: u32,
        chance: u128,
    ) -> (AreaPath, Option<NameWarning>) {
        let (name, warning) = self.file_name(parts, attempt, chance);
        (AreaPath { directory, name }, warning)
    }
}

/// `uid` as part of a file name; with a warning when it is no legal UID.
fn encode_uid(uid: UidText) -> (String, Option<NameWarning>) {
    // Blanks around a UID are no part of it (DCMTK 3.6.7); the trailing ones are gone already.
    let bytes = uid.as_bytes();
    let first = bytes.iter().position(|byte| *byte != b' ').unwrap_or(bytes.len());
    let bytes = &bytes[first..];
    if let Some(legal) = Uid::new(bytes) {
        return (legal.as_str().to_owned(), None);
    }
    // A text of dots alone is encoded throughout: it is no legal UID, and `..` is nobody's name.
    let keeps_dots = bytes.iter().any(u8::is_ascii_alphanumeric);
    let mut encoded = String::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || byte == b'-' || (byte == b'.' && keeps_dots) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "_{byte:02X}");
        }
    }
    let warning = NameWarning { received: uid, encoded: encoded.clone() };
    (encoded, Some(warning))
}

/// `chance` as a random UUID, which PS3.5 §B.2 lets stand behind `2.25.` as a decimal number.
fn uuid_version_4(chance: u128) -> u128 {
    let without_marks = chance & !((0xF << 76) | (0x3 << 62));
    without_marks | (0x4 << 76) | (0x2 << 62)
}

/// Year, month and day of a DA value: `YYYYMMDD`, or `YYYY.MM.DD` as before 1993 (PS3.5 §6.2).
fn parse_date(value: &[u8]) -> Option<(u16, u8, u8)> {
    let value = value.trim_ascii();
    let mut digits = [0; 8];
    if value.len() == 10 && value[4] == b'.' && value[7] == b'.' {
        digits[..4].copy_from_slice(&value[..4]);
        digits[4..6].copy_from_slice(&value[5..7]);
        digits[6..].copy_from_slice(&value[8..]);
    } else {
        digits = value.try_into().ok()?;
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number =
        |range: &[u8]| range.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let (year, month, day) = (number(&digits[..4]), number(&digits[4..6]), number(&digits[6..]));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    (1..=days).contains(&day).then_some((year, month as u8, day as u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CT: &[u8] = b"1.2.840.10008.5.1.4.1.1.2";
    const NOON: LocalTime = LocalTime {
        year: 2026,
        month: 11,
        day: 21,
        hour: 9,
        minute: 3,
        second: 26,
        microsecond: 843_007,
    };

    fn name(file: FileNaming, class: &[u8], uid: &[u8], extension: &str, attempt: u32) -> String {
        let naming = Naming::new(file, SubdirectoryNaming::None, extension, 0x6b01_5ffb).unwrap();
        let parts = NameParts {
            sop_class: UidText::new(class).unwrap(),
            sop_instance: UidText::new(uid).unwrap(),
            time: NOON,
        };
        naming.file_name(&parts, attempt, 0x0dc4_c4ad).0
    }

    /// The names that DCMTK 3.6.7 was seen to write.
    #[test]
    fn names_of_dcmtk() {
        let ct = |file, extension, attempt| name(file, CT, b"1.2.3.1.1.1", extension, attempt);
        assert_eq!(ct(FileNaming::SopInstanceUid, "", 0), "CT.1.2.3.1.1.1");
        assert_eq!(ct(FileNaming::SopInstanceUid, ".dcm", 0), "CT.1.2.3.1.1.1.dcm");
        assert_eq!(ct(FileNaming::BareSopInstanceUid, "", 0), "1.2.3.1.1.1");
        // No UID, and not DCMTK's name (DIFFERENCES.md F1): it would lead out of the directory.
        assert_eq!(name(FileNaming::BareSopInstanceUid, CT, b"..", "", 0), "_2E_2E");
        assert_eq!(ct(FileNaming::SystemTime, "", 0), "20261121090326843.CT");
        assert_eq!(ct(FileNaming::SystemTime, "", 1), "20261121090326843_0000.CT");
        assert_eq!(ct(FileNaming::SystemTime, "", 2), "20261121090326843_0001.CT");
        assert_eq!(ct(FileNaming::ShortUnique, "", 0), "CT_6b015ffb0dc4c4ad");
        assert_eq!(
            ct(FileNaming::SystemTimeMicroseconds, ".dcm", 0),
            "20261121090326.843007.CT.dcm"
        );
        assert!(ct(FileNaming::UniqueUid, "", 0).starts_with("CT.X.2.25."));
    }

    /// DCMTK 3.6.7: a class that is not in the table.
    #[test]
    fn unknown_class() {
        assert_eq!(name(FileNaming::SopInstanceUid, b"1.2.3", b"1.2", "", 0), "UNKNOWN.1.2");
        assert_eq!(name(FileNaming::ShortUnique, b"1.2.3", b"1.2", "", 0), "XX_6b015ffb0dc4c4ad");
    }

    /// DIFFERENCES.md F1: what is no UID is encoded, and says so.
    #[test]
    fn hostile_uids() {
        let encoded = |uid: &[u8]| name(FileNaming::SopInstanceUid, CT, uid, "", 0);
        assert_eq!(encoded(b"abc"), "CT.abc");
        assert_eq!(encoded(b"  1.2.3 "), "CT.1.2.3");
        assert_eq!(encoded(b" 1.2. 3"), "CT.1.2._203");
        assert_eq!(encoded(b"../../etc/passwd"), "CT..._2F.._2Fetc_2Fpasswd");
        assert_eq!(encoded(b".."), "CT._2E_2E");
        assert_eq!(encoded(b"1.2;3"), "CT.1.2_3B3");
        assert_eq!(encoded(b"1.2_3B3"), "CT.1.2_5F3B3");
        let (_, warning) = encode_uid(UidText::new(b"1.2/3").unwrap());
        assert_eq!(warning.unwrap().encoded, "1.2_2F3");
        assert!(encode_uid(UidText::new(b"1.2.3").unwrap()).1.is_none());
    }

    /// DIFFERENCES.md F2: refused at start, not at the first object.
    #[test]
    fn extensions_with_a_path() {
        let with = |extension: &str| {
            Naming::new(FileNaming::SopInstanceUid, SubdirectoryNaming::None, extension, 0)
        };
        assert!(with(".dcm").is_ok());
        for bad in ["/../x", "a/b", "\0", "x\n", &"e".repeat(FILE_EXTENSION_BYTES_MAX + 1)] {
            assert_eq!(with(bad).unwrap_err(), BadExtension, "{bad:?}");
        }
    }

    /// DCMTK 3.6.7, `+ssd`.
    #[test]
    fn series_date_directories() {
        let naming =
            Naming::new(FileNaming::SopInstanceUid, SubdirectoryNaming::SeriesDate, "", 0).unwrap();
        let directory = |date: &[u8]| naming.directory(Some(date), NOON);
        assert_eq!(directory(b"20200103"), "data/2020/01/03");
        assert_eq!(directory(b"2020.01.05"), "data/2020/01/05");
        assert_eq!(directory(b"20200229"), "data/2020/02/29");
        for bad in [&b"20210229"[..], b"20201301", b"", b"2020", b"../../..", b"20200100"] {
            assert_eq!(directory(bad), "undef/20261121", "{}", bad.escape_ascii());
        }
        assert_eq!(naming.directory(None, NOON), "undef/20261121");
    }

    fn any_naming() -> impl Strategy<Value = FileNaming> {
        prop_oneof![
            Just(FileNaming::SopInstanceUid),
            Just(FileNaming::BareSopInstanceUid),
            Just(FileNaming::UniqueUid),
            Just(FileNaming::SystemTime),
            Just(FileNaming::ShortUnique),
            Just(FileNaming::SystemTimeMicroseconds),
        ]
    }

    proptest! {
        /// PROMISES.md §8.11: one normal component, never hidden, never too long.
        #[test]
        fn always_one_normal_component(
            file in any_naming(),
            class in proptest::collection::vec(any::<u8>(), 0..=64),
            uid in proptest::collection::vec(any::<u8>(), 0..=64),
            date in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            attempt in 0..20_000u32,
            chance in any::<u128>(),
        ) {
            let naming =
                Naming::new(file, SubdirectoryNaming::SeriesDate, ".dcm", u32::MAX).unwrap();
            let parts = NameParts {
                sop_class: UidText::new(&class).unwrap(),
                sop_instance: UidText::new(&uid).unwrap(),
                time: NOON,
            };
            let (path, _) = naming.path(&parts, date.as_deref(), NOON, attempt, chance);
            let is_normal = |part: &std::path::Component<'_>| {
                matches!(part, std::path::Component::Normal(_))
            };
            let name = std::path::Path::new(path.name());
            prop_assert_eq!(name.components().count(), 1);
            prop_assert!(name.components().all(|part| is_normal(&part)));
            prop_assert!(!path.name().starts_with('.'));
            prop_assert!(path.name().len() <= 255);
            prop_assert!(path.name().bytes().all(|byte| byte.is_ascii_graphic()));
            let directory = std::path::Path::new(path.directory());
            prop_assert!(directory.components().all(|part| is_normal(&part)));
        }

        /// DIFFERENCES.md F1: two UIDs never share a name.
        #[test]
        fn encoding_is_injective(
            one in "[0-9._;/aF-]{1,12}",
            other in "[0-9._;/aF-]{1,12}",
        ) {
            let (one, other) =
                (UidText::new(one.as_bytes()).unwrap(), UidText::new(other.as_bytes()).unwrap());
            prop_assert_eq!(one == other, encode_uid(one).0 == encode_uid(other).0);
        }
    }
}
