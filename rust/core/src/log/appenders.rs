//! The sink of a logger configuration (`-lc`): which appenders an event reaches, and their files.
//!
//! A table compiled in Python (`config/log_cfg.py`) says which loggers have which level and which
//! appenders; [`Appenders`] is that table at work. An event reaches the appenders of its logger and
//! of each parent, up to the first logger that is not additive. Each event is formatted first and
//! then leaves in one write, under its appender's lock: lines never tear, and none is lost between
//! two files of a rotation. Names and moments of rotation are those of log4cplus in DCMTK 3.6.7.
//!
//! Nothing is held back: DCMTK's `ImmediateFlush = false` loses lines when a server is killed. A
//! failure to write is told once on standard error; a receiver does not die of its log. Called by
//! the front end, which hands it to a [`super::Logger`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::layout::{Event, Layout};
use super::syslog::{Line, SysLog};
use super::{Level, Levels, Sink, system};

/// One logger of the configuration.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Its name; empty for the root.
    pub name: String,
    /// `None` inherits the parent's.
    pub level: Option<Level>,
    /// Indices of its appenders.
    pub appenders: Vec<usize>,
    /// Events go to the parent's appenders as well.
    pub is_additive: bool,
}

/// A filter of an appender; the first one that decides counts.
#[derive(Clone, Debug)]
pub enum Filter {
    /// `LogLevelRangeFilter`: outside is denied; inside is accepted, or passed on.
    Range {
        /// Lowest level inside.
        minimum: Level,
        /// Highest level inside.
        maximum: Level,
        /// Decide for what is inside.
        accepts: bool,
    },
    /// `LogLevelMatchFilter`: this level is accepted, or denied.
    Match {
        /// The level.
        level: Level,
        /// Accept it.
        accepts: bool,
    },
    /// `StringMatchFilter`: a message with this text is accepted, or denied.
    Text {
        /// The text.
        text: String,
        /// Accept it.
        accepts: bool,
    },
    /// `DenyAllFilter`
    DenyAll,
}

impl Filter {
    /// Whether the event is written; `None` leaves it to the next filter.
    fn decides(&self, event: &Event<'_>) -> Option<bool> {
        match self {
            Self::Range { minimum, maximum, .. }
                if event.level < *minimum || event.level > *maximum =>
            {
                Some(false)
            }
            Self::Range { accepts, .. } => accepts.then_some(true),
            Self::Match { level, accepts } => (*level == event.level).then_some(*accepts),
            Self::Text { text, accepts } => event.text.contains(text).then_some(*accepts),
            Self::DenyAll => Some(false),
        }
    }
}

/// How often a daily rolling file begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Each month.
    Monthly,
    /// Each Sunday.
    Weekly,
    /// At midnight.
    Daily,
    /// At midnight and noon.
    TwiceDaily,
    /// Each hour.
    Hourly,
    /// Each minute.
    Minutely,
}

impl Schedule {
    /// What stands behind the name of the file of the period that `seconds` since 1970 fall in.
    fn period(self, seconds: u64) -> String {
        let (seconds, format) = match self {
            Self::Monthly => (seconds, "%Y-%m"),
            // The week is named for its Sunday. Noon of that day: no change of clocks moves it.
            Self::Weekly => {
                let hours: u64 = system::time_text("%H", seconds, false).parse().unwrap_or(12);
                let noon = (seconds + 12 * 3600).saturating_sub(hours * 3600);
                (noon.saturating_sub(system::weekday(seconds) * 86_400), "%Y-%W")
            }
            Self::Daily => (seconds, "%Y-%m-%d"),
            Self::TwiceDaily => (seconds, "%Y-%m-%d-%p"),
            Self::Hourly => (seconds, "%Y-%m-%d-%H"),
            Self::Minutely => (seconds, "%Y-%m-%d-%H-%M"),
        };
        system::time_text(format, seconds, false)
    }
}

/// When a file is set aside.
#[derive(Clone, Debug)]
pub enum Rotation {
    /// Never.
    Never,
    /// `RollingFileAppender`: beyond so many bytes; `.1` is the newest of so many backups.
    Size {
        /// Size that is let pass.
        bytes_max: u64,
        /// Backups kept.
        backups: u32,
    },
    /// `DailyRollingFileAppender`: at the end of a period, under the period's name.
    Period {
        /// Length of the period.
        schedule: Schedule,
        /// Further files of the same period kept.
        backups: u32,
    },
}

