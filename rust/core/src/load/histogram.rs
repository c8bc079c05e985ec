//! A histogram of latencies: log-linear, so that one size serves microseconds and hours.
//!
//! A value is counted in a bucket whose width is at most 1/[`STEPS`] of its lower edge (values below
//! [`STEPS`] nanoseconds: exactly), so that every quantile is told with a relative error below
//! 0.8 %, and never too small: a bucket answers with its upper edge, the largest with the largest
//! value seen. Recording costs a few instructions and no allocation. Histograms of threads are
//! added up. Knows no clock.

use std::time::Duration;

/// Buckets between a power of two and the next.
pub const STEPS: u64 = 128;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Longest latency told apart, in nanoseconds: 2^44, almost five hours. Longer ones count in the last
/// bucket, and in `max`.
const LONGEST_BITS: u32 = 44;
const BUCKETS: usize = ((LONGEST_BITS - STEP_BITS + 1) as usize) << STEP_BITS;

/// Latencies of one kind.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64]>,
    count: u64,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = vec![0; BUCKETS].into();
        Self { counts, count: 0, sum_ns: 0, min_ns: u64::MAX, max_ns: 0 }
    }
}

/// The bucket of a value.
const fn bucket_of(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let bits = ns.ilog2();
    if bits >= LONGEST_BITS {
        return BUCKETS - 1;
    }
    let step = (ns >> (bits - STEP_BITS)) - STEPS;
    (((bits - STEP_BITS + 1) as usize) << STEP_BITS) + step as usize
}

/// The largest value of a bucket; the last one has no end.
const fn upper_edge(bucket: usize) -> u64 {
    if bucket >= BUCKETS - 1 {
        return u64::MAX;
    }
    let (power, step) = (bucket as u64 >> STEP_BITS, bucket as u64 % STEPS);
    if power == 0 { step } else { ((STEPS + step + 1) << (power - 1)) - 1 }
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket_of(ns)) {
            *count += 1;
        }
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds what another thread counted.
    pub fn add(&mut self, other: &Self) {
        for (own, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *own += theirs;
        }
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Smallest and largest value, exactly; 0 where nothing was counted.
    pub fn range_ns(&self) -> (u64, u64) {
        if self.count == 0 { (0, 0) } else { (self.min_ns, self.max_ns) }
    }

    /// The mean, as exactly as a float can tell it.
    #[allow(clippy::cast_precision_loss)]
    pub fn mean_ns(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum_ns as f64 / self.count as f64 }
    }

    /// The value that `quantile` (0 to 1) of the values do not exceed.
    #[allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let wanted = ((self.count as f64 * quantile).ceil() as u64).clamp(1, self.count.max(1));
        let mut passed = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            passed += count;
            if passed >= wanted {
                return upper_edge(bucket).min(self.max_ns).max(self.range_ns().0);
            }
        }
        self.max_ns
    }

    /// Upper edge and count of each bucket that holds anything, from the smallest.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let last = self.max_ns;
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(move |(bucket, count)| (upper_edge(bucket).min(last), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value lies in its bucket, and the bucket's edge is less than 0.8 % above it.
    #[test]
    #[allow(clippy::cast_precision_loss)]
    fn error_bound() {
        let mut value = 1_u64;
        while value < 1 << LONGEST_BITS {
            for ns in [value - 1, value, value + 1, value + value / 3] {
                let ns = ns.min((1 << LONGEST_BITS) - 1);
                let bucket = bucket_of(ns);
                if bucket == BUCKETS - 1 {
                    continue;
                }
                let edge = upper_edge(bucket);
                assert!(edge >= ns, "{ns}: {edge}");
                assert!(bucket == 0 || upper_edge(bucket - 1) < ns, "{ns}");
                assert!((edge - ns) as f64 <= ns as f64 / STEPS as f64, "{ns}: {edge}");
            }
            value += value / 7 + 1;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    /// Quantiles of known values; the ends are exact.
    #[test]
    #[allow(clippy::cast_precision_loss)]
    fn quantiles() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile_ns(0.5), histogram.range_ns()), (0, (0, 0)));
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        for (quantile, ms) in [(0.0, 1), (0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000)] {
            let found = histogram.quantile_ns(quantile) as f64 / 1e6;
            let ms = f64::from(ms);
            assert!(found >= ms && found <= ms * (1.0 + 1.0 / STEPS as f64), "{quantile}: {found}");
        }
        assert_eq!(histogram.range_ns(), (1_000_000, 1_000_000_000));
        assert!((histogram.mean_ns() - 500_500_000.0).abs() < 1.0);
        let counted: u64 = histogram.buckets().map(|(_, count)| count).sum();
        assert_eq!(counted, histogram.count());
    }

    /// Adding up is the same as counting together; beyond the longest nothing is lost.
    #[test]
    fn addition() {
        let (mut one, mut other, mut both) = <(Histogram, Histogram, Histogram)>::default();
        for ns in [5, 700, 1 << 20, u64::MAX / 2] {
            one.record(Duration::from_nanos(ns));
            other.record(Duration::from_nanos(ns * 2));
            both.record(Duration::from_nanos(ns));
            both.record(Duration::from_nanos(ns * 2));
        }
        one.add(&other);
        assert!(one.buckets().eq(both.buckets()));
        assert_eq!((one.count(), one.range_ns()), (8, both.range_ns()));
        assert_eq!(one.quantile_ns(1.0), u64::MAX - 1);
    }
}
