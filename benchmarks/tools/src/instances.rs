//! The instances that are sent, written, asked for and compared: one description for all programs.
//!
//! Instance number n is a *head* (a data set up to and with the header of Pixel Data, in Explicit
//! VR Little Endian) followed by pixel bytes that repeat a *pattern*; `benchmarks/corpora.py` makes
//! both. Its SOP Instance UID is the prefix, `.1`, and n in eleven digits. Other attributes vary by
//! *fields*: at a place of the head stand some digits of `n / divisor % modulus`, so that patients,
//! studies and series have as many instances as the caller wants.

use std::fs;

/// Digits of n in a SOP Instance UID.
const UID_DIGITS: usize = 11;

/// Decimal digits that depend on the instance's number.
#[derive(Clone, Debug)]
pub struct Field {
    /// Where the digits stand.
    pub offset: usize,
    /// How many, with leading zeros.
    pub width: usize,
    /// Instances that share a value.
    pub divisor: usize,
    /// Where it starts again at 0; 0 for never.
    pub modulus: usize,
}

impl Field {
    /// Reads `OFFSET:WIDTH:DIVISOR:MODULUS`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let numbers: Vec<usize> = text
            .split(':')
            .map(|part| part.parse().map_err(|error| format!("{text}: {error}")))
            .collect::<Result<_, _>>()?;
        match numbers.as_slice() {
            [offset, width, divisor, modulus] if *divisor > 0 => {
                Ok(Field { offset: *offset, width: *width, divisor: *divisor, modulus: *modulus })
            }
            _ => Err(format!("{text}: OFFSET:WIDTH:DIVISOR:MODULUS wanted")),
        }
    }

    /// The digits for instance `n`.
    pub fn digits(&self, n: usize) -> String {
        let value = n / self.divisor;
        let value = if self.modulus == 0 { value } else { value % self.modulus };
        format!("{value:0width$}", width = self.width)
    }

    /// Writes the digits for instance `n` into `bytes`.
    pub fn patch(&self, bytes: &mut [u8], n: usize) {
        bytes[self.offset..self.offset + self.width].copy_from_slice(self.digits(n).as_bytes());
    }
}

/// What all instances of a load have in common.
#[derive(Clone, Debug, Default)]
pub struct Instances {
    /// Data set up to and with the header of Pixel Data.
    pub head: Vec<u8>,
    /// Repeated to make the pixels.
    pub pattern: Vec<u8>,
    /// Length of the pixels.
    pub pixel_bytes: usize,
    /// Where the value of SOP Instance UID starts in the head.
    pub uid_offset: usize,
    /// Start of each SOP Instance UID.
    pub uid_prefix: String,
    /// SOP Class UID.
    pub sop_class: String,
    /// What else varies.
    pub fields: Vec<Field>,
}

impl Instances {
    /// Takes one argument and its value if it belongs to the description; says whether it does.
    pub fn take_argument(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let number = || value.parse::<usize>().map_err(|error| format!("{name}: {error}"));
        let file = || fs::read(value).map_err(|error| format!("{value}: {error}"));
        match name {
            "--head" => self.head = file()?,
            "--pattern" => self.pattern = file()?,
            "--pixel-bytes" => self.pixel_bytes = number()?,
            "--uid-offset" => self.uid_offset = number()?,
            "--uid-prefix" => value.clone_into(&mut self.uid_prefix),
            "--sop-class" => value.clone_into(&mut self.sop_class),
            "--vary" => self.fields.push(Field::parse(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Checks that the places lie in the head.
    pub fn check(&self) -> Result<(), String> {
        let ends = self.fields.iter().map(|field| field.offset + field.width);
        if ends.chain([self.uid_offset + self.uid(0).len()]).any(|end| end > self.head.len()) {
            return Err("--uid-offset or --vary does not lie in --head".to_owned());
        }
        if self.pixel_bytes > 0 && self.pattern.is_empty() {
            return Err("--pixel-bytes needs a --pattern".to_owned());
        }
        Ok(())
    }

    /// Size of a data set.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.pixel_bytes
    }

    /// SOP Instance UID of instance `n`: the same length for all.
    pub fn uid(&self, n: usize) -> String {
        // The leading 1 keeps the component a number without a leading zero (PS3.5 §9.1).
        format!("{}.1{n:0UID_DIGITS$}", self.uid_prefix)
    }

    /// The number in a SOP Instance UID of ours.
    pub fn number(&self, uid: &[u8]) -> Option<usize> {
        let digits = uid.strip_prefix(self.uid_prefix.as_bytes())?.strip_prefix(b".1")?;
        std::str::from_utf8(digits.get(..UID_DIGITS)?).ok()?.parse().ok()
    }

    /// Every place of the head that differs from instance to instance, with its bytes for `n`.
    pub fn varying(&self, n: usize) -> Vec<(usize, String)> {
        let fields = self.fields.iter().map(|field| (field.offset, field.digits(n)));
        [(self.uid_offset, self.uid(n))].into_iter().chain(fields).collect()
    }

    /// The head of instance `n`.
    pub fn head(&self, n: usize) -> Vec<u8> {
        let mut head = self.head.clone();
        for (offset, text) in self.varying(n) {
            head[offset..offset + text.len()].copy_from_slice(text.as_bytes());
        }
        head
    }

    /// Are these the bytes of instance `n`?
    pub fn is(&self, n: usize, data_set: &[u8]) -> bool {
        let Some((head, pixels)) = data_set.split_at_checked(self.head.len()) else { return false };
        pixels.len() == self.pixel_bytes
            && head == self.head(n)
            && pixels
                .chunks(self.pattern.len().max(1))
                .all(|chunk| self.pattern.get(..chunk.len()) == Some(chunk))
    }
}

/// A file's beginning (PS3.10 §7.1): preamble and the elements of group 0002 that must be there.
pub fn file_meta(sop_class: &[u8], sop_instance: &[u8], transfer_syntax: &[u8]) -> Vec<u8> {
    let mut group = Vec::new();
    group.extend(b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01");
    for (element, uid) in [
        (0x02, sop_class),
        (0x03, sop_instance),
        (0x10, transfer_syntax),
        (0x12, crate::IMPLEMENTATION_CLASS_UID),
    ] {
        let value = crate::padded_uid(uid);
        group.extend([2, 0, element, 0, b'U', b'I']);
        group.extend((value.len() as u16).to_le_bytes());
        group.extend(value);
    }
    let mut head = vec![0; 128];
    head.extend(b"DICM\x02\x00\x00\x00UL\x04\x00");
    head.extend((group.len() as u32).to_le_bytes());
    head.extend(group);
    head
}
