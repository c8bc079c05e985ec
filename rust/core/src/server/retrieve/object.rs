//! One stored object on its way out: opened, checked against what the index knows, converted.
//!
//! P14: what no longer is what was stored is a failed sub-operation, never silent bad bytes. An
//! object of up to [`RETRIEVE_HELD_BYTES_MAX`] is read whole, its length and digest are compared, and
//! only then is it sent. Of a longer one the length is compared first, the digest while it passes:
//! the sender looks for the stream's end before it lets the last fragment go, so that a damaged
//! object is cut and never complete. A conversion is checked through once before its first byte
//! leaves, because a message that has begun cannot be taken back.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::dataset::rewrite::{
    OutputEncoding, PixelHints, RewriteError, Rewriter, Rewriting, rewrite, survey,
};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::index::FileLocation;
use crate::limits::{COMPARE_BLOCK_BYTES, RETRIEVE_HELD_BYTES_MAX};
use crate::log::system_text;
use crate::uid::{Uid, UidText};

/// What is known of a matched instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// SOP Class UID.
    pub sop_class: UidText,
    /// SOP Instance UID.
    pub sop_instance: UidText,
    /// Transfer syntax of the stored file.
    pub transfer_syntax: UidText,
    /// Where the file is.
    pub location: FileLocation,
    /// Size of the file in bytes.
    pub file_bytes: u64,
    /// Where the data set begins in the file.
    pub data_set_offset: u32,
    /// XXH3-128 of the data set; 0 when it was never taken.
    pub digest: u128,
}

/// A stored file, open.
pub trait StoredFile: Read + Seek + Send {}

impl<F: Read + Seek + Send> StoredFile for F {}

/// Why an object cannot be sent. Its text goes to the log.
#[derive(Debug)]
pub enum ObjectError {
    /// The file cannot be opened or read.
    Io(io::Error),
    /// The file is shorter or longer than it was when it was stored.
    Length {
        /// Bytes now, at least, where the file grew.
        found: u64,
        /// Bytes then.
        stored: u64,
    },
    /// The data set's bytes are not those that were stored.
    Digest,
    /// The record in the index cannot be: the data set begins behind the end of the file.
    Record,
    /// The data set has no form in the transfer syntax that the receiver takes.
    Conversion(RewriteError),
}

impl fmt::Display for ObjectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(formatter, "the stored file: {}", system_text(error)),
            Self::Length { found, stored } => {
                write!(formatter, "the stored file has {found} bytes, not {stored} as stored")
            }
            Self::Digest => {
                formatter.write_str("the stored file is damaged: its digest is not that as stored")
            }
            Self::Record => formatter.write_str("the index knows an impossible data set offset"),
            Self::Conversion(error) => write!(formatter, "cannot be converted: {error}"),
        }
    }
}

impl std::error::Error for ObjectError {}

