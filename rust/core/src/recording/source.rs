//! Where entries come from: a recording, or a packet capture, told apart by their first bytes.
//!
//! Called by `recording::{replay, treat}` and `dcmfast._rust`.

use std::io::{self, BufRead};
use std::path::Path;

use super::About;
use super::capture::{self, Capture};
use super::file::{self, Input, Reader, Step};
use super::format::{HeaderError, VERSION, is_recording};

/// A file whose entries are read.
pub enum Source {
    /// A recording.
    Recording(Box<Reader<Input>>, About),
    /// A packet capture.
    Capture(Box<Capture<Input>>),
}

/// Why a file has no entries.
#[derive(Debug)]
pub enum OpenError {
    /// The system's.
    Io(io::Error),
    /// It is nothing that this program reads.
    Unknown(String),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Source {
    /// Opens a file and looks at what it is.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut input = file::open(path)?;
        let head = input.fill_buf()?;
        if !is_recording(head) {
            let capture = Capture::new(input)?;
            return capture.map(|capture| Self::Capture(Box::new(capture))).map_err(|error| {
                OpenError::Unknown(match error {
                    capture::HeaderError::NotACapture => {
                        "neither a recording nor a packet capture (pcap, pcapng)".into()
                    }
                    capture::HeaderError::LinkType(number) => {
                        format!("a capture of link type {number}, which is not known here")
                    }
                })
            });
        }
        match Reader::new(input)? {
            Ok((reader, about)) => Ok(Self::Recording(Box::new(reader), about)),
            Err(error) => Err(OpenError::Unknown(match error {
                HeaderError::NotARecording => "not a recording".into(),
                HeaderError::Version(version) => {
                    format!("a recording of version {version}; this program reads {VERSION}")
                }
                HeaderError::Damaged => "a recording whose header is damaged".into(),
            })),
        }
    }

    /// What it says of itself.
    pub fn about(&self) -> About {
        match self {
            Self::Recording(_, about) => *about,
            Self::Capture(_) => About::default(),
        }
    }

    /// The next step.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn step(&mut self) -> io::Result<Step> {
        match self {
            Self::Recording(reader, _) => reader.step(),
            Self::Capture(capture) => capture.step(),
        }
    }
}
