//! What came of a job: DCMTK's report file and summary, and the same as JSON.
//!
//! The text is that of DCMTK 3.6.7's `dcmsend --create-report-file`, as run; the JSON is described
//! in the manual (`dcmfast man dcmsend`). Both are made a portion of files at a time. Called by
//! `dcmfast._rust`.

use std::fmt::Write;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::DeflateDecoder;

use super::check;
use super::narration::syntax_name;
use super::{Entry, Job, Outcome, State};
use crate::dataset::transfer_syntax::{TransferSyntax, long_name};
use crate::dictionary::uids::name_of;
use crate::dimse::status::{Operation, Status};
use crate::limits::INFLATED_BYTES_MAX;
use crate::log::escaped;
use crate::log::layout::write_json_text;
use crate::storage::backend::open_for_reading;

/// How many files had which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All files.
    pub instances: usize,
    /// Associations that were asked for.
    pub associations: usize,
    /// Presentation contexts that were proposed.
    pub contexts: usize,
    /// 0000H.
    pub succeeded: usize,
    /// A warning: the object is stored.
    pub warned: usize,
    /// A9xxH, Cxxx.
    pub errors: usize,
    /// A7xxH, 0122H.
    pub refused: usize,
    /// Any other status.
    pub unknown: usize,
    /// No context was accepted.
    pub no_context: usize,
    /// Bytes of the data sets that were answered.
    pub bytes: u64,
}

impl Totals {
    /// Files that the peer answered.
    pub const fn sent(&self) -> usize {
        self.succeeded + self.warned + self.errors + self.refused + self.unknown
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome.state {
            State::Answered(Status(code)) => {
                self.bytes += outcome.bytes;
                let place = match code {
                    0x0000 => &mut self.succeeded,
                    0xA700..=0xA7FF | 0x0122 => &mut self.refused,
                    0xA900..=0xA9FF | 0xC000..=0xCFFF => &mut self.errors,
                    0xB000..=0xBFFF | 0x0001 | 0x0107 | 0x0116 => &mut self.warned,
                    _ => &mut self.unknown,
                };
                *place += 1;
            }
            State::NoContext => self.no_context += 1,
            State::Unsent | State::Bad | State::Unanswered => {}
        }
    }
}

impl Job {
    /// How many files had which end.
    pub fn totals(&self) -> Totals {
        let order = std::sync::atomic::Ordering::Relaxed;
        let mut totals = Totals {
            instances: self.entries.len(),
            associations: self.associations.load(order),
            contexts: self.contexts_proposed.load(order),
            ..Totals::default()
        };
        for outcome in self.outcomes().iter() {
            totals.count(outcome);
        }
        totals
    }

    /// DCMTK's summary.
    pub fn summary(&self) -> String {
        let totals = self.totals();
        let mut text = format!(
            "Status Summary\n--------------\n\
             Number of associations   : {}\n\
             Number of pres. contexts : {}\n\
             Number of SOP instances  : {}",
            totals.associations, totals.contexts, totals.instances
        );
        let unsent = totals.instances - totals.sent();
        for (words, count) in [
            ("- sent to the peer       : ", totals.sent()),
            ("  * with status SUCCESS  : ", totals.succeeded),
            ("  * with status WARNING  : ", totals.warned),
            ("  * with status ERROR    : ", totals.errors),
            ("  * with status REFUSED  : ", totals.refused),
            ("  * with unknown status  : ", totals.unknown),
            ("- NOT sent to the peer   : ", unsent),
            ("  * no acceptable pres.  : ", totals.no_context),
        ] {
            if count > 0 {
                let _ = write!(text, "\n{words}{count}");
            }
        }
        text
    }

    /// The report's lines of the files from the `first`, `count` at most.
    pub fn report(&self, first: usize, count: usize) -> String {
        let mut text = String::new();
        self.each(first, count, |number, entry, outcome| {
            let _ = self.report_entry(&mut text, number, entry, outcome);
        });
        text
    }

    fn each(&self, first: usize, count: usize, mut show: impl FnMut(usize, &Entry, &Outcome)) {
        let outcomes = self.outcomes();
        let entries = self.entries.iter().zip(outcomes.iter()).enumerate();
        for (number, (entry, outcome)) in entries.skip(first).take(count) {
            show(number, entry, outcome);
        }
    }

    /// Length of a deflated file's data set, counted while it is inflated.
    fn inflated_bytes(&self, entry: &Entry) -> io::Result<u64> {
        let found = check::look(&entry.path, self.plan.format).map_err(io::Error::other)?;
        let mut file = open_for_reading(&entry.path)?;
        file.seek(SeekFrom::Start(found.data_set_offset))?;
        io::copy(&mut DeflateDecoder::new(file).take(INFLATED_BYTES_MAX), &mut io::sink())
    }

