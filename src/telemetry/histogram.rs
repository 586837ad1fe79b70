//! How long things take: counted in classes that are a third of a decade wide or less, from which every share of them can be told.

use std::time::Duration;

use super::stripes::{Striped, Tally};

const MICROSECOND: u64 = 1_000;

/// Nanoseconds up to which each class reaches: 1, 1.5, 2, 3, 5 and 7 of each decade from 0.1 ms to 70 s.
const BOUNDS: [u64; 36] = {
    const STEPS: [u64; 6] = [10, 15, 20, 30, 50, 70];
    let mut bounds = [0; 36];
    let mut decade = 10 * MICROSECOND;
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = STEPS[index % STEPS.len()] * decade;
        if index % STEPS.len() == STEPS.len() - 1 {
            decade *= 10;
        }
        index += 1;
    }
    bounds
};

/// One more for what takes longer.
const CLASSES: usize = BOUNDS.len() + 1;

/// Bounds in seconds that metrics are told in: each is one of the classes' own.
pub const METRIC_BOUNDS: [f64; 15] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

/// Durations that one worker has counted.
#[derive(Debug)]
pub struct Histogram {
    classes: [Tally; CLASSES],
    nanoseconds: Tally,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            classes: std::array::from_fn(|_| Tally::default()),
            nanoseconds: Tally::default(),
        }
    }
}

impl Histogram {
    /// Counts one that took `duration`.
    pub fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.classes[class_of(nanoseconds)].add(1);
        self.nanoseconds.add(nanoseconds);
    }
}

fn class_of(nanoseconds: u64) -> usize {
    BOUNDS.partition_point(|bound| *bound < nanoseconds)
}

/// What all workers have counted together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Durations {
    classes: [u64; CLASSES],
    nanoseconds: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            classes: [0; CLASSES],
            nanoseconds: 0,
        }
    }
}

impl Durations {
    /// Those in `histogram` of each stripe.
    pub fn of<T>(striped: &Striped<T>, histogram: impl Fn(&T) -> &Histogram) -> Self {
        let mut durations = Self::default();
        for own in striped.all().map(histogram) {
            for (sum, class) in durations.classes.iter_mut().zip(&own.classes) {
                *sum += class.get();
            }
            let nanoseconds = own.nanoseconds.get();
            durations.nanoseconds = durations.nanoseconds.wrapping_add(nanoseconds);
        }
        durations
    }

    /// Adds those of `others`.
    pub fn add(&mut self, others: &Self) {
        for (sum, class) in self.classes.iter_mut().zip(others.classes) {
            *sum += class;
        }
        self.nanoseconds = self.nanoseconds.wrapping_add(others.nanoseconds);
    }

    /// How many fell into each class, and up to how many milliseconds each but the last reaches.
    pub fn classes(&self) -> (Vec<u64>, Vec<f64>) {
        let milliseconds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6);
        (self.classes.to_vec(), milliseconds.collect())
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// All of them together, in seconds.
    pub fn seconds(&self) -> f64 {
        self.nanoseconds as f64 / 1e9
    }

    /// What `share` of them took at most, by a straight line through the class that it falls in; `None` without any.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let mut rank = share * count as f64;
        for (index, held) in self.classes.iter().enumerate() {
            let held = *held as f64;
            if rank <= held && held > 0.0 {
                let lower = index.checked_sub(1).map_or(0, |below| BOUNDS[below]);
                let upper = BOUNDS.get(index).copied().unwrap_or(lower);
                let within = (upper - lower) as f64 * rank / held;
                return Some(Duration::from_nanos(lower + within as u64));
            }
            rank -= held;
        }
        Some(Duration::from_nanos(BOUNDS[BOUNDS.len() - 1]))
    }

    /// How many fell into each of the [`METRIC_BOUNDS`] and no lower one, and last how many were longer.
    pub fn in_metric_bounds(&self) -> [(f64, u64); METRIC_BOUNDS.len() + 1] {
        let mut counted = [(f64::INFINITY, 0); METRIC_BOUNDS.len() + 1];
        for (slot, bound) in counted.iter_mut().zip(METRIC_BOUNDS) {
            slot.0 = bound;
        }
        for (index, held) in self.classes.iter().enumerate() {
            let reach = BOUNDS
                .get(index)
                .map_or(f64::INFINITY, |ns| *ns as f64 / 1e9);
            // The bounds are the same numbers but for the last digit that a float has.
            let slot = METRIC_BOUNDS.partition_point(|bound| *bound < reach * 0.999);
            counted[slot].1 += held;
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(milliseconds: impl IntoIterator<Item = f64>) -> Durations {
        let striped: Striped<Histogram> = Striped::default();
        for duration in milliseconds {
            striped
                .own()
                .record(Duration::from_secs_f64(duration / 1e3));
        }
        Durations::of(&striped, |histogram| histogram)
    }

    #[test]
    fn a_share_is_told_to_within_a_class() {
        let even = durations((1..=1000).map(f64::from));
        for (share, told) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let quantile = even.quantile(share).unwrap().as_secs_f64() * 1e3;
            assert!((quantile / told - 1.0).abs() < 0.15, "{share}: {quantile}");
        }
        assert_eq!(even.count(), 1000);
        assert!((even.seconds() - 500.5).abs() < 0.001);
    }

    #[test]
    fn nothing_has_no_shares_and_what_never_ends_has_the_longest() {
        assert_eq!(durations([]).quantile(0.5), None);
        let endless = durations([1e9]).quantile(0.5);
        assert_eq!(endless, Some(Duration::from_secs(70)));
    }

    #[test]
    fn metrics_are_told_in_bounds_of_the_classes_own() {
        for bound in METRIC_BOUNDS {
            let nanoseconds = (bound * 1e9) as u64;
            assert!(
                BOUNDS.iter().any(|own| own.abs_diff(nanoseconds) < 10),
                "{bound}"
            );
        }
        let counted = durations([0.4, 0.5, 0.6, 31_000.0]).in_metric_bounds();
        assert_eq!(counted[0], (0.0005, 2));
        assert_eq!(counted[1], (0.001, 1));
        assert_eq!(counted[METRIC_BOUNDS.len()].1, 1);
        assert_eq!(counted.iter().map(|(_, n)| n).sum::<u64>(), 4);
    }
}
