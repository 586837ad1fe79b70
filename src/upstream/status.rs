//! What is to be told of pools and their servers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    duty::{Duty, Order},
    health::Condition,
    member::Member,
    peer_set::PeerSet,
    pool::Pool,
};

/// What is to be told of a pool.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// How a server is chosen.
    pub balance: String,
    /// Requests that wait for a server to have room.
    pub waiting: usize,
    /// Its servers, backups last.
    pub servers: Vec<ServerStatus>,
}

/// What is to be told of a server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ServerStatus {
    /// As the file calls it; with the address behind it where that is a name.
    pub server: String,
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
        PoolStatus {
            name: self.name().to_owned(),
            balance: self.config().balance.to_string(),
            waiting: self.waiting(),
            servers: servers.collect(),
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
        Self {
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
