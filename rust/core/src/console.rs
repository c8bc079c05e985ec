//! The sink that DCMTK's users know: lines on standard error, progress on standard output.
//!
//! Source: DCMTK 3.6.7, as run: `<letter>: <text>`, the prefix on every
//! line of a record, also on an empty last one. A record leaves in one write, so that records of
//! different threads never mix. Errors of writing are ignored: a receiver must not die because
//! its terminal did.

use std::io::{self, Write};

use crate::log::appenders::write_progress;
use crate::log::layout::OUR_LOGGERS;
use crate::log::{Level, Sink};

/// Writes to the process's standard streams.
pub struct Console;

impl Sink for Console {
    fn record(&self, level: Level, logger: &str, text: &str) {
        let mut lines = String::with_capacity(text.len() + 32);
        let is_ours = logger.starts_with(OUR_LOGGERS);
        for line in text.split('\n') {
            lines.push(level.letter());
            lines.push_str(": ");
            if is_ours {
                lines.push_str(logger);
                lines.push_str(": ");
            }
            lines.push_str(line);
            lines.push('\n');
        }
        let _ = io::stderr().lock().write_all(lines.as_bytes());
    }

    fn progress(&self, text: &str) {
        write_progress(text);
    }
}
