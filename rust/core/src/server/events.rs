//! What happens when an object was received, and when a study is complete (`-xcr`, `-xcs`, `-rns`,
//! `-tos`).
//!
//! Source: storescp's manual; the order of DCMTK 3.6.7: response, `-xcr`, then for each study that
//! the object ended its new names and `-xcs`. `-xcr` runs for every C-STORE that was answered,
//! whatever its status, because the exchange counts; its `#f` then names what is not there. `-xcs` of a
//! study that ended by another's object is told that association's titles. At an orderly stop the
//! studies that are open end (DIFFERENCES.md D11). Which studies end is decided in `storage::studies`, how
//! commands run in `commands`; here the two are joined. Called by `server::{store, listener}`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::commands::{CommandLine, Commands, Values};
use super::narration::shown_path;
use crate::limits::{ASSOCIATION_STACK_BYTES, COMMAND_LOOK_MS};
use crate::log::{Level, Logger};
use crate::storage::renumber::Renaming;
use crate::storage::studies::{Ended, Origin, Studies};
use crate::storage::writer::Store;

/// The logger of the tool that has events.
const LOGGER: &str = "dcmtk.apps.storescp";
/// The logger of what DCMTK has no words for.
const OURS: &str = "dcmfast.events";

/// The event options of a receiver, as values.
#[derive(Clone, Debug, Default)]
pub struct EventOptions {
    /// `-xcr`.
    pub on_reception: Option<OsString>,
    /// `-xcs`.
    pub on_end_of_study: Option<OsString>,
    /// `-tos`.
    pub end_of_study_timeout: Option<Duration>,
    /// `-xs`.
    pub is_synchronous: bool,
    /// `--ignore`: nothing is written, so `#p` and `#f` have no value.
    pub is_ignoring: bool,
}

/// What a receiver into a directory does beside storing.
pub struct Events {
    store: Arc<Store>,
    logger: Arc<Logger>,
    on_reception: Option<Arc<CommandLine>>,
    on_end_of_study: Option<Arc<CommandLine>>,
    timeout: Option<Duration>,
    commands: Commands,
}

/// Where a received object is, or should be.
pub struct Received {
    /// Its directory.
    pub directory: PathBuf,
    /// Its name there.
    pub file_name: String,
}

impl Events {
    /// The events of a receiver that stores in `store`; `commands` has run none yet.
    pub fn new(
        options: EventOptions,
        store: Arc<Store>,
        logger: Arc<Logger>,
        commands: Commands,
    ) -> Self {
        let letters: &[u8] = if options.is_ignoring { b"acr" } else { b"pfacr" };
        let line = |text, letters| Arc::new(CommandLine::new(text, letters));
        Self {
            store,
            logger,
            on_reception: options.on_reception.map(|text| line(text, letters)),
            on_end_of_study: options.on_end_of_study.map(|text| line(text, b"pacr")),
            timeout: options.end_of_study_timeout,
            commands,
        }
    }

    /// True when somebody wants to know of each object.
    pub const fn wants_receptions(&self) -> bool {
        self.on_reception.is_some()
    }

    /// A C-STORE was answered.
    pub fn received(&self, received: Received, origin: Origin) {
        if let Some(line) = &self.on_reception {
            let Received { directory, file_name } = received;
            let values = Values { path: directory.into(), file: file_name, origin };
            self.commands.run(line, values);
        }
    }

    /// A study has ended: its files get their names, then its command runs.
    pub fn study_ended(&self, ended: &Ended, origin: Origin) {
        if let Some((line, values)) = self.complete(ended, origin) {
            self.commands.run(line, values);
        }
    }

    /// Renames the files of a study; gives the command that is to be run then.
    fn complete(&self, ended: &Ended, origin: Origin) -> Option<(&Arc<CommandLine>, Values)> {
        if !ended.names.is_empty() {
            self.store.renumber(ended, &mut |renaming| self.tell(&renaming));
        }
        let line = self.on_end_of_study.as_ref()?;
        let path = self.store.path_of_folder(&ended.folder).into();
        Some((line, Values { path, file: String::new(), origin }))
    }

