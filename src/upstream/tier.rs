//! The primary members of a pool, or the backups: those among whom a method chooses.

use std::sync::Arc;

use super::{
    balance::{Balancer, Candidates, Keys, Share},
    duty::Duty,
    member::{Member, Use},
    peer::PeerId,
    peer_set::PickContext,
};
use crate::config::Balance;

#[derive(Debug)]
pub(super) struct Tier {
    pub(super) members: Vec<Member>,
    pub(super) balancer: Balancer,
}

impl Tier {
    pub(super) fn new(members: Vec<Member>, balance: &Balance) -> Self {
        let weigh = |member: &Member| (Arc::clone(&member.authority), member.weight);
        let weighed: Vec<_> = members.iter().map(weigh).collect();
        Self {
            balancer: Balancer::new(balance, &weighed),
            members,
        }
    }

    /// How many members are there for everybody.
    pub(super) fn usable(&self) -> usize {
        let is_up = |member: &&Member| member.duty() == Duty::Up;
        self.members.iter().filter(is_up).count()
    }

    /// Whether somebody is there for everybody, and not out.
    pub(super) fn is_anybody_well(&self) -> bool {
        let mut ups = self.members.iter().filter(|m| m.duty() == Duty::Up);
        ups.any(|member| {
            let health = &member.peer.health;
            health.out_since().is_none() && !health.is_pending()
        })
    }

    /// Has members that are out by failures be used all the same if they are more than `max_out` of a hundred, those
    /// that went out last; and all of them if all are out, unless `others` can be used.
    pub(super) fn spare(&self, max_out: Option<u32>, others: bool) {
        let ups = self.members.iter().filter(|m| m.duty() == Duty::Up);
        let ups: Vec<_> = ups.collect();
        let out = |member: &&Member| Some((member.peer.health.out_since()?, member.peer.id()));
        let mut outs: Vec<_> = ups.iter().filter_map(out).collect();
        outs.sort_unstable();
        let most = match max_out {
            None => outs.len(),
            Some(_) if outs.len() == ups.len() && others => outs.len(),
            Some(_) if outs.len() == ups.len() => 0,
            // Of two one may be out, however small the part.
            Some(percent) => (ups.len() * percent as usize / 100).max(1),
        };
        let spared = outs.split_off(most.min(outs.len()));
        for member in ups {
            let is_spared = spared.iter().any(|(_, id)| *id == member.peer.id());
            member.peer.health.spare(is_spared);
        }
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
    pub(super) fn pick(
        &self,
        context: &PickContext<'_>,
        only_usable: bool,
    ) -> Option<(usize, bool)> {
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
        let doubtful = self
            .places(context.tried)
            .chain(self.places(context.avoided));
        let index = self.balancer.pick(keys, doubtful, &mut choice)?;
        Some((index, choice.probes))
    }
}

impl Tier {
    /// Whom a request would go to, and to whom after that one; nothing is changed by asking.
    pub(super) fn rehearse(&self, context: &PickContext<'_>, only_usable: bool) -> Vec<usize> {
        let balancer = self.balancer.rehearsal();
        let keys = Keys {
            client: context.client,
            hash: context.hash_key,
        };
        let mut order = Vec::new();
        loop {
            let mut rehearsal = Rehearsal {
                choice: Choice {
                    members: &self.members,
                    context,
                    only_usable,
                    probes: false,
                },
                chosen: &order,
            };
            let doubtful = order.clone().into_iter();
            match balancer.pick(keys, doubtful, &mut rehearsal) {
                Some(index) => order.push(index),
                None => return order,
            }
        }
    }
}

/// The same members, of whom some have been chosen, and none is claimed.
struct Rehearsal<'r> {
    choice: Choice<'r>,
    chosen: &'r [usize],
}

impl Candidates for Rehearsal<'_> {
    fn share(&self, index: usize) -> Share {
        if self.chosen.contains(&index) {
            return Share::NONE;
        }
        self.choice.share(index)
    }

    fn claim(&mut self, index: usize) -> bool {
        self.share(index) != Share::NONE
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.choice.in_flight(index)
    }

    fn expected_wait(&self, index: usize) -> f64 {
        self.choice.expected_wait(index)
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
        self.members[index].admission(self.context, false, self.only_usable)
    }
}

impl Candidates for Choice<'_> {
    fn share(&self, index: usize) -> Share {
        match self.admission(index) {
            Use::No | Use::Full => Share::NONE,
            Use::Yes(share) => share,
            Use::AsProbe => Share::FULL,
        }
    }

    fn claim(&mut self, index: usize) -> bool {
        let claimed = self.members[index].claim(self.admission(index), self.context.now);
        self.probes = claimed == Some(true);
        claimed.is_some()
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.members[index].peer.in_flight()
    }

    fn expected_wait(&self, index: usize) -> f64 {
        let peer = &self.members[index].peer;
        peer.latency.expected(self.context.now, peer.in_flight())
    }
}
