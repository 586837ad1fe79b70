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

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

use super::{
    duty::{Duty, Order},
    health::{Admission, Patience},
    light::Light,
    member::{Member, Use},
    peer::{Peer, PeerId},
    rehearsal::Turn,
    resolve::Resolver,
    sticky::{Bindings, Names, Sticky},
    succession::Succession,
    tier::Tier,
    transport::Transport,
};
use crate::{
    config::{self, ServerSpec},
    telemetry::Events,
};

/// Members, and whose turn it is. Replaced as a whole when DNS changes.
#[derive(Debug)]
pub(super) struct PeerSet {
    common: Arc<Common>,
    primary: Tier,
    backup: Tier,
    bindings: Bindings,
    is_only_usable: AtomicBool,
    /// Of a hundred members of a tier, how many may be out by failures.
    max_out: Option<u32>,
}

/// What the sets of a pool have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) light: Light,
    /// Told what happens to its servers.
    pub(super) events: Events,
    pub(super) sticky: Sticky,
    /// Whether requests may wait for room.
    pub(super) has_queue: bool,
    pub(super) succession: Arc<Succession>,
    /// How its servers are spoken to.
    pub(super) transport: Arc<Transport>,
}

/// Where in a [`PeerSet`] a member stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
    /// What the request says of the session that it is part of, in the way that the pool's `sticky` has it.
    pub session: Option<&'a [u8]>,
    /// Peers that this request has tried.
    pub tried: &'a [PeerId],
    /// Peers that are not for this request, unless its client is bound to one: they did not have what it is for.
    pub avoided: &'a [PeerId],
}

/// Whether a client stays with the server that was chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Binding {
    /// It belongs there already, or nowhere.
    Kept,
    /// It belongs there from now on.
    New,
    /// The server that it belongs to has no room for this request.
    Lent,
}

/// What a request finds that nobody was chosen for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outlook {
    /// Nobody is alive.
    Dark,
    /// Who is alive has no room.
    Busy,
    /// Somebody has room by now.
    Room,
}

/// What a choice came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) place: Place,
    pub(super) is_probe: bool,
    pub(super) binding: Binding,
}

impl PeerSet {
    /// The members that `config` describes. Peers of `previous` are the same peers still; others are new.
    pub(super) fn build(
        config: &config::Pool,
        resolver: &Resolver,
        previous: Option<&Self>,
        common: Arc<Common>,
    ) -> Self {
        let known = Known {
            resolver,
            peers: previous.map(Self::peers).unwrap_or_default(),
            patience: config.health.as_ref().map(Patience::of),
        };
        let tier = |backup| {
            let specs = config.servers.iter().filter(|spec| spec.backup == backup);
            let mut members: Vec<_> = specs.flat_map(|spec| known.members_of(spec)).collect();
            for member in &mut members {
                let (route, address) = (member.route.as_deref(), member.peer.address());
                member.tag = common.sticky.tag(route, address);
                member.exposed = config.expose.as_ref().map(|expose| {
                    let label = member.peer.label();
                    match expose.is_hashed {
                        true => hashed(&config.name, label),
                        false => Arc::clone(label),
                    }
                });
            }
            Tier::new(members, &config.balance)
        };
        let mut set = Self {
            primary: tier(false),
            backup: tier(true),
            common,
            bindings: Bindings::default(),
            is_only_usable: AtomicBool::new(false),
            max_out: config.max_out,
        };
        let names = set.places().map(|(place, member)| {
            let names = Names {
                tag: member.tag.as_deref(),
                route: member.route.as_deref(),
                address: member.peer.address(),
            };
            (place, names)
        });
        set.bindings = Bindings::new(&set.common.sticky, names);
        set
    }

    /// The set is chosen from now on.
    pub(super) fn begin(self: &Arc<Self>) {
        for tier in [&self.primary, &self.backup] {
            for (index, member) in tier.members.iter().enumerate() {
                member.peer.take_seat(tier.balancer.seat(index));
            }
        }
        self.reconsider();
        self.common.succession.begin(self);
    }

