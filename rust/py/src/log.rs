//! `EventLog`: a logger configuration at work, shared by Python's lines and the engine's.

use std::path::PathBuf;
use std::sync::Arc;

use dcmfast_core::log::appenders::{
    AppenderPlan, Appenders, Branch, Filter, Rotation, Schedule, Target,
};
use dcmfast_core::log::layout::{Layout, Part, Piece};
use dcmfast_core::log::syslog::{Daemon, SysLog};
use dcmfast_core::log::{Level, Logger, system_text};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::server::{level, unknown};

/// `dcmfast.config.log_cfg.LogTable`.
#[derive(FromPyObject)]
pub struct LogPlan {
    branches: Vec<LogBranch>,
    appenders: Vec<LogAppender>,
}

/// `dcmfast.config.log_cfg.LogBranch`.
#[derive(FromPyObject)]
struct LogBranch {
    name: String,
    level: Option<String>,
    appenders: Vec<usize>,
    is_additive: bool,
}

/// What a filter is, a level or text, the highest level of a range, whether it accepts.
type FilterRow = (String, String, String, bool);

/// What a piece of a pattern is, its text, parts of a logger's name, width and cut, left-aligned.
type PieceRow = (String, String, usize, usize, Option<usize>, bool);

/// `dcmfast.config.log_cfg.LogAppender`.
#[derive(FromPyObject)]
struct LogAppender {
    kind: String,
    is_error: bool,
    path: PathBuf,
    is_appended: bool,
    bytes_max: u64,
    backups: u32,
    schedule: String,
    ident: String,
    facility: u8,
    host: String,
    port: u16,
    own_name: String,
    threshold: String,
    filters: Vec<FilterRow>,
    layout: String,
    date_format: Option<String>,
    is_utc: bool,
    pieces: Vec<PieceRow>,
}

impl LogAppender {
    fn compile(self) -> PyResult<AppenderPlan> {
        Ok(AppenderPlan {
            threshold: level(&self.threshold)?,
            filters: self.filters.iter().map(filter).collect::<PyResult<_>>()?,
            layout: match &*self.layout {
                "simple" => Layout::Simple,
                "ttcc" => Layout::Ttcc { date: self.date_format.clone(), is_utc: self.is_utc },
                "json" => Layout::Json,
                "pattern" => {
                    Layout::Pattern(self.pieces.iter().map(piece).collect::<PyResult<_>>()?)
                }
                other => return Err(unknown("layout", other)),
            },
            target: self.target()?,
        })
    }

    fn target(self) -> PyResult<Target> {
        let rotation = match &*self.kind {
            "null" => return Ok(Target::Null),
            "console" => return Ok(Target::Console { is_error: self.is_error }),
            "syslog" => {
                let (ident, facility) = (self.ident, self.facility);
                let daemon = if self.host.is_empty() {
                    Daemon::Local(self.path)
                } else {
                    Daemon::Remote { host: self.host, port: self.port, own_name: self.own_name }
                };
                return Ok(Target::SysLog(SysLog { daemon, ident, facility }));
            }
            "file" => Rotation::Never,
            "rolling" => Rotation::Size { bytes_max: self.bytes_max, backups: self.backups },
            "daily" => {
                let schedule = schedule(&self.schedule)?;
                Rotation::Period { schedule, backups: self.backups }
            }
            other => return Err(unknown("appender", other)),
        };
        Ok(Target::File { path: self.path, is_appended: self.is_appended, rotation })
    }
}

fn schedule(name: &str) -> PyResult<Schedule> {
    Ok(match name {
        "monthly" => Schedule::Monthly,
        "weekly" => Schedule::Weekly,
        "daily" => Schedule::Daily,
        "twice_daily" => Schedule::TwiceDaily,
        "hourly" => Schedule::Hourly,
        "minutely" => Schedule::Minutely,
        other => return Err(unknown("schedule", other)),
    })
}

fn filter(row: &FilterRow) -> PyResult<Filter> {
    let (kind, value, highest, accepts) = row;
    let accepts = *accepts;
    Ok(match &**kind {
        "range" => Filter::Range { minimum: level(value)?, maximum: level(highest)?, accepts },
        "match" => Filter::Match { level: level(value)?, accepts },
        "text" => Filter::Text { text: value.clone(), accepts },
        "deny" => Filter::DenyAll,
        other => return Err(unknown("filter", other)),
    })
}

fn piece(row: &PieceRow) -> PyResult<Piece> {
    let (kind, text, parts, minimum, maximum, is_left) = row;
    let time = |is_utc| Part::Time { format: text.clone(), is_utc };
    let part = match &**kind {
        "literal" => Part::Literal(text.clone()),
        "message" => Part::Message,
        "level" => Part::Level,
        "letter" => Part::LevelLetter,
        "logger" => Part::Logger(*parts),
        "local" => time(false),
        "utc" => time(true),
        "process" => Part::Process,
        "thread" => Part::Thread,
        "elapsed" => Part::Elapsed,
        other => return Err(unknown("conversion", other)),
    };
    Ok(Piece { part, minimum: *minimum, maximum: *maximum, is_left: *is_left })
}

/// A logger configuration at work.
#[pyclass(frozen, module = "dcmfast._rust")]
pub struct EventLog {
    /// What the engine logs with.
    pub logger: Arc<Logger>,
}

#[pymethods]
impl EventLog {
    /// Opens every file of the configuration.
    ///
    /// Raises `LogFileError`, a ValueError of the appender's index and the reason, when one cannot
    /// be opened.
    #[new]
    fn new(plan: LogPlan) -> PyResult<Self> {
        let branches = plan
            .branches
            .into_iter()
            .map(|branch| {
                Ok(Branch {
                    level: branch.level.as_deref().map(level).transpose()?,
                    name: branch.name,
                    appenders: branch.appenders,
                    is_additive: branch.is_additive,
                })
            })
            .collect::<PyResult<_>>()?;
        let appenders =
            plan.appenders.into_iter().map(LogAppender::compile).collect::<PyResult<_>>()?;
        let appenders = Appenders::open(branches, appenders)
            .map_err(|(at, error)| LogFileError::new_err((at, system_text(&error))))?;
        let logger = Arc::new(Logger::with_levels(appenders.levels(), Arc::new(appenders)));
        Ok(Self { logger })
    }

    /// Writes one event if its level is wanted of `logger`.
    fn line(&self, py: Python<'_>, level_name: &str, logger: &str, text: &str) -> PyResult<()> {
        let level = level(level_name)?;
        py.detach(|| self.logger.line(level, logger, format_args!("{text}")));
        Ok(())
    }

    /// Writes one INFO event whatever the levels (`--arguments`).
    fn line_at_any_level(&self, py: Python<'_>, logger: &str, text: &str) {
        py.detach(|| self.logger.line_at_any_level(Level::Info, logger, text));
    }

    /// True when events of this level and logger are shown.
    fn shows(&self, level_name: &str, logger: &str) -> PyResult<bool> {
        Ok(self.logger.enabled(level(level_name)?, logger))
    }

    /// True when progress dots are shown: at INFO exactly.
    fn shows_progress(&self, logger: &str) -> bool {
        self.logger.shows_progress(logger)
    }
}

pyo3::create_exception!(
    _rust,
    LogFileError,
    PyValueError,
    "A log file cannot be opened: the appender's index, and the system's reason."
);