/// Where an appender writes.
#[derive(Clone, Debug)]
pub enum Target {
    /// `NullAppender`
    Null,
    /// `ConsoleAppender`
    Console {
        /// Standard error instead of standard output.
        is_error: bool,
    },
    /// The file appenders.
    File {
        /// Its path.
        path: PathBuf,
        /// What is there stays.
        is_appended: bool,
        /// When it is set aside.
        rotation: Rotation,
    },
    /// `SysLogAppender`
    SysLog(SysLog),
}

/// One appender of the configuration.
#[derive(Clone, Debug)]
pub struct AppenderPlan {
    /// Where.
    pub target: Target,
    /// Lowest level written.
    pub threshold: Level,
    /// Asked in order.
    pub filters: Vec<Filter>,
    /// In what form.
    pub layout: Layout,
}

/// A logger configuration at work.
pub struct Appenders {
    branches: Vec<Branch>,
    outputs: Vec<Appender>,
    start: Instant,
}

impl Appenders {
    /// Opens every file.
    ///
    /// # Errors
    ///
    /// The first appender whose file cannot be opened, by its index, with the system's reason.
    pub fn open(
        branches: Vec<Branch>,
        plans: Vec<AppenderPlan>,
    ) -> Result<Self, (usize, io::Error)> {
        let outputs = plans
            .into_iter()
            .enumerate()
            .map(|(at, plan)| Appender::open(plan).map_err(|error| (at, error)))
            .collect::<Result<_, _>>()?;
        Ok(Self { branches, outputs, start: Instant::now() })
    }

    /// The levels in force, by logger.
    pub fn levels(&self) -> Levels {
        let named = |branch: &Branch| Some((branch.name.clone(), branch.level?));
        Levels::new(self.branches.iter().filter_map(named).collect())
    }
}