    fn tell(&self, renaming: &Renaming) {
        let file = |path| shown_path(&self.store, &self.logger, path, false);
        let folder_of = |path| shown_path(&self.store, &self.logger, path, true);
        match renaming {
            Renaming::Failed { from, to, .. } => {
                let (from, to) = (file(from), file(to));
                self.logger.line(
                    Level::Warn,
                    LOGGER,
                    format_args!("cannot rename file '{}' to '{}'", from.display(), to.display()),
                );
            }
            Renaming::NumberedOn { folder, number } => self.logger.line(
                Level::Info,
                OURS,
                format_args!(
                    "{}: names of an earlier end of this study are taken; numbers go on from \
                     {number:06}",
                    folder.display()
                ),
            ),
            Renaming::Forgotten { folder, files } => self.logger.line(
                Level::Error,
                OURS,
                format_args!(
                    "{}: {files} files keep their names: too many",
                    folder_of(folder).display()
                ),
            ),
            Renaming::NotSynced { folder, source } => self.logger.line(
                Level::Error,
                OURS,
                format_args!(
                    "{}: the new names are not synced: {source}",
                    folder_of(folder).display()
                ),
            ),
        }
    }

    /// True when a silence ends a study (`-tos`).
    pub const fn is_silence_the_end_of_a_study(&self) -> bool {
        self.timeout.is_some()
    }

    /// Ends what is open, and starts what waits to be started, at most until `deadline`.
    pub fn finish(&self, deadline: Instant) {
        if let Some(studies) = self.store.studies() {
            for ended in studies.end_all() {
                if let Some((line, values)) = self.complete(&ended, ended.origin) {
                    self.commands.run_last(line, values, deadline);
                }
            }
        }
        self.commands.finish(deadline);
    }

    /// Watches for studies that nothing comes for, where there is a timeout (`-tos`). To be called
    /// in the process that serves, after it was forked.
    pub fn watch(self: &Arc<Self>) -> Option<Watch> {
        let (timeout, studies) = (self.timeout?, Arc::clone(self.store.studies()?));
        let (events, watched) = (Arc::clone(self), Arc::clone(&studies));
        let look = move || loop {
            let (ended, next) = watched.expire(timeout, Instant::now());
            for ended in &ended {
                events.study_ended(ended, ended.origin);
            }
            // What has ended may have taken time; look again before the next wait.
            if ended.is_empty() && !watched.wait(next) {
                return;
            }
        };
        let spawned =
            Builder::new().name("studies".into()).stack_size(ASSOCIATION_STACK_BYTES).spawn(look);
        match spawned {
            Ok(thread) => Some(Watch { studies, thread: Some(thread) }),
            Err(error) => {
                self.logger.line(
                    Level::Error,
                    OURS,
                    format_args!("cannot start a thread: no study ends by time: {error}"),
                );
                None
            }
        }
    }
}

impl Watch {
    /// Ends the thread once it is through with a study that it has taken out, at most until
    /// `deadline`: a command that it waits for (`-xs`) may never end, and the process does all the
    /// same.
    pub fn end(mut self, deadline: Instant) {
        self.studies.close();
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(COMMAND_LOOK_MS));
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

/// The thread that ends studies by time; dropping it ends the thread.
pub struct Watch {
    studies: Arc<Studies>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.studies.close();
        // A command that it waits for (-xs) may never end; the process does all the same.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A study that the thread has taken out is seen to its end, unless that takes too long.
    #[test]
    fn the_watch_ends_what_it_has_begun() {
        let studies = Studies::new(false);
        let is_done = Arc::new(AtomicBool::new(false));
        let (watched, done) = (Arc::clone(&studies), Arc::clone(&is_done));
        let thread = std::thread::spawn(move || {
            let (_, next) = watched.expire(Duration::from_secs(1), Instant::now());
            // Until it is closed.
            while watched.wait(next) {}
            std::thread::sleep(Duration::from_millis(50));
            done.store(true, Ordering::Release);
        });
        let watch = Watch { studies: Arc::clone(&studies), thread: Some(thread) };
        watch.end(Instant::now() + Duration::from_secs(20));
        assert!(is_done.load(Ordering::Acquire));
        let thread = std::thread::spawn(|| std::thread::sleep(Duration::from_secs(3)));
        let begun = Instant::now();
        Watch { studies, thread: Some(thread) }.end(begun + Duration::from_millis(20));
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}
