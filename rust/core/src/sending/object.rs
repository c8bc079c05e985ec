//! One file as it will travel: read, seen to be whole, and converted where its context wants that.
//!
//! A file of up to [`RETRIEVE_HELD_BYTES_MAX`] is read in one piece; of a longer one only headers are
//! read before it is streamed. Nothing of a file leaves before all of it was looked through, because
//! a message that has begun cannot be taken back. A file may have changed since the first look: what
//! it says now counts. Called by `sending::Worker`.

use std::fmt;
use std::io::{self, Chain, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use super::invent::Identity;
use crate::dataset::oddities::Oddities;
use crate::dataset::rewrite::{
    GroupLengths, OutputEncoding, PixelHints, RewriteError, Rewriter, Rewriting, Slots, Surveyor,
    is_convertible, rewrite, survey,
};
use crate::dataset::substitute::substitute;
use crate::dataset::transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, TransferSyntax, long_name};
use crate::limits::{
    FILE_META_BYTES_MAX, INVENTED_HEAD_BYTES_MAX, RETRIEVE_HELD_BYTES_MAX, REWRITE_BLOCK_BYTES,
};
use crate::log::{escaped, system_text};
use crate::storage::backend::{StoredFile, open_for_reading};
use crate::storage::reader::{
    Cut, InputFormat, ReadError, StoredInstance, inspect, inspect_head, look_through,
    look_through_bytes,
};
use crate::tag::{SOP_INSTANCE_UID, Tag};
use crate::uid::{Uid, UidText};

/// Which context an object of a class and transfer syntax goes on, and in which transfer syntax.
type Choice<'a> = &'a dyn Fn(&UidText, &Uid) -> Option<(u8, Uid)>;

/// What is wanted of a file.
pub struct Wanted<'a> {
    /// Which formats it may have.
    pub format: InputFormat,
    /// How it is written where it is converted.
    pub encoding: OutputEncoding,
    /// The context it goes on.
    pub choose: Choice<'a>,
    /// The identity that it gets; `None` leaves it its own.
    pub identity: Option<Identity>,
}

/// A file, ready to be sent.
pub struct Object {
    /// What it says of itself.
    pub instance: StoredInstance,
    /// Its presentation context, and the transfer syntax in which it travels.
    pub context: (u8, Uid),
    /// Its data set.
    pub body: Body,
    /// The identity that it got, and which elements of it were there.
    pub invented: Option<Box<(Identity, Vec<Tag>)>>,
    /// What is odd about its data set.
    pub oddities: Oddities,
}

/// The data set of an object.
pub enum Body {
    /// The bytes from `start` on.
    Memory {
        /// The file, or the converted data set.
        bytes: Vec<u8>,
        /// Where the data set begins.
        start: usize,
    },
    /// Read, and converted, while it leaves.
    Stream(Box<dyn Read + Send>),
}

/// Why a file is not sent.
#[derive(Debug)]
pub enum Fault {
    /// The system's answer, in words.
    Io(String),
    /// It is no DICOM file.
    NotDicom(ReadError),
    /// It ends too early.
    Cut(Cut),
    /// The peer accepted no context on which it can travel; its SOP class and transfer syntax.
    NoContext(Box<(UidText, Uid)>),
    /// It cannot be written in the transfer syntax that the peer accepted.
    Conversion {
        /// That transfer syntax.
        to: Box<Uid>,
        /// Why.
        error: RewriteError,
    },
}

impl Fault {
    /// The system's answer.
    pub fn of_io(error: &io::Error) -> Self {
        Self::Io(system_text(error))
    }

    /// DCMTK's condition: module and code, and words.
    pub fn condition(&self) -> (String, String) {
        let (code, words) = match self {
            Self::Io(words) => ("0001:0012", words.clone()),
            Self::NotDicom(error) => ("0001:001c", error.to_string()),
            Self::Cut(cut) => (cut.condition.0, cut.condition.1.to_owned()),
            Self::NoContext(_) => {
                ("0006:0208", "DIMSE No valid Presentation Context ID".to_owned())
            }
            Self::Conversion { .. } => {
                ("0001:000e", "Pixel representation cannot be changed".to_owned())
            }
        };
        (code.to_owned(), words)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(words) => formatter.write_str(words),
            Self::NotDicom(error) => error.fmt(formatter),
            Self::Cut(cut) => write!(formatter, "{}: {}", cut.condition.1, cut.place),
            Self::NoContext(kind) => {
                let (class, syntax) = &**kind;
                let class = escaped(class.as_bytes());
                let syntax = long_name(syntax).unwrap_or_else(|| syntax.as_str());
                write!(formatter, "no context was accepted for {class} in {syntax}")
            }
            Self::Conversion { to, error } => {
                let to = long_name(to).unwrap_or_else(|| to.as_str());
                write!(formatter, "no conversion to {to}: {error}")
            }
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::of_io(&error)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::of_io(&error),
            error => Self::NotDicom(error),
        }
    }
}