    fn report_entry(
        &self,
        text: &mut String,
        number: usize,
        entry: &Entry,
        outcome: &Outcome,
    ) -> std::fmt::Result {
        let Some((class, syntax)) = self.kinds.get(entry.kind) else { return Ok(()) };
        let class_name = name_of(class.as_bytes()).unwrap_or("unknown");
        let syntax_name = long_name(syntax).unwrap_or("Unknown Transfer Syntax");
        writeln!(text, "Number        : {}", number + 1)?;
        writeln!(text, "Filename      : {}", entry.path.display())?;
        writeln!(text, "SOP Instance  : {}", escaped(entry.instance.as_bytes()))?;
        writeln!(text, "SOP Class     : {class} = {class_name}")?;
        writeln!(text, "Original Xfer : {syntax} = {syntax_name}")?;
        // DCMTK's is that of the data set which it holds in memory.
        let inflated = (outcome.bytes > 0 && TransferSyntax::of(syntax).is_deflated)
            .then(|| self.inflated_bytes(entry).ok())
            .flatten();
        // What one association did not take stands there as it was proposed.
        let is_refused = outcome.state == State::NoContext && outcome.association > 0;
        let unsent = || check::look(&entry.path, self.plan.format).map(|one| one.data_set_bytes);
        let bytes = match inflated {
            None if is_refused => unsent().unwrap_or(0),
            bytes => bytes.unwrap_or(outcome.bytes),
        };
        writeln!(text, "Dataset Size  : {bytes} bytes")?;
        writeln!(text, "Association   : {}", outcome.association)?;
        writeln!(text, "Pres. Context : {}", outcome.context_id)?;
        write!(text, "Network Xfer  : ")?;
        if let Some(uid) = outcome.sent_as.as_ref().or(is_refused.then_some(syntax)) {
            write!(text, "{uid} = {}", self::syntax_name(uid))?;
        }
        write!(text, "\nDIMSE Status  : ")?;
        match outcome.state {
            State::Answered(status) => {
                write!(text, "0x{:04x} ({})", status.0, status.text(Operation::Store))?;
            }
            State::NoContext => write!(text, "<no acceptable presentation context>")?,
            State::Unsent | State::Bad | State::Unanswered => write!(text, "<not sent>")?,
        }
        write!(text, "\n\n")
    }

    /// The files from the `first`, `count` at most, as JSON objects with a comma between them.
    pub fn json(&self, first: usize, count: usize) -> String {
        let mut text = String::new();
        self.each(first, count, |_, entry, outcome| {
            if !text.is_empty() {
                text.push_str(",\n");
            }
            let _ = self.json_entry(&mut text, entry, outcome);
        });
        text
    }

    fn json_entry(&self, text: &mut String, entry: &Entry, outcome: &Outcome) -> std::fmt::Result {
        let Some((class, syntax)) = self.kinds.get(entry.kind) else { return Ok(()) };
        let result = match outcome.state {
            State::Unsent => "unsent",
            State::NoContext => "no-context",
            State::Bad => "bad-file",
            State::Unanswered => "unanswered",
            State::Answered(status) => match status.0 {
                0x0000 => "stored",
                0xB000..=0xBFFF | 0x0001 | 0x0107 | 0x0116 => "stored-with-warning",
                _ => "refused",
            },
        };
        text.push_str("{\"file\":");
        write_json_text(&entry.path.to_string_lossy(), text)?;
        text.push_str(",\"sop_class_uid\":");
        write_json_text(class.as_str(), text)?;
        text.push_str(",\"sop_instance_uid\":");
        write_json_text(&escaped(entry.instance.as_bytes()).to_string(), text)?;
        text.push_str(",\"transfer_syntax\":");
        write_json_text(syntax.as_str(), text)?;
        write!(text, ",\"result\":\"{result}\"")?;
        if let Some(uid) = &outcome.sent_as {
            write!(
                text,
                ",\"sent_as\":\"{uid}\",\"bytes\":{},\"association\":{},\"context_id\":{}",
                outcome.bytes, outcome.association, outcome.context_id
            )?;
        }
        if let State::Answered(status) = outcome.state {
            write!(text, ",\"status\":\"{:04X}\",\"status_text\":", status.0)?;
            write_json_text(&status.text(Operation::Store).to_string(), text)?;
        }
        if let Some(reason) = &outcome.reason {
            text.push_str(",\"reason\":");
            write_json_text(reason, text)?;
        }
        text.push('}');
        Ok(())
    }
}
