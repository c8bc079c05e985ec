//! Named places at which a test may stop the process, as if it were killed there.
//!
//! Switched by `DCMFAST_CRASH_AT=<name>`, or `<name>:<n>` for the n-th time, read once; without it a point costs one load. The process
//! ends by `_exit`, so that no destructor tidies up what a crash would leave (PROMISES.md §8.2).
//! Every step of the ordering promise has a point on both sides: those of `storage` are listed in
//! [`STORAGE_POINTS`], those of a storage area in [`AREA_POINTS`], `server` adds `before_response` and `after_response`.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::storage::backend;

/// The points that `storage` passes, in order, for one object in a durable mode.
pub const STORAGE_POINTS: [&str; 5] =
    ["before_sync", "after_sync", "before_rename", "after_rename", "after_directory_sync"];

/// The points that a storage area passes, in no particular order: associations, the applier and
/// checkpoints go their own ways.
pub const AREA_POINTS: [&str; 13] = [
    "before_spool_sync",
    "after_spool_sync",
    "before_journal_write",
    "after_journal_write",
    "after_journal_sync",
    "before_object",
    "after_object",
    "before_index_commit",
    "after_index_commit",
    "after_file_removal",
    "before_checkpoint",
    "after_checkpoint",
    "before_journal_clear",
];

/// Exit status of a process that stopped at a point; no signal and no tool of ours uses it.
pub const CRASH_EXIT_CODE: i32 = 86;

/// Stops the process when the environment names this point.
#[inline]
pub fn crash_point(name: &str) {
    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let read = || {
        let wanted = std::env::var("DCMFAST_CRASH_AT").ok()?;
        let (name, time) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((name.to_owned(), time.parse().ok()?))
    };
    if let Some((wanted, time)) = WANTED.get_or_init(read) {
        if wanted == name && PASSED.fetch_add(1, Ordering::AcqRel) + 1 == *time {
            backend::exit_at_once(CRASH_EXIT_CODE);
        }
    }
}

/// Panics the first time when the environment variable `DCMFAST_PANIC_AT` names this point: a test
/// shows with it that a fault of ours costs one association and no other.
///
/// # Panics
///
/// Once, when it is asked to.
#[inline]
pub fn panic_point(name: &str) {
    static WANTED: OnceLock<Option<OsString>> = OnceLock::new();
    static DONE: AtomicBool = AtomicBool::new(false);
    let wanted = WANTED.get_or_init(|| std::env::var_os("DCMFAST_PANIC_AT"));
    let is_wanted = wanted.as_ref().is_some_and(|wanted| wanted == name);
    assert!(!is_wanted || DONE.swap(true, Ordering::AcqRel), "a panic was asked for");
}
