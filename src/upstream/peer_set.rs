//! The members of a pool at one time, and who of them is chosen.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    balance::{Balancer, Candidates, Keys, Share},
    health::Admission,
    peer::{Member, Peer, PeerId},
    resolve::Resolver,
};
use crate::{
    config::{self, Balance, ServerSpec},
    telemetry::time_of_day_in,
};

/// Members, and whose turn it is. Replaced as a whole when DNS changes.
#[derive(Debug)]
pub(super) struct PeerSet {
    light: Arc<Light>,
    primary: Tier,
    backup: Tier,
    is_only_usable: bool,
}

/// Whether a pool had anybody to answer: so that it is said once, not for each request.
#[derive(Debug)]
pub(super) struct Light {
    pool: String,
    is_dark: AtomicBool,
}

#[derive(Debug)]
struct Tier {
    members: Vec<Member>,
    balancer: Balancer,
}

/// Where in a [`PeerSet`] a member stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    backup: bool,
    index: usize,
}

/// What a choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct PickContext<'a> {
    /// The time of the choice.
    pub now: Instant,
    /// The client, seen through trusted proxies.
    pub client: IpAddr,
    /// What the pool's `hash_key` is for the request; empty in a pool without one.
    pub hash_key: &'a [u8],
    /// Peers that this request has tried.
    pub tried: &'a [PeerId],
}

impl Light {
    pub(super) fn new(pool: &str) -> Self {
        Self {
            pool: pool.to_owned(),
            is_dark: AtomicBool::new(false),
        }
    }

    /// Nobody could be chosen; somebody may be tried again after `retry_in`.
    pub(super) fn goes_out(&self, retry_in: Option<Duration>) {
        if !self.is_dark.swap(true, Ordering::Relaxed) {
            let until = retry_in.map_or_else(String::new, |lasting| {
                format!(" until {}", time_of_day_in(lasting))
            });
            tracing::error!(
                "pool {}: no live server{until}; what is for it is answered 502, or closed",
                self.pool
            );
        }
    }

    /// A peer answered.
    pub(super) fn goes_on(&self) {
        if self.is_dark.load(Ordering::Relaxed) && self.is_dark.swap(false, Ordering::Relaxed) {
            tracing::info!("pool {}: has a live server again", self.pool);
        }
    }
}

impl PeerSet {
    pub(super) fn build(
        config: &config::Pool,
        resolver: &Resolver,
        known: &HashMap<SocketAddr, Arc<Peer>>,
        light: Arc<Light>,
    ) -> Self {
        let tier = |backup| {
            let specs = config.servers.iter().filter(|spec| spec.backup == backup);
            let members = specs
                .flat_map(|spec| members_of(spec, resolver, known))
                .collect();
            Tier::new(members, &config.balance)
        };
        let (primary, backup) = (tier(false), tier(true));
        let usable = [&primary, &backup].map(|tier| tier.usable());
        Self {
            light,
            primary,
            backup,
            is_only_usable: usable.iter().sum::<usize>() == 1,
        }
    }

    /// The name of the pool.
    pub(super) fn pool(&self) -> &str {
        &self.light.pool
    }

    pub(super) fn light(&self) -> &Arc<Light> {
        &self.light
    }

    /// How long until the first of those that are out may be tried.
    pub(super) fn retry_in(&self, now: Instant) -> Option<Duration> {
        let returns =
            self.members()
                .filter(|member| !member.down)
                .filter_map(|member| match member.peer.health.admission(now) {
                    Admission::Refused { until } => until,
                    Admission::Admitted | Admission::Probe => None,
                });
        returns.min().map(|until| until.duration_since(now))
    }

    /// Where the chosen member stands, and whether its request is a probe.
    pub(super) fn pick(&self, context: &PickContext<'_>) -> Option<(Place, bool)> {
        let only_usable = self.is_only_usable();
        let from = |backup, tier: &Tier| {
            tier.pick(context, only_usable)
                .map(|(index, probes)| (Place { backup, index }, probes))
        };
        from(false, &self.primary).or_else(|| from(true, &self.backup))
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.primary.members.iter().chain(&self.backup.members)
    }

