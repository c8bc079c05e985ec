//! A packet capture as entries.
//!
//! Called by `recording::source`.

use std::io;

use super::file::Step;

/// Why bytes are no capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Other bytes stand at the beginning.
    NotACapture,
    /// Packets of a kind that is not known.
    LinkType(u32),
}

/// A capture.
pub struct Capture<R>(R);

impl<R: io::Read> Capture<R> {
    /// Reads its header.
    ///
    /// # Errors
    ///
    /// The system's, and what is no capture.
    pub fn new(_input: R) -> io::Result<Result<Self, HeaderError>> {
        Ok(Err(HeaderError::NotACapture))
    }

    /// The next step.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn step(&mut self) -> io::Result<Step> {
        Ok(Step::End)
    }
}
