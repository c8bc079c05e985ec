//! Synthetic objects, each of which can be made again from seed and number, byte by byte.
//!
//! Source: PS3.3 §A.3 (CT), §A.4 (MR), §A.8 (Secondary Capture); PS3.5 §B.2 (UIDs from UUIDs). An object
//! is told by its number: that gives its study, series and patient, its UIDs, and its pixels. A UID
//! of ours is a UUID of version 8 (RFC 9562), which holds a digest of the seed and the number, so that
//! the number can be read from what an archive answers. Objects are encoded in Explicit or in
//! Implicit VR Little Endian. No clock, no I/O.

use std::io::{self, Read};

use crate::dataset::identifier::{Encoding, Writer};
use crate::dataset::transfer_syntax::ByteOrder;
use crate::mixing::mixed;
use crate::tag::Tag;
use crate::uid::Uid;
use crate::vr::Vr;

/// What kind of image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "modalities of PS3.3 §C.7.3.1.1.1, and Secondary Capture")]
pub enum Kind {
    Ct,
    Mr,
    Sc,
}

impl Kind {
    /// SOP class.
    pub fn sop_class(self) -> Uid {
        Uid::known(match self {
            Self::Ct => "1.2.840.10008.5.1.4.1.1.2",
            Self::Mr => "1.2.840.10008.5.1.4.1.1.4",
            Self::Sc => "1.2.840.10008.5.1.4.1.1.7",
        })
    }

    const fn modality(self) -> &'static str {
        match self {
            Self::Ct => "CT",
            Self::Mr => "MR",
            Self::Sc => "OT",
        }
    }

    const fn bytes_per_pixel(self) -> u64 {
        match self {
            Self::Ct | Self::Mr => 2,
            Self::Sc => 1,
        }
    }
}

/// What a UID stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "entities of PS3.3 §A.1.2")]
pub enum Entity {
    Study = 1,
    Series = 2,
    Instance = 3,
    FrameOfReference = 4,
}

/// How objects are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Everything follows from it.
    pub seed: u64,
    /// Kind of image.
    pub kind: Kind,
    /// Bytes of Pixel Data, taken in turn; about, because an image has whole rows.
    pub pixel_bytes: Vec<u64>,
    /// Patients, to whom studies belong in turn.
    pub patients: u32,
    /// Studies, to which objects belong in turn.
    pub studies: u32,
    /// Series of each study.
    pub series: u32,
}

const VERSION_8: u64 = 8 << 12;
const VARIANT: u64 = 0b10 << 62;

/// The UUID's halves without entity and number.
const fn halves(seed: u64) -> (u64, u64) {
    let (high, low) = (mixed(seed), mixed(mixed(seed)));
    // 48 bits, version, 8 bits, 4 bits for the entity; variant, 30 bits, 32 bits for the number.
    let high = (high & 0xFFFF_FFFF_FFFF_0FF0) | VERSION_8;
    (high, VARIANT | (low & 0x3FFF_FFFF_0000_0000))
}

impl Recipe {
    /// The UID of an entity's `number`-th.
    pub fn uid(&self, entity: Entity, number: u32) -> Uid {
        let (high, low) = halves(self.seed);
        let value = u128::from(high | entity as u64) << 64 | u128::from(low | u64::from(number));
        // At most 5 + 39 characters of digits and dots.
        Uid::known(&format!("2.25.{value}"))
    }

    /// The number of a UID of ours; `None` for any other.
    pub fn number_of(&self, entity: Entity, uid: &[u8]) -> Option<u32> {
        let text = std::str::from_utf8(uid).ok()?;
        let value: u128 = text.strip_prefix("2.25.")?.parse().ok()?;
        let number = value as u32;
        (self.uid(entity, number).as_bytes() == uid).then_some(number)
    }

    /// The study of an object.
    pub const fn study_of(&self, number: u32) -> u32 {
        number % self.studies
    }

    /// The series of an object, counted over all studies.
    pub const fn series_of(&self, number: u32) -> u32 {
        self.study_of(number) * self.series + (number / self.studies) % self.series
    }

    /// The study of a series.
    pub const fn study_of_series(&self, series: u32) -> u32 {
        series / self.series
    }

    const fn instance_number(&self, number: u32) -> u64 {
        number as u64 / (self.studies as u64 * self.series as u64) + 1
    }

