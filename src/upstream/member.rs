//! A peer and what the file says of it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    balance::Share,
    duty::Duty,
    health::{Admission, FailureLimit},
    peer::Peer,
    peer_set::PickContext,
};
use crate::config::ServerSpec;

/// A peer and what the file says of it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) peer: Arc<Peer>,
    /// The server's address as the file says it: what `host = "server"` sends.
    pub(super) authority: Arc<str>,
    pub(super) weight: u32,
    pub(super) limit: FailureLimit,
    pub(super) max_conns: u32,
    pub(super) slow_start: Duration,
    /// What its clients' cookies say.
    pub(super) tag: Option<Arc<str>>,
    /// What clients are told of it.
    pub(super) exposed: Option<Arc<str>>,
    /// How apps call it.
    pub(super) route: Option<Arc<str>>,
    /// What it is there for, unless an operator says otherwise.
    duty: Duty,
    /// Whether nobody knew of the peer before.
    pub(super) is_new: bool,
}

/// Whether a request may use a member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Use {
    No,
    /// It would, if it had room.
    Full,
    /// For that part of its weight.
    Yes(Share),
    AsProbe,
}

impl Member {
    pub(super) fn new(peer: Arc<Peer>, spec: &ServerSpec, is_new: bool) -> Self {
        Self {
            peer,
            authority: spec.address.to_string().into(),
            weight: spec.weight,
            limit: FailureLimit {
                max_fails: spec.max_fails,
                fail_timeout: spec.fail_timeout.max(Duration::from_millis(1)),
            },
            max_conns: spec.max_conns,
            slow_start: spec.slow_start,
            tag: None,
            exposed: None,
            route: spec.route.as_ref().map(|route| route.as_str().into()),
            duty: match (spec.down, spec.drain) {
                (true, _) => Duty::Down,
                (false, true) => Duty::Drain,
                (false, false) => Duty::Up,
            },
            is_new,
        }
    }

    /// What it is there for.
    pub(super) fn duty(&self) -> Duty {
        self.peer.orders.duty().unwrap_or(self.duty)
    }

    /// It is chosen from now on; says whether it was down until now.
    pub(super) fn begin(&self) -> bool {
        let is_down = self.duty() == Duty::Down;
        self.peer.was_down(is_down) && !is_down
    }

    /// Whether it was down until now, and is not to be.
    pub(super) fn is_waking(&self) -> bool {
        self.peer.is_down() && self.duty() != Duty::Down
    }

    /// What the file says that it is there for.
    pub(super) fn duty_by_file(&self) -> Duty {
        self.duty
    }

    /// Whether it works on as many requests as it may.
    fn is_full(&self) -> bool {
        self.max_conns > 0 && self.peer.in_flight() >= self.max_conns
    }

    /// Whether the request of `context` may use it; `is_bound`: its client belongs here.
    pub(super) fn admission(
        &self,
        context: &PickContext<'_>,
        is_bound: bool,
        only_usable: bool,
    ) -> Use {
        let is_there = match self.duty() {
            Duty::Up => true,
            Duty::Drain => is_bound,
            Duty::Down => false,
        };
        let id = self.peer.id();
        let is_avoided = context.tried.contains(&id) || !is_bound && context.avoided.contains(&id);
        if !is_there || is_avoided {
            return Use::No;
        }
        let usable = match self.peer.health.admission(context.now, self.slow_start) {
            Admission::Admitted { warmth: 1.0 } => Use::Yes(Share::FULL),
            Admission::Admitted { warmth } => Use::Yes(Share::of(warmth)),
            Admission::Probe => Use::AsProbe,
            Admission::Refused { .. } if only_usable && self.duty() == Duty::Up => {
                Use::Yes(Share::FULL)
            }
            Admission::Refused { .. } | Admission::Unchecked => Use::No,
        };
        if usable != Use::No && self.is_full() {
            return Use::Full;
        }
        usable
    }

    /// Takes the place that `admission` has promised, unless another worker was faster; says whether the request is a
    /// probe. The balancer is not told.
    pub(super) fn claim(&self, admission: Use, now: Instant) -> Option<bool> {
        let is_probe = match admission {
            Use::No | Use::Full => return None,
            Use::Yes(_) => false,
            Use::AsProbe => true,
        };
        if !self.peer.enter(self.max_conns) {
            return None;
        }
        if !is_probe || self.peer.health.claim_probe(now) {
            return Some(is_probe);
        }
        self.peer.turn_back();
        None
    }
}
