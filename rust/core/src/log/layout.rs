//! What an event looks like on its way out: patterns, DCMTK's two fixed forms, and JSON.
//!
//! Source: log4cplus as DCMTK 3.6.7 has it, by way of its running programs: a pattern is applied to
//! each line of an event, the fixed forms to the event as a whole. Python has read the pattern
//! (`config/log_cfg.py`); here are its pieces. Text of an event is never read as a pattern. Pure but
//! for the clock and the numbers of process and thread, which an [`Event`] brings. Called by
//! `log::appenders` and `console`.

use std::fmt::Write;
use std::time::Duration;

use super::Level;
use super::system;

/// Loggers of lines that DCMTK does not have. Their name stands in the line, so that a script
/// written for DCMTK's lines can leave them out (DIFFERENCES.md D18).
pub const OUR_LOGGERS: &str = "dcmfast.";

/// One event, with what the moment knows.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Severity.
    pub level: Level,
    /// The logger's name.
    pub logger: &'a str,
    /// One line or several, without a final line end.
    pub text: &'a str,
    /// Since 1970.
    pub time: Duration,
    /// Since the program's start.
    pub elapsed: Duration,
    /// The process.
    pub process: u32,
    /// The thread.
    pub thread: i32,
}

/// What one piece of a pattern stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Literal(String),
    /// `%m`
    Message,
    /// `%p`
    Level,
    /// `%P`, DCMTK's own.
    LevelLetter,
    /// `%c{n}`: the last n parts of the logger's name, 0 for all.
    Logger(usize),
    /// `%d{…}` (UTC), `%D{…}` (local): strftime's codes, and `%q`, `%Q`.
    Time {
        /// The text between the braces.
        format: String,
        /// UTC instead of local time.
        is_utc: bool,
    },
    /// `%i`
    Process,
    /// `%t`, `%T`
    Thread,
    /// `%r`: milliseconds since the start.
    Elapsed,
}

/// One piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What stands there.
    pub part: Part,
    /// Filled up with blanks to this many characters.
    pub minimum: usize,
    /// The last characters stay, at most so many.
    pub maximum: Option<usize>,
    /// Blanks are added behind instead of before.
    pub is_left: bool,
}

/// A form of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `log4cplus::PatternLayout`
    Pattern(Vec<Piece>),
    /// `log4cplus::SimpleLayout`: `LEVEL - message`
    Simple,
    /// `log4cplus::TTCCLayout`: `time [thread] LEVEL logger <> - message`
    Ttcc {
        /// strftime's codes; `None` shows milliseconds since the start.
        date: Option<String>,
        /// UTC instead of local time.
        is_utc: bool,
    },
    /// One JSON object a line.
    Json,
}

impl Layout {
    /// DCMTK's own form, `%P: %m%n`.
    pub fn console() -> Self {
        let piece = |part| Piece { part, minimum: 0, maximum: None, is_left: false };
        Self::Pattern(vec![
            piece(Part::LevelLetter),
            piece(Part::Literal(": ".into())),
            piece(Part::Message),
            piece(Part::Literal("\n".into())),
        ])
    }

    /// `event` in this form, line ends and all.
    pub fn text(&self, event: &Event<'_>) -> String {
        let mut out = String::with_capacity(event.text.len() + 64);
        // Writing into a String cannot fail.
        let _ = self.write(event, &mut out);
        out
    }

    fn write(&self, event: &Event<'_>, out: &mut String) -> std::fmt::Result {
        match self {
            Self::Pattern(pieces) => {
                // A pattern without %c does not tell our lines from DCMTK's.
                let is_named = pieces.iter().any(|piece| matches!(piece.part, Part::Logger(_)));
                let is_ours = !is_named && event.logger.starts_with(OUR_LOGGERS);
                for line in event.text.split('\n') {
                    for piece in pieces {
                        piece.write(event, line, is_ours, out)?;
                    }
                }
                Ok(())
            }
            Self::Simple => {
                write!(out, "{} - ", event.level.name())?;
                if event.logger.starts_with(OUR_LOGGERS) {
                    write!(out, "{}: ", event.logger)?;
                }
                writeln!(out, "{}", event.text)
            }
            Self::Ttcc { date, is_utc } => {
                match date {
                    None => write!(out, "{}", event.elapsed.as_millis())?,
                    Some(format) => out.push_str(&time_text(format, event.time, *is_utc)),
                }
                let Event { thread, level, logger, text, .. } = event;
                writeln!(out, " [{thread}] {} {logger} <> - {text}", level.name())
            }
            Self::Json => {
                let time = system::time_text("%Y-%m-%dT%H:%M:%S", event.time.as_secs(), true);
                write!(
                    out,
                    "{{\"time\":\"{time}.{:06}Z\",\"level\":\"{}\",\"logger\":",
                    event.time.subsec_micros(),
                    event.level.name()
                )?;
                write_json_text(event.logger, out)?;
                out.push_str(",\"message\":");
                write_json_text(event.text, out)?;
                out.push_str("}\n");
                Ok(())
            }
        }
    }
}