    /// Rows and columns of an object's image.
    fn shape(&self, number: u32) -> (u16, u16) {
        let sizes = self.pixel_bytes.len().max(1);
        let bytes = self.pixel_bytes.get(number as usize % sizes).copied().unwrap_or_default();
        let pixels = (bytes / self.kind.bytes_per_pixel()).max(1);
        let columns = pixels.isqrt().clamp(1, 65_535);
        let rows = (pixels / columns).clamp(1, 65_535);
        (rows as u16, columns as u16)
    }

    /// Length of an object's Pixel Data, which is even.
    pub fn pixel_length(&self, number: u32) -> u64 {
        let (rows, columns) = self.shape(number);
        let bytes = u64::from(rows) * u64::from(columns) * self.kind.bytes_per_pixel();
        bytes + bytes % 2
    }

    /// Appends an object up to the header of its Pixel Data, included.
    pub fn append_head(&self, number: u32, is_explicit: bool, out: &mut Vec<u8>) {
        let study = self.study_of(number);
        let series = self.series_of(number);
        let patient = study % self.patients;
        let (rows, columns) = self.shape(number);
        let is_volume = self.kind != Kind::Sc;
        let begin = out.len();
        let encoding = Encoding { is_explicit, byte_order: ByteOrder::Little };
        let mut writer = Writer::new(out, encoding);
        let mut put = |tag: (u16, u16), vr: &[u8; 2], value: &[u8]| {
            writer.text(Tag::new(tag.0, tag.1), Vr(*vr), value);
        };
        let name = |what: &str, number: u64| format!("{what}{number}");
        put((0x08, 0x05), b"CS", b"ISO_IR 100");
        put(
            (0x08, 0x08),
            b"CS",
            match self.kind {
                Kind::Ct => b"ORIGINAL\\PRIMARY\\AXIAL",
                Kind::Mr => b"ORIGINAL\\PRIMARY\\OTHER",
                Kind::Sc => b"DERIVED\\SECONDARY",
            },
        );
        put((0x08, 0x16), b"UI", self.kind.sop_class().as_bytes());
        put((0x08, 0x18), b"UI", self.uid(Entity::Instance, number).as_bytes());
        put((0x08, 0x20), b"DA", b"20200101");
        put((0x08, 0x30), b"TM", b"120000");
        put((0x08, 0x50), b"SH", name("LOAD", u64::from(study)).as_bytes());
        put((0x08, 0x60), b"CS", self.kind.modality().as_bytes());
        if !is_volume {
            put((0x08, 0x64), b"CS", b"SYN");
        }
        put((0x08, 0x70), b"LO", b"dcmfast load");
        put((0x08, 0x90), b"PN", b"");
        put((0x08, 0x1030), b"LO", name("load study ", u64::from(study)).as_bytes());
        put((0x08, 0x103E), b"LO", name("load series ", u64::from(series)).as_bytes());
        put((0x10, 0x10), b"PN", name("Load^Patient ", u64::from(patient)).as_bytes());
        let id = format!("{:08X}-{patient}", mixed(self.seed) >> 32);
        put((0x10, 0x20), b"LO", id.as_bytes());
        put((0x10, 0x30), b"DA", b"");
        put((0x10, 0x40), b"CS", b"O");
        match self.kind {
            Kind::Ct => {
                put((0x18, 0x50), b"DS", b"1");
                put((0x18, 0x60), b"DS", b"120");
            }
            Kind::Mr => {
                put((0x18, 0x20), b"CS", b"SE");
                put((0x18, 0x21), b"CS", b"NONE");
                put((0x18, 0x22), b"CS", b"");
                put((0x18, 0x23), b"CS", b"2D");
                put((0x18, 0x50), b"DS", b"1");
                put((0x18, 0x80), b"DS", b"500");
                put((0x18, 0x81), b"DS", b"15");
                put((0x18, 0x91), b"IS", b"1");
            }
            Kind::Sc => {}
        }
        put((0x20, 0x0D), b"UI", self.uid(Entity::Study, study).as_bytes());
        put((0x20, 0x0E), b"UI", self.uid(Entity::Series, series).as_bytes());
        put((0x20, 0x10), b"SH", study.to_string().as_bytes());
        put((0x20, 0x11), b"IS", (series % self.series + 1).to_string().as_bytes());
        if is_volume {
            put((0x20, 0x12), b"IS", b"");
        }
        let instance = self.instance_number(number);
        put((0x20, 0x13), b"IS", instance.to_string().as_bytes());
        if is_volume {
            put((0x20, 0x32), b"DS", format!("0\\0\\{instance}").as_bytes());
            put((0x20, 0x37), b"DS", b"1\\0\\0\\0\\1\\0");
            put((0x20, 0x52), b"UI", self.uid(Entity::FrameOfReference, study).as_bytes());
            put((0x20, 0x1040), b"LO", b"");
        } else {
            put((0x20, 0x20), b"CS", b"");
        }
        let bits = (self.kind.bytes_per_pixel() * 8) as u16;
        put((0x28, 0x02), b"US", &1_u16.to_le_bytes());
        put((0x28, 0x04), b"CS", b"MONOCHROME2");
        put((0x28, 0x10), b"US", &rows.to_le_bytes());
        put((0x28, 0x11), b"US", &columns.to_le_bytes());
        if is_volume {
            put((0x28, 0x30), b"DS", b"1\\1");
        }
        put((0x28, 0x100), b"US", &bits.to_le_bytes());
        put((0x28, 0x101), b"US", &bits.to_le_bytes());
        put((0x28, 0x102), b"US", &(bits - 1).to_le_bytes());
        put((0x28, 0x103), b"US", &0_u16.to_le_bytes());
        if self.kind == Kind::Ct {
            put((0x28, 0x1052), b"DS", b"-1024");
            put((0x28, 0x1053), b"DS", b"1");
        }
        // The header alone: an empty value, whose length is put in behind.
        put((0x7FE0, 0x10), if is_volume { b"OW" } else { b"OB" }, b"");
        debug_assert!(out.len() > begin + 4);
        out.truncate(out.len() - 4);
        out.extend_from_slice(&(self.pixel_length(number) as u32).to_le_bytes());
    }

