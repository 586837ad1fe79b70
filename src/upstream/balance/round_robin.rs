//! Smooth weighted round robin, nginx's default (commit 52327e062): weights 5, 1, 1 give
//! `a a b a c a a` instead of five in a row.
//!
//! At each turn every eligible peer gains its effective weight; the one that has most is chosen and
//! pays the sum of all. A failure lowers the effective weight, and each turn gives one back: a tiny
//! slow start.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The state of one tier's turns, shared by all workers so that weights hold for the whole process.
#[derive(Debug)]
pub(in super::super) struct RoundRobin {
    // Held for one walk over the tier and never across an await.
    turns: Mutex<Vec<Turn>>,
}

#[derive(Debug)]
struct Turn {
    weight: i64,
    effective: i64,
    current: i64,
}

impl RoundRobin {
    pub(in super::super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let turn = |weight: u32| Turn {
            weight: weight.into(),
            effective: weight.into(),
            current: 0,
        };
        Self {
            turns: Mutex::new(weights.map(turn).collect()),
        }
    }

    /// The index of the peer whose turn it is among those that `may_use` admits.
    ///
    /// `may_use` is asked once for each peer, and `claim` for the one chosen; if that refuses, the
    /// turn passes on.
    pub(in super::super) fn pick(
        &self,
        mut may_use: impl FnMut(usize) -> bool,
        mut claim: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let mut turns = self.turns();
        loop {
            let mut total = 0;
            let mut best: Option<(usize, i64)> = None;
            for (i, turn) in turns.iter_mut().enumerate() {
                if !may_use(i) {
                    continue;
                }
                turn.current += turn.effective;
                total += turn.effective;
                if turn.effective < turn.weight {
                    turn.effective += 1;
                }
                if best.is_none_or(|(_, most)| turn.current > most) {
                    best = Some((i, turn.current));
                }
            }
            let (chosen, _) = best?;
            turns[chosen].current -= total;
            if claim(chosen) {
                return Some(chosen);
            }
        }
    }

    /// A failure of peer `index`: it is chosen less for a while.
    pub(in super::super) fn failed(&self, index: usize, max_fails: u32) {
        if let Some(turn) = self.turns().get_mut(index)
            && max_fails > 0
        {
            turn.effective = (turn.effective - turn.weight / i64::from(max_fails)).max(0);
        }
    }

    fn turns(&self) -> MutexGuard<'_, Vec<Turn>> {
        // Numbers that a panicking thread left half counted only shift one turn.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(weights: &[u32], n: usize, may_use: impl Fn(usize) -> bool + Copy) -> String {
        let round_robin = RoundRobin::new(weights.iter().copied());
        let letter = |i: usize| char::from(b'a' + u8::try_from(i).unwrap());
        (0..n)
            .map(|_| round_robin.pick(may_use, |_| true).map_or('-', letter))
            .collect()
    }

    #[test]
    fn the_sequences_are_nginx_s() {
        assert_eq!(sequence(&[5, 1, 1], 14, |_| true), "aabacaaaabacaa");
        assert_eq!(sequence(&[1, 1], 6, |_| true), "ababab");
        assert_eq!(sequence(&[2, 1], 6, |_| true), "abaaba");
        assert_eq!(sequence(&[1, 2, 3], 6, |_| true), "cbacbc");
    }

    #[test]
    fn one_that_may_not_be_used_is_passed_over() {
        assert_eq!(sequence(&[1, 1, 1], 6, |i| i != 1), "acacac");
        assert_eq!(sequence(&[1, 1], 2, |_| false), "--");
    }

    #[test]
    fn one_that_failed_is_chosen_less_for_a_while() {
        let round_robin = RoundRobin::new([4, 4].into_iter());
        round_robin.failed(0, 1);
        let picks: Vec<_> = (0..8)
            .filter_map(|_| round_robin.pick(|_| true, |_| true))
            .collect();
        assert_eq!(picks.iter().filter(|i| **i == 0).count(), 3, "{picks:?}");
        let picks: Vec<_> = (0..8)
            .filter_map(|_| round_robin.pick(|_| true, |_| true))
            .collect();
        assert_eq!(picks.iter().filter(|i| **i == 0).count(), 4, "{picks:?}");
    }

    #[test]
    fn weights_hold_for_all_workers_together() {
        let round_robin = RoundRobin::new([3, 1].into_iter());
        let count = || {
            (0..1000)
                .filter(|_| round_robin.pick(|_| true, |_| true) == Some(0))
                .count()
        };
        let first: usize = std::thread::scope(|s| {
            #[expect(clippy::needless_collect, reason = "all four must run at once")]
            let workers: Vec<_> = (0..4).map(|_| s.spawn(count)).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .sum()
        });
        assert_eq!(first, 3000);
    }

    proptest::proptest! {
        #[test]
        fn every_round_gives_each_its_weight(weights in proptest::collection::vec(1u32..20, 1..8)) {
            let round_robin = RoundRobin::new(weights.iter().copied());
            let mut counts = vec![0; weights.len()];
            for _ in 0..weights.iter().sum() {
                counts[round_robin.pick(|_| true, |_| true).unwrap()] += 1;
            }
            assert_eq!(counts, weights);
        }
    }
}
