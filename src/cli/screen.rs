//! What `lbd top` shows: lines made from two looks at the running lbd. Nothing here knows of a terminal.

use std::time::Duration;

use super::{
    status::{heading, name, remarks},
    words::{count, milliseconds},
};
use crate::{
    server::Status,
    telemetry::Event,
    upstream::{PoolStatus, ServerStatus},
};

/// How a line is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tone {
    Plain,
    Heading,
    Good,
    Doubtful,
    Bad,
}

/// A line of the screen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// What servers are sorted by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Order {
    /// As the file has them.
    #[default]
    Pool,
    Rate,
    InFlight,
    Latency,
    Failures,
}

impl Order {
    /// The one behind it.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Pool => Self::Rate,
            Self::Rate => Self::InFlight,
            Self::InFlight => Self::Latency,
            Self::Latency => Self::Failures,
            Self::Failures => Self::Pool,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Rate => "requests per second",
            Self::InFlight => "requests in flight",
            Self::Latency => "latency",
            Self::Failures => "failures",
        }
    }
}

/// Two looks at the running lbd.
#[derive(Debug)]
pub(super) struct View<'v> {
    pub(super) now: &'v Status,
    /// The look before, and how long ago that was.
    pub(super) before: Option<(&'v Status, Duration)>,
    pub(super) events: &'v [Event],
    pub(super) order: Order,
}

/// One server's line, before it is a text.
struct Row<'v> {
    pool: &'v PoolStatus,
    server: &'v ServerStatus,
    rate: f64,
    failures: u64,
    /// The mean of what was answered between the two looks.
    latency: Option<f64>,
}

impl View<'_> {
    /// The lines of a screen of `width` columns and `height` rows.
    pub(super) fn lines(&self, width: usize, height: usize) -> Vec<Line> {
        let mut lines: Vec<_> = heading(self.now)
            .lines()
            .map(|text| Line {
                tone: match text.starts_with('!') {
                    true => Tone::Bad,
                    false => Tone::Plain,
                },
                text: text.to_owned(),
            })
            .collect();
        lines.push(plain(self.rates()));
        lines.push(plain(String::new()));
        lines.push(Line {
            tone: Tone::Heading,
            text: columns(
                [
                    "pool",
                    "server",
                    "state",
                    "req/s",
                    "in flight",
                    "ms",
                    "5xx",
                    "failures",
                ],
                "why",
            ),
        });
        lines.extend(self.rows().iter().map(Row::line));
        let room = height.saturating_sub(lines.len() + 2);
        let shown = self.events.len().min(room);
        if shown > 0 {
            lines.push(plain(String::new()));
        }
        for event in &self.events[self.events.len() - shown..] {
            let at = event.at.to_zoned(jiff::tz::TimeZone::system());
            lines.push(plain(format!("{} {}", at.strftime("%H:%M:%S"), event.text)));
        }
        lines.truncate(height.saturating_sub(1));
        lines.push(Line {
            tone: Tone::Heading,
            text: format!(
                "q ends, s sorts (by {}), space looks again",
                self.order.name()
            ),
        });
        for line in &mut lines {
            // What is cut off is the reason, and that stands in the log.
            line.text = line.text.chars().take(width).collect();
        }
        lines
    }

    fn rates(&self) -> String {
        let rate = |of: fn(&Status) -> u64| match self.before {
            Some((before, elapsed)) => per_second(of(before), of(self.now), elapsed),
            None => 0.0,
        };
        let errors = |status: &Status| {
            status
                .listeners
                .iter()
                .map(|l| l.requests.server_errors)
                .sum()
        };
        let bytes = |status: &Status| status.listeners.iter().map(|l| l.sent_bytes).sum();
        format!(
            "{:.0} requests/s, {:.1} answers 5xx/s, {}B/s to clients",
            rate(|status| status.totals.requests),
            rate(errors),
            count(rate(bytes) as u64)
        )
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let pools = self.now.pools.iter();
        let mut rows: Vec<_> = pools
            .flat_map(|pool| {
                pool.servers
                    .iter()
                    .map(move |server| self.row(pool, server))
            })
            .collect();
        let descending = |a: f64, b: f64| b.total_cmp(&a);
        match self.order {
            Order::Pool => {}
            Order::Rate => rows.sort_by(|a, b| descending(a.rate, b.rate)),
            Order::InFlight => rows.sort_by_key(|row| std::cmp::Reverse(row.server.in_flight)),
            Order::Failures => rows.sort_by_key(|row| std::cmp::Reverse(row.failures)),
            Order::Latency => rows.sort_by(|a, b| {
                descending(a.latency.unwrap_or_default(), b.latency.unwrap_or_default())
            }),
        }
        rows
    }

    fn row<'v>(&'v self, pool: &'v PoolStatus, server: &'v ServerStatus) -> Row<'v> {
        let before = self.before.and_then(|(status, elapsed)| {
            let mut pools = status.pools.iter();
            let known = pools.find(|known| known.name == pool.name)?;
            let mut servers = known.servers.iter();
            let known = servers.find(|known| known.server == server.server)?;
            Some((known, elapsed))
        });
        let rate = before.map(|(known, elapsed)| {
            per_second(known.requests.total(), server.requests.total(), elapsed)
        });
        Row {
            pool,
            server,
            rate: rate.unwrap_or_default(),
            failures: server.failures.each().map(|(_, n)| n).sum(),
            latency: before.and_then(|(known, _)| mean_since(known, server)),
        }
    }
}

impl Row<'_> {
    fn line(&self) -> Line {
        let Row { pool, server, .. } = self;
        Line {
            tone: match server.state.as_str() {
                "up" => Tone::Good,
                "out" => Tone::Bad,
                _ => Tone::Doubtful,
            },
            text: columns(
                [
                    &pool.name,
                    &name(server),
                    &server.state,
                    &format!("{:.0}", self.rate),
                    &server.in_flight.to_string(),
                    &milliseconds(self.latency),
                    &count(server.requests.server_errors),
                    &count(self.failures),
                ],
                &remarks(server),
            ),
        }
    }
}

fn plain(text: String) -> Line {
    Line {
        tone: Tone::Plain,
        text,
    }
}

fn columns(cells: [&str; 8], why: &str) -> String {
    let [
        pool,
        server,
        state,
        rate,
        in_flight,
        latency,
        errors,
        failures,
    ] = cells;
    format!(
        "{pool:<16} {server:<28} {state:<10} {rate:>8} {in_flight:>9} {latency:>7} {errors:>7} {failures:>8}  {why}"
    )
}

fn per_second(before: u64, now: u64, elapsed: Duration) -> f64 {
    now.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(0.001)
}

/// How long the answers took that came between two looks at a server, on average.
fn mean_since(before: &ServerStatus, now: &ServerStatus) -> Option<f64> {
    let spent = |server: &ServerStatus| {
        server.latency.mean_ms.unwrap_or_default() * server.latency.count as f64
    };
    let answers = now.latency.count.checked_sub(before.latency.count)?;
    (answers > 0).then(|| ((spent(now) - spent(before)) / answers as f64).max(0.0))
}
