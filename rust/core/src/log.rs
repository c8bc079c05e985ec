//! Log lines in DCMTK's shape, and the escaping of everything that a peer sent.
//!
//! A [`Logger`] is made once by the front end (levels, sink) and shared by all associations. A line
//! is formatted only when its level is enabled; a record of several lines carries the prefix on
//! each (as DCMTK does). Peers' text passes [`escaped`], so that no byte below 0x20 but the line
//! end ever reaches the output (PROMISES.md §5.3). Does no I/O itself: a [`Sink`] does, which is
//! `console` or, for a logger configuration, [`appenders`] with a [`layout`]. Called by `server`,
//! `client` and `net`.

use core::fmt;
use std::sync::Arc;

pub mod appenders;
pub mod layout;
pub mod syslog;
pub mod system;

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
    /// The name in logger configurations and their lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Off => "OFF",
        }
    }

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

/// Which level is in force for which logger: a logger has the level of the nearest one above it
/// that has one.
#[derive(Clone, Debug)]
pub struct Levels {
    /// The lowest of all: what is below is wanted by nobody.
    lowest: Level,
    /// Longest names first; the empty name is the root.
    branches: Vec<(String, Level)>,
}

impl Levels {
    /// Levels by logger; the empty name is the root, which has `Off` where it is missing.
    pub fn new(mut branches: Vec<(String, Level)>) -> Self {
        branches.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let lowest = branches.iter().map(|(_, level)| *level).min().unwrap_or(Level::Off);
        Self { lowest, branches }
    }

    /// The level of `logger`.
    pub fn of(&self, logger: &str) -> Level {
        let mut above = self.branches.iter().filter(|(name, _)| appenders::is_within(logger, name));
        above.next().map_or(Level::Off, |(_, level)| *level)
    }
}

/// Levels and a sink.
pub struct Logger {
    levels: Levels,
    sink: Arc<dyn Sink>,
}

impl Logger {
    /// A logger that passes lines of `level` and above to `sink`.
    pub fn new(level: Level, sink: Arc<dyn Sink>) -> Self {
        Self::with_levels(Levels::new(vec![(String::new(), level)]), sink)
    }

    /// A logger with levels of their own for some names.
    pub fn with_levels(levels: Levels, sink: Arc<dyn Sink>) -> Self {
        Self { levels, sink }
    }

    /// True when lines of `level` by `logger` are wanted; ask before building costly text.
    pub fn enabled(&self, level: Level, logger: &str) -> bool {
        level >= self.levels.lowest && level >= self.levels.of(logger)
    }

    /// True when DCMTK prints progress dots: when the logger of the dots (`….progress`) is at INFO
    /// exactly (DCMTK 3.6.7).
    pub fn shows_progress(&self, logger: &str) -> bool {
        self.levels.of(logger) == Level::Info
    }

    /// Writes one record of the logger named `logger` (`dcmtk.apps.storescp`, `dcmfast.…`).
    pub fn line(&self, level: Level, logger: &str, text: fmt::Arguments<'_>) {
        if self.enabled(level, logger) {
            match text.as_str() {
                Some(text) => self.sink.record(level, logger, text),
                None => self.sink.record(level, logger, &text.to_string()),
            }
        }
    }

    /// Writes a record that no level filters (`--arguments`).
    pub fn line_at_any_level(&self, level: Level, logger: &str, text: &str) {
        self.sink.record(level, logger, text);
    }

    /// Writes progress characters when they are shown.
    pub fn progress(&self, logger: &str, text: &str) {
        if self.shows_progress(logger) {
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
