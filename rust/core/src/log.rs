//! Log lines in DCMTK's shape, and the escaping of everything that a peer sent.
//!
//! A [`Logger`] is made once by the front end (level, sink) and shared by all associations. A line
//! is formatted only when its level is enabled; a record of several lines carries the prefix on
//! each (as DCMTK does). Peers' text passes [`escaped`], so that no byte below 0x20 but the line
//! end ever reaches the output (PROMISES.md §5.3). Does no I/O itself: a [`Sink`] does. Called by
//! `server`, `client` and `net`.

use core::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Severity of a line; the order is DCMTK's, most detailed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// `T:`
    Trace,
    /// `D:`
    Debug,
    /// `I:`
    Info,
    /// `W:`
    Warn,
    /// `E:`
    Error,
    /// `F:`
    Fatal,
    /// Nothing at all.
    Off,
}

impl Level {
    /// The letter before the colon.
    pub const fn letter(self) -> char {
        match self {
            Self::Trace => 'T',
            Self::Debug => 'D',
            Self::Info => 'I',
            Self::Warn => 'W',
            Self::Error => 'E',
            Self::Fatal | Self::Off => 'F',
        }
    }
}

/// Where lines go. Implementations write a whole record at once, so that records of different
/// associations never mix.
pub trait Sink: Send + Sync {
    /// One record: `text` may hold several lines, without prefixes and without a final line end.
    fn record(&self, level: Level, logger: &str, text: &str);

    /// Progress characters on standard output (`RECV: ...`), flushed.
    fn progress(&self, text: &str);
}

/// A level and a sink.
pub struct Logger {
    level: AtomicU8,
    sink: Arc<dyn Sink>,
}

impl Logger {
    /// A logger that passes lines of `level` and above to `sink`.
    pub fn new(level: Level, sink: Arc<dyn Sink>) -> Self {
        Self { level: AtomicU8::new(level as u8), sink }
    }

    /// True when lines of `level` are wanted; ask before building costly text.
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 >= self.level.load(Ordering::Relaxed)
    }

    /// True when DCMTK prints progress dots: at INFO exactly (DCMTK 3.6.7).
    pub fn shows_progress(&self) -> bool {
        self.level.load(Ordering::Relaxed) == Level::Info as u8
    }

    /// Writes one record of the logger named `logger` (`dcmtk.apps.storescp`, `dcmfast.…`).
    pub fn line(&self, level: Level, logger: &str, text: fmt::Arguments<'_>) {
        if self.enabled(level) {
            match text.as_str() {
                Some(text) => self.sink.record(level, logger, text),
                None => self.sink.record(level, logger, &text.to_string()),
            }
        }
    }

    /// Writes progress characters when they are shown.
    pub fn progress(&self, text: &str) {
        if self.shows_progress() {
            self.sink.progress(text);
        }
    }
}

/// Longest part of a peer's value that is printed, in bytes; longer ones end in `...`.
pub const LOGGED_VALUE_BYTES_MAX: usize = 256;

/// `bytes` for a log line: printable ASCII as it is, all else as `\x0a`, at most 256 bytes.
pub fn escaped(bytes: &[u8]) -> impl fmt::Display + '_ {
    struct Escaped<'a>(&'a [u8]);
    impl fmt::Display for Escaped<'_> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            use fmt::Write;
            for &byte in self.0.iter().take(LOGGED_VALUE_BYTES_MAX) {
                if (0x20..0x7F).contains(&byte) {
                    formatter.write_char(char::from(byte))?;
                } else {
                    write!(formatter, "\\x{byte:02x}")?;
                }
            }
            if self.0.len() > LOGGED_VALUE_BYTES_MAX {
                formatter.write_str("...")?;
            }
            Ok(())
        }
    }
    Escaped(bytes)
}

/// The system's words for `error` without Rust's number behind them, as DCMTK prints them.
pub fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// A sink that forgets everything; for tests and for `-ll off`.
pub struct NoSink;

impl Sink for NoSink {
    fn record(&self, _level: Level, _logger: &str, _text: &str) {}
    fn progress(&self, _text: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROMISES.md §5.3: a peer cannot forge a line.
    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escaped(b"A\nF: fake\x1b[2J\xff").to_string(), "A\\x0aF: fake\\x1b[2J\\xff");
        assert_eq!(escaped(&[b'x'; 300]).to_string().len(), 256 + 3);
    }
}
