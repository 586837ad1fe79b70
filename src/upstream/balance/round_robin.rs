//! Smooth weighted round robin, nginx's default (commit 52327e062): weights 5, 1, 1 give
//! `a a b a c a a` instead of five in a row.
//!
//! At each turn every usable peer gains its effective weight; the one that has most is chosen and
//! pays the sum of all. A failure lowers the effective weight, and each turn gives one back: a tiny
//! slow start. One that is warming up gains by its share, so weights are counted in small parts.
//!
//! nginx walks over all peers for that. Here only those are walked that are not *steady*: one that
//! failed lately, is warming up, is full, or was tried by this request. Steady ones gain the same at each turn, so
//! their order within one weight never changes but for the one that is chosen: a queue for each
//! weight, and a turn costs the same with two peers and with a thousand.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Candidates, Share};

/// The state of one tier's turns, shared by all workers so that weights hold for the whole process.
#[derive(Debug)]
pub(super) struct RoundRobin {
    // Held for one turn and never across an await.
    turns: Mutex<Turns>,
}

#[derive(Clone, Debug)]
struct Turns {
    /// Turns so far.
    count: i64,
    members: Vec<Member>,
    steady: Vec<Queue>,
    /// The weights of all steady members.
    steady_total: i64,
    /// The others, except those that may never be used.
    unsteady: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Member {
    weight: i64,
    effective: i64,
    /// Gained and not yet paid for; of a steady one, without what it gained by `count` turns.
    current: i64,
    is_steady: bool,
}

/// Steady members of one weight: who has most is first, and of equals the one that the file names first.
#[derive(Clone, Debug)]
struct Queue {
    weight: i64,
    members: VecDeque<Waiting>,
}

/// The order of a queue: by what was paid beyond what was gained, then by index.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Waiting {
    debt: i64,
    index: usize,
}

