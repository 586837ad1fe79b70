//! A pool of peers: who may be chosen, and who is.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::{
    balance::{IpHash, RoundRobin},
    health::Admission,
    lease::{Lease, Place, time_of_day_in},
    peer::{Member, Peer, PeerId},
    resolve::Resolver,
};
use crate::config::{self, Balance, ServerSpec};

/// A pool as one configuration describes it. Its peers may be older.
#[derive(Debug)]
pub struct Pool {
    config: config::Pool,
    set: ArcSwap<PeerSet>,
    /// Whether the last pick found nobody: so that it is said once, not for each request.
    dark: AtomicBool,
}

/// The members of a pool at one time, and whose turn it is. Replaced as a whole when DNS changes.
#[derive(Debug)]
pub(super) struct PeerSet {
    primary: Tier,
    backup: Tier,
}

#[derive(Debug)]
struct Tier {
    members: Vec<Member>,
    round_robin: RoundRobin,
    ip_hash: Option<IpHash>,
}

/// What a choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct PickContext<'a> {
    /// The time of the choice.
    pub now: Instant,
    /// The client, seen through trusted proxies.
    pub client: IpAddr,
    /// Peers that this request has tried.
    pub tried: &'a [PeerId],
}

/// Nobody could be chosen.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("pool {pool} has no live server")]
pub struct NoLivePeer {
    /// The pool.
    pub pool: String,
    /// How long until one that is out is probed; `None` if all are down, busy, unresolved or tried.
    pub retry_in: Option<Duration>,
}

impl Pool {
    /// The pool that `config` describes. Peers of `previous` that it still names keep what is known of
    /// them, except their failure marks; names are looked up in `resolver`, which must know them.
    pub fn new(config: config::Pool, resolver: &Resolver, previous: Option<&Self>) -> Self {
        let known = previous
            .map(|pool| pool.set.load().peers())
            .unwrap_or_default();
        let set = PeerSet::build(&config, resolver, &known);
        for member in set.members() {
            member.peer.health.clear();
        }
        Self {
            config,
            set: ArcSwap::from_pointee(set),
            dark: AtomicBool::new(false),
        }
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What the file says of it.
    pub fn config(&self) -> &config::Pool {
        &self.config
    }

    /// Follows what `resolver` has learnt.
    pub fn follow(&self, resolver: &Resolver) {
        let current = self.set.load();
        let next = PeerSet::build(&self.config, resolver, &current.peers());
        if next.addresses() != current.addresses() {
            tracing::info!(
                "pool {}: servers are now {}",
                self.name(),
                next.labels().join(", ")
            );
            self.set.store(Arc::new(next));
        }
    }

    /// Whether `address` is one of its peers.
    pub fn has_peer_at(&self, address: SocketAddr) -> bool {
        self.set
            .load()
            .members()
            .any(|member| member.peer.address() == address)
    }

    /// Chooses a peer and counts the request as in flight there.
    ///
    /// # Errors
    /// [`NoLivePeer`], which is logged when the pool goes dark, not for each request.
    pub fn pick(self: &Arc<Self>, context: &PickContext<'_>) -> Result<Lease, NoLivePeer> {
        let set = self.set.load_full();
        match set.pick(context) {
            Some((place, probes)) => Ok(Lease::new(Arc::clone(self), set, place, probes)),
            None => Err(self.nobody(&set, context)),
        }
    }

    fn nobody(&self, set: &PeerSet, context: &PickContext<'_>) -> NoLivePeer {
        let returns = set
            .members()
            .filter(|member| !member.down)
            .filter_map(|member| match member.peer.health.admission(context.now) {
                Admission::Refused { until } => until,
                Admission::Admitted | Admission::Probe => None,
            });
        let retry_in = returns.min().map(|until| until.duration_since(context.now));
        if context.tried.is_empty() && !self.dark.swap(true, Ordering::Relaxed) {
            let until = retry_in.map_or_else(String::new, |lasting| {
                format!(" until {}", time_of_day_in(lasting))
            });
            tracing::error!(
                "pool {}: no live server{until}; its routes answer 502",
                self.name()
            );
        }
        NoLivePeer {
            pool: self.name().to_owned(),
            retry_in,
        }
    }

    /// A peer answered: the pool is not dark.
    pub(super) fn note_alive(&self) {
        if self.dark.load(Ordering::Relaxed) && self.dark.swap(false, Ordering::Relaxed) {
            tracing::info!("pool {}: has a live server again", self.name());
        }
    }
}

impl PeerSet {
    fn build(
        config: &config::Pool,
        resolver: &Resolver,
        known: &HashMap<SocketAddr, Arc<Peer>>,
    ) -> Self {
        let tier = |backup| {
            let specs = config.servers.iter().filter(|spec| spec.backup == backup);
            let members = specs
                .flat_map(|spec| members_of(spec, resolver, known))
                .collect();
            Tier::new(members, config.balance)
        };
        Self {
            primary: tier(false),
            backup: tier(true),
        }
    }

