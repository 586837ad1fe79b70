//! Two members by lot, and the better of the two (nginx `random two`): nobody needs to know who is the best of all,
//! and many that decide at once do not all run to the same.

use std::cmp::Ordering;

use super::{Candidates, LOOKS, Share, ranges::Ranges};

/// What makes one of two the better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum By {
    /// Fewer requests in flight for its weight.
    Connections,
    /// A shorter wait for its weight, by what was seen of it.
    Wait,
}

/// An index by lot; `None` if too many of those that were drawn may not be used.
pub(super) fn pick(
    ranges: &Ranges,
    weight: impl Fn(usize) -> u32,
    by: By,
    candidates: &mut impl Candidates,
) -> Option<usize> {
    for _ in 0..2 {
        let one = first(ranges, candidates)?;
        let other = second(ranges, one, candidates).unwrap_or(one);
        let (best, worst) = match compare(candidates, &weight, by, one, other) {
            Ordering::Greater => (other, one),
            Ordering::Less | Ordering::Equal => (one, other),
        };
        for index in [best, worst] {
            if candidates.claim(index) {
                return Some(index);
            }
        }
    }
    None
}

/// The first that is drawn and may be used.
fn first(ranges: &Ranges, candidates: &impl Candidates) -> Option<usize> {
    let mut drawn = (0..LOOKS).map_while(|_| ranges.draw());
    drawn.find(|index| candidates.share(*index).falls())
}

/// Somebody else; nobody if the lot falls to one that is warming up and is not to have its turn: drawn again and again,
/// it would have it in the end.
fn second(ranges: &Ranges, one: usize, candidates: &impl Candidates) -> Option<usize> {
    let mut drawn = (0..LOOKS).map_while(|_| ranges.draw_other(one));
    let other = drawn.find(|index| candidates.share(*index) != Share::NONE)?;
    candidates.share(other).falls().then_some(other)
}

/// Which of two is worse off; `Greater`: the first.
fn compare(
    candidates: &impl Candidates,
    weight: &impl Fn(usize) -> u32,
    by: By,
    one: usize,
    other: usize,
) -> Ordering {
    match by {
        By::Connections => {
            let load = |index| u64::from(candidates.in_flight(index));
            let (one_weighs, other_weighs) = (u64::from(weight(one)), u64::from(weight(other)));
            (load(one) * other_weighs).cmp(&(load(other) * one_weighs))
        }
        By::Wait => {
            let wait = |index| candidates.expected_wait(index) / f64::from(weight(index));
            wait(one).total_cmp(&wait(other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::balancer::tests::Members, *};

    fn counts<const N: usize>(
        weights: [u32; N],
        by: By,
        candidates: &mut impl Candidates,
    ) -> [usize; N] {
        let ranges = Ranges::new(weights.into_iter());
        let mut counts = [0; N];
        for _ in 0..6000 {
            if let Some(index) = pick(&ranges, |i| weights[i], by, candidates) {
                counts[index] += 1;
            }
        }
        counts
    }

    #[test]
    fn of_two_the_one_with_fewer_connections_for_its_weight() {
        let mut members = Members::usable(|_| true);
        members.in_flight = |index| [4, 9][index];
        assert_eq!(counts([1, 3], By::Connections, &mut members)[1], 6000);
        members.in_flight = |index| [4, 13][index];
        assert_eq!(counts([1, 3], By::Connections, &mut members)[0], 6000);
    }

    #[test]
    fn of_two_the_one_that_lets_wait_less() {
        let mut members = Members::usable(|_| true);
        members.wait = |index| [0.2, 0.1][index];
        assert_eq!(counts([1, 1], By::Wait, &mut members)[1], 6000);
        assert_eq!(counts([3, 1], By::Wait, &mut members)[0], 6000);
    }

    #[test]
    fn the_slowest_of_three_gets_nothing_and_idle_ones_their_weights() {
        let mut members = Members::usable(|_| true);
        members.wait = |index| [1.0, 1.0, 50.0][index];
        let counts = counts([1, 1, 1], By::Wait, &mut members);
        assert_eq!(counts[2], 0);
        assert!((2700..3300).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn those_that_may_not_be_used_do_not_skew_the_rest() {
        let mut members = Members::usable(|index| index != 1);
        let counts = counts([1, 1, 1, 1], By::Connections, &mut members);
        assert_eq!(counts[1], 0);
        for index in [0, 2, 3] {
            assert!((1800..2200).contains(&counts[index]), "{counts:?}");
        }
    }

    #[test]
    fn one_alone_is_chosen() {
        let mut members = Members::usable(|index| index == 0);
        assert_eq!(counts([1, 1], By::Connections, &mut members), [6000, 0]);
    }

    #[test]
    fn without_anybody_there_is_nobody() {
        let mut members = Members::usable(|_| false);
        assert_eq!(counts([1, 1], By::Connections, &mut members), [0, 0]);
    }
}
