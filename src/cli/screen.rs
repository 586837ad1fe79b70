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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A look at a pool of two, the second of which has answered `answers` times.
    fn look(answers: u64) -> Status {
        let codes = |n| json!({ "1xx": 0, "2xx": n, "3xx": 0, "4xx": 0, "5xx": 0, "499": 0 });
        let latency =
            |n| json!({ "count": n, "mean_ms": 4.0, "p50_ms": 4.0, "p90_ms": 4.0, "p99_ms": 4.0 });
        let server = |name: &str, state: &str, n| {
            json!({
                "server": name, "address": name, "live": state == "up", "state": state,
                "weight": 1, "max_conns": 0, "backup": false, "in_flight": 0, "tunnels": 0,
                "requests": codes(n), "latency": latency(n), "sent_bytes": 0, "received_bytes": 0,
                "failures": { "error": 0, "timeout": 0, "invalid_header": 0, "status": 0, "other": 0 },
                "connections_opened": 0, "connections_idle": 0, "outs": 0, "out_seconds_total": 0.0,
            })
        };
        let status = json!({
            "version": "1", "pid": 1, "file": "lb.toml", "started_at": "2026-01-01T00:00:00Z",
            "uptime_seconds": 5, "ending": false, "generation": 1,
            "reloads": { "good": 0, "failed": 0 },
            "totals": {
                "requests": answers, "accepted": 0, "connections": 0, "idle": 0, "tunnels": 0,
                "durations": { "bounds_ms": [], "counts": [] },
            },
            "workers": [], "lost_log_lines": 0, "h2_floods": 0, "listeners": [], "routes": [],
            "certificates": [],
            "pools": [{
                "name": "app", "balance": "round_robin", "live": 1, "waiting": 0, "requests": 0,
                "retries": 0, "dark": 0, "servers": [server("a:1", "out", 0), server("b:1", "up", answers)],
            }],
        });
        serde_json::from_value(status).unwrap()
    }

    fn lines(order: Order, width: usize, height: usize) -> Vec<Line> {
        let (before, now) = (look(100), look(300));
        let view = View {
            now: &now,
            before: Some((&before, Duration::from_secs(2))),
            events: &[],
            order,
        };
        view.lines(width, height)
    }

    /// The servers from top to bottom, and how they are meant.
    fn servers(order: Order) -> Vec<(String, Tone)> {
        let shown = lines(order, 200, 50).into_iter();
        let shown = shown.filter(|line| line.text.contains(":1 "));
        shown
            .map(|line| (line.text[17..20].to_owned(), line.tone))
            .collect()
    }

    #[test]
    fn who_is_out_is_red_and_the_busiest_comes_first_where_that_is_asked() {
        let (a, b) = (
            ("a:1".to_owned(), Tone::Bad),
            ("b:1".to_owned(), Tone::Good),
        );
        assert_eq!(servers(Order::Pool), [a.clone(), b.clone()]);
        assert_eq!(servers(Order::Rate), [b, a]);
    }

    #[test]
    fn rates_are_what_came_between_two_looks() {
        let all = lines(Order::Pool, 200, 50);
        let has = |part: &str| all.iter().any(|line| line.text.contains(part));
        assert!(has("100 requests/s"), "{all:?}");
        let row = all.iter().find(|line| line.text.contains("b:1")).unwrap();
        let words: Vec<_> = row.text.split_whitespace().collect();
        // Requests per second, in flight, milliseconds.
        assert_eq!(words[3..6], ["100", "0", "4.0"]);
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_screen() {
        let small = lines(Order::Pool, 20, 5);
        assert_eq!(small.len(), 5);
        assert!(small.iter().all(|line| line.text.chars().count() <= 20));
        assert!(small[4].text.starts_with("q ends"));
    }
}
