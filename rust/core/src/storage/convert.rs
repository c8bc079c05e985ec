//! A file's data set in another encoding, with file meta information that says so.
//!
//! Source: PS3.10 §7.1; what of the file meta information stays: DCMTK 3.6.7's `dcmconv`, as run:
//! version, UIDs, transfer syntax and implementation are ours, what else is in group 0002 stays where
//! that is asked for. Knows no file system. Called by `dcmfast._rust.rewrite`.

use core::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use crate::dataset::encode;
use crate::dataset::oddities::{Oddities, Oddity};
use crate::dataset::rewrite::{
    OutputEncoding, PixelHints, RewriteError, Rewriter, Rewriting, order, survey,
};
use crate::dataset::transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, TransferSyntax};
use crate::limits::{FILE_META_BYTES_MAX, HEAD_HOLD_BYTES_MAX, REWRITE_BLOCK_BYTES};
use crate::storage::file_meta::PREAMBLE_BYTES;
use crate::storage::reader::{self, InputFormat, ReadError, explicit_element};
use crate::tag::Tag;
use crate::uid::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Uid};
use crate::vr::Vr;

/// What stands before the data set of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultMeta {
    /// File meta information of ours (`+Fm`).
    New,
    /// That of the source, with what is ours in it (`+F`).
    Kept,
    /// Nothing (`-F`).
    None,
}

/// Where the transfer syntax of the source is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceSyntax {
    /// In its file meta information; without one by the first element.
    Told,
    /// By the first element (`-td`).
    Detected,
    /// Here.
    Known(Uid),
}

/// What a file is to become.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    /// How its data set is encoded.
    pub encoding: OutputEncoding,
    /// What stands before it.
    pub meta: ResultMeta,
    /// Which formats the source may have.
    pub format: InputFormat,
    /// How the data set of the source is encoded.
    pub source: SourceSyntax,
}

/// What it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Transfer syntax of the result.
    pub transfer_syntax: Uid,
    /// Bytes of the result.
    pub bytes: u64,
    /// The data set is other than the source's.
    pub is_changed: bool,
    /// What is odd about the source's.
    pub oddities: Oddities,
}

/// Two transfer syntaxes that do not turn into one another without decoding pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoWay {
    /// That of the source.
    pub from: Uid,
    /// That of the result.
    pub to: Uid,
}

/// Why it did not.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConvertError {
    /// The source is no DICOM file.
    Source(ReadError),
    /// There is no way between two transfer syntaxes without decoding pixels.
    NoWay(Box<NoWay>),
    /// The data set cannot be re-encoded.
    DataSet(RewriteError),
    /// The result cannot be written.
    Target(io::Error),
}

