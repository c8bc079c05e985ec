//! Work in a thread of its own, while Python's signal handlers have their turn in the caller's.
//!
//! The system does not come back from what it waits for when a signal comes, and Python runs
//! handlers only between its own instructions. A result is handed over through a channel: it is
//! there at once, where looking whether the thread has ended may be too early by a whole wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

use crate::error::os_error;

/// So long a signal waits for its handler.
pub const SIGNAL_CHECK: Duration = Duration::from_millis(100);

/// Lets the handlers of signals that have come run, and says what they raised.
///
/// # Errors
///
/// What a handler raised.
pub fn checked(py: Python<'_>) -> PyResult<()> {
    py.check_signals()
}

/// Ends what waits in other threads of the interpreter, which no signal comes to.
#[pyclass(frozen, module = "dcmfast._rust")]
#[derive(Default)]
pub struct GivingUp {
    is_given_up: Arc<AtomicBool>,
}

#[pymethods]
impl GivingUp {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Nobody who was given this waits any longer, for whatever it is: KeyboardInterrupt there.
    fn set(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }
}

impl GivingUp {
    /// Raised by [`GivingUp::set`].
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_given_up)
    }
}

/// Runs `work`; when a handler raises, the thread is left to end by itself.
///
/// # Errors
///
/// What the handler raised; the system's when there is no thread; `RuntimeError` after a panic.
pub fn beside<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    beside_until(py, || false, work)
}

/// The same; KeyboardInterrupt, too, once `is_given_up`.
///
/// # Errors
///
/// As [`beside`].
pub fn beside_until<T: Send + 'static>(
    py: Python<'_>,
    is_given_up: impl Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = mpsc::channel();
    let thread = move || {
        // Nobody listens any more after a signal.
        let _ = sender.send(work());
    };
    thread::Builder::new().spawn(thread).map_err(|error| os_error(&error))?;
    let (_, result) = received(py, receiver, is_given_up);
    result
}

/// Runs `work`, which may borrow; when a handler raises, `stop` asks it to end, and it is waited for.
///
/// # Errors
///
/// As [`beside`].
pub fn within<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send,
    stop: impl FnOnce(),
) -> PyResult<T> {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let thread = move || {
            let _ = sender.send(work());
        };
        thread::Builder::new().spawn_scoped(scope, thread).map_err(|error| os_error(&error))?;
        let (receiver, result) = received(py, receiver, || false);
        if result.is_err() {
            stop();
            // The scope would wait with the interpreter in its hands.
            py.detach(|| {
                let _ = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            });
        }
        result
    })
}

/// Waits for what is sent, or for a handler that raises. The lock lends the receiver to a wait
/// without the interpreter, for which it has to be shareable.
fn received<T: Send>(
    py: Python<'_>,
    receiver: Receiver<T>,
    is_given_up: impl Fn() -> bool,
) -> (Mutex<Receiver<T>>, PyResult<T>) {
    let receiver = Mutex::new(receiver);
    let result = loop {
        let received = py.detach(|| {
            receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SIGNAL_CHECK)
        });
        match received {
            Ok(value) => break Ok(value),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = py.check_signals() {
                    break Err(error);
                }
                if is_given_up() {
                    break Err(PyKeyboardInterrupt::new_err(()));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                break Err(PyRuntimeError::new_err("internal fault: a thread panicked"));
            }
        }
    };
    (receiver, result)
}
