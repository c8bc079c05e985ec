//! The look at index and files after a crash, while the area is served.
//!
//! The start itself looks only at what journal and spool name. What else may be wrong, because a
//! power cut came without durability or a disk lost something, is found here: all pages of the index,
//! then rows without a file and files without a row, as `dcmfast index verify` finds them. What can
//! mean only one thing is put right, in small commits beside those of the applier; the rest is told.
//!
//! One thread, which rests several times as long as it works, and longer while objects are stored. It
//! ends when the area is closed. Called by `server::areas`.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::area::LOGGER;
use super::indexed::OpenArea;
use super::layout;
use super::maintenance::{Step, ToolError};
use super::verify::{Finding, check_pages, verify_beside};
use crate::limits::{
    BACKGROUND_FINDINGS_TOLD, BACKGROUND_REST_BUSY, BACKGROUND_REST_IDLE, BACKGROUND_REST_MS_MAX,
};
use crate::log::Level;

/// A check under way, or at its end. Ends with this value.
pub struct BackgroundCheck {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    is_wanted: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rests; false when the end is wanted.
    fn rest(&self, time: Duration) -> bool {
        let stopped = self.told.wait_timeout_while(self.lock(), time, |is_wanted| !*is_wanted);
        !*stopped.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl BackgroundCheck {
    /// Starts the check of an open area in `directory`.
    pub fn start(open: &OpenArea, directory: &Path) -> Self {
        let stop = Arc::new(Stop::default());
        let check =
            Check { open: open.clone(), directory: directory.into(), stop: Arc::clone(&stop) };
        let named = thread::Builder::new().name("dcmfast-check".to_owned());
        // Without a thread there is no check, and all else goes on.
        Self { stop, thread: named.spawn(move || check.run()).ok() }
    }

    /// Waits until the check has come to its end.
    pub fn wait(mut self) {
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic was told by its hook.
            let _ = thread.join();
        }
    }
}

impl Drop for BackgroundCheck {
    fn drop(&mut self) {
        *self.stop.lock() = true;
        self.stop.told.notify_all();
        self.join();
    }
}

struct Check {
    open: OpenArea,
    directory: Box<Path>,
    stop: Arc<Stop>,
}

impl Check {
    fn run(&self) {
        let name = self.directory.display();
        self.line(
            Level::Info,
            format_args!("{name}: the last end was none in order; index and files are compared"),
        );
        let mut pace = Pace { check: self, worked_since: Instant::now(), written: 0 };
        let mut watch = |_: Step| pace.rest();
        if let Err(error) = check_pages(&self.directory, &self.open.index, &mut watch) {
            return self.failed(&error);
        }
        let mut told = 0;
        let mut report = |finding: &Finding| {
            told += 1;
            if told <= BACKGROUND_FINDINGS_TOLD {
                self.finding(finding);
            }
        };
        let (done, outcome) = verify_beside(&self.directory, &self.open, &mut report, &mut watch);
        if told > BACKGROUND_FINDINGS_TOLD {
            let more = told - BACKGROUND_FINDINGS_TOLD;
            self.line(Level::Warn, format_args!("{name}: {more} more findings"));
        }
        if let Err(error) = outcome {
            return self.failed(&error);
        }
        if done.undecided > 0 {
            // Without the mark of a whole comparison: the next start begins anew.
            let why = "cannot be compared while nothing can be stored; the next start tries again";
            return self.line(Level::Warn, format_args!("{name}: {} files {why}", done.undecided));
        }
        self.open.area.set_checked();
        let (level, hint) = if done.findings > done.repaired {
            (Level::Warn, "; `dcmfast index verify` shows the rest")
        } else if done.findings > 0 {
            (Level::Warn, "")
        } else {
            (Level::Info, "")
        };
        self.line(
            level,
            format_args!(
                "{name}: {} instances and {} files compared: {} findings, {} repaired{hint}",
                done.instances, done.files, done.findings, done.repaired
            ),
        );
    }

    fn finding(&self, finding: &Finding) {
        let mark = if finding.is_repaired { "; the index is repaired" } else { "" };
        let place = layout::display_name(&finding.location);
        self.line(
            Level::Warn,
            format_args!(
                "{}: {}: {}{mark}",
                self.directory.display(),
                place.as_bytes().escape_ascii(),
                finding.problem
            ),
        );
    }

    fn failed(&self, error: &ToolError) {
        match error {
            ToolError::Cancelled => {}
            error => self.line(Level::Error, format_args!("{error}")),
        }
    }

    fn line(&self, level: Level, text: core::fmt::Arguments<'_>) {
        self.open.area.options().logger.line(level, LOGGER, text);
    }
}

/// How fast the check goes.
struct Pace<'c> {
    check: &'c Check,
    worked_since: Instant,
    /// The last record of the journal when the last rest began.
    written: u64,
}

impl Pace<'_> {
    /// Rests after a portion of work; false when the end is wanted.
    fn rest(&mut self) -> bool {
        let (written, _) = self.check.open.area.written_and_applied();
        let is_busy = core::mem::replace(&mut self.written, written) != written;
        let times = if is_busy { BACKGROUND_REST_BUSY } else { BACKGROUND_REST_IDLE };
        let rest = self.worked_since.elapsed() * times;
        let longest = Duration::from_millis(BACKGROUND_REST_MS_MAX);
        // A portion without work is one of waiting for somebody else.
        let rest = rest.clamp(Duration::from_millis(1), longest);
        let goes_on = self.check.stop.rest(rest);
        self.worked_since = Instant::now();
        goes_on
    }
}