impl From<io::Error> for ObjectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ObjectError> for io::Error {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Io(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// The data set of an object, ready to be sent.
pub enum Body {
    /// Checked, and in the receiver's transfer syntax: the bytes from `start` on.
    Memory {
        /// The file, or the converted data set.
        bytes: Vec<u8>,
        /// Where the data set begins.
        start: usize,
    },
    /// Read, checked and converted while it passes.
    Stream(Box<dyn Read + Send>),
}

/// Opens and checks the object `held`, whose data set is to be sent in transfer syntax `target`.
///
/// `open` may be called twice; `spare` is a buffer of an object sent before.
///
/// # Errors
///
/// See [`ObjectError`].
pub fn load(
    held: &Held,
    target: &Uid,
    spare: Vec<u8>,
    open: &mut dyn FnMut() -> io::Result<Box<dyn StoredFile>>,
) -> Result<Body, ObjectError> {
    let is_as_stored = held.transfer_syntax == target.text();
    let from = held.transfer_syntax.to_uid().or(is_as_stored.then_some(*target));
    let from = from.ok_or(ObjectError::Record)?;
    let is_deflated = TransferSyntax::of(target).is_deflated;
    let offset = u64::from(held.data_set_offset);
    let data_set_bytes = held.file_bytes.checked_sub(offset).ok_or(ObjectError::Record)?;
    let mut file = open()?;
    if held.file_bytes > RETRIEVE_HELD_BYTES_MAX as u64 {
        let found = file.seek(SeekFrom::End(0))?;
        if found != held.file_bytes {
            return Err(ObjectError::Length { found, stored: held.file_bytes });
        }
        file.seek(SeekFrom::Start(offset))?;
        let stored = Checked::new(file, data_set_bytes, held.digest);
        let is_even = data_set_bytes % 2 == 0;
        if is_as_stored && (is_even || is_deflated) {
            // PS3.5 §A.5: a NUL behind a deflated data set.
            let padding: &'static [u8] = if is_even { &[] } else { &[0] };
            return Ok(Body::Stream(Box::new(stored.chain(padding))));
        }
        let mut again = || {
            // A file again, and not the same one rewound: `Checked` begins anew with it.
            let mut file = open()?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(Checked::new(file, data_set_bytes, held.digest))
        };
        return convert_stream(stored, (from, *target), is_as_stored, &mut again);
    }
    let bytes = read_whole(&mut *file, held.file_bytes as usize, spare)?;
    let start = held.data_set_offset as usize;
    let data_set = bytes.get(start..).ok_or(ObjectError::Record)?;
    if held.digest != 0 && xxh3_128(data_set) != held.digest {
        return Err(ObjectError::Digest);
    }
    if is_as_stored && (data_set.len() % 2 == 0 || is_deflated) {
        let mut bytes = bytes;
        if data_set_bytes % 2 == 1 {
            bytes.push(0);
        }
        return Ok(Body::Memory { bytes, start });
    }
    let hints = PixelHints::of_head(data_set, TransferSyntax::of(&from));
    if !is_as_stored {
        let way = Rewriting::between(&from, target, hints).ok_or(ObjectError::Record)?;
        let bytes = rewrite(data_set, &way).map_err(ObjectError::Conversion)?;
        if bytes.len() % 2 == 0 {
            return Ok(Body::Memory { bytes, start: 0 });
        }
    }
    let way = even_way(from, *target, hints)?;
    let bytes = rewrite(data_set, &way).map_err(ObjectError::Conversion)?;
    Ok(Body::Memory { bytes, start: 0 })
}

/// The way of a data set with values of odd length, kept as they came (`+B`): they would make the last
/// fragment odd, over which DCMTK's receivers abort (PS3.8 §9.3.5.1).
fn even_way(from: Uid, to: Uid, hints: PixelHints) -> Result<Rewriting, ObjectError> {
    let encoding = OutputEncoding { transfer_syntax: Some(to), ..OutputEncoding::CONVERSION };
    Rewriting::of(&from, encoding.with_even_values(), hints).ok_or(ObjectError::Record)
}

/// Reads a file of `stored` bytes, in one read as a rule.
fn read_whole(
    file: &mut dyn StoredFile,
    stored: usize,
    mut bytes: Vec<u8>,
) -> Result<Vec<u8>, ObjectError> {
    // One byte more than there should be: a read that leaves it empty has met the end.
    bytes.resize(stored + 1, 0);
    let mut filled = 0;
    while filled <= stored {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                if filled == stored {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if filled != stored {
        return Err(ObjectError::Length { found: filled as u64, stored: stored as u64 });
    }
    bytes.truncate(stored);
    Ok(bytes)
}

/// A stored file's data set, from its beginning.
type Source = Checked<Box<dyn StoredFile>>;

/// A large object in another form: through once to see that it can be done, then again while it is
/// sent. One that would be odd in the end gets even values, which takes a third time.
fn convert_stream(
    mut stored: Source,
    (from, to): (Uid, Uid),
    is_known_odd: bool,
    again: &mut dyn FnMut() -> Result<Source, ObjectError>,
) -> Result<Body, ObjectError> {
    let mut head = vec![0; COMPARE_BLOCK_BYTES];
    let count = stored.read(&mut head)?;
    let hints = PixelHints::of_head(&head[..count], TransferSyntax::of(&from));
    if is_known_odd {
        return even_stream((&head[..count]).chain(stored), even_way(from, to, hints)?, again);
    }
    let way = Rewriting::between(&from, &to, hints).ok_or(ObjectError::Record)?;
    // What is checked is the source, so that the costly half, deflating, is done once.
    let check = Rewriting { to: TransferSyntax { is_deflated: false, ..way.to }, ..way };
    let mut checked = Rewriter::new((&head[..count]).chain(&mut stored), &check);
    while checked.next_block().map_err(ObjectError::Conversion)?.is_some() {}
    if checked.bytes_out() % 2 == 1 && !way.to.is_deflated {
        return even_stream(again()?, even_way(from, to, hints)?, again);
    }
    Ok(Body::Stream(Box::new(Rewriter::new(again()?, &way))))
}

/// The same with values of even length, whose lengths stand before them and are found first.
fn even_stream(
    stored: impl Read,
    way: Rewriting,
    again: &mut dyn FnMut() -> Result<Source, ObjectError>,
) -> Result<Body, ObjectError> {
    let found = survey(stored, &way).map_err(ObjectError::Conversion)?;
    Ok(Body::Stream(Box::new(Rewriter::second_pass(again()?, &way, found.slots))))
}

/// A data set that ends where it should and with the digest that it should, or in an error.
struct Checked<F> {
    file: F,
    left: u64,
    stored: u64,
    digest: Option<(Box<Xxh3>, u128)>,
}

impl<F: Read> Checked<F> {
    fn new(file: F, stored: u64, digest: u128) -> Self {
        let digest = (digest != 0).then(|| (Box::new(Xxh3::new()), digest));
        Self { file, left: stored, stored, digest }
    }
}

impl<F: Read> Read for Checked<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read(&mut buffer[..wanted])?;
        if count == 0 {
            let found = self.stored - self.left;
            return Err(ObjectError::Length { found, stored: self.stored }.into());
        }
        self.left -= count as u64;
        if let Some((hasher, expected)) = &mut self.digest {
            hasher.update(&buffer[..count]);
            if self.left == 0 && hasher.digest128() != *expected {
                return Err(ObjectError::Digest.into());
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::transfer_syntax::{
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN,
    };
    use std::io::Cursor;

    const OFFSET: u32 = 300;

    /// A file with `pixels` bytes of pixel data, and what the index knows of it.
    fn stored(pixels: usize) -> (Vec<u8>, Held) {
        let mut file = vec![0xAA; OFFSET as usize];
        file.extend(b"\xE0\x7F\x10\0OW\0\0");
        file.extend((pixels as u32).to_le_bytes());
        file.extend((0..pixels).map(|at| (at % 251) as u8));
        let held = Held {
            sop_class: UidText::new(b"1.2.840.10008.5.1.4.1.1.2").unwrap(),
            sop_instance: UidText::new(b"1.2.3").unwrap(),
            transfer_syntax: UidText::new(EXPLICIT_VR_LITTLE_ENDIAN.as_bytes()).unwrap(),
            location: FileLocation::Own(1),
            file_bytes: file.len() as u64,
            data_set_offset: OFFSET,
            digest: xxh3_128(&file[OFFSET as usize..]),
        };
        (file, held)
    }

    fn sent(file: &[u8], held: &Held, target: &str) -> Result<Vec<u8>, String> {
        let mut open =
            || -> io::Result<Box<dyn StoredFile>> { Ok(Box::new(Cursor::new(file.to_vec()))) };
        match load(held, &Uid::known(target), vec![7; 9], &mut open) {
            Ok(Body::Memory { bytes, start }) => Ok(bytes[start..].to_vec()),
            Ok(Body::Stream(mut stream)) => {
                let mut all = Vec::new();
                match stream.read_to_end(&mut all) {
                    Ok(_) => Ok(all),
                    Err(error) => Err(error.to_string()),
                }
            }
            Err(error) => Err(error.to_string()),
        }
    }

    const SIZES: [usize; 2] = [64, 3 * RETRIEVE_HELD_BYTES_MAX];

    /// What is stored is what is sent, held or streamed, as it is or converted.
    #[test]
    fn good_objects() {
        for pixels in SIZES {
            let (file, held) = stored(pixels);
            let data_set = &file[OFFSET as usize..];
            assert_eq!(sent(&file, &held, EXPLICIT_VR_LITTLE_ENDIAN).unwrap(), data_set);
            let big = sent(&file, &held, EXPLICIT_VR_BIG_ENDIAN).unwrap();
            assert_eq!((big.len(), &big[12..14]), (data_set.len(), &[1, 0][..]));
            let unknown = Held { digest: 0, ..held };
            assert_eq!(sent(&file, &unknown, EXPLICIT_VR_LITTLE_ENDIAN).unwrap(), data_set);
        }
    }

    /// PS3.8 §9.3.5.1: what leaves has an even length, held or streamed, as it is or converted.
    #[test]
    fn odd_objects() {
        for pixels in SIZES.map(|pixels| pixels + 1) {
            let (file, held) = stored(pixels);
            let data_set = &file[OFFSET as usize..];
            let plain = sent(&file, &held, EXPLICIT_VR_LITTLE_ENDIAN).unwrap();
            assert_eq!(plain.len(), data_set.len() + 1);
            assert_eq!(plain[8..12], (pixels as u32 + 1).to_le_bytes());
            assert_eq!((&plain[12..data_set.len()], plain.last()), (&data_set[12..], Some(&0)));
            let big = sent(&file, &held, EXPLICIT_VR_BIG_ENDIAN).unwrap();
            assert_eq!(big.len(), plain.len());
            assert_eq!(big[8..12], (pixels as u32 + 1).to_be_bytes());
            assert!(
                big[12..].chunks(2).eq(plain[12..].chunks(2).map(|pair| [pair[1], pair[0]])),
                "{pixels}"
            );
            let mut damaged = file.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(
                sent(&damaged, &held, EXPLICIT_VR_LITTLE_ENDIAN).unwrap_err().contains("digest")
            );
        }
    }

    /// A deflated data set of odd length gets its NUL (PS3.5 §A.5), and what is in it even values.
    #[test]
    fn odd_deflated_objects() {
        for pixels in SIZES.map(|pixels| pixels + 1) {
            let (plain, known) = stored(pixels);
            let to = Uid::known(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN);
            let from = Uid::known(EXPLICIT_VR_LITTLE_ENDIAN);
            let way = Rewriting::between(&from, &to, PixelHints::default()).unwrap();
            let mut file = plain[..OFFSET as usize].to_vec();
            file.extend(rewrite(&plain[OFFSET as usize..], &way).unwrap());
            assert_eq!(file.len() % 2, 0);
            for count in [file.len(), file.len() + 1] {
                // Some writers end with the stream, some with a byte too many.
                file.resize(count, 0);
                let held = Held {
                    transfer_syntax: to.text(),
                    file_bytes: count as u64,
                    digest: xxh3_128(&file[OFFSET as usize..]),
                    ..known.clone()
                };
                let as_stored = sent(&file, &held, to.as_str()).unwrap();
                assert_eq!(as_stored.len() % 2, 0);
                assert!(as_stored.starts_with(&file[OFFSET as usize..]));
                let inflated = sent(&file, &held, EXPLICIT_VR_LITTLE_ENDIAN).unwrap();
                assert_eq!(inflated.len(), plain.len() - OFFSET as usize + 1);
            }
        }
    }

    /// P14: shorter, longer, or other bytes: each is told, and nothing is complete.
    #[test]
    fn a_file_that_is_not_what_was_stored() {
        for pixels in SIZES {
            let (file, held) = stored(pixels);
            for target in [EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN] {
                let why = sent(&file[..file.len() - 1], &held, target).unwrap_err();
                assert!(why.contains("bytes, not"), "{why}");
                let why = sent(&[&file[..], b"x"].concat(), &held, target).unwrap_err();
                assert!(why.contains("bytes, not"), "{why}");
                let mut damaged = file.clone();
                *damaged.last_mut().unwrap() ^= 1;
                let why = sent(&damaged, &held, target).unwrap_err();
                assert!(why.contains("digest"), "{why}");
            }
            let behind = Held { data_set_offset: u32::MAX, ..held.clone() };
            assert!(sent(&file, &behind, EXPLICIT_VR_LITTLE_ENDIAN).is_err());
        }
    }

    /// A data set that cannot be converted fails before its first byte is sent.
    #[test]
    fn a_conversion_that_fails() {
        for pixels in SIZES {
            let (mut file, mut held) = stored(pixels);
            file.truncate(file.len() - 2);
            held.file_bytes -= 2;
            held.digest = xxh3_128(&file[OFFSET as usize..]);
            let mut open =
                || -> io::Result<Box<dyn StoredFile>> { Ok(Box::new(Cursor::new(file.clone()))) };
            let big = Uid::known(EXPLICIT_VR_BIG_ENDIAN);
            let result = load(&held, &big, Vec::new(), &mut open);
            assert!(matches!(result, Err(ObjectError::Conversion(_))));
        }
    }
}
