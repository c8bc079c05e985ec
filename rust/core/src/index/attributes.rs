//! The indexed attributes: one table that the scanner, the index and the query rules share.
//!
//! Source: PS3.4 Tables C.6-1 to C.6-5 (keys of the Query/Retrieve models), the attributes that
//! people query beside them (PS3.4 §C.2.2.1.3 lets an SCP support any), and DCMTK's dcmqrscp with
//! its classes of keys. Levels are those of the *index*: an attribute of level Patient or Study
//! belongs to every instance of its patient or study, and one that differs there is a variant
//! (FORMAT.md).
//!
//! A value longer than its bound is cut there, a sequence that is longer is left out: it is then
//! found by nothing but universal matching, and the file still has it.

use crate::dataset::attributes::AttributesRef;
use crate::dataset::index_keys::WantedValue;
use crate::limits::INDEXED_VALUE_BYTES_MAX;
use crate::tag::{SOP_INSTANCE_UID, Tag};
use crate::vr::{Vr, trimmed};

/// What an attribute belongs to, from the top of the hierarchy down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The patient.
    Patient,
    /// The study.
    Study,
    /// The series.
    Series,
    /// The composite instance; IMAGE in an identifier.
    Image,
}

/// The class of a key in DCMTK's dcmqrscp, which ignores every attribute that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyClass {
    /// Unique key of its level.
    Unique,
    /// Required key.
    Required,
    /// Optional key.
    Optional,
}

/// How the secondary key of an attribute is made of its value (FORMAT.md, "Secondary keys").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondaryKey {
    /// None: the attribute is matched from the record.
    None,
    /// Text without regard to case.
    Text,
    /// A person name: text, and each of its component groups.
    Name,
    /// A date, as YYYYMMDD.
    Date,
    /// A time, as HHMMSSFFFFFF.
    Time,
    /// A UID; exact.
    Uid,
}

/// One indexed attribute.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Its tag.
    pub tag: Tag,
    /// Its value representation in PS3.6.
    pub vr: Vr,
    /// Its keyword in PS3.6.
    pub keyword: &'static str,
    /// What it belongs to.
    pub level: Level,
    /// Its class in DCMTK's dcmqrscp.
    pub dcmtk: Option<KeyClass>,
    /// Its secondary key.
    pub key: SecondaryKey,
    /// Longest value kept, in bytes.
    pub bytes_max: u16,
}

/// What a query may ask for although no instance carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Computed {
    /// Studies of the patient.
    PatientStudies,
    /// Series of the patient.
    PatientSeries,
    /// Instances of the patient.
    PatientInstances,
    /// Series of the study.
    StudySeries,
    /// Instances of the study.
    StudyInstances,
    /// Instances of the series.
    SeriesInstances,
    /// The different modalities of the study's series.
    ModalitiesInStudy,
    /// The different SOP classes of the study's instances.
    SopClassesInStudy,
    /// ONLINE, as everything listed is on disk.
    InstanceAvailability,
    /// The title that the query was sent to.
    RetrieveAeTitle,
    /// The transfer syntax that the instance is stored with.
    AvailableTransferSyntax,
}

/// One computed attribute.
#[derive(Clone, Copy, Debug)]
pub struct ComputedAttribute {
    /// Its tag.
    pub tag: Tag,
    /// Its value representation in PS3.6.
    pub vr: Vr,
    /// Its keyword in PS3.6.
    pub keyword: &'static str,
    /// The lowest level of a query that may ask for it; `None` for every level.
    pub level: Option<Level>,
    /// What it is.
    pub kind: Computed,
}

/// Tags that the index itself looks at.
pub mod tags {
    use crate::tag::Tag;

    /// Specific Character Set.
    pub const SPECIFIC_CHARACTER_SET: Tag = Tag::new(0x0008, 0x0005);
    /// Modality.
    pub const MODALITY: Tag = Tag::new(0x0008, 0x0060);
    /// Patient's Name.
    pub const PATIENT_NAME: Tag = Tag::new(0x0010, 0x0010);
    /// Patient ID.
    pub const PATIENT_ID: Tag = Tag::new(0x0010, 0x0020);
    /// Study Instance UID.
    pub const STUDY_INSTANCE_UID: Tag = Tag::new(0x0020, 0x000D);
    /// Series Instance UID.
    pub const SERIES_INSTANCE_UID: Tag = Tag::new(0x0020, 0x000E);
}