    pub(super) fn peers(&self) -> HashMap<SocketAddr, Arc<Peer>> {
        self.members()
            .map(|member| (member.peer.address(), Arc::clone(&member.peer)))
            .collect()
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.members().map(|member| member.peer.address()).collect()
    }

    pub(super) fn labels(&self) -> Vec<&str> {
        self.members()
            .map(|member| &**member.peer.label())
            .collect()
    }

    pub(super) fn member(&self, place: Place) -> &Member {
        &self.tier(place).members[place.index]
    }

    /// Whether the pool's method looks at how long peers let wait.
    pub(super) fn goes_by_wait(&self) -> bool {
        self.primary.balancer.goes_by_wait()
    }

    /// Has its peers tell the method, from now on, what they work on.
    pub(super) fn take_seats(&self) {
        for tier in [&self.primary, &self.backup] {
            for (index, member) in tier.members.iter().enumerate() {
                member.peer.take_seat(tier.balancer.seat(index));
            }
        }
    }

    /// Whether there is but one that can be used at all: then its failures change nothing, for
    /// there is nobody better.
    pub(super) fn is_only_usable(&self) -> bool {
        self.is_only_usable
    }

    pub(super) fn note_failure(&self, place: Place, max_fails: u32) {
        self.tier(place).balancer.failed(place.index, max_fails);
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
    fn new(members: Vec<Member>, balance: &Balance) -> Self {
        let weigh = |member: &Member| (Arc::clone(&member.authority), member.weight);
        let weighed: Vec<_> = members.iter().map(weigh).collect();
        Self {
            balancer: Balancer::new(balance, &weighed),
            members,
        }
    }

    /// How many members may be used at all.
    fn usable(&self) -> usize {
        self.members.iter().filter(|member| !member.down).count()
    }

    /// Where those of `peers` stand.
    fn places(&self, peers: &[PeerId]) -> impl Iterator<Item = usize> {
        // Nobody, for nearly all requests: then nothing is looked for.
        let members = if peers.is_empty() {
            &[]
        } else {
            &*self.members
        };
        let is_one = |(_, member): &(usize, &Member)| peers.contains(&member.peer.id());
        members
            .iter()
            .enumerate()
            .filter(is_one)
            .map(|(index, _)| index)
    }

    /// The chosen member's index, and whether its request is a probe.
    fn pick(&self, context: &PickContext<'_>, only_usable: bool) -> Option<(usize, bool)> {
        let mut choice = Choice {
            members: &self.members,
            context,
            only_usable,
            probes: false,
        };
        let keys = Keys {
            client: context.client,
            hash: context.hash_key,
        };
        let tried = self.places(context.tried);
        let index = self.balancer.pick(keys, tried, &mut choice)?;
        Some((index, choice.probes))
    }
}

/// A tier's members, as one request sees them.
struct Choice<'c> {
    members: &'c [Member],
    context: &'c PickContext<'c>,
    only_usable: bool,
    /// Whether the request is a probe of the member that it has claimed.
    probes: bool,
}

impl Choice<'_> {
    fn admission(&self, index: usize) -> Use {
        self.members[index].admission(self.context, self.only_usable)
    }
}

impl Candidates for Choice<'_> {
    fn share(&self, index: usize) -> Share {
        match self.admission(index) {
            Use::No => Share::NONE,
            Use::Yes | Use::AsProbe => Share::FULL,
        }
    }

    fn claim(&mut self, index: usize) -> bool {
        let member = &self.members[index];
        let admission = self.admission(index);
        if admission == Use::No || !member.enter() {
            return false;
        }
        let health = &member.peer.health;
        self.probes = admission == Use::AsProbe && health.claim_probe(self.context.now);
        let is_ours = admission == Use::Yes || self.probes;
        if !is_ours {
            // Another worker has begun the probe meanwhile.
            member.peer.turn_back();
        }
        is_ours
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.members[index].peer.in_flight()
    }

    fn expected_wait(&self, index: usize) -> f64 {
        let peer = &self.members[index].peer;
        peer.latency.expected(self.context.now, peer.in_flight())
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
        let before = self.peer.enter();
        if self.max_conns > 0 && before >= self.max_conns {
            self.peer.turn_back();
            return false;
        }
        true
    }
}