    /// Where the chosen member stands, and whether its request is a probe.
    fn pick(&self, context: &PickContext<'_>) -> Option<(Place, bool)> {
        let only_usable = self.is_only_usable();
        let from = |backup, tier: &Tier| {
            tier.pick(context, only_usable)
                .map(|(index, probes)| (Place { backup, index }, probes))
        };
        from(false, &self.primary).or_else(|| from(true, &self.backup))
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.primary.members.iter().chain(&self.backup.members)
    }

    fn peers(&self) -> HashMap<SocketAddr, Arc<Peer>> {
        self.members()
            .map(|member| (member.peer.address(), Arc::clone(&member.peer)))
            .collect()
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.members().map(|member| member.peer.address()).collect()
    }

    fn labels(&self) -> Vec<&str> {
        self.members()
            .map(|member| &**member.peer.label())
            .collect()
    }

    pub(super) fn member(&self, place: Place) -> &Member {
        &self.tier(place).members[place.index]
    }

    /// Whether there is but one that can be used at all: then its failures change nothing, for
    /// there is nobody better.
    pub(super) fn is_only_usable(&self) -> bool {
        self.members().filter(|member| !member.down).take(2).count() == 1
    }

    pub(super) fn note_failure(&self, place: Place, max_fails: u32) {
        self.tier(place).round_robin.failed(place.index, max_fails);
    }

    fn tier(&self, place: Place) -> &Tier {
        if place.backup {
            &self.backup
        } else {
            &self.primary
        }
    }
}

/// One member for each address that `spec` stands for.
fn members_of(
    spec: &ServerSpec,
    resolver: &Resolver,
    known: &HashMap<SocketAddr, Arc<Peer>>,
) -> Vec<Member> {
    let addresses = resolver.addresses(&spec.address);
    let peer = |address: &SocketAddr| match known.get(address) {
        Some(peer) => Arc::clone(peer),
        None => Arc::new(Peer::new(
            &resolver.label(&spec.address, *address),
            *address,
        )),
    };
    addresses
        .iter()
        .map(|address| Member::new(peer(address), spec))
        .collect()
}

impl Tier {
    fn new(members: Vec<Member>, balance: Balance) -> Self {
        let weights = || members.iter().map(|member| member.weight);
        let ip_hash = (balance == Balance::IpHash).then(|| IpHash::new(weights()));
        Self {
            round_robin: RoundRobin::new(weights()),
            ip_hash,
            members,
        }
    }

    /// The chosen member's index, and whether its request is a probe.
    fn pick(&self, context: &PickContext<'_>, only_usable: bool) -> Option<(usize, bool)> {
        let mut probes = false;
        let may_use = |index: usize| self.members[index].admission(context, only_usable) != Use::No;
        let mut claim = |index: usize| {
            let member = &self.members[index];
            let claimed = match member.admission(context, only_usable) {
                Use::No => false,
                Use::Yes => true,
                Use::AsProbe => {
                    probes = member.peer.health.claim_probe(context.now);
                    probes
                }
            };
            claimed && member.enter()
        };
        let by_hash = self
            .ip_hash
            .as_ref()
            .and_then(|hash| hash.pick(context.client, &mut claim));
        let index = match by_hash {
            Some(index) => index,
            None => self.round_robin.pick(may_use, claim)?,
        };
        Some((index, probes))
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    No,
    Yes,
    AsProbe,
}

impl Member {
    fn admission(&self, context: &PickContext<'_>, only_usable: bool) -> Use {
        if self.down || context.tried.contains(&self.peer.id()) || self.is_full() {
            return Use::No;
        }
        match self.peer.health.admission(context.now) {
            Admission::Admitted => Use::Yes,
            Admission::Probe => Use::AsProbe,
            Admission::Refused { .. } if only_usable => Use::Yes,
            Admission::Refused { .. } => Use::No,
        }
    }

    /// Counts one more request in flight, unless another worker took the last place meanwhile.
    fn enter(&self) -> bool {
        let before = self.peer.in_flight.fetch_add(1, Ordering::Relaxed);
        if self.max_conns > 0 && before >= self.max_conns {
            self.peer.in_flight.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests;