/// The indexed attribute `tag`.
pub fn find(tag: Tag) -> Option<&'static Attribute> {
    let at = ATTRIBUTES.binary_search_by_key(&tag, |attribute| attribute.tag).ok()?;
    ATTRIBUTES.get(at)
}

/// The unique key of a level.
pub const fn unique_key(level: Level) -> Tag {
    match level {
        Level::Patient => tags::PATIENT_ID,
        Level::Study => tags::STUDY_INSTANCE_UID,
        Level::Series => tags::SERIES_INSTANCE_UID,
        Level::Image => SOP_INSTANCE_UID,
    }
}

/// What an instance with these attributes is listed by at `level`: the unique key as it is kept,
/// without padding. Whoever looks for its patient, study or series, or counts what they take, must
/// ask here, or finds another one.
pub fn unique_value(level: Level, attributes: AttributesRef<'_>) -> &[u8] {
    let tag = unique_key(level);
    let value = attributes.value(tag);
    let bytes_max = find(tag).map_or(0, |row| usize::from(row.bytes_max));
    trimmed(value.get(..bytes_max).unwrap_or(value))
}

/// The indexed or computed attribute named `keyword`.
pub fn tag_of(keyword: &str) -> Option<Tag> {
    let stored = ATTRIBUTES.iter().map(|row| (row.keyword, row.tag));
    let computed = COMPUTED.iter().map(|row| (row.keyword, row.tag));
    stored.chain(computed).find(|(name, _)| *name == keyword).map(|(_, tag)| tag)
}

/// The computed attribute `tag`.
pub fn find_computed(tag: Tag) -> Option<&'static ComputedAttribute> {
    COMPUTED.iter().find(|attribute| attribute.tag == tag)
}

/// Longest value of a VR that is kept; what is longer is cut there. Texts are often longer than PS3.5
/// §6.2 allows, multi-valued ones add up, and each is found again by all that was kept. What is no text
/// has a length of its own, and a UID is none beyond its 64 bytes. Numbers and UIDs that may be many
/// ([`many`]) are kept as texts are.
const fn bytes_max(vr: [u8; 2]) -> u16 {
    match &vr {
        b"AS" | b"US" | b"UL" => 16,
        b"DA" | b"TM" | b"DT" | b"IS" | b"UI" => 64,
        b"DS" => 128,
        _ => INDEXED_VALUE_BYTES_MAX as u16,
    }
}

const fn row(
    (group, element): (u16, u16),
    vr: [u8; 2],
    keyword: &'static str,
    level: Level,
    dcmtk: Option<KeyClass>,
    key: SecondaryKey,
) -> Attribute {
    let tag = Tag::new(group, element);
    Attribute { tag, vr: Vr(vr), keyword, level, dcmtk, key, bytes_max: bytes_max(vr) }
}

/// An attribute of VM 1-n whose single value is short.
const fn many(one: Attribute) -> Attribute {
    Attribute { bytes_max: INDEXED_VALUE_BYTES_MAX as u16, ..one }
}

const U: Option<KeyClass> = Some(KeyClass::Unique);
const R: Option<KeyClass> = Some(KeyClass::Required);
const O: Option<KeyClass> = Some(KeyClass::Optional);
/// Not a key of DCMTK's.
const X: Option<KeyClass> = None;

use Level::{Image, Patient, Series, Study};
use SecondaryKey::{Date, Name, None as No, Text, Time, Uid};