impl Piece {
    fn write(
        &self,
        event: &Event<'_>,
        line: &str,
        is_ours: bool,
        out: &mut String,
    ) -> std::fmt::Result {
        let start = out.len();
        match &self.part {
            Part::Literal(text) => out.push_str(text),
            Part::Message => {
                if is_ours {
                    write!(out, "{}: ", event.logger)?;
                }
                out.push_str(line);
            }
            Part::Level => out.push_str(event.level.name()),
            Part::LevelLetter => out.push(event.level.letter()),
            Part::Logger(parts) => out.push_str(last_parts(event.logger, *parts)),
            Part::Time { format, is_utc } => {
                out.push_str(&time_text(format, event.time, *is_utc));
            }
            Part::Process => write!(out, "{}", event.process)?,
            Part::Thread => write!(out, "{}", event.thread)?,
            Part::Elapsed => write!(out, "{}", event.elapsed.as_millis())?,
        }
        let length = out[start..].chars().count();
        let excess = self.maximum.map_or(0, |maximum| length.saturating_sub(maximum));
        if excess > 0 {
            let cut: usize = out[start..].chars().take(excess).map(char::len_utf8).sum();
            out.replace_range(start..start + cut, "");
            // As log4cplus: what was cut gets no blanks.
            return Ok(());
        }
        let missing = self.minimum.saturating_sub(length);
        if missing > 0 {
            let at = if self.is_left { out.len() } else { start };
            out.insert_str(at, &" ".repeat(missing));
        }
        Ok(())
    }
}

/// The last `parts` parts of a dotted name; all for 0.
fn last_parts(name: &str, parts: usize) -> &str {
    if parts == 0 {
        return name;
    }
    name.rmatch_indices('.').nth(parts - 1).map_or(name, |(dot, _)| &name[dot + 1..])
}

/// strftime's codes, and log4cplus's `%q` (milliseconds, three digits) and `%Q` (with three more
/// behind a point).
pub(super) fn time_text(format: &str, time: Duration, is_utc: bool) -> String {
    let (thousandths, rest) = (time.subsec_millis(), time.subsec_micros() % 1000);
    let mut codes = String::with_capacity(format.len() + 8);
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            codes.push(character);
            continue;
        }
        let _ = match characters.next() {
            Some('q') => write!(codes, "{thousandths:03}"),
            Some('Q') => write!(codes, "{thousandths:03}.{rest:03}"),
            Some(code) => write!(codes, "%{code}"),
            None => write!(codes, "%%"),
        };
    }
    system::time_text(&codes, time.as_secs(), is_utc)
}

/// A JSON string (RFC 8259 §7); whatever could end a line is escaped.
pub(crate) fn write_json_text(text: &str, out: &mut String) -> std::fmt::Result {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            character if character.is_control() || "\u{2028}\u{2029}".contains(character) => {
                write!(out, "\\u{:04x}", u32::from(character))?;
            }
            character => out.push(character),
        }
    }
    out.push('"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event<'_> {
        Event {
            level: Level::Info,
            logger: "dcmtk.apps.storescp",
            text,
            time: Duration::new(951_782_400, 7_008_999),
            elapsed: Duration::from_millis(12),
            process: 7,
            thread: 8,
        }
    }

    fn piece(part: Part, minimum: usize, maximum: Option<usize>, is_left: bool) -> Piece {
        Piece { part, minimum, maximum, is_left }
    }

    /// As DCMTK 3.6.7 prints them: blanks before, or behind; of a long text the end stays.
    #[test]
    fn widths_of_a_pattern() {
        let pieces = vec![
            piece(Part::Level, 6, None, false),
            piece(Part::Level, 6, None, true),
            piece(Part::Level, 0, Some(2), false),
            piece(Part::Level, 5, Some(2), true),
            piece(Part::Logger(1), 0, None, false),
            piece(Part::Logger(9), 0, Some(5), false),
        ];
        let text = Layout::Pattern(pieces).text(&event(""));
        assert_eq!(text, "  INFOINFO  FOFOstorescprescp");
    }

    /// A pattern stands on each line of an event; the fixed forms stand once.
    #[test]
    fn events_of_several_lines() {
        assert_eq!(Layout::console().text(&event("a\nb\n")), "I: a\nI: b\nI: \n");
        assert_eq!(Layout::Simple.text(&event("a\nb")), "INFO - a\nb\n");
        let ttcc = Layout::Ttcc { date: None, is_utc: false };
        assert_eq!(ttcc.text(&event("a\nb")), "12 [8] INFO dcmtk.apps.storescp <> - a\nb\n");
    }

    /// Milliseconds as log4cplus writes them, between strftime's codes.
    #[test]
    fn times() {
        let time = |format: &str| {
            let part = Part::Time { format: format.into(), is_utc: true };
            Layout::Pattern(vec![piece(part, 0, None, false)]).text(&event(""))
        };
        assert_eq!(time("%Y-%m-%d %H:%M:%S.%q"), "2000-02-29 00:00:00.007");
        assert_eq!(time("%Q|%%|%"), "007.008|%|%");
    }

    /// One object a line, whatever the text; a message is no pattern.
    #[test]
    fn json_is_one_line() {
        let text = Layout::Json.text(&event("a\n\"b\"\\\u{1b}\u{2028}\u{85}%m"));
        assert_eq!(
            text,
            "{\"time\":\"2000-02-29T00:00:00.007008Z\",\"level\":\"INFO\",\
             \"logger\":\"dcmtk.apps.storescp\",\
             \"message\":\"a\\n\\\"b\\\"\\\\\\u001b\\u2028\\u0085%m\"}\n"
        );
    }

    /// Our own lines are told from DCMTK's where the form itself does not name the logger.
    #[test]
    fn our_loggers_are_named() {
        let ours = Event { logger: "dcmfast.durability", ..event("x") };
        assert_eq!(Layout::console().text(&ours), "I: dcmfast.durability: x\n");
        assert_eq!(Layout::Simple.text(&ours), "INFO - dcmfast.durability: x\n");
        let named = Layout::Pattern(vec![
            piece(Part::Logger(0), 0, None, false),
            piece(Part::Message, 0, None, false),
        ]);
        assert_eq!(named.text(&ours), "dcmfast.durabilityx");
    }
}
