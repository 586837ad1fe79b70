//! What all workers have counted together, as it is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    histogram::Durations,
    stats::{Codes, RequestStats},
    stripes::{Striped, Tally},
};

/// Answers by the class of their status.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct CodeTotals {
    /// 100 to 199, tunnels among them.
    #[serde(rename = "1xx")]
    pub informational: u64,
    /// 200 to 299.
    #[serde(rename = "2xx")]
    pub good: u64,
    /// 300 to 399.
    #[serde(rename = "3xx")]
    pub redirected: u64,
    /// 400 to 499, but for the next.
    #[serde(rename = "4xx")]
    pub client_errors: u64,
    /// 500 to 599.
    #[serde(rename = "5xx")]
    pub server_errors: u64,
    /// Clients that left before they were answered.
    #[serde(rename = "499")]
    pub left: u64,
}

impl CodeTotals {
    /// Those in `codes` of each stripe.
    pub fn of<T>(striped: &Striped<T>, codes: impl Fn(&T) -> &Codes) -> Self {
        let mut sums = [0; Codes::NAMES.len()];
        for own in striped.all().map(codes) {
            sums.iter_mut()
                .zip(own.get())
                .for_each(|(sum, n)| *sum += n);
        }
        let [
            informational,
            good,
            redirected,
            client_errors,
            server_errors,
            left,
        ] = sums;
        Self {
            informational,
            good,
            redirected,
            client_errors,
            server_errors,
            left,
        }
    }

    /// Each class by its name.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let sums = [
            self.informational,
            self.good,
            self.redirected,
            self.client_errors,
            self.server_errors,
            self.left,
        ];
        Codes::NAMES.into_iter().zip(sums)
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.each().map(|(_, n)| n).sum()
    }
}

/// How long things take, in milliseconds; without the shares if there was none yet.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// On average.
    pub mean_ms: Option<f64>,
    /// At most, half of them.
    pub p50_ms: Option<f64>,
    /// At most, 90 % of them.
    pub p90_ms: Option<f64>,
    /// At most, 99 % of them.
    pub p99_ms: Option<f64>,
    /// What this is told from.
    #[serde(skip)]
    pub durations: Durations,
}

impl From<Durations> for Latency {
    fn from(durations: Durations) -> Self {
        let count = durations.count();
        let milliseconds = |d: Duration| rounded(d.as_secs_f64() * 1e3);
        let share = |share| durations.quantile(share).map(milliseconds);
        Self {
            count,
            mean_ms: (count > 0).then(|| rounded(durations.seconds() * 1e3 / count as f64)),
            p50_ms: share(0.5),
            p90_ms: share(0.9),
            p99_ms: share(0.99),
            durations,
        }
    }
}

/// To the microsecond, which is more than anybody reads.
fn rounded(milliseconds: f64) -> f64 {
    (milliseconds * 1e3).round() / 1e3
}

/// How many took how long, so that whoever looks twice can tell what was in between.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct DurationClasses {
    /// Up to how many milliseconds each class reaches.
    pub bounds_ms: Vec<f64>,
    /// How many fell into each class and no lower one; one more, for what took longer.
    pub counts: Vec<u64>,
}

impl From<&Durations> for DurationClasses {
    fn from(durations: &Durations) -> Self {
        let (counts, bounds_ms) = durations.classes();
        Self { bounds_ms, counts }
    }
}

/// What clients have asked for, and what they got.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RequestTotals {
    /// Answers.
    pub requests: CodeTotals,
    /// Bytes of bodies and tunnels to clients.
    pub sent_bytes: u64,
    /// The same from them.
    pub received_bytes: u64,
    /// From the first byte of a request to the last of its answer; of a stream, until a server is found.
    pub latency: Latency,
}

impl RequestTotals {
    /// Those in `stats` of each stripe.
    pub fn of<T>(striped: &Striped<T>, stats: impl Fn(&T) -> &RequestStats) -> Self {
        let sum = |tally: fn(&RequestStats) -> &Tally| striped.sum(|own| tally(stats(own)).get());
        Self {
            requests: CodeTotals::of(striped, |own| &stats(own).codes),
            sent_bytes: sum(|stats| &stats.sent),
            received_bytes: sum(|stats| &stats.received),
            latency: Durations::of(striped, |own| &stats(own).duration).into(),
        }
    }
}
