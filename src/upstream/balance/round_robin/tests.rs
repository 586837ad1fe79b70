use super::{super::balancer::tests::Members, *};

fn none() -> impl Iterator<Item = usize> {
    std::iter::empty()
}

/// What nginx does, a walk over all: the oracle.
struct Walk(Vec<(i64, i64, i64)>);

impl Walk {
    fn new(weights: &[u32]) -> Self {
        let start = |weight: &u32| (i64::from(*weight), i64::from(*weight), 0);
        Self(weights.iter().map(start).collect())
    }

    fn pick(&mut self, may_use: impl Fn(usize) -> bool) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (i, (weight, effective, current)) in self.0.iter_mut().enumerate() {
            if !may_use(i) {
                continue;
            }
            *current += *effective;
            total += *effective;
            if *effective < *weight {
                *effective += 1;
            }
            if best.is_none_or(|(_, most)| *current > most) {
                best = Some((i, *current));
            }
        }
        let (chosen, _) = best?;
        self.0[chosen].2 -= total;
        Some(chosen)
    }

    fn failed(&mut self, index: usize, max_fails: u32) {
        let (weight, effective, _) = &mut self.0[index];
        *effective = (*effective - *weight / i64::from(max_fails)).max(0);
    }
}

/// What happens to a tier.
#[derive(Clone, Debug)]
enum Event {
    Pick,
    Fail(usize, u32),
    /// It may not be used any more, and failed when that was found out; or it may again.
    Goes(usize),
    Returns(usize),
    /// A request that has tried this one is to be sent to another.
    PickAfter(usize),
}

fn events() -> impl proptest::strategy::Strategy<Value = Vec<Event>> {
    use proptest::prelude::*;
    let event = prop_oneof![
        6 => Just(Event::Pick),
        1 => (0..6usize, 1..4u32).prop_map(|(who, max_fails)| Event::Fail(who, max_fails)),
        1 => (0..6usize).prop_map(Event::Goes),
        1 => (0..6usize).prop_map(Event::Returns),
        1 => (0..6usize).prop_map(Event::PickAfter),
    ];
    proptest::collection::vec(event, 0..200)
}

fn pick(
    round_robin: &RoundRobin,
    tried: impl Iterator<Item = usize>,
    may_use: impl Fn(usize) -> bool,
) -> Option<usize> {
    round_robin.pick(tried, &mut Members::usable(may_use))
}

fn sequence(weights: &[u32], n: usize, may_use: impl Fn(usize) -> bool + Copy) -> String {
    let round_robin = RoundRobin::new(weights.iter().copied());
    let letter = |i: usize| char::from(b'a' + u8::try_from(i).unwrap());
    (0..n)
        .map(|_| pick(&round_robin, none(), may_use).map_or('-', letter))
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
        .filter_map(|_| pick(&round_robin, none(), |_| true))
        .collect();
    assert_eq!(picks.iter().filter(|i| **i == 0).count(), 3, "{picks:?}");
    let picks: Vec<_> = (0..8)
        .filter_map(|_| pick(&round_robin, none(), |_| true))
        .collect();
    assert_eq!(picks.iter().filter(|i| **i == 0).count(), 4, "{picks:?}");
}

#[test]
fn weights_hold_for_all_workers_together() {
    let round_robin = RoundRobin::new([3, 1].into_iter());
    let count = || {
        (0..1000)
            .filter(|_| pick(&round_robin, none(), |_| true) == Some(0))
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

/// Members of which the second is warming up.
struct Warming(Share);

impl Candidates for Warming {
    fn share(&self, index: usize) -> Share {
        if index == 1 { self.0 } else { Share::FULL }
    }

    fn claim(&mut self, _: usize) -> bool {
        true
    }

    fn in_flight(&self, _: usize) -> u32 {
        0
    }

    fn expected_wait(&self, _: usize) -> f64 {
        0.0
    }
}

#[test]
fn one_that_is_warming_up_has_its_share_of_the_turns() {
    let round_robin = RoundRobin::new([1, 1].into_iter());
    let count = |share: f64| {
        let mut members = Warming(Share::of(share));
        let turns = (0..1000).filter_map(|_| round_robin.pick(none(), &mut members));
        turns.filter(|index| *index == 1).count()
    };
    for (share, turns) in [(0.25, 200), (1.0 / 3.0, 249), (1.0, 500)] {
        let counted = count(share);
        assert!(counted.abs_diff(turns) <= 2, "{share}: {counted}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_happens_the_turns_are_nginx_s(
        weights in proptest::collection::vec(1u32..4, 6),
        events in events(),
    ) {
        let (round_robin, mut walk) = (RoundRobin::new(weights.iter().copied()), Walk::new(&weights));
        let mut usable = [true; 6];
        for event in events {
            match event {
                Event::Pick => {
                    let picked = pick(&round_robin, none(), |i| usable[i]);
                    assert_eq!(picked, walk.pick(|i| usable[i]));
                }
                Event::PickAfter(tried) => {
                    let may_use = |i: usize| usable[i] && i != tried;
                    let picked = pick(&round_robin, std::iter::once(tried), may_use);
                    assert_eq!(picked, walk.pick(may_use));
                }
                Event::Fail(who, max_fails) => {
                    round_robin.failed(who, max_fails);
                    walk.failed(who, max_fails);
                }
                Event::Goes(who) => {
                    usable[who] = false;
                    round_robin.failed(who, 1);
                    walk.failed(who, 1);
                }
                Event::Returns(who) => usable[who] = true,
            }
        }
    }

    #[test]
    fn every_round_gives_each_its_weight(weights in proptest::collection::vec(1u32..20, 1..8)) {
        let round_robin = RoundRobin::new(weights.iter().copied());
        let mut counts = vec![0; weights.len()];
        for _ in 0..weights.iter().sum() {
            counts[pick(&round_robin, none(), |_| true).unwrap()] += 1;
        }
        assert_eq!(counts, weights);
    }
}
