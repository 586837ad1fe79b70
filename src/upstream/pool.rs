//! A pool of peers: who may be chosen, and who is.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::{
    budget::Budget,
    duty::Duty,
    health::{Judged, Patience},
    lease::Lease,
    light::Light,
    peer::Peer,
    peer_set::{Common, Outlook, PeerSet, PickContext},
    queue::Queue,
    resolve::Resolver,
    sticky::Sticky,
    transport::Transport,
};
use crate::config;

/// A pool as one configuration describes it. Its peers may be older.
#[derive(Debug)]
pub struct Pool {
    config: config::Pool,
    pub(super) set: ArcSwap<PeerSet>,
    transport: Arc<Transport>,
    /// Where requests wait for room, if they may.
    queue: Option<(Arc<Queue>, config::Queue)>,
    /// How many of its requests may be tried again, if that is limited.
    budget: Option<Budget>,
    /// Whether there was a pool of this name before.
    has_predecessor: bool,
}

/// Nobody could be chosen.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("pool {pool} has no live server")]
pub struct NoLivePeer {
    /// The pool.
    pub pool: String,
    /// How long until one that is out is probed; `None` if all are down, busy, unresolved or tried.
    pub retry_in: Option<Duration>,
    /// Whether somebody is alive, but has no room.
    pub is_busy: bool,
}

/// How often it is chosen while others leave and take the last places.
const TRIES: usize = 4;

impl Pool {
    /// The pool that `config` describes, which is to [`begin`](Self::begin). Peers of `previous` that it still names
    /// keep what is known of them; names are looked up in `resolver`, which must know them.
    ///
    /// # Errors
    /// Its TLS is of no use.
    pub fn new(
        config: config::Pool,
        resolver: &Resolver,
        previous: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let transport = Transport::new(&config, previous.map(|pool| &pool.transport))?;
        let before = previous.map(|pool| (pool, pool.set.load()));
        let known = before.as_ref().map(|(_, set)| set.peers());
        let known = known.unwrap_or_default();
        let sticky = before
            .as_ref()
            .map(|(pool, set)| (&set.common().sticky, &pool.config));
        let queue = || {
            let common = before.as_ref().map(|(_, set)| set.common());
            common.and_then(|common| common.queue.clone())
        };
        let common = Arc::new(Common {
            light: Light::new(&config.name),
            queue: config.queue.map(|_| queue().unwrap_or_default()),
            sticky: Sticky::new(&config, sticky),
        });
        let line = common.queue.clone().zip(config.queue);
        let budget = config.retry.budget;
        Ok(Self {
            budget: budget.map(|percent| Budget::new(percent, Instant::now())),
            queue: line,
            set: ArcSwap::from_pointee(PeerSet::build(&config, resolver, &known, common)),
            config,
            transport,
            has_predecessor: previous.is_some(),
        })
    }

    /// It is served from now on. Failure marks are forgotten: a reload says that what failed is mended.
    pub fn begin(&self) {
        let set = self.set.load();
        let now = Instant::now();
        for member in set.members() {
            let health = &member.peer.health;
            health.begin(self.config.health.is_some(), member.is_new);
            if member.is_new && self.has_predecessor {
                health.warm_up(now);
            }
        }
        set.begin();
    }

    /// Where requests wait for room, and how long; `None` if they do not wait.
    pub(super) fn queue(&self) -> Option<(&Arc<Queue>, config::Queue)> {
        let (queue, limits) = self.queue.as_ref()?;
        Some((queue, *limits))
    }

    /// How its servers are spoken to.
    pub fn transport(&self) -> &Arc<Transport> {
        &self.transport
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What the file says of it.
    pub fn config(&self) -> &config::Pool {
        &self.config
    }

    /// Follows what `resolver` has learnt; says whether that changed anything.
    pub fn follow(&self, resolver: &Resolver) -> bool {
        let current = self.set.load();
        let common = Arc::clone(current.common());
        let next = PeerSet::build(&self.config, resolver, &current.peers(), common);
        if next.addresses() == current.addresses() {
            return false;
        }
        tracing::info!(
            "pool {}: servers are now {}",
            self.name(),
            next.labels().join(", ")
        );
        let now = Instant::now();
        for member in next.members().filter(|member| member.is_new) {
            let health = &member.peer.health;
            health.begin(self.config.health.is_some(), true);
            health.warm_up(now);
        }
        next.begin();
        self.set.store(Arc::new(next));
        true
    }

    /// Whether `peer` is one of its peers that may be used.
    pub fn uses(&self, peer: &Peer) -> bool {
        let set = self.set.load();
        set.members()
            .any(|member| member.peer.id() == peer.id() && member.duty() != Duty::Down)
    }

    /// Chooses a peer and counts the request as in flight there.
    ///
    /// # Errors
    /// [`NoLivePeer`], which is logged when the pool goes dark, not for each request.
    pub fn pick(&self, context: &PickContext<'_>) -> Result<Lease, NoLivePeer> {
        if let Some(budget) = &self.budget
            && context.tried.is_empty()
        {
            budget.note_request(context.now);
        }
        let set = self.set.load_full();
        let mut outlook = Outlook::Room;
        for _ in 0..TRIES {
            if let Some(chosen) = set.pick(context) {
                return Ok(Lease::new(set, chosen, context.now));
            }
            outlook = set.look(context);
            if outlook != Outlook::Room {
                break;
            }
        }
        let is_busy = outlook != Outlook::Dark;
        let retry_in = set.retry_in(context.now);
        if context.tried.is_empty() && context.avoided.is_empty() && !is_busy {
            set.common().light.goes_out(retry_in);
        }
        Err(NoLivePeer {
            pool: self.name().to_owned(),
            retry_in: retry_in.filter(|_| !is_busy),
            is_busy,
        })
    }

    /// A check of `peer` ended; a bad one says why. Says whether the peer has just been taken out.
    pub(super) fn checked(
        &self,
        peer: &Peer,
        now: Instant,
        result: Result<(), &str>,
        patience: Patience,
    ) -> bool {
        let (pool, server) = (self.name(), peer.label());
        if let Err(reason) = result {
            tracing::debug!("pool {pool}: a check of server {server} failed: {reason}");
        }
        let Some(judged) = peer.health.checked(now, result, patience) else {
            return false;
        };
        let set = self.set.load();
        set.reconsider();
        match judged {
            Judged::Began => {
                tracing::info!("pool {pool}: server {server} is well, by its first check")
            }
            Judged::CameBack { results, after } => tracing::info!(
                "pool {pool}: server {server} is back after {:.1} s: well by {results} check{}",
                after.as_secs_f64(),
                if results == 1 { "" } else { "s" }
            ),
            Judged::WentOut { results, reason } => {
                match results {
                    1 => tracing::warn!(
                        "pool {pool}: server {server} is out: a check failed: {reason}"
                    ),
                    _ => tracing::warn!(
                        "pool {pool}: server {server} is out: {results} checks failed, the last: {reason}"
                    ),
                }
                return !peer.health.is_spared();
            }
        }
        set.common().light.goes_on();
        self.room_has_come();
        false
    }

    /// Whether the pool's budget lets a request be tried again, which is counted.
    pub fn allows_retry(&self, now: Instant) -> bool {
        let budget = self.budget.as_ref();
        budget.is_none_or(|budget| budget.spend(now, self.name()))
    }

    /// `session` belongs to `peer` from now on, if the pool learns such things.
    pub fn learn(&self, session: &[u8], peer: &Peer, now: Instant) {
        let set = self.set.load();
        set.common().sticky.learn(session, peer.address(), now);
    }
}

#[cfg(test)]
mod tests;