    /// The pixels of an object.
    pub fn pixels(&self, number: u32) -> Pixels {
        Pixels {
            key: mixed(self.seed ^ mixed(u64::from(number) << 32 | 0x5049)),
            word: 0,
            left: self.pixel_length(number),
            rest: ([0; 8], 8),
        }
    }

    /// An object as a stream.
    pub fn stream(&self, number: u32, is_explicit: bool) -> io::Chain<io::Cursor<Vec<u8>>, Pixels> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        self.append_head(number, is_explicit, &mut head);
        io::Cursor::new(head).chain(self.pixels(number))
    }
}

/// More than the head of an object takes.
pub const HEAD_BYTES: usize = 1536;

/// The pixels of one object, as noise.
#[derive(Clone, Debug)]
pub struct Pixels {
    key: u64,
    word: u64,
    left: u64,
    /// The word that was begun, and how much of it is used.
    rest: ([u8; 8], usize),
}

impl Pixels {
    fn next_word(&mut self) -> [u8; 8] {
        self.word += 1;
        // Cheap, because it stands in the way of every object: no statistics are asked of it.
        let value = self.key.wrapping_mul(self.word | 1).wrapping_add(self.word << 40);
        (value ^ (value >> 29)).to_le_bytes()
    }
}

impl Read for Pixels {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (buffer.len() as u64).min(self.left) as usize;
        let (mut buffer, _) = buffer.split_at_mut(count);
        self.left -= count as u64;
        while self.rest.1 < 8 && !buffer.is_empty() {
            buffer[0] = self.rest.0[self.rest.1];
            self.rest.1 += 1;
            buffer = &mut buffer[1..];
        }
        let mut words = buffer.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next_word());
        }
        let tail = words.into_remainder();
        if !tail.is_empty() {
            let word = self.next_word();
            tail.copy_from_slice(&word[..tail.len()]);
            self.rest = (word, tail.len());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::scan::Scanner;
    use crate::dataset::transfer_syntax::TransferSyntax;
    use crate::tag::{PIXEL_DATA, SOP_INSTANCE_UID};

    fn recipe(kind: Kind, bytes: u64) -> Recipe {
        Recipe { seed: 7, kind, pixel_bytes: vec![bytes], patients: 2, studies: 3, series: 2 }
    }

    fn object(recipe: &Recipe, number: u32, is_explicit: bool) -> Vec<u8> {
        let mut out = Vec::new();
        recipe.stream(number, is_explicit).read_to_end(&mut out).unwrap();
        out
    }

    /// Each kind and size is a whole data set in both encodings, of the length announced.
    #[test]
    fn whole_data_sets() {
        static WANTED: &[Tag] = &[SOP_INSTANCE_UID];
        for kind in [Kind::Ct, Kind::Mr, Kind::Sc] {
            for bytes in [1, 2, 3, 128, 1000, 524_288] {
                for (is_explicit, uid) in
                    [(true, "1.2.840.10008.1.2.1"), (false, "1.2.840.10008.1.2")]
                {
                    let recipe = recipe(kind, bytes);
                    let data = object(&recipe, 5, is_explicit);
                    assert_eq!(data.len() % 2, 0);
                    let mut scanner = Scanner::new(TransferSyntax::of(&Uid::known(uid)), WANTED);
                    scanner.feed(&data).unwrap();
                    assert!(scanner.finish().is_ok() && scanner.warnings().is_empty());
                    let own = recipe.uid(Entity::Instance, 5);
                    assert_eq!(scanner.value(SOP_INSTANCE_UID), Some(own.as_bytes()));
                    let mut head = Vec::new();
                    recipe.append_head(5, is_explicit, &mut head);
                    assert!(head.len() <= HEAD_BYTES);
                    assert_eq!(data.len() as u64, head.len() as u64 + recipe.pixel_length(5));
                    let _ = PIXEL_DATA;
                }
            }
        }
        assert_eq!(recipe(Kind::Ct, 524_288).shape(0), (512, 512));
        assert_eq!(recipe(Kind::Ct, u64::MAX).shape(0), (65_535, 65_535));
    }

    /// The same number gives the same bytes however they are read; another number others.
    #[test]
    fn made_again() {
        let recipe = recipe(Kind::Ct, 4096);
        let whole = object(&recipe, 9, true);
        let mut stream = recipe.stream(9, true);
        let (mut pieces, mut size) = (Vec::new(), 1);
        loop {
            let mut piece = vec![0; size];
            let count = stream.read(&mut piece).unwrap();
            if count == 0 {
                break;
            }
            pieces.extend_from_slice(&piece[..count]);
            size = size % 13 + 1;
        }
        assert_eq!(whole, pieces);
        assert_ne!(whole, object(&recipe, 10, true));
        let other = Recipe { seed: 8, ..recipe };
        assert_ne!(whole, object(&other, 9, true));
    }

    /// A UID tells its number, and nobody else's is taken for ours.
    #[test]
    fn uids_tell_their_number() {
        let recipe = recipe(Kind::Mr, 2);
        for number in [0, 1, 77, u32::MAX] {
            let uid = recipe.uid(Entity::Instance, number);
            assert_eq!(recipe.number_of(Entity::Instance, uid.as_bytes()), Some(number));
            assert_eq!(recipe.number_of(Entity::Series, uid.as_bytes()), None);
            let value: u128 = uid.as_str()[5..].parse().unwrap();
            assert_eq!(((value >> 76) & 15, (value >> 62) & 3), (8, 0b10), "a UUID of version 8");
        }
        let other = Recipe { seed: 8, ..recipe.clone() };
        let foreign = other.uid(Entity::Instance, 1);
        assert_eq!(recipe.number_of(Entity::Instance, foreign.as_bytes()), None);
        for hostile in [&b""[..], b"2.25.", b"2.25.-1", b"1.2.3", b"2.25.\xff", &[b'9'; 64]] {
            assert_eq!(recipe.number_of(Entity::Instance, hostile), None);
        }
    }

    /// Objects go round the studies, then round the series of each.
    #[test]
    fn places() {
        let recipe = recipe(Kind::Ct, 2);
        let series: Vec<_> = (0..8).map(|number| recipe.series_of(number)).collect();
        assert_eq!(series, [0, 2, 4, 1, 3, 5, 0, 2]);
        let numbers: Vec<_> = (0..8).map(|number| recipe.instance_number(number)).collect();
        assert_eq!(numbers, [1, 1, 1, 1, 1, 1, 2, 2]);
        assert_eq!(recipe.study_of_series(5), 2);
    }
}