/// Every indexed attribute, in ascending order of tags.
#[rustfmt::skip]
pub static ATTRIBUTES: [Attribute; ATTRIBUTE_COUNT] = [
    row((0x0008, 0x0005), *b"CS", "SpecificCharacterSet", Image, X, No),
    row((0x0008, 0x0008), *b"CS", "ImageType", Image, X, No),
    row((0x0008, 0x0012), *b"DA", "InstanceCreationDate", Image, X, No),
    row((0x0008, 0x0013), *b"TM", "InstanceCreationTime", Image, X, No),
    row((0x0008, 0x0016), *b"UI", "SOPClassUID", Image, X, No),
    row((0x0008, 0x0018), *b"UI", "SOPInstanceUID", Image, U, Uid),
    many(row((0x0008, 0x001A), *b"UI", "RelatedGeneralSOPClassUID", Image, X, No)),
    row((0x0008, 0x0020), *b"DA", "StudyDate", Study, R, Date),
    row((0x0008, 0x0021), *b"DA", "SeriesDate", Series, X, Date),
    row((0x0008, 0x0022), *b"DA", "AcquisitionDate", Image, X, No),
    row((0x0008, 0x0023), *b"DA", "ContentDate", Image, X, No),
    row((0x0008, 0x002A), *b"DT", "AcquisitionDateTime", Image, X, No),
    row((0x0008, 0x0030), *b"TM", "StudyTime", Study, R, Time),
    row((0x0008, 0x0031), *b"TM", "SeriesTime", Series, X, Time),
    row((0x0008, 0x0032), *b"TM", "AcquisitionTime", Image, X, No),
    row((0x0008, 0x0033), *b"TM", "ContentTime", Image, X, No),
    row((0x0008, 0x0050), *b"SH", "AccessionNumber", Study, R, Text),
    row((0x0008, 0x0051), *b"SQ", "IssuerOfAccessionNumberSequence", Study, X, No),
    row((0x0008, 0x0060), *b"CS", "Modality", Series, O, Text),
    row((0x0008, 0x0070), *b"LO", "Manufacturer", Series, X, No),
    row((0x0008, 0x0080), *b"LO", "InstitutionName", Series, X, Text),
    row((0x0008, 0x0081), *b"ST", "InstitutionAddress", Series, X, No),
    row((0x0008, 0x0090), *b"PN", "ReferringPhysicianName", Study, O, Name),
    row((0x0008, 0x0096), *b"SQ", "ReferringPhysicianIdentificationSequence", Study, X, No),
    row((0x0008, 0x009C), *b"PN", "ConsultingPhysicianName", Study, X, No),
    row((0x0008, 0x0201), *b"SH", "TimezoneOffsetFromUTC", Image, X, No),
    row((0x0008, 0x1010), *b"SH", "StationName", Series, X, No),
    row((0x0008, 0x1030), *b"LO", "StudyDescription", Study, O, Text),
    row((0x0008, 0x1032), *b"SQ", "ProcedureCodeSequence", Study, X, No),
    row((0x0008, 0x103E), *b"LO", "SeriesDescription", Series, X, Text),
    row((0x0008, 0x103F), *b"SQ", "SeriesDescriptionCodeSequence", Series, X, No),
    row((0x0008, 0x1040), *b"LO", "InstitutionalDepartmentName", Series, X, No),
    row((0x0008, 0x1048), *b"PN", "PhysiciansOfRecord", Study, X, No),
    row((0x0008, 0x1050), *b"PN", "PerformingPhysicianName", Series, X, No),
    row((0x0008, 0x1060), *b"PN", "NameOfPhysiciansReadingStudy", Study, O, No),
    row((0x0008, 0x1070), *b"PN", "OperatorsName", Series, X, No),
    row((0x0008, 0x1080), *b"LO", "AdmittingDiagnosesDescription", Study, O, No),
    row((0x0008, 0x1084), *b"SQ", "AdmittingDiagnosesCodeSequence", Study, X, No),
    row((0x0008, 0x1090), *b"LO", "ManufacturerModelName", Series, X, No),
    row((0x0008, 0x1110), *b"SQ", "ReferencedStudySequence", Study, X, No),
    row((0x0008, 0x1111), *b"SQ", "ReferencedPerformedProcedureStepSequence", Series, X, No),
    row((0x0008, 0x1120), *b"SQ", "ReferencedPatientSequence", Patient, X, No),
    row((0x0010, 0x0010), *b"PN", "PatientName", Patient, R, Name),
    row((0x0010, 0x0020), *b"LO", "PatientID", Patient, U, Text),
    row((0x0010, 0x0021), *b"LO", "IssuerOfPatientID", Patient, O, No),
    row((0x0010, 0x0022), *b"CS", "TypeOfPatientID", Patient, X, No),
    row((0x0010, 0x0024), *b"SQ", "IssuerOfPatientIDQualifiersSequence", Patient, X, No),
    row((0x0010, 0x0030), *b"DA", "PatientBirthDate", Patient, O, Date),
    row((0x0010, 0x0032), *b"TM", "PatientBirthTime", Patient, O, No),
    row((0x0010, 0x0040), *b"CS", "PatientSex", Patient, O, No),
    row((0x0010, 0x1000), *b"LO", "OtherPatientIDs", Patient, O, No),
    row((0x0010, 0x1001), *b"PN", "OtherPatientNames", Patient, O, No),
    row((0x0010, 0x1002), *b"SQ", "OtherPatientIDsSequence", Patient, X, No),
    row((0x0010, 0x1010), *b"AS", "PatientAge", Study, O, No),
    row((0x0010, 0x1020), *b"DS", "PatientSize", Study, O, No),
    row((0x0010, 0x1030), *b"DS", "PatientWeight", Study, O, No),
    row((0x0010, 0x2000), *b"LO", "MedicalAlerts", Study, X, No),
    row((0x0010, 0x2110), *b"LO", "Allergies", Study, X, No),
    row((0x0010, 0x2160), *b"SH", "EthnicGroup", Patient, O, No),
    row((0x0010, 0x2180), *b"SH", "Occupation", Study, O, No),
    row((0x0010, 0x21B0), *b"LT", "AdditionalPatientHistory", Study, X, No),
    row((0x0010, 0x21C0), *b"US", "PregnancyStatus", Study, X, No),
    row((0x0010, 0x2201), *b"LO", "PatientSpeciesDescription", Patient, X, No),
    row((0x0010, 0x2202), *b"SQ", "PatientSpeciesCodeSequence", Patient, X, No),
    row((0x0010, 0x2203), *b"CS", "PatientSexNeutered", Study, X, No),
    row((0x0010, 0x2292), *b"LO", "PatientBreedDescription", Patient, X, No),
    row((0x0010, 0x2297), *b"PN", "ResponsiblePerson", Patient, X, No),
    row((0x0010, 0x2299), *b"LO", "ResponsibleOrganization", Patient, X, No),
    row((0x0010, 0x4000), *b"LT", "PatientComments", Patient, X, No),
    row((0x0012, 0x0062), *b"CS", "PatientIdentityRemoved", Patient, X, No),
    row((0x0018, 0x0015), *b"CS", "BodyPartExamined", Series, X, Text),
    row((0x0018, 0x1000), *b"LO", "DeviceSerialNumber", Series, X, No),
    row((0x0018, 0x1020), *b"LO", "SoftwareVersions", Series, X, No),
    row((0x0018, 0x1030), *b"LO", "ProtocolName", Series, X, No),
    row((0x0018, 0x5100), *b"CS", "PatientPosition", Series, X, No),
    row((0x0020, 0x000D), *b"UI", "StudyInstanceUID", Study, U, Uid),
    row((0x0020, 0x000E), *b"UI", "SeriesInstanceUID", Series, U, Uid),
    row((0x0020, 0x0010), *b"SH", "StudyID", Study, R, Text),
    row((0x0020, 0x0011), *b"IS", "SeriesNumber", Series, R, No),
    row((0x0020, 0x0012), *b"IS", "AcquisitionNumber", Image, X, No),
    row((0x0020, 0x0013), *b"IS", "InstanceNumber", Image, R, No),
    row((0x0020, 0x0052), *b"UI", "FrameOfReferenceUID", Series, X, No),
    row((0x0020, 0x0060), *b"CS", "Laterality", Series, X, No),
    many(row((0x0020, 0x1070), *b"IS", "OtherStudyNumbers", Study, O, No)),
    row((0x0020, 0x4000), *b"LT", "ImageComments", Image, X, No),
    row((0x0028, 0x0004), *b"CS", "PhotometricInterpretation", Image, X, No),
    row((0x0028, 0x0008), *b"IS", "NumberOfFrames", Image, X, No),
    row((0x0028, 0x0010), *b"US", "Rows", Image, X, No),
    row((0x0028, 0x0011), *b"US", "Columns", Image, X, No),
    row((0x0028, 0x0100), *b"US", "BitsAllocated", Image, X, No),
    row((0x0032, 0x1032), *b"PN", "RequestingPhysician", Study, X, No),
    row((0x0032, 0x1033), *b"LO", "RequestingService", Study, X, No),
    row((0x0032, 0x1060), *b"LO", "RequestedProcedureDescription", Study, X, No),
    row((0x0032, 0x1064), *b"SQ", "RequestedProcedureCodeSequence", Study, X, No),
    row((0x0032, 0x4000), *b"LT", "StudyComments", Study, X, No),
    row((0x0038, 0x0010), *b"LO", "AdmissionID", Study, X, No),
    row((0x0038, 0x0060), *b"LO", "ServiceEpisodeID", Study, X, No),
    row((0x0038, 0x0062), *b"LO", "ServiceEpisodeDescription", Study, X, No),
    row((0x0040, 0x0244), *b"DA", "PerformedProcedureStepStartDate", Series, X, Date),
    row((0x0040, 0x0245), *b"TM", "PerformedProcedureStepStartTime", Series, X, Time),
    row((0x0040, 0x0250), *b"DA", "PerformedProcedureStepEndDate", Series, X, No),
    row((0x0040, 0x0251), *b"TM", "PerformedProcedureStepEndTime", Series, X, No),
    row((0x0040, 0x0253), *b"SH", "PerformedProcedureStepID", Series, X, No),
    row((0x0040, 0x0254), *b"LO", "PerformedProcedureStepDescription", Series, X, No),
    row((0x0040, 0x0260), *b"SQ", "PerformedProtocolCodeSequence", Series, X, No),
    row((0x0040, 0x0275), *b"SQ", "RequestAttributesSequence", Series, X, No),
    row((0x0040, 0x0280), *b"ST", "CommentsOnThePerformedProcedureStep", Series, X, No),
    row((0x0040, 0x0512), *b"LO", "ContainerIdentifier", Image, X, No),
    row((0x0040, 0x0560), *b"SQ", "SpecimenDescriptionSequence", Image, X, No),
    row((0x0040, 0x1002), *b"LO", "ReasonForTheRequestedProcedure", Study, X, No),
    row((0x0040, 0x1012), *b"SQ", "ReasonForPerformedProcedureCodeSequence", Study, X, No),
    row((0x0040, 0xA032), *b"DT", "ObservationDateTime", Image, X, No),
    row((0x0040, 0xA043), *b"SQ", "ConceptNameCodeSequence", Image, X, No),
    row((0x0040, 0xA491), *b"CS", "CompletionFlag", Image, X, No),
    row((0x0040, 0xA493), *b"CS", "VerificationFlag", Image, X, No),
    row((0x0040, 0xA504), *b"SQ", "ContentTemplateSequence", Image, X, No),
    row((0x0042, 0x0010), *b"ST", "DocumentTitle", Image, X, No),
    row((0x0042, 0x0012), *b"LO", "MIMETypeOfEncapsulatedDocument", Image, X, No),
    row((0x0070, 0x0080), *b"CS", "ContentLabel", Image, X, No),
    row((0x0070, 0x0081), *b"LO", "ContentDescription", Image, X, No),
    row((0x0070, 0x0082), *b"DA", "PresentationCreationDate", Image, X, No),
    row((0x0070, 0x0083), *b"TM", "PresentationCreationTime", Image, X, No),
    row((0x0070, 0x0084), *b"PN", "ContentCreatorName", Image, X, No),
];

