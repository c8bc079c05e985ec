//! Work of one kind on many things: one thread brings them, several work, the caller takes the
//! results in the order in which the things came.
//!
//! What is under way is bounded, so that neither memory nor the order suffers when one thing takes
//! long. Called by `archive::{verify, rebuild}`.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::limits::TOOL_THREADS_MAX;

/// Things under way for each thread.
const AHEAD: usize = 8;

/// Threads that are worth having here.
pub fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(TOOL_THREADS_MAX)
}

/// Does `work` on all that `produce` hands over, on `threads` threads, and shows the results to
/// `consume` in order. `produce` is told false when it need not go on; an error of `consume` ends
/// everything. Without threads all of it is done by the caller's, one thing after the other.
pub fn in_order<T: Send, R: Send, E>(
    threads: usize,
    produce: impl FnOnce(&mut dyn FnMut(T) -> bool) + Send,
    work: impl Fn(T) -> R + Sync,
    mut consume: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    if threads == 0 {
        let mut outcome = Ok(());
        let take = |thing: T| {
            outcome = consume(work(thing));
            outcome.is_ok()
        };
        produce(&mut { take });
        return outcome;
    }
    let threads = threads.min(TOOL_THREADS_MAX);
    let (permits, finished) = sync_channel::<()>(threads * AHEAD);
    let (jobs, waiting) = sync_channel::<(u64, T)>(threads * AHEAD);
    let (results, done) = sync_channel::<(u64, R)>(threads * AHEAD);
    let waiting = Mutex::new(waiting);
    let next_job = |waiting: &Mutex<Receiver<(u64, T)>>| {
        waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    };
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut number = 0;
            produce(&mut |thing| {
                // Both fail only when the caller has ended.
                let is_wanted = permits.send(()).is_ok() && jobs.send((number, thing)).is_ok();
                number += 1;
                is_wanted
            });
        });
        for _ in 0..threads {
            let (results, waiting, work) = (results.clone(), &waiting, &work);
            scope.spawn(move || {
                while let Some((number, thing)) = next_job(waiting) {
                    if results.send((number, work(thing))).is_err() {
                        // Nobody wants more; what is queued must not hold up who brings it.
                        while next_job(waiting).is_some() {}
                        break;
                    }
                }
            });
        }
        drop(results);
        let mut early = BTreeMap::new();
        let mut next = 0;
        let mut outcome = Ok(());
        'all: for (number, result) in &done {
            early.insert(number, result);
            while let Some(result) = early.remove(&next) {
                next += 1;
                // One was sent before the job was.
                let _ = finished.recv();
                outcome = consume(result);
                if outcome.is_err() {
                    break 'all;
                }
            }
        }
        drop((done, finished));
        outcome
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn produce_up_to(end: u64) -> impl FnOnce(&mut dyn FnMut(u64) -> bool) + Send {
        move |hand_over| {
            for number in 0..end {
                if !hand_over(number) {
                    break;
                }
            }
        }
    }

    /// Results come in order, however long each takes.
    #[test]
    fn order_is_kept() {
        for threads in [0, 1, 4, 100] {
            let mut seen = Vec::new();
            let work = |number: u64| {
                if number % 7 == 0 {
                    thread::yield_now();
                }
                number * 2
            };
            let all = in_order(threads, produce_up_to(1000), work, |result| {
                seen.push(result);
                Ok::<(), ()>(())
            });
            assert_eq!(all, Ok(()));
            assert_eq!(seen, (0..1000).map(|number| number * 2).collect::<Vec<_>>());
        }
    }

    /// An error ends it at once, though there is no end of things.
    #[test]
    fn an_error_ends_it() {
        for threads in [0, 4] {
            let outcome = in_order(
                threads,
                produce_up_to(u64::MAX),
                |number| number,
                |number| if number == 100 { Err(number) } else { Ok(()) },
            );
            assert_eq!(outcome, Err(100));
        }
    }
}