impl fmt::Display for ConvertError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(formatter),
            Self::NoWay(syntaxes) => {
                let NoWay { from, to } = **syntaxes;
                write!(formatter, "no way from {from} to {to} without decoding pixels")
            }
            Self::DataSet(error) => error.fmt(formatter),
            Self::Target(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for ConvertError {}

impl From<ReadError> for ConvertError {
    fn from(error: ReadError) -> Self {
        Self::Source(error)
    }
}

impl From<RewriteError> for ConvertError {
    fn from(error: RewriteError) -> Self {
        Self::DataSet(error)
    }
}

/// Re-encodes the file `source`; `sink` takes the result in blocks.
///
/// # Errors
///
/// See [`ConvertError`]; what the sink has got by then is worth nothing.
pub fn convert<S: Read + Seek>(
    mut source: S,
    conversion: &Conversion,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Converted, ConvertError> {
    let head = Head::read(&mut source, conversion.format)?;
    let told = match conversion.source {
        SourceSyntax::Told => head.transfer_syntax,
        SourceSyntax::Detected => None,
        SourceSyntax::Known(syntax) => Some(syntax),
    };
    let detected = || reader::syntax_of_bare(head.data_set());
    let from = told.or_else(detected).ok_or(ReadError::NoTransferSyntax)?;
    let encoding = conversion.encoding;
    let no_way = || {
        let to = encoding.transfer_syntax.unwrap_or(from);
        ConvertError::NoWay(Box::new(NoWay { from, to }))
    };
    let encoded = match encoding.target(&from) {
        // PS3.5 §A.4: all but encapsulated pixels is Explicit VR Little Endian, and there may be none.
        None if TransferSyntax::of(&from).is_encapsulated => Uid::known(EXPLICIT_VR_LITTLE_ENDIAN),
        _ => from,
    };
    let to = encoding.target(&encoded).ok_or_else(no_way)?;
    let hints = PixelHints::of_head(head.data_set(), TransferSyntax::of(&encoded));
    let mut rewriting = Rewriting::of(&encoded, encoding, hints).ok_or_else(no_way)?;
    let meta = match conversion.meta {
        ResultMeta::None => Vec::new(),
        ResultMeta::New => head.meta(&from, &to, false),
        ResultMeta::Kept => head.meta(&from, &to, true),
    };
    rewriting.head_bytes = meta.len() as u64;
    sink(&meta).map_err(ConvertError::Target)?;
    let mut data_set = Part { source, base: head.data_set_at as u64, at: 0 };
    let found = survey(&mut data_set, &rewriting).map_err(|error| match error {
        RewriteError::Encapsulated { .. } if encoded != from => no_way(),
        error => error.into(),
    })?;
    let (is_changed, mut oddities) = (found.is_changed, found.oddities);
    if encoded != from {
        oddities.add(Oddity::NothingToDecompress);
    }
    let bytes = if !is_changed {
        data_set.at = 0;
        copy(&mut data_set, sink)?
    } else if found.is_disordered {
        let mut ordered = order(data_set, &rewriting)?;
        let rewriting = ordered.rewriting(&rewriting);
        let found = survey(&mut ordered, &rewriting)?;
        ordered.rewind();
        drain(Rewriter::second_pass(&mut ordered, &rewriting, found.slots), sink)?
    } else {
        data_set.at = 0;
        drain(Rewriter::second_pass(&mut data_set, &rewriting, found.slots), sink)?
    };
    Ok(Converted { transfer_syntax: to, bytes: meta.len() as u64 + bytes, is_changed, oddities })
}

/// The data set as it is.
fn copy<S: Read>(
    source: &mut S,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, ConvertError> {
    let mut block = vec![0; REWRITE_BLOCK_BYTES];
    let mut bytes = 0;
    loop {
        let count = match source.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(RewriteError::Source)?,
        };
        if count == 0 {
            return Ok(bytes);
        }
        sink(&block[..count]).map_err(ConvertError::Target)?;
        bytes += count as u64;
    }
}

fn drain<R: Read>(
    mut rewriter: Rewriter<R>,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, ConvertError> {
    while let Some(block) = rewriter.next_block()? {
        sink(block).map_err(ConvertError::Target)?;
    }
    Ok(rewriter.bytes_out())
}

/// What stands before the data set, and its first bytes.
struct Head {
    bytes: Vec<u8>,
    data_set_at: usize,
    transfer_syntax: Option<Uid>,
}

impl Head {
    fn read<S: Read + Seek>(source: &mut S, format: InputFormat) -> Result<Self, ReadError> {
        source.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        let wanted = FILE_META_BYTES_MAX + HEAD_HOLD_BYTES_MAX;
        source.by_ref().take(wanted as u64).read_to_end(&mut bytes)?;
        let mut head = Self { bytes, data_set_at: 0, transfer_syntax: None };
        let is_file = head.bytes.get(PREAMBLE_BYTES..META_AT) == Some(b"DICM");
        match format {
            InputFormat::File if !is_file => return Err(ReadError::NotPart10),
            InputFormat::DataSet => return Ok(head),
            InputFormat::Either if !is_file => return Ok(head),
            InputFormat::File | InputFormat::Either => {}
        }
        let mut at = META_AT;
        while let Some((tag, value, end)) = explicit_element(&head.bytes, at) {
            if tag.group() != 0x0002 {
                break;
            }
            let value = value.ok_or(ReadError::BadFileMeta)?;
            if tag.element() == 0x0010 {
                head.transfer_syntax = Uid::new(value);
            }
            at = end;
        }
        head.data_set_at = at;
        Ok(head)
    }

    fn data_set(&self) -> &[u8] {
        self.bytes.get(self.data_set_at..).unwrap_or_default()
    }

    /// Preamble, `DICM` and group 0002 of the result.
    fn meta(&self, from: &Uid, to: &Uid, is_kept: bool) -> Vec<u8> {
        let mut elements: Vec<(Tag, Vec<u8>)> = Vec::new();
        let mut put = |tag: Tag, bytes: Vec<u8>| match elements
            .binary_search_by_key(&tag, |(known, _)| *known)
        {
            Ok(at) => elements[at].1 = bytes,
            Err(at) => elements.insert(at, (tag, bytes)),
        };
        let mut at = META_AT;
        while at < self.data_set_at {
            let Some((tag, _, end)) = explicit_element(&self.bytes, at) else { break };
            let is_about_the_object = (0x0002..=0x0003).contains(&tag.element());
            if !is_kept && !is_about_the_object {
                at = end;
                continue;
            }
            put(tag, self.bytes.get(at..end).unwrap_or_default().to_vec());
            at = end;
        }
        let encoded = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            write(&mut bytes);
            bytes
        };
        let tag = |element| Tag::new(0x0002, element);
        put(tag(1), encoded(&|out| encode::element(out, tag(1), Vr::OB, &[0, 1], 0)));
        let (class, instance) = reader::uids_of(self.data_set(), *from);
        for (tag, uid) in [(tag(2), class), (tag(3), instance)] {
            if let Some(uid) = uid {
                put(tag, encoded(&|out| encode::uid(out, tag, uid.as_bytes())));
            }
        }
        put(tag(0x10), encoded(&|out| encode::uid(out, tag(0x10), to.as_bytes())));
        let class = IMPLEMENTATION_CLASS_UID.as_bytes();
        put(tag(0x12), encoded(&|out| encode::uid(out, tag(0x12), class)));
        let name = IMPLEMENTATION_VERSION_NAME.as_bytes();
        put(tag(0x13), encoded(&|out| encode::text(out, tag(0x13), Vr(*b"SH"), name)));
        let mut meta = vec![0; PREAMBLE_BYTES];
        if self.data_set_at > 0 {
            // DCMTK 3.6.7 keeps it, and what other formats it belongs to (PS3.10 §7.1), with `+Fm`, too.
            meta[..PREAMBLE_BYTES].copy_from_slice(&self.bytes[..PREAMBLE_BYTES]);
        }
        meta.extend_from_slice(b"DICM");
        let counted = elements.iter().filter(|(tag, _)| tag.element() != 0);
        let length: usize = counted.clone().map(|(_, bytes)| bytes.len()).sum();
        encode::unsigned_long(&mut meta, tag(0), length as u32);
        for (_, bytes) in counted {
            meta.extend_from_slice(bytes);
        }
        meta
    }
}

/// Where group 0002 begins.
const META_AT: usize = PREAMBLE_BYTES + 4;

/// A file from an offset on.
struct Part<S> {
    source: S,
    base: u64,
    at: u64,
}

impl<S: Read + Seek> Read for Part<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.seek(SeekFrom::Start(self.base + self.at))?;
        let count = self.source.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<S: Read + Seek> Seek for Part<S> {
    /// From the start only: nobody needs the other ways.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.at = at;
        Ok(at)
    }
}