/// Reads and checks the file at `path`; `spare` is a buffer of a file sent before.
///
/// # Errors
///
/// See [`Fault`].
pub fn prepare(path: &Path, wanted: &Wanted<'_>, spare: Vec<u8>) -> Result<Object, Fault> {
    let mut file = open_for_reading(path)?;
    if let Some(identity) = &wanted.identity {
        return renamed(file, wanted, identity);
    }
    let total_bytes = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    if total_bytes > RETRIEVE_HELD_BYTES_MAX as u64 {
        return large(file, wanted);
    }
    let bytes = read_whole(&mut file, total_bytes as usize, spare)?;
    let head = &bytes[..bytes.len().min(FILE_META_BYTES_MAX)];
    let (instance, _) = inspect_head(head, bytes.len() as u64, wanted.format)?;
    let start = usize::try_from(instance.data_set_offset).unwrap_or(usize::MAX);
    let data_set = bytes.get(start..).unwrap_or_default();
    let seen = look_through_bytes(data_set, &instance.transfer_syntax);
    if let Some(cut) = seen.cut {
        return Err(Fault::Cut(cut));
    }
    // Only a dictionary finds the sequences of Implicit VR.
    let is_implicit = !TransferSyntax::of(&instance.transfer_syntax).is_explicit;
    let oddities = if seen.is_odd || is_implicit {
        oddities_of(data_set, &instance.transfer_syntax)
    } else {
        Oddities::default()
    };
    let context = chosen(&instance, wanted)?;
    let Some(way) = way(&instance, context.1, wanted, data_set) else {
        let mut bytes = bytes;
        pad(&mut bytes, start);
        let body = Body::Memory { bytes, start };
        return Ok(Object { instance, context, body, invented: None, oddities });
    };
    let converted = rewrite(data_set, &way).map_err(|error| failed(context.1, error))?;
    let body = Body::Memory { bytes: converted, start: 0 };
    Ok(Object { instance, context, body, invented: None, oddities })
}

/// What is odd about a data set, as far as it can be understood.
fn oddities_of(data_set: impl Read, transfer_syntax: &Uid) -> Oddities {
    let hints = PixelHints::default();
    let way = Rewriting::of(transfer_syntax, OutputEncoding::STORESCP, hints);
    let found = way.and_then(|way| survey(data_set, &way).ok());
    found.map(|found| found.oddities).unwrap_or_default()
}

