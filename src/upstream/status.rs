//! What is to be told of pools and their servers.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    duty::{Duty, Order},
    health::Condition,
    member::{Member, Use},
    peer_set::{PeerSet, PickContext},
    pool::Pool,
};
use crate::telemetry::{CodeTotals, Durations, FAILURES, Latency, ServerStats, Striped, Tally};

/// What is to be told of a pool.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// How a server is chosen.
    pub balance: String,
    /// How many of its servers requests are sent to.
    pub live: usize,
    /// Requests that wait for a server to have room.
    pub waiting: usize,
    /// Requests, and connections of streams, that were for it.
    pub requests: u64,
    /// Tries beyond the first of each.
    pub retries: u64,
    /// Requests that found nobody alive.
    pub dark: u64,
    /// Its servers, backups last.
    pub servers: Vec<ServerStatus>,
}

/// What is to be told of a server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ServerStatus {
    /// As the file calls it; with the address behind it where that is a name.
    pub server: String,
    /// Where it is.
    pub address: String,
    /// Whether requests are sent to it.
    pub live: bool,
    /// `up`, `drain`, `down`, `out`, `checking` or `warming up`.
    pub state: String,
    /// Why, if it is not up.
    pub reason: Option<String>,
    /// For how long it has been out.
    pub out_seconds: Option<f64>,
    /// How long until a request probes it.
    pub probe_in_seconds: Option<f64>,
    /// Its share of the requests.
    pub weight: u32,
    /// Requests that it works on at most; 0: any number.
    pub max_conns: u32,
    /// Whether it is used only while no other can be.
    pub backup: bool,
    /// Requests and tunnels that it works on.
    pub in_flight: u32,
    /// Of these, tunnels.
    pub tunnels: u32,
    /// Learnt sessions that belong to it.
    pub sessions: Option<usize>,
    /// How long ago a client that is bound to it sent its last request.
    pub bound_seconds_ago: Option<f64>,
    /// What an operator has ordered.
    pub order: Option<OrderStatus>,
    /// Who has added it to what the file says, if it is not in there.
    pub added_by: Option<String>,
    /// Answers of its own, and connections of streams.
    pub requests: CodeTotals,
    /// Tries without one.
    pub failures: FailureTotals,
    /// Why the last of them failed.
    pub last_error: Option<String>,
    /// How long ago that was.
    pub last_error_seconds_ago: Option<f64>,
    /// Until the head of its answer.
    pub latency: Latency,
    /// Bytes of bodies and tunnels to it.
    pub sent_bytes: u64,
    /// The same from it.
    pub received_bytes: u64,
    /// Connections that were made to it.
    pub connections_opened: u64,
    /// Connections to it that are kept for the next request, as of a second ago.
    pub connections_idle: u64,
    /// How often it was taken out.
    pub outs: u64,
    /// How long it has been out, all times together.
    pub out_seconds_total: f64,
}

/// Failures by their kind.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct FailureTotals {
    /// Connections that could not be made, or broke.
    pub error: u64,
    /// No connection or no answer in time.
    pub timeout: u64,
    /// Answers that are no HTTP.
    pub invalid_header: u64,
    /// Answers with a status that `retry.on` lists.
    pub status: u64,
    /// Not the server's fault: it was only busy, or this machine lacked something.
    pub other: u64,
}

/// What is to be told of an order.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct OrderStatus {
    /// `up`, `drain` or `down`.
    pub state: String,
    /// Who has given it.
    pub by: String,
    /// When, as RFC 3339 writes it.
    pub at: String,
    /// How long until what is left there is closed.
    pub deadline_seconds: Option<f64>,
}

impl Pool {
    /// What is to be told of it.
    pub fn status(&self, now: Instant) -> PoolStatus {
        let set = self.set.load();
        let servers = set.places().map(|(place, member)| {
            let backup = PeerSet::is_backup(place);
            ServerStatus::new(member, &set, backup, now)
        });
        let servers: Vec<_> = servers.collect();
        PoolStatus {
            name: self.name().to_owned(),
            balance: self.config().balance.to_string(),
            live: servers.iter().filter(|server| server.live).count(),
            waiting: self.waiting(),
            requests: self.stats().sum(|stats| stats.requests.get()),
            retries: self.stats().sum(|stats| stats.retries.get()),
            dark: self.stats().sum(|stats| stats.dark.get()),
            servers,
        }
    }
}