    /// The name of the pool.
    pub(super) fn pool(&self) -> &str {
        self.common.light.pool()
    }

    pub(super) fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// How long until the first of those that are out may be tried.
    pub(super) fn retry_in(&self, now: Instant) -> Option<Duration> {
        let ups = self.members().filter(|member| member.duty() == Duty::Up);
        let returns =
            ups.filter_map(
                |member| match member.peer.health.admission(now, member.slow_start) {
                    Admission::Refused { until } => until,
                    Admission::Admitted { .. } | Admission::Probe | Admission::Unchecked => None,
                },
            );
        returns.min().map(|until| until.duration_since(now))
    }

    /// What is to be said to a request that nobody was chosen for.
    pub(super) fn look(&self, context: &PickContext<'_>) -> Outlook {
        let only_usable = self.is_only_usable();
        let mut outlook = Outlook::Dark;
        for member in self.members() {
            match member.admission(context, false, only_usable) {
                Use::No => {}
                Use::Full => outlook = Outlook::Busy,
                Use::Yes(_) | Use::AsProbe => return Outlook::Room,
            }
        }
        outlook
    }

    /// Chooses a member, and counts the request there.
    pub(super) fn pick(&self, context: &PickContext<'_>) -> Option<Chosen> {
        let mut binding = Binding::New;
        if let Some(place) = self.bound(context) {
            let member = self.member(place);
            let admission = member.admission(context, true, self.is_only_usable());
            if let Some(is_probe) = member.claim(admission, context.now) {
                member.peer.tell_seat();
                member.peer.bound_came(context.now);
                if let Some(session) = context.session {
                    self.common.sticky.renew(session, context.now);
                }
                return Some(Chosen {
                    place,
                    is_probe,
                    binding: Binding::Kept,
                });
            }
            // Nothing is wrong with it: others were faster, or it lacks what the request is for.
            let has_no_room = matches!(admission, Use::Full | Use::Yes(_));
            if has_no_room || self.only_lacks(member, context) {
                binding = Binding::Lent;
            }
        }
        let only_usable = self.is_only_usable();
        let from = |backup, tier: &Tier| {
            let (index, is_probe) = tier.pick(context, only_usable)?;
            let place = Place { backup, index };
            Some(Chosen {
                place,
                is_probe,
                binding,
            })
        };
        from(false, &self.primary).or_else(|| from(true, &self.backup))
    }

    /// Whether nothing is wrong with `member` but that it lacks what the request is for.
    fn only_lacks(&self, member: &Member, context: &PickContext<'_>) -> bool {
        let anew = PickContext {
            tried: &[],
            avoided: &[],
            ..*context
        };
        context.avoided.contains(&member.peer.id())
            && member.admission(&anew, true, self.is_only_usable()) != Use::No
    }

    /// Whom a request would go to, and to whom after that one.
    pub(super) fn rehearse(&self, context: &PickContext<'_>) -> Vec<Turn> {
        let only_usable = self.is_only_usable();
        let bound = self.bound(context).filter(|place| {
            let admission = self.member(*place).admission(context, true, only_usable);
            matches!(admission, Use::Yes(_) | Use::AsProbe)
        });
        let turn = |place, is_bound| Turn { place, is_bound };
        let mut order: Vec<_> = bound.map(|place| turn(place, true)).into_iter().collect();
        for (backup, tier) in [(false, &self.primary), (true, &self.backup)] {
            let tier = tier.rehearse(context, only_usable);
            let places = tier.into_iter().map(|index| Place { backup, index });
            let others = places.filter(|place| Some(*place) != bound);
            order.extend(others.map(|place| turn(place, false)));
        }
        order
    }

    /// Whether the client is bound to somebody who has room for it.
    pub(super) fn has_room_for_bound(&self, context: &PickContext<'_>) -> bool {
        self.bound(context).is_some_and(|place| {
            let admission = self.member(place);
            let admission = admission.admission(context, true, self.is_only_usable());
            matches!(admission, Use::Yes(_) | Use::AsProbe)
        })
    }