/// The same for a data set of `length` that begins where `file` stands; the inside of long values is
/// passed over.
fn oddities_of_large(
    file: &mut StoredFile,
    length: u64,
    transfer_syntax: &Uid,
) -> io::Result<Oddities> {
    if TransferSyntax::of(transfer_syntax).is_deflated {
        return Ok(oddities_of(file.take(length), transfer_syntax));
    }
    let hints = PixelHints::default();
    let Some(way) = Rewriting::of(transfer_syntax, OutputEncoding::STORESCP, hints) else {
        return Ok(Oddities::default());
    };
    let (mut surveyor, mut left) = (Surveyor::new(&way), length);
    let mut block = vec![0; REWRITE_BLOCK_BYTES];
    while left > 0 {
        let wanted = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        let count = match file.read(&mut block[..wanted]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if count == 0 {
            break;
        }
        surveyor.feed(&block[..count]);
        left -= count as u64;
        let ahead = surveyor.value_bytes_ahead().min(left);
        if ahead > block.len() as u64 {
            surveyor.pass_over(ahead);
            file.seek_relative(ahead.try_into().unwrap_or(i64::MAX))?;
            left -= ahead;
        }
    }
    Ok(surveyor.take_oddities())
}

/// An object with a new identity. It is streamed whatever its size: group lengths go, the values are
/// replaced in what has no deflate around it, and what the peer takes is made of the result.
fn renamed(
    mut file: StoredFile,
    wanted: &Wanted<'_>,
    identity: &Identity,
) -> Result<Object, Fault> {
    let mut instance = inspect(&mut file, wanted.format)?;
    let (offset, length) = (instance.data_set_offset, instance.data_set_bytes);
    let context = chosen(&instance, wanted)?;
    let from = instance.transfer_syntax;
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.by_ref().take(HINT_BYTES).read_to_end(&mut head)?;
    let hints = PixelHints::of_head(&head, TransferSyntax::of(&from));
    let is_deflated = TransferSyntax::of(&from).is_deflated && is_convertible(&from);
    let plain = if is_deflated { Uid::known(EXPLICIT_VR_LITTLE_ENDIAN) } else { from };
    let encoding = OutputEncoding {
        transfer_syntax: Some(plain),
        group_lengths: GroupLengths::Removed,
        ..wanted.encoding
    };
    let no_way = || {
        let error = io::Error::new(io::ErrorKind::Unsupported, "no way to its transfer syntax");
        Fault::Conversion { to: Box::new(context.1), error: RewriteError::Source(error) }
    };
    let first = Rewriting::of(&from, encoding, hints).ok_or_else(no_way)?;
    file.seek(SeekFrom::Start(offset))?;
    let found =
        survey((&mut file).take(length), &first).map_err(|error| failed(context.1, error))?;
    file.seek(SeekFrom::Start(offset))?;
    let mut source = Rewriter::new(Whole { file: padded(file, length), left: length }, &first);
    let substitutions = identity.substitutions();
    let mut head = Vec::new();
    let made = loop {
        let before = head.len();
        (&mut source).take(HINT_BYTES).read_to_end(&mut head)?;
        let is_all = head.len() == before;
        let made = substitute(&head, TransferSyntax::of(&plain), &substitutions, is_all)
            .map_err(|error| failed(context.1, error.into()))?;
        match made {
            Some(made) => break made,
            None if head.len() > INVENTED_HEAD_BYTES_MAX => {
                return Err(Fault::Io("the elements to be invented are too far behind".into()));
            }
            None => {}
        }
    };
    if made.found.contains(&SOP_INSTANCE_UID) {
        instance.sop_instance_uid = identity.instance().unwrap_or(instance.sop_instance_uid);
    }
    let rest = head.split_off(made.consumed.min(head.len()));
    let whole = Cursor::new(made.head).chain(Cursor::new(rest)).chain(source);
    let body: Box<dyn Read + Send> = if context.1 == plain {
        Box::new(whole)
    } else {
        let way = Rewriting::between(&plain, &context.1, hints).ok_or_else(no_way)?;
        let way = Rewriting {
            encoding: OutputEncoding {
                deflate_level: wanted.encoding.deflate_level,
                ..way.encoding
            },
            ..way
        };
        Box::new(Rewriter::new(whole, &way))
    };
    let invented = Some(Box::new((identity.clone(), made.found)));
    let (body, oddities) = (Body::Stream(body), found.oddities);
    Ok(Object { instance, context, body, invented, oddities })
}

/// A fragment has an even length (PS3.8 §9.3.5.1), and DCMTK's receivers abort on another. A deflated data
/// set without the padding that PS3.5 §A.5 asks for gets it here.
fn pad(bytes: &mut Vec<u8>, start: usize) {
    if bytes.len().saturating_sub(start) % 2 == 1 {
        bytes.push(0);
    }
}

fn failed(to: Uid, error: RewriteError) -> Fault {
    match error {
        RewriteError::Source(error) => Fault::of_io(&error),
        error => Fault::Conversion { to: Box::new(to), error },
    }
}

fn chosen(instance: &StoredInstance, wanted: &Wanted<'_>) -> Result<(u8, Uid), Fault> {
    let (class, syntax) = (instance.sop_class_uid, instance.transfer_syntax);
    (wanted.choose)(&class, &syntax).ok_or_else(|| Fault::NoContext(Box::new((class, syntax))))
}

/// What changes on the way; `None` when the bytes travel as they are.
fn way(instance: &StoredInstance, to: Uid, wanted: &Wanted<'_>, head: &[u8]) -> Option<Rewriting> {
    let from = instance.transfer_syntax;
    let asks_for_more = !wanted.encoding.has_new_vrs;
    let is_odd = has_odd_values(instance);
    if from == to && !asks_for_more && !is_odd {
        return None;
    }
    let hints = PixelHints::of_head(head, TransferSyntax::of(&from));
    let form = if is_odd { wanted.encoding.with_even_values() } else { wanted.encoding };
    let encoding = OutputEncoding { transfer_syntax: Some(to), ..form };
    Rewriting::of(&from, encoding, hints)
}

/// Nothing but a value of odd length makes a data set odd, unless it is deflated. Each gets its padding.
fn has_odd_values(instance: &StoredInstance) -> bool {
    let is_deflated = TransferSyntax::of(&instance.transfer_syntax).is_deflated;
    instance.data_set_bytes % 2 == 1 && !is_deflated
}

/// An object that is streamed.
fn large(mut file: StoredFile, wanted: &Wanted<'_>) -> Result<Object, Fault> {
    let instance = inspect(&mut file, wanted.format)?;
    let (offset, length) = (instance.data_set_offset, instance.data_set_bytes);
    let context = chosen(&instance, wanted)?;
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.by_ref().take(HINT_BYTES).read_to_end(&mut head)?;
    let way = way(&instance, context.1, wanted, &head);
    let mut slots = Slots::default();
    let oddities = match &way {
        None => {
            let seen = look_through(&mut file, &instance.transfer_syntax, offset, length)?;
            if let Some(cut) = seen.cut {
                return Err(Fault::Cut(cut));
            }
            let syntax = TransferSyntax::of(&instance.transfer_syntax);
            if seen.is_odd || !syntax.is_explicit {
                file.seek(SeekFrom::Start(offset))?;
                oddities_of_large(&mut file, length, &instance.transfer_syntax)?
            } else {
                Oddities::default()
            }
        }
        Some(way) => {
            file.seek(SeekFrom::Start(offset))?;
            // What is checked is the source, so that the costly half, deflating, is done once.
            let found =
                survey((&mut file).take(length), way).map_err(|error| failed(context.1, error))?;
            slots = found.slots;
            found.oddities
        }
    };
    file.seek(SeekFrom::Start(offset))?;
    let source = Whole { file: padded(file, length), left: length + length % 2 };
    let body: Box<dyn Read + Send> = match way {
        None => Box::new(source),
        Some(way) => {
            let source = Whole { left: length, ..source };
            Box::new(Rewriter::second_pass(source, &way, slots))
        }
    };
    Ok(Object { instance, context, body: Body::Stream(body), invented: None, oddities })
}

/// So much of a data set tells whether its pixels are signed.
const HINT_BYTES: u64 = 64 * 1024;

/// A file with the byte that makes its data set even.
type Padded = Chain<io::Take<StoredFile>, Cursor<&'static [u8]>>;

fn padded(file: StoredFile, length: u64) -> Padded {
    let padding: &'static [u8] = if length % 2 == 1 { &[0] } else { &[] };
    file.take(length).chain(Cursor::new(padding))
}

/// Reads a file of `expected` bytes, in one read as a rule.
fn read_whole(file: &mut StoredFile, expected: usize, spare: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut bytes = spare;
    bytes.clear();
    // One byte more: where it stays empty the end has been met; and a deflated data set may want it.
    bytes.reserve(expected + 2);
    bytes.resize(expected, 0);
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A data set that ends where it should, or in an error: a file may shrink while it is sent.
struct Whole {
    file: Padded,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file has become shorter",
            ));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::encode::{element, uid};
    use crate::sending::invent::{Counts, Inventor};
    use crate::tag::SOP_CLASS_UID;
    use crate::vr::Vr;

    /// A file whose patient's name stands behind so many private bytes.
    fn file(private: usize) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        uid(&mut bytes, Tag::new(2, 0x10), EXPLICIT_VR_LITTLE_ENDIAN.as_bytes());
        uid(&mut bytes, SOP_CLASS_UID, b"1.2.840.10008.5.1.4.1.1.2");
        uid(&mut bytes, SOP_INSTANCE_UID, b"1.2.3");
        element(&mut bytes, Tag::new(9, 0x1010), Vr::OB, &vec![7; private], 0);
        element(&mut bytes, crate::tag::PATIENT_NAME, Vr(*b"PN"), b"A^B ", b' ');
        bytes
    }

    fn invented(private: usize) -> Result<Vec<u8>, Fault> {
        let name = format!("dcmfast-sending-{}-{private}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, file(private)).unwrap();
        let mut inventor = Inventor::new(Counts { instances: 1, series: 1, studies: 1 });
        let context = Some((1, Uid::known(EXPLICIT_VR_LITTLE_ENDIAN)));
        let wanted = Wanted {
            format: InputFormat::Either,
            encoding: OutputEncoding::CONVERSION,
            choose: &|_, _| context,
            identity: Some(inventor.invent()),
        };
        let object = prepare(&path, &wanted, Vec::new());
        std::fs::remove_file(&path).unwrap();
        let Body::Stream(mut stream) = object?.body else { panic!("held") };
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Ok(bytes)
    }

    /// What stands before the values to be invented is held up to its bound.
    #[test]
    fn edge_of_an_invented_head() {
        let bytes = invented(INVENTED_HEAD_BYTES_MAX - 65_536).unwrap();
        assert!(bytes.windows(13).any(|one| one == b"OFFIS^TEST_PN"));
        assert!(bytes.len() > INVENTED_HEAD_BYTES_MAX - 65_536);
        assert!(matches!(invented(INVENTED_HEAD_BYTES_MAX + 65_536), Err(Fault::Io(_))));
    }
}