/// True when `logger` is the logger `name` or below it.
pub(super) fn is_within(logger: &str, name: &str) -> bool {
    name.is_empty()
        || logger.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Sink for Appenders {
    fn record(&self, level: Level, logger: &str, text: &str) {
        let event = Event {
            level,
            logger,
            text,
            time: system::now(),
            elapsed: self.start.elapsed(),
            process: std::process::id(),
            thread: system::thread_number(),
        };
        // From the logger itself to the root: of two that hold it, the longer name is nearer.
        let mut above: Vec<&Branch> =
            self.branches.iter().filter(|branch| is_within(logger, &branch.name)).collect();
        above.sort_by_key(|branch| std::cmp::Reverse(branch.name.len()));
        for branch in above {
            for appender in branch.appenders.iter().filter_map(|&at| self.outputs.get(at)) {
                appender.append(&event);
            }
            if !branch.is_additive {
                break;
            }
        }
    }

    fn progress(&self, text: &str) {
        write_progress(text);
    }
}

/// Progress characters are no events: whatever the sink of lines, they go to standard output.
pub fn write_progress(text: &str) {
    let mut output = io::stdout().lock();
    let _ = output.write_all(text.as_bytes());
    let _ = output.flush();
}

struct Appender {
    plan: AppenderPlan,
    output: Mutex<Output>,
}

/// What an appender writes to, under its lock.
enum Output {
    Null,
    Console { is_error: bool },
    File(LogFile),
    SysLog { line: Line, is_failing: bool },
}

impl Appender {
    fn open(plan: AppenderPlan) -> io::Result<Self> {
        let output = match &plan.target {
            Target::Null => Output::Null,
            Target::Console { is_error } => Output::Console { is_error: *is_error },
            Target::File { path, is_appended, rotation } => {
                Output::File(LogFile::open(path, *is_appended, rotation.clone())?)
            }
            Target::SysLog(syslog) => Output::SysLog { line: syslog.open()?, is_failing: false },
        };
        Ok(Self { plan, output: Mutex::new(output) })
    }

    fn append(&self, event: &Event<'_>) {
        if event.level < self.plan.threshold
            || self.plan.filters.iter().find_map(|filter| filter.decides(event)) == Some(false)
        {
            return;
        }
        let text = self.plan.layout.text(event);
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *output {
            Output::Null => {}
            // As for the console without a configuration: a receiver does not die of its terminal.
            Output::Console { is_error: true } => {
                let _ = io::stderr().lock().write_all(text.as_bytes());
            }
            Output::Console { is_error: false } => {
                let mut stream = io::stdout().lock();
                let _ = stream.write_all(text.as_bytes());
                let _ = stream.flush();
            }
            Output::File(file) => file.append(&text, event.time.as_secs()),
            Output::SysLog { line, is_failing } => {
                if let Target::SysLog(syslog) = &self.plan.target {
                    let outcome = syslog.send(line, event, &text);
                    tell_once(is_failing, &syslog.place(), outcome);
                }
            }
        }
    }
}

/// Tells the first of a row of failures on standard error.
fn tell_once(is_failing: &mut bool, path: &Path, outcome: io::Result<()>) {
    match outcome {
        Ok(()) => *is_failing = false,
        Err(_) if *is_failing => {}
        Err(error) => {
            *is_failing = true;
            let reason = super::system_text(&error);
            let text = format!("E: dcmfast.log: cannot write to {}: {reason}\n", path.display());
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }
}

/// A log file and when it is set aside.
struct LogFile {
    path: PathBuf,
    file: File,
    rotation: Rotation,
    /// Length so far, in bytes.
    length: u64,
    /// Name of the period that the file belongs to; empty for other rotations.
    period: String,
    /// Minute since 1970 in which the period was last looked at.
    minute: u64,
    is_failing: bool,
}

impl LogFile {
    fn open(path: &Path, is_appended: bool, rotation: Rotation) -> io::Result<Self> {
        if !is_appended {
            File::create(path)?;
        }
        let file = open_to_append(path)?;
        let length = file.metadata()?.len();
        let seconds = system::now().as_secs();
        let period = match &rotation {
            Rotation::Period { schedule, .. } => schedule.period(seconds),
            _ => String::new(),
        };
        let minute = seconds / 60;
        Ok(Self { path: path.into(), file, rotation, length, period, minute, is_failing: false })
    }

    /// Writes one event, and sets the file aside before or behind it as the rotation says.
    ///
    /// Other processes may write to the file, and set it aside (`--fork`): then this one goes on in
    /// the new file, and only whoever finds it in its place, under its lock, sets it aside.
    fn append(&mut self, text: &str, seconds: u64) {
        let outcome = self.follow(seconds).and_then(|()| self.rotate_by_period(seconds));
        let outcome = self.file.write_all(text.as_bytes()).and(outcome);
        self.length += text.len() as u64;
        let outcome = outcome.and_then(|()| self.rotate_by_size(seconds));
        tell_once(&mut self.is_failing, &self.path, outcome);
    }

    fn rotate_by_period(&mut self, seconds: u64) -> io::Result<()> {
        let Rotation::Period { schedule, backups } = self.rotation else { return Ok(()) };
        // Every period begins with a minute.
        if seconds / 60 == self.minute {
            return Ok(());
        }
        self.minute = seconds / 60;
        let period = schedule.period(seconds);
        if period == self.period {
            return Ok(());
        }
        let Some(_locked) = self.begin_rotation(seconds)? else { return Ok(()) };
        let ended = with_suffix(&self.path, &self.period);
        if ended.exists() {
            make_room(&ended, backups)?;
        }
        self.set_aside(&ended)?;
        self.period = period;
        Ok(())
    }

    /// Opens the file anew where another process has set it aside.
    fn follow(&mut self, seconds: u64) -> io::Result<()> {
        if matches!(self.rotation, Rotation::Never) {
            return Ok(());
        }
        if !is_at(&self.file, &self.path)? {
            self.file = open_to_append(&self.path)?;
            if let Rotation::Period { schedule, .. } = &self.rotation {
                self.period = schedule.period(seconds);
            }
        }
        // Others write there, too.
        self.length = self.file.metadata()?.len();
        Ok(())
    }

    /// Takes the lock for a rotation; `None` where another process was first.
    fn begin_rotation(&mut self, seconds: u64) -> io::Result<Option<File>> {
        // A description of its own: processes that were forked from this one share the other.
        let locked = open_to_append(&self.path)?;
        system::lock(&locked)?;
        if is_at(&locked, &self.path)? && is_at(&self.file, &self.path)? {
            return Ok(Some(locked));
        }
        self.follow(seconds)?;
        Ok(None)
    }

    fn rotate_by_size(&mut self, seconds: u64) -> io::Result<()> {
        let Rotation::Size { bytes_max, backups } = self.rotation else { return Ok(()) };
        if self.length <= bytes_max {
            return Ok(());
        }
        let Some(_locked) = self.begin_rotation(seconds)? else { return Ok(()) };
        for number in (1..backups).rev() {
            move_if_there(
                &with_suffix(&self.path, &number.to_string()),
                &with_suffix(&self.path, &(number + 1).to_string()),
            )?;
        }
        self.set_aside(&with_suffix(&self.path, "1"))
    }

    /// Renames the file and begins a new one. Until that one is open, events go on into the old.
    fn set_aside(&mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.file = open_to_append(&self.path)?;
        self.length = self.file.metadata()?.len();
        Ok(())
    }
}

/// Moves `path` to `.1`, `.1` to `.2` and so on; of `backups` the last one goes.
fn make_room(path: &Path, backups: u32) -> io::Result<()> {
    for number in (1..backups).rev() {
        move_if_there(
            &with_suffix(path, &number.to_string()),
            &with_suffix(path, &(number + 1).to_string()),
        )?;
    }
    move_if_there(path, &with_suffix(path, "1"))
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// True while `path` leads to this open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((own.dev(), own.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Each write goes to the end, beside those of other processes.
fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    use super::super::syslog::Daemon;
    use super::*;
    use crate::log::Logger;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    /// A directory of its own, removed with the value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path =
                std::env::temp_dir().join(format!("dcmfast-log-{}-{number}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap_or_default()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn file(path: PathBuf, rotation: Rotation) -> AppenderPlan {
        AppenderPlan {
            target: Target::File { path, is_appended: true, rotation },
            threshold: Level::Trace,
            filters: Vec::new(),
            layout: Layout::Simple,
        }
    }

    fn branch(name: &str, level: Option<Level>, appenders: &[usize], is_additive: bool) -> Branch {
        Branch { name: name.into(), level, appenders: appenders.to_vec(), is_additive }
    }

    fn logger(branches: Vec<Branch>, plans: Vec<AppenderPlan>) -> Logger {
        let appenders = Appenders::open(branches, plans).map_err(|(_, error)| error).unwrap();
        Logger::with_levels(appenders.levels(), Arc::new(appenders))
    }

    /// Levels are inherited by the dots of names, appenders collected up to the one that is not
    /// additive; an appender named twice writes twice, as log4cplus's does.
    #[test]
    fn inheritance_and_additivity() {
        let scratch = Scratch::new();
        let path = |name: &str| scratch.0.join(name);
        let log = logger(
            vec![
                branch("", Some(Level::Error), &[0], true),
                branch("a", Some(Level::Info), &[1], true),
                branch("a.b", None, &[1], true),
                branch("a.c", Some(Level::Debug), &[1], false),
            ],
            vec![file(path("root"), Rotation::Never), file(path("a"), Rotation::Never)],
        );
        log.line(Level::Info, "a.b.x", format_args!("1"));
        log.line(Level::Debug, "a.b", format_args!("2"));
        log.line(Level::Debug, "a.c", format_args!("3"));
        log.line(Level::Warn, "ab", format_args!("4"));
        log.line(Level::Error, "ab", format_args!("5"));
        assert_eq!(scratch.read("root"), "INFO - 1\nERROR - 5\n");
        assert_eq!(scratch.read("a"), "INFO - 1\nINFO - 1\nDEBUG - 3\n");
        assert!(log.enabled(Level::Debug, "a.c.d"));
        assert!(!log.enabled(Level::Debug, "a.b"));
        assert!(log.shows_progress("a.b.progress"));
        assert!(!log.shows_progress("a.c.progress"));
    }

    /// The first filter that decides counts; none lets pass.
    #[test]
    fn filters_and_thresholds() {
        let scratch = Scratch::new();
        let range = |accepts| Filter::Range { minimum: Level::Info, maximum: Level::Warn, accepts };
        let with = |name: &str, threshold, filters| AppenderPlan {
            threshold,
            filters,
            ..file(scratch.0.join(name), Rotation::Never)
        };
        let text = |accepts| Filter::Text { text: "key".into(), accepts };
        let log = logger(
            vec![branch("", Some(Level::Trace), &[0, 1, 2, 3], true)],
            vec![
                with("range", Level::Trace, vec![range(false), text(true), Filter::DenyAll]),
                with(
                    "match",
                    Level::Trace,
                    vec![Filter::Match { level: Level::Warn, accepts: false }],
                ),
                with("text", Level::Error, vec![text(false)]),
                with("accept", Level::Trace, vec![range(true), Filter::DenyAll]),
            ],
        );
        for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
            log.line(level, "x", format_args!("key"));
            log.line(level, "x", format_args!("-"));
        }
        assert_eq!(scratch.read("range"), "INFO - key\nWARN - key\n");
        assert_eq!(
            scratch.read("match"),
            "DEBUG - key\nDEBUG - -\nINFO - key\nINFO - -\nERROR - key\nERROR - -\n"
        );
        assert_eq!(scratch.read("text"), "ERROR - -\n");
        assert_eq!(scratch.read("accept"), "INFO - key\nINFO - -\nWARN - key\nWARN - -\n");
    }

    /// Eight threads over a hundred rotations: each line is there once, whole, and in the order of
    /// its thread, through all files from the oldest to the newest.
    #[test]
    fn no_line_is_lost_or_torn_by_rotation() {
        let scratch = Scratch::new();
        let rotation = Rotation::Size { bytes_max: 1000, backups: 1000 };
        let log = logger(
            vec![branch("", Some(Level::Info), &[0], true)],
            vec![file(scratch.0.join("log"), rotation)],
        );
        thread::scope(|scope| {
            for number in 0..8 {
                let log = &log;
                scope.spawn(move || {
                    for line in 0..500 {
                        log.line(Level::Info, "x", format_args!("{number} {line} end"));
                    }
                });
            }
        });
        let mut names: Vec<(u32, String)> = fs::read_dir(&scratch.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| (name.strip_prefix("log.").map_or(0, |n| n.parse().unwrap()), name))
            .collect();
        names.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        assert!(names.len() > 50);
        let mut next = [0; 8];
        for line in names
            .iter()
            .flat_map(|(_, name)| scratch.read(name).lines().map(str::to_owned).collect::<Vec<_>>())
        {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!((words[0], words[1], words[4]), ("INFO", "-", "end"), "{line}");
            let thread: usize = words[2].parse().unwrap();
            assert_eq!(words[3].parse(), Ok(next[thread]));
            next[thread] += 1;
        }
        assert_eq!(next, [500; 8]);
    }

    /// So many backups and no more; the newest is `.1`.
    #[test]
    fn backups_by_size() {
        let scratch = Scratch::new();
        let rotation = Rotation::Size { bytes_max: 5, backups: 2 };
        let log = logger(
            vec![branch("", Some(Level::Info), &[0], true)],
            vec![file(scratch.0.join("log"), rotation)],
        );
        for number in 1..=4 {
            log.line(Level::Info, "x", format_args!("{number}"));
        }
        assert_eq!(scratch.read("log"), "");
        assert_eq!(scratch.read("log.1"), "INFO - 4\n");
        assert_eq!(scratch.read("log.2"), "INFO - 3\n");
        assert!(!scratch.0.join("log.3").exists());
    }

    /// A file gets the name of the period that has ended, and an older one of that name steps back.
    #[test]
    fn files_of_periods() {
        let scratch = Scratch::new();
        let path = scratch.0.join("log");
        let rotation = Rotation::Period { schedule: Schedule::Minutely, backups: 1 };
        let mut file = LogFile::open(&path, true, rotation).unwrap();
        let (start, first) = (file.minute * 60, file.period.clone());
        file.append("a\n", start);
        file.append("b\n", start + 59);
        fs::write(with_suffix(&path, &first), "old\n").unwrap();
        file.append("c\n", start + 60);
        assert_eq!(scratch.read(&format!("log.{first}")), "a\nb\n");
        assert_eq!(scratch.read(&format!("log.{first}.1")), "old\n");
        assert_eq!(scratch.read("log"), "c\n");
    }

    /// The names of periods are log4cplus's; a week is named for its Sunday.
    #[test]
    fn names_of_periods() {
        let name = |schedule: Schedule| schedule.period(951_825_600); // 2000-02-29 12:00 UTC
        assert_eq!(name(Schedule::Monthly), "2000-02");
        assert_eq!(name(Schedule::Daily), "2000-02-29");
        assert!(name(Schedule::Minutely).starts_with("2000-02-29-"));
        assert_eq!(name(Schedule::Weekly), "2000-08");
        let sunday = 951_825_600 - 2 * 86_400;
        assert_eq!(Schedule::Weekly.period(sunday), "2000-08");
        assert_eq!(Schedule::Weekly.period(sunday - 86_400), "2000-07");
    }

    /// When a file cannot be set aside, lines go on into it.
    #[test]
    fn a_failing_rotation_loses_nothing() {
        let scratch = Scratch::new();
        let path = scratch.0.join("log");
        fs::create_dir_all(scratch.0.join("log.1/full")).unwrap();
        let rotation = Rotation::Size { bytes_max: 1, backups: 1 };
        let mut file = LogFile::open(&path, true, rotation).unwrap();
        file.append("a\n", 0);
        file.append("b\n", 0);
        assert_eq!(scratch.read("log"), "a\nb\n");
        assert!(file.is_failing);
    }

    /// A file that cannot be opened is named by its appender.
    #[test]
    fn a_file_that_cannot_be_opened() {
        let plans = vec![
            AppenderPlan { target: Target::Null, ..file("x".into(), Rotation::Never) },
            file("/nonexistent/log".into(), Rotation::Never),
        ];
        let failed = Appenders::open(vec![branch("", None, &[], true)], plans);
        let Err((at, error)) = failed else { panic!("it was opened") };
        assert_eq!((at, error.kind()), (1, io::ErrorKind::NotFound));
    }

    /// What syslog(3) would send, to a daemon that comes late and comes again.
    #[test]
    fn syslog() {
        let scratch = Scratch::new();
        let socket = scratch.0.join("log");
        let daemon = Daemon::Local(socket.clone());
        let target = Target::SysLog(SysLog { daemon, ident: "me".into(), facility: 19 });
        let plan = AppenderPlan { target, ..file("x".into(), Rotation::Never) };
        let log = logger(vec![branch("", Some(Level::Trace), &[0], true)], vec![plan]);
        log.line(Level::Info, "x", format_args!("nobody hears this"));
        for _ in 0..2 {
            let daemon = UnixDatagram::bind(&socket).unwrap();
            log.line(Level::Warn, "x", format_args!("a"));
            let mut bytes = [0; 100];
            let length = daemon.recv(&mut bytes).unwrap();
            let text = std::str::from_utf8(&bytes[..length]).unwrap();
            // <19 * 8 + 4>Mmm dd hh:mm:ss
            assert!(text.starts_with("<156>"), "{text}");
            assert!(text[5 + 15..].starts_with(" me: WARN - a\n"), "{text}");
            drop(daemon);
            fs::remove_file(&socket).unwrap();
        }
    }

    /// RFC 5424, as DCMTK 3.6.7 sends it.
    #[test]
    fn syslog_of_another_host() {
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        let daemon = Daemon::Remote {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            own_name: "here".into(),
        };
        let target = Target::SysLog(SysLog { daemon, ident: String::new(), facility: 1 });
        let plan = AppenderPlan { target, ..file("x".into(), Rotation::Never) };
        let log = logger(vec![branch("", Some(Level::Trace), &[0], true)], vec![plan]);
        log.line(Level::Fatal, "a.b", format_args!("text"));
        let mut bytes = [0; 200];
        let length = listener.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words[0], "<10>1");
        // 2026-11-22T00:53:19.920Z
        assert!(words[1].len() == 24 && words[1].ends_with('Z'), "{text}");
        let process = std::process::id().to_string();
        assert_eq!(words[2..], ["here", "-", &process, "a.b", "-", "FATAL", "-", "text\n"]);
    }

    /// Two appenders of one file, as processes have them: whoever is later goes on in the new file,
    /// no file is set aside before it is full, and no line is missing.
    #[test]
    fn processes_share_a_rolling_file() {
        let scratch = Scratch::new();
        let path = scratch.0.join("log");
        let rotation = Rotation::Size { bytes_max: 2000, backups: 99 };
        let open = || {
            let plans = vec![file(path.clone(), rotation.clone())];
            logger(vec![branch("", Some(Level::Trace), &[0], true)], plans)
        };
        let logs: Vec<_> = (0..3).map(|_| open()).collect();
        thread::scope(|scope| {
            for (at, log) in logs.iter().enumerate() {
                scope.spawn(move || {
                    for number in 0..300 {
                        log.line(Level::Info, "x", format_args!("{at} {number:0>20}"));
                    }
                });
            }
        });
        let mut lines = 0;
        for entry in fs::read_dir(&scratch.0).unwrap() {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            lines += text.lines().count();
            assert!(text.lines().all(|line| line.len() == "INFO - 0 ".len() + 20), "{text}");
            let is_full = text.len() > 2000;
            assert!(is_full || entry.path() == path, "{:?}: {}", entry.path(), text.len());
        }
        assert_eq!(lines, 900);
    }
}
