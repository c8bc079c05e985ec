//! Identities that `storescu` invents: a new instance for each object, and so many of them in a series,
//! of these in a study, of those for a patient.
//!
//! Source: DCMTK 3.6.7's `storescu +II +IR +IS +IP`, as run: what counts up when, and what the names
//! are made of. UIDs are our own (PS3.5 §B.2). Called by `sending::Worker`.

use std::fmt;

use crate::dataset::substitute::Substitution;
use crate::storage::backend::{NameSource, SystemNameSource};
use crate::tag::{PATIENT_NAME, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, Tag};
use crate::uid::UidText;

const PATIENT_ID: Tag = Tag::new(0x0010, 0x0020);
const SERIES_INSTANCE_UID: Tag = Tag::new(0x0020, 0x000E);
const STUDY_ID: Tag = Tag::new(0x0020, 0x0010);
const SERIES_NUMBER: Tag = Tag::new(0x0020, 0x0011);
const INSTANCE_NUMBER: Tag = Tag::new(0x0020, 0x0013);

/// How many of each before there is a new one above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Instances of a series.
    pub instances: u64,
    /// Series of a study.
    pub series: u64,
    /// Studies of a patient.
    pub studies: u64,
}

/// What an object is to say of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Patient, study, series and image, counted.
    pub numbers: [u64; 4],
    /// Patient's name, patient ID, Study Instance UID, Study ID, Series Instance UID, Series Number,
    /// SOP Instance UID, Instance Number.
    values: [String; 8],
}

const TAGS: [(Tag, &str); 8] = [
    (PATIENT_NAME, "PatientName"),
    (PATIENT_ID, "PatientID"),
    (STUDY_INSTANCE_UID, "StudyInstanceUID"),
    (STUDY_ID, "StudyID"),
    (SERIES_INSTANCE_UID, "SeriesInstanceUID"),
    (SERIES_NUMBER, "SeriesNumber"),
    (SOP_INSTANCE_UID, "SOPInstanceUID"),
    (INSTANCE_NUMBER, "ImageNumber"),
];

impl Identity {
    /// The new values, padded (PS3.5 §6.2).
    pub fn substitutions(&self) -> Vec<Substitution> {
        TAGS.iter().zip(&self.values).map(|((tag, _), value)| (*tag, padded(*tag, value))).collect()
    }

    /// The SOP Instance UID.
    pub fn instance(&self) -> Option<UidText> {
        UidText::new(self.values[6].as_bytes())
    }

    /// The elements that `found` lacks, with their names.
    pub fn missing(found: &[Tag]) -> impl Iterator<Item = (Tag, &'static str)> + '_ {
        TAGS.iter().copied().filter(|(tag, _)| !found.contains(tag))
    }
}

fn padded(tag: Tag, value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        let is_uid = [STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID].contains(&tag);
        bytes.push(if is_uid { 0 } else { b' ' });
    }
    bytes
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [patient, study, series, image] = self.numbers;
        write!(
            formatter,
            "Inventing Identifying Information (pa{patient}, st{study}, se{series}, im{image}):"
        )?;
        for ((_, name), value) in TAGS.iter().zip(&self.values) {
            write!(formatter, "\n  {name}={value}")?;
        }
        Ok(())
    }
}

/// Gives identities.
pub struct Inventor {
    counts: Counts,
    source: Box<dyn NameSource>,
    /// Patient, study, series and image.
    numbers: [u64; 4],
    patient: (String, String),
    study: (String, String),
    series: (String, String),
}

impl Inventor {
    /// An inventor that has given none.
    pub fn new(counts: Counts) -> Self {
        Self::with_source(counts, Box::new(SystemNameSource))
    }

    fn with_source(counts: Counts, source: Box<dyn NameSource>) -> Self {
        let empty = || (String::new(), String::new());
        let mut inventor = Self {
            counts,
            source,
            numbers: [0; 4],
            patient: empty(),
            study: empty(),
            series: empty(),
        };
        inventor.new_patient();
        inventor.new_study();
        inventor.new_series();
        inventor
    }

    fn uid(&self) -> String {
        format!("2.25.{}", self.source.chance())
    }

    fn new_patient(&mut self) {
        let tail = format!("{}{}", self.source.unix_time_s(), self.numbers[0]);
        self.patient = (format!("OFFIS^TEST_PN_{tail}"), format!("PID_{tail}"));
    }

    fn new_study(&mut self) {
        let tail = format!("{}{}", self.source.unix_time_s(), self.numbers[1]);
        self.study = (self.uid(), format!("SID_{tail}"));
    }

    fn new_series(&mut self) {
        self.series = (self.uid(), self.numbers[2].to_string());
    }

    /// The next one.
    pub fn invent(&mut self) -> Identity {
        if self.numbers[3] >= self.counts.instances {
            self.numbers[3] = 0;
            self.numbers[2] += 1;
            self.new_series();
        }
        if self.numbers[2] >= self.counts.series {
            self.numbers[2] = 0;
            self.numbers[1] += 1;
            self.new_study();
        }
        if self.numbers[1] >= self.counts.studies {
            self.numbers[1] = 0;
            self.numbers[0] += 1;
            self.new_patient();
        }
        let identity = Identity {
            numbers: self.numbers,
            values: [
                self.patient.0.clone(),
                self.patient.1.clone(),
                self.study.0.clone(),
                self.study.1.clone(),
                self.series.0.clone(),
                self.series.1.clone(),
                self.uid(),
                self.numbers[3].to_string(),
            ],
        };
        self.numbers[3] += 1;
        identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DCMTK 3.6.7: `+IR 2 +IS 2 +IP 2` (it was run).
    #[test]
    fn what_counts_up() {
        let counts = Counts { instances: 2, series: 2, studies: 2 };
        let mut inventor = Inventor::new(counts);
        let numbers: Vec<_> = (0..9).map(|_| inventor.invent().numbers).collect();
        let expected = [
            [0, 0, 0, 0],
            [0, 0, 0, 1],
            [0, 0, 1, 0],
            [0, 0, 1, 1],
            [0, 1, 0, 0],
            [0, 1, 0, 1],
            [0, 1, 1, 0],
            [0, 1, 1, 1],
            [1, 0, 0, 0],
        ];
        assert_eq!(numbers, expected);
    }

    /// A UID for each object, one for all of a series and a study.
    #[test]
    fn uids() {
        let mut inventor = Inventor::new(Counts { instances: 2, series: 1, studies: 9 });
        let [one, two, three] = [inventor.invent(), inventor.invent(), inventor.invent()];
        assert_ne!(one.values[6], two.values[6]);
        assert_eq!((&one.values[4], &one.values[2]), (&two.values[4], &two.values[2]));
        assert_ne!(one.values[4], three.values[4]);
        assert_ne!(one.values[2], three.values[2]);
        assert!(one.values.iter().all(|value| value.len() <= 64));
    }
}