const ATTRIBUTE_COUNT: usize = 123;

const fn computed(
    (group, element): (u16, u16),
    vr: [u8; 2],
    keyword: &'static str,
    level: Option<Level>,
    kind: Computed,
) -> ComputedAttribute {
    ComputedAttribute { tag: Tag::new(group, element), vr: Vr(vr), keyword, level, kind }
}

/// Every computed attribute (PS3.4 Tables C.6-1 to C.6-3, §C.4.1.1.3.2, PS3.3 §C.3).
#[rustfmt::skip]
pub static COMPUTED: [ComputedAttribute; 11] = [
    computed((0x0008, 0x0054), *b"AE", "RetrieveAETitle", None, Computed::RetrieveAeTitle),
    computed((0x0008, 0x0056), *b"CS", "InstanceAvailability", None, Computed::InstanceAvailability),
    computed((0x0008, 0x0061), *b"CS", "ModalitiesInStudy", Some(Study), Computed::ModalitiesInStudy),
    computed((0x0008, 0x0062), *b"UI", "SOPClassesInStudy", Some(Study), Computed::SopClassesInStudy),
    computed((0x0008, 0x3002), *b"UI", "AvailableTransferSyntaxUID", Some(Image), Computed::AvailableTransferSyntax),
    computed((0x0020, 0x1200), *b"IS", "NumberOfPatientRelatedStudies", Some(Patient), Computed::PatientStudies),
    computed((0x0020, 0x1202), *b"IS", "NumberOfPatientRelatedSeries", Some(Patient), Computed::PatientSeries),
    computed((0x0020, 0x1204), *b"IS", "NumberOfPatientRelatedInstances", Some(Patient), Computed::PatientInstances),
    computed((0x0020, 0x1206), *b"IS", "NumberOfStudyRelatedSeries", Some(Study), Computed::StudySeries),
    computed((0x0020, 0x1208), *b"IS", "NumberOfStudyRelatedInstances", Some(Study), Computed::StudyInstances),
    computed((0x0020, 0x1209), *b"IS", "NumberOfSeriesRelatedInstances", Some(Series), Computed::SeriesInstances),
];

