//! What happened when: operations, failures, bytes and latencies of each interval of a run.
//!
//! Intervals begin at 10 ms and double when there are too many, so that a run of a second and one of
//! a day take the same room. Knows no clock.

use std::time::Duration;

use crate::limits::LOAD_INTERVALS_MAX;

const FIRST_WIDTH: Duration = Duration::from_millis(10);

/// One interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Operations that ended in it.
    pub operations: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Bytes of their data sets.
    pub bytes: u64,
    /// Their latencies together.
    pub latency_sum_ns: u128,
    /// The longest of them.
    pub latency_max_ns: u64,
}

impl Interval {
    fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.failed += other.failed;
        self.bytes += other.bytes;
        self.latency_sum_ns += other.latency_sum_ns;
        self.latency_max_ns = self.latency_max_ns.max(other.latency_max_ns);
    }
}

/// The intervals of a run, from its start.
#[derive(Clone, Debug)]
pub struct Timeline {
    width: Duration,
    intervals: Vec<Interval>,
    end: Duration,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { width: FIRST_WIDTH, intervals: Vec::new(), end: Duration::ZERO }
    }
}

impl Timeline {
    /// Notes an operation that ended `at` after the start.
    pub fn record(&mut self, at: Duration, latency: Duration, is_failure: bool, bytes: u64) {
        self.end = self.end.max(at);
        while self.place(at) >= LOAD_INTERVALS_MAX {
            self.double();
        }
        let place = self.place(at);
        if place >= self.intervals.len() {
            self.intervals.resize(place + 1, Interval::default());
        }
        if let Some(interval) = self.intervals.get_mut(place) {
            let latency_ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            interval.add(&Interval {
                operations: 1,
                failed: u64::from(is_failure),
                bytes,
                latency_sum_ns: u128::from(latency_ns),
                latency_max_ns: latency_ns,
            });
        }
    }

    fn place(&self, at: Duration) -> usize {
        usize::try_from(at.as_nanos() / self.width.as_nanos()).unwrap_or(usize::MAX)
    }

    fn double(&mut self) {
        self.width *= 2;
        let halved = self.intervals.chunks(2).map(|pair| {
            let mut sum = Interval::default();
            for one in pair {
                sum.add(one);
            }
            sum
        });
        self.intervals = halved.collect();
    }

    /// Adds what another thread noted of the same run.
    pub fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.width < other.width {
            self.double();
        }
        while other.width < self.width {
            other.double();
        }
        self.end = self.end.max(other.end);
        if self.intervals.len() < other.intervals.len() {
            self.intervals.resize(other.intervals.len(), Interval::default());
        }
        for (own, theirs) in self.intervals.iter_mut().zip(&other.intervals) {
            own.add(theirs);
        }
    }

    /// When the last operation ended.
    pub fn end(&self) -> Duration {
        self.end
    }

    /// Width of an interval, and all of them.
    pub fn intervals(&self) -> (Duration, &[Interval]) {
        (self.width, &self.intervals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day fits, nothing is lost by doubling, and the edge is where the bound says.
    #[test]
    fn intervals_double() {
        let mut timeline = Timeline::default();
        let edge = FIRST_WIDTH * u32::try_from(LOAD_INTERVALS_MAX).unwrap();
        let latency = Duration::from_millis(3);
        timeline.record(Duration::ZERO, latency, false, 5);
        let before = edge.saturating_sub(Duration::from_nanos(1));
        timeline.record(before, latency, true, 5);
        assert_eq!(timeline.intervals().0, FIRST_WIDTH);
        assert_eq!(timeline.intervals().1.len(), LOAD_INTERVALS_MAX);
        timeline.record(edge, latency * 2, false, 5);
        assert_eq!(timeline.intervals().0, FIRST_WIDTH * 2);
        timeline.record(Duration::from_secs(86_400), latency, false, 5);
        let (_, intervals) = timeline.intervals();
        assert!(intervals.len() <= LOAD_INTERVALS_MAX);
        let mut sum = Interval::default();
        for one in intervals {
            sum.add(one);
        }
        let expected = Interval {
            operations: 4,
            failed: 1,
            bytes: 20,
            latency_sum_ns: 15_000_000,
            latency_max_ns: 6_000_000,
        };
        assert_eq!(sum, expected);
    }

    /// Threads with intervals of different widths add up, either way round.
    #[test]
    fn addition() {
        let (mut short, mut long) = <(Timeline, Timeline)>::default();
        let latency = Duration::from_millis(1);
        short.record(Duration::from_millis(15), latency, false, 1);
        long.record(Duration::from_millis(15), latency, false, 1);
        long.record(Duration::from_secs(3600), latency, true, 1);
        let (mut one, mut other) = (short.clone(), long.clone());
        one.add(&long);
        other.add(&short);
        assert_eq!(one.intervals(), other.intervals());
        assert_eq!(one.intervals().1[0].operations, 2);
        assert_eq!(one.end(), Duration::from_secs(3600));
    }
}
