//! A deflated data set on its way to the walker, with a bound on how far it grows.

use flate2::{Decompress, FlushDecompress, Status};

use super::error::ScanError;
use crate::limits::{
    DEFLATE_TRAILER_BYTES_MAX, INFLATE_BUFFER_BYTES, INFLATED_BYTES_MAX, INFLATED_FREE_BYTES,
    INFLATED_RATIO_MAX,
};

/// A raw deflate stream (PS3.5 §A.5) on its way to the walker.
pub(super) struct Inflater {
    pub stream: Decompress,
    pub output: Box<[u8]>,
    pub has_ended: bool,
    /// Bytes seen after the end.
    pub trailer_bytes: usize,
    /// Some of them were no padding.
    pub has_trailer: bool,
}

impl Inflater {
    pub fn new() -> Self {
        Self {
            stream: Decompress::new(false),
            output: vec![0; INFLATE_BUFFER_BYTES].into_boxed_slice(),
            has_ended: false,
            trailer_bytes: 0,
            has_trailer: false,
        }
    }

    pub fn feed(
        &mut self,
        mut input: &[u8],
        walk: &mut impl FnMut(&[u8]) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        while !self.has_ended {
            let (consumed_before, inflated_before) =
                (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(input, &mut self.output, FlushDecompress::None);
            let consumed = (self.stream.total_in() - consumed_before) as usize;
            let inflated = (self.stream.total_out() - inflated_before) as usize;
            input = &input[consumed..];
            // What came out before a damaged place counts first, wherever the input was cut.
            walk(&self.output[..inflated])?;
            let status = status.map_err(|_| ScanError::DeflateCorrupt)?;
            self.check_bounds()?;
            self.has_ended = status == Status::StreamEnd;
            if !self.has_ended && input.is_empty() && inflated < self.output.len() {
                return Ok(());
            }
            if !self.has_ended && consumed == 0 && inflated == 0 {
                // Neither side can move although both have room: no valid stream does that.
                return Err(ScanError::DeflateCorrupt);
            }
        }
        self.trailer_bytes = self.trailer_bytes.saturating_add(input.len());
        if self.trailer_bytes > DEFLATE_TRAILER_BYTES_MAX {
            return Err(ScanError::DeflateCorrupt);
        }
        if input.iter().any(|&byte| byte != 0) {
            self.has_trailer = true;
        }
        Ok(())
    }

    fn check_bounds(&self) -> Result<(), ScanError> {
        let inflated_bytes = self.stream.total_out();
        let is_over = is_inflated_too_far(inflated_bytes, self.stream.total_in());
        if is_over { Err(ScanError::DeflateBomb { inflated_bytes }) } else { Ok(()) }
    }
}

/// True when so many inflated bytes from so many deflated ones pass the bounds of `limits.rs`.
pub(in crate::dataset) const fn is_inflated_too_far(
    inflated_bytes: u64,
    deflated_bytes: u64,
) -> bool {
    inflated_bytes > INFLATED_BYTES_MAX
        || (inflated_bytes > INFLATED_FREE_BYTES
            && inflated_bytes / INFLATED_RATIO_MAX > deflated_bytes)
}
