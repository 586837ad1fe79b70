//! Fewest requests in flight for its weight (nginx `least_conn`); of those with equally few, whoever has been
//! chosen least for its weight.
//!
//! nginx walks over all peers for that. Here a tournament is kept: each member plays in a tree against its
//! neighbour, winners against winners, and a member whose number changes plays its few games again. Those that
//! may not be used now, or not fully, stand outside of it and are asked about at each choice, as in
//! [`RoundRobin`](super::round_robin::RoundRobin).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Candidates, Share};

/// The tournament of one tier.
#[derive(Debug)]
pub(super) struct LeastConn {
    // Held for one choice or one change and never across an await.
    tournament: Mutex<Tournament>,
}

/// Where one member's number is kept.
#[derive(Clone, Debug)]
pub(in super::super) struct Seat {
    least_conn: Arc<LeastConn>,
    index: usize,
}

#[derive(Clone, Debug)]
struct Tournament {
    players: Vec<Player>,
    /// The winner of each game; `games[1]` is the last, and game `n` is between those of `2n` and `2n + 1`. The
    /// players come first to the second half.
    games: Vec<Option<u32>>,
    outside: Vec<usize>,
    /// The [`Player::chosen`] of who was chosen last.
    now: u64,
}

#[derive(Clone, Debug)]
struct Player {
    weight: u32,
    /// Requests that it works on.
    conns: u32,
    /// How often it was chosen, for its weight; ahead by what the next choice will add.
    chosen: u64,
    plays: bool,
}

/// What a member of weight 1 is ahead after a choice.
const TURN: u64 = 1 << 24;

impl LeastConn {
    pub(super) fn new(weights: &[u32]) -> Self {
        let player = |weight: &u32| Player {
            weight: *weight,
            conns: 0,
            // Halfway, so that light ones have their first turn among those of heavy ones, and not behind.
            chosen: TURN / u64::from(*weight) / 2,
            plays: false,
        };
        let tournament = Tournament {
            players: weights.iter().map(player).collect(),
            games: vec![None; weights.len() * 2],
            outside: (0..weights.len()).collect(),
            now: 0,
        };
        Self {
            tournament: Mutex::new(tournament),
        }
    }

    /// The index of the member that is chosen and claimed, unless there is none.
    pub(super) fn pick(
        &self,
        doubtful: impl Iterator<Item = usize>,
        candidates: &mut impl Candidates,
    ) -> Option<usize> {
        let mut tournament = self.tournament();
        for index in doubtful {
            tournament.leave(index);
        }
        loop {
            let (chosen, share) = tournament.best(candidates)?;
            if candidates.claim(chosen) {
                tournament.charge(chosen, candidates.in_flight(chosen), share);
                // It may have been given its last place.
                if candidates.share(chosen) != Share::FULL {
                    tournament.leave(chosen);
                }
                return Some(chosen);
            }
            tournament.leave(chosen);
        }
    }

    /// The same tournament, to be tried out.
    pub(super) fn rehearsal(&self) -> Self {
        Self {
            tournament: Mutex::new(self.tournament().clone()),
        }
    }

    fn tournament(&self) -> MutexGuard<'_, Tournament> {
        // Numbers that a panicking thread left half counted only shift one choice.
        self.tournament
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) fn new(least_conn: &Arc<LeastConn>, index: usize) -> Self {
        Self {
            least_conn: Arc::clone(least_conn),
            index,
        }
    }

    /// The member works on as many requests as `in_flight` says once nobody else is being told.
    pub(in super::super) fn tell(&self, in_flight: impl FnOnce() -> u32) {
        let mut tournament = self.least_conn.tournament();
        tournament.set(self.index, in_flight());
    }
}

impl Tournament {
    /// Who is best off now, in the tournament or outside, and how much of its weight it may have.
    fn best(&mut self, candidates: &impl Candidates) -> Option<(usize, Share)> {
        let mut next = 0;
        let mut best: Option<(usize, Share)> = None;
        while let Some(&index) = self.outside.get(next) {
            let share = candidates.share(index);
            match share {
                Share::FULL => {
                    self.outside.swap_remove(next);
                    self.join(index, candidates.in_flight(index));
                    continue;
                }
                Share::NONE => {}
                _ => {
                    self.players[index].conns = candidates.in_flight(index);
                    best = Some(match best {
                        Some(other) if self.is_better(other, (index, share)) => other,
                        _ => (index, share),
                    });
                }
            }
            next += 1;
        }
        let winner = self.games.get(1).copied().flatten();
        let winner = winner.map(|index| (index as usize, Share::FULL));
        match (winner, best) {
            (Some(winner), Some(best)) if self.is_better(best, winner) => Some(best),
            (winner, best) => winner.or(best),
        }
    }

    /// Whether `one` has less to do for its weight than `other`; of equals, was chosen less; of those, stands first.
    fn is_better(&self, one: (usize, Share), other: (usize, Share)) -> bool {
        let (a, b) = (&self.players[one.0], &self.players[other.0]);
        let load = |player: &Player, by: &Player, share: Share| {
            i64::from(player.conns) * share.times(i64::from(by.weight) * 256)
        };
        // Each beside the other's weight, as nginx compares them.
        let (a_load, b_load) = (load(a, b, other.1), load(b, a, one.1));
        (a_load, a.chosen, one.0) < (b_load, b.chosen, other.0)
    }

    fn charge(&mut self, index: usize, conns: u32, share: Share) {
        let player = &mut self.players[index];
        self.now = self.now.max(player.chosen);
        // What one that is warming up has not got of its weight, it has not got of its turns.
        let weight = share.times(i64::from(player.weight) << Share::BITS).max(1) as u64;
        // Who was busy for long has nothing to make up for.
        player.chosen = self.now + (TURN << Share::BITS) / weight;
        self.set(index, conns);
    }

    fn set(&mut self, index: usize, conns: u32) {
        let Some(player) = self.players.get_mut(index) else {
            return;
        };
        player.conns = conns;
        if player.plays {
            self.play(index);
        }
    }

    fn join(&mut self, index: usize, conns: u32) {
        let player = &mut self.players[index];
        (player.plays, player.conns) = (true, conns);
        self.play(index);
    }

    fn leave(&mut self, index: usize) {
        let Some(player) = self.players.get_mut(index).filter(|player| player.plays) else {
            return;
        };
        player.plays = false;
        self.outside.push(index);
        self.play(index);
    }

    /// Plays the games of `index` again, from the first to the last.
    fn play(&mut self, index: usize) {
        let mut game = self.players.len() + index;
        self.games[game] = self.players[index].plays.then_some(index as u32);
        while game > 1 {
            game /= 2;
            self.games[game] = match (self.games[game * 2], self.games[game * 2 + 1]) {
                (Some(one), Some(other)) => {
                    let sides = [one, other].map(|index| (index as usize, Share::FULL));
                    let is_one = self.is_better(sides[0], sides[1]);
                    Some(if is_one { one } else { other })
                }
                (one, other) => one.or(other),
            };
        }
    }
}

#[cfg(test)]
mod tests;