    fn bound(&self, context: &PickContext<'_>) -> Option<Place> {
        let sticky = &self.common.sticky;
        self.bindings.find(sticky, context.session?, context.now)
    }

    /// Something has changed of a member's health or duty, as far as the set goes that is chosen from now.
    pub(super) fn reconsider_current(&self) {
        match self.common.succession.current() {
            Some(current) => current.reconsider(),
            None => self.reconsider(),
        }
    }

    /// Members that are out by failures are used all the same where too many of them are; and whether there is but one
    /// that can be used may have changed.
    pub(super) fn reconsider(&self) {
        let usable = self.primary.usable() + self.backup.usable();
        self.is_only_usable.store(usable == 1, Ordering::Relaxed);
        let is_backup_well = self.backup.is_anybody_well();
        self.primary.spare(self.max_out, is_backup_well);
        self.backup.spare(self.max_out, false);
    }

    /// All members, with where they stand.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, &Member)> {
        let tiers = [(false, &self.primary), (true, &self.backup)];
        tiers.into_iter().flat_map(|(backup, tier)| {
            let members = tier.members.iter().enumerate();
            members.map(move |(index, member)| (Place { backup, index }, member))
        })
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.primary.members.iter().chain(&self.backup.members)
    }

    pub(super) fn peers(&self) -> HashMap<SocketAddr, Arc<Peer>> {
        self.members()
            .map(|member| (member.peer.address(), Arc::clone(&member.peer)))
            .collect()
    }

    /// The orders that are for a name, whatever addresses it has.
    pub(super) fn orders_by_name(&self) -> HashMap<Arc<str>, Order> {
        let order = |member: &Member| {
            let order = member.peer.orders.order()?;
            let is_for_name = *order.server == *member.authority;
            is_for_name.then(|| (Arc::clone(&member.authority), order))
        };
        self.members().filter_map(order).collect()
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

    /// Whether the member at `place` is a backup.
    pub(super) fn is_backup(place: Place) -> bool {
        place.backup
    }

    /// Whether the pool's method looks at how long peers let wait.
    pub(super) fn goes_by_wait(&self) -> bool {
        self.primary.balancer.goes_by_wait()
    }

    /// Whether the member at `place` is the only one that can be used at all: then its failures change nothing, for
    /// there is nobody better.
    pub(super) fn is_only_one(&self, place: Place) -> bool {
        self.is_only_usable() && self.member(place).duty() == Duty::Up
    }

    /// Whether there is but one that can be used at all.
    pub(super) fn is_only_usable(&self) -> bool {
        self.is_only_usable.load(Ordering::Relaxed)
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

/// A number that stands for the server `label` of `pool`: the same on every node. It hides the address from a glance, not from whoever tries all of them.
fn hashed(pool: &str, label: &str) -> Arc<str> {
    let digest = digest(&SHA256, format!("{pool}/{label}").as_bytes());
    let digits = digest.as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into()
}

/// What was known before, for those of whom it is still true.
struct Known<'k> {
    resolver: &'k Resolver,
    peers: HashMap<SocketAddr, Arc<Peer>>,
    patience: Option<Patience>,
}

impl Known<'_> {
    /// One member for each address that `spec` stands for.
    fn members_of(&self, spec: &ServerSpec) -> Vec<Member> {
        let addresses = self.resolver.addresses(&spec.address);
        let member = |address: &SocketAddr| match self.peers.get(address) {
            Some(peer) => Member::new(Arc::clone(peer), spec, false),
            None => self.new_member(spec, *address),
        };
        let mut members: Vec<_> = addresses.iter().map(member).collect();
        if members.len() > 1 {
            // One route for several servers says nothing of where a session is.
            members.iter_mut().for_each(|member| member.route = None);
        }
        members
    }

    fn new_member(&self, spec: &ServerSpec, address: SocketAddr) -> Member {
        let label = self.resolver.label(&spec.address, address);
        let member = Member::new(Arc::new(Peer::new(&label, address)), spec, true);
        member
            .peer
            .health
            .begin(Instant::now(), self.patience, true);
        member
    }
}