impl ServerStatus {
    pub(super) fn new(member: &Member, set: &PeerSet, backup: bool, now: Instant) -> Self {
        let peer = &member.peer;
        let condition = peer.health.condition(now, member.slow_start);
        let (state, reason) = in_words(member, &condition);
        let (out_since, until) = match &condition {
            Condition::Out { since, until, .. } => (Some(*since), *until),
            _ => (None, None),
        };
        let stats = &peer.stats;
        let sum = |tally: fn(&ServerStats) -> &Tally| stats.sum(|own| tally(own).get());
        let last_error = peer.last_error();
        let (outs, was_out) = peer.health.outs(now);
        Self {
            address: peer.address().to_string(),
            live: set.is_live(member, now),
            max_conns: member.max_conns,
            added_by: set.added_by(member),
            requests: CodeTotals::of(stats, |own| &own.codes),
            failures: FailureTotals::of(stats),
            last_error: last_error.as_ref().map(|(reason, _)| reason.to_string()),
            last_error_seconds_ago: last_error
                .map(|(_, at)| seconds(now.saturating_duration_since(at))),
            latency: Durations::of(stats, |own| &own.answered).into(),
            sent_bytes: sum(|own| &own.sent),
            received_bytes: sum(|own| &own.received),
            connections_opened: sum(|own| &own.opened),
            connections_idle: sum(|own| &own.idle),
            outs,
            out_seconds_total: seconds(was_out),
            server: peer.label().to_string(),
            state: state.to_owned(),
            reason,
            out_seconds: out_since.map(|since| seconds(now.duration_since(since))),
            probe_in_seconds: until.map(|until| seconds(until.saturating_duration_since(now))),
            weight: member.weight,
            backup,
            in_flight: peer.in_flight(),
            tunnels: peer.tunnels(),
            sessions: set.common().sticky.sessions_of(peer.address(), now),
            bound_seconds_ago: peer.bound_ago(now).map(seconds),
            order: peer
                .orders
                .order()
                .map(|order| OrderStatus::new(&order, now)),
        }
    }
}

impl FailureTotals {
    fn of(stats: &Striped<ServerStats>) -> Self {
        let mut sums = [0; FAILURES.len()];
        for own in stats.all() {
            let failures = own.failures.iter().map(Tally::get);
            sums.iter_mut().zip(failures).for_each(|(sum, n)| *sum += n);
        }
        let [error, timeout, invalid_header, status, other] = sums;
        Self {
            error,
            timeout,
            invalid_header,
            status,
            other,
        }
    }

    /// Each kind by its name.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let sums = [
            self.error,
            self.timeout,
            self.invalid_header,
            self.status,
            self.other,
        ];
        FAILURES.into_iter().zip(sums)
    }
}

impl PeerSet {
    /// Who has added `member` to what the file says.
    fn added_by(&self, member: &Member) -> Option<String> {
        let edits = self.common().succession.edits.load();
        let edit = edits.addition(&member.authority);
        edit.map(|edit| edit.by.clone())
    }

    /// Whether requests are sent to `member`, if it has room; one that is to be probed by the next is not known to live.
    fn is_live(&self, member: &Member, now: Instant) -> bool {
        let anybody = PickContext {
            now,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            hash_key: &[],
            session: None,
            tried: &[],
            avoided: &[],
        };
        let usable = member.admission(&anybody, false, self.is_only_usable());
        matches!(usable, Use::Yes(_) | Use::Full)
    }
}

impl OrderStatus {
    fn new(order: &Order, now: Instant) -> Self {
        let left = |deadline: Instant| seconds(deadline.saturating_duration_since(now));
        Self {
            state: order.duty.to_string(),
            by: order.by.clone(),
            at: order.at.to_string(),
            deadline_seconds: order.deadline.map(left),
        }
    }
}

/// A server's state and why it is that.
fn in_words(member: &Member, condition: &Condition) -> (&'static str, Option<String>) {
    let by = match member.peer.orders.order() {
        Some(order) => format!("by {} at {}", order.by, order.at),
        None => "in the file".to_owned(),
    };
    match (member.duty(), condition) {
        (Duty::Down, _) => ("down", Some(by)),
        (_, Condition::Checking) => ("checking", None),
        (
            _,
            Condition::Out {
                reason, is_spared, ..
            },
        ) => {
            let spared = if *is_spared {
                "; used all the same (max_out)"
            } else {
                ""
            };
            ("out", Some(format!("{reason}{spared}")))
        }
        (Duty::Drain, _) => ("drain", Some(by)),
        (Duty::Up, Condition::WarmingUp { warmth }) => {
            let percent = warmth * 100.0;
            (
                "warming up",
                Some(format!("gets {percent:.0}% of its weight")),
            )
        }
        (Duty::Up, Condition::Good) if member.duty_by_file() != Duty::Up => {
            let file = member.duty_by_file();
            ("up", Some(format!("{by}; the file says {file}")))
        }
        (Duty::Up, Condition::Good) => ("up", None),
    }
}

/// To the millisecond, which is more than anybody reads.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
