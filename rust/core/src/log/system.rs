//! What a log line asks the system for: the time in words, the number of its thread, and who may set a
//! log file aside.
//!
//! Source: strftime(3), so that every code that DCMTK's users write into a pattern means what it
//! means there. Called by `log::layout` and `log::appenders`.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest time that one conversion of a pattern may give, in bytes; `%c` gives 24.
const TIME_BYTES_MAX: usize = 256;

/// The time of day, since 1970.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `seconds` since 1970 broken down, in local time or in UTC.
fn broken_down(seconds: u64, is_utc: bool) -> libc::tm {
    let seconds = libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX);
    // SAFETY: `tm` is plain data for which zeros are a value; both pointers are to live values, and
    // neither function keeps one. A failure leaves the zeros. SAFETY.md §2 and §6.
    unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        if is_utc {
            libc::gmtime_r(&raw const seconds, &raw mut parts);
        } else {
            libc::localtime_r(&raw const seconds, &raw mut parts);
        }
        parts
    }
}

/// `seconds` since 1970 in the words of strftime(3); nothing where `format` asks for more than
/// 256 bytes.
pub fn time_text(format: &str, seconds: u64, is_utc: bool) -> String {
    let Ok(format) = CString::new(format) else { return String::new() };
    let parts = broken_down(seconds, is_utc);
    let mut text = vec![0_u8; TIME_BYTES_MAX];
    // SAFETY: the buffer is writable for the length passed, format and parts are live and end as
    // strftime expects; it returns the bytes written without the terminator, 0 when they do not fit.
    let length = unsafe {
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &raw const parts)
    };
    text.truncate(length);
    String::from_utf8_lossy(&text).into_owned()
}

/// Waits until no other process holds the lock of this open file, and takes it; it goes when the file
/// is closed.
pub fn lock(file: &impl AsFd) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed, and flock keeps nothing.
        if unsafe { libc::flock(file.as_fd().as_raw_fd(), libc::LOCK_EX) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Days since Sunday of the local day that `seconds` falls on.
pub fn weekday(seconds: u64) -> u64 {
    u64::try_from(broken_down(seconds, false).tm_wday).unwrap_or(0)
}

/// The system's number of this thread.
pub fn thread_number() -> i32 {
    thread_local! {
        static NUMBER: Cell<i32> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            // SAFETY: gettid takes nothing and cannot fail.
            number.set(unsafe { libc::gettid() });
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes mean what strftime(3) says; what cannot be said gives nothing.
    #[test]
    fn times_in_words() {
        assert_eq!(time_text("%Y-%m-%d %H:%M:%S", 951_782_400, true), "2000-02-29 00:00:00");
        assert_eq!(time_text("", 0, true), "");
        assert_eq!(time_text("a\0b", 0, true), "");
        assert_eq!(time_text(&"%c".repeat(100), 0, true), "");
        assert!(thread_number() > 0);
    }
}
