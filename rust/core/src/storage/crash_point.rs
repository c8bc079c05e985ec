//! Named places at which a test may stop the process, as if it were killed there.
//!
//! Switched by `DCMFAST_CRASH_AT=<name>`, read once; without it a point costs one load. The process
//! ends by `_exit`, so that no destructor tidies up what a crash would leave (PROMISES.md §8.2).
//! Every step of the ordering promise has a point on both sides: those of `storage` are listed in
//! [`STORAGE_POINTS`], `server` adds `before_response` and `after_response`.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::storage::backend;

/// The points that `storage` passes, in order, for one object in a durable mode.
pub const STORAGE_POINTS: [&str; 5] =
    ["before_sync", "after_sync", "before_rename", "after_rename", "after_directory_sync"];

/// Exit status of a process that stopped at a point; no signal and no tool of ours uses it.
pub const CRASH_EXIT_CODE: i32 = 86;

/// Stops the process when the environment names this point.
#[inline]
pub fn crash_point(name: &str) {
    static WANTED: OnceLock<Option<OsString>> = OnceLock::new();
    if let Some(wanted) = WANTED.get_or_init(|| std::env::var_os("DCMFAST_CRASH_AT")) {
        if wanted == name {
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