/// What the scanner collects: the same table, as `dataset` sees it.
pub static WANTED: [WantedValue; ATTRIBUTE_COUNT] = {
    let mut wanted = [WantedValue { tag: Tag(0), vr: Vr::NONE, bytes_max: 0 }; ATTRIBUTE_COUNT];
    let mut at = 0;
    while at < ATTRIBUTE_COUNT {
        let Attribute { tag, vr, bytes_max, .. } = ATTRIBUTES[at];
        wanted[at] = WantedValue { tag, vr, bytes_max };
        at += 1;
    }
    wanted
};

const _: () = {
    let mut at = 1;
    while at < ATTRIBUTE_COUNT {
        assert!(ATTRIBUTES[at - 1].tag.0 < ATTRIBUTES[at].tag.0, "the table is in order");
        at += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    /// dcmqrscp has one unique key per level, and the levels are those of PS3.4.
    #[test]
    fn unique_keys() {
        for (level, keyword) in [
            (Patient, "PatientID"),
            (Study, "StudyInstanceUID"),
            (Series, "SeriesInstanceUID"),
            (Image, "SOPInstanceUID"),
        ] {
            let unique: Vec<_> = ATTRIBUTES
                .iter()
                .filter(|row| row.level == level && row.dcmtk == U)
                .map(|row| row.keyword)
                .collect();
            assert_eq!(unique, [keyword]);
        }
    }

    /// Each tag is found by its number and its name, and no computed one is stored as well.
    #[test]
    fn lookups() {
        for row in &ATTRIBUTES {
            assert_eq!(find(row.tag).unwrap().keyword, row.keyword);
            assert_eq!(tag_of(row.keyword), Some(row.tag));
            assert!(find_computed(row.tag).is_none());
        }
        for row in &COMPUTED {
            assert!(find(row.tag).is_none());
            assert_eq!(tag_of(row.keyword), Some(row.tag));
        }
        assert!(find(Tag::new(0x7FE0, 0x0010)).is_none());
    }
}