impl RoundRobin {
    /// Turns of members with these weights.
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let members: Vec<_> = weights.map(Member::new).collect();
        let mut weights: Vec<_> = members.iter().map(|member| member.weight).collect();
        weights.sort_unstable();
        weights.dedup();
        let turns = Turns {
            count: 0,
            unsteady: (0..members.len()).collect(),
            members,
            steady: weights.into_iter().map(Queue::new).collect(),
            steady_total: 0,
        };
        Self {
            turns: Mutex::new(turns),
        }
    }

    /// The index of the member whose turn it is and that is claimed.
    ///
    /// Asked about are those in `doubtful`, those that could not be used fully before or that failed, and the one
    /// chosen, once it is claimed; if that cannot be, the turn passes on.
    pub(super) fn pick(
        &self,
        doubtful: impl Iterator<Item = usize>,
        candidates: &mut impl Candidates,
    ) -> Option<usize> {
        let mut turns = self.turns();
        for index in doubtful {
            turns.unsettle(index);
        }
        loop {
            let chosen = turns.turn(candidates)?;
            let is_ours = candidates.claim(chosen);
            if !is_ours || candidates.share(chosen) != Share::FULL {
                turns.unsettle(chosen);
            }
            if is_ours {
                return Some(chosen);
            }
        }
    }

    /// The same turns, to be tried out.
    pub(super) fn rehearsal(&self) -> Self {
        Self {
            turns: Mutex::new(self.turns().clone()),
        }
    }

    /// A failure of member `index`: it is chosen less for a while.
    pub(super) fn failed(&self, index: usize, max_fails: u32) {
        let mut turns = self.turns();
        turns.unsettle(index);
        if let Some(member) = turns.members.get_mut(index)
            && max_fails > 0
        {
            // In whole parts, as nginx's.
            let lost = member.weight / PARTS / i64::from(max_fails) * PARTS;
            member.effective = (member.effective - lost).max(0);
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        // Numbers that a panicking thread left half counted only shift one turn.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a weight of 1 is counted as.
const PARTS: i64 = 256;

impl Member {
    fn new(weight: u32) -> Self {
        let weight = i64::from(weight) * PARTS;
        Self {
            weight,
            effective: weight,
            current: 0,
            is_steady: false,
        }
    }
}

impl Turns {
    /// One turn: everybody who may be used gains, and who has most pays.
    fn turn(&mut self, candidates: &impl Candidates) -> Option<usize> {
        self.count += 1;
        let mut total = self.steady_total;
        let mut best = self.best_steady();
        let mut next = 0;
        while let Some(&index) = self.unsteady.get(next) {
            next += 1;
            let share = candidates.share(index);
            if share == Share::NONE {
                continue;
            }
            let member = &mut self.members[index];
            let gain = share.times(member.effective);
            member.current += gain;
            total += gain;
            best = better(best, Some((member.current, index)));
            member.effective = (member.effective + PARTS).min(member.weight);
            if member.effective == member.weight && share == Share::FULL {
                self.settle(index);
                next -= 1;
                self.unsteady.swap_remove(next);
            }
        }
        let (_, chosen) = best?;
        self.pay(chosen, total);
        Some(chosen)
    }

    fn best_steady(&self) -> Option<(i64, usize)> {
        let first = |queue: &Queue| {
            let first = queue.members.front()?;
            Some((queue.weight * self.count - first.debt, first.index))
        };
        self.steady.iter().map(first).fold(None, better)
    }

    fn pay(&mut self, index: usize, total: i64) {
        let is_steady = self.members[index].is_steady;
        if is_steady {
            self.leave_queue(index);
        }
        self.members[index].current -= total;
        if is_steady {
            self.join_queue(index);
        }
    }

    /// From now on the member gains without being asked about.
    fn settle(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.is_steady = true;
        member.current -= member.weight * self.count;
        self.steady_total += member.weight;
        self.join_queue(index);
    }

    /// The member is asked about at each turn.
    fn unsettle(&mut self, index: usize) {
        if self
            .members
            .get(index)
            .is_none_or(|member| !member.is_steady)
        {
            return;
        }
        self.leave_queue(index);
        let member = &mut self.members[index];
        member.is_steady = false;
        member.current += member.weight * self.count;
        self.steady_total -= member.weight;
        self.unsteady.push(index);
    }

    fn join_queue(&mut self, index: usize) {
        let (queue, waiting) = self.queue(index);
        // Who has just paid stands behind all others, nearly always.
        let place = match queue.members.back() {
            Some(last) if *last < waiting => queue.members.len(),
            _ => queue.members.partition_point(|before| *before < waiting),
        };
        queue.members.insert(place, waiting);
    }

    fn leave_queue(&mut self, index: usize) {
        let (queue, waiting) = self.queue(index);
        if queue.members.front() == Some(&waiting) {
            queue.members.pop_front();
        } else if let Ok(place) = queue.members.binary_search(&waiting) {
            queue.members.remove(place);
        }
    }

    /// The queue of a member's weight, and how the member stands in it.
    fn queue(&mut self, index: usize) -> (&mut Queue, Waiting) {
        let member = &self.members[index];
        let waiting = Waiting {
            debt: -member.current,
            index,
        };
        let place = self
            .steady
            .partition_point(|queue| queue.weight < member.weight);
        (&mut self.steady[place], waiting)
    }
}

impl Queue {
    fn new(weight: i64) -> Self {
        Self {
            weight,
            members: VecDeque::new(),
        }
    }
}

/// Who has more; of equals, the one that the file names first.
fn better(one: Option<(i64, usize)>, other: Option<(i64, usize)>) -> Option<(i64, usize)> {
    match (one, other) {
        (Some((most, first)), Some((current, index)))
            if current > most || current == most && index < first =>
        {
            other
        }
        (Some(_), _) => one,
        (None, other) => other,
    }
}

#[cfg(test)]
mod tests;
