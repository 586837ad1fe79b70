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
    resolve::Resolver,
    sticky::Sticky,
    succession::Succession,
    transport::Transport,
};
use crate::{
    config,
    telemetry::{EventKind, Events, PoolStats, Severity, Striped},
};

/// A pool as one configuration describes it. Its peers may be older.
#[derive(Debug)]
pub struct Pool {
    config: config::Pool,
    pub(super) set: ArcSwap<PeerSet>,
    transport: Arc<Transport>,
    /// How many of its requests may be tried again, if that is limited.
    budget: Option<Budget>,
    /// Whether there was a pool of this name before.
    has_predecessor: bool,
    stats: Arc<Striped<PoolStats>>,
}

/// Members of a pool that are not chosen from yet.
#[derive(Clone, Debug)]
pub struct NextSet(pub(super) Arc<PeerSet>);

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
    /// keep what is known of them; names are looked up in `resolver`, which must know them. `events` is told what happens.
    ///
    /// # Errors
    /// Its TLS is of no use.
    pub fn new(
        config: config::Pool,
        resolver: &Resolver,
        events: &Events,
        previous: Option<&Self>,
    ) -> Result<Self, rustls::Error> {
        let transport = Transport::new(&config, previous.map(|pool| &pool.transport))?;
        let before = previous.map(|pool| (pool, pool.set.load_full()));
        let sticky = before
            .as_ref()
            .map(|(pool, set)| (&set.common().sticky, &pool.config));
        let succession = before
            .as_ref()
            .map(|(_, set)| Arc::clone(&set.common().succession));
        let succession: Arc<Succession> = succession.unwrap_or_default();
        let common = Arc::new(Common {
            light: Light::new(&config.name, events, &succession),
            events: events.clone(),
            sticky: Sticky::new(&config, sticky),
            has_queue: config.queue.is_some(),
            succession,
            transport: Arc::clone(&transport),
        });
        let edited = common.succession.edits.load().apply(&config);
        let known = before.as_ref().map(|(_, set)| &**set);
        let budget = config.retry.budget;
        Ok(Self {
            budget: budget.map(|percent| Budget::new(percent, Instant::now())),
            set: ArcSwap::from_pointee(PeerSet::build(&edited, resolver, known, common)),
            config,
            transport,
            has_predecessor: previous.is_some(),
            stats: previous.map_or_else(Arc::default, |pool| Arc::clone(&pool.stats)),
        })
    }

    /// It is served from now on. Failure marks are forgotten: a reload says that what failed is mended.
    pub fn begin(&self) {
        let set = self.set.load_full();
        let now = Instant::now();
        let edits = &set.common().succession.edits;
        edits.store(Arc::new(edits.load().that_matter(&self.config)));
        self.pass_orders_on(&set);
        for member in set.members() {
            let health = &member.peer.health;
            let is_back = member.begin();
            let patience = self.config.health.as_ref().map(Patience::of);
            let since = health.out_since();
            if !member.is_new && health.begin(now, patience, false) {
                member.peer.check_now.notify_one();
            }
            if let (Some(since), None) = (since, health.out_since()) {
                let server = member.peer.label();
                let text = format!(
                    "pool {}: server {server} is used again after {:.1} s: a reload forgets failures",
                    self.name(),
                    now.saturating_duration_since(since).as_secs_f64()
                );
                self.tell(Severity::Info, EventKind::ServerBack, Some(server), text);
            }
            if is_back || member.is_new && self.has_predecessor {
                health.warm_up(now);
            }
        }
        set.begin();
    }

    /// What is known of those that were down, and are not to be any more, is too old: they are to be looked at.
    pub fn awaken(&self) {
        let now = Instant::now();
        for member in self.set.load().members() {
            if member.is_waking() {
                member.peer.health.forgive(now, true);
            }
        }
    }

    /// Has orders for a name hold for its new addresses in `next`, as they stand now.
    fn pass_orders_on(&self, next: &PeerSet) {
        let current = next.common().succession.current();
        let orders = current.map(|current| current.orders_by_name());
        let orders = orders.unwrap_or_default();
        for member in next.members().filter(|member| member.is_new) {
            let order = orders.get(&member.authority).cloned();
            member.peer.orders.give(order);
        }
    }

    /// How its servers are spoken to.
    pub fn transport(&self) -> &Arc<Transport> {
        &self.transport
    }

    /// What has been asked of it.
    pub fn stats(&self) -> &Striped<PoolStats> {
        &self.stats
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What the file says of it.
    pub fn config(&self) -> &config::Pool {
        &self.config
    }

    /// The members that `resolver` knows of now, if they are others than those that are chosen from.
    pub fn prepare(&self, resolver: &Resolver) -> Option<NextSet> {
        let current = self.set.load_full();
        let config = self.edited_config();
        let specs = |backup| {
            let specs = config.servers.iter();
            specs.filter(move |spec| spec.backup == backup)
        };
        let all = specs(false).chain(specs(true));
        let addresses: Vec<_> = all
            .flat_map(|spec| resolver.addresses(&spec.address))
            .collect();
        if addresses == current.addresses() {
            return None;
        }
        Some(self.build(&config, resolver))
    }

    /// The members that it has if it is what `config` says.
    pub(super) fn build(&self, config: &config::Pool, resolver: &Resolver) -> NextSet {
        let current = self.set.load_full();
        let common = Arc::clone(current.common());
        let next = PeerSet::build(config, resolver, Some(&current), common);
        NextSet(Arc::new(next))
    }

    /// The members that it has.
    pub fn own_set(&self) -> NextSet {
        NextSet(self.set.load_full())
    }

    /// Has `next` be chosen from now on.
    pub fn adopt(&self, next: &NextSet) {
        let labels = next.0.labels().join(", ");
        let text = format!("pool {}: servers are now {labels}", self.name());
        self.tell(Severity::Info, EventKind::ServersChanged, None, text);
        self.take_up(next);
    }

    pub(super) fn take_up(&self, NextSet(next): &NextSet) {
        let now = Instant::now();
        self.pass_orders_on(next);
        for member in next.members().filter(|member| member.is_new) {
            member.begin();
            member.peer.health.warm_up(now);
        }
        self.set.store(Arc::clone(next));
        next.begin();
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
        self.pick_from(self.set.load_full(), context)
    }

    /// The same among `set`.
    pub(super) fn pick_from(
        &self,
        set: Arc<PeerSet>,
        context: &PickContext<'_>,
    ) -> Result<Lease, NoLivePeer> {
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
            self.stats.own().dark.add(1);
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
        forgives: bool,
    ) -> bool {
        let (pool, server) = (self.name(), peer.label());
        if let Err(reason) = result {
            tracing::debug!("pool {pool}: a check of server {server} failed: {reason}");
        }
        let Some(judged) = peer.health.checked(now, result, patience, forgives) else {
            return false;
        };
        let set = self.set.load();
        set.reconsider_current();
        let told = match &judged {
            // Nobody has missed it.
            Judged::Began => None,
            Judged::CameBack { results, after } => {
                let what = format!(
                    "is back after {:.1} s: well by {results} check{}",
                    after.as_secs_f64(),
                    if *results == 1 { "" } else { "s" }
                );
                Some((Severity::Info, EventKind::ServerBack, what))
            }
            Judged::WentOut { results, reason } => {
                let what = match results {
                    1 => format!("is out: a check failed: {reason}"),
                    _ => format!("is out: {results} checks failed, the last: {reason}"),
                };
                Some((Severity::Warning, EventKind::ServerOut, what))
            }
        };
        match told {
            Some((severity, kind, what)) => {
                let text = format!("pool {pool}: server {server} {what}");
                self.tell(severity, kind, Some(server), text);
            }
            None => tracing::info!("pool {pool}: server {server} is well, by its first check"),
        }
        if let Judged::WentOut { .. } = judged {
            return !peer.health.is_spared();
        }
        set.common().light.goes_on();
        self.room_has_come();
        false
    }

    pub(super) fn tell(
        &self,
        severity: Severity,
        kind: EventKind,
        server: Option<&str>,
        text: String,
    ) {
        let set = self.set.load();
        let about = (Some(self.name()), server);
        set.common().events.tell(severity, kind, about, text);
    }

    /// A request has come that is for the pool.
    pub fn note_request(&self, now: Instant) {
        self.stats.own().requests.add(1);
        if let Some(budget) = &self.budget {
            budget.note_request(now);
        }
    }

    /// Whether the pool's budget lets a request be tried again, which is counted.
    pub fn allows_retry(&self, now: Instant) -> bool {
        let budget = self.budget.as_ref();
        let is_allowed = budget.is_none_or(|budget| budget.spend(now, self.name()));
        if is_allowed {
            self.stats.own().retries.add(1);
        }
        is_allowed
    }

    /// `session` belongs to `peer` from now on, if the pool learns such things.
    pub fn learn(&self, session: &[u8], peer: &Peer, now: Instant) {
        let set = self.set.load();
        set.common().sticky.learn(session, peer.address(), now);
    }
}

#[cfg(test)]
mod tests;
